"""What a call makes on the CPU though its inputs are on another device: where such a tensor meets
others later on, and where it was made.

On torch's meta device, whose tensors have shapes and no numbers, a machine without a GPU sees it,
too. Two things differ there from a GPU and are made up for: some of torch's operations do not look
where their tensors are, and numbers cannot be read.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from types import NoneType
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from tutor.checks.widened import Caller, Place

_ANYWHERE = {"copy_", "_to_copy", "index", "index_put", "index_put_", "_index_put_impl_"}
"""Operations in which tensors of two devices may meet: copies, and what an index chooses."""

_NO_NUMBERS = (
    "Cannot copy out of meta tensor",
    "cannot be called on meta tensors",
    "can't convert meta device type tensor",
)
_READERS = {"cpu", "to", "numpy", "tolist", "item"} | {
    f"__{name}__" for name in ("array", "bool", "int", "float", "index")
}
"""Names of functions that give the numbers of a whole tensor to the CPU."""
_MOST_READINGS = 10_000
"""Of one call: a loop that waits for a number that does not come must end."""


class _Apart(TorchDispatchMode):
    """Refuses on the meta device what a GPU would refuse."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func._opname not in _ANYWHERE:
            tensors = [t for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)]
            if len({t.device.type for t in tensors if t.ndim}) > 1:
                raise RuntimeError("expected all tensors on the same device")
        return func(*args, **(kwargs or {}))


class _Origins(TorchFunctionMode):
    def __init__(self, caller: Caller):
        super().__init__()
        self.caller = caller
        self.made: dict[int, tuple[Tensor, Place | None]] = {}
        """Tensors on the CPU and where each, or what it comes from, was made."""
        self.readings = 0

    def __torch_function__(self, func, types, args=(), kwargs=None):
        origin, kwargs = self.origin((args, kwargs)), kwargs or {}
        try:
            out = self.call(func, args, kwargs)
        except RuntimeError as error:
            if origin is None:
                raise
            error.made_at = origin
            if "Cannot copy out of meta tensor" not in str(error):
                raise
            # Numbers of another device, written into a tensor on the CPU: a copy that works, and
            # leaves what is computed from it on the wrong one.
            mixed = RuntimeError("expected all tensors on the same device")
            mixed.made_at = origin
            raise mixed from error
        for t in tree_leaves(out):
            if isinstance(t, Tensor) and t.device.type == "cpu" and t.ndim:
                self.made[id(t)] = t, origin or self.caller()
        return out

    def call(self, func, args, kwargs) -> Any:
        """The call; where it reads numbers that are not there, with ones in their place: any will
        do, since only the device of what comes of them is looked at."""
        try:
            return func(*args, **kwargs)
        except (RuntimeError, TypeError) as error:
            name, missing = getattr(func, "__name__", ""), any(s in str(error) for s in _NO_NUMBERS)
            if name == "copy_" or not missing or self.readings >= _MOST_READINGS:
                raise
            written = args[2:] if name == "__setitem__" else ()
            if any(isinstance(t, Tensor) and t.is_meta for t in written):
                raise
        self.readings += 1
        whole = name in _READERS
        args, kwargs = tree_map(lambda x: _with_numbers(x, whole), (args, kwargs))
        return func(*args, **kwargs)

    def origin(self, tree: Any) -> Place | None:
        known = (self.made.get(id(t)) for t in tree_leaves(tree) if isinstance(t, Tensor))
        return next((place for _, place in filter(None, known)), None)


def _with_numbers(value: Any, whole: bool) -> Any:
    """Of a meta tensor, on the CPU; if not of the ``whole``, of one that stands for a number."""
    if isinstance(value, slice):
        parts = (value.start, value.stop, value.step)
        return slice(*(_with_numbers(part, whole) for part in parts))
    if isinstance(value, Tensor) and value.is_meta and (whole or not value.ndim):
        return torch.ones_like(value, device="cpu")
    return value


_NO_TREE = (Tensor, int, float, str, NoneType)


def origins(args: tuple[Any, ...], caller: Caller) -> AbstractContextManager:
    """Within it, an error of mixed devices knows ``made_at``. Nothing is watched on the CPU."""
    flat = all(isinstance(a, _NO_TREE) for a in args)  # as nearly always: no time for a walk
    leaves = args if flat else tree_leaves(args)
    devices = {t.device.type for t in leaves if isinstance(t, Tensor)}
    return nullcontext() if devices <= {"cpu"} else _watched("meta" in devices, caller)


@contextmanager
def _watched(meta: bool, caller: Caller) -> Iterator[None]:
    with _Origins(caller), _Apart() if meta else nullcontext():
        yield
