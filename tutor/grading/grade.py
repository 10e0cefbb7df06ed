"""Grade everything in ``submitted/`` with nbgrader: python -m tutor.grading.grade [--force]

Stock nbgrader commands, in order: generate_assignment (tells the gradebook of the exercises),
autograde, generate_feedback, export; then the class report. A submission that was graded before is
graded again if it, the solution or a check has changed since, or with --force.
"""

import argparse
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from tutor.grading import class_report
from tutor.grading.release import ROOT

EMPTY = """There is nothing to grade in {folder}. Put each student's notebook there as
    {folder}/<student>/<chapter>/<notebook>.ipynb
such as {folder}/ada/{chapter}, and run this again."""


def grade(folder: Path, force: bool = False) -> list[str]:
    """Grade ``folder``/submitted; autograded, feedback, grades.csv and report.html go beside it.

    Returns sentences on what could not be graded. FileNotFoundError if there is nothing to grade.
    """
    chapters = {p.parent.name: p.name for p in sorted((ROOT / "exercises").glob("*/*.ipynb"))}
    submitted = folder / "submitted"
    submissions = sorted(p for p in submitted.glob("*/*") if p.is_dir() and p.name in chapters)
    if not submissions:
        example = "/".join(next(iter(chapters.items())))
        raise FileNotFoundError(EMPTY.format(folder=submitted, chapter=example))
    problems = [
        f"{p} is not graded: put it into a folder named after its chapter, such as {min(chapters)}"
        for p in sorted(submitted.glob("*/*"))
        if p not in submissions and not p.name.startswith(".")
    ]

    def nbgrader(command: str, *arguments: str) -> bool:
        return _nbgrader(folder, command, arguments)

    for chapter in sorted({p.name for p in submissions}):
        if not nbgrader("generate_assignment", chapter, "--force"):
            raise RuntimeError(
                f"nbgrader cannot read solutions/{chapter}: run `make release` first"
            )
        everybody = [p for p in submissions if p.name == chapter]
        print(f"{chapter}: {len(everybody)} submissions, a few seconds each", flush=True)
        graded = [p for p in everybody if _autograded(p, folder).exists()]
        again = [p for p in graded if force or _outdated(p, folder)]
        # One call for all is faster than one each, by the start of nbgrader.
        nbgrader("autograde", chapter, *["--force"] * (again == graded != []))
        for submission in again if again != graded else []:
            student = f"--CourseDirectory.student_id={submission.parent.name}"
            nbgrader("autograde", chapter, student, "--force")
        problems += [
            f"{p} could not be graded: nbgrader's messages above say why"
            for p in everybody
            if not any(_autograded(p, folder).glob("*.ipynb"))
        ]
        nbgrader("generate_feedback", chapter, "--force")
    nbgrader("export", f"--to={folder / 'grades.csv'}")
    class_report.write(folder)
    return problems


def _nbgrader(folder: Path, command: str, arguments: Iterable[str]) -> bool:
    """Run ``nbgrader <command>`` with the class in ``folder``; whether it succeeded."""
    place = folder.resolve().relative_to(ROOT)
    steps = ("submitted", "autograded", "feedback")
    options = [f"--CourseDirectory.{step}_directory={place / step}" for step in steps]
    options += [
        f"--CourseDirectory.db_url=sqlite:///{place / 'gradebook.db'}",
        # exercises/ is written by `make release` only, which never overwrites an edit.
        "--CourseDirectory.release_directory=_build/release",
        f"--Application.log_level={'WARN' if command == 'autograde' else 'ERROR'}",
    ]
    # SQLAlchemy has opinions on nbgrader's code that are of no use to an instructor.
    python = [sys.executable, "-W", "ignore:Object of type"]
    call = [*python, "-m", "nbgrader", command, *arguments, *options]
    return subprocess.run(call, cwd=ROOT).returncode == 0


def _autograded(submission: Path, folder: Path) -> Path:
    return folder / "autograded" / submission.relative_to(folder / "submitted")


def _outdated(submission: Path, folder: Path) -> bool:
    """Whether the submission, or what it is graded by, has changed since it was graded."""
    tutor, source = ROOT / "tutor", ROOT / "solutions" / submission.name
    inputs = [
        *submission.iterdir(),
        *tutor.glob("*.py"),
        *tutor.glob("checks/*.py"),
        *source.glob("*.md"),
    ]
    graded = [p.stat().st_mtime for p in _autograded(submission, folder).glob("*.ipynb")]
    return min(graded, default=0) < max(p.stat().st_mtime for p in inputs)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tutor.grading.grade", description=__doc__)
    parser.add_argument("--force", action="store_true", help="grade what was graded before, too")
    parser.add_argument(
        "--folder", type=Path, default=ROOT, help="holds submitted/; default: the course's own"
    )
    arguments = parser.parse_args(argv)
    try:
        problems = grade(arguments.folder.resolve(), arguments.force)
    except (FileNotFoundError, RuntimeError) as error:
        print(error, file=sys.stderr)
        return 1
    for problem in problems:
        print(problem, file=sys.stderr)
    print(f"In {arguments.folder}: grades.csv, feedback/ and the class report, report.html")
    return bool(problems)


if __name__ == "__main__":
    sys.exit(main())
