"""What a class knows and what it has misunderstood, as one HTML page: report.html.

Scores come from nbgrader's gradebook (so with late penalties and manual grades), all else from the
autograded notebooks: traps and errors from their outputs, times, limits and what could not be read
from their metadata. The page names students: it is the instructor's.
"""

import statistics
from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import jinja2
import nbformat
from markupsafe import Markup
from nbgrader.api import Gradebook, MissingEntry
from nbgrader.utils import is_grade, is_solution

from tutor.checks.report import MIME
from tutor.course.settings import open_gradebook
from tutor.grading.reports import similarity
from tutor.grading.reports.apart import Failed, apart
from tutor.grading.reports.similarity import Pair
from tutor.sandbox.outputs import inert

SECONDS = 3600
"""Of processor time: a class of many hundreds is compared pair by pair."""

FAR_BELOW = 0.5
"""Of the class's median: who has less is listed among those who need a look."""


@dataclass
class Submission:
    """One student and one chapter."""

    student: str
    name: str = ""
    scores: dict[str, float] = field(default_factory=dict)
    """Points by exercise; empty if nothing was handed in or nothing could be graded."""
    total: float = 0.0
    """After the penalty for lateness."""
    late: timedelta = timedelta()
    traps: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    """Exercise, and the trap's name, misconception and section."""
    problems: list[str] = field(default_factory=list)
    """Reasons to look at the submission, one sentence each."""
    unreadable: list[str] = field(default_factory=list)
    """Why the notebook, or a part of it, could not be graded."""
    limits: list[str] = field(default_factory=list)
    """Of time, memory and so on, that it broke."""
    seconds: dict[str, float] = field(default_factory=dict)
    """By exercise: its cells and its check."""
    written: dict[str, str] = field(default_factory=dict)
    """By exercise: what the student wrote."""

    @property
    def label(self) -> str:
        return f"{self.name} ({self.student})" if self.name else self.student


@dataclass
class Chapter:
    name: str
    exercises: dict[str, float]
    """Points possible, by exercise."""
    submissions: list[Submission]
    similar: list[Pair] = field(default_factory=list)

    @property
    def possible(self) -> float:
        return sum(self.exercises.values())

    @property
    def graded(self) -> list[Submission]:
        return [s for s in self.submissions if s.scores]

    @property
    def median(self) -> float:
        return statistics.median(s.total for s in self.graded) if self.graded else 0.0

    def mean(self, exercise: str) -> float:
        return statistics.fmean(s.scores[exercise] for s in self.graded) if self.graded else 0.0

    def distribution(self, exercise: str) -> list[int]:
        """Number of students with 0, 1, 2, ... points."""
        most = int(self.exercises[exercise])
        counts = Counter(min(int(s.scores[exercise]), most) for s in self.graded)
        return [counts[points] for points in range(most + 1)]

    def traps(self) -> list[tuple[str, dict[str, str], list[str]]]:
        """Exercise, trap and who fell into it; the most frequent first."""
        who: dict[tuple[str, str], list[str]] = {}
        trap_of = {}
        for submission in self.submissions:
            for exercise, trap in submission.traps:
                key = (exercise, trap["name"])
                trap_of[key] = trap
                who.setdefault(key, []).append(submission.label)
        order = list(self.exercises)
        keys = sorted(who, key=lambda k: (-len(who[k]), order.index(k[0])))
        return [(k[0], trap_of[k], who[k]) for k in keys]

    def times(self) -> list[tuple[str, float, float, str]]:
        """Exercise, median seconds, most seconds, and whose they are."""
        rows = []
        for exercise in self.exercises:
            times = [
                (s.seconds[exercise], s.label) for s in self.submissions if exercise in s.seconds
            ]
            if times:
                rows.append((exercise, statistics.median(t for t, _ in times), *max(times)))
        return rows

    def label(self, student: str) -> str:
        return next((s.label for s in self.submissions if s.student == student), student)

    def needs_a_look(self) -> list[tuple[Submission, list[str]]]:
        found = []
        for s in self.submissions:
            reasons = list(s.problems)
            if s.late:
                reasons.insert(0, f"{_duration(s.late)} late")
            if s.unreadable:
                reasons.append("see “Could not be graded”")
            if s.limits:
                reasons.append("see “Limits”")
            if s.scores and not any(s.scores.values()):
                reasons.append("no points at all")
            elif s.scores and s.total < FAR_BELOW * self.median:
                reasons.append(f"{s.total:g} points, less than half of the median, {self.median:g}")
            if reasons:
                found.append((s, reasons))
        return found


def collect(folder: Path, url: str = "", compared: bool = True) -> list[Chapter]:
    """Everything that the gradebook and the autograded notebooks in ``folder`` know.

    ``compared``: also which solutions are alike.
    """
    chapters = []
    with open_gradebook(url or f"sqlite:///{folder / 'gradebook.db'}") as gradebook:
        students = sorted(gradebook.students, key=lambda s: s.id)
        for assignment in sorted(gradebook.assignments, key=lambda a: a.name):
            # The source cells, unlike the grade cells, know their order.
            exercises = {
                cell.name: points[cell.name]
                for notebook in assignment.notebooks
                for points in ({c.name: c.max_score for c in notebook.grade_cells},)
                for cell in notebook.source_cells
                if cell.name in points
            }
            rows = [_submission(gradebook, folder, assignment.name, s) for s in students]
            for row in filter(lambda r: r.scores, rows):
                row.scores = {name: row.scores.get(name, 0.0) for name in exercises}
            written = {r.student: r.written for r in rows if r.written}
            similar = [
                pair
                for notebook in (assignment.notebooks if compared else ())
                for pair in similarity.pairs(assignment.name, notebook.name, written)
            ]
            chapters.append(Chapter(assignment.name, exercises, rows, similar))
    return chapters


def _submission(gradebook: Gradebook, folder: Path, chapter: str, student: Any) -> Submission:
    names = (student.first_name, student.last_name)
    row = Submission(student.id, " ".join(n for n in names if n))
    try:
        submission = gradebook.find_submission(chapter, student.id)
    except MissingEntry:
        row.problems.append("nothing handed in")
        return row
    row.late = timedelta(seconds=submission.total_seconds_late)
    for notebook in submission.notebooks:
        path = folder / "autograded" / student.id / chapter / f"{notebook.name}.ipynb"
        if not path.exists():
            row.problems.append(f"{notebook.name}.ipynb is missing or could not be graded")
            continue
        row.scores |= {grade.name: grade.score for grade in notebook.grades}
        try:
            # Ours: without nbformat's validation, which takes longer than everything else here.
            nb = nbformat.v4.reads(path.read_text(encoding="utf-8"))
            read_outputs(nb, row)
            _read_facts(nb, row)
        except Exception:  # cut off on a full disk, say, or changed by hand
            row.problems.append(f"autograded/{notebook.name}.ipynb cannot be read: grade it again")
            continue
        present = {c.metadata.get("nbgrader", {}).get("grade_id") for c in nb.cells}
        for grade in notebook.grades:
            if grade.name not in present:
                row.problems.append(f"{grade.name}: its check was deleted")
            elif grade.needs_manual_grade:
                row.problems.append(f"{grade.name} needs to be graded by hand")
    row.total = max(0.0, submission.score - submission.late_submission_penalty)
    return row


def read_outputs(nb: nbformat.NotebookNode, row: Submission) -> None:
    """Traps and errors that the outputs of a graded notebook tell of."""
    for cell in nb.cells:
        if cell.cell_type != "code":
            continue
        name = cell.metadata.get("nbgrader", {}).get("grade_id", "one of the student's own cells")
        for output in cell.outputs:
            if output.output_type == "error":
                row.problems.append(f"{name}: {output.ename}: {_short(output.evalue)}")
            report = output.get("data", {}).get(MIME)
            if report is not None and is_grade(cell) and not _blames_another(report):
                failures = (v["failure"] for v in report["verdicts"])
                traps = {t["name"]: t for f in failures if f for t in f["traps"]}
                row.traps += [(name, trap) for trap in traps.values()]
        if is_grade(cell) and not cell.outputs:
            row.problems.append(f"{name}: its check said nothing")


def _read_facts(nb: nbformat.NotebookNode, row: Submission) -> None:
    about = nb.metadata.get("tutor", {})
    row.unreadable += about.get("problems", [])
    row.limits += about.get("limits", [])
    row.seconds |= about.get("seconds", {})
    for cell in nb.cells:
        own = cell.metadata.get("tutor", {}).get("added_after")
        if is_solution(cell):
            own = cell.metadata.nbgrader.grade_id
        if own and cell.source.strip():
            name = own.removesuffix("-solution")
            row.written[name] = "\n\n".join(filter(None, (row.written.get(name), cell.source)))


def _blames_another(report: dict[str, Any]) -> bool:
    """Whether an earlier function of the student's is at fault: its own report counts the trap."""
    return any(note.startswith("It calls your ") for note in report["notes"])


def _short(text: str) -> str:
    lines = text.strip().splitlines() or [""]
    return lines[0][:120]


def _duration(late: timedelta) -> str:
    hours = late.total_seconds() / 3600
    return (
        f"{hours / 24:.0f} days" if hours >= 48 else f"{hours:.0f} h" if hours >= 1 else "under 1 h"
    )


def render(chapters: list[Chapter]) -> str:
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters["points"] = lambda x: f"{round(x, 1):g}"
    # A long name may be broken after its underscores, and nowhere else.
    environment.filters["broken"] = lambda name: Markup("_<wbr>").join(name.split("_"))
    return environment.from_string(PAGE).render(chapters=chapters)


def write(folder: Path, url: str = "", compared: bool = True) -> Path:
    page = folder / "report.html"
    page.write_text(render(collect(folder, url, compared)), encoding="utf-8")
    return page


def write_apart(folder: Path, url: str) -> tuple[list[Path], list[str]]:
    """``write`` in a process of its own; what was written, and a sentence if it is not all.

    Solutions that cannot be compared cost the report its list of those that are alike.
    """
    problems = []
    for compared, what in ((True, "No solutions were compared"), (False, "There is no report")):
        ((_, page),) = apart(write, {"report": (folder, url, compared)}, 1, SECONDS)
        if not isinstance(page, Failed):
            return [page], problems
        problems.append(f"{what}: {inert(str(page))}")
    return [], problems


PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Class report</title>
<style>
:root { color-scheme: light dark; --line: #8885; --soft: #8881; --bar: #4a7fc1; --part: #b07a1f; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 64rem; margin: 0 auto; padding: 1rem; }
h1 { font-size: 1.6rem; } h2 { margin-top: 2.5rem; } h3 { margin: 2rem 0 .5rem; }
p { max-width: 44rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .6rem; border-bottom: 1px solid var(--line); text-align: right; }
th:first-child, td:first-child { text-align: left; position: sticky; left: 0; background: Canvas; }
thead th { vertical-align: bottom; font-weight: 600; }
td { white-space: nowrap; }
.total, tfoot td { font-weight: 600; }
.zero { color: #d1453b; } .full { opacity: .75; }
.plots { display: grid; grid-template-columns: repeat(auto-fill, minmax(13rem, 1fr)); gap: 1.2rem; }
figure { margin: 0; } figcaption { font-size: .85rem; }
svg { display: block; width: 100%; height: 5.5rem; }
svg rect { fill: var(--bar); } svg text { fill: currentColor; font-size: 9px; text-anchor: middle; }
.cards { padding: 0; list-style: none; }
.cards li { border-left: 3px solid var(--part); background: var(--soft); padding: .5rem .8rem;
  margin: .6rem 0; overflow-wrap: anywhere; }
.where { opacity: .75; font-size: .9rem; }
</style>
</head>
<body>
<h1>Class report</h1>
<p>It names students: it is for those who grade.</p>
{% if not chapters %}<p>The gradebook holds no exercise yet.</p>{% endif %}
{% for chapter in chapters %}
<h2>{{ chapter.name }}</h2>
<p>{{ chapter.graded | length }} of {{ chapter.submissions | length }} students graded;
median {{ chapter.median | points }} of {{ chapter.possible | points }} points.</p>

<h3>Who needs a look</h3>
<ul class="cards look">
{% for submission, reasons in chapter.needs_a_look() %}
<li><b>{{ submission.label }}</b>: {{ reasons | join("; ") }}</li>
{% else %}
<li>Nobody stands out.</li>
{% endfor %}
</ul>

{% for title, attribute in (("Could not be graded", "unreadable"), ("Limits", "limits")) %}
{% set found = chapter.submissions | selectattr(attribute) | list %}
{% if found %}
<h3>{{ title }}</h3>
<ul class="cards {{ attribute }}">
{% for s in found %}
<li><b>{{ s.label }}</b>: {{ s[attribute] | join(" ") }}</li>
{% endfor %}
</ul>
{% endif %}
{% endfor %}

{% if chapter.similar %}
<h3>Solutions that are alike</h3>
<p>These agree in more than chance explains, names of variables aside or to the letter, with the
reference solution and what few lines allow taken out. It is a reason to lay two notebooks side by
side, and no proof of anything.</p>
<ul class="cards similar">
{% for pair in chapter.similar %}
<li><b>{{ chapter.label(pair.students[0]) }}</b> and
<b>{{ chapter.label(pair.students[1]) }}</b>: {{ pair.exercises | join(", ") }}</li>
{% endfor %}
</ul>
{% endif %}

<h3>Which traps the class fell into</h3>
<ul class="cards traps">
{% for exercise, trap, who in chapter.traps() %}
<li><b>{{ who | length }} × {{ trap.name }}</b>
<span class="where">in {{ exercise | broken }}; section “{{ trap.section }}”</span>
<br>{{ trap.misconception }}<br>
<span class="who">{{ who | join(", ") }}</span></li>
{% else %}
<li>No wrong answer was one that the checks know.</li>
{% endfor %}
</ul>

<h3>Points by exercise</h3>
<p>A bar for each number of points, from 0 to full marks: how many students have it.</p>
<div class="plots">
{% for exercise, possible in chapter.exercises.items() %}
{% set counts = chapter.distribution(exercise) %}
{% set width = 160 / (counts | length) %}
<figure>
<svg viewBox="0 0 160 88" preserveAspectRatio="xMinYMid" role="img"
 aria-label="{{ exercise }}: students by points">
{% for count in counts %}
{% set height = 60 * count / ([counts | max, 1] | max) %}
<rect x="{{ loop.index0 * width + 1 }}" y="{{ 72 - height }}" width="{{ width - 2 }}"
 height="{{ height }}"><title>{{ count }} with {{ loop.index0 }} points</title></rect>
{% set middle = (loop.index0 + 0.5) * width %}
{% if count %}<text x="{{ middle }}" y="{{ 69 - height }}">{{ count }}</text>{% endif %}
<text x="{{ middle }}" y="84">{{ loop.index0 }}</text>
{% endfor %}
</svg>
<figcaption>{{ exercise | broken }}<br>
mean {{ chapter.mean(exercise) | points }} of {{ possible | points }}</figcaption>
</figure>
{% endfor %}
</div>

{% if chapter.times() %}
<h3>Time by exercise</h3>
<div class="wide" tabindex="0">
<table class="times">
<thead><tr><th>Exercise</th><th>median</th><th>most</th><th>whose</th></tr></thead>
{% for exercise, median, most, whose in chapter.times() %}
<tr><td>{{ exercise | broken }}</td><td>{{ "%.2f" | format(median) }} s</td>
<td>{{ "%.2f" | format(most) }} s</td><td>{{ whose }}</td></tr>
{% endfor %}
</table>
</div>
{% endif %}

<h3>Every student</h3>
<div class="wide" tabindex="0">
<table>
<thead><tr><th>Student</th><th>total</th>
{% for exercise in chapter.exercises %}<th>{{ exercise | broken }}</th>{% endfor %}</tr></thead>
<tbody>
{% for s in chapter.submissions %}
<tr><td>{{ s.label }}</td><td class="total">{{ s.total | points if s.scores else "–" }}</td>
{% for exercise, possible in chapter.exercises.items() %}
{% if s.scores %}{% set score = s.scores[exercise] %}
<td class="{{ 'zero' if not score else 'full' if score >= possible }}">{{ score | points }}</td>
{% else %}<td>–</td>{% endif %}
{% endfor %}</tr>
{% endfor %}
</tbody>
<tfoot><tr><td>possible</td><td>{{ chapter.possible | points }}</td>
{% for possible in chapter.exercises.values() %}<td>{{ possible | points }}</td>{% endfor %}
</tr></tfoot>
</table>
</div>
{% endfor %}
</body>
</html>
"""
