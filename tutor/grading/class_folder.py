"""The folder of a class: what lies in ``submitted/``, and where everything goes."""

import contextlib
import errno
import fcntl
import hashlib
import os
import re
import stat
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path

from traitlets.config import Config

from tutor import ROOT
from tutor.course.settings import settings
from tutor.grading import CannotGrade, times
from tutor.sandbox.limits import Limits
from tutor.sandbox.outputs import inert


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
    secret: str | None = None
    """By which nbgrader's exchange finds the student to whom a feedback page goes."""

    @property
    def digest(self) -> str:
        content = self.data if self.data is not None else b"nothing"
        return hashed(content, *(p.encode(errors="replace") for p in self.problems))


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

    def autograded(self, student: str, chapter: str) -> Path:
        return self.step("autograded", student, chapter) / f"{chapters()[chapter]}.ipynb"

    def page(self, student: str, chapter: str) -> Path:
        return self.step("feedback", student, chapter) / f"{chapters()[chapter]}.html"

    def step(self, step: str, student: str, chapter: str) -> Path:
        return self.folder / step / student / chapter

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """No two runs on one class."""
        fd = os.open(self.folder, os.O_RDONLY)
        try:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise CannotGrade(f"Another `tutor grade` is at work in {self.folder}.") from None
            yield
        finally:
            os.close(fd)

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
_SECRET = re.compile(r"[\w=+/-]{1,1000}\s*")


def read(place: ClassFolder, student: str, chapter: str) -> HandedIn:
    notebook, limits = chapters()[chapter], Limits.of(settings().Judged)
    problems: list[str] = []
    submitted = place.folder / place.submitted
    data, about = None, (None, None)
    try:
        with _folder(submitted, student, chapter) as folder:
            name = f"{notebook}.ipynb"
            try:
                data = _file(folder, name, limits.notebook_mebibytes * 2**20)
            except FileNotFoundError:
                problems.append(_nothing_there(folder, name))
            except OSError as error:
                problems.append(f"{name} {_why(error)}.")
            about = _beside(folder, settings(), problems)
    except OSError as error:
        problems.append(f"{chapter} {_why(error)}.")
    return HandedIn(student, chapter, notebook, data, tuple(problems), *about)


def beside(folder: Path, config: Config) -> tuple[datetime | None, str | None, list[str]]:
    """The time of a submission and its secret, from the files beside its notebook, and what is
    wrong with these."""
    problems: list[str] = []
    try:
        with _folder(folder.parent.parent, folder.parent.name, folder.name) as opened:
            return *_beside(opened, config, problems), problems
    except OSError as error:
        return None, None, [f"{folder.name} {_why(error)}."]


def _beside(folder: int, config: Config, problems: list[str]) -> tuple[datetime | None, str | None]:
    timestamp = secret = None
    try:
        if text := _file(folder, "timestamp.txt", 4096).decode().strip():
            timestamp = times.read(text, config.Exchange.get("timezone", "UTC"))
    except FileNotFoundError:
        pass
    except OSError as error:
        problems.append(f"timestamp.txt {_why(error)}: {_UNKNOWN}.")
    except UnicodeDecodeError:
        problems.append(f"timestamp.txt holds no date: {_UNKNOWN}.")
    except times.Unclear as unclear:
        problems.append(f"timestamp.txt {inert(str(unclear))}: {_UNKNOWN}.")
    try:
        secret = _file(folder, "submission_secret.txt", 4096).decode("ascii")
    except FileNotFoundError:
        pass
    except (OSError, UnicodeDecodeError):
        secret = ""
    if secret is not None and not _SECRET.fullmatch(secret):
        secret = None
        problems.append("submission_secret.txt holds none: nbgrader's exchange takes no feedback.")
    return timestamp, secret


BESIDE = "timestamp.txt", "submission_secret.txt"


def keep_beside(folder: Path, timestamp: datetime | None, secret: str | None, mode: int) -> None:
    """Put them where nbgrader's feedback and its exchange look for them."""
    written = timestamp and f"{timestamp:%Y-%m-%d %H:%M:%S.%f} UTC\n"
    for name, text in zip(BESIDE, (written, secret), strict=True):
        path = folder / name
        if text is None:
            path.unlink(missing_ok=True)
        elif not path.exists() or path.read_text(encoding="utf-8") != text:
            write(path, text, mode)


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


def write(path: Path, text: str, mode: int) -> None:
    """The file appears whole or not at all."""
    write_bytes(path, text.encode("utf-8"), mode)


def write_bytes(path: Path, data: bytes, mode: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".", delete=False) as file:
        file.write(data)
    os.chmod(file.name, mode)
    os.replace(file.name, path)


def hashed(*parts: bytes) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()
