"""What the judge calls when the student's function is in another process.

Arguments go into the sandbox as tensors and numbers, answers come back as such, and nothing else is
believed (``sandbox.answers``).
"""

import contextlib
from collections.abc import Callable, Iterable
from typing import Any

from torch import Tensor
from torch.utils._pytree import tree_leaves

from tutor.checks.candidate import Construction
from tutor.checks.cost import Cost
from tutor.checks.modes import TOLD
from tutor.checks.response import Crash, Response
from tutor.checks.sequences import flat
from tutor.sandbox import answers, wire
from tutor.sandbox.inside.proxy import describe
from tutor.sandbox.session import LARGEST_TEXT, Session, Stopped

_DEATHS_IN_A_CHECK = 3
_FAULT = "AcceleratorError"
_FAULT_SAYS = "made a fault on the GPU, an index outside of a tensor perhaps, and was stopped"
"""After one, CUDA answers no call of that process any more: the next begins a fresh one."""
_OPTIONS = ("gradients", "count", "forbid_autograd", "widened")


class RemoteCandidate:
    """A function or a class in the student's process. ``tutor.checks.candidate.Candidate``."""

    def __init__(self, session: Session, name: str):
        self.session, self.name = session, name
        self.stops: list[str] = []
        """Why calls were stopped."""
        self.counted_crash = ""
        """The kind of an exception that a counted call raised."""
        self.told: set[str] = set()
        self.deaths = 0
        self.allowance = session.allow("check_seconds", "its check")
        self.before: dict[int, tuple[int, Tensor]] = {}
        self.sent: dict[int, tuple[int, Tensor]] = {}
        """Tensors of this case by ``id``, each with the name under which it was sent."""
        self.last = 0
        self.found: tuple[str, ...] | None = None

    def about(self, among: Iterable[str] = ()) -> dict[str, Any]:
        """Whether it is there and can be called, and which functions ``among`` these it uses."""
        message = {"do": "about", "name": self.name, "among": list(among)}
        reply, _ = self.session.ask(message, [], "call_seconds")
        modes, uses = reply.get("modes"), reply.get("uses")
        self.found = tuple(t for t in TOLD if isinstance(modes, list) and t in modes)
        uses = [n for n in message["among"] if n in uses] if isinstance(uses, list) else []
        return {"callable": reply.get("callable") is True, "uses": uses}

    def run(
        self,
        args: tuple[Any, ...],
        cotangents: tuple[Tensor, ...] | None = None,
        count: bool = False,
        forbid_autograd: bool = False,
        widened: bool = False,
    ) -> Response:
        if count:
            message = {"do": "count", "forbid_autograd": forbid_autograd}
            return self.guarded(lambda: self.counted(message, args)[0], args, Cost())
        return self.guarded(lambda: self._run(args, cotangents, forbid_autograd, widened), args)

    def walk(self, args: tuple[Any, ...]) -> Response:
        return self.guarded(lambda: self._walk(args), args, Cost())

    def _walk(self, args: tuple[Any, ...]) -> Response:
        reply, found = self.send({"do": "walk"}, args, also=(None,))
        cost = answers.steps(reply.get("steps"), reply.get("outside"))
        crash = answers.crash(reply.get("crash"), self.session.cells)
        outputs = None if crash else answers.outputs(reply.get("outputs"), found)
        return Response(outputs, args_after=args, crash=crash, cost=cost)

    def reread(self, response: Response) -> Any:
        def again() -> Response:
            reply, tensors = self.ask({"do": "again"}, [])
            return Response(answers.outputs(reply.get("outputs"), tensors))

        found = self.guarded(again)
        return response.outputs if found.crash else found.outputs

    def make(self, construction: Construction) -> "RemoteInstance":
        return RemoteInstance(self, construction)

    def modes(self) -> tuple[str, ...]:
        if self.found is None:
            with contextlib.suppress(Stopped):
                self.about()
        return self.found or ()

    def _run(
        self,
        args: tuple[Any, ...],
        cotangents: tuple[Tensor, ...] | None,
        forbid_autograd: bool,
        widened: bool,
    ) -> Response:
        message = {"do": "run", "forbid_autograd": forbid_autograd, "widened": widened}
        reply, found = self.send(message, args, also=(cotangents,))
        crash = answers.crash(reply.get("crash"), self.session.cells)
        after = answers.after(flat(args), reply.get("args_after"), found)
        if crash:
            return Response(args_after=after, crash=crash)
        gradients = None
        if cotangents is not None:
            gradients = answers.gradients(flat(args), reply.get("gradients"), found)
        outputs, place = answers.outputs(reply.get("outputs"), found), reply.get("narrowed")
        return Response(outputs, (), gradients, after, narrowed=answers.place(place))

    # For the objects of a class, too

    def guarded(
        self, call: Callable[[], Response], args: tuple[Any, ...] = (), cost: Cost | None = None
    ) -> Response:
        """What ``call`` gives; a crash if the student's process does not answer as it should."""
        args = flat(args)
        if self.deaths >= _DEATHS_IN_A_CHECK:
            return Response(args_after=args, crash=Crash("Stopped", self.stops[-1]), cost=cost)
        try:
            return call()
        except Stopped as stop:
            self.stops.append(str(stop))
            self.deaths += 1
            kind, reason = stop.kind, str(stop)
        except wire.Malformed as error:
            kind, reason = "MalformedAnswer", f"it answered with {error}"
        return Response(args_after=args, crash=Crash(kind, reason), cost=cost)

    def ask(
        self, message: dict[str, Any], tensors: list[Tensor], largest: int | None = None
    ) -> tuple[dict, list[Tensor]]:
        asked = {**message, "name": self.name}
        limits = "call_seconds", self.allowance
        reply, found = self.session.ask(asked, tensors, *limits, largest=largest)
        self.told |= answers.told(reply.get("told"))
        if reply.get("interrupted"):
            raise Stopped("was interrupted", "Interrupted")
        if reply.get("gone"):
            raise wire.Malformed("an object that is gone with its process")
        if isinstance(fault := reply.get("crash"), dict) and fault.get("kind") == _FAULT:
            self.session.close()
            raise Stopped(_FAULT_SAYS, _FAULT)
        return reply, found

    def send(
        self,
        message: dict[str, Any],
        value: tuple[Any, ...],
        also: tuple[Any, ...] = (),
        again: bool = False,
        most: int | None = None,
    ) -> tuple[dict, list[Tensor]]:
        """Ask with values, whose tensors, lists and mappings keep their identity, and with others
        ``also``.

        again: a further call of the same case. most: bytes that may come back.
        """
        tensors: list[Tensor] = []
        if not again:
            self.before, self.sent = self.sent, {}
        packed = wire.pack(value, tensors, self._number, views=True)
        if also:
            packed = {"tuple": [packed, *(wire.pack(v, tensors) for v in also)]}
        largest = self.session.largest // 8
        # What was sent may come back: as gradients, and as what became of the arguments.
        most = most or largest + 3 * sum(t.numel() * t.element_size() for t in tensors)
        asked = {**message, "args": packed, "again": again, "largest": largest}
        return self.ask(asked, tensors, most + LARGEST_TEXT)

    def _number(self, value: Tensor | list | dict) -> int:
        """What was sent with the last case, or before in this one, keeps its name."""
        known = self.before.get(id(value)) or self.sent.get(id(value))
        if known is None:
            self.last += 1
            known = (self.last, value)
        self.sent[id(value)] = known
        return known[0]

    def counted(
        self,
        message: dict[str, Any],
        value: tuple[Any, ...],
        names: tuple[str, ...] = (),
        again: bool = False,
        more: bool = False,
    ) -> tuple[Response, list[int | None]]:
        """A call whose work is done, and counted, by the process beside the student's; and the
        numbers under which that process knows the state.

        names: of the state. again: the tensors of the call before are still known. more: and
        those of this one may be needed.
        """
        try:
            return self._counted(message, value, names, again, more)
        except (Stopped, wire.Malformed):
            self.session.close()  # the process that counts may still be at it
            raise

    def _counted(
        self,
        message: dict[str, Any],
        value: tuple[Any, ...],
        names: tuple[str, ...],
        again: bool,
        more: bool,
    ) -> tuple[Response, list[int | None]]:
        tensors: list[Tensor] = []
        inputs = [t for t in tree_leaves(value) if isinstance(t, Tensor)]
        packed = [wire.pack(t, tensors, views=True) for t in inputs]
        begin = {"do": "count", "inputs": packed, "again": again}
        known, _ = self.session.ask_watcher(begin, tensors)
        if "error" in known:
            raise wire.Malformed("a call that cannot be counted")
        proxies = {id(t): about for t, about in zip(inputs, known["proxies"], strict=True)}
        reply, _ = self.ask({**message, "args": describe(value, lambda t: proxies[id(t)])}, [])
        crash = answers.crash(reply.get("crash"), self.session.cells)
        self.counted_crash = self.counted_crash or (crash.kind if crash else "")
        numbers: list[int] = []
        shape, state = None, ()
        if not crash:
            shape = answers.numbered(reply.get("outputs"), numbers)
            state = answers.numbered_state(reply.get("state"), numbers, names, self.session.cells)
        largest = self.session.largest // 2
        asked = {"do": "outputs", "numbers": numbers, "largest": largest, "more": more}
        counted, found = self.session.ask_watcher(asked, [])
        if "error" in counted:
            raise wire.Malformed("a result that was never computed")
        cost = Cost(**{**counted["cost"], "called": set(counted["cost"]["called"])})
        cost.largest_shape = tuple(cost.largest_shape)
        answers.add_claims(cost, reply.get("claims"), crash is not None)
        values = [wire.unpack(spec, found) for spec in counted["outputs"]]
        outputs = None if crash else answers.filled(shape, values)
        told = [numbers[s] if isinstance(s, int) else None for s in state]
        state = answers.filled(state, values)
        response = Response(outputs, state, None, flat(value), crash, cost)
        return response, told


class RemoteInstance:
    """An object in the student's process. ``tutor.checks.candidate.Instance``."""

    def __init__(self, candidate: RemoteCandidate, construction: Construction):
        self.candidate, self.construction = candidate, construction
        candidate.last += 1
        self.handle = candidate.last
        kwargs, state_dict = dict(construction.kwargs), construction.state_dict
        self.given = [
            *flat(construction.args),
            *flat(kwargs.values()),
            *(state_dict or {}).values(),
        ]
        """All arguments so far."""
        self.calls = 0
        self.told: list[int | None] = []
        """Of each name, its number in the process that counts, as the student's process tells."""
        self.held: list[int | None] = []
        value = (construction.args, kwargs, None if state_dict is None else dict(state_dict))
        options = {n: getattr(construction, n) for n in _OPTIONS}
        message = {"do": "make", "names": list(construction.names), **options}
        self.made = self._call(message, value, again=False)

    def call(self, method: str, args: tuple[Any, ...]) -> Response:
        self.given += flat(args)
        return self._call({"do": "call", "method": method}, args, again=True)

    def _call(self, message: dict[str, Any], value: tuple[Any, ...], again: bool) -> Response:
        asked, names = {**message, "handle": self.handle}, self.construction.names
        self.calls += 1

        def call() -> Response:
            if self.construction.count:
                response, self.told = self.candidate.counted(asked, value, names, again, more=True)
                return response
            reply, found = self.candidate.send(asked, value, again=again)
            return self._response(reply, found, answers.outputs)

        return self.candidate.guarded(call, cost=Cost() if self.construction.count else None)

    def _response(self, reply: dict[str, Any], found: list[Tensor], outputs: Any) -> Response:
        cells = self.candidate.session.cells
        if crash := answers.crash(reply.get("crash"), cells):
            return Response(crash=crash)
        state = answers.state(reply.get("state"), found, self.construction.names, cells)
        return Response(outputs(reply.get("outputs"), found), state)

    def end(self, cotangents: tuple[tuple[Tensor | None, ...], ...] | None = None) -> Response:
        args, names = tuple(self.given), self.construction.names

        def outputs(spec: Any, found: list[Tensor]) -> tuple[Any, ...]:
            return answers.of_calls(spec, found, self.calls)

        def call() -> Response:
            tensors: list[Tensor] = []
            most = self.candidate.session.largest
            message = {"do": "end", "handle": self.handle, "largest": most // 8}
            message["args"] = wire.pack(cotangents, tensors)
            reply, found = self.candidate.ask(message, tensors, most)
            response = self._response(reply, found, outputs)
            if response.crash:
                return response
            gradients = None
            if cotangents is not None:
                gradients = answers.gradients(args, reply.get("gradients"), found, names)
            after = answers.after(args, reply.get("args_after"), found)
            return Response(response.outputs, response.state, gradients, after)

        return self.candidate.guarded(call)

    def hold(self) -> None:
        self.held = self.told

    def kept(self) -> tuple[bool, ...]:
        pairs = list(zip(self.held, self.told, strict=False))
        response = self._of_the_counter({"do": "same", "pairs": pairs}, [], "same")
        return (False,) * len(self.construction.names) if response.crash else response.outputs

    def write(self, numbers: tuple[Tensor | None, ...], held: bool) -> Response:
        into, read = (self.held, self.told) if held else (self.told, self.held)
        tensors: list[Tensor] = []
        places = [n for n, new in zip(into, numbers, strict=False) if new is not None]
        new = [wire.pack(t, tensors) for t in numbers if t is not None]
        message = {"do": "write", "into": places, "new": new, "read": read}
        return self._of_the_counter(message, tensors, "read")

    def _of_the_counter(self, message: dict, tensors: list[Tensor], wanted: str) -> Response:
        def call() -> Response:
            reply, found = self.candidate.session.ask_watcher(message, tensors)
            if "error" in reply:
                raise wire.Malformed("tensors that are not there")
            values = tuple(wire.unpack(spec, found) for spec in reply[wanted])
            return Response(values, values)

        return self.candidate.guarded(call)
