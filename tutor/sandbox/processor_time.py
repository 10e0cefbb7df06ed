"""Processor time of a submission, read from outside."""

import os

_SNAPSHOTS = 3


class Processes:
    """Processor seconds of a student's processes and of the one that counts for them, from outside.

    ``proc`` is an open /proc of the zygote's pid namespace, ``student`` and ``watcher`` are pids
    there. Who has ended and was waited for counts in its parent (``cutime``); of whom nobody waited
    for, because the parent ignores SIGCHLD, what was seen last counts.
    """

    def __init__(self, proc: int, student: int, watcher: int):
        self.proc, self.roots = proc, {student, watcher}
        self.ticks = os.sysconf("SC_CLK_TCK")
        self.living: dict[tuple[int, int], tuple[float, float]] = {}
        """By pid and start: seconds of its own, and of children that it waited for."""
        self.vanished = 0.0

    def seconds(self) -> float:
        # Who ends, and is waited for, between the read of its parent and its own is missing in one
        # snapshot, and found in its parent in the next.
        for _ in range(_SNAPSHOTS):
            found = self._snapshot()
            gone = self.living.keys() - found.keys()
            waited_for = sum(children for _, children in found.values())
            waited_for -= sum(c for key, (_, c) in self.living.items() if key not in gone)
            lost = sum(sum(self.living[key]) for key in gone) - waited_for
            if lost <= 0:
                break
        self.living = found
        self.vanished += max(0.0, lost)
        return self.vanished + sum(map(sum, found.values()))

    def _snapshot(self) -> dict[tuple[int, int], tuple[float, float]]:
        try:
            # Parents before their children, which have higher numbers unless these began again.
            pids = sorted(int(name) for name in os.listdir(self.proc) if name.isdigit())
        except OSError:  # the namespace has ended
            return {}
        stats = {pid: stat for pid in pids if (stat := self._stat(pid))}
        mine = set(self.roots)
        while more := {pid for pid, stat in stats.items() if stat[1] in mine} - mine:
            mine |= more
        t = self.ticks
        return {
            (pid, stats[pid][19]): (sum(stats[pid][11:13]) / t, sum(stats[pid][13:15]) / t)
            for pid in mine & stats.keys()
        }

    def _stat(self, pid: int) -> list[int] | None:
        """What stands in /proc/PID/stat after the name and the state, which is 0 here."""
        try:
            fd = os.open(f"{pid}/stat", os.O_RDONLY, dir_fd=self.proc)
            with open(fd, "rb") as file:
                fields = file.read().rpartition(b")")[2].split()
        except OSError:
            return None  # it has just ended
        return [0, *map(int, fields[1:20])]
