"""The sandbox: what a submission can see, reach and use, asked from inside."""

import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable

import pytest

from tutor.course.sample_class import CHAPTER
from tutor.sandbox import bubblewrap as module
from tutor.sandbox.bubblewrap import NoSandbox, Sandbox, bubblewrap, build_course, visible_modules
from tutor.sandbox.limits import Limits
from tutor.sandbox.session import Session

LIMITS = Limits(cell_seconds=10, memory_mebibytes=300, processes=20, open_files=64, tmp_mebibytes=8,
                file_mebibytes=4)  # fmt: skip


@pytest.fixture(scope="module")
def sandbox():
    canary = os.environ["CANARY_OF_THE_GRADER"] = "a-secret-in-the-environment"
    sandbox = Sandbox(CHAPTER, LIMITS)
    sandbox.start()
    yield sandbox
    sandbox.close()
    assert os.environ.pop("CANARY_OF_THE_GRADER") == canary


@pytest.fixture
def session(sandbox):
    session = Session(sandbox)
    yield session
    session.close()


def said(session, source: str) -> str:
    """What a cell prints, or its error's name and message."""
    outputs = session.cell(source, "cell", 100_000)
    parts = [o.get("text") or f"{o.get('ename')}: {o.get('evalue')}" for o in outputs]
    return "".join(parts).strip()


def refused(session, source: str, why: str = r"(Permission|OS|ConnectionRefused)Error") -> None:
    text = said(session, source)
    assert re.match(why, text), text


# What is there


def test_only_system_interpreter_and_stand_ins_are_there(session):
    shown = said(session, "import os; print(*sorted(os.listdir('/')))").split()
    assert set(shown) <= {
        *("bin", "course", "dev", "etc", "lib", "lib32", "lib64", "libx32", "proc", "sbin", "tmp"),
        "usr",
        *("environment", module.sys.base_prefix.split("/")[1]),
    }
    found = "".join(said(session, "!find /course -type f").split("\n"))
    assert "attention" not in found and "judge" not in found and "exercise" not in found
    assert said(session, "print(os.listdir('/proc'), os.listdir('/tmp'))") == "[] ['home']"


def test_no_text_of_the_reference_or_the_checks_is_readable(session):
    course = str(module.PACKAGE.parent)
    text = said(
        session,
        "hits = []\n"
        f"for root in ('/course', '/etc', '/tmp', '/proc', {course!r}):\n"
        "    for folder, _, names in __import__('os').walk(root):\n"
        "        for name in names:\n"
        "            path = folder + '/' + name\n"
        "            if not name.endswith(('.py', '.md', '.ipynb', '.pyc', '.json')): continue\n"
        "            try:\n"
        "                text = open(path, errors='ignore').read()\n"
        "            except OSError:\n"
        "                continue\n"
        "            if 'stable_softmax' in text or 'causal_mask(num_q' in text:\n"
        "                hits.append(path)\n"
        "print(hits)",
    )
    assert text == "[]"


def test_reference_of_the_chapter_is_missing_in_plain_words(session):
    text = said(session, "from tutor.attention import stable_softmax")
    assert text.startswith("ModuleNotFoundError: tutor.attention is the course's own solution")
    assert said(session, "from tutor.checks import check; print(check(print))") == "0.0"
    assert "No module named" in said(session, "import tutor.checks.judge")
    assert "torch" in said(session, "import torch, tutor.materials.figures; print(torch.__name__)")


def test_earlier_chapters_are_there_and_later_ones_are_not():
    visible, withheld = visible_modules(CHAPTER)
    assert "attention" in withheld and "materials.minilm" in withheld
    assert "materials.figures" in visible
    visible, withheld = visible_modules("04_heads")
    assert "attention" in visible and "materials.minilm" in withheld


def test_stand_ins_are_all_that_is_copied(tmp_path):
    build_course(tmp_path, CHAPTER)
    names = {p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*.py")}
    assert "tutor/checks/candidate.py" in names and "tutor/attention.py" not in names
    stand_in = (tmp_path / "tutor/checks/__init__.py").read_text("utf-8")
    assert "EXERCISES" not in stand_in


def test_environment_is_our_own(session):
    text = said(session, "import os; print(dict(os.environ))")
    assert "secret" not in text.lower() and "'HOME': '/tmp/home'" in text
    assert said(session, "!id -u").strip() == "1000"


# What can be reached


def test_nothing_but_tmp_can_be_written(session):
    for place in ("/", "/usr", "/course", "/dev", "/etc", "/proc", "/environment"):
        refused(session, f"open('{place}/new', 'w')")
    assert said(session, "open('/tmp/new', 'w').write('x'); print(1)") == "1"


def test_no_capability_and_no_way_to_one(session):
    caps = "import ctypes; h = (ctypes.c_uint32 * 2)(0x20080522, 0); d = (ctypes.c_uint32 * 6)()\n"
    caps += "print(ctypes.CDLL(None).capget(h, d), *d)"
    assert said(session, caps) == "0 0 0 0 0 0 0"
    for call in ("unshare(0x10000000)", "unshare(0x20000)", "ptrace(0, 0, 0, 0)", "setns(0, 0)"):
        libc = "libc = ctypes.CDLL(None, use_errno=True)\n"
        code = f"import ctypes; {libc}print(libc.{call}, ctypes.get_errno())"
        assert said(session, code) == "-1 1", call
    assert said(session, "import os; os.memfd_create('x')").startswith("PermissionError")
    assert "not permitted" in said(session, "!unshare -U true").lower()


def test_no_network_reaches_anything(session):
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        port = server.getsockname()[1]
        refused(session, f"import socket; socket.create_connection(('127.0.0.1', {port}), 1)")
        with pytest.raises(TimeoutError):
            server.accept()
        socket.create_connection(("127.0.0.1", port), 1).close()  # it could have been reached
        server.accept()
    refused(session, "socket.create_connection(('192.0.2.1', 80), 1)")
    refused(session, "socket.getaddrinfo('example.org', 80)", "gaierror|PermissionError|OSError")
    refused(session, "socket.socket(socket.AF_VSOCK)")
    refused(session, "socket.socket(socket.AF_PACKET, socket.SOCK_RAW)")


def test_abstract_sockets_of_the_machine_are_out_of_reach(session):
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("\0tutor-test-canary")
        server.listen()
        refused(session, "import socket; socket.socket(1).connect(chr(0) + 'tutor-test-canary')")


def test_two_submissions_share_nothing(sandbox):
    one, other = Session(sandbox), Session(sandbox)
    try:
        said(one, "import os, socket, subprocess; open('/tmp/mark', 'w').write('one')")
        said(one, "s = socket.socket(1); s.bind(chr(0) + 'one'); s.listen()")
        said(one, "p = subprocess.Popen(['sleep', '60']); open('/dev/shm/mark', 'w').write('one')")
        said(one, "m = __import__('mmap').mmap(-1, 4096); m.write(b'one')")
        text = "import os, socket; print(os.path.exists('/tmp/mark'), os.listdir('/dev/shm'))"
        assert said(other, text) == "False []"
        refused(other, "socket.socket(1).connect(chr(0) + 'one')")
        pids = "print([p for p in range(1, 1000) if __import__('os').path.exists(f'/proc/{p}')])"
        assert said(other, pids) == "[]"
        kill = (
            "hit = []\nfor p in range(2, 500):\n    try:\n        os.kill(p, 0); hit.append(p)\n"
            "    except ProcessLookupError: pass\nprint(os.getpid(), os.getppid(), hit)"
        )
        assert said(other, kill) == "1 0 []"
    finally:
        one.close()
        other.close()


def test_only_two_sockets_lead_out(session):
    text = said(
        session,
        "import os, stat\nfound = []\nfor fd in range(64):\n    try:\n"
        "        found.append(stat.S_ISSOCK(os.fstat(fd).st_mode))\n    except OSError: pass\n"
        "print(sum(found), len(found))",
    )
    assert text == "2 5"  # and three that lead to /dev/null


# What can be used


def test_processes_and_threads_are_counted(session):
    forks = (
        "import os, time\nmade = 0\ntry:\n    for _ in range(1000):\n        if not os.fork():\n"
        "            time.sleep(60); os._exit(0)\n        made += 1\n"
        "except OSError as error:\n    print(made, error.strerror)"
    )
    made, _, reason = said(session, forks).partition(" ")
    assert int(made) < 20 and reason == "Resource temporarily unavailable"


def test_what_a_submission_started_ends_with_it(sandbox):
    session = Session(sandbox)
    mark = f"tutor-test-{time.time_ns()}"
    daemon = (
        "import os, subprocess, sys\n"
        f"subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(300) # {mark}'],"
        " start_new_session=True)\nprint('started')"
    )
    assert said(session, daemon) == "started"
    assert happens(lambda: mark in processes())
    session.close()
    assert happens(lambda: mark not in processes())


def happens(event: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 100
    while not event() and time.monotonic() < deadline:
        time.sleep(0.05)
    return event()


def processes() -> str:
    lines = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline") as file:
                lines.append(file.read())
        except OSError:
            continue
    return "\n".join(line for line in lines if "pytest" not in line)


def test_files_are_small_and_the_disk_is(session):
    refused(
        session,
        "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "open('/tmp/big', 'wb').write(bytes(6 * 2**20)); print('written')",
    )
    many = (
        "n = 0\ntry:\n    while True:\n"
        "        open(f'/tmp/{n}', 'wb').write(bytes(2**20))\n        n += 1\n"
        "except OSError as error:\n    print(n, error.strerror)"
    )
    written, _, reason = said(session, many).partition(" ")
    assert int(written) <= 8 and reason == "No space left on device"


def test_open_files_are_few(session):
    text = said(session, "held = [open('/dev/null') for _ in range(100)]")
    assert text.startswith("OSError: [Errno 24] Too many open files")


def test_time_does_not_run_on_in_threads(session):
    """A thread that goes on after its cell keeps neither the cell nor the notebook from its end."""
    loop = "import threading\nt = threading.Thread(target=lambda: [0 for _ in iter(int, 1)])\n"
    assert said(session, loop + "t.daemon = False\nt.start(); print('on')") == "on"
    assert said(session, "print('next')") == "next"
    session.close()
    assert session.broken == []


PAGES = """
import ctypes, os, torch
libc = ctypes.CDLL(None, use_errno=True)
fd = os.open(torch.__file__, os.O_RDONLY)
"""


def test_pages_of_files_in_memory_are_not_told(session):
    assert said(session, PAGES) == ""
    refused(session, "os.preadv(fd, [bytearray(9)], 0, os.RWF_NOWAIT)")
    refused(session, "os.posix_fadvise(fd, 0, 4096, os.POSIX_FADV_DONTNEED)")
    for name in ("mincore", "readahead"):
        call = f"(libc.{name}(fd, 0, 4096), os.strerror(ctypes.get_errno()))"
        assert said(session, f"print({call})") == "(-1, 'Operation not permitted')"
    assert said(session, "print(os.preadv(fd, [bytearray(9)], 0))") == "9"


# Starting and failing to start


def test_machine_without_bubblewrap_is_told_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NoSandbox, match="apt-get install bubblewrap"):
        bubblewrap(tmp_path, "cpu")


def test_sandbox_that_does_not_start_says_why(monkeypatch):
    real = module.bubblewrap
    monkeypatch.setattr(module, "bubblewrap", lambda *a: [*real(*a)[:-1], "--no-such-option", "--"])
    with pytest.raises(NoSandbox, match=r"(?s)does not start.*no-such-option.*instructors\.md"):
        Sandbox(CHAPTER, LIMITS).start()


def test_gpu_devices_are_shown_only_when_asked_for(monkeypatch, tmp_path):
    devices = [module.Path("/dev/nvidia0")]
    monkeypatch.setattr(module.Path, "glob", lambda self, pattern: devices)
    assert {"/dev/nvidia0", "/sys"} <= {*bubblewrap(tmp_path, "cuda")}
    assert not {"/dev/nvidia0", "/sys"} & {*bubblewrap(tmp_path, "cpu")}


@pytest.mark.parametrize(("device", "passes"), [("cpu", "4"), ("cuda", "0")])
def test_process_that_is_forked_has_not_asked_cuda_for_its_devices(device, passes):
    # torch's first backward pass does.
    count = f"""if True:
        import torch
        from tutor.sandbox.inside import shell, warm
        passes, real = [], torch.autograd.grad
        torch.autograd.grad = lambda *a, **k: passes.append(a) or real(*a, **k)
        warm.warm(shell.make_shell(), {device!r})
        print(len(passes))
    """
    done = subprocess.run([sys.executable, "-c", count], capture_output=True, text=True)
    assert done.stdout.split()[-1:] == [passes], done.stdout + done.stderr


def test_sandbox_ends_when_its_thread_ends():
    held = []

    def start():
        held.append(Sandbox(CHAPTER, LIMITS))
        held[0].start()

    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
    assert happens(lambda: not held[0].alive)
    held[0].close()
