"""What goes wrong in a norm, and the misconceptions behind it."""

from tutor.checks.exercise import Trap
from tutor.checks.transformer import norms
from tutor.checks.transformer.norms import with_
from tutor.checks.transformer.shared import NORM

_DIMENSIONS = "the mean and the variance are of one token's features, and of no other token's: the "

TRAPS = (
    Trap(
        "divided by C - 1",
        with_(average=norms.by_one_less),
        "the variance of a norm is the mean of the squares: their sum by C. Divided by C - 1 "
        "it estimates the variance of something that the features are a sample of, and `var` "
        "and `std` do that unless they get `correction=0`. With one feature it is 0 / 0.",
        NORM,
        (with_(average=norms.by_one_less_with_care),),
    ),
    Trap(
        "eps outside of the root",
        with_(under=norms.outside),
        "eps stands under the root, beside the variance: √(variance + eps). Beside the "
        "standard deviation it is √eps, some 300 times, too small to protect small numbers as "
        "the formula does, and weights that were trained with the one do not fit the other.",
        NORM,
        (with_(under=norms.outside_of_std),),
    ),
    Trap(
        "a root squared",
        with_(under=norms.of_the_root_squared),
        "the number is the variance again, and the gradient is not: that of a root is infinite "
        "at 0, and infinity times 0 is nan. Where all features are equal the variance is 0. "
        "Add eps to it before any root is taken.",
        NORM,
    ),
    Trap(
        "eps twice",
        with_(under=norms.inside_and_outside),
        "eps was added under the root and beside it. It stands under the root alone.",
        NORM,
    ),
    Trap(
        "eps squared",
        with_(under=norms.squared),
        "eps is added to the variance as it is, not as a square.",
        NORM,
    ),
    Trap(
        "the mean taken away at the end",
        norms.folded,
        "scale · x and scale · mean are two large numbers where the mean is far from 0, and their "
        "difference has lost its last digits. Subtract the mean first, while it is exact.",
        NORM,
    ),
    Trap(
        "no eps",
        with_(under=norms.no_eps),
        "a token whose features are all equal has a variance of 0, and 0 / 0 is nan. eps, "
        "under the root, keeps the division whole: the answer is the bias.",
        NORM,
        (with_(under=norms.no_eps, divide=norms.divided_and_cleaned),),
    ),
    Trap(
        "eps as a floor",
        with_(under=norms.floor),
        "eps is added to every variance, also to those that are larger. As a floor it gives "
        "other numbers wherever the variance is no multiple of it.",
        NORM,
        (with_(under=norms.floor_of_root),),
    ),
    Trap(
        "always the same eps",
        with_(constant=norms.always(1e-5)),
        "eps is an argument: models were trained with 1e-5, 1e-6 or 1e-12, and each needs its own.",
        NORM,
        tuple(with_(constant=norms.always(eps)) for eps in (1e-6, 1e-8, 1e-12)),
    ),
    Trap(
        "over the batch",
        with_(mean=norms.over(0)),
        _DIMENSIONS + "last dimension, -1. Over the first one it is batch norm, and a sentence "
        "is translated otherwise when it stands beside others.",
        NORM,
    ),
    Trap(
        "over time",
        with_(mean=norms.over(-2)),
        _DIMENSIONS + "last dimension, -1. Over time, each token's numbers hang on all that "
        "come later.",
        NORM,
    ),
    Trap(
        "over the whole sentence",
        with_(mean=norms.over_sentence),
        _DIMENSIONS + "last dimension, -1, alone. Over a whole sentence, padding and the "
        "future have a part in it.",
        NORM,
        (with_(mean=norms.over_all),),
    ),
    Trap(
        "a dimension counted from the front",
        with_(mean=norms.over(2)),
        "counted from the front, the features have another number in (T, C), in a batch, and "
        "in a batch of batches. Counted from the end they are always the last: -1.",
        NORM,
        (with_(mean=norms.over(1)),),
    ),
    Trap(
        "keepdim forgotten",
        with_(mean=norms.without_keepdim),
        "without keepdim=True the means are (*batch, T), and against (*batch, T, C) they line "
        "up with the features: it raises, or with as many tokens as features it subtracts one "
        "token's mean from another's feature.",
        NORM,
    ),
    Trap(
        "divided by the variance",
        with_(under=norms.as_it_is),
        "the standard deviation is the root of the variance, and it is what the numbers are "
        "divided by: then theirs is 1.",
        NORM,
    ),
    Trap(
        "a sum instead of a mean",
        with_(average=norms.sums),
        "the sum of the squares grows with the width. Their mean is the variance; divided by "
        "the root of the sum, a token would have length 1 and features near 0.",
        NORM,
    ),
    Trap(
        "not centred",
        with_(centre=norms.not_centred),
        "without its mean taken off, a token is divided by the root of its mean square. That "
        "is RMSNorm, which later models use; layer norm first takes off the mean.",
        NORM,
        (
            with_(divide=norms.x_itself),
            with_(centre=norms.not_centred, scale=norms.weight_alone),
        ),
    ),
    Trap(
        "the mean taken off once only",
        with_(spread=norms.squares_of_x),
        "the variance is the mean square of what is left when the mean is taken off, not of x "
        "itself.",
        NORM,
    ),
    Trap(
        "the difference of two large numbers",
        with_(spread=norms.less_the_square_of_the_mean),
        "the mean of the squares less the square of the mean is the variance, on paper. With a "
        "mean far from 0 both are large and nearly equal, and their difference is rounding: "
        "even less than 0, whose root is nan. Take off the mean first, and square then.",
        NORM,
        (
            with_(spread=norms.less_the_square_of_the_mean, under=norms.not_below_zero),
            with_(spread=norms.mean_less_the_square_of_the_mean),
            with_(spread=norms.mean_less_the_square_of_the_mean, under=norms.not_below_zero),
        ),
    ),
    Trap(
        "mean distance",
        with_(spread=norms.distances, under=norms.as_it_is),
        "the mean of |x - mean| is another measure of size. The norm's is the root of the mean "
        "square.",
        NORM,
    ),
    Trap(
        "weight and bias forgotten",
        with_(scale=norms.neither),
        "normalised, every feature has about the same size. weight and bias let the model "
        "choose another one for each: weight · normalised + bias.",
        NORM,
    ),
    Trap(
        "weight forgotten",
        with_(scale=norms.bias_alone),
        "each normalised feature is multiplied by its weight before its bias is added.",
        NORM,
    ),
    Trap(
        "bias forgotten",
        with_(scale=norms.weight_alone),
        "bias is added at the end, one number for each feature.",
        NORM,
    ),
    Trap(
        "bias before weight",
        with_(scale=norms.bias_first),
        "weight · normalised + bias: the bias is added last and is not multiplied.",
        NORM,
    ),
    Trap(
        "weight and bias exchanged",
        with_(scale=norms.exchanged),
        "weight multiplies and bias is added, in this order also among the arguments.",
        NORM,
    ),
    Trap(
        "1 + weight",
        with_(scale=norms.one_more),
        "some models keep weight - 1 as their parameter. Here weight is the factor itself, as "
        "in nn.LayerNorm.",
        NORM,
    ),
    Trap(
        "weight for each token",
        with_(scale=norms.as_columns),
        "weight and bias have one number for each feature, along the last dimension, where "
        "broadcasting puts them by itself.",
        NORM,
    ),
    Trap(
        "multiplied instead of divided",
        with_(divide=norms.multiplied),
        "dividing by the standard deviation makes it 1; multiplying squares it.",
        NORM,
    ),
    Trap(
        "a detached variance",
        with_(spread=norms.detached),
        "the numbers are right, but detach() hides from the gradient that the size of a token "
        "is divided out: a larger x seems to be worth learning, and is not.",
        NORM,
        (
            with_(centre=norms.less_a_detached_mean),
            with_(centre=norms.less_a_detached_mean, spread=norms.detached),
        ),
    ),
    Trap(
        "squares in half precision",
        with_(wide=norms.as_it_came),
        "half precision ends at 65,504, and the square of 256 is more: the variance is inf, "
        "and the answer the bias. Go to single precision for the norm, and back at its end.",
        NORM,
    ),
    Trap(
        "left in single precision",
        with_(end=norms.wide_to_the_end),
        "the answer has the dtype of x: after the norm go back to it with `.to(x.dtype)`.",
        NORM,
    ),
    Trap(
        "x overwritten",
        with_(wide=norms.as_it_came, centre=norms.centred_in_place),
        "`x -= mean` writes into the caller's tensor, whom nobody has asked: the way past the "
        "sublayer would carry another x. `x - mean` makes a new one.",
        NORM,
        overwrites="x",
    ),
)
