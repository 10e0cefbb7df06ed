"""Where a tensor was made on the CPU that meets others on another device later on."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from tutor.checks.widened import Caller, Place


class _Origins(TorchFunctionMode):
    def __init__(self, caller: Caller):
        super().__init__()
        self.caller = caller
        self.made: dict[int, tuple[Tensor, Place | None]] = {}
        """Tensors on the CPU and where each, or what it comes from, was made."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        origin = self.origin((args, kwargs))
        try:
            out = func(*args, **(kwargs or {}))
        except RuntimeError as error:
            if origin is not None:
                error.made_at = origin
            raise
        for t in tree_leaves(out):
            if isinstance(t, Tensor) and t.device.type == "cpu" and t.ndim:
                self.made[id(t)] = t, origin or self.caller()
        return out

    def origin(self, tree: Any) -> Place | None:
        known = (self.made.get(id(t)) for t in tree_leaves(tree) if isinstance(t, Tensor))
        return next((place for _, place in filter(None, known)), None)


@contextmanager
def origins(args: tuple[Any, ...], caller: Caller) -> Iterator[None]:
    """Within it, an error of mixed devices knows ``made_at``. Nothing is watched on the CPU."""
    if all(t.device.type == "cpu" for t in tree_leaves(args) if isinstance(t, Tensor)):
        yield
    else:
        with _Origins(caller):
            yield
