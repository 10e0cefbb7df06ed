"""The wrong blocks that people write."""

from tutor.checks.assembly import blocks as part
from tutor.checks.assembly.blocks import with_
from tutor.checks.assembly.shared import BLOCK
from tutor.checks.exercise import Trap

TRAPS = (
    Trap(
        "norms exchanged",
        with_(order=part.norms_exchanged),
        "the first weight belongs to the norm before the attention, the sixth to the one before "
        "the feed-forward network. Both have the same shape, so nothing complains.",
        BLOCK,
    ),
    Trap(
        "one norm for both",
        with_(order=part.one_norm),
        "a block has two norms, each with a weight of its own: the first and the sixth.",
        BLOCK,
    ),
    Trap(
        "gate and input exchanged",
        with_(order=part.gate_and_input),
        "silu bends what comes out of w_gate, the seventh weight; w_in is left as it is.",
        BLOCK,
    ),
    Trap(
        "keys and values exchanged",
        with_(order=part.keys_and_values),
        "w_q, w_k, w_v, w_out stand in this order. With as many features each, keys and values "
        "change places without an error.",
        BLOCK,
    ),
    Trap(
        "positions restart at zero",
        with_(places=part.from_zero),
        "the new tokens stand behind P others: their positions are P, P + 1, and so on.",
        BLOCK,
        (with_(places=part.from_one), with_(places=part.all_at_the_past)),
    ),
    Trap(
        "the other layout",
        with_(turn=part.interleaved, turn_keys=part.interleaved),
        'the weights are those of the layout "half": feature i turns with feature i + D/2. '
        "Neighbours that turn together read fluently for some twenty tokens, and then no more.",
        BLOCK,
        (
            with_(turn=part.interleaved),
            with_(turn=part.backwards, turn_keys=part.backwards),
        ),
    ),
    Trap(
        "not turned",
        with_(turn=part.not_turned, turn_keys=part.not_turned),
        "queries and keys are turned by their positions. Without that the order of the words is "
        "lost.",
        BLOCK,
        (with_(turn=part.not_turned), with_(turn_keys=part.not_turned)),
    ),
    Trap(
        "values turned",
        with_(turn_values=part.turned),
        "a position belongs into the scores: queries and keys are turned, values are not.",
        BLOCK,
    ),
    Trap(
        "keys kept before they are turned",
        part.keys_not_turned,
        "the keys that are given have been turned, and so must be those that are returned: they "
        "are read as they are in the next step.",
        BLOCK,
    ),
    Trap(
        "the past turned again",
        part.turned_again,
        "the keys that are given have been turned by their positions already. Turned once more "
        "they stand twice as far away.",
        BLOCK,
    ),
    Trap(
        "the past forgotten",
        with_(join=part.new_alone, mask=part.causal),
        "the new tokens read what has been read before them, too.",
        BLOCK,
    ),
    Trap(
        "the past alone",
        with_(join=part.past_alone, mask=part.everything),
        "a token reads itself and the new ones before it, besides the past.",
        BLOCK,
        (with_(mask=part.without_itself),),
    ),
    Trap(
        "new tokens before the past",
        with_(join=part.new_first),
        "the past stands first, and a causal mask counts from the end: the newest query reads all.",
        BLOCK,
    ),
    Trap(
        "no mask between the new",
        with_(mask=part.everything),
        "where several tokens come at once, as in a prompt, none of them may read a later one.",
        BLOCK,
    ),
    Trap(
        "the past masked, too",
        with_(mask=part.past_masked),
        "every new token reads all of the past: only among the new ones is there a later one. "
        "`causal=True` belongs to the second call of `flash_forward` alone.",
        BLOCK,
    ),
    Trap(
        "a mask from the first key",
        with_(mask=part.from_the_first),
        "query i of the new ones stands at P + i: it reads the P keys before, and i + 1 of its "
        "own. `tril` without an offset lets it read i + 1 of all.",
        BLOCK,
    ),
    Trap(
        "tiled groups",
        with_(attend=part.tiled),
        "query head h reads key head h // (H / G): neighbours share a head. `repeat` puts the "
        "heads behind each other, `repeat_interleave` side by side.",
        BLOCK,
    ),
    Trap(
        "no scale",
        with_(attend=part.unscaled),
        "scores are divided by √D.",
        BLOCK,
        (with_(attend=part.scaled_by_the_width),),
    ),
    Trap(
        "two softmaxes averaged",
        with_(attend=part.averaged),
        "attention to the past and to the new tokens has one softmax. What was computed in two "
        "parts is put together by the sums that each has divided by: e^l / (e^l + e^l').",
        BLOCK,
        (with_(attend=part.summed), with_(attend=part.by_length)),
    ),
    Trap(
        "shares exchanged",
        with_(attend=part.exchanged_shares),
        "the part whose scores are higher has divided by the larger sum, and has the larger share: "
        "e^l / (e^l + e^l') is the past's, with l of the past.",
        BLOCK,
    ),
    Trap(
        "heads put together as they lie",
        with_(merge=part.as_they_lie),
        "heads stand before time: `merge_heads` brings the heads of a token side by side first. A "
        "reshape alone mixes tokens.",
        BLOCK,
    ),
    Trap(
        "no norm",
        with_(normed=part.no_norm),
        "attention and feed-forward network each read a normed x; what is added to is x itself.",
        BLOCK,
        (
            with_(feed_normed=part.no_norm),
            with_(normed=part.no_norm, feed_normed=part.no_norm),
            part.norm_after,
        ),
    ),
    Trap(
        "another norm",
        with_(normed=part.layer_normed, feed_normed=part.layer_normed),
        "chapter 8's `rms_norm(x, weight, eps)`: without a mean, with the weight as it is and "
        "with the eps that is given.",
        BLOCK,
        (
            with_(normed=part.one_plus, feed_normed=part.one_plus),
            with_(normed=part.without_weight, feed_normed=part.without_weight),
        ),
    ),
    Trap(
        "an eps of its own",
        with_(epsilon=1e-6),
        "eps is an argument: it belongs to the model, as its weights do.",
        BLOCK,
        (
            with_(epsilon=1e-5),
            with_(feed_normed=part.small_eps),
            with_(normed=part.small_eps),
            with_(feed_normed=part.norms_own_eps),
            with_(normed=part.norms_own_eps),
        ),
    ),
    Trap(
        "a theta of its own",
        with_(thetas=10_000.0),
        "theta is an argument: it belongs to the model, which was trained with it. SmolLM2 has "
        "100,000.",
        BLOCK,
        (with_(thetas=100_000.0), with_(turn_keys=part.keys_theta), with_(turn=part.keys_theta)),
    ),
    Trap(
        "another activation",
        with_(feed=part.gelu),
        "the gate is silu(x w_gate), which multiplies x w_in: chapter 8's `swiglu`.",
        BLOCK,
        (with_(feed=part.sigmoid), with_(feed=part.ungated)),
    ),
    Trap(
        "x is not added",
        with_(add=part.not_added),
        "each part is added to what it has read: h = x + attention, and h + feed-forward.",
        BLOCK,
        (
            with_(feed_add=part.not_added),
            with_(add=part.not_added, feed_add=part.not_added),
        ),
    ),
    Trap(
        "added to the normed",
        with_(add=part.added_to_the_normed),
        "what is added to is x as it came, and not what the norm has made of it.",
        BLOCK,
        (
            with_(feed_add=part.added_to_the_normed),
            with_(add=part.added_to_the_normed, feed_add=part.added_to_the_normed),
        ),
    ),
    Trap(
        "both read the same",
        with_(feed_reads=part.beside),
        "the feed-forward network reads what the attention has added to. Side by side they stand "
        "in GPT-J.",
        BLOCK,
    ),
    Trap(
        "the past returned, too",
        with_(kept=part.with_the_past),
        "the keys and values of the new tokens alone are returned: a cache writes them behind "
        "what it has.",
        BLOCK,
    ),
    Trap(
        "returned in another order",
        with_(kept=part.exchanged),
        "first the answer, then the keys, then the values.",
        BLOCK,
        (with_(kept=part.nothing_kept),),
    ),
    Trap(
        "nothing refused",
        with_(refuses=False),
        "a block has nine weights, and G divides H: raise a ValueError if not.",
        BLOCK,
    ),
)
