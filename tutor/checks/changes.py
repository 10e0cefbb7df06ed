"""Wrong answers as changes of the right one: what is wrong in one place may be wrong in two."""

import math
from collections.abc import Callable
from typing import Any

from torch import Tensor


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


def unflattened(x: Tensor, dim: int, sizes: tuple[int, ...]) -> Tensor:
    """``x.unflatten(dim, sizes)``. torch takes milliseconds to raise, as it looks for the names of
    its C++ functions, and each known wrong answer is tried in each check of another."""
    dim %= x.ndim
    known, width = math.prod(size for size in sizes if size != -1), x.shape[dim]
    if not known or width % known or (-1 not in sizes and width != known):
        raise RuntimeError(
            f"unflatten: Provided sizes {list(sizes)} don't multiply up to the size of dim "
            f"{dim} ({width}) in the input tensor"
        )
    sizes = tuple(width // known if size == -1 else size for size in sizes)  # of 0 none follows
    return x.reshape(*x.shape[:dim], *sizes, *x.shape[dim + 1 :])
