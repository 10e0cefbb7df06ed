"""Wrong answers to cross_attention of a fourth trial, by others who had not seen the traps."""

import math

import torch
from fresh import answer

from tutor.attention import scaled_dot_product_attention
from tutor.attention import scaled_dot_product_attention as sdpa


def _split_heads(x, num_heads):
    if x.shape[-1] % num_heads:
        raise ValueError(f"{num_heads} does not divide {x.shape[-1]}")
    return x.unflatten(-1, (num_heads, -1)).transpose(-3, -2)


def _prep(x, m, w_q, w_k, w_v, H, keep):
    return (
        _split_heads(x @ w_q, H),
        _split_heads(m @ w_k, H),
        _split_heads(m @ w_v, H),
        None if keep is None else keep.unsqueeze(-3),
    )


def _merge_heads(heads):
    return heads.transpose(-3, -2).flatten(-2)


def _low(t):
    return torch.finfo(t.dtype).min


def _att(q, k, v, keep=None, scale=None, dim=-1):
    s = q @ k.mT / (math.sqrt(q.shape[-1]) if scale is None else scale)
    if keep is None:
        return s.softmax(dim) @ v
    return s.masked_fill(~keep, _low(s)).softmax(dim) * keep @ v


def _split(x, H):
    if x.shape[-1] % H:
        raise ValueError(f"{H} does not divide {x.shape[-1]}")
    return x.unflatten(-1, (H, -1)).transpose(-3, -2)


def _prep_2(x, m, wq, wk, wv, H, keep):
    return (
        _split(x @ wq, H),
        _split(m @ wk, H),
        _split(m @ wv, H),
        None if keep is None else keep.unsqueeze(-3),
    )


def _merge(t):
    return t.transpose(-3, -2).flatten(-2)


# memory attends to itself: the queries come from memory
@answer("memory asks")
def cross_attention__memory_self(x, memory, w_q, w_k, w_v, w_out, num_heads, keep=None):
    q, k, v, m = _prep(memory, memory, w_q, w_k, w_v, num_heads, keep)
    return _merge_heads(scaled_dot_product_attention(q, k, v, m)) @ w_out


# keys and values from both: cat(x, memory) (Perceiver/prefix)
@answer("x is read, too")
def cross_attention__concat(x, memory, w_q, w_k, w_v, w_out, num_heads, keep=None):
    both = torch.cat([memory, x], -2)
    q, k, v, _ = _prep(x, both, w_q, w_k, w_v, num_heads, None)
    if keep is not None:
        keep = torch.cat(
            [
                keep.expand(*keep.shape[:-2], x.shape[-2], memory.shape[-2]),
                torch.ones(*keep.shape[:-2], x.shape[-2], x.shape[-2], dtype=torch.bool),
            ],
            -1,
        ).unsqueeze(-3)
    return _merge_heads(scaled_dot_product_attention(q, k, v, keep)) @ w_out


# memory length assumed to be x's length in the reshape
@answer("the length of x for memory")
def cross_attention__same_length(x, memory, w_q, w_k, w_v, w_out, num_heads, keep=None):
    B, T = (x.shape[:-2], x.shape[-2])

    def sp(t):
        return t.reshape(*B, T, num_heads, -1).transpose(-3, -2)

    m = None if keep is None else keep.unsqueeze(-3)
    return (
        _merge_heads(
            scaled_dot_product_attention(sp(x @ w_q), sp(memory @ w_k), sp(memory @ w_v), m)
        )
        @ w_out
    )


# mask transposed: hides the queries, not the memory
@answer("the mask on its side")
def cross_attention__keep_mt(x, memory, w_q, w_k, w_v, w_out, num_heads, keep=None):
    q, k, v, m = _prep(x, memory, w_q, w_k, w_v, num_heads, keep)
    return _merge_heads(scaled_dot_product_attention(q, k, v, None if m is None else m.mT)) @ w_out


# scaled by the width of the values, sqrt(Dv)
@answer("scaled by another size")
def cross_attention__scale_dv(x, memory, w_q, w_k, w_v, w_out, num_heads, keep=None):
    q, k, v, m = _prep(x, memory, w_q, w_k, w_v, num_heads, keep)
    return _merge_heads(_att(q, k, v, m, scale=math.sqrt(v.shape[-1]))) @ w_out


# w_q and w_k swapped (q = x w_k)
@answer("w_q and w_k exchanged")
def cross_attention__wq_wk(x, memory, w_q, w_k, w_v, w_out, num_heads, keep=None):
    q, k, v, m = _prep(x, memory, w_k, w_q, w_v, num_heads, keep)
    return _merge_heads(scaled_dot_product_attention(q, k, v, m)) @ w_out


# mask any over the queries: reduced to one row for all (keep.any(-2))
@answer("one row of the mask for all")
def cross_attention__keep_one_row(x, memory, w_q, w_k, w_v, w_out, num_heads, keep=None):
    q, k, v, m = _prep(x, memory, w_q, w_k, w_v, num_heads, keep)
    return (
        _merge_heads(
            scaled_dot_product_attention(q, k, v, None if m is None else m.any(-2, keepdim=True))
        )
        @ w_out
    )


# all heads use head 0's queries
@answer("the first head for all")
def cross_attention__first_query_head(x, m, wq, wk, wv, wo, H, keep):
    q, k, v, mk_ = _prep_2(x, m, wq, wk, wv, H, keep)
    return _merge(sdpa(q[..., :1, :, :].expand_as(q), k, v, mk_)) @ wo


# one shared key/value head (multi-query attention)
@answer("the first head for all")
def cross_attention__multi_query(x, m, wq, wk, wv, wo, H, keep):
    q, k, v, mk_ = _prep_2(x, m, wq, wk, wv, H, keep)
    return _merge(sdpa(q, k[..., :1, :, :].expand_as(k), v[..., :1, :, :].expand_as(v), mk_)) @ wo


# heads in reverse order when merged
@answer("heads in reverse")
def cross_attention__heads_reversed(x, m, wq, wk, wv, wo, H, keep):
    q, k, v, mk_ = _prep_2(x, m, wq, wk, wv, H, keep)
    return _merge(sdpa(q, k, v, mk_).flip(-3)) @ wo


# values split every H-th, keys and queries right
@answer("every H-th feature")
def cross_attention__v_hth(x, m, wq, wk, wv, wo, H, keep):
    q, k, v, mk_ = _prep_2(x, m, wq, wk, wv, H, keep)
    v = (m @ wv).unflatten(-1, (-1, H)).movedim(-1, -3)
    return _merge(sdpa(q, k, v, mk_)) @ wo


# values split by view
@answer("view instead of transpose")
def cross_attention__v_view(x, m, wq, wk, wv, wo, H, keep):
    q, k, v, mk_ = _prep_2(x, m, wq, wk, wv, H, keep)
    t = m @ wv
    v = t.reshape(*t.shape[:-2], H, t.shape[-2], -1)
    return _merge(sdpa(q, k, v, mk_)) @ wo


# the queries alone are split by view
@answer("view instead of transpose")
def cross_attention__q_view(x, m, wq, wk, wv, wo, H, keep):
    q, k, v, mk_ = _prep_2(x, m, wq, wk, wv, H, keep)
    t = x @ wq
    q = t.reshape(*t.shape[:-2], H, t.shape[-2], -1)
    return _merge(sdpa(q, k, v, mk_)) @ wo


# softmax over heads (dim=1 of B,H,T,T)
@answer("softmax over the batch")
def cross_attention__softmax_dim1(x, m, wq, wk, wv, wo, H, keep):
    q, k, v, mk_ = _prep_2(x, m, wq, wk, wv, H, keep)
    s = q @ k.mT / math.sqrt(q.shape[-1])
    if mk_ is not None:
        s = s.masked_fill(~mk_, _low(s))
    return _merge(s.softmax(-3) @ v) @ wo
