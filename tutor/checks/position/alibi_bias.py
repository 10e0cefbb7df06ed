"""What ``alibi_bias`` must satisfy, and the wrong answers that people give."""

from collections.abc import Iterator

import torch
from torch import Generator

from tutor import position as reference
from tutor.checks.changes import changeable
from tutor.checks.conditions import Condition, Crossed, Factor, Family
from tutor.checks.draw import Draw
from tutor.checks.exercise import Case, Contract, Exercise, Trap
from tutor.checks.families import DEVICE, where
from tutor.checks.position.alibi_slopes import (
    ascending,
    formula_for_all,
    from_one,
    one_for_all,
    published,
    second_ones,
)
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
    yield Case("a length drawn by lot", (2 ** draw.integer(4, 6), n, n, draw.device))
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


def _newest(num_queries, num_keys):
    return num_keys - num_queries


def _distance(signed):
    return signed.abs()


def _cost(distance):
    return -distance


def _by_head(slopes, cost):
    return slopes[:, None, None] * cost


def _as_it_is(bias, signed):
    return bias


def _bias(
    num_heads,
    num_queries,
    num_keys,
    device=None,
    start=_newest,
    distance=_distance,
    cost=_cost,
    slopes=published,
    together=_by_head,
    then=_as_it_is,
):
    """The right bias, but for the parts that are given."""
    queries = torch.arange(num_queries, device=device) + start(num_queries, num_keys)
    signed = queries[:, None] - torch.arange(num_keys, device=device)
    return then(together(slopes(num_heads, device), cost(distance(signed))), signed)


_with = changeable(_bias)


def _rewarded(distance):
    return distance


def _from_the_start(num_queries, num_keys):
    return 0


def _wrong_way(num_queries, num_keys):
    return num_queries - num_keys


def _one_later(num_queries, num_keys):
    return num_keys - num_queries + 1


def _one_earlier(num_queries, num_keys):
    return num_keys - num_queries - 1


def _signed(signed):
    return signed


def _no_future(signed):
    return signed.clamp(min=0)


def _squared(signed):
    return signed**2


def _plus_one(signed):
    return signed.abs() + 1


def _counted_in(dtype):
    return lambda signed: signed.abs().to(dtype)


def _cost_in_single(distance):
    return -distance.float()


def _all_in(dtype):
    def together(slopes, cost):
        return (slopes.to(dtype)[:, None, None] * cost.to(dtype)).float()

    return together


def _double(bias, signed):
    return bias.double()


def _masked(bias, signed):
    return bias.masked_fill(signed < 0, -torch.inf)


def _of_keys(num_heads, num_queries, num_keys, device=None):
    keys = torch.arange(num_keys, device=device).expand(num_queries, num_keys)
    return published(num_heads, device)[:, None, None] * keys


def _first_for_all(num_heads, device):
    return published(num_heads, device)[:1].expand(num_heads)


def _none(num_heads, device):
    return torch.ones(num_heads, device=device)


def _heads_last(slopes, cost):
    return cost[..., None] * slopes


ALIBI_BIAS = Exercise(
    reference=reference.alibi_bias,
    chapter=CHAPTER,
    points={"values": 2, "edges": 2, "types": 1, "contracts": 1},
    cases=CASES,
    contract=_contract,
    traps=(
        Trap(
            "far is rewarded",
            _with(cost=_rewarded),
            "the bias is negative: the further away, the lower the score. With a plus every head "
            "looks at the beginning of the text, harder with every word.",
            "ALiBi",
        ),
        Trap(
            "aligned to the wrong corner",
            _with(start=_from_the_start),
            "with fewer queries than keys the queries are the newest positions: the last query "
            "stands at the last key, and its distance to it is 0. Counted from 0 instead, a model "
            "that generates with a cache takes its newest word for the first.",
            "Positions are an argument",
        ),
        Trap(
            "shifted the wrong way",
            _with(start=_wrong_way),
            "the first query stands at Tk - Tq, behind the keys that are past. At Tq - Tk it "
            "stands before the text begins, and the newest word is told to look back further than "
            "there is anything.",
            "Positions are an argument",
        ),
        Trap(
            "shifted by one",
            _with(start=_one_later),
            "the last of Tq queries stands at the last of Tk keys, at distance 0, so the first one "
            "stands at Tk - Tq.",
            "Positions are an argument",
            (_with(start=_one_earlier),),
        ),
        Trap(
            "distances in a short dtype",
            _with(distance=_counted_in(torch.uint8)),
            "integers of 8 bits end at 127 or 255, half precision counts to 2,048 and bfloat16 to "
            "256: far words become near ones, or neighbours the same. Count in int64, and multiply "
            "by slopes in single precision.",
            "Numbers that grow",
            (
                *(
                    _with(distance=_counted_in(dtype), cost=_cost_in_single)
                    for dtype in (torch.uint8, torch.int8, torch.float16, torch.bfloat16)
                ),
                *(_with(together=_all_in(dtype)) for dtype in (torch.float16, torch.bfloat16)),
            ),
        ),
        Trap(
            "the bias in double",
            _with(then=_double),
            "the slopes are float32, and so is the bias. One number in double makes the whole "
            "table double, and the scores that it is added to.",
            "ALiBi",
        ),
        Trap(
            "the future is rewarded",
            _with(distance=_signed),
            "query minus key is negative for a key that stands later, and the bias becomes a "
            "bonus. Behind a causal mask nobody sees it; in an encoder everybody looks to the end. "
            "Take the distance, |i - j|.",
            "ALiBi",
        ),
        Trap(
            "the future is free",
            _with(distance=_no_future),
            "clamped at 0, a key that stands later costs nothing however far it is. The bias is "
            "symmetric; hiding the future is the mask's business.",
            "ALiBi",
        ),
        Trap(
            "the mask included",
            _with(distance=_signed, then=_masked),
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
            _with(slopes=_first_for_all),
            "each head has its own slope, so that some look near and some far.",
            "ALiBi",
        ),
        Trap(
            "no slopes",
            _with(slopes=_none),
            "each head multiplies the distance by a slope of its own. Without one all heads look "
            "at the last word or two and nowhere else.",
            "ALiBi",
        ),
        Trap(
            "the formula for powers of two, for all",
            _with(slopes=formula_for_all),
            "2^(-8h / H) is for powers of two. For six heads the slopes are those of four, and two "
            "of those of eight.",
            "Any number of heads",
        ),
        Trap(
            "the first slope is 1",
            _with(slopes=from_one),
            "h runs from 1 to H: the first slope is 2^(-8 / H), the last 2^-8.",
            "ALiBi",
            (_with(slopes=one_for_all),),
        ),
        Trap(
            "slopes in rising order",
            _with(slopes=ascending),
            "the first head has the steepest slope, and the others follow as alibi_slopes gives "
            "them.",
            "ALiBi",
        ),
        Trap(
            "the even slopes instead of the odd",
            _with(slopes=second_ones),
            "of the slopes of twice the power, the first, third, fifth, ... are new. The second, "
            "fourth, ... are the ones that you have already.",
            "Any number of heads",
        ),
        Trap(
            "the distance squared",
            _with(distance=_squared),
            "the L in ALiBi is for linear. A square makes every head short-sighted.",
            "ALiBi",
        ),
        Trap(
            "heads last",
            _with(together=_heads_last),
            "heads stand before time, (H, Tq, Tk), so that the bias broadcasts onto scores of "
            "(B, H, Tq, Tk). With the heads last it may even broadcast, onto the wrong axes.",
            "ALiBi",
        ),
        Trap(
            "a distance of one to itself",
            _with(distance=_plus_one),
            "a word is at distance 0 from itself. A constant more in a row changes no weight, and "
            "every comparison with a published bias.",
            "ALiBi",
        ),
    ),
)
