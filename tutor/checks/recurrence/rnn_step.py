"""What ``rnn_step`` must satisfy, and the wrong answers that people give."""

import torch
from torch.nn import functional as F

from tutor import recurrence as reference
from tutor.checks.exercise import Exercise, Trap
from tutor.checks.recurrence.shared import CHAPTER, cell_cases, cell_contract


def _one_bias(x, h, w_ih, w_hh, b_ih, b_hh):
    return torch.tanh(x @ w_ih.mT + b_ih + h @ w_hh.mT)


def _other_bias(x, h, w_ih, w_hh, b_ih, b_hh):
    return torch.tanh(x @ w_ih.mT + h @ w_hh.mT + b_hh)


def _no_bias(x, h, w_ih, w_hh, b_ih, b_hh):
    return torch.tanh(x @ w_ih.mT + h @ w_hh.mT)


def _linear(x, h, w_ih, w_hh, b_ih, b_hh):
    return F.linear(x, w_ih, b_ih) + F.linear(h, w_hh, b_hh)


def _sigmoid(x, h, w_ih, w_hh, b_ih, b_hh):
    return torch.sigmoid(F.linear(x, w_ih, b_ih) + F.linear(h, w_hh, b_hh))


def _relu(x, h, w_ih, w_hh, b_ih, b_hh):
    return torch.relu(F.linear(x, w_ih, b_ih) + F.linear(h, w_hh, b_hh))


def _tanh_of_each(x, h, w_ih, w_hh, b_ih, b_hh):
    return torch.tanh(F.linear(x, w_ih, b_ih)) + torch.tanh(F.linear(h, w_hh, b_hh))


def _tanh_of_the_input(x, h, w_ih, w_hh, b_ih, b_hh):
    return torch.tanh(F.linear(x, w_ih, b_ih)) + F.linear(h, w_hh, b_hh)


def _not_transposed(x, h, w_ih, w_hh, b_ih, b_hh):
    return torch.tanh(x @ w_ih.mT + b_ih + h @ w_hh + b_hh)


def _nothing_transposed(x, h, w_ih, w_hh, b_ih, b_hh):
    return torch.tanh(x @ w_ih + b_ih + h @ w_hh + b_hh)


def _weights_first(x, h, w_ih, w_hh, b_ih, b_hh):
    return torch.tanh(w_ih @ x + b_ih + w_hh @ h + b_hh)


def _state_not_read(x, h, w_ih, w_hh, b_ih, b_hh):
    return torch.tanh(x @ w_ih.mT + b_ih + b_hh)


def _state_unweighted(x, h, w_ih, w_hh, b_ih, b_hh):
    return torch.tanh(x @ w_ih.mT + b_ih + h + b_hh)


def _state_added(x, h, w_ih, w_hh, b_ih, b_hh):
    return h + torch.tanh(F.linear(x, w_ih, b_ih) + F.linear(h, w_hh, b_hh))


def _detached(x, h, w_ih, w_hh, b_ih, b_hh):
    return torch.tanh(F.linear(x, w_ih, b_ih) + F.linear(h.detach(), w_hh, b_hh))


def _in_place(x, h, w_ih, w_hh, b_ih, b_hh):
    new = torch.tanh(F.linear(x, w_ih, b_ih) + F.linear(h, w_hh, b_hh))
    h.copy_(new)
    return h


def _own_tanh(x, h, w_ih, w_hh, b_ih, b_hh):
    s = F.linear(x, w_ih, b_ih) + F.linear(h, w_hh, b_hh)
    return (s.exp() - (-s).exp()) / (s.exp() + (-s).exp())


def _own_tanh_once(x, h, w_ih, w_hh, b_ih, b_hh):
    s = (2 * (F.linear(x, w_ih, b_ih) + F.linear(h, w_hh, b_hh))).exp()
    return (s - 1) / (s + 1)


_SECTION = "One function at every step"

RNN_STEP = Exercise(
    reference=reference.rnn_step,
    chapter=CHAPTER,
    points={"values": 2, "edges": 1, "gradients": 1, "types": 1, "contracts": 1},
    cases=cell_cases(1),
    contract=cell_contract(1),
    traps=(
        Trap(
            "a bias missing",
            _one_bias,
            "torch's cell has two biases, one beside each product. On paper their sum is one bias, "
            "and one would do; but whoever loads torch's weights and adds only one of them has "
            "another network.",
            _SECTION,
            (_other_bias, _no_bias),
        ),
        Trap(
            "tanh missing",
            _linear,
            "without the tanh every step is linear, and so are a thousand steps together: the "
            "state is a weighted sum of the inputs, and nothing keeps it from growing without "
            "bound.",
            _SECTION,
        ),
        Trap(
            "sigmoid instead of tanh",
            _sigmoid,
            "the sigmoid is for gates, which open and close between 0 and 1. A state that can only "
            "be positive cannot say *less*; tanh is centred at 0.",
            _SECTION,
        ),
        Trap(
            "relu instead of tanh",
            _relu,
            "relu lets a state grow by a factor at every step. tanh bounds it between -1 and 1.",
            _SECTION,
        ),
        Trap(
            "tanh of each part",
            _tanh_of_each,
            "the input and the old state are added first and squashed together. Squashed one by "
            "one they never meet: no unit can react to this word *after that one*, which is what "
            "the state is for.",
            _SECTION,
            (_tanh_of_the_input,),
        ),
        Trap(
            "weights not transposed",
            _not_transposed,
            "torch stores a weight as (out, in), and the inputs stand in rows: x @ w_ih.mT and "
            "h @ w_hh.mT. w_hh is square, and nothing complains when its transpose is forgotten.",
            _SECTION,
            (_nothing_transposed, _weights_first),
        ),
        Trap(
            "the old state not read",
            _state_not_read,
            "without h the step knows one input and nothing of what came before it: a "
            "feed-forward layer, applied at each position by itself.",
            _SECTION,
        ),
        Trap(
            "the old state without its weights",
            _state_unweighted,
            "h goes through w_hh before it is added, as x goes through w_ih.",
            _SECTION,
        ),
        Trap(
            "the old state added to the new one",
            _state_added,
            "h + tanh(...) is a residual connection. It is a good idea, which the gated cells "
            "make use of; this cell does not have it.",
            _SECTION,
        ),
        Trap(
            "a detached state",
            _detached,
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
        ),
        Trap(
            "tanh as on paper",
            _own_tanh,
            "the quotient of exponentials overflows: exp(710) is infinite, and infinity by "
            "infinity is nan. torch.tanh is right for every number, and allowed.",
            _SECTION,
            (_own_tanh_once,),
        ),
    ),
)
