"""What ``alibi_slopes`` must satisfy, and the wrong answers that people give."""

import math
from collections.abc import Iterator

import torch
from torch import Generator

from tutor import position as reference
from tutor.checks.conditions import Condition, Crossed, Factor, Family
from tutor.checks.crossings import DEVICE, where
from tutor.checks.draw import SINGLE, Draw
from tutor.checks.exercise import Case, Contract, Exercise, Trap
from tutor.checks.position.shared import CHAPTER

_HEADS = Factor(
    "heads",
    (
        Condition("eight", value=8),
        Condition("four", "four heads", 4, alone=True),
        Condition("sixteen", "sixteen heads", 16, alone=True),
        Condition("one", "one head", 1, edge=True, alone=True),
        Condition("three", "three heads", 3, edge=True, alone=True),
        Condition("twelve", "twelve heads", 12, edge=True, alone=True),
        Condition("fifteen", "fifteen heads", 15, edge=True, alone=True),
        # Small integers end at 127.
        Condition("many", "five hundred heads", 500, edge=True, alone=True),
    ),
)

FAMILY = Family((_HEADS, DEVICE))


def _by_hand(draw: Draw) -> Iterator[Case]:
    yield Case("two heads", (2, draw.device))
    yield Case("a power of two by lot", (2 ** draw.integer(5, 8), draw.device))
    yield Case("six heads", (6, draw.device), "edges")
    yield Case("forty heads", (40, draw.device), "edges")
    power = 2 ** draw.integer(2, 6)
    yield Case("one more than a power of two", (power + 1, draw.device), "edges")
    low = 2 ** draw.integer(3, 6)
    yield Case("by lot", (low + draw.integer(2, low - 1), draw.device), "edges")


CASES = Crossed(
    FAMILY, lambda draw, row: (row["heads"], *where(draw, row)), _by_hand, usual="eight heads"
)


def _contract(generator: Generator, device: torch.device) -> Contract:
    return Contract(
        calls=((24, device), (16, device)),
    )


def _geometric(n, device, first=1, base=2.0):
    h = torch.arange(first, n + first, device=device)
    return base ** (-8.0 * h / n)


def _power(num_heads):
    return 1 << (num_heads.bit_length() - 1)


def published(num_heads, device, geometric=_geometric, start=0):
    """The right slopes, unless one part of them is another."""
    power = _power(num_heads)
    more = geometric(2 * power, device)[start::2][: num_heads - power]
    return torch.cat((geometric(power, device), more)).to(SINGLE)


def formula_for_all(num_heads, device=None):
    return _geometric(num_heads, device).to(SINGLE)


def from_one(num_heads, device=None):
    return published(num_heads, device, lambda n, d: _geometric(n, d, first=0))


def one_for_all(num_heads, device=None):
    """As ``from_one``, and without a thought of other numbers than powers of two."""
    return _geometric(num_heads, device, first=0).to(SINGLE)


def second_ones(num_heads, device=None):
    return published(num_heads, device, start=1)


def _sorted(num_heads, device=None):
    return published(num_heads, device).sort(descending=True).values


def _base_e(num_heads, device=None):
    return published(num_heads, device, lambda n, d: _geometric(n, d, base=math.e))


def _halves(num_heads, device=None):
    return 0.5 ** torch.arange(1.0, num_heads + 1, device=device)


def _power_above(num_heads, device=None):
    above = _power(num_heads) if num_heads == _power(num_heads) else 2 * _power(num_heads)
    return _geometric(above, device)[:num_heads].to(SINGLE)


def ascending(num_heads, device=None):
    return published(num_heads, device).flip(0)


def _negative(num_heads, device=None):
    return -published(num_heads, device)


def _linear(num_heads, device=None):
    return torch.arange(num_heads, 0, -1, device=device) / num_heads


def _all_of_twice(num_heads, device=None):
    power = _power(num_heads)
    more = _geometric(2 * power, device)[: num_heads - power]
    return torch.cat((_geometric(power, device), more)).to(SINGLE)


def _every_other_of_the_power(num_heads, device=None):
    power = _power(num_heads)
    slopes = _geometric(power, device)
    return torch.cat((slopes, slopes[::2][: num_heads - power])).to(SINGLE)


def _half_of_a_power(num_heads, device=None):
    power = 1
    while 2 * power < num_heads:
        power *= 2
    more = _geometric(2 * power, device)[::2][: num_heads - power]
    return torch.cat((_geometric(power, device), more)).to(SINGLE)


def _none_more(num_heads, device=None):
    return _geometric(_power(num_heads), device).to(SINGLE)


ALIBI_SLOPES = Exercise(
    reference=reference.alibi_slopes,
    chapter=CHAPTER,
    points={"values": 2, "edges": 2, "types": 1, "contracts": 1},
    cases=CASES,
    contract=_contract,
    traps=(
        Trap(
            "the formula for powers of two, for all",
            formula_for_all,
            "2^(-8h / H) is what the paper gives for powers of two. For any other number its "
            "authors take the slopes of the power below, and fill up with every other slope of "
            "twice that power: a checkpoint of 12 heads expects those.",
            "Any number of heads",
        ),
        Trap(
            "the first slope is 1",
            from_one,
            "h runs from 1 to H: the first slope is 2^(-8 / H), the last 2^-8.",
            "ALiBi",
        ),
        Trap(
            "the even ones instead of the odd",
            second_ones,
            "of the slopes of twice the power, the first, third, fifth, ... are new. The second, "
            "fourth, ... are the ones that you have already.",
            "Any number of heads",
        ),
        Trap(
            "every other slope of the power itself",
            _every_other_of_the_power,
            "the additional slopes are every other one of *twice* the power: they lie between the "
            "slopes that are there. Those of the power itself are there already.",
            "Any number of heads",
        ),
        Trap(
            "a power of two filled up",
            _half_of_a_power,
            "eight heads are a power of two, and the formula gives all their slopes. `<` in the "
            "place of `<=` stops one power below: four slopes, filled up with every other one of "
            "eight. They are the right numbers in another order.",
            "Any number of heads",
        ),
        Trap(
            "slopes missing",
            _none_more,
            "for twelve heads there are twelve slopes: eight of the power below, and four of twice "
            "that power.",
            "Any number of heads",
        ),
        Trap(
            "sorted",
            _sorted,
            "the additional slopes come after the others, unsorted. A checkpoint's head number 9 "
            "was trained with the slope that stands at place 9.",
            "Any number of heads",
        ),
        Trap(
            "powers of e",
            _base_e,
            "the base is 2: the last slope is 1/256.",
            "ALiBi",
        ),
        Trap(
            "always halved",
            _halves,
            "1/2, 1/4, 1/8, ... is right for eight heads, the paper's example. With H heads the "
            "ratio is 2^(-8 / H), so that they always end at 1/256.",
            "ALiBi",
        ),
        Trap(
            "the first of the power above",
            _power_above,
            "the slopes of the next power of two, cut off, lose the small slopes: no head is left "
            "that sees far.",
            "Any number of heads",
        ),
        Trap(
            "in rising order",
            ascending,
            "the first head has the steepest slope.",
            "ALiBi",
        ),
        Trap(
            "the sign included",
            _negative,
            "slopes are positive; the minus belongs to the bias.",
            "ALiBi",
        ),
        Trap(
            "slopes in a line",
            _linear,
            "the slopes are a geometric series: each is a fixed fraction of the one before, so "
            "that the heads' reaches grow from a word or two to hundreds.",
            "ALiBi",
        ),
        Trap(
            "all slopes of twice the power",
            _all_of_twice,
            "the second, fourth, ... of them are in the list already. Take every other one.",
            "Any number of heads",
        ),
    ),
)
