"""Quantizing by the largest size in steps: the right way, and the wrong ones that people write."""

import torch

from tutor.checks.changes import changeable


def out_of_range(bits):
    return not 2 <= bits <= 8


def at_least_single(x):
    return x.to(torch.promote_types(x.dtype, torch.float32))


def sizes(x):
    return x.abs()


def along(x, dim):
    return x.amax() if dim is None else x.amax(dim, keepdim=True)


def to_one_side(bits):
    return 2 ** (bits - 1) - 1


def divided(largest, levels):
    return largest / levels


def steps(x, scale):
    return x / scale.where(scale > 0, 1)


def steps_unless_zero(x, scale):
    return x / scale.where(scale != 0, 1)


def nearest(x):
    return x.round()


def unlimited(n, bits):
    return n


def whole(n, bits):
    return n.to(torch.int8)


def both(n, scale, dim):
    return n, scale


def quantize(
    weight,
    bits=8,
    dim=None,
    refused=out_of_range,
    wide=at_least_single,
    size=sizes,
    largest=along,
    levels=to_one_side,
    step=divided,
    counted=steps,
    rounded=nearest,
    limited=unlimited,
    told=whole,
    returned=both,
):
    """The right numbers and scale, but for the parts that are given."""
    if refused(bits):
        raise ValueError(f"bits must be from 2 to 8, got {bits}")
    x = wide(weight)
    scale = step(largest(size(x), dim), levels(bits))
    return returned(told(limited(rounded(counted(x, scale)), bits), bits), scale, dim)


with_ = changeable(quantize)


def never(bits):
    return False


def above_alone(bits):
    return bits > 8


def below_alone(bits):
    return bits < 2


def as_it_is(x):
    return x


def always_single(x):
    return x.float()


def all_others(x, dim):
    """dim is the one that keeps its scales, as torch's ch_axis."""
    if dim is None:
        return x.amax()
    others = [d for d in range(x.ndim) if d != dim % x.ndim]
    return x.amax(others, keepdim=True) if others else x


def one_for_all(x, dim):
    return x.amax()


def one_for_all_in_shape(x, dim):
    if dim is None:
        return x.amax()
    return x.amax() + 0 * x.amax(dim, keepdim=True)


def along_the_last(x, dim):
    return along(x, None if dim is None else -1)


def along_the_first(x, dim):
    return along(x, None if dim is None else 0)


def along_the_next_to_last(x, dim):
    return along(x, None if dim is None else -2)


def turned(x, dim):
    """-1 for -2, and the other way round."""
    swap = {-1: -2, -2: -1, 0: 1, 1: 0}
    return along(x, None if dim is None or x.ndim < 2 else swap.get(dim, dim))


def all_for_the_first(x, dim):
    """``if dim``: 0 is as good as nothing."""
    return along(x, dim or None)


def rows_where_nothing_is_said(x, dim):
    return along(x, -1 if dim is None else dim)


def mean_along(x, dim):
    return x.mean() if dim is None else x.mean(dim, keepdim=True)


def all_levels(bits):
    return 2**bits - 1


def one_at_least(bits):
    return max(to_one_side(bits), 1)


def one_more(bits):
    return 2 ** (bits - 1)


def two_to_the_bits(bits):
    return 2**bits


def of_a_byte(bits):
    return 127


def by_the_bits(bits):
    return bits


def never_zero(largest, levels):
    return (largest / levels).clamp(min=1e-8)


def with_an_epsilon(largest, levels):
    return largest / levels + 1e-6


def upside_down(largest, levels):
    return levels / largest.where(largest > 0, 1)


def multiplied(x, scale):
    return x * scale


def down(x):
    return x.floor()


def up(x):
    return x.ceil()


def toward_zero(x):
    return x.trunc()


def with_a_half_added(x):
    return (x + 0.5).trunc()


def not_rounded(x):
    return x


def clamped(n, bits):
    most = 2 ** (bits - 1)
    return n.clamp(-most, most - 1)


def clamped_alike(n, bits):
    most = 2 ** (bits - 1) - 1
    return n.clamp(-most, most)


def from_zero(n, bits):
    return n.clamp(min=0)


def as_floats(n, bits):
    return n


def as_int64(n, bits):
    return n.long()


def as_int32(n, bits):
    return n.int()


def shifted(n, bits):
    return (n + 2 ** (bits - 1)).to(torch.uint8)


def shifted_less(n, bits):
    return (n + 2 ** (bits - 1) - 1).to(torch.uint8)


def unsigned(n, bits):
    return n.to(torch.int16).to(torch.uint8)


def exchanged(n, scale, dim):
    return scale, n


def numbers_alone(n, scale, dim):
    return n


def back_at_once(n, scale, dim):
    return n * scale, scale


def squeezed(n, scale, dim):
    return n, scale if dim is None else scale.squeeze(dim)


def in_all_dimensions(n, scale, dim):
    return n, scale.reshape((1,) * n.ndim) if dim is None else scale


def as_a_row_of_one(n, scale, dim):
    return n, scale.reshape(1) if dim is None else scale


def at_every_place(n, scale, dim):
    return n, scale.expand(n.shape).clone()


def ones_for_zero(n, scale, dim):
    return n, scale.where(scale > 0, 1)


def upside_down_at_the_end(n, scale, dim):
    return n, 1 / scale


def in_half(n, scale, dim):
    return n, scale.half()


def by_the_range(weight, bits=8, dim=None):
    """(max - min) / (2^bits - 1), as if zero stood anywhere."""
    if out_of_range(bits):
        raise ValueError("bits")
    x = at_least_single(weight)
    scale = (along(x, dim) + along(-x, dim)) / (2**bits - 1)
    return clamped(nearest(steps(x, scale)), bits).to(torch.int8), scale


def by_the_range_from_the_minimum(weight, bits=8, dim=None):
    if out_of_range(bits):
        raise ValueError("bits")
    x = at_least_single(weight)
    low = -along(-x, dim)
    scale = (along(x, dim) - low) / (2**bits - 1)
    return nearest(steps(x - low, scale)).to(torch.uint8), scale


def written_into_the_weight(weight, bits=8, dim=None):
    n, scale = quantize(weight, bits, dim)
    weight.copy_(n)
    return n, scale
