"""What ``encoder_layer`` must satisfy, and the wrong answers that people give."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Generator

from tutor import transformer as reference
from tutor.attention import causal_mask
from tutor.checks import softmax
from tutor.checks.changes import changeable
from tutor.checks.conditions import Crossed, Row
from tutor.checks.crossings import MASK, TOKENS, masked
from tutor.checks.exercise import Case, Contract, Exercise, Property, Trap
from tutor.checks.forbidden import LIBRARY_ATTENTION
from tutor.checks.limits import between
from tutor.checks.transformer import layers
from tutor.checks.transformer.part_traps import part_traps
from tutor.checks.transformer.residual_traps import residual_traps
from tutor.checks.transformer.shared import (
    CHAPTER,
    DV,
    ENCODER,
    LAYER,
    B,
    C,
    D,
    F,
    H,
    LayerDraw,
    T,
    everywhere,
    quiet,
)

FAMILY = LAYER.but(
    TOKENS,
    quiet(MASK, "ragged", "nothing"),
    without={
        "causal": "a case by hand has a causal mask",
        "one for all": "the exercises on what a layer is made of ask for it",
    },
)


def _parameters(draw: LayerDraw, c=C, h=H, d=D, dv=DV, f=F, dtype=torch.float64) -> tuple:
    """attention, feed, norms, num_heads"""
    norms = tuple(draw.norm(c, dtype) for _ in range(2))
    return draw.heads(c, c, h, d, dv, dtype), draw.feed(c, f, c, dtype), norms, h


def _arguments(draw: LayerDraw, row: Row) -> tuple[Any, ...]:
    (tokens, _), (c, *_), dtype = row["lengths"], row["widths"], row["dtype"]
    x = draw.normal(*row["batch"], tokens, c, dtype=dtype)
    parameters = _parameters(draw, *row["widths"], dtype)
    return (*everywhere(row["layout"], x, *parameters), masked(draw, row), row["place"])


def _by_hand(draw: LayerDraw) -> Iterator[Case]:
    x = draw.normal(B, T, C)
    yield Case("the mask left out", (x, *_parameters(draw)), "edges")
    (w_q, w_k, *values), *others = _parameters(draw)
    wide = (x, (50 * w_q, 50 * w_k, *values), *others, draw.mask("nothing", (B,), T, T))
    yield Case("scores near 1e3", wide, "edges")
    h, d, dv, f, t = (draw.integer(2, 6) for _ in range(5))
    c, b = draw.integer(3, 9), draw.integer(2, 5)
    parameters = _parameters(draw, c, h, d, dv, f)
    yield Case("sizes drawn by lot", (draw.normal(b, t, c), *parameters, None, True))
    keep = causal_mask(H, H, device=draw.device)
    yield Case("a causal mask, as many tokens as heads", (x[:, :H], *_parameters(draw), keep))


CASES = Crossed(FAMILY, _arguments, _by_hand, draw=LayerDraw)


def _shuffled(call, generator: Generator, device: torch.device) -> str | None:
    draw = LayerDraw(generator, device)
    x, parameters = draw.normal(B, T, C), _parameters(draw)
    order = torch.tensor([3, 0, 4, 1, 2], device=device)
    change = (call(x[:, order], *parameters) - call(x, *parameters)[:, order]).abs().max()
    if not change < 1e-10:
        return (
            "the same tokens in another order, without a mask, get other answers and not the same "
            f"in that order: off by {float(change):.2g}"
        )
    return None


def _hidden_tokens(call, generator: Generator, device: torch.device) -> str | None:
    draw = LayerDraw(generator, device)
    x, parameters = draw.normal(B, T, C), _parameters(draw)
    keep = torch.arange(T, device=device) < torch.tensor([[[2]], [[4]]], device=device)
    other = torch.where(keep.mT, x, draw.normal(B, T, C))
    change = call(other, *parameters, keep, True) - call(x, *parameters, keep, True)
    change = change.masked_fill(~keep.mT, 0).abs().max()
    if not change < 1e-12:
        return f"other numbers in the padding changed a real token by {float(change):.2g}"
    return None


def _contract(generator: Generator, device: torch.device) -> Contract:
    draw = LayerDraw(generator, device)
    b, h, n = 2, 4, 24
    # Four projections, the scores of all heads and what they read cost the same; the two matrices
    # of the feed-forward, twice as wide within, twice as much each.
    product, scores = 2 * b * n**3, b * h * n * n
    # Mean and variance of both norms, and the biases of both matrices, as products with a vector.
    vectors = (2 * 2 + 3) * product // n
    parameters = _parameters(draw, n, h, n // h, n // h, 2 * n)
    x, keep = draw.normal(b, n, n), causal_mask(n, n, device=device)
    return Contract(
        calls=((x, *parameters, keep, False), (x, *parameters, None, True)),
        max_flops=between(10 * product + vectors, 11 * product),
        max_intermediate=between(2 * scores, scores * (n // h)),
        forbidden=LIBRARY_ATTENTION,
    )


_with = changeable(layers.encoder)
_SUBLAYERS = ("attention", "feed-forward")

_OWN = (
    Trap(
        "the feed-forward first",
        _with(order=layers.reversed_order),
        "the layer first lets the tokens read each other, and then works on each alone.",
        ENCODER,
        (_with(order=layers.reversed_sublayers),),
    ),
    Trap(
        "no feed-forward",
        _with(order=layers.without(1)),
        "after the attention each token goes through the feed-forward, in a residual of its own.",
        ENCODER,
    ),
    Trap(
        "no attention",
        _with(order=layers.without(0)),
        "the first sublayer is attention: without it no token knows of another.",
        ENCODER,
    ),
    Trap(
        "the feed-forward twice",
        _with(order=layers.last_twice),
        "there are two sublayers, each once: attention, and then the feed-forward.",
        ENCODER,
    ),
    Trap(
        "the mask forgotten",
        _with(mask=layers.no_mask),
        "keep is accepted and never passed on: padding is read like words.",
        ENCODER,
    ),
    Trap(
        "past the attention and its norm",
        layers.left_out_where_nothing_is_read,
        "where a token may read nothing, the attention gives 0, and x + 0 goes on through the norm "
        "as for every other token. Only what is added is nothing, not the sublayer.",
        ENCODER,
    ),
    Trap(
        "mask inverted",
        _with(mask=layers.inverted),
        "keep is True where a token may be read. nn.Transformer's boolean masks are the other way "
        "round: True hides.",
        ENCODER,
        (_with(**softmax.HALF_INVERTED),),
    ),
    Trap(
        "always causal",
        _with(**softmax.ALWAYS_CAUSAL),
        "an encoder reads both ways. What is hidden is the caller's to say, with keep.",
        ENCODER,
    ),
)

ENCODER_LAYER = Exercise(
    reference=reference.encoder_layer,
    chapter=CHAPTER,
    points={"values": 4, "edges": 2, "gradients": 1, "types": 1, "contracts": 1},
    cases=CASES,
    contract=_contract,
    properties=(
        Property("tokens in another order", _shuffled, "values"),
        Property("hidden tokens have no influence", _hidden_tokens),
    ),
    traps=(*_OWN, *residual_traps(_with, _SUBLAYERS), *part_traps(_with)),
)
