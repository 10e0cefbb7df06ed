"""The check's report where students meet it: in JupyterLab, in the light and in the dark theme."""

import json
from contextlib import contextmanager

import nbformat
import pytest

from tests.browser import chromium, jupyterlab
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
