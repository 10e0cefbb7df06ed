"""How long a page takes to read, by one rule for all: ``python -m tutor.course.reading``.

What stands in a box that folds is not counted, nor is a cell that does, since a reader may skip it.
"""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

from tutor import ROOT
from tutor.checks import CHAPTERS

__all__ = ["Reading", "of_page", "read"]

WORDS, LINES = 200, 20
"""Of prose, and of code that is shown, in a minute."""
FORMULA, STILL, MOVING, QUESTION = 0.25, 0.5, 1.0, 1.0
"""Minutes for a displayed formula, for a figure or a table, for a figure with something to move,
and for a question of a quiz."""

_FENCE = re.compile(r"^\s*(`{3,}|~{3,}|:{3,})\s*(?:\{([\w:-]+)\})?\s*(.*?)\s*$")
_OPTION = re.compile(r"^\s*:([\w-]+):\s*(.*?)\s*$")
_CODE = {"code", "code-block", "sourcecode"}
_STILL = re.compile(r"plt\.show\(|figures\.(translators|matches_and_steps)\(|display\(\s*table\(")


@dataclass
class Reading:
    """What there is on a page, boxes that fold apart."""

    words: int = 0
    lines: int = 0
    formulas: int = 0
    still: int = 0
    moving: int = 0
    questions: int = 0
    words_in_boxes: int = 0
    """Of the boxes that fold: not part of the minutes."""

    @property
    def minutes(self) -> int:
        """To the nearest five."""
        exact = (
            self.words / WORDS
            + self.lines / LINES
            + self.formulas * FORMULA
            + self.still * STILL
            + self.moving * MOVING
            + self.questions * QUESTION
        )
        return 5 * round(exact / 5)


def of_page(path: Path) -> Reading:
    """The reading of a page of the book, a Markdown file in MyST."""
    return read(path.read_text("utf-8"), path.parent)


def read(text: str, folder: Path = ROOT / "book") -> Reading:
    """The same of its text; ``folder`` is where the code that it includes is looked for from."""
    text = re.sub(r"\A---\n.*?\n---\n", "", text, flags=re.DOTALL)
    found = Reading()
    prose: dict[bool, list[str]] = {True: [], False: []}
    for folds, line in _lines(text.splitlines(), folder, found):
        prose[folds].append(line)
    found.words = _words("\n".join(prose[False]), found)
    found.words_in_boxes = _words("\n".join(prose[True]), Reading())
    return found


def _lines(
    lines: list[str], folder: Path, found: Reading, folds: bool = False
) -> Iterator[tuple[bool, str]]:
    """The lines of prose and whether they fold. What else there is is added to ``found``."""
    waiting = iter(lines)
    for line in waiting:
        fence = _FENCE.match(line)
        if not fence:
            yield folds, line
            continue
        mark, name, argument = fence.groups()
        body = []
        for inner in waiting:
            if re.fullmatch(rf"\s*{mark[0]}{{{len(mark)},}}\s*", inner):
                break
            body.append(inner)
        options, content = _options(body)
        counts = Reading() if folds else found
        if name == "code-cell":
            _cell("\n".join(body), counts)
        elif name == "literalinclude":
            counts.lines += _included(folder / argument, options.get("pyobject"))
        elif name in ("image", "figure"):
            counts.still += 1
        elif name == "quiz":
            counts.questions += len(yaml.safe_load((folder / argument).read_text("utf-8")))
        elif name in _CODE or (not name and mark[0] != ":"):
            counts.lines += sum(bool(each.strip()) for each in body)
        elif name == "math":
            counts.formulas += 1
        else:
            within = folds or "dropdown" in f"{name} {options.get('class', '')}".split()
            yield within, argument
            yield from _lines(content, folder, found, within)


def _options(body: list[str]) -> tuple[dict[str, str], list[str]]:
    options = {}
    for number, line in enumerate(body):
        if not (option := _OPTION.match(line)):
            return options, body[number:]
        options[option[1]] = option[2]
    return options, []


def _cell(text: str, found: Reading) -> None:
    head = re.match(r"(?s:---\n.*?\n---\n)?(?::[\w-]+:.*\n)*", text)[0]
    code = text.removeprefix(head)
    tags = set(re.findall(r"(?:hide|remove)-(?:input|cell)", head))
    if tags & {"hide-cell", "remove-cell"}:
        return
    if not tags:
        found.lines += sum(bool(line.strip()) for line in code.splitlines())
    found.still += len(_STILL.findall(code))
    found.moving += code.count("figures.show(")
    if "figures.quiz(" in code:
        found.questions += code.count('"question":')


def _included(path: Path, name: str | None) -> int:
    """The lines of a file, or of what is named in it, without the empty ones."""
    source = path.read_text("utf-8")
    text, tree = source, ast.parse(source)
    for part in name.split(".") if name else ():
        (tree,) = (node for node in tree.body if getattr(node, "name", None) == part)
        text = ast.get_source_segment(source, tree)
    return sum(bool(line.strip()) for line in text.splitlines())


def _words(text: str, found: Reading) -> int:
    """Words of prose; a formula within a line is one. Displayed formulas, tables and images are
    added to ``found``."""
    text, formulas = re.subn(r"\$\$.*?\$\$(?: *\([\w-]+\))?", "", text, flags=re.DOTALL)
    text, tables = re.subn(r"(?:^\|.*\n?)+", "", text, flags=re.MULTILINE)
    text, images = re.subn(r"!\[[^\]]*\]\([^)]*\)", "", text)
    found.formulas += formulas
    found.still += tables + images
    text = re.sub(r"^%.*$|^\([\w-]+\)=$", "", text, flags=re.MULTILINE)
    text = re.sub(r"\$[^$\n]+\$", "x", text)
    text = re.sub(r"\{[\w:-]+\}`([^`<]*)[^`]*`", r"\1", text)
    text = re.sub(r"\]\([^)]*\)|\]\{[^}]*\}", "]", text)
    return sum(any(map(str.isalnum, word)) for word in text.split())


def main() -> None:
    for page in CHAPTERS:
        found = of_page(ROOT / "book" / f"{page}.md")
        print(f"{page}: {found.minutes} minutes, {found}")


if __name__ == "__main__":
    main()
