"""Counting the work of a call: no clock, so the same answer on every machine."""

import sys
from collections.abc import Iterator, Set
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode, resolve_name
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from tutor.checks.composites import composites
from tutor.checks.known import (
    EXTRA_FLOPS,
    SAME_FLOPS,
    countable,
    harmless,
    known_by_name,
    taken_apart,
    tells,
)
from tutor.checks.library import callers
from tutor.checks.recorder import recorded

_NUMBER = (
    "a number was read out of a tensor (.item(), float(...), int(...)): a GPU has to be waited "
    "for, and no gradient follows"
)
SHAPE = (
    "a shape hangs on numbers (x[keep] with a boolean mask, nonzero, unique): a GPU has to be "
    "waited for until it is known; masked_fill and torch.where need no such shape"
)
_MOST_READINGS = 16
"""Truth values of computed numbers that one call may read, as in ``if x.isnan().any()``."""

# Functions through which numbers leave their device for numpy, Python or a raw buffer.
_EXITS = {
    f"torch.Tensor.{name}"
    for name in ("cpu", "numpy", "__array__", "tolist", "__dlpack__", "data_ptr", "storage")
} | {"torch.Tensor.untyped_storage", "torch.utils.dlpack.to_dlpack"}


FROM_NUMBERS = (torch.tensor, torch.as_tensor, Tensor.new_tensor)
"""They read the numbers of tensors that stand in a list, unseen by any dispatch mode."""


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
    unseen: bool = False
    """The numbers left, or came, in bulk: what was done with them elsewhere is not known."""
    uncountable: str | None = None
    """The first operation whose work is not known. ``unseen`` too if it might be anything."""
    trail: tuple[int, str] | None = None
    """Of the operations in their order, as torch's recorder tells (``recorder.Trail``)."""
    steps: int = 0
    """Of Python (``steps.stepped``), where these are counted and nothing else."""


def _tensors(tree) -> list[Tensor]:
    return [t for t in tree_leaves(tree) if isinstance(t, Tensor)]


def operands(*values: Any) -> list[Tensor]:
    """Tensors among what an operation takes or gives. There are no other containers than these in
    it, and ``tree_leaves``, which knows all, takes several times as long for each operation."""
    found: list[Tensor] = []
    for value in values:
        if isinstance(value, Tensor):
            found.append(value)
        elif isinstance(value, tuple | list):
            found += operands(*value)
        elif isinstance(value, dict):
            found += operands(*value.values())
    return found


class TakingApart(TorchDispatchMode):
    """Sees the parts of operations whose work is not known, and not these themselves."""

    def __init__(self):
        super().__init__()
        self.open: set[Any] = set()
        """Operations that are being taken apart: one may be a part of itself."""
        self.callers: set[str] = set()
        """Names of library functions that have called one."""

    def apart(self, func, args, kwargs) -> Any:
        """What it gives, by its parts; NotImplemented if it has none."""
        if not self.open:  # or the library's functions are those that take it apart
            self.look()
        how = None if func in self.open else taken_apart(func)
        if how is None:
            return NotImplemented
        self.open.add(func)
        try:
            with self:
                return how(*args, **kwargs)
        finally:
            self.open.discard(func)

    def look(self) -> None:
        """At who has called the operation that is about to be done."""
        self.callers |= callers(sys._getframe(2))


class Operations(TakingApart):
    """Sees every operation that reaches a device, whatever Python name it was called by."""

    def __init__(self):
        super().__init__()
        # Kept alive: a freed storage's address may be used again.
        self.known: dict[int, Tensor] = {}
        self.computed: set[int] = set()
        """Storages whose contents depend on the inputs' numbers, bits and truth values included."""

    def begin(self, inputs: list[Tensor]) -> Cost:
        """A call with these inputs. What an earlier call has computed, it may use."""
        self.cost, self.readings = Cost(), 0
        self.callers = self.cost.called
        self.known |= {storage(t): t for t in inputs}
        self.computed |= {storage(t) for t in inputs if t.is_floating_point()}
        return self.cost

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if (out := self.apart(func, args, kwargs)) is not NotImplemented:
            self.cost.called.add(str(func._overloadpacket))
            return out
        try:
            out = func(*args, **kwargs)
        except Exception:
            self.cost.called.add(str(func._overloadpacket))
            if func._schema.is_mutable:  # who knows what it had written by then
                touched = operands(args, kwargs)
                self.computed |= {storage(t) for t in touched}
                self.cost.written += sum(t.numel() for t in touched)
            raise
        with torch._C.DisableTorchFunction():  # our own reading is not the candidate's
            self.count(func, args, kwargs, out)
        return out

    def count(self, func, args, kwargs, out) -> None:
        cost, packet = self.cost, func._overloadpacket
        cost.called.add(str(packet))
        if not countable(func):
            cost.uncountable = cost.uncountable or str(packet)
            cost.unseen = cost.unseen or not harmless(func)
        packet = SAME_FLOPS.get(packet, packet)
        try:
            if packet in flop_registry:
                cost.flops += flop_registry[packet](*args, **kwargs, out_val=out)
                cost.products += 1
            elif packet in EXTRA_FLOPS:
                cost.flops += EXTRA_FLOPS[packet](*args, **kwargs)
                cost.products += 1
        except Exception:  # a form of it that the formula does not know
            cost.uncountable = cost.uncountable or str(packet)
        self.check_reading(func, args, out)
        if packet is torch.ops.aten.lift_fresh:
            return  # torch.tensor(data): still unknown, so using it below is seen
        read = operands(args, kwargs)
        for t in read:
            self.check_known(t)
        sources = {storage(t) for t in read}
        depends = not sources.isdisjoint(self.computed)
        for t in operands(out):
            if depends:
                self.computed.add(storage(t))
            self.known.setdefault(storage(t), t)
            if storage(t) not in sources or func._schema.is_mutable:
                cost.written += t.numel()
                if t.numel() > cost.largest:
                    cost.largest, cost.largest_shape = t.numel(), tuple(t.shape)

    def check_reading(self, func, args, out) -> None:
        """Note where Python learns a number, or a shape that hangs on one."""
        reads, shapes = tells(func._overloadpacket)
        if not (reads or shapes):
            return
        tensors = operands(args)
        if shapes and func._overloadpacket is torch.ops.aten.index:  # what chooses, not what from
            tensors = [t for t in tensors[1:] if t.dtype in (torch.bool, torch.uint8)]
        if not any(storage(t) in self.computed for t in tensors):
            return
        self.readings += 1
        if not isinstance(out, bool) or self.readings > _MOST_READINGS:
            self.outsider(SHAPE if shapes else _NUMBER, self.readings > _MOST_READINGS)

    def check_known(self, t: Tensor) -> None:
        if t.numel() > 1 and storage(t) not in self.known:
            self.outsider(
                f"a tensor of shape {tuple(t.shape)} was not computed by this call: it comes from "
                "numpy, from a list or from an earlier call"
            )

    def outsider(self, sign: str, in_bulk: bool = True) -> None:
        self.cost.outside = self.cost.outside or sign
        self.cost.unseen = self.cost.unseen or in_bulk


class Names(TorchFunctionMode):
    """Sees what Python called: operations that torch takes apart before a dispatch mode sees them,
    and the ways out of torch."""

    def __init__(self, cost: Cost, computed: Set[int] = frozenset()):
        """``computed`` as in ``Operations``."""
        super().__init__()
        self.cost, self.computed = cost, computed

    def __torch_function__(self, func, types, args=(), kwargs=None):
        name = resolve_name(func) or getattr(func, "__name__", repr(func))
        self.cost.called.add(name)
        left = name in _EXITS and args and isinstance(args[0], Tensor)
        if left and self.cost.outside is None and self._matters(args[0], name):
            name = name.removeprefix("torch.")
            self.cost.unseen = True
            self.cost.outside = f"{name}() takes numbers out of torch, where no GPU can follow"
        if func in FROM_NUMBERS and numbers_in(args):
            name = name.removeprefix("torch.")
            sign = f"{name}([...]) takes numbers out of tensors: torch.stack keeps them there"
            self.cost.outside = self.cost.outside or sign
        if func is Tensor.__deepcopy__ and args[0].is_leaf and args[0].__class__ is Tensor:
            return _deep_copy(*args)
        return func(*args, **(kwargs or {}))

    def _matters(self, t: Tensor, name: str) -> bool:
        """Of whole numbers and truth values, those that were computed, where they are read."""
        with torch._C.DisableTorchFunction():
            whole = name != "torch.Tensor.cpu" and storage(t) in self.computed
            return t.is_floating_point() or whole


def numbers_in(args: tuple[Any, ...]) -> list[Tensor]:
    """Tensors in the lists among what a function is given, and not what it is given itself."""
    return [t for a in args if isinstance(a, list | tuple) for t in _tensors(a)]


def _deep_copy(t: Tensor, memo: dict[int, Any]) -> Tensor:
    """As torch makes it, which reads the memory to do so; but no number leaves torch by it."""
    if id(t) not in memo:
        memo[id(t)] = t.detach().clone().requires_grad_(t.requires_grad)
    return memo[id(t)]


def storage(t: Tensor) -> int:
    # A sparse tensor has no storage of its own.
    return t.untyped_storage()._cdata if t.layout == torch.strided else id(t)


def same_memory(a: Tensor, b: Tensor) -> bool:
    """Whether they are the same elements at the same place."""
    places = [(storage(t), t.storage_offset(), t.shape, t.stride(), t.dtype) for t in (a, b)]
    return places[0] == places[1]


class Counter:
    """Counts calls, one by one, that may share tensors: those of an object, say."""

    def __init__(self, forbid_autograd: bool = False):
        self.operations, self.forbid_autograd = Operations(), forbid_autograd

    @contextmanager
    def call(self, inputs: list[Tensor]) -> Iterator[Cost]:
        """Yield a ``Cost`` that fills up while the block runs.

        With ``forbid_autograd``, recording a graph for a backward pass adds "autograd" to
        ``called``: every way to autograd (``backward``, ``autograd.grad``, ``torch.func``) saves
        tensors.
        """
        cost = self.operations.begin(inputs)
        with called(cost, self.forbid_autograd, self.operations.computed), self.operations:
            yield cost

    def returned(self, outputs) -> None:
        """Inside of the block: look where the call's outputs come from."""
        with torch._C.DisableTorchFunction():
            for t in _tensors(outputs):
                self.operations.check_known(t)


@contextmanager
def counted(inputs: list[Tensor], forbid_autograd: bool = False):
    """Count one call: yield its ``Cost``, and a function to give its outputs to."""
    counter = Counter(forbid_autograd)
    with counter.call(inputs) as cost:
        yield cost, counter.returned


def autograd_told(names: set[str]) -> AbstractContextManager:
    """Within it, what records a graph for a backward pass adds "autograd" to the names."""

    def saved(t: Tensor) -> Tensor:
        names.add("autograd")
        return t

    return torch.autograd.graph.saved_tensors_hooks(saved, lambda t: t)


@contextmanager
def called(cost: Cost, forbid_autograd: bool = False, computed: Set[int] = frozenset()):
    """Note in ``cost`` what Python calls by name, what tells of itself, what torch's recorder sees,
    the ways out of torch, and autograd if asked."""

    with ExitStack() as stack:
        stack.enter_context(composites(cost.called))
        record = stack.enter_context(recorded(known_by_name))
        if forbid_autograd:
            stack.enter_context(autograd_told(cost.called))
        stack.enter_context(Names(cost, computed))
        yield
    cost.called |= record.names
    cost.trail = record.trail
