"""What a term means, on the page that uses it, and the way back from a reference.

`book/_static/course.js` shows a card beside a link that has the focus or the pointer. Of a citation
it is what sphinxcontrib-bibtex gives as its title, of a term its explanation, which stands in the
page, so that it needs no server. An entry of the references says which pages cite it.
"""

import json
import re

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.util.osutil import relative_uri

TERM = re.compile(r'href="([^"#]*)#(term-[^"]+)"')


def terms(app: Sphinx) -> dict[str, str]:
    """By anchor, the HTML of every explanation; made once in a build, since every page asks."""
    if app.terms is None:
        objects = app.env.get_domain("std").objects
        pages = {page for (kind, _), (page, _) in objects.items() if kind == "term"}
        app.terms = {}
        for page in sorted(pages):
            doctree = app.env.get_and_resolve_doctree(page, app.builder)
            for glossary in doctree.findall(addnodes.glossary):
                for item in glossary.findall(nodes.definition_list_item):
                    said = _html(app, item.next_node(nodes.definition))
                    app.terms |= {a: said for t in item.findall(nodes.term) for a in t["ids"]}
    return app.terms


def _html(app: Sphinx, explanation: nodes.definition) -> str:
    copy = explanation.deepcopy()
    for link in list(copy.findall(nodes.reference)):  # nobody could reach them
        link.replace_self(link.children)
    parts = (app.builder.render_partial(child)["fragment"] for child in copy)
    return "".join(parts).strip()


def page_context(app: Sphinx, page: str, template: str, context: dict, doctree) -> None:
    if doctree is None or "body" not in context:
        return
    used = sorted(set(TERM.findall(context["body"])))
    cards = {f"{link}#{anchor}": terms(app).get(anchor) for link, anchor in used}
    if cards := {key: said for key, said in cards.items() if said}:
        data = json.dumps(cards, separators=(",", ":")).replace("</", "<\\/")
        context["body"] += f'<script type="application/json" id="terms">{data}</script>'


def lead_back(app: Sphinx, doctree: nodes.document, page: str) -> None:
    """Below an entry of the references, where it is cited first on each page."""
    if app.builder.format != "html" or "cite" not in app.env.domains:
        return
    cite = app.env.get_domain("cite")
    keys = {c.citation_id: c.key for c in cite.citations if c.bibliography_key.docname == page}
    places: dict[str, dict[str, str]] = {}
    for ref in cite.citation_refs:
        for target in ref.targets:
            places.setdefault(target.key, {}).setdefault(ref.docname, ref.citation_ref_id)
    here = app.builder.get_target_uri(page)
    for entry in doctree.findall(nodes.citation):
        cited = places.get(keys.get(entry["ids"][0], ""), {})
        back = nodes.paragraph("", "Cited in ", classes=["cited-in"])
        for number, (docname, anchor) in enumerate(sorted(cited.items())):
            uri = relative_uri(here, app.builder.get_target_uri(docname))
            name = app.env.titles[docname].astext().partition(":")[0]
            back += nodes.Text(", " if number else "")
            back += nodes.reference("", name, refuri=f"{uri}#{anchor}", internal=True)
        if cited:
            entry += back


def begin(app: Sphinx) -> None:
    app.terms = None


def setup(app: Sphinx) -> dict:
    app.connect("builder-inited", begin)
    app.connect("doctree-resolved", lead_back)
    app.connect("html-page-context", page_context, priority=920)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
