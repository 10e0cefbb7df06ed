"""The kernel's own accounting of what one sandbox uses, where this machine allows it.

The watcher inside adds up what processes show. Memory that no process shows (page tables, socket
buffers, /tmp) is bounded here, and processor time counted to the last process of which nobody kept
account, if the grader runs in a cgroup of version 2 that is delegated to it:

    systemd-run --user --scope -p Delegate=yes tutor grade 03_attention
"""

import os
import uuid
from contextlib import suppress
from pathlib import Path

from tutor.sandbox.limits import Limits

ROOT = Path("/sys/fs/cgroup")
OWN = Path("/proc/self/cgroup")
TORCH_MEBIBYTES = 1024
"""For the zygote itself and what it has in common with its forks."""

_LEAF = "tutor-grader"


def delegated(root: Path = ROOT, own: Path = OWN) -> Path | None:
    """The cgroup that systemd has left to this process; None if there is none."""
    try:
        lines = own.read_text("ascii").splitlines()
        line = next(line for line in lines if line.startswith("0::/"))
        group = root / line.removeprefix("0::/")
        group = group.parent if group.name == _LEAF else group
        controllers = (group / "cgroup.controllers").read_text("ascii").split()
    except (OSError, StopIteration):
        return None
    # Root may write to every cgroup: only systemd's mark says that this one is ours to divide.
    marked = any(_attribute(group, name) == b"1" for name in ("user.delegate", "trusted.delegate"))
    return group if marked and {"memory", "pids"} <= set(controllers) else None


def _attribute(path: Path, name: str) -> bytes:
    try:
        return os.getxattr(path, name)
    except OSError:
        return b""


class Group:
    """A cgroup for one sandbox, inside the delegated one."""

    def __init__(self, base: Path, limits: Limits):
        # Controllers can be handed down only by a cgroup that holds no process itself.
        leaf = base / _LEAF
        leaf.mkdir(exist_ok=True)
        for pid in (base / "cgroup.procs").read_text("ascii").split():
            with suppress(OSError):  # it has ended since
                (leaf / "cgroup.procs").write_text(pid)
        (base / "cgroup.subtree_control").write_text("+memory +pids")
        self.path = base / f"tutor-sandbox-{uuid.uuid4().hex[:12]}"
        self.path.mkdir()
        most = (limits.memory_mebibytes + 2 * limits.tmp_mebibytes + TORCH_MEBIBYTES) * 2**20
        (self.path / "memory.max").write_text(str(most))
        with suppress(OSError):  # a kernel without accounts of what is swapped out
            (self.path / "memory.swap.max").write_text("0")
        (self.path / "pids.max").write_text(str(limits.processes + 20))

    @classmethod
    def of(cls, base: Path | None, limits: Limits) -> "Group | None":
        try:
            return None if base is None else cls(base, limits)
        except OSError:
            return None

    def wrap(self, command: list[str]) -> list[str]:
        """The command, begun inside the cgroup."""
        enter = 'echo $$ > "$0" && exec "$@"'
        return ["/bin/sh", "-c", enter, str(self.path / "cgroup.procs"), *command]

    def processor_seconds(self) -> float:
        """Of all that ever ran in it."""
        lines = (self.path / "cpu.stat").read_text("ascii").splitlines()
        return next(int(s.split()[1]) / 1e6 for s in lines if s.startswith("usage_usec "))

    def out_of_memory(self) -> int:
        """How often the kernel has ended a process in it because there was no more."""
        lines = (self.path / "memory.events").read_text("ascii").splitlines()
        return next(int(s.split()[1]) for s in lines if s.startswith("oom_kill "))

    def close(self) -> None:
        with suppress(OSError):  # the kernel removes it with its last process otherwise
            self.path.rmdir()
