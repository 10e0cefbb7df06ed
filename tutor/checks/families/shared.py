"""What the exercises of chapter 8 share."""

CHAPTER = "08_families"

B, T, C, F, COUT = 2, 5, 7, 11, 6

RMS = "RMSNorm"
GATED = "Gated feed-forwards"
MASKED = "Masked words"
NEXT = "The next token"
SPANS = "Missing spans"
SAMPLING = "Sampling"
"""Sections of the chapter that the traps name."""
