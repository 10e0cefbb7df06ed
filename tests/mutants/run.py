"""A chapter's checks against every mutant of its reference."""

import ast
import contextlib
import copy
import difflib
import importlib
import inspect
import io
import itertools
import resource
import signal
import sys
import tomllib
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache, partial
from multiprocessing.pool import Pool
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from tests.mutants import helpers
from tests.mutants.operators import Mutant, mutants, plain
from tutor import ROOT
from tutor.checks import CHAPTERS, PUBLIC_SEED, Exercise, judge, of_chapter
from tutor.checks.candidate import LocalCandidate
from tutor.checks.trace import play

Row = tuple[str, str]
"""A function, or a method as Class.method, and the exercise that judges its mutants."""


@dataclass(frozen=True)
class Chapter:
    """Where a chapter's reference, its tests, and what is known of its mutants are."""

    name: str
    """Such as 03_attention."""

    @property
    def number(self) -> int:
        return int(self.name.partition("_")[0])

    @property
    def word(self) -> str:
        return self.name.partition("_")[2]

    @property
    def exercises(self) -> dict[str, Exercise]:
        return of_chapter(self.name)

    @property
    def reference(self) -> ModuleType:
        return importlib.import_module(f"tutor.{self.word}")

    @property
    def checks(self) -> ModuleType:
        return importlib.import_module(f"tutor.checks.{self.word}")

    @property
    def particulars(self) -> ModuleType:
        return importlib.import_module(f"tests.mutants.of_{self.word}")

    @property
    def tests(self) -> Path:
        return ROOT / "tests" / f"test_{self.word}.py"

    @property
    def equivalents(self) -> Path:
        return Path(__file__).with_name(f"equivalents_{self.word}.toml")

    @property
    def results(self) -> Path:
        return ROOT / "benchmarks" / "results" / f"mutants_{self.word}.md"

    def through(self, function: str) -> tuple[str, ...]:
        """The exercises that judge a function, or a method."""
        return self.particulars.HELPERS.get(function, (function.partition(".")[0],))


def chapters() -> dict[str, Chapter]:
    """Those that have exercises, by their word, and the one that is there for the tests."""
    with_exercises = [Chapter(name) for name, exercises in CHAPTERS.items() if exercises]
    state = importlib.import_module("tests.course_with_state.mutants").STATE
    return {chapter.word: chapter for chapter in (*with_exercises, state)}


SEEDS = (PUBLIC_SEED, 1, 2, 3, 4)
"""The first, which students see, must kill a mutant; an equivalent must live through all."""

SECONDS = 5
BYTES = 4 * 2**30
"""Processor time, and memory beyond an idle worker's, for one mutant; more is a kill."""


@dataclass(frozen=True)
class Task:
    chapter: Chapter
    function: str
    mutant: Mutant
    exercise: str

    @property
    def judged(self) -> Exercise:
        """Without the traps: they only name a fault that was found."""
        return replace(self.chapter.exercises[self.exercise], traps=())

    @property
    def space(self) -> dict[str, Any]:
        return namespace(self.chapter, self.function, self.mutant.source, {})

    @property
    def diff(self) -> str:
        """The lines that differ, as in a unified diff without its head and its context."""
        lines = difflib.ndiff(
            functions(self.chapter)[self.function].splitlines(),
            self.mutant.source.splitlines(),
        )
        return "\n".join(f"{line[0]} {line[2:].strip()}" for line in lines if line[0] in "+-")


@dataclass(frozen=True)
class Equivalent:
    """A mutant that is no fault, or none that an exercise asks about, and why."""

    function: str
    diff: str
    why: str
    through: tuple[str, ...] = ()
    """The exercises in which it is none; all that judge the function if empty."""
    bad_input: bool = False
    """It differs on bad input alone, and the tests of the reference must fail on it."""

    def rows(self, chapter: Chapter) -> tuple[Row, ...]:
        exercises = self.through or chapter.through(self.function)
        return tuple((self.function, exercise) for exercise in exercises)


def equivalents(chapter: Chapter) -> list[Equivalent]:
    entries = tomllib.loads(chapter.equivalents.read_text())["equivalent"]
    return [
        Equivalent(**{**e, "diff": e["diff"].strip(), "through": tuple(e.get("through", ()))})
        for e in entries
    ]


# The mutants


@cache
def module(chapter: Chapter) -> ast.Module:
    return plain(ast.parse(inspect.getsource(chapter.reference)))


@cache
def functions(chapter: Chapter) -> dict[str, str]:
    """Name and source of each function to be mutated, and of each method of a class."""
    wanted = {*chapter.exercises, *chapter.particulars.HELPERS}
    found = {}
    for node in module(chapter).body:
        if isinstance(node, ast.FunctionDef):
            found[node.name] = node
        elif isinstance(node, ast.ClassDef) and node.name in wanted:
            methods = [n for n in node.body if isinstance(n, ast.FunctionDef)]
            wanted |= {f"{node.name}.{n.name}" for n in methods}
            found |= {f"{node.name}.{n.name}": n for n in methods}
    return {name: ast.unparse(node) for name, node in found.items() if name in wanted}


def namespace(
    chapter: Chapter, function: str, source: str, names: dict[str, Any]
) -> dict[str, Any]:
    """The chapter's module, afresh, with another ``source`` of the one function."""
    tree = _with(module(chapter), function.split("."), ast.parse(source).body[0])
    space = {**vars(helpers), **names, "__name__": "mutant"}
    exec(compile(ast.fix_missing_locations(tree), "<mutant>", "exec"), space)
    return space


def _with(tree: Any, path: list[str], new: ast.stmt) -> Any:
    """A copy in which ``new`` stands where the path of names leads."""
    name, *rest = path
    tree = copy.copy(tree)
    tree.body = [
        n if getattr(n, "name", None) != name else _with(n, rest, new) if rest else new
        for n in tree.body
    ]
    return tree


def rows(chapter: Chapter) -> list[Row]:
    return [(name, e) for name in functions(chapter) for e in chapter.through(name)]


def first_of(chapter: Chapter, exercise: str) -> str:
    """The function of an exercise, or the first method."""
    return next(name for name in functions(chapter) if name.partition(".")[0] == exercise)


def tasks(chapter: Chapter, row: Row) -> list[Task]:
    """Each mutant of the row's function, once."""
    name, exercise = row[0], chapter.exercises[row[1]]
    run = partial(_run_cases, chapter, name, exercise)
    library = chapter.particulars.LIBRARY.get(name, ())
    made = mutants(functions(chapter)[name], run, exercise, library)
    return [Task(chapter, name, mutant, row[1]) for mutant in made]


def _run_cases(
    chapter: Chapter, function: str, exercise: Exercise, source: str, names: dict[str, Any]
) -> None:
    space = namespace(chapter, function, source, names)
    generator = torch.Generator().manual_seed(PUBLIC_SEED)
    for case in exercise.cases(generator, torch.device("cpu")):
        if case.raises is None:
            play(LocalCandidate(space[exercise.name]), exercise, case)


# Each in a process that is made ready by `begin`


def begin() -> None:
    # The first operation on the meta device imports it, where the alarm may strike.
    importlib.import_module("torch._dynamo")
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # torch's, about what a mutant does
    for limit in (signal.SIGPROF, signal.SIGALRM):
        signal.signal(limit, _too_long)
    statm = Path("/proc/self/statm")
    if statm.exists():
        in_use = int(statm.read_text().split()[0]) * resource.getpagesize()
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        enough = in_use + BYTES if hard < 0 else min(in_use + BYTES, hard)
        resource.setrlimit(resource.RLIMIT_AS, (enough, hard))


def _too_long(*_: Any) -> None:
    raise TimeoutError


@contextlib.contextmanager
def _time_limit() -> Iterator[None]:
    # Again and again: the judge takes the first alarm for the mutant's own exception. The second
    # limit is for a mutant that sleeps: a busy machine kills none that is right.
    signal.setitimer(signal.ITIMER_PROF, SECONDS, 0.05)
    signal.setitimer(signal.ITIMER_REAL, 20 * SECONDS, 0.05)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)


def lives(task: Task) -> bool:
    """Whether it earns full marks."""
    exercise = task.judged
    # What the first cases refuse, all cases refuse; most mutants go no further.
    few = replace(exercise, cases=lambda *a: itertools.islice(exercise.cases(*a), 3))
    try:
        with _time_limit():
            candidate = task.space[task.exercise]
            return all(judge(e, candidate).passed for e in (few, exercise))
    except (TimeoutError, MemoryError):
        return False


def lives_on(task: Task) -> bool:
    """Whether it earns full marks whatever the numbers."""
    candidate = task.space[task.exercise]
    return all(judge(task.judged, candidate, seed).passed for seed in SEEDS)


def is_held(task: Task) -> bool:
    """Whether the tests of the reference refuse it."""
    reference, tests = task.chapter.reference, task.chapter.tests
    kept = dict(vars(reference))
    space, named = task.space, {name.partition(".")[0] for name in functions(task.chapter)}
    vars(reference).update({name: space[name] for name in named})
    sys.modules.pop(tests.stem, None)  # it imports the functions by their names
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            code = pytest.main(["-x", "-q", "-p", "no:cacheprovider", "-k", "refused", str(tests)])
    finally:
        vars(reference).update(kept)
    return code == pytest.ExitCode.TESTS_FAILED


def traps_named(chapter: Chapter, name: str) -> int:
    """How many traps of an exercise are refused and called by their names."""
    exercise = chapter.exercises[name]
    return sum(
        all(judge(exercise, f).traps == (t.name,) for f in t.functions) for t in exercise.traps
    )


# The verdict


@dataclass(frozen=True)
class Outcome:
    """What became of one function's mutants in one exercise."""

    counts: dict[str, int]
    """By the columns of the table."""
    traps: tuple[int, int] | None
    """Of the exercise, named and all; None for a helper, which has none."""
    problems: list[str]


COLUMNS = ("mutants", "cosmic-ray", "tensor", "killed", "equivalent", "survivors")


def put_through(chapter: Chapter, row: Row, pool: Pool) -> Outcome:
    """Judge all mutants of a row in the processes of the pool."""
    function, exercise = row
    todo = pool.apply(tasks, (chapter, row))
    alive = pool.map(lives, todo, 4)
    living = {t.diff: t for t, live in zip(todo, alive, strict=True) if live}
    claims = [e for e in equivalents(chapter) if row in e.rows(chapter)]
    explained = [(e, living[e.diff]) for e in claims if e.diff in living]
    steady = pool.map(lives_on, [t for _, t in explained], 1)
    bad_input = [t for e, t in explained if e.bad_input]
    held = pool.map(is_held, bad_input, 1)

    problems = [
        f"No mutant of {function} that {exercise} lets live bears out\n{e.diff}"
        for e in claims
        if e.diff not in living
    ]
    for (_, t), passed in zip(explained, steady, strict=True):
        if not passed:
            problems.append(f"Not equivalent with other numbers, in {exercise}:\n{t.diff}")
    for t, refused in zip(bad_input, held, strict=True):
        if not refused:
            problems.append(f"{chapter.tests.name} does not notice it on bad input:\n{t.diff}")
    accounted = {t.diff for _, t in explained}
    for diff in living:
        if diff not in accounted:
            problems.append(f"Survivor: {exercise} gives full marks to {function} with\n{diff}")
    traps = None
    if function == first_of(chapter, exercise):
        known = len(chapter.exercises[exercise].traps)
        traps = pool.apply(traps_named, (chapter, exercise)), known
        if traps[0] < traps[1]:
            problems.append(f"Not all traps of {exercise} are named")

    counts = Counter(mutants=len(todo), equivalent=len(accounted))
    counts.update(t.mutant.origin for t in todo)
    counts["survivors"] = len(living) - len(accounted)
    counts["killed"] = len(todo) - len(living)
    return Outcome({column: counts[column] for column in COLUMNS}, traps, problems)
