"""What ``dequantize_blocks`` must satisfy, and the wrong answers that people give."""

from collections.abc import Iterator

import torch
from torch import Generator, Tensor

from tutor import efficiency as reference
from tutor.checks.conditions import Condition, Crossed, Factor, Family, Row
from tutor.checks.crossings import LAYOUT
from tutor.checks.draw import HALF, Draw, laid
from tutor.checks.efficiency import decoders as part
from tutor.checks.efficiency.decoders import with_
from tutor.checks.efficiency.shared import BACK, BLOCKS, CHAPTER, PACKED
from tutor.checks.exercise import Case, Contract, Exercise, Trap

_KIND = Factor(
    "kind",
    (Condition("Q4_1", value="Q4_1"), Condition("Q8_0", "blocks of 8 bits", "Q8_0", alone=True)),
)
_SIZE = Factor(
    "size",
    (
        Condition("around 1", value=1.0),
        Condition("tiny", "small numbers", 0.01),
        Condition("large", "numbers in the hundreds", 300.0),
    ),
)
_SHAPES = Factor(
    "shapes",
    (
        Condition("several", value=((3,), 2)),
        Condition("one block", "one block a row", ((4,), 1), edge=True, alone=True),
        Condition("many blocks", "five blocks a row", ((2,), 5), alone=True),
        Condition("no rows", "one row of blocks", ((), 3), edge=True, alone=True),
        Condition("matrices", "a matrix for each expert", ((2, 3), 2), alone=True),
    ),
)
FAMILY = Family((_KIND, _SIZE, LAYOUT, _SHAPES))


def stored(x: Tensor) -> Tensor:
    """Numbers in half precision as bytes."""
    return x.to(HALF).contiguous().view(torch.uint8)


def blocks(draw: Draw, kind: str, rows: tuple[int, ...], number: int, size: float = 1.0) -> Tensor:
    """Bytes of a row of blocks each, with scales above 0."""
    d = draw.uniform(*rows, number, 1, low=0.05 * size, high=0.15 * size)
    if kind == "Q8_0":
        parts = [stored(d / 8)]
        count = 32
    else:
        parts = [stored(d), stored(draw.normal(*rows, number, 1, scale=size) - 0.7 * size)]
        count = 16
    n = draw.integers(*rows, number, count, low=0, high=256)
    n[..., 0], n[..., -1] = 0xF2, 0x8F
    return torch.cat([*parts, n.to(torch.uint8)], -1).flatten(-2)


def _arguments(draw: Draw, row: Row) -> tuple[Tensor | str, ...]:
    rows, number = row["shapes"]
    return laid(blocks(draw, row["kind"], rows, number, row["size"]), row["layout"]), row["kind"]


def _by_hand(draw: Draw) -> Iterator[Case]:
    device = {"device": draw.device}
    half, one = stored(torch.tensor([0.5], **device)), stored(torch.tensor([-1.0], **device))
    packed = torch.tensor([0x31, 0x42, *(0x00,) * 14], dtype=torch.uint8, **device)
    yield Case("the example of the text", (torch.cat((half, one, packed)), "Q4_1"))
    sizes = draw.integer(2, 5), draw.integer(2, 4)
    yield Case("sizes drawn by lot", (blocks(draw, "Q4_1", sizes[:1], sizes[1]), "Q4_1"))
    flat = blocks(draw, "Q4_1", (2,), 2)
    flat[:, :2] = 0
    yield Case("a scale of 0", (flat, "Q4_1"), "edges")
    signed = torch.arange(224, 256, dtype=torch.uint8, **device)
    yield Case("nothing but negative numbers", (torch.cat((half, signed)), "Q8_0"), "edges")
    for label, data, kind in (
        ("a kind that is not known", blocks(draw, "Q4_1", (2,), 2), "Q6_K"),
        ("a kind in small letters", blocks(draw, "Q8_0", (2,), 2), "q8_0"),
        ("half a block", blocks(draw, "Q4_1", (2,), 2)[:, :30], "Q4_1"),
        ("bytes of the other kind", blocks(draw, "Q4_1", (2,), 2), "Q8_0"),
    ):
        yield Case(f"{label} must raise ValueError", (data, kind), "edges", ValueError)


CASES = Crossed(FAMILY, _arguments, _by_hand, usual="blocks of 4 bits")


def _contract(generator: Generator, device: torch.device) -> Contract:
    draw = Draw(generator, device)
    return Contract(
        calls=tuple((blocks(draw, kind, (3,), 2), kind) for kind in ("Q4_1", "Q8_0")),
    )


DEQUANTIZE_BLOCKS = Exercise(
    reference=reference.dequantize_blocks,
    chapter=CHAPTER,
    points={"values": 4, "edges": 2, "types": 1},
    cases=CASES,
    contract=_contract,
    traps=(
        Trap(
            "nibbles swapped",
            with_(nibbles=part.swapped),
            "the low halves of the 16 bytes, `byte & 15`, are the numbers of the block's first 16 "
            "places; the high halves, `byte >> 4`, those of the others.",
            PACKED,
        ),
        Trap(
            "neighbours in a byte",
            with_(nibbles=part.neighbours),
            "the two numbers of a byte stand 16 places apart: first all low halves, then all high "
            "ones.",
            PACKED,
            (with_(nibbles=part.neighbours_swapped),),
        ),
        Trap(
            "halves that are not cut out",
            with_(nibbles=part.high_not_shifted),
            "the low half is `byte & 15`; the high half moves down by four bits, `byte >> 4`.",
            PACKED,
            (with_(nibbles=part.low_not_masked),),
        ),
        Trap(
            "eight taken off",
            with_(nibbles=part.eight_less),
            "that is Q4_0, which has no minimum and stores n + 8. Q4_1 counts from its minimum on: "
            "0 to 15.",
            BLOCKS,
            (with_(nibbles=part.with_a_sign),),
        ),
        Trap(
            "a shift that keeps the sign",
            with_(nibbles=part.high_with_a_sign),
            "of a byte that is read with a sign, `>> 4` fills up with it: 0xF0 becomes -1 and not "
            "15. Bytes with halves in them are uint8.",
            PACKED,
        ),
        Trap(
            "the minimum before the scale",
            with_(four=part.moved_and_scaled),
            "x = d n + m: the minimum is not scaled.",
            BACK,
            (with_(four=part.zero_point),),
        ),
        Trap(
            "the minimum taken off",
            with_(four=part.taken_off),
            "the later formats of GGUF, Q4_K and its like, store what is to be taken off. In Q4_1 "
            "m is added.",
            BACK,
        ),
        Trap(
            "the minimum forgotten",
            with_(four=part.minimum_forgotten),
            "n counts steps from the minimum on: x = d n + m.",
            BACK,
        ),
        Trap(
            "scale and minimum exchanged",
            with_(order=part.exchanged),
            "a block begins with d, and then comes m.",
            BLOCKS,
        ),
        Trap(
            "bytes without a sign",
            with_(eights=part.without_a_sign),
            "255 and -1 are the same byte. In Q8_0 it is -1: `view(torch.int8)` reads the same "
            "bytes with a sign.",
            BLOCKS,
            (with_(eights=part.excess_128),),
        ),
        Trap(
            "the high byte first",
            with_(number=part.turned_bytes),
            "a GGUF file has the low byte of a number first, and so has nearly every machine.",
            BLOCKS,
        ),
        Trap(
            "other sixteen bits",
            with_(number=part.as_bfloat),
            "d and m are float16, five bits of exponent. bfloat16 has eight: the same bits are "
            "another number.",
            BLOCKS,
            (with_(number=part.as_whole),),
        ),
        Trap(
            "scales behind the numbers",
            with_(parted=part.scale_behind),
            "a block begins with its scale.",
            BLOCKS,
        ),
        Trap(
            "all scales of a row first",
            with_(blocks=part.all_scales_first),
            "each block has its scale with it, so that a block is read from one place.",
            BLOCKS,
            (with_(blocks=part.scales_before_minima),),
        ),
        Trap(
            "one scale for a row",
            with_(blocks=part.first_scale_for_all),
            "each block of 32 numbers has a scale of its own.",
            BLOCKS,
        ),
        Trap(
            "computed in half precision",
            with_(four=part.in_half, eight=part.eight_in_half),
            "d and m are stored in half precision to save bytes; the weights that come of them "
            "are computed in single.",
            BLOCKS,
            (
                with_(four=part.in_half),
                with_(eight=part.eight_in_half),
                with_(told=part.in_half_precision),
            ),
        ),
        Trap(
            "not in single precision",
            with_(told=part.in_double),
            "the weights come out in float32, as the library has them, bit for bit.",
            BLOCKS,
        ),
        Trap(
            "divided by the scale",
            with_(eight=part.divided, four=part.four_divided),
            "d is what one step is worth: n steps are n · d.",
            BACK,
            (with_(eight=part.divided), with_(four=part.four_divided)),
        ),
        Trap(
            "divided by the number of steps",
            with_(eight=part.over_127, four=part.over_15),
            "the writer has divided by 127 or 15 already: d is one step, and not the largest.",
            BACK,
            (with_(eight=part.over_127), with_(four=part.over_15)),
        ),
        Trap(
            "left in blocks",
            with_(told=part.left_in_blocks),
            "blocks are how a row is stored. The answer has rows of numbers.",
            BLOCKS,
            (with_(told=part.all_in_one_row),),
        ),
        Trap(
            "blocks interleaved",
            with_(told=part.turned),
            "a block is 32 consecutive numbers of a row.",
            BLOCKS,
        ),
        Trap(
            "any kind at all",
            with_(unknown=part.never),
            "a kind that is not known, read as another one, gives weights that look like weights. "
            "Raise a ValueError.",
            BLOCKS,
        ),
        Trap(
            "what is left over dropped",
            with_(unfit=part.never_ragged, blocks=part.what_is_left_dropped),
            "bytes that are no whole number of blocks are a sign of another kind, or of a file "
            "that was cut. Raise a ValueError.",
            BLOCKS,
            (with_(unfit=part.never_ragged),),
        ),
    ),
)
