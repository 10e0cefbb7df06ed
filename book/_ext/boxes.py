"""Boxes that fold, and the bar that leads from a chapter to its exercises.

A box of the class `dropdown` is a `details` element: it opens without a script, to a key and to a
finger, a search within the page finds what is in it, and on paper it stays as it is.
"""

from pathlib import Path
from typing import Any

from docutils import nodes
from notebooks import binder_url, colab_url
from sphinx.application import Sphinx
from sphinx.util.osutil import relative_uri


class fold(nodes.General, nodes.Element):
    """A box that folds; its first child is the summary."""


class summary(nodes.TextElement):
    """What stands on a folded box."""


def make_folds(doctree: nodes.document) -> None:
    for box in list(doctree.findall(nodes.admonition)):
        if "dropdown" not in box["classes"]:
            continue
        title = box.next_node(nodes.title)
        folded = fold("", summary("", "", *title.children), classes=box["classes"], ids=box["ids"])
        folded += [child for child in box.children if child is not title]
        box.replace_self(folded)


def visit_fold(self: Any, node: fold) -> None:
    self.body.append(self.starttag(node, "details", CLASS="admonition"))


def depart_fold(self: Any, node: fold) -> None:
    self.body.append("</details>\n")


def visit_summary(self: Any, node: summary) -> None:
    self.body.append(self.starttag(node, "summary", "", CLASS="admonition-title"))


def depart_summary(self: Any, node: summary) -> None:
    self.body.append("</summary>\n")


# The way to the exercises -----------------------------------------------------------------------


def exercises(app: Sphinx, page: str) -> str | None:
    """The chapter's notebook of exercises, from the root and without its suffix."""
    word = page.rpartition("/")[2]
    found = sorted((Path(app.srcdir) / "exercises" / word).glob("*.ipynb"))
    return f"exercises/{word}/{found[0].stem}" if found else None


def bar(app: Sphinx, page: str, notebook: str) -> nodes.raw:
    def to(target: str) -> str:
        return relative_uri(app.builder.get_target_uri(page), target)

    here = to(app.builder.get_target_uri("book/students")) if _has(app, "book/students") else ""
    own = f'<a href="{here}#on-your-machine">JupyterLab on your machine</a>' if here else ""
    return nodes.raw(
        "",
        f'<div class="exercise-bar" role="group" aria-label="Open this chapter\'s exercises">'
        f"<span>Exercises</span>{own}"
        f'<a href="{colab_url(app, notebook)}">Colab</a>'
        f'<a href="{binder_url(app, notebook)}">Binder</a>'
        f'<a href="{to(f"notebooks/{notebook}.ipynb")}" download>Download</a></div>',
        format="html",
    )


def _has(app: Sphinx, page: str) -> bool:
    return page in app.env.found_docs


def make_bars(app: Sphinx, doctree: nodes.document, page: str) -> None:
    """At the chapter's beginning, below the lines on what it needs, and in its section."""
    if (notebook := exercises(app, page)) is None:
        return
    for section in doctree.findall(nodes.section):
        if section.parent is doctree:
            first = (n for n, child in enumerate(section) if not _introduces(child))
            section.insert(next(first, len(section)), bar(app, page, notebook))
        elif "exercises" in section["ids"]:
            section.insert(1, bar(app, page, notebook))


def _introduces(node: nodes.Node) -> bool:
    return isinstance(node, nodes.title | nodes.paragraph | nodes.target)


def make(app: Sphinx, doctree: nodes.document, page: str) -> None:
    if app.builder.format == "html":
        make_folds(doctree)
        make_bars(app, doctree, page)


def setup(app: Sphinx) -> dict:
    app.add_node(fold, html=(visit_fold, depart_fold))
    app.add_node(summary, html=(visit_summary, depart_summary))
    app.connect("doctree-resolved", make)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
