"""What is on a feedback page beside the student's own."""

import re

import nbformat
import pytest

from tutor import ROOT
from tutor.course.sample_class import CHAPTER, NOTEBOOK
from tutor.grading.gradebook import Marks
from tutor.grading.reports import feedback
from tutor.grading.reports.pages import formula

FORMULA = re.compile(r"\$\$(.+?)\$\$|(?<![$\\])\$(.+?)(?<![$\\])\$", re.DOTALL)
NOTEBOOKS = sorted(ROOT.glob("exercises/*/*.ipynb"))


def page(*cells: nbformat.NotebookNode) -> str:
    nb = nbformat.v4.new_notebook(cells=list(cells))
    return feedback.page(nbformat.writes(nb), "ada", CHAPTER, NOTEBOOK, Marks({}, {}, {}))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_every_formula_of_the_exercises_is_set(path):
    cells = [c for c in nbformat.read(path, as_version=4).cells if c.cell_type == "markdown"]
    found = [m for c in cells for m in FORMULA.finditer(c.source)]
    written = [m[0] for m in found if "<code>" in formula(m[1] or m[2], m[1] is not None)]
    assert found and not written
    shown = re.sub("<style.*?</style>", "", page(*cells), flags=re.DOTALL)
    assert shown.count("<math") == len(found) and "$" not in shown


def test_formula_that_nobody_knows_stands_as_it_was_written():
    assert formula(r"\unheard{x<y}", False) == r"<code>\unheard{x&lt;y}</code>"
    assert "<mfrac" in formula(r"\tfrac12", False) and "<mfrac" in formula(r"\tfrac1{16}", False)


def test_page_asks_no_other_host_for_anything():
    code = nbformat.v4.new_code_cell("x = 'https://example.org'")
    shown = page(nbformat.v4.new_markdown_cell("Half is $\\tfrac12$."), code)
    assert not re.findall(
        r"<(?:script|link|iframe)\b|src=|@import|url\((?!data:|['\"]?\.\./)", shown
    )
    assert "cdnjs" not in shown and "<mfrac" in shown
