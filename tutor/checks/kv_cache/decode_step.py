"""What ``decode_step`` must satisfy, and the wrong answers that people give."""

from collections.abc import Iterator

import torch
from torch import Generator, Tensor

from tutor import kv_cache as reference
from tutor.checks.conditions import Condition, Crossed, Factor, Family, Row
from tutor.checks.crossings import DTYPE
from tutor.checks.draw import DOUBLE, Draw, laid
from tutor.checks.exercise import Case, Contract, Exercise, Property
from tutor.checks.forbidden import LIBRARY_ATTENTION
from tutor.checks.kv_cache.shared import (
    CHAPTER,
    HEADS,
    SINGLE_LAYOUTS,
    THETA,
    WIDTHS,
    B,
    sizes,
    weights,
)
from tutor.checks.kv_cache.step_traps import TRAPS
from tutor.checks.limits import between
from tutor.position import apply_rope

_ROOM = 9
_PAST = Factor(
    "past",
    (
        Condition("ragged", value=(7, 4, 2)),
        Condition("equal", "rows of one length", (6, 6), alone=True),
        Condition("empty", "a row that has read nothing", (5, 0), edge=True, alone=True),
        Condition("full", "a cache that is full", (_ROOM, 3), edge=True, alone=True),
        Condition("first", "one text and its first token", (0,), edge=True),
    ),
)
"""The rows' lengths."""
_LEFT = Factor(
    "left over",
    (
        Condition("numbers", value=1.0),
        Condition("large", "large numbers left over", 60.0, alone=True),
    ),
)
_SIZE = Factor(
    "size",
    (
        Condition("around 1", value=1.0),
        Condition("far apart", "scores near 1e3", 30.0, edge=True),
    ),
)
FAMILY = Family(
    (DTYPE, SINGLE_LAYOUTS, HEADS, WIDTHS, THETA, _PAST, _LEFT, _SIZE),
    apart={
        frozenset(("half", "far apart")): "what the softmax does is decided by rounding there",
        frozenset(("bfloat16", "far apart")): "what the softmax does is decided by rounding there",
        frozenset(("single", "far apart")): "the last digits of scores near 1e3 are seen there",
    },
)


def _inputs(draw: Draw, row: Row, lengths: tuple[int, ...]) -> tuple:
    (h, g, c, d, cout), dtype, theta = sizes(row), row["dtype"], row["theta"]
    x = draw.normal(len(lengths), 1, c, dtype=dtype)
    given = weights(draw, h, g, c, d, cout, dtype)
    given[0] = given[0] * row["size"]
    given[1] = given[1] * row["size"]
    keys, values = draw.normal(2, len(lengths), g, _ROOM, d, scale=row["left over"])
    past, read = draw.normal(2, len(lengths), g, _ROOM, d)
    places = torch.arange(_ROOM, device=draw.device)
    past = apply_rope(past * row["size"], places, *(theta or (10_000.0,)))
    there = (places < torch.tensor(lengths, device=draw.device)[:, None])[:, None, :, None]
    keys, values = torch.where(there, past, keys), torch.where(there, read, values)
    return x, keys.to(dtype), values.to(dtype), given, h, theta


def _arguments(draw: Draw, row: Row) -> tuple:
    lengths, layout = row["past"], row["layout"]
    x, keys, values, given, h, theta = _inputs(draw, row, lengths)
    told = torch.tensor(lengths, device=draw.device)
    x, keys, values = (laid(t, layout) for t in (x, keys, values))
    return x, keys, values, told, *(laid(w, layout) for w in given), h, *theta


def _by_hand(draw: Draw) -> Iterator[Case]:
    device = {"dtype": DOUBLE, "device": draw.device}
    eye = torch.eye(2, **device)
    x = torch.tensor([[[1.0, 0.0]]], **device)
    keys = torch.zeros(1, 1, 1, 2, **device)
    values = torch.tensor([[[[8.0, 4.0]]]], **device)
    w_k = eye * 2**0.5 * torch.tensor(3.0, **device).log()
    one = torch.tensor([1], device=draw.device)
    yield Case("the example of the text", (x, keys, values, one, eye, w_k, eye, eye, 1))
    x, keys = draw.normal(B, 1, 7), draw.normal(B, 3, 70, 4)
    far = torch.tensor([70, 65], device=draw.device)
    given = weights(draw, 6, 3, 7, 4, 5)
    long = x, keys, draw.normal(B, 3, 70, 4), far, *given, 6, 10.0
    yield Case("70 tokens", long)
    yield Case("32-bit lengths", (*long[:3], far.int(), *long[4:]))
    # Positions that numbers of half precision do not tell apart.
    many, places = draw.normal(2, 2, 1, 2103, 2), torch.tensor([2101, 2049], device=draw.device)
    narrow = weights(draw, 2, 1, 7, 2, 5)
    yield Case("2,101 tokens", (draw.normal(2, 1, 7), *many, places, *narrow, 2), "edges")
    zeros = torch.zeros(2, B, 3, _ROOM, 4, **device)
    yield Case("a cache of zeros", (x, *zeros, 0 * far, *given, 6, 10.0), "edges")
    several = draw.normal(B, 2, 7), *long[1:]
    yield Case("two tokens a row must raise ValueError", several, "edges", ValueError)
    uneven = *long[:4], *weights(draw, 5, 3, 7, 4, 5), 5, 10.0
    label = "key heads that do not divide the heads must raise ValueError"
    yield Case(label, uneven, "edges", ValueError)


CASES = Crossed(FAMILY, _arguments, _by_hand, usual="rows of unequal lengths")


def _left_over(call, generator: Generator, device: torch.device) -> str | None:
    """What stands behind a row's length makes no difference."""
    draw = Draw(generator, device)
    x, given = draw.normal(B, 1, 7), weights(draw, 6, 3, 7, 4, 5)
    keys, values = draw.normal(2, B, 3, _ROOM, 4)
    lengths = torch.tensor([3, 6], device=device)
    behind = (torch.arange(_ROOM, device=device) >= lengths[:, None])[:, None, :, None]
    found = []
    for _ in range(2):
        keys, values = (torch.where(behind, draw.normal(*t.shape), t) for t in (keys, values))
        found.append(call(x, keys, values, lengths, *given, 6, 100.0))
    if all(torch.equal(a, b) for a, b in zip(*found, strict=True)):
        return None
    return "the answer changes with what stands behind a row's length"


def _steps_as_a_whole(call, generator: Generator, device: torch.device) -> str | None:
    """Token after token, each with the keys and values that came before it, is chapter 4's layer
    behind a causal mask."""
    draw, tokens = Draw(generator, device), 4
    x, given = draw.normal(B, tokens, 7), weights(draw, 6, 3, 7, 4, 5)
    keys, values = torch.zeros(2, B, 3, tokens, 4, dtype=DOUBLE, device=device)
    answers: list[Tensor] = []
    for t in range(tokens):
        lengths = torch.full((B,), t, device=device)
        answer, k, v = call(x[:, t : t + 1], keys, values, lengths, *given, 6, 100.0)
        keys[:, :, t : t + 1], values[:, :, t : t + 1] = k, v
        answers.append(answer)
    wanted = reference.chunked_prefill(x, *given, 6, tokens, 100.0)[0]
    if torch.allclose(torch.cat(answers, 1), wanted, rtol=0, atol=1e-9):
        return None
    return "token after token the answers are not those of everything at once"


def _contract(generator: Generator, device: torch.device) -> Contract:
    draw, room = Draw(generator, device), 64
    h, c, d = 2, 32, 16
    x, keys, values = draw.normal(1, 1, c), *draw.normal(2, 1, h, room, d)
    args = x, keys, values, torch.tensor([room], device=device), *weights(draw, h, h, c, d, c), h
    right = 8 * c * h * d + 4 * h * d * (room + 1)
    return Contract(
        calls=(args,),
        # Against one projection more; a score of every pair costs far more than that.
        max_flops=between(right, right + 2 * c * h * d),
        # The keys put together and repeated; against a score of every pair.
        max_intermediate=between(h * d * (room + 1), h * room * room),
        forbidden=LIBRARY_ATTENTION,
    )


DECODE_STEP = Exercise(
    reference=reference.decode_step,
    chapter=CHAPTER,
    points={"values": 4, "edges": 3, "types": 1, "contracts": 1},
    cases=CASES,
    contract=_contract,
    outputs=("answer", "key", "value"),
    properties=(
        Property("what is left over changed", _left_over),
        Property("token after token", _steps_as_a_whole, "values"),
    ),
    traps=TRAPS,
)
