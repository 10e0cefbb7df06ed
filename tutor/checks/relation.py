"""What a wrong answer is to the right one, whatever the exercise: its negative, its transpose, a
multiple of it. Said where no known misconception gives the answer."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import permutations
from typing import Any

import torch
from torch import Tensor

from tutor.checks.exceptions import Sizes, sizes_of
from tutor.checks.exercise import Exercise
from tutor.checks.observation import Group, Observation
from tutor.checks.response import NOTHING
from tutor.checks.tensors import same_values
from tutor.checks.trace import as_tuple, copied, expected_of, inputs_of, output_names, upcast

Same = Callable[[Tensor, Tensor], bool]
"""Whether two tensors have one shape and, up to rounding, the same numbers."""

_EXACT = 1e-9
_MULTIPLES = 3
"""Cases in which a multiple is by the same size before that is said."""
_WIDEST = 64
"""Features whose order is looked for."""
_MOST_RETURNED = 8
"""Of more tensors nobody is told which are right: looking through a million would take hours."""


@dataclass(frozen=True)
class Relation:
    sentence: str
    factor: float | None = None
    """Of an answer that is a multiple of the right one."""


def relation(
    names: tuple[str, ...],
    expected: tuple[Tensor, ...],
    got: Any,
    inputs: Mapping[str, Any],
    same: Same,
) -> Relation | None:
    """What the answer is, or None if it is nothing of this kind.

    names and expected: what a right answer returns; got: a tensor, or a tuple of anything.
    """
    found = got if isinstance(got, tuple) else (got,)
    if len(found) != len(expected) or isinstance(got, tuple) != (len(expected) > 1):
        counted = _of_another_count(names, expected, got, same)
        return Relation(counted) if counted else None
    if not all(isinstance(f, Tensor) and not f.is_complex() for f in found):
        return None
    order = _order(expected, found, same) if len(expected) > 1 else None
    if order is not None:
        theirs, ours = (", ".join(names[i] for i in o) for o in (order, range(len(names))))
        return Relation(f"right, but returned as ({theirs}) and not as ({ours})")
    for name, e, f in zip(names, expected, found, strict=True):
        if not same(e, f):
            if sentence := _of_tensors(e, f, inputs, same):
                return Relation(f"{name} {sentence}")
            return _multiple(name, e, f, same)
    return None


def _of_another_count(
    names: tuple[str, ...], expected: tuple[Tensor, ...], got: Any, same: Same
) -> str | None:
    if not isinstance(got, tuple):
        for i, (name, e) in enumerate(zip(names, expected, strict=True)):
            if isinstance(got, Tensor) and same(e, got):
                missing = " and ".join(names[:i] + names[i + 1 :])
                return f"what you return is {name}, and right: return {missing} with it"
        return None
    if not len(expected) < len(got) <= _MOST_RETURNED:
        return None
    places = [
        next((i for i, f in enumerate(got) if isinstance(f, Tensor) and same(e, f)), None)
        for e in expected
    ]
    if None in places:
        return None
    which = " and ".join(str(i + 1) for i in places)
    return f"right in number {which} of what you return: return nothing else"


def _order(
    expected: tuple[Tensor, ...], found: tuple[Tensor, ...], same: Same
) -> tuple[int, ...] | None:
    """Which of ``expected`` is returned where, if all are and not in their places."""
    _, *others = permutations(range(len(expected)))
    for order in others:
        if all(same(expected[i], f) for i, f in zip(order, found, strict=True)):
            return order
    return None


def _of_tensors(expected: Tensor, got: Tensor, inputs: Mapping[str, Any], same: Same) -> str | None:
    """With "is" or "has" first. Only images of ``expected`` are made: ``got`` may have any size."""
    for name, value in inputs.items():
        if isinstance(value, Tensor) and same(value, got):
            return f"is {name} as it came in"
    images = [*_of_shape(expected, got), *_of_order(expected)]
    if expected.dtype == torch.bool:
        images.append(("has True and False swapped", ~expected))
    else:
        images += _of_numbers(expected, inputs)
    fit = (s for s, image in images if not image.isnan().any() and same(image, got))
    return next(fit, None) or _of_columns(expected, got, same)


def _of_columns(expected: Tensor, got: Tensor, same: Same) -> str | None:
    """The same numbers with the features in another order."""
    if got.shape != expected.shape or not expected.ndim or got.is_meta:
        return None
    width = expected.shape[-1]
    right, theirs = (t.reshape(-1, width).unbind(-1) for t in (expected, got.detach()))
    if not 2 < width <= _WIDEST or len(right[0]) < 2:
        return None
    order = [next((i for i, e in enumerate(right) if same(e, f)), None) for f in theirs]
    if None in order or len(set(order)) < width:
        return None
    return f"has the right numbers with its features in the order {tuple(order)}"


def _of_shape(expected: Tensor, got: Tensor) -> Iterator[tuple[str, Tensor]]:
    """The same numbers with dimensions of length 1 too many or too few."""

    def without_ones(t: Tensor) -> list[int]:
        return [n for n in t.shape if n != 1]

    if got.shape != expected.shape and without_ones(got) == without_ones(expected):
        many = "many" if got.ndim > expected.ndim else "few"
        yield f"has the right numbers and a dimension of 1 too {many}", expected.reshape(got.shape)


def _of_order(expected: Tensor) -> Iterator[tuple[str, Tensor]]:
    dims = range(expected.ndim)
    if expected.ndim <= 4:
        for order in permutations(dims):
            moved = [d for d in dims if order[d] != d]
            if len(moved) == 2:
                sentence = "has the right numbers with dimensions {} and {} swapped".format(*moved)
                yield sentence, expected.permute(order)
            elif moved:
                sentence = f"has the right numbers with its dimensions in the order {order}"
                yield sentence, expected.permute(order)
    for d in dims:
        yield f"has the right numbers in reverse along dimension {d}", expected.flip(d)


def _of_numbers(expected: Tensor, inputs: Mapping[str, Any]) -> Iterator[tuple[str, Tensor]]:
    whole, expected = not expected.is_floating_point(), expected.double()
    yield "is what was expected with the other sign everywhere", -expected
    yield "is the square of what was expected", expected.square()
    if whole:  # of whole numbers the rest is a coincidence
        return
    yield "is the logarithm of what was expected", expected.log()
    yield "is the root of what was expected", expected.sqrt()
    if expected.ndim:
        yield "is the softmax of what was expected: one softmax too many", expected.softmax(-1)
    for name, value in inputs.items():
        if (
            isinstance(value, Tensor)
            and value.is_floating_point()
            and value.shape == expected.shape
        ):
            yield f"is what was expected plus {name}", expected + value


def _multiple(name: str, expected: Tensor, got: Tensor, same: Same) -> Relation | None:
    if expected.dtype == torch.bool or got.shape != expected.shape or got.is_meta:
        return None
    expected = expected.double()
    if (expected != 0).sum() <= 2:
        return None
    largest = expected.abs().argmax()
    factor = float(got.detach().flatten()[largest] / expected.flatten()[largest])
    told, image = f"{factor:.4g}", expected * factor
    # A rounding error is no factor.
    if told in ("1", "-1") or image.isnan().any() or not same(image, got):
        return None
    times = f"{told} times what was expected, everywhere" if factor else "0 everywhere"
    return Relation(f"{name} is {times}", factor)


# Over the cases of a group


def matching_relation(exercise: Exercise, group: Group) -> tuple[str | None, Observation | None]:
    """What the answers are to the right ones on at least half of the failing cases, and the first
    of these cases."""
    failing = [o for o in group.failing if o.case.raises is None]
    found = []
    for missed, o in enumerate(failing):
        if missed - len(found) > len(failing) // 2:
            break
        if not o.got.crashed and (related := _relation(exercise, o)):
            found.append((related, o))
    if not found or 2 * len(found) < len(failing):
        return None, None
    (first, seen), factors = found[0], _factors(exercise, found)
    sentence = f"{first.sentence}: {' or '.join(factors)}" if factors else first.sentence
    return sentence, seen


def _factors(exercise: Exercise, found: list[tuple[Relation, Observation]]) -> list[str]:
    """What all multiples among them are by: a size, its root, or one by that; at most two names."""
    common: dict[str, int] = {}
    multiples = [(related.factor, seen) for related, seen in found if related.factor]
    for factor, seen in multiples:
        sizes = sizes_of(exercise, seen.case, seen.problem.step)
        for name, value in _of_sizes(sizes):
            if math.isclose(factor, value, rel_tol=max(_EXACT, 2 * seen.tolerance)):
                common[name] = common.get(name, 0) + 1
    enough = len(multiples) >= _MULTIPLES and found[0][0].factor
    return [name for name, times in common.items() if enough and times == len(multiples)][:2]


def _of_sizes(sizes: Sizes) -> Iterator[tuple[str, float]]:
    for size, names in sizes.items():
        for name in names:
            yield f"1/{name}", 1 / size
            yield f"1/√{name}", size**-0.5
            yield f"√{name}", size**0.5
            yield name, size


def _relation(exercise: Exercise, seen: Observation) -> Relation | None:
    def same(a: Tensor, b: Tensor) -> bool:
        return same_values((a,), (b,), seen.tolerance)

    step = seen.problem.step
    expected = expected_of(exercise, upcast(copied(seen.case))).responses[step]
    got, inputs = seen.got.responses[step], inputs_of(exercise, seen.case, step)
    pairs = [(output_names(exercise, seen.case, step), expected.outputs, got.outputs)]
    state = zip(exercise.state, expected.state, got.state, strict=True)
    pairs += [((name,), right, found) for name, right, found in state]
    for names, right, found in pairs:
        if right is not NOTHING and (said := relation(names, as_tuple(right), found, inputs, same)):
            return said
    return None
