"""Whether the draw decides: every known answer, right and wrong, with 200 seeds.

    python -m tests.seeds [NAME ...]            write the table to benchmarks/results/seeds.md
    python -m tests.seeds [NAME ...] --check    make only the rows that were made from what is
                                                different now, and compare with the table there
    python -m tests.seeds --first 20 [...]      with fewer seeds; the table says so

A student sees one seed and is graded with another, so an answer must get the same points, group by
group, with all of them. A right one must besides stay within half of what is allowed for rounding
in half precision: otherwise one draw in some thousands, somebody's hidden cases, refuses it. And a
trap must be called by its name. NAME: of an exercise, or a chapter's word such as attention.
"""

import argparse
import multiprocessing
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from benchmarks import content
from tests.mutants import table as mutants
from tests.mutants.run import Chapter
from tutor import ROOT
from tutor.checks import CHAPTERS, EXERCISES, PUBLIC_SEED, judge
from tutor.checks.compare import TOLERANCE
from tutor.checks.exercise import Case, Exercise
from tutor.checks.report import Report

sys.path.insert(0, str(ROOT / "tests"))
import answers

RESULT = ROOT / "benchmarks" / "results" / "seeds.md"
SEEDS = (PUBLIC_SEED, *range(1, 200))
CASES_DECIDE = ("values", "edges", "gradients")
NAMED = 1
"""Of the other seeds, with which a trap's name is looked for: that takes longer than its points.
With the first the run of the mutants does."""

SO_FAR = "So far"
"""What the table says of itself until every verdict has been made."""

PREFACE = f"""\
# The same points with every seed

Written by `python -m tests.seeds`. Each answer is judged with {len(SEEDS)} seeds, the one that
students see first: right ones (the reference, and those of `tests/answers`), the traps of the
exercise, and other wrong ones. Verdicts that differ between seeds would let the draw decide. Right
ones keep within half of the tolerance of half precision. With {NAMED} of the other seeds each trap
was called by its name; with the first the tables of mutants tell.
"""
HEAD = ("exercise", "right", "traps", "wrong", "seeds", "that differ", "made from")


def known(name: str) -> dict[str, tuple[str, Callable[..., Any]]]:
    """Every answer to an exercise: its kind, and the function, by a name that is its own."""
    exercise = EXERCISES[name]
    found = {"reference": ("right", exercise.reference)}
    kinds = {
        "right": answers.RIGHT[name],
        "traps": [f for trap in exercise.traps for f in trap.functions],
        "wrong": [*answers.WRONG[name], *answers.DEAR.get(name, [])],
    }
    for kind, functions in kinds.items():
        for n, function in enumerate(functions):
            found[f"{kind} {n}: {function.__name__}"] = (kind, function)
    return found


def points(exercise: Exercise, answer: Callable[..., Any], seed: int) -> dict[str, int]:
    """What an answer earns with a seed, group by group."""
    return {v.group: v.earned for v in judged(exercise, answer, seed).verdicts}


def judged(exercise: Exercise, answer: Callable[..., Any], seed: int) -> Report:
    return judge(replace(exercise, traps=()), answer, seed)  # they only name what was found


def fatal(exercise: Exercise, report: Report) -> Exercise | None:
    """Of an answer that earns nothing, the exercise with those cases alone that cost it values,
    edges and gradients: what fails them earns nothing in all of them, either, since types and work
    count only where the values are right. None where it was no case that did."""
    failing = {v.group: v.failure for v in report.verdicts if v.group in CASES_DECIDE}
    labels = {failure.label for failure in failing.values() if failure}
    cases = exercise.cases(torch.Generator().manual_seed(0), torch.device("cpu"))
    found = {case.label for case in cases} & labels
    if report.points or not all(failing.values()) or found != labels:
        return None

    def chosen(generator: torch.Generator, device: torch.device) -> Iterator[Case]:
        yield from (c for c in exercise.cases(generator, device) if c.label in labels)

    return replace(
        exercise,
        cases=chosen,
        properties=(),
        points={group: exercise.points[group] for group in failing},
    )


@contextmanager
def half_the_tolerance() -> Iterator[None]:
    """What rounding may cost in float16 and bfloat16, halved."""
    usual = dict(TOLERANCE)
    TOLERANCE.update({d: TOLERANCE[d] / 2 for d in (torch.float16, torch.bfloat16)})
    try:
        yield
    finally:
        TOLERANCE.update(usual)


@dataclass(frozen=True)
class Outcome:
    counts: dict[str, int]
    """Answers by kind."""
    seeds: int
    differ: list[str]
    """Of an answer, what it earned with the first seed and with another; empty if all is well."""


def through_all(task: tuple[str, str, tuple[int, ...]]) -> str | None:
    """A sentence on the first seed with which an answer earns other points."""
    name, answer, seeds = task
    exercise, (kind, function) = EXERCISES[name], known(name)[answer]
    report = judged(exercise, function, seeds[0])
    first = {v.group: v.earned for v in report.verdicts}
    if (first == dict(exercise.points)) != (kind == "right"):
        return f"{name}, {answer}: {kind}, and it earns {first}"
    few = fatal(exercise, report)
    for seed in seeds[1:]:
        if few and not any(points(few, function, seed).values()):
            continue
        found = points(exercise, function, seed)
        if found != first:
            return f"{name}, {answer}: {first}, and with seed {seed} {found}"
    if kind == "right":
        with half_the_tolerance():
            for seed in seeds:
                if points(exercise, function, seed) != first:
                    return f"{name}, {answer}: too far from the right values with seed {seed}"
    if kind == "traps":
        (trap,) = (t.name for t in exercise.traps if function in t.functions)
        for seed in seeds[1 : 1 + NAMED]:
            if (called := judge(exercise, function, seed).traps) != (trap,):
                return f"{name}, {answer}: “{trap}”, and with seed {seed} called {called}"
    return None


def outcome(name: str, seeds: tuple[int, ...], found: list[str | None]) -> Outcome:
    kinds = [kind for kind, _ in known(name).values()]
    counts = {kind: kinds.count(kind) for kind in ("right", "traps", "wrong")}
    return Outcome(counts, len(seeds), [sentence for sentence in found if sentence])


def put_through(name: str, seeds: tuple[int, ...] = SEEDS, each: Any = map) -> Outcome:
    """``each``: ``map``, or that of a pool of processes."""
    return outcome(name, seeds, list(each(through_all, [(name, a, seeds) for a in known(name)])))


WORDS = {
    ROOT / "tutor" / "checks" / f"{word}.py" for word in ("diagnose", "exceptions", "relation")
}
"""What is said of a wrong answer: tests/checks/ looks at that. What it earns does not follow it."""


def digest(name: str) -> str:
    """Of all that its points depend on: the check, what it judges, and the answers."""
    chapter = Chapter(EXERCISES[name].chapter)
    files = mutants.files(chapter, (name, name))
    word = EXERCISES[name].chapter.partition("_")[2]
    theirs = ROOT / "tests" / "answers" / f"{word}.py"
    files |= {Path(__file__), *content.modules(theirs, listing=content.listing())}
    return content.digest(files - WORDS, [content.PYTHON, name])


def line(name: str, found: Outcome) -> str:
    cells = [name, *map(str, (*found.counts.values(), found.seeds, len(found.differ)))]
    return f"| {' | '.join((*cells, digest(name)))} |"


def committed() -> dict[str, list[str]]:
    """Cells of the committed table by exercise."""
    text = RESULT.read_text("utf-8") if RESULT.exists() else ""
    rows = [row[2:-2].split(" | ") for row in text.splitlines() if row.startswith("| ")]
    return {name: cells for name, *cells in rows[1:]}


def stale() -> list[str]:
    """Exercises whose row was made from something else."""
    there = committed()
    return [name for name in EXERCISES if there.get(name, [""])[-1] != digest(name)]


def _written(found: dict[str, Outcome]) -> str:
    there, rows = committed(), {}
    for name in EXERCISES:
        if name in found:
            rows[name] = line(name, found[name])
        elif name in there:
            rows[name] = f"| {' | '.join((name, *there[name]))} |"
    fewest = min(int(row.split(" | ")[4]) for row in rows.values())
    so_far = f"{SO_FAR}: {fewest} seeds and more of each exercise.\n"
    head = [f"| {' | '.join(HEAD)} |", "|---" + "|--:" * (len(HEAD) - 1) + "|"]
    notes = [so_far] if fewest < len(SEEDS) else []
    return "\n".join([PREFACE, *notes, *head, *rows.values()]) + "\n"


def _begin() -> None:
    torch.set_num_threads(1)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.seeds", description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare with the table, do not write")
    parser.add_argument("--first", type=int, default=len(SEEDS), help="only so many of the seeds")
    parser.add_argument("--processes", type=int, default=min(os.cpu_count() or 1, 8))
    parser.add_argument("name", nargs="*", help="an exercise, or a chapter's word; default: all")
    options = parser.parse_args(arguments)
    words = {
        chapter.partition("_")[2]: [e.name for e in part] for chapter, part in CHAPTERS.items()
    }
    unknown = [n for n in options.name if n not in EXERCISES and n not in words]
    if unknown:
        parser.error(f"no exercise and no chapter {', '.join(unknown)}")
    wanted = [n for word in options.name for n in words.get(word, [word])] or list(EXERCISES)
    wanted = [n for n in wanted if not options.check or n in stale()]

    wrong = False
    with multiprocessing.get_context("spawn").Pool(options.processes, _begin) as pool:
        for name, found in _found(wanted, SEEDS[: options.first], pool):
            print(line(name, found), *found.differ, sep="\n", flush=True)
            wrong = wrong or bool(found.differ)
            if not options.check and not found.differ:
                RESULT.write_text(_written({name: found}), encoding="utf-8")
    return int(wrong)


def _found(wanted: list[str], seeds: tuple[int, ...], pool: Any) -> Iterator[tuple[str, Outcome]]:
    for name in wanted:
        each = lambda function, tasks: pool.imap(function, tasks, chunksize=1)  # noqa: E731
        yield name, put_through(name, seeds, each)


if __name__ == "__main__":
    sys.exit(main())
