"""Chapter 12's wrong answers as people give them, by the one who wrote the checks: not blind."""

import math

import torch
from fresh import answer
from torch import Tensor
from torch.nn import functional as F


def _positive(number, what):
    if number < 1:
        raise ValueError(f"{what} must be at least 1, got {number}")


# the window reaches W keys before the query, and the query itself besides
@answer("one key too many")
def window_mask__w01(num_queries, num_keys, window, device=None):
    _positive(window, "window")
    ones = torch.ones(num_queries, num_keys, dtype=torch.bool, device=device)
    past = num_keys - num_queries
    return ones.tril(past) & ones.triu(past - window)


# banded by tril and triu of a square, the past not counted
@answer("aligned to the wrong corner")
def window_mask__w02(num_queries, num_keys, window, device=None):
    _positive(window, "window")
    ones = torch.ones(num_queries, num_keys, dtype=torch.bool, device=device)
    return torch.tril(ones) & torch.triu(ones, 1 - window)


# half a window to either side, as in an encoder
@answer("to either side")
def window_mask__w03(num_queries, num_keys, window, device=None):
    _positive(window, "window")
    p = torch.arange(num_keys - num_queries, num_keys, device=device)
    return (p[:, None] - torch.arange(num_keys, device=device)[None]).abs() <= window // 2


# True where a key is hidden
@answer("inverted")
def window_mask__w04(num_queries, num_keys, window, device=None):
    _positive(window, "window")
    p = torch.arange(num_keys - num_queries, num_keys, device=device)[:, None]
    j = torch.arange(num_keys, device=device)
    return (j > p) | (j <= p - window)


# 1 and 0 as floats
@answer("ones and zeros instead of True and False")
def window_mask__w05(num_queries, num_keys, window, device=None):
    _positive(window, "window")
    past = num_keys - num_queries
    ones = torch.ones(num_queries, num_keys, device=device)
    return ones.tril(past).triu(past - window + 1)


# no check of the window
@answer("a window of nothing")
def window_mask__w06(num_queries, num_keys, window, device=None):
    past = num_keys - num_queries
    ones = torch.ones(num_queries, num_keys, dtype=torch.bool, device=device)
    return ones.tril(past).logical_and(ones.triu(past - window + 1))


# chunks: a token reads its own chunk up to itself
@answer("blocks instead of a window")
def window_mask__w07(num_queries, num_keys, window, device=None):
    _positive(window, "window")
    p = torch.arange(num_keys - num_queries, num_keys, device=device)[:, None]
    j = torch.arange(num_keys, device=device)[None]
    return (p // window == j // window) & (j <= p)


# columns at multiples of the stride
@answer("counted from the beginning")
def strided_mask__w01(num_queries, num_keys, stride, device=None):
    _positive(stride, "stride")
    ones = torch.ones(num_queries, num_keys, dtype=torch.bool, device=device)
    keep = ones.tril(num_keys - num_queries)
    keep[:, torch.arange(num_keys, device=device) % stride != 0] = False
    return keep


# the local window joined in
@answer("the window besides")
def strided_mask__w02(num_queries, num_keys, stride, device=None):
    _positive(stride, "stride")
    p = torch.arange(num_keys - num_queries, num_keys, device=device)[:, None]
    d = p - torch.arange(num_keys, device=device)
    return (d >= 0) & ((d < stride) | (d.remainder(stride) == 0))


# causality forgotten
@answer("the future too")
def strided_mask__w03(num_queries, num_keys, stride, device=None):
    _positive(stride, "stride")
    p = torch.arange(num_keys - num_queries, num_keys, device=device)[:, None]
    return (p - torch.arange(num_keys, device=device)).abs() % stride == 0


# itself excluded
@answer("itself hidden")
def strided_mask__w04(num_queries, num_keys, stride, device=None):
    _positive(stride, "stride")
    p = torch.arange(num_keys - num_queries, num_keys, device=device)[:, None]
    d = p - torch.arange(num_keys, device=device)
    return (d >= stride) & (d % stride == 0)


# queries from 0
@answer("aligned to the wrong corner")
def strided_mask__w05(num_queries, num_keys, stride, device=None):
    _positive(stride, "stride")
    d = torch.arange(num_queries, device=device)[:, None] - torch.arange(num_keys, device=device)
    return d.ge(0) & d.fmod(stride).eq(0)


# ranks by one argsort
@answer("the order instead of the place")
def global_random_mask__w01(chance, num_global, num_random):
    if num_global < 0 or num_random < 0:
        raise ValueError("negative")
    tq, tk = chance.shape
    past = torch.ones_like(chance, dtype=torch.bool).tril(tk - tq)
    keys = torch.arange(tk, device=chance.device)
    scores = chance.masked_fill(~past, math.inf).masked_fill(keys < num_global, math.inf)
    return past & ((keys < num_global) | (torch.argsort(scores, dim=-1, stable=True) < num_random))


# drawn over all keys, hidden afterwards
@answer("drawn from the future as well")
def global_random_mask__w02(chance, num_global, num_random):
    if min(num_global, num_random) < 0:
        raise ValueError("negative")
    tq, tk = chance.shape
    first = (torch.arange(tk, device=chance.device) < num_global).expand(tq, tk)
    order = chance.masked_fill(first, math.inf).sort(-1).indices[:, :num_random]
    drawn = torch.zeros_like(first).scatter(-1, order, torch.ones_like(order, dtype=torch.bool))
    return (drawn | first).tril(tk - tq)


# global ones take part in the draw
@answer("global tokens drawn again")
def global_random_mask__w03(chance, num_global, num_random):
    if min(num_global, num_random) < 0:
        raise ValueError("negative")
    tq, tk = chance.shape
    past = torch.ones_like(chance, dtype=torch.bool).tril(tk - tq)
    order = chance.masked_fill(~past, math.inf).argsort(-1)[:, :num_random]
    keep = torch.zeros_like(past)
    keep.scatter_(-1, order, True)
    keep[:, :num_global] = True
    return keep & past


# the largest ones
@answer("the largest chances")
def global_random_mask__w04(chance, num_global, num_random):
    if min(num_global, num_random) < 0:
        raise ValueError("negative")
    tq, tk = chance.shape
    past = torch.ones_like(chance, dtype=torch.bool).tril(tk - tq)
    first = torch.arange(tk, device=chance.device) < num_global
    scores = torch.where(past & ~first, chance, -math.inf)
    best = scores.topk(min(num_random, tk), -1).indices
    return past & (first | torch.zeros_like(past).scatter(-1, best, True))


# each with its own key
@answer("itself as well")
def global_random_mask__w05(chance, num_global, num_random):
    if min(num_global, num_random) < 0:
        raise ValueError("negative")
    tq, tk = chance.shape
    position = torch.arange(tk - tq, tk, device=chance.device)[:, None]
    keys = torch.arange(tk, device=chance.device)
    past, first = keys <= position, keys < num_global
    scores = torch.where(past & ~first, chance, math.inf)
    place = scores.argsort(-1).argsort(-1)
    return (past & (first | (place < num_random))) | (keys == position)


# powers without the identity
@answer("walks of exactly so many steps")
def layers_to_reach__w01(keep):
    if keep.shape[0] != keep.shape[-1] or keep.ndim != 2:
        raise ValueError(f"{keep.shape}")
    n = len(keep)
    layers = torch.full((n, n), -1, dtype=torch.long, device=keep.device)
    layers.fill_diagonal_(0)
    way = torch.eye(n, device=keep.device)
    for depth in range(1, n + 2):
        before = way
        way = (keep.float() @ way).clamp(max=1)
        layers[(way > 0) & (before == 0)] = depth
        if torch.equal(way, before):
            break
    return layers


# rows and columns exchanged
@answer("the other way round")
def layers_to_reach__w02(keep):
    if keep.ndim != 2 or keep.shape[0] != keep.shape[1]:
        raise ValueError(f"{keep.shape}")
    n = len(keep)
    layers = torch.eye(n, dtype=torch.long, device=keep.device) - 1
    reached = torch.eye(n, device=keep.device)
    for depth in range(1, n):
        new = (keep.float().mT @ reached > 0) & (reached == 0)
        layers[new] = depth
        reached = reached + new
    return layers


# squared each time
@answer("doubled in every step")
def layers_to_reach__w03(keep):
    if keep.ndim != 2 or keep.shape[0] != keep.shape[1]:
        raise ValueError(f"{keep.shape}")
    eye = torch.eye(len(keep), dtype=torch.bool, device=keep.device)
    m, layers, depth = (keep | eye).float(), torch.where(keep, 1, -1), 1
    layers = layers.masked_fill(eye, 0)
    while True:
        m2 = (m @ m > 0).float()
        if torch.equal(m2, m):
            return layers
        depth += 1
        layers = torch.where((m2 > 0) & (m == 0), depth, layers)
        m = m2


# direct keys only
@answer("one layer only")
def layers_to_reach__w04(keep):
    if keep.ndim != 2 or keep.shape[0] != keep.shape[1]:
        raise ValueError(f"{keep.shape}")
    layers = keep.long() * 2 - 1
    return layers.fill_diagonal_(0)


# a table of at most twelve layers
@answer("a depth built in")
def layers_to_reach__w05(keep):
    if keep.ndim != 2 or keep.shape[0] != keep.shape[1]:
        raise ValueError(f"{keep.shape}")
    reached = torch.eye(len(keep), dtype=torch.bool, device=keep.device)
    layers = reached.long() - 1
    for depth in range(1, 13):
        new = (keep.float() @ reached.float()).bool() & ~reached
        layers[new] = depth
        reached |= new
    return layers


def _sizes(q, k, window):
    if window < 1 or q.shape[-2] > k.shape[-2]:
        raise ValueError(f"{window}, {q.shape}, {k.shape}")


# blocks that don't look back
@answer("every block by itself")
def windowed_attention__w01(q, k, v, window):
    _sizes(q, k, window)
    past, out = k.size(-2) - q.size(-2), []
    for i in range(0, q.size(-2), window):
        part = q[..., i : i + window, :]
        keys = k[..., past + i : past + i + part.size(-2), :]
        values = v[..., past + i : past + i + part.size(-2), :]
        s = part @ keys.mT / math.sqrt(q.size(-1))
        hidden = torch.ones(s.shape[-2:], dtype=torch.bool, device=s.device).triu(1)
        out.append(torch.softmax(s.masked_fill(hidden, -math.inf), -1) @ values)
    return torch.cat(out, -2)


# W keys before the query, and the query
@answer("one key too many")
def windowed_attention__w02(q, k, v, window):
    _sizes(q, k, window)
    past, out = k.size(-2) - q.size(-2), []
    for i in range(q.size(-2)):
        at = past + i
        near = slice(max(at - window, 0), at + 1)
        s = (q[..., i, None, :] * k[..., near, :]).sum(-1) / math.sqrt(q.size(-1))
        out.append((s.softmax(-1)[..., None] * v[..., near, :]).sum(-2))
    return torch.stack(out, -2)


# zeros in front that take part
@answer("padding that is read")
def windowed_attention__w03(q, k, v, window):
    _sizes(q, k, window)
    tq, tk = q.shape[-2], k.shape[-2]
    k = F.pad(k, (0, 0, window - 1, 0)).unfold(-2, window, 1)[..., tk - tq :, :, :]
    v = F.pad(v, (0, 0, window - 1, 0)).unfold(-2, window, 1)[..., tk - tq :, :, :]
    s = (q[..., None, :] @ k).squeeze(-2) / math.sqrt(q.shape[-1])
    return (v @ s.softmax(-1)[..., None]).squeeze(-1)


# scale forgotten
@answer("no scale")
def windowed_attention__w04(q, k, v, window):
    _sizes(q, k, window)
    past, out = k.size(-2) - q.size(-2), []
    for i in range(q.size(-2)):
        near = slice(max(past + i - window + 1, 0), past + i + 1)
        s = q[..., i : i + 1, :] @ k[..., near, :].mT
        out.append(s.softmax(-1) @ v[..., near, :])
    return torch.cat(out, -2)


# queries counted from 0
@answer("aligned to the wrong corner")
def windowed_attention__w05(q, k, v, window):
    _sizes(q, k, window)
    out = []
    for i in range(q.size(-2)):
        near = slice(max(i - window + 1, 0), i + 1)
        s = q[..., i : i + 1, :] @ k[..., near, :].mT / math.sqrt(q.size(-1))
        out.append(s.softmax(-1) @ v[..., near, :])
    return torch.cat(out, -2)


# right, by a mask over everything
@answer()
def windowed_attention__w06(q, k, v, window):
    _sizes(q, k, window)
    i = torch.arange(k.shape[-2] - q.shape[-2], k.shape[-2], device=q.device)[:, None]
    j = torch.arange(k.shape[-2], device=q.device)
    s = q @ k.mT / math.sqrt(q.shape[-1])
    s = s.masked_fill((j > i) | (j <= i - window), -math.inf)
    return s.softmax(-1) @ v


# the last keys for all
@answer("the keys cut before all queries have used them")
def windowed_attention__w07(q, k, v, window):
    _sizes(q, k, window)
    past = k.shape[-2] - q.shape[-2]
    i = torch.arange(past, k.shape[-2], device=q.device)[:, None]
    j = torch.arange(k.shape[-2], device=q.device)
    keep = (j <= i) & (j >= k.shape[-2] - window)
    s = q @ k.mT / math.sqrt(q.shape[-1])
    s = s.masked_fill(~keep, torch.finfo(s.dtype).min)
    return (s.softmax(-1) * keep) @ v


def _phi(x):
    return torch.where(x > 0, x + 1, x.clamp(max=0).exp())


def _in_time(q, k, causal):
    if causal and q.shape[-2] > k.shape[-2]:
        raise ValueError(f"{q.shape}, {k.shape}")


# not divided
@answer("the normaliser forgotten")
def linear_attention__w01(q, k, v, causal=True):
    _in_time(q, k, causal)
    q, k = _phi(q), _phi(k)
    if not causal:
        return q @ (k.mT @ v)
    kv = torch.einsum("...td,...te->...tde", k, v).cumsum(-3)[..., k.size(-2) - q.size(-2) :, :, :]
    return torch.einsum("...td,...tde->...te", q, kv)


# the published formula
@answer("features that round to 0")
def linear_attention__w02(q, k, v, causal=True):
    _in_time(q, k, causal)
    q, k = F.elu(q) + 1, F.elu(k) + 1
    a = q @ k.mT
    if causal:
        a = a.tril(k.size(-2) - q.size(-2))
    return a @ v / a.sum(-1, keepdim=True)


# relu
@answer("other features")
def linear_attention__w03(q, k, v, causal=True):
    _in_time(q, k, causal)
    a = q.relu() @ k.relu().mT
    if causal:
        a = a.tril(k.size(-2) - q.size(-2))
    return a @ v / a.sum(-1, keepdim=True)


# 1e-6 below the line
@answer("an epsilon in the denominator")
def linear_attention__w04(q, k, v, causal=True):
    _in_time(q, k, causal)
    q, k = _phi(q), _phi(k)
    if not causal:
        return q @ (k.mT @ v) / (q @ k.sum(-2, keepdim=True).mT + 1e-6)
    past = k.size(-2) - q.size(-2)
    kv = torch.einsum("...td,...te->...tde", k, v).cumsum(-3)[..., past:, :, :]
    z = torch.einsum("...td,...td->...t", q, k.cumsum(-2)[..., past:, :]) + 1e-6
    return torch.einsum("...td,...tde->...te", q, kv) / z[..., None]


# the sum of all keys below the line
@answer("the normaliser of all keys")
def linear_attention__w05(q, k, v, causal=True):
    _in_time(q, k, causal)
    q, k = _phi(q), _phi(k)
    z = q @ k.sum(-2, keepdim=True).mT
    if not causal:
        return q @ (k.mT @ v) / z
    past = k.size(-2) - q.size(-2)
    kv = (k[..., None] * v[..., None, :]).cumsum(-3)[..., past:, :, :]
    return (q[..., None, :] @ kv)[..., 0, :] / z


# state read, then written
@answer("without itself")
def linear_attention__w06(q, k, v, causal=True):
    _in_time(q, k, causal)
    q, k = _phi(q), _phi(k)
    if not causal:
        return q @ (k.mT @ v) / (q @ k.sum(-2, keepdim=True).mT)
    past = k.size(-2) - q.size(-2)
    kv = k[..., None] * v[..., None, :]
    kv = (kv.cumsum(-3) - kv)[..., past:, :, :]
    z = (k.cumsum(-2) - k)[..., past:, :]
    return (q[..., None, :] @ kv)[..., 0, :] / (q * z).sum(-1, keepdim=True)


# the normaliser is that of this key
@answer("the normaliser not carried")
def linear_attention_step__w01(q, k, v, context, total):
    q, k = _phi(q), _phi(k)
    context = context + k[..., None] * v[..., None, :]
    out = (q[..., None] * context).sum(-2) / (q * k).sum(-1, keepdim=True)
    return out, context, total + k


# read first
@answer("the old state read")
def linear_attention_step__w02(q, k, v, context, total):
    q, k = _phi(q), _phi(k)
    out = torch.einsum("...d,...de->...e", q, context) / (q * total).sum(-1, keepdim=True)
    return out, context + k.unsqueeze(-1) * v.unsqueeze(-2), total + k


# in place
@answer("the caller's state overwritten")
def linear_attention_step__w03(q, k, v, context, total):
    q, k = _phi(q), _phi(k)
    with torch.no_grad():
        context += k.unsqueeze(-1) * v.unsqueeze(-2)
        total += k
    out = (q.unsqueeze(-2) @ context).squeeze(-2) / (q * total).sum(-1, keepdim=True)
    return out, context, total


# no features
@answer("no features")
def linear_attention_step__w04(q, k, v, context, total):
    context = context + k.unsqueeze(-1) * v.unsqueeze(-2)
    total = total + k
    out = (q.unsqueeze(-2) @ context).squeeze(-2) / (q * total).sum(-1, keepdim=True)
    return out, context, total


def _scales(width, factor, method):
    if method not in ("linear", "ntk") or factor < 1 or width % 2:
        raise ValueError(f"{width}, {factor}, {method}")
    if width < 4 and method == "ntk":
        raise ValueError("width")


def _exponents(width, device):
    return torch.arange(0, width, 2, dtype=torch.double, device=device) / width


# the static form
@answer("one constant for every length")
def scale_rope__w01(width, factor, method, length, trained_length, theta=1e4, device=None):
    _scales(width, factor, method)
    if method == "ntk":
        theta = theta * factor ** (width / (width - 2))
        return 1 / theta ** _exponents(width, device)
    return 1 / theta ** _exponents(width, device) / factor


# the wrong way round
@answer("multiplied instead of divided")
def scale_rope__w02(width, factor, method, length, trained_length, theta=1e4, device=None):
    _scales(width, factor, method)
    if method == "linear":
        return factor / theta ** _exponents(width, device)
    growth = factor * max(length, trained_length) / trained_length - factor + 1
    return 1 / (theta * growth ** (width / (width - 2))) ** _exponents(width, device)


# short texts too
@answer("short texts changed")
def scale_rope__w03(width, factor, method, length, trained_length, theta=1e4, device=None):
    _scales(width, factor, method)
    if method == "linear":
        return 1 / theta ** _exponents(width, device) / factor
    growth = factor * length / trained_length - (factor - 1)
    return 1 / (theta * growth ** (width / (width - 2))) ** _exponents(width, device)


# float32
@answer("in single precision")
def scale_rope__w04(width, factor, method, length, trained_length, theta=1e4, device=None):
    _scales(width, factor, method)
    steps = torch.arange(0, width, 2, device=device).float() / width
    if method == "linear":
        return 1 / theta**steps / factor
    growth = factor * max(length, trained_length) / trained_length - (factor - 1)
    return 1 / (theta * growth ** (width / (width - 2))) ** steps


# no power
@answer("the growth without its power")
def scale_rope__w05(width, factor, method, length, trained_length, theta=1e4, device=None):
    _scales(width, factor, method)
    if method == "linear":
        return 1 / theta ** _exponents(width, device) / factor
    theta = theta * (factor * max(length / trained_length, 1.0) - (factor - 1))
    return 1 / theta ** _exponents(width, device)


class _Ring:
    """Of a right one."""

    def __init__(self, q: Tensor, k: Tensor, v: Tensor, rank: int, ranks: int, causal: bool):
        if not (0 <= rank < ranks and q.shape == k.shape and k.shape[:-1] == v.shape[:-1]):
            raise ValueError(f"{rank}, {ranks}, {q.shape}, {k.shape}, {v.shape}")
        self.q, self.kv, self.rank, self.ranks, self.causal = q, (k, v), rank, ranks, causal
        self.holder, self.rounds = rank, 0
        self.o, self.l = self.block()

    def mask(self, s):
        t = s.shape[-1]
        i = torch.arange(t, device=s.device)
        return self.holder * t + i > self.rank * t + i[:, None]

    def block(self):
        k, v = self.kv
        s = self.q @ k.mT / math.sqrt(self.q.shape[-1])
        if self.causal:
            s = s.masked_fill(self.mask(s), -math.inf)
        return s.softmax(-1) @ v, s.logsumexp(-1, keepdim=True)

    def outgoing(self):
        return self.kv

    def move(self):
        self.holder = (self.holder - 1) % self.ranks

    def receive(self, k, v):
        if k.shape != self.kv[0].shape or v.shape != self.kv[1].shape:
            raise ValueError(f"{k.shape}, {v.shape}")
        self.kv = (k, v)
        self.rounds += 1
        self.move()
        if not self.causal or self.holder <= self.rank:
            self.merge(*self.block())

    def merge(self, o, lse):
        both = torch.logaddexp(self.l, lse)
        self.o = (self.l - both).exp() * self.o + (lse - both).exp() * o
        self.l = both

    def result(self):
        return self.o


def _named(number, *names):
    def keep(cls):
        cls.__name__ = f"RingAttention__w{number:02}"
        return answer(*names)(cls)

    return keep


@_named(1, "merged without the log-sum-exp")
class _Mean(_Ring):
    read = 1

    def merge(self, o, lse):
        self.read += 1
        self.o = (self.o * (self.read - 1) + o) / self.read


@_named(2, "causal by numbers in the block")
class _Local(_Ring):
    def mask(self, s):
        return torch.ones(s.shape[-2:], dtype=torch.bool, device=s.device).triu(1)

    def receive(self, k, v):
        if k.shape != self.kv[0].shape or v.shape != self.kv[1].shape:
            raise ValueError(f"{k.shape}, {v.shape}")
        self.kv = (k, v)
        self.merge(*self.block())


@_named(3, "counted the other way round")
class _Forwards(_Ring):
    def move(self):
        self.holder = (self.holder + 1) % self.ranks


@_named(4, "its own block sent again")
class _OwnAgain(_Ring):
    def __init__(self, q, k, v, rank, ranks, causal):
        super().__init__(q, k, v, rank, ranks, causal)
        self.own = (k, v)

    def outgoing(self):
        return self.own


@_named(5, "the log-sum-exp not brought up to date")
class _OldSum(_Ring):
    def merge(self, o, lse):
        both = torch.logaddexp(self.l, lse)
        self.o = (self.l - both).exp() * self.o + (lse - both).exp() * o


@_named(6, "an overflow in the merge")
class _Exponentials(_Ring):
    def merge(self, o, lse):
        a, b = self.l.exp(), lse.exp()
        self.o = (a * self.o + b * o) / (a + b)
        self.l = torch.log(a + b)


@_named(7, "never causal")
class _NeverCausal(_Ring):
    def __init__(self, q, k, v, rank, ranks, causal):
        super().__init__(q, k, v, rank, ranks, False)


@_named(8, "the newest block alone")
class _Newest(_Ring):
    def merge(self, o, lse):
        self.o, self.l = o, lse
