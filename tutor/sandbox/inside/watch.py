"""The process beside a student's: it counts for the judge, watches what the student's processes use
together, and says how they ended. It stands outside of their pid namespace.
"""

import contextlib
import os
import select
import signal
import socket
import time
from typing import Any

from tutor.sandbox import wire
from tutor.sandbox.inside.counter import Counting
from tutor.sandbox.inside.proxy import LARGEST_MESSAGE, discard

_LOOK_SECONDS = 0.05
_EXIT_SECONDS = 60
"""For a process that has begun to exit, and so has closed its side, to be gone."""
_EXIT_LOOK_SECONDS = 0.001
_PF_EXITING = 4
"""Among the flags in /proc/PID/stat."""


class Watch:
    """What the processes of a pid namespace use together, seen from outside of it."""

    def __init__(self, proc: int, init: int, limit_bytes: int):
        self.proc, self.init, self.limit = proc, init, limit_bytes
        self.page = os.sysconf("SC_PAGE_SIZE")
        self.baseline = self.resident(init)

    def read(self, name: str) -> str:
        fd = os.open(name, os.O_RDONLY, dir_fd=self.proc)
        with open(fd) as file:
            return file.read()

    def exiting(self) -> bool:
        """Whether the student's process is on its way out, or has ended and was not waited for."""
        return bool(int(self.read(f"{self.init}/stat").rpartition(")")[2].split()[6]) & _PF_EXITING)

    def resident(self, pid: int) -> int:
        return int(self.read(f"{pid}/statm").split()[1]) * self.page

    def proportional(self, pid: int) -> int:
        """Shared pages are divided among those who share them."""
        lines = self.read(f"{pid}/smaps_rollup").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))

    def used(self, pid: int) -> int:
        try:
            return self.proportional(pid)
        except (OSError, StopIteration):
            pass
        try:
            return self.resident(pid)
        except (OSError, IndexError):
            return 0  # it has just ended

    def descendants(self) -> list[int]:
        parents = {}
        for name in os.listdir(self.proc):
            if name.isdigit():
                try:
                    fields = self.read(f"{name}/stat").rpartition(")")[2].split()
                except OSError:
                    continue  # it has just ended
                parents[int(name)] = int(fields[1])
        found, grew = {self.init}, True
        while grew:
            new = {p for p, parent in parents.items() if parent in found} - found
            grew = bool(new)
            found |= new
        return sorted(found)

    def exceeded(self) -> bool:
        used = 0
        try:
            pids = self.descendants()
            if len(pids) == 1:
                used = self.resident(self.init) - self.baseline
            else:
                used = sum(map(self.used, pids))
        except OSError:
            return False
        return used > self.limit


def keep_watch(judge: socket.socket, student: socket.socket, watch: Watch) -> None:
    """Count for the judge, until the student's process ends or the judge is gone.

    Requests of the judge: ``count`` (with inputs) and ``outputs`` (numbers of them); of what was
    counted last, whether tensors are the ``same``, and ``write`` into them; ``look`` (at the
    memory, at once) and ``end``.
    """
    student.setblocking(False)
    counting, due = None, 0.0
    while True:
        ready = select.select([judge, student], [], [], _LOOK_SECONDS)[0]
        start = time.monotonic()
        if start > due:
            pid, status = os.waitpid(watch.init, os.WNOHANG)
            if pid:
                wire.send(judge, {"ended": _ending(status)})
                return
            if watch.exceeded():
                return _report(judge, "memory", watch)
            # Many processes take long to look at: no more than a tenth of the time goes there.
            due = time.monotonic() + max(_LOOK_SECONDS, 9 * (time.monotonic() - start))
        if judge in ready:
            try:
                message, tensors = wire.receive(judge)
            except wire.Closed:
                os.kill(watch.init, signal.SIGKILL)
                return
            if message["do"] == "end":
                return _report(judge, "it closed its side", watch)
            if message["do"] == "look" and watch.exceeded():
                return _report(judge, "memory", watch)
            reply: dict[str, Any] = {"id": message["id"]}
            out: list[Any] = []
            try:
                if message["do"] == "count":
                    discard(student)
                    inputs = [wire.unpack(s, tensors, views=True) for s in message["inputs"]]
                    if message["again"]:
                        counting.begin(inputs)
                    else:
                        counting = Counting(inputs)
                    reply["proxies"] = [counting.name(t) for t in inputs]
                elif message["do"] == "outputs":
                    found = counting.outputs(message["numbers"], message["largest"])
                    cost = vars(counting.cost) | {"called": sorted(counting.cost.called)}
                    cost["trail"] = counting.trail.told()
                    reply |= {"cost": cost, "outputs": [wire.pack(t, out) for t in found]}
                    counting.open = False  # work between two calls is nobody's
                    counting = counting if message["more"] else None
                elif message["do"] == "same":
                    reply["same"] = counting.same(message["pairs"])
                elif message["do"] == "write":
                    new = [wire.unpack(s, tensors) for s in message["new"]]
                    found = counting.write(message["into"], new, message["read"])
                    reply["read"] = [wire.pack(t, out) for t in found]
            except Exception as error:  # a number that names no tensor; a tensor without end
                reply, out = {"id": message["id"], "error": str(error)[:200]}, []
            wire.send(judge, reply, out)
        if student in ready:
            with contextlib.suppress(OSError):  # it does not read its answers
                message = student.recv(LARGEST_MESSAGE)
                if not message:
                    return _report(judge, "it closed its side", watch)
                if counting is not None and counting.open:
                    student.send(counting.answer(message))


def _report(judge: socket.socket, ending: str, watch: Watch) -> None:
    """End the student's process and say why; who ends by itself says so better."""
    pid, until = 0, time.monotonic() + _EXIT_SECONDS
    while not pid and watch.exiting() and time.monotonic() < until:
        pid, status = os.waitpid(watch.init, os.WNOHANG)
        time.sleep(_EXIT_LOOK_SECONDS)
    if pid:
        ending = _ending(status)
    else:
        os.kill(watch.init, signal.SIGKILL)
        os.waitpid(watch.init, 0)
    wire.send(judge, {"ended": ending})


def _ending(status: int) -> str:
    if os.WIFSIGNALED(status):
        return f"signal {signal.Signals(os.WTERMSIG(status)).name}"
    return f"exit {os.WEXITSTATUS(status)}"
