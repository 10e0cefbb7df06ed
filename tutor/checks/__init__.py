"""Checking a student's work: ``check(fn)`` in a notebook, ``judge`` for everything else."""

import difflib
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch

from tutor.checks import (
    alignment,
    attention,
    families,
    multihead,
    position,
    recurrence,
    tokens,
    transformer,
)
from tutor.checks.exercise import Exercise
from tutor.checks.judge import PUBLIC_SEED, judge
from tutor.checks.names import called_by, functions_of, names, spoken_of
from tutor.checks.report import Points, Report

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
    for module in (
        recurrence,
        alignment,
        attention,
        multihead,
        position,
        tokens,
        transformer,
        families,
    )
}
"""The exercises of each chapter, in the order of the course."""

EXERCISES: dict[str, Exercise] = {e.name: e for part in CHAPTERS.values() for e in part}
"""Every exercise of the course by name, in the order of the chapters."""


def of_chapter(chapter: str) -> dict[str, Exercise]:
    """The exercises of one chapter by name; KeyError if there is no such chapter."""
    return {e.name: e for e in CHAPTERS[chapter]}


def find(name: str, among: Mapping[str, Exercise] = EXERCISES) -> Exercise:
    """The exercise of that name; LookupError with the nearest names if there is none."""
    if name in among:
        return among[name]
    near = difflib.get_close_matches(name, among, n=3, cutoff=0.4) or list(among)
    raise LookupError(f"no exercise is named {name!r}; the nearest: {', '.join(near)}")


def check(function: Callable[..., Any], among: Mapping[str, Exercise] = EXERCISES) -> float:
    """Check a function or a class, show the report and return the points.

    The exercise is the one that the call names, as in grading: after ``causal_mask = partial(...)``
    ``check(causal_mask)`` is about that, whatever the function was called when it was defined.

    Call it as the last line of a notebook cell: nbgrader reads the number as the cell's points.
    Runs on the CPU and, when everything is earned there, again on CUDA where there is one: what
    is refused on the CPU could end CUDA for the whole process, as an index out of range does.
    """
    if not callable(function):
        raise TypeError(f"check takes the function itself, got a {type(function).__name__}")
    exercise = find(_name(function, spoken_of(function, sys._getframe(1)), among), among)
    report = judge(exercise, function)
    if report.passed and torch.cuda.is_available():
        report = judge(exercise, function, device="cuda")
    if _borrows(function, exercise.reference.__module__):
        zero = tuple(v.withheld("the work is your own") for v in report.verdicts)
        kind = "class" if exercise.is_class else "function"
        note = f"This uses the course's own {kind}: read it, and earn the points with yours."
        report = replace(report, verdicts=zero, notes=(note,))
    elif not report.passed and (cause := _failing_dependency(exercise.name, function, among)):
        note = f"It calls your {cause.exercise}, which earns {cause.points:g} of {cause.possible}"
        report = replace(report, notes=(f"{note} itself: mend that first.", *report.notes))
    _show(report)
    return Points(report.points)


def _name(function: Callable[..., Any], spoken: list[str], among: Mapping[str, Exercise]) -> str:
    own = getattr(function, "__qualname__", type(function).__qualname__)
    own = own.rpartition("<locals>.")[2]
    named = [name for name in spoken if name in among]
    if own in named or (own in among and not named):
        return own
    return (named or spoken or [own])[0]


def _borrows(function: Callable[..., Any], module: str) -> bool:
    """Whether it is, calls, imports or inherits what stands in the chapter's own reference module.

    For a student who has misread the rules. It is no defence against one who wants to break them.
    """
    things = [function, *functions_of(function), *called_by(function, set()).values()]
    things += [base for thing in things if isinstance(thing, type) for base in thing.__mro__]
    for thing in things:
        if getattr(thing, "__module__", None) == module:
            return True
        used = {name for f in functions_of(thing) for name in names(f.__code__)}
        if module in used or used.issuperset(module.split(".")):  # from tutor import attention
            return True
    return False


def _failing_dependency(
    its_name: str, function: Callable[..., Any], among: Mapping[str, Exercise]
) -> Report | None:
    """The report on the earliest exercise that ``function`` builds on and that fails by itself."""
    called = called_by(function, {its_name})
    for name, exercise in among.items():
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
