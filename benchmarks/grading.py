"""How many submissions a minute: ``tutor grade`` beside stock ``nbgrader autograde``.

    python benchmarks/grading.py            measure and write benchmarks/results/grading.md
    python benchmarks/grading.py --quick    the sample class once, and write nothing

Both grade the same notebooks, on this machine in this run: nbgrader the sample class once, we
copies of it up to the size of the class. Stock nbgrader runs with its own Execute and the settings
that this course had before it had a sandbox; its start, 2.5 s, hardly counts. The bench, which our
grading does not run, is taken out of what both get: there a whole translator is trained. Our
seconds are those of the whole command: start, grading, gradebook, feedback pages, class report. The
last column is the ratio, which is what can be compared between machines. A machine's speed drifts
within minutes, so the two take turns: medians of several rounds, and the ratio's range over the
rounds.
"""

import argparse
import datetime
import os
import platform
import shutil
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path

import nbformat

from tutor import ROOT
from tutor.course import sample_class
from tutor.course.release import is_bench
from tutor.course.settings import read_config
from tutor.grading import submission
from tutor.grading.grader import Grader
from tutor.sandbox.bubblewrap import Sandbox
from tutor.sandbox.candidate import RemoteCandidate
from tutor.sandbox.session import Session

FOLDER = ROOT / "_build" / "benchmark"
RESULT = ROOT / "benchmarks" / "results" / "grading.md"
CHAPTER = sample_class.CHAPTER
WORKERS = 2
ROUNDS = 3
NBGRADER = [sys.executable, "-W", "ignore", "-m", "nbgrader"]

STOCK = """
c = get_config()
c.CourseDirectory.course_id = "stock"
c.CourseDirectory.source_directory = "solutions"
c.CourseDirectory.release_directory = "release"
c.CourseDirectory.ignore.append("*.md")
c.ClearSolutions.code_stub = {"python": "raise NotImplementedError"}
c.IgnorePattern.enabled = True
c.IgnorePattern.pattern = "."
c.Execute.timeout = 60
c.KernelManager.transport_encryption = "auto"
"""


def classes(sizes: list[int]) -> dict[int, Path]:
    """A folder with as many submissions, each; the sample class over and over."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    sample = FOLDER / "sample"
    sample_class.make(sample)
    students = sorted((sample / "submitted").iterdir())
    for path in sample.glob(f"submitted/*/{CHAPTER}/*.ipynb"):
        notebook = nbformat.read(path, as_version=4)
        notebook.cells = [cell for cell in notebook.cells if not is_bench(cell)]
        nbformat.write(notebook, path)
    folders = {}
    for size in sizes:
        folders[size] = FOLDER / f"class-{size}"
        for i in range(size):
            student = students[i % len(students)]
            target = folders[size] / "submitted" / f"{student.name}-{i}"
            shutil.copytree(student, target)
    return folders


def timed(command: list[str], folder: Path) -> float:
    start = time.perf_counter()
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    seconds = time.perf_counter() - start
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}:\n{(done.stdout + done.stderr)[-3000:]}")
    return seconds


def prepare_stock(folder: Path) -> None:
    (folder / "nbgrader_config.py").write_text(STOCK, encoding="utf-8")
    shutil.copytree(ROOT / "solutions", folder / "solutions", dirs_exist_ok=True)
    timed([*NBGRADER, "generate_assignment", CHAPTER, "--force"], folder)


def stock(folder: Path) -> float:
    """Seconds of ``nbgrader autograde`` over the class."""
    return timed([*NBGRADER, "autograde", CHAPTER, "--force"], folder)


def ours(folder: Path) -> float:
    """Seconds of ``tutor grade`` over the class: start, grading, feedback and class report."""
    command = [sys.executable, "-m", "tutor.grading.cli", "grade", CHAPTER, "--again"]
    return timed([*command, f"--submitted={folder / 'submitted'}", f"--workers={WORKERS}"], ROOT)


def split(folder: Path) -> dict[str, float]:
    """Milliseconds a submission in one worker, by what they go to; and of a sandbox's start."""
    spent: dict[str, float] = defaultdict(float)

    def measured(owner, name: str, label: str):
        real = getattr(owner, name)

        def wrapper(*args, **kwargs):
            start = time.perf_counter()
            try:
                return real(*args, **kwargs)
            finally:
                spent[label] += time.perf_counter() - start

        setattr(owner, name, wrapper)
        return lambda: setattr(owner, name, real)

    undo = [
        measured(submission, "read", "reading the file"),
        measured(Sandbox, "spawn", "fork into namespaces of its own"),
        measured(Session, "cell", "cells, with the fork"),
        measured(RemoteCandidate, "run", "checks: the student's process"),
        measured(Grader, "_check", "checks"),
        measured(Grader, "_attempt", "whole"),
    ]
    paths = sorted(folder.glob(f"submitted/*/{CHAPTER}/*.ipynb"))
    try:
        with Grader.from_config(CHAPTER, read_config()) as grader:
            start = time.perf_counter()
            grader.sandbox.start()
            begun = time.perf_counter() - start
            grader.grade(paths[0])
            spent.clear()
            for path in paths:
                grader.grade(path)
    finally:
        for back in undo:
            back()
    per = {name: 1000 * seconds / len(paths) for name, seconds in spent.items()}
    fork, inside = per["fork into namespaces of its own"], per["checks: the student's process"]
    return {
        "reading the file": per["reading the file"],
        "fork into namespaces of its own": fork,
        "the student's cells": per["cells, with the fork"] - fork,
        "checks: calls in the student's process": inside,
        "checks: reference, comparison, traps": per["checks"] - inside,
        "the graded notebook": per["whole"] - per["cells, with the fork"] - per["checks"],
        "together": per["whole"] + per["reading the file"],
        "once for a worker: the sandbox's start": 1000 * begun,
    }


def table(sizes: list[int], stock_size: int, folders: dict[int, Path], rounds: int) -> str:
    prepare_stock(folders[stock_size])
    theirs: list[float] = []
    seconds: dict[int, list[float]] = {size: [] for size in sizes}
    for _ in range(rounds):
        theirs.append(stock(folders[stock_size]))
        print(f"nbgrader, {stock_size}: {theirs[-1]:.1f} s", flush=True)
        for size in sizes:
            seconds[size].append(ours(folders[size]))
            print(f"tutor, {size}: {seconds[size][-1]:.1f} s", flush=True)
    head = "| | class | a minute | times stock |"
    median = statistics.median(theirs)
    row = f"{stock_size} | {60 * stock_size / median:.1f} | 1 |"
    rows = [head, "|---|--:|--:|--:|", f"| nbgrader | {row}"]
    for size, found in seconds.items():
        one = [t / stock_size / (s / size) for t, s in zip(theirs, found, strict=True)]
        mine = statistics.median(found)
        times = median / stock_size / (mine / size)
        span = f"{times:.1f} ({min(one):.1f} to {max(one):.1f})"
        rows.append(f"| tutor | {size} | {60 * size / mine:.0f} | {span} |")
    rows += ["", "| of a submission in one worker | ms |", "|---|--:|"]
    rows += [f"| {name} | {ms:.0f} |" for name, ms in split(folders[stock_size]).items()]
    return "\n".join(rows)


def machine() -> str:
    lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    names = {line.partition(":")[2].strip() for line in lines if line.startswith("model name")}
    versions = {n: __import__(n).__version__ for n in ("torch", "nbgrader")}
    return (
        f"{os.cpu_count()} cores ({', '.join(sorted(names))}), Python {platform.python_version()}, "
        + ", ".join(f"{n} {v}" for n, v in versions.items())
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few submissions, and write nothing")
    quick = parser.parse_args().quick
    # nbgrader calls a bare `alembic`.
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    count = sum(s.timestamp is not None for s in sample_class.students())
    sizes = [count] if quick else [100, 200]
    folders = classes([count, *sizes])
    found = table(sizes, count, folders, rounds=1 if quick else ROUNDS)
    print(found)
    if not quick:
        today = datetime.date.today().isoformat()
        RESULT.write_text(
            "# Grading a class\n\n"
            "<!-- table -->\n\n"
            f"`python benchmarks/grading.py`, {today}; {machine()}; {WORKERS} workers, "
            f"medians of {ROUNDS} rounds.\n\n{found}\n\n<!-- end -->\n",
            encoding="utf-8",
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
