"""A glance at one number of an answer, where most of what is known has another one."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from tutor.checks.observation import Observation
from tutor.checks.response import plain
from tutor.checks.sequences import flat
from tutor.checks.trace import as_tuple, copied

_LARGEST = 1_000_000
"""Elements of an answer that is looked at; a view of few numbers may have any."""


class Glance:
    """At the entry of a function's answer that is the furthest from the right one.

    A check tries a hundred known answers or more on the same case, and needs all of an answer,
    and copies of the arguments for each, of the few alone that agree here.
    """

    def __init__(self, seen: Observation):
        self.seen = seen
        self.args = copied(seen.case).args
        self.versions = self._versions()
        self.answer = self._first(seen.got.responses[0].outputs)
        self.place, self.number = 0, None
        if self.answer is not None:
            got = self.answer.flatten()
            self.place = self._furthest(got)
            self.number = float(got[self.place])

    def sees_another(self, function: Callable[..., Any]) -> bool:
        """Whether it surely does not answer as what was seen."""
        if self.number is None:
            return False
        try:
            theirs = self._first(function(*self.args))
        except Exception:
            return True  # what was seen is an answer
        if self._versions() != self.versions:  # it has written into its arguments
            self.args = copied(self.seen.case).args
            self.versions = self._versions()
            return False
        if theirs is None or theirs.shape != self.answer.shape:
            return theirs is not None
        number = float(theirs.flatten()[self.place])
        allowed = 2 * self.seen.tolerance * (1 + abs(number))
        return abs(number - self.number) > allowed  # never of nan

    def _furthest(self, got: Tensor) -> int:
        right = self.seen.expected and self._first(self.seen.expected.responses[0].outputs)
        if right is None or right.shape != self.answer.shape:
            return 0
        off = (got.double() - right.flatten().double()).abs()
        return int(off.nan_to_num(0.0, posinf=0.0).argmax())

    def _first(self, outputs: Any) -> Tensor | None:
        """Of one tensor or several; None where there are no real numbers to look at."""
        first = next(iter(as_tuple(plain(outputs))), None)
        if not isinstance(first, Tensor) or first.is_complex() or first.is_meta:
            return None
        dense = first.layout == torch.strided and 0 < first.numel() <= _LARGEST
        return first.detach() if dense else None

    def _versions(self) -> list[int]:
        return [a._version for a in flat(self.args) if isinstance(a, Tensor)]


def glance(seen: Observation) -> Glance | None:
    """None where a glance says nothing: of gradients, and of what has no answer."""
    if seen.cotangents is not None or seen.got.crashed:
        return None
    return Glance(seen)
