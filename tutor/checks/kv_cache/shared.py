"""What the exercises of chapter 9 share."""

import torch

from tutor.checks.conditions import Condition, Factor
from tutor.checks.crossings import DTYPE, LAYOUT
from tutor.checks.draw import DOUBLE, Draw
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
        Condition("narrow", "one pair of features a head", (C, 2, 1), edge=True),
    ),
)
"""C, D and Cout; None for all equal."""

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
