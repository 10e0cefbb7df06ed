"""What ``relative_buckets`` must satisfy, and the wrong answers that people give."""

import math
from collections.abc import Iterator

import torch
from torch import Generator, Tensor

from tutor import position as reference
from tutor.checks.conditions import Condition, Crossed, Factor, Family, Row, pair
from tutor.checks.draw import Draw, laid
from tutor.checks.exercise import Case, Contract, Exercise, Trap
from tutor.checks.families import LAYOUT
from tutor.checks.position import buckets
from tutor.checks.position.shared import CHAPTER, B


def _within(reach: int):
    return lambda draw, *shape: draw.integers(*shape, low=-reach, high=reach + 1)


_DIRECTIONS = Factor(
    "directions",
    (Condition("both", value=True), Condition("causal", "causal", False, alone=True)),
)
_BUCKETS = Factor(
    "buckets",
    (
        Condition("of T5", value=(32, 128)),
        Condition("left out", "the numbers left out", (), alone=True),
        Condition("few", "few buckets", (8, 20), alone=True),
        Condition("many", "many buckets", (64, 500)),
        Condition("hundreds", "hundreds of buckets", (600, 2000)),
        Condition("two a direction", "two buckets a direction", (4, 8), edge=True),
    ),
)
_DISTANCES = Factor(
    "distances",
    (
        Condition("to 200", value=_within(200)),
        Condition("to 2,000", "distances to 2,000", _within(2000)),
        Condition(
            "to a million",
            "distances of a million",
            lambda draw, *shape: 1_000_003 * draw.integers(*shape, low=-2, high=3),
            edge=True,
            alone=True,
        ),
    ),
)
_SHAPE = Factor(
    "shape",
    (
        Condition("three", value=(B, 7, 9)),
        Condition("two", "two dimensions", (7, 9)),
        Condition("row", "one dimension", (301,)),
        Condition("single", "a single distance", (1,), edge=True),
        Condition("number", "no dimension", (), edge=True),
    ),
)
_INTEGERS = Factor(
    "integers",
    (
        Condition("int64", value=torch.int64),
        Condition("int32", "32-bit integers", torch.int32, alone=True),
        Condition("int16", "16-bit integers", torch.int16),
    ),
)

_ONE_ROW = "a row of numbers lies one after the other"
FAMILY = Family(
    (_BUCKETS, _DIRECTIONS, _DISTANCES, _SHAPE, _INTEGERS, LAYOUT),
    apart={
        pair("int16", "to a million"): "integers of 16 bits end at 32,767",
        **{pair("turned", name): _ONE_ROW for name in ("row", "single", "number")},
        **{pair("views", name): _ONE_ROW for name in ("row", "single", "number")},
    },
).but(without={"behind": "distances have no heads"})


def _apart(
    distances: Tensor, bidirectional: bool = True, num_buckets: int = 32, max_distance: int = 128
) -> Tensor:
    """The distances, those one further out on which a bucket begins: there the logarithms are a
    whole number, and the order in which somebody multiplies decides which side they round to."""
    size = num_buckets // 2 if bidirectional else num_buckets
    exact = size // 2
    d = distances.double().abs()
    place = (d.clamp(min=exact) / exact).log() / math.log(max_distance / exact) * (size - exact)
    begins = ((place - place.round()).abs() < 1e-3) & (d > exact)
    return distances + begins * distances.sign()


def _arguments(draw: Draw, row: Row) -> tuple[Tensor | bool | int, ...]:
    distances = row["distances"](draw, *row["shape"]).to(row["integers"])
    rest = (row["directions"], *row["buckets"])
    return (laid(_apart(distances, *rest), row["layout"]), *rest)


def _by_hand(draw: Draw) -> Iterator[Case]:
    def line(reach: int) -> Tensor:
        return torch.arange(-reach, reach + 1, device=draw.device)

    def case(label: str, distances: Tensor, *rest: bool | int, group: str = "edges") -> Case:
        return Case(label, (_apart(distances, *rest), *rest), group)

    count, furthest = 2 * draw.integer(5, 20), draw.integer(45, 300)
    by_lot = draw.integers(draw.integer(2, 9), draw.integer(2, 9), low=-400, high=401)
    yield case("by lot", by_lot, True, count, furthest, group="values")
    yield case("by lot, causal", by_lot, False, count, furthest, group="values")
    yield case("all left out", line(150), group="values")
    yield case("distances to 150", line(150), True, 32, 128)
    yield case("distances to 150, causal", line(150), False, 32, 128)
    yield case("distances to 40, other numbers", line(40), True, 12, 37)
    yield case("an odd number of buckets, causal", line(40), False, 7, 30)
    yield case("three buckets, causal", line(9), False, 3, 3)
    # Without -128, whose absolute value the dtype cannot hold.
    yield case("integers of one byte", line(127).to(torch.int8), True, 32, 128)
    yield case("integers of one byte, 200 buckets", line(127).to(torch.int8), True, 200, 300)
    # So many that half precision cannot tell them apart, and single precision can.
    far = torch.arange(300, 99_000, 701)
    place = (far / 256).double().log() / math.log(100_000 / 256) * 256
    far = -far[(place % 1 - 0.5).abs() < 0.45].to(draw.device)
    yield Case("hundreds of buckets, causal", (far, False, 512, 100_000), "edges")


CASES = Crossed(FAMILY, _arguments, _by_hand, usual="T5's own numbers")


def _contract(generator: Generator, device: torch.device) -> Contract:
    distances = Draw(generator, device).integers(24, 32, low=-200, high=200)
    numbers = ((True, 32, 128), (False, 32, 128))
    return Contract(calls=tuple((_apart(distances, *n), *n) for n in numbers))


_SECTION = "Relative buckets"


def _trap(name: str, why: str, *changes: dict) -> Trap:
    function, *others = (buckets.with_(**change) for change in changes)
    return Trap(name, function, why, _SECTION, tuple(others))


_TRAPS = (
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
        {"last": buckets.of_both},
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
        {"cut": buckets.up},
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

RELATIVE_BUCKETS = Exercise(
    reference=reference.relative_buckets,
    chapter=CHAPTER,
    points={"values": 3, "edges": 2, "types": 1, "contracts": 1},
    cases=CASES,
    contract=_contract,
    traps=_TRAPS,
)
