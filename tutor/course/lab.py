"""Put copies of the exercises into ``work/``: python -m tutor.course.lab [--update | --open]

No notebook in ``work/`` is ever overwritten. Where an exercise has a newer version than the copy,
the first form says so, and ``--update`` moves the student's solutions into the newer version and
keeps the old notebook beside it. ``--open`` then opens JupyterLab there, on the page of start.py;
what else stands in the line goes to JupyterLab.
"""

import argparse
import shutil
import sys
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from nbgrader.utils import compute_checksum, is_solution

from tutor import ROOT
from tutor.course import start
from tutor.course.release import read, version


def copy(root: Path = ROOT) -> list[str]:
    """Copy what ``work/`` lacks; one line for each exercise with something to say."""
    lines = []
    for exercise, mine in _pairs(root):
        name = mine.relative_to(root)
        if not mine.exists():
            mine.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(exercise, mine)
            lines.append(f"{name} is new")
        elif _outdated(exercise, mine):
            lines.append(
                f"{name} has a newer version; yours is untouched. Save and close it, and `make "
                "update` moves your solutions into the newer one and keeps the old one beside it."
            )
    return lines


def update(root: Path = ROOT) -> list[str]:
    """Bring copies up to date; the old ones stay beside them under another name."""
    lines = []
    for exercise, mine in _pairs(root):
        if not mine.exists() or not _outdated(exercise, mine):
            continue
        name, old, new = mine.relative_to(root), read(mine), read(exercise)
        if old is None:
            lines.append(f"{name} is no notebook that can be read; it stays as it is")
            continue
        said = carry_over(old, new)
        kept = _unused(mine.with_name(f"{mine.stem}-before-{version(new)[:6]}.ipynb"))
        mine.rename(kept)
        nbformat.write(new, mine)
        lines.append(f"{name} is up to date; the old one is {kept.relative_to(root)}")
        lines += [f"    {sentence}" for sentence in said]
    return lines


def carry_over(old: NotebookNode, new: NotebookNode) -> list[str]:
    """Move the solutions that were written in ``old`` into ``new``; what to look at afterwards."""
    theirs: dict[str, list[NotebookNode]] = {}  # of a cell that was split, all parts
    for cell in filter(is_solution, old.cells):
        theirs.setdefault(cell.metadata.nbgrader.grade_id, []).append(cell)
    said = []
    for cell in filter(is_solution, new.cells):
        mine = theirs.pop(cell.metadata.nbgrader.grade_id, [])
        if not any(map(_written, mine)):
            continue
        if mine[0].metadata.nbgrader.get("checksum") != cell.metadata.nbgrader.checksum:
            said.append(f"{_function(cell)}: what was given in its cell has changed; yours stands.")
        # Grading, too, takes the parts that are code, or what was code and was made text.
        parts = [c for c in mine if c.cell_type == "code"] or mine
        cell.source = "\n\n".join(c.source for c in parts if c.source.strip())
        if len(parts) < len(mine):
            said.append(f"{_function(cell)}: what is text in its cell is in the old one only.")
    for name, mine in theirs.items():
        if any(map(_written, mine)):
            name = name.removesuffix("-solution")
            said.append(f"{name} is no longer asked for: yours is in the old one only.")
    own = sum(bool(c.source.strip()) and "nbgrader" not in c.metadata for c in old.cells)
    given = sum("nbgrader" not in c.metadata for c in new.cells)
    if own > given:
        said.append("Cells that you added are in the old one only.")
    return said


def _pairs(root: Path) -> list[tuple[Path, Path]]:
    exercises = root / "exercises"
    return [
        (p, root / "work" / p.relative_to(exercises)) for p in sorted(exercises.glob("*/*.ipynb"))
    ]


def _outdated(exercise: Path, mine: Path) -> bool:
    old = read(mine)
    return old is None or version(old) != version(read(exercise))


def _written(cell: NotebookNode) -> bool:
    # nbgrader records the checksum of the cell as it was given.
    return compute_checksum(cell) != cell.metadata.nbgrader.get("checksum")


def _function(cell: NotebookNode) -> str:
    return cell.metadata.nbgrader.grade_id.removesuffix("-solution")


def _unused(path: Path) -> Path:
    candidate, n = path, 1
    while candidate.exists():
        n += 1
        candidate = path.with_name(f"{path.stem}-{n}{path.suffix}")
    return candidate


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tutor.course.lab", description=__doc__)
    parser.add_argument("--update", action="store_true", help="move your solutions to new versions")
    parser.add_argument("--open", action="store_true", help="open JupyterLab on them")
    asked, rest = parser.parse_known_args(argv)
    if rest and not asked.open:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    try:
        lines = update() if asked.update else copy()
        start.write()
    except OSError as error:
        print(f"{error.filename} cannot be written: {error.strerror}.", file=sys.stderr)
        print("Copy the course to a folder in which you may write, and try there.", file=sys.stderr)
        return 1
    print("\n".join(lines) or "work/ is up to date.")
    if asked.open:
        from jupyterlab.labapp import main as jupyterlab

        jupyterlab([*start.options(), *rest])
    return 0


if __name__ == "__main__":
    sys.exit(main())
