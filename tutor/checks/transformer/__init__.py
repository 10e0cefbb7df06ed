"""Chapter 7's exercises: what must hold, and the wrong answers that people give."""

from tutor.checks.transformer.layer_norm import LAYER_NORM
from tutor.checks.transformer.shared import CHAPTER

__all__ = ["CHAPTER", "EXERCISES"]

EXERCISES = (LAYER_NORM,)
