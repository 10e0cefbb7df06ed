"""What goes wrong in a greedy decoder, and the misconceptions behind it."""

from tutor.checks.exercise import Trap
from tutor.checks.transformer import greedy as part
from tutor.checks.transformer.greedy import with_

SECTION = "Greedy decoding"

TRAPS = (
    Trap(
        "what was written is not fed back",
        with_(asked=part.start_alone),
        "each symbol is chosen after all that is written so far, the decoder's own symbols "
        "included. A model that sees the start alone says the same at every step.",
        SECTION,
    ),
    Trap(
        "the latest symbol alone",
        with_(asked=part.last_alone),
        "the model reads the whole beginning each time. It remembers nothing between two calls.",
        SECTION,
        (with_(asked=part.last_two),),
    ),
    Trap(
        "the start left out",
        with_(asked=part.without_the_start),
        "`written` begins with the start symbol in every call, as in training. Only the answer is "
        "without it.",
        SECTION,
    ),
    Trap(
        "the beginning backwards",
        with_(asked=part.backwards),
        "what is written grows at its end: the latest symbol is the last one.",
        SECTION,
    ),
    Trap(
        "every row asks for the first",
        with_(rows=part.first_row),
        "`rows` says which sentence of the batch each beginning translates: 0, 1, 2, ...",
        SECTION,
        (with_(rows=part.reversed_rows),),
    ),
    Trap(
        "rows numbered anew",
        part.numbered_anew,
        "when some rows have ended, the others keep their numbers: the third sentence is row 2, "
        "however many are asked for. Give `rows[~done]`.",
        SECTION,
    ),
    Trap(
        "the best row instead of the best symbol",
        with_(choose=part.over_rows),
        "symbols run along the last dimension: `argmax(dim=-1)`. Along dim=0 the sentences of the "
        "batch compete.",
        SECTION,
        (with_(choose=part.over_everything),),
    ),
    Trap(
        "the least likely symbol",
        with_(choose=part.least),
        "a high score is a likely symbol: `argmax`.",
        SECTION,
        (with_(choose=part.second),),
    ),
    Trap(
        "the largest without its sign",
        with_(choose=part.largest),
        "scores may be negative, and a very negative one is a very unlikely symbol.",
        SECTION,
    ),
    Trap(
        "the last of equally likely symbols",
        with_(choose=part.last_of_equal),
        "of equally likely symbols the first one counts, as `argmax` takes it.",
        SECTION,
    ),
    Trap(
        "it goes on after the end",
        with_(filled=part.as_it_comes),
        "a row that has said `end` is finished. While others still write, it is filled with "
        "`end`, and what the model would say there is dropped.",
        SECTION,
        (with_(filled=part.as_it_comes, stops=part.never),),
    ),
    Trap(
        "the end is forgotten",
        with_(ended=part.just_now, filled=part.as_it_comes),
        "whether a row has ended must be remembered: `done | (following == end)`. It is not enough "
        "to look whether all rows say `end` in the same step.",
        SECTION,
    ),
    Trap(
        "filled with something else",
        with_(filled=part.with_zero),
        "after its end a row is filled with `end`, whatever number that is.",
        SECTION,
        (with_(filled=part.with_minus_one), with_(filled=part.with_the_start)),
    ),
    Trap(
        "one end ends all",
        with_(stops=part.any),
        "the others have not finished when one row says `end`. Stop when *all* have: `done.all()`.",
        SECTION,
        (with_(stops=part.first),),
    ),
    Trap(
        "it never stops",
        with_(stops=part.never),
        "when every row has said `end`, nothing is left to be written: stop, and do not fill up to "
        "`longest`.",
        SECTION,
    ),
    Trap(
        "another end",
        with_(mark=0),
        "which symbol is the end, the argument `end` says.",
        SECTION,
        (with_(mark=1), with_(mark=2)),
    ),
    Trap(
        "the start taken for an end",
        with_(begins=part.if_it_starts_with_it),
        "many models begin a sentence with the very symbol that ends one. Look for `end` in what "
        "was written, and not in the start.",
        SECTION,
    ),
    Trap(
        "one symbol too few",
        with_(number=part.one_less),
        "`longest` counts the symbols that are written. The start is none of them.",
        SECTION,
    ),
    Trap(
        "one symbol too many",
        with_(number=part.one_more),
        "no row is longer than `longest`: so many calls of the model, and no more.",
        SECTION,
    ),
    Trap(
        "the start returned",
        with_(returned=part.with_start),
        "the answer holds what was written: without the start.",
        SECTION,
    ),
    Trap(
        "the end not written",
        with_(returned=part.without_end),
        "`end` belongs to the sentence: it is the last symbol that is written.",
        SECTION,
    ),
    Trap(
        "the last symbols alone",
        with_(returned=part.last_symbol),
        "the answer holds all symbols of every row: (B, T).",
        SECTION,
    ),
)
