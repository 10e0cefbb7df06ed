"""Right answers to chapter 2's exercises that are written in other ways than the reference."""

import numpy as np
import torch
from torch.nn import functional as F

# Additive scores


def additive_broadcast(x, memory, w_x, w_memory, v):
    hidden = torch.tanh((x @ w_x).unsqueeze(-2) + (memory @ w_memory).unsqueeze(-3))
    return (hidden * v).sum(-1)


def additive_einsum(x, memory, w_x, w_memory, v):
    asked = torch.einsum("...ic,ca->...ia", x, w_x)
    found = torch.einsum("...jc,ca->...ja", memory, w_memory)
    return torch.einsum("...ija,a->...ij", (asked[..., None, :] + found[..., None, :, :]).tanh(), v)


def additive_linear(x, memory, w_x, w_memory, v):
    asked, found = F.linear(x, w_x.mT), F.linear(memory, w_memory.mT)
    return F.linear((asked[..., :, None, :] + found[..., None, :, :]).tanh(), v[None])[..., 0]


def additive_row_by_row(x, memory, w_x, w_memory, v):
    """One state that asks at a time: never more than one row of pairs in memory."""
    asked, found = x @ w_x, memory @ w_memory
    rows = [(asked[..., i, None, :] + found).tanh() @ v for i in range(x.shape[-2])]
    return torch.stack(rows, -2)


def additive_loops(x, memory, w_x, w_memory, v):
    asked, found = x @ w_x, memory @ w_memory
    out = x.new_zeros(*x.shape[:-1], memory.shape[-2])
    for *batch, i in np.ndindex(*x.shape[:-1]):
        b = tuple(batch)
        out[(*b, i)] = (asked[(*b, i)] + found[b]).tanh() @ v
    return out


def additive_vmap(x, memory, w_x, w_memory, v):
    if not x.numel() or not memory.numel():
        return additive_broadcast(x, memory, w_x, w_memory, v)
    function = torch.func.vmap(lambda a, f: (a + f).tanh() @ v, in_dims=(0, None))
    for _ in x.shape[:-2]:
        function = torch.func.vmap(function)
    return function(x @ w_x, memory @ w_memory)


def additive_sigmoid(x, memory, w_x, w_memory, v):
    """tanh(z) = 2 σ(2 z) - 1."""
    z = (x @ w_x)[..., :, None, :] + (memory @ w_memory)[..., None, :, :]
    return (2 * (2 * z).sigmoid() - 1) @ v


def additive_double(x, memory, w_x, w_memory, v):
    doubles = (t.double() for t in (x, memory, w_x, w_memory, v))
    return additive_broadcast(*doubles).to(x.dtype)


def additive_numpy(x, memory, w_x, w_memory, v):
    asked, found = _array(x) @ _array(w_x), _array(memory) @ _array(w_memory)
    hidden = np.tanh(asked[..., :, None, :] + found[..., None, :, :])
    return _tensor(hidden @ _array(v), x)


# Softmax


def softmax_where(scores, keep=None):
    """-inf, made harmless before the softmax."""
    if keep is None:
        return scores.softmax(-1)
    _require_bool(keep)
    some = keep.any(-1, keepdim=True)
    return torch.where(some, torch.where(keep | ~some, scores, -torch.inf).softmax(-1), 0)


def softmax_by_hand(scores, keep=None):
    keep = _full(scores, keep)
    lowest = torch.finfo(scores.dtype).min
    largest = scores.masked_fill(~keep, lowest).amax(-1, keepdim=True).detach()
    exponentials = (scores - largest).masked_fill(~keep, lowest).exp()
    total = exponentials.sum(-1, keepdim=True)
    return torch.where(keep, exponentials / total.clamp_min(0.5), 0)


def softmax_log_sum_exp(scores, keep=None):
    keep = _full(scores, keep)
    hidden = scores.masked_fill(~keep, torch.finfo(scores.dtype).min)
    return (hidden - hidden.logsumexp(-1, keepdim=True)).exp() * keep


def softmax_of_log_softmax(scores, keep=None):
    if keep is None:
        return F.log_softmax(scores, -1).exp()
    _require_bool(keep)
    hidden = torch.where(keep, scores, torch.finfo(scores.dtype).min)
    return torch.where(keep, F.log_softmax(hidden, -1).exp(), 0.0)


def softmax_loops(scores, keep=None):
    keep = _full(scores, keep)
    out = torch.zeros_like(scores)
    for index in np.ndindex(*scores.shape[:-1]):
        row, may = scores[index], keep[index]
        row = row.masked_fill(~may, torch.finfo(row.dtype).min)
        e = (row - row.max()).exp() * may
        out[index] = e / e.sum().clamp_min(0.5)
    return out


def softmax_vmap(scores, keep=None):
    keep = _full(scores, keep)
    if not scores.numel():
        return scores
    function = _one_row
    for _ in scores.shape[:-1]:
        function = torch.func.vmap(function)
    return function(scores, keep)


def _one_row(row, may):
    return row.masked_fill(~may, torch.finfo(row.dtype).min).softmax(-1) * may


def softmax_chunks(scores, keep=None):
    keep = _full(scores, keep)
    parts = zip(scores.split(2, -2), keep.split(2, -2), strict=True)
    return torch.cat([_one_row(s, k) for s, k in parts], -2)


def softmax_double(scores, keep=None):
    return softmax_where(scores.double(), keep).to(scores.dtype)


def softmax_numpy(scores, keep=None):
    return _tensor(_numpy_weights(scores, keep), scores)


# Attend


def _with(softmax):
    def attend(scores, memory, keep=None):
        weights = softmax(scores, keep)
        return weights @ memory, weights

    return attend


def attend_einsum(scores, memory, keep=None):
    weights = softmax_where(scores, keep)
    return torch.einsum("...ij,...jc->...ic", weights, memory), weights


def attend_from_the_right(scores, memory, keep=None):
    """(memoryᵀ weightsᵀ)ᵀ, as a list."""
    weights = softmax_by_hand(scores, keep)
    return [(memory.mT @ weights.mT).mT, weights]


def attend_row_by_row(scores, memory, keep=None):
    weights = softmax_of_log_softmax(scores, keep)
    rows = [weights[..., i : i + 1, :] @ memory for i in range(scores.shape[-2])]
    return torch.cat(rows, -2), weights


def attend_loops(scores, memory, keep=None):
    weights = softmax_loops(scores, keep)
    read = memory.new_zeros(*scores.shape[:-1], memory.shape[-1])
    for *batch, i in np.ndindex(*scores.shape[:-1]):
        read[(*batch, i)] = weights[(*batch, i)] @ memory[tuple(batch)]
    return read, weights


def attend_double(scores, memory, keep=None):
    answers = _with(softmax_where)(scores.double(), memory.double(), keep)
    return tuple(a.to(scores.dtype) for a in answers)


def attend_numpy(scores, memory, keep=None):
    weights = _numpy_weights(scores, keep)
    return _tensor(weights @ _array(memory), memory), _tensor(weights, scores)


# General scores


def general_einsum(x, memory, w):
    return torch.einsum("...ic,cd,...jd->...ij", x, w, memory)


def general_memory_first(x, memory, w):
    """The matrix brings the memory into the space of the states that ask."""
    return x @ (memory @ w.mT).mT


def general_linear(x, memory, w):
    return F.linear(x, w.mT) @ memory.transpose(-1, -2)


def general_loops(x, memory, w):
    out = x.new_zeros(*x.shape[:-1], memory.shape[-2])
    for *batch, i in np.ndindex(*x.shape[:-1]):
        out[(*batch, i)] = memory[tuple(batch)] @ (x[(*batch, i)] @ w)
    return out


def general_chunks(x, memory, w):
    return torch.cat([part @ w @ memory.mT for part in x.split(2, -2)], -2)


def general_vmap(x, memory, w):
    if not x.numel() or not memory.numel():
        return general_einsum(x, memory, w)
    function = torch.func.vmap(lambda row, states: states @ (row @ w), in_dims=(0, None))
    for _ in x.shape[:-2]:
        function = torch.func.vmap(function)
    return function(x, memory)


def general_double(x, memory, w):
    return (x.double() @ w.double() @ memory.double().mT).to(x.dtype)


def general_numpy(x, memory, w):
    return _tensor(_array(x) @ _array(w) @ _array(memory).swapaxes(-2, -1), x)


# Parts


def _require_bool(keep):
    if keep.dtype != torch.bool:
        raise TypeError("keep must be bool")


def _full(scores, keep):
    """A mask for every row, all True if there is none."""
    if keep is None:
        return torch.ones(scores.shape, dtype=torch.bool, device=scores.device)
    _require_bool(keep)
    return keep.expand(scores.shape)


def _numpy_weights(scores, keep):
    keep, s = _full(scores, keep).numpy(), _array(scores)
    s = np.where(keep, s, np.finfo(s.dtype).min)
    e = np.exp(s - s.max(-1, keepdims=True)) * keep
    total = e.sum(-1, keepdims=True)
    return e / np.where(total == 0, 1, total)


def _array(x):
    return x.detach().double().numpy()


def _tensor(array, like):
    return torch.from_numpy(array).to(like.dtype)


def _eye(n, like):
    return torch.eye(n, dtype=like.dtype, device=like.device).expand(*like.shape[:-2], n, n)


def library_softmax(scores, keep=None):
    """Attention whose queries are the scores, and whose keys and values are unit vectors."""
    eye = _eye(scores.shape[-1], scores)
    return F.scaled_dot_product_attention(scores, eye, eye, attn_mask=keep, scale=1.0)


def library_attend(scores, memory, keep=None):
    eye = _eye(scores.shape[-1], scores)
    read = F.scaled_dot_product_attention(scores, eye, memory, attn_mask=keep, scale=1.0)
    return read, softmax_where(scores, keep)


def library_bilinear(x, memory, w):
    t, s = x.shape[-2], memory.shape[-2]
    asked = x[..., :, None, :].expand(*x.shape[:-1], s, x.shape[-1]).contiguous()
    found = memory[..., None, :, :].expand(*x.shape[:-2], t, s, memory.shape[-1]).contiguous()
    return F.bilinear(asked, found, w[None])[..., 0]


RIGHT = {
    "additive_scores": [
        additive_broadcast,
        additive_einsum,
        additive_linear,
        additive_row_by_row,
        additive_loops,
        additive_vmap,
        additive_sigmoid,
        additive_double,
    ],
    "masked_softmax": [
        softmax_where,
        softmax_by_hand,
        softmax_log_sum_exp,
        softmax_of_log_softmax,
        softmax_loops,
        softmax_vmap,
        softmax_chunks,
        softmax_double,
    ],
    "attend": [
        _with(softmax_where),
        _with(softmax_vmap),
        attend_einsum,
        attend_from_the_right,
        attend_row_by_row,
        attend_loops,
        attend_double,
    ],
    "general_scores": [
        general_einsum,
        general_memory_first,
        general_linear,
        general_loops,
        general_chunks,
        general_vmap,
        general_double,
    ],
}
"""Each earns full marks."""

NUMPY = {
    "additive_scores": additive_numpy,
    "masked_softmax": softmax_numpy,
    "attend": attend_numpy,
    "general_scores": general_numpy,
}
"""The right values, computed outside torch."""

LIBRARY = {
    "masked_softmax": [library_softmax],
    "attend": [library_attend],
    "general_scores": [library_bilinear],
}
"""Answers in which the library does the work that the exercise is to do."""

WRONG = {}
"""None earns full marks."""

DEAR = {}
"""The right values, by more work than the contract allows."""
