"""What ``multi_head_attention`` must satisfy, and the wrong answers that people give."""

from collections.abc import Iterator

import torch
from torch import Generator, Tensor

from tutor import multihead as reference
from tutor.attention import causal_mask, scaled_dot_product_attention
from tutor.checks.conditions import Crossed, Row
from tutor.checks.exercise import Case, Contract, Exercise, Property, Trap
from tutor.checks.families import OF_ITSELF
from tutor.checks.multihead.shared import (
    BATCHES,
    CHAPTER,
    TK,
    B,
    C,
    D,
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
    mask_second_axis,
    merge,
    merge_by_reshape,
    merge_interleaved,
    no_mask,
    split,
    split_by_view,
    split_interleaved,
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


def _unscaled(q, k, v, keep):
    return attend(q, k, v, keep, 1)


def _one_set_of_weights(q, k, v, keep):
    weights = attend(q, k, torch.eye(k.shape[-2], dtype=k.dtype, device=k.device), keep)
    return weights.mean(-3, keepdim=True) @ v


def _with(**parts):
    def wrong(x, w_q, w_k, w_v, w_out, num_heads, keep=None):
        return layer(x, x, (w_q, w_k, w_v, w_out), num_heads, keep, **parts)

    return wrong


def _no_output(x, w_q, w_k, w_v, w_out, num_heads, keep=None):
    q, k, v = split(x @ w_q, num_heads), split(x @ w_k, num_heads), split(x @ w_v, num_heads)
    return merge(attend(q, k, v, for_heads(keep)))


def _model_scale(x, w_q, w_k, w_v, w_out, num_heads, keep=None):
    q, k, v = split(x @ w_q, num_heads), split(x @ w_k, num_heads), split(x @ w_v, num_heads)
    return merge(attend(q, k, v, for_heads(keep), x.shape[-1])) @ w_out


def _projection_scale(x, w_q, w_k, w_v, w_out, num_heads, keep=None):
    q, k, v = split(x @ w_q, num_heads), split(x @ w_k, num_heads), split(x @ w_v, num_heads)
    return merge(attend(q, k, v, for_heads(keep), w_q.shape[-1])) @ w_out


def _among_heads(x, w_q, w_k, w_v, w_out, num_heads, keep=None):
    q, k, v = ((x @ w).unflatten(-1, (num_heads, -1)) for w in (w_q, w_k, w_v))
    return attend(q, k, v, None).flatten(-2) @ w_out


def _one_head(x, w_q, w_k, w_v, w_out, num_heads, keep=None):
    return attend(x @ w_q, x @ w_k, x @ w_v, keep) @ w_out


def _roles_swapped(x, w_q, w_k, w_v, w_out, num_heads, keep=None):
    return layer(x, x, (w_k, w_q, w_v, w_out), num_heads, keep)


MULTI_HEAD_ATTENTION = Exercise(
    reference=reference.multi_head_attention,
    chapter=CHAPTER,
    points={"values": 3, "edges": 2, "gradients": 1, "types": 1, "contracts": 1},
    cases=CASES,
    contract=_contract,
    properties=(Property("heads in another order", _order_of_heads, "values"),),
    traps=(
        Trap(
            "no output projection",
            _no_output,
            "the heads stand side by side and nothing joins them: feature 0 of the answer would "
            "only ever know what head 0 has read. w_out lets every feature of the answer draw on "
            "all heads.",
            "Project",
        ),
        Trap(
            "scaled by the width of the model",
            _model_scale,
            "the sum in q·k runs over the D features of one head, so its standard deviation is "
            "√D. Divided by √C, the scores are √H times too small, and every head reads nearly "
            "the plain average.",
            "Attend",
            (_projection_scale,),
        ),
        Trap(
            "no scale",
            _with(attend=_unscaled),
            "each head divides its scores by √D, the width of one head. Chapter 3's function does "
            "it by itself.",
            "Attend",
        ),
        Trap(
            "view instead of transpose",
            _with(split=split_by_view),
            "q.view(B, H, T, D) has the right shape and deals out whole tokens to the heads: each "
            "head reads a few tokens as if they were the sentence. First (T, H, D), then swap.",
            "Split",
            (_with(split=split_by_view, merge=merge_by_reshape),),
        ),
        Trap(
            "every H-th feature",
            _with(split=split_interleaved, merge=merge_interleaved),
            "the columns of w_q, w_k and w_v belong to the heads in blocks: head h owns the "
            "columns from h·D to (h + 1)·D. Taking every H-th one gives other heads.",
            "Split",
            (_with(split=split_interleaved),),
        ),
        Trap(
            "merged without transposing back",
            _with(merge=merge_by_reshape),
            "a reshape of (H, T, D) to (T, H·D) mixes the tokens: row 0 gets the answers of "
            "several tokens from one head. Swap heads and time back first.",
            "Merge",
        ),
        Trap(
            "heads merged interleaved",
            _with(merge=merge_interleaved),
            "the heads' features come out in turns, so that each meets another row of w_out. "
            "Rows h·D to (h + 1)·D of w_out belong to head h: flatten (T, H, D).",
            "Merge",
        ),
        Trap(
            "heads that read each other",
            _among_heads,
            "with heads behind time, (T, H, D), attention's last two axes are heads and features: "
            "the heads of one token attend to one another, and no token sees another. Heads stand "
            "before time.",
            "Attend",
        ),
        Trap(
            "one wide head",
            _one_head,
            "num_heads changes nothing: one softmax over all features is one mixture. Split "
            "queries, keys and values before the attention.",
            "One softmax, one mixture",
        ),
        Trap(
            "one set of weights for all heads",
            _with(attend=_one_set_of_weights),
            "the weights were averaged over the heads and all of them read with the average. Each "
            "head reads with its own softmax; averaging is for pictures.",
            "One softmax, one mixture",
        ),
        Trap(
            "the mask on the wrong axis",
            _with(mask=mask_as_it_is),
            "keep is (*batch, T, T) and the scores are (*batch, H, T, T). Broadcasting starts from "
            "the right, so the sentences land on the heads: it raises, or, with as many "
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
            "keep is accepted and never passed on. Every head reads the padding and the future.",
            "One mask for all heads",
        ),
        Trap(
            "mask inverted",
            _with(mask=mask_inverted),
            "keep is True where a token may be read, here as in scaled_dot_product_attention. "
            "(nn.MultiheadAttention has it the other way round.)",
            "One mask for all heads",
        ),
        Trap(
            "queries and keys swapped",
            _roles_swapped,
            "q = x w_q and k = x w_k. Swapped, every head's scores are transposed: who looked for "
            "something is now looked for.",
            "Attend",
        ),
    ),
)
