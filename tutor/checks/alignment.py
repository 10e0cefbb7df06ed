"""Chapter 2's exercises: what must hold, and the wrong answers that people give."""

from tutor.checks.exercise import Exercise

CHAPTER = "02_alignment"

EXERCISES: tuple[Exercise, ...] = ()
