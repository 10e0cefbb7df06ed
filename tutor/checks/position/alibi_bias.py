"""What ``alibi_bias`` must satisfy, and the wrong answers that people give."""

from collections.abc import Iterator

import torch
from torch import Generator

from tutor import position as reference
from tutor.checks.conditions import Condition, Crossed, Factor, Family
from tutor.checks.draw import Draw
from tutor.checks.exercise import Case, Contract, Exercise, Trap
from tutor.checks.families import DEVICE, where
from tutor.checks.position.alibi_slopes import formula_for_all, published
from tutor.checks.position.shared import CHAPTER

_HEADS = Factor(
    "heads",
    (
        Condition("four", value=4),
        Condition("eight", "eight heads", 8),
        Condition("six", "six heads", 6, edge=True, alone=True),
        Condition("one", "one head", 1, edge=True, alone=True),
    ),
)
_SIZES = Factor(
    "sizes",
    (
        Condition("square", value=(5, 5)),
        Condition("newest", "three new queries, five keys", (3, 5), edge=True, alone=True),
        Condition("one query", "one new query, all the past", (1, 9), edge=True, alone=True),
        Condition("one token", "a single token", (1, 1), edge=True, alone=True),
        # Small integers end at 127, and half precision counts to 2,048.
        Condition("long", "two new queries, a past of 2,050", (2, 2050), edge=True, alone=True),
    ),
)

FAMILY = Family((_HEADS, _SIZES, DEVICE))


def _by_hand(draw: Draw) -> Iterator[Case]:
    n = draw.integer(6, 12)
    yield Case("a length drawn by lot", (2 ** draw.integer(1, 5), n, n, draw.device))
    tq = draw.integer(2, 6)
    by_lot = (draw.integer(5, 8), tq, tq + draw.integer(1, 6), draw.device)
    yield Case("rectangular, by lot", by_lot, "edges")


CASES = Crossed(
    FAMILY,
    lambda draw, row: (row["heads"], *row["sizes"], *where(draw, row)),
    _by_hand,
    usual="four heads, five words",
)


def _contract(generator: Generator, device: torch.device) -> Contract:
    return Contract(
        calls=((6, 16, 24, device),),
    )


def _bias(num_heads, distance, slopes=None):
    slopes = published(num_heads, distance.device) if slopes is None else slopes
    return slopes[:, None, None] * -distance


def _signed(num_queries, num_keys, device, start=None):
    """query - key"""
    start = num_keys - num_queries if start is None else start
    queries = torch.arange(num_queries, device=device) + start
    return queries[:, None] - torch.arange(num_keys, device=device)


def _rewards(num_heads, num_queries, num_keys, device=None):
    return _bias(num_heads, -_signed(num_queries, num_keys, device).abs())


def _upper_left(num_heads, num_queries, num_keys, device=None):
    return _bias(num_heads, _signed(num_queries, num_keys, device, start=0).abs())


def _future_rewarded(num_heads, num_queries, num_keys, device=None):
    return _bias(num_heads, _signed(num_queries, num_keys, device))


def _future_free(num_heads, num_queries, num_keys, device=None):
    return _bias(num_heads, _signed(num_queries, num_keys, device).clamp(min=0))


def _masked(num_heads, num_queries, num_keys, device=None):
    signed = _signed(num_queries, num_keys, device)
    return _bias(num_heads, signed).masked_fill(signed < 0, -torch.inf)


def _of_keys(num_heads, num_queries, num_keys, device=None):
    keys = torch.arange(num_keys, device=device).expand(num_queries, num_keys)
    return _bias(num_heads, -keys)


def _one_slope(num_heads, num_queries, num_keys, device=None):
    slopes = published(num_heads, device)[:1].expand(num_heads)
    return _bias(num_heads, _signed(num_queries, num_keys, device).abs(), slopes)


def _slopes_by_formula(num_heads, num_queries, num_keys, device=None):
    slopes = formula_for_all(num_heads, device)
    return _bias(num_heads, _signed(num_queries, num_keys, device).abs(), slopes)


def _squared(num_heads, num_queries, num_keys, device=None):
    return _bias(num_heads, _signed(num_queries, num_keys, device) ** 2)


def _heads_last(num_heads, num_queries, num_keys, device=None):
    distance = _signed(num_queries, num_keys, device).abs()
    return -distance[..., None] * published(num_heads, device)


def _from_one(num_heads, num_queries, num_keys, device=None):
    return _bias(num_heads, _signed(num_queries, num_keys, device).abs() + 1)


ALIBI_BIAS = Exercise(
    reference=reference.alibi_bias,
    chapter=CHAPTER,
    points={"values": 2, "edges": 2, "types": 1, "contracts": 1},
    cases=CASES,
    contract=_contract,
    traps=(
        Trap(
            "far is rewarded",
            _rewards,
            "the bias is negative: the further away, the lower the score. With a plus every head "
            "looks at the beginning of the text, harder with every word.",
            "ALiBi",
        ),
        Trap(
            "aligned to the wrong corner",
            _upper_left,
            "with fewer queries than keys the queries are the newest positions: the last query "
            "stands at the last key, and its distance to it is 0. Counted from 0 instead, a model "
            "that generates with a cache takes its newest word for the first.",
            "Positions are an argument",
        ),
        Trap(
            "the future is rewarded",
            _future_rewarded,
            "query minus key is negative for a key that stands later, and the bias becomes a "
            "bonus. Behind a causal mask nobody sees it; in an encoder everybody looks to the end. "
            "Take the distance, |i - j|.",
            "ALiBi",
        ),
        Trap(
            "the future is free",
            _future_free,
            "clamped at 0, a key that stands later costs nothing however far it is. The bias is "
            "symmetric; hiding the future is the mask's business.",
            "ALiBi",
        ),
        Trap(
            "the mask included",
            _masked,
            "-inf for later keys makes the bias a causal mask as well. Here it hides nothing: an "
            "encoder uses it too, and a row of nothing but -inf is nan.",
            "ALiBi",
        ),
        Trap(
            "the key's position instead of the distance",
            _of_keys,
            "slope · j differs from -slope · (i - j) by the same number in a whole row, so that a "
            "causal softmax gives the same weights. Bloom's code does that. It is not the bias: "
            "it grows with the text until half precision overflows, and in an encoder it is wrong.",
            "ALiBi",
        ),
        Trap(
            "one slope for all heads",
            _one_slope,
            "each head has its own slope, so that some look near and some far.",
            "ALiBi",
        ),
        Trap(
            "the formula for powers of two, for all",
            _slopes_by_formula,
            "2^(-8h / H) is for powers of two. For six heads the slopes are those of four, and two "
            "of those of eight.",
            "Any number of heads",
        ),
        Trap(
            "the distance squared",
            _squared,
            "the L in ALiBi is for linear. A square makes every head short-sighted.",
            "ALiBi",
        ),
        Trap(
            "heads last",
            _heads_last,
            "heads stand before time, (H, Tq, Tk), so that the bias broadcasts onto scores of "
            "(B, H, Tq, Tk). With the heads last it may even broadcast, onto the wrong axes.",
            "ALiBi",
        ),
        Trap(
            "a distance of one to itself",
            _from_one,
            "a word is at distance 0 from itself. A constant more in a row changes no weight, and "
            "every comparison with a published bias.",
            "ALiBi",
        ),
    ),
)
