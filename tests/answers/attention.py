"""Answers to chapter 3's exercises: right ones in other styles than the reference, and wrong ones
that are no trap."""

import functools

import numpy as np
import torch
from torch.nn import functional as F

from answers import weights

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


def scores_products_summed(q, k):
    """One query after the other, each with all keys: products of features, added up."""
    rows = [(q[..., i, None, :] * k).sum(-1) / q.shape[-1] ** 0.5 for i in range(q.shape[-2])]
    return torch.stack(rows, -2)


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
    return function(q, k)


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


def causal_row_by_row(num_queries, num_keys, device=None):
    """What the numbers of queries and keys are where there are more queries is not asked."""
    past = max(0, num_keys - num_queries)
    rows = [torch.arange(num_keys, device=device) <= past + i for i in range(num_queries)]
    return torch.stack(rows)


def causal_vmap(num_queries, num_keys, device=None):
    i = torch.arange(num_queries, device=device)
    j = torch.arange(num_keys, device=device)
    return torch.func.vmap(lambda n: j <= n + num_keys - num_queries)(i)


def causal_end_of_square(num_queries, num_keys, device=None):
    n = max(num_queries, num_keys)
    i = torch.arange(n, device=device)
    whole = i[:, None] >= i
    return whole[n - num_queries :, n - num_keys :]


def causal_by_indices(num_queries, num_keys, device=None):
    keep = torch.full((num_queries, num_keys), False, device=device)
    past = torch.tril_indices(num_queries, num_keys, num_keys - num_queries, device=device)
    keep[past[0], past[1]] = True
    return keep


def causal_until_a_mark(num_queries, num_keys, device=None):
    queries = torch.arange(num_queries, device=device)
    marks = torch.zeros(num_queries, num_keys + 1, dtype=torch.int64, device=device)
    marks[queries, queries + num_keys - num_queries + 1] = 1
    return marks.cumsum(1)[:, :num_keys] == 0


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


def padding_one_hot(lengths, num_keys):
    """1 from the end of a sentence on."""
    ends = F.one_hot(lengths.long(), num_keys + 1)[..., None, :-1]
    return ends.cumsum(-1) == 0


def padding_table(lengths, num_keys):
    """A row for each length that there may be."""
    ones = torch.ones(num_keys + 1, num_keys, dtype=torch.bool, device=lengths.device)
    return ones.tril(-1)[lengths.long()][..., None, :]


def padding_vmap(lengths, num_keys):
    j = torch.arange(num_keys, device=lengths.device)
    flat = lengths.reshape(-1)
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


def attention_query_by_query(q, k, v, keep=None):
    """The natural first form: one query at a time, no matrix product at all."""
    answers = []
    for i in range(q.shape[-2]):
        scores = (q[..., i : i + 1, :] * k).sum(-1) / q.shape[-1] ** 0.5
        mask = None if keep is None else _full(q, k, keep)[..., i, :]
        answers.append((_weights(scores, mask)[..., None] * v).sum(-2))
    return torch.stack(answers, -2)


def attention_zeros_in_their_place(q, k, v, keep=None):
    """nan in a row that may read nothing, and 0 put in its place: the derivative is 0, too."""
    scores = q @ k.mT / q.shape[-1] ** 0.5
    if keep is None:
        return scores.softmax(-1) @ v
    _require_bool(keep)
    weights = scores.masked_fill(~keep, -torch.inf).softmax(-1)
    weights = torch.where(keep.any(-1, keepdim=True), weights, torch.zeros_like(weights))
    return weights @ v


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
    return function(q, k, v, keep)


def attention_zeroed_at_the_end(q, k, v, keep=None):
    """An empty row reads everything, and its answer is taken away."""
    scores = (q * q.shape[-1] ** -0.5) @ k.mT
    if keep is None:
        return scores.softmax(-1) @ v
    _require_bool(keep)
    out = scores.masked_fill(~keep, torch.finfo(scores.dtype).min).softmax(-1) @ v
    return out.masked_fill(~keep.expand(scores.shape).any(-1, keepdim=True), 0)


def attention_double(q, k, v, keep=None):
    return attention_log_sum_exp(q.double(), k.double(), v.double(), keep).to(q.dtype)


def attention_numpy(q, k, v, keep=None):
    weights = _numpy_weights(q, k, keep)
    return _tensor(weights @ _array(v), q)


def _of_self(attention):
    @functools.wraps(attention)
    def self_attention(x, w_q, w_k, w_v, keep=None):
        return attention(x @ w_q, x @ w_k, x @ w_v, keep)

    return self_attention


def self_one_product(x, w_q, w_k, w_v, keep=None):
    widths = [w.shape[-1] for w in (w_q, w_k, w_v)]
    return attention_where(*(x @ torch.cat((w_q, w_k, w_v), -1)).split(widths, -1), keep)


def self_query_by_query(x, w_q, w_k, w_v, keep=None):
    return attention_query_by_query(x @ w_q, x @ w_k, x @ w_v, keep)


def self_keys_unprojected(x, w_q, w_k, w_v, keep=None):
    """The same products in another order: (x w_q w_kᵀ) xᵀ, and the values projected last."""
    scores = x @ (w_q @ w_k.mT) @ x.mT / w_q.shape[-1] ** 0.5
    return _weights(scores, keep) @ x @ w_v


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
    """The softmax's Jacobian, written out for one query at a time."""
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


def backward_query_by_query(grad_out, q, k, v, keep=None):
    """One query at a time, products of features added up."""
    keep, scale = _full(q, k, keep), q.shape[-1] ** -0.5
    grad_q, grad_k, grad_v = torch.zeros_like(q), torch.zeros_like(k), torch.zeros_like(v)
    for i in range(q.shape[-2]):
        row, grad_row = q[..., i : i + 1, :], grad_out[..., i : i + 1, :]
        w = _weights((row * k).sum(-1) * scale, keep[..., i, :])
        dw = (grad_row * v).sum(-1)
        ds = w * (dw - (w * dw).sum(-1, keepdim=True)) * scale
        grad_q[..., i, :] = (ds[..., None] * k).sum(-2)
        grad_k += ds[..., None] * row
        grad_v += w[..., None] * grad_row
    return grad_q, grad_k, grad_v


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


# Wrong ones


def _attention(weigh):
    @functools.wraps(weigh)
    def wrong(q, k, v, keep=None):
        return weigh(q @ k.mT / q.shape[-1] ** 0.5, keep) @ v

    return wrong


def _backward(weigh):
    @functools.wraps(weigh)
    def wrong(grad_out, q, k, v, keep=None):
        scale = q.shape[-1] ** -0.5
        w = weigh(q @ k.mT * scale, keep)
        dw = grad_out @ v.mT
        ds = w * (dw - (w * dw).sum(-1, keepdim=True)) * scale
        return ds @ k, ds.mT @ q, w.mT @ grad_out

    return wrong


def _batches_viewed(attention):
    """All batch dimensions as one, by view."""

    def wrong(*tensors):
        *tensors, keep = (
            tensors
            if tensors[-1] is None or tensors[-1].dtype == torch.bool
            else (
                *tensors,
                None,
            )
        )
        batch = tensors[0].shape[:-2]
        flat = [t.view(-1, *t.shape[-2:]) for t in tensors]
        if keep is not None:
            keep = keep.expand(*batch, *keep.shape[-2:]).reshape(-1, *keep.shape[-2:])
        out = attention(*flat, keep)
        if isinstance(out, tuple):
            return tuple(o.view(*batch, *o.shape[-2:]) for o in out)
        return out.view(*batch, *out.shape[-2:])

    wrong.__name__ = _batches_viewed.__name__
    return wrong


def _self_viewed(x, w_q, w_k, w_v, keep=None):
    """Time and batch as one dimension, by view."""
    q, k, v = (
        (x.view(-1, x.shape[-1]) @ w).view(*x.shape[:-1], w.shape[-1]) for w in (w_q, w_k, w_v)
    )
    return attention_einsum(q, k, v, keep)


def _nan_to_num(q, k, v, keep=None):
    """Of the answer."""
    weights = q @ k.mT / q.shape[-1] ** 0.5
    if keep is not None:
        _require_bool(keep)
        weights = weights.masked_fill(~keep, -torch.inf)
    return (weights.softmax(-1) @ v).nan_to_num(0.0)


def _three_dimensions(q, k, v, keep=None):
    scores = torch.einsum("bid,bjd->bij", q, k) / q.shape[-1] ** 0.5
    return torch.einsum("bij,bjd->bid", _weights(scores, keep), v)


def _scores_in_batches(q, k):
    return torch.bmm(q, k.transpose(1, 2)) / q.shape[-1] ** 0.5


def _scores_viewed(q, k):
    batch = q.shape[:-2]
    scores = q.view(-1, *q.shape[-2:]) @ k.view(-1, *k.shape[-2:]).mT
    return scores.view(*batch, *scores.shape[-2:]) / q.shape[-1] ** 0.5


def _scores_all_turned(q, k):
    return q @ k.T / q.shape[-1] ** 0.5


def _scores_of_half(q, k):
    """Small numbers are nothing in half precision."""
    return (q.half() @ k.half().mT).to(q.dtype) / q.shape[-1] ** 0.5


def _softmax_epsilon(scores, dim=-1):
    e = (scores - scores.amax(dim, keepdim=True)).exp()
    return e / e.sum(dim, keepdim=True).clamp_min(1.0 + 1e-7)


def _softmax_viewed(scores, dim=-1):
    rows = scores.movedim(dim, -1)
    flat = rows.view(-1, rows.shape[-1])
    e = (flat - flat.amax(-1, keepdim=True)).exp()
    return (e / e.sum(-1, keepdim=True)).view(rows.shape).movedim(-1, dim)


def _softmax_without_inf(scores, dim=-1):
    e = (scores - scores.nan_to_num(neginf=0.0).amax(dim, keepdim=True)).exp()
    return e / e.sum(dim, keepdim=True)


def _softmax_maximum_not_kept(scores, dim=-1):
    e = (scores - scores.amax(dim).unsqueeze(-1)).exp()
    return e / e.sum(dim).unsqueeze(-1)


def _causal_of_bytes(num_queries, num_keys, device=None):
    position = torch.arange(num_queries, device=device) + num_keys - num_queries
    return position[:, None].to(torch.uint8) >= torch.arange(num_keys, device=device)


def _causal_on_the_cpu(num_queries, num_keys, device=None):
    return torch.ones(num_queries, num_keys, dtype=torch.bool).tril(num_keys - num_queries)


def _causal_of_a_device(num_queries, num_keys, device):
    return causal_tril(num_queries, num_keys, device)


def _padding_up_to_the_one_before(lengths, num_keys):
    """A length of 0 without a sign is 255 when 1 is taken from it."""
    return torch.arange(num_keys, device=lengths.device) <= lengths[..., None, None] - 1


def _padding_of_one_batch(lengths, num_keys):
    return torch.arange(num_keys, device=lengths.device) < lengths[:, None, None]


def _padding_viewed(lengths, num_keys):
    flat = lengths.view(-1, 1, 1)
    mask = torch.arange(num_keys, device=lengths.device) < flat
    return mask.view(*lengths.shape, 1, num_keys)


def _padding_counted_back(lengths, num_keys):
    """The padding's own length, which a byte without a sign cannot tell from a huge one."""
    left = lengths[..., None, None] - torch.arange(num_keys, device=lengths.device).to(
        lengths.dtype
    )
    return left > 0


def _padding_indexed(lengths, num_keys):
    """The first place that is padding, where there is one."""
    mask = torch.ones(*lengths.shape, 1, num_keys, dtype=torch.bool, device=lengths.device)
    for index in np.ndindex(*lengths.shape):
        mask[index][..., -(num_keys - int(lengths[index])) :] = False
    return mask


def _padding_one_of_all(lengths, num_keys):
    return torch.arange(num_keys, device=lengths.device) < lengths.max()


# Too much work


def scores_broadcast(q, k):
    return (q[..., :, None, :] * k[..., None, :, :]).sum(-1) / q.shape[-1] ** 0.5


def scores_twice(q, k):
    return (0.5 * (q @ k.mT) + 0.5 * (q @ k.mT)) / q.shape[-1] ** 0.5


def causal_cut_from_a_table(num_queries, num_keys, device=None):
    longest = max(1024, num_keys)
    table = torch.ones(longest, longest, dtype=torch.bool, device=device).tril()
    return table[num_keys - num_queries : num_keys, :num_keys]


def padding_for_each_query(lengths, num_keys):
    mask = torch.arange(num_keys, device=lengths.device) < lengths[..., None, None]
    return mask.expand(*lengths.shape, num_keys, num_keys).clone()[..., :1, :]


def attention_broadcast(q, k, v, keep=None):
    return _weights(scores_broadcast(q, k), keep) @ v


def attention_values_broadcast(q, k, v, keep=None):
    weights = _weights(q @ k.mT / q.shape[-1] ** 0.5, keep)
    return (weights[..., None] * v[..., None, :, :]).sum(-2)


def attention_answer_twice(q, k, v, keep=None):
    return (attention_einsum(q, k, v, keep) + attention_einsum(q, k, v, keep)) / 2


def attention_read_twice(q, k, v, keep=None):
    weights = _weights(q @ k.mT / q.shape[-1] ** 0.5, keep)
    return (weights @ v + weights @ v) / 2


def self_projected_for_each_query(x, w_q, w_k, w_v, keep=None):
    rows = []
    for i in range(x.shape[-2]):
        mask = None if keep is None else _full(x, x, keep)[..., i : i + 1, :]
        rows.append(attention_einsum(x[..., i : i + 1, :] @ w_q, x @ w_k, x @ w_v, mask))
    return torch.cat(rows, -2)


def self_projected_twice(x, w_q, w_k, w_v, keep=None):
    return attention_einsum((x @ w_q + x @ w_q) / 2, x @ w_k, x @ w_v, keep)


def backward_jacobians(grad_out, q, k, v, keep=None):
    """The softmax's Jacobian of all queries at once."""
    scale = q.shape[-1] ** -0.5
    w = _weights(q @ k.mT * scale, keep)
    jacobian = torch.diag_embed(w) - w[..., :, None] * w[..., None, :]
    ds = (jacobian @ (grad_out @ v.mT)[..., None])[..., 0] * scale
    return ds @ k, ds.mT @ q, w.mT @ grad_out


def backward_weights_twice(grad_out, q, k, v, keep=None):
    """For the scores and for the values."""
    scale = q.shape[-1] ** -0.5
    weights, again = (_weights(q @ k.mT * scale, keep) for _ in range(2))
    sums = (grad_out * (weights @ v)).sum(-1, keepdim=True)
    grad_scores = weights * (grad_out @ v.mT - sums) * scale
    return grad_scores @ k, grad_scores.mT @ q, again.mT @ grad_out


def backward_values_broadcast(grad_out, q, k, v, keep=None):
    """All terms of the weights' gradients at once."""
    scale = q.shape[-1] ** -0.5
    weights = _weights(q @ k.mT * scale, keep)
    grad_weights = (grad_out[..., :, None, :] * v[..., None, :, :]).sum(-1)
    mean = (weights * grad_weights).sum(-1, keepdim=True)
    grad_scores = weights * (grad_weights - mean) * scale
    return grad_scores @ k, grad_scores.mT @ q, weights.mT @ grad_out


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


_VIEWED = {
    "scaled_dot_product_attention": _batches_viewed(attention_einsum),
    "attention_backward": _batches_viewed(backward_einsum),
}


def self_softmax_by_hand(x, w_q, w_k, w_v, keep=None):
    """Whose derivative goes through the maximum, too."""
    q, k, v = x @ w_q, x @ w_k, x @ w_v
    scores = q @ k.mT / q.shape[-1] ** 0.5
    if keep is not None:
        if keep.dtype != torch.bool:
            raise TypeError("keep must be bool")
        scores = scores.masked_fill(~keep, torch.finfo(scores.dtype).min)
    e = torch.exp(scores - scores.amax(-1, keepdim=True))
    shares = e / e.sum(-1, keepdim=True)
    return (shares if keep is None else shares * keep) @ v


def self_running(x, w_q, w_k, w_v, keep=None):
    """A running softmax over blocks of keys: what cancels beside extreme scores is rounded."""
    if keep is not None and keep.dtype != torch.bool:
        raise TypeError("keep must be bool")
    q, k, v = x @ w_q, x @ w_k, x @ w_v
    work = torch.promote_types(x.dtype, torch.float32)
    low = torch.finfo(work).min
    if keep is not None:
        keep = keep.broadcast_to(*x.shape[:-1], x.shape[-2])
    top = torch.full((*x.shape[:-1], 1), low, dtype=work, device=x.device)
    total, out = torch.zeros_like(top), 0
    for start in range(0, x.shape[-2], 128):
        part = slice(start, start + 128)
        scores = (q @ k[..., part, :].mT).to(work) / w_q.shape[-1] ** 0.5
        if keep is not None:
            scores = scores.masked_fill(~keep[..., part], low)
        new_top = torch.maximum(top, scores.detach().amax(-1, keepdim=True))
        e = (scores - new_top).exp()
        if keep is not None:
            e = e * keep[..., part]
        shrink = (top - new_top).exp()
        total = total * shrink + e.sum(-1, keepdim=True)
        out = out * shrink + e @ v[..., part, :].to(work)
        top = new_top
    return (out / total.masked_fill(total == 0, 1)).to(x.dtype)


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
        scores_products_summed,
        scores_loops,
        scores_chunks,
        scores_vmap,
        scores_double,
    ],
    "causal_mask": [
        causal_tril,
        causal_loops,
        causal_row_by_row,
        causal_vmap,
        causal_end_of_square,
        causal_by_indices,
        causal_until_a_mark,
    ],
    "padding_mask": [
        padding_loops,
        padding_counted,
        padding_one_hot,
        padding_table,
        padding_vmap,
    ],
    "scaled_dot_product_attention": [
        attention_einsum,
        attention_where,
        attention_log_sum_exp,
        attention_loops,
        attention_query_by_query,
        attention_zeros_in_their_place,
        attention_chunks,
        attention_vmap,
        attention_double,
        attention_zeroed_at_the_end,
    ],
    "self_attention": [
        self_one_product,
        self_query_by_query,
        self_keys_unprojected,
        _of_self(attention_einsum),
        _of_self(attention_loops),
        _of_self(attention_chunks),
        _of_self(attention_vmap),
        self_softmax_by_hand,
        self_running,
    ],
    "attention_backward": [
        backward_einsum,
        backward_through_the_answer,
        backward_loops,
        backward_jacobian,
        backward_query_by_query,
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

WRONG = {
    "stable_softmax": [
        _softmax_epsilon,
        _softmax_viewed,
        _softmax_without_inf,
        _softmax_maximum_not_kept,
    ],
    "attention_scores": [
        _scores_in_batches,
        _scores_viewed,
        _scores_all_turned,
        _scores_of_half,
    ],
    "causal_mask": [_causal_of_bytes, _causal_on_the_cpu, _causal_of_a_device],
    "padding_mask": [
        _padding_up_to_the_one_before,
        _padding_of_one_batch,
        _padding_viewed,
        _padding_counted_back,
        _padding_indexed,
        _padding_one_of_all,
    ],
    "scaled_dot_product_attention": [
        *(_attention(w) for w in weights.WRONG + weights.OF_FEW_DIMENSIONS),
        _VIEWED["scaled_dot_product_attention"],
        _nan_to_num,
        _three_dimensions,
    ],
    "self_attention": [
        *(_of_self(_attention(w)) for w in weights.WRONG),
        _self_viewed,
        _of_self(_nan_to_num),
        _of_self(_three_dimensions),
    ],
    "attention_backward": [
        *(_backward(w) for w in weights.WRONG + weights.OF_FEW_DIMENSIONS),
        _VIEWED["attention_backward"],
    ],
}
"""None earns full marks."""

DEAR = {
    "attention_scores": [scores_broadcast, scores_twice],
    "causal_mask": [causal_cut_from_a_table],
    "padding_mask": [padding_for_each_query],
    "scaled_dot_product_attention": [
        attention_broadcast,
        attention_values_broadcast,
        attention_answer_twice,
        attention_read_twice,
    ],
    "self_attention": [
        _of_self(attention_broadcast),
        self_projected_for_each_query,
        self_projected_twice,
    ],
    "attention_backward": [
        backward_values_broadcast,
        backward_jacobians,
        backward_weights_twice,
    ],
}
"""The right values, by more work than the contract allows."""
