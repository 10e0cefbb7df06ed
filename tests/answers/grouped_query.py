"""Answers to chapter 10's exercises: right ones in other styles than the reference, and wrong ones
that are no trap."""

import math
from fractions import Fraction

import numpy as np
import torch
from torch.nn import functional as F

# Key heads beside each other


def heads_by_reshape(kv, num_heads):
    share = _share(num_heads, kv.shape[-3])
    *batch, groups, time, width = kv.shape
    wide = kv.unsqueeze(-3).expand(*batch, groups, share, time, width)
    return wide.reshape(*batch, groups * share, time, width)


def heads_by_index(kv, num_heads):
    share = _share(num_heads, kv.shape[-3])
    return kv[..., torch.arange(num_heads, device=kv.device) // share, :, :]


def heads_one_by_one(kv, num_heads):
    share = _share(num_heads, kv.shape[-3])
    return torch.stack([kv.select(-3, h // share) for h in range(num_heads)], -3)


def heads_stacked(kv, num_heads):
    return torch.stack([kv] * _share(num_heads, kv.shape[-3]), -3).flatten(-4, -3)


def heads_numpy(kv, num_heads):
    return _tensor(np.repeat(_array(kv), _share(num_heads, kv.shape[-3]), axis=-3), kv)


def heads_by_matrix(kv, num_heads):
    """A product with a matrix of zeros and ones."""
    share = _share(num_heads, kv.shape[-3])
    of = torch.arange(num_heads, device=kv.device) // share
    chosen = F.one_hot(of, kv.shape[-3]).to(kv.dtype)
    return torch.einsum("hg,...gtd->...htd", chosen, kv)


def heads_tiled_first(kv, num_heads):
    """All heads behind all heads, and then put in order."""
    share = _share(num_heads, kv.shape[-3])
    tiled = torch.cat([kv] * share, -3)
    return tiled.unflatten(-3, (share, -1)).transpose(-4, -3).flatten(-4, -3)


def _heads_absolute(kv, num_heads):
    return heads_by_index(kv, num_heads).abs()


def _heads_viewed(kv, num_heads):
    share = _share(num_heads, kv.shape[-3])
    rows = kv.view(-1, kv.shape[-3], *kv.shape[-2:])
    return rows.repeat_interleave(share, 1).view(*kv.shape[:-3], num_heads, *kv.shape[-2:])


def _heads_of_the_second(kv, num_heads):
    share = _share(num_heads, kv.shape[-3])
    index = (torch.arange(num_heads, device=kv.device) + 1) // share
    return kv[..., index.clamp_max(kv.shape[-3] - 1), :, :]


# Attention of groups


def grouped_by_einsum(q, k, v, keep=None):
    share = _checked(q, k, keep)
    q = q.unflatten(-3, (-1, share))
    scores = torch.einsum("...gsid,...gjd->...gsij", q, k) / math.sqrt(q.shape[-1])
    weights = _weights(scores, _grouped(keep, share, k.shape[-3]))
    return torch.einsum("...gsij,...gjv->...gsiv", weights, v).flatten(-4, -3)


def grouped_head_by_head(q, k, v, keep=None):
    share, heads = _checked(q, k, keep), []
    for h in range(q.shape[-3]):
        mask = keep
        if keep is not None and keep.ndim > 2:
            mask = keep.select(-3, h if keep.shape[-3] > 1 else 0)
        one, keys, values = (t.select(-3, n) for t, n in ((q, h), (k, h // share), (v, h // share)))
        scores = one @ keys.mT * one.shape[-1] ** -0.5
        heads.append(_weights(scores, mask) @ values)
    return torch.stack(heads, -3)


def grouped_group_by_group(q, k, v, keep=None):
    share, found = _checked(q, k, keep), []
    for g, (keys, values) in enumerate(zip(k.unbind(-3), v.unbind(-3), strict=True)):
        own = q[..., g * share : (g + 1) * share, :, :]
        mask = keep
        if keep is not None and keep.ndim > 2 and keep.shape[-3] > 1:
            mask = keep[..., g * share : (g + 1) * share, :, :]
        rows = own.flatten(-3, -2) * own.shape[-1] ** -0.5
        scores = (rows @ keys.mT).unflatten(-2, own.shape[-3:-1])
        read = _weights(scores, mask).flatten(-3, -2) @ values
        found.append(read.unflatten(-2, own.shape[-3:-1]))
    return torch.cat(found, -3)


def grouped_keys_ask(q, k, v, keep=None):
    """Keys stand on the left, and what comes out is turned."""
    share = _checked(q, k, keep)
    time = q.shape[-2]
    rows = q.unflatten(-3, (-1, share)).flatten(-3, -2) * q.shape[-1] ** -0.5
    scores = (k @ rows.mT).mT.unflatten(-2, (share, time))
    weights = _weights(scores, _grouped(keep, share, k.shape[-3])).flatten(-3, -2)
    return (weights @ v).unflatten(-2, (share, time)).flatten(-4, -3)


def grouped_flat_batch(q, k, v, keep=None):
    share = _checked(q, k, keep)
    *batch, heads, time, width = q.shape
    keys = k.shape[-2]
    rows = q.reshape(-1, share * time, width)
    scores = torch.bmm(rows, k.reshape(-1, keys, width).mT) * width**-0.5
    scores = scores.reshape(*batch, heads, time, keys)
    weights = _weights(scores, keep).reshape(-1, share * time, keys)
    return torch.bmm(weights, v.reshape(-1, keys, v.shape[-1])).reshape(*batch, heads, time, -1)


def grouped_numpy(q, k, v, keep=None):
    share = _checked(q, k, keep)
    a, b, c = _array(q), *(np.repeat(_array(t), share, axis=-3) for t in (k, v))
    scores = a @ np.swapaxes(b, -1, -2) / math.sqrt(a.shape[-1])
    mask = np.ones(1, bool) if keep is None else keep.detach().cpu().numpy()
    scores = np.where(mask, scores, np.finfo(scores.dtype).min)
    e = np.exp(scores - scores.max(-1, keepdims=True))
    return _tensor((e / e.sum(-1, keepdims=True) * mask) @ c, q)


def grouped_library(q, k, v, keep=None):
    _checked(q, k, keep)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=keep, enable_gqa=True)


def grouped_library_expanded(q, k, v, keep=None):
    share = _checked(q, k, keep)
    k, v = (t.repeat_interleave(share, -3) for t in (k, v))
    return F.scaled_dot_product_attention(q, k, v, attn_mask=keep)


def grouped_repeated(q, k, v, keep=None):
    share = _checked(q, k, keep)
    return _plain(q, k.repeat_interleave(share, -3), v.repeat_interleave(share, -3), keep)


def grouped_expanded(q, k, v, keep=None):
    heads = q.shape[-3]
    _checked(q, k, keep)
    return _plain(q, heads_by_reshape(k, heads), heads_by_reshape(v, heads), keep)


def grouped_indexed(q, k, v, keep=None):
    _checked(q, k, keep)
    return _plain(q, *(heads_by_index(t, q.shape[-3]) for t in (k, v)), keep)


def grouped_broadcast(q, k, v, keep=None):
    """A product that broadcasts copies what it broadcasts."""
    share = _checked(q, k, keep)
    q = q.unflatten(-3, (-1, share))
    scores = q @ k.unsqueeze(-3).mT * q.shape[-1] ** -0.5
    weights = _weights(scores, _grouped(keep, share, k.shape[-3]))
    return (weights @ v.unsqueeze(-3)).flatten(-4, -3)


def grouped_values_repeated(q, k, v, keep=None):
    """Keys are read once and values are copied."""
    share = _checked(q, k, keep)
    rows = q.unflatten(-3, (-1, share)).flatten(-3, -2)
    scores = (rows @ k.mT * q.shape[-1] ** -0.5).reshape(*q.shape[:-1], -1)
    return _weights(scores, keep) @ v.repeat_interleave(share, -3)


def grouped_head_copies(q, k, v, keep=None):
    """Each head's keys and values are copied as its turn comes."""
    share, heads = _checked(q, k, keep), []
    for h in range(q.shape[-3]):
        mask = keep
        if keep is not None and keep.ndim > 2:
            mask = keep.select(-3, h if keep.shape[-3] > 1 else 0)
        keys, values = (t.select(-3, h // share).clone() for t in (k, v))
        heads.append(_plain(q.select(-3, h), keys, values, mask))
    return torch.stack(heads, -3)


def grouped_all_with_all(q, k, v, keep=None):
    """Every query head with every key head, and of the scores those that count."""
    share = _checked(q, k, keep)
    heads, groups = q.shape[-3], k.shape[-3]
    scores = torch.einsum("...hid,...gjd->...hgij", q, k) * q.shape[-1] ** -0.5
    own = torch.arange(heads, device=q.device) // share
    index = own[:, None, None, None].expand(*scores.shape[:-3], 1, *scores.shape[-2:])
    weights = _weights(scores.gather(-3, index).squeeze(-3), keep)
    return (
        torch.einsum("...hij,...gjv->...hgiv", weights, v)
        * F.one_hot(own, groups).to(q.dtype)[:, :, None, None]
    ).sum(-3)


def _grouped_first_half(q, k, v, keep=None):
    """Of keys and values only the first half."""
    half = -(-k.shape[-2] // 2)
    keep = None if keep is None else keep[..., :half]
    return grouped_by_einsum(q, k[..., :half, :], v[..., :half, :], keep)


def _grouped_viewed(q, k, v, keep=None):
    share = _checked(q, k, keep)
    rows = q.view(*k.shape[:-2], share * q.shape[-2], q.shape[-1])
    scores = (rows @ k.mT * q.shape[-1] ** -0.5).view(*q.shape[:-1], -1)
    weights = _weights(scores, keep).view(*rows.shape[:-1], -1)
    return (weights @ v).view(*q.shape[:-1], -1)


def _grouped_dropout(q, k, v, keep=None):
    return F.dropout(grouped_by_einsum(q, k, v, keep), 0.1)


def _grouped_by_pairs(q, k, v, keep=None):
    """Groups of two, however many there should be."""
    _checked(q, k, keep)
    index = (torch.arange(q.shape[-3], device=q.device) // 2).clamp_max(k.shape[-3] - 1)
    return _plain(q, k[..., index, :, :], v[..., index, :, :], keep)


# A checkpoint with fewer heads


def pool_by_reshape(w_k, w_v, num_heads, num_kv_heads):
    share = _rows(w_k, w_v, num_heads, num_kv_heads)
    made = []
    for w in (w_k, w_v):
        width = w.shape[0] // num_heads
        heads = w.reshape(num_kv_heads, share, width, *w.shape[1:])
        made.append((heads.sum(1) / share).reshape(num_kv_heads * width, *w.shape[1:]))
    return tuple(made)


def pool_by_slices(w_k, w_v, num_heads, num_kv_heads):
    share = _rows(w_k, w_v, num_heads, num_kv_heads)

    def one(w):
        heads = w.split(w.shape[0] // num_heads)
        groups = (heads[g * share : (g + 1) * share] for g in range(num_kv_heads))
        return torch.cat([torch.stack(group).mean(0) for group in groups])

    return one(w_k), one(w_v)


def pool_by_chunks(w_k, w_v, num_heads, num_kv_heads):
    _rows(w_k, w_v, num_heads, num_kv_heads)
    share = num_heads // num_kv_heads
    return tuple(
        torch.cat([sum(group.chunk(share)) / share for group in w.chunk(num_kv_heads)])
        for w in (w_k, w_v)
    )


def pool_by_steps(w_k, w_v, num_heads, num_kv_heads):
    """Number s of each group at once."""
    share = _rows(w_k, w_v, num_heads, num_kv_heads)
    found = []
    for w in (w_k, w_v):
        heads = w.unflatten(0, (num_heads, -1))
        total = heads[::share]
        for s in range(1, share):
            total = total + heads[s::share]
        found.append((total / share).flatten(0, 1))
    return found[0], found[1]


def pool_viewed(w_k, w_v, num_heads, num_kv_heads):
    share = _rows(w_k, w_v, num_heads, num_kv_heads)
    w_k, w_v = (
        w.view(num_kv_heads, share, -1, *w.shape[1:]).mean(dim=1).flatten(0, 1) for w in (w_k, w_v)
    )
    return w_k, w_v


def pool_numpy(w_k, w_v, num_heads, num_kv_heads):
    share = _rows(w_k, w_v, num_heads, num_kv_heads)
    return tuple(
        _tensor(
            _array(w)
            .reshape(num_kv_heads, share, -1, *w.shape[1:])
            .mean(1)
            .reshape(-1, *w.shape[1:]),
            w,
        )
        for w in (w_k, w_v)
    )


def pool_by_matrix(w_k, w_v, num_heads, num_kv_heads):
    """A product with a matrix for all rows."""
    share = _rows(w_k, w_v, num_heads, num_kv_heads)
    made = []
    for w in (w_k, w_v):
        width = w.shape[0] // num_heads
        eye = torch.eye(num_kv_heads, dtype=w.dtype, device=w.device)
        mean = torch.kron(eye.repeat_interleave(share, 1) / share, torch.eye(width).to(eye))
        made.append(torch.tensordot(mean, w, 1))
    return tuple(made)


def _pool_shuffled(w_k, w_v, num_heads, num_kv_heads):
    """Last heads first."""
    _rows(w_k, w_v, num_heads, num_kv_heads)
    turned = (w.unflatten(0, (num_heads, -1)).flip(0).flatten(0, 1) for w in (w_k, w_v))
    return pool_by_slices(*turned, num_heads, num_kv_heads)


def _pool_of_pairs(w_k, w_v, num_heads, num_kv_heads):
    """Neighbours averaged again and again, while there are too many."""
    _rows(w_k, w_v, num_heads, num_kv_heads)
    while num_heads > num_kv_heads:
        w_k, w_v = pool_by_slices(w_k, w_v, num_heads, num_heads // 2)
        num_heads //= 2
    return w_k, w_v


def _pool_rounded(w_k, w_v, num_heads, num_kv_heads):
    w_k, w_v = pool_by_slices(w_k, w_v, num_heads, num_kv_heads)
    return w_k.round(decimals=3), w_v.round(decimals=3)


# Plans


def users_by_fractions(model, context, memory_gb, weight_bits=16, cache_bits=16):
    _plan(model, context)
    weights = math.ceil(Fraction(model["parameters"] * weight_bits, 8))
    kept = 2 * model["layers"] * model["kv_heads"] * model["head_width"]
    token = math.ceil(Fraction(kept * cache_bits, 8))
    users = math.floor(Fraction(memory_gb * 1_000_000_000 - weights, context * token))
    return weights, token, max(users, 0)


def users_by_divmod(model, context, memory_gb, weight_bits=16, cache_bits=16):
    _plan(model, context)
    weights, rest = divmod(model["parameters"] * weight_bits, 8)
    weights += rest > 0
    token = model["kv_heads"] * model["head_width"] * cache_bits * model["layers"] // 4
    room = memory_gb * 1000**3 - weights
    return weights, token, divmod(room, token * context)[0] if room > 0 else 0


def users_layer_by_layer(model, context, memory_gb, weight_bits=16, cache_bits=16):
    _plan(model, context)
    weights = (model["parameters"] * weight_bits + 7) // 8
    token = 0
    for _layer in range(model["layers"]):
        for _kind in ("key", "value"):
            token += model["kv_heads"] * model["head_width"] * cache_bits
    token = (token + 7) // 8
    return weights, token, max((memory_gb * 10**9 - weights) // (token * context), 0)


def _users_for_two(model, context, memory_gb, weight_bits=16, cache_bits=16):
    """Two GPUs for one."""
    return users_by_divmod(model, context, 2 * memory_gb, weight_bits, cache_bits)


def _users_with_activations(model, context, memory_gb, weight_bits=16, cache_bits=16):
    weights, token, _ = users_by_divmod(model, context, memory_gb, weight_bits, cache_bits)
    left = memory_gb * 10**9 - weights - 1_500_000_000
    return weights, token, max(0, left // (token * context))


def _users_counted(model, context, memory_gb, weight_bits=16, cache_bits=16):
    weights, token, users = users_by_divmod(model, context, memory_gb, weight_bits, cache_bits)
    return weights, token, min(users, 1024)


def _share(heads, groups):
    if heads < 1 or heads % groups:
        raise ValueError(f"{groups} key heads, {heads} query heads")
    return heads // groups


def _checked(q, k, keep):
    if keep is not None and keep.dtype != torch.bool:
        raise TypeError("keep must be bool")
    return _share(q.shape[-3], k.shape[-3])


def _grouped(keep, share, groups):
    """The mask with a dimension for groups, and one for the heads of each."""
    if keep is None or keep.ndim < 3:
        return keep
    return keep.unsqueeze(-3) if keep.shape[-3] == 1 else keep.unflatten(-3, (groups, share))


def _weights(scores, keep):
    if keep is None:
        return scores.softmax(-1)
    lowest = torch.finfo(scores.dtype).min
    return torch.where(keep, torch.where(keep, scores, lowest).softmax(-1), 0)


def _plain(q, k, v, keep):
    return _weights(q @ k.mT * q.shape[-1] ** -0.5, keep) @ v


def _rows(w_k, w_v, heads, groups):
    if w_k.shape[0] % heads or w_v.shape[0] % heads:
        raise ValueError("rows that are no heads")
    return _share(heads, groups)


def _plan(model, context):
    _share(model["heads"], model["kv_heads"])
    if context < 1:
        raise ValueError("no context")


def _array(t):
    return t.detach().cpu().double().numpy()


def _tensor(a, like):
    return torch.from_numpy(np.ascontiguousarray(a)).to(like.device, like.dtype)


RIGHT = {
    "expand_kv_heads": [
        heads_by_reshape,
        heads_by_index,
        heads_one_by_one,
        heads_stacked,
    ],
    "grouped_query_attention": [
        grouped_by_einsum,
        grouped_head_by_head,
        grouped_group_by_group,
        grouped_keys_ask,
        grouped_flat_batch,
    ],
    "pool_kv_heads": [
        pool_by_reshape,
        pool_by_slices,
        pool_by_chunks,
        pool_by_steps,
        pool_viewed,
    ],
    "concurrent_users": [users_by_fractions, users_by_divmod, users_layer_by_layer],
}

NUMPY = {
    "expand_kv_heads": heads_numpy,
    "grouped_query_attention": grouped_numpy,
    "pool_kv_heads": pool_numpy,
}
"""The right values, computed outside torch."""

LIBRARY = {"grouped_query_attention": [grouped_library, grouped_library_expanded]}
"""Answers in which the library does the work that the exercise is to do."""

WRONG = {
    "expand_kv_heads": [_heads_absolute, _heads_viewed, _heads_of_the_second],
    "grouped_query_attention": [
        _grouped_first_half,
        _grouped_viewed,
        _grouped_dropout,
        _grouped_by_pairs,
    ],
    "pool_kv_heads": [_pool_shuffled, _pool_of_pairs, _pool_rounded],
    "concurrent_users": [_users_for_two, _users_with_activations, _users_counted],
}
"""None earns full marks."""

DEAR = {
    "expand_kv_heads": [heads_by_matrix, heads_tiled_first],
    "grouped_query_attention": [
        grouped_repeated,
        grouped_expanded,
        grouped_indexed,
        grouped_broadcast,
        grouped_values_repeated,
        grouped_head_copies,
        grouped_all_with_all,
    ],
    "pool_kv_heads": [pool_by_matrix],
}
"""The right values, by more work than the contract allows."""
