"""Grades one notebook: its cells in the sandbox, its checks from outside of it.

    with Grader("03_attention", Limits()) as grader:
        graded = grader.grade(Path("submitted/ada/03_attention/attention.ipynb"))

The judge is the one that students know, ``tutor.checks.judge``. Here it runs in this process, with
a seed that no student has seen, and what it calls is a ``RemoteCandidate``: arguments go into the
sandbox as tensors and numbers, answers come back as such, and nothing else is believed.
"""

import hmac
import json
import os
import secrets
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode
from nbgrader.utils import is_grade, is_solution
from torch import Tensor
from traitlets.config import Config

from tutor import ROOT
from tutor.checks import EXERCISES, Report, judge
from tutor.checks.candidate import LONGEST_MESSAGE, Crash, Response, Unreadable
from tutor.checks.cost import Cost
from tutor.course.release import source_notebook
from tutor.grading import CannotGrade, submission
from tutor.grading.submission import Submitted, clean
from tutor.sandbox import wire
from tutor.sandbox.bubblewrap import NoSandbox, Pair, Sandbox, SandboxLost
from tutor.sandbox.limits import Limits

_LOSSES = 2
"""Times that a notebook is begun again because its sandbox, and not its own process, ended."""
_DEATHS_IN_A_CHECK = 3
_STALE_ANSWERS = 5
"""To requests that were interrupted."""
_MOST_OUTPUTS = 1000
"""Of one cell."""
_MOST_ANSWERS = 64
"""Of one call."""
_LARGEST_TEXT = 2**18
"""Bytes that say what the tensors of an answer are. Of a cell's outputs there may be more."""


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


def secret(root: Path = ROOT) -> bytes:
    """What the hidden cases are drawn from: ``TUTOR_GRADING_SECRET``, or a file made once."""
    if given := os.environ.get("TUTOR_GRADING_SECRET"):
        return given.encode()
    path = root / ".grading-secret"
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return _written_secret(path)
    with open(fd, "w", encoding="ascii") as file:
        file.write(secrets.token_hex(32) + "\n")
    return path.read_bytes().strip()


def _written_secret(path: Path) -> bytes:
    for _ in range(50):  # another process may be about to write it
        if text := path.read_bytes().strip():
            return text
        time.sleep(0.02)
    raise CannotGrade(f"{path} is empty: delete it, and the next grading makes a new one")


def hidden_seed(key: bytes, exercise: str, digest: str) -> int:
    """Depends on the submission, too: what leaked from one would be of no use to another."""
    return int.from_bytes(hmac.digest(key, f"{exercise} {digest}".encode(), "sha256")[:7])


class Grader:
    """Grades notebooks of one chapter, one at a time. Belongs to the thread that uses it."""

    def __init__(
        self,
        chapter: str,
        limits: Limits | None = None,
        device: str = "cpu",
        sandboxed: bool = True,
        key: bytes | None = None,
    ):
        self.chapter, self.limits, self.device = chapter, limits or Limits(), device
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
        does, if this machine has none."""
        released = submission.released(self.chapter, path.stem)
        return self.grade_submitted(submission.read(path, released, self.limits), released)

    def grade_submitted(self, submitted: Submitted, released: NotebookNode) -> Graded:
        nb = submission.restore(released, submitted)
        if not submitted.own:
            return self._graded(_Run(), nb, submitted, submitted.problems)
        return self.run(nb, submitted)

    def run(self, nb: NotebookNode, submitted: Submitted) -> Graded:
        """Grade a notebook that ``submission.restore`` made."""
        for _ in range(_LOSSES):
            try:
                if not self.sandbox.alive:
                    self.sandbox.close()
                    self.sandbox.start()
                    if self.device != "cpu":
                        self.try_device()
                return self._run(nb, submitted)
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
        graded = self._run(nb, ours)
        for name, points in graded.points.items():
            if points != EXERCISES[name].total:
                self.sandbox.close()
                failures = (v["failure"] for v in graded.reports[name]["verdicts"])
                said = [s for f in failures if f for s in f["sentences"]]
                why = [*graded.limits_broken, *said, *graded.problems][:1]
                raise NoSandbox(
                    f"On the device {self.device} the course's own {name} earns {points:g} of "
                    f"{EXERCISES[name].total}, so nobody is graded there. {' '.join(why)}"
                )

    def _run(self, nb: NotebookNode, submitted: Submitted) -> Graded:
        session, run, digest = Session(self.sandbox), _Run(), submission.digest(nb)
        left, checked, tells = self.limits.total_output_kibibytes * 1024, False, False
        try:
            for cell in nb.cells:
                if cell.cell_type != "code":
                    continue
                start = time.monotonic()
                if is_grade(cell):
                    name, checked = cell.metadata.nbgrader.grade_id, True
                    seed = hidden_seed(self.key, name, digest)
                    run.reports[name] = self._check(name, seed, session, run)
                    run.seconds[name] = run.seconds.get(name, 0) + time.monotonic() - start
                    continue
                outputs = session.cell(cell.source, _label(cell), left)
                left -= _size(outputs)
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
        return self._graded(run, nb, submitted, submitted.problems)

    def _put_out_again(self, nb: NotebookNode, session: "Session", run: "_Run") -> None:
        """Take all outputs from a run in which no check is made."""
        fresh = Session(self.sandbox, deadline=session.deadline, skipped=session.skipped)
        left = self.limits.total_output_kibibytes * 1024
        try:
            for cell in nb.cells:
                if cell.cell_type == "code" and not is_grade(cell):
                    run.outputs[cell.id] = fresh.cell(cell.source, _label(cell), left)
                    left -= _size(run.outputs[cell.id])
        finally:
            fresh.close()

    def _check(self, name: str, seed: int, session: "Session", run: "_Run") -> Report:
        exercise = EXERCISES[name]
        candidate = RemoteCandidate(session, name)
        try:
            about = candidate.about()
        except Stopped as stop:
            return Report.unwritten(exercise, f"Not run: {stop}.")
        if not about["callable"]:
            return Report.unwritten(exercise, _undefined(name, session))
        try:
            # On the CPU: it is the student's functions that run on the device.
            report = judge(exercise, candidate, seed)
        except SandboxLost:
            raise
        except Exception as error:  # a fault of ours must cost one check, not the class
            run.problems.append(
                f"{name}: the check itself failed ({type(error).__name__}: {str(error)[:200]}); "
                "please report it, and grade this exercise by hand."
            )
            return Report.unwritten(exercise, "The check itself failed; you will hear from us.")
        if candidate.stops:
            run.limits += [f"{name}: {reason}" for reason in dict.fromkeys(candidate.stops)]
        earlier = (run.reports[n] for n in EXERCISES if n in about["uses"] and n in run.reports)
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
                    report = Report.unwritten(EXERCISES[name], note)
                reports[name] = report
                cell.outputs = _outputs_of(report, count)
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
    problems: list[str] = field(default_factory=list)
    limits: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)


class Stopped(Exception):
    """A request did not come to its end. Says why, as the rest of a sentence."""

    def __init__(self, reason: str, kind: str):
        super().__init__(reason)
        self.kind = kind


class Session:
    """The processes of one notebook. Where one ends, a fresh one runs the earlier cells again."""

    def __init__(
        self, sandbox: Sandbox, deadline: float | None = None, skipped: set[int] | None = None
    ):
        self.sandbox, self.limits = sandbox, sandbox.limits
        self.deadline = deadline or time.monotonic() + self.limits.submission_seconds
        self.cells: list[str] = []
        self.skipped = set() if skipped is None else skipped
        """Cells, by number, in which the process ended."""
        self.errors: dict[int, str] = {}
        self.broken: list[str] = []
        """Sentences on limits that cells have broken."""
        self.restarts = 0
        self._pair: Pair | None = None
        self._id = 0

    def cell(self, source: str, label: str, output_bytes: int) -> list[dict[str, Any]]:
        """Run a cell; its outputs, as a notebook holds them."""
        number = len(self.cells)
        self.cells.append(source)
        if not source.strip():
            return []
        size = max(0, min(output_bytes, self.limits.cell_output_kibibytes * 1024))
        message = {"do": "cell", "source": source, "output_bytes": size}
        try:
            if number in self.skipped:
                raise Stopped("ended its process when it was run before", "Stopped")
            self._living(number)
            reply, _ = self.ask(message, [], self.limits.cell_seconds)
            outputs = _checked_outputs(reply.get("outputs"), size)
        except Stopped as stop:
            if self._pair is None:
                self.skipped.add(number)
            sentence = f"{label} {stop}"
            if sentence not in self.broken:
                self.broken.append(sentence)
            outputs = [_error(stop.kind, str(stop))]
        errors = [o for o in outputs if o["output_type"] == "error"]
        if errors:
            self.errors[number] = f"{errors[0]['ename']}: {errors[0]['evalue']}"
        return outputs

    def ask(
        self,
        message: dict[str, Any],
        tensors: list[Tensor],
        seconds: float,
        late: str = "",
        largest: int | None = None,
    ) -> tuple[dict[str, Any], list[Tensor]]:
        """One request to the student's process; Stopped, saying ``late``, if its time is out.

        ``largest``: bytes of tensors in the answer.
        """
        self._living(len(self.cells))
        pair = self._pair
        deadline = min(time.monotonic() + seconds, self.deadline)
        limit = self._largest() if largest is None else largest
        text = {} if message["do"] == "cell" else {"text_limit": _LARGEST_TEXT}
        self._id += 1
        try:
            pair.student.settimeout(max(deadline - time.monotonic(), 1e-3))
            wire.send(pair.student, {**message, "id": self._id}, tensors)
            return self._reply(pair, deadline, limit, **text)
        except wire.Late:
            late = late or f"ran longer than {seconds:g} s and was stopped"
            raise self._interrupt(pair, late, limit, **text) from None
        except wire.Closed:
            raise Stopped(self._ending(pair), "ProcessEnded") from None
        except wire.Malformed as error:
            self._kill(pair)
            raise Stopped(f"answered with {error}", "MalformedAnswer") from None

    def ask_watcher(
        self, message: dict[str, Any], tensors: list[Tensor]
    ) -> tuple[dict[str, Any], list[Tensor]]:
        """One request to the process that counts."""
        self._living(len(self.cells))
        pair = self._pair
        seconds = self.limits.call_seconds
        self._id += 1
        try:
            pair.watcher.settimeout(seconds)
            wire.send(pair.watcher, {**message, "id": self._id}, tensors)
            deadline = time.monotonic() + seconds
            while True:
                reply, found = wire.receive(pair.watcher, deadline, self._largest())
                if "ended" in reply:
                    raise Stopped(self._ended(pair, reply["ended"]), "ProcessEnded")
                if reply.get("id") == self._id:
                    return reply, found
        except (wire.Late, wire.Closed, wire.Malformed):
            self._kill(pair)
            raise Stopped("used more than can be counted", "ProcessEnded") from None

    def close(self) -> None:
        """End the processes; the next request begins with fresh ones."""
        if self._pair is not None:
            self._kill(self._pair)

    def _largest(self) -> int:
        return self.limits.answer_mebibytes * 2**20

    def _reply(
        self, pair: Pair, deadline: float, limit: int, **text: int
    ) -> tuple[dict, list[Tensor]]:
        for _ in range(_STALE_ANSWERS):
            reply, found = wire.receive(pair.student, deadline, limit, **text)
            if not isinstance(reply, dict):
                raise wire.Malformed("a message that is no answer")
            if reply.get("id") == self._id:
                return reply, found
        raise wire.Malformed("answers that nobody asked for")

    def _interrupt(self, pair: Pair, reason: str, limit: int, **text: int) -> Stopped:
        over = time.monotonic() >= self.deadline
        if over:
            total = self.limits.submission_seconds
            reason = f"was stopped: the notebook ran longer than {total:g} s"
        self.sandbox.signal(pair.pids[:1], signal.SIGINT)
        try:
            if over:
                raise wire.Late
            self._reply(pair, time.monotonic() + self.limits.grace_seconds, limit, **text)
        except (wire.Late, wire.Closed, wire.Malformed):
            self._kill(pair)
        return Stopped(reason, "TimeLimitExceeded")

    def _ending(self, pair: Pair) -> str:
        """Why the student's process closed its socket."""
        try:
            deadline = time.monotonic() + 2
            while True:
                reply, _ = wire.receive(pair.watcher, deadline)
                if "ended" in reply:
                    return self._ended(pair, reply["ended"])
        except (wire.Late, wire.Closed, wire.Malformed):
            self._kill(pair)
            return "closed its connection to the grader"

    def _ended(self, pair: Pair, how: str) -> str:
        self._kill(pair)
        if how == "memory":
            return f"used more than {self.limits.memory_mebibytes:,} MiB of memory and was stopped"
        return f"ended its process ({how})"

    def _kill(self, pair: Pair) -> None:
        self._pair = None
        pair.close()
        self.sandbox.signal(pair.pids, signal.SIGKILL)

    def _living(self, number: int) -> None:
        """Have a process in which the cells before ``number`` have run."""
        if time.monotonic() >= self.deadline:
            total = self.limits.submission_seconds
            raise Stopped(f"was not run: the notebook ran longer than {total:g} s", "Stopped")
        first = not any(self.cells[:number])
        while self._pair is None:
            if self.restarts > self.limits.restarts:
                times = self.limits.restarts
                reason = f"was not run: the notebook ended its process {times} times"
                raise Stopped(reason, "Stopped")
            self.restarts += not first or self.restarts > 0
            self._pair = self.sandbox.spawn()
            self._repeat(number)

    def _repeat(self, number: int) -> None:
        for i, source in enumerate(self.cells[:number]):
            if i in self.skipped or not source.strip():
                continue
            message = {"do": "cell", "source": source, "output_bytes": 0}
            try:
                self.ask(message, [], self.limits.cell_seconds)
            except Stopped:
                if self._pair is None:
                    self.skipped.add(i)
                    return


class RemoteCandidate:
    """A function, a class or an object in the student's process. ``tutor.checks.Candidate``."""

    def __init__(
        self,
        session: Session,
        name: str,
        handle: int | None = None,
        attribute: str | None = None,
        parent: "RemoteCandidate | None" = None,
    ):
        self.session, self.name = session, name
        self._where = {"name": name, "handle": handle, "method": attribute}
        root = parent or self
        self._root = root
        if parent is None:
            self.stops: list[str] = []
            """Why calls were stopped."""
            self.deaths = 0
            self.deadline = time.monotonic() + session.limits.check_seconds
            self.sent: dict[int, tuple[int, Tensor]] = {}
            self.last = 0

    def about(self) -> dict[str, Any]:
        among = list(EXERCISES)
        message = {"do": "about", "name": self.name, "among": among}
        reply, _ = self.session.ask(message, [], self.session.limits.call_seconds)
        uses = reply.get("uses")
        uses = [n for n in among if n in uses] if isinstance(uses, list) else []
        return {"callable": reply.get("callable") is True, "uses": uses}

    def run(
        self,
        args: tuple[Any, ...],
        cotangents: tuple[Tensor, ...] | None = None,
        count: bool = False,
        forbid_autograd: bool = False,
    ) -> Response:
        if count:
            return self._guarded(lambda: self._counted(args, forbid_autograd), args, Cost())
        return self._guarded(lambda: self._run(args, cotangents), args)

    def reread(self, response: Response) -> Any:
        def again() -> Response:
            reply, tensors = self._ask({"do": "again"}, [])
            return Response(_outputs(reply.get("outputs"), tensors))

        found = self._guarded(again, ())
        return response.outputs if found.crash else found.outputs

    def make(
        self,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any] | None = None,
        state: Mapping[str, Tensor] | None = None,
    ) -> "RemoteCandidate | Crash":
        def construct() -> Any:
            tensors: list[Tensor] = []
            state_dict = None if state is None else dict(state)
            packed = wire.pack((args, dict(kwargs or {}), state_dict), tensors)
            reply, _ = self._ask({"do": "make", "args": packed}, tensors)
            if crash := _crash(reply.get("crash")):
                return Response(crash=crash)
            if not isinstance(reply.get("handle"), int):
                raise wire.Malformed("no object")
            return RemoteCandidate(self.session, self.name, reply["handle"], parent=self._root)

        made = self._guarded(construct, args)
        return made.crash if isinstance(made, Response) else made

    def method(self, name: str) -> "RemoteCandidate":
        return RemoteCandidate(
            self.session, self.name, self._where["handle"], name, parent=self._root
        )

    def _guarded(self, call: Any, args: tuple[Any, ...], cost: Cost | None = None) -> Any:
        """What ``call`` gives; a crash if the student's process does not answer as it should."""
        root = self._root
        if root.deaths >= _DEATHS_IN_A_CHECK or time.monotonic() >= root.deadline:
            reason = root.stops[-1] if root.stops else "the check took too long"
            return Response(args_after=args, crash=Crash("Stopped", reason), cost=cost)
        try:
            return call()
        except Stopped as stop:
            root.stops.append(str(stop))
            root.deaths += 1
            kind, reason = stop.kind, str(stop)
        except wire.Malformed as error:
            kind, reason = "MalformedAnswer", f"it answered with {error}"
        return Response(args_after=args, crash=Crash(kind, reason), cost=cost)

    def _ask(
        self, message: dict[str, Any], tensors: list[Tensor], largest: int | None = None
    ) -> tuple[dict, list[Tensor]]:
        limits, left = self.session.limits, self._root.deadline - time.monotonic()
        seconds, late = limits.call_seconds, ""
        if left < seconds:
            seconds = max(left, 0.01)
            late = f"was stopped: its check took longer than {limits.check_seconds:g} s"
        asked = {**message, **self._where}
        reply, found = self.session.ask(asked, tensors, seconds, late, largest)
        if reply.get("interrupted"):
            raise Stopped("was interrupted", "Interrupted")
        return reply, found

    def _number(self, before: dict[int, tuple[int, Tensor]]) -> Any:
        """Names for tensors: one that was sent with the last call keeps its own."""
        root = self._root
        root.sent = {}

        def number(t: Tensor) -> int:
            known = before.get(id(t)) or root.sent.get(id(t))
            if known is None:
                root.last += 1
                known = (root.last, t)
            root.sent[id(t)] = known
            return known[0]

        return number

    def _run(self, args: tuple[Any, ...], cotangents: tuple[Tensor, ...] | None) -> Response:
        tensors: list[Tensor] = []
        packed = wire.pack(args, tensors, self._number(self._root.sent))
        both = {"tuple": [packed, wire.pack(cotangents, tensors)]}
        largest = self.session._largest() // 8
        # What was sent may come back: as gradients, and as what became of the arguments.
        most = largest + 3 * sum(t.numel() * t.element_size() for t in tensors) + _LARGEST_TEXT
        reply, found = self._ask({"do": "run", "args": both, "largest": largest}, tensors, most)
        crash = _crash(reply.get("crash"))
        after = _after(args, reply.get("args_after"), found)
        if crash:
            return Response(args_after=after, crash=crash)
        gradients = None
        if cotangents is not None:
            gradients = _gradients(args, reply.get("gradients"), found)
        return Response(_outputs(reply.get("outputs"), found), gradients, after)

    def _counted(self, args: tuple[Any, ...], forbid_autograd: bool) -> Response:
        try:
            return self._count(args, forbid_autograd)
        except (Stopped, wire.Malformed):
            self.session.close()  # the process that counts may still be at it
            raise

    def _count(self, args: tuple[Any, ...], forbid_autograd: bool) -> Response:
        tensors: list[Tensor] = []
        places = [i for i, a in enumerate(args) if isinstance(a, Tensor)]
        inputs = [wire.pack(args[i], tensors) for i in places]
        known, _ = self.session.ask_watcher({"do": "count", "inputs": inputs}, tensors)
        if "error" in known:
            raise wire.Malformed("a call that cannot be counted")
        plain = tuple(None if isinstance(a, Tensor) else a for a in args)
        message = {
            "do": "count",
            "args": wire.pack(plain, []),
            "proxies": {str(i): about for i, about in zip(places, known["proxies"], strict=True)},
            "forbid_autograd": forbid_autograd,
        }
        reply, _ = self._ask(message, [])
        crash = _crash(reply.get("crash"))
        numbers: list[int] = []
        shape = None if crash else _numbered(reply.get("outputs"), numbers)
        asked = {"do": "outputs", "numbers": numbers, "largest": self.session._largest() // 2}
        counted, found = self.session.ask_watcher(asked, [])
        if "error" in counted:
            raise wire.Malformed("a result that was never computed")
        cost = Cost(**{**counted["cost"], "called": set(counted["cost"]["called"])})
        cost.largest_shape = tuple(cost.largest_shape)
        _add_claims(cost, reply.get("claims"))
        values = [wire.unpack(spec, found) for spec in counted["outputs"]]
        return Response(None if crash else _filled(shape, values), None, args, crash, cost)


# What an answer may be. Anything else is Malformed, or Unreadable where a report can describe it.


def _outputs(spec: Any, tensors: list[Tensor]) -> Any:
    if isinstance(spec, dict) and isinstance(spec.get("tuple"), list):
        if len(spec["tuple"]) > _MOST_ANSWERS:
            return _many(spec["tuple"])
        return tuple(_output(s, tensors) for s in spec["tuple"])
    return _output(spec, tensors)


def _many(values: list[Any]) -> Unreadable:
    return Unreadable(f"a tuple or list of {len(values):,}")


def _output(spec: Any, tensors: list[Tensor]) -> Tensor | Unreadable:
    if isinstance(spec, dict) and "unreadable" in spec:
        return Unreadable(_short(spec["unreadable"]))
    value = wire.unpack(spec, tensors)
    return value if isinstance(value, Tensor) else Unreadable(f"a {type(value).__name__}")


def _after(args: tuple[Any, ...], spec: Any, tensors: list[Tensor]) -> tuple[Any, ...]:
    if spec is None:
        return args  # they are what they were
    specs = spec.get("tuple") if isinstance(spec, dict) else None
    if not isinstance(specs, list) or len(specs) != len(args):
        raise wire.Malformed("arguments that are not those of the call")
    return tuple(
        _output(s, tensors) if isinstance(a, Tensor) else a
        for a, s in zip(args, specs, strict=True)
    )


def _gradients(
    args: tuple[Any, ...], spec: Any, tensors: list[Tensor]
) -> tuple[Tensor | None, ...]:
    wanted = sum(isinstance(a, Tensor) and a.is_floating_point() for a in args)
    specs = spec.get("tuple") if isinstance(spec, dict) else None
    if not isinstance(specs, list) or len(specs) != wanted:
        raise wire.Malformed("gradients that are not those of the arguments")
    values = [None if s is None else wire.unpack(s, tensors) for s in specs]
    if not all(v is None or isinstance(v, Tensor) for v in values):
        raise wire.Malformed("gradients that are no tensors")
    return tuple(values)


def _numbered(spec: Any, numbers: list[int]) -> Any:
    """The form of a counted call's outputs; the numbers of its tensors go to ``numbers``."""
    if isinstance(spec, dict) and isinstance(spec.get("tuple"), list):
        if len(spec["tuple"]) > _MOST_ANSWERS:
            return _many(spec["tuple"])
        return tuple(_numbered(s, numbers) for s in spec["tuple"])
    if isinstance(spec, dict) and isinstance(spec.get("proxy"), int):
        numbers.append(spec["proxy"])
        return len(numbers) - 1
    return Unreadable(_short(spec.get("unreadable") if isinstance(spec, dict) else spec))


def _filled(shape: Any, values: list[Tensor]) -> Any:
    if isinstance(shape, tuple):
        return tuple(_filled(s, values) for s in shape)
    return values[shape] if isinstance(shape, int) else shape


def _add_claims(cost: Cost, claims: Any) -> None:
    """What the student's process says against itself. What it says for itself counts nothing."""
    if isinstance(claims, dict):
        called = claims.get("called")
        if isinstance(called, list):
            cost.called |= {c for c in called if isinstance(c, str)}
        if isinstance(claims.get("outside"), str):
            cost.outside = _short(claims["outside"]) or cost.outside


def _crash(spec: Any) -> Crash | None:
    if spec is None:
        return None
    if not isinstance(spec, dict):
        raise wire.Malformed("an exception that is none")
    number, mro = spec.get("number"), spec.get("mro")
    return Crash(
        kind=_short(spec.get("kind"))[:60] or "Exception",
        message=_short(spec.get("message"))[:LONGEST_MESSAGE],
        function=_short(spec.get("function"))[:80],
        line=_short(spec.get("line")),
        number=number if isinstance(number, int) else 0,
        mro=tuple(map(_short, mro)) if isinstance(mro, list) and len(mro) < 50 else (),
    )


def _short(text: Any) -> str:
    return clean(text)[:200] if isinstance(text, str) else ""


def _checked_outputs(found: Any, size: int) -> list[dict[str, Any]]:
    """A cell's outputs, rebuilt from what may be in them, as long as they are short enough."""
    outputs, left = [], size + 20_000  # an error's traceback, and the note that something was cut
    for output in found[:_MOST_OUTPUTS] if isinstance(found, list) else []:
        made = _output_of(output) if isinstance(output, dict) else None
        if made is not None and (left := left - _size([made])) >= 0:
            outputs.append(made)
    return outputs


def _output_of(output: dict[str, Any]) -> dict[str, Any] | None:
    def text(name: str) -> str:
        value = output.get(name)
        return clean(value) if isinstance(value, str) else ""

    kind = output.get("output_type")
    if kind == "stream":
        name = "stderr" if output.get("name") == "stderr" else "stdout"
        return {"output_type": "stream", "name": name, "text": text("text")}
    if kind == "error":
        lines = output.get("traceback")
        lines = [clean(x) for x in lines if isinstance(x, str)] if isinstance(lines, list) else []
        return _error(text("ename")[:200], text("evalue")[:2000], lines)
    data = output.get("data")
    if kind in ("display_data", "execute_result") and isinstance(data, dict):
        kinds = ("text/plain", "image/png", "image/jpeg")
        kept = {k: clean(data[k]) for k in kinds if isinstance(data.get(k), str)}
        made = {"output_type": kind, "data": kept, "metadata": {}}
        return made | ({"execution_count": None} if kind == "execute_result" else {})
    return None


def _error(name: str, message: str, lines: list[str] | None = None) -> dict[str, Any]:
    lines = lines or [f"{name}: {message}"]
    return {"output_type": "error", "ename": name, "evalue": message, "traceback": lines}


def _size(outputs: list[dict[str, Any]]) -> int:
    return sum(len(json.dumps(o)) for o in outputs)


def _outputs_of(report: Report, count: int) -> list[NotebookNode]:
    bundle = _cleaned(report._repr_mimebundle_())
    points = {"text/plain": str(report.points)}
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


def _undefined(name: str, session: Session) -> str:
    """Why a function is not there, as far as the cells tell."""
    for number, error in session.errors.items():
        if f"def {name}" in session.cells[number] or name in session.cells[number]:
            return f"There is no function {name}: its cell stopped with {error[:300]}"
    return f"There is no function {name} after its cell has run."


def _label(cell: NotebookNode) -> str:
    after = cell.metadata.get("tutor", {}).get("added_after")
    if after is None:
        return cell.metadata.get("nbgrader", {}).get("grade_id", "a cell")
    return f"a cell added after {after}" if after else "a cell added at the beginning"


def _exercise(cell: NotebookNode) -> str:
    name = cell.metadata.get("tutor", {}).get("added_after")
    name = name if name is not None else cell.metadata.get("nbgrader", {}).get("grade_id", "")
    return name.removesuffix("-solution")
