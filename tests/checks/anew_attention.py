"""Chapter 3's wrong answers of a second trial, by others who had not seen the traps."""

import math

import torch
from fresh import answer
from torch.nn import functional as F


# scores not scaled
@answer("no scale")
def self_attention__t01(x, w_q, w_k, w_v, keep=None):
    if keep is not None and keep.dtype != torch.bool:
        raise TypeError("keep must be bool")
    q, k, v = (x @ w_q, x @ w_k, x @ w_v)
    scores = q @ k.mT
    if keep is not None:
        scores = scores.masked_fill(~keep, torch.finfo(scores.dtype).min)
    weights = scores.softmax(-1)
    if keep is not None:
        weights = weights * keep
    return weights @ v


# divides by the root of the model's width C instead of D
@answer("scaled by the width of the model")
def self_attention__t02(x, w_q, w_k, w_v, keep=None):

    def masked_softmax(scores, keep=None):
        if keep is not None and keep.dtype != torch.bool:
            raise TypeError(f"keep must be bool (True = may be read), got {keep.dtype}")
        if keep is None:
            return torch.softmax(scores, dim=-1)
        low = scores.masked_fill(~keep, torch.finfo(scores.dtype).min)
        return torch.softmax(low, dim=-1) * keep

    d_model = x.size(-1)
    q = torch.matmul(x, w_q)
    k = torch.matmul(x, w_k)
    v = torch.matmul(x, w_v)
    scores = torch.matmul(q, k.transpose(-2, -1)) / math.sqrt(d_model)
    return torch.matmul(masked_softmax(scores, keep), v)


# divides by D instead of its root
@answer("divided by D instead of √D")
def self_attention__t03(x, w_q, w_k, w_v, keep=None):

    def masked_softmax(scores, keep=None):
        if keep is not None and keep.dtype != torch.bool:
            raise TypeError(f"keep must be bool (True = may be read), got {keep.dtype}")
        if keep is None:
            return torch.softmax(scores, dim=-1)
        low = scores.masked_fill(~keep, torch.finfo(scores.dtype).min)
        return torch.softmax(low, dim=-1) * keep

    q, k, v = (x @ w_q, x @ w_k, x @ w_v)
    D = q.shape[-1]
    return masked_softmax(q @ k.mT / D, keep) @ v


# softmax over the queries instead of the keys
@answer("softmax over the queries")
def self_attention__t04(x, w_q, w_k, w_v, keep=None):
    if keep is not None and keep.dtype != torch.bool:
        raise TypeError("keep must be bool")
    q, k, v = (F.linear(x, w_q.T), F.linear(x, w_k.T), F.linear(x, w_v.T))
    att = q @ k.mT * q.shape[-1] ** (-0.5)
    if keep is not None:
        att = att.masked_fill(~keep, torch.finfo(att.dtype).min)
    att = F.softmax(att, dim=-2)
    if keep is not None:
        att = att * keep
    return att @ v


# values not projected: x itself is mixed
@answer("values not projected")
def self_attention__t05(x, w_q, w_k, w_v, keep=None):

    def scaled_dot_product_attention(q, k, v, keep=None):
        if keep is not None and keep.dtype != torch.bool:
            raise TypeError(f"keep must be bool (True = may read), got {keep.dtype}")
        scores = q @ k.mT / q.shape[-1] ** 0.5
        if keep is not None:
            scores = scores.masked_fill(~keep, torch.finfo(scores.dtype).min)
        weights = torch.softmax(scores, dim=-1)
        if keep is not None:
            weights = weights * keep
        return weights @ v

    q = x @ w_q
    k = x @ w_k
    return scaled_dot_product_attention(q, k, x, keep)


# queries and keys swapped (scores transposed)
@answer("queries and keys swapped")
def self_attention__t06(x, w_q, w_k, w_v, keep=None):

    def scaled_dot_product_attention(q, k, v, keep=None):
        if keep is not None and keep.dtype != torch.bool:
            raise TypeError(f"keep must be bool (True = may read), got {keep.dtype}")
        scores = q @ k.mT / q.shape[-1] ** 0.5
        if keep is not None:
            scores = scores.masked_fill(~keep, torch.finfo(scores.dtype).min)
        weights = torch.softmax(scores, dim=-1)
        if keep is not None:
            weights = weights * keep
        return weights @ v

    keys = torch.einsum("...tc,cd->...td", x, w_q)
    queries = torch.einsum("...tc,cd->...td", x, w_k)
    values = torch.einsum("...tc,cd->...td", x, w_v)
    return scaled_dot_product_attention(queries, keys, values, keep)


# always applies a causal mask
@answer("always causal")
def self_attention__t07(x, w_q, w_k, w_v, keep=None):

    def scaled_dot_product_attention(q, k, v, keep=None):
        if keep is not None and keep.dtype != torch.bool:
            raise TypeError(f"keep must be bool (True = may read), got {keep.dtype}")
        scores = q @ k.mT / q.shape[-1] ** 0.5
        if keep is not None:
            scores = scores.masked_fill(~keep, torch.finfo(scores.dtype).min)
        weights = torch.softmax(scores, dim=-1)
        if keep is not None:
            weights = weights * keep
        return weights @ v

    T = x.shape[-2]
    causal = torch.ones(T, T, dtype=torch.bool, device=x.device).tril()
    if keep is not None and keep.dtype != torch.bool:
        raise TypeError("keep must be bool")
    keep = causal if keep is None else keep & causal
    return scaled_dot_product_attention(x @ w_q, x @ w_k, x @ w_v, keep)


# mask inverted (True taken for hidden)
@answer("mask inverted")
def self_attention__t08(x, w_q, w_k, w_v, keep=None):
    if keep is not None and keep.dtype != torch.bool:
        raise TypeError("keep must be bool")
    q, k, v = (torch.tensordot(x, w, dims=1) for w in (w_q, w_k, w_v))
    scores = q @ k.mT / q.shape[-1] ** 0.5
    if keep is None:
        return scores.softmax(-1) @ v
    weights = scores.masked_fill(keep, torch.finfo(scores.dtype).min).softmax(-1)
    return weights.masked_fill(keep, 0) @ v


# weights taken as (out, in), so multiplied transposed
@answer("nn.Linear's orientation")
def self_attention__t09(x, w_q, w_k, w_v, keep=None):

    def scaled_dot_product_attention(q, k, v, keep=None):
        if keep is not None and keep.dtype != torch.bool:
            raise TypeError(f"keep must be bool (True = may read), got {keep.dtype}")
        scores = q @ k.mT / q.shape[-1] ** 0.5
        if keep is not None:
            scores = scores.masked_fill(~keep, torch.finfo(scores.dtype).min)
        weights = torch.softmax(scores, dim=-1)
        if keep is not None:
            weights = weights * keep
        return weights @ v

    q = F.linear(x, w_q)
    k = F.linear(x, w_k)
    v = F.linear(x, w_v)
    return scaled_dot_product_attention(q, k, v, keep)


# masks after the softmax, so the weights no longer sum to 1
@answer("masked after the softmax")
def self_attention__t10(x, w_q, w_k, w_v, keep=None):
    if keep is not None and keep.dtype != torch.bool:
        raise TypeError("keep must be bool")
    q, k, v = (x @ w_q, x @ w_k, x @ w_v)
    weights = torch.softmax(q @ k.mT / q.shape[-1] ** 0.5, dim=-1)
    if keep is not None:
        weights = weights.masked_fill(~keep, 0.0)
    return weights @ v


# hides with -inf: a token that may read nothing becomes nan
@answer("the row that may read nothing")
def self_attention__t11(x, w_q, w_k, w_v, keep=None):
    if keep is not None and keep.dtype != torch.bool:
        raise TypeError("keep must be bool")
    qkv = x @ torch.cat((w_q, w_k, w_v), -1)
    D = w_q.shape[-1]
    q, k, v = (qkv[..., :D], qkv[..., D : 2 * D], qkv[..., 2 * D :])
    scores = torch.einsum("...id,...jd->...ij", q, k) / D**0.5
    if keep is not None:
        scores = torch.where(keep, scores, float("-inf"))
    return torch.einsum("...ij,...jd->...id", scores.softmax(-1), v)


# a token that may read nothing gets the mean of all values instead of zeros
@answer("nothing to read, so everything is read")
def self_attention__t12(x, w_q, w_k, w_v, keep=None):

    def attention(q, k, v, keep):
        s = q @ k.mT / q.shape[-1] ** 0.5
        if keep is not None:
            s = s.masked_fill(~keep, torch.finfo(s.dtype).min)
        return s.softmax(-1) @ v

    if keep is not None and keep.dtype != torch.bool:
        raise TypeError("keep must be bool")
    return attention(x @ w_q, x @ w_k, x @ w_v, keep)


# scales the weights after the softmax instead of the scores before it
@answer("scaled after the softmax")
def self_attention__t13(x, w_q, w_k, w_v, keep=None):

    def masked_softmax(scores, keep=None):
        if keep is not None and keep.dtype != torch.bool:
            raise TypeError(f"keep must be bool (True = may be read), got {keep.dtype}")
        if keep is None:
            return torch.softmax(scores, dim=-1)
        low = scores.masked_fill(~keep, torch.finfo(scores.dtype).min)
        return torch.softmax(low, dim=-1) * keep

    q, k, v = (x @ w_q, x @ w_k, x @ w_v)
    weights = masked_softmax(q @ k.mT, keep)
    weights = weights / q.shape[-1] ** 0.5
    return weights @ v


# attends over features (D x D) instead of over tokens
@answer("features that read each other")
def self_attention__t14(x, w_q, w_k, w_v, keep=None):
    if keep is not None and keep.dtype != torch.bool:
        raise TypeError("keep must be bool")
    q, k, v = (x @ w_q, x @ w_k, x @ w_v)
    scores = q.mT @ k / q.shape[-1] ** 0.5
    if keep is not None:
        scores = scores.masked_fill(~keep, torch.finfo(scores.dtype).min)
    weights = torch.softmax(scores, dim=-1)
    if keep is not None:
        weights = weights * keep
    return (weights @ v.mT).mT


# one projection for queries and keys (w_k is not used)
@answer("one projection for queries and keys")
def self_attention__t15(x, w_q, w_k, w_v, keep=None):

    def scaled_dot_product_attention(q, k, v, keep=None):
        if keep is not None and keep.dtype != torch.bool:
            raise TypeError(f"keep must be bool (True = may read), got {keep.dtype}")
        scores = q @ k.mT / q.shape[-1] ** 0.5
        if keep is not None:
            scores = scores.masked_fill(~keep, torch.finfo(scores.dtype).min)
        weights = torch.softmax(scores, dim=-1)
        if keep is not None:
            weights = weights * keep
        return weights @ v

    asked = x @ w_q
    values = x @ w_v
    return scaled_dot_product_attention(asked, asked, values, keep)


# a token may not read itself (diagonal hidden)
@answer("nobody reads itself")
def self_attention__t16(x, w_q, w_k, w_v, keep=None):

    def scaled_dot_product_attention(q, k, v, keep=None):
        if keep is not None and keep.dtype != torch.bool:
            raise TypeError(f"keep must be bool (True = may read), got {keep.dtype}")
        scores = q @ k.mT / q.shape[-1] ** 0.5
        if keep is not None:
            scores = scores.masked_fill(~keep, torch.finfo(scores.dtype).min)
        weights = torch.softmax(scores, dim=-1)
        if keep is not None:
            weights = weights * keep
        return weights @ v

    others = ~torch.eye(x.shape[-2], dtype=torch.bool, device=x.device)
    if keep is not None:
        if keep.dtype != torch.bool:
            raise TypeError("keep must be bool")
        others = others & keep
    return scaled_dot_product_attention(x @ w_q, x @ w_k, x @ w_v, others)


# .T turns all dimensions around, batch included
@answer("all dimensions turned round")
def self_attention__t17(x, w_q, w_k, w_v, keep=None):
    if keep is not None and keep.dtype != torch.bool:
        raise TypeError("keep must be bool")
    Q = x @ w_q
    K = x @ w_k
    V = x @ w_v
    S = Q @ K.T / K.shape[-1] ** 0.5
    if keep is not None:
        S = S.masked_fill(~keep, torch.finfo(S.dtype).min)
    A = torch.softmax(S, dim=-1)
    if keep is not None:
        A = A * keep
    return A @ V


# adds a residual connection that was not asked for
@answer("a residual connection")
def self_attention__t18(x, w_q, w_k, w_v, keep=None):

    def scaled_dot_product_attention(q, k, v, keep=None):
        if keep is not None and keep.dtype != torch.bool:
            raise TypeError(f"keep must be bool (True = may read), got {keep.dtype}")
        scores = q @ k.mT / q.shape[-1] ** 0.5
        if keep is not None:
            scores = scores.masked_fill(~keep, torch.finfo(scores.dtype).min)
        weights = torch.softmax(scores, dim=-1)
        if keep is not None:
            weights = weights * keep
        return weights @ v

    v = x @ w_v
    out = scaled_dot_product_attention(x @ w_q, x @ w_k, v, keep)
    return v + out


# scores not scaled
# softmax over the queries instead of the keys
@answer("no scale", "softmax over the queries")
def self_attention__t19(x, w_q, w_k, w_v, keep=None):
    if keep is not None and keep.dtype != torch.bool:
        raise TypeError("keep must be bool")
    q, k, v = (x @ w_q, x @ w_k, x @ w_v)
    s = torch.einsum("...qd,...kd->...qk", q, k)
    if keep is not None:
        s = torch.where(keep, s, torch.finfo(s.dtype).min)
    p = s.softmax(dim=-2)
    if keep is not None:
        p = p * keep
    return torch.einsum("...qk,...kd->...qd", p, v)


# divides by the root of the model's width C instead of D
# hides with -inf: a token that may read nothing becomes nan
@answer("scaled by the width of the model", "the row that may read nothing")
def self_attention__t20(x, w_q, w_k, w_v, keep=None):
    if keep is not None and keep.dtype != torch.bool:
        raise TypeError("keep must be bool")
    *_, C = x.shape
    q, k, v = (x.matmul(w_q), x.matmul(w_k), x.matmul(w_v))
    wei = q @ k.transpose(-2, -1) * C ** (-0.5)
    if keep is not None:
        wei = wei.masked_fill(~keep, float("-inf"))
    wei = torch.nn.functional.softmax(wei, dim=-1)
    return wei @ v


# queries and keys swapped (scores transposed)
# divides by D instead of its root
@answer("queries and keys swapped", "divided by D instead of √D")
def self_attention__t21(x, w_q, w_k, w_v, keep=None):

    def masked_softmax(scores, keep=None):
        if keep is not None and keep.dtype != torch.bool:
            raise TypeError(f"keep must be bool (True = may be read), got {keep.dtype}")
        if keep is None:
            return torch.softmax(scores, dim=-1)
        low = scores.masked_fill(~keep, torch.finfo(scores.dtype).min)
        return torch.softmax(low, dim=-1) * keep

    q, k = (x @ w_q, x @ w_k)
    scores = k @ q.mT / q.shape[-1]
    return masked_softmax(scores, keep) @ (x @ w_v)


# mask inverted (True taken for hidden)
# a token may not read itself (diagonal hidden)
@answer("nobody reads itself", "mask inverted")
def self_attention__t22(x, w_q, w_k, w_v, keep=None):

    def masked_softmax(scores, keep=None):
        if keep is not None and keep.dtype != torch.bool:
            raise TypeError(f"keep must be bool (True = may be read), got {keep.dtype}")
        if keep is None:
            return torch.softmax(scores, dim=-1)
        low = scores.masked_fill(~keep, torch.finfo(scores.dtype).min)
        return torch.softmax(low, dim=-1) * keep

    q = torch.einsum("...tc,cd->...td", x, w_q)
    k = torch.einsum("...tc,cd->...td", x, w_k)
    v = torch.einsum("...tc,cd->...td", x, w_v)
    if keep is not None and keep.dtype != torch.bool:
        raise TypeError("keep must be bool")
    hidden = torch.eye(x.shape[-2], dtype=torch.bool, device=x.device)
    if keep is not None:
        hidden = hidden | keep
    return masked_softmax(q @ k.mT / q.shape[-1] ** 0.5, ~hidden) @ v


# masks after the softmax, so the weights no longer sum to 1
# adds a residual connection that was not asked for
@answer("a residual connection", "masked after the softmax")
def self_attention__t23(x, w_q, w_k, w_v, keep=None):
    if keep is not None and keep.dtype != torch.bool:
        raise TypeError("keep must be bool")
    q, k, v = (F.linear(x, w_q.mT), F.linear(x, w_k.mT), F.linear(x, w_v.mT))
    p = F.softmax(q @ k.mT / q.size(-1) ** 0.5, -1)
    if keep is not None:
        p = p * keep
    return p @ v + v


# always applies a causal mask
# scores not scaled
@answer("no scale", "always causal")
def self_attention__t24(x, w_q, w_k, w_v, keep=None):
    q, k, v = (x @ w_q, x @ w_k, x @ w_v)
    T = x.size(-2)
    positions = torch.arange(T, device=x.device)
    allowed = positions[None, :] <= positions[:, None]
    if keep is not None:
        if keep.dtype != torch.bool:
            raise TypeError("keep must be bool")
        allowed = allowed & keep
    s = (q @ k.mT).masked_fill(~allowed, torch.finfo(x.dtype).min)
    return torch.softmax(s, -1) * allowed @ v
