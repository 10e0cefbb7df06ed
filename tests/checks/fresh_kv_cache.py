"""Wrong answers to chapter 9's exercises, as people would write them from the text."""

import torch
from fresh import answer
from torch.nn import functional as F

from tutor.alignment import masked_softmax
from tutor.attention import causal_mask, scaled_dot_product_attention
from tutor.families import sample
from tutor.multihead import merge_heads, split_heads
from tutor.position import apply_rope

# Bytes


def _check(layers, width, heads, groups, tokens, batch):
    if min(layers, width, groups, tokens, batch) < 0 or heads <= 0 or width % heads:
        raise ValueError("no such model")


@answer("every query head")
def kv_cache_bytes__by_the_width(n, width, heads, groups, tokens, batch=1, dtype=torch.float16):
    _check(n, width, heads, groups, tokens, batch)
    return 2 * n * width * tokens * batch * dtype.itemsize


@answer("keys alone")
def kv_cache_bytes__one_tensor(n, width, heads, groups, tokens, batch=1, dtype=torch.float16):
    _check(n, width, heads, groups, tokens, batch)
    return torch.empty(n, batch, groups, tokens, width // heads, dtype=dtype, device="meta").nbytes


@answer("two bytes whatever is asked for")
def kv_cache_bytes__always_single(n, width, heads, groups, tokens, batch=1, dtype=torch.float16):
    _check(n, width, heads, groups, tokens, batch)
    return 2 * n * groups * (width // heads) * tokens * batch * 4


@answer("one layer")
def kv_cache_bytes__of_a_layer(n, width, heads, groups, tokens, batch=1, dtype=torch.float16):
    _check(n, width, heads, groups, tokens, batch)
    return 2 * batch * groups * tokens * (width // heads) * dtype.itemsize


@answer("groups taken for the size of one")
def kv_cache_bytes__share(n, width, heads, groups, tokens, batch=1, dtype=torch.float16):
    _check(n, width, heads, groups, tokens, batch)
    return 2 * n * (heads // groups) * (width // heads) * tokens * batch * dtype.itemsize


@answer("in another unit")
def kv_cache_bytes__megabytes(n, width, heads, groups, tokens, batch=1, dtype=torch.float16):
    _check(n, width, heads, groups, tokens, batch)
    return 2 * n * groups * (width // heads) * tokens * batch * dtype.itemsize / 1e6


# The cache


class _Cache:
    def __init__(self, batch, num_kv_heads, capacity, head_width, dtype=torch.float32, device=None):
        self.capacity = capacity
        self.keys = torch.zeros(
            (batch, num_kv_heads, capacity, head_width), dtype=dtype, device=device
        )
        self.values = self.keys.clone()
        self.length = 0

    def fits(self, k, v):
        b, g, c, d = self.keys.shape
        if k.shape != v.shape or (k.shape[0], k.shape[1], k.shape[3]) != (b, g, d):
            raise ValueError("shapes")
        if self.length + k.shape[2] > c:
            raise ValueError("full")

    def reset(self):
        self.keys.zero_()
        self.values.zero_()
        self.length = 0


@answer("a new tensor each time")
class KVCache__cat(_Cache):
    def update(self, k, v):
        self.fits(k, v)
        rest = self.capacity - self.length - k.shape[2]
        old = self.keys[:, :, : self.length], self.values[:, :, : self.length]
        new = [torch.cat((o, n.to(o.dtype)), 2) for o, n in zip(old, (k, v), strict=True)]
        self.keys, self.values = (F.pad(t, (0, 0, 0, rest)) for t in new)
        self.length += k.shape[2]
        return self.keys[:, :, : self.length], self.values[:, :, : self.length]


@answer("one place for each call")
class KVCache__plus_one(_Cache):
    def update(self, k, v):
        self.fits(k, v)
        t = k.shape[2]
        self.keys[:, :, self.length : self.length + t].copy_(k)
        self.values[:, :, self.length : self.length + t].copy_(v)
        self.length += 1
        return self.keys[:, :, : self.length], self.values[:, :, : self.length]


@answer("the new ones alone")
class KVCache__returns_k(_Cache):
    def update(self, k, v):
        self.fits(k, v)
        end = self.length + k.shape[2]
        self.keys[:, :, self.length : end], self.values[:, :, self.length : end] = k, v
        self.length = end
        return k, v


@answer("the whole memory")
class KVCache__all_of_it(_Cache):
    def update(self, k, v):
        self.fits(k, v)
        end = self.length + k.shape[2]
        self.keys[:, :, self.length : end], self.values[:, :, self.length : end] = k, v
        self.length = end
        return self.keys, self.values


@answer("a reset that resets half")
class KVCache__reset_by_length(_Cache):
    def update(self, k, v):
        self.fits(k, v)
        end = self.length + k.shape[2]
        self.keys[:, :, self.length : end], self.values[:, :, self.length : end] = k, v
        self.length = end
        return self.keys[:, :, :end], self.values[:, :, :end]

    def reset(self):
        self.length = 0


@answer("more than fit")
class KVCache__silent(_Cache):
    def update(self, k, v):
        b, g, _, d = self.keys.shape
        if k.shape != v.shape or (k.shape[0], k.shape[1], k.shape[3]) != (b, g, d):
            raise ValueError("shapes")
        end = min(self.length + k.shape[2], self.capacity)
        n = end - self.length
        self.keys[:, :, self.length : end] = k[:, :, :n]
        self.values[:, :, self.length : end] = v[:, :, :n]
        self.length = end
        return self.keys[:, :, :end], self.values[:, :, :end]


@answer("stretched to fit")
class KVCache__no_shapes(_Cache):
    def update(self, k, v):
        end = self.length + k.shape[2]
        if end > self.capacity:
            raise ValueError("full")
        self.keys[:, :, self.length : end] = k
        self.values[:, :, self.length : end] = v
        self.length = end
        return self.keys[:, :, :end], self.values[:, :, :end]


@answer("keys and values mixed up")
class KVCache__returned_twice(_Cache):
    def update(self, k, v):
        self.fits(k, v)
        end = self.length + k.shape[2]
        self.keys[:, :, self.length : end], self.values[:, :, self.length : end] = k, v
        self.length = end
        return self.keys[:, :, :end], self.keys[:, :, :end]


# The rolling cache


class _Ring(_Cache):
    def __init__(self, batch, num_kv_heads, window, head_width, dtype=torch.float32, device=None):
        super().__init__(batch, num_kv_heads, window, head_width, dtype, device)
        self.window = window
        self.positions = torch.full((window,), -1, device=device)

    def fits(self, k, v):
        b, g, _, d = self.keys.shape
        if k.shape != v.shape or (k.shape[0], k.shape[1], k.shape[3]) != (b, g, d):
            raise ValueError("shapes")

    def reset(self):
        super().reset()
        self.positions.fill_(-1)

    def held(self):
        n = min(self.length, self.window)
        return self.keys[:, :, :n], self.values[:, :, :n], self.positions[:n]

    def write(self, at, k, v, positions):
        self.keys[:, :, at], self.values[:, :, at] = k.to(self.keys), v.to(self.values)
        self.positions[at] = positions


@answer("positions begin again")
class RollingCache__places_for_positions(_Ring):
    def update(self, k, v):
        self.fits(k, v)
        at = (self.length + torch.arange(k.shape[2], device=k.device)[-self.window :]) % self.window
        self.write(at, k[:, :, -self.window :], v[:, :, -self.window :], at)
        self.length += k.shape[2]
        return self.held()


@answer("the first of a long piece")
class RollingCache__first_ones(_Ring):
    def update(self, k, v):
        self.fits(k, v)
        new = torch.arange(self.length, self.length + k.shape[2], device=k.device)[: self.window]
        n = len(new)
        self.write(new % self.window, k[:, :, :n], v[:, :, :n], new)
        self.length += k.shape[2]
        return self.held()


@answer("the length stops at the window")
class RollingCache__min(_Ring):
    def update(self, k, v):
        self.fits(k, v)
        new = torch.arange(self.length, self.length + k.shape[2], device=k.device)[-self.window :]
        self.write(new % self.window, k[:, :, -self.window :], v[:, :, -self.window :], new)
        self.length = min(self.window, self.length + k.shape[2])
        return self.held()


@answer("all move up")
class RollingCache__shifts(_Ring):
    def update(self, k, v):
        self.fits(k, v)
        held = self.held()
        new = torch.arange(self.length, self.length + k.shape[2], device=k.device)
        both = [
            torch.cat((o, n.to(o.dtype)), -2)[:, :, -self.window :]
            for o, n in zip(held, (k, v), strict=False)
        ]
        positions = torch.cat((held[2], new))[-self.window :]
        n = len(positions)
        self.keys[:, :, :n], self.values[:, :, :n], self.positions[:n] = *both, positions
        self.length += k.shape[2]
        return self.held()


@answer("a reset that resets half")
class RollingCache__old_positions(_Ring):
    def update(self, k, v):
        self.fits(k, v)
        new = torch.arange(self.length, self.length + k.shape[2], device=k.device)[-self.window :]
        self.write(new % self.window, k[:, :, -self.window :], v[:, :, -self.window :], new)
        self.length += k.shape[2]
        return self.held()

    def reset(self):
        _Cache.reset(self)


@answer("the whole memory")
class RollingCache__everything(_Ring):
    def update(self, k, v):
        self.fits(k, v)
        new = torch.arange(self.length, self.length + k.shape[2], device=k.device)[-self.window :]
        self.write(new % self.window, k[:, :, -self.window :], v[:, :, -self.window :], new)
        self.length += k.shape[2]
        return self.keys, self.values, self.positions


# One token more


def _checked(x, keys, num_heads):
    if x.ndim != 3 or x.shape[1] != 1 or num_heads % keys.shape[1]:
        raise ValueError("one token a row")


def _step(x, keys, values, lengths, ws, num_heads, theta, at=None, keep=None, spread=None):
    _checked(x, keys, num_heads)
    groups = keys.shape[1]
    at = lengths if at is None else at
    q = apply_rope(split_heads(x @ ws[0], num_heads), at[:, None, None], theta)
    k = apply_rope(split_heads(x @ ws[1], groups), at[:, None, None], theta)
    v = split_heads(x @ ws[2], groups)
    if keep is None:
        keep = torch.arange(keys.shape[2], device=x.device) < lengths[:, None]
        keep = torch.cat((keep, torch.ones_like(keep[:, :1])), 1)
    spread = spread or (lambda t: t.repeat_interleave(num_heads // groups, 1))
    all_k, all_v = spread(torch.cat((keys, k), 2)), spread(torch.cat((values, v), 2))
    out = scaled_dot_product_attention(q, all_k, all_v, keep[:, None, None])
    return merge_heads(out) @ ws[3], k, v


@answer("positions restart at zero")
def decode_step__arange_one(x, keys, values, lengths, wq, wk, wv, wo, num_heads, theta=10_000.0):
    return _step(x, keys, values, lengths, (wq, wk, wv, wo), num_heads, theta, at=0 * lengths)


@answer("one position for all rows")
def decode_step__room(x, keys, values, lengths, wq, wk, wv, wo, num_heads, theta=10_000.0):
    at = torch.full_like(lengths, keys.shape[2])
    return _step(x, keys, values, lengths, (wq, wk, wv, wo), num_heads, theta, at=at)


@answer("one position off")
def decode_step__next(x, keys, values, lengths, wq, wk, wv, wo, num_heads, theta=10_000.0):
    return _step(x, keys, values, lengths, (wq, wk, wv, wo), num_heads, theta, at=lengths + 1)


@answer("what is left over is read")
def decode_step__no_mask(x, keys, values, lengths, wq, wk, wv, wo, num_heads, theta=10_000.0):
    keep = torch.ones(len(x), keys.shape[2] + 1, dtype=torch.bool, device=x.device)
    return _step(x, keys, values, lengths, (wq, wk, wv, wo), num_heads, theta, keep=keep)


@answer("groups by turns")
def decode_step__repeat(x, keys, values, lengths, wq, wk, wv, wo, num_heads, theta=10_000.0):
    def spread(t):
        return t.repeat(1, num_heads // t.shape[1], 1, 1)

    return _step(x, keys, values, lengths, (wq, wk, wv, wo), num_heads, theta, spread=spread)


@answer("the token does not read itself")
def decode_step__past_alone(x, keys, values, lengths, wq, wk, wv, wo, num_heads, theta=10_000.0):
    keep = torch.arange(keys.shape[2] + 1, device=x.device) < lengths[:, None]
    keep[:, -1] = False
    return _step(x, keys, values, lengths, (wq, wk, wv, wo), num_heads, theta, keep=keep)


@answer("a key that is not turned is kept")
def decode_step__raw_key(x, keys, values, lengths, wq, wk, wv, wo, num_heads, theta=10_000.0):
    out, _, v = _step(x, keys, values, lengths, (wq, wk, wv, wo), num_heads, theta)
    return out, split_heads(x @ wk, keys.shape[1]), v


@answer("another scale")
def decode_step__no_scale(x, keys, values, lengths, wq, wk, wv, wo, num_heads, theta=10_000.0):
    _checked(x, keys, num_heads)
    g, s = keys.shape[1], keys.shape[2]
    q = apply_rope(split_heads(x @ wq, num_heads), lengths[:, None, None], theta)
    k = apply_rope(split_heads(x @ wk, g), lengths[:, None, None], theta)
    v = split_heads(x @ wv, g)
    q = q.unflatten(1, (g, -1)).flatten(2, 3)
    keep = torch.arange(s + 1, device=x.device) < lengths[:, None]
    keep[:, s] = True
    w = masked_softmax(q @ torch.cat((keys, k), 2).mT, keep[:, None, None])
    out = w @ torch.cat((values, v), 2)
    return out.reshape(len(x), 1, -1) @ wo, k, v


# Chunks


def _prefill(x, wq, wk, wv, wo, heads, chunk, theta, place=None, mask=causal_mask, cut=None):
    if chunk < 1:
        raise ValueError("chunk")
    d = wq.shape[1] // heads
    g = wk.shape[1] // d
    keys = values = None
    out, done = [], 0
    for piece in cut(x) if cut else x.split(chunk, 1):
        t = piece.shape[1]
        at = torch.arange(done, done + t, device=x.device) if place is None else place(done, t)
        q = apply_rope(split_heads(piece @ wq, heads), at, theta)
        k, v = apply_rope(split_heads(piece @ wk, g), at, theta), split_heads(piece @ wv, g)
        keys = k if keys is None else torch.cat((keys, k), 2)
        values = v if values is None else torch.cat((values, v), 2)
        all_k, all_v = (s.repeat_interleave(heads // g, 1) for s in (keys, values))
        h = scaled_dot_product_attention(q, all_k, all_v, mask(t, keys.shape[2]))
        out.append(merge_heads(h) @ wo)
        done += t
    return torch.cat(out, 1), keys, values


@answer("positions restart in each chunk")
def chunked_prefill__from_zero(x, wq, wk, wv, wo, heads, chunk, theta=10_000.0):
    place = lambda done, t: torch.arange(t, device=x.device)  # noqa: E731
    return _prefill(x, wq, wk, wv, wo, heads, chunk, theta, place=place)


@answer("the triangle in the upper left")
def chunked_prefill__tril(x, wq, wk, wv, wo, heads, chunk, theta=10_000.0):
    mask = lambda t, n: torch.ones(t, n, dtype=torch.bool, device=x.device).tril()  # noqa: E731
    return _prefill(x, wq, wk, wv, wo, heads, chunk, theta, mask=mask)


@answer("nothing hidden within a chunk")
def chunked_prefill__no_mask(x, wq, wk, wv, wo, heads, chunk, theta=10_000.0):
    return _prefill(x, wq, wk, wv, wo, heads, chunk, theta, mask=lambda t, n: None)


@answer("the tail is lost")
def chunked_prefill__whole_chunks(x, wq, wk, wv, wo, heads, chunk, theta=10_000.0):
    n = max(x.shape[1] // max(chunk, 1), 1)
    cut = lambda x: [x[:, i * chunk : (i + 1) * chunk] for i in range(n)]  # noqa: E731
    return _prefill(x, wq, wk, wv, wo, heads, chunk, theta, cut=cut)


@answer("the chunk by itself")
def chunked_prefill__short_prompts(x, wq, wk, wv, wo, heads, chunk, theta=10_000.0):
    def mask(t, n):
        keep = causal_mask(t, n, device=x.device).clone()
        keep[:, : n - t] = False
        return keep

    return _prefill(x, wq, wk, wv, wo, heads, chunk, theta, mask=mask)


@answer("keys and values exchanged")
def chunked_prefill__values_first(x, wq, wk, wv, wo, heads, chunk, theta=10_000.0):
    out, keys, values = _prefill(x, wq, wk, wv, wo, heads, chunk, theta)
    return out, values, keys


@answer("another theta")
def chunked_prefill__default_theta(x, wq, wk, wv, wo, heads, chunk, theta=10_000.0):
    return _prefill(x, wq, wk, wv, wo, heads, chunk, 10_000.0)


# Writing


def _write(model, prompts, chances, stop, cuts=(1.0, None, None), **other):
    if len(prompts) != len(chances) or not all(len(p) for p in prompts):
        raise ValueError("prompts")
    part = {
        "first": lambda rows: torch.cat(
            [model(p[None], rows[b, None]) for b, p in enumerate(prompts)]
        ),
        "again": lambda text, rows: model(text[-1][:, None], rows),
        "chance": lambda s: chances[:, s],
        "hits": lambda new: torch.isin(new, stop),
        "fill": lambda new, old, done: torch.where(done, old, new),
        "enough": lambda done: done.all(),
    } | other
    rows = torch.arange(len(prompts), device=chances.device)
    done, text = torch.zeros_like(rows).bool(), []
    lengths = torch.zeros_like(rows)
    for s in range(chances.shape[1]):
        logits = part["again"](text, rows) if text else part["first"](rows)
        new = sample(logits, part["chance"](s), *cuts)
        new = part["fill"](new, text[-1], done) if text else new
        text.append(new)
        lengths = lengths + ~done
        done = done | part["hits"](new)
        if part["enough"](done):
            break
    if not text:
        return torch.zeros(len(prompts), 0, dtype=torch.long, device=chances.device), lengths
    return torch.stack(text, 1), lengths


@answer("everything is read again")
def generate__as_in_chapter_8(m, prompts, chances, stop, temperature=1.0, top_k=None, top_p=None):
    def again(text, rows):
        whole = [torch.cat((p, torch.stack(text, 1)[b])) for b, p in enumerate(prompts)]
        return torch.cat([m(w[None], rows[b, None]) for b, w in enumerate(whole)])

    return _write(m, prompts, chances, stop, (temperature, top_k, top_p), again=again)


@answer("padding read as content")
def generate__pad_sequence(m, prompts, chances, stop, temperature=1.0, top_k=None, top_p=None):
    def first(rows):
        return m(torch.nn.utils.rnn.pad_sequence(list(prompts), batch_first=True), rows)

    return _write(m, prompts, chances, stop, (temperature, top_k, top_p), first=first)


@answer("the same chance in every step")
def generate__column_zero(m, prompts, chances, stop, temperature=1.0, top_k=None, top_p=None):
    cuts = temperature, top_k, top_p
    return _write(m, prompts, chances, stop, cuts, chance=lambda s: chances[:, 0])


@answer("one chance for all rows")
def generate__row_zero(m, prompts, chances, stop, temperature=1.0, top_k=None, top_p=None):
    cuts = temperature, top_k, top_p
    return _write(
        m, prompts, chances, stop, cuts, chance=lambda s: chances[0, s].expand(len(chances))
    )


@answer("neither top_k nor top_p")
def generate__temperature_alone(m, prompts, chances, stop, temperature=1.0, top_k=None, top_p=None):
    return _write(m, prompts, chances, stop, (temperature, None, None))


@answer("the first stop token alone")
def generate__stop_zero(m, prompts, chances, stop, temperature=1.0, top_k=None, top_p=None):
    def hits(new):
        return new == stop[0] if stop.numel() else torch.zeros_like(new).bool()

    return _write(m, prompts, chances, stop, (temperature, top_k, top_p), hits=hits)


@answer("it goes on after the end")
def generate__no_fill(m, prompts, chances, stop, temperature=1.0, top_k=None, top_p=None):
    cuts = temperature, top_k, top_p
    return _write(m, prompts, chances, stop, cuts, fill=lambda new, old, done: new)


@answer("one end ends all")
def generate__any(m, prompts, chances, stop, temperature=1.0, top_k=None, top_p=None):
    cuts = temperature, top_k, top_p
    return _write(m, prompts, chances, stop, cuts, enough=lambda done: done.any())


@answer("a length without its end")
def generate__before_the_end(m, prompts, chances, stop, temperature=1.0, top_k=None, top_p=None):
    written, _ = _write(m, prompts, chances, stop, (temperature, top_k, top_p))
    return written, (~torch.isin(written, stop)).cumprod(1).sum(1)


@answer("the tokens alone")
def generate__no_lengths(m, prompts, chances, stop, temperature=1.0, top_k=None, top_p=None):
    return _write(m, prompts, chances, stop, (temperature, top_k, top_p))[0]
