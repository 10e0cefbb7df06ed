"""The whole round through nbgrader's exchange, on a real folder: release, fetch, submit, collect,
grade, release the feedback and fetch it; graded by our command and by nbgrader's."""

import getpass
import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import nbformat
import pytest
from nbgrader.utils import is_solution
from traitlets.config import Config

from tests.grading import standin
from tests.grading.helpers import RIGHT, hand_in
from tests.proofs import COURSE
from tutor import ROOT
from tutor.course.sample_class import CHAPTER, NOTEBOOK
from tutor.course.settings import open_gradebook, settings
from tutor.grading import cli
from tutor.grading.class_folder import ClassFolder

pytestmark = pytest.mark.long

ZONE = "Asia/Kolkata"
"""IST, a name that other places have, too."""


class Round:
    """An instructor's folder, a student's, and the exchange between them."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.course, self.home = folder / "course", folder / "home"
        for path in (self.home, folder / "exchange", folder / "cache"):
            path.mkdir()
        (folder / "exchange").chmod(0o777)
        for name in ("solutions", "exercises"):
            shutil.copytree(ROOT / name / CHAPTER, self.course / name / CHAPTER)
        config = (ROOT / "nbgrader_config.py").read_text("utf-8")
        (self.course / "nbgrader_config.py").write_text(config, "utf-8")
        self.options = [
            f"--Exchange.root={folder / 'exchange'}",
            f"--Exchange.cache={folder / 'cache'}",
            f"--Exchange.timezone={ZONE}",
            "--course=attention-workshop",
        ]

    def nbgrader(self, place: Path, command: str, *arguments: str) -> None:
        call = [sys.executable, "-m", "nbgrader", command, CHAPTER, *self.options, *arguments]
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        environment = {**os.environ, "PATH": path}
        done = subprocess.run(call, cwd=place, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr

    def hand_in(self, written: dict[str, str]) -> None:
        path = self.home / CHAPTER / f"{NOTEBOOK}.ipynb"
        nb = nbformat.read(path, as_version=4)
        for cell in filter(is_solution, nb.cells):
            name = cell.metadata.nbgrader.grade_id.removesuffix("-solution")
            cell.source = written.get(name, cell.source)
        nbformat.write(nb, path)
        self.nbgrader(self.home, "submit")
        self.nbgrader(self.course, "collect", "--update")

    def feedback(self) -> list[str]:
        """Pages that the student has fetched; the newest last."""
        self.nbgrader(self.course, "release_feedback")
        self.nbgrader(self.home, "fetch_feedback")
        found = sorted((self.home / CHAPTER / "feedback").glob(f"*/{NOTEBOOK}.html"))
        return [path.read_text("utf-8") for path in found]


@pytest.mark.by_content(*COURSE)
def test_feedback_goes_back_by_the_way_the_submission_came(tmp_path, cluster, monkeypatch):
    there = Round(tmp_path)
    monkeypatch.setattr("tutor.grading.class_folder.settings", settings_there)
    place, student = ClassFolder(there.course), getpass.getuser()
    there.nbgrader(there.course, "release_assignment")
    there.nbgrader(there.home, "fetch_assignment")

    before = now()
    there.hand_in(RIGHT)
    for other in ("a", "zz"):  # by mail: there is nothing to bring their pages back by
        hand_in(there.course, other, RIGHT, "2026-03-01 10:00 UTC")
    arguments = ["grade", "--submitted", str(there.course / "submitted")]
    assert cli.main(arguments, scheduler=cluster, make=standin.Quick(tmp_path / "log")) == 0
    with open_gradebook(place.database) as gradebook:
        at = gradebook.find_submission(CHAPTER, student).timestamp
    assert before <= at <= now()
    (page,) = there.feedback()
    assert "(Score: 50.0 / 50.0)" in page

    there.hand_in({"causal_mask": "causal_mask = None"})
    there.nbgrader(there.course, "autograde", "--force")
    there.nbgrader(there.course, "generate_feedback", "--force")
    with open_gradebook(place.database) as gradebook:
        assert at < gradebook.find_submission(CHAPTER, student).timestamp <= now()
    first, second = there.feedback()
    assert first == page and "(Score: 0.0 / 50.0)" in second
    assert len(list((tmp_path / "exchange").glob("*/feedback/*.html"))) == 2
    for step in ("autograded", "feedback"):
        beside = {p.name for p in place.step(step, student, CHAPTER).iterdir()}
        assert {"timestamp.txt", "submission_secret.txt"} < beside


def now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)


def settings_there() -> Config:
    config = settings()
    config.Exchange.timezone = ZONE
    return config
