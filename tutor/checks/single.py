"""Answers that are right but for their precision: computed in single what came in double.

They lose the points for dtypes and no others. Such an answer has errors of single precision, and
with every float32 made a float64 (``widened``) it has none: so its precision is all that is wrong.
"""

import torch

from tutor.checks.candidate import LocalCandidate, Widened
from tutor.checks.compare import (
    NONE,
    TOLERANCE,
    Problem,
    answer_problem,
    form_problem,
    single,
    where,
    wrong_gradients,
)
from tutor.checks.exercise import Case
from tutor.checks.observation import Broken, Observation, Trial
from tutor.checks.tensors import same_values
from tutor.checks.trace import Trace, copied, expected_of, floats, in_precision, play
from tutor.checks.widened import Place

_GROUPS = ("values", "edges", "gradients")
_COARSE = 1e-2
"""Nothing that is wrong by more is looked at again."""
_MOST = 0.25
"""Nor is one whose wrong answers have fewer finite numbers: it gives none, in double."""

_SAME = 3
"""After so many widened answers that are wrong and the same as before, nothing is in single."""


def forgive_single_precision(trial: Trial) -> None:
    """Clear what is wrong for this cause alone, and let the group ``types`` pay for it."""
    if "types" not in trial.groups:
        return
    failing = [o for name in _GROUPS if name in trial.groups for o in trial.groups[name].failing]
    failing = [seen for seen in failing if _may_be(trial, seen)]
    if _finite([seen.got for seen in failing]) < _MOST:
        return
    place, label, same = None, "", 0
    for seen in failing:
        if (wide := _widened(trial, seen)) is None:
            continue
        if _problem(trial, seen, wide, seen.tolerance):
            same += same_values(wide.tensors(), seen.got.tensors(), 0)
            if same == _SAME and not trial.single:
                return
            continue
        seen.problem, seen.right = NONE, not _wrong(trial, seen, wide)
        seen.tolerance = max(seen.tolerance, TOLERANCE[torch.float32])
        trial.single, label = True, label or seen.case.label
        place = place or wide.responses[0].narrowed
    if trial.single:
        trial.groups["types"].broken.append(Broken(label, _sentence(place)))


def _sentence(place: Place | None) -> str:
    said = (
        "right to single precision only, though the inputs are double: something on the way is "
        "float32 (torch.tensor, torch.zeros, .float()?)"
    )
    return f"{said}\n{where(place)}" if place else said


def _may_be(trial: Trial, seen: Observation) -> bool:
    """Whether it is wrong by its numbers, where double is asked for."""
    if seen.expected is None or seen.case.finite_only or not _in_double(seen.case):
        return False
    return not form_problem(trial.exercise, seen.case, seen.expected, seen.got)


def _widened(trial: Trial, seen: Observation) -> Trace | None:
    """The widened answer, if the usual one may be right to single precision."""
    case, exercise, expected = seen.case, trial.exercise, seen.expected
    finite = _finite([seen.got]) == 1
    if finite and _problem(trial, seen, seen.got, _COARSE):
        return None
    in_single = in_precision(copied(case), torch.float32)
    narrow = play(LocalCandidate(exercise.reference), exercise, in_single, seen.cotangents)
    # What is beyond float32's range is no more than that, either.
    if finite and _problem(trial, seen, seen.got, single(narrow, expected)):
        return None
    return play(Widened(trial.candidate), exercise, copied(case), seen.cotangents)


def _problem(trial: Trial, seen: Observation, got: Trace, tolerance: float) -> Problem:
    compare = answer_problem if seen.cotangents is None else wrong_gradients
    return compare(trial.exercise, seen.case, seen.expected, got, tolerance)


def _wrong(trial: Trial, seen: Observation, widened: Trace) -> Problem:
    """Of the answer: gradients may be right where it is not."""
    expected = expected_of(trial.exercise, copied(seen.case))
    return answer_problem(trial.exercise, seen.case, expected, widened, seen.tolerance)


def _finite(answers: list[Trace]) -> float:
    """The share of finite numbers."""
    tensors = [t for got in answers for t in (*got.tensors(), *(got.gradients or ())) if floats(t)]
    finite, every = sum(int(t.isfinite().sum()) for t in tensors), sum(t.numel() for t in tensors)
    return finite / every if every else 1


def _in_double(case: Case) -> bool:
    dtypes = {v.dtype for v in case.values() if floats(v)}
    return dtypes == {torch.float64}
