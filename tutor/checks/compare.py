"""A trace against the right one: what is wrong with it, in sentences."""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from tutor.checks.exercise import Case, Exercise
from tutor.checks.response import CHANGED, Crash, Response, Unreadable
from tutor.checks.sequences import Listed, kind_problem
from tutor.checks.sequences import form_problem as listed_form_problem
from tutor.checks.tensors import (
    describe,
    index,
    number,
    same_values,
    tensor_form_problem,
    tensor_problem,
)
from tutor.checks.trace import (
    Trace,
    as_tuple,
    dtype_of,
    floats,
    output_names,
    place,
    value_names,
)
from tutor.checks.widened import Place

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
_CANCELLED = 16
"""Roundings that add up in one entry of a gradient: it is a sum of many products."""


@dataclass(frozen=True)
class Problem:
    """What is wrong with an answer; false if nothing is."""

    sentences: list[str] = field(default_factory=list)
    step: int = 0
    """Of the calls of the case, the first that is not right."""
    modified: str = ""
    """The argument that has other numbers after the call, where that is what is wrong."""

    def __bool__(self) -> bool:
        return bool(self.sentences)


NONE = Problem()


def _crash_sentences(crash: Crash) -> list[str]:
    lines = [f"{crash.kind}: {crash.message.splitlines()[0] if crash.message else '(no message)'}"]
    if crash.line:
        lines.append(where(crash))
    return lines


def crash_problem(exercise: Exercise, case: Case, got: Trace) -> Problem:
    """Of a trace that has crashed."""
    step = len(got.responses) - 1
    return _placed(exercise, case, step, _crash_sentences(got.responses[step].crash))


def where(place: Crash | Place) -> str:
    return f"in your {place.function}, line {place.number}:  {place.line}"


def raises_problem(exercise: Exercise, case: Case, got: Trace) -> Problem:
    """Of a case whose last call must raise."""
    step, last = len(got.responses) - 1, got.responses[-1]
    if step < len(case.calls):  # an earlier one did
        return crash_problem(exercise, case, got)
    if last.crash is None:
        said = [f"expected {case.raises.__name__}, but it returned an answer"]
    elif case.raises.__name__ not in last.crash.mro:
        said = [f"expected {case.raises.__name__}; it raised:", *_crash_sentences(last.crash)]
    else:
        return NONE
    return _placed(exercise, case, step, said)


def form_problem(exercise: Exercise, case: Case, expected: Trace, got: Trace) -> Problem:
    """A crash, or an answer of another kind: something that no numbers can be compared with."""
    for step, response in enumerate(got.responses):
        said = _form(exercise, case, step, expected, response)
        if said:
            return _placed(exercise, case, step, said)
    return NONE


def answer_problem(
    exercise: Exercise,
    case: Case,
    expected: Trace,
    got: Trace,
    tolerance: float,
    finite_only: bool = False,
) -> Problem:
    """The first call that does not answer as it should, or leave the state that it should."""
    for step, response in enumerate(got.responses):
        said = _form(exercise, case, step, expected, response)
        if not said:
            outputs = _outputs(exercise, case, step, expected, response)
            state = _state(exercise, step, expected, response)
            said = _infinite(outputs) if finite_only else _values([*outputs, *state], tolerance)
        if said:
            return _placed(exercise, case, step, said)
    return _later_problem(exercise, case, expected, got)


def _placed(exercise: Exercise, case: Case, step: int, said: list[str]) -> Problem:
    first, *rest = said
    return Problem([place(exercise, case, step) + first, *rest], step)


def _outputs(
    exercise: Exercise, case: Case, step: int, expected: Trace, got: Response
) -> list[tuple[str, Tensor, Any]]:
    """Name, right tensor and answer, of all that a call returns."""
    right = expected.responses[step].outputs
    if isinstance(right, Unreadable):  # None: nothing is asked
        return []
    names = output_names(exercise, case, step)
    return list(zip(names, as_tuple(right), as_tuple(got.outputs), strict=False))


def _state(
    exercise: Exercise, step: int, expected: Trace, got: Response
) -> list[tuple[str, Tensor, Any]]:
    """The same of all that it leaves."""
    return list(zip(exercise.state, expected.responses[step].state, got.state, strict=True))


def _form(
    exercise: Exercise, case: Case, step: int, expected: Trace, response: Response
) -> list[str]:
    if response.crash is not None:
        return _crash_sentences(response.crash)
    right = expected.responses[step].outputs
    if isinstance(right, Listed):
        return listed_form_problem(right, response.outputs, _items_of)
    wanted, found = as_tuple(right), as_tuple(response.outputs)
    other_kind = isinstance(right, tuple) != isinstance(response.outputs, tuple)
    if not isinstance(right, Unreadable) and (other_kind or len(wanted) != len(found)):
        wish = "a tensor" if len(wanted) == 1 else f"{len(wanted)} tensors"
        return [f"expected {wish}, got {describe(response.outputs)}"]
    for name, w, f in _outputs(exercise, case, step, expected, response):
        if problem := tensor_form_problem(name, w, f):
            return problem
    for name, w, f in _state(exercise, step, expected, response):
        if isinstance(f, Crash):
            first, *rest = _crash_sentences(f)
            return [f"{name} cannot be read: {first}", *rest]
        if problem := tensor_form_problem(name, w, f):
            return problem if isinstance(f, Tensor) else [f"{name}: {problem[0]}"]
    return []


def _items_of(got: Any) -> str:
    """What was returned in the place of a sequence; of a list of what is none of its items, also
    the first of these."""
    told = describe(got)
    if not isinstance(got, tuple) or not got:
        return told
    first = got[0]
    if isinstance(first, Tensor):
        kind = "a tensor" if first.ndim else f"of {first.dtype}"
        return f"{told}, whose first item is {kind}"
    return f"{told}, whose first item is {describe(first)}"


def _values(pairs: list[tuple[str, Tensor, Any]], tolerance: float) -> list[str]:
    problems = {name: tensor_problem(name, w, f, tolerance) for name, w, f in pairs}
    wrong = next((p for p in problems.values() if p), [])
    right = [name for name, problem in problems.items() if not problem]
    if wrong and right:
        *others, last = right
        told = f"{', '.join(others)} and {last} are right" if others else f"{last} is right"
        return [*wrong, told]
    return wrong


def _infinite(outputs: list[tuple[str, Tensor, Any]]) -> list[str]:
    for name, _, f in outputs:
        if not f.isfinite().all():
            where = index((~f.isfinite()).nonzero()[0])
            return [f"{name}{where} is {number(f[~f.isfinite()][0])}; it must stay finite"]
    return []


def _later_problem(exercise: Exercise, case: Case, expected: Trace, got: Trace) -> Problem:
    """An answer that has changed since, where the reference's has not."""
    for step, (right, now) in enumerate(zip(expected.later, got.later, strict=False)):
        mine, theirs = expected.responses[step].outputs, got.responses[step].outputs
        asked = not isinstance(mine, Unreadable)
        steady = asked and same_values(as_tuple(mine), as_tuple(right), 0.0)
        if steady and not same_values(as_tuple(theirs), as_tuple(now), 0.0):
            said = "a later call changed the tensor that it had returned"
            return _placed(exercise, case, step, [said])
    return NONE


def type_problem(exercise: Exercise, case: Case, expected: Trace, got: Trace) -> Problem:
    """``expected``: the reference's, in the case's own dtypes."""
    if got.crashed:
        return NONE  # counted where the values are
    for i, (b, a) in enumerate(zip(expected.args_after, got.args_after, strict=False)):
        if isinstance(b, Tensor) and not same_values((b,), (a,), 0.0):
            at, name = value_names(exercise, case)[i]
            what = "other numbers" if b.shape == a.shape else f"the shape {tuple(a.shape)}"
            said = f"{at}{name} was modified: the caller's tensor has {what} now"
            return Problem([said], modified=name)
        if a is CHANGED:
            at, name = value_names(exercise, case)[i]
            said = f"{at}{name} was modified: the caller's {type(b).__name__} holds something else"
            return Problem([said + " now"], modified=name)
    for step, response in enumerate(got.responses):
        outputs = _outputs(exercise, case, step, expected, response)
        state = _state(exercise, step, expected, response)
        for name, w, f in (*(("", w, f) for _, w, f in outputs), *state):
            if isinstance(w, Listed):
                if said := kind_problem(w, f):
                    return _placed(exercise, case, step, [said])
                continue
            if not isinstance(f, Tensor):
                return NONE
            if said := _type_sentence(name, w, f, case):
                return _placed(exercise, case, step, [said])
    return NONE


def _type_sentence(name: str, wanted: Tensor, found: Tensor, case: Case) -> str | None:
    if found.dtype != wanted.dtype:
        inputs = {v.dtype for v in case.values() if isinstance(v, Tensor)}
        why = ", as the inputs are" if wanted.dtype in inputs else ""
        return f"expected {name or 'an answer'} of {wanted.dtype}{why}; got {found.dtype}"
    if found.device != wanted.device:
        where = f"{wanted.device}, where the inputs are"
        return f"expected {name or 'the answer'} on {where}; got {found.device}"
    return None


def gradient_problem(
    exercise: Exercise, case: Case, expected: Trace, got: Trace, tolerance: float
) -> Problem:
    """Of floating-point arguments, and of the parts of the state that the reference asks for."""
    lost = rounding_of_gradients(case, expected)
    for i, (w, g) in enumerate(zip(expected.gradients, got.gradients, strict=True)):
        if w is None or (g is None and not w.any()):
            continue
        g = near(w, g, lost)
        if same_values((w,), (g,), tolerance):
            continue
        at, name = _leaf_names(exercise, case)[i]
        if g is None:
            said = "something between it and the answer left the graph (detach, numpy, .data?)"
            return Problem([f"{at}no gradient reaches {name}: {said}"])
        first, *rest = tensor_problem(f"grad_{name}", w, g, tolerance)
        return Problem([at + first, *rest])
    return NONE


def rounding_of_gradients(case: Case, expected: Trace) -> float:
    """What rounding may leave in a gradient in double, however small it is itself.

    On the way back an input meets what has become of another in a product, as the tokens meet the
    keys in the gradient of self-attention's weights. Where a softmax has decided, terms as large as
    that cancel, and what is left of them is an error of the products' size and not of the sum's.
    """
    numbers = (v.abs().max() for v in case.values() if floats(v) and v.numel())
    gradients = (g.abs().max() for g in expected.gradients if g is not None and g.numel())
    size = float(max(numbers, default=0.0)) * float(max(gradients, default=0.0))
    return _CANCELLED * torch.finfo(torch.float64).eps * size


def magnitude(case: Case) -> float:
    """How much more a gradient may be off where inputs are large: what cancels in it is, too."""
    largest = (float(v.abs().max()) for v in case.values() if floats(v) and v.numel())
    return max([1.0, *(number / 100 for number in largest)])


def near(wanted: Tensor | None, found: Tensor | None, lost: float) -> Tensor | None:
    """``found``, but ``wanted`` where it is no farther away than rounding takes it."""
    if wanted is None or found is None or found.shape != wanted.shape:
        return found
    return torch.where((found - wanted).abs() <= lost, wanted, found)


def wrong_gradients(
    exercise: Exercise, case: Case, expected: Trace, got: Trace, tolerance: float
) -> Problem:
    """Of gradients, or of an answer that has none."""
    form = form_problem(exercise, case, expected, got)
    return form or gradient_problem(exercise, case, expected, got, tolerance)


def _leaf_names(exercise: Exercise, case: Case) -> list[tuple[str, str]]:
    named = zip(value_names(exercise, case), case.values(), strict=False)
    return [name for name, v in named if floats(v)] + [("", name) for name in exercise.state]


def tolerance_of(case: Case, expected: Trace) -> float:
    """By the dtype of the inputs, or of the answer where no input is a floating-point tensor."""
    dtype = dtype_of(case)
    if dtype is None:
        dtype = next((t.dtype for t in expected.tensors() if floats(t)), None)
    return TOLERANCE.get(dtype, 0.0)


def allowed(case: Case, rounded: Trace, precise: Trace) -> float:
    """The tolerance, or more where the reference itself loses more: ``rounded``, computed in the
    inputs' dtype, and ``precise``, in double precision."""
    return max(tolerance_of(case, precise), _ROUNDINGS * _rounding(rounded, precise))


def single(rounded: Trace, precise: Trace) -> float:
    """The tolerance of single precision: ``rounded``, computed in it."""
    return max(TOLERANCE[torch.float32], _ROUNDINGS * _rounding(rounded, precise))


def _all_of(trace: Trace) -> list[Any]:
    return [*trace.tensors(), *(trace.gradients or ())]


def _rounding(rounded: Trace, precise: Trace) -> float:
    """Largest |rounded - precise| / (1 + |precise|), where both are finite."""
    largest = 0.0
    pairs = zip(_all_of(rounded), _all_of(precise), strict=True)
    for r, p in ((r, p) for r, p in pairs if r is not p and floats(r) and floats(p)):
        error = (r.detach().double() - p.detach()).abs() / (1 + p.detach().abs())
        finite = error[error.isfinite()]
        largest = max(largest, float(finite.max()) if finite.numel() else 0.0)
    return largest
