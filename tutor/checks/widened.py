"""A call in which every float32 is a float64: whether an answer's only fault is that it computes in
single precision. Nothing else that is wrong gets right by it: a constant that was added stays."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves, tree_map_only

_LARGEST = 10_000
"""Elements of a result that is looked at."""


@dataclass(frozen=True)
class Place:
    """A line that the student wrote."""

    function: str
    line: str
    number: int


Caller = Callable[[], Place | None]
"""Tells the innermost line that the student wrote."""


class Watching(TorchFunctionMode):
    """Keeps the numbers that each of torch's functions gives, and who called it."""

    def __init__(self, caller: Caller):
        super().__init__()
        self.caller = caller
        self.results: list[tuple[Place | None, list[Tensor]]] = []

    def __torch_function__(self, func, types, args=(), kwargs=None):
        out = self.call(func, args, kwargs or {})
        floats = [t for t in tree_leaves(out) if isinstance(t, Tensor) and _readable(t)]
        if floats:
            numbers = [t.detach().to(torch.float64, copy=True) for t in floats]
            self.results.append((self.caller(), numbers))
        return out

    def call(self, func, args, kwargs):
        return func(*args, **kwargs)


class _Widening(Watching):
    def call(self, func, args, kwargs):
        if func is Tensor.float:
            func = Tensor.double
        args, kwargs = tree_map_only(torch.dtype, _wide, (args, kwargs))
        return func(*args, **kwargs)


def _wide(dtype: torch.dtype) -> torch.dtype:
    return torch.float64 if dtype == torch.float32 else dtype


def _readable(t: Tensor) -> bool:
    plain = type(t) in (Tensor, torch.nn.Parameter) and t.layout == torch.strided and not t.is_meta
    inside = torch._C._functorch.is_functorch_wrapped_tensor(t)  # of vmap: it has no numbers yet
    return plain and not inside and t.is_floating_point() and t.numel() <= _LARGEST


@contextmanager
def widened(caller: Caller) -> Iterator[Watching]:
    """Within it float32 is float64: where it is written, and where torch takes it by itself."""
    dtype = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        with _Widening(caller) as watching:
            yield watching
    finally:
        torch.set_default_dtype(dtype)


def narrowed(usual: Watching, wide: Watching) -> Place | None:
    """Where the usual call first has other numbers than the one in which float32 is float64."""
    for (place, numbers), (_, others) in zip(usual.results, wide.results, strict=False):
        if len(numbers) != len(others):
            return None
        for a, b in zip(numbers, others, strict=True):
            if a.shape != b.shape:
                return None
            if not ((a == b) | (a.isnan() & b.isnan())).all():
                return place
    return None
