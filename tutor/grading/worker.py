"""A Dask worker's task: to grade one submission. A grader is kept for the next one."""

import contextlib
import os
import tempfile
import threading
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from tutor.course.settings import settings
from tutor.grading import CannotGrade
from tutor.grading.class_folder import HandedIn
from tutor.grading.grader import Grader
from tutor.grading.record import Record, record_of
from tutor.grading.specification import specification
from tutor.sandbox.bubblewrap import NoSandbox
from tutor.sandbox.session import Waited

MakeGrader = Callable[[str, str], Any]
"""From a chapter and a device to something with ``attempt(path, last)`` and ``close()``."""

_mine = threading.local()


def sandboxed(chapter: str, device: str) -> Grader:
    return Grader.from_config(chapter, settings(), device)


def trusting(chapter: str, device: str) -> Grader:
    """Without a sandbox: what it runs may read and change all that you can, grades included."""
    config = settings()
    config.Judged.sandboxed = False
    return Grader.from_config(chapter, config, device)


def work(
    handed_in: HandedIn, device: str, expected: str, make: MakeGrader, last: bool
) -> Record | None:
    """Grade one submission: a worker's task.

    None if only a limit of wall time was met, in a try that is not the ``last``: the machine may be
    busy.
    """
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
            try:
                graded = _grader(chapter, device, make).attempt(path, last)
            except (NoSandbox, Waited):
                raise
            except Exception:
                _close_grader()
                graded = _grader(chapter, device, make).attempt(path, last)
        except NoSandbox as error:
            raise CannotGrade(str(error)) from None
        except Waited:
            return None
    return record_of(graded, handed_in.problems)


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
