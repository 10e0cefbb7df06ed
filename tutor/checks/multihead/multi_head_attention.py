"""What ``multi_head_attention`` must satisfy, and the wrong answers that people give."""

from collections.abc import Iterator

import torch
from torch import Generator, Tensor

from tutor import multihead as reference
from tutor.attention import causal_mask, scaled_dot_product_attention
from tutor.checks.changes import changeable
from tutor.checks.conditions import Crossed, Row
from tutor.checks.crossings import OF_ITSELF
from tutor.checks.exercise import Case, Contract, Exercise, Property, Trap
from tutor.checks.multihead.layer import layer
from tutor.checks.multihead.layer_traps import layer_traps
from tutor.checks.multihead.shared import (
    BATCHES,
    CHAPTER,
    TK,
    B,
    C,
    D,
    H,
    LayerDraw,
    layer_contract,
    layer_inputs,
)


def _arguments(draw: LayerDraw, row: Row) -> tuple[Tensor | int | None, ...]:
    x, _, *weights, keep = layer_inputs(draw, row, C, C, itself=True)
    return (x, *weights, H, keep)


def _by_hand(draw: LayerDraw) -> Iterator[Case]:
    def inputs(*batch, t=TK, h=H, c=C, **sizes):
        return (draw.normal(*batch, t, c), *draw.weights(h=h, c=c, cm=c, **sizes), h)

    yield Case("the mask left out", inputs(B), "edges")
    square = {"d": 3, "dv": 3, "c": 12, "cout": 12}
    yield Case("all widths as in the paper", (*inputs(B, **square), None))
    sizes = {name: draw.integer(2, 7) for name in ("t", "h", "d", "dv", "c", "cout")}
    yield Case("sizes drawn by lot", (*inputs(draw.integer(2, 5), **sizes), None))
    yield Case("one head", (*inputs(B, h=1), None), "edges")
    yield Case("heads of one feature", (*inputs(B, h=D, d=1, dv=1), None), "edges")
    causal = causal_mask(H, H, device=draw.device)
    yield Case("a causal mask, as many tokens as heads", (*inputs(B, t=H), causal), "edges")
    yield Case("as many tokens as sentences", (*inputs(TK), draw.keep(TK, 1, TK)), "edges")


CASES = Crossed(OF_ITSELF.but(BATCHES), _arguments, _by_hand, draw=LayerDraw)


def _order_of_heads(call, generator: Generator, device: torch.device) -> str | None:
    draw = LayerDraw(generator, device)
    x, (w_q, w_k, w_v, w_out) = draw.normal(B, TK, C), draw.weights()
    order = torch.tensor([2, 0, 3, 1], device=device)
    q, k, v = (w.unflatten(-1, (H, -1))[:, order].flatten(-2) for w in (w_q, w_k, w_v))
    out = w_out.unflatten(0, (H, -1))[order].flatten(0, 1)
    change = (call(x, q, k, v, out, H, None) - call(x, w_q, w_k, w_v, w_out, H, None)).abs().max()
    if not change < 1e-10:
        return f"the same heads in another order give another answer, off by {float(change):.2g}"
    return None


def _contract(generator: Generator, device: torch.device) -> Contract:
    draw = LayerDraw(generator, device)

    def call(x, weights, h, keep):
        return (x, *weights, h, keep)

    return layer_contract(draw, call, causal_mask(24, 24, device=device))


def _layer(x, w_q, w_k, w_v, w_out, num_heads, keep=None, **parts):
    return layer(x, x, (w_q, w_k, w_v, w_out), num_heads, keep, **parts)


_with = changeable(_layer)


def _roles_swapped(x, memory, w_q, w_k, w_v):
    return x @ w_k, x @ w_q, x @ w_v


def _values_not_projected(x, memory, w_q, w_k, w_v):
    return x @ w_q, x @ w_k, x


def _keys_for_values(x, memory, w_q, w_k, w_v):
    keys = x @ w_k
    return x @ w_q, keys, keys


def _values_for_keys(x, memory, w_q, w_k, w_v):
    values = x @ w_v
    return x @ w_q, values, values


MULTI_HEAD_ATTENTION = Exercise(
    reference=reference.multi_head_attention,
    chapter=CHAPTER,
    points={"values": 3, "edges": 2, "gradients": 1, "types": 1, "contracts": 1},
    cases=CASES,
    contract=_contract,
    properties=(Property("heads in another order", _order_of_heads, "values"),),
    traps=layer_traps(
        _with,
        (
            Trap(
                "queries and keys swapped",
                _with(project=_roles_swapped),
                "q = x w_q and k = x w_k. Swapped, every head's scores are transposed: who looked "
                "for something is now looked for.",
                "Attend",
            ),
            Trap(
                "values not projected",
                _with(project=_values_not_projected),
                "the tokens themselves are averaged instead of their values x w_v, which say what "
                "a token hands over.",
                "Attend",
            ),
            Trap(
                "one projection for keys and values",
                _with(project=_keys_for_values),
                "what a token is found by and what it hands over are two things: w_k makes the "
                "keys of x and w_v its values.",
                "Attend",
                (
                    _with(project=_keys_for_values, attend=scaled_dot_product_attention),
                    _with(project=_values_for_keys),
                    _with(project=_values_for_keys, attend=scaled_dot_product_attention),
                ),
            ),
        ),
        itself=True,
    ),
)
