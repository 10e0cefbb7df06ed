"""What ``relative_buckets`` must satisfy."""

import math
from collections.abc import Iterator

import torch
from torch import Generator, Tensor

from tutor import position as reference
from tutor.checks.conditions import Condition, Crossed, Factor, Family, Row, pair
from tutor.checks.crossings import LAYOUT
from tutor.checks.draw import Draw, laid
from tutor.checks.exercise import Case, Contract, Exercise
from tutor.checks.position import bucket_traps
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

    # An even number a direction: that an odd one has one more wide bucket is asked below.
    count, furthest = 4 * draw.integer(3, 10), draw.integer(45, 300)
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


RELATIVE_BUCKETS = Exercise(
    reference=reference.relative_buckets,
    chapter=CHAPTER,
    points={"values": 3, "edges": 2, "types": 1, "contracts": 1},
    cases=CASES,
    contract=_contract,
    traps=bucket_traps.TRAPS,
)
