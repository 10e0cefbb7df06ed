"""What a student reads: as text, as HTML, as data."""

import re

from reporting import (
    every_exercise,
    report_on,
)

from tutor import ROOT
from tutor.checks import EXERCISES, judge
from tutor.checks.exercise import GROUPS


@every_exercise
def test_points_of_the_groups_sum_to_the_total(name):
    exercise = EXERCISES[name]
    report = report_on(name, exercise.traps[0].function)
    assert sum(v.possible for v in report.verdicts) == exercise.total == report.possible
    assert report.points == sum(v.earned for v in report.verdicts)
    assert [v.group for v in report.verdicts] == [g for g in GROUPS if g in exercise.points]
    assert all(v.earned in (0, v.possible) for v in report.verdicts)


def test_html_escapes_what_the_student_wrote():
    def crashing(q, k):
        raise ValueError("<script>alert('x')</script>")

    page = report_on("attention_scores", crashing)._repr_html_()
    assert "<script>" not in page
    assert "&lt;script&gt;" in page


def test_report_in_the_readme_is_what_the_check_says():
    readme = (ROOT / "README.md").read_text()
    shown = re.search(r"```text\n(scaled_dot.*?)\n```", readme, flags=re.DOTALL)
    exercise = EXERCISES["scaled_dot_product_attention"]
    trap = next(t for t in exercise.traps if t.name == "the row that may read nothing")
    report = str(judge(exercise, trap.function)).splitlines()
    assert shown[1].splitlines() == [line for line in report if "https://" not in line]
