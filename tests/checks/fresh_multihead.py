"""Chapter 4's wrong answers, written by one who had not seen the traps."""

import math

import torch
from fresh import answer
from torch.nn import functional as F

from tutor.attention import scaled_dot_product_attention


# queries from memory (roles swapped)
@answer("memory asks")
def cross_attention__w01(x, memory, w_q, w_k, w_v, w_out, num_heads, keep=None):
    q, k, v = (
        t.unflatten(-1, (num_heads, -1)).transpose(-2, -3) for t in (memory @ w_q, x @ w_k, x @ w_v)
    )
    if keep is not None and keep.dim() > 2:
        keep = keep.unsqueeze(-3)
    return scaled_dot_product_attention(q, k, v, keep).transpose(-2, -3).flatten(-2) @ w_out


# self-attention: memory ignored
@answer("memory never read")
def cross_attention__w02(x, memory, w_q, w_k, w_v, w_out, num_heads, keep=None):
    q, k, v = (
        t.unflatten(-1, (num_heads, -1)).transpose(-2, -3) for t in (x @ w_q, x @ w_k, x @ w_v)
    )
    if keep is not None and keep.dim() > 2:
        keep = keep.unsqueeze(-3)
    return scaled_dot_product_attention(q, k, v, keep).transpose(-2, -3).flatten(-2) @ w_out


# values from x
@answer("values from x")
def cross_attention__w03(x, memory, w_q, w_k, w_v, w_out, num_heads, keep=None):
    q, k, v = (
        t.unflatten(-1, (num_heads, -1)).transpose(-2, -3) for t in (x @ w_q, memory @ w_k, x @ w_v)
    )
    if keep is not None and keep.dim() > 2:
        keep = keep.unsqueeze(-3)
    return scaled_dot_product_attention(q, k, v, keep).transpose(-2, -3).flatten(-2) @ w_out


# keep ignored
@answer("the mask forgotten")
def cross_attention__w04(x, memory, w_q, w_k, w_v, w_out, num_heads, keep=None):
    q, k, v = (
        t.unflatten(-1, (num_heads, -1)).transpose(-2, -3)
        for t in (x @ w_q, memory @ w_k, memory @ w_v)
    )
    return scaled_dot_product_attention(q, k, v).transpose(-2, -3).flatten(-2) @ w_out


# w_out forgotten
@answer("no output projection")
def cross_attention__w05(x, memory, w_q, w_k, w_v, w_out, num_heads, keep=None):
    q, k, v = (
        t.unflatten(-1, (num_heads, -1)).transpose(-2, -3)
        for t in (x @ w_q, memory @ w_k, memory @ w_v)
    )
    if keep is not None and keep.dim() > 2:
        keep = keep.unsqueeze(-3)
    return scaled_dot_product_attention(q, k, v, keep).transpose(-2, -3).flatten(-2)


# heads not merged: transpose before merge forgotten
@answer("merged without transposing back")
def cross_attention__w06(x, memory, w_q, w_k, w_v, w_out, num_heads, keep=None):
    q, k, v = (
        t.unflatten(-1, (num_heads, -1)).transpose(-2, -3)
        for t in (x @ w_q, memory @ w_k, memory @ w_v)
    )
    if keep is not None and keep.dim() > 2:
        keep = keep.unsqueeze(-3)
    o = scaled_dot_product_attention(q, k, v, keep)
    return o.reshape(*x.shape[:-1], -1) @ w_out


# heads split without transpose (reshape to H, T, D)
@answer("view instead of transpose")
def cross_attention__w07(x, memory, w_q, w_k, w_v, w_out, num_heads, keep=None):
    q, k, v = (
        t.reshape(*t.shape[:-2], num_heads, t.shape[-2], -1)
        for t in (x @ w_q, memory @ w_k, memory @ w_v)
    )
    if keep is not None and keep.dim() > 2:
        keep = keep.unsqueeze(-3)
    return scaled_dot_product_attention(q, k, v, keep).transpose(-2, -3).flatten(-2) @ w_out


# features interleaved over heads
@answer("every H-th feature")
def cross_attention__w08(x, memory, w_q, w_k, w_v, w_out, num_heads, keep=None):
    q, k, v = (
        t.unflatten(-1, (-1, num_heads)).movedim(-1, -3)
        for t in (x @ w_q, memory @ w_k, memory @ w_v)
    )
    if keep is not None and keep.dim() > 2:
        keep = keep.unsqueeze(-3)
    return scaled_dot_product_attention(q, k, v, keep).movedim(-3, -1).flatten(-2) @ w_out


# one head only (num_heads ignored)
@answer("one wide head")
def cross_attention__w09(x, memory, w_q, w_k, w_v, w_out, num_heads, keep=None):
    return scaled_dot_product_attention(x @ w_q, memory @ w_k, memory @ w_v, keep) @ w_out


# attends over heads: no transpose
@answer("heads that read each other")
def cross_attention__w10(x, memory, w_q, w_k, w_v, w_out, num_heads, keep=None):
    q, k, v = (t.unflatten(-1, (num_heads, -1)) for t in (x @ w_q, memory @ w_k, memory @ w_v))
    return scaled_dot_product_attention(q, k, v).flatten(-2) @ w_out


# mask without head dimension (3-d keep broadcast against heads)
@answer("the mask on the wrong axis")
def cross_attention__w11(x, memory, w_q, w_k, w_v, w_out, num_heads, keep=None):
    q, k, v = (
        t.unflatten(-1, (num_heads, -1)).transpose(-2, -3)
        for t in (x @ w_q, memory @ w_k, memory @ w_v)
    )
    return scaled_dot_product_attention(q, k, v, keep).transpose(-2, -3).flatten(-2) @ w_out


# keep.unsqueeze(1) hard coded
@answer("the mask on the wrong axis")
def cross_attention__w12(x, memory, w_q, w_k, w_v, w_out, num_heads, keep=None):
    q, k, v = (
        t.unflatten(-1, (num_heads, -1)).transpose(-2, -3)
        for t in (x @ w_q, memory @ w_k, memory @ w_v)
    )
    if keep is not None:
        keep = keep.unsqueeze(1)
    return scaled_dot_product_attention(q, k, v, keep).transpose(-2, -3).flatten(-2) @ w_out


# D used for values too
@answer("one width for all")
def cross_attention__w13(x, memory, w_q, w_k, w_v, w_out, num_heads, keep=None):
    d = w_q.shape[1] // num_heads
    q, k, v = (
        t.unflatten(-1, (num_heads, d)).transpose(-2, -3)
        for t in (x @ w_q, memory @ w_k, memory @ w_v)
    )
    if keep is not None and keep.dim() > 2:
        keep = keep.unsqueeze(-3)
    return scaled_dot_product_attention(q, k, v, keep).transpose(-2, -3).flatten(-2) @ w_out


# mask inverted
@answer("mask inverted")
def cross_attention__w14(x, memory, w_q, w_k, w_v, w_out, num_heads, keep=None):
    q, k, v = (
        t.unflatten(-1, (num_heads, -1)).transpose(-2, -3)
        for t in (x @ w_q, memory @ w_k, memory @ w_v)
    )
    if keep is not None:
        keep = ~keep
        if keep.dim() > 2:
            keep = keep.unsqueeze(-3)
    return scaled_dot_product_attention(q, k, v, keep).transpose(-2, -3).flatten(-2) @ w_out


# scale of the whole width, not the head's
@answer("scaled by the width of the model")
def cross_attention__w15(x, memory, w_q, w_k, w_v, w_out, num_heads, keep=None):
    q, k, v = (
        t.unflatten(-1, (num_heads, -1)).transpose(-2, -3)
        for t in (x @ w_q, memory @ w_k, memory @ w_v)
    )
    s = (q / w_q.shape[1] ** 0.5) @ k.mT
    if keep is not None:
        keep = keep.unsqueeze(-3) if keep.dim() > 2 else keep
        s = s.masked_fill(~keep, torch.finfo(s.dtype).min)
    w = s.softmax(-1)
    if keep is not None:
        w = w * keep
    return (w @ v).transpose(-2, -3).flatten(-2) @ w_out


# scale forgotten
@answer("no scale")
def cross_attention__w16(x, memory, w_q, w_k, w_v, w_out, num_heads, keep=None):
    q, k, v = (
        t.unflatten(-1, (num_heads, -1)).transpose(-2, -3)
        for t in (x @ w_q, memory @ w_k, memory @ w_v)
    )
    s = q @ k.mT
    if keep is not None:
        keep = keep.unsqueeze(-3) if keep.dim() > 2 else keep
        s = s.masked_fill(~keep, torch.finfo(s.dtype).min)
    w = s.softmax(-1)
    if keep is not None:
        w = w * keep
    return (w @ v).transpose(-2, -3).flatten(-2) @ w_out


# keys and values swapped
@answer("keys and values swapped")
def cross_attention__w17(x, memory, w_q, w_k, w_v, w_out, num_heads, keep=None):
    q, k, v = (
        t.unflatten(-1, (num_heads, -1)).transpose(-2, -3)
        for t in (x @ w_q, memory @ w_v, memory @ w_k)
    )
    if keep is not None and keep.dim() > 2:
        keep = keep.unsqueeze(-3)
    return scaled_dot_product_attention(q, k, v, keep).transpose(-2, -3).flatten(-2) @ w_out


# keys also used as values
@answer("one projection for keys and values")
def cross_attention__w18(x, memory, w_q, w_k, w_v, w_out, num_heads, keep=None):
    q, k, v = (
        t.unflatten(-1, (num_heads, -1)).transpose(-2, -3)
        for t in (x @ w_q, memory @ w_k, memory @ w_k)
    )
    if keep is not None and keep.dim() > 2:
        keep = keep.unsqueeze(-3)
    return scaled_dot_product_attention(q, k, v, keep).transpose(-2, -3).flatten(-2) @ w_out


# nan in empty rows
@answer("the row that may read nothing")
def cross_attention__w19(x, memory, w_q, w_k, w_v, w_out, num_heads, keep=None):
    q, k, v = (
        t.unflatten(-1, (num_heads, -1)).transpose(-2, -3)
        for t in (x @ w_q, memory @ w_k, memory @ w_v)
    )
    s = (q / q.shape[-1] ** 0.5) @ k.mT
    if keep is not None:
        s = s.masked_fill(~(keep.unsqueeze(-3) if keep.dim() > 2 else keep), -math.inf)
    return (s.softmax(-1) @ v).transpose(-2, -3).flatten(-2) @ w_out


# weights transposed (F.linear)
@answer("nn.Linear's orientation")
def cross_attention__w20(x, memory, w_q, w_k, w_v, w_out, num_heads, keep=None):
    q, k, v = (
        t.unflatten(-1, (num_heads, -1)).transpose(-2, -3)
        for t in (F.linear(x, w_q), F.linear(memory, w_k), F.linear(memory, w_v))
    )
    if keep is not None and keep.dim() > 2:
        keep = keep.unsqueeze(-3)
    return F.linear(
        scaled_dot_product_attention(q, k, v, keep).transpose(-2, -3).flatten(-2), w_out
    )


# view after transpose (non-contiguous)
@answer("view of what is not contiguous")
def cross_attention__w21(x, memory, w_q, w_k, w_v, w_out, num_heads, keep=None):
    q, k, v = (
        t.unflatten(-1, (num_heads, -1)).transpose(-2, -3)
        for t in (x @ w_q, memory @ w_k, memory @ w_v)
    )
    if keep is not None and keep.dim() > 2:
        keep = keep.unsqueeze(-3)
    o = scaled_dot_product_attention(q, k, v, keep).transpose(-2, -3)
    return o.view(*x.shape[:-1], -1) @ w_out


# mean over heads
@answer("divided by the number of heads")
def cross_attention__w22(x, memory, w_q, w_k, w_v, w_out, num_heads, keep=None):
    q, k, v = (
        t.unflatten(-1, (num_heads, -1)).transpose(-2, -3)
        for t in (x @ w_q, memory @ w_k, memory @ w_v)
    )
    if keep is not None and keep.dim() > 2:
        keep = keep.unsqueeze(-3)
    o = scaled_dot_product_attention(q, k, v, keep).transpose(-2, -3).flatten(-2)
    return o @ w_out / num_heads


# memory ignored; keep ignored
@answer("memory never read")
def cross_attention__w23(x, memory, w_q, w_k, w_v, w_out, num_heads, keep=None):
    q, k, v = (
        t.unflatten(-1, (num_heads, -1)).transpose(-2, -3) for t in (x @ w_q, x @ w_k, x @ w_v)
    )
    return scaled_dot_product_attention(q, k, v).transpose(-2, -3).flatten(-2) @ w_out


# inverted mask; transpose before merge forgotten
@answer("merged without transposing back", "mask inverted")
def cross_attention__w24(x, memory, w_q, w_k, w_v, w_out, num_heads, keep=None):
    q, k, v = (
        t.unflatten(-1, (num_heads, -1)).transpose(-2, -3)
        for t in (x @ w_q, memory @ w_k, memory @ w_v)
    )
    if keep is not None:
        keep = ~keep
        if keep.dim() > 2:
            keep = keep.unsqueeze(-3)
    return scaled_dot_product_attention(q, k, v, keep).reshape(*x.shape[:-1], -1) @ w_out


# keep ignored; w_out forgotten
@answer("no output projection", "the mask forgotten")
def cross_attention__w25(x, memory, w_q, w_k, w_v, w_out, num_heads, keep=None):
    q, k, v = (
        t.unflatten(-1, (num_heads, -1)).transpose(-2, -3)
        for t in (x @ w_q, memory @ w_k, memory @ w_v)
    )
    return scaled_dot_product_attention(q, k, v).transpose(-2, -3).flatten(-2)


# one head only; keep ignored
@answer("one wide head", "the mask forgotten")
def cross_attention__w26(x, memory, w_q, w_k, w_v, w_out, num_heads, keep=None):
    return scaled_dot_product_attention(x @ w_q, memory @ w_k, memory @ w_v) @ w_out


# keys and values swapped; keep inverted
@answer("keys and values swapped")
def cross_attention__w27(x, memory, w_q, w_k, w_v, w_out, num_heads, keep=None):
    q, k, v = (
        t.unflatten(-1, (num_heads, -1)).transpose(-2, -3)
        for t in (x @ w_q, memory @ w_v, memory @ w_k)
    )
    if keep is not None:
        keep = ~(keep.unsqueeze(-3) if keep.dim() > 2 else keep)
    return scaled_dot_product_attention(q, k, v, keep).transpose(-2, -3).flatten(-2) @ w_out


# torch's own attention (not allowed)
@answer()
def cross_attention__w28(x, memory, w_q, w_k, w_v, w_out, num_heads, keep=None):
    q, k, v = (
        t.unflatten(-1, (num_heads, -1)).transpose(-2, -3)
        for t in (x @ w_q, memory @ w_k, memory @ w_v)
    )
    if keep is not None and keep.dim() > 2:
        keep = keep.unsqueeze(-3)
    o = F.scaled_dot_product_attention(q, k, v, attn_mask=keep)
    return o.transpose(-2, -3).flatten(-2) @ w_out


# residual added
@answer()
def cross_attention__w29(x, memory, w_q, w_k, w_v, w_out, num_heads, keep=None):
    q, k, v = (
        t.unflatten(-1, (num_heads, -1)).transpose(-2, -3)
        for t in (x @ w_q, memory @ w_k, memory @ w_v)
    )
    if keep is not None and keep.dim() > 2:
        keep = keep.unsqueeze(-3)
    o = scaled_dot_product_attention(q, k, v, keep).transpose(-2, -3).flatten(-2) @ w_out
    return o + x if o.shape == x.shape else o


# one head only; values from x
@answer("values from x", "one wide head")
def cross_attention__w30(x, memory, w_q, w_k, w_v, w_out, num_heads, keep=None):
    return scaled_dot_product_attention(x @ w_q, memory @ w_k, x @ w_v, keep) @ w_out
