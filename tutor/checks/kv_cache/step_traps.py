"""What goes wrong with one token more, and the misconceptions behind it."""

from tutor.checks.exercise import Trap
from tutor.checks.kv_cache import steps as part
from tutor.checks.kv_cache.shared import STEP
from tutor.checks.kv_cache.steps import with_

TRAPS = (
    Trap(
        "positions restart at zero",
        with_(position=part.at_zero),
        "behind a prompt of seven tokens the next stands at position 7. With the position of a "
        "first token it is turned as if it stood at the beginning, and looks seven tokens older "
        "than the prompt's end. The text stays fluent, and forgets.",
        STEP,
        (with_(turn=part.neither),),
    ),
    Trap(
        "one position off",
        with_(position=part.one_later),
        "positions count from 0: behind `lengths[b]` tokens stands position `lengths[b]`.",
        STEP,
        (with_(position=part.one_earlier),),
    ),
    Trap(
        "one position for all rows",
        with_(position=part.of_the_longest),
        "rows of a batch have read more or less, and each counts by itself. A position shared by "
        "all is right for the longest row alone.",
        STEP,
        (with_(position=part.at_the_end), with_(position=part.of_the_first_row)),
    ),
    Trap(
        "the offset counted twice",
        with_(position=part.twice_as_far),
        "the position is how many tokens stand before: the offset is added once.",
        STEP,
    ),
    Trap(
        "the query alone turned",
        with_(turn=part.query_alone),
        "the score hangs on the difference of two angles: query and key are both turned, each by "
        "its own position.",
        STEP,
        (with_(turn=part.key_alone),),
    ),
    Trap(
        "the value turned, too",
        with_(turn=part.value_too),
        "positions are for the scores. A value is read as it is.",
        STEP,
    ),
    Trap(
        "turned in another way",
        with_(turn=part.interleaved),
        "the keys of the cache were turned by `apply_rope` as it is, in its half-split layout and "
        "forwards: the new ones have to be turned alike.",
        STEP,
        (with_(turn=part.backwards), with_(turn=part.query_backwards)),
    ),
    Trap(
        "the cached keys turned again",
        with_(cached=part.turned_again),
        "a key is turned once, before it goes into the cache. Turned in each step, it moves on by "
        "itself.",
        STEP,
        (with_(cached=part.turned_by_the_tokens),),
    ),
    Trap(
        "another theta",
        with_(base=part.ten_thousand),
        "theta is an argument, and the keys in the cache were turned by it.",
        STEP,
        (with_(base=part.one_hundred),),
    ),
    Trap(
        "what is left over is read",
        with_(visible=part.everything),
        "behind the first lengths[b] places stands what the last text has left, or padding. "
        "Finite numbers raise nothing, and have their share of the answer.",
        STEP,
        (with_(shares=part.nothing_hidden),),
    ),
    Trap(
        "one length for all rows",
        with_(visible=part.up_to_the_longest),
        "each row has a length of its own. Cut at the longest, the shorter rows read what is left "
        "over; cut at the shortest, the longer ones forget.",
        STEP,
        (with_(visible=part.up_to_the_shortest),),
    ),
    Trap(
        "one place too many",
        with_(visible=part.one_too_many),
        "of a row of seven tokens the places 0 to 6 are read: place < lengths[b].",
        STEP,
    ),
    Trap(
        "without the newest",
        with_(visible=part.without_the_newest),
        "the token before this one is in the cache, at place lengths[b] - 1, and is read.",
        STEP,
        (part.overwritten,),
    ),
    Trap(
        "the mask of a first token",
        with_(visible=part.the_first_alone),
        "the first row of a triangle belongs to the first token of a text, which reads one key. "
        "This token is the last: it reads all. That is what is_causal=True of torch's attention "
        "does to a single query: it aligns the triangle with the first key.",
        STEP,
        (with_(visible=part.nothing),),
    ),
    Trap(
        "the newest alone",
        with_(visible=part.the_newest_alone),
        "the token reads all that stands before it, and not only its neighbour.",
        STEP,
    ),
    Trap(
        "the mask the other way round",
        with_(visible=part.what_is_not_there),
        "True means: may be read.",
        STEP,
    ),
    Trap(
        "the token does not read itself",
        with_(own=part.not_itself, shares=part.zeros_for_nothing),
        "its own key and value belong to what it reads, as on the diagonal of the triangle. Behind "
        "an empty past there is nothing else.",
        STEP,
        (with_(own=part.not_itself),),
    ),
    Trap(
        "groups by turns",
        with_(groups=part.tiled),
        "groups are consecutive: with two query heads to a key head, heads 0 and 1 read key head "
        "0. `repeat_interleave` does that, and `repeat` gives 0, 1, 2, 0, 1, 2.",
        STEP,
        (with_(groups=part.first_head),),
    ),
    Trap(
        "another scale",
        with_(scale=part.unscaled),
        "scores are divided by the root of D, the width of one head.",
        STEP,
        (with_(scale=part.by_width_itself), with_(scale=part.by_all_heads)),
    ),
    Trap(
        "hidden after the softmax",
        with_(shares=part.hidden_later),
        "what is hidden after the softmax has taken its share before. Hide the scores: -inf.",
        STEP,
        (with_(shares=part.zero_scores),),
    ),
    Trap(
        "softmax over another dimension",
        with_(shares=part.over_heads),
        "the shares of one query over its keys sum to 1: dim=-1.",
        STEP,
    ),
    Trap(
        "features mixed between heads",
        with_(merge=part.head_after_head),
        "head h owns the features h D to (h + 1) D, before and after: `split_heads` and "
        "`merge_heads` of chapter 4.",
        STEP,
        (with_(split=part.cut_by_features),),
    ),
    Trap(
        "without the last projection",
        with_(out=part.not_projected),
        "the heads' answers go through w_out, used as `@ w_out`.",
        STEP,
        (with_(out=part.turned_weight),),
    ),
    Trap(
        "a key that is not turned is kept",
        with_(kept=part.plain_key),
        "the cache holds keys that are turned: that is why no later step has to turn them. Return "
        "the key as it was asked.",
        STEP,
    ),
    Trap(
        "key and value exchanged",
        with_(kept=part.exchanged),
        "returned are the answer, the key and the value, in this order.",
        STEP,
        (with_(kept=part.keys_twice),),
    ),
    Trap(
        "the whole cache returned",
        with_(kept=part.all_of_them),
        "returned are the key and the value of this token, (B, G, 1, D): the cache is the "
        "caller's, who writes them behind the others.",
        STEP,
    ),
    Trap(
        "the answer alone",
        with_(kept=part.nothing_kept),
        "the next token asks this one's key, too: return key and value beside the answer.",
        STEP,
    ),
    Trap(
        "written into the caller's cache",
        part.written_into,
        "the cache that is passed stays as it is: return the key and the value, and the caller "
        "writes them. Here the same tensors may be passed again.",
        STEP,
        overwrites="keys",
    ),
    Trap(
        "several tokens taken for one",
        with_(refuses=False),
        "x has one token a row. Of several, each would need a position and a mask of its own: "
        "raise a ValueError.",
        STEP,
    ),
)
