"""Chapter 8's exercises: what must hold, and the wrong answers that people give."""

from tutor.checks.families.corrupt_spans import CORRUPT_SPANS
from tutor.checks.families.mask_tokens import MASK_TOKENS
from tutor.checks.families.rms_norm import RMS_NORM
from tutor.checks.families.sample import SAMPLE
from tutor.checks.families.shared import CHAPTER
from tutor.checks.families.shift_for_next_token import SHIFT_FOR_NEXT_TOKEN
from tutor.checks.families.swiglu import SWIGLU

__all__ = ["CHAPTER", "EXERCISES"]

EXERCISES = (
    RMS_NORM,
    SWIGLU,
    MASK_TOKENS,
    SHIFT_FOR_NEXT_TOKEN,
    CORRUPT_SPANS,
    SAMPLE,
)
