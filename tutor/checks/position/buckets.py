"""T5's buckets, in steps: the right ones, and the wrong answers that people make of them."""

import math

import torch

from tutor.checks.changes import changeable
from tutor.checks.exercise import Trap


def _wide(relative):
    return relative.long()


def _asked(bidirectional):
    return bidirectional


def _given(furthest):
    return furthest


def _halved(most, both):
    return most // 2 if both else most


def _half_of_its_own(size, most):
    return size // 2


def _after(relative):
    return relative > 0


def _own(size, exact, most):
    return size


def _distance(relative, both):
    return relative.abs() if both else (-relative).clamp(min=0)


def _span(exact, furthest):
    return math.log(furthest / exact)


def _left(size, exact):
    return size - exact


def _share(d, exact, span):
    return (d / exact).log() / span


def _cut(share, left):
    return (share * left + 1e-9).long()


def _first(exact):
    return exact


def _last(size, most):
    return size - 1


def _far(distance, exact, far):
    return torch.where(distance < exact, distance, far)


def _both(relative, buckets):
    return buckets


def _buckets(
    relative_position,
    bidirectional=True,
    num_buckets=32,
    max_distance=128,
    taken=_wide,
    directions=_asked,
    furthest=_given,
    size=_halved,
    exact=_half_of_its_own,
    later=_after,
    offset=_own,
    distance=_distance,
    span=_span,
    left=_left,
    share=_share,
    cut=_cut,
    first=_first,
    last=_last,
    joined=_far,
    returned=_both,
):
    """The right buckets, but for the parts that are given."""
    relative, both, reach = (
        taken(relative_position),
        directions(bidirectional),
        furthest(max_distance),
    )
    own = size(num_buckets, both)
    few = exact(own, num_buckets)
    found = distance(relative, both)
    shares = share(found.clamp(min=1).double(), few, span(few, reach))
    end = last(own, num_buckets)
    far = (first(few) + cut(shares, left(own, few))).clamp(max=end)
    buckets = joined(found, few, far).clamp(max=end)
    second = later(relative) * offset(own, few, num_buckets) if both else 0
    return returned(relative_position, second + buckets)


_with = changeable(_buckets)


# Other directions


def _turned(relative):
    return -relative.long()


def _always(bidirectional):
    return True


def _never(bidirectional):
    return False


def _before(relative):
    return relative < 0


def _not_before(relative):
    return relative >= 0


def _nowhere(relative):
    return 0 * relative


def _later_ones(relative, both):
    return relative.abs() if both else relative.clamp(min=0)


def _by_size(relative, both):
    return relative.abs()


def _with_its_sign(relative, both):
    return relative


# Other numbers of buckets


def _all(most, both):
    return most


def _half_of_all(size, most):
    return most // 2


def _every(size, exact, most):
    return most


def _half(size, exact, most):
    return most // 2


def _exact(size, exact, most):
    return exact


def _before_the_last(size, exact, most):
    return size - 1


def _every_one(size, exact):
    return size


def _exact_ones(size, exact):
    return exact


def _one_too_few(size, exact):
    return size - exact - 1


def _unlimited(size, most):
    return torch.iinfo(torch.int64).max


def _one_more(size, most):
    return size


def _of_both(size, most):
    return most - 1


def _nothing(exact):
    return 0


def _one_late(exact):
    return exact + 1


def _none_far(distance, exact, far):
    return distance


# Other logarithms


def _of_t5(furthest):
    return 128


def _no_base(exact, furthest):
    return 1.0


def _of_the_whole(exact, furthest):
    return math.log(furthest)


def _base_two(exact, furthest):
    return math.log2(furthest / exact)


def _base_ten(exact, furthest):
    return math.log10(furthest / exact)


def _log2(d, exact, span):
    return (d / exact).log2() / span


def _log10(d, exact, span):
    return (d / exact).log10() / span


def _of_the_distance(d, exact, span):
    return d.log() / span


def _of_one_more(d, exact, span):
    return (d / exact + 1).log() / span


def _even(d, exact, span):
    return (d - exact) / (exact * math.exp(span) - exact)


# Other ends


def _rounded(share, left):
    return (share * left).round().long()


def _up(share, left):
    return (share * left - 1e-9).ceil().long()


def _cut_first(share, left):
    return (share + 1e-9).long() * left


def _of_the_input(relative, buckets):
    return buckets.to(relative.dtype)


def _in_32_bits(relative, buckets):
    return buckets.int()


_SECTION = "Relative buckets"


def _trap(name: str, why: str, *changes: dict) -> Trap:
    function, *others = (_with(**change) for change in changes)
    return Trap(name, function, why, _SECTION, tuple(others))


TRAPS = (
    _trap(
        "query minus key",
        "the argument is key minus query: positive for a key that stands after the query. With "
        "the sign exchanged a causal model throws its whole past into bucket 0.",
        {"taken": _turned},
    ),
    _trap(
        "the second half for the earlier keys",
        "the second half of the buckets belongs to the keys that stand after the query, those with "
        "a relative position above 0.",
        {"later": _before},
    ),
    _trap(
        "the past for the future",
        "without bidirectional it is the earlier keys that are told apart, by -relative_position, "
        "and the later ones that get bucket 0. A causal model never sees a later key.",
        {"distance": _later_ones},
    ),
    _trap(
        "always in two directions",
        "bidirectional is not read. A causal model has no use for the later half of the "
        "buckets: it spends all of them on the past.",
        {"directions": _always},
    ),
    _trap(
        "always in one direction",
        "bidirectional is not read, and every key that stands later gets bucket 0, as if it "
        "were the query itself.",
        {"directions": _never},
    ),
    _trap(
        "both directions in one half",
        "keys before and after the query share their buckets: the model knows how far away a word "
        "is and not on which side. With bidirectional the later ones get n added.",
        {"later": _nowhere},
    ),
    _trap(
        "a future in a causal model",
        "without bidirectional a key that stands later gets bucket 0, whatever its distance; "
        "with it, one of the second half. The absolute value alone gives it the bucket of the "
        "same distance in the past.",
        {"distance": _by_size},
        {"distance": _by_size, "later": _nowhere},
    ),
    _trap(
        "a distance with its sign",
        "a bucket is looked up by the distance, and that is no negative number: the absolute "
        "value with bidirectional, and otherwise that of the earlier keys alone.",
        {"distance": _with_its_sign},
    ),
    _trap(
        "all buckets for each direction",
        "num_buckets counts both directions together, and each has half of them. Otherwise the "
        "buckets of the past run into those of the future, or out of the table.",
        {"size": _all},
        {"size": _all, "offset": _half},
        {"offset": _every},
    ),
    _trap(
        "another offset for the later keys",
        "the later keys have the same buckets plus n, the number of buckets of one direction: less "
        "than that, and they run into those of the earlier ones.",
        {"offset": _exact},
        {"offset": _before_the_last},
    ),
    _trap(
        "exact buckets for half of all",
        "e is half of the buckets of *one* direction: with bidirectional a quarter of num_buckets.",
        {"exact": _half_of_all},
    ),
    _trap(
        "wide buckets from one too late",
        "with n/2 exact buckets these are the numbers 0 to n/2 - 1, so distance n/2, the first "
        "of the wide ones, gets the bucket n/2. Yours are one further: a bucket is never used, "
        "and the last one is full too soon.",
        {"first": _one_late},
    ),
    _trap(
        "wide buckets from 0",
        "the wide buckets come after the e exact ones, so e is added to what the logarithm gives. "
        "Without it near and far keys share a bucket.",
        {"first": _nothing},
    ),
    _trap(
        "too many wide buckets",
        "e of the n buckets are taken by the exact distances: the wide ones share out the n - e "
        "that are left. Another factor fills the last bucket too soon or never.",
        {"left": _every_one},
        {"left": _one_too_few},
    ),
    _trap(
        "no wide buckets",
        "every distance has a bucket to itself until they are used up. From n/2 on they are to "
        "grow with the distance, so that n buckets reach as far as max_distance.",
        {"joined": _none_far},
    ),
    _trap(
        "far distances not gathered",
        "from max_distance on all share the last bucket. Without that the number of the bucket "
        "goes on growing, into the other direction's and out of the table.",
        {"last": _unlimited},
    ),
    _trap(
        "the last bucket one too far",
        "n buckets have the numbers 0 to n - 1, so the last of a direction is n - 1. Bucket n is "
        "the first of the other direction, or out of the table.",
        {"last": _one_more},
        {"last": _of_both},
    ),
    _trap(
        "max_distance hard-coded",
        "128 is T5's number, and an argument here.",
        {"furthest": _of_t5},
    ),
    _trap(
        "a logarithm without its base",
        "log(d / exact) must reach 1 at max_distance: divide it by log(max_distance / exact). "
        "Without that base the last bucket comes far too soon.",
        {"span": _no_base},
        {"span": _no_base, "share": _log2},
    ),
    _trap(
        "two bases in one quotient",
        "ln a / ln b is the logarithm of a to the base b, and so is log2 a / log2 b: any base "
        "does, if it is the same above and below.",
        {"share": _log2},
        {"share": _log10},
        {"span": _base_two},
        {"span": _base_ten},
    ),
    _trap(
        "the logarithm of the whole distance",
        "the wide buckets begin where the exact ones end: at d = n/2 the logarithm must be 0, "
        "so it is that of d / (n/2).",
        {"share": _of_the_distance, "span": _of_the_whole},
        {"share": _of_the_distance},
        {"share": _of_one_more},
    ),
    _trap(
        "the logarithm of max_distance alone",
        "the wide buckets reach from e to max_distance: at d = max_distance the quotient must be "
        "1, so below the line stands ln(max_distance / e), with the e that is above it.",
        {"span": _of_the_whole},
    ),
    _trap(
        "cut before it is multiplied",
        "the quotient lies between 0 and 1, and cut to a whole number it is 0 all the way to "
        "max_distance. Multiply by n - e first, then cut.",
        {"cut": _cut_first},
    ),
    _trap(
        "rounded to the nearest",
        "a bucket ends where the next begins: cut off, as .long() does, and do not round.",
        {"cut": _rounded},
        {"cut": _up},
    ),
    _trap(
        "wide buckets of equal width",
        "the buckets grow with the distance, as a logarithm: 20 words away or 23 is nearly the "
        "same, 100 or 103 even more so.",
        {"share": _even},
    ),
    _trap(
        "the word itself among the later ones",
        "distance 0 belongs to the first half: bucket 0. Only keys that stand after the query, "
        "with a distance above 0, get the second half.",
        {"later": _not_before},
    ),
    _trap(
        "another integer type",
        "buckets are the rows of a table that are looked up, and the answer is int64 whatever "
        "integers come in: .long().",
        {"returned": _of_the_input},
        {"returned": _in_32_bits},
    ),
)
