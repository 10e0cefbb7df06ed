"""What ``cross_attention`` must satisfy, and the wrong answers that people give."""

from collections.abc import Iterator

import torch
from torch import Generator, Tensor

from tutor import multihead as reference
from tutor.attention import scaled_dot_product_attention
from tutor.checks.conditions import Crossed, Row
from tutor.checks.exercise import Case, Contract, Exercise, Property, Trap
from tutor.checks.families import ATTENTION
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
    attend,
    for_heads,
    layer,
    layer_contract,
    layer_inputs,
    mask_as_it_is,
    mask_behind,
    mask_inverted,
    mask_on_its_side,
    mask_second_axis,
    merge,
    merge_by_reshape,
    no_mask,
    split,
    split_by_view,
)


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


def _with(**parts):
    def wrong(x, memory, w_q, w_k, w_v, w_out, num_heads, keep=None):
        return layer(x, memory, (w_q, w_k, w_v, w_out), num_heads, keep, **parts)

    return wrong


def _of_itself(x, memory, w_q, w_k, w_v, w_out, num_heads, keep=None):
    return layer(x, x, (w_q, w_k, w_v, w_out), num_heads, keep)


def _memory_asks(x, memory, w_q, w_k, w_v, w_out, num_heads, keep=None):
    return layer(memory, x, (w_q, w_k, w_v, w_out), num_heads, keep)


def _values_from_x(x, memory, w_q, w_k, w_v, w_out, num_heads, keep=None):
    q, k = split(x @ w_q, num_heads), split(memory @ w_k, num_heads)
    v = split(x @ w_v, num_heads)
    return merge(attend(q, k, v, for_heads(keep))) @ w_out


def _keys_from_x(x, memory, w_q, w_k, w_v, w_out, num_heads, keep=None):
    q, k = split(x @ w_q, num_heads), split(x @ w_k, num_heads)
    v = split(memory @ w_v, num_heads)
    return merge(attend(q, k, v, for_heads(keep))) @ w_out


def _length_of_x(x, memory, w_q, w_k, w_v, w_out, num_heads, keep=None):
    def split(t):
        return t.reshape(*x.shape[:-1], num_heads, -1).transpose(-3, -2)

    q, k, v = split(x @ w_q), split(memory @ w_k), split(memory @ w_v)
    return merge(attend(q, k, v, for_heads(keep))) @ w_out


def _causal(x, memory, w_q, w_k, w_v, w_out, num_heads, keep=None):
    tq, tk = x.shape[-2], memory.shape[-2]
    past = torch.ones(tq, tk, dtype=torch.bool, device=x.device).tril(tk - tq)
    keep = past if keep is None else keep & past
    return layer(x, memory, (w_q, w_k, w_v, w_out), num_heads, keep)


def _causal_upper_left(x, memory, w_q, w_k, w_v, w_out, num_heads, keep=None):
    ones = torch.ones(x.shape[-2], memory.shape[-2], dtype=torch.bool, device=x.device)
    keep = ones.tril() if keep is None else keep & ones.tril()
    return layer(x, memory, (w_q, w_k, w_v, w_out), num_heads, keep)


def _no_output(x, memory, w_q, w_k, w_v, w_out, num_heads, keep=None):
    q, k = split(x @ w_q, num_heads), split(memory @ w_k, num_heads)
    v = split(memory @ w_v, num_heads)
    return merge(attend(q, k, v, for_heads(keep)))


def _model_scale(x, memory, w_q, w_k, w_v, w_out, num_heads, keep=None):
    q, k = split(x @ w_q, num_heads), split(memory @ w_k, num_heads)
    v = split(memory @ w_v, num_heads)
    return merge(attend(q, k, v, for_heads(keep), x.shape[-1])) @ w_out


def _memory_scale(x, memory, w_q, w_k, w_v, w_out, num_heads, keep=None):
    q, k = split(x @ w_q, num_heads), split(memory @ w_k, num_heads)
    v = split(memory @ w_v, num_heads)
    return merge(attend(q, k, v, for_heads(keep), memory.shape[-1])) @ w_out


CROSS_ATTENTION = Exercise(
    reference=reference.cross_attention,
    chapter=CHAPTER,
    points={"values": 3, "edges": 2, "gradients": 1, "types": 1, "contracts": 1},
    cases=CASES,
    contract=_contract,
    properties=(Property("hidden memory has no influence", _hidden_memory_has_no_influence),),
    traps=(
        Trap(
            "memory never read",
            _of_itself,
            "keys and values were made of x: that is self-attention. What is asked for has to come "
            "from the other source, memory.",
            "Cross-attention",
        ),
        Trap(
            "memory asks",
            _memory_asks,
            "the roles are swapped: there is one answer for each token that asks, and x asks. "
            "Queries from x, keys and values from memory.",
            "Cross-attention",
        ),
        Trap(
            "values from x",
            _values_from_x,
            "memory is searched, and then x is handed over. A key and its value belong to the "
            "same token: both come from memory.",
            "Cross-attention",
        ),
        Trap(
            "keys from x",
            _keys_from_x,
            "x is searched, and then memory is handed over. A key and its value belong to the "
            "same token: both come from memory.",
            "Cross-attention",
        ),
        Trap(
            "the length of x for memory",
            _length_of_x,
            "keys and values were cut into heads with the number of tokens of x. Memory has its "
            "own length; a split that counts axes from the end never asks for it.",
            "Cross-attention",
        ),
        Trap(
            "a causal mask over the source",
            _causal,
            "the future that must be hidden is that of the sentence being written. The source is "
            "there as a whole: position 3 of the target may read all of it.",
            "Cross-attention",
            (_causal_upper_left,),
        ),
        Trap(
            "the mask on its side",
            _with(mask=mask_on_its_side),
            "keep[..., i, j] says whether token i of x may read token j of memory: queries are "
            "rows, and the padding of memory runs along the last dimension.",
            "One mask for all heads",
        ),
        Trap(
            "the mask on the wrong axis",
            _with(mask=mask_as_it_is),
            "keep is (*batch, Tq, Tk) and the scores are (*batch, H, Tq, Tk). Broadcasting starts "
            "from the right, so the sentences land on the heads: it raises, or, with as many "
            "sentences as heads, hides the wrong words in silence. Put a 1 where the heads stand, "
            "third from the end: keep.unsqueeze(-3).",
            "One mask for all heads",
            (
                _with(mask=mask_as_it_is, attend=scaled_dot_product_attention),
                _with(mask=mask_second_axis),
                _with(mask=mask_second_axis, attend=scaled_dot_product_attention),
                _with(mask=mask_behind),
            ),
        ),
        Trap(
            "the mask forgotten",
            _with(mask=no_mask),
            "keep is accepted and never passed on: the target reads the padding of the source.",
            "One mask for all heads",
        ),
        Trap(
            "mask inverted",
            _with(mask=mask_inverted),
            "keep is True where a token of memory may be read. Inverted, the target reads nothing "
            "of its source but the padding.",
            "One mask for all heads",
        ),
        Trap(
            "no output projection",
            _no_output,
            "the heads stand side by side and nothing joins them. w_out lets every feature of the "
            "answer draw on all heads.",
            "Project",
        ),
        Trap(
            "scaled by the width of the model",
            _model_scale,
            "the sum in q·k runs over the D features of one head, after projection and split. "
            "Neither the width of x nor that of memory has anything to do with it.",
            "Attend",
            (_memory_scale,),
        ),
        Trap(
            "view instead of transpose",
            _with(split=split_by_view),
            "view(B, H, T, D) has the right shape and deals out whole tokens to the heads. First "
            "(T, H, D), then swap.",
            "Split",
            (_with(split=split_by_view, merge=merge_by_reshape),),
        ),
        Trap(
            "merged without transposing back",
            _with(merge=merge_by_reshape),
            "a reshape of (H, T, D) to (T, H·D) mixes the tokens. Swap heads and time back first.",
            "Merge",
        ),
    ),
)
