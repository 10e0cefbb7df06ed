"""What the exercises of chapter 2 share."""

import torch
from torch import Tensor

from tutor.checks import crossings
from tutor.checks.conditions import Row
from tutor.checks.crossings import extreme_rows
from tutor.checks.draw import Draw
from tutor.checks.forbidden import BY_HAND, LIBRARY_ATTENTION

CHAPTER = "02_alignment"

# All sizes differ, so that a swapped axis cannot pass.
B, T, S, CX, CM, A = 2, 3, 5, 7, 11, 13

FORBIDDEN = {**LIBRARY_ATTENTION, "_masked_softmax": BY_HAND}


LENGTHS = crossings.LENGTHS.told(
    {
        "one key": "one asks, one is read",
        "one query": "one asks, many are read",
        "more queries": "more ask than are read",
    }
)
BATCH = crossings.BATCH.told({"two": "two batch dimensions"})
MASK = crossings.MASK.told(
    {"random": "a mask for each state", "nothing": "some states may read nothing"}
)

SHARES = crossings.ATTENTION.but(
    LENGTHS, BATCH, MASK, without={"causal": "no chapter has asked for the past alone yet"}
)
"""Functions of scores and keep."""


def scores_of(draw: Draw, row: Row) -> Tensor:
    """scores (*batch, T, S), as the row has them."""
    shape, dtype = (*row["batch"], *row["lengths"]), row["dtype"]
    if row["scores"] is None:
        return extreme_rows(draw, *shape, dtype=dtype)
    return draw.normal(*shape, dtype=dtype, scale=row["scores"])


def low_scores(draw: Draw) -> tuple[Tensor, Tensor]:
    """The one score that may be read is far below what people hide the others with."""
    scores = draw.normal(B, T, S)
    scores[..., 2] = -3e5
    return scores, (torch.arange(S, device=draw.device) == 2).expand(T, S)
