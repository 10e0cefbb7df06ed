"""What ``quantize_groups`` must satisfy, and the wrong answers that people give."""

from collections.abc import Iterator

import torch
from torch import Generator, Tensor

from tutor import efficiency as reference
from tutor.checks.conditions import Condition, Crossed, Factor, Family, Row, pair
from tutor.checks.crossings import DTYPE, LAYOUT
from tutor.checks.draw import DOUBLE, Draw, laid
from tutor.checks.efficiency import absmax
from tutor.checks.efficiency import grouped as part
from tutor.checks.efficiency.grouped import with_
from tutor.checks.efficiency.shared import BACK, BITS, CHAPTER, GROUPS, SCALES, SIZE, off_ties
from tutor.checks.exercise import Case, Contract, Exercise, Property, Trap

_SHAPES = Factor(
    "shapes",
    (
        Condition("matrix", value=(5, 12)),
        Condition("square", "as many rows as columns", (12, 12), alone=True),
        Condition("matrices", "a matrix for each expert", (3, 2, 12), alone=True),
        Condition("one row", "a single row", (1, 12), edge=True),
        Condition("a vector", "a vector", (12,), edge=True, alone=True),
    ),
)
_GROUP = Factor(
    "group",
    (
        Condition("of threes", value=3),
        Condition("of fours", "groups of four", 4, alone=True),
        Condition("whole rows", "a group is a row", 12, edge=True, alone=True),
        Condition("of sixes", "groups of six", 6),
    ),
)
FAMILY = Family(
    (DTYPE, SIZE, BITS, _GROUP, LAYOUT, _SHAPES),
    apart={
        pair("bfloat16", "of eight"): "such numbers stand half way between two of 8 bits",
        pair("behind", "a vector"): "one dimension lies in one order",
        pair("turned", "a vector"): "one dimension lies in one order",
    },
)


def weights(draw: Draw, shape: tuple[int, ...], bits: int, group: int, **given) -> Tensor:
    """Numbers none of which is nearly half way between two steps, with a mean that is not 0."""
    w = draw.normal(*shape, **given)
    w = w + w.abs().amax() / 4
    groups = w.unflatten(-1, (-1, group))
    wide = groups.double()
    low, high = wide.amin(-1, keepdim=True), wide.amax(-1, keepdim=True)
    span = (high - low).where(high > low, 1)
    steps = (wide - low) / span * (2**bits - 1)
    return off_ties(groups, steps, groups.amin(-1, keepdim=True)).flatten(-2)


def _arguments(draw: Draw, row: Row) -> tuple[Tensor | int, ...]:
    given = {"dtype": row["dtype"], "scale": row["size"]}
    w = weights(draw, row["shapes"], row["bits"], row["group"], **given)
    return laid(w, row["layout"]), row["bits"], row["group"]


def _by_hand(draw: Draw) -> Iterator[Case]:
    example = torch.tensor([[1.0, 4.0, 2.2, -1.0, 0.0, -3.0]], dtype=DOUBLE, device=draw.device)
    yield Case("the example of the text", (example, 2, 3))
    yield Case("bits and group size left out", (weights(draw, (3, 64), 4, 32),))
    group, rows = draw.integer(2, 6), draw.integer(2, 5)
    shape = (rows, group * draw.integer(2, 5))
    yield Case("sizes drawn by lot", (weights(draw, shape, 4, group), 4, group))
    w = weights(draw, (3, 12), 4, 4)
    w[0, 4:8], w[2, :4] = 2.5, 0.0
    yield Case("groups of equal numbers", (w, 4, 4), "edges")
    far = weights(draw, (3, 12), 4, 4, scale=0.01) + 100
    far = off_ties(far, _steps_of(far, 4, 4), _least_of(far, 4))
    yield Case("numbers far from zero", (far, 4, 4), "edges")
    below = -weights(draw, (3, 12), 4, 4).abs() - 1
    below = off_ties(below, _steps_of(below, 4, 4), _least_of(below, 4))
    yield Case("all below zero", (below, 4, 4), "edges")
    for label, w, bits, size in (
        ("1 bit", example, 1, 3),
        ("9 bits", example, 9, 3),
        ("groups of four in a row of six", example, 4, 4),
        ("groups longer than a row", example, 4, 12),
        ("groups of none", example, 4, 0),
    ):
        yield Case(f"{label} must raise ValueError", (w, bits, size), "edges", ValueError)


def _least_of(w: Tensor, group: int) -> Tensor:
    return w.unflatten(-1, (-1, group)).amin(-1).repeat_interleave(group, -1)


def _steps_of(w: Tensor, bits: int, group: int) -> Tensor:
    low, high = _least_of(w, group), -_least_of(-w, group)
    return (w - low) / (high - low) * (2**bits - 1)


CASES = Crossed(FAMILY, _arguments, _by_hand, usual="4 bits, groups of three")


def _half_a_step(call, generator: Generator, device: torch.device) -> str | None:
    w = Draw(generator, device).normal(6, 40) + 1
    for bits in (4, 2):
        n, scale, low = call(w, bits, 8)
        groups = n.unflatten(-1, (5, 8)) * scale[..., None] + low[..., None]
        off = ((w.unflatten(-1, (5, 8)) - groups).abs() / scale[..., None]).max()
        if not off <= 0.5 + 1e-9:
            return (
                f"with {bits} bits a number is off by {float(off):.3g} steps, more than half a one"
            )
    return None


def _contract(generator: Generator, device: torch.device) -> Contract:
    return Contract(calls=((Draw(generator, device).normal(5, 12), 4, 3),))


QUANTIZE_GROUPS = Exercise(
    reference=reference.quantize_groups,
    chapter=CHAPTER,
    points={"values": 3, "edges": 2, "types": 1},
    cases=CASES,
    contract=_contract,
    outputs=("n", "scale", "minimum"),
    properties=(Property("half a step", _half_a_step, "values"),),
    traps=(
        Trap(
            "both sides of zero alike",
            part.by_the_largest_size,
            "that is `quantize_absmax`: where all numbers of a group are positive, half of its "
            "steps stand for nothing. Here the steps begin at the group's minimum.",
            GROUPS,
            (
                part.by_the_largest_size_shifted,
                with_(low=part.largest_size_below, high=part.largest_size),
            ),
        ),
        Trap(
            "a minimum that is never above zero",
            with_(low=part.not_above_zero),
            "some formats can only take a minimum off. Where all numbers of a group are above "
            "zero, the steps from zero to the least of them stand for nothing.",
            GROUPS,
        ),
        Trap(
            "the minimum moved to a whole step",
            part.zero_at_a_step,
            "a zero point is a whole number of steps, so the steps hit zero and miss the minimum. "
            "Here they begin at the minimum itself.",
            BACK,
        ),
        Trap(
            "negative numbers cut off",
            with_(low=part.nothing, limited=part.clamped),
            "n is from 0 on, and weights are not: take the minimum off first, and what is left is "
            "from 0 on by itself. Whoever clips instead makes half of all weights 0.",
            GROUPS,
            (
                with_(low=part.nothing),
                with_(counted=part.from_nothing, limited=part.clamped),
                with_(counted=part.from_nothing),
            ),
        ),
        Trap(
            "the minimum in steps",
            with_(returned=part.in_steps),
            "a zero point counts steps and stands before the scale: (n - z) s. Here the minimum is "
            "a weight as others are, and stands behind it: n s + m.",
            BACK,
            (with_(returned=part.in_steps_not_rounded),),
        ),
        Trap(
            "the minimum with the other sign",
            with_(returned=part.negated),
            "some formats store what is to be taken off again. Here m is the minimum itself, and "
            "is added.",
            GROUPS,
            (with_(counted=part.sum_of_both),),
        ),
        Trap(
            "counted from the largest",
            with_(counted=part.from_the_most),
            "n = 0 is the minimum, and n grows with the weight.",
            GROUPS,
            (with_(returned=part.with_most),),
        ),
        Trap(
            "rounded toward zero",
            with_(rounded=part.down),
            "a cast to integers cuts digits off: then a number is off by up to a whole step, and "
            "always to the same side. `round` first.",
            SCALES,
            (with_(rounded=part.as_it_is), with_(rounded=part.up)),
        ),
        Trap(
            "a step too many",
            with_(levels=part.two_to_the_bits, limited=part.clamped),
            "2^bits numbers have 2^bits - 1 steps between them: 0 to 15 are fifteen steps.",
            GROUPS,
            (with_(levels=part.two_to_the_bits),),
        ),
        Trap(
            "half of the steps",
            with_(levels=part.half_the_steps),
            "2^(bits - 1) - 1 is the largest number that has a sign. Without one it is 2^bits - 1.",
            GROUPS,
        ),
        Trap(
            "always four bits",
            with_(levels=part.of_four_bits),
            "15 is the largest number of 4 bits; of `bits` bits it is 2^bits - 1.",
            GROUPS,
            (with_(levels=part.of_four_bits, limited=part.clamped),),
        ),
        Trap(
            "as many groups as a group is large",
            with_(cut=part.as_a_number),
            "`group_size` says how many numbers share a scale, and not how many groups there are.",
            GROUPS,
        ),
        Trap(
            "one group for a row",
            with_(cut=part.whole_row),
            "each `group_size` numbers have a scale and a minimum of their own.",
            GROUPS,
            (
                with_(low=part.of_the_row, high=part.most_of_the_row),
                with_(low=part.of_the_row),
                with_(high=part.most_of_the_row),
                with_(low=part.of_all),
            ),
        ),
        Trap(
            "groups in turn",
            with_(cut=part.in_turn, whole=part.in_turn_joined),
            "a group is consecutive numbers of a row, and not every so manieth.",
            GROUPS,
            (with_(cut=part.in_turn),),
        ),
        Trap(
            "groups down the columns",
            part.by_columns,
            "a row makes one output, and its numbers are read together. Groups run along the row, "
            "the last dimension.",
            GROUPS,
        ),
        Trap(
            "left in groups",
            with_(whole=part.left_in_groups),
            "n has the shape of the weight. Groups are how it is computed.",
            GROUPS,
        ),
        Trap(
            "scales without their rows",
            with_(returned=part.without_rows),
            "each row has its own groups: `scale` is (*rows, columns / group_size).",
            GROUPS,
        ),
        Trap(
            "scales with a dimension more",
            with_(returned=part.with_their_dimension),
            "scale and minimum are (*rows, groups): take off the dimension that `keepdim` kept.",
            GROUPS,
            (with_(returned=part.for_every_number),),
        ),
        Trap(
            "the mean for the minimum",
            with_(low=part.mean),
            "then half of the group is below 0, which n cannot be.",
            GROUPS,
        ),
        Trap(
            "not stored in a byte",
            with_(told=part.as_floats),
            "round() gives a float that is a whole number, of as many bytes as before. "
            "`.to(torch.uint8)` makes it one byte, without a sign.",
            GROUPS,
            (with_(told=part.as_int64), with_(told=part.as_int8)),
        ),
        Trap(
            "in half precision",
            with_(wide=part.as_it_is),
            "w - m and its division are rounded in half precision before they are rounded to a "
            "step. Compute in single precision what comes in half.",
            SCALES,
            (with_(returned=part.in_half),),
        ),
        Trap(
            "always in single precision",
            with_(wide=part.always_single),
            "what comes in double is computed in double.",
            SCALES,
            precision=True,
        ),
        Trap(
            "a scale of 1 for equal numbers",
            with_(returned=part.ones_for_zero),
            "a group of equal numbers has the scale 0: all of it is its minimum.",
            GROUPS,
        ),
        Trap(
            "scale and minimum exchanged",
            with_(returned=part.exchanged),
            "the order is numbers, scale, minimum.",
            GROUPS,
            (with_(returned=part.scale_first),),
        ),
        Trap(
            "no minimum returned",
            with_(returned=part.without_minimum),
            "without its minimum a group cannot be read: three tensors are returned.",
            GROUPS,
        ),
        Trap(
            "written into the weights",
            part.written_into_the_weight,
            "the caller's weights stay as they are.",
            GROUPS,
            overwrites="weight",
        ),
        Trap(
            "groups that do not fill a row",
            part.padded,
            "where the row is no whole number of groups, formats differ in what they do, and "
            "a reader that guesses otherwise shifts all that follows. Raise a ValueError.",
            GROUPS,
            (part.cut_short, with_(unfit=part.never_unfit)),
        ),
        Trap(
            "any number of bits",
            with_(refused=absmax.never),
            "with 9 bits the numbers do not fit into a byte, and come out as what is left of them. "
            "Raise a ValueError for fewer than 2 or more than 8.",
            GROUPS,
            (with_(refused=absmax.above_alone), with_(refused=absmax.below_alone)),
        ),
    ),
)
