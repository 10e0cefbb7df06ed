"""What ``apply_rope`` must satisfy, and the wrong answers that people give."""

from collections.abc import Iterator

import torch
from torch import Generator, Tensor

from tutor import position as reference
from tutor.checks.conditions import Condition, Crossed, Factor, Family, Row, pair
from tutor.checks.crossings import DTYPE, LAYOUT
from tutor.checks.draw import SINGLE, Draw, laid
from tutor.checks.exercise import Case, Contract, Exercise, Property, Trap
from tutor.checks.position import turns
from tutor.checks.position.angles import (
    ROUNDED_FREQUENCIES,
    angle_traps,
    from_zero,
    in_single,
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
    places,
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
            turns.with_(places=from_zero),
            "the tokens were numbered 0, 1, 2, ... whatever the argument says. A model that "
            "generates passes one new query at a time: it would stand at 0 for ever, while its "
            "keys in the cache stand where they stood.",
            "Positions are an argument",
        ),
        *angle_traps(turns.with_, "Rotation instead of addition"),
        Trap(
            "sine and cosine exchanged",
            turns.with_(turn=turns.EXCHANGED),
            "(a, b) becomes (a cos - b sin, a sin + b cos): at position 0, where the sine is 0 and "
            "the cosine 1, nothing turns.",
            "Rotation instead of addition",
        ),
        Trap(
            "the other layout",
            turns.with_(layout_read=turns.other),
            "half pairs feature i with i + D/2, interleaved pairs 2i with 2i + 1; yours does it "
            "the other way round. Each works by itself. Weights trained with one are useless in "
            "the other until their rows are reordered.",
            "Two layouts",
        ),
        Trap(
            "one layout for both",
            turns.with_(layout_read=turns.half),
            "the argument layout is not read. Half of the calls are right, and no shape tells the "
            "others apart.",
            "Two layouts",
            (turns.with_(layout_read=turns.interleaved),),
        ),
        Trap(
            "taken apart in one layout, put together in the other",
            turns.with_(joined_in=turns.half),
            "interleaved features are taken with x[..., ::2] and x[..., 1::2] and must go back to "
            "where they came from: stack and flatten. Halves are put together with cat. Mixed, "
            "every feature is right and stands in another's place.",
            "Two layouts",
            (turns.with_(joined_in=turns.interleaved),),
        ),
        Trap(
            "added instead of turned",
            turns.with_(turn=turns.ADDED),
            "RoPE adds nothing. It turns each pair of features, and a score of two that are turned "
            "knows their distance alone; of sums it would know each position, too.",
            "Rotation instead of addition",
            (turns.added_as_sinusoids,),
        ),
        Trap(
            "turned the wrong way",
            turns.with_(turn=turns.BACKWARDS),
            "(a, b) becomes (a cos - b sin, a sin + b cos). With the other sign all scores inside "
            "your own model stay right, since only the difference of two angles counts, and it "
            "takes a foreign checkpoint to notice... or a query and a key turned by two functions.",
            "Rotation instead of addition",
        ),
        Trap(
            "no minus",
            turns.with_(turn=turns.NO_MINUS),
            "(a cos + b sin, a sin + b cos) is no rotation: lengths change, and scores depend on "
            "the positions themselves. The minus stands before b sin.",
            "Rotation instead of addition",
        ),
        Trap(
            "a minus too many",
            turns.with_(turn=turns.TWO_MINUSES),
            "(a cos - b sin, b cos - a sin) is no rotation: lengths change, and scores depend on "
            "the positions themselves. There is one minus, before b sin; the other one has a plus.",
            "Rotation instead of addition",
        ),
        Trap(
            "one of two turned",
            turns.with_(turn=turns.FIRST_ALONE),
            "one feature of each pair is as it was. A rotation changes both: (a cos - b sin, "
            "a sin + b cos).",
            "Rotation instead of addition",
            (turns.with_(turn=turns.SECOND_ALONE),),
        ),
        Trap(
            "turned twice",
            turns.with_(places=turns.doubled),
            "the angles are those of twice the position. Where the rotation was applied twice, "
            "before the split into heads and after it, say, once is enough.",
            "Rotation instead of addition",
        ),
        Trap(
            "sine and cosine in a short dtype",
            turns.with_(rounded=turns.in_short(torch.bfloat16)),
            "bfloat16 keeps 8 bits of a sine, half precision 11, and every answer is as coarse. "
            "Sine and cosine are rounded to the dtype of x and to no shorter one.",
            "Numbers that grow",
            (turns.with_(rounded=turns.in_short(torch.float16)),),
        ),
        Trap(
            "angles in the precision of x",
            turns.low_precision(turns.rounded_at_last),
            "bfloat16 counts to 256 and then skips; half precision counts to 2,048; single "
            "precision is off by half a radian at ten million. Compute the angles in double, and "
            "round sine and cosine.",
            "Numbers that grow",
            tuple(map(turns.low_precision, ROUNDED_FREQUENCIES)),
        ),
        Trap(
            "angles in single precision",
            turns.with_(angles=in_single),
            "a float32 number has seven digits: at position 100,000 an angle is off by a hundredth "
            "of a radian, and at ten million by half a one. Compute the angles in double, and "
            "round sine and cosine.",
            "Numbers that grow",
            precision=True,
        ),
        Trap(
            "double whatever comes in",
            turns.with_(rounded=turns.double),
            "angles are computed in double, and sine and cosine go back to x.dtype before they "
            "meet x. Unrounded, they make the whole answer double.",
            "Numbers that grow",
        ),
        Trap(
            "the heads' index instead of the time",
            turns.heads_for_time,
            "time is the last dimension but one, (B, H, T, D). Turned by the dimension before it, "
            "every word of a head stands at the same place.",
            "Rotation instead of addition",
        ),
        Trap(
            "pairs of one layout, angles of the other",
            turns.mixed,
            "two halves of two code bases: rotate_half pairs i with i + D/2, and angles repeated "
            "as 0, 0, 1, 1, ... belong to neighbours (or the reverse). The two of a pair are then "
            "turned by different angles, and that is no rotation.",
            "Two layouts",
            (turns.halves_whatever_the_layout,),
        ),
        Trap(
            "a part of the features turned",
            turns.with_(reach=turns.half_of_it),
            "some models turn only the first half of the features and leave the others as they "
            "are, so that these know nothing of the place. Here all D / 2 pairs turn.",
            "Rotation instead of addition",
            (turns.half_of_the_pairs,),
        ),
        Trap(
            "a dimension put in for the heads",
            turns.with_(rounded=turns.heads_in_front),
            "positions come as they fit: (T,), or (B, 1, T) where there are heads. A function "
            "whose positions are always (B, T) needs cos.unsqueeze(1); here that makes a dimension "
            "too many, or puts time where the heads stand.",
            "Positions are an argument",
            (turns.with_(rounded=turns.second_put_in),),
        ),
        Trap(
            "heads behind time",
            turns.with_(rounded=turns.heads_behind),
            "(B, T, H, D) is another order: here time is the last dimension but one, (B, H, T, D), "
            "and the angles, (T, D / 2), fit it from the right without a dimension put in.",
            "Rotation instead of addition",
            (turns.with_(rounded=turns.heads_behind_if_any),),
        ),
        Trap(
            "no partner",
            turns.with_(turn=turns.NO_PARTNER),
            "x cos + x sin scales every feature by itself. A rotation mixes two features: the sine "
            "multiplies the partner.",
            "Rotation instead of addition",
        ),
        Trap(
            "the first overwritten before the second is read",
            turns.with_(turned=turns.one_after_the_other),
            "a was replaced by its turned value, and that value then entered b. Both lines of a "
            "rotation read the old a and the old b.",
            "Rotation instead of addition",
        ),
        Trap(
            "the input overwritten",
            turns.in_place,
            "x holds turned features after the call. Called again on the same keys, as a cache "
            "does, it turns them twice.",
            "Positions are an argument",
            overwrites="x",
        ),
    ),
)
