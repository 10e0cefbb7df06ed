"""Two tensors: where they differ, in sentences."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tutor.checks import sequences
from tutor.checks.response import Unreadable
from tutor.checks.sequences import Listed, as_listed


def tensor_form_problem(name: str, expected: Tensor | Listed, got: Any) -> list[str]:
    if isinstance(expected, Listed):
        return sequences.form_problem(expected, got, describe)
    if not isinstance(got, Tensor):
        return [f"expected a tensor of shape {tuple(expected.shape)}, got {describe(got)}"]
    if got.shape != expected.shape:
        return [f"expected {name} of shape {tuple(expected.shape)}, got {tuple(got.shape)}"]
    if got.is_complex():
        return [f"expected real numbers in {name}, got {got.dtype}"]
    if got.is_meta:
        return [f"expected numbers in {name}, got a tensor on the meta device, which has none"]
    return []


def tensor_problem(name: str, expected: Tensor | Listed, got: Any, tolerance: float) -> list[str]:
    if problem := tensor_form_problem(name, expected, got):
        return problem
    if isinstance(expected, Listed):
        return sequences.problem(name, expected, got)
    wrong = _wrong(expected, got, tolerance)
    if wrong is None:
        return []
    # numpy's calls take a third of torch's, and a wrong answer is put into words in every case.
    want, have = (t.detach().cpu().double().resolve_neg().numpy() for t in (expected, got))
    wrong, whole = wrong.numpy(), _whole(expected) and _whole(got)
    told = _truth if expected.dtype == torch.bool else number
    with np.errstate(all="ignore"):
        difference = np.abs(have - want)
        error = difference / (1 + np.abs(want))
    at = tuple(np.argwhere(wrong)[0].tolist())
    wished, came = told(want[at]), told(have[at])
    if whole:
        wished, came = (str(int(t[at])) for t in (expected, got))
    elif wished == came:
        wished, came = (f"{float(x):.12g}" for x in (want[at], have[at]))
    lines = [f"expected {wished} in {name}{_place(at, want, have)}, got {came}"]
    largest = np.nan_to_num(np.where(wrong, error, -1.0), nan=-1.0).argmax()
    peak = tuple(int(i) for i in np.unravel_index(largest, error.shape))
    count = f"{int(wrong.sum())} of {wrong.size} entries differ"
    if error[peak] > 0 and peak != at and expected.dtype != torch.bool:
        count += (
            f"; the largest difference is {number(difference[peak])}, at "
            f"{name}{index(peak)}: expected {number(want[peak])}, got {number(have[peak])}"
        )
    lines.append(count)
    if (
        expected.dtype == torch.float64
        and tolerance > 0
        and np.nan_to_num(error, nan=1.0).max() < 1e-6
    ):
        lines.append(
            "right to single precision only: was a small constant added, is a number on the way "
            "rounded (numpy's float32, a short constant), or are two large ones subtracted?"
        )
    return lines


def _wrong(expected: Tensor, got: Tensor, tolerance: float) -> Tensor | None:
    """Where they differ, numbers of floating point by more than the tolerance; None if nowhere."""
    want, have = expected.detach().cpu(), got.detach().cpu()
    if _whole(want) and _whole(have):  # exactly: double precision counts to 2^53
        wrong = want.long() != have.long()
        return wrong if wrong.any() else None
    want, have = want.double(), have.double()
    if _close(want, have, tolerance):
        return None
    error = (have - want).abs() / (1 + want.abs())
    wrong = ~((error <= tolerance) | (have == want) | (have.isnan() & want.isnan()))
    return wrong if wrong.any() else None


def _close(want: Tensor, have: Tensor, tolerance: float) -> bool:
    """``torch.allclose`` with NaN equal to NaN, sooner where all are finite."""
    w, h = (t.resolve_neg().numpy() for t in (want, have))
    with np.errstate(all="ignore"):
        difference = np.abs(h - w)
        near = difference <= tolerance + np.abs(tolerance * w)
    if near.all() and np.isfinite(difference).all():
        return True
    return torch.allclose(have, want, rtol=tolerance, atol=tolerance, equal_nan=True)


def _whole(t: Tensor) -> bool:
    return not (t.is_floating_point() or t.is_complex() or t.dtype == torch.bool)


def same_values(a: tuple[Any, ...], b: tuple[Any, ...], tolerance: float) -> bool:
    if len(a) != len(b):
        return False
    for x, y in zip(a, b, strict=True):
        if isinstance(x, Listed) or isinstance(y, Listed):
            x, y = as_listed(x), as_listed(y)
            if not (isinstance(x, Listed) and isinstance(y, Listed) and x.same(y)):
                return False
            continue
        if isinstance(x, Tensor) != isinstance(y, Tensor):
            return False
        if isinstance(x, Tensor):
            if x.shape != y.shape or x.is_complex() != y.is_complex():
                return False
            if tensor_form_problem("", x, y):
                return False
            if x.dtype == y.dtype and x.device == y.device and torch.equal(x, y):
                continue  # what was not changed, as most arguments
            if _wrong(x, y, tolerance) is not None:
                return False
        elif x != y:
            return False
    return True


def describe(value: Any) -> str:
    if isinstance(value, Unreadable):
        return value.description
    if isinstance(value, Tensor):
        return f"one tensor of shape {tuple(value.shape)}"
    if isinstance(value, Listed):
        return value.words
    if len(value) == 1:
        return "a tuple or list of 1 (a comma at the end of the return?)"
    return f"a tuple or list of {len(value)}"


def number(x: float) -> str:
    return f"{float(x):.4g}"


def _truth(x: float) -> str:
    return {0.0: "False", 1.0: "True"}.get(float(x), number(x))


def index(place: Iterable[int]) -> str:
    return "[" + ", ".join(str(int(i)) for i in place) + "]" if len(tuple(place)) else ""


def _place(first: tuple[int, ...], want: np.ndarray, have: np.ndarray) -> str:
    """[0, 1, 3], or [0, 1, :] where the whole row is one wrong number."""
    if not first:
        return ""
    row = first[:-1]
    one = all(len(np.unique(np.nan_to_num(r, nan=np.inf))) == 1 for r in (want[row], have[row]))
    if one and want[row].size > 1:
        return index(row)[:-1] + (", :]" if row else ":]") if row else "[:]"
    return index(first)
