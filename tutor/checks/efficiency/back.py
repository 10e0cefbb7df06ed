"""From numbers and scales back to weights in steps: the right way, and the wrong ones."""

import torch

from tutor.checks.changes import changeable, unflattened


def not_divided(n, scale):
    return scale.ndim > 0 and (not scale.shape[-1] or bool(n.shape[-1] % scale.shape[-1]))


def as_numbers(n, scale):
    return n.to(scale.dtype)


def consecutive(t, columns):
    """Each for its group."""
    if not t.ndim:
        return t
    return t.repeat_interleave(-(-columns // t.shape[-1]), -1)[..., :columns]


def scaled_and_moved(n, scale, low):
    return n * scale if low is None else n * scale + low


def without_the_minimum_of_all(n, scale, low):
    return n * scale if low is None or not scale.ndim else n * scale + low


def as_it_is(x, scale):
    return x


def read(
    n,
    scale,
    minimum=None,
    unfit=not_divided,
    numbers=as_numbers,
    spread=consecutive,
    spread_low=None,
    made=scaled_and_moved,
    told=as_it_is,
):
    """The right weights, but for the parts that are given."""
    if unfit(n, scale):
        raise ValueError("groups that do not divide a row")
    columns = n.shape[-1]
    low = None if minimum is None else (spread_low or spread)(minimum, columns)
    return told(made(numbers(n, scale), spread(scale, columns), low), scale)


with_ = changeable(read)


def never(n, scale):
    return False


def in_turn(t, columns):
    """1, 2, 1, 2 for 1, 1, 2, 2."""
    if not t.ndim:
        return t
    times = -(-columns // t.shape[-1])
    return t.repeat(*(1,) * (t.ndim - 1), times)[..., :columns]


def the_first(t, columns):
    return t[..., :1] if t.ndim else t


def the_last(t, columns):
    return t[..., -1:] if t.ndim else t


def the_mean(t, columns):
    return t.mean(-1, keepdim=True) if t.ndim else t


def the_first_row(t, columns):
    return consecutive(t[:1] if t.ndim > 1 else t, columns)


def one_for_all(t, columns):
    return t.flatten()[0]


def of_columns(t, columns):
    """A row's scale for a column."""
    if t.ndim < 2 or t.shape[-1] != 1:
        return consecutive(t, columns)
    return t.mT if t.shape[-2] == columns else t.squeeze(-1)


def broadcast_alone(t, columns):
    return t


def moved_and_scaled(n, scale, low):
    return n * scale if low is None else (n + low) * scale


def taken_off(n, scale, low):
    return n * scale if low is None else n * scale - low


def zero_point(n, scale, low):
    return n * scale if low is None else (n - low) * scale


def without_minimum(n, scale, low):
    return n * scale


def divided(n, scale, low):
    return n / scale if low is None else n / scale + low


def in_whole_numbers(n, scale, low):
    product = n * scale.to(torch.int64).to(scale.dtype)
    return product if low is None else product + low


def rounded(n, scale, low):
    return scaled_and_moved(n, scale, low).round()


def eight_less(n, scale, low):
    return scaled_and_moved(n - 8, scale, low)


def half_the_range_less(n, scale, low):
    return scaled_and_moved(n - 128, scale, low)


def scale_detached(n, scale, low):
    return scaled_and_moved(n, scale.detach(), low)


def minimum_detached(n, scale, low):
    return scaled_and_moved(n, scale, None if low is None else low.detach())


def both_detached(n, scale, low):
    return scaled_and_moved(n, scale, low).detach()


def without_a_sign(n, scale):
    return n.long().where(n >= 0, n.long() + 256).to(scale.dtype)


def with_a_sign(n, scale):
    n = n.long()
    return n.where(n < 128, n - 256).to(scale.dtype)


def always_single(x, scale):
    return x.float()


def through_half(x, scale):
    return x.half().to(scale.dtype)


def in_double(x, scale):
    return x.double()


def left_in_groups(n, scale, minimum=None):
    if not scale.ndim:
        return read(n, scale, minimum)
    x = read(n, scale, minimum)
    return unflattened(x, -1, (scale.shape[-1], -1))
