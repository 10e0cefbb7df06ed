"""What a check says: one verdict a group, as text in a terminal and as HTML in a notebook."""

import html
import os
import re
import textwrap
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from functools import cache
from importlib import metadata
from typing import Any

from tutor.checks.exercise import GROUPS, Exercise, Trap

MIME = "application/vnd.attention-workshop.report+json"
"""Key under which a notebook's output keeps the report as data, for the class report."""

_LONGEST = 400
_WIDTH = 100
_INDENT = " " * 8


class Points(float):
    """What a check earns, as the value of its cell. nbgrader reads the number; a notebook, which
    has shown the report, shows nothing more."""

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict[str, str]:
        return {"text/plain": repr(float(self)), "text/html": ""}


@dataclass(frozen=True)
class Failure:
    """The first thing that is wrong in a group."""

    label: str
    shapes: str
    sentences: tuple[str, ...]
    trap: dict[str, str] | None
    """``name``, ``misconception``, ``section``; None if the answer is no known trap's."""

    @classmethod
    def of(
        cls, label: str, shapes: str, sentences: list[str], trap: Trap | None = None
    ) -> "Failure":
        """With sentences short enough to be read: an answer may have a million dimensions."""
        cut = (s if len(s) <= _LONGEST else s[:_LONGEST] + " ..." for s in sentences)
        about = trap and {n: getattr(trap, n) for n in ("name", "misconception", "section")}
        return cls(label, shapes, tuple(cut), about)


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

    def withheld(self, until: str) -> "Verdict":
        return replace(self, earned=0, summary=f"counts once {until}")


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
    def unwritten(
        cls,
        exercise: Exercise,
        note: str = "Not written yet: the function raises NotImplementedError.",
    ) -> "Report":
        """Nothing was run; ``note`` says why."""
        verdicts = tuple(
            Verdict(g, 0, exercise.points[g], "not run") for g in GROUPS if g in exercise.points
        )
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
        return f"{book_url()}book/{self.chapter}.html#{slug(section)}"

    def _told(self) -> Iterator[tuple[Verdict, list[str], dict[str, str] | None]]:
        """Each verdict with its lines and its trap, told once: later groups refer back."""
        said: set[tuple[str, ...]] = set()
        traps: set[str] = set()
        for v in self.verdicts:
            if v.failure is None:
                yield v, [], None
                continue
            lines, trap = list(v.failure.sentences), v.failure.trap
            if v.failure.sentences in said:
                lines = ["the same as above"]
            said.add(v.failure.sentences)
            if trap and trap["name"] in traps:
                lines.append(f"“{trap['name']}” again")
                trap = None
            elif trap:
                traps.add(trap["name"])
            yield v, [v.failure.shapes, *lines] if v.failure.shapes else lines, trap

    def __str__(self) -> str:
        head = self.exercise + (f" on {self.device}" if self.device != "cpu" else "")
        out = [f"{head:<60} {self.points:g} of {self.possible} points"]
        out += [f"  {note}" for note in self.notes]
        for v, lines, trap in self._told():
            mark = "✓" if v.passed else "✗"
            score = f"{v.earned}/{v.possible}"
            out.append(f"  {mark} {GROUPS[v.group]:<24} {score:<5} {v.summary}")
            if trap:
                text = f"You have met “{trap['name']}”: {trap['misconception']}"
                lines += textwrap.wrap(text, _WIDTH - len(_INDENT), break_on_hyphens=False)
                lines.append(f"“{trap['section']}”: {self.link(trap['section'])}")
            out += [_INDENT + line for line in lines]
        return "\n".join(out)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        e = html.escape
        cells = []
        for v, lines, trap in self._told():
            colour, mark = ("#2da44e", "✓") if v.passed else ("#e5534b", "✗")
            cells.append(
                f'<div style="color:{colour}">{mark}</div><div style="{_LINE}">'
                f'<div style="flex:0 0 12.5em">{e(GROUPS[v.group])}</div>'
                f'<div style="flex:0 0 2em">{v.earned}/{v.possible}</div>'
                f'<div style="flex:1 1 15em;min-width:0">{e(v.summary)}</div></div>'
            )
            details = f'<pre style="{_PRE}">{e(chr(10).join(lines))}</pre>' if lines else ""
            if trap:
                details += (
                    f'<div style="{_TRAP}">You have met <b>{e(trap["name"])}</b>: '
                    f"{e(trap['misconception'])} "
                    f'<a href="{e(self.link(trap["section"]))}" target="_blank">'
                    f"Chapter: {e(trap['section'])}</a></div>"
                )
            if details:
                cells.append(f'<div style="grid-column:2;min-width:0">{details}</div>')
        notes = "".join(f'<div style="margin:4px 0">{e(n)}</div>' for n in self.notes)
        on = f" on {e(self.device)}" if self.device != "cpu" else ""
        return (
            f'<div style="{_BOX}"><div style="{_HEAD}"><div><b>{e(self.exercise)}</b>{on}</div>'
            f"<div>{self.points:g} of {self.possible} points</div></div>"
            f'{notes}<div style="{_GRID}">{"".join(cells)}</div></div>'
        )

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict[str, Any]:
        return {"text/plain": str(self), "text/html": self._repr_html_(), MIME: self.to_dict()}


# Colours are inherited from the page, so that light and dark themes both work; green and red are
# mid-tones with a contrast of at least 3:1 on white and on JupyterLab's dark grey.
_BOX = (
    "max-width:60em;padding:8px 12px;border:1px solid #8888;border-radius:6px;line-height:1.45;"
    "box-sizing:border-box"
)
_HEAD = "display:flex;flex-wrap:wrap;justify-content:space-between;gap:0 1em;margin-bottom:4px"
_GRID = "display:grid;grid-template-columns:auto minmax(0,1fr);gap:2px 12px"
# Where there is no room beside them, the summary goes below the group's name and its points.
_LINE = "display:flex;flex-wrap:wrap;gap:0 12px;min-width:0"
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
