"""What ``split_heads`` must satisfy, and the wrong answers that people give."""

from collections.abc import Iterator

import torch
from torch import Generator, Tensor

from tutor import multihead as reference
from tutor.checks.changes import unflattened
from tutor.checks.conditions import Crossed, Row
from tutor.checks.draw import Draw, laid
from tutor.checks.exercise import Case, Contract, Exercise, Trap
from tutor.checks.multihead.layer import split_by_view, split_counted, split_interleaved
from tutor.checks.multihead.shared import CHAPTER, SPLIT, TK, B


def _arguments(draw: Draw, row: Row) -> tuple[Tensor, int]:
    h, t, d = row["heads"]
    return laid(draw.normal(*row["batch"], t, h * d, dtype=row["dtype"]), row["layout"]), h


def _by_hand(draw: Draw) -> Iterator[Case]:
    t, h, d = (draw.integer(2, 7) for _ in range(3))
    yield Case("sizes drawn by lot", (draw.normal(draw.integer(2, 5), t, h * d), h))
    uneven = (draw.normal(B, TK, 10), 4)
    yield Case("4 heads of width 10 must raise ValueError", uneven, "edges", ValueError)


CASES = Crossed(SPLIT, _arguments, _by_hand)


def _contract(generator: Generator, device: torch.device) -> Contract:
    x = Draw(generator, device).normal(2, 8, 24)
    return Contract(
        calls=((x, 4),),
    )


def _one_batch_dimension(x, num_heads):
    batch, time, width = x.shape
    return x.reshape(batch, time, num_heads, width // num_heads).transpose(1, 2)


def _no_transpose(x, num_heads):
    return unflattened(x, -1, (num_heads, -1))


def _swapped_sizes(x, num_heads):
    return unflattened(x, -1, (-1, num_heads)).transpose(-3, -2)


def _features_before_time(x, num_heads):
    return unflattened(x.mT, -2, (num_heads, -1))


def _time(x, num_heads):
    return torch.stack(x.chunk(num_heads, -2), -3)


def _heads_first(x, num_heads):
    return torch.stack(x.chunk(num_heads, -1))


SPLIT_HEADS = Exercise(
    reference=reference.split_heads,
    chapter=CHAPTER,
    outputs=("heads",),
    points={"values": 2, "edges": 1, "gradients": 1, "types": 1, "contracts": 1},
    cases=CASES,
    contract=_contract,
    traps=(
        Trap(
            "view instead of transpose",
            split_by_view,
            "the shape is right and the contents are not. A reshape reads on in memory: straight "
            "to (H, T, D) it deals out whole tokens to the heads, so that head 0 gets the first "
            "tokens and no head sees the sentence. Cut the features first, to (T, H, D), and then "
            "swap the two axes.",
            "Split",
        ),
        Trap(
            "every H-th feature",
            split_interleaved,
            "head h takes the features h, h + H, h + 2H, ... A model trained like that would be as "
            "good, but no weights that anybody publishes fit it: there, and here, head h owns the "
            "block from h·D to (h + 1)·D. Unflatten to (H, D), not to (D, H).",
            "Split",
        ),
        Trap(
            "heads behind time",
            _no_transpose,
            "(T, H, D) cuts the features and leaves the axes as they are. Attention works on the "
            "last two: it would let the heads of one token read each other. Heads stand before "
            "time, (H, T, D), and then count as a batch.",
            "Split",
        ),
        Trap(
            "H and D swapped",
            _swapped_sizes,
            "num_heads is the number of heads; each is C / num_heads wide. Here it was taken for "
            "the width of one.",
            "Split",
        ),
        Trap(
            "features before time",
            _features_before_time,
            "every head comes out as (D, T), transposed: tokens are rows, everywhere in the "
            "course. Of (T, H, D) swap T and H, and leave D at the end.",
            "Split",
        ),
        Trap(
            "the sentence cut up",
            _time,
            "the tokens were divided among the heads. Each head reads all tokens; it is the "
            "features of every token that are divided.",
            "Split",
        ),
        Trap(
            "heads before the batch",
            _heads_first,
            "torch.stack puts the new axis first, in front of the batch. It belongs right before "
            "time: stack(..., dim=-3).",
            "Split",
        ),
        Trap(
            "axes counted from the front",
            split_counted,
            "transpose(1, 2) swaps time and heads where there is one batch dimension, and others "
            "where there is none or more. Counted from the end they are always the same: "
            "transpose(-3, -2).",
            "Split",
        ),
        Trap(
            "exactly one batch dimension",
            _one_batch_dimension,
            "the shape is taken apart into three names, so a single sentence fails and so does a "
            "batch of batches. Count the axes from the end: x.unflatten(-1, ...) and "
            "transpose(-3, -2) leave whatever stands before alone.",
            "Split",
        ),
    ),
)
