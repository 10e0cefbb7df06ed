"""Conditions under which a function must be right, declared once for a family and crossed.

A mistake shows where two conditions meet: half precision *and* a row that may read nothing, several
batch dimensions *and* heads that lie behind time. All combinations would be thousands; but every
two conditions meet somewhere in a few dozen cases, each of which has one condition of each factor.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import combinations
from typing import Any

import torch
from torch import Generator

from tutor.checks.draw import Draw
from tutor.checks.exercise import Case


@dataclass(frozen=True)
class Condition:
    """One of the things that a factor may be."""

    name: str
    """Unique in its family: a pair of conditions is told by two names."""
    words: str = ""
    """What a report says; nothing where it is what one expects."""
    value: Any = None
    edge: bool = False
    """Worth the points for masks and edge cases."""
    alone: bool = False
    """It also has a case in which all else is ordinary: the first that a report shows."""


@dataclass(frozen=True)
class Factor:
    name: str
    conditions: tuple[Condition, ...]
    """The ordinary one first: it can meet every condition of every other factor."""

    @property
    def ordinary(self) -> Condition:
        return self.conditions[0]

    def told(self, words: Mapping[str, str]) -> "Factor":
        """The same conditions in a chapter's own words, by their names."""
        told = (replace(c, words=words.get(c.name, c.words)) for c in self.conditions)
        return replace(self, conditions=tuple(told))


Pair = frozenset[str]
"""The names of two conditions."""


def pair(a: str, b: str) -> Pair:
    return frozenset((a, b))


@dataclass(frozen=True)
class Row:
    """The conditions of one case, one of each factor."""

    conditions: Mapping[str, Condition]

    def __getitem__(self, factor: str) -> Any:
        """The value of the factor's condition; None if the family has no such factor."""
        condition = self.conditions.get(factor)
        return condition and condition.value

    def __contains__(self, name: str) -> bool:
        return any(c.name == name for c in self.conditions.values())

    @property
    def pairs(self) -> set[Pair]:
        return {pair(a.name, b.name) for a, b in combinations(self.conditions.values(), 2)}

    @property
    def special(self) -> list[Condition]:
        return [c for c in self.conditions.values() if c.words]

    @property
    def label(self) -> str:
        return ", ".join(c.words for c in self.special)

    @property
    def edge(self) -> bool:
        return any(c.edge for c in self.conditions.values())


@dataclass(frozen=True)
class Family:
    """What functions of one kind must cope with."""

    factors: tuple[Factor, ...]
    together: tuple[tuple[str, ...], ...] = ()
    """More than two conditions that must meet in one case, beside ordinary ones."""
    apart: Mapping[Pair, str] = field(default_factory=dict)
    """Two that cannot, or that say nothing where they do, and why."""
    without: Mapping[str, str] = field(default_factory=dict)
    """A factor's or a condition's name that does not apply to the exercise -> why."""

    def __post_init__(self) -> None:
        names = [c.name for f in self.factors for c in f.conditions]
        if twice := {n for n in names if names.count(n) > 1}:
            raise ValueError(f"two conditions are named {', '.join(sorted(twice))}")

    def but(
        self,
        *factors: Factor,
        without: Mapping[str, str] | None = None,
        apart: Mapping[Pair, str] | None = None,
        together: tuple[tuple[str, ...], ...] = (),
    ) -> "Family":
        """The family as it is for one exercise: with factors of its own (or in the place of one of
        the same name), and without what does not apply to it."""
        own = {f.name: f for f in factors}
        kept = [own.pop(f.name, f) for f in self.factors]
        without = dict(without or {})
        known = {
            n for f in (*kept, *own.values()) for n in (f.name, *(c.name for c in f.conditions))
        }
        if unknown := set(without) - known:
            raise ValueError(f"no factor and no condition is named {', '.join(sorted(unknown))}")
        left = [
            replace(f, conditions=tuple(c for c in f.conditions if c.name not in without))
            for f in (*kept, *own.values())
            if f.name not in without
        ]
        names = {c.name for f in left for c in f.conditions}
        everything = self.together + together
        return Family(
            tuple(left),
            tuple(t for t in everything if names.issuperset(t)),
            {p: why for p, why in {**self.apart, **(apart or {})}.items() if p <= names},
            {**self.without, **without},
        )

    @cached_property
    def pairs(self) -> set[Pair]:
        """Those that must meet."""
        every = {
            pair(a.name, b.name)
            for f, g in combinations(self.factors, 2)
            for a in f.conditions
            for b in g.conditions
        }
        return every - set(self.apart)

    @cached_property
    def rows(self) -> tuple[Row, ...]:
        """Few, in which all pairs meet; the same in every process. The simplest come first."""
        ordinary = {f.name: f.ordinary for f in self.factors}
        chosen = [Row(ordinary)]
        chosen += [
            Row({**ordinary, f.name: c}) for f in self.factors for c in f.conditions if c.alone
        ]
        chosen += [Row({**ordinary, **self._named(names)}) for names in self.together]
        missing = set(self.pairs).difference(*(row.pairs for row in chosen))
        while missing:
            row = self._completed(self._start(missing), missing)
            missing -= row.pairs
            chosen.append(row)
        return tuple(sorted(chosen, key=lambda row: len(row.special)))

    def _named(self, names: tuple[str, ...]) -> dict[str, Condition]:
        found = {f.name: c for f in self.factors for c in f.conditions if c.name in names}
        if len(found) < len(names):
            raise ValueError(f"of {', '.join(names)} no two may be of one factor")
        return found

    def _start(self, missing: set[Pair]) -> dict[str, Condition]:
        """Of two factors, the conditions that lack the most others, and have not met."""
        lacks: dict[str, int] = {}
        for p in missing:
            for name in p:
                lacks[name] = lacks.get(name, 0) + 1
        at = {c.name: i for i, c in enumerate(c for f in self.factors for c in f.conditions)}
        first = min(missing, key=lambda p: (-sum(lacks[n] for n in p), sorted(at[n] for n in p)))
        return self._named(tuple(first))

    def _completed(self, start: dict[str, Condition], missing: set[Pair]) -> Row:
        """With the condition of every other factor that lets most pairs meet; an ordinary one
        where none does."""
        conditions = dict(start)
        todo = [f for f in self.factors if f.name not in conditions]
        while todo:
            best = max(
                (
                    (self._gain(c, conditions, missing), -i, -j, f, c)
                    for i, f in enumerate(todo)
                    for j, c in enumerate(f.conditions)
                    if not any(pair(c.name, o.name) in self.apart for o in conditions.values())
                ),
                key=lambda found: found[:3],
            )
            factor, condition = best[3:]
            conditions[factor.name] = condition
            todo.remove(factor)
        return Row({f.name: conditions[f.name] for f in self.factors})

    @staticmethod
    def _gain(c: Condition, others: Mapping[str, Condition], missing: set[Pair]) -> int:
        return sum(pair(c.name, o.name) in missing for o in others.values())


@dataclass(frozen=True)
class Crossed:
    """The cases of an exercise: those of its family, and some by hand. What ``Exercise`` asks of
    its ``cases``."""

    family: Family
    build: Callable[[Any, Row], tuple[Any, ...]]
    """Arguments under the conditions of a row, from the draw and the row."""
    by_hand: Callable[[Any], Iterator[Case]] = lambda draw: iter(())
    """Of the exercise alone. They follow the cases in which one condition stands alone."""
    usual: str = "a batch"
    """The label of the case in which all is ordinary."""
    finite_only: Callable[[Row], bool] = lambda row: False
    """Where rounding makes the values arbitrary."""
    draw: Callable[[Generator, torch.device], Draw] = Draw

    def __call__(self, generator: Generator, device: torch.device) -> Iterator[Case]:
        draw = self.draw(generator, device)
        simple = [row for row in self.family.rows if len(row.special) <= 1]
        yield from (self._case(draw, row) for row in simple)
        yield from self.by_hand(draw)
        yield from (self._case(draw, row) for row in self.family.rows[len(simple) :])

    def _case(self, draw: Draw, row: Row) -> Case:
        return Case(
            row.label or self.usual,
            self.build(draw, row),
            "edges" if row.edge else "values",
            finite_only=self.finite_only(row),
        )
