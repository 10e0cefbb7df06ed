"""The sample class, graded by ``tutor grade``: grades, feedback, class report."""

import csv
import html
import re
from html.parser import HTMLParser

import pytest

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
from tutor.grading.gradebook import open_gradebook
from tutor.grading.reports import class_report
from tutor.grading.reports.class_report import Chapter, Submission, render

FULL = {name: float(e.total) for name, e in EXERCISES.items()}
NONE = dict.fromkeys(EXERCISES, 0.0)


@pytest.fixture(scope="session")
def grades(sample_class) -> dict[str, dict[str, float]]:
    """Points by student and exercise, from nbgrader's gradebook."""
    with open_gradebook(f"sqlite:///{sample_class / 'gradebook.db'}") as gradebook:
        return {
            s.student.id: {g.name: g.score for n in s.notebooks for g in n.grades}
            for s in gradebook.find_assignment(CHAPTER).submissions
        }


@pytest.fixture(scope="session")
def page(sample_class) -> str:
    return html.unescape((sample_class / "report.html").read_text("utf-8"))


def listed(page: str, section: str) -> list[str]:
    """Text of each entry of a list in the class report."""
    entries = page.partition(f'class="cards {section}"')[2].partition("</ul>")[0]
    texts = re.findall(r"<li>(.*?)</li>", entries, re.DOTALL)
    return [" ".join(re.sub(r"<wbr>|<[^>]*>", "", text).split()) for text in texts]


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
    assert [s.trap for s in trapped] == list(EXERCISES[TRAPPED].traps)
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


# The class report


def test_report_names_each_trap_with_its_count_and_who_fell_into_it(page):
    found = listed(page, "traps")
    expected = [
        f"1 × {s.trap.name} in {TRAPPED}; section “{s.trap.section}” "
        f"{s.trap.misconception} {s.name} ({s.id})"
        for s in students()
        if s.trap
    ]
    assert found == expected


def test_report_says_who_needs_a_look_and_why(page):
    rania, *others = listed(page, "look")
    assert rania.startswith("Rania (rania): causal_mask-solution: SyntaxError: expected ':'")
    assert others == [
        "Sven (sven): no points at all",
        "Tomoko (tomoko): 37 h late",
        "Uri (uri): nothing handed in",
    ]


def test_report_holds_every_students_scores(page, grades):
    table = page.partition("<tbody>")[2].partition("</tbody>")[0]
    for student, points in grades.items():
        (row,) = [r for r in table.split("<tr>") if f"({student})" in r]
        cells = re.findall(r"<td[^>]*>([\d.]+)</td>", row)
        assert [float(c) for c in cells] == [sum(points.values()), *(points[n] for n in EXERCISES)]


def test_report_asks_the_network_for_nothing(page):
    assert not re.findall(r"https?://|<script|<link|src=|@import|url\(", page)


def small_class(**changes) -> Chapter:
    rows = [Submission(f"s{n}", scores={"f": float(n)}, total=float(n)) for n in (4, 5, 5, 1)]
    return Chapter("01_small", {"f": 5.0}, [*rows, Submission("evil", **changes)])


def test_report_escapes_what_students_wrote():
    evil = "<script>alert(1)</script>"
    trap = {"name": evil, "misconception": evil, "section": evil}
    text = render([small_class(name=evil, problems=[evil], traps=[("f", trap)])])
    assert evil not in text
    assert html.escape(evil) in text

    class Tags(HTMLParser):
        def handle_starttag(self, tag, attributes):
            assert tag != "script"

    Tags().feed(text)


def test_report_finds_who_is_far_below_the_class():
    reasons = {s.student: why for s, why in small_class().needs_a_look()}
    assert reasons == {"s1": ["1 points, less than half of the median, 4.5"]}


def test_most_frequent_trap_comes_first():
    chapter = small_class()
    rare, frequent = ({"name": n, "misconception": "", "section": ""} for n in ("rare", "frequent"))
    chapter.submissions[0].traps = [("f", rare), ("f", frequent)]
    chapter.submissions[1].traps = [("f", frequent)]
    assert [(trap["name"], who) for _, trap, who in chapter.traps()] == [
        ("frequent", ["s4", "s5"]),
        ("rare", ["s4"]),
    ]


def test_distribution_counts_students_by_points():
    assert small_class().distribution("f") == [0, 1, 0, 0, 1, 2]


def test_report_of_an_empty_gradebook_says_so(tmp_path):
    with open_gradebook(f"sqlite:///{tmp_path / 'gradebook.db'}"):
        pass
    assert "no exercise yet" in class_report.write(tmp_path).read_text("utf-8")


# The sample class


def test_solutions_are_pasted_without_nbgraders_marks():
    assert list(solutions()) == list(EXERCISES)
    assert "###" not in "".join(solutions().values())


def test_source_of_a_trap_brings_the_functions_that_it_uses():
    traps = {t.name: t.function for t in EXERCISES[TRAPPED].traps}
    text = source(traps["no scale"], TRAPPED)
    used = ["no_scale", "zeroed", "hide", "shares"]
    assert re.findall(r"^def (\w+)", text, re.MULTILINE) == [*used, TRAPPED]
