"""Why an answer is wrong: the misconceptions that give it, or what it is to the right one."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, islice
from typing import Any

import torch

from tutor.checks.alike import behaves_like
from tutor.checks.candidate import Known, Widened
from tutor.checks.changes import together
from tutor.checks.exercise import Trap
from tutor.checks.glance import Glance, glance
from tutor.checks.observation import Broken, Observation, Trial
from tutor.checks.properties import broken_by
from tutor.checks.tensors import same_values
from tutor.checks.trace import (
    Trace,
    copied,
    dtype_of,
    play,
)

_SHORT = (torch.float16, torch.bfloat16)
_GRADIENTS = 3
"""Of wrong answers the gradients are wrong as well: so many of them are compared."""
_PAIRS = 3000
"""At most so many pairs of misconceptions are tried, those first that may well explain
``_LOOKED_AT`` of the wrong answers."""
_LOOKED_AT = 4
_ENOUGH = 4
"""Wrong values that a misconception has to explain where it explains nothing besides."""

Function = Callable[..., Any]
Item = tuple[Observation, bool]
"""What was seen, and whether dtypes and inputs count as well as values."""


@dataclass(frozen=True)
class Account:
    """A known wrong function that answers as the candidate does."""

    function: Function
    traps: tuple[Trap, ...]
    """The misconceptions in it that are told."""
    parts: tuple["Account", ...] = ()
    """Of two misconceptions in one function, each by itself."""


class Diagnosis:
    """What explains a trial's wrong answers and contradicts no right one, as nothing else that is
    known does: one misconception; or two that change one function; or two of which each gives some
    of the answers. Where several do equally well, what they have in common is told.

    Crashes may be left over, and answers in short dtypes, which round in their own ways, but no
    more than half of all.

    ``in_double``: wrong answers beside what they are in double throughout (``single.in_double``).
    Those that are right then are explained by that; the others are looked at as they are then.
    """

    def __init__(
        self,
        trial: Trial,
        in_double: Sequence[tuple[Observation, Observation | None]] = (),
    ):
        self.trial, self.exercise = trial, trial.exercise
        self.in_double = bool(in_double)
        self.rounded = {id(seen) for seen, wide in in_double if wide is None}
        self._wide = {id(seen): wide for seen, wide in in_double if wide is not None}
        self._narrow = {
            id(wide)
            for seen, wide in in_double
            if wide and not same_values(wide.got.tensors(), seen.got.tensors(), 0)
        }
        # Some index out of range, which on CUDA ends CUDA for the process. What fails there and not
        # on the CPU is none of them.
        on_cpu = trial.device.type == "cpu"
        self.known = [(f, t) for t in self.exercise.traps if on_cpu for f in t.functions]
        self._traces: dict[tuple[Function, int, int], Trace] = {}
        self._agree: dict[tuple[Function, int, bool], bool] = {}
        self._glances: dict[int, Glance | None] = {}
        self._failing: dict[str, list[Item]] = {}
        self.fine: list[Item] = []
        wrong = {id(o.got) for g in trial.groups.values() for o in g.observations if o.problem}
        for name, group in trial.groups.items():
            told = [o for o in group.observations if o.case.raises is None and o.told]
            self._failing[name] = [
                (self._wide.get(id(o), o), name == "types")
                for o in told
                if o.problem and id(o) not in self.rounded
            ]
            # Right in all that is asked of the answer: types and gradients may be right alone.
            fine = (o for o in told if id(o.got) not in wrong and (name != "gradients" or o.right))
            self.fine += [(o, name == "types") for o in fine]
        self.accounts = self._accounts()

    def of(self, name: str) -> tuple[tuple[Trap, ...], Observation | None]:
        """What explains a group's wrong answers, and the first that it explains."""
        traps, first = self._of_others(name)
        rounded = [o for o in self.trial.groups[name].failing if id(o) in self.rounded]
        precision = tuple(t for t in self.exercise.traps if t.precision)
        if rounded and (traps or self.rounding(name)):
            return (*precision, *traps), rounded[0]
        # Explained as it is in double, and not as it was: it is in single precision, too.
        if traps and id(first) in self._narrow:
            return tuple(dict.fromkeys((*traps, *precision))), first
        return traps, first

    def rounding(self, name: str) -> bool:
        """Whether all that is wrong in a group is right in double throughout."""
        return all(id(seen) in self.rounded for seen in self.trial.groups[name].failing)

    def _of_others(self, name: str) -> tuple[tuple[Trap, ...], Observation | None]:
        items = self._failing[name]
        if not items:
            return self._of_raising(name)
        accounts = self.accounts
        given = {
            account: [item[0] for item in items if self.agrees(account.function, item)]
            for account in (*(part for a in accounts for part in a.parts), *accounts)
        }
        for account, explained in given.items():
            if explained and len(explained) == len(items):
                return (*account.traps, *self._besides(name, account.function)), explained[0]
        explained = [o for account in accounts for o in given[account]]
        if explained and 2 * len(explained) >= len(items):
            traps = (t for account in accounts if given[account] for t in account.traps)
            return tuple(dict.fromkeys(traps)), explained[0]
        if name == "types" and items:  # another dtype, or a changed input, comes with any mistake
            found = tuple(t for a in self._one(items, []) for t in a.traps)
            changed = next((o for o, _ in items if o.problem.modified), None)
            if not found and changed:
                traps = (t for t in self.exercise.traps if t.overwrites == changed.problem.modified)
                return tuple(traps), changed
            return found, items[0][0]
        if name == "values" and not self.accounts and len(items) >= _ENOUGH:
            # Three mistakes at once, say, of which the edge cases show two more.
            return tuple(t for a in self._one(items, []) for t in a.traps), items[0][0]
        return (), None

    def _of_raising(self, name: str) -> tuple[tuple[Trap, ...], Observation | None]:
        """Where all that is wrong in a group is what bad input gets: one that gives it as well."""
        wrong = self._unrefused(name)
        for function, trap in self.known if wrong else ():
            if self._takes_the_same(function, name):
                return (trap,), wrong[0]
        return (), None

    def _besides(self, name: str, function: Function) -> tuple[Trap, ...]:
        """What else is wrong in a function that explains a group's answers, and takes bad input
        otherwise than the candidate does."""
        if not self._unrefused(name) or self._takes_the_same(function, name):
            return ()
        for other, trap in self.known:
            both = together(function, other)
            if both is not None and self._takes_the_same(both, name):
                return (trap,)
        return ()

    def _unrefused(self, name: str) -> list[Observation]:
        """Bad input that did not get the error that is asked for."""
        failing = self.trial.groups[name].failing
        return [o for o in failing if o.case.raises is not None]

    def _takes_the_same(self, function: Function, name: str) -> bool:
        """Bad input, as the candidate does; and it contradicts no right answer."""
        seen = [o for o in self.trial.groups[name].observations if o.case.raises is not None]
        return (
            all(self.agrees(function, (o, False)) for o in seen if o.problem)
            and all(self._trace(function, o).crashed for o in seen if not o.problem)
            and not self.contradicted(function)
        )

    def of_broken(self, broken: Broken) -> tuple[Trap, ...]:
        """What answers every case as the candidate does and breaks a property like it."""
        if broken.property is None:
            return ()
        groups = self.trial.groups.items()
        seen = [(o, name == "types") for name, group in groups for o in group.observations]
        for function, traps in (
            *((a.function, a.traps) for a in self.accounts),
            *((f, (t,)) for f, t in self.known),
        ):
            if all(self.agrees(function, item) for item in seen):
                generator = torch.Generator()
                generator.set_state(broken.numbers)
                asked = self.exercise, Known(function), broken.property
                if broken_by(*asked, generator, self.trial.device) == broken.sentence:
                    return traps
        return ()

    def _accounts(self) -> tuple[Account, ...]:
        failing = self._failing
        answers = [
            item
            for name, items in failing.items()
            for item in items
            if name != "types" and (name != "gradients" or item[0].right)
        ]
        besides = failing.get("types", [])
        if not answers:
            answers, besides = besides, []
        wrong = [item for item in failing.get("gradients", []) if not item[0].right]
        return self._one(answers, [*besides, *wrong[:_GRADIENTS]], others=True) if answers else ()

    def _one(self, answers: list[Item], besides: list[Item], others: bool = False):
        """The best account; with ``others``, also of pairs where no single one is good enough."""
        best = _Best(self, answers, besides)
        for function, trap in self.known:
            if not best.has_all_of(trap):  # another form of it would say the same
                best.consider(Account(function, (trap,)))
        if others and best.rank < len(answers) + len(besides):
            pairs = _Best(self, answers, besides)
            for account in islice(self._pairs(best.required), _PAIRS):
                pairs.consider(account)
            if pairs.rank > best.rank:
                best = pairs
            elif not best.rank:
                return self._side_by_side(best.required)
        return best.in_common()

    def _pairs(self, answers: list[Item]) -> Iterator[Account]:
        looked_at = answers[:: -(-len(answers) // _LOOKED_AT)]
        known = [(f, trap, self._does(f, looked_at)) for f, trap in self.known]
        pairs = [
            (_fit(does, others), f, one, g, other)
            for (f, one, does), (g, other, others) in combinations(known, 2)
            if one is not other
        ]
        for _, f, one, g, other in sorted(pairs, key=lambda pair: pair[0], reverse=True):
            if (both := together(f, g)) is not None:
                yield Account(both, (one, other), (Account(f, (one,)), Account(g, (other,))))

    def _does(self, function: Function, answers: list[Item]) -> list[tuple[bool, bool]]:
        """Of each answer, whether it gives it, and whether it gives the right one."""
        found = []
        for seen, types in answers:
            gives = self.agrees(function, (seen, types))
            right = seen.expected is not None and behaves_like(
                self._trace(function, seen), replace(seen, got=seen.expected), False
            )
            found.append((gives, right))
        return found

    def _side_by_side(self, answers: list[Item]) -> tuple[Account, ...]:
        """Two of which each gives some of the answers."""
        gives = {}
        for function, trap in self.known:
            if not self.contradicted(function):
                given = {id(item[0]) for item in answers if self.agrees(function, item)}
                if given:
                    gives[Account(function, (trap,))] = given
        everything = {id(o) for o, _ in answers}
        found = [
            (one, other)
            for (one, first), (other, second) in combinations(gives.items(), 2)
            if one.traps != other.traps and first | second == everything
        ]
        return tuple(
            account
            for account in (found[0] if found else ())
            if all(account.traps in (one.traps, other.traps) for one, other in found)
        )

    def contradicted(self, function: Function) -> bool:
        """Whether it answers otherwise where the candidate is right."""
        return not all(
            self.agrees(function, item) or self._agrees_in_double(function, item)
            for item in self.fine
        )

    def _agrees_in_double(self, function: Function, item: Item) -> bool:
        """Of what is right as it is, and perhaps by its precision alone."""
        seen, types = item
        if not self.in_double or dtype_of(seen.case) in _SHORT:
            return False
        if id(seen) not in self._wide:
            asked = Widened(self.trial.candidate), self.exercise, copied(seen.case)
            self._wide[id(seen)] = replace(seen, got=play(*asked, seen.cotangents))
        return self.agrees(function, (self._wide[id(seen)], types))

    def agrees(self, function: Function, item: Item) -> bool:
        seen, types = item
        key = (function, id(seen), types)
        if key not in self._agree:
            self._agree[key] = not self._sees_another(function, seen) and behaves_like(
                self._trace(function, seen), seen, types
            )
        return self._agree[key]

    def _sees_another(self, function: Function, seen: Observation) -> bool:
        if self.exercise.is_class or (function, id(seen.case), id(seen.cotangents)) in self._traces:
            return False
        if id(seen) not in self._glances:
            self._glances[id(seen)] = glance(seen)
        found = self._glances[id(seen)]
        return found is not None and found.sees_another(function)

    def _trace(self, function: Function, seen: Observation) -> Trace:
        which = (function, id(seen.case), id(seen.cotangents))
        if which not in self._traces:
            asked = Known(function), self.exercise, copied(seen.case)
            self._traces[which] = play(*asked, seen.cotangents)
        return self._traces[which]


class _Best:
    """The accounts that explain the most of what is wrong, and enough of it."""

    def __init__(self, diagnosis: Diagnosis, answers: list[Item], besides: list[Item]):
        precise = [item for item in answers if dtype_of(item[0].case) not in _SHORT]
        calm = [item for item in precise if not item[0].got.crashed]
        self.diagnosis, self.answers, self.besides = diagnosis, answers, besides
        self.required = calm or precise or answers
        required = {id(o) for o, _ in self.required}
        self.rest = [item for item in answers if id(item[0]) not in required]
        self.rank, self.found = 0, []
        # Who contradicts a right answer explains nothing. Where all that is wrong are gradients,
        # most show it by their values alone, which take a third of the time.
        quick = [item for item in diagnosis.fine if item[0].cotangents is None]
        dear = all(item[0].cotangents is not None for item in self.required)
        # The case with the most conditions tells the most apart, and an ordinary one the rest.
        most = sorted(quick, key=lambda item: -item[0].case.label.count(","))
        self.first = [*most[:1], *quick[:1]] if dear else []

    def consider(self, account: Account) -> None:
        agrees = self.diagnosis.agrees
        if not all(agrees(account.function, item) for item in self.first):
            return
        if not all(agrees(account.function, item) for item in self.required):
            return
        explained = sum(agrees(account.function, item) for item in self.rest) + len(self.required)
        rank = explained + sum(agrees(account.function, item) for item in self.besides)
        if 2 * explained < len(self.answers) or rank < self.rank:
            return
        if self.diagnosis.contradicted(account.function):
            return
        if rank > self.rank:
            self.rank, self.found = rank, []
        self.found.append(account)

    def has_all_of(self, trap: Trap) -> bool:
        """Whether a form of it explains everything."""
        everything = len(self.answers) + len(self.besides)
        return self.rank == everything and any(a.traps == (trap,) for a in self.found)

    def in_common(self) -> tuple[Account, ...]:
        """The account, or what is in all of them."""
        if not self.found:
            return ()
        first = self.found[0]
        shared = tuple(t for t in first.traps if all(t in a.traps for a in self.found))
        parts = tuple(p for p in first.parts if p.traps[0] in shared)
        return (Account(first.function, shared, parts),) if shared else ()


def _fit(one: list[tuple[bool, bool]], other: list[tuple[bool, bool]]) -> tuple[int, int]:
    """Where one of two changes makes no difference the other should give the answer: how often it
    does, and how often not, as a negative number."""
    fits, misfits = 0, 0
    for (gives, right), (gives_too, right_too) in zip(one, other, strict=True):
        fits += (right and gives_too) or (right_too and gives)
        misfits += (right and not gives_too) or (right_too and not gives)
    return fits, -misfits
