"""What wrong answers are changes of is right: else they are no likeness of a student's."""

import pytest
from reporting import report_on

from tutor.checks import EXERCISES

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
