"""Attention in a window, in steps: the right one, and the wrong ones that people make."""

import torch

from tutor.checks.changes import changeable
from tutor.checks.scoring import by_root, queries_ask, scores
from tutor.checks.softmax import read, weights


def distances(q, k):
    """How far back each key lies from each query; the last query stands at the last key."""
    queries = torch.arange(q.shape[-2], device=q.device) + (k.shape[-2] - q.shape[-2])
    return queries[:, None] - torch.arange(k.shape[-2], device=q.device)


def within(distance, window):
    return (distance >= 0) & (distance < window)


def required(q, k, window):
    if window < 1 or q.shape[-2] > k.shape[-2]:
        raise ValueError(f"window {window}, {q.shape[-2]} queries, {k.shape[-2]} keys")


def as_given(q, k, v, window):
    return q, k, v


def alone(out, q):
    return out


def attention(
    q,
    k,
    v,
    window,
    refuse=required,
    given=as_given,
    far=distances,
    inside=within,
    product=queries_ask,
    scale=by_root,
    weigh=weights,
    read=read,
    end=alone,
    **steps,
):
    """The right answer by the whole square, but for the steps that are given."""
    refuse(q, k, window)
    out_of = q
    q, k, v = given(q, k, v, window)
    keep = inside(far(q, k), window)
    out = read(weigh(scores(q, k, product, scale), keep, **steps), v)
    return end(out, out_of)


with_ = changeable(attention)


def band(low, high):
    """Distances from ``low(window)`` to ``high(window)``, both included."""
    return with_(inside=lambda d, w: (d >= low(w)) & (d <= high(w)))


def from_the_first(q, k):
    """As if the first query stood at the first key."""
    queries = torch.arange(q.shape[-2], device=q.device)
    return queries[:, None] - torch.arange(k.shape[-2], device=q.device)


# Blocks, and what goes wrong at their borders


def in_blocks(choose, first=None, tail=None, masked=True):
    """Queries in blocks as long as the window; ``choose(start, stop, window)`` says which keys a
    block reads, as positions, and ``masked`` whether the window is asked for among these."""

    def blocks(q, k, v, window):
        required(q, k, window)
        past, out = k.shape[-2] - q.shape[-2], []
        last = q.shape[-2] if tail is None else tail(q.shape[-2], window)
        for start in range(0, last, window):
            stop = min(start + window, last)
            low, high = choose(past + start, past + stop, window)
            low = max(low, 0)
            keys, values = k[..., low:high, :], v[..., low:high, :]
            block = q[..., start:stop, :]
            queries = torch.arange(past + start, past + stop, device=q.device)
            at = torch.arange(low, high, device=q.device)
            if first is not None:
                queries, at = first(queries, at)
            keep = within(queries[:, None] - at, window) if masked else None
            out.append(read(weights(scores(block, keys), keep), values))
        empty = q.new_zeros(*q.shape[:-2], q.shape[-2] - last, v.shape[-1])
        return torch.cat([*out, empty], -2)

    return blocks


def its_own(start, stop, window):
    return start, stop


def with_the_one_before(start, stop, window):
    return start - window, stop


def all_it_needs(start, stop, window):
    return start - window + 1, stop


def by_local_numbers(queries, at):
    return queries - queries[:1], at - at[:1]


def whole_blocks(length, window):
    return length - length % window if length >= window else length


def padded(q, k, v, window):
    """Zeros in front of the text, which nobody hides."""
    required(q, k, window)
    front = k.new_zeros(*k.shape[:-2], window - 1, k.shape[-1])
    values = v.new_zeros(*v.shape[:-2], window - 1, v.shape[-1])
    k, v = torch.cat((front, k), -2), torch.cat((values, v), -2)
    keep = within(distances(q, k), window)
    return read(weights(scores(q, k), keep), v)


def keys_forgotten(q, k, v, window):
    """The latest keys alone, as if a cache had been cut before it was read."""
    return q, k[..., -window:, :], v[..., -window:, :]


def not_if_short(q, k, v, window):
    """Of new queries all get the window of the last one."""
    required(q, k, window)
    newest = torch.arange(k.shape[-2], device=q.device) >= k.shape[-2] - window
    queries = torch.arange(q.shape[-2], device=q.device) + (k.shape[-2] - q.shape[-2])
    causal = torch.arange(k.shape[-2], device=q.device) <= queries[:, None]
    return read(weights(scores(q, k), newest & causal), v)
