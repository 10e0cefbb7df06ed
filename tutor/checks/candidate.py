"""The seam between the judge and whatever runs the student's code.

The judge speaks to a candidate through one method, ``run``: arguments in, a ``Response`` out.
``LocalCandidate`` calls a function in this process; ``tutor.grading`` puts a boundary there.
"""

import linecache
import sysconfig
import traceback
import types
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from tutor.checks.cost import Cost, counted

_NOT_THE_STUDENT = (
    str(Path(__file__).resolve().parents[1]),
    sysconfig.get_paths()["purelib"],
    sysconfig.get_paths()["stdlib"],
)


# Of these every operation that the judge needs is there.
_NUMBERS = {torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64}
_NUMBERS |= {torch.float16, torch.bfloat16, torch.float32, torch.float64}
_NUMBERS |= {torch.complex64, torch.complex128}


LONGEST_MESSAGE = 120
"""Characters of an exception that the grader is told: it may quote the inputs, which are nobody's
business."""

NUMBERS = {bool: torch.bool, int: torch.int64, float: torch.float64}
"""Python's own, and what they are as a tensor."""


@dataclass(frozen=True)
class Crash:
    """An exception in the candidate, at the innermost line that the student wrote."""

    kind: str
    message: str
    function: str = ""
    line: str = ""
    number: int = 0
    mro: tuple[str, ...] = ()
    """Names of the exception's classes, so that a subclass counts as what it is."""


@dataclass(frozen=True)
class Unreadable:
    """An answer that is no tensor of numbers: what it is, in words, and nothing of its own code."""

    description: str


@dataclass(frozen=True)
class Response:
    """What one call gave."""

    outputs: Any = None
    """A plain dense tensor or ``Unreadable``, or a tuple of these."""
    gradients: tuple[Tensor | None, ...] | None = None
    """One per floating-point tensor among the arguments; None where none arrived."""
    args_after: tuple[Any, ...] = ()
    crash: Crash | None = None
    cost: Cost | None = None


class Candidate(Protocol):
    """A function, a class of modules or an object of one, wherever it lives."""

    def run(
        self,
        args: tuple[Any, ...],
        cotangents: tuple[Tensor, ...] | None = None,
        count: bool = False,
        forbid_autograd: bool = False,
    ) -> Response:
        """Call with ``args``; with ``cotangents``, also their vector-Jacobian products."""
        ...

    def reread(self, response: Response) -> Any:
        """The outputs of the call before the last, ``response``, as they are now."""
        ...

    def make(
        self,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any] | None = None,
        state: Mapping[str, Tensor] | None = None,
    ) -> "Candidate | Crash":
        """An object of a class, with its ``state_dict`` loaded."""
        ...

    def method(self, name: str) -> "Candidate":
        """A method of an object."""
        ...


class LocalCandidate:
    """A function, called in this process."""

    def __init__(self, function: Callable[..., Any]):
        self.function = function

    def run(
        self,
        args: tuple[Any, ...],
        cotangents: tuple[Tensor, ...] | None = None,
        count: bool = False,
        forbid_autograd: bool = False,
    ) -> Response:
        tensors = [a for a in tree_leaves(args) if isinstance(a, Tensor)]
        gradients = cost = None
        leaves = []
        if cotangents is not None:
            args = tuple(_leaf(a) for a in args)
            leaves = [a for a in args if isinstance(a, Tensor) and a.requires_grad]
        counting = counted(tensors, forbid_autograd) if count else nullcontext((None, None))
        try:
            with settings_kept(), counting as (cost, returned):
                outputs = self.function(*args)
                if returned is not None:
                    returned(outputs)
            outputs = plain(outputs)
            if cotangents is not None:
                gradients = _vjp(outputs, leaves, cotangents)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            return Response(args_after=_after(args), crash=crash(error), cost=cost)
        return Response(outputs, gradients, _after(args), None, cost)

    def reread(self, response: Response) -> Any:
        return response.outputs

    def make(
        self,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any] | None = None,
        state: Mapping[str, Tensor] | None = None,
    ) -> "LocalCandidate | Crash":
        try:
            with settings_kept():
                made = self.function(*args, **(kwargs or {}))
                if state is not None:
                    made.load_state_dict(dict(state))
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            return crash(error)
        return LocalCandidate(made)

    def method(self, name: str) -> "LocalCandidate":
        # Looked up when it is called: a missing one is the candidate's crash.
        return LocalCandidate(lambda *args: getattr(self.function, name)(*args))


@contextmanager
def settings_kept():
    """What a candidate sets for all of torch lasts no longer than its call."""
    graph, dtype, device = (
        torch.is_grad_enabled(),
        torch.get_default_dtype(),
        torch.get_default_device(),
    )
    try:
        yield
    finally:
        torch.set_grad_enabled(graph)
        torch.set_default_dtype(dtype)
        if torch.get_default_device() != device:
            torch.set_default_device(None if device.type == "cpu" else device)


def plain(outputs: Any) -> Any:
    """``outputs`` without any code of the candidate's: the judge reads them outside its guard."""
    if isinstance(outputs, (tuple, list)):
        return tuple(plain_tensor(x) for x in outputs)
    return plain_tensor(outputs)


def plain_tensor(x: Any) -> Tensor | Unreadable:
    """A Python number is a tensor without dimensions."""
    if x is None:
        return Unreadable("None (a missing return?)")
    if type(x) in NUMBERS:
        if type(x) is int and not -(2**63) <= x < 2**63:
            return Unreadable("an integer of more than 64 bits")
        return torch.tensor(x, dtype=NUMBERS[type(x)])
    if type(x) not in (Tensor, torch.nn.Parameter):
        return Unreadable(f"a {type(x).__name__}")
    if x.layout != torch.strided or x.is_quantized or x.is_nested:
        kind = "nested" if x.is_nested else "quantized" if x.is_quantized else "sparse"
        return Unreadable(f"a {kind} tensor")
    if x.dtype not in _NUMBERS:
        return Unreadable(f"a tensor of {x.dtype}")
    return x


def _after(args: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(plain_tensor(a) if isinstance(a, Tensor) else a for a in args)


def _leaf(arg: Any) -> Any:
    if isinstance(arg, Tensor) and arg.is_floating_point():
        return arg.detach().requires_grad_()
    return arg


def _vjp(
    outputs: Any, leaves: list[Tensor], cotangents: tuple[Tensor, ...]
) -> tuple[Tensor | None, ...]:
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    pairs = [
        (out, c)
        for out, c in zip(outputs, cotangents, strict=False)
        if isinstance(out, Tensor) and out.requires_grad and out.shape == c.shape
    ]
    if not pairs:
        return tuple(None for _ in leaves)
    outs, cots = zip(*((out, c.to(out.dtype)) for out, c in pairs), strict=True)
    return torch.autograd.grad(outs, leaves, cots, allow_unused=True)


def crash(error: BaseException) -> Crash:
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if not f.filename.startswith(_NOT_THE_STUDENT)]
    frame = own[-1] if own else None
    line = linecache.getline(frame.filename, frame.lineno).strip() if frame else ""
    try:
        message = str(error).strip()
    except Exception:  # an exception of the candidate's own
        message = ""
    return Crash(
        kind=type(error).__name__,
        message=message,
        function=frame.name if frame else "",
        line=line,
        number=frame.lineno if frame else 0,
        mro=tuple(c.__name__ for c in type(error).__mro__),
    )


def settled(response: Response, largest: int) -> Response:
    """The response without tensors of more than ``largest`` bytes: what a view pretends to be
    cannot be sent."""

    def one(x: Any) -> Any:
        if isinstance(x, tuple):
            return tuple(map(one, x))
        if isinstance(x, Tensor) and x.numel() * x.element_size() > largest:
            return Unreadable(f"a tensor of shape {tuple(x.shape)}: {x.numel():,} elements")
        return x

    gradients = response.gradients
    if gradients is not None:
        gradients = tuple(g if isinstance(one(g), Tensor) else None for g in gradients)
    return replace(
        response,
        outputs=one(response.outputs),
        gradients=gradients,
        args_after=one(response.args_after),
    )


def called_by(function: Any, seen: set[str]) -> dict[str, types.FunctionType]:
    """Functions that it calls by a global name, and those that they call in turn."""
    found: dict[str, types.FunctionType] = {}
    if not isinstance(function, types.FunctionType):
        return found
    for name in names(function.__code__):
        called = function.__globals__.get(name)
        if isinstance(called, types.FunctionType) and name not in seen:
            seen.add(name)
            found[name] = called
            if called.__globals__ is function.__globals__:
                found |= called_by(called, seen)
    return found


def names(code: types.CodeType) -> Iterator[str]:
    """Every name that the code, and code inside of it, looks up."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from names(constant)
