"""What ``book/instructors.md`` tells an instructor to type, typed."""

import os
import re
import subprocess
import sys
import zipfile
from datetime import datetime

import pytest
from nbgrader.preprocessors import AssignLatePenalties
from traitlets.config import Config

from tutor import ROOT
from tutor.course.sample_class import CHAPTER, NOTEBOOK
from tutor.course.settings import open_gradebook
from tutor.grading import CannotGrade, times
from tutor.grading.gradebook import tell
from tutor.grading.hidden import secret

PAGE = (ROOT / "book" / "instructors.md").read_text("utf-8")


def blocks(section: str, language: str) -> list[str]:
    text = PAGE.partition(f"### {section}\n")[2].partition("\n## ")[0].partition("\n### ")[0]
    found = re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)
    assert found, f"no {language} in {section}"
    return found


def test_archive_of_a_platform_is_taken_apart(tmp_path):
    with zipfile.ZipFile(tmp_path / "submissions.zip", "w") as zipped:
        zipped.writestr("lovelaceada_4711_99_attention (1).ipynb", "hers")
        zipped.writestr("Alan Turing_125_assignsubmission_file_/attention.ipynb", "his")
    command = blocks("From a learning platform", "bash")[0].split()
    submitted = ["--submitted", str(tmp_path / "submitted")]
    done = subprocess.run([sys.executable, "-m", "tutor.grading.cli", *command[1:], *submitted],
                          cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)},
                          capture_output=True, text=True)  # fmt: skip
    assert command[0] == "tutor" and done.returncode == 0, done.stderr
    found = (tmp_path / "submitted").glob(f"*/{CHAPTER}/{NOTEBOOK}.ipynb")
    assert {p.parts[-3]: p.read_text() for p in found} == {"4711": "hers", "Alan Turing": "his"}


def test_repositories_of_git_are_collected_with_their_times(tmp_path):
    clone = tmp_path / "repos" / "ada"
    clone.mkdir(parents=True)
    (clone / "attention.ipynb").write_text("hers")
    names = ("-c", "user.name=Ada", "-c", "user.email=ada@example.org")
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "done"]):
        subprocess.run(
            ["git", *names, *command],
            cwd=clone,
            check=True,
            env={"PATH": "/usr/bin:/bin", "GIT_COMMITTER_DATE": "2026-12-01T18:55:00+01:00"},
        )
    script = blocks("From a learning platform", "bash")[1]
    subprocess.run(["bash", "-euc", script], cwd=tmp_path, check=True)
    handed_in = tmp_path / "submitted" / "ada" / CHAPTER
    assert (handed_in / "attention.ipynb").read_text() == "hers"
    time = times.read((handed_in / "timestamp.txt").read_text())
    assert time == datetime(2026, 12, 1, 17, 55)


def test_ten_per_cent_a_day_is_taken_off():
    config = Config()
    exec(blocks("Late work", "python")[0], {"c": config, "__name__": "nbgrader_config"})
    lateness = AssignLatePenalties(config=config)
    lateness.init_plugin()
    hour = 3600
    for late, lost in ((hour, 5), (25 * hour, 10), (1000 * hour, 50)):
        assert lateness.plugin_inst.late_submission_penalty("ada", 50, late) == pytest.approx(lost)


@pytest.mark.parametrize(
    "path",
    [
        "students.csv",
        "downloaded/03_attention/archive/all.zip",
        "submitted/ada/03_attention/attention.ipynb",
        "grades.csv",
        "grades-canvas.csv",
        "gradebook.db",
        "report.html",
        ".grading-secret",
        "sections/a/grades.csv",
        "sections/a/gradebook.db",
        "sections/a/report.html",
        "sections/a/feedback/ada/03_attention/attention.html",
    ],
)
def test_what_tells_of_students_cannot_slip_into_git(path):
    command = ["git", "check-ignore", "--no-index", "-q", path]
    assert subprocess.run(command, cwd=ROOT).returncode == 0


def test_an_exercise_that_was_added_since_is_a_plain_refusal(tmp_path):
    url = f"sqlite:///{tmp_path}/gradebook.db"
    tell(url, CHAPTER)
    with open_gradebook(url) as gradebook:
        gradebook.add_grade_cell("gone_since", NOTEBOOK, CHAPTER, max_score=1, cell_type="code")
        gradebook.update_or_create_student("ada")
        gradebook.update_or_create_submission(CHAPTER, "ada")
    with pytest.raises(CannotGrade, match="Move the gradebook"):
        tell(url, CHAPTER)


def test_an_empty_secret_is_a_plain_refusal(tmp_path, monkeypatch):
    monkeypatch.delenv("TUTOR_GRADING_SECRET", raising=False)
    (tmp_path / ".grading-secret").touch()
    with pytest.raises(CannotGrade, match="is empty: delete it"):
        secret(tmp_path)
