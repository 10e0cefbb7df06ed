"""nbgrader's formgrader page in a browser: its Autograde button grades in our sandbox."""

import html
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from nbgrader.api import Gradebook

from tests.browser import chromium, jupyterlab
from tests.proofs import COURSE
from tutor import ROOT
from tutor.course.sample_class import CHAPTER, expected_grades, students

STUDENT = next(s for s in students() if s.trap)


@pytest.fixture
def course(sample_class, tmp_path):
    """A course folder as an instructor has it, with one submission that nobody has graded."""
    folder = tmp_path / "course"
    shutil.copytree(ROOT / "solutions", folder / "solutions")
    shutil.copyfile(ROOT / "nbgrader_config.py", folder / "nbgrader_config.py")
    shutil.copytree(sample_class / "submitted" / STUDENT.id, folder / "submitted" / STUDENT.id)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    command = [sys.executable, "-m", "nbgrader", "generate_assignment", CHAPTER]
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, "PATH": path}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.by_content(*COURSE)
def test_autograde_button_grades_in_the_sandbox(course, tmp_path):
    with jupyterlab(course, tmp_path / "settings") as address, chromium() as context:
        page = context.new_page()
        page.goto(f"{address}/formgrader/manage_submissions/{CHAPTER}")
        row = page.locator(f"tr:has(td:text-is('{STUDENT.id}'))")
        row.locator(".autograde a").click()
        page.wait_for_selector("text=Successfully")
        page.goto(f"{address}/formgrader/manage_submissions/{CHAPTER}")
        page.wait_for_selector(f"td:text-is('{STUDENT.id}')")
        cells = page.locator(f"tr:has(td:text-is('{STUDENT.id}')) td").all_inner_texts()
        screenshot = os.environ.get("SCREENSHOTS")
        if screenshot:
            page.screenshot(path=f"{screenshot}/formgrader.png", full_page=True)
    points = expected_grades()[STUDENT.id]
    assert f"{sum(points.values()):g} / 50" in " ".join(cells)
    with Gradebook(f"sqlite:///{course / 'gradebook.db'}") as gradebook:
        found = gradebook.find_submission(CHAPTER, STUDENT.id)
        assert {g.name: g.score for n in found.notebooks for g in n.grades} == points
    graded = course / "autograded" / STUDENT.id / CHAPTER / "attention.ipynb"
    text = html.unescape(graded.read_text("utf-8"))
    assert STUDENT.trap.name in text and '"digest"' in text
