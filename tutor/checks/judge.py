"""Run a candidate through an exercise: its cases, its properties, its contract."""

import re
import warnings
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from typing import Any

import torch
from torch import Tensor

from tutor.checks.candidate import Candidate, Known, LocalCandidate
from tutor.checks.compare import (
    TOLERANCE,
    allowed,
    answer_problem,
    form_problem,
    magnitude,
    raises_problem,
    tolerance_of,
    type_problem,
    where,
    wrong_gradients,
)
from tutor.checks.contract import calls_forbidden, contract_verdict, withheld
from tutor.checks.diagnose import Diagnosis
from tutor.checks.exceptions import meaning
from tutor.checks.exercise import GROUPS, Case, Exercise, counted_cases
from tutor.checks.instead import matching_argument
from tutor.checks.modes import TOLD, usual_modes
from tutor.checks.observation import Broken, Group, Observation, Trial
from tutor.checks.properties import test_properties
from tutor.checks.relation import matching_relation
from tutor.checks.report import Failure, Report, Verdict
from tutor.checks.single import SENTENCE, far_off, forgive_single_precision, in_double
from tutor.checks.trace import (
    Trace,
    as_tuple,
    copied,
    dtype_of,
    expected_of,
    floats,
    play,
    shapes,
    upcast,
)
from tutor.checks.twice import observe_freshness

PUBLIC_SEED = 20170612  # the day on which "Attention Is All You Need" appeared

_FAR_OFF = 3
"""Wrong gradients after which those of answers that no rounding explains are not asked for."""
_PRECISION = {
    torch.float64: "double",
    torch.float32: "single",
    torch.float16: "half",
    torch.bfloat16: "bfloat16",
}


_NO_DEVICE = (
    "Not checked: the GPU no longer answers this process. After an index outside of a tensor, or "
    "another fault on the GPU, only a restart of the kernel helps; with CUDA_LAUNCH_BLOCKING=1 in "
    "the environment the traceback then shows the line that was at fault."
)


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
    # A warning of what an edge case asks for would stand above the report, with a line of ours.
    with _one_thread(), usual_modes() as here, warnings.catch_warnings(action="ignore"):
        try:
            report = _report(Trial(exercise, candidate, seed, torch.device(device)))
        except torch.AcceleratorError:
            report = replace(Report.unwritten(exercise, _NO_DEVICE), device=str(device))
        found = {*here, *candidate.modes()}
    if not found:
        return report
    named = ", ".join(told for told in TOLD if told in found)
    note = f"Your notebook leaves torch set otherwise than usual ({named}): the check does not."
    return replace(report, notes=(*report.notes, note))


def _report(trial: Trial) -> Report:
    exercise, groups = trial.exercise, trial.groups
    cases = list(exercise.cases(trial.generator("cases"), trial.device))
    first = play(trial.candidate, exercise, copied(cases[0]))
    if first.crashed and first.responses[-1].crash.kind == "NotImplementedError":
        return _unwritten(exercise, cases[0], len(first.responses) - 1)

    contract = exercise.contract(trial.generator("contract"), trial.device)
    trial.no_autograd = "autograd" in contract.forbidden
    if calls_forbidden(trial, contract, cases[0]):
        # It earns nothing, and there are inputs on which some of torch's own functions end the
        # process: ``gru_cell`` in bfloat16 with two batch dimensions. One case names no mistake.
        cases, trial.exercise = cases[:1], replace(exercise, traps=())
    for case in cases:
        _observe(trial, case)
    forgive_single_precision(trial)
    observe_freshness(trial, cases)
    if "types" in groups and trial.device.type == "cpu":
        for case in counted_cases(contract):
            _observe_device(trial, case)
    test_properties(trial)

    diagnosis = _diagnosis(trial)
    argument = cache(lambda: matching_argument(trial))
    verdicts = {
        name: _verdict(trial, name, diagnosis, argument) for name in groups if name != "contracts"
    }
    if "contracts" in groups:
        verdicts["contracts"] = contract_verdict(trial, contract, cases, verdicts)
    verdicts = withheld(verdicts)
    return Report(
        exercise=exercise.name,
        chapter=exercise.chapter,
        verdicts=tuple(verdicts[name] for name in GROUPS if name in verdicts),
        device=str(trial.device),
    )


def _diagnosis(trial: Trial) -> Diagnosis:
    """Of the answers as they are, or, where that explains more, as they are in double."""

    def explained(diagnosis: Diagnosis) -> int:
        return sum(bool(diagnosis.of(name)[0]) or diagnosis.rounding(name) for name in failing)

    failing = [name for name, group in trial.groups.items() if group.failing]
    usual = Diagnosis(trial)
    if explained(usual) == len(failing) or not (wide := in_double(trial)):
        return usual
    return max(usual, Diagnosis(trial, wide), key=explained)


def _unwritten(exercise: Exercise, case: Case, step: int) -> Report:
    if not exercise.is_class:
        return Report.unwritten(exercise)
    method = case.calls[step - 1].method if step else "the constructor"
    return Report.unwritten(exercise, f"Not written yet: {method} raises NotImplementedError.")


def _observe(trial: Trial, case: Case) -> None:
    exercise, groups = trial.exercise, trial.groups
    got = play(trial.candidate, exercise, copied(case), forbid_autograd=trial.no_autograd)
    dtype = dtype_of(case)
    group = groups[case.group]
    if case.raises is not None:
        problem = raises_problem(exercise, case, got)
        # What should have been refused may be answered, and by a known wrong function as well.
        tolerance = tolerance_of(case, got)
        group.observations.append(Observation(case, None, tolerance, got, problem))
        return
    rounded = precise = expected_of(exercise, copied(case))
    if any(v.dtype != torch.float64 for v in case.values() if floats(v)):
        precise = expected_of(exercise, upcast(copied(case)))
    if dtype is not None:
        group.dtypes.add(dtype)
    tolerance = allowed(case, rounded, precise)
    problem = answer_problem(exercise, case, precise, got, tolerance, case.finite_only)
    group.observations.append(Observation(case, None, tolerance, got, problem, expected=precise))

    if "types" in groups:
        problem = type_problem(exercise, case, rounded, got)
        groups["types"].observations.append(Observation(case, None, tolerance, got, problem))
    # What an edge case cannot answer at all is paid for there.
    unanswered = case.group == "edges" and form_problem(exercise, case, precise, got)
    if "gradients" not in groups or dtype != torch.float64 or case.finite_only or unanswered:
        return
    if groups["gradients"].far_off < _FAR_OFF or not (problem and far_off(precise, got)):
        _observe_gradients(trial, case, precise, tolerance)


def _observe_gradients(trial: Trial, case: Case, precise: Trace, tolerance: float) -> None:
    exercise, group = trial.exercise, trial.groups["gradients"]
    generator = trial.generator("cotangents")

    def cotangent(p: Any) -> Tensor | None:
        if not isinstance(p, Tensor):
            return None
        return torch.randn(p.shape, generator=generator, dtype=torch.float64).to(p.device)

    cotangents = tuple(tuple(map(cotangent, as_tuple(r.outputs))) for r in precise.responses)
    expected = play(Known(exercise.reference), exercise, copied(case), cotangents)
    got = play(trial.candidate, exercise, copied(case), cotangents)
    problem = wrong_gradients(exercise, case, expected, got, tolerance * magnitude(case))
    right = not answer_problem(exercise, case, precise, got, tolerance)
    group.dtypes.add(torch.float64)
    group.far_off += bool(problem) and not right and far_off(precise, got)
    group.observations.append(
        Observation(case, cotangents, tolerance, got, problem, right, expected=expected)
    )


def _observe_device(trial: Trial, case: Case) -> None:
    """Calls on torch's meta device, whose tensors have shapes and no numbers: what a function makes
    on the CPU instead of beside its inputs shows on a machine without a GPU, too."""
    meta = torch.device("meta")

    def moved(value: Any) -> Any:
        if isinstance(value, Tensor):
            return value.to(meta)
        return meta if isinstance(value, torch.device) else value

    elsewhere = case.mapped(moved)
    if not any(isinstance(v, Tensor | torch.device) for v in elsewhere.values()):
        return  # nothing asks for another device
    group = trial.groups["types"]
    group.properties += 1
    got, sentence = play(trial.candidate, trial.exercise, elsewhere), None
    if got.crashed:
        # Reading numbers fails there and is no fault; mixing devices is one.
        crash = got.responses[-1].crash
        mixed = "(expected|same) device"
        if (
            trial.exercise.is_class
        ):  # an earlier call has made the tensor into which this one writes
            mixed += "|Cannot copy out of meta tensor"
        if re.search(mixed, crash.message):
            sentence = "a tensor made on the CPU meets inputs that are on another device"
            if crash.line:
                sentence += f", {where(crash)}"
    # Shapes are worked out in Python there, which takes longer than numbers do: the reference is
    # asked only where its answer matters. It may have to read numbers, and then cannot tell.
    elif any(isinstance(t, Tensor) and t.device != meta for t in got.tensors()):
        right = play(Known(trial.exercise.reference), trial.exercise, case.mapped(moved))
        if not right.crashed and any(
            isinstance(t, Tensor) and t.device != meta and wanted.device == meta
            for t, wanted in zip(got.tensors(), right.tensors(), strict=False)
        ):
            sentence = "the answer is on the CPU though the call asks for another device"
    if sentence:
        group.broken.append(Broken("on another device", sentence))


def _verdict(
    trial: Trial,
    name: str,
    diagnosis: Diagnosis,
    argument: Callable[[], tuple[str, Observation] | None],
) -> Verdict:
    group, possible = trial.groups[name], trial.exercise.points[name]
    failing = group.failing
    bad = len(failing) + len(group.broken)
    if not bad:
        return Verdict(name, possible, possible, _all_well(name, group))
    if failing:
        traps, shown = diagnosis.of(name)
        related = None
        if not traps and name in ("values", "edges"):
            related, shown = matching_relation(trial.exercise, group)
            if not related and (found := argument()):
                related, shown = found[0], next((o for o in failing if o is found[1]), None)
        worst = shown or failing[0]
        said = [*worst.problem.sentences, *([related] if related else [])]
        if id(worst) in diagnosis.rounded and not traps:
            said.append(SENTENCE)
        crash = worst.got.responses[worst.problem.step].crash
        if crash and not traps:
            said += meaning(trial.exercise, worst.case, worst.problem.step, crash)
        failure = Failure.of(
            worst.case.label,
            shapes(trial.exercise, worst.case, worst.problem.step),
            said,
            traps,
        )
    else:
        broken = group.broken[0]
        traps = diagnosis.of_broken(broken)
        failure = Failure.of(broken.label, "", broken.sentence.splitlines(), traps)
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
