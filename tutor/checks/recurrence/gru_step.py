"""What ``gru_step`` must satisfy, and the wrong answers that people give."""

import torch
from torch.nn import functional as F

from tutor import recurrence as reference
from tutor.checks.changes import changeable
from tutor.checks.exercise import Exercise, Trap
from tutor.checks.recurrence.cells import (
    as_it_is,
    bias_traps,
    candidate,
    cut_traps,
    gate,
    product_traps,
    products,
    sigmoid_traps,
)
from tutor.checks.recurrence.shared import CHAPTER, cell_cases, cell_contract


def _past(from_x, from_h, r, h, w_n, b_n):
    return from_x + r * from_h


def _new(n, h, z):
    return (1 - z) * n + z * h


def _state(h):
    return h


def _blocks(s):
    return s.chunk(3, -1)


def _step(
    x,
    h,
    w_ih,
    w_hh,
    b_ih,
    b_hh,
    state=_state,
    order="rzn",
    cut=_blocks,
    products=products,
    gate=gate,
    past=_past,
    candidate=candidate,
    new=_new,
):
    """The right step, but for the order of its gates or for one of its parts."""
    h = state(h)
    both = products(x, h, w_ih, w_hh, b_ih, b_hh)
    from_x, from_h = (dict(zip(order, cut(s), strict=True)) for s in both)
    r, z = (gate(from_x[name] + from_h[name]) for name in "rz")
    of_n = order.index("n")
    n = past(from_x["n"], from_h["n"], r, h, w_hh.chunk(3)[of_n], b_hh.chunk(3)[of_n])
    return new(candidate(n), h, z)


_with = changeable(_step)

_WRONG_ORDERS = tuple(_with(order=order) for order in ("zrn", "rnz", "nrz", "znr", "nzr"))


def _along(dim):
    def cut(s):
        first, second, third = s.chunk(3, dim)
        return first, second, third

    return cut


def _products_of_views(x, h, w_ih, w_hh, b_ih, b_hh):
    x, flat = x.view(-1, x.shape[-1]), h.view(-1, h.shape[-1])
    both = products(x, flat, w_ih, w_hh, b_ih, b_hh)
    return tuple(s.view(*h.shape[:-1], -1) for s in both)


def _interleaved(s):
    return s.unflatten(-1, (-1, 3)).unbind(-1)


def _swapped(n, h, z):
    return z * n + (1 - z) * h


def _sum(n, h, z):
    return n + z * h


def _sum_of_share(n, h, z):
    return (1 - z) * n + h


def _share_only(n, h, z):
    return (1 - z) * n


def _candidate_only(n, h, z):
    return n


def _half_detached(n, h, z):
    return (1 - z) * n + z * h.detach()


def _squashed(n, h, z):
    return torch.tanh(_new(n, h, z))


def _reset_on_all(from_x, from_h, r, h, w_n, b_n):
    return r * (from_x + from_h)


def _reset_on_input(from_x, from_h, r, h, w_n, b_n):
    return r * from_x + from_h


def _no_reset(from_x, from_h, r, h, w_n, b_n):
    return from_x + from_h


def _reset_inverted(from_x, from_h, r, h, w_n, b_n):
    return from_x + (1 - r) * from_h


def _reset_first(from_x, from_h, r, h, w_n, b_n):
    return from_x + F.linear(r * h, w_n, b_n)


def _bias_outside(from_x, from_h, r, h, w_n, b_n):
    return from_x + r * (from_h - b_n) + b_n


def _detached(h):
    return h.detach()


_SECTION = "The GRU: one gate for two jobs"

GRU_STEP = Exercise(
    reference=reference.gru_step,
    chapter=CHAPTER,
    points={"values": 3, "edges": 1, "gradients": 1, "types": 1, "contracts": 1},
    cases=cell_cases(3),
    contract=cell_contract(3),
    traps=(
        Trap(
            "z on the wrong side",
            _with(new=_swapped),
            "in torch z is the share of the *old* state: h' = (1 - z) n + z h. The paper on gated "
            "networks that most people copy from has it the other way round. Each of the two "
            "learns; loaded weights then remember what they should replace.",
            _SECTION,
        ),
        Trap(
            "tanh for the gates",
            _with(gate=candidate),
            "a gate says which share passes, so it lies between 0 and 1: the sigmoid. A share of "
            "-1 would turn the sign of what it lets through.",
            _SECTION,
        ),
        Trap(
            "the reset before the product",
            _with(past=_reset_first),
            "W (r ∘ h) is the cell as first published. torch has r ∘ (W h + b), the reset after "
            "the product, so that all products with h can be done at once. The two are different "
            "networks.",
            _SECTION,
        ),
        Trap(
            "the bias outside the reset",
            _with(past=_bias_outside),
            "the reset gate multiplies W h + b_hn, with its bias. This is why torch's GRU really "
            "needs both biases: they are not one bias written twice.",
            _SECTION,
        ),
        Trap(
            "the gates in another order",
            _WRONG_ORDERS[0],
            "the three blocks of rows are r, z, n in torch: reset, update, candidate. Keras and "
            "ONNX begin with z.",
            _SECTION,
            _WRONG_ORDERS[1:],
        ),
        *cut_traps(_with(cut=_along(0)), _with(cut=_along(1)), _SECTION),
        Trap(
            "view of what is not contiguous",
            _with(products=_products_of_views),
            "view only renames what lies in memory in order, and raises for a transposed state. "
            "@ and F.linear take any number of batch dimensions as they are; reshape copies where "
            "it must.",
            _SECTION,
        ),
        Trap(
            "gates interleaved",
            _with(cut=_interleaved),
            "the rows of one gate stand together: the first C rows are r, the next C are z. "
            "Dealing out every three neighbouring rows to the three gives the right shapes and "
            "other gates.",
            _SECTION,
        ),
        Trap(
            "the input is reset, too",
            _with(past=_reset_on_all),
            "the reset gate decides how much of the *past* the candidate sees. The input is always "
            "read in full.",
            _SECTION,
            (_with(past=_reset_on_input),),
        ),
        Trap(
            "no reset",
            _with(past=_no_reset),
            "r is computed and never used, or read the wrong way round. The candidate cannot "
            "start afresh then.",
            _SECTION,
            (_with(past=_reset_inverted),),
        ),
        Trap(
            "old and new do not share",
            _with(new=_sum),
            "z and 1 - z are shares, and they sum to 1. Without the one or the other the state is "
            "no average of old and new: it grows, or forgets.",
            _SECTION,
            (_with(new=_sum_of_share), _with(new=_share_only), _with(new=_candidate_only)),
        ),
        Trap(
            "the candidate is no gate",
            _with(candidate=gate),
            "r and z are gates between 0 and 1; the candidate n is a state, tanh, between -1 and "
            "1.",
            _SECTION,
            (_with(candidate=as_it_is),),
        ),
        Trap(
            "a gate without its sigmoid",
            _with(gate=as_it_is),
            "r and z are shares, σ of their sums, between 0 and 1. The sum itself may be -3 or 7: "
            "then (1 - z) ∘ n + z ∘ h lies far outside of what it mixes.",
            _SECTION,
        ),
        *sigmoid_traps(_with, _SECTION),
        Trap(
            "the mixture squashed",
            _with(new=_squashed),
            "old and new lie between -1 and 1, and so does their mixture. Another tanh shrinks "
            "what is kept at every step, and the gradient with it.",
            _SECTION,
        ),
        *product_traps(_with, _SECTION),
        *bias_traps(
            _with,
            "both biases belong to the cell. For the candidate they are not even interchangeable: "
            "b_hh is reset, b_ih is not.",
            _SECTION,
        ),
        Trap(
            "a detached state",
            _with(state=_detached),
            "the numbers are right, but detach() cuts the road into the past. z ∘ h is the part "
            "that carries a gradient unchanged when z is near 1.",
            "A product of Jacobians",
            (_with(new=_half_detached),),
        ),
    ),
)
