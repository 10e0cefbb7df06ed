"""What the exercises of chapter 6 share."""

import itertools
from collections import Counter
from collections.abc import Callable

from tutor import tokens as reference
from tutor.checks.draw import Draw
from tutor.checks.exercise import Trap

CHAPTER = "06_tokens"

# All sizes differ, so that a swapped axis cannot pass.
B, T, C, V = 2, 3, 5, 11

BYTES = 256

MERGING = "Merging pairs"
"""The section in which what becomes of a pair is told."""


def drawn(draw: Draw, length: int, alphabet: bytes) -> bytes:
    return bytes(alphabet[draw.integer(0, len(alphabet))] for _ in range(length))


def words(draw: Draw, count: int, alphabet: bytes, low: int = 2, high: int = 7) -> list[bytes]:
    return [drawn(draw, draw.integer(low, high), alphabet) for _ in range(count)]


def trained(text: str | bytes, num_merges: int) -> list[tuple[int, int]]:
    return reference.train_bpe(Counter(reference.split_pieces(text)), num_merges)


def neighbours(ids: list[int]) -> list[tuple[int, int]]:
    return list(itertools.pairwise(ids))


# What is made of a pair in a piece


def left_to_right(ids, pair, made):
    out, i = [], 0
    while i < len(ids):
        step = 2 if tuple(ids[i : i + 2]) == pair else 1
        out.append(made if step == 2 else ids[i])
        i += step
    return out


def swallowed(ids, pair, made):
    """A run of overlapping pairs becomes one."""
    out, i = [], 0
    while i < len(ids):
        if tuple(ids[i : i + 2]) != pair:
            out.append(ids[i])
            i += 1
            continue
        out.append(made)
        i += 2
        while i < len(ids) and tuple(ids[i - 1 : i + 1]) == pair:
            i += 1
    return out


def each_place(ids, pair, made):
    """Each of overlapping pairs becomes one."""
    starts = [tuple(ids[i : i + 2]) == pair for i in range(len(ids))]
    out = []
    for i, begins in enumerate(starts):
        if begins:
            out.append(made)
        elif not (i and starts[i - 1]):
            out.append(ids[i])
    return out


def right_to_left(ids, pair, made):
    return left_to_right(ids[::-1], pair[::-1], made)[::-1]


def first_place(ids, pair, made):
    for i in range(len(ids) - 1):
        if (ids[i], ids[i + 1]) == pair:
            return [*ids[:i], made, *ids[i + 2 :]]
    return ids


def overlaps(with_: Callable) -> tuple[Trap, ...]:
    """What overlapping pairs wrongly become. ``with_``: changes a function whose part ``merged``
    merges them."""
    return (
        Trap(
            "a run becomes one token",
            with_(merged=swallowed),
            "in `aaa` the pair (a, a) stands twice, but the two share a letter. From left to "
            "right: the first two become X, and an `a` is left.",
            MERGING,
        ),
        Trap(
            "overlapping pairs merged twice",
            with_(merged=each_place),
            "in `aaa` the pair (a, a) stands twice, but the two share a letter, which can be used "
            "once: X and then `a`, not XX. After a merge go on two places further.",
            MERGING,
        ),
        Trap(
            "merged from the right",
            with_(merged=right_to_left),
            "of overlapping pairs the left one is merged: `aaa` becomes Xa, not aX.",
            MERGING,
        ),
    )
