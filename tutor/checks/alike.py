"""Whether two answer alike: a known wrong function and what was seen of a candidate."""

from typing import Any

from tutor.checks.compare import magnitude, near, rounding_of_gradients
from tutor.checks.observation import Observation
from tutor.checks.response import LONGEST_MESSAGE, Response, sizes_only
from tutor.checks.sequences import Listed
from tutor.checks.tensors import same_values
from tutor.checks.trace import Trace, as_tuple


def behaves_like(theirs: Trace, seen: Observation, compare_types: bool) -> bool:
    got = seen.got
    # Twice the tolerance: each may have rounded to its own side.
    tolerance = 2 * seen.tolerance
    if len(theirs.responses) != len(got.responses):
        return False
    for a, b in zip(theirs.responses, got.responses, strict=True):
        if not _alike(a, b, tolerance, compare_types):
            return False
    if theirs.crashed:
        return True
    if not all(
        same_values(as_tuple(a), as_tuple(b), tolerance)
        for a, b in zip(theirs.later, got.later, strict=False)
    ):
        return False
    if seen.cotangents is not None and not _same_gradients(theirs, seen, tolerance):
        return False
    return not compare_types or same_values(theirs.args_after, got.args_after, tolerance)


def _same_gradients(theirs: Trace, seen: Observation, tolerance: float) -> bool:
    ours, tolerance = seen.got.gradients, tolerance * magnitude(seen.case)
    if same_values(theirs.gradients, ours, tolerance):
        return True
    lost = 2 * rounding_of_gradients(seen.case, seen.expected)
    both = zip(ours, theirs.gradients, strict=True)
    return same_values(tuple(near(o, t, lost) for o, t in both), ours, tolerance)


def _alike(theirs: Response, got: Response, tolerance: float, compare_types: bool) -> bool:
    if theirs.crash is not None or got.crash is not None:
        return theirs.crash is not None and got.crash is not None and _fail_alike(theirs, got)
    if isinstance(theirs.outputs, tuple) != isinstance(got.outputs, tuple):
        return False
    both = [(*as_tuple(r.outputs), *r.state) for r in (theirs, got)]
    if not same_values(*both, tolerance):
        return False
    dtypes = [[_kind(t) for t in tensors] for tensors in both]
    return not compare_types or dtypes[0] == dtypes[1]


def _fail_alike(theirs: Response, got: Response) -> bool:
    a, b = theirs.crash, got.crash
    if a.kind != b.kind:
        return False
    # Who refuses what is no mistake has their own words for it.
    if b.kind == "ValueError" and b.line.startswith("raise "):
        return True
    # Of one from the sandbox, no more is told.
    messages = [sizes_only(crash.message[:LONGEST_MESSAGE]) for crash in (a, b)]
    return messages[0] == messages[1]


def _kind(answer: Any) -> Any:
    if isinstance(answer, Listed):
        return (answer.kind, answer.of) if len(answer) else answer.kind
    return getattr(answer, "dtype", None)
