"""What the exercises of chapter 5 share."""

import torch
from torch import Tensor

from tutor.checks.draw import DOUBLE

CHAPTER = "05_position"

# All sizes differ, so that a swapped axis cannot pass.
B, H, T, D = 2, 3, 5, 6

LAYOUTS = ("half", "interleaved")


def frequencies_of(
    width: int, theta: float, device: torch.device, exponent: float = 2, dtype: torch.dtype = DOUBLE
) -> Tensor:
    """theta^(-2i / width) of pair i: what the paper gives, unless the exponent is another."""
    i = torch.arange(width // 2, device=device, dtype=dtype)
    return theta ** -(exponent * i / width)


def angles_of(positions: Tensor, width: int, theta: float, **changes) -> Tensor:
    """(..., width / 2), in double."""
    return positions.double()[..., None] * frequencies_of(width, theta, positions.device, **changes)
