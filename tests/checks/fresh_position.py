"""Chapter 5's wrong answers, written by one who had not seen the traps."""

import math

import torch
from fresh import answer

from tutor.position import alibi_slopes


# turned backwards
@answer("turned the wrong way")
def apply_rope__w01(x, positions, theta=10000.0, layout="half"):
    half = x.shape[-1] // 2
    freq = theta ** -(torch.arange(half, device=x.device, dtype=torch.float64) / half)
    angle = positions.double()[..., None] * freq
    cos, sin = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
    if layout == "half":
        a, b = x.chunk(2, dim=-1)
        return torch.cat((a * cos + b * sin, b * cos - a * sin), dim=-1)
    a, b = x[..., ::2], x[..., 1::2]
    return torch.stack((a * cos + b * sin, b * cos - a * sin), dim=-1).flatten(-2)


# layouts swapped
@answer("the other layout")
def apply_rope__w02(x, positions, theta=10000.0, layout="half"):
    half = x.shape[-1] // 2
    freq = theta ** -(torch.arange(half, device=x.device, dtype=torch.float64) / half)
    angle = positions.double()[..., None] * freq
    cos, sin = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
    if layout == "interleaved":
        a, b = x.chunk(2, dim=-1)
        return torch.cat((a * cos - b * sin, a * sin + b * cos), dim=-1)
    a, b = x[..., ::2], x[..., 1::2]
    return torch.stack((a * cos - b * sin, a * sin + b * cos), dim=-1).flatten(-2)


# layout ignored (always half)
@answer("one layout for both")
def apply_rope__w03(x, positions, theta=10000.0, layout="half"):
    half = x.shape[-1] // 2
    freq = theta ** -(torch.arange(half, device=x.device, dtype=torch.float64) / half)
    angle = positions.double()[..., None] * freq
    cos, sin = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
    a, b = x.chunk(2, dim=-1)
    return torch.cat((a * cos - b * sin, a * sin + b * cos), dim=-1)


# exponent i/D, not 2i/D
@answer("the exponent without its 2")
def apply_rope__w04(x, positions, theta=10000.0, layout="half"):
    half = x.shape[-1] // 2
    freq = theta ** -(torch.arange(half, device=x.device, dtype=torch.float64) / x.shape[-1])
    angle = positions.double()[..., None] * freq
    cos, sin = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
    if layout == "half":
        a, b = x.chunk(2, dim=-1)
        return torch.cat((a * cos - b * sin, a * sin + b * cos), dim=-1)
    a, b = x[..., ::2], x[..., 1::2]
    return torch.stack((a * cos - b * sin, a * sin + b * cos), dim=-1).flatten(-2)


# angles in single precision
@answer("angles in single precision")
def apply_rope__w05(x, positions, theta=10000.0, layout="half"):
    half = x.shape[-1] // 2
    freq = theta ** -(torch.arange(half, device=x.device, dtype=torch.float32) / half)
    angle = positions.float()[..., None] * freq
    cos, sin = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
    if layout == "half":
        a, b = x.chunk(2, dim=-1)
        return torch.cat((a * cos - b * sin, a * sin + b * cos), dim=-1)
    a, b = x[..., ::2], x[..., 1::2]
    return torch.stack((a * cos - b * sin, a * sin + b * cos), dim=-1).flatten(-2)


# angles in x's dtype
@answer("angles in the precision of x")
def apply_rope__w06(x, positions, theta=10000.0, layout="half"):
    half = x.shape[-1] // 2
    freq = theta ** -(torch.arange(half, device=x.device, dtype=x.dtype) / half)
    angle = positions.to(x.dtype)[..., None] * freq
    cos, sin = angle.cos(), angle.sin()
    if layout == "half":
        a, b = x.chunk(2, dim=-1)
        return torch.cat((a * cos - b * sin, a * sin + b * cos), dim=-1)
    a, b = x[..., ::2], x[..., 1::2]
    return torch.stack((a * cos - b * sin, a * sin + b * cos), dim=-1).flatten(-2)


# answer stays double
@answer("double whatever comes in")
def apply_rope__w07(x, positions, theta=10000.0, layout="half"):
    half = x.shape[-1] // 2
    freq = theta ** -(torch.arange(half, device=x.device, dtype=torch.float64) / half)
    angle = positions.double()[..., None] * freq
    cos, sin = angle.cos(), angle.sin()
    if layout == "half":
        a, b = x.chunk(2, dim=-1)
        return torch.cat((a * cos - b * sin, a * sin + b * cos), dim=-1)
    a, b = x[..., ::2], x[..., 1::2]
    return torch.stack((a * cos - b * sin, a * sin + b * cos), dim=-1).flatten(-2)


# in-place on x
@answer("the input overwritten")
def apply_rope__w08(x, positions, theta=10000.0, layout="half"):
    half = x.shape[-1] // 2
    freq = theta ** -(torch.arange(half, device=x.device, dtype=torch.float64) / half)
    angle = positions.double()[..., None] * freq
    cos, sin = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
    one, two = (
        (slice(0, half), slice(half, None))
        if layout == "half"
        else (slice(0, None, 2), slice(1, None, 2))
    )
    a, b = x[..., one].clone(), x[..., two].clone()
    x[..., one] = a * cos - b * sin
    x[..., two] = a * sin + b * cos
    return x


# uses the new a in b
@answer("the first overwritten before the second is read")
def apply_rope__w09(x, positions, theta=10000.0, layout="half"):
    half = x.shape[-1] // 2
    freq = theta ** -(torch.arange(half, device=x.device, dtype=torch.float64) / half)
    angle = positions.double()[..., None] * freq
    cos, sin = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
    a, b = x.chunk(2, dim=-1) if layout == "half" else (x[..., ::2], x[..., 1::2])
    a = a * cos - b * sin
    b = a * sin + b * cos
    return torch.cat((a, b), -1) if layout == "half" else torch.stack((a, b), -1).flatten(-2)


# cat for interleaved (order not restored)
@answer("taken apart in one layout, put together in the other")
def apply_rope__w10(x, positions, theta=10000.0, layout="half"):
    half = x.shape[-1] // 2
    freq = theta ** -(torch.arange(half, device=x.device, dtype=torch.float64) / half)
    angle = positions.double()[..., None] * freq
    cos, sin = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
    a, b = x.chunk(2, dim=-1) if layout == "half" else (x[..., ::2], x[..., 1::2])
    return torch.cat((a * cos - b * sin, a * sin + b * cos), dim=-1)


# theta ignored
@answer("theta hard-coded")
def apply_rope__w11(x, positions, theta=10000.0, layout="half"):
    half = x.shape[-1] // 2
    freq = 10000.0 ** -(torch.arange(half, device=x.device, dtype=torch.float64) / half)
    angle = positions.double()[..., None] * freq
    cos, sin = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
    if layout == "half":
        a, b = x.chunk(2, dim=-1)
        return torch.cat((a * cos - b * sin, a * sin + b * cos), dim=-1)
    a, b = x[..., ::2], x[..., 1::2]
    return torch.stack((a * cos - b * sin, a * sin + b * cos), dim=-1).flatten(-2)


# positions ignored (arange)
@answer("positions always from zero")
def apply_rope__w12(x, positions, theta=10000.0, layout="half"):
    half = x.shape[-1] // 2
    freq = theta ** -(torch.arange(half, device=x.device, dtype=torch.float64) / half)
    angle = torch.arange(x.shape[-2], device=x.device).double()[..., None] * freq
    cos, sin = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
    if layout == "half":
        a, b = x.chunk(2, dim=-1)
        return torch.cat((a * cos - b * sin, a * sin + b * cos), dim=-1)
    a, b = x[..., ::2], x[..., 1::2]
    return torch.stack((a * cos - b * sin, a * sin + b * cos), dim=-1).flatten(-2)


# exponent positive
@answer("frequencies that grow")
def apply_rope__w13(x, positions, theta=10000.0, layout="half"):
    half = x.shape[-1] // 2
    freq = theta ** (torch.arange(half, device=x.device, dtype=torch.float64) / half)
    angle = positions.double()[..., None] * freq
    cos, sin = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
    if layout == "half":
        a, b = x.chunk(2, dim=-1)
        return torch.cat((a * cos - b * sin, a * sin + b * cos), dim=-1)
    a, b = x[..., ::2], x[..., 1::2]
    return torch.stack((a * cos - b * sin, a * sin + b * cos), dim=-1).flatten(-2)


# sin and cos swapped
@answer("sine and cosine exchanged")
def apply_rope__w14(x, positions, theta=10000.0, layout="half"):
    half = x.shape[-1] // 2
    freq = theta ** -(torch.arange(half, device=x.device, dtype=torch.float64) / half)
    angle = positions.double()[..., None] * freq
    sin, cos = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
    if layout == "half":
        a, b = x.chunk(2, dim=-1)
        return torch.cat((a * cos - b * sin, a * sin + b * cos), dim=-1)
    a, b = x[..., ::2], x[..., 1::2]
    return torch.stack((a * cos - b * sin, a * sin + b * cos), dim=-1).flatten(-2)


# frequencies run from i = 1
@answer("the first frequency left out")
def apply_rope__w15(x, positions, theta=10000.0, layout="half"):
    half = x.shape[-1] // 2
    freq = theta ** -(torch.arange(1, half + 1, device=x.device, dtype=torch.float64) / half)
    angle = positions.double()[..., None] * freq
    cos, sin = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
    if layout == "half":
        a, b = x.chunk(2, dim=-1)
        return torch.cat((a * cos - b * sin, a * sin + b * cos), dim=-1)
    a, b = x[..., ::2], x[..., 1::2]
    return torch.stack((a * cos - b * sin, a * sin + b * cos), dim=-1).flatten(-2)


# both terms plus (reflection, no rotation)
@answer("no minus")
def apply_rope__w16(x, positions, theta=10000.0, layout="half"):
    half = x.shape[-1] // 2
    freq = theta ** -(torch.arange(half, device=x.device, dtype=torch.float64) / half)
    angle = positions.double()[..., None] * freq
    cos, sin = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
    if layout == "half":
        a, b = x.chunk(2, dim=-1)
        return torch.cat((a * cos + b * sin, a * sin + b * cos), dim=-1)
    a, b = x[..., ::2], x[..., 1::2]
    return torch.stack((a * cos + b * sin, a * sin + b * cos), dim=-1).flatten(-2)


# positions.max()+1 table index (floats fail)
@answer("positions cut to integers")
def apply_rope__w17(x, positions, theta=10000.0, layout="half"):
    half = x.shape[-1] // 2
    freq = theta ** -(torch.arange(half, device=x.device, dtype=torch.float64) / half)
    angle = positions.long().double()[..., None] * freq
    cos, sin = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
    if layout == "half":
        a, b = x.chunk(2, dim=-1)
        return torch.cat((a * cos - b * sin, a * sin + b * cos), dim=-1)
    a, b = x[..., ::2], x[..., 1::2]
    return torch.stack((a * cos - b * sin, a * sin + b * cos), dim=-1).flatten(-2)


# linspace including the end (exponent i/(half-1))
@answer("the last wavelength stretched to theta")
def apply_rope__w18(x, positions, theta=10000.0, layout="half"):
    half = x.shape[-1] // 2
    freq = theta ** -torch.linspace(0, 1, half, device=x.device, dtype=torch.float64)
    angle = positions.double()[..., None] * freq
    cos, sin = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
    if layout == "half":
        a, b = x.chunk(2, dim=-1)
        return torch.cat((a * cos - b * sin, a * sin + b * cos), dim=-1)
    a, b = x[..., ::2], x[..., 1::2]
    return torch.stack((a * cos - b * sin, a * sin + b * cos), dim=-1).flatten(-2)


# frequencies on the CPU (device)
@answer()
def apply_rope__w19(x, positions, theta=10000.0, layout="half"):
    half = x.shape[-1] // 2
    freq = theta ** -(torch.arange(half, dtype=torch.float64) / half)
    angle = positions.double()[..., None] * freq
    cos, sin = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
    if layout == "half":
        a, b = x.chunk(2, dim=-1)
        return torch.cat((a * cos - b * sin, a * sin + b * cos), dim=-1)
    a, b = x[..., ::2], x[..., 1::2]
    return torch.stack((a * cos - b * sin, a * sin + b * cos), dim=-1).flatten(-2)


# view_as_complex in float: single precision for double
@answer()
def apply_rope__w20(x, positions, theta=10000.0, layout="half"):
    half = x.shape[-1] // 2
    freq = theta ** -(torch.arange(half, device=x.device, dtype=torch.float64) / half)
    angle = positions.double()[..., None] * freq
    turn = torch.polar(torch.ones_like(angle), angle).to(torch.complex64)
    pairs = x.unflatten(-1, (2, half)).mT if layout == "half" else x.unflatten(-1, (half, 2))
    out = torch.view_as_real(torch.view_as_complex(pairs.float().contiguous()) * turn)
    out = out.mT if layout == "half" else out
    return out.flatten(-2).to(x.dtype)


# turned backwards; layout ignored
@answer("one layout for both", "turned the wrong way")
def apply_rope__w21(x, positions, theta=10000.0, layout="half"):
    half = x.shape[-1] // 2
    freq = theta ** -(torch.arange(half, device=x.device, dtype=torch.float64) / half)
    angle = positions.double()[..., None] * freq
    cos, sin = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
    a, b = x.chunk(2, dim=-1)
    return torch.cat((a * cos + b * sin, b * cos - a * sin), dim=-1)


# layouts swapped; exponent i/D
@answer("the exponent without its 2", "the other layout")
def apply_rope__w22(x, positions, theta=10000.0, layout="half"):
    half = x.shape[-1] // 2
    freq = theta ** -(torch.arange(half, device=x.device, dtype=torch.float64) / (2 * half))
    angle = positions.double()[..., None] * freq
    cos, sin = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
    if layout == "interleaved":
        a, b = x.chunk(2, dim=-1)
        return torch.cat((a * cos - b * sin, a * sin + b * cos), dim=-1)
    a, b = x[..., ::2], x[..., 1::2]
    return torch.stack((a * cos - b * sin, a * sin + b * cos), dim=-1).flatten(-2)


# turned backwards; exponent i/D
@answer("the exponent without its 2", "turned the wrong way")
def apply_rope__w23(x, positions, theta=10000.0, layout="half"):
    half = x.shape[-1] // 2
    freq = theta ** -(torch.arange(half, device=x.device, dtype=torch.float64) / x.shape[-1])
    angle = positions.double()[..., None] * freq
    cos, sin = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
    if layout == "half":
        a, b = x.chunk(2, dim=-1)
        return torch.cat((a * cos + b * sin, b * cos - a * sin), dim=-1)
    a, b = x[..., ::2], x[..., 1::2]
    return torch.stack((a * cos + b * sin, b * cos - a * sin), dim=-1).flatten(-2)


# theta ignored; single precision angles
@answer("theta hard-coded", "angles in single precision")
def apply_rope__w24(x, positions, theta=10000.0, layout="half"):
    half = x.shape[-1] // 2
    freq = 10000.0 ** -(torch.arange(half, device=x.device).float() / half)
    angle = positions.float()[..., None] * freq
    cos, sin = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
    if layout == "half":
        a, b = x.chunk(2, dim=-1)
        return torch.cat((a * cos - b * sin, a * sin + b * cos), dim=-1)
    a, b = x[..., ::2], x[..., 1::2]
    return torch.stack((a * cos - b * sin, a * sin + b * cos), dim=-1).flatten(-2)


# positions ignored; turned backwards
@answer("positions always from zero", "turned the wrong way")
def apply_rope__w25(x, positions, theta=10000.0, layout="half"):
    half = x.shape[-1] // 2
    freq = theta ** -(torch.arange(half, device=x.device, dtype=torch.float64) / half)
    angle = torch.arange(x.shape[-2], device=x.device).double()[..., None] * freq
    cos, sin = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
    if layout == "half":
        a, b = x.chunk(2, dim=-1)
        return torch.cat((a * cos + b * sin, b * cos - a * sin), dim=-1)
    a, b = x[..., ::2], x[..., 1::2]
    return torch.stack((a * cos + b * sin, b * cos - a * sin), dim=-1).flatten(-2)


# layout ignored; theta ignored
@answer("theta hard-coded", "one layout for both")
def apply_rope__w26(x, positions, theta=10000.0, layout="half"):
    half = x.shape[-1] // 2
    freq = 10000.0 ** -(torch.arange(half, device=x.device, dtype=torch.float64) / half)
    angle = positions.double()[..., None] * freq
    cos, sin = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
    a, b = x.chunk(2, dim=-1)
    return torch.cat((a * cos - b * sin, a * sin + b * cos), dim=-1)


# positions one too large (start at 1)
@answer("positions from one")
def apply_rope__w27(x, positions, theta=10000.0, layout="half"):
    half = x.shape[-1] // 2
    freq = theta ** -(torch.arange(half, device=x.device, dtype=torch.float64) / half)
    angle = (positions.double() + 1)[..., None] * freq
    cos, sin = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
    if layout == "half":
        a, b = x.chunk(2, dim=-1)
        return torch.cat((a * cos - b * sin, a * sin + b * cos), dim=-1)
    a, b = x[..., ::2], x[..., 1::2]
    return torch.stack((a * cos - b * sin, a * sin + b * cos), dim=-1).flatten(-2)


# encoding added instead of rotated
@answer("added instead of turned")
def apply_rope__w28(x, positions, theta=10000.0, layout="half"):
    half = x.shape[-1] // 2
    freq = theta ** -(torch.arange(half, device=x.device, dtype=torch.float64) / half)
    angle = positions.double()[..., None] * freq
    cos, sin = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
    if layout == "half":
        return x + torch.cat((sin, cos), -1)
    return x + torch.stack((sin, cos), -1).flatten(-2)


# frequencies slightly wrong: rounded to float32 first
@answer("angles in single precision")
def apply_rope__w30(x, positions, theta=10000.0, layout="half"):
    half = x.shape[-1] // 2
    freq = (theta ** -(torch.arange(half, device=x.device).float() / half)).double()
    angle = positions.double()[..., None] * freq
    cos, sin = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
    if layout == "half":
        a, b = x.chunk(2, dim=-1)
        return torch.cat((a * cos - b * sin, a * sin + b * cos), dim=-1)
    a, b = x[..., ::2], x[..., 1::2]
    return torch.stack((a * cos - b * sin, a * sin + b * cos), dim=-1).flatten(-2)


# positive sign
@answer("far is rewarded")
def alibi_bias__w01(num_heads, num_queries, num_keys, device=None):
    q = torch.arange(num_queries, device=device)[:, None] + num_keys - num_queries
    return (
        alibi_slopes(num_heads, device)[:, None, None]
        * (q - torch.arange(num_keys, device=device)).abs()
    )


# no offset
@answer("aligned to the wrong corner")
def alibi_bias__w02(num_heads, num_queries, num_keys, device=None):
    q = torch.arange(num_queries, device=device)[:, None]
    return (
        -alibi_slopes(num_heads, device)[:, None, None]
        * (q - torch.arange(num_keys, device=device)).abs()
    )


# signed distance
@answer("the future is rewarded")
def alibi_bias__w03(num_heads, num_queries, num_keys, device=None):
    q = torch.arange(num_queries, device=device)[:, None] + num_keys - num_queries
    return -alibi_slopes(num_heads, device)[:, None, None] * (
        q - torch.arange(num_keys, device=device)
    )


# clamped (future 0)
@answer("the future is free")
def alibi_bias__w04(num_heads, num_queries, num_keys, device=None):
    q = torch.arange(num_queries, device=device)[:, None] + num_keys - num_queries
    return -alibi_slopes(num_heads, device)[:, None, None] * (
        q - torch.arange(num_keys, device=device)
    ).clamp(min=0)


# future hidden (-inf)
@answer("the mask included")
def alibi_bias__w05(num_heads, num_queries, num_keys, device=None):
    q = torch.arange(num_queries, device=device)[:, None] + num_keys - num_queries
    d = q - torch.arange(num_keys, device=device)
    b = -alibi_slopes(num_heads, device)[:, None, None] * d.abs()
    return b.masked_fill(d < 0, -math.inf)


# offset wrong sign
@answer("shifted the wrong way")
def alibi_bias__w06(num_heads, num_queries, num_keys, device=None):
    q = torch.arange(num_queries, device=device)[:, None] - num_keys + num_queries
    return (
        -alibi_slopes(num_heads, device)[:, None, None]
        * (q - torch.arange(num_keys, device=device)).abs()
    )


# off by one
@answer("shifted by one")
def alibi_bias__w07(num_heads, num_queries, num_keys, device=None):
    q = torch.arange(num_queries, device=device)[:, None] + num_keys - num_queries + 1
    return (
        -alibi_slopes(num_heads, device)[:, None, None]
        * (q - torch.arange(num_keys, device=device)).abs()
    )


# transposed
@answer()
def alibi_bias__w08(num_heads, num_queries, num_keys, device=None):
    q = torch.arange(num_queries, device=device) + num_keys - num_queries
    return (
        -alibi_slopes(num_heads, device)[:, None, None]
        * (q - torch.arange(num_keys, device=device)[:, None]).abs()
    )


# slopes of a power of two for any H
@answer("the formula for powers of two, for all")
def alibi_bias__w09(num_heads, num_queries, num_keys, device=None):
    s = torch.exp2(-8 * torch.arange(1, num_heads + 1, device=device) / num_heads)
    q = torch.arange(num_queries, device=device)[:, None] + num_keys - num_queries
    return -s[:, None, None] * (q - torch.arange(num_keys, device=device)).abs()


# device ignored
@answer()
def alibi_bias__w10(num_heads, num_queries, num_keys, device=None):
    q = torch.arange(num_queries)[:, None] + num_keys - num_queries
    return -alibi_slopes(num_heads)[:, None, None] * (q - torch.arange(num_keys)).abs()


# heads last
@answer("heads last")
def alibi_bias__w11(num_heads, num_queries, num_keys, device=None):
    q = torch.arange(num_queries, device=device)[:, None] + num_keys - num_queries
    return (
        -alibi_slopes(num_heads, device)
        * (q - torch.arange(num_keys, device=device)).abs()[..., None]
    )


# float64
@answer("the bias in double")
def alibi_bias__w12(num_heads, num_queries, num_keys, device=None):
    q = torch.arange(num_queries, device=device)[:, None] + num_keys - num_queries
    return (
        -alibi_slopes(num_heads, device).double()[:, None, None]
        * (q - torch.arange(num_keys, device=device)).abs()
    )


# squared distance
@answer("the distance squared")
def alibi_bias__w13(num_heads, num_queries, num_keys, device=None):
    q = torch.arange(num_queries, device=device)[:, None] + num_keys - num_queries
    return (
        -alibi_slopes(num_heads, device)[:, None, None]
        * (q - torch.arange(num_keys, device=device)) ** 2
    )


# slopes start at h = 0
@answer("the first slope is 1")
def alibi_bias__w16(num_heads, num_queries, num_keys, device=None):
    s = torch.exp2(-8 * torch.arange(num_heads, device=device) / num_heads)
    q = torch.arange(num_queries, device=device)[:, None] + num_keys - num_queries
    return -s[:, None, None] * (q - torch.arange(num_keys, device=device)).abs()


# uint8 distances: wrap around
@answer("distances in a short dtype")
def alibi_bias__w17(num_heads, num_queries, num_keys, device=None):
    q = torch.arange(num_queries, device=device)[:, None] + num_keys - num_queries
    d = (q - torch.arange(num_keys, device=device)).abs().to(torch.uint8)
    return -alibi_slopes(num_heads, device)[:, None, None] * d


# half precision inside
@answer("distances in a short dtype")
def alibi_bias__w18(num_heads, num_queries, num_keys, device=None):
    q = torch.arange(num_queries, device=device)[:, None] + num_keys - num_queries
    d = (q - torch.arange(num_keys, device=device)).abs().half()
    return (-alibi_slopes(num_heads, device)[:, None, None].half() * d).float()


# keys only: slope times key index (as in Bloom)
@answer("the key's position instead of the distance")
def alibi_bias__w19(num_heads, num_queries, num_keys, device=None):
    k = torch.arange(num_keys, device=device)
    return (alibi_slopes(num_heads, device)[:, None, None] * k).expand(
        num_heads, num_queries, num_keys
    )


# slopes reversed
@answer("slopes in rising order")
def alibi_bias__w20(num_heads, num_queries, num_keys, device=None):
    q = torch.arange(num_queries, device=device)[:, None] + num_keys - num_queries
    return (
        -alibi_slopes(num_heads, device).flip(0)[:, None, None]
        * (q - torch.arange(num_keys, device=device)).abs()
    )


# positive sign; no offset
@answer("far is rewarded", "aligned to the wrong corner")
def alibi_bias__w21(num_heads, num_queries, num_keys, device=None):
    q = torch.arange(num_queries, device=device)[:, None]
    return (
        alibi_slopes(num_heads, device)[:, None, None]
        * (q - torch.arange(num_keys, device=device)).abs()
    )


# no offset; signed distance
@answer("the future is rewarded", "aligned to the wrong corner")
def alibi_bias__w22(num_heads, num_queries, num_keys, device=None):
    q = torch.arange(num_queries, device=device)[:, None]
    return -alibi_slopes(num_heads, device)[:, None, None] * (
        q - torch.arange(num_keys, device=device)
    )


# no offset; device ignored
@answer("aligned to the wrong corner")
def alibi_bias__w23(num_heads, num_queries, num_keys, device=None):
    q = torch.arange(num_queries)[:, None]
    return -alibi_slopes(num_heads)[:, None, None] * (q - torch.arange(num_keys)).abs()


# slopes of a power of two for any H; no offset
@answer("aligned to the wrong corner", "the formula for powers of two, for all")
def alibi_bias__w24(num_heads, num_queries, num_keys, device=None):
    s = torch.exp2(-8 * torch.arange(1, num_heads + 1, device=device) / num_heads)
    q = torch.arange(num_queries, device=device)[:, None]
    return -s[:, None, None] * (q - torch.arange(num_keys, device=device)).abs()


# positive sign; clamped
@answer("far is rewarded", "the future is free")
def alibi_bias__w25(num_heads, num_queries, num_keys, device=None):
    q = torch.arange(num_queries, device=device)[:, None] + num_keys - num_queries
    return alibi_slopes(num_heads, device)[:, None, None] * (
        q - torch.arange(num_keys, device=device)
    ).clamp(min=0)


# future hidden; no offset
@answer("the mask included", "aligned to the wrong corner")
def alibi_bias__w26(num_heads, num_queries, num_keys, device=None):
    q = torch.arange(num_queries, device=device)[:, None]
    d = q - torch.arange(num_keys, device=device)
    return (-alibi_slopes(num_heads, device)[:, None, None] * d.abs()).masked_fill(d < 0, -math.inf)


# constant slightly wrong: 7.999
@answer()
def alibi_bias__w27(num_heads, num_queries, num_keys, device=None):
    q = torch.arange(num_queries, device=device)[:, None] + num_keys - num_queries
    return (
        -(alibi_slopes(num_heads, device) ** 0.9999)[:, None, None]
        * (q - torch.arange(num_keys, device=device)).abs()
    )


# last slopes of 2n from the second
@answer("the even slopes instead of the odd")
def alibi_bias__w28(num_heads, num_queries, num_keys, device=None):
    n = 2 ** (num_heads.bit_length() - 1)

    def p(n):
        return torch.exp2(-8.0 * torch.arange(1, n + 1, device=device) / n)

    s = torch.cat((p(n), p(2 * n)[1::2][: num_heads - n]))
    q = torch.arange(num_queries, device=device)[:, None] + num_keys - num_queries
    return -s[:, None, None] * (q - torch.arange(num_keys, device=device)).abs()


# integers times frequencies in float32: no dtype is written anywhere
@answer("angles in single precision")
def apply_rope__s01(x, positions, theta=10000.0, layout="half"):
    i = torch.arange(0, x.shape[-1], 2, device=x.device)
    angles = positions[..., None] * theta ** (-i / x.shape[-1])
    c, s = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
    p, q = x.chunk(2, -1) if layout == "half" else (x[..., ::2], x[..., 1::2])
    rotated = p * c - q * s, p * s + q * c
    return torch.cat(rotated, -1) if layout == "half" else torch.stack(rotated, -1).flatten(-2)
