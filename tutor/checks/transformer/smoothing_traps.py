"""A smoothed loss in parts: the right one, and the wrong ones that people write."""

import math

import torch

from tutor.checks.changes import changeable
from tutor.checks.exercise import Trap

SECTION = "Label smoothing"


def _log_softmax(logits):
    return logits.log_softmax(-1)


def _places(target, ignore_index):
    return target != ignore_index


def _for_all(logs, right, ignore_index):
    """What the smoothing costs: as much for each of all symbols."""
    return -logs.mean(-1)


def _shared(logs, right, smoothing, spread, ignore_index):
    loss = -(1 - smoothing) * right
    return loss + smoothing * spread(logs, right, ignore_index) if smoothing else loss


def _mean(loss, keep):
    return loss.masked_fill(~keep, 0).sum() / keep.sum().clamp(min=1)


def _as_it_is(number):
    return number


def _loss(
    logits,
    target,
    smoothing=0.1,
    ignore_index=0,
    share=_as_it_is,
    normalised=_log_softmax,
    places=_places,
    spread=_for_all,
    joined=_shared,
    averaged=_mean,
    told=_as_it_is,
):
    """The right loss, but for the parts that are given."""
    if not 0 <= smoothing <= 1 or logits.shape[:-1] != target.shape:
        raise ValueError("a smoothing from 0 to 1, and a target for each place")
    logs = normalised(logits)
    symbols = target.clamp(0, logits.shape[-1] - 1)
    right = logs.gather(-1, symbols[..., None])[..., 0]
    loss = joined(logs, right, share(smoothing), spread, ignore_index)
    return told(averaged(loss, places(target, ignore_index)))


with_ = changeable(_loss)


def _softmax(logits):
    return logits.softmax(-1)


def _twice(logits):
    return logits.softmax(-1).log_softmax(-1)


def _log_of_softmax(logits):
    return logits.softmax(-1).log()


def _log_with_epsilon(logits):
    return (logits.softmax(-1) + 1e-9).log()


def _log_with_little(logits):
    return (logits.softmax(-1) + 1e-12).log()


def _without_maximum(logits):
    return logits - logits.exp().sum(-1, keepdim=True).log()


def _over_places(logits):
    return logits.log_softmax(-2 if logits.ndim > 1 else -1)


def _over_the_batch(logits):
    return logits.log_softmax(0)


def _in_bits(logits):
    return logits.log_softmax(-1) / math.log(2)


def _everywhere(target, ignore_index):
    return torch.ones_like(target, dtype=torch.bool)


def _but_zero(target, ignore_index):
    return target != 0


def _but_hundred(target, ignore_index):
    return target != -100


def _padding_alone(target, ignore_index):
    return target == ignore_index


def _positive(target, ignore_index):
    return target > ignore_index


def _for_others(logs, right, ignore_index):
    return -(logs.sum(-1) - right) / logs.shape[-1]


def _among_others(logs, right, ignore_index):
    return -(logs.sum(-1) - right) / (logs.shape[-1] - 1)


def _padding_score(logs, ignore_index):
    inside = 0 <= ignore_index < logs.shape[-1]
    return (logs[..., ignore_index], 1) if inside else (0.0, 0)


def _but_padding(logs, right, ignore_index):
    score, count = _padding_score(logs, ignore_index)
    return -(logs.sum(-1) - score) / (logs.shape[-1] - count)


def _among_others_but_padding(logs, right, ignore_index):
    score, count = _padding_score(logs, ignore_index)
    return -(logs.sum(-1) - right - score) / (logs.shape[-1] - 1 - count)


def _summed(logs, right, ignore_index):
    return -logs.sum(-1)


def _of_probabilities(logs, right, ignore_index):
    return -logs.exp().mean(-1)


def _exchanged(smoothing):
    return 1 - smoothing


def _none(smoothing):
    return 0.0


def _tenth(smoothing):
    return 0.1


def _halved(smoothing):
    return smoothing / 2


def _times_zero(logs, right, smoothing, spread, ignore_index):
    return -(1 - smoothing) * right + smoothing * spread(logs, right, ignore_index)


def _added(logs, right, smoothing, spread, ignore_index):
    return -right + smoothing * spread(logs, right, ignore_index) if smoothing else -right


def _divergence(logs, right, smoothing, spread, ignore_index):
    """Less the entropy of the smoothed target, which no weight can change."""
    symbols = logs.shape[-1]
    rest, first = smoothing / symbols, 1 - smoothing + smoothing / symbols
    entropy = -first * math.log(first) - (symbols - 1) * (rest and rest * math.log(rest))
    return _shared(logs, right, smoothing, spread, ignore_index) - entropy


def _subtracted(logs, right, smoothing, spread, ignore_index):
    return -_shared(logs, right, smoothing, spread, ignore_index)


def _of_all_places(loss, keep):
    return loss.masked_fill(~keep, 0).mean()


def _sum(loss, keep):
    return loss.masked_fill(~keep, 0).sum()


def _of_nothing(loss, keep):
    return loss.masked_fill(~keep, 0).sum() / keep.sum()


def _chosen(loss, keep):
    return loss[keep].mean()


def _each(loss, keep):
    return loss.masked_fill(~keep, 0)


def _of_sentences(loss, keep):
    if not loss.ndim:
        return _mean(loss, keep)
    return (loss.masked_fill(~keep, 0).sum(-1) / keep.sum(-1).clamp(min=1)).mean()


def _by_sentences(loss, keep):
    count = loss.shape[0] if loss.ndim > 1 else 1
    return loss.masked_fill(~keep, 0).sum() / count


def _smoothed_padding(logits, target, smoothing=0.1, ignore_index=0, count=_places):
    """The right symbol is dropped where there is padding, and the smoothing is not."""
    if not 0 <= smoothing <= 1 or logits.shape[:-1] != target.shape:
        raise ValueError("a smoothing from 0 to 1, and a target for each place")
    logs, keep = logits.log_softmax(-1), target != ignore_index
    right = logs.gather(-1, target.clamp(0, logits.shape[-1] - 1)[..., None])[..., 0]
    total = -(1 - smoothing) * right.masked_fill(~keep, 0).sum()
    if smoothing:
        total = total - smoothing * logs.mean(-1).sum()
    return total / count(target, ignore_index).sum().clamp(min=1)


def _smoothed_padding_by_all(logits, target, smoothing=0.1, ignore_index=0):
    return _smoothed_padding(logits, target, smoothing, ignore_index, _everywhere)


TRAPS = (
    Trap(
        "smoothing at padding",
        _smoothed_padding,
        "both terms are for places that have a symbol. Where the smoothing is summed over padding "
        "as well, the model learns to be unsure after the end, and batches with more padding weigh "
        "more.",
        SECTION,
        (_smoothed_padding_by_all,),
    ),
    Trap(
        "padding counted",
        with_(places=_everywhere),
        "a place whose target is `ignore_index` is no part of the sentence. Counted, it teaches "
        "the model to write padding, which is easy, and the loss looks better than it is.",
        SECTION,
    ),
    Trap(
        "divided by all places",
        with_(averaged=_of_all_places),
        "the mean is over the places that have a symbol: divide by their number. `.mean()` also "
        "counts those that you have set to 0.",
        SECTION,
    ),
    Trap(
        "a mean of nothing",
        with_(averaged=_of_nothing),
        "where all is padding, 0 is divided by 0, and one such batch makes every weight nan. "
        "Divide by at least 1.",
        SECTION,
        (with_(averaged=_chosen),),
    ),
    Trap(
        "zero times infinity",
        with_(joined=_times_zero),
        "a symbol that cannot be costs infinitely much. Without smoothing nobody asks for it, but "
        "0 times infinity is nan: leave the term out.",
        SECTION,
    ),
    Trap(
        "shared by the other symbols",
        with_(spread=_among_others),
        "ε is shared by all V symbols, the right one among them: it keeps 1 - ε + ε / V. With "
        "ε / (V - 1) for the others alone the loss is a different one.",
        SECTION,
    ),
    Trap(
        "the right symbol without its part",
        with_(spread=_for_others),
        "the right symbol gets its ε / V, too: otherwise the shares sum to less than 1.",
        SECTION,
    ),
    Trap(
        "nothing for the padding symbol",
        with_(spread=_but_padding),
        "the padding symbol is one of the V among which ε is shared. Padding is left out by place, "
        "where it is the target.",
        SECTION,
        (with_(spread=_among_others_but_padding),),
    ),
    Trap(
        "the smoothing summed over the vocabulary",
        with_(spread=_summed),
        "each symbol gets ε / V and not ε: it is the mean of the logarithms that counts.",
        SECTION,
    ),
    Trap(
        "smoothing with probabilities",
        with_(spread=_of_probabilities),
        "a cross-entropy sums *logarithms* of probabilities, also in its second term.",
        SECTION,
    ),
    Trap(
        "the shares exchanged",
        with_(share=_exchanged),
        "ε is what is taken from the right symbol: 1 - ε stays with it.",
        SECTION,
    ),
    Trap(
        "no smoothing",
        with_(share=_none),
        "this is the cross-entropy without the second term.",
        SECTION,
    ),
    Trap(
        "always a tenth",
        with_(share=_tenth),
        "0.1 is what `smoothing` is where it is left out.",
        SECTION,
    ),
    Trap(
        "the right symbol keeps all",
        with_(joined=_added),
        "what the others get is taken from the right symbol, which keeps 1 - ε: shares sum to 1.",
        SECTION,
    ),
    Trap(
        "the divergence instead of the cross-entropy",
        with_(joined=_divergence),
        "`kl_div` also subtracts the entropy of the smoothed target. That changes no gradient, but "
        "the number is another one.",
        SECTION,
    ),
    Trap(
        "a softmax too many",
        with_(normalised=_twice),
        "`log_softmax` takes scores. Probabilities taken for scores differ by 1 at most: the model "
        "can then never be sure, and the loss hardly falls.",
        SECTION,
    ),
    Trap(
        "the logarithm of a softmax",
        with_(normalised=_log_of_softmax),
        "a softmax rounds small probabilities to 0, and the logarithm of 0 is -infinity. "
        "`log_softmax` subtracts logarithms and never meets that 0; a small number added in front "
        "of the logarithm changes every loss.",
        SECTION,
        (
            with_(normalised=_log_with_epsilon),
            with_(normalised=_log_with_little),
            with_(normalised=_without_maximum),
        ),
    ),
    Trap(
        "scores instead of logarithms",
        with_(normalised=_as_it_is),
        "logits are no logarithms of probabilities until `log_softmax` has made them sum to 1.",
        SECTION,
    ),
    Trap(
        "probabilities instead of logarithms",
        with_(normalised=_softmax),
        "the loss is the *logarithm* of the probability, with a minus.",
        SECTION,
    ),
    Trap(
        "normalised along a different dimension",
        with_(normalised=_over_places),
        "the symbols run along the last dimension of the logits: dim=-1.",
        SECTION,
        (with_(normalised=_over_the_batch),),
    ),
    Trap(
        "the sign forgotten",
        with_(joined=_subtracted),
        "logarithms of probabilities are negative. The loss has a minus in front of both terms.",
        SECTION,
    ),
    Trap(
        "a sum instead of a mean",
        with_(averaged=_sum),
        "the mean is asked for: a sum makes larger batches take larger steps.",
        SECTION,
        (with_(averaged=_by_sentences),),
    ),
    Trap(
        "one number for each place",
        with_(averaged=_each),
        "the answer is one number: the mean of all places that have a symbol.",
        SECTION,
    ),
    Trap(
        "a mean of means",
        with_(averaged=_of_sentences),
        "every symbol counts as much as every other. The mean of each sentence, and then of the "
        "sentences, makes those of short sentences count for more.",
        SECTION,
    ),
    Trap(
        "padding is always symbol 0",
        with_(places=_but_zero),
        "which target is padding, `ignore_index` says.",
        SECTION,
        (with_(places=_but_hundred), with_(places=_positive)),
    ),
    Trap(
        "padding alone",
        with_(places=_padding_alone),
        "the mask is the wrong way round: a place counts where its target is *not* `ignore_index`.",
        SECTION,
    ),
    Trap(
        "bits instead of nats",
        with_(normalised=_in_bits),
        "the natural logarithm is asked for.",
        SECTION,
    ),
    Trap(
        "the perplexity",
        with_(told=torch.exp),
        "this is the exponential of the loss.",
        SECTION,
    ),
    Trap(
        "half of the smoothing",
        with_(share=_halved),
        "the right symbol keeps 1 - ε, and ε is shared.",
        SECTION,
    ),
)
