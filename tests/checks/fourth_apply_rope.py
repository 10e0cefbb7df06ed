"""Wrong answers to apply_rope of a fourth trial, by others who had not seen the traps."""

import torch
from fresh import answer


def _cs(x, positions, theta, width=None, sign=-1, mult=2.0):
    D = x.shape[-1]
    i = torch.arange(D // 2, device=x.device, dtype=torch.float64)
    a = positions.double()[..., None] * theta ** (sign * mult * i / (width or D))
    return (a.cos().to(x.dtype), a.sin().to(x.dtype))


def _turn(x, cos, sin, layout):
    if layout == "half":
        p, q = x.chunk(2, -1)
        return torch.cat((p * cos - q * sin, p * sin + q * cos), -1)
    p, q = (x[..., ::2], x[..., 1::2])
    return torch.stack((p * cos - q * sin, p * sin + q * cos), -1).flatten(-2)


def _cs_2(x, positions, theta, mult=2.0, sign=-1):
    D = x.shape[-1]
    a = positions.double()[..., None] * theta ** (
        sign * mult * torch.arange(D // 2, device=x.device, dtype=torch.float64) / D
    )
    return (a.cos().to(x.dtype), a.sin().to(x.dtype))


def _turn_2(x, c, s, layout):
    if layout == "half":
        p, q = x.chunk(2, -1)
        return torch.cat((p * c - q * s, p * s + q * c), -1)
    p, q = (x[..., ::2], x[..., 1::2])
    return torch.stack((p * c - q * s, p * s + q * c), -1).flatten(-2)


# positions (B, 1, T): unsqueezed as well at the head place
@answer("a dimension put in for the heads")
def apply_rope__unsqueeze_heads(x, positions, theta=10000.0, layout="half"):
    c, s = _cs(x, positions, theta)
    return _turn(x, c.unsqueeze(-3), s.unsqueeze(-3), layout)


# only the first half of the pairs is turned (partial rotary, GPT-J/NeoX)
@answer("a part of the features turned")
def apply_rope__partial(x, positions, theta=10000.0, layout="half"):
    D = x.shape[-1]
    r = D // 2 - D // 2 % 2
    c, s = _cs(x[..., :r], positions, theta)
    return torch.cat((_turn(x[..., :r], c, s, layout), x[..., r:]), -1) if r else x.clone()


# time axis -3: positions belong to the heads, (B, T, H, D) convention
@answer("heads behind time")
def apply_rope__bthd(x, positions, theta=10000.0, layout="half"):
    c, s = _cs(x, positions, theta)
    if x.dim() > 3:
        c, s = (c.unsqueeze(-2), s.unsqueeze(-2))
    return _turn(x, c, s, layout)


# frequencies reversed (the slowest first)
@answer("frequencies in reverse")
def apply_rope__reversed_freqs(x, positions, theta=10000.0, layout="half"):
    c, s = _cs(x, positions, theta)
    return _turn(x, c.flip(-1), s.flip(-1), layout)


# two: always interleaved and single precision (LLaMA's complex code)
@answer("one layout for both", "angles in single precision")
def apply_rope__two_llama(x, positions, theta=10000.0, layout="half"):
    D = x.shape[-1]
    f = 1.0 / theta ** (torch.arange(0, D, 2, device=x.device).float() / D)
    a = positions.float()[..., None] * f
    z = torch.view_as_complex(x.float().reshape(*x.shape[:-1], -1, 2)) * torch.polar(
        torch.ones_like(a), a
    )
    return torch.view_as_real(z).flatten(-2).to(x.dtype)


# two: a overwritten, and wrong way
@answer("turned the wrong way", "the first overwritten before the second is read")
def apply_rope__two_overwritten_other(x, positions, theta=10000.0, layout="half"):
    c, s = _cs(x, positions, theta)
    p, q = x.chunk(2, -1) if layout == "half" else (x[..., ::2], x[..., 1::2])
    p = p * c + q * s
    q = q * c - p * s
    return torch.cat((p, q), -1) if layout == "half" else torch.stack((p, q), -1).flatten(-2)


# only the first of a pair turned (b kept)
@answer("one of two turned")
def apply_rope__b_kept(x, positions, theta=10000.0, layout="half"):
    c, s = _cs_2(x, positions, theta)
    p, q = x.chunk(2, -1) if layout == "half" else (x[..., ::2], x[..., 1::2])
    y = (p * c - q * s, q)
    return torch.cat(y, -1) if layout == "half" else torch.stack(y, -1).flatten(-2)


# (a cos - b sin, b cos - a sin): the second sign
@answer("a minus too many")
def apply_rope__second_sign(x, positions, theta=10000.0, layout="half"):
    c, s = _cs_2(x, positions, theta)
    p, q = x.chunk(2, -1) if layout == "half" else (x[..., ::2], x[..., 1::2])
    y = (p * c - q * s, q * c - p * s)
    return torch.cat(y, -1) if layout == "half" else torch.stack(y, -1).flatten(-2)


# frequencies j/D for feature j (each feature its own)
@answer("a frequency for every feature")
def apply_rope__per_feature(x, positions, theta=10000.0, layout="half"):
    D = x.shape[-1]
    a = positions.double()[..., None] * theta ** (-torch.arange(D, device=x.device).double() / D)
    c, s = (a.cos().to(x.dtype), a.sin().to(x.dtype))
    if layout == "half":
        p, q = x.chunk(2, -1)
        rot = torch.cat((-q, p), -1)
    else:
        rot = torch.stack((-x[..., 1::2], x[..., ::2]), -1).flatten(-2)
    return x * c + rot * s


# cos and sin doubled right, but rotate_half used also for interleaved
@answer("pairs of one layout, angles of the other")
def apply_rope__rotate_half_only(x, positions, theta=10000.0, layout="half"):
    c, s = _cs_2(x, positions, theta)
    if layout == "half":
        c, s = (torch.cat((c, c), -1), torch.cat((s, s), -1))
    else:
        c, s = (c.repeat_interleave(2, -1), s.repeat_interleave(2, -1))
    p, q = x.chunk(2, -1)
    return x * c + torch.cat((-q, p), -1) * s


# one angle for all pairs (no frequencies)
@answer("one frequency for all pairs")
def apply_rope__one_angle(x, positions, theta=10000.0, layout="half"):
    a = positions.double()[..., None]
    return _turn_2(x, a.cos().to(x.dtype), a.sin().to(x.dtype), layout)


# turned twice
@answer("turned twice")
def apply_rope__twice(x, positions, theta=10000.0, layout="half"):
    c, s = _cs_2(x, positions, theta)
    return _turn_2(_turn_2(x, c, s, layout), c, s, layout)


# cos and sin rounded to half: computed for half precision always (bfloat16 cache)
@answer("sine and cosine in a short dtype")
def apply_rope__bf16_cache(x, positions, theta=10000.0, layout="half"):
    c, s = _cs_2(x, positions, theta)
    return _turn_2(x, c.bfloat16().to(x.dtype), s.bfloat16().to(x.dtype), layout)
