"""What ``KVCache`` must satisfy, and the wrong classes that people write."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Generator, Tensor

from tutor import kv_cache as reference
from tutor.checks.draw import BFLOAT, DOUBLE, HALF, SINGLE, Draw
from tutor.checks.exercise import Call, Case, Contract, Exercise, Property
from tutor.checks.kv_cache.cache_traps import TRAPS
from tutor.checks.kv_cache.shared import CAPACITY, CHAPTER, B, D, G
from tutor.checks.limits import between
from tutor.checks.properties import in_place

STATE = ("keys", "values", "length")


class Pieces(Draw):
    """Keys and values that arrive in pieces, and the calls that bring them."""

    def piece(
        self, t: int, batch: int = B, heads: int = G, width: int = D, dtype: torch.dtype = DOUBLE
    ) -> tuple[Tensor, Tensor]:
        k, v = (self.normal(batch, heads, t, width, dtype=dtype) for _ in range(2))
        return k, v

    def updates(self, *lengths: int, **sizes: Any) -> list[Call]:
        return [Call("update", self.piece(t, **sizes)) for t in lengths]

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


def _cases(generator: Generator, device: torch.device) -> Iterator[Case]:
    draw = Pieces(generator, device)
    yield draw.case("a prompt and three tokens", draw.updates(5, 1, 1, 1))
    yield draw.case("chunks", draw.updates(4, 3, 2))
    yield draw.case("one token after another", draw.updates(1, 1, 1, 1))
    yield draw.case("one piece", draw.updates(6))
    for dtype in (SINGLE, HALF, BFLOAT):
        name = {SINGLE: "single precision", HALF: "half precision", BFLOAT: "bfloat16"}[dtype]
        yield draw.case(name, draw.updates(5, 1, 2, dtype=dtype), dtype=dtype)
    yield draw.case("the dtype left out", draw.updates(5, 1, dtype=SINGLE), dtype=None)
    one = draw.updates(3, 1, batch=1, heads=1, width=1)
    yield draw.case("one text, one head, width 1", one, "edges", (1, 1, CAPACITY, 1))
    yield draw.case("full to the last place", draw.updates(8, 4, 1), "edges")
    yield draw.case("room for one token", draw.updates(1), "edges", (B, G, 1, D))
    square = draw.updates(2, 1, 1, batch=4, heads=4)
    yield draw.case("all sizes equal", square, "edges", (4, 4, 4, 4))
    again = [*draw.updates(5, 2), Call("reset"), *draw.updates(3, 1)]
    yield draw.case("a reset and another text", again, "edges")
    twice = [*draw.updates(9), Call("reset"), Call("reset"), *draw.updates(8, 5)]
    yield draw.case("two resets, and full again", twice, "edges")
    yield draw.case("a reset at the beginning", [Call("reset"), *draw.updates(2, 1)], "edges")
    turned = [
        Call("update", tuple(t.mT.contiguous().mT for t in draw.piece(3))),
        Call("update", tuple(t.transpose(1, 2) for t in draw.piece(G, heads=2))),
    ]
    yield draw.case("not contiguous", turned, "edges")
    for label, bad in {
        "more than fit": draw.updates(9, CAPACITY - 8),
        "one more than fit": draw.updates(CAPACITY, 1),
        "other heads": draw.updates(2) + draw.updates(1, heads=G + 1),
        "another batch": draw.updates(2) + draw.updates(1, batch=1),
        "another width": draw.updates(2) + draw.updates(1, width=1),
    }.items():
        yield draw.case(f"{label} must raise ValueError", bad, "edges", raises=ValueError)
    k, v = draw.piece(2)
    fewer = [Call("update", (k, v[:, :, :1]))]
    label = "fewer values than keys must raise ValueError"
    yield draw.case(label, fewer, "edges", raises=ValueError)


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
    case = draw.case("counted", draw.updates(_PAST, 1), sizes=(B, G, _ROOM, D))
    return Contract(
        calls=(case,),
        method="update",
        # The key and the value of the token; against all that have been read once more.
        max_written=between(2 * B * G * D, B * G * D * _PAST),
    )


KV_CACHE = Exercise(
    reference=reference.KVCache,
    chapter=CHAPTER,
    points={"values": 4, "edges": 3, "types": 1, "contracts": 1},
    cases=_cases,
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
