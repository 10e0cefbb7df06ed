"""What ``self_attention`` must satisfy, and the wrong answers that people give."""

from collections.abc import Iterator

import torch
from torch import Generator, Tensor

import tutor.checks.softmax as softmax
from tutor import attention as reference
from tutor.checks.attention.shared import CHAPTER, DV, B, C, D
from tutor.checks.changes import changeable
from tutor.checks.conditions import Crossed, Row
from tutor.checks.crossings import OF_ITSELF, masked, projected
from tutor.checks.draw import Draw, laid
from tutor.checks.exercise import Case, Contract, Exercise, Property, Trap
from tutor.checks.forbidden import LIBRARY_ATTENTION
from tutor.checks.limits import between
from tutor.checks.scoring import (
    all_turned,
    always,
    by_keys,
    by_queries,
    by_root,
    by_width,
    of_features,
    one,
    queries_ask,
    score_traps,
    scores,
    times_root,
)
from tutor.checks.shares import completed
from tutor.checks.softmax import read, weights


def _by_hand(draw: Draw) -> Iterator[Case]:
    sizes = {name: draw.integer(2, 9) for name in ("t", "c", "d", "dv")}
    yield Case("sizes drawn by lot", (*_ordinary(draw, draw.integer(2, 5), **sizes), None))
    yield Case("square weights", (*_ordinary(draw, B, c=D, dv=D), None))
    yield Case("the mask left out", _ordinary(draw, B))


def _ordinary(draw: Draw, *batch: int, t=5, c=C, d=D, dv=DV) -> tuple[Tensor, ...]:
    return (draw.normal(*batch, t, c), *(draw.weight(c, n) for n in (d, d, dv)))


def _arguments(draw: Draw, row: Row) -> tuple[Tensor | None, ...]:
    x, _, w_q, w_k, rows = projected(draw, row, C, C, D, itself=True)
    w_v = rows * draw.weight(C, DV, dtype=row["dtype"])
    return (*(laid(t, row["layout"]) for t in (x, w_q, w_k, w_v)), masked(draw, row))


CASES = Crossed(OF_ITSELF, _arguments, _by_hand)


def _shuffled_in_shuffled_out(call, generator: Generator, device: torch.device) -> str | None:
    draw = Draw(generator, device)
    t = 6
    x, w = draw.normal(B, t, C), [draw.normal(C, n) for n in (D, D, DV)]
    order = torch.randperm(t, generator=generator).to(device)
    change = (call(x[:, order], *w, None) - call(x, *w, None)[:, order]).abs().max()
    if not change < 1e-10:
        return f"shuffled tokens should give the same answers, shuffled; off by {float(change):.2g}"
    return None


def _contract(generator: Generator, device: torch.device) -> Contract:
    b, n = 2, 24
    draw = Draw(generator, device)
    x, w = draw.normal(b, n, n), [draw.weight(n, n) for _ in range(3)]
    product = 2 * b * n**3  # of any two of the matrices, so that their order is free
    return Contract(
        calls=((x, *w, reference.causal_mask(n, n, device)), (x, *w, None)),
        max_flops=between(5 * product, 6 * product),
        # The projections may be one product; all products of features at once need n times as much.
        max_intermediate=between(3 * x.numel(), n * x.numel()),
        forbidden=LIBRARY_ATTENTION,
    )


def _projected(x, w_q, w_k, w_v):
    return x @ w_q, x @ w_k, x @ w_v


def _no_more(x):
    return 1.0


def _as_they_are(shares, q):
    return shares


def _alone(read, x):
    return read


def _attention(
    x,
    w_q,
    w_k,
    w_v,
    keep=None,
    project=_projected,
    product=queries_ask,
    scale=by_root,
    sized=_no_more,
    weigh=weights,
    after=_as_they_are,
    read=read,
    out=_alone,
    **steps,
):
    """The right answer, but for the steps that are given."""
    q, k, v = project(x, w_q, w_k, w_v)
    shares = weigh(scores(q, k, product, scale) * sized(x), keep, **steps)
    return out(read(after(shares, q), v), x)


_with = changeable(_attention)


def _values_not_projected(x, w_q, w_k, w_v):
    return x @ w_q, x @ w_k, x


def _roles_swapped(x, w_q, w_k, w_v):
    return x @ w_k, x @ w_q, x @ w_v


def _one_projection(x, w_q, w_k, w_v):
    return x @ w_q, x @ w_q, x @ w_v


def _weights_transposed(x, w_q, w_k, w_v):
    return x @ w_q.mT, x @ w_k.mT, x @ w_v.mT


def _unprojected(x, w_q, w_k, w_v):
    return x, x, x @ w_v


def _in_equal_parts(x, w_q, w_k, w_v):
    return (x @ torch.cat((w_q, w_k, w_v), -1)).chunk(3, -1)


def _by_width_of_model(x):
    return x.shape[-1] ** -0.5


def _read_by_features(shares, v):
    return (shares @ v.mT).mT


def _features_read(shares, v):
    return v @ shares


def _features_read_turned(shares, v):
    return v @ shares.mT


def _by_root_at_last(shares, q):
    return shares / q.shape[-1] ** 0.5


def _besides_x(read, x):
    return read + x


_OWN = (
    Trap(
        "values not projected",
        _with(project=_values_not_projected),
        "the tokens themselves are averaged instead of their values x w_v. What a token is "
        "found by and what it hands over are different things; w_v is what decides the second.",
        "One sequence asks itself",
    ),
    Trap(
        "three equal parts",
        _with(project=_in_equal_parts),
        "one product for all three projections is a good idea, but chunk(3) cuts it into equal "
        "parts. Values may have another width than queries and keys: split at D, D and Dv.",
        "One sequence asks itself",
    ),
    Trap(
        "queries and keys swapped",
        _with(project=_roles_swapped),
        "q = x w_q and k = x w_k. Swapped, the score of (i, j) becomes that of (j, i): the "
        "verb that looked for its subject is now looked for by it.",
        "One sequence asks itself",
    ),
    Trap(
        "one projection for queries and keys",
        _with(project=_one_projection),
        "with q = k the scores are symmetric, and every token scores high with itself: what I "
        "look for and what I am found by become the same thing.",
        "One sequence asks itself",
    ),
    Trap(
        "the mask forgotten",
        _with(**softmax.FORGOTTEN),
        "keep is accepted and never passed on. Nothing crashes: the model reads its padding "
        "and its future.",
        "Masks",
    ),
    Trap(
        "mask inverted",
        _with(**softmax.INVERTED),
        "keep is True where a token may be read, here as in scaled_dot_product_attention: pass "
        "it on as it is.",
        "Masks",
    ),
    Trap(
        "scaled by the width of the model",
        _with(scale=one, sized=_by_width_of_model),
        "the sum in q·k runs over D, the width after the projection. C is the width before it.",
        "Step 2: scale",
    ),
    Trap(
        "no scale",
        _with(scale=one),
        "q·k is a sum of D products, so its standard deviation grows like √D. Divide by √D, "
        "the square root of the width after the projection.",
        "Step 2: scale",
    ),
    Trap(
        "divided by D instead of √D",
        _with(scale=by_width),
        "the variance of q·k is D, its standard deviation √D, and it is the standard deviation "
        "that should become 1.",
        "Step 2: scale",
    ),
    Trap(
        "all dimensions turned round",
        _with(product=all_turned),
        "k.T turns all dimensions round, the batch included; of a single matrix it is the "
        "same as k.mT, which turns the last two.",
        "Step 1: dot products",
    ),
    *score_traps(_with, "Step 1: dot products", "Step 2: scale"),
    Trap(
        "scaled after the softmax",
        _with(scale=one, after=_by_root_at_last),
        "the division by √D stands inside the softmax, where it decides how sharp the choice "
        "is. After it, the weights of a token no longer sum to 1.",
        "Step 2: scale",
        (_with(after=_by_root_at_last),),
    ),
    Trap(
        "scaled by another size",
        _with(scale=by_keys),
        "q·k is a sum over D, the width of queries and keys, and its standard deviation grows "
        "with √D: neither with the number of tokens nor with a number that is always the same.",
        "Step 2: scale",
        (_with(scale=always(1 / 8)),),
    ),
    Trap(
        "multiplied by √D",
        _with(scale=times_root),
        "√D is what the scores are too large by: they are divided by it. Multiplied, their "
        "standard deviation becomes D, and the softmax a choice of one.",
        "Step 2: scale",
    ),
    Trap(
        "features that read each other",
        _with(product=of_features, read=_read_by_features),
        "qᵀ k compares features, (D, D), and says nothing of which token reads which. Each "
        "query meets each key: rows of q with rows of k, q @ k.mT.",
        "Step 1: dot products",
        tuple(
            _with(product=of_features, scale=scale, read=read)
            for scale in (by_root, by_queries)
            for read in (_read_by_features, _features_read, _features_read_turned)
        )[1:],
    ),
    Trap(
        "a residual connection",
        _with(**softmax.READ_BESIDES),
        "what was read was added to what it was read from. A block has such a way past its "
        "attention, and adding is the block's job: here only what was read is asked for.",
        "One sequence asks itself",
        (_with(out=_besides_x),),
    ),
    Trap(
        "nn.Linear's orientation",
        _with(project=_weights_transposed),
        "nn.Linear stores its weight as (out, in) and multiplies by the transpose. Here the "
        "weights are (in, out): x @ w_q.",
        "One sequence asks itself",
    ),
    Trap(
        "no projection for queries and keys",
        _with(project=_unprojected),
        "x xᵀ compares tokens as they are: a token can then only find what resembles it. The "
        "projections let it look for something else.",
        "One sequence asks itself",
    ),
)

SELF_ATTENTION = Exercise(
    reference=reference.self_attention,
    chapter=CHAPTER,
    points={"values": 3, "edges": 2, "gradients": 1, "types": 1, "contracts": 1},
    cases=CASES,
    contract=_contract,
    properties=(
        Property("shuffled tokens, shuffled answers", _shuffled_in_shuffled_out, "values"),
    ),
    traps=completed(
        _OWN,
        _with,
        {
            "softmax": "Step 3: softmax",
            "masks": "Masks",
            "nothing": "The row that may read nothing",
            "reading": "Step 4: the weighted sum",
            "itself": "One sequence asks itself",
        },
    ),
)
