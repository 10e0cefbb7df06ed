"""What ``strided_mask`` must satisfy, and the wrong answers that people give."""

from collections.abc import Iterator

import torch
from torch import Generator

from tutor import long_context as reference
from tutor.checks.changes import changeable
from tutor.checks.conditions import Condition, Crossed, Factor, Family, pair
from tutor.checks.crossings import DEVICE, where
from tutor.checks.draw import Draw
from tutor.checks.exercise import Case, Contract, Exercise, Trap
from tutor.checks.limits import between
from tutor.checks.long_context import patterns
from tutor.checks.long_context.shared import CHAPTER, SIZES, STRIDE

_STRIDES = Factor(
    "stride",
    (
        Condition("three", value=3),
        Condition("two", "a stride of two", 2, alone=True),
        Condition("every", "a stride of one", 1, edge=True, alone=True),
        Condition("beyond", "a stride longer than the text", 3000, edge=True, alone=True),
        Condition("wide", "a stride of 150", 150),
    ),
)
FAMILY = Family(
    (SIZES, _STRIDES, DEVICE),
    apart={
        pair("one token", stride): "a single token has nothing to read but itself"
        for stride in ("two", "wide")
    },
)


def _by_hand(draw: Draw) -> Iterator[Case]:
    yield Case("the example of the text", (4, 4, 2, draw.device))
    n, stride = draw.integer(9, 16), draw.integer(2, 6)
    yield Case("square, of a size drawn by lot", (n, n, stride, draw.device))
    tq, stride = draw.integer(2, 6), draw.integer(2, 5)
    by_lot = (tq, tq + draw.integer(4, 9), stride, draw.device)
    yield Case("rectangular, by lot", by_lot, "edges")
    for stride in (0, -3):
        label = f"a stride of {stride} must raise ValueError"
        yield Case(label, (3, 3, stride, draw.device), "edges", ValueError)


CASES = Crossed(
    FAMILY,
    lambda draw, row: (*row["sizes"], row["stride"], *where(draw, row)),
    _by_hand,
    usual="nine tokens, a stride of three",
)


def _contract(generator: Generator, device: torch.device) -> Contract:
    return Contract(calls=((24, 32, 5, device),), max_intermediate=between(56**2, 1024**2))


def _inside(distance, keys, stride):
    return (distance >= 0) & (distance % stride == 0)


def _strided(num_queries, num_keys, stride, device=None, inside=_inside, **parts):
    return patterns.mask(num_queries, num_keys, stride, device, inside, **parts)


_with = changeable(_strided)


def _where(rule):
    """Keys of the past by ``rule(distance, keys, stride)``."""
    return _with(inside=lambda d, keys, s: (d >= 0) & rule(d, keys, s))


STRIDED_MASK = Exercise(
    reference=reference.strided_mask,
    chapter=CHAPTER,
    points={"values": 2, "edges": 1, "types": 1, "contracts": 1},
    cases=CASES,
    contract=_contract,
    traps=(
        Trap(
            "counted from the beginning",
            _where(lambda d, keys, s: keys % s == 0),
            "every stride-th key of the text may be read, whoever asks. That is the paper's "
            "*fixed* pattern, where some tokens sum up for all. Here the steps are counted from "
            "the query: its distance to the key is a multiple of the stride.",
            STRIDE,
            (
                _where(lambda d, keys, s: keys % s == s - 1),
                _where(lambda d, keys, s: (keys % s == 0) | (d == 0)),
                _where(lambda d, keys, s: (keys % s == s - 1) | (d == 0)),
            ),
        ),
        Trap(
            "the window besides",
            _where(lambda d, keys, s: (d % s == 0) | (d < s)),
            "the near keys may be read too. The paper gives them to another head, and this course "
            "to another mask: window_mask | strided_mask joins the two.",
            STRIDE,
            (_where(lambda d, keys, s: (d % s == 0) | (d <= s)),),
        ),
        Trap(
            "the window alone",
            _where(lambda d, keys, s: d < s),
            "these are the `stride` latest keys. A stride goes through all the past, in steps.",
            STRIDE,
            (_where(lambda d, keys, s: d <= s),),
        ),
        Trap(
            "the future too",
            _with(inside=lambda d, keys, s: d % s == 0),
            "the steps go on after the query. A model that writes may look back only: "
            "distance ≥ 0, which the remainder does not ask for.",
            STRIDE,
        ),
        Trap(
            "the future instead of the past",
            _with(inside=lambda d, keys, s: (d <= 0) & (d % s == 0)),
            "the distance was taken the wrong way round: the query's position minus the key's is "
            "how far back the key lies.",
            STRIDE,
        ),
        Trap(
            "out of step by one",
            _where(lambda d, keys, s: d % s == s - 1),
            "the steps begin at the query itself, at distance 0, and then come stride, 2 · stride, "
            "... With a remainder other than 0 the token cannot read itself.",
            STRIDE,
            (_where(lambda d, keys, s: (d - 1) % s == 0),),
        ),
        Trap(
            "itself hidden",
            _where(lambda d, keys, s: (d > 0) & (d % s == 0)),
            "a token may read itself: distance 0 is a multiple of every stride.",
            STRIDE,
        ),
        Trap(
            "so many keys between",
            _where(lambda d, keys, s: d % (s + 1) == 0),
            "the stride is the distance from one key to the next that is read, as in x[::stride], "
            "not the number of keys that are left out between them.",
            STRIDE,
        ),
        Trap(
            "a single step",
            _where(lambda d, keys, s: (d == 0) | (d == s)),
            "the steps go on to the beginning of the text: all multiples of the stride, not the "
            "first alone.",
            STRIDE,
            (_where(lambda d, keys, s: d == s),),
        ),
        Trap(
            "what is between the steps",
            _where(lambda d, keys, s: d % s != 0),
            "the remainder is 0 where a step lands, and 0 counts as False: compare it, == 0.",
            STRIDE,
        ),
        Trap(
            "no stride",
            _where(lambda d, keys, s: d >= 0),
            "this is the causal mask. Of the past only the keys at multiples of the stride stay.",
            STRIDE,
        ),
        Trap(
            "a stride of nothing",
            _with(refuse=patterns.unasked),
            "steps of 0 lead nowhere, and a remainder by 0 raises something that says nothing of "
            "a stride; a negative one would pass. Raise a ValueError below 1.",
            STRIDE,
        ),
        *patterns.form_traps(_with, STRIDE),
    ),
)
