"""A decoder is given a model to ask: in the sandbox as at home, and nothing else comes back."""

import re
from contextlib import closing

import jupytext
import pytest

from tutor import ROOT
from tutor.checks import EXERCISES, judge
from tutor.grading.grader import Grader
from tutor.sandbox.candidate import RemoteCandidate
from tutor.sandbox.session import Session

pytestmark = pytest.mark.long

CHAPTER, SEED = "07_transformer", 7
DECODERS = ("greedy_decode", "beam_search")
SETUP = (
    "import math\nfrom collections.abc import Callable\nimport torch\nfrom torch import Tensor\n"
)
SIGNATURE = {
    "greedy_decode": "next_logits, start, end, longest",
    "beam_search": "next_logits, start, end, longest, beam_size=4, alpha=0.6",
}
WRONG = {
    "nothing is asked": "return start[:, None] * torch.ones(longest, dtype=torch.long)",
    "the model itself": "return next_logits",
    "its tables": "return next_logits.tables",
    "a model in a tuple": "return (next_logits, next_logits)",
    "written into": "next_logits.tables.zero_()\n    return start[:, None]",
    "another answer for all": (
        "type(next_logits).__call__ = lambda self, written, rows: torch.zeros(len(rows), 7)\n"
        "    return start[:, None]"
    ),
}
"""Bodies of functions."""


@pytest.fixture(scope="module")
def sandbox():
    with Grader(CHAPTER, key=b"a test's") as grader:
        grader.sandbox.start()
        yield grader.sandbox


def graded(sandbox, name, *cells):
    with closing(Session(sandbox)) as inside:
        for cell in cells:
            outputs = inside.cell(cell, "a cell", 10_000)
            assert not [o for o in outputs if o["output_type"] == "error"], outputs
        return judge(EXERCISES[name], RemoteCandidate(inside, name), SEED)


def solution(name):
    for path in (ROOT / "solutions" / CHAPTER).glob("*.md"):
        for cell in jupytext.read(path).cells:
            if cell.metadata.get("nbgrader", {}).get("grade_id") == f"{name}-solution":
                return cell.source
    raise LookupError(name)


def at_home(source, name):
    space: dict = {}
    exec(SETUP + source, space)
    return judge(EXERCISES[name], space[name], SEED)


def earned(report):
    return {v.group: v.earned for v in report.verdicts}


@pytest.mark.parametrize("name", ["label_smoothing_loss", "warmup_rate", *DECODERS])
def test_solution_gets_full_marks_in_the_sandbox(sandbox, name):
    report = graded(sandbox, name, SETUP, solution(name))
    assert report.passed, report


CHANGED = {
    "greedy_decode": {
        "asked twice": (
            "next_logits(written, rows).argmax",
            "(next_logits(written, rows) + 0 * next_logits(written, rows)).argmax",
        ),
        "latest alone": ("next_logits(written, rows)", "next_logits(written[:, -1:], rows)"),
        "ends all": ("done.all()", "done.any()"),
    },
    "beam_search": {
        "latest alone": (
            "next_logits(written.flatten(0, 1)",
            "next_logits(written[..., -1].flatten()[:, None]",
        ),
        "rows in turn": ("repeat_interleave", "repeat"),
        "numbers read": ("best = (ways", "float(total[0, 0])\n        best = (ways"),
    },
}
CHANGES = [(n, what, *change) for n, found in CHANGED.items() for what, change in found.items()]


@pytest.mark.parametrize(("name", "what", "old", "new"), CHANGES, ids=lambda x: str(x)[:20])
def test_mistake_costs_in_the_sandbox_what_it_costs_at_home(sandbox, name, what, old, new):
    right = solution(name)
    assert right.count(old) == 1
    source = right.replace(old, new)
    home, report = at_home(source, name), graded(sandbox, name, SETUP, source)
    assert not home.passed
    assert earned(report) == earned(home) and report.traps == home.traps


@pytest.mark.parametrize("what", WRONG)
@pytest.mark.parametrize("name", DECODERS)
def test_what_is_done_with_the_model_instead_of_asking_it_earns_nothing(sandbox, name, what):
    source = f"def {name}({SIGNATURE[name]}):\n    {WRONG[what]}"
    assert graded(sandbox, name, SETUP, source).points == 0


def test_a_report_from_the_sandbox_tells_no_number_of_the_model(sandbox):
    source = (
        "def greedy_decode(next_logits, start, end, longest):\n    raise ValueError(next_logits)"
    )
    told = str(graded(sandbox, "greedy_decode", SETUP, source))
    assert "ValueError" in told and not re.search(r"\d\.\d{3}", told)
