"""The checks refuse every mutant of the reference, and the committed table says so."""

import ast
import subprocess
import sys

import pytest

from tests.mutants import run
from tests.mutants.operators import mutants
from tutor import ROOT
from tutor.checks import EXERCISES

ATTENTION = run.chapters()["attention"]


@pytest.mark.parametrize("word", run.chapters())
def test_every_mutant_is_killed_or_explained_and_the_table_is_fresh(word):
    fresh = subprocess.run(
        [sys.executable, "-m", "tests.mutants", "--check", word],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert fresh.returncode == 0, fresh.stdout + fresh.stderr


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
    code = "import sys; from tests.mutants import run; run.SECONDS = 1; run._begin(); "
    code += f"task = run.Task(run.{ATTENTION!r}, run.{mutant!r}, 'attention_scores'); "
    code += "sys.exit(run.lives(task))"
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, timeout=60)
    assert ended.returncode == 0


def test_tests_of_the_reference_are_what_holds_bad_input():
    unchanged = run.Mutant("padding_mask", run.functions(ATTENTION)["padding_mask"], "tensor")
    code = "import sys; from tests.mutants import run; run._begin(); "
    code += f"sys.exit(run.is_held(run.Task(run.{ATTENTION!r}, run.{unchanged!r}, 'padding_mask')))"
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, timeout=60)
    assert ended.returncode == 0
