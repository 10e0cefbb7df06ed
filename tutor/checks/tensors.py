"""Two tensors: where they differ, in sentences."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from tutor.checks.response import Unreadable


def tensor_form_problem(name: str, expected: Tensor, got: Any) -> list[str]:
    if not isinstance(got, Tensor):
        return [f"expected a tensor of shape {tuple(expected.shape)}, got {describe(got)}"]
    if got.shape != expected.shape:
        return [f"expected {name} of shape {tuple(expected.shape)}, got {tuple(got.shape)}"]
    if got.is_complex():
        return [f"expected real numbers in {name}, got {got.dtype}"]
    if got.is_meta:
        return [f"expected numbers in {name}, got a tensor on the meta device, which has none"]
    return []


def tensor_problem(name: str, expected: Tensor, got: Any, tolerance: float) -> list[str]:
    if problem := tensor_form_problem(name, expected, got):
        return problem
    want, have = expected.detach().cpu().double(), got.detach().cpu().double()
    wrong = _wrong(want, have, tolerance)
    if wrong is None:
        return []
    told = _truth if expected.dtype == torch.bool else number
    error = (have - want).abs() / (1 + want.abs())
    first = wrong.nonzero()[0]
    at = tuple(first.tolist())
    wished, came = told(want[at]), told(have[at])
    if wished == came:
        wished, came = (f"{float(x):.12g}" for x in (want[at], have[at]))
    lines = [f"expected {wished} in {name}{_place(first, want, have)}, got {came}"]
    largest = error.masked_fill(~wrong, -1).nan_to_num(-1).flatten().argmax()
    at_largest = torch.unravel_index(largest, error.shape) if error.ndim else ()
    peak = tuple(int(i) for i in at_largest)
    count = f"{int(wrong.sum())} of {wrong.numel()} entries differ"
    if error[peak] > 0 and peak != at and expected.dtype != torch.bool:
        count += (
            f"; the largest difference is {number((have - want)[peak].abs())}, at "
            f"{name}{index(peak)}: expected {number(want[peak])}, got {number(have[peak])}"
        )
    lines.append(count)
    if expected.dtype == torch.float64 and tolerance > 0 and error.nan_to_num(1).max() < 1e-6:
        lines.append(
            "right to single precision only: was a small constant added, or is a number on the way "
            "rounded (numpy's float32, a short constant)?"
        )
    return lines


def _wrong(want: Tensor, have: Tensor, tolerance: float) -> Tensor | None:
    """Where they differ by more than the tolerance; None if nowhere."""
    if torch.allclose(have, want, rtol=tolerance, atol=tolerance, equal_nan=True):
        return None
    error = (have - want).abs() / (1 + want.abs())
    wrong = ~((error <= tolerance) | (have == want) | (have.isnan() & want.isnan()))
    return wrong if wrong.any() else None


def same_values(a: tuple[Any, ...], b: tuple[Any, ...], tolerance: float) -> bool:
    if len(a) != len(b):
        return False
    for x, y in zip(a, b, strict=True):
        if isinstance(x, Tensor) != isinstance(y, Tensor):
            return False
        if isinstance(x, Tensor):
            if x.shape != y.shape or x.is_complex() != y.is_complex():
                return False
            if tensor_form_problem("", x, y):
                return False
            both = (t.detach().cpu().double() for t in (x, y))
            if _wrong(*both, tolerance) is not None:
                return False
        elif x != y:
            return False
    return True


def describe(value: Any) -> str:
    if isinstance(value, Unreadable):
        return value.description
    if isinstance(value, Tensor):
        return f"one tensor of shape {tuple(value.shape)}"
    if len(value) == 1:
        return "a tuple or list of 1 (a comma at the end of the return?)"
    return f"a tuple or list of {len(value)}"


def number(x: Tensor) -> str:
    return f"{float(x):.4g}"


def _truth(x: Tensor) -> str:
    return {0.0: "False", 1.0: "True"}.get(float(x), number(x))


def index(place: Iterable[int]) -> str:
    return "[" + ", ".join(str(int(i)) for i in place) + "]" if len(tuple(place)) else ""


def _place(first: Tensor, want: Tensor, have: Tensor) -> str:
    """[0, 1, 3], or [0, 1, :] where the whole row is one wrong number."""
    if not first.numel():
        return ""
    row = tuple(first[:-1].tolist())
    one = all(r.nan_to_num(torch.inf).unique().numel() == 1 for r in (want[row], have[row]))
    if one and want[row].numel() > 1:
        return index(row)[:-1] + (", :]" if row else ":]") if row else "[:]"
    return index(first)
