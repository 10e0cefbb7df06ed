"""What ``rnn_step`` must satisfy, and the wrong answers that people give."""

import torch
from torch.nn import functional as F

from tutor import recurrence as reference
from tutor.checks.changes import changeable
from tutor.checks.exercise import Exercise, Trap
from tutor.checks.recurrence.cells import (
    as_it_is,
    bias_traps,
    both_biases,
    candidate,
    gate,
    products,
    reshape_trap,
)
from tutor.checks.recurrence.shared import CHAPTER, cell_cases, cell_contract


def _state(h):
    return h


def _sum(from_x, from_h):
    return from_x + from_h


def _new(new, h):
    return new


def _step(
    x,
    h,
    w_ih,
    w_hh,
    b_ih,
    b_hh,
    state=_state,
    products=products,
    biases=both_biases,
    join=_sum,
    bend=candidate,
    new=_new,
):
    """The right step, but for the parts that are given."""
    h = state(h)
    return new(bend(join(*products(x, h, w_ih, w_hh, *biases(b_ih, b_hh)))), h)


_with = changeable(_step)


def _relu(s):
    return torch.relu(s)


def _tanh_of_each(from_x, from_h):
    return torch.tanh(from_x) + torch.tanh(from_h)


def _tanh_of_the_input(from_x, from_h):
    return torch.tanh(from_x) + from_h


def _not_transposed(x, h, w_ih, w_hh, b_ih, b_hh):
    return x @ w_ih.mT + b_ih, h @ w_hh + b_hh


def _nothing_transposed(x, h, w_ih, w_hh, b_ih, b_hh):
    return x @ w_ih + b_ih, h @ w_hh + b_hh


def _weights_first(x, h, w_ih, w_hh, b_ih, b_hh):
    return w_ih @ x + b_ih, w_hh @ h + b_hh


def _state_not_read(x, h, w_ih, w_hh, b_ih, b_hh):
    return x @ w_ih.mT + b_ih, b_hh


def _input_alone(x, h, w_ih, w_hh, b_ih, b_hh):
    return x @ w_ih.mT, b_ih


def _state_unweighted(x, h, w_ih, w_hh, b_ih, b_hh):
    return x @ w_ih.mT + b_ih, h + b_hh


def _state_added(new, h):
    return h + new


def _detached(h):
    return h.detach()


def _in_place(x, h, w_ih, w_hh, b_ih, b_hh):
    new = torch.tanh(F.linear(x, w_ih, b_ih) + F.linear(h, w_hh, b_hh))
    h.copy_(new)
    return h


def _own_tanh(s):
    return (s.exp() - (-s).exp()) / (s.exp() + (-s).exp())


def _own_tanh_once(s):
    return ((2 * s).exp() - 1) / ((2 * s).exp() + 1)


_SECTION = "One function at every step"

RNN_STEP = Exercise(
    reference=reference.rnn_step,
    chapter=CHAPTER,
    points={"values": 2, "edges": 1, "gradients": 1, "types": 1, "contracts": 1},
    cases=cell_cases(1),
    contract=cell_contract(1),
    traps=(
        *bias_traps(
            _with,
            "torch's cell has two biases, one beside each product. On paper their sum is one bias, "
            "and one would do; but whoever loads torch's weights and adds only one of them has "
            "another network.",
            _SECTION,
        ),
        Trap(
            "tanh missing",
            _with(bend=as_it_is),
            "without the tanh every step is linear, and so are a thousand steps together: the "
            "state is a weighted sum of the inputs, and nothing keeps it from growing without "
            "bound.",
            _SECTION,
        ),
        Trap(
            "sigmoid instead of tanh",
            _with(bend=gate),
            "the sigmoid is for gates, which open and close between 0 and 1. A state that can only "
            "be positive cannot say *less*; tanh is centred at 0.",
            _SECTION,
        ),
        Trap(
            "relu instead of tanh",
            _with(bend=_relu),
            "relu lets a state grow by a factor at every step. tanh bounds it between -1 and 1.",
            _SECTION,
        ),
        Trap(
            "tanh of each part",
            _with(join=_tanh_of_each, bend=as_it_is),
            "the input and the old state are added first and squashed together. Squashed one by "
            "one they never meet: no unit can react to this word *after that one*, which is what "
            "the state is for.",
            _SECTION,
            (_with(join=_tanh_of_the_input, bend=as_it_is),),
        ),
        Trap(
            "weights not transposed",
            _with(products=_not_transposed),
            "torch stores a weight as (out, in), and the inputs stand in rows: x @ w_ih.mT and "
            "h @ w_hh.mT. w_hh is square, and nothing complains when its transpose is forgotten.",
            _SECTION,
            (_with(products=_nothing_transposed), _with(products=_weights_first)),
        ),
        reshape_trap(_with, _SECTION),
        Trap(
            "the old state not read",
            _with(products=_state_not_read),
            "without h the step knows one input and nothing of what came before it: a "
            "feed-forward layer, applied at each position by itself.",
            _SECTION,
            (_with(products=_input_alone),),
        ),
        Trap(
            "the old state without its weights",
            _with(products=_state_unweighted),
            "h goes through w_hh before it is added, as x goes through w_ih.",
            _SECTION,
        ),
        Trap(
            "the old state added to the new one",
            _with(new=_state_added),
            "h + tanh(...) is a residual connection. It is a good idea, which the gated cells "
            "make use of; this cell does not have it.",
            _SECTION,
        ),
        Trap(
            "a detached state",
            _with(state=_detached),
            "the numbers are right, but detach() cuts the past off: no gradient reaches any step "
            "before this one, and nothing learns to remember. (Truncating on purpose is done "
            "between stretches of many steps.)",
            "A product of Jacobians",
        ),
        Trap(
            "the caller's state overwritten",
            _in_place,
            "h.copy_(...) writes into the tensor that was passed in. Every earlier state that was "
            "kept in a list is the same tensor, and becomes the last one.",
            _SECTION,
            overwrites="h",
        ),
        Trap(
            "tanh as on paper",
            _with(bend=_own_tanh),
            "the quotient of exponentials overflows: exp(710) is infinite, and infinity by "
            "infinity is nan. torch.tanh is right for every number, and allowed.",
            _SECTION,
            (_with(bend=_own_tanh_once),),
        ),
    ),
)
