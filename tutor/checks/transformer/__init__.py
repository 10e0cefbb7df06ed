"""Chapter 7's exercises: what must hold, and the wrong answers that people give."""

from tutor.checks.transformer.decoder_layer import DECODER_LAYER
from tutor.checks.transformer.encoder_layer import ENCODER_LAYER
from tutor.checks.transformer.feed_forward import FEED_FORWARD
from tutor.checks.transformer.layer_norm import LAYER_NORM
from tutor.checks.transformer.shared import CHAPTER

__all__ = ["CHAPTER", "EXERCISES"]

EXERCISES = (
    LAYER_NORM,
    FEED_FORWARD,
    ENCODER_LAYER,
    DECODER_LAYER,
)
