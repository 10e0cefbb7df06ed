"""What ``relative_buckets`` must satisfy, and the wrong answers that people give."""

import math
from collections.abc import Iterator

import torch
from torch import Generator, Tensor

from tutor import position as reference
from tutor.checks.changes import changeable
from tutor.checks.conditions import Condition, Crossed, Factor, Family, Row, pair
from tutor.checks.draw import Draw, laid
from tutor.checks.exercise import Case, Contract, Exercise, Trap
from tutor.checks.families import LAYOUT
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


def _arguments(draw: Draw, row: Row) -> tuple[Tensor | bool | int, ...]:
    distances = row["distances"](draw, *row["shape"]).to(row["integers"])
    return (laid(distances, row["layout"]), row["directions"], *row["buckets"])


def _by_hand(draw: Draw) -> Iterator[Case]:
    def line(reach: int) -> Tensor:
        return torch.arange(-reach, reach + 1, device=draw.device)

    buckets, furthest = 2 * draw.integer(5, 20), draw.integer(45, 300)
    by_lot = draw.integers(draw.integer(2, 9), draw.integer(2, 9), low=-400, high=401)
    yield Case("by lot", (by_lot, True, buckets, furthest))
    yield Case("by lot, causal", (by_lot, False, buckets, furthest))
    yield Case("all left out", (line(150),))
    yield Case("every distance to 150", (line(150), True, 32, 128), "edges")
    yield Case("every distance to 150, causal", (line(150), False, 32, 128), "edges")
    yield Case("every distance to 40, other numbers", (line(40), True, 12, 37), "edges")
    yield Case("an odd number of buckets, causal", (line(40), False, 7, 30), "edges")
    yield Case("three buckets, causal", (line(9), False, 3, 3), "edges")
    # So many that half precision cannot tell them apart; none at an edge, where rounding decides.
    far = torch.arange(300, 99_000, 701)
    place = (far / 256).double().log() / math.log(100_000 / 256) * 256
    far = -far[(place % 1 - 0.5).abs() < 0.45].to(draw.device)
    yield Case("hundreds of buckets, causal", (far, False, 512, 100_000), "edges")


CASES = Crossed(FAMILY, _arguments, _by_hand, usual="T5's own numbers")


def _contract(generator: Generator, device: torch.device) -> Contract:
    distances = Draw(generator, device).integers(24, 32, low=-200, high=200)
    return Contract(
        calls=((distances, True, 32, 128), (distances, False, 32, 128)),
    )


def _by_logarithm(d, exact, size, furthest):
    return ((d / exact).log() / math.log(furthest / exact) * (size - exact) + 1e-9).long()


def _as_it_is(relative):
    return relative


def _asked(bidirectional):
    return bidirectional


def _given(furthest):
    return furthest


def _buckets(
    relative_position,
    bidirectional=True,
    num_buckets=32,
    max_distance=128,
    sign=_as_it_is,
    directions=_asked,
    furthest=_given,
    halve=True,
    apart=True,
    future_by_size=False,
    clamp=True,
    wide=_by_logarithm,
):
    """The right buckets, but for the parts that are given."""
    relative, both, most = sign(relative_position), directions(bidirectional), num_buckets
    size = most // 2 if both and halve else most
    exact = size // 2
    later = (relative > 0) * (most // 2 if apart else most) if both else 0 * relative
    distance = relative.abs() if both or future_by_size else (-relative).clamp(min=0)
    d = distance.clamp(min=1).double()
    far = exact + wide(d, exact, size, furthest(max_distance))
    if clamp:
        far = far.clamp(max=size - 1)
    return later + torch.where(distance < exact, distance, far)


_with = changeable(_buckets)


def _sign_not_read(r, bidirectional=True, num_buckets=32, max_distance=128):
    size = num_buckets // 2 if bidirectional else num_buckets
    return _buckets(-r.abs(), False, size, max_distance)


def _turned(relative):
    return -relative


def _always(bidirectional):
    return True


def _never(bidirectional):
    return False


def _of_t5(furthest):
    return 128


def _zero_is_later(r, bidirectional=True, num_buckets=32, max_distance=128):
    answer = _buckets(r, bidirectional, num_buckets, max_distance)
    return answer + (r == 0) * (num_buckets // 2) if bidirectional else answer


def _wide_no_base(d, exact, size, furthest):
    return ((d / exact).log() * (size - exact)).long()


def _wide_base_two(d, exact, size, furthest):
    return ((d / exact).log2() * (size - exact)).long()


def _wide_not_from_exact(d, exact, size, furthest):
    return (d.log() / math.log(furthest) * (size - exact)).long()


def _wide_rounded(d, exact, size, furthest):
    return ((d / exact).log() / math.log(furthest / exact) * (size - exact)).round().long()


def _wide_one_late(d, exact, size, furthest):
    return 1 + ((d / exact).log() / math.log(furthest / exact) * (size - exact) + 1e-9).long()


def _wide_linear(d, exact, size, furthest):
    return ((d - exact) / (furthest - exact) * (size - exact)).long()


RELATIVE_BUCKETS = Exercise(
    reference=reference.relative_buckets,
    chapter=CHAPTER,
    points={"values": 3, "edges": 2, "types": 1, "contracts": 1},
    cases=CASES,
    contract=_contract,
    traps=(
        Trap(
            "query minus key",
            _with(sign=_turned),
            "the argument is key minus query: positive for a key that stands after the query. With "
            "the sign exchanged a causal model throws its whole past into bucket 0.",
            "Relative buckets",
        ),
        Trap(
            "always in two directions",
            _with(directions=_always),
            "bidirectional is not read. A causal model has no use for the later half of the "
            "buckets: it spends all of them on the past.",
            "Relative buckets",
        ),
        Trap(
            "always in one direction",
            _with(directions=_never),
            "bidirectional is not read, and every key that stands later gets bucket 0, as if it "
            "were the query itself.",
            "Relative buckets",
        ),
        Trap(
            "a future in a causal model",
            _with(future_by_size=True),
            "without bidirectional a key that stands later gets bucket 0, whatever its distance; "
            "with it, one of the second half. The absolute value alone gives it the bucket of the "
            "same distance in the past.",
            "Relative buckets",
            (_sign_not_read,),
        ),
        Trap(
            "all buckets for each direction",
            _with(halve=False),
            "num_buckets counts both directions together, and each has half of them. Otherwise the "
            "buckets of the past run into those of the future, or out of the table.",
            "Relative buckets",
            (_with(halve=False, apart=False), _with(apart=False)),
        ),
        Trap(
            "wide buckets from one too late",
            _with(wide=_wide_one_late),
            "with n/2 exact buckets these are the numbers 0 to n/2 - 1, so distance n/2, the first "
            "of the wide ones, gets the bucket n/2. Yours are one further: a bucket is never used, "
            "and the last one is full too soon.",
            "Relative buckets",
        ),
        Trap(
            "far distances not gathered",
            _with(clamp=False),
            "from max_distance on all share the last bucket. Without that the number of the bucket "
            "goes on growing, into the other direction's and out of the table.",
            "Relative buckets",
        ),
        Trap(
            "max_distance hard-coded",
            _with(furthest=_of_t5),
            "128 is T5's number, and an argument here.",
            "Relative buckets",
        ),
        Trap(
            "a logarithm without its base",
            _with(wide=_wide_no_base),
            "log(d / exact) must reach 1 at max_distance: divide it by log(max_distance / exact). "
            "Without that base the last bucket comes far too soon.",
            "Relative buckets",
            (_with(wide=_wide_base_two),),
        ),
        Trap(
            "the logarithm of the whole distance",
            _with(wide=_wide_not_from_exact),
            "the wide buckets begin where the exact ones end: at d = n/2 the logarithm must be 0, "
            "so it is that of d / (n/2).",
            "Relative buckets",
        ),
        Trap(
            "rounded to the nearest",
            _with(wide=_wide_rounded),
            "a bucket ends where the next begins: cut off, as .long() does, and do not round.",
            "Relative buckets",
        ),
        Trap(
            "wide buckets of equal width",
            _with(wide=_wide_linear),
            "the buckets grow with the distance, as a logarithm: 20 words away or 23 is nearly the "
            "same, 100 or 103 even more so.",
            "Relative buckets",
        ),
        Trap(
            "the word itself among the later ones",
            _zero_is_later,
            "distance 0 belongs to the first half: bucket 0. Only keys that stand after the query, "
            "with a distance above 0, get the second half.",
            "Relative buckets",
        ),
    ),
)
