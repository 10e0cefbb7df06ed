"""A link from a page to the book, as in the report of a check, stays in the book that one reads.

Where the book is published stands in `_config.yml`. A report has it from the course as it was
installed when the page was executed, which may be another one.
"""

import re

from sphinx.application import Sphinx
from sphinx.util.osutil import relative_uri

REPORTED = re.compile(r'<a href="https?://[^"#]+/(book/[\w-]+)\.html(#[^"]*)?" target="_blank">')


def stay(app: Sphinx, page: str, template: str, context: dict, doctree) -> None:
    def own(link: re.Match) -> str:
        if link[1] not in app.env.found_docs:
            return link[0]
        target = relative_uri(app.builder.get_target_uri(page), f"{link[1]}.html")
        return f'<a href="{target}{link[2] or ""}">'

    if doctree is not None and "body" in context:
        context["body"] = REPORTED.sub(own, context["body"])


def setup(app: Sphinx) -> dict:
    app.connect("html-page-context", stay, priority=905)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
