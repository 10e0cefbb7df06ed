"""Attention in tiles, in steps: the right ones, and the wrong ones that people make."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch


def up(n, size):
    return -(-n // size)


def consecutive(t, heads):
    return t.repeat_interleave(heads // t.shape[-3], -3)


def root(q, k, v):
    return q.shape[-1] ** -0.5


def at_least_single(q):
    return torch.promote_types(q.dtype, torch.float32)


def lower_right(rows, keys, num_queries, num_keys):
    """True where a key may be read."""
    return keys <= rows[:, None] + (num_keys - num_queries)


def if_asked(causal):
    return causal


def unseen(visible):
    """Of a tile that nobody may read: it is skipped."""
    return visible is not None and not visible.any()


def minus_infinity(scores, visible):
    return scores if visible is None else scores.masked_fill(~visible, -math.inf)


def nothing(scores):
    return scores.new_full(scores.shape[:-1], -math.inf), scores.new_zeros(scores.shape[:-1])


def running(maximum, scores):
    return torch.maximum(maximum, scores.amax(-1))


def from_zero_if_nothing(largest):
    return largest.masked_fill(largest == -math.inf, 0.0)


def power(x):
    return x.exp()


def scaled(total, factor, weights):
    return total * factor + weights.sum(-1)


def read(answer, factor, weights, values, total):
    return answer * factor[..., None] + weights @ values


def divided(answer, total):
    return answer / total.masked_fill(total == 0, 1.0)[..., None]


def natural(maximum, total):
    return maximum + total.log()


def as_they_are(scores, visible):
    return scores


def keys_there(k, v, key_tile):
    return k, v


def both(out, lse):
    return out, lse


def forward(
    q,
    k,
    v,
    causal=False,
    query_tile=128,
    key_tile=256,
    spread=consecutive,
    scale=root,
    wide=at_least_single,
    tiles_of_queries=up,
    tiles_of_keys=up,
    asked=if_asked,
    limit=lower_right,
    skipped=unseen,
    hide=minus_infinity,
    begin=nothing,
    top=running,
    level=from_zero_if_nothing,
    exp=power,
    add=scaled,
    gather=read,
    finish=divided,
    logarithm=natural,
    padded=keys_there,
    told=both,
):
    """The right attention, but for the parts that are given."""
    dtype, tq, tk = wide(q), q.shape[-2], k.shape[-2]
    k, v = spread(k, q.shape[-3]).to(dtype), spread(v, q.shape[-3]).to(dtype)
    factor_of_scores = scale(q, k, v)
    queries = q.to(dtype)
    out = queries.new_zeros(*q.shape[:-1], v.shape[-1])
    lse = queries.new_zeros(q.shape[:-1])
    k, v = padded(k, v, key_tile)
    places = torch.arange(k.shape[-2], device=q.device)
    for i in range(tiles_of_queries(tq, query_tile)):
        rows = slice(i * query_tile, (i + 1) * query_tile)
        of_rows = torch.arange(tq, device=q.device)[rows]
        mine = queries[..., rows, :]
        state, answer = begin(mine), mine.new_zeros(*mine.shape[:-1], v.shape[-1])
        for j in range(tiles_of_keys(k.shape[-2], key_tile)):
            keys = slice(j * key_tile, (j + 1) * key_tile)
            visible = limit(of_rows, places[keys], tq, tk) if asked(causal) else None
            if skipped(visible):
                continue
            scores = hide(mine @ k[..., keys, :].mT * factor_of_scores, visible)
            maximum, total = state
            largest = top(maximum, scores)
            at = level(largest)
            weights, factor = exp(scores - at[..., None]), exp(maximum - at)
            total = add(total, factor, weights)
            answer = gather(answer, factor, weights, v[..., keys, :], total)
            state = largest, total
        out[..., rows, :] = finish(answer, state[1])
        lse[..., rows] = logarithm(*state)
    return told(out.to(q.dtype), lse)


def with_(**parts: Callable[..., Any]) -> Callable[..., Any]:
    """``forward`` with other parts. Not ``changeable``: two mistakes at once would be sought among
    thousands of pairs, and one call takes milliseconds."""
    return changed(forward, parts)


def changed(right: Callable[..., Any], parts: Mapping[str, Any]) -> Callable[..., Any]:
    def wrong(*args: Any) -> Any:
        return right(*args, **parts)

    wrong.parts = parts
    return wrong
