"""The shapes in the signatures, checked in every call that the tests of the reference make.

All but those of calls that are meant to be refused, as their names say: the check of the signature
would refuse them first.
"""

from pathlib import Path

import pytest

from benchmarks import content
from tests.runs import chosen, fails
from tutor import ROOT

MODULES = [*sorted(ROOT.glob("tutor/*.py")), *sorted(ROOT.glob("tutor/materials/*.py"))]


def its_tests(module: Path) -> Path:
    folder = module.parent.relative_to(ROOT / "tutor")
    return ROOT / "tests" / folder / f"test_{module.name}"


# The bench calls the checks, whose protocols are none that can be checked in a running call.
TESTED = [m for m in MODULES if its_tests(m).exists() and m.stem != "bench"]


def run(modules: list[Path]) -> str:
    conftest = ROOT / "tests" / "conftest.py"
    targets = {
        its_tests(module).relative_to(ROOT).as_posix(): {
            its_tests(module),
            conftest,
            *content.modules(module),
        }
        for module in modules
    }
    return fails(targets, "--jaxtyping-packages=tutor,beartype.beartype", "-k", "not refuse")


@pytest.fixture(scope="module", autouse=True)
def together(request):
    """One process for all: only if something fails is each run by itself."""
    run(chosen(request.session.items, "test_signatures_tell_the_shapes", "module"))


def test_the_chapters_are_among_them():
    assert {f"{word}.py" for word in ("attention", "recurrence")} < {m.name for m in TESTED}


@pytest.mark.by_content("tutor/*.py", "tutor/materials/*.py", "tests/*.py", "tests/materials/*.py")
@pytest.mark.parametrize("module", TESTED, ids=lambda path: path.stem)
def test_signatures_tell_the_shapes(module):
    said = run([module])
    assert not said, said
