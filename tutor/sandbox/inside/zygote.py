"""Imports torch once, then forks a pair of processes for each submission.

Runs inside the outer sandbox (``tutor.sandbox.bubblewrap`` starts it): it reads requests on one
socket. Each submission gets user, mount, pid, ipc, network, uts and cgroup namespaces of its own
before any line of the student's runs (``inside.isolation``). Of the pair, the first process counts
(``inside.counter``, ``inside.watch``); its child, the init process of the new pid namespace, is the
student's (``inside.kernel``) and has no capability left, no way to new namespaces, and a /tmp and
/dev/shm of its own. Meanwhile the zygote looks at the memory of both.
"""

import contextlib
import importlib.abc
import json
import os
import select
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
    judge: socket.socket,
    kernel: socket.socket,
    order: dict[str, Any],
    shell: Any,
    turn: Any,
    begun: int,
) -> None:
    """In a fresh fork of the zygote: the counting process, with the student's as its child.

    ``begun``: a pipe that tells the zygote so.
    """
    from tutor.sandbox import wire
    from tutor.sandbox.inside.kernel import Kernel
    from tutor.sandbox.inside.watch import Watch, keep_watch

    proc, used = os.open("/proc", os.O_RDONLY), isolation.used_now()
    limits, me = order["limits"], os.getpid()
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
    isolation.close_all_but({0, 1, 2, judge.fileno(), counts.fileno(), proc, begun, *turn.fds()})
    watch = Watch(proc, child, me, limits["memory_mebibytes"] * 2**20)
    if order["sandboxed"]:
        isolation.lock(order["device"])
    os.write(begun, json.dumps([child, watch.before]).encode())
    wire.send(judge, {"student": child})
    keep_watch(judge, counts, watch, turn)


def serve(control: socket.socket, shell: Any) -> None:
    """Requests: ``spawn`` (with two sockets), ``signal`` (a number to a process). Between them the
    memory of all pairs is looked at."""
    from tutor.sandbox.inside.watch import LOOK_SECONDS

    pairs: list[Any] = []
    while True:
        news = [control, *(pair.alive for pair in pairs)]
        ready = select.select(news, [], [], LOOK_SECONDS if pairs else None)[0]
        for pair in list(pairs):
            if pair.alive in ready and not pair.goes_on():
                pairs.remove(pair)
                pair.close()
            else:
                pair.look()
        if control in ready:
            data, fds, _, _ = socket.recv_fds(control, 65536, 2)
            if not data:
                return
            _bury()
            order = json.loads(data)
            if order["do"] == "signal":
                for pid in order["pids"]:
                    try:
                        os.kill(pid, order["signal"])
                    except OSError:
                        continue  # it has ended already
                control.send(b"{}")
            else:
                pairs.append(_spawn(control, shell, order, fds))
                control.send(json.dumps({"watcher": pairs[-1].pid}).encode())


def _bury() -> None:
    """Those that have ended."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _spawn(control: socket.socket, shell: Any, order: dict[str, Any], fds: list[int]) -> Any:
    from tutor.sandbox.inside.watch import Turn, Watched

    turn, (alive, begun) = Turn(), os.pipe()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            judge, kernel = (socket.socket(fileno=fd) for fd in fds)
            control.detach()
            become_pair(judge, kernel, order, shell, turn, begun)
            status = 0
        except BaseException as error:
            _complain(fds, error)
        os._exit(status)
    os.close(begun)
    os.close(fds[1])
    proc = os.open("/proc", os.O_RDONLY)
    return Watched(fds[0], alive, turn, proc, pid, order["limits"]["memory_mebibytes"] * 2**20)


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
        from tutor.sandbox.inside import kernel, watch  # noqa: F401 (or each fork imports them)
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
