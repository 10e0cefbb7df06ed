"""Feedback pages, and the processes in which they are made."""

import os
import resource
import signal
import time

import nbformat

from tests.grading.helpers import lines
from tutor.course.sample_class import CHAPTER, NOTEBOOK
from tutor.grading.batch import Run
from tutor.grading.gradebook import Marks
from tutor.grading.reports import apart as parts
from tutor.grading.reports import class_report, feedback
from tutor.grading.reports.apart import Failed, apart


def test_a_notebook_of_megabytes_is_shown_in_part():
    parts = ["x = y\n" * 16_000] * 30
    nb = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(p) for p in parts])
    page = feedback.page(nbformat.writes(nb), "s4", CHAPTER, NOTEBOOK, Marks({}, {}, {}))
    assert len(page) < 8_000_000 and "The rest of this cell is not shown" in page


def double(number: int) -> int:
    if number == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    if number == 3:
        raise ValueError("not that one")
    while number == 4:
        pass
    return 2 * number + len(bytearray(2**30 if number == 5 else 0))


def test_a_job_that_ends_its_process_or_takes_too_much_costs_itself_only():
    jobs = {str(n): (n,) for n in range(8)}
    found = dict(apart(double, jobs, workers=2, seconds=1, mebibytes=500))
    failed = {name: str(why) for name, why in found.items() if isinstance(why, Failed)}
    assert failed == {
        "2": "its process ended (-9)",
        "3": "ValueError: not that one",
        "4": "it took too long",
        "5": "MemoryError: ",
    }
    assert {name: found[name] for name in found.keys() - failed} == {
        "0": 0,
        "1": 2,
        "6": 12,
        "7": 14,
    }


def test_limits_are_those_of_the_processes_apart_and_not_our_own():
    before = resource.getrlimit(resource.RLIMIT_DATA), resource.getrlimit(resource.RLIMIT_CPU)
    assert dict(apart(double, {"one": (1,)}, workers=1, mebibytes=500)) == {"one": 2}
    assert before == (
        resource.getrlimit(resource.RLIMIT_DATA),
        resource.getrlimit(resource.RLIMIT_CPU),
    )


def test_who_waits_for_ever_is_stopped_by_the_clock(monkeypatch):
    monkeypatch.setattr(parts, "WALL_FACTOR", 1)
    jobs = {"waits": (3600,), "works": (0,)}
    found = dict(apart(time.sleep, jobs, workers=1, seconds=1))
    assert str(found["waits"]) == "it took too long" and found["works"] is None


def test_page_that_cannot_be_made_is_a_plain_one_with_the_marks(graded):
    place, log = graded
    run = Run(place, CHAPTER)
    assert not any(outcome.graded for outcome in run) and lines(log) == 3
    for student in ("s00", "s01"):
        place.page(student, CHAPTER).unlink()
    autograded = place.autograded("s00", CHAPTER)
    autograded.chmod(0o644)
    autograded.write_text("<b>no notebook</b>")
    (problem,) = feedback.write_pages(place, CHAPTER, run.marks)
    why = "could not be made of the notebook: NotJSONError"
    assert problem.startswith(f"The feedback page for s00 {why}") and "<" not in problem
    plain, other = (place.page(s, CHAPTER).read_text("utf-8") for s in ("s00", "s01"))
    assert why in plain and "s00: 50 of 50" in plain and "<b>no" not in plain
    assert "<td>causal_mask<td>5 of 5" in plain and why not in other
    # It is said once.
    assert feedback.write_pages(place, CHAPTER, run.marks) == []


def test_plain_page_shows_comments_and_the_penalty_as_text():
    marks = Marks({"f": 3.0}, {"f": 5.0}, {"f-solution": "<i>See me.</i>"}, penalty=1.0)
    shown = feedback.plain_page("<b>", CHAPTER, marks, "It broke.")
    assert "&lt;b&gt;: 2 of 5" in shown and "&lt;i&gt;See me." in shown and "penalty: 1" in shown


def test_report_without_what_could_not_be_compared_is_better_than_none(graded, monkeypatch):
    place, _ = graded
    monkeypatch.setattr(class_report, "apart", failing_once())
    (page,), (problem,) = class_report.write_apart(place.folder, place.database)
    assert "s00" in page.read_text("utf-8")
    assert problem == "No solutions were compared: it took too long"


def failing_once():
    def apart(function, jobs, *limits):
        ((name, arguments),) = jobs.items()
        compared = arguments[-1]
        yield name, Failed("it took too long") if compared else function(*arguments)

    return apart
