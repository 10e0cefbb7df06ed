"""What ``quantize_absmax`` must satisfy, and the wrong answers that people give."""

from collections.abc import Iterator

import torch
from torch import Generator, Tensor

from tutor import efficiency as reference
from tutor.checks.conditions import Condition, Crossed, Factor, Family, Row, pair
from tutor.checks.crossings import DTYPE, LAYOUT
from tutor.checks.draw import DOUBLE, HALF, Draw, laid
from tutor.checks.efficiency import absmax as part
from tutor.checks.efficiency.absmax import with_
from tutor.checks.efficiency.shared import BITS, CHAPTER, GROUPS, ROWS, SCALES, SIZE, off_ties
from tutor.checks.exercise import Case, Contract, Exercise, Property, Trap

_DIM = Factor(
    "dim",
    (
        Condition("rows", value=(-1,)),
        Condition("all", "one scale for all", (None,), alone=True),
        Condition("left out", "dim left out", ()),
        Condition("columns", "a scale for each column", (-2,), alone=True),
        Condition("from the front", "dimension 0", (0,)),
    ),
)
_SHAPES = Factor(
    "shapes",
    (
        Condition("matrix", value=(5, 7)),
        Condition("square", "as many rows as columns", (6, 6), alone=True),
        Condition("matrices", "a matrix for each expert", (3, 4, 5), alone=True),
        Condition("one row", "a single row", (1, 7), edge=True),
        Condition("one column", "a single column", (6, 1), edge=True),
    ),
)
FAMILY = Family(
    (DTYPE, SIZE, BITS, _DIM, LAYOUT, _SHAPES),
    apart={pair("bfloat16", "of eight"): "such numbers stand half way between two of 8 bits"},
)


def weights(draw: Draw, shape: tuple[int, ...], bits: int, dim: int | None, **given) -> Tensor:
    """Numbers none of which is nearly half way between two steps."""
    w = draw.normal(*shape, **given)
    wide = w.double()
    size = wide.abs()
    largest = size.amax() if dim is None else size.amax(dim, keepdim=True)
    return off_ties(w, wide / largest * (2 ** (bits - 1) - 1), torch.zeros_like(w))


def _arguments(draw: Draw, row: Row) -> tuple[Tensor | int | None, ...]:
    dim = row["dim"][0] if row["dim"] else None
    given = {"dtype": row["dtype"], "scale": row["size"]}
    w = weights(draw, row["shapes"], row["bits"], dim, **given)
    return (laid(w, row["layout"]), row["bits"], *row["dim"])


def _by_hand(draw: Draw) -> Iterator[Case]:
    example = [[2.0, -0.9, 0.2], [0.1, 0.4, -0.7]]
    example = torch.tensor(example, dtype=DOUBLE, device=draw.device)
    yield Case("the example of the text", (example, 3, -1))
    shape = tuple(draw.integer(3, 9) for _ in range(2))
    yield Case("sizes drawn by lot", (weights(draw, shape, 6, -1), 6, -1))
    yield Case("bits and dimension left out", (weights(draw, (4, 9), 8, None),))
    w = weights(draw, (5, 7), 4, -1)
    w[1] = 0.0
    yield Case("a row of zeros", (w, 4, -1), "edges")
    w = weights(draw, (5, 7), 8, None)
    w[3, 2] = -100.0
    w = off_ties(w, w / 100 * 127, torch.zeros_like(w))
    yield Case("one number far below all others", (w, 8), "edges")
    yield Case("a vector", (weights(draw, (9,), 4, -1), 4, -1), "edges")
    low = weights(draw, (4, 6), 4, -1, dtype=HALF, scale=1e-3)
    yield Case("small numbers in half precision", (low, 4, -1), "edges")
    for bits in (1, 9):
        yield Case(f"{bits} bits must raise ValueError", (example, bits), "edges", ValueError)


CASES = Crossed(FAMILY, _arguments, _by_hand, usual="4 bits, a scale for each row")


def _half_a_step(call, generator: Generator, device: torch.device) -> str | None:
    w = Draw(generator, device).normal(6, 40)
    for bits in (8, 3):
        n, scale = call(w, bits, -1)
        off = ((w - n * scale).abs() / scale).max()
        if not off <= 0.5 + 1e-9:
            return (
                f"with {bits} bits a number is off by {float(off):.3g} steps, more than half a one"
            )
    return None


def _contract(generator: Generator, device: torch.device) -> Contract:
    return Contract(calls=((Draw(generator, device).normal(5, 7), 4, -1),))


QUANTIZE_ABSMAX = Exercise(
    reference=reference.quantize_absmax,
    chapter=CHAPTER,
    points={"values": 3, "edges": 1, "types": 1},
    cases=CASES,
    contract=_contract,
    outputs=("n", "scale"),
    properties=(Property("half a step", _half_a_step, "values"),),
    traps=(
        Trap(
            "a scale on the wrong axis",
            with_(largest=part.all_others),
            "`dim` is the dimension *along* which numbers share a scale, and it is the one that "
            "the largest is taken over. torch's own `ch_axis` is the other way round: the one "
            "that keeps its scales.",
            ROWS,
            (
                with_(largest=part.turned),
                with_(largest=part.along_the_last),
                with_(largest=part.along_the_first),
                with_(largest=part.along_the_next_to_last),
            ),
        ),
        Trap(
            "one scale for all",
            with_(largest=part.one_for_all),
            "with `dim` given, each row (or column) has a scale of its own: then one large number "
            "makes the steps coarse in its own row alone.",
            ROWS,
            (with_(largest=part.one_for_all_in_shape),),
        ),
        Trap(
            "0 taken for None",
            with_(largest=part.all_for_the_first),
            "0 is a dimension, and it is false where Python asks `if dim`: ask `dim is None`.",
            ROWS,
        ),
        Trap(
            "a scale for each row where one was asked for",
            with_(largest=part.rows_where_nothing_is_said),
            "with `dim=None` all numbers share one scale, a tensor without dimensions.",
            SCALES,
        ),
        Trap(
            "rounded toward zero",
            with_(rounded=part.toward_zero),
            "a cast to integers cuts digits off. Every number then moves toward zero, by up to a "
            "whole step, and all errors of a product have one sign: `round` first.",
            SCALES,
            (with_(rounded=part.not_rounded),),
        ),
        Trap(
            "rounded down or up",
            with_(rounded=part.down),
            "the nearest step is at most half a step away, the one below up to a whole one. "
            "Adding a half and cutting off rounds positive numbers alone.",
            SCALES,
            (with_(rounded=part.up), with_(rounded=part.with_a_half_added)),
        ),
        Trap(
            "the largest number instead of the largest size",
            with_(size=part.as_it_is, limited=part.clamped_alike),
            "the number with the largest size may be negative. Take the largest of |w|, or all "
            "that lie further below zero than the largest lies above it are cut off.",
            SCALES,
            (
                with_(size=part.as_it_is),
                with_(size=part.as_it_is, limited=part.clamped),
                with_(
                    size=part.as_it_is, counted=part.steps_unless_zero, limited=part.clamped_alike
                ),
            ),
        ),
        Trap(
            "a step too many",
            with_(levels=part.one_more),
            "of `bits` bits one has the sign, and the largest number is 2^(bits - 1) - 1: 127 of a "
            "byte. 128 is one more than a signed byte holds: it comes out as -128.",
            SCALES,
            (
                with_(levels=part.one_more, limited=part.clamped),
                with_(levels=part.one_more, limited=part.clamped_alike),
            ),
        ),
        Trap(
            "all steps on one side",
            with_(levels=part.all_levels),
            "2^bits - 1 steps reach from the largest negative to the largest positive number. "
            "Each side of zero has half of them, 2^(bits - 1) - 1.",
            SCALES,
            (
                with_(levels=part.all_levels, limited=part.clamped),
                with_(levels=part.two_to_the_bits),
                with_(levels=part.two_to_the_bits, limited=part.clamped),
            ),
        ),
        Trap(
            "always eight bits",
            with_(levels=part.of_a_byte),
            "127 is the largest number of 8 bits. With fewer it is 2^(bits - 1) - 1.",
            SCALES,
        ),
        Trap(
            "bits for steps",
            with_(levels=part.by_the_bits),
            "`bits` bits tell 2^bits numbers apart, and not `bits` numbers.",
            SCALES,
        ),
        Trap(
            "the range for a scale",
            part.by_the_range,
            "(max - min) / (2^bits - 1) is the step of a range that begins at its minimum. Here "
            "zero has to be a step, and both sides reach as far: the scale is the largest size "
            "over 2^(bits - 1) - 1.",
            GROUPS,
            (part.by_the_range_from_the_minimum,),
        ),
        Trap(
            "the mean for the largest",
            with_(largest=part.mean_along, limited=part.clamped_alike),
            "then everything above the mean that has no number is cut off, and large weights are "
            "the ones that matter.",
            SCALES,
            (with_(largest=part.mean_along),),
        ),
        Trap(
            "the scale upside down",
            with_(step=part.upside_down, counted=part.multiplied),
            "the scale is what one step is worth: it is small, and a number is n · scale again. "
            "Returned is that, and not what the weights are multiplied by.",
            SCALES,
            (
                with_(counted=part.multiplied),
                with_(returned=part.upside_down_at_the_end),
                with_(step=part.upside_down),
            ),
        ),
        Trap(
            "negative numbers cut off",
            with_(limited=part.from_zero),
            "weights have a sign, and so have the numbers that stand for them.",
            SCALES,
        ),
        Trap(
            "shifted to positive numbers",
            with_(told=part.shifted),
            "some formats store n + 2^(bits - 1), so that nothing is negative, and take it off "
            "again when they read. Here n has its sign.",
            SCALES,
            (with_(told=part.shifted_less), with_(told=part.unsigned)),
        ),
        Trap(
            "not stored in a byte",
            with_(told=part.as_floats),
            "round() gives a float that is a whole number, of as many bytes as before. Only "
            "`.to(torch.int8)` makes it one byte.",
            SCALES,
            (with_(told=part.as_int64), with_(told=part.as_int32)),
        ),
        Trap(
            "in half precision",
            with_(wide=part.as_it_is),
            "w / s in half precision is itself rounded before it is rounded, and s is, too. "
            "Compute in single precision what comes in half.",
            SCALES,
            (with_(returned=part.in_half),),
        ),
        Trap(
            "always in single precision",
            with_(wide=part.always_single),
            "what comes in double is computed in double, the scale included.",
            SCALES,
            precision=True,
        ),
        Trap(
            "a scale of 1 for zeros",
            with_(returned=part.ones_for_zero),
            "a row of zeros has the scale 0: n · 0 is 0, whatever n is.",
            SCALES,
        ),
        Trap(
            "an epsilon in the scale",
            with_(step=part.never_zero),
            "a row of zeros has the scale 0, and small weights have a small scale.",
            SCALES,
            (with_(step=part.with_an_epsilon),),
        ),
        Trap(
            "a scale without its dimension",
            with_(returned=part.squeezed),
            "(rows, columns) times (rows,) multiplies columns, or does not fit. Kept with one "
            "entry, the dimension says itself what the scales belong to: `keepdim=True`.",
            ROWS,
        ),
        Trap(
            "one scale with dimensions",
            with_(returned=part.in_all_dimensions),
            "one scale for all is a tensor without dimensions, as `amax()` gives it.",
            SCALES,
            (with_(returned=part.as_a_row_of_one),),
        ),
        Trap(
            "a scale for every number",
            with_(returned=part.at_every_place),
            "a scale that is stored for each number again takes more memory than the weights did.",
            ROWS,
        ),
        Trap(
            "numbers and scale exchanged",
            with_(returned=part.exchanged),
            "first the numbers, then the scale.",
            SCALES,
        ),
        Trap(
            "only the numbers",
            with_(returned=part.numbers_alone),
            "without the scale nobody knows what a step is worth.",
            SCALES,
        ),
        Trap(
            "taken back at once",
            with_(returned=part.back_at_once),
            "n · scale is the rounded weight, again of as many bytes as before. Asked for is n.",
            SCALES,
        ),
        Trap(
            "written into the weights",
            part.written_into_the_weight,
            "the caller's weights stay as they are: without them nobody can measure what was lost.",
            SCALES,
            overwrites="weight",
        ),
        Trap(
            "any number of bits",
            with_(refused=part.never),
            "with 1 bit there is no step but 0, and the scale is a division by zero; with 9 the "
            "numbers do not fit into int8. Raise a ValueError.",
            SCALES,
            (
                with_(refused=part.above_alone),
                with_(refused=part.below_alone),
                with_(refused=part.above_alone, levels=part.one_at_least),
            ),
        ),
    ),
)
