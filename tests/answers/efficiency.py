"""Answers to chapter 13's exercises: right ones in other styles than the reference, and wrong ones
that are no trap."""

import math

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

# A scale for each row


def absmax_by_norm(weight, bits=8, dim=None):
    _bits(bits)
    wide = weight if weight.dtype == torch.float64 else weight.float()
    if dim is None:
        scale = torch.linalg.vector_norm(wide.flatten(), torch.inf)
    else:
        scale = torch.linalg.vector_norm(wide, torch.inf, dim=dim, keepdim=True)
    scale = scale / (2 ** (bits - 1) - 1)
    n = torch.where(scale == 0, torch.zeros_like(wide), wide / scale).round()
    return n.to(torch.int8), scale


def absmax_from_both_ends(weight, bits=8, dim=None):
    _bits(bits)
    wide = weight.to(torch.promote_types(weight.dtype, torch.float32))
    if dim is None:
        most = torch.maximum(wide.max(), -wide.min())
    else:
        most = torch.maximum(wide.amax(dim, True), -wide.amin(dim, True))
    scale = most / ((1 << (bits - 1)) - 1)
    n = torch.nan_to_num(wide / scale, nan=0.0)
    return torch.round(n).char(), scale


def absmax_by_floor(weight, bits=8, dim=None):
    _bits(bits)
    wide = weight.to(torch.promote_types(weight.dtype, torch.float32))
    size = wide.abs()
    scale = (size.max() if dim is None else size.max(dim, keepdim=True).values) / (
        2 ** (bits - 1) - 1
    )
    steps = (size / scale.clamp(min=torch.finfo(wide.dtype).tiny) + 0.5).floor()
    return (steps * wide.sign()).to(torch.int8), scale


def absmax_row_by_row(weight, bits=8, dim=None):
    _bits(bits)
    if dim is None:
        return absmax_by_norm(weight, bits)
    rows = weight.movedim(dim, -1)
    found = [absmax_by_norm(row, bits) for row in rows.reshape(-1, rows.shape[-1]).unbind()]
    n = torch.stack([n for n, _ in found]).reshape(rows.shape).movedim(-1, dim)
    scale = torch.stack([s for _, s in found]).reshape(*rows.shape[:-1], 1).movedim(-1, dim)
    return n, scale


def absmax_numpy(weight, bits=8, dim=None):
    _bits(bits)
    w = weight.detach().cpu()
    w = (w if w.dtype == torch.float64 else w.float()).numpy()
    scale = np.abs(w).max(axis=dim, keepdims=dim is not None) / w.dtype.type(2 ** (bits - 1) - 1)
    n = np.rint(w / np.where(scale > 0, scale, 1)).astype(np.int8)
    return torch.from_numpy(n), torch.from_numpy(np.asarray(scale, w.dtype))


def _absmax_root_mean_square(weight, bits=8, dim=None):
    """Three deviations are the last step."""
    _bits(bits)
    wide = weight.to(torch.promote_types(weight.dtype, torch.float32)).square()
    mean = wide.mean() if dim is None else wide.mean(dim, keepdim=True)
    most = 2 ** (bits - 1) - 1
    scale = 3 * mean.sqrt() / most
    steps = weight / scale.where(scale > 0, 1)
    return steps.round().clamp(-most, most).to(torch.int8), scale


def _absmax_powers_of_two(weight, bits=8, dim=None):
    scale = absmax_by_norm(weight, bits, dim)[1]
    wide = weight.to(scale.dtype)
    rounded = 2 ** scale.log2().ceil()
    return (wide / rounded.where(scale > 0, 1)).round().to(torch.int8), rounded.where(scale > 0, 0)


def _absmax_of_a_matrix(weight, bits=8, dim=None):
    rows, columns = weight.shape
    return absmax_by_norm(weight.view(rows, columns), bits, dim)


def _absmax_second_largest(weight, bits=8, dim=None):
    _bits(bits)
    wide = weight.to(torch.promote_types(weight.dtype, torch.float32))
    size = wide.abs()
    flat = size.flatten() if dim is None else size.movedim(dim, -1)
    most = flat.sort(-1).values[..., -2 if flat.shape[-1] > 1 else -1]
    scale = (most if dim is None else most.unsqueeze(dim)) / (2 ** (bits - 1) - 1)
    last = 2 ** (bits - 1) - 1
    return (wide / scale.where(scale > 0, 1)).round().clamp(-last, last).to(torch.int8), scale


# Groups


def groups_by_aminmax(weight, bits=4, group_size=32):
    _bits(bits)
    _divides(weight, group_size)
    wide = weight.to(torch.promote_types(weight.dtype, torch.float32))
    groups = wide.reshape(*wide.shape[:-1], wide.shape[-1] // group_size, group_size)
    low, high = torch.aminmax(groups, dim=-1)
    scale = (high - low) / (2**bits - 1)
    inverse = torch.where(scale > 0, 1 / scale, 0)
    n = ((groups - low[..., None]) * inverse[..., None]).round()
    return n.reshape(wide.shape).to(torch.uint8), scale, low


def groups_repeated(weight, bits=4, group_size=32):
    _bits(bits)
    _divides(weight, group_size)
    wide = weight if weight.dtype == torch.float64 else weight.float()
    parts = wide.split(group_size, dim=-1)
    low = torch.stack([p.min(-1).values for p in parts], -1)
    high = torch.stack([p.max(-1).values for p in parts], -1)
    scale = (high - low) / (2**bits - 1)
    each, floor = (t.repeat_interleave(group_size, -1) for t in (scale, low))
    n = torch.where(each == 0, 0, (wide - floor) / each)
    return (n + 0.5).floor().to(torch.uint8), scale, low


def groups_one_by_one(weight, bits=4, group_size=32):
    _bits(bits)
    _divides(weight, group_size)
    n, scales, lows = [], [], []
    for group in weight.reshape(-1, group_size).unbind():
        wide = group.to(torch.promote_types(group.dtype, torch.float32))
        low = wide.min()
        scale = (wide.max() - low) / (2**bits - 1)
        n.append(torch.nan_to_num((wide - low) / scale, nan=0.0).round().byte())
        scales.append(scale)
        lows.append(low)
    shape = (*weight.shape[:-1], weight.shape[-1] // group_size)
    return (
        torch.stack(n).reshape(weight.shape),
        torch.stack(scales).reshape(shape),
        torch.stack(lows).reshape(shape),
    )


def groups_numpy(weight, bits=4, group_size=32):
    _bits(bits)
    _divides(weight, group_size)
    w = weight.detach().cpu()
    w = (w if w.dtype == torch.float64 else w.float()).numpy()
    groups = w.reshape(*w.shape[:-1], -1, group_size)
    low = groups.min(-1)
    scale = (groups.max(-1) - low) / w.dtype.type(2**bits - 1)
    n = np.rint((groups - low[..., None]) / np.where(scale > 0, scale, 1)[..., None])
    return tuple(map(torch.from_numpy, (n.reshape(w.shape).astype(np.uint8), scale, low)))


def _groups_without_outliers(weight, bits=4, group_size=32):
    """The outermost number of each group is cut off."""
    n, scale, low = groups_by_aminmax(weight, bits, group_size)
    if group_size < 3:
        return n, scale, low
    groups = weight.to(scale.dtype).unflatten(-1, (-1, group_size)).sort(-1).values[..., 1:-1]
    low, high = groups[..., 0], groups[..., -1]
    scale = (high - low) / (2**bits - 1)
    wide = weight.to(scale.dtype).unflatten(-1, (-1, group_size)) - low[..., None]
    n = (wide / scale.where(scale > 0, 1)[..., None]).round().clamp(0, 2**bits - 1)
    return n.flatten(-2).byte(), scale, low


def _groups_zero_kept(weight, bits=4, group_size=32):
    """Zero is always inside of the range."""
    _bits(bits)
    _divides(weight, group_size)
    wide = weight.to(torch.promote_types(weight.dtype, torch.float32))
    groups = wide.unflatten(-1, (-1, group_size))
    low, high = groups.amin(-1).clamp(max=0), groups.amax(-1).clamp(min=0)
    scale = (high - low) / (2**bits - 1)
    n = ((groups - low[..., None]) / scale.where(scale > 0, 1)[..., None]).round()
    return n.flatten(-2).byte(), scale, low


def _groups_of_a_matrix(weight, bits=4, group_size=32):
    rows, columns = weight.shape
    return groups_by_aminmax(weight.view(rows, columns), bits, group_size)


# Back again


def back_by_repeating(n, scale, minimum=None):
    if scale.ndim:
        groups, columns = scale.shape[-1], n.shape[-1]
        if not groups or columns % groups:
            raise ValueError("groups that do not divide a row")
        scale = scale.repeat_interleave(columns // groups, -1)
        minimum = None if minimum is None else minimum.repeat_interleave(columns // groups, -1)
    out = n.to(scale.dtype) * scale
    return out if minimum is None else out + minimum


def back_by_index(n, scale, minimum=None):
    if not scale.ndim:
        return back_by_repeating(n, scale, minimum)
    groups, columns = scale.shape[-1], n.shape[-1]
    if not groups or columns % groups:
        raise ValueError("groups that do not divide a row")
    where = torch.arange(columns, device=n.device) // (columns // groups)
    out = n.to(scale.dtype) * scale[..., where]
    return out if minimum is None else out + minimum[..., where]


def back_in_pieces(n, scale, minimum=None):
    if not scale.ndim:
        return back_by_repeating(n, scale, minimum)
    groups, columns = scale.shape[-1], n.shape[-1]
    if not groups or columns % groups:
        raise ValueError("groups that do not divide a row")
    pieces = []
    for g, piece in enumerate(n.split(columns // groups, -1)):
        part = piece * scale[..., g : g + 1]
        pieces.append(part if minimum is None else part + minimum[..., g : g + 1])
    return torch.cat(pieces, -1)


def back_by_addcmul(n, scale, minimum=None):
    if scale.ndim and (not scale.shape[-1] or n.shape[-1] % scale.shape[-1]):
        raise ValueError("groups that do not divide a row")
    groups = n.to(scale.dtype)
    if not scale.ndim:
        return groups * scale if minimum is None else torch.addcmul(minimum, groups, scale)
    groups = groups.unflatten(-1, (scale.shape[-1], -1))
    low = torch.zeros_like(scale) if minimum is None else minimum
    return torch.addcmul(low[..., None], groups, scale[..., None]).flatten(-2)


def back_numpy(n, scale, minimum=None):
    if scale.ndim and (not scale.shape[-1] or n.shape[-1] % scale.shape[-1]):
        raise ValueError("groups that do not divide a row")
    s = scale.detach().cpu().double().numpy()
    m = 0.0 if minimum is None else minimum.detach().cpu().double().numpy()
    if s.ndim:
        share = n.shape[-1] // s.shape[-1]
        s = np.repeat(s, share, -1)
        m = np.repeat(m, share, -1) if minimum is not None else m
    return torch.from_numpy(np.asarray(n.cpu().numpy() * s + m)).to(scale.dtype)


def _back_absolute(n, scale, minimum=None):
    return back_by_repeating(n.abs() if n.dtype != torch.uint8 else n, scale, minimum)


def _back_one_higher(n, scale, minimum=None):
    return back_by_repeating(n + 1, scale, minimum)


def _back_of_a_matrix(n, scale, minimum=None):
    rows, columns = n.shape
    return back_by_repeating(n.view(rows, columns), scale, minimum)


# Two numbers in a byte


def pack_by_sum(n):
    _nibbles(n)
    half = n.shape[-1] // 2
    wide = n.long()
    return (wide[..., :half] + 16 * wide[..., half:]).to(torch.uint8)


def pack_by_view(n):
    _nibbles(n)
    low, high = n.byte().unflatten(-1, (2, -1)).unbind(-2)
    return torch.bitwise_or(low, torch.bitwise_left_shift(high, 4))


def pack_by_product(n):
    _nibbles(n)
    pairs = n.int().unflatten(-1, (2, -1))
    worth = torch.tensor([[1], [16]], dtype=torch.int32, device=n.device)
    return (pairs * worth).sum(-2).to(torch.uint8)


def pack_numpy(n):
    _nibbles(n)
    a = n.cpu().numpy().astype(np.uint8)
    half = a.shape[-1] // 2
    return torch.from_numpy(a[..., :half] | (a[..., half:] << 4))


def _pack_gray(n):
    _nibbles(n)
    return pack_by_sum(n.long() ^ (n.long() >> 1))


def _pack_inverted(n):
    _nibbles(n)
    return 255 - pack_by_sum(n)


def _pack_of_a_matrix(n):
    rows, columns = n.shape
    return pack_by_sum(n.view(rows, columns))


# Blocks of a file


def blocks_by_slices(data, kind):
    size = _size_of(data, kind)
    out = []
    for block in data.split(size, -1):
        d = block[..., :2].contiguous().view(torch.float16).float()
        if kind == "Q8_0":
            out.append(block[..., 2:].contiguous().view(torch.int8).float() * d)
            continue
        m = block[..., 2:4].contiguous().view(torch.float16).float()
        packed = block[..., 4:].int()
        out.append(torch.cat((packed % 16, packed // 16), -1).float() * d + m)
    return torch.cat(out, -1)


def blocks_by_arithmetic(data, kind):
    """The halves put together from their bits."""
    size = _size_of(data, kind)
    blocks = data.long().unflatten(-1, (-1, size))

    def half(at):
        bits = blocks[..., at] + 256 * blocks[..., at + 1]
        sign, exponent, rest = bits >> 15, (bits >> 10) & 31, (bits & 1023).double()
        number = torch.where(
            exponent == 0,
            rest * 2.0**-24,
            (1 + rest / 1024) * torch.exp2(exponent.double() - 15),
        )
        return (number * (1 - 2 * sign)).float()[..., None]

    if kind == "Q8_0":
        n = blocks[..., 2:]
        return (half(0) * (n - 256 * (n > 127))).flatten(-2)
    n = torch.cat((blocks[..., 4:] & 15, blocks[..., 4:] >> 4), -1)
    return (half(0) * n + half(2)).flatten(-2)


def blocks_stacked(data, kind):
    size = _size_of(data, kind)
    blocks = data.reshape(*data.shape[:-1], data.shape[-1] // size, size)
    count = 2 if kind == "Q4_1" else 1
    head = blocks[..., : 2 * count].clone(memory_format=torch.contiguous_format)
    head = head.view(torch.float16).float()
    body = blocks[..., 2 * count :]
    if kind == "Q4_1":
        n = torch.stack((body.bitwise_and(15), body.bitwise_right_shift(4)), -2).flatten(-2)
        x = torch.addcmul(head[..., 1:], n.float(), head[..., :1])
    else:
        x = (body.short() - 256 * (body > 127)).float() * head
    return x.reshape(*data.shape[:-1], -1)


def blocks_numpy(data, kind):
    size = _size_of(data, kind)
    a = np.ascontiguousarray(data.cpu().numpy()).reshape(*data.shape[:-1], -1, size)
    d = np.ascontiguousarray(a[..., :2]).view(np.float16).astype(np.float32)
    if kind == "Q8_0":
        x = np.ascontiguousarray(a[..., 2:]).view(np.int8).astype(np.float32) * d
    else:
        m = np.ascontiguousarray(a[..., 2:4]).view(np.float16).astype(np.float32)
        x = np.concatenate((a[..., 4:] & 15, a[..., 4:] >> 4), -1).astype(np.float32) * d + m
    return torch.from_numpy(x.reshape(*data.shape[:-1], -1))


def _blocks_reversed(data, kind):
    return blocks_by_slices(data, kind).unflatten(-1, (-1, 32)).flip(-1).flatten(-2)


def _blocks_without_view(data, kind):
    rows, columns = data.shape
    return blocks_by_slices(data.view(rows, columns), kind)


def _blocks_scale_squared(data, kind):
    size = _size_of(data, kind)
    d = data.unflatten(-1, (-1, size))[..., :2].contiguous().view(torch.float16).float()
    return (blocks_by_slices(data, kind).unflatten(-1, (-1, 32)) * d).flatten(-2)


# Bytes


def bytes_by_ceil(shapes, bits, group_size=None, per_group=1):
    _sizes(bits, group_size)
    whole = 0
    for shape in shapes:
        number = math.prod(shape)
        if len(shape) <= 1:
            whole += number * 4
        else:
            columns = shape[-1]
            rows = number // columns
            groups = (columns + (group_size or columns) - 1) // (group_size or columns)
            scales = groups * per_group * 2 if bits < 16 else 0
            whole += rows * ((columns * bits + 7) // 8 + scales)
    return whole


def bytes_row_by_row(shapes, bits, group_size=None, per_group=1):
    _sizes(bits, group_size)

    def row(columns):
        full, rest = divmod(columns * bits, 8)
        size = full + (rest > 0)
        if bits >= 16:
            return size
        groups = 1 if group_size is None else len(range(0, columns, group_size))
        return size + 2 * per_group * groups

    matrices = sum(math.prod(s[:-1]) * row(s[-1]) for s in shapes if len(s) > 1)
    return matrices + 4 * sum(math.prod(s) for s in shapes if len(s) < 2)


def bytes_recursive(shapes, bits, group_size=None, per_group=1):
    _sizes(bits, group_size)

    def of(shape):
        if len(shape) > 2:
            return shape[0] * of(shape[1:])
        rows, columns = shape
        packed = math.ceil(columns * bits / 8)
        if bits in (16, 32):
            return rows * packed
        return rows * (packed + math.ceil(columns / (group_size or columns)) * 2 * per_group)

    return sum(of(tuple(s)) if len(s) > 1 else 4 * math.prod(s) for s in shapes)


def _bytes_aligned(shapes, bits, group_size=None, per_group=1):
    """Each row on a border of 32 bytes."""
    found = bytes_by_ceil(shapes, bits, group_size, per_group)
    return -(-found // 32) * 32


def _bytes_with_a_header(shapes, bits, group_size=None, per_group=1):
    return bytes_by_ceil(shapes, bits, group_size, per_group) + 16 * len(shapes)


def _bytes_of_parameters(shapes, bits, group_size=None, per_group=1):
    _sizes(bits, group_size)
    return sum(map(math.prod, shapes))


# Experts


def route_renormalised(logits, k, bias=None):
    _choice(k, logits)
    p = logits.softmax(-1)
    experts = torch.topk(logits if bias is None else logits + bias, k, -1)[1]
    chosen = torch.take_along_dim(p, experts, -1)
    return chosen / chosen.sum(-1, keepdim=True), experts


def route_masked(logits, k, bias=None):
    _choice(k, logits)
    preferred = logits if bias is None else logits + bias
    experts = preferred.argsort(-1, descending=True)[..., :k]
    keep = torch.zeros_like(logits, dtype=torch.bool).scatter(-1, experts, True)
    p = logits.masked_fill(~keep, -torch.inf).softmax(-1)
    return p.gather(-1, experts), experts


def route_one_by_one(logits, k, bias=None):
    _choice(k, logits)
    left = logits if bias is None else logits + bias
    numbers, chosen = [], []
    for _ in range(k):
        best = left.argmax(-1, keepdim=True)
        numbers.append(best)
        chosen.append(logits.gather(-1, best))
        left = left.scatter(-1, best, -torch.inf)
    return torch.cat(chosen, -1).softmax(-1), torch.cat(numbers, -1)


def _route_with_noise(logits, k, bias=None):
    return route_renormalised(logits + torch.randn_like(logits), k, bias)


def _route_of_a_batch(logits, k, bias=None):
    batch, tokens, number = logits.shape
    shares, experts = route_renormalised(logits.reshape(-1, number), k, bias)
    return shares.reshape(batch, tokens, k), experts.reshape(batch, tokens, k)


def _route_squared(logits, k, bias=None):
    shares, experts = route_renormalised(logits, k, bias)
    return shares.square(), experts


def balance_by_bincount(logits, experts):
    _tokens(logits, experts)
    number = logits.shape[-1]
    f = torch.bincount(experts.flatten(), minlength=number).to(logits.dtype) / experts.numel()
    p = logits.softmax(-1).reshape(-1, number).mean(0)
    return number * torch.dot(f, p)


def balance_by_one_hot(logits, experts):
    _tokens(logits, experts)
    number = logits.shape[-1]
    each = experts[..., None] == torch.arange(number, device=logits.device)
    f = each.to(logits.dtype).reshape(-1, number).mean(0)
    p = logits.log_softmax(-1).exp().reshape(-1, number).mean(0)
    return (f * p).mean() * number**2


def balance_by_gather(logits, experts):
    """The mean probability of whoever was chosen, looked up for each choice."""
    _tokens(logits, experts)
    number = logits.shape[-1]
    p = logits.softmax(-1).reshape(-1, number).mean(0)
    return number * p[experts.flatten()].mean()


def _balance_largest(logits, experts):
    _tokens(logits, experts)
    p = logits.softmax(-1).reshape(-1, logits.shape[-1]).mean(0)
    return logits.shape[-1] * p.max()


def _balance_log(logits, experts):
    return balance_by_bincount(logits, experts).log()


def _balance_of_two(logits, experts):
    tokens, number = logits.shape
    return balance_by_bincount(logits.view(tokens, number), experts)


class _Experts(nn.Module):
    def __init__(
        self, width, hidden_width, num_experts, k=2, capacity_factor=1.25, dtype=None, device=None
    ):
        super().__init__()
        if k < 1 or k > num_experts:
            raise ValueError("k")
        self.k, self.factor = k, capacity_factor
        given = {"dtype": dtype, "device": device}
        c, f, e = width, hidden_width, num_experts
        self.router = nn.Parameter(torch.randn(c, e, **given))
        self.w_gate = nn.Parameter(torch.randn(e, c, f, **given))
        self.w_in = nn.Parameter(torch.randn(e, c, f, **given))
        self.w_out = nn.Parameter(torch.randn(e, f, c, **given))

    def places(self, tokens):
        return math.ceil(self.factor * self.k * tokens / self.router.shape[1])

    def forward(self, x):
        tokens = x.reshape(-1, x.shape[-1])
        logits = tokens @ self.router
        out, lost = self.answered(tokens, *route_renormalised(logits, self.k))
        batch = x.shape[:-1]
        return out.reshape(x.shape), logits.reshape(*batch, -1), lost.reshape(batch)

    def expert(self, i, x):
        return (F.silu(x @ self.w_gate[i]) * (x @ self.w_in[i])) @ self.w_out[i]


def _queue(experts, number):
    """For each choice, how many earlier tokens have asked the same expert."""
    asked = (experts[..., None] == torch.arange(number, device=experts.device)).any(1).long()
    return (asked.cumsum(0) - asked).gather(1, experts)


class ExpertByExpert(_Experts):
    """Each expert in turn, with the first of those that ask it, found by a stable sort."""

    def answered(self, tokens, shares, experts):
        places, number = self.places(len(tokens)), self.router.shape[1]
        out = torch.zeros_like(tokens)
        lost = torch.full_like(experts[:, 0], self.k)
        for i in range(number):
            asks = experts == i
            share = (shares * asks).sum(-1)
            there = asks.any(-1)
            first = torch.sort((~there).long(), stable=True).indices[:places]
            real = there[first]
            told = self.expert(i, tokens[first]) * (share[first] * real)[:, None]
            out = out.index_add(0, first, told)
            lost = lost.index_add(0, first, -real.long())
        return out, lost


class ByProducts(_Experts):
    """To and fro by products with a matrix of zeros and ones: GShard."""

    def answered(self, tokens, shares, experts):
        places, number = self.places(len(tokens)), self.router.shape[1]
        place = _queue(experts, number)
        kept = place < places
        slot = experts * places + place
        there = slot[..., None] == torch.arange(number * places, device=tokens.device)
        there = (there & kept[..., None]).to(tokens.dtype)  # (T, k, E · places)
        asked = (there.sum(1).mT @ tokens).unflatten(0, (number, places))
        told = torch.bmm(
            F.silu(torch.bmm(asked, self.w_gate)) * torch.bmm(asked, self.w_in), self.w_out
        )
        out = (there * shares[..., None]).sum(1) @ told.flatten(0, 1)
        return out, (~kept).sum(1)


class ByRows(_Experts):
    """A table of which token has which place, filled by scatter."""

    def answered(self, tokens, shares, experts):
        places, number = self.places(len(tokens)), self.router.shape[1]
        place = _queue(experts, number)
        kept = place < places
        bin_ = number * places
        slot = torch.where(kept, experts * places + place, bin_)
        who = torch.full((bin_ + 1,), len(tokens), device=tokens.device)
        rows = torch.arange(len(tokens), device=tokens.device)[:, None].expand(slot.shape)
        who = who.scatter(0, slot.flatten(), rows.flatten())[:-1]
        padded = torch.cat((tokens, torch.zeros_like(tokens[:1])))
        asked = padded[who].reshape(number, places, tokens.shape[1])
        told = torch.einsum("epc,ecf->epf", asked, self.w_gate)
        told = F.silu(told) * torch.einsum("epc,ecf->epf", asked, self.w_in)
        told = torch.einsum("epf,efc->epc", told, self.w_out).reshape(bin_, -1)
        told = torch.cat((told, torch.zeros_like(tokens[:1])))
        out = sum(shares[:, i, None] * told[slot[:, i]] for i in range(self.k))
        return out, self.k - kept.sum(1)


class EveryExpertForEveryToken(_Experts):
    """Right, and all experts work for all tokens."""

    def answered(self, tokens, shares, experts):
        places, number = self.places(len(tokens)), self.router.shape[1]
        kept = _queue(experts, number) < places
        share = torch.zeros(len(tokens), number, dtype=shares.dtype, device=shares.device)
        share = share.scatter(1, experts, shares * kept)
        told = torch.stack([self.expert(i, tokens) for i in range(number)], 1)
        return (share[..., None] * told).sum(1), (~kept).sum(1)


class OnlyThoseThatAsk(_Experts):
    """Right, with a shape that hangs on numbers."""

    def answered(self, tokens, shares, experts):
        places, number = self.places(len(tokens)), self.router.shape[1]
        kept = _queue(experts, number) < places
        out = torch.zeros_like(tokens)
        for i in range(number):
            rows, choice = torch.nonzero((experts == i) & kept, as_tuple=True)
            told = self.expert(i, tokens[rows]) * shares[rows, choice, None]
            out = out.index_add(0, rows, told)
        return out, (~kept).sum(1)


class ExpertsInNumpy(_Experts):
    def answered(self, tokens, shares, experts):
        places, number = self.places(len(tokens)), self.router.shape[1]
        used, lost = [0] * number, []
        out = np.zeros(tuple(tokens.shape))
        weights = [w.detach().double().numpy() for w in (self.w_gate, self.w_in, self.w_out)]
        rows = zip(
            *(t.detach().double().numpy() for t in (tokens, shares)), experts.tolist(), strict=True
        )
        for number_of, (token, share, asked) in enumerate(rows):
            missed = 0
            for s, i in zip(share, asked, strict=True):
                if used[i] >= places:
                    missed += 1
                    continue
                used[i] += 1
                gate, inner, outer = (w[i] for w in weights)
                z = token @ gate
                out[number_of] += s * ((z / (1 + np.exp(-z)) * (token @ inner)) @ outer)
            lost.append(missed)
        return torch.from_numpy(out).to(tokens), torch.tensor(lost)


class _WithNoise(ByRows):
    def forward(self, x):
        return super().forward(x + 0.01 * torch.randn_like(x))


class _OfABatch(ByRows):
    def forward(self, x):
        batch, time, width = x.shape
        out, logits, lost = super().forward(x.reshape(batch * time, width))
        return out.view(x.shape), logits.view(batch, time, -1), lost.view(batch, time)


class _Halved(ByRows):
    def answered(self, tokens, shares, experts):
        out, lost = super().answered(tokens, shares, experts)
        return out / self.k, lost


def _bits(bits):
    if bits < 2 or bits > 8:
        raise ValueError("bits")


def _divides(weight, group_size):
    if group_size < 1 or weight.shape[-1] % group_size:
        raise ValueError("group_size")


def _nibbles(n):
    if n.shape[-1] % 2 or n.min() < 0 or n.max() > 15:
        raise ValueError("0 to 15, an even number of them")


def _size_of(data, kind):
    size = {"Q4_1": 20, "Q8_0": 34}.get(kind)
    if size is None or data.shape[-1] % size:
        raise ValueError("kind or bytes")
    return size


def _sizes(bits, group_size):
    if bits not in (*range(2, 9), 16, 32) or (group_size is not None and group_size < 1):
        raise ValueError("bits or group_size")


def _choice(k, logits):
    if k < 1 or k > logits.shape[-1]:
        raise ValueError("k")


def _tokens(logits, experts):
    if logits.shape[:-1] != experts.shape[:-1]:
        raise ValueError("tokens")


RIGHT = {
    "quantize_absmax": [
        absmax_by_norm,
        absmax_from_both_ends,
        absmax_by_floor,
        absmax_row_by_row,
        absmax_numpy,
    ],
    "quantize_groups": [groups_by_aminmax, groups_repeated, groups_one_by_one, groups_numpy],
    "dequantize": [back_by_repeating, back_by_index, back_in_pieces, back_by_addcmul],
    "pack_int4": [pack_by_sum, pack_by_view, pack_by_product, pack_numpy],
    "dequantize_blocks": [
        blocks_by_slices,
        blocks_by_arithmetic,
        blocks_stacked,
        blocks_numpy,
    ],
    "model_bytes": [bytes_by_ceil, bytes_row_by_row, bytes_recursive],
    "top_k_route": [route_renormalised, route_masked, route_one_by_one],
    "load_balance_loss": [balance_by_bincount, balance_by_one_hot, balance_by_gather],
    "MixtureOfExperts": [ExpertByExpert, ByProducts, ByRows],
}

NUMPY = {"MixtureOfExperts": ExpertsInNumpy}
"""The right values, computed outside torch."""

LIBRARY: dict = {}

WRONG = {
    "quantize_absmax": [
        _absmax_root_mean_square,
        _absmax_powers_of_two,
        _absmax_of_a_matrix,
        _absmax_second_largest,
    ],
    "quantize_groups": [_groups_without_outliers, _groups_zero_kept, _groups_of_a_matrix],
    "dequantize": [back_numpy, _back_absolute, _back_one_higher, _back_of_a_matrix],
    "pack_int4": [_pack_gray, _pack_inverted, _pack_of_a_matrix],
    "dequantize_blocks": [_blocks_reversed, _blocks_without_view, _blocks_scale_squared],
    "model_bytes": [_bytes_aligned, _bytes_with_a_header, _bytes_of_parameters],
    "top_k_route": [_route_with_noise, _route_of_a_batch, _route_squared],
    "load_balance_loss": [_balance_largest, _balance_log, _balance_of_two],
    "MixtureOfExperts": [_WithNoise, _OfABatch, _Halved],
}
"""None earns full marks."""

DEAR = {"MixtureOfExperts": [EveryExpertForEveryToken, OnlyThoseThatAsk]}
"""The right values, by more work than the contract allows."""
