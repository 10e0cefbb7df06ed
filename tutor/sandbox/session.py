"""The processes of one notebook, as the grader sees them: what is asked of them, and their end.

What runs too long is stopped by ``sandbox.time_limits``.
"""

import contextlib
import signal
from typing import Any

from torch import Tensor

from tutor.sandbox import wire
from tutor.sandbox.bubblewrap import Pair, Sandbox
from tutor.sandbox.outputs import error_output, rebuilt
from tutor.sandbox.time_limits import Allowance, Stopwatch, TimeOver, interrupt, kill

_STALE_ANSWERS = 5
"""To requests that were interrupted."""
LARGEST_TEXT = 2**18
"""Bytes that say what the tensors of an answer are. Of a cell's outputs there may be more."""


class Stopped(Exception):
    """A request did not come to its end. Says why, as the rest of a sentence."""

    def __init__(self, reason: str, kind: str):
        super().__init__(reason)
        self.kind = kind


class Waited(Exception):
    """Only a limit of wall time was met: perhaps the machine was busy, and it is worth a try with
    nothing beside it."""


class Session:
    """The processes of one notebook. Where one ends, a fresh one runs the earlier cells again.

    Where only a limit of wall time is met, Waited is raised, unless this is the ``last`` try.
    ``after``: an earlier session of the same try, whose time counts and whose fatal cells are left
    out.
    """

    def __init__(self, sandbox: Sandbox, last: bool = True, after: "Session | None" = None):
        self.sandbox, self.limits, self.last = sandbox, sandbox.limits, last
        self.stopwatch = after.stopwatch if after else Stopwatch(self.limits.wall_factor)
        self.whole = after.whole if after else self.allow("submission_seconds", "the notebook")
        self.cells: list[str] = []
        self.skipped: set[int] = after.skipped if after else set()
        """Cells, by number, in which the process ended."""
        self.errors: dict[int, str] = {}
        self.broken: list[str] = []
        """Sentences on limits that cells have broken."""
        self.waited = False
        """Something was stopped that had processor time left."""
        self.restarts = 0
        self.pair: Pair | None = None
        """None if there is no process: the next request begins one."""
        self.killed = 0
        """Processes of this sandbox that the kernel had ended for their memory before that."""
        self._id = 0

    def allow(self, limit: str, whose: str = "") -> Allowance:
        """What the limit of that name allows from now on."""
        return self.stopwatch.allow(getattr(self.limits, limit), whose)

    def cell(self, source: str, label: str, output_bytes: int) -> list[dict[str, Any]]:
        """Run a cell; its outputs, as a notebook holds them."""
        number = len(self.cells)
        self.cells.append(source)
        if not source.strip():
            return []
        size = max(0, min(output_bytes, self.limits.cell_output_kibibytes * 1024))
        message = {"do": "cell", "source": source, "output_bytes": size}
        try:
            if number in self.skipped:
                raise Stopped("ended its process when it was run before", "Stopped")
            self._living(number)
            reply, _ = self.ask(message, [], "cell_seconds")
            # What the cell holds of memory is its own and not the next one's.
            self.ask_watcher({"do": "look"}, [])
            outputs = rebuilt(reply.get("outputs"), size)
        except Stopped as stop:
            if self.pair is None:
                self.skipped.add(number)
            sentence = f"{label} {stop}"
            if sentence not in self.broken:
                self.broken.append(sentence)
            outputs = [error_output(stop.kind, str(stop))]
        errors = [o for o in outputs if o["output_type"] == "error"]
        if errors:
            self.errors[number] = f"{errors[0]['ename']}: {errors[0]['evalue']}"
        return outputs

    def ask(
        self,
        message: dict[str, Any],
        tensors: list[Tensor],
        seconds: str,
        *allowances: Allowance,
        largest: int | None = None,
    ) -> tuple[dict[str, Any], list[Tensor]]:
        """One request to the student's process; Stopped if its time is up, which is the limit named
        ``seconds`` and what is left of ``allowances``.

        ``largest``: bytes of tensors in the answer.
        """
        self._living(len(self.cells))
        patience = self.stopwatch.patience(self.allow(seconds), *allowances, self.whole)
        try:
            patience()
        except TimeOver as over:  # before it has begun
            raise self.stop(over) from None
        pair, limit = self.pair, self.largest if largest is None else largest
        text = {} if message["do"] == "cell" else {"text_limit": LARGEST_TEXT}
        self._id += 1
        try:
            with self.stopwatch.waiting():
                wire.send(pair.student, {**message, "id": self._id}, tensors, patience)
                return self._reply(pair, patience, limit, **text)
        except TimeOver as over:
            stop = self.stop(over)
            if over.allowance is self.whole:
                self.close()
            else:
                self._interrupt(pair, limit, **text)
            raise stop from None
        except wire.Closed:
            raise Stopped(self._ending(pair), "ProcessEnded") from None
        except wire.Malformed as error:
            self._kill(pair)
            raise Stopped(f"answered with {error}", "MalformedAnswer") from None

    def ask_watcher(
        self, message: dict[str, Any], tensors: list[Tensor]
    ) -> tuple[dict[str, Any], list[Tensor]]:
        """One request to the process that counts."""
        self._living(len(self.cells))
        pair, patience = self.pair, self.stopwatch.patience(self.allow("call_seconds"), self.whole)
        self._id += 1
        try:
            with self.stopwatch.waiting():
                with contextlib.suppress(wire.Closed):  # it has ended, and has said why
                    wire.send(pair.watcher, {**message, "id": self._id}, tensors, patience)
                while True:
                    reply, found = wire.receive(pair.watcher, patience, self.largest)
                    if "ended" in reply:
                        raise Stopped(self._ended(pair, reply["ended"]), "ProcessEnded")
                    if reply.get("id") == self._id:
                        return reply, found
        except TimeOver as over:
            self._kill(pair)
            raise self.stop(over) from None
        except (wire.Closed, wire.Malformed):
            self._kill(pair)
            raise Stopped("used more than can be counted", "ProcessEnded") from None

    def stop(self, over: TimeOver) -> Stopped:
        """What a limit of time comes to. Raises Waited where another try is worth it."""
        if over.waited and not self.last:
            self.close()
            raise Waited
        self.waited |= over.waited
        return Stopped(str(over), "TimeLimitExceeded")

    @property
    def largest(self) -> int:
        """Bytes of an answer."""
        return self.limits.answer_mebibytes * 2**20

    def close(self) -> None:
        """End the processes; the next request begins with fresh ones."""
        if self.pair is not None:
            self._kill(self.pair)

    def _reply(
        self, pair: Pair, patience: wire.Patience, limit: int, **text: int
    ) -> tuple[dict, list[Tensor]]:
        for _ in range(_STALE_ANSWERS):
            reply, found = wire.receive(pair.student, patience, limit, **text)
            if not isinstance(reply, dict):
                raise wire.Malformed("a message that is no answer")
            if reply.get("id") == self._id:
                return reply, found
        raise wire.Malformed("answers that nobody asked for")

    def _interrupt(self, pair: Pair, limit: int, **text: int) -> None:
        """Have the student's process break off what it does; end it if it does not."""
        interrupt(self.sandbox, pair)
        try:
            with self.stopwatch.waiting():
                patience = self.stopwatch.patience(self.allow("grace_seconds"))
                self._reply(pair, patience, limit, **text)
        except TimeOver as over:
            self._kill(pair)
            self.stop(over)
        except (wire.Closed, wire.Malformed):
            self._kill(pair)

    def _ending(self, pair: Pair) -> str:
        """Why the student's process closed its socket."""
        try:
            with self.stopwatch.waiting():
                patience = self.stopwatch.patience(self.allow("call_seconds"))
                with contextlib.suppress(wire.Closed):
                    wire.send(pair.watcher, {"do": "end"}, patience=patience)
                while True:
                    reply, _ = wire.receive(pair.watcher, patience)
                    if "ended" in reply:
                        return self._ended(pair, reply["ended"])
        except (TimeOver, wire.Closed, wire.Malformed):
            self._kill(pair)
            return "closed its connection to the grader"

    def _ended(self, pair: Pair, how: str) -> str:
        self._kill(pair)
        if how == f"signal {signal.SIGKILL.name}" and self.sandbox.out_of_memory() > self.killed:
            how = "memory"
        if how == "memory":
            return f"used more than {self.limits.memory_mebibytes:,} MiB of memory and was stopped"
        return f"ended its process ({how})"

    def _kill(self, pair: Pair) -> None:
        self.pair = None
        self.stopwatch.end()
        kill(self.sandbox, pair)

    def _living(self, number: int) -> None:
        """Have a process in which the cells before ``number`` have run."""
        try:
            self.whole.left()
        except TimeOver as over:
            reason = str(self.stop(over)).replace("was stopped", "was not run")
            raise Stopped(reason, "Stopped") from None
        first = not any(self.cells[:number])
        while self.pair is None:
            if self.restarts > self.limits.restarts:
                times = self.limits.restarts
                reason = f"was not run: the notebook ended its process {times} times"
                raise Stopped(reason, "Stopped")
            self.restarts += not first or self.restarts > 0
            self.pair = self.sandbox.spawn()
            self.killed = self.sandbox.out_of_memory()
            self.stopwatch.begin(self.sandbox.processor_seconds(self.pair))
            self._repeat(number)

    def _repeat(self, number: int) -> None:
        for i, source in enumerate(self.cells[:number]):
            if i in self.skipped or not source.strip():
                continue
            message = {"do": "cell", "source": source, "output_bytes": 0}
            try:
                self.ask(message, [], "cell_seconds")
            except Stopped:
                if self.pair is None:
                    self.skipped.add(i)
                    return
