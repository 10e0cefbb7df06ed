"""Random inputs for the cases of an exercise, the same on every device."""

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
        """A random mask in which every row may read something and not everything."""
        last = shape[-1]
        order = torch.rand(shape, generator=self.generator).argsort(-1)
        count = torch.randint(1, last, (*shape[:-1], 1), generator=self.generator)
        return (order < count).to(self.device)


def strided(x: Tensor) -> Tensor:
    """The same numbers, stored the other way round: not contiguous."""
    return x.mT.contiguous().mT
