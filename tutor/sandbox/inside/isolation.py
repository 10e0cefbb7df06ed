"""What a submission may not do: namespaces, seccomp, capabilities, resource limits.

Everything here happens in a fresh fork of the zygote (``inside.zygote``), before any line of the
student's runs. What its processes use together is watched from outside of them: ``inside.watch``.
"""

import ctypes
import fcntl
import os
import resource
import signal
import socket
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
_MIB = 2**20

# What honest numerical code has no use for and attacks on a kernel start with, or what would hold
# memory that no process shows: memfd, System V and POSIX message queues and segments. And what
# tells, or has a say in, which pages of a file are in memory: one process can leave a message for
# the next by the pages that it reads.
_FORBIDDEN_CALLS = """
acct add_key bpf cachestat chroot clock_adjtime clock_settime create_module delete_module
fadvise64 fanotify_init finit_module fsconfig fsmount fsopen fspick get_kernel_syms init_module
io_uring_enter io_uring_register io_uring_setup ioperm iopl kcmp kexec_file_load kexec_load
keyctl lookup_dcookie mbind memfd_create memfd_secret migrate_pages mincore modify_ldt mount
mount_setattr move_mount move_pages flock inotify_init inotify_init1 mq_open msgget msgsnd
name_to_handle_at nfsservctl open_by_handle_at open_tree perf_event_open personality pidfd_getfd
pivot_root process_madvise process_vm_readv process_vm_writev ptrace quotactl readahead reboot
request_key semget set_mempolicy setdomainname sethostname setns settimeofday shmat shmget
swapoff swapon sysfs syslog umount2 unshare uselib userfaultfd vhangup
"""
_RWF_NOWAIT = 8
_LAST_FAMILY = 16  # AF_UNIX, AF_INET, AF_INET6 and AF_NETLINK are below; AF_VSOCK is not

_libc = ctypes.CDLL(None, use_errno=True)


def _succeed(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def _mount(kind: str, target: str, flags: int, options: str) -> None:
    result = _libc.mount(kind.encode(), target.encode(), kind.encode(), flags, options.encode())
    _succeed(result, f"mount {kind} on {target}")


def demote(uid: int) -> None:
    """Be nobody, if the sandbox was started by root."""
    if os.getuid() == 0:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
    # Changing the user hides a process's own files in /proc from it, and we need uid_map.
    _succeed(_libc.prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0), "prctl")


def end_with_parent() -> None:
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def used_now() -> tuple[int, int]:
    """Bytes of this process's own data, and of its addresses: for ``limit``."""
    lines = Path("/proc/self/status").read_text().splitlines()
    figures = {name: value for name, _, value in (line.partition(":") for line in lines)}
    data, space = (int(figures[name].split()[0]) * 1024 for name in ("VmData", "VmSize"))
    return data, space


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
    # Not to wait is to be told whether there is anything to wait for.
    for name in ("preadv2", "pwritev2"):
        rules.add_rule(refuse, name, seccomp.Arg(5, seccomp.MASKED_EQ, _RWF_NOWAIT, _RWF_NOWAIT))
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
