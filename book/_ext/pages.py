"""The page as its readers meet it: on a desk, on a phone, on paper, in a search engine's list.

What a chapter writes is text, code and four admonitions. Here its lines of code learn to go on
below, its tables to stack, its figures and quizzes to answer, and each page says what it is, which
version and of which day. Beside the pages go the libraries under `vendor/`, a map of the site and a
page for addresses that do not exist.
"""

import datetime
import gzip
import html
import os
import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit
from xml.sax.saxutils import escape

import interactive
import styles
from docutils import nodes
from sphinx.application import Sphinx

VENDOR = Path(__file__).parent / "vendor"
UNUSED = {
    "mathjax/tex-chtml.js": "course.js loads it when a formula comes near",
    "scripts/fontawesome.js": "course.css has the icons, in a font of three kilobytes",
    "sphinx-thebe.js": "no page runs code",
    "sphinx-thebe.css": "no page runs code",
    "design-tabs.js": "no page has tabs",
    "togglebutton.js": "boxes fold by themselves: boxes.py",
    "togglebutton.css": "the same",
    "sphinx-design.min.css": "no page has tabs, cards or grids",
}
"""Of the theme and the extensions, what no page loads at once, and why."""
UNUSED_LINES = re.compile("THEBE_JS_URL|togglebuttonSelector|toggleHint|toggleOpenOnPrint")

SCROLLERS = re.compile(
    r'"complete"===document\.readyState\?(\w+)\(\):window\.addEventListener\("load",\1\)'
)
"""The theme's last call. It asks of every block of code whether it scrolls, and so has the browser
lay out all that is folded, twice a second while formulas are set. No block scrolls here."""

BLOCK = re.compile(r"(<div class=\"highlight\"><pre>)(.*?)(</pre></div>)", re.DOTALL)
TABLE = re.compile(r'<table class="[^"]*\b(?:table|dataframe)\b.*?</table>', re.DOTALL)


# Code and tables --------------------------------------------------------------------------------


def lines(block: re.Match) -> str:
    """Each line of code in an element of its own, so that what goes on below is indented."""
    text = block[2].removeprefix("<span></span>").removesuffix("\n")
    return block[1] + "".join(map(_line, text.split("\n"))) + block[3]


def _line(line: str) -> str:
    bare = re.sub(r"<[^>]+>", "", line)
    indent = len(bare) - len(bare.lstrip())
    style = f' style="--i:{indent}"' if indent else ""
    return f'<span class="line"{style}>{line}\n</span>'


def stackable(table: re.Match) -> str:
    """Each cell says its column's name, which a phone shows: there rows are stacked."""
    head, body = table[0].split("<tbody", 1) if "<tbody" in table[0] else (table[0], "")
    names = [
        re.sub(r"</?p>", "", name).strip()
        for name in re.findall(r"<th\b[^>]*>(.*?)</th>", head, re.DOTALL)
    ]

    def row(match: re.Match) -> str:
        waiting = iter(names)

        def cell(start: re.Match) -> str:
            name = next(waiting, "")
            label = f'<span class="column">{name}</span>' if name else ""
            return start[0] + label + '<div class="value">'

        opened = re.sub(r"<t[dh]\b[^>]*>", cell, match[0])
        return re.sub(r"(?=</t[dh]>)", "</div>", opened)

    rows = re.sub(r"<tr\b.*?</tr>", row, body, flags=re.DOTALL)
    return f"{head}<tbody{rows}" if body else head


# What a page says of itself ---------------------------------------------------------------------


def description(doctree: nodes.document, limit: int = 160) -> str:
    """The page's first sentences of plain text, as many as a list of results shows."""
    for paragraph in doctree.findall(nodes.paragraph):
        if isinstance(paragraph.parent, nodes.section) and paragraph.next_node(nodes.Text):
            if isinstance(paragraph[0], nodes.emphasis) and len(paragraph) == 1:
                continue  # what the chapter presupposes, in italics
            if next(paragraph.findall(nodes.math), None):
                continue
            text = " ".join(paragraph.astext().split())
            if len(text) < 40:
                continue
            if len(text) <= limit:
                return text
            cut = text[:limit]
            end = max(cut.rfind(mark) for mark in (". ", "? ", ": "))
            return cut[: end + 1] if end > 60 else cut[: cut.rfind(" ")].rstrip(",;:") + " …"
    return ""


def metadata(app: Sphinx, page: str, context: dict, doctree: nodes.document | None) -> str:
    title = re.sub(r"<[^>]+>", "", context.get("title", "")) or app.config.project
    site = app.config.html_baseurl.rstrip("/") + "/"
    said = description(doctree) if doctree else ""
    said = said or f"{title}. {project()['description']}"
    properties = {
        "og:title": title,
        "og:description": said,
        "og:type": "website" if page == app.config.root_doc else "article",
        "og:url": f"{site}{page}.html",
        "og:site_name": app.config.project,
        "og:image": f"{site}_static/card.png",
        "og:image:alt": f"{app.config.project}: queries, keys and values",
    }
    tags = [f'<meta property="{k}" content="{html.escape(v)}" />' for k, v in properties.items()]
    if 'name="description"' not in context.get("metatags", ""):
        tags.append(f'<meta name="description" content="{html.escape(said)}" />')
    tags.append('<meta name="twitter:card" content="summary_large_image" />')
    return "\n".join(tags)


def project() -> dict:
    root = Path(__file__).parents[2]
    path = root / "pyproject.toml"
    default = {"version": "", "description": ""}
    return tomllib.loads(path.read_text("utf-8"))["project"] if path.exists() else default


def day(root: Path) -> datetime.date:
    """Of the last change that git knows; of the build where there is no git."""
    if "SOURCE_DATE_EPOCH" in os.environ:
        return datetime.datetime.fromtimestamp(
            int(os.environ["SOURCE_DATE_EPOCH"]), datetime.UTC
        ).date()
    git = subprocess.run(
        ["git", "log", "-1", "--format=%cs"], cwd=root, capture_output=True, text=True
    )
    text = git.stdout.strip()
    return datetime.date.fromisoformat(text) if text else datetime.date.today()


def page_context(app: Sphinx, page: str, template: str, context: dict, doctree) -> None:
    if "body" in context:
        body = TABLE.sub(stackable, BLOCK.sub(lines, context["body"]))
        # A fold is called what stands on it, not what MyST-NB calls all folds; and the role that
        # docutils gives a reference is one of the past.
        body = body.replace('<summary aria-label="Toggle hidden content">', "<summary>")
        context["body"] = body.replace('role="doc-biblioentry"', 'role="listitem"')
    context["metatags"] = context.get("metatags", "") + metadata(app, page, context, doctree)
    context["version_and_day"] = f"Version {project()['version']}, {app.day:%-d %B %Y}"
    site = urlsplit(app.config.html_baseurl).path.rstrip("/") + "/"
    context["site_path"] = site
    for files in ("script_files", "css_files"):
        context[files] = [f for f in context.get(files, []) if not _is_unused(f)]
    context["css_files"] = [
        f for f in context["css_files"] if not styles.is_part(str(getattr(f, "filename", f)))
    ]
    # Not documentation_options.js, which the line below it in the page needs at once; nor any on
    # the search's own page, whose last lines call them. The pages share these objects.
    for file in context["script_files"]:
        if getattr(file, "filename", None) and "documentation_options" not in str(file.filename):
            file.attributes.pop("defer", None)
            if page != "search":
                file.attributes["defer"] = "defer"


def _is_unused(asset) -> bool:
    body = (getattr(asset, "attributes", None) or {}).get("body") or ""
    name = str(getattr(asset, "filename", asset) or "")
    return any(unused in name for unused in UNUSED) or bool(UNUSED_LINES.search(body))


def make_interactive(app: Sphinx, doctree: nodes.document, page: str) -> None:
    if app.builder.format == "html":
        interactive.make(doctree, page, Path(app.doctreedir) / "stills")


# Beside the pages -------------------------------------------------------------------------------


def begin(app: Sphinx) -> None:
    app.day = day(Path(app.srcdir))


def lost(app: Sphinx) -> Iterator[tuple[str, dict, str]]:
    yield "404", {"title": "No such page"}, "404.html"


def finish(app: Sphinx, exception: Exception | None) -> None:
    if exception or app.builder.name != "html":
        return
    out = Path(app.outdir)
    site = app.config.html_baseurl.rstrip("/") + "/"
    urls = "".join(
        f"<url><loc>{escape(f'{site}{page}.html')}</loc></url>\n"
        for page in sorted(app.env.found_docs)
    )
    (out / "sitemap.xml").write_text(
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">\n{urls}</urlset>\n',
        "utf-8",
    )
    for path in VENDOR.glob("*.gz"):
        name = re.sub(r"-\d[\d.]*\d(?=\.)", "", path.stem)  # plotly-cartesian.min.js
        (out / "_static" / name).write_bytes(gzip.decompress(path.read_bytes()))
    for name in UNUSED.keys() - {"mathjax/tex-chtml.js"}:
        (out / "_static" / name).unlink(missing_ok=True)
    script = out / "_static" / "scripts" / "pydata-sphinx-theme.js"
    text, calls = SCROLLERS.subn("0", script.read_text("utf-8"))
    if calls:  # none in a copy that an earlier build has left
        script.write_text(text.partition("\n//# sourceMappingURL")[0], "utf-8")
    styles.bundle(out)


def setup(app: Sphinx) -> dict:
    app.add_directive("quiz", interactive.Quiz)
    app.connect("builder-inited", begin)
    app.connect("doctree-resolved", make_interactive)
    app.connect("html-page-context", page_context, priority=910)
    app.connect("html-collect-pages", lost)
    app.connect("build-finished", finish, priority=900)  # the theme writes styles then, too
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
