"""Run a candidate through an exercise and say what is wrong with it."""

import inspect
import re
import sys
import zlib
from collections.abc import Callable, Iterable
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import torch
from torch import Tensor

from tutor.checks.candidate import (
    LONGEST_MESSAGE,
    Candidate,
    Crash,
    LocalCandidate,
    Response,
    Unreadable,
    plain,
)
from tutor.checks.cost import storage
from tutor.checks.exercise import GROUPS, Case, Contract, Exercise, Trap
from tutor.checks.relation import relation
from tutor.checks.report import Failure, Report, Verdict

PUBLIC_SEED = 20170612  # the day on which "Attention Is All You Need" appeared

TOLERANCE = {
    torch.float64: 1e-10,
    torch.float32: 1e-5,
    torch.float16: 5e-3,
    torch.bfloat16: 5e-2,
}
"""Largest |got - expected| / (1 + |expected|), by the dtype of the inputs. Some draws, one in some
ten thousand, are worse conditioned: then as far as ``_ROUNDINGS`` errors of the reference itself,
computed in that dtype."""
_ROUNDINGS = 4
"""More than one: a right answer may round in another order."""

_PRECISION = {
    torch.float64: "double",
    torch.float32: "single",
    torch.float16: "half",
    torch.bfloat16: "bfloat16",
}


@dataclass
class _Observation:
    """One call and what is wrong with its answer, kept to be compared with the traps'."""

    label: str
    args: tuple[Any, ...]
    cotangents: tuple[Tensor, ...] | None
    tolerance: float
    got: Response
    problem: list[str]
    """Sentences for the report; empty if all is well."""
    raises: bool = False
    """An exception was asked for."""
    right: bool = False
    """Of a call for gradients: its values are right."""


@dataclass
class _Group:
    observations: list[_Observation] = field(default_factory=list)
    broken: list[tuple[str, str]] = field(default_factory=list)
    """Label and sentence of each property that does not hold."""
    properties: int = 0
    dtypes: set[torch.dtype] = field(default_factory=set)

    @property
    def failing(self) -> list[_Observation]:
        return [o for o in self.observations if o.problem]

    @property
    def size(self) -> int:
        return len(self.observations) + self.properties


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
    runner = candidate if hasattr(candidate, "run") else LocalCandidate(candidate)
    with _one_thread():
        return _judge(exercise, runner, seed, torch.device(device))


def _judge(exercise: Exercise, runner: Candidate, seed: int, device: torch.device) -> Report:
    groups = {name: _Group() for name in exercise.points}

    def generator(purpose: str) -> torch.Generator:
        return torch.Generator().manual_seed(seed ^ zlib.crc32((exercise.name + purpose).encode()))

    cases = list(exercise.cases(generator("cases"), device))
    first = runner.run(_copy(cases[0].args))
    if first.crash is not None and first.crash.kind == "NotImplementedError":
        return Report.unwritten(exercise)

    for case in cases:
        _observe(exercise, runner, case, groups, generator("cotangents"))
    _observe_freshness(exercise, runner, cases[0], groups["values"])
    contract = exercise.contract(generator("contract"), device)
    if "types" in groups and device.type == "cpu":
        for args in contract.calls:
            _observe_device(exercise, runner, args, groups["types"])
    _test_properties(exercise, runner, groups, generator("properties"), device)

    verdicts, named = {}, set()
    for name, group in groups.items():
        if name != "contracts":
            verdicts[name] = _verdict(exercise, name, group, named)
            if (failure := verdicts[name].failure) and failure.trap:
                named.add(failure.trap["name"])
    if "contracts" in groups:
        earlier = exercise.contract(generator("before it is counted"), device)

        def twins() -> list[tuple[tuple[Any, ...], tuple[Any, ...]]]:
            again = exercise.cases(generator("counted again"), device)
            return _twins(cases, again, groups, verdicts, generator("which are counted again"))

        verdicts["contracts"] = _contract_verdict(
            exercise, runner, contract, earlier, twins, verdicts
        )
    failure = verdicts["contracts"].failure if "contracts" in verdicts else None
    if failure and failure.label in _WITHHOLDING:
        # The exercise is to write it: nothing that the library's own work earned is the student's.
        until = _WITHHOLDING[failure.label]
        verdicts = {n: v.withheld(until) if v.passed else v for n, v in verdicts.items()}
    if not verdicts["values"].passed:
        # What costs nothing and keeps its dtype earns nothing by itself.
        for name in ("types", "contracts"):
            if name in verdicts and verdicts[name].passed:
                verdicts[name] = verdicts[name].withheld("the values are right")
    return Report(
        exercise=exercise.name,
        chapter=exercise.chapter,
        verdicts=tuple(verdicts[name] for name in GROUPS if name in verdicts),
        device=str(device),
    )


def _observe(
    exercise: Exercise,
    runner: Candidate,
    case: Case,
    groups: dict[str, _Group],
    generator: torch.Generator,
) -> None:
    args = _copy(case.args)
    got = runner.run(args)
    dtype = _dtype(case.args)
    group = groups[case.group]
    if case.raises is not None:
        problem = _raises_problem(case.raises, got)
        group.observations.append(
            _Observation(case.label, case.args, None, 0.0, got, problem, True)
        )
        return
    rounded = precise = _expected(exercise, _copy(case.args))
    if any(a.dtype != torch.float64 for a in case.args if _floats(a)):
        precise = _expected(exercise, _upcast(_copy(case.args)))
    if dtype is not None:
        group.dtypes.add(dtype)
    tolerance = max(_tolerance(case.args, precise), _ROUNDINGS * _rounding(rounded, precise))
    problem = _form_problem(exercise, precise, got)
    if not problem and case.finite_only:
        problem = _finite_problem(exercise, got)
    elif not problem:
        problem = _value_problem(exercise, precise, got, tolerance)
    group.observations.append(_Observation(case.label, case.args, None, tolerance, got, problem))

    if "types" in groups:
        names = _argument_names(exercise.reference)
        problem = _type_problem(rounded, got, case.args, names)
        groups["types"].observations.append(
            _Observation(case.label, case.args, None, tolerance, got, problem)
        )
    if "gradients" in groups and dtype == torch.float64 and not case.finite_only:
        cotangents = tuple(
            torch.randn(p.shape, generator=generator, dtype=torch.float64).to(p.device)
            for p in _as_tuple(precise)
        )
        expected = LocalCandidate(exercise.reference).run(_copy(case.args), cotangents)
        got = runner.run(_copy(case.args), cotangents)
        names = _argument_names(exercise.reference)
        names = [n for n, a in zip(names, case.args, strict=False) if _floats(a)]
        problem = _form_problem(exercise, precise, got) or _gradient_problem(
            names, expected.gradients, got, tolerance
        )
        groups["gradients"].dtypes.add(dtype)
        right = not (
            _form_problem(exercise, precise, got)
            or _value_problem(exercise, precise, got, tolerance)
        )
        groups["gradients"].observations.append(
            _Observation(case.label, case.args, cotangents, tolerance, got, problem, right=right)
        )


def _observe_device(
    exercise: Exercise, runner: Candidate, args: tuple[Any, ...], group: _Group
) -> None:
    """A call on torch's meta device, whose tensors have shapes and no numbers: what a function
    makes on the CPU instead of beside its inputs shows on a machine without a GPU, too."""
    meta = torch.device("meta")
    elsewhere = tuple(
        a.to(meta) if isinstance(a, Tensor) else meta if isinstance(a, torch.device) else a
        for a in args
    )
    if not any(isinstance(a, Tensor | torch.device) for a in elsewhere):
        return  # nothing asks for another device
    group.properties += 1
    expected = _as_tuple(_expected(exercise, elsewhere))
    got, sentence = runner.run(elsewhere), None
    if got.crash is not None:
        # Reading numbers fails there and is no fault; mixing devices is one.
        if re.search("(expected|same) device", got.crash.message):
            sentence = "a tensor made on the CPU meets inputs that are on another device"
            if got.crash.line:
                sentence += f", {_where(got.crash)}"
    elif any(
        isinstance(t, Tensor) and t.device != meta and wanted.device == meta
        for t, wanted in zip(_as_tuple(got.outputs), expected, strict=False)
    ):
        sentence = "the answer is on the CPU though the call asks for another device"
    if sentence:
        group.broken.append(("on another device", sentence))


def _observe_freshness(exercise: Exercise, runner: Candidate, case: Case, group: _Group) -> None:
    """A second call with the same tensors and new contents must not get the first call's answer,
    and must not change the answer that the first call returned."""
    tensors = [i for i, a in enumerate(case.args) if isinstance(a, Tensor) and a.numel() > 1]
    if not tensors:
        return
    args = _copy(case.args)
    before = runner.run(args)
    tolerance = _tolerance(case.args, _expected(exercise, _copy(case.args)))

    def problem_of(fresh: tuple[Any, ...], response: Response) -> list[str]:
        expected = _expected(exercise, fresh)
        return _form_problem(exercise, expected, response) or _value_problem(
            exercise, expected, response, tolerance
        )

    if problem_of(_copy(case.args), before) or not _same_values(case.args, before.args_after, 0.0):
        return  # the case itself has reported it
    kept = _copy(_as_tuple(before.outputs))
    # Where the reference answers with a view of its arguments, the answer follows them.
    of_reference = _as_tuple(exercise.reference(*args))
    storages = {storage(args[i]) for i in tensors}
    views = any(isinstance(t, Tensor) and storage(t) in storages for t in of_reference)
    for i in tensors:
        new = case.args[i].flip(0, -1) if case.args[i].ndim > 1 else case.args[i].flip(0)
        args[i].detach().copy_(new)  # it may have asked for a gradient
    fresh = _copy(args)
    after = runner.run(args)
    problem = problem_of(_copy(fresh), after)
    if problem:
        problem = [
            "called again with new numbers in the same tensors, it does not follow:",
            *problem,
        ]
    elif not views and not _same_values(kept, _as_tuple(runner.reread(before)), 0.0):
        problem = ["a second call changed the tensor that the first call had returned"]
    group.observations.append(_Observation("called twice", fresh, None, tolerance, after, problem))


def _test_properties(
    exercise: Exercise,
    runner: Candidate,
    groups: dict[str, _Group],
    generator: torch.Generator,
    device: torch.device,
) -> None:
    class Stop(Exception):
        pass

    for prop in exercise.properties:
        crashes = []

        def call(*args, crashes=crashes):
            response = runner.run(_copy(args))
            if response.crash is not None or not isinstance(response.outputs, Tensor):
                crashes.append(response.crash)
                raise Stop
            wanted = _expected(exercise, _copy(args))
            if response.outputs.shape != wanted.shape:  # to broadcast it may take all memory
                raise IndexError(f"{tuple(response.outputs.shape)} and not {tuple(wanted.shape)}")
            return response.outputs.detach()

        group = groups[prop.group]
        group.properties += 1
        try:
            sentence = prop.test(call, generator, device)
        except Stop:
            crash = crashes[0]
            sentence = f"it raised {crash.kind}" if crash else "it did not return a tensor"
        except (RuntimeError, IndexError) as error:  # an answer of another shape or type
            sentence = f"the answer cannot be compared: {str(error).partition(chr(10))[0]}"
        if sentence:
            group.broken.append((prop.label, sentence))


# What is wrong with an answer, in sentences.


def _crash_problem(crash: Crash) -> list[str]:
    lines = [f"{crash.kind}: {crash.message.splitlines()[0] if crash.message else '(no message)'}"]
    if crash.line:
        lines.append(_where(crash))
    return lines


def _where(crash: Crash) -> str:
    return f"in your {crash.function}, line {crash.number}:  {crash.line}"


def _raises_problem(wanted: type[Exception], got: Response) -> list[str]:
    if got.crash is None:
        return [f"expected {wanted.__name__}, but it returned an answer"]
    if wanted.__name__ not in got.crash.mro:
        return [f"expected {wanted.__name__}; it raised:", *_crash_problem(got.crash)]
    return []


def _form_problem(exercise: Exercise, expected: Any, got: Response) -> list[str]:
    """A crash, or an answer of another kind: something that no numbers can be compared with."""
    if got.crash is not None:
        return _crash_problem(got.crash)
    wanted, found = _as_tuple(expected), _as_tuple(got.outputs)
    if isinstance(expected, tuple) != isinstance(got.outputs, tuple) or len(wanted) != len(found):
        wish = "a tensor" if len(wanted) == 1 else f"{len(wanted)} tensors"
        return [f"expected {wish}, got {_describe(got.outputs)}"]
    for name, w, f in zip(exercise.outputs, wanted, found, strict=True):
        if problem := _tensor_form_problem(name, w, f):
            return problem
    return []


def _value_problem(exercise: Exercise, expected: Any, got: Response, tolerance: float) -> list[str]:
    triples = zip(exercise.outputs, _as_tuple(expected), _as_tuple(got.outputs), strict=True)
    problems = {name: _tensor_problem(name, w, f, tolerance) for name, w, f in triples}
    wrong = next((p for p in problems.values() if p), [])
    right = [name for name, problem in problems.items() if not problem]
    if wrong and right:
        return [*wrong, " and ".join(right) + (" is right" if len(right) == 1 else " are right")]
    return wrong


def _finite_problem(exercise: Exercise, got: Response) -> list[str]:
    for name, f in zip(exercise.outputs, _as_tuple(got.outputs), strict=True):
        if not f.isfinite().all():
            where = _index((~f.isfinite()).nonzero()[0])
            return [f"{name}{where} is {_number(f[~f.isfinite()][0])}; it must stay finite"]
    return []


def _tensor_form_problem(name: str, expected: Tensor, got: Any) -> list[str]:
    if not isinstance(got, Tensor):
        return [f"expected a tensor of shape {tuple(expected.shape)}, got {_describe(got)}"]
    if got.shape != expected.shape:
        return [f"expected {name} of shape {tuple(expected.shape)}, got {tuple(got.shape)}"]
    if got.is_complex():
        return [f"expected real numbers in {name}, got {got.dtype}"]
    if got.is_meta:
        return [f"expected numbers in {name}, got a tensor on the meta device, which has none"]
    return []


def _tensor_problem(name: str, expected: Tensor, got: Any, tolerance: float) -> list[str]:
    if problem := _tensor_form_problem(name, expected, got):
        return problem
    want, have = expected.detach().cpu().double(), got.detach().cpu().double()
    wrong = _wrong(want, have, tolerance)
    if wrong is None:
        return []
    number = _truth if expected.dtype == torch.bool else _number
    error = (have - want).abs() / (1 + want.abs())
    first = wrong.nonzero()[0]
    at = tuple(first.tolist())
    wished, came = number(want[at]), number(have[at])
    if wished == came:
        wished, came = (f"{float(x):.12g}" for x in (want[at], have[at]))
    lines = [f"expected {wished} in {name}{_place(first, want, have)}, got {came}"]
    largest = error.masked_fill(~wrong, -1).nan_to_num(-1).flatten().argmax()
    at_largest = torch.unravel_index(largest, error.shape) if error.ndim else ()
    peak = tuple(int(i) for i in at_largest)
    count = f"{int(wrong.sum())} of {wrong.numel()} entries differ"
    if error[peak] > 0 and peak != at and expected.dtype != torch.bool:
        count += (
            f"; the largest difference is {_number((have - want)[peak].abs())}, at "
            f"{name}{_index(peak)}: expected {_number(want[peak])}, got {_number(have[peak])}"
        )
    lines.append(count)
    if expected.dtype == torch.float64 and tolerance > 0 and error.nan_to_num(1).max() < 1e-6:
        lines.append(
            "right to single precision only: is there a float32 tensor in between (torch.tensor, "
            "torch.zeros, .float()), or a small constant that was added?"
        )
    return lines


def _wrong(want: Tensor, have: Tensor, tolerance: float) -> Tensor | None:
    """Where they differ by more than the tolerance; None if nowhere."""
    if torch.allclose(have, want, rtol=tolerance, atol=tolerance, equal_nan=True):
        return None
    error = (have - want).abs() / (1 + want.abs())
    wrong = ~((error <= tolerance) | (have == want) | (have.isnan() & want.isnan()))
    return wrong if wrong.any() else None


def _type_problem(
    expected: Any, got: Response, before: tuple[Any, ...], names: tuple[str, ...]
) -> list[str]:
    if got.crash is not None:
        return []  # counted where the values are
    for name, b, a in zip(names, before, got.args_after, strict=False):
        if isinstance(b, Tensor) and not _same_values((b,), (a,), 0.0):
            return [f"{name} was modified: the caller's tensor has other numbers now"]
    for w, f in zip(_as_tuple(expected), _as_tuple(got.outputs), strict=False):
        if not isinstance(f, Tensor):
            return []
        if f.dtype != w.dtype:
            inputs = {b.dtype for b in before if isinstance(b, Tensor)}
            why = ", as the inputs are" if w.dtype in inputs else ""
            return [f"expected an answer of {w.dtype}{why}; got {f.dtype}"]
        if f.device != w.device:
            return [f"expected the answer on {w.device}, where the inputs are; got {f.device}"]
    return []


def _gradient_problem(
    names: list[str],
    expected: tuple[Tensor | None, ...],
    got: Response,
    tolerance: float,
) -> list[str]:
    for name, w, g in zip(names, expected, got.gradients, strict=True):
        if w is None:
            continue
        if g is None:
            if w.any():
                return [
                    f"no gradient reaches {name}: "
                    "something between it and the answer left the graph (detach, numpy, .data?)"
                ]
            continue
        if problem := _tensor_problem(f"grad_{name}", w, g, tolerance):
            return problem
    return []


# Verdicts


def _verdict(exercise: Exercise, name: str, group: _Group, named: set[str]) -> Verdict:
    possible = exercise.points[name]
    failing = group.failing
    bad = len(failing) + len(group.broken)
    if not bad:
        return Verdict(name, possible, possible, _all_well(name, group))
    if failing:
        trap, shown = _matching_trap(exercise, name, group, named)
        related = None
        if trap is None and name in ("values", "edges"):
            related, shown = _matching_relation(exercise, group)
        worst = shown or failing[0]
        failure = Failure(
            label=worst.label,
            shapes=_shapes(_argument_names(exercise.reference), worst.args),
            sentences=_cut([*worst.problem, related] if related else worst.problem),
            trap=_trap_dict(trap),
        )
    else:
        label, sentence = group.broken[0]
        failure = Failure(label=label, shapes="", sentences=_cut([sentence]), trap=None)
    summary = f"{bad} of {group.size} cases fail; first: “{failure.label}”"
    return Verdict(name, 0, possible, summary, failure)


def _cut(sentences: list[str]) -> tuple[str, ...]:
    """Short enough to be read: an answer may have a million dimensions."""
    return tuple(s if len(s) <= _LONGEST else s[:_LONGEST] + " ..." for s in sentences)


def _all_well(name: str, group: _Group) -> str:
    tolerances = [d for d in TOLERANCE if d in group.dtypes]
    text = f"{group.size} cases"
    if name == "types":
        return f"{text}; kept, and no input modified"
    if tolerances:
        limits = (f"{_PRECISION[d]} to {TOLERANCE[d]:.0e}".replace("e-0", "e-") for d in tolerances)
        text += "; " + ", ".join(limits)
    return text


def _matching_trap(
    exercise: Exercise, name: str, group: _Group, named: set[str]
) -> tuple[Trap | None, _Observation | None]:
    """The trap that gives the candidate's answers on at least half of the failing cases, and the
    first of these.

    Where several do, the one that is like the candidate on the other cases too, and then the one
    that an earlier group has ``named``.
    """
    failing = [o for o in group.failing if not o.raises]

    def agreeing(
        function: Callable[..., Any], seen: list[_Observation], misses: int
    ) -> list[_Observation]:
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


def _matching_relation(exercise: Exercise, group: _Group) -> tuple[str | None, _Observation | None]:
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


def _relation(exercise: Exercise, seen: _Observation) -> str | None:
    def same(a: Tensor, b: Tensor) -> bool:
        return _same_values((a,), (b,), seen.tolerance)

    names = _argument_names(exercise.reference)
    expected = _as_tuple(_expected(exercise, _upcast(_copy(seen.args))))
    inputs = dict(zip(names, seen.args, strict=False))
    return relation(exercise.outputs, expected, seen.got.outputs, inputs, same)


def _behaves_like(function: Callable[..., Any], seen: _Observation, compare_types: bool) -> bool:
    theirs = LocalCandidate(function).run(_copy(seen.args), seen.cotangents)
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
    if not _same_values(_as_tuple(theirs.outputs), _as_tuple(got.outputs), tolerance):
        return False
    if seen.cotangents is not None and not _same_values(theirs.gradients, got.gradients, tolerance):
        return False
    if not compare_types:
        return True
    dtypes = [[getattr(t, "dtype", None) for t in _as_tuple(r.outputs)] for r in (theirs, got)]
    return dtypes[0] == dtypes[1] and _same_values(theirs.args_after, got.args_after, tolerance)


_LONGEST = 400
_ANY = sys.maxsize
_NOT_ALLOWED = "not allowed here"
_UNLIKE = "not the same work when it is counted"
_HIDDEN = "work that nobody can count"
_WITHHOLDING = {
    _NOT_ALLOWED: "the work is your own",
    _UNLIKE: "the work can be counted",
    _HIDDEN: "the work can be counted",
}


@dataclass
class _Count:
    """What a counted call breaks of the contract, and what it did."""

    args: tuple[Any, ...]
    sentences: list[str]
    did: str = ""
    hidden: bool = False
    """It did work that could not be counted."""
    unlike: bool = False
    """Its answer is wrong, though the other calls of the group ``values`` gave right ones."""
    forbidden: bool = False
    """It called what the exercise does not allow."""


def _twins(
    cases: list[Case],
    again: Iterable[Case],
    groups: dict[str, _Group],
    verdicts: dict[str, Verdict],
    generator: torch.Generator,
) -> list[tuple[tuple[Any, ...], tuple[Any, ...]]]:
    """Arguments of some cases that earned points, each with others of the same form."""
    earned = {name for name, v in verdicts.items() if v.passed}
    # Gradients may be right where the values are not: those are not asked for again.
    gradients = groups["gradients"].observations if "gradients" in earned else []
    right = {id(o.args) for o in gradients if o.right}
    plain = [
        (case.args, other.args)
        for case, other in zip(cases, again, strict=True)
        if not (case.raises or case.finite_only)
        and _dtype(case.args) in (None, torch.float64)
        and (case.group in earned or id(case.args) in right)
    ]
    drawn = [plain[i] for i in torch.randperm(len(plain), generator=generator).tolist()]
    # One of each form that a call may have: with a mask and without, say.
    forms = {tuple(type(a) for a in args): (args, others) for args, others in drawn}
    return list(forms.values())


def _contract_verdict(
    exercise: Exercise,
    runner: Candidate,
    contract: Contract,
    earlier: Contract,
    twins: Callable[[], list[tuple[tuple[Any, ...], tuple[Any, ...]]]],
    verdicts: dict[str, Verdict],
) -> Verdict:
    """The verdict on the contract, and in its label whether other points are to be withheld.

    Where the other calls gave the right values, the counted ones have to, too: otherwise they do
    other work. Who has failed the edge cases may honestly fail some of them (with a mask, say),
    but not all. Who has failed something has to do what earned the other points once more, counted:
    whoever could choose which cases to fail could otherwise choose what is not looked at.
    """
    right = verdicts["values"].passed
    whole = right and all(v.passed for name, v in verdicts.items() if name == "edges")
    counts = [
        _count(exercise, runner, contract, before, args, right, whole)
        for before, args in zip(earlier.calls, contract.calls, strict=True)
    ]
    unlike = [c.unlike for c in counts]
    other_work = all(unlike) or (whole and any(unlike))
    if contract.forbidden and not whole:
        free = replace(contract, max_flops=_ANY, max_written=_ANY, max_intermediate=_ANY)
        again = [_count(exercise, runner, free, *twin, True, True) for twin in twins()]
        other_work = other_work or any(c.unlike for c in again)
        counts = [c for c in again if c.unlike or c.hidden or c.forbidden] + counts
    possible = exercise.points["contracts"]
    broken = next((c for c in counts if c.sentences), None)
    if broken is None:
        return Verdict("contracts", possible, possible, counts[0].did)
    label = "work of one call"
    if used := next((c for c in counts if c.forbidden), None):
        broken, label = used, _NOT_ALLOWED
    elif contract.forbidden and (hidden := next((c for c in counts if c.hidden), None)):
        broken, label = hidden, _HIDDEN
    elif contract.forbidden and other_work:
        broken, label = next(c for c in counts if c.unlike), _UNLIKE
    failure = Failure(
        label=label,
        shapes=_shapes(_argument_names(exercise.reference), broken.args),
        sentences=_cut(broken.sentences),
        trap=None,
    )
    return Verdict("contracts", 0, possible, failure.label, failure)


def _count(
    exercise: Exercise,
    runner: Candidate,
    contract: Contract,
    before: tuple[Any, ...],
    args: tuple[Any, ...],
    right: bool,
    whole: bool,
) -> _Count:
    """Count the call with ``args``.

    ``before``: arguments like these, with other numbers, of a call that is not counted.
    """
    no_autograd = "autograd" in contract.forbidden
    runner.run(_copy(before))  # an answer kept from that call is the answer to other numbers
    response = runner.run(_copy(args), count=True, forbid_autograd=no_autograd)
    cost, sentences = response.cost, []
    if response.crash is not None:
        if no_autograd and "saved tensor hooks" in response.crash.message:
            return _Count(args, [contract.forbidden["autograd"]], forbidden=True)
        return _Count(args, _crash_problem(response.crash), unlike=right)
    for part, sentence in contract.forbidden.items():
        if any(part in name for name in cost.called) and sentence not in sentences:
            sentences.append(sentence)
    forbidden = bool(sentences)
    if cost.uncountable and not sentences:  # what is forbidden is said already
        sentences.append(
            f"{cost.uncountable} is called, and the check does not know how much work that is: "
            "write it with products, sums and elementwise operations"
        )
    if cost.outside:
        sentences.append(f"work outside torch: {cost.outside}")
        if contract.forbidden and cost.unseen:
            sentences.append("whether it is work that is not allowed here, nobody can see")
    if cost.flops > contract.max_flops:
        sentences.append(
            f"{cost.flops:,} FLOPs in {cost.products} matrix products; "
            f"{contract.max_flops:,} are enough"
        )
    if cost.largest > contract.max_intermediate:
        sentences.append(
            f"an intermediate tensor of shape {cost.largest_shape}, {cost.largest:,} elements; "
            f"{contract.max_intermediate:,} are enough"
        )
    if cost.written > contract.max_written:
        sentences.append(
            f"{cost.written:,} elements written by all operations together; "
            f"{contract.max_written:,} are enough"
        )
    unlike = []
    if right:
        expected = _expected(exercise, _copy(args))
        tolerance = _tolerance(args, expected)
        unlike = _form_problem(exercise, expected, response) or _value_problem(
            exercise, expected, response, tolerance
        )
        if unlike and whole:
            sentences += ["when its work is counted, the call answers otherwise:", *unlike]
        elif unlike:
            sentences += ["the call whose work is counted gives a wrong answer:", *unlike]
    products = f"{cost.products} matrix product" + "s" * (cost.products != 1)
    did = f"{products}, {cost.flops:,} FLOPs; largest tensor {cost.largest:,} elements"
    hidden = bool(cost.uncountable or cost.unseen)
    return _Count(args, sentences, did, hidden, bool(unlike), forbidden)


# Small helpers


@contextmanager
def _one_thread():
    """The cases are tiny: waking a second thread costs more than their arithmetic."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _copy(args: tuple[Any, ...]) -> tuple[Any, ...]:
    # `clone` keeps strides, so a non-contiguous input stays one.
    return tuple(a.detach().clone() if isinstance(a, Tensor) else a for a in args)


def _upcast(args: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(a.double() if _floats(a) else a for a in args)


def _floats(arg: Any) -> bool:
    return isinstance(arg, Tensor) and arg.is_floating_point()


def _dtype(args: tuple[Any, ...]) -> torch.dtype | None:
    return next((a.dtype for a in args if _floats(a)), None)


def _expected(exercise: Exercise, args: tuple[Any, ...]) -> Any:
    return plain(exercise.reference(*args))


def _tolerance(args: tuple[Any, ...], expected: Any) -> float:
    """By the dtype of the inputs, or of the answer where no input is a floating-point tensor."""
    dtype = _dtype(args) or _dtype(_as_tuple(expected))
    return TOLERANCE.get(dtype, 0.0)


def _rounding(rounded: Any, precise: Any) -> float:
    """Largest |rounded - precise| / (1 + |precise|), where both are finite."""
    largest = 0.0
    for r, p in zip(_as_tuple(rounded), _as_tuple(precise), strict=True):
        if r is not p and _floats(r):
            error = (r.double() - p).abs() / (1 + p.abs())
            finite = error[error.isfinite()]
            largest = max(largest, float(finite.max()) if finite.numel() else 0.0)
    return largest


def _as_tuple(outputs: Any) -> tuple[Any, ...]:
    return outputs if isinstance(outputs, tuple) else (outputs,)


def _same_values(a: tuple[Any, ...], b: tuple[Any, ...], tolerance: float) -> bool:
    if len(a) != len(b):
        return False
    for x, y in zip(a, b, strict=True):
        if isinstance(x, Tensor) != isinstance(y, Tensor):
            return False
        if isinstance(x, Tensor):
            if x.shape != y.shape or x.is_complex() != y.is_complex():
                return False
            if _tensor_form_problem("", x, y):
                return False
            both = (t.detach().cpu().double() for t in (x, y))
            if _wrong(*both, tolerance) is not None:
                return False
        elif x != y:
            return False
    return True


@cache
def _argument_names(function: Callable[..., Any]) -> tuple[str, ...]:
    return tuple(inspect.signature(function).parameters)


def _shapes(names: tuple[str, ...], args: tuple[Any, ...]) -> str:
    def one(name, arg):
        if isinstance(arg, Tensor):
            dtype = "" if arg.dtype in (torch.float64, torch.bool) else f" {arg.dtype}"[6:]
            return f"{name} {tuple(arg.shape)}" + (f" {dtype.strip('.')}" if dtype else "")
        return f"{name}={arg}"

    return "   ".join(one(n, a) for n, a in zip(names, args, strict=False) if a is not None)


def _describe(value: Any) -> str:
    if isinstance(value, Unreadable):
        return value.description
    if isinstance(value, Tensor):
        return f"one tensor of shape {tuple(value.shape)}"
    if len(value) == 1:
        return "a tuple or list of 1 (a comma at the end of the return?)"
    return f"a tuple or list of {len(value)}"


def _number(x: Tensor) -> str:
    return f"{float(x):.4g}"


def _truth(x: Tensor) -> str:
    return {0.0: "False", 1.0: "True"}.get(float(x), _number(x))


def _index(index: Iterable[int]) -> str:
    return "[" + ", ".join(str(int(i)) for i in index) + "]" if len(tuple(index)) else ""


def _place(index: Tensor, want: Tensor, have: Tensor) -> str:
    """[0, 1, 3], or [0, 1, :] where the whole row is one wrong number."""
    if not index.numel():
        return ""
    row = tuple(index[:-1].tolist())
    one = all(r.nan_to_num(torch.inf).unique().numel() == 1 for r in (want[row], have[row]))
    if one and want[row].numel() > 1:
        return _index(row)[:-1] + (", :]" if row else ":]") if row else "[:]"
    return _index(index)


def _trap_dict(trap: Trap | None) -> dict[str, str] | None:
    if trap is None:
        return None
    return {"name": trap.name, "misconception": trap.misconception, "section": trap.section}
