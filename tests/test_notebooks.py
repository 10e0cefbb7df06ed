"""The instructor's notebooks run from top to bottom, with the solutions in them."""

from pathlib import Path

import pytest

from benchmarks import content
from tests.runs import chosen, fails
from tutor import ROOT

SOURCES = sorted(ROOT.glob("solutions/*/*.md"))

pytestmark = pytest.mark.long


def run(sources: list[Path]) -> str:
    targets = {}
    for source in sources:
        notebook = source.relative_to(ROOT).with_suffix(".ipynb").as_posix()
        targets[notebook] = {source, *content.used_by(source.read_text("utf-8"))}
    return fails(targets, "--nbval-lax")


@pytest.fixture(scope="module", autouse=True)
def together(request, made):
    """One process for all: only if something fails is each run by itself."""
    sources = chosen(request.session.items, "test_notebook_with_the_solutions_runs", "source")
    made("release")
    run(sources)


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_notebook_with_the_solutions_runs(source):
    said = run([source])
    assert not said, said
