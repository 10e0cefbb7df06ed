"""What every page begins with."""

import json
import subprocess
import sys

import torch

from tutor import ROOT
from tutor.materials import page


def test_a_page_begins_with_one_thread_its_style_and_its_seed():
    code = (
        "import json, matplotlib as mpl, torch; from tutor.materials import figures, page\n"
        "torch.set_num_threads(2); page.begin_page(seed=3)\n"
        "draw, axes = torch.randn(1).item(), mpl.rcParams['axes.edgecolor']\n"
        "print(json.dumps([torch.get_num_threads(), draw, axes == figures.INK]))"
    )
    out = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=True)
    draw = torch.randn(1, generator=torch.Generator().manual_seed(3)).item()
    assert json.loads(out.stdout) == [1, draw, True]


def test_every_chapter_begins_so():
    chapters = sorted((ROOT / "book").glob("0*.md"))
    assert chapters and all("\nbegin_page(seed=" in c.read_text("utf-8") for c in chapters)


def test_a_table_has_a_line_below_its_header():
    made = page.table(["a", "b"], [[1, "x"], [2.5, "y"]])
    assert made.data == "| a | b |\n| --- | --- |\n| 1 | x |\n| 2.5 | y |"
