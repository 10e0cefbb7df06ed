"""Chapter 3's wrong answers, written by one who had not seen the traps."""

import math

import torch
from fresh import answer, bool_only


# scale forgotten
@answer("no scale")
def scaled_dot_product_attention__w01(q, k, v, keep=None):
    bool_only(keep)
    s = q @ k.mT
    if keep is None:
        return s.softmax(-1) @ v
    return (s.masked_fill(~keep, torch.finfo(s.dtype).min).softmax(-1) * keep) @ v


# divided by D, not its root
@answer("divided by D instead of √D")
def scaled_dot_product_attention__w02(q, k, v, keep=None):
    bool_only(keep)
    s = (q / q.shape[-1]) @ k.mT
    if keep is None:
        return s.softmax(-1) @ v
    return (s.masked_fill(~keep, torch.finfo(s.dtype).min).softmax(-1) * keep) @ v


# root of Dv
@answer("scaled by another size")
def scaled_dot_product_attention__w03(q, k, v, keep=None):
    bool_only(keep)
    s = (q / v.shape[-1] ** 0.5) @ k.mT
    if keep is None:
        return s.softmax(-1) @ v
    return (s.masked_fill(~keep, torch.finfo(s.dtype).min).softmax(-1) * keep) @ v


# root of Tk
@answer("scaled by another size")
def scaled_dot_product_attention__w04(q, k, v, keep=None):
    bool_only(keep)
    s = (q / k.shape[-2] ** 0.5) @ k.mT
    if keep is None:
        return s.softmax(-1) @ v
    return (s.masked_fill(~keep, torch.finfo(s.dtype).min).softmax(-1) * keep) @ v


# multiplied by the root
@answer("multiplied by √D")
def scaled_dot_product_attention__w05(q, k, v, keep=None):
    bool_only(keep)
    s = (q * q.shape[-1] ** 0.5) @ k.mT
    if keep is None:
        return s.softmax(-1) @ v
    return (s.masked_fill(~keep, torch.finfo(s.dtype).min).softmax(-1) * keep) @ v


# softmax over queries
@answer("softmax over the queries")
def scaled_dot_product_attention__w06(q, k, v, keep=None):
    bool_only(keep)
    s = (q / q.shape[-1] ** 0.5) @ k.mT
    if keep is None:
        return s.softmax(-2) @ v
    return (s.masked_fill(~keep, torch.finfo(s.dtype).min).softmax(-2) * keep) @ v


# mask inverted
@answer("mask inverted")
def scaled_dot_product_attention__w07(q, k, v, keep=None):
    bool_only(keep)
    s = (q / q.shape[-1] ** 0.5) @ k.mT
    if keep is None:
        return s.softmax(-1) @ v
    return (s.masked_fill(keep, torch.finfo(s.dtype).min).softmax(-1) * ~keep) @ v


# mask after softmax
@answer("masked after the softmax")
def scaled_dot_product_attention__w08(q, k, v, keep=None):
    bool_only(keep)
    w = ((q / q.shape[-1] ** 0.5) @ k.mT).softmax(-1)
    if keep is not None:
        w = w * keep
    return w @ v


# empty rows read the mean
@answer("nothing to read, so everything is read")
def scaled_dot_product_attention__w09(q, k, v, keep=None):
    bool_only(keep)
    s = (q / q.shape[-1] ** 0.5) @ k.mT
    if keep is not None:
        s = s.masked_fill(~keep, torch.finfo(s.dtype).min)
    return s.softmax(-1) @ v


# nan in empty rows
@answer("the row that may read nothing")
def scaled_dot_product_attention__w10(q, k, v, keep=None):
    bool_only(keep)
    s = (q / q.shape[-1] ** 0.5) @ k.mT
    if keep is not None:
        s = s.masked_fill(~keep, float("-inf"))
    return s.softmax(-1) @ v


# scaled after the softmax
@answer("scaled after the softmax")
def scaled_dot_product_attention__w12(q, k, v, keep=None):
    bool_only(keep)
    s = q @ k.mT
    if keep is not None:
        s = s.masked_fill(~keep, torch.finfo(s.dtype).min)
    w = s.softmax(-1) / math.sqrt(q.shape[-1])
    if keep is not None:
        w = w * keep
    return w @ v


# -1e9 does not fit half
@answer("-1e9 as minus infinity")
def scaled_dot_product_attention__w13(q, k, v, keep=None):
    bool_only(keep)
    s = (q / q.shape[-1] ** 0.5) @ k.mT
    if keep is None:
        return s.softmax(-1) @ v
    return (s.masked_fill(~keep, -1e9).softmax(-1) * keep) @ v


# k.T / k.t() on batches
@answer("keys not transposed")
def scaled_dot_product_attention__w14(q, k, v, keep=None):
    bool_only(keep)
    s = (q / q.shape[-1] ** 0.5) @ k.T
    if keep is None:
        return s.softmax(-1) @ v
    return (s.masked_fill(~keep, torch.finfo(s.dtype).min).softmax(-1) * keep) @ v


# view on non-contiguous
@answer("view of what is not contiguous")
def scaled_dot_product_attention__w15(q, k, v, keep=None):
    bool_only(keep)
    tq, d = q.shape[-2:]
    tk, _dv = v.shape[-2:]
    s = torch.bmm(q.view(-1, tq, d) / d**0.5, k.view(-1, tk, d).mT).view(*q.shape[:-1], tk)
    if keep is None:
        return s.softmax(-1) @ v
    return (s.masked_fill(~keep, torch.finfo(s.dtype).min).softmax(-1) * keep) @ v


# in-place on q
@answer("the caller's queries overwritten")
def scaled_dot_product_attention__w16(q, k, v, keep=None):
    bool_only(keep)
    q /= q.shape[-1] ** 0.5
    s = q @ k.mT
    if keep is None:
        return s.softmax(-1) @ v
    return (s.masked_fill(~keep, torch.finfo(s.dtype).min).softmax(-1) * keep) @ v


# hard-coded scale of 64
@answer("a constant scale")
def scaled_dot_product_attention__w17(q, k, v, keep=None):
    bool_only(keep)
    s = (q * 0.125) @ k.mT
    if keep is None:
        return s.softmax(-1) @ v
    return (s.masked_fill(~keep, torch.finfo(s.dtype).min).softmax(-1) * keep) @ v


# hidden scores 0
@answer("the mask multiplies the scores")
def scaled_dot_product_attention__w18(q, k, v, keep=None):
    bool_only(keep)
    s = (q / q.shape[-1] ** 0.5) @ k.mT
    if keep is None:
        return s.softmax(-1) @ v
    return ((s * keep).softmax(-1) * keep) @ v


# scaled twice (q and k)
@answer("divided by D instead of √D")
def scaled_dot_product_attention__w19(q, k, v, keep=None):
    bool_only(keep)
    r = q.shape[-1] ** 0.5
    s = (q / r) @ (k / r).mT
    if keep is None:
        return s.softmax(-1) @ v
    return (s.masked_fill(~keep, torch.finfo(s.dtype).min).softmax(-1) * keep) @ v


# slightly wrong: D + 1
@answer("scaled by another size")
def scaled_dot_product_attention__w20(q, k, v, keep=None):
    bool_only(keep)
    s = (q / math.sqrt(q.shape[-1] + 1)) @ k.mT
    if keep is None:
        return s.softmax(-1) @ v
    return (s.masked_fill(~keep, torch.finfo(s.dtype).min).softmax(-1) * keep) @ v


# scale by a float32 tensor of the root rounded (torch.sqrt(torch.tensor(D))): precision
@answer()
def scaled_dot_product_attention__w21(q, k, v, keep=None):
    bool_only(keep)
    r = float(torch.sqrt(torch.tensor(q.shape[-1])))
    s = (q / r) @ k.mT
    if keep is None:
        return s.softmax(-1) @ v
    return (s.masked_fill(~keep, torch.finfo(s.dtype).min).softmax(-1) * keep) @ v


# no scale; inverted mask
@answer("no scale", "mask inverted")
def scaled_dot_product_attention__w22(q, k, v, keep=None):
    bool_only(keep)
    s = q @ k.mT
    if keep is None:
        return s.softmax(-1) @ v
    return (s.masked_fill(keep, torch.finfo(s.dtype).min).softmax(-1) * ~keep) @ v


# no scale; nan in empty rows
@answer("no scale", "the row that may read nothing")
def scaled_dot_product_attention__w23(q, k, v, keep=None):
    bool_only(keep)
    s = q @ k.mT
    if keep is not None:
        s = s.masked_fill(~keep, float("-inf"))
    return s.softmax(-1) @ v


# divided by D; softmax over queries
@answer("divided by D instead of √D", "softmax over the queries")
def scaled_dot_product_attention__w24(q, k, v, keep=None):
    bool_only(keep)
    s = (q / q.shape[-1]) @ k.mT
    if keep is None:
        return s.softmax(-2) @ v
    return (s.masked_fill(~keep, torch.finfo(s.dtype).min).softmax(-2) * keep) @ v


# mask after softmax; root of Dv
@answer("scaled by another size", "masked after the softmax")
def scaled_dot_product_attention__w25(q, k, v, keep=None):
    bool_only(keep)
    w = ((q / v.shape[-1] ** 0.5) @ k.mT).softmax(-1)
    if keep is not None:
        w = w * keep
    return w @ v


# inverted mask; empty rows read the mean
@answer("mask inverted", "nothing to read, so everything is read")
def scaled_dot_product_attention__w26(q, k, v, keep=None):
    bool_only(keep)
    s = (q / q.shape[-1] ** 0.5) @ k.mT
    if keep is not None:
        s = s.masked_fill(keep, torch.finfo(s.dtype).min)
    return s.softmax(-1) @ v


# no scale; mask after softmax
@answer("no scale", "masked after the softmax")
def scaled_dot_product_attention__w27(q, k, v, keep=None):
    bool_only(keep)
    w = (q @ k.mT).softmax(-1)
    if keep is not None:
        w = w * keep
    return w @ v


# scaled after the product (half overflow); empty rows read the mean
@answer("nothing to read, so everything is read")
def scaled_dot_product_attention__w28(q, k, v, keep=None):
    bool_only(keep)
    s = q @ k.mT / q.shape[-1] ** 0.5
    if keep is not None:
        s = s.masked_fill(~keep, torch.finfo(s.dtype).min)
    return s.softmax(-1) @ v


# keys read in reverse
@answer()
def scaled_dot_product_attention__w29(q, k, v, keep=None):
    bool_only(keep)
    s = (q / q.shape[-1] ** 0.5) @ k.flip(-2).mT
    if keep is None:
        return s.softmax(-1) @ v
    return (s.masked_fill(~keep, torch.finfo(s.dtype).min).softmax(-1) * keep) @ v


# values normalised / weights renormalised by mask count
@answer()
def scaled_dot_product_attention__w30(q, k, v, keep=None):
    bool_only(keep)
    s = (q / q.shape[-1] ** 0.5) @ k.mT
    if keep is None:
        return s.softmax(-1) @ v
    w = s.masked_fill(~keep, torch.finfo(s.dtype).min).softmax(-1) * keep
    return w @ v / keep.expand(s.shape).sum(-1, keepdim=True).clamp(min=1)


# None not handled
@answer()
def scaled_dot_product_attention__w31(q, k, v, keep=None):
    bool_only(keep)
    s = (q / q.shape[-1] ** 0.5) @ k.mT
    return (s.masked_fill(~keep, torch.finfo(s.dtype).min).softmax(-1) * keep) @ v


# 0 for nan anywhere but gradients nan (added -inf)
@answer("nan swept under the rug")
def scaled_dot_product_attention__w32(q, k, v, keep=None):
    bool_only(keep)
    s = (q / q.shape[-1] ** 0.5) @ k.mT
    if keep is not None:
        s = s + torch.zeros_like(s).masked_fill(~keep, -math.inf)
    return s.softmax(-1).nan_to_num(0.0) @ v


# scaled by Tk; inverted mask
@answer("scaled by another size", "mask inverted")
def scaled_dot_product_attention__w33(q, k, v, keep=None):
    bool_only(keep)
    s = (q / k.shape[-2] ** 0.5) @ k.mT
    if keep is None:
        return s.softmax(-1) @ v
    return (s.masked_fill(keep, torch.finfo(s.dtype).min).softmax(-1) * ~keep) @ v


# softmax over queries; nan rows
@answer("softmax over the queries", "the row that may read nothing")
def scaled_dot_product_attention__w34(q, k, v, keep=None):
    bool_only(keep)
    s = (q / q.shape[-1] ** 0.5) @ k.mT
    if keep is not None:
        s = s.masked_fill(~keep, -math.inf)
    return s.softmax(-2) @ v


# hidden with 1e-9 (tiny positive) instead of -1e9
@answer("the mask multiplies the scores")
def scaled_dot_product_attention__w35(q, k, v, keep=None):
    bool_only(keep)
    s = (q / q.shape[-1] ** 0.5) @ k.mT
    if keep is None:
        return s.softmax(-1) @ v
    return (s.masked_fill(~keep, 1e-9).softmax(-1) * keep) @ v


# -1e4 not low enough
@answer("not low enough")
def scaled_dot_product_attention__w36(q, k, v, keep=None):
    bool_only(keep)
    s = (q / q.shape[-1] ** 0.5) @ k.mT
    if keep is None:
        return s.softmax(-1) @ v
    return (s.masked_fill(~keep, -1e4).softmax(-1) * keep) @ v


# returns the weights too (tuple)
@answer()
def scaled_dot_product_attention__w37(q, k, v, keep=None):
    bool_only(keep)
    s = (q / q.shape[-1] ** 0.5) @ k.mT
    if keep is None:
        w = s.softmax(-1)
    else:
        w = s.masked_fill(~keep, torch.finfo(s.dtype).min).softmax(-1) * keep
    return w @ v, w


# v.shape[-1] of width by q.size(1)
@answer("scaled by another size")
def scaled_dot_product_attention__w38(q, k, v, keep=None):
    bool_only(keep)
    s = (q / q.size(1) ** 0.5) @ k.mT
    if keep is None:
        return s.softmax(-1) @ v
    return (s.masked_fill(~keep, torch.finfo(s.dtype).min).softmax(-1) * keep) @ v


# float32 inside and out
@answer()
def scaled_dot_product_attention__w39(q, k, v, keep=None):
    bool_only(keep)
    s = (q.float() / q.shape[-1] ** 0.5) @ k.float().mT
    if keep is None:
        return (s.softmax(-1) @ v.float()).to(q.dtype)
    return ((s.masked_fill(~keep, torch.finfo(s.dtype).min).softmax(-1) * keep) @ v.float()).to(
        q.dtype
    )


# no offset
@answer("aligned to the wrong corner")
def causal_mask__w01(num_queries, num_keys, device=None):
    return torch.ones(num_queries, num_keys, dtype=torch.bool, device=device).tril()


# own position hidden
@answer("shifted back by one")
def causal_mask__w02(num_queries, num_keys, device=None):
    q = torch.arange(num_queries, device=device)[:, None] + num_keys - num_queries
    return torch.arange(num_keys, device=device) < q


# offset with the wrong sign
@answer("shifted the wrong way")
def causal_mask__w03(num_queries, num_keys, device=None):
    q = torch.arange(num_queries, device=device)[:, None] + num_queries - num_keys
    return torch.arange(num_keys, device=device) <= q


# one key of the future
@answer("shifted forward by one")
def causal_mask__w04(num_queries, num_keys, device=None):
    q = torch.arange(num_queries, device=device)[:, None] + num_keys - num_queries
    return torch.arange(num_keys, device=device) <= q + 1


# upper triangle (the future)
@answer("the future instead of the past")
def causal_mask__w05(num_queries, num_keys, device=None):
    q = torch.arange(num_queries, device=device)[:, None] + num_keys - num_queries
    return torch.arange(num_keys, device=device) >= q


# inverted: True hides
@answer("inverted")
def causal_mask__w06(num_queries, num_keys, device=None):
    q = torch.arange(num_queries, device=device)[:, None] + num_keys - num_queries
    return torch.arange(num_keys, device=device) > q


# transposed
@answer("rows of keys")
def causal_mask__w07(num_queries, num_keys, device=None):
    q = torch.arange(num_queries, device=device) + num_keys - num_queries
    return torch.arange(num_keys, device=device)[:, None] <= q


# float, not bool
@answer("ones and zeros instead of True and False")
def causal_mask__w08(num_queries, num_keys, device=None):
    return torch.ones(num_queries, num_keys, device=device).tril(num_keys - num_queries)


# device ignored
@answer()
def causal_mask__w09(num_queries, num_keys, device=None):
    return torch.ones(num_queries, num_keys, dtype=torch.bool).tril(num_keys - num_queries)


# -inf bias instead of bool
@answer("a mask to be added")
def causal_mask__w10(num_queries, num_keys, device=None):
    return torch.full((num_queries, num_keys), -math.inf, device=device).triu(
        num_keys - num_queries + 1
    )


# int8 positions overflow
@answer("positions in a short dtype")
def causal_mask__w13(num_queries, num_keys, device=None):
    q = torch.arange(num_queries, device=device, dtype=torch.int8)[:, None] + (
        num_keys - num_queries
    )
    return torch.arange(num_keys, device=device, dtype=torch.int8) <= q


# bfloat16/half positions
@answer("positions in a short dtype")
def causal_mask__w14(num_queries, num_keys, device=None):
    q = torch.arange(num_queries, device=device).bfloat16()[:, None] + (num_keys - num_queries)
    return torch.arange(num_keys, device=device).bfloat16() <= q


# square (Tk, Tk)
@answer("always square")
def causal_mask__w15(num_queries, num_keys, device=None):
    return torch.ones(num_keys, num_keys, dtype=torch.bool, device=device).tril()


# first query sees all (one query special case) else square
@answer("aligned to the wrong corner")
def causal_mask__w16(num_queries, num_keys, device=None):
    if num_queries == 1:
        return torch.ones(1, num_keys, dtype=torch.bool, device=device)
    return torch.ones(num_queries, num_keys, dtype=torch.bool, device=device).tril()


# off by one: offset - 1 (same as strict)
@answer("shifted back by one")
def causal_mask__w17(num_queries, num_keys, device=None):
    return torch.ones(num_queries, num_keys, dtype=torch.bool, device=device).tril(
        num_keys - num_queries - 1
    )


# leading dimensions (1, 1, Tq, Tk)
@answer("dimensions in front")
def causal_mask__w18(num_queries, num_keys, device=None):
    return torch.ones(num_queries, num_keys, dtype=torch.bool, device=device).tril(
        num_keys - num_queries
    )[None, None]


# everything readable
@answer("nothing hidden")
def causal_mask__w19(num_queries, num_keys, device=None):
    return torch.ones(num_queries, num_keys, dtype=torch.bool, device=device)


# only its own position
@answer("only itself")
def causal_mask__w20(num_queries, num_keys, device=None):
    q = torch.arange(num_queries, device=device)[:, None] + num_keys - num_queries
    return torch.arange(num_keys, device=device) == q


# no offset; inverted
@answer("inverted", "aligned to the wrong corner")
def causal_mask__w21(num_queries, num_keys, device=None):
    return torch.ones(num_queries, num_keys, dtype=torch.bool, device=device).triu(1)


# no offset; float
@answer("aligned to the wrong corner", "ones and zeros instead of True and False")
def causal_mask__w22(num_queries, num_keys, device=None):
    return torch.ones(num_queries, num_keys, device=device).tril()


# no offset; own position hidden
@answer("shifted back by one", "aligned to the wrong corner")
def causal_mask__w23(num_queries, num_keys, device=None):
    return torch.ones(num_queries, num_keys, dtype=torch.bool, device=device).tril(-1)


# device ignored; own position hidden
@answer("shifted back by one")
def causal_mask__w24(num_queries, num_keys, device=None):
    q = torch.arange(num_queries)[:, None] + num_keys - num_queries
    return torch.arange(num_keys) < q


# no offset; device ignored
@answer("aligned to the wrong corner")
def causal_mask__w25(num_queries, num_keys, device=None):
    return torch.tril(torch.ones(num_queries, num_keys)).bool()


# wrong sign; own position hidden
@answer("shifted back by one", "shifted the wrong way")
def causal_mask__w26(num_queries, num_keys, device=None):
    q = torch.arange(num_queries, device=device)[:, None] + num_queries - num_keys
    return torch.arange(num_keys, device=device) < q


# python lists (contract)
@answer()
def causal_mask__w27(num_queries, num_keys, device=None):
    off = num_keys - num_queries
    return torch.tensor(
        [[j <= i + off for j in range(num_keys)] for i in range(num_queries)], device=device
    )


# rows reversed
@answer("time counted backwards")
def causal_mask__w28(num_queries, num_keys, device=None):
    return (
        torch.ones(num_queries, num_keys, dtype=torch.bool, device=device)
        .tril(num_keys - num_queries)
        .flip(0)
    )


# band of 128 keys (window)
@answer("a window over the past")
def causal_mask__w29(num_queries, num_keys, device=None):
    m = torch.ones(num_queries, num_keys, dtype=torch.bool, device=device).tril(
        num_keys - num_queries
    )
    return m.triu(num_keys - num_queries - 128)


# uint8 instead of bool
@answer("ones and zeros instead of True and False")
def causal_mask__w30(num_queries, num_keys, device=None):
    return torch.ones(num_queries, num_keys, dtype=torch.uint8, device=device).tril(
        num_keys - num_queries
    )


# transposed; no offset
@answer("aligned to the wrong corner", "rows of keys")
def causal_mask__w31(num_queries, num_keys, device=None):
    return torch.ones(num_keys, num_queries, dtype=torch.bool, device=device).tril()


# inverted; own position (triu(0) w/ offset)
@answer("the future instead of the past")
def causal_mask__w32(num_queries, num_keys, device=None):
    return torch.ones(num_queries, num_keys, dtype=torch.bool, device=device).triu(
        num_keys - num_queries
    )
