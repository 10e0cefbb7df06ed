"""Grades as tables: nbgrader's own columns in grades.csv, and what Canvas and Moodle import.

Canvas finds a student by ``ID`` (nbgrader's ``lms_user_id``) or by ``SIS Login ID`` (nbgrader's own
id), and makes an assignment for each new column; its second row holds the points possible. Moodle
asks on import which column identifies a user (``ID number`` or ``Email address``) and which grade
item each other column goes to. Both want a row a student and a column a chapter.
"""

import csv
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from nbgrader.api import Assignment, Student, SubmittedAssignment
from sqlalchemy import select

from tutor.course.settings import open_gradebook

FORMATS = ("canvas", "moodle")

_FORMULA = ("=", "+", "-", "@")

COLUMNS = (
    "assignment",
    "duedate",
    "timestamp",
    "student_id",
    "last_name",
    "first_name",
    "email",
    "raw_score",
    "late_submission_penalty",
    "score",
    "max_score",
)
"""Of ``nbgrader export``."""


def write(folder: Path, url: str, layout: str | None = None) -> list[Path]:
    """``grades.csv``, and ``grades-<layout>.csv`` beside it."""
    rows = grades(url)
    paths = [_table(folder / "grades.csv", [COLUMNS, *([r[c] for c in COLUMNS] for r in rows)])]
    if layout is not None:
        table = {"canvas": canvas, "moodle": moodle}[layout](rows)
        paths.append(_table(folder / f"grades-{layout}.csv", table))
    return paths


def grades(url: str) -> list[dict[str, Any]]:
    """A row for each chapter and student, also for who has handed in nothing."""
    people = (Student.id, Student.last_name, Student.first_name, Student.email, Student.lms_user_id)
    gradebook = open_gradebook(url)
    with gradebook:
        query = select(Assignment.id, Assignment.name, Assignment.duedate, Assignment.max_score)
        chapters = gradebook.db.execute(query.order_by(Assignment.name)).all()
        students = gradebook.db.execute(select(*people).order_by(Student.id)).all()
        submissions = {
            (s.assignment_id, s.student_id): s
            for s in gradebook.db.execute(
                select(
                    SubmittedAssignment.assignment_id,
                    SubmittedAssignment.student_id,
                    SubmittedAssignment.timestamp,
                    SubmittedAssignment.score,
                    SubmittedAssignment.late_submission_penalty,
                )
            )
        }
    rows = []
    for chapter in chapters:
        for student in students:
            handed_in = submissions.get((chapter.id, student.id))
            raw = handed_in.score or 0.0 if handed_in else 0.0
            penalty = handed_in.late_submission_penalty or 0.0 if handed_in else 0.0
            rows.append(
                {
                    "assignment": chapter.name,
                    "duedate": chapter.duedate,
                    "timestamp": handed_in.timestamp if handed_in else None,
                    "student_id": _plain(student.id),
                    "last_name": _plain(student.last_name),
                    "first_name": _plain(student.first_name),
                    "email": _plain(student.email),
                    "lms_user_id": _plain(student.lms_user_id),
                    "raw_score": raw,
                    "late_submission_penalty": penalty,
                    "score": max(0.0, raw - penalty),
                    "max_score": chapter.max_score,
                    "handed_in": handed_in is not None,
                }
            )
    return rows


def canvas(rows: list[dict[str, Any]]) -> list[list[Any]]:
    possible = {r["assignment"]: r["max_score"] for r in rows}
    head = ["Student", "ID", "SIS User ID", "SIS Login ID", "Section", *possible]
    table = [head, ["    Points Possible", "", "", "", "", *possible.values()]]
    for person, scores in _by_student(rows):
        names = [n for n in (person["last_name"], person["first_name"]) if n]
        name = ", ".join(names) or person["student_id"]
        ids = [person["lms_user_id"], None, person["student_id"], None]
        table.append([name, *ids, *(scores.get(chapter) for chapter in possible)])
    return table


def moodle(rows: list[dict[str, Any]]) -> list[list[Any]]:
    chapters = list(dict.fromkeys(r["assignment"] for r in rows))
    table = [["First name", "Last name", "ID number", "Email address", *chapters]]
    for person, scores in _by_student(rows):
        about = [person[k] for k in ("first_name", "last_name", "student_id", "email")]
        table.append([*about, *(scores.get(chapter) for chapter in chapters)])
    return table


def _by_student(
    rows: list[dict[str, Any]],
) -> Iterable[tuple[dict[str, Any], dict[str, float | None]]]:
    """Who has handed in nothing has no score: an import must not overwrite an excuse with 0."""
    people: dict[str, dict[str, Any]] = {}
    scores: dict[str, dict[str, float | None]] = {}
    for row in rows:
        people.setdefault(row["student_id"], row)
        score = row["score"] if row["handed_in"] else None
        scores.setdefault(row["student_id"], {})[row["assignment"]] = score
    return ((people[s], scores[s]) for s in people)


def _plain(text: str | None) -> str | None:
    """What a spreadsheet does not take for a formula, nor a terminal for a command: names are what
    students say, and ids may be the names of folders."""
    text = text and "".join(c if c.isprintable() else "?" for c in text)
    return f"'{text}" if text and text.lstrip().startswith(_FORMULA) else text


def _table(path: Path, rows: Iterable[Iterable[Any]]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)
    return path
