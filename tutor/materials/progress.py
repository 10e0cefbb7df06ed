"""A bar for what takes seconds: in a notebook, in a terminal, and none where nobody looks."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from IPython import get_ipython
from IPython.display import HTML, display
from rich.console import Console
from rich.progress import Progress

__all__ = ["progress"]

Show = Callable[[int, str], None]
"""How many are done, and a word about them."""


@contextmanager
def progress(total: int, what: str = "step") -> Iterator[Show]:
    """``show(done, told)`` moves the bar; in a notebook one line replaces it at the end, with what
    was told last."""
    shell = get_ipython()
    if shell is not None and hasattr(shell, "kernel"):
        yield from _in_a_notebook(total, what)
    elif sys.stderr.isatty():
        yield from _in_a_terminal(total, what)
    else:
        yield lambda done, told: None


def _in_a_notebook(total: int, what: str) -> Iterator[Show]:
    """Plain HTML: it needs no widgets, which not every front end has."""
    shown, start, last = display(HTML(""), display_id=True), time.monotonic(), [0.0, ""]

    def show(done: int, told: str) -> None:
        last[1] = told
        if time.monotonic() - last[0] > 0.2:
            last[0] = time.monotonic()
            bar = f'<progress value="{done}" max="{total}"></progress>'
            shown.update(HTML(f"{bar} {what} {done} of {total}, {told}"))

    yield show
    seconds = time.monotonic() - start
    shown.update(HTML(f"{total} {what}s in {seconds:.0f} s, {last[1]}"))


def _in_a_terminal(total: int, what: str) -> Iterator[Show]:
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=total)
        yield lambda done, told: bar.update(
            task, completed=done, description=f"{what} {done}, {told}"
        )
