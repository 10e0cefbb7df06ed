"""tutor grade: a class, whatever it holds and whatever ends in the middle of it."""

import contextlib
import csv
import html
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import psutil
import pytest
from distributed import Client, Future, default_client

from tests.grading import standin
from tests.grading.helpers import (
    FULL,
    RIGHT,
    comments_in,
    hand_in,
    lines,
    points_in,
    printed,
    quick_class,
    run,
)
from tests.proofs import COURSE
from tutor import ROOT
from tutor.course.sample_class import CHAPTER, DUE, FIRST_HALF, NOTEBOOK, solutions
from tutor.course.settings import open_gradebook, settings
from tutor.grading import CannotGrade, batch, specification
from tutor.grading.batch import Run
from tutor.grading.class_folder import ClassFolder
from tutor.grading.gradebook import tell
from tutor.grading.reports import class_report, exports

pytestmark = pytest.mark.long

# A class with everything in it, graded by the command


HONEST = {"ada", 'Brian O\'Brien "Bri"', "héloïse", "late", "undated"}
BROKEN = {"empty", "prose", "array", "linked", "misnamed", "nothing"}


@pytest.fixture(scope="module")
def mixed(tmp_path_factory) -> tuple[Path, list[dict]]:
    """Folder of a graded class, and what the command printed."""
    folder = tmp_path_factory.mktemp("a class")
    right = solutions()
    half = {name: right[name] for name in FIRST_HALF}
    for student in HONEST - {"late", "undated"}:
        hand_in(folder, student, right if student == "ada" else half, "2026-03-01 10:00 UTC")
    hand_in(folder, "late", half, "2026-03-09 10:00 UTC")
    hand_in(folder, "undated", half, "soon")
    for student, content in {"empty": "", "prose": "Dear all", "array": "[1, 2"}.items():
        place = hand_in(folder, student, right)
        (place / "attention.ipynb").write_text(content)
    (folder / "canary").write_text("CANARY")
    for student in ("linked", "misnamed", "nothing"):
        (hand_in(folder, student, right) / "attention.ipynb").unlink()
    (folder / "submitted/linked" / CHAPTER / "attention.ipynb").symlink_to(folder / "canary")
    (folder / "submitted/misnamed" / CHAPTER / "hw.ipynb").write_text("{}")
    with open_gradebook(f"sqlite:///{folder / 'gradebook.db'}") as gradebook:
        gradebook.update_or_create_assignment(CHAPTER, duedate=DUE)
    return folder, printed(folder, "--workers", "2")


def test_every_submission_has_a_line_and_the_last_is_the_summary(mixed):
    *submissions, last = mixed[1]
    assert {s["student"] for s in submissions} == HONEST | BROKEN
    assert last["summary"]["graded"] == len(HONEST | BROKEN) and not last["summary"]["failed"]


def test_broken_submissions_have_zero_and_a_reason_and_the_rest_their_grades(mixed):
    place = ClassFolder(mixed[0])
    points = points_in(place)
    assert {s for s in points if points[s] == 0} == BROKEN
    assert points["ada"] == FULL
    assert {points[s] for s in HONEST - {"ada"}} == {22.0}
    reasons = {s["student"]: " ".join(s["problems"]) for s in mixed[1][:-1]}
    assert "is empty" in reasons["empty"] and "not JSON" in reasons["prose"]
    assert "is a link" in reasons["linked"] and "hw.ipynb" in reasons["misnamed"]
    for student in BROKEN:
        assert comments_in(place, student) == {reasons[student]}
        page = mixed[0] / "feedback" / student / CHAPTER / "attention.html"
        assert reasons[student] in html.unescape(page.read_text("utf-8"))


def test_a_link_is_neither_read_nor_written(mixed):
    assert (mixed[0] / "canary").read_text() == "CANARY"
    for path in (mixed[0] / "autograded").rglob("*"):
        assert not path.is_symlink()
        assert path.is_dir() or "CANARY" not in path.read_text("utf-8")


def test_report_says_what_could_not_be_graded(mixed):
    page = html.unescape((mixed[0] / "report.html").read_text("utf-8"))
    section = page.partition('class="cards unreadable"')[2].partition("</ul>")[0]
    for student in BROKEN | {"undated"}:
        assert f"<b>{student}</b>" in section
    assert "<b>ada</b>" not in section
    assert 'class="times"' in page


def test_nothing_is_graded_twice(mixed):
    *submissions, last = printed(mixed[0])
    assert last["summary"]["unchanged"] == len(submissions) == len(HONEST | BROKEN)


@pytest.mark.by_content(*COURSE)
def test_nbgrader_leaves_the_same_in_its_gradebook(mixed, tmp_path):
    """nbgrader autograde, on those that it reads, and then its feedback and its export."""
    readable = HONEST - {"undated"}
    for student in readable:
        shutil.copytree(mixed[0] / "submitted" / student, tmp_path / "submitted" / student)
    place = ClassFolder(tmp_path)
    with open_gradebook(place.database) as gradebook:
        gradebook.update_or_create_assignment(CHAPTER, duedate=DUE)
    tell(place.database, CHAPTER)
    nbgrader(place, "autograde", CHAPTER)
    nbgrader(place, "generate_feedback", CHAPTER)
    assert content(place, readable) == content(ClassFolder(mixed[0]), readable)
    for student in readable:
        for step, name in (("autograded", "attention.ipynb"), ("feedback", "attention.html")):
            files = [f / step / student / CHAPTER / name for f in (mixed[0], tmp_path)]
            theirs, ours = (f.stat().st_mode for f in files)
            assert theirs == ours
    export = tmp_path / "nbgrader.csv"
    nbgrader(place, "export", f"--to={export}")
    exports.write(tmp_path, place.database)
    tables = [
        {r["student_id"]: r for r in csv.DictReader(path.open(encoding="utf-8"))}
        for path in (export, tmp_path / "grades.csv")
    ]
    quoted = 'Brian O\'Brien "Bri"'
    assert tables[0].keys() == tables[1].keys() and quoted in tables[0]
    for student in readable:
        assert tables[0][student] == tables[1][student]


def nbgrader(place: ClassFolder, command: str, *arguments: str) -> None:
    options = [
        f"--CourseDirectory.{s}_directory={place.folder / s}"
        for s in ("submitted", "autograded", "feedback")
    ]
    options.append(f"--CourseDirectory.db_url={place.database}")
    call = [sys.executable, "-m", "nbgrader", command, *arguments, *options]
    done = subprocess.run(call, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def content(place: ClassFolder, students: set[str]) -> dict:
    """All that the gradebook says of them, without its ids."""
    found = {}
    with open_gradebook(place.database) as gradebook:
        for student in students:
            submission = gradebook.find_submission(CHAPTER, student)
            (notebook,) = submission.notebooks
            found[student] = (
                submission.timestamp,
                submission.extension,
                notebook.late_submission_penalty,
                notebook.flagged,
                {
                    g.name: (g.auto_score, g.manual_score, g.extra_credit, g.needs_manual_grade)
                    for g in notebook.grades
                },
                {c.name: (c.auto_comment, c.manual_comment) for c in notebook.comments},
            )
    return found


# What is graded again, and what is not


@pytest.mark.by_content(*COURSE)
def test_only_a_changed_submission_is_graded_again(graded, cluster):
    place, log = graded
    hand_in(place.folder, "s01", RIGHT | {"causal_mask": "# another thought"})
    outcomes = run(place, log, cluster)
    assert [(o.student, o.graded) for o in outcomes] == [
        ("s00", False), ("s02", False), ("s01", True)
    ]  # fmt: skip
    assert lines(log) == 4


def test_again_grades_everybody(graded, cluster):
    place, log = graded
    assert all(o.graded for o in run(place, log, cluster, again=True)) and lines(log) == 6


def test_a_missing_autograded_notebook_is_made_again(graded, cluster):
    place, log = graded
    shutil.rmtree(place.folder / "autograded" / "s02")
    run(place, log, cluster)
    assert lines(log) == 4 and (place.folder / "autograded/s02" / CHAPTER).is_dir()


def another_score(place: ClassFolder, student: str) -> None:
    with open_gradebook(place.database) as gradebook:
        gradebook.find_grade("causal_mask", NOTEBOOK, CHAPTER, student).auto_score = 1.0
        gradebook.db.commit()


def another_comment(place: ClassFolder, student: str) -> None:
    with open_gradebook(place.database) as gradebook:
        name = "causal_mask-solution"
        gradebook.find_comment(name, NOTEBOOK, CHAPTER, student).auto_comment = "Too late."
        gradebook.db.commit()


def another_notebook(place: ClassFolder, student: str) -> None:
    shutil.copyfile(
        ROOT / "exercises" / CHAPTER / f"{NOTEBOOK}.ipynb", place.autograded(student, CHAPTER)
    )


def half_a_notebook(place: ClassFolder, student: str) -> None:
    path = place.autograded(student, CHAPTER)
    os.truncate(path, path.stat().st_size // 2)


@pytest.mark.parametrize(
    "change", [another_score, another_comment, another_notebook, half_a_notebook]
)
def test_what_is_not_the_submissions_grade_any_more_is_graded_again(graded, cluster, change):
    place, log = graded
    before = place.autograded("s01", CHAPTER).read_text("utf-8")
    place.autograded("s01", CHAPTER).chmod(0o644)
    change(place, "s01")
    assert [o.student for o in run(place, log, cluster, pages=True) if o.graded] == ["s01"]
    assert points_in(place)["s01"] == FULL and "Too late." not in comments_in(place, "s01")
    assert place.autograded("s01", CHAPTER).read_text("utf-8") == before
    assert not any(o.graded for o in run(place, log, cluster))


@pytest.mark.by_content(*COURSE)
def test_marks_are_the_submissions_whatever_the_order_of_commands(graded, cluster):
    """Graded by a stand-in here, which finds everything right, and by nbgrader for what it is."""
    place, log = graded
    shutil.rmtree(place.folder / "submitted" / "s02")
    version = hand_in(place.folder, "s01", RIGHT) / "attention.ipynb"
    first = version.read_bytes()
    for dated in (True, False):
        stamp = version.with_name("timestamp.txt")
        stamp.write_text("2026-03-03 6:55 PM CET") if dated else stamp.unlink()
        hand_in(place.folder, "s01", {"causal_mask": "causal_mask = None"})
        nbgrader(place, "autograde", CHAPTER, "--force", "--student=s01")
        assert points_in(place)["s01"] == 0
        with open_gradebook(place.database) as gradebook:
            time_of = gradebook.find_submission(CHAPTER, "s01").timestamp
        assert time_of == (datetime(2026, 3, 3, 17, 55) if dated else None)
        version.write_bytes(first)
        outcomes = {o.student: o for o in run(place, log, cluster, pages=True)}
        assert outcomes["s01"].graded and not outcomes["s00"].graded
        assert points_in(place)["s01"] == outcomes["s01"].points == FULL
        assert "(Score: 50.0 / 50.0)" in place.page("s01", CHAPTER).read_text("utf-8")


def test_another_device_settings_or_secret_grade_again(monkeypatch):
    before = specification.specification(CHAPTER, "cpu")
    assert before == specification.specification(CHAPTER, "cpu")
    assert before != specification.specification(CHAPTER, "cuda")
    monkeypatch.setenv("TUTOR_GRADING_SECRET", "another")
    assert before != specification.specification(CHAPTER, "cpu")
    secret = specification.specification(CHAPTER, "cpu")
    changed = settings()
    changed.Judged.cell_seconds = 61
    monkeypatch.setattr(specification, "settings", lambda: changed)
    assert secret != specification.specification(CHAPTER, "cpu")


def test_a_worker_with_another_version_of_the_course_grades_nothing(graded, cluster, monkeypatch):
    place, log = graded
    monkeypatch.setattr(batch, "specification", lambda *_: "something else")
    with pytest.raises(CannotGrade, match="another version of the course"):
        run(place, log, cluster)
    assert lines(log) == 3


def test_a_removed_submission_is_graded_again(graded, cluster):
    place, log = graded
    with open_gradebook(place.database) as gradebook:
        gradebook.remove_submission(CHAPTER, "s01")
    assert [o.student for o in run(place, log, cluster) if o.graded] == ["s01"]
    assert points_in(place) == dict.fromkeys(("s00", "s01", "s02"), FULL)


def test_two_runs_on_one_class_do_not_meet(graded, cluster):
    place, log = graded
    with place.alone(), pytest.raises(CannotGrade, match="Another `tutor grade`"):
        run(place, log, cluster)


# What a human has written stays, and what the clock says is followed


def test_manual_grades_stay_and_reach_the_feedback_page(graded, cluster):
    place, log = graded
    page = place.folder / "feedback" / "s00" / CHAPTER / "attention.html"
    assert "(Score: 50.0 / 50.0)" in page.read_text("utf-8")
    with open_gradebook(place.database) as gradebook:
        grade = gradebook.find_grade("causal_mask", NOTEBOOK, CHAPTER, "s00")
        grade.manual_score, grade.extra_credit = 1.0, 0.5
        cell = gradebook.find_comment("causal_mask-solution", NOTEBOOK, CHAPTER, "s00")
        cell.manual_comment = "Please see me."
        gradebook.db.commit()
    assert not any(o.graded for o in run(place, log, cluster, pages=True))
    shown = page.read_text("utf-8")
    assert "(Score: 46.5 / 50.0)" in shown and "Please see me." in shown
    run(place, log, cluster, again=True)
    assert points_in(place)["s00"] == 46.5
    with open_gradebook(place.database) as gradebook:
        assert gradebook.find_grade("causal_mask", NOTEBOOK, CHAPTER, "s00").needs_manual_grade
        assert not gradebook.find_grade("padding_mask", NOTEBOOK, CHAPTER, "s00").needs_manual_grade


def test_a_change_of_time_is_noticed_without_grading_again(graded, cluster, monkeypatch):
    place, log = graded
    strict = settings()
    strict.LateSubmissionPlugin.penalty_method = "zero"
    monkeypatch.setattr("tutor.grading.gradebook.settings", lambda: strict)
    with open_gradebook(place.database) as gradebook:
        gradebook.update_or_create_assignment(CHAPTER, duedate=DUE)
    stamp = place.folder / "submitted" / "s01" / CHAPTER / "timestamp.txt"
    points = {}
    for time_of in ("2026-03-03 10:00 UTC", "2026-03-01 10:00 UTC"):
        stamp.write_text(time_of)
        points[time_of] = {o.student: o.points for o in run(place, log, cluster)}["s01"]
    assert list(points.values()) == [0.0, FULL] and lines(log) == 3


@pytest.mark.parametrize("without", ["", "some day", "2026-03-03 10:00 IST"])
def test_a_time_that_is_taken_away_takes_lateness_with_it(graded, cluster, monkeypatch, without):
    place, log = graded
    strict = settings()
    strict.LateSubmissionPlugin.penalty_method = "zero"
    monkeypatch.setattr("tutor.grading.gradebook.settings", lambda: strict)
    with open_gradebook(place.database) as gradebook:
        gradebook.update_or_create_assignment(CHAPTER, duedate=DUE)
    stamp = place.folder / "submitted" / "s01" / CHAPTER / "timestamp.txt"
    kept = [place.step(s, "s01", CHAPTER) / "timestamp.txt" for s in ("autograded", "feedback")]
    stamp.write_text("2026-03-03 10:00 UTC")
    assert {o.student: o.points for o in run(place, log, cluster)}["s01"] == 0
    assert all(path.exists() for path in kept)
    stamp.write_text(without) if without else stamp.unlink()
    assert {o.student: o.points for o in run(place, log, cluster)}["s01"] == FULL
    assert not any(path.exists() for path in kept)
    with open_gradebook(place.database) as gradebook:
        assert gradebook.find_submission(CHAPTER, "s01").total_seconds_late == 0


# Whatever ends in the middle


@pytest.mark.by_content(*COURSE)
def test_a_killed_run_goes_on_where_it_stopped(tmp_path):
    place, log, gate = quick_class(tmp_path, 12), tmp_path / "log", tmp_path / "gate"
    scratch = Path(tempfile.mkdtemp(dir="/tmp"))  # a short name, for the sockets in it
    script = f"""
from pathlib import Path
from tests.grading.standin import Quick
from tutor.grading import cli
if __name__ == "__main__":
    arguments = ["grade", "--json", "--workers", "2", "--submitted", "submitted"]
    cli.main(arguments, make=Quick(Path({str(log)!r}), Path({str(gate)!r}), free=6))
"""
    (tmp_path / "run.py").write_text(script)
    call = {"cwd": tmp_path, "env": {**os.environ, "PYTHONPATH": str(ROOT)}, "text": True}
    command = [sys.executable, str(tmp_path / "run.py")]
    call["env"]["TMPDIR"] = str(scratch)
    with subprocess.Popen(command, stdout=subprocess.PIPE, **call) as first:
        done = {json.loads(first.stdout.readline())["student"] for _ in range(4)}
        children = psutil.Process(first.pid).children(recursive=True)
        first.kill()
    _, alive = psutil.wait_procs(children, timeout=100)
    assert not alive
    (left,) = scratch.iterdir()
    assert any(left.iterdir())
    before = lines(log)
    assert len(done) <= before <= 6 + 2  # both workers wait at the gate
    gate.touch()
    second = subprocess.run(command, capture_output=True, check=True, **call)
    *outcomes, last = map(json.loads, second.stdout.splitlines())
    scratch.rmdir()  # neither the first run's files nor its own are there
    again = {o["student"] for o in outcomes if o["graded"]}
    assert not done & again
    assert lines(log) - before == len(again) == last["summary"]["graded"]
    assert points_in(place) == dict.fromkeys((f"s{n:02}" for n in range(12)), FULL)


def test_who_only_waited_is_graded_once_more_when_nobody_else_is(tmp_path, cluster):
    place, log = quick_class(tmp_path, 5), tmp_path / "log"
    hand_in(tmp_path, "s01", RIGHT | {"causal_mask": "RIGHT and WAIT"})
    outcomes = run(place, log, cluster)
    assert [o.student for o in outcomes][-1] == "s01" and not any(o.failed for o in outcomes)
    assert lines(log) == 6 and points_in(place) == dict.fromkeys(
        (f"s{n:02}" for n in range(5)), FULL
    )


def test_what_ends_its_worker_gets_a_reason_and_stops_nobody(tmp_path):
    place, log = quick_class(tmp_path, 5), tmp_path / "log"
    hand_in(tmp_path, "s02", {"causal_mask": "END THE WORKER"})
    options = {"workers": 2, "make": standin.Quick(log)}
    outcomes = {o.student: o for o in Run(place, CHAPTER, **options)}
    assert [s for s, o in outcomes.items() if o.failed] == ["s02"]
    assert outcomes["s02"].problems == (batch.FATAL,)
    assert points_in(place) == {f"s{n:02}": FULL * (n != 2) for n in range(5)}
    assert comments_in(place, "s02") == {batch.FATAL}
    # It was none of the submission's doing, perhaps: only this one is tried again.
    hand_in(tmp_path, "s02", RIGHT)
    assert [o.student for o in Run(place, CHAPTER, **options) if o.graded] == ["s02"]
    assert points_in(place)["s02"] == FULL


@pytest.fixture
def two_workers(tmp_path):
    """Address of a scheduler, and its two workers' processes."""
    dask = [sys.executable, "-m", "dask"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": ROOT}
    found = tmp_path / "scheduler.json"
    with contextlib.ExitStack() as stack:

        def start(*arguments: str) -> subprocess.Popen:
            process = subprocess.Popen([*dask, *arguments], **quiet)
            stack.callback(process.wait)
            stack.callback(process.kill)
            return process

        start("scheduler", "--port", "0", "--no-dashboard", "--scheduler-file", str(found))
        worker = ("worker", "--scheduler-file", str(found), "--nthreads", "1", "--no-nanny")
        workers = [start(*worker, "--no-dashboard") for _ in range(2)]
        wait_for(lambda: found.exists() and found.read_text())
        address = json.loads(found.read_text())["address"]
        with Client(address) as client:
            client.wait_for_workers(2, timeout=600)
        yield address, *workers


def test_a_scheduler_goes_on_without_one_of_its_workers(tmp_path, two_workers):
    place, log, gate = quick_class(tmp_path, 12), tmp_path / "log", tmp_path / "gate"
    address, victim, other = two_workers
    outcomes = []
    make = standin.Quick(log, gate, free=6)
    for outcome in Run(place, CHAPTER, scheduler=address, make=make):
        outcomes.append(outcome)
        if len(outcomes) == 3:  # the other nine are not all done: both workers come to the gate
            wait_for(lambda: lines(log) == 6 + 2)
            victim.kill()
            victim.wait()
            gate.touch()
    assert len(outcomes) == 12 and not any(o.failed for o in outcomes)
    assert points_in(place) == dict.fromkeys((f"s{n:02}" for n in range(12)), FULL)
    graded_by = [int(line) for line in log.read_text().splitlines()]
    assert set(graded_by) == {victim.pid, other.pid}
    # What the victim had not handed over is graded once more, and nothing of the other's is.
    assert graded_by.count(other.pid) <= 12 and len(graded_by) <= 12 + graded_by.count(victim.pid)


def test_grades_that_end_with_their_worker_are_made_again(tmp_path, two_workers, monkeypatch):
    place, log, gate = quick_class(tmp_path, 8), tmp_path / "log", tmp_path / "gate"
    address, *workers = two_workers
    met = []

    def exception(future):
        """As if it had been lost a moment after it was asked: until then it was finished."""
        if future.status != "lost":
            return usual(future)
        met.append(future)
        gate.touch()
        return None

    def states() -> list[str]:
        return [state.status for state in default_client().futures.values()]

    usual = Future.exception
    monkeypatch.setattr(Future, "exception", exception)
    outcomes = []
    for outcome in Run(place, CHAPTER, scheduler=address, make=standin.Quick(log, gate, free=8)):
        outcomes.append(outcome)
        if len(outcomes) == 1:
            # Handed over, and not only graded: what is graded and not heard of is not lost.
            wait_for(lambda: set(states()) == {"finished"})
            graded_by = [int(line) for line in log.read_text().splitlines()]
            victim = max(workers, key=lambda worker: graded_by.count(worker.pid))
            victim.kill()
            victim.wait()
            # All of them, but perhaps for the one that is saved: whichever is asked next is met.
            lost = graded_by.count(victim.pid) - 1
            wait_for(lambda lost=lost: states().count("lost") >= lost)
            wait_for(lambda: lines(log) == 8 + 1)  # the first of them, at the gate
    assert met
    assert len(outcomes) == 8 and not any(o.failed for o in outcomes)
    assert points_in(place) == dict.fromkeys((f"s{n:02}" for n in range(8)), FULL)


def wait_for(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 600
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def command_of(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:  # it has ended, and nobody has waited for it yet
        return ""


def test_a_killed_zygote_costs_nobody_a_point(tmp_path, cluster):
    for n in range(4):
        hand_in(tmp_path, f"s{n}", {name: solutions()[name] for name in FIRST_HALF})
    place, log = ClassFolder(tmp_path), tmp_path / "log"
    outcomes = []
    for outcome in Run(place, CHAPTER, scheduler=cluster, make=standin.Noted(log)):
        if not outcomes:
            found = psutil.Process().children(recursive=True)
            zygotes = [p for p in found if "inside.zygote" in command_of(p)]
            assert zygotes
            for process in zygotes:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
        outcomes.append(outcome)
    assert points_in(place) == dict.fromkeys(("s0", "s1", "s2", "s3"), 22.0)
    assert lines(log) == 4


# PostgreSQL


@pytest.fixture
def postgresql():
    """URL of a real server, in a folder of its own, on a unix socket."""
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    assert programs, "There is no PostgreSQL server here: apt-get install postgresql"
    user = {"user": "nobody", "group": "nogroup"} if os.getuid() == 0 else {}
    folder = Path(subprocess.run(["mktemp", "-d"], capture_output=True, text=True).stdout.strip())
    if user:
        shutil.chown(folder, **user)
    quiet = {"cwd": folder, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, **user}
    initdb, postgres = programs[-1] / "initdb", programs[-1] / "postgres"
    data = ["-D", folder / "data"]
    subprocess.run([initdb, *data, "-U", "tutor", "-A", "trust", "--no-sync"], check=True, **quiet)
    server = subprocess.Popen([postgres, *data, "-k", folder, "-h", "", "-F"], **quiet)
    try:
        ready = [programs[-1] / "pg_isready", "-h", folder, "-q"]
        wait_for(lambda: subprocess.run(ready).returncode == 0)
        yield f"postgresql://tutor@/postgres?host={folder}"
    finally:
        server.send_signal(signal.SIGINT)
        server.wait()
        shutil.rmtree(folder)


def test_a_class_is_graded_on_a_postgresql_server(postgresql, tmp_path, cluster):
    quick_class(tmp_path, 3)
    hand_in(tmp_path, "s01", {})
    place, log = ClassFolder(tmp_path, postgresql), tmp_path / "log"
    assert all(o.graded for o in run(place, log, cluster))
    assert not any(o.graded for o in run(place, log, cluster)) and lines(log) == 3
    assert points_in(place) == {"s00": FULL, "s01": 0.0, "s02": FULL}
    exports.write(tmp_path, postgresql)
    rows = list(csv.DictReader((tmp_path / "grades.csv").open()))
    assert [float(r["score"]) for r in rows] == [FULL, 0.0, FULL]
    assert "s01" in class_report.write(tmp_path, postgresql).read_text("utf-8")
    assert not (tmp_path / "gradebook.db").exists()
