"""Chapter 12's exercises: what must hold, and the wrong answers that people give."""

from tutor.checks.long_context.global_random_mask import GLOBAL_RANDOM_MASK
from tutor.checks.long_context.layers_to_reach import LAYERS_TO_REACH
from tutor.checks.long_context.linear_attention import LINEAR_ATTENTION
from tutor.checks.long_context.linear_attention_step import LINEAR_ATTENTION_STEP
from tutor.checks.long_context.RingAttention import RING_ATTENTION
from tutor.checks.long_context.scale_rope import SCALE_ROPE
from tutor.checks.long_context.shared import CHAPTER
from tutor.checks.long_context.strided_mask import STRIDED_MASK
from tutor.checks.long_context.window_mask import WINDOW_MASK
from tutor.checks.long_context.windowed_attention import WINDOWED_ATTENTION

__all__ = ["CHAPTER", "EXERCISES"]

EXERCISES = (
    WINDOW_MASK,
    STRIDED_MASK,
    GLOBAL_RANDOM_MASK,
    LAYERS_TO_REACH,
    WINDOWED_ATTENTION,
    LINEAR_ATTENTION,
    LINEAR_ATTENTION_STEP,
    SCALE_ROPE,
    RING_ATTENTION,
)
