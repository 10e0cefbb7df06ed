"""What a wrong answer is to the right one, whatever the exercise: its negative, its transpose, a
multiple of it. Said where no known misconception gives the answer."""

from collections.abc import Callable, Iterator, Mapping
from itertools import permutations
from typing import Any

import torch
from torch import Tensor

Same = Callable[[Tensor, Tensor], bool]
"""Whether two tensors have one shape and, up to rounding, the same numbers."""

_MOST_RETURNED = 8
"""Of more tensors nobody is told which are right: looking through a million would take hours."""


def relation(
    names: tuple[str, ...],
    expected: tuple[Tensor, ...],
    got: Any,
    inputs: Mapping[str, Any],
    same: Same,
) -> str | None:
    """One sentence, or None if the answer is nothing of this kind.

    names and expected: what a right answer returns; got: a tensor, or a tuple of anything.
    """
    found = got if isinstance(got, tuple) else (got,)
    if len(found) != len(expected) or isinstance(got, tuple) != (len(expected) > 1):
        return _of_another_count(names, expected, got, same)
    if not all(isinstance(f, Tensor) and not f.is_complex() for f in found):
        return None
    order = _order(expected, found, same) if len(expected) > 1 else None
    if order is not None:
        theirs, ours = (", ".join(names[i] for i in o) for o in (order, range(len(names))))
        return f"right, but returned as ({theirs}) and not as ({ours})"
    for name, e, f in zip(names, expected, found, strict=True):
        if not same(e, f):
            sentence = _of_tensors(e, f, inputs, same)
            return f"{name} {sentence}" if sentence else None
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
        images += _of_numbers(expected.double(), got, inputs)
    fit = (s for s, image in images if not image.isnan().any() and same(image, got))
    return next(fit, None)


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


def _of_numbers(
    expected: Tensor, got: Tensor, inputs: Mapping[str, Any]
) -> Iterator[tuple[str, Tensor]]:
    yield "is what was expected with the other sign everywhere", -expected
    yield "is the logarithm of what was expected", expected.log()
    yield "is the square of what was expected", expected.square()
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
    if got.shape == expected.shape and not got.is_meta and (expected != 0).sum() > 2:
        largest = expected.abs().argmax()
        factor = float(got.detach().flatten()[largest] / expected.flatten()[largest])
        times = f"{factor:.4g} times what was expected, everywhere" if factor else "0 everywhere"
        if not times.startswith(("1 ", "-1 ")):  # a rounding error is no factor
            yield f"is {times}", expected * factor
