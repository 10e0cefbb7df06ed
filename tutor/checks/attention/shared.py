"""What the exercises of chapter 3 share."""

import torch
from torch import Tensor

from tutor.checks.draw import DOUBLE, Draw

CHAPTER = "03_attention"

# All sizes differ, so that a swapped axis cannot pass.
B, TQ, TK, C, D, DV = 2, 3, 5, 13, 7, 11


class QKVDraw(Draw):
    """With queries, keys and values, in this chapter's sizes."""

    def qkv(self, *batch: int, tq=TQ, tk=TK, d=D, dv=DV, dtype=DOUBLE, scale=1.0):
        return (
            self.normal(*batch, tq, d, dtype=dtype, scale=scale),
            self.normal(*batch, tk, d, dtype=dtype, scale=scale),
            self.normal(*batch, tk, dv, dtype=dtype),
        )

    def qk(self, *batch: int, **kwargs) -> tuple[Tensor, Tensor]:
        return self.qkv(*batch, **kwargs)[:2]


def low_score(draw: QKVDraw) -> tuple[Tensor, ...]:
    """The one key that may be read scores far below what people hide the others with."""
    q, k, v = draw.qkv(B)
    q = q.abs() + 1
    k[:, 2] = -3e4
    return q, k, v, (torch.arange(TK, device=draw.device) == 2).expand(TQ, TK)
