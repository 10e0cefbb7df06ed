"""Stands in for ``tutor.checks`` where students' code is graded: the judge is outside."""

from collections.abc import Callable
from typing import Any

PUBLIC_SEED = 20170612


def check(function: Callable[..., Any]) -> float:
    """Says nothing here: the cell that checks for points is asked from outside."""
    return 0.0
