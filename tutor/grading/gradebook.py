"""The one writer to nbgrader's gradebook: one transaction a submission.

The tables hold afterwards what ``nbgrader autograde`` leaves in them, so that feedback, formgrader,
manual grading and export go on from there. One table is ours, ``tutor_graded``: what each grade was
made from. It is written in the same transaction, so a run that is killed, at whatever moment,
leaves a submission graded or not graded, and the next run can tell which. And it is remembered
together with the marks that were stored: where something else has written others since, as
``nbgrader autograde --force`` does, the submission counts as not graded.
"""

import json
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from nbgrader.api import (
    Assignment,
    Comment,
    Grade,
    GradeCell,
    Notebook,
    SolutionCell,
    Student,
    SubmittedAssignment,
    SubmittedNotebook,
    TaskCell,
    new_uuid,
)
from nbgrader.apps import NbGraderAPI
from nbgrader.preprocessors import AssignLatePenalties
from sqlalchemy import Column, MetaData, String, Table, delete, insert, select, update

from tutor import ROOT
from tutor.course.settings import open_gradebook, settings
from tutor.grading import CannotGrade
from tutor.grading.class_folder import hashed

GRADED = Table(
    "tutor_graded",
    MetaData(),
    # nbgrader's id: a submission that was removed from the gradebook counts as not graded.
    Column("submission", String(32), primary_key=True),
    Column("made_from", String(64), nullable=False),
    Column("page", String(64)),
)


@dataclass(frozen=True)
class Marks:
    """What stands in the gradebook for one notebook, manual grades and comments included."""

    scores: dict[str, float]
    possible: dict[str, float]
    comments: dict[str, str | None]
    penalty: float = 0.0

    @property
    def points(self) -> float:
        return max(0.0, sum(self.scores.values()) - self.penalty)


class Writer:
    """``chapter`` of the gradebook at ``url``. A context manager; for one thread."""

    def __init__(self, url: str, chapter: str):
        config = settings()
        self._gradebook = open_gradebook(url)
        self._db = self._gradebook.db
        GRADED.create(self._gradebook.engine, checkfirst=True)
        self._lateness = AssignLatePenalties(config=config)
        self._lateness.init_plugin()
        self._assignment, self._due, self._notebook = self._db.execute(
            select(Assignment.id, Assignment.duedate, Notebook.id)
            .join(Notebook, Notebook.assignment_id == Assignment.id)
            .where(Assignment.name == chapter)
        ).one()

        def cells(kind, *columns):
            query = select(kind.name, kind.id, *columns).where(kind.notebook_id == self._notebook)
            return self._db.execute(query).all()

        graded = cells(GradeCell, GradeCell.max_score) + cells(TaskCell, TaskCell.max_score)
        self._grade_cells = {name: cell for name, cell, _ in graded}
        self._possible = {name: possible for name, _, possible in graded}
        self._comment_cells = {name: cell for name, cell in cells(SolutionCell) + cells(TaskCell)}
        self._db.commit()

    def __enter__(self) -> "Writer":
        return self

    def __exit__(self, *_) -> None:
        self._gradebook.close()

    def graded(self) -> dict[str, tuple[str, str | None]]:
        """The ``key`` of each student's grade, and what the feedback page was made from."""
        rows = self._db.execute(
            select(SubmittedAssignment.student_id, GRADED.c.made_from, GRADED.c.page)
            .join(GRADED, GRADED.c.submission == SubmittedAssignment.id)
            .where(SubmittedAssignment.assignment_id == self._assignment)
        ).all()
        self._db.commit()
        return {student: (made_from, page) for student, made_from, page in rows}

    def key(self, student: str, made_from: str) -> str:
        """What is remembered of a grade: what it was made from, and what stands there of it."""
        key = self._key(student, made_from)
        self._db.commit()
        return key

    def _key(self, student: str, made_from: str) -> str:
        mine = (
            select(SubmittedNotebook.id)
            .join(SubmittedAssignment, SubmittedAssignment.id == SubmittedNotebook.assignment_id)
            .where(
                SubmittedNotebook.notebook_id == self._notebook,
                SubmittedAssignment.assignment_id == self._assignment,
                SubmittedAssignment.student_id == student,
            )
        )
        found = {}
        for table, cells, column in (
            (Grade, self._grade_cells, Grade.auto_score),
            (Comment, self._comment_cells, Comment.auto_comment),
        ):
            query = select(table.cell_id, column).where(table.notebook_id.in_(mine))
            of_cell = dict(map(tuple, self._db.execute(query)))
            found[table.__name__] = {name: of_cell.get(cell) for name, cell in cells.items()}
        return hashed(made_from.encode(), json.dumps(found, sort_keys=True).encode())

    def save(
        self,
        student: str,
        timestamp: datetime | None,
        scores: Mapping[str, float | None] | None = None,
        comments: Mapping[str, str | None] | None = None,
        made_from: str | None = None,
        again: bool = False,
    ) -> Marks:
        """Write one submission and return what stands there now.

        Without ``scores`` only the time of submission, which may be unknown, and the penalty for
        lateness are brought up to date. A score of None asks for a manual grade. Manual scores and
        comments are kept.
        With ``again`` the submission counts as not graded: the next run tries once more.
        """
        try:
            marks = self._save(student, timestamp, scores, comments or {})
            if made_from is not None:
                self._remember(student, made_from, again)
            self._db.commit()
        except BaseException:
            self._db.rollback()
            raise
        return marks

    def _remember(self, student: str, made_from: str, again: bool) -> None:
        submission, _ = self._rows_of(student)
        self._db.execute(delete(GRADED).where(GRADED.c.submission == submission))
        if not again:
            key = self._key(student, made_from)
            self._db.execute(insert(GRADED).values(submission=submission, made_from=key))

    def _save(self, student, timestamp, scores, comments) -> Marks:
        submission, notebook = self._rows_of(student)
        stored, extension = self._db.execute(
            select(SubmittedAssignment.timestamp, SubmittedAssignment.extension).where(
                SubmittedAssignment.id == submission
            )
        ).one()
        if timestamp != stored:
            self._change(SubmittedAssignment, [{"id": submission, "timestamp": timestamp}])

        grades = self._db.execute(
            select(
                Grade.id, Grade.cell_id, Grade.auto_score, Grade.manual_score, Grade.extra_credit
            ).where(Grade.notebook_id == notebook)
        ).all()
        of_cell = {g.cell_id: g for g in grades}
        total = {}
        changes = []
        for name, cell in self._grade_cells.items():
            grade = of_cell[cell]
            auto = grade.auto_score
            if scores is not None:
                auto = scores.get(name, 0.0)
                by_hand = auto is None or grade.manual_score is not None
                changes.append({"id": grade.id, "auto_score": auto, "needs_manual_grade": by_hand})
            score = auto if grade.manual_score is None else grade.manual_score
            total[name] = (score or 0.0) + (grade.extra_credit or 0.0 if score is not None else 0.0)
        self._change(Grade, changes)

        rows = self._db.execute(
            select(Comment.id, Comment.cell_id, Comment.auto_comment, Comment.manual_comment).where(
                Comment.notebook_id == notebook
            )
        ).all()
        of_cell = {r.cell_id: r for r in rows}
        said = {name: of_cell[cell] for name, cell in self._comment_cells.items()}
        shown = {name: r.auto_comment for name, r in said.items()}
        if scores is not None:
            shown = {name: comments.get(name) for name in said}
            self._change(
                Comment, [{"id": r.id, "auto_comment": shown[name]} for name, r in said.items()]
            )
        for name, row in said.items():
            if row.manual_comment is not None:
                shown[name] = row.manual_comment

        late = self._seconds_late(timestamp, extension)
        penalty = self._penalty(student, sum(total.values()), late)
        self._change(SubmittedNotebook, [{"id": notebook, "late_submission_penalty": penalty}])
        return Marks(total, self._possible, shown, penalty or 0.0)

    def remember_pages(self, pages: Mapping[str, str]) -> None:
        """What the students' feedback pages were made from."""
        for student, page in pages.items():
            mine = GRADED.c.submission == self._rows_of(student)[0]
            self._db.execute(update(GRADED).where(mine).values(page=page))
        self._db.commit()

    def _rows_of(self, student: str) -> tuple[str, str]:
        """Ids of the submission and its notebook, made with all that nbgrader adds to them."""
        if self._db.scalar(select(Student.id).where(Student.id == student)) is None:
            self._add(Student, [{"id": student}])
        submission = self._db.scalar(
            select(SubmittedAssignment.id).where(
                SubmittedAssignment.assignment_id == self._assignment,
                SubmittedAssignment.student_id == student,
            )
        )
        if submission is None:
            submission = new_uuid()
            ids = {"assignment_id": self._assignment, "student_id": student}
            self._add(SubmittedAssignment, [{"id": submission, **ids}])
        notebook = self._db.scalar(
            select(SubmittedNotebook.id).where(
                SubmittedNotebook.assignment_id == submission,
                SubmittedNotebook.notebook_id == self._notebook,
            )
        )
        if notebook is None:
            notebook = new_uuid()
            ids = {"assignment_id": submission, "notebook_id": self._notebook}
            self._add(SubmittedNotebook, [{"id": notebook, **ids}])
            for table, cells in ((Grade, self._grade_cells), (Comment, self._comment_cells)):
                rows = [{"cell_id": c, "notebook_id": notebook} for c in cells.values()]
                self._add(table, rows)
        return submission, notebook

    def _add(self, table, rows: list[dict]) -> None:
        if rows:
            self._db.execute(insert(table), rows)

    def _change(self, table, rows: Iterable[dict]) -> None:
        if rows := list(rows):
            self._db.execute(update(table), rows)

    def _seconds_late(self, timestamp: datetime | None, extension) -> float:
        if timestamp is None or self._due is None:
            return 0.0
        due = self._due + extension if extension is not None else self._due
        return max(0.0, (timestamp - due).total_seconds())

    def _penalty(self, student: str, score: float, seconds: float) -> float | None:
        if seconds <= 0:
            return None
        plugin = self._lateness.plugin_inst
        penalty = plugin.late_submission_penalty(student, score, seconds)
        if penalty is None:
            return None
        return min(max(0.0, penalty), score)  # as nbgrader does


def tell(url: str, chapter: str) -> None:
    """Tell the gradebook of the chapter's exercises, as ``nbgrader generate_assignment`` does."""
    open_gradebook(url).close()
    config = settings()
    config.CourseDirectory.db_url = url
    with tempfile.TemporaryDirectory() as folder:
        # nbgrader takes the course's folder for a pattern: a name with a bracket matches nothing.
        course = Path(folder, "course")
        course.symlink_to(ROOT)
        config.CourseDirectory.root = str(course)
        # exercises/ is written by `make release` only, which never overwrites an edit.
        config.CourseDirectory.release_directory = str(Path(folder, "release"))
        result = NbGraderAPI(config=config).generate_assignment(chapter)
    if result["success"]:
        return
    log = result.get("log") or result.get("error") or ""
    if "Cannot add or remove cells" in log:
        raise CannotGrade(
            f"The gradebook holds grades of other exercises than solutions/{chapter} has now: an "
            "exercise was added or taken away since. Move the gradebook to another place, which "
            "keeps the old grades, and grade again."
        )
    raise CannotGrade(f"nbgrader cannot read solutions/{chapter}: run `make release`.\n{log}")
