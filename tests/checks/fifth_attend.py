"""Wrong answers to attend of a fifth trial, by others who had not seen the traps."""

import torch
from fresh import answer


# softmax over those that ask
@answer("softmax over those that ask")
def attend__softmax_over_those_that_ask(scores, memory, keep=None):
    if keep is None:
        weights = scores.softmax(-2)
    else:
        low = torch.finfo(scores.dtype).min
        weights = scores.masked_fill(~keep, low).softmax(-2) * keep
    return weights @ memory, weights


# returned in the order shares, read
@answer("the answers in the other order")
def attend__returned_in_the_order_shares_read(scores, memory, keep=None):
    from tutor.alignment import masked_softmax

    weights = masked_softmax(scores, keep)
    return weights, weights @ memory


# hidden after the softmax: the rest does not sum to 1
@answer("masked after the softmax")
def attend__hidden_after_the_softmax(scores, memory, keep=None):
    weights = scores.softmax(-1)
    if keep is not None:
        weights = weights * keep
    return weights @ memory, weights


# mask inverted
@answer("mask inverted")
def attend__mask_inverted(scores, memory, keep=None):
    from tutor.alignment import masked_softmax

    weights = masked_softmax(scores, None if keep is None else ~keep)
    return weights @ memory, weights


# minus infinity: nan where nothing may be read
@answer("the row that may read nothing")
def attend__minus_infinity(scores, memory, keep=None):
    if keep is not None:
        scores = scores.masked_fill(~keep, float("-inf"))
    weights = scores.softmax(-1)
    return weights @ memory, weights


# -1e9 does not fit into half precision
@answer("a constant as minus infinity")
def attend__1e9_does_not_fit_into_half(scores, memory, keep=None):
    if keep is None:
        weights = scores.softmax(-1)
    else:
        weights = scores.masked_fill(~keep, -1e9).softmax(-1) * keep
    return weights @ memory, weights


# equal shares where nothing may be read
@answer("the row that may read nothing")
def attend__equal_shares_where_nothing_may_be(scores, memory, keep=None):
    if keep is not None:
        scores = scores.masked_fill(~keep, torch.finfo(scores.dtype).min)
    weights = scores.softmax(-1)
    return weights @ memory, weights


# score of the padding set to 0 instead of very low
@answer("the mask multiplies the scores")
def attend__score_of_the_padding_set_to(scores, memory, keep=None):
    if keep is not None:
        scores = scores * keep
    weights = scores.softmax(-1)
    return weights @ memory, weights


# two: nan where nothing may be read, returned in the wrong order
@answer("the answers in the other order", "the row that may read nothing")
def attend__two_nan_where_nothing_may_be(scores, memory, keep=None):
    if keep is not None:
        scores = scores.masked_fill(~keep, float("-inf"))
    weights = scores.softmax(-1)
    return weights, weights @ memory


# two: softmax over those that ask, keep ignored
@answer("softmax over those that ask", "the mask forgotten")
def attend__two_softmax_over_those_that_ask(scores, memory, keep=None):
    weights = scores.softmax(-2)
    return weights @ memory, weights
