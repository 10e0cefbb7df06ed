"""Calls whose work is done in the counting process, as the student's process makes them."""

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import _disable_current_modes
from torch.utils._pytree import tree_map

from tutor.checks.candidate import Construction, LocalInstance
from tutor.checks.cost import FROM_NUMBERS, Cost, called, numbers_in
from tutor.checks.modes import call_modes
from tutor.checks.response import NUMBERS, Crash, Response, caller, crash, plain_tensor
from tutor.checks.widened import widened
from tutor.sandbox.inside.proxy import Forwarding


class Reading(torch.overrides.TorchFunctionMode):
    """Lets ``tolist``, ``numpy`` and the like have the numbers of a proxy, which is noted."""

    _READERS = ("tolist", "numpy", "__array__", "cpu", "__repr__", "__format__", "__str__")

    def __init__(self, forwarding: Forwarding):
        super().__init__()
        self.forwarding = forwarding

    def __torch_function__(self, func, types, args=(), kwargs=None):
        name = getattr(func, "__name__", "")
        if name in self._READERS and args and self.forwarding.number(args[0]) is not None:
            args = (self.forwarding.read(args[0]), *args[1:])
            with _disable_current_modes():
                return func(*args, **(kwargs or {}))
        if func in FROM_NUMBERS and numbers_in(args):
            args = tree_map(self._number, args)
        return func(*args, **(kwargs or {}))

    def _number(self, value: Any) -> Any:
        known = self.forwarding.number(value) is not None
        return self.forwarding.read(value).item() if known else value


def forwarded(
    act: Callable[[], tuple[Any, tuple[Any, ...]]],
    forwarding: Forwarding,
    forbid_autograd: bool,
    wide: bool = False,
) -> Response:
    """What ``act`` gives, an answer and a state; both are described by the numbers of proxies."""
    cost = Cost()
    forwarding.callers = cost.called
    with call_modes():
        try:
            widening = widened(caller) if wide else nullcontext()
            with Reading(forwarding), called(cost, forbid_autograd), forwarding.call(), widening:
                answer, state = act()
            outputs = _proxied(answer, forwarding)
            parts = tuple(p if isinstance(p, Crash) else _proxied(p, forwarding) for p in state)
            return Response(outputs, parts, cost=cost)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            return Response(crash=crash(error), cost=cost)


class ForwardedInstance(LocalInstance):
    """An object that knows proxies only, from its construction on."""

    def __init__(
        self, made_by: Callable[..., Any], construction: Construction, forwarding: Forwarding
    ):
        self.forwarding = forwarding
        super().__init__(made_by, construction)

    def respond(self, act: Callable[[], Any], args: tuple[Any, ...]) -> Response:
        asked = self.construction.forbid_autograd, self.construction.widened
        return forwarded(lambda: (act(), self.read()), self.forwarding, *asked)


def _proxied(outputs: Any, forwarding: Forwarding) -> Any:
    """The numbers of the outputs in the counting process; a tensor made elsewhere is sent there."""
    if isinstance(outputs, (tuple, list)):
        return {"tuple": [_proxied(x, forwarding) for x in outputs]}
    if type(outputs) in NUMBERS:
        outputs = plain_tensor(outputs)
    if type(outputs) is Tensor:
        outputs = forwarding.ask("aten.alias.default", (outputs,), {})
    if (number := forwarding.number(outputs)) is not None:
        return {"proxy": number}
    kind = plain_tensor(outputs)
    return {"unreadable": kind.description if not isinstance(kind, Tensor) else "a parameter"}
