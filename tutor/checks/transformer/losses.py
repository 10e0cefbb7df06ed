"""A smoothed loss in parts: the right one, and the steps that people get wrong."""

import math

import torch

from tutor.checks.changes import changeable


def log_softmax(logits):
    return logits.log_softmax(-1)


def places(target, ignore_index):
    return target != ignore_index


def for_all(logs, right, ignore_index):
    """What the smoothing costs: as much for each of all symbols."""
    return -logs.mean(-1)


def shared(logs, right, smoothing, spread, ignore_index):
    loss = -(1 - smoothing) * right
    return loss + smoothing * spread(logs, right, ignore_index) if smoothing else loss


def mean(loss, keep):
    return loss.masked_fill(~keep, 0).sum() / keep.sum().clamp(min=1)


def as_it_is(number):
    return number


def loss(
    logits,
    target,
    smoothing=0.1,
    ignore_index=0,
    share=as_it_is,
    normalised=log_softmax,
    places=places,
    spread=for_all,
    joined=shared,
    averaged=mean,
    told=as_it_is,
):
    """The right loss, but for the parts that are given."""
    if not 0 <= smoothing <= 1 or logits.shape[:-1] != target.shape:
        raise ValueError("a smoothing from 0 to 1, and a target for each place")
    logs = normalised(logits)
    symbols = target.clamp(0, logits.shape[-1] - 1)
    right = logs.gather(-1, symbols[..., None])[..., 0]
    loss = joined(logs, right, share(smoothing), spread, ignore_index)
    return told(averaged(loss, places(target, ignore_index)))


with_ = changeable(loss)


def softmax(logits):
    return logits.softmax(-1)


def twice(logits):
    return logits.softmax(-1).log_softmax(-1)


def log_of_softmax(logits):
    return logits.softmax(-1).log()


def log_with_epsilon(logits):
    return (logits.softmax(-1) + 1e-9).log()


def log_with_little(logits):
    return (logits.softmax(-1) + 1e-12).log()


def without_maximum(logits):
    return logits - logits.exp().sum(-1, keepdim=True).log()


def over_places(logits):
    return logits.log_softmax(-2 if logits.ndim > 1 else -1)


def over_the_batch(logits):
    return logits.log_softmax(0)


def in_bits(logits):
    return logits.log_softmax(-1) / math.log(2)


def everywhere(target, ignore_index):
    return torch.ones_like(target, dtype=torch.bool)


def but_zero(target, ignore_index):
    return target != 0


def but_hundred(target, ignore_index):
    return target != -100


def padding_alone(target, ignore_index):
    return target == ignore_index


def positive(target, ignore_index):
    return target > ignore_index


def for_others(logs, right, ignore_index):
    return -(logs.sum(-1) - right) / logs.shape[-1]


def among_others(logs, right, ignore_index):
    return -(logs.sum(-1) - right) / (logs.shape[-1] - 1)


def among_at_least_one_other(logs, right, ignore_index):
    return -(logs.sum(-1) - right) / max(logs.shape[-1] - 1, 1)


def padding_score(logs, ignore_index):
    inside = 0 <= ignore_index < logs.shape[-1]
    return (logs[..., ignore_index], 1) if inside else (0.0, 0)


def but_padding(logs, right, ignore_index):
    score, count = padding_score(logs, ignore_index)
    return -(logs.sum(-1) - score) / (logs.shape[-1] - count)


def all_but_padding(logs, right, ignore_index):
    score, _ = padding_score(logs, ignore_index)
    return -(logs.sum(-1) - score) / logs.shape[-1]


def among_others_but_padding(logs, right, ignore_index):
    score, count = padding_score(logs, ignore_index)
    return -(logs.sum(-1) - right - score) / (logs.shape[-1] - 1 - count)


def summed(logs, right, ignore_index):
    return -logs.sum(-1)


def of_probabilities(logs, right, ignore_index):
    return -logs.exp().mean(-1)


def exchanged(smoothing):
    return 1 - smoothing


def none(smoothing):
    return 0.0


def tenth(smoothing):
    return 0.1


def halved(smoothing):
    return smoothing / 2


def times_zero(logs, right, smoothing, spread, ignore_index):
    return -(1 - smoothing) * right + smoothing * spread(logs, right, ignore_index)


def added(logs, right, smoothing, spread, ignore_index):
    return -right + smoothing * spread(logs, right, ignore_index) if smoothing else -right


def divergence(logs, right, smoothing, spread, ignore_index):
    """Less the entropy of the smoothed target, which no weight can change."""
    symbols = logs.shape[-1]
    rest, first = smoothing / symbols, 1 - smoothing + smoothing / symbols
    entropy = -first * math.log(first) - (symbols - 1) * (rest and rest * math.log(rest))
    return shared(logs, right, smoothing, spread, ignore_index) - entropy


def subtracted(logs, right, smoothing, spread, ignore_index):
    return -shared(logs, right, smoothing, spread, ignore_index)


def of_all_places(loss, keep):
    return loss.masked_fill(~keep, 0).mean()


def summed_up(loss, keep):
    return loss.masked_fill(~keep, 0).sum()


def multiplied(loss, keep):
    return (loss * keep).sum() / keep.sum().clamp(min=1)


def of_nothing(loss, keep):
    return loss.masked_fill(~keep, 0).sum() / keep.sum()


def chosen(loss, keep):
    return loss[keep].mean()


def each(loss, keep):
    return loss.masked_fill(~keep, 0)


def of_sentences(loss, keep):
    if not loss.ndim:
        return mean(loss, keep)
    return (loss.masked_fill(~keep, 0).sum(-1) / keep.sum(-1).clamp(min=1)).mean()


def of_sentences_with_symbols(loss, keep):
    if not loss.ndim:
        return mean(loss, keep)
    means = loss.masked_fill(~keep, 0).sum(-1) / keep.sum(-1).clamp(min=1)
    return means.sum() / keep.any(-1).sum().clamp(min=1)


def by_sentences(loss, keep):
    count = loss.shape[0] if loss.ndim > 1 else 1
    return loss.masked_fill(~keep, 0).sum() / count


def smoothed_padding(logits, target, smoothing=0.1, ignore_index=0, count=places):
    """The right symbol is dropped where there is padding, and the smoothing is not."""
    if not 0 <= smoothing <= 1 or logits.shape[:-1] != target.shape:
        raise ValueError("a smoothing from 0 to 1, and a target for each place")
    logs, keep = logits.log_softmax(-1), target != ignore_index
    right = logs.gather(-1, target.clamp(0, logits.shape[-1] - 1)[..., None])[..., 0]
    total = -(1 - smoothing) * right.masked_fill(~keep, 0).sum()
    if smoothing:
        total = total - smoothing * logs.mean(-1).sum()
    return total / count(target, ignore_index).sum().clamp(min=1)


def smoothed_padding_by_all(logits, target, smoothing=0.1, ignore_index=0):
    return smoothed_padding(logits, target, smoothing, ignore_index, everywhere)


def scattered(logits, target):
    return torch.zeros_like(logits).scatter(-1, target[..., None], 1.0)


def of_the_identity(logits, target):
    return torch.eye(logits.shape[-1], dtype=logits.dtype, device=logits.device)[target]


def row_of_shares(one_hot):
    """With a share for each symbol at each place: the padding's number must be one of them."""

    def loss(logits, target, smoothing=0.1, ignore_index=0):
        if not 0 <= smoothing <= 1 or logits.shape[:-1] != target.shape:
            raise ValueError("a smoothing from 0 to 1, and a target for each place")
        shares = (1 - smoothing) * one_hot(logits, target) + smoothing / logits.shape[-1]
        return mean(-(shares * logits.log_softmax(-1)).sum(-1), target != ignore_index)

    return loss


def indexed_by_padding(logits, target, smoothing=0.1, ignore_index=0):
    """Clamped from below alone."""
    if not 0 <= smoothing <= 1 or logits.shape[:-1] != target.shape:
        raise ValueError("a smoothing from 0 to 1, and a target for each place")
    logs = logits.log_softmax(-1)
    right = logs.gather(-1, target.clamp(min=0)[..., None])[..., 0]
    loss = shared(logs, right, smoothing, for_all, ignore_index)
    return mean(loss, target != ignore_index)
