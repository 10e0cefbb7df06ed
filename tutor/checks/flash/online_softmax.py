"""What ``online_softmax`` must satisfy, and the wrong answers that people give."""

import math
from collections.abc import Iterator

import torch
from torch import Generator, Tensor

from tutor import flash as reference
from tutor.checks.conditions import Condition, Crossed, Factor, Family, Row, pair
from tutor.checks.crossings import DTYPE, LAYOUT
from tutor.checks.draw import DOUBLE, HALF, Draw, laid
from tutor.checks.exercise import Case, Contract, Exercise, Property, Trap
from tutor.checks.flash import streams as part
from tutor.checks.flash.shared import CHAPTER, STREAM
from tutor.checks.flash.streams import with_
from tutor.checks.limits import between

_STATE = Factor(
    "state",
    (
        Condition("higher", value=3.0),
        Condition("lower", "the maximum does not move", -4.0, alone=True),
        Condition("from nothing", "the first piece", None, edge=True, alone=True),
    ),
)
"""How far the piece lies above what was seen before."""
_LEVEL = Factor(
    "level",
    (
        Condition("near 0", value=0.0),
        Condition("thousands", "scores near 3,000", 3000.0, edge=True, alone=True),
        Condition("far below", "scores near -20,000", -20_000.0, edge=True, alone=True),
    ),
)
_HIDDEN = Factor(
    "hidden",
    (
        Condition("all seen"),
        Condition("some hidden", "some scores are -inf", "some", edge=True, alone=True),
        Condition("all hidden", "all scores are -inf", "all", edge=True, alone=True),
    ),
)
_WIDTH = Factor(
    "scores",
    (
        Condition("five", value=5),
        Condition("one score", "one score a row", 1),
        Condition("hundreds", "hundreds of scores", 300),
    ),
)
_ROWS = Factor(
    "rows",
    (
        Condition("six", value=(2, 3)),
        Condition("a single row", "a single row", (), alone=True),
        Condition("four dimensions", "rows of several heads", (2, 1, 4, 3)),
        Condition("one row", "one row", (1,)),
    ),
)
FAMILY = Family(
    (DTYPE, _STATE, _LEVEL, _HIDDEN, _WIDTH, _ROWS, LAYOUT),
    together=(("from nothing", "all hidden"), ("from nothing", "some hidden", "far below")),
    apart={
        **{pair("a single row", lay): "no matrix" for lay in ("turned", "behind", "views")},
        pair("some hidden", "one score"): "of one score it hides none or all",
    },
)


def _state(draw: Draw, rows: tuple[int, ...], level: float, dtype: torch.dtype):
    maximum = draw.normal(*rows, dtype=dtype) + level
    return maximum, draw.uniform(*rows, low=1.0, high=4.0, dtype=dtype)


def _arguments(draw: Draw, row: Row) -> tuple[Tensor, ...]:
    rows, n, dtype, level = row["rows"], row["scores"], row["dtype"], row["level"]
    above = row["state"]
    if dtype == HALF and level:  # which has no number between multiples of 16 there
        above = above and 16 * above
    scores = draw.normal(*rows, n, dtype=dtype) + level
    maximum, total = _state(draw, rows, level, dtype)
    if above is None:
        maximum, total = torch.full_like(maximum, -math.inf), torch.zeros_like(total)
    else:
        scores = scores + above
    if row["hidden"]:
        hidden = torch.ones(*rows, n, dtype=torch.bool, device=draw.device)
        if row["hidden"] == "some":
            hidden = ~draw.keep(*rows, n)
        scores = scores.masked_fill(hidden, -math.inf)
    return laid(scores, row["layout"]), maximum, total


def _by_hand(draw: Draw) -> Iterator[Case]:
    scores = torch.tensor([1.0, 2.0, 4.0], dtype=DOUBLE, device=draw.device).log()
    one = torch.ones((), dtype=DOUBLE, device=draw.device)
    yield Case("the example of the text", (scores[1:], 0 * one, one))
    rows = draw.integer(2, 6)
    scores, state = draw.normal(rows, 7, scale=3.0), _state(draw, (rows,), 0.0, DOUBLE)
    yield Case("sizes drawn by lot", (scores, *state))
    maximum, total = _state(draw, (4,), 0.0, DOUBLE)
    maximum[::2], total[::2] = -math.inf, 0.0
    scores = draw.normal(4, 3)
    scores[:2] = -math.inf
    yield Case("rows that have seen nothing beside others", (scores, maximum, total), "edges")


CASES = Crossed(FAMILY, _arguments, _by_hand, usual="a higher maximum")


def _any_cut(call, generator: Generator, device: torch.device) -> str | None:
    draw = Draw(generator, device)
    scores = draw.normal(3, 12, scale=4.0)
    found = []
    for sizes in ([12], [1, 5, 6], [7, 5], [4, 4, 4]):
        state = torch.full_like(scores[:, 0], -math.inf), torch.zeros_like(scores[:, 0])
        for piece in scores.split(sizes, -1):
            state = call(piece.contiguous(), *state)[:2]
        found.append(state[0] + state[1].log())
    off = max(float((f - scores.logsumexp(-1)).abs().max()) for f in found)
    if not off < 1e-10:
        return f"the logarithm of the sum hangs on where the stream is cut: off by {off:.2g}"
    return None


def _contract(generator: Generator, device: torch.device) -> Contract:
    draw = Draw(generator, device)
    rows, n = 16, 24
    scores, state = draw.normal(rows, n), _state(draw, (rows,), 0.0, DOUBLE)
    # The scores beside the maximum; each score with each other.
    return Contract(
        calls=((scores, *state),), max_intermediate=between(rows * (n + 1), rows * n * n)
    )


ONLINE_SOFTMAX = Exercise(
    reference=reference.online_softmax,
    chapter=CHAPTER,
    points={"values": 3, "edges": 2, "types": 1, "contracts": 1},
    cases=CASES,
    contract=_contract,
    properties=(Property("any cut gives the same sum", _any_cut, "values"),),
    outputs=("maximum", "total", "weights", "factor"),
    traps=(
        Trap(
            "rescaling forgotten",
            with_(add=part.unscaled),
            "the old sum was measured from the old maximum. Where the maximum moves, all that was "
            "summed before has to be multiplied by e^(old - new), or old and new weights are in "
            "different units.",
            STREAM,
            (with_(correction=part.one), with_(correction=part.one, add=part.unscaled)),
        ),
        Trap(
            "rescaled the wrong way",
            with_(correction=part.up),
            "the new maximum is at least the old one, so old weights become smaller: the factor is "
            "e^(old - new), at most 1. The other way round they grow, and overflow.",
            STREAM,
            (with_(add=part.divided_by),),
        ),
        Trap(
            "the sum of the piece scaled as well",
            with_(add=part.both_scaled),
            "the weights of this piece are measured from the new maximum already. The factor is "
            "for what was summed before.",
            STREAM,
            (with_(told=part.scaled_weights),),
        ),
        Trap(
            "no running maximum",
            with_(level=part.zero, correction=part.one),
            "without a maximum to subtract, e^s overflows from 710 on in double precision and from "
            "89 on in single. Standard normal scores never show it: a test on those passes.",
            STREAM,
            (with_(level=part.zero), with_(top=part.never), with_(top=part.never, level=part.zero)),
        ),
        Trap(
            "the maximum of this piece alone",
            with_(top=part.of_the_piece),
            "the maximum runs over all scores so far: max(old, the piece's). With the piece's "
            "alone it falls again, and the factor for what was summed before overflows.",
            STREAM,
        ),
        Trap(
            "the maximum of the first piece for all",
            with_(top=part.of_the_first),
            "the first maximum says nothing about what comes later: a score that lies far above it "
            "overflows.",
            STREAM,
            (with_(level=part.the_old), with_(level=part.the_old, correction=part.one)),
        ),
        Trap(
            "nothing minus nothing",
            with_(level=part.unguarded),
            "where all scores so far are -inf, so is the maximum, and -inf - -inf is nan: for "
            "good, since every later sum is multiplied by it. Measure those rows from 0 instead.",
            STREAM,
            (
                with_(level=part.unguarded, power=part.cleaned),
                with_(level=part.unguarded, correction=part.cleaned_down),
            ),
        ),
        Trap(
            "a finite number for nothing",
            with_(top=part.at_least(-1e4)),
            "a maximum that begins at -10,000 instead of -inf is above scores of -20,000, whose "
            "weights are then all 0. Scores are what they are; only -inf is below all of them.",
            STREAM,
            (
                with_(top=part.at_least(0.0)),
                with_(top=part.at_least(-1e3)),
                with_(top=part.at_least(-1e5)),
                with_(top=part.at_least(-1e9)),
                with_(top=part.at_least_the_dtypes),
                with_(top=part.at_least(-1e9), level=part.unguarded),
                with_(top=part.at_least_the_dtypes, level=part.unguarded),
            ),
        ),
        Trap(
            "normalised in every piece",
            with_(divided=part.by_their_sum),
            "the sum is known after the last piece, and divided by once, there. Weights that are "
            "divided by the sum of their piece cannot be added to those of another.",
            STREAM,
            (
                with_(divided=part.by_the_total),
                with_(divided=part.by_their_sum, add=part.the_piece_alone),
            ),
        ),
        Trap(
            "the earlier sum lost",
            with_(add=part.the_piece_alone),
            "the total is of all scores so far: the old one, scaled, and the piece's.",
            STREAM,
        ),
        Trap(
            "one maximum for all rows",
            with_(top=part.of_all_rows),
            "each row has a softmax of its own. Below the maximum of another row, all weights of a "
            "row may round to 0.",
            STREAM,
        ),
        Trap(
            "summed over everything",
            with_(add=part.over_all),
            "the sum is over the last dimension, of each row alone.",
            STREAM,
            (with_(add=part.the_mean),),
        ),
        Trap(
            "powers of two",
            with_(power=part.in_base_two, correction=part.base_two_down),
            "kernels compute 2^x, which is cheaper, and multiply the scores by log2(e) first. "
            "Without that the weights are those of another softmax.",
            STREAM,
            (with_(power=part.in_base_two),),
        ),
        Trap(
            "the largest score is the smallest",
            with_(power=part.sign_turned),
            "e^(score - maximum): the largest score has the weight 1, and no other has more.",
            STREAM,
            (with_(top=part.smallest),),
        ),
        Trap(
            "the logarithm in the place of the sum",
            with_(told=part.log_sum_exp),
            "maximum and total stay apart until the stream has ended: the next piece needs both.",
            STREAM,
            (with_(told=part.logarithm_of_total),),
        ),
        Trap(
            "a factor without its power",
            with_(correction=part.difference),
            "weights are powers of e, so a shift by old - new is a factor e^(old - new).",
            STREAM,
        ),
        Trap(
            "in another order",
            with_(told=part.total_first),
            "four tensors are returned: maximum, total, weights, factor.",
            STREAM,
            (with_(told=part.factor_before_weights), with_(told=part.state_alone)),
        ),
        Trap(
            "a dimension too many",
            with_(told=part.with_a_dimension),
            "maximum, total and factor have one number a row, as they came. `keepdim=True` is for "
            "the subtraction; take the dimension away before you return them.",
            STREAM,
        ),
        Trap(
            "the scores overwritten",
            with_(power=part.overwriting),
            "`sub_` and `exp_` write into the caller's scores. The first operation has to make a "
            "new tensor; those after it may write into that.",
            STREAM,
            overwrites="scores",
        ),
        Trap(
            "the caller's state overwritten",
            with_(add=part.in_place_scaled),
            "the old maximum and total belong to the caller, who may need them again.",
            STREAM,
            (with_(top=part.in_place, add=part.in_place_scaled), with_(top=part.in_place)),
            overwrites="total",
        ),
    ),
)
