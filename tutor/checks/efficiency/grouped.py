"""Quantizing group by group in steps: the right way, and the wrong ones that people write."""

import torch

from tutor.checks.changes import changeable, unflattened
from tutor.checks.efficiency.absmax import (
    at_least_single,
    nearest,
    out_of_range,
    steps,
    unlimited,
)


def not_divided(columns, group_size):
    return group_size < 1 or bool(columns % group_size)


def consecutive(x, group_size):
    return unflattened(x, -1, (-1, group_size))


def joined(groups):
    return groups.flatten(-2)


def least(groups):
    return groups.amin(-1, keepdim=True)


def most(groups):
    return groups.amax(-1, keepdim=True)


def all_but_one(bits):
    return 2**bits - 1


def from_the_least(groups, low, scale):
    return steps(groups - low, scale)


def in_bytes(n):
    return n.to(torch.uint8)


def three(n, scale, low):
    return n, scale.squeeze(-1), low.squeeze(-1)


def quantize(
    weight,
    bits=4,
    group_size=32,
    refused=out_of_range,
    unfit=not_divided,
    wide=at_least_single,
    cut=consecutive,
    low=least,
    high=most,
    levels=all_but_one,
    counted=from_the_least,
    rounded=nearest,
    limited=unlimited,
    whole=joined,
    told=in_bytes,
    returned=three,
):
    """The right numbers, scales and minima, but for the parts that are given."""
    if refused(bits):
        raise ValueError(f"bits must be from 2 to 8, got {bits}")
    if unfit(weight.shape[-1], group_size):
        raise ValueError(f"{group_size} does not divide {weight.shape[-1]}")
    groups = cut(wide(weight), group_size)
    m = low(groups)
    scale = (high(groups) - m) / levels(bits)
    n = whole(limited(rounded(counted(groups, m, scale)), bits))
    return returned(told(n), scale, m)


with_ = changeable(quantize)


def never_unfit(columns, group_size):
    return False


def padded(weight, bits=4, group_size=32):
    """A last group that is smaller, instead of an error."""
    if out_of_range(bits) or group_size < 1:
        raise ValueError("bits")
    columns = weight.shape[-1]
    if columns % group_size == 0:
        return quantize(weight, bits, group_size)
    missing = -columns % group_size
    last = weight[..., -1:].expand(*weight.shape[:-1], missing)
    n, scale, low = quantize(torch.cat((weight, last), -1), bits, group_size)
    return n[..., :columns], scale, low


def cut_short(weight, bits=4, group_size=32):
    """What is left over is dropped."""
    if out_of_range(bits) or group_size < 1:
        raise ValueError("bits")
    columns = weight.shape[-1] // group_size * group_size
    return quantize(weight[..., :columns], bits, group_size)


def as_a_number(x, group_size):
    """group_size groups."""
    return unflattened(x, -1, (group_size, -1))


def whole_row(x, group_size):
    return x[..., None, :]


def in_turn(x, group_size):
    """Every columns / group_size-th number."""
    return unflattened(x, -1, (group_size, -1)).mT


def in_turn_joined(groups):
    return groups.mT.flatten(-2)


def left_in_groups(groups):
    return groups


def half_the_steps(bits):
    return 2 ** (bits - 1) - 1


def two_to_the_bits(bits):
    return 2**bits


def of_four_bits(bits):
    return 15


def clamped(n, bits):
    return n.clamp(0, 2**bits - 1)


def as_it_is(x):
    return x


def always_single(x):
    return x.float()


def nothing(groups):
    return torch.zeros_like(groups[..., :1])


def not_above_zero(groups):
    return least(groups).clamp(max=0)


def largest_size(groups):
    return groups.abs().amax(-1, keepdim=True)


def largest_size_below(groups):
    return -largest_size(groups)


def of_all(groups):
    return torch.zeros_like(groups[..., :1]) + groups.amin()


def of_the_row(groups):
    return groups.amin((-1, -2), keepdim=True).expand(*groups.shape[:-1], 1)


def most_of_the_row(groups):
    return groups.amax((-1, -2), keepdim=True).expand(*groups.shape[:-1], 1)


def mean(groups):
    return groups.mean(-1, keepdim=True)


def from_nothing(groups, low, scale):
    return steps(groups, scale)


def from_the_most(groups, low, scale):
    return steps(groups.amax(-1, keepdim=True) - groups, scale)


def sum_of_both(groups, low, scale):
    return steps(groups + low, scale)


def down(x):
    return x.floor()


def up(x):
    return x.ceil()


def as_floats(n):
    return n


def as_int64(n):
    return n.long()


def as_int8(n):
    return n.to(torch.int8)


def exchanged(n, scale, low):
    return n, low.squeeze(-1), scale.squeeze(-1)


def scale_first(n, scale, low):
    return scale.squeeze(-1), low.squeeze(-1), n


def without_minimum(n, scale, low):
    return n, scale.squeeze(-1)


def negated(n, scale, low):
    return n, scale.squeeze(-1), -low.squeeze(-1)


def in_steps(n, scale, low):
    """The zero point: how many steps the minimum is below zero."""
    zero = (-low / scale.where(scale > 0, 1)).round()
    return n, scale.squeeze(-1), zero.squeeze(-1)


def in_steps_not_rounded(n, scale, low):
    return n, scale.squeeze(-1), (low / scale.where(scale > 0, 1)).squeeze(-1)


def with_their_dimension(n, scale, low):
    return n, scale, low


def without_rows(n, scale, low):
    return n, scale.flatten(), low.flatten()


def for_every_number(n, scale, low):
    share = n.shape[-1] // scale.shape[-2]
    return n, *(t.squeeze(-1).repeat_interleave(share, -1) for t in (scale, low))


def ones_for_zero(n, scale, low):
    scale = scale.where(scale > 0, 1)
    return n, scale.squeeze(-1), low.squeeze(-1)


def in_half(n, scale, low):
    return n, scale.squeeze(-1).half(), low.squeeze(-1).half()


def with_most(n, scale, low):
    return n, scale.squeeze(-1), (low + scale * n.amax()).squeeze(-1)


def zero_at_a_step(weight, bits=4, group_size=32):
    """The minimum is moved to the nearest multiple of the scale."""
    if out_of_range(bits) or not_divided(weight.shape[-1], group_size):
        raise ValueError("bits")
    groups = consecutive(at_least_single(weight), group_size)
    scale = (most(groups) - least(groups)) / all_but_one(bits)
    zero = nearest(steps(least(groups), scale))
    n = clamped(nearest(steps(groups, scale)) - zero, bits)
    return three(in_bytes(joined(n)), scale, zero * scale)


def by_the_largest_size(weight, bits=4, group_size=32):
    """Both sides of zero alike, as quantize_absmax does it."""
    if out_of_range(bits) or not_divided(weight.shape[-1], group_size):
        raise ValueError("bits or group_size")
    groups = consecutive(at_least_single(weight), group_size)
    scale = groups.abs().amax(-1, keepdim=True) / (2 ** (bits - 1) - 1)
    n = nearest(steps(groups, scale)).flatten(-2).to(torch.int8)
    return n, scale.squeeze(-1), torch.zeros_like(scale).squeeze(-1)


def by_the_largest_size_shifted(weight, bits=4, group_size=32):
    n, scale, zeros = by_the_largest_size(weight, bits, group_size)
    return (n + 2 ** (bits - 1)).to(torch.uint8), scale, zeros - scale * 2 ** (bits - 1)


def written_into_the_weight(weight, bits=4, group_size=32):
    n, scale, low = quantize(weight, bits, group_size)
    weight.copy_(n)
    return n, scale, low


def by_columns(weight, bits=4, group_size=32):
    """Groups of rows."""
    if weight.ndim < 2:
        return quantize(weight, bits, group_size)
    n, scale, low = quantize(weight.mT, bits, group_size)
    return n.mT, scale.mT, low.mT
