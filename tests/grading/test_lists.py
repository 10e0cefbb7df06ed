"""Text, bytes and lists go into the sandbox and come out of it as they are judged at home."""

from contextlib import closing

import pytest

from tutor.checks import EXERCISES, judge, of_chapter
from tutor.grading.grader import Grader
from tutor.sandbox.candidate import RemoteCandidate
from tutor.sandbox.session import Session

pytestmark = pytest.mark.long

CHAPTER, SEED = "06_tokens", 7
WRONG = {
    "train_bpe": {
        "a giant list": "def train_bpe(pieces, num_merges):\n    return [0] * 10**8",
        "a changed mapping": (
            "def train_bpe(pieces, num_merges):\n    pieces.clear()\n    return [(1, 2)]"
        ),
    },
    "bpe_encode": {
        "nested": "def bpe_encode(text, merges, special=()):\n    return [[[1]]]",
        "equal to all": (
            "class Any(int):\n    __eq__ = lambda self, other: True\n    __hash__ = int.__hash__\n"
            "def bpe_encode(text, merges, special=()):\n    return [Any(97)]"
        ),
        "a generator": "def bpe_encode(text, merges, special=()):\n    yield 97",
        "in itself": (
            "def bpe_encode(text, merges, special=()):\n    x = []\n    x.append(x)\n    return x"
        ),
        "one list for all": (
            "kept = []\ndef bpe_encode(text, merges, special=()):\n"
            "    kept.append(len(kept))\n    return kept"
        ),
        "digits": "def bpe_encode(text, merges, special=()):\n    return [10**100000]",
    },
    "bpe_decode": {
        "escapes": "def bpe_decode(ids, merges, special=()):\n    return '\\x1b[2J\\ud800'",
        "a kind of bytes": (
            "class Odd(bytes):\n    __eq__ = lambda self, other: True\n"
            "    __hash__ = bytes.__hash__\n    decode = None\n"
            "def bpe_decode(ids, merges, special=()):\n    return Odd(b'a')"
        ),
        "a list": "def bpe_decode(ids, merges, special=()):\n    return [97]",
        "changed": "def bpe_decode(ids, merges, special=()):\n    ids.append(1)\n    return b''",
    },
    "unigram_segment": {
        "tricks": (
            "class Tricky(list):\n    __eq__ = lambda self, other: True\n"
            "def unigram_segment(text, log_probs):\n    return Tricky([text])"
        ),
        "a list that lies": (
            "class Lying(list):\n    __len__ = lambda self: 1\n"
            "    __iter__ = lambda self: iter(['a'])\n    __getitem__ = lambda self, i: 'a'\n"
            "def unigram_segment(text, log_probs):\n    return Lying()"
        ),
        "code in a pickle": (
            "class Runs:\n    __reduce__ = lambda self: (exec, ('raise SystemExit',))\n"
            "def unigram_segment(text, log_probs):\n    return [Runs()]"
        ),
    },
}
CELLS = [(n, what, source) for n, cells in WRONG.items() for what, source in cells.items()]


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


def setup_and_solution(name):
    import jupytext

    from tutor import ROOT

    nb = jupytext.read(ROOT / "solutions" / CHAPTER / "tokens.md")
    found = {c.metadata.get("nbgrader", {}).get("grade_id"): c.source for c in nb.cells}
    return found["setup"].replace("from tutor.checks import check", "pass"), found[
        f"{name}-solution"
    ]


@pytest.mark.parametrize("name", of_chapter(CHAPTER))
def test_solution_gets_full_marks_in_the_sandbox(sandbox, name):
    report = graded(sandbox, name, *setup_and_solution(name))
    assert report.passed, report


@pytest.mark.parametrize(("name", "what", "source"), CELLS, ids=[w for _, w, _ in CELLS])
def test_hostile_answer_costs_its_own_exercise_and_says_what_is_said_at_home(
    sandbox, name, what, source
):
    space = {}
    exec(source, space)
    report = graded(sandbox, name, source)
    assert report.points == 0
    if what != "a giant list":  # which at home would be made again and again
        home = judge(EXERCISES[name], space[name], SEED)
        assert [v.earned for v in report.verdicts] == [v.earned for v in home.verdicts]
        assert report.traps == home.traps


KEEPING = """
def keeping(function):
    kept = {{}}

    def answering(*args):
        key = tuple(id(a) if isinstance(a, list | dict) else a for a in args)
        if key not in kept:
            kept[key] = function(*args), args
        return kept[key][0]

    return answering


{0} = keeping({0})
"""


@pytest.mark.parametrize("name", WRONG)
def test_list_that_is_passed_again_is_the_same_list_in_the_sandbox(sandbox, name):
    report = graded(sandbox, name, *setup_and_solution(name), KEEPING.format(name))
    (values,) = (v for v in report.verdicts if v.group == "values")
    assert values.earned == 0
    assert "other contents in the same list or dict" in values.failure.sentences[0]
