"""What ``nbgrader_config.py`` puts in the place of nbgrader's own parts.

So ``nbgrader autograde`` and the formgrader's Autograde button grade as ``tutor grade`` does, and
what nbgrader offers afterwards (manual grading, late penalties, feedback, export) stays as it is.
"""

import atexit
import glob
import os
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import nbformat
from nbconvert.exporters import NotebookExporter
from nbformat import NotebookNode
from nbgrader.api import Gradebook
from nbgrader.converters import Autograde
from nbgrader.coursedir import CourseDirectory
from nbgrader.exchange.default import ExchangeReleaseFeedback
from nbgrader.preprocessors import NbGraderPreprocessor
from nbgrader.utils import is_solution
from traitlets import Bool, Float, Integer, Unicode
from traitlets.config import Config

from tutor import ROOT
from tutor.grading import submission
from tutor.grading.class_folder import BESIDE, beside, keep_beside
from tutor.grading.grader import Grader
from tutor.sandbox.limits import Limits


class AnySubmission(NotebookExporter):
    """Reads whatever was handed in, so that no file of one student's stops the others' grading."""

    def __init__(self, **kwargs: Any):
        super().__init__(**kwargs)
        if isinstance(self.parent, Autograde):
            self.parent.coursedir = _guarded(self.parent.coursedir, self.config)
            # By now it has listed the notebooks that it finds. Those that were asked for count, in
            # every folder: nbgrader passes over one without a notebook, or with a bracket.
            pattern = self.parent._format_source(
                self.parent.coursedir.assignment_id, self.parent.coursedir.student_id
            )
            for folder in filter(os.path.isdir, glob.glob(pattern)):
                if asked := _asked_for(Path(folder)):
                    self.parent.assignments[folder] = asked

    def from_filename(self, filename: str, resources: dict | None = None, **kwargs: Any):
        if not isinstance(self.parent, Autograde) or not self.parent._sanitizing:
            return super().from_filename(filename, resources, **kwargs)
        path = Path(filename)
        released = submission.released(resources["nbgrader"]["assignment"], path.stem)
        submitted = submission.read(path, released, Limits.of(self.config.Judged))
        nb = submission.restore(released, submitted)
        about = resources["nbgrader"]
        timestamp, secret, problems = beside(path.parent, self.config)
        folder = Path(self.parent._format_dest(about["assignment"], about["student"]))
        keep_beside(folder, timestamp, secret, 0o444)
        if timestamp is None:  # nbgrader would keep that of an earlier version
            with Gradebook(about["db_url"]) as gradebook:
                found = gradebook.find_submission(about["assignment"], about["student"])
                found.timestamp = None
                gradebook.db.commit()
        nb.metadata["tutor"]["problems"] = list(submitted.problems)
        nb.metadata["tutor"]["beside"] = problems
        return self.from_notebook_node(nb, resources, **kwargs)


class _Guarded(CourseDirectory):
    """Takes nothing from a submission's folder but its notebook and a date that can be read."""

    def get_existing_timestamp(self, dest_path: str) -> Any:
        timestamp, _, problems = beside(Path(dest_path), self.config)
        for problem in problems:
            self.log.warning("%s: %s", dest_path, problem)
        return timestamp


def _guarded(coursedir: CourseDirectory, config: Config) -> CourseDirectory:
    guarded = _Guarded(parent=coursedir.parent, config=config)
    for name in coursedir.trait_names(config=True):
        setattr(guarded, name, getattr(coursedir, name))
    # Files that lie beside a notebook, and what they link to, are not copied.
    guarded.ignore = [*coursedir.ignore, "*"]
    return guarded


def _asked_for(folder: Path) -> list[str]:
    return [
        str(folder / f"{p.stem}.ipynb") for p in (ROOT / "solutions" / folder.name).glob("*.md")
    ]


def _limit_traits() -> dict[str, Any]:
    kinds = {int: Integer, float: Float}
    return {
        f.name: kinds[f.type](f.default, help=Limits.about(f.name)).tag(config=True)
        for f in fields(Limits)
    }


_Limited = type("_Limited", (NbGraderPreprocessor,), _limit_traits())
"""A preprocessor with the names of ``Limits`` as settings."""


class Judged(_Limited):
    """Runs the notebook in the sandbox and its checks outside, in the place of ``Execute``."""

    sandboxed = Bool(
        True,
        help="False runs students' code without protection: it may then read and change all that "
        "the grader can, including grades. For people whom you trust.",
    ).tag(config=True)
    device = Unicode("cpu", help="'cpu', or 'cuda': students' functions then run on the GPU.").tag(
        config=True
    )

    def preprocess(self, nb: NotebookNode, resources: dict) -> tuple[NotebookNode, dict]:
        about = resources["nbgrader"]
        released = submission.released(about["assignment"], about["notebook"])
        limits = Limits.of(self)
        whole = replace(limits, notebook_mebibytes=2**20, notebook_cells=2**31)
        submitted = submission.parse(nbformat.writes(nb).encode(), released, whole)
        problems = tuple(nb.metadata["tutor"]["problems"])
        if problems and not submitted.written:
            submitted = submission.Submitted(problems=problems)
        submitted, also = replace(submitted, problems=problems), nb.metadata["tutor"]["beside"]
        grader = _grader(about["assignment"], limits, self.device, self.sandboxed)
        graded = grader.grade_submitted(submitted, released)
        for sentence in (*graded.problems, *graded.limits_broken):
            self.log.warning("%s: %s", about["student"], sentence)
        graded.notebook.metadata["tutor"]["beside"] = also
        return graded.notebook, resources


class SaveReasons(NbGraderPreprocessor):
    """Puts into the gradebook why a notebook, or a part of it, could not be graded."""

    def preprocess(self, nb: NotebookNode, resources: dict) -> tuple[NotebookNode, dict]:
        about, tutor = resources["nbgrader"], nb.metadata["tutor"]
        reasons = " ".join([*tutor["problems"], *tutor["limits"]])
        tutor["problems"] += tutor.pop("beside")
        if reasons:
            with Gradebook(about["db_url"]) as gradebook:
                for cell in filter(is_solution, nb.cells):
                    comment = gradebook.find_comment(
                        cell.metadata.nbgrader.grade_id,
                        about["notebook"],
                        about["assignment"],
                        about["student"],
                    )
                    comment.auto_comment = reasons
                gradebook.db.commit()
        return nb, resources


class ReleaseFeedback(ExchangeReleaseFeedback):
    """Passes over who has not handed in through the exchange, where nbgrader's own stops."""

    def copy_files(self) -> None:
        excluded = self.coursedir.student_id_exclude
        folders = [Path(folder) for folder in glob.glob(self.src_path)]
        without = [f for f in folders if not all((f / name).exists() for name in BESIDE)]
        for folder in without:
            self.log.warning("%s did not come through the exchange: give it back yourself", folder)
        names = [folder.parent.name for folder in without]
        self.coursedir.student_id_exclude = ",".join(filter(None, [excluded, *names]))
        try:
            super().copy_files()
        finally:
            self.coursedir.student_id_exclude = excluded


_graders: dict[Any, Grader] = {}


def _grader(chapter: str, limits: Limits, device: str, sandboxed: bool) -> Grader:
    """One for all submissions of a run: its start costs more than a submission."""
    key = (chapter, limits, device, sandboxed)
    if key not in _graders:
        _graders[key] = Grader(chapter, limits, device, sandboxed)
        atexit.register(_graders[key].close)
    return _graders[key]
