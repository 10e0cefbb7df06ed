"""nbgrader's feedback pages, many in one process: its own exporter, template and settings."""

from functools import cache

import nbformat
from nbconvert.exporters import HTMLExporter
from nbgrader.converters import GenerateFeedback
from nbgrader.coursedir import CourseDirectory
from nbgrader.preprocessors import GetGrades

from tutor.grading.gradebook import Marks, settings
from tutor.grading.release import ROOT


@cache
def _exporter() -> HTMLExporter:
    course = CourseDirectory(root=str(ROOT), config=settings())
    converter = GenerateFeedback(coursedir=course, config=settings())
    exporter = converter.exporter_class(parent=converter, config=converter.config)
    for step in converter.preprocessors:
        if step is not GetGrades:  # it opens the gradebook; the marks are at hand
            exporter.register_preprocessor(step, enabled=True)
    return exporter


def page(text: str, student: str, chapter: str, notebook: str, marks: Marks) -> str:
    """The page for one autograded notebook, given as JSON."""
    nb = nbformat.reads(text, as_version=4)
    for cell in nb.cells:
        about = cell.metadata.get("nbgrader", {})
        name = about.get("grade_id")
        if name in marks.comments:
            about["comment"] = marks.comments[name]
        if name in marks.scores:
            about["score"], about["points"] = marks.scores[name], marks.possible[name]
    head = {
        "student": student,
        "assignment": chapter,
        "notebook": notebook,
        "score": sum(marks.scores.values()) - marks.penalty,
        "max_score": sum(marks.possible.values()),
        "late_penalty": marks.penalty,
    }
    resources = {"nbgrader": head, "unique_key": notebook}
    return _exporter().from_notebook_node(nb, resources=resources)[0]
