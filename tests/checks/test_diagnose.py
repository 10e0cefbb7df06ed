"""Known misconceptions are named, and nothing is taken for one that is none."""

import json
import re
from dataclasses import replace

import pytest
import torch
from reporting import (
    every_exercise,
    every_trap,
    report_on,
)

from tutor import ROOT
from tutor.checks import EXERCISES, judge
from tutor.checks.candidate import LocalCandidate
from tutor.checks.changes import changeable, together
from tutor.checks.diagnose import Diagnosis
from tutor.checks.exercise import Case, Contract, Exercise, Trap
from tutor.checks.observation import Trial
from tutor.checks.report import MIME, slug


@pytest.mark.by_content
@every_trap
def test_trap_is_refused_and_named_in_a_report_that_is_readable_everywhere(name, trap):
    """All of its other forms are counted in the tables of mutants, as "traps named"."""
    report = report_on(name, trap.function)
    assert not report.passed
    assert report.traps == (trap.name,)
    assert trap.misconception in " ".join(str(report).split())

    bundle = report._repr_mimebundle_()
    text, page = bundle["text/plain"], bundle["text/html"]
    assert json.loads(json.dumps(bundle[MIME]))["points"] == report.points
    for never in ("Traceback", "AssertionError", "tensor(", "good job"):
        assert never not in text
    assert len(text.splitlines()) < 45
    assert slug(trap.section) in page
    assert not re.search(r"<(?!/?(div|b|span|table|tbody|tr|td|pre|a)\b)", page)


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


# The rule, on a small exercise


def line(x, slope=None, offset=None):
    """2 x + 1"""
    return (2 * x if slope is None else slope(x)) + (1 if offset is None else offset(x))


def lines(generator, device):
    yield Case("a few", (torch.randn(3, generator=generator, dtype=torch.float64),))
    yield Case("positive", (torch.rand(4, generator=generator, dtype=torch.float64) + 1,))
    yield Case("negative", (-torch.rand(5, generator=generator, dtype=torch.float64) - 1,), "edges")
    yield Case("zeros", (torch.zeros(6, dtype=torch.float64),), "edges")


def thrice(x):
    return 3 * x


def folded(x):
    return 2 * x.abs()


def nothing(x):
    return 0


def of_the_sign(x):
    return x.sign()


with_ = changeable(line)


def trap(name, function):
    return Trap(name, function, f"It is {name}.", "Masks")


LINE = Exercise(
    reference=line,
    chapter="03_attention",
    points={"values": 2, "edges": 1, "gradients": 1, "types": 1, "contracts": 1},
    cases=lines,
    contract=lambda generator, device: Contract(((torch.ones(2, dtype=torch.float64),),)),
    traps=(
        trap("too steep", with_(slope=thrice)),
        trap("folded", with_(slope=folded)),
        trap("without an offset", with_(offset=nothing)),
        trap("with another offset", with_(offset=of_the_sign)),
    ),
)


def named(answer, *more):
    return judge(replace(LINE, traps=(*LINE.traps, *more)), answer).traps


def test_mistake_is_named_where_it_gives_all_answers():
    assert named(lambda x: 3 * x + 1) == ("too steep",)


def test_mistake_is_not_named_where_the_answer_is_right_and_it_is_not():
    """Wrong where the trap is wrong, in the same way, and right where the trap is wrong too."""
    assert named(lambda x: 3 * x + 1 if (x > 0).all() else 2 * x + 1) == ()


def test_mistake_is_not_named_for_a_part_of_the_wrong_answers():
    assert named(lambda x: 3 * x + 1 if len(x) != 3 else x.exp()) == ()


def test_two_changes_of_one_function_are_both_named():
    assert named(lambda x: 3 * x) == ("too steep", "without an offset")


def test_two_mistakes_that_each_give_a_part_are_both_named():
    def at_one(x):  # wrong where the sign matters, and elsewhere right
        return 2 * x + 1 if (x > 0).any() else 2 * x + 5

    def at_other(x):
        return 2 * x + 7 if (x > 0).any() else 2 * x + 1

    def both(x):
        return at_other(x) if (x > 0).any() else at_one(x)

    assert named(both, trap("at one", at_one), trap("at the other", at_other)) == (
        "at one",
        "at the other",
    )


def test_of_two_that_do_equally_well_neither_is_named():
    same = trap("three times", lambda x: x + x + x + 1)
    assert named(lambda x: 3 * x + 1, same) == ()


def test_what_pairs_that_do_equally_well_have_in_common_is_named():
    # On these cases nothing tells the two offsets apart.
    zero = trap("zero added", with_(offset=torch.zeros_like))
    assert named(lambda x: 3 * x, zero) == ("too steep",)


def test_both_names_are_told_once():
    report = str(judge(LINE, lambda x: 3 * x))
    assert report.count("Two things come together here.") == 1
    assert report.count("You have met “too steep”: It is too steep.") == 1
    assert report.count("You have met “without an offset”: It is without an offset.") == 1
    assert "You have met" in judge(LINE, lambda x: 3 * x)._repr_html_()


def test_only_changes_of_different_parts_of_one_function_go_together():
    steep, flat, low = with_(slope=thrice), with_(slope=folded), with_(offset=nothing)
    both = together(steep, low)
    assert torch.equal(both(torch.ones(2)), torch.full((2,), 3.0))
    assert together(steep, flat) is None
    assert together(steep, changeable(lambda x, offset=None: x)(offset=nothing)) is None
    assert together(steep, lambda x: x) is None


def test_known_functions_never_run_on_a_gpu():
    """One that indexes out of range would end CUDA for the student's whole notebook."""
    exercise = EXERCISES["last_hidden"]
    diagnosis = Diagnosis(Trial(exercise, LocalCandidate(print), 0, torch.device("cuda")))
    assert exercise.traps and diagnosis.known == []
