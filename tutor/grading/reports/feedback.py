"""nbgrader's feedback pages, many in one process: its own exporter, template and settings.

They are made when all marks are stored.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from functools import cache
from pathlib import Path

import nbformat
from markupsafe import escape
from nbgrader.converters import GenerateFeedback
from nbgrader.coursedir import CourseDirectory
from nbgrader.preprocessors import GetGrades

from tutor import ROOT
from tutor.course.settings import settings
from tutor.grading.class_folder import ClassFolder, chapters, hashed, write
from tutor.grading.gradebook import Marks, Writer
from tutor.grading.reports.apart import Failed, apart
from tutor.grading.reports.pages import Pages
from tutor.sandbox.outputs import inert


@cache
def _exporter() -> Pages:
    course = CourseDirectory(root=str(ROOT), config=settings())
    converter = GenerateFeedback(coursedir=course, config=settings())
    exporter = Pages(parent=converter, config=converter.config)
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


def write_pages(
    place: ClassFolder,
    chapter: str,
    marks: Mapping[str, tuple[str, Marks]],
    workers: int | None = None,
) -> list[str]:
    """Write the pages that are missing or of other marks; a sentence for each that could not be
    made of the notebook, and is a plain one with the marks.

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
                why = f"could not be made of the notebook: {inert(str(text))}"
                problems.append(f"The feedback page for {inert(student)} {why}")
                text = plain_page(student, chapter, marks[student][1], f"This page {why}.")
            write(place.page(student, chapter), text + "\n", 0o644)
            made[student] = keys[student]
        writer.remember_pages(made)
    return problems


def plain_page(student: str, chapter: str, marks: Marks, why: str) -> str:
    """The marks and the comments alone; nothing is read of what the student wrote."""
    rows = "".join(
        f"<tr><td>{escape(name)}<td>{points:g} of {marks.possible[name]:g}"
        for name, points in marks.scores.items()
    )
    said = dict.fromkeys(filter(None, marks.comments.values()))
    comments = "".join(f"<p>{escape(comment)}" for comment in said)
    late = f"<p>Late submission penalty: {marks.penalty:g}" if marks.penalty else ""
    return f"""<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<title>{escape(chapters()[chapter])}</title>
<h1>{escape(chapter)}, {escape(student)}: {marks.points:g} of {sum(marks.possible.values()):g}</h1>
<p>{escape(why)} The marks are those of the checks, all the same.
<table>{rows}</table>
{late}{comments}
</html>"""


def _page_of(path: Path, student: str, chapter: str, marks: Marks) -> str:
    return page(path.read_text(encoding="utf-8"), student, chapter, chapters()[chapter], marks)


def _key(made_from: str, marks: Marks) -> str:
    return hashed(made_from.encode(), json.dumps(asdict(marks), sort_keys=True).encode())
