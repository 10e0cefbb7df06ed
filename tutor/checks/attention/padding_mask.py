"""What ``padding_mask`` must satisfy, and the wrong answers that people give."""

from collections.abc import Iterator

import torch
from torch import Generator, Tensor

from tutor import attention as reference
from tutor.checks.attention.shared import CHAPTER
from tutor.checks.changes import changeable
from tutor.checks.conditions import Condition, Crossed, Factor, Family, Row, pair
from tutor.checks.crossings import INTEGERS, LAYOUT, NUMBER, SENTENCES, sentences
from tutor.checks.draw import Draw, laid
from tutor.checks.exercise import Case, Contract, Exercise, Trap
from tutor.checks.limits import between

_KEYS = Factor(
    "keys",
    (
        Condition("wider", value=6),
        Condition("full", "the longest fills the batch", 5),
    ),
)

FAMILY = Family(
    (INTEGERS, SENTENCES, NUMBER, LAYOUT, _KEYS),
    apart={
        pair("turned", "of none"): "one number lies nowhere else",
        pair("turned", "of one"): "a row of numbers lies one after the other",
    },
).but(without={"behind": "lengths have no heads", "views": "they are the lengths of a batch"})


def _arguments(draw: Draw, row: Row) -> tuple[Tensor, int]:
    lengths = sentences(draw, row, row["number"], 5).to(row["integers"])
    return laid(lengths, row["layout"]), row["keys"]


def _by_hand(draw: Draw) -> Iterator[Case]:
    drawn = torch.tensor([draw.integer(1, 9) for _ in range(4)], device=draw.device)
    yield Case("lengths drawn by lot", (drawn, 9))
    # Small integers end at 127, and half precision counts to 2,048.
    long = torch.tensor([2049], device=draw.device)
    yield Case("a sentence of 2,049 tokens", (long, 2050), "edges")
    for dtype, keys in ((torch.int8, 131), (torch.uint8, 259)):
        few = torch.tensor([[2, 100]], device=draw.device, dtype=dtype)
        yield Case(f"more keys than {str(dtype)[6:]} counts", (few, keys), "edges")


CASES = Crossed(FAMILY, _arguments, _by_hand, usual="three sentences")


def _contract(generator: Generator, device: torch.device) -> Contract:
    draw = Draw(generator, device)
    lengths = torch.tensor([draw.integer(1, 64) for _ in range(16)], device=device)
    return Contract(
        calls=((lengths, 64),),
        max_intermediate=between(65 * 64, 16 * 64 * 64),  # a row for each query
    )


def _keys(num_keys, lengths):
    return torch.arange(num_keys, device=lengths.device)


def _before(keys, lengths):
    return keys < lengths


def _for_all_queries(keys, lengths, real):
    return real(keys, lengths[..., None, None])


def _as_it_is(mask):
    return mask


def _mask(
    lengths,
    num_keys,
    keys=_keys,
    laid=_for_all_queries,
    real=_before,
    form=_as_it_is,
    turn=_as_it_is,
):
    """The right mask, but for the parts that are given."""
    return form(turn(laid(keys(num_keys, lengths), lengths, real)))


_with = changeable(_mask)


def _inverted(mask):
    return ~mask


def _one_more(keys, lengths):
    return keys <= lengths


def _one_less(keys, lengths):
    return keys < lengths - 1


def _backwards(num_keys, lengths):
    return torch.arange(num_keys - 1, -1, -1, device=lengths.device)


def _up_to_the_longest(num_keys, lengths):
    longest = int(lengths.max()) if lengths.numel() else num_keys
    return torch.arange(longest, device=lengths.device)


def _no_query_dimension(keys, lengths, real):
    return real(keys, lengths[..., None])


def _over_queries(keys, lengths, real):
    return real(keys[:, None], lengths[..., None, None])


def _both_sides(keys, lengths, real):
    found = real(keys, lengths[..., None])
    return found[..., :, None] & found[..., None, :]


def _numbers(mask):
    return mask.float()


def _integers(mask):
    return mask.long()


def _counted_as_lengths(num_keys, lengths):
    return torch.arange(num_keys, device=lengths.device).to(lengths.dtype)


def _counted_in(dtype):
    def wrong(lengths, num_keys):
        positions = torch.arange(num_keys, device=lengths.device).to(dtype)
        return positions < lengths[..., None, None].to(dtype)

    return wrong


def _keys_in(dtype):
    """The positions alone: the lengths stay as long as they are."""

    def keys(num_keys, lengths):
        return torch.arange(num_keys, device=lengths.device).to(dtype)

    return keys


PADDING_MASK = Exercise(
    reference=reference.padding_mask,
    chapter=CHAPTER,
    points={"values": 2, "edges": 1, "types": 1, "contracts": 1},
    cases=CASES,
    contract=_contract,
    traps=(
        Trap(
            "inverted",
            _with(turn=_inverted),
            "True means may be read. Inverted, every sentence reads its padding and nothing else, "
            "and all sentences of one length look alike to the model.",
            "The padding mask",
        ),
        Trap(
            "one position too many",
            _with(real=_one_more),
            "positions count from 0, so a sentence of length 4 owns positions 0 to 3: j < length, "
            "not j <= length.",
            "The padding mask",
        ),
        Trap(
            "one position too few",
            _with(real=_one_less),
            "a length of 4 means four real tokens, at the positions 0 to 3. The last of them may "
            "be read, too: j < length.",
            "The padding mask",
        ),
        Trap(
            "padding on the left",
            _with(keys=_backwards),
            "the batch here is padded at the end. Left padding exists (for generation, where the "
            "newest tokens should line up), but it is another layout.",
            "The padding mask",
        ),
        Trap(
            "no dimension for the queries",
            _with(laid=_no_query_dimension),
            "(B, Tk) meets scores of shape (B, Tq, Tk) from the right: the batch lands on the "
            "queries. It raises if B and Tq differ, and where they happen to be equal it masks the "
            "wrong things in silence. Put a 1 in between: (B, 1, Tk).",
            "The padding mask",
        ),
        Trap(
            "as wide as the longest sentence",
            _with(keys=_up_to_the_longest),
            "num_keys says how many keys there are, and the batch may be padded further than its "
            "longest sentence. The mask has a column for each key.",
            "The padding mask",
        ),
        Trap(
            "laid over the queries",
            _with(laid=_over_queries),
            "the mask stands on its side: it stops padding from asking, and lets every real token "
            "read the padding. Keys run along the last dimension.",
            "The padding mask",
        ),
        Trap(
            "padding may not ask either",
            _with(laid=_both_sides),
            "hiding the padded queries costs T² entries and creates rows that may read nothing. "
            "What a padded query computes is thrown away anyway; it is enough to hide the keys.",
            "The padding mask",
        ),
        Trap(
            "positions in a short dtype",
            _counted_in(torch.bfloat16),
            "bfloat16 counts to 256 and then skips, half precision to 2,048: neighbours become the "
            "same number. Integers of 8 bits end at 127 or 255 and begin again from below: late "
            "positions become early ones. Count in int64, which torch.arange does by itself.",
            "The padding mask",
            (
                *map(_counted_in, (torch.float16, torch.int8, torch.uint8)),
                _with(keys=_counted_as_lengths),
                *(_with(keys=_keys_in(dtype)) for dtype in (torch.int8, torch.uint8)),
            ),
        ),
        Trap(
            "ones and zeros instead of True and False",
            _with(form=_numbers),
            "a float mask is added to the scores by torch's SDPA: padding gets 0 and real tokens "
            "1 more, which hides nothing.",
            "The padding mask",
            (_with(form=_integers),),
        ),
    ),
)
