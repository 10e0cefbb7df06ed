"""The wrong streams that people write."""

from tutor.checks.assembly import streams as part
from tutor.checks.assembly.shared import PIECES
from tutor.checks.assembly.streams import with_
from tutor.checks.exercise import Trap

TRAPS = (
    Trap(
        "each token by itself",
        with_(decoder=part.Alone),
        "a token is bytes, and two tokens may share a character. Decoded by itself each half "
        "becomes a replacement character: let it wait for the other.",
        PIECES,
        (with_(decoder=part.Ignoring), with_(decoder=part.Latin)),
    ),
    Trap(
        "halves told and mended too late",
        with_(decoder=part.WholeWithHalves),
        "what is told cannot be taken back: a replacement character in the place of half a "
        "character stays, and the rest of it is lost.",
        PIECES,
        (with_(decoder=part.FourBytes),),
    ),
    Trap(
        "held back for ever",
        with_(decoder=part.OnlyWhole),
        "a byte that can be no character, such as FF, never becomes one. Whoever waits for all "
        "bytes to be valid tells nothing any more: replace it as soon as that is certain.",
        PIECES,
        (with_(decoder=part.WholeSoFar), with_(decoder=part.OnlyWholeDropped)),
    ),
    Trap(
        "the tail lost",
        with_(tail=False),
        "when the text is over nothing follows: what still waits is the last piece.",
        PIECES,
        (with_(tail_at_stop=False),),
    ),
    Trap(
        "bytes left out",
        with_(decoder=part.WaitingIgnoring),
        "what can be no character becomes U+FFFD, one for each run that Python counts as one. Left "
        "out, the pieces are another text.",
        PIECES,
    ),
    Trap(
        "all at the end",
        with_(decoder=part.AtTheEnd),
        "a piece is told as soon as it is certain: that is what a stream is for.",
        PIECES,
        (with_(decoder=part.ByWords),),
    ),
    Trap(
        "the whole text each time",
        with_(decoder=part.SoFar),
        "a piece is what is new; the sum of the pieces is the text.",
        PIECES,
    ),
    Trap(
        "spaces cut off",
        with_(decoder=part.Stripped),
        "the space before a word belongs to its token. Cut off, the words run together.",
        PIECES,
    ),
    Trap(
        "empty pieces",
        with_(told=part.any_piece),
        "a token that completes nothing tells nothing: no piece is empty.",
        PIECES,
    ),
    Trap(
        "other pieces",
        with_(out=part.one_by_one),
        "a piece is all that a token makes certain, several characters if there are several; and "
        "the pieces are returned as a list.",
        PIECES,
        (with_(out=part.joined),),
    ),
    Trap(
        "one of the ends",
        with_(ends=part.first_of_them),
        "there is an end of the turn and an end of the text. The model may write either, and each "
        "of them stops it: all ids of `stop`.",
        PIECES,
        (with_(ends=part.last_of_them),),
    ),
    Trap(
        "no end",
        with_(ends=part.never_ends),
        "behind the end of its turn the model goes on as somebody else: stop there.",
        PIECES,
    ),
    Trap(
        "the end in the text",
        with_(with_stop=True),
        "the token that ends a text is not part of it.",
        PIECES,
    ),
    Trap(
        "everything again for each token",
        with_(fed=part.everything),
        "the model remembers. It is given the prompt once, and then each new token.",
        PIECES,
    ),
    Trap(
        "the prompt twice",
        with_(fed=part.prompt_always),
        "the prompt is read once, and its scores tell the first token. Read again, it stands twice "
        "in the cache.",
        PIECES,
        (with_(fed=part.prompt_again), with_(fed=part.prompt_alone)),
    ),
    Trap(
        "the end of the prompt alone",
        with_(fed=part.last_of_the_prompt),
        "the first token is drawn from the scores of the call that is given the whole prompt. With "
        "its last token alone nothing else has been read; with its last token once more, after the "
        "rest, that one has been read twice.",
        PIECES,
    ),
    Trap(
        "one token fewer",
        with_(number=part.one_less),
        "there may be as many tokens as there are chances.",
        PIECES,
    ),
    Trap(
        "another chance",
        with_(chance=part.the_first),
        "token s is drawn with chances[s].",
        PIECES,
        (with_(chance=part.one_late),),
    ),
    Trap(
        "cuts not passed on",
        with_(cuts=part.greedy),
        "temperature, top_k and top_p go to `sample` as they are.",
        PIECES,
        (with_(cuts=part.temperature_alone), with_(cuts=part.no_temperature)),
    ),
    Trap(
        "nothing refused",
        with_(refuses=False),
        "an empty prompt has nothing to be followed: raise a ValueError.",
        PIECES,
    ),
)
