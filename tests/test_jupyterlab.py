"""JupyterLab as students meet it: the start page, an exercise and its check, the bench, a quiz."""

import json
import os
import shutil
from contextlib import contextmanager

import nbformat
import pytest
from playwright.sync_api import Locator, Page

from tests.browser import chromium, jupyterlab
from tutor import ROOT
from tutor.checks import EXERCISES, judge

pytestmark = pytest.mark.long

THEMES = ("JupyterLab Light", "JupyterLab Dark")

# Relative luminance as WCAG 2 defines it, of every leaf of the report against what lies behind it.
CONTRASTS = """
() => {
  const rgb = s => s.match(/[\\d.]+/g).map(Number);
  const light = c => c.slice(0, 3).map(v => (v /= 255) <= .04045 ? v / 12.92
    : ((v + .055) / 1.055) ** 2.4).reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
  const behind = e => {
    for (; e; e = e.parentElement) {
      const c = rgb(getComputedStyle(e).backgroundColor);
      if (c.length < 4 || c[3] > 0) return c;
    }
    return [255, 255, 255];
  };
  const report = [...document.querySelectorAll('.jp-OutputArea-output')]
    .find(e => e.innerText.includes('masks and edge cases'));
  return [...report.querySelectorAll('*')].filter(e => e.innerText && !e.children.length).map(e => {
    const [a, b] = [light(rgb(getComputedStyle(e).color)), light(behind(e))];
    const contrast = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
    return [e.innerText, contrast, e.scrollWidth > e.clientWidth + 1];
  });
}
"""


@pytest.fixture(scope="module")
def notebook(tmp_path_factory):
    """A folder with a notebook that holds the report on an answer in a trap."""
    exercise = EXERCISES["scaled_dot_product_attention"]
    trap = next(t for t in exercise.traps if t.name == "the row that may read nothing")
    bundle = judge(exercise, trap.function)._repr_mimebundle_()
    cell = nbformat.v4.new_code_cell("check(scaled_dot_product_attention)", execution_count=1)
    cell.outputs = [nbformat.v4.new_output("display_data", bundle)]
    nb = nbformat.v4.new_notebook(cells=[cell])
    nb.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    folder = tmp_path_factory.mktemp("lab")
    nbformat.write(nb, folder / "report.ipynb")
    return folder


@contextmanager
def themed(folder, theme):
    """JupyterLab on ``folder`` in a theme; yields its address."""
    settings = folder / theme / "lab" / "user-settings" / "@jupyterlab" / "apputils-extension"
    settings.mkdir(parents=True)
    (settings / "themes.jupyterlab-settings").write_text(json.dumps({"theme": theme}))
    with jupyterlab(folder, folder / theme) as address:
        yield address


@pytest.mark.parametrize("theme", THEMES)
def test_report_is_legible_in_jupyterlab(notebook, theme):
    with themed(notebook, theme) as address, chromium() as context:
        page = context.new_page()
        page.set_viewport_size({"width": 1280, "height": 900})
        page.goto(f"{address}/lab/tree/report.ipynb")
        page.wait_for_selector(".jp-OutputArea-output pre")
        named = f'body[data-jp-theme-name="{theme}"]'
        page.wait_for_selector(named, state="attached")
        leaves = page.evaluate(CONTRASTS)
        text = page.inner_text(".jp-OutputArea-output")
    assert "You have met the row that may read nothing" in " ".join(text.split())
    assert len(leaves) > 15
    for content, contrast, overflows in leaves:
        assert contrast >= (3 if content in "✓✗" else 4.5), (content, contrast)
        assert not overflows, content


# From the start page to full marks


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """What `make lab` opens, in a copy of the course; yields the page of a browser on it."""
    course = tmp_path_factory.mktemp("course")
    for name in ("tutor", "exercises"):
        shutil.copytree(ROOT / name, course / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", course)
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = str(course)
    command = ("tutor.course.lab", "--open")
    try:
        with jupyterlab(course, course / "settings", command) as address, chromium() as context:
            page = context.new_page()
            page.set_viewport_size({"width": 1280, "height": 900})
            page.goto(address)
            yield page
    finally:
        os.environ.pop("PYTHONPATH") if before is None else os.environ.update(PYTHONPATH=before)


SOLUTION = """def rnn_step(x, h, w_ih, w_hh, b_ih, b_hh):
    return torch.tanh(x @ w_ih.mT + b_ih + h @ w_hh.mT + b_hh)
"""


def opened(page: Page, title: str) -> None:
    """The notebook on which a link of that title leads, with its kernel at rest."""
    page.get_by_role("link", name=title).click()
    page.get_by_text("Python 3 (ipykernel) | Idle").wait_for()


def cell(page: Page, text: str) -> Locator:
    return page.locator(".jp-NotebookPanel:visible .jp-CodeCell").filter(has_text=text).first


def run(page: Page, code: Locator, source: str | None = None) -> None:
    """A cell, with another text if one is given, to its end."""
    prompt = code.locator(".jp-InputPrompt").element_handle()  # the cell's text will be another
    before = prompt.inner_text()
    code.locator(".cm-content").click()
    if source is not None:
        page.keyboard.press("Control+A")
        page.keyboard.insert_text(source)
    page.keyboard.press("Control+Enter")
    page.wait_for_function(
        r"([e, before]) => e.innerText !== before && /\[\d+\]/.test(e.innerText)",
        arg=[prompt, before],
    )


def checked(page: Page, name: str) -> str:
    """What the check of an exercise says when it is run again."""
    code = cell(page, f"check({name})")
    run(page, code)
    said = code.locator(".jp-OutputArea-output").all_inner_texts()
    return " ".join(" ".join(said).split())


def test_a_student_gets_from_the_start_page_to_full_marks_and_meets_a_trap(lab):
    start = lab.locator(".jp-MarkdownViewer")
    start.get_by_role("heading", name="Your exercises").wait_for()
    assert "rnn_step" in start.inner_text() and "untouched" in start.inner_text()
    opened(lab, "1. Recurrence")
    run(lab, cell(lab, "from tutor.checks import check"))
    solution = cell(lab, "def rnn_step")
    run(lab, solution, SOLUTION.replace("tanh", "sigmoid"))
    assert "You have met sigmoid instead of tanh" in checked(lab, "rnn_step")
    run(lab, solution, SOLUTION)
    said = checked(lab, "rnn_step")
    possible = sum(EXERCISES["rnn_step"].points.values())
    assert f"{possible} of {possible} points" in said and "✗" not in said


FIGURE_AND_QUIZ = """import plotly.graph_objects as go
from tutor.materials import figures

figures.use_style()
figures.show(go.Figure(go.Scatter(y=[1, 3, 2])), "three points of a curve")
answers = [{"answer": "yes", "correct": True, "feedback": "It does."},
           {"answer": "no", "correct": False, "feedback": "Look again."}]
figures.quiz([{"question": "Does it work?", "type": "many_choice", "answers": answers}])
"""


def test_figures_and_quizzes_of_a_chapter_work_there(lab):
    lab.get_by_role("tab", name="START.md").click()
    opened(lab, "2. Alignment")
    panel = lab.locator(".jp-NotebookPanel:visible")
    run(lab, cell(lab, "def additive_scores"), FIGURE_AND_QUIZ)
    panel.locator(".js-plotly-plot .main-svg").first.wait_for()
    panel.get_by_text("no", exact=True).last.click()
    panel.get_by_text("Not this one. Look again.").wait_for()
