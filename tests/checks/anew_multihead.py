"""Chapter 4's wrong answers of a second trial, by others who had not seen the traps."""

import math

import torch
from fresh import answer
from torch.nn import functional as F


# splits heads by reshape without transposing, so a head gets some tokens instead of some features
@answer("view instead of transpose")
def multi_head_attention__t01(x, w_q, w_k, w_v, w_out, num_heads, keep=None):

    def scaled_dot_product_attention(q, k, v, keep=None):
        scores = q / q.shape[-1] ** 0.5 @ k.transpose(-2, -1)
        if keep is None:
            return scores.softmax(-1) @ v
        scores = scores.masked_fill(~keep, torch.finfo(scores.dtype).min)
        weights = scores.softmax(-1).masked_fill(~keep, 0.0)
        return weights @ v

    def merge_heads(heads):
        return heads.transpose(-3, -2).flatten(-2)

    def split(y):
        return y.reshape(*y.shape[:-2], num_heads, y.shape[-2], -1)

    q, k, v = (split(x @ w_q), split(x @ w_k), split(x @ w_v))
    if keep is not None:
        keep = keep.unsqueeze(-3)
    return merge_heads(scaled_dot_product_attention(q, k, v, keep)) @ w_out


# head h takes every H-th feature instead of a block
@answer("every H-th feature")
def multi_head_attention__t02(x, w_q, w_k, w_v, w_out, num_heads, keep=None):

    def scaled_dot_product_attention(q, k, v, keep=None):
        scores = q / q.shape[-1] ** 0.5 @ k.transpose(-2, -1)
        if keep is None:
            return scores.softmax(-1) @ v
        scores = scores.masked_fill(~keep, torch.finfo(scores.dtype).min)
        weights = scores.softmax(-1).masked_fill(~keep, 0.0)
        return weights @ v

    q = (x @ w_q).unflatten(-1, (-1, num_heads)).movedim(-1, -3)
    k = (x @ w_k).unflatten(-1, (-1, num_heads)).movedim(-1, -3)
    v = (x @ w_v).unflatten(-1, (-1, num_heads)).movedim(-1, -3)
    mask = None if keep is None else keep.unsqueeze(-3)
    out = scaled_dot_product_attention(q, k, v, mask)
    return out.movedim(-3, -1).flatten(-2) @ w_out


# merges heads by reshape without moving the heads back behind time
@answer("merged without transposing back")
def multi_head_attention__t03(x, w_q, w_k, w_v, w_out, num_heads, keep=None):

    def scaled_dot_product_attention(q, k, v, keep=None):
        scores = q / q.shape[-1] ** 0.5 @ k.transpose(-2, -1)
        if keep is None:
            return scores.softmax(-1) @ v
        scores = scores.masked_fill(~keep, torch.finfo(scores.dtype).min)
        weights = scores.softmax(-1).masked_fill(~keep, 0.0)
        return weights @ v

    def split_heads(x, num_heads):
        width = x.shape[-1]
        if width % num_heads:
            raise ValueError(f"{num_heads} heads do not divide {width} features")
        return x.unflatten(-1, (num_heads, width // num_heads)).transpose(-3, -2)

    q, k, v = [split_heads(x @ w, num_heads) for w in (w_q, w_k, w_v)]
    o = scaled_dot_product_attention(q, k, v, keep.unsqueeze(-3) if keep is not None else None)
    o = o.reshape(*x.shape[:-1], w_v.shape[-1])
    return o @ w_out


# forgets the output projection
@answer("no output projection")
def multi_head_attention__t04(x, w_q, w_k, w_v, w_out, num_heads, keep=None):
    d = w_q.shape[-1] // num_heads
    dv = w_v.shape[-1] // num_heads
    outs = []
    for h in range(num_heads):
        q = x @ w_q[:, h * d : (h + 1) * d] / d**0.5
        k = x @ w_k[:, h * d : (h + 1) * d]
        v = x @ w_v[:, h * dv : (h + 1) * dv]
        s = q @ k.mT
        if keep is not None:
            s = s.masked_fill(~keep, torch.finfo(s.dtype).min)
        a = s.softmax(-1)
        if keep is not None:
            a = a.masked_fill(~keep, 0)
        outs.append(a @ v)
    return torch.cat(outs, -1)


# scales by the width of all heads together instead of one head's
@answer("scaled by the width of the model")
def multi_head_attention__t05(x, w_q, w_k, w_v, w_out, num_heads, keep=None):
    H = num_heads
    d_model = w_q.shape[-1]
    q = (x @ w_q / math.sqrt(d_model)).unflatten(-1, (H, -1)).transpose(-3, -2)
    k = (x @ w_k).unflatten(-1, (H, -1)).transpose(-3, -2)
    v = (x @ w_v).unflatten(-1, (H, -1)).transpose(-3, -2)
    s = q @ k.transpose(-1, -2)
    if keep is not None:
        m = keep.unsqueeze(-3)
        a = torch.where(m, s, torch.finfo(s.dtype).min).softmax(-1)
        a = torch.where(m, a, 0.0)
    else:
        a = s.softmax(-1)
    return (a @ v).transpose(-3, -2).flatten(-2) @ w_out


# no scaling of the scores
@answer("no scale")
def multi_head_attention__t06(x, w_q, w_k, w_v, w_out, num_heads, keep=None):

    def split_heads(x, num_heads):
        width = x.shape[-1]
        if width % num_heads:
            raise ValueError(f"{num_heads} heads do not divide {width} features")
        return x.unflatten(-1, (num_heads, width // num_heads)).transpose(-3, -2)

    def merge_heads(heads):
        return heads.transpose(-3, -2).flatten(-2)

    q = split_heads(x @ w_q, num_heads)
    k = split_heads(x @ w_k, num_heads)
    v = split_heads(x @ w_v, num_heads)
    scores = torch.einsum("...id,...jd->...ij", q, k)
    if keep is not None:
        keep = keep.unsqueeze(-3)
        scores = scores.masked_fill(~keep, torch.finfo(scores.dtype).min)
    weights = F.softmax(scores, dim=-1)
    if keep is not None:
        weights = weights * keep
    return merge_heads(weights @ v) @ w_out


# softmax over the queries instead of the keys
@answer("softmax over the queries")
def multi_head_attention__t07(x, w_q, w_k, w_v, w_out, num_heads, keep=None):
    q, k, v = ((x @ w).unflatten(-1, (num_heads, -1)).transpose(-3, -2) for w in (w_q, w_k, w_v))
    scores = q / math.sqrt(q.size(-1)) @ k.mT
    if keep is not None:
        hide = ~keep.unsqueeze(-3)
        scores = scores.masked_fill(hide, torch.finfo(scores.dtype).min)
    p = torch.softmax(scores, dim=-2)
    if keep is not None:
        p = p.masked_fill(hide, 0.0)
    z = (p @ v).transpose(-3, -2).flatten(-2)
    return z @ w_out


# the heads attend to each other within one token (heads left behind time)
@answer("heads that read each other")
def multi_head_attention__t08(x, w_q, w_k, w_v, w_out, num_heads, keep=None):

    def scaled_dot_product_attention(q, k, v, keep=None):
        scores = q / q.shape[-1] ** 0.5 @ k.transpose(-2, -1)
        if keep is None:
            return scores.softmax(-1) @ v
        scores = scores.masked_fill(~keep, torch.finfo(scores.dtype).min)
        weights = scores.softmax(-1).masked_fill(~keep, 0.0)
        return weights @ v

    q = (x @ w_q).unflatten(-1, (num_heads, -1))
    k = (x @ w_k).unflatten(-1, (num_heads, -1))
    v = (x @ w_v).unflatten(-1, (num_heads, -1))
    read = scaled_dot_product_attention(q, k, v, None if keep is None else keep.unsqueeze(-3))
    return read.flatten(-2) @ w_out


# takes keep the wrong way round (True = hidden)
@answer("mask inverted")
def multi_head_attention__t09(x, w_q, w_k, w_v, w_out, num_heads, keep=None):

    def split_heads(x, num_heads):
        width = x.shape[-1]
        if width % num_heads:
            raise ValueError(f"{num_heads} heads do not divide {width} features")
        return x.unflatten(-1, (num_heads, width // num_heads)).transpose(-3, -2)

    def merge_heads(heads):
        return heads.transpose(-3, -2).flatten(-2)

    q, k, v = map(lambda w: split_heads(x @ w, num_heads), (w_q, w_k, w_v))
    scores = q * q.shape[-1] ** (-0.5) @ k.transpose(-2, -1)
    if keep is not None:
        mask = keep.unsqueeze(-3)
        scores = scores.masked_fill(mask, torch.finfo(scores.dtype).min)
        attn = scores.softmax(dim=-1).masked_fill(mask, 0)
    else:
        attn = scores.softmax(dim=-1)
    return merge_heads(attn @ v) @ w_out


# masks after the softmax, so the weights no longer sum to one
@answer("masked after the softmax")
def multi_head_attention__t10(x, w_q, w_k, w_v, w_out, num_heads, keep=None):
    D = w_q.shape[1] // num_heads
    q = (x @ w_q).unflatten(-1, (num_heads, D)).transpose(-3, -2)
    k = (x @ w_k).unflatten(-1, (num_heads, D)).transpose(-3, -2)
    v = (x @ w_v).unflatten(-1, (num_heads, -1)).transpose(-3, -2)
    weights = torch.softmax(q / math.sqrt(D) @ k.mT, dim=-1)
    if keep is not None:
        weights = weights * keep.unsqueeze(-3)
    return (weights @ v).transpose(-3, -2).flatten(-2) @ w_out


# does not give the mask a head dimension, so its batch lines up with the heads
@answer("the mask on the wrong axis")
def multi_head_attention__t11(x, w_q, w_k, w_v, w_out, num_heads, keep=None):

    def scaled_dot_product_attention(q, k, v, keep=None):
        scores = q / q.shape[-1] ** 0.5 @ k.transpose(-2, -1)
        if keep is None:
            return scores.softmax(-1) @ v
        scores = scores.masked_fill(~keep, torch.finfo(scores.dtype).min)
        weights = scores.softmax(-1).masked_fill(~keep, 0.0)
        return weights @ v

    def split_heads(x, num_heads):
        width = x.shape[-1]
        if width % num_heads:
            raise ValueError(f"{num_heads} heads do not divide {width} features")
        return x.unflatten(-1, (num_heads, width // num_heads)).transpose(-3, -2)

    def merge_heads(heads):
        return heads.transpose(-3, -2).flatten(-2)

    heads = scaled_dot_product_attention(
        split_heads(x @ w_q, num_heads),
        split_heads(x @ w_k, num_heads),
        split_heads(x @ w_v, num_heads),
        keep,
    )
    return merge_heads(heads) @ w_out


# puts the mask's head dimension at index 1, counted from the front
@answer("the mask on the wrong axis")
def multi_head_attention__t12(x, w_q, w_k, w_v, w_out, num_heads, keep=None):

    def scaled_dot_product_attention(q, k, v, keep=None):
        scores = q / q.shape[-1] ** 0.5 @ k.transpose(-2, -1)
        if keep is None:
            return scores.softmax(-1) @ v
        scores = scores.masked_fill(~keep, torch.finfo(scores.dtype).min)
        weights = scores.softmax(-1).masked_fill(~keep, 0.0)
        return weights @ v

    def split_heads(x, num_heads):
        width = x.shape[-1]
        if width % num_heads:
            raise ValueError(f"{num_heads} heads do not divide {width} features")
        return x.unflatten(-1, (num_heads, width // num_heads)).transpose(-3, -2)

    def merge_heads(heads):
        return heads.transpose(-3, -2).flatten(-2)

    Q = split_heads(torch.matmul(x, w_q), num_heads)
    K = split_heads(torch.matmul(x, w_k), num_heads)
    V = split_heads(torch.matmul(x, w_v), num_heads)
    if keep is not None:
        keep = keep.unsqueeze(1)
    A = scaled_dot_product_attention(Q, K, V, keep)
    return torch.matmul(merge_heads(A), w_out)


# minus infinity for a query that may read nothing gives NaN
@answer("the row that may read nothing")
def multi_head_attention__t13(x, w_q, w_k, w_v, w_out, num_heads, keep=None):

    def split_heads(x, num_heads):
        width = x.shape[-1]
        if width % num_heads:
            raise ValueError(f"{num_heads} heads do not divide {width} features")
        return x.unflatten(-1, (num_heads, width // num_heads)).transpose(-3, -2)

    def merge_heads(heads):
        return heads.transpose(-3, -2).flatten(-2)

    q = split_heads(x @ w_q, num_heads)
    k = split_heads(x @ w_k, num_heads)
    v = split_heads(x @ w_v, num_heads)
    scores = q / math.sqrt(q.shape[-1]) @ k.transpose(-2, -1)
    if keep is not None:
        scores = scores.masked_fill(keep.unsqueeze(-3) == 0, float("-inf"))
    return merge_heads(F.softmax(scores, dim=-1) @ v) @ w_out


# a query that may read nothing averages all values instead of getting zeros
@answer("nothing to read, so everything is read")
def multi_head_attention__t14(x, w_q, w_k, w_v, w_out, num_heads, keep=None):

    def heads(w):
        return torch.einsum("...tc,chd->...htd", x, w.unflatten(1, (num_heads, -1)))

    q, k, v = (heads(w_q), heads(w_k), heads(w_v))
    att = torch.einsum("...hqd,...hkd->...hqk", q / q.shape[-1] ** 0.5, k)
    if keep is not None:
        att = att.masked_fill(~keep.unsqueeze(-3), torch.finfo(att.dtype).min)
    att = att.softmax(-1)
    y = torch.einsum("...hqk,...hkd->...qhd", att, v)
    return y.flatten(-2) @ w_out


# expects exactly one batch dimension
@answer("exactly one batch dimension")
def multi_head_attention__t15(x, w_q, w_k, w_v, w_out, num_heads, keep=None):

    def scaled_dot_product_attention(q, k, v, keep=None):
        scores = q / q.shape[-1] ** 0.5 @ k.transpose(-2, -1)
        if keep is None:
            return scores.softmax(-1) @ v
        scores = scores.masked_fill(~keep, torch.finfo(scores.dtype).min)
        weights = scores.softmax(-1).masked_fill(~keep, 0.0)
        return weights @ v

    B, T, _C = x.shape
    q = (x @ w_q).view(B, T, num_heads, -1).transpose(1, 2)
    k = (x @ w_k).view(B, T, num_heads, -1).transpose(1, 2)
    v = (x @ w_v).view(B, T, num_heads, -1).transpose(1, 2)
    if keep is not None:
        keep = keep.unsqueeze(-3)
    y = scaled_dot_product_attention(q, k, v, keep)
    y = y.transpose(1, 2).contiguous().view(B, T, -1)
    return y @ w_out


# takes the width of the values to be that of the keys
@answer("one width for all")
def multi_head_attention__t16(x, w_q, w_k, w_v, w_out, num_heads, keep=None):

    def scaled_dot_product_attention(q, k, v, keep=None):
        scores = q / q.shape[-1] ** 0.5 @ k.transpose(-2, -1)
        if keep is None:
            return scores.softmax(-1) @ v
        scores = scores.masked_fill(~keep, torch.finfo(scores.dtype).min)
        weights = scores.softmax(-1).masked_fill(~keep, 0.0)
        return weights @ v

    *batch, T, _C = x.shape
    D = w_q.shape[1] // num_heads
    shape = (*batch, T, num_heads, D)
    q = (x @ w_q).reshape(shape).transpose(-3, -2)
    k = (x @ w_k).reshape(shape).transpose(-3, -2)
    v = (x @ w_v).reshape(shape).transpose(-3, -2)
    out = scaled_dot_product_attention(q, k, v, None if keep is None else keep.unsqueeze(-3))
    return out.transpose(-3, -2).reshape(*batch, T, num_heads * D) @ w_out


# averages the heads' contributions instead of adding them
@answer("divided by the number of heads")
def multi_head_attention__t17(x, w_q, w_k, w_v, w_out, num_heads, keep=None):

    def scaled_dot_product_attention(q, k, v, keep=None):
        scores = q / q.shape[-1] ** 0.5 @ k.transpose(-2, -1)
        if keep is None:
            return scores.softmax(-1) @ v
        scores = scores.masked_fill(~keep, torch.finfo(scores.dtype).min)
        weights = scores.softmax(-1).masked_fill(~keep, 0.0)
        return weights @ v

    total = 0
    for wq, wk, wv, wo in zip(
        w_q.chunk(num_heads, 1),
        w_k.chunk(num_heads, 1),
        w_v.chunk(num_heads, 1),
        w_out.chunk(num_heads, 0),
        strict=False,
    ):
        total = total + scaled_dot_product_attention(x @ wq, x @ wk, x @ wv, keep) @ wo
    return total / num_heads


# reads the mask transposed (keys in rows, queries in columns)
@answer("the mask on its side")
def multi_head_attention__t18(x, w_q, w_k, w_v, w_out, num_heads, keep=None):

    def scaled_dot_product_attention(q, k, v, keep=None):
        scores = q / q.shape[-1] ** 0.5 @ k.transpose(-2, -1)
        if keep is None:
            return scores.softmax(-1) @ v
        scores = scores.masked_fill(~keep, torch.finfo(scores.dtype).min)
        weights = scores.softmax(-1).masked_fill(~keep, 0.0)
        return weights @ v

    def split_heads(x, num_heads):
        width = x.shape[-1]
        if width % num_heads:
            raise ValueError(f"{num_heads} heads do not divide {width} features")
        return x.unflatten(-1, (num_heads, width // num_heads)).transpose(-3, -2)

    def merge_heads(heads):
        return heads.transpose(-3, -2).flatten(-2)

    T = x.shape[-2]
    q, k, v = (
        split_heads(x @ w_q, num_heads),
        split_heads(x @ w_k, num_heads),
        split_heads(x @ w_v, num_heads),
    )
    if keep is not None:
        keep = keep.expand(*x.shape[:-2], T, T).transpose(-1, -2).unsqueeze(-3)
    return merge_heads(scaled_dot_product_attention(q, k, v, keep)) @ w_out


# no scaling of the scores
# forgets the output projection
@answer("no output projection", "no scale")
def multi_head_attention__t19(x, w_q, w_k, w_v, w_out, num_heads, keep=None):

    def split_heads(x, num_heads):
        width = x.shape[-1]
        if width % num_heads:
            raise ValueError(f"{num_heads} heads do not divide {width} features")
        return x.unflatten(-1, (num_heads, width // num_heads)).transpose(-3, -2)

    def merge_heads(heads):
        return heads.transpose(-3, -2).flatten(-2)

    q, k, v = [split_heads(x @ w, num_heads) for w in [w_q, w_k, w_v]]
    scores = q @ k.mT
    if keep is not None:
        keep = keep.unsqueeze(-3)
        scores = torch.where(keep, scores, torch.finfo(scores.dtype).min)
    p = scores.softmax(-1)
    if keep is not None:
        p = torch.where(keep, p, 0.0)
    return merge_heads(p @ v)


# splits heads by reshape without transposing
# merges heads by reshape without moving the heads back behind time
@answer("view instead of transpose", "merged without transposing back")
def multi_head_attention__t20(x, w_q, w_k, w_v, w_out, num_heads, keep=None):

    def scaled_dot_product_attention(q, k, v, keep=None):
        scores = q / q.shape[-1] ** 0.5 @ k.transpose(-2, -1)
        if keep is None:
            return scores.softmax(-1) @ v
        scores = scores.masked_fill(~keep, torch.finfo(scores.dtype).min)
        weights = scores.softmax(-1).masked_fill(~keep, 0.0)
        return weights @ v

    lead = x.shape[:-2]
    T = x.shape[-2]
    q = (x @ w_q).reshape(*lead, num_heads, T, -1)
    k = (x @ w_k).reshape(*lead, num_heads, T, -1)
    v = (x @ w_v).reshape(*lead, num_heads, T, -1)
    out = scaled_dot_product_attention(q, k, v, keep if keep is None else keep.unsqueeze(-3))
    return out.reshape(*lead, T, -1) @ w_out


# scales by the width of all heads together instead of one head's
# a query that may read nothing averages all values instead of getting zeros
@answer("scaled by the width of the model", "nothing to read, so everything is read")
def multi_head_attention__t21(x, w_q, w_k, w_v, w_out, num_heads, keep=None):

    def attention(q, k, v, scale, keep):
        s = q * scale @ k.transpose(-2, -1)
        if keep is not None:
            s = s.masked_fill(~keep, torch.finfo(s.dtype).min)
        return torch.softmax(s, dim=-1) @ v

    scale = w_q.shape[-1] ** (-0.5)
    heads = [
        attention(x @ wq, x @ wk, x @ wv, scale, keep)
        for wq, wk, wv in zip(
            w_q.chunk(num_heads, -1),
            w_k.chunk(num_heads, -1),
            w_v.chunk(num_heads, -1),
            strict=False,
        )
    ]
    return torch.cat(heads, dim=-1) @ w_out


# takes keep the wrong way round (True = hidden)
# softmax over the queries instead of the keys
@answer("softmax over the queries", "mask inverted")
def multi_head_attention__t22(x, w_q, w_k, w_v, w_out, num_heads, keep=None):

    def split_heads(x, num_heads):
        width = x.shape[-1]
        if width % num_heads:
            raise ValueError(f"{num_heads} heads do not divide {width} features")
        return x.unflatten(-1, (num_heads, width // num_heads)).transpose(-3, -2)

    def merge_heads(heads):
        return heads.transpose(-3, -2).flatten(-2)

    q = split_heads(x @ w_q, num_heads)
    k = split_heads(x @ w_k, num_heads)
    v = split_heads(x @ w_v, num_heads)
    scores = q / math.sqrt(q.shape[-1]) @ k.transpose(-2, -1)
    if keep is None:
        weights = scores.softmax(dim=-2)
    else:
        keep = keep.unsqueeze(-3)
        scores = scores.masked_fill(keep, torch.finfo(scores.dtype).min)
        weights = scores.softmax(dim=-2).masked_fill(keep, 0.0)
    return merge_heads(weights @ v) @ w_out


# head h takes every H-th feature instead of a block
# masks after the softmax, so the weights no longer sum to one
@answer("every H-th feature", "masked after the softmax")
def multi_head_attention__t23(x, w_q, w_k, w_v, w_out, num_heads, keep=None):
    outs = []
    for h in range(num_heads):
        q = x @ w_q[:, h::num_heads]
        k = x @ w_k[:, h::num_heads]
        v = x @ w_v[:, h::num_heads]
        a = torch.softmax(q / math.sqrt(q.shape[-1]) @ k.mT, dim=-1)
        if keep is not None:
            a = a.masked_fill(~keep, 0.0)
        outs.append(a @ v)
    return torch.stack(outs, dim=-1).flatten(-2) @ w_out


# expects exactly one batch dimension
# divides the scores by D instead of the root of D
@answer("divided by D instead of √D", "exactly one batch dimension")
def multi_head_attention__t24(x, w_q, w_k, w_v, w_out, num_heads, keep=None):
    B, T, _ = x.size()
    H = num_heads
    q = torch.matmul(x, w_q).reshape(B, T, H, -1).permute(0, 2, 1, 3)
    k = torch.matmul(x, w_k).reshape(B, T, H, -1).permute(0, 2, 3, 1)
    v = torch.matmul(x, w_v).reshape(B, T, H, -1).permute(0, 2, 1, 3)
    scores = torch.matmul(q / q.size(-1), k)
    if keep is not None:
        mask = keep.expand(B, T, T)[:, None]
        scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
    attn = F.softmax(scores, dim=-1)
    if keep is not None:
        attn = attn.masked_fill(~mask, 0.0)
    out = torch.matmul(attn, v).permute(0, 2, 1, 3).reshape(B, T, -1)
    return torch.matmul(out, w_out)
