"""What goes wrong in a layer of experts, and the misconceptions behind it."""

from tutor.checks.efficiency import mixtures
from tutor.checks.efficiency import wrong_mixtures as part
from tutor.checks.efficiency.mixtures import with_
from tutor.checks.efficiency.shared import PLACES, ROUTER
from tutor.checks.exercise import Trap

TRAPS = (
    Trap(
        "tokens over capacity lost silently",
        with_(counted=part.none_lost),
        "who finds no place gets nothing of that expert, and somebody has to know: `lost` counts "
        "them. A model that loses a third of its tokens learns on, only worse.",
        PLACES,
    ),
    Trap(
        "lost or not",
        with_(counted=part.any_lost),
        "`lost` is *how many* of its k experts a token has not been given.",
        PLACES,
        (
            with_(counted=part.all_lost),
            with_(counted=part.true_or_false),
            with_(counted=part.first_lost),
            with_(counted=part.how_many_kept),
            with_(counted=part.a_share),
            with_(told=part.lost_altogether),
        ),
    ),
    Trap(
        "room for everybody",
        with_(capacity=part.everybody),
        "each expert has ⌈capacity_factor · k · tokens / E⌉ places, and no more. With room for all "
        "tokens at each expert, all experts work on all places, and nothing is saved.",
        PLACES,
        (
            with_(capacity=part.of_tokens),
            with_(capacity=part.of_choices),
        ),
    ),
    Trap(
        "places rounded down",
        with_(capacity=part.rounded_down),
        "the number of places is rounded up: 2.5 places are 3.",
        PLACES,
        (
            with_(capacity=part.one_at_least),
            with_(capacity=part.share_rounded_first),
            with_(capacity=part.share_rounded_up_first),
            with_(capacity=part.rounded_first),
        ),
    ),
    Trap(
        "k forgotten in the places",
        with_(capacity=part.without_k),
        "each token asks k experts: k · tokens choices are shared out among E experts.",
        PLACES,
    ),
    Trap(
        "the capacity factor forgotten",
        with_(capacity=part.without_factor),
        "k · tokens / E places are enough only if every expert is asked equally often. The factor "
        "says how much room there is beyond (or below) that.",
        PLACES,
        (with_(capacity=part.factor_alone),),
    ),
    Trap(
        "one place more or less",
        with_(queue=part.counted_from_one),
        "the first of a queue has place 0: subtract the token itself from its cumulative sum.",
        PLACES,
        (
            with_(room=part.not_above, capacity=part.one_more),
            with_(capacity=part.one_less),
            with_(capacity=part.one_more),
        ),
    ),
    Trap(
        "the last ones first",
        with_(queue=part.from_the_last),
        "places are given in the order of the tokens.",
        PLACES,
    ),
    Trap(
        "first choices first",
        with_(queue=part.first_choices_first),
        "GShard lets all first choices take their places before all second ones. Here places are "
        "given token by token: then no later token can take an earlier one's place, which a model "
        "that writes needs.",
        PLACES,
    ),
    Trap(
        "each choice counts by itself",
        with_(queue=part.each_choice_by_itself),
        "if second choices count from 0 again, two tokens have one place, and the one overwrites "
        "the other. An expert has one queue, for whoever asks it.",
        PLACES,
    ),
    Trap(
        "one queue for all experts",
        with_(queue=part.across_experts),
        "each expert has a queue of its own: count those who ask the same one.",
        PLACES,
        (with_(queue=part.number_of_token),),
    ),
    Trap(
        "who comes too late takes another's place",
        with_(room=part.always, place=part.the_last_place),
        "a place beyond the last one, cut to the last one, is somebody else's. Who finds no place "
        "is sent where nobody is.",
        PLACES,
        (with_(room=part.always, place=part.round_the_end),),
    ),
    Trap(
        "all or nothing",
        with_(room=part.all_or_nothing),
        "a token that finds one of its experts full is still answered by the others.",
        PLACES,
    ),
    Trap(
        "shares scaled up for what was lost",
        with_(left=part.scaled_up),
        "a share that was lost stays lost: the others are not scaled up, so that what an expert "
        "says counts the same on a full day and on an empty one.",
        PLACES,
    ),
    Trap(
        "the token itself for what was lost",
        with_(besides=part.the_token_itself),
        "who has lost all its experts gets zeros. That it passes on as it is, is what the residual "
        "connection around the layer is for.",
        PLACES,
        (with_(besides=part.for_each_lost), with_(besides=part.residual)),
    ),
    Trap(
        "sentence by sentence",
        mixtures.SentenceBySentence,
        "places are shared out among all tokens of the call, in their order: `x.reshape(-1, C)`.",
        PLACES,
    ),
    Trap(
        "softmax before the choice",
        with_(shared=part.softmax_of_all),
        "shares are the softmax of the chosen logits and sum to 1: `top_k_route`.",
        ROUTER,
        (with_(asked=part.softmaxed),),
    ),
    Trap(
        "shares not used",
        with_(joined=part.summed),
        "each answer counts by its share. Without it no gradient reaches the router, and it never "
        "learns whom to ask.",
        ROUTER,
        (
            with_(joined=part.averaged),
            with_(shared=part.all_alike),
            with_(shared=part.one_each),
        ),
    ),
    Trap(
        "the best expert alone",
        with_(joined=part.best_alone),
        "a token gets the answers of all k experts that it asks, each by its share.",
        ROUTER,
        (with_(joined=part.best_alone_whole),),
    ),
    Trap(
        "shares of other experts",
        with_(joined=part.in_the_other_order),
        "shares and experts stand in one order, the best first.",
        ROUTER,
    ),
    Trap(
        "one expert for all",
        with_(whose=part.the_first),
        "each expert has matrices of its own, `w_gate[e]` and so on.",
        PLACES,
        (
            with_(whose=part.their_mean),
            with_(whose=part.the_next),
            with_(whose=part.upside_down),
        ),
    ),
    Trap(
        "gate and input exchanged",
        with_(expert=part.exchanged),
        "an expert is `swiglu(x, w_gate[e], w_in[e], w_out[e])`: the activation is applied to "
        "x w_gate.",
        PLACES,
    ),
    Trap(
        "no gated feed-forward",
        with_(expert=part.without_gate),
        "an expert is chapter 8's `swiglu`: silu(x w_gate) · x w_in, times w_out.",
        PLACES,
        (
            with_(expert=part.not_bent),
            with_(expert=part.relu),
            with_(expert=part.sigmoid),
            with_(expert=part.both_bent),
        ),
    ),
    Trap(
        "the router does not learn",
        with_(shared=part.detached),
        "the choice has no gradient, so the router learns by the shares alone, and by the logits "
        "that are returned. `detach` cuts it off.",
        ROUTER,
        (with_(told=part.logits_detached),),
    ),
    Trap(
        "probabilities for logits",
        with_(told=part.probabilities),
        "`load_balance_loss` takes the softmax itself: return what comes out of x router.",
        ROUTER,
    ),
    Trap(
        "an answer too few",
        with_(told=part.without_lost),
        "three tensors are returned: the answer, the router's logits, and what was lost.",
        PLACES,
        (with_(told=part.out_alone), with_(told=part.lost_before_logits)),
    ),
    Trap(
        "answers without their batch",
        with_(told=part.flat_answers),
        "the leading dimensions of x come back in all three answers.",
        PLACES,
    ),
    Trap(
        "a number of another kind",
        with_(told=part.short_counts),
        "`lost` is int64, as torch's `sum` of truth values is.",
        PLACES,
    ),
    Trap(
        "single precision whatever comes in",
        with_(told=part.always_single),
        "the answer has the dtype of x, and is computed in it.",
        PLACES,
        precision=True,
    ),
    Trap(
        "k is not looked at",
        with_(refused=part.never),
        "a token asks at least one expert, and no more than there are: raise a ValueError when the "
        "layer is made.",
        ROUTER,
        (with_(refused=part.above_alone), with_(refused=part.below_alone)),
    ),
)
