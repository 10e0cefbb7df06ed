"""Answers that are right but for their precision: computed in single what came in double.

They lose the points for dtypes and no others. Such an answer has errors of single precision, and
with every float32 made a float64 (``widened``) it has none: so its precision is all that is wrong.
"""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from tutor.checks.candidate import LocalCandidate, Widened
from tutor.checks.compare import (
    NONE,
    TOLERANCE,
    Problem,
    answer_problem,
    form_problem,
    single,
    type_problem,
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

_LARGEST = 1_000_000
_SHORT = {torch.float16, torch.bfloat16}
SENTENCE = "computed in double throughout, this answer is right: something on the way is float32"


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
        trial.single, label = True, label or seen.case.label
        place = place or wide.responses[0].narrowed
    if trial.single:
        for seen in (o for group in trial.groups.values() for o in group.observations):
            seen.tolerance = max(seen.tolerance, TOLERANCE[torch.float32])
        trial.groups["types"].broken.append(Broken(label, _sentence(place)))


def in_double(trial: Trial) -> list[tuple[Observation, Observation | None]]:
    """Wrong answers in which single precision has a part, each beside what it is in double
    throughout, or None if that is right. Another mistake in them is easier known so."""
    asked = [
        (name, seen)
        for name, group in trial.groups.items()
        for seen in group.failing
        if seen.told and _readable(seen.got) and (name == "types" or seen.expected)
    ]
    found, played, same = [], {}, 0
    # Numbers that come in single show nothing by themselves: they change in any case.
    for name, seen in sorted(asked, key=lambda item: torch.float32 in _dtypes(item[1].case)):
        case, key = seen.case, id(seen.got)
        if _dtypes(case) & _SHORT:
            continue
        if key not in played:
            if same == len(played) and (same >= _SAME or torch.float32 in _dtypes(case)):
                return []
            played[key] = play(
                Widened(trial.candidate), trial.exercise, copied(case), seen.cotangents
            )
            same += not _readable(played[key]) or same_values(
                played[key].tensors(), seen.got.tensors(), 0
            )
        wide = played[key]
        # What raises in double alone says nothing, and may be left over as what raises does.
        right = name == "gradients" and not (wide.crashed or _wrong(trial, seen, wide))
        wrong = wide.crashed or _still_wrong(trial, name, seen, wide)
        found.append((seen, replace(seen, got=wide, right=right) if wrong else None))
    return found if same < len(played) else []


def _readable(got: Trace) -> bool:
    """Whether it is an answer of numbers, and of no more than can be looked at."""
    return not got.crashed and all(
        not isinstance(t, Tensor)
        or (t.layout == torch.strided and not t.is_meta and t.numel() <= _LARGEST)
        for t in got.tensors()
    )


def _still_wrong(trial: Trial, name: str, seen: Observation, wide: Trace) -> Problem:
    if name != "types":
        return _problem(trial, seen, wide, seen.tolerance)
    expected = expected_of(trial.exercise, copied(seen.case))
    return type_problem(trial.exercise, seen.case, expected, wide)


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
    if far_off(expected, seen.got):
        return None
    finite = _finite([seen.got]) == 1
    in_single = in_precision(copied(case), torch.float32)
    narrow = play(LocalCandidate(exercise.reference), exercise, in_single, seen.cotangents)
    # What is beyond float32's range is no more than that, either.
    if finite and _problem(trial, seen, seen.got, single(narrow, expected)):
        return None
    return play(Widened(trial.candidate), exercise, copied(case), seen.cotangents)


def far_off(expected: Trace, got: Trace) -> bool:
    """Whether an answer, or what gradients there are, is wrong by more than single precision is,
    and not for its range or its form."""
    pairs = [*zip(expected.tensors(), got.tensors(), strict=False)]
    if not all(_comparable(wanted, found) for wanted, found in pairs) or _finite([got]) < 1:
        return False
    if expected.gradients is not None and got.gradients is not None:
        both = zip(expected.gradients, got.gradients, strict=True)
        pairs = [(wanted, found) for wanted, found in both if wanted is not None]
    return not all(same_values((w,), (g,), _COARSE) for w, g in pairs)


def _comparable(wanted: Any, found: Any) -> bool:
    if not isinstance(wanted, Tensor) or not isinstance(found, Tensor):
        return False
    plain = found.layout == torch.strided and not found.is_meta and not found.is_complex()
    return plain and found.shape == wanted.shape


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
    return _dtypes(case) == {torch.float64}


def _dtypes(case: Case) -> set[torch.dtype]:
    return {v.dtype for v in case.values() if floats(v)}
