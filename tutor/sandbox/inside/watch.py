"""The process beside a student's: it counts for the judge and says how the student's ended. And how
much both use together, at which the zygote looks, which has nothing else to do meanwhile. They
stand outside of the student's pid namespace.
"""

import contextlib
import json
import os
import select
import signal
import socket
import time
from typing import Any

from tutor.sandbox import wire
from tutor.sandbox.inside.counter import Counting
from tutor.sandbox.inside.proxy import LARGEST_MESSAGE, discard

LOOK_SECONDS = 0.05
_RESERVED = 2
"""As many times the limit is what a student's processes may have asked for, beyond the first one,
and not used: who asks and waits could use it all before the next look."""
_SHARERS = 2
"""Who else has what torch needs: the zygote, and the process that counts."""
_EXIT_SECONDS = 60
"""For a process that has begun to exit, and so has closed its side, to be gone."""
_EXIT_LOOK_SECONDS = 0.001
_PF_EXITING = 4
"""Among the flags in /proc/PID/stat."""


class Watch:
    """What the processes of a pid namespace use together with the one that counts for them, seen
    from outside of it."""

    def __init__(
        self,
        proc: int,
        init: int,
        counting: int,
        limit_bytes: int,
        before: tuple[int, ...] = (),
    ):
        self.proc, self.init, self.counting, self.limit = proc, init, counting, limit_bytes
        self.page = os.sysconf("SC_PAGE_SIZE")
        self.before = before or (
            self.resident(init),
            self.resident(counting),
            self.at_most([init])[0],
        )
        """What the two used before any line of the student's ran; and the first without files."""

    def read(self, name: str) -> str:
        fd = os.open(name, os.O_RDONLY, dir_fd=self.proc)
        with open(fd) as file:
            return file.read()

    def exiting(self) -> bool:
        """Whether the student's process is on its way out, or has ended and was not waited for."""
        try:
            flags = int(self.read(f"{self.init}/stat").rpartition(")")[2].split()[6])
        except OSError:
            return True
        return bool(flags & _PF_EXITING)

    def resident(self, pid: int) -> int:
        return int(self.read(f"{pid}/statm").split()[1]) * self.page

    def proportional(self, pid: int) -> int:
        """Without files; what is shared is divided among those who share it."""
        figures = self.figures(pid, "smaps_rollup")
        return figures["Pss_Anon"] + figures["Pss_Shmem"]

    def used(self, pid: int) -> int:
        try:
            return self.proportional(pid)
        except KeyError:  # it has just ended, or the kernel is older than 5.4
            return self.at_most([pid])[0]

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
        try:
            pids = self.descendants()
            student, counting, torchs = self.before
            counts = max(0, self.resident(self.counting) - counting)
            if len(pids) == 1:
                return counts + self.resident(self.init) - student > self.limit
            most, asked = self.at_most(pids)
            if asked > _RESERVED * self.limit:
                return True
            # What is shared is divided where it matters: that takes long to look at.
            shared = torchs * len(pids) // (len(pids) + _SHARERS)
            allowed = self.limit + shared - counts
            return most > allowed and sum(map(self.used, pids)) > allowed
        except OSError:
            return False

    def at_most(self, pids: list[int]) -> tuple[int, int]:
        """Bytes that they use, those they share counted for each; and that they have asked for
        beyond what the first of them has."""
        found = [self.figures(pid) for pid in pids]
        used = sum(f.get("RssAnon", 0) + f.get("RssShmem", 0) for f in found)
        first = self.figures(self.init).get("VmData", 0)
        return used, sum(max(0, f.get("VmData", 0) - first) for f in found)

    def figures(self, pid: int, name: str = "status") -> dict[str, int]:
        try:
            lines = self.read(f"{pid}/{name}").splitlines()
        except OSError:
            return {}  # it has just ended
        parts = (line.split() for line in lines)
        return {p[0][:-1]: int(p[1]) * 1024 for p in parts if len(p) == 3 and p[2] == "kB"}


class Turn:
    """Who of the two may speak to the judge: one message is said after the other."""

    def __init__(self) -> None:
        self.taken, self.given = os.pipe()
        self.give()

    def take(self, seconds: float | None = None) -> bool:
        ready = select.select([self.taken], [], [], seconds)[0]
        return bool(ready and os.read(self.taken, 1))

    def give(self) -> None:
        os.write(self.given, b" ")

    def fds(self) -> set[int]:
        return {self.taken, self.given}


class Watched:
    """A pair of processes whose memory is looked at from the zygote."""

    def __init__(self, judge: int, alive: int, turn: Turn, proc: int, pid: int, limit_bytes: int):
        self.judge, self.turn = socket.socket(fileno=judge), turn
        self.alive = alive
        """A pipe by which the counting process tells that it has begun, and that it has ended."""
        self.proc, self.pid, self.limit = proc, pid, limit_bytes
        self.watch: Watch | None = None

    def goes_on(self) -> bool:
        """Whether the counting process, of which there is news, has begun and not ended."""
        told = os.read(self.alive, 200)
        if told:
            init, before = json.loads(told)
            self.watch = Watch(self.proc, init, self.pid, self.limit, tuple(before))
        return bool(told)

    def look(self) -> None:
        """End both, and say so, if they use too much. Who ends by itself says so better."""
        watch = self.watch
        if watch is None or not watch.exceeded() or watch.exiting() or not self.turn.take(0):
            return
        for pid in (watch.init, self.pid):
            with contextlib.suppress(OSError):  # it has ended
                os.kill(pid, signal.SIGKILL)
        self.watch = None
        with contextlib.suppress(wire.Closed):  # the judge has gone
            wire.send(self.judge, {"ended": "memory"})

    def close(self) -> None:
        self.judge.close()
        for fd in (self.alive, self.proc, *self.turn.fds()):
            os.close(fd)


def keep_watch(judge: socket.socket, student: socket.socket, watch: Watch, turn: Turn) -> None:
    """Count for the judge, until the student's process ends or the judge is gone.

    Requests of the judge: ``count`` (with inputs) and ``outputs`` (numbers of them); of what was
    counted last, whether tensors are the ``same``, and ``write`` into them; ``look`` (at the
    memory, at once) and ``end``.
    """
    student.setblocking(False)
    counting = None
    while True:
        ready = select.select([judge, student], [], [], LOOK_SECONDS)[0]
        pid, status = os.waitpid(watch.init, os.WNOHANG)
        if pid:
            return _last_word(judge, turn, _ending(status))
        if judge in ready:
            try:
                message, tensors = wire.receive(judge)
            except wire.Closed:
                os.kill(watch.init, signal.SIGKILL)
                return
            if message["do"] == "end":
                return _report(judge, turn, "it closed its side", watch)
            if message["do"] == "look" and watch.exceeded():
                return _report(judge, turn, "memory", watch)
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
            turn.take()
            wire.send(judge, reply, out)
            turn.give()
        if student in ready:
            with contextlib.suppress(OSError):  # it does not read its answers
                message = student.recv(LARGEST_MESSAGE)
                if not message:
                    return _report(judge, turn, "it closed its side", watch)
                if counting is not None and counting.open:
                    student.send(counting.answer(message))


def _report(judge: socket.socket, turn: Turn, ending: str, watch: Watch) -> None:
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
    _last_word(judge, turn, ending)


def _last_word(judge: socket.socket, turn: Turn, ending: str) -> None:
    turn.take()  # and never give it back
    wire.send(judge, {"ended": ending})


def _ending(status: int) -> str:
    if os.WIFSIGNALED(status):
        return f"signal {signal.Signals(os.WTERMSIG(status)).name}"
    return f"exit {os.WEXITSTATUS(status)}"
