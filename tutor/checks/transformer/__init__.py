"""Chapter 7's exercises: what must hold, and the wrong answers that people give."""

from tutor.checks.transformer.beam_search import BEAM_SEARCH
from tutor.checks.transformer.decoder_layer import DECODER_LAYER
from tutor.checks.transformer.encoder_layer import ENCODER_LAYER
from tutor.checks.transformer.feed_forward import FEED_FORWARD
from tutor.checks.transformer.greedy_decode import GREEDY_DECODE
from tutor.checks.transformer.label_smoothing_loss import LABEL_SMOOTHING_LOSS
from tutor.checks.transformer.layer_norm import LAYER_NORM
from tutor.checks.transformer.shared import CHAPTER
from tutor.checks.transformer.warmup_rate import WARMUP_RATE

__all__ = ["CHAPTER", "EXERCISES"]

EXERCISES = (
    LAYER_NORM,
    FEED_FORWARD,
    ENCODER_LAYER,
    DECODER_LAYER,
    LABEL_SMOOTHING_LOSS,
    WARMUP_RATE,
    GREEDY_DECODE,
    BEAM_SEARCH,
)
