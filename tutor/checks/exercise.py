"""What an exercise demands: data and small functions, nothing about how they are run."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from tutor.checks.limits import UNLIMITED

GROUPS = {
    "values": "values",
    "edges": "masks and edge cases",
    "gradients": "gradients",
    "types": "dtype, device, inputs",
    "contracts": "contracts",
}
"""Groups worth points on their own, in the order in which a report lists them."""


@dataclass(frozen=True)
class Case:
    """One call of the function, with arguments in the order of its signature."""

    label: str
    args: tuple[Any, ...]
    group: str = "values"
    raises: type[Exception] | None = None
    """The call must raise this instead of answering."""
    finite_only: bool = False
    """Rounding makes the value arbitrary; it must be finite all the same."""


@dataclass(frozen=True)
class Property:
    """Something that holds between several answers, whatever the values.

    ``test(call, generator, device)`` uses ``call(*args)``, the candidate, and returns None or one
    sentence that says what does not hold.
    """

    label: str
    test: Callable[[Callable[..., Any], torch.Generator, torch.device], str | None]
    group: str = "edges"


@dataclass(frozen=True)
class Contract:
    """Limits on the work of one call that are the same on every machine."""

    calls: tuple[tuple[Any, ...], ...]
    """Arguments of each call that is counted; each must keep within the limits."""
    max_flops: int = UNLIMITED
    """Of matrix products, as ``torch.utils.flop_counter`` counts them: 2 for a multiply-add."""
    max_written: int = UNLIMITED
    """Elements that all operations write together."""
    max_intermediate: int = UNLIMITED
    """Elements of the largest tensor that an operation writes."""
    forbidden: Mapping[str, str] = field(default_factory=dict)
    """A part of an operation's name -> what the report says if such an operation is called."""


@dataclass(frozen=True)
class Trap:
    """A wrong implementation that people write, and the misconception behind it."""

    name: str
    function: Callable[..., Any]
    misconception: str
    section: str
    """Heading in the chapter that treats it; the report links there."""
    variants: tuple[Callable[..., Any], ...] = ()
    """The same misconception, written in other ways that give other answers."""

    @property
    def functions(self) -> tuple[Callable[..., Any], ...]:
        return (self.function, *self.variants)


@dataclass(frozen=True)
class Exercise:
    """One graded function. Its name is unique in the course and is the cell's ``grade_id``."""

    reference: Callable[..., Any]
    chapter: str
    """The chapter's page, such as ``03_attention``."""
    points: Mapping[str, int]
    """Points by group; groups that mean nothing for the function are left out."""
    cases: Callable[[torch.Generator, torch.device], Iterable[Case]]
    contract: Callable[[torch.Generator, torch.device], Contract]
    traps: tuple[Trap, ...]
    properties: tuple[Property, ...] = ()
    outputs: tuple[str, ...] = ("out",)
    """What a report calls the tensors that are returned."""

    @property
    def name(self) -> str:
        return self.reference.__qualname__

    @property
    def total(self) -> int:
        return sum(self.points.values())
