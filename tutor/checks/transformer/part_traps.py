"""What can go wrong in the parts of a Transformer's layer, by name."""

from collections.abc import Callable

import torch
from torch.nn import functional

import tutor.checks.multihead.layer as heads
from tutor.checks import scoring, softmax
from tutor.checks.exercise import Trap
from tutor.checks.transformer import feeds, norms
from tutor.checks.transformer.shared import ENCODER, FEED, NORM


def part_traps(with_: Callable) -> tuple[Trap, ...]:
    """Of the norm, the feed-forward and the attention that the layer is made of."""
    return (
        Trap(
            "divided by C - 1",
            with_(normed=norms.with_(average=norms.by_one_less)),
            "the norm's variance is the mean of the squares: `var` and `std` divide by C - 1 "
            "unless they get `correction=0`.",
            NORM,
        ),
        Trap(
            "eps outside of the root",
            with_(normed=norms.with_(under=norms.outside)),
            "in the norm, eps stands under the root, beside the variance.",
            NORM,
        ),
        Trap(
            "another eps",
            with_(normed=norms.with_(constant=norms.always(1e-6))),
            "the norms of the layer have layer_norm's own eps, 1e-5.",
            NORM,
            tuple(
                with_(normed=norms.with_(constant=norms.always(eps)))
                for eps in (0.0, 1e-8, 1e-12, 1e-3)
            ),
        ),
        Trap(
            "the norm not centred",
            with_(normed=norms.with_(centre=norms.not_centred)),
            "layer norm first takes off the mean. Without that it is RMSNorm.",
            NORM,
        ),
        Trap(
            "the norm over time",
            with_(normed=norms.with_(mean=norms.over(-2))),
            "the norm is of one token's features, along the last dimension.",
            NORM,
            (with_(normed=norms.with_(mean=norms.over_sentence)),),
        ),
        Trap(
            "the norm over the batch",
            with_(normed=norms.with_(mean=norms.over(0))),
            "the norm is of one token's features, along the last dimension.",
            NORM,
        ),
        Trap(
            "the norm without weight and bias",
            with_(normed=norms.with_(scale=norms.neither)),
            "each norm has a weight and a bias, the pair in norms.",
            NORM,
            (
                with_(normed=norms.with_(scale=norms.weight_alone)),
                with_(normed=norms.with_(scale=norms.bias_alone)),
            ),
        ),
        Trap(
            "no activation",
            with_(fed=feeds.with_(activation=feeds.as_given)),
            "two matrices with nothing between them are one. max(0, ·) stands between.",
            FEED,
        ),
        Trap(
            "gelu instead of relu",
            with_(fed=feeds.with_(activation=functional.gelu)),
            "the feed-forward of this layer is that of the paper: max(0, x w_in + b_in).",
            FEED,
            (
                with_(fed=feeds.with_(activation=functional.silu)),
                with_(fed=feeds.with_(activation=torch.tanh)),
            ),
        ),
        Trap(
            "b_in forgotten",
            with_(fed=feeds.with_(shift=feeds.no_shift)),
            "the feed-forward has two biases; b_in is added before max(0, ·).",
            FEED,
        ),
        Trap(
            "b_out forgotten",
            with_(fed=feeds.with_(shift_out=feeds.no_shift)),
            "the feed-forward has two biases; b_out is added at its end.",
            FEED,
        ),
        Trap(
            "nn.Linear's orientation",
            with_(fed=feeds.with_(into=feeds.turned, out=feeds.turned)),
            "nn.Linear stores its weight as (out, in). Here all weights are (in, out): h @ w. With "
            "square ones nothing raises.",
            FEED,
            (
                with_(fed=feeds.with_(into=feeds.turned)),
                with_(fed=feeds.with_(out=feeds.turned)),
                with_(project=heads.turned),
                with_(project=heads.turned, out=heads.out_turned),
                with_(
                    project=heads.turned,
                    out=heads.out_turned,
                    fed=feeds.with_(into=feeds.turned, out=feeds.turned),
                ),
            ),
        ),
        Trap(
            "view instead of transpose",
            with_(split=heads.split_by_view),
            "view(H, T, D) has the right shape and deals out whole tokens to the heads. First "
            "(T, H, D), then swap: chapter 4's split_heads.",
            ENCODER,
        ),
        Trap(
            "merged without transposing back",
            with_(merge=heads.merge_by_reshape),
            "a reshape of (H, T, D) to (T, H·D) mixes the tokens. Swap heads and time back first: "
            "chapter 4's merge_heads.",
            ENCODER,
        ),
        Trap(
            "one wide head",
            with_(split=heads.split_into_one),
            "num_heads changes nothing. Queries, keys and values are split before the attention.",
            ENCODER,
        ),
        Trap(
            "no scale",
            with_(scale=scoring.one),
            "each head divides its scores by √D, the width of one head.",
            ENCODER,
        ),
        Trap(
            "scaled by the width of the model",
            with_(scale=scoring.one, sized=heads.model_scale),
            "the sum in q·k runs over the D features of one head: √D, and not √C.",
            ENCODER,
        ),
        Trap(
            "no output projection",
            with_(out=heads.no_output),
            "what the heads have read goes through w_out before it is added to x.",
            ENCODER,
        ),
        Trap(
            "exponentials without the maximum",
            with_(**softmax.NO_MAXIMUM),
            "exp(s) over its sum is infinity by infinity for large scores. softmax subtracts the "
            "row's maximum, which changes no quotient.",
            ENCODER,
        ),
        Trap(
            "the mask on its side",
            with_(for_heads=heads.mask_on_its_side),
            "keep[..., i, j] says whether token i may read token j: who reads is a row.",
            ENCODER,
        ),
        Trap(
            "the mask on the wrong axis",
            with_(for_heads=heads.mask_as_it_is),
            "keep has no dimension for the heads and the scores have one, third from the end, "
            "however many dimensions stand before it: keep.unsqueeze(-3). Counted from the front, "
            "it is right for one number of batch dimensions.",
            ENCODER,
            (with_(for_heads=heads.mask_second_axis),),
        ),
        Trap(
            "nothing to read, so everything is read",
            with_(**softmax.AVERAGE_ROW),
            "a token that may read nothing gets zeros from the attention. A row of equal scores, "
            "however low, averages all that it was to be kept from.",
            ENCODER,
            (with_(**softmax.MINUS_1E9),),
        ),
        Trap(
            "the row that may read nothing",
            with_(**softmax.NAN_ROW),
            "all its scores are -inf, and softmax divides 0 by 0: one nan, and the norm and every "
            "layer after it have nothing else.",
            ENCODER,
        ),
        Trap(
            "nan swept under the rug",
            with_(**softmax.NAN_GRADIENT),
            "nan_to_num mends the answer and not the derivative: the way back multiplies by the "
            "nan itself, and one row that may read nothing ends the training.",
            ENCODER,
            (with_(**softmax.ANSWER_CLEANED),),
        ),
    )
