"""The outer sandbox: bubblewrap, with a zygote in it that forks a process pair a submission.

Nothing of the course is visible inside but the modules of earlier chapters and ``inside``; of the
system, /usr and the interpreter, read-only. There is no network, no /proc, no environment.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import tutor
from tutor import ROOT
from tutor.checks import EXERCISES
from tutor.sandbox import wire
from tutor.sandbox.cgroup import Group, delegated
from tutor.sandbox.limits import Limits
from tutor.sandbox.processor_time import Processes

PACKAGE = Path(tutor.__file__).resolve().parent
NOBODY = 65534
"""What root's zygote becomes: user ids inside are 1000."""

_START_SECONDS = 600
"""Of a sandbox, which takes seconds on a machine that has nothing else to do."""
# Stand-ins and earlier chapters come before anything that is installed.
_ZYGOTE = (
    "import sys; sys.path.insert(0, {!r}); from tutor.sandbox.inside.zygote import main; main()"
)
_VENV = Path("/environment")
_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
# What the dynamic loader and font look-ups read. No account, no host name, no key.
_SETTINGS = ("/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/alternatives")
_FONTS = ("/etc/fonts",)
_MATERIALS = ("figures", "numbers", "translator")
"""Of ``tutor.materials`` what any chapter may import: MiniLM holds answers."""


class NoSandbox(RuntimeError):
    """There is none on this machine; the message says what to do."""


class SandboxLost(RuntimeError):
    """The zygote ended. A new sandbox has to be started."""


def visible_modules(chapter: str) -> tuple[list[str], list[str]]:
    """Names of ``tutor``'s modules that a submission of ``chapter`` may import, and may not."""
    module_of = {e.chapter: e.reference.__module__.rpartition(".")[2] for e in EXERCISES.values()}
    earlier = {module for name, module in module_of.items() if name < chapter}
    chapters = {p.stem for p in PACKAGE.glob("*.py")} - {"__init__"}
    materials = {f"materials.{p.stem}" for p in (PACKAGE / "materials").glob("[!_]*.py")}
    visible = chapters & earlier | {f"materials.{name}" for name in _MATERIALS}
    return sorted(visible), sorted((chapters | materials) - visible)


def build_course(folder: Path, chapter: str) -> None:
    """Copy into ``folder`` all that the sandbox shows of the course."""
    visible, _ = visible_modules(chapter)
    shown = [*visible, "__init__", "materials.__init__", "sandbox.__init__", "sandbox.wire"]
    seen = ["candidate", "composites", "cost", "elsewhere", "known", "library", "modes"]
    seen += ["names", "recorder", "response", "sequences", "steps", "table_model", "widened"]
    shown += [f"checks.{name}" for name in seen]
    shown += [f"sandbox.inside.{p.stem}" for p in (PACKAGE / "sandbox" / "inside").glob("*.py")]
    files = {f"{name.replace('.', '/')}.py": PACKAGE for name in shown}
    files = {name: package / name for name, package in files.items()}
    files["checks/__init__.py"] = files.pop("sandbox/inside/checks.py")
    for name, source in files.items():
        target = folder / "tutor" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)


def bubblewrap(course: Path, device: str) -> list[str]:
    """The command that the interpreter's own follows. NoSandbox if there is no bubblewrap."""
    program = shutil.which("bwrap")
    if program is None:
        raise NoSandbox(
            "There is no bubblewrap here, and students' code is not run without it. On Debian and "
            "Ubuntu: apt-get install bubblewrap. On a machine that cannot have it, `tutor grade "
            "--trust-the-class` grades without protection: a notebook may then read and change "
            "everything that you can."
        )
    command = [program, "--die-with-parent", "--new-session", "--clearenv", "--cap-drop", "ALL"]
    command += ["--hostname", "notebook", "--unshare-uts", "--unshare-ipc", "--unshare-pid"]
    command += ["--unshare-net", "--unshare-cgroup-try"]
    if os.getuid() == 0:
        # Root's files stay root's: the zygote itself becomes nobody, which needs these two.
        command += ["--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
    else:
        command += ["--unshare-user", "--uid", "1000", "--gid", "1000"]
    made: set[Path] = set()
    for path in map(Path, _SYSTEM):
        if path.is_symlink():
            command += ["--symlink", os.readlink(path), str(path)]
        elif path.is_dir():
            command += ["--ro-bind", str(path), str(path)]
    command += ["--perms", "1777", "--tmpfs", "/tmp", *_covered(Path("/usr"), Path("/usr"))]
    roots = {Path(sys.base_prefix), Path(sys.base_prefix).resolve()}
    shown = {Path(p): Path(p) for p in (*_SETTINGS, *_FONTS) if Path(p).exists()}
    shown |= {p: p for p in sorted(roots) if not p.is_relative_to("/usr")}
    if sys.prefix != sys.base_prefix:
        shown[Path(sys.prefix)] = _VENV
    for path, place in shown.items():
        command += [*_parents(place, made), "--ro-bind", str(path), str(place)]
        command += _covered(path, place)
    command += ["--ro-bind", str(course), "/course", "--dev", "/dev", "--proc", "/proc"]
    if device == "cuda":
        for path in sorted(Path("/dev").glob("nvidia*")):
            command += ["--dev-bind", str(path), str(path)]
        command += ["--ro-bind", "/sys", "/sys"]  # where CUDA looks for its devices
    command += ["--remount-ro", "/dev", "--remount-ro", "/"]
    for name, value in _environment(_python().parent).items():
        command += ["--setenv", name, value]
    return [*command, "--chdir", "/tmp", "--"]


def _python() -> Path:
    """The interpreter, inside: a virtual environment may lie where /tmp would hide it."""
    executable = Path(sys.executable)
    if sys.prefix == sys.base_prefix:
        return executable
    return _VENV / executable.relative_to(sys.prefix)


def _covered(path: Path, place: Path) -> Iterator[str]:
    """The course itself may lie under what is shown, and settings with passwords in them."""
    for folder in (PACKAGE, ROOT, path / "etc", path / "local" / "etc"):
        below = folder.is_relative_to(path) and folder != path
        if below and folder.is_dir():
            yield from ("--tmpfs", str(place / folder.relative_to(path)))
    for name in ("pip.conf", ".condarc"):
        if (path / name).is_file():
            yield from ("--ro-bind", "/dev/null", str(place / name))


def _parents(path: Path, made: set[Path]) -> Iterator[str]:
    """bubblewrap makes the folders above a mount readable for their owner only."""
    for parent in reversed(path.parents):
        if parent != Path("/") and parent not in made:
            made.add(parent)
            yield from ("--perms", "0755", "--dir", str(parent))


def _environment(programs: Path) -> dict[str, str]:
    threads = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    return {
        "PATH": f"{programs}:/usr/bin:/bin",
        "HOME": "/tmp/home",
        "USER": "student",
        "LOGNAME": "student",
        "LANG": "C.UTF-8",
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "MPLCONFIGDIR": "/tmp/matplotlib",
        "IPYTHONDIR": "/tmp/ipython",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONHASHSEED": "0",
        "TORCHINDUCTOR_CACHE_DIR": "/tmp/inductor",
        **dict.fromkeys(threads, "1"),
    }


@dataclass
class Pair:
    """A student's process and the one that counts and watches, as seen from the judge."""

    student: socket.socket
    watcher: socket.socket
    pids: tuple[int, int]
    """Of the student's and the watcher's process, in the zygote's pid namespace."""

    def close(self) -> None:
        self.student.close()
        self.watcher.close()


class Sandbox:
    """One bubblewrap with a zygote for one chapter. Belongs to the thread that starts it.

    ``sandboxed=False`` runs the same processes without any protection: for a class that one trusts,
    on a machine without bubblewrap.
    """

    def __init__(self, chapter: str, limits: Limits, device: str = "cpu", sandboxed: bool = True):
        self.chapter, self.limits, self.device, self.sandboxed = chapter, limits, device, sandboxed
        self._process: subprocess.Popen | None = None
        self._proc: int | None = None
        """/proc of the zygote's pid namespace, open."""

    def start(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="tutor-grading-")
        course = Path(self._folder.name) / "course"
        build_course(course, self.chapter)
        visible, withheld = visible_modules(self.chapter)
        self._control, theirs = socket.socketpair()
        setting = {
            "control": theirs.fileno(),
            "sandboxed": self.sandboxed,
            "uid": NOBODY,
            "device": self.device,
            "withheld": withheld,
            "preload": ["numpy", "matplotlib", *(f"tutor.{name}" for name in visible)],
        }
        wrapped = bubblewrap(course, self.device) if self.sandboxed else []
        self._group = Group.of(delegated(), self.limits) if self.sandboxed else None
        script = _ZYGOTE.format("/course" if self.sandboxed else str(course))
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 (closed with the sandbox)
        python = str(_python()) if self.sandboxed else sys.executable
        command = [*wrapped, python, "-I", "-c", script, json.dumps(setting)]
        self._process = subprocess.Popen(
            self._group.wrap(command) if self._group else command,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            pass_fds=[theirs.fileno()],
            env=None
            if self.sandboxed
            else {**os.environ, **_environment(Path(sys.executable).parent)},
            cwd=self._folder.name,
        )
        theirs.close()
        self._control.settimeout(_START_SECONDS)
        try:
            ready, (self._proc,), _, _ = socket.recv_fds(self._control, 65536, 1)
        except (OSError, ValueError):
            ready = b""
        if not ready:
            try:
                code = self._process.wait(timeout=60)
            except subprocess.TimeoutExpired:
                code = None  # it hangs
            self._log.seek(0)
            said = self._log.read().decode(errors="replace").strip()
            self.close()
            if code in (-signal.SIGKILL, 128 + signal.SIGKILL):
                raise SandboxLost("the zygote was killed while it started")
            raise NoSandbox(f"The sandbox does not start. It says:\n{said[-2000:]}\n{_HELP}")

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def spawn(self) -> Pair:
        """A fresh pair for a submission. SandboxLost if the zygote has ended."""
        ours_student, student = socket.socketpair()
        ours_watcher, watcher = socket.socketpair()
        order = {
            "do": "spawn",
            "limits": asdict(self.limits),
            "sandboxed": self.sandboxed,
            "device": self.device,
        }
        try:
            self._ask(order, [watcher.fileno(), student.fileno()])
        finally:
            student.close()
            watcher.close()
        try:
            patience = wire.until(time.monotonic() + _START_SECONDS)
            first, _ = wire.receive(ours_watcher, patience)
        except (wire.Closed, wire.Late):
            raise SandboxLost("the zygote does not fork") from None
        if "failed" in first:
            raise NoSandbox(f"A submission cannot be isolated: {first['failed']}\n{_HELP}")
        return Pair(ours_student, ours_watcher, (first["student"], self._last["watcher"]))

    def processor_seconds(self, pair: Pair) -> Callable[[], float]:
        """For ``time_limits.Stopwatch``."""
        if self._group is None:
            return Processes(self._proc, *pair.pids).seconds
        before = self._group.processor_seconds()
        return lambda: self._group.processor_seconds() - before

    def out_of_memory(self) -> int:
        """Processes that the kernel has ended for it, where it keeps the limit."""
        return 0 if self._group is None else self._group.out_of_memory()

    def signal(self, pids: tuple[int, ...], number: signal.Signals) -> None:
        self._ask({"do": "signal", "pids": pids, "signal": number}, [])

    def _ask(self, order: dict[str, Any], fds: list[int]) -> None:
        if not self.alive:
            raise SandboxLost("the zygote has ended")
        try:
            socket.send_fds(self._control, [json.dumps(order).encode()], fds)
            answer = self._control.recv(65536)
        except OSError:
            answer = b""
        if not answer:
            raise SandboxLost("the zygote has ended")
        self._last = json.loads(answer)

    def close(self) -> None:
        if self._process is None:
            return
        self._control.close()
        if self._proc is not None:
            os.close(self._proc)
            self._proc = None
        self._process.kill()  # with bubblewrap ends all that is in it; nothing there is to be kept
        self._process.wait()
        self._log.close()
        self._folder.cleanup()
        if self._group:
            self._group.close()
        self._process = None


_HELP = (
    "Unprivileged user namespaces may be off: `sysctl kernel.unprivileged_userns_clone` (Debian) "
    "or `kernel.apparmor_restrict_unprivileged_userns` (Ubuntu) say so; book/instructors.md says "
    "what to do."
)
