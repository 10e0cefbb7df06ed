"""Chapter 4's exercises: what must hold, and the wrong answers that people give."""

from tutor.checks.multihead.cross_attention import CROSS_ATTENTION
from tutor.checks.multihead.head_ablation import HEAD_ABLATION
from tutor.checks.multihead.merge_heads import MERGE_HEADS
from tutor.checks.multihead.multi_head_attention import MULTI_HEAD_ATTENTION
from tutor.checks.multihead.shared import CHAPTER
from tutor.checks.multihead.split_heads import SPLIT_HEADS

__all__ = ["CHAPTER", "EXERCISES"]

EXERCISES = (
    SPLIT_HEADS,
    MERGE_HEADS,
    MULTI_HEAD_ATTENTION,
    CROSS_ATTENTION,
    HEAD_ABLATION,
)
