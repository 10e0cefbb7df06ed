"""T5's buckets, in steps: the right ones, and the wrong answers that people make of them."""

import math

import torch

from tutor.checks.changes import changeable


def wide(relative):
    return relative.long()


def asked(bidirectional):
    return bidirectional


def as_many(most):
    return most


def given(furthest, both):
    return furthest


def halved(most, both):
    return most // 2 if both else most


def half_of_its_own(size, most):
    return size // 2


def after(relative):
    return relative > 0


def own(size, exact, most):
    return size


def distance(relative, both):
    return relative.abs() if both else (-relative).clamp(min=0)


def span(exact, furthest):
    return math.log(furthest / exact)


def left(size, exact):
    return size - exact


def share(d, exact, span):
    return (d / exact).log() / span


def cut(share, left):
    return (share * left + 1e-9).long()


def first(exact):
    return exact


def last(size, most):
    return size - 1


def far(distance, exact, far):
    return torch.where(distance < exact, distance, far)


def one_besides_the_other(second, of_one_side, end):
    return second + of_one_side


def both(relative, buckets):
    return buckets


def buckets(
    relative_position,
    bidirectional=True,
    num_buckets=32,
    max_distance=128,
    taken=wide,
    directions=asked,
    count=as_many,
    furthest=given,
    size=halved,
    exact=half_of_its_own,
    later=after,
    offset=own,
    distance=distance,
    span=span,
    left=left,
    share=share,
    cut=cut,
    first=first,
    last=last,
    joined=far,
    together=one_besides_the_other,
    returned=both,
):
    """The right buckets, but for the parts that are given."""
    relative, both, most = taken(relative_position), directions(bidirectional), count(num_buckets)
    own, reach = size(most, both), furthest(max_distance, both)
    few = exact(own, most)
    found = distance(relative, both)
    shares = share(found.clamp(min=1).double(), few, span(few, reach))
    end = last(own, most)
    far = (first(few) + cut(shares, left(own, few))).clamp(max=end)
    of_one_side = joined(found, few, far).clamp(max=end)
    second = later(relative) * offset(own, few, most) if both else 0
    return returned(relative_position, together(second, of_one_side, end))


with_ = changeable(buckets)


# Other directions


def turned(relative):
    return -relative.long()


def always(bidirectional):
    return True


def never(bidirectional):
    return False


def before(relative):
    return relative < 0


def not_before(relative):
    return relative >= 0


def nowhere(relative):
    return 0 * relative


def later_ones(relative, both):
    return relative.abs() if both else relative.clamp(min=0)


def by_size(relative, both):
    return relative.abs()


def later_ones_far(relative, both):
    return relative.abs() if both else torch.where(relative > 0, 2**40, -relative)


def with_its_sign(relative, both):
    return relative


# Other numbers of buckets


def all_of_them(most, both):
    return most


def of_t5_whatever_comes(most):
    return 32


def always_halved(most, both):
    return most // 2


def half_of_all(size, most):
    return most // 2


def half_of_half(size, most):
    return max(size // 4, 1)


def every(size, exact, most):
    return most


def half(size, exact, most):
    return most // 2


def exact(size, exact, most):
    return exact


def before_the_last(size, exact, most):
    return size - 1


def every_one(size, exact):
    return size


def as_the_exact_ones(size, exact):
    return exact


def one_too_few(size, exact):
    return size - exact - 1


def unlimited(size, most):
    return torch.iinfo(torch.int64).max


def one_more(size, most):
    return size


def of_both(size, most):
    return most - 1


def nothing(exact):
    return 0


def one_late(exact):
    return exact + 1


def none_far(distance, exact, far):
    return distance


# Other logarithms


def of_t5(furthest, both):
    return 128


def halved_too(furthest, both):
    return furthest // 2 if both else furthest


def no_base(exact, furthest):
    return 1.0


def of_the_whole(exact, furthest):
    return math.log(furthest)


def base_two(exact, furthest):
    return math.log2(furthest / exact)


def base_ten(exact, furthest):
    return math.log10(furthest / exact)


def log2(d, exact, span):
    return (d / exact).log2() / span


def log10(d, exact, span):
    return (d / exact).log10() / span


def of_the_distance(d, exact, span):
    return d.log() / span


def of_whole_quotients(d, exact, span):
    return (d // exact).clamp(min=1).log() / span


def of_one_more(d, exact, span):
    return (d / exact + 1).log() / span


def in_short(dtype):
    def share(d, exact, span):
        return (d.to(dtype) / exact).log() / span

    return share


def even(d, exact, span):
    return (d - exact) / (exact * math.exp(span) - exact)


# Other ends


def rounded(share, left):
    return (share * left).round().long()


def up(share, left):
    return (share * left - 1e-9).ceil().long()


def cut_first(share, left):
    return (share + 1e-9).long() * left


def cut_at_last(second, of_one_side, end):
    return (second + of_one_side).clamp(max=end)


def from_one(relative, buckets):
    return buckets + 1


def distances_themselves(relative, buckets):
    return relative.long().abs()


def of_the_input(relative, buckets):
    return buckets.to(relative.dtype)


def in_32_bits(relative, buckets):
    return buckets.int()
