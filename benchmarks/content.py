"""What a result was made from, as one digest: while that is the same, the result stands.

A table of mutants, a table of claims and a notebook that ran to its end take minutes to make, and
follow from files and from versions. Whoever makes one writes the digest down: into the committed
result, or with ``note`` into `_build/proved/`, which only this machine knows. The tests make it
again when the digest is another one.
"""

import hashlib
import io
import sys
import tokenize
from collections.abc import Collection, Iterable
from functools import cache
from importlib.metadata import version
from pathlib import Path

from tutor import ROOT

sys.path.insert(0, str(ROOT / "book" / "_ext"))
import freshness

PROVED = ROOT / "_build" / "proved"
PYTHON = f"Python {sys.version_info.major}.{sys.version_info.minor}"


def listing() -> set[Path]:
    """Packages' `__init__.py` that import their own modules only to list them."""
    lists = {ROOT / "tests" / "answers" / "__init__.py"}
    return lists.union((ROOT / "tutor" / "checks").glob("**/__init__.py"))


def modules(*starts: Path, listing: Collection[Path] = ()) -> set[Path]:
    """These modules of the course or its tests, and all that they import, directly or not.

    ``listing``: packages' `__init__.py` that count themselves, and whose imports of their own
    modules are not followed.
    """
    waiting, done = set(starts), set()
    while waiting:
        path = waiting.pop()
        done.add(path)
        found = imported(path)
        if path in listing:
            found = {p for p in found if path.parent not in p.parents}
        waiting |= found - done
    return done


@cache
def imported(path: Path) -> frozenset[Path]:
    """The files of the course, its tests and benchmarks that a module imports directly.

    A test finds what stands beside it, in `tests` and in the root, as pytest has it.
    """
    if ROOT / "tutor" in path.parents:
        return freshness.imported(path)
    roots = (path.parent, ROOT / "tests", ROOT)

    def files(name: str) -> set[Path]:
        stems = [root.joinpath(*name.split(".")) for root in roots]
        there = (p for s in stems for p in (s.with_suffix(".py"), s / "__init__.py"))
        return {p for p in there if p.is_file()}

    return frozenset(freshness.found(path, ROOT, files))


def used_by(text: str) -> set[Path]:
    """The modules and results that the cells of a page or of a notebook use."""
    return freshness.used(ROOT, text)


def digest(
    files: Iterable[Path], texts: Iterable[str] = (), packages: Iterable[str] = ("torch", "numpy")
) -> str:
    """Of the files' names and contents, of ``texts`` in their order, and of packages' versions.

    Comments and empty lines of a Python file do not count, nor does a package's build (``+cpu``).
    """
    state = hashlib.sha256()
    parts = [part for path in sorted(set(files)) for part in (_name(path), _content(path))]
    parts += [text.encode() for text in texts]
    parts += [f"{name} {version(name).partition('+')[0]}".encode() for name in packages]
    for part in parts:
        state.update(len(part).to_bytes(8, "big") + part)
    return state.hexdigest()[:16]


def _name(path: Path) -> bytes:
    return path.relative_to(ROOT).as_posix().encode()


def _content(path: Path) -> bytes:
    there = path.stat()
    return _content_then(path, there.st_mtime_ns, there.st_size)


@cache
def _content_then(path: Path, *_: int) -> bytes:
    return path.read_bytes() if path.suffix != ".py" else _code(path.read_text("utf-8")).encode()


def _code(text: str) -> str:
    """A module's lines without comments and without the empty ones between statements."""
    lines = text.splitlines(keepends=True)
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        row, column = token.start
        if token.type == tokenize.COMMENT:
            lines[row - 1] = lines[row - 1][:column].rstrip() + "\n"
        elif token.type == tokenize.NL and not lines[row - 1].strip():
            lines[row - 1] = ""
    return "".join(lines)


def noted(name: str) -> str | None:
    """The digest under which something was last proved on this machine."""
    path = PROVED / name
    return path.read_text("utf-8") if path.is_file() else None


def note(name: str, found: str) -> None:
    PROVED.mkdir(parents=True, exist_ok=True)
    (PROVED / name).write_text(found, encoding="utf-8")
