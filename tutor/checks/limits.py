"""Limits on the work of a call that refuse what is needless and nothing that is right."""

import math
import sys

UNLIMITED = sys.maxsize
"""Of what an exercise does not ask about."""


def between(right: int, wrong: int) -> int:
    """Half way, in logarithms, between what the dearest right form does and what the cheapest
    wrong one does: answers of both kinds that nobody has thought of have the same room."""
    return math.isqrt(right * wrong)
