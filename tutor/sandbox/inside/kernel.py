"""The student's process: runs cells as a notebook does, and calls functions for the judge.

Nothing that it says is believed: it answers requests on one socket, and the judge outside compares
the answers. There is nothing in it that would be worth forging.
"""

import contextlib
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from tutor.checks import composites
from tutor.checks.candidate import Construction, LocalCandidate, LocalInstance
from tutor.checks.modes import usual_modes
from tutor.checks.names import called_by
from tutor.checks.response import Response, Unreadable, crash, settled
from tutor.checks.sequences import flat, refilled
from tutor.sandbox import wire
from tutor.sandbox.inside import replies
from tutor.sandbox.inside.counted import ForwardedInstance, forwarded
from tutor.sandbox.inside.proxy import Forwarding, discard
from tutor.sandbox.inside.shell import OUTPUTS, Shell, Stream

_MOST_OBJECTS = 16
"""That are kept at a time."""


class Kernel:
    """Answers the grader's requests, one at a time, until the socket closes."""

    def __init__(self, link: socket.socket, counter: socket.socket, shell: Shell, device: str):
        self.link, self.counter, self.shell, self.device = link, counter, shell, device
        self.pid = os.getpid()
        self.objects: dict[int, LocalInstance] = {}
        self.before: dict[int, Tensor] = {}
        self.arguments: dict[int, Tensor] = {}
        """Tensors of the judge's last case, by the names that it gives them."""
        self.answers: list[Any] = []
        self.told: set[str] = set()
        """What has told of itself since the last answer."""
        self.judging = contextlib.ExitStack()
        """Open while no cell runs: what cells set is for cells, and not for what is done here."""
        self.modes = self.judging.enter_context(usual_modes())
        """What the cells have set otherwise than usual."""

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
            if self.told:
                reply["told"] = sorted(self.told)
                self.told.clear()
            with _uninterrupted():
                wire.send(self.link, reply, out)

    def _leave_the_links(self) -> None:
        self.link.close()
        self.counter.close()
        composites.refuse()

    def do_cell(self, message: dict, tensors: list, out: list) -> dict[str, Any]:
        OUTPUTS.start(message["output_bytes"])
        interrupted = False
        self.judging.close()
        try:
            result = self.shell.run_cell(message["source"], store_history=True)
            interrupted = isinstance(result.error_in_exec, KeyboardInterrupt)
        finally:
            OUTPUTS.silent = True
            with _uninterrupted():
                self.modes = self.judging.enter_context(usual_modes())
        return {"outputs": OUTPUTS.items, "interrupted": interrupted}

    def do_about(self, message: dict, tensors: list, out: list) -> dict[str, Any]:
        """Whether a name is defined and can be called, which of ``among`` it builds on, and what
        torch is set to."""
        function = self.shell.user_ns.get(message["name"])
        uses = called_by(function, {message["name"]})
        among = [name for name in message["among"] if name in uses]
        return {"callable": callable(function), "uses": among, "modes": list(self.modes)}

    def do_run(self, message: dict, tensors: list, out: list) -> dict[str, Any]:
        """One call of a function."""
        try:
            args, cotangents = self._arguments(message, tensors)
        except Exception as error:
            if self.device == "cpu":
                raise
            # The device's: it is not there, or has no memory left.
            return {"crash": replies.of_place(crash(error.__context__ or error))}
        before = [a.clone() if isinstance(a, Tensor) else None for a in flat(args)]
        response = self._run(message, args, cotangents)
        response = self._settled(response, args, message)
        self.answers = [*self.answers[-1:], response.outputs]
        reply = replies.of_response(response, out)
        if not all(map(replies.unchanged, before, response.args_after)):
            reply["args_after"] = replies.packed(response.args_after, out)
        return reply

    def _run(self, message: dict, args: tuple, cotangents: Any) -> Response:
        candidate = LocalCandidate(self._function(message))
        candidate.told = self.told
        options = {name: message[name] for name in ("forbid_autograd", "widened")}
        return candidate.run(args, cotangents, **options)

    def do_again(self, message: dict, tensors: list, out: list) -> dict[str, Any]:
        """The answer to the call before the last, as it is now."""
        return {"outputs": replies.packed(self.answers[0], out)}

    def do_walk(self, message: dict, tensors: list, out: list) -> dict[str, Any]:
        """One call of a function, whose steps of Python are counted."""
        args, _ = self._arguments(message, tensors)
        response = LocalCandidate(self._function(message)).walk(args)
        cost = response.cost
        response = self._settled(replace(response, args_after=()), args, message)
        reply = replies.of_response(response, out)
        return reply | {"steps": cost.steps, "outside": cost.outside}

    def do_count(self, message: dict, tensors: list, out: list) -> dict[str, Any]:
        """One call of a function, on proxies."""
        discard(self.counter)
        forwarding, function = Forwarding(self.counter), self._function(message)
        args = forwarding.undescribe(message["args"])
        forbidden = message["forbid_autograd"]
        return replies.of_counted(forwarded(lambda: (function(*args), ()), forwarding, forbidden))

    # Objects, by the handles that the judge gives them

    def do_make(self, message: dict, tensors: list, out: list) -> dict[str, Any]:
        """An object of a class; with ``count`` it and its calls know proxies only."""
        options = {n: message[n] for n in ("gradients", "forbid_autograd", "widened")}
        options["names"] = tuple(message["names"])
        if message["count"]:
            discard(self.counter)
            forwarding = Forwarding(self.counter)
            given = Construction(*forwarding.undescribe(message["args"]), **options)
            made = ForwardedInstance(self._function(message), given, forwarding)
        else:
            given = Construction(*self._arguments(message, tensors), **options)
            made = LocalInstance(self._function_on_the_device(message), given, self.told)
        recent = list(self.objects.items())[1 - _MOST_OBJECTS :]
        self.objects = {**dict(recent), message["handle"]: made}
        return self._object_reply(made, made.made, message, out)

    def do_call(self, message: dict, tensors: list, out: list) -> dict[str, Any]:
        """A call of one of its methods."""
        instance = self.objects.get(message["handle"])
        if instance is None:  # it lived in a process that has ended
            return {"gone": True}
        if isinstance(instance, ForwardedInstance):
            discard(self.counter)
            args = instance.forwarding.undescribe(message["args"])
        else:
            args = self._arguments(message, tensors)
        response = instance.call(message["method"], args)
        return self._object_reply(instance, response, message, out)

    def _object_reply(
        self, instance: LocalInstance, response: Response, message: dict, out: list
    ) -> dict[str, Any]:
        if isinstance(instance, ForwardedInstance):
            return replies.of_counted(response)
        return replies.of_response(self._settled(response, tuple(instance.args), message), out)

    def do_end(self, message: dict, tensors: list, out: list) -> dict[str, Any]:
        """What became of all that the calls have returned and were given."""
        instance = self.objects.get(message["handle"])
        if instance is None:
            return {"gone": True}
        cotangents = tree_map(self._to_the_device, wire.unpack(message["args"], tensors))
        args = tuple(instance.args)
        response = self._settled(instance.end(cotangents), args, message)
        after = replies.packed(response.args_after, out)
        return replies.of_response(response, out) | {"args_after": after}

    def _function(self, message: dict) -> Any:
        return self.shell.user_ns.get(message["name"])

    def _function_on_the_device(self, message: dict) -> Callable[..., Any]:
        function = self._function(message)
        if self.device == "cpu":
            return function

        def make(*args: Any, **kwargs: Any) -> Any:
            made = function(*args, **kwargs)
            return made.to(self.device) if isinstance(made, torch.nn.Module) else made

        return make

    def _arguments(self, message: dict, tensors: list) -> tuple[Any, ...]:
        """What was sent, on the device. A tensor, list or mapping that was sent with the last case,
        or with earlier calls of this one, is the same one, refilled."""
        if not message["again"]:
            self.before, self.arguments = self.arguments, {}
        known = {**self.before, **self.arguments}

        def keep(number: int, value: Any) -> Any:
            same = known.get(number)
            if not isinstance(value, Tensor):
                value = refilled(same, value)
            elif same is not None and same.shape == value.shape and same.dtype == value.dtype:
                with torch.no_grad():
                    _refill(same.detach(), value)
                value = same
            else:
                value = self._to_the_device(value)
            self.arguments[number] = value
            return value

        found = wire.unpack(message["args"], tensors, keep, views=True)
        return found if self.device == "cpu" else tree_map(self._to_the_device, found)

    def _to_the_device(self, value: Any) -> Any:
        """The judge counts and compares on the CPU, and asks for it."""
        if isinstance(value, Tensor) and not value.is_meta:
            return value.to(self.device)
        return torch.device(self.device) if value == torch.device("cpu") else value

    def _settled(self, response: Response, args: tuple[Any, ...], message: dict) -> Response:
        """The response as it can be sent."""
        if self.device != "cpu":
            outputs = self._from_the_device(args, response.outputs)
            state = self._from_the_device(args, response.state)
            response = replace(response, outputs=outputs, state=state)
        return settled(response, message["largest"])

    def _from_the_device(self, args: tuple[Any, ...], outputs: Any) -> Any:
        """Where arguments were on the device, so must the answers be; a number may be anywhere."""
        there = torch.device(self.device).type
        if not any(_device(a) == there for a in flat(args)):
            return outputs
        found = [
            Unreadable(f"a tensor on the {t.device}, where the inputs are on the {there}")
            if isinstance(t, Tensor) and t.ndim and t.device.type != there
            else t
            for t in (outputs if isinstance(outputs, tuple) else (outputs,))
        ]
        return tuple(found) if isinstance(outputs, tuple) else found[0]


def _refill(same: Tensor, t: Tensor) -> None:
    """With the numbers of another tensor of its layout; of a view, with those around it, too."""
    if torch.ops.aten.is_non_overlapping_and_dense(t) or same.device != t.device:
        same.copy_(t)
    else:
        same.untyped_storage().copy_(t.untyped_storage())


def _device(value: Any) -> str:
    value = value.device if isinstance(value, Tensor) else value
    return value.type if isinstance(value, torch.device) else ""


@contextlib.contextmanager
def _uninterrupted() -> Iterator[None]:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
