"""The bar, where it is shown and where nobody looks."""

import io
import re

import pytest

from tutor.materials import progress as module
from tutor.materials.progress import progress


class Kernel:
    kernel = object()


@pytest.fixture
def notebook(monkeypatch):
    """What a notebook is shown, each text in the place of the one before."""
    texts = []

    class Shown:
        def update(self, html):
            texts.append(html.data)

    monkeypatch.setattr(module, "get_ipython", Kernel)
    monkeypatch.setattr(module, "display", lambda html, display_id: Shown())
    return texts


def test_notebook_shows_a_bar_and_then_one_line(notebook, monkeypatch):
    monkeypatch.setattr(module.time, "monotonic", iter(range(100)).__next__)
    with progress(3) as show:
        for done in (1, 2, 3):
            show(done, f"loss {done}")
    assert notebook[0] == '<progress value="1" max="3"></progress> step 1 of 3, loss 1'
    assert re.fullmatch(r"3 steps in \d+ s, loss 3", notebook[-1])


def test_notebook_is_not_flooded(notebook, monkeypatch):
    monkeypatch.setattr(module.time, "monotonic", lambda: 7.0)
    with progress(1000) as show:
        for done in range(1000):
            show(done, "")
    assert len(notebook) == 2


def test_terminal_has_a_bar_and_a_pipe_none(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    for terminal in (True, False):
        out = io.StringIO()
        out.isatty = lambda terminal=terminal: terminal
        monkeypatch.setattr(module.sys, "stderr", out)
        with progress(2, "token") as show:
            show(1, "yours")
        assert ("token 1, yours" in out.getvalue()) == terminal
