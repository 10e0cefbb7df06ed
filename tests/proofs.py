"""Tests that stand proved: run once, and again only when something that they depend on has changed.

Some tests put everything through: each misconception at home and in the sandbox, each wrong answer
that somebody wrote, each hostile submission. Together they take half of the suite's processor time
and say what they said before unless the code is different. A test marked ``by_content`` is left out
while tests/proved.json has its digest: of its file and all that this imports, of the exercise that
it is about, of the files that the mark names, and of the versions of what runs them. The last lines
of a run say how many were left out.

    make test                       those whose digest is another one, and all other tests
    make test ARGS=--prove          the same, and writes down what passed
    make proofs                     all that have the mark, and writes down what passed
    pytest tests/checks/test_diagnose.py       tests that are asked for by name are all run

``@pytest.mark.by_content(*patterns, chapter=None)``: the patterns, from the root, are of further
files that the tests depend on; the chapter is the one that they are about, where their parameters
do not name it or its exercise.
"""

import inspect
import json
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest

from benchmarks import content
from tutor import ROOT

TABLE = ROOT / "tests" / "proved.json"
PACKAGES = ("torch", "numpy", "pytest")
MARK = "by_content"
COURSE = (
    "tutor/**/*.py",
    "exercises/**/*.ipynb",
    "solutions/**/*.md",
    "nbgrader_config.py",
    "Makefile",
)
"""Patterns of all that the commands are made of, for tests that start one."""

Group = tuple[str, str]
"""A test's function, by its file, and the exercise or chapter that it is about, if it is."""


# What a test depends on


def group_of(item: pytest.Item) -> Group:
    from tutor.checks import CHAPTERS, EXERCISES

    given = [v for v in _given(item) if isinstance(v, str)]
    known = [v for v in given if v in EXERCISES] or [v for v in given if v in CHAPTERS] or [""]
    chapter = item.get_closest_marker(MARK).kwargs.get("chapter")
    return item.nodeid.partition("[")[0], chapter or known[0]


def files(group: Group, items: Iterable[pytest.Item]) -> set[Path]:
    """All that decides what a group's tests say."""
    patterns, starts = {"tests/conftest.py"}, set(_exercise(group[1]))
    for item in items:
        patterns.update(item.get_closest_marker(MARK).args)
        starts |= {item.path, item.path.with_name("conftest.py")}
        starts |= {path for value in _given(item) if callable(value) for path in _source(value)}
    named = starts.union(*(ROOT.glob(pattern) for pattern in patterns))
    modules = (path for path in named if path.suffix == ".py" and path.is_file())
    return {p for p in named if p.is_file()} | _modules(frozenset(modules))


def pins(paths: Iterable[Path]) -> list[str]:
    """The lines of requirements.txt on packages that these modules import."""
    first = set().union(*(_first_names(path) for path in paths if path.suffix == ".py"))
    named = {_spelled(name) for name in first for name in _distributions().get(name, ())}
    lines = (ROOT / "requirements.txt").read_text("utf-8").splitlines()
    return [line for line in lines if _spelled(re.split(r"[\[=]", line)[0]) in named]


@cache
def _first_names(path: Path) -> frozenset[str]:
    return frozenset(name.split(".")[0] for name in content.freshness.names(path, ROOT))


_distributions = cache(packages_distributions)


def _spelled(package: str) -> str:
    """As an index compares names: SQLAlchemy and sqlalchemy, num_2_words and num-2-words."""
    return re.sub(r"[-_.]+", "-", package).lower()


def _given(item: pytest.Item) -> Iterable[Any]:
    call = getattr(item, "callspec", None)
    return call.params.values() if call else ()


@cache
def _modules(starts: frozenset[Path]) -> set[Path]:
    # What is sought of the lists is among the starts.
    return content.modules(*starts, listing=content.listing())


@cache
def _exercise(name: str) -> frozenset[Path]:
    """The files of an exercise or of a chapter's: the check, the reference, the known answers."""
    from tutor.checks import CHAPTERS, EXERCISES

    exercises = [EXERCISES[name]] if name in EXERCISES else CHAPTERS.get(name, ())
    found = set()
    for exercise in exercises:
        word = exercise.chapter.partition("_")[2]
        found |= {ROOT / "tests" / "answers" / f"{word}.py"}
        found |= {path for path in _source(exercise.reference)}
        found |= {
            Path(module.__file__)
            for module in list(sys.modules.values())
            if module.__name__.startswith(f"tutor.checks.{word}")
            and any(value is exercise for value in vars(module).values())
        }
    return frozenset(path for path in found if path.is_file())


def _source(function: Callable) -> set[Path]:
    try:
        path = Path(inspect.getsourcefile(inspect.unwrap(function)) or "")
    except TypeError:
        return set()
    return {path} if ROOT in path.parents else set()


def digests(items: Iterable[pytest.Item]) -> dict[Group, dict[str, Any]]:
    """Of each group of marked tests: how many there are, and of what they were made."""
    groups = defaultdict(list)
    for item in items:
        if item.get_closest_marker(MARK):
            groups[group_of(item)].append(item)
    return {
        group: {
            "tests": len(members),
            "made from": content.digest(
                found,
                [content.PYTHON, *sorted(item.nodeid for item in members), *pins(found)],
                PACKAGES,
            ),
        }
        for group, members in groups.items()
        for found in [files(group, members)]
    }


# The table


def table() -> dict[Group, dict[str, Any]]:
    kept = json.loads(TABLE.read_text("utf-8")) if TABLE.exists() else {}
    return {(test, name): row for test, rows in kept.items() for name, row in rows.items()}


def write(rows: dict[Group, dict[str, Any]]) -> None:
    kept: dict[str, dict] = defaultdict(dict)
    for (test, name), row in sorted(rows.items()):
        kept[test][name] = row
    whole = TABLE.with_suffix(".new")
    whole.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    whole.replace(TABLE)


# The run


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--prove", action="store_true", help="write down in proved.json what passed")
    parser.addoption("--anew", action="store_true", help="run what stands proved, too")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", f"{MARK}(*patterns, chapter=None): see tests/proofs.py")
    if not hasattr(config, "workerinput"):
        named = config.args_source is pytest.Config.ArgsSource.ARGS
        config.option.anew |= named or bool(config.option.keyword)
        config.pluginmanager.register(Register(config), "proofs-register")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    # Before any other choice is made, so that a group is all of its tests.
    found, stands = digests(items), {} if config.option.anew else table()
    left_out = []
    for item in (item for item in items if item.get_closest_marker(MARK)):
        group = group_of(item)
        if stands.get(group) == found[group]:
            left_out.append(item)
        item.user_properties.append(("proof", [*group, found[group]]))
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        chosen = set(items) - set(left_out)
        items[:] = [item for item in items if item in chosen]
    config.stash[COLLECTED] = {"left out": len(left_out), "groups": [list(g) for g in found]}


COLLECTED = pytest.StashKey[dict[str, Any]]()


def pytest_sessionfinish(session: pytest.Session) -> None:
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["proofs"] = session.config.stash.get(COLLECTED, None)


class Register:
    """In the process that starts the others: what they left out, and what passed."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.collected: dict[str, Any] = {}
        self.seen: dict[Group, dict[str, Any]] = {}
        self.passed: Counter[Group] = Counter()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        for test, name, row in (v for key, v in report.user_properties if key == "proof"):
            self.seen[test, name] = row
            # A test that fails while it is put away has not passed.
            self.passed[test, name] += report.passed if report.when == "call" else 0
            self.passed[test, name] -= bool(report.failed and report.when == "teardown")
            # At once: of a run that is cut off, this is kept.
            all_passed = report.when == "teardown" and self.passed[test, name] == row["tests"]
            if self.config.option.prove and all_passed:
                write(table() | {(test, name): row})

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        self.collected = getattr(node, "workeroutput", {}).get("proofs") or self.collected

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self) -> None:
        self.collected = self.config.stash.get(COLLECTED, self.collected)
        if not self.config.option.prove:
            return
        # A run that was interrupted has not heard from its workers which groups there are.
        groups = self.collected.get("groups")
        if groups and self.config.args_source is not pytest.Config.ArgsSource.ARGS:  # all there are
            there = {tuple(group) for group in groups}
            write({group: row for group, row in table().items() if group in there})

    def proved(self) -> dict[Group, dict[str, Any]]:
        """The groups of which every test passed, and that do not stand so in the table."""
        there = table()
        return {
            group: row
            for group, row in self.seen.items()
            if self.passed[group] == row["tests"] and there.get(group) != row
        }

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        if left_out := self.collected.get("left out"):
            terminalreporter.write_line(
                f"{left_out} tests stand: they passed with all that they depend on as it is now "
                f"(tests/{TABLE.name}). `make proofs` runs them again."
            )
        if not self.config.option.prove and (new := self.proved()):
            terminalreporter.write_line(
                f"{sum(row['tests'] for row in new.values())} tests passed with something that is "
                "new: `make test ARGS=--prove` would write it down."
            )
