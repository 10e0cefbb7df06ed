"""Steps of the cells of chapter 1: the right ones, and the wrong ones that people make of them."""

from collections.abc import Callable

import torch
from torch.nn import functional as F

from tutor.checks.exercise import Trap


def products(x, h, w_ih, w_hh, b_ih, b_hh):
    """What the input says, and what the old state says."""
    return F.linear(x, w_ih, b_ih), F.linear(h, w_hh, b_hh)


def gate(s):
    return torch.sigmoid(s)


def candidate(s):
    return torch.tanh(s)


def as_it_is(s):
    return s


# Other gates


def one_over(s):
    return 1 / (1 + torch.exp(-s))


def share_of_exponential(s):
    return s.exp() / (1 + s.exp())


def cut_off(limit):
    def wrong(s):
        return torch.sigmoid(s.clamp(-limit, limit))

    return wrong


# Other biases


def one_bias(x, h, w_ih, w_hh, b_ih, b_hh):
    return F.linear(x, w_ih, b_ih), F.linear(h, w_hh)


def other_bias(x, h, w_ih, w_hh, b_ih, b_hh):
    return F.linear(x, w_ih), F.linear(h, w_hh, b_hh)


def no_bias(x, h, w_ih, w_hh, b_ih, b_hh):
    return F.linear(x, w_ih), F.linear(h, w_hh)


def first_bias_for_both(x, h, w_ih, w_hh, b_ih, b_hh):
    return F.linear(x, w_ih, b_ih), F.linear(h, w_hh, b_ih)


def second_bias_for_both(x, h, w_ih, w_hh, b_ih, b_hh):
    return F.linear(x, w_ih, b_hh), F.linear(h, w_hh, b_hh)


def first_bias_twice(x, h, w_ih, w_hh, b_ih, b_hh):
    return F.linear(x, w_ih, 2 * b_ih), F.linear(h, w_hh, b_hh)


def second_bias_twice(x, h, w_ih, w_hh, b_ih, b_hh):
    return F.linear(x, w_ih, b_ih), F.linear(h, w_hh, 2 * b_hh)


def sigmoid_traps(with_: Callable, section: str) -> tuple[Trap, ...]:
    """``with_``: makes an answer of another ``gate``."""
    return (
        Trap(
            "a sigmoid that overflows",
            with_(gate=share_of_exponential),
            "exp(710) is infinite in double precision, exp(12) in half. exp(s) / (1 + exp(s)) is "
            "then infinity by infinity, and 1 / (1 + exp(-s)) a right 0 whose derivative is nan. "
            "torch.sigmoid is safe both ways.",
            section,
            (with_(gate=one_over),),
        ),
        Trap(
            "the sums cut off",
            with_(gate=cut_off(20.0)),
            "torch.sigmoid takes any number, and needs no clamp before it. Cut off, a gate never "
            "quite opens or closes, and where it was cut its gradient is 0.",
            section,
            (with_(gate=cut_off(10.0)), with_(gate=cut_off(15.0))),
        ),
    )


def bias_traps(with_: Callable, why: str, section: str) -> tuple[Trap, ...]:
    """``with_``: makes an answer of another ``products``; ``why``: it needs both biases."""
    return (
        Trap(
            "a bias missing",
            with_(products=one_bias),
            why,
            section,
            (with_(products=other_bias), with_(products=no_bias)),
        ),
        Trap(
            "a bias added twice",
            with_(products=first_bias_for_both),
            "there are two biases, b_ih and b_hh, and each is added once.",
            section,
            (
                with_(products=second_bias_for_both),
                with_(products=first_bias_twice),
                with_(products=second_bias_twice),
            ),
        ),
    )
