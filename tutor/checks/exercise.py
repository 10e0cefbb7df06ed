"""What an exercise demands: data and small functions, nothing about how they are run."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from tutor.checks.limits import UNLIMITED
from tutor.checks.sequences import flat, in_parts

GROUPS = {
    "values": "values",
    "edges": "masks and edge cases",
    "gradients": "gradients",
    "types": "dtype, device, inputs",
    "contracts": "contracts",
}
"""Groups worth points on their own, in the order in which a report lists them."""


@dataclass(frozen=True)
class Call:
    """One call of a method, with arguments in the order of its signature."""

    method: str
    args: tuple[Any, ...] = ()


@dataclass(frozen=True)
class Case:
    """One call of the function, or the construction of an object and a sequence of its calls.

    Answers are compared call by call, and after each call the state that the exercise names.
    """

    label: str
    args: tuple[Any, ...]
    """Of the function, or of the class, in the order of its signature."""
    group: str = "values"
    raises: type[Exception] | None = None
    """The last call (the construction, if there is no other) must raise this and not answer."""
    finite_only: bool = False
    """Rounding makes the value arbitrary; it must be finite all the same."""
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    """Of a class."""
    state_dict: Mapping[str, Tensor] | None = None
    """Of a class: what ``load_state_dict`` is given before the first call."""
    calls: tuple[Call, ...] = ()
    """Of an object, one after the other."""

    def values(self) -> Iterator[Any]:
        """All arguments, in the order in which they are passed; of a list of tensors, these."""
        yield from flat(self.args)
        yield from flat(self.kwargs.values())
        yield from (self.state_dict or {}).values()
        for call in self.calls:
            yield from flat(call.args)

    def mapped(self, change: Callable[[Any], Any]) -> "Case":
        """With every argument changed, and each of the tensors in a list of them."""

        def each(value: Any) -> Any:
            return in_parts(value, change)

        if not (self.calls or self.kwargs or self.state_dict):
            return replace(self, args=tuple(map(each, self.args)))
        return replace(
            self,
            args=tuple(map(each, self.args)),
            kwargs={name: each(value) for name, value in self.kwargs.items()},
            state_dict=self.state_dict and {name: change(t) for name, t in self.state_dict.items()},
            calls=tuple(Call(c.method, tuple(map(each, c.args))) for c in self.calls),
        )


@dataclass(frozen=True)
class Property:
    """Something that holds between several answers, whatever the values.

    ``test(call, generator, device)`` uses ``call(*args)``, the candidate, and returns None or one
    sentence that says what does not hold. Of a class, ``call`` is a ``Make`` of
    ``tutor.checks.properties``: it makes an object, whose methods the test then calls.
    """

    label: str
    test: Callable[[Callable[..., Any], torch.Generator, torch.device], str | None]
    group: str = "edges"


@dataclass(frozen=True)
class Contract:
    """Limits on the work of one call that are the same on every machine."""

    calls: tuple[tuple[Any, ...] | Case, ...]
    """Arguments of each call that is counted; each must keep within the limits. Of a class, a
    ``Case`` in the place of each, whose last call of ``method`` is the one that must."""
    max_flops: int = UNLIMITED
    """Of matrix products, as ``torch.utils.flop_counter`` counts them: 2 for a multiply-add."""
    max_written: int = UNLIMITED
    """Elements that all operations write together."""
    max_intermediate: int = UNLIMITED
    """Elements of the largest tensor that an operation writes."""
    forbidden: Mapping[str, str] = field(default_factory=dict)
    """A part of an operation's name -> what the report says if such an operation is called."""
    waits: bool = False
    """Whether numbers decide when the work ends: then a shape may hang on them, too."""
    method: str = ""
    max_growth: float = UNLIMITED
    """Steps of Python of the last of ``calls``, over those of the first. For work that no tensor
    shows: then nothing else is counted."""
    growth: str = ""
    """What a call does that grows faster, in a sentence of the report."""


def counted_cases(contract: Contract) -> list[Case]:
    return [c if isinstance(c, Case) else Case("counted", c) for c in contract.calls]


@dataclass(frozen=True)
class Trap:
    """A wrong implementation that people write, a function or a class as the exercise is, and the
    misconception behind it."""

    name: str
    function: Callable[..., Any]
    misconception: str
    section: str
    """Heading in the chapter that treats it; the report links there."""
    variants: tuple[Callable[..., Any], ...] = ()
    """The same misconception, written in other ways that give other answers."""
    precision: bool = False
    """That something is computed in single precision, in whatever way: it explains all that is
    right in double throughout."""
    overwrites: str = ""
    """The argument that is changed, in whatever way: it explains that this has other numbers after
    the call."""

    @property
    def functions(self) -> tuple[Callable[..., Any], ...]:
        return (self.function, *self.variants)


@dataclass(frozen=True)
class Exercise:
    """One graded function or class. Its name is unique in the course, and the ``grade_id`` of its
    cell."""

    reference: Callable[..., Any]
    """The function, or the class itself: then a case is a construction and a sequence of calls."""
    chapter: str
    """The chapter's page, such as ``03_attention``."""
    points: Mapping[str, int]
    """Points by group; groups that mean nothing for the function are left out."""
    cases: Callable[[torch.Generator, torch.device], Iterable[Case]]
    contract: Callable[[torch.Generator, torch.device], Contract]
    traps: tuple[Trap, ...]
    properties: tuple[Property, ...] = ()
    outputs: tuple[str, ...] | Mapping[str, tuple[str, ...]] = ("out",)
    """What a report calls the tensors that are returned; of a class, by method where it is not
    ``out``. Where the reference returns None, nothing is compared."""
    state: tuple[str, ...] = ()
    """Of a class: attributes that its text names, compared after the construction and after every
    call. With dots they are the entries of a ``state_dict``: ``attention.w_q.weight``."""

    @property
    def name(self) -> str:
        return self.reference.__qualname__

    @property
    def total(self) -> int:
        return sum(self.points.values())

    @property
    def is_class(self) -> bool:
        return isinstance(self.reference, type)
