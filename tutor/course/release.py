"""Make ``exercises/*/*.ipynb`` from ``solutions/*/*.md``: python -m tutor.course.release [--check]

Jupytext reads the Markdown, nbgrader's own generate_assignment takes the solutions out. The same
Markdown gives the same bytes. A notebook that somebody edited by hand is never overwritten: each
bears, in its metadata, a fingerprint of what was generated.

A solution's text names pages of the book as files, and its notebook as pages at the address that
``_config.yml`` has. The files that others read as they are (``LITERAL``) have it from there, too.
"""

import argparse
import hashlib
import json
import re
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import jupytext
import nbformat
import yaml
from nbformat import NotebookNode
from nbgrader.apps import NbGraderAPI
from nbgrader.preprocessors import NbGraderPreprocessor

from tutor import ROOT
from tutor.course.settings import read_config

BENCH = "bench"
"""Tag of a notebook's cells in which a student's functions are put to work."""
LITERAL = ("pyproject.toml", "CITATION.cff", "book/students.md", "book/instructors.md")
"""Files that name where the book or its repository is; the first says which address is in all."""


class EditedByHand(Exception):
    """Notebooks that would be overwritten hold work that is nowhere else."""


class Stamp(NbGraderPreprocessor):
    """Records the fingerprint of a released notebook. The last of the preprocessors."""

    def preprocess(self, nb: NotebookNode, resources: dict) -> tuple[NotebookNode, dict]:
        return stamped(nb), resources


def fingerprint(nb: NotebookNode) -> str:
    """Changes with everything that a person can write in a notebook; outputs do not count."""
    written = [
        (c.cell_type, c.source, c.get("attachments"), c.metadata.get("nbgrader")) for c in nb.cells
    ]
    return hashlib.sha256(json.dumps(written, sort_keys=True).encode()).hexdigest()[:16]


def stamped(nb: NotebookNode) -> NotebookNode:
    nb.metadata["tutor"] = {"release": fingerprint(nb)}
    return nb


def is_bench(cell: NotebookNode) -> bool:
    """Whether it runs what was written, for the fun of it: no grading and no check runs it."""
    return BENCH in cell.metadata.get("tags", [])


def version(nb: NotebookNode) -> str | None:
    """The fingerprint with which the notebook was released, whatever was written into it since."""
    return nb.metadata.get("tutor", {}).get("release")


def read(path: Path) -> NotebookNode | None:
    """None if the file is no notebook."""
    try:
        return nbformat.read(path, as_version=4)
    except (ValueError, AttributeError, nbformat.ValidationError):
        return None


def source_notebook(markdown: Path) -> NotebookNode:
    """The instructor's notebook, with cell ids that a fresh clone draws alike."""
    nb = jupytext.read(markdown)
    for cell, name in zip(nb.cells, _cell_ids(nb), strict=True):
        cell["id"] = name
        if cell.cell_type == "markdown":
            cell.source = _published(cell.source, markdown.parents[2])
    kernelspec = {"display_name": "Python 3", "language": "python", "name": "python3"}
    nb.metadata = NotebookNode(kernelspec=kernelspec)
    nbformat.validate(nb)
    return stamped(nb)


def _cell_ids(nb: NotebookNode) -> list[str]:
    """``grade_id``, or ``before-<the next grade_id>-<n>``, counted away from it.

    So an edit of a text moves no id, and a new cell moves those of its own section only.
    """
    ids, anchor, distance = [], "end", 0
    for cell in reversed(nb.cells):
        if grade_id := cell.metadata.get("nbgrader", {}).get("grade_id"):
            anchor, distance = re.sub(r"[^\w-]", "-", grade_id, flags=re.ASCII), 0
            ids.append(anchor)
        else:
            distance += 1
            ids.append(f"before-{anchor}"[:60] + f"-{distance}")
    return ids[::-1]


def _published(text: str, root: Path) -> str:
    """The text with links to pages, where it has links to the files that they are made from."""
    file = re.compile(r"\]\(\.\./\.\./(book/[\w-]+)\.md(?=[#)])")
    if not file.search(text):
        return text
    book, _ = addresses(root)
    return file.sub(lambda link: f"]({book}/{link[1]}.html", text)


def addresses(root: Path) -> tuple[str, str]:
    """Of the book and of its repository, as ``_config.yml`` has them."""
    config = yaml.safe_load((root / "_config.yml").read_text(encoding="utf-8"))
    return config["html"]["baseurl"].rstrip("/"), config["repository"]["url"].rstrip("/")


def addressed(root: Path = ROOT) -> Iterator[tuple[Path, str]]:
    """Path and text of the ``LITERAL`` files, with the addresses of ``_config.yml``."""
    urls = tomllib.loads((root / LITERAL[0]).read_text(encoding="utf-8"))["project"]["urls"]
    before = urls["Book"].rstrip("/"), urls["Repository"].rstrip("/")
    moves = list(zip(before, addresses(root), strict=True))
    old, new = (urlsplit(url).path for url in moves[1])
    # Colab and Binder name a repository by its path on GitHub.
    moves += [(f"{host}{old}", f"{host}{new}") for host in ("/github", "/v2/gh")]
    for path in filter(Path.is_file, (root / name for name in LITERAL)):
        text = path.read_text(encoding="utf-8")
        for written, here in moves:
            text = re.sub(rf"{re.escape(written)}(?![\w-])", lambda _, here=here: here, text)
        yield path, text


def generate(root: Path = ROOT) -> Iterator[tuple[Path, str]]:
    """Path and text of every notebook: the instructor's pairs, then the exercises."""
    with tempfile.TemporaryDirectory() as folder:
        course = Path(folder).resolve()
        for markdown in sorted((root / "solutions").glob("*/*.md")):
            pair = markdown.relative_to(root).with_suffix(".ipynb")
            (course / pair).parent.mkdir(parents=True, exist_ok=True)
            text = nbformat.writes(source_notebook(markdown)) + "\n"
            (course / pair).write_text(text, encoding="utf-8")
            yield root / pair, text

        config = read_config(root)
        config.CourseDirectory.root = str(course)
        config.SaveCells.enabled = False
        config.GenerateAssignment.no_database = True
        api = NbGraderAPI(config=config)
        for chapter in sorted(p.name for p in (course / "solutions").glob("*")):
            result = api.generate_assignment(chapter)
            if not result["success"]:
                raise RuntimeError(f"nbgrader cannot release {chapter}:\n{result['log']}")
        for path in sorted((course / "exercises").glob("*/*.ipynb")):
            yield root / path.relative_to(course), path.read_text(encoding="utf-8")


def release(root: Path = ROOT) -> list[Path]:
    """Write what has changed and return it; EditedByHand, and nothing written, to save work."""
    made = [*addressed(root), *generate(root)]
    changed = {p: text for p, text in made if not _is(p, text)}
    edited = [p for p, text in changed.items() if p.suffix == ".ipynb" and _edited(p, text)]
    if edited:
        raise EditedByHand("\n".join(_refusal(p.relative_to(root)) for p in edited))
    for path, text in changed.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return list(changed)


def differences(root: Path = ROOT) -> list[str]:
    """One sentence for each file, but the instructor's, that is not what ``release`` makes."""
    moved = [
        f"{p.relative_to(root)} names another address than _config.yml: run `make release`"
        for p, text in addressed(root)
        if not _is(p, text)
    ]
    fresh = {p: text for p, text in generate(root) if p.is_relative_to(root / "exercises")}
    found = moved + [
        f"{p.relative_to(root)} is {'out of date' if p.exists() else 'missing'}: run `make release`"
        for p, text in fresh.items()
        if not _is(p, text)
    ]
    strays = set((root / "exercises").glob("*/*.ipynb")) - set(fresh)
    return found + [
        f"{p.relative_to(root)} comes from no solution: delete it" for p in sorted(strays)
    ]


def _is(path: Path, text: str) -> bool:
    return path.exists() and path.read_bytes() == text.encode()


def _edited(path: Path, fresh: str) -> bool:
    """Whether the file holds anything that neither an earlier release nor this one wrote."""
    if not path.exists():
        return False
    nb = read(path)
    if nb is None:
        return True
    return fingerprint(nb) not in (version(nb), version(nbformat.reads(fresh, as_version=4)))


def _refusal(path: Path) -> str:
    source = Path("solutions", *path.parts[1:]).with_suffix(".md")
    return (
        f"{path} was edited by hand, and a new one would overwrite the edit. Move what you want to "
        f"keep to {source}, delete {path} and run `make release` again."
    )


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tutor.course.release", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, compare only")
    if parser.parse_args(argv).check:
        found = differences()
        print("\n".join(found) or "exercises/ is what solutions/ generates.")
        return bool(found)
    try:
        written = release()
    except EditedByHand as refusal:
        print(f"{refusal}\nNothing was written.", file=sys.stderr)
        return 1
    for path in written:
        print(f"wrote {path.relative_to(ROOT)}")
    if not written:
        print("exercises/ is up to date.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
