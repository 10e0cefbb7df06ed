"""What ``pool_kv_heads`` must satisfy."""

from collections.abc import Iterator

import torch
from torch import Generator, Tensor

from tutor import grouped_query as reference
from tutor.checks.conditions import Condition, Crossed, Factor, Family, Row, pair
from tutor.checks.crossings import DTYPE, LAYOUT
from tutor.checks.draw import Draw, laid
from tutor.checks.exercise import Case, Contract, Exercise, Property
from tutor.checks.grouped_query.pooling_traps import TRAPS
from tutor.checks.grouped_query.shared import CHAPTER, DV, C, D
from tutor.checks.limits import between

_FEWER = Factor(
    "fewer",
    (
        # Not as many in a group as there are groups.
        Condition("six to two", value=(6, 2)),
        Condition("three to one", "3 heads to 1", (3, 1), alone=True),
        Condition("eight to four", "8 heads to 4", (8, 4), alone=True),
        Condition("nine to three", "9 heads to 3", (9, 3)),
        Condition("as many as there are", "all heads left", (4, 4), edge=True, alone=True),
        Condition("a single head", "one head", (1, 1), edge=True),
    ),
)
_WEIGHTS = Factor(
    "weights",
    (
        Condition("projections", value=(D, DV, (C,))),
        Condition("alike", "keys and values of one width", (D, D, (C,)), alone=True),
        Condition("biases", "biases", (D, DV, ()), edge=True, alone=True),
        Condition("further", "rows of two dimensions", (D, DV, (C, 2)), edge=True, alone=True),
        Condition("one row", "heads of one feature", (1, 3, (C,)), edge=True),
    ),
)
_ONE_DIMENSION = "a row of numbers lies one after the other"
FAMILY = Family(
    (DTYPE, LAYOUT, _FEWER, _WEIGHTS),
    apart={pair("turned", "biases"): _ONE_DIMENSION, pair("views", "biases"): _ONE_DIMENSION},
).but(without={"behind": "weights have no batch"})


def _arguments(draw: Draw, row: Row) -> tuple[Tensor, Tensor, int, int]:
    heads, fewer = row["fewer"]
    d, dv, rest = row["weights"]
    w_k, w_v = (
        laid(draw.normal(heads * n, *rest, dtype=row["dtype"]), row["layout"]) for n in (d, dv)
    )
    return w_k, w_v, heads, fewer


def _by_hand(draw: Draw) -> Iterator[Case]:
    fewer, share, d, dv, c = (draw.integer(2, 6) for _ in range(5))
    heads = fewer * share
    drawn = draw.normal(heads * d, c), draw.normal(heads * dv, c)
    yield Case("sizes drawn by lot", (*drawn, heads, fewer))
    square = draw.normal(6 * D, 6 * D), draw.normal(6 * D, 6 * D)
    yield Case("square projections", (*square, 6, 3))
    uneven = draw.normal(4 * D, C), draw.normal(4 * DV, C)
    yield Case("4 heads to 3 must raise ValueError", (*uneven, 4, 3), "edges", ValueError)
    rows = draw.normal(10, C), draw.normal(12, C)
    yield Case("10 rows of 4 heads must raise ValueError", (*rows, 4, 2), "edges", ValueError)


CASES = Crossed(FAMILY, _arguments, _by_hand, usual="two projections")


def _alike(call, generator: Generator, device: torch.device) -> str | None:
    draw = Draw(generator, device)
    once = draw.normal(2, D, C), draw.normal(2, DV, C)
    copied = (w.repeat_interleave(3, 0).flatten(0, 1) for w in once)
    for name, wanted, got in zip(("w_k", "w_v"), once, call(*copied, 6, 2), strict=True):
        change = (got - wanted.flatten(0, 1)).abs().max()
        if not change < 1e-12:
            return (
                "where the heads of each group are equal, one of them should be left as it is; "
                f"{name} differs by {float(change):.2g}"
            )
    return None


def _contract(generator: Generator, device: torch.device) -> Contract:
    draw = Draw(generator, device)
    w_k, w_v = draw.normal(8 * 6, 16), draw.normal(8 * 4, 16)
    given = w_k.numel() + w_v.numel()
    return Contract(
        calls=((w_k, w_v, 8, 2),),
        max_flops=0,
        max_intermediate=between(w_k.numel(), 4 * w_k.numel()),
        max_written=between(2 * given, 8 * given),
    )


POOL_KV_HEADS = Exercise(
    reference=reference.pool_kv_heads,
    chapter=CHAPTER,
    outputs=("w_k", "w_v"),
    points={"values": 3, "edges": 1, "gradients": 1, "types": 1, "contracts": 1},
    cases=CASES,
    contract=_contract,
    properties=(Property("equal heads are pooled without loss", _alike, "values"),),
    traps=TRAPS,
)
