"""The class report, of the sample class and of small ones."""

import html
import json
import os
import re
from html.parser import HTMLParser

import nbformat

from tutor.checks import judge
from tutor.course.sample_class import CHAPTER, EXERCISES, TRAPPED, students
from tutor.course.settings import open_gradebook
from tutor.grading.reports import class_report, similarity
from tutor.grading.reports.class_report import Chapter, Submission, render


def listed(page: str, section: str) -> list[str]:
    """Text of each entry of a list in the class report."""
    entries = page.partition(f'class="cards {section}"')[2].partition("</ul>")[0]
    texts = re.findall(r"<li>(.*?)</li>", entries, re.DOTALL)
    return [" ".join(re.sub(r"<wbr>|<[^>]*>", "", text).split()) for text in texts]


def test_report_names_each_trap_with_its_count_and_who_fell_into_it(page):
    found = listed(page, "traps")
    expected = [
        f"1 × {s.trap.name} in {TRAPPED}; section “{s.trap.section}” "
        f"{s.trap.misconception} {s.name} ({s.id})"
        for s in sorted(students(), key=lambda s: s.id)
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


def test_two_traps_in_one_answer_are_both_counted():
    def wrong(q, k, v, keep=None):  # unscaled, and nothing is hidden
        return (q @ k.mT).softmax(-1) @ v

    bundle = judge(EXERCISES[TRAPPED], wrong)._repr_mimebundle_()
    output = nbformat.v4.new_output("execute_result", json.loads(json.dumps(bundle)))
    about = {"nbgrader": {"grade": True, "grade_id": TRAPPED, "solution": False}}
    row = Submission("ada")
    cell = nbformat.v4.new_code_cell("check", metadata=about, outputs=[output])
    class_report.read_outputs(nbformat.v4.new_notebook(cells=[cell]), row)
    assert [(name, trap["name"]) for name, trap in row.traps] == [
        (TRAPPED, "no scale"),
        (TRAPPED, "the mask forgotten"),
    ]


def test_distribution_counts_students_by_points():
    assert small_class().distribution("f") == [0, 1, 0, 0, 1, 2]


def test_report_of_an_empty_gradebook_says_so(tmp_path):
    with open_gradebook(f"sqlite:///{tmp_path / 'gradebook.db'}"):
        pass
    assert "no exercise yet" in class_report.write(tmp_path).read_text("utf-8")


def test_a_notebook_cut_off_on_disk_costs_the_report_that_students_traps_and_no_more(graded):
    place, _ = graded
    path = place.autograded("s01", CHAPTER)
    path.chmod(0o644)
    os.truncate(path, path.stat().st_size // 2)
    (chapter,) = class_report.collect(place.folder, place.database)
    reasons = {s.student: why for s, why in chapter.needs_a_look()}
    assert reasons == {"s01": ["autograded/attention.ipynb cannot be read: grade it again"]}
    assert [s.total for s in chapter.graded] == [50.0] * 3


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
