"""Chapter 10's wrong answers as different people would write them, by those who wrote the traps:
not blind."""

import math

import torch
from fresh import answer
from torch import Tensor
from torch.nn import functional as F

# which head reads which?


# repeat, as in numpy's tile
@answer("tiled groups")
def expand_kv_heads__w01(kv: Tensor, num_heads: int) -> Tensor:
    groups = kv.size(-3)
    if num_heads % groups:
        raise ValueError(f"{num_heads} is no multiple of {groups}")
    repeats = [1] * kv.ndim
    repeats[-3] = num_heads // groups
    return kv.repeat(*repeats)


# expand on the wrong side of the heads
@answer("tiled groups")
def expand_kv_heads__w02(kv: Tensor, num_heads: int) -> Tensor:
    *lead, groups, time, width = kv.shape
    n, rest = divmod(num_heads, groups)
    if rest or not n:
        raise ValueError((num_heads, groups))
    wide = kv[..., None, :, :, :].expand(*lead, n, groups, time, width)
    return wide.reshape(*lead, num_heads, time, width)


# head h reads h modulo G
@answer("tiled groups")
def expand_kv_heads__w03(kv: Tensor, num_heads: int) -> Tensor:
    groups = kv.shape[-3]
    if num_heads % groups:
        raise ValueError("heads")
    return torch.stack([kv[..., h % groups, :, :] for h in range(num_heads)], dim=-3)


# no error for what does not divide
@answer("heads that do not divide")
def expand_kv_heads__w04(kv: Tensor, num_heads: int) -> Tensor:
    return torch.repeat_interleave(kv, num_heads // kv.shape[-3], dim=-3)


# dim=1, as in the code of every model
@answer("axes counted from the front")
def expand_kv_heads__w05(kv: Tensor, num_heads: int) -> Tensor:
    if num_heads % kv.shape[1]:
        raise ValueError("no multiple")
    return kv.repeat_interleave(num_heads // kv.shape[1], dim=1)


# Hugging Face's repeat_kv, four names
@answer("exactly one batch dimension")
def expand_kv_heads__w06(kv: Tensor, num_heads: int) -> Tensor:
    batch, groups, time, width = kv.shape
    if num_heads % groups:
        raise ValueError("no multiple")
    n_rep = num_heads // groups
    wide = kv[:, :, None, :, :].expand(batch, groups, n_rep, time, width)
    return wide.reshape(batch, groups * n_rep, time, width)


# num_heads taken for how often
@answer("each head num_heads times")
def expand_kv_heads__w07(kv: Tensor, num_heads: int) -> Tensor:
    if num_heads % kv.shape[-3]:
        raise ValueError("no multiple")
    return kv.repeat_interleave(num_heads, dim=-3)


# the copies behind time, put right by force
@answer("repeated along time")
def expand_kv_heads__w08(kv: Tensor, num_heads: int) -> Tensor:
    n = num_heads // kv.shape[-3]
    if n * kv.shape[-3] != num_heads:
        raise ValueError("no multiple")
    wide = torch.stack([kv] * n, dim=-2)
    return wide.reshape(*kv.shape[:-3], num_heads, *kv.shape[-2:])


# time doubled
@answer("repeated along time")
def expand_kv_heads__w09(kv: Tensor, num_heads: int) -> Tensor:
    if num_heads % kv.shape[-3]:
        raise ValueError("no multiple")
    return kv.repeat_interleave(num_heads // kv.shape[-3], dim=-2)


# mean key head, in the manner of multi-query
@answer("one head for all")
def expand_kv_heads__w10(kv: Tensor, num_heads: int) -> Tensor:
    if num_heads % kv.shape[-3]:
        raise ValueError("no multiple")
    mean = kv.mean(dim=-3, keepdim=True)
    return mean.repeat_interleave(num_heads, dim=-3)


# a view with one dimension more
@answer("left in groups")
def expand_kv_heads__w11(kv: Tensor, num_heads: int) -> Tensor:
    groups = kv.shape[-3]
    if num_heads % groups:
        raise ValueError("no multiple")
    return torch.stack([kv for _ in range(num_heads // groups)], dim=-3)


# float, to be on the safe side
@answer("single precision whatever comes in")
def expand_kv_heads__w12(kv: Tensor, num_heads: int) -> Tensor:
    if num_heads % kv.shape[-3]:
        raise ValueError("no multiple")
    return kv.to(torch.float32).repeat_interleave(num_heads // kv.shape[-3], dim=-3)


# attention of groups


def _hide(scores, keep):
    if keep is None:
        return scores.softmax(-1)
    if keep.dtype is not torch.bool:
        raise TypeError("keep is bool")
    low = torch.finfo(scores.dtype).min
    return scores.masked_fill(~keep, low).softmax(-1) * keep


def _times(q, k):
    if q.shape[-3] % k.shape[-3]:
        raise ValueError("heads")
    return q.shape[-3] // k.shape[-3]


# q cut as (H / G, G)
@answer("tiled groups")
def grouped_query_attention__w01(q, k, v, keep=None):
    n = _times(q, k)
    cut = q.unflatten(-3, (n, k.shape[-3])).transpose(-4, -3)
    rows = cut.flatten(-3, -2)
    scores = (rows @ k.mT / math.sqrt(q.shape[-1])).unflatten(-2, (n, q.shape[-2]))
    scores = scores.transpose(-4, -3).flatten(-4, -3)
    weights = _hide(scores, keep).unflatten(-3, (n, -1)).transpose(-4, -3).flatten(-3, -2)
    out = (weights @ v).unflatten(-2, (n, q.shape[-2]))
    return out.transpose(-4, -3).flatten(-4, -3)


# keys beside themselves, values behind each other
@answer("tiled groups")
def grouped_query_attention__w02(q, k, v, keep=None):
    n = _times(q, k)
    k = k.repeat_interleave(n, -3)
    v = torch.cat([v] * n, -3)
    return _hide(q @ k.mT * q.shape[-1] ** -0.5, keep) @ v


# the size of a group is G
@answer("G taken for the size of a group")
def grouped_query_attention__w03(q, k, v, keep=None):
    _times(q, k)
    groups, heads = k.shape[-3], []
    for h in range(q.shape[-3]):
        own = min(h // groups, groups - 1)
        mask = keep
        if keep is not None and keep.ndim > 2:
            mask = keep[..., h if keep.shape[-3] > 1 else 0, :, :]
        scores = q[..., h, :, :] @ k[..., own, :, :].mT * q.shape[-1] ** -0.5
        heads.append(_hide(scores, mask) @ v[..., own, :, :])
    return torch.stack(heads, -3)


# only for one batch dimension
@answer("exactly one batch dimension")
def grouped_query_attention__w04(q, k, v, keep=None):
    b, h, t, d = q.shape
    _, g, s, _ = k.shape
    if h % g:
        raise ValueError("heads")
    rows = q.reshape(b, g, h // g * t, d)
    scores = torch.matmul(rows, k.transpose(2, 3)) / d**0.5
    weights = _hide(scores.reshape(b, h, t, s), keep)
    return torch.matmul(weights.reshape(b, g, -1, s), v).reshape(b, h, t, -1)


# no mask for groups: broadcast as it comes
@answer("the mask on the wrong axis")
def grouped_query_attention__w05(q, k, v, keep=None):
    n = _times(q, k)
    grouped = q.unflatten(-3, (k.shape[-3], n))
    scores = torch.einsum("...hqd,...kd->...hqk", grouped.flatten(-3, -2).unsqueeze(-3), k)
    scores = scores.squeeze(-3).unflatten(-2, (n, q.shape[-2])) * q.shape[-1] ** -0.5
    weights = _hide(scores, keep)
    return torch.einsum("...hqk,...kd->...hqd", weights, v).flatten(-4, -3)


# one query's row of the mask for its neighbours in the group
@answer("the mask's rows side by side")
def grouped_query_attention__w06(q, k, v, keep=None):
    n, t = _times(q, k), q.shape[-2]
    rows = q.unflatten(-3, (-1, n)).flatten(-3, -2)
    scores = rows @ k.mT * q.shape[-1] ** -0.5
    if keep is not None and keep.dtype != torch.bool:
        raise TypeError("bool")
    if keep is not None:
        if keep.ndim > 2 and keep.shape[-3] > 1:
            keep = keep.unflatten(-3, (-1, n)).transpose(-3, -2).flatten(-3, -2)
        elif keep.shape[-2] > 1:
            keep = keep.repeat_interleave(n, -2)
    weights = _hide(scores, keep)
    return (weights @ v).unflatten(-2, (n, t)).flatten(-4, -3)


# rows come back as (Tq, H / G)
@answer("rows of a group mixed up")
def grouped_query_attention__w07(q, k, v, keep=None):
    n, t = _times(q, k), q.shape[-2]
    rows = q.unflatten(-3, (-1, n)).flatten(-3, -2)
    scores = (rows @ k.mT * q.shape[-1] ** -0.5).reshape(*q.shape[:-1], -1)
    weights = _hide(scores, keep).reshape(*rows.shape[:-1], -1)
    out = (weights @ v).unflatten(-2, (t, n)).transpose(-3, -2)
    return out.flatten(-4, -3)


# queries of a group averaged
@answer("the queries of a group averaged")
def grouped_query_attention__w08(q, k, v, keep=None):
    n = _times(q, k)
    mean = q.unflatten(-3, (-1, n)).mean(-3).repeat_interleave(n, -3)
    k, v = k.repeat_interleave(n, -3), v.repeat_interleave(n, -3)
    return _hide(mean @ k.mT / q.shape[-1] ** 0.5, keep) @ v


# the first key head for all: multi-query
@answer("one key head for all")
def grouped_query_attention__w09(q, k, v, keep=None):
    _times(q, k)
    k, v = k[..., :1, :, :], v[..., :1, :, :]
    return _hide(q @ k.mT / q.shape[-1] ** 0.5, keep) @ v


# no groups
@answer("no groups at all")
def grouped_query_attention__w10(q, k, v, keep=None):
    _times(q, k)
    return _hide(q @ k.mT / math.sqrt(q.shape[-1]), keep) @ v


# no error
@answer("heads that do not divide")
def grouped_query_attention__w11(q, k, v, keep=None):
    n = q.shape[-3] // k.shape[-3]
    k, v = k.repeat_interleave(n, -3), v.repeat_interleave(n, -3)
    return _hide(q @ k.mT * q.shape[-1] ** -0.5, keep) @ v


# mask of one head for its group
@answer("one mask for a group")
def grouped_query_attention__w12(q, k, v, keep=None):
    n = _times(q, k)
    if keep is not None and keep.ndim > 2 and keep.shape[-3] > 1:
        keep = keep[..., ::n, :, :].repeat_interleave(n, -3)
    k, v = k.repeat_interleave(n, -3), v.repeat_interleave(n, -3)
    return _hide(q @ k.mT * q.shape[-1] ** -0.5, keep) @ v


# -inf, and nan where nothing may be read
@answer("the row that may read nothing")
def grouped_query_attention__w13(q, k, v, keep=None):
    n = _times(q, k)
    k, v = (t.repeat_interleave(n, -3) for t in (k, v))
    scores = q @ k.mT * q.shape[-1] ** -0.5
    if keep is not None:
        if keep.dtype != torch.bool:
            raise TypeError("bool")
        scores = scores.masked_fill(~keep, float("-inf"))
    return scores.softmax(-1) @ v


# fill and no zeros
@answer("nothing to read, so everything is read")
def grouped_query_attention__w14(q, k, v, keep=None):
    n = _times(q, k)
    rows = q.unflatten(-3, (-1, n)).flatten(-3, -2)
    scores = (rows @ k.mT * q.shape[-1] ** -0.5).reshape(*q.shape[:-1], -1)
    if keep is not None:
        if keep.dtype != torch.bool:
            raise TypeError("bool")
        scores = scores.masked_fill(~keep, torch.finfo(scores.dtype).min)
    weights = scores.softmax(-1).reshape(*rows.shape[:-1], -1)
    return (weights @ v).reshape(*q.shape[:-1], -1)


# the scale forgotten
@answer("no scale")
def grouped_query_attention__w15(q, k, v, keep=None):
    n = _times(q, k)
    k, v = (t.repeat_interleave(n, -3) for t in (k, v))
    return _hide(q @ k.mT, keep) @ v


# the scale of the whole width
@answer("scaled by another size")
def grouped_query_attention__w16(q, k, v, keep=None):
    n = _times(q, k)
    k, v = (t.repeat_interleave(n, -3) for t in (k, v))
    return _hide(q @ k.mT / math.sqrt(q.shape[-1] * q.shape[-3]), keep) @ v


# answers of groups
@answer("left in groups")
def grouped_query_attention__w17(q, k, v, keep=None):
    n = _times(q, k)
    k, v = (t.repeat_interleave(n, -3) for t in (k, v))
    out = _hide(q @ k.mT / math.sqrt(q.shape[-1]), keep) @ v
    return out.unflatten(-3, (-1, n))


# everything in order (H / G, G) on the way out
@answer("heads out of order")
def grouped_query_attention__w18(q, k, v, keep=None):
    n = _times(q, k)
    k, v = (t.repeat_interleave(n, -3) for t in (k, v))
    out = _hide(q @ k.mT / math.sqrt(q.shape[-1]), keep) @ v
    return out.unflatten(-3, (-1, n)).transpose(-4, -3).flatten(-4, -3)


# torch's own
@answer()
def grouped_query_attention__w19(q, k, v, keep=None):
    _times(q, k)
    if keep is not None and keep.dtype != torch.bool:
        raise TypeError("bool")
    return F.scaled_dot_product_attention(q, k, v, keep, enable_gqa=True)


# right values, and copies
@answer()
def grouped_query_attention__w20(q, k, v, keep=None):
    n = _times(q, k)
    k, v = (t.repeat_interleave(n, -3) for t in (k, v))
    return _hide(q @ k.mT / math.sqrt(q.shape[-1]), keep) @ v


# a checkpoint with fewer heads


def _per(w, heads, groups):
    if heads % groups or w.shape[0] % heads:
        raise ValueError("heads")
    return heads // groups, w.shape[0] // heads


# view as (H / G, G, D)
@answer("heads far apart")
def pool_kv_heads__w01(w_k, w_v, num_heads, num_kv_heads):
    out = []
    for w in (w_k, w_v):
        n, d = _per(w, num_heads, num_kv_heads)
        out.append(w.reshape(n, num_kv_heads, d, *w.shape[1:]).mean(0).reshape(-1, *w.shape[1:]))
    return tuple(out)


# summed
@answer("a sum instead of a mean")
def pool_kv_heads__w02(w_k, w_v, num_heads, num_kv_heads):
    out = []
    for w in (w_k, w_v):
        n, d = _per(w, num_heads, num_kv_heads)
        out.append(w.reshape(num_kv_heads, n, d, *w.shape[1:]).sum(1).reshape(-1, *w.shape[1:]))
    return tuple(out)


# every few rows
@answer("neighbouring rows")
def pool_kv_heads__w03(w_k, w_v, num_heads, num_kv_heads):
    out = []
    for w in (w_k, w_v):
        n, _ = _per(w, num_heads, num_kv_heads)
        out.append(torch.stack([rows.mean(0) for rows in w.split(n)]))
    return tuple(out)


# the values forgotten
@answer("only the keys")
def pool_kv_heads__w04(w_k, w_v, num_heads, num_kv_heads):
    _per(w_v, num_heads, num_kv_heads)
    n, d = _per(w_k, num_heads, num_kv_heads)
    w_k = w_k.reshape(num_kv_heads, n, d, *w_k.shape[1:]).mean(1).flatten(0, 1)
    return w_k, w_v


# D of the keys for both
@answer("one width for both")
def pool_kv_heads__w05(w_k, w_v, num_heads, num_kv_heads):
    _per(w_v, num_heads, num_kv_heads)
    n, d = _per(w_k, num_heads, num_kv_heads)
    return tuple(
        w.unflatten(0, (num_kv_heads, n, d)).mean(1).reshape(num_kv_heads * d, *w.shape[1:])
        for w in (w_k, w_v)
    )


# first head of each group
@answer("one head of each group")
def pool_kv_heads__w06(w_k, w_v, num_heads, num_kv_heads):
    out = []
    for w in (w_k, w_v):
        n, d = _per(w, num_heads, num_kv_heads)
        kept = [w[g * n * d : g * n * d + d] for g in range(num_kv_heads)]
        out.append(torch.cat(kept))
    return tuple(out)


# rows and columns, two dimensions
@answer("exactly two dimensions")
def pool_kv_heads__w07(w_k, w_v, num_heads, num_kv_heads):
    def pool(w):
        n, d = _per(w, num_heads, num_kv_heads)
        _, columns = w.shape
        return w.view(num_kv_heads, n, d, columns).mean(dim=1).view(num_kv_heads * d, columns)

    return pool(w_k), pool(w_v)


# weights on the right
@answer("columns instead of rows")
def pool_kv_heads__w08(w_k, w_v, num_heads, num_kv_heads):
    def pool(w):
        _per(w, num_heads, num_kv_heads)
        return w.unflatten(-1, (num_kv_heads, num_heads // num_kv_heads, -1)).mean(-2).flatten(-2)

    return pool(w_k), pool(w_v)


# one for all
@answer("one head for all groups")
def pool_kv_heads__w09(w_k, w_v, num_heads, num_kv_heads):
    def pool(w):
        _, d = _per(w, num_heads, num_kv_heads)
        mean = w.reshape(num_heads, d, *w.shape[1:]).mean(0)
        return torch.cat([mean] * num_kv_heads)

    return pool(w_k), pool(w_v)


# repeated again, so that the shapes are those of the model
@answer("as many rows as before")
def pool_kv_heads__w10(w_k, w_v, num_heads, num_kv_heads):
    def pool(w):
        n, d = _per(w, num_heads, num_kv_heads)
        mean = w.reshape(num_kv_heads, n, d, *w.shape[1:]).mean(1)
        return mean.repeat_interleave(n, 0).flatten(0, 1)

    return pool(w_k), pool(w_v)


# written into the checkpoint
@answer("the checkpoint overwritten")
def pool_kv_heads__w11(w_k, w_v, num_heads, num_kv_heads):
    out = []
    for w in (w_k, w_v):
        n, d = _per(w, num_heads, num_kv_heads)
        heads = w.reshape(num_kv_heads, n, d, *w.shape[1:])
        for s in range(1, n):
            heads[:, 0] += heads[:, s]
        heads[:, 0] /= n
        out.append(heads[:, 0].flatten(0, 1).clone())
    return tuple(out)


# how many users?


def _refuse(model, context):
    if context < 1 or model["heads"] % model["kv_heads"]:
        raise ValueError("no plan")


# heads for kv_heads
@answer("a cache of all query heads")
def concurrent_users__w01(model, context, memory_gb, weight_bits=16, cache_bits=16):
    _refuse(model, context)
    weights = (model["parameters"] * weight_bits + 7) // 8
    token = 2 * model["layers"] * model["heads"] * model["head_width"] * cache_bits // 8
    return weights, token, max(0, (memory_gb * 10**9 - weights) // (token * context))


# the model's width
@answer("a cache of all query heads")
def concurrent_users__w02(model, context, memory_gb, weight_bits=16, cache_bits=16):
    _refuse(model, context)
    weights = (model["parameters"] * weight_bits + 7) // 8
    token = 2 * model["layers"] * model["width"] * cache_bits // 8
    return weights, token, max(0, (memory_gb * 10**9 - weights) // (token * context))


# 1024 three times
@answer("a GB of 2³⁰ bytes")
def concurrent_users__w03(model, context, memory_gb, weight_bits=16, cache_bits=16):
    _refuse(model, context)
    weights = math.ceil(model["parameters"] * weight_bits / 8)
    token = 2 * model["layers"] * model["kv_heads"] * model["head_width"] * cache_bits // 8
    return weights, token, max(0, (memory_gb * 1024**3 - weights) // (token * context))


# keys alone
@answer("keys without values")
def concurrent_users__w04(model, context, memory_gb, weight_bits=16, cache_bits=16):
    _refuse(model, context)
    weights = math.ceil(model["parameters"] * weight_bits / 8)
    token = model["layers"] * model["kv_heads"] * model["head_width"] * cache_bits // 8
    return weights, token, max(0, (memory_gb * 10**9 - weights) // (token * context))


# bytes a number first
@answer("4 bits are no byte")
def concurrent_users__w05(model, context, memory_gb, weight_bits=16, cache_bits=16):
    _refuse(model, context)
    weights = model["parameters"] * (weight_bits // 8)
    numbers = 2 * model["layers"] * model["kv_heads"] * model["head_width"]
    token = numbers * (cache_bits // 8)
    return weights, token, max(0, (memory_gb * 10**9 - weights) // (token * context))


# no max
@answer("fewer than none")
def concurrent_users__w06(model, context, memory_gb, weight_bits=16, cache_bits=16):
    _refuse(model, context)
    weights = math.ceil(model["parameters"] * weight_bits / 8)
    token = 2 * model["layers"] * model["kv_heads"] * model["head_width"] * cache_bits // 8
    return weights, token, (memory_gb * 10**9 - weights) // (token * context)


# true division and int at last
@answer("numbers with a point")
def concurrent_users__w07(model, context, memory_gb, weight_bits=16, cache_bits=16):
    _refuse(model, context)
    weights = math.ceil(model["parameters"] * weight_bits / 8)
    token = 2 * model["layers"] * model["kv_heads"] * model["head_width"] * cache_bits / 8
    return weights, token, max(0, int((memory_gb * 10**9 - weights) // (token * context)))


# a layer forgotten
@answer("one layer")
def concurrent_users__w08(model, context, memory_gb, weight_bits=16, cache_bits=16):
    _refuse(model, context)
    weights = math.ceil(model["parameters"] * weight_bits / 8)
    token = 2 * model["kv_heads"] * model["head_width"] * cache_bits // 8
    return weights, token, max(0, (memory_gb * 10**9 - weights) // (token * context))


# weights for every user
@answer("weights for each user")
def concurrent_users__w09(model, context, memory_gb, weight_bits=16, cache_bits=16):
    _refuse(model, context)
    weights = math.ceil(model["parameters"] * weight_bits / 8)
    token = 2 * model["layers"] * model["kv_heads"] * model["head_width"] * cache_bits // 8
    return weights, token, memory_gb * 10**9 // (weights + token * context)


# the group's size
@answer("the size of a group for the number of groups")
def concurrent_users__w10(model, context, memory_gb, weight_bits=16, cache_bits=16):
    _refuse(model, context)
    group = model["heads"] // model["kv_heads"]
    weights = math.ceil(model["parameters"] * weight_bits / 8)
    token = 2 * model["layers"] * group * model["head_width"] * cache_bits // 8
    return weights, token, max(0, (memory_gb * 10**9 - weights) // (token * context))


# a tenth kept back
@answer("a reserve that nobody asked for")
def concurrent_users__w11(model, context, memory_gb, weight_bits=16, cache_bits=16):
    _refuse(model, context)
    weights = math.ceil(model["parameters"] * weight_bits / 8)
    token = 2 * model["layers"] * model["kv_heads"] * model["head_width"] * cache_bits // 8
    usable = memory_gb * 9 * 10**8
    return weights, token, max(0, (usable - weights) // (token * context))


# no error for an odd number of heads
@answer("nothing refused")
def concurrent_users__w12(model, context, memory_gb, weight_bits=16, cache_bits=16):
    if context < 1:
        raise ValueError("no context")
    weights = math.ceil(model["parameters"] * weight_bits / 8)
    token = 2 * model["layers"] * model["kv_heads"] * model["head_width"] * cache_bits // 8
    return weights, token, max(0, (memory_gb * 10**9 - weights) // (token * context))
