"""The ways in which a class is graded, and what each submission got."""

import json
import re
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import nbformat
from nbgrader.api import Gradebook, MissingEntry

from tests.attacks import marks
from tests.attacks.corpus import CHAPTER, NOTEBOOK, SUBMISSIONS, Submission
from tests.attacks.course import Course, course
from tutor import ROOT
from tutor.grading.grader import Grader
from tutor.sandbox.limits import Limits

LIMITS = {
    "cell_seconds": 2,
    "call_seconds": 1,
    "check_seconds": 3,
    "submission_seconds": 20,
    "wall_factor": 4,
    "memory_mebibytes": 1024,
}
"""Low, so that whoever goes on for ever is soon done with; of processor time twenty times what the
honest ones take, and of wall time enough for a processor that four others want."""


@dataclass
class Verdict:
    """What one submission got."""

    points: dict[str, float] | None = None
    """None if the gradebook knows nothing of it."""
    told: str = ""
    """All that the student and the instructor are told: outputs, reports, reasons, comments."""


@dataclass
class Pass:
    """A class, graded once."""

    runner: str
    verdicts: dict[str, Verdict] = field(default_factory=dict)
    damage: list[str] = field(default_factory=list)
    leaks: list[str] = field(default_factory=list)
    connections: list[str] = field(default_factory=list)
    scripts: list[str] = field(default_factory=list)
    """Pages that hold a script of a student's."""
    exit_status: int = 0
    log: str = ""
    seconds: float = 0.0
    peak_mebibytes: int = 0
    """Of the largest process of the run that was no sandbox's own."""

    @property
    def outside(self) -> list[str]:
        """What of the machine was read, changed or reached: one sentence each."""
        return self.damage + self.leaks + self.connections + self.scripts


def faults(submission: Submission, verdict: Verdict) -> list[str]:
    """What is wrong with a verdict: one sentence each."""
    if verdict.points is None:
        return ["it has no grade"]
    found = [
        f"{name}: {verdict.points.get(name)} points instead of {points}"
        for name, points in submission.points.items()
        if points != verdict.points.get(name)
    ]
    if set(verdict.points) != set(submission.points):
        found.append(f"it was graded on {sorted(verdict.points)}")
    if submission.says and not re.search(submission.says, verdict.told):
        found.append(f"nobody is told {submission.says!r}")
    found += [f"it shows {h!r}" for h in submission.hides if re.search(h, verdict.told)]
    return found


def graded(runner: str, submissions: list[Submission] | None = None) -> Pass:
    """Have the class graded by ``nbgrader``, ``tutor`` or ``direct``."""
    submissions = list(SUBMISSIONS.values()) if submissions is None else submissions
    made = Pass(runner)
    with course(runner, submissions) as there:
        start = time.monotonic()
        RUNNERS[runner](there, submissions, made)
        made.seconds = time.monotonic() - start
        made.damage = there.damage()
        made.connections = there.connections
        made.leaks = there.leaks(_texts(there, made))
    made.scripts = [str(p) for p in there.folder.glob("feedback/**/*.html") if _scripted(p)]
    return made


def _scripted(page: Path) -> bool:
    return marks.SCRIPT in page.read_text("utf-8", errors="replace")


def _texts(there: Course, made: Pass) -> Iterator[tuple[str, str]]:
    for name, verdict in made.verdicts.items():
        yield name, verdict.told
    yield "the log", made.log
    for folder in ("autograded", "feedback"):
        for path in there.folder.glob(f"{folder}/**/*"):
            if path.is_file():
                yield str(path), path.read_bytes().decode("latin-1")


# Direct: the executor alone, for development


def _direct(there: Course, submissions: list[Submission], made: Pass) -> None:
    with Grader(CHAPTER, Limits(**LIMITS), key=there.tokens["secret"].encode()) as grader:
        for s in submissions:
            result = grader.grade(there.submitted / s.student / CHAPTER / NOTEBOOK)
            told = [*_said(result.notebook), *result.problems, *result.limits_broken]
            made.verdicts[s.name] = Verdict(result.points, "\n".join(told))


# nbgrader's own command


def nbgrader(there: Course, command: str, *arguments: str) -> subprocess.CompletedProcess:
    place = there.folder.relative_to(ROOT)
    options = [
        f"--CourseDirectory.{step}_directory={place / step}"
        for step in ("submitted", "autograded", "feedback")
    ]
    options += [
        f"--CourseDirectory.db_url={there.database}",
        f"--CourseDirectory.release_directory={place / 'release'}",
    ]
    return subprocess.run(
        [sys.executable, "-m", "nbgrader", command, CHAPTER, *options, *arguments],
        cwd=ROOT,
        env=there.environment,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=3600,
    )


def _nbgrader(there: Course, submissions: list[Submission], made: Pass) -> None:
    prepared = nbgrader(there, "generate_assignment", "--force")
    assert prepared.returncode == 0, prepared.stderr[-3000:]
    shutil.rmtree(there.folder / "release", ignore_errors=True)
    limits = [f"--Judged.{name}={value}" for name, value in LIMITS.items()]
    done = nbgrader(there, "autograde", *limits)
    # A page takes nbgrader as long as a submission: of those that put scripts into it, and no more.
    feedback = nbgrader(there, "generate_feedback", "--CourseDirectory.student_id=scripts_in_*")
    made.exit_status = done.returncode
    made.log = done.stdout + done.stderr + feedback.stdout + feedback.stderr
    made.peak_mebibytes = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024
    _from_the_gradebook(there, submissions, made)


# Our own command


def low(chapter: str, device: str) -> Grader:
    """A grader with the limits of this class, in a worker of ``tutor grade``."""
    return Grader(chapter, Limits(**LIMITS), device)


_TUTOR = """
import sys
from tests.attacks.runners import low
from tutor.grading.cli import main
if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], make=low))
"""


def _tutor(there: Course, submissions: list[Submission], made: Pass) -> None:
    script = there.folder / "private" / "tutor_with_low_limits.py"
    script.write_text(_TUTOR, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, script, "grade", CHAPTER, f"--submitted={there.submitted}", "--workers=2"],
        cwd=ROOT,
        env={**there.environment, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        errors="replace",
        timeout=3600,
    )
    made.exit_status, made.log = done.returncode, done.stdout + done.stderr
    made.peak_mebibytes = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024
    _from_the_gradebook(there, submissions, made)


def _from_the_gradebook(there: Course, submissions: list[Submission], made: Pass) -> None:
    with Gradebook(there.database) as gradebook:
        for s in submissions:
            verdict = made.verdicts[s.name] = Verdict()
            try:
                found = gradebook.find_submission(CHAPTER, s.student)
            except MissingEntry:
                continue
            told = []
            for notebook in found.notebooks:
                verdict.points = {g.name: g.score for g in notebook.grades}
                told += [c.comment for c in notebook.comments if c.comment]
                if any(g.needs_manual_grade for g in notebook.grades):
                    told.append("needs to be graded by hand")
            path = there.folder / "autograded" / s.student / CHAPTER / NOTEBOOK
            if path.is_file():
                nb = nbformat.read(path, as_version=4)
                about = nb.metadata.get("tutor", {})
                told += [*_said(nb), *about.get("problems", []), *about.get("limits", [])]
            verdict.told = "\n".join(told)


def _said(nb: nbformat.NotebookNode) -> Iterator[str]:
    """What a notebook's outputs say."""
    for cell in nb.cells:
        for output in cell.get("outputs", []):
            yield output.get("text", "")
            yield "\n".join(str(output.get(k, "")) for k in ("ename", "evalue"))
            for value in output.get("data", {}).values():
                yield value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            yield from output.get("traceback", [])


RUNNERS: dict[str, Callable[[Course, list[Submission], Pass], None]] = {
    "direct": _direct,
    "nbgrader": _nbgrader,
    "tutor": _tutor,
}


def as_json(made: Pass) -> str:
    return json.dumps(asdict(made), indent=1)
