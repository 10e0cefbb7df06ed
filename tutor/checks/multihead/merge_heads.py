"""What ``merge_heads`` must satisfy, and the wrong answers that people give."""

from collections.abc import Iterator

import torch
from torch import Generator, Tensor

from tutor import multihead as reference
from tutor.checks.conditions import Crossed, Row
from tutor.checks.draw import Draw, laid
from tutor.checks.exercise import Case, Contract, Exercise, Property, Trap
from tutor.checks.multihead.layer import merge_by_reshape, merge_counted, merge_interleaved, split
from tutor.checks.multihead.shared import CHAPTER, SPLIT, TK, B, D, H


def _arguments(draw: Draw, row: Row) -> tuple[Tensor]:
    return (laid(draw.normal(*row["batch"], *row["heads"], dtype=row["dtype"]), row["layout"]),)


def _by_hand(draw: Draw) -> Iterator[Case]:
    yield Case("sizes drawn by lot", (draw.normal(*(draw.integer(2, 7) for _ in range(4))),))


CASES = Crossed(SPLIT, _arguments, _by_hand)


def _undoes_split(call, generator: Generator, device: torch.device) -> str | None:
    x = Draw(generator, device).normal(B, TK, H * D)
    if not torch.equal(call(split(x, H)), x):
        return "what split_heads took apart does not come back as it was"
    return None


def _contract(generator: Generator, device: torch.device) -> Contract:
    heads = Draw(generator, device).normal(2, 4, 8, 6)
    return Contract(
        calls=((heads,),),
    )


def _in_time(heads):
    return heads.flatten(-3, -2)


def _sum(heads):
    return heads.sum(-3)


def _mean(heads):
    return heads.mean(-3)


def _features_before_time(heads):
    return heads.mT.flatten(-3, -2)


def _features_for_heads(heads):
    *batch, num_heads, time, width = heads.shape
    return heads.mT.reshape(*batch, time, num_heads * width)


def _counted_to_the_end(heads):
    return heads.transpose(1, 2).flatten(2)


def _one_batch_dimension(heads):
    batch, num_heads, time, width = heads.shape
    return heads.transpose(1, 2).reshape(batch, time, num_heads * width)


MERGE_HEADS = Exercise(
    reference=reference.merge_heads,
    chapter=CHAPTER,
    points={"values": 2, "edges": 1, "gradients": 1, "types": 1, "contracts": 1},
    cases=CASES,
    contract=_contract,
    properties=(Property("it undoes split_heads", _undoes_split, "values"),),
    traps=(
        Trap(
            "merged without transposing back",
            merge_by_reshape,
            "the shape is right and the tokens are mixed: a reshape of (H, T, D) reads on in "
            "memory, so that row 0 gets the first tokens' answers of head 0 alone. Swap heads and "
            "time back first, to (T, H, D), and then join the last two.",
            "Merge",
        ),
        Trap(
            "heads interleaved",
            merge_interleaved,
            "the features come out as feature 0 of every head, then feature 1 of every head: "
            "(T, D, H) was flattened. Each head's block stays together: flatten (T, H, D).",
            "Merge",
        ),
        Trap(
            "heads one after another in time",
            _in_time,
            "H·T rows of width D: the heads were laid end to end as if each had read another "
            "sentence. They answer for the same tokens, and stand side by side in the features.",
            "Merge",
        ),
        Trap(
            "heads added up",
            _sum,
            "a sum or a mean of the heads is one mixture again, which is what several heads were "
            "to avoid. Side by side, the projection that follows can still tell them apart.",
            "Merge",
            (_mean,),
        ),
        Trap(
            "features before time",
            _features_before_time,
            "the result is (H·D, T), on its side: tokens are rows. The axes to swap are heads and "
            "time, not time and features.",
            "Merge",
            (_features_for_heads,),
        ),
        Trap(
            "axes counted from the front",
            merge_counted,
            "transpose(1, 2) swaps heads and time where there is one batch dimension, and others "
            "where there is none or more. Counted from the end they are always the same: "
            "transpose(-3, -2).",
            "Merge",
            (_counted_to_the_end,),
        ),
        Trap(
            "exactly one batch dimension",
            _one_batch_dimension,
            "the shape is taken apart into four names, so a single sentence fails and so does a "
            "batch of batches. Count the axes from the end.",
            "Merge",
        ),
    ),
)
