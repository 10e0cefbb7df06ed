"""What ``decoder_block`` must satisfy, and the wrong answers that people give."""

from collections.abc import Iterator

import torch
from torch import Generator

from tutor import assembly as reference
from tutor.checks.assembly.block_traps import TRAPS
from tutor.checks.assembly.shared import CHAPTER, HEADS, PAST, REST, C, D, block_of
from tutor.checks.conditions import Condition, Crossed, Factor, Family, Row
from tutor.checks.crossings import DTYPE, LAYOUT
from tutor.checks.draw import DOUBLE, Draw, laid
from tutor.checks.exercise import Case, Contract, Exercise, Property
from tutor.checks.forbidden import LIBRARY_ATTENTION
from tutor.checks.limits import between
from tutor.checks.transformer.shared import quiet
from tutor.position import apply_rope

_SIZE = Factor(
    "size",
    (
        Condition("around 1", value=1.0),
        Condition("far apart", "scores that are far apart", 12.0, edge=True),
    ),
)
FAMILY = Family(
    (DTYPE, quiet(LAYOUT, "turned"), HEADS, PAST, REST, _SIZE),
    apart={
        frozenset((dtype, "far apart")): "what the softmax does is decided by rounding there"
        for dtype in ("half", "bfloat16")
    },
)


def _arguments(draw: Draw, row: Row) -> tuple:
    (h, g), (past, t, n), dtype = row["heads"], row["past"], row["dtype"]
    rest, layout = row["rest"], row["layout"]
    weights = block_of(draw, h, g)
    weights[1] = weights[1] * row["size"]
    x, (keys, values) = draw.normal(n, t, C), draw.normal(2, n, g, past, D)
    keys = apply_rope(keys, torch.arange(past, device=draw.device), *(rest[:1] or (10_000.0,)))
    x, keys, values = (laid(a.to(dtype), layout) for a in (x, keys, values))
    weights = [laid(w.to(dtype), layout) for w in weights]
    return x, weights, keys, values, h, *rest


def _by_hand(draw: Draw) -> Iterator[Case]:
    device = {"dtype": DOUBLE, "device": draw.device}
    eye, one = torch.eye(2, **device), torch.ones(2, **device)
    zeros = torch.zeros(2, 2, **device)
    weights = [one, zeros, zeros, eye, eye, one, zeros, zeros, zeros]
    x = torch.tensor([[[3.0, 4.0]]], **device)
    keys, values = torch.zeros(1, 1, 1, 2, **device), torch.tensor([[[[8.0, 4.0]]]], **device)
    yield Case("the example of the text", (x, weights, keys, values, 1, 10_000.0, 12.5))
    x, weights = draw.normal(1, 3, C), block_of(draw, 6, 3)
    keys, values = draw.normal(2, 1, 3, 70, D)
    yield Case("behind 70 tokens", (x, weights, keys, values, 6, 10.0))
    keys, values = draw.normal(2, 1, 3, 2, D)
    fewer = x, weights[:-1], keys, values, 6
    yield Case("eight weights must raise ValueError", fewer, "edges", ValueError)
    uneven = x, block_of(draw, 5, 3), keys, values, 5
    label = "key heads that do not divide the heads must raise ValueError"
    yield Case(label, uneven, "edges", ValueError)


CASES = Crossed(FAMILY, _arguments, _by_hand, usual="several tokens behind others")


def _in_pieces(call, generator: Generator, device: torch.device) -> str | None:
    """Token after token, each behind the keys and values of those before, is all at once."""
    draw, total = Draw(generator, device), 5
    x, weights = draw.normal(2, total, C), block_of(draw, 6, 3)
    keys = values = torch.zeros(2, 3, 0, D, dtype=DOUBLE, device=device)
    wanted = call(x, weights, keys, values, 6, 50.0, 0.1)[0]
    answers = []
    for piece in x.split((2, 1, 2), 1):
        answer, k, v = call(piece, weights, keys, values, 6, 50.0, 0.1)
        keys, values = torch.cat((keys, k), 2), torch.cat((values, v), 2)
        answers.append(answer)
    if torch.allclose(torch.cat(answers, 1), wanted, rtol=0, atol=1e-9):
        return None
    return "in pieces the answers are not those of everything at once"


_PAST = 300


def _contract(generator: Generator, device: torch.device) -> Contract:
    draw = Draw(generator, device)
    h, g, c, d, f = 4, 2, 8, 16, 8
    x, weights = draw.normal(1, 1, c), block_of(draw, h, g, c=c, f=f, d=d)
    keys, values = draw.normal(2, 1, g, _PAST, d)
    matrices = 2 * c * d * (2 * h + 2 * g) + 6 * c * f
    right = matrices + 4 * h * d * (_PAST + 1)
    # A key and a value head read by each query head, once a step; against all computed anew.
    return Contract(
        calls=((x, weights, keys, values, h),),
        max_flops=between(right, right + _PAST * matrices),
        # Scores and their softmax, a few times; against the past copied, keys and values.
        max_written=between(10 * h * _PAST // 2, 10 * h * _PAST // 2 + 2 * g * d * _PAST),
        forbidden=LIBRARY_ATTENTION,
    )


DECODER_BLOCK = Exercise(
    reference=reference.decoder_block,
    chapter=CHAPTER,
    points={"values": 5, "edges": 3, "types": 1, "contracts": 1},
    cases=CASES,
    contract=_contract,
    outputs=("answer", "keys", "values"),
    properties=(Property("in pieces", _in_pieces, "values"),),
    traps=TRAPS,
)
