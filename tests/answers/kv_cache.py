"""Answers to chapter 9's exercises: right ones in other styles than the reference, and wrong ones
that are no trap."""

import math

import numpy as np
import torch
from torch.nn import functional as F

from tutor.families import sample
from tutor.position import apply_rope

# Bytes


def bytes_by_numpy(num_layers, width, num_heads, num_kv_heads, tokens, batch=1, dtype=torch.half):
    sizes = num_layers, num_heads, width, num_kv_heads, tokens, batch
    if min(sizes) < 0 or num_heads == 0 or width % num_heads:
        raise ValueError(f"sizes that nobody has: {sizes}")
    shape = (2, num_layers, batch, num_kv_heads, tokens, width // num_heads)
    return math.prod(shape) * torch.empty((), dtype=dtype).element_size()


def bytes_layer_by_layer(
    num_layers, width, num_heads, num_kv_heads, tokens, batch=1, dtype=torch.float16
):
    _sizes(num_layers, width, num_heads, num_kv_heads, tokens, batch)
    head, total = width // num_heads, 0
    for _ in range(num_layers):
        for _kind in ("key", "value"):
            total += batch * tokens * num_kv_heads * head * dtype.itemsize
    return total


def bytes_of_a_tensor(
    num_layers, width, num_heads, num_kv_heads, tokens, batch=1, dtype=torch.float16
):
    """Of a cache that nobody makes."""
    _sizes(num_layers, width, num_heads, num_kv_heads, tokens, batch)
    shape = num_layers, 2, batch, num_kv_heads, tokens, width // num_heads
    return torch.empty(shape, dtype=dtype, device="meta").nbytes


def _sizes(layers, width, heads, *others):
    if heads < 1 or width % heads or any(size < 0 for size in (layers, width, *others)):
        raise ValueError("no such sizes")


def _bytes_of_a_layer_more(
    num_layers, width, num_heads, num_kv_heads, tokens, batch=1, dtype=torch.float16
):
    more = num_layers + 1
    return bytes_layer_by_layer(more, width, num_heads, num_kv_heads, tokens, batch, dtype)


def _bytes_in_pages(
    num_layers, width, num_heads, num_kv_heads, tokens, batch=1, dtype=torch.float16
):
    """Room is made for sixteen tokens at a time."""
    room = -(-tokens // 16) * 16
    return bytes_layer_by_layer(num_layers, width, num_heads, num_kv_heads, room, batch, dtype)


def _bytes_of_the_next_token_too(
    num_layers, width, num_heads, num_kv_heads, tokens, batch=1, dtype=torch.float16
):
    bytes_layer_by_layer(num_layers, width, num_heads, num_kv_heads, tokens, batch, dtype)
    more = tokens + 1
    return bytes_layer_by_layer(num_layers, width, num_heads, num_kv_heads, more, batch, dtype)


# Caches


class OneTensor:
    """Keys and values in one, (2, B, G, capacity, D)."""

    def __init__(self, batch, num_kv_heads, capacity, head_width, dtype=torch.float32, device=None):
        shape = 2, batch, num_kv_heads, capacity, head_width
        self.both = torch.zeros(*shape, dtype=dtype, device=device)
        self.keys, self.values = self.both
        self.length = 0

    def update(self, k, v):
        _fit(self.keys, k, v)
        start, end = self.length, self.length + k.size(2)
        if end > self.keys.size(2):
            raise ValueError(f"{end} tokens, room for {self.keys.size(2)}")
        self.keys.narrow(2, start, end - start).copy_(k)
        self.values.narrow(2, start, end - start).copy_(v)
        self.length = end
        return self.keys.narrow(2, 0, end), self.values.narrow(2, 0, end)

    def reset(self):
        self.both.zero_()
        self.length = 0


class Buffers(torch.nn.Module):
    """A module, whose memory moves with it."""

    def __init__(self, batch, num_kv_heads, capacity, head_width, dtype=torch.float32, device=None):
        super().__init__()
        for name in ("keys", "values"):
            made = torch.zeros((batch, num_kv_heads, capacity, head_width)).to(device, dtype)
            self.register_buffer(name, made)
        self.length = 0

    def update(self, k, v):
        _fit(self.keys, k, v)
        t = k.shape[-2]
        if t > self.keys.shape[-2] - self.length:
            raise ValueError("full")
        for held, new in ((self.keys, k), (self.values, v)):
            held[..., self.length : self.length + t, :].copy_(new)
        self.length += t
        return self.keys[..., : self.length, :], self.values[..., : self.length, :]

    def reset(self):
        self.keys.fill_(0)
        self.values.fill_(0)
        self.length = 0


class TokenByToken:
    def __init__(self, batch, num_kv_heads, capacity, head_width, dtype=torch.float32, device=None):
        empty = torch.zeros(batch, num_kv_heads, capacity, head_width, dtype=dtype, device=device)
        self.keys, self.values, self.length = empty, empty.clone(), 0

    def update(self, k, v):
        _fit(self.keys, k, v)
        if self.length + k.shape[2] > self.keys.shape[2]:
            raise ValueError("full")
        for new_k, new_v in zip(k.unbind(2), v.unbind(2), strict=True):
            self.keys[:, :, self.length], self.values[:, :, self.length] = new_k, new_v
            self.length += 1
        return tuple(held[:, :, : self.length] for held in (self.keys, self.values))

    def reset(self):
        for held in (self.keys, self.values):
            held.mul_(0)
        self.length = 0


class Copied(OneTensor):
    """Right, and all that is there is copied for the answer."""

    def update(self, k, v):
        return tuple(held.clone() for held in super().update(k, v))


class KeysCopied(OneTensor):
    def update(self, k, v):
        keys, values = super().update(k, v)
        return keys.clone(), values


def _fit(keys, k, v):
    b, g, _, d = keys.shape
    if k.ndim != 4 or k.shape != v.shape or k.shape[:2] != (b, g) or k.shape[3] != d:
        raise ValueError(f"{tuple(k.shape)} and {tuple(v.shape)} in {tuple(keys.shape)}")


class _HalfOfTheHeads(OneTensor):
    def update(self, k, v):
        found = super().update(k, v)
        return found[0].flip(1), found[1]


class _ScaledKeys(OneTensor):
    def update(self, k, v):
        return super().update(k * k.shape[-1] ** -0.5, v)


class _NewestFirst(OneTensor):
    """What arrives stands before what was there."""

    def update(self, k, v):
        before = self.both[:, :, :, : self.length].clone()
        super().update(k, v)
        self.both[:, :, :, : self.length] = torch.cat((torch.stack((k, v)), before), 3)
        return self.keys[:, :, : self.length], self.values[:, :, : self.length]


class RollingByIndex:
    def __init__(self, batch, num_kv_heads, window, head_width, dtype=torch.float32, device=None):
        shape = batch, num_kv_heads, window, head_width
        self.keys = torch.zeros(shape, dtype=dtype, device=device)
        self.values = torch.zeros_like(self.keys)
        self.positions = torch.zeros(window, dtype=torch.int64, device=device) - 1
        self.length = 0

    def update(self, k, v):
        _fit(self.keys, k, v)
        window, t = self.keys.shape[2], k.shape[2]
        left = min(t, window)
        new = torch.arange(self.length + t - left, self.length + t, device=self.keys.device)
        at = new.remainder(window)
        self.keys.index_copy_(2, at, k[:, :, t - left :])
        self.values.index_copy_(2, at, v[:, :, t - left :])
        self.positions.index_copy_(0, at, new)
        self.length += t
        n = min(self.length, window)
        return self.keys[:, :, :n], self.values[:, :, :n], self.positions[:n]

    def reset(self):
        self.keys.zero_()
        self.values.zero_()
        self.positions.fill_(-1)
        self.length = 0


class RollingTokenByToken(RollingByIndex):
    def update(self, k, v):
        _fit(self.keys, k, v)
        window, t = self.keys.shape[2], k.shape[2]
        for i in range(max(t - window, 0), t):
            position = self.length + i
            place = position % window
            self.keys[:, :, place], self.values[:, :, place] = k[:, :, i], v[:, :, i]
            self.positions[place] = position
        self.length += t
        n = window if self.length > window else self.length
        return self.keys[:, :, :n], self.values[:, :, :n], self.positions[:n]


class RollingInTwoParts(RollingByIndex):
    """Up to the end of the memory, and from its beginning."""

    def update(self, k, v):
        _fit(self.keys, k, v)
        window, t = self.keys.shape[2], k.shape[2]
        start, end = max(self.length, self.length + t - window), self.length + t
        first = min(end, (start // window + 1) * window)
        for a, b in ((start, first), (first, end)):
            if b > a:
                here, there = slice(a % window, a % window + b - a), slice(a - end + t, b - end + t)
                self.keys[:, :, here] = k[:, :, there]
                self.values[:, :, here] = v[:, :, there]
                self.positions[here] = torch.arange(a, b, device=self.positions.device)
        self.length = end
        n = min(end, window)
        return (
            self.keys.narrow(2, 0, n),
            self.values.narrow(2, 0, n),
            self.positions.narrow(0, 0, n),
        )


class RollingCopied(RollingByIndex):
    def update(self, k, v):
        return tuple(held.clone() for held in super().update(k, v))


class _RollingByHalves(RollingByIndex):
    """When it is full, it begins from empty memory."""

    def update(self, k, v):
        if self.length and self.length % self.keys.shape[2] == 0:
            self.keys.zero_()
        return super().update(k, v)


class _RollingNewestFirst(RollingByIndex):
    def update(self, k, v):
        return tuple(held.flip(-2 if held.ndim > 1 else 0) for held in super().update(k, v))


# One token more


class _RollingWithASink(RollingByIndex):
    """The first token keeps its place."""

    def update(self, k, v):
        first = self.keys[:, :, :1].clone(), self.values[:, :, :1].clone()
        begun, window = self.length > 0, self.keys.shape[2]
        super().update(k, v)
        if begun and window > 1:
            self.keys[:, :, :1], self.values[:, :, :1] = first
            self.positions[:1] = 0
        n = min(self.length, window)
        return self.keys[:, :, :n], self.values[:, :, :n], self.positions[:n]


def _heads(x, number):
    return x.unflatten(-1, (number, -1)).transpose(1, 2)


def step_in_groups(x, keys, values, lengths, w_q, w_k, w_v, w_out, num_heads, theta=10_000.0):
    """The heads of a group are more queries of one key head; nothing is copied."""
    groups, room = keys.shape[1:3]
    _one_token(x, groups, num_heads)
    at = lengths.view(-1, 1, 1)
    q, k = (apply_rope(_heads(x @ w, n), at, theta) for w, n in ((w_q, num_heads), (w_k, groups)))
    v = _heads(x @ w_v, groups)
    q = q.reshape(len(x), groups, num_heads // groups, -1)
    scores = torch.cat((q @ keys.mT, q @ k.mT), -1) / q.shape[-1] ** 0.5
    hidden = torch.arange(room + 1, device=x.device) >= lengths[:, None]
    hidden = hidden & (torch.arange(room + 1, device=x.device) < room)
    shares = scores.masked_fill(hidden[:, None, None], float("-inf")).softmax(-1)
    out = shares[..., :room] @ values + shares[..., room:] @ v
    return out.reshape(len(x), 1, -1) @ w_out, k, v


def step_by_library(x, keys, values, lengths, w_q, w_k, w_v, w_out, num_heads, theta=10_000.0):
    groups = keys.shape[1]
    _one_token(x, groups, num_heads)
    q = apply_rope(_heads(x @ w_q, num_heads), lengths[:, None, None], theta)
    k = apply_rope(_heads(x @ w_k, groups), lengths[:, None, None], theta)
    v = _heads(x @ w_v, groups)
    keep = torch.arange(keys.shape[2] + 1, device=x.device) < lengths[:, None]
    keep[:, -1] = True
    out = F.scaled_dot_product_attention(
        q,
        torch.cat((keys, k), 2).repeat_interleave(num_heads // groups, 1),
        torch.cat((values, v), 2).repeat_interleave(num_heads // groups, 1),
        keep[:, None, None],
    )
    return out.transpose(1, 2).flatten(2) @ w_out, k, v


def step_put_together(x, keys, values, lengths, w_q, w_k, w_v, w_out, num_heads, theta=10_000.0):
    """The token behind the room of all, and a mask over both."""
    groups = keys.shape[1]
    _one_token(x, groups, num_heads)
    q = apply_rope(_heads(x @ w_q, num_heads), lengths[:, None, None], theta)
    k = apply_rope(_heads(x @ w_k, groups), lengths[:, None, None], theta)
    v = _heads(x @ w_v, groups)
    keep = torch.arange(keys.shape[2] + 1, device=x.device) < lengths[:, None]
    keep[:, -1] = True
    all_k = torch.cat((keys, k), 2).repeat_interleave(num_heads // groups, 1)
    all_v = torch.cat((values, v), 2).repeat_interleave(num_heads // groups, 1)
    scores = (q @ all_k.mT / k.shape[-1] ** 0.5).masked_fill(~keep[:, None, None], -torch.inf)
    return (scores.softmax(-1) @ all_v).transpose(1, 2).flatten(2) @ w_out, k, v


def step_by_einsum(x, keys, values, lengths, w_q, w_k, w_v, w_out, num_heads, theta=10_000.0):
    """The token at its place in a copy of the cache, which has one place more."""
    groups = keys.shape[1]
    _one_token(x, groups, num_heads)
    places = torch.arange(keys.shape[2] + 1, device=x.device)
    at, mine = lengths[:, None, None], (places == lengths[:, None])[:, None, :, None]
    q = apply_rope(_heads(x @ w_q, num_heads), at, theta)
    k, v = apply_rope(_heads(x @ w_k, groups), at, theta), _heads(x @ w_v, groups)
    all_k, all_v = (
        torch.where(mine, new, F.pad(held, (0, 0, 0, 1))) for held, new in ((keys, k), (values, v))
    )
    q = q.unflatten(1, (groups, -1))
    scores = torch.einsum("bgsqd,bgkd->bgsqk", q, all_k) * q.shape[-1] ** -0.5
    keep = (places <= lengths[:, None])[:, None, None, None]
    shares = torch.where(keep, scores, -torch.inf).softmax(-1)
    out = torch.einsum("bgsqk,bgkd->bqgsd", shares, all_v)
    return out.flatten(2) @ w_out, k, v


def step_numpy(x, keys, values, lengths, w_q, w_k, w_v, w_out, num_heads, theta=10_000.0):
    groups = keys.shape[1]
    _one_token(x, groups, num_heads)
    at = lengths[:, None, None]
    q, k = (apply_rope(_heads(x @ w, n), at, theta) for w, n in ((w_q, num_heads), (w_k, groups)))
    v = _heads(x @ w_v, groups)
    a = [t.detach().double().numpy() for t in (q, keys, values, k, v)]
    share, out = num_heads // groups, []
    for b, length in enumerate(lengths.tolist()):
        heads = []
        for h in range(num_heads):
            all_k = np.concatenate((a[1][b, h // share, :length], a[3][b, h // share]))
            all_v = np.concatenate((a[2][b, h // share, :length], a[4][b, h // share]))
            scores = all_k @ a[0][b, h, 0] / a[0].shape[-1] ** 0.5
            weights = np.exp(scores - scores.max())
            heads.append(weights @ all_v / weights.sum())
        out.append(np.concatenate(heads))
    return torch.from_numpy(np.stack(out)).to(x.dtype)[:, None] @ w_out, k, v


def step_of_all_pairs(x, keys, values, lengths, w_q, w_k, w_v, w_out, num_heads, theta=10_000.0):
    """The scores of every key with every other one, too."""
    found = step_in_groups(x, keys, values, lengths, w_q, w_k, w_v, w_out, num_heads, theta)
    pairs = (keys @ keys.mT).mean() * 0
    return found[0] + torch.nan_to_num(pairs), found[1], found[2]


def _one_token(x, groups, num_heads):
    if x.ndim != 3 or x.shape[1] != 1 or num_heads % groups:
        raise ValueError("one token a row, and groups that divide")


def _step_mean(x, keys, values, lengths, w_q, w_k, w_v, w_out, num_heads, theta=10_000.0):
    """The mean of the values there are."""
    answer, k, v = step_in_groups(
        x, keys, values, lengths, w_q * 0, w_k, w_v, w_out, num_heads, theta
    )
    return answer, k, v


def _step_newest_first(x, keys, values, lengths, *rest):
    """As if a cache were filled from its end."""
    return step_put_together(x, keys.flip(2), values.flip(2), lengths, *rest)


def _step_exchanged_weights(
    x, keys, values, lengths, w_q, w_k, w_v, w_out, num_heads, theta=10_000.0
):
    return step_in_groups(x, keys, values, lengths, w_q, w_v, w_k, w_out, num_heads, theta)


# A prompt in chunks


def _of(x, w_q, w_k, w_v, num_heads, theta):
    width = w_q.shape[1] // num_heads
    groups = w_k.shape[1] // width
    places = torch.arange(x.shape[1], device=x.device)
    q = apply_rope(_heads(x @ w_q, num_heads), places, theta)
    k = apply_rope(_heads(x @ w_k, groups), places, theta)
    return q, k, _heads(x @ w_v, groups), num_heads // groups


def _some(chunk):
    if chunk <= 0:
        raise ValueError("chunks of one token and more")


def prefill_projected_at_once(x, w_q, w_k, w_v, w_out, num_heads, chunk, theta=10_000.0):
    """All queries, keys and values first, and only the scores in chunks."""
    _some(chunk)
    q, k, v, share = _of(x, w_q, w_k, w_v, num_heads, theta)
    heads = []
    for start in range(0, x.shape[1], chunk):
        end = min(start + chunk, x.shape[1])
        scores = q[:, :, start:end] @ k[:, :, :end].repeat_interleave(share, 1).mT
        later = torch.ones(end - start, end, device=x.device, dtype=torch.bool).triu(start + 1)
        shares = (scores * q.shape[-1] ** -0.5).masked_fill(later, float("-inf")).softmax(-1)
        heads.append(shares @ v[:, :, :end].repeat_interleave(share, 1))
    return torch.cat(heads, 2).transpose(1, 2).flatten(2) @ w_out, k, v


def prefill_with_lists(x, w_q, w_k, w_v, w_out, num_heads, chunk, theta=10_000.0):
    _some(chunk)
    all_k, all_v, out, done = [], [], [], 0
    width = w_q.shape[1] // num_heads
    groups = w_k.shape[1] // width
    for piece in torch.split(x, chunk, dim=1):
        places = torch.arange(piece.shape[1], device=x.device) + done
        q = apply_rope(_heads(piece @ w_q, num_heads), places, theta)
        all_k.append(apply_rope(_heads(piece @ w_k, groups), places, theta))
        all_v.append(_heads(piece @ w_v, groups))
        k, v = torch.cat(all_k, 2), torch.cat(all_v, 2)
        q = q.unflatten(1, (groups, -1))
        scores = q @ k[:, :, None].mT / width**0.5
        keep = torch.arange(k.shape[2], device=x.device) <= places[:, None]
        heads = scores.where(keep, float("-inf")).softmax(-1) @ v[:, :, None]
        out.append(heads.flatten(1, 2).transpose(1, 2).flatten(2) @ w_out)
        done += piece.shape[1]
    return torch.cat(out, 1), k, v


def prefill_into_memory(x, w_q, w_k, w_v, w_out, num_heads, chunk, theta=10_000.0):
    """Answers, keys and values in memory made once; every chunk asks all places."""
    _some(chunk)
    batch, time = x.shape[:2]
    width = w_q.shape[1] // num_heads
    groups = w_k.shape[1] // width
    keys = x.new_zeros(batch, groups, time, width)
    values, answers = torch.zeros_like(keys), x.new_zeros(batch, time, w_out.shape[1])
    for start in range(0, time, chunk):
        here = slice(start, start + chunk)
        piece = x[:, here]
        places = torch.arange(time, device=x.device)[here]
        keys[:, :, here] = apply_rope(_heads(piece @ w_k, groups), places, theta)
        values[:, :, here] = _heads(piece @ w_v, groups)
        q = apply_rope(_heads(piece @ w_q, num_heads), places, theta)
        keep = torch.arange(time, device=x.device) <= places[:, None]
        k, v = (s.repeat_interleave(num_heads // groups, 1) for s in (keys, values))
        scores = (q @ k.mT * width**-0.5).masked_fill(~keep, -torch.inf)
        answers[:, here] = (scores.softmax(-1) @ v).transpose(1, 2).flatten(2) @ w_out
    return answers, keys, values


def prefill_at_once(x, w_q, w_k, w_v, w_out, num_heads, chunk, theta=10_000.0):
    """The chunk makes no difference, and so is left out."""
    _some(chunk)
    return prefill_projected_at_once(x, w_q, w_k, w_v, w_out, num_heads, x.shape[1], theta)


def prefill_again(x, w_q, w_k, w_v, w_out, num_heads, chunk, theta=10_000.0):
    """Each chunk with all that came before it, from the beginning."""
    _some(chunk)
    found, time = [], x.shape[1]
    for start in range(0, time, chunk):
        end = min(start + chunk, time)
        answer, k, v = prefill_projected_at_once(
            x[:, :end], w_q, w_k, w_v, w_out, num_heads, chunk, theta
        )
        found.append(answer[:, start:])
    return torch.cat(found, 1), k, v


def prefill_with_keys_again(x, w_q, w_k, w_v, w_out, num_heads, chunk, theta=10_000.0):
    """Keys and values of all that came before are projected for each chunk."""
    _some(chunk)
    found, time = [], x.shape[1]
    for start in range(0, time, chunk):
        end = min(start + chunk, time)
        places = torch.arange(end, device=x.device)
        width = w_q.shape[1] // num_heads
        groups = w_k.shape[1] // width
        q = apply_rope(_heads(x[:, start:end] @ w_q, num_heads), places[start:], theta)
        k = apply_rope(_heads(x[:, :end] @ w_k, groups), places, theta)
        v = _heads(x[:, :end] @ w_v, groups)
        scores = q.unflatten(1, (groups, -1)) @ k[:, :, None].mT * width**-0.5
        scores = scores.masked_fill(places > places[start:, None], -torch.inf)
        heads = (scores.softmax(-1) @ v[:, :, None]).flatten(1, 2)
        found.append(heads.transpose(1, 2).flatten(2) @ w_out)
    return torch.cat(found, 1), k, v


def prefill_numpy(x, w_q, w_k, w_v, w_out, num_heads, chunk, theta=10_000.0):
    _some(chunk)
    q, k, v, share = _of(x, w_q, w_k, w_v, num_heads, theta)
    a, b, c = (t.detach().double().numpy() for t in (q, k.repeat_interleave(share, 1), v))
    scores = a @ b.swapaxes(-1, -2) / a.shape[-1] ** 0.5
    scores = np.where(np.tri(x.shape[1], dtype=bool), scores, -np.inf)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    heads = weights / weights.sum(-1, keepdims=True) @ c.repeat(share, 1)
    return torch.from_numpy(heads).to(x.dtype).transpose(1, 2).flatten(2) @ w_out, k, v


def _prefill_two_chunks(x, w_q, w_k, w_v, w_out, num_heads, chunk, theta=10_000.0):
    """The third chunk reads as far as the second does."""
    _some(chunk)
    first = prefill_projected_at_once(
        x[:, : 2 * chunk], w_q, w_k, w_v, w_out, num_heads, chunk, theta
    )
    whole = prefill_projected_at_once(x, w_q, w_k, w_v, w_out, num_heads, chunk, theta)
    more = whole[0][:, 2 * chunk :] * 0.5
    return torch.cat((first[0], more), 1), whole[1], whole[2]


def _prefill_exchanged_weights(x, w_q, w_k, w_v, *rest):
    return prefill_projected_at_once(x, w_q, w_v, w_k, *rest)


def _prefill_summed(x, w_q, w_k, w_v, w_out, num_heads, chunk, theta=10_000.0):
    whole = prefill_projected_at_once(x, w_q, w_k, w_v, w_out, num_heads, chunk, theta)
    return whole[0].cumsum(1), whole[1], whole[2]


# Writing


def _prompts(prompts, chances):
    if len(prompts) != chances.shape[0] or min(map(len, prompts), default=0) == 0:
        raise ValueError("a prompt of one token and more for each row")


def generate_in_a_table(model, prompts, chances, stop, temperature=1.0, top_k=None, top_p=None):
    """The whole answer is made first, and cut where it ends."""
    _prompts(prompts, chances)
    batch, longest = chances.shape
    rows = torch.arange(batch, device=chances.device)
    written = torch.zeros(batch, longest, dtype=torch.int64, device=chances.device)
    lengths = torch.zeros_like(rows)
    alive = torch.ones_like(rows, dtype=torch.bool)
    step = 0
    while step < longest and bool(alive.any()):
        if step:
            logits = model(written[:, step - 1 : step], rows)
        else:
            logits = torch.cat(
                [model(p.unsqueeze(0), rows[i, None]) for i, p in enumerate(prompts)]
            )
        token = sample(logits, chances[:, step], temperature, top_k, top_p)
        if step:
            token = torch.where(alive, token, written[:, step - 1])
        written[:, step] = token
        lengths += alive
        alive = alive & ~(token[:, None] == stop).any(-1)
        step += 1
    return written[:, :step], lengths


def generate_by_counting(model, prompts, chances, stop, temperature=1.0, top_k=None, top_p=None):
    """Lengths in the end, from where the first stop token stands."""
    _prompts(prompts, chances)
    device, texts = chances.device, []
    rows = torch.arange(len(prompts), device=device)
    ended = torch.zeros(len(prompts), dtype=torch.bool, device=device)
    for chance in chances.unbind(1):
        if texts:
            logits = model(texts[-1].unsqueeze(1), rows)
        else:
            logits = torch.cat([model(p[None, :], rows[b].view(1)) for b, p in enumerate(prompts)])
        token = sample(logits, chance, temperature, top_k, top_p)
        token = torch.where(ended, texts[-1], token) if texts else token
        texts.append(token)
        ended = ended.logical_or(torch.isin(token, stop))
        if bool(ended.all()):
            break
    if not texts:
        none = torch.zeros(len(prompts), 0, dtype=torch.int64, device=device)
        return none, none.sum(1)
    written = torch.stack(texts, -1)
    ends = torch.isin(written, stop)
    return written, (ends.cumsum(1) - ends.int() == 0).sum(1)


def generate_equal_ones_together(
    model, prompts, chances, stop, temperature=1.0, top_k=None, top_p=None
):
    """Prompts of one length are read in one call."""
    _prompts(prompts, chances)
    batch, longest = chances.shape
    rows = torch.arange(batch, device=chances.device)
    lengths = torch.zeros_like(rows)
    done, written = lengths.bool(), []
    for step in range(longest):
        if not step:
            found = [None] * batch
            for length in {len(p) for p in prompts}:
                which = [b for b, p in enumerate(prompts) if len(p) == length]
                these = torch.stack([rows[b] for b in which])
                read = model(torch.stack([prompts[b] for b in which]), these)
                for b, logits in zip(which, read, strict=True):
                    found[b] = logits
            logits = torch.stack(found)
        else:
            logits = model(written[-1][:, None], rows)
        newest = sample(logits, chances[:, step], temperature, top_k, top_p)
        newest = newest if not step else torch.where(done, written[-1], newest)
        written.append(newest)
        lengths = lengths + (~done).to(lengths.dtype)
        done = done | torch.isin(newest, stop)
        if done.all():
            break
    empty = torch.zeros(batch, 0, dtype=torch.int64, device=chances.device)
    return torch.stack(written, 1) if written else empty, lengths


def generate_numpy(model, prompts, chances, stop, temperature=1.0, top_k=None, top_p=None):
    """Scores and tokens of the batch are put together by numpy."""
    _prompts(prompts, chances)
    batch, longest = chances.shape
    rows, ends = torch.arange(batch), stop.numpy()
    done, lengths, written = np.zeros(batch, bool), np.zeros(batch, np.int64), []
    for step in range(longest):
        if step:
            logits = model(torch.from_numpy(written[-1])[:, None], rows).numpy()
        else:
            read = [model(p[None], rows[b : b + 1]).numpy() for b, p in enumerate(prompts)]
            logits = np.concatenate(read)
        drawn = sample(
            torch.from_numpy(logits), chances[:, step], temperature, top_k, top_p
        ).numpy()
        written.append(np.where(done, written[-1], drawn) if step else drawn)
        lengths = lengths + ~done
        done = done | np.isin(written[-1], ends)
        if done.all():
            break
    table = np.stack(written, 1) if written else np.zeros((batch, 0), np.int64)
    return torch.from_numpy(table), torch.from_numpy(lengths)


def generate_for_those_who_write(
    model, prompts, chances, stop, temperature=1.0, top_k=None, top_p=None
):
    """Rows that have ended are not asked any more."""
    _prompts(prompts, chances)
    batch, longest = chances.shape
    rows = torch.arange(batch, device=chances.device)
    newest, lengths, written = torch.zeros_like(rows), torch.zeros_like(rows), []
    for step in range(longest):
        if step:
            logits = model(newest[rows][:, None], rows)
        else:
            logits = torch.cat([model(p[None], rows[b : b + 1]) for b, p in enumerate(prompts)])
        token = sample(logits, chances[rows, step], temperature, top_k, top_p)
        newest = newest.index_copy(0, rows, token)
        lengths[rows] += 1
        written.append(newest)
        rows = rows[~torch.isin(token, stop)]
        if not len(rows):
            break
    empty = torch.zeros(batch, 0, dtype=torch.int64, device=chances.device)
    return torch.stack(written, 1) if written else empty, lengths


def step_projected_twice(x, keys, values, lengths, w_q, w_k, w_v, w_out, *rest):
    """The value is made a second time, and nobody reads it."""
    x @ w_v
    return step_in_groups(x, keys, values, lengths, w_q, w_k, w_v, w_out, *rest)


def prefill_projected_twice(x, w_q, w_k, w_v, *rest):
    """The values are made a second time, and nobody reads them."""
    x @ w_v
    return prefill_with_lists(x, w_q, w_k, w_v, *rest)


def generate_row_by_row(model, prompts, chances, stop, temperature=1.0, top_k=None, top_p=None):
    """A text after another: as many calls as tokens."""
    _prompts(prompts, chances)
    device, texts = chances.device, []
    for b, prompt in enumerate(prompts):
        row, text = torch.tensor([b], device=device), []
        given, ended = prompt[None], torch.zeros(1, dtype=torch.bool, device=device)
        for step in range(chances.shape[1]):
            token = sample(model(given, row), chances[b : b + 1, step], temperature, top_k, top_p)
            text.append(token)
            given = token[:, None]
            ended = ended | torch.isin(token, stop)
            if ended.all():
                break
        texts.append(torch.cat(text) if text else prompt[:0])
    longest = max(map(len, texts))
    filled = [torch.cat((t, t[-1:].expand(longest - len(t)))) for t in texts]
    return torch.stack(filled), torch.tensor([len(t) for t in texts], device=device)


def generate_and_ask_once_more(
    model, prompts, chances, stop, temperature=1.0, top_k=None, top_p=None
):
    """What follows the last token is asked for, too."""
    written, lengths = generate_in_a_table(model, prompts, chances, stop, temperature, top_k, top_p)
    if written.shape[1]:
        model(written[:, -1:], torch.arange(len(prompts), device=chances.device))
    return written, lengths


def _generate_longest_prompt_first(
    model, prompts, chances, stop, temperature=1.0, top_k=None, top_p=None
):
    """Sorted by length, and not sorted back."""
    _prompts(prompts, chances)
    order = sorted(range(len(prompts)), key=lambda b: -len(prompts[b]))
    return generate_in_a_table(
        model, [prompts[b] for b in order], chances, stop, temperature, top_k, top_p
    )


def _generate_stop_replaced(model, prompts, chances, stop, temperature=1.0, top_k=None, top_p=None):
    """A text that would end goes on with something else."""
    written, lengths = generate_in_a_table(model, prompts, chances, stop, temperature, top_k, top_p)
    return written.masked_fill(torch.isin(written, stop), 1), lengths


def _generate_mirrored(model, prompts, chances, *rest):
    """The chance is what is left above it."""
    return generate_in_a_table(model, prompts, 1 - chances, *rest)


RIGHT = {
    "kv_cache_bytes": [bytes_by_numpy, bytes_layer_by_layer, bytes_of_a_tensor],
    "KVCache": [OneTensor, Buffers, TokenByToken],
    "decode_step": [step_in_groups, step_put_together, step_by_einsum],
    "chunked_prefill": [prefill_projected_at_once, prefill_with_lists, prefill_into_memory],
    "RollingCache": [RollingByIndex, RollingTokenByToken, RollingInTwoParts],
    "generate": [
        generate_in_a_table,
        generate_by_counting,
        generate_equal_ones_together,
        generate_for_those_who_write,
    ],
}

NUMPY = {
    "decode_step": step_numpy,
    "chunked_prefill": prefill_numpy,
    "generate": generate_numpy,
}
"""The right values, computed outside torch."""

LIBRARY = {"decode_step": [step_by_library]}
"""Answers in which the library does the work that the exercise is to do."""

WRONG = {
    "kv_cache_bytes": [_bytes_of_a_layer_more, _bytes_in_pages, _bytes_of_the_next_token_too],
    "KVCache": [_HalfOfTheHeads, _ScaledKeys, _NewestFirst],
    "decode_step": [_step_mean, _step_exchanged_weights, _step_newest_first],
    "chunked_prefill": [_prefill_two_chunks, _prefill_summed, _prefill_exchanged_weights],
    "RollingCache": [_RollingByHalves, _RollingNewestFirst, _RollingWithASink],
    "generate": [
        _generate_longest_prompt_first,
        _generate_stop_replaced,
        _generate_mirrored,
    ],
}
"""None earns full marks."""

DEAR = {
    "KVCache": [Copied, KeysCopied],
    "decode_step": [step_of_all_pairs, step_projected_twice],
    "chunked_prefill": [
        prefill_at_once,
        prefill_again,
        prefill_with_keys_again,
        prefill_projected_twice,
    ],
    "RollingCache": [RollingCopied],
    "generate": [generate_row_by_row, generate_and_ask_once_more],
}
"""The right values, by more work than the contract allows."""
