"""What ``RollingCache`` must satisfy."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Generator

from tutor import kv_cache as reference
from tutor.checks.draw import BFLOAT, DOUBLE, HALF, SINGLE
from tutor.checks.exercise import Call, Case, Contract, Exercise, Property
from tutor.checks.kv_cache.KVCache import Pieces, callers_memory
from tutor.checks.kv_cache.rolling_traps import TRAPS
from tutor.checks.kv_cache.shared import CHAPTER, B, D, G
from tutor.checks.limits import between
from tutor.checks.properties import in_place

STATE = ("keys", "values", "positions", "length")
W = 5
SIZES = B, G, W, D


class _Pieces(Pieces):
    def case(self, label: str, calls: list[Call], group="values", sizes=SIZES, **more: Any) -> Case:
        return super().case(label, calls, group, sizes, **more)


def _cases(generator: Generator, device: torch.device) -> Iterator[Case]:
    draw = _Pieces(generator, device)
    yield draw.case("a prompt and tokens, twice round", draw.updates(3, *(1,) * 9))
    yield draw.case("one token after another", draw.updates(*(1,) * 12))
    yield draw.case("not yet full", draw.updates(2, 1, 1))
    yield draw.case("chunks that go over the end", draw.updates(4, 3, 4, 2))
    for dtype in (SINGLE, HALF, BFLOAT):
        name = {SINGLE: "single precision", HALF: "half precision", BFLOAT: "bfloat16"}[dtype]
        yield draw.case(name, draw.updates(4, 1, 1, 1, dtype=dtype), dtype=dtype)
    yield draw.case("the dtype left out", draw.updates(4, 1, 1, dtype=SINGLE), dtype=None)
    yield draw.case("full at once", draw.updates(W, 1, 1), "edges")
    yield draw.case("a prompt longer than the window", draw.updates(W + 3, 1, 1), "edges")
    yield draw.case("a prompt three times the window", draw.updates(3 * W, 2), "edges")
    yield draw.case("a chunk longer than the window", draw.updates(2, W + 2, 1), "edges")
    yield draw.case("two windows of chunks", draw.updates(W, W, 1), "edges")
    yield draw.case("a window of one", draw.updates(1, 2, 1), "edges", (B, G, 1, D))
    one = draw.updates(3, 1, 1, batch=1, heads=1, width=1)
    yield draw.case("one text, one head, width 1", one, "edges", (1, 1, 4, 1))
    square = draw.updates(3, 1, 1, 1, batch=4, heads=4)
    yield draw.case("all sizes equal", square, "edges", (4, 4, 4, 4))
    again = [*draw.updates(5, 2), Call("reset"), *draw.updates(3, 1)]
    yield draw.case("a reset and another text", again, "edges")
    round_again = [*draw.updates(2, 1), Call("reset"), *draw.updates(4, 1, 1)]
    yield draw.case("a reset before it is full", round_again, "edges")
    turned = [
        Call("update", tuple(t.mT.contiguous().mT for t in draw.piece(4))),
        Call("update", tuple(t.transpose(1, 2) for t in draw.piece(G, heads=2))),
    ]
    yield draw.case("not contiguous", turned, "edges")
    for label, bad in {
        "other heads": draw.updates(2) + draw.updates(1, heads=G + 1),
        "another batch": draw.updates(2) + draw.updates(1, batch=1),
        "another width": draw.updates(2) + draw.updates(1, width=1),
    }.items():
        yield draw.case(f"{label} must raise ValueError", bad, "edges", raises=ValueError)


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


_PAST, _WINDOW = 120, 96


def _contract(generator: Generator, device: torch.device) -> Contract:
    draw = _Pieces(generator, device)
    case = draw.case("counted", draw.updates(_PAST, 1), sizes=(B, G, _WINDOW, D))
    return Contract(
        calls=(case,),
        method="update",
        # Written by an index, the memory counts as written; against as much again for a copy of it.
        max_written=between(2 * B * G * D * _WINDOW, 4 * B * G * D * _WINDOW),
    )


ROLLING_CACHE = Exercise(
    reference=reference.RollingCache,
    chapter=CHAPTER,
    points={"values": 4, "edges": 3, "types": 1, "contracts": 1},
    cases=_cases,
    contract=_contract,
    outputs={"update": ("keys within", "values within", "positions within")},
    state=STATE,
    properties=(
        Property("the caller's tensors filled anew", _callers_memory),
        Property("any chunks", _any_chunks, "values"),
        Property("in place", in_place(("keys", "values"), _sequence)),
        Property("a reset in place", in_place(("keys", "values"), _forgets_in_place)),
    ),
    traps=TRAPS,
)
