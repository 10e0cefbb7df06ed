"""The tables of the mutants, what each row was made from, and the command that makes them."""

import argparse
import inspect
import itertools
import json
import multiprocessing
import os
import re
import shutil
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import cache
from multiprocessing.pool import Pool
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks import content
from tests.mutants import helpers, operators, run
from tests.mutants.run import (
    COLUMNS,
    Chapter,
    Equivalent,
    Outcome,
    Row,
    chapters,
    equivalents,
    rows,
)
from tutor import ROOT
from tutor.checks import judge

KEPT = ROOT / "_build" / "mutants"
"""Rows that were proved on this machine, by digest: a run that was killed goes on behind them."""

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

MADE_FROM = """
## Made from

A digest of all that a row depends on; `make test` makes the row again where it is another one.
"""


# What a row depends on


def files(chapter: Chapter, row: Row) -> set[Path]:
    """The judge, the exercise, the reference, all that these import, and what makes the mutants."""
    code = {_file(judge), _file(chapter.reference), *_checks(chapter, row[1])}
    course = {path for path in code if ROOT / "tutor" in path.parents}
    for path in code - course:
        course |= content.used_by(path.read_text("utf-8"))
    # Of what the packages list, the exercise is among the starts.
    found = code | content.modules(*course, listing=content.listing())
    found |= {_file(module) for module in (run, operators, helpers, chapter.particulars)}
    if any(e.bad_input for e in _known(chapter, row)):
        found.add(chapter.tests)
    return found


@cache
def digest(chapter: Chapter, row: Row) -> str:
    """Of the files, of the known equivalents, and of the versions."""
    known = [f"{e.diff} {e.through} {e.bad_input}" for e in _known(chapter, row)]
    texts = [content.PYTHON, *row, *known]
    return content.digest(files(chapter, row), texts, ("torch", "cosmic-ray"))


def _known(chapter: Chapter, row: Row) -> list[Equivalent]:
    return [e for e in equivalents(chapter) if row in e.rows(chapter)]


def _checks(chapter: Chapter, exercise: str) -> list[Path]:
    """The file in which an exercise stands; the package, if it is none of its modules."""
    package, sought = chapter.checks.__name__, chapter.exercises[exercise]
    modules = [m for name, m in sys.modules.items() if name.startswith(f"{package}.")]
    found = [m for m in modules if any(value is sought for value in vars(m).values())]
    return [_file(module) for module in found or [chapter.checks]]


def _file(thing: Any) -> Path:
    return Path(inspect.getsourcefile(thing)).resolve()


# The table


def name_of(row: Row) -> str:
    function, exercise = row
    own = function.partition(".")[0] == exercise
    return function if own else f"{function}, in {exercise}"


def cells(row: Row, outcome: Outcome) -> list[str]:
    traps = "{} of {}".format(*outcome.traps) if outcome.traps else ""
    return [name_of(row), *(str(outcome.counts[column]) for column in COLUMNS), traps]


def total(outcomes: dict[Row, Outcome]) -> Outcome:
    counts = sum((Counter(o.counts) for o in outcomes.values()), Counter())
    named, known = map(sum, zip(*(o.traps for o in outcomes.values() if o.traps), strict=True))
    return Outcome(counts, (named, known), [])


def told(chapter: Chapter, outcomes: dict[Row, Outcome]) -> str:
    """The table and the equivalents with their reasons: what people read."""
    lines = [PREFACE.format(number=chapter.number), *_ruled(HEAD, "---:")]
    lines += [_line(cells(row, outcome)) for row, outcome in outcomes.items()]
    lines += [_line(cells(("all", "all"), total(outcomes)))]
    lines += ["", "## Equivalent", "", "Mutants that earn full marks, and why that is right."]
    for function, entries in itertools.groupby(equivalents(chapter), lambda e: e.function):
        lines += ["", f"### {function}"]
        for e in entries:
            where = f" In {', '.join(e.through)}:" if e.through else ""
            lines += ["", "```diff", e.diff, "```", "", f"{where} {e.why}".strip()]
    return "\n".join(lines) + "\n"


def made_from(chapter: Chapter) -> str:
    """The digests of all rows."""
    lines = [*_ruled(("function", "digest"), "---")]
    lines += [_line([name_of(row), digest(chapter, row)]) for row in rows(chapter)]
    return MADE_FROM + "\n" + "\n".join(lines) + "\n"


def _ruled(head: tuple[str, ...], others: str) -> Iterator[str]:
    yield _line(head)
    yield _line(["---", *[others] * (len(head) - 1)])


def _line(cells: Any) -> str:
    return "| " + " | ".join(cells) + " |"


@dataclass(frozen=True)
class Committed:
    """What the table in benchmarks/results/ says."""

    told: str
    outcomes: dict[str, Outcome]
    """By the name of the row."""
    digests: dict[str, str]


def committed(chapter: Chapter) -> Committed:
    text = chapter.results.read_text("utf-8") if chapter.results.exists() else ""
    told, _, made_from = text.partition(MADE_FROM)
    outcomes = {}
    for name, *counts, traps in _lines(told.partition("\n## ")[0]):
        found = dict(zip(COLUMNS, map(int, counts), strict=True))
        outcomes[name] = Outcome(found, tuple(map(int, re.findall(r"\d+", traps))) or None, [])
    return Committed(told, outcomes, dict(_lines(made_from)))


def _lines(text: str) -> list[list[str]]:
    """The cells of a table without its head."""
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line[1:-1].split("|")] for line in lines[2:]]


# Making them


def stale(chapter: Chapter) -> list[Row]:
    """The rows whose digest is not the committed one."""
    known = committed(chapter).digests
    return [row for row in rows(chapter) if known.get(name_of(row)) != digest(chapter, row)]


def prove(chapter: Chapter, row: Row, pool: Pool) -> Outcome:
    """What becomes of the row's mutants; what was found of the same content before is kept."""
    path = KEPT / f"{digest(chapter, row)}.json"
    if path.exists():
        kept = json.loads(path.read_text("utf-8"))
        return Outcome(kept["counts"], tuple(kept["traps"] or ()) or None, [])
    outcome = run.put_through(chapter, row, pool)
    if not outcome.problems:
        KEPT.mkdir(parents=True, exist_ok=True)
        new = path.with_suffix(f".{os.getpid()}")
        new.write_text(json.dumps(asdict(outcome)), encoding="utf-8")
        new.rename(path)
    return outcome


def _proved(
    todo: list[tuple[Chapter, Row]], processes: int
) -> Iterator[tuple[tuple[Chapter, Row], Outcome]]:
    """Each with its outcome, in their order."""
    if not todo:
        return
    # Two rows at a time: the last mutants of the one leave processes free for the other.
    spawn = multiprocessing.get_context("spawn")
    with spawn.Pool(processes, run.begin) as pool, ThreadPoolExecutor(2) as two:
        yield from zip(todo, two.map(lambda one: prove(*one, pool), todo), strict=True)


def main(arguments: list[str] | None = None) -> int:
    known = chapters()
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare with the table, do not write")
    parser.add_argument("--processes", type=int, default=min(os.cpu_count() or 1, 8))
    parser.add_argument("word", nargs="*", help="a chapter's, such as attention; default: all")
    options = parser.parse_args(arguments)
    if unknown := set(options.word) - set(known):
        parser.error(f"no chapter {', '.join(sorted(unknown))}; there are: {', '.join(known)}")

    wanted = [known[word] for word in options.word or known]
    todo = [(c, row) for c in wanted for row in (stale(c) if options.check else rows(c))]
    console = Console(width=None if sys.stdout.isatty() else 120)
    found: dict[tuple[Chapter, Row], Outcome] = {}
    for one, outcome in _proved(todo, options.processes):
        found[one] = outcome
        console.print(_line(cells(one[1], outcome)), markup=False, highlight=False)
        for problem in outcome.problems:
            console.print(f"\n{problem}", markup=False, highlight=False, style="red")

    wrong = False
    for chapter in wanted:
        its = {row: outcome for (c, row), outcome in found.items() if c == chapter}
        where = chapter.results.relative_to(ROOT)
        if any(outcome.problems for outcome in its.values()):
            wrong = True
        elif not options.check:
            text = told(chapter, its) + made_from(chapter)
            chapter.results.parent.mkdir(parents=True, exist_ok=True)
            chapter.results.write_text(text, encoding="utf-8")
            console.print(f"Written: {where}")
        elif not is_as_committed(chapter, its):
            console.print(f"{where} is out of date: run `make mutants`.", style="red")
            wrong = True
    if not wrong and not options.check:
        shutil.rmtree(KEPT, ignore_errors=True)
    return int(wrong)


def is_as_committed(chapter: Chapter, fresh: dict[Row, Outcome]) -> bool:
    """Whether the committed table says what was found now, and of the other rows what it said."""
    there = committed(chapter)
    known = {row: fresh.get(row, there.outcomes.get(name_of(row))) for row in rows(chapter)}
    return None not in known.values() and told(chapter, known) == there.told
