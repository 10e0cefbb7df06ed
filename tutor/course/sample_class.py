"""A class to try the grading on: python -m tutor.course.sample_class

Makes ``_build/class``: submissions from the exercise notebook, the solutions and the traps, and a
gradebook that knows the students and the date on which the exercise was due.
"""

import copy
import inspect
import math
import re
import shutil
import textwrap
import types
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import jupytext
import nbformat
import torch
from nbgrader.utils import is_solution

from tutor import ROOT
from tutor.checks import judge, of_chapter
from tutor.checks.exercise import Trap
from tutor.checks.names import names
from tutor.course.settings import open_gradebook

CHAPTER = "03_attention"
NOTEBOOK = "attention"
FOLDER = ROOT / "_build" / "class"
EXERCISES = of_chapter(CHAPTER)
TRAPPED = "scaled_dot_product_attention"

DUE, IN_TIME, LATE = "2026-03-02 18:00 UTC", "2026-03-02 09:30 UTC", "2026-03-04 07:15 UTC"
FIRST_HALF = ("stable_softmax", "attention_scores", "causal_mask", "padding_mask")
# Nothing else calls causal_mask, so the rest of that notebook must still be graded.
UNPARSABLE = {"causal_mask": "def causal_mask(num_queries, num_keys, device=None)\n    return None"}

# One for each of so many traps. All fictional, and none of them among the other students'.
# fmt: off
IN_A_TRAP = (
    "Ciro", "Dalia", "Emre", "Farah", "Goran", "Hana", "Ilse", "Jomo", "Kavi", "Lena", "Mirco",
    "Noor", "Odile", "Pavel", "Qadir", "Renzo", "Saskia", "Tariq", "Ulla", "Vikram", "Wanda",
    "Ximena", "Yusuf", "Zofia", "Anouk", "Bilal", "Celeste", "Dmitri",
)
# fmt: on


@dataclass(frozen=True)
class Student:
    name: str
    solved: tuple[str, ...] = tuple(EXERCISES)
    """Exercises with the solution pasted in; the others stay as they were given."""
    instead: Mapping[str, str] = field(default_factory=dict)
    """Exercise -> what the student wrote in its place."""
    trap: Trap | None = None
    timestamp: str | None = IN_TIME
    """None if nothing was handed in."""

    @property
    def id(self) -> str:
        return self.name.lower()


def students() -> Iterator[Student]:
    yield Student("Amara")
    yield Student("Bruno", solved=FIRST_HALF)
    for name, trap in zip(IN_A_TRAP, EXERCISES[TRAPPED].traps, strict=False):
        yield Student(name, instead={TRAPPED: source(trap.function, TRAPPED)}, trap=trap)
    yield Student("Rania", instead=UNPARSABLE)
    yield Student("Sven", solved=())
    yield Student("Tomoko", timestamp=LATE)
    yield Student("Uri", solved=(), timestamp=None)


def expected_grades() -> dict[str, dict[str, float]]:
    """Points by student and exercise, found without a notebook, a kernel or nbgrader."""
    grades = {}
    for student in students():
        written = set(student.solved) - set(student.instead)
        points = {n: float(e.total) if n in written else 0.0 for n, e in EXERCISES.items()}
        if student.trap:
            wrong = student.trap.function

            # The only other solution that builds on the trapped function.
            def self_attention(x, w_q, w_k, w_v, keep=None, wrong=wrong):
                return wrong(x @ w_q, x @ w_k, x @ w_v, keep)

            points[TRAPPED] = judge(EXERCISES[TRAPPED], wrong).points
            points["self_attention"] = judge(EXERCISES["self_attention"], self_attention).points
        grades[student.id] = points
    return grades


def solutions(chapter: str = CHAPTER) -> dict[str, str]:
    """Exercise -> its solution cell, without nbgrader's marks."""
    (source,) = (ROOT / "solutions" / chapter).glob("*.md")
    nb = jupytext.read(source)
    return {
        c.metadata.nbgrader.grade_id.removesuffix("-solution"): "\n".join(
            line for line in c.source.splitlines() if not line.strip().startswith("###")
        )
        for c in nb.cells
        if is_solution(c)
    }


def source(function: Callable, name: str) -> str:
    """Source of a function under another name, after the functions of the checks that it uses.

    Where another function made it, what it was made with stands in its text. Of a class it is all
    of its file, as there stand those that it is made of. TypeError if that cannot be written down.
    """
    if inspect.isclass(function):
        return f"{inspect.getsource(inspect.getmodule(function))}\n\n{name} = {function.__name__}"
    texts = _Texts()
    _write(function, name, texts)
    return "\n\n".join(texts.values())


class _Texts(dict[str, str]):
    """Texts by name, and the functions whose they are: two files may use a name for two things."""

    def __init__(self) -> None:
        self.functions: dict[str, Callable] = {}

    def name_of(self, function: Callable) -> str:
        """The name that it has here, or is to get."""
        name, n = function.__name__, 1
        while self.functions.setdefault(name, function) is not function:
            n += 1
            name = f"{function.__name__}_{n}"
        return name


def _write(function: Callable, name: str, texts: _Texts, within: tuple[Callable, ...] = ()) -> None:
    """Add its text to ``texts``, by name, after those of the functions that it uses; ``within``
    these, which may have a method's name: ``tanh`` is among the names of ``s.tanh()``."""
    made_with = inspect.getclosurevars(function).nonlocals
    text = textwrap.dedent(inspect.getsource(function))
    if not text.startswith(f"def {function.__name__}("):
        raise TypeError(f"{function.__qualname__} has no text of its own")
    known = {n: function.__globals__.get(n) for n in names(function.__code__)}
    used = list(known.values())
    for name_of, module in known.items():
        if isinstance(module, types.ModuleType) and module.__name__.startswith("tutor.checks."):
            used += [getattr(module, n) for n in re.findall(rf"\b{name_of}\.(\w+)", text)]
            text = re.sub(rf"\b{name_of}\.(\w+)", partial(_bare, module, texts), text)
    parts = [p for p in (*used, *(function.__defaults__ or ())) if _of_the_checks(p)]
    parts = [part for part in parts if part not in (function, *within)]
    for part in parts:
        if texts.name_of(part) not in texts:
            _write(part, texts.name_of(part), texts, (function, *within))
    for alias, part in function.__globals__.items():
        if part in parts and texts.name_of(part) != alias:
            # Not the keyword of that name; and of a parameter the default alone.
            parameter = alias in function.__code__.co_varnames
            before = "(?<==)" if parameter else r"(?<![\w.'\"])"
            text = re.sub(rf"{before}{alias}\b(?!\s*=[^=])", texts.name_of(part), text)
    for constant in re.findall(r"=([A-Z][A-Z_]*)\b", text):  # a default that has a name
        value = function.__globals__.get(constant)
        if isinstance(value, tuple) and constant not in texts:
            parts = "".join(f"{_written(part, texts)}, " for part in value)
            texts[constant] = f"{constant} = ({parts})"
    for variable, value in made_with.items():
        # Not the attribute of that name, nor the keyword: x.dtype, torch.ones(2, dtype=dtype).
        named = rf"(?<![\w.'\"]){variable}\b(?!\s*=[^=])"
        text = re.sub(named, _written(value, texts), text)
    texts[name] = text.replace(f"def {function.__name__}(", f"def {name}(", 1).strip()


def _bare(module: types.ModuleType, texts: _Texts, named: re.Match[str]) -> str:
    """Of module.name the name, as it stands in ``texts``."""
    value = getattr(module, named[1])
    return texts.name_of(value) if _of_the_checks(value) else named[1]


def _written(value: Any, texts: _Texts) -> str:
    if isinstance(value, dict):
        parts = (f"{k!r}: {_written(v, texts)}" for k, v in value.items())
        return "{" + ", ".join(parts) + "}"
    if isinstance(value, float) and not math.isfinite(value):
        return f"float('{value}')"
    if not callable(value):
        return repr(value)
    if getattr(torch, value.__name__, None) is value:
        return f"torch.{value.__name__}"
    if not _of_the_checks(value):
        raise TypeError(f"{value} has no text of its own")
    name = texts.name_of(value)
    if name not in texts:
        _write(value, name, texts)
    return name


def _of_the_checks(value: Any) -> bool:
    return isinstance(value, types.FunctionType) and value.__module__.startswith("tutor.checks.")


def make(folder: Path = FOLDER) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    given = nbformat.read(ROOT / "exercises" / CHAPTER / f"{NOTEBOOK}.ipynb", as_version=4)
    right = solutions()
    for student in students():
        if student.timestamp is None:
            continue
        nb = copy.deepcopy(given)
        written = {name: right[name] for name in student.solved} | student.instead
        for cell in filter(is_solution, nb.cells):
            name = cell.metadata.nbgrader.grade_id.removesuffix("-solution")
            cell.source = written.get(name, cell.source)
        place = folder / "submitted" / student.id / CHAPTER
        place.mkdir(parents=True)
        nbformat.write(nb, place / f"{NOTEBOOK}.ipynb")
        (place / "timestamp.txt").write_text(student.timestamp + "\n", encoding="utf-8")
    with open_gradebook(f"sqlite:///{folder / 'gradebook.db'}") as gradebook:
        gradebook.update_or_create_assignment(CHAPTER, duedate=DUE)
        for student in students():
            gradebook.update_or_create_student(student.id, first_name=student.name)


if __name__ == "__main__":
    make()
    print(f"wrote {FOLDER.relative_to(ROOT)}/submitted: {sum(1 for _ in students())} students")
