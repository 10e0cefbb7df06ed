"""The wrong answers that people give to ``scaled_dot_product_attention``."""

import tutor.checks.softmax as softmax
from tutor.checks.changes import changeable
from tutor.checks.exercise import Trap
from tutor.checks.scoring import (
    all_turned,
    always,
    by_first_size,
    by_keys,
    by_one_more,
    by_root,
    by_second_size,
    by_width,
    in_place,
    keys_ask,
    not_transposed,
    of_features,
    of_views,
    one,
    queries_ask,
    score_traps,
    scores,
    times_root,
)
from tutor.checks.softmax import read, weights


def _as_they_came(q, v):
    return q


def _values(k, v):
    return v


def _as_they_are(shares, q):
    return shares


def _by_root_at_last(shares, q):
    return shares / q.shape[-1] ** 0.5


def _attention(
    q,
    k,
    v,
    keep=None,
    asked=_as_they_came,
    product=queries_ask,
    scale=by_root,
    weigh=weights,
    after=_as_they_are,
    handed=_values,
    read=read,
    **steps,
):
    """The right attention, but for the steps that are given."""
    return read(
        after(weigh(scores(asked(q, v), k, product, scale), keep, **steps), q), handed(k, v)
    )


with_ = changeable(_attention)


def _scaled_for_values(q, v):
    return q * (q.shape[-1] / v.shape[-1]) ** 0.5


def _keys(k, v):
    return k


def _shares_alone(shares, v):
    return shares


def _read_by_features(shares, v):
    return (shares @ v.mT).mT


OWN = (
    Trap(
        "no scale",
        with_(scale=one),
        "q·k is a sum of D products, so its standard deviation grows like √D. Unscaled, the "
        "softmax of a wide model is close to one-hot from the first step and passes almost no "
        "gradient. Divide by √D.",
        "Step 2: scale",
    ),
    Trap(
        "keys not transposed",
        with_(product=not_transposed),
        "each query meets each key: rows of q with rows of k, q @ k.mT. (.mT turns the last "
        "two dimensions round; .T turns all of them, the batch included.)",
        "Step 1: dot products",
        (with_(product=all_turned),),
    ),
    Trap(
        "keys ask, queries answer",
        with_(product=keys_ask),
        "the product is the other way round: rows are queries and columns are keys, because the "
        "softmax that follows runs along a row. It is q @ k.mT.",
        "Step 1: dot products",
    ),
    *score_traps(with_, "Step 1: dot products", "Step 2: scale"),
    Trap(
        "the keys handed over",
        with_(handed=_keys),
        "a key is what a token is found by, its value what it hands over. The weights are of the "
        "keys, and the weighted sum is one of the values: weights @ v.",
        "Step 4: the weighted sum",
    ),
    Trap(
        "the weights themselves",
        with_(read=_shares_alone),
        "the weights say how much is read of each value, and have the shape (Tq, Tk). Asked for is "
        "what was read: weights @ v, (Tq, Dv).",
        "Step 4: the weighted sum",
    ),
    Trap(
        "divided by D instead of √D",
        with_(scale=by_width),
        "the variance of q·k is D, its standard deviation √D, and it is the standard deviation "
        "that should become 1. Divided by D the scores are nearly equal, and every query reads "
        "the plain average of all values. (Divided by √D twice, the queries and then the scores, "
        "they are the same.)",
        "Step 2: scale",
    ),
    Trap(
        "scaled after the softmax",
        with_(scale=one, after=_by_root_at_last),
        "the division by √D stands inside the softmax, where it decides how sharp the choice "
        "is. After it, the choice is as sharp as without a scale and the weights of a row no "
        "longer sum to 1.",
        "Step 2: scale",
        (with_(after=_by_root_at_last),),
    ),
    Trap(
        "features that read each other",
        with_(product=of_features, read=_read_by_features),
        "qᵀ k compares features, (D, D), and says nothing of which query reads which key. Each "
        "query meets each key: rows of q with rows of k, q @ k.mT.",
        "Step 1: dot products",
    ),
    Trap(
        "scaled by another size",
        with_(asked=_scaled_for_values),
        "q·k is a sum over D, the width of queries and keys, and its standard deviation grows "
        "with √D. The width of the values and the number of keys have no part in that sum.",
        "Step 2: scale",
        tuple(
            with_(scale=scale) for scale in (by_keys, by_one_more, by_first_size, by_second_size)
        ),
    ),
    Trap(
        "multiplied by √D",
        with_(scale=times_root),
        "√D is what the scores are too large by: they are divided by it. Multiplied, their "
        "standard deviation becomes D, and the softmax a choice of one.",
        "Step 2: scale",
    ),
    Trap(
        "a constant scale",
        with_(scale=always(64**-0.5)),
        "1/8 is the scale of heads of 64 features, as in the paper. Another width has another "
        "scale: ask q.shape[-1] for it.",
        "Step 2: scale",
        (with_(scale=always(512**-0.5)),),
    ),
    Trap(
        "view of what is not contiguous",
        with_(product=of_views),
        "view only renames what lies in memory in order, and a transposed tensor does not: it "
        "raises. @ takes any number of batch dimensions as they are; reshape copies where it "
        "must.",
        "Step 1: dot products",
    ),
    Trap(
        "a softmax too many",
        with_(**softmax.TWICE),
        "scores go through one softmax. Weights between 0 and 1 taken for scores again give "
        "none more than e times the weight of another: every query reads nearly the plain "
        "average.",
        "Step 3: softmax",
    ),
    Trap(
        "softmax over the queries",
        with_(**softmax.OVER_QUERIES),
        "each query has a distribution over the keys: rows sum to 1. Along dim=-2 the keys "
        "share out the queries instead, and adding one query changes all other answers. "
        "Keys run along the last dimension.",
        "Step 3: softmax",
    ),
    Trap(
        "softmax over the batch",
        with_(**softmax.OVER_BATCH),
        "dim=0 is the batch: sentences share out their weights among each other. Keys run "
        "along the last dimension, dim=-1. (nn.Softmax() without a dim takes the first or the "
        "second, depending on how many there are.)",
        "Step 3: softmax",
    ),
    Trap(
        "the mask forgotten",
        with_(**softmax.FORGOTTEN),
        "keep changes nothing: every query reads every key. (masked_fill returns a new tensor "
        "and leaves the old one as it was: scores = scores.masked_fill(...).)",
        "Masks",
    ),
    Trap(
        "renormalised after the softmax",
        with_(**softmax.RENORMALISED),
        "dividing by what is left mends the row sums until a hidden score takes everything: "
        "then 0 is divided by 0, or what is left has no digits left. Hide before the softmax.",
        "Masks",
    ),
    Trap(
        "exponentials without the maximum",
        with_(**softmax.NO_MAXIMUM),
        "exp(710) is infinite in double precision, exp(12) in half, and infinity by infinity "
        "is nan; a row of very negative scores is 0 / 0. softmax subtracts the row's maximum "
        "first, which changes no quotient.",
        "Step 3: softmax",
    ),
    Trap(
        "masked after the softmax",
        with_(**softmax.AFTERWARDS),
        "the hidden keys have already taken their share when they are zeroed: the remaining "
        "weights sum to less than 1, and how much less tells of the hidden scores. A causal "
        "model masked like this sees the future through its row sums.",
        "Masks",
    ),
    Trap(
        "mask inverted",
        with_(**softmax.INVERTED),
        "keep is True where a key may be read, as in F.scaled_dot_product_attention. "
        "masked_fill fills where its argument is True, so it needs ~keep. "
        "(nn.MultiheadAttention has it the other way round.)",
        "Masks",
    ),
    Trap(
        "the mask multiplies the scores",
        with_(**softmax.TIMES_SCORES),
        "a score of 0 is not a weight of 0: exp(0) is 1, so a hidden key still gets a share, "
        "and more than a visible key with a negative score.",
        "Masks",
    ),
    Trap(
        "nothing to read, so everything is read",
        with_(**softmax.AVERAGE_ROW),
        "a row of equal scores, however low, is a uniform distribution: the query that may "
        "read nothing gets the average of all the values it was to be kept from. Multiply the "
        "weights by keep after the softmax.",
        "The row that may read nothing",
    ),
    Trap(
        "-1e9 as minus infinity",
        with_(**softmax.MINUS_1E9),
        "half precision ends at 65,504 and cannot hold -1e9, so the first run in half "
        "precision fails. And a row that may read nothing is a row of equal scores: it "
        "averages everything it was to be kept from. Take finfo(dtype).min, and zero such "
        "rows.",
        "The row that may read nothing",
        (with_(**softmax.MINUS_1E9_ZEROED), with_(**softmax.MINUS_1E9_ADDED)),
    ),
    Trap(
        "not low enough",
        with_(**softmax.NOT_LOW_ENOUGH),
        "a key that may be read scored below the number that stands for hidden, so the hidden "
        "keys won the softmax. Scores have no lower bound: take finfo(dtype).min.",
        "The row that may read nothing",
        (with_(**softmax.MINUS_1E4_ADDED),),
    ),
    Trap(
        "a float32 mask in another precision",
        with_(**softmax.FLOAT_BIAS),
        "adding a float32 tensor turns half-precision scores into float32, which the values "
        "are not. And added, -1e9 or -inf leaves a row that may read nothing with an average "
        "or with nan. masked_fill keeps the dtype and needs no second tensor.",
        "The row that may read nothing",
        (with_(**softmax.LOG_BIAS),),
    ),
    Trap(
        "the row that may read nothing",
        with_(**softmax.NAN_ROW),
        "all its scores are -inf, and softmax divides 0 by 0. The other rows hide it until a "
        "loss turns nan hours into training. Try: look at weights.sum(-1) for that row.",
        "The row that may read nothing",
    ),
    Trap(
        "nan swept under the rug",
        with_(**softmax.NAN_GRADIENT),
        "nan_to_num mends the answer and not the derivative: softmax's backward pass "
        "multiplies by its own nan output, and the gradient of that row is nan. A finite fill "
        "never makes a nan in the first place.",
        "The row that may read nothing",
    ),
    Trap(
        "the lowest number added",
        with_(**softmax.LOWEST_ADDED),
        "finfo(dtype).min and a negative score together are below what the dtype can hold: "
        "-inf in half precision, and nan in a row of nothing else. masked_fill replaces the "
        "score instead.",
        "The row that may read nothing",
        (with_(**softmax.LOWEST_OF_BOOL_ADDED),),
    ),
    Trap(
        "the caller's queries overwritten",
        with_(product=in_place, scale=one),
        "q *= ... writes into the caller's tensor. The second call with the same q starts from "
        "scaled queries, and so does anything else that reads it. Scale a new tensor.",
        "Step 2: scale",
        overwrites="q",
    ),
)
