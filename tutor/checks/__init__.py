"""Checking a student's functions: ``check(fn)`` in a notebook, ``judge`` for everything else."""

import difflib
import types
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch

from tutor.checks import alignment, attention, multihead, position, recurrence
from tutor.checks.candidate import called_by, names
from tutor.checks.exercise import Exercise
from tutor.checks.judge import PUBLIC_SEED, judge
from tutor.checks.report import Report

__all__ = [
    "CHAPTERS",
    "EXERCISES",
    "PUBLIC_SEED",
    "Exercise",
    "Report",
    "check",
    "find",
    "judge",
    "of_chapter",
]

CHAPTERS: dict[str, tuple[Exercise, ...]] = {
    module.CHAPTER: module.EXERCISES
    for module in (recurrence, alignment, attention, multihead, position)
}
"""The exercises of each chapter, in the order of the course."""

EXERCISES: dict[str, Exercise] = {e.name: e for part in CHAPTERS.values() for e in part}
"""Every exercise of the course by name, in the order of the chapters."""


def of_chapter(chapter: str) -> dict[str, Exercise]:
    """The exercises of one chapter by name; KeyError if there is no such chapter."""
    return {e.name: e for e in CHAPTERS[chapter]}


def find(name: str) -> Exercise:
    """The exercise of that name; LookupError with the nearest names if there is none."""
    if name in EXERCISES:
        return EXERCISES[name]
    near = difflib.get_close_matches(name, EXERCISES, n=3, cutoff=0.4) or list(EXERCISES)
    raise LookupError(f"no exercise is named {name!r}; the nearest: {', '.join(near)}")


def check(function: Callable[..., Any]) -> float:
    """Check a function, looked up by its name, show the report and return the points earned.

    Call it as the last line of a notebook cell: nbgrader reads the number as the cell's points.
    Runs on the CPU, and again on CUDA where there is one; the lower of the two counts.
    """
    if not callable(function):
        raise TypeError(f"check takes the function itself, got a {type(function).__name__}")
    qualname = getattr(function, "__qualname__", type(function).__qualname__)
    exercise = find(qualname.rpartition("<locals>.")[2])
    devices = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]
    reports = (judge(exercise, function, device=d) for d in devices)
    report = min(reports, key=lambda r: r.points)
    if _borrows(function, exercise.reference.__module__):
        zero = tuple(v.withheld("the work is your own") for v in report.verdicts)
        note = "This uses the course's own function: read it, and earn the points with yours."
        report = replace(report, verdicts=zero, notes=(note,))
    elif not report.passed and (cause := _failing_dependency(function)):
        note = f"It calls your {cause.exercise}, which earns {cause.points:g} of {cause.possible}"
        report = replace(report, notes=(f"{note} itself: mend that first.", *report.notes))
    _show(report)
    return report.points


def _borrows(function: Callable[..., Any], module: str) -> bool:
    """Whether it is, calls or imports a function of the chapter's own reference module.

    For a student who has misread the rules. It is no defence against one who wants to break them.
    """
    functions = [function, *called_by(function, set()).values()]
    for f in functions:
        used = set(names(f.__code__)) if isinstance(f, types.FunctionType) else set()
        if getattr(f, "__module__", None) == module or module in used:
            return True
        if used.issuperset(module.split(".")):  # from tutor import attention
            return True
    return False


def _failing_dependency(function: Callable[..., Any]) -> Report | None:
    """The report on the earliest exercise that ``function`` builds on and that fails by itself."""
    called = called_by(function, {getattr(function, "__name__", "")})
    for name, exercise in EXERCISES.items():
        if name in called:
            report = judge(exercise, called[name])
            if not report.passed:
                return report
    return None


def _show(report: Report) -> None:
    try:
        from IPython import get_ipython
        from IPython.display import display
    except ModuleNotFoundError:
        get_ipython = lambda: None  # noqa: E731
    if get_ipython() is None:
        print(report)
    else:
        display(report)
