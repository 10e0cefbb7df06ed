"""What a submission of the corpus is: a small function that writes it, and the verdict it must get.

    @submission(points=full_but(causal_mask=0), says="s of processor time")
    def endless_loop(work):
        \"\"\"A cell that never ends.\"\"\"
        work.write("causal_mask", "while True: pass")

As in the problem sets of contest judges, the verdict stands beside the submission: points for each
exercise, exact, and a phrase that the student must find in what comes back.
"""

import copy
import functools
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import dedent
from typing import Any

import nbformat
from nbformat import NotebookNode

from tests.attacks import marks
from tutor import ROOT
from tutor.checks import EXERCISES, judge
from tutor.course.sample_class import solutions

CHAPTER, NOTEBOOK = "03_attention", "attention.ipynb"

FULL: dict[str, float] = {
    name: float(e.total) for name, e in EXERCISES.items() if e.chapter == CHAPTER
}
ATTENTION = "scaled_dot_product_attention"
NOTHING = dict.fromkeys(FULL, 0.0)


@dataclass(frozen=True)
class Under:
    """Any number of points below this one. For a function that must lose something, where how much
    is the judge's to say."""

    points: float

    def __eq__(self, other: object) -> bool:
        return isinstance(other, float | int) and 0 <= other < self.points

    __hash__ = None


@dataclass(frozen=True)
class Between:
    """For what an attack does to its own process by nature: nothing is owed, nothing is won."""

    low: float
    high: float

    def __eq__(self, other: object) -> bool:
        return isinstance(other, float | int) and self.low <= other <= self.high

    __hash__ = None


Points = Mapping[str, float | Under | Between]


def full_but(**points: float | Under | Between) -> Points:
    unknown = set(points) - set(FULL)
    assert not unknown, f"no such exercise: {unknown}"
    return FULL | points


def only(*names: str) -> Points:
    return NOTHING | {name: FULL[name] for name in names}


def judged(name: str, function: Callable[..., Any]) -> Points:
    """All solved, and for one exercise whatever the judge gives that function."""
    return full_but(**{name: judge(EXERCISES[name], function).points})


@dataclass(frozen=True)
class Link:
    """A symbolic link beside the notebook, or in its place."""

    target: str


@dataclass(frozen=True)
class Pipe:
    """A named pipe: whoever opens it waits for ever."""


@dataclass(frozen=True)
class Directory:
    """An empty folder."""


@functools.cache
def _released() -> NotebookNode:
    path = ROOT / "exercises" / CHAPTER / NOTEBOOK
    return nbformat.read(path, as_version=4)


class Work:
    """A student's folder: the released notebook with the right solutions, to be spoiled."""

    def __init__(self) -> None:
        self.nb: NotebookNode = copy.deepcopy(_released())
        self.files: dict[str | bytes, bytes | Link | Pipe | Directory] = {}
        """What lies in the folder besides, by name."""
        self.place: bytes | Link | Pipe | Directory | None = None
        """What lies in the notebook's place, if not a notebook that nbformat can write."""
        self.name: str | None = NOTEBOOK
        """Of the notebook's file; None if there is none."""
        self.added = 0
        for name, source in solutions().items():
            self.write(name, source)

    @classmethod
    def as_given(cls) -> "Work":
        """The notebook in which nobody has written."""
        work = cls()
        work.nb = copy.deepcopy(_released())
        return work

    def cell(self, grade_id: str) -> NotebookNode:
        """The first cell of that id: ``setup``, ``causal_mask-solution``, ``causal_mask``."""
        return self.nb.cells[self._index(grade_id)]

    def solution(self, exercise: str) -> NotebookNode:
        return self.cell(f"{exercise}-solution")

    def write(self, exercise: str, *parts: str) -> None:
        """Put these pieces of code, one after another, into the exercise's cell."""
        self.solution(exercise).source = code(*parts)

    def write_alone(self, exercise: str, *parts: str) -> None:
        """The same for ``attention_scores``, with others that do not call it: what it loses, it
        loses alone."""
        self.write(exercise, *parts)
        for other in (ATTENTION, "attention_backward"):
            source = self.solution(other).source
            own = source.replace("attention_scores(q, k)", "q @ k.mT * q.shape[-1] ** -0.5")
            assert own != source
            self.solution(other).source = own

    def after(self, exercise: str, *parts: str, **metadata: Any) -> NotebookNode:
        """A cell of the student's own, behind the exercise's cell and its other additions."""
        grade_id = exercise if exercise == "setup" else f"{exercise}-solution"
        index = self._index(grade_id) + 1
        while self.nb.cells[index].metadata.get("by") == exercise:
            index += 1
        return self._insert(index, exercise, code(*parts), metadata)

    def behind_check(self, exercise: str, *parts: str, **metadata: Any) -> NotebookNode:
        """A cell of the student's own, behind the exercise's check."""
        return self._insert(self._index(exercise) + 1, "check", code(*parts), metadata)

    def at_the_end(self, *parts: str, **metadata: Any) -> NotebookNode:
        return self._insert(len(self.nb.cells), "end", code(*parts), metadata)

    def at_the_start(self, *parts: str, **metadata: Any) -> NotebookNode:
        return self._insert(0, "start", code(*parts), metadata)

    def delete(self, grade_id: str) -> None:
        del self.nb.cells[self._index(grade_id)]

    def text(self) -> str:
        """The notebook as it would lie in the folder."""
        return nbformat.writes(self.nb)

    def to(self, folder: Path) -> None:
        """Write the folder. Nothing of it is read through nbformat again."""
        folder.mkdir(parents=True)
        if self.name is not None:
            place = self.text().encode() if self.place is None else self.place
            _put(folder, self.name, place)
        for name, content in self.files.items():
            _put(folder, name, content)

    def _index(self, grade_id: str) -> int:
        ids = [c.metadata.get("nbgrader", {}).get("grade_id") for c in self.nb.cells]
        return ids.index(grade_id)

    def _insert(self, index: int, by: str, source: str, metadata: dict[str, Any]) -> NotebookNode:
        self.added += 1
        cell = nbformat.v4.new_code_cell(source, id=f"added-{self.added}")
        cell.metadata.update(metadata, by=by)
        self.nb.cells.insert(index, cell)
        return cell


def _put(folder: Path, name: str | bytes, content: bytes | Link | Pipe | Directory) -> None:
    path = os.path.join(os.fsencode(folder), os.fsencode(name))
    os.makedirs(os.path.dirname(path), exist_ok=True)
    if isinstance(content, Link):
        os.symlink(content.target, path)
    elif isinstance(content, Pipe):
        os.mkfifo(path)
    elif isinstance(content, Directory):
        os.mkdir(path)
    else:
        with open(path, "wb") as file:
            file.write(content)


def code(*parts: str) -> str:
    """Pieces of code, each with the indentation of where it is written, as one cell."""
    return "\n\n".join(dedent(part).strip("\n") for part in parts)


ZEROS = {
    "stable_softmax": """
        def stable_softmax(scores, dim=-1):
            return torch.zeros_like(scores)
        """,
    "attention_scores": """
        def attention_scores(q, k):
            return (q.sum(-1, keepdim=True) - k.sum(-1, keepdim=True).mT) * 0
        """,
    "causal_mask": """
        def causal_mask(num_queries, num_keys, device=None):
            return torch.zeros(num_queries, num_keys, dtype=torch.bool, device=device)
        """,
    "padding_mask": """
        def padding_mask(lengths, num_keys):
            return torch.zeros(*lengths.shape, 1, num_keys, dtype=torch.bool, device=lengths.device)
        """,
}
"""Wrong answers of the right form: without a forgery they earn nothing."""

GUARD = f"""
    import os
    try:
        outside = os.readlink("/proc/self/ns/pid") == {os.readlink("/proc/self/ns/pid")!r}
    except OSError:
        outside = False
    if outside:
        raise SystemExit("This cell harms a machine without a sandbox, and here is none.")
    """
"""Stands before whatever must not run outside of a sandbox, should one fail to be there."""


@dataclass(frozen=True)
class Submission:
    name: str
    kind: str
    """The module that it stands in."""
    tries: str
    points: Points
    says: str | None
    """Regular expression that is found in what the student is told; None if nothing need be."""
    hides: tuple[str, ...]
    """Regular expressions that nothing which comes back may hold."""
    forges: str | None
    """Exercise for which this wins points from a check that runs in the student's own process."""
    student: str
    build: Callable[[Work], None] = field(repr=False)

    def work(self) -> Work:
        work = Work()
        self.build(work)
        return work


SUBMISSIONS: dict[str, Submission] = {}


def submission(
    points: Points = FULL,
    says: str | None = None,
    hides: str | tuple[str, ...] = (),
    forges: str | None = None,
    student: str | None = None,
) -> Callable[[Callable[[Work], None]], Callable[[Work], None]]:
    """Register the function below as a submission with the verdict that it must get."""

    def register(build: Callable[[Work], None]) -> Callable[[Work], None]:
        name = build.__name__
        assert name not in SUBMISSIONS, f"two submissions are named {name}"
        assert build.__doc__, f"{name} does not say what it tries"
        if says is not None:
            re.compile(says)
        SUBMISSIONS[name] = Submission(
            name=name,
            kind=build.__module__.rpartition(".")[2],
            tries=" ".join(build.__doc__.split()),
            points=points,
            says=says,
            hides=(hides,) if isinstance(hides, str) else hides,
            forges=forges,
            student=student or name,
            build=build,
        )
        return build

    return register


def search(what: str = marks.CANARY) -> str:
    """Source of ``found(text)``: the canaries in a text, without holding one itself."""
    halves = repr(what[:6]) + " " + repr(what[6:] + r"-[\w-]+")
    return f"""
        import re
        def found(text):
            if isinstance(text, bytes):
                text = text.decode("latin-1")
            return re.findall({halves}, text)
        """
