"""Imports torch once, then forks a pair of processes for each submission.

Runs inside the outer sandbox (``tutor.sandbox.bubblewrap`` starts it): it reads requests on one
socket. Each submission gets user, mount, pid, ipc, network, uts and cgroup namespaces of its own
before any line of the student's runs (``inside.isolation``). Of the pair, the first process counts
(``inside.counter``, with one above it that watches the memory: ``inside.watch``); its child, the
init process of the new pid namespace, is the student's (``inside.kernel``) and has no capability
left, no way to new namespaces, and a /tmp and /dev/shm of its own.
"""

import importlib.abc
import json
import os
import socket
import sys
import threading
from typing import Any

from tutor.sandbox import importing
from tutor.sandbox.inside import isolation


class Withheld(importlib.abc.MetaPathFinder):
    """Says in plain words why the reference of this chapter, and the later ones, are not there."""

    def __init__(self, names: list[str]):
        self.names = {f"tutor.{name}" for name in names}

    def find_spec(self, fullname, path=None, target=None):
        if fullname in self.names:
            raise ModuleNotFoundError(
                f"{fullname} is the course's own solution: it is not there when notebooks are "
                "graded. The points are for a function that you wrote.",
                name=fullname,
            )
        return None


def become_pair(
    judge: socket.socket, kernel: socket.socket, order: dict[str, Any], shell: Any
) -> None:
    """In a fresh fork of the zygote: the process that watches the memory, with the counting one as
    its child, whose child is the student's. Namespaces begin with the second."""
    from tutor.sandbox.inside.watch import Turn, Watch, keep_memory

    proc, used, turn = os.open("/proc", os.O_RDONLY), isolation.used_now(), Turn()
    alive, held = os.pipe()
    counting = os.fork()
    if counting == 0:
        os.close(alive)
        become_counting(judge, kernel, order, shell, proc, used, turn, held)
        os._exit(0)
    isolation.close_all_but({0, 1, 2, judge.fileno(), proc, alive, *turn.fds()})
    told = os.read(alive, 200)
    if not told:
        return  # it could not begin, and has said why
    student, before = json.loads(told)
    limit = order["limits"]["memory_mebibytes"] * 2**20
    keep_memory(judge, Watch(proc, student, counting, limit, tuple(before)), alive, turn)


def become_counting(
    judge: socket.socket,
    kernel: socket.socket,
    order: dict[str, Any],
    shell: Any,
    proc: int,
    used: tuple[int, int],
    turn: Any,
    held: int,
) -> None:
    """In its child: the process that counts, and from it the student's."""
    from tutor.sandbox import wire
    from tutor.sandbox.inside.kernel import Kernel
    from tutor.sandbox.inside.watch import Watch, keep_watch

    limits, me, parent = order["limits"], os.getpid(), os.getppid()
    if order["sandboxed"]:
        isolation.isolate(limits)
        isolation.limit(limits, order["device"], *used)
    counts, asks = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    child = os.fork()
    if child == 0:
        isolation.end_with_parent()
        os.setsid()
        nothing = os.open(os.devnull, os.O_RDWR)
        for fd in (0, 1, 2):
            os.dup2(nothing, fd)
        isolation.close_all_but({kernel.fileno(), asks.fileno()})
        if order["sandboxed"]:
            isolation.lock(order["device"])
        Kernel(kernel, asks, shell, order["device"]).serve()
        os._exit(0)
    isolation.close_all_but({0, 1, 2, judge.fileno(), counts.fileno(), proc, held, *turn.fds()})
    watch = Watch(proc, child, me, limits["memory_mebibytes"] * 2**20)
    if order["sandboxed"]:
        isolation.lock(order["device"])
    isolation.end_with_parent()
    if os.getppid() != parent:
        return  # it has ended before that
    os.write(held, json.dumps([child, watch.before]).encode())
    wire.send(judge, {"student": child})
    keep_watch(judge, counts, watch, turn)


def serve(control: socket.socket, shell: Any) -> None:
    """Requests: ``spawn`` (with two sockets), ``signal`` (a number to a process)."""
    while True:
        data, fds, _, _ = socket.recv_fds(control, 65536, 2)
        if not data:
            return
        order = json.loads(data)
        while True:  # bury those that have ended
            try:
                pid, _ = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if not pid:
                break
        if order["do"] == "signal":
            for pid in order["pids"]:
                try:
                    os.kill(pid, order["signal"])
                except OSError:
                    continue  # it has ended already
            control.send(b"{}")
            continue
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                judge, kernel = (socket.socket(fileno=fd) for fd in fds)
                control.detach()
                become_pair(judge, kernel, order, shell)
                status = 0
            except BaseException as error:
                _complain(fds, error)
            os._exit(status)
        for fd in fds:
            os.close(fd)
        control.send(json.dumps({"watcher": pid}).encode())


def _complain(fds: list[int], error: BaseException) -> None:
    """Tell the grader what was in the way, if it is still listening."""
    from tutor.sandbox import wire

    try:
        wire.send(socket.socket(fileno=fds[0]), {"failed": f"{type(error).__name__}: {error}"})
    except Exception:
        os.write(2, f"zygote: {error}\n".encode())


def main() -> None:
    setting = json.loads(sys.argv[1])
    control = socket.socket(fileno=setting["control"])
    if setting["sandboxed"]:
        isolation.demote(setting["uid"])
    sys.meta_path.insert(0, Withheld(setting["withheld"]))
    with importing():
        import torch

        torch.set_num_threads(1)
        if setting["sandboxed"]:
            import pyseccomp  # noqa: F401 (it looks for its library, which takes a while)
        from tutor.sandbox.inside.shell import Stream, make_shell
        from tutor.sandbox.inside.warm import warm

        sys.stdout = Stream("stdout")
        for name in setting["preload"]:
            __import__(name)
        shell = make_shell()
        warm(shell, setting["device"])
    assert threading.active_count() == 1, "a fork takes only the thread that forks along"
    # The grader sees in it how much of the processor a submission has used.
    proc = os.open("/proc", os.O_RDONLY | os.O_DIRECTORY)
    socket.send_fds(control, [b'{"ready": true}'], [proc])
    os.close(proc)
    serve(control, shell)
