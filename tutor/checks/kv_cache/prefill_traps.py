"""What goes wrong with a prompt in chunks, and the misconceptions behind it."""

from tutor.checks.exercise import Trap
from tutor.checks.kv_cache import prefills as part
from tutor.checks.kv_cache.prefills import with_
from tutor.checks.kv_cache.shared import PREFILL

TRAPS = (
    Trap(
        "positions restart in each chunk",
        with_(position=part.from_zero),
        "the first token of the second chunk stands behind the last of the first: positions go on "
        "where the last chunk ended.",
        PREFILL,
        (with_(position=part.one_for_all), with_(position=part.at_the_end)),
    ),
    Trap(
        "positions by the number of the chunk",
        with_(position=part.by_chunk),
        "the last chunk may be shorter, and then its number times its own length is not where it "
        "begins. What is in the cache already says it.",
        PREFILL,
        (with_(position=part.number_alone),),
    ),
    Trap(
        "positions one off",
        with_(position=part.one_back),
        "positions count from 0, and a chunk begins at the number of tokens before it.",
        PREFILL,
        (with_(position=part.from_one),),
    ),
    Trap(
        "the triangle in the upper left",
        with_(visible=part.upper_left),
        "the queries are the newest of the keys: the triangle stands in the lower right, and the "
        "first query of a chunk reads all that came before. `tril` alone, is_causal=True of "
        "torch's attention and mask[:t] begin with the first key instead.",
        PREFILL,
        (with_(visible=part.corner),),
    ),
    Trap(
        "the chunk by itself",
        with_(read=part.new_alone),
        "a chunk reads itself and all that came before: its keys are asked behind those of the "
        "cache. Otherwise a prompt is as many short prompts.",
        PREFILL,
        (with_(visible=part.own_corner),),
    ),
    Trap(
        "the neighbouring chunk alone",
        with_(read=part.the_last_two),
        "all earlier chunks are read, and not the last one only.",
        PREFILL,
    ),
    Trap(
        "what came before is not in the cache",
        with_(read=part.without_the_first),
        "the keys and values of each chunk are written before the next one asks. If their rows are "
        "zeros, they have a share of the answer and say nothing.",
        PREFILL,
        (with_(kept=part.zeros),),
    ),
    Trap(
        "nothing hidden within a chunk",
        with_(visible=part.nothing_hidden),
        "within a chunk tokens follow each other as in the whole: each reads itself and those "
        "before it.",
        PREFILL,
        (with_(visible=part.one_ahead),),
    ),
    Trap(
        "a token does not read itself",
        with_(visible=part.without_itself),
        "the diagonal belongs to what may be read.",
        PREFILL,
        (with_(visible=part.past_alone),),
    ),
    Trap(
        "the future instead of the past",
        with_(visible=part.later_ones),
        "True means: may be read. A token reads those before it.",
        PREFILL,
    ),
    Trap(
        "the tail is lost",
        with_(pieces=part.without_the_tail),
        "a prompt is rarely a multiple of the chunk. The last chunk is shorter, and belongs to it.",
        PREFILL,
        (with_(pieces=part.without_the_tail_at_all), with_(pieces=part.overlapping)),
    ),
    Trap(
        "the last chunk first",
        with_(pieces=part.backwards),
        "a prompt is read from its beginning: no chunk can ask what comes later.",
        PREFILL,
    ),
    Trap(
        "the query alone turned",
        with_(turn=part.query_alone),
        "the score hangs on the difference of two angles: query and key are both turned, each by "
        "its own position.",
        PREFILL,
        (with_(turn=part.key_alone), with_(turn=part.neither)),
    ),
    Trap(
        "turned in another way",
        with_(turn=part.interleaved),
        "`apply_rope` as it is, in its half-split layout and forwards: who goes on with the cache "
        "turns alike.",
        PREFILL,
        (with_(turn=part.turned_backwards),),
    ),
    Trap(
        "another theta",
        with_(base=part.ten_thousand),
        "theta is an argument.",
        PREFILL,
        (with_(base=part.one_hundred),),
    ),
    Trap(
        "groups by turns",
        with_(groups=part.tiled),
        "groups are consecutive: with two query heads to a key head, heads 0 and 1 read key head "
        "0. `repeat_interleave` does that, and `repeat` gives 0, 1, 2, 0, 1, 2.",
        PREFILL,
        (with_(groups=part.first_head),),
    ),
    Trap(
        "another scale",
        with_(scale=part.unscaled),
        "scores are divided by the root of D, the width of one head.",
        PREFILL,
        (with_(scale=part.by_width_itself),),
    ),
    Trap(
        "hidden after the softmax",
        with_(shares=part.hidden_later),
        "what is hidden after the softmax has taken its share before. Hide the scores: -inf.",
        PREFILL,
        (with_(shares=part.zero_scores), with_(shares=part.over_queries)),
    ),
    Trap(
        "features mixed between heads",
        with_(split=part.cut_by_features),
        "head h owns the features h D to (h + 1) D, before and after: `split_heads` and "
        "`merge_heads` of chapter 4.",
        PREFILL,
        (with_(split=part.cut_without_turning), with_(out=part.mixed)),
    ),
    Trap(
        "without the last projection",
        with_(out=part.not_projected),
        "the heads' answers go through w_out, used as `@ w_out`.",
        PREFILL,
    ),
    Trap(
        "the answers of one chunk",
        with_(answer=part.last_alone),
        "returned are the answers of all tokens, (B, T, Cout), in their order.",
        PREFILL,
        (with_(answer=part.first_alone),),
    ),
    Trap(
        "keys that are not turned are kept",
        with_(kept=part.plain_keys),
        "the cache holds keys that are turned: that is why no later step has to turn them.",
        PREFILL,
    ),
    Trap(
        "keys and values exchanged",
        with_(kept=part.exchanged),
        "returned are the answers, the keys and the values, in this order.",
        PREFILL,
        (with_(kept=part.keys_twice),),
    ),
    Trap(
        "the cache not returned",
        with_(kept=part.none),
        "what is read is read once: return the keys and values of all tokens beside the answers, "
        "since the first token that is written asks them.",
        PREFILL,
        (with_(kept=part.of_the_last_chunk),),
    ),
    Trap(
        "chunks of nothing",
        with_(refuses=False),
        "a chunk below 1 never gets anywhere: raise a ValueError.",
        PREFILL,
    ),
)
