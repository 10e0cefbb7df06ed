"""What ``shift_for_next_token`` must satisfy, and the wrong answers that people give."""

from collections.abc import Iterator

import torch
from torch import Generator, Tensor

from tutor import families as reference
from tutor.checks.conditions import Condition, Crossed, Factor, Family, Row
from tutor.checks.draw import Draw, laid
from tutor.checks.exercise import Case, Contract, Exercise, Trap
from tutor.checks.families import shifts
from tutor.checks.families.shared import CHAPTER, NEXT
from tutor.checks.families.shifts import with_

_V = 30

_INTEGERS = Factor(
    "integers",
    (
        Condition("int64", value=torch.int64),
        Condition("int32", "32-bit integers", torch.int32, alone=True),
    ),
)
_LENGTHS = Factor(
    "lengths",
    (
        Condition("ragged"),
        Condition("all full", "no padding", "full", edge=True, alone=True),
        Condition("an empty one", "a text of length 0", "empty", edge=True, alone=True),
        Condition("all short", "all shorter than the tensor", "short", edge=True, alone=True),
        Condition("single", "texts of a single token", "single", edge=True),
    ),
)
_COUNTED = Factor(
    "counted",
    (
        Condition("counted in int64", value=torch.int64),
        Condition("counted in int32", "lengths in 32 bits", torch.int32),
        Condition("counted in bytes", "lengths of one byte", torch.uint8),
    ),
)
_SIZES = Factor(
    "sizes",
    (
        Condition("several", value=(3, 7)),
        Condition("square", "as many texts as tokens", (6, 6)),
        Condition("one text", "one text", (1, 7), edge=True),
        Condition("two tokens", "two tokens", (3, 2), edge=True),
        Condition("one token", "one token", (3, 1), edge=True, alone=True),
    ),
)
_NUMBERS = Factor(
    "numbers",
    (
        Condition("from 1", value=1),
        Condition("from 0", "token 0 among them", 0, edge=True, alone=True),
    ),
)
_LAYOUT = Factor(
    "layout",
    (
        Condition("contiguous"),
        Condition("turned", "not contiguous", "turned", alone=True),
        Condition("views", "views of other tensors", "views"),
    ),
)
FAMILY = Family(
    (_INTEGERS, _LAYOUT, _LENGTHS, _COUNTED, _SIZES, _NUMBERS),
    together=(("an empty one", "counted in bytes"),),
)


def _lengths(draw: Draw, row: Row, number: int, longest: int) -> Tensor:
    lengths = draw.integers(number, low=1, high=longest + 1)
    lengths[0], lengths[-1] = min(3, longest), longest
    match row["lengths"]:
        case "full":
            lengths.fill_(longest)
        case "empty":
            lengths[0] = 0
        case "short":
            lengths.clamp_(max=max(longest - 2, 1))
        case "single":
            lengths.fill_(1)
    return lengths.to(row["counted"])


def _arguments(draw: Draw, row: Row) -> tuple[Tensor, ...]:
    number, longest = row["sizes"]
    tokens = draw.integers(number, longest, low=row["numbers"], high=_V).to(row["integers"])
    if not row["numbers"]:
        tokens[:, 1::2] = 0
    return laid(tokens, row["layout"]), _lengths(draw, row, number, longest)


def _by_hand(draw: Draw) -> Iterator[Case]:
    def of(tokens: list, lengths: list) -> tuple[Tensor, Tensor]:
        return tuple(torch.tensor(n, device=draw.device) for n in (tokens, lengths))

    yield Case("the example of the text", of([[5, 6, 7, 1], [8, 9, 0, 0]], [4, 2]))
    yield Case("padding that looks like text", of([[5, 6, 7, 8], [9, 4, 3, 2]], [2, 3]))
    long = draw.integers(2, 300, low=1, high=_V)
    lengths = torch.tensor([3, 200], dtype=torch.uint8, device=draw.device)
    yield Case("300 tokens, and lengths of one byte", (long, lengths), "edges")
    text = of([[5, 6, 7]], [3])
    yield Case(
        "no token at all must raise ValueError", (text[0][:, :0], text[1]), "edges", ValueError
    )
    for label, args in {
        "more lengths than texts": of([[5, 6, 7]], [3, 3]),
        "fewer lengths than texts": of([[5, 6, 7], [5, 6, 7]], [3]),
    }.items():
        yield Case(f"{label} must raise ValueError", args, "edges", ValueError)


CASES = Crossed(FAMILY, _arguments, _by_hand, usual="three texts")


def _contract(generator: Generator, device: torch.device) -> Contract:
    draw = Draw(generator, device)
    tokens, lengths = draw.integers(8, 64, low=0, high=_V), draw.integers(8, low=1, high=65)
    # A matrix that shifts, or a one-hot, would be as wide as the text.
    return Contract(calls=((tokens, lengths),), max_intermediate=8 * 64 * 8)


SHIFT_FOR_NEXT_TOKEN = Exercise(
    reference=reference.shift_for_next_token,
    chapter=CHAPTER,
    points={"values": 2, "edges": 2, "types": 1, "contracts": 1},
    cases=CASES,
    contract=_contract,
    outputs=("read", "said"),
    traps=(
        Trap(
            "the token itself",
            with_(said=shifts.itself),
            "what is to be said at a place is the token that *follows* it. The token itself can be "
            "copied: the loss falls to 0, and the model has learned nothing.",
            NEXT,
            (
                with_(said=shifts.all_of_it, read=shifts.all_of_it),
                with_(said=shifts.itself, real=shifts.one_more),
                with_(said=shifts.all_of_it, read=shifts.all_of_it, real=shifts.one_more),
            ),
        ),
        Trap(
            "the one before",
            with_(said=shifts.one_before),
            "shifted to the right instead of the left: the model is asked for what it has just "
            "read.",
            NEXT,
            (shifts.backwards,),
        ),
        Trap(
            "shifted twice",
            with_(said=shifts.two_later),
            "tokens[1:] already is what follows. Shifted once more (the model of some libraries "
            "shifts as well) it is the one after the next.",
            NEXT,
            (with_(said=shifts.two_later, real=shifts.one_less),),
        ),
        Trap(
            "round to the beginning",
            with_(read=shifts.all_of_it, said=shifts.rolled),
            "`roll` brings the first token to the end: after the last there is nothing to be said. "
            "Cut the text at both ends instead: tokens[:, :-1] and tokens[:, 1:].",
            NEXT,
            (with_(read=shifts.all_of_it, said=shifts.rolled, real=shifts.everything),),
        ),
        Trap(
            "padding is to be said",
            with_(real=shifts.everything),
            "behind a text's length stands padding, whatever its numbers are. Nobody wants it to "
            "be written: -100.",
            NEXT,
        ),
        Trap(
            "one place of padding",
            with_(real=shifts.one_more),
            "the last token of a text has nothing behind it: of `length` tokens only length - 1 "
            "are followed by one.",
            NEXT,
        ),
        Trap(
            "the end is never said",
            with_(real=shifts.one_less),
            "the last token is to be said as well, at the place before it: without it the model "
            "never learns to stop.",
            NEXT,
        ),
        Trap(
            "one length for all",
            with_(real=shifts.longest),
            "each text has a length of its own.",
            NEXT,
        ),
        Trap(
            "only the padding",
            with_(real=shifts.padding_alone),
            "the other way round: -100 stands where there is padding.",
            NEXT,
        ),
        Trap(
            "0 taken for padding",
            with_(fill=shifts.zeros_ignored),
            "which tokens are padding is told by the lengths alone. 0 may be a word, and padding "
            "may have any number.",
            NEXT,
            (with_(fill=shifts.zeros_ignored_too),),
        ),
        Trap(
            "ignored by another number",
            with_(fill=shifts.as_number(-1)),
            "what `F.cross_entropy` leaves out without being told is -100. -1 raises there, and 0 "
            "is a token.",
            NEXT,
            (with_(fill=shifts.as_number(0)),),
        ),
        Trap(
            "what is read and what is said exchanged",
            with_(returned=shifts.exchanged),
            "first what the model reads, then what it has to say.",
            NEXT,
        ),
        Trap(
            "-100 is read, too",
            with_(returned=shifts.of_both),
            "-100 is no token: an embedding has no such row. What is read stays as it is; the "
            "answers there are left out of the loss.",
            NEXT,
            (shifts.without_padding, shifts.zeros_in_padding),
        ),
        Trap(
            "tokens overwritten",
            shifts.overwritten_behind,
            "`tokens[:, 1:]` is a view, and what is written into it stands in the caller's text, "
            "which has holes of -100 from then on. `masked_fill` without an underscore makes a "
            "new tensor.",
            NEXT,
            (shifts.overwritten,),
            overwrites="tokens",
        ),
        Trap(
            "one token refused",
            shifts.two_tokens_at_least,
            "a text of one token has nothing to be said: both answers are empty, and no error. "
            "Only no token at all is one.",
            NEXT,
        ),
        Trap(
            "an empty text refused",
            shifts.one_token_each,
            "a text of length 0 has nothing to be said: its row is all -100.",
            NEXT,
        ),
        Trap(
            "nothing is refused",
            with_(fitting=shifts.anything),
            "without a token there is no place to read, and lengths of another number belong to "
            "other texts; one length is silently taken for all. Raise a ValueError for both.",
            NEXT,
            (with_(fitting=shifts.tokens_there), with_(fitting=shifts.as_many)),
        ),
        Trap(
            "padding at the beginning",
            with_(real=shifts.at_the_end),
            "the padding stands behind a text, from its length on.",
            NEXT,
        ),
        Trap(
            "a slice that begins below 0",
            shifts.sliced,
            "for a text of length 0, `said[b, length - 1:]` begins at -1, which Python takes for "
            "the last place: the rest of the padding is to be said.",
            NEXT,
        ),
        Trap(
            "counted in the lengths' type",
            shifts.in_their_own_type,
            "lengths may be bytes, and in a byte 0 - 1 is 255, and place 256 is place 0. Compare "
            "them with places of 64 bits, as `torch.arange` makes them, and subtract nothing from "
            "them.",
            NEXT,
            (shifts.places_in_their_type,),
        ),
        Trap(
            "only what is said",
            with_(returned=shifts.said_alone),
            "two tensors are returned: what is read, without the last token, belongs to it.",
            NEXT,
        ),
        Trap(
            "one long row",
            with_(returned=shifts.flat),
            "a row for each text is asked for: a model reads texts, and not what is left of them.",
            NEXT,
        ),
        Trap(
            "the last token is read",
            with_(read=shifts.all_of_it),
            "after the last token there is nothing to be said, so it is not read: both answers "
            "have T - 1 places.",
            NEXT,
        ),
    ),
)
