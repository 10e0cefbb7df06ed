"""Hostile, broken and honest submissions, each with the verdict that it must get.

The modules by kind register them; ``course`` makes a class of them and what must stay untouched
around it; ``runners`` has the class graded. ``python -m tests.attacks --passes 20`` does so again
and again and compares the verdicts.
"""

from tests.attacks import (  # noqa: F401  (each registers its submissions)
    broken,
    cost,
    exhaustion,
    files,
    forging,
    honest,
    reading,
)
from tests.attacks.corpus import SUBMISSIONS, Submission

__all__ = ["SUBMISSIONS", "Submission"]
