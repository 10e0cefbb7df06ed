"""What ``model_bytes`` must satisfy, and the wrong answers that people give."""

from collections.abc import Iterator

import torch
from torch import Generator

from tutor import efficiency as reference
from tutor.checks.conditions import Condition, Crossed, Factor, Family, Row
from tutor.checks.draw import Draw
from tutor.checks.efficiency import sums as part
from tutor.checks.efficiency.shared import BYTES, CHAPTER, PACKED
from tutor.checks.efficiency.sums import with_
from tutor.checks.exercise import Case, Contract, Exercise, Trap

_BITS = Factor(
    "bits",
    (
        Condition("of four", value=4),
        Condition("of eight", "8 bits", 8, alone=True),
        Condition("of three", "3 bits", 3, alone=True),
        Condition("of sixteen", "16 bits", 16, alone=True),
        Condition("of 32", "32 bits", 32, alone=True),
        Condition("of two", "2 bits", 2),
        Condition("of six", "6 bits", 6),
    ),
)
_GROUP = Factor(
    "group",
    (
        Condition("full groups", value=32),
        Condition("ragged groups", "groups that do not fill a row", 7, alone=True),
        Condition("a row", "a group is a row", None, alone=True),
        Condition("long groups", "groups longer than a row", 1000),
    ),
)
_EACH = Factor(
    "each",
    (
        Condition("scale and minimum", value=(2,)),
        Condition("scale alone", "a scale for each group", (1,), alone=True),
        Condition("left out", "per_group left out", (), alone=True),
        Condition("three", "three numbers for each group", (3,)),
    ),
)
_SHAPES = Factor(
    "shapes",
    (
        Condition("a model", value=lambda draw: _model(draw, 64, 96)),
        Condition("odd", "rows of an odd length", lambda draw: _model(draw, 45, 33), alone=True),
        Condition(
            "experts",
            "a matrix for each expert",
            lambda draw: [(draw.integer(2, 7), draw.integer(8, 20), 64), (draw.integer(9, 12),)],
            alone=True,
        ),
        Condition(
            "one matrix", "a single matrix", lambda draw: [(draw.integer(5, 20), 96)], edge=True
        ),
        Condition(
            "vectors",
            "nothing but vectors",
            lambda draw: [(draw.integer(5, 9),), (), (7,)],
            edge=True,
        ),
    ),
)
FAMILY = Family((_BITS, _GROUP, _EACH, _SHAPES))


def _model(draw: Draw, width: int, hidden: int) -> list[tuple[int, ...]]:
    return [
        (draw.integer(50, 90), width),
        (width,),
        (hidden, width),
        (width, hidden),
        (hidden, width),
        (draw.integer(10, 20),),
    ]


def _arguments(draw: Draw, row: Row) -> tuple:
    return (row["shapes"](draw), row["bits"], row["group"], *row["each"])


def _by_hand(draw: Draw) -> Iterator[Case]:
    yield Case("the example of the text", ([(3, 10), (10,)], 4, 4, 2))
    yield Case("group size and numbers left out", (_model(draw, 40, 72), 8))
    large = [(128_256, 8192), *[(28_672, 8192)] * 80, (8192,)]
    yield Case("a model of 70 thousand million", (large, 4, 128, 1))
    huge = [(10**9 + 7, 10**7 + 3)]  # an odd number of bytes above 2^53, which no float is
    yield Case("more bytes than a float tells apart", (huge, 8), "edges")
    yield Case("no tensors", ([], 4, 32, 2), "edges")
    yield Case("one number alone", ([()], 4, 32, 2), "edges")
    yield Case("a row of one", ([(5, 1)], 3, 32, 2), "edges")
    for label, bits, size in (
        ("1 bit", 1, 32),
        ("9 bits", 9, 32),
        ("24 bits", 24, 32),
        ("groups of none", 4, 0),
        ("groups of fewer than none", 4, -32),
    ):
        yield Case(f"{label} must raise ValueError", ([(4, 64)], bits, size), "edges", ValueError)


CASES = Crossed(FAMILY, _arguments, _by_hand, usual="a model in 4 bits")


def _contract(generator: Generator, device: torch.device) -> Contract:
    return Contract(calls=())


MODEL_BYTES = Exercise(
    reference=reference.model_bytes,
    chapter=CHAPTER,
    points={"values": 3, "edges": 2, "types": 1},
    cases=CASES,
    contract=_contract,
    outputs=("bytes",),
    traps=(
        Trap(
            "scales forgotten",
            with_(scaled=part.not_at_all),
            "half a byte for each number is not all: each group has a scale, and often a minimum, "
            "of two bytes each. With groups of 32 that is 5 bits a number, and not 4.",
            BYTES,
        ),
        Trap(
            "scales where there are none",
            with_(scaled=part.always),
            "numbers of 16 and 32 bits are stored as they are.",
            BYTES,
        ),
        Trap(
            "no scales for bytes",
            with_(scaled=part.below_eight),
            "whole numbers of 8 bits need a scale as those of 4 do.",
            BYTES,
        ),
        Trap(
            "the minimum forgotten",
            with_(scales=part.one_each),
            "each group has `per_group` numbers: a scale, or a scale and a minimum.",
            BYTES,
            (with_(scales=part.two_each), with_(scales=part.one_more)),
        ),
        Trap(
            "scales in another precision",
            with_(scales=part.in_four_bytes),
            "scales and minima are stored in float16, two bytes each.",
            BYTES,
            (
                with_(scales=part.in_a_byte),
                with_(scales=part.in_bits_for_bytes),
                with_(scales=part.in_the_same_bits),
            ),
        ),
        Trap(
            "bits for bytes",
            with_(numbers=part.bits_for_bytes),
            "a byte has eight bits.",
            BYTES,
            (with_(told=part.in_bits_altogether),),
        ),
        Trap(
            "a whole byte for each number",
            with_(numbers=part.a_byte_each),
            "below 8 bits several numbers share a byte: that is what packing is for.",
            PACKED,
        ),
        Trap(
            "bits that are a power of two",
            with_(numbers=part.rounded_to_powers),
            "numbers of 3 bits may lie across the border of two bytes: ten of them are 30 bits, in "
            "four bytes.",
            BYTES,
            (with_(numbers=part.per_byte),),
        ),
        Trap(
            "the rest of a byte dropped",
            with_(numbers=part.cut_off),
            "a number that fills its last byte to a part needs all of it: round up.",
            BYTES,
            (with_(numbers=part.cut_off_at_the_end),),
        ),
        Trap(
            "rows that share a byte",
            with_(numbers=part.all_in_a_row),
            "each row begins with a byte of its own, or no row but the first could be found.",
            BYTES,
            (with_(numbers=part.fractions),),
        ),
        Trap(
            "the last group dropped",
            with_(groups=part.whole_groups),
            "a row that is no whole number of groups has a smaller one at its end, and this has "
            "its scale, too: round up.",
            BYTES,
            (with_(groups=part.whole_groups_of_all),),
        ),
        Trap(
            "groups across rows",
            with_(groups=part.of_the_matrix),
            "groups end where the row ends: round up in each row, and not once for the matrix.",
            BYTES,
            (part.average_bits,),
        ),
        Trap(
            "one scale for a matrix",
            with_(groups=part.one_for_all),
            "without a group size each *row* is a group, with a scale of its own.",
            BYTES,
            (
                with_(groups=part.one_where_nothing_is_said),
                with_(groups=part.one_a_row),
                with_(groups=part.one_a_column),
            ),
        ),
        Trap(
            "no scales without a group size",
            with_(groups=part.with_a_group_size),
            "None means that a whole row is one group. It has a scale as others have.",
            BYTES,
        ),
        Trap(
            "as many groups as a group is large",
            with_(groups=part.size_for_number),
            "`group_size` numbers share a scale: there are columns / group_size of them.",
            BYTES,
        ),
        Trap(
            "rows and columns exchanged",
            with_(parted=part.turned),
            "groups run along the last dimension.",
            BYTES,
            (with_(parted=part.turned_matrix), with_(parted=part.first_and_rest)),
        ),
        Trap(
            "one expert for all",
            with_(parted=part.last_two),
            "of (experts, rows, columns) every expert's rows lie in memory, whether or not a token "
            "asks it.",
            BYTES,
            (with_(parted=part.first_and_last),),
        ),
        Trap(
            "norms in few bits",
            with_(others=part.as_the_matrices),
            "what has fewer than two dimensions stays in float32: it is next to nothing of the "
            "model, and the model is touchy about it.",
            BYTES,
            (
                with_(kept=part.no_dimensions),
                with_(others=part.in_sixteen),
                with_(others=part.as_the_model_is),
                with_(others=part.in_bits),
            ),
        ),
        Trap(
            "norms not counted",
            with_(others=part.not_counted),
            "they are few, and they are there: 4 bytes for each number.",
            BYTES,
            (with_(others=part.numbers_alone_forgotten),),
        ),
        Trap(
            "every shape once",
            part.every_shape_once,
            "two tensors of one shape are two tensors.",
            BYTES,
            (part.last_one_alone,),
        ),
        Trap(
            "another unit",
            with_(told=part.in_megabytes),
            "asked for are bytes. Whether a megabyte is 10^6 or 2^20 of them is a quarrel of its "
            "own.",
            BYTES,
            (with_(told=part.in_millions), with_(told=part.kilo)),
        ),
        Trap(
            "no whole number",
            with_(told=part.as_a_float),
            "bytes are whole: divide with `//`, rounding up as `-(-a // b)`. A float of a large "
            "model is not exact.",
            BYTES,
            (
                with_(told=part.through_a_float),
                with_(numbers=part.whole_bytes_in_a_float, told=part.through_a_float),
            ),
        ),
        Trap(
            "bits and groups are not looked at",
            with_(refused=part.never),
            "nothing here is stored in 1, 9 or 24 bits, and no group is empty: raise a ValueError.",
            BYTES,
            (
                with_(refused=part.bits_alone),
                with_(refused=part.groups_alone),
                with_(refused=part.too_many_bits),
                with_(refused=part.zero_for_none),
            ),
        ),
    ),
)
