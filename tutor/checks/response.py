"""What comes back from a candidate: tensors, words and exceptions, and no code of its own."""

import linecache
import re
import sys
import sysconfig
import traceback
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tutor.checks.cost import Cost
from tutor.checks.sequences import Listed, listed
from tutor.checks.widened import Place

_THE_CALL = str(Path(__file__).resolve().with_name("candidate.py"))
_NOT_THE_STUDENT = (
    str(Path(__file__).resolve().parents[1]),
    sysconfig.get_paths()["purelib"],
    sysconfig.get_paths()["stdlib"],
)


# Of these every operation that the judge needs is there.
_NUMBERS = {torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64}
_NUMBERS |= {torch.float16, torch.bfloat16, torch.float32, torch.float64}
_NUMBERS |= {torch.complex64, torch.complex128}


LONGEST_MESSAGE = 160
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


NOTHING = Unreadable("None (a missing return?)")
CHANGED = Unreadable("something else than before the call")
"""A list or a mapping among the arguments, after a call that has changed it."""


@dataclass(frozen=True)
class Response:
    """What one call gave."""

    outputs: Any = None
    """A plain dense tensor, a ``Listed`` or ``Unreadable``, or a tuple of these."""
    state: tuple[Any, ...] = ()
    """Of an object's call: each named part of its state afterwards, or the ``Crash`` of reading it.
    """
    gradients: tuple[Tensor | None, ...] | None = None
    """One per floating-point tensor among the arguments; None where none arrived."""
    args_after: tuple[Any, ...] = ()
    crash: Crash | None = None
    cost: Cost | None = None
    narrowed: Place | None = None
    """Of a widened call: the line from which on the usual one computes in single precision."""


def plain(outputs: Any) -> Any:
    """``outputs`` without any code of the candidate's: the judge reads them outside its guard."""
    found = listed(outputs)
    if found is not None:
        return Unreadable(found) if isinstance(found, str) else found
    if isinstance(outputs, (tuple, list)):
        return tuple(plain_tensor(x) for x in outputs)
    return plain_tensor(outputs)


def plain_tensor(x: Any) -> Tensor | Unreadable:
    """A Python number is a tensor without dimensions."""
    if x is None:
        return NOTHING
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
    # A method can be set on one tensor alone: t.detach = ...
    return torch.ops.aten.alias.default(x) if x.__dict__ else x


def caller() -> Place | None:
    """The innermost line that the student wrote, of those that run."""
    frame = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename.startswith(_NOT_THE_STUDENT):
        # Beyond the call are the notebook's cell, or a test, that asked for the check.
        frame = None if frame.f_code.co_filename == _THE_CALL else frame.f_back
    if frame is None:
        return None
    code = frame.f_code
    # A comprehension in a function belongs to it.
    name = next((n for n in reversed(code.co_qualname.split(".")) if n[0] != "<"), code.co_name)
    line = linecache.getline(code.co_filename, frame.f_lineno).strip()
    return Place(name, line, frame.f_lineno)


def crash(error: BaseException) -> Crash:
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if not f.filename.startswith(_NOT_THE_STUDENT)]
    frame = own[-1] if own else None
    line = linecache.getline(frame.filename, frame.lineno).strip() if frame else ""
    place = Place(frame.name, line, frame.lineno) if frame else Place("", "", 0)
    # The cause of an error of mixed devices stands in another line.
    place = getattr(error, "made_at", None) or place
    try:
        message = str(error).strip()
    except Exception:  # an exception of the candidate's own
        message = ""
    return Crash(
        kind=type(error).__name__,
        message=message,
        function=place.function,
        line=place.line,
        number=place.number,
        mro=tuple(c.__name__ for c in type(error).__mro__),
    )


def settled(response: Response, largest: int) -> Response:
    """The response without tensors of more than ``largest`` bytes: what a view pretends to be
    cannot be sent."""

    def one(x: Any) -> Any:
        return tuple(map(one, x)) if isinstance(x, tuple) else settled_tensor(x, largest)

    gradients = response.gradients
    if gradients is not None:
        gradients = tuple(g if isinstance(one(g), Tensor) else None for g in gradients)
    return replace(
        response,
        outputs=one(response.outputs),
        state=one(response.state),
        gradients=gradients,
        args_after=one(response.args_after),
    )


def settled_tensor(x: Any, largest: int) -> Any:
    if isinstance(x, Listed) and x.nbytes > largest:
        return Unreadable(x.words)
    if isinstance(x, Tensor) and x.numel() * x.element_size() > largest:
        return Unreadable(f"a tensor of shape {tuple(x.shape)}: {x.numel():,} elements")
    return x


def sizes_only(message: str) -> str:
    """The message without the numbers of a tensor: sizes are whole, short and few in a row."""

    def cut(found: re.Match) -> str:
        return found[0] if _SIZE.fullmatch(found[0]) else _CUT

    return _MANY.sub(_CUT, _NUMBER.sub(cut, message))


_CUT = "…"
_NUMBER = re.compile(r"[\w.+-]*\d[\w.+-]*")
_SIZE = re.compile(
    r"[-+]?\d{1,4}(x\d{1,4}|-?[A-Za-z]+)?\.?|[A-Za-z_][A-Za-z_.]*(?<=[A-Za-z_])\d{1,4}\.?"
)
"""Sizes, and what is called float64, batch2 or 3D."""
_MANY = re.compile(r"(?:[-+]?(?:\d+|…)[^\w…]+){6,}[-+]?(?:\d+|…)")
"""More numbers in a row than a tensor has dimensions."""
