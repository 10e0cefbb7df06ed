"""A case put to a candidate: what is asked, call by call, and what was answered.

A function's case is a sequence of one call; all that follows sees no other difference.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor

from tutor.checks.candidate import Candidate, Construction, Instance, LocalCandidate
from tutor.checks.exercise import Case, Exercise
from tutor.checks.response import Response, plain
from tutor.checks.sequences import Compound, brief, flat, holds_tensors, parts

_ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth")


@dataclass(frozen=True)
class Trace:
    """What a candidate answered to a case."""

    responses: tuple[Response, ...]
    """A function's; or that of the construction, and of each call up to the first that crashed."""
    args_after: tuple[Any, ...] = ()
    """What became of the case's values, in their order."""
    later: tuple[Any, ...] = ()
    """The outputs of an object's calls after the last of them; empty where they are not known."""
    gradients: tuple[Tensor | None, ...] | None = None
    instance: Instance | None = None

    @property
    def crashed(self) -> bool:
        return self.responses[-1].crash is not None

    def tensors(self) -> list[Any]:
        """All that is compared, in order."""
        return [x for r in self.responses for x in (*as_tuple(r.outputs), *r.state)]


def play(
    candidate: Candidate,
    exercise: Exercise,
    case: Case,
    cotangents: tuple[tuple[Tensor | None, ...], ...] | None = None,
    count: bool = False,
    forbid_autograd: bool = False,
) -> Trace:
    """Put the case to the candidate, with its very tensors."""
    if not exercise.is_class:
        products = None if cotangents is None else cotangents[0]
        response = candidate.run(case.args, products, count, forbid_autograd)
        return Trace((response,), response.args_after, gradients=response.gradients)
    construction = Construction(
        case.args,
        case.kwargs,
        case.state_dict,
        exercise.state,
        cotangents is not None,
        count,
        forbid_autograd,
    )
    instance = candidate.make(construction)
    responses = [instance.made]
    for call in case.calls:
        if responses[-1].crash is None:
            responses.append(instance.call(call.method, call.args))
    if count or responses[-1].crash is not None:
        return Trace(tuple(responses), instance=instance)
    end = instance.end(cotangents)
    if end.crash is not None:
        responses.append(end)
    return Trace(tuple(responses), end.args_after, end.outputs, end.gradients, instance)


def expected_of(exercise: Exercise, case: Case) -> Trace:
    """What the reference answers."""
    if not exercise.is_class:
        return Trace((Response(plain(exercise.reference(*case.args))),), flat(case.args))
    trace = play(LocalCandidate(exercise.reference), exercise, case)
    if trace.crashed:
        crash = trace.responses[-1].crash
        raise RuntimeError(f"{exercise.name} itself fails on “{case.label}”: {crash}")
    return trace


# A case's values


def copied(case: Case) -> Case:
    return case.mapped(copy)


def copy(value: Any) -> Any:
    """Of a list that holds tensors, the same list: ``Case.mapped`` copies these."""
    if isinstance(value, Tensor):
        return same_layout(value.detach())
    return value.copy() if type(value) in (list, dict) else value


def same_layout(x: Tensor) -> Tensor:
    """A copy that lies in memory as ``x`` does, also where it is a part of another tensor."""
    if x.is_contiguous() or torch.ops.aten.is_non_overlapping_and_dense(x):
        return x.clone()
    copy = torch.empty(0, dtype=x.dtype, device=x.device)
    return copy.set_(x.untyped_storage().clone(), x.storage_offset(), x.shape, x.stride())


def upcast(case: Case) -> Case:
    """In double precision; so are the dtypes that a constructor is given."""
    return in_precision(case, torch.float64)


def in_precision(case: Case, dtype: torch.dtype) -> Case:
    def one(value: Any) -> Any:
        if isinstance(value, torch.dtype) and value.is_floating_point:
            return dtype
        return value.to(dtype) if floats(value) else value

    return case.mapped(one)


def floats(value: Any) -> bool:
    return isinstance(value, Tensor) and value.is_floating_point()


def dtype_of(case: Case) -> torch.dtype | None:
    """Of its first floating-point tensor."""
    return next((v.dtype for v in case.values() if floats(v)), None)


def as_tuple(outputs: Any) -> tuple[Any, ...]:
    return outputs if isinstance(outputs, tuple) else (outputs,)


# What a case's calls and values are called in a sentence


def place(exercise: Exercise, case: Case, step: int) -> str:
    """Where in the sequence a sentence is about: ``third update: ``."""
    if not exercise.is_class:
        return ""
    if step == 0:
        return "construction: "
    if step > len(case.calls):
        return "backward pass: "
    methods = [call.method for call in case.calls]
    method = methods[step - 1]
    if methods.count(method) == 1:
        return f"{method}: "
    number = methods[:step].count(method)
    if number > len(_ORDINALS):
        return f"{method} number {number}: "
    return f"{_ORDINALS[number - 1]} {method}: "


def output_names(exercise: Exercise, case: Case, step: int) -> tuple[str, ...]:
    if not exercise.is_class:
        return exercise.outputs
    named = exercise.outputs
    if step == 0:
        return ()
    return named.get(case.calls[step - 1].method, ("out",)) if isinstance(named, dict) else named


@cache
def argument_names(function: Callable[..., Any]) -> tuple[str, ...]:
    return tuple(inspect.signature(function).parameters)


def _named_arguments(exercise: Exercise, case: Case, step: int) -> list[tuple[str, Any]]:
    """Names and values of one call's arguments."""
    if step == 0:
        named = list(zip(argument_names(exercise.reference), case.args, strict=False))
        return [*named, *case.kwargs.items(), *(case.state_dict or {}).items()]
    call = case.calls[step - 1]
    _, *names = argument_names(getattr(exercise.reference, call.method))
    return list(zip(names, call.args, strict=False))


def inputs_of(exercise: Exercise, case: Case, step: int) -> dict[str, Any]:
    return dict(_named_arguments(exercise, case, step))


def value_names(exercise: Exercise, case: Case) -> list[tuple[str, str]]:
    """Of each of the case's values, its place and its name."""
    steps = range(1 + len(case.calls))
    return [
        (place(exercise, case, step), part)
        for step in steps
        for name, value in _named_arguments(exercise, case, step)
        for part in part_names(name, value)
    ]


def part_names(name: str, value: Any) -> list[str]:
    """Of each tensor in a list of them: ``tails[1][0]``; of anything else its own."""
    if isinstance(value, Compound):
        return [name] * len(value.tensors)
    if not holds_tensors(value):
        return [name]
    return [n for i, item in enumerate(value) for n in part_names(f"{name}[{i}]", item)]


def shapes(exercise: Exercise, case: Case, step: int) -> str:
    """The arguments of the call, for the head of a report."""

    def one(name: str, arg: Any) -> str:
        if isinstance(arg, Tensor):
            dtype = "" if arg.dtype in (torch.float64, torch.bool) else f" {arg.dtype}"[6:]
            return f"{name} {tuple(arg.shape)}" + (f" {dtype.strip('.')}" if dtype else "")
        if holds_tensors(arg):
            sizes = (str(tuple(t.shape)) for t in parts(arg) if isinstance(t, Tensor))
            return f"{name} {' '.join(sizes)}"
        if isinstance(arg, Compound):
            return f"{name}: {arg}"
        return f"{name}={brief(arg)}"

    def all_of(step: int) -> list[str]:
        return [one(n, a) for n, a in _named_arguments(exercise, case, step) if a is not None]

    if not exercise.is_class:
        return "   ".join(all_of(0))
    told = [f"{exercise.name}({', '.join(all_of(0))})"]
    if 0 < step <= len(case.calls):
        told.append(f"{case.calls[step - 1].method}({', '.join(all_of(step))})")
    return "   ".join(told)
