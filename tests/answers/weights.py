"""Wrong weights under a mask that no trap of ``tutor.checks.softmax`` is: they are wrong where two
conditions meet."""

import functools

import torch


def _hidden(scores, keep, value):
    return scores if keep is None else scores.masked_fill(~keep, value)


def _zeroed(weights, keep):
    return weights if keep is None else weights * keep


def _of_bool(weigh):
    """Refuses a mask of numbers, as it should."""

    @functools.wraps(weigh)
    def checked(scores, keep=None):
        if keep is not None and keep.dtype != torch.bool:
            raise TypeError("keep must be bool")
        return weigh(scores, keep)

    return checked


def lowest_added(scores, keep=None):
    """The lowest number *and* a score below -16 is -inf in half precision."""
    if keep is not None:
        scores = scores + (~keep).to(scores.dtype) * torch.finfo(scores.dtype).min
    return _zeroed(scores.softmax(-1), keep)


def lowest_added_twice_negated(scores, keep=None):
    if keep is not None:
        scores = scores + (1 - keep.to(scores.dtype)) * torch.finfo(scores.dtype).min
    return _zeroed(scores.softmax(-1), keep)


def minus_100(scores, keep=None):
    return _zeroed(_hidden(scores, keep, -100.0).softmax(-1), keep)


def minus_1000(scores, keep=None):
    return _zeroed(_hidden(scores, keep, -1000.0).softmax(-1), keep)


def twice_the_smallest(scores, keep=None):
    """Lower than all scores of the tensor, and not low enough to be nothing."""
    lowest = 2 * scores.detach().amin() - 1
    return _zeroed(_hidden(scores, keep, lowest).softmax(-1), keep)


def one_maximum(scores, keep=None):
    e = _zeroed((_hidden(scores, keep, -torch.inf) - scores.max()).exp(), keep)
    return e / e.sum(-1, keepdim=True).clamp_min(torch.finfo(scores.dtype).tiny)


def maximum_of_hidden_ones(scores, keep=None):
    e = _zeroed((scores - scores.amax(-1, keepdim=True)).exp(), keep)
    return e / e.sum(-1, keepdim=True).clamp_min(torch.finfo(scores.dtype).tiny)


def no_maximum_zeroed(scores, keep=None):
    e = _zeroed(scores.exp(), keep)
    return (e / e.sum(-1, keepdim=True)).nan_to_num(0.0)


def epsilon(scores, keep=None):
    hidden = _hidden(scores, keep, torch.finfo(scores.dtype).min)
    e = _zeroed((hidden - hidden.amax(-1, keepdim=True)).exp(), keep)
    return e / (e.sum(-1, keepdim=True) + 1e-8)


def clamped(scores, keep=None):
    scores = scores.clamp(-1e4, 1e4)
    return _zeroed(_hidden(scores, keep, torch.finfo(scores.dtype).min).softmax(-1), keep)


def lowest_of_single(scores, keep=None):
    """A float32 mask, whatever the scores are."""
    if keep is not None:
        hidden = torch.zeros(keep.shape, device=keep.device).masked_fill(~keep, -3e38)
        scores = scores + hidden
    return _zeroed(scores.softmax(-1), keep)


def per_sentence(scores, keep=None):
    """One row for all queries of a sentence."""
    if keep is not None:
        keep = keep[..., :1, :]
    return _zeroed(_hidden(scores, keep, torch.finfo(scores.dtype).min).softmax(-1), keep)


def first_sentence(scores, keep=None):
    """One mask for the whole batch."""
    if keep is not None and keep.ndim == scores.ndim:
        keep = keep[:1]
    return _zeroed(_hidden(scores, keep, torch.finfo(scores.dtype).min).softmax(-1), keep)


def row_by_row(scores, keep=None):
    """Every row that may read something, by its own softmax, in a batch of one dimension."""
    out = torch.zeros_like(scores)
    for b in range(len(scores)):
        may = None if keep is None else keep[b if len(keep) > 1 else 0]
        out[b] = _zeroed(_hidden(scores[b], may, torch.finfo(scores.dtype).min).softmax(-1), may)
    return out


WRONG = [
    _of_bool(weigh)
    for weigh in (
        lowest_added,
        lowest_added_twice_negated,
        minus_100,
        minus_1000,
        twice_the_smallest,
        one_maximum,
        maximum_of_hidden_ones,
        no_maximum_zeroed,
        epsilon,
        clamped,
        lowest_of_single,
        per_sentence,
        first_sentence,
    )
]

OF_FEW_DIMENSIONS = [_of_bool(row_by_row)]
"""Wrong where a mask has fewer dimensions than the scores."""
