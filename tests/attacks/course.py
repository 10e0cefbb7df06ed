"""A class of all submissions, and around it what they must neither read, change nor reach."""

import os
import secrets
import shutil
import socket
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.attacks import marks
from tests.attacks.corpus import CHAPTER, Submission
from tutor import ROOT

FOLDER = ROOT / "_build" / "attacks"
"""Within the course, as a real class is: what a sandbox shows of it by mistake is within reach."""

WRITTEN = {"autograded", "feedback"}
"""Folders that grading makes beside ``submitted``."""


@dataclass
class Course:
    """A folder with ``submitted`` in it, and the traps around it."""

    folder: Path
    tokens: dict[str, str] = field(default_factory=dict)
    """Where a secret was planted, and the secret."""
    connections: list[str] = field(default_factory=list)
    """What reached the sockets on which the class listens."""
    _planted: list[Path] = field(default_factory=list)
    _before: dict[Path, str] = field(default_factory=dict)

    @property
    def submitted(self) -> Path:
        return self.folder / "submitted"

    @property
    def database(self) -> str:
        return f"sqlite:///{self.folder / 'gradebook.db'}"

    @property
    def environment(self) -> dict[str, str]:
        """For the process that grades."""
        return {
            **os.environ,
            # nbgrader calls a bare `alembic`, which stands beside this Python.
            "PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', os.defpath)}",
            "TUTOR_GRADING_SECRET": self.tokens["secret"],
            "ATTACKS_CANARY": self.tokens["environment"],
            "PGPASSWORD": self.tokens["environment"],
        }

    def token(self, where: str) -> str:
        return self.tokens.setdefault(where, f"{marks.CANARY}-{where}-{secrets.token_hex(8)}")

    def plant(self, where: str, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.token(where) + "\n", encoding="utf-8")
        self._planted.append(path)

    def damage(self) -> list[str]:
        """One sentence for each planted file that is not as it was, each file that is new where
        none may be, and each process that an attack has left running."""
        found = []
        for path in self._planted:
            where = next(w for w, t in self.tokens.items() if t in self._before[path])
            if not path.exists() or path.read_text("utf-8") != self._before[path]:
                found.append(f"the canary “{where}” was changed")
        found += [f"{p} was written" for p in self._left()]
        found += [f"the process {p} is alive" for p in _processes()]
        return found

    def _left(self) -> Iterator[Path]:
        graded = [self.folder / name for name in WRITTEN]
        places = [self.folder, ROOT, Path.home(), Path("/tmp"), Path("/dev/shm"), Path("/var/tmp")]
        places += [Path("/usr"), Path("/etc"), Path("/"), Path("/run"), ROOT / "tutor"]
        for place in dict.fromkeys(places):
            yield from place.glob(f"*{marks.LEFT}*")
        for path in self.folder.rglob(f"*{marks.LEFT}*"):
            if path.parent != self.folder and self.submitted not in path.parents:
                yield path
        known = {self.submitted, *graded, *self._planted, self.folder / "private"}
        for path in self.folder.iterdir():
            harmless = path.name.startswith(("gradebook.db", ".grad", "grades", "report", ".cache"))
            if path not in known and not harmless and path.name != marks.SOCKET:
                yield path

    def leaks(self, texts: Iterable[tuple[str, str]]) -> list[str]:
        """Where a planted secret stands in what came back."""
        return [
            f"{name} holds the canary “{where}”"
            for name, text in texts
            for where, token in self.tokens.items()
            if token in text
        ]


def _processes() -> Iterator[str]:
    for path in Path("/proc").glob("[0-9]*"):
        try:
            command = path.joinpath("cmdline").read_bytes().replace(b"\0", b" ").decode("latin-1")
        except OSError:
            continue
        if marks.LEFT in command and int(path.name) != os.getpid():
            yield f"{path.name}: {command}"


@contextmanager
def course(name: str, submissions: Iterable[Submission]) -> Iterator[Course]:
    """The class in ``_build/attacks/<name>``, with its traps set for as long as the block runs."""
    folder = FOLDER / name
    shutil.rmtree(folder, ignore_errors=True)
    made = Course(folder)
    for where in ("secret", "environment", "abstract"):
        made.token(where)
    for submission in submissions:
        submission.work().to(made.submitted / submission.student / CHAPTER)
    made.plant("course", folder / f"{marks.CANARY}.txt")
    made.plant("private", folder / "private" / f"{marks.CANARY}.txt")
    made.plant("another-student", made.submitted / "all_solved" / CHAPTER / f"{marks.CANARY}.txt")
    made.plant("home", Path.home() / f".{marks.CANARY}-{os.getpid()}")
    made.plant("tmp", Path("/tmp") / f"{marks.CANARY}-{os.getpid()}.txt")
    made._before = {p: p.read_text("utf-8") for p in made._planted}
    with ExitStack() as stack:
        for path in made._planted:
            if folder not in path.parents:
                stack.callback(path.unlink, missing_ok=True)
        stack.enter_context(_listening(made))
        yield made


@contextmanager
def _listening(made: Course) -> Iterator[None]:
    """Loopback, an abstract socket and sockets in the file system: whoever connects is noted."""
    paths = [made.folder / marks.SOCKET, Path("/tmp") / marks.SOCKET]
    for path in paths:
        path.unlink(missing_ok=True)  # of a run that was killed
    listeners = []
    for family, address in (
        (socket.AF_INET, ("127.0.0.1", marks.PORT)),
        (socket.AF_INET6, ("::1", marks.PORT)),
        (socket.AF_UNIX, marks.ABSTRACT),
        *((socket.AF_UNIX, str(p)) for p in paths),
    ):
        try:
            listener = socket.socket(family)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
        except OSError:
            if family == socket.AF_INET6:
                continue  # a machine without it
            raise
        listener.listen()
        listeners.append(listener)

    def wait(listener: socket.socket) -> None:
        while True:
            try:
                link, peer = listener.accept()
            except OSError:
                return
            link.settimeout(1)
            try:
                said = link.recv(100)
            except OSError:
                said = b""
            link.close()
            made.connections.append(f"{listener.getsockname()!r} from {peer!r}: {said!r}")

    for listener in listeners:
        threading.Thread(target=wait, args=(listener,), daemon=True).start()
    try:
        yield
    finally:
        for listener in listeners:
            # Closing alone leaves a thread in accept, and the port taken.
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        for path in paths:
            path.unlink(missing_ok=True)
