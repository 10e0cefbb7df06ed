"""A second call with what the first was given, in which there are other contents now."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from torch import Tensor

from tutor.checks.candidate import Candidate, LocalCandidate
from tutor.checks.compare import NONE, Problem, answer_problem
from tutor.checks.exercise import Case, Exercise
from tutor.checks.observation import Observation, Trial
from tutor.checks.sequences import refilled
from tutor.checks.tensors import same_values
from tutor.checks.trace import Trace, as_tuple, copied, copy, expected_of, play


def observe_freshness(trial: Trial, cases: Sequence[Case]) -> None:
    """The same again with the same tensors, or lists, and new contents must not get the first
    answers, and must not change them, or the object that gave them."""
    exercise, candidate, case = trial.exercise, trial.candidate, cases[0]
    if any(map(_several, case.values())):
        renewed, what = _flipped, "new numbers in the same tensors"
    elif other := _other(exercise, cases):
        renewed, what = _refilled(other), "other contents in the same list or dict"
    else:
        return
    passed, ours = copied(case), copied(case)
    before = play(candidate, exercise, passed, forbid_autograd=trial.no_autograd)
    expected = expected_of(exercise, ours)
    tolerance = trial.tolerance(case, expected)
    if answer_problem(exercise, case, expected, before, tolerance) or not same_values(
        expected.args_after, before.args_after, 0.0
    ):
        return  # the case itself has reported it
    kept, kept_by_reference = _kept(before), _kept(expected)
    renewed(ours)
    passed = renewed(passed)
    fresh = replace(copied(passed), label="called twice")
    after = play(candidate, exercise, passed)
    right = expected_of(exercise, copied(fresh))
    problem = told = answer_problem(exercise, fresh, right, after, tolerance)
    if problem:
        said = f"called again with {what}, it does not follow:"
        problem = replace(problem, sentences=[said, *problem.sentences])
    # Where the reference answers with a view of its arguments, the answer follows them.
    elif _same(kept_by_reference, _now(expected, LocalCandidate(exercise.reference))):
        problem = _kept_problem(exercise, kept, _now(before, candidate))
    group = trial.groups["values"]
    group.observations.append(Observation(fresh, None, tolerance, after, problem, told=bool(told)))


def _several(value: Any) -> bool:
    return isinstance(value, Tensor) and value.numel() > 1


def _flipped(case: Case) -> Case:
    """With its tensors' numbers in another order."""
    for value in filter(_several, case.values()):
        new = value.flip(0, -1) if value.ndim > 1 else value.flip(0)
        value.detach().copy_(new)  # it may have asked for a gradient
    return case


def _renewals(cases: Sequence[Case]) -> Iterator[tuple[Any, ...]]:
    """Arguments of the first case with another case's lists and mappings; and then, where the rest
    of the first's does not go with them, that other case's."""
    first, *others = cases
    held = [i for i, a in enumerate(first.args) if type(a) in (list, dict)]
    for case in others if held else ():
        alike = list(map(type, case.args)) == list(map(type, first.args))
        usual = case.group == first.group and case.raises is None
        if alike and usual and all(case.args[i] != first.args[i] for i in held):
            pairs = enumerate(zip(first.args, case.args, strict=True))
            yield tuple(other if i in held else own for i, (own, other) in pairs)
            yield case.args


def _other(exercise: Exercise, cases: Sequence[Case]) -> Case | None:
    """A case to which the answer is another than to the first, and which differs from it in its
    lists and mappings: if there is one, in nothing else."""
    usual = None
    for args in _renewals(cases):
        case = replace(cases[0], args=args)
        with suppress(ValueError):  # those of one case may not go with the text of another
            usual = usual or tuple(expected_of(exercise, copied(cases[0])).tensors())
            other = tuple(expected_of(exercise, copied(case)).tensors())
            if not same_values(usual, other, 0.0):
                return case
    return None


def _refilled(other: Case) -> Callable[[Case], Case]:
    def renewed(case: Case) -> Case:
        return replace(case, args=tuple(map(refilled, case.args, copied(other).args)))

    return renewed


def _kept(trace: Trace) -> list[tuple[Any, ...]]:
    """All that was answered, and an object's last state, as it was then."""
    if trace.instance is None:
        return [tuple(map(copy, as_tuple(trace.responses[0].outputs)))]
    return [*map(as_tuple, trace.later), trace.responses[-1].state]


def _now(trace: Trace, candidate: Candidate) -> list[tuple[Any, ...]]:
    """The same after another call has been made."""
    if trace.instance is None:
        return [as_tuple(candidate.reread(trace.responses[0]))]
    end = trace.instance.end()
    return [] if end.crash else [*map(as_tuple, end.outputs), end.state]


def _same(before: list[tuple[Any, ...]], now: list[tuple[Any, ...]]) -> bool:
    both = zip(before, now, strict=False)
    return len(before) == len(now) and all(same_values(b, n, 0.0) for b, n in both)


def _kept_problem(
    exercise: Exercise, kept: list[tuple[Any, ...]], now: list[tuple[Any, ...]]
) -> Problem:
    if _same(kept, now):
        return NONE
    if not exercise.is_class:
        return Problem(["a second call changed the tensor that the first call had returned"])
    if _same(kept[:-1], now[:-1]):
        return Problem(["the calls of a second object changed the state of the first"])
    return Problem(["the calls of a second object changed what the first had returned"])
