"""Wrong answers to multi_head_attention of a fourth trial, by others who had not seen the traps."""

import torch.nn.functional as F
from fresh import answer

from tutor.attention import scaled_dot_product_attention


def _split_heads(x, num_heads):
    if x.shape[-1] % num_heads:
        raise ValueError(f"{num_heads} does not divide {x.shape[-1]}")
    return x.unflatten(-1, (num_heads, -1)).transpose(-3, -2)


def _prep(x, w_q, w_k, w_v, num_heads, keep):
    q, k, v = (_split_heads(x @ w, num_heads) for w in (w_q, w_k, w_v))
    return (q, k, v, None if keep is None else keep.unsqueeze(-3))


def _merge_heads(heads):
    return heads.transpose(-3, -2).flatten(-2)


# w_out transposed
@answer("nn.Linear's orientation")
def multi_head_attention__out_t(x, w_q, w_k, w_v, w_out, num_heads, keep=None):
    q, k, v, m = _prep(x, w_q, w_k, w_v, num_heads, keep)
    return F.linear(_merge_heads(scaled_dot_product_attention(q, k, v, m)), w_out)


# weights transposed (F.linear convention)
@answer("nn.Linear's orientation")
def multi_head_attention__weights_t(x, w_q, w_k, w_v, w_out, num_heads, keep=None):
    q, k, v = (_split_heads(F.linear(x, w), num_heads) for w in (w_q, w_k, w_v))
    m = None if keep is None else keep.unsqueeze(-3)
    return F.linear(_merge_heads(scaled_dot_product_attention(q, k, v, m)), w_out)


# Dv taken for D: all cut with D of the keys / head width C // H
@answer("one width for all")
def multi_head_attention__d_from_c(x, w_q, w_k, w_v, w_out, num_heads, keep=None):
    B = x.shape[:-2]
    T, C = x.shape[-2:]
    D = C // num_heads

    def sp(t):
        return t.reshape(*B, T, num_heads, D).transpose(-3, -2)

    o = scaled_dot_product_attention(
        sp(x @ w_q), sp(x @ w_k), sp(x @ w_v), None if keep is None else keep.unsqueeze(-3)
    )
    return o.transpose(-3, -2).reshape(*B, T, C) @ w_out


# heads averaged instead of concatenated
@answer("heads averaged")
def multi_head_attention__averaged(x, w_q, w_k, w_v, w_out, num_heads, keep=None):
    q, k, v, m = _prep(x, w_q, w_k, w_v, num_heads, keep)
    o = scaled_dot_product_attention(q, k, v, m).mean(-3, keepdim=True).expand(v.shape)
    return _merge_heads(o) @ w_out


# values are not projected heads of w_v but keys (w_k used for the values)
@answer("one projection for keys and values")
def multi_head_attention__v_is_k(x, w_q, w_k, w_v, w_out, num_heads, keep=None):
    q, k, _v, m = _prep(x, w_q, w_k, w_v, num_heads, keep)
    return _merge_heads(scaled_dot_product_attention(q, k, k, m)) @ w_out


# w_out applied per head before the merge: only first block used (all heads share one part)
@answer("the first rows of w_out for every head")
def multi_head_attention__out_per_head(x, w_q, w_k, w_v, w_out, num_heads, keep=None):
    q, k, v, m = _prep(x, w_q, w_k, w_v, num_heads, keep)
    o = scaled_dot_product_attention(q, k, v, m)
    return (o @ w_out[: o.shape[-1]]).sum(-3)
