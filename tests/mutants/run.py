"""A chapter's checks against every mutant of its reference; ``main`` is the command line."""

import argparse
import ast
import contextlib
import difflib
import importlib
import inspect
import io
import itertools
import multiprocessing
import os
import resource
import signal
import sys
import tomllib
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from rich.console import Console
from rich.table import Table

from tests.mutants import helpers
from tests.mutants.operators import Mutant, mutants, plain
from tutor import ROOT
from tutor.checks import CHAPTERS, EXERCISES, PUBLIC_SEED, Exercise, judge, of_chapter


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
        """The exercises that judge a function."""
        return self.particulars.HELPERS.get(function, (function,))


def chapters() -> dict[str, Chapter]:
    """Those that have exercises, by their word."""
    with_exercises = (Chapter(name) for name, exercises in CHAPTERS.items() if exercises)
    return {chapter.word: chapter for chapter in with_exercises}


SEEDS = (PUBLIC_SEED, 1, 2, 3, 4)
"""The first, which students see, must kill a mutant; an equivalent must live through all."""

SECONDS = 5
BYTES = 4 * 2**30
"""Time, and memory beyond an idle worker's, for one mutant; more is a kill."""


@dataclass(frozen=True)
class Task:
    chapter: Chapter
    mutant: Mutant
    exercise: str

    @property
    def row(self) -> tuple[str, str]:
        return self.mutant.function, self.exercise

    @property
    def diff(self) -> str:
        """The lines that differ, as in a unified diff without its head and its context."""
        lines = difflib.ndiff(
            functions(self.chapter)[self.mutant.function].splitlines(),
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

    def rows(self, chapter: Chapter) -> tuple[tuple[str, str], ...]:
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
    """Name and source of each function to be mutated."""
    nodes = [n for n in module(chapter).body if isinstance(n, ast.FunctionDef)]
    wanted = {*chapter.exercises, *chapter.particulars.HELPERS}
    return {n.name: ast.unparse(n) for n in nodes if n.name in wanted}


def namespace(
    chapter: Chapter, function: str, source: str, names: dict[str, Any]
) -> dict[str, Any]:
    """The chapter's module, afresh, with another ``source`` of the one function."""
    new = ast.parse(source).body[0]
    body = [new if getattr(n, "name", None) == function else n for n in module(chapter).body]
    space = {**vars(helpers), **names, "__name__": "mutant"}
    tree = ast.fix_missing_locations(ast.Module(body, []))
    exec(compile(tree, "<mutant>", "exec"), space)
    return space


def tasks(chapter: Chapter) -> Iterator[Task]:
    library = chapter.particulars.LIBRARY
    for name, source in functions(chapter).items():
        for exercise in chapter.through(name):
            run = partial(_run_cases, chapter, name, EXERCISES[exercise])
            for mutant in mutants(source, run, EXERCISES[exercise], library.get(name, ())):
                yield Task(chapter, mutant, exercise)


def _run_cases(
    chapter: Chapter, function: str, exercise: Exercise, source: str, names: dict[str, Any]
) -> None:
    space = namespace(chapter, function, source, names)
    generator = torch.Generator().manual_seed(PUBLIC_SEED)
    for case in exercise.cases(generator, torch.device("cpu")):
        if case.raises is None:
            space[exercise.name](*case.args)


# Each in a process that is made ready by `_begin`


def _begin() -> None:
    # The first operation on the meta device imports it, where the alarm may strike.
    importlib.import_module("torch._dynamo")
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # torch's, about what a mutant does
    signal.signal(signal.SIGALRM, _too_long)
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
    # Again and again: the judge takes the first alarm for the mutant's own exception.
    signal.setitimer(signal.ITIMER_REAL, SECONDS, 0.05)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def lives(task: Task) -> bool:
    """Whether it earns full marks."""
    # Traps only name a fault that was found.
    exercise = replace(EXERCISES[task.exercise], traps=())
    # What the first cases refuse, all cases refuse; most mutants go no further.
    few = replace(exercise, cases=lambda *a: itertools.islice(exercise.cases(*a), 3))
    try:
        with _time_limit():
            space = namespace(task.chapter, task.mutant.function, task.mutant.source, {})
            return all(judge(e, space[task.exercise]).passed for e in (few, exercise))
    except (TimeoutError, MemoryError):
        return False


def lives_on(task: Task) -> bool:
    """Whether it earns full marks whatever the numbers."""
    exercise = replace(EXERCISES[task.exercise], traps=())
    space = namespace(task.chapter, task.mutant.function, task.mutant.source, {})
    return all(judge(exercise, space[task.exercise], seed).passed for seed in SEEDS)


def is_held(task: Task) -> bool:
    """Whether the tests of the reference refuse it."""
    reference, tests = task.chapter.reference, task.chapter.tests
    kept = dict(vars(reference))
    space = namespace(task.chapter, task.mutant.function, task.mutant.source, {})
    vars(reference).update({name: space[name] for name in functions(task.chapter)})
    sys.modules.pop(tests.stem, None)  # it imports the functions by their names
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            code = pytest.main(["-x", "-q", "-p", "no:cacheprovider", "-k", "refused", str(tests)])
    finally:
        vars(reference).update(kept)
    return code == pytest.ExitCode.TESTS_FAILED


def traps_named(name: str) -> int:
    """How many traps of an exercise are refused and called by their names."""
    exercise = EXERCISES[name]
    return sum(
        all(judge(exercise, f).traps == (t.name,) for f in t.functions) for t in exercise.traps
    )


# The verdict


@dataclass(frozen=True)
class Outcome:
    chapter: Chapter
    counts: dict[tuple[str, str], Counter]
    traps: dict[str, tuple[int, int]]
    """Named and all, by exercise."""
    equivalents: list[Equivalent]
    problems: list[str]


def put_through(chapter: Chapter, processes: int) -> Outcome:
    known, problems = equivalents(chapter), []
    todo, exercises = list(tasks(chapter)), chapter.exercises
    with multiprocessing.get_context("spawn").Pool(processes, _begin) as pool:
        living = [t for t, live in zip(todo, pool.map(lives, todo, 16), strict=True) if live]
        by_key = {(t.row, t.diff): t for t in living}
        claims = [(e, by_key.get((row, e.diff)), row) for e in known for row in e.rows(chapter)]
        explained = [(e, t) for e, t, _ in claims if t]
        steady = pool.map(lives_on, [t for _, t in explained], 1)
        bad_input = list({t.mutant: t for e, t in explained if e.bad_input}.values())
        held = pool.map(is_held, bad_input, 1)
        named = dict(zip(exercises, pool.map(traps_named, exercises, 1), strict=True))

    for e, t, row in claims:
        if t is None:
            problems.append(f"No mutant of {row[0]} that {row[1]} lets live bears out\n{e.diff}")
    for (_, t), passed in zip(explained, steady, strict=True):
        if not passed:
            problems.append(f"Not equivalent with other numbers, in {t.exercise}:\n{t.diff}")
    for t, refused in zip(bad_input, held, strict=True):
        if not refused:
            problems.append(f"{chapter.tests.name} does not notice it on bad input:\n{t.diff}")
    accounted = {(t.row, t.diff) for _, t in explained}
    for key, t in by_key.items():
        if key not in accounted:
            problems.append(
                f"Survivor: {t.exercise} gives full marks to {t.mutant.function} with\n{t.diff}"
            )
    traps = {name: (named[name], len(e.traps)) for name, e in exercises.items()}
    problems += [f"Not all traps of {n} are named" for n, (got, of) in traps.items() if got < of]

    counts: dict[tuple[str, str], Counter] = defaultdict(Counter)
    for t in todo:
        counts[t.row].update(["mutants", t.mutant.origin])
    for key, t in by_key.items():
        counts[t.row]["equivalent" if key in accounted else "survivors"] += 1
    for c in counts.values():
        c["killed"] = c["mutants"] - c["equivalent"] - c["survivors"]
    return Outcome(chapter, dict(counts), traps, known, problems)


# Telling it

COLUMNS = ("mutants", "cosmic-ray", "tensor", "killed", "equivalent", "survivors")


def rows(outcome: Outcome) -> list[list[str]]:
    table = []
    for (function, exercise), c in outcome.counts.items():
        name = function if function == exercise else f"{function}, in {exercise}"
        traps = (
            ""
            if function in outcome.chapter.particulars.HELPERS
            else "{} of {}".format(*outcome.traps[exercise])
        )
        table.append([name, *(str(c[column]) for column in COLUMNS), traps])
    total = sum(outcome.counts.values(), Counter())
    traps = "{} of {}".format(*map(sum, zip(*outcome.traps.values(), strict=True)))
    return [*table, ["all", *(str(total[column]) for column in COLUMNS), traps]]


HEAD = (
    "function",
    "mutants",
    "cosmic-ray's",
    "ours",
    "killed",
    "equivalent",
    "survivors",
    "traps named",
)

PREFACE = """\
# Mutants of chapter {number} against its checks

Written by `python -m tests.mutants` (`make mutants`). Each mutant of a reference function is
judged as if a student had handed it in, and is killed if it does not earn full marks.
cosmic-ray's operators, and ours for tensors (`tests/mutants/operators.py`); each mutant once.
The last column: known wrong answers that the check refuses and calls by their names.
"""


def markdown(outcome: Outcome) -> str:
    lines = [
        PREFACE.format(number=outcome.chapter.number),
        _line(HEAD),
        _line(["---", *["---:"] * (len(HEAD) - 1)]),
    ]
    lines += [_line(row) for row in rows(outcome)]
    lines += ["", "## Equivalent", "", "Mutants that earn full marks, and why that is right."]
    for function, entries in itertools.groupby(outcome.equivalents, lambda e: e.function):
        lines += ["", f"### {function}"]
        for e in entries:
            where = f" In {', '.join(e.through)}:" if e.through else ""
            lines += ["", "```diff", e.diff, "```", "", f"{where} {e.why}".strip()]
    return "\n".join(lines) + "\n"


def _line(cells: Any) -> str:
    return "| " + " | ".join(cells) + " |"


def main(arguments: list[str] | None = None) -> int:
    known = chapters()
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare with the table, do not write")
    parser.add_argument("--processes", type=int, default=min(os.cpu_count() or 1, 8))
    parser.add_argument("word", nargs="*", help="a chapter's, such as attention; default: all")
    options = parser.parse_args(arguments)
    if unknown := set(options.word) - set(known):
        parser.error(f"no chapter {', '.join(sorted(unknown))}; there are: {', '.join(known)}")

    wrong = False
    console = Console(width=None if sys.stdout.isatty() else 120)
    for chapter in [known[word] for word in options.word or known]:
        outcome = put_through(chapter, options.processes)
        _show(console, outcome)
        if outcome.problems:
            wrong = True
        elif not options.check:
            chapter.results.parent.mkdir(parents=True, exist_ok=True)
            chapter.results.write_text(markdown(outcome))
            console.print(f"Written: {chapter.results.relative_to(ROOT)}")
        elif not chapter.results.exists() or chapter.results.read_text() != markdown(outcome):
            stale = chapter.results.relative_to(ROOT)
            console.print(f"{stale} is out of date: run `make mutants`.", style="red")
            wrong = True
    return int(wrong)


def _show(console: Console, outcome: Outcome) -> None:
    table = Table(title=f"Mutants of chapter {outcome.chapter.number} against its checks")
    for i, name in enumerate(HEAD):
        table.add_column(name, justify="right" if i else "left")
    for row in rows(outcome):
        table.add_row(*row)
    console.print(table)
    for problem in outcome.problems:
        console.print(f"\n{problem}", markup=False, highlight=False, style="red")
