"""Right answers to chapter 3's exercises that are written in other ways than the reference."""

import numpy as np
import torch
from torch.nn import functional as F

# Softmax


def softmax_log_sum_exp(scores, dim=-1):
    return (scores - scores.logsumexp(dim, keepdim=True)).exp()


def softmax_log_sum_exp_by_hand(scores, dim=-1):
    largest = scores.amax(dim, keepdim=True)
    total = (scores - largest).exp().sum(dim, keepdim=True)
    return (scores - largest - total.log()).exp()


def softmax_einsum(scores, dim=-1):
    e = (scores - scores.max(dim, keepdim=True).values).exp().movedim(dim, -1)
    return (e / torch.einsum("...k->...", e)[..., None]).movedim(-1, dim)


def softmax_loops(scores, dim=-1):
    rows = scores.movedim(dim, -1)
    out = torch.zeros_like(rows)
    for index in np.ndindex(*rows.shape[:-1]):
        e = (rows[index] - rows[index].max()).exp()
        out[index] = e / e.sum()
    return out.movedim(-1, dim)


def softmax_chunks(scores, dim=-1):
    rows = scores.movedim(dim, -1)
    flat = rows.reshape(-1, rows.shape[-1])
    parts = [softmax_log_sum_exp_by_hand(part) for part in flat.split(2)]
    return torch.cat(parts).view(rows.shape).movedim(-1, dim)


def softmax_vmap(scores, dim=-1):
    def one(row):
        e = (row - row.max()).exp()
        return e / e.sum()

    rows = scores.movedim(dim, -1)
    if not rows.numel():
        return scores
    flat = rows.reshape(-1, rows.shape[-1])
    return torch.func.vmap(one)(flat).view(rows.shape).movedim(-1, dim)


def softmax_double(scores, dim=-1):
    return softmax_log_sum_exp_by_hand(scores.double(), dim).to(scores.dtype)


def softmax_numpy(scores, dim=-1):
    x = _array(scores)
    e = np.exp(x - x.max(dim, keepdims=True))
    return _tensor(e / e.sum(dim, keepdims=True), scores)


# Scores


def scores_einsum(q, k):
    return torch.einsum("...id,...jd->...ij", q, k) / q.shape[-1] ** 0.5


def scores_scaled_first(q, k):
    scale = q.shape[-1] ** -0.25
    return (q * scale) @ (k * scale).transpose(-2, -1)


def scores_loops(q, k):
    out = q.new_zeros(*q.shape[:-1], k.shape[-2])
    for *batch, i in np.ndindex(*q.shape[:-1]):
        out[(*batch, i)] = (k[tuple(batch)] @ q[(*batch, i)]) / q.shape[-1] ** 0.5
    return out


def scores_chunks(q, k):
    parts = [part @ k.mT / q.shape[-1] ** 0.5 for part in q.split(2, dim=-2)]
    return torch.cat(parts, dim=-2)


def scores_vmap(q, k):
    function = torch.func.vmap(
        lambda row, keys: keys @ row / row.shape[-1] ** 0.5, in_dims=(0, None)
    )
    for _ in q.shape[:-2]:
        function = torch.func.vmap(function)
    return function(q, k) if q.numel() else q.new_zeros(*q.shape[:-1], k.shape[-2])


def scores_double(q, k):
    return (q.double() @ k.double().mT * q.shape[-1] ** -0.5).to(q.dtype)


def scores_numpy(q, k):
    a, b = _array(q), _array(k)
    return _tensor(a @ b.swapaxes(-2, -1) / q.shape[-1] ** 0.5, q)


# Masks


def causal_tril(num_queries, num_keys, device=None):
    ones = torch.ones(num_queries, num_keys, dtype=torch.bool, device=device)
    return ones.tril(num_keys - num_queries)


def causal_loops(num_queries, num_keys, device=None):
    mask = torch.zeros(num_queries, num_keys, dtype=torch.bool, device=device)
    for i in range(num_queries):
        mask[i, : max(0, i + 1 + num_keys - num_queries)] = True
    return mask


def causal_vmap(num_queries, num_keys, device=None):
    i = torch.arange(num_queries, device=device)
    j = torch.arange(num_keys, device=device)
    if num_queries == 0:
        return i[:, None] == j
    return torch.func.vmap(lambda n: j <= n + num_keys - num_queries)(i)


def causal_end_of_square(num_queries, num_keys, device=None):
    n = max(num_queries, num_keys)
    i = torch.arange(n, device=device)
    whole = i[:, None] >= i
    return whole[n - num_queries :, n - num_keys :]


def causal_numpy(num_queries, num_keys, device=None):
    mask = np.tri(num_queries, num_keys, num_keys - num_queries, dtype=bool)
    return torch.from_numpy(mask).to(device)


def padding_loops(lengths, num_keys):
    mask = torch.zeros(*lengths.shape, 1, num_keys, dtype=torch.bool, device=lengths.device)
    for index in np.ndindex(*lengths.shape):
        mask[index][..., : lengths[index]] = True
    return mask


def padding_counted(lengths, num_keys):
    ones = torch.ones(*lengths.shape, 1, num_keys, dtype=torch.int64, device=lengths.device)
    return ones.cumsum(-1) <= lengths[..., None, None]


def padding_vmap(lengths, num_keys):
    j = torch.arange(num_keys, device=lengths.device)
    flat = lengths.reshape(-1)
    if not len(flat):
        return j < lengths[..., None, None]
    return torch.func.vmap(lambda n: j < n)(flat).view(*lengths.shape, 1, num_keys)


def padding_numpy(lengths, num_keys):
    mask = np.arange(num_keys) < lengths.numpy()[..., None, None]
    return torch.from_numpy(mask).to(lengths.device)


# Attention


def attention_einsum(q, k, v, keep=None):
    scores = torch.einsum("...id,...jd->...ij", q, k) / q.shape[-1] ** 0.5
    return torch.einsum("...ij,...jd->...id", _weights(scores, keep), v)


def attention_where(q, k, v, keep=None):
    """-inf, made harmless before the softmax."""
    scores = q @ k.mT / q.shape[-1] ** 0.5
    if keep is None:
        return scores.softmax(-1) @ v
    _require_bool(keep)
    some = keep.any(-1, keepdim=True)
    scores = torch.where(keep | ~some, scores, -torch.inf)
    return torch.where(some, scores.softmax(-1), 0) @ v


def attention_log_sum_exp(q, k, v, keep=None):
    scores = q @ k.mT / q.shape[-1] ** 0.5
    if keep is not None:
        _require_bool(keep)
        scores = scores.masked_fill(~keep, torch.finfo(scores.dtype).min)
    weights = (scores - scores.logsumexp(-1, keepdim=True)).exp()
    return (weights if keep is None else weights * keep) @ v


def attention_loops(q, k, v, keep=None):
    keep = _full(q, k, keep)
    out = q.new_zeros(*q.shape[:-1], v.shape[-1])
    for *batch, i in np.ndindex(*q.shape[:-1]):
        b = tuple(batch)
        scores = k[b] @ q[(*b, i)] / q.shape[-1] ** 0.5
        out[(*b, i)] = _weights(scores, keep[(*b, i)]) @ v[b]
    return out


def attention_chunks(q, k, v, keep=None):
    keep = _full(q, k, keep)
    parts = [
        _weights(rows @ k.mT / q.shape[-1] ** 0.5, mask) @ v
        for rows, mask in zip(q.split(2, -2), keep.split(2, -2), strict=True)
    ]
    return torch.cat(parts, -2)


def attention_vmap(q, k, v, keep=None):
    keep = _full(q, k, keep)

    def one(row, keys, values, mask):
        return _weights(keys @ row / row.shape[-1] ** 0.5, mask) @ values

    function = torch.func.vmap(one, in_dims=(0, None, None, 0))
    for _ in q.shape[:-2]:
        function = torch.func.vmap(function)
    if not q.numel():
        return q.new_zeros(*q.shape[:-1], v.shape[-1])
    return function(q, k, v, keep)


def attention_double(q, k, v, keep=None):
    return attention_log_sum_exp(q.double(), k.double(), v.double(), keep).to(q.dtype)


def attention_numpy(q, k, v, keep=None):
    weights = _numpy_weights(q, k, keep)
    return _tensor(weights @ _array(v), q)


def _of_self(attention):
    def self_attention(x, w_q, w_k, w_v, keep=None):
        return attention(x @ w_q, x @ w_k, x @ w_v, keep)

    return self_attention


def self_one_product(x, w_q, w_k, w_v, keep=None):
    widths = [w.shape[-1] for w in (w_q, w_k, w_v)]
    return attention_where(*(x @ torch.cat((w_q, w_k, w_v), -1)).split(widths, -1), keep)


def self_numpy(x, w_q, w_k, w_v, keep=None):
    q, k, v = (_tensor(_array(x) @ _array(w), x) for w in (w_q, w_k, w_v))
    return attention_numpy(q, k, v, keep)


# The backward pass


def backward_einsum(grad_out, q, k, v, keep=None):
    scale = q.shape[-1] ** -0.5
    weights = _weights(torch.einsum("...id,...jd->...ij", q, k) * scale, keep)
    grad_v = torch.einsum("...ij,...id->...jd", weights, grad_out)
    grad_weights = torch.einsum("...id,...jd->...ij", grad_out, v)
    sums = torch.einsum("...ij,...ij->...i", weights, grad_weights)
    grad_scores = weights * (grad_weights - sums[..., None]) * scale
    grad_q = torch.einsum("...ij,...jd->...id", grad_scores, k)
    return grad_q, torch.einsum("...ij,...id->...jd", grad_scores, q), grad_v


def backward_through_the_answer(grad_out, q, k, v, keep=None):
    """Σ_j w_j dw_j = grad_out · out, as FlashAttention has it."""
    scale = q.shape[-1] ** -0.5
    weights = _weights(q @ k.mT * scale, keep)
    sums = (grad_out * (weights @ v)).sum(-1, keepdim=True)
    grad_scores = weights * (grad_out @ v.mT - sums) * scale
    return grad_scores @ k, grad_scores.mT @ q, weights.mT @ grad_out


def backward_loops(grad_out, q, k, v, keep=None):
    keep = _full(q, k, keep)
    grads = [torch.zeros_like(t) for t in (q, k, v)]
    for b in np.ndindex(*q.shape[:-2]):
        parts = backward_through_the_answer(grad_out[b], q[b], k[b], v[b], keep[b])
        for grad, part in zip(grads, parts, strict=True):
            grad[b] = part
    return tuple(grads)


def backward_jacobian(grad_out, q, k, v, keep=None):
    """The softmax's Jacobian, written out for one query at a time: right, and a lot of work."""
    keep = _full(q, k, keep)
    grads = [torch.zeros_like(t) for t in (q, k, v)]
    for *batch, i in np.ndindex(*q.shape[:-1]):
        b, scale = tuple(batch), q.shape[-1] ** -0.5
        w = _weights(k[b] @ q[(*b, i)] * scale, keep[(*b, i)])
        ds = (torch.diag(w) - torch.outer(w, w)) @ (v[b] @ grad_out[(*b, i)]) * scale
        grads[0][(*b, i)] = ds @ k[b]
        grads[1][b] += torch.outer(ds, q[(*b, i)])
        grads[2][b] += torch.outer(w, grad_out[(*b, i)])
    return tuple(grads)


def backward_chunks(grad_out, q, k, v, keep=None):
    keep = _full(q, k, keep)
    grad_q, grad_k, grad_v = [], torch.zeros_like(k), torch.zeros_like(v)
    chunks = zip(*(t.split(2, -2) for t in (grad_out, q, keep)), strict=True)
    for grad_rows, rows, mask in chunks:
        part = backward_through_the_answer(grad_rows, rows, k, v, mask)
        grad_q.append(part[0])
        grad_k += part[1]
        grad_v += part[2]
    return torch.cat(grad_q, -2), grad_k, grad_v


def backward_vmap(grad_out, q, k, v, keep=None):
    keep = _full(q, k, keep)
    if not q.numel():
        return q, k, v
    function = backward_through_the_answer
    for _ in q.shape[:-2]:
        function = torch.func.vmap(function)
    return function(grad_out, q, k, v, keep)


def backward_double(grad_out, q, k, v, keep=None):
    grads = backward_einsum(*(t.double() for t in (grad_out, q, k, v)), keep)
    return tuple(g.to(q.dtype) for g in grads)


def backward_list(grad_out, q, k, v, keep=None):
    return list(backward_through_the_answer(grad_out, q, k, v, keep))


def backward_numpy(grad_out, q, k, v, keep=None):
    go, qa, ka, va = (_array(t) for t in (grad_out, q, k, v))
    w, scale = _numpy_weights(q, k, keep), q.shape[-1] ** -0.5
    dw = go @ va.swapaxes(-2, -1)
    ds = w * (dw - (w * dw).sum(-1, keepdims=True)) * scale
    grads = ds @ ka, ds.swapaxes(-2, -1) @ qa, w.swapaxes(-2, -1) @ go
    return tuple(_tensor(g, q) for g in grads)


# Parts


def _require_bool(keep):
    if keep.dtype != torch.bool:
        raise TypeError("keep must be bool")


def _full(q, k, keep):
    """A mask for every query, all True if there is none."""
    shape = (*q.shape[:-1], k.shape[-2])
    if keep is None:
        return torch.ones(shape, dtype=torch.bool, device=q.device)
    _require_bool(keep)
    return keep.expand(shape)


def _weights(scores, keep):
    if keep is None:
        return scores.softmax(-1)
    _require_bool(keep)
    return scores.masked_fill(~keep, torch.finfo(scores.dtype).min).softmax(-1) * keep


def _numpy_weights(q, k, keep):
    scores = _array(q) @ _array(k).swapaxes(-2, -1) / q.shape[-1] ** 0.5
    keep = _full(q, k, keep).numpy()
    scores = np.where(keep, scores, np.finfo(scores.dtype).min)
    e = np.exp(scores - scores.max(-1, keepdims=True)) * keep
    total = e.sum(-1, keepdims=True)
    return e / np.where(total == 0, 1, total)


def _array(x):
    return x.detach().double().numpy()


def _tensor(array, like):
    return torch.from_numpy(array).to(like.dtype)


RIGHT = {
    "stable_softmax": [
        softmax_log_sum_exp,
        softmax_log_sum_exp_by_hand,
        softmax_einsum,
        softmax_loops,
        softmax_chunks,
        softmax_vmap,
        softmax_double,
    ],
    "attention_scores": [
        scores_einsum,
        scores_scaled_first,
        scores_loops,
        scores_chunks,
        scores_vmap,
        scores_double,
    ],
    "causal_mask": [causal_tril, causal_loops, causal_vmap, causal_end_of_square],
    "padding_mask": [padding_loops, padding_counted, padding_vmap],
    "scaled_dot_product_attention": [
        attention_einsum,
        attention_where,
        attention_log_sum_exp,
        attention_loops,
        attention_chunks,
        attention_vmap,
        attention_double,
    ],
    "self_attention": [
        self_one_product,
        _of_self(attention_einsum),
        _of_self(attention_loops),
        _of_self(attention_chunks),
        _of_self(attention_vmap),
    ],
    "attention_backward": [
        backward_einsum,
        backward_through_the_answer,
        backward_loops,
        backward_chunks,
        backward_vmap,
        backward_double,
        backward_list,
    ],
}
"""Each earns full marks."""

NUMPY = {
    "stable_softmax": softmax_numpy,
    "attention_scores": scores_numpy,
    "causal_mask": causal_numpy,
    "padding_mask": padding_numpy,
    "scaled_dot_product_attention": attention_numpy,
    "self_attention": self_numpy,
    "attention_backward": backward_numpy,
}
"""The right values, computed outside torch."""

LIBRARY = {
    "stable_softmax": [
        lambda s, dim=-1: s.softmax(dim),
        lambda s, dim=-1: torch.softmax(s, dim),
        lambda s, dim=-1: F.softmax(s, dim),
        lambda s, dim=-1: torch.nn.Softmax(dim)(s),
        lambda s, dim=-1: s.log_softmax(dim).exp(),
        lambda s, dim=-1: torch.ops.aten._softmax(s, dim, False),
    ],
    "scaled_dot_product_attention": [
        F.scaled_dot_product_attention,
        torch.ops.aten.scaled_dot_product_attention,
        lambda q, k, v, keep=None: torch.ops.aten._scaled_dot_product_attention_math(q, k, v, keep)[
            0
        ],
        lambda q, k, v, keep=None: (
            F.scaled_dot_product_attention(q, k, v)
            if keep is None
            else attention_where(q, k, v, keep)
        ),
    ],
    "self_attention": [
        lambda x, w_q, w_k, w_v, keep=None: F.scaled_dot_product_attention(
            x @ w_q, x @ w_k, x @ w_v, keep
        ),
    ],
}
"""Answers in which the library does the work that the exercise is to do."""
