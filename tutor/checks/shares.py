"""What goes wrong wherever weights are made of scores and read with: one list for all of it.

Each exercise has texts of its own for some of these, and all of their forms.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import tutor.checks.softmax as softmax
from tutor.checks.exercise import Trap

Change = dict[str, Callable[..., Any]]


@dataclass(frozen=True)
class Known:
    """A misconception, and the changes of the right answer that have it."""

    name: str
    about: str
    """Which section treats it, and which exercises can have it: ``softmax``, ``masks`` or
    ``nothing``; ``reading``, where the weights are used; ``itself``, where a sequence reads itself;
    ``besides``, where there is one answer for each value."""
    misconception: str
    changes: tuple[Change, ...]


def completed(
    own: Iterable[Trap],
    with_: Callable[..., Callable[..., Any]],
    sections: Mapping[str, str],
    called: Mapping[str, str] | None = None,
    without: Iterable[str] = (),
) -> tuple[Trap, ...]:
    """An exercise's own traps, with the forms that it has not thought of, and then all others.

    ``with_``: makes an answer of changes; ``sections``: the headings of a chapter, by what they are
    about; ``called``: what the exercise calls some of these; ``without``: what is no mistake in it.
    """
    traps = {trap.name: trap for trap in own}
    taken = [
        f.changed[1] for t in traps.values() for f in t.functions if getattr(f, "changed", None)
    ]
    for known in (k for k in KNOWN if k.about in sections and k.name not in without):
        name = (called or {}).get(known.name, known.name)
        forms = tuple(with_(**change) for change in known.changes if change not in taken)
        if name in traps:
            traps[name] = replace(traps[name], variants=(*traps[name].variants, *forms))
        elif forms:
            first, *others = forms
            heading = sections[known.about]
            traps[name] = Trap(name, first, known.misconception, heading, tuple(others))
    return tuple(traps.values())


KNOWN = (
    Known(
        "softmax over the queries",
        "softmax",
        "each query has a distribution over the keys, so the softmax runs along the last "
        "dimension of the scores, dim=-1. Along dim=-2 the keys share out the queries.",
        (softmax.OVER_QUERIES,),
    ),
    Known(
        "softmax over the batch",
        "softmax",
        "keys run along the last dimension of the scores, dim=-1. Along a dimension in front, "
        "sentences or heads share out their weights among each other.",
        (softmax.OVER_BATCH, softmax.UNSPECIFIED, softmax.OVER_HEADS),
    ),
    Known(
        "a dimension counted from the front",
        "softmax",
        "counted from the front, the keys have another number in (Tq, Tk), in a batch, and in a "
        "batch of heads. Counted from the end, they are always the last: dim=-1.",
        softmax.COUNTED,
    ),
    Known(
        "one softmax for the whole table",
        "softmax",
        "all shares of a table, or of a batch, sum to 1, and each row gets a part of that. Each "
        "query has a distribution of its own: the softmax runs along the last dimension alone.",
        (softmax.OVER_TABLE, softmax.OVER_ALL),
    ),
    Known(
        "no softmax",
        "softmax",
        "scores are no shares: they may be negative, do not sum to 1, and make the answer grow "
        "with the number of keys.",
        (softmax.NO_SOFTMAX,),
    ),
    Known(
        "sigmoids instead of a softmax",
        "softmax",
        "a sigmoid says of each key by itself how much of it is read. Shares know of each other: "
        "they sum to 1, and where one grows the others shrink.",
        (softmax.SIGMOIDS,),
    ),
    Known(
        "logarithms of shares",
        "softmax",
        "log_softmax gives logarithms, all of them negative, for a loss to read. A mixture takes "
        "the shares themselves.",
        (softmax.LOGARITHMS,),
    ),
    Known(
        "a softmax too many",
        "softmax",
        "scores go through one softmax. Weights between 0 and 1 taken for scores again give "
        "none more than e times the weight of another.",
        (softmax.TWICE, softmax.OF_A_SOFTMAX),
    ),
    Known(
        "the best one alone",
        "softmax",
        "taking the key with the highest score is a choice and not a mixture. A choice jumps, or "
        "does not move at all: its derivative by the scores is 0, and nothing learns to look "
        "elsewhere.",
        (softmax.BEST_ALONE, softmax.BEST_ALONE_OF_ROWS),
    ),
    Known(
        "exponentials without the maximum",
        "softmax",
        "exp(s) over its sum is infinity by infinity for large scores, and 0 / 0 for a row of "
        "very negative ones. softmax subtracts the row's maximum, which changes no quotient.",
        (
            softmax.NO_MAXIMUM,
            softmax.NO_MAXIMUM_TIMES,
            softmax.NO_MAXIMUM_EPSILON,
            softmax.NO_MAXIMUM_CLEANED,
            softmax.NO_MAXIMUM_WHERE,
            softmax.NO_MAXIMUM_HIDDEN_WHERE,
            softmax.NO_MAXIMUM_HIDDEN_WITH_CARE,
            softmax.NO_MAXIMUM_WITH_CARE,
            softmax.NO_MAXIMUM_ZEROED_EPSILON,
        ),
    ),
    Known(
        "the maximum of all",
        "softmax",
        "what is subtracted before exp is each row's own maximum. The largest of all scores leaves "
        "a row that lies far below it with nothing but zeros, and 0 / 0.",
        (softmax.LARGEST_OF_ALL, softmax.LARGEST_OF_HIDDEN),
    ),
    Known(
        "a constant in the denominator",
        "softmax",
        "a sum of shares is 1 already, and the sum of exponentials, less their maximum, is 1 at "
        "least: neither can be 0. What is added to be safe makes every weight a little too small.",
        softmax.EPSILONS,
    ),
    Known(
        "masked after the softmax",
        "masks",
        "the hidden keys have already taken their share when they are zeroed: the remaining "
        "weights sum to less than 1. Hide the scores before the softmax.",
        (softmax.AFTERWARDS,),
    ),
    Known(
        "renormalised after the softmax",
        "masks",
        "dividing by what is left mends the row sums until a hidden score takes everything: "
        "then 0 is divided by 0, or what is left has no digits left. Hide before the softmax.",
        (
            softmax.RENORMALISED,
            softmax.RENORMALISED_WITH_CARE,
            softmax.RENORMALISED_WHERE,
            *softmax.RENORMALISED_EPSILONS,
        ),
    ),
    Known(
        "mask inverted",
        "masks",
        "keep is True where a key may be read. masked_fill fills where its argument is True, so it "
        "needs ~keep.",
        (softmax.INVERTED, softmax.HALF_INVERTED),
    ),
    Known(
        "the mask on its side",
        "masks",
        "keep[..., i, j] says whether query i may read key j: queries are rows, and the padding "
        "of what is read runs along the last dimension.",
        (softmax.ON_ITS_SIDE,),
    ),
    Known(
        "one row of the mask for all",
        "masks",
        "each query has a row of its own in keep: (Tq, Tk), or 1 in the place of Tq where all may "
        "read the same. With one row for all of them, what one may read decides for the others.",
        (softmax.ONE_ROW, softmax.FIRST_ROW, softmax.LAST_ROW),
    ),
    Known(
        "the mask multiplies the scores",
        "masks",
        "a score of 0 is not a weight of 0: exp(0) is 1, so a hidden key still gets a share.",
        (
            softmax.TIMES_SCORES,
            softmax.TIMES_SCORES_ZEROED,
            softmax.TIMES_SCORES_ROWS,
            softmax.ALMOST_ZERO,
        ),
    ),
    Known(
        "True and False added",
        "masks",
        "added to scores, True is 1 and False is 0: a hidden key loses a factor of e and keeps "
        "the rest of its weight. masked_fill hides it.",
        (softmax.ONES_ADDED,),
    ),
    Known(
        "always causal",
        "masks",
        "what a query may read is the caller's to say, with keep. An encoder reads both ways, "
        "and a decoder reads all of its source.",
        (softmax.ALWAYS_CAUSAL, softmax.CAUSAL_FROM_THE_FIRST),
    ),
    Known(
        "nobody reads itself",
        "itself",
        "the diagonal was hidden. A token may read itself unless keep says otherwise: what it is "
        "is mostly what its new vector is made of, and alone it has nothing else to read.",
        (softmax.NOT_THE_DIAGONAL,),
    ),
    Known(
        "nothing left where one is hidden",
        "nothing",
        "one hidden key zeroes its whole row. keep.all(-1) asks whether *everything* may be read, "
        "and keep.any(-1) was meant; or what is hidden was filled with the highest number.",
        (softmax.ONLY_FULL_ROWS, softmax.HIGHEST),
    ),
    Known(
        "nothing to read, so everything is read",
        "nothing",
        "a row of equal scores, however low, is a uniform distribution: the query that may "
        "read nothing averages all that it was to be kept from. Multiply the weights by keep "
        "after the softmax.",
        (softmax.AVERAGE_ROW, softmax.ANY_OF_ALL, softmax.ANY_OF_ALL_CHOSEN),
    ),
    Known(
        "the row that may read nothing",
        "nothing",
        "all its scores are -inf, and softmax divides 0 by 0. Take a finite fill, "
        "finfo(dtype).min, and multiply the weights by keep.",
        (softmax.NAN_ROW, softmax.LOG_BIAS),
    ),
    Known(
        "infinity times 0",
        "nothing",
        "(~keep) * -inf is meant to be 0 where a key may be read, and 0 · ∞ is nan: so is every "
        "row. Choose between two numbers instead of multiplying: masked_fill, or torch.where.",
        (softmax.INFINITY_TIMES,),
    ),
    Known(
        "nan swept under the rug",
        "nothing",
        "nan_to_num mends the answer and not the derivative: the way back multiplies by the "
        "nan itself, and the gradient of that row is nan. A finite fill never makes one.",
        (softmax.NAN_GRADIENT,),
    ),
    Known(
        "a constant as minus infinity",
        "nothing",
        "scores have no lower bound, so no constant such as -100 or -10,000 is below all of "
        "them; half precision ends at 65,504 and cannot hold -1e9; and without weights * keep "
        "a row that may read nothing averages everything. Take finfo(dtype).min.",
        (
            softmax.NOT_LOW_ENOUGH,
            *softmax.OTHERS_NOT_LOW_ENOUGH,
            softmax.MINUS_1E9,
            softmax.MINUS_1E9_ZEROED,
        ),
    ),
    Known(
        "hidden by the lowest score",
        "nothing",
        "the lowest of all scores is a score, and its exponential a share: what is hidden gets as "
        "much as the key that fits worst. finfo(dtype).min lies below all that there can be.",
        (softmax.LOWEST_SCORE, softmax.LOWEST_SCORE_ZEROED),
    ),
    Known(
        "the lowest number added",
        "nothing",
        "finfo(dtype).min and a negative score together are below what the dtype can hold: "
        "-inf in half precision, and nan in a row of nothing else. masked_fill replaces the "
        "score instead.",
        (softmax.LOWEST_ADDED,),
    ),
    Known(
        "read with the weights on their side",
        "reading",
        "row i of the weights is what query i reads with: weights @ values. Transposed, each token "
        "is handed what others think of it, and it raises where queries and keys are not as many.",
        (softmax.READ_TRANSPOSED,),
    ),
    Known(
        "a mean on top of the weights",
        "reading",
        "the weights sum to 1: the weighted sum is the mean already. Divided once more, by the "
        "number of keys, long sentences fade.",
        (softmax.READ_MEAN,),
    ),
    Known(
        "detached weights",
        "reading",
        "the numbers are right, but detach() cuts the scores off from learning: the model learns "
        "what to do with what it reads and never where to look.",
        (softmax.READ_DETACHED,),
    ),
    Known(
        "detached values",
        "reading",
        "the numbers are right, but detach() cuts the values off from learning: the model learns "
        "where to look and never what to find there.",
        (softmax.READ_OF_DETACHED,),
    ),
    Known(
        "nan swept under the rug",
        "reading",
        "nan_to_num mends the answer and not the derivative: the way back multiplies by the "
        "nan itself, and the gradient of that row is nan. A finite fill never makes one.",
        (softmax.ANSWER_CLEANED,),
    ),
    Known(
        "a residual connection",
        "besides",
        "the answer was added to what was read from. Where a block has a way past its attention it "
        "goes round the whole of it, and adding is the block's job: here only what was read is "
        "asked for.",
        (softmax.READ_BESIDES,),
    ),
)
