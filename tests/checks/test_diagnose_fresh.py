"""Answers of fresh eyes, of five trials so far, are refused and get their names."""

from importlib import import_module
from pathlib import Path

import fresh
import pytest
from reporting import report_on

for trial in ("fresh", "anew", "third", "fourth", "fifth"):
    for path in sorted(Path(__file__).parent.glob(f"{trial}_*.py")):
        import_module(path.stem)


@pytest.mark.by_content
@pytest.mark.parametrize(
    ("name", "wrong", "names"), fresh.ANSWERS, ids=[f.__name__ for _, f, _ in fresh.ANSWERS]
)
def test_wrong_answer_of_fresh_eyes_gets_its_names(name, wrong, names):
    report = report_on(name, wrong)
    assert not report.passed
    assert set(report.traps) == set(names), report
