"""What ``pack_int4`` must satisfy, and the wrong answers that people give."""

from collections.abc import Iterator

import torch
from torch import Generator, Tensor

from tutor import efficiency as reference
from tutor.checks.conditions import Condition, Crossed, Factor, Family, Row
from tutor.checks.crossings import LAYOUT
from tutor.checks.draw import Draw, laid
from tutor.checks.efficiency import nibbles as part
from tutor.checks.efficiency.nibbles import with_
from tutor.checks.efficiency.shared import CHAPTER, PACKED
from tutor.checks.exercise import Case, Contract, Exercise, Property, Trap

_INTEGERS = Factor(
    "integers",
    (
        Condition("bytes", value=torch.uint8),
        Condition("signed bytes", "signed integers of one byte", torch.int8, alone=True),
        Condition("int64", "64-bit integers", torch.int64, alone=True),
        Condition("int32", "32-bit integers", torch.int32),
    ),
)
_SHAPES = Factor(
    "shapes",
    (
        Condition("matrix", value=(5, 6)),
        Condition("square", "as many rows as columns", (8, 8), alone=True),
        Condition("matrices", "a matrix for each expert", (4, 2, 6), alone=True),
        Condition("even rows", "two rows", (2, 10)),
        Condition("vector", "a vector", (10,), edge=True, alone=True),
        Condition("one byte", "two columns", (6, 2), edge=True, alone=True),
    ),
)
FAMILY = Family((_INTEGERS, LAYOUT, _SHAPES))


def numbers(draw: Draw, shape: tuple[int, ...], dtype: torch.dtype = torch.uint8) -> Tensor:
    n = draw.integers(*shape, low=0, high=16)
    n.view(-1)[0], n.view(-1)[-1] = 15, 15 if n.numel() > 2 else 1
    return n.to(dtype)


def _arguments(draw: Draw, row: Row) -> tuple[Tensor]:
    return (laid(numbers(draw, row["shapes"], row["integers"]), row["layout"]),)


def _by_hand(draw: Draw) -> Iterator[Case]:
    def row(*n: int, dtype: torch.dtype = torch.int64) -> tuple[Tensor]:
        return (torch.tensor(n, device=draw.device, dtype=dtype),)

    yield Case("the example of the text", row(1, 2, 3, 4))
    yield Case("sizes drawn by lot", (numbers(draw, (draw.integer(2, 6), 2 * draw.integer(2, 9))),))
    yield Case("nothing but zeros", row(0, 0, 0, 0), "edges")
    yield Case("nothing but fifteens", row(15, 15, 15, 15, dtype=torch.int8), "edges")
    for label, wrong in (
        ("an odd number of columns", row(1, 2, 3)),
        ("a number below 0", row(3, -1, 0, 2)),
        ("signed numbers", row(-8, -3, 7, 0, dtype=torch.int8)),
        ("a number above 15", row(3, 1, 16, 2)),
    ):
        yield Case(f"{label} must raise ValueError", wrong, "edges", ValueError)


CASES = Crossed(FAMILY, _arguments, _by_hand, usual="a matrix")


def _every_pair(call, generator: Generator, device: torch.device) -> str | None:
    pairs = torch.cartesian_prod(*(torch.arange(16, device=device),) * 2)
    packed = call(pairs).flatten().long()
    if not torch.equal(packed & 15, pairs[:, 0]) or not torch.equal(packed >> 4, pairs[:, 1]):
        wrong = ((packed & 15) != pairs[:, 0]) | ((packed >> 4) != pairs[:, 1])
        low, high = pairs[wrong][0].tolist()
        return f"{low} and {high} do not come back: their byte is {int(packed[wrong][0])}"
    return None


def _contract(generator: Generator, device: torch.device) -> Contract:
    return Contract(calls=((numbers(Draw(generator, device), (5, 6)),),))


PACK_INT4 = Exercise(
    reference=reference.pack_int4,
    chapter=CHAPTER,
    points={"values": 2, "edges": 2, "types": 1},
    cases=CASES,
    contract=_contract,
    properties=(Property("every pair comes back", _every_pair, "values"),),
    traps=(
        Trap(
            "nibbles swapped",
            with_(order=part.high_first),
            "the first number is in the low half of the byte, `n & 15`, and the one half a row "
            "behind it in the high half, `n >> 4`. Exchanged, every weight is another one of the "
            "same group, and nothing raises.",
            PACKED,
        ),
        Trap(
            "neighbours in a byte",
            with_(parted=part.neighbours),
            "other formats pack neighbours, columns 0 and 1. GGUF packs column i with column "
            "i + columns / 2: then both halves of all bytes are runs, and reading them takes no "
            "shuffle.",
            PACKED,
            (
                with_(parted=part.neighbours, order=part.high_first),
                with_(parted=part.halves_from_the_end),
            ),
        ),
        Trap(
            "half of the tensor for half of a row",
            with_(parted=part.halves_of_all),
            "each row is packed by itself: its first half with its second.",
            PACKED,
            (with_(parted=part.halves_of_rows),),
        ),
        Trap(
            "clipped instead of refused",
            with_(refused=part.never, before=part.clipped),
            "signed numbers that are clipped to 0 to 15 lose all that is negative, and the model "
            "runs on with half of its weights. Raise a ValueError.",
            PACKED,
        ),
        Trap(
            "two's complement",
            with_(refused=part.never, before=part.last_four_bits),
            "the last four bits of -3 are 13. Read as a number without a sign, that is what it "
            "is. Signed numbers are stored as n + 8 by whoever has them; here they are refused.",
            PACKED,
            (with_(refused=part.above_alone, before=part.last_four_bits),),
        ),
        Trap(
            "eight added",
            with_(before=part.eight_more, refused=part.beyond_signed),
            "n + 8 makes signed numbers positive. These are positive already.",
            PACKED,
            (with_(before=part.eight_more),),
        ),
        Trap(
            "numbers are not looked at",
            with_(refused=part.never),
            "16 << 4 is 256, and 256 in a byte is 0: a number too large changes its neighbour. "
            "Raise a ValueError for all that four bits do not hold.",
            PACKED,
            (
                with_(refused=part.below_alone),
                with_(refused=part.above_alone),
                with_(refused=part.beyond_sixteen),
            ),
        ),
        Trap(
            "shifted by another number of bits",
            with_(joined=part.by_five),
            "the high half begins at bit 4: `high << 4`, which is 16 · high.",
            PACKED,
            (
                with_(joined=part.by_three),
                with_(joined=part.in_decimals),
                with_(joined=part.by_fifteen),
            ),
        ),
        Trap(
            "one half lost",
            with_(joined=part.low_alone),
            "a byte has both numbers: joined by `|`, which keeps the bits of either.",
            PACKED,
            (with_(joined=part.high_alone), with_(joined=part.anded)),
        ),
        Trap(
            "both on top of each other",
            with_(joined=part.added),
            "the high one moves up by four bits *before* the two are joined; the low one stays.",
            PACKED,
            (with_(joined=part.precedence),),
        ),
        Trap(
            "not packed",
            part.not_packed,
            "a number of 4 bits in a byte of its own saves nothing: two of them share a byte.",
            PACKED,
        ),
        Trap(
            "no byte without a sign",
            with_(told=part.as_int64),
            "what was packed is stored in uint8. In int64 each byte takes eight.",
            PACKED,
            (with_(told=part.as_int8), with_(told=part.as_int32)),
        ),
        Trap(
            "an odd row filled up",
            with_(odd=part.never, before=part.filled_up),
            "who reads it cannot know that the last number is none. Raise a ValueError.",
            PACKED,
            (with_(odd=part.never, before=part.cut_off), with_(odd=part.never)),
        ),
        Trap(
            "packed in the caller's memory",
            part.written_into_the_callers,
            "the caller's numbers stay as they are: make a new tensor.",
            PACKED,
            overwrites="n",
        ),
    ),
)
