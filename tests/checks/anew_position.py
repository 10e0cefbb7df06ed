"""Chapter 5's wrong answers of a second trial, by others who had not seen the traps."""

import math

import torch
from fresh import answer
from torch.nn import functional as F


# the offset goes to the earlier keys: sign of the relative position taken as query minus key
@answer("the second half for the earlier keys")
def relative_buckets__t01(relative_position, bidirectional=True, num_buckets=32, max_distance=128):
    rel = relative_position.long()
    if bidirectional:
        n = num_buckets // 2
        offset = torch.where(rel < 0, n, 0)
        d = rel.abs()
    else:
        n = num_buckets
        offset = 0
        d = (-rel).clamp(min=0)
    e = n // 2
    wide = (
        e + (torch.log(d.clamp(min=1).double() / e) / math.log(max_distance / e) * (n - e)).long()
    )
    return torch.where(d < e, d, wide.clamp(max=n - 1)) + offset


# does not halve the buckets between the two directions
@answer("all buckets for each direction")
def relative_buckets__t02(relative_position, bidirectional=True, num_buckets=32, max_distance=128):
    rel = relative_position.long()
    n = num_buckets
    e = n // 2
    d = rel.abs() if bidirectional else (-rel).clamp(min=0)
    far = torch.log(d.clamp(min=e).double() / e) / math.log(max_distance / e) * (n - e)
    far = torch.clamp(e + far.long(), max=n - 1)
    bucket = torch.where(d < e, d, far)
    if bidirectional:
        bucket = bucket + n * (rel > 0)
    return bucket


# a causal model's later keys get the bucket of their distance instead of 0
@answer("a future in a causal model")
def relative_buckets__t03(relative_position, bidirectional=True, num_buckets=32, max_distance=128):
    r = relative_position.to(torch.int64)
    n = num_buckets // 2 if bidirectional else num_buckets
    e = n // 2
    d = r.abs()
    ratio = torch.log(d.clamp(min=1).double() / e) / math.log(max_distance / e)
    wide = torch.clamp(e + (ratio * (n - e)).floor().long(), max=n - 1)
    b = torch.where(d < e, d, wide)
    if bidirectional:
        b = b + (r > 0).long() * n
    return b


# in one direction the earlier keys get bucket 0 and the later ones are told apart
@answer("the past for the future")
def relative_buckets__t04(relative_position, bidirectional=True, num_buckets=32, max_distance=128):

    def log_bucket(d, n, max_distance):
        e = n // 2
        v = torch.log(d.clamp(min=1).double() / e) / math.log(max_distance / e) * (n - e)
        return torch.where(d < e, d, torch.clamp(v.long() + e, max=n - 1))

    rel = relative_position.long()
    if bidirectional:
        half = num_buckets // 2
        return log_bucket(rel.abs(), half, max_distance) + half * (rel > 0).long()
    return log_bucket(rel.clamp(min=0), num_buckets, max_distance)


# forgets the minimum: distances beyond the maximum run past the last bucket
@answer("far distances not gathered")
def relative_buckets__t05(relative_position, bidirectional=True, num_buckets=32, max_distance=128):
    rel = relative_position.long()
    offset = torch.zeros_like(rel)
    if bidirectional:
        n = num_buckets // 2
        offset = offset + (rel > 0) * n
        d = rel.abs()
    else:
        n = num_buckets
        d = torch.relu(-rel)
    e = n // 2
    wide = (
        e + (torch.log(d.clamp(min=e).double() / e) / math.log(max_distance / e) * (n - e)).long()
    )
    return offset + torch.where(d < e, d, wide)


# caps at n instead of n - 1
@answer("the last bucket one too far")
def relative_buckets__t06(relative_position, bidirectional=True, num_buckets=32, max_distance=128):
    n = num_buckets // 2 if bidirectional else num_buckets
    e = n // 2
    rel = relative_position.long()
    d = torch.abs(rel) if bidirectional else torch.clamp(-rel, min=0)
    big = torch.log(torch.clamp(d, min=1).double() / e)
    big = big / math.log(max_distance / e) * (n - e)
    big = torch.minimum(e + big.floor().long(), torch.tensor(n, device=rel.device))
    out = torch.where(d < e, d, big)
    return out + (rel > 0).long() * n if bidirectional else out


# rounds to the nearest bucket instead of down
@answer("rounded to the nearest")
def relative_buckets__t07(relative_position, bidirectional=True, num_buckets=32, max_distance=128):
    rel = relative_position.long()
    if bidirectional:
        n = num_buckets // 2
        d = rel.abs()
    else:
        n = num_buckets
        d = (-rel).clamp(min=0)
    exact = n // 2
    pos = torch.log(d.clamp(min=exact).double() / exact) / math.log(max_distance / exact)
    wide = (exact + torch.round(pos * (n - exact)).long()).clamp(max=n - 1)
    bucket = torch.where(d < exact, d, wide)
    if bidirectional:
        bucket = torch.where(rel > 0, bucket + n, bucket)
    return bucket


# spaces the far buckets evenly instead of logarithmically
@answer("wide buckets of equal width")
def relative_buckets__t08(relative_position, bidirectional=True, num_buckets=32, max_distance=128):
    r = relative_position.long()
    n = num_buckets // 2 if bidirectional else num_buckets
    d = r.abs() if bidirectional else F.relu(-r)
    e = n // 2
    share = (d - e).clamp(min=0).double() / (max_distance - e)
    wide = (e + torch.floor(share * (n - e)).long()).clamp(max=n - 1)
    bucket = torch.where(d < e, d, wide)
    return bucket + n * (r > 0) if bidirectional else bucket


# a distance of 0 counts as a later key and gets the offset
@answer("the word itself among the later ones")
def relative_buckets__t09(relative_position, bidirectional=True, num_buckets=32, max_distance=128):
    rel = relative_position.to(torch.long)
    ret = torch.zeros_like(rel)
    if bidirectional:
        num_buckets //= 2
        ret += (rel >= 0).long() * num_buckets
        rel = rel.abs()
    else:
        rel = -torch.min(rel, torch.zeros_like(rel))
    max_exact = num_buckets // 2
    large = (
        max_exact
        + (
            torch.log(rel.clamp(min=1).double() / max_exact)
            / math.log(max_distance / max_exact)
            * (num_buckets - max_exact)
        ).long()
    )
    large = large.clamp(max=num_buckets - 1)
    return ret + torch.where(rel < max_exact, rel, large)


# forgets that the far buckets start at e
@answer("wide buckets from 0")
def relative_buckets__t10(relative_position, bidirectional=True, num_buckets=32, max_distance=128):
    rel = relative_position.long()
    n = num_buckets // 2 if bidirectional else num_buckets
    e = n // 2
    d = rel.abs() if bidirectional else (-rel).clamp(min=0)
    y = torch.log(d.clamp(min=1).double() / e) / math.log(max_distance / e) * (n - e)
    wide = y.long().clamp(max=n - 1)
    b = torch.where(d < e, d, wide)
    return b + (n * (rel > 0) if bidirectional else 0)


# spreads the far distances over all n buckets instead of the n - e that are left
@answer("too many wide buckets")
def relative_buckets__t11(relative_position, bidirectional=True, num_buckets=32, max_distance=128):
    rel = relative_position.to(torch.int64)
    if bidirectional:
        n = num_buckets // 2
        shift, d = (n * (rel > 0).long(), rel.abs())
    else:
        n = num_buckets
        shift, d = (0, (-rel).clamp(min=0))
    e = n // 2
    t = (d.clamp(min=e).double() / e).log().div(math.log(max_distance / e))
    wide = torch.clamp(e + (t * n).long(), max=n - 1)
    return shift + torch.where(d < e, d, wide)


# divides by ln(max distance) instead of ln(max distance / e)
@answer("the logarithm of max_distance alone")
def relative_buckets__t12(relative_position, bidirectional=True, num_buckets=32, max_distance=128):
    rel = relative_position.long()
    if bidirectional:
        n = num_buckets // 2
        d = rel.abs()
        offset = torch.where(rel > 0, n, 0)
    else:
        n = num_buckets
        d = rel.neg().clamp(min=0)
        offset = torch.zeros_like(rel)
    e = n // 2
    log_d = torch.log(d.clamp(min=e).double() / e)
    idx = torch.floor(log_d / math.log(max_distance) * (n - e)).long() + e
    idx = torch.where(idx > n - 1, n - 1, idx)
    return offset + torch.where(d < e, d, idx)


# returns the integer type of the input instead of int64
@answer("another integer type")
def relative_buckets__t14(relative_position, bidirectional=True, num_buckets=32, max_distance=128):
    rel = relative_position.long()
    n = num_buckets // 2 if bidirectional else num_buckets
    e = n // 2
    d = rel.abs() if bidirectional else torch.relu(-rel)
    wide = e + ((d.clamp(min=e).double() / e).log() / math.log(max_distance / e) * (n - e)).floor()
    bucket = torch.where(d < e, d, wide.clamp(max=n - 1).long())
    if bidirectional:
        bucket = bucket + n * (rel > 0)
    return bucket.to(relative_position.dtype)


# cuts the quotient of the logarithms to a whole number before multiplying
@answer("cut before it is multiplied")
def relative_buckets__t15(relative_position, bidirectional=True, num_buckets=32, max_distance=128):
    rel = relative_position.long()
    if bidirectional:
        n, d = (num_buckets // 2, rel.abs())
    else:
        n, d = (num_buckets, (-rel).clamp(min=0))
    e = n // 2
    quotient = torch.log(d.clamp(min=e).double() / e) / math.log(max_distance / e)
    wide = (e + quotient.long() * (n - e)).clamp(max=n - 1)
    bucket = torch.where(d < e, d, wide)
    return torch.where(rel > 0, bucket + n, bucket) if bidirectional else bucket


# no offset: both directions share the same buckets
@answer("both directions in one half")
def relative_buckets__t16(relative_position, bidirectional=True, num_buckets=32, max_distance=128):
    n = num_buckets // 2 if bidirectional else num_buckets
    exact = n // 2
    r = relative_position.long()
    distance = r.abs() if bidirectional else (-r).clamp(min=0)
    wide = torch.log(distance.clamp(min=1).double() / exact) / math.log(max_distance / exact)
    wide = exact + (wide * (n - exact)).long()
    return torch.where(distance < exact, distance, wide.clamp(max=n - 1))


# all n distances get a bucket of their own, no logarithmic part
@answer("no wide buckets")
def relative_buckets__t17(relative_position, bidirectional=True, num_buckets=32, max_distance=128):
    rel = relative_position.long()
    if bidirectional:
        n = num_buckets // 2
        return rel.abs().clamp(max=n - 1) + n * (rel > 0).long()
    return (-rel).clamp(min=0, max=num_buckets - 1)


# mixes bases: log2 of the distance over the natural log of the range
@answer("two bases in one quotient")
def relative_buckets__t18(relative_position, bidirectional=True, num_buckets=32, max_distance=128):
    rel = relative_position.to(torch.int64)
    offset = 0
    n = num_buckets
    if bidirectional:
        n = n // 2
        offset = (rel > 0).to(torch.int64) * n
        d = torch.abs(rel)
    else:
        d = -torch.minimum(rel, torch.zeros_like(rel))
    e = n // 2
    frac = torch.log2(d.clamp(min=e).double() / e) / math.log(max_distance / e)
    far = torch.clamp(e + torch.floor(frac * (n - e)).long(), max=n - 1)
    return torch.where(d < e, d, far) + offset


# the offset goes to the earlier keys: sign of the relative position taken as query minus key
# rounds to the nearest bucket instead of down
@answer("the second half for the earlier keys", "rounded to the nearest")
def relative_buckets__t19(relative_position, bidirectional=True, num_buckets=32, max_distance=128):
    rel = relative_position.long()
    n = num_buckets // 2 if bidirectional else num_buckets
    e = n // 2
    d = rel.abs() if bidirectional else (-rel).clamp(min=0)
    wide = (
        e
        + (torch.log(d.clamp(min=e).double() / e) / math.log(max_distance / e) * (n - e))
        .round()
        .long()
    )
    out = torch.where(d < e, d, wide.clamp(max=n - 1))
    if bidirectional:
        out = out + n * (rel < 0).long()
    return out


# does not halve the buckets between the two directions
# forgets the minimum: distances beyond the maximum run past the last bucket
@answer("all buckets for each direction", "far distances not gathered")
def relative_buckets__t20(relative_position, bidirectional=True, num_buckets=32, max_distance=128):
    r = relative_position.long()
    e = num_buckets // 2
    d = r.abs() if bidirectional else F.relu(-r)
    share = (d.clamp(min=e).double() / e).log() / math.log(max_distance / e)
    bucket = torch.where(d < e, d, e + (share * (num_buckets - e)).long())
    if bidirectional:
        bucket = torch.where(r > 0, bucket + num_buckets, bucket)
    return bucket


# a causal model's later keys get the bucket of their distance instead of 0
# spreads the far distances over all n buckets instead of the n - e that are left
@answer("a future in a causal model", "too many wide buckets")
def relative_buckets__t21(relative_position, bidirectional=True, num_buckets=32, max_distance=128):
    rel = relative_position.long()
    distance = torch.abs(rel)
    n = num_buckets // 2 if bidirectional else num_buckets
    exact = n // 2
    logs = torch.log(distance.clamp(min=1).double() / exact) / math.log(max_distance / exact)
    wide = torch.minimum(exact + torch.floor(logs * n).long(), torch.full_like(distance, n - 1))
    result = torch.where(distance < exact, distance, wide)
    if bidirectional:
        result = result + n * (rel > 0).long()
    return result


# a distance of 0 counts as a later key and gets the offset
# divides by ln(max distance) instead of ln(max distance / e)
@answer("the logarithm of max_distance alone", "the word itself among the later ones")
def relative_buckets__t22(relative_position, bidirectional=True, num_buckets=32, max_distance=128):

    def far_bucket(d, e, n, max_distance):
        y = (d.clamp(min=e).double() / e).log() / math.log(max_distance)
        return (e + (y * (n - e)).long()).clamp(max=n - 1)

    rel = relative_position.long()
    if bidirectional:
        n = num_buckets // 2
        d = rel.abs()
    else:
        n = num_buckets
        d = (-rel).clamp(min=0)
    e = n // 2
    bucket = torch.where(d < e, d, far_bucket(d, e, n, max_distance))
    if bidirectional:
        bucket = torch.where(rel < 0, bucket, bucket + n)
    return bucket


# no offset: both directions share the same buckets
# returns the integer type of the input instead of int64
@answer("both directions in one half", "another integer type")
def relative_buckets__t23(relative_position, bidirectional=True, num_buckets=32, max_distance=128):
    dtype = relative_position.dtype
    r = relative_position.long()
    n = num_buckets
    if bidirectional:
        n //= 2
        d = r.abs()
    else:
        d = (-r).clamp(min=0)
    e = n // 2
    d_far = (
        e + (torch.log(d.clamp(min=1).double() / e) / math.log(max_distance / e) * (n - e)).floor()
    )
    return torch.where(d < e, d, d_far.clamp(max=n - 1)).to(dtype)


# spaces the far buckets evenly instead of logarithmically
# in one direction the earlier keys get bucket 0 and the later ones are told apart
@answer("the past for the future", "wide buckets of equal width")
def relative_buckets__t24(relative_position, bidirectional=True, num_buckets=32, max_distance=128):
    rel = relative_position.long()
    n = num_buckets // 2 if bidirectional else num_buckets
    e = n // 2
    d = rel.abs() if bidirectional else rel.clamp(min=0)
    step = (max_distance - e) / (n - e)
    wide = e + torch.floor((d - e).double() / step).long()
    bucket = torch.where(d < e, d, wide.clamp(max=n - 1))
    if bidirectional:
        bucket += n * (rel > 0)
    return bucket


# all sines first and then all cosines instead of alternating
@answer("sines and cosines side by side")
def sinusoidal_encoding__t01(positions, width, theta=10000.0):
    i = torch.arange(width // 2, dtype=torch.float64, device=positions.device)
    phi = positions.double()[..., None] * theta ** (-2 * i / width)
    out = torch.cat((phi.sin(), phi.cos()), dim=-1)
    return out.to(positions.dtype if positions.is_floating_point() else torch.float32)


# sine and cosine swapped
@answer("the cosine first")
def sinusoidal_encoding__t02(positions, width, theta=10000.0):
    freq = theta ** (-torch.arange(0, width, 2, device=positions.device).double() / width)
    phi = positions.double().unsqueeze(-1) * freq
    out = torch.stack((torch.cos(phi), torch.sin(phi)), dim=-1).flatten(-2)
    if not positions.is_floating_point():
        return out.float()
    return out.to(positions.dtype)


# exponent i/width, the factor 2 forgotten
@answer("the exponent without its 2")
def sinusoidal_encoding__t03(positions, width, theta=10000.0):
    dtype = positions.dtype if positions.is_floating_point() else torch.float32
    i = torch.arange(width // 2, device=positions.device, dtype=torch.float64)
    div = torch.pow(theta, i / width)
    angle = positions.double().unsqueeze(-1) / div
    pe = torch.empty(*positions.shape, width, dtype=torch.float64, device=positions.device)
    pe[..., 0::2] = torch.sin(angle)
    pe[..., 1::2] = torch.cos(angle)
    return pe.to(dtype)


# exponent without the minus, so the clocks turn faster and faster
@answer("frequencies that grow")
def sinusoidal_encoding__t04(positions, width, theta=10000.0):
    i = torch.arange(width // 2, device=positions.device).double()
    frequencies = theta ** (2 * i / width)
    angles = torch.einsum("...t,d->...td", positions.double(), frequencies)
    out = torch.stack((angles.sin(), angles.cos()), dim=-1).flatten(-2)
    return out.to(positions.dtype) if positions.is_floating_point() else out.to(torch.float32)


# sine and cosine of a pair get different frequencies (exponent counts features, not pairs)
@answer("a frequency for every feature")
def sinusoidal_encoding__t05(positions, width, theta=10000.0):
    j = torch.arange(width, dtype=torch.float64, device=positions.device)
    phi = positions.double()[..., None] * theta ** (-j / width)
    out = torch.where(j % 2 == 0, phi.sin(), phi.cos())
    return out.to(positions.dtype if positions.is_floating_point() else torch.float32)


# computes the angles in single precision
@answer("angles in single precision")
def sinusoidal_encoding__t06(positions, width, theta=10000.0):
    pos = positions.float().unsqueeze(-1)
    div_term = torch.exp(
        torch.arange(0, width, 2, device=positions.device).float() * (-math.log(theta) / width)
    )
    pe = torch.zeros(*positions.shape, width, device=positions.device)
    pe[..., 0::2] = torch.sin(pos * div_term)
    pe[..., 1::2] = torch.cos(pos * div_term)
    return pe.to(positions.dtype) if positions.is_floating_point() else pe


# leaves the answer in double precision
@answer("the dtype of the positions forgotten")
def sinusoidal_encoding__t07(positions, width, theta=10000.0):
    i = torch.arange(width // 2, dtype=torch.float64, device=positions.device)
    angles = positions.double()[..., None] * theta ** (-2 * i / width)
    return torch.stack((angles.sin(), angles.cos()), dim=-1).flatten(-2)


# gives whole-number positions an answer of whole numbers
@answer("whole numbers for whole positions")
def sinusoidal_encoding__t08(positions, width, theta=10000.0):
    i = torch.arange(0, width, 2, dtype=torch.float64, device=positions.device)
    ang = positions.to(torch.float64).unsqueeze(-1) / theta ** (i / width)
    enc = torch.stack([ang.sin(), ang.cos()], dim=-1).reshape(*positions.shape, width)
    return enc.to(positions.dtype)


# counts 0, 1, 2, ... itself instead of reading the positions
@answer("positions always from zero")
def sinusoidal_encoding__t09(positions, width, theta=10000.0):
    T = positions.shape[-1]
    dtype = positions.dtype if positions.is_floating_point() else torch.float32
    t = torch.arange(T, dtype=torch.float64, device=positions.device)
    i = torch.arange(width // 2, dtype=torch.float64, device=positions.device)
    phi = t[:, None] * theta ** (-2 * i / width)[None, :]
    pe = torch.stack((phi.sin(), phi.cos()), dim=-1).flatten(-2)
    return pe.expand(*positions.shape, width).to(dtype)


# expects positions without batch dimensions
@answer("positions of one sentence")
def sinusoidal_encoding__t10(positions, width, theta=10000.0):
    half = torch.arange(0, width, 2, device=positions.device, dtype=torch.float64)
    angles = torch.outer(positions.double(), theta ** (-half / width))
    pe = torch.zeros(len(positions), width, dtype=torch.float64, device=positions.device)
    pe[:, 0::2] = angles.sin()
    pe[:, 1::2] = angles.cos()
    return pe.to(positions.dtype if positions.is_floating_point() else torch.float32)


# ignores theta and always takes 10000
@answer("theta hard-coded")
def sinusoidal_encoding__t11(positions, width, theta=10000.0):
    i = torch.arange(width // 2, dtype=torch.float64, device=positions.device)
    inv = 1.0 / 10000 ** (2 * i / width)
    x = positions.double()[..., None] * inv
    y = torch.stack((torch.sin(x), torch.cos(x)), dim=-1)
    return y.flatten(-2).to(positions.dtype if positions.is_floating_point() else torch.float32)


# spaces the exponents from 0 to 1 inclusive, so the slowest clock turns at exactly 1/theta
@answer("the last wavelength stretched to theta")
def sinusoidal_encoding__t12(positions, width, theta=10000.0):
    half = width // 2
    step = math.log(theta) / max(half - 1, 1)
    freqs = torch.exp(-step * torch.arange(half, dtype=torch.float64, device=positions.device))
    args = positions.double().unsqueeze(-1) * freqs
    emb = torch.stack((args.sin(), args.cos()), -1).flatten(-2)
    return emb.to(positions.dtype) if positions.is_floating_point() else emb.float()


# takes the frequency for turns and multiplies by 2 pi
@answer("whole turns")
def sinusoidal_encoding__t13(positions, width, theta=10000.0):
    k = torch.arange(width // 2, dtype=torch.float64, device=positions.device)
    turns = positions.double()[..., None] * theta ** (-2 * k / width)
    phi = 2 * math.pi * turns
    out = torch.stack((phi.sin(), phi.cos()), dim=-1).flatten(-2)
    return out.to(positions.dtype if positions.is_floating_point() else torch.float32)


# rounds fractional positions to whole numbers
@answer("positions cut to integers")
def sinusoidal_encoding__t14(positions, width, theta=10000.0):
    dtype = positions.dtype if positions.is_floating_point() else torch.float32
    idx = positions.long()
    i = torch.arange(width // 2, dtype=torch.float64, device=positions.device)
    phi = idx[..., None] * theta ** (-2 * i / width)
    return torch.stack((phi.sin(), phi.cos()), dim=-1).flatten(-2).to(dtype)


# takes negative positions without their sign
@answer("positions without their sign")
def sinusoidal_encoding__t15(positions, width, theta=10000.0):
    dist = positions.double().abs()
    f = theta ** (-torch.arange(0, width, 2, device=positions.device, dtype=torch.float64) / width)
    phi = dist.unsqueeze(-1) * f
    res = torch.stack((phi.sin(), phi.cos()), dim=-1).reshape(*positions.shape, width)
    res = res.to(positions.dtype) if positions.is_floating_point() else res.float()
    return res


# cuts the gradient to the positions
@answer("no gradient to the positions")
def sinusoidal_encoding__t16(positions, width, theta=10000.0):
    with torch.no_grad():
        i = torch.arange(width // 2, dtype=torch.float64, device=positions.device)
        angles = positions.double()[..., None] * theta ** (-2 * i / width)
        out = torch.stack((angles.sin(), angles.cos()), dim=-1).flatten(-2)
        return out.to(positions.dtype if positions.is_floating_point() else torch.float32)


# looks positions up in a table of fixed length that starts at zero
@answer("a table that ends")
def sinusoidal_encoding__t17(positions, width, theta=10000.0):
    MAX_LEN = 5000
    pos = torch.arange(MAX_LEN, dtype=torch.float64, device=positions.device).unsqueeze(1)
    freq = theta ** (
        -torch.arange(0, width, 2, dtype=torch.float64, device=positions.device) / width
    )
    table = torch.zeros(MAX_LEN, width, dtype=torch.float64, device=positions.device)
    table[:, 0::2] = torch.sin(pos * freq)
    table[:, 1::2] = torch.cos(pos * freq)
    dtype = positions.dtype if positions.is_floating_point() else torch.float32
    return table[positions.long()].to(dtype)


# numbers the pairs from 1 instead of 0
@answer("the first frequency left out")
def sinusoidal_encoding__t18(positions, width, theta=10000.0):
    pairs = torch.arange(1, width // 2 + 1, dtype=torch.float64, device=positions.device)
    freq = torch.pow(theta, -2 * pairs / width)
    phi = positions.double().unsqueeze(-1) * freq
    out = torch.empty(*positions.shape, width, dtype=torch.float64, device=positions.device)
    out[..., ::2] = phi.sin()
    out[..., 1::2] = phi.cos()
    return out.to(positions.dtype if positions.is_floating_point() else torch.float32)


# all sines first and then all cosines instead of alternating
# computes the angles in single precision
@answer("sines and cosines side by side", "angles in single precision")
def sinusoidal_encoding__t19(positions, width, theta=10000.0):
    half = width // 2
    freqs = torch.exp(-math.log(theta) * torch.arange(half, device=positions.device) / half)
    args = positions[..., None].float() * freqs
    emb = torch.cat([torch.sin(args), torch.cos(args)], dim=-1)
    return emb.to(positions.dtype) if positions.is_floating_point() else emb


# sine and cosine swapped
# exponent i/width, the factor 2 forgotten
@answer("the exponent without its 2", "the cosine first")
def sinusoidal_encoding__t20(positions, width, theta=10000.0):
    i = torch.arange(width // 2, dtype=torch.float64, device=positions.device)
    phi = positions.double()[..., None] / theta ** (i / width)
    z = torch.polar(torch.ones_like(phi), phi)
    out = torch.view_as_real(z).flatten(-2)
    return out.to(positions.dtype if positions.is_floating_point() else torch.float32)


# ignores theta and always takes 10000
# leaves the answer in double precision
@answer("theta hard-coded", "the dtype of the positions forgotten")
def sinusoidal_encoding__t21(positions, width, theta=10000.0):
    i = torch.arange(0, width, 2, dtype=torch.float64, device=positions.device)
    freq = torch.exp(i * (-math.log(10000.0) / width))
    ang = positions.double().unsqueeze(-1) * freq
    return torch.stack((torch.sin(ang), torch.cos(ang)), dim=-1).flatten(-2)


# counts 0, 1, 2, ... itself instead of reading the positions
# sine and cosine of a pair get different frequencies (exponent counts features, not pairs)
@answer("positions always from zero", "a frequency for every feature")
def sinusoidal_encoding__t22(positions, width, theta=10000.0):
    dev = positions.device
    t = torch.arange(positions.shape[-1], dtype=torch.float64, device=dev)
    pe = torch.zeros(positions.shape[-1], width, dtype=torch.float64, device=dev)
    for j in range(width):
        angle = t / theta ** (j / width)
        pe[:, j] = torch.sin(angle) if j % 2 == 0 else torch.cos(angle)
    dtype = positions.dtype if positions.is_floating_point() else torch.float32
    return pe.to(dtype).expand(*positions.shape, width)


# rounds fractional positions to whole numbers
# numbers the pairs from 1 instead of 0
@answer("the first frequency left out", "positions cut to integers")
def sinusoidal_encoding__t23(positions, width, theta=10000.0):
    dtype = positions.dtype if positions.is_floating_point() else torch.float32
    pos = positions.to(torch.int64).unsqueeze(-1)
    i = torch.arange(1, width // 2 + 1, dtype=torch.float64, device=positions.device)
    angles = pos / theta ** (2 * i / width)
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(-2).to(dtype)


# exponent without the minus, so the clocks turn faster and faster
# expects positions without batch dimensions
@answer("frequencies that grow", "positions of one sentence")
def sinusoidal_encoding__t24(positions, width, theta=10000.0):
    T = positions.shape[0]
    exponent = torch.arange(0, width, 2, dtype=torch.float64, device=positions.device) / width
    angles = positions.double().reshape(T, 1) * (theta**exponent).reshape(1, -1)
    pe = torch.stack((torch.sin(angles), torch.cos(angles)), dim=2).reshape(T, width)
    return pe.to(positions.dtype if positions.is_floating_point() else torch.float32)
