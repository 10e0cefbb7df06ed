"""What ``decoder_layer`` must satisfy, and the wrong answers that people give."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Generator

from tutor import transformer as reference
from tutor.attention import causal_mask
from tutor.checks.conditions import Condition, Crossed, Factor, Row, pair
from tutor.checks.draw import laid
from tutor.checks.exercise import Case, Contract, Exercise, Property
from tutor.checks.families import masked
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
)

_LENGTHS = Factor(
    "lengths",
    (
        Condition("few", value=(T, S)),
        Condition("square", "as long as memory", (T, T)),
        Condition("one token", "a single token", (1, S), edge=True),
        Condition("one of memory", "a single token of memory", (T, 1), edge=True),
        Condition("no memory", "a source of length 0", (T, 0), edge=True, alone=True),
    ),
)
_MEMORY_MASK = Factor(
    "memory mask",
    (
        Condition("all of memory"),
        Condition(
            "some of memory", "memory masked for each token", "random", edge=True, alone=True
        ),
        Condition("padded memory", "a padding mask of memory", "ragged", edge=True, alone=True),
        Condition(
            "nothing of memory", "some tokens read no memory", "nothing", edge=True, alone=True
        ),
    ),
)
_WIDTH = Factor(
    "memory",
    (
        Condition("wider", value=CM),
        Condition("as wide as x", "memory as wide as x", edge=True, alone=True),
    ),
)
_NOTHING_TO_HIDE = "of nothing, nothing can be hidden"
_ONE = "of one key nothing can be hidden without hiding all"

FAMILY = LAYER.but(
    _LENGTHS,
    _MEMORY_MASK,
    _WIDTH,
    apart={
        **{
            pair("no memory", mask): _NOTHING_TO_HIDE
            for mask in ("some of memory", "padded memory", "nothing of memory")
        },
        **{pair("one of memory", mask): _ONE for mask in ("some of memory", "padded memory")},
        **{pair("one token", mask): _ONE for mask in ("random", "causal", "ragged", "one for all")},
    },
    together=(("causal", "padded memory", "pre-norm"),),
)


def _parameters(draw: LayerDraw, c=C, h=H, d=D, dv=DV, f=F, cm=CM, dtype=torch.float64) -> tuple:
    """attentions, feed, norms, num_heads"""
    attentions = tuple(draw.heads(c, width, h, d, dv, dtype) for width in (c, cm))
    norms = tuple(draw.norm(c, dtype) for _ in range(3))
    return attentions, draw.feed(c, f, c, dtype), norms, h


def _arguments(draw: LayerDraw, row: Row) -> tuple[Any, ...]:
    (t, s), (c, *_), dtype, batch = row["lengths"], row["widths"], row["dtype"], row["batch"]
    cm = row["memory"] or c
    x = draw.normal(*batch, t, c, dtype=dtype, scale=row["scale"])
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
    for place, norm_first in (("post-norm", False), ("pre-norm", True)):
        attentions, *others = _parameters(draw)
        attentions = tuple((50 * q, 50 * k, v, out) for q, k, v, out in attentions)
        keeps = (causal, draw.mask("nothing", (B,), T, S))
        wide = (x, memory, attentions, *others, *keeps, norm_first)
        yield Case(f"scores near 1e3, {place}", wide, "edges")
    h, d, dv, f, t, s = (draw.integer(2, 6) for _ in range(6))
    c, cm, b = draw.integer(3, 9), draw.integer(3, 9), draw.integer(2, 5)
    parameters = _parameters(draw, c, h, d, dv, f, cm)
    lots = (draw.normal(b, t, c), draw.normal(b, s, cm), *parameters, None, None, True)
    yield Case("sizes drawn by lot", lots)
    square = (x, draw.normal(B, T, C), *_parameters(draw, cm=C))
    keep = draw.ragged(B, longest=T)[:, None, None] > torch.arange(T, device=draw.device)
    yield Case("as long and as wide as memory, both masked", (*square, causal, keep), "edges")


CASES = Crossed(FAMILY, _arguments, _by_hand, draw=LayerDraw)


def _future(call, generator: Generator, device: torch.device) -> str | None:
    draw = LayerDraw(generator, device)
    x, memory, parameters = draw.normal(B, T, C), draw.normal(B, S, CM), _parameters(draw)
    keep, known = causal_mask(T, T, device=device), 3
    other = torch.cat((x[:, :known], draw.normal(B, T - known, C)), 1)
    for norm_first in (False, True):
        before = call(x, memory, *parameters, keep, None, norm_first)
        after = call(other, memory, *parameters, keep, None, norm_first)
        change = (after - before)[:, :known].abs().max()
        if not change < 1e-12:
            return (
                "with a causal mask, other tokens later on changed an earlier one by "
                f"{float(change):.2g}"
            )
    return None


def _hidden_memory(call, generator: Generator, device: torch.device) -> str | None:
    draw = LayerDraw(generator, device)
    x, memory, parameters = draw.normal(B, T, C), draw.normal(B, S, CM), _parameters(draw)
    keep = torch.arange(S, device=device) < torch.tensor([[[2]], [[1]]], device=device)
    other = torch.where(keep.mT, memory, draw.normal(B, S, CM))
    for norm_first in (False, True):
        before = call(x, memory, *parameters, None, keep, norm_first)
        change = (call(x, other, *parameters, None, keep, norm_first) - before).abs().max()
        if not change < 1e-12:
            return f"other numbers in the padding of memory changed x by {float(change):.2g}"
    return None


def _shuffled_memory(call, generator: Generator, device: torch.device) -> str | None:
    draw = LayerDraw(generator, device)
    x, memory, parameters = draw.normal(B, T, C), draw.normal(B, T, CM), _parameters(draw)
    order = torch.tensor([3, 0, 4, 1, 2], device=device)
    for norm_first in (False, True):
        before = call(x, memory, *parameters, None, None, norm_first)
        after = call(x, memory[:, order], *parameters, None, None, norm_first)
        change = (after - before).abs().max()
        if not change < 1e-10:
            return f"the order of memory's tokens changed the answer by {float(change):.2g}"
    return None


def _contract(generator: Generator, device: torch.device) -> Contract:
    draw = LayerDraw(generator, device)
    b, h, n = 2, 4, 24
    # As in the encoder's layer, with attention twice.
    product, scores = 2 * b * n**3, b * h * n * n
    parameters = _parameters(draw, n, h, n // h, n // h, 2 * n, n)
    x, memory = draw.normal(b, n, n), draw.normal(b, n, n)
    keeps = (causal_mask(n, n, device=device), draw.keep(b, 1, n))
    return Contract(
        calls=((x, memory, *parameters, *keeps, False), (x, memory, *parameters, None, None, True)),
        max_flops=between(16 * product, 17 * product),
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
