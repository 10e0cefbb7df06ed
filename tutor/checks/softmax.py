"""Weights from scores, under a mask: the right ones, and the wrong ones that people make of them.

Chapter 2 asks for them; all attention is built on them, and so is what goes wrong in it.
"""

import torch


def hide(scores, keep, value=None):
    """The right way to hide scores, unless another value is given."""
    if keep is None:
        return scores
    if keep.dtype != torch.bool:
        raise TypeError(f"keep must be bool, got {keep.dtype}")
    return scores.masked_fill(~keep, torch.finfo(scores.dtype).min if value is None else value)


def zeroed(weights, keep):
    return weights if keep is None else weights * keep


def shares(scores, keep=None, dim=-1):
    """The right weights, unless they are to sum to 1 along another dimension."""
    return zeroed(hide(scores, keep).softmax(dim), keep)


# The wrong ones


def over_queries(scores, keep=None):
    return shares(scores, keep, dim=-2)


def over_batch(scores, keep=None):
    return shares(scores, keep, dim=0)


def unspecified_axis(scores, keep=None):
    return shares(scores, keep, dim=0 if scores.ndim in (0, 1, 3) else 1)  # what nn.Softmax takes


def mask_forgotten(scores, keep=None):
    hide(scores, keep)
    return scores.softmax(-1)


def then_mask(scores, keep=None):
    return hide(scores.softmax(-1), keep, 0.0)


def renormalised(scores, keep=None):
    weights = hide(scores.softmax(-1), keep, 0.0)
    return weights / weights.sum(-1, keepdim=True)


def renormalised_with_care(scores, keep=None):
    weights = hide(scores.softmax(-1), keep, 0.0)
    return weights / weights.sum(-1, keepdim=True).clamp_min(1e-9)


def renormalised_epsilon(scores, keep=None):
    weights = hide(scores.softmax(-1), keep, 0.0)
    return weights / (weights.sum(-1, keepdim=True) + 1e-9)


def no_maximum(scores, keep=None):
    exponentials = hide(scores.exp(), keep, 0.0)
    return exponentials / exponentials.sum(-1, keepdim=True)


def no_maximum_epsilon(scores, keep=None):
    exponentials = hide(scores.exp(), keep, 0.0)
    return exponentials / (exponentials.sum(-1, keepdim=True) + 1e-9)


def inverted(scores, keep=None):
    return shares(scores, ~keep if keep is not None and keep.dtype == torch.bool else keep)


def inverted_unzeroed(scores, keep=None):
    hidden = ~keep if keep is not None and keep.dtype == torch.bool else keep
    return hide(scores, hidden).softmax(-1)


def mask_times_scores(scores, keep=None):
    return hide(scores, keep, 0.0).softmax(-1)


def mask_times_scores_zeroed(scores, keep=None):
    return zeroed(hide(scores, keep, 0.0).softmax(-1), keep)


def average_row(scores, keep=None):
    return hide(scores, keep).softmax(-1)


def minus_1e9(scores, keep=None):
    return hide(scores, keep, -1e9).softmax(-1)


def minus_1e9_zeroed(scores, keep=None):
    return zeroed(hide(scores, keep, -1e9).softmax(-1), keep)


def float_bias(scores, keep=None):
    if keep is None:
        return scores.softmax(-1)
    hide(scores, keep)
    return (scores + (~keep).float() * -1e9).softmax(-1)


def not_low_enough(scores, keep=None):
    return zeroed(hide(scores, keep, -1e4).softmax(-1), keep)


def half_lowest(scores, keep=None):
    return zeroed(hide(scores, keep, -65504.0).softmax(-1), keep)


def nan_row(scores, keep=None):
    return hide(scores, keep, -torch.inf).softmax(-1)


def log_bias(scores, keep=None):
    if keep is None:
        return scores.softmax(-1)
    hide(scores, keep)
    return (scores + keep.log()).softmax(-1)


def nan_gradient(scores, keep=None):
    bias = hide(torch.zeros_like(scores), keep, -torch.inf)
    return (scores + bias).softmax(-1).nan_to_num(0.0)


def in_place(scores, keep=None):
    if keep is None:
        return scores.softmax(-1)
    hide(scores, keep)
    scores.masked_fill_(~keep, torch.finfo(scores.dtype).min)
    return scores.softmax(-1) * keep


def twice(scores, keep=None):
    return shares(shares(scores, keep), keep)


def of_a_softmax(scores, keep=None):
    return shares(scores.softmax(-1), keep)


def no_exponential(scores, keep=None):
    weights = hide(scores, keep, 0.0)
    return weights / weights.sum(-1, keepdim=True)
