"""The exporter of feedback pages, for ``tutor grade`` and for nbgrader's own commands."""

import re
from typing import Any

from nbconvert.exporters import HTMLExporter
from nbconvert.filters.widgetsdatatypefilter import WidgetsDataTypeFilter
from nbformat import NotebookNode

from tutor.grading.reports import linear

_PICTURE = re.compile(r"<img (?![^>]*\balt=)")
_LONGEST = 200_000
"""Characters of a page's cells."""
_NO_ALT = "A picture that the notebook drew"


class Pages(HTMLExporter):
    """nbconvert's pages, in time linear in what a student wrote. nbconvert parses each once more to
    name its pictures and to make its cells reachable by the tabulator key, which takes longer than
    everything before."""

    def from_notebook_node(
        self, nb: NotebookNode, resources: dict[str, Any] | None = None, **kwargs: Any
    ) -> tuple[str, dict[str, Any]]:
        left = _LONGEST
        for cell in nb.cells:
            if len(cell.source) > left:
                cell.source = f"{cell.source[:left]}\n\n# The rest of this cell is not shown."
            left = max(0, left - len(cell.source))
        self.register_filter("highlight_code", linear.highlighted)
        self.register_filter("ansi2html", linear.coloured)
        resources = self._init_resources(resources)
        kinds = WidgetsDataTypeFilter(
            notebook_metadata=self._nb_metadata, parent=self, resources=resources
        )
        self.register_filter("filter_data_type", kinds)
        made, resources = super(HTMLExporter, self).from_notebook_node(nb, resources, **kwargs)
        return _PICTURE.sub(f'<img alt="{_NO_ALT}" ', made), resources
