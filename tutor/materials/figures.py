"""The figures' shared style: one colour each for queries, keys and values, legible on any page.

The colours are mid-tones, so that a notebook shows them on a light and on a dark background
alike. In the book each gets the page's own shade of it: `book/_static/course.css` has a variable
`--c-RRGGBB` for every one (a test compares the two), which `book/_ext/drawings.py` puts into
matplotlib's SVGs and `book/_static/course.js` into Plotly's figures.
"""

import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import plotly.graph_objects as go
import plotly.io as pio
from cycler import cycler
from IPython import get_ipython
from IPython.display import HTML, display
from jupyterquiz import display_quiz
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, to_rgba
from matplotlib_inline.backend_inline import set_matplotlib_formats

from tutor import ROOT

QUERY, KEY, VALUE = "#2f80d8", "#d2622a", "#0f8a63"  # of nothing else
WEIGHT, OTHER = "#b04fa5", "#7c8796"  # what attention computes, and what it is compared with
# Models, heads, cells: whatever is told apart from its like has a colour and a mark, so that the
# colour-blind and a printer tell it apart as well.
MODELS = (OTHER, "#a89000", "#6d3fe0", "#7d4a32", "#e8305a")
MARKS = ("o", "s", "^", "D", "v")
INK, GRID = "#767b84", "#8b939e"  # text and axes; lines behind the data

# From nothing to WEIGHT by opacity, so that zero is the page's own background, whichever it is.
WEIGHTS = LinearSegmentedColormap.from_list(
    "weights", [to_rgba(WEIGHT, 0.04), to_rgba(WEIGHT, 1.0)]
)

# jupyterquiz's colours: the page's where it has them, and legible ones where it has not.
QUIZ = {
    "--jq-multiple-choice-bg": "var(--quiz-question, #24466e)",
    "--jq-many-choice-bg": "var(--quiz-question, #24466e)",
    "--jq-numeric-bg": "var(--quiz-question, #24466e)",
    "--jq-string-bg": "var(--quiz-question, #24466e)",
    "--jq-text-color": "var(--quiz-question-text, #ffffff)",
    "--jq-link-color": "var(--quiz-link, #bcd9ff)",
    "--jq-mc-button-bg": "var(--quiz-answer, #f3f4f5)",
    "--jq-mc-button-border": "var(--quiz-border, #767b84)",
    "--jq-correct-color": "var(--quiz-correct, #07603f)",
    "--jq-incorrect-color": "var(--quiz-incorrect, #a6330b)",
    "--jq-numeric-input-bg": "var(--quiz-answer, #f3f4f5)",
    "--jq-numeric-input-label": "var(--quiz-question-text, #ffffff)",
}
# JupyterLab's own colours of code and feedback are for a page without coloured boxes.
_QUIZ_STYLE = """<style>
.Quiz, .Quiz .MCButton, .Quiz .Feedback { font-size: 1rem; line-height: 1.45; }
.Quiz .Answer { grid-template-columns: 1fr; }
.Quiz .MCButton { justify-content: flex-start; text-align: left; }
.Quiz .Feedback { color: inherit; text-align: left; }
.Quiz .MCButton code, .Quiz [class$=Qn] code { background: none; border: 0; color: inherit; }
</style>"""

_MATPLOTLIB = {
    "axes.edgecolor": INK,
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.labelcolor": INK,
    "axes.prop_cycle": cycler(color=MODELS),
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": INK,
    "axes.titlesize": "medium",
    "figure.constrained_layout.use": True,
    "figure.dpi": 160,
    "figure.facecolor": "none",
    "figure.figsize": (5.8, 3.4),  # the letters stay readable on a phone
    "font.size": 11,
    "grid.alpha": 0.25,
    "grid.color": GRID,
    "image.cmap": "weights",
    "legend.framealpha": 0,
    "legend.handlelength": 3.2,  # a dashed line's swatch shows its dashes, with a marker on it too
    "legend.labelcolor": INK,
    "lines.linewidth": 2,
    "savefig.facecolor": "none",
    "svg.fonttype": "none",  # text stays text: smaller, found by a search, in the page's own face
    "svg.hashsalt": "attention-workshop",  # the same figure is the same file
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
}


def _template() -> go.layout.Template:
    weights = [[0, f"{WEIGHT}0a"], [1, WEIGHT]]
    axis = {
        "automargin": True,
        "gridcolor": f"{GRID}40",
        "linecolor": INK,
        "tickcolor": INK,
        "zerolinecolor": f"{GRID}80",
    }
    control = {"bgcolor": f"{GRID}30", "bordercolor": GRID}
    return go.layout.Template(
        data={"heatmap": [{"colorscale": weights, "xgap": 1, "ygap": 1}]},
        layout={
            "autosize": True,
            "colorscale": {"sequential": weights},
            "colorway": list(MODELS),
            "font": {"color": INK, "family": "system-ui, sans-serif", "size": 14},
            "height": 420,
            "hoverlabel": {"font": {"size": 14}},
            "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
            "margin": {"l": 8, "r": 8, "t": 48, "b": 8},
            "paper_bgcolor": "rgba(0,0,0,0)",
            "plot_bgcolor": "rgba(0,0,0,0)",
            "sliderdefaults": {
                **control,
                "activebgcolor": QUERY,
                "pad": {"t": 56},
                "tickcolor": INK,
            },
            "title": {"x": 0, "xref": "paper", "font": {"size": 16}},
            "updatemenudefaults": control,
            "xaxis": axis,
            "yaxis": axis,
        },
    )


def use_style() -> None:
    """Make this the style of every figure drawn after it, matplotlib's and Plotly's."""
    if "weights" not in mpl.colormaps:
        mpl.colormaps.register(WEIGHTS)
    mpl.rcParams.update(_MATPLOTLIB)
    pio.templates["workshop"] = _template()
    pio.templates.default = "workshop"
    if get_ipython() is not None:
        set_matplotlib_formats("svg", metadata={"Date": None})


def show(figure: go.Figure, alt: str) -> None:
    """Show a Plotly figure, in the book without any network and in JupyterLab.

    alt: what there is to see, for those who cannot see it.
    """
    if "google.colab" in sys.modules:  # knows neither the MIME type nor the book's script
        figure.show()
        return
    spec = figure.to_json()
    height = figure.layout.height or pio.templates["workshop"].layout.height
    safe = spec.replace("</", "<\\/")
    quoted = alt.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")
    page = (
        f'<div class="plotly-figure" role="group" aria-label="{quoted}" '
        f'style="height: {height}px"><script type="application/json">{safe}</script>'
        f"<noscript>An interactive figure, which needs JavaScript: {quoted}</noscript></div>"
    )
    bundle: dict[str, Any] = {
        "application/vnd.plotly.v1+json": json.loads(spec),
        "text/html": page,
        "text/plain": alt,
    }
    display(bundle, raw=True)


def heatmap(
    axes: Axes,
    weights: Any,
    rows: Sequence[str] | None = None,
    columns: Sequence[str] | None = None,
    digits: int | None = 2,
) -> None:
    """Draw weights in [0, 1], queries down and keys across, with the numbers in the cells.

    digits: decimals of the numbers, None for no numbers.
    """
    weights = np.asarray(weights, dtype=float)
    axes.imshow(weights, cmap=WEIGHTS, vmin=0, vmax=1)
    axes.set_xticks(range(weights.shape[1]), columns)
    axes.set_yticks(range(weights.shape[0]), rows)
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.grid(False)
    if digits is not None:
        for (row, column), weight in np.ndenumerate(weights):
            colour = "#ffffff" if weight > 0.6 else INK
            axes.text(column, row, f"{weight:.{digits}f}", ha="center", va="center", color=colour)


def results(path: str) -> Any:
    """A benchmark's committed result, such as ``benchmarks/results/translators.json``.

    Found beside the package in the repository, and in an installed copy among its data.
    """
    places = (
        ROOT / path,
        Path(sys.prefix, "share", "attention-workshop", path),
    )
    found = next((p for p in places if p.exists()), None)
    if found is None:
        raise FileNotFoundError(f"{path} is neither at {places[0]} nor at {places[1]}")
    return json.loads(found.read_text("utf-8"))


def translators(
    runs: Mapping[str, Sequence[Mapping[str, Any]]],
    chapter: int,
    yours: Mapping[str, Mapping[int, float]] | None = None,
) -> None:
    """Draw the share of exact matches against the length of the source: one curve for each
    translator up to this chapter's, which is the strong one, with the range of its seeds.

    runs: of ``benchmarks/results/translators.json``. yours: one translator's shares, by language
    and length, drawn dashed on top of them.
    """
    shown = {name: seeds for name, seeds in runs.items() if int(name.partition(":")[0]) <= chapter}
    panels = {"de": "to German", "fr": "to French"}
    figure, axes = plt.subplots(1, 2, figsize=(5.8, 3.3 + 0.25 * len(shown)), sharey=True)
    for at, (to, title) in zip(axes, panels.items(), strict=True):
        for (name, seeds), colour, mark in zip(shown.items(), MODELS, MARKS, strict=False):
            lengths = sorted(map(int, seeds[0]["by_length"][to]))
            shares = np.array([[s["by_length"][to][str(n)] for n in lengths] for s in seeds])
            newest = int(name.partition(":")[0]) == chapter
            style = {"color": colour, "alpha": 1.0 if newest else 0.75}
            at.plot(
                lengths, shares.mean(0), f"{mark}-", lw=3 if newest else 1.5, label=name, **style
            )
            at.fill_between(lengths, shares.min(0), shares.max(0), color=colour, alpha=0.15, lw=0)
        if yours is not None:
            curve = sorted(yours.get(to, {}).items())
            at.plot(*zip(*curve, strict=True) if curve else ((), ()), "x--", c=INK, label="yours")
        at.set(title=title, xlabel="symbols of the source", ylim=(-0.03, 1.03), xticks=lengths)
    axes[0].set_ylabel("exact matches")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2)
    plt.show()


def matches_and_steps(results: Mapping[str, Any], chapter: int) -> list[tuple[str, list[float]]]:
    """Draw, for each translator of the story up to this chapter's, the share of exact matches, with
    the range of its seeds, and how many steps of reading wait for one another. A hollow mark is
    the same machine on numbers below 10^12.

    results: ``benchmarks/results/translators.json``. From chapter 3 on the story is that of the
    machines without recurrence. Returns the names and the seeds' shares of what is drawn.
    """
    until = {"runs": min(chapter, 3), "parallel": chapter}
    shown = [
        (kind, name)
        for kind, last in until.items()
        for name in results[kind]
        if int(name.partition(":")[0]) <= last
    ]
    drawn = [
        ({"markersize": 9}, lambda kind, name: (results[kind][name], results["steps"][kind][name])),
        (
            {"markersize": 8, "fillstyle": "none", "markeredgewidth": 1.5},
            lambda kind, name: (results["large"][name], results["steps"]["large"][name]),
        ),
    ]
    figure, (left, right) = plt.subplots(
        1, 2, figsize=(5.8, 1.1 + 0.36 * len(shown)), sharey=True, width_ratios=(3, 2)
    )
    for row, (kind, name) in enumerate(shown):
        number = min(int(name.partition(":")[0]), 6) - 1  # chapters 1 to 5, and 7
        colour, mark = (*MODELS, INK)[number], (*MARKS, "P")[number]
        for (marker, of), at in zip(drawn, (row - 0.16, row + 0.16), strict=True):
            if of is drawn[1][1] and name not in results["large"]:
                continue
            seeds, steps = of(kind, name)
            shares = [seed["exact"] for seed in seeds]
            left.plot(
                [min(shares), max(shares)], [at, at], color=colour, lw=2, solid_capstyle="butt"
            )
            left.plot(np.mean(shares), at, mark, color=colour, **marker)
            right.plot(steps, at, mark, color=colour, **marker)
    left.set(xlim=(-0.03, 1.03), xlabel="exact matches")
    left.set_yticks(range(len(shown)), [name for _, name in shown])
    left.set_ylim(len(shown) - 0.5, -0.5)
    right.set(xlim=(0, 24.5), xticks=(1, 11, 23), xlabel="steps to read")
    for label, (_, name) in zip(left.get_yticklabels(), shown, strict=True):
        label.set_fontweight("bold" if int(name.partition(":")[0]) == chapter else "normal")
    marks = [plt.Line2D([], [], marker="o", lw=0, color=INK, **marker) for marker, _ in drawn]
    figure.legend(
        marks, ["below one million", "below 10¹²"], loc="outside lower center", ncols=2, numpoints=1
    )
    plt.show()
    return [(name, [seed["exact"] for seed in results[kind][name]]) for kind, name in shown]


def verdict(answer: Mapping[str, Any]) -> tuple[str, str]:
    """Whether an answer of a quiz is right, in words, and what there is to say to it."""
    feedback = re.sub(r"^Right[:.,]\s*", "", answer["feedback"])
    said = "Right." if answer["correct"] else "Not this one."
    return said, feedback[:1].upper() + feedback[1:]


def quiz(questions: list[dict[str, Any]]) -> None:
    """Ask questions: with jupyterquiz in JupyterLab, with the book's own quiz there. Every answer
    must have its feedback, which need not say "right" or "wrong": the quiz does.

    Formulas as text or HTML (QKᵀ, &radic;D), not TeX: JupyterLab would fetch a TeX engine for it.
    """
    for question in questions:
        for answer in question.get("answers", []):
            if not answer.get("feedback"):
                raise ValueError(f"no feedback to the answer {answer.get('answer')!r}")
    # The book makes its quiz of this (book/_ext/interactive.py), in place of all that is displayed.
    asked = json.dumps(questions).replace("</", "<\\/")
    display(HTML(f'{_QUIZ_STYLE}<script type="application/json" class="quiz">{asked}</script>'))
    said = [
        {**q, "answers": [{**a, "feedback": " ".join(verdict(a))} for a in q.get("answers", [])]}
        for q in questions
    ]
    display_quiz(said, colors=QUIZ, border_radius=6, max_width=800)
