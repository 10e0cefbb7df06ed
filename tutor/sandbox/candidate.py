"""What the judge calls when the student's function is in another process.

Arguments go into the sandbox as tensors and numbers, answers come back as such, and nothing else is
believed (``sandbox.answers``).
"""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from tutor.checks import EXERCISES
from tutor.checks.candidate import Crash, Response
from tutor.checks.cost import Cost
from tutor.sandbox import answers, wire
from tutor.sandbox.session import LARGEST_TEXT, Session, Stopped

_DEATHS_IN_A_CHECK = 3


class RemoteCandidate:
    """A function, a class or an object in the student's process. ``tutor.checks.Candidate``."""

    def __init__(
        self,
        session: Session,
        name: str,
        handle: int | None = None,
        attribute: str | None = None,
        parent: "RemoteCandidate | None" = None,
    ):
        self.session, self.name = session, name
        self._where = {"name": name, "handle": handle, "method": attribute}
        root = parent or self
        self._root = root
        if parent is None:
            self.stops: list[str] = []
            """Why calls were stopped."""
            self.deaths = 0
            self.allowance = session.allow("check_seconds", "its check")
            self.sent: dict[int, tuple[int, Tensor]] = {}
            self.last = 0

    def about(self) -> dict[str, Any]:
        among = list(EXERCISES)
        message = {"do": "about", "name": self.name, "among": among}
        reply, _ = self.session.ask(message, [], "call_seconds")
        uses = reply.get("uses")
        uses = [n for n in among if n in uses] if isinstance(uses, list) else []
        return {"callable": reply.get("callable") is True, "uses": uses}

    def run(
        self,
        args: tuple[Any, ...],
        cotangents: tuple[Tensor, ...] | None = None,
        count: bool = False,
        forbid_autograd: bool = False,
    ) -> Response:
        if count:
            return self._guarded(lambda: self._counted(args, forbid_autograd), args, Cost())
        return self._guarded(lambda: self._run(args, cotangents), args)

    def reread(self, response: Response) -> Any:
        def again() -> Response:
            reply, tensors = self._ask({"do": "again"}, [])
            return Response(answers.outputs(reply.get("outputs"), tensors))

        found = self._guarded(again, ())
        return response.outputs if found.crash else found.outputs

    def make(
        self,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any] | None = None,
        state: Mapping[str, Tensor] | None = None,
    ) -> "RemoteCandidate | Crash":
        def construct() -> Any:
            tensors: list[Tensor] = []
            state_dict = None if state is None else dict(state)
            packed = wire.pack((args, dict(kwargs or {}), state_dict), tensors)
            reply, _ = self._ask({"do": "make", "args": packed}, tensors)
            if crash := answers.crash(reply.get("crash")):
                return Response(crash=crash)
            if not isinstance(reply.get("handle"), int):
                raise wire.Malformed("no object")
            return RemoteCandidate(self.session, self.name, reply["handle"], parent=self._root)

        made = self._guarded(construct, args)
        return made.crash if isinstance(made, Response) else made

    def method(self, name: str) -> "RemoteCandidate":
        return RemoteCandidate(
            self.session, self.name, self._where["handle"], name, parent=self._root
        )

    def _guarded(self, call: Any, args: tuple[Any, ...], cost: Cost | None = None) -> Any:
        """What ``call`` gives; a crash if the student's process does not answer as it should."""
        root = self._root
        if root.deaths >= _DEATHS_IN_A_CHECK:
            return Response(args_after=args, crash=Crash("Stopped", root.stops[-1]), cost=cost)
        try:
            return call()
        except Stopped as stop:
            root.stops.append(str(stop))
            root.deaths += 1
            kind, reason = stop.kind, str(stop)
        except wire.Malformed as error:
            kind, reason = "MalformedAnswer", f"it answered with {error}"
        return Response(args_after=args, crash=Crash(kind, reason), cost=cost)

    def _ask(
        self, message: dict[str, Any], tensors: list[Tensor], largest: int | None = None
    ) -> tuple[dict, list[Tensor]]:
        asked = {**message, **self._where}
        limits = "call_seconds", self._root.allowance
        reply, found = self.session.ask(asked, tensors, *limits, largest=largest)
        if reply.get("interrupted"):
            raise Stopped("was interrupted", "Interrupted")
        return reply, found

    def _number(self, before: dict[int, tuple[int, Tensor]]) -> Any:
        """Names for tensors: one that was sent with the last call keeps its own."""
        root = self._root
        root.sent = {}

        def number(t: Tensor) -> int:
            known = before.get(id(t)) or root.sent.get(id(t))
            if known is None:
                root.last += 1
                known = (root.last, t)
            root.sent[id(t)] = known
            return known[0]

        return number

    def _run(self, args: tuple[Any, ...], cotangents: tuple[Tensor, ...] | None) -> Response:
        tensors: list[Tensor] = []
        packed = wire.pack(args, tensors, self._number(self._root.sent))
        both = {"tuple": [packed, wire.pack(cotangents, tensors)]}
        largest = self.session.largest // 8
        # What was sent may come back: as gradients, and as what became of the arguments.
        most = largest + 3 * sum(t.numel() * t.element_size() for t in tensors) + LARGEST_TEXT
        reply, found = self._ask({"do": "run", "args": both, "largest": largest}, tensors, most)
        crash = answers.crash(reply.get("crash"))
        after = answers.after(args, reply.get("args_after"), found)
        if crash:
            return Response(args_after=after, crash=crash)
        gradients = None
        if cotangents is not None:
            gradients = answers.gradients(args, reply.get("gradients"), found)
        return Response(answers.outputs(reply.get("outputs"), found), gradients, after)

    def _counted(self, args: tuple[Any, ...], forbid_autograd: bool) -> Response:
        try:
            return self._count(args, forbid_autograd)
        except (Stopped, wire.Malformed):
            self.session.close()  # the process that counts may still be at it
            raise

    def _count(self, args: tuple[Any, ...], forbid_autograd: bool) -> Response:
        tensors: list[Tensor] = []
        places = [i for i, a in enumerate(args) if isinstance(a, Tensor)]
        inputs = [wire.pack(args[i], tensors) for i in places]
        known, _ = self.session.ask_watcher({"do": "count", "inputs": inputs}, tensors)
        if "error" in known:
            raise wire.Malformed("a call that cannot be counted")
        plain = tuple(None if isinstance(a, Tensor) else a for a in args)
        message = {
            "do": "count",
            "args": wire.pack(plain, []),
            "proxies": {str(i): about for i, about in zip(places, known["proxies"], strict=True)},
            "forbid_autograd": forbid_autograd,
        }
        reply, _ = self._ask(message, [])
        crash = answers.crash(reply.get("crash"))
        numbers: list[int] = []
        shape = None if crash else answers.numbered(reply.get("outputs"), numbers)
        asked = {"do": "outputs", "numbers": numbers, "largest": self.session.largest // 2}
        counted, found = self.session.ask_watcher(asked, [])
        if "error" in counted:
            raise wire.Malformed("a result that was never computed")
        cost = Cost(**{**counted["cost"], "called": set(counted["cost"]["called"])})
        cost.largest_shape = tuple(cost.largest_shape)
        answers.add_claims(cost, reply.get("claims"))
        values = [wire.unpack(spec, found) for spec in counted["outputs"]]
        return Response(None if crash else answers.filled(shape, values), None, args, crash, cost)
