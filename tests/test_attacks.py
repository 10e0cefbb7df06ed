"""Every submission of the corpus, graded by our command: its verdict, and what it must not have
read, changed or reached. And one of each kind by nbgrader's, which takes the same path; `make
attacks` grades all by both."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.attacks import SUBMISSIONS, record, stock
from tests.attacks.__main__ import _tell
from tests.attacks.corpus import FULL, NOTHING, Work
from tests.attacks.course import FOLDER
from tests.attacks.runners import Pass, as_json, faults, graded
from tests.runs import chosen
from tutor import ROOT

FORGERIES = [name for name, s in SUBMISSIONS.items() if s.forges]


SAMPLE = (
    "patched_judge",
    "counter_told_a_story",
    "scripts_in_the_feedback",
    "link_to_a_secret_for_a_notebook",
    "endless_function",
    "truncated",
    "all_solved",
    "name_that_a_terminal_obeys",
    "name_that_a_spreadsheet_runs",
)
"""One of each kind, and two whose names are the attack."""

RUNNERS = ("tutor", "nbgrader")
MADE_FROM = pytest.mark.by_content(
    "nbgrader_config.py",
    "solutions/03_attention/*.md",
    "tests/attacks/*.py",
    "tutor/course/*.py",
    "tutor/grading/**/*.py",
    "tutor/sandbox/**/*.py",
    chapter="03_attention",
)

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def passes(made, request) -> dict[str, Pass]:
    """By each command a class of those whose verdicts are asked for in this run."""
    made("release")  # nbgrader's command begins with the instructor's notebooks
    runners, names = (chosen(request.session.items, "test_verdict", p) for p in ("runner", "name"))
    asked = {runner: set(SAMPLE) for runner in RUNNERS}
    for runner, name in zip(runners, names, strict=True):
        asked[runner].add(name)
    return {
        runner: graded(runner, [s for name, s in SUBMISSIONS.items() if name in asked[runner]])
        for runner in RUNNERS
    }


@pytest.fixture(params=RUNNERS)
def result(passes, request) -> Pass:
    return passes[request.param]


# The corpus itself


def test_corpus_is_large_and_has_every_kind():
    kinds = {s.kind for s in SUBMISSIONS.values()}
    assert kinds == {"forging", "cost", "reading", "files", "exhaustion", "broken", "honest"}
    assert kinds == set(record.KINDS)
    assert len(SUBMISSIONS) >= 90
    assert {SUBMISSIONS[name].kind for name in SAMPLE} == kinds


def test_names_of_students_differ_and_can_be_told_apart():
    students = [s.student for s in SUBMISSIONS.values()]
    assert len(set(map(str.casefold, students))) == len(students)


@MADE_FROM
@pytest.mark.parametrize("name", SUBMISSIONS)
def test_builder_writes_something_and_not_what_all_solved_writes(name, tmp_path):
    SUBMISSIONS[name].work().to(tmp_path / "x")
    Work().to(tmp_path / "solved")
    mine, solved = (
        {
            str(p.relative_to(f)): p.read_bytes() if p.is_file() and not p.is_symlink() else b""
            for p in f.rglob("*")
        }
        for f in (tmp_path / "x", tmp_path / "solved")
    )
    plain = {"all_solved", "name_with_quotes", "name_that_a_spreadsheet_runs"}
    assert (mine == solved) == (name in plain)


def test_no_submission_is_expected_to_get_more_than_there_is():
    for s in SUBMISSIONS.values():
        assert set(s.points) == set(FULL)
        for name, points in s.points.items():
            assert isinstance(points, int | float) is False or 0 <= points <= FULL[name]


@MADE_FROM
@pytest.mark.parametrize("name", FORGERIES)
def test_forgery_wins_points_from_a_check_in_its_own_process(name):
    """So these attacks are real: only the place of the check defeats them."""
    assert stock.fooled(SUBMISSIONS[name])


# The verdicts


@pytest.mark.parametrize(
    ("runner", "name"),
    [
        *((runner, name) for runner in RUNNERS for name in SAMPLE),
        *(
            pytest.param("tutor", name, marks=MADE_FROM)
            for name in SUBMISSIONS
            if name not in SAMPLE
        ),
    ],
)
def test_verdict(passes, runner, name):
    found = faults(SUBMISSIONS[name], passes[runner].verdicts[name])
    assert not found, f"{SUBMISSIONS[name].tries}\n" + "\n".join(found)


def test_everybody_has_a_grade_and_who_has_none_of_the_points_a_reason(result):
    silent = [n for n, v in result.verdicts.items() if v.points is None]
    unexplained = [n for n, v in result.verdicts.items() if v.points == NOTHING and not v.told]
    assert not silent and not unexplained


def test_the_run_ends_well(result):
    assert result.exit_status == 0, result.log[-3000:]


def test_nothing_outside_was_read(result):
    assert not result.leaks


def test_nothing_outside_was_changed_and_nothing_is_left_running(result):
    assert not result.damage


def test_nobody_reached_the_network(result):
    assert not result.connections


def test_no_page_runs_a_students_script(result):
    assert not result.scripts


def test_no_terminal_and_no_spreadsheet_obeys_a_name(passes):
    assert "\x1b" not in passes["tutor"].log and "\x07" not in passes["tutor"].log
    grades = (FOLDER / "tutor" / "grades.csv").read_text("utf-8")
    assert "'=HYPERLINK" in grades and "\n=" not in grades and ",=" not in grades


def test_the_grader_itself_takes_no_more_than_a_few_gigabytes(result):
    assert 0 < result.peak_mebibytes < 4096


def test_passes_can_be_repeated_from_the_command_line():
    usage = subprocess.run(
        [sys.executable, "-m", "tests.attacks", "--passes", "2", "--runner", "direct",
         "all_solved", "imports_the_reference"],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert usage.returncode == 0, usage.stdout + usage.stderr
    assert "2 passes, the same verdicts" in usage.stdout


def test_a_pass_that_reached_outside_or_ended_with_an_error_is_told(capsys):
    assert not _tell(Pass("tutor"), 1)
    assert _tell(Pass("tutor", connections=["somebody called"]), 1)
    assert _tell(Pass("tutor", exit_status=3, log="no disk"), 1)
    told = capsys.readouterr().out
    assert "somebody called" in told and "exit status 3" in told and "no disk" in told


# The record of many passes


@pytest.fixture
def two_passes(passes, tmp_path, monkeypatch) -> list[Path]:
    """The pass that was made, kept twice."""
    made = {name: SUBMISSIONS[name] for name in passes["tutor"].verdicts}
    monkeypatch.setattr(record, "SUBMISSIONS", made)
    paths = [tmp_path / f"tutor-{n}.json" for n in (1, 2)]
    for path in paths:
        path.write_text(as_json(passes["tutor"]), encoding="utf-8")
    return paths


def test_record_of_faultless_passes(two_passes):
    found = record.table([record.read(path) for path in two_passes], fooled=25)
    assert "was graded 2 times by `tutor grade`." in found
    assert f"| verdicts | {2 * len(record.SUBMISSIONS):,} |" in found
    assert "| wrong verdicts | 0 |" in found and "not always the same | 0 |" in found
    assert "or reached | 0 |" in found and "with an error | 0 |" in found
    for kind, text in record.KINDS.items():
        number = sum(s.kind == kind for s in record.SUBMISSIONS.values())
        assert f"| {text} | {number} | 0 |" in found


def test_record_tells_what_went_wrong(two_passes):
    passes = [record.read(path) for path in two_passes]
    passes[1].verdicts["all_solved"].points["causal_mask"] = 0.0
    passes[1].verdicts["endless_function"].points = None
    passes[0].leaks.append("a secret")
    passes[0].exit_status = 1
    found = record.table(passes, fooled=25)
    assert "| wrong verdicts | 2 |" in found and "not always the same | 2 |" in found
    assert "or reached | 1 |" in found and "with an error | 1 |" in found
    for kind in ("honest", "exhaustion"):
        assert re.search(rf"{record.KINDS[kind]} \| \d+ \| 1 \|", found)


def test_record_refuses_passes_of_another_corpus(two_passes):
    kept = json.loads(two_passes[0].read_text())
    del kept["verdicts"]["all_solved"]
    two_passes[0].write_text(json.dumps(kept))
    with pytest.raises(ValueError, match="other submissions"):
        record.read(two_passes[0])
