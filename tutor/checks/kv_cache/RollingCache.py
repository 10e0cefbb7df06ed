"""What ``RollingCache`` must satisfy."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Generator

from tutor import kv_cache as reference
from tutor.checks.conditions import Condition, Factor, Family, Row
from tutor.checks.crossings import DTYPE
from tutor.checks.draw import DOUBLE, SINGLE
from tutor.checks.exercise import Call, Case, Contract, Exercise, Property
from tutor.checks.kv_cache.KVCache import Pieces, callers_memory
from tutor.checks.kv_cache.rolling_traps import TRAPS
from tutor.checks.kv_cache.shared import (
    BEFORE,
    CACHES,
    CHAPTER,
    SINGLE_LAYOUTS,
    B,
    D,
    G,
    Sequences,
)
from tutor.checks.limits import between
from tutor.checks.properties import in_place
from tutor.checks.transformer.shared import quiet

STATE = ("keys", "values", "positions", "length")
W = 5
SIZES = B, G, W, D


class _Pieces(Pieces):
    def case(self, label: str, calls: list[Call], group="values", sizes=SIZES, **more: Any) -> Case:
        return super().case(label, calls, group, sizes, **more)


_PIECES = Factor(
    "pieces",
    (
        Condition("over the end", value=(4, 3, 4)),
        Condition("not full", "not yet full", (2, 1, 1), alone=True),
        Condition("by token", "a prompt and two tokens", (W - 1, 1, 1), alone=True),
        Condition("longer", "a prompt longer than the window", (W + 3, 1), edge=True, alone=True),
    ),
)
FAMILY = Family((quiet(DTYPE, "half"), SINGLE_LAYOUTS, _PIECES, CACHES, BEFORE))
USUAL = "chunks that go over the end"


def _of_a_row(draw: Pieces, row: Row) -> Case:
    return draw.of(row, USUAL, W)


def _by_hand(draw: Pieces) -> Iterator[Case]:
    yield draw.case("a prompt and tokens, twice round", draw.updates(3, *(1,) * 8))
    yield draw.case("chunks as long as the window", draw.updates(W, W, 1), "edges")
    yield draw.case("the dtype left out", draw.updates(4, 1, 1, dtype=SINGLE), dtype=None)
    yield draw.case("a prompt three times the window", draw.updates(3 * W, 2), "edges")
    yield draw.case("a chunk longer than the window", draw.updates(2, W + 2, 1), "edges")
    yield draw.case("one place", draw.updates(1, 2, 1), "edges", (B, G, 1, D))
    square = draw.updates(3, 1, 1, 1, batch=4, heads=4)
    yield draw.case("as many heads as texts and places", square, "edges", (4, 4, 4, 4))
    early = [*draw.updates(2, 1), Call("reset"), *draw.updates(4, 1, 1)]
    yield draw.case("a reset before it is full", early, "edges")
    yield from draw.refused()


CASES = Sequences(FAMILY, _of_a_row, _by_hand, USUAL, draw=_Pieces)


Make = Callable[..., Any]


def _sequence(generator: Generator, device: torch.device) -> Case:
    draw = _Pieces(generator, device)
    return draw.case("in place", [*draw.updates(3, 1, 2, 1)])


def _forgets_in_place(generator: Generator, device: torch.device) -> Case:
    draw = _Pieces(generator, device)
    return draw.case("in place", [*draw.updates(4, 3), Call("reset"), *draw.updates(2, 1)])


def _callers_memory(make: Make, generator: Generator, device: torch.device) -> str | None:
    draw = _Pieces(generator, device)

    def one() -> Any:
        return make(*SIZES, dtype=DOUBLE, device=device)

    return callers_memory(draw, one, lambda: draw.piece(2))


def _any_chunks(make: Make, generator: Generator, device: torch.device) -> str | None:
    """What is in the window hangs on how much has been read, and not on the pieces."""
    draw = _Pieces(generator, device)
    k, v = draw.piece(13)
    found = []
    for lengths in ((13,), (6, 1, 6), (1,) * 13, (3, 4, 5, 1)):
        cache = make(*SIZES, dtype=DOUBLE, device=device)
        for pieces in zip(k.split(lengths, 2), v.split(lengths, 2), strict=True):
            found.append(cache.call("update", *pieces))
        if not all(torch.equal(a, b) for a, b in zip(found[0], found[-1], strict=True)):
            return "what is in the window depends on the pieces in which it came"
    return None


def _long_text(make: Make, generator: Generator, device: torch.device) -> str | None:
    """More tokens than a short integer, or a number of half precision, can count."""
    draw, length, window = _Pieces(generator, device), 2101, 3
    cache = make(1, 1, window, 1, dtype=DOUBLE, device=device)
    *_, positions = cache.call("update", *draw.piece(length, batch=1, heads=1, width=1))
    wanted = sorted(range(length - window, length), key=lambda p: p % window)
    if positions.tolist() == wanted:
        return None
    return f"after {length:,} tokens the positions are {positions.tolist()} and not {wanted}"


_PAST, _WINDOW = 120, 96


def _contract(generator: Generator, device: torch.device) -> Contract:
    draw = _Pieces(generator, device)
    calls = [*draw.updates(2), Call("reset"), *draw.updates(_PAST, 1)]
    case = draw.case("counted", calls, sizes=(B, G, _WINDOW, D))
    # Written by an index, the memory counts as written; against as much again for a copy of it.
    memory = (2 * B * G * D + 1) * _WINDOW
    return Contract(calls=(case,), method="update", max_written=between(memory + 2, 2 * memory + 2))


ROLLING_CACHE = Exercise(
    reference=reference.RollingCache,
    chapter=CHAPTER,
    points={"values": 4, "edges": 3, "types": 1, "contracts": 1},
    cases=CASES,
    contract=_contract,
    outputs={"update": ("keys within", "values within", "positions within")},
    state=STATE,
    properties=(
        Property("the caller's tensors filled anew", _callers_memory),
        Property("any chunks", _any_chunks, "values"),
        Property("a long text", _long_text, "edges"),
        Property("in place", in_place(("keys", "values"), _sequence)),
        Property("a reset in place", in_place(("keys", "values"), _forgets_in_place)),
    ),
    traps=TRAPS,
)
