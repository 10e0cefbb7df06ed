"""Why an answer is wrong: the misconception that gives it, or what it is to the right one."""

from collections.abc import Callable
from typing import Any

from torch import Tensor

from tutor.checks.candidate import LONGEST_MESSAGE, LocalCandidate
from tutor.checks.compare import same_values
from tutor.checks.exercise import Exercise, Trap
from tutor.checks.observation import (
    Group,
    Observation,
    argument_names,
    as_tuple,
    copied,
    expected_of,
    upcast,
)
from tutor.checks.relation import relation


def matching_trap(
    exercise: Exercise, name: str, group: Group, named: set[str]
) -> tuple[Trap | None, Observation | None]:
    """The trap that gives the candidate's answers on at least half of the failing cases, and the
    first of these.

    Where several do, the one that is like the candidate on the other cases too, and then the one
    that an earlier group has ``named``.
    """
    failing = [o for o in group.failing if not o.raises]

    def agreeing(
        function: Callable[..., Any], seen: list[Observation], misses: int
    ) -> list[Observation]:
        """Where it behaves like the candidate; none if it misses more often than allowed."""
        matched = []
        for i, observation in enumerate(seen):
            if _behaves_like(function, observation, name == "types"):
                matched.append(observation)
            elif i + 1 - len(matched) > misses:
                return []
        return matched

    fine = [o for o in group.observations if not o.problem]
    best, shown, best_score = None, None, (0, 0)
    for trap in sorted(exercise.traps, key=lambda t: t.name not in named):
        for function in trap.functions:
            misses = len(failing) - max(best_score[0], (len(failing) + 1) // 2)
            matched = agreeing(function, failing, misses)
            if not matched:
                continue
            score = (len(matched), len(agreeing(function, fine, len(fine))))
            if score > best_score:
                best, shown, best_score = trap, matched[0], score
            if score == (len(failing), len(fine)):
                return best, shown  # no other can be more like it
    return best, shown


def matching_relation(exercise: Exercise, group: Group) -> tuple[str | None, Observation | None]:
    """What the answers are to the right ones on at least half of the failing cases, and the first
    of these cases."""
    failing = [o for o in group.failing if not o.raises]
    found = []
    for missed, o in enumerate(failing):
        if missed - len(found) > len(failing) // 2:
            break
        if o.got.crash is None and (sentence := _relation(exercise, o)):
            found.append((sentence, o))
    return found[0] if found and 2 * len(found) >= len(failing) else (None, None)


def _relation(exercise: Exercise, seen: Observation) -> str | None:
    def same(a: Tensor, b: Tensor) -> bool:
        return same_values((a,), (b,), seen.tolerance)

    names = argument_names(exercise.reference)
    expected = as_tuple(expected_of(exercise, upcast(copied(seen.args))))
    inputs = dict(zip(names, seen.args, strict=False))
    return relation(exercise.outputs, expected, seen.got.outputs, inputs, same)


def _behaves_like(function: Callable[..., Any], seen: Observation, compare_types: bool) -> bool:
    theirs = LocalCandidate(function).run(copied(seen.args), seen.cotangents)
    got = seen.got
    if theirs.crash is not None or got.crash is not None:
        crashes = [
            (r.crash.kind, r.crash.message[:LONGEST_MESSAGE]) if r.crash else None
            for r in (theirs, got)
        ]
        return crashes[0] == crashes[1]
    # Twice the tolerance: each may have rounded to its own side.
    tolerance = 2 * seen.tolerance
    if isinstance(theirs.outputs, tuple) != isinstance(got.outputs, tuple):
        return False
    if not same_values(as_tuple(theirs.outputs), as_tuple(got.outputs), tolerance):
        return False
    if seen.cotangents is not None and not same_values(theirs.gradients, got.gradients, tolerance):
        return False
    if not compare_types:
        return True
    dtypes = [[getattr(t, "dtype", None) for t in as_tuple(r.outputs)] for r in (theirs, got)]
    return dtypes[0] == dtypes[1] and same_values(theirs.args_after, got.args_after, tolerance)
