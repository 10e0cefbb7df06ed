"""The processes of one notebook, as the grader sees them: what is asked of them, and their end.

A cell or a call that runs too long is interrupted, and its process killed if it goes on.
"""

import signal
import time
from typing import Any

from torch import Tensor

from tutor.sandbox import wire
from tutor.sandbox.bubblewrap import Pair, Sandbox
from tutor.sandbox.outputs import error_output, rebuilt

_STALE_ANSWERS = 5
"""To requests that were interrupted."""
LARGEST_TEXT = 2**18
"""Bytes that say what the tensors of an answer are. Of a cell's outputs there may be more."""


class Stopped(Exception):
    """A request did not come to its end. Says why, as the rest of a sentence."""

    def __init__(self, reason: str, kind: str):
        super().__init__(reason)
        self.kind = kind


class Session:
    """The processes of one notebook. Where one ends, a fresh one runs the earlier cells again."""

    def __init__(
        self, sandbox: Sandbox, deadline: float | None = None, skipped: set[int] | None = None
    ):
        self.sandbox, self.limits = sandbox, sandbox.limits
        self.deadline = deadline or time.monotonic() + self.limits.submission_seconds
        self.cells: list[str] = []
        self.skipped = set() if skipped is None else skipped
        """Cells, by number, in which the process ended."""
        self.errors: dict[int, str] = {}
        self.broken: list[str] = []
        """Sentences on limits that cells have broken."""
        self.restarts = 0
        self._pair: Pair | None = None
        self._id = 0

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
            reply, _ = self.ask(message, [], self.limits.cell_seconds)
            outputs = rebuilt(reply.get("outputs"), size)
        except Stopped as stop:
            if self._pair is None:
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
        seconds: float,
        late: str = "",
        largest: int | None = None,
    ) -> tuple[dict[str, Any], list[Tensor]]:
        """One request to the student's process; Stopped, saying ``late``, if its time is out.

        ``largest``: bytes of tensors in the answer.
        """
        self._living(len(self.cells))
        pair = self._pair
        deadline = min(time.monotonic() + seconds, self.deadline)
        limit = self.largest if largest is None else largest
        text = {} if message["do"] == "cell" else {"text_limit": LARGEST_TEXT}
        self._id += 1
        try:
            pair.student.settimeout(max(deadline - time.monotonic(), 1e-3))
            wire.send(pair.student, {**message, "id": self._id}, tensors)
            return self._reply(pair, deadline, limit, **text)
        except wire.Late:
            late = late or f"ran longer than {seconds:g} s and was stopped"
            raise self._interrupt(pair, late, limit, **text) from None
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
        pair = self._pair
        seconds = self.limits.call_seconds
        self._id += 1
        try:
            pair.watcher.settimeout(seconds)
            wire.send(pair.watcher, {**message, "id": self._id}, tensors)
            deadline = time.monotonic() + seconds
            while True:
                reply, found = wire.receive(pair.watcher, deadline, self.largest)
                if "ended" in reply:
                    raise Stopped(self._ended(pair, reply["ended"]), "ProcessEnded")
                if reply.get("id") == self._id:
                    return reply, found
        except (wire.Late, wire.Closed, wire.Malformed):
            self._kill(pair)
            raise Stopped("used more than can be counted", "ProcessEnded") from None

    @property
    def largest(self) -> int:
        """Bytes of an answer."""
        return self.limits.answer_mebibytes * 2**20

    def close(self) -> None:
        """End the processes; the next request begins with fresh ones."""
        if self._pair is not None:
            self._kill(self._pair)

    def _reply(
        self, pair: Pair, deadline: float, limit: int, **text: int
    ) -> tuple[dict, list[Tensor]]:
        for _ in range(_STALE_ANSWERS):
            reply, found = wire.receive(pair.student, deadline, limit, **text)
            if not isinstance(reply, dict):
                raise wire.Malformed("a message that is no answer")
            if reply.get("id") == self._id:
                return reply, found
        raise wire.Malformed("answers that nobody asked for")

    def _interrupt(self, pair: Pair, reason: str, limit: int, **text: int) -> Stopped:
        over = time.monotonic() >= self.deadline
        if over:
            total = self.limits.submission_seconds
            reason = f"was stopped: the notebook ran longer than {total:g} s"
        self.sandbox.signal(pair.pids[:1], signal.SIGINT)
        try:
            if over:
                raise wire.Late
            self._reply(pair, time.monotonic() + self.limits.grace_seconds, limit, **text)
        except (wire.Late, wire.Closed, wire.Malformed):
            self._kill(pair)
        return Stopped(reason, "TimeLimitExceeded")

    def _ending(self, pair: Pair) -> str:
        """Why the student's process closed its socket."""
        try:
            deadline = time.monotonic() + 2
            while True:
                reply, _ = wire.receive(pair.watcher, deadline)
                if "ended" in reply:
                    return self._ended(pair, reply["ended"])
        except (wire.Late, wire.Closed, wire.Malformed):
            self._kill(pair)
            return "closed its connection to the grader"

    def _ended(self, pair: Pair, how: str) -> str:
        self._kill(pair)
        if how == "memory":
            return f"used more than {self.limits.memory_mebibytes:,} MiB of memory and was stopped"
        return f"ended its process ({how})"

    def _kill(self, pair: Pair) -> None:
        self._pair = None
        pair.close()
        self.sandbox.signal(pair.pids, signal.SIGKILL)

    def _living(self, number: int) -> None:
        """Have a process in which the cells before ``number`` have run."""
        if time.monotonic() >= self.deadline:
            total = self.limits.submission_seconds
            raise Stopped(f"was not run: the notebook ran longer than {total:g} s", "Stopped")
        first = not any(self.cells[:number])
        while self._pair is None:
            if self.restarts > self.limits.restarts:
                times = self.limits.restarts
                reason = f"was not run: the notebook ended its process {times} times"
                raise Stopped(reason, "Stopped")
            self.restarts += not first or self.restarts > 0
            self._pair = self.sandbox.spawn()
            self._repeat(number)

    def _repeat(self, number: int) -> None:
        for i, source in enumerate(self.cells[:number]):
            if i in self.skipped or not source.strip():
                continue
            message = {"do": "cell", "source": source, "output_bytes": 0}
            try:
                self.ask(message, [], self.limits.cell_seconds)
            except Stopped:
                if self._pair is None:
                    self.skipped.add(i)
                    return
