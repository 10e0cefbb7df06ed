"""A candidate before an exercise, and what was seen of it until the verdicts are made."""

import zlib
from dataclasses import dataclass, field

import torch
from torch import Tensor

from tutor.checks.candidate import Candidate
from tutor.checks.compare import TOLERANCE, Problem, tolerance_of
from tutor.checks.exercise import Case, Exercise, Property
from tutor.checks.trace import Trace


@dataclass
class Observation:
    """A case and what is wrong with its answers, kept to be compared with the traps'."""

    case: Case
    cotangents: tuple[tuple[Tensor | None, ...], ...] | None
    tolerance: float
    got: Trace
    problem: Problem
    right: bool = False
    """Of a case for gradients: its values are right."""
    told: bool = True
    """Whether it is the answers that tell of the problem, and not what became of earlier ones."""
    expected: Trace | None = None
    """What it was compared with, where that may be asked again."""


@dataclass
class Broken:
    """A property that does not hold."""

    label: str
    sentence: str
    property: Property | None = None
    """None for what the judge tests of every exercise."""
    numbers: Tensor | None = None
    """State of the generator with which it was tested."""


@dataclass
class Group:
    observations: list[Observation] = field(default_factory=list)
    broken: list[Broken] = field(default_factory=list)
    properties: int = 0
    dtypes: set[torch.dtype] = field(default_factory=set)
    far_off: int = 0
    """Wrong gradients of answers that are wrong by more than any rounding."""

    @property
    def failing(self) -> list[Observation]:
        return [o for o in self.observations if o.problem]

    @property
    def size(self) -> int:
        return len(self.observations) + self.properties


@dataclass
class Trial:
    """Who is asked, with which numbers, and what was seen so far."""

    exercise: Exercise
    candidate: Candidate
    seed: int
    device: torch.device
    groups: dict[str, Group] = field(init=False)
    no_autograd: bool = False
    """The exercise forbids it: calls that are asked for no gradient tell of it."""
    single: bool = False
    """Its answers in double precision are right to single precision: no more is asked of others."""

    def __post_init__(self):
        self.groups = {name: Group() for name in self.exercise.points}

    def tolerance(self, case: Case, expected: Trace) -> float:
        found = tolerance_of(case, expected)
        return max(found, TOLERANCE[torch.float32]) if self.single else found

    def generator(self, purpose: str) -> torch.Generator:
        """A fresh one; other purposes draw other numbers."""
        seed = self.seed ^ zlib.crc32((self.exercise.name + purpose).encode())
        return torch.Generator().manual_seed(seed)
