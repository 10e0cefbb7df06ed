"""Pairs of students whose solutions agree in more than chance explains. A reason to look, no proof.

A right answer of three lines looks like everybody's, and so does what follows the reference or a
hint: one exercise accuses nobody. What counts is to agree in several, each time with something that
few others wrote. Each solution is cut into short runs, once with its names and comments and once
without; runs of the reference solution and of the notebook as it was given are left out. Where two
solutions consist of the same runs, the class itself says how surprising that is: if 1 in 8 have it,
3 bits. A pair is listed if its surprises sum to ``MARGIN`` bits more than the luckiest of all pairs
of the class would need.
"""

import itertools
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from pygments import token

from tutor import ROOT
from tutor.course.release import source_notebook
from tutor.grading import submission
from tutor.grading.reports import linear

RUN = 20
"""Characters of a run, with every name written as one letter."""
OWN = 40
"""Runs that are neither the reference's nor the notebook's; with fewer a solution says nothing."""
LONGEST = 50_000
"""Characters of a solution that are looked at."""
SAME = 0.9
"""Share of common runs from which on two solutions are the same."""
MARGIN = 4.0
"""Bits: a class in which nobody copied has a pair on this list about once in 16 times."""

_LETTERS = {
    token.Name: "V",
    token.Name.Function: "F",
    token.Name.Class: "O",
    token.String: "S",
    token.Comment: "",
    token.Whitespace: "",
}
"""What a run without names has in the place of a token."""


@dataclass(frozen=True)
class Pair:
    students: tuple[str, str]
    exercises: tuple[str, ...]
    """In which they agree, and few others do."""
    bits: float


def pairs(chapter: str, notebook: str, written: Mapping[str, Mapping[str, str]]) -> list[Pair]:
    """From what each student wrote for each exercise; the most surprising first."""
    students = sorted(written)
    if len(students) < 3:
        return []
    needed = math.log2(len(students) * (len(students) - 1) / 2) + MARGIN
    surprise: dict[tuple[str, str], dict[str, float]] = {}
    known = _known(chapter, notebook)
    for exercise in {e for theirs in written.values() for e in theirs}:
        theirs = {s: written[s][exercise] for s in students if written[s].get(exercise)}
        for names_count in (False, True):
            # What several students share to the letter is looked at once.
            texts = Counter(theirs.values())
            runs = {t: _runs(t, names_count) - known[names_count] for t in texts}
            alike = _alike({t: r for t, r in runs.items() if len(r) >= OWN})
            share = {t: sum(texts[o] for o in alike[t]) / len(students) for t in alike}
            for one, other in itertools.combinations(theirs, 2):
                a, b = theirs[one], theirs[other]
                if a in alike and b in alike[a]:
                    bits = -math.log2(max(share[a], share[b]))
                    found = surprise.setdefault((one, other), {})
                    found[exercise] = max(found.get(exercise, 0.0), bits)
    listed = [
        Pair(who, tuple(e for e in written[who[0]] if found.get(e, 0) >= 1), sum(found.values()))
        for who, found in surprise.items()
        if sum(found.values()) >= needed
    ]
    return sorted(listed, key=lambda p: -p.bits)


def _alike(runs: Mapping[str, frozenset[int]]) -> dict[str, set[str]]:
    """Texts that are the same as each, itself included."""
    alike = {text: {text} for text in runs}
    for (a, mine), (b, theirs) in itertools.combinations(runs.items(), 2):
        small, large = sorted((len(mine), len(theirs)))
        if small >= SAME * large and len(mine & theirs) >= SAME * large:
            alike[a].add(b)
            alike[b].add(a)
    return alike


def _known(chapter: str, notebook: str) -> dict[bool, frozenset[int]]:
    """Runs of the reference solution and of what the students were given, by ``names_count``."""
    given = submission.released(chapter, notebook)
    markdown = ROOT / "solutions" / chapter / f"{notebook}.md"
    cells = [*given.cells, *source_notebook(markdown).cells]
    sources = [c.source for c in cells if c.cell_type == "code"]
    return {n: frozenset().union(*(_runs(s, n) for s in sources)) for n in (False, True)}


@cache
def _runs(text: str, names_count: bool) -> frozenset[int]:
    text = "\n".join(" ".join(line.split()) for line in text[:LONGEST].splitlines())
    return fingerprint(text, 2 * RUN if names_count else RUN, names_count)


def fingerprint(text: str, length: int, names_count: bool) -> frozenset[int]:
    """Hashes of the text's runs of ``length`` characters."""
    if not names_count:
        text = "".join(_LETTERS.get(kind, part) for kind, part in linear.tokens(text))
    return frozenset(hash(text[i : i + length]) for i in range(len(text) - length + 1))
