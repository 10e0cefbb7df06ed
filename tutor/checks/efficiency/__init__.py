"""Chapter 13's exercises: what must hold, and the wrong answers that people give."""

from tutor.checks.efficiency.dequantize import DEQUANTIZE
from tutor.checks.efficiency.dequantize_blocks import DEQUANTIZE_BLOCKS
from tutor.checks.efficiency.pack_int4 import PACK_INT4
from tutor.checks.efficiency.quantize_absmax import QUANTIZE_ABSMAX
from tutor.checks.efficiency.quantize_groups import QUANTIZE_GROUPS
from tutor.checks.efficiency.shared import CHAPTER

__all__ = ["CHAPTER", "EXERCISES"]

EXERCISES = (
    QUANTIZE_ABSMAX,
    QUANTIZE_GROUPS,
    DEQUANTIZE,
    PACK_INT4,
    DEQUANTIZE_BLOCKS,
)
