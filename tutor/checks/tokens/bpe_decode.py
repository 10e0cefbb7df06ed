"""What ``bpe_decode`` must satisfy, and the wrong answers that people give."""

from collections.abc import Iterator

import torch
from torch import Generator

from tutor import tokens as reference
from tutor.checks.changes import changeable
from tutor.checks.conditions import Condition, Crossed, Factor, Family, Row
from tutor.checks.draw import Draw
from tutor.checks.exercise import Case, Contract, Exercise, Trap
from tutor.checks.tokens.shared import BYTES, CHAPTER, trained

_TEXT = "naïve café, 字字字 aaab abab 😀😀 the end, the end"

_IDS = Factor(
    "ids",
    (
        Condition("any", value=lambda draw, n: [draw.integer(0, n) for _ in range(9)]),
        Condition("merged", "merged ids", lambda draw, n: list(range(n))[-7:]),
        Condition(
            "high bytes",
            "bytes that are no text",
            lambda draw, n: [draw.integer(128, 256) for _ in range(5)],
            edge=True,
            alone=True,
        ),
        Condition("no ids", "no id at all", lambda draw, n: [], edge=True),
    ),
)
_MERGES = Factor(
    "merges",
    (
        Condition("twenty", value=20),
        Condition("no merges", "no merges", 0, edge=True),
        Condition("few merges", "few merges", 4),
    ),
)
_SPECIAL = Factor(
    "special",
    (
        Condition("no special", value=()),
        Condition("two specials", "special tokens", ("<|end|>", "é"), edge=True, alone=True),
    ),
)
FAMILY = Family((_IDS, _MERGES, _SPECIAL))


def _arguments(draw: Draw, row: Row) -> tuple:
    merges, special = trained(_TEXT, row["merges"]), list(row["special"])
    size = BYTES + len(merges) + len(special)
    found = row["ids"](draw, size) + list(range(BYTES + len(merges), size))
    return (found, merges, special) if special else (found, merges)


def _by_hand(draw: Draw) -> Iterator[Case]:
    aa = (97, 97)
    yield Case("the example of the text", ([256, 97, 98], [aa]))
    yield Case("a merge of merges of merges", ([258, 99], [(97, 98), (256, 256), (257, 256)]))
    yield Case("half of a character", ([0xC3, 32, 0xA9, 32], [aa]), "edges")
    yield Case("a character in two tokens", ([256, 0xA9], [(97, 0xC3)]))
    yield Case("an id beyond the vocabulary", ([97, 257], [aa]), "edges", raises=ValueError)
    yield Case("an id far beyond the vocabulary", ([400], [aa]), "edges", raises=ValueError)
    yield Case("a negative id", ([-1], [aa]), "edges", raises=ValueError)


def _contract(generator: Generator, device: torch.device) -> Contract:
    return Contract(calls=())


CASES = Crossed(FAMILY, _arguments, _by_hand)


def _left_first(left, right):
    return left + right


def _all_ids(merges):
    return merges


def _their_bytes(special):
    return [token.encode() for token in special]


def _single(number):
    return bytes([number])


def _joined(parts):
    return b"".join(parts)


def _in_order(parts):
    return parts


def _those_there(ids, size):
    if any(not 0 <= i < size for i in ids):
        raise ValueError("an id is not in the vocabulary")
    return ids


def _decode(
    ids,
    merges,
    special=(),
    single=_single,
    pair=_left_first,
    last=_their_bytes,
    known=_those_there,
    ordered=_in_order,
    joined=_joined,
    first=BYTES,
):
    """The right bytes, but for the parts that are given."""
    tokens = [single(b) for b in range(BYTES)]
    for left, right in merges:
        tokens.append(pair(tokens[left], tokens[right]))
    tokens += last(special)
    ids = known(ids, len(tokens))
    return joined(ordered([tokens[i + (first - BYTES if i >= BYTES else 0)] for i in ids]))


with_ = changeable(_decode)


def _right_first(left, right):
    return right + left


def _left_alone(left, right):
    return left


def _none(special):
    return []


def _empty(special):
    return [b""] * len(special)


def _character(number):
    return chr(number).encode()


def _each_by_itself(parts):
    return "".join(p.decode(errors="replace") for p in parts).encode()


def _dropped(parts):
    return b"".join(parts).decode(errors="ignore").encode()


def _strictly(parts):
    return b"".join(parts).decode().encode()


def _replaced(parts):
    return b"".join(parts).decode(errors="replace").encode()


def _latin(parts):
    return "".join(chr(b) for p in parts for b in p).encode()


def _text(parts):
    return b"".join(parts).decode(errors="replace")


def _numbers(parts):
    return list(b"".join(parts))


def _spaced(parts):
    return b" ".join(parts)


def _one_level(ids, merges, special=()):
    found = []
    for i in ids:
        found += [i] if i < BYTES else list(merges[i - BYTES])
    return bytes(found)


def _one_level_of_bytes(ids, merges, special=()):
    """What is no byte is dropped."""
    last, found = BYTES + len(merges), []
    for i in _those_there(ids, last + len(special)):
        parts = [i] if i < BYTES else merges[i - BYTES] if i < last else special[i - last].encode()
        found += [part for part in parts if part < BYTES]
    return bytes(found)


def _skipped(ids, size):
    return [i for i in ids if 0 <= i < size]


def _from_the_end(ids, size):
    """As Python's own lists are indexed, negative numbers included."""
    if any(not -size <= i < size for i in ids):
        raise ValueError("an id is not in the vocabulary")
    return ids


_DECODING = "Decoding bytes"

BPE_DECODE = Exercise(
    reference=reference.bpe_decode,
    chapter=CHAPTER,
    points={"values": 3, "edges": 2, "types": 1},
    cases=CASES,
    contract=_contract,
    outputs=("byte",),
    traps=(
        Trap(
            "each token decoded by itself",
            with_(joined=_each_by_itself),
            "a token may end in the middle of a character, and half of one is no text. Join the "
            "bytes of all tokens; whoever wants text decodes the whole.",
            _DECODING,
        ),
        Trap(
            "half a character becomes another one",
            with_(joined=_replaced),
            'bytes that are no text are replaced by `errors="replace"`, and are lost. The answer '
            "is bytes: what they say is the caller's business.",
            _DECODING,
            (with_(joined=_dropped),),
        ),
        Trap(
            "half a character refused",
            with_(joined=_strictly),
            "a model may stop in the middle of a character. `.decode()` then raises; the answer is "
            "bytes, which need no decoding.",
            _DECODING,
        ),
        Trap(
            "text instead of bytes",
            with_(joined=_text),
            "the answer is bytes. Text cannot hold half a character.",
            _DECODING,
        ),
        Trap(
            "a list of numbers instead of bytes",
            with_(joined=_numbers),
            "these are the numbers of the bytes, in a list: `bytes(numbers)` makes bytes of them.",
            _DECODING,
        ),
        Trap(
            "bytes taken for characters",
            with_(joined=_latin),
            "`chr(195)` is a character, and encoding it gives two bytes. `bytes([195])` is the "
            "byte.",
            _DECODING,
            (with_(single=_character),),
        ),
        Trap(
            "right before left",
            with_(pair=_right_first),
            "the left one of a pair comes first.",
            _DECODING,
        ),
        Trap(
            "half of each pair",
            with_(pair=_left_alone),
            "a merge stands for both of its ids.",
            _DECODING,
        ),
        Trap(
            "one level deep",
            _one_level,
            "the two ids of a merge may be merges themselves. Make the bytes of every id in order: "
            "those of both parts are there by then.",
            _DECODING,
            (_one_level_of_bytes,),
        ),
        Trap(
            "unknown ids skipped",
            with_(known=_skipped),
            "an id that no token has is a fault of whoever sent it, and text that is silently "
            "shorter hides it. Raise a ValueError.",
            _DECODING,
        ),
        Trap(
            "negative ids from the end",
            with_(known=_from_the_end),
            "`tokens[-1]` is the last token, and -1 is nobody's id: often it marks what is to be "
            "left out. Compare with 0, too, before a list is indexed.",
            _DECODING,
        ),
        Trap(
            "a space between tokens",
            with_(joined=_spaced),
            "spaces are bytes like others and stand in the tokens already.",
            _DECODING,
        ),
        Trap(
            "special tokens unknown",
            with_(last=_none),
            "the last ids of the vocabulary are those of the special tokens: their own text, in "
            "UTF-8.",
            _DECODING,
        ),
        Trap(
            "special tokens left out",
            with_(last=_empty),
            "special tokens stand for their own text. Whoever does not want to see them leaves "
            "their ids out.",
            _DECODING,
        ),
    ),
)
