"""Chapter 13's exercises: what must hold, and the wrong answers that people give."""

from tutor.checks.efficiency.dequantize import DEQUANTIZE
from tutor.checks.efficiency.dequantize_blocks import DEQUANTIZE_BLOCKS
from tutor.checks.efficiency.load_balance_loss import LOAD_BALANCE_LOSS
from tutor.checks.efficiency.MixtureOfExperts import MIXTURE_OF_EXPERTS
from tutor.checks.efficiency.model_bytes import MODEL_BYTES
from tutor.checks.efficiency.pack_int4 import PACK_INT4
from tutor.checks.efficiency.quantize_absmax import QUANTIZE_ABSMAX
from tutor.checks.efficiency.quantize_groups import QUANTIZE_GROUPS
from tutor.checks.efficiency.shared import CHAPTER
from tutor.checks.efficiency.top_k_route import TOP_K_ROUTE

__all__ = ["CHAPTER", "EXERCISES"]

EXERCISES = (
    QUANTIZE_ABSMAX,
    QUANTIZE_GROUPS,
    DEQUANTIZE,
    PACK_INT4,
    DEQUANTIZE_BLOCKS,
    MODEL_BYTES,
    TOP_K_ROUTE,
    LOAD_BALANCE_LOSS,
    MIXTURE_OF_EXPERTS,
)
