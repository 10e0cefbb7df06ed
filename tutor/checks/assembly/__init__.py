"""Chapter 14's exercises: what must hold, and the wrong answers that people give."""

from tutor.checks.assembly.chat_prompt import CHAT_PROMPT
from tutor.checks.assembly.decoder_block import DECODER_BLOCK
from tutor.checks.assembly.language_model import LANGUAGE_MODEL
from tutor.checks.assembly.load_checkpoint import LOAD_CHECKPOINT
from tutor.checks.assembly.shared import CHAPTER
from tutor.checks.assembly.stream import STREAM

__all__ = ["CHAPTER", "EXERCISES"]

EXERCISES = (DECODER_BLOCK, LANGUAGE_MODEL, LOAD_CHECKPOINT, CHAT_PROMPT, STREAM)
