"""What the student's process says of a call: JSON, and tensors beside it."""

from typing import Any

import torch
from torch import Tensor

from tutor.checks.response import CHANGED, LONGEST_MESSAGE, Crash, Response, Unreadable
from tutor.checks.sequences import Listed
from tutor.checks.widened import Place
from tutor.sandbox import wire

MOST_NAMES = 2_000
"""Of what a call has called. Who calls more might hide one behind the others."""


def of_response(response: Response, out: list[Tensor]) -> dict[str, Any]:
    if response.crash is not None:
        return {"crash": of_place(response.crash)}
    gradients = response.gradients
    return {
        "outputs": packed(response.outputs, out),
        "state": packed(response.state, out),
        "gradients": None if gradients is None else packed(gradients, out),
        "narrowed": of_place(response.narrowed),
    }


def of_counted(response: Response) -> dict[str, Any]:
    """Of a call on proxies, whose answers are described already."""
    cost = response.cost
    return {
        "outputs": response.outputs,
        "state": {"tuple": [p if isinstance(p, dict) else packed(p, []) for p in response.state]},
        "crash": of_place(response.crash),
        "claims": {
            "called": sorted(cost.called)[: MOST_NAMES + 1],
            "outside": cost.outside,
            "trail": cost.trail,
        },
    }


def of_place(place: Crash | Place | None) -> dict[str, Any] | None:
    if place is None:
        return None
    return {k: v[:LONGEST_MESSAGE] if isinstance(v, str) else v for k, v in vars(place).items()}


def packed(value: Any, out: list[Tensor]) -> Any:
    if isinstance(value, tuple):
        return {"tuple": [packed(v, out) for v in value]}
    if isinstance(value, Unreadable):
        return {"unreadable": value.description}
    if isinstance(value, Listed):
        parts = (value.numbers, value.lengths)
        return {"listed": [value.kind, value.of, *(wire.pack(t, out) for t in parts)]}
    if isinstance(value, Crash):
        return {"crash": of_place(value)}
    return wire.pack(value, out)


def unchanged(before: Tensor | None, after: Any) -> bool:
    if before is None or before.is_meta:
        return after is not CHANGED
    return isinstance(after, Tensor) and after.dtype == before.dtype and torch.equal(before, after)
