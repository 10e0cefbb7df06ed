"""nbgrader's feedback pages, many in one process: its own exporter, template and settings.

They are made when all marks are stored.
"""

import json
import os
import re
from collections.abc import Mapping
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import nbformat
from nbconvert.exporters import HTMLExporter
from nbconvert.filters import Highlight2HTML
from nbconvert.filters.widgetsdatatypefilter import WidgetsDataTypeFilter
from nbformat import NotebookNode
from nbgrader.converters import GenerateFeedback
from nbgrader.coursedir import CourseDirectory
from nbgrader.preprocessors import GetGrades

from tutor import ROOT
from tutor.course.settings import settings
from tutor.grading.class_folder import ClassFolder, chapters, hashed, write
from tutor.grading.gradebook import Marks, Writer
from tutor.grading.reports.apart import Failed, apart
from tutor.sandbox.outputs import inert


class _Pages(HTMLExporter):
    """nbconvert's pages. It parses each once more to name its pictures and to make its cells
    reachable by the tabulator key, which takes longer than everything before."""

    def from_notebook_node(
        self, nb: NotebookNode, resources: dict[str, Any] | None = None, **kwargs: Any
    ) -> tuple[str, dict[str, Any]]:
        language = nb.metadata.get("language_info", {}).get("name", "ipython3")
        self.register_filter("highlight_code", Highlight2HTML(pygments_lexer=language, parent=self))
        resources = self._init_resources(resources)
        kinds = WidgetsDataTypeFilter(
            notebook_metadata=self._nb_metadata, parent=self, resources=resources
        )
        self.register_filter("filter_data_type", kinds)
        made, resources = super(HTMLExporter, self).from_notebook_node(nb, resources, **kwargs)
        return _PICTURE.sub(f'<img alt="{_NO_ALT}" ', made), resources


_PICTURE = re.compile(r"<img (?![^>]*\balt=)")
_LONGEST = 200_000
"""Characters of a page's cells."""
_NO_ALT = "A picture that the notebook drew"


@cache
def _exporter() -> HTMLExporter:
    course = CourseDirectory(root=str(ROOT), config=settings())
    converter = GenerateFeedback(coursedir=course, config=settings())
    exporter = _Pages(parent=converter, config=converter.config)
    for step in converter.preprocessors:
        if step is not GetGrades:  # it opens the gradebook; the marks are at hand
            exporter.register_preprocessor(step, enabled=True)
    return exporter


def page(text: str, student: str, chapter: str, notebook: str, marks: Marks) -> str:
    """The page for one autograded notebook, given as JSON."""
    nb, left = nbformat.reads(text, as_version=4), _LONGEST
    for cell in nb.cells:
        if len(cell.source) > left:  # to colour it would take minutes
            cell.source = f"{cell.source[:left]}\n\n# The rest of this cell is not shown."
        left = max(0, left - len(cell.source))
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


def write_pages(
    place: ClassFolder,
    chapter: str,
    marks: Mapping[str, tuple[str, Marks]],
    workers: int | None = None,
) -> list[str]:
    """Write the pages that are missing or of other marks; a sentence for each that was not made.

    ``marks``: of each student, what the grade was made from, and what stands in the gradebook.
    """
    problems, made = [], {}
    with place.alone(), Writer(place.database, chapter) as writer:
        known = {student: page for student, (_, page) in writer.graded().items()}
        keys = {student: _key(*about) for student, about in marks.items()}
        jobs = {
            student: (place.autograded(student, chapter), student, chapter, marks[student][1])
            for student, key in keys.items()
            if known.get(student) != key or not place.page(student, chapter).exists()
        }
        for student, text in apart(_page_of, jobs, workers or os.cpu_count() or 1):
            if isinstance(text, Failed):
                problems.append(f"There is no feedback page for {student}: {inert(str(text))}")
            else:
                write(place.page(student, chapter), text + "\n", 0o644)
                made[student] = keys[student]
        writer.remember_pages(made)
    return problems


def _page_of(path: Path, student: str, chapter: str, marks: Marks) -> str:
    return page(path.read_text(encoding="utf-8"), student, chapter, chapters()[chapter], marks)


def _key(made_from: str, marks: Marks) -> str:
    return hashed(made_from.encode(), json.dumps(asdict(marks), sort_keys=True).encode())
