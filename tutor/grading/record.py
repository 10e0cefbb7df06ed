"""What grading one submission gave: a worker sends it, the one writer stores it."""

from dataclasses import dataclass, field
from typing import Any

import nbformat
from nbgrader.utils import compute_checksum, determine_grade, is_grade, is_solution

from tutor.grading import submission
from tutor.grading.class_folder import HandedIn
from tutor.grading.grader import Grader
from tutor.grading.submission import Submitted


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


def record_of(graded: Any, also: tuple[str, ...]) -> Record:
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


def refused(handed_in: HandedIn, reasons: tuple[str, ...]) -> Record:
    """0 points, with the reason where everybody looks: in the notebook and as a comment."""
    released = submission.released(handed_in.chapter, handed_in.notebook)
    # No student's line is run, so no sandbox is started.
    grader = Grader(handed_in.chapter)
    return record_of(grader.grade_submitted(Submitted(problems=reasons), released), ())
