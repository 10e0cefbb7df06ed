"""What ``attention_backward`` must satisfy, and the wrong answers that people give."""

from collections.abc import Iterator

import torch
from torch import Generator, Tensor

import tutor.checks.attention.backward as backward
import tutor.checks.softmax as softmax
from tutor import attention as reference
from tutor.checks.attention.backward import with_
from tutor.checks.attention.shared import CHAPTER, DV, TK, TQ, B, D, QKVDraw, low_score
from tutor.checks.conditions import Crossed, Row
from tutor.checks.crossings import ATTENTION, attention_inputs, numbers
from tutor.checks.draw import BFLOAT, HALF, laid
from tutor.checks.exercise import Case, Contract, Exercise, Trap
from tutor.checks.forbidden import LIBRARY_ATTENTION
from tutor.checks.limits import between
from tutor.checks.shares import completed


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


_OTHER_ORDERS = tuple(
    with_(order=order) for order in ((1, 0, 2), (0, 2, 1), (1, 2, 0), (2, 0, 1), (2, 1, 0))
)
_OWN = (
    Trap(
        "the other weights forgotten",
        with_(through=backward.no_row_sum),
        "w ∘ dw treats each weight as if it moved alone. The weights of a row sum to 1: "
        "raising one score lowers all the other weights, and the term -w Σ_j w_j dw_j is that "
        "loss. Check: every row of ds must sum to 0.",
        "Learning: the backward pass",
    ),
    Trap(
        "the derivative of a sigmoid",
        with_(through=backward.sigmoid),
        "w (1 - w) is the diagonal of the softmax's Jacobian, the effect of a score on its own "
        "weight. It has off-diagonal entries, -w_i w_j, too.",
        "Learning: the backward pass",
    ),
    Trap(
        "straight through the softmax",
        with_(through=backward.softmax_ignored),
        "dw is the gradient of the weights, not of the scores: the softmax in between has a "
        "Jacobian of its own.",
        "Learning: the backward pass",
    ),
    Trap(
        "summed over the queries",
        with_(through=backward.sum_over_queries),
        "the sum Σ_j w_j dw_j runs over the keys of one query, the same axis as the softmax.",
        "Learning: the backward pass",
    ),
    Trap(
        "the summed dimension lost",
        with_(through=backward.sum_not_kept),
        "sum(-1) drops the dimension of the keys, and the row sums then meet the keys from the "
        "right: it raises, or, with as many queries as keys, subtracts another row's sum. "
        "Write sum(-1, keepdim=True).",
        "Learning: the backward pass",
    ),
    Trap(
        "a plain mean",
        with_(through=backward.plain_mean),
        "what is subtracted is the mean of dw under the weights, Σ_j w_j dw_j, not the "
        "arithmetic mean: a key that is hardly read hardly counts.",
        "Learning: the backward pass",
        (with_(through=backward.plain_sum), with_(through=backward.mean_of_products)),
    ),
    Trap(
        "the weights in front forgotten",
        with_(through=backward.not_weighted),
        "ds = w ∘ (dw - Σ_j w_j dw_j): the weight in front belongs to both terms. A key with "
        "weight 0 gets no gradient, hidden ones included, and every row of ds sums to 0.",
        "Learning: the backward pass",
        (with_(through=backward.one_term_weighted),),
    ),
    Trap(
        "the scale forgotten on the way back",
        with_(back=backward.on_neither),
        "scores = q kᵀ / √D, so dq and dk carry the factor 1/√D as well, both of them.",
        "Learning: the backward pass",
        (with_(back=backward.on_queries), with_(back=backward.on_keys)),
    ),
    Trap(
        "the scale applied twice",
        with_(back=backward.twice),
        "one factor 1/√D on the way back, on ds or on dq and dk, not on both.",
        "Learning: the backward pass",
        (
            with_(back=backward.twice_on_queries),
            with_(back=backward.twice_on_keys),
            with_(back=backward.twice_on_queries_only),
            with_(back=backward.twice_on_keys_only),
        ),
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
        with_(through=backward.sign),
        "dw_j minus the mean, not the mean minus dw_j: a score is raised if its value would "
        "improve the loss more than what is read now.",
        "Learning: the backward pass",
    ),
    Trap(
        "the row that may read nothing",
        with_(**softmax.NAN_ROW),
        "a query that may read nothing has a row of nan, or of equal weights, where its "
        "weights should all be 0. Recompute them as in the forward pass: a finite fill, and "
        "weights * keep.",
        "The row that may read nothing",
    ),
    Trap(
        "no scale",
        with_(ahead=backward.no_scale),
        "the weights must be those of the forward pass, whose scores are divided by √D.",
        "Learning: the backward pass",
        (with_(rule=backward.one),),
    ),
    Trap(
        "divided by D instead of √D",
        with_(rule=backward.by_width),
        "the scores are divided by √D, the standard deviation of q·k, and not by D, its variance: "
        "in the weights that are computed again, and in dq and dk.",
        "Learning: the backward pass",
        (with_(ahead=backward.squared), with_(rule=backward.half_of_width)),
    ),
    Trap(
        "multiplied by √D",
        with_(rule=backward.times_root),
        "the scale is D to the power -1/2, with the minus, ahead and on the way back.",
        "Learning: the backward pass",
        (with_(ahead=backward.turned_round), with_(back=backward.multiplied)),
    ),
    Trap(
        "scaled by another size",
        with_(rule=backward.by_values),
        "q·k is a sum over D, the width of queries and keys, and its standard deviation grows "
        "with √D. The width of the values and the number of keys have no part in that sum.",
        "Learning: the backward pass",
        (with_(rule=backward.by_keys), with_(rule=backward.by_queries)),
    ),
    Trap(
        "all dimensions turned round",
        with_(turn=backward.all_dimensions),
        ".T turns all dimensions round, the batch included. Of a single matrix it does the same "
        "as .mT, which turns the last two.",
        "Learning: the backward pass",
        (
            with_(turn=backward.all_dimensions_ahead),
            with_(turn=backward.all_dimensions_of_values),
            with_(turn=backward.all_dimensions_of_weights),
        ),
    ),
    Trap(
        "added up over the batch",
        with_(end=backward.keys_added_up),
        "each sentence of the batch has keys and values of its own, and so its own grad_k and "
        "grad_v, in their shapes. A sum over the batch is for what all sentences share, such as "
        "a weight matrix.",
        "Learning: the backward pass",
        (
            with_(end=backward.keys_added_up_to_one),
            with_(end=backward.keys_averaged),
            with_(end=backward.all_added_up),
            with_(end=backward.all_averaged),
        ),
    ),
    Trap(
        "exactly one batch dimension",
        with_(unpack=backward.into_three),
        "there may be any number of batch dimensions, none included. @ and .mT work on the last "
        'two dimensions whatever stands before them; einsum takes "..." for the others.',
        "Learning: the backward pass",
        (
            with_(unpack=backward.third_size),
            with_(meet=backward.by_letters),
            with_(meet=backward.by_bmm),
            with_(unpack=backward.third_size, meet=backward.by_bmm),
        ),
    ),
    Trap(
        "a product on its side",
        with_(of_values=backward.not_turned),
        "each product has one on the way back for each of its factors, and one of the two is "
        "transposed: dv = wᵀ do, dq = ds k, dk = dsᵀ q.",
        "Learning: the backward pass",
        (
            with_(on=backward.keys_not_turned),
            with_(on=backward.exchanged),
            with_(on=backward.keys_not_turned, of_values=backward.not_turned),
        ),
    ),
    Trap(
        "the mask forgotten on the way back",
        with_(**softmax.FORGOTTEN),
        "the weights must be those of the forward pass, with hidden keys at 0: otherwise "
        "gradient flows into the future and into the padding.",
        "Learning: the backward pass",
    ),
    Trap(
        "softmax over the queries",
        with_(**softmax.OVER_QUERIES, through=backward.sum_over_queries),
        "each query has a distribution over the keys, so the softmax runs along the last "
        "dimension of the scores, dim=-1, and so does the sum on its way back. Along dim=-2 the "
        "keys share out the queries.",
        "Step 3: softmax",
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
        with_,
        {
            "softmax": "Step 3: softmax",
            "masks": "Masks",
            "nothing": "The row that may read nothing",
        },
        called={"nothing to read, so everything is read": "the row that may read nothing"},
        without=("nan swept under the rug",),  # of what is computed here nobody asks a gradient
    ),
)
