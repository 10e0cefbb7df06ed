"""Imports torch once, then forks a pair of processes for each submission.

Run as a script inside the outer sandbox (``tutor.sandbox.bubblewrap`` says with what): it reads
requests on one socket. Each submission gets user, mount, pid, ipc, network, uts and cgroup
namespaces of its own before any line of the student's runs. Of the pair, the first process counts
and keeps watch (``inside.counter``); its child, the init process of the new pid namespace, is the
student's (``inside.kernel``) and has no capability left, no way to new namespaces, and a /tmp and
/dev/shm of its own.
"""

import contextlib
import ctypes
import fcntl
import importlib.abc
import json
import os
import resource
import select
import signal
import socket
import sys
import threading
import time
from pathlib import Path
from typing import Any

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS = 1, 4, 24, 38
_MS_RDONLY, _MS_NOSUID, _MS_NODEV, _MS_NOEXEC, _MS_REC, _MS_PRIVATE = 1, 2, 4, 8, 2**14, 2**18
_CLONE = {
    "mount": 0x20000,
    "cgroup": 0x2000000,
    "uts": 0x4000000,
    "ipc": 0x8000000,
    "user": 0x10000000,
    "pid": 0x20000000,
    "network": 0x40000000,
}
_LAST_CAPABILITY = 63
_STUDENT = 1000
_LOOK_SECONDS = 0.05
_MIB = 2**20

# What honest numerical code has no use for and attacks on a kernel start with, or what would hold
# memory that no process shows: memfd, System V and POSIX message queues and segments.
_FORBIDDEN_CALLS = """
acct add_key bpf chroot clock_adjtime clock_settime create_module delete_module fanotify_init
finit_module fsconfig fsmount fsopen fspick get_kernel_syms init_module io_uring_enter
io_uring_register io_uring_setup ioperm iopl kcmp kexec_file_load kexec_load keyctl lookup_dcookie
mbind memfd_create memfd_secret migrate_pages modify_ldt mount mount_setattr move_mount move_pages
flock inotify_init inotify_init1 mq_open msgget msgsnd name_to_handle_at nfsservctl
open_by_handle_at open_tree perf_event_open personality pidfd_getfd pivot_root process_madvise
process_vm_readv process_vm_writev ptrace
quotactl reboot request_key semget set_mempolicy setdomainname sethostname setns settimeofday
shmat shmget swapoff swapon sysfs syslog umount2 unshare uselib userfaultfd vhangup
"""
_LAST_FAMILY = 16  # AF_UNIX, AF_INET, AF_INET6 and AF_NETLINK are below; AF_VSOCK is not

_libc = ctypes.CDLL(None, use_errno=True)


def _succeed(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def _mount(kind: str, target: str, flags: int, options: str) -> None:
    result = _libc.mount(kind.encode(), target.encode(), kind.encode(), flags, options.encode())
    _succeed(result, f"mount {kind} on {target}")


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


def demote(uid: int) -> None:
    """Be nobody, if the sandbox was started by root."""
    if os.getuid() == 0:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
    # Changing the user hides a process's own files in /proc from it, and we need uid_map.
    _succeed(_libc.prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0), "prctl")


def warm(shell: Any, device: str) -> None:
    """Use what was imported: the first use costs more than the import."""
    import torch

    from tutor.checks.candidate import LocalCandidate
    from tutor.checks.cost import Cost, called
    from tutor.sandbox import wire
    from tutor.sandbox.inside.counter import Counting
    from tutor.sandbox.inside.kernel import Reading
    from tutor.sandbox.inside.proxy import Forwarding

    x = torch.arange(24.0, dtype=torch.float64).reshape(2, 3, 4)
    local = LocalCandidate(_a_bit_of_everything)
    for dtype in (torch.float64, torch.float32, torch.float16, torch.bfloat16):
        # The first backward pass asks CUDA for its devices, and what is forked from a process that
        # has asked cannot use them.
        cotangents = None if device == "cuda" else (torch.ones(2, 3, 3, dtype=dtype),)
        local.run((x.to(dtype),), cotangents)
    local.run((x.to("meta"),))
    local.run((x,), count=True)
    torch.testing.assert_close(x, x)
    torch.nn.functional.scaled_dot_product_attention(x, x, x)

    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    counting, forwarding = Counting([x]), Forwarding(ours)
    counter = threading.Thread(target=_count, args=(counting, theirs))
    counter.start()
    proxy = forwarding.proxy(counting.name(x))
    with called(Cost(), True), Reading(forwarding), forwarding:
        _a_bit_of_everything(proxy)
    ours.close()
    counter.join()
    theirs.close()

    ours, theirs = socket.socketpair()
    tensors: list[torch.Tensor] = []
    wire.send(ours, wire.pack((x, x.mT, x.bool(), x.to("meta"), 1.0), tensors), tensors)
    wire.unpack(*wire.receive(theirs))
    shell.run_cell("import math, warnings\nprint('warm')\nraise ValueError('warm')")
    shell.reset(new_session=False)
    shell.execution_count = 1
    shell.user_ns["__name__"] = "__main__"
    torch.manual_seed(0)


def _a_bit_of_everything(x: Any) -> Any:
    """What solutions call, so that its first use, which is slow, is behind us."""
    import torch

    y = x - x.amax(-1, keepdim=True) + x.mean(-1, keepdim=True) * 0.5
    y = y.exp() / y.exp().sum(-1, keepdim=True)
    y = y / x.shape[-1] ** 0.5 + x.softmax(-1) + x.max(-1, keepdim=True).values
    keep = torch.arange(3, device=x.device)[:, None] >= torch.arange(3, device=x.device)
    keep = keep & torch.ones(3, 3, dtype=torch.bool, device=x.device).tril() | ~keep
    scores = (y @ x.mT).masked_fill(~keep, torch.finfo(x.dtype).min)
    scores = torch.where(keep, scores, torch.zeros_like(scores)).nan_to_num() * keep
    z = torch.einsum("bij,bjk->bik", scores, x).transpose(-2, -1).contiguous()
    z = torch.cat([z, torch.stack([z[0], z[1]])]).view(4, -1)[:2].reshape(2, 4, 3)
    return x @ z + scores.unsqueeze(0).squeeze(0).expand(2, 3, 3).clone()


def _count(counting: Any, link: socket.socket) -> None:
    from tutor.sandbox.inside.proxy import LARGEST_MESSAGE

    while message := link.recv(LARGEST_MESSAGE):
        link.send(counting.answer(message))


def limit(limits: dict[str, Any], device: str, data_bytes: int, space_bytes: int) -> None:
    """Bound what this process may use beside what it uses now, ``data_bytes`` and addresses."""
    for which, value in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_MEMLOCK, 0),
        (resource.RLIMIT_MSGQUEUE, 0),
        (resource.RLIMIT_NPROC, limits["processes"]),
        (resource.RLIMIT_NOFILE, limits["open_files"]),
        (resource.RLIMIT_FSIZE, limits["file_mebibytes"] * _MIB),
        (resource.RLIMIT_DATA, data_bytes + limits["memory_mebibytes"] * _MIB),
        (resource.RLIMIT_CPU, int(limits["submission_seconds"]) * 2 + 60),
    ):
        resource.setrlimit(which, (value, value))
    if device == "cpu":  # CUDA reserves addresses for all of the machine's memory
        # Bounds the page tables. Twice: threads reserve more than they use.
        addresses = space_bytes + 2 * limits["memory_mebibytes"] * _MIB
        resource.setrlimit(resource.RLIMIT_AS, (addresses, addresses))


def lock(device: str) -> None:
    """No capability, and none of the kernel's calls that nothing here needs."""
    for capability in range(_LAST_CAPABILITY + 1):
        _libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)  # _LINUX_CAPABILITY_VERSION_3, this process
    _succeed(_libc.capset(header, (ctypes.c_uint32 * 6)()), "capset")
    _succeed(_libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "prctl")
    import pyseccomp as seccomp

    rules = seccomp.SyscallFilter(seccomp.ALLOW)
    refuse = seccomp.ERRNO(1)  # EPERM
    for name in _FORBIDDEN_CALLS.split():
        if name == "memfd_create" and device == "cuda":
            continue  # its driver does not start without
        try:
            rules.add_rule(refuse, name)
        except (RuntimeError, OSError, ValueError):  # this kernel or processor has no such call
            continue
    user = seccomp.Arg(0, seccomp.MASKED_EQ, _CLONE["user"], _CLONE["user"])
    rules.add_rule(refuse, "clone", user)
    rules.add_rule(seccomp.ERRNO(38), "clone3")  # ENOSYS: its flags cannot be seen; libc falls back
    rules.add_rule(refuse, "socket", seccomp.Arg(0, seccomp.GT, _LAST_FAMILY))
    # A process that cannot be looked at hides its memory; buffers of sockets are memory, too.
    rules.add_rule(refuse, "prctl", seccomp.Arg(0, seccomp.EQ, _PR_SET_DUMPABLE))
    for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
        level = seccomp.Arg(1, seccomp.EQ, socket.SOL_SOCKET)
        rules.add_rule(refuse, "setsockopt", level, seccomp.Arg(2, seccomp.EQ, option))
    # Locks on shared files would be a way to talk to another submission.
    for command in (fcntl.F_SETLK, fcntl.F_SETLKW, fcntl.F_OFD_SETLK, fcntl.F_OFD_SETLKW):
        rules.add_rule(refuse, "fcntl", seccomp.Arg(1, seccomp.EQ, command))
    rules.load()


def isolate(limits: dict[str, Any]) -> None:
    """Enter new namespaces and hide all that is shared."""
    uid, gid = os.getuid(), os.getgid()
    flags = 0
    for flag in _CLONE.values():
        flags |= flag
    _succeed(_libc.unshare(flags), "unshare")
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{_STUDENT} {uid} 1")
    Path("/proc/self/gid_map").write_text(f"{_STUDENT} {gid} 1")
    Path("/proc/self/oom_score_adj").write_text("1000")
    _succeed(_libc.mount(None, b"/", None, _MS_REC | _MS_PRIVATE, None), "mount / private")
    quiet = _MS_NOSUID | _MS_NODEV
    size = f"size={limits['tmp_mebibytes']}m,nr_inodes=10000,mode=0700"
    _mount("tmpfs", "/tmp", quiet, size)
    _mount("tmpfs", "/dev/shm", quiet, size)
    # A new procfs may not be mounted over one that bubblewrap has partly covered; none is safer.
    _mount("tmpfs", "/proc", quiet | _MS_NOEXEC | _MS_RDONLY, "size=4k,nr_inodes=2")
    os.makedirs("/tmp/home", mode=0o700)
    os.chdir("/tmp/home")


def close_all_but(keep: set[int]) -> None:
    """Close every descriptor from 3 on that is not in ``keep``."""
    low = 3
    for fd in sorted(keep):
        if fd >= low:
            os.closerange(low, fd)
            low = fd + 1
    os.closerange(low, resource.getrlimit(resource.RLIMIT_NOFILE)[0])


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

    Requests of the judge: ``count`` (with inputs) and ``outputs`` (numbers of them).
    """
    from tutor.sandbox import wire
    from tutor.sandbox.inside.counter import Counting
    from tutor.sandbox.inside.proxy import LARGEST_MESSAGE, discard

    student.setblocking(False)
    counting, due = None, 0.0
    while True:
        ready = select.select([judge, student], [], [], _LOOK_SECONDS)[0]
        start = time.monotonic()
        if start > due:
            pid, status = os.waitpid(watch.init, os.WNOHANG)
            if pid:
                return _report(judge, _ending(status))
            if watch.exceeded():
                return _report(judge, "memory", watch.init)
            # Many processes take long to look at: no more than a tenth of the time goes there.
            due = time.monotonic() + max(_LOOK_SECONDS, 9 * (time.monotonic() - start))
        if judge in ready:
            try:
                message, tensors = wire.receive(judge)
            except wire.Closed:
                os.kill(watch.init, signal.SIGKILL)
                return
            reply: dict[str, Any] = {"id": message["id"]}
            out: list[Any] = []
            try:
                if message["do"] == "count":
                    discard(student)
                    inputs = [wire.unpack(s, tensors) for s in message["inputs"]]
                    counting = Counting(inputs)
                    reply["proxies"] = [counting.name(t) for t in inputs]
                elif message["do"] == "outputs":
                    found = counting.outputs(message["numbers"], message["largest"])
                    cost = vars(counting.cost) | {"called": sorted(counting.cost.called)}
                    reply |= {"cost": cost, "outputs": [wire.pack(t, out) for t in found]}
                    counting = None
            except Exception as error:  # a number that names no tensor; a tensor without end
                reply, out = {"id": message["id"], "error": str(error)[:200]}, []
            wire.send(judge, reply, out)
        if student in ready:
            with contextlib.suppress(OSError):  # it does not read its answers
                message = student.recv(LARGEST_MESSAGE)
                if not message:
                    return _report(judge, "it closed its side", watch.init)
                if counting is not None:
                    student.send(counting.answer(message))


def _report(judge: socket.socket, ending: str, init: int | None = None) -> None:
    """Tell the judge how the student's process ended; end ``init`` before."""
    from tutor.sandbox import wire

    if init is not None and ending != "memory":
        time.sleep(_LOOK_SECONDS)  # who closes everything is about to exit, as a rule
        pid, status = os.waitpid(init, os.WNOHANG)
        if pid:
            init, ending = None, _ending(status)
    if init is not None:
        os.kill(init, signal.SIGKILL)
        os.waitpid(init, 0)
    wire.send(judge, {"ended": ending})


def _ending(status: int) -> str:
    if os.WIFSIGNALED(status):
        return f"signal {signal.Signals(os.WTERMSIG(status)).name}"
    return f"exit {os.WEXITSTATUS(status)}"


def become_pair(
    judge: socket.socket, kernel: socket.socket, order: dict[str, Any], shell: Any
) -> None:
    """In a fresh fork of the zygote: the counting process, with the student's as its child."""
    from tutor.sandbox import wire
    from tutor.sandbox.inside.kernel import Kernel

    limits = order["limits"]
    proc, used = os.open("/proc", os.O_RDONLY), (_now("VmData"), _now("VmSize"))
    if order["sandboxed"]:
        isolate(limits)
        limit(limits, order["device"], *used)
    counts, asks = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    child = os.fork()
    if child == 0:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        os.setsid()
        nothing = os.open(os.devnull, os.O_RDWR)
        for fd in (0, 1, 2):
            os.dup2(nothing, fd)
        close_all_but({kernel.fileno(), asks.fileno()})
        if order["sandboxed"]:
            lock(order["device"])
        Kernel(kernel, asks, shell, order["device"]).serve()
        os._exit(0)
    close_all_but({0, 1, 2, judge.fileno(), counts.fileno(), proc})
    watch = Watch(proc, child, limits["memory_mebibytes"] * _MIB)
    if order["sandboxed"]:
        lock(order["device"])
    wire.send(judge, {"student": child})
    keep_watch(judge, counts, watch)


def _now(name: str) -> int:
    """A figure of this process, in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))


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
        demote(setting["uid"])
    # Stand-ins and earlier chapters come before anything that is installed.
    sys.path.insert(0, setting["course"])
    sys.meta_path.insert(0, Withheld(setting["withheld"]))
    from tutor.sandbox import importing

    with importing():
        import torch

        torch.set_num_threads(1)
        if setting["sandboxed"]:
            import pyseccomp  # noqa: F401 (it looks for its library, which takes a while)
        from tutor.sandbox.inside.kernel import Stream, make_shell

        sys.stdout = Stream("stdout")
        for name in setting["preload"]:
            __import__(name)
        shell = make_shell()
        warm(shell, setting["device"])
    assert threading.active_count() == 1, "a fork takes only the thread that forks along"
    control.send(b'{"ready": true}')
    serve(control, shell)


if __name__ == "__main__":
    main()
