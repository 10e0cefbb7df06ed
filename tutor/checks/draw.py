"""Random inputs for the cases of an exercise, the same on every device."""

import math

import torch
from torch import Generator, Tensor

DOUBLE, SINGLE, HALF, BFLOAT = torch.float64, torch.float32, torch.float16, torch.bfloat16


class Draw:
    """Random tensors on a device from a seeded CPU generator: the same numbers on every device."""

    def __init__(self, generator: Generator, device: torch.device):
        self.generator, self.device = generator, device

    def normal(self, *shape: int, dtype: torch.dtype = DOUBLE, scale: float = 1.0) -> Tensor:
        x = torch.randn(shape, generator=self.generator, dtype=DOUBLE) * scale
        return x.to(self.device, dtype)

    def weight(self, rows: int, columns: int, dtype: torch.dtype = DOUBLE) -> Tensor:
        """For a product from the left that keeps the size of numbers."""
        return self.normal(rows, columns, dtype=dtype, scale=max(rows, 1) ** -0.5)

    def uniform(self, *shape: int, low: float, high: float, dtype: torch.dtype = DOUBLE) -> Tensor:
        x = torch.rand(shape, generator=self.generator, dtype=DOUBLE) * (high - low) + low
        return x.to(self.device, dtype)

    def integer(self, low: int, high: int) -> int:
        """low ≤ n < high"""
        return int(torch.randint(low, high, (), generator=self.generator))

    def integers(self, *shape: int, low: int, high: int) -> Tensor:
        """low ≤ n < high, in every entry."""
        return torch.randint(low, high, shape, generator=self.generator).to(self.device)

    def keep(self, *shape: int) -> Tensor:
        """A random mask in which every row may read something and not everything.

        The first two of several rows may read the first key and not the last, and of three keys and
        more the second row alone the second of them; the third row may read the last alone. Every
        other sentence is the other way round, from last to first.
        """
        last = shape[-1]
        order = torch.rand(shape, generator=self.generator)
        if len(shape) > 1:  # what is hidden somewhere does not hang on the draw
            order[..., :2, 0], order[..., :2, -1], order[..., 2:3, -1] = -1.0, 2.0, -1.0
        count = torch.randint(1, last, (*shape[:-1], 1), generator=self.generator)
        if len(shape) > 1:
            count[..., 2:3, :] = 1
        if len(shape) > 1 and last > 2:
            order[..., :1, 1], order[..., 1:2, 1] = 1.5, -0.5
            count[..., :1, :].clamp_(max=last - 2)
            count[..., 1:2, :].clamp_(min=2)
        keep = order.argsort(-1).argsort(-1) < count
        if len(shape) > 2:
            keep[1::2] = keep[1::2].flip(-1)
        return keep.to(self.device)

    def ragged(self, *batch: int, longest: int) -> Tensor:
        """Lengths of sentences, from 1 to the longest; the first is shorter."""
        lengths = torch.randint(1, longest + 1, batch, generator=self.generator)
        if lengths.numel():
            lengths.view(-1)[0] = self.integer(1, longest)
        return lengths.to(self.device)

    def mask(self, kind: str | None, batch: tuple[int, ...], tq: int, tk: int) -> Tensor | None:
        """keep of one of the kinds of ``crossings.MASK``, broadcastable to (*batch, tq, tk)."""
        if kind is None:
            return None
        if kind == "causal":
            ones = torch.ones(tq, tk, dtype=torch.bool, device=self.device)
            return ones.tril(tk - tq)
        if kind == "ragged":
            lengths = self.ragged(*batch, longest=tk)
            return torch.arange(tk, device=self.device) < lengths[..., None, None]
        if kind == "shared":
            if len(batch) > 1:
                return self.keep(*batch[:-1], 1, tq, tk)
            return self.keep(tq, tk) if batch else self.keep(1, tk)
        keep = self.keep(*batch, tq, tk) if tk > 1 else self.keep(*batch, tq, 2)[..., :1]
        if kind == "nothing":  # the first sentence's last query, and all of the last of several
            keep[(*(0 for _ in batch), -1)] = False
            if math.prod(batch) > 1:
                keep[tuple(n - 1 for n in batch)] = False
        return keep


def laid(x: Tensor | None, layout: str | None) -> Tensor | None:
    """The same numbers, stored as one of the layouts of ``crossings.LAYOUT``: the last two
    dimensions turned round, all but the last in the reverse order, or part of a larger tensor."""
    if x is None or layout is None or x.ndim < 2:
        return x
    if layout == "turned":
        return x.mT.contiguous().mT
    if layout == "behind":
        order = [*reversed(range(x.ndim - 1)), x.ndim - 1]
        return x.permute(order).contiguous().permute(order)
    if layout == "views":
        if 0 in x.stride():  # a view as it is
            return x
        filler = math.nan if x.is_floating_point() else True
        larger = x.new_full((*x.shape[:-1], x.shape[-1] + 3), filler)
        larger[..., 2:-1] = x
        return larger[..., 2:-1]
    raise ValueError(f"no layout is named {layout!r}")


def strided(x: Tensor) -> Tensor:
    """The same numbers, stored the other way round: not contiguous."""
    return x.mT.contiguous().mT
