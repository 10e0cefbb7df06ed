"""Classes to grade, and what stands in their gradebooks afterwards."""

import json
import subprocess
import sys
from pathlib import Path

import nbformat
from distributed import LocalCluster
from nbgrader.utils import is_solution

from tests.grading import standin
from tutor import ROOT
from tutor.course.sample_class import CHAPTER, EXERCISES, NOTEBOOK
from tutor.course.settings import open_gradebook
from tutor.grading.batch import Run
from tutor.grading.class_folder import ClassFolder
from tutor.grading.record import Outcome
from tutor.grading.reports.feedback import write_pages

FULL = float(sum(e.total for e in EXERCISES.values()))
RIGHT = {name: f"RIGHT = '{name}'" for name in EXERCISES}
COMMAND = [sys.executable, "-m", "tutor.grading.cli"]


def hand_in(folder: Path, student: str, written: dict[str, str], timestamp: str = "") -> Path:
    """A submission with ``written`` in its solution cells; the folder that holds it."""
    nb = nbformat.read(ROOT / "exercises" / CHAPTER / f"{NOTEBOOK}.ipynb", as_version=4)
    for cell in filter(is_solution, nb.cells):
        name = cell.metadata.nbgrader.grade_id.removesuffix("-solution")
        cell.source = written.get(name, cell.source)
    place = folder / "submitted" / student / CHAPTER
    place.mkdir(parents=True, exist_ok=True)
    nbformat.write(nb, place / f"{NOTEBOOK}.ipynb")
    if timestamp:
        (place / "timestamp.txt").write_text(timestamp, encoding="utf-8")
    return place


def quick_class(folder: Path, count: int) -> ClassFolder:
    for n in range(count):
        hand_in(folder, f"s{n:02}", RIGHT)
    return ClassFolder(folder)


def points_in(place: ClassFolder) -> dict[str, float]:
    with open_gradebook(place.database) as gradebook:
        submissions = gradebook.assignment_submissions(CHAPTER)
        return {s.student.id: s.score for s in submissions}


def comments_in(place: ClassFolder, student: str) -> set[str | None]:
    with open_gradebook(place.database) as gradebook:
        notebook = gradebook.find_submission_notebook(NOTEBOOK, CHAPTER, student)
        return {comment.comment for comment in notebook.comments}


def lines(path: Path) -> int:
    return len(path.read_text().splitlines()) if path.exists() else 0


def printed(folder: Path, *arguments: str) -> list[dict]:
    """What ``tutor grade --json`` prints about the class."""
    command = [*COMMAND, "grade", CHAPTER, "--json", "--submitted", str(folder / "submitted")]
    done = subprocess.run([*command, *arguments], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def run(
    place: ClassFolder, log: Path, cluster: LocalCluster, pages: bool = False, **options
) -> list[Outcome]:
    """Grade on a cluster, without running anything; with ``pages``, also the feedback."""
    made = Run(place, CHAPTER, scheduler=cluster, make=standin.Quick(log), **options)
    outcomes = list(made)
    if pages:
        assert write_pages(place, CHAPTER, made.marks, workers=1) == []
    return outcomes
