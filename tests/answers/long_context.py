"""Answers to chapter 12's exercises: right ones in other styles than the reference, and wrong ones
that are no trap."""

import math

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

# Masks


def window_triangles(num_queries, num_keys, window, device=None):
    if window < 1:
        raise ValueError(f"window {window}")
    ones = torch.ones(num_queries, num_keys, dtype=torch.bool, device=device)
    past = num_keys - num_queries
    return ones.tril(past) & ones.triu(past - window + 1)


def window_rows(num_queries, num_keys, window, device=None):
    if window <= 0:
        raise ValueError(f"{window=}")
    keep = torch.zeros(num_queries, num_keys, dtype=torch.bool, device=device)
    for i in range(num_queries):
        p = i + num_keys - num_queries
        keep[i, max(0, p - window + 1) : p + 1] = True
    return keep


def window_greater(num_queries, num_keys, window, device=None):
    if window < 1:
        raise ValueError("a window below 1")
    q = torch.arange(num_keys - num_queries, num_keys, device=device).unsqueeze(1)
    k = torch.arange(num_keys, device=device).unsqueeze(0)
    return torch.logical_and(k.le(q), k.gt(q - window))


def window_numpy(num_queries, num_keys, window, device=None):
    if window < 1:
        raise ValueError("a window below 1")
    past = num_keys - num_queries
    ones = np.ones((num_queries, num_keys), dtype=bool)
    return torch.from_numpy(np.tril(ones, past) & np.triu(ones, past - window + 1)).to(device)


def window_of_a_table(num_queries, num_keys, window, device=None):
    """Cut from a table for a longest text."""
    longest = max(1024, num_keys)
    return window_triangles(longest, longest, window, device)[
        num_keys - num_queries : num_keys, :num_keys
    ]


def _window_of_pairs(num_queries, num_keys, window, device=None):
    return window_triangles(num_queries, num_keys, window + window % 2, device)


def _window_of_the_longest(num_queries, num_keys, window, device=None):
    return window_triangles(num_queries, num_keys, min(window, 4), device)


def _window_doubled(num_queries, num_keys, window, device=None):
    return window_triangles(num_queries, num_keys, 2 * window, device)


def strided_lists(num_queries, num_keys, stride, device=None):
    if stride < 1:
        raise ValueError(f"stride {stride}")
    keep = torch.zeros(num_queries, num_keys, dtype=torch.bool, device=device)
    for i in range(num_queries):
        p = i + num_keys - num_queries
        keep[i, p % stride : p + 1 : stride] = True
    return keep


def strided_residues(num_queries, num_keys, stride, device=None):
    if stride < 1:
        raise ValueError(f"stride {stride}")
    k = torch.arange(num_keys, device=device)
    q = k[num_keys - num_queries :, None]
    return (k <= q) & (k % stride == q % stride)


def strided_fmod(num_queries, num_keys, stride, device=None):
    if stride <= 0:
        raise ValueError(f"stride {stride}")
    back = torch.arange(num_keys - num_queries, num_keys, device=device).view(-1, 1)
    back = back - torch.arange(num_keys, device=device).view(1, -1)
    return back.ge(0).logical_and(torch.remainder(back, stride).eq(0))


def strided_numpy(num_queries, num_keys, stride, device=None):
    if stride < 1:
        raise ValueError(f"stride {stride}")
    back = np.arange(num_keys - num_queries, num_keys)[:, None] - np.arange(num_keys)
    return torch.from_numpy((back >= 0) & (back % stride == 0)).to(device)


def strided_of_a_table(num_queries, num_keys, stride, device=None):
    """Cut from a table for a longest text."""
    longest = max(1024, num_keys)
    return strided_residues(longest, longest, stride, device)[
        num_keys - num_queries : num_keys, :num_keys
    ]


def _strided_squares(num_queries, num_keys, stride, device=None):
    back = torch.arange(num_keys - num_queries, num_keys, device=device)[:, None]
    back = back - torch.arange(num_keys, device=device)
    return (back >= 0) & (back % (stride * stride) == 0)


def _strided_latest(num_queries, num_keys, stride, device=None):
    back = torch.arange(num_keys - num_queries, num_keys, device=device)[:, None]
    back = back - torch.arange(num_keys, device=device)
    return (back >= 0) & (back % stride == 0) & (back < 4 * stride)


def _strided_pairs(num_queries, num_keys, stride, device=None):
    keep = strided_residues(num_queries, num_keys, stride, device)
    return keep | (keep.roll(1, 1) & window_triangles(num_queries, num_keys, num_keys, device))


def random_scatter(chance, num_global, num_random):
    if num_global < 0 or num_random < 0:
        raise ValueError(f"{num_global}, {num_random}")
    tq, tk = chance.shape
    past = torch.ones(tq, tk, dtype=torch.bool, device=chance.device).tril(tk - tq)
    first = torch.zeros_like(past)
    first[:, :num_global] = True
    drawn = torch.where(past & ~first, chance, torch.inf)
    order = drawn.argsort(-1)[:, :num_random]
    return (first | torch.zeros_like(past).scatter_(1, order, True)) & past


def random_threshold(chance, num_global, num_random):
    """Up to the value of the last that is taken."""
    if num_global < 0 or num_random < 0:
        raise ValueError(f"{num_global}, {num_random}")
    tq, tk = chance.shape
    keys = torch.arange(tk, device=chance.device)
    past = keys <= torch.arange(tk - tq, tk, device=chance.device)[:, None]
    drawn = chance.masked_fill(~past | (keys < num_global), torch.inf)
    keep = past & (keys < num_global)
    if num_random:
        last = drawn.sort(-1).values[:, min(num_random, tk) - 1, None]
        keep = keep | ((drawn <= last) & (drawn < torch.inf))
    return keep


def random_row_by_row(chance, num_global, num_random):
    if min(num_global, num_random) < 0:
        raise ValueError(f"{num_global}, {num_random}")
    tq, tk = chance.shape
    keep = torch.zeros(tq, tk, dtype=torch.bool, device=chance.device)
    for i in range(tq):
        end = i + tk - tq + 1
        keep[i, : min(num_global, end)] = True
        if num_global < end and num_random:
            others = chance[i, num_global:end]
            chosen = others.topk(min(num_random, len(others)), largest=False).indices
            keep[i, chosen + num_global] = True
    return keep


def random_numpy(chance, num_global, num_random):
    if min(num_global, num_random) < 0:
        raise ValueError(f"{num_global}, {num_random}")
    a = chance.detach().cpu().numpy()
    tq, tk = a.shape
    past = np.tril(np.ones((tq, tk), dtype=bool), tk - tq)
    first = np.arange(tk) < num_global
    place = np.where(past & ~first, a, np.inf).argsort(-1, kind="stable").argsort(-1)
    return torch.from_numpy(past & (first | (place < num_random))).to(chance.device)


def random_by_pairs(chance, num_global, num_random):
    """Each key's place by how many others have a smaller chance: all pairs of them."""
    if min(num_global, num_random) < 0:
        raise ValueError(f"{num_global}, {num_random}")
    tq, tk = chance.shape
    past = torch.ones(tq, tk, dtype=torch.bool, device=chance.device).tril(tk - tq)
    first = torch.arange(tk, device=chance.device) < num_global
    drawn = chance.masked_fill(~past | first, torch.inf)
    place = (drawn[:, None, :] < drawn[:, :, None]).sum(-1)
    return past & (first | ((place < num_random) & (drawn < torch.inf)))


def _random_neighbours(chance, num_global, num_random):
    """The random ones of the query before."""
    keep = random_scatter(chance, num_global, num_random)
    return keep.roll(1, 0) & torch.ones_like(keep).tril(keep.shape[1] - keep.shape[0])


def _random_every_other(chance, num_global, num_random):
    return random_scatter(chance, num_global, 2 * num_random)


def _random_of_the_latest(chance, num_global, num_random):
    keep = random_scatter(chance, num_global, num_random)
    return keep & window_triangles(*chance.shape, 6, chance.device)


# Reach


def reach_frontier(keep):
    if keep.ndim != 2 or keep.shape[0] != keep.shape[1]:
        raise ValueError(f"{tuple(keep.shape)}")
    size = len(keep)
    layers = torch.full((size, size), -1, device=keep.device)
    frontier = torch.eye(size, dtype=torch.bool, device=keep.device)
    for depth in range(size + 1):
        layers = torch.where(frontier, depth, layers)
        frontier = ((keep.double() @ frontier.double()) > 0.5) & (layers < 0)
        if not bool(frontier.any()):
            break
    return layers


def reach_search(keep):
    """Breadth first, in Python."""
    if keep.ndim != 2 or keep.shape[0] != keep.shape[1]:
        raise ValueError(f"{tuple(keep.shape)}")
    reads = [[j for j, may in enumerate(row) if may] for row in keep.tolist()]
    rows = []
    for i in range(len(reads)):
        row, edge, depth = [-1] * len(reads), [i], 0
        row[i] = 0
        while edge:
            depth += 1
            edge = [j for j in {j for k in edge for j in reads[k]} if row[j] < 0]
            for j in edge:
                row[j] = depth
        rows.append(row)
    return torch.tensor(rows, device=keep.device).reshape(len(reads), len(reads))


def reach_from_readers(keep):
    """Column by column: who has just learned of a token tells those that read him."""
    if keep.dim() != 2 or keep.size(0) != keep.size(1):
        raise ValueError(f"{tuple(keep.shape)}")
    size = keep.size(0)
    unknown = size + 1
    layers = torch.full((size, size), unknown, dtype=torch.int64, device=keep.device)
    layers.fill_diagonal_(0)
    readers = keep.to(torch.float64).mT.contiguous().mT
    for depth in range(1, size):
        newest = (layers == depth - 1).to(torch.float64)
        told = readers.matmul(newest).gt(0)
        layers = torch.minimum(layers, torch.where(told, depth, unknown))
        if not (layers == depth).any():
            break
    return torch.where(layers == unknown, -1, layers)


def reach_sums(keep):
    """The number of layers for which it is out of reach."""
    if keep.ndim != 2 or keep.shape[0] != keep.shape[1]:
        raise ValueError(f"{tuple(keep.shape)}")
    size = keep.shape[0]
    one = (keep | torch.eye(size, dtype=torch.bool, device=keep.device)).float()
    reached = torch.eye(size, device=keep.device)
    layers = (1 - reached).long()
    while True:
        new = (one @ reached).clamp(max=1)
        if torch.equal(new, reached):
            break
        reached = new
        layers = layers + (1 - reached).long()
    return layers.masked_fill(reached == 0, -1)


def reach_numpy(keep):
    if keep.ndim != 2 or keep.shape[0] != keep.shape[1]:
        raise ValueError(f"{tuple(keep.shape)}")
    a = keep.cpu().numpy().astype(float)
    reached = np.eye(len(a))
    layers = np.where(reached > 0, 0, -1)
    for depth in range(1, len(a) + 1):
        new = (a @ reached > 0) & (reached == 0)
        layers[new] = depth
        reached[new] = 1
    return torch.from_numpy(layers).to(keep.device)


def reach_every_length(keep):
    """As many products as there are tokens, whatever the depth."""
    if keep.ndim != 2 or keep.shape[0] != keep.shape[1]:
        raise ValueError(f"{tuple(keep.shape)}")
    size = keep.shape[0]
    reached = torch.eye(size, dtype=torch.bool, device=keep.device)
    layers = reached.long() - 1
    for depth in range(1, size + 1):
        new = (keep.float() @ reached.float() > 0) & ~reached
        layers, reached = layers.masked_fill(new, depth), reached | new
    return layers


def reach_relaxed(keep):
    """Floyd and Warshall's way, all triples at once."""
    if keep.ndim != 2 or keep.shape[0] != keep.shape[1]:
        raise ValueError(f"{tuple(keep.shape)}")
    size = keep.shape[0]
    far = torch.full((size, size), torch.inf, device=keep.device).masked_fill(keep, 1.0)
    far.fill_diagonal_(0.0)
    for _ in range(math.ceil(math.log2(max(size, 2)))):
        far = (far[:, :, None] + far[None, :, :]).amin(1)
    return far.masked_fill(far.isinf(), -1).long()


def _reach_two(keep):
    layers = reach_frontier(keep)
    return torch.where(layers > 2, 2, layers)


def _reach_distance(keep):
    at = torch.arange(len(keep), device=keep.device)
    return (at[:, None] - at).clamp(min=-1)


def _reach_halves(keep):
    layers = reach_frontier(keep)
    return torch.where(layers > 0, (layers + 1) // 2, layers)


# Windows


def _fits(q, k, window):
    if window < 1 or q.shape[-2] > k.shape[-2]:
        raise ValueError(f"window {window}, {q.shape[-2]} queries, {k.shape[-2]} keys")


def windowed_query_by_query(q, k, v, window):
    _fits(q, k, window)
    past, out = k.shape[-2] - q.shape[-2], []
    for i in range(q.shape[-2]):
        low, high = max(0, past + i - window + 1), past + i + 1
        scores = q[..., i : i + 1, :] @ k[..., low:high, :].mT / q.shape[-1] ** 0.5
        out.append(scores.softmax(-1) @ v[..., low:high, :])
    return torch.cat(out, -2)


def windowed_unfold(q, k, v, window):
    """All windows at once, as views: (T, D, window)."""
    _fits(q, k, window)
    tq, tk = q.shape[-2], k.shape[-2]
    window = min(window, tk)
    k = F.pad(k, (0, 0, window - 1, 0)).unfold(-2, window, 1)[..., tk - tq :, :, :]
    v = F.pad(v, (0, 0, window - 1, 0)).unfold(-2, window, 1)[..., tk - tq :, :, :]
    scores = (q.unsqueeze(-2) @ k).squeeze(-2) * q.shape[-1] ** -0.5
    at = torch.arange(tk - tq, tk, device=q.device)[:, None]
    there = at + torch.arange(window, device=q.device) - (window - 1) >= 0
    scores = scores.masked_fill(~there, torch.finfo(q.dtype).min)
    return (v @ scores.softmax(-1).unsqueeze(-1)).squeeze(-1)


def windowed_blocks(q, k, v, window):
    """Two blocks of keys for each block of queries, all blocks at once."""
    _fits(q, k, window)
    tq, tk = q.shape[-2], k.shape[-2]
    window = min(window, tk)
    blocks = -(-tk // window)
    front, behind = tk - tq, blocks * window - tk
    q = F.pad(q, (0, 0, front, behind)).unflatten(-2, (blocks, window))
    k, v = (F.pad(t, (0, 0, window, behind)).unflatten(-2, (blocks + 1, window)) for t in (k, v))
    k = torch.cat((k[..., :-1, :, :], k[..., 1:, :, :]), -2)
    v = torch.cat((v[..., :-1, :, :], v[..., 1:, :, :]), -2)
    scores = q @ k.mT * q.shape[-1] ** -0.5
    row = torch.arange(window, device=q.device)[:, None] + window
    column = torch.arange(2 * window, device=q.device)
    keep = (column <= row) & (column > row - window)
    key = torch.arange(blocks, device=q.device)[:, None, None] * window + column - window
    keep = keep & (key >= 0) & (key < tk)
    shares = scores.masked_fill(~keep, torch.finfo(q.dtype).min).softmax(-1) * keep
    return (shares @ v).flatten(-3, -2)[..., front : front + tq, :]


def windowed_numpy(q, k, v, window):
    _fits(q, k, window)
    a, b, c = (t.detach().cpu().numpy().astype(float) for t in (q, k, v))
    past, out = b.shape[-2] - a.shape[-2], []
    for i in range(a.shape[-2]):
        low, high = max(0, past + i - window + 1), past + i + 1
        scores = np.einsum("...d,...kd->...k", a[..., i, :], b[..., low:high, :])
        scores = scores / a.shape[-1] ** 0.5
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        weights /= weights.sum(-1, keepdims=True)
        out.append(np.einsum("...k,...kv->...v", weights, c[..., low:high, :]))
    return torch.from_numpy(np.stack(out, -2)).to(q.device, q.dtype)


def windowed_full(q, k, v, window):
    """A mask over the whole table."""
    _fits(q, k, window)
    keep = window_triangles(q.shape[-2], k.shape[-2], window, q.device)
    scores = (q @ k.mT * q.shape[-1] ** -0.5).masked_fill(~keep, torch.finfo(q.dtype).min)
    return scores.softmax(-1) @ v


def windowed_square_of_the_newest(q, k, v, window):
    """The keys that no query reads are cut off, and then the whole table is made."""
    _fits(q, k, window)
    needed = min(q.shape[-2] + window - 1, k.shape[-2])
    return windowed_full(q, k[..., -needed:, :], v[..., -needed:, :], window)


def windowed_rows_of_all(q, k, v, window):
    """One row of scores at a time, each over the whole text."""
    _fits(q, k, window)
    keep = window_triangles(q.shape[-2], k.shape[-2], window, q.device)
    rows = []
    for i in range(q.shape[-2]):
        scores = q[..., i : i + 1, :] @ k.mT * q.shape[-1] ** -0.5
        scores = scores.masked_fill(~keep[i], torch.finfo(q.dtype).min)
        rows.append(scores.softmax(-1) @ v)
    return torch.cat(rows, -2)


def windowed_library(q, k, v, window):
    _fits(q, k, window)
    keep = window_triangles(q.shape[-2], k.shape[-2], window, q.device)
    return F.scaled_dot_product_attention(q, k, v, keep)


def _windowed_mean(q, k, v, window):
    _fits(q, k, window)
    keep = window_triangles(q.shape[-2], k.shape[-2], window, q.device).to(q.dtype)
    return keep / keep.sum(-1, keepdim=True) @ v + 0 * q.sum()


def _windowed_pairs(q, k, v, window):
    return windowed_query_by_query(q, k, v, window + 7)


def _windowed_faded(q, k, v, window):
    _fits(q, k, window)
    past = k.shape[-2] - q.shape[-2]
    at = torch.arange(past, k.shape[-2], device=q.device)[:, None]
    far = (at - torch.arange(k.shape[-2], device=q.device)).to(q.dtype)
    scores = (q @ k.mT * q.shape[-1] ** -0.5 - far / window).masked_fill(
        far < 0, torch.finfo(q.dtype).min
    )
    return scores.softmax(-1) @ v


# Linear attention


def _phi(x):
    return torch.where(x > 0, x + 1, torch.exp(torch.minimum(x, torch.zeros_like(x))))


def _asked(q, k, causal):
    if causal and q.shape[-2] > k.shape[-2]:
        raise ValueError(f"{q.shape[-2]} queries, {k.shape[-2]} keys")


def linear_token_by_token(q, k, v, causal=True):
    _asked(q, k, causal)
    q, k = _phi(q), _phi(k)
    if not causal:
        return torch.einsum("...qd,...dv->...qv", q, torch.einsum("...kd,...kv->...dv", k, v)) / (
            torch.einsum("...qd,...d->...q", q, k.sum(-2)).unsqueeze(-1)
        )
    past, out = k.shape[-2] - q.shape[-2], []
    context = k.new_zeros(*k.shape[:-2], k.shape[-1], v.shape[-1])
    total = k.new_zeros(*k.shape[:-2], k.shape[-1])
    for j in range(k.shape[-2]):
        context = context + k[..., j, :, None] * v[..., j, None, :]
        total = total + k[..., j, :]
        if j >= past:
            one = q[..., j - past, :]
            read = torch.einsum("...d,...dv->...v", one, context)
            out.append(read / (one * total).sum(-1, keepdim=True))
    return torch.stack(out, -2)


def linear_ones_beside(q, k, v, causal=True):
    """The normaliser as one more value, which is always 1."""
    _asked(q, k, causal)
    q, k = _phi(q), _phi(k)
    v = torch.cat((v, torch.ones_like(v[..., :1])), -1)
    if causal:
        sums = torch.einsum("...kd,...kv->...kdv", k, v).cumsum(-3)
        sums = sums[..., k.shape[-2] - q.shape[-2] :, :, :]
        both = torch.einsum("...qd,...qdv->...qv", q, sums)
    else:
        both = q @ (k.mT @ v)
    return both[..., :-1] / both[..., -1:]


def linear_in_chunks(q, k, v, causal=True):
    """Within a chunk by pairs, from chunk to chunk by the state."""
    _asked(q, k, causal)
    q, k = _phi(q), _phi(k)
    if not causal:
        return q @ (k.mT @ v) / (q @ k.sum(-2, keepdim=True).mT)
    past, size, out = k.shape[-2] - q.shape[-2], 8, []
    context, total = k[..., :past, :].mT @ v[..., :past, :], k[..., :past, :].sum(-2, keepdim=True)
    for start in range(0, q.shape[-2], size):
        stop = min(start + size, q.shape[-2])
        one, keys = q[..., start:stop, :], k[..., past + start : past + stop, :]
        values = v[..., past + start : past + stop, :]
        shares = (one @ keys.mT).tril()
        read, weight = one @ context + shares @ values, one @ total.mT + shares.sum(-1, True)
        out.append(read / weight)
        context, total = context + keys.mT @ values, total + keys.sum(-2, keepdim=True)
    return torch.cat(out, -2)


def linear_numpy(q, k, v, causal=True):
    _asked(q, k, causal)
    a, b, c = (t.detach().cpu().numpy().astype(float) for t in (q, k, v))
    a, b = (np.where(x > 0, x + 1, np.exp(np.minimum(x, 0))) for x in (a, b))
    shares = a @ np.swapaxes(b, -1, -2)
    if causal:
        shares = np.tril(shares, b.shape[-2] - a.shape[-2])
    out = shares @ c / shares.sum(-1, keepdims=True)
    return torch.from_numpy(out).to(q.device, q.dtype)


def linear_by_pairs(q, k, v, causal=True):
    """All weights, as with a softmax."""
    _asked(q, k, causal)
    shares = _phi(q) @ _phi(k).mT
    if causal:
        shares = shares.tril(k.shape[-2] - q.shape[-2])
    return shares @ v / shares.sum(-1, keepdim=True)


def _linear_squared(q, k, v, causal=True):
    _asked(q, k, causal)
    shares = (_phi(q) @ _phi(k).mT).square()
    if causal:
        shares = shares.tril(k.shape[-2] - q.shape[-2])
    return shares @ v / shares.sum(-1, keepdim=True)


def _linear_mean_beside(q, k, v, causal=True):
    return linear_by_pairs(q, k, v, causal) + v.mean(-2, keepdim=True)


def _linear_newest_first(q, k, v, causal=True):
    _asked(q, k, causal)
    shares = _phi(q) @ _phi(k).mT
    if causal:
        shares = shares.tril(k.shape[-2] - q.shape[-2])
    weights = torch.arange(1, k.shape[-2] + 1, device=q.device).to(q.dtype)
    shares = shares * weights
    return shares @ v / shares.sum(-1, keepdim=True)


def step_einsum(q, k, v, context, total):
    q, k = _phi(q), _phi(k)
    context = context + torch.einsum("...d,...v->...dv", k, v)
    total = total + k
    weight = torch.einsum("...d,...d->...", q, total)
    return torch.einsum("...d,...dv->...v", q, context) / weight[..., None], context, total


def step_shares(q, k, v, context, total):
    """Normalised before it reads."""
    q, k = _phi(q), _phi(k)
    new_context, new_total = k[..., None] @ v[..., None, :] + context, k + total
    shares = q / (q[..., None, :] @ new_total[..., None]).squeeze(-1)
    return (shares[..., None] * new_context).sum(-2), new_context, new_total


def step_by_parts(q, k, v, context, total):
    """The past and the token itself, each with its weight."""
    q, k = _phi(q), _phi(k)
    itself = (q * k).sum(-1, keepdim=True)
    read = (context.mT @ q[..., None]).squeeze(-1) + itself * v
    weight = (q * total).sum(-1, keepdim=True) + itself
    return read / weight, context + k[..., None] * v[..., None, :], total + k


def step_numpy(q, k, v, context, total):
    a, b, c, s, n = (t.detach().cpu().numpy().astype(float) for t in (q, k, v, context, total))
    a, b = (np.where(x > 0, x + 1, np.exp(np.minimum(x, 0))) for x in (a, b))
    s, n = s + b[..., None] * c[..., None, :], n + b
    out = (a[..., None] * s).sum(-2) / (a * n).sum(-1, keepdims=True)
    return tuple(torch.from_numpy(x).to(q.device, q.dtype) for x in (out, s, n))


def step_by_a_matrix(q, k, v, context, total):
    """Through a diagonal matrix, which multiplies for nothing."""
    q, k = _phi(q), _phi(k)
    context = torch.diag_embed(torch.ones_like(k)) @ context + k[..., None] * v[..., None, :]
    total = total + k
    shares = torch.diag_embed(q) @ context
    return shares.sum(-2) / (q * total).sum(-1, keepdim=True), context, total


def _step_gated(q, k, v, context, total):
    gate = torch.sigmoid(k).mean(-1, keepdim=True)
    return step_einsum(q, k, v, gate[..., None] * context, gate * total)


def _step_swapped(q, k, v, context, total):
    return step_einsum(k, q, v, context, total)


def _step_normed(q, k, v, context, total):
    return step_einsum(F.normalize(q, dim=-1), F.normalize(k, dim=-1), v, context, total)


# Rotations


def _scaling(width, factor, method):
    if width % 2 or width < 2 or factor < 1 or method not in {"linear", "ntk"}:
        raise ValueError(f"{width}, {factor}, {method}")
    if method == "ntk" and width < 4:
        raise ValueError("a single pair")


def scale_by_logarithms(width, factor, method, length, trained_length, theta=10_000.0, device=None):
    _scaling(width, factor, method)
    log_base = math.log(theta)
    if method == "ntk" and length > trained_length:
        growth = factor * length / trained_length - factor + 1
        log_base += math.log(growth) * width / (width - 2)
    pairs = torch.arange(width // 2, dtype=torch.float64, device=device)
    log = -2 * pairs / width * log_base
    return (log - math.log(factor) if method == "linear" else log).exp()


def scale_in_python(width, factor, method, length, trained_length, theta=10_000.0, device=None):
    _scaling(width, factor, method)
    base = theta
    if method == "ntk":
        longer = max(length, trained_length)
        base *= ((factor * longer / trained_length) - (factor - 1)) ** (width / (width - 2))
    found = [1.0 / base ** (i / width) for i in range(0, width, 2)]
    if method == "linear":
        found = [f / factor for f in found]
    return torch.tensor(found, dtype=torch.float64, device=device)


def scale_by_positions(width, factor, method, length, trained_length, theta=1e4, device=None):
    """What one position, divided by the factor, is turned by."""
    _scaling(width, factor, method)
    position = torch.ones((), dtype=torch.float64, device=device)
    if method == "linear":
        position = position / factor
    else:
        longer = max(1.0, length / trained_length)
        theta = theta * (factor * longer - (factor - 1)) ** (width / (width - 2))
    steps = torch.arange(0, width, 2, dtype=torch.float64, device=device)
    return position / theta ** (steps / width)


def scale_numpy(width, factor, method, length, trained_length, theta=1e4, device=None):
    _scaling(width, factor, method)
    if method == "ntk":
        longer = max(length, trained_length) / trained_length
        theta = theta * (factor * longer - factor + 1) ** (width / (width - 2))
    found = float(theta) ** (-np.arange(0, width, 2) / width)
    return torch.from_numpy(found / factor if method == "linear" else found).to(device)


def _scale_some_pairs(width, factor, method, length, trained_length, theta=1e4, device=None):
    """Slow pairs alone are stretched."""
    found = scale_in_python(width, factor, method, length, trained_length, theta, device)
    plain = scale_in_python(width, 1.0, "linear", length, trained_length, theta, device)
    return torch.where(plain > 0.5, plain, found)


def _scale_rooted(width, factor, method, length, trained_length, theta=1e4, device=None):
    return scale_in_python(width, factor**0.5, method, length, trained_length, theta, device)


def _scale_whole(width, factor, method, length, trained_length, theta=1e4, device=None):
    return scale_in_python(width, math.ceil(factor), method, length, trained_length, theta, device)


# The ring


def _member(q, k, v, rank, ranks):
    if rank not in range(ranks) or q.shape != k.shape or k.shape[:-1] != v.shape[:-1]:
        raise ValueError(f"{rank} of {ranks}: {q.shape}, {k.shape}, {v.shape}")


class RingOfSums:
    """The maximum and two sums, divided at the end."""

    def __init__(self, q, k, v, rank, ranks, causal):
        _member(q, k, v, rank, ranks)
        self.q, self.letter, self.rank, self.ranks = q, (k, v), rank, ranks
        self.causal, self.rounds = causal, 0
        self.top = self.weights = self.values = None
        self._take(k, v)

    def _take(self, k, v):
        time = self.q.shape[-2]
        source = (self.rank - self.rounds) % self.ranks
        at = torch.arange(time, device=self.q.device)
        keep = source * time + at <= self.rank * time + at[:, None]
        if self.causal and source > self.rank:
            return
        scores = self.q @ k.mT / self.q.shape[-1] ** 0.5
        if self.causal:
            scores = scores.masked_fill(~keep, torch.finfo(scores.dtype).min)
        top = scores.amax(-1, keepdim=True).detach()
        if self.top is not None:
            top = torch.maximum(top, self.top)
        weights = (scores - top).exp()
        values, weights = weights @ v, weights.sum(-1, keepdim=True)
        if self.top is not None:
            kept = (self.top - top).exp()
            values, weights = values + kept * self.values, weights + kept * self.weights
        self.top, self.values, self.weights = top, values, weights

    def outgoing(self):
        k, v = self.letter
        return k, v

    def receive(self, k, v):
        if (k.shape, v.shape) != tuple(t.shape for t in self.letter):
            raise ValueError(f"{k.shape}, {v.shape}")
        self.letter = k, v
        self.rounds += 1
        self._take(k, v)

    def result(self):
        return self.values / self.weights


class RingModule(nn.Module):
    """A module; the share of a new block is a sigmoid."""

    def __init__(self, q, k, v, rank, ranks, causal):
        super().__init__()
        _member(q, k, v, rank, ranks)
        self.q, self.k, self.v = q * q.shape[-1] ** -0.5, k, v
        self.rank, self.ranks, self.causal = rank, ranks, causal
        self.sender = rank
        self.out, self.lse = self.block()

    def block(self):
        scores = torch.einsum("...qd,...kd->...qk", self.q, self.k)
        if self.causal and self.sender == self.rank:
            future = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).triu(1)
            scores = scores.masked_fill(future, float("-inf"))
        return scores.softmax(-1) @ self.v, torch.logsumexp(scores, -1, keepdim=True)

    def outgoing(self):
        return self.k, self.v

    def receive(self, k, v):
        if k.shape != self.k.shape or v.shape != self.v.shape:
            raise ValueError(f"{k.shape}, {v.shape}")
        self.k, self.v = k, v
        self.sender = self.sender - 1 if self.sender else self.ranks - 1
        if self.causal and self.sender > self.rank:
            return
        out, lse = self.block()
        share = torch.sigmoid(lse - self.lse)
        self.out = self.out + share * (out - self.out)
        self.lse = torch.logaddexp(self.lse, lse)

    def result(self):
        return self.out


class RingOfAnswers:
    """Every block's answer and log-sum-exp kept, and mixed at the end by a softmax of these."""

    def __init__(self, q, k, v, rank, ranks, causal):
        _member(q, k, v, rank, ranks)
        self.q, self.k, self.v, self.causal = q, k, v, causal
        self.rank, self.ranks, self.outs, self.sums = rank, ranks, [], []
        self.place = rank
        self._look()

    def _look(self):
        if self.causal and self.place > self.rank:
            return
        s = self.q @ self.k.mT * self.q.shape[-1] ** -0.5
        if self.causal and self.place == self.rank:
            s = torch.where(torch.ones_like(s).tril() > 0, s, -torch.inf)
        self.sums.append(s.logsumexp(-1))
        self.outs.append(s.softmax(-1) @ self.v)

    def outgoing(self):
        return self.k, self.v

    def receive(self, k, v):
        if k.shape != self.k.shape or v.shape != self.v.shape:
            raise ValueError("another size")
        self.k, self.v = k, v
        self.place = (self.place + self.ranks - 1) % self.ranks
        self._look()

    def result(self):
        shares = torch.stack(self.sums, -1).softmax(-1)
        return sum(shares[..., i, None] * out for i, out in enumerate(self.outs))


class HoardingRing:
    """All that has come is kept, and read at the end as one."""

    def __init__(self, q, k, v, rank, ranks, causal):
        _member(q, k, v, rank, ranks)
        self.q, self.parts, self.causal = q, [(rank, k, v)], causal
        self.rank, self.ranks = rank, ranks

    def outgoing(self):
        return self.parts[-1][1:]

    def receive(self, k, v):
        source, old_k, old_v = self.parts[-1]
        if k.shape != old_k.shape or v.shape != old_v.shape:
            raise ValueError("another size")
        self.parts.append(((source - 1) % self.ranks, k, v))

    def result(self):
        time = self.q.shape[-2]
        at = torch.arange(time, device=self.q.device)
        k, v = (torch.cat([p[i] for p in self.parts], -2) for i in (1, 2))
        where = torch.cat([p[0] * time + at for p in self.parts])
        s = self.q @ k.mT * self.q.shape[-1] ** -0.5
        if self.causal:
            s = s.masked_fill(where > self.rank * time + at[:, None], -torch.inf)
        return s.softmax(-1) @ v


class _RingOfThree(RingOfSums):
    def receive(self, k, v):
        if self.rounds < 2:
            super().receive(k, v)


class _RingOfHalves(RingOfSums):
    def outgoing(self):
        k, v = self.letter
        return k / 2, v / 2


_RingOfThree.__qualname__ = _RingOfHalves.__qualname__ = "RingAttention"


RIGHT = {
    "window_mask": [window_triangles, window_rows, window_greater],
    "strided_mask": [strided_lists, strided_residues, strided_fmod],
    "global_random_mask": [random_scatter, random_threshold, random_row_by_row],
    "layers_to_reach": [reach_frontier, reach_from_readers, reach_sums],
    "windowed_attention": [windowed_query_by_query, windowed_unfold, windowed_blocks],
    "linear_attention": [linear_token_by_token, linear_ones_beside, linear_in_chunks],
    "linear_attention_step": [step_einsum, step_shares, step_by_parts],
    "scale_rope": [scale_by_logarithms, scale_in_python, scale_by_positions, scale_numpy],
    "RingAttention": [RingOfSums, RingModule, RingOfAnswers],
}
"""All earn full marks."""

NUMPY = {
    "window_mask": window_numpy,
    "strided_mask": strided_numpy,
    "global_random_mask": random_numpy,
    "layers_to_reach": reach_numpy,
    "windowed_attention": windowed_numpy,
    "linear_attention": linear_numpy,
    "linear_attention_step": step_numpy,
}
"""Right values from outside of torch."""

LIBRARY = {"windowed_attention": [windowed_library]}
"""Answers in which the library does the work that the exercise is to do."""

WRONG = {
    "window_mask": [_window_of_pairs, _window_of_the_longest, _window_doubled],
    "strided_mask": [_strided_squares, _strided_latest, _strided_pairs],
    "global_random_mask": [_random_neighbours, _random_every_other, _random_of_the_latest],
    "layers_to_reach": [_reach_two, _reach_distance, _reach_halves],
    "windowed_attention": [_windowed_mean, _windowed_pairs, _windowed_faded],
    "linear_attention": [_linear_squared, _linear_mean_beside, _linear_newest_first],
    "linear_attention_step": [_step_gated, _step_swapped, _step_normed],
    "scale_rope": [_scale_some_pairs, _scale_rooted, _scale_whole],
    "RingAttention": [_RingOfThree, _RingOfHalves, HoardingRing],
}
"""None earns full marks."""

DEAR = {
    "window_mask": [window_of_a_table],
    "strided_mask": [strided_of_a_table],
    "global_random_mask": [random_by_pairs],
    "layers_to_reach": [reach_every_length, reach_relaxed, reach_search],
    "windowed_attention": [windowed_full, windowed_rows_of_all, windowed_square_of_the_newest],
    "linear_attention": [linear_by_pairs],
    "linear_attention_step": [step_by_a_matrix],
}
"""The right values, by more work than the contract allows."""
