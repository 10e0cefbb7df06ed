"""What ``scaled_dot_product_attention`` must satisfy, and the wrong answers that people give."""

from collections.abc import Iterator

import torch
from torch import Generator

import tutor.checks.softmax as softmax
from tutor import attention as reference
from tutor.checks.attention import attention_scores
from tutor.checks.attention.shared import CHAPTER, DV, TK, TQ, B, D, QKVDraw, low_score
from tutor.checks.changes import changeable
from tutor.checks.conditions import Crossed
from tutor.checks.exercise import Case, Contract, Exercise, Property, Trap
from tutor.checks.families import ATTENTION, attention_inputs
from tutor.checks.forbidden import LIBRARY_ATTENTION
from tutor.checks.limits import between
from tutor.checks.shares import completed
from tutor.checks.softmax import read, scaled, weights


def _by_hand(draw: QKVDraw) -> Iterator[Case]:
    yield Case("the mask left out", draw.qkv(B))
    nothing = torch.zeros(B, TQ, TK, dtype=torch.bool, device=draw.device)
    yield Case("no query may read anything", (*draw.qkv(B), nothing), "edges")
    sizes = {name: draw.integer(2, 9) for name in ("tq", "tk", "d", "dv")}
    yield Case("sizes drawn by lot", (*draw.qkv(draw.integer(2, 5), **sizes), None))
    yield Case("only a very low score may be read", low_score(draw), "edges")
    integers = draw.keep(B, TQ, TK).to(torch.int64)
    yield Case(
        "a mask of integers must raise TypeError", (*draw.qkv(B), integers), "edges", TypeError
    )


CASES = Crossed(
    ATTENTION,
    lambda draw, row: attention_inputs(draw, row, D, DV),
    _by_hand,
    draw=QKVDraw,
)


def _future_edit_leaves_past(call, generator: Generator, device: torch.device) -> str | None:
    draw = QKVDraw(generator, device)
    q, k, v = draw.qkv(B, tq=TK)
    keep = reference.causal_mask(TK, TK, device)
    before = call(q, k, v, keep)
    k2, v2 = k.clone(), v.clone()
    k2[:, 3:], v2[:, 3:] = draw.normal(B, TK - 3, D), draw.normal(B, TK - 3, DV)
    change = (call(q, k2, v2, keep) - before)[:, :3].abs().max()
    if change != 0:  # nan differs too
        return f"new tokens after position 2 changed the answers up to there by {float(change):.2g}"
    return None


def _contract(generator: Generator, device: torch.device) -> Contract:
    b, tq, tk, d, dv = 2, 16, 24, 32, 8
    draw = QKVDraw(generator, device)
    q, k, v = draw.qkv(b, tq=tq, tk=tk, d=d, dv=dv)
    pairs = b * tq * tk
    return Contract(
        calls=((q, k, v, draw.keep(b, tq, tk)), (q, k, v, None)),
        max_flops=between(2 * pairs * (d + dv), 2 * pairs * (d + 2 * dv)),
        # All products of features at once, to be summed later, need d or dv times as much.
        max_intermediate=between(2 * k.numel(), pairs * dv),
        forbidden=LIBRARY_ATTENTION,
    )


def _as_they_came(q, v):
    return q


def _as_they_are(shares, q):
    return shares


def _by_root(shares, q):
    return shares / q.shape[-1] ** 0.5


def _attention(
    q,
    k,
    v,
    keep=None,
    asked=_as_they_came,
    score=scaled,
    weigh=weights,
    after=_as_they_are,
    read=read,
    **steps,
):
    """The right attention, but for the steps that are given."""
    return read(after(weigh(score(asked(q, v), k), keep, **steps), q), v)


_with = changeable(_attention)


def _scaled_for_values(q, v):
    return q * (q.shape[-1] / v.shape[-1]) ** 0.5


def _of_features(q, k):
    return q.mT @ k * q.shape[-1] ** -0.5


def _read_by_features(shares, v):
    return (shares @ v.mT).mT


_OWN = (
    Trap(
        "no scale",
        _with(score=attention_scores.no_scale),
        "q·k is a sum of D products, so its standard deviation grows like √D. Unscaled, the "
        "softmax of a wide model is close to one-hot from the first step and passes almost no "
        "gradient. Divide by √D.",
        "Step 2: scale",
    ),
    Trap(
        "keys not transposed",
        _with(score=attention_scores.keys_not_transposed),
        "each query meets each key: rows of q with rows of k, q @ k.mT. (.mT turns the last "
        "two dimensions round; .T turns all of them, the batch included.)",
        "Step 1: dot products",
        (_with(score=attention_scores.all_turned),),
    ),
    Trap(
        "divided by D instead of √D",
        _with(score=attention_scores.divided_by_width),
        "the variance of q·k is D, its standard deviation √D, and it is the standard deviation "
        "that should become 1. Divided by D the scores are nearly equal, and every query reads "
        "the plain average of all values.",
        "Step 2: scale",
    ),
    Trap(
        "scaled after the softmax",
        _with(score=attention_scores.no_scale, after=_by_root),
        "the division by √D stands inside the softmax, where it decides how sharp the choice "
        "is. After it, the choice is as sharp as without a scale and the weights of a row no "
        "longer sum to 1.",
        "Step 2: scale",
        (_with(after=_by_root),),
    ),
    Trap(
        "features that read each other",
        _with(score=_of_features, read=_read_by_features),
        "qᵀ k compares features, (D, D), and says nothing of which query reads which key. Each "
        "query meets each key: rows of q with rows of k, q @ k.mT.",
        "Step 1: dot products",
    ),
    Trap(
        "scaled by another size",
        _with(asked=_scaled_for_values),
        "q·k is a sum over D, the width of queries and keys, and its standard deviation grows "
        "with √D. The width of the values and the number of keys have no part in that sum.",
        "Step 2: scale",
        tuple(
            _with(score=score)
            for score in (
                attention_scores.scaled_by_length,
                attention_scores.scaled_by_one_more,
                attention_scores.scaled_by_second_size,
            )
        ),
    ),
    Trap(
        "multiplied by √D",
        _with(score=attention_scores.times_root),
        "√D is what the scores are too large by: they are divided by it. Multiplied, their "
        "standard deviation becomes D, and the softmax a choice of one.",
        "Step 2: scale",
    ),
    Trap(
        "a constant scale",
        _with(score=attention_scores.scaled_by(64**-0.5)),
        "1/8 is the scale of heads of 64 features, as in the paper. Another width has another "
        "scale: ask q.shape[-1] for it.",
        "Step 2: scale",
        (_with(score=attention_scores.scaled_by(512**-0.5)),),
    ),
    Trap(
        "view of what is not contiguous",
        _with(score=attention_scores.of_views),
        "view only renames what lies in memory in order, and a transposed tensor does not: it "
        "raises. @ takes any number of batch dimensions as they are; reshape copies where it "
        "must.",
        "Step 1: dot products",
    ),
    Trap(
        "a softmax too many",
        _with(**softmax.TWICE),
        "scores go through one softmax. Weights between 0 and 1 taken for scores again give "
        "none more than e times the weight of another: every query reads nearly the plain "
        "average.",
        "Step 3: softmax",
    ),
    Trap(
        "softmax over the queries",
        _with(**softmax.OVER_QUERIES),
        "each query has a distribution over the keys: rows sum to 1. Along dim=-2 the keys "
        "share out the queries instead, and adding one query changes all other answers. "
        "Keys run along the last dimension.",
        "Step 3: softmax",
    ),
    Trap(
        "softmax over the batch",
        _with(**softmax.OVER_BATCH),
        "dim=0 is the batch: sentences share out their weights among each other. Keys run "
        "along the last dimension, dim=-1. (nn.Softmax() without a dim takes the first or the "
        "second, depending on how many there are.)",
        "Step 3: softmax",
    ),
    Trap(
        "the mask forgotten",
        _with(**softmax.FORGOTTEN),
        "keep changes nothing: every query reads every key. (masked_fill returns a new tensor "
        "and leaves the old one as it was: scores = scores.masked_fill(...).)",
        "Masks",
    ),
    Trap(
        "renormalised after the softmax",
        _with(**softmax.RENORMALISED),
        "dividing by what is left mends the row sums until a hidden score takes everything: "
        "then 0 is divided by 0, or what is left has no digits left. Hide before the softmax.",
        "Masks",
    ),
    Trap(
        "exponentials without the maximum",
        _with(**softmax.NO_MAXIMUM),
        "exp(710) is infinite in double precision, exp(12) in half, and infinity by infinity "
        "is nan; a row of very negative scores is 0 / 0. softmax subtracts the row's maximum "
        "first, which changes no quotient.",
        "Step 3: softmax",
    ),
    Trap(
        "masked after the softmax",
        _with(**softmax.AFTERWARDS),
        "the hidden keys have already taken their share when they are zeroed: the remaining "
        "weights sum to less than 1, and how much less tells of the hidden scores. A causal "
        "model masked like this sees the future through its row sums.",
        "Masks",
    ),
    Trap(
        "mask inverted",
        _with(**softmax.INVERTED),
        "keep is True where a key may be read, as in F.scaled_dot_product_attention. "
        "masked_fill fills where its argument is True, so it needs ~keep. "
        "(nn.MultiheadAttention has it the other way round.)",
        "Masks",
    ),
    Trap(
        "the mask multiplies the scores",
        _with(**softmax.TIMES_SCORES),
        "a score of 0 is not a weight of 0: exp(0) is 1, so a hidden key still gets a share, "
        "and more than a visible key with a negative score.",
        "Masks",
    ),
    Trap(
        "nothing to read, so everything is read",
        _with(**softmax.AVERAGE_ROW),
        "a row of equal scores, however low, is a uniform distribution: the query that may "
        "read nothing gets the average of all the values it was to be kept from. Multiply the "
        "weights by keep after the softmax.",
        "The row that may read nothing",
    ),
    Trap(
        "-1e9 as minus infinity",
        _with(**softmax.MINUS_1E9),
        "half precision ends at 65,504 and cannot hold -1e9, so the first run in half "
        "precision fails. And a row that may read nothing is a row of equal scores: it "
        "averages everything it was to be kept from. Take finfo(dtype).min, and zero such "
        "rows.",
        "The row that may read nothing",
        (_with(**softmax.MINUS_1E9_ZEROED), _with(**softmax.MINUS_1E9_ADDED)),
    ),
    Trap(
        "not low enough",
        _with(**softmax.NOT_LOW_ENOUGH),
        "a key that may be read scored below the number that stands for hidden, so the hidden "
        "keys won the softmax. Scores have no lower bound: take finfo(dtype).min.",
        "The row that may read nothing",
        (_with(**softmax.MINUS_1E4_ADDED),),
    ),
    Trap(
        "a float32 mask in another precision",
        _with(**softmax.FLOAT_BIAS),
        "adding a float32 tensor turns half-precision scores into float32, which the values "
        "are not. And added, -1e9 or -inf leaves a row that may read nothing with an average "
        "or with nan. masked_fill keeps the dtype and needs no second tensor.",
        "The row that may read nothing",
        (_with(**softmax.LOG_BIAS),),
    ),
    Trap(
        "the row that may read nothing",
        _with(**softmax.NAN_ROW),
        "all its scores are -inf, and softmax divides 0 by 0. The other rows hide it until a "
        "loss turns nan hours into training. Try: look at weights.sum(-1) for that row.",
        "The row that may read nothing",
    ),
    Trap(
        "nan swept under the rug",
        _with(**softmax.NAN_GRADIENT),
        "nan_to_num mends the answer and not the derivative: softmax's backward pass "
        "multiplies by its own nan output, and the gradient of that row is nan. A finite fill "
        "never makes a nan in the first place.",
        "The row that may read nothing",
    ),
    Trap(
        "the lowest number added",
        _with(**softmax.LOWEST_ADDED),
        "finfo(dtype).min and a negative score together are below what the dtype can hold: "
        "-inf in half precision, and nan in a row of nothing else. masked_fill replaces the "
        "score instead.",
        "The row that may read nothing",
        (_with(**softmax.LOWEST_OF_BOOL_ADDED),),
    ),
    Trap(
        "the caller's queries overwritten",
        _with(score=attention_scores.in_place),
        "q *= ... writes into the caller's tensor. The second call with the same q starts from "
        "scaled queries, and so does anything else that reads it. Scale a new tensor.",
        "Step 2: scale",
        overwrites="q",
    ),
)

SCALED_DOT_PRODUCT_ATTENTION = Exercise(
    reference=reference.scaled_dot_product_attention,
    chapter=CHAPTER,
    points={"values": 3, "edges": 3, "gradients": 2, "types": 1, "contracts": 1},
    cases=CASES,
    contract=_contract,
    properties=(Property("a future edit leaves the past unchanged", _future_edit_leaves_past),),
    traps=completed(
        _OWN,
        _with,
        {
            "softmax": "Step 3: softmax",
            "masks": "Masks",
            "nothing": "The row that may read nothing",
            "reading": "Step 4: the weighted sum",
            "besides": "Step 4: the weighted sum",
        },
        called={
            "a constant as minus infinity": "not low enough",
        },
    ),
)
