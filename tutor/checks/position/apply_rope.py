"""What ``apply_rope`` must satisfy, and the wrong answers that people give."""

from collections.abc import Iterator

import torch
from torch import Generator, Tensor

from tutor import position as reference
from tutor.checks.changes import changeable
from tutor.checks.conditions import Condition, Crossed, Factor, Family, Row, pair
from tutor.checks.draw import SINGLE, Draw, laid
from tutor.checks.exercise import Case, Contract, Exercise, Property, Trap
from tutor.checks.families import DTYPE, LAYOUT
from tutor.checks.position.angles import (
    ROUNDED_FREQUENCIES,
    angle_traps,
    from_zero,
    given,
    given_theta,
    in_single,
    of_width,
)
from tutor.checks.position.shared import (
    CHAPTER,
    LAYOUT_OF_PAIRS,
    LAYOUTS,
    PLACES,
    POSITIONS_FOR,
    THETA,
    TOKENS,
    WIDTH,
    B,
    D,
    H,
    T,
    angles_of,
    frequencies_of,
    places,
)
from tutor.checks.position.turns import (
    added,
    backwards,
    exchanged,
    joined,
    mixed,
    no_minus,
    no_partner,
    one_after_the_other,
    pairs_of,
    turn,
)

_BATCH = Factor(
    "batch",
    (
        Condition("two", value=(B, H)),
        Condition("none", "no batch dimension", (), alone=True),
        Condition("one", "one batch dimension", (B,), alone=True),
        Condition("three", "batch dimensions 2, 1 and 4", (B, 1, 4)),
    ),
)

FAMILY = Family(
    (DTYPE, PLACES, LAYOUT_OF_PAIRS, LAYOUT, _BATCH, TOKENS, WIDTH, THETA, POSITIONS_FOR),
    together=(("between", "neighbours"),),  # in double precision: positions have gradients, too
    apart={
        pair("behind", "none"): "without a batch dimension there is nothing to swap",
        pair("behind", "one token"): "one token lies nowhere else",
        pair("turned", "one token"): "one token lies nowhere else",
        pair("each sentence", "none"): "there is one sentence",
        pair("each head", "none"): "there is one head",
    },
)


def _arguments(draw: Draw, row: Row) -> tuple[Tensor | float | str, ...]:
    batch, t = row["batch"], row["tokens"]
    x = draw.normal(*batch, t, row["width"], dtype=row["dtype"])
    positions = places(draw, row, *row["for"](batch), t).contiguous()
    named = () if row["pairs"] is None else (row["theta"] or 10000.0, row["pairs"])
    if not named and row["theta"]:
        named = (row["theta"],)
    return (laid(x, row["layout"]), laid(positions, row["layout"]), *named)


def _by_hand(draw: Draw) -> Iterator[Case]:
    sizes = tuple(draw.integer(2, 7) for _ in range(3))
    lot, single = draw.normal(*sizes, 2 * draw.integer(2, 9)), draw.normal(B, T, D, dtype=SINGLE)
    for layout in LAYOUTS:
        positions = draw.integers(sizes[-1], low=1, high=60)
        yield Case(f"sizes drawn by lot, {layout}", (lot, positions, 700.0, layout))
        far = (single, draw.integers(T, low=10_000_019, high=10_000_079), 10000.0, layout)
        yield Case(f"positions of ten million, single precision, {layout}", far, "edges")
    floats = draw.integers(T, low=10_000_019, high=10_000_079).float()
    yield Case("positions of ten million as floats", (single, floats), "edges")


CASES = Crossed(FAMILY, _arguments, _by_hand, usual="heads")


def _contract(generator: Generator, device: torch.device) -> Contract:
    draw = Draw(generator, device)
    x, positions = draw.normal(4, H, 16, D), draw.integers(16, low=0, high=99)
    return Contract(
        calls=tuple((x, positions, 10000.0, layout) for layout in LAYOUTS),
    )


def _distance_alone(call, generator: Generator, device: torch.device) -> str | None:
    draw = Draw(generator, device)
    q, k = draw.normal(T, D), draw.normal(T, D)
    positions = draw.integers(T, low=0, high=50)
    for layout in LAYOUTS:

        def scores(shift, layout=layout):
            turned = [call(x, positions + shift, 10000.0, layout) for x in (q, k)]
            return turned[0] @ turned[1].mT

        change = (scores(0) - scores(512)).abs().max()
        if not change < 1e-9:
            return (
                f"shifting queries and keys by 512 should change no score; in the layout "
                f"{layout} one changes by {float(change):.2g}"
            )
    return None


def _as_asked(layout):
    return layout


def _as_x(t, x):
    return t.to(x.dtype)


def _rope(
    x,
    positions,
    theta=10000.0,
    layout="half",
    places=given,
    base=given_theta,
    angles=of_width,
    layout_read=_as_asked,
    turn=turn,
    joined_in=_as_asked,
    rounded=_as_x,
):
    """The right features, but for the parts that are given."""
    layout = layout_read(layout)
    angle = angles(places(positions), x.shape[-1], base(theta))
    pairs = turn(*pairs_of(x, layout), rounded(angle.cos(), x), rounded(angle.sin(), x))
    return joined(pairs, joined_in(layout))


_with = changeable(_rope)


def _other(layout):
    return "half" if layout == "interleaved" else "interleaved"


def _half(layout):
    return "half"


def _interleaved(layout):
    return "interleaved"


def _double(t, x):
    return t


def _low_precision(frequencies):
    """``frequencies``: of a width, a theta, a device and a dtype."""

    def wrong(x, positions, theta=10000.0, layout="half"):
        def angles(positions, width, theta):
            of_pairs = frequencies(width, theta, x.device, x.dtype)
            return positions.to(x.dtype)[..., None] * of_pairs

        return _rope(x, positions, theta, layout, angles=angles)

    return wrong


def _rounded_at_last(width, theta, device, dtype):
    return frequencies_of(width, theta, device).to(dtype)


def _heads_for_time(x, positions, theta=10000.0, layout="half"):
    count = x.shape[-3] if x.ndim > 2 else x.shape[-2]
    places = torch.arange(count, device=x.device)
    return _rope(x, places[:, None] if x.ndim > 2 else places, theta, layout)


def _in_place(x, positions, theta=10000.0, layout="half"):
    turned = _rope(x, positions, theta, layout)
    x.data.copy_(turned)
    return turned


def _added_as_sinusoids(x, positions, theta=10000.0, layout="half"):
    angles = angles_of(positions, x.shape[-1], theta)
    return x + joined((angles.sin(), angles.cos()), "interleaved").to(x.dtype)


APPLY_ROPE = Exercise(
    reference=reference.apply_rope,
    chapter=CHAPTER,
    points={"values": 3, "edges": 3, "gradients": 1, "types": 1, "contracts": 1},
    cases=CASES,
    contract=_contract,
    properties=(Property("scores depend on the distance alone", _distance_alone, "values"),),
    traps=(
        Trap(
            "positions always from zero",
            _with(places=from_zero),
            "the tokens were numbered 0, 1, 2, ... whatever the argument says. A model that "
            "generates passes one new query at a time: it would stand at 0 for ever, while its "
            "keys in the cache stand where they stood.",
            "Positions are an argument",
        ),
        *angle_traps(_with, "Rotation instead of addition"),
        Trap(
            "sine and cosine exchanged",
            _with(turn=exchanged),
            "(a, b) becomes (a cos - b sin, a sin + b cos): at position 0, where the sine is 0 and "
            "the cosine 1, nothing turns.",
            "Rotation instead of addition",
        ),
        Trap(
            "the other layout",
            _with(layout_read=_other),
            "half pairs feature i with i + D/2, interleaved pairs 2i with 2i + 1; yours does it "
            "the other way round. Each works by itself. Weights trained with one are useless in "
            "the other until their rows are reordered.",
            "Two layouts",
        ),
        Trap(
            "one layout for both",
            _with(layout_read=_half),
            "the argument layout is not read. Half of the calls are right, and no shape tells the "
            "others apart.",
            "Two layouts",
            (_with(layout_read=_interleaved),),
        ),
        Trap(
            "taken apart in one layout, put together in the other",
            _with(joined_in=_half),
            "interleaved features are taken with x[..., ::2] and x[..., 1::2] and must go back to "
            "where they came from: stack and flatten. Halves are put together with cat. Mixed, "
            "every feature is right and stands in another's place.",
            "Two layouts",
            (_with(joined_in=_interleaved),),
        ),
        Trap(
            "added instead of turned",
            _with(turn=added),
            "RoPE adds nothing. It turns each pair of features, and a score of two that are turned "
            "knows their distance alone; of sums it would know each position, too.",
            "Rotation instead of addition",
            (_added_as_sinusoids,),
        ),
        Trap(
            "turned the wrong way",
            _with(turn=backwards),
            "(a, b) becomes (a cos - b sin, a sin + b cos). With the other sign all scores inside "
            "your own model stay right, since only the difference of two angles counts, and it "
            "takes a foreign checkpoint to notice... or a query and a key turned by two functions.",
            "Rotation instead of addition",
        ),
        Trap(
            "no minus",
            _with(turn=no_minus),
            "(a cos + b sin, a sin + b cos) is no rotation: lengths change, and scores depend on "
            "the positions themselves. The minus stands before b sin.",
            "Rotation instead of addition",
        ),
        Trap(
            "angles in the precision of x",
            _low_precision(_rounded_at_last),
            "bfloat16 counts to 256 and then skips; half precision counts to 2,048; single "
            "precision is off by half a radian at ten million. Compute the angles in double, and "
            "round sine and cosine.",
            "Numbers that grow",
            tuple(map(_low_precision, ROUNDED_FREQUENCIES)),
        ),
        Trap(
            "angles in single precision",
            _with(angles=in_single),
            "a float32 number has seven digits: at position 100,000 an angle is off by a hundredth "
            "of a radian, and at ten million by half a one. Compute the angles in double, and "
            "round sine and cosine.",
            "Numbers that grow",
            precision=True,
        ),
        Trap(
            "double whatever comes in",
            _with(rounded=_double),
            "angles are computed in double, and sine and cosine go back to x.dtype before they "
            "meet x. Unrounded, they make the whole answer double.",
            "Numbers that grow",
        ),
        Trap(
            "the heads' index instead of the time",
            _heads_for_time,
            "time is the last dimension but one, (B, H, T, D). Turned by the dimension before it, "
            "every word of a head stands at the same place.",
            "Rotation instead of addition",
        ),
        Trap(
            "pairs of one layout, angles of the other",
            mixed,
            "two halves of two code bases: rotate_half pairs i with i + D/2, and angles repeated "
            "as 0, 0, 1, 1, ... belong to neighbours (or the reverse). The two of a pair are then "
            "turned by different angles, and that is no rotation.",
            "Two layouts",
        ),
        Trap(
            "no partner",
            _with(turn=no_partner),
            "x cos + x sin scales every feature by itself. A rotation mixes two features: the sine "
            "multiplies the partner.",
            "Rotation instead of addition",
        ),
        Trap(
            "the first overwritten before the second is read",
            _with(turn=one_after_the_other),
            "a was replaced by its turned value, and that value then entered b. Both lines of a "
            "rotation read the old a and the old b.",
            "Rotation instead of addition",
        ),
        Trap(
            "the input overwritten",
            _in_place,
            "x holds turned features after the call. Called again on the same keys, as a cache "
            "does, it turns them twice.",
            "Positions are an argument",
            overwrites="x",
        ),
    ),
)
