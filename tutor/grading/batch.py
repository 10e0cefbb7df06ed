"""A whole class: one submission per Dask task, one writer, and where a killed run left off, on.

A worker gets a submission's bytes and returns a ``Record``, so it need not share a file system with
the coordinator. The coordinator, alone, reads ``submitted/`` and writes gradebook and files.

Dask's workers are trusted: they are to be the instructor's own processes. A local cluster speaks
TLS with a certificate made for the run, because its port is open to everyone on the machine.
"""

import contextlib
import errno
import fcntl
import hashlib
import json
import logging
import os
import re
import stat
import tempfile
import threading
import uuid
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

import dask
import nbformat
from distributed import Client, KilledWorker, LocalCluster, Security, as_completed
from nbgrader.utils import compute_checksum, determine_grade, is_grade, is_solution, parse_utc

from tutor import ROOT
from tutor.course.release import source_notebook
from tutor.grading import CannotGrade, submission
from tutor.grading.gradebook import Marks, Writer, settings, tell
from tutor.grading.grader import Grader
from tutor.grading.hidden import secret
from tutor.grading.reports import feedback
from tutor.grading.submission import Submitted
from tutor.sandbox.bubblewrap import NoSandbox
from tutor.sandbox.limits import Limits
from tutor.sandbox.outputs import clean

# Of tutor/grading, what does not decide about a grade.
NOT_GRADING = {"batch", "bundle", "class_report", "cli", "exports", "feedback", "gradebook", "lab"}
NOT_GRADING |= {"preload", "sample_class", "similarity"}

TRIES_ALONE = 2
"""For a submission whose grading ended its process: with no other beside it that could be it."""

LOST = "The connection to the scheduler was lost. The same command goes on from here."
_NO_PAGE = "There is no feedback page for {}: {}"
FATAL = "It could not be graded: it ended the grading process."


@dataclass(frozen=True)
class HandedIn:
    """What lies in ``submitted/<student>/<chapter>``."""

    student: str
    chapter: str
    notebook: str
    data: bytes | None = None
    """None if there is nothing to grade; then ``problems`` says why."""
    problems: tuple[str, ...] = ()
    timestamp: datetime | None = None

    @property
    def digest(self) -> str:
        content = self.data if self.data is not None else b"nothing"
        return _hash(content, *(p.encode(errors="replace") for p in self.problems))


@dataclass(frozen=True)
class Record:
    """What grading one submission gave."""

    notebook: str
    """The autograded notebook, as JSON."""
    scores: dict[str, float | None]
    comments: dict[str, str | None]
    problems: tuple[str, ...] = ()
    limits: tuple[str, ...] = ()
    seconds: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """One line about one submission."""

    student: str
    chapter: str
    graded: bool
    """False if nothing has changed since it was graded."""
    points: float
    possible: float
    problems: tuple[str, ...] = ()
    limits: tuple[str, ...] = ()
    seconds: float = 0.0
    failed: bool = False
    """It has no grade of its own: the next run tries again."""


@dataclass(frozen=True)
class ClassFolder:
    """Where the submissions lie and where everything goes."""

    folder: Path
    url: str = ""
    submitted: str = "submitted"

    @property
    def database(self) -> str:
        return self.url or f"sqlite:///{self.folder / 'gradebook.db'}"

    def students(self, chapter: str) -> list[str]:
        """Who has anything at ``submitted/<student>/<chapter>``, be it a file or a link."""
        return sorted(p.parent.name for p in self._entries() if p.name == chapter)

    def chapters(self) -> list[str]:
        return sorted({p.name for p in self._entries()} & set(chapters()))

    def strays(self) -> list[str]:
        """One sentence for each thing in ``submitted`` that is nobody's submission."""
        found = [
            f"{p} is in no student's folder: put it at {self.submitted}/<student>/<chapter>/"
            for p in sorted((self.folder / self.submitted).glob("[!.]*"))
            if not p.is_dir() and not p.is_symlink()
        ]
        example = next(iter(chapters()))
        return found + [
            f"{p} is not graded: put it into a folder named after its chapter, such as {example}"
            for p in self._entries()
            if p.name not in chapters()
        ]

    def _entries(self) -> list[Path]:
        students = (self.folder / self.submitted).glob("[!.]*")
        found = (p for s in students if s.is_dir() for p in s.glob("[!.]*"))
        return sorted(found)


@cache
def chapters() -> dict[str, str]:
    """The notebook's name by chapter."""
    return {p.parent.name: p.stem for p in sorted((ROOT / "exercises").glob("*/*.ipynb"))}


# Reading what students handed in: any bytes at all, under any name, links to anywhere.


_UNKNOWN = "nobody knows whether this is late"


def read(place: ClassFolder, student: str, chapter: str) -> HandedIn:
    notebook, limits = chapters()[chapter], Limits.of(settings().Judged)
    problems: list[str] = []
    submitted = place.folder / place.submitted
    data = timestamp = None
    try:
        with _folder(submitted, student, chapter) as folder:
            name = f"{notebook}.ipynb"
            try:
                data = _file(folder, name, limits.notebook_mebibytes * 2**20)
            except FileNotFoundError:
                problems.append(_nothing_there(folder, name))
            except OSError as error:
                problems.append(f"{name} {_why(error)}.")
            try:
                text = _file(folder, "timestamp.txt", 4096).decode().strip()
                timestamp = parse_utc(text) if text else None
            except FileNotFoundError:
                pass
            except OSError as error:
                problems.append(f"timestamp.txt {_why(error)}: {_UNKNOWN}.")
            except Exception:  # whatever a parser makes of a student's text
                problems.append(f"timestamp.txt holds no date: {_UNKNOWN}.")
    except OSError as error:
        problems.append(f"{chapter} {_why(error)}.")
    return HandedIn(student, chapter, notebook, data, tuple(problems), timestamp)


@contextlib.contextmanager
def _folder(*parts: Path | str) -> Iterator[int]:
    fd = os.open(parts[0], os.O_RDONLY | os.O_DIRECTORY)
    try:
        for part in parts[1:]:
            if stat.S_ISLNK(os.lstat(part, dir_fd=fd).st_mode):
                raise OSError(errno.ELOOP, "a link")
            inner = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=fd)
            os.close(fd)
            fd = inner
        yield fd
    finally:
        os.close(fd)


def _file(folder: int, name: str, limit: int) -> bytes:
    # NONBLOCK: a pipe would keep us waiting for a writer.
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
    with open(os.open(name, flags, dir_fd=folder), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "no file")
        data = file.read(limit + 1)
    if len(data) > limit:
        raise OSError(errno.EFBIG, f"larger than {limit / 2**20:g} MiB")
    return data


def _why(error: OSError) -> str:
    reasons = {
        errno.ELOOP: "is a link, and links are not followed",
        errno.EINVAL: "is not a file",
        errno.EISDIR: "is not a file",
        errno.ENOTDIR: "is not a folder",
        errno.EFBIG: f"is {error.strerror}",
    }
    return reasons.get(error.errno, f"cannot be read: {error.strerror}")


def _nothing_there(folder: int, name: str) -> str:
    others = sorted(n for n in os.listdir(folder) if n.endswith(".ipynb"))
    if not others:
        return f"There is no {name}."
    # The name goes to a terminal and to pages: not every name may.
    shown = [n for n in others if re.fullmatch(r"[\w .()-]{1,80}", n, re.ASCII)]
    called = ", ".join(shown[:3]) or "a notebook of another name"
    return f"There is no {name}, but {called}: the name has to be the exercise's."


# What a grade is made from.


def specification(chapter: str, device: str) -> str:
    """Hash of all that decides about the chapter's grades beside the submission."""
    code = [p for p in (ROOT / "tutor").rglob("*.py") if _decides(p)]
    files = sorted([*code, *(ROOT / "solutions" / chapter).glob("*.md")])
    parts = [b for p in files for b in (str(p.relative_to(ROOT)).encode(), p.read_bytes())]
    limits = repr(Limits.of(settings().Judged))
    return _hash(*parts, limits.encode(), device.encode(), secret())


def _decides(path: Path) -> bool:
    return path.parent.name != "grading" or path.stem not in NOT_GRADING


def _hash(*parts: bytes) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()


# In a worker.

MakeGrader = Callable[[str, str], Any]
"""From a chapter and a device to something with ``grade(path) -> Graded`` and ``close()``."""

_mine = threading.local()


def sandboxed(chapter: str, device: str) -> Grader:
    return Grader.from_config(chapter, settings(), device)


def trusting(chapter: str, device: str) -> Grader:
    """Without a sandbox: what it runs may read and change all that you can, grades included."""
    config = settings()
    config.Judged.sandboxed = False
    return Grader.from_config(chapter, config, device)


def work(handed_in: HandedIn, device: str, expected: str, make: MakeGrader) -> Record:
    """Grade one submission: a worker's task."""
    chapter = handed_in.chapter
    if _my_specification(chapter, device) != expected:
        raise CannotGrade(
            f"The worker {os.uname().nodename} has another version of the course, of its settings "
            "or of its secret (TUTOR_GRADING_SECRET, .grading-secret): bring it up to date."
        )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"{handed_in.notebook}.ipynb")
        path.write_bytes(handed_in.data)
        try:
            graded = _grader(chapter, device, make).grade(path)
        except NoSandbox as error:
            raise CannotGrade(str(error)) from None
        except Exception:
            _close_grader()
            graded = _grader(chapter, device, make).grade(path)
    return _record(graded, handed_in.problems)


def _record(graded: Any, also: tuple[str, ...]) -> Record:
    """With scores and comments as nbgrader's SaveAutoGrades and our SaveReasons find them."""
    nb, scores, comments = graded.notebook, {}, {}
    reasons = " ".join([*graded.problems, *graded.limits_broken])
    for cell in nb.cells:
        about = cell.metadata.get("nbgrader", {})
        if is_grade(cell):
            scores[about["grade_id"]] = determine_grade(cell)[0]
        if is_solution(cell):
            untouched = about.get("checksum") == compute_checksum(cell)
            comments[about["grade_id"]] = reasons or ("No response." if untouched else None)
    problems = (*graded.problems, *also)
    nb.metadata.setdefault("tutor", {})["problems"] = list(problems)
    limits, seconds = tuple(graded.limits_broken), dict(graded.seconds)
    return Record(nbformat.writes(nb), scores, comments, problems, limits, seconds)


@cache
def _my_specification(chapter: str, device: str) -> str:
    """Of the code that this process has imported: it may be older than the files."""
    return specification(chapter, device)


def _grader(chapter: str, device: str, make: MakeGrader) -> Any:
    """One for this thread, which it must not outlive; kept for the next submission."""
    if getattr(_mine, "of", None) != (chapter, device, make):
        _close_grader()
        _mine.grader = make(chapter, device)
        _mine.of = (chapter, device, make)
    return _mine.grader


def _close_grader() -> None:
    _mine.of = None
    if grader := getattr(_mine, "grader", None):
        _mine.grader = None
        with contextlib.suppress(Exception):
            grader.close()


# In the coordinator.


def refused(handed_in: HandedIn, reasons: tuple[str, ...]) -> Record:
    """0 points, with the reason where everybody looks: in the notebook and as a comment."""
    released = submission.released(handed_in.chapter, handed_in.notebook)
    # No student's line is run, so no sandbox is started.
    grader = Grader(handed_in.chapter)
    return _record(grader.grade_submitted(Submitted(problems=reasons), released), ())


class Run:
    """One chapter of one class. Iterate over it: an ``Outcome`` as each submission is done."""

    def __init__(
        self,
        place: ClassFolder,
        chapter: str,
        *,
        workers: int | None = None,
        scheduler: Any = None,
        device: str = "cpu",
        again: bool = False,
        make: MakeGrader = sandboxed,
    ):
        self.place, self.chapter, self.device, self.make = place, chapter, device, make
        self.workers, self.scheduler, self.again = workers, scheduler, again
        self.students = place.students(chapter)
        self.problems: list[str] = []

    def __iter__(self) -> Iterator[Outcome]:
        self._check_source()
        self.expected = specification(self.chapter, self.device)
        with contextlib.ExitStack() as stack:
            stack.enter_context(_alone(self.place.folder))
            tell(self.place.database, self.chapter)
            self.writer = stack.enter_context(Writer(self.place.database, self.chapter))
            yield from self._grade_all(stack)

    def _check_source(self) -> None:
        markdown = ROOT / "solutions" / self.chapter / f"{chapters()[self.chapter]}.md"
        pair = markdown.with_suffix(".ipynb")
        if not markdown.exists():
            raise CannotGrade(f"There is no {markdown}, and without the solutions no grading.")
        text = nbformat.writes(source_notebook(markdown)) + "\n"
        if not pair.exists() or pair.read_text(encoding="utf-8") != text:
            raise CannotGrade(f"{pair} is not what {markdown.name} gives: run `make release`.")

    def _grade_all(self, stack: contextlib.ExitStack) -> Iterator[Outcome]:
        self.pages: dict[str, str] = {}
        graded = self.writer.graded()
        todo: deque[str] = deque()
        stale: deque[tuple[str, str, Marks]] = deque()
        for student in self.students:
            if not _can_be_stored(student):
                self.problems.append(f"{student!r} cannot be a student's name: rename the folder")
                continue
            handed_in = read(self.place, student, self.chapter)
            made_from, page = graded.get(student, (None, None))
            if self.again or made_from != self._key(handed_in) or not self._autograded(student):
                if handed_in.data is not None:
                    todo.append(student)
                    continue
                record = refused(handed_in, handed_in.problems)
                yield self._save(handed_in, record, stale)
                continue
            marks = self.writer.save(student, handed_in.timestamp)
            self._write_timestamp(handed_in)
            if page != self._page_key(made_from, marks) or not self._page(student).exists():
                stale.append((student, made_from, marks))
            yield self._outcome(student, marks)

        if todo or len(stale) > 20:
            client = stack.enter_context(self._cluster(len(todo) + len(stale)))
            yield from self._grade_on(client, todo, stale)
        for student, made_from, marks in stale:
            try:
                page = feedback.page(*self._to_show(student), marks)
            except Exception as error:  # one page must not cost the others theirs
                self.problems.append(_NO_PAGE.format(student, _inert(error)))
            else:
                self._write_page(student, made_from, marks, page)
        self.writer.remember_pages(self.pages)

    def _grade_on(self, client: Client, todo: deque, stale: deque) -> Iterator[Outcome]:
        flying, about, alone = as_completed(), {}, []

        def send(function, *args, facts) -> None:
            key = f"{function.__name__}-{self.chapter}-{uuid.uuid4().hex}"
            about[key] = facts
            flying.add(client.submit(function, *args, key=key, pure=False))

        room = 0
        while todo or stale or about:
            # Enough that no worker waits, few enough that their notebooks fit into memory.
            if (todo or stale) and len(about) <= room / 2:
                room = max(8, 3 * sum(client.nthreads().values()))
            while stale and len(about) < room:
                *known, marks = stale.popleft()
                send(feedback.page, *self._to_show(known[0]), marks, facts=(*known, marks))
            while todo and len(about) < room:
                handed_in = read(self.place, todo.popleft(), self.chapter)
                if handed_in.data is not None:
                    send(work, handed_in, self.device, self.expected, self.make, facts=handed_in)
                else:
                    self.problems.append(f"{handed_in.student} has changed meanwhile: grade again")
            if not about:
                continue
            future = next(flying)
            facts, error = about.pop(future.key), future.exception()
            if isinstance(error, CannotGrade):
                raise error
            if future.status in ("cancelled", "lost"):
                raise CannotGrade(LOST)
            if isinstance(facts, HandedIn) and error is not None:
                alone.append(facts)
            elif isinstance(facts, HandedIn):
                yield self._save(facts, future.result(), stale)
            elif error is not None:
                self.problems.append(_NO_PAGE.format(facts[0], _inert(error)))
            else:
                self._write_page(*facts, future.result())

        for handed_in in alone:
            found = self._grade_alone(client, handed_in)
            if isinstance(found, Record):
                yield self._save(handed_in, found, stale)
            else:
                record = refused(handed_in, (found, *handed_in.problems))
                yield self._save(handed_in, record, stale, failed=True)

    def _grade_alone(self, client: Client, handed_in: HandedIn) -> Record | str:
        """Its record, or a sentence on why there is none."""
        for _ in range(TRIES_ALONE):
            args = (handed_in, self.device, self.expected, self.make)
            future = client.submit(work, *args, key=f"alone-{uuid.uuid4().hex}", pure=False)
            error = future.exception()
            if error is None:
                return future.result()
            if future.status in ("cancelled", "lost"):
                raise CannotGrade(LOST)
        if isinstance(error, KilledWorker):
            return FATAL
        return f"It could not be graded: {type(error).__name__}: {_inert(error)}"

    @contextlib.contextmanager
    def _cluster(self, tasks: int) -> Iterator[Client]:
        if self.scheduler:
            with Client(self.scheduler, timeout=30) as client:
                client.wait_for_workers(1, timeout=600)
                yield client
            return
        options = {
            "distributed.scheduler.allowed-failures": 0,
            # So that a worker's end tells which submission ended it.
            "distributed.scheduler.worker-saturation": 1.0,
            # A student's process counts its own memory; Dask would stop the worker for its caches.
            "distributed.worker.memory.terminate": False,
            "distributed.logging": {"distributed": "critical"},
            "distributed.scheduler.http.routes": [],
            "distributed.worker.http.routes": [],
            # It samples every 10 ms, and nobody looks at it.
            "distributed.worker.profile.enabled": False,
            # Workers are forked from a process that has imported everything, once.
            "distributed.worker.multiprocessing-method": "forkserver",
        }
        count = min(self.workers or os.cpu_count() or 1, tasks)
        with (
            dask.config.set(options),
            LocalCluster(
                n_workers=count,
                threads_per_worker=1,
                dashboard_address="127.0.0.1:0",
                memory_limit=0,
                silence_logs=logging.CRITICAL,
                scheduler_kwargs={"dashboard": False},
                security=Security.temporary(),
            ) as cluster,
            Client(cluster) as client,
        ):
            yield client

    def _key(self, handed_in: HandedIn) -> str:
        return _hash(handed_in.digest.encode(), self.expected.encode())

    def _page_key(self, made_from: str, marks: Marks) -> str:
        return _hash(made_from.encode(), json.dumps(asdict(marks), sort_keys=True).encode())

    # Files. Each appears whole or not at all, and before the gradebook tells of it.

    def _step(self, step: str, student: str) -> Path:
        return self.place.folder / step / student / self.chapter

    def _autograded(self, student: str) -> Path | None:
        path = self._step("autograded", student) / f"{chapters()[self.chapter]}.ipynb"
        return path if path.exists() else None

    def _page(self, student: str) -> Path:
        return self._step("feedback", student) / f"{chapters()[self.chapter]}.html"

    def _save(
        self, handed_in: HandedIn, record: Record, stale: deque, failed: bool = False
    ) -> Outcome:
        student, made_from = handed_in.student, self._key(handed_in)
        path = self._step("autograded", student) / f"{handed_in.notebook}.ipynb"
        _write(path, record.notebook + "\n", 0o444)
        self._write_timestamp(handed_in)
        marks = self.writer.save(
            student, handed_in.timestamp, record.scores, record.comments, made_from, again=failed
        )
        stale.append((student, made_from, marks))
        return self._outcome(student, marks, record, failed)

    def _write_timestamp(self, handed_in: HandedIn) -> None:
        if handed_in.timestamp is None:
            return
        text = f"{handed_in.timestamp:%Y-%m-%d %H:%M:%S.%f} UTC\n"
        for step, mode in (("autograded", 0o444), ("feedback", 0o644)):
            path = self._step(step, handed_in.student) / "timestamp.txt"
            if not path.exists() or path.read_text(encoding="utf-8") != text:
                _write(path, text, mode)

    def _to_show(self, student: str) -> tuple[str, str, str, str]:
        text = self._autograded(student).read_text(encoding="utf-8")
        return text, student, self.chapter, chapters()[self.chapter]

    def _write_page(self, student: str, made_from: str, marks: Marks, page: str) -> None:
        _write(self._page(student), page + "\n", 0o644)
        self.pages[student] = self._page_key(made_from, marks)

    def _outcome(
        self, student: str, marks: Marks, record: Record | None = None, failed: bool = False
    ) -> Outcome:
        facts = {}
        if record is not None:
            seconds = round(sum(record.seconds.values()), 3)
            facts = {"problems": record.problems, "limits": record.limits, "seconds": seconds}
        possible = sum(marks.possible.values())
        return Outcome(
            student,
            self.chapter,
            record is not None,
            marks.points,
            possible,
            failed=failed,
            **facts,
        )


def _inert(error: BaseException) -> str:
    """Its text, which may quote what a student wrote, for a terminal and for pages."""
    text = (c if c.isprintable() and c not in "<>&" else " " for c in str(error)[:200])
    return clean("".join(text))


def _write(path: Path, text: str, mode: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(
        "w", encoding="utf-8", dir=path.parent, prefix=".", delete=False
    ) as file:
        file.write(text)
    os.chmod(file.name, mode)
    os.replace(file.name, path)


def _can_be_stored(student: str) -> bool:
    try:
        return len(student.encode()) <= 128  # nbgrader's column
    except UnicodeEncodeError:
        return False


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """No two runs on one class."""
    fd = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CannotGrade(f"Another `tutor grade` is at work in {folder}.") from None
        yield
    finally:
        os.close(fd)
