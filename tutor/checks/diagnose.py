"""Why an answer is wrong: the misconception that gives it, or what it is to the right one."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from tutor.checks.candidate import LocalCandidate
from tutor.checks.exercise import Exercise, Trap
from tutor.checks.observation import Broken, Group, Observation, Trial
from tutor.checks.properties import broken_by
from tutor.checks.relation import relation
from tutor.checks.response import LONGEST_MESSAGE, NOTHING, Response
from tutor.checks.tensors import same_values
from tutor.checks.trace import (
    as_tuple,
    copied,
    expected_of,
    inputs_of,
    output_names,
    play,
    upcast,
)


def matching_trap(
    exercise: Exercise, name: str, group: Group, named: set[str]
) -> tuple[Trap | None, Observation | None]:
    """The trap that gives the candidate's answers on at least half of the failing cases, and the
    first of these.

    Where several do, the one that is like the candidate on the other cases too, and then the one
    that an earlier group has ``named``.
    """
    failing = [o for o in group.failing if o.case.raises is None and o.told]

    def agreeing(
        function: Callable[..., Any], seen: list[Observation], misses: int
    ) -> list[Observation]:
        """Where it behaves like the candidate; none if it misses more often than allowed."""
        matched = []
        for i, observation in enumerate(seen):
            if _behaves_like(exercise, function, observation, name == "types"):
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


def trap_that_breaks(trial: Trial, broken: Broken) -> Trap | None:
    """The trap that answers every case as the candidate does and breaks the property like it."""
    if broken.property is None:
        return None
    seen = [
        (o, name == "types") for name, group in trial.groups.items() for o in group.observations
    ]
    for trap in trial.exercise.traps:
        for function in trap.functions:
            if all(_behaves_like(trial.exercise, function, o, types) for o, types in seen):
                generator = torch.Generator()
                generator.set_state(broken.numbers)
                asked = trial.exercise, LocalCandidate(function), broken.property
                if broken_by(*asked, generator, trial.device) == broken.sentence:
                    return trap
    return None


def matching_relation(exercise: Exercise, group: Group) -> tuple[str | None, Observation | None]:
    """What the answers are to the right ones on at least half of the failing cases, and the first
    of these cases."""
    failing = [o for o in group.failing if o.case.raises is None]
    found = []
    for missed, o in enumerate(failing):
        if missed - len(found) > len(failing) // 2:
            break
        if not o.got.crashed and (sentence := _relation(exercise, o)):
            found.append((sentence, o))
    return found[0] if found and 2 * len(found) >= len(failing) else (None, None)


def _relation(exercise: Exercise, seen: Observation) -> str | None:
    def same(a: Tensor, b: Tensor) -> bool:
        return same_values((a,), (b,), seen.tolerance)

    step = seen.problem.step
    expected = expected_of(exercise, upcast(copied(seen.case))).responses[step]
    got, inputs = seen.got.responses[step], inputs_of(exercise, seen.case, step)
    pairs = [(output_names(exercise, seen.case, step), expected.outputs, got.outputs)]
    state = zip(exercise.state, expected.state, got.state, strict=True)
    pairs += [((name,), right, found) for name, right, found in state]
    for names, right, found in pairs:
        if right is not NOTHING and (said := relation(names, as_tuple(right), found, inputs, same)):
            return said
    return None


def _behaves_like(
    exercise: Exercise, function: Callable[..., Any], seen: Observation, compare_types: bool
) -> bool:
    theirs, got = (
        play(LocalCandidate(function), exercise, copied(seen.case), seen.cotangents),
        seen.got,
    )
    # Twice the tolerance: each may have rounded to its own side.
    tolerance = 2 * seen.tolerance
    if len(theirs.responses) != len(got.responses):
        return False
    for a, b in zip(theirs.responses, got.responses, strict=True):
        if not _alike(a, b, tolerance, compare_types):
            return False
    if theirs.crashed:
        return True
    if not all(
        same_values(as_tuple(a), as_tuple(b), tolerance)
        for a, b in zip(theirs.later, got.later, strict=False)
    ):
        return False
    if seen.cotangents is not None and not same_values(theirs.gradients, got.gradients, tolerance):
        return False
    return not compare_types or same_values(theirs.args_after, got.args_after, tolerance)


def _alike(theirs: Response, got: Response, tolerance: float, compare_types: bool) -> bool:
    if theirs.crash is not None or got.crash is not None:
        crashes = [
            (r.crash.kind, r.crash.message[:LONGEST_MESSAGE]) if r.crash else None
            for r in (theirs, got)
        ]
        return crashes[0] == crashes[1]
    if isinstance(theirs.outputs, tuple) != isinstance(got.outputs, tuple):
        return False
    both = [(*as_tuple(r.outputs), *r.state) for r in (theirs, got)]
    if not same_values(*both, tolerance):
        return False
    dtypes = [[getattr(t, "dtype", None) for t in tensors] for tensors in both]
    return not compare_types or dtypes[0] == dtypes[1]
