"""What the exercises of chapter 12 share."""

from dataclasses import replace

from tutor.checks.conditions import Condition, Factor
from tutor.checks.crossings import BATCH, LAYOUT

CHAPTER = "12_long_context"

B, T, D, DV = 2, 5, 7, 11

WINDOW = "A window"
STRIDE = "Strides"
GLOBAL = "Global and random tokens"
REACH = "How far depth reaches"
BLOCKS = "A window that is cheap"
LINEAR = "Linear attention"
RECURRENT = "The last machine is the first again"
SCALED = "Positions that were never trained"
RING = "Around a ring"
"""Sections of the chapter that the traps name."""

SIZES = Factor(
    "sizes",
    (
        Condition("square", value=(9, 9)),
        Condition("newest", "four new queries, nine keys", (4, 9), edge=True, alone=True),
        Condition("one query", "one new query, all the past", (1, 11), edge=True, alone=True),
        Condition("one token", "a single token", (1, 1), edge=True, alone=True),
        # Small integers end at 127, and half precision counts to 2,048.
        Condition("long", "two new queries, a past of 2,050", (2, 2050), edge=True, alone=True),
    ),
)
"""Of a mask: queries and keys."""


def met_only(factor: Factor) -> Factor:
    """Its conditions meet all others, and have no case of their own: a check of many calls."""
    return replace(factor, conditions=tuple(replace(c, alone=False) for c in factor.conditions))


LAYOUT, BATCH = met_only(LAYOUT), met_only(BATCH)
