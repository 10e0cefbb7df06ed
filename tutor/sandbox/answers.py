"""What an answer of a student's process may be.

Anything else is Malformed, or Unreadable where a report can describe it.
"""

import builtins
from typing import Any

from torch import Tensor

from tutor.checks.cost import Cost
from tutor.checks.response import CHANGED, LONGEST_MESSAGE, Crash, Unreadable, sizes_only
from tutor.checks.sequences import Listed, received
from tutor.checks.widened import Place
from tutor.sandbox import wire
from tutor.sandbox.inside.replies import MOST_NAMES
from tutor.sandbox.outputs import clean

_MOST_ANSWERS = 64
"""Of one call."""
_MOST_STEPS = 2**53


def outputs(spec: Any, tensors: list[Tensor]) -> Any:
    if isinstance(spec, dict) and isinstance(spec.get("tuple"), list):
        if len(spec["tuple"]) > _MOST_ANSWERS:
            return _many(spec["tuple"])
        return tuple(_output(s, tensors) for s in spec["tuple"])
    return _output(spec, tensors)


def _many(values: list[Any]) -> Unreadable:
    return Unreadable(f"a tuple or list of {len(values):,}")


def _output(spec: Any, tensors: list[Tensor]) -> Tensor | Listed | Unreadable:
    if isinstance(spec, dict) and "unreadable" in spec:
        return Unreadable(_short(spec["unreadable"]))
    if isinstance(spec, dict) and "listed" in spec:
        return _listed(spec["listed"], tensors)
    value = wire.unpack(spec, tensors)
    return value if isinstance(value, Tensor) else Unreadable(f"a {type(value).__name__}")


def _listed(spec: Any, tensors: list[Tensor]) -> Listed:
    if not isinstance(spec, list) or len(spec) != 4:
        raise wire.Malformed("a sequence that is none")
    kind, of, *parts = spec
    try:
        return received(kind, of, *(wire.unpack(part, tensors) for part in parts))
    except (TypeError, ValueError):  # text that is none, too
        raise wire.Malformed("a sequence that is none") from None


def of_calls(spec: Any, tensors: list[Tensor], calls: int) -> tuple[Any, ...]:
    """The outputs of each of an object's calls."""
    return tuple(outputs(s, tensors) for s in _list(spec, calls, "answers of other calls"))


def state(
    spec: Any, tensors: list[Tensor], names: tuple[str, ...], cells: list[str]
) -> tuple[Any, ...]:
    """Of each name, what it is or why it cannot be read."""
    return tuple(
        crash(s["crash"], cells) if isinstance(s, dict) and s.get("crash") else _output(s, tensors)
        for s in _list(spec, len(names), "a state of other names")
    )


def _list(spec: Any, length: int, otherwise: str) -> list[Any]:
    specs = spec.get("tuple") if isinstance(spec, dict) else None
    if not isinstance(specs, list) or len(specs) != length:
        raise wire.Malformed(otherwise)
    return specs


def after(args: tuple[Any, ...], spec: Any, tensors: list[Tensor]) -> tuple[Any, ...]:
    if spec is None:
        return args  # they are what they were
    specs = _list(spec, len(args), "arguments that are not those of the call")
    return tuple(
        _output(s, tensors) if isinstance(a, Tensor) else CHANGED if _is_changed(s) else a
        for a, s in zip(args, specs, strict=True)
    )


def _is_changed(spec: Any) -> bool:
    return isinstance(spec, dict) and "unreadable" in spec


def steps(number: Any, outside: Any) -> Cost:
    """Of a call whose steps of Python the student's process has counted."""
    if type(number) is not int or not 0 < number < _MOST_STEPS:
        raise wire.Malformed("a count that is none")
    told = _short(outside) if outside is not None else None
    return Cost(steps=number, outside=told)


def gradients(
    args: tuple[Any, ...], spec: Any, tensors: list[Tensor], names: tuple[str, ...] = ()
) -> tuple[Tensor | None, ...]:
    """Of the floating-point arguments, and of the parts of the state."""
    wanted = sum(isinstance(a, Tensor) and a.is_floating_point() for a in args) + len(names)
    specs = _list(spec, wanted, "gradients that are not those of the arguments")
    values = [None if s is None else wire.unpack(s, tensors) for s in specs]
    if not all(v is None or isinstance(v, Tensor) for v in values):
        raise wire.Malformed("gradients that are no tensors")
    return tuple(values)


def numbered_state(
    spec: Any, numbers: list[int], names: tuple[str, ...], cells: list[str]
) -> tuple[Any, ...]:
    """As ``numbered``, of each name."""
    return tuple(
        crash(s["crash"], cells) if isinstance(s, dict) and s.get("crash") else _number(s, numbers)
        for s in _list(spec, len(names), "a state of other names")
    )


def numbered(spec: Any, numbers: list[int]) -> Any:
    """The form of a counted call's outputs; the numbers of its tensors go to ``numbers``."""
    if isinstance(spec, dict) and isinstance(spec.get("tuple"), list):
        if len(spec["tuple"]) > _MOST_ANSWERS:
            return _many(spec["tuple"])
        return tuple(_number(s, numbers) for s in spec["tuple"])
    return _number(spec, numbers)


def _number(spec: Any, numbers: list[int]) -> int | Unreadable:
    if isinstance(spec, dict) and isinstance(spec.get("proxy"), int):
        numbers.append(spec["proxy"])
        return len(numbers) - 1
    return Unreadable(_short(spec.get("unreadable") if isinstance(spec, dict) else spec))


def filled(shape: Any, values: list[Tensor]) -> Any:
    if isinstance(shape, tuple):
        return tuple(filled(s, values) for s in shape)
    return values[shape] if isinstance(shape, int) else shape


def add_claims(cost: Cost, claims: Any, crashed: bool) -> None:
    """What the student's process says against itself. What it says for itself counts nothing."""
    if isinstance(claims, dict):
        called = claims.get("called")
        if isinstance(called, list):
            cost.called |= {c for c in called if isinstance(c, str)}
            if len(called) > MOST_NAMES:
                cost.unseen = True
                cost.outside = cost.outside or f"more than {MOST_NAMES:,} functions were called"
        if isinstance(claims.get("outside"), str):
            cost.outside = _short(claims["outside"]) or cost.outside
        if not crashed and claims.get("trail") != list(cost.trail):
            cost.unseen = True
            cost.outside = cost.outside or (
                f"{cost.trail[0]} operations were done, and torch's recorder, which sees what each "
                "is a part of, tells of others or was stopped"
            )


def told(spec: Any) -> set[str]:
    """Names of operations, which a student's process tells against itself."""
    return {name for name in spec if isinstance(name, str)} if isinstance(spec, list) else set()


def crash(spec: Any, cells: list[str]) -> Crash | None:
    """An exception, as a report may show it: it was raised where hidden inputs are known, so names
    and lines are the notebook's own, and numbers are sizes."""
    if spec is None:
        return None
    if not isinstance(spec, dict):
        raise wire.Malformed("an exception that is none")
    number, mro = spec.get("number"), spec.get("mro")
    mro = tuple(map(_short, mro)) if isinstance(mro, list) and len(mro) < 50 else ()
    kinds = (_short(spec.get("kind"))[:60], *mro)
    function, line = _short(spec.get("function"))[:80], _short(spec.get("line"))
    quoted = line and any(line in cell for cell in cells)
    return Crash(
        kind=next((k for k in kinds if k and _known(k, cells)), "Exception"),
        message=sizes_only(_short(spec.get("message"))[:LONGEST_MESSAGE]),
        function=function if any(function in cell for cell in cells) else "function",
        line=line if quoted else "",
        number=number if quoted and isinstance(number, int) else 0,
        mro=mro,
    )


def _known(kind: str, cells: list[str]) -> bool:
    """Whether it is the name of an exception of Python's, or stands in the notebook."""
    return hasattr(builtins, kind) or any(kind in cell for cell in cells)


def place(spec: Any) -> Place | None:
    """A line of the student's, which is shown to nobody else."""
    if not isinstance(spec, dict) or not isinstance(number := spec.get("number"), int):
        return None
    return Place(_short(spec.get("function"))[:80], _short(spec.get("line")), number)


def _short(text: Any) -> str:
    return clean(text)[:200] if isinstance(text, str) else ""
