"""What ``flash_backward`` must satisfy; the wrong answers stand in ``backward_traps``."""

from collections.abc import Iterator

import torch
from torch import Tensor

from tutor import flash as reference
from tutor.checks.conditions import Crossed, Row
from tutor.checks.draw import BFLOAT, DOUBLE, HALF, Draw, laid
from tutor.checks.exercise import Case, Exercise
from tutor.checks.flash.backward_traps import TRAPS
from tutor.checks.flash.flash_forward import FAMILY, contract
from tutor.checks.flash.shared import CHAPTER, drawn, qkv
from tutor.checks.forbidden import LIBRARY_ATTENTION


def _with_answers(
    draw: Draw, given: tuple[Tensor, ...], causal: bool, *tiles: int, layout: str | None = None
) -> tuple:
    q, _, v = given
    grad_out = draw.normal(*q.shape[:-1], v.shape[-1])
    if q.dtype in (HALF, BFLOAT):  # whose sums of products would round beyond the tolerance
        grad_out = grad_out / 8
    grad_out = laid(grad_out.to(q.dtype), layout)
    out, lse = reference.flash_forward(*given, causal, 3, 4)
    return (grad_out, *given, out, lse, causal, *tiles)


def _arguments(draw: Draw, row: Row) -> tuple:
    given = qkv(draw, row)
    return _with_answers(draw, given, row["causal"], *row["tiles"], layout=row["layout"])


def _by_hand(draw: Draw) -> Iterator[Case]:
    one = torch.ones(1, 1, 1, dtype=DOUBLE, device=draw.device)
    keys, values = torch.zeros(1, 2, 1).to(one), torch.tensor([[[1.0], [3.0]]]).to(one)
    answers = 2 * one, torch.log(2 * one[..., 0])
    yield Case("the example of the text", (one, one, keys, values, *answers, False, 1, 1))
    yield Case("the tiles left out", _with_answers(draw, drawn(draw, 5, 7), True))
    given = _with_answers(draw, drawn(draw, 4, 6), False)[:-1]
    yield Case("the tiles and the limit left out", given)
    g = draw.integer(1, 4)
    sizes = (draw.integer(2, 12), draw.integer(2, 12), (g * draw.integer(1, 4), g))
    tiles = draw.integer(1, 6), draw.integer(1, 6)
    given = drawn(draw, *sizes)
    yield Case("sizes drawn by lot", _with_answers(draw, given, False, *tiles))
    yield Case("sizes drawn by lot, causal", _with_answers(draw, given, True, *tiles), "edges")
    q, k, v = drawn(draw, 5, 7)
    low = 3000 + q, -7 + 0 * k + 1e-3 * k, v  # every score is below -20,000, and close to others
    yield Case("all scores below -20,000", _with_answers(draw, low, False, 2, 3), "edges")
    grad_out, *_, out, lse, _, _, _ = _with_answers(draw, (q, k, v), False, 2, 3)
    wrong = (grad_out, q, k[..., :-1], v, out, lse, False, 2, 3)
    yield Case("widths that differ must raise ValueError", wrong, "edges", ValueError)


CASES = Crossed(FAMILY, _arguments, _by_hand, usual="grouped heads")


def _counted(given: tuple[Tensor, ...], causal: bool, tile: int) -> tuple:
    out, lse = reference.flash_forward(*given, causal, 8, 8)
    return (out, *given, out, lse, causal, tile, tile)


_FORBIDDEN = {
    **LIBRARY_ATTENTION,
    "autograd": "it lets autograd do the work; this exercise is to do it by hand",
    "_backward": "it calls torch's own backward formulas; this exercise is to write them",
}

FLASH_BACKWARD = Exercise(
    reference=reference.flash_backward,
    chapter=CHAPTER,
    points={"values": 4, "edges": 3, "types": 1, "contracts": 3},
    cases=CASES,
    contract=contract(_counted, 5, _FORBIDDEN),
    outputs=("grad_q", "grad_k", "grad_v"),
    traps=TRAPS,
)
