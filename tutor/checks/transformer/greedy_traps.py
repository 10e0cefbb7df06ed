"""A greedy decoder in parts: the right one, and the wrong ones that people write."""

import torch

from tutor.checks.changes import changeable
from tutor.checks.exercise import Trap

SECTION = "Greedy decoding"


def _all_of_it(written):
    return written


def _numbered(start):
    return torch.arange(len(start), device=start.device)


def _likeliest(logits):
    return logits.argmax(-1)


def _none_yet(start, end):
    return torch.zeros_like(start, dtype=torch.bool)


def _with_the_end(following, done, end, start):
    return following.masked_fill(done, end)


def _once_for_all(done, following, end):
    return done | (following == end)


def _every(done):
    return done.all()


def _as_asked(longest):
    return longest


def _without_start(written, end):
    return written[:, 1:]


def _greedy(
    next_logits,
    start,
    end,
    longest,
    asked=_all_of_it,
    rows=_numbered,
    choose=_likeliest,
    begins=_none_yet,
    filled=_with_the_end,
    ended=_once_for_all,
    stops=_every,
    number=_as_asked,
    mark=None,
    returned=_without_start,
):
    """The right symbols, but for the parts that are given."""
    if longest < 0:
        raise ValueError("longest must not be negative")
    written, numbers = start[:, None], rows(start)
    end = end if mark is None else mark
    done = begins(start, end)
    for _ in range(number(longest)):
        if not len(start):
            break
        following = choose(next_logits(asked(written), numbers))
        following = filled(following, done, end, start)
        written = torch.cat((written, following[:, None]), 1)
        done = ended(done, following, end)
        if stops(done):
            break
    return returned(written, end)


with_ = changeable(_greedy)


def _start_alone(written):
    return written[:, :1]


def _last_alone(written):
    return written[:, -1:]


def _last_two(written):
    return written[:, -2:]


def _without_the_start(written):
    return written[:, 1:] if written.shape[1] > 1 else written


def _backwards(written):
    return written.flip(1)


def _first_row(start):
    return torch.zeros_like(start)


def _reversed_rows(start):
    return torch.arange(len(start) - 1, -1, -1, device=start.device)


def _over_rows(logits):
    return logits.argmax(0)


def _over_everything(logits):
    return (logits.argmax() % logits.shape[-1]).expand(len(logits))


def _least(logits):
    return logits.argmin(-1)


def _second(logits):
    return logits.topk(2).indices[:, 1]


def _last_of_equal(logits):
    return logits.shape[-1] - 1 - logits.flip(-1).argmax(-1)


def _largest(logits):
    return logits.abs().argmax(-1)


def _if_it_starts_with_it(start, end):
    return start == end


def _as_it_comes(following, done, end, start):
    return following


def _with_zero(following, done, end, start):
    return following.masked_fill(done, 0)


def _with_minus_one(following, done, end, start):
    return following.masked_fill(done, -1)


def _with_the_start(following, done, end, start):
    return torch.where(done, start, following)


def _just_now(done, following, end):
    return following == end


def _any(done):
    return done.any()


def _never(done):
    return False


def _first(done):
    return done[0]


def _one_less(longest):
    return max(longest - 1, 0)


def _one_more(longest):
    return longest + 1


def _with_start(written, end):
    return written


def _without_end(written, end):
    return written[:, 1:-1] if bool((written[:, -1] == end).all()) else written[:, 1:]


def _last_symbol(written, end):
    return written[:, -1]


def _numbered_anew(next_logits, start, end, longest):
    """The unfinished rows alone are asked for, by new numbers."""
    if longest < 0:
        raise ValueError("longest must not be negative")
    written, done = start[:, None], torch.zeros_like(start, dtype=torch.bool)
    for _ in range(longest):
        following = torch.full_like(start, end)
        left = written[~done]
        numbers = torch.arange(len(left), device=start.device)
        following[~done] = next_logits(left, numbers).argmax(-1)
        written = torch.cat((written, following[:, None]), 1)
        done = done | (following == end)
        if done.all():
            break
    return written[:, 1:]


TRAPS = (
    Trap(
        "what was written is not fed back",
        with_(asked=_start_alone),
        "each symbol is chosen after all that is written so far, the decoder's own symbols "
        "included. A model that sees the start alone says the same at every step.",
        SECTION,
    ),
    Trap(
        "the latest symbol alone",
        with_(asked=_last_alone),
        "the model reads the whole beginning each time. It remembers nothing between two calls.",
        SECTION,
        (with_(asked=_last_two),),
    ),
    Trap(
        "the start left out",
        with_(asked=_without_the_start),
        "`written` begins with the start symbol in every call, as in training. Only the answer is "
        "without it.",
        SECTION,
    ),
    Trap(
        "the beginning backwards",
        with_(asked=_backwards),
        "what is written grows at its end: the latest symbol is the last one.",
        SECTION,
    ),
    Trap(
        "every row asks for the first",
        with_(rows=_first_row),
        "`rows` says which sentence of the batch each beginning translates: 0, 1, 2, ...",
        SECTION,
        (with_(rows=_reversed_rows),),
    ),
    Trap(
        "rows numbered anew",
        _numbered_anew,
        "when some rows have ended, the others keep their numbers: the third sentence is row 2, "
        "however many are asked for. Give `rows[~done]`.",
        SECTION,
    ),
    Trap(
        "the best row instead of the best symbol",
        with_(choose=_over_rows),
        "symbols run along the last dimension: `argmax(dim=-1)`. Along dim=0 the sentences of the "
        "batch compete.",
        SECTION,
        (with_(choose=_over_everything),),
    ),
    Trap(
        "the least likely symbol",
        with_(choose=_least),
        "a high score is a likely symbol: `argmax`.",
        SECTION,
        (with_(choose=_second),),
    ),
    Trap(
        "the largest without its sign",
        with_(choose=_largest),
        "scores may be negative, and a very negative one is a very unlikely symbol.",
        SECTION,
    ),
    Trap(
        "the last of equally likely symbols",
        with_(choose=_last_of_equal),
        "of equally likely symbols the first one counts, as `argmax` takes it.",
        SECTION,
    ),
    Trap(
        "it goes on after the end",
        with_(filled=_as_it_comes),
        "a row that has said `end` is finished. While others still write, it is filled with "
        "`end`, and what the model would say there is dropped.",
        SECTION,
        (with_(filled=_as_it_comes, stops=_never),),
    ),
    Trap(
        "the end is forgotten",
        with_(ended=_just_now, filled=_as_it_comes),
        "whether a row has ended must be remembered: `done | (following == end)`. It is not enough "
        "to look whether all rows say `end` in the same step.",
        SECTION,
    ),
    Trap(
        "filled with something else",
        with_(filled=_with_zero),
        "after its end a row is filled with `end`, whatever number that is.",
        SECTION,
        (with_(filled=_with_minus_one), with_(filled=_with_the_start)),
    ),
    Trap(
        "one end ends all",
        with_(stops=_any),
        "the others have not finished when one row says `end`. Stop when *all* have: `done.all()`.",
        SECTION,
        (with_(stops=_first),),
    ),
    Trap(
        "it never stops",
        with_(stops=_never),
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
        with_(begins=_if_it_starts_with_it),
        "many models begin a sentence with the very symbol that ends one. Look for `end` in what "
        "was written, and not in the start.",
        SECTION,
    ),
    Trap(
        "one symbol too few",
        with_(number=_one_less),
        "`longest` counts the symbols that are written. The start is none of them.",
        SECTION,
        (with_(number=_one_more),),
    ),
    Trap(
        "the start returned",
        with_(returned=_with_start),
        "the answer holds what was written: without the start.",
        SECTION,
    ),
    Trap(
        "the end not written",
        with_(returned=_without_end),
        "`end` belongs to the sentence: it is the last symbol that is written.",
        SECTION,
    ),
    Trap(
        "the last symbols alone",
        with_(returned=_last_symbol),
        "the answer holds all symbols of every row: (B, T).",
        SECTION,
    ),
)
