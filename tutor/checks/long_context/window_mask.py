"""What ``window_mask`` must satisfy, and the wrong answers that people give."""

from collections.abc import Iterator

import torch
from torch import Generator

from tutor import long_context as reference
from tutor.checks.changes import changeable
from tutor.checks.conditions import Condition, Crossed, Factor, Family, pair
from tutor.checks.crossings import DEVICE, where
from tutor.checks.draw import Draw
from tutor.checks.exercise import Case, Contract, Exercise, Trap
from tutor.checks.limits import between
from tutor.checks.long_context import patterns
from tutor.checks.long_context.shared import CHAPTER, SIZES, WINDOW

_WINDOWS = Factor(
    "window",
    (
        Condition("three", value=3),
        Condition("four keys", "a window of four", 4, alone=True),
        Condition("itself", "a window of one", 1, edge=True, alone=True),
        Condition("beyond", "a window wider than the text", 3000, edge=True, alone=True),
        Condition("wide", "a window of 300", 300),
    ),
)
FAMILY = Family(
    (SIZES, _WINDOWS, DEVICE),
    apart={
        pair("one token", "wide"): "a single token has nothing to read but itself",
        pair("one token", "four keys"): "a single token has nothing to read but itself",
    },
)


def _by_hand(draw: Draw) -> Iterator[Case]:
    yield Case("the example of the text", (3, 4, 2, draw.device))
    n, window = draw.integer(8, 14), draw.integer(2, 7)
    yield Case("square, of a size drawn by lot", (n, n, window, draw.device))
    tq, window = draw.integer(2, 6), draw.integer(2, 6)
    by_lot = (tq, tq + draw.integer(3, 8), window, draw.device)
    yield Case("rectangular, by lot", by_lot, "edges")
    yield Case("a window as long as the text", (7, 7, 7, draw.device), "edges")
    for window in (0, -2):
        label = f"a window of {window} must raise ValueError"
        yield Case(label, (3, 3, window, draw.device), "edges", ValueError)


CASES = Crossed(
    FAMILY,
    lambda draw, row: (*row["sizes"], row["window"], *where(draw, row)),
    _by_hand,
    usual="nine tokens, a window of three",
)


def _contract(generator: Generator, device: torch.device) -> Contract:
    return Contract(calls=((24, 32, 5, device),), max_intermediate=between(56**2, 1024**2))


def _inside(distance, keys, window):
    return (distance >= 0) & (distance < window)


def _window(num_queries, num_keys, window, device=None, inside=_inside, **parts):
    return patterns.mask(num_queries, num_keys, window, device, inside, **parts)


_with = changeable(_window)


def _band(low, high):
    """Distances from ``low(window)`` to ``high(window)``, both included."""
    return _with(inside=lambda d, keys, w: (d >= low(w)) & (d <= high(w)))


def _in_blocks(distance, keys, window):
    return (distance >= 0) & ((distance + keys) // window == keys // window)


def _and_the_block_before(distance, keys, window):
    return (distance >= 0) & ((distance + keys) // window - keys // window <= 1)


_FAR = 10**6

WINDOW_MASK = Exercise(
    reference=reference.window_mask,
    chapter=CHAPTER,
    points={"values": 2, "edges": 1, "types": 1, "contracts": 1},
    cases=CASES,
    contract=_contract,
    traps=(
        Trap(
            "one key too many",
            _band(lambda w: 0, lambda w: w),
            "the window counts keys, and the query's own is one of them: distances 0 to window - 1."
            " Codebases differ in this (some count the keys before the query), and a model that "
            "was trained with the one and runs with the other sees a key that it never knew.",
            WINDOW,
        ),
        Trap(
            "one key too few",
            _band(lambda w: 0, lambda w: w - 2),
            "distances 0 to window - 1 are `window` keys. With both bounds strict, or one taken "
            "off twice, the oldest of them is lost, and a window of 1 reads nothing.",
            WINDOW,
        ),
        Trap(
            "to either side",
            _band(lambda w: 1 - w, lambda w: w - 1),
            "the window reaches into the future. Longformer, which reads in both directions, has "
            "half a window to either side; a model that writes may look back only: distance ≥ 0.",
            WINDOW,
            (
                _band(lambda w: -w, lambda w: w),
                _band(lambda w: -(w // 2), lambda w: w // 2),
                _band(lambda w: -((w - 1) // 2), lambda w: (w - 1) // 2),
            ),
        ),
        Trap(
            "no end in the future",
            _band(lambda w: -_FAR, lambda w: w - 1),
            "only the past has a bound here: every key after the query may be read. A window of a "
            "model that writes has two: not before p - window + 1 and not after p.",
            WINDOW,
            (_band(lambda w: -_FAR, lambda w: w),),
        ),
        Trap(
            "no window",
            _band(lambda w: 0, lambda w: _FAR),
            "this is the causal mask: the future is hidden, and the far past is not. Keys that lie "
            "`window` or more behind the query are hidden too.",
            WINDOW,
        ),
        Trap(
            "the far past instead of the near",
            _band(lambda w: w, lambda w: _FAR),
            "hidden and readable are exchanged in the past: what lies within the window is read, "
            "and what lies behind it is not.",
            WINDOW,
            (_band(lambda w: w + 1, lambda w: _FAR),),
        ),
        Trap(
            "itself hidden",
            _band(lambda w: 1, lambda w: w),
            "a token may read itself, and that key is one of the window's: with a window of 1 it "
            "is the only one.",
            WINDOW,
            (_band(lambda w: 1, lambda w: w - 1),),
        ),
        Trap(
            "the future instead of the past",
            _band(lambda w: 1 - w, lambda w: 0),
            "the distance was taken the wrong way round: the query's position minus the key's is "
            "how far back the key lies.",
            WINDOW,
            (_band(lambda w: -w, lambda w: 0),),
        ),
        Trap(
            "blocks instead of a window",
            _with(inside=_in_blocks),
            "the text was cut into blocks, and a token reads its own. The first of a block then "
            "reads itself alone. A window moves along with the query.",
            WINDOW,
            (_with(inside=_and_the_block_before),),
        ),
        Trap(
            "the first keys instead of the latest",
            _with(inside=lambda d, keys, w: (d >= 0) & (keys < w)),
            "the first `window` keys of the text may be read, whoever asks. A window is measured "
            "from the query: by the distance, not by the key's number.",
            WINDOW,
        ),
        Trap(
            "a window of nothing",
            _with(refuse=patterns.unasked),
            "a window below 1 leaves no key at all, not even the query's own, and every answer is "
            "zero. Nobody means that: raise a ValueError.",
            WINDOW,
        ),
        *patterns.form_traps(_with, WINDOW),
    ),
)
