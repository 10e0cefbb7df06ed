"""What to assign in which week: ``python -m tutor.course.syllabus WEEKS``.

The chapters' pages and exercises, in their order, by minutes.
"""

import argparse
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate

from tutor import ROOT
from tutor.checks import CHAPTERS
from tutor.course import reading

__all__ = ["HEADER", "Piece", "minutes_of_exercises", "pieces", "rows", "weeks"]

HEADER = ("week", "pages", "exercises", "minutes", "points", "notebooks due")

_EXERCISE = re.compile(r"^\| \d+ \| `(\w+)` \| (\d+) \|", re.MULTILINE)


@dataclass(frozen=True)
class Piece:
    """What is not divided between two weeks: a page, or one exercise."""

    chapter: str
    """Its page, such as ``03_attention``."""
    exercise: str
    """Empty for the page itself."""
    minutes: int
    points: int


def pieces() -> list[Piece]:
    """Of the whole course: each page, and behind it the exercises of the table at its end."""
    found = []
    for chapter, exercises in CHAPTERS.items():
        page = ROOT / "book" / f"{chapter}.md"
        found.append(Piece(chapter, "", reading.of_page(page).minutes, 0))
        minutes = minutes_of_exercises(page.read_text("utf-8"))
        found += [Piece(chapter, e.name, minutes[e.name], e.total) for e in exercises]
    return found


def minutes_of_exercises(page: str) -> dict[str, int]:
    """By name, from the table at the end of a chapter's text."""
    return {name: int(minutes) for name, minutes in _EXERCISE.findall(page)}


def weeks(pieces: Sequence[Piece], number: int) -> list[list[Piece]]:
    r"""Divides them, in their order, so that the weeks are as even as they can be:

    $\sum_w t_w^2$ is least, $t_w$ being the minutes of week $w$. None is empty.

    Raises ValueError for more weeks than there are pieces, or none.
    """
    if not 0 < number <= len(pieces):
        raise ValueError(f"{len(pieces)} pieces for {number} weeks")
    until = list(accumulate((piece.minutes for piece in pieces), initial=0))
    # best[end]: the least sum for the pieces before `end` in so many weeks, and where the last of
    # these weeks begins.
    best = [[(0, 0) if end == 0 else (float("inf"), 0) for end in range(len(until))]]
    for _ in range(number):
        best.append(
            [
                min(
                    (
                        (best[-1][start][0] + (until[end] - until[start]) ** 2, start)
                        for start in range(end)
                    ),
                    default=(float("inf"), 0),
                )
                for end in range(len(until))
            ]
        )
    parts, end = [], len(pieces)
    for row in reversed(best[1:]):
        start = row[end][1]
        parts.append(list(pieces[start:end]))
        end = start
    return parts[::-1]


def rows(plan: Iterable[Sequence[Piece]]) -> list[list[str]]:
    """Of a table under ``HEADER``. A chapter's notebook is due when its last exercise was done."""
    last = {piece.chapter: piece for piece in pieces()}
    return [
        [
            str(week),
            ", ".join(_number(p.chapter) for p in part if not p.exercise) or "–",
            "; ".join(_exercises(part)) or "–",
            str(sum(p.minutes for p in part)),
            str(sum(p.points for p in part)),
            ", ".join(_number(p.chapter) for p in part if last[p.chapter] == p) or "–",
        ]
        for week, part in enumerate(plan, 1)
    ]


def _exercises(part: Sequence[Piece]) -> Iterable[str]:
    for chapter in dict.fromkeys(p.chapter for p in part):
        names = [p.exercise for p in part if p.chapter == chapter and p.exercise]
        if len(names) == len(CHAPTERS[chapter]):
            yield f"{_number(chapter)}: all {len(names)}"
        elif names:
            yield f"{_number(chapter)}: " + ", ".join(f"`{name}`" for name in names)


def _number(chapter: str) -> str:
    return str(int(chapter.partition("_")[0]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("weeks", type=int)
    number = parser.parse_args().weeks
    try:
        plan = weeks(pieces(), number)
    except ValueError as error:
        parser.error(str(error))
    for line in (HEADER, ["---"] * len(HEADER), *rows(plan)):
        print("| " + " | ".join(line) + " |")


if __name__ == "__main__":
    main()
