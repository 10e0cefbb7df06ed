"""What a function or a class is called, and what it builds on, by the names in code."""

import functools
import inspect
import types
from collections.abc import Iterator
from typing import Any


def spoken_of(thing: Any, frame: types.FrameType) -> list[str]:
    """The names by which the code that runs in a frame speaks of it."""
    known = {**frame.f_globals, **frame.f_locals}
    return [name for name in dict.fromkeys(names(frame.f_code)) if known.get(name) is thing]


def called_by(thing: Any, seen: set[str]) -> dict[str, Any]:
    """Functions and classes that it calls by a global name, and those that they call in turn."""
    found: dict[str, Any] = {}
    for function in functions_of(thing):
        for name in names(function.__code__):
            called = function.__globals__.get(name)
            if name not in seen and (isinstance(called, type) or functions_of(called)):
                seen.add(name)
                found[name] = called
                if any(f.__globals__ is function.__globals__ for f in functions_of(called)):
                    found |= called_by(called, seen)
    return found


def functions_of(thing: Any) -> list[types.FunctionType]:
    """The function itself and those that it wraps, or all that stand in the body of a class."""
    if isinstance(thing, type):
        parts = list(vars(thing).values())
        parts += [p.__func__ for p in parts if isinstance(p, staticmethod | classmethod)]
        parts += [f for p in parts if isinstance(p, property) for f in (p.fget, p.fset)]
    else:
        parts = [thing]
        while (thing := _wrapped(thing)) is not None and not any(thing is p for p in parts):
            parts.append(thing)
        kind = type(parts[-1])
        if isinstance(inspect.getattr_static(kind, "__call__", None), types.FunctionType):
            parts += functions_of(kind)  # of an object that is called like a function
    return [p for p in parts if isinstance(p, types.FunctionType) and not _torchs(p)]


def _wrapped(thing: Any) -> Any:
    if isinstance(thing, functools.partial):
        return thing.func
    if isinstance(thing, types.MethodType):
        return thing.__func__
    return inspect.getattr_static(thing, "__wrapped__", None)  # as functools.wraps leaves it


def _torchs(function: types.FunctionType) -> bool:
    """Whether it is torch's, such as what ``torch.compile`` puts around a student's."""
    return str(function.__globals__.get("__name__")).partition(".")[0] == "torch"


def names(code: types.CodeType) -> Iterator[str]:
    """Every name that the code, and code inside of it, looks up."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from names(constant)
