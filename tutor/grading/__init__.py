"""From the instructor's notebook to the gradebook: release, lab, grading, reports."""

import contextlib
import gc
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
"""The course's folder."""


class CannotGrade(RuntimeError):
    """Nobody can be graded, and why."""


@contextlib.contextmanager
def importing() -> Iterator[None]:
    """What is made in here stays: the garbage collector does not look at it, then or later.

    Imports take three quarters of the time so, and a fork shares the pages of what they made.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
