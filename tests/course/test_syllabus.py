"""Weeks that hold the whole course, in its order, and are as even as they can be."""

from itertools import chain, combinations, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tutor.checks import CHAPTERS, EXERCISES
from tutor.course import syllabus
from tutor.course.syllabus import Piece


@given(st.lists(st.integers(0, 60), min_size=1, max_size=7), st.data())
def test_no_other_division_is_more_even(minutes, data):
    number = data.draw(st.integers(1, len(minutes)))
    pieces = [Piece("01_recurrence", str(n), m, 0) for n, m in enumerate(minutes)]
    found = syllabus.weeks(pieces, number)
    assert list(chain(*found)) == pieces and len(found) == number and all(found)
    borders = (
        pairwise((0, *inner, len(pieces)))
        for inner in combinations(range(1, len(pieces)), number - 1)
    )
    least = min(sum(sum(minutes[a:b]) ** 2 for a, b in weeks) for weeks in borders)
    assert sum(sum(p.minutes for p in week) ** 2 for week in found) == least


@pytest.mark.parametrize("number", [0, 4])
def test_weeks_without_a_piece_are_refused(number):
    with pytest.raises(ValueError, match=f"3 pieces for {number} weeks"):
        syllabus.weeks([Piece("01_recurrence", "", 5, 0)] * 3, number)


@pytest.mark.parametrize("number", [6, 10, 14])
def test_a_term_has_every_page_exercise_and_point_once(number):
    rows = syllabus.rows(syllabus.weeks(syllabus.pieces(), number))
    week, pages, exercises, minutes, points, due = zip(*rows, strict=True)
    assert week == tuple(map(str, range(1, number + 1)))
    read = [page for cell in pages if cell != "–" for page in cell.split(", ")]
    assert read == [str(int(chapter[:2])) for chapter in CHAPTERS]
    complete = [chapter for cell in due if cell != "–" for chapter in cell.split(", ")]
    assert complete == [str(int(chapter[:2])) for chapter in CHAPTERS]
    assert sum(map(int, points)) == sum(exercise.total for exercise in EXERCISES.values())
    assert sum(map(int, minutes)) == sum(piece.minutes for piece in syllabus.pieces())
    told = "; ".join(exercises)
    for chapter, members in CHAPTERS.items():
        whole = f"{int(chapter[:2])}: all {len(members)}" in told.split("; ")
        assert [told.count(f"`{exercise.name}`") for exercise in members] == [not whole] * len(
            members
        )
