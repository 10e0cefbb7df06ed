"""What ``train_bpe`` must satisfy, and the wrong answers that people give."""

from collections import Counter
from collections.abc import Iterator

import torch
from torch import Generator

from tutor import tokens as reference
from tutor.checks.conditions import Condition, Crossed, Factor, Family, Row
from tutor.checks.draw import Draw
from tutor.checks.exercise import Case, Contract, Exercise
from tutor.checks.tokens.shared import (
    BYTES,
    CHAPTER,
    drawn,
    words,
)
from tutor.checks.tokens.training_traps import TRAPS

_LETTERS = b"adehnost"

_PIECES = Factor(
    "pieces",
    (
        Condition("of letters", value=lambda draw: words(draw, 7, _LETTERS)),
        Condition(
            "runs",
            "runs of one letter",
            lambda draw: [
                bytes([letter]) * n for n, letter in enumerate(drawn(draw, 4, _LETTERS), 2)
            ],
            edge=True,
            alone=True,
        ),
        Condition("any byte", "any bytes", lambda draw: words(draw, 6, bytes(range(BYTES)), 2, 5)),
        Condition(
            "single bytes",
            "pieces of one byte",
            lambda draw: sorted({drawn(draw, 1, _LETTERS) for _ in range(5)}),
            edge=True,
        ),
        Condition("no pieces", "no piece at all", lambda draw: [], edge=True),
    ),
)
_COUNTS = Factor(
    "counts",
    (
        Condition("by lot", value=lambda draw: draw.integer(1, 9)),
        Condition("once", "each piece once", lambda draw: 1, edge=True, alone=True),
        Condition("large", "large counts", lambda draw: 10**12 + draw.integer(0, 3)),
    ),
)
_MERGES = Factor(
    "merges",
    (
        Condition("a few", value=6),
        Condition("one merge", "a single merge", 1),
        Condition("no merge", "no merge", 0, edge=True),
        Condition("until the end", "more merges than there are pairs", 60, edge=True, alone=True),
    ),
)

FAMILY = Family((_PIECES, _COUNTS, _MERGES))


def _arguments(draw: Draw, row: Row) -> tuple[dict[bytes, int], int]:
    pieces = row["pieces"](draw)
    return {piece: row["counts"](draw) for piece in pieces}, row["merges"]


def _by_hand(draw: Draw) -> Iterator[Case]:
    text = b"she sells sea shells, the shells she sells are sea shells"
    yield Case("an English sentence", (dict(Counter(reference.split_pieces(text))), 12))
    yield Case("the example of the text", ({b"aaab": 1}, 9), "edges")
    yield Case("equally frequent pairs", ({b"zy": 2, b"ab": 2, b"mn": 2}, 3), "edges")
    yield Case("a run beside a pair", ({b"aaaa": 1, b"bc": 2, b"dd": 3}, 4), "edges")
    yield Case("runs of odd length", ({b"aaaaa": 3, b"aaab": 2, b"xaaa": 1}, 5), "edges")
    yield Case("pairs at the borders", ({b"ab": 4, b"ba": 4, b"bab": 1}, 4), "edges")
    yield Case("twice in one piece", ({b"abxab": 3, b"ab": 1, b"xa": 2}, 4))
    yield Case("a token and the next letter", ({b"xaabx": 1, b"yaabz": 1, b"zaaby": 1}, 4))
    digits = {bytes((1, 2)): 3, bytes((11, 2, 7)): 2, bytes((9, 1, 25)): 2}
    yield Case("ids that have digits in common", (digits, 4))
    # More merges and a longer piece than there are bytes: 256 | k is 256 + k below that.
    long = drawn(draw, 298, bytes(range(BYTES))) + b"\0\0"  # merged first, at its end
    yield Case("hundreds of merges", ({long: 1}, 290))


_TYPES, _OFTEN = 200, 5
_FEW, _MANY = 1, 21


def _contract(generator: Generator, device: torch.device) -> Contract:
    """Many pieces that occur once, and a few that occur often: those alone are merged."""
    draw = Draw(generator, device)
    alphabet = bytes(range(ord("a"), ord("a") + 12))
    pieces = {piece: 1 for piece in words(draw, _TYPES, alphabet, 7, 10)}
    pieces |= {piece: 1000 for piece in words(draw, _OFTEN, alphabet, 7, 10)}
    return Contract(
        calls=((pieces, _FEW), (pieces, _MANY)),
        max_growth=11,
        growth="you count the pairs of the whole text again for each merge: count them once, and "
        "then change the counts of what a merge touches, the pieces in which its pair stands",
    )


CASES = Crossed(FAMILY, _arguments, _by_hand)


TRAIN_BPE = Exercise(
    reference=reference.train_bpe,
    chapter=CHAPTER,
    points={"values": 4, "edges": 3, "types": 1, "contracts": 2},
    cases=CASES,
    contract=_contract,
    outputs=("merge",),
    traps=TRAPS,
)
