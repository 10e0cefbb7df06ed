"""Chapter 5's exercises: what must hold, and the wrong answers that people give."""

from tutor.checks.exercise import Exercise

CHAPTER = "05_position"

EXERCISES: tuple[Exercise, ...] = ()
