"""What the exercises of chapter 9 share."""

from collections.abc import Iterator

import torch
from torch import Generator

from tutor.checks.conditions import Condition, Crossed, Factor
from tutor.checks.crossings import DTYPE, LAYOUT
from tutor.checks.draw import DOUBLE, Draw
from tutor.checks.exercise import Case
from tutor.checks.transformer.shared import quiet

CHAPTER = "09_kv_cache"

B, G, CAPACITY, D, C, H, COUT = 2, 3, 13, 4, 7, 6, 5

BYTES = "What the cache weighs"
CACHE = "The cache"
ROLLING = "A window that rolls"
STEP = "One token more"
PREFILL = "The prompt in chunks"
WRITING = "Writing"
"""Sections of the chapter that the traps name."""


class Sequences(Crossed):
    """Of a class: ``build`` makes a construction and calls of each row."""

    def __call__(self, generator: Generator, device: torch.device) -> Iterator[Case]:
        draw = self.draw(generator, device)
        simple = [row for row in self.family.rows if len(row.special) <= 1]
        yield from (self.build(draw, row) for row in simple)
        yield from self.by_hand(draw)
        yield from (self.build(draw, row) for row in self.family.rows[len(simple) :])


SINGLE_LAYOUTS = quiet(LAYOUT, "turned")
PRECISION = DTYPE

HEADS = Factor(
    "heads",
    (
        Condition("two a group", value=(6, 3)),
        Condition("each its own", "as many key heads as query heads", (3, 3), alone=True),
        Condition("one for all", "one key head for all", (4, 1), edge=True, alone=True),
    ),
)
"""H and G."""

WIDTHS = Factor(
    "widths",
    (
        Condition("own", value=(C, D, COUT)),
        Condition("square", "as wide as its heads together", None),
        Condition("one pair", "one pair of features a head", (C, 2, 1), edge=True),
    ),
)
"""C, D and Cout; None for all equal."""

CACHES = Factor(
    "sizes",
    (
        Condition("own", value=(B, G, D)),
        Condition("one of each", "one text, one head, width 1", (1, 1, 1), edge=True),
        Condition("square", "four texts, four heads, width 4", (4, 4, 4), edge=True),
    ),
)
"""B, G and D of a cache and of what it is given."""

BEFORE = Factor(
    "before",
    (
        Condition("new", value=()),
        Condition("another text", "after another text and a reset", (6,), edge=True, alone=True),
    ),
)
"""Pieces that the cache was given before a reset."""

THETA = Factor(
    "theta",
    (
        Condition("given", value=(100.0,)),
        Condition("default", "theta left out", (), alone=True),
    ),
)


def sizes(row) -> tuple[int, int, int, int, int]:
    """H, G, C, D, Cout."""
    h, g = row["heads"]
    c, d, cout = row["widths"] or (4 * h, 4, 4 * h)
    return h, g, c, d, cout


def weights(
    draw: Draw, h: int, g: int, c: int, d: int, cout: int, dtype: torch.dtype = DOUBLE
) -> list[torch.Tensor]:
    """w_q, w_k, w_v, w_out, of which no two are alike."""
    shapes = (c, h * d), (c, g * d), (c, g * d), (h * d, cout)
    return [draw.weight(*shape, dtype=dtype) for shape in shapes]
