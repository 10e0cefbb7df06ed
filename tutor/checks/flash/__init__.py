"""Chapter 11's exercises: what must hold, and the wrong answers that people give."""

from tutor.checks.flash.attention_io_bytes import ATTENTION_IO_BYTES
from tutor.checks.flash.flash_backward import FLASH_BACKWARD
from tutor.checks.flash.flash_forward import FLASH_FORWARD
from tutor.checks.flash.flash_kernel import FLASH_KERNEL
from tutor.checks.flash.online_softmax import ONLINE_SOFTMAX
from tutor.checks.flash.shared import CHAPTER
from tutor.checks.flash.visible_tiles import VISIBLE_TILES

__all__ = ["CHAPTER", "EXERCISES"]

EXERCISES = (
    ATTENTION_IO_BYTES,
    ONLINE_SOFTMAX,
    VISIBLE_TILES,
    FLASH_FORWARD,
    FLASH_BACKWARD,
    FLASH_KERNEL,
)
