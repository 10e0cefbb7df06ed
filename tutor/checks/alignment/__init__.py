"""Chapter 2's exercises: what must hold, and the wrong answers that people give."""

from tutor.checks.alignment.additive_scores import ADDITIVE_SCORES
from tutor.checks.alignment.attend import ATTEND
from tutor.checks.alignment.general_scores import GENERAL_SCORES
from tutor.checks.alignment.masked_softmax import MASKED_SOFTMAX
from tutor.checks.alignment.shared import CHAPTER

__all__ = ["CHAPTER", "EXERCISES"]

EXERCISES = (
    ADDITIVE_SCORES,
    MASKED_SOFTMAX,
    ATTEND,
    GENERAL_SCORES,
)
