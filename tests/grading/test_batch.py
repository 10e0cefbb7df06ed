"""tutor grade: a class, whatever it holds and whatever ends in the middle of it."""

import contextlib
import csv
import html
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path

import nbformat
import psutil
import pytest
from distributed import Client, LocalCluster
from nbgrader.utils import is_solution
from sqlalchemy import text

from tests.grading import standin
from tutor import ROOT
from tutor.checks import CHAPTERS
from tutor.course.sample_class import CHAPTER, DUE, EXERCISES, FIRST_HALF, NOTEBOOK, solutions
from tutor.grading import batch, cli
from tutor.grading.batch import CannotGrade, ClassFolder, Run
from tutor.grading.gradebook import GRADED, Marks, Writer, open_gradebook, settings, tell
from tutor.grading.reports import class_report, exports, feedback, similarity
from tutor.grading.reports.class_report import Chapter, Submission, render

FULL = float(sum(e.total for e in EXERCISES.values()))
RIGHT = {name: f"RIGHT = '{name}'" for name in EXERCISES}
COMMAND = [sys.executable, "-m", "tutor.grading.cli"]


def hand_in(folder: Path, student: str, written: dict[str, str], timestamp: str = "") -> Path:
    """A submission with ``written`` in its solution cells; the folder that holds it."""
    nb = nbformat.read(ROOT / "exercises" / CHAPTER / f"{NOTEBOOK}.ipynb", as_version=4)
    for cell in filter(is_solution, nb.cells):
        name = cell.metadata.nbgrader.grade_id.removesuffix("-solution")
        cell.source = written.get(name, cell.source)
    place = folder / "submitted" / student / CHAPTER
    place.mkdir(parents=True, exist_ok=True)
    nbformat.write(nb, place / f"{NOTEBOOK}.ipynb")
    if timestamp:
        (place / "timestamp.txt").write_text(timestamp, encoding="utf-8")
    return place


def quick_class(folder: Path, count: int) -> ClassFolder:
    for n in range(count):
        hand_in(folder, f"s{n:02}", RIGHT)
    return ClassFolder(folder)


def points_in(place: ClassFolder) -> dict[str, float]:
    with open_gradebook(place.database) as gradebook:
        submissions = gradebook.assignment_submissions(CHAPTER)
        return {s.student.id: s.score for s in submissions}


def comments_in(place: ClassFolder, student: str) -> set[str | None]:
    with open_gradebook(place.database) as gradebook:
        notebook = gradebook.find_submission_notebook(NOTEBOOK, CHAPTER, student)
        return {comment.comment for comment in notebook.comments}


def lines(path: Path) -> int:
    return len(path.read_text().splitlines()) if path.exists() else 0


@pytest.fixture(scope="module")
def cluster():
    """A cluster that is there already, for tests that are not about its start."""
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster:
        yield cluster


# Reading what was handed in


def problem(folder: Path, student: str = "ada") -> str:
    handed_in = batch.read(ClassFolder(folder), student, CHAPTER)
    assert handed_in.data is None
    (sentence,) = handed_in.problems
    return sentence


def test_a_notebook_and_its_time_are_read(tmp_path):
    hand_in(tmp_path, "ada", RIGHT, "2026-03-02 09:30 CET\n")
    handed_in = batch.read(ClassFolder(tmp_path), "ada", CHAPTER)
    assert b"RIGHT" in handed_in.data and handed_in.problems == ()
    assert handed_in.timestamp == datetime(2026, 3, 2, 8, 30)


def test_links_are_not_followed_at_any_level(tmp_path):
    elsewhere = hand_in(tmp_path / "elsewhere", "target", RIGHT)
    for student, target in {
        f"file/{CHAPTER}/attention.ipynb": elsewhere / "attention.ipynb",
        f"folder/{CHAPTER}": elsewhere,
        "student": elsewhere.parent,
    }.items():
        link = tmp_path / "submitted" / student
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(target)
        reason = problem(tmp_path, student.partition("/")[0])
        assert link.exists() and reason.endswith("is a link, and links are not followed.")
    assert ClassFolder(tmp_path).students(CHAPTER) == ["file", "folder", "student"]


def test_what_is_no_file_is_named(tmp_path):
    place = hand_in(tmp_path, "ada", RIGHT)
    (place / "attention.ipynb").unlink()
    assert problem(tmp_path) == "There is no attention.ipynb."
    (place / "Attention final(2).ipynb").write_text("{}")
    assert problem(tmp_path).startswith(
        "There is no attention.ipynb, but Attention final(2).ipynb:"
    )
    (place / "attention.ipynb").mkdir()
    assert problem(tmp_path) == "attention.ipynb is not a file."
    (place / "attention.ipynb").rmdir()
    os.mkfifo(place / "attention.ipynb")
    assert problem(tmp_path) == "attention.ipynb is not a file."
    shutil.rmtree(place)
    place.write_text("a file")
    assert problem(tmp_path) == f"{CHAPTER} is not a folder."


def test_too_large_a_file_is_not_read(tmp_path):
    place = hand_in(tmp_path, "ada", RIGHT)
    with (place / "attention.ipynb").open("ab") as file:
        file.truncate(21 * 2**20)
    assert problem(tmp_path) == "attention.ipynb is larger than 20 MiB."


@pytest.mark.parametrize("garbage", [b"tomorrow", b"\xff\0", b"0000-99-99", b"9" * 400])
def test_a_time_that_is_none_is_said_and_costs_nothing(tmp_path, garbage):
    place = hand_in(tmp_path, "ada", RIGHT)
    (place / "timestamp.txt").write_bytes(garbage)
    handed_in = batch.read(ClassFolder(tmp_path), "ada", CHAPTER)
    assert handed_in.data and handed_in.timestamp is None
    assert handed_in.problems == (
        "timestamp.txt holds no date: nobody knows whether this is late.",
    )


def test_what_is_no_submission_is_named_and_not_graded(tmp_path):
    hand_in(tmp_path, "ada", RIGHT)
    (tmp_path / "submitted" / "class.zip").write_text("")
    (tmp_path / "submitted" / "ada" / "Week 3").mkdir()
    (tmp_path / "submitted" / ".DS_Store").write_text("")
    place = ClassFolder(tmp_path)
    assert place.students(CHAPTER) == ["ada"] and place.chapters() == [CHAPTER]
    loose, other = place.strays()
    assert "class.zip is in no student's folder" in loose
    assert "Week 3 is not graded: put it into a folder named after its chapter" in other


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


def printed(folder: Path, *arguments: str) -> list[dict]:
    """What ``tutor grade --json`` prints about the class."""
    command = [*COMMAND, "grade", CHAPTER, "--json", "--submitted", str(folder / "submitted")]
    done = subprocess.run([*command, *arguments], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


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


@pytest.fixture(scope="module")
def three(tmp_path_factory, cluster) -> Path:
    """A class of three, graded without running anything; and the log of gradings."""
    place = quick_class(tmp_path_factory.mktemp("three"), 3)
    run(place, place.folder / "log", cluster)
    assert lines(place.folder / "log") == 3
    return place.folder


@pytest.fixture
def graded(three, tmp_path) -> tuple[ClassFolder, Path]:
    shutil.copytree(three, tmp_path / "class")
    return ClassFolder(tmp_path / "class"), tmp_path / "class" / "log"


def run(place: ClassFolder, log: Path, cluster: LocalCluster, **options) -> list[batch.Outcome]:
    return list(Run(place, CHAPTER, scheduler=cluster, make=standin.Quick(log), **options))


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


def test_another_device_settings_or_secret_grade_again(monkeypatch):
    before = batch.specification(CHAPTER, "cpu")
    assert before == batch.specification(CHAPTER, "cpu")
    assert before != batch.specification(CHAPTER, "cuda")
    monkeypatch.setenv("TUTOR_GRADING_SECRET", "another")
    assert before != batch.specification(CHAPTER, "cpu")
    secret = batch.specification(CHAPTER, "cpu")
    changed = settings()
    changed.Judged.cell_seconds = 61
    monkeypatch.setattr(batch, "settings", lambda: changed)
    assert secret != batch.specification(CHAPTER, "cpu")


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
    with batch._alone(place.folder), pytest.raises(CannotGrade, match="Another `tutor grade`"):
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
    assert not any(o.graded for o in run(place, log, cluster))
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


def test_a_submission_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    place = ClassFolder(tmp_path)
    tell(place.database, CHAPTER)
    scores = {name: float(e.total) for name, e in EXERCISES.items()}
    with Writer(place.database, CHAPTER) as writer:
        monkeypatch.setattr(writer, "_remember", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            writer.save("ada", None, scores, {}, "hash")
    assert points_in(place) == {}
    with Writer(place.database, CHAPTER) as writer:
        writer.save("ada", None, scores, {}, "hash")
        assert writer.graded() == {"ada": ("hash", None)}
    assert points_in(place) == {"ada": FULL}


# Whatever ends in the middle


def test_a_killed_run_goes_on_where_it_stopped(tmp_path):
    place, log = quick_class(tmp_path, 12), tmp_path / "log"
    script = f"""
from pathlib import Path
from tests.grading.standin import Quick
from tutor.grading import cli
if __name__ == "__main__":
    arguments = ["grade", "--json", "--workers", "2", "--submitted", "submitted"]
    cli.main(arguments, make=Quick(Path({str(log)!r}), 0.2))
"""
    (tmp_path / "run.py").write_text(script)
    call = {"cwd": tmp_path, "env": {**os.environ, "PYTHONPATH": str(ROOT)}, "text": True}
    command = [sys.executable, str(tmp_path / "run.py")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, **call) as first:
        done = {json.loads(first.stdout.readline())["student"] for _ in range(4)}
        children = psutil.Process(first.pid).children(recursive=True)
        first.kill()
    _, alive = psutil.wait_procs(children, timeout=10)
    assert not alive
    before = lines(log)
    assert len(done) <= before < 12
    second = subprocess.run(command, capture_output=True, check=True, **call)
    *outcomes, last = map(json.loads, second.stdout.splitlines())
    again = {o["student"] for o in outcomes if o["graded"]}
    assert not done & again
    assert lines(log) - before == len(again) == last["summary"]["graded"]
    # Not more than what the two workers, and the writer, had in their hands.
    assert lines(log) <= 12 + 3
    assert points_in(place) == dict.fromkeys((f"s{n:02}" for n in range(12)), FULL)


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


def test_a_scheduler_goes_on_without_one_of_its_workers(tmp_path):
    place, log = quick_class(tmp_path, 12), tmp_path / "log"
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
        victim, _ = (start(*worker, "--no-dashboard") for _ in range(2))
        deadline = time.monotonic() + 60
        while not found.exists() or not found.read_text():
            assert time.monotonic() < deadline, "no scheduler"
            time.sleep(0.05)
        address = json.loads(found.read_text())["address"]
        with Client(address) as client:
            client.wait_for_workers(2, timeout=60)
        outcomes = []
        for outcome in Run(place, CHAPTER, scheduler=address, make=standin.Quick(log, 0.2)):
            outcomes.append(outcome)
            if len(outcomes) == 3:
                victim.kill()
    assert len(outcomes) == 12 and not any(o.failed for o in outcomes)
    assert points_in(place) == dict.fromkeys((f"s{n:02}" for n in range(12)), FULL)
    assert 12 <= lines(log) <= 13


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
            zygotes = [p for p in found if "zygote.main()" in command_of(p)]
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
        socket = folder / ".s.PGSQL.5432"
        ready = [programs[-1] / "pg_isready", "-h", folder, "-q"]
        deadline = time.monotonic() + 30
        while subprocess.run(ready).returncode:
            assert time.monotonic() < deadline, f"no server at {socket}"
            time.sleep(0.05)
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


# Tables for other systems


def test_canvas_and_moodle_get_their_columns(graded):
    place, _ = graded
    with open_gradebook(place.database) as gradebook:
        about = {"first_name": "Ada, Countess", "last_name": "L'Ovelace", "email": "a@b.c"}
        gradebook.update_or_create_student("s00", lms_user_id="77", **about)
        gradebook.update_or_create_student("absent")
    for layout in exports.FORMATS:
        exports.write(place.folder, place.database, layout)
    canvas, moodle = (
        list(csv.reader((place.folder / f"grades-{f}.csv").open())) for f in exports.FORMATS
    )
    assert canvas[0] == ["Student", "ID", "SIS User ID", "SIS Login ID", "Section", CHAPTER]
    assert canvas[1] == ["    Points Possible", "", "", "", "", "50.0"]
    assert canvas[2:4] == [["absent", "", "", "absent", "", ""],
                           ["L'Ovelace, Ada, Countess", "77", "", "s00", "", "50.0"]]  # fmt: skip
    assert moodle[0] == ["First name", "Last name", "ID number", "Email address", CHAPTER]
    assert moodle[2] == ["Ada, Countess", "L'Ovelace", "s00", "a@b.c", "50.0"]


def test_a_name_is_no_formula_of_a_spreadsheet(graded):
    place, _ = graded
    with open_gradebook(place.database) as gradebook:
        gradebook.update_or_create_student("s00", last_name='=HYPERLINK("x")', first_name="+1")
    exports.write(place.folder, place.database, "moodle")
    (row,) = [
        r
        for r in csv.DictReader((place.folder / "grades-moodle.csv").open())
        if r["ID number"] == "s00"
    ]
    assert (row["First name"], row["Last name"]) == ("'+1", '\'=HYPERLINK("x")')


# Solutions that are alike


def in_own_words(student: int) -> dict[str, str]:
    """Answers that share no run of code with another student's, and a short one that all share."""
    common = "def attention_scores(q, k):\n    return q @ k.mT / q.shape[-1] ** 0.5"
    written = {"attention_scores": common}
    for n, name in enumerate((*FIRST_HALF[2:], "self_attention", "attention_backward")):
        digits = f"{(student + 2) * 7919 * (n + 3)}"
        pairs = itertools.pairwise(digits)
        body = "\n".join(f"    x = [{d}] * {e}{d} - {d}{e} ** x" for d, e in pairs)
        written[name] = f"def {name}(x):\n{body}\n    return x[{digits}]"
    return written


def test_a_copy_is_found_under_other_names_and_nobody_else_is_accused():
    written = {f"s{n}": in_own_words(n) for n in range(12)}
    assert similarity.pairs(CHAPTER, NOTEBOOK, written) == []
    written["copycat"] = {
        name: source.replace("x", "my_value").replace("    my", "    # mine\n    my")
        for name, source in written["s4"].items()
    }
    (pair,) = similarity.pairs(CHAPTER, NOTEBOOK, written)
    assert pair.students == ("copycat", "s4") and "attention_scores" not in pair.exercises
    assert set(pair.exercises) == set(in_own_words(0)) - {"attention_scores"}


def test_the_reference_solution_in_everybodys_notebook_accuses_nobody():
    written = {f"s{n}": solutions() for n in range(8)} | {"s9": in_own_words(9)}
    assert similarity.pairs(CHAPTER, NOTEBOOK, written) == []


def test_a_solution_of_megabytes_costs_the_report_and_the_page_no_minutes():
    long = "".join(f"x{i} = {i} * y\n" for i in range(300_000))
    written = {f"s{n}": in_own_words(n) for n in range(4)} | {"s4": {"causal_mask": long}}
    parts = [long[i : i + 100_000] for i in range(0, len(long), 100_000)]
    nb = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(p) for p in parts])
    start = time.monotonic()
    assert similarity.pairs(CHAPTER, NOTEBOOK, written) == []
    page = feedback.page(nbformat.writes(nb), "s4", CHAPTER, NOTEBOOK, Marks({}, {}, {}))
    assert time.monotonic() - start < 20
    assert len(page) < 5_000_000 and "The rest of this cell is not shown" in page


def test_report_names_pairs_limits_and_the_slowest():
    rows = [
        Submission("ada", "Ada", {"f": 5.0}, 5.0, seconds={"f": 0.5}),
        Submission("bob", "Bob", {"f": 4.0}, 4.0, seconds={"f": 61.2},
                   limits=["f-solution ran longer than 60 s"]),
        Submission("eve", "Eve", {"f": 5.0}, 5.0, seconds={"f": 0.7}),
    ]  # fmt: skip
    pair = similarity.Pair(("ada", "eve"), ("f",), 20.0)
    page = render([Chapter("01_small", {"f": 5.0}, rows, [pair])])
    alike = page.partition('class="cards similar"')[2].partition("</ul>")[0]
    assert "Ada (ada)" in alike and "Eve (eve)" in alike and "Bob" not in alike
    assert "f-solution ran longer than 60 s" in page
    assert "<td>0.70 s</td>\n<td>61.20 s</td><td>Bob (bob)</td>" in page


# The command


def test_a_chapter_that_does_not_exist_is_said(tmp_path, capsys):
    assert cli.main(["grade", "99_nowhere", "--submitted", str(tmp_path)]) == 1
    chapters = ", ".join(CHAPTERS)
    assert f"There is no chapter 99_nowhere; there are: {chapters}." in capsys.readouterr().err


def test_the_command_takes_a_cluster_from_python(graded, cluster, capsys):
    place, log = graded
    arguments = ["grade", "--json", "--again", "--submitted", str(place.folder / "submitted")]
    assert cli.main(arguments, scheduler=cluster, make=standin.Quick(log)) == 0
    *_, last = map(json.loads, capsys.readouterr().out.splitlines())
    assert last["summary"]["graded"] == 3 and lines(log) == 6


def test_nothing_to_grade_says_where_to_put_notebooks(tmp_path, capsys):
    (tmp_path / "submitted").mkdir()
    assert cli.main(["grade", "--submitted", str(tmp_path / "submitted")]) == 1
    message = capsys.readouterr().err
    assert "nothing to grade" in message and "ada/01_recurrence/recurrence.ipynb" in message


def test_check_says_what_the_checks_say_and_its_exit_code_whether_all_is_well(tmp_path):
    right = solutions()
    ada = hand_in(tmp_path, "ada", right) / "attention.ipynb"
    bob = hand_in(tmp_path, "bob", {"stable_softmax": "def stable_softmax(s, dim=-1)\n  1"})
    said = {}
    for path in (ada, bob / "attention.ipynb"):
        before = path.read_bytes()
        done = subprocess.run([*COMMAND, "check", path], cwd=ROOT, capture_output=True, text=True)
        said[path.parts[-3]] = (done.returncode, done.stdout, done.stderr)
        assert path.read_bytes() == before
    assert said["ada"][0] == 0 and "50 of 50 points" in said["ada"][1]
    assert "  ✓ values" in said["ada"][1]
    assert said["bob"][0] == 1 and "0 of 50 points" in said["bob"][1]
    assert "stable_softmax-solution: SyntaxError" in said["bob"][1]
    assert said["ada"][2] == said["bob"][2] == ""


def test_check_of_a_file_that_is_no_notebook_says_so(tmp_path, capsys):
    assert cli.main(["check", str(tmp_path / "gone.ipynb")]) == 2
    (tmp_path / "prose.ipynb").write_text("Dear all")
    assert cli.main(["check", str(tmp_path / "prose.ipynb")]) == 2
    assert "is no notebook that can be read" in capsys.readouterr().err


def test_status_shows_points_and_what_is_untouched(sample_class, tmp_path, capsys):
    work = tmp_path / CHAPTER
    work.mkdir()
    notebook = sample_class / "autograded" / "bruno" / CHAPTER / "attention.ipynb"
    nb = nbformat.read(notebook, as_version=4)
    for cell in nb.cells:
        if cell.get("id") == "causal_mask-solution":
            cell.execution_count = 99
    nbformat.write(nb, work / "attention.ipynb")
    assert cli.main(["status", str(tmp_path)]) == 0
    rows = [" ".join(row.split()) for row in capsys.readouterr().out.splitlines()]
    assert any(r.endswith("stable_softmax 6 of 6") for r in rows)
    assert "causal_mask 5 of 5 check again" in rows
    assert "self_attention – of 8 untouched" in rows
    assert f"together 22 of {FULL:g}" in rows


def test_our_table_leaves_nbgraders_alone(graded):
    with open_gradebook(graded[0].database) as gradebook:
        tables = gradebook.db.execute(text("select count(*) from tutor_graded")).scalar()
        assert tables == 3 and GRADED.name == "tutor_graded"
        assert gradebook.db.execute(text("select version_num from alembic_version")).scalar()
