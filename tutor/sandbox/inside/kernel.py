"""The student's process: runs cells as a notebook does, and calls functions for the judge.

Nothing that it says is believed: it answers requests on one socket, and the judge outside compares
the answers. There is nothing in it that would be worth forging.
"""

import contextlib
import os
import signal
import socket
import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import _disable_current_modes
from torch.utils._pytree import tree_map

from tutor.checks import candidate
from tutor.checks.cost import Cost, called
from tutor.sandbox import wire
from tutor.sandbox.inside.proxy import Forwarding, Proxy, discard
from tutor.sandbox.inside.shell import OUTPUTS, Shell, Stream


class Kernel:
    """Answers the grader's requests, one at a time, until the socket closes."""

    def __init__(self, link: socket.socket, counter: socket.socket, shell: Shell, device: str):
        self.link, self.counter, self.shell, self.device = link, counter, shell, device
        self.pid = os.getpid()
        self.objects: dict[int, Any] = {}
        self.arguments: dict[int, Tensor] = {}
        self.answers: list[Any] = []

    def serve(self) -> None:
        # A child of the student's process must not speak, nor read, in its name.
        os.register_at_fork(after_in_child=self._leave_the_links)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        sys.stdout, sys.stderr = Stream("stdout"), Stream("stderr")
        while True:
            try:
                message, tensors = wire.receive(self.link)
            except KeyboardInterrupt:  # an interrupt that came too late for its request
                continue
            except wire.Closed:
                return
            reply: dict[str, Any] = {}
            out: list[Tensor] = []
            try:
                reply = getattr(self, f"do_{message['do']}")(message, tensors, out)
            except KeyboardInterrupt:
                reply, out = {"interrupted": True}, []
            if os.getpid() != self.pid:
                os._exit(0)  # a cell that forked comes back twice; one of them has the link
            reply["id"] = message["id"]
            with _uninterrupted():
                wire.send(self.link, reply, out)

    def _leave_the_links(self) -> None:
        self.link.close()
        self.counter.close()

    def do_cell(self, message: dict, tensors: list, out: list) -> dict[str, Any]:
        OUTPUTS.start(message["output_bytes"])
        interrupted = False
        try:
            result = self.shell.run_cell(message["source"], store_history=True)
            interrupted = isinstance(result.error_in_exec, KeyboardInterrupt)
        finally:
            OUTPUTS.silent = True
        return {"outputs": OUTPUTS.items, "interrupted": interrupted}

    def do_about(self, message: dict, tensors: list, out: list) -> dict[str, Any]:
        """Whether a name is defined and can be called, and which of ``among`` it builds on."""
        function = self.shell.user_ns.get(message["name"])
        uses = candidate.called_by(function, {message["name"]})
        among = [name for name in message["among"] if name in uses]
        return {"callable": callable(function), "uses": among}

    def do_make(self, message: dict, tensors: list, out: list) -> dict[str, Any]:
        """Construct an object of a student's class and keep it under a handle."""
        args, kwargs, state = self._arguments(message, tensors)
        made = candidate.LocalCandidate(self._function(message)).make(args, kwargs, state)
        if isinstance(made, candidate.Crash):
            return {"crash": _crash(made)}
        if self.device != "cpu" and isinstance(made.function, torch.nn.Module):
            made.function.to(self.device)
        handle = len(self.objects)
        self.objects[handle] = made.function
        return {"handle": handle}

    def do_run(self, message: dict, tensors: list, out: list) -> dict[str, Any]:
        try:
            args, cotangents = self._arguments(message, tensors)
        except Exception as error:
            if self.device == "cpu":
                raise
            # The device's: it is not there, or has no memory left.
            return {"crash": _crash(candidate.crash(error.__context__ or error))}
        local = candidate.LocalCandidate(self._function(message))
        if message.get("method"):
            local = local.method(message["method"])
        before = [a.clone() if isinstance(a, Tensor) else None for a in args]
        response = candidate.settled(local.run(args, cotangents), message["largest"])
        if self.device != "cpu":
            response = replace(response, outputs=self._from_the_device(args, response.outputs))
        self.answers = [*self.answers[-1:], response.outputs]
        reply = _respond(response, out)
        if not all(map(_unchanged, before, response.args_after)):
            reply["args_after"] = _pack(response.args_after, out)
        return reply

    def do_again(self, message: dict, tensors: list, out: list) -> dict[str, Any]:
        """The answer to the call before the last, as it is now."""
        return {"outputs": _pack(self.answers[0], out)}

    def do_count(self, message: dict, tensors: list, out: list) -> dict[str, Any]:
        discard(self.counter)
        forwarding = Forwarding(self.counter)
        args = wire.unpack(message["args"], [])
        args = tuple(
            forwarding.proxy(message["proxies"][str(i)]) if str(i) in message["proxies"] else a
            for i, a in enumerate(args)
        )
        cost, crash, outputs = Cost(), None, None
        with candidate.settings_kept():
            try:
                with called(cost, message["forbid_autograd"]), Reading(forwarding), forwarding:
                    outputs = self._function(message)(*args)
                outputs = _proxied(outputs, forwarding)
            except KeyboardInterrupt:
                raise
            except BaseException as error:
                crash = candidate.crash(error)
        claims = {"called": sorted(cost.called)[:2000], "outside": cost.outside}
        return {"outputs": outputs, "crash": _crash(crash), "claims": claims}

    def _function(self, message: dict) -> Any:
        handle = message.get("handle")
        return self.shell.user_ns.get(message["name"]) if handle is None else self.objects[handle]

    def _arguments(self, message: dict, tensors: list) -> tuple[Any, ...]:
        """What was sent, on the device. A tensor that was sent with the last call is the same one,
        refilled."""
        before, self.arguments = self.arguments, {}

        def keep(number: int, t: Tensor) -> Tensor:
            same = before.get(number)
            if same is not None and same.shape == t.shape and same.dtype == t.dtype:
                with torch.no_grad():
                    same.detach().copy_(t)
                t = same
            else:
                t = self._to_the_device(t)
            self.arguments[number] = t
            return t

        found = wire.unpack(message["args"], tensors, keep)
        return found if self.device == "cpu" else tree_map(self._to_the_device, found)

    def _to_the_device(self, value: Any) -> Any:
        """The judge counts and compares on the CPU, and asks for it."""
        if isinstance(value, Tensor) and not value.is_meta:
            return value.to(self.device)
        return torch.device(self.device) if value == torch.device("cpu") else value

    def _from_the_device(self, args: tuple[Any, ...], outputs: Any) -> Any:
        """Where arguments were on the device, so must the answers be; a number may be anywhere."""
        there = torch.device(self.device).type
        if not any(_device(a) == there for a in args):
            return outputs
        found = [
            candidate.Unreadable(f"a tensor on the {t.device}, where the inputs are on the {there}")
            if isinstance(t, Tensor) and t.ndim and t.device.type != there
            else t
            for t in (outputs if isinstance(outputs, tuple) else (outputs,))
        ]
        return tuple(found) if isinstance(outputs, tuple) else found[0]


class Reading(torch.overrides.TorchFunctionMode):
    """Lets ``tolist``, ``numpy`` and the like have the numbers of a proxy, which is noted."""

    _READERS = ("tolist", "numpy", "__array__", "cpu", "__repr__", "__format__", "__str__")

    def __init__(self, forwarding: Forwarding):
        super().__init__()
        self.forwarding = forwarding

    def __torch_function__(self, func, types, args=(), kwargs=None):
        name = getattr(func, "__name__", "")
        if name in self._READERS and args and isinstance(args[0], Proxy):
            args = (self.forwarding.read(args[0]), *args[1:])
            with _disable_current_modes():
                return func(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))


def _proxied(outputs: Any, forwarding: Forwarding) -> Any:
    """The numbers of the outputs in the counting process; a tensor made elsewhere is sent there."""
    if isinstance(outputs, (tuple, list)):
        return {"tuple": [_proxied(x, forwarding) for x in outputs]}
    if type(outputs) in candidate.NUMBERS:
        outputs = candidate.plain_tensor(outputs)
    if type(outputs) is Tensor:
        outputs = forwarding.ask("aten.alias.default", (outputs,), {})
    if type(outputs) is Proxy:
        return {"proxy": outputs.number}
    kind = candidate.plain_tensor(outputs)
    return {"unreadable": kind.description if not isinstance(kind, Tensor) else "a parameter"}


def _respond(response: candidate.Response, out: list[Tensor]) -> dict[str, Any]:
    if response.crash is not None:
        return {"crash": _crash(response.crash)}
    gradients = response.gradients
    return {
        "outputs": _pack(response.outputs, out),
        "gradients": None if gradients is None else _pack(gradients, out),
    }


def _device(value: Any) -> str:
    value = value.device if isinstance(value, Tensor) else value
    return value.type if isinstance(value, torch.device) else ""


def _unchanged(before: Tensor | None, after: Any) -> bool:
    if before is None or before.is_meta:
        return True
    return isinstance(after, Tensor) and after.dtype == before.dtype and torch.equal(before, after)


def _pack(value: Any, out: list[Tensor]) -> Any:
    if isinstance(value, tuple):
        return {"tuple": [_pack(v, out) for v in value]}
    if isinstance(value, candidate.Unreadable):
        return {"unreadable": value.description}
    return wire.pack(value, out)


def _crash(crash: candidate.Crash | None) -> dict[str, Any] | None:
    if crash is None:
        return None
    longest = candidate.LONGEST_MESSAGE
    return {k: v[:longest] if isinstance(v, str) else v for k, v in vars(crash).items()}


@contextlib.contextmanager
def _uninterrupted() -> Iterator[None]:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
