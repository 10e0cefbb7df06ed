"""The ``tutor`` command: collect and grade what a class hands in, check a notebook, see how far one
has come."""

import argparse
import contextlib
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from tutor import ROOT
from tutor.grading import CannotGrade
from tutor.sandbox import importing
from tutor.sandbox.outputs import clean

# Imported where they are used: a student who checks a notebook needs no Dask and no gradebook, and
# may have a machine (Windows) that has no locks and forks as POSIX has them.
if TYPE_CHECKING:
    from nbformat import NotebookNode

    from tutor.grading.class_folder import ClassFolder
    from tutor.grading.record import Outcome
    from tutor.grading.submission import Submitted

GRADE = """Grade what lies in submitted/<student>/<chapter>/<notebook>.ipynb and write, beside
submitted/, the gradebook, autograded/, feedback/, grades.csv and the class report, report.html.
What was graded before and has not changed is not graded again, so a run that was stopped, even by
force, goes on where it stopped when you type the same command."""

CLUSTERS = """on a cluster:
  `dask scheduler`, and on each machine `dask worker ADDRESS --nworkers auto --nthreads 1`; then
  --scheduler ADDRESS. With Slurm (dask-jobqueue), and in the same way with dask_gateway's
  Gateway().new_cluster(), from Python:

    from dask_jobqueue import SLURMCluster
    from tutor.grading.cli import main
    cluster = SLURMCluster(cores=1, memory="8GB", walltime="02:00:00")
    cluster.scale(20)
    main(["grade", "03_attention"], scheduler=cluster)

  Workers need this course at the same version, its packages, bubblewrap, and the secret that the
  hidden cases are drawn from (TUTOR_GRADING_SECRET, or .grading-secret in the course's folder).
  Submissions are sent to them: they need not share a disk. Whoever reaches the scheduler's port
  can run code in your name: on a network that you share, set Dask's TLS (distributed.comm.tls)."""


def main(argv: list[str] | None = None, **replaced: Any) -> int:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError):  # of what a program has put in their place
            stream.reconfigure(errors="replace")  # a console may lack some of our signs
    arguments = _parser().parse_args(argv)
    try:
        commands = {
            "collect": collect,
            "grade": grade,
            "check": check,
            "status": status,
            "lab": open_lab,
        }
        return commands[arguments.command](arguments, **replaced)
    except KeyboardInterrupt:
        print("Stopped. The same command goes on from here.", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tutor", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)

    grade = commands.add_parser(
        "grade",
        description=GRADE,
        epilog=CLUSTERS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        help="grade a class",
    )
    grade.add_argument("chapter", nargs="*", help="such as 03_attention; default: all in submitted")
    where = grade.add_mutually_exclusive_group()
    where.add_argument("--workers", type=int, metavar="N", help="processes here; default: cores")
    where.add_argument("--scheduler", metavar="ADDRESS", help="of a Dask cluster, see below")
    grade.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    grade.add_argument("--again", action="store_true", help="also what was graded before")
    grade.add_argument("--json", action="store_true", help="one object a submission, to stdout")
    grade.add_argument(
        "--format", choices=("canvas", "moodle"), help="also write the grades for its import"
    )
    grade.add_argument(
        "--trust-the-class",
        action="store_true",
        help="no sandbox: students' code may then read and change all that you can, also grades",
    )

    collect = commands.add_parser(
        "collect", help="take a platform's archive apart", description="Put the notebooks of an "
        "archive that Canvas or Moodle gives, or of the folder that became of it, where grading "
        "looks. Whatever a file is called, it arrives, or a sentence says why not. The exit code "
        "is 1 if there is any sentence."
    )  # fmt: skip
    collect.add_argument("chapter", help="such as 03_attention")
    collect.add_argument("archive", type=Path)
    for command in (grade, collect):
        command.add_argument(
            "--submitted",
            type=Path,
            metavar="DIR",
            help="default: submitted/ in the course's folder",
        )
        command.add_argument(
            "--db", metavar="URL", default="", help="gradebook, such as postgresql://user@host/name"
        )

    check = commands.add_parser(
        "check", help="run a notebook and its checks", description="Run a notebook from the first "
        "cell to the last in a fresh process, as you are, and print what its checks say. The file "
        "is not changed. The exit code is 0 if every exercise has full marks."
    )  # fmt: skip
    check.add_argument("notebook", type=Path)

    status = commands.add_parser(
        "status", help="points so far in all chapters", description="Points so far, as your checks "
        "said them when the notebooks were last saved: nothing is run, so it is quick and shows "
        "what you last saw. “check again” marks a solution that ran after its check."
    )  # fmt: skip
    status.add_argument("folder", type=Path, nargs="?", default=ROOT / "work")

    lab = commands.add_parser(
        "lab", help="JupyterLab on your copies of the exercises", description="What `make lab` and "
        "`make update` do, where there is no make: copy the exercises into work/, never over a "
        "notebook of yours, and open JupyterLab there."
    )  # fmt: skip
    lab.add_argument("--update", action="store_true", help="move your solutions to new versions")
    return parser


# tutor collect, tutor grade


def collect(arguments: argparse.Namespace) -> int:
    from tutor.grading.collect import collect

    place = _place(arguments)
    try:
        arrived, said = collect(arguments.archive, arguments.chapter, place)
    except (CannotGrade, OSError) as error:
        print(f"{error}", file=sys.stderr)
        return 2
    for sentence in said:
        print(_shown(sentence))
    print(f"{arrived} notebook{'s' * (arrived != 1)} in {place.folder / place.submitted}.")
    return int(bool(said))


def grade(arguments: argparse.Namespace, make: Any = None, scheduler: Any = None) -> int:
    """``scheduler`` may be a Dask cluster itself, which brings its own credentials."""
    from tutor.grading import forks, scratch

    scratch.begin()
    forks.context()  # it imports while this process does
    with importing():
        from sqlalchemy.exc import SQLAlchemyError

        from tutor.grading import batch, worker
        from tutor.grading.class_folder import chapters
        from tutor.grading.reports import class_report, exports, feedback

    if arguments.workers is not None and arguments.workers < 1:
        print("--workers takes a number of processes, 1 or more.", file=sys.stderr)
        return 2
    place = _place(arguments)
    asked = arguments.chapter or place.chapters()
    options = {n: getattr(arguments, n) for n in ("workers", "scheduler", "device", "again")}
    options["scheduler"] = scheduler or arguments.scheduler
    options["make"] = make or (worker.trusting if arguments.trust_the_class else worker.sandboxed)
    problems = place.strays()
    show = _Json() if arguments.json else _Live() if sys.stderr.isatty() else _Plain()
    if arguments.trust_the_class:
        show.say("Without a sandbox: what you grade may read and change all that you can.")
    try:
        if unknown := sorted(set(asked) - set(chapters())):
            known = ", ".join(chapters())
            raise CannotGrade(f"There is no chapter {unknown[0]}; there are: {known}.")
        if not any(place.students(chapter) for chapter in asked):
            raise CannotGrade(_nothing(place, asked or list(chapters())))
        runs = [batch.Run(place, chapter, **options) for chapter in asked]
        for run in runs:
            with show.chapter(run.chapter, len(run.students)):
                for outcome in run:
                    show.outcome(outcome)
            problems += run.problems
        # All marks are stored: what is now made of students' texts can cost nobody a grade.
        written = exports.write(place.folder, place.database, arguments.format)
        for run in runs:
            show.say(f"{run.chapter}: feedback pages")
            problems += feedback.write_pages(place, run.chapter, run.marks, arguments.workers)
        report, said = class_report.write_apart(place.folder, place.database)
        written, problems = [*written, *report], [*problems, *said]
    except (CannotGrade, SQLAlchemyError, OSError, TimeoutError) as error:
        print(f"{error}", file=sys.stderr)
        return 1
    for problem in problems:
        print(_shown(problem), file=sys.stderr)
    show.end(place.folder, [p.name for p in written])
    return int(bool(problems) or show.failed > 0)


def _place(arguments: argparse.Namespace) -> "ClassFolder":
    from tutor.grading.class_folder import ClassFolder

    submitted = (arguments.submitted or ROOT / "submitted").resolve()
    return ClassFolder(submitted.parent, _url(arguments, submitted), submitted.name)


def _url(arguments: argparse.Namespace, submitted: Path) -> str:
    """``--db``; in the course's own folder, what ``nbgrader_config.py`` says."""
    from tutor.course.settings import settings

    if arguments.db or submitted.parent != ROOT:
        return arguments.db
    return settings().CourseDirectory.get("db_url", "")


def _nothing(place: "ClassFolder", chapters: list[str]) -> str:
    from tutor.grading.class_folder import chapters as known

    chapter = chapters[0]
    folder = place.folder / place.submitted
    return (
        f"There is nothing to grade in {folder}. Put each student's notebook there as\n"
        f"    {folder}/<student>/<chapter>/<notebook>.ipynb\n"
        f"such as {folder}/ada/{chapter}/{known()[chapter]}.ipynb, and run this again."
    )


def _shown(text: str) -> str:
    """For a terminal, which obeys some characters: a student's folder may have any name."""
    return clean("".join(c if c.isprintable() else "?" for c in text))


class _Plain:
    """A line when something needs one: for logs."""

    def __init__(self):
        self.graded = self.unchanged = self.failed = 0

    @contextlib.contextmanager
    def chapter(self, name: str, submissions: int) -> Iterator[None]:
        self.say(f"{name}: {submissions} submission{'s' * (submissions != 1)}")
        yield

    def outcome(self, outcome: "Outcome") -> None:
        self.graded += outcome.graded and not outcome.failed
        self.unchanged += not outcome.graded
        self.failed += outcome.failed
        for sentence in (*outcome.problems, *outcome.limits):
            self.say(f"{outcome.student}, {outcome.chapter}: {sentence}")

    def end(self, folder: Path, files: list[str]) -> None:
        failed = f", {self.failed} could not be" * bool(self.failed)
        self.say(f"{self.graded} graded, {self.unchanged} unchanged{failed}.")
        self.say(f"In {folder}: {', '.join(files)}, feedback/.")

    def say(self, text: str) -> None:
        print(_shown(text), file=sys.stdout, flush=True)


class _Json(_Plain):
    """Objects on stdout, one a line; what people read goes to stderr."""

    def outcome(self, outcome: "Outcome") -> None:
        super().outcome(outcome)
        print(json.dumps(asdict(outcome)), flush=True)

    def end(self, folder: Path, files: list[str]) -> None:
        counts = {"graded": self.graded, "unchanged": self.unchanged, "failed": self.failed}
        print(json.dumps({"summary": {**counts, "folder": str(folder), "files": files}}))

    def say(self, text: str) -> None:
        print(_shown(text), file=sys.stderr, flush=True)


class _Live(_Plain):
    """A bar with what is done, failed and left, the rate and the time left."""

    @contextlib.contextmanager
    def chapter(self, name: str, submissions: int) -> Iterator[None]:
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (
            TextColumn("[bold]{task.description}"),
            BarColumn(),
            TextColumn("{task.completed:.0f} done, {task.fields[failed]} failed,"),
            TextColumn("{task.fields[left]} left; {task.fields[rate]}"),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=Console(stderr=True)) as self.progress:
            self.left = submissions
            fields = {"failed": 0, "left": submissions, "rate": "starting"}
            self.task = self.progress.add_task(name, total=submissions, **fields)
            yield

    def outcome(self, outcome: "Outcome") -> None:
        super().outcome(outcome)
        self.left -= 1
        speed = self.progress.tasks[-1].speed
        rate = f"{60 * speed:.0f} a minute" if speed else "starting"
        self.progress.update(self.task, advance=1, failed=self.failed, left=self.left, rate=rate)


# tutor check, tutor status


def check(arguments: argparse.Namespace) -> int:
    from nbclient import NotebookClient
    from nbgrader.utils import is_grade
    from traitlets.config import Config

    from tutor.checks.report import MIME
    from tutor.course.release import BENCH, read
    from tutor.course.standing import UNTOUCHED, of_notebook
    from tutor.grading import submission

    path = arguments.notebook
    if not path.is_file():
        print(f"There is no {path}.", file=sys.stderr)
        return 2
    if read(path) is None:
        print(f"{path} is no notebook that can be read.", file=sys.stderr)
        return 2
    given, submitted = _handed_in(path)
    if not submitted.own:
        unread = (s for s in submitted.problems if s.startswith(path.name))
        print(next(unread, f"{path} holds no exercise."))
        return 1
    # As grading does: what is given comes from the course, what is written from the student.
    nb = submission.restore(given, submitted)
    nb.cells = nb.cells[: max(i for i, cell in enumerate(nb.cells) if is_grade(cell)) + 1]
    place = {"metadata": {"path": str(path.resolve().parent)}}
    with tempfile.TemporaryDirectory() as folder:
        # TCP would be open to the machine's other users; Windows has nothing else.
        kernel = {"transport": "ipc", "ip": f"{folder}/kernel"} if os.name == "posix" else {}
        config = Config({"KernelManager": kernel})
        NotebookClient(
            nb, allow_errors=True, resources=place, config=config, skip_cells_with_tag=BENCH
        ).execute()
    console, passed = Console(highlight=False, soft_wrap=True), True
    for sentence in submitted.problems:
        console.print(Text(f"{sentence}\n", style="yellow"))
    for cell in nb.cells:
        for output in cell.get("outputs", []):
            if MIME in output.get("data", {}):
                console.print(_coloured(output.data["text/plain"]), end="\n\n")
            elif output.output_type == "error" and not is_grade(cell):
                said = f"{submission.label(cell)}: {output.ename}: {output.evalue}\n"
                console.print(Text(said, style="red"))
    exercises = of_notebook(given, nb)
    for name, (points, possible, state) in exercises.items():
        passed &= points == possible
        if points is None and state != UNTOUCHED:  # whose check has said that
            console.print(Text(f"{name}: its check said nothing", style="red"))
    total = sum(points or 0 for points, _, _ in exercises.values())
    possible = sum(possible for _, possible, _ in exercises.values())
    console.print(f"{total:g} of {possible:g} points")
    return 0 if passed else 1


def _handed_in(path: Path) -> tuple["NotebookNode", "Submitted"]:
    """The exercise whose cells the notebook has, and what was written into them."""
    from tutor.course.release import read
    from tutor.grading import submission
    from tutor.sandbox.limits import Limits

    exercises = sorted(
        (ROOT / "exercises").glob("*/*.ipynb"),
        key=lambda p: (p.parts[-2:] != path.resolve().parts[-2:], p),
    )
    found = [(given := read(p), submission.read(path, given, Limits())) for p in exercises]
    return max(found, key=lambda pair: len(pair[1].own))


def _coloured(report: str) -> Text:
    text = Text()
    for line in report.splitlines():
        mark = line.strip()[:1]
        style = {"✓": "green", "✗": "red"}.get(mark, "bold" if line[:1].strip() else "")
        text.append(line + "\n", style)
    text.right_crop(1)
    return text


def status(arguments: argparse.Namespace) -> int:
    from tutor.course import standing

    folder = arguments.folder
    if not (notebooks := standing.of_folder(folder)):
        print(f"There are no exercises in {folder}: `make lab` puts them into work/.")
        return 1
    table = Table(box=None, pad_edge=False)
    for column, side in (
        ("chapter", "left"),
        ("exercise", "left"),
        ("points", "right"),
        ("", "left"),
    ):
        table.add_column(column, justify=side, no_wrap=True)
    total = everything = 0.0
    for path, exercises in notebooks.items():
        chapter = path.parent.name
        if exercises is None:
            table.add_row(chapter, path.name, "", Text("cannot be read", "red"))
            continue
        for name, (points, possible, state) in exercises.items():
            total, everything = total + (points or 0), everything + possible
            shown = f"{'–' if points is None else f'{points:g}'} of {possible:g}"
            style = "green" if points == possible else ""
            table.add_row(chapter, name, Text(shown, style), state)
            chapter = ""
    table.add_section()
    table.add_row("together", "", f"{total:g} of {everything:g}", "")
    console = Console(highlight=False, soft_wrap=True)
    console.print(table)
    console.print("As the notebooks were last saved; `tutor check` saves nothing.")
    return 0


def open_lab(arguments: argparse.Namespace) -> int:
    from tutor.course import lab

    return lab.main(["--update"] if arguments.update else ["--open"])


if __name__ == "__main__":
    sys.exit(main())
