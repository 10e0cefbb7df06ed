"""What ``KVCache`` must satisfy, and the wrong classes that people write."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Generator, Tensor

from tutor import kv_cache as reference
from tutor.checks.conditions import Condition, Factor, Family, Row
from tutor.checks.crossings import DTYPE
from tutor.checks.draw import DOUBLE, SINGLE, Draw, laid
from tutor.checks.exercise import Call, Case, Contract, Exercise, Property
from tutor.checks.kv_cache.cache_traps import TRAPS
from tutor.checks.kv_cache.shared import (
    BEFORE,
    CACHES,
    CAPACITY,
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

STATE = ("keys", "values", "length")


class Pieces(Draw):
    """Keys and values that arrive in pieces, and the calls that bring them."""

    def piece(
        self, t: int, batch: int = B, heads: int = G, width: int = D, dtype: torch.dtype = DOUBLE
    ) -> tuple[Tensor, Tensor]:
        k, v = (self.normal(batch, heads, t, width, dtype=dtype) for _ in range(2))
        return k, v

    def updates(self, *lengths: int, layout: str | None = None, **sizes: Any) -> list[Call]:
        pieces = (self.piece(t, **sizes) for t in lengths)
        return [Call("update", tuple(laid(x, layout) for x in piece)) for piece in pieces]

    def case(
        self,
        label: str,
        calls: list[Call],
        group: str = "values",
        sizes: tuple[int, int, int, int] = (B, G, CAPACITY, D),
        dtype: torch.dtype | None = DOUBLE,
        raises: type[Exception] | None = None,
    ) -> Case:
        kwargs = {"device": self.device} | ({} if dtype is None else {"dtype": dtype})
        return Case(label, sizes, group, raises, kwargs=kwargs, calls=tuple(calls))

    def of(self, row: Row, usual: str, places: int) -> Case:
        """Another text and a reset, where the row has them, and then its pieces."""
        b, g, d = row["sizes"]
        given = {"batch": b, "heads": g, "width": d, "dtype": row["dtype"]}
        given |= {"layout": row["layout"]}
        calls = self.updates(*row["before"], **given)
        calls += [Call("reset")] * bool(calls) + self.updates(*row["pieces"], **given)
        group = "edges" if row.edge else "values"
        sizes = b, g, places, d
        return self.case(row.label or usual, calls, group, sizes, dtype=row["dtype"])

    def refused(self) -> Iterator[Case]:
        """Shapes that are not the cache's."""
        k, v = self.piece(2)
        for label, bad in {
            "other heads": self.updates(2) + self.updates(1, heads=G + 1),
            "another batch": self.updates(2) + self.updates(1, batch=1),
            "another width": self.updates(2) + self.updates(1, width=1),
            "fewer values than keys": [Call("update", (k, v[:, :, :1]))],
            "fewer keys than values": [Call("update", (k[:, :, :1], v))],
        }.items():
            yield self.case(f"{label} must raise ValueError", bad, "edges", raises=ValueError)


_PIECES = Factor(
    "pieces",
    (
        Condition("prompt first", value=(5, 1, 1, 1)),
        Condition("chunks", "chunks", (4, 3, 2)),
        Condition("one by one", "one token after another", (1, 1, 1)),
        Condition("full", "full to the last place", (8, 4, 1), edge=True, alone=True),
    ),
)
FAMILY = Family((quiet(DTYPE, "half"), SINGLE_LAYOUTS, _PIECES, CACHES, BEFORE))
USUAL = "a prompt and three tokens"


def _of_a_row(draw: Pieces, row: Row) -> Case:
    return draw.of(row, USUAL, CAPACITY)


def _by_hand(draw: Pieces) -> Iterator[Case]:
    yield draw.case("one piece", draw.updates(6))
    yield draw.case("the dtype left out", draw.updates(5, 1, dtype=SINGLE), dtype=None)
    yield draw.case("room for one token", draw.updates(1), "edges", (B, G, 1, D))
    square = draw.updates(2, 1, 1, batch=4, heads=4)
    yield draw.case("as many heads as texts and places", square, "edges", (4, 4, 4, 4))
    twice = [*draw.updates(9), Call("reset"), Call("reset"), *draw.updates(8, 5)]
    yield draw.case("two resets, and full again", twice, "edges")
    yield draw.case("a reset at the beginning", [Call("reset"), *draw.updates(2, 1)], "edges")
    for label, bad in {
        "more than fit": draw.updates(9, CAPACITY - 8),
        "one more than fit": draw.updates(CAPACITY, 1),
    }.items():
        yield draw.case(f"{label} must raise ValueError", bad, "edges", raises=ValueError)
    yield from draw.refused()


CASES = Sequences(FAMILY, _of_a_row, _by_hand, USUAL, draw=Pieces)


# Properties


Make = Callable[..., Any]


def _sequence(generator: Generator, device: torch.device) -> Case:
    draw = Pieces(generator, device)
    return draw.case("in place", [*draw.updates(3, 1, 2)])


def _forgets_in_place(generator: Generator, device: torch.device) -> Case:
    draw = Pieces(generator, device)
    return draw.case("in place", [*draw.updates(3, 1), Call("reset"), *draw.updates(2, 1)])


def callers_memory(draw: Draw, make: Callable[[], Any], piece: Callable[[], Any]) -> str | None:
    """The caller writes the next keys into the tensors of the last."""
    k, v = piece()
    cache, other = make(), make()
    for _ in range(3):
        got = cache.call("update", k, v)
        wanted = other.call("update", k.clone(), v.clone())
        for t in (k, v):
            t.copy_(draw.normal(*t.shape))
    if all(torch.equal(g, w) for g, w in zip(got, wanted, strict=True)):
        return None
    return "it keeps the caller's tensors and not what was in them"


def _callers_memory(make: Make, generator: Generator, device: torch.device) -> str | None:
    draw = Pieces(generator, device)

    def one() -> Any:
        return make(B, G, CAPACITY, D, dtype=DOUBLE, device=device)

    return callers_memory(draw, one, lambda: draw.piece(2))


def _any_chunks(make: Make, generator: Generator, device: torch.device) -> str | None:
    draw = Pieces(generator, device)
    k, v = draw.piece(CAPACITY)
    for lengths in ((CAPACITY,), (5, 1, 7), (1, 2, 3, 4, 3)):
        cache = make(B, G, CAPACITY, D, dtype=DOUBLE, device=device)
        for pieces in zip(k.split(lengths, 2), v.split(lengths, 2), strict=True):
            found = cache.call("update", *pieces)
        if not (torch.equal(found[0], k) and torch.equal(found[1], v)):
            return "what is returned in the end depends on the pieces in which it came"
    return None


_PAST, _ROOM = 120, 128


def _contract(generator: Generator, device: torch.device) -> Contract:
    draw = Pieces(generator, device)
    calls = [*draw.updates(2), Call("reset"), *draw.updates(_PAST, 1)]
    case = draw.case("counted", calls, sizes=(B, G, _ROOM, D))
    return Contract(
        calls=(case,),
        method="update",
        # The key and the value of the token; against all keys that have been read once more.
        max_written=between(2 * B * G * D, 2 * B * G * D + B * G * D * (_PAST + 1)),
    )


KV_CACHE = Exercise(
    reference=reference.KVCache,
    chapter=CHAPTER,
    points={"values": 4, "edges": 3, "types": 1, "contracts": 1},
    cases=CASES,
    contract=_contract,
    outputs={"update": ("keys so far", "values so far")},
    state=STATE,
    properties=(
        Property("the caller's tensors filled anew", _callers_memory),
        Property("any chunks", _any_chunks, "values"),
        Property("in place", in_place(("keys", "values"), _sequence)),
        Property("a reset in place", in_place(("keys", "values"), _forgets_in_place)),
    ),
    traps=TRAPS,
)
