"""Chapter 14's exercises: what must hold, and the wrong answers that people give."""

from tutor.checks.assembly.decoder_block import DECODER_BLOCK
from tutor.checks.assembly.shared import CHAPTER

__all__ = ["CHAPTER", "EXERCISES"]

EXERCISES = (DECODER_BLOCK,)
