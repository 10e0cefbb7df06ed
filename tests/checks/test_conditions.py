"""Conditions are crossed: every two that a function must cope with meet in a case."""

import inspect
import itertools
import math

import pytest
import torch
from answers import DEAR, RIGHT, WRONG
from reporting import every_exercise, of_the_reference, report_on
from torch import Tensor

from tutor.checks import CHAPTERS, EXERCISES
from tutor.checks.candidate import LocalCandidate
from tutor.checks.conditions import Condition, Crossed, Factor, Family, pair
from tutor.checks.draw import Draw, laid
from tutor.checks.exercise import counted_cases
from tutor.checks.limits import UNLIMITED, between
from tutor.checks.trace import play, same_layout

CPU = torch.device("cpu")


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def cases_of(name):
    return list(EXERCISES[name].cases(generator(), CPU))


# The mechanism


def factor(name, size, alone=False):
    ordinary = Condition(f"{name}0")
    others = [Condition(f"{name}{i}", f"{name}{i}", i, alone=alone) for i in range(1, size)]
    return Factor(name, (ordinary, *others))


SMALL = Family((factor("a", 3), factor("b", 4, alone=True), factor("c", 2), factor("d", 3)))


def test_every_two_conditions_meet_in_few_rows():
    met = set().union(*(row.pairs for row in SMALL.rows))
    assert met == SMALL.pairs
    assert len(SMALL.pairs) == 3 * 4 + 3 * 2 + 3 * 3 + 4 * 2 + 4 * 3 + 2 * 3
    assert 3 * 4 <= len(SMALL.rows) <= 3 * 4 + 4 < 3 * 4 * 2 * 3


def test_rows_are_the_same_whenever_they_are_made_and_begin_with_the_simplest():
    again = Family(SMALL.factors)
    assert [r.label for r in again.rows] == [r.label for r in SMALL.rows]
    special = [len(row.special) for row in SMALL.rows]
    assert special == sorted(special) and special[0] == 0
    assert {"b1", "b2", "b3"} <= {row.label for row in SMALL.rows}


def test_conditions_that_are_apart_never_meet_and_those_together_do():
    apart = {pair("a1", "b2"): "why not"}
    family = Family(SMALL.factors, together=(("a2", "b3", "c1"),), apart=apart)
    assert pair("a1", "b2") not in family.pairs
    assert not any(pair("a1", "b2") in row.pairs for row in family.rows)
    assert any("a2" in row and "b3" in row and "c1" in row for row in family.rows)
    assert family.pairs <= set().union(*(row.pairs for row in family.rows))


def test_an_exercise_says_what_does_not_apply():
    own = SMALL.but(factor("e", 2), without={"a": "it has none", "b2": "nor this"})
    names = {f.name for f in own.factors}
    assert names == {"b", "c", "d", "e"} and own.without["a"] == "it has none"
    assert not any("b2" in row for row in own.rows)
    with pytest.raises(ValueError, match="no factor and no condition is named z"):
        SMALL.but(without={"z": "a slip of the pen"})
    with pytest.raises(ValueError, match="two conditions are named b1, b2"):
        Family((factor("a", 2), factor("b", 3), Factor("again", factor("b", 3).conditions[1:])))


@pytest.mark.parametrize("shape", [(5, 7), (2, 5, 7), (2, 3, 5, 7)])
@pytest.mark.parametrize("layout", ["turned", "behind", "views"])
def test_another_layout_has_the_same_numbers_and_is_kept_by_a_copy(layout, shape):
    x = Draw(generator(), CPU).normal(*shape)
    other = laid(x, layout)
    copy = same_layout(other)
    assert torch.equal(other, x) and torch.equal(copy, x)
    assert other.is_contiguous() == (layout == "behind" and x.ndim == 2)
    assert (copy.stride(), copy.storage_offset()) == (other.stride(), other.storage_offset())
    copy.add_(1)
    assert torch.equal(other, x)


def test_copy_of_an_expanded_tensor_is_expanded():
    x = torch.ones(1, 5).expand(3, 5)
    assert same_layout(x).stride() == (0, 1)


# The exercises


@every_exercise
def test_every_two_conditions_of_an_exercise_meet(name):
    crossed = EXERCISES[name].cases
    assert isinstance(crossed, Crossed)
    met = set().union(*(row.pairs for row in crossed.family.rows))
    missing = sorted(" × ".join(sorted(p)) for p in crossed.family.pairs - met)
    assert not missing, f"{name} never meets {', '.join(missing)}"
    assert len(crossed.family.pairs) >= 6


@every_exercise
def test_every_row_is_a_case_and_the_simple_ones_come_first(name):
    rows = EXERCISES[name].cases.family.rows
    labels = [case.label for case in cases_of(name)]
    assert len(set(labels)) == len(labels), "two cases of one name"
    wanted = [row.label or EXERCISES[name].cases.usual for row in rows]
    assert [label for label in labels if label in wanted] == wanted
    assert labels[0] == EXERCISES[name].cases.usual


@every_exercise
def test_what_does_not_apply_has_a_reason(name):
    family = EXERCISES[name].cases.family
    for why in (*family.without.values(), *family.apart.values()):
        assert len(why.split()) >= 3


def crossed_cases(name):
    """Rows with their cases."""
    crossed = EXERCISES[name].cases
    by_label = {case.label: case for case in cases_of(name)}
    return [(row, by_label[row.label or crossed.usual]) for row in crossed.family.rows]


def turned(row):
    """The most dimensions that a tensor may have and be contiguous in the row's layout."""
    return 2 if "behind" in row else 1


MASKS = {"keep": "mask", "memory_keep": "memory mask"}
"""Arguments, and the factors that say which masks they are."""


def masks_of(name, row, case):
    """Each mask of a kind that the row names, with the kind."""
    masks = {
        argument: value
        for argument, value in zip(
            inspect.signature(EXERCISES[name].reference).parameters, case.args, strict=False
        )
        if isinstance(value, Tensor) and value.dtype == torch.bool
    }
    named = {argument: row[MASKS[argument]] for argument in masks.keys() & MASKS.keys()}
    found = [(kind, masks[argument]) for argument, kind in named.items() if kind]
    asked = sum(bool(row[factor]) for factor in MASKS.values())
    assert not masks or len(found) == asked, case.label
    return found


@every_exercise
def test_cases_are_what_their_labels_say(name):
    """Of what can be seen from outside: dtype, layout, batch dimensions, the mask."""
    for row, case in crossed_cases(name):
        floats = [a for a in case.args if isinstance(a, Tensor) and a.is_floating_point()]
        if row["dtype"] and floats:
            assert floats[0].dtype == row["dtype"], case.label
        for kind, keep in masks_of(name, row, case):
            assert not keep.all()
            nothing = ~keep.any(-1)
            assert nothing.any() == (kind == "nothing"), case.label
        if row["layout"] is None:
            assert all(a.is_contiguous() for a in floats), case.label
        elif any(min(a.shape, default=1) > 1 and a.ndim > turned(row) for a in floats):
            assert not all(a.is_contiguous() for a in floats), case.label


# Answers


@pytest.mark.parametrize(
    ("name", "answer"),
    [(n, f) for n, answers in DEAR.items() for f in answers],
    ids=lambda x: getattr(x, "__name__", x),
)
def test_needless_work_costs_the_contract_alone(name, answer):
    report = report_on(name, answer)
    assert [v.group for v in report.verdicts if not v.passed] == ["contracts"], report


def test_every_exercise_has_wrong_answers():
    assert all(len(WRONG.get(name, ())) >= 3 for name in EXERCISES)


LIMITS = {"max_flops": "flops", "max_written": "written", "max_intermediate": "largest"}


def limit_of(name, limit):
    return getattr(EXERCISES[name].contract(generator(), CPU), limit)


def cost(name, function, kind):
    """The most that one of the counted calls does; of a class, the last call of the method."""
    exercise = EXERCISES[name]
    contract = exercise.contract(generator(), CPU)
    most = 0
    for case in counted_cases(contract):
        methods = ("", *(call.method for call in case.calls))
        last = max(i for i, method in enumerate(methods) if method == contract.method)
        trace = play(LocalCandidate(function), exercise, case, count=True)
        most = max(most, getattr(trace.responses[last].cost, kind))
    return most


@pytest.mark.parametrize(
    ("name", "limit"),
    [
        (name, limit)
        for name, limit in itertools.product(EXERCISES, LIMITS)
        if limit_of(name, limit) != UNLIMITED
    ],
)
def test_limit_lies_half_way_between_right_forms_and_wrong_ones(name, limit):
    kind, most = LIMITS[limit], limit_of(name, limit)
    right = max(cost(name, f, kind) for f in (of_the_reference(name), *RIGHT[name]))
    over = [c for c in (cost(name, f, kind) for f in DEAR.get(name, ())) if c > most]
    assert over, f"no answer in the tests does more than {most:,}"
    assert math.isqrt(right * min(over)) <= most


def growth(name, function, seed):
    """Steps of the last of the counted calls over those of the first."""
    calls = EXERCISES[name].contract(torch.Generator().manual_seed(seed), CPU).calls
    few, *_, many = (LocalCandidate(function).walk(call).cost.steps for call in calls)
    return many / few


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", [n for n in EXERCISES if limit_of(n, "max_growth") != UNLIMITED])
def test_limit_of_growth_lies_half_way_between_right_forms_and_wrong_ones(name, seed):
    most = limit_of(name, "max_growth")
    right = max(growth(name, f, seed) for f in (of_the_reference(name), *RIGHT[name]))
    wrong = min(growth(name, f, seed) for f in DEAR[name])
    assert right < most < wrong
    assert math.sqrt(right * wrong) <= most


def test_half_way_is_meant_in_logarithms():
    assert between(10, 1000) == 100


def test_every_chapter_is_crossed():
    assert all(isinstance(e.cases, Crossed) for part in CHAPTERS.values() for e in part)
