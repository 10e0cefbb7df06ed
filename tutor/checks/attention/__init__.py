"""Chapter 3's exercises: what must hold, and the wrong answers that people give."""

from tutor.checks.attention.attention_backward import ATTENTION_BACKWARD
from tutor.checks.attention.attention_scores import ATTENTION_SCORES
from tutor.checks.attention.causal_mask import CAUSAL_MASK
from tutor.checks.attention.padding_mask import PADDING_MASK
from tutor.checks.attention.scaled_dot_product_attention import SCALED_DOT_PRODUCT_ATTENTION
from tutor.checks.attention.self_attention import SELF_ATTENTION
from tutor.checks.attention.shared import CHAPTER
from tutor.checks.attention.stable_softmax import STABLE_SOFTMAX

__all__ = ["CHAPTER", "EXERCISES"]

EXERCISES = (
    STABLE_SOFTMAX,
    ATTENTION_SCORES,
    CAUSAL_MASK,
    PADDING_MASK,
    SCALED_DOT_PRODUCT_ATTENTION,
    SELF_ATTENTION,
    ATTENTION_BACKWARD,
)
