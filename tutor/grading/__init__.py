"""From the instructor's notebook to the gradebook: release, lab, grading, reports."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
"""The course's folder."""


class CannotGrade(RuntimeError):
    """Nobody can be graded, and why."""
