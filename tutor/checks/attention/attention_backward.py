"""What ``attention_backward`` must satisfy, and the wrong answers that people give."""

from collections.abc import Iterator

import torch
from torch import Generator, Tensor

import tutor.checks.softmax as softmax
from tutor import attention as reference
from tutor.checks.attention import attention_scores
from tutor.checks.attention.shared import CHAPTER, DV, TK, TQ, B, D, QKVDraw, low_score
from tutor.checks.changes import changeable
from tutor.checks.conditions import Crossed, Row
from tutor.checks.draw import BFLOAT, HALF, laid
from tutor.checks.exercise import Case, Contract, Exercise, Trap
from tutor.checks.families import ATTENTION, attention_inputs, numbers
from tutor.checks.forbidden import LIBRARY_ATTENTION
from tutor.checks.limits import between
from tutor.checks.shares import completed
from tutor.checks.softmax import scaled, weights


def _arguments(draw: QKVDraw, row: Row) -> tuple[Tensor | None, ...]:
    q, k, v, keep = attention_inputs(draw, row, D, DV)
    grad_out = numbers(draw, row, *q.shape[:-1], DV)
    # Differences of sums of dv products: the short dtypes round them more than the tolerance
    # allows once in some ten thousand draws, unless the sums are small.
    if row["dtype"] in (HALF, BFLOAT) and row["scores"]:
        grad_out = grad_out / 4
    return laid(grad_out, row["layout"]), q, k, v, keep


def _by_hand(draw: QKVDraw) -> Iterator[Case]:
    yield Case("the mask left out", (draw.normal(B, TQ, DV), *draw.qkv(B)))
    nothing = torch.zeros(B, TQ, TK, dtype=torch.bool, device=draw.device)
    yield Case(
        "no query may read anything", (draw.normal(B, TQ, DV), *draw.qkv(B), nothing), "edges"
    )
    sizes = {name: draw.integer(2, 9) for name in ("tq", "tk", "d", "dv")}
    q, k, v = draw.qkv(draw.integer(2, 5), **sizes)
    grad_out = draw.normal(*q.shape[:-1], v.shape[-1])
    yield Case("sizes drawn by lot", (grad_out, q, k, v, None))
    low = (draw.normal(B, TQ, DV), *low_score(draw))
    yield Case("only a very low score may be read", low, "edges")


CASES = Crossed(ATTENTION, _arguments, _by_hand, draw=QKVDraw)


def _contract(generator: Generator, device: torch.device) -> Contract:
    b, tq, tk, d, dv = 2, 16, 24, 48, 20
    draw = QKVDraw(generator, device)
    q, k, v = draw.qkv(b, tq=tq, tk=tk, d=d, dv=dv)
    grad_out = draw.normal(b, tq, dv)
    pairs = b * tq * tk
    # Scores, dv, dw, dq and dk are five products; a sixth, the answer itself, is one way to the
    # row sums (Σ_j w_j dw_j = grad_out · out).
    return Contract(
        calls=((grad_out, q, k, v, draw.keep(b, tq, tk)), (grad_out, q, k, v, None)),
        max_flops=between(2 * pairs * (3 * d + 3 * dv), 2 * pairs * (4 * d + 3 * dv)),
        # All terms of a product at once; the softmax's Jacobian, written out, has even more.
        max_intermediate=between(2 * k.numel(), pairs * dv),
        forbidden={
            **LIBRARY_ATTENTION,
            "autograd": "it lets autograd do the work; this exercise is to do it by hand",
            "_backward": "it calls torch's own backward formulas; this exercise is to write them",
        },
    )


def _softmax_backward(w, dw):
    return w * (dw - (w * dw).sum(-1, keepdim=True))


def _of_queries_and_keys(grad_scores, q, k):
    scale = q.shape[-1] ** -0.5
    return grad_scores @ k * scale, grad_scores.mT @ q * scale


def _of_values(shares, grad_out):
    return shares.mT @ grad_out


def _backward(
    grad_out,
    q,
    k,
    v,
    keep=None,
    score=scaled,
    weigh=weights,
    through=_softmax_backward,
    on=_of_queries_and_keys,
    of_values=_of_values,
    order=(0, 1, 2),
    **steps,
):
    """The right backward pass, but for the steps that are given."""
    shares = weigh(score(q, k), keep, **steps)
    grad_scores = through(shares, grad_out @ v.mT)
    gradients = (*on(grad_scores, q, k), of_values(shares, grad_out))
    return tuple(gradients[i] for i in order)


_with = changeable(_backward)


def _no_row_sum(w, dw):
    return w * dw


def _sigmoid(w, dw):
    return w * (1 - w) * dw


def _softmax_ignored(w, dw):
    return dw


def _sum_over_queries(w, dw):
    return w * (dw - (w * dw).sum(-2, keepdim=True))


def _plain_mean(w, dw):
    return w * (dw - dw.mean(-1, keepdim=True))


def _sum_not_kept(w, dw):
    return w * (dw - (w * dw).sum(-1))


def _sign(w, dw):
    return -_softmax_backward(w, dw)


def _no_scale(grad_scores, q, k):
    return grad_scores @ k, grad_scores.mT @ q


def _scale_twice(grad_scores, q, k):
    return grad_scores @ k / q.shape[-1], grad_scores.mT @ q / q.shape[-1]


def _of_values_on_its_side(shares, grad_out):
    return shares @ grad_out


def _exchanged(grad_scores, q, k):
    scale = q.shape[-1] ** -0.5
    return grad_scores @ q * scale, grad_scores.mT @ k * scale


def _keys_on_their_side(grad_scores, q, k):
    scale = q.shape[-1] ** -0.5
    return grad_scores @ k * scale, grad_scores @ q * scale


_OTHER_ORDERS = tuple(
    _with(order=order) for order in ((1, 0, 2), (0, 2, 1), (1, 2, 0), (2, 0, 1), (2, 1, 0))
)
_OWN = (
    Trap(
        "the other weights forgotten",
        _with(through=_no_row_sum),
        "w ∘ dw treats each weight as if it moved alone. The weights of a row sum to 1: "
        "raising one score lowers all the other weights, and the term -w Σ_j w_j dw_j is that "
        "loss. Check: every row of ds must sum to 0.",
        "Learning: the backward pass",
    ),
    Trap(
        "the derivative of a sigmoid",
        _with(through=_sigmoid),
        "w (1 - w) is the diagonal of the softmax's Jacobian, the effect of a score on its own "
        "weight. It has off-diagonal entries, -w_i w_j, too.",
        "Learning: the backward pass",
    ),
    Trap(
        "straight through the softmax",
        _with(through=_softmax_ignored),
        "dw is the gradient of the weights, not of the scores: the softmax in between has a "
        "Jacobian of its own.",
        "Learning: the backward pass",
    ),
    Trap(
        "summed over the queries",
        _with(through=_sum_over_queries),
        "the sum Σ_j w_j dw_j runs over the keys of one query, the same axis as the softmax.",
        "Learning: the backward pass",
    ),
    Trap(
        "the summed dimension lost",
        _with(through=_sum_not_kept),
        "sum(-1) drops the dimension of the keys, and the row sums then meet the keys from the "
        "right: it raises, or, with as many queries as keys, subtracts another row's sum. "
        "Write sum(-1, keepdim=True).",
        "Learning: the backward pass",
    ),
    Trap(
        "a plain mean",
        _with(through=_plain_mean),
        "what is subtracted is the mean of dw under the weights, Σ_j w_j dw_j, not the "
        "arithmetic mean: a key that is hardly read hardly counts.",
        "Learning: the backward pass",
    ),
    Trap(
        "the scale forgotten on the way back",
        _with(on=_no_scale),
        "scores = q kᵀ / √D, so dq and dk carry the factor 1/√D as well.",
        "Learning: the backward pass",
    ),
    Trap(
        "the scale applied twice",
        _with(on=_scale_twice),
        "one factor 1/√D on the way back, on ds or on dq and dk, not on both.",
        "Learning: the backward pass",
    ),
    Trap(
        "the gradients in another order",
        _OTHER_ORDERS[0],
        "they are returned as (grad_q, grad_k, grad_v), in the order of the arguments.",
        "Learning: the backward pass",
        _OTHER_ORDERS[1:],
    ),
    Trap(
        "the sign flipped",
        _with(through=_sign),
        "dw_j minus the mean, not the mean minus dw_j: a score is raised if its value would "
        "improve the loss more than what is read now.",
        "Learning: the backward pass",
    ),
    Trap(
        "the row that may read nothing",
        _with(**softmax.NAN_ROW),
        "a query that may read nothing has a row of nan, or of equal weights, where its "
        "weights should all be 0. Recompute them as in the forward pass: a finite fill, and "
        "weights * keep.",
        "The row that may read nothing",
    ),
    Trap(
        "no scale",
        _with(score=attention_scores.no_scale),
        "the weights must be those of the forward pass, whose scores are divided by √D.",
        "Learning: the backward pass",
        (_with(score=attention_scores.no_scale, on=_no_scale),),
    ),
    Trap(
        "a product on its side",
        _with(of_values=_of_values_on_its_side),
        "each product has one on the way back for each of its factors, and one of the two is "
        "transposed: dv = wᵀ do, dq = ds k, dk = dsᵀ q.",
        "Learning: the backward pass",
        (_with(on=_keys_on_their_side), _with(on=_exchanged)),
    ),
    Trap(
        "the mask forgotten on the way back",
        _with(**softmax.FORGOTTEN),
        "the weights must be those of the forward pass, with hidden keys at 0: otherwise "
        "gradient flows into the future and into the padding.",
        "Learning: the backward pass",
    ),
)

ATTENTION_BACKWARD = Exercise(
    reference=reference.attention_backward,
    chapter=CHAPTER,
    outputs=("grad_q", "grad_k", "grad_v"),
    points={"values": 4, "edges": 3, "types": 1, "contracts": 2},
    cases=CASES,
    contract=_contract,
    traps=completed(
        _OWN,
        _with,
        {
            "softmax": "Step 3: softmax",
            "masks": "Masks",
            "nothing": "The row that may read nothing",
        },
        called={"nothing to read, so everything is read": "the row that may read nothing"},
        without=("nan swept under the rug",),  # of what is computed here nobody asks a gradient
    ),
)
