"""Answers to chapter 4's exercises: right ones in other styles than the reference, and wrong ones
that are no trap."""

import functools

import numpy as np
import torch
from torch.nn import functional as F

from answers import weights
from tutor.attention import scaled_dot_product_attention

# Splitting and merging


def _require_heads(x, num_heads):
    if x.shape[-1] % num_heads:
        raise ValueError("num_heads must divide width")


def split_reshape(x, num_heads):
    _require_heads(x, num_heads)
    return x.reshape(*x.shape[:-1], num_heads, x.shape[-1] // num_heads).movedim(-2, -3)


def split_chunks(x, num_heads):
    _require_heads(x, num_heads)
    return torch.stack(x.chunk(num_heads, -1), dim=-3)


def split_loops(x, num_heads):
    _require_heads(x, num_heads)
    d = x.shape[-1] // num_heads
    out = x.new_zeros(*x.shape[:-2], num_heads, x.shape[-2], d)
    for h in range(num_heads):
        out[..., h, :, :] = x[..., h * d : (h + 1) * d]
    return out


def split_einsum(x, num_heads):
    _require_heads(x, num_heads)
    return torch.einsum("...thd->...htd", x.unflatten(-1, (num_heads, -1))).contiguous()


def split_one_hot(x, num_heads):
    """Each head by a product with the columns of an identity that it owns."""
    _require_heads(x, num_heads)
    own = torch.eye(x.shape[-1], dtype=x.dtype, device=x.device).chunk(num_heads, -1)
    return torch.stack([x @ columns for columns in own], -3)


def split_index(x, num_heads):
    _require_heads(x, num_heads)
    features = torch.arange(x.shape[-1], device=x.device).view(num_heads, -1)
    return x[..., features].transpose(-3, -2)


def split_vmap(x, num_heads):
    _require_heads(x, num_heads)
    return torch.func.vmap(lambda f: f, in_dims=-1, out_dims=-1)(
        x.unflatten(-1, (num_heads, -1)).transpose(-3, -2)
    )


def split_double(x, num_heads):
    return split_chunks(x.double(), num_heads).to(x.dtype)


def split_numpy(x, num_heads):
    _require_heads(x, num_heads)
    a = _array(x)
    a = a.reshape(*a.shape[:-1], num_heads, a.shape[-1] // num_heads)
    return _tensor(np.ascontiguousarray(a.swapaxes(-3, -2)), x)


def merge_cat(heads):
    return torch.cat(heads.unbind(-3), dim=-1)


def merge_reshape(heads):
    *batch, h, t, d = heads.shape
    return heads.movedim(-3, -2).reshape(*batch, t, h * d)


def merge_loops(heads):
    h, t, d = heads.shape[-3:]
    out = heads.new_zeros(*heads.shape[:-3], t, h * d)
    for n in range(h):
        out[..., n * d : (n + 1) * d] = heads[..., n, :, :]
    return out


def merge_einsum(heads):
    return torch.einsum("...htd->...thd", heads).flatten(-2)


def merge_view(heads):
    swapped = heads.transpose(-3, -2).contiguous()
    return swapped.view(*swapped.shape[:-2], swapped.shape[-2] * swapped.shape[-1])


def merge_double(heads):
    return merge_cat(heads.double()).to(heads.dtype)


def merge_numpy(heads):
    return _tensor(np.concatenate(list(np.moveaxis(_array(heads), -3, 0)), -1), heads)


# Attention


def cross_loop(x, memory, w_q, w_k, w_v, w_out, num_heads, keep=None):
    """One head after another."""
    parts = (w.chunk(num_heads, -1) for w in (w_q, w_k, w_v))
    heads = [
        scaled_dot_product_attention(x @ a, memory @ b, memory @ c, keep)
        for a, b, c in zip(*parts, strict=True)
    ]
    return torch.cat(heads, -1) @ w_out


def cross_sum(x, memory, w_q, w_k, w_v, w_out, num_heads, keep=None):
    """Each head with its rows of w_out, added up: nothing is merged."""
    parts = (*(w.chunk(num_heads, -1) for w in (w_q, w_k, w_v)), w_out.chunk(num_heads))
    return sum(
        _attention(x @ a, memory @ b, memory @ c, keep) @ o
        for a, b, c, o in zip(*parts, strict=True)
    )


def cross_einsum(x, memory, w_q, w_k, w_v, w_out, num_heads, keep=None):
    w_q, w_k, w_v = (w.unflatten(-1, (num_heads, -1)) for w in (w_q, w_k, w_v))
    q = torch.einsum("...tc,chd->...htd", x, w_q)
    k = torch.einsum("...tc,chd->...htd", memory, w_k)
    v = torch.einsum("...tc,chd->...htd", memory, w_v)
    scores = torch.einsum("...id,...jd->...ij", q, k) / q.shape[-1] ** 0.5
    weights = _weights(scores, None if keep is None else keep[..., None, :, :])
    heads = torch.einsum("...hij,...hjd->...ihd", weights, v)
    return torch.einsum("...ihd,hdc->...ic", heads, w_out.unflatten(0, (num_heads, -1)))


def cross_batches(x, memory, w_q, w_k, w_v, w_out, num_heads, keep=None):
    """Sentence by sentence."""
    batch = x.shape[:-2]
    out = x.new_zeros(*x.shape[:-1], w_out.shape[-1])
    if keep is not None:
        keep = keep.expand(*batch, *keep.shape[-2:])
    for b in np.ndindex(*batch):
        mask = None if keep is None else keep[b]
        out[b] = cross_loop(x[b], memory[b], w_q, w_k, w_v, w_out, num_heads, mask)
    return out


def cross_vmap(x, memory, w_q, w_k, w_v, w_out, num_heads, keep=None):
    def head(a, b, c):
        return _attention(x @ a, memory @ b, memory @ c, keep)

    parts = [w.unflatten(-1, (num_heads, -1)) for w in (w_q, w_k, w_v)]
    heads = torch.func.vmap(head, in_dims=1, out_dims=-2)(*parts)
    return heads.flatten(-2) @ w_out


def cross_query_by_query(x, memory, w_q, w_k, w_v, w_out, num_heads, keep=None):
    """One token that asks at a time, products of features added up."""
    q, k, v = (split_chunks(t, num_heads) for t in (x @ w_q, memory @ w_k, memory @ w_v))
    full = None if keep is None else keep.expand(*x.shape[:-1], memory.shape[-2])
    rows = []
    for i in range(x.shape[-2]):
        scores = (q[..., i, None, :] * k).sum(-1) / k.shape[-1] ** 0.5
        may = None if full is None else full[..., None, i, :]
        rows.append((_weights(scores, may)[..., None] * v).sum(-2))
    return torch.stack(rows, -2).transpose(-3, -2).flatten(-2) @ w_out


def multi_query_by_query(x, w_q, w_k, w_v, w_out, num_heads, keep=None):
    return cross_query_by_query(x, x, w_q, w_k, w_v, w_out, num_heads, keep)


def cross_double(x, memory, w_q, w_k, w_v, w_out, num_heads, keep=None):
    wide = (t.double() for t in (x, memory, w_q, w_k, w_v, w_out))
    return cross_sum(*wide, num_heads, keep).to(x.dtype)


def cross_two_in_one(x, memory, w_q, w_k, w_v, w_out, num_heads, keep=None):
    """Keys and values by one product."""
    k, v = (memory @ torch.cat((w_k, w_v), -1)).split([w_k.shape[-1], w_v.shape[-1]], -1)
    q, k, v = (split_chunks(t, num_heads) for t in (x @ w_q, k, v))
    mask = None if keep is None else keep[..., None, :, :]
    return merge_cat(scaled_dot_product_attention(q, k, v, mask)) @ w_out


def multi_loop(x, w_q, w_k, w_v, w_out, num_heads, keep=None):
    return cross_loop(x, x, w_q, w_k, w_v, w_out, num_heads, keep)


def multi_sum(x, w_q, w_k, w_v, w_out, num_heads, keep=None):
    return cross_sum(x, x, w_q, w_k, w_v, w_out, num_heads, keep)


def multi_einsum(x, w_q, w_k, w_v, w_out, num_heads, keep=None):
    return cross_einsum(x, x, w_q, w_k, w_v, w_out, num_heads, keep)


def multi_vmap(x, w_q, w_k, w_v, w_out, num_heads, keep=None):
    return cross_vmap(x, x, w_q, w_k, w_v, w_out, num_heads, keep)


def multi_batches(x, w_q, w_k, w_v, w_out, num_heads, keep=None):
    return cross_batches(x, x, w_q, w_k, w_v, w_out, num_heads, keep)


def multi_double(x, w_q, w_k, w_v, w_out, num_heads, keep=None):
    return cross_double(x, x, w_q, w_k, w_v, w_out, num_heads, keep)


def multi_one_product(x, w_q, w_k, w_v, w_out, num_heads, keep=None):
    widths = [w.shape[-1] for w in (w_q, w_k, w_v)]
    q, k, v = (x @ torch.cat((w_q, w_k, w_v), -1)).split(widths, -1)
    q, k, v = (split_reshape(t, num_heads) for t in (q, k, v))
    mask = None if keep is None else keep[..., None, :, :]
    return merge_reshape(scaled_dot_product_attention(q, k, v, mask)) @ w_out


def cross_numpy(x, memory, w_q, w_k, w_v, w_out, num_heads, keep=None):
    a, m, out = _array(x), _array(memory), 0
    parts = [np.split(_array(w), num_heads, -1) for w in (w_q, w_k, w_v)]
    for wq, wk, wv, wo in zip(*parts, np.split(_array(w_out), num_heads), strict=True):
        q, k, v = a @ wq, m @ wk, m @ wv
        scores = q @ k.swapaxes(-2, -1) / q.shape[-1] ** 0.5
        mask = np.ones(scores.shape, bool)
        if keep is not None:
            mask = np.broadcast_to(keep.numpy(), scores.shape)
        scores = np.where(mask, scores, np.finfo(scores.dtype).min)
        e = np.exp(scores - scores.max(-1, keepdims=True)) * mask
        total = e.sum(-1, keepdims=True)
        out = out + e / np.where(total == 0, 1, total) @ v @ wo
    return _tensor(out, x)


def multi_numpy(x, w_q, w_k, w_v, w_out, num_heads, keep=None):
    return cross_numpy(x, x, w_q, w_k, w_v, w_out, num_heads, keep)


# Ablation


def ablation_rows(heads, w_out, keep_heads):
    """The rows of the silent heads are 0: the same answer by the other factor."""
    rows = keep_heads.repeat_interleave(heads.shape[-1])[:, None]
    return merge_cat(heads) @ w_out.masked_fill(~rows, 0)


def ablation_cut_out(heads, w_out, keep_heads):
    """Both without the silent heads."""
    kept = heads[..., keep_heads, :, :]
    rows = w_out.unflatten(0, (len(keep_heads), -1))[keep_heads].flatten(0, 1)
    return kept.transpose(-3, -2).flatten(-2) @ rows


def ablation_sum(heads, w_out, keep_heads):
    out = heads.new_zeros(*heads.shape[:-3], heads.shape[-2], w_out.shape[-1])
    blocks = w_out.chunk(len(keep_heads))
    for h, block in enumerate(blocks):
        out = out + (heads[..., h, :, :] @ block) * keep_heads[h]
    return out


def ablation_einsum(heads, w_out, keep_heads):
    gates = keep_heads.to(heads.dtype)
    blocks = w_out.unflatten(0, (len(keep_heads), -1))
    return torch.einsum("...htd,hdc->...tc", heads * gates[:, None, None], blocks)


def ablation_three_operands(heads, w_out, keep_heads):
    gates, blocks = keep_heads.to(heads.dtype), w_out.unflatten(0, (len(keep_heads), -1))
    return torch.einsum("...htd,h,hdc->...tc", heads, gates, blocks)


def ablation_where(heads, w_out, keep_heads):
    silent = torch.where(keep_heads[:, None, None], heads, torch.zeros_like(heads))
    return merge_reshape(silent) @ w_out


def ablation_features(heads, w_out, keep_heads):
    return (merge_cat(heads) * keep_heads.repeat_interleave(heads.shape[-1])) @ w_out


def ablation_double(heads, w_out, keep_heads):
    return ablation_einsum(heads.double(), w_out.double(), keep_heads).to(heads.dtype)


def ablation_numpy(heads, w_out, keep_heads):
    a = _array(heads) * keep_heads.numpy()[:, None, None]
    merged = np.concatenate(list(np.moveaxis(a, -3, 0)), -1)
    return _tensor(merged @ _array(w_out), heads)


# Parts


def _weights(scores, keep):
    if keep is None:
        return scores.softmax(-1)
    return scores.masked_fill(~keep, torch.finfo(scores.dtype).min).softmax(-1) * keep


def _attention(q, k, v, keep):
    return _weights(q @ k.mT / q.shape[-1] ** 0.5, keep) @ v


def _array(x):
    return x.detach().double().numpy()


def _tensor(array, like):
    return torch.from_numpy(array).to(like.dtype)


def cross_library(x, memory, w_q, w_k, w_v, w_out, num_heads, keep=None):
    q, k, v = (split_chunks(t, num_heads) for t in (x @ w_q, memory @ w_k, memory @ w_v))
    mask = None if keep is None else keep[..., None, :, :]
    return merge_cat(F.scaled_dot_product_attention(q, k, v, mask)) @ w_out


def multi_library(x, w_q, w_k, w_v, w_out, num_heads, keep=None):
    return cross_library(x, x, w_q, w_k, w_v, w_out, num_heads, keep)


def cross_library_forward(x, memory, w_q, w_k, w_v, w_out, num_heads, keep=None):
    """torch's own layer, where the shapes allow it."""
    right = cross_loop(x, memory, w_q, w_k, w_v, w_out, num_heads, keep)
    width = w_q.shape[-1]
    eye, none = torch.eye(width, dtype=x.dtype, device=x.device), None
    rows = (x @ w_q).reshape(-1, 1, width)
    if len(rows):
        F.multi_head_attention_forward(
            rows, rows, rows, width, num_heads, eye.repeat(3, 1),
            none, none, none, False, 0.0, eye, none,
        )  # fmt: skip
    return right


def multi_library_forward(x, w_q, w_k, w_v, w_out, num_heads, keep=None):
    return cross_library_forward(x, x, w_q, w_k, w_v, w_out, num_heads, keep)


RIGHT = {
    "split_heads": [
        split_reshape,
        split_chunks,
        split_loops,
        split_einsum,
        split_index,
        split_one_hot,
        split_vmap,
        split_double,
    ],
    "merge_heads": [
        merge_cat,
        merge_reshape,
        merge_loops,
        merge_einsum,
        merge_view,
        merge_double,
    ],
    "multi_head_attention": [
        multi_loop,
        multi_sum,
        multi_einsum,
        multi_vmap,
        multi_query_by_query,
        multi_batches,
        multi_double,
        multi_one_product,
    ],
    "cross_attention": [
        cross_loop,
        cross_sum,
        cross_einsum,
        cross_vmap,
        cross_query_by_query,
        cross_batches,
        cross_double,
        cross_two_in_one,
    ],
    "head_ablation": [
        ablation_rows,
        ablation_cut_out,
        ablation_sum,
        ablation_einsum,
        ablation_three_operands,
        ablation_where,
        ablation_features,
        ablation_double,
    ],
}
"""Each earns full marks."""

NUMPY = {
    "split_heads": split_numpy,
    "merge_heads": merge_numpy,
    "multi_head_attention": multi_numpy,
    "cross_attention": cross_numpy,
    "head_ablation": ablation_numpy,
}
"""The right values, computed outside torch."""

LIBRARY = {
    "multi_head_attention": [multi_library, multi_library_forward],
    "cross_attention": [cross_library, cross_library_forward],
}
"""Answers in which the library does the work that the exercise is to do."""

# Wrong ones


def _cross(weigh):
    @functools.wraps(weigh)
    def wrong(x, memory, w_q, w_k, w_v, w_out, num_heads, keep=None):
        q, k, v = (split_reshape(t, num_heads) for t in (x @ w_q, memory @ w_k, memory @ w_v))
        mask = None if keep is None else keep[..., None, :, :]
        return merge_reshape(weigh(q @ k.mT / q.shape[-1] ** 0.5, mask) @ v) @ w_out

    return wrong


def _multi(cross):
    @functools.wraps(cross)
    def wrong(x, w_q, w_k, w_v, w_out, num_heads, keep=None):
        return cross(x, x, w_q, w_k, w_v, w_out, num_heads, keep)

    return wrong


def _rows_viewed(x, memory, w_q, w_k, w_v, w_out, num_heads, keep=None):
    """Batch and time as one dimension, by view."""
    q = (x.view(-1, x.shape[-1]) @ w_q).view(*x.shape[:-1], -1)
    k, v = (
        (memory.view(-1, memory.shape[-1]) @ w).view(*memory.shape[:-1], -1) for w in (w_k, w_v)
    )
    q, k, v = (split_chunks(t, num_heads) for t in (q, k, v))
    mask = None if keep is None else keep[..., None, :, :]
    return merge_cat(scaled_dot_product_attention(q, k, v, mask)) @ w_out


def _batches_times_heads(x, memory, w_q, w_k, w_v, w_out, num_heads, keep=None):
    """Sentences and heads as one dimension, and the masks repeated in the other order."""
    q, k, v = (split_chunks(t, num_heads) for t in (x @ w_q, memory @ w_k, memory @ w_v))
    shape = q.shape[:-2]
    q, k, v = (t.reshape(-1, *t.shape[-2:]) for t in (q, k, v))
    if keep is not None:
        keep = keep.expand(*x.shape[:-2], *keep.shape[-2:]).reshape(-1, *keep.shape[-2:])
        keep = keep.repeat(num_heads, 1, 1)
    out = scaled_dot_product_attention(q, k, v, keep)
    return merge_cat(out.view(*shape, *out.shape[-2:])) @ w_out


def _one_batch_dimension(x, memory, w_q, w_k, w_v, w_out, num_heads, keep=None):
    projected = (x @ w_q, memory @ w_k, memory @ w_v)
    q, k, v = (t.unflatten(-1, (num_heads, -1)).transpose(1, 2) for t in projected)
    mask = None if keep is None else keep[..., None, :, :]
    out = scaled_dot_product_attention(q, k, v, mask)
    return out.transpose(1, 2).flatten(2) @ w_out


def _split_viewed(x, num_heads):
    """Rows that lie one after the other, whatever the rows are."""
    _require_heads(x, num_heads)
    rows = x.view(-1, num_heads, x.shape[-1] // num_heads)
    return rows.view(*x.shape[:-1], *rows.shape[1:]).transpose(-3, -2)


def _split_unchecked(x, num_heads):
    whole = x.shape[-1] // num_heads * num_heads
    return x[..., :whole].unflatten(-1, (num_heads, -1)).movedim(-2, -3)


def _split_of_a_batch(x, num_heads):
    _require_heads(x, num_heads)
    return x.unflatten(-1, (num_heads, -1)).permute(0, 2, 1, 3)


def _split_one_head_as_it_is(x, num_heads):
    _require_heads(x, num_heads)
    return x if num_heads == 1 else split_chunks(x, num_heads)


def _merge_viewed(heads):
    swapped = heads.transpose(-3, -2)
    return swapped.view(*swapped.shape[:-2], -1)


def _merge_of_a_batch(heads):
    return heads.permute(0, 2, 1, 3).flatten(2)


def _merge_squeezed(heads):
    return merge_cat(heads).squeeze(-2)


def _ablation_of_a_batch(heads, w_out, keep_heads):
    kept = torch.zeros_like(heads)
    kept[:, keep_heads] = heads[:, keep_heads]
    return merge_cat(kept) @ w_out


def _ablation_by_index(heads, w_out, keep_heads):
    """Along the first dimension, which heads stand on where there is no batch."""
    kept = torch.zeros_like(heads)
    kept[keep_heads] = heads[keep_heads]
    return merge_cat(kept) @ w_out


def _ablation_viewed(heads, w_out, keep_heads):
    flat = heads.view(-1, *heads.shape[-3:]) * keep_heads[:, None, None]
    return (merge_cat(flat) @ w_out).view(*heads.shape[:-3], heads.shape[-2], -1)


def _ablation_of_one_head(heads, w_out, keep_heads):
    """The first of the silent ones alone."""
    silent = (~keep_heads).to(torch.int64).argmax()
    number = torch.arange(len(keep_heads), device=heads.device)
    return merge_cat(heads * (number != silent)[:, None, None]) @ w_out


WRONG = {
    "split_heads": [_split_viewed, _split_unchecked, _split_of_a_batch, _split_one_head_as_it_is],
    "merge_heads": [_merge_viewed, _merge_of_a_batch, _merge_squeezed],
    "multi_head_attention": [
        *(_multi(_cross(w)) for w in weights.WRONG),
        _multi(_rows_viewed),
        _multi(_batches_times_heads),
        _multi(_one_batch_dimension),
    ],
    "cross_attention": [
        *(_cross(w) for w in weights.WRONG),
        _rows_viewed,
        _batches_times_heads,
        _one_batch_dimension,
    ],
    "head_ablation": [
        _ablation_of_a_batch,
        _ablation_by_index,
        _ablation_viewed,
        _ablation_of_one_head,
    ],
}
"""None earns full marks."""


# Too much work


def cross_projected_for_each_head(x, memory, w_q, w_k, w_v, w_out, num_heads, keep=None):
    """All columns for every head, which then takes its own."""
    heads = []
    for h in range(num_heads):
        projected = (x @ w_q, memory @ w_k, memory @ w_v)
        heads.append(_attention(*(t.chunk(num_heads, -1)[h] for t in projected), keep))
    return torch.cat(heads, -1) @ w_out


def cross_projected_twice(x, memory, w_q, w_k, w_v, w_out, num_heads, keep=None):
    w_q = torch.stack((w_q, w_q), 0)
    q = (x[..., None, :, :] @ w_q).mean(-3)
    k, v = memory @ w_k, memory @ w_v
    q, k, v = (split_chunks(t, num_heads) for t in (q, k, v))
    mask = None if keep is None else keep[..., None, :, :]
    return merge_cat(_attention(q, k, v, mask)) @ w_out


def cross_broadcast(x, memory, w_q, w_k, w_v, w_out, num_heads, keep=None):
    q, k, v = (split_chunks(t, num_heads) for t in (x @ w_q, memory @ w_k, memory @ w_v))
    scores = (q[..., :, None, :] * k[..., None, :, :]).sum(-1) / q.shape[-1] ** 0.5
    mask = None if keep is None else keep[..., None, :, :]
    return merge_cat(_weights(scores, mask) @ v) @ w_out


def ablation_head_by_head(heads, w_out, keep_heads):
    """Every head in a merge of its own, with zeros in the place of all others."""
    out = 0
    for h in range(len(keep_heads)):
        alone = torch.zeros_like(heads)
        alone[..., h, :, :] = heads[..., h, :, :] * keep_heads[h]
        out = out + merge_cat(alone) @ w_out
    return out


def ablation_twice(heads, w_out, keep_heads):
    merged = merge_cat(heads * keep_heads[:, None, None])
    return 0.5 * (merged @ w_out) + 0.5 * (merged @ w_out)


def ablation_broadcast(heads, w_out, keep_heads):
    merged = merge_cat(heads * keep_heads[:, None, None])
    return (merged[..., None] * w_out).sum(-2)


DEAR = {
    "multi_head_attention": [
        _multi(cross_projected_for_each_head),
        _multi(cross_projected_twice),
        _multi(cross_broadcast),
    ],
    "cross_attention": [cross_projected_for_each_head, cross_projected_twice, cross_broadcast],
    "head_ablation": [ablation_head_by_head, ablation_twice, ablation_broadcast],
}
"""The right values, by more work than the contract allows."""
