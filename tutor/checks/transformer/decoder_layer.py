"""What ``decoder_layer`` must satisfy, and the wrong answers that people give."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Generator

from tutor import transformer as reference
from tutor.attention import causal_mask
from tutor.checks.conditions import Condition, Crossed, Factor, Row, pair
from tutor.checks.crossings import MASK, masked
from tutor.checks.draw import laid
from tutor.checks.exercise import Case, Contract, Exercise, Property
from tutor.checks.forbidden import LIBRARY_ATTENTION
from tutor.checks.limits import between
from tutor.checks.transformer.decoder_traps import DECODER_TRAPS
from tutor.checks.transformer.shared import (
    CHAPTER,
    CM,
    DV,
    LAYER,
    B,
    C,
    D,
    F,
    H,
    LayerDraw,
    S,
    T,
    everywhere,
    quiet,
)

_LENGTHS = Factor(
    "lengths",
    (
        Condition("few", value=(T, S)),
        Condition("square", "as long as memory", (T, T)),
        Condition("one token", "a single token, and one of memory", (1, 1), edge=True),
        Condition("no memory", "a source of length 0", (T, 0), edge=True, alone=True),
    ),
)
_MEMORY_MASK = Factor(
    "memory mask",
    (
        Condition("all of memory"),
        Condition("padded memory", "a padding mask of memory", "ragged", edge=True, alone=True),
        Condition("nothing of memory", "some tokens read no memory", "nothing", edge=True),
    ),
)
_WIDTH = Factor(
    "memory",
    (
        Condition("wider", value=CM),
        Condition("as wide as x", "memory as wide as x", edge=True, alone=True),
    ),
)
_MASKED = "a case by hand, and the exercises on what a layer is made of, ask for it"

FAMILY = LAYER.but(
    _LENGTHS,
    quiet(MASK, "causal"),
    _MEMORY_MASK,
    _WIDTH,
    without={"random": _MASKED, "ragged": _MASKED, "one for all": _MASKED, "one head": _MASKED},
    apart={
        **{
            pair("no memory", mask): "of nothing, nothing can be hidden"
            for mask in ("padded memory", "nothing of memory")
        },
        **{
            pair("one token", mask): "of one key nothing can be hidden without hiding all"
            for mask in ("causal", "padded memory")
        },
    },
)


def _parameters(draw: LayerDraw, c=C, h=H, d=D, dv=DV, f=F, cm=CM, dtype=torch.float64) -> tuple:
    """attentions, feed, norms, num_heads"""
    attentions = tuple(draw.heads(c, width, h, d, dv, dtype) for width in (c, cm))
    norms = tuple(draw.norm(c, dtype) for _ in range(3))
    return attentions, draw.feed(c, f, c, dtype), norms, h


def _arguments(draw: LayerDraw, row: Row) -> tuple[Any, ...]:
    (t, s), (c, *_), dtype, batch = row["lengths"], row["widths"], row["dtype"], row["batch"]
    cm = row["memory"] or c
    x = draw.normal(*batch, t, c, dtype=dtype)
    memory = draw.normal(*batch, s, cm, dtype=dtype)
    parameters = _parameters(draw, *row["widths"], cm, dtype)
    own = Row({**row.conditions, "lengths": Condition("", value=(t, t))})
    memory_keep = laid(draw.mask(row["memory mask"], batch, t, s), row["layout"])
    return (
        *everywhere(row["layout"], x, memory, *parameters),
        masked(draw, own),
        memory_keep,
        row["place"],
    )


def _by_hand(draw: LayerDraw) -> Iterator[Case]:
    x, memory = draw.normal(B, T, C), draw.normal(B, S, CM)
    yield Case("the mask left out", (x, memory, *_parameters(draw)), "edges")
    causal = causal_mask(T, T, device=draw.device)
    attentions, *others = _parameters(draw)
    attentions = tuple((50 * q, 50 * k, v, out) for q, k, v, out in attentions)
    keeps = (causal, draw.mask("nothing", (B,), T, S))
    yield Case("scores near 1e3", (x, memory, attentions, *others, *keeps, True), "edges")
    h, d, dv, f, t, s = (draw.integer(2, 6) for _ in range(6))
    c, cm, b = draw.integer(3, 9), draw.integer(3, 9), draw.integer(2, 5)
    parameters = _parameters(draw, c, h, d, dv, f, cm)
    lots = (draw.normal(b, t, c), draw.normal(b, s, cm), *parameters, None, None, True)
    yield Case("sizes drawn by lot", lots)
    square = (x, draw.normal(B, T, C), *_parameters(draw, cm=C))
    keeps = (draw.mask("random", (B,), T, T) for _ in range(2))
    yield Case("as long and as wide as memory, both masked", (*square, *keeps), "edges")


CASES = Crossed(FAMILY, _arguments, _by_hand, draw=LayerDraw)


def _future(call, generator: Generator, device: torch.device) -> str | None:
    draw = LayerDraw(generator, device)
    x, memory, parameters = draw.normal(B, T, C), draw.normal(B, S, CM), _parameters(draw)
    keep, known = causal_mask(T, T, device=device), 3
    other = torch.cat((x[:, :known], draw.normal(B, T - known, C)), 1)
    before, after = (call(t, memory, *parameters, keep) for t in (x, other))
    change = (after - before)[:, :known].abs().max()
    if not change < 1e-12:
        return f"with a causal mask, later tokens changed an earlier one by {float(change):.2g}"
    return None


def _hidden_memory(call, generator: Generator, device: torch.device) -> str | None:
    draw = LayerDraw(generator, device)
    x, memory, parameters = draw.normal(B, T, C), draw.normal(B, S, CM), _parameters(draw)
    keep = torch.arange(S, device=device) < torch.tensor([[[2]], [[1]]], device=device)
    other = torch.where(keep.mT, memory, draw.normal(B, S, CM))
    before, after = (call(x, m, *parameters, None, keep, True) for m in (memory, other))
    change = (after - before).abs().max()
    if not change < 1e-12:
        return f"other numbers in the padding of memory changed x by {float(change):.2g}"
    return None


def _shuffled_memory(call, generator: Generator, device: torch.device) -> str | None:
    draw = LayerDraw(generator, device)
    x, memory, parameters = draw.normal(B, T, C), draw.normal(B, T, CM), _parameters(draw)
    order = torch.tensor([3, 0, 4, 1, 2], device=device)
    change = (call(x, memory[:, order], *parameters) - call(x, memory, *parameters)).abs().max()
    if not change < 1e-10:
        return f"the order of memory's tokens changed the answer by {float(change):.2g}"
    return None


def _contract(generator: Generator, device: torch.device) -> Contract:
    draw = LayerDraw(generator, device)
    b, h, n = 2, 4, 24
    # As in the encoder's layer, with attention twice, and three norms.
    product, scores = 2 * b * n**3, b * h * n * n
    vectors = (2 * 3 + 3) * product // n
    parameters = _parameters(draw, n, h, n // h, n // h, 2 * n, n)
    x, memory = draw.normal(b, n, n), draw.normal(b, n, n)
    keeps = (causal_mask(n, n, device=device), draw.keep(b, 1, n))
    return Contract(
        calls=((x, memory, *parameters, *keeps, False), (x, memory, *parameters, None, None, True)),
        max_flops=between(16 * product + vectors, 17 * product),
        max_intermediate=between(2 * scores, scores * (n // h)),
        forbidden=LIBRARY_ATTENTION,
    )


DECODER_LAYER = Exercise(
    reference=reference.decoder_layer,
    chapter=CHAPTER,
    points={"values": 4, "edges": 3, "gradients": 1, "types": 1, "contracts": 1},
    cases=CASES,
    contract=_contract,
    properties=(
        Property("other tokens later on", _future),
        Property("hidden memory has no influence", _hidden_memory),
        Property("memory in another order", _shuffled_memory, "values"),
    ),
    traps=DECODER_TRAPS,
)
