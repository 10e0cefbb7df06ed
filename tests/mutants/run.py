"""The checks against every mutant of chapter 3's reference; ``main`` is the command line."""

import argparse
import ast
import contextlib
import difflib
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
from typing import Any

import pytest
import torch
from rich.console import Console
from rich.table import Table

from tests.mutants import helpers
from tests.mutants.operators import Mutant, mutants, plain
from tutor import attention
from tutor.checks import EXERCISES, PUBLIC_SEED, Exercise, judge

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "benchmarks" / "results" / "mutants_attention.md"
EQUIVALENTS = Path(__file__).with_name("equivalents.toml")
TESTS = ROOT / "tests" / "test_attention.py"

HELPERS = {
    "attention_weights": ("scaled_dot_product_attention", "self_attention", "attention_backward")
}
"""What is no exercise, and the exercises through which it is judged: each must notice."""

SEEDS = (PUBLIC_SEED, 1, 2, 3, 4)
"""The first, which students see, must kill a mutant; an equivalent must live through all."""

SECONDS = 5
BYTES = 4 * 2**30
"""Time, and memory beyond an idle worker's, for one mutant; more is a kill."""


@dataclass(frozen=True)
class Task:
    mutant: Mutant
    exercise: str

    @property
    def row(self) -> tuple[str, str]:
        return self.mutant.function, self.exercise

    @property
    def diff(self) -> str:
        """The lines that differ, as in a unified diff without its head and its context."""
        lines = difflib.ndiff(
            functions()[self.mutant.function].splitlines(), self.mutant.source.splitlines()
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

    @property
    def rows(self) -> tuple[tuple[str, str], ...]:
        exercises = self.through or HELPERS.get(self.function, (self.function,))
        return tuple((self.function, exercise) for exercise in exercises)


def equivalents() -> list[Equivalent]:
    entries = tomllib.loads(EQUIVALENTS.read_text())["equivalent"]
    return [
        Equivalent(**{**e, "diff": e["diff"].strip(), "through": tuple(e.get("through", ()))})
        for e in entries
    ]


# The mutants


@cache
def module() -> ast.Module:
    return plain(ast.parse(inspect.getsource(attention)))


@cache
def functions() -> dict[str, str]:
    """Name and source of each function to be mutated."""
    nodes = [n for n in module().body if isinstance(n, ast.FunctionDef)]
    return {n.name: ast.unparse(n) for n in nodes if n.name in EXERCISES or n.name in HELPERS}


def namespace(function: str, source: str, names: dict[str, Any]) -> dict[str, Any]:
    """The chapter's module, afresh, with another ``source`` of the one function."""
    new = ast.parse(source).body[0]
    body = [new if getattr(n, "name", None) == function else n for n in module().body]
    space = {**vars(helpers), **names, "__name__": "mutant"}
    tree = ast.fix_missing_locations(ast.Module(body, []))
    exec(compile(tree, "<mutant>", "exec"), space)
    return space


def tasks() -> Iterator[Task]:
    for name, source in functions().items():
        for exercise in HELPERS.get(name, (name,)):
            run = partial(_run_cases, name, EXERCISES[exercise])
            for mutant in mutants(source, run, EXERCISES[exercise]):
                yield Task(mutant, exercise)


def _run_cases(function: str, exercise: Exercise, source: str, names: dict[str, Any]) -> None:
    space = namespace(function, source, names)
    generator = torch.Generator().manual_seed(PUBLIC_SEED)
    for case in exercise.cases(generator, torch.device("cpu")):
        if case.raises is None:
            space[exercise.name](*case.args)


# Each in a process that is made ready by `_begin`


def _begin() -> None:
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
            space = namespace(task.mutant.function, task.mutant.source, {})
            return all(judge(e, space[task.exercise]).passed for e in (few, exercise))
    except (TimeoutError, MemoryError):
        return False


def lives_on(task: Task) -> bool:
    """Whether it earns full marks whatever the numbers."""
    exercise = replace(EXERCISES[task.exercise], traps=())
    space = namespace(task.mutant.function, task.mutant.source, {})
    return all(judge(exercise, space[task.exercise], seed).passed for seed in SEEDS)


def is_held(task: Task) -> bool:
    """Whether the tests of the reference refuse it."""
    kept = dict(vars(attention))
    space = namespace(task.mutant.function, task.mutant.source, {})
    vars(attention).update({name: space[name] for name in functions()})
    sys.modules.pop(TESTS.stem, None)  # it imports the functions by their names
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            code = pytest.main(["-x", "-q", "-p", "no:cacheprovider", "-k", "refused", str(TESTS)])
    finally:
        vars(attention).update(kept)
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
    counts: dict[tuple[str, str], Counter]
    traps: dict[str, tuple[int, int]]
    """Named and all, by exercise."""
    equivalents: list[Equivalent]
    problems: list[str]


def put_through(processes: int) -> Outcome:
    known, problems = equivalents(), []
    todo = list(tasks())
    with multiprocessing.get_context("spawn").Pool(processes, _begin) as pool:
        living = [t for t, live in zip(todo, pool.map(lives, todo, 16), strict=True) if live]
        by_key = {(t.row, t.diff): t for t in living}
        claims = [(e, by_key.get((row, e.diff)), row) for e in known for row in e.rows]
        explained = [(e, t) for e, t, _ in claims if t]
        steady = pool.map(lives_on, [t for _, t in explained], 1)
        bad_input = list({t.mutant: t for e, t in explained if e.bad_input}.values())
        held = pool.map(is_held, bad_input, 1)
        named = dict(zip(EXERCISES, pool.map(traps_named, EXERCISES, 1), strict=True))

    for e, t, row in claims:
        if t is None:
            problems.append(f"No mutant of {row[0]} that {row[1]} lets live bears out\n{e.diff}")
    for (_, t), passed in zip(explained, steady, strict=True):
        if not passed:
            problems.append(f"Not equivalent with other numbers, in {t.exercise}:\n{t.diff}")
    for t, refused in zip(bad_input, held, strict=True):
        if not refused:
            problems.append(f"{TESTS.name} does not notice it on bad input:\n{t.diff}")
    accounted = {(t.row, t.diff) for _, t in explained}
    for key, t in by_key.items():
        if key not in accounted:
            problems.append(
                f"Survivor: {t.exercise} gives full marks to {t.mutant.function} with\n{t.diff}"
            )
    traps = {name: (named[name], len(EXERCISES[name].traps)) for name in EXERCISES}
    problems += [f"Not all traps of {n} are named" for n, (got, of) in traps.items() if got < of]

    counts: dict[tuple[str, str], Counter] = defaultdict(Counter)
    for t in todo:
        counts[t.row].update(["mutants", t.mutant.origin])
    for key, t in by_key.items():
        counts[t.row]["equivalent" if key in accounted else "survivors"] += 1
    for c in counts.values():
        c["killed"] = c["mutants"] - c["equivalent"] - c["survivors"]
    return Outcome(dict(counts), traps, known, problems)


# Telling it

COLUMNS = ("mutants", "cosmic-ray", "tensor", "killed", "equivalent", "survivors")


def rows(outcome: Outcome) -> list[list[str]]:
    table = []
    for (function, exercise), c in outcome.counts.items():
        name = function if function == exercise else f"{function}, in {exercise}"
        traps = "" if function in HELPERS else "{} of {}".format(*outcome.traps[exercise])
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
# Mutants of chapter 3 against its checks

Written by `python -m tests.mutants` (`make mutants`). Each mutant of a reference function is
judged as if a student had handed it in, and is killed if it does not earn full marks.
cosmic-ray's operators, and ours for tensors (`tests/mutants/operators.py`); each mutant once.
The last column: known wrong answers that the check refuses and calls by their names.
"""


def markdown(outcome: Outcome) -> str:
    lines = [PREFACE, _line(HEAD), _line(["---", *["---:"] * (len(HEAD) - 1)])]
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
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare with the table, do not write")
    parser.add_argument("--processes", type=int, default=min(os.cpu_count() or 1, 8))
    options = parser.parse_args(arguments)

    outcome = put_through(options.processes)
    console = Console(width=None if sys.stdout.isatty() else 120)
    table = Table(title="Mutants of chapter 3 against its checks")
    for i, name in enumerate(HEAD):
        table.add_column(name, justify="right" if i else "left")
    for row in rows(outcome):
        table.add_row(*row)
    console.print(table)
    for problem in outcome.problems:
        console.print(f"\n{problem}", markup=False, highlight=False, style="red")
    if outcome.problems:
        return 1
    text = markdown(outcome)
    if not options.check:
        RESULTS.parent.mkdir(parents=True, exist_ok=True)
        RESULTS.write_text(text)
        console.print(f"Written: {RESULTS.relative_to(ROOT)}")
    elif not RESULTS.exists() or RESULTS.read_text() != text:
        console.print(
            f"{RESULTS.relative_to(ROOT)} is out of date: run `make mutants`.", style="red"
        )
        return 1
    return 0
