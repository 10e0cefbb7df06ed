"""Weights from scores, under a mask: the right ones, and the wrong ones that people make of them.

Chapter 2 asks for them; all attention is built on them, and so is what goes wrong in it.
"""

import torch


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


def weights(
    scores, keep=None, mask=as_it_is, more=as_it_is, hide=hide, share=over_keys, zero=zeroed
):
    """The right weights, but for the steps that are given; ``more``: what is hidden besides."""
    if keep is not None and keep.dtype != torch.bool:
        raise TypeError(f"keep must be bool, got {keep.dtype}")
    keep = more(scores, mask(scores, keep))
    return zero(share(hide(scores, keep)), keep)


# Another mask


def invert(scores, keep):
    return None if keep is None else ~keep


def on_its_side(scores, keep):
    return None if keep is None else keep.mT


def always_causal(scores, keep):
    tq, tk = scores.shape[-2:]
    past = torch.ones(tq, tk, dtype=torch.bool, device=scores.device).tril(tk - tq)
    return past if keep is None else keep & past


def causal_from_the_first(scores, keep):
    past = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).tril()
    return past if keep is None else keep & past


def not_the_diagonal(scores, keep):
    others = ~torch.eye(*scores.shape[-2:], dtype=torch.bool, device=scores.device)
    return others if keep is None else keep & others


def one_row(scores, keep):
    return None if keep is None else keep.any(-2, keepdim=True)


def first_row(scores, keep):
    return None if keep is None else keep[..., :1, :]


def last_row(scores, keep):
    return None if keep is None else keep[..., -1:, :]


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


def lowest_score(scores, keep):
    return scores if keep is None else hide(scores, keep, scores.min().item())


def infinity_times(scores, keep):
    return scores if keep is None else scores + (~keep) * -torch.inf


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


def over_dimension(dim):
    def share(scores):
        return scores.softmax(dim)

    return share


def over_table(scores):
    return scores.flatten(-2).softmax(-1).view(scores.shape)


def over_all(scores):
    return scores.flatten().softmax(0).view(scores.shape)


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


def less_the_largest(scores):
    return (scores - scores.amax(-1, keepdim=True)).exp()


def stable_epsilon(epsilon):
    def share(scores):
        exponentials = less_the_largest(scores)
        return exponentials / (exponentials.sum(-1, keepdim=True) + epsilon)

    return share


def exponentials_less_the_largest_of_all(scores):
    return (scores - scores.max()).exp()


def less_the_largest_of_all(scores):
    exponentials = exponentials_less_the_largest_of_all(scores)
    return exponentials / exponentials.sum(-1, keepdim=True)


def best_alone(scores):
    return torch.zeros_like(scores).scatter(-1, scores.argmax(-1, keepdim=True), 1.0)


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


def divided_where_positive(weights, keep):
    weights = zeroed(weights, keep)
    total = weights.sum(-1, keepdim=True)
    return weights / total.masked_fill(total == 0, 1.0)


def plus(epsilon):
    def divided(weights, keep):
        weights = zeroed(weights, keep)
        return weights / (weights.sum(-1, keepdim=True) + epsilon)

    return divided


def plus_under_a_mask(epsilon):
    def divided(weights, keep):
        return weights if keep is None else plus(epsilon)(weights, keep)

    return divided


def empty_rows(weights, keep):
    return weights if keep is None else weights * keep.any(-1, keepdim=True)


def divided_and_cleaned(weights, keep):
    return divided(weights, keep).nan_to_num(0.0)


def zeroed_in_single(weights, keep):
    return weights if keep is None else weights * keep.float()


def any_of_all(weights, keep):
    return weights if keep is None else weights * keep.any()


def nothing_if_none(weights, keep):
    return weights if keep is None or keep.any() else torch.zeros_like(weights)


def only_full_rows(weights, keep):
    return weights if keep is None else weights * keep.all(-1, keepdim=True)


def nan_to_zero(weights, keep):
    return weights.nan_to_num(0.0)


# Another way to read


def read(shares, v):
    return shares @ v


def read_transposed(shares, v):
    return shares.mT @ v


def read_mean(shares, v):
    return shares @ v / v.shape[-2]


def read_detached(shares, v):
    return shares.detach() @ v


def read_of_detached(shares, v):
    return shares @ v.detach()


def read_besides(shares, v):
    return shares @ v + v


def read_cleaned(shares, v):
    return (shares @ v).nan_to_num(0.0)


# All steps more than once


def twice(scores, keep=None, **steps):
    return weights(weights(scores, keep, **steps), keep, **steps)


def of_a_softmax(scores, keep=None, **steps):
    return weights(scores.softmax(-1), keep, **steps)


# What people make, as changes of ``weights``

OVER_QUERIES = {"share": over_queries}
COUNTED = tuple({"share": over_dimension(dim)} for dim in (1, 2, 3))
OVER_HEADS = {"share": over_dimension(-3)}
OVER_TABLE = {"share": over_table}
OVER_ALL = {"share": over_all}
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

NO_MAXIMUM_WHERE = {"hide": unhidden, "share": not_divided, "zero": divided_where_positive}
NO_MAXIMUM_WITH_CARE = {"hide": unhidden, "share": not_divided, "zero": divided_with_care}
NO_MAXIMUM_ZEROED_EPSILON = {"hide": unhidden, "share": not_divided, "zero": plus(1e-9)}
NO_MAXIMUM_HIDDEN_WHERE = {"share": not_divided, "zero": divided_where_positive}
NO_MAXIMUM_HIDDEN_WITH_CARE = {"share": not_divided, "zero": divided_with_care}
LARGEST_OF_ALL = {"share": less_the_largest_of_all}
LARGEST_OF_HIDDEN = {
    "hide": unhidden,
    "share": exponentials_less_the_largest_of_all,
    "zero": divided_where_positive,
}
BEST_ALONE = {"share": best_alone}
BEST_ALONE_OF_ROWS = {"share": best_alone, "zero": empty_rows}
_EPSILONS = (1e-6, 1e-8, 1e-9)
EPSILONS = (
    *({"zero": plus_under_a_mask(epsilon)} for epsilon in _EPSILONS),
    *({"share": less_the_largest, "zero": plus(epsilon)} for epsilon in _EPSILONS),
    *({"share": stable_epsilon(epsilon)} for epsilon in _EPSILONS),
)

FORGOTTEN = {"hide": unhidden, "zero": unzeroed}
AFTERWARDS = {"hide": unhidden}
RENORMALISED = {"hide": unhidden, "zero": divided}
RENORMALISED_WITH_CARE = {"hide": unhidden, "zero": divided_with_care}
RENORMALISED_WHERE = {"hide": unhidden, "zero": divided_where_positive}
RENORMALISED_EPSILONS = tuple(
    {"hide": unhidden, "zero": zero} for zero in (plus(1e-9), plus_under_a_mask(1e-9))
)
INVERTED = {"mask": invert}
INVERTED_UNZEROED = {"mask": invert, "zero": unzeroed}
HALF_INVERTED = {"hide": hide_readable}
TIMES_SCORES = {"hide": times_keep, "zero": unzeroed}
TIMES_SCORES_ZEROED = {"hide": times_keep}
TIMES_SCORES_ROWS = {"hide": times_keep, "zero": empty_rows}
ON_ITS_SIDE = {"mask": on_its_side}
ALMOST_ZERO = {"hide": almost_zero}
LOWEST_SCORE = {"hide": lowest_score, "zero": unzeroed}
LOWEST_SCORE_ZEROED = {"hide": lowest_score}
HIGHEST = {"hide": highest}
ONES_ADDED = {"hide": add_keep, "zero": unzeroed}
ONE_ROW = {"mask": one_row}
FIRST_ROW = {"mask": first_row}
LAST_ROW = {"mask": last_row}
ALWAYS_CAUSAL = {"more": always_causal}
CAUSAL_FROM_THE_FIRST = {"more": causal_from_the_first}
NOT_THE_DIAGONAL = {"more": not_the_diagonal}

AVERAGE_ROW = {"zero": unzeroed}
MINUS_1E9 = {"hide": minus_1e9, "zero": unzeroed}
MINUS_1E9_ZEROED = {"hide": minus_1e9}
MINUS_1E9_ADDED = {"hide": add_constant(-1e9)}
FLOAT_BIAS = {"hide": add_float, "zero": unzeroed}
NAN_ROW = {"hide": minus_infinity}
INFINITY_TIMES = {"hide": infinity_times}
ANY_OF_ALL = {"zero": any_of_all}
ANY_OF_ALL_CHOSEN = {"zero": nothing_if_none}
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

READ_TRANSPOSED = {"read": read_transposed}
READ_MEAN = {"read": read_mean}
READ_DETACHED = {"read": read_detached}
READ_OF_DETACHED = {"read": read_of_detached}
READ_BESIDES = {"read": read_besides}
