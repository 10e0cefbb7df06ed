"""The seam between the judge and whatever runs the student's code.

The judge speaks to a candidate through one method, ``run``: arguments in, a ``Response`` out.
``LocalCandidate`` calls a function in this process; a grader may put a process boundary there.
"""

import linecache
import sysconfig
import traceback
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Crash:
    """An exception in the candidate, at the innermost line that the student wrote."""

    kind: str
    message: str
    line: str = ""
    number: int = 0
    mro: tuple[str, ...] = ()
    """Names of the exception's classes, so that a subclass counts as what it is."""


@dataclass(frozen=True)
class Response:
    """What one call gave."""

    outputs: Any = None
    gradients: tuple[Tensor | None, ...] | None = None
    """One per floating-point tensor among the arguments; None where none arrived."""
    args_after: tuple[Any, ...] = ()
    crash: Crash | None = None
    cost: Cost | None = None


class Candidate(Protocol):
    def run(
        self,
        args: tuple[Any, ...],
        cotangents: tuple[Tensor, ...] | None = None,
        count: bool = False,
        forbid_autograd: bool = False,
    ) -> Response:
        """Call with ``args``; with ``cotangents``, also their vector-Jacobian products."""
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
            with counting as (cost, returned):
                outputs = self.function(*args)
                if returned is not None:
                    returned(outputs)
            if cotangents is not None:
                gradients = _vjp(outputs, leaves, cotangents)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            return Response(args_after=args, crash=_crash(error), cost=cost)
        return Response(outputs, gradients, args, None, cost)


def _leaf(arg: Any) -> Any:
    if isinstance(arg, Tensor) and arg.is_floating_point():
        return arg.detach().requires_grad_()
    return arg


def _vjp(
    outputs: Any, leaves: list[Tensor], cotangents: tuple[Tensor, ...]
) -> tuple[Tensor | None, ...]:
    outputs = outputs if isinstance(outputs, (tuple, list)) else (outputs,)
    pairs = [
        (out, c)
        for out, c in zip(outputs, cotangents, strict=False)
        if isinstance(out, Tensor) and out.requires_grad and out.shape == c.shape
    ]
    if not pairs:
        return tuple(None for _ in leaves)
    outs, cots = zip(*((out, c.to(out.dtype)) for out, c in pairs), strict=True)
    return torch.autograd.grad(outs, leaves, cots, allow_unused=True)


def _crash(error: BaseException) -> Crash:
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if not f.filename.startswith(_NOT_THE_STUDENT)]
    frame = own[-1] if own else None
    line = linecache.getline(frame.filename, frame.lineno).strip() if frame else ""
    return Crash(
        kind=type(error).__name__,
        message=str(error).strip(),
        line=line,
        number=frame.lineno if frame else 0,
        mro=tuple(c.__name__ for c in type(error).__mro__),
    )
