"""Imports between the rooms of ``tutor`` run one way, and private names stay in their file."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tutor import ROOT
from tutor.checks import EXERCISES

FILES = sorted((ROOT / "tutor").rglob("*.py"))
COMMAND_LINE = {"tutor.grading.cli", "tutor.grading.preload"}
"""They see all."""
MAY_IMPORT = {
    "chapters": {"chapters"},
    "materials": {"chapters", "materials"},
    "checks": {"chapters", "checks"},
    "course": {"chapters", "checks", "course"},
    "sandbox": {"chapters", "checks", "sandbox"},
    "grading": {"chapters", "checks", "course", "sandbox", "grading"},
    "reports": {"chapters", "checks", "course", "sandbox", "grading", "reports"},
}
NUMBER_WORDS = "tutor.materials.numbers"
"""Which ``checks`` may use, too."""


def module_of(path: Path) -> str:
    name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    return name.removesuffix(".__init__")


MODULES = {module_of(path): path for path in FILES}


def room_of(module: str) -> str | None:
    """None for ``tutor`` itself."""
    if module in COMMAND_LINE:
        return "command line"
    parts = module.split(".")
    if parts[:3] == ["tutor", "grading", "reports"]:
        return "reports"
    if len(parts) == 2 and MODULES[module].name != "__init__.py":
        return "chapters"
    return parts[1] if len(parts) > 1 else None


def imported(path: Path) -> Iterator[tuple[str, str]]:
    """Each of the course's modules that a file imports, and what of it ("" for all)."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((a.name, "") for a in node.names if a.name.split(".")[0] == "tutor")
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "tutor":
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield (inner, "") if inner in MODULES else (node.module, alias.name)


@pytest.mark.parametrize("module", MODULES)
def test_imports_run_one_way(module):
    room = room_of(module)
    if room in (None, "command line"):
        return
    for other, _ in imported(MODULES[module]):
        words = room == "checks" and other == NUMBER_WORDS
        assert room_of(other) in {None, *MAY_IMPORT[room]} or words, f"{module} imports {other}"


def test_chapters_import_earlier_ones_only():
    at = {e.reference.__module__: e.chapter for e in EXERCISES.values()}
    assert len(at) >= 5
    for module, chapter in at.items():
        for other, _ in imported(MODULES[module]):
            assert at.get(other, "") <= chapter, f"{module} imports {other}"


@pytest.mark.parametrize("module", MODULES)
def test_private_names_stay_in_their_file(module):
    tree = ast.parse(MODULES[module].read_text("utf-8"))
    modules = {
        alias.asname or alias.name: f"{node.module}.{alias.name}"
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if f"{node.module}.{alias.name}" in MODULES
    }
    taken = [name for _, name in imported(MODULES[module]) if name.startswith("_")]
    taken += [
        f"{node.value.id}.{node.attr}"
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id in modules
        and node.attr.startswith("_")
        and not node.attr.startswith("__")
    ]
    assert not taken
