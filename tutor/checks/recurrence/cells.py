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


def quotient_of_exponentials(s):
    return (s.exp() - (-s).exp()) / (s.exp() + (-s).exp())


def quotient_of_squares(s):
    return ((2 * s).exp() - 1) / ((2 * s).exp() + 1)


def two_over(s):
    return 2 / (1 + (-2 * s).exp()) - 1


def twice(s):
    return s.sigmoid().sigmoid()


def fifth(s):
    return (0.2 * s + 0.5).clamp(0, 1)


def cut_off(limit):
    def wrong(s):
        return torch.sigmoid(s.clamp(-limit, limit))

    return wrong


# Other biases


def both_biases(b_ih, b_hh):
    return b_ih, b_hh


def one_bias(b_ih, b_hh):
    return b_ih, torch.zeros_like(b_hh)


def other_bias(b_ih, b_hh):
    return torch.zeros_like(b_ih), b_hh


def no_bias(b_ih, b_hh):
    return torch.zeros_like(b_ih), torch.zeros_like(b_hh)


def first_bias_for_both(b_ih, b_hh):
    return b_ih, b_ih


def second_bias_for_both(b_ih, b_hh):
    return b_hh, b_hh


def first_bias_twice(b_ih, b_hh):
    return 2 * b_ih, b_hh


def second_bias_twice(b_ih, b_hh):
    return b_ih, 2 * b_hh


# Other products


def not_transposed(x, h, w_ih, w_hh, b_ih, b_hh):
    return x @ w_ih + b_ih, h @ w_hh + b_hh


def first_not_transposed(x, h, w_ih, w_hh, b_ih, b_hh):
    return x @ w_ih + b_ih, h @ w_hh.mT + b_hh


def second_not_transposed(x, h, w_ih, w_hh, b_ih, b_hh):
    return x @ w_ih.mT + b_ih, h @ w_hh + b_hh


def blocks_not_transposed(x, h, w_ih, w_hh, b_ih, b_hh):
    blocks = w_hh.split(w_hh.shape[1])
    return F.linear(x, w_ih, b_ih), torch.cat([h @ block for block in blocks], -1) + b_hh


def reshaped(x, h, w_ih, w_hh, b_ih, b_hh):
    w_ih, w_hh = (w.reshape(w.shape[1], w.shape[0]) for w in (w_ih, w_hh))
    return x @ w_ih + b_ih, h @ w_hh + b_hh


def weights_exchanged(x, h, w_ih, w_hh, b_ih, b_hh):
    return F.linear(x, w_hh, b_ih), F.linear(h, w_ih, b_hh)


def input_for_both(x, h, w_ih, w_hh, b_ih, b_hh):
    return F.linear(x, w_ih, b_ih), F.linear(x, w_hh, b_hh)


def input_alone(x, h, w_ih, w_hh, b_ih, b_hh):
    from_x = F.linear(x, w_ih, b_ih)
    return from_x, torch.zeros_like(from_x)


def input_and_biases(x, h, w_ih, w_hh, b_ih, b_hh):
    return F.linear(x, w_ih, b_ih), b_hh


def reshape_trap(with_: Callable, section: str) -> Trap:
    return Trap(
        "reshaped instead of transposed",
        with_(products=reshaped),
        "reshape takes the numbers in the order in which they lie and breaks the lines elsewhere: "
        "the shape is the transpose's, and the rows are torn apart. w.mT swaps rows and columns.",
        section,
    )


def product_traps(
    with_: Callable, section: str, unread: tuple[Callable, ...] = ()
) -> tuple[Trap, ...]:
    """``with_``: makes an answer of other ``products``; ``unread``: more that do not read the old
    state."""
    return (
        Trap(
            "weights not transposed",
            with_(products=not_transposed),
            "torch keeps a weight as (out, in), so that each row makes one feature of the answer: "
            "x @ w_ih.mT, or F.linear(x, w_ih, b_ih).",
            section,
            (
                with_(products=first_not_transposed),
                with_(products=second_not_transposed),
                with_(products=blocks_not_transposed),
            ),
        ),
        reshape_trap(with_, section),
        Trap(
            "weights exchanged",
            with_(products=weights_exchanged),
            "w_ih is for the input x, w_hh for the old state h.",
            section,
        ),
        Trap(
            "the old state not read",
            with_(products=input_alone),
            "the sums are of what the input says *and* of what the old state says. Without the "
            "second a step knows nothing of the steps before it.",
            section,
            (with_(products=input_and_biases), with_(products=input_for_both), *unread),
        ),
    )


def cut_traps(
    along_the_first: Callable,
    along_the_second: Callable,
    section: str,
    counted: tuple[Callable, ...] = (),
) -> tuple[Trap, ...]:
    """Of the sums cut into gates along the wrong dimension; ``counted``: more that hold for one
    batch dimension alone."""
    return (
        Trap(
            "the batch cut into gates",
            along_the_first,
            "chunk without a dim cuts along the first dimension, where the sentences are. The "
            "gates stand in the last one: dim=-1.",
            section,
        ),
        Trap(
            "a dimension counted from the front",
            along_the_second,
            "dim=1 holds the gates where there is one batch dimension, and something else where "
            "there is none or more. Counted from the end, it is always dim=-1.",
            section,
            counted,
        ),
    )


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
            "a sigmoid too many",
            with_(gate=twice),
            "of a share between 0 and 1 another sigmoid makes one between 0.5 and 0.73: a gate "
            "that neither opens nor closes.",
            section,
        ),
        Trap(
            "a hard sigmoid",
            with_(gate=F.hardsigmoid),
            "clamp(s / 6 + 0.5, 0, 1), or with 0.2 s as in old versions of Keras, is cheap and "
            "near the sigmoid, and not the same. Where it is cut off its gradient is 0.",
            section,
            (with_(gate=fifth),),
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


def tanh_traps(with_: Callable, section: str) -> tuple[Trap, ...]:
    """``with_``: makes an answer of another ``candidate``."""
    return (
        Trap(
            "a tanh that overflows",
            with_(candidate=quotient_of_exponentials),
            "the quotient of exponentials overflows: exp(710) is infinite, and infinity by "
            "infinity is nan. torch.tanh is right for every number, and allowed.",
            section,
            (
                with_(candidate=quotient_of_squares),
                with_(candidate=two_over),
            ),
        ),
    )


def bias_traps(
    with_: Callable, why: str, section: str, missing: tuple[Callable, ...] = ()
) -> tuple[Trap, ...]:
    """``with_``: makes an answer of other ``biases``; ``why``: it needs both;
    ``missing``: more that leave one out."""
    return (
        Trap(
            "a bias missing",
            with_(biases=one_bias),
            why,
            section,
            (with_(biases=other_bias), with_(biases=no_bias), *missing),
        ),
        Trap(
            "a bias added twice",
            with_(biases=first_bias_for_both),
            "there are two biases, b_ih and b_hh, and each is added once.",
            section,
            (
                with_(biases=second_bias_for_both),
                with_(biases=first_bias_twice),
                with_(biases=second_bias_twice),
            ),
        ),
    )
