"""What ``attention_scores`` must satisfy, and the wrong answers that people give."""

from collections.abc import Iterator

import torch
from torch import Generator

from tutor import attention as reference
from tutor.checks.attention.shared import CHAPTER, DV, B, D, QKVDraw
from tutor.checks.changes import changeable
from tutor.checks.conditions import Crossed
from tutor.checks.crossings import ATTENTION, attention_inputs
from tutor.checks.exercise import Case, Contract, Exercise, Trap
from tutor.checks.limits import between
from tutor.checks.scoring import (
    all_turned,
    by_half_of_width,
    by_keys,
    by_queries,
    by_width,
    in_place,
    keys_ask,
    keys_detached,
    not_transposed,
    one,
    score_traps,
    scores,
    times_root,
)


def _by_hand(draw: QKVDraw) -> Iterator[Case]:
    tq, tk, d = (draw.integer(2, 9) for _ in range(3))
    yield Case("sizes drawn by lot", draw.qk(draw.integer(1, 5), tq=tq, tk=tk, d=d))
    yield Case("width 1", draw.qk(B, d=1), "edges")


CASES = Crossed(
    ATTENTION.but(without={"mask": "scores come before any mask"}),
    lambda draw, row: attention_inputs(draw, row, D, DV)[:2],
    _by_hand,
    draw=QKVDraw,
)


def _contract(generator: Generator, device: torch.device) -> Contract:
    b, tq, tk, d = 2, 16, 24, 32
    q, k, _ = QKVDraw(generator, device).qkv(b, tq=tq, tk=tk, d=d)
    product = 2 * b * tq * tk * d
    return Contract(
        calls=((q, k),),
        max_flops=between(product, 2 * product),
        # All products of features at once, to be summed later, need d times as much.
        max_intermediate=between(2 * k.numel(), b * tq * tk * d),
    )


_with = changeable(scores)


ATTENTION_SCORES = Exercise(
    reference=reference.attention_scores,
    chapter=CHAPTER,
    points={"values": 2, "edges": 1, "gradients": 1, "types": 1, "contracts": 1},
    cases=CASES,
    contract=_contract,
    traps=(
        Trap(
            "no scale",
            _with(scale=one),
            "q·k is a sum of D products, so its standard deviation grows like √D. Unscaled, the "
            "softmax of a wide model is close to one-hot from the first step and passes almost no "
            "gradient. Divide by √D.",
            "Step 2: scale",
        ),
        Trap(
            "divided by D instead of √D",
            _with(scale=by_width),
            "the variance of q·k is D, its standard deviation √D, and it is the standard deviation "
            "that should become 1. Divided by D the scores are nearly equal, and every query reads "
            "the plain average of all values. (Dividing both q and k by √D does the same.)",
            "Step 2: scale",
        ),
        Trap(
            "D ** 1/2",
            _with(scale=by_half_of_width),
            "a power binds tighter than a division: D ** 1/2 is (D ** 1) / 2. Write D ** 0.5.",
            "Step 2: scale",
        ),
        Trap(
            "scaled by the length of a sequence",
            _with(scale=by_keys),
            "the scale undoes the growth of a sum over the width D. How many queries or keys there "
            "are does not enter a single score. The width is q.shape[-1].",
            "Step 2: scale",
            (_with(scale=by_queries),),
        ),
        Trap(
            "multiplied by √D",
            _with(scale=times_root),
            "the scale is D to the power -1/2, with the minus.",
            "Step 2: scale",
        ),
        Trap(
            "keys ask, queries answer",
            _with(product=keys_ask),
            "the product is the other way round: rows are queries and columns are keys, because "
            "the softmax that follows runs along a row. It is q @ k.mT.",
            "Step 1: dot products",
        ),
        Trap(
            "keys not transposed",
            _with(product=not_transposed),
            "each query meets each key: rows of q with rows of k. A matrix product takes rows of "
            "the first and columns of the second, so the keys are transposed, in their last two "
            "dimensions: k.mT.",
            "Step 1: dot products",
        ),
        *score_traps(_with, "Step 1: dot products", "Step 2: scale"),
        Trap(
            "all dimensions turned round",
            _with(product=all_turned),
            "k.T turns all dimensions round, the batch included; of a single matrix it is the "
            "same as k.mT, which turns the last two.",
            "Step 1: dot products",
        ),
        Trap(
            "a detached key",
            _with(product=keys_detached),
            "the numbers are right, but detach() cuts the keys off from learning: no gradient "
            "reaches whatever produced them.",
            "Learning: the backward pass",
        ),
        Trap(
            "the caller's queries overwritten",
            _with(product=in_place, scale=one),
            "q *= ... writes into the caller's tensor. The second call with the same q starts from "
            "scaled queries, and so does anything else that reads it. Scale a new tensor.",
            "Step 2: scale",
            overwrites="q",
        ),
    ),
)
