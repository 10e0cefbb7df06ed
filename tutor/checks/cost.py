"""Counting the work of a call: no clock, so the same answer on every machine."""

from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode, resolve_name
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

# torch's counter knows matrix-matrix products only.
_EXTRA_FLOPS = {
    torch.ops.aten.mv: lambda a, x: 2 * a.numel(),
    torch.ops.aten.addmv: lambda y, a, x: 2 * a.numel(),
    torch.ops.aten.dot: lambda x, y: 2 * x.numel(),
    torch.ops.aten.vdot: lambda x, y: 2 * x.numel(),
}

# Functions through which numbers leave their device for numpy, Python or a raw buffer.
_EXITS = {
    f"torch.Tensor.{name}"
    for name in ("cpu", "numpy", "__array__", "tolist", "__dlpack__", "data_ptr", "storage")
} | {"torch.Tensor.untyped_storage", "torch.utils.dlpack.to_dlpack"}


@dataclass
class Cost:
    """What one call did."""

    flops: int = 0
    products: int = 0
    """Matrix products called."""
    written: int = 0
    """Elements written by all operations together; views write none."""
    largest: int = 0
    """Elements of the largest tensor that an operation wrote."""
    largest_shape: tuple[int, ...] = ()
    called: set[str] = field(default_factory=set)
    """Names of operations, as the candidate called them and as torch ran them."""
    outside: str | None = None
    """The first sign that numbers left torch or came from outside of it."""


class Operations(TorchDispatchMode):
    """Sees every operation that reaches a device, whatever Python name it was called by."""

    def __init__(self, cost: Cost, inputs: list[Tensor]):
        super().__init__()
        self.cost = cost
        # Kept alive: a freed storage's address may be used again.
        self.known = {_storage(t): t for t in inputs}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        with torch._C.DisableTorchFunction():  # our own reading is not the candidate's
            self.count(func, args, kwargs, out)
        return out

    def count(self, func, args, kwargs, out) -> None:
        cost, packet = self.cost, func._overloadpacket
        cost.called.add(str(packet))
        if packet in flop_registry:
            cost.flops += flop_registry[packet](*args, **kwargs, out_val=out)
            cost.products += 1
        elif packet in _EXTRA_FLOPS:
            cost.flops += _EXTRA_FLOPS[packet](*args, **kwargs)
            cost.products += 1
        if packet is torch.ops.aten._local_scalar_dense and args[0].is_floating_point():
            self.outsider(
                "a number was read out of a tensor (.item(), float(...)): a GPU has to be waited "
                "for, and no gradient follows"
            )
        if packet is torch.ops.aten.lift_fresh:
            return  # torch.tensor(data): still unknown, so using it below is seen
        read = [t for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)]
        for t in read:
            self.check_known(t)
        sources = {_storage(t) for t in read}
        for t in tree_leaves(out):
            if not isinstance(t, Tensor):
                continue
            self.known.setdefault(_storage(t), t)
            if _storage(t) not in sources or func._schema.is_mutable:
                cost.written += t.numel()
                if t.numel() > cost.largest:
                    cost.largest, cost.largest_shape = t.numel(), tuple(t.shape)

    def check_known(self, t: Tensor) -> None:
        if t.numel() > 1 and _storage(t) not in self.known:
            self.outsider(
                f"a tensor of shape {tuple(t.shape)} was not computed by this call: it comes from "
                "numpy, from a list or from an earlier call"
            )

    def outsider(self, sign: str) -> None:
        self.cost.outside = self.cost.outside or sign


class Names(TorchFunctionMode):
    """Sees what Python called: operations that torch takes apart before a dispatch mode sees them,
    and the ways out of torch."""

    def __init__(self, cost: Cost):
        super().__init__()
        self.cost = cost

    def __torch_function__(self, func, types, args=(), kwargs=None):
        name = resolve_name(func) or getattr(func, "__name__", repr(func))
        self.cost.called.add(name)
        left = name in _EXITS and args and isinstance(args[0], Tensor)
        if left and args[0].is_floating_point() and self.cost.outside is None:
            name = name.removeprefix("torch.")
            self.cost.outside = f"{name}() takes numbers out of torch, where no GPU can follow"
        return func(*args, **(kwargs or {}))


def _storage(t: Tensor) -> int:
    # A sparse tensor has no storage of its own.
    return t.untyped_storage()._cdata if t.layout == torch.strided else id(t)


@contextmanager
def counted(inputs: list[Tensor], forbid_autograd: bool = False):
    """Yield a ``Cost`` that fills up while the block runs, and a function to give its outputs to.

    With ``forbid_autograd``, recording a graph for a backward pass adds "autograd" to ``called``:
    every way to autograd (``backward``, ``autograd.grad``, ``torch.func``) saves tensors.
    """
    cost = Cost()
    operations = Operations(cost, inputs)

    def returned(outputs) -> None:
        with torch._C.DisableTorchFunction():
            for t in tree_leaves(outputs):
                if isinstance(t, Tensor):
                    operations.check_known(t)

    with called(cost, forbid_autograd), operations:
        yield cost, returned


@contextmanager
def called(cost: Cost, forbid_autograd: bool = False):
    """Note in ``cost`` what Python calls by name, the ways out of torch, and autograd if asked."""

    def saved(t: Tensor) -> Tensor:
        cost.called.add("autograd")
        return t

    with ExitStack() as stack:
        if forbid_autograd:
            stack.enter_context(torch.autograd.graph.saved_tensors_hooks(saved, lambda t: t))
        stack.enter_context(Names(cost))
        yield
