"""What the exercises of chapter 5 share."""

import torch
from torch import Tensor

from tutor.checks.conditions import Condition, Factor, Row
from tutor.checks.draw import DOUBLE, Draw

CHAPTER = "05_position"

# All sizes differ, so that a swapped axis cannot pass.
B, H, T, D = 2, 3, 5, 6

LAYOUTS = ("half", "interleaved")


def frequencies_of(
    width: int, theta: float, device: torch.device, exponent: float = 2, dtype: torch.dtype = DOUBLE
) -> Tensor:
    """theta^(-2i / width) of pair i: what the paper gives, unless the exponent is another."""
    i = torch.arange(width // 2, device=device, dtype=dtype)
    return theta ** -(exponent * i / width)


def angles_of(positions: Tensor, width: int, theta: float, **changes) -> Tensor:
    """(..., width / 2), in double."""
    return positions.double()[..., None] * frequencies_of(width, theta, positions.device, **changes)


PLACES = Factor(
    "places",
    (
        Condition("near", value=lambda draw, *shape: draw.integers(*shape, low=1, high=60)),
        Condition(
            "from zero",
            "positions from zero",
            lambda draw, *shape: torch.arange(shape[-1], device=draw.device).expand(shape),
            edge=True,
        ),
        Condition(
            "a cache",
            "a cache of 1,000 tokens before",
            lambda draw, *shape: draw.integers(*shape, low=1001, high=1060),
            edge=True,
            alone=True,
        ),
        Condition(
            "far",
            "positions of 100,000",
            lambda draw, *shape: draw.integers(*shape, low=100_019, high=100_079),
            edge=True,
            alone=True,
        ),
        Condition(
            "before",
            "positions before the beginning",
            lambda draw, *shape: draw.integers(*shape, low=-69, high=-10),
            edge=True,
            alone=True,
        ),
        Condition(
            "between",
            "positions between the integers",
            lambda draw, *shape: draw.uniform(*shape, low=0, high=9),
            edge=True,
            alone=True,
        ),
    ),
)
"""What is counted as a position. Angles of ten million are right to single precision only."""

BATCH = Factor(
    "batch",
    (
        Condition("one", value=(B,)),
        Condition("none", "no batch dimension", (), alone=True),
        Condition("two", "two batch dimensions", (B, H), alone=True),
        Condition("three", "batch dimensions 2, 1 and 4", (B, 1, 4)),
    ),
)

TOKENS = Factor(
    "tokens",
    (
        Condition("five", value=T),
        Condition("one token", "a single token", 1, edge=True, alone=True),
    ),
)

WIDTH = Factor(
    "width",
    (
        Condition("three pairs", value=D),
        Condition("a pair", "a single pair", 2, edge=True),
        Condition("many features", "many features", 132),  # small integers end at 127
    ),
)

THETA = Factor(
    "theta",
    (
        Condition("left out"),
        Condition("small theta", "another theta", 300.0, alone=True),
        Condition("one theta", "theta of one", 1.0),
    ),
)


LAYOUT_OF_PAIRS = Factor(
    "pairs",
    (
        # Not the same object as the literal: a comparison by identity fails.
        Condition("halves", value="".join(("ha", "lf"))),
        Condition("neighbours", "interleaved", "interleaved", alone=True),
        Condition("layout left out", "the layout left out", alone=True),
    ),
)
POSITIONS_FOR = Factor(
    "for",
    (
        Condition("all", value=lambda batch: ()),
        # A 1 where the heads stand: the same positions for all of them.
        Condition(
            "each sentence",
            "positions of each sentence",
            lambda batch: (*batch[:1], *(1 for _ in batch[1:])),
            edge=True,
            alone=True,
        ),
        Condition(
            "each head", "positions of each head", lambda batch: batch, edge=True, alone=True
        ),
    ),
)


def places(draw: Draw, row: Row, *shape: int) -> Tensor:
    return row["places"](draw, *shape)
