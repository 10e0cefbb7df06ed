"""Known misconceptions are named, and nothing is taken for one that is none."""

import re

from reporting import (
    every_exercise,
    every_trap,
    report_on,
)

from tutor import ROOT
from tutor.checks import EXERCISES
from tutor.checks.report import slug


@every_trap
def test_trap_is_refused_and_named(name, trap):
    for function in trap.functions:
        report = report_on(name, function)
        assert not report.passed
        assert report.traps == (trap.name,), function
        assert trap.misconception in " ".join(str(report).split())


def test_trap_names_are_unique_within_an_exercise():
    for exercise in EXERCISES.values():
        names = [t.name for t in exercise.traps]
        assert len(set(names)) == len(names)


@every_exercise
def test_every_trap_leads_to_a_heading_of_the_chapter(name):
    exercise = EXERCISES[name]
    chapter = (ROOT / "book" / f"{exercise.chapter}.md").read_text()
    headings = {slug(h) for h in re.findall(r"^#+ +(.+?)\s*$", chapter, flags=re.MULTILINE)}
    assert {slug(t.section) for t in exercise.traps} <= headings


def test_two_crashes_of_one_kind_are_not_one_misconception():
    def crashing(q, k):
        raise RuntimeError("of its own")

    assert report_on("attention_scores", crashing).traps == ()
