"""Work on what students wrote, in processes with limits of their own: what takes one of them for
ever, or all of its memory, ends that one, costs its own page and nobody else's.

Of processor time, of time by the clock, which covers who waits, and of memory.
"""

import contextlib
import math
import resource
import signal
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from multiprocessing.connection import Connection, wait
from typing import Any

from tutor.grading import forks
from tutor.sandbox.inside.isolation import used_now

SECONDS = 120
"""Of processor time, for one job; by the clock, ``WALL_FACTOR`` times as many."""
WALL_FACTOR = 10
MEBIBYTES = 4096
"""Of data, for one process, beside what it begins with."""


class Failed(Exception):
    """A job gave nothing; why, as the end of a sentence."""


class _Process:
    """Does one job at a time."""

    def __init__(self, seconds: int, mebibytes: int):
        context, self.stopped = forks.context(), False
        self.link, theirs = context.Pipe()
        arguments = (theirs, seconds, mebibytes)
        self.process = context.Process(target=_serve, args=arguments, daemon=True)
        self.process.start()
        theirs.close()

    def result(self) -> Any:
        """Of its job; Failed if it has none. EOFError if it has ended."""
        value, failure = self.link.recv()
        if failure is not None:
            raise Failed(failure)
        return value

    def ending(self) -> str:
        self.process.join()
        if self.stopped or self.process.exitcode == -signal.SIGXCPU:
            return "it took too long"
        return f"its process ended ({self.process.exitcode})"

    def stop(self) -> None:
        """Its job has waited for too long."""
        self.stopped = True
        self.process.kill()

    def close(self) -> None:
        self.link.close()
        self.process.kill()
        self.process.join()


def _serve(link: Connection, seconds: int, mebibytes: int) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    data, _ = used_now()
    resource.setrlimit(resource.RLIMIT_DATA, (data + mebibytes * 2**20, resource.RLIM_INFINITY))
    while True:
        try:
            function, arguments = link.recv()
        except EOFError:
            return
        used = resource.getrusage(resource.RUSAGE_SELF)
        until = math.ceil(used.ru_utime + used.ru_stime) + seconds
        resource.setrlimit(resource.RLIMIT_CPU, (until, resource.RLIM_INFINITY))
        try:
            answer = (function(*arguments), None)
        except Exception as error:
            answer = (None, f"{type(error).__name__}: {error}")
        link.send(answer)


def apart(
    function: Callable[..., Any],
    jobs: Mapping[str, tuple[Any, ...]],
    workers: int,
    seconds: int = SECONDS,
    mebibytes: int = MEBIBYTES,
) -> Iterator[tuple[str, Any]]:
    """``function(*jobs[name])`` for each, as ``(name, result)``; the result may be a ``Failed``."""
    waiting, busy, until = deque(jobs), {}, {}
    with contextlib.ExitStack() as stack:

        def begin(one: _Process) -> None:
            if not waiting:
                return
            name = waiting.popleft()
            one.link.send((function, jobs[name]))
            busy[one.link] = one, name
            until[one.link] = time.monotonic() + WALL_FACTOR * seconds

        def fresh() -> _Process:
            one = _Process(seconds, mebibytes)
            stack.callback(one.close)
            return one

        for _ in range(min(workers, len(jobs))):
            begin(fresh())
        while busy:
            left = max(0.0, min(until[link] for link in busy) - time.monotonic())
            ready = wait(list(busy), left if left < math.inf else None)
            for link in busy.keys() - ready:
                if until[link] <= time.monotonic():
                    busy[link][0].stop()
                    until[link] = math.inf
            for link in ready:
                one, name = busy.pop(link)
                try:
                    result = one.result()
                except Failed as failure:
                    result = failure
                except (EOFError, OSError):
                    result = Failed(one.ending())
                    one.close()
                    one = fresh() if waiting else one
                begin(one)
                yield name, result
