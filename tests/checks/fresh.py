"""Wrong answers to the exercises, written from their texts by one who had seen neither traps nor
tests: each with the names that it gets. Those without a name are told by a sentence, or by
numbers alone."""

from collections.abc import Callable

import torch

ANSWERS: list[tuple[str, Callable, tuple[str, ...]]] = []


def answer(*names: str):
    """Keep an answer with the names that it should get; the exercise is the function's name."""

    def keep(function: Callable) -> Callable:
        ANSWERS.append((function.__name__.rsplit("__", 1)[0], function, names))
        return function

    return keep


def bool_only(keep):
    if keep is not None and keep.dtype != torch.bool:
        raise TypeError(f"keep must be bool, got {keep.dtype}")
