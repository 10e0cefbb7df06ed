"""What a wrong answer would be right for: the reference is asked again with one argument changed.

Said where no known misconception gives the answer and where it is nothing to the right one
(``relation``). "It would be right if keep were keep.any(-2, keepdim=True)" is where to look.
"""

import inspect
import math
from collections.abc import Callable, Iterator
from itertools import permutations
from typing import Any

import torch
from torch import Tensor

from tutor.checks.candidate import Known
from tutor.checks.exceptions import sizes_of
from tutor.checks.exercise import Case, Exercise
from tutor.checks.observation import Observation, Trial
from tutor.checks.tensors import same_values
from tutor.checks.trace import copy, dtype_of, inputs_of, play

Change = Callable[[Any, dict[str, int]], Any]
"""Of an argument and the sizes of its call by name; None where it makes no sense or no difference.
"""

_SCALED = ("scores", "q", "w_q")
"""Arguments whose multiples are tried by all that a size can give: what a score is divided by."""
_SHORT = (torch.float16, torch.bfloat16)
_MOST_SIZES = 8
_GROUPS = ("values", "edges")


def matching_argument(trial: Trial) -> tuple[str, Observation] | None:
    """The one change of one argument with which the reference gives every answer that is no crash,
    right ones and wrong ones, and the first of the wrong ones."""
    exercise = trial.exercise
    seen = [o for name in _GROUPS for o in _told(trial, name)]
    # Some change makes an index that is out of range, which on CUDA ends CUDA for the process.
    if exercise.is_class or trial.device.type != "cpu" or not any(o.problem for o in seen):
        return None
    seen.sort(key=lambda o: not o.problem)
    for names, sentence, change in _changes(exercise, seen[0].case):
        if all(_gives(exercise, o, names, change) for o in seen):
            return f"it would be right if {sentence}", seen[0]
    return None


def _told(trial: Trial, name: str) -> list[Observation]:
    observations = trial.groups[name].observations if name in trial.groups else []
    told = [o for o in observations if o.case.raises is None and o.told and not o.got.crashed]
    return [o for o in told if dtype_of(o.case) not in _SHORT]


def _gives(exercise: Exercise, seen: Observation, names: tuple[str, ...], change: Change) -> bool:
    """Whether the answer is the reference's to the case with those arguments changed; where the
    change has nothing to change, the right answer."""
    inputs, sizes = _inputs(exercise, seen.case), _sizes(exercise, seen.case)
    there = [name for name in names if inputs.get(name) is not None]
    changed = {name: change(copy(inputs[name]), sizes) for name in there}
    changed = {name: value for name, value in changed.items() if value is not None}
    if not changed:
        return not seen.problem
    args = tuple(changed.get(name, copy(value)) for name, value in inputs.items())
    theirs = play(Known(exercise.reference), exercise, Case(seen.case.label, args))
    return not theirs.crashed and same_values(
        theirs.tensors(), seen.got.tensors(), 2 * seen.tolerance
    )


def _inputs(exercise: Exercise, case: Case) -> dict[str, Any]:
    """All arguments, those that are left out as well."""
    parameters = inspect.signature(exercise.reference).parameters
    defaults = {n: p.default for n, p in parameters.items() if p.default is not p.empty}
    passed = inputs_of(exercise, case, 0)
    return {n: passed.get(n, defaults.get(n)) for n in parameters}


def _sizes(exercise: Exercise, case: Case) -> dict[str, int]:
    found = sizes_of(exercise, case, 0)
    return {name: size for size, names in found.items() for name in names}


def _changes(exercise: Exercise, case: Case) -> Iterator[tuple[tuple[str, ...], str, Change]]:
    """Arguments, what they would be, as code, and the change."""
    weights = [n for n, v in _inputs(exercise, case).items() if _is_weight(n, v)]
    if len(weights) > 1:
        for written, change in _of_numbers("w"):
            yield tuple(weights), f"each matrix w were {written}", change
    for name, value in _inputs(exercise, case).items():
        if isinstance(value, Tensor) and value.dtype == torch.bool:
            changes = _of_a_mask(name)
        elif isinstance(value, Tensor):
            changes = _of_numbers(name)
            if name in _SCALED:
                changes = (*changes, *_multiples(name, list(_sizes(exercise, case))))
        elif isinstance(value, bool):
            changes = ((f"not {name}", lambda v, _: not v),)
        elif isinstance(value, int | float):
            changes = _of_a_number(name)
        else:
            continue
        for written, change in changes:
            yield (name,), f"{name} were {written}", change


def _of_a_mask(name: str) -> tuple[tuple[str, Change], ...]:
    return (
        (f"~{name}", lambda v, _: ~v),
        (f"{name}.mT", lambda v, _: v.mT if _is_square(v) else None),
        (f"{name}.any(-2, keepdim=True)", lambda v, _: v.any(-2, keepdim=True) if _rows(v) else v),
        (f"{name}.all(-2, keepdim=True)", lambda v, _: v.all(-2, keepdim=True) if _rows(v) else v),
        (f"{name}[..., -1:, :]", lambda v, _: v[..., -1:, :] if _rows(v) else v),
        (f"{name}[..., :1, :]", lambda v, _: v[..., :1, :] if _rows(v) else v),
        (f"{name}.any(0, keepdim=True)", lambda v, _: v.any(0, keepdim=True)),
        (f"{name}[:1]", lambda v, _: v[:1]),
        (f"{name}.flip(-1)", lambda v, _: v.flip(-1)),
    )


def _of_numbers(name: str) -> tuple[tuple[str, Change], ...]:
    return (
        (f"{name}.mT", lambda v, _: v.mT if _is_square(v) else None),
        (
            f"{name}.reshape({name}.mT.shape).mT",
            lambda v, _: v.reshape(v.mT.shape).mT if _rows(v) else None,
        ),
        (
            f"{name} with each of its square blocks turned",
            lambda v, _: _turned_blocks(v),
        ),
        (f"{name}.flip(0)", lambda v, _: v.flip(0) if v.ndim else None),
        (f"{name}.flip(-1)", lambda v, _: v.flip(-1) if v.ndim else None),
        (f"{name}.flip(-2)", lambda v, _: v.flip(-2) if v.ndim > 1 else None),
        (f"-{name}", lambda v, _: -v),
        (f"{name}.abs()", lambda v, _: v.abs()),
        (f"2 * {name}", lambda v, _: 2 * v),
        (f"{name} / 2", _if_float(lambda v: v / 2)),
        (f"{name} + 1", lambda v, _: v + 1),
        (f"{name} - 1", lambda v, _: v - 1),
        (f"{name}.round()", _if_float(Tensor.round)),
        (f"{name}.floor()", _if_float(Tensor.floor)),
        (f"{name}.deg2rad()", lambda v, _: v.double().deg2rad()),
        (f"torch.nn.functional.normalize({name}, dim=-1)", _if_float(_normalized)),
        (f"torch.zeros_like({name})", lambda v, _: torch.zeros_like(v)),
        (f"{name}[:1]", lambda v, _: v[:1].expand_as(v) if v.ndim > 1 else None),
    )


def _of_a_number(name: str) -> tuple[tuple[str, Change], ...]:
    """A constant that was written in its place is none of these: any number gives some answer."""

    def kept_whole(f: Callable[[float], float]) -> Change:
        return lambda v, _: int(f(v)) if isinstance(v, int) else f(v)

    return (
        (f"{name} // 2", lambda v, _: v // 2 or None),
        (f"2 * {name}", lambda v, _: 2 * v),
        (f"{name} - 1", lambda v, _: v - 1 if v > 1 else None),
        (f"{name} + 1", lambda v, _: v + 1),
        ("1", kept_whole(lambda v: 1)),
        (f"1 / {name}", lambda v, _: 1 / v if isinstance(v, float) and v else None),
        (f"math.log10({name})", _logarithm(math.log10)),
        (f"math.exp(math.log10({name}))", _logarithm(lambda v: math.exp(math.log10(v)))),
        (f"{name} ** math.log(2)", _logarithm(lambda v: v ** math.log(2))),
    )


def _logarithm(f: Callable[[float], float]) -> Change:
    return lambda v, _: f(v) if isinstance(v, float) and v > 0 else None


def _multiples(name: str, sizes: list[str]) -> Iterator[tuple[str, Change]]:
    """By roots of one size, and of one over another: what the right scale is not."""
    sizes = sizes[:_MOST_SIZES]
    for size in sizes:
        for power, root in ((0.5, f"√{size}"), (1, size), (0.25, f"{size}**0.25")):
            yield f"{name} / {root}", _times(((size, -power),))
            yield f"{name} * {root}", _times(((size, power),))
    for one, other in permutations(sizes, 2):
        yield f"{name} * √{one} / √{other}", _times(((one, 0.5), (other, -0.5)))
    for size in sizes:
        yield (
            f"{name} * √{size} / int(√{size})",
            lambda v, named, s=size: (
                v * named[s] ** 0.5 / int(named[s] ** 0.5) if s in named else v
            ),
        )


def _times(powers: tuple[tuple[str, float], ...]) -> Change:
    def change(value: Tensor, sizes: dict[str, int]) -> Tensor:
        factor = math.prod(sizes.get(size, 1) ** power for size, power in powers)
        return value * factor

    return change


def _if_float(f: Callable[[Tensor], Tensor | None]) -> Change:
    return lambda v, _: f(v) if v.is_floating_point() else None


def _is_weight(name: str, value: Any) -> bool:
    return name.startswith("w_") and isinstance(value, Tensor) and value.ndim == 2


def _is_square(value: Tensor) -> bool:
    return value.ndim > 1 and value.shape[-1] == value.shape[-2] > 1


def _rows(value: Tensor) -> bool:
    return value.ndim > 1 and value.shape[-2] > 1


def _turned_blocks(value: Tensor) -> Tensor | None:
    if value.ndim != 2 or value.shape[0] % value.shape[1]:
        return None
    return torch.cat([block.mT for block in value.split(value.shape[1])])


def _normalized(value: Tensor) -> Tensor | None:
    return torch.nn.functional.normalize(value, dim=-1) if value.ndim > 1 else None
