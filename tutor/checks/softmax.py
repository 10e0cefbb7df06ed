"""Weights from scores, under a mask: the right ones, and the wrong ones that people make of them.

Chapter 2 asks for them; all attention is built on them, and so is what goes wrong in it.
"""

from collections.abc import Callable

import torch

from tutor.checks.exercise import Trap


def hide(scores, keep, value=None):
    """The right way to hide scores, unless another value is given."""
    if keep is None:
        return scores
    return scores.masked_fill(~keep, torch.finfo(scores.dtype).min if value is None else value)


def as_it_is(scores, keep):
    return keep


def over_keys(scores):
    return scores.softmax(-1)


def zeroed(weights, keep):
    return weights if keep is None else weights * keep


def weights(scores, keep=None, mask=as_it_is, hide=hide, share=over_keys, zero=zeroed):
    """The right weights, but for the steps that are given."""
    if keep is not None and keep.dtype != torch.bool:
        raise TypeError(f"keep must be bool, got {keep.dtype}")
    keep = mask(scores, keep)
    return zero(share(hide(scores, keep)), keep)


def scaled(q, k):
    return q @ k.mT * q.shape[-1] ** -0.5


# Another mask


def invert(scores, keep):
    return None if keep is None else ~keep


def always_causal(scores, keep):
    tq, tk = scores.shape[-2:]
    past = torch.ones(tq, tk, dtype=torch.bool, device=scores.device).tril(tk - tq)
    return past if keep is None else keep & past


# Another way to hide


def unhidden(scores, keep):
    return scores


def hide_readable(scores, keep):
    return hide(scores, invert(scores, keep))


def times_keep(scores, keep):
    return hide(scores, keep, 0.0)


def minus_50(scores, keep):
    return hide(scores, keep, -50.0)


def minus_100(scores, keep):
    return hide(scores, keep, -100.0)


def minus_1000(scores, keep):
    return hide(scores, keep, -1000.0)


def minus_1e4(scores, keep):
    return hide(scores, keep, -1e4)


def lowest_of_half(scores, keep):
    return hide(scores, keep, -65504.0)


def minus_1e5(scores, keep):
    return hide(scores, keep, -1e5)


def minus_1e9(scores, keep):
    return hide(scores, keep, -1e9)


def minus_infinity(scores, keep):
    return hide(scores, keep, -torch.inf)


def add_float(scores, keep):
    return scores if keep is None else scores + (~keep).float() * -1e9


def add_logarithm(scores, keep):
    return scores if keep is None else scores + keep.log()


def add_infinity(scores, keep):
    return scores + hide(torch.zeros_like(scores), keep, -torch.inf)


def add_lowest(scores, keep):
    if keep is None:
        return scores
    return scores + (~keep).to(scores.dtype) * torch.finfo(scores.dtype).min


def add_lowest_of_bool(scores, keep):
    return scores if keep is None else scores + ~keep * torch.finfo(scores.dtype).min


def add_constant(constant):
    def hide(scores, keep):
        return scores if keep is None else scores + (1.0 - keep.to(scores.dtype)) * constant

    return hide


def highest(scores, keep):
    return hide(scores, keep, torch.finfo(scores.dtype).max)


def almost_zero(scores, keep):
    return hide(scores, keep, 1e-9)


def add_keep(scores, keep):
    return scores if keep is None else scores + keep


def in_place(scores, keep):
    if keep is None:
        return scores
    return scores.masked_fill_(~keep, torch.finfo(scores.dtype).min)


# Another way to share


def over_queries(scores):
    return scores.softmax(-2)


def over_batch(scores):
    return scores.softmax(0)


def over_second(scores):
    return scores.softmax(1)


def over_unspecified(scores):
    return scores.softmax(0 if scores.ndim in (0, 1, 3) else 1)  # what nn.Softmax takes


def as_they_are(scores):
    return scores


def over_sum(scores):
    return scores / scores.sum(-1, keepdim=True)


def of_exponentials(scores):
    exponentials = scores.exp()
    return exponentials / exponentials.sum(-1, keepdim=True)


def of_exponentials_epsilon(scores):
    exponentials = scores.exp()
    return exponentials / (exponentials.sum(-1, keepdim=True) + 1e-9)


def sigmoids(scores):
    return scores.sigmoid()


def logarithms(scores):
    return scores.log_softmax(-1)


def not_divided(scores):
    return scores.exp()


# Another end


def unzeroed(weights, keep):
    return weights


def divided(weights, keep):
    weights = zeroed(weights, keep)
    return weights / weights.sum(-1, keepdim=True)


def divided_with_care(weights, keep):
    weights = zeroed(weights, keep)
    return weights / weights.sum(-1, keepdim=True).clamp_min(1e-9)


def divided_epsilon(weights, keep):
    weights = zeroed(weights, keep)
    return weights / (weights.sum(-1, keepdim=True) + 1e-9)


def divided_under_a_mask(weights, keep):
    return weights if keep is None else divided_epsilon(weights, keep)


def divided_and_cleaned(weights, keep):
    return divided(weights, keep).nan_to_num(0.0)


def zeroed_in_single(weights, keep):
    return weights if keep is None else weights * keep.float()


def only_full_rows(weights, keep):
    return weights if keep is None else weights * keep.all(-1, keepdim=True)


def nan_to_zero(weights, keep):
    return weights.nan_to_num(0.0)


def read_cleaned(shares, v):
    return (shares @ v).nan_to_num(0.0)


# All steps more than once


def twice(scores, keep=None, **steps):
    return weights(weights(scores, keep, **steps), keep, **steps)


def of_a_softmax(scores, keep=None, **steps):
    return weights(scores.softmax(-1), keep, **steps)


# What people make, as changes of ``weights``

OVER_QUERIES = {"share": over_queries}
OVER_SECOND = {"share": over_second}
OVER_BATCH = {"share": over_batch}
UNSPECIFIED = {"share": over_unspecified}
NO_SOFTMAX = {"share": as_they_are}
SIGMOIDS = {"share": sigmoids}
LOGARITHMS = {"share": logarithms}
NO_EXPONENTIAL = {"hide": times_keep, "share": over_sum, "zero": unzeroed}
NO_MAXIMUM = {"share": of_exponentials}
NO_MAXIMUM_TIMES = {"hide": unhidden, "share": not_divided, "zero": divided}
NO_MAXIMUM_EPSILON = {"share": of_exponentials_epsilon}
NO_MAXIMUM_CLEANED = {"hide": unhidden, "share": not_divided, "zero": divided_and_cleaned}
NOT_DIVIDED = {"share": not_divided}
TWICE = {"weigh": twice}
OF_A_SOFTMAX = {"weigh": of_a_softmax}

FORGOTTEN = {"hide": unhidden, "zero": unzeroed}
AFTERWARDS = {"hide": unhidden}
RENORMALISED = {"hide": unhidden, "zero": divided}
RENORMALISED_WITH_CARE = {"hide": unhidden, "zero": divided_with_care}
RENORMALISED_EPSILON = {"hide": unhidden, "zero": divided_epsilon}
RENORMALISED_UNDER_A_MASK = {"hide": unhidden, "zero": divided_under_a_mask}
INVERTED = {"mask": invert}
INVERTED_UNZEROED = {"mask": invert, "zero": unzeroed}
HALF_INVERTED = {"hide": hide_readable}
TIMES_SCORES = {"hide": times_keep, "zero": unzeroed}
TIMES_SCORES_ZEROED = {"hide": times_keep}
ALMOST_ZERO = {"hide": almost_zero}
HIGHEST = {"hide": highest}
ONES_ADDED = {"hide": add_keep, "zero": unzeroed}
ALWAYS_CAUSAL = {"mask": always_causal}

AVERAGE_ROW = {"zero": unzeroed}
MINUS_1E9 = {"hide": minus_1e9, "zero": unzeroed}
MINUS_1E9_ZEROED = {"hide": minus_1e9}
MINUS_1E9_ADDED = {"hide": add_constant(-1e9)}
FLOAT_BIAS = {"hide": add_float, "zero": unzeroed}
NAN_ROW = {"hide": minus_infinity}
LOG_BIAS = {"hide": add_logarithm}
NAN_GRADIENT = {"hide": add_infinity, "zero": nan_to_zero}
ANSWER_CLEANED = {"hide": minus_infinity, "read": read_cleaned}
LOWEST_ADDED = {"hide": add_lowest}
LOWEST_OF_BOOL_ADDED = {"hide": add_lowest_of_bool}
ZEROED_IN_SINGLE = {"zero": zeroed_in_single}
ONLY_FULL_ROWS = {"zero": only_full_rows}
IN_PLACE = {"hide": in_place}

NOT_LOW_ENOUGH = {"hide": minus_1e4}
HALF_LOWEST = {"hide": lowest_of_half}
MINUS_1E4_ADDED = {"hide": add_constant(-1e4)}
_OTHER_CONSTANTS = (minus_50, minus_100, minus_1000, minus_1e5)
OTHERS_NOT_LOW_ENOUGH = (HALF_LOWEST, *({"hide": constant} for constant in _OTHER_CONSTANTS))


def traps(with_: Callable, softmax: str, masks: str, nothing: str) -> tuple[Trap, ...]:
    """What goes wrong with weights wherever they are a step of something else.

    ``with_``: makes an answer of changes of ``weights``; and the headings of a chapter's sections.
    """
    return (
        Trap(
            "softmax over the queries",
            with_(**OVER_QUERIES),
            "each query has a distribution over the keys, so the softmax runs along the last "
            "dimension of the scores, dim=-1. Along dim=-2 the keys share out the queries.",
            softmax,
        ),
        Trap(
            "softmax over the batch",
            with_(**OVER_BATCH),
            "keys run along the last dimension of the scores, dim=-1. Along a dimension in front, "
            "sentences or heads share out their weights among each other.",
            softmax,
            (with_(**UNSPECIFIED),),
        ),
        Trap(
            "no softmax",
            with_(**NO_SOFTMAX),
            "scores are no shares: they may be negative, do not sum to 1, and make the answer grow "
            "with the number of keys.",
            softmax,
        ),
        Trap(
            "a softmax too many",
            with_(**TWICE),
            "scores go through one softmax. Weights between 0 and 1 taken for scores again give "
            "none more than e times the weight of another.",
            softmax,
            (with_(**OF_A_SOFTMAX),),
        ),
        Trap(
            "exponentials without the maximum",
            with_(**NO_MAXIMUM),
            "exp(s) over its sum is infinity by infinity for large scores, and 0 / 0 for a row of "
            "very negative ones. softmax subtracts the row's maximum, which changes no quotient.",
            softmax,
            (with_(**NO_MAXIMUM_TIMES), with_(**NO_MAXIMUM_EPSILON)),
        ),
        Trap(
            "masked after the softmax",
            with_(**AFTERWARDS),
            "the hidden keys have already taken their share when they are zeroed: the remaining "
            "weights sum to less than 1. Hide the scores before the softmax.",
            masks,
        ),
        Trap(
            "renormalised after the softmax",
            with_(**RENORMALISED),
            "dividing by what is left mends the row sums until a hidden score takes everything: "
            "then 0 is divided by 0, or what is left has no digits left. Hide before the softmax.",
            masks,
            (
                with_(**RENORMALISED_WITH_CARE),
                with_(**RENORMALISED_EPSILON),
                with_(**RENORMALISED_UNDER_A_MASK),
            ),
        ),
        Trap(
            "the mask multiplies the scores",
            with_(**TIMES_SCORES),
            "a score of 0 is not a weight of 0: exp(0) is 1, so a hidden key still gets a share.",
            masks,
            (with_(**TIMES_SCORES_ZEROED),),
        ),
        Trap(
            "nothing to read, so everything is read",
            with_(**AVERAGE_ROW),
            "a row of equal scores, however low, is a uniform distribution: the query that may "
            "read nothing averages all that it was to be kept from. Multiply the weights by keep "
            "after the softmax.",
            nothing,
        ),
        Trap(
            "the row that may read nothing",
            with_(**NAN_ROW),
            "all its scores are -inf, and softmax divides 0 by 0. Take a finite fill, "
            "finfo(dtype).min, and multiply the weights by keep.",
            nothing,
            (with_(**LOG_BIAS),),
        ),
        Trap(
            "nan swept under the rug",
            with_(**NAN_GRADIENT),
            "nan_to_num mends the answer and not the derivative: the way back multiplies by the "
            "nan itself, and the gradient of that row is nan. A finite fill never makes one.",
            nothing,
            (with_(**ANSWER_CLEANED),),
        ),
        Trap(
            "a constant as minus infinity",
            with_(**NOT_LOW_ENOUGH),
            "scores have no lower bound, so no constant such as -100 or -10,000 is below all of "
            "them; half precision ends at 65,504 and cannot hold -1e9; and without weights * keep "
            "a row that may read nothing averages everything. Take finfo(dtype).min.",
            nothing,
            (
                *(with_(**change) for change in OTHERS_NOT_LOW_ENOUGH),
                with_(**MINUS_1E9),
                with_(**MINUS_1E9_ZEROED),
            ),
        ),
        Trap(
            "the lowest number added",
            with_(**LOWEST_ADDED),
            "finfo(dtype).min and a negative score together are below what the dtype can hold: "
            "-inf in half precision, and nan in a row of nothing else. masked_fill replaces the "
            "score instead.",
            nothing,
        ),
    )
