"""Answers of fresh eyes, of which every chapter has its files, are refused and get their names."""

from importlib import import_module

import fresh
import pytest
from reporting import report_on

for word in ("recurrence", "alignment", "attention", "multihead", "position"):
    import_module(f"fresh_{word}")
    import_module(f"anew_{word}")


@pytest.mark.parametrize(
    ("name", "wrong", "names"), fresh.ANSWERS, ids=[f.__name__ for _, f, _ in fresh.ANSWERS]
)
def test_wrong_answer_of_fresh_eyes_gets_its_names(name, wrong, names):
    report = report_on(name, wrong)
    assert not report.passed
    assert set(report.traps) == set(names), report
