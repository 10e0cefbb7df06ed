"""Wrong answers to stable_softmax of a fifth trial, by others who had not seen the traps."""

import torch
from fresh import answer


# no shift: overflows
@answer("no maximum subtracted")
def stable_softmax__no_shift(scores, dim=-1):
    parts = torch.exp(scores)
    return parts / parts.sum(dim, keepdim=True)


# one maximum for all rows: low rows underflow to 0 / 0
@answer("one maximum for the whole tensor")
def stable_softmax__one_maximum_for_all_rows(scores, dim=-1):
    parts = torch.exp(scores - scores.max())
    return parts / parts.sum(dim, keepdim=True)


# dim ignored: always the last
@answer("always the last axis")
def stable_softmax__dim_ignored(scores, dim=-1):
    parts = torch.exp(scores - scores.amax(-1, keepdim=True))
    return parts / parts.sum(-1, keepdim=True)


# keepdim forgotten in the sum
@answer("a dimension lost")
def stable_softmax__keepdim_forgotten_in_the_sum(scores, dim=-1):
    parts = torch.exp(scores - scores.amax(dim, keepdim=True))
    return parts / parts.sum(dim)


# writes into the caller's scores
@answer("the caller's scores overwritten")
def stable_softmax__writes_into_the_caller_s_scores(scores, dim=-1):
    scores -= scores.amax(dim, keepdim=True)
    parts = scores.exp()
    return parts / parts.sum(dim, keepdim=True)


# minimum subtracted instead of maximum
@answer("the minimum instead of the maximum")
def stable_softmax__minimum_subtracted_instead_of_maximum(scores, dim=-1):
    parts = torch.exp(scores - scores.amin(dim, keepdim=True))
    return parts / parts.sum(dim, keepdim=True)


# returned in single precision
@answer()
def stable_softmax__returned_in_single_precision(scores, dim=-1):
    scores = scores.float()
    parts = torch.exp(scores - scores.amax(dim, keepdim=True))
    return parts / parts.sum(dim, keepdim=True)


# an epsilon in the denominator: does not sum to 1
@answer("an epsilon in the denominator")
def stable_softmax__an_epsilon_in_the_denominator(scores, dim=-1):
    parts = torch.exp(scores - scores.amax(dim, keepdim=True))
    return parts / (parts.sum(dim, keepdim=True) + 1e-6)


# two: no shift, dim ignored
@answer("no maximum subtracted", "maximum and sum along different dimensions")
def stable_softmax__two_no_shift_dim_ignored(scores, dim=-1):
    parts = scores.exp()
    return parts / parts.sum(-1, keepdim=True)


# two: mean subtracted instead of maximum, written into the caller's scores
@answer("the mean instead of the maximum", "the caller's scores overwritten")
def stable_softmax__two_mean_subtracted_instead_of_maximum(scores, dim=-1):
    scores.sub_(scores.mean(dim, keepdim=True))
    parts = scores.exp()
    return parts / parts.sum(dim, keepdim=True)
