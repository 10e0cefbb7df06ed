"""What the exercises of chapter 10 share."""

from dataclasses import replace

from tutor.checks.conditions import Condition, Factor, Row
from tutor.checks.draw import Draw

CHAPTER = "10_grouped_query"

# All sizes differ, so that a swapped axis cannot pass.
B, TQ, TK, D, DV, C = 2, 3, 5, 7, 11, 13

WHICH = "Which head reads which?"
PRODUCT = "One product for a group"
SAME = "What has not changed"
POOLING = "Fewer heads for a trained model"
PLANNER = "How many users?"
"""Sections of the chapter that the traps name."""

BATCH = Factor(
    "batch",
    (
        Condition("one", value=(B,)),
        Condition("none", "no batch dimension", (), alone=True),
        Condition("two", "two batch dimensions", (B, 3), alone=True),
        Condition("three", "batch dimensions 2, 1 and 4", (B, 1, 4)),
    ),
)

HEADS = Factor(
    "heads",
    (
        # Not as many heads in a group as there are groups.
        Condition("six on two", value=(6, 2)),
        Condition("nine on three", "9 query heads on 3 key heads", (9, 3), alone=True),
        Condition("on one", "one key head for all", (4, 1), alone=True),
        Condition("each its own", "a key head for each query head", (3, 3), alone=True),
        Condition("one head", "one head", (1, 1), edge=True),
    ),
)
"""H and G."""


def with_heads(row: Row, heads: int) -> Row:
    """Its batch with so many heads behind it: what ``crossings`` makes of one, it makes of both."""
    batch = row.conditions["batch"]
    return Row({**row.conditions, "batch": replace(batch, value=(*batch.value, heads))})


class GroupedDraw(Draw):
    """With queries of H heads, and keys and values of G."""

    def qkv(self, *batch, h=6, g=2, tq=TQ, tk=TK, d=D, dv=DV):
        queries = self.normal(*batch, h, tq, d)
        return queries, self.normal(*batch, g, tk, d), self.normal(*batch, g, tk, dv)
