"""A page is executed again when the code or the data that it uses has changed.

The cache of executed notebooks compares the page's own cells and its kernel's description only:
it would show yesterday's numbers beside today's `tutor`. So a digest of what the page uses is made
part of that description: the `tutor` modules that it imports, those that they import, and the files
under `benchmarks/` that it names.

And a build that warned leaves nothing behind for the next one to find finished: a page is not read
again until it changes, so its warning would fail one build and be missing from the second.
"""

import ast
import hashlib
import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

KERNEL = re.compile(r"^kernelspec:[ \t]*\n", re.MULTILINE)
FROM = re.compile(
    r"^[ \t]*from[ \t]+(tutor[\w.]*)[ \t]+import[ \t]+(\([^)]*\)|[^\n(]+)", re.MULTILINE
)


@cache
def imported(path: Path) -> frozenset[Path]:
    """The files of the package that this one imports directly."""
    root = next(p for p in path.parents if p.name == "tutor").parent
    return frozenset(found(path, root, lambda name: files_of(root, name)))


def found(path: Path, root: Path, files: Callable[[str], set[Path]]) -> set[Path]:
    """The ``files`` of what a module imports anywhere in it: what stands in a package's own file
    counts only where something of it is imported, and not only modules of the package."""
    every: set[Path] = set()
    for base, parts in imports(path, root):
        modules = [files(f"{base}.{part}") for part in parts]
        every = every.union(*modules)
        if not parts or not all(modules):
            every |= files(base)
    return every


def names(path: Path, root: Path) -> set[str]:
    """What a module imports anywhere in it, with its dots: modules, and whatever is in them."""
    each = imports(path, root)
    return {name for base, parts in each for name in (base, *(f"{base}.{part}" for part in parts))}


def imports(path: Path, root: Path) -> Iterator[tuple[str, list[str]]]:
    """Each module that is imported, and what is imported from it."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, []) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                up = path.parents[node.level - 1].relative_to(root).parts
                base = ".".join([*up, base]).rstrip(".")
            yield base, [alias.name for alias in node.names]


def files_of(root: Path, module: str) -> set[Path]:
    if module.split(".")[0] != "tutor":
        return set()
    stem = root.joinpath(*module.split("."))
    return {p for p in (stem.with_suffix(".py"), stem / "__init__.py") if p.is_file()}


def used(root: Path, text: str) -> set[Path]:
    """Every file that a page's text makes it depend on."""
    waiting: set[Path] = set()
    for module, names in FROM.findall(text):
        for name in ["", *(n for n in re.findall(r"\w+", names) if n != "as")]:
            waiting |= files_of(root, f"{module}.{name}".rstrip("."))
    for module in re.findall(r"\bimport\s+(tutor[\w.]*)", text):
        waiting |= files_of(root, module)
    done: set[Path] = set()
    while waiting:
        path = waiting.pop()
        done.add(path)
        waiting |= imported(path) - done
    named = (root / name for name in re.findall(r"\bbenchmarks/[\w./-]*\w", text))
    return done | {path for path in named if path.is_file()}


def digest(root: Path, text: str) -> str:
    state = hashlib.sha256()
    for path in sorted(used(root, text)):
        state.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return state.hexdigest()[:16]


def mark(app: Sphinx, page: str, source: list[str]) -> None:
    value = digest(Path(app.srcdir), source[0])
    source[0] = KERNEL.sub(f"kernelspec:\n  uses: '{value}'\n", source[0], count=1)


def outdated(app: Sphinx, env: BuildEnvironment, *_) -> list[str]:
    imported.cache_clear()
    pages = []
    for page in env.found_docs:
        kernel = env.metadata.get(page, {}).get("kernelspec")
        path = Path(env.doc2path(page))
        if not isinstance(kernel, dict) or path.suffix != ".md" or not path.is_file():
            continue
        if kernel.get("uses") != digest(Path(app.srcdir), path.read_text("utf-8")):
            pages.append(page)
    return pages


def forget(app: Sphinx, exception: Exception | None) -> None:
    if exception or app._warncount:
        (Path(app.doctreedir) / "environment.pickle").unlink(missing_ok=True)


def setup(app: Sphinx) -> dict:
    app.connect("build-finished", forget)
    app.connect("source-read", mark)
    app.connect("env-get-outdated", outdated)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
