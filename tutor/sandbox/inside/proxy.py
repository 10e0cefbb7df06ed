"""Tensors without numbers: the student's side of a counted call.

A ``Proxy`` knows its shape, dtype and strides, and while the call runs its class is ``Tensor``.
Whatever torch does with it goes to the process that counts (``inside.counter``), which holds the
numbers, does the work there, and answers with the description of the result. So the count is taken
where no code of the student's runs, and work that would escape it has nothing to work on.
"""

import contextlib
import json
import socket
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils._mode_utils import no_dispatch
from torch.utils._python_dispatch import _disable_current_modes

from tutor.checks.cost import TakingApart
from tutor.checks.table_model import TableModel
from tutor.sandbox import wire

LARGEST_MESSAGE = 2**17
"""Bytes of one operation's message or answer; a socket's buffer holds no more by default."""

_READ_AT_ONCE = 2**12
"""Numbers of which each may take all the digits of a double."""

_ERRORS = {
    e.__name__: e for e in (RuntimeError, ValueError, TypeError, IndexError, NotImplementedError)
}


def discard(link: socket.socket) -> None:
    """What was sent between two counts is no part of the next one, on either side: questions that
    nobody asked, and their answers, which would leave no room for those of the next count."""
    with contextlib.suppress(OSError):  # there is no more
        for _ in range(10_000):
            if not link.recv(LARGEST_MESSAGE, socket.MSG_DONTWAIT):
                return  # closed: the next look at it says so


class Proxy(Tensor):
    __torch_function__ = torch._C._disabled_torch_function_impl

    @classmethod
    def of(cls, about: dict[str, Any]) -> "Proxy":
        return Tensor._make_wrapper_subclass(
            cls,
            about["shape"],
            strides=about["strides"],
            storage_offset=about["offset"],
            dtype=getattr(torch, about["dtype"]),
            device="cpu",
        )

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        # Only where no ``Forwarding`` is active: another thread, or after the call.
        raise RuntimeError("work on a graded call's tensors belongs into that call and its thread")

    def __repr__(self, *, tensor_contents=None) -> str:
        return f"tensor(..., size={tuple(self.shape)}, dtype={self.dtype})"


class Forwarding(TakingApart):
    """Sends every operation that is called while it is active to the counting process."""

    asked = 0
    """Questions of this process so far."""

    def __init__(self, link: socket.socket):
        super().__init__()
        self.link = link
        self.proxies: dict[int, Tensor] = {}
        """By their names in the counting process."""
        self.numbers: dict[int, int] = {}
        """These names, by the ids of the proxies."""
        self.kinds: dict[int, type] = {}
        """What the class of each is while a call runs."""
        self.running = False

    def proxy(self, about: dict[str, Any]) -> Tensor:
        number = about["proxy"]
        known = self.proxies.get(number)
        if known is None:
            known = self.proxies[number] = Proxy.of(about)
            self.numbers[id(known)] = number
            self._be(number, Tensor)
        return known

    def number(self, value: Any) -> int | None:
        """The name of a proxy; None of everything else."""
        return self.numbers.get(id(value))

    def _be(self, number: int, kind: type) -> None:
        self.kinds[number] = kind
        if self.running:
            self.proxies[number].__class__ = kind

    @contextlib.contextmanager
    def call(self) -> Iterator[None]:
        """While a call runs, its tensors look like torch's own, whoever asks for their class; what
        is kept of them afterwards can still be printed."""
        self.running, make = True, Tensor._make_subclass
        for number, kind in self.kinds.items():
            self._be(number, kind)

        def made(cls: type, data: Tensor, requires_grad: bool = False) -> Tensor:
            """As torch makes a parameter of a tensor, which no mode sees."""
            if self.number(data) is None:
                return make(cls, data, requires_grad)
            same = data.detach()
            self._be(self.number(same), cls)
            return same.requires_grad_(requires_grad)

        Tensor._make_subclass = staticmethod(made)
        try:
            with self:
                yield
        finally:
            del Tensor._make_subclass  # it is the base class's own
            self.running = False
            for proxy in self.proxies.values():
                proxy.__class__ = Proxy

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        # Here and not where it is counted: no parts are known there but torch's smallest.
        answer = self.apart(func, args, kwargs or {})
        if answer is not NotImplemented:
            return answer
        answer = self.ask(str(func), args, kwargs or {})
        if torch.Tag.inplace_view in func.tags:  # squeeze_: the proxy's own shape changes, too
            with no_dispatch():
                func(*args, **(kwargs or {}))
        return answer

    def read(self, proxy: Tensor) -> Tensor:
        """The numbers themselves, which the counting process takes note of."""
        parts = [
            self.ask("read", (proxy, start, start + _READ_AT_ONCE), {})
            for start in range(0, max(proxy.numel(), 1), _READ_AT_ONCE)
        ]
        with _disable_current_modes():
            return torch.cat(parts).reshape(proxy.shape)

    def ask(self, operation: str, args: tuple, kwargs: dict) -> Any:
        Forwarding.asked += 1
        asked = [Forwarding.asked, operation, self.describe(args), self.describe(kwargs)]
        message = json.dumps(asked).encode()
        if len(message) > LARGEST_MESSAGE:
            raise RuntimeError(f"{operation} brings {len(message):,} bytes from outside torch")
        self.link.send(message)
        answer: dict[str, Any] = {}
        while answer.get("id") != Forwarding.asked:  # answers to a call that was interrupted
            received = self.link.recv(LARGEST_MESSAGE)
            if not received:
                raise RuntimeError("nothing counts any more")
            answer = json.loads(received)
        if "error" in answer:
            raise _ERRORS.get(answer["error"], RuntimeError)(answer["message"])
        return self.undescribe(answer["value"])

    def undescribe(self, spec: Any) -> Any:
        return undescribe(spec, self.proxy)

    def describe(self, value: Any) -> Any:
        return describe(value, self._name)

    def _name(self, t: Tensor) -> dict[str, int] | None:
        number = self.number(t)
        return None if number is None else {"proxy": number}


def describe(value: Any, name: Any) -> Any:
    """JSON for what an operation takes or gives; ``name(tensor)`` may describe a tensor."""

    def one(v: Any) -> Any:
        if isinstance(v, Tensor):
            known = name(v)
            return numbers(v) if known is None else known
        if isinstance(v, (tuple, list)):
            return {type(v).__name__ if type(v) in (tuple, list) else "tuple": [one(x) for x in v]}
        if isinstance(v, dict):
            return {"dict": [[k, one(x)] for k, x in v.items()]}
        if isinstance(v, TableModel):
            return {"model": [*map(one, v.tensors), v.fade]}
        if isinstance(v, (torch.SymInt, torch.SymFloat, torch.SymBool)):
            raise TypeError("symbolic sizes cannot be counted")
        return wire.pack(v, [])

    return one(value)


def numbers(t: Tensor) -> dict[str, Any]:
    with torch._C.DisableTorchFunction(), _disable_current_modes():
        t = t.detach().contiguous()
        about = {"dtype": str(t.dtype).removeprefix("torch."), "shape": list(t.shape)}
        return about | {"numbers": t.flatten().tolist()}


def undescribe(spec: Any, named: Any) -> Any:
    """The value of such JSON; ``named(about)`` gives the tensor of a description with a proxy."""

    def one(s: Any) -> Any:
        if not isinstance(s, dict):
            return s
        if "proxy" in s:
            return named(s)
        if "numbers" in s:
            with _disable_current_modes():
                dtype = getattr(torch, s["dtype"])
                return torch.tensor(s["numbers"], dtype=dtype).reshape(s["shape"])
        (kind,) = s
        if kind in ("tuple", "list"):
            return (tuple if kind == "tuple" else list)(one(x) for x in s[kind])
        if kind == "dict":
            return {k: one(x) for k, x in s[kind]}
        if kind == "model":
            return TableModel(*map(one, s[kind]))
        return wire.unpack(s, [])

    return one(spec)
