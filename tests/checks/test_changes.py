"""What wrong answers are changes of is right: else they are no likeness of a student's."""

import pytest
import torch
from reporting import report_on

from tutor.checks import EXERCISES
from tutor.checks.changes import unflattened

CHANGED = {
    name: {f.changed[0] for t in e.traps for f in t.functions if hasattr(f, "changed")}
    for name, e in EXERCISES.items()
}
DEAR = ("train_bpe",)
"""Right, and quick to run here, at a cost of which the contract tells."""


@pytest.mark.by_content
@pytest.mark.parametrize("name", [name for name, functions in CHANGED.items() if functions])
def test_what_is_changed_is_right(name):
    for right in CHANGED[name]:
        report = report_on(name, right)
        lost = [v.group for v in report.verdicts if v.earned < v.possible]
        assert lost == (["contracts"] if name in DEAR else []), report


@pytest.mark.parametrize("sizes", [(3, -1), (-1, 4), (3, 4), (12, -1)])
@pytest.mark.parametrize("width", [12, 0])
def test_unflattened_is_torchs(width, sizes):
    x = torch.arange(2.0 * width * 5).view(2, width, 5)
    fits = width or -1 in sizes
    for unflatten in (torch.unflatten, unflattened):
        if not fits:
            with pytest.raises(RuntimeError, match="multiply up to the size"):
                unflatten(x, 1, sizes)
    if fits:
        assert torch.equal(unflattened(x, 1, sizes), x.unflatten(1, sizes))
