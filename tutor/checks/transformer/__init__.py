"""Chapter 7's exercises: what must hold, and the wrong answers that people give."""

from tutor.checks.transformer.beam_search import BEAM_SEARCH
from tutor.checks.transformer.greedy_decode import GREEDY_DECODE
from tutor.checks.transformer.label_smoothing_loss import LABEL_SMOOTHING_LOSS
from tutor.checks.transformer.shared import CHAPTER
from tutor.checks.transformer.warmup_rate import WARMUP_RATE

__all__ = ["CHAPTER", "EXERCISES"]

EXERCISES = (LABEL_SMOOTHING_LOSS, WARMUP_RATE, GREEDY_DECODE, BEAM_SEARCH)
