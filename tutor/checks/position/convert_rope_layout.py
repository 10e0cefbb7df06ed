"""What ``convert_rope_layout`` must satisfy, and the wrong answers that people give."""

from collections.abc import Iterator

import torch
from torch import Generator, Tensor

from tutor import position as reference
from tutor.checks.changes import changeable
from tutor.checks.conditions import Condition, Crossed, Factor, Family, Row, pair
from tutor.checks.draw import Draw, laid
from tutor.checks.exercise import Case, Contract, Exercise, Property, Trap
from tutor.checks.families import DTYPE, LAYOUT
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


def _converted(w, num_heads, to, axis=0):
    half = w.shape[axis] // num_heads // 2
    sizes = (num_heads, half, 2) if to == "half" else (num_heads, 2, half)
    return w.unflatten(axis, sizes).transpose(axis + 1, axis + 2).reshape(w.shape)


def _as_asked(to):
    return to


def _counted(num_heads, rows):
    return num_heads


def _conversion(w, num_heads, to, way=_as_asked, heads=_counted):
    """The right conversion, but for the parts that are given."""
    return _converted(w, heads(num_heads, w.shape[0]), way(to))


_with = changeable(_conversion)


def _wrong_way(to):
    return "half" if to == "interleaved" else "interleaved"


def _half(to):
    return "half"


def _interleaved(to):
    return "interleaved"


def _one_head(num_heads, rows):
    return 1


def _of_width(num_heads, rows):
    return rows // num_heads


def _columns(w, num_heads, to):
    if w.ndim != 2 or w.shape[1] % (2 * num_heads):
        return w.clone()
    return _converted(w.mT, num_heads, to).mT


def _heads_last(w, num_heads, to):
    half = w.shape[0] // num_heads // 2
    sizes = (half, 2, num_heads) if to == "half" else (2, half, num_heads)
    return w.unflatten(0, sizes).transpose(0, 1).reshape(w.shape)


def _reshaped(w, num_heads, to):
    half = w.shape[0] // num_heads // 2
    pairs = w.unflatten(0, (num_heads, half, 2))
    return pairs.reshape(num_heads, 2, half, *w.shape[1:]).reshape(w.shape)


def _odd_first(w, num_heads, to):
    half = w.shape[0] // num_heads // 2
    if to == "half":
        return _converted(w.unflatten(0, (-1, 2)).flip(1).flatten(0, 1), num_heads, to)
    swapped = w.unflatten(0, (num_heads, 2, half)).flip(1).flatten(0, 2)
    return _converted(swapped, num_heads, to)


def _as_many_as_come_out(w, num_heads, to):
    sizes = (-1, num_heads // 2, 2) if to == "half" else (-1, 2, num_heads // 2)
    return w.unflatten(0, sizes).transpose(1, 2).reshape(w.shape)


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
            _with(way=_wrong_way),
            "this is the reordering for the other direction. To half: of each head first rows "
            "0, 2, 4, ..., then rows 1, 3, 5, .... The two differ as soon as a head has more than "
            "four features.",
            "Converting a checkpoint",
        ),
        Trap(
            "across the heads",
            _with(heads=_one_head),
            "the rows of all heads were reordered as if they were one. Pairs never leave their "
            "head: split the rows into heads first.",
            "Converting a checkpoint",
        ),
        Trap(
            "columns instead of rows",
            _columns,
            "w is (out, in), as nn.Linear stores it: the features of the heads are rows. The "
            "columns are the features of the model, which have no pairs.",
            "Converting a checkpoint",
        ),
        Trap(
            "heads that alternate",
            _heads_last,
            "row r was taken to belong to head r % H. The rows of a head stand together: head h "
            "has rows h·D to (h + 1)·D.",
            "Converting a checkpoint",
        ),
        Trap(
            "reshaped without a transpose",
            _reshaped,
            "a view as (D/2, 2) followed by a view as (2, D/2) leaves every number where it was: "
            "a view never reorders. The transpose between the two does.",
            "Converting a checkpoint",
        ),
        Trap(
            "num_heads for the width of a head",
            _with(heads=_of_width),
            "num_heads is the number of heads; each has w.shape[0] / num_heads rows. Here it was "
            "taken for the number of rows of one.",
            "Converting a checkpoint",
            (_as_many_as_come_out,),
        ),
        Trap(
            "the odd rows first",
            _odd_first,
            "the first of each pair belongs to the first half. Exchanged, every pair turns the "
            "other way.",
            "Converting a checkpoint",
        ),
        Trap(
            "always in one direction",
            _with(way=_half),
            "the argument to is not read. There and back again should change nothing.",
            "Converting a checkpoint",
            (_with(way=_interleaved),),
        ),
    ),
)
