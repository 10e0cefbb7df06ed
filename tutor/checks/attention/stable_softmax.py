"""What ``stable_softmax`` must satisfy, and the wrong answers that people give."""

from collections.abc import Iterator

import torch
from torch import Generator, Tensor

from tutor import attention as reference
from tutor.checks.attention.shared import CHAPTER, TK, TQ, B
from tutor.checks.changes import changeable
from tutor.checks.conditions import Condition, Crossed, Factor, Family, Row, pair
from tutor.checks.crossings import DTYPE, LAYOUT, SCORES, extreme_rows
from tutor.checks.draw import DOUBLE, HALF, Draw, laid
from tutor.checks.exercise import Case, Contract, Exercise, Property, Trap

_DIM = Factor(
    "dim",
    (
        Condition("last", value=-1),
        Condition("first", "along the first dimension", 0, alone=True),
        Condition("next to last", "along the last dimension but one", -2, alone=True),
        Condition("counted", "the dimension counted from the front", 1),
    ),
)
_SHAPE = Factor(
    "shape",
    (
        Condition("three", value=(B, TQ, TK)),
        Condition("vector", "one vector", (TK,), alone=True),
        Condition("four", "four dimensions", (B, 4, TQ, TK)),
        Condition("ones", "one score a row", (1, 1, 1), edge=True),
    ),
)
_BANNED = Factor(
    "banned",
    (
        Condition("all finite", value=False),
        Condition("some banned", "some scores are -inf", True, edge=True, alone=True),
    ),
)
_ONE_DIMENSION = "a vector has one dimension, the last"
_NOTHING_ELSE = "a row of one score has no other"

FAMILY = Family(
    (DTYPE, SCORES, LAYOUT, _DIM, _SHAPE, _BANNED),
    apart={
        pair("vector", "first"): _ONE_DIMENSION,
        pair("vector", "next to last"): _ONE_DIMENSION,
        pair("vector", "counted"): _ONE_DIMENSION,
        pair("vector", "turned"): _ONE_DIMENSION,
        pair("ones", "some banned"): _NOTHING_ELSE,
        pair("ones", "turned"): "one number lies nowhere else",
    },
).but(without={"behind": "no dimension of these scores is for heads"})


def _arguments(draw: Draw, row: Row) -> tuple[Tensor, int]:
    dim, shape, dtype, scale = row["dim"], row["shape"], row["dtype"], row["scores"]
    if scale is None:  # rows run along dim
        turned = torch.empty(shape).movedim(dim, -1).shape
        scores = extreme_rows(draw, *turned, dtype=dtype).movedim(-1, dim)
    else:
        scores = draw.normal(*shape, dtype=dtype, scale=scale)
    if row["banned"]:
        scores.movedim(dim, -1)[..., 0] = -torch.inf
    return laid(scores.contiguous(), row["layout"]), dim


def _by_hand(draw: Draw) -> Iterator[Case]:
    yield Case("the dimension left out", (draw.normal(B, TQ, TK),))
    sizes = tuple(draw.integer(2, 9) for _ in range(3))
    yield Case("sizes drawn by lot", (draw.normal(*sizes), -1))
    # So large that a maximum with a rounding error of its own is too far off.
    enormous = extreme_rows(draw, 3, TK, dtype=DOUBLE) * 1e10
    yield Case("scores near 1e13 and near -1e14", (enormous, -1), "edges", finite_only=True)
    big = torch.tensor([[6e4, -6e4, 0.0], [12.0, 11.0, 10.0]], device=draw.device, dtype=HALF)
    yield Case("half precision near its largest number", (big, -1), "edges")


CASES = Crossed(FAMILY, _arguments, _by_hand, usual="a batch of rows")


def _shift_changes_nothing(call, generator: Generator, device: torch.device) -> str | None:
    draw = Draw(generator, device)
    scores = draw.normal(TQ, TK)
    # A power of two: adding it to these scores costs a few bits, not all of them.
    change = (call(scores + 4096.0, -1) - call(scores, -1)).abs().max()
    if not change < 1e-9:
        return f"adding 4,096 to every score changed a weight by {float(change):.2g}"
    return None


def _contract(generator: Generator, device: torch.device) -> Contract:
    scores = Draw(generator, device).normal(8, 16, 32)
    return Contract(
        calls=((scores, -1),),
        forbidden={"softmax": "it calls torch's own softmax; this exercise is to write it"},
    )


def _shift(scores, dim):
    return scores - scores.amax(dim, keepdim=True)


def _exponential(shifted):
    return shifted.exp()


def _share(exponentials, dim):
    return exponentials / exponentials.sum(dim, keepdim=True)


def _softmax(scores, dim=-1, shift=_shift, exponential=_exponential, share=_share):
    """The right shares, but for the steps that are given."""
    return share(exponential(shift(scores, dim)), dim)


_with = changeable(_softmax)


def _no_maximum(scores, dim):
    return scores


def _maximum_of_the_last(scores, dim):
    return scores - scores.amax(-1, keepdim=True)


def _one_maximum_for_all(scores, dim):
    return scores - scores.max()


def _minimum(scores, dim):
    return scores - scores.amin(dim, keepdim=True)


def _mean_for_maximum(scores, dim):
    return scores - scores.mean(dim, keepdim=True)


def _absolute_maximum(scores, dim):
    return scores - scores.abs().amax(dim, keepdim=True)


def _maximum_not_kept(scores, dim):
    return scores - scores.amax(dim)


def _in_place(scores, dim):
    scores -= scores.amax(dim, keepdim=True)
    return scores


def _clamped(scores, dim):
    return scores.clamp(max=80)


def _clamped_on_both_sides(scores, dim):
    return scores.clamp(-50, 50)


def _divided_by_maximum(scores, dim):
    return scores / scores.amax(dim, keepdim=True)


def _of_minus(scores, dim):
    return scores.amax(dim, keepdim=True) - scores


def _base_two(shifted):
    return shifted.exp2()


def _sum_of_the_last(exponentials, dim):
    return exponentials / exponentials.sum(-1, keepdim=True)


def _one_sum_for_all(exponentials, dim):
    return exponentials / exponentials.sum()


def _sum_not_kept(exponentials, dim):
    return exponentials / exponentials.sum(dim)


def _epsilon(exponentials, dim):
    return exponentials / (exponentials.sum(dim, keepdim=True) + 1e-6)


def _divided_by_mean(exponentials, dim):
    return exponentials / exponentials.mean(dim, keepdim=True)


def _not_divided(exponentials, dim):
    return exponentials


STABLE_SOFTMAX = Exercise(
    reference=reference.stable_softmax,
    chapter=CHAPTER,
    points={"values": 2, "edges": 1, "gradients": 1, "types": 1, "contracts": 1},
    cases=CASES,
    contract=_contract,
    properties=(Property("a shift of all scores", _shift_changes_nothing),),
    traps=(
        Trap(
            "no maximum subtracted",
            _with(shift=_no_maximum),
            "the formula as it stands on paper. exp(710) is already infinite in double precision, "
            "exp(12) in half; inf / inf is nan, and a row of very negative scores becomes 0 / 0. "
            "Subtracting the row's maximum changes no quotient and makes the largest exponent 0.",
            "Step 3: softmax",
        ),
        Trap(
            "always the last axis",
            _with(shift=_maximum_of_the_last, share=_sum_of_the_last),
            "the dimension is an argument, and the maximum and the sum both run along it. Ignoring "
            "it is right in all calls but those that matter, and no shape gives it away.",
            "Step 3: softmax",
        ),
        Trap(
            "maximum and sum along different dimensions",
            _with(share=_sum_of_the_last),
            "the dimension is an argument, and the maximum and the sum both run along it. With one "
            "of them along another dimension the rows no longer sum to 1, or overflow.",
            "Step 3: softmax",
            (_with(shift=_maximum_of_the_last),),
        ),
        Trap(
            "a dimension lost",
            _with(shift=_maximum_not_kept, share=_sum_not_kept),
            "amax(dim) and sum(dim) drop the dimension that they run along, and what is left meets "
            "the scores from the right: it raises, or, where two sizes are equal, meets other "
            "rows. Write keepdim=True.",
            "Step 3: softmax",
            (_with(shift=_maximum_not_kept), _with(share=_sum_not_kept)),
        ),
        Trap(
            "not divided by the sum",
            _with(share=_not_divided),
            "exponentials are positive, and no shares yet: each row is to sum to 1.",
            "Step 3: softmax",
            (_with(share=_divided_by_mean),),
        ),
        Trap(
            "the minimum instead of the maximum",
            _with(shift=_minimum),
            "the largest exponent is to be 0, so that none overflows. With the minimum subtracted "
            "it is the smallest that is 0, and all others lie above.",
            "Step 3: softmax",
        ),
        Trap(
            "one maximum for the whole tensor",
            _with(shift=_one_maximum_for_all),
            "scores.max() without a dimension. One row with large scores pushes every other row's "
            "exponents so far down that they all become 0, and that row is 0 / 0. Each row needs "
            "its own maximum: amax(dim, keepdim=True).",
            "Step 3: softmax",
        ),
        Trap(
            "one sum for the whole tensor",
            _with(share=_one_sum_for_all),
            "the sum of the exponentials was taken over everything, so that all weights together "
            "sum to 1 where each row should. Every query has a distribution of its own.",
            "Step 3: softmax",
        ),
        Trap(
            "the mean instead of the maximum",
            _with(shift=_mean_for_maximum),
            "any shift gives the same quotients on paper; only the maximum bounds the exponents. "
            "With the mean, scores that are 1,000 apart still overflow.",
            "Step 3: softmax",
        ),
        Trap(
            "the maximum minus the scores",
            _with(shift=_of_minus),
            "the sign is the other one: the largest score now gets the smallest weight. It is the "
            "scores minus their maximum, so that no exponent is above 0.",
            "Step 3: softmax",
        ),
        Trap(
            "the largest magnitude instead of the maximum",
            _with(shift=_absolute_maximum),
            "abs() before the maximum. For a row of scores near -1,000 it subtracts +1,000 and "
            "every exponential underflows to 0: the row is 0 / 0.",
            "Step 3: softmax",
        ),
        Trap(
            "scores cut off",
            _with(shift=_clamped),
            "clamp bounds the exponents and forgets which score was the larger: above the bound "
            "all get one weight and no gradient. Subtracting the maximum bounds them, too, and "
            "keeps their differences.",
            "Step 3: softmax",
            (_with(shift=_clamped_on_both_sides),),
        ),
        Trap(
            "divided by the maximum",
            _with(shift=_divided_by_maximum),
            "a weight depends on the differences of scores. Subtracting one number from all leaves "
            "them as they are; dividing changes them, and turns the order round where the maximum "
            "is negative.",
            "Step 3: softmax",
        ),
        Trap(
            "another base",
            _with(exponential=_base_two),
            "the base is e. With powers of 2 every score counts for ln 2 = 0.69 of itself. (Fast "
            "kernels do use exp2, after multiplying the scores by log₂ e.)",
            "Step 3: softmax",
        ),
        Trap(
            "an epsilon in the denominator",
            _with(share=_epsilon),
            "after the maximum is subtracted the sum is at least 1 and never needs protection; "
            "the epsilon only makes every weight a little too small.",
            "Step 3: softmax",
        ),
        Trap(
            "the caller's scores overwritten",
            _with(shift=_in_place),
            "scores -= ... writes into the tensor that was passed in. Whoever uses those scores "
            "next, the backward pass included, reads shifted ones. Write scores = scores - ...",
            "Step 3: softmax",
            overwrites="scores",
        ),
    ),
)
