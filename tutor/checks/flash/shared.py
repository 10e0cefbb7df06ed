"""What the exercises of chapter 11 share."""

import torch
from torch import Tensor

from tutor.checks.conditions import Condition, Factor, Row
from tutor.checks.crossings import BATCH, extreme
from tutor.checks.draw import Draw, laid

CHAPTER = "11_flash"

D, DV = 5, 3

STREAM = "One pass"
TILES = "Tiles"
SKIPPED = "Tiles that nobody reads"
FORWARD = "The forward pass"
BACKWARD = "The backward pass"
TRAFFIC = "Bytes, not operations"
TRITON = "The same in Triton"
"""Sections of the chapter that the traps name."""

SCORES = Factor(
    "scores",
    (
        Condition("ordinary", value=1.0),
        Condition("large", "scores of 50 and more", 5.0),
        Condition("extreme", "scores near 3,000, near -100 and far lower", edge=True, alone=True),
    ),
)
"""The scale of q and of k; None for the scores of ``extreme``."""

CAUSAL = Factor(
    "causal",
    (Condition("all", value=False), Condition("causal", "causal", True, edge=True, alone=True)),
)

HEADS = Factor(
    "heads",
    (
        Condition("grouped", value=(6, 2)),
        Condition("a head each", "a key head for each query head", (3, 3), alone=True),
        Condition("one for all", "one key head for all", (4, 1)),
        Condition("one head", "a single head", (1, 1)),
    ),
)

LENGTHS = Factor(
    "lengths",
    (
        Condition("few", value=(5, 7)),
        Condition("square", "as many queries as keys", (7, 7), alone=True),
        Condition("one key", "one query, one key", (1, 1), edge=True),
        Condition("one query", "one query, many keys", (1, 9), edge=True),
        Condition("more queries", "more queries than keys", (9, 4), edge=True, alone=True),
    ),
)

TILE_SIZES = Factor(
    "tiles",
    (
        Condition("two by three", value=(2, 3)),
        Condition("of one row", "tiles of one row", (1, 1)),
        Condition("longer", "more queries than keys in a tile", (4, 2), alone=True),
        Condition("larger", "a tile larger than everything", (16, 32), alone=True),
        Condition("fitting", "tiles that fit", (1, 4)),
    ),
)

BATCHES = Factor("batch", tuple(c for c in BATCH.conditions if c.name != "three"))


def qkv(draw: Draw, row: Row, d: int = D, dv: int = DV) -> tuple[Tensor, Tensor, Tensor]:
    """q (*batch, H, Tq, D), k (*batch, G, Tk, D) and v (*batch, G, Tk, Dv)."""
    (h, g), (tq, tk), batch = row["heads"], row["lengths"], row["batch"] or ()
    dtype, scale = row["dtype"], row["scores"]
    q = draw.normal(*batch, h, tq, d, dtype=dtype, scale=scale or 1.0)
    k = draw.normal(*batch, g, tk, d, dtype=dtype, scale=scale or 1.0)
    v = draw.normal(*batch, g, tk, dv, dtype=dtype)
    if scale is None:
        of_queries, of_keys = (torch.tensor(t, dtype=torch.float64) for t in extreme(tq, tk, dtype))
        q[..., :3], k[...] = 4 * of_queries, 0.0
        k[..., :3] = of_keys * d**0.5 / 4
        v = draw.integers(*v.shape, low=-2, high=3).to(dtype)
    return tuple(laid(t, row["layout"]) for t in (q, k, v))


def drawn(draw: Draw, tq: int, tk: int, heads: tuple[int, int] = (4, 2), dtype=torch.float64):
    """q, k and v of one sentence."""
    h, g = heads
    return (
        draw.normal(h, tq, D, dtype=dtype),
        draw.normal(g, tk, D, dtype=dtype),
        draw.normal(g, tk, DV, dtype=dtype),
    )
