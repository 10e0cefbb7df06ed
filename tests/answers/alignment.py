"""Answers to chapter 2's exercises: right ones in other styles than the reference, and wrong ones
that are no trap."""

import functools

import numpy as np
import torch
from torch.nn import functional as F

from answers import weights

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


def additive_unit_by_unit(x, memory, w_x, w_memory, v):
    """One hidden unit at a time."""
    asked, found = x @ w_x, memory @ w_memory
    units = range(len(v))
    return sum((asked[..., :, None, a] + found[..., None, :, a]).tanh() * v[a] for a in units)


def additive_loops(x, memory, w_x, w_memory, v):
    asked, found = x @ w_x, memory @ w_memory
    out = x.new_zeros(*x.shape[:-1], memory.shape[-2])
    for *batch, i in np.ndindex(*x.shape[:-1]):
        b = tuple(batch)
        out[(*b, i)] = (asked[(*b, i)] + found[b]).tanh() @ v
    return out


def additive_vmap(x, memory, w_x, w_memory, v):
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


def softmax_with_a_sink(scores, keep=None):
    """A column more, which takes everything where nothing may be read."""
    if keep is None:
        return scores.softmax(-1)
    _require_bool(keep)
    keep = keep.expand(scores.shape)
    sink = torch.zeros_like(scores[..., :1]).masked_fill(keep.any(-1, keepdim=True), -torch.inf)
    wide = torch.cat((scores.masked_fill(~keep, -torch.inf), sink), -1)
    return wide.softmax(-1)[..., :-1]


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


def attend_state_by_state(scores, memory, keep=None):
    """What is read is added up, one state of the memory after the other."""
    weights = softmax_by_hand(scores, keep)
    steps = range(memory.shape[-2])
    return sum(weights[..., j, None] * memory[..., j, None, :] for j in steps), weights


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


def general_row_by_row(x, memory, w):
    """One state that asks at a time, products of features added up."""
    asked = x @ w
    return torch.stack([(asked[..., i, None, :] * memory).sum(-1) for i in range(x.shape[-2])], -2)


def general_loops(x, memory, w):
    out = x.new_zeros(*x.shape[:-1], memory.shape[-2])
    for *batch, i in np.ndindex(*x.shape[:-1]):
        out[(*batch, i)] = memory[tuple(batch)] @ (x[(*batch, i)] @ w)
    return out


def general_chunks(x, memory, w):
    return torch.cat([part @ w @ memory.mT for part in x.split(2, -2)], -2)


def general_vmap(x, memory, w):
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
        additive_unit_by_unit,
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
        softmax_with_a_sink,
    ],
    "attend": [
        _with(softmax_where),
        _with(softmax_vmap),
        attend_einsum,
        attend_from_the_right,
        attend_row_by_row,
        attend_state_by_state,
        attend_loops,
        attend_double,
    ],
    "general_scores": [
        general_einsum,
        general_memory_first,
        general_linear,
        general_row_by_row,
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

# Wrong ones


def _reading(weigh):
    @functools.wraps(weigh)
    def wrong(scores, memory, keep=None):
        shares = weigh(scores, keep)
        return shares @ memory, shares

    return wrong


def _additive(bend):
    def wrong(x, memory, w_x, w_memory, v):
        z = (x @ w_x)[..., :, None, :] + (memory @ w_memory)[..., None, :, :]
        return bend(z) @ v

    return wrong


def _tanh_of_one_exponential(z):
    e = (2 * z).exp()
    return (e - 1) / (e + 1)


def _tanh_on_paper(z):
    return (z.exp() - (-z).exp()) / (z.exp() + (-z).exp())


def _tanh_cut_off(z):
    return z.clamp(-1, 1)


def _tanh_of_its_series(z):
    return z - z**3 / 3 + 2 * z**5 / 15


def _additive_viewed(x, memory, w_x, w_memory, v):
    asked = (x.view(-1, x.shape[-1]) @ w_x).view(*x.shape[:-1], 1, -1)
    return (asked + (memory @ w_memory)[..., None, :, :]).tanh() @ v


def _additive_of_a_batch(x, memory, w_x, w_memory, v):
    return ((x @ w_x)[:, :, None] + (memory @ w_memory)[:, None, :]).tanh() @ v


def _additive_squeezed(x, memory, w_x, w_memory, v):
    z = (x @ w_x)[..., :, None, :] + (memory @ w_memory)[..., None, :, :]
    return (z.tanh() @ v[:, None]).squeeze()


def _softmax_viewed(scores, keep=None):
    flat = scores.view(-1, *scores.shape[-2:])
    full = None if keep is None else _full(scores, keep).reshape(flat.shape)
    return softmax_where(flat, full).view(scores.shape)


def _softmax_without_gradient(scores, keep=None):
    """Where something is hidden, what is left is no function of the scores to autograd."""
    if keep is None:
        return scores.softmax(-1)
    return softmax_where(scores.data, keep)


def _attend_first_rows(scores, memory, keep=None):
    """By bmm, which knows one batch dimension."""
    shares = softmax_where(scores, keep)
    return torch.bmm(shares, memory), shares


def _attend_twice_masked(scores, memory, keep=None):
    shares = softmax_where(scores, keep)
    hidden = memory if keep is None else memory * keep.any(-2).unsqueeze(-1)
    return shares.nan_to_num() @ hidden, shares * (1 + 1e-9)


def _attend_viewed(scores, memory, keep=None):
    shares = softmax_where(scores, keep)
    flat = memory.view(-1, *memory.shape[-2:])
    read = shares.reshape(-1, *shares.shape[-2:]) @ flat
    return read.view(*scores.shape[:-1], -1), shares


def _general_viewed(x, memory, w):
    asked = (x.view(-1, x.shape[-1]) @ w).view(*x.shape[:-1], -1)
    return asked @ memory.mT


def _general_of_a_batch(x, memory, w):
    return torch.bmm(x @ w, memory.transpose(1, 2))


def _general_all_turned(x, memory, w):
    return x @ w @ memory.T


def _general_squeezed(x, memory, w):
    return (x @ w @ memory.mT).squeeze(-1)


WRONG = {
    "additive_scores": [
        *(
            functools.wraps(bend)(_additive(bend))
            for bend in (
                _tanh_of_one_exponential,
                _tanh_on_paper,
                _tanh_cut_off,
                _tanh_of_its_series,
            )
        ),
        _additive_viewed,
        _additive_of_a_batch,
        _additive_squeezed,
    ],
    "masked_softmax": [
        *weights.WRONG,
        *weights.OF_FEW_DIMENSIONS,
        _softmax_viewed,
        _softmax_without_gradient,
    ],
    "attend": [
        *(_reading(w) for w in weights.WRONG + weights.OF_FEW_DIMENSIONS),
        _attend_first_rows,
        _attend_twice_masked,
        _attend_viewed,
    ],
    "general_scores": [
        _general_viewed,
        _general_of_a_batch,
        _general_all_turned,
        _general_squeezed,
    ],
}
"""None earns full marks."""


# Too much work


def additive_memory_again_for_each(x, memory, w_x, w_memory, v):
    rows = [((x[..., i, None, :] @ w_x) + memory @ w_memory).tanh() @ v for i in range(x.shape[-2])]
    return torch.stack(rows, -2)


def additive_pairs_side_by_side(x, memory, w_x, w_memory, v):
    """Each pair of states is one row, which is projected as a whole."""
    shape = (*x.shape[:-1], memory.shape[-2])
    asked = x[..., :, None, :].expand(*shape, x.shape[-1])
    found = memory[..., None, :, :].expand(*shape, memory.shape[-1])
    both = torch.cat((asked, found), -1)
    return (both @ torch.cat((w_x, w_memory))).tanh() @ v


def additive_weighed_twice(x, memory, w_x, w_memory, v):
    z = ((x @ w_x)[..., :, None, :] + (memory @ w_memory)[..., None, :, :]).tanh()
    return 0.5 * (z @ v) + 0.5 * (z @ v)


def attend_broadcast(scores, memory, keep=None):
    shares = softmax_where(scores, keep)
    return (shares[..., None] * memory[..., None, :, :]).sum(-2), shares


def attend_read_twice(scores, memory, keep=None):
    shares = softmax_where(scores, keep)
    return 0.5 * (shares @ memory) + 0.5 * (shares @ memory), shares


def general_broadcast(x, memory, w):
    return ((x @ w)[..., :, None, :] * memory[..., None, :, :]).sum(-1)


def general_pairs_first(x, memory, w):
    """torch multiplies from the left: all pairs of features before w is asked."""
    return torch.einsum("...ic,...jd,cd->...ij", x, memory, w)


def general_projected_twice(x, memory, w):
    return (0.5 * (x @ w) + 0.5 * (x @ w)) @ memory.mT


def additive_states_broadcast(x, memory, w_x, w_memory, v):
    """All terms of the first projection at once."""
    asked = (x[..., :, :, None] * w_x).sum(-2)
    return (asked[..., :, None, :] + (memory @ w_memory)[..., None, :, :]).tanh() @ v


DEAR = {
    "additive_scores": [
        additive_states_broadcast,
        additive_memory_again_for_each,
        additive_pairs_side_by_side,
        additive_weighed_twice,
    ],
    "attend": [attend_broadcast, attend_read_twice],
    "general_scores": [general_broadcast, general_pairs_first, general_projected_twice],
}
"""The right values, by more work than the contract allows."""
