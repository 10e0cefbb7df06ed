"""What ``linear_attention_step`` must satisfy, and the wrong answers that people give."""

from collections.abc import Iterator

import torch
from torch import Generator, Tensor

from tutor import long_context as reference
from tutor.checks.conditions import Condition, Crossed, Factor, Family, Row, pair
from tutor.checks.crossings import BATCH, DTYPE, LAYOUT
from tutor.checks.draw import SINGLE, Draw, laid
from tutor.checks.exercise import Case, Contract, Exercise, Property, Trap
from tutor.checks.limits import between
from tutor.checks.long_context import sums
from tutor.checks.long_context.linear_attention import SCALE, feature_traps
from tutor.checks.long_context.shared import CHAPTER, DV, RECURRENT, B, D
from tutor.checks.long_context.sums import step_with

_STATE = Factor(
    "state",
    (
        Condition("some past", value=5),
        Condition("zeros", "the state of the beginning", 0, edge=True, alone=True),
        Condition("long past", "a long past", 200, alone=True),
    ),
)
_WIDTHS = Factor(
    "widths",
    (
        Condition("different", value=(D, DV)),
        Condition("one width", "values as wide as keys", (D, D)),
        Condition("width 1", "a single feature", (1, 1), edge=True),
    ),
)
FAMILY = Family(
    (DTYPE, SCALE, LAYOUT, BATCH, _STATE, _WIDTHS),
    apart={
        pair("half", "large"): "sums of such numbers are beyond half precision",
        pair("half", "long past"): "sums of so many numbers are coarse in half precision",
        pair("turned", "none"): "a row of numbers lies one after the other",
        pair("behind", "none"): "without a batch dimension there are no heads to lie elsewhere",
        pair("views", "none"): "a row of numbers lies one after the other",
    },
)


def _arguments(draw: Draw, row: Row) -> tuple[Tensor, ...]:
    d, dv = row["widths"]
    batch, about = row["batch"], {"dtype": row["dtype"]}
    q, k = (draw.normal(*batch, d, scale=row["scale"], **about) for _ in range(2))
    v = draw.normal(*batch, dv, **about)
    state = _state(draw, batch, row["state"], d, dv)
    return tuple(laid(t.to(row["dtype"]), row["layout"]) for t in (q, k, v, *state))


def _state(draw: Draw, batch: tuple[int, ...], past: int, d: int, dv: int) -> tuple[Tensor, Tensor]:
    """After so many tokens."""
    k = reference.positive_features(draw.normal(*batch, past, d))
    return k.mT @ draw.normal(*batch, past, dv), k.sum(-2)


def _by_hand(draw: Draw) -> Iterator[Case]:
    one, two = (torch.tensor([n], dtype=torch.float64, device=draw.device) for n in (1.0, 2.0))
    five = torch.tensor([5.0], dtype=torch.float64, device=draw.device)
    context, total = torch.ones_like(five)[:, None], torch.ones_like(five)
    yield Case("the example of the text", (one, two, five, context, total))
    d, dv = draw.integer(2, 8), draw.integer(2, 8)
    token = draw.normal(3, d), draw.normal(3, d), draw.normal(3, dv)
    yield Case("sizes drawn by lot", (*token, *_state(draw, (3,), 4, d, dv)))
    q, k, v = (draw.normal(B, n).to(SINGLE) for n in (D, D, DV))
    zeros = q.new_zeros(B, D, DV), q.new_zeros(B, D)
    yield Case("a key far below 0, single precision", (q, k - 30, v, *zeros), "edges")


CASES = Crossed(FAMILY, _arguments, _by_hand)


def _parallel_and_recurrent(call, generator: Generator, device: torch.device) -> str | None:
    draw, t = Draw(generator, device), 6
    q, k, v = (draw.normal(B, t, n) for n in (D, D, DV))
    whole = reference.linear_attention(q, k, v)
    context, total = q.new_zeros(B, D, DV), q.new_zeros(B, D)
    for i in range(t):
        out, context, total = call(q[:, i], k[:, i], v[:, i], context, total)
        off = (out - whole[:, i]).abs().max()
        if not off < 1e-9:
            return f"step {i + 1} differs from the parallel form by {float(off):.2g}"
    return None


def _contract(generator: Generator, device: torch.device) -> Contract:
    draw, b, d, dv = Draw(generator, device), 2, 24, 32
    token = draw.normal(b, d), draw.normal(b, d), draw.normal(b, dv)
    state = b * d * dv
    return Contract(
        calls=((*token, *_state(draw, (b,), 5, d, dv)),),
        # An outer product and a reading, both as products, against those by a matrix of zeros.
        max_flops=between(4 * 2 * state, d * 2 * 2 * state),
    )


_with = step_with


LINEAR_ATTENTION_STEP = Exercise(
    reference=reference.linear_attention_step,
    chapter=CHAPTER,
    points={"values": 3, "edges": 1, "gradients": 1, "types": 1, "contracts": 1},
    cases=CASES,
    contract=_contract,
    outputs=("out", "context", "total"),
    properties=(Property("parallel and recurrent", _parallel_and_recurrent, "values"),),
    traps=(
        Trap(
            "the normaliser forgotten",
            _with(divide=sums.forgotten),
            "the answer is divided by φ(q)·total, which is why total is a part of the state.",
            RECURRENT,
        ),
        Trap(
            "the normaliser not carried",
            _with(norm=sums.of_the_key_alone),
            "divided by the newest weight alone, φ(q)·φ(k): all that was read before has a weight "
            "too, and total is their sum.",
            RECURRENT,
            (_with(add_total=sums.replaced),),
        ),
        Trap(
            "normalised without the query",
            _with(norm=sums.sum_of_total),
            "the weights are φ(q)·φ(k), and their sum is φ(q)·total.",
            RECURRENT,
        ),
        Trap(
            "the old state read",
            _with(old=True, old_total=True),
            "a token reads itself too: its own key and value are added to the state first, and "
            "then it is read. From the state of the beginning 0 / 0 would come.",
            RECURRENT,
            (_with(old=True), _with(old_total=True)),
        ),
        Trap(
            "the state replaced",
            _with(add=sums.replaced, add_total=sums.replaced),
            "the new token took the place of all that came before. The state is a sum.",
            RECURRENT,
            (_with(add=sums.replaced),),
        ),
        Trap(
            "the state not changed",
            _with(add=lambda state, new: state + 0, add_total=lambda state, new: state + 0),
            "the token was read and not remembered: the next step begins with the state that is "
            "returned.",
            RECURRENT,
        ),
        Trap(
            "multiplied by the normaliser",
            _with(divide=sums.multiplied),
            "the reciprocal is missing: it is divided by the sum of weights.",
            RECURRENT,
        ),
        Trap(
            "a state that fades",
            _with(add=sums.faded(0.9), add_total=sums.faded(0.9)),
            "some models let the past fade (RetNet, Mamba), and that may well be better. This one "
            "forgets nothing: it adds.",
            RECURRENT,
            (
                _with(add=sums.averaged, add_total=sums.averaged),
                _with(add=sums.faded(0.9)),
                _with(add=sums.faded(0.99), add_total=sums.faded(0.99)),
            ),
        ),
        Trap(
            "total and context exchanged",
            _with(give=lambda out, context, total: (out, total, context)),
            "asked for are the answer, the context (D × Dv) and the total (D), in this order.",
            RECURRENT,
            (_with(give=lambda out, context, total: (context, total, out)),),
        ),
        Trap(
            "the context on its side",
            _with(pairs=lambda k, v: v.unsqueeze(-1) * k.unsqueeze(-2)),
            "the context is φ(k) vᵀ: a row for each feature of the key, a column for each of the "
            "value.",
            RECURRENT,
        ),
        Trap(
            "the caller's state overwritten",
            _with(add=sums.overwritten, add_total=sums.overwritten),
            "+= writes into the tensor that the caller still has. A new state is asked for: "
            "context + ....",
            RECURRENT,
            (_with(add=sums.overwritten), _with(add_total=sums.overwritten)),
            overwrites="context",
        ),
        Trap(
            "cut off from the past",
            _with(add=sums.cut_off, add_total=sums.cut_off),
            "the numbers are right, and no gradient reaches what came before this token: a model "
            "that is trained like this learns to remember nothing.",
            RECURRENT,
            (_with(add=sums.cut_off), _with(add_total=sums.cut_off)),
        ),
        Trap(
            "a detached normaliser",
            _with(divide=sums.detached),
            "the numbers are right, and half of the gradient is missing: keys and queries also act "
            "through the sum that it is divided by.",
            RECURRENT,
        ),
        Trap(
            "tokens counted instead of weighed",
            _with(add_total=sums.one_more),
            "total is the sum of the keys' features, not how many keys there were.",
            RECURRENT,
        ),
        Trap(
            "an epsilon in the denominator",
            _with(divide=sums.plus(1e-6)),
            "φ is never 0, so the sum of weights is not either. What is added to be safe makes "
            "every answer a little too small.",
            RECURRENT,
            tuple(_with(divide=sums.plus(e)) for e in (1e-8, 1e-5, 1e-3)),
        ),
        *feature_traps(_with, RECURRENT),
    ),
)
