"""The wrong answers that people give to ``relative_buckets``."""

import torch

from tutor.checks.exercise import Trap
from tutor.checks.position import buckets

_SECTION = "Relative buckets"


def _trap(name: str, why: str, *changes: dict) -> Trap:
    function, *others = (buckets.with_(**change) for change in changes)
    return Trap(name, function, why, _SECTION, tuple(others))


TRAPS = (
    _trap(
        "query minus key",
        "the argument is key minus query: positive for a key that stands after the query. With "
        "the sign exchanged a causal model throws its whole past into bucket 0.",
        {"taken": buckets.turned},
    ),
    _trap(
        "the second half for the earlier keys",
        "the second half of the buckets belongs to the keys that stand after the query, those with "
        "a relative position above 0.",
        {"later": buckets.before},
    ),
    _trap(
        "the past for the future",
        "without bidirectional it is the earlier keys that are told apart, by -relative_position, "
        "and the later ones that get bucket 0. A causal model never sees a later key.",
        {"distance": buckets.later_ones},
    ),
    _trap(
        "always in two directions",
        "bidirectional is not read. A causal model has no use for the later half of the "
        "buckets: it spends all of them on the past.",
        {"directions": buckets.always},
    ),
    _trap(
        "always in one direction",
        "bidirectional is not read, and every key that stands later gets bucket 0, as if it "
        "were the query itself.",
        {"directions": buckets.never},
    ),
    _trap(
        "both directions in one half",
        "keys before and after the query share their buckets: the model knows how far away a word "
        "is and not on which side. With bidirectional the later ones get n added.",
        {"later": buckets.nowhere},
    ),
    _trap(
        "a future in a causal model",
        "without bidirectional a key that stands later gets bucket 0, whatever its distance; "
        "with it, one of the second half. The absolute value alone gives it the bucket of the "
        "same distance in the past.",
        {"distance": buckets.by_size},
        {"distance": buckets.by_size, "later": buckets.nowhere},
    ),
    _trap(
        "a distance with its sign",
        "a bucket is looked up by the distance, and that is no negative number: the absolute "
        "value with bidirectional, and otherwise that of the earlier keys alone.",
        {"distance": buckets.with_its_sign},
    ),
    _trap(
        "all buckets for each direction",
        "num_buckets counts both directions together, and each has half of them. Otherwise the "
        "buckets of the past run into those of the future, or out of the table.",
        {"size": buckets.all_of_them},
        {"size": buckets.all_of_them, "offset": buckets.half},
        {"offset": buckets.every},
    ),
    _trap(
        "another offset for the later keys",
        "the later keys have the same buckets plus n, the number of buckets of one direction: less "
        "than that, and they run into those of the earlier ones.",
        {"offset": buckets.exact},
        {"offset": buckets.before_the_last},
    ),
    _trap(
        "exact buckets for half of all",
        "e is half of the buckets of *one* direction: with bidirectional a quarter of num_buckets.",
        {"exact": buckets.half_of_all},
    ),
    _trap(
        "exact buckets for a quarter",
        "e is half of the n buckets of one direction, and n is halved already: n // 2, not n // 4.",
        {"exact": buckets.half_of_half},
    ),
    _trap(
        "wide buckets from one too late",
        "with n/2 exact buckets these are the numbers 0 to n/2 - 1, so distance n/2, the first "
        "of the wide ones, gets the bucket n/2. Yours are one further: a bucket is never used, "
        "and the last one is full too soon.",
        {"first": buckets.one_late},
    ),
    _trap(
        "wide buckets from 0",
        "the wide buckets come after the e exact ones, so e is added to what the logarithm gives. "
        "Without it near and far keys share a bucket.",
        {"first": buckets.nothing},
    ),
    _trap(
        "too many wide buckets",
        "e of the n buckets are taken by the exact distances: the wide ones share out the n - e "
        "that are left. Another factor fills the last bucket too soon or never.",
        {"left": buckets.every_one},
        {"left": buckets.one_too_few},
    ),
    _trap(
        "as many wide buckets as exact ones",
        "of an odd number n of buckets e = n // 2 are exact and n - e are wide, one more. With e "
        "for both the last bucket of a direction is reached too late, or never.",
        {"left": buckets.as_the_exact_ones},
    ),
    _trap(
        "no wide buckets",
        "every distance has a bucket to itself until they are used up. From n/2 on they are to "
        "grow with the distance, so that n buckets reach as far as max_distance.",
        {"joined": buckets.none_far},
    ),
    _trap(
        "far distances not gathered",
        "from max_distance on all share the last bucket. Without that the number of the bucket "
        "goes on growing, into the other direction's and out of the table.",
        {"last": buckets.unlimited},
    ),
    _trap(
        "the last bucket one too far",
        "n buckets have the numbers 0 to n - 1, so the last of a direction is n - 1. Bucket n is "
        "the first of the other direction, or out of the table.",
        {"last": buckets.one_more},
    ),
    _trap(
        "the last bucket of both directions",
        "with bidirectional each direction has n = num_buckets // 2 buckets, and its last one is "
        "n - 1. Clamped to num_buckets - 1, the far ones run into those of the other direction.",
        {"last": buckets.of_both},
    ),
    _trap(
        "cut off after the offset",
        "the last bucket of *one* direction is n - 1. Clamped to that only when n has been added, "
        "all later keys fall into one bucket: clamp first, then add.",
        {"together": buckets.cut_at_last},
    ),
    _trap(
        "the last bucket for the later keys",
        "without bidirectional a key that stands later gets bucket 0, as one that is no distance "
        "away: clamp the distance to 0, and it does so by itself.",
        {"distance": buckets.later_ones_far},
    ),
    _trap(
        "buckets halved for one direction",
        "num_buckets is shared out only where there are two directions. A causal model has all of "
        "them for the past.",
        {"size": buckets.always_halved},
    ),
    _trap(
        "num_buckets hard-coded",
        "32 is T5's number, and an argument here.",
        {"count": buckets.of_t5_whatever_comes},
    ),
    _trap(
        "half of max_distance",
        "the buckets are shared out between two directions, and max_distance is not: in each of "
        "them the last bucket begins there.",
        {"furthest": buckets.halved_too},
    ),
    _trap(
        "buckets from one",
        "the numbers are rows of a table, and its first is 0: the last of num_buckets is "
        "num_buckets - 1.",
        {"returned": buckets.from_one},
    ),
    _trap(
        "the distances themselves",
        "a distance is looked up in a table with num_buckets rows. Without buckets the table would "
        "need one for each distance that there may be.",
        {"returned": buckets.distances_themselves},
    ),
    _trap(
        "max_distance hard-coded",
        "128 is T5's number, and an argument here.",
        {"furthest": buckets.of_t5},
    ),
    _trap(
        "a logarithm without its base",
        "log(d / exact) must reach 1 at max_distance: divide it by log(max_distance / exact). "
        "Without that base the last bucket comes far too soon.",
        {"span": buckets.no_base},
        {"span": buckets.no_base, "share": buckets.log2},
    ),
    _trap(
        "two bases in one quotient",
        "ln a / ln b is the logarithm of a to the base b, and so is log2 a / log2 b: any base "
        "does, if it is the same above and below.",
        {"share": buckets.log2},
        {"share": buckets.log10},
        {"span": buckets.base_two},
        {"span": buckets.base_ten},
    ),
    _trap(
        "the logarithm of the whole distance",
        "the wide buckets begin where the exact ones end: at d = n/2 the logarithm must be 0, "
        "so it is that of d / (n/2).",
        {"share": buckets.of_the_distance, "span": buckets.of_the_whole},
        {"share": buckets.of_the_distance},
    ),
    _trap(
        "the logarithm of one more",
        "at d = e the logarithm must be 0, so that the wide buckets begin where the exact ones "
        "end: ln(d / e), without a 1. The maximum with 1 keeps it from minus infinity.",
        {"share": buckets.of_one_more},
    ),
    _trap(
        "the logarithm of max_distance alone",
        "the wide buckets reach from e to max_distance: at d = max_distance the quotient must be "
        "1, so below the line stands ln(max_distance / e), with the e that is above it.",
        {"span": buckets.of_the_whole},
    ),
    _trap(
        "cut before it is multiplied",
        "the quotient lies between 0 and 1, and cut to a whole number it is 0 all the way to "
        "max_distance. Multiply by n - e first, then cut.",
        {"cut": buckets.cut_first},
    ),
    _trap(
        "rounded to the nearest",
        "a bucket ends where the next begins: cut off, as .long() does, and do not round.",
        {"cut": buckets.rounded},
    ),
    _trap(
        "rounded up",
        "a bucket ends where the next begins: cut off, as .long() does. With ceil, or with exact "
        "buckets up to d <= e, each of the wide ones begins one too late.",
        {"cut": buckets.up},
    ),
    _trap(
        "a quotient cut before its logarithm",
        "d // e is the same whole number for e neighbouring distances, and so is its logarithm: "
        "several buckets are never used. Divide with /.",
        {"share": buckets.of_whole_quotients},
    ),
    _trap(
        "the logarithm in a short dtype",
        "half precision has 11 bits and bfloat16 8: near its end a bucket begins some words too "
        "early or too late. An integer's logarithm is taken in single precision at least.",
        {"share": buckets.in_short(torch.bfloat16)},
    ),
    _trap(
        "wide buckets of equal width",
        "the buckets grow with the distance, as a logarithm: 20 words away or 23 is nearly the "
        "same, 100 or 103 even more so.",
        {"share": buckets.even},
    ),
    _trap(
        "the word itself among the later ones",
        "distance 0 belongs to the first half: bucket 0. Only keys that stand after the query, "
        "with a distance above 0, get the second half.",
        {"later": buckets.not_before},
    ),
    _trap(
        "another integer type",
        "buckets are the rows of a table that are looked up, and the answer is int64 whatever "
        "integers come in: .long().",
        {"returned": buckets.of_the_input},
        {"returned": buckets.in_32_bits},
    ),
)
