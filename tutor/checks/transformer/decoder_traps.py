"""What people get wrong in a decoder's layer."""

from tutor.checks.exercise import Trap
from tutor.checks.transformer import decoders, layers, norms
from tutor.checks.transformer.decoders import with_
from tutor.checks.transformer.part_traps import part_traps
from tutor.checks.transformer.residual_traps import residual_traps
from tutor.checks.transformer.shared import DECODER

_SUBLAYERS = ("self-attention", "attention to memory", "feed-forward")

_OWN = (
    Trap(
        "look-ahead",
        with_(masks=decoders.own_forgotten),
        "keep is accepted and never passed on: every token reads the ones that it is to be "
        "followed by. In training the loss falls to nothing, because each answer stands in the "
        "input; when the model writes, there is nothing to copy from.",
        DECODER,
    ),
    Trap(
        "padding of the source is read",
        with_(masks=decoders.memory_forgotten),
        "memory_keep is accepted and never passed on: the decoder reads the padding of memory like "
        "words, and a sentence is translated otherwise beside a longer one.",
        DECODER,
    ),
    Trap(
        "no mask at all",
        with_(masks=decoders.none_at_all),
        "there are two masks: keep for the tokens of x, memory_keep for those of memory.",
        DECODER,
    ),
    Trap(
        "the two masks exchanged",
        with_(masks=decoders.exchanged),
        "keep hides tokens of x, in the first attention; memory_keep hides those of memory, in the "
        "second. Where x and memory are equally long nothing raises.",
        DECODER,
        (decoders.masks_exchanged_where_they_fit,),
    ),
    Trap(
        "one mask for both",
        with_(masks=decoders.own_for_both),
        "each attention has a mask of its own: keep for the tokens of x, memory_keep for those of "
        "memory. The source is there as a whole, and nothing of it is the future.",
        DECODER,
        (with_(masks=decoders.memory_for_both),),
    ),
    Trap(
        "one row of the mask for all",
        with_(masks=decoders.one_row),
        "memory_keep has a row for each token of x, and each may be allowed something else.",
        DECODER,
    ),
    Trap(
        "mask inverted",
        with_(masks=decoders.both_inverted),
        "keep is True where a token may be read. nn.Transformer's boolean masks are the other way "
        "round: True hides.",
        DECODER,
        (with_(masks=decoders.own_inverted), with_(masks=decoders.memory_inverted)),
    ),
    Trap(
        "always causal",
        with_(attend=decoders.attend_causally),
        "what is hidden is the caller's to say, with keep: a causal mask as a rule, and none when "
        "one new token reads all that was before it.",
        DECODER,
        (with_(attend=decoders.attend_causally_by_default),),
    ),
    Trap(
        "a causal mask over the source",
        with_(look=decoders.look_causally),
        "the future that must be hidden is that of the sentence being written. The source is there "
        "as a whole.",
        DECODER,
    ),
    Trap(
        "what came into the layer asks",
        with_(around=layers.first_asks(1)),
        "the second attention asks with what the first has left, and not with what came into the "
        "layer: what to look for hangs on what has been written.",
        DECODER,
    ),
    Trap(
        "the second norm twice",
        with_(which=layers.last_but_one_twice),
        "the feed-forward has a norm of its own: the third.",
        DECODER,
    ),
    Trap(
        "memory never read",
        with_(look=decoders.look_at_itself),
        "the second attention made its keys and values of x: that is self-attention once more, and "
        "the source has no part in the translation. They are made of memory.",
        DECODER,
    ),
    Trap(
        "keys from x",
        with_(look=decoders.keys_from_x),
        "x is searched, and then memory is handed over. A key and its value belong to the same "
        "token: both come from memory.",
        DECODER,
    ),
    Trap(
        "values from x",
        with_(look=decoders.values_from_x),
        "memory is searched, and then x is handed over. A key and its value belong to the same "
        "token: both come from memory.",
        DECODER,
    ),
    Trap(
        "memory asks",
        with_(look=decoders.memory_asks),
        "the roles are swapped: x asks, and there is one answer for each of its tokens. Keys and "
        "values are memory's.",
        DECODER,
        (with_(look=decoders.memory_asks_itself),),
    ),
    Trap(
        "x is read, too",
        with_(look=decoders.look_at_both),
        "the second attention reads memory alone. What x has to tell itself, the first has told.",
        DECODER,
    ),
    Trap(
        "the two attentions exchanged",
        with_(weights=decoders.weights_exchanged),
        "attentions = (that to x itself, that to memory). Exchanged, it raises only where x and "
        "memory have different widths.",
        DECODER,
    ),
    Trap(
        "one set of weights for both attentions",
        with_(weights=decoders.own_weights_for_both),
        "each attention has four matrices of its own: attentions[0] and attentions[1].",
        DECODER,
        (with_(weights=decoders.memorys_weights_for_both),),
    ),
    Trap(
        "memory is normalised",
        with_(remember=decoders.remembered(norms.norm, 1)),
        "no norm of this layer touches memory: the encoder's stack is done with it, and ends in a "
        "norm of its own.",
        DECODER,
        (
            with_(remember=decoders.remembered(norms.norm, 1, always=True)),
            with_(remember=decoders.remembered(norms.norm, 1, as_wide=True)),
        ),
    ),
    Trap(
        "a detached memory",
        with_(remember=decoders.detached),
        "the numbers are right, but the encoder learns by the gradient that comes back through "
        "memory alone. With detach() none does.",
        DECODER,
    ),
    Trap(
        "memory first",
        with_(order=layers.swapped(0, 1)),
        "first x reads itself, then memory: what it asks the source for hangs on what has been "
        "written.",
        DECODER,
        (with_(order=layers.swapped(0, 1, with_norms=False)),),
    ),
    Trap(
        "the feed-forward between",
        with_(order=layers.swapped(1, 2)),
        "the order is self-attention, attention to memory, feed-forward.",
        DECODER,
        tuple(
            with_(order=order)
            for order in (
                layers.swapped(1, 2, with_norms=False),
                layers.swapped(0, 2),
                layers.swapped(0, 2, with_norms=False),
            )
        ),
    ),
    Trap(
        "no self-attention",
        with_(order=layers.without(0)),
        "the first sublayer lets the tokens of x read each other. Without it each would be written "
        "without regard to the others.",
        DECODER,
    ),
    Trap(
        "no attention to memory",
        with_(order=layers.without(1)),
        "the second sublayer reads memory. Without it the decoder writes sentences and translates "
        "nothing.",
        DECODER,
    ),
    Trap(
        "no memory, no norm",
        decoders.passed_over_without_memory,
        "where there is nothing to read, the attention gives 0, and x + 0 goes on through the "
        "second norm as ever. Only what is added is nothing, not the sublayer.",
        DECODER,
    ),
    Trap(
        "no feed-forward",
        with_(order=layers.without(2)),
        "after the two attentions each token goes through the feed-forward, in a residual of its "
        "own.",
        DECODER,
    ),
)

DECODER_TRAPS = (*_OWN, *residual_traps(with_, _SUBLAYERS), *part_traps(with_))
