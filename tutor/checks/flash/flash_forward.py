"""What ``flash_forward`` must satisfy; the wrong answers stand in ``forward_traps``."""

from collections.abc import Callable, Iterator, Mapping

import torch
from torch import Generator, Tensor

from tutor import flash as reference
from tutor.checks.conditions import Crossed, Family, Row
from tutor.checks.crossings import DTYPE, LAYOUT
from tutor.checks.draw import DOUBLE, Draw
from tutor.checks.exercise import Case, Contract, Exercise, Property, Trap
from tutor.checks.flash import mistiled, tiles
from tutor.checks.flash.forward_traps import traps
from tutor.checks.flash.shared import (
    BATCHES,
    CAUSAL,
    CHAPTER,
    FORWARD,
    HEADS,
    LENGTHS,
    SCORES,
    TILE_SIZES,
    drawn,
    qkv,
)
from tutor.checks.forbidden import LIBRARY_ATTENTION
from tutor.checks.limits import between

FAMILY = Family(
    (DTYPE, CAUSAL, SCORES, LAYOUT, BATCHES, HEADS, LENGTHS, TILE_SIZES),
    together=(
        ("causal", "more queries"),
        ("causal", "more queries", "of one row"),
        ("causal", "more queries", "longer"),
        ("causal", "square", "longer"),
        ("extreme", "causal"),
        ("extreme", "two by three", "square"),
    ),
)


def _arguments(draw: Draw, row: Row) -> tuple:
    return (*qkv(draw, row), row["causal"], *row["tiles"])


def _by_hand(draw: Draw) -> Iterator[Case]:
    one = torch.ones(1, 1, 1, dtype=DOUBLE, device=draw.device)
    keys = torch.tensor([1.0, 2.0, 4.0], dtype=DOUBLE, device=draw.device).log().reshape(1, 3, 1)
    values = torch.tensor([7.0, 7.0, 14.0], dtype=DOUBLE, device=draw.device).reshape(1, 3, 1)
    yield Case("the example of the text", (one, keys, values, False, 1, 2))
    yield Case("the tiles left out", (*drawn(draw, 5, 7), True))
    yield Case("the tiles and the limit left out", drawn(draw, 4, 6))
    g = draw.integer(1, 4)
    sizes = (draw.integer(2, 12), draw.integer(2, 12), (g * draw.integer(1, 4), g))
    tiles = draw.integer(1, 6), draw.integer(1, 6)
    yield Case("sizes drawn by lot", (*drawn(draw, *sizes), False, *tiles))
    yield Case("sizes drawn by lot, causal", (*drawn(draw, *sizes), True, *tiles), "edges")
    q, k, v = drawn(draw, 5, 7)
    low = (q.abs() + 1) * 200, -(k.abs() + 1) * 200, v
    yield Case("all scores below -20,000", (*low, False, 2, 3), "edges")
    for name, wrong in {
        "widths that differ": (q, k[..., :-1], v),
        "a key without its value": (q, k, v[:, :-1]),
        "heads that do not divide": (q[:3], k, v),
    }.items():
        yield Case(f"{name} must raise ValueError", (*wrong, False, 2, 3), "edges", ValueError)


CASES = Crossed(FAMILY, _arguments, _by_hand, usual="grouped heads")


def _any_tiles(call, generator: Generator, device: torch.device) -> str | None:
    given = drawn(Draw(generator, device), 9, 11)
    right = call(*given, True, 16, 16)
    for sizes in ((1, 1), (4, 3), (2, 8)):
        pairs = zip(call(*given, True, *sizes), right, strict=True)
        off = max(float((a - b).abs().max()) for a, b in pairs)
        if not off < 1e-10:
            return f"with tiles of {sizes[0]} and {sizes[1]} rows the answer is off by {off:.2g}"
    return None


def contract(
    given: Callable[[tuple[Tensor, ...], bool, int], tuple],
    products: int,
    forbidden: Mapping[str, str] = LIBRARY_ATTENTION,
) -> Callable[[Generator, torch.device], Contract]:
    """Of a function that gets ``given(qkv, causal, tile)`` and makes so many products a tile."""

    def limits(generator: Generator, device: torch.device) -> Contract:
        draw, (h, g), (tq, tk), t, d, tile = Draw(generator, device), (6, 2), (16, 96), 48, 4, 8
        few = draw.normal(h, tq, d), draw.normal(g, tk, d), draw.normal(g, tk, d)
        square = draw.normal(h, t, d), draw.normal(g, t, d), draw.normal(g, t, d)
        tiles = t // tile
        visible = products * 2 * h * tile * tile * d * tiles * (tiles + 1) // 2
        return Contract(
            calls=(given(few, False, tile), given(square, True, tile)),
            # A copy of the keys is needless, and right. Keys of all query heads are not, nor is a
            # row of tiles, of which each is smaller.
            max_intermediate=between(g * tk * d, h * tk * d),
            max_flops=between(visible, visible * 2 * tiles // (tiles + 1)),
            forbidden=forbidden,
        )

    return limits


def _scaled_in_place(q, k, v, causal=False, query_tile=128, key_tile=256):
    return tiles.forward(
        q.mul_(q.shape[-1] ** -0.5), k, v, causal, query_tile, key_tile, scale=mistiled.one
    )


FLASH_FORWARD = Exercise(
    reference=reference.flash_forward,
    chapter=CHAPTER,
    points={"values": 4, "edges": 3, "types": 1, "contracts": 3},
    cases=CASES,
    contract=contract(lambda qkv, causal, tile: (*qkv, causal, tile, tile), 2),
    properties=(Property("any tiles give the same answer", _any_tiles, "edges"),),
    outputs=("out", "lse"),
    traps=(
        *traps(),
        Trap(
            "the caller's queries scaled",
            _scaled_in_place,
            "`q *= scale` writes into the caller's tensor: the next call scales it again.",
            FORWARD,
            overwrites="q",
        ),
    ),
)
