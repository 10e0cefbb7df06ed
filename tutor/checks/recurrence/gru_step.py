"""What ``gru_step`` must satisfy, and the wrong answers that people give."""

import torch
from torch.nn import functional as F

from tutor import recurrence as reference
from tutor.checks.exercise import Exercise, Trap
from tutor.checks.recurrence.shared import CHAPTER, cell_cases, cell_contract


def _candidate(from_x, from_h, r):
    return torch.tanh(from_x + r * from_h)


def _new(n, h, z):
    return (1 - z) * n + z * h


def _step(x, h, w_ih, w_hh, b_ih, b_hh, order="rzn", candidate=_candidate, new=_new):
    """The right step, but for the order of its gates, its candidate or its new state."""
    from_x = dict(zip(order, F.linear(x, w_ih, b_ih).chunk(3, -1), strict=True))
    from_h = dict(zip(order, F.linear(h, w_hh, b_hh).chunk(3, -1), strict=True))
    r, z = (torch.sigmoid(from_x[gate] + from_h[gate]) for gate in "rz")
    return new(candidate(from_x["n"], from_h["n"], r), h, z)


def _with(**parts):
    def wrong(x, h, w_ih, w_hh, b_ih, b_hh):
        return _step(x, h, w_ih, w_hh, b_ih, b_hh, **parts)

    return wrong


_WRONG_ORDERS = tuple(_with(order=order) for order in ("zrn", "rnz", "nrz", "znr", "nzr"))


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


def _reset_on_all(from_x, from_h, r):
    return torch.tanh(r * (from_x + from_h))


def _reset_on_input(from_x, from_h, r):
    return torch.tanh(r * from_x + from_h)


def _no_reset(from_x, from_h, r):
    return torch.tanh(from_x + from_h)


def _reset_inverted(from_x, from_h, r):
    return torch.tanh(from_x + (1 - r) * from_h)


def _sigmoid_candidate(from_x, from_h, r):
    return torch.sigmoid(from_x + r * from_h)


def _linear_candidate(from_x, from_h, r):
    return from_x + r * from_h


def _reset_first(x, h, w_ih, w_hh, b_ih, b_hh):
    w_n, b_n = w_hh.chunk(3)[2], b_hh.chunk(3)[2]
    x_r, x_z, x_n = F.linear(x, w_ih, b_ih).chunk(3, -1)
    h_r, h_z, _ = F.linear(h, w_hh, b_hh).chunk(3, -1)
    r, z = torch.sigmoid(x_r + h_r), torch.sigmoid(x_z + h_z)
    n = torch.tanh(x_n + F.linear(r * h, w_n, b_n))
    return (1 - z) * n + z * h


def _bias_outside(x, h, w_ih, w_hh, b_ih, b_hh):
    b_n = b_hh.chunk(3)[2]

    def candidate(from_x, from_h, r):
        return torch.tanh(from_x + r * (from_h - b_n) + b_n)

    return _step(x, h, w_ih, w_hh, b_ih, b_hh, candidate=candidate)


def _one_bias(x, h, w_ih, w_hh, b_ih, b_hh):
    return _step(x, h, w_ih, w_hh, b_ih, torch.zeros_like(b_hh))


def _other_bias(x, h, w_ih, w_hh, b_ih, b_hh):
    return _step(x, h, w_ih, w_hh, torch.zeros_like(b_ih), b_hh)


def _detached(x, h, w_ih, w_hh, b_ih, b_hh):
    return _step(x, h.detach(), w_ih, w_hh, b_ih, b_hh)


def _raw_gates(x, h, w_ih, w_hh, b_ih, b_hh):
    x_r, x_z, x_n = F.linear(x, w_ih, b_ih).chunk(3, -1)
    h_r, h_z, h_n = F.linear(h, w_hh, b_hh).chunk(3, -1)
    return _new(_candidate(x_n, h_n, x_r + h_r), h, x_z + h_z)


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
            "the reset before the product",
            _reset_first,
            "W (r ∘ h) is the cell as first published. torch has r ∘ (W h + b), the reset after "
            "the product, so that all products with h can be done at once. The two are different "
            "networks.",
            _SECTION,
        ),
        Trap(
            "the bias outside the reset",
            _bias_outside,
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
        Trap(
            "the input is reset, too",
            _with(candidate=_reset_on_all),
            "the reset gate decides how much of the *past* the candidate sees. The input is always "
            "read in full.",
            _SECTION,
            (_with(candidate=_reset_on_input),),
        ),
        Trap(
            "no reset",
            _with(candidate=_no_reset),
            "r is computed and never used, or read the wrong way round. The candidate cannot "
            "start afresh then.",
            _SECTION,
            (_with(candidate=_reset_inverted),),
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
            _with(candidate=_sigmoid_candidate),
            "r and z are gates between 0 and 1; the candidate n is a state, tanh, between -1 and "
            "1.",
            _SECTION,
            (_with(candidate=_linear_candidate),),
        ),
        Trap(
            "a gate without its sigmoid",
            _raw_gates,
            "r and z are shares, σ of their sums, between 0 and 1. The sum itself may be -3 or 7: "
            "then (1 - z) ∘ n + z ∘ h lies far outside of what it mixes.",
            _SECTION,
        ),
        Trap(
            "the mixture squashed",
            _with(new=_squashed),
            "old and new lie between -1 and 1, and so does their mixture. Another tanh shrinks "
            "what is kept at every step, and the gradient with it.",
            _SECTION,
        ),
        Trap(
            "a bias missing",
            _one_bias,
            "both biases belong to the cell. For the candidate they are not even interchangeable: "
            "b_hh is reset, b_ih is not.",
            _SECTION,
            (_other_bias,),
        ),
        Trap(
            "a detached state",
            _detached,
            "the numbers are right, but detach() cuts the road into the past. z ∘ h is the part "
            "that carries a gradient unchanged when z is near 1.",
            "A product of Jacobians",
            (_with(new=_half_detached),),
        ),
    ),
)
