"""Chapter 4's exercises: what must hold, and the wrong answers that people give."""

from collections.abc import Iterator

import torch
from torch import Generator

from tutor import multihead as reference
from tutor.attention import causal_mask, scaled_dot_product_attention
from tutor.checks.draw import BFLOAT, DOUBLE, HALF, SINGLE, Draw, strided
from tutor.checks.exercise import Case, Contract, Exercise, Property, Trap

CHAPTER = "04_multihead"

# All sizes differ, so that a swapped axis cannot pass.
B, TQ, TK, H, D, DV, C, CM, COUT = 2, 3, 5, 4, 7, 6, 13, 17, 19

_LIBRARY = "it calls torch's own attention; this exercise is to write it"
_LIBRARY_ATTENTION = {
    "scaled_dot_product": _LIBRARY,
    "_safe_softmax": _LIBRARY,  # what torch's own attention becomes where it has no kernel
    "multi_head_attention": _LIBRARY,
    "flex_attention": _LIBRARY,
}


# Parts of the wrong answers


def _split(x, h):
    return x.unflatten(-1, (h, -1)).transpose(-3, -2)


def _split_by_view(x, h):
    return x.reshape(*x.shape[:-2], h, x.shape[-2], x.shape[-1] // h)


def _split_interleaved(x, h):
    return x.unflatten(-1, (-1, h)).movedim(-1, -3)


def _merge(heads):
    return heads.transpose(-3, -2).flatten(-2)


def _merge_by_reshape(heads):
    h, t, d = heads.shape[-3:]
    return heads.reshape(*heads.shape[:-3], t, h * d)


def _merge_interleaved(heads):
    return heads.movedim(-3, -1).flatten(-2)


def _for_heads(keep):
    return None if keep is None else keep.unsqueeze(-3)


def _attend(q, k, v, keep, width=None):
    """Chapter 3's attention, with another width to scale by."""
    weights = (q @ k.mT * (width or q.shape[-1]) ** -0.5).softmax(-1)
    if keep is not None:
        scores = q @ k.mT * (width or q.shape[-1]) ** -0.5
        scores = scores.masked_fill(~keep, torch.finfo(scores.dtype).min)
        weights = scores.softmax(-1) * keep
    return weights @ v


# split_heads


def _split_cases(generator: Generator, device: torch.device) -> Iterator[Case]:
    draw = Draw(generator, device)
    yield Case("a batch", (draw.normal(B, TK, H * D), H))
    yield Case("single precision", (draw.normal(B, TK, H * D, dtype=SINGLE), H))
    yield Case("half precision", (draw.normal(B, TK, H * D, dtype=HALF), H))
    yield Case("bfloat16", (draw.normal(B, TK, H * D, dtype=BFLOAT), H))
    yield Case("not contiguous", (strided(draw.normal(B, TK, H * D)), H))
    yield Case("as many tokens as heads", (draw.normal(B, H, H * D), H))
    yield Case("as many heads as features in one", (draw.normal(B, TK, H * H), H))
    t, h, d = (draw.integer(2, 7) for _ in range(3))
    yield Case("sizes drawn by lot", (draw.normal(draw.integer(2, 5), t, h * d), h))

    yield Case("no batch dimension", (draw.normal(TK, H * D), H), "edges")
    yield Case("two batch dimensions", (draw.normal(B, 3, TK, H * D), H), "edges")
    yield Case("one head", (draw.normal(B, TK, D), 1), "edges")
    yield Case("heads of one feature", (draw.normal(B, TK, D), D), "edges")
    yield Case("a single token", (draw.normal(B, 1, H * D), H), "edges")
    yield Case("an empty batch", (draw.normal(0, TK, H * D), H), "edges")
    uneven = (draw.normal(B, TK, 10), 4)
    yield Case("4 heads of width 10 must raise ValueError", uneven, "edges", ValueError)


def _split_contract(generator: Generator, device: torch.device) -> Contract:
    x = Draw(generator, device).normal(2, 8, 24)
    return Contract(
        calls=((x, 4),),
        max_flops=0,
        max_written=3 * x.numel(),
        max_intermediate=x.numel(),
    )


def _split_one_batch_dimension(x, num_heads):
    batch, time, width = x.shape
    return x.reshape(batch, time, num_heads, width // num_heads).transpose(1, 2)


def _split_no_transpose(x, num_heads):
    return x.unflatten(-1, (num_heads, -1))


def _split_swapped_sizes(x, num_heads):
    return x.unflatten(-1, (-1, num_heads)).transpose(-3, -2)


def _split_features_before_time(x, num_heads):
    return x.mT.unflatten(-2, (num_heads, -1))


def _split_time(x, num_heads):
    return torch.stack(x.chunk(num_heads, -2), -3)


def _split_heads_first(x, num_heads):
    return torch.stack(x.chunk(num_heads, -1))


SPLIT_HEADS = Exercise(
    reference=reference.split_heads,
    chapter=CHAPTER,
    outputs=("heads",),
    points={"values": 2, "edges": 1, "gradients": 1, "types": 1, "contracts": 1},
    cases=_split_cases,
    contract=_split_contract,
    traps=(
        Trap(
            "view instead of transpose",
            _split_by_view,
            "the shape is right and the contents are not. A reshape reads on in memory: straight "
            "to (H, T, D) it deals out whole tokens to the heads, so that head 0 gets the first "
            "tokens and no head sees the sentence. Cut the features first, to (T, H, D), and then "
            "swap the two axes.",
            "Split",
        ),
        Trap(
            "every H-th feature",
            _split_interleaved,
            "head h takes the features h, h + H, h + 2H, ... A model trained like that would be as "
            "good, but no weights that anybody publishes fit it: there, and here, head h owns the "
            "block from h·D to (h + 1)·D. Unflatten to (H, D), not to (D, H).",
            "Split",
        ),
        Trap(
            "heads behind time",
            _split_no_transpose,
            "(T, H, D) cuts the features and leaves the axes as they are. Attention works on the "
            "last two: it would let the heads of one token read each other. Heads stand before "
            "time, (H, T, D), and then count as a batch.",
            "Split",
        ),
        Trap(
            "H and D swapped",
            _split_swapped_sizes,
            "num_heads is the number of heads; each is C / num_heads wide. Here it was taken for "
            "the width of one.",
            "Split",
        ),
        Trap(
            "features before time",
            _split_features_before_time,
            "every head comes out as (D, T), transposed: tokens are rows, everywhere in the "
            "course. Of (T, H, D) swap T and H, and leave D at the end.",
            "Split",
        ),
        Trap(
            "the sentence cut up",
            _split_time,
            "the tokens were divided among the heads. Each head reads all tokens; it is the "
            "features of every token that are divided.",
            "Split",
        ),
        Trap(
            "heads before the batch",
            _split_heads_first,
            "torch.stack puts the new axis first, in front of the batch. It belongs right before "
            "time: stack(..., dim=-3).",
            "Split",
        ),
        Trap(
            "exactly one batch dimension",
            _split_one_batch_dimension,
            "the shape is taken apart into three names, so a single sentence fails and so does a "
            "batch of batches. Count the axes from the end: x.unflatten(-1, ...) and "
            "transpose(-3, -2) leave whatever stands before alone.",
            "Split",
        ),
    ),
)


# merge_heads


def _merge_cases(generator: Generator, device: torch.device) -> Iterator[Case]:
    draw = Draw(generator, device)
    yield Case("a batch", (draw.normal(B, H, TK, D),))
    yield Case("single precision", (draw.normal(B, H, TK, D, dtype=SINGLE),))
    yield Case("half precision", (draw.normal(B, H, TK, D, dtype=HALF),))
    yield Case("bfloat16", (draw.normal(B, H, TK, D, dtype=BFLOAT),))
    yield Case("not contiguous", (strided(draw.normal(B, H, TK, D)),))
    yield Case("as many tokens as heads", (draw.normal(B, H, H, D),))
    yield Case("as many heads as features in one", (draw.normal(B, H, TK, H),))
    sizes = [draw.integer(2, 7) for _ in range(4)]
    yield Case("sizes drawn by lot", (draw.normal(*sizes),))

    yield Case("no batch dimension", (draw.normal(H, TK, D),), "edges")
    yield Case("two batch dimensions", (draw.normal(B, 3, H, TK, D),), "edges")
    yield Case("one head", (draw.normal(B, 1, TK, D),), "edges")
    yield Case("heads of one feature", (draw.normal(B, H, TK, 1),), "edges")
    yield Case("a single token", (draw.normal(B, H, 1, D),), "edges")
    yield Case("an empty batch", (draw.normal(0, H, TK, D),), "edges")


def _merge_undoes_split(call, generator: Generator, device: torch.device) -> str | None:
    x = Draw(generator, device).normal(B, TK, H * D)
    if not torch.equal(call(_split(x, H)), x):
        return "what split_heads took apart does not come back as it was"
    return None


def _merge_contract(generator: Generator, device: torch.device) -> Contract:
    heads = Draw(generator, device).normal(2, 4, 8, 6)
    return Contract(
        calls=((heads,),),
        max_flops=0,
        max_written=3 * heads.numel(),
        max_intermediate=heads.numel(),
    )


def _merge_in_time(heads):
    return heads.flatten(-3, -2)


def _merge_sum(heads):
    return heads.sum(-3)


def _merge_mean(heads):
    return heads.mean(-3)


def _merge_features_before_time(heads):
    return heads.mT.flatten(-3, -2)


def _merge_one_batch_dimension(heads):
    batch, num_heads, time, width = heads.shape
    return heads.transpose(1, 2).reshape(batch, time, num_heads * width)


MERGE_HEADS = Exercise(
    reference=reference.merge_heads,
    chapter=CHAPTER,
    points={"values": 2, "edges": 1, "gradients": 1, "types": 1, "contracts": 1},
    cases=_merge_cases,
    contract=_merge_contract,
    properties=(Property("it undoes split_heads", _merge_undoes_split, "values"),),
    traps=(
        Trap(
            "merged without transposing back",
            _merge_by_reshape,
            "the shape is right and the tokens are mixed: a reshape of (H, T, D) reads on in "
            "memory, so that row 0 gets the first tokens' answers of head 0 alone. Swap heads and "
            "time back first, to (T, H, D), and then join the last two.",
            "Merge",
        ),
        Trap(
            "heads interleaved",
            _merge_interleaved,
            "the features come out as feature 0 of every head, then feature 1 of every head: "
            "(T, D, H) was flattened. Each head's block stays together: flatten (T, H, D).",
            "Merge",
        ),
        Trap(
            "heads one after another in time",
            _merge_in_time,
            "H·T rows of width D: the heads were laid end to end as if each had read another "
            "sentence. They answer for the same tokens, and stand side by side in the features.",
            "Merge",
        ),
        Trap(
            "heads added up",
            _merge_sum,
            "a sum or a mean of the heads is one mixture again, which is what several heads were "
            "to avoid. Side by side, the projection that follows can still tell them apart.",
            "Merge",
            (_merge_mean,),
        ),
        Trap(
            "features before time",
            _merge_features_before_time,
            "the result is (H·D, T), on its side: tokens are rows. The axes to swap are heads and "
            "time, not time and features.",
            "Merge",
        ),
        Trap(
            "exactly one batch dimension",
            _merge_one_batch_dimension,
            "the shape is taken apart into four names, so a single sentence fails and so does a "
            "batch of batches. Count the axes from the end.",
            "Merge",
        ),
    ),
)


# multi_head_attention and cross_attention


class _Layers(Draw):
    def weights(self, *, h=H, d=D, dv=DV, c=C, cm=C, cout=COUT, dtype=DOUBLE):
        return (
            self.normal(c, h * d, scale=c**-0.5, dtype=dtype),
            self.normal(cm, h * d, scale=cm**-0.5, dtype=dtype),
            self.normal(cm, h * dv, scale=cm**-0.5, dtype=dtype),
            self.normal(h * dv, cout, scale=(h * dv) ** -0.5, dtype=dtype),
        )


def _multi_cases(generator: Generator, device: torch.device) -> Iterator[Case]:
    draw, t = _Layers(generator, device), TK

    def inputs(*batch, t=t, h=H, c=C, dtype=DOUBLE, **sizes):
        weights = draw.weights(h=h, c=c, cm=c, dtype=dtype, **sizes)
        return (draw.normal(*batch, t, c, dtype=dtype), *weights, h)

    yield Case("a batch", (*inputs(B), None))
    yield Case("single precision", (*inputs(B, dtype=SINGLE), None))
    yield Case("half precision", (*inputs(B, dtype=HALF), None))
    yield Case("bfloat16", (*inputs(B, dtype=BFLOAT), None))
    square = {"d": 3, "dv": 3, "c": 12, "cout": 12}
    yield Case("all widths as in the paper", (*inputs(B, **square), None))
    *tensors, h = inputs(B)
    yield Case("not contiguous", (*(strided(a) for a in tensors), h, None))
    names = ("t", "h", "d", "dv", "c", "cout")
    sizes = {name: draw.integer(2, 7) for name in names}
    yield Case("sizes drawn by lot", (*inputs(draw.integer(2, 5), **sizes), None))

    yield Case("no batch dimension", (*inputs(), None), "edges")
    yield Case("two batch dimensions", (*inputs(B, 3), None), "edges")
    yield Case("the mask left out", inputs(B), "edges")
    yield Case("one head", (*inputs(B, h=1), None), "edges")
    yield Case("heads of one feature", (*inputs(B, h=D, d=1, dv=1), None), "edges")
    causal = causal_mask(t, t, device=device)
    yield Case("a causal mask", (*inputs(B), causal), "edges")
    yield Case("a causal mask, no batch dimension", (*inputs(), causal), "edges")
    yield Case("a causal mask, as many tokens as heads", (*inputs(B, t=H), causal[:H, :H]), "edges")
    yield Case("a padding mask", (*inputs(B), draw.keep(B, 1, t)), "edges")
    yield Case("as many sentences as heads", (*inputs(H), draw.keep(H, 1, t)), "edges")
    yield Case("as many tokens as sentences", (*inputs(t), draw.keep(t, 1, t)), "edges")
    yield Case("a mask for each token", (*inputs(B, 3), draw.keep(B, 3, t, t)), "edges")
    yield Case("a mask, not contiguous", (*inputs(B), strided(draw.keep(B, t, t))), "edges")
    lonely = draw.keep(B, t, t)
    lonely[1, 2] = False
    yield Case("one token may read nothing", (*inputs(B), lonely), "edges")
    half = inputs(B, dtype=HALF)
    yield Case("nothing to read, half precision", (*half, lonely & False), "edges")
    yield Case("a single token", (*inputs(B, t=1), None), "edges")
    yield Case("an empty batch", (*inputs(0), None), "edges")


def _order_of_heads(call, generator: Generator, device: torch.device) -> str | None:
    draw = _Layers(generator, device)
    x, (w_q, w_k, w_v, w_out) = draw.normal(B, TK, C), draw.weights()
    order = torch.tensor([2, 0, 3, 1], device=device)
    q, k, v = (w.unflatten(-1, (H, -1))[:, order].flatten(-2) for w in (w_q, w_k, w_v))
    out = w_out.unflatten(0, (H, -1))[order].flatten(0, 1)
    change = (call(x, q, k, v, out, H, None) - call(x, w_q, w_k, w_v, w_out, H, None)).abs().max()
    if not change < 1e-10:
        return f"the same heads in another order give another answer, off by {float(change):.2g}"
    return None


def _layer_contract(tq: int, tk: int, cm: int, arguments) -> Contract:
    """``arguments``: of each call, made of the weights."""
    b, h, d, dv, c, cout = 2, 4, 8, 4, 24, 20
    projections = tq * c * h * d + tk * cm * h * (d + dv) + tq * h * dv * cout
    largest = max(h * tq * tk, max(tq, tk) * max(c, cm, cout, 2 * h * d + h * dv))
    return Contract(
        calls=arguments({"h": h, "d": d, "dv": dv, "c": c, "cm": cm, "cout": cout}),
        max_flops=2 * b * (projections + h * tq * tk * (d + dv)),
        max_written=16 * b * h * tq * tk + 24 * b * max(tq, tk) * h * d,
        max_intermediate=b * largest,
        forbidden=_LIBRARY_ATTENTION,
    )


def _multi_contract(generator: Generator, device: torch.device) -> Contract:
    draw, t = _Layers(generator, device), 20

    def arguments(sizes):
        x, weights = draw.normal(2, t, sizes["c"]), draw.weights(**sizes)
        return (
            (x, *weights, sizes["h"], causal_mask(t, t, device=device)),
            (x, *weights, sizes["h"], None),
        )

    return _layer_contract(t, t, 24, arguments)


def _layer(x, memory, weights, h, keep, split=None, merge=None, attend=None, mask=None):
    """The right layer but for one part."""
    w_q, w_k, w_v, w_out = weights
    cut = split or _split
    q, k, v = cut(x @ w_q, h), cut(memory @ w_k, h), cut(memory @ w_v, h)
    heads = (attend or _attend)(q, k, v, (mask or _for_heads)(keep))
    return (merge or _merge)(heads) @ w_out


def _mask_as_it_is(keep):
    return keep


def _inverted(keep):
    return _for_heads(None if keep is None else ~keep)


def _mask_second_axis(keep):
    return None if keep is None else keep.unsqueeze(1)


def _mask_behind(keep):
    return None if keep is None else keep.unsqueeze(-2)


def _no_mask(keep):
    return None


def _unscaled(q, k, v, keep):
    return _attend(q, k, v, keep, 1)


def _one_set_of_weights(q, k, v, keep):
    weights = _attend(q, k, torch.eye(k.shape[-2], dtype=k.dtype, device=k.device), keep)
    return weights.mean(-3, keepdim=True) @ v


def _multi(**parts):
    def wrong(x, w_q, w_k, w_v, w_out, num_heads, keep=None):
        return _layer(x, x, (w_q, w_k, w_v, w_out), num_heads, keep, **parts)

    return wrong


def _multi_no_output(x, w_q, w_k, w_v, w_out, num_heads, keep=None):
    q, k, v = _split(x @ w_q, num_heads), _split(x @ w_k, num_heads), _split(x @ w_v, num_heads)
    return _merge(_attend(q, k, v, _for_heads(keep)))


def _multi_model_scale(x, w_q, w_k, w_v, w_out, num_heads, keep=None):
    q, k, v = _split(x @ w_q, num_heads), _split(x @ w_k, num_heads), _split(x @ w_v, num_heads)
    return _merge(_attend(q, k, v, _for_heads(keep), x.shape[-1])) @ w_out


def _multi_projection_scale(x, w_q, w_k, w_v, w_out, num_heads, keep=None):
    q, k, v = _split(x @ w_q, num_heads), _split(x @ w_k, num_heads), _split(x @ w_v, num_heads)
    return _merge(_attend(q, k, v, _for_heads(keep), w_q.shape[-1])) @ w_out


def _multi_among_heads(x, w_q, w_k, w_v, w_out, num_heads, keep=None):
    q, k, v = ((x @ w).unflatten(-1, (num_heads, -1)) for w in (w_q, w_k, w_v))
    return _attend(q, k, v, None).flatten(-2) @ w_out


def _multi_one_head(x, w_q, w_k, w_v, w_out, num_heads, keep=None):
    return _attend(x @ w_q, x @ w_k, x @ w_v, keep) @ w_out


def _multi_roles_swapped(x, w_q, w_k, w_v, w_out, num_heads, keep=None):
    return _layer(x, x, (w_k, w_q, w_v, w_out), num_heads, keep)


def _multi_interleaved(x, w_q, w_k, w_v, w_out, num_heads, keep=None):
    return _layer(
        x,
        x,
        (w_q, w_k, w_v, w_out),
        num_heads,
        keep,
        split=_split_interleaved,
        merge=_merge_interleaved,
    )


def _multi_view_and_reshape(x, w_q, w_k, w_v, w_out, num_heads, keep=None):
    return _layer(
        x, x, (w_q, w_k, w_v, w_out), num_heads, keep, split=_split_by_view, merge=_merge_by_reshape
    )


def _multi_one_set(x, w_q, w_k, w_v, w_out, num_heads, keep=None):
    return _layer(x, x, (w_q, w_k, w_v, w_out), num_heads, keep, attend=_one_set_of_weights)


def _multi_split_interleaved(x, w_q, w_k, w_v, w_out, num_heads, keep=None):
    return _layer(x, x, (w_q, w_k, w_v, w_out), num_heads, keep, split=_split_interleaved)


def _multi_merge_interleaved(x, w_q, w_k, w_v, w_out, num_heads, keep=None):
    return _layer(x, x, (w_q, w_k, w_v, w_out), num_heads, keep, merge=_merge_interleaved)


def _multi_reshape(x, w_q, w_k, w_v, w_out, num_heads, keep=None):
    return _layer(x, x, (w_q, w_k, w_v, w_out), num_heads, keep, merge=_merge_by_reshape)


def _multi_mask_second_axis(x, w_q, w_k, w_v, w_out, num_heads, keep=None):
    return _layer(x, x, (w_q, w_k, w_v, w_out), num_heads, keep, mask=_mask_second_axis)


def _multi_view(x, w_q, w_k, w_v, w_out, num_heads, keep=None):
    return _layer(x, x, (w_q, w_k, w_v, w_out), num_heads, keep, split=_split_by_view)


def _multi_mask_as_it_is(x, w_q, w_k, w_v, w_out, num_heads, keep=None):
    return _layer(x, x, (w_q, w_k, w_v, w_out), num_heads, keep, mask=_mask_as_it_is)


def _multi_mask_behind(x, w_q, w_k, w_v, w_out, num_heads, keep=None):
    return _layer(x, x, (w_q, w_k, w_v, w_out), num_heads, keep, mask=_mask_behind)


def _multi_unscaled(x, w_q, w_k, w_v, w_out, num_heads, keep=None):
    return _layer(x, x, (w_q, w_k, w_v, w_out), num_heads, keep, attend=_unscaled)


def _multi_no_mask(x, w_q, w_k, w_v, w_out, num_heads, keep=None):
    return _layer(x, x, (w_q, w_k, w_v, w_out), num_heads, keep, mask=_no_mask)


def _multi_mask_inverted(x, w_q, w_k, w_v, w_out, num_heads, keep=None):
    return _layer(x, x, (w_q, w_k, w_v, w_out), num_heads, keep, mask=_inverted)


MULTI_HEAD_ATTENTION = Exercise(
    reference=reference.multi_head_attention,
    chapter=CHAPTER,
    points={"values": 3, "edges": 2, "gradients": 1, "types": 1, "contracts": 1},
    cases=_multi_cases,
    contract=_multi_contract,
    properties=(Property("heads in another order", _order_of_heads, "values"),),
    traps=(
        Trap(
            "no output projection",
            _multi_no_output,
            "the heads stand side by side and nothing joins them: feature 0 of the answer would "
            "only ever know what head 0 has read. w_out lets every feature of the answer draw on "
            "all heads.",
            "Project",
        ),
        Trap(
            "scaled by the width of the model",
            _multi_model_scale,
            "the sum in q·k runs over the D features of one head, so its standard deviation is "
            "√D. Divided by √C, the scores are √H times too small, and every head reads nearly "
            "the plain average.",
            "Attend",
            (_multi_projection_scale,),
        ),
        Trap(
            "no scale",
            _multi_unscaled,
            "each head divides its scores by √D, the width of one head. Chapter 3's function does "
            "it by itself.",
            "Attend",
        ),
        Trap(
            "view instead of transpose",
            _multi_view,
            "q.view(B, H, T, D) has the right shape and deals out whole tokens to the heads: each "
            "head reads a few tokens as if they were the sentence. First (T, H, D), then swap.",
            "Split",
            (_multi_view_and_reshape,),
        ),
        Trap(
            "every H-th feature",
            _multi_interleaved,
            "the columns of w_q, w_k and w_v belong to the heads in blocks: head h owns the "
            "columns from h·D to (h + 1)·D. Taking every H-th one gives other heads.",
            "Split",
            (_multi_split_interleaved,),
        ),
        Trap(
            "merged without transposing back",
            _multi_reshape,
            "a reshape of (H, T, D) to (T, H·D) mixes the tokens: row 0 gets the answers of "
            "several tokens from one head. Swap heads and time back first.",
            "Merge",
        ),
        Trap(
            "heads merged interleaved",
            _multi_merge_interleaved,
            "the heads' features come out in turns, so that each meets another row of w_out. "
            "Rows h·D to (h + 1)·D of w_out belong to head h: flatten (T, H, D).",
            "Merge",
        ),
        Trap(
            "heads that read each other",
            _multi_among_heads,
            "with heads behind time, (T, H, D), attention's last two axes are heads and features: "
            "the heads of one token attend to one another, and no token sees another. Heads stand "
            "before time.",
            "Attend",
        ),
        Trap(
            "one wide head",
            _multi_one_head,
            "num_heads changes nothing: one softmax over all features is one mixture. Split "
            "queries, keys and values before the attention.",
            "One softmax, one mixture",
        ),
        Trap(
            "one set of weights for all heads",
            _multi_one_set,
            "the weights were averaged over the heads and all of them read with the average. Each "
            "head reads with its own softmax; averaging is for pictures.",
            "One softmax, one mixture",
        ),
        Trap(
            "the mask on the wrong axis",
            _multi_mask_as_it_is,
            "keep is (*batch, T, T) and the scores are (*batch, H, T, T). Broadcasting starts from "
            "the right, so the sentences land on the heads: it raises, or, with as many "
            "sentences as heads, hides the wrong words in silence. Put a 1 where the heads stand, "
            "third from the end: keep.unsqueeze(-3).",
            "One mask for all heads",
            (
                _multi(mask=_mask_as_it_is, attend=scaled_dot_product_attention),
                _multi_mask_second_axis,
                _multi(mask=_mask_second_axis, attend=scaled_dot_product_attention),
                _multi_mask_behind,
            ),
        ),
        Trap(
            "the mask forgotten",
            _multi_no_mask,
            "keep is accepted and never passed on. Every head reads the padding and the future.",
            "One mask for all heads",
        ),
        Trap(
            "mask inverted",
            _multi_mask_inverted,
            "keep is True where a token may be read, here as in scaled_dot_product_attention. "
            "(nn.MultiheadAttention has it the other way round.)",
            "One mask for all heads",
        ),
        Trap(
            "queries and keys swapped",
            _multi_roles_swapped,
            "q = x w_q and k = x w_k. Swapped, every head's scores are transposed: who looked for "
            "something is now looked for.",
            "Attend",
        ),
    ),
)


def _cross_cases(generator: Generator, device: torch.device) -> Iterator[Case]:
    draw = _Layers(generator, device)

    def inputs(*batch, tq=TQ, tk=TK, h=H, c=C, cm=CM, dtype=DOUBLE, **sizes):
        x = draw.normal(*batch, tq, c, dtype=dtype)
        memory = draw.normal(*batch, tk, cm, dtype=dtype)
        return (x, memory, *draw.weights(h=h, c=c, cm=cm, dtype=dtype, **sizes), h)

    yield Case("a batch", (*inputs(B), None))
    yield Case("single precision", (*inputs(B, dtype=SINGLE), None))
    yield Case("half precision", (*inputs(B, dtype=HALF), None))
    yield Case("bfloat16", (*inputs(B, dtype=BFLOAT), None))
    square = {"d": 3, "dv": 3, "c": 12, "cm": 12, "cout": 12}
    yield Case("all widths as in the paper", (*inputs(B, **square), None))
    yield Case("as long and as wide as x", (*inputs(B, tk=TQ, **square), None))
    yield Case("longer than memory", (*inputs(B, tq=TK, tk=TQ, **square), None))
    *tensors, h = inputs(B)
    yield Case("not contiguous", (*(strided(a) for a in tensors), h, None))
    names = ("tq", "tk", "h", "d", "dv", "c", "cm", "cout")
    sizes = {name: draw.integer(2, 7) for name in names}
    yield Case("sizes drawn by lot", (*inputs(draw.integer(2, 5), **sizes), None))

    yield Case("no batch dimension", (*inputs(), None), "edges")
    yield Case("two batch dimensions", (*inputs(B, 3), None), "edges")
    yield Case("the mask left out", inputs(B), "edges")
    yield Case("one head", (*inputs(B, h=1), None), "edges")
    yield Case("a padding mask", (*inputs(B), draw.keep(B, 1, TK)), "edges")
    yield Case("a padding mask, no batch dimension", (*inputs(), draw.keep(1, TK)), "edges")
    yield Case("as many sentences as heads", (*inputs(H), draw.keep(H, 1, TK)), "edges")
    yield Case("as many queries as sentences", (*inputs(TQ), draw.keep(TQ, 1, TK)), "edges")
    yield Case("a mask for each token", (*inputs(B, 3), draw.keep(B, 3, TQ, TK)), "edges")
    long = inputs(B, tk=TQ, **square)
    yield Case("a mask, as long as x", (*long, draw.keep(B, TQ, TQ)), "edges")
    yield Case("a mask, not contiguous", (*inputs(B), strided(draw.keep(B, TQ, TK))), "edges")
    lonely = draw.keep(B, TQ, TK)
    lonely[0, 1] = False
    yield Case("one token may read nothing", (*inputs(B), lonely), "edges")
    half = inputs(B, dtype=HALF)
    yield Case("an empty source, half precision", (*half, lonely & False), "edges")
    yield Case("one token asks one", (*inputs(B, tq=1, tk=1), None), "edges")
    yield Case("an empty batch", (*inputs(0), None), "edges")


def _hidden_memory_has_no_influence(call, generator, device: torch.device) -> str | None:
    draw = _Layers(generator, device)
    x, memory, weights = draw.normal(B, TQ, C), draw.normal(B, TK, CM), draw.weights(cm=CM)
    keep = torch.arange(TK, device=device) < torch.tensor([[[2]], [[4]]], device=device)
    before = call(x, memory, *weights, H, keep)
    other = torch.where(keep.mT, memory, draw.normal(B, TK, CM))
    change = (call(x, other, *weights, H, keep) - before).abs().max()
    if change != 0:  # nan differs too
        return f"other numbers in the padding of memory changed an answer by {float(change):.2g}"
    return None


def _cross_contract(generator: Generator, device: torch.device) -> Contract:
    draw, tq, tk, cm = _Layers(generator, device), 12, 20, 28

    def arguments(sizes):
        x, memory = draw.normal(2, tq, sizes["c"]), draw.normal(2, tk, cm)
        weights = draw.weights(**sizes)
        return (
            (x, memory, *weights, sizes["h"], draw.keep(2, 1, tk)),
            (x, memory, *weights, sizes["h"], None),
        )

    return _layer_contract(tq, tk, cm, arguments)


def _cross(**parts):
    def wrong(x, memory, w_q, w_k, w_v, w_out, num_heads, keep=None):
        return _layer(x, memory, (w_q, w_k, w_v, w_out), num_heads, keep, **parts)

    return wrong


def _cross_of_itself(x, memory, w_q, w_k, w_v, w_out, num_heads, keep=None):
    return _layer(x, x, (w_q, w_k, w_v, w_out), num_heads, keep)


def _cross_memory_asks(x, memory, w_q, w_k, w_v, w_out, num_heads, keep=None):
    return _layer(memory, x, (w_q, w_k, w_v, w_out), num_heads, keep)


def _cross_values_from_x(x, memory, w_q, w_k, w_v, w_out, num_heads, keep=None):
    q, k = _split(x @ w_q, num_heads), _split(memory @ w_k, num_heads)
    v = _split(x @ w_v, num_heads)
    return _merge(_attend(q, k, v, _for_heads(keep))) @ w_out


def _cross_keys_from_x(x, memory, w_q, w_k, w_v, w_out, num_heads, keep=None):
    q, k = _split(x @ w_q, num_heads), _split(x @ w_k, num_heads)
    v = _split(memory @ w_v, num_heads)
    return _merge(_attend(q, k, v, _for_heads(keep))) @ w_out


def _cross_length_of_x(x, memory, w_q, w_k, w_v, w_out, num_heads, keep=None):
    def split(t):
        return t.reshape(*x.shape[:-1], num_heads, -1).transpose(-3, -2)

    q, k, v = split(x @ w_q), split(memory @ w_k), split(memory @ w_v)
    return _merge(_attend(q, k, v, _for_heads(keep))) @ w_out


def _cross_causal(x, memory, w_q, w_k, w_v, w_out, num_heads, keep=None):
    tq, tk = x.shape[-2], memory.shape[-2]
    past = torch.ones(tq, tk, dtype=torch.bool, device=x.device).tril(tk - tq)
    keep = past if keep is None else keep & past
    return _layer(x, memory, (w_q, w_k, w_v, w_out), num_heads, keep)


def _cross_causal_upper_left(x, memory, w_q, w_k, w_v, w_out, num_heads, keep=None):
    ones = torch.ones(x.shape[-2], memory.shape[-2], dtype=torch.bool, device=x.device)
    keep = ones.tril() if keep is None else keep & ones.tril()
    return _layer(x, memory, (w_q, w_k, w_v, w_out), num_heads, keep)


def _cross_no_output(x, memory, w_q, w_k, w_v, w_out, num_heads, keep=None):
    q, k = _split(x @ w_q, num_heads), _split(memory @ w_k, num_heads)
    v = _split(memory @ w_v, num_heads)
    return _merge(_attend(q, k, v, _for_heads(keep)))


def _cross_model_scale(x, memory, w_q, w_k, w_v, w_out, num_heads, keep=None):
    q, k = _split(x @ w_q, num_heads), _split(memory @ w_k, num_heads)
    v = _split(memory @ w_v, num_heads)
    return _merge(_attend(q, k, v, _for_heads(keep), x.shape[-1])) @ w_out


def _cross_memory_scale(x, memory, w_q, w_k, w_v, w_out, num_heads, keep=None):
    q, k = _split(x @ w_q, num_heads), _split(memory @ w_k, num_heads)
    v = _split(memory @ w_v, num_heads)
    return _merge(_attend(q, k, v, _for_heads(keep), memory.shape[-1])) @ w_out


def _mask_on_its_side(keep):
    return None if keep is None else keep.mT.unsqueeze(-3)


def _cross_view_and_reshape(x, memory, w_q, w_k, w_v, w_out, num_heads, keep=None):
    return _layer(
        x,
        memory,
        (w_q, w_k, w_v, w_out),
        num_heads,
        keep,
        split=_split_by_view,
        merge=_merge_by_reshape,
    )


def _cross_reshape(x, memory, w_q, w_k, w_v, w_out, num_heads, keep=None):
    return _layer(x, memory, (w_q, w_k, w_v, w_out), num_heads, keep, merge=_merge_by_reshape)


def _cross_mask_second_axis(x, memory, w_q, w_k, w_v, w_out, num_heads, keep=None):
    return _layer(x, memory, (w_q, w_k, w_v, w_out), num_heads, keep, mask=_mask_second_axis)


def _cross_mask_on_its_side(x, memory, w_q, w_k, w_v, w_out, num_heads, keep=None):
    return _layer(x, memory, (w_q, w_k, w_v, w_out), num_heads, keep, mask=_mask_on_its_side)


def _cross_view(x, memory, w_q, w_k, w_v, w_out, num_heads, keep=None):
    return _layer(x, memory, (w_q, w_k, w_v, w_out), num_heads, keep, split=_split_by_view)


def _cross_mask_as_it_is(x, memory, w_q, w_k, w_v, w_out, num_heads, keep=None):
    return _layer(x, memory, (w_q, w_k, w_v, w_out), num_heads, keep, mask=_mask_as_it_is)


def _cross_mask_behind(x, memory, w_q, w_k, w_v, w_out, num_heads, keep=None):
    return _layer(x, memory, (w_q, w_k, w_v, w_out), num_heads, keep, mask=_mask_behind)


def _cross_no_mask(x, memory, w_q, w_k, w_v, w_out, num_heads, keep=None):
    return _layer(x, memory, (w_q, w_k, w_v, w_out), num_heads, keep, mask=_no_mask)


def _cross_mask_inverted(x, memory, w_q, w_k, w_v, w_out, num_heads, keep=None):
    return _layer(x, memory, (w_q, w_k, w_v, w_out), num_heads, keep, mask=_inverted)


CROSS_ATTENTION = Exercise(
    reference=reference.cross_attention,
    chapter=CHAPTER,
    points={"values": 3, "edges": 2, "gradients": 1, "types": 1, "contracts": 1},
    cases=_cross_cases,
    contract=_cross_contract,
    properties=(Property("hidden memory has no influence", _hidden_memory_has_no_influence),),
    traps=(
        Trap(
            "memory never read",
            _cross_of_itself,
            "keys and values were made of x: that is self-attention. What is asked for has to come "
            "from the other source, memory.",
            "Cross-attention",
        ),
        Trap(
            "memory asks",
            _cross_memory_asks,
            "the roles are swapped: there is one answer for each token that asks, and x asks. "
            "Queries from x, keys and values from memory.",
            "Cross-attention",
        ),
        Trap(
            "values from x",
            _cross_values_from_x,
            "memory is searched, and then x is handed over. A key and its value belong to the "
            "same token: both come from memory.",
            "Cross-attention",
        ),
        Trap(
            "keys from x",
            _cross_keys_from_x,
            "x is searched, and then memory is handed over. A key and its value belong to the "
            "same token: both come from memory.",
            "Cross-attention",
        ),
        Trap(
            "the length of x for memory",
            _cross_length_of_x,
            "keys and values were cut into heads with the number of tokens of x. Memory has its "
            "own length; a split that counts axes from the end never asks for it.",
            "Cross-attention",
        ),
        Trap(
            "a causal mask over the source",
            _cross_causal,
            "the future that must be hidden is that of the sentence being written. The source is "
            "there as a whole: position 3 of the target may read all of it.",
            "Cross-attention",
            (_cross_causal_upper_left,),
        ),
        Trap(
            "the mask on its side",
            _cross_mask_on_its_side,
            "keep[..., i, j] says whether token i of x may read token j of memory: queries are "
            "rows, and the padding of memory runs along the last dimension.",
            "One mask for all heads",
        ),
        Trap(
            "the mask on the wrong axis",
            _cross_mask_as_it_is,
            "keep is (*batch, Tq, Tk) and the scores are (*batch, H, Tq, Tk). Broadcasting starts "
            "from the right, so the sentences land on the heads: it raises, or, with as many "
            "sentences as heads, hides the wrong words in silence. Put a 1 where the heads stand, "
            "third from the end: keep.unsqueeze(-3).",
            "One mask for all heads",
            (
                _cross(mask=_mask_as_it_is, attend=scaled_dot_product_attention),
                _cross_mask_second_axis,
                _cross(mask=_mask_second_axis, attend=scaled_dot_product_attention),
                _cross_mask_behind,
            ),
        ),
        Trap(
            "the mask forgotten",
            _cross_no_mask,
            "keep is accepted and never passed on: the target reads the padding of the source.",
            "One mask for all heads",
        ),
        Trap(
            "mask inverted",
            _cross_mask_inverted,
            "keep is True where a token of memory may be read. Inverted, the target reads nothing "
            "of its source but the padding.",
            "One mask for all heads",
        ),
        Trap(
            "no output projection",
            _cross_no_output,
            "the heads stand side by side and nothing joins them. w_out lets every feature of the "
            "answer draw on all heads.",
            "Project",
        ),
        Trap(
            "scaled by the width of the model",
            _cross_model_scale,
            "the sum in q·k runs over the D features of one head, after projection and split. "
            "Neither the width of x nor that of memory has anything to do with it.",
            "Attend",
            (_cross_memory_scale,),
        ),
        Trap(
            "view instead of transpose",
            _cross_view,
            "view(B, H, T, D) has the right shape and deals out whole tokens to the heads. First "
            "(T, H, D), then swap.",
            "Split",
            (_cross_view_and_reshape,),
        ),
        Trap(
            "merged without transposing back",
            _cross_reshape,
            "a reshape of (H, T, D) to (T, H·D) mixes the tokens. Swap heads and time back first.",
            "Merge",
        ),
    ),
)


# head_ablation


def _ablation_cases(generator: Generator, device: torch.device) -> Iterator[Case]:
    draw = Draw(generator, device)

    def inputs(*batch, h=H, t=TK, d=D, c=C, flags=None, dtype=DOUBLE):
        heads = draw.normal(*batch, h, t, d, dtype=dtype)
        w_out = draw.normal(h * d, c, scale=(h * d) ** -0.5, dtype=dtype)
        if flags is None:
            flags = draw.keep(h)  # some, not all
        return heads, w_out, torch.as_tensor(flags, device=device)

    # Chosen so that no turn or reversal of the flags is the same again.
    yield Case("one silent head of four", inputs(B, flags=[True, False, True, True]))
    yield Case("one of four kept", inputs(B, flags=[False, False, False, True]))
    yield Case("single precision", inputs(B, dtype=SINGLE))
    yield Case("half precision", inputs(B, dtype=HALF))
    yield Case("bfloat16", inputs(B, dtype=BFLOAT))
    yield Case("as wide as the heads together", inputs(B, c=H * D))
    yield Case("as many tokens as heads", inputs(B, t=H))
    yield Case("as many features in a head as heads", inputs(B, d=H))
    heads, w_out, flags = inputs(B)
    yield Case("not contiguous", (strided(heads), strided(w_out), flags))
    sizes = {name: draw.integer(2, 7) for name in ("h", "t", "d", "c")}
    yield Case("sizes drawn by lot", inputs(draw.integer(2, 5), **sizes))

    yield Case("every head kept", inputs(B, flags=[True] * H), "edges")
    yield Case("every head silent", inputs(B, flags=[False] * H), "edges")
    yield Case("no batch dimension", inputs(), "edges")
    yield Case("two batch dimensions", inputs(B, 3), "edges")
    yield Case("as many sentences as heads", inputs(H), "edges")
    yield Case("one head, kept", inputs(B, h=1, flags=[True]), "edges")
    yield Case("one head, silent", inputs(B, h=1, flags=[False]), "edges")
    yield Case("a single token", inputs(B, t=1), "edges")
    yield Case("an empty batch", inputs(0), "edges")


def _single_heads_add_up(call, generator: Generator, device: torch.device) -> str | None:
    draw = Draw(generator, device)
    heads, w_out = draw.normal(B, H, TK, D), draw.normal(H * D, C)
    numbers = torch.arange(H, device=device)
    alone = sum(call(heads, w_out, numbers == h) for h in range(H))
    change = (alone - call(heads, w_out, numbers >= 0)).abs().max()
    if not change < 1e-10:
        return f"the answers of single heads do not add up to that of all: {float(change):.2g} off"
    return None


def _ablation_contract(generator: Generator, device: torch.device) -> Contract:
    draw, (b, h, t, d, c) = Draw(generator, device), (2, 4, 12, 8, 20)
    heads, w_out, flags = draw.normal(b, h, t, d), draw.normal(h * d, c), draw.keep(h)
    return Contract(
        calls=((heads, w_out, flags),),
        max_flops=2 * b * t * h * d * c,
        max_written=4 * heads.numel() + 4 * b * h * t * c + 2 * w_out.numel(),
        max_intermediate=max(b * h * t * c, heads.numel(), w_out.numel()),
    )


def _ablation_inverted(heads, w_out, keep_heads):
    return _merge(heads * ~keep_heads[:, None, None]) @ w_out


def _ablation_scaled_up(heads, w_out, keep_heads):
    share = keep_heads.to(heads.dtype).mean()
    return _merge(heads * keep_heads[:, None, None] / share) @ w_out


def _ablation_of_the_answer(heads, w_out, keep_heads):
    out = _merge(heads) @ w_out
    return out * keep_heads.repeat_interleave(out.shape[-1] // len(keep_heads))


def _ablation_along_time(heads, w_out, keep_heads):
    return _merge(heads * keep_heads[:, None]) @ w_out


def _ablation_along_features(heads, w_out, keep_heads):
    return _merge(heads * keep_heads) @ w_out


def _ablation_every_hth(heads, w_out, keep_heads):
    return _merge(heads) * keep_heads.repeat(heads.shape[-1]) @ w_out


def _ablation_not_transposed(heads, w_out, keep_heads):
    return _merge_by_reshape(heads * keep_heads[:, None, None]) @ w_out


def _ablation_first_rows(heads, w_out, keep_heads):
    kept = _merge(heads[..., keep_heads, :, :])
    return kept @ w_out[: kept.shape[-1]]


def _ablation_no_output(heads, w_out, keep_heads):
    return _merge(heads * keep_heads[:, None, None])


def _ablation_in_place(heads, w_out, keep_heads):
    heads.detach()[..., ~keep_heads, :, :] = 0
    return _merge(heads * keep_heads[:, None, None]) @ w_out


def _ablation_nothing_silent(heads, w_out, keep_heads):
    return _merge(heads) @ w_out


HEAD_ABLATION = Exercise(
    reference=reference.head_ablation,
    chapter=CHAPTER,
    points={"values": 3, "edges": 1, "gradients": 1, "types": 1, "contracts": 1},
    cases=_ablation_cases,
    contract=_ablation_contract,
    properties=(Property("single heads add up", _single_heads_add_up, "values"),),
    traps=(
        Trap(
            "inverted",
            _ablation_inverted,
            "keep_heads is True for the heads that stay, as keep is True for what may be read. "
            "Here the silent ones speak.",
            "What losing a head costs",
        ),
        Trap(
            "the rest scaled up",
            _ablation_scaled_up,
            "dropout divides by the share that it keeps; an ablation does not. It asks what the "
            "layer is without the head, and a louder rest is another change on top.",
            "What losing a head costs",
        ),
        Trap(
            "features of the answer silenced",
            _ablation_of_the_answer,
            "after w_out there are no heads any more: every feature of the answer is a mixture of "
            "all of them. Silence the head before the projection.",
            "Project",
        ),
        Trap(
            "flags along time",
            _ablation_along_time,
            "keep_heads[:, None] stands on the axis of time, second from the end: it raises, or, "
            "with as many tokens as heads, it silences words. Heads stand third from the end: "
            "keep_heads[:, None, None].",
            "What losing a head costs",
        ),
        Trap(
            "flags along the features",
            _ablation_along_features,
            "broadcasting starts from the right, so H flags land on the features of each head. "
            "They need a 1 for time and a 1 for the features behind them.",
            "What losing a head costs",
        ),
        Trap(
            "every H-th feature silenced",
            _ablation_every_hth,
            "keep_heads.repeat(D) is flag 0, 1, 2, ..., again and again; a merged row is D "
            "features of head 0, then D of head 1: repeat_interleave(D).",
            "Merge",
        ),
        Trap(
            "merged without transposing back",
            _ablation_not_transposed,
            "the silent heads are silent, and the others' tokens are mixed: swap heads and time "
            "back before you join heads and features.",
            "Merge",
        ),
        Trap(
            "the wrong rows of w_out",
            _ablation_first_rows,
            "taking the silent heads out is as good as silencing them, if their rows of w_out go "
            "with them. Here the rest met the first rows: those of the heads that used to stand "
            "there.",
            "Project",
        ),
        Trap(
            "no output projection",
            _ablation_no_output,
            "what a layer hands on is the projection of its heads, and that is where the loss of "
            "one shows.",
            "Project",
        ),
        Trap(
            "the caller's heads overwritten",
            _ablation_in_place,
            "heads[...] = 0 writes into the caller's tensor. Silence head 1 and then head 2, and "
            "in the second run both are silent. Multiply into a new tensor.",
            "What losing a head costs",
        ),
        Trap(
            "nobody silenced",
            _ablation_nothing_silent,
            "keep_heads is accepted and changes nothing. (heads * flags makes a new tensor and "
            "leaves the old one as it was.)",
            "What losing a head costs",
        ),
    ),
)

EXERCISES = (
    SPLIT_HEADS,
    MERGE_HEADS,
    MULTI_HEAD_ATTENTION,
    CROSS_ATTENTION,
    HEAD_ABLATION,
)
