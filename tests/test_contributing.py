"""CONTRIBUTING.md, followed literally: a new exercise in a copy of the repository."""

import os
import subprocess
import sys
from pathlib import Path

import nbformat

from tutor import ROOT

REFERENCE = '''

def weights_entropy(weights: Float[Tensor, "*batch Tk"]) -> Float[Tensor, "*batch"]:
    """-Σ w log w over the last dimension, 0 log 0 = 0: Shannon 1948."""
    return -torch.special.xlogy(weights, weights).sum(-1)
'''

CHECK = '''"""What ``weights_entropy`` must satisfy, and the wrong answers that people give."""

from collections.abc import Iterator

import torch
from torch import Generator, Tensor

from tutor import attention as reference
from tutor.checks.attention.shared import CHAPTER, TK, TQ
from tutor.checks.conditions import Crossed, Family, Row
from tutor.checks.draw import DOUBLE, Draw, laid
from tutor.checks.exercise import Case, Contract, Exercise, Trap
from tutor.checks.crossings import BATCH, DTYPE, LAYOUT

FAMILY = Family((DTYPE, LAYOUT, BATCH)).but(without={"behind": "no dimension is for heads"})


def _arguments(draw: Draw, row: Row) -> tuple[Tensor]:
    weights = draw.normal(*row["batch"], TQ, TK).softmax(-1).to(row["dtype"])
    return (laid(weights, row["layout"]),)


def _by_hand(draw: Draw) -> Iterator[Case]:
    one_hot = torch.eye(TK, dtype=DOUBLE, device=draw.device)
    yield Case("a weight of 0", (one_hot,), "edges")


def _contract(generator: Generator, device: torch.device) -> Contract:
    return Contract(calls=((Draw(generator, device).normal(8, 16).softmax(-1),),))


def _log_of_zero(weights):
    return -(weights * weights.log()).sum(-1)


WEIGHTS_ENTROPY = Exercise(
    reference=reference.weights_entropy,
    chapter=CHAPTER,
    points={"values": 1, "edges": 1, "contracts": 1},
    cases=Crossed(FAMILY, _arguments, _by_hand),
    contract=_contract,
    traps=(
        Trap("0 log 0", _log_of_zero, "0 times -inf is nan.", "Step 3: softmax"),
    ),
)
'''

SOLUTION = '''
+++

## `weights_entropy`

```{code-cell} ipython3
---
nbgrader:
  grade: false
  grade_id: weights_entropy-solution
  locked: false
  schema_version: 3
  solution: true
  task: false
---
def weights_entropy(weights: Tensor) -> Tensor:
    """-Σ w log w over the last dimension."""
    ### BEGIN SOLUTION
    return -torch.special.xlogy(weights, weights).sum(-1)
    ### END SOLUTION
```

```{code-cell} ipython3
---
nbgrader:
  grade: true
  grade_id: weights_entropy
  locked: true
  points: 3
  schema_version: 3
  solution: false
  task: false
---
check(weights_entropy)
```
'''

JUDGED = """
from tutor import ROOT
from tutor.checks import EXERCISES, judge
exercise = EXERCISES["weights_entropy"]
report = judge(exercise, exercise.reference)
assert report.passed, report
for trap in exercise.traps:
    report = judge(exercise, trap.function)
    assert not report.passed and report.traps == (trap.name,), report
"""


def test_an_exercise_can_be_added_by_the_page_that_tells_how(tmp_path):
    copy = tmp_path / "course"
    names = ("CONTRIBUTING.md", "_config.yml", "nbgrader_config.py", "pyproject.toml")
    for name in (*names, "tutor", "solutions", "exercises"):
        copied = [f"{ROOT / name}{'/.' if (ROOT / name).is_dir() else ''}", str(copy / name)]
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["cp", "-r", *copied], check=True)
    page = (copy / "CONTRIBUTING.md").read_text()
    # The files that the page names, in its order; this test follows them one by one.
    steps = [line for line in page.splitlines() if line[:2] in {"1.", "2.", "3.", "5."}]
    named = (
        "tutor/attention.py",
        "tutor/checks/attention/NAME.py",
        "tutor/checks/attention/__init__.py",
        "solutions/03_attention",
        "release",
    )
    places = [page.index(name) for name in named]
    assert places == sorted(places) and len(steps) == 4

    _append(copy / "tutor/attention.py", REFERENCE)
    _insert(copy / "tutor/attention.py", "__all__ = [\n", '    "weights_entropy",\n')
    checks = copy / "tutor/checks/attention"
    (checks / "weights_entropy.py").write_text(CHECK)
    imported = "from tutor.checks.attention.weights_entropy import WEIGHTS_ENTROPY\n"
    _insert(checks / "__init__.py", "import STABLE_SOFTMAX\n", imported)
    _insert(checks / "__init__.py", "EXERCISES = (\n", "    WEIGHTS_ENTROPY,\n")
    _append(copy / "solutions/03_attention/attention.md", SOLUTION)
    _python(copy, "-m", "tutor.course.release")

    notebook = nbformat.read(copy / "exercises/03_attention/attention.ipynb", as_version=4)
    cells = {c.metadata.get("nbgrader", {}).get("grade_id"): c for c in notebook.cells}
    assert "raise NotImplementedError" in cells["weights_entropy-solution"].source
    assert "xlogy" not in cells["weights_entropy-solution"].source
    assert cells["weights_entropy"].metadata.nbgrader.points == 3
    _python(copy, "-c", JUDGED)


def _append(path: Path, text: str) -> None:
    path.write_text(path.read_text() + text)


def _insert(path: Path, after: str, text: str) -> None:
    """Behind ``after``, which stands in the file once."""
    before, rest = path.read_text().split(after)
    path.write_text(before + after + text + rest)


def _python(folder: Path, *args: str) -> None:
    """Run in the copy, whose `tutor` is the one that is imported."""
    env = {**os.environ, "PYTHONPATH": str(folder)}
    done = subprocess.run(
        [sys.executable, *args], cwd=folder, env=env, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
