"""The instructor's notebooks run from top to bottom, with the solutions in them."""

import pytest

from benchmarks import content
from tests.runs import passes
from tutor import ROOT

SOURCES = sorted(ROOT.glob("solutions/*/*.md"))

pytestmark = pytest.mark.long


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_notebook_with_the_solutions_runs(made, source):
    notebook = made(source.with_suffix(".ipynb").relative_to(ROOT).as_posix())
    files = {source, *content.used_by(source.read_text("utf-8"))}
    passes(f"notebook of {source.stem}", files, "--nbval-lax", str(notebook))
