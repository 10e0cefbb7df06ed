"""Chapter 4's exercises: what must hold, and the wrong answers that people give."""

from tutor.checks.exercise import Exercise

CHAPTER = "04_multihead"

EXERCISES: tuple[Exercise, ...] = ()
