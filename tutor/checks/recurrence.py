"""Chapter 1's exercises: what must hold, and the wrong answers that people give."""

from tutor.checks.exercise import Exercise

CHAPTER = "01_recurrence"

EXERCISES: tuple[Exercise, ...] = ()
