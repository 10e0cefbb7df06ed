"""What a candidate was asked and what it answered, kept until the verdicts are made."""

import inspect
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import torch
from torch import Tensor

from tutor.checks.candidate import Candidate, Response, plain
from tutor.checks.exercise import Exercise


@dataclass
class Observation:
    """One call and what is wrong with its answer, kept to be compared with the traps'."""

    label: str
    args: tuple[Any, ...]
    cotangents: tuple[Tensor, ...] | None
    tolerance: float
    got: Response
    problem: list[str]
    """Sentences for the report; empty if all is well."""
    raises: bool = False
    """An exception was asked for."""
    right: bool = False
    """Of a call for gradients: its values are right."""


@dataclass
class Group:
    observations: list[Observation] = field(default_factory=list)
    broken: list[tuple[str, str]] = field(default_factory=list)
    """Label and sentence of each property that does not hold."""
    properties: int = 0
    dtypes: set[torch.dtype] = field(default_factory=set)

    @property
    def failing(self) -> list[Observation]:
        return [o for o in self.observations if o.problem]

    @property
    def size(self) -> int:
        return len(self.observations) + self.properties


@dataclass
class Trial:
    """A candidate before an exercise: who is asked, with which numbers, and what was seen."""

    exercise: Exercise
    candidate: Candidate
    seed: int
    device: torch.device
    groups: dict[str, Group] = field(init=False)

    def __post_init__(self):
        self.groups = {name: Group() for name in self.exercise.points}

    def generator(self, purpose: str) -> torch.Generator:
        """A fresh one; other purposes draw other numbers."""
        seed = self.seed ^ zlib.crc32((self.exercise.name + purpose).encode())
        return torch.Generator().manual_seed(seed)

    @property
    def argument_names(self) -> tuple[str, ...]:
        return argument_names(self.exercise.reference)


def copied(args: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(same_layout(a.detach()) if isinstance(a, Tensor) else a for a in args)


def same_layout(x: Tensor) -> Tensor:
    """A copy that lies in memory as ``x`` does, also where it is a part of another tensor."""
    if torch.ops.aten.is_non_overlapping_and_dense(x):
        return x.clone()
    copy = torch.empty(0, dtype=x.dtype, device=x.device)
    return copy.set_(x.untyped_storage().clone(), x.storage_offset(), x.shape, x.stride())


def upcast(args: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(a.double() if floats(a) else a for a in args)


def floats(arg: Any) -> bool:
    return isinstance(arg, Tensor) and arg.is_floating_point()


def dtype_of(args: tuple[Any, ...]) -> torch.dtype | None:
    return next((a.dtype for a in args if floats(a)), None)


def expected_of(exercise: Exercise, args: tuple[Any, ...]) -> Any:
    return plain(exercise.reference(*args))


def as_tuple(outputs: Any) -> tuple[Any, ...]:
    return outputs if isinstance(outputs, tuple) else (outputs,)


@cache
def argument_names(function: Callable[..., Any]) -> tuple[str, ...]:
    return tuple(inspect.signature(function).parameters)


def shapes(names: tuple[str, ...], args: tuple[Any, ...]) -> str:
    def one(name, arg):
        if isinstance(arg, Tensor):
            dtype = "" if arg.dtype in (torch.float64, torch.bool) else f" {arg.dtype}"[6:]
            return f"{name} {tuple(arg.shape)}" + (f" {dtype.strip('.')}" if dtype else "")
        return f"{name}={arg}"

    return "   ".join(one(n, a) for n, a in zip(names, args, strict=False) if a is not None)
