"""What ``cross_attention`` must satisfy, and the wrong answers that people give."""

from collections.abc import Iterator

import torch
from torch import Generator, Tensor

from tutor import multihead as reference
from tutor.attention import scaled_dot_product_attention
from tutor.checks.changes import changeable
from tutor.checks.conditions import Crossed, Row
from tutor.checks.crossings import ATTENTION
from tutor.checks.exercise import Case, Contract, Exercise, Property, Trap
from tutor.checks.multihead.layer import layer
from tutor.checks.multihead.layer_traps import layer_traps
from tutor.checks.multihead.shared import (
    AS_LONG,
    BATCHES,
    CHAPTER,
    CM,
    TK,
    TQ,
    B,
    C,
    H,
    LayerDraw,
    layer_contract,
    layer_inputs,
)
from tutor.checks.softmax import ALWAYS_CAUSAL


def _arguments(draw: LayerDraw, row: Row) -> tuple[Tensor | int | None, ...]:
    x, memory, *weights, keep = layer_inputs(draw, row, C, CM)
    return (x, memory, *weights, H, keep)


def _by_hand(draw: LayerDraw) -> Iterator[Case]:
    def inputs(*batch, tq=TQ, tk=TK, h=H, c=C, cm=CM, **sizes):
        x, memory = draw.normal(*batch, tq, c), draw.normal(*batch, tk, cm)
        return (x, memory, *draw.weights(h=h, c=c, cm=cm, **sizes), h)

    yield Case("the mask left out", inputs(B), "edges")
    square = {"d": 3, "dv": 3, "c": 12, "cm": 12, "cout": 12}
    yield Case("all widths as in the paper", (*inputs(B, **square), None))
    yield Case("as long and as wide as x", (*inputs(B, tk=TQ, **square), None))
    names = ("tq", "tk", "h", "d", "dv", "c", "cm", "cout")
    sizes = {name: draw.integer(2, 7) for name in names}
    yield Case("sizes drawn by lot", (*inputs(draw.integer(2, 5), **sizes), None))
    yield Case("one head", (*inputs(B, h=1), None), "edges")
    yield Case("as many queries as sentences", (*inputs(TQ), draw.keep(TQ, 1, TK)), "edges")


CASES = Crossed(ATTENTION.but(BATCHES, AS_LONG), _arguments, _by_hand, draw=LayerDraw)


def _hidden_memory_has_no_influence(call, generator, device: torch.device) -> str | None:
    draw = LayerDraw(generator, device)
    x, memory, weights = draw.normal(B, TQ, C), draw.normal(B, TK, CM), draw.weights(cm=CM)
    keep = torch.arange(TK, device=device) < torch.tensor([[[2]], [[4]]], device=device)
    before = call(x, memory, *weights, H, keep)
    other = torch.where(keep.mT, memory, draw.normal(B, TK, CM))
    change = (call(x, other, *weights, H, keep) - before).abs().max()
    if change != 0:  # nan differs too
        return f"other numbers in the padding of memory changed an answer by {float(change):.2g}"
    return None


def _contract(generator: Generator, device: torch.device) -> Contract:
    draw = LayerDraw(generator, device)

    def call(x, weights, h, keep):
        return (x, draw.normal(*x.shape), *weights, h, keep)

    return layer_contract(draw, call, draw.keep(2, 1, 24))


def _layer(x, memory, w_q, w_k, w_v, w_out, num_heads, keep=None, **parts):
    return layer(x, memory, (w_q, w_k, w_v, w_out), num_heads, keep, **parts)


_with = changeable(_layer)


def _of_itself(x, memory, w_q, w_k, w_v):
    return x @ w_q, x @ w_k, x @ w_v


def _memory_asks(x, memory, w_q, w_k, w_v):
    return memory @ w_q, x @ w_k, x @ w_v


def _values_from_x(x, memory, w_q, w_k, w_v):
    return x @ w_q, memory @ w_k, x @ w_v


def _keys_from_x(x, memory, w_q, w_k, w_v):
    return x @ w_q, x @ w_k, memory @ w_v


def _keys_for_values(x, memory, w_q, w_k, w_v):
    return x @ w_q, memory @ w_v, memory @ w_k


def _keys_alone(x, memory, w_q, w_k, w_v):
    return x @ w_q, memory @ w_k, memory @ w_k


def _values_alone(x, memory, w_q, w_k, w_v):
    return x @ w_q, memory @ w_v, memory @ w_v


def _memory_asks_itself(x, memory, w_q, w_k, w_v):
    return memory @ w_q, memory @ w_k, memory @ w_v


def _roles_swapped(x, memory, w_q, w_k, w_v):
    return x @ w_k, memory @ w_q, memory @ w_v


def _of_both(order):
    def project(x, memory, w_q, w_k, w_v):
        both = torch.cat(order(x, memory), -2)
        return x @ w_q, both @ w_k, both @ w_v

    return project


def _length_of_x(split, projected, h, x):
    return tuple(t.reshape(*x.shape[:-1], h, -1).transpose(-3, -2) for t in projected)


_OWN = (
    Trap(
        "memory never read",
        _with(project=_of_itself),
        "keys and values were made of x: that is self-attention. What is asked for has to come "
        "from the other source, memory.",
        "Cross-attention",
    ),
    Trap(
        "memory asks",
        _with(project=_memory_asks),
        "the roles are swapped: there is one answer for each token that asks, and x asks. "
        "Queries from x, keys and values from memory.",
        "Cross-attention",
        (_with(project=_memory_asks_itself),),
    ),
    Trap(
        "w_q and w_k exchanged",
        _with(project=_roles_swapped),
        "q = x w_q and k = memory w_k. Exchanged, it raises only where the two sources have "
        "different widths.",
        "Cross-attention",
    ),
    Trap(
        "x is read, too",
        _with(project=_of_both(lambda x, memory: (memory, x))),
        "keys and values were made of memory and x together. A decoder reads what it has written "
        "itself in a layer of its own; this one reads memory alone.",
        "Cross-attention",
        (_with(project=_of_both(lambda x, memory: (x, memory))),),
    ),
    Trap(
        "values from x",
        _with(project=_values_from_x),
        "memory is searched, and then x is handed over. A key and its value belong to the "
        "same token: both come from memory.",
        "Cross-attention",
    ),
    Trap(
        "keys from x",
        _with(project=_keys_from_x),
        "x is searched, and then memory is handed over. A key and its value belong to the "
        "same token: both come from memory.",
        "Cross-attention",
    ),
    Trap(
        "keys and values swapped",
        _with(project=_keys_for_values),
        "a query is compared with the keys, memory @ w_k, and what is handed over are the "
        "values, memory @ w_v. Swapped, it raises only where the two have different widths.",
        "Cross-attention",
        (_with(project=_keys_for_values, attend=scaled_dot_product_attention),),
    ),
    Trap(
        "one projection for keys and values",
        _with(project=_keys_alone),
        "what a token is found by and what it hands over are two things: w_k makes the keys of "
        "memory and w_v its values.",
        "Cross-attention",
        tuple(
            _with(project=project, **changes)
            for project in (_keys_alone, _values_alone)
            for changes in ({}, {"attend": scaled_dot_product_attention})
        )[1:],
    ),
    Trap(
        "the length of x for memory",
        _with(cut=_length_of_x),
        "keys and values were cut into heads with the number of tokens of x. Memory has its "
        "own length; a split that counts axes from the end never asks for it.",
        "Cross-attention",
        (_with(cut=_length_of_x, attend=scaled_dot_product_attention),),
    ),
    Trap(
        "a causal mask over the source",
        _with(**ALWAYS_CAUSAL),
        "the future that must be hidden is that of the sentence being written. The source is "
        "there as a whole: position 3 of the target may read all of it.",
        "Cross-attention",
    ),
)

CROSS_ATTENTION = Exercise(
    reference=reference.cross_attention,
    chapter=CHAPTER,
    points={"values": 3, "edges": 2, "gradients": 1, "types": 1, "contracts": 1},
    cases=CASES,
    contract=_contract,
    properties=(Property("hidden memory has no influence", _hidden_memory_has_no_influence),),
    traps=layer_traps(_with, _OWN, called={"always causal": "a causal mask over the source"}),
)
