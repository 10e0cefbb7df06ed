"""What every page begins with, and the tables that its cells compute."""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from IPython.display import Markdown

from tutor.materials import figures


def begin_page(seed: int) -> None:
    """The course's style for every figure, a seed for torch's draws, and one thread.

    A page's models are so small that a second thread costs them more than it computes; beside
    other processes it costs many times as much, because every operation waits for both.
    """
    figures.use_style()
    torch.set_num_threads(1)
    torch.manual_seed(seed)


def table(header: Sequence[Any], rows: Iterable[Sequence[Any]]) -> Markdown:
    """A Markdown table of what the cell has just computed."""
    lines = [header, ["---"] * len(header), *rows]
    return Markdown("\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines))
