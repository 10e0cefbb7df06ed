"""What ``convert_rope_layout`` must satisfy, and the wrong answers that people give."""

from collections.abc import Iterator

import torch
from torch import Generator, Tensor

import tutor.checks.position.conversions as conversions
from tutor import position as reference
from tutor.checks.changes import changeable
from tutor.checks.conditions import Condition, Crossed, Factor, Family, Row, pair
from tutor.checks.crossings import DTYPE, LAYOUT
from tutor.checks.draw import Draw, laid
from tutor.checks.exercise import Case, Contract, Exercise, Property, Trap
from tutor.checks.position.shared import CHAPTER, LAYOUTS, D, H, T

_TO = Factor(
    "to",
    (
        # Not the same object as the literal: a comparison by identity fails.
        Condition("to half", value="".join(("ha", "lf"))),
        Condition("to interleaved", "to interleaved", "interleaved", alone=True),
    ),
)
_WEIGHTS = Factor(
    "weights",
    (
        Condition("projection", value=(H, (H * D, 7))),
        Condition("square", "a square projection", (H, (H * D, H * D)), alone=True),
        Condition("bias", "a bias", (H, (H * D,)), edge=True, alone=True),
        Condition("one head", "one head", (1, (D, 5)), edge=True, alone=True),
        Condition("further", "rows of two dimensions", (H, (H * D, 7, 2)), edge=True, alone=True),
        Condition("pairs only", "heads of one pair", (H, (2 * H, 7)), edge=True),
    ),
)

FAMILY = Family(
    (DTYPE, LAYOUT, _TO, _WEIGHTS),
    apart={
        pair("turned", "bias"): "a row of numbers lies one after the other",
        pair("views", "bias"): "a row of numbers lies one after the other",
    },
).but(without={"behind": "weights have no batch"})


def _arguments(draw: Draw, row: Row) -> tuple[Tensor, int, str]:
    heads, shape = row["weights"]
    return laid(draw.normal(*shape, dtype=row["dtype"]), row["layout"]), heads, row["to"]


def _by_hand(draw: Draw) -> Iterator[Case]:
    for to in LAYOUTS:
        heads, half = draw.integer(2, 6), draw.integer(3, 8)
        w = draw.normal(2 * half * heads, draw.integer(2, 9))
        yield Case(f"sizes drawn by lot, to {to}", (w, heads, to))


CASES = Crossed(FAMILY, _arguments, _by_hand, usual="a projection")


def _contract(generator: Generator, device: torch.device) -> Contract:
    w = Draw(generator, device).normal(4 * 16, 32)
    return Contract(
        calls=tuple((w, 4, to) for to in LAYOUTS),
    )


def _same_scores(call, generator: Generator, device: torch.device) -> str | None:
    draw = Draw(generator, device)
    x, *weights = draw.normal(T, 7), draw.normal(H * D, 7), draw.normal(H * D, 7)
    positions = draw.integers(T, low=0, high=99)

    def scores(w_q, w_k, layout):
        q, k = ((x @ w.mT).unflatten(-1, (H, D)).transpose(0, 1) for w in (w_q, w_k))
        q, k = (reference.apply_rope(t, positions, layout=layout) for t in (q, k))
        return q @ k.mT

    for own, to in (LAYOUTS, LAYOUTS[::-1]):
        converted = [call(w, H, to) for w in weights]
        change = (scores(*converted, to) - scores(*weights, own)).abs().max()
        if not change < 1e-9:
            return (
                f"projections converted to {to} and turned in that layout should give the same "
                f"scores; one differs by {float(change):.2g}"
            )
    return None


_with = changeable(conversions.conversion)


CONVERT_ROPE_LAYOUT = Exercise(
    reference=reference.convert_rope_layout,
    chapter=CHAPTER,
    points={"values": 2, "edges": 1, "gradients": 1, "types": 1, "contracts": 1},
    cases=CASES,
    contract=_contract,
    properties=(Property("the same scores in the other layout", _same_scores, "values"),),
    traps=(
        Trap(
            "the wrong way round",
            _with(way=conversions.wrong_way),
            "this is the reordering for the other direction. To half: of each head first rows "
            "0, 2, 4, ..., then rows 1, 3, 5, .... The two differ as soon as a head has more than "
            "four features.",
            "Converting a checkpoint",
        ),
        Trap(
            "across the heads",
            _with(heads=conversions.one_head),
            "the rows of all heads were reordered as if they were one. Pairs never leave their "
            "head: split the rows into heads first.",
            "Converting a checkpoint",
        ),
        Trap(
            "columns instead of rows",
            conversions.columns,
            "w is (out, in), as nn.Linear stores it: the features of the heads are rows. The "
            "columns are the features of the model, which have no pairs.",
            "Converting a checkpoint",
            (
                conversions.columns_of(False),
                conversions.columns_of(True),
                conversions.columns_turned,
            ),
        ),
        Trap(
            "heads that alternate",
            conversions.heads_last,
            "row r was taken to belong to head r % H. The rows of a head stand together: head h "
            "has rows h·D to (h + 1)·D.",
            "Converting a checkpoint",
        ),
        Trap(
            "reshaped without a transpose",
            _with(turn=conversions.reshaped),
            "a view as (D/2, 2) followed by a view as (2, D/2) leaves every number where it was: "
            "a view never reorders. The transpose between the two does.",
            "Converting a checkpoint",
        ),
        Trap(
            "num_heads for the width of a head",
            _with(heads=conversions.of_width),
            "num_heads is the number of heads; each has w.shape[0] / num_heads rows. Here it was "
            "taken for the number of rows of one.",
            "Converting a checkpoint",
            (
                conversions.as_many_as_come_out,
                conversions.as_many_indices_as_come_out,
                conversions.as_many_reshaped_as_come_out,
            ),
        ),
        Trap(
            "the width of a head taken from the columns",
            _with(half=conversions.half_of_the_columns),
            "w is (out, in): its first dimension holds the heads, and D is w.shape[0] / num_heads. "
            "The last one is the width of the model, and the two agree in a square projection "
            "alone.",
            "Converting a checkpoint",
            (_with(half=conversions.half_of_dimension_1),),
        ),
        Trap(
            "exactly two dimensions",
            _with(taken=conversions.a_table),
            "a bias has its rows and nothing else, and other weights have further dimensions. What "
            "stands behind the rows goes along with them: w.unflatten(0, sizes), and at last "
            "reshape(w.shape).",
            "Converting a checkpoint",
            (
                _with(split=conversions.sizes_of_a_table),
                _with(split=conversions.sizes_of_a_row_or_a_table),
            ),
        ),
        Trap(
            "turned as well",
            _with(pairs=conversions.second_negative),
            "one of each pair got a minus. That sign belongs to the rotation, at every position "
            "anew; here the rows are put into another order and keep their numbers.",
            "Converting a checkpoint",
            (
                _with(pairs=conversions.first_negative),
                _with(pairs=conversions.turned),
                _with(pairs=conversions.turned_back),
            ),
        ),
        Trap(
            "heads left out",
            _with(chosen=conversions.but_the_last),
            "some heads are still in the old order. Every head has pairs of its own, and all are "
            "reordered: the loop runs over range(num_heads).",
            "Converting a checkpoint",
            (
                _with(chosen=conversions.the_first_alone),
                _with(chosen=conversions.but_the_first),
            ),
        ),
        Trap(
            "one head's rows for all",
            _with(chosen=conversions.of_the_first),
            "the order of one head was repeated without its offset, so that all heads are copies. "
            "The rows of head h are h·D to (h + 1)·D: add h·D to the order.",
            "Converting a checkpoint",
            (_with(chosen=conversions.of_the_last),),
        ),
        Trap(
            "reordered twice",
            _with(times=2),
            "the rows went through the same order twice. Even rows first, and then even rows first "
            "again, is neither of the two layouts.",
            "Converting a checkpoint",
        ),
        Trap(
            "overwritten before it is read",
            conversions.overwritten(by_halves=False),
            "rows were moved inside one tensor, and some were written over before their turn came "
            "to be read. Read from w and write into a new tensor.",
            "Converting a checkpoint",
            (conversions.overwritten(by_halves=True),),
        ),
        Trap(
            "left in heads",
            _with(joined=conversions.in_heads),
            "the rows are in the right order and still a table by heads. A projection is stored as "
            "(H·D, C): reshape(w.shape) at last.",
            "Converting a checkpoint",
            (
                _with(joined=conversions.in_halves),
                _with(joined=conversions.in_pairs),
            ),
        ),
        Trap(
            "single precision whatever comes in",
            _with(taken=conversions.in_single),
            "rows that change their places keep their numbers, and those their dtype. float() "
            "rounds a checkpoint in double, and makes one in half precision twice as large.",
            "Converting a checkpoint",
        ),
        Trap(
            "the odd rows first",
            _with(pairs=conversions.odd_first),
            "the first of each pair belongs to the first half. Exchanged, every pair turns the "
            "other way.",
            "Converting a checkpoint",
        ),
        Trap(
            "always in one direction",
            _with(way=conversions.half),
            "the argument to is not read. There and back again should change nothing.",
            "Converting a checkpoint",
            (_with(way=conversions.interleaved),),
        ),
    ),
)
