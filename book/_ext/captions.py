"""Figures are numbered by their chapter: Figure 3.2 is the second one of chapter 3.

A cell's caption (`mystnb: figure: caption:`) is that of its picture, and not of a table beside it.
"""

import re
from collections.abc import Iterator

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment


def figures(doctree: nodes.document) -> Iterator[nodes.figure]:
    for figure in doctree.findall(nodes.figure):
        if figure.next_node(nodes.caption):
            yield figure


def prepare(app: Sphinx, doctree: nodes.document) -> None:
    for number, figure in enumerate(list(figures(doctree)), start=1):
        shown = [c for c in figure.findall(nodes.container) if "mime_type" in c]
        if shown and not any(map(_is_picture, shown)):
            figure.replace_self([c for c in figure if not isinstance(c, nodes.caption)])
        elif not figure["ids"]:
            figure["ids"].append(f"figure-{number}")


def _is_picture(output: nodes.container) -> bool:
    html = (raw.astext() for raw in output.findall(nodes.raw))
    return output["mime_type"].startswith("image/") or any("plotly-figure" in h for h in html)


def count(app: Sphinx, env: BuildEnvironment) -> list[str]:
    """After Sphinx's own counting, which goes through the whole book."""
    changed = []
    for page in env.found_docs:
        chapter = re.match(r"(\d\d)_", page.rpartition("/")[2])
        before = (int(chapter[1]),) if chapter else ()
        ids = [figure["ids"][0] for figure in figures(env.get_doctree(page)) if figure["ids"]]
        numbers = {name: (*before, number) for number, name in enumerate(ids, start=1)}
        if env.toc_fignumbers.get(page, {}).get("figure", {}) != numbers:
            env.toc_fignumbers.setdefault(page, {})["figure"] = numbers
            changed.append(page)
    return changed


def setup(app: Sphinx) -> dict:
    app.connect("doctree-read", prepare)
    app.connect("env-get-updated", count, priority=900)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
