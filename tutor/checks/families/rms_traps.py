"""What goes wrong in a norm by the root of the mean square, and the misconceptions behind it."""

from tutor.checks.exercise import Trap
from tutor.checks.families import rms
from tutor.checks.families.rms import with_
from tutor.checks.families.shared import RMS
from tutor.checks.transformer import norms

_DIMENSIONS = "the mean square is of one token's features, and of no other token's: the "

TRAPS = (
    Trap(
        "the mean taken off",
        with_(centre=rms.less_its_mean),
        "that is layer norm. RMSNorm leaves the mean where it is, and divides by the root of the "
        "mean square of x itself.",
        RMS,
    ),
    Trap(
        "the deviation for the size",
        with_(spread=rms.squares_of_distances),
        "the standard deviation is the root of the mean squared distance from the mean. Here the "
        "squares are those of x: a token whose features are all equal has a size, too.",
        RMS,
        (with_(spread=rms.squares_of_distances, average=norms.by_one_less),),
    ),
    Trap(
        "multiplied by the root",
        with_(divide=rms.multiplied),
        "the token is divided by the root of its mean square. `rsqrt` is one over the root "
        "already: whoever divides by that multiplies.",
        RMS,
    ),
    Trap(
        "divided by the mean square",
        with_(under=rms.the_mean_square),
        "without the root, a token twice as large would come out half as large. Divide by the "
        "*root* of the mean square.",
        RMS,
    ),
    Trap(
        "eps outside of the root",
        with_(under=norms.outside),
        "eps stands under the root, beside the mean square. Beside the root it is √eps, a thousand "
        "times, too small, and weights that were trained with the one do not fit the other.",
        RMS,
        (with_(under=norms.outside_of_std),),
    ),
    Trap(
        "eps twice",
        with_(under=norms.inside_and_outside),
        "eps was added under the root and beside it. It stands under the root alone.",
        RMS,
    ),
    Trap(
        "eps squared",
        with_(under=norms.squared),
        "eps is added to the mean square as it is, not as a square.",
        RMS,
    ),
    Trap(
        "no eps",
        with_(under=norms.no_eps),
        "a token of zeros is divided by 0, and 0 / 0 is nan. eps, under the root, keeps the "
        "division whole: the answer is 0.",
        RMS,
        (with_(under=norms.no_eps, divide=rms.divided_and_cleaned),),
    ),
    Trap(
        "eps as a floor",
        with_(under=norms.floor),
        "eps is added to every mean square, also to those that are larger.",
        RMS,
        (with_(under=norms.floor_of_root),),
    ),
    Trap(
        "always the same eps",
        with_(constant=norms.always(1e-6)),
        "eps is an argument: models were trained with 1e-5, 1e-6 or 1e-8, and each needs its own.",
        RMS,
        tuple(with_(constant=norms.always(eps)) for eps in (1e-5, 1e-8, 1e-12)),
    ),
    Trap(
        "a sum instead of a mean",
        with_(average=norms.sums),
        "the sum of the squares grows with the width. Divided by its root every token would have "
        "length 1, and features near 0; the *mean* gives features near 1.",
        RMS,
    ),
    Trap(
        "divided by C - 1",
        with_(average=norms.by_one_less),
        "the mean of C squares is their sum by C. Nothing is estimated here, and with one feature "
        "C - 1 is 0.",
        RMS,
        (with_(average=norms.by_one_less_with_care),),
    ),
    Trap(
        "mean distance",
        with_(spread=rms.distances, under=rms.the_mean_square),
        "the mean of |x| is another measure of size. The norm's is the root of the mean square.",
        RMS,
    ),
    Trap(
        "the square of the mean",
        with_(spread=rms.as_it_is, average=rms.square_of_the_mean),
        "first the squares, then their mean: the mean of features that are above and below 0 is "
        "near 0, and its square says nothing of their size.",
        RMS,
    ),
    Trap(
        "the largest for the size",
        with_(spread=rms.as_it_is, average=rms.largest, under=rms.the_mean_square),
        "divided by its largest feature, a token hangs on that one alone. The size here is the "
        "root of the mean square.",
        RMS,
    ),
    Trap(
        "over the batch",
        with_(average=norms.over(0)),
        _DIMENSIONS + "last dimension, -1. Over the first one a sentence is read otherwise when it "
        "stands beside others.",
        RMS,
    ),
    Trap(
        "over time",
        with_(average=norms.over(-2)),
        _DIMENSIONS + "last dimension, -1. Over time each token's numbers hang on all that come "
        "later.",
        RMS,
        (with_(average=rms.over_tokens_if_any),),
    ),
    Trap(
        "over the whole sentence",
        with_(average=norms.over_sentence),
        _DIMENSIONS + "last dimension, -1, alone. Over a whole sentence, padding and the future "
        "have a part in it.",
        RMS,
        (with_(average=norms.over_all), with_(average=rms.over_all_but_the_first)),
    ),
    Trap(
        "a dimension counted from the front",
        with_(average=norms.over(2)),
        "counted from the front, the features have another number in (T, C), in a batch, and in a "
        "batch of batches. Counted from the end they are always the last: -1.",
        RMS,
        (with_(average=norms.over(1)),),
    ),
    Trap(
        "keepdim forgotten",
        with_(average=norms.without_keepdim),
        "without keepdim=True the means are (*batch, T), and against (*batch, T, C) they line up "
        "with the features: it raises, or with as many tokens as features it divides by another "
        "token's size.",
        RMS,
    ),
    Trap(
        "weight forgotten",
        with_(scale=rms.weight_forgotten),
        "divided, every token has the same size. weight lets the model choose another one for each "
        "feature.",
        RMS,
    ),
    Trap(
        "1 + weight",
        with_(scale=rms.one_more),
        "Gemma keeps weight - 1 as its parameter. Here weight is the factor itself, as in LLaMA.",
        RMS,
    ),
    Trap(
        "weight for each token",
        with_(scale=rms.as_columns),
        "weight has one number for each feature, along the last dimension, where broadcasting puts "
        "it by itself.",
        RMS,
    ),
    Trap(
        "weight before the norm",
        rms.weight_first,
        "first the token is divided by its own size, and then each feature is weighted. The other "
        "way round the weights have a part in the size, and one that is large makes all others "
        "small.",
        RMS,
    ),
    Trap(
        "a detached size",
        with_(spread=rms.detached),
        "the numbers are right, but detach() hides from the gradient that the size of a token is "
        "divided out: a larger x seems to be worth learning, and is not.",
        RMS,
    ),
    Trap(
        "squares in half precision",
        with_(wide=norms.as_it_came),
        "half precision ends at 65,504, and the square of 256 is more: the mean is inf, and the "
        "answer 0. Go to single precision for the norm, and back at its end.",
        RMS,
        (rms.widened_behind_the_squares,),
    ),
    Trap(
        "left in single precision",
        with_(end=norms.wide_to_the_end),
        "the answer has the dtype of x: after the norm go back to it with `.to(x.dtype)`.",
        RMS,
    ),
    Trap(
        "x overwritten",
        with_(wide=norms.as_it_came, divide=rms.overwritten),
        "`x /= ...` writes into the caller's tensor, whom nobody has asked: the way past the "
        "sublayer would carry another x.",
        RMS,
        overwrites="x",
    ),
)
