"""What goes wrong in a smoothed loss, and the misconceptions behind it."""

import torch

from tutor.checks.exercise import Trap
from tutor.checks.transformer import losses as part
from tutor.checks.transformer.losses import with_

SECTION = "Label smoothing"

TRAPS = (
    Trap(
        "smoothing at padding",
        part.smoothed_padding,
        "both terms are for places that have a symbol. Where the smoothing is summed over padding "
        "as well, the model learns to be unsure after the end, and batches with more padding weigh "
        "more.",
        SECTION,
        (part.smoothed_padding_by_all,),
    ),
    Trap(
        "padding counted",
        with_(places=part.everywhere),
        "a place whose target is `ignore_index` is no part of the sentence. Counted, it teaches "
        "the model to write padding, which is easy, and the loss looks better than it is.",
        SECTION,
    ),
    Trap(
        "divided by all places",
        with_(averaged=part.of_all_places),
        "the mean is over the places that have a symbol: divide by their number. `.mean()` also "
        "counts those that you have set to 0.",
        SECTION,
    ),
    Trap(
        "a mean of nothing",
        with_(averaged=part.of_nothing),
        "where all is padding, 0 is divided by 0, and one such batch makes every weight nan. "
        "Divide by at least 1.",
        SECTION,
        (with_(averaged=part.chosen),),
    ),
    Trap(
        "zero times infinity",
        with_(joined=part.times_zero),
        "a symbol that cannot be costs infinitely much. Without smoothing nobody asks for it, but "
        "0 times infinity is nan: leave the term out.",
        SECTION,
    ),
    Trap(
        "a share for every symbol",
        part.row_of_shares(part.scattered),
        "a row of V shares at each place gives the same sum on paper, and fails twice: a share of "
        "0 times the infinite cost of a symbol that cannot be is nan, and the padding's number, "
        "which may be none of the V, is no place to write a share. Gather the right symbol's "
        "logarithm, with the target clamped, and leave the second term out without smoothing.",
        SECTION,
        (part.row_of_shares(part.of_the_identity),),
    ),
    Trap(
        "padding as an index",
        part.indexed_by_padding,
        "the padding's number need not be a symbol's: it may be negative, and it may be V or more. "
        "Clamp it on both sides, or put a symbol in its place, before anything is gathered with "
        "it; what is gathered there does not count.",
        SECTION,
    ),
    Trap(
        "padding times zero",
        with_(averaged=part.multiplied),
        "at padding the loss may be anything, also infinite, where a model can never write what "
        "stands there; and 0 times infinity is nan. Put a 0 in its place, with `masked_fill` or "
        "`where`, and do not multiply by one.",
        SECTION,
    ),
    Trap(
        "shared by the other symbols",
        with_(spread=part.among_others),
        "ε is shared by all V symbols, the right one among them: it keeps 1 - ε + ε / V. With "
        "ε / (V - 1) for the others alone the loss is a different one.",
        SECTION,
        (with_(spread=part.among_at_least_one_other),),
    ),
    Trap(
        "the right symbol without its part",
        with_(spread=part.for_others),
        "the right symbol gets its ε / V, too: otherwise the shares sum to less than 1.",
        SECTION,
    ),
    Trap(
        "nothing for the padding symbol",
        with_(spread=part.but_padding),
        "the padding symbol is one of the V among which ε is shared. Padding is left out by place, "
        "where it is the target.",
        SECTION,
        (with_(spread=part.among_others_but_padding), with_(spread=part.all_but_padding)),
    ),
    Trap(
        "the smoothing summed over the vocabulary",
        with_(spread=part.summed),
        "each symbol gets ε / V and not ε: it is the mean of the logarithms that counts.",
        SECTION,
    ),
    Trap(
        "smoothing with probabilities",
        with_(spread=part.of_probabilities),
        "a cross-entropy sums *logarithms* of probabilities, also in its second term.",
        SECTION,
    ),
    Trap(
        "the shares exchanged",
        with_(share=part.exchanged),
        "ε is what is taken from the right symbol: 1 - ε stays with it.",
        SECTION,
    ),
    Trap(
        "no smoothing",
        with_(share=part.none),
        "this is the cross-entropy without the second term.",
        SECTION,
    ),
    Trap(
        "always a tenth",
        with_(share=part.tenth),
        "0.1 is what `smoothing` is where it is left out.",
        SECTION,
    ),
    Trap(
        "the right symbol keeps all",
        with_(joined=part.added),
        "what the others get is taken from the right symbol, which keeps 1 - ε: shares sum to 1.",
        SECTION,
    ),
    Trap(
        "the divergence instead of the cross-entropy",
        with_(joined=part.divergence),
        "`kl_div` also subtracts the entropy of the smoothed target. That changes no gradient, but "
        "the number is another one.",
        SECTION,
    ),
    Trap(
        "a softmax too many",
        with_(normalised=part.twice),
        "`log_softmax` takes scores. Probabilities taken for scores differ by 1 at most: the model "
        "can then never be sure, and the loss hardly falls.",
        SECTION,
    ),
    Trap(
        "the logarithm of a softmax",
        with_(normalised=part.log_of_softmax),
        "a softmax rounds small probabilities to 0, and the logarithm of 0 is -infinity. "
        "`log_softmax` subtracts logarithms and never meets that 0; a small number added in front "
        "of the logarithm changes every loss.",
        SECTION,
        (
            with_(normalised=part.log_with_epsilon),
            with_(normalised=part.log_with_little),
            with_(normalised=part.without_maximum),
        ),
    ),
    Trap(
        "scores instead of logarithms",
        with_(normalised=part.as_it_is),
        "logits are no logarithms of probabilities until `log_softmax` has made them sum to 1.",
        SECTION,
    ),
    Trap(
        "probabilities instead of logarithms",
        with_(normalised=part.softmax),
        "the loss is the *logarithm* of the probability, with a minus.",
        SECTION,
    ),
    Trap(
        "normalised along a different dimension",
        with_(normalised=part.over_places),
        "the symbols run along the last dimension of the logits: dim=-1.",
        SECTION,
        (with_(normalised=part.over_the_batch),),
    ),
    Trap(
        "the sign forgotten",
        with_(joined=part.subtracted),
        "logarithms of probabilities are negative. The loss has a minus in front of both terms.",
        SECTION,
    ),
    Trap(
        "a sum instead of a mean",
        with_(averaged=part.summed_up),
        "the mean is asked for: a sum makes larger batches take larger steps.",
        SECTION,
        (with_(averaged=part.by_sentences),),
    ),
    Trap(
        "one number for each place",
        with_(averaged=part.each),
        "the answer is one number: the mean of all places that have a symbol.",
        SECTION,
    ),
    Trap(
        "a mean of means",
        with_(averaged=part.of_sentences),
        "every symbol counts as much as every other. The mean of each sentence, and then of the "
        "sentences, makes those of short sentences count for more.",
        SECTION,
        (with_(averaged=part.of_sentences_with_symbols),),
    ),
    Trap(
        "padding is always symbol 0",
        with_(places=part.but_zero),
        "which target is padding, `ignore_index` says.",
        SECTION,
        (with_(places=part.but_hundred), with_(places=part.positive)),
    ),
    Trap(
        "padding alone",
        with_(places=part.padding_alone),
        "the mask is the wrong way round: a place counts where its target is *not* `ignore_index`.",
        SECTION,
    ),
    Trap(
        "bits instead of nats",
        with_(normalised=part.in_bits),
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
        with_(share=part.halved),
        "the right symbol keeps 1 - ε, and ε is shared.",
        SECTION,
    ),
)
