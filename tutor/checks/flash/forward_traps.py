"""Wrong answers that people give to ``flash_forward``, and to the kernel that does the same."""

from tutor.checks.exercise import Trap
from tutor.checks.flash import mistiled as part
from tutor.checks.flash.shared import FORWARD, SKIPPED, STREAM, TILES
from tutor.checks.flash.tiles import with_

_FLOORS = (-1e2, -1e3, -1e4, -1e5, -1e9, -1e30)
_HIDES = (*map(part.hidden_by, _FLOORS), part.hidden_by_the_dtypes)
_SKIPPING = ({}, {"skipped": part.none_skipped})
"""With and without the tiles that nobody may read: it makes a difference to who reads nothing."""


def traps(change=lambda wrong: wrong) -> tuple[Trap, ...]:
    """``change``: what calls a wrong function as the exercise is called."""
    return tuple(
        Trap(
            t.name,
            change(t.function),
            t.misconception,
            t.section,
            tuple(map(change, t.variants)),
            t.precision,
            t.overwrites,
        )
        for t in TRAPS
    )


TRAPS = (
    Trap(
        "rescaling forgotten",
        with_(gather=part.read_unscaled),
        "where the maximum moves, all that was summed before is in an old unit: the answer *and* "
        "the total have to be multiplied by e^(old - new) before the tile is added.",
        STREAM,
        (
            with_(add=part.unscaled),
            with_(gather=part.read_unscaled, add=part.unscaled),
            with_(gather=part.read_divided_by_factor),
        ),
    ),
    Trap(
        "the tile scaled as well",
        with_(gather=part.read_twice_scaled),
        "the tile's own weights are measured from the new maximum already: only what was there "
        "before is multiplied.",
        STREAM,
    ),
    Trap(
        "normalised in every tile",
        with_(gather=part.read_normalised, finish=part.undivided),
        "weights that sum to 1 in each tile give every tile the same say, however low its scores. "
        "Sum weights and values as they are, and divide once, after the last tile.",
        STREAM,
        tuple(
            with_(gather=gather, **finish, **more)
            for gather in (
                part.read_normalised,
                part.read_normalised_and_scaled,
                part.read_divided_by_total,
                part.read_all_divided_by_total,
            )
            for finish in ({"finish": part.undivided}, {})
            for more in _SKIPPING
        ),
    ),
    Trap(
        "never divided",
        with_(finish=part.undivided),
        "what was summed are values times weights that are measured from the maximum: dividing by "
        "the total makes a mean of them.",
        FORWARD,
    ),
    Trap(
        "the last tile alone",
        with_(gather=part.the_last_alone),
        "the answer is a sum over all tiles: scale what is there, and add.",
        STREAM,
        (
            with_(add=part.the_tile_alone),
            with_(gather=part.the_last_alone, add=part.the_tile_alone),
        ),
    ),
    Trap(
        "no running maximum",
        with_(top=part.at_zero),
        "e^s overflows from 89 on in single precision. Standard normal scores never show it, so "
        "that a test on those lets it pass; the scores of trained models do.",
        STREAM,
    ),
    Trap(
        "the maximum of this tile alone",
        with_(top=part.of_the_tile),
        "it has to be the largest score so far: where a tile's maximum is below that of those "
        "before it, the factor for them overflows.",
        STREAM,
    ),
    Trap(
        "the maximum of the first tile for all",
        with_(top=part.of_the_first),
        "a later score may lie any distance above it, and then overflows.",
        STREAM,
    ),
    Trap(
        "one maximum for all rows",
        with_(top=part.one_for_all),
        "each query has a softmax of its own. Below the maximum of another one, all of its weights "
        "may round to 0.",
        STREAM,
    ),
    Trap(
        "nothing minus nothing",
        with_(level=part.unguarded),
        "a query that may read nothing in the first tile has the maximum -inf, and -inf - -inf is "
        "nan, for good: every later sum is multiplied by it. Measure such rows from 0.",
        STREAM,
        (
            with_(level=part.unguarded, finish=part.divided_anyway),
            with_(level=part.unguarded, skipped=part.none_skipped),
            with_(level=part.unguarded, finish=part.divided_anyway, skipped=part.none_skipped),
        ),
    ),
    Trap(
        "the row that may read nothing",
        with_(finish=part.divided_anyway),
        "its total is 0, and 0 / 0 is nan. It gets zeros: divide by 1 there.",
        FORWARD,
    ),
    Trap(
        "a finite number for nothing",
        with_(begin=part.starting_at(0.0)),
        "a maximum that begins at -10,000, or hidden scores of -10,000, are above scores of "
        "-20,000: these then weigh nothing, or less than what is hidden. And a query that may read "
        "nothing reads everything. Only -inf is below all scores.",
        STREAM,
        (
            *(with_(begin=part.starting_at(floor)) for floor in _FLOORS),
            with_(begin=part.starting_at_the_dtypes),
            *(with_(hide=hide, **more) for hide in _HIDES for more in _SKIPPING),
            *(
                with_(hide=part.hidden_by(floor), begin=part.starting_at(floor), **more)
                for floor in _FLOORS
                for more in _SKIPPING
            ),
            *(
                with_(hide=part.hidden_by_the_dtypes, begin=part.starting_at_the_dtypes, **more)
                for more in _SKIPPING
            ),
        ),
    ),
    Trap(
        "hidden scores of 0",
        with_(hide=part.times_visible),
        "e^0 is 1: a score of 0 is an ordinary one, and is read. Hidden ones are -inf.",
        FORWARD,
        (with_(hide=part.times_visible, skipped=part.none_skipped),),
    ),
    Trap(
        "the ragged tail of keys dropped",
        with_(tiles_of_keys=part.down),
        "the last tile of keys may have fewer than the others, and counts all the same: the number "
        "of tiles is rounded up.",
        TILES,
    ),
    Trap(
        "the ragged tail of queries dropped",
        with_(tiles_of_queries=part.down),
        "the last tile of queries may have fewer than the others, and needs answers, too: the "
        "number of tiles is rounded up.",
        TILES,
        (with_(tiles_of_queries=part.down, tiles_of_keys=part.down),),
    ),
    Trap(
        "the padding of the tail is read",
        with_(padded=part.zeros_read),
        "where a tile is filled up, the keys that are none score 0 and get weights: in the maximum "
        "and in the total. Hide them, or take a shorter tile.",
        TILES,
    ),
    Trap(
        "aligned at the upper left",
        with_(limit=part.upper_left),
        "the queries are the newest of the keys' positions: query i stands at key i + Tk - Tq, the "
        "last one at the last key.",
        SKIPPED,
        (with_(limit=part.turned),),
    ),
    Trap(
        "places within the tile",
        with_(limit=part.within_the_tile),
        "the causal limit is between places in the whole text: add where the tile begins to the "
        "place within it, for queries and for keys.",
        SKIPPED,
        (with_(limit=part.keys_within_the_tile), with_(limit=part.rows_within_the_tile)),
    ),
    Trap(
        "one's own position hidden",
        with_(limit=part.without_oneself),
        "a query reads its own position, too: j ≤ i + Tk - Tq.",
        SKIPPED,
    ),
    Trap(
        "one key of the future",
        with_(limit=part.one_more),
        "j ≤ i + Tk - Tq, and not one more: the next token is what has to be found out.",
        SKIPPED,
    ),
    Trap(
        "the past hidden",
        with_(limit=part.the_future),
        "what may be read is the past. Where a mask says what is *hidden*, it is the other way "
        "round.",
        SKIPPED,
    ),
    Trap(
        "whole tiles where the limit crosses",
        with_(limit=part.whole_tiles),
        "a tile of which some keys lie in the future is computed, and those keys are hidden in it.",
        SKIPPED,
    ),
    Trap(
        "the tiles on the diagonal skipped",
        with_(limit=part.no_crossed_tiles),
        "a tile of which a single key may be read has to be read.",
        SKIPPED,
    ),
    Trap(
        "never causal",
        with_(asked=part.never),
        "`causal` is accepted and not used.",
        SKIPPED,
    ),
    Trap(
        "always causal",
        with_(asked=part.always),
        "without `causal` every query reads every key.",
        SKIPPED,
        (with_(asked=part.other_way),),
    ),
    Trap(
        "groups that alternate",
        with_(spread=part.tiled_groups),
        "query head h reads key head h // (H // G): 0, 0, 0, 1, 1, 1 and not 0, 1, 0, 1, 0, 1. "
        "`repeat` lays whole copies side by side; groups are consecutive.",
        FORWARD,
        (with_(spread=part.first_head), with_(spread=part.mean_head)),
    ),
    Trap(
        "as many key heads as query heads",
        with_(spread=part.as_many),
        "there may be fewer: H / G query heads share one head of keys and values.",
        FORWARD,
    ),
    Trap(
        "no scale",
        with_(scale=part.one),
        "scores are q kᵀ / √D, as in chapter 3.",
        FORWARD,
    ),
    Trap(
        "scaled by another size",
        with_(scale=part.by_width),
        "the scale is 1 / √D, D the width of queries and keys.",
        FORWARD,
        (
            with_(scale=part.by_values),
            with_(scale=part.times_root),
            with_(scale=part.by_heads),
        ),
    ),
    Trap(
        "powers of two",
        with_(exp=part.base_two),
        "kernels compute 2^x, which is cheaper, and multiply the scores by log2(e) first.",
        FORWARD,
    ),
    Trap(
        "a logarithm in base two",
        with_(logarithm=part.in_base_two),
        "the natural logarithm is asked for. Kernels that compute powers of two have the other one "
        "at hand, and the backward pass is then wrong by a power.",
        FORWARD,
        (with_(logarithm=part.half_in_base_two), with_(logarithm=part.maximum_in_base_two)),
    ),
    Trap(
        "half of the log-sum-exp",
        with_(logarithm=part.of_total),
        "ln Σ e^s = maximum + ln total: the total is measured from the maximum.",
        FORWARD,
        (
            with_(logarithm=part.the_total),
            with_(logarithm=part.the_maximum),
            with_(logarithm=part.the_sum),
            with_(logarithm=part.not_a_logarithm),
            with_(logarithm=part.negative),
        ),
    ),
    Trap(
        "a log-sum-exp for nothing",
        with_(logarithm=part.finite_for_nothing(0.0)),
        "the logarithm of no sum at all is -inf, so that another part can be added to it.",
        FORWARD,
        (
            with_(logarithm=part.finite_for_nothing(float("inf"))),
            with_(logarithm=part.finite_for_nothing(-1e9)),
        ),
    ),
    Trap(
        "another pair",
        with_(told=part.out_alone),
        "two tensors are returned: out (*batch, H, Tq, Dv) and its log-sum-exp (*batch, H, Tq).",
        FORWARD,
        (
            with_(told=part.exchanged),
            with_(told=part.with_a_dimension),
            with_(told=part.head_after_time),
        ),
    ),
    Trap(
        "the dtypes of the answer",
        with_(told=part.as_short_as_out),
        "out has the dtype of q. The log-sum-exp of half precision stays in float32: rounded to a "
        "multiple of 1/8, as half precision has it near 100, the weights of the backward pass "
        "would be off by a tenth.",
        FORWARD,
        (with_(told=part.wide_out),),
    ),
)
