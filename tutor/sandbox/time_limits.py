"""When a cell, a call, a check or a notebook runs too long, and how it is stopped.

A limit of time counts the processor time of all processes of a submission together, those that have
ended included, as the judges of programming contests do: so a busy or slow machine takes nothing
from anybody. What waits for ever uses none, and is stopped by a limit of wall time that is
``wall_factor`` times as long. Only the time in which the grader waits for an answer is wall time:
the judge's own work counts for nobody.

A call that is over is interrupted, and the submission's processes are killed if it goes on; so they
are where the notebook as a whole is over. ``sandbox.session`` asks, and calls ``interrupt`` and
``kill``.
"""

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator

from tutor.sandbox.bubblewrap import Pair, Sandbox

_LOOK_SECONDS = 0.05
"""Between two looks at the processor time of what is waited for; who is quicker costs no look."""
_UNSEEN_SECONDS = 0.2
"""Of processor time, that may go by before a new allowance begins with a look."""
CORES = os.cpu_count() or 1


class TimeOver(Exception):
    """A limit was met; why, as the rest of a sentence."""

    def __init__(self, allowance: "Allowance", waited: bool):
        super().__init__(allowance.reason(waited))
        self.allowance = allowance
        self.waited = waited
        """Processor time was left: only the limit of wall time was met."""


def interrupt(sandbox: Sandbox, pair: Pair) -> None:
    """Have the student's process break off what it does, as Ctrl-C would: its cells stay."""
    sandbox.signal(pair.pids[:1], signal.SIGINT)


def kill(sandbox: Sandbox, pair: Pair) -> None:
    """End the submission's processes, whatever they do."""
    pair.close()
    sandbox.signal(pair.pids, signal.SIGKILL)


class Stopwatch:
    """What one submission has taken so far, over all of its processes, one pair after the other."""

    def __init__(self, wall_factor: float):
        self.wall_factor = wall_factor
        self.processor = 0.0
        """Seconds, when it was last looked at."""
        self._read: Callable[[], float] | None = None
        self._looked = 0.0
        self._ended = 0.0
        """Processor seconds of earlier pairs."""
        self._wall = 0.0
        self._waiting_since: float | None = None

    def begin(self, read: Callable[[], float]) -> None:
        """From now on ``read`` says the processor seconds of the present pair."""
        self._read = read
        self.look()

    def end(self) -> None:
        """The pair is about to end."""
        if self._read is not None:
            self.look()
            self._read, self._ended = None, self.processor

    def look(self) -> None:
        if self._read is not None:
            self._looked = time.monotonic()
            self.processor = self._ended + self._read()

    @property
    def most(self) -> float:
        """Processor seconds that it can have taken since the last look."""
        if self._read is None:
            return self.processor
        return self.processor + (time.monotonic() - self._looked) * CORES

    @property
    def wall(self) -> float:
        """Seconds in which it was waited for."""
        if self._waiting_since is None:
            return self._wall
        return self._wall + time.monotonic() - self._waiting_since

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        self._waiting_since = time.monotonic()
        try:
            yield
        finally:
            self._wall, self._waiting_since = self.wall, None

    def allow(self, seconds: float, whose: str = "") -> "Allowance":
        """From now on, ``seconds`` of processor time and the wall time that goes with them."""
        if self.most - self.processor > _UNSEEN_SECONDS:
            self.look()
        return Allowance(self, seconds, whose)

    def patience(self, *allowances: "Allowance") -> Callable[[], float]:
        """For ``wire``: how long to wait until the next question; TimeOver if there is no more."""

        def left() -> float:
            return max(_LOOK_SECONDS, min(a.left() for a in allowances))

        return left


class Allowance:
    """Of time, for one thing. ``whose``: what took it, if not the cell or call that is stopped."""

    def __init__(self, stopwatch: Stopwatch, seconds: float, whose: str):
        self.stopwatch, self.seconds, self.whose = stopwatch, seconds, whose
        self._processor, self._wall = stopwatch.most, stopwatch.wall

    @property
    def wall_seconds(self) -> float:
        return self.seconds * self.stopwatch.wall_factor

    def left(self) -> float:
        """Seconds until a limit can be met, at the earliest; TimeOver if one is."""
        watch = self.stopwatch
        wall = self.wall_seconds - (watch.wall - self._wall)
        if wall <= 0 or watch.most - self._processor >= self.seconds:
            watch.look()
        processor = self.seconds - (watch.most - self._processor)
        if processor <= 0:
            raise TimeOver(self, waited=False)
        if wall <= 0:
            raise TimeOver(self, waited=True)
        return min(wall, processor / CORES)

    def reason(self, waited: bool) -> str:
        what = f"used more than {self.seconds:g} s of processor time"
        if waited:
            what = f"did not end within {self.wall_seconds:g} s, with processor time left"
        return f"was stopped: {self.whose} {what}" if self.whose else f"{what}, and was stopped"
