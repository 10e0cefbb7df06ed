"""Answers to chapter 11's exercises: right ones in other styles than the reference, and wrong ones
that are no trap."""

import bisect
import math
from itertools import pairwise

import numpy as np
import torch
from torch.nn import functional as F

# Bytes


def bytes_by_search(num_tokens, width, sram_bytes, element_bytes=2):
    rows = 0
    while rows < num_tokens and (4 * (rows + 1) * width + (rows + 1) ** 2) * element_bytes <= (
        sram_bytes
    ):
        rows += 1
    if rows == 0:
        raise ValueError("no row")
    plain = num_tokens * (4 * num_tokens + 4 * width)
    return plain * element_bytes, 2 * num_tokens * width * (
        1 + math.ceil(num_tokens / rows)
    ) * element_bytes


def bytes_by_bisection(num_tokens, width, sram_bytes, element_bytes=2):
    def need(rows):
        return element_bytes * rows * (4 * width + rows)

    rows = bisect.bisect_right(range(1, num_tokens + 1), sram_bytes, key=need)
    if not rows:
        raise ValueError(f"a row needs {need(1)} bytes")
    steps = {
        "scores": (2 * width + num_tokens, 2 * num_tokens, num_tokens + 2 * width),
        "tiled": (2 * width,) + (2 * width,) * ((num_tokens + rows - 1) // rows),
    }
    return tuple(num_tokens * sum(parts) * element_bytes for parts in steps.values())


def bytes_by_a_root(num_tokens, width, sram_bytes, element_bytes=2):
    room = sram_bytes // element_bytes
    rows = int((room + 4 * width**2) ** 0.5 - 2 * width)
    rows += rows + 1 <= room and (rows + 1) * (rows + 1 + 4 * width) <= room
    rows = min(rows, num_tokens)
    if rows <= 0:
        raise ValueError("no room")
    tiled, done = num_tokens * width * 2, 0
    while done < num_tokens:
        tiled, done = tiled + 2 * num_tokens * width, done + rows
    return element_bytes * 4 * num_tokens * (num_tokens + width), element_bytes * tiled


def _bytes_of_both_passes(num_tokens, width, sram_bytes, element_bytes=2):
    plain, tiled = bytes_by_a_root(num_tokens, width, sram_bytes, element_bytes)
    return 3 * plain, 3 * tiled


def _bytes_as_floats(num_tokens, width, sram_bytes, element_bytes=2):
    return tuple(map(float, bytes_by_a_root(num_tokens, width, sram_bytes, element_bytes)))


# The softmax of a stream


def stream_by_where(scores, maximum, total):
    largest = torch.where(scores.amax(-1) > maximum, scores.amax(-1), maximum)
    seen = largest > -math.inf
    at = torch.where(seen, largest, torch.zeros_like(largest))
    weights = torch.exp(scores - at.unsqueeze(-1))
    factor = torch.where(seen, torch.exp(maximum - at), torch.zeros_like(at))
    return largest, factor * total + torch.sum(weights, dim=-1), weights, factor


def stream_beside(scores, maximum, total):
    """The maximum beside the scores, as one more of them."""
    every = torch.cat((maximum[..., None], scores), -1)
    largest = every.max(-1).values
    at = largest.clamp_min(torch.finfo(scores.dtype).min)
    powers = (every - at[..., None]).exp()
    factor, weights = powers[..., 0], powers[..., 1:]
    return largest, total * factor + weights.sum(-1), weights.contiguous(), factor.clone()


def stream_by_logarithms(scores, maximum, total):
    largest = torch.maximum(maximum, scores.max(dim=-1)[0])
    at = torch.nan_to_num(largest, neginf=0.0)
    above = scores - at[..., None]  # near 0, where the digits are
    whole = torch.logaddexp((maximum - at) + total.log(), above.logsumexp(-1))
    return largest, whole.exp(), (scores - at[..., None]).exp(), (maximum - at).exp()


def stream_row_by_row(scores, maximum, total):
    rows = scores.reshape(-1, scores.shape[-1])
    found = []
    for row, m, old in zip(rows, maximum.reshape(-1), total.reshape(-1), strict=True):
        largest = torch.maximum(m, row.max())
        at = torch.where(largest.isinf() & (largest < 0), torch.zeros_like(m), largest)
        found.append((largest, old * (m - at).exp() + (row - at).exp().sum(), (row - at).exp()))
        found[-1] += ((m - at).exp(),)
    shapes = maximum.shape, maximum.shape, scores.shape, maximum.shape
    return tuple(
        torch.stack(x).reshape(s) for x, s in zip(zip(*found, strict=True), shapes, strict=True)
    )


def stream_numpy(scores, maximum, total):
    s, m, old = map(_array, (scores, maximum, total))
    largest = np.maximum(m, s.max(-1))
    at = np.where(np.isneginf(largest), 0.0, largest)
    weights = np.exp(s - at[..., None])
    found = largest, old * np.exp(m - at) + weights.sum(-1), weights, np.exp(m - at)
    return tuple(_tensor(a, scores) for a in found)


def stream_compared(scores, maximum, total):
    """Each score with each other."""
    largest = torch.maximum(
        maximum, (scores[..., :, None] - 0 * scores[..., None, :]).amax((-2, -1))
    )
    largest = torch.where(largest.isnan(), torch.maximum(maximum, scores.amax(-1)), largest)
    at = largest.masked_fill(largest == -math.inf, 0.0)
    weights, factor = (scores - at[..., None]).exp(), (maximum - at).exp()
    return largest, total * factor + weights.sum(-1), weights, factor


def _stream_of_absolutes(scores, maximum, total):
    return stream_by_where(scores.abs(), maximum, total)


def _stream_clamped(scores, maximum, total):
    largest, total, weights, factor = stream_by_where(scores, maximum, total)
    return largest, total.clamp_min(1.0), weights, factor


# Visible tiles


def tiles_by_ceil(num_queries, num_keys, query_tile, key_tile):
    if query_tile <= 0 or key_tile <= 0:
        raise ValueError("empty tiles")
    result = []
    for i in range(math.ceil(num_queries / query_tile)):
        first = i * query_tile
        last = min(first + query_tile, num_queries) - 1
        low = max(first + num_keys - num_queries + 1, 0)
        high = max(last + num_keys - num_queries + 1, 0)
        tiles = math.ceil(high / key_tile)
        result.append((tiles if low >= num_keys else low // key_tile, tiles))
    return result


def tiles_by_pointers(num_queries, num_keys, query_tile, key_tile):
    """Both limits only ever move forward."""
    if not (query_tile >= 1 and key_tile >= 1):
        raise ValueError(f"{query_tile}, {key_tile}")
    whole = end = row = 0
    past, found = num_keys - num_queries, []
    while row < num_queries:
        last = min(row + query_tile - 1, num_queries - 1)
        while (
            whole * key_tile < num_keys and min((whole + 1) * key_tile, num_keys) - 1 <= row + past
        ):
            whole += 1
        while end * key_tile < num_keys and end * key_tile <= last + past:
            end += 1
        found.append((whole, end))
        row += query_tile
    return found


def tiles_backwards(num_queries, num_keys, query_tile, key_tile):
    if min(query_tile, key_tile) < 1:
        raise ValueError("no rows")
    edges = [*range(0, num_queries, query_tile), num_queries]
    pairs = []
    for start, stop in reversed(list(pairwise(edges))):
        behind = num_queries - stop  # queries after this tile, and so many keys hidden from it
        end = (max(num_keys - behind, 0) + key_tile - 1) // key_tile
        hidden = num_queries - 1 - start
        whole = max(num_keys - hidden, 0) // key_tile if hidden else end
        pairs.insert(0, (whole, end))
    return pairs


def tiles_of_all_pairs(num_queries, num_keys, query_tile, key_tile):
    """Each tile of keys is looked at for each tile of queries."""
    if min(query_tile, key_tile) < 1:
        raise ValueError("no rows")
    past, found = num_keys - num_queries, []
    for start in range(0, num_queries, query_tile):
        last = min(start + query_tile, num_queries) - 1
        whole = end = 0
        for first in range(0, num_keys, key_tile):
            final = min(first + key_tile, num_keys) - 1
            whole += final <= start + past
            end += first <= last + past
        found.append((whole, end))
    return found


def _tiles_never_whole(num_queries, num_keys, query_tile, key_tile):
    return [(0, end) for _, end in tiles_by_ceil(num_queries, num_keys, query_tile, key_tile)]


def _tiles_doubled(num_queries, num_keys, query_tile, key_tile):
    found = tiles_by_ceil(num_queries, num_keys, query_tile, key_tile)
    return [(whole, 2 * end) for whole, end in found]


# Forward


def _fit(q, k, v):
    if q.shape[-1] != k.shape[-1] or v.shape[:-1] != k.shape[:-1] or q.shape[-3] % k.shape[-3]:
        raise ValueError("q, k and v do not fit")


def _wide(t):
    return t if t.dtype == torch.float64 else t.float()


def _mask(rows, keys, tq, tk, device):
    place = torch.arange(tq, device=device)[rows, None] + (tk - tq)
    return torch.arange(tk, device=device)[keys] > place


def _cuts(n, size):
    return [slice(i, min(i + size, n)) for i in range(0, n, size)]


def _tile(q, k, rows, keys, causal):
    scores = _wide(q[..., rows, :]) @ _wide(k[..., keys, :]).mT / q.shape[-1] ** 0.5
    if not causal:
        return scores
    hidden = _mask(rows, keys, q.shape[-2], k.shape[-2], q.device)
    return scores.masked_fill(hidden, -math.inf)


def _future(rows, keys, q, k, causal):
    return causal and keys.start > rows.stop - 1 + k.shape[-2] - q.shape[-2]


def forward_head_by_head(q, k, v, causal=False, query_tile=128, key_tile=256):
    """Every head by itself, and its tiles merged by their log-sum-exps."""
    _fit(q, k, v)
    share = q.shape[-3] // k.shape[-3]
    out = torch.zeros(*q.shape[:-1], v.shape[-1], dtype=q.dtype, device=q.device)
    lse = _wide(q.new_zeros(q.shape[:-1]))
    for head in range(q.shape[-3]):
        mine, keys, values = (
            q[..., head, :, :],
            k[..., head // share, :, :],
            v[..., head // share, :, :],
        )
        for rows in _cuts(q.shape[-2], query_tile):
            answer, known = None, None
            for part in _cuts(k.shape[-2], key_tile):
                if _future(rows, part, q, k, causal):
                    break
                scores = _tile(mine, keys, rows, part, causal)
                theirs = scores.logsumexp(-1)
                weights = (scores - theirs.masked_fill(theirs == -math.inf, 0)[..., None]).exp()
                read = weights @ _wide(values[..., part, :])
                if answer is None:
                    answer, known = read, theirs
                    continue
                both = torch.logaddexp(known, theirs)
                at = both.masked_fill(both == -math.inf, 0.0)
                answer = (
                    answer * (known - at).exp()[..., None] + read * (theirs - at).exp()[..., None]
                )
                known = both
            if answer is None:
                lse[..., head, rows] = -math.inf
                continue
            out[..., head, rows, :] = answer.to(q.dtype)
            lse[..., head, rows] = known
    return out, lse


def forward_keys_outside(q, k, v, causal=False, query_tile=128, key_tile=256):
    """The loops of the first FlashAttention: keys outside, and a state for every query."""
    _fit(q, k, v)
    groups = k.shape[-3]
    queries = q.unflatten(-3, (groups, q.shape[-3] // groups))
    answer = _wide(q.new_zeros(*queries.shape[:-1], v.shape[-1]))
    total = _wide(q.new_zeros(queries.shape[:-1]))
    maximum = torch.full_like(total, -math.inf)
    for keys in _cuts(k.shape[-2], key_tile):
        for rows in _cuts(q.shape[-2], query_tile):
            if _future(rows, keys, q, k, causal):
                continue
            scores = _tile(queries, k.unsqueeze(-3), rows, keys, causal)
            old = maximum[..., rows]
            new = torch.maximum(old, scores.amax(-1))
            at = torch.nan_to_num(new, neginf=0.0)
            weights, factor = (scores - at[..., None]).exp(), (old - at).exp()
            read = torch.matmul(weights, _wide(v[..., keys, :]).unsqueeze(-3))
            answer[..., rows, :] = answer[..., rows, :] * factor[..., None] + read
            total[..., rows] = total[..., rows] * factor + weights.sum(-1)
            maximum[..., rows] = new
    out = torch.where(total[..., None] > 0, answer / total[..., None], torch.zeros_like(answer))
    return out.flatten(-4, -3).to(q.dtype), (maximum + total.log()).flatten(-3, -2)


def forward_by_products(q, k, v, causal=False, query_tile=128, key_tile=256):
    _fit(q, k, v)
    groups, tk = k.shape[-3], k.shape[-2]
    outs, sums = [], []
    for rows in _cuts(q.shape[-2], query_tile):
        mine = _wide(q[..., rows, :]).unflatten(-3, (groups, -1)) * q.shape[-1] ** -0.5
        m = mine.new_full(mine.shape[:-1], -math.inf)
        total, answer = torch.zeros_like(m), mine.new_zeros(*m.shape, v.shape[-1])
        for keys in _cuts(tk, key_tile):
            if _future(rows, keys, q, k, causal):
                break
            scores = mine @ _wide(k[..., keys, :]).mT.unsqueeze(-3)
            if causal:
                hidden = _mask(rows, keys, q.shape[-2], tk, q.device)
                scores = torch.where(hidden, -math.inf, scores)
            new = torch.maximum(m, scores.max(-1).values)
            at = torch.where(new == -math.inf, 0.0, new)
            weights = (scores - at.unsqueeze(-1)).exp()
            total = total * (m - at).exp() + weights.sum(-1)
            answer = answer * (m - at).exp().unsqueeze(-1) + weights @ _wide(
                v[..., keys, :]
            ).unsqueeze(-3)
            m = new
        outs.append(
            (answer / total.clamp_min(torch.finfo(total.dtype).tiny)[..., None]).flatten(-4, -3)
        )
        sums.append((m + total.log()).flatten(-3, -2))
    return torch.cat(outs, -2).to(q.dtype), torch.cat(sums, -1)


def forward_matrix(q, k, v, causal=False, query_tile=128, key_tile=256):
    """The whole matrix."""
    _fit(q, k, v)
    share = q.shape[-3] // k.shape[-3]
    k, v = (t.repeat_interleave(share, -3) for t in (k, v))
    scores = _tile(q, k, slice(0, q.shape[-2]), slice(0, k.shape[-2]), causal)
    return (scores.softmax(-1).nan_to_num(0.0) @ _wide(v)).to(q.dtype), scores.logsumexp(-1)


def forward_rows_of_tiles(q, k, v, causal=False, query_tile=128, key_tile=256):
    """A tile of queries, and all keys that it may read."""
    _fit(q, k, v)
    found, past = [], k.shape[-2] - q.shape[-2]
    for rows in _cuts(q.shape[-2], query_tile):
        mine, end = q[..., rows, :], max(rows.stop + past, 0) if causal else k.shape[-2]
        if end:
            found.append(forward_matrix(mine, k[..., :end, :], v[..., :end, :], causal))
        else:
            nothing = _wide(mine.new_full(mine.shape[:-1], -math.inf))
            found.append((mine.new_zeros(*mine.shape[:-1], v.shape[-1]), nothing))
    return torch.cat([o for o, _ in found], -2), torch.cat([x for _, x in found], -1)


def forward_repeated(q, k, v, causal=False, query_tile=128, key_tile=256):
    """Keys and values of every query head, in tiles."""
    _fit(q, k, v)
    k, v = (t.repeat_interleave(q.shape[-3] // k.shape[-3], -3) for t in (k, v))
    return forward_keys_outside(q, k, v, causal, query_tile, key_tile)


def forward_nothing_skipped(q, k, v, causal=False, query_tile=128, key_tile=256):
    """All tiles are computed, and hidden where nobody may read them."""
    _fit(q, k, v)
    groups = k.shape[-3]
    outs, sums = [], []
    for rows in _cuts(q.shape[-2], query_tile):
        mine = q[..., rows, :].unflatten(-3, (groups, -1))
        m = _wide(mine.new_full(mine.shape[:-1], -math.inf))
        total, answer = torch.zeros_like(m), m.new_zeros(*m.shape, v.shape[-1])
        for keys in _cuts(k.shape[-2], key_tile):
            scores = _wide(mine) @ _wide(k[..., keys, :]).mT.unsqueeze(-3) * q.shape[-1] ** -0.5
            if causal:
                scores = scores.masked_fill(
                    _mask(rows, keys, q.shape[-2], k.shape[-2], q.device), -math.inf
                )
            new = torch.maximum(m, scores.amax(-1))
            at = new.masked_fill(new == -math.inf, 0.0)
            weights, factor = (scores - at[..., None]).exp(), (m - at).exp()
            total = total * factor + weights.sum(-1)
            answer = answer * factor[..., None] + weights @ _wide(v[..., keys, :]).unsqueeze(-3)
            m = new
        outs.append((answer / total.masked_fill(total == 0, 1)[..., None]).flatten(-4, -3))
        sums.append((m + total.log()).flatten(-3, -2))
    return torch.cat(outs, -2).to(q.dtype), torch.cat(sums, -1)


def forward_numpy(q, k, v, causal=False, query_tile=128, key_tile=256):
    _fit(q, k, v)
    a, b, c = map(_array, (q, k, v))
    share = a.shape[-3] // b.shape[-3]
    b, c = (np.repeat(t, share, -3) for t in (b, c))
    tq, tk = a.shape[-2], b.shape[-2]
    scores = a @ b.swapaxes(-1, -2) / a.shape[-1] ** 0.5
    if causal:
        hidden = np.arange(tk) > np.arange(tq)[:, None] + (tk - tq)
        scores = np.where(hidden, -np.inf, scores)
    top = scores.max(-1, keepdims=True)
    at = np.where(np.isneginf(top), 0.0, top)
    weights = np.exp(scores - at)
    total = weights.sum(-1, keepdims=True)
    with np.errstate(divide="ignore"):
        lse = (at + np.log(total))[..., 0]
    out = weights @ c / np.where(total == 0, 1.0, total)
    return _tensor(out, q), _tensor(lse, _wide(q))


def forward_library(q, k, v, causal=False, query_tile=128, key_tile=256):
    _, lse = forward_matrix(q, k, v, causal)
    keep = None
    if causal:
        keep = ~_mask(
            slice(0, q.shape[-2]), slice(0, k.shape[-2]), q.shape[-2], k.shape[-2], q.device
        )
    share = q.shape[-3] // k.shape[-3]
    k, v = (t.repeat_interleave(share, -3) for t in (k, v))
    return F.scaled_dot_product_attention(q, k, v, keep).nan_to_num(0.0), lse


def _forward_of_two(q, k, v, causal=False, query_tile=128, key_tile=256):
    """Only the first two tiles of keys."""
    return forward_matrix(q, k[..., : 2 * key_tile, :], v[..., : 2 * key_tile, :], causal)


def _forward_best_alone(q, k, v, causal=False, query_tile=128, key_tile=256):
    out, lse = forward_matrix(100 * q, k, v, causal)
    return out, lse


# Backward


def _weights(q, k, lse, rows, keys, causal):
    scores = _tile(q, k, rows, keys, causal)
    at = lse[..., rows]
    return (scores - at.masked_fill(at == -math.inf, 0.0)[..., None]).exp()


def backward_keys_outside(grad_out, q, k, v, out, lse, causal=False, query_tile=128, key_tile=256):
    _fit(q, k, v)
    groups, scale = k.shape[-3], q.shape[-1] ** -0.5
    split = [t.unflatten(-3, (groups, -1)) for t in (q, grad_out, out)]
    queries, grads, answers = split
    level = lse.unflatten(-2, (groups, -1))
    delta = torch.einsum("...c,...c->...", _wide(grads), _wide(answers))[..., None]
    grad_q = _wide(torch.zeros_like(queries))
    grad_k, grad_v = [], []
    for keys in _cuts(k.shape[-2], key_tile):
        key, value = _wide(k[..., keys, :]), _wide(v[..., keys, :])
        of_key, of_value = torch.zeros_like(key), torch.zeros_like(value)
        for rows in _cuts(q.shape[-2], query_tile):
            if _future(rows, keys, q, k, causal):
                continue
            weights = _weights(queries, k.unsqueeze(-3), level, rows, keys, causal)
            of_value += (weights.mT @ _wide(grads[..., rows, :])).sum(-3)
            inner = _wide(grads[..., rows, :]) @ value.mT.unsqueeze(-3) - delta[..., rows, :]
            inner = inner * weights * scale
            grad_q[..., rows, :] += inner @ key.unsqueeze(-3)
            of_key += (inner.mT @ _wide(queries[..., rows, :])).sum(-3)
        grad_k.append(of_key)
        grad_v.append(of_value)
    found = grad_q.flatten(-4, -3), torch.cat(grad_k, -2), torch.cat(grad_v, -2)
    return tuple(g.to(q.dtype) for g in found)


def backward_head_by_head(grad_out, q, k, v, out, lse, causal=False, query_tile=128, key_tile=256):
    _fit(q, k, v)
    share, scale = q.shape[-3] // k.shape[-3], q.shape[-1] ** -0.5
    found = [_wide(torch.zeros_like(t)) for t in (q, k, v)]
    for head in range(q.shape[-3]):
        group = head // share
        mine, grads, answers = (t[..., head, :, :] for t in (q, grad_out, out))
        keys, values = k[..., group, :, :], v[..., group, :, :]
        for rows in _cuts(q.shape[-2], query_tile):
            given = _wide(grads[..., rows, :])
            delta = (given * _wide(answers[..., rows, :])).sum(-1, keepdim=True)
            for part in _cuts(k.shape[-2], key_tile):
                if _future(rows, part, q, k, causal):
                    break
                weights = _weights(mine, keys, lse[..., head, :], rows, part, causal)
                of_scores = weights * (given @ _wide(values[..., part, :]).mT - delta)
                found[0][..., head, rows, :] += of_scores @ _wide(keys[..., part, :]) * scale
                found[1][..., group, part, :] += of_scores.mT @ _wide(mine[..., rows, :]) * scale
                found[2][..., group, part, :] += weights.mT @ given
    return tuple(g.to(t.dtype) for g, t in zip(found, (q, k, v), strict=True))


def backward_folded(grad_out, q, k, v, out, lse, causal=False, query_tile=128, key_tile=256):
    """The heads of a group one below the other."""
    _fit(q, k, v)
    groups, share = k.shape[-3], q.shape[-3] // k.shape[-3]
    tq, tk, scale = q.shape[-2], k.shape[-2], q.shape[-1] ** -0.5
    delta = (_wide(grad_out) * _wide(out)).sum(-1)
    finite = torch.where(lse == -math.inf, torch.full_like(lse, math.inf), lse)
    grad_q = _wide(torch.zeros_like(q))
    grad_k, grad_v = _wide(torch.zeros_like(k)), _wide(torch.zeros_like(v))
    for rows in _cuts(tq, query_tile):
        n = rows.stop - rows.start

        def below(t, rows=rows):
            return _wide(t[..., rows, :]).unflatten(-3, (groups, share)).flatten(-3, -2)

        queries, grads = below(q), below(grad_out)
        at, less = below(finite[..., None]), below(delta[..., None])
        gathered = torch.zeros_like(queries)
        for keys in _cuts(tk, key_tile):
            if _future(rows, keys, q, k, causal):
                break
            key, value = _wide(k[..., keys, :]), _wide(v[..., keys, :])
            weights = torch.exp(queries @ key.mT * scale - at)
            if causal:
                hidden = _mask(rows, keys, tq, tk, q.device).repeat(share, 1)
                weights = torch.where(hidden, torch.zeros_like(weights), weights)
            grad_v[..., keys, :] += weights.mT @ grads
            inner = weights * (grads @ value.mT - less)
            gathered += inner @ key
            grad_k[..., keys, :] += inner.mT @ queries
        grad_q[..., rows, :] = gathered.unflatten(-2, (share, n)).flatten(-4, -3)
    return tuple(g.to(q.dtype) for g in (grad_q * scale, grad_k * scale, grad_v))


def backward_matrix(grad_out, q, k, v, out, lse, causal=False, query_tile=128, key_tile=256):
    """The whole matrix."""
    return backward_folded(grad_out, q, k, v, out, lse, causal, q.shape[-2], k.shape[-2])


def backward_numpy(grad_out, q, k, v, out, lse, causal=False, query_tile=128, key_tile=256):
    _fit(q, k, v)
    g, a, b, c = map(_array, (grad_out, q, k, v))
    share, groups, scale = a.shape[-3] // b.shape[-3], b.shape[-3], a.shape[-1] ** -0.5
    b, c = (np.repeat(t, share, -3) for t in (b, c))
    tq, tk = a.shape[-2], b.shape[-2]
    scores = a @ b.swapaxes(-1, -2) * scale
    if causal:
        scores = np.where(np.arange(tk) > np.arange(tq)[:, None] + (tk - tq), -np.inf, scores)
    level = _array(lse)
    weights = np.exp(scores - np.where(np.isneginf(level), 0.0, level)[..., None])
    delta = (g * _array(out)).sum(-1, keepdims=True)
    inner = weights * (g @ c.swapaxes(-1, -2) - delta) * scale
    grad_k, grad_v = inner.swapaxes(-1, -2) @ a, weights.swapaxes(-1, -2) @ g

    def gathered(t):
        return t.reshape(*t.shape[:-3], groups, share, *t.shape[-2:]).sum(-3)

    return tuple(_tensor(t, q) for t in (inner @ b, gathered(grad_k), gathered(grad_v)))


def backward_library(grad_out, q, k, v, out, lse, causal=False, query_tile=128, key_tile=256):
    """Autograd, through the plain algorithm."""
    _fit(q, k, v)
    leaves = [t.detach().requires_grad_() for t in (q, k, v)]
    with torch.enable_grad():
        found, _ = forward_matrix(*leaves, causal)
    return torch.autograd.grad(found, leaves, grad_out)


def _backward_of_the_first_tile(
    grad_out, q, k, v, out, lse, causal=False, query_tile=128, key_tile=256
):
    found = backward_folded(grad_out, q, k, v, out, lse, causal, query_tile, key_tile)
    found[1][..., key_tile:, :] = 0
    return found


def _backward_absolute(grad_out, q, k, v, out, lse, causal=False, query_tile=128, key_tile=256):
    return tuple(g.abs() for g in backward_folded(grad_out, q, k, v, out, lse, causal))


# The kernel: what is launched is a function of q, k and v; tests/checks/test_flash_kernels.py has
# such functions that are kernels


def kernel_of_matrices(q, k, v, causal=False):
    return forward_matrix(q, k, v, causal)


def kernel_head_by_head(q, k, v, causal=False):
    return forward_head_by_head(q, k, v, causal, 16, 16)


def kernel_keys_outside(q, k, v, causal=False):
    return forward_keys_outside(q, k, v, causal, 16, 16)


def _kernel_of_two_tiles(q, k, v, causal=False):
    out, lse = forward_matrix(q, k, v, causal)
    return out * 2, lse


def _kernel_of_zeros(q, k, v, causal=False):
    return torch.zeros_like(q), _wide(torch.zeros_like(q[..., 0]))


def _array(t):
    return t.detach().cpu().double().numpy()


def _tensor(a, like):
    return torch.from_numpy(np.array(a, order="C")).to(like.device, like.dtype)


RIGHT = {
    "attention_io_bytes": [bytes_by_search, bytes_by_bisection, bytes_by_a_root],
    "online_softmax": [stream_by_where, stream_beside, stream_by_logarithms, stream_row_by_row],
    "visible_tiles": [tiles_by_ceil, tiles_by_pointers, tiles_backwards],
    "flash_forward": [forward_head_by_head, forward_keys_outside, forward_by_products],
    "flash_backward": [backward_keys_outside, backward_head_by_head, backward_folded],
    "flash_kernel": [kernel_of_matrices, kernel_head_by_head, kernel_keys_outside],
}

NUMPY = {
    "online_softmax": stream_numpy,
    "flash_forward": forward_numpy,
    "flash_backward": backward_numpy,
}
"""The right values, computed outside torch."""

LIBRARY = {"flash_forward": [forward_library], "flash_backward": [backward_library]}
"""Answers in which the library does the work that the exercise is to do."""

WRONG = {
    "attention_io_bytes": [_bytes_of_both_passes, _bytes_as_floats],
    "online_softmax": [_stream_of_absolutes, _stream_clamped],
    "visible_tiles": [_tiles_never_whole, _tiles_doubled],
    "flash_forward": [_forward_of_two, _forward_best_alone],
    "flash_backward": [_backward_of_the_first_tile, _backward_absolute],
    "flash_kernel": [_kernel_of_two_tiles, _kernel_of_zeros],
}
"""None earns full marks."""

DEAR = {
    "online_softmax": [stream_compared],
    "visible_tiles": [tiles_of_all_pairs],
    "flash_forward": [
        forward_matrix,
        forward_rows_of_tiles,
        forward_repeated,
        forward_nothing_skipped,
    ],
    "flash_backward": [backward_matrix],
}
"""The right values, by more work than the contract allows."""
