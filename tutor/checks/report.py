"""What a check says: one verdict a group, as text in a terminal and as HTML in a notebook."""

import html
import os
import re
import textwrap
from dataclasses import asdict, dataclass, replace
from functools import cache
from importlib import metadata
from typing import Any

from tutor.checks.exercise import GROUPS, Exercise

MIME = "application/vnd.attention-workshop.report+json"
"""Key under which a notebook's output keeps the report as data, for the class report."""

_WIDTH = 100
_INDENT = " " * 8


@dataclass(frozen=True)
class Failure:
    """The first thing that is wrong in a group."""

    label: str
    shapes: str
    sentences: tuple[str, ...]
    trap: dict[str, str] | None
    """``name``, ``misconception``, ``section``; None if the answer is no known trap's."""


@dataclass(frozen=True)
class Verdict:
    group: str
    earned: int
    possible: int
    summary: str
    failure: Failure | None = None

    @property
    def passed(self) -> bool:
        return self.earned == self.possible

    def withheld(self) -> "Verdict":
        return replace(self, earned=0, summary="counts once the values are right")


@dataclass(frozen=True)
class Report:
    """``points`` earned of ``possible``, and why. Prints as text, shows as HTML in Jupyter."""

    exercise: str
    chapter: str
    verdicts: tuple[Verdict, ...]
    notes: tuple[str, ...] = ()
    """Said before everything else."""
    device: str = "cpu"

    @classmethod
    def unwritten(cls, exercise: Exercise) -> "Report":
        verdicts = tuple(
            Verdict(g, 0, exercise.points[g], "not run") for g in GROUPS if g in exercise.points
        )
        note = "Not written yet: the function raises NotImplementedError."
        return cls(exercise.name, exercise.chapter, verdicts, (note,))

    @property
    def points(self) -> float:
        return float(sum(v.earned for v in self.verdicts))

    @property
    def possible(self) -> int:
        return sum(v.possible for v in self.verdicts)

    @property
    def passed(self) -> bool:
        return self.points == self.possible

    @property
    def traps(self) -> tuple[str, ...]:
        """Names of the traps recognised, each once."""
        named = (v.failure.trap["name"] for v in self.verdicts if v.failure and v.failure.trap)
        return tuple(dict.fromkeys(named))

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "points": self.points, "possible": self.possible}

    def link(self, section: str) -> str:
        return f"{book_url()}{self.chapter}.html#{slug(section)}"

    def __str__(self) -> str:
        head = self.exercise + (f" on {self.device}" if self.device != "cpu" else "")
        lines = [f"{head:<60} {self.points:g} of {self.possible} points"]
        lines += [f"  {note}" for note in self.notes]
        shown = set()
        for v in self.verdicts:
            mark = "✓" if v.passed else "✗"
            score = f"{v.earned}/{v.possible}"
            lines.append(f"  {mark} {GROUPS[v.group]:<24} {score:<5} {v.summary}")
            if v.failure is None:
                continue
            if v.failure.shapes:
                lines.append(_INDENT + v.failure.shapes)
            lines += [_INDENT + s for s in v.failure.sentences]
            trap = v.failure.trap
            if trap and trap["name"] in shown:
                lines.append(f"{_INDENT}“{trap['name']}” again.")
            elif trap:
                shown.add(trap["name"])
                text = f"You have met “{trap['name']}”: {trap['misconception']}"
                lines += textwrap.wrap(
                    text, _WIDTH, initial_indent=_INDENT, subsequent_indent=_INDENT
                )
                lines.append(f"{_INDENT}“{trap['section']}”: {self.link(trap['section'])}")
        return "\n".join(lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        rows, shown = [], set()
        for v in self.verdicts:
            colour, mark = ("#2da44e", "✓") if v.passed else ("#e5534b", "✗")
            rows.append(
                f'<tr><td style="color:{colour};{_CELL}">{mark}</td>'
                f'<td style="{_CELL}white-space:nowrap">{GROUPS[v.group]}</td>'
                f'<td style="{_CELL}white-space:nowrap">{v.earned}/{v.possible}</td>'
                f'<td style="{_CELL}">{html.escape(v.summary)}</td></tr>'
            )
            if v.failure:
                rows.append(
                    f'<tr><td></td><td colspan="3" style="{_CELL}">{self._details(v, shown)}</td></tr>'
                )
        notes = "".join(f'<div style="margin:4px 0">{html.escape(n)}</div>' for n in self.notes)
        on = f" on {self.device}" if self.device != "cpu" else ""
        return (
            f'<div style="{_BOX}"><div><b>{html.escape(self.exercise)}</b>{on}'
            f'<span style="float:right">{self.points:g} of {self.possible} points</span></div>'
            f'{notes}<table style="{_TABLE}"><tbody>{"".join(rows)}</tbody></table></div>'
        )

    def _details(self, verdict: Verdict, shown: set[str]) -> str:
        failure = verdict.failure
        lines = [s for s in (failure.shapes, *failure.sentences) if s]
        text = html.escape("\n".join(lines))
        parts = [f'<pre style="{_PRE}">{text}</pre>']
        trap = failure.trap
        if trap and trap["name"] in shown:
            parts.append(f"<div>“{html.escape(trap['name'])}” again.</div>")
        elif trap:
            shown.add(trap["name"])
            parts.append(
                f'<div style="{_TRAP}">You have met <b>{html.escape(trap["name"])}</b>: '
                f"{html.escape(trap['misconception'])} "
                f'<a href="{html.escape(self.link(trap["section"]))}" target="_blank">'
                f"Chapter: {html.escape(trap['section'])}</a></div>"
            )
        return "".join(parts)

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict[str, Any]:
        return {"text/plain": str(self), "text/html": self._repr_html_(), MIME: self.to_dict()}


# Colours are inherited from the page, so that light and dark themes both work; green and red are
# mid-tones with a contrast of at least 3:1 on white and on JupyterLab's dark grey.
_BOX = "max-width:60em;padding:8px 12px;border:1px solid #8888;border-radius:6px;line-height:1.45"
_TABLE = "border-collapse:collapse;margin:6px 0 0 0;width:100%;background:transparent;border:0"
_CELL = "text-align:left;vertical-align:top;padding:2px 6px;background:transparent;border:0;"
_PRE = (
    "white-space:pre-wrap;overflow-wrap:anywhere;margin:0 0 4px 0;padding:0;"
    "background:transparent;color:inherit;border:0"
)
_TRAP = "border-left:3px solid #e5534b;padding:2px 0 2px 10px;margin:4px 0;white-space:normal"


@cache
def book_url() -> str:
    """Where the reports' links lead: ``TUTOR_BOOK_URL``, or the published book."""
    if url := os.environ.get("TUTOR_BOOK_URL"):
        return url.rstrip("/") + "/"
    urls = metadata.metadata("attention-workshop").get_all("Project-URL")
    return dict(u.split(", ", 1) for u in urls)["Book"]


def slug(heading: str) -> str:
    """A heading's anchor in the built book, as docutils makes it of plain words."""
    return re.sub(r"[^a-z0-9]+", "-", heading.lower()).strip("-")
