"""The house is as DESIGN says: whoever knows a word knows the file, and imports run one way."""

import ast
import graphlib
from pathlib import Path

import pytest

from tutor import ROOT
from tutor.checks import CHAPTERS, EXERCISES

PACKAGE = ROOT / "tutor"
SOURCES = sorted(PACKAGE.rglob("*.py"))
WORDS = {name.partition("_")[2]: name for name in CHAPTERS}

MAY_IMPORT = {
    "chapters": set(),
    "materials": {"chapters"},
    "materials.bench": {"chapters", "materials", "checks"},
    "checks": {"chapters", "materials"},
    "course": {"chapters", "checks"},
    "sandbox": {"chapters", "checks"},
    "grading": {"chapters", "checks", "course", "sandbox"},
    "grading.reports": {"chapters", "checks", "course", "sandbox", "grading"},
}
"""Beside itself, what each room may import."""

SEES_ALL = {"tutor.grading.cli", "tutor.grading.preload"}
"""The command line, and the process that its workers are forked from."""


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def room(module: str) -> str:
    """``module`` of ``tutor``: the room that it stands in."""
    parts = module.split(".")[1:]
    if (inner := ".".join(parts[:2])) in MAY_IMPORT:
        return inner
    return parts[0] if parts and parts[0] in MAY_IMPORT else "chapters"


def imported(path: Path) -> set[tuple[str, str]]:
    """Module of ``tutor`` and name, of everything that a file imports anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            found |= {(node.module or "", alias.name) for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {(alias.name, "") for alias in node.names}
    return {(m, n) for m, n in found if m.split(".")[0] == "tutor"}


MODULES = {module_name(path): path for path in SOURCES}


def files_imported(path: Path) -> set[str]:
    """The modules whose files are read when ``path`` imports what it imports."""
    return {
        f"{m}.{n}" if f"{m}.{n}" in MODULES else m for m, n in imported(path) if m in MODULES
    } - {"tutor"}


@pytest.mark.parametrize("module", MODULES)
def test_imports_run_one_way_between_rooms(module):
    here = room(module)
    others = {m: room(m) for m in files_imported(MODULES[module])}
    if module in SEES_ALL:
        return
    wrong = {m for m, there in others.items() if there != here and there not in MAY_IMPORT[here]}
    assert not wrong, f"{module} stands in {here} and imports {sorted(wrong)}"


def test_no_chapter_imports_a_later_one():
    order = list(WORDS)
    for word in order:
        names = {m.rpartition(".")[2] for m in files_imported(PACKAGE / f"{word}.py")}
        later = names & set(order[order.index(word) + 1 :])
        assert not later, f"{word} imports {sorted(later)}"


def test_no_module_imports_itself_in_a_circle():
    edges = {}
    for module, path in MODULES.items():
        # A package's own file, which gathers what stands in it, is read by whoever asks for a part.
        edges[module] = {m for m in files_imported(path) if m != module}
    list(graphlib.TopologicalSorter(edges).static_order())  # CycleError names the circle


@pytest.mark.parametrize(
    "path",
    [
        *SOURCES,
        *sorted((ROOT / "tests").rglob("*.py")),
        *sorted((ROOT / "benchmarks").glob("*.py")),
    ],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_no_private_name_leaves_its_file(path):
    private = {f"{m}.{n}" for m, n in imported(path) if n.startswith("_") and n != "__version__"}
    assert not private
    tree = ast.parse(path.read_text("utf-8"))
    modules = {n for m, n in imported(path) if f"{m}.{n}" in MODULES}
    taken = {
        f"{node.value.id}.{node.attr}"
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id in modules
        and node.attr.startswith("_")
        and not node.attr.startswith("__")
    }
    assert not taken


def test_one_word_six_places():
    assert set(WORDS) == {p.stem for p in PACKAGE.glob("*.py")} - {"__init__"}
    for word, chapter in WORDS.items():
        for place in (
            f"book/{chapter}.md",
            f"solutions/{chapter}/{word}.md",
            f"exercises/{chapter}/{word}.ipynb",
            f"tutor/{word}.py",
            f"tutor/checks/{word}/__init__.py",
            f"tests/test_{word}.py",
        ):
            assert (ROOT / place).is_file(), place


@pytest.mark.parametrize("name", EXERCISES)
def test_each_exercise_stands_in_a_file_of_its_name(name):
    word = EXERCISES[name].chapter.partition("_")[2]
    assert (PACKAGE / "checks" / word / f"{name}.py").is_file()


@pytest.mark.parametrize("word", WORDS)
def test_no_file_of_a_chapters_checks_is_long(word):
    files = (PACKAGE / "checks" / word).glob("*.py")
    lines = {path.name: len(path.read_text("utf-8").splitlines()) for path in files}
    assert lines and {name: n for name, n in lines.items() if n > 350} == {}
