"""What the exercises of chapter 14 share."""

import torch
from torch import Tensor

from tutor.checks.conditions import Condition, Factor
from tutor.checks.draw import DOUBLE, Draw

CHAPTER = "14_assembly"

BLOCK = "The block"
MODEL = "The model"
FILE = "The file"
PROMPT = "The prompt"
PIECES = "Pieces of text"
"""Sections of the chapter that the traps name."""

C, D, F, V = 10, 4, 7, 11

HEADS = Factor(
    "heads",
    (
        Condition("two a group", value=(6, 3)),
        Condition("each its own", "as many key heads as query heads", (3, 3)),
        Condition("one for all", "one key head for all", (4, 1), edge=True),
    ),
)
"""H and G."""
PAST = Factor(
    "past",
    (
        Condition("some of both", value=(5, 3, 2)),
        Condition("a step", "one token more", (4, 1, 1), alone=True),
        Condition("a prompt", "nothing read before", (0, 5, 2), alone=True),
        Condition("the first", "one token, the first of all", (0, 1, 2), edge=True),
    ),
)
"""Tokens that have been read, new ones, and texts."""
REST = Factor(
    "rest",
    (
        Condition("both given", value=(50.0, 0.1)),
        Condition("defaults", "theta and eps left out", (), alone=True),
    ),
)
"""theta and eps. A large eps shows where a norm has it."""


def block_of(
    draw: Draw, h: int, g: int, dtype: torch.dtype = DOUBLE, c: int = C, f: int = F, d: int = D
) -> list[Tensor]:
    """Nine weights of which no two are alike."""
    shapes = (c, h * d), (c, g * d), (c, g * d), (h * d, c)
    one = [1 + 0.3 * draw.normal(c), *(draw.weight(*shape) for shape in shapes)]
    other = [1 + 0.3 * draw.normal(c), draw.weight(c, f), draw.weight(c, f), draw.weight(f, c)]
    return [w.to(dtype) for w in (*one, *other)]
