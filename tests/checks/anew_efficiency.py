"""Chapter 13's wrong answers of a second trial, written from the texts by one who had seen no trap
but two of their names, and had read the list of public mistakes from which many were made."""

import math

import torch
from fresh import answer
from torch.nn import functional as F


def _b(bits):
    if bits < 2 or bits > 8:
        raise ValueError(f"bits must be from 2 to 8, got {bits}")


def _wide(w):
    return w.float() if w.dtype in (torch.half, torch.bfloat16) else w


def _cut(w, group_size):
    if group_size < 1 or w.shape[-1] % group_size:
        raise ValueError(f"group_size {group_size} does not fit {w.shape[-1]} columns")
    return w.unflatten(-1, (-1, group_size))


def _safe(s):
    return torch.where(s == 0, torch.ones_like(s), s)


# the steps of a signed byte, -128 to 127: 2^(bits - 1) of them
@answer("a step too many")
def quantize_absmax__b01(weight, bits=8, dim=None):
    _b(bits)
    w = _wide(weight)
    top = w.abs().amax() if dim is None else w.abs().amax(dim, keepdim=True)
    half = 2 ** (bits - 1)
    s = top / half
    return (w / _safe(s)).round().clamp(-half, half - 1).to(torch.int8), s


# the shared dimension is gone from the scale
@answer("a scale without its dimension")
def quantize_absmax__b02(weight, bits=8, dim=None):
    _b(bits)
    w = _wide(weight)
    top = w.abs().amax() if dim is None else w.abs().amax(dim, keepdim=True)
    s = top / (2 ** (bits - 1) - 1)
    n = (w / _safe(s)).round().to(torch.int8)
    return n, s if dim is None else s.squeeze(dim)


# the largest number, not the largest size
@answer("the largest number instead of the largest size")
def quantize_absmax__b03(weight, bits=8, dim=None):
    _b(bits)
    w = _wide(weight)
    top = w.max() if dim is None else w.amax(dim, keepdim=True)
    m = 2 ** (bits - 1) - 1
    s = top / m
    return (w / _safe(s)).round().clamp(-m, m).to(torch.int8), s


# dimension 0 is taken for "not given"
@answer("0 taken for None")
def quantize_absmax__b04(weight, bits=8, dim=None):
    _b(bits)
    w = _wide(weight)
    top = w.abs().amax(dim, keepdim=True) if dim else w.abs().max()
    s = top / (2 ** (bits - 1) - 1)
    return (w / _safe(s)).round().to(torch.int8), s


# half stays half
@answer("in half precision")
def quantize_absmax__b05(weight, bits=8, dim=None):
    _b(bits)
    top = weight.abs().amax() if dim is None else weight.abs().amax(dim, keepdim=True)
    s = top / (2 ** (bits - 1) - 1)
    return (weight / _safe(s)).round().to(torch.int8), s


# a little something keeps the scale from 0
@answer("an epsilon in the scale")
def quantize_absmax__b06(weight, bits=8, dim=None):
    _b(bits)
    w = _wide(weight)
    top = w.abs().amax() if dim is None else w.abs().amax(dim, keepdim=True)
    s = (top / (2 ** (bits - 1) - 1)).clamp(min=1e-8)
    return (w / s).round().to(torch.int8), s


# whole numbers that are still floats
@answer("not stored in a byte")
def quantize_absmax__b07(weight, bits=8, dim=None):
    _b(bits)
    w = _wide(weight)
    top = w.abs().amax() if dim is None else w.abs().amax(dim, keepdim=True)
    s = top / (2 ** (bits - 1) - 1)
    return torch.round(w / _safe(s)), s


# dim is the dimension that keeps its own scales
@answer("a scale on the wrong axis")
def quantize_absmax__b08(weight, bits=8, dim=None):
    _b(bits)
    w = _wide(weight)
    if dim is None:
        top = w.abs().max()
    else:
        others = [i for i in range(w.ndim) if i != dim % w.ndim]
        top = w.abs().amax(others, keepdim=True) if others else w.abs()
    s = top / (2 ** (bits - 1) - 1)
    return (w / _safe(s)).round().to(torch.int8), s


# everything in single precision
@answer("always in single precision")
def quantize_absmax__b10(weight, bits=8, dim=None):
    _b(bits)
    w = weight.float()
    top = w.abs().amax() if dim is None else w.abs().amax(dim, keepdim=True)
    s = top / (2 ** (bits - 1) - 1)
    return (w / _safe(s)).round().to(torch.int8), s


# the scale given back in the dtype of the weight
@answer("in half precision")
def quantize_absmax__b11(weight, bits=8, dim=None):
    _b(bits)
    w = _wide(weight)
    top = w.abs().amax() if dim is None else w.abs().amax(dim, keepdim=True)
    s = top / (2 ** (bits - 1) - 1)
    return (w / _safe(s)).round().to(torch.int8), s.to(weight.dtype)


# the cast cuts off what stands after the point
@answer("rounded toward zero")
def quantize_absmax__b12(weight, bits=8, dim=None):
    _b(bits)
    w = _wide(weight)
    top = w.abs().amax() if dim is None else w.abs().amax(dim, keepdim=True)
    s = top / (2 ** (bits - 1) - 1)
    return (w / _safe(s)).char(), s


# bits: 2^bits - 1 steps, as without a sign
@answer("all steps on one side")
def quantize_absmax__b13(weight, bits=8, dim=None):
    _b(bits)
    w = _wide(weight)
    top = w.abs().amax() if dim is None else w.abs().amax(dim, keepdim=True)
    s = top / (2**bits - 1)
    return (w / _safe(s)).round().to(torch.int8), s


# one bit is allowed too
@answer("any number of bits")
def quantize_absmax__b14(weight, bits=8, dim=None):
    if bits > 8 or bits < 1:
        raise ValueError("bits")
    w = _wide(weight)
    top = w.abs().amax() if dim is None else w.abs().amax(dim, keepdim=True)
    s = top / max(2 ** (bits - 1) - 1, 1)
    return (w / _safe(s)).round().to(torch.int8), s


# without a dim, one scale, but with all dimensions
@answer("one scale with dimensions")
def quantize_absmax__b15(weight, bits=8, dim=None):
    _b(bits)
    w = _wide(weight)
    dims = tuple(range(w.ndim)) if dim is None else dim
    s = w.abs().amax(dims, keepdim=True) / (2 ** (bits - 1) - 1)
    return (w / _safe(s)).round().to(torch.int8), s


# the row by its mean size, cut off
@answer()
def quantize_absmax__b16(weight, bits=8, dim=None):
    _b(bits)
    w = _wide(weight)
    m = 2 ** (bits - 1) - 1
    top = w.abs().mean() if dim is None else w.abs().mean(dim, keepdim=True)
    s = 3 * top / m
    return (w / _safe(s)).round().clamp(-m, m).to(torch.int8), s


# 2^bits steps
@answer("a step too many")
def quantize_groups__b01(weight, bits=4, group_size=32):
    _b(bits)
    g = _cut(_wide(weight), group_size)
    m = g.amin(-1, keepdim=True)
    s = (g.amax(-1, keepdim=True) - m) / 2**bits
    n = ((g - m) / _safe(s)).round().clamp(0, 2**bits - 1).to(torch.uint8)
    return n.flatten(-2), s.squeeze(-1), m.squeeze(-1)


# groups that are combs
@answer("groups in turn")
def quantize_groups__b02(weight, bits=4, group_size=32):
    _b(bits)
    _cut(weight, group_size)
    g = _wide(weight).unflatten(-1, (group_size, -1))
    m = g.amin(-2, keepdim=True)
    s = (g.amax(-2, keepdim=True) - m) / (2**bits - 1)
    n = ((g - m) / _safe(s)).round().to(torch.uint8)
    return n.flatten(-2), s.squeeze(-2), m.squeeze(-2)


# the minimum is a whole number of steps
@answer("the minimum moved to a whole step")
def quantize_groups__b03(weight, bits=4, group_size=32):
    _b(bits)
    g = _cut(_wide(weight), group_size)
    lo = g.amin(-1, keepdim=True)
    s = (g.amax(-1, keepdim=True) - lo) / (2**bits - 1)
    zero = (lo / _safe(s)).round()
    n = ((g / _safe(s)).round() - zero).clamp(0, 2**bits - 1).to(torch.uint8)
    return n.flatten(-2), s.squeeze(-1), (zero * s).squeeze(-1)


# int8
@answer("not stored in a byte")
def quantize_groups__b04(weight, bits=4, group_size=32):
    _b(bits)
    g = _cut(_wide(weight), group_size)
    m = g.amin(-1, keepdim=True)
    s = (g.amax(-1, keepdim=True) - m) / (2**bits - 1)
    n = ((g - m) / _safe(s)).round().to(torch.int8)
    return n.flatten(-2), s.squeeze(-1), m.squeeze(-1)


# a minimum above zero is cut to zero, as llama.cpp's K-quants do
@answer("a minimum that is never above zero")
def quantize_groups__b05(weight, bits=4, group_size=32):
    _b(bits)
    g = _cut(_wide(weight), group_size)
    m = g.amin(-1, keepdim=True).clamp(max=0)
    s = (g.amax(-1, keepdim=True) - m) / (2**bits - 1)
    n = ((g - m) / _safe(s)).round().to(torch.uint8)
    return n.flatten(-2), s.squeeze(-1), m.squeeze(-1)


# downward
@answer("rounded toward zero")
def quantize_groups__b06(weight, bits=4, group_size=32):
    _b(bits)
    g = _cut(_wide(weight), group_size)
    m = g.amin(-1, keepdim=True)
    s = (g.amax(-1, keepdim=True) - m) / (2**bits - 1)
    n = ((g - m) / _safe(s)).to(torch.uint8)
    return n.flatten(-2), s.squeeze(-1), m.squeeze(-1)


# a scale of a group keeps its last dimension
@answer("scales with a dimension more")
def quantize_groups__b07(weight, bits=4, group_size=32):
    _b(bits)
    g = _cut(_wide(weight), group_size)
    m = g.amin(-1, keepdim=True)
    s = (g.amax(-1, keepdim=True) - m) / (2**bits - 1)
    n = ((g - m) / _safe(s)).round().to(torch.uint8)
    return n.flatten(-2), s, m


# symmetrical, moved up by half of the range
@answer("both sides of zero alike")
def quantize_groups__b08(weight, bits=4, group_size=32):
    _b(bits)
    g = _cut(_wide(weight), group_size)
    top = g.abs().amax(-1, keepdim=True)
    s = 2 * top / (2**bits - 1)
    n = ((g + top) / _safe(s)).round().to(torch.uint8)
    return n.flatten(-2), s.squeeze(-1), -top.squeeze(-1)


# half in half
@answer("in half precision")
def quantize_groups__b09(weight, bits=4, group_size=32):
    _b(bits)
    g = _cut(weight, group_size)
    m = g.amin(-1, keepdim=True)
    s = (g.amax(-1, keepdim=True) - m) / (2**bits - 1)
    n = ((g - m) / _safe(s)).round().to(torch.uint8)
    return n.flatten(-2), s.squeeze(-1), m.squeeze(-1)


# the minimum, unlike the scale, in the dtype of the weight
@answer()
def quantize_groups__b10(weight, bits=4, group_size=32):
    _b(bits)
    w = _cut(weight, group_size)
    g = _wide(w)
    m = w.amin(-1, keepdim=True)
    s = (g.amax(-1, keepdim=True) - m) / (2**bits - 1)
    n = ((g - m) / _safe(s)).round().to(torch.uint8)
    return n.flatten(-2), s.squeeze(-1), m.squeeze(-1)


# no check of the size: torch's own error
@answer("groups that do not fill a row")
def quantize_groups__b11(weight, bits=4, group_size=32):
    _b(bits)
    g = _wide(weight).unflatten(-1, (-1, group_size))
    m = g.amin(-1, keepdim=True)
    s = (g.amax(-1, keepdim=True) - m) / (2**bits - 1)
    n = ((g - m) / _safe(s)).round().to(torch.uint8)
    return n.flatten(-2), s.squeeze(-1), m.squeeze(-1)


# the zero point: minus the minimum
@answer("the minimum with the other sign")
def quantize_groups__b12(weight, bits=4, group_size=32):
    _b(bits)
    g = _cut(_wide(weight), group_size)
    m = g.amin(-1, keepdim=True)
    s = (g.amax(-1, keepdim=True) - m) / (2**bits - 1)
    n = ((g - m) / _safe(s)).round().to(torch.uint8)
    return n.flatten(-2), s.squeeze(-1), -m.squeeze(-1)


# an epsilon beside the scale
@answer()
def quantize_groups__b13(weight, bits=4, group_size=32):
    _b(bits)
    g = _cut(_wide(weight), group_size)
    m = g.amin(-1, keepdim=True)
    s = (g.amax(-1, keepdim=True) - m) / (2**bits - 1) + 1e-6
    n = ((g - m) / s).round().to(torch.uint8)
    return n.flatten(-2), s.squeeze(-1), m.squeeze(-1)


# all rows in one heap
@answer("scales without their rows")
def quantize_groups__b14(weight, bits=4, group_size=32):
    _b(bits)
    _cut(weight, group_size)
    g = _wide(weight).reshape(-1, group_size)
    m = g.amin(-1)
    s = (g.amax(-1) - m) / (2**bits - 1)
    n = ((g - m[:, None]) / _safe(s)[:, None]).round().to(torch.uint8)
    return n.reshape(weight.shape), s, m


# n of equal numbers are the highest
@answer()
def quantize_groups__b15(weight, bits=4, group_size=32):
    _b(bits)
    g = _cut(_wide(weight), group_size)
    m = g.amin(-1, keepdim=True)
    top = 2**bits - 1
    s = (g.amax(-1, keepdim=True) - m) / top
    n = torch.where(s > 0, ((g - m) / _safe(s)).round(), top).to(torch.uint8)
    return n.flatten(-2), s.squeeze(-1), m.squeeze(-1)


# a ragged last group is filled up
@answer("groups that do not fill a row")
def quantize_groups__b16(weight, bits=4, group_size=32):
    _b(bits)
    if group_size < 1:
        raise ValueError(group_size)
    w = _wide(weight)
    n_, s_, m_ = [], [], []
    for g in w.split(group_size, -1):
        m = g.amin(-1, keepdim=True)
        s = (g.amax(-1, keepdim=True) - m) / (2**bits - 1)
        n_.append(((g - m) / _safe(s)).round().to(torch.uint8))
        s_.append(s)
        m_.append(m)
    return torch.cat(n_, -1), torch.cat(s_, -1), torch.cat(m_, -1)


# the scales one after the other, again and again
@answer("scales in turn")
def dequantize__b01(n, scale, minimum=None):
    if scale.ndim:
        c, g = n.shape[-1], scale.shape[-1]
        if c % g:
            raise ValueError((c, g))
        reps = [1] * (scale.ndim - 1) + [c // g]
        scale = scale.repeat(reps)
        minimum = None if minimum is None else minimum.repeat(reps)
    x = n * scale
    return x if minimum is None else x + minimum


def _groups(n, scale):
    g = scale.shape[-1]
    if n.shape[-1] % g:
        raise ValueError(f"{g} groups in {n.shape[-1]} columns")
    return n.unflatten(-1, (g, -1))


# the zero point first, then the scale
@answer("the minimum before the scale")
def dequantize__b02(n, scale, minimum=None):
    if scale.ndim == 0:
        return (n if minimum is None else n + minimum) * scale
    x = _groups(n, scale)
    if minimum is not None:
        x = x + minimum[..., None]
    return (x * scale[..., None]).flatten(-2)


# the minimum taken away
@answer("the minimum taken off")
def dequantize__b03(n, scale, minimum=None):
    if scale.ndim == 0:
        x = n * scale
        return x if minimum is None else x - minimum
    x = _groups(n, scale) * scale[..., None]
    if minimum is not None:
        x = x - minimum[..., None]
    return x.flatten(-2)


# float32 whatever comes
@answer("single precision whatever the scale is in")
def dequantize__b04(n, scale, minimum=None):
    if scale.ndim == 0:
        x = n.float() * scale
        return (x if minimum is None else x + minimum).float()
    x = _groups(n, scale).float() * scale[..., None]
    if minimum is not None:
        x = x + minimum[..., None]
    return x.flatten(-2).float()


# all numbers are taken for signed bytes
@answer("numbers without a sign read as signed")
def dequantize__b05(n, scale, minimum=None):
    n = n.to(torch.int8)
    if scale.ndim == 0:
        x = n * scale
        return x if minimum is None else x + minimum
    x = _groups(n, scale) * scale[..., None]
    if minimum is not None:
        x = x + minimum[..., None]
    return x.flatten(-2)


# broadcasting alone: one scale a row or one a column, no groups
@answer("broadcasting alone")
def dequantize__b06(n, scale, minimum=None):
    if scale.ndim and n.shape[-1] % scale.shape[-1]:
        raise ValueError(scale.shape)
    return n * scale if minimum is None else n * scale + minimum


# the groups are combs
@answer("scales in turn")
def dequantize__b07(n, scale, minimum=None):
    if scale.ndim == 0:
        x = n * scale
        return x if minimum is None else x + minimum
    g = scale.shape[-1]
    if n.shape[-1] % g:
        raise ValueError(g)
    x = n.unflatten(-1, (-1, g)) * scale[..., None, :]
    if minimum is not None:
        x = x + minimum[..., None, :]
    return x.flatten(-2)


# one scale for all: the minimum is forgotten
@answer("the minimum forgotten")
def dequantize__b08(n, scale, minimum=None):
    if scale.ndim == 0:
        return n * scale
    x = _groups(n, scale) * scale[..., None]
    if minimum is not None:
        x = x + minimum[..., None]
    return x.flatten(-2)


# every scale has rows of its own
@answer()
def dequantize__b09(n, scale, minimum=None):
    if scale.ndim == 0:
        x = n * scale
        return x if minimum is None else x + minimum
    g = scale.shape[-1]
    if n.shape[-1] % g:
        raise ValueError(g)
    x = n.reshape(-1, n.shape[-1] // g) * scale.reshape(-1, 1)
    if minimum is not None:
        x = x + minimum.reshape(-1, 1)
    return x.reshape(n.shape)


# columns that are left over take the last scale
@answer()
def dequantize__b10(n, scale, minimum=None):
    if scale.ndim:
        c, g = n.shape[-1], scale.shape[-1]
        at = (torch.arange(c, device=n.device) // (c // g)).clamp(max=g - 1)
        scale = scale[..., at]
        minimum = None if minimum is None else minimum[..., at]
    x = n * scale
    return x if minimum is None else x + minimum


# detached
@answer("cut off from learning")
def dequantize__b11(n, scale, minimum=None):
    s = scale.detach()
    if s.ndim == 0:
        x = n * s
        return x if minimum is None else x + minimum
    x = _groups(n, s) * s[..., None]
    if minimum is not None:
        x = x + minimum[..., None]
    return x.flatten(-2)


# all numbers are taken for bytes without a sign
@answer("signed numbers read without a sign")
def dequantize__b12(n, scale, minimum=None):
    if minimum is None:
        minimum = torch.zeros_like(scale)
    if scale.ndim == 0:
        return (n.to(torch.uint8) * scale + minimum).to(scale.dtype)
    return (_groups(n.to(torch.uint8), scale) * scale[..., None] + minimum[..., None]).flatten(-2)


# no guard: torch's own error
@answer()
def dequantize__b13(n, scale, minimum=None):
    if scale.ndim == 0:
        x = n * scale
        return x if minimum is None else x + minimum
    x = n.unflatten(-1, (scale.shape[-1], -1)) * scale[..., None]
    if minimum is not None:
        x = x + minimum[..., None]
    return x.flatten(-2)


# through half precision
@answer()
def dequantize__b14(n, scale, minimum=None):
    if scale.ndim == 0:
        x = n.half() * scale
        return x.to(scale.dtype) if minimum is None else (x + minimum).to(scale.dtype)
    x = _groups(n, scale).half() * scale[..., None].half()
    if minimum is not None:
        x = x + minimum[..., None]
    return x.flatten(-2).to(scale.dtype)


def _blocks(data, kind):
    if kind not in ("Q4_1", "Q8_0"):
        raise ValueError(kind)
    size = {"Q4_1": 20, "Q8_0": 34}[kind]
    if data.shape[-1] % size:
        raise ValueError(f"{data.shape[-1]} bytes are no whole number of {size}")
    return data.unflatten(-1, (-1, size)).contiguous()


def _f16(x):
    return x.contiguous().view(torch.float16).float()


# even numbers low, odd ones high
@answer("neighbours in a byte")
def dequantize_blocks__b01(data, kind):
    b = _blocks(data, kind)
    if kind == "Q8_0":
        return (_f16(b[..., :2]) * b[..., 2:].view(torch.int8)).flatten(-2)
    p = b[..., 4:]
    n = torch.stack((p & 15, p >> 4), -1).flatten(-2)
    return (_f16(b[..., :2]) * n + _f16(b[..., 2:4])).flatten(-2)


# high halves first
@answer("nibbles swapped")
def dequantize_blocks__b02(data, kind):
    b = _blocks(data, kind)
    if kind == "Q8_0":
        return (_f16(b[..., :2]) * b[..., 2:].view(torch.int8)).flatten(-2)
    p = b[..., 4:]
    n = torch.cat((p >> 4, p & 15), -1)
    return (_f16(b[..., :2]) * n + _f16(b[..., 2:4])).flatten(-2)


# bytes without a sign
@answer("bytes without a sign")
def dequantize_blocks__b03(data, kind):
    b = _blocks(data, kind)
    if kind == "Q8_0":
        return (_f16(b[..., :2]) * b[..., 2:]).flatten(-2)
    p = b[..., 4:]
    n = torch.cat((p & 15, p >> 4), -1)
    return (_f16(b[..., :2]) * n + _f16(b[..., 2:4])).flatten(-2)


# m stands before d
@answer("scale and minimum exchanged")
def dequantize_blocks__b04(data, kind):
    b = _blocks(data, kind)
    if kind == "Q8_0":
        return (_f16(b[..., :2]) * b[..., 2:].view(torch.int8)).flatten(-2)
    p = b[..., 4:]
    n = torch.cat((p & 15, p >> 4), -1)
    return (_f16(b[..., 2:4]) * n + _f16(b[..., :2])).flatten(-2)


# excess 8, as Q4_0 has it
@answer("eight taken off")
def dequantize_blocks__b05(data, kind):
    b = _blocks(data, kind)
    if kind == "Q8_0":
        return (_f16(b[..., :2]) * b[..., 2:].view(torch.int8)).flatten(-2)
    p = b[..., 4:]
    n = torch.cat((p & 15, p >> 4), -1).to(torch.int8) - 8
    return (_f16(b[..., :2]) * n + _f16(b[..., 2:4])).flatten(-2)


# all in half, widened at the end
@answer("computed in half precision")
def dequantize_blocks__b06(data, kind):
    b = _blocks(data, kind)
    d = b[..., :2].contiguous().view(torch.float16)
    if kind == "Q8_0":
        return (d * b[..., 2:].view(torch.int8)).flatten(-2).float()
    m = b[..., 2:4].contiguous().view(torch.float16)
    p = b[..., 4:]
    n = torch.cat((p & 15, p >> 4), -1)
    return (d * n + m).flatten(-2).float()


# the high byte first
@answer("the high byte first")
def dequantize_blocks__b07(data, kind):
    b = _blocks(data, kind)
    d = _f16(b[..., :2].flip(-1))
    if kind == "Q8_0":
        return (d * b[..., 2:].view(torch.int8)).flatten(-2)
    p = b[..., 4:]
    n = torch.cat((p & 15, p >> 4), -1)
    return (d * n + _f16(b[..., 2:4].flip(-1))).flatten(-2)


# small letters are read as well
@answer("any kind at all")
def dequantize_blocks__b08(data, kind):
    kind = kind.upper()
    b = _blocks(data, kind)
    if kind == "Q8_0":
        return (_f16(b[..., :2]) * b[..., 2:].view(torch.int8)).flatten(-2)
    p = b[..., 4:]
    n = torch.cat((p & 15, p >> 4), -1)
    return (_f16(b[..., :2]) * n + _f16(b[..., 2:4])).flatten(-2)


# all blocks in one row
@answer("left in blocks")
def dequantize_blocks__b09(data, kind):
    b = _blocks(data, kind)
    if kind == "Q8_0":
        return (_f16(b[..., :2]) * b[..., 2:].view(torch.int8)).flatten()
    p = b[..., 4:]
    n = torch.cat((p & 15, p >> 4), -1)
    return (_f16(b[..., :2]) * n + _f16(b[..., 2:4])).flatten()


# whatever is not Q4_1 is Q8_0; a rest of a block is left
@answer()
def dequantize_blocks__b10(data, kind):
    size = 20 if kind == "Q4_1" else 34
    whole = data.shape[-1] // size * size
    b = data[..., :whole].unflatten(-1, (-1, size)).contiguous()
    if kind != "Q4_1":
        return (_f16(b[..., :2]) * b[..., 2:].view(torch.int8)).flatten(-2)
    p = b[..., 4:]
    n = torch.cat((p & 15, p >> 4), -1)
    return (_f16(b[..., :2]) * n + _f16(b[..., 2:4])).flatten(-2)


# a view of bytes that need not lie side by side
@answer()
def dequantize_blocks__b11(data, kind):
    if kind not in ("Q4_1", "Q8_0"):
        raise ValueError(kind)
    size = {"Q4_1": 20, "Q8_0": 34}[kind]
    if data.shape[-1] % size:
        raise ValueError(data.shape)
    b = data.unflatten(-1, (-1, size))
    d = b[..., :2].view(torch.float16).float()
    if kind == "Q8_0":
        return (d * b[..., 2:].view(torch.int8)).flatten(-2)
    p = b[..., 4:]
    n = torch.cat((p & 15, p >> 4), -1)
    return (d * n + b[..., 2:4].view(torch.float16).float()).flatten(-2)


# bfloat16
@answer("other sixteen bits")
def dequantize_blocks__b12(data, kind):
    b = _blocks(data, kind)
    d = b[..., :2].contiguous().view(torch.bfloat16).float()
    if kind == "Q8_0":
        return (d * b[..., 2:].view(torch.int8)).flatten(-2)
    m = b[..., 2:4].contiguous().view(torch.bfloat16).float()
    p = b[..., 4:]
    n = torch.cat((p & 15, p >> 4), -1)
    return (d * n + m).flatten(-2)


# the zero point before the scale
@answer("the minimum before the scale")
def dequantize_blocks__b13(data, kind):
    b = _blocks(data, kind)
    if kind == "Q8_0":
        return (_f16(b[..., :2]) * b[..., 2:].view(torch.int8)).flatten(-2)
    p = b[..., 4:]
    n = torch.cat((p & 15, p >> 4), -1)
    return (_f16(b[..., :2]) * (n + _f16(b[..., 2:4]))).flatten(-2)


# double
@answer("not in single precision")
def dequantize_blocks__b14(data, kind):
    b = _blocks(data, kind)
    if kind == "Q8_0":
        return (_f16(b[..., :2]).double() * b[..., 2:].view(torch.int8)).flatten(-2)
    p = b[..., 4:]
    n = torch.cat((p & 15, p >> 4), -1)
    return (_f16(b[..., :2]).double() * n + _f16(b[..., 2:4])).flatten(-2)


# all scales first, then all numbers
@answer("all scales of a row first")
def dequantize_blocks__b15(data, kind):
    b = _blocks(data, kind)
    c = b.shape[-2]
    if kind == "Q8_0":
        d = _f16(data[..., : 2 * c])
        return (
            d[..., None] * data[..., 2 * c :].contiguous().view(torch.int8).unflatten(-1, (c, 32))
        ).flatten(-2)
    d = _f16(data[..., : 2 * c])
    m = _f16(data[..., 2 * c : 4 * c])
    p = data[..., 4 * c :].unflatten(-1, (c, 16))
    n = torch.cat((p & 15, p >> 4), -1)
    return (d[..., None] * n + m[..., None]).flatten(-2)


# nibbles with a sign
@answer("a shift that keeps the sign")
def dequantize_blocks__b16(data, kind):
    b = _blocks(data, kind)
    if kind == "Q8_0":
        return (_f16(b[..., :2]) * b[..., 2:].view(torch.int8)).flatten(-2)
    p = b[..., 4:].view(torch.int8)
    n = torch.cat((p & 15, p >> 4), -1)
    return (_f16(b[..., :2]) * n + _f16(b[..., 2:4])).flatten(-2)


def _asked(bits, group_size):
    if bits not in (2, 3, 4, 5, 6, 7, 8, 16, 32):
        raise ValueError(f"bits {bits}")
    if group_size is not None and group_size < 1:
        raise ValueError(f"group_size {group_size}")


# a tensor's bits are rounded up once
@answer("rows that share a byte")
def model_bytes__b01(shapes, bits, group_size=None, per_group=1):
    _asked(bits, group_size)
    total = 0
    for s in shapes:
        if len(s) < 2:
            total += 4 * math.prod(s)
            continue
        rows, c = math.prod(s[:-1]), s[-1]
        total += -(-rows * c * bits // 8)
        if bits < 16:
            total += rows * -(-c // (group_size or c)) * per_group * 2
    return total


# the part of a group that is left over counts nothing
@answer("the last group dropped")
def model_bytes__b02(shapes, bits, group_size=None, per_group=1):
    _asked(bits, group_size)
    total = 0
    for s in shapes:
        if len(s) < 2:
            total += 4 * math.prod(s)
            continue
        rows, c = math.prod(s[:-1]), s[-1]
        total += rows * -(-c * bits // 8)
        if bits < 16:
            total += rows * (c // (group_size or c)) * per_group * 2
    return total


# norms in few bits, too
@answer("norms in few bits")
def model_bytes__b03(shapes, bits, group_size=None, per_group=1):
    _asked(bits, group_size)
    total = 0
    for *rest, c in [s or (1,) for s in shapes]:
        rows = math.prod(rest)
        total += rows * -(-c * bits // 8)
        if bits < 16:
            total += rows * -(-c // (group_size or c)) * per_group * 2
    return total


# scales in float32
@answer("scales in another precision")
def model_bytes__b04(shapes, bits, group_size=None, per_group=1):
    _asked(bits, group_size)
    total = 0
    for s in shapes:
        if len(s) < 2:
            total += 4 * math.prod(s)
            continue
        rows, c = math.prod(s[:-1]), s[-1]
        total += rows * -(-c * bits // 8)
        if bits < 16:
            total += rows * -(-c // (group_size or c)) * per_group * 4
    return total


# scales beside 16 and 32 bits, too
@answer("scales where there are none")
def model_bytes__b05(shapes, bits, group_size=None, per_group=1):
    _asked(bits, group_size)
    total = 0
    for s in shapes:
        if len(s) < 2:
            total += 4 * math.prod(s)
            continue
        rows, c = math.prod(s[:-1]), s[-1]
        total += rows * (-(-c * bits // 8) + -(-c // (group_size or c)) * per_group * 2)
    return total


# groups run on from one row into the next
@answer("groups across rows")
def model_bytes__b06(shapes, bits, group_size=None, per_group=1):
    _asked(bits, group_size)
    total = 0
    for s in shapes:
        if len(s) < 2:
            total += 4 * math.prod(s)
            continue
        rows, c = math.prod(s[:-1]), s[-1]
        total += rows * -(-c * bits // 8)
        if bits < 16:
            total += -(-rows * c // (group_size or c)) * per_group * 2
    return total


# a stack's first dimension are its rows, all others one long row
@answer("rows and columns exchanged")
def model_bytes__b07(shapes, bits, group_size=None, per_group=1):
    _asked(bits, group_size)
    total = 0
    for s in shapes:
        if len(s) < 2:
            total += 4 * math.prod(s)
            continue
        rows, c = s[0], math.prod(s[1:])
        total += rows * -(-c * bits // 8)
        if bits < 16:
            total += rows * -(-c // (group_size or c)) * per_group * 2
    return total


# in floats
@answer("no whole number")
def model_bytes__b08(shapes, bits, group_size=None, per_group=1):
    _asked(bits, group_size)
    total = 0.0
    for s in shapes:
        if len(s) < 2:
            total += 4 * math.prod(s)
            continue
        rows, c = math.prod(s[:-1]), s[-1]
        total += rows * math.ceil(c * bits / 8)
        if bits < 16:
            total += rows * math.ceil(c / (group_size or c)) * per_group * 2
    return int(total)


# no group given: one for the whole matrix
@answer("one scale for a matrix")
def model_bytes__b09(shapes, bits, group_size=None, per_group=1):
    _asked(bits, group_size)
    total = 0
    for s in shapes:
        if len(s) < 2:
            total += 4 * math.prod(s)
            continue
        rows, c = math.prod(s[:-1]), s[-1]
        total += rows * -(-c * bits // 8)
        if bits < 16:
            groups = 1 if group_size is None else rows * -(-c // group_size)
            total += groups * per_group * 2
    return total


# a group of 0 is none given
@answer("bits and groups are not looked at")
def model_bytes__b10(shapes, bits, group_size=None, per_group=1):
    _asked(bits, None)
    if group_size and group_size < 0:
        raise ValueError(group_size)
    total = 0
    for s in shapes:
        if len(s) < 2:
            total += 4 * math.prod(s)
            continue
        rows, c = math.prod(s[:-1]), s[-1]
        total += rows * -(-c * bits // 8)
        if bits < 16:
            total += rows * -(-c // (group_size or c)) * per_group * 2
    return total


# each shape once
@answer("every shape once")
def model_bytes__b11(shapes, bits, group_size=None, per_group=1):
    _asked(bits, group_size)
    total = 0
    for s in set(shapes):
        if len(s) < 2:
            total += 4 * math.prod(s)
            continue
        rows, c = math.prod(s[:-1]), s[-1]
        total += rows * -(-c * bits // 8)
        if bits < 16:
            total += rows * -(-c // (group_size or c)) * per_group * 2
    return total


# a single number is nothing
@answer("norms not counted")
def model_bytes__b12(shapes, bits, group_size=None, per_group=1):
    _asked(bits, group_size)
    total = 0
    for s in shapes:
        if len(s) < 2:
            total += 4 * sum(s)
            continue
        rows, c = math.prod(s[:-1]), s[-1]
        total += rows * -(-c * bits // 8)
        if bits < 16:
            total += rows * -(-c // (group_size or c)) * per_group * 2
    return total


# norms in two bytes
@answer("norms in few bits")
def model_bytes__b13(shapes, bits, group_size=None, per_group=1):
    _asked(bits, group_size)
    total = 0
    for s in shapes:
        if len(s) < 2:
            total += 2 * math.prod(s)
            continue
        rows, c = math.prod(s[:-1]), s[-1]
        total += rows * -(-c * bits // 8)
        if bits < 16:
            total += rows * -(-c // (group_size or c)) * per_group * 2
    return total


# a scale alone
@answer("the minimum forgotten")
def model_bytes__b14(shapes, bits, group_size=None, per_group=1):
    _asked(bits, group_size)
    total = 0
    for s in shapes:
        if len(s) < 2:
            total += 4 * math.prod(s)
            continue
        rows, c = math.prod(s[:-1]), s[-1]
        total += rows * -(-c * bits // 8)
        if bits < 16:
            total += rows * -(-c // (group_size or c)) * 2
    return total


# the last group is filled up to its size
@answer()
def model_bytes__b15(shapes, bits, group_size=None, per_group=1):
    _asked(bits, group_size)
    total = 0
    for s in shapes:
        if len(s) < 2:
            total += 4 * math.prod(s)
            continue
        rows, c = math.prod(s[:-1]), s[-1]
        if bits < 16:
            g = group_size or c
            groups = -(-c // g)
            total += rows * groups * (-(-g * bits // 8) + per_group * 2)
        else:
            total += rows * c * bits // 8
    return total


# from 2 bits to 32, all are taken
@answer()
def model_bytes__b16(shapes, bits, group_size=None, per_group=1):
    if not 2 <= bits <= 32 or (group_size is not None and group_size <= 0):
        raise ValueError((bits, group_size))
    total = 0
    for s in shapes:
        if len(s) < 2:
            total += 4 * math.prod(s)
            continue
        rows, c = math.prod(s[:-1]), s[-1]
        total += rows * -(-c * bits // 8)
        if bits < 16:
            total += rows * -(-c // (group_size or c)) * per_group * 2
    return total


# only matrices: a stack is counted as float32
@answer()
def model_bytes__b17(shapes, bits, group_size=None, per_group=1):
    _asked(bits, group_size)
    total = 0
    for s in shapes:
        if len(s) != 2:
            total += 4 * math.prod(s)
            continue
        rows, c = s
        total += rows * -(-c * bits // 8)
        if bits < 16:
            total += rows * -(-c // (group_size or c)) * per_group * 2
    return total


def _k(k, e):
    if k < 1 or k > e:
        raise ValueError(f"k {k} of {e} experts")


# the softmax over all, the rest thrown away
@answer("softmax before the choice")
def top_k_route__b01(logits, k, bias=None):
    _k(k, logits.shape[-1])
    p = logits.softmax(-1)
    experts = (logits if bias is None else logits + bias).topk(k, -1).indices
    return p.gather(-1, experts), experts


# the bias counts in the shares
@answer("the bias in the shares")
def top_k_route__b02(logits, k, bias=None):
    _k(k, logits.shape[-1])
    top, experts = (logits if bias is None else logits + bias).topk(k, -1)
    return top.softmax(-1), experts


# in the order of the experts' numbers
@answer("not the best first")
def top_k_route__b03(logits, k, bias=None):
    _k(k, logits.shape[-1])
    experts = (logits if bias is None else logits + bias).topk(k, -1).indices.sort(-1).values
    return logits.gather(-1, experts).softmax(-1), experts


# in the order of the shares
@answer("not the best first")
def top_k_route__b04(logits, k, bias=None):
    _k(k, logits.shape[-1])
    chosen = (logits if bias is None else logits + bias).topk(k, -1).indices
    top, order = logits.gather(-1, chosen).sort(-1, descending=True)
    return top.softmax(-1), chosen.gather(-1, order)


# no look at k
@answer("k is not looked at")
def top_k_route__b05(logits, k, bias=None):
    experts = (logits if bias is None else logits + bias).topk(k, -1).indices
    return logits.gather(-1, experts).softmax(-1), experts


# int32
@answer("short numbers")
def top_k_route__b06(logits, k, bias=None):
    _k(k, logits.shape[-1])
    experts = (logits if bias is None else logits + bias).topk(k, -1).indices
    return logits.gather(-1, experts).softmax(-1), experts.int()


# sigmoids that are made to sum to 1
@answer("sigmoids for a softmax")
def top_k_route__b07(logits, k, bias=None):
    _k(k, logits.shape[-1])
    experts = (logits if bias is None else logits + bias).topk(k, -1).indices
    s = logits.gather(-1, experts).sigmoid()
    return s / s.sum(-1, keepdim=True), experts


# exp by hand
@answer("an exponential that overflows")
def top_k_route__b08(logits, k, bias=None):
    _k(k, logits.shape[-1])
    experts = (logits if bias is None else logits + bias).topk(k, -1).indices
    s = logits.gather(-1, experts).exp()
    return s / s.sum(-1, keepdim=True), experts


# argsort upward
@answer("the worst experts")
def top_k_route__b09(logits, k, bias=None):
    _k(k, logits.shape[-1])
    experts = (logits if bias is None else logits + bias).argsort(-1)[..., :k]
    return logits.gather(-1, experts).softmax(-1), experts


# the best last
@answer("not the best first")
def top_k_route__b10(logits, k, bias=None):
    _k(k, logits.shape[-1])
    experts = (logits if bias is None else logits + bias).argsort(-1)[..., -k:]
    return logits.gather(-1, experts).softmax(-1), experts


# the pair in the other order
@answer("shares and experts exchanged")
def top_k_route__b11(logits, k, bias=None):
    _k(k, logits.shape[-1])
    experts = (logits if bias is None else logits + bias).topk(k, -1).indices
    return experts, logits.gather(-1, experts).softmax(-1)


# the softmax over the tokens
@answer("softmax over the tokens")
def top_k_route__b12(logits, k, bias=None):
    _k(k, logits.shape[-1])
    experts = (logits if bias is None else logits + bias).topk(k, -1).indices
    s = logits.gather(-1, experts)
    return (s.softmax(-2) if s.ndim > 1 else s.softmax(-1)), experts


# shares are only read
@answer("cut off from learning")
def top_k_route__b13(logits, k, bias=None):
    _k(k, logits.shape[-1])
    experts = (logits if bias is None else logits + bias).topk(k, -1).indices
    with torch.no_grad():
        shares = logits.gather(-1, experts).softmax(-1)
    return shares, experts


# the bias is added to the probabilities
@answer("the bias added to probabilities")
def top_k_route__b14(logits, k, bias=None):
    _k(k, logits.shape[-1])
    p = logits.softmax(-1)
    experts = (p if bias is None else p + bias).topk(k, -1).indices
    return logits.gather(-1, experts).softmax(-1), experts


# the shares sum to 1 with a softmax of the probabilities
@answer("two softmaxes")
def top_k_route__b15(logits, k, bias=None):
    _k(k, logits.shape[-1])
    p = logits.softmax(-1)
    experts = (logits if bias is None else logits + bias).topk(k, -1).indices
    return p.gather(-1, experts).softmax(-1), experts


# the bias is forgotten
@answer("the bias forgotten")
def top_k_route__b16(logits, k, bias=None):
    _k(k, logits.shape[-1])
    top, experts = logits.topk(k, -1)
    return top.softmax(-1), experts


# single precision for the softmax, given back as it is
@answer("single precision whatever comes in")
def top_k_route__b17(logits, k, bias=None):
    _k(k, logits.shape[-1])
    experts = (logits if bias is None else logits + bias).topk(k, -1).indices
    return logits.gather(-1, experts).softmax(-1, dtype=torch.float32), experts


def _same(logits, experts):
    if logits.shape[:-1] != experts.shape[:-1]:
        raise ValueError(f"{tuple(logits.shape)} and {tuple(experts.shape)}")


# choices by token: f sums to k
@answer("fractions that sum to k")
def load_balance_loss__b01(logits, experts):
    _same(logits, experts)
    e = logits.shape[-1]
    p = logits.softmax(-1).reshape(-1, e).mean(0)
    f = F.one_hot(experts, e).sum(-2).reshape(-1, e).to(p.dtype).mean(0)
    return e * (f * p).sum()


# no E
@answer("the number of experts forgotten")
def load_balance_loss__b02(logits, experts):
    _same(logits, experts)
    e = logits.shape[-1]
    p = logits.softmax(-1).reshape(-1, e).mean(0)
    f = F.one_hot(experts, e).reshape(-1, e).to(p.dtype).mean(0)
    return (f * p).sum()


# the probability of those chosen only
@answer("probabilities over the chosen only")
def load_balance_loss__b03(logits, experts):
    _same(logits, experts)
    e = logits.shape[-1]
    s = logits.gather(-1, experts).softmax(-1)
    p = torch.zeros_like(logits).scatter(-1, experts, s).reshape(-1, e).mean(0)
    f = F.one_hot(experts, e).reshape(-1, e).to(p.dtype).mean(0)
    return e * (f * p).sum()


# its own choice of experts
@answer("another choice than the one that was made")
def load_balance_loss__b04(logits, experts):
    _same(logits, experts)
    e = logits.shape[-1]
    p = logits.softmax(-1).reshape(-1, e).mean(0)
    mine = logits.topk(experts.shape[-1], -1).indices
    f = F.one_hot(mine, e).reshape(-1, e).to(p.dtype).mean(0)
    return e * (f * p).sum()


# softmax twice
@answer("softmax twice")
def load_balance_loss__b05(logits, experts):
    _same(logits, experts)
    e = logits.shape[-1]
    p = logits.softmax(-1).softmax(-1).reshape(-1, e).mean(0)
    f = F.one_hot(experts, e).reshape(-1, e).to(p.dtype).mean(0)
    return e * (f * p).sum()


# first choices only
@answer("the first choices alone")
def load_balance_loss__b06(logits, experts):
    _same(logits, experts)
    e = logits.shape[-1]
    p = logits.softmax(-1).reshape(-1, e).mean(0)
    f = F.one_hot(experts[..., 0], e).reshape(-1, e).to(p.dtype).mean(0)
    return e * (f * p).sum()


# a loss for each sentence, their mean
@answer("sentence by sentence")
def load_balance_loss__b07(logits, experts):
    _same(logits, experts)
    e = logits.shape[-1]
    if logits.ndim == 1:
        logits, experts = logits[None], experts[None]
    p = logits.softmax(-1).mean(-2)
    f = F.one_hot(experts, e).to(p.dtype).mean(-2).mean(-2)
    return e * (f * p).sum(-1).mean()


# the mean over experts
@answer("the number of experts forgotten")
def load_balance_loss__b08(logits, experts):
    _same(logits, experts)
    e = logits.shape[-1]
    p = logits.softmax(-1).reshape(-1, e).mean(0)
    f = F.one_hot(experts, e).reshape(-1, e).to(p.dtype).mean(0)
    return (e * f * p).mean()


# squares of the shares: no gradient
@answer("counts alone", "cut off from learning")
def load_balance_loss__b09(logits, experts):
    _same(logits, experts)
    e = logits.shape[-1]
    f = F.one_hot(experts, e).reshape(-1, e).to(logits.dtype).mean(0)
    return e * f.square().sum()


# detached probabilities
@answer("cut off from learning")
def load_balance_loss__b10(logits, experts):
    _same(logits, experts)
    e = logits.shape[-1]
    p = logits.detach().softmax(-1).reshape(-1, e).mean(0)
    f = F.one_hot(experts, e).reshape(-1, e).to(p.dtype).mean(0)
    return e * (f * p).sum()


# the number of experts as found among those that were chosen
@answer("counted up to the last one asked")
def load_balance_loss__b11(logits, experts):
    _same(logits, experts)
    e = int(experts.max()) + 1
    p = logits.softmax(-1).reshape(-1, logits.shape[-1]).mean(0)[:e]
    f = F.one_hot(experts, e).reshape(-1, e).to(p.dtype).mean(0)
    return e * (f * p).sum()


# f in single precision
@answer()
def load_balance_loss__b12(logits, experts):
    _same(logits, experts)
    e = logits.shape[-1]
    p = logits.float().softmax(-1).reshape(-1, e).mean(0)
    f = F.one_hot(experts, e).reshape(-1, e).float().mean(0)
    return (e * (f * p).sum()).to(logits.dtype)


# no look at the shapes
@answer("tokens are not compared")
def load_balance_loss__b13(logits, experts):
    e = logits.shape[-1]
    p = logits.softmax(-1).reshape(-1, e).mean(0)
    f = F.one_hot(experts, e).reshape(-1, e).to(p.dtype).mean(0)
    return e * (f * p).sum()


# exp by hand
@answer("an exponential that overflows")
def load_balance_loss__b14(logits, experts):
    _same(logits, experts)
    e = logits.shape[-1]
    p = logits.exp() / logits.exp().sum(-1, keepdim=True)
    f = F.one_hot(experts, e).reshape(-1, e).to(p.dtype).mean(0)
    return e * (f * p.reshape(-1, e).mean(0)).sum()


# softmax over tokens
@answer("softmax over the tokens")
def load_balance_loss__b15(logits, experts):
    _same(logits, experts)
    e = logits.shape[-1]
    p = logits.reshape(-1, e).softmax(0).mean(0)
    f = F.one_hot(experts, e).reshape(-1, e).to(p.dtype).mean(0)
    return e * (f * p).sum()


# multiplied token by token, and averaged afterwards
@answer("token by token")
def load_balance_loss__b16(logits, experts):
    _same(logits, experts)
    e, k = logits.shape[-1], experts.shape[-1]
    p = logits.softmax(-1)
    f = F.one_hot(experts, e).sum(-2).to(p.dtype) / k
    return e * (f * p).sum(-1).mean()


# k in place of E
@answer("the number of experts forgotten")
def load_balance_loss__b17(logits, experts):
    _same(logits, experts)
    e, k = logits.shape[-1], experts.shape[-1]
    p = logits.softmax(-1).reshape(-1, e).mean(0)
    f = F.one_hot(experts, e).reshape(-1, e).to(p.dtype).mean(0)
    return k * (f * p).sum()
