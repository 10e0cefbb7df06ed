"""Chapter 5's exercises: what must hold, and the wrong answers that people give."""

from tutor.checks.position.alibi_bias import ALIBI_BIAS
from tutor.checks.position.alibi_slopes import ALIBI_SLOPES
from tutor.checks.position.apply_rope import APPLY_ROPE
from tutor.checks.position.convert_rope_layout import CONVERT_ROPE_LAYOUT
from tutor.checks.position.relative_buckets import RELATIVE_BUCKETS
from tutor.checks.position.shared import CHAPTER
from tutor.checks.position.sinusoidal_encoding import SINUSOIDAL_ENCODING

__all__ = ["CHAPTER", "EXERCISES"]

EXERCISES = (
    SINUSOIDAL_ENCODING,
    APPLY_ROPE,
    CONVERT_ROPE_LAYOUT,
    RELATIVE_BUCKETS,
    ALIBI_SLOPES,
    ALIBI_BIAS,
)
