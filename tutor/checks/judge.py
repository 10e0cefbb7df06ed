"""Run a candidate through an exercise: its cases, its properties, its contract."""

import re
from collections.abc import Callable
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from tutor.checks.candidate import Candidate, LocalCandidate, Response
from tutor.checks.compare import (
    TOLERANCE,
    allowed,
    finite_problem,
    form_problem,
    gradient_problem,
    raises_problem,
    same_values,
    tolerance_of,
    type_problem,
    value_problem,
    where,
)
from tutor.checks.contract import contract_verdict, withheld
from tutor.checks.cost import storage
from tutor.checks.diagnose import matching_relation, matching_trap
from tutor.checks.exercise import GROUPS, Case, Exercise
from tutor.checks.observation import (
    Group,
    Observation,
    Trial,
    as_tuple,
    copied,
    dtype_of,
    expected_of,
    floats,
    shapes,
    upcast,
)
from tutor.checks.report import Failure, Report, Verdict

PUBLIC_SEED = 20170612  # the day on which "Attention Is All You Need" appeared

_PRECISION = {
    torch.float64: "double",
    torch.float32: "single",
    torch.float16: "half",
    torch.bfloat16: "bfloat16",
}


def judge(
    exercise: Exercise,
    candidate: Candidate | Callable[..., Any],
    seed: int = PUBLIC_SEED,
    device: torch.device | str = "cpu",
) -> Report:
    """Verdict on ``candidate``, a function or anything with the ``run`` of ``Candidate``.

    The same seed and device give the same cases. Nothing that the candidate does, short of
    ending the process, raises here.
    """
    candidate = candidate if hasattr(candidate, "run") else LocalCandidate(candidate)
    with _one_thread():
        return _report(Trial(exercise, candidate, seed, torch.device(device)))


def _report(trial: Trial) -> Report:
    exercise, groups = trial.exercise, trial.groups
    cases = list(exercise.cases(trial.generator("cases"), trial.device))
    first = trial.candidate.run(copied(cases[0].args))
    if first.crash is not None and first.crash.kind == "NotImplementedError":
        return Report.unwritten(exercise)

    for case in cases:
        _observe(trial, case)
    _observe_freshness(trial, cases[0])
    contract = exercise.contract(trial.generator("contract"), trial.device)
    if "types" in groups and trial.device.type == "cpu":
        for args in contract.calls:
            _observe_device(trial, args)
    _test_properties(trial)

    verdicts, named = {}, set()
    for name in groups:
        if name != "contracts":
            verdicts[name] = _verdict(trial, name, named)
            if (failure := verdicts[name].failure) and failure.trap:
                named.add(failure.trap["name"])
    if "contracts" in groups:
        verdicts["contracts"] = contract_verdict(trial, contract, cases, verdicts)
    verdicts = withheld(verdicts)
    return Report(
        exercise=exercise.name,
        chapter=exercise.chapter,
        verdicts=tuple(verdicts[name] for name in GROUPS if name in verdicts),
        device=str(trial.device),
    )


def _observe(trial: Trial, case: Case) -> None:
    exercise, groups = trial.exercise, trial.groups
    args = copied(case.args)
    got = trial.candidate.run(args)
    dtype = dtype_of(case.args)
    group = groups[case.group]
    if case.raises is not None:
        problem = raises_problem(case.raises, got)
        group.observations.append(Observation(case.label, case.args, None, 0.0, got, problem, True))
        return
    rounded = precise = expected_of(exercise, copied(case.args))
    if any(a.dtype != torch.float64 for a in case.args if floats(a)):
        precise = expected_of(exercise, upcast(copied(case.args)))
    if dtype is not None:
        group.dtypes.add(dtype)
    tolerance = allowed(case.args, rounded, precise)
    problem = form_problem(exercise, precise, got)
    if not problem and case.finite_only:
        problem = finite_problem(exercise, got)
    elif not problem:
        problem = value_problem(exercise, precise, got, tolerance)
    group.observations.append(Observation(case.label, case.args, None, tolerance, got, problem))

    if "types" in groups:
        problem = type_problem(rounded, got, case.args, trial.argument_names)
        groups["types"].observations.append(
            Observation(case.label, case.args, None, tolerance, got, problem)
        )
    if "gradients" in groups and dtype == torch.float64 and not case.finite_only:
        _observe_gradients(trial, case, precise, tolerance)


def _observe_gradients(trial: Trial, case: Case, precise: Any, tolerance: float) -> None:
    exercise, group = trial.exercise, trial.groups["gradients"]
    generator = trial.generator("cotangents")
    cotangents = tuple(
        torch.randn(p.shape, generator=generator, dtype=torch.float64).to(p.device)
        for p in as_tuple(precise)
    )
    expected = LocalCandidate(exercise.reference).run(copied(case.args), cotangents)
    got = trial.candidate.run(copied(case.args), cotangents)
    names = [n for n, a in zip(trial.argument_names, case.args, strict=False) if floats(a)]
    form = form_problem(exercise, precise, got)
    problem = form or gradient_problem(names, expected.gradients, got, tolerance)
    right = not (form or value_problem(exercise, precise, got, tolerance))
    group.dtypes.add(torch.float64)
    group.observations.append(
        Observation(case.label, case.args, cotangents, tolerance, got, problem, right=right)
    )


def _observe_device(trial: Trial, args: tuple[Any, ...]) -> None:
    """A call on torch's meta device, whose tensors have shapes and no numbers: what a function
    makes on the CPU instead of beside its inputs shows on a machine without a GPU, too."""
    meta = torch.device("meta")
    elsewhere = tuple(
        a.to(meta) if isinstance(a, Tensor) else meta if isinstance(a, torch.device) else a
        for a in args
    )
    if not any(isinstance(a, Tensor | torch.device) for a in elsewhere):
        return  # nothing asks for another device
    group = trial.groups["types"]
    group.properties += 1
    expected = as_tuple(expected_of(trial.exercise, elsewhere))
    got, sentence = trial.candidate.run(elsewhere), None
    if got.crash is not None:
        # Reading numbers fails there and is no fault; mixing devices is one.
        if re.search("(expected|same) device", got.crash.message):
            sentence = "a tensor made on the CPU meets inputs that are on another device"
            if got.crash.line:
                sentence += f", {where(got.crash)}"
    elif any(
        isinstance(t, Tensor) and t.device != meta and wanted.device == meta
        for t, wanted in zip(as_tuple(got.outputs), expected, strict=False)
    ):
        sentence = "the answer is on the CPU though the call asks for another device"
    if sentence:
        group.broken.append(("on another device", sentence))


def _observe_freshness(trial: Trial, case: Case) -> None:
    """A second call with the same tensors and new contents must not get the first call's answer,
    and must not change the answer that the first call returned."""
    exercise = trial.exercise
    tensors = [i for i, a in enumerate(case.args) if isinstance(a, Tensor) and a.numel() > 1]
    if not tensors:
        return
    args = copied(case.args)
    before = trial.candidate.run(args)
    tolerance = tolerance_of(case.args, expected_of(exercise, copied(case.args)))

    def problem_of(fresh: tuple[Any, ...], response: Response) -> list[str]:
        expected = expected_of(exercise, fresh)
        return form_problem(exercise, expected, response) or value_problem(
            exercise, expected, response, tolerance
        )

    if problem_of(copied(case.args), before) or not same_values(case.args, before.args_after, 0.0):
        return  # the case itself has reported it
    kept = copied(as_tuple(before.outputs))
    # Where the reference answers with a view of its arguments, the answer follows them.
    of_reference = as_tuple(exercise.reference(*args))
    storages = {storage(args[i]) for i in tensors}
    views = any(isinstance(t, Tensor) and storage(t) in storages for t in of_reference)
    for i in tensors:
        new = case.args[i].flip(0, -1) if case.args[i].ndim > 1 else case.args[i].flip(0)
        args[i].detach().copy_(new)  # it may have asked for a gradient
    fresh = copied(args)
    after = trial.candidate.run(args)
    problem = problem_of(copied(fresh), after)
    if problem:
        problem = [
            "called again with new numbers in the same tensors, it does not follow:",
            *problem,
        ]
    elif not views and not same_values(kept, as_tuple(trial.candidate.reread(before)), 0.0):
        problem = ["a second call changed the tensor that the first call had returned"]
    trial.groups["values"].observations.append(
        Observation("called twice", fresh, None, tolerance, after, problem)
    )


def _test_properties(trial: Trial) -> None:
    generator = trial.generator("properties")

    class Stop(Exception):
        pass

    for prop in trial.exercise.properties:
        crashes = []

        def call(*args, crashes=crashes):
            response = trial.candidate.run(copied(args))
            if response.crash is not None or not isinstance(response.outputs, Tensor):
                crashes.append(response.crash)
                raise Stop
            wanted = expected_of(trial.exercise, copied(args))
            if response.outputs.shape != wanted.shape:  # to broadcast it may take all memory
                raise IndexError(f"{tuple(response.outputs.shape)} and not {tuple(wanted.shape)}")
            return response.outputs.detach()

        group = trial.groups[prop.group]
        group.properties += 1
        try:
            sentence = prop.test(call, generator, trial.device)
        except Stop:
            crash = crashes[0]
            sentence = f"it raised {crash.kind}" if crash else "it did not return a tensor"
        except (RuntimeError, IndexError) as error:  # an answer of another shape or type
            sentence = f"the answer cannot be compared: {str(error).partition(chr(10))[0]}"
        if sentence:
            group.broken.append((prop.label, sentence))


def _verdict(trial: Trial, name: str, named: set[str]) -> Verdict:
    group, possible = trial.groups[name], trial.exercise.points[name]
    failing = group.failing
    bad = len(failing) + len(group.broken)
    if not bad:
        return Verdict(name, possible, possible, _all_well(name, group))
    if failing:
        trap, shown = matching_trap(trial.exercise, name, group, named)
        related = None
        if trap is None and name in ("values", "edges"):
            related, shown = matching_relation(trial.exercise, group)
        worst = shown or failing[0]
        failure = Failure.of(
            worst.label,
            shapes(trial.argument_names, worst.args),
            [*worst.problem, related] if related else worst.problem,
            trap,
        )
    else:
        label, sentence = group.broken[0]
        failure = Failure.of(label, "", [sentence])
    summary = f"{bad} of {group.size} cases fail; first: “{failure.label}”"
    return Verdict(name, 0, possible, summary, failure)


def _all_well(name: str, group: Group) -> str:
    tolerances = [d for d in TOLERANCE if d in group.dtypes]
    text = f"{group.size} cases"
    if name == "types":
        return f"{text}; kept, and no input modified"
    if tolerances:
        limits = (f"{_PRECISION[d]} to {TOLERANCE[d]:.0e}".replace("e-0", "e-") for d in tolerances)
        text += "; " + ", ".join(limits)
    return text


@contextmanager
def _one_thread():
    """The cases are tiny: waking a second thread costs more than their arithmetic."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
