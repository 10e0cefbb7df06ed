"""Where the book and its repository are: `_config.yml` says it, for whoever publishes a copy.

Texts and notebooks name the addresses that `pyproject.toml` has. In the book and in all that is
exported beside it stand those of `_config.yml` in their place, and a link from a page to the book
itself, such as in the report of a check, stays in the book that one reads.
"""

import re
import tomllib
from pathlib import Path
from urllib.parse import urlsplit

from sphinx.application import Sphinx
from sphinx.util.osutil import relative_uri


def moved(app: Sphinx, text: str) -> str:
    """The text with the addresses of this book."""
    for written, here in _places(app):
        text = text.replace(written, here)
    return text


def _places(app: Sphinx) -> list[tuple[str, str]]:
    path = Path(__file__).parents[2] / "pyproject.toml"
    urls = tomllib.loads(path.read_text("utf-8"))["project"]["urls"] if path.exists() else {}
    if not urls:
        return []
    repository = app.config.html_theme_options["repository_url"].rstrip("/")
    site, written = app.config.html_baseurl.rstrip("/"), urls["Repository"].rstrip("/")
    old, new = urlsplit(written).path, urlsplit(repository).path
    return [
        (urls["Book"].rstrip("/"), site),
        (written, repository),
        (f"colab.research.google.com/github{old}", f"colab.research.google.com/github{new}"),
        (f"mybinder.org/v2/gh{old}", f"mybinder.org/v2/gh{new}"),
    ]


def move(app: Sphinx, page: str, source: list[str]) -> None:
    source[0] = moved(app, source[0])


def stay(app: Sphinx, page: str, template: str, context: dict, doctree) -> None:
    if doctree is None or "body" not in context:
        return
    here, site = app.builder.get_target_uri(page), app.config.html_baseurl.rstrip("/") + "/"

    def own(link: re.Match) -> str:
        return f'href="{relative_uri(here, link[1])}{link[2]}"'

    link = rf'href="{re.escape(site)}(book/[\w./-]+\.html)(#[^"]*)?"(?: target="_blank")?'
    context["body"] = re.sub(link, own, moved(app, context["body"]))


def setup(app: Sphinx) -> dict:
    app.connect("source-read", move)
    app.connect("html-page-context", stay, priority=905)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
