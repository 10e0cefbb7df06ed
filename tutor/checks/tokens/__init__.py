"""Chapter 6's exercises: what must hold, and the wrong answers that people give."""

from tutor.checks.tokens.adaptive_log_prob import ADAPTIVE_LOG_PROB
from tutor.checks.tokens.bpe_decode import BPE_DECODE
from tutor.checks.tokens.bpe_encode import BPE_ENCODE
from tutor.checks.tokens.shared import CHAPTER
from tutor.checks.tokens.tied_logits import TIED_LOGITS
from tutor.checks.tokens.train_bpe import TRAIN_BPE
from tutor.checks.tokens.unigram_segment import UNIGRAM_SEGMENT

__all__ = ["CHAPTER", "EXERCISES"]

EXERCISES = (
    TRAIN_BPE,
    BPE_ENCODE,
    BPE_DECODE,
    UNIGRAM_SEGMENT,
    TIED_LOGITS,
    ADAPTIVE_LOG_PROB,
)
