"""Wrong answers to relative_buckets of a fourth trial, by others who had not seen the traps."""

import math

import torch
from fresh import answer


def _core(
    rel,
    bidirectional,
    num_buckets,
    max_distance,
    *,
    later=True,
    e_of=lambda n: n // 2,
    clampmax=True,
    rnd="floor",
    logf=torch.log,
    strict=True,
):
    rel = rel.long()
    n = num_buckets // 2 if bidirectional else num_buckets
    e = e_of(n)
    d = rel.abs() if bidirectional else (-rel).clamp(min=0)
    t = torch.log(d.clamp(min=1).double() / e) / math.log(max_distance / e) * (n - e)
    wide = e + (t.round() if rnd == "round" else t.ceil() if rnd == "ceil" else t).long()
    if clampmax:
        wide = wide.clamp(max=n - 1)
    b = torch.where(d < e if strict else d <= e, d, wide)
    return b + n * (rel > 0 if later else rel < 0) if bidirectional else b


def _bk(rel, bi, nb, md, **o):
    n = nb // 2 if bi else nb
    e = n // 2
    d = rel.long().abs() if bi else (-rel.long()).clamp(min=0)
    t = (d.clamp(min=1).double() / e).log() / math.log(md / e) * (n - e)
    b = torch.where(d < e, d, (e + t.long()).clamp(max=n - 1))
    return b + n * (rel > 0) if bi else b


# ceil instead of floor
@answer("rounded up")
def relative_buckets__ceiled(
    relative_position, bidirectional=True, num_buckets=32, max_distance=128
):
    return _core(relative_position, bidirectional, num_buckets, max_distance, rnd="ceil")


# max_exact a quarter: halved twice
@answer("exact buckets for a quarter")
def relative_buckets__e_quarter(
    relative_position, bidirectional=True, num_buckets=32, max_distance=128
):
    return _core(
        relative_position, bidirectional, num_buckets, max_distance, e_of=lambda n: max(n // 4, 1)
    )


# times e instead of n - e (differs for odd n)
@answer("as many wide buckets as exact ones")
def relative_buckets__times_e(
    relative_position, bidirectional=True, num_buckets=32, max_distance=128
):
    rel = relative_position.long()
    n = num_buckets // 2 if bidirectional else num_buckets
    e = n // 2
    d = rel.abs() if bidirectional else (-rel).clamp(min=0)
    w = (e + ((d.clamp(min=1).double() / e).log() / math.log(max_distance / e) * e).long()).clamp(
        max=n - 1
    )
    b = torch.where(d < e, d, w)
    return b + n * (rel > 0) if bidirectional else b


# clamped to num_buckets - 1 instead of n - 1
@answer("the last bucket of both directions")
def relative_buckets__clamp_all(
    relative_position, bidirectional=True, num_buckets=32, max_distance=128
):
    rel = relative_position.long()
    n = num_buckets // 2 if bidirectional else num_buckets
    e = n // 2
    d = rel.abs() if bidirectional else (-rel).clamp(min=0)
    w = (
        e + ((d.clamp(min=1).double() / e).log() / math.log(max_distance / e) * (n - e)).long()
    ).clamp(max=num_buckets - 1)
    b = torch.where(d < e, d, w)
    return b + n * (rel > 0) if bidirectional else b


# logarithm in half precision
@answer("the logarithm in a short dtype")
def relative_buckets__half_log(
    relative_position, bidirectional=True, num_buckets=32, max_distance=128
):
    rel = relative_position.long()
    n = num_buckets // 2 if bidirectional else num_buckets
    e = n // 2
    d = rel.abs() if bidirectional else (-rel).clamp(min=0)
    w = (
        e
        + (
            (d.clamp(min=1).to(torch.bfloat16) / e).log() / math.log(max_distance / e) * (n - e)
        ).long()
    ).clamp(max=n - 1)
    b = torch.where(d < e, d, w)
    return b + n * (rel > 0) if bidirectional else b


# two: offset for earlier keys, and ceil
@answer("the second half for the earlier keys", "rounded up")
def relative_buckets__two_sign_ceil(
    relative_position, bidirectional=True, num_buckets=32, max_distance=128
):
    return _core(
        relative_position, bidirectional, num_buckets, max_distance, later=False, rnd="ceil"
    )


# d <= e instead of d < e (first wide bucket shifted) with round down, exact one too many
@answer("rounded up")
def relative_buckets__le_e(relative_position, bidirectional=True, num_buckets=32, max_distance=128):
    rel = relative_position.long()
    n = num_buckets // 2 if bidirectional else num_buckets
    e = n // 2
    d = rel.abs() if bidirectional else (-rel).clamp(min=0)
    w = (
        e + 1 + ((d.clamp(min=1).double() / e).log() / math.log(max_distance / e) * (n - e)).long()
    ).clamp(max=n - 1)
    b = torch.where(d <= e, d, w)
    return b + n * (rel > 0) if bidirectional else b


# log(d + 1)
@answer("the logarithm of one more")
def relative_buckets__log1p(
    relative_position, bidirectional=True, num_buckets=32, max_distance=128
):
    rel = relative_position.long()
    n = num_buckets // 2 if bidirectional else num_buckets
    e = n // 2
    d = rel.abs() if bidirectional else (-rel).clamp(min=0)
    w = (e + ((d.double() / e).log1p() / math.log(max_distance / e) * (n - e)).long()).clamp(
        max=n - 1
    )
    b = torch.where(d < e, d, w)
    return b + n * (rel > 0) if bidirectional else b


# causal: later keys get the last bucket, not 0
@answer("the last bucket for the later keys")
def relative_buckets__last_for_later(
    relative_position, bidirectional=True, num_buckets=32, max_distance=128
):
    b = _bk(relative_position, bidirectional, num_buckets, max_distance)
    return b if bidirectional else torch.where(relative_position > 0, num_buckets - 1, b)


# causal: halved as well
@answer("buckets halved for one direction")
def relative_buckets__halved_always(
    relative_position, bidirectional=True, num_buckets=32, max_distance=128
):
    return _bk(
        relative_position,
        bidirectional,
        num_buckets if bidirectional else num_buckets // 2,
        max_distance,
    )


# max_distance halved with the buckets
@answer("half of max_distance")
def relative_buckets__md_halved(
    relative_position, bidirectional=True, num_buckets=32, max_distance=128
):
    return _bk(
        relative_position,
        bidirectional,
        num_buckets,
        max_distance // 2 if bidirectional else max_distance,
    )


# integer division d // e inside the log
@answer("a quotient cut before its logarithm")
def relative_buckets__int_ratio(
    relative_position, bidirectional=True, num_buckets=32, max_distance=128
):
    rel = relative_position.long()
    n = num_buckets // 2 if bidirectional else num_buckets
    e = n // 2
    d = rel.abs() if bidirectional else (-rel).clamp(min=0)
    w = (
        e + ((d // e).clamp(min=1).double().log() / math.log(max_distance / e) * (n - e)).long()
    ).clamp(max=n - 1)
    b = torch.where(d < e, d, w)
    return b + n * (rel > 0) if bidirectional else b


# the offset added before the clamp, which cuts it off
@answer("cut off after the offset")
def relative_buckets__clamp_after_offset(
    relative_position, bidirectional=True, num_buckets=32, max_distance=128
):
    b = _bk(relative_position, bidirectional, num_buckets, max_distance)
    n = num_buckets // 2 if bidirectional else num_buckets
    return b.clamp(max=n - 1)


# num_buckets ignored: 32 written into the code
@answer("num_buckets hard-coded")
def relative_buckets__nb_ignored(
    relative_position, bidirectional=True, num_buckets=32, max_distance=128
):
    return _bk(relative_position, bidirectional, 32, max_distance)


# one-based buckets
@answer("buckets from one")
def relative_buckets__one_based(
    relative_position, bidirectional=True, num_buckets=32, max_distance=128
):
    return _bk(relative_position, bidirectional, num_buckets, max_distance) + 1


# always exact: the distances themselves returned
@answer("the distances themselves")
def relative_buckets__distances(
    relative_position, bidirectional=True, num_buckets=32, max_distance=128
):
    return relative_position.long().abs()


# two: ceil and no clamp
@answer("far distances not gathered", "rounded up")
def relative_buckets__two_ceil_noclamp(
    relative_position, bidirectional=True, num_buckets=32, max_distance=128
):
    rel = relative_position.long()
    n = num_buckets // 2 if bidirectional else num_buckets
    e = n // 2
    d = rel.abs() if bidirectional else (-rel).clamp(min=0)
    w = (
        e
        + ((d.clamp(min=1).double() / e).log() / math.log(max_distance / e) * (n - e)).ceil().long()
    )
    b = torch.where(d < e, d, w)
    return b + n * (rel > 0) if bidirectional else b
