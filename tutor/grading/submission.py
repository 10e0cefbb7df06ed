"""From a submitted file, whatever it holds, to a notebook that can be graded.

The submission supplies the text of its solution cells and of the cells that the student added.
Everything else, locked cells, checks, points, metadata, comes from ``solutions/``.
"""

import codecs
import copy
import hashlib
import json
import os
import re
import stat
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode
from nbgrader.preprocessors import ClearSolutions, ComputeChecksums, LockCells
from nbgrader.utils import is_grade, is_solution
from traitlets.config import Config

from tutor import ROOT
from tutor.course.release import BENCH, is_bench, source_notebook, stamped
from tutor.course.settings import read_config
from tutor.sandbox.limits import Limits
from tutor.sandbox.outputs import clean

_SUFFIX = "-solution"


@dataclass(frozen=True)
class Cell:
    """A cell that a student handed in, and what it claims to be."""

    kind: str
    source: str
    grade_id: str = ""
    id: str = ""


@dataclass(frozen=True)
class Submitted:
    cells: tuple[Cell, ...] = ()
    problems: tuple[str, ...] = ()
    """Why nothing, or not all, could be read: one plain sentence each."""
    own: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Name of a given cell -> sources of the cells added after it; of a solution cell, its own
    comes first. "" is before them all."""

    @property
    def written(self) -> dict[str, str]:
        """Exercise -> what was written for it."""
        found: dict[str, str] = {}
        for name, sources in self.own.items():
            exercise, text = name.removesuffix(_SUFFIX), "\n\n".join(filter(None, sources))
            if text and f"{exercise}{_SUFFIX}" in self.own:
                found[exercise] = "\n\n".join(filter(None, [found.get(exercise), text]))
        return found


def released(chapter: str, name: str, root: Path = ROOT) -> NotebookNode:
    """The notebook that students were given, made from ``solutions/``. Not to be changed.

    FileNotFoundError if the chapter has no notebook of that name.
    """
    source = root / "solutions" / chapter / f"{name}.md"
    return _released(source, source.stat().st_mtime_ns)


@cache
def _released(source: Path, changed: int) -> NotebookNode:
    nb = source_notebook(source)
    config: Config = read_config(ROOT)
    for step in (ClearSolutions, LockCells, ComputeChecksums):
        nb, _ = step(config=config).preprocess(nb, {})
    return stamped(nb)


def read(path: Path, released: NotebookNode, limits: Limits) -> Submitted:
    """Whatever can be read of the file. Never raises, never follows a link."""
    try:
        data = _bytes(path, limits.notebook_mebibytes * 2**20)
        return parse(data, released, limits)
    except _Unreadable as reason:
        return Submitted(problems=(clean(f"{path.name} {reason}."),))
    except Exception as error:  # no file may stop a class
        return Submitted(problems=(f"It cannot be read ({type(error).__name__}).",))


def parse(data: bytes, released: NotebookNode, limits: Limits) -> Submitted:
    """As ``read``, from the bytes of a file. Raises ``_Unreadable`` only."""
    cells = tuple(_cells(_notebook(data), limits.notebook_cells))
    own, problems = _own(cells, released)
    return Submitted(cells, tuple(problems), own)


def restore(released: NotebookNode, submitted: Submitted) -> NotebookNode:
    """The released notebook with the student's cells in it, each where the student had it."""
    nb = copy.deepcopy(released)
    cells: list[NotebookNode] = []
    first = True
    for cell in nb.cells:
        cells.append(cell)
        name = _name(cell)
        if not name:
            continue
        added = list(submitted.own.get(name, ()))
        if is_solution(cell):
            cell.source = added.pop(0) if added else ""
        if first:  # what stands before the imports runs after them
            before = submitted.own.get("", ())
            cells += [_added(source, "", i) for i, source in enumerate(before)]
            first = False
        new = [_added(source, name, i) for i, source in enumerate(added)]
        for tried in new if is_bench(cell) else ():
            tried.metadata["tags"] = [BENCH]
        cells += new
    nb.cells = cells
    return nb


def is_run(cell: NotebookNode) -> bool:
    """Whether grading runs it: all code but the bench and what a student added there."""
    return cell.cell_type == "code" and not is_bench(cell)


def digest(restored: NotebookNode) -> str:
    """Changes with the code that is run, and with nothing else."""
    text = json.dumps([c.source for c in restored.cells if is_run(c)])
    return hashlib.sha256(text.encode()).hexdigest()


class _Unreadable(Exception):
    """Ends a sentence that begins with the name of the file."""


def _bytes(path: Path, limit: int) -> bytes:
    for folder in list(path.parents)[:2]:
        if folder.is_symlink():
            raise _Unreadable("lies in a folder that is a link")
    try:
        # Not blocking: it may be a pipe that nobody writes to.
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        raise _Unreadable("was not handed in") from None
    except OSError as error:
        what = "is a link" if path.is_symlink() else f"cannot be opened: {error.strerror}"
        raise _Unreadable(what) from None
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise _Unreadable("is no file")
        with open(fd, "rb", closefd=False) as file:
            data = file.read(limit + 1)
    finally:
        os.close(fd)
    if len(data) > limit:
        raise _Unreadable(f"is larger than {limit / 2**20:g} MiB")
    if not data.strip(b"\0\t\r\n "):
        raise _Unreadable("is empty")
    return data


def _notebook(data: bytes) -> dict[str, Any]:
    try:
        nb = json.loads(_text(data))
    except RecursionError:
        raise _Unreadable("is nested too deeply to be read") from None
    except ValueError:
        raise _Unreadable("is not JSON, as a notebook is") from None
    if not isinstance(nb, dict) or not ("cells" in nb or "worksheets" in nb):
        raise _Unreadable("is JSON, but no notebook")
    return nb


def _text(data: bytes) -> str:
    encodings = ["utf-8-sig", "cp1252", "latin-1"]
    for mark, name in (
        (codecs.BOM_UTF32_LE, "utf-32"),
        (codecs.BOM_UTF32_BE, "utf-32"),
        (codecs.BOM_UTF16_LE, "utf-16"),
        (codecs.BOM_UTF16_BE, "utf-16"),
    ):
        if data.startswith(mark):
            encodings.insert(0, name)
            break  # the mark of UTF-16 begins that of UTF-32
    for name in encodings:
        try:
            return data.decode(name)
        except UnicodeDecodeError:
            continue
    raise AssertionError("latin-1 decodes every byte")


def _cells(nb: dict[str, Any], most: int) -> list[Cell]:
    """Cells of any version of the format; what is no cell is left out."""
    found = nb.get("cells")
    if not isinstance(found, list):  # before version 4 there were sheets
        sheets = nb.get("worksheets")
        sheets = sheets if isinstance(sheets, list) else []
        found = [c for s in sheets if isinstance(s, dict) for c in _list(s.get("cells"))]
    found = [c for c in found if isinstance(c, dict)]
    if len(found) > 2 * most:
        raise _Unreadable(f"has {len(found):,} cells; {2 * most:,} are allowed")
    code = sum(c.get("cell_type") == "code" for c in found)
    if code > most:
        raise _Unreadable(f"has {code:,} code cells; {most:,} are allowed")
    cells = []
    for cell in found:
        source = cell.get("source", cell.get("input", ""))
        if isinstance(source, list):
            source = "".join(s for s in source if isinstance(s, str))
        metadata = cell.get("metadata")
        mark = metadata.get("nbgrader") if isinstance(metadata, dict) else None
        grade_id = mark.get("grade_id") if isinstance(mark, dict) else None
        kind = "code" if cell.get("cell_type") == "code" else "text"
        text = source if isinstance(source, str) else ""
        cells.append(Cell(kind, clean(text), _string(grade_id), _string(cell.get("id"))))
    return cells


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _string(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _own(
    cells: tuple[Cell, ...], released: NotebookNode
) -> tuple[dict[str, tuple[str, ...]], list[str]]:
    """The student's cells, by the given cell that they are or follow."""
    names = [_name(c) for c in released.cells if is_solution(c)]
    locked = [c for c in released.cells if _name(c) and not is_solution(c)]
    by_mark = {_name(c): _name(c) for c in locked} | {c.id: _name(c) for c in locked}
    by_source = {c.source.strip(): _name(c) for c in locked}
    places = {name: place for name in names if (place := _place(name, cells)) is not None}
    at = {place: name for name, place in places.items()}
    benches, last = {_name(c) for c in locked if is_bench(c)}, max(at, default=-1)
    own: dict[str, list[str]] = {name: [cells[place].source] for name, place in places.items()}
    current = ""
    for i, cell in enumerate(cells):
        if i in at:
            current = at[i]
            continue
        text = cell.source.strip()
        given = by_mark.get(cell.grade_id or cell.id) or by_source.get(text)
        if given in benches and i < last:
            continue  # a copy, tried beside an exercise: what follows is that exercise's
        if given:
            current = given
        elif cell.kind == "code" and text:
            own.setdefault(current, []).append(cell.source)
    problems = [f"The cell {name} is missing." for name in names if name not in places]
    for cell in (c for c in locked if c.cell_type == "code" and not is_bench(c)):
        mine = [c.source.strip() for c in cells if by_mark.get(c.grade_id or c.id) == _name(cell)]
        if mine and cell.source.strip() not in mine:
            problems.append(
                f"The given cell {_name(cell)} is not as the course gives it: grading runs the "
                "course's, so write what you add into a cell of your own."
            )
    return {name: tuple(sources) for name, sources in own.items()}, problems


def _place(name: str, cells: tuple[Cell, ...]) -> int | None:
    """Index of a solution cell: by nbgrader's mark, or its id, or the function in it. Of one that
    was split, the first part that is code; it may all have been turned into text."""
    function = name.removesuffix(_SUFFIX)
    tests = (
        lambda c: c.grade_id == name and c.kind == "code",
        lambda c: c.grade_id == name,
        lambda c: c.id == name,
        lambda c: c.kind == "code" and not c.grade_id and _defines(c.source, function),
    )
    for test in tests:
        found = next((i for i, cell in enumerate(cells) if test(cell)), None)
        if found is not None:
            return found
    return None


def _defines(source: str, name: str) -> bool:
    """Whether a line at the margin begins a function or a class of that name."""
    return re.search(rf"^(async def|def|class) +{re.escape(name)}\b", source, re.M) is not None


def _name(cell: NotebookNode) -> str:
    return cell.metadata.get("nbgrader", {}).get("grade_id", "")


def label(cell: NotebookNode) -> str:
    """What a sentence calls a cell of a restored notebook."""
    after = cell.metadata.get("tutor", {}).get("added_after")
    if after is None:
        return _name(cell) or "a cell"
    return f"a cell added after {after}" if after else "a cell added at the beginning"


def _added(source: str, after: str, number: int) -> NotebookNode:
    cell = nbformat.v4.new_code_cell(source, id=f"added-{after or 'first'}-{number}"[:64])
    cell.metadata["tutor"] = {"added_after": after}
    return cell


def exercises_of(released: NotebookNode) -> dict[str, float]:
    """Points possible, by exercise, in the notebook's order."""
    cells = filter(is_grade, released.cells)
    return {c.metadata.nbgrader.grade_id: float(c.metadata.nbgrader.points) for c in cells}
