"""How far a student has come: the points that the checks said when a notebook was last saved."""

from pathlib import Path
from typing import NamedTuple

from nbformat import NotebookNode
from nbgrader.utils import determine_grade, is_grade

from tutor import ROOT
from tutor.course.release import read

__all__ = ["UNTOUCHED", "Standing", "of_folder", "of_notebook"]

UNTOUCHED = "untouched"


class Standing(NamedTuple):
    points: float | None
    """None: no check has said any."""
    possible: float
    state: str
    """In words: untouched, not checked yet, check again; or nothing."""


def of_folder(folder: Path, root: Path = ROOT) -> dict[Path, dict[str, Standing] | None]:
    """Of each exercise notebook below ``folder``, where the student stands; None if unreadable."""
    found: dict[Path, dict[str, Standing] | None] = {}
    for path in sorted(folder.glob("*/*.ipynb")) if folder.is_dir() else []:
        released = root / "exercises" / path.parent.name / path.name
        if released.exists():
            nb = read(path)
            found[path] = None if nb is None else of_notebook(read(released), nb)
    return found


def of_notebook(given: NotebookNode, nb: NotebookNode) -> dict[str, Standing]:
    """By exercise, where the student stands.

    given: the exercise as it was released. Of its cells, the student's may be split or be text.
    """
    cells: dict[str, list[NotebookNode]] = {}
    for cell in nb.cells:
        if cell.cell_type == "code":
            cells.setdefault(_mark(cell), []).append(cell)
    solutions, found = {_mark(c): c.source for c in given.cells}, {}
    for cell in filter(is_grade, given.cells):
        name = _mark(cell)
        check = next((c for c in cells.get(name, ()) if c.outputs), cell)
        points, possible = determine_grade(NotebookNode({**cell, "outputs": check.outputs}))
        written, state = cells.get(f"{name}-solution", []), ""
        if not check.outputs:
            points, state = None, "not checked yet"
        elif any((c.execution_count or 0) > (check.execution_count or 0) for c in written):
            state = "check again"
        if not points and [c.source for c in written] == [solutions[f"{name}-solution"]]:
            points, state = None, UNTOUCHED
        found[name] = Standing(points, possible, state)
    return found


def _mark(cell: NotebookNode) -> str:
    about = cell.metadata.get("nbgrader")
    return about.get("grade_id", "") if isinstance(about, dict) else ""
