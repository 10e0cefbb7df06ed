"""Grades one notebook: its cells in the sandbox, its checks from outside of it.

    with Grader("03_attention", Limits()) as grader:
        graded = grader.grade(Path("submitted/ada/03_attention/attention.ipynb"))

The judge is the one that students know, ``tutor.checks.judge``. Here it runs in this process, with
a seed that no student has seen, and what it calls is a ``RemoteCandidate``.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode
from nbgrader.utils import is_grade, is_solution
from traitlets.config import Config

from tutor import ROOT
from tutor.checks import EXERCISES, Exercise, Report, judge
from tutor.checks.report import Points
from tutor.course.release import source_notebook
from tutor.grading import submission
from tutor.grading.hidden import hidden_seed, secret
from tutor.grading.submission import Submitted
from tutor.sandbox.bubblewrap import NoSandbox, Sandbox, SandboxLost
from tutor.sandbox.candidate import RemoteCandidate
from tutor.sandbox.limits import Limits
from tutor.sandbox.outputs import clean, size_of
from tutor.sandbox.session import Session, Stopped, Waited

_LOSSES = 2
"""Times that a notebook is begun again because its sandbox, and not its own process, ended."""

TRIED_TWICE = "It was tried twice, the second time with nothing beside it."
"""Of a submission that was stopped though it had processor time left."""


@dataclass(frozen=True)
class Graded:
    notebook: NotebookNode
    """With the outputs of the student's cells, and a report in the place of each check's."""
    points: dict[str, float]
    reports: dict[str, dict[str, Any]]
    """``Report.to_dict``, by exercise."""
    problems: tuple[str, ...]
    """Why the notebook, or a part of it, could not be read or run: plain sentences."""
    limits_broken: tuple[str, ...]
    seconds: dict[str, float]
    """Wall time of an exercise's cells and its check."""


class Grader:
    """Grades notebooks of one chapter, one at a time. Belongs to the thread that uses it."""

    def __init__(
        self,
        chapter: str,
        limits: Limits | None = None,
        device: str = "cpu",
        sandboxed: bool = True,
        key: bytes | None = None,
        exercises: Mapping[str, Exercise] = EXERCISES,
    ):
        self.chapter, self.limits, self.device = chapter, limits or Limits(), device
        self.exercises = exercises
        self.key = secret() if key is None else key
        self.sandbox = Sandbox(chapter, self.limits, device, sandboxed)

    @classmethod
    def from_config(cls, chapter: str, config: Config, device: str | None = None) -> "Grader":
        section = config.Judged
        return cls(
            chapter,
            Limits.of(section),
            device or section.get("device", "cpu"),
            section.get("sandboxed", True),
        )

    def __enter__(self) -> "Grader":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        self.sandbox.close()

    def grade(self, path: Path) -> Graded:
        """Grade the notebook at ``path``. Nothing that it holds or does raises here; NoSandbox
        does, if this machine has none.

        Where only a limit of wall time is met, it is tried once more, at once: for who grades
        nothing else meanwhile.
        """
        return self._twice(lambda last: self.attempt(path, last))

    def attempt(self, path: Path, last: bool) -> Graded:
        """One try. Waited if only a limit of wall time is met, unless it is the ``last``."""
        released = submission.released(self.chapter, path.stem)
        submitted = submission.read(path, released, self.limits)
        return self._attempt(submission.restore(released, submitted), submitted, last)

    def grade_submitted(self, submitted: Submitted, released: NotebookNode) -> Graded:
        """As ``grade``, what ``submission.read`` found."""
        return self.run(submission.restore(released, submitted), submitted)

    def run(self, nb: NotebookNode, submitted: Submitted) -> Graded:
        """As ``grade``, a notebook that ``submission.restore`` made."""
        return self._twice(lambda last: self._attempt(nb, submitted, last))

    def _twice(self, attempt: Callable[[bool], Graded]) -> Graded:
        try:
            return attempt(False)
        except Waited:
            return attempt(True)

    def _attempt(self, nb: NotebookNode, submitted: Submitted, last: bool) -> Graded:
        if not submitted.own:
            return self._graded(_Run(), nb, submitted, submitted.problems)
        for _ in range(_LOSSES):
            try:
                if not self.sandbox.alive:
                    self.sandbox.close()
                    self.sandbox.start()
                    if self.device != "cpu":
                        self.try_device()
                return self._run(nb, submitted, last)
            except SandboxLost:
                self.sandbox.close()
        reason = "Its sandbox ended twice while it ran: please look at it by hand."
        return self._graded(_Run(), nb, submitted, (*submitted.problems, reason))

    def try_device(self) -> None:
        """NoSandbox unless the course's own solutions earn everything on this device: where they do
        not, there is something wrong with it, and a whole class would be graded by that."""
        (markdown,) = (ROOT / "solutions" / self.chapter).glob("*.md")
        cells = filter(is_solution, source_notebook(markdown).cells)
        ours = Submitted(own={c.metadata.nbgrader.grade_id: (c.source,) for c in cells})
        nb = submission.restore(submission.released(self.chapter, markdown.stem), ours)
        graded = self._run(nb, ours, last=True)
        for name, points in graded.points.items():
            if points != self.exercises[name].total:
                self.sandbox.close()
                failures = (v["failure"] for v in graded.reports[name]["verdicts"])
                said = [s for f in failures if f for s in f["sentences"]]
                why = [*graded.limits_broken, *said, *graded.problems][:1]
                raise NoSandbox(
                    f"On the device {self.device} the course's own {name} earns {points:g} of "
                    f"{self.exercises[name].total}, so nobody is graded there. {' '.join(why)}"
                )

    def _run(self, nb: NotebookNode, submitted: Submitted, last: bool) -> Graded:
        session, run, digest = Session(self.sandbox, last), _Run(), submission.digest(nb)
        left, checked, tells = self.limits.total_output_kibibytes * 1024, False, False
        try:
            for cell in nb.cells:
                if not submission.is_run(cell):
                    continue
                start = time.monotonic()
                if is_grade(cell):
                    name, checked = cell.metadata.nbgrader.grade_id, True
                    seed = hidden_seed(self.key, name, digest)
                    run.reports[name] = self._check(name, seed, session, run)
                    run.seconds[name] = run.seconds.get(name, 0) + time.monotonic() - start
                    continue
                outputs = session.cell(cell.source, submission.label(cell), left)
                left -= size_of(outputs)
                run.outputs[cell.id] = outputs
                # What a cell puts out that has run after a check may tell of hidden cases.
                tells = tells or bool(checked and outputs)
                name = _exercise(cell)
                run.seconds[name] = run.seconds.get(name, 0) + time.monotonic() - start
            if tells:
                session.close()  # what has seen hidden cases must not live beside it
                self._put_out_again(nb, session, run)
        finally:
            session.close()
        run.limits += session.broken
        if session.waited:
            run.limits.append(TRIED_TWICE)
        return self._graded(run, nb, submitted, submitted.problems)

    def _put_out_again(self, nb: NotebookNode, session: Session, run: "_Run") -> None:
        """Take all outputs, and what is said of them, from a run in which no check is made."""
        fresh = Session(self.sandbox, session.last, after=session)
        left = self.limits.total_output_kibibytes * 1024
        try:
            for cell in nb.cells:
                if submission.is_run(cell) and not is_grade(cell):
                    run.outputs[cell.id] = fresh.cell(cell.source, submission.label(cell), left)
                    left -= size_of(run.outputs[cell.id])
            session.waited |= fresh.waited
            for name in run.undefined:
                exercise = self.exercises[name]
                run.reports[name] = Report.unwritten(exercise, _undefined(exercise, fresh))
        finally:
            fresh.close()

    def _check(self, name: str, seed: int, session: Session, run: "_Run") -> Report:
        exercise = self.exercises[name]
        candidate = RemoteCandidate(session, name)
        try:
            about = candidate.about(self.exercises)
        except Stopped as stop:
            return Report.unwritten(exercise, f"Not run: {stop}.")
        if not about["callable"]:
            run.undefined.append(name)
            return Report.unwritten(exercise, _undefined(exercise, session))
        try:
            # On the CPU: it is the student's functions that run on the device.
            report = judge(exercise, candidate, seed)
        except (SandboxLost, Waited):
            raise
        except Exception as error:  # a fault of ours must cost one check, not the class
            run.problems.append(
                f"{name}: the check itself failed ({type(error).__name__}: {str(error)[:200]}); "
                "please report it, and grade this exercise by hand."
            )
            return Report.unwritten(exercise, "The check itself failed; you will hear from us.")
        if candidate.stops:
            run.limits += [f"{name}: {reason}" for reason in dict.fromkeys(candidate.stops)]
        failures, kind = {v.group: v.failure for v in report.verdicts}, candidate.counted_crash
        said = failures["contracts"].sentences if failures.get("contracts") else ()
        right = not (failures.get("values") or failures.get("edges"))
        if kind and right and any(f"{kind}:" in sentence for sentence in said):
            run.problems.append(
                f"{name}: the call whose work is counted raised {kind}, and the "
                "others did not. Its tensors hold no numbers where the student's code runs: if the "
                "function stumbles over that alone, please give its points by hand."
            )
        earlier = (run.reports[n] for n in about["uses"] if n in run.reports)
        cause = next((r for r in earlier if not r.passed), None)
        if not report.passed and cause:
            note = f"It calls your {cause.exercise}, which earns {cause.points:g} of "
            note += f"{cause.possible} itself: mend that first."
            report = replace(report, notes=(note, *report.notes))
        return report

    def _graded(
        self, run: "_Run", nb: NotebookNode, submitted: Submitted, problems: tuple[str, ...]
    ) -> Graded:
        problems = (*problems, *run.problems)
        reports = {}
        for count, cell in enumerate((c for c in nb.cells if c.cell_type == "code"), 1):
            cell.execution_count = count
            if is_grade(cell):
                name = cell.metadata.nbgrader.grade_id
                report = run.reports.get(name)
                if report is None:
                    note = " ".join(problems) or "Nothing was handed in for it."
                    report = Report.unwritten(self.exercises[name], note)
                reports[name] = report
                cell.outputs = check_outputs(report, count)
            else:
                cell.outputs = [nbformat.from_dict(o) for o in run.outputs.get(cell.id, [])]
        nb.metadata["tutor"] = {
            "release": nb.metadata.get("tutor", {}).get("release"),
            "problems": list(problems),
            "limits": run.limits,
            "seconds": {k: round(v, 3) for k, v in run.seconds.items()},
            "digest": submission.digest(nb),
        }
        return Graded(
            notebook=nb,
            points={name: report.points for name, report in reports.items()},
            reports={name: _cleaned(report.to_dict()) for name, report in reports.items()},
            problems=problems,
            limits_broken=tuple(run.limits),
            seconds=run.seconds,
        )


@dataclass
class _Run:
    """What is known of a notebook while it is graded."""

    outputs: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    """By the id of the cell."""
    reports: dict[str, Report] = field(default_factory=dict)
    undefined: list[str] = field(default_factory=list)
    """Exercises whose function is not there."""
    problems: list[str] = field(default_factory=list)
    limits: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)


def check_outputs(report: Report, count: int) -> list[NotebookNode]:
    """Of a check's cell: its report, and the points as its value."""
    bundle = _cleaned(report._repr_mimebundle_())
    points = Points(report.points)._repr_mimebundle_()
    # nbformat's own constructors validate each, which takes longer than the check.
    shown = {"output_type": "display_data", "data": bundle, "metadata": {}}
    result = {"output_type": "execute_result", "data": points, "metadata": {}}
    return [nbformat.from_dict(o) for o in (shown, {**result, "execution_count": count})]


def _cleaned(value: Any) -> Any:
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, dict):
        return {k: _cleaned(v) for k, v in value.items()}
    return [_cleaned(v) for v in value] if isinstance(value, (list, tuple)) else value


def _undefined(exercise: Exercise, session: Session) -> str:
    """Why a function or a class is not there, as far as the cells tell."""
    kind, name = "class" if exercise.is_class else "function", exercise.name
    for number, error in session.errors.items():
        if name in session.cells[number]:
            return f"There is no {kind} {name}: its cell stopped with {error[:300]}"
    return f"There is no {kind} {name} after its cell has run."


def _exercise(cell: NotebookNode) -> str:
    name = cell.metadata.get("tutor", {}).get("added_after")
    name = name if name is not None else cell.metadata.get("nbgrader", {}).get("grade_id", "")
    return name.removesuffix("-solution")
