"""An answer against the right one: what is wrong with it, in sentences."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from tutor.checks.candidate import Crash, Response, Unreadable
from tutor.checks.exercise import Exercise
from tutor.checks.observation import as_tuple, dtype_of, floats

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


def crash_problem(crash: Crash) -> list[str]:
    lines = [f"{crash.kind}: {crash.message.splitlines()[0] if crash.message else '(no message)'}"]
    if crash.line:
        lines.append(where(crash))
    return lines


def where(crash: Crash) -> str:
    return f"in your {crash.function}, line {crash.number}:  {crash.line}"


def raises_problem(wanted: type[Exception], got: Response) -> list[str]:
    if got.crash is None:
        return [f"expected {wanted.__name__}, but it returned an answer"]
    if wanted.__name__ not in got.crash.mro:
        return [f"expected {wanted.__name__}; it raised:", *crash_problem(got.crash)]
    return []


def form_problem(exercise: Exercise, expected: Any, got: Response) -> list[str]:
    """A crash, or an answer of another kind: something that no numbers can be compared with."""
    if got.crash is not None:
        return crash_problem(got.crash)
    wanted, found = as_tuple(expected), as_tuple(got.outputs)
    if isinstance(expected, tuple) != isinstance(got.outputs, tuple) or len(wanted) != len(found):
        wish = "a tensor" if len(wanted) == 1 else f"{len(wanted)} tensors"
        return [f"expected {wish}, got {_describe(got.outputs)}"]
    for name, w, f in zip(exercise.outputs, wanted, found, strict=True):
        if problem := _tensor_form_problem(name, w, f):
            return problem
    return []


def value_problem(exercise: Exercise, expected: Any, got: Response, tolerance: float) -> list[str]:
    triples = zip(exercise.outputs, as_tuple(expected), as_tuple(got.outputs), strict=True)
    problems = {name: _tensor_problem(name, w, f, tolerance) for name, w, f in triples}
    wrong = next((p for p in problems.values() if p), [])
    right = [name for name, problem in problems.items() if not problem]
    if wrong and right:
        return [*wrong, " and ".join(right) + (" is right" if len(right) == 1 else " are right")]
    return wrong


def finite_problem(exercise: Exercise, got: Response) -> list[str]:
    for name, f in zip(exercise.outputs, as_tuple(got.outputs), strict=True):
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


def type_problem(
    expected: Any, got: Response, before: tuple[Any, ...], names: tuple[str, ...]
) -> list[str]:
    if got.crash is not None:
        return []  # counted where the values are
    for name, b, a in zip(names, before, got.args_after, strict=False):
        if isinstance(b, Tensor) and not same_values((b,), (a,), 0.0):
            return [f"{name} was modified: the caller's tensor has other numbers now"]
    for w, f in zip(as_tuple(expected), as_tuple(got.outputs), strict=False):
        if not isinstance(f, Tensor):
            return []
        if f.dtype != w.dtype:
            inputs = {b.dtype for b in before if isinstance(b, Tensor)}
            why = ", as the inputs are" if w.dtype in inputs else ""
            return [f"expected an answer of {w.dtype}{why}; got {f.dtype}"]
        if f.device != w.device:
            return [f"expected the answer on {w.device}, where the inputs are; got {f.device}"]
    return []


def gradient_problem(
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


def tolerance_of(args: tuple[Any, ...], expected: Any) -> float:
    """By the dtype of the inputs, or of the answer where no input is a floating-point tensor."""
    dtype = dtype_of(args) or dtype_of(as_tuple(expected))
    return TOLERANCE.get(dtype, 0.0)


def allowed(args: tuple[Any, ...], rounded: Any, precise: Any) -> float:
    """The tolerance, or more where the reference itself loses more: ``rounded``, computed in the
    inputs' dtype, and ``precise``, in double precision."""
    return max(tolerance_of(args, precise), _ROUNDINGS * _rounding(rounded, precise))


def _rounding(rounded: Any, precise: Any) -> float:
    """Largest |rounded - precise| / (1 + |precise|), where both are finite."""
    largest = 0.0
    for r, p in zip(as_tuple(rounded), as_tuple(precise), strict=True):
        if r is not p and floats(r):
            error = (r.double() - p).abs() / (1 + p.abs())
            finite = error[error.isfinite()]
            largest = max(largest, float(finite.max()) if finite.numel() else 0.0)
    return largest


def same_values(a: tuple[Any, ...], b: tuple[Any, ...], tolerance: float) -> bool:
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
