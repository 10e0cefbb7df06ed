"""The mutants of ``RunningSoftmax``: what the runner of the mutants has to know."""

import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from tests.course_with_state import CHAPTER, EXERCISES, exercise, reference
from tests.mutants.run import Chapter
from tutor.checks.exercise import Exercise

HELPERS: dict[str, tuple[str, ...]] = {}
LIBRARY: dict[str, tuple[str, ...]] = {}


@dataclass(frozen=True)
class StateChapter(Chapter):
    """A chapter that is no part of the course."""

    @property
    def exercises(self) -> dict[str, Exercise]:
        return EXERCISES

    @property
    def reference(self) -> ModuleType:
        return reference

    @property
    def checks(self) -> ModuleType:
        return exercise

    @property
    def particulars(self) -> ModuleType:
        return sys.modules[__name__]

    @property
    def tests(self) -> Path:
        return Path(__file__).parent / "test_reference.py"

    @property
    def equivalents(self) -> Path:
        return Path(__file__).with_name("equivalents.toml")


STATE = StateChapter(CHAPTER)
