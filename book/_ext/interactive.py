"""Figures with controls and quizzes, as HTML that a browser, a printer and a screen reader know.

`tutor.materials.figures` says what a figure or a quiz is made of, as JSON in the cell's output.
Here it becomes the page's own: native ranges, buttons and radio buttons with labels, a still
picture beneath each figure, all feedback in its place. `book/_static/course.js` makes them
answer.
"""

import hashlib
import html
import json
import random
import re
from pathlib import Path
from typing import Any

import yaml
from docutils import nodes
from drawings import in_page
from markdown_it import MarkdownIt
from sphinx.util.docutils import SphinxDirective
from stills import kept

from tutor.materials.figures import verdict

FIGURE = re.compile(
    r'<div class="plotly-figure" role="group" aria-label="(?P<alt>[^"]*)" '
    r'style="height: (?P<height>\d+)px"><script type="application/json">(?P<spec>.*?)</script>'
    r".*?</div>",
    re.DOTALL,
)
QUIZ = re.compile(r'<script type="application/json" class="quiz">(.*?)</script>', re.DOTALL)
SLIDER = 90
"""Pixels of a figure's height that Plotly's own slider would have taken."""


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]


# Figures ----------------------------------------------------------------------------------------


def figure(match: re.Match, prefix: str, stills: Path) -> str:
    spec = json.loads(match["spec"])
    layout = spec["layout"]
    sliders, menus = layout.pop("sliders", []), layout.pop("updatemenus", [])
    if len(sliders) > 1 or len(menus) > 1:
        raise ValueError("a figure has at most one slider and one row of buttons")
    height = int(match["height"]) - SLIDER * len(sliders)
    layout["height"] = height
    if menus:
        layout.setdefault("margin", {})["t"] = 16  # where the buttons would have been
    if title := layout.get("title"):
        layout.setdefault("margin", {})["t"] = 72
        title.update(y=0.94, yanchor="top")
    name = f"figure-{digest(prefix + match['spec'])}"
    steps = {
        "slider": sliders[0]["steps"] if sliders else [],
        "buttons": [_button(b) for b in menus[0]["buttons"]] if menus else [],
    }
    data = json.dumps({**spec, "controls": steps}, separators=(",", ":")).replace("</", "<\\/")
    picture = in_page(kept(spec, height, stills), f"{name}-")
    controls = _buttons(steps["buttons"]) + "".join(_slider(s, name) for s in sliders)
    return f"""<div class="plotly-figure" role="group" aria-label="{match["alt"]}">
{f'<div class="figure-controls pst-js-only">{controls}</div>' if controls else ""}
<div class="figure-stage" style="height: {height}px"><div class="figure-still" aria-hidden="true">
{picture}</div><div class="figure-plot pst-js-only" tabindex="0" role="application" \
aria-roledescription="chart" aria-label="Values of the figure: arrow keys move among them"></div>
</div><p class="figure-reading visually-hidden" role="status"></p>
<noscript><p class="missing">This figure can be moved where JavaScript runs; here is how it begins.
</p></noscript><script type="application/json">{data}</script></div>"""


def _button(button: dict[str, Any]) -> dict[str, Any]:
    """What a button does; of a slider that it brings along, the steps."""
    changes, layout = (*button["args"], {})[:2]
    layout = dict(layout)
    slider = layout.pop("sliders", [{}])[0].get("steps")
    return {"label": button["label"], "args": [changes, layout], "slider": slider}


def _buttons(buttons: list[dict[str, Any]]) -> str:
    if not buttons:
        return ""
    each = "".join(
        f'<button type="button" aria-pressed="{"false" if number else "true"}">'
        f"{html.escape(button['label'])}</button>"
        for number, button in enumerate(buttons)
    )
    return f'<div class="figure-buttons" role="group" aria-label="What is shown">{each}</div>'


def _slider(slider: dict[str, Any], name: str) -> str:
    labels = [html.escape(str(step["label"])) for step in slider["steps"]]
    at = slider.get("active", 0)
    title = html.escape(slider.get("currentvalue", {}).get("prefix", "").strip(" :="))
    if not title:
        raise ValueError("a figure's slider needs a currentvalue with a prefix: it is its name")
    return f"""<div class="figure-slider"><label for="{name}">{title}</label>
<output for="{name}">{labels[at]}</output><span class="end">{labels[0]}</span>
<input type="range" id="{name}" min="0" max="{len(labels) - 1}" step="1" value="{at}" \
aria-valuetext="{labels[at]}"><span class="end">{labels[-1]}</span></div>"""


# Quizzes ----------------------------------------------------------------------------------------


class Quiz(SphinxDirective):
    """`{quiz} quizzes/03_attention.yml`: the questions of a file beside the page."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        path = Path(self.env.relfn2path(self.arguments[0])[1])
        self.env.note_dependency(str(path))
        return [nodes.raw("", quiz(questions_of(path)), format="html")]


def questions_of(path: Path) -> list[dict[str, Any]]:
    """The file's questions as `figures.quiz` has them. Texts are a line of Markdown.

    trap: of an answer, the exercise and the trap that its check would name.
    """
    line = MarkdownIt().renderInline
    questions = yaml.safe_load(path.read_text("utf-8"))
    for question in questions:
        question["type"] = "many_choice"
        question["question"] = line(question["question"])
        for answer in question["answers"]:
            answer.setdefault("correct", False)
            said = answer["feedback"]
            if "trap" in answer:
                exercise, trap = answer["trap"]
                said += f" The check of `{exercise}` knows it as “{trap}”."
            answer["answer"], answer["feedback"] = line(answer["answer"]), line(said)
    return questions


def quiz(questions: list[dict[str, Any]]) -> str:
    each = "\n".join(map(_question, questions))
    return f"""<div class="quiz">
{each}
<noscript><p class="missing">JavaScript would tell here whether an answer is right.</p></noscript>
</div>"""


def _question(question: dict[str, Any]) -> str:
    """Options in an order of their own, which is the same whenever the page is built or loaded."""
    answers = list(question["answers"])
    if question["type"] not in ("many_choice", "multiple_choice") or not any(
        answer["correct"] for answer in answers
    ):
        raise ValueError(f"a question offers answers, and one is right: {question['question']!r}")
    name = f"quiz-{digest(question['question'])}"
    random.Random(name).shuffle(answers)
    options = "".join(_option(answer, name, number) for number, answer in enumerate(answers))
    code = f"<pre>{html.escape(question['code'])}</pre>" if "code" in question else ""
    return f"""<fieldset class="quiz-question" id="{name}"><legend>{question["question"]}</legend>
{code}<div class="quiz-options">{options}</div>
<div class="quiz-answer" role="status"></div>
<button type="button" class="quiz-check pst-js-only" disabled>Check the answer</button>
</fieldset>"""


def _option(answer: dict[str, Any], name: str, number: int) -> str:
    said, feedback = verdict(answer)
    kind = "right" if answer["correct"] else "wrong"
    return f"""<div class="quiz-option"><label><input type="radio" name="{name}" \
value="{digest(answer["answer"])}"><span>{answer["answer"]}</span></label>
<template data-verdict="{kind}"><strong>{said}</strong> {feedback}</template></div>"""


# In the page ------------------------------------------------------------------------------------


def make(doctree: nodes.document, page: str, stills: Path) -> None:
    """Puts the page's figures and quizzes in the place of what the cells have displayed.

    stills: the folder in which the figures' still pictures are kept from one build to the next.
    """
    for raw in list(doctree.findall(nodes.raw)):
        text = raw.astext()
        if match := FIGURE.search(text):
            raw.replace_self(nodes.raw("", figure(match, page, stills), format="html"))
        elif match := QUIZ.search(text):
            output = raw.parent
            while "cell_output" not in output.get("classes", []):
                output = output.parent
            output.clear()  # jupyterquiz, which JupyterLab shows
            output += nodes.raw("", quiz(json.loads(match[1])), format="html")
