"""What ``alibi_bias`` must satisfy, and the wrong answers that people give."""

from collections.abc import Iterator

import torch
from torch import Generator

import tutor.checks.position.biases as biases
from tutor import position as reference
from tutor.checks.changes import changeable
from tutor.checks.conditions import Condition, Crossed, Factor, Family
from tutor.checks.crossings import DEVICE, where
from tutor.checks.draw import Draw
from tutor.checks.exercise import Case, Contract, Exercise, Trap
from tutor.checks.position.alibi_slopes import (
    ascending,
    formula_for_all,
    from_one,
    one_for_all,
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

_BYTES = (torch.uint8, torch.int8)
_HALVES = (torch.float16, torch.bfloat16)

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


_with = changeable(biases.bias)


ALIBI_BIAS = Exercise(
    reference=reference.alibi_bias,
    chapter=CHAPTER,
    points={"values": 2, "edges": 2, "types": 1, "contracts": 1},
    cases=CASES,
    contract=_contract,
    traps=(
        Trap(
            "far is rewarded",
            _with(cost=biases.rewarded),
            "the bias is negative: the further away, the lower the score. With a plus every head "
            "looks at the beginning of the text, harder with every word.",
            "ALiBi",
        ),
        Trap(
            "aligned to the wrong corner",
            _with(start=biases.from_the_start),
            "with fewer queries than keys the queries are the newest positions: the last query "
            "stands at the last key, and its distance to it is 0. Counted from 0 instead, a model "
            "that generates with a cache takes its newest word for the first.",
            "Positions are an argument",
            (_with(start=biases.start_of_one),),
        ),
        Trap(
            "as many queries as keys",
            _with(sizes=biases.square_of_queries),
            "the distances are a square of queries by queries. There may be "
            "fewer queries than keys: count the queries from Tk - Tq to Tk - 1, and the keys from "
            "0 to Tk - 1.",
            "Positions are an argument",
        ),
        Trap(
            "shifted the wrong way",
            _with(start=biases.wrong_way),
            "the first query stands at Tk - Tq, behind the keys that are past. At Tq - Tk it "
            "stands before the text begins, and the newest word is told to look back further than "
            "there is anything.",
            "Positions are an argument",
        ),
        Trap(
            "shifted by one",
            _with(start=biases.one_later),
            "the last of Tq queries stands at the last of Tk keys, at distance 0, so the first one "
            "stands at Tk - Tq.",
            "Positions are an argument",
            (_with(start=biases.one_earlier),),
        ),
        Trap(
            "distances in a short dtype",
            _with(distance=biases.distance_in(torch.uint8)),
            "integers of 8 bits end at 127 or 255, half precision counts to 2,048 and bfloat16 to "
            "256: far words become near ones, or neighbours the same. Count in int64, and multiply "
            "by slopes in single precision.",
            "Numbers that grow",
            (
                *(
                    _with(distance=biases.distance_in(dtype), cost=biases.cost_in_single)
                    for dtype in (*_BYTES, *_HALVES)
                ),
                *(
                    _with(counted=biases.places_in(dtype), cost=biases.cost_in_single)
                    for dtype in (*_BYTES, *_HALVES)
                ),
                *(_with(together=biases.all_in(dtype)) for dtype in _HALVES),
            ),
        ),
        Trap(
            "the bias in whole numbers",
            _with(then=biases.whole_numbers),
            "distances are whole numbers, slopes and their products are not. In the dtype of the "
            "distances every fraction is cut off, and most of the bias is 0. Keep the product in "
            "float32.",
            "ALiBi",
            (
                _with(then=biases.whole_numbers_as_floats),
                _with(together=biases.whole_slopes),
            ),
        ),
        Trap(
            "the bias in double",
            _with(then=biases.double),
            "the slopes are float32, and so is the bias. One number in double makes the whole "
            "table double, and the scores that it is added to.",
            "ALiBi",
        ),
        Trap(
            "the future is rewarded",
            _with(distance=biases.signed),
            "query minus key is negative for a key that stands later, and the bias becomes a "
            "bonus. Behind a causal mask nobody sees it; in an encoder everybody looks to the end. "
            "Take the distance, |i - j|.",
            "ALiBi",
        ),
        Trap(
            "the future is free",
            _with(distance=biases.no_future),
            "clamped at 0, a key that stands later costs nothing however far it is. The bias is "
            "symmetric; hiding the future is the mask's business.",
            "ALiBi",
        ),
        Trap(
            "the past is free",
            _with(distance=biases.no_past),
            "clamped at 0 on the wrong side, a key that stands earlier costs nothing however far "
            "it is. Those are the keys that a causal model reads. Take the distance, |i - j|.",
            "ALiBi",
        ),
        Trap(
            "the mask included",
            _with(then=biases.masked_with(-torch.inf)),
            "-inf for later keys makes the bias a causal mask as well. Here it hides nothing: an "
            "encoder uses it too, and a row of nothing but -inf is nan.",
            "ALiBi",
            tuple(
                _with(then=biases.masked_with(number))
                for number in (torch.finfo(torch.float32).min, -1e9)
            ),
        ),
        Trap(
            "the key's position instead of the distance",
            _with(difference=biases.of_keys, cost=biases.rewarded),
            "slope · j, or slope · (j - Tk + 1), differs from -slope · (i - j) by the same number "
            "in a whole row, so that a causal softmax gives the same weights. Bloom's code does "
            "that. It is not the bias: every query gets the row of one, and in an encoder it is "
            "wrong.",
            "ALiBi",
            (_with(difference=biases.of_the_last), _with(difference=biases.of_keys)),
        ),
        Trap(
            "one slope for all heads",
            _with(slopes=biases.first_for_all),
            "each head has its own slope, so that some look near and some far.",
            "ALiBi",
            (_with(slopes=biases.last_for_all),),
        ),
        Trap(
            "no slopes",
            _with(slopes=biases.none),
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
            "every other slope of the power itself",
            _with(slopes=biases.every_other_again),
            "the additional slopes are every other one of *twice* the power: they lie between the "
            "slopes that are there. Those of the power itself are there already.",
            "Any number of heads",
            (_with(slopes=biases.every_other_again_repeated),),
        ),
        Trap(
            "all slopes of twice the power",
            _with(slopes=biases.all_of_twice),
            "the second, fourth, ... of them are in the list already. Take every other one.",
            "Any number of heads",
        ),
        Trap(
            "the first of the power above",
            _with(slopes=biases.of_the_power_above),
            "the slopes of the next power of two, cut off, lose the small slopes: no head is left "
            "that sees far.",
            "Any number of heads",
        ),
        Trap(
            "slopes missing",
            _with(slopes=biases.none_more),
            "for six heads there are six slopes: four of the power below, and two of twice that "
            "power.",
            "Any number of heads",
        ),
        Trap(
            "slopes sorted",
            _with(slopes=biases.in_falling_order),
            "the additional slopes come after the others, unsorted. A checkpoint's head number 5 "
            "was trained with the slope that stands at place 5.",
            "Any number of heads",
        ),
        Trap(
            "always halved",
            _with(slopes=biases.always_halved),
            "1/2, 1/4, 1/8, ... is right for eight heads, the paper's example. With H heads the "
            "ratio is 2^(-8 / H), so that they always end at 1/256.",
            "ALiBi",
        ),
        Trap(
            "powers of e",
            _with(slopes=biases.powers_of_e),
            "the base of the slopes is 2: the last one is 1/256.",
            "ALiBi",
        ),
        Trap(
            "slopes in a line",
            _with(slopes=biases.in_a_line),
            "the slopes are a geometric series: each is a fixed fraction of the one before, so "
            "that the heads' reaches grow from a word or two to hundreds.",
            "ALiBi",
        ),
        Trap(
            "the distance squared",
            _with(distance=biases.squared),
            "the L in ALiBi is for linear. A square makes every head short-sighted.",
            "ALiBi",
        ),
        Trap(
            "the logarithm of the distance",
            _with(distance=biases.logarithm),
            "the L in ALiBi is for linear: twice the distance costs twice as much. Logarithms are "
            "how T5 groups its distances.",
            "ALiBi",
        ),
        Trap(
            "distances as shares of the length",
            _with(distance=biases.share),
            "divided by the number of keys, the same two words stand closer in a longer text. The "
            "distance is counted in words, whatever the length.",
            "ALiBi",
        ),
        Trap(
            "heads last",
            _with(together=biases.heads_last),
            "heads stand before time, (H, Tq, Tk), so that the bias broadcasts onto scores of "
            "(B, H, Tq, Tk). With the heads last it may even broadcast, onto the wrong axes.",
            "ALiBi",
        ),
        Trap(
            "slopes that meet the words",
            _with(together=biases.LINED_UP[0]),
            "a bare row of slopes, or slopes[:, None], meets the keys or the queries and not the "
            "heads. Dimensions are matched from the right: slopes[:, None, None] stands before "
            "both.",
            "ALiBi",
            tuple(_with(together=lined_up) for lined_up in biases.LINED_UP[1:]),
        ),
        Trap(
            "a distance of one to itself",
            _with(distance=biases.plus_one),
            "a word is at distance 0 from itself. A constant more in a row changes no weight, and "
            "every comparison with a published bias.",
            "ALiBi",
        ),
    ),
)
