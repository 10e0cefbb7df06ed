"""The shapes in the signatures, checked in every call that the tests of the reference make.

All but those of calls that are meant to be refused: the check of the signature would refuse them
first.
"""

from pathlib import Path

import pytest

from benchmarks import content
from tests.runs import passes
from tutor import ROOT

TYPED = {
    test: module
    for module in [*sorted(ROOT.glob("tutor/*.py")), *sorted(ROOT.glob("tutor/materials/*.py"))]
    for test in (
        ROOT / "tests" / module.relative_to(ROOT / "tutor").with_name(f"test_{module.name}"),
    )
    if test.exists()
}


@pytest.mark.parametrize("test", TYPED, ids=lambda path: path.stem.removeprefix("test_"))
def test_signatures_tell_the_shapes(test: Path):
    files = {test, ROOT / "tests" / "conftest.py", *content.modules(TYPED[test])}
    checked = "--jaxtyping-packages=tutor,beartype.beartype"
    passes(f"shapes of {test.stem}", files, checked, "-k", "not refused", str(test))
