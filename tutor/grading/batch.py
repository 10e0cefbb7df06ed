"""A whole class: one submission per Dask task, one writer, and where a killed run left off, on.

A worker gets a submission's bytes and returns a ``Record``, so it need not share a file system with
the coordinator. The coordinator, alone, reads ``submitted/`` and writes gradebook and files.

Dask's workers are trusted: they are to be the instructor's own processes. A local cluster speaks
TLS with a certificate made for the run, because its port is open to everyone on the machine.
"""

import contextlib
import logging
import os
import uuid
from collections import deque
from collections.abc import Iterator
from typing import Any

import dask
import nbformat
from distributed import Client, KilledWorker, LocalCluster, Security, as_completed

from tutor import ROOT
from tutor.course.release import source_notebook
from tutor.grading import CannotGrade, forks
from tutor.grading.class_folder import (
    ClassFolder,
    HandedIn,
    chapters,
    hashed,
    keep_beside,
    read,
    write,
)
from tutor.grading.gradebook import Marks, Writer, tell
from tutor.grading.record import Outcome, Record, refused
from tutor.grading.specification import specification
from tutor.grading.worker import MakeGrader, sandboxed, work
from tutor.sandbox.outputs import inert

TRIES_ALONE = 2
"""For a submission whose grading ended its process, with no other beside it that could be it; and
for one that waited too long, perhaps because the others kept the machine busy."""

LOST = "The connection to the scheduler was lost. The same command goes on from here."
FATAL = "It could not be graded: it ended the grading process."


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
        self.marks: dict[str, tuple[str, Marks]] = {}
        """Of each student: what the grade was made from, and what stands in the gradebook."""

    def __iter__(self) -> Iterator[Outcome]:
        self._check_source()
        self.expected = specification(self.chapter, self.device)
        with self.place.alone():
            tell(self.place.database, self.chapter)
            with Writer(self.place.database, self.chapter) as self.writer:
                yield from self._grade_all()

    def _check_source(self) -> None:
        markdown = ROOT / "solutions" / self.chapter / f"{chapters()[self.chapter]}.md"
        pair = markdown.with_suffix(".ipynb")
        if not markdown.exists():
            raise CannotGrade(f"There is no {markdown}, and without the solutions no grading.")
        text = nbformat.writes(source_notebook(markdown)) + "\n"
        if not pair.exists() or pair.read_text(encoding="utf-8") != text:
            raise CannotGrade(f"{pair} is not what {markdown.name} gives: run `make release`.")

    def _grade_all(self) -> Iterator[Outcome]:
        graded = self.writer.graded()
        todo: deque[str] = deque()
        for student in self.students:
            if not _can_be_stored(student):
                self.problems.append(f"{student!r} cannot be a student's name: rename the folder")
                continue
            handed_in = read(self.place, student, self.chapter)
            made_from = self._key(handed_in, self._autograded(student))
            known, _ = graded.get(student, (None, None))
            if self.again or known != self.writer.key(student, made_from):
                if handed_in.data is not None:
                    todo.append(student)
                    continue
                record = refused(handed_in, handed_in.problems)
                yield self._save(handed_in, record)
                continue
            marks = self.writer.save(student, handed_in.timestamp)
            self.marks[student] = (made_from, marks)
            self._write_beside(handed_in)
            yield self._outcome(student, marks)
        if todo:
            with self._cluster(len(todo)) as client:
                yield from self._grade_on(client, todo)

    def _grade_on(self, client: Client, todo: deque[str]) -> Iterator[Outcome]:
        flying, about, alone = as_completed(), {}, []
        room = 0
        while todo or about:
            # Enough that no worker waits, few enough that their notebooks fit into memory.
            if todo and len(about) <= room / 2:
                room = max(8, 3 * sum(client.nthreads().values()))
            while todo and len(about) < room:
                handed_in = read(self.place, todo.popleft(), self.chapter)
                if handed_in.data is not None:
                    future = self._send(client, handed_in)
                    about[future.key] = handed_in
                    flying.add(future)
                else:
                    self.problems.append(f"{handed_in.student} has changed meanwhile: grade again")
            if not about:
                continue
            future = next(flying)
            error = future.exception()
            if future.status == "lost":  # its worker ended with it: the scheduler has it made again
                flying.add(future)
                continue
            handed_in = about.pop(future.key)
            if isinstance(error, CannotGrade):
                raise error
            if future.status == "cancelled":
                raise CannotGrade(LOST)
            record = None if error else future.result()
            if record is None:
                alone.append(handed_in)
            else:
                yield self._save(handed_in, record)

        for handed_in in alone:
            found = self._grade_alone(client, handed_in)
            if isinstance(found, Record):
                yield self._save(handed_in, found)
            else:
                record = refused(handed_in, (found, *handed_in.problems))
                yield self._save(handed_in, record, failed=True)

    def _send(self, client: Client, handed_in: HandedIn, last: bool = False) -> Any:
        key = f"grade-{self.chapter}-{uuid.uuid4().hex}"
        args = (handed_in, self.device, self.expected, self.make, last)
        return client.submit(work, *args, key=key, pure=False)

    def _grade_alone(self, client: Client, handed_in: HandedIn) -> Record | str:
        """Its record, or a sentence on why there is none."""
        for _ in range(TRIES_ALONE):
            future = self._send(client, handed_in, last=True)
            error = future.exception()
            if future.status == "cancelled":
                raise CannotGrade(LOST)
            if error is None:
                return future.result()
        if isinstance(error, KilledWorker):
            return FATAL
        return f"It could not be graded: {type(error).__name__}: {inert(str(error))}"

    @contextlib.contextmanager
    def _cluster(self, tasks: int) -> Iterator[Client]:
        if self.scheduler:
            with Client(self.scheduler, timeout=30) as client:
                client.wait_for_workers(1, timeout=600)
                yield client
            return
        forks.context()
        options = {
            # Workers on a busy machine take their time to answer.
            "distributed.comm.timeouts.connect": "300s",
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

    def _key(self, handed_in: HandedIn, autograded: bytes) -> str:
        """Of the submission, of what it was graded by, and of the notebook that came of it."""
        return hashed(handed_in.digest.encode(), self.expected.encode(), autograded)

    def _autograded(self, student: str) -> bytes:
        try:
            return self.place.autograded(student, self.chapter).read_bytes()
        except OSError:
            return b""

    def _save(self, handed_in: HandedIn, record: Record, failed: bool = False) -> Outcome:
        """Files first: each appears whole or not at all, and before the gradebook tells of it."""
        student, text = handed_in.student, record.notebook + "\n"
        made_from = self._key(handed_in, text.encode())
        write(self.place.autograded(student, self.chapter), text, 0o444)
        self._write_beside(handed_in)
        marks = self.writer.save(
            student, handed_in.timestamp, record.scores, record.comments, made_from, again=failed
        )
        self.marks[student] = (made_from, marks)
        return self._outcome(student, marks, record, failed)

    def _write_beside(self, handed_in: HandedIn) -> None:
        for step, mode in (("autograded", 0o444), ("feedback", 0o644)):
            folder = self.place.step(step, handed_in.student, self.chapter)
            keep_beside(folder, handed_in.timestamp, handed_in.secret, mode)

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


def _can_be_stored(student: str) -> bool:
    try:
        return len(student.encode()) <= 128  # nbgrader's column
    except UnicodeEncodeError:
        return False
