"""The sample class, graded by ``tutor grade``: grades and feedback."""

import csv
import html
import re

import torch

from tutor.checks import judge
from tutor.course.sample_class import (
    CHAPTER,
    EXERCISES,
    FIRST_HALF,
    TRAPPED,
    expected_grades,
    solutions,
    source,
    students,
)
from tutor.course.settings import open_gradebook

FULL = {name: float(e.total) for name, e in EXERCISES.items()}
NONE = dict.fromkeys(EXERCISES, 0.0)


# Grades


def test_every_student_gets_the_expected_points(grades):
    handed_in = {s.id for s in students() if s.timestamp}
    expected = {name: points for name, points in expected_grades().items() if name in handed_in}
    assert grades == expected


def test_solution_pasted_into_the_student_notebook_scores_full_marks(grades):
    assert grades["amara"] == FULL and sum(FULL.values()) == 50


def test_unsolved_notebook_scores_zero(grades):
    assert grades["sven"] == NONE


def test_half_of_the_solutions_score_half(grades):
    assert grades["bruno"] == {name: FULL[name] * (name in FIRST_HALF) for name in FULL}


def test_syntax_error_in_one_cell_leaves_the_others_graded(grades):
    assert grades["rania"] == FULL | {"causal_mask": 0.0}


def test_every_trap_costs_points_where_it_stands_and_none_before(grades):
    trapped = [s for s in students() if s.trap]
    assert len(trapped) >= 20
    assert [s.trap for s in trapped] == list(EXERCISES[TRAPPED].traps)[: len(trapped)]
    for student in trapped:
        points = grades[student.id]
        assert points[TRAPPED] < FULL[TRAPPED]
        assert all(points[name] == FULL[name] for name in FIRST_HALF)


def test_late_work_keeps_its_points_and_is_known_to_be_late(sample_class, grades):
    assert grades["tomoko"] == FULL
    with open_gradebook(f"sqlite:///{sample_class / 'gradebook.db'}") as gradebook:
        late = {
            s.student.id
            for s in gradebook.find_assignment(CHAPTER).submissions
            if s.total_seconds_late
        }
    assert late == {"tomoko"}


def test_exported_grades_hold_everybody(sample_class, grades):
    rows = list(csv.DictReader((sample_class / "grades.csv").open()))
    exported = {r["student_id"]: float(r["score"]) for r in rows}
    assert exported == {name: sum(points.values()) for name, points in grades.items()} | {"uri": 0}


# Feedback


def test_feedback_page_holds_the_report_with_the_misconception(sample_class):
    for student in students():
        path = sample_class / "feedback" / student.id / CHAPTER / "attention.html"
        assert path.exists() == (student.timestamp is not None), student.id
        if student.trap:
            text = html.unescape(path.read_text("utf-8"))
            assert "masks and edge cases" in text
            assert f"<b>{student.trap.name}</b>" in text


# The sample class


def test_solutions_are_pasted_without_nbgraders_marks():
    assert list(solutions()) == list(EXERCISES)
    assert "###" not in "".join(solutions().values())


def test_source_of_a_trap_brings_the_functions_that_it_uses():
    traps = {t.name: t.function for t in EXERCISES[TRAPPED].traps}
    for name in ("no scale", "a constant scale"):  # one made with a function, one with a number
        text = source(traps[name], TRAPPED)
        found = re.findall(r"^def (\w+)", text, re.MULTILINE)
        assert found[-1] == TRAPPED and len(set(found)) == len(found)
        namespace = {"torch": torch}
        exec(text, namespace)
        theirs = judge(EXERCISES[TRAPPED], traps[name]).to_dict()
        assert judge(EXERCISES[TRAPPED], namespace[TRAPPED]).to_dict() == theirs
