"""What ``dequantize`` must satisfy, and the wrong answers that people give."""

from collections.abc import Iterator

import torch
from torch import Generator, Tensor

from tutor import efficiency as reference
from tutor.checks.conditions import Condition, Crossed, Factor, Family, Row
from tutor.checks.crossings import DTYPE, LAYOUT
from tutor.checks.draw import DOUBLE, Draw, laid
from tutor.checks.efficiency import back as part
from tutor.checks.efficiency.back import with_
from tutor.checks.efficiency.shared import BACK, CHAPTER, GROUPS
from tutor.checks.exercise import Case, Contract, Exercise, Trap

_NUMBERS = Factor(
    "numbers",
    (
        Condition("signed", value=torch.int8),
        Condition("unsigned", "numbers of one byte without a sign", torch.uint8, alone=True),
        Condition("int64", "64-bit integers", torch.int64),
    ),
)
_MINIMUM = Factor(
    "minimum",
    (
        Condition("none", value=None),
        Condition("given", "with a minimum", True, alone=True),
    ),
)
_GROUPS = Factor(
    "groups",
    (
        Condition("three", value=lambda rows, columns: (*rows, 3)),
        Condition("of rows", "a scale for each row", lambda rows, columns: (*rows, 1), alone=True),
        Condition(
            "of columns",
            "a scale for each column",
            lambda rows, columns: (*(1 for _ in rows), columns),
            alone=True,
        ),
        Condition("one", "one scale for all", lambda rows, columns: (), alone=True),
        Condition(
            "shared", "three scales, for all rows", lambda rows, columns: (*(1 for _ in rows), 3)
        ),
        Condition("each", "a scale for each number", lambda rows, columns: (*rows, columns)),
    ),
)
_SHAPES = Factor(
    "shapes",
    (
        Condition("matrix", value=(5, 6)),
        Condition("square", "as many rows as columns", (6, 6), alone=True),
        Condition("matrices", "a matrix for each expert", (3, 2, 6), alone=True),
        Condition("groups of one", "groups of one", (4, 3), edge=True),
        Condition("vector", "a vector", (6,), edge=True, alone=True),
    ),
)
FAMILY = Family((DTYPE, _NUMBERS, _MINIMUM, _GROUPS, LAYOUT, _SHAPES))


def numbers(draw: Draw, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    low, high = (0, 256) if dtype == torch.uint8 else (-127, 128)
    n = draw.integers(*shape, low=low, high=high)
    n.view(-1)[0], n.view(-1)[-1] = low, high - 1
    return n.to(dtype)


def _arguments(draw: Draw, row: Row) -> tuple[Tensor, ...]:
    *rows, columns = row["shapes"]
    n = numbers(draw, row["shapes"], row["numbers"])
    shape, given = row["groups"](rows, columns), {"dtype": row["dtype"]}
    scale = draw.uniform(*shape, low=0.01, high=0.02, **given)
    tensors = [n, scale]
    if row["minimum"]:
        tensors.append(draw.normal(*shape, **given))
    return tuple(laid(t, row["layout"]) for t in tensors)


def _by_hand(draw: Draw) -> Iterator[Case]:
    n = torch.tensor([[0, 3, 1, 2, 3, 0]], dtype=torch.uint8, device=draw.device)
    scale = torch.tensor([[1.0, 0.5]], dtype=DOUBLE, device=draw.device)
    low = torch.tensor([[1.0, -3.0]], dtype=DOUBLE, device=draw.device)
    yield Case("the example of the text", (n, scale, low))
    rows, groups, share = (draw.integer(2, 6) for _ in range(3))
    drawn = numbers(draw, (rows, groups * share), torch.int8)
    yield Case("sizes drawn by lot", (drawn, draw.normal(rows, groups), draw.normal(rows, groups)))
    large = numbers(draw, (4, 6), torch.int8), draw.normal(4, 2, scale=1000.0)
    yield Case("scales in the thousands", large)
    yield Case("a scale of 0", (n, 0 * scale, low), "edges")
    for label, given in (
        ("four groups in a row of six", draw.normal(1, 4)),
        ("more groups than numbers", draw.normal(1, 12)),
    ):
        yield Case(f"{label} must raise ValueError", (n, given), "edges", ValueError)


CASES = Crossed(FAMILY, _arguments, _by_hand, usual="three groups in a row")


def _contract(generator: Generator, device: torch.device) -> Contract:
    draw = Draw(generator, device)
    n = numbers(draw, (5, 6), torch.int8)
    return Contract(calls=((n, draw.normal(5, 3), draw.normal(5, 3)),))


DEQUANTIZE = Exercise(
    reference=reference.dequantize,
    chapter=CHAPTER,
    points={"values": 2, "edges": 1, "gradients": 1, "types": 1},
    cases=CASES,
    contract=_contract,
    traps=(
        Trap(
            "the minimum before the scale",
            with_(made=part.moved_and_scaled),
            "n s + m: the minimum is a weight already, and is not scaled. What stands before the "
            "scale, (n - z) s, is a zero point, which counts steps.",
            BACK,
            (with_(made=part.zero_point),),
        ),
        Trap(
            "the minimum taken off",
            with_(made=part.taken_off),
            "it was taken off before the numbers were rounded. To come back it is added.",
            BACK,
        ),
        Trap(
            "the minimum forgotten",
            with_(made=part.without_minimum),
            "n counts steps from the minimum on. Without it every group begins at zero.",
            BACK,
            (with_(made=part.without_the_minimum_of_all),),
        ),
        Trap(
            "scales in turn",
            with_(spread=part.in_turn),
            "`repeat` writes the row of scales again and again: 1, 2, 1, 2. Groups are "
            "consecutive, 1, 1, 2, 2, as `repeat_interleave` makes them.",
            BACK,
            (
                with_(spread_low=part.in_turn),
                with_(spread=part.in_turn, spread_low=part.consecutive),
            ),
        ),
        Trap(
            "one group for all",
            with_(spread=part.the_first),
            "each group has a scale of its own. Whoever drops the group's index reads all of the "
            "row with the first one's.",
            GROUPS,
            (
                with_(spread=part.the_last),
                with_(spread=part.the_mean),
                with_(spread_low=part.the_first),
                with_(spread=part.the_first, spread_low=part.consecutive),
            ),
        ),
        Trap(
            "one row for all",
            with_(spread=part.the_first_row),
            "each row has its own scales, unless there is one row of them for all.",
            BACK,
            (with_(spread=part.one_for_all), with_(spread_low=part.the_first_row)),
        ),
        Trap(
            "a row's scale for a column",
            with_(spread=part.of_columns),
            "(rows, 1) is a scale for each row. Without its last dimension it multiplies columns, "
            "and of a square matrix nothing raises.",
            BACK,
        ),
        Trap(
            "broadcasting alone",
            with_(spread=part.broadcast_alone),
            "three scales and six columns do not broadcast: each scale stands for a group of "
            "columns / groups numbers.",
            BACK,
        ),
        Trap(
            "divided by the scale",
            with_(made=part.divided),
            "the scale is what one step is worth: n steps are n · s.",
            BACK,
        ),
        Trap(
            "the scale cut to a whole number",
            with_(made=part.in_whole_numbers),
            "`scale.to(n.dtype)` makes the scale a whole number, which mostly is 0. It is n that "
            "has to become a number of floating point.",
            BACK,
        ),
        Trap(
            "rounded again",
            with_(made=part.rounded),
            "weights are no whole numbers. What was rounded was n.",
            BACK,
        ),
        Trap(
            "half the range taken off",
            with_(made=part.eight_less),
            "formats that store n + 8, or n + 128, take it off again. Here n has its sign already, "
            "or there is a minimum.",
            BACK,
            (with_(made=part.half_the_range_less),),
        ),
        Trap(
            "signed numbers read without a sign",
            with_(numbers=part.without_a_sign),
            "-1 and 255 are the same byte. Which one it is the dtype says.",
            BACK,
        ),
        Trap(
            "numbers without a sign read as signed",
            with_(numbers=part.with_a_sign),
            "255 and -1 are the same byte. Which one it is the dtype says: uint8 has no sign.",
            BACK,
        ),
        Trap(
            "cut off from learning",
            with_(made=part.both_detached),
            "fine-tuning may learn the scales, or what made them. The numbers n have no gradient; "
            "scale and minimum do.",
            BACK,
            (with_(made=part.scale_detached), with_(made=part.minimum_detached)),
        ),
        Trap(
            "single precision whatever the scale is in",
            with_(told=part.always_single),
            "the answer has the dtype of the scale.",
            BACK,
            (
                with_(told=part.through_half),
                with_(told=part.in_double),
            ),
            precision=True,
        ),
        Trap(
            "left in groups",
            part.left_in_groups,
            "the answer has the shape of n.",
            BACK,
        ),
        Trap(
            "groups that do not fill a row",
            with_(unfit=part.never),
            "where the number of groups does not divide the row, the scales belong to another "
            "tensor. Raise a ValueError.",
            BACK,
        ),
    ),
)
