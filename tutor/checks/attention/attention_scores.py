"""What ``attention_scores`` must satisfy, and the wrong answers that people give."""

from collections.abc import Iterator

import torch
from torch import Generator

from tutor import attention as reference
from tutor.checks.attention.shared import CHAPTER, DV, B, D, QKVDraw
from tutor.checks.changes import changeable
from tutor.checks.conditions import Crossed
from tutor.checks.exercise import Case, Contract, Exercise, Trap
from tutor.checks.families import ATTENTION, attention_inputs
from tutor.checks.limits import between


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


def no_scale(q, k):
    return q @ k.mT


def divided_by_width(q, k):
    return q @ k.mT / q.shape[-1]


def in_place(q, k):
    q *= q.shape[-1] ** -0.5
    return q @ k.mT


def keys_not_transposed(q, k):
    return q @ k * q.shape[-1] ** -0.5


def times_root(q, k):
    return q @ k.mT * q.shape[-1] ** 0.5


def scaled_by(constant):
    def wrong(q, k):
        return q @ k.mT * constant

    return wrong


def scaled_by_length(q, k):
    return q @ k.mT * k.shape[-2] ** -0.5


def scaled_by_one_more(q, k):
    return q @ k.mT / (q.shape[-1] + 1) ** 0.5


def scaled_by_second_size(q, k):
    return q @ k.mT / q.size(1) ** 0.5


def of_views(q, k):
    product = q.view(-1, *q.shape[-2:]) @ k.view(-1, *k.shape[-2:]).mT
    return product.view(*q.shape[:-1], -1) * q.shape[-1] ** -0.5


def all_turned(q, k):
    return q @ k.permute(*reversed(range(k.ndim))) * q.shape[-1] ** -0.5


def _divided(q, k):
    return q.shape[-1] ** -0.5


def _queries_ask(q, k):
    return q @ k.mT


def _scores(q, k, product=_queries_ask, scale=_divided):
    """The right scores, but for the parts that are given."""
    return product(q, k) * scale(q, k)


_with = changeable(_scores)


def _one(q, k):
    return 1.0


def _by_width(q, k):
    return 1 / q.shape[-1]


def _by_half_of_width(q, k):
    return 2 / q.shape[-1]


def _by_keys(q, k):
    return max(k.shape[-2], 1) ** -0.5


def _by_queries(q, k):
    return max(q.shape[-2], 1) ** -0.5


def _times(q, k):
    return q.shape[-1] ** 0.5


def _of_directions(q, k):
    return torch.nn.functional.normalize(q, dim=-1) @ torch.nn.functional.normalize(k, dim=-1).mT


def _keys_ask(q, k):
    return k @ q.mT


def _keys_detached(q, k):
    return q @ k.detach().mT


def _as_they_are(q, k):
    return q @ k


def _all_turned(q, k):
    return q @ k.permute(*reversed(range(k.ndim)))


ATTENTION_SCORES = Exercise(
    reference=reference.attention_scores,
    chapter=CHAPTER,
    points={"values": 2, "edges": 1, "gradients": 1, "types": 1, "contracts": 1},
    cases=CASES,
    contract=_contract,
    traps=(
        Trap(
            "no scale",
            _with(scale=_one),
            "q·k is a sum of D products, so its standard deviation grows like √D. Unscaled, the "
            "softmax of a wide model is close to one-hot from the first step and passes almost no "
            "gradient. Divide by √D.",
            "Step 2: scale",
        ),
        Trap(
            "divided by D instead of √D",
            _with(scale=_by_width),
            "the variance of q·k is D, its standard deviation √D, and it is the standard deviation "
            "that should become 1. Divided by D the scores are nearly equal, and every query reads "
            "the plain average of all values. (Dividing both q and k by √D does the same.)",
            "Step 2: scale",
        ),
        Trap(
            "D ** 1/2",
            _with(scale=_by_half_of_width),
            "a power binds tighter than a division: D ** 1/2 is (D ** 1) / 2. Write D ** 0.5.",
            "Step 2: scale",
        ),
        Trap(
            "scaled by the length of a sequence",
            _with(scale=_by_keys),
            "the scale undoes the growth of a sum over the width D. How many queries or keys there "
            "are does not enter a single score. The width is q.shape[-1].",
            "Step 2: scale",
            (_with(scale=_by_queries),),
        ),
        Trap(
            "multiplied by √D",
            _with(scale=_times),
            "the scale is D to the power -1/2, with the minus.",
            "Step 2: scale",
        ),
        Trap(
            "cosine similarity",
            _with(product=_of_directions, scale=_one),
            "attention compares by dot product: length counts as well as direction, and says how "
            "strongly a word insists. Normalising both "
            "confines every score to [-1, 1], where softmax is nearly flat.",
            "Step 1: dot products",
            (_with(product=_of_directions),),
        ),
        Trap(
            "keys ask, queries answer",
            _with(product=_keys_ask),
            "the product is the other way round: rows are queries and columns are keys, because "
            "the softmax that follows runs along a row. It is q @ k.mT.",
            "Step 1: dot products",
        ),
        Trap(
            "keys not transposed",
            _with(product=_as_they_are),
            "each query meets each key: rows of q with rows of k. A matrix product takes rows of "
            "the first and columns of the second, so the keys are transposed, in their last two "
            "dimensions: k.mT.",
            "Step 1: dot products",
        ),
        Trap(
            "all dimensions turned round",
            _with(product=_all_turned),
            "k.T turns all dimensions round, the batch included; of a single matrix it is the "
            "same as k.mT, which turns the last two.",
            "Step 1: dot products",
        ),
        Trap(
            "a detached key",
            _with(product=_keys_detached),
            "the numbers are right, but detach() cuts the keys off from learning: no gradient "
            "reaches whatever produced them.",
            "Learning: the backward pass",
        ),
        Trap(
            "the caller's queries overwritten",
            in_place,
            "q *= ... writes into the caller's tensor. The second call with the same q starts from "
            "scaled queries, and so does anything else that reads it. Scale a new tensor.",
            "Step 2: scale",
            overwrites="q",
        ),
    ),
)
