"""What ``windowed_attention`` must satisfy, and the wrong answers that people give."""

from collections.abc import Iterator

import torch
from torch import Generator, Tensor

import tutor.checks.softmax as softmax
from tutor import long_context as reference
from tutor.checks.conditions import Condition, Crossed, Factor, Row, pair
from tutor.checks.crossings import ATTENTION, attention_inputs
from tutor.checks.draw import Draw
from tutor.checks.exercise import Case, Contract, Exercise, Property, Trap
from tutor.checks.forbidden import LIBRARY_ATTENTION
from tutor.checks.limits import between
from tutor.checks.long_context import windows
from tutor.checks.long_context.shared import BATCH, BLOCKS, CHAPTER, DV, LAYOUT, WINDOW, B, D
from tutor.checks.long_context.windows import band, in_blocks, with_
from tutor.checks.scoring import by_keys, by_width, one, score_traps
from tutor.checks.shares import completed

_LENGTHS = Factor(
    "lengths",
    (
        Condition("six", value=(6, 6)),
        Condition("newest", "four new queries, nine keys", (4, 9), edge=True, alone=True),
        Condition("one query", "one query, many keys", (1, 7), edge=True, alone=True),
        Condition("one token", "a single token", (1, 1), edge=True),
    ),
)
_WINDOWS = Factor(
    "window",
    (
        Condition("of three", value=3),
        Condition("of four", "a window of four", 4, alone=True),
        Condition("itself", "a window of one", 1, edge=True, alone=True),
        Condition("beyond", "a window wider than the text", 40, edge=True, alone=True),
    ),
)
FAMILY = ATTENTION.but(
    _LENGTHS,
    _WINDOWS,
    LAYOUT,
    BATCH,
    without={
        "mask": "the window is the mask",
        "views": "as turned ones",
        "three": "with two dimensions in front nothing is new",
    },
).but(
    apart={
        pair("one token", "of four"): "a single token has nothing to read but itself",
        pair("one token", "extreme"): "of one key there is nothing to choose",
        pair("half", "extreme"): "a query may be left with scores that half precision has not",
    }
)


def _arguments(draw: Draw, row: Row) -> tuple[Tensor | int, ...]:
    q, k, v, _ = attention_inputs(draw, row, D, DV)
    return q, k, v, row["window"]


def _qkv(draw: Draw, *batch: int, tq: int, tk: int, d: int = D, dv: int = DV):
    return draw.normal(*batch, tq, d), draw.normal(*batch, tk, d), draw.normal(*batch, tk, dv)


def _by_hand(draw: Draw) -> Iterator[Case]:
    t, window = draw.integer(8, 12), draw.integer(2, 6)
    yield Case("sizes drawn by lot", (*_qkv(draw, 3, tq=t, tk=t, d=4, dv=5), window))
    tq, window = draw.integer(4, 8), draw.integer(2, 5)
    by_lot = _qkv(draw, 2, tq=tq, tk=tq + draw.integer(4, 9))
    yield Case("rectangular, by lot", (*by_lot, window), "edges")
    yield Case("whole blocks", (*_qkv(draw, B, tq=12, tk=12), 4))
    yield Case("a window as long as the text", (*_qkv(draw, B, tq=7, tk=7), 7), "edges")
    label = "a window of 0 must raise ValueError"
    yield Case(label, (*_qkv(draw, B, tq=5, tk=5), 0), "edges", ValueError)
    label = "more queries than keys must raise ValueError"
    yield Case(label, (*_qkv(draw, B, tq=6, tk=4), 3), "edges", ValueError)


CASES = Crossed(FAMILY, _arguments, _by_hand)


def _out_of_reach(call, generator: Generator, device: torch.device) -> str | None:
    draw = Draw(generator, device)
    q, k, v = _qkv(draw, B, tq=12, tk=12)
    window, edited = 4, 5
    before = call(q, k, v, window)
    k, v = k.clone(), v.clone()
    k[:, edited], v[:, edited] = draw.normal(B, D), draw.normal(B, DV)
    change = (call(q, k, v, window) - before).abs().amax((0, 2))
    readers = range(edited, edited + window)
    wrong = [t for t in range(12) if (change[t] != 0) != (t in readers)]
    if wrong:
        return f"with a window of 4, token 5 is read by tokens 5 to 8; wrong at {wrong}"
    return None


def _contract(generator: Generator, device: torch.device) -> Contract:
    draw, tq, tk, d, window = Draw(generator, device), 48, 64, 2, 8
    return Contract(
        calls=((*_qkv(draw, 1, tq=tq, tk=tk, d=d, dv=d), window),),
        # Blocks read two windows of keys. What is to be saved is all pairs, also those of the
        # newest keys alone.
        max_flops=between(2 * tq * 3 * window * 2 * d, 2 * tq * (tq + window) * 2 * d),
        # All windows of keys at once, each with a copy of its own, against these pairs.
        max_intermediate=between(tq * 2 * window * d, tq * (tq + window)),
        forbidden=LIBRARY_ATTENTION,
    )


_OWN = (
    Trap(
        "one key too many",
        band(lambda w: 0, lambda w: w),
        "the window counts keys, the query's own among them: distances 0 to window - 1.",
        WINDOW,
    ),
    Trap(
        "one key too few",
        band(lambda w: 0, lambda w: w - 2),
        "distances 0 to window - 1 are `window` keys: the oldest of them is lost. A block of W "
        "queries reads up to 2W - 1 keys.",
        WINDOW,
    ),
    Trap(
        "to either side",
        band(lambda w: 1 - w, lambda w: w - 1),
        "the window reaches into the future. A model that writes may look back only.",
        WINDOW,
        (
            band(lambda w: -w, lambda w: w),
            band(lambda w: -(w // 2), lambda w: w // 2),
            band(lambda w: -((w - 1) // 2), lambda w: (w - 1) // 2),
        ),
    ),
    Trap(
        "no end in the future",
        band(lambda w: -(10**6), lambda w: w - 1),
        "only the past has a bound: every key after the query may be read.",
        WINDOW,
    ),
    Trap(
        "no window",
        band(lambda w: 0, lambda w: 10**6),
        "all of the past is read. Keys `window` or more behind the query are hidden, too.",
        WINDOW,
    ),
    Trap(
        "itself hidden",
        band(lambda w: 1, lambda w: w),
        "a token's own key is one of the window's.",
        WINDOW,
        (band(lambda w: 1, lambda w: w - 1),),
    ),
    Trap(
        "aligned to the wrong corner",
        with_(far=windows.from_the_first),
        "fewer queries than keys are the newest: query i stands at i + Tk - Tq. Counted from 0, "
        "new queries read the oldest keys of the text.",
        WINDOW,
    ),
    Trap(
        "every block by itself",
        in_blocks(windows.its_own),
        "a block of queries read its own keys alone, so its first token reads nothing but itself. "
        "The window reaches into the block before: take up to window - 1 keys in front.",
        BLOCKS,
    ),
    Trap(
        "the mask of the window forgotten in a block",
        in_blocks(windows.all_it_needs, masked=False),
        "the keys that a block needs are more than any one of its queries may read: the first sees "
        "the block's future, the last what lies too far back. Each pair in the block still needs "
        "its distance asked for.",
        BLOCKS,
        (in_blocks(windows.with_the_one_before, masked=False),),
    ),
    Trap(
        "numbers that begin in the block",
        in_blocks(windows.all_it_needs, first=windows.by_local_numbers),
        "queries and keys of a block were both counted from 0, though the keys begin up to "
        "window - 1 places before. Distances are between positions in the text; or align the "
        "last query with the last key.",
        BLOCKS,
        (in_blocks(windows.with_the_one_before, first=windows.by_local_numbers),),
    ),
    Trap(
        "the ragged tail dropped",
        in_blocks(windows.all_it_needs, tail=windows.whole_blocks),
        "a text need not be a multiple of the window: what is left over is a block, too, a shorter "
        "one.",
        BLOCKS,
    ),
    Trap(
        "padding that is read",
        windows.padded,
        "zeros were put in front of the keys so that every query has `window` of them. A key of "
        "zeros has the score 0, not -inf, and takes its share of the softmax: hide it.",
        BLOCKS,
    ),
    Trap(
        "the keys cut before all queries have used them",
        with_(given=windows.keys_forgotten),
        "only the latest `window` keys were kept. That is all that the last query needs, but the "
        "first of several new ones reads further back: cut after the last of them has read.",
        BLOCKS,
        (windows.not_if_short,),
    ),
    Trap(
        "a window of nothing",
        with_(refuse=lambda q, k, window: None),
        "a window below 1 leaves nothing to read, and a query before the first key has no place. "
        "Raise a ValueError for both.",
        WINDOW,
    ),
    Trap(
        "no scale",
        with_(scale=one),
        "inside its window it is chapter 3's attention: the scores are divided by √D.",
        BLOCKS,
        (with_(scale=by_width), with_(scale=by_keys)),
    ),
    *score_traps(with_, BLOCKS, BLOCKS),
    Trap(
        "mask inverted",
        with_(**softmax.INVERTED),
        "True means may be read; masked_fill fills where its argument is True: ~keep.",
        WINDOW,
    ),
    Trap(
        "the mask forgotten",
        with_(**softmax.FORGOTTEN),
        "every query reads every key, as if there were no window and no future to hide.",
        WINDOW,
    ),
)

WINDOWED_ATTENTION = Exercise(
    reference=reference.windowed_attention,
    chapter=CHAPTER,
    points={"values": 3, "edges": 2, "gradients": 1, "types": 1, "contracts": 3},
    cases=CASES,
    contract=_contract,
    properties=(Property("out of reach", _out_of_reach),),
    traps=completed(
        _OWN,
        with_,
        {"softmax": BLOCKS, "masks": WINDOW, "reading": BLOCKS},
        without=("always causal", "nan swept under the rug"),  # no row is empty
    ),
)
