"""The exporter of feedback pages, for ``tutor grade`` and for nbgrader's own commands."""

import re
from typing import Any

from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from jinja2 import DictLoader
from markupsafe import escape
from nbconvert.exporters import HTMLExporter
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from nbconvert.filters.widgetsdatatypefilter import WidgetsDataTypeFilter
from nbformat import NotebookNode

from tutor.grading.reports import linear

_PICTURE = re.compile(r"<img (?![^>]*\balt=)")
_LONGEST = 200_000
"""Characters of a page's cells."""
_NO_ALT = "A picture that the notebook drew"


_SHORT_FRACTION = re.compile(r"\\([td]?frac) ?(\d) ?(\d|(?=\{))")
_ANY_SIDE = re.compile(r"\\([bB]igg?)(?![a-zA-Z])")


def formula(tex: str, block: bool) -> str:
    """In the page's own language; as it was written, if docutils does not know it."""
    known = _SHORT_FRACTION.sub(lambda m: rf"\{m[1]}{{{m[2]}}}" + (m[3] and f"{{{m[3]}}}"), tex)
    try:
        return tex2mathml(_ANY_SIDE.sub(r"\\\1l", known).strip(), as_block=block)
    except MathError:
        return f"<code>{escape(tex)}</code>"


class _Markdown(IPythonRenderer):
    def block_math(self, body: str) -> str:
        return formula(body, True)

    def inline_math(self, body: str) -> str:
        return formula(body, False)

    def latex_environment(self, name: str, body: str) -> str:
        return formula(rf"\begin{{{name}}}{body}\end{{{name}}}", True)


def _html(text: str) -> str:
    """nbconvert's filter ``markdown2html``."""
    return MarkdownWithMath(renderer=_Markdown(escape=False)).render(text)


class Pages(HTMLExporter):
    """nbconvert's pages, in time linear in what a student wrote, and without MathJax from a foreign
    host. nbconvert parses each once more to name its pictures and to make its cells reachable by
    the tabulator key, which takes longer than everything before."""

    def __init__(self, **kwargs: Any):
        super().__init__(**kwargs)
        no_mathjax = "{% macro mathjax() %}{% endmacro %}"
        self.extra_loaders = [DictLoader({"mathjax.html.j2": no_mathjax})]

    def from_notebook_node(
        self, nb: NotebookNode, resources: dict[str, Any] | None = None, **kwargs: Any
    ) -> tuple[str, dict[str, Any]]:
        left = _LONGEST
        for cell in nb.cells:
            if len(cell.source) > left:
                cell.source = f"{cell.source[:left]}\n\n# The rest of this cell is not shown."
            left = max(0, left - len(cell.source))
        self.register_filter("highlight_code", linear.highlighted)
        self.register_filter("ansi2html", linear.uncoloured)
        self.register_filter("markdown2html", _html)
        resources = self._init_resources(resources)
        kinds = WidgetsDataTypeFilter(
            notebook_metadata=self._nb_metadata, parent=self, resources=resources
        )
        self.register_filter("filter_data_type", kinds)
        made, resources = super(HTMLExporter, self).from_notebook_node(nb, resources, **kwargs)
        return _PICTURE.sub(f'<img alt="{_NO_ALT}" ', made), resources
