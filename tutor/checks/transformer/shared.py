"""What the exercises of chapter 7 share."""

import torch
from torch import Tensor

from tutor.checks.draw import Draw

CHAPTER = "07_transformer"

# All sizes differ, so that a swapped axis cannot pass.
B, T, S, H, D, DV, C, CM, F, COUT = 2, 5, 3, 4, 6, 7, 13, 17, 11, 19

NORM = "Layer norm"
FEED = "Feed-forward"
RESIDUAL = "Residuals"
ORDER = "Pre-norm and post-norm"
ENCODER = "The encoder"
DECODER = "The decoder"
"""Sections of the chapter that the traps name."""


class LayerDraw(Draw):
    """With the parameters of a layer."""

    def norm(self, width: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Weight and bias, neither near what they begin as."""
        return self.normal(width, dtype=dtype) + 2, self.normal(width, dtype=dtype)

    def feed(self, c: int, f: int, cout: int, dtype: torch.dtype) -> tuple[Tensor, ...]:
        """w_in, b_in, w_out, b_out."""
        return (
            self.weight(c, f, dtype=dtype),
            self.normal(f, dtype=dtype),
            self.weight(f, cout, dtype=dtype),
            self.normal(cout, dtype=dtype),
        )
