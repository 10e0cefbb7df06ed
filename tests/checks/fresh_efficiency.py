"""Chapter 13's wrong answers as people give them, by the one who wrote the checks: not blind.
Those of anew_efficiency.py are."""

import math

import torch
from fresh import answer
from torch import nn
from torch.nn import functional as F


def _bits(bits):
    if not 2 <= bits <= 8:
        raise ValueError(f"bits: {bits}")


def _fits(columns, size):
    if size < 1 or columns % size:
        raise ValueError(f"{size} in {columns}")


# quantize_absmax


# int8 by a cast
@answer("rounded toward zero")
def quantize_absmax__cast(weight, bits=8, dim=None):
    _bits(bits)
    w = weight.float() if weight.dtype in (torch.float16, torch.bfloat16) else weight
    top = w.abs().max() if dim is None else w.abs().max(dim, keepdim=True)[0]
    s = top / (2 ** (bits - 1) - 1)
    return torch.where(s == 0, 0, w / s).to(torch.int8), s


# the axis as torch's quantize_per_channel takes it
@answer("a scale on the wrong axis")
def quantize_absmax__channel(weight, bits=8, dim=None):
    _bits(bits)
    w = weight.to(torch.promote_types(weight.dtype, torch.float32))
    if dim is None:
        top = w.abs().max()
    else:
        axis = dim if dim >= 0 else w.ndim + dim
        rest = tuple(d for d in range(w.ndim) if d != axis)
        top = w.abs().amax(dim=rest, keepdim=True) if rest else w.abs()
    s = top / (2 ** (bits - 1) - 1)
    n = torch.round(w / torch.where(s == 0, torch.ones_like(s), s))
    return n.to(torch.int8), s


# 128 steps, kept inside of the byte
@answer("a step too many")
def quantize_absmax__full_range(weight, bits=8, dim=None):
    _bits(bits)
    w = weight.to(torch.promote_types(weight.dtype, torch.float32))
    top = w.abs().amax() if dim is None else w.abs().amax(dim, keepdim=True)
    half = 2 ** (bits - 1)
    s = top / half
    n = (w / s.where(s > 0, 1)).round().clamp(-half, half - 1)
    return n.to(torch.int8), s


# asymmetric: zero is where it falls
@answer("the range for a scale")
def quantize_absmax__range(weight, bits=8, dim=None):
    _bits(bits)
    w = weight.to(torch.promote_types(weight.dtype, torch.float32))
    lo, hi = (w.amin(), w.amax()) if dim is None else (w.amin(dim, True), w.amax(dim, True))
    s = (hi - lo) / (2**bits - 1)
    n = (w / s.where(s > 0, 1)).round().clamp(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    return n.to(torch.int8), s


# forgot abs
@answer("the largest number instead of the largest size")
def quantize_absmax__max(weight, bits=8, dim=None):
    _bits(bits)
    w = weight.to(torch.promote_types(weight.dtype, torch.float32))
    top = w.amax() if dim is None else w.amax(dim, keepdim=True)
    q = 2 ** (bits - 1) - 1
    s = top / q
    return (w / s.where(s > 0, 1)).round().clamp(-q, q).to(torch.int8), s


# the scale is what one multiplies by
@answer("the scale upside down")
def quantize_absmax__multiplier(weight, bits=8, dim=None):
    _bits(bits)
    w = weight.to(torch.promote_types(weight.dtype, torch.float32))
    top = w.abs().amax() if dim is None else w.abs().amax(dim, keepdim=True)
    s = (2 ** (bits - 1) - 1) / top.where(top > 0, 1)
    return (w * s).round().to(torch.int8), s


# keepdim forgotten in the returned scale
@answer("a scale without its dimension")
def quantize_absmax__flat_scale(weight, bits=8, dim=None):
    _bits(bits)
    w = weight.to(torch.promote_types(weight.dtype, torch.float32))
    top = w.abs().amax() if dim is None else w.abs().amax(dim)
    s = top / (2 ** (bits - 1) - 1)
    each = s if dim is None else s.unsqueeze(dim)
    return (w / each.where(each > 0, 1)).round().to(torch.int8), s


# a small number against the division by zero
@answer()
def quantize_absmax__epsilon(weight, bits=8, dim=None):
    _bits(bits)
    w = weight.to(torch.promote_types(weight.dtype, torch.float32))
    top = w.abs().amax() if dim is None else w.abs().amax(dim, keepdim=True)
    s = top / (2 ** (bits - 1) - 1) + 1e-5
    return (w / s).round().to(torch.int8), s


# always a byte
@answer("always eight bits")
def quantize_absmax__byte(weight, bits=8, dim=None):
    _bits(bits)
    w = weight.to(torch.promote_types(weight.dtype, torch.float32))
    top = w.abs().amax() if dim is None else w.abs().amax(dim, keepdim=True)
    s = top / 127.0
    return torch.round(w / torch.where(s > 0, s, torch.ones_like(s))).to(torch.int8), s


# round, but the type is left as it is
@answer("not stored in a byte")
def quantize_absmax__float(weight, bits=8, dim=None):
    _bits(bits)
    w = weight.to(torch.promote_types(weight.dtype, torch.float32))
    top = w.abs().amax() if dim is None else w.abs().amax(dim, keepdim=True)
    s = top / (2 ** (bits - 1) - 1)
    return torch.round(w / s.where(s > 0, 1)), s


# computed in what it came in
@answer("in half precision")
def quantize_absmax__as_it_came(weight, bits=8, dim=None):
    _bits(bits)
    top = weight.abs().amax() if dim is None else weight.abs().amax(dim, keepdim=True)
    s = top / (2 ** (bits - 1) - 1)
    return (weight / s.where(s > 0, 1)).round().to(torch.int8), s


# quantize_groups


# groups of a fixed number
@answer("as many groups as a group is large")
def quantize_groups__count(weight, bits=4, group_size=32):
    _bits(bits)
    _fits(weight.shape[-1], group_size)
    w = weight.to(torch.promote_types(weight.dtype, torch.float32))
    g = w.reshape(*w.shape[:-1], group_size, -1)
    lo, hi = g.min(-1).values, g.max(-1).values
    s = (hi - lo) / (2**bits - 1)
    n = ((g - lo[..., None]) / s.where(s > 0, 1)[..., None]).round()
    return n.reshape(w.shape).to(torch.uint8), s, lo


# (int)(x) as C does it
@answer("rounded toward zero")
def quantize_groups__int(weight, bits=4, group_size=32):
    _bits(bits)
    _fits(weight.shape[-1], group_size)
    w = weight.to(torch.promote_types(weight.dtype, torch.float32))
    g = w.unflatten(-1, (-1, group_size))
    lo, hi = g.amin(-1, True), g.amax(-1, True)
    s = (hi - lo) / (2**bits - 1)
    n = ((g - lo) / s.where(s > 0, 1)).to(torch.uint8)
    return n.flatten(-2), s[..., 0], lo[..., 0]


# a zero point as in ONNX
@answer("the minimum in steps")
def quantize_groups__zero_point(weight, bits=4, group_size=32):
    _bits(bits)
    _fits(weight.shape[-1], group_size)
    w = weight.to(torch.promote_types(weight.dtype, torch.float32))
    g = w.unflatten(-1, (-1, group_size))
    lo, hi = g.amin(-1, True), g.amax(-1, True)
    s = (hi - lo) / (2**bits - 1)
    n = ((g - lo) / s.where(s > 0, 1)).round().to(torch.uint8)
    z = (-lo / s.where(s > 0, 1)).round()
    return n.flatten(-2), s[..., 0], z[..., 0]


# symmetric, shifted by eight
@answer("both sides of zero alike")
def quantize_groups__excess(weight, bits=4, group_size=32):
    _bits(bits)
    _fits(weight.shape[-1], group_size)
    w = weight.to(torch.promote_types(weight.dtype, torch.float32))
    g = w.unflatten(-1, (-1, group_size))
    s = g.abs().amax(-1, True) / (2 ** (bits - 1) - 1)
    n = (g / s.where(s > 0, 1)).round() + 2 ** (bits - 1)
    return n.flatten(-2).to(torch.uint8), s[..., 0], (-s * 2 ** (bits - 1))[..., 0]


# 2^bits steps
@answer("a step too many")
def quantize_groups__sixteen(weight, bits=4, group_size=32):
    _bits(bits)
    _fits(weight.shape[-1], group_size)
    w = weight.to(torch.promote_types(weight.dtype, torch.float32))
    g = w.unflatten(-1, (-1, group_size))
    lo, hi = g.amin(-1, True), g.amax(-1, True)
    s = (hi - lo) / 2**bits
    n = ((g - lo) / s.where(s > 0, 1)).round().clamp(0, 2**bits - 1)
    return n.flatten(-2).to(torch.uint8), s[..., 0], lo[..., 0]


# only whole groups
@answer("groups that do not fill a row")
def quantize_groups__rest(weight, bits=4, group_size=32):
    _bits(bits)
    if group_size < 1:
        raise ValueError("group_size")
    w = weight.to(torch.promote_types(weight.dtype, torch.float32))
    whole = w.shape[-1] // group_size * group_size
    g = w[..., :whole].reshape(*w.shape[:-1], -1, group_size)
    lo, hi = g.amin(-1, True), g.amax(-1, True)
    s = (hi - lo) / (2**bits - 1)
    n = ((g - lo) / s.where(s > 0, 1)).round()
    return n.flatten(-2).to(torch.uint8), s[..., 0], lo[..., 0]


# unsigned, so the negative half is gone
@answer("negative numbers cut off")
def quantize_groups__relu(weight, bits=4, group_size=32):
    _bits(bits)
    _fits(weight.shape[-1], group_size)
    w = weight.to(torch.promote_types(weight.dtype, torch.float32))
    g = w.unflatten(-1, (-1, group_size))
    lo, hi = g.amin(-1, True), g.amax(-1, True)
    s = (hi - lo) / (2**bits - 1)
    n = (g / s.where(s > 0, 1)).round().clamp(0, 2**bits - 1)
    return n.flatten(-2).to(torch.uint8), s[..., 0], lo[..., 0]


# dequantize


@answer("scales in turn")
def dequantize__repeat(n, scale, minimum=None):
    if scale.ndim:
        if n.shape[-1] % scale.shape[-1]:
            raise ValueError("groups")
        times = [1] * (scale.ndim - 1) + [n.shape[-1] // scale.shape[-1]]
        scale = scale.repeat(times)
        minimum = minimum.repeat(times) if minimum is not None else None
    x = n * scale
    return x + minimum if minimum is not None else x


@answer("the minimum before the scale")
def dequantize__zero(n, scale, minimum=None):
    if scale.ndim:
        if n.shape[-1] % scale.shape[-1]:
            raise ValueError("groups")
        k = n.shape[-1] // scale.shape[-1]
        scale = scale.repeat_interleave(k, -1)
        minimum = minimum.repeat_interleave(k, -1) if minimum is not None else None
    return n * scale if minimum is None else (n - minimum) * scale


@answer("single precision whatever the scale is in")
def dequantize__float(n, scale, minimum=None):
    x = n.float()
    if scale.ndim:
        if n.shape[-1] % scale.shape[-1]:
            raise ValueError("groups")
        x = x.unflatten(-1, (scale.shape[-1], -1)) * scale.float()[..., None]
        x = x if minimum is None else x + minimum.float()[..., None]
        return x.flatten(-2)
    x = x * scale.float()
    return x if minimum is None else x + minimum.float()


@answer("groups that do not fill a row")
def dequantize__ceil(n, scale, minimum=None):
    if scale.ndim:
        columns = n.shape[-1]
        k = math.ceil(columns / scale.shape[-1])
        scale = scale.repeat_interleave(k, -1)[..., :columns]
        minimum = None if minimum is None else minimum.repeat_interleave(k, -1)[..., :columns]
    return n * scale if minimum is None else n * scale + minimum


@answer("cut off from learning")
def dequantize__no_grad(n, scale, minimum=None):
    if scale.ndim and n.shape[-1] % scale.shape[-1]:
        raise ValueError("groups")
    with torch.no_grad():
        if not scale.ndim:
            return n * scale if minimum is None else n * scale + minimum
        k = n.shape[-1] // scale.shape[-1]
        x = n * scale.repeat_interleave(k, -1)
        return x if minimum is None else x + minimum.repeat_interleave(k, -1)


# pack_int4


@answer("neighbours in a byte")
def pack_int4__even_odd(n):
    if n.shape[-1] % 2 or n.min() < 0 or n.max() > 15:
        raise ValueError("n")
    return (n[..., 0::2] | (n[..., 1::2] << 4)).to(torch.uint8)


@answer("nibbles swapped")
def pack_int4__high_first(n):
    if n.shape[-1] % 2 or n.min() < 0 or n.max() > 15:
        raise ValueError("n")
    half = n.shape[-1] // 2
    n = n.to(torch.uint8)
    return (n[..., :half] << 4) | n[..., half:]


@answer("clipped instead of refused")
def pack_int4__clamp(n):
    if n.shape[-1] % 2:
        raise ValueError("n")
    low, high = n.clamp(0, 15).to(torch.uint8).chunk(2, -1)
    return low | (high << 4)


@answer("two's complement")
def pack_int4__signed(n):
    if n.shape[-1] % 2:
        raise ValueError("n")
    n = n.to(torch.int32) & 0xF
    low, high = n.chunk(2, -1)
    return (low | (high << 4)).to(torch.uint8)


@answer("numbers are not looked at")
def pack_int4__trusting(n):
    if n.shape[-1] % 2:
        raise ValueError("n")
    low, high = n.long().chunk(2, -1)
    return (low | (high << 4)).to(torch.uint8)


@answer("an odd row filled up")
def pack_int4__padded(n):
    if n.min() < 0 or n.max() > 15:
        raise ValueError("n")
    if n.shape[-1] % 2:
        n = F.pad(n, (0, 1))
    low, high = n.to(torch.uint8).chunk(2, -1)
    return low | (high << 4)


# dequantize_blocks


def _blocks(data, kind):
    size = {"Q4_1": 20, "Q8_0": 34}.get(kind)
    if size is None or data.shape[-1] % size:
        raise ValueError(kind)
    return data.unflatten(-1, (-1, size))


def _half(two):
    return two.contiguous().view(torch.float16).to(torch.float32)


@answer("neighbours in a byte")
def dequantize_blocks__stack(data, kind):
    b = _blocks(data, kind)
    if kind == "Q8_0":
        return (b[..., 2:].contiguous().view(torch.int8) * _half(b[..., :2])).flatten(-2)
    p = b[..., 4:]
    n = torch.stack((p & 15, p >> 4), -1).flatten(-2)
    return (n * _half(b[..., :2]) + _half(b[..., 2:4])).flatten(-2)


@answer("bytes without a sign")
def dequantize_blocks__unsigned(data, kind):
    b = _blocks(data, kind)
    if kind == "Q8_0":
        return (b[..., 2:].float() * _half(b[..., :2])).flatten(-2)
    p = b[..., 4:]
    n = torch.cat((p & 15, p >> 4), -1)
    return (n * _half(b[..., :2]) + _half(b[..., 2:4])).flatten(-2)


@answer("eight taken off")
def dequantize_blocks__q4_0(data, kind):
    b = _blocks(data, kind)
    if kind == "Q8_0":
        return (b[..., 2:].contiguous().view(torch.int8) * _half(b[..., :2])).flatten(-2)
    p = b[..., 4:]
    n = torch.cat((p & 15, p >> 4), -1).float() - 8
    return (n * _half(b[..., :2]) + _half(b[..., 2:4])).flatten(-2)


@answer("scale and minimum exchanged")
def dequantize_blocks__m_first(data, kind):
    b = _blocks(data, kind)
    if kind == "Q8_0":
        return (b[..., 2:].contiguous().view(torch.int8) * _half(b[..., :2])).flatten(-2)
    p = b[..., 4:]
    n = torch.cat((p & 15, p >> 4), -1)
    return (n * _half(b[..., 2:4]) + _half(b[..., :2])).flatten(-2)


@answer("computed in half precision")
def dequantize_blocks__half(data, kind):
    b = _blocks(data, kind)
    if kind == "Q8_0":
        d = b[..., :2].contiguous().view(torch.float16)
        return (b[..., 2:].contiguous().view(torch.int8) * d).flatten(-2).float()
    d, m = (b[..., i : i + 2].contiguous().view(torch.float16) for i in (0, 2))
    p = b[..., 4:]
    n = torch.cat((p & 15, p >> 4), -1)
    return (n * d + m).flatten(-2).float()


# model_bytes


def _known(bits, size):
    if bits not in (2, 3, 4, 5, 6, 7, 8, 16, 32) or (size is not None and size < 1):
        raise ValueError("bits")


@answer("scales forgotten")
def model_bytes__weights(shapes, bits, group_size=None, per_group=1):
    _known(bits, group_size)
    total = 0
    for shape in shapes:
        if len(shape) < 2:
            total += 4 * math.prod(shape)
        else:
            total += math.prod(shape[:-1]) * ((shape[-1] * bits + 7) // 8)
    return total


@answer("norms in few bits")
def model_bytes__everything(shapes, bits, group_size=None, per_group=1):
    _known(bits, group_size)
    total = 0
    for shape in shapes:
        if len(shape) < 2:
            total += -(-math.prod(shape) * bits // 8)
            continue
        rows, columns = math.prod(shape[:-1]), shape[-1]
        scales = -(-columns // (group_size or columns)) * per_group * 2 if bits < 16 else 0
        total += rows * (-(-columns * bits // 8) + scales)
    return total


@answer("one expert for all")
def model_bytes__active(shapes, bits, group_size=None, per_group=1):
    _known(bits, group_size)
    total = 0
    for shape in shapes:
        if len(shape) < 2:
            total += 4 * math.prod(shape)
            continue
        rows, columns = shape[-2:]
        scales = -(-columns // (group_size or columns)) * per_group * 2 if bits < 16 else 0
        total += rows * (-(-columns * bits // 8) + scales)
    return total


@answer("scales in another precision")
def model_bytes__float_scales(shapes, bits, group_size=None, per_group=1):
    _known(bits, group_size)
    total = 0
    for shape in shapes:
        if len(shape) < 2:
            total += 4 * math.prod(shape)
            continue
        rows, columns = math.prod(shape[:-1]), shape[-1]
        scales = -(-columns // (group_size or columns)) * per_group * 4 if bits < 16 else 0
        total += rows * (-(-columns * bits // 8) + scales)
    return total


@answer("no whole number")
def model_bytes__true_division(shapes, bits, group_size=None, per_group=1):
    _known(bits, group_size)
    total = 0.0
    for shape in shapes:
        if len(shape) < 2:
            total += 4 * math.prod(shape)
            continue
        rows, columns = math.prod(shape[:-1]), shape[-1]
        scales = math.ceil(columns / (group_size or columns)) * per_group * 2 if bits < 16 else 0
        total += rows * (math.ceil(columns * bits / 8) + scales)
    return total


# top_k_route


def _k(k, logits):
    if k < 1 or k > logits.shape[-1]:
        raise ValueError("k")


@answer("softmax before the choice")
def top_k_route__no_norm(logits, k, bias=None):
    _k(k, logits)
    p = logits.softmax(-1)
    _, experts = (logits if bias is None else logits + bias).topk(k, -1)
    return p.gather(-1, experts), experts


@answer("the bias in the shares")
def top_k_route__values(logits, k, bias=None):
    _k(k, logits)
    if bias is not None:
        logits = logits + bias
    values, experts = logits.topk(k, dim=-1)
    return values.softmax(-1), experts


@answer("shares and experts exchanged")
def top_k_route__swapped(logits, k, bias=None):
    _k(k, logits)
    experts = (logits if bias is None else logits + bias).topk(k, -1)[1]
    return experts, logits.gather(-1, experts).softmax(-1)


@answer("not the best first")
def top_k_route__sorted(logits, k, bias=None):
    _k(k, logits)
    experts = (logits if bias is None else logits + bias).topk(k, -1)[1]
    experts = torch.sort(experts, -1)[0]
    return logits.gather(-1, experts).softmax(-1), experts


@answer("the others as zeros")
def top_k_route__masked(logits, k, bias=None):
    _k(k, logits)
    experts = (logits if bias is None else logits + bias).topk(k, -1)[1]
    keep = torch.zeros_like(logits).scatter(-1, experts, 1.0)
    return (logits * keep).softmax(-1).gather(-1, experts), experts


# load_balance_loss


def _same(logits, experts):
    if logits.shape[:-1] != experts.shape[:-1]:
        raise ValueError("tokens")


@answer("fractions that sum to k")
def load_balance_loss__mixtral(logits, experts):
    _same(logits, experts)
    e = logits.shape[-1]
    p = logits.softmax(-1).reshape(-1, e)
    mask = F.one_hot(experts.reshape(-1, experts.shape[-1]), e).to(p.dtype)
    per_expert = mask.mean(0)
    return (per_expert * p.mean(0)[None]).sum() * e


@answer("softmax twice")
def load_balance_loss__probs(logits, experts):
    _same(logits, experts)
    e = logits.shape[-1]
    p = F.softmax(logits.softmax(-1), -1).reshape(-1, e).mean(0)
    f = F.one_hot(experts.reshape(-1), e).to(p.dtype).mean(0)
    return e * (f * p).sum()


@answer("the number of experts forgotten")
def load_balance_loss__plain(logits, experts):
    _same(logits, experts)
    e = logits.shape[-1]
    p = logits.softmax(-1).reshape(-1, e).mean(0)
    f = F.one_hot(experts.reshape(-1), e).to(p.dtype).mean(0)
    return (f * p).sum()


@answer("the first choices alone")
def load_balance_loss__switch(logits, experts):
    _same(logits, experts)
    e = logits.shape[-1]
    p = logits.softmax(-1).reshape(-1, e).mean(0)
    f = F.one_hot(experts[..., 0].reshape(-1), e).to(p.dtype).mean(0)
    return e * (f * p).sum()


@answer("a constant loss")
def load_balance_loss__broadcast(logits, experts):
    _same(logits, experts)
    e = logits.shape[-1]
    p = logits.softmax(-1).reshape(-1, e).mean(0, keepdim=True)
    f = F.one_hot(experts.reshape(-1), e).to(p.dtype).mean(0)[:, None]
    return e * (f * p).sum() / e * e


# MixtureOfExperts


class _Moe(nn.Module):
    def __init__(
        self, width, hidden_width, num_experts, k=2, capacity_factor=1.25, dtype=None, device=None
    ):
        super().__init__()
        if not 1 <= k <= num_experts:
            raise ValueError("k")
        self.k, self.cf, self.e = k, capacity_factor, num_experts
        c, f, e = width, hidden_width, num_experts
        for name, shape in (
            ("router", (c, e)),
            ("w_gate", (e, c, f)),
            ("w_in", (e, c, f)),
            ("w_out", (e, f, c)),
        ):
            setattr(self, name, nn.Parameter(torch.zeros(shape, dtype=dtype, device=device)))

    def capacity(self, tokens):
        return math.ceil(self.cf * self.k * tokens / self.e)

    def shares(self, logits):
        values, experts = logits.topk(self.k, -1)
        return values.softmax(-1), experts

    def place(self, experts):
        asked = torch.zeros(len(experts), self.e, dtype=torch.long, device=experts.device)
        asked = asked.scatter(1, experts, 1)
        return (asked.cumsum(0) - asked).gather(1, experts)

    def forward(self, x):
        t = x.reshape(-1, x.shape[-1])
        logits = t @ self.router
        g, experts = self.shares(logits)
        cap = self.capacity(len(t))
        place = self.place(experts)
        ok = place < cap
        slot = torch.where(ok, experts * cap + place, self.e * cap)
        box = torch.zeros(self.e * cap + 1, t.shape[1], dtype=t.dtype, device=t.device)
        box = box.index_copy(0, slot.reshape(-1), t.repeat_interleave(self.k, 0))
        h = box[:-1].view(self.e, cap, -1)
        y = (F.silu(h @ self.w_gate) * (h @ self.w_in)) @ self.w_out
        y = torch.cat((y.reshape(self.e * cap, -1), torch.zeros_like(t[:1])))[slot]
        return self.end(x, y, g, ok, logits)

    def end(self, x, y, g, ok, logits):
        out = (g[..., None] * y).sum(1)
        b = x.shape[:-1]
        return out.reshape(x.shape), logits.reshape(*b, self.e), (~ok).sum(1).reshape(b)


@answer("tokens over capacity lost silently")
class MixtureOfExperts__silent(_Moe):
    def end(self, x, y, g, ok, logits):
        out, logits, lost = super().end(x, y, g, ok, logits)
        return out, logits, torch.zeros_like(lost)


@answer("softmax before the choice")
class MixtureOfExperts__softmax_first(_Moe):
    def shares(self, logits):
        return logits.softmax(-1).topk(self.k, -1)


@answer("places rounded down")
class MixtureOfExperts__floor(_Moe):
    def capacity(self, tokens):
        return max(1, int(self.cf * self.k * tokens / self.e))


@answer("shares scaled up for what was lost")
class MixtureOfExperts__renormalised(_Moe):
    def end(self, x, y, g, ok, logits):
        g = g * ok
        g = g / g.sum(-1, keepdim=True).clamp(min=1e-9)
        return super().end(x, y, g, ok, logits)


@answer("each choice counts by itself")
class MixtureOfExperts__columns(_Moe):
    def place(self, experts):
        hot = F.one_hot(experts, self.e)
        return ((hot.cumsum(0) - 1) * hot).sum(-1)


@answer("shares not used")
class MixtureOfExperts__mean(_Moe):
    def end(self, x, y, g, ok, logits):
        return super().end(x, y, torch.full_like(g, 1 / self.k), ok, logits)


@answer("first choices first")
class MixtureOfExperts__gshard(_Moe):
    def place(self, experts):
        hot = F.one_hot(experts.mT.reshape(-1), self.e)
        place = ((hot.cumsum(0) - 1) * hot).sum(-1)
        return place.reshape(self.k, -1).mT


@answer("room for everybody")
class MixtureOfExperts__room(_Moe):
    def capacity(self, tokens):
        return tokens


@answer("the token itself for what was lost")
class MixtureOfExperts__skip(_Moe):
    def end(self, x, y, g, ok, logits):
        out, logits, lost = super().end(x, y, g, ok, logits)
        return torch.where((lost == self.k)[..., None], x, out), logits, lost


@answer("one place more or less")
class MixtureOfExperts__off_by_one(_Moe):
    def place(self, experts):
        return super().place(experts) + 1
