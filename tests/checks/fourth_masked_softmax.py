"""Wrong answers to masked_softmax of a fourth trial, by others who had not seen the traps."""

import math

import torch
from fresh import answer


def _guard(keep):
    if keep is not None and keep.dtype != torch.bool:
        raise TypeError(f"keep must be bool (True = may be read), got {keep.dtype}")


def _low(t):
    return torch.finfo(t.dtype).min


# renormalised with eps: rows do not sum to 1
@answer("renormalised after the softmax")
def masked_softmax__renormalised_eps(scores, keep=None):
    _guard(keep)
    w = scores.softmax(-1)
    if keep is None:
        return w
    w = w * keep
    return w / (w.sum(-1, keepdim=True) + 1e-9)


# float(-inf) * (1 - keep): 0 * inf is nan everywhere
@answer("infinity times 0")
def masked_softmax__inf_times_zero(scores, keep=None):
    _guard(keep)
    if keep is None:
        return scores.softmax(-1)
    return (scores + ~keep * float("-inf")).softmax(-1)


# softmax over all elements of the table
@answer("one softmax for the whole table")
def masked_softmax__over_everything(scores, keep=None):
    _guard(keep)
    s = scores if keep is None else scores.masked_fill(~keep, torch.finfo(scores.dtype).min)
    w = s.flatten(-2).softmax(-1).reshape(scores.shape)
    return w if keep is None else w * keep


# mask holds whole batch: keep.any() over everything decides about zeros
@answer("nothing to read, so everything is read")
def masked_softmax__any_of_all(scores, keep=None):
    _guard(keep)
    if keep is None:
        return scores.softmax(-1)
    w = scores.masked_fill(~keep, torch.finfo(scores.dtype).min).softmax(-1)
    return w if keep.any() else torch.zeros_like(w)


# the minimum of the scores instead of a very low number (scores.min())
@answer("hidden by the lowest score")
def masked_softmax__fill_min(scores, keep=None):
    _guard(keep)
    if keep is None:
        return scores.softmax(-1)
    return scores.masked_fill(~keep, scores.min().item()).softmax(-1)


# temperature: divided by sqrt(S)
@answer("a scale that nobody asked for")
def masked_softmax__sqrt_s(scores, keep=None):
    _guard(keep)
    s = scores / math.sqrt(scores.shape[-1])
    if keep is None:
        return s.softmax(-1)
    return s.masked_fill(~keep, _low(s)).softmax(-1) * keep


# only the last row of keep decides (keep[..., -1, :])
@answer("one row of the mask for all")
def masked_softmax__last_row(scores, keep=None):
    _guard(keep)
    if keep is None:
        return scores.softmax(-1)
    keep = keep[..., -1:, :]
    return scores.masked_fill(~keep, _low(scores)).softmax(-1) * keep
