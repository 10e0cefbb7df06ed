"""The wrong answers that people give to ``grouped_query_attention``."""

import tutor.checks.grouped_query.expansions as expansion
import tutor.checks.grouped_query.groups as part
import tutor.checks.scoring as scoring
import tutor.checks.softmax as softmax
from tutor.checks.exercise import Trap
from tutor.checks.grouped_query.groups import both, each, with_
from tutor.checks.grouped_query.shared import PRODUCT, SAME, WHICH
from tutor.checks.shares import completed

_TILED, *_TILED_TOO = each(repeat=expansion.tiled)
_FIRST, *_FIRST_TOO = each(repeat=expansion.first_alone)
_REVERSED, *_REVERSED_TOO = each(before=expansion.backwards)

_OWN = (
    Trap(
        "tiled groups",
        _TILED,
        "query head h reads key head h // (H // G): 0, 0, 1, 1. Here it read h % G: 0, 1, 0, 1, as "
        "repeat, torch.cat or a reshape of the queries to (H / G, G) have it. Nothing raises, and "
        "a published model reads with the wrong keys.",
        WHICH,
        (
            *_TILED_TOO,
            with_(
                key=part.found_by(expansion.tiled),
                value=part.found_by(expansion.tiled),
                back=part.tiled_there,
            ),
            with_(
                key=part.found_by(expansion.tiled),
                value=part.found_by(expansion.tiled),
                back=part.tiled_back,
            ),
        ),
    ),
    Trap(
        "G taken for the size of a group",
        with_(key=part.by_size, value=part.by_size),
        "k.shape[-3] is how many groups there are, G. The query heads of one of them are H / G, "
        "and head h belongs to group h // (H // G).",
        WHICH,
        (
            with_(key=part.by_size_at_most_the_last, value=part.by_size_at_most_the_last),
            both(share=expansion.groups_times),
        ),
    ),
    Trap(
        "one key head for all",
        _FIRST,
        "that is multi-query attention. With G key heads, each group of queries has keys and "
        "values of its own.",
        WHICH,
        (*_FIRST_TOO, *each(repeat=expansion.averaged), *each(repeat=expansion.last_alone)),
    ),
    Trap(
        "groups in reverse",
        _REVERSED,
        "the first group of queries reads the first key head, and the answers of head 0 come "
        "first.",
        WHICH,
        (*_REVERSED_TOO, with_(back=part.reversed_heads)),
    ),
    Trap(
        "groups shifted by one",
        both(before=expansion.one_further),
        "counting begins at 0: query head 0 reads key head 0, and the next key head begins with "
        "query head H / G.",
        WHICH,
    ),
    Trap(
        "only the first heads have their own",
        both(repeat=expansion.rest_from_the_first),
        "the first G query heads read a key head each, and all others the same one. Query head h "
        "reads key head h // (H // G), from the first on.",
        WHICH,
        (both(repeat=expansion.rest_from_the_last), both(repeat=expansion.rest_of_zeros)),
    ),
    Trap(
        "no groups at all",
        with_(key=part.none_found, value=part.none_found),
        "q has H heads and k has G, and a product matches heads one by one. It runs where G is 1 "
        "or H, and nowhere between.",
        WHICH,
    ),
    Trap(
        "repeated along time",
        both(repeat=expansion.along(-2)),
        "the keys were repeated in time, or their numbers put in order with time before the "
        "heads. What is shared are whole heads.",
        WHICH,
        (
            both(repeat=expansion.tiled_along(-2)),
            *each(repeat=expansion.behind_time),
            both(repeat=expansion.along(-1)),
            both(repeat=expansion.behind_features),
        ),
    ),
    Trap(
        "repeated along the batch",
        both(repeat=expansion.before_the_batch),
        "the copies of the keys went before the batch: sentences read each other's keys. Heads are "
        "the third dimension from the end.",
        WHICH,
        (both(repeat=expansion.along(0)), both(repeat=expansion.tiled_along(0))),
    ),
    Trap(
        "the queries of a group averaged",
        with_(asked=part.averaged_queries),
        "a group shares keys and values. Each of its heads still asks a question of its own: H "
        "queries, H distributions, H answers.",
        PRODUCT,
    ),
    Trap(
        "the answers of a group averaged",
        with_(back=part.averaged),
        "there is one answer for each query head, H of them. A group shares what it reads, not "
        "what it finds.",
        PRODUCT,
        (with_(back=part.summed), with_(back=part.one_of_each_group)),
    ),
    Trap(
        "rows of a group mixed up",
        with_(back=part.rows_mixed),
        "a group's queries stand below each other, head by head: (H / G, Tq) joined to one "
        "dimension. Taken apart as (Tq, H / G), the rows of one head land in another. With one "
        "query, as in decoding, nobody sees it.",
        PRODUCT,
        (
            with_(asked=part.rows_mixed_there),
            with_(asked=part.rows_mixed_there, back=part.rows_mixed),
        ),
    ),
    Trap(
        "left in groups",
        with_(back=part.heads_in_groups),
        "the answer is still in groups. Asked for are heads, (*batch, H, Tq, Dv).",
        PRODUCT,
        (with_(back=part.rows_left), with_(back=part.merged)),
    ),
    Trap(
        "heads out of order",
        with_(back=part.tiled_back),
        "the answers were put back as (H / G, G), and the queries had been taken as (G, H / G). "
        "Head h goes in as number h and comes out as number h.",
        PRODUCT,
        (with_(back=part.tiled_there), with_(asked=part.tiled_back), with_(asked=part.tiled_there)),
    ),
    Trap(
        "one mask for a group",
        with_(for_heads=part.first_of_each_group),
        "keep may have a mask for each query head: (*batch, H, Tq, Tk). A group shares keys, and "
        "its heads need not see the same of them.",
        SAME,
        (
            with_(for_heads=part.any_of_each_group),
            with_(for_heads=part.first_heads),
            with_(for_heads=part.first_head),
        ),
    ),
    Trap(
        "masks of other heads",
        with_(for_heads=part.tiled_masks),
        "the mask was cut into groups in another way than the queries. Its dimension for heads is "
        "split as theirs is: (G, H / G).",
        SAME,
        (with_(for_heads=part.untiled_masks),),
    ),
    Trap(
        "the mask's rows side by side",
        with_(for_heads=part.rows_side_by_side),
        "a group's queries stand below each other, head by head, so the mask's rows come round "
        "again for each head: all of them, then all of them again. repeat_interleave along the "
        "queries gives query 0 its row several times first.",
        SAME,
    ),
    Trap(
        "the mask on the wrong axis",
        part.mask_as_it_came,
        "with groups, the scores have one dimension more than the mask, and broadcasting starts "
        "from the right: heads land on the heads of a group and sentences on groups. It raises, "
        "or hides the wrong words in silence. Split the mask's heads, or put a 1 beside them.",
        SAME,
        (part.mask_before_the_groups, with_(for_heads=part.with_a_dimension_for_heads)),
    ),
    Trap(
        "exactly one batch dimension",
        part.of_one_batch,
        "the shape is taken apart into four names, so a single sentence fails and so does a batch "
        "of batches. Count the axes from the end: unflatten(-3, ...) and flatten(-3, -2).",
        PRODUCT,
        (both(repeat=expansion.of_one_batch),),
    ),
    Trap(
        "axes counted from the front",
        part.counted_from_the_front,
        "dimension 1 are the heads where there is one batch dimension, and something else where "
        "there is none or more. Counted from the end they are -3.",
        PRODUCT,
        (both(repeat=expansion.along(1)),),
    ),
    Trap(
        "heads that do not divide",
        both(share=expansion.rounded_down),
        "4 key heads cannot serve 6 query heads: raise a ValueError that names both, before // "
        "rounds down.",
        WHICH,
    ),
    Trap(
        "the keys handed over",
        with_(handed=part.values_are_keys),
        "a key is what a token is found by, its value what it hands over. The weighted sum is one "
        "of the values.",
        SAME,
    ),
    Trap(
        "values for keys",
        with_(sought=part.swapped),
        "a query is compared with the keys; the values are what is handed over.",
        SAME,
    ),
    Trap(
        "no scale",
        with_(scale=scoring.one),
        "the scores are divided by √D, the width of one head, however many share its keys.",
        SAME,
    ),
    Trap(
        "divided by D instead of √D",
        with_(scale=scoring.by_width),
        "the standard deviation of q·k is √D, and it is that which should become 1.",
        SAME,
    ),
    Trap(
        "scaled by another size",
        with_(scale=part.by_all_heads),
        "q·k is a sum over the D features of one head, and its standard deviation is √D. How many "
        "heads there are, or how many keys, has no part in that sum.",
        SAME,
        (
            with_(scale=part.by_heads),
            with_(scale=scoring.by_keys),
            with_(scale=scoring.always(1 / 8)),
            with_(scale=scoring.always(128**-0.5)),
        ),
    ),
    Trap(
        "multiplied by √D",
        with_(scale=scoring.times_root),
        "√D is what the scores are too large by: they are divided by it.",
        SAME,
    ),
    Trap(
        "scaled after the softmax",
        with_(scale=scoring.one, after=part.by_root_at_last),
        "the division by √D stands inside the softmax, where it decides how sharp the choice is.",
        SAME,
        (with_(after=part.by_root_at_last),),
    ),
    Trap(
        "the mask forgotten",
        with_(**softmax.FORGOTTEN),
        "keep is accepted and changes nothing: every head reads what it was to be kept from.",
        SAME,
    ),
    Trap(
        "shared out among the group",
        both(repeat=expansion.divided),
        "keys or values were divided by how many heads read them. A key is not used up by being "
        "read.",
        WHICH,
        each(repeat=expansion.divided)[1:],
    ),
    *scoring.score_traps(with_, SAME, SAME),
)

TRAPS = completed(
    _OWN,
    with_,
    {"softmax": SAME, "masks": SAME, "nothing": SAME, "reading": SAME},
)
