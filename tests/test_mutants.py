"""The checks refuse every mutant of the reference, and the committed table says so."""

import ast
import subprocess
import sys
import warnings
from dataclasses import replace

import pytest

from tests.mutants import run, table
from tests.mutants.operators import mutants
from tutor import ROOT
from tutor.checks import EXERCISES

pytestmark = pytest.mark.long

ATTENTION = run.chapters()["attention"]


@pytest.mark.parametrize("word", run.chapters())
def test_every_mutant_is_killed_or_explained_and_the_table_is_fresh(word):
    """Only the rows that were made from something else are made again."""
    chapter = run.chapters()[word]
    stale = [table.name_of(row) for row in table.stale(chapter)]
    if not stale:
        assert table.is_as_committed(chapter, {})
        return
    fresh = subprocess.run(
        [sys.executable, "-m", "tests.mutants", "--check", word],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert fresh.returncode == 0, fresh.stdout + fresh.stderr
    warnings.warn(
        f"The mutants of {', '.join(stale)} were made again, with the same result; "
        f"`make mutants` writes down that they need not be.",
        stacklevel=1,
    )


def rows_made_from(path):
    """How many rows of chapter 3 are made again when the file changes."""
    return sum(ROOT / path in table.files(ATTENTION, row) for row in run.rows(ATTENTION))


def test_a_row_is_made_again_when_something_that_it_depends_on_changes():
    every = len(run.rows(ATTENTION))
    for path in ("tutor/checks/judge.py", "tutor/checks/cost.py", "tutor/attention.py"):
        assert rows_made_from(path) == every
    for path in ("tests/mutants/operators.py", "tests/mutants/of_attention.py"):
        assert rows_made_from(path) == every
    for path in ("tutor/multihead.py", "tutor/checks/__init__.py", "tests/mutants/of_position.py"):
        assert rows_made_from(path) == 0
    assert 0 < rows_made_from("tests/test_attention.py") < every


def test_a_table_of_another_outcome_is_out_of_date():
    assert table.is_as_committed(ATTENTION, {})
    row = ("causal_mask", "causal_mask")
    said = table.committed(ATTENTION).outcomes["causal_mask"]
    assert table.is_as_committed(ATTENTION, {row: said})
    fewer = replace(said, counts=said.counts | {"killed": said.counts["killed"] - 1})
    assert not table.is_as_committed(ATTENTION, {row: fewer})


def test_a_run_goes_on_behind_the_rows_that_are_proved(tmp_path, monkeypatch):
    monkeypatch.setattr(table, "KEPT", tmp_path)
    row, made = ("causal_mask", "causal_mask"), []
    said = table.committed(ATTENTION).outcomes["causal_mask"]
    monkeypatch.setattr(run, "put_through", lambda *_: made.append(1) or said)
    assert [table.prove(ATTENTION, row, None) for _ in range(2)] == [said, said] and made == [1]
    hole = replace(said, problems=["Survivor"])
    monkeypatch.setattr(run, "put_through", lambda *_: made.append(1) or hole)
    other = ("padding_mask", "padding_mask")
    assert [table.prove(ATTENTION, other, None) for _ in range(2)] == [hole, hole]
    assert made == [1, 1, 1]


@pytest.fixture(scope="module")
def of_scores():
    source = run.functions(ATTENTION)["attention_scores"]
    exercise = EXERCISES["attention_scores"]

    def watch(watched, names):
        run._run_cases(ATTENTION, "attention_scores", exercise, watched, names)

    return [m.source for m in mutants(source, watch, exercise)]


def test_mutants_differ_from_the_reference_and_from_each_other(of_scores):
    trees = [ast.dump(ast.parse(m)) for m in of_scores]
    assert len(set(trees)) == len(trees)
    assert ast.dump(ast.parse(run.functions(ATTENTION)["attention_scores"])) not in trees


@pytest.mark.parametrize(
    "expression",
    [
        "q @ k * q.shape[-1] ** (-0.5)",  # not transposed
        "k.mT @ q * q.shape[-1] ** (-0.5)",  # operands swapped
        "q @ k.mT",  # no scale
        "q @ k.mT * q.shape[-1] ** 0.5",  # its power
        "q @ k.detach().mT * q.shape[-1] ** (-0.5)",
        "q.half() @ k.mT * q.shape[-1] ** (-0.5)",
        "first_batch(q) @ k.mT * q.shape[-1] ** (-0.5)",
        "through_numpy(q) @ k.mT * q.shape[-1] ** (-0.5)",
        "q @ k.transpose(1, 2) * q.shape[-1] ** (-0.5)",  # right for one batch dimension
        "torch.zeros_like(q @ k.mT * q.shape[-1] ** (-0.5))",
    ],
)
def test_mutants_that_matter_are_among_them(of_scores, expression):
    wanted = ast.dump(ast.parse(expression).body[0].value)
    returned = (ast.parse(m).body[0].body[-1] for m in of_scores)
    assert any(isinstance(r, ast.Return) and ast.dump(r.value) == wanted for r in returned)


def test_mutant_that_hangs_is_killed():
    source = "def attention_scores(q, k):\n    while True:\n        pass"
    mutant = run.Mutant("attention_scores", source, "tensor")
    code = "import sys; from tests.mutants import run; run.SECONDS = 1; run.begin(); "
    code += f"name, mutant = 'attention_scores', run.{mutant!r}; "
    code += f"sys.exit(run.lives(run.Task(run.{ATTENTION!r}, name, mutant, name)))"
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, timeout=600)
    assert ended.returncode == 0


def test_tests_of_the_reference_are_what_holds_bad_input():
    unchanged = run.Mutant("padding_mask", run.functions(ATTENTION)["padding_mask"], "tensor")
    code = "import sys; from tests.mutants import run; run.begin(); "
    code += f"name, mutant = 'padding_mask', run.{unchanged!r}; "
    code += f"sys.exit(run.is_held(run.Task(run.{ATTENTION!r}, name, mutant, name)))"
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, timeout=600)
    assert ended.returncode == 0
