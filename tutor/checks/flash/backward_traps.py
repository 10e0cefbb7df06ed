"""Wrong answers that people give to ``flash_backward``."""

from tutor.checks.exercise import Trap
from tutor.checks.flash import mistiled as tiles
from tutor.checks.flash import recomputed as part
from tutor.checks.flash.recomputed import with_
from tutor.checks.flash.shared import BACKWARD, SKIPPED, TILES


def _scaled_in_place(grad_out, q, *others):
    scale = q.shape[-1] ** -0.5

    def back(one):
        return scale, one

    return part.backward(grad_out, q.mul_(scale), *others, scale=tiles.one, back=back)


TRAPS = (
    Trap(
        "δ forgotten",
        with_(less=part.none),
        "raising one score lowers all other weights of the row: ds = w ∘ (dw - δ), with one number "
        "δ for each query, Σ_c grad_out · out. Without it the rows of ds do not sum to 0.",
        BACKWARD,
    ),
    Trap(
        "δ of the tile alone",
        with_(less=part.of_the_tile),
        "Σ_j w_j dw_j runs over *all* keys of the row, and a tile has some of them. The whole sum "
        "is known beforehand: it is Σ_c grad_out · out.",
        BACKWARD,
        (with_(less=part.of_plain_gradients),),
    ),
    Trap(
        "another δ",
        with_(less=part.the_mean),
        "δ of a query is the sum over the width of grad_out · out, a product of numbers, entry by "
        "entry.",
        BACKWARD,
        (with_(less=part.of_answers_alone), with_(less=part.of_gradients_alone)),
    ),
    Trap(
        "δ added",
        with_(through=part.sign_turned),
        "ds = w ∘ (dw - δ): what the row gains on the whole is taken off.",
        BACKWARD,
        (with_(through=part.negative),),
    ),
    Trap(
        "the weights in front forgotten",
        with_(through=part.not_weighted),
        "ds = w ∘ (dw - δ): the weight belongs to both terms.",
        BACKWARD,
        (
            with_(through=part.one_term_weighted),
            with_(through=part.straight_through),
            with_(through=part.of_a_sigmoid),
        ),
    ),
    Trap(
        "a softmax of each tile",
        with_(weigh=part.of_the_tile_alone),
        "the weights are those of the whole row: e^(score - lse), with the log-sum-exp that the "
        "forward pass kept. A softmax of the tile sums to 1 in each tile.",
        BACKWARD,
        (with_(weigh=part.less_its_own_maximum),),
    ),
    Trap(
        "weights without the log-sum-exp",
        with_(weigh=part.not_divided),
        "w = e^(score - lse): the log-sum-exp is maximum and total in one.",
        BACKWARD,
        (with_(weigh=part.over_lse), with_(weigh=part.scores_alone)),
    ),
    Trap(
        "the log-sum-exp as a power",
        with_(weigh=part.over_its_power),
        "e^score / e^lse is the same on paper, and infinity over infinity where scores are large. "
        "Subtract first: e^(score - lse) is at most 1.",
        BACKWARD,
    ),
    Trap(
        "powers of two",
        with_(weigh=part.in_base_two),
        "lse is a natural logarithm, and the weights are powers of e.",
        BACKWARD,
    ),
    Trap(
        "nothing minus nothing",
        with_(before=part.hidden_ahead, hide=part.unhidden, level=part.as_given),
        "the log-sum-exp of a query that reads nothing is -inf, and so are its hidden scores: "
        "-inf - -inf is nan. Put +inf in the place of its log-sum-exp, or set the *weights* to 0.",
        BACKWARD,
        (
            with_(
                before=part.hidden_ahead,
                hide=part.unhidden,
                level=part.as_given,
                skipped=tiles.none_skipped,
            ),
        ),
    ),
    Trap(
        "unmasked on the way back",
        with_(hide=part.unhidden),
        "the mask belongs to the scores, which are computed again: hidden keys have the weight 0 "
        "here, too, or the future learns from the past.",
        BACKWARD,
        (
            with_(asked=tiles.never),
            with_(hide=part.hidden_negative),
            with_(hide=part.hidden_negative, skipped=tiles.none_skipped),
        ),
    ),
    Trap(
        "always causal",
        with_(asked=tiles.always),
        "without `causal` every query reads every key.",
        SKIPPED,
        (with_(asked=tiles.other_way),),
    ),
    Trap(
        "aligned at the upper left",
        with_(limit=tiles.upper_left),
        "query i stands at key i + Tk - Tq, the last one at the last key.",
        SKIPPED,
        (with_(limit=tiles.turned),),
    ),
    Trap(
        "places within the tile",
        with_(limit=tiles.within_the_tile),
        "the limit is between places in the whole text: add where the tile begins.",
        SKIPPED,
        (with_(limit=tiles.keys_within_the_tile), with_(limit=tiles.rows_within_the_tile)),
    ),
    Trap(
        "one place beside",
        with_(limit=tiles.without_oneself),
        "j ≤ i + Tk - Tq: a query reads its own position, and no later one.",
        SKIPPED,
        (with_(limit=tiles.one_more),),
    ),
    Trap(
        "the tiles on the diagonal skipped",
        with_(limit=tiles.no_crossed_tiles),
        "a tile of which a single key may be read has to be read, on the way back, too.",
        SKIPPED,
    ),
    Trap(
        "the ragged tail dropped",
        with_(tiles_of_keys=tiles.down),
        "the last tiles may be shorter than the others, and count all the same.",
        TILES,
        (
            with_(tiles_of_queries=tiles.down),
            with_(tiles_of_queries=tiles.down, tiles_of_keys=tiles.down),
        ),
    ),
    Trap(
        "the last tile in the place of the sum",
        with_(to_keys=part.assigned, to_values=part.assigned),
        "each tile of queries adds to the gradients of keys and values, and each tile of keys to "
        "that of the queries: += and not =.",
        BACKWARD,
        (
            with_(to_queries=part.assigned),
            with_(to_keys=part.assigned),
            with_(to_values=part.assigned),
            with_(to_queries=part.assigned, to_keys=part.assigned, to_values=part.assigned),
        ),
    ),
    Trap(
        "one head of a group",
        with_(gather=part.last_head),
        "all query heads of a group read the same keys and values, whose gradient is the *sum* of "
        "what comes from each.",
        BACKWARD,
        (with_(gather=part.first_head), with_(gather=part.mean_of_heads)),
    ),
    Trap(
        "a gradient for each query head",
        with_(gather=part.of_each_head),
        "keys and values have G heads, and so do their gradients: sum over the H / G query heads "
        "that read each.",
        BACKWARD,
    ),
    Trap(
        "groups that alternate",
        with_(spread=tiles.tiled_groups, gather=part.alternating),
        "query head h reads key head h // (H // G), in groups that lie side by side.",
        BACKWARD,
        (with_(gather=part.alternating), with_(spread=tiles.tiled_groups)),
    ),
    Trap(
        "the scale forgotten on the way back",
        with_(back=part.on_neither),
        "scores = q kᵀ / √D, so the gradients of q and of k carry 1 / √D, both of them.",
        BACKWARD,
        (with_(back=part.on_queries), with_(back=part.on_keys)),
    ),
    Trap(
        "the scale applied twice",
        with_(back=part.twice),
        "one factor 1 / √D for each gradient. A query that was scaled before the product brings "
        "its own into the gradient of k.",
        BACKWARD,
        (with_(back=part.turned_round),),
    ),
    Trap(
        "no scale in the scores",
        with_(scale=tiles.one),
        "the weights are those of the forward pass, whose scores are q kᵀ / √D.",
        BACKWARD,
        (with_(scale=tiles.by_width), with_(scale=tiles.by_values)),
    ),
    Trap(
        "the scores' gradient for the values",
        with_(of_values=part.of_scores),
        "dv = wᵀ grad_out: values are multiplied by the weights themselves.",
        BACKWARD,
    ),
    Trap(
        "in another order",
        with_(told=part.keys_and_values_exchanged),
        "they are returned as (grad_q, grad_k, grad_v).",
        BACKWARD,
        (with_(told=part.keys_first), with_(told=part.two_of_them)),
    ),
    Trap(
        "the caller's queries scaled",
        _scaled_in_place,
        "`q *= scale` writes into the caller's tensor.",
        BACKWARD,
        overwrites="q",
    ),
)
