"""What a function or a class builds on, by the names in its code."""

import types
from collections.abc import Iterator
from typing import Any


def called_by(thing: Any, seen: set[str]) -> dict[str, Any]:
    """Functions and classes that it calls by a global name, and those that they call in turn."""
    found: dict[str, Any] = {}
    for function in functions_of(thing):
        for name in names(function.__code__):
            called = function.__globals__.get(name)
            if isinstance(called, types.FunctionType | type) and name not in seen:
                seen.add(name)
                found[name] = called
                if any(f.__globals__ is function.__globals__ for f in functions_of(called)):
                    found |= called_by(called, seen)
    return found


def functions_of(thing: Any) -> list[types.FunctionType]:
    """The function itself, or all that stand in the body of a class."""
    if isinstance(thing, type):
        parts = list(vars(thing).values())
        parts += [p.__func__ for p in parts if isinstance(p, staticmethod | classmethod)]
        parts += [f for p in parts if isinstance(p, property) for f in (p.fget, p.fset)]
    else:
        parts = [thing]
    return [p for p in parts if isinstance(p, types.FunctionType)]


def names(code: types.CodeType) -> Iterator[str]:
    """Every name that the code, and code inside of it, looks up."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from names(constant)
