"""What the exercises of chapter 13 share."""

import torch
from torch import Tensor

from tutor.checks.conditions import Condition, Factor

CHAPTER = "13_efficiency"

SCALES = "Whole numbers and a scale"
ROWS = "A scale for each row"
GROUPS = "Groups"
BACK = "Back again"
PACKED = "Two numbers in a byte"
BLOCKS = "What is in the file"
BYTES = "How many bytes"
ROUTER = "The router"
PLACES = "Places"
BALANCE = "Balance"
"""Sections of the chapter that the traps name."""

BITS = Factor(
    "bits",
    (
        Condition("of four", value=4),
        Condition("of eight", "8 bits", 8, alone=True),
        Condition("of three", "3 bits", 3, alone=True),
        Condition("of two", "2 bits", 2, alone=True),
        Condition("of five", "5 bits", 5),
    ),
)

SIZE = Factor(
    "size",
    (
        Condition("around 1", value=1.0),
        Condition("tiny", "small numbers", 1e-3),
        Condition("large", "numbers in the thousands", 3000.0, alone=True),
    ),
)
"""Of numbers; half precision holds them all."""


def off_ties(w: Tensor, steps: Tensor, other: Tensor) -> Tensor:
    """w, but ``other`` where its number of steps is nearly half way between two: what that rounds
    to is decided by the last digit."""
    fraction = steps - steps.floor()
    return torch.where((fraction - 0.5).abs() < 0.02, other, w)
