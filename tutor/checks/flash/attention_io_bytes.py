"""What ``attention_io_bytes`` must satisfy, and the wrong answers that people give."""

from collections.abc import Iterator

import torch
from torch import Generator

from tutor import flash as reference
from tutor.checks.conditions import Condition, Crossed, Factor, Family, Row
from tutor.checks.draw import Draw
from tutor.checks.exercise import Case, Contract, Exercise, Trap
from tutor.checks.flash import traffic as part
from tutor.checks.flash.shared import CHAPTER, TRAFFIC
from tutor.checks.flash.traffic import with_

_TOKENS = Factor(
    "tokens",
    (
        Condition("thousand", value=1000),
        Condition("long", "100,000 tokens", 100_000, alone=True),
        Condition("one token", "a single token", 1, edge=True),
        Condition("power", "4,096 tokens", 4096),
    ),
)
_WIDTH = Factor(
    "width",
    (
        Condition("of 64", value=64),
        Condition("of 96", "width 96", 96),
        Condition("width one", "width 1", 1),
    ),
)
_SRAM = Factor(
    "sram",
    (
        Condition("of a core", value=192 * 1024 + 10),
        Condition("tight", "a small fast memory", 6_000, alone=True),
        Condition("everything", "a fast memory with room for all", 2**33, edge=True, alone=True),
    ),
)
_ELEMENT = Factor(
    "element",
    (
        Condition("half", value=(2,)),
        Condition("left out", "the bytes of a number left out", ()),
        Condition("single", "four bytes a number", (4,), alone=True),
        Condition("eighth", "one byte a number", (1,)),
    ),
)
FAMILY = Family((_TOKENS, _WIDTH, _SRAM, _ELEMENT))


def _arguments(draw: Draw, row: Row) -> tuple[int, ...]:
    return (row["tokens"], row["width"], row["sram"], *row["element"])


def _by_hand(draw: Draw) -> Iterator[Case]:
    yield Case("the example of the text", (4, 1, 10, 2))
    for i in range(3):
        tokens, width = draw.integer(20, 3000), draw.integer(1, 130)
        sizes = (tokens, width, draw.integer(6 * width + 60, 60_000), draw.integer(1, 9))
        yield Case(f"sizes drawn by lot, {i + 1}", sizes)
    yield Case("a single row fits exactly", (128, 64, 514), "edges")
    yield Case("no row fits and it must raise ValueError", (128, 64, 513), "edges", ValueError)
    yield Case("no fast memory must raise ValueError", (128, 64, 0, 4), "edges", ValueError)


CASES = Crossed(FAMILY, _arguments, _by_hand, usual="1,000 tokens of width 64")


def _contract(generator: Generator, device: torch.device) -> Contract:
    return Contract(calls=())


ATTENTION_IO_BYTES = Exercise(
    reference=reference.attention_io_bytes,
    chapter=CHAPTER,
    points={"values": 3, "edges": 1, "types": 1},
    cases=CASES,
    contract=_contract,
    outputs=("number",),
    traps=(
        Trap(
            "bytes for numbers in the fast memory",
            with_(room=part.bytes_as_numbers),
            "the memory has so many *bytes*, and a number takes several: divide before you ask how "
            "many rows fit.",
            TRAFFIC,
            (with_(room=part.kibibytes),),
        ),
        Trap(
            "numbers, not bytes",
            with_(scale=part.numbers),
            "what moves are bytes: the count of numbers times the bytes of each.",
            TRAFFIC,
            (with_(scale=part.as_half),),
        ),
        Trap(
            "keys and values read once",
            with_(of_tiles=part.read_once),
            "the fast memory is too small to keep them: each tile of queries reads all keys and "
            "values again. That is the price, and it falls as tiles grow.",
            TRAFFIC,
        ),
        Trap(
            "keys without their values",
            with_(of_tiles=part.keys_alone),
            "for each tile of queries both keys and values pass: 2 T D numbers.",
            TRAFFIC,
            (with_(of_tiles=part.halved),),
        ),
        Trap(
            "queries or answers forgotten",
            with_(of_tiles=part.rows_of_q_forgotten),
            "q is read, and the answer written: once each, 2 T D numbers together, also in tiles.",
            TRAFFIC,
            (
                with_(of_tiles=part.answer_forgotten),
                with_(of_rows=part.three_rows),
                with_(of_rows=part.no_rows),
            ),
        ),
        Trap(
            "queries and answers moved again for each tile",
            with_(of_tiles=part.all_each_time),
            "a tile of queries stays while keys and values pass, and so does its answer. (The "
            "first FlashAttention had the loops the other way round, and its answers moved.)",
            TRAFFIC,
            (with_(of_tiles=part.keys_outside),),
        ),
        Trap(
            "scores in the large memory",
            with_(of_tiles=part.scores_too),
            "that the scores never leave the fast memory is the whole idea.",
            TRAFFIC,
        ),
        Trap(
            "not all passes over the matrix",
            with_(of_scores=part.twice),
            "the scores are written, read by the softmax, the weights written, and read by the "
            "last product: four passes over T · T numbers.",
            TRAFFIC,
            (
                with_(of_scores=part.once),
                with_(of_scores=part.thrice),
                with_(of_scores=part.no_scores),
            ),
        ),
        Trap(
            "no room for the scores",
            with_(fit=part.four_alone),
            "beside four tiles of R · D there is one of R · R scores: the largest R with "
            "R² + 4 D R ≤ room.",
            TRAFFIC,
            (with_(fit=part.three_alone), with_(fit=part.scores_alone)),
        ),
        Trap(
            "three tiles of rows",
            with_(fit=part.three_and_scores),
            "q, k, v *and* the answer that is being summed have to be there.",
            TRAFFIC,
        ),
        Trap(
            "a row more than fits",
            with_(fit=part.rounded_up),
            "the largest R that still fits: rounded down.",
            TRAFFIC,
        ),
        Trap(
            "the last tile forgotten",
            with_(rounded=part.down),
            "a ragged last tile of queries reads all keys, too: the number of tiles is rounded up.",
            TRAFFIC,
            (
                with_(rounded=part.exactly, told=part.as_integers),
                with_(rounded=part.exactly, scale=part.whole_times),
                with_(rounded=part.exactly),
            ),
        ),
        Trap(
            "no room is no error",
            with_(bound=part.one_at_least),
            "where not even a tile of one row fits there is no such algorithm: raise a ValueError.",
            TRAFFIC,
            (with_(refuse=part.unrefused),),
        ),
        Trap(
            "another pair",
            with_(told=part.exchanged),
            "first the plain algorithm's bytes, then the tiled one's.",
            TRAFFIC,
            (with_(told=part.ratio), with_(told=part.tiled_alone)),
        ),
    ),
)
