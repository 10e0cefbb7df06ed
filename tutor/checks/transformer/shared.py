"""What the exercises of chapter 7 share."""

from dataclasses import replace

import torch
from torch import Tensor

from tutor.checks.conditions import Condition, Factor
from tutor.checks.crossings import ATTENTION, DTYPE, LAYOUT
from tutor.checks.draw import DOUBLE, Draw, laid
from tutor.checks.multihead.shared import BATCHES
from tutor.checks.sequences import in_parts

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

    def heads(self, c: int, cm: int, h: int, d: int, dv: int, dtype=DOUBLE) -> tuple[Tensor, ...]:
        """w_q, w_k, w_v, w_out of an attention whose answer is as wide as what asks."""
        shapes = ((c, h * d), (cm, h * d), (cm, h * dv))
        w_out = self.weight(h * dv, c, dtype=dtype) / 2
        return *(self.weight(*shape, dtype=dtype) for shape in shapes), w_out

    def norm(self, width: int, dtype: torch.dtype = DOUBLE) -> tuple[Tensor, Tensor]:
        """Weight and bias, neither near what they begin as."""
        weight, bias = (self.normal(width, dtype=dtype) / 2 for _ in range(2))
        return weight + 1, bias

    def feed(self, c: int, f: int, cout: int, dtype: torch.dtype = DOUBLE) -> tuple[Tensor, ...]:
        """w_in, b_in, w_out, b_out."""
        return (
            self.weight(c, f, dtype=dtype),
            self.normal(f, dtype=dtype),
            self.weight(f, cout, dtype=dtype) / 2,
            self.normal(cout, dtype=dtype) / 2,
        )


def quiet(factor: Factor, *alone: str) -> Factor:
    """The same, of which these alone have a case in which all else is ordinary: each case of a
    layer takes as long as several of its parts'."""
    return replace(
        factor, conditions=tuple(replace(c, alone=c.name in alone) for c in factor.conditions)
    )


WIDTHS = Factor(
    "widths",
    (
        Condition("own", value=(C, H, D, DV, F)),
        # Nothing raises where a weight is turned round.
        Condition("all widths", "all widths equal", (12, H, 3, 3, 12), alone=True),
        Condition("one head", "one head", (C, 1, D, DV, 1), edge=True),
    ),
)
"""C, H, D, Dv, F"""

PLACE = Factor(
    "place",
    (Condition("post-norm", value=False), Condition("pre-norm", "pre-norm", True, alone=True)),
)

_OF_ITS_PARTS = "the exercises on what a layer is made of ask for it"
LAYER = ATTENTION.but(
    quiet(DTYPE),
    quiet(LAYOUT),
    quiet(BATCHES, "none"),
    WIDTHS,
    PLACE,
    without={
        "scores": "a norm stands before or after; cases by hand have scores near 1e3",
        "one for all": _OF_ITS_PARTS,
        "behind": _OF_ITS_PARTS,
        "three": _OF_ITS_PARTS,
        "as heads": _OF_ITS_PARTS,
    },
)
"""Of a layer, which reads and norms."""


def everywhere(layout: str | None, *values):
    """The same tensors, also those in sequences, in a layout."""
    return in_parts(values, lambda x: laid(x, layout) if isinstance(x, Tensor) else x)
