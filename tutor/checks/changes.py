"""Wrong answers as changes of the right one: what is wrong in one place may be wrong in two."""

from collections.abc import Callable
from typing import Any


def changeable(right: Callable[..., Any]) -> Callable[..., Callable[..., Any]]:
    """``with_(part=another, ...)``: ``right`` with other parts, which are its keyword arguments."""

    def with_(**parts):
        def wrong(*args, **kwargs):
            return right(*args, **kwargs, **parts)

        wrong.changed = (right, parts)
        return wrong

    return with_


def together(one: Callable[..., Any], other: Callable[..., Any]) -> Callable[..., Any] | None:
    """Both changes in one answer; None where they are of different functions, or of one part."""
    (right, parts), (same, others) = (getattr(f, "changed", (f, {})) for f in (one, other))
    if right is not same or not parts or not others or parts.keys() & others.keys():
        return None
    return changeable(right)(**parts, **others)
