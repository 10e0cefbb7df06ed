"""What ``label_smoothing_loss`` must satisfy, and where its known wrong answers go wrong."""

import math
from collections.abc import Iterator

import torch
from torch import Generator, Tensor

from tutor import transformer as reference
from tutor.checks.conditions import Condition, Crossed, Factor, Family, Row, pair
from tutor.checks.crossings import BATCH, DTYPE, LAYOUT
from tutor.checks.draw import DOUBLE, SINGLE, Draw, laid
from tutor.checks.exercise import Case, Contract, Exercise, Property
from tutor.checks.limits import between
from tutor.checks.transformer.shared import CHAPTER
from tutor.checks.transformer.smoothing_traps import TRAPS

_T, _V = 5, 7

_SMOOTHING = Factor(
    "smoothing",
    (
        Condition("tenth", value=0.1),
        Condition("third", "a third of smoothing", 1 / 3),
        Condition("no smoothing", "no smoothing", 0.0, edge=True, alone=True),
        Condition("all smoothing", "nothing but smoothing", 1.0, edge=True),
    ),
)
_PADDING = Factor(
    "padding",
    (
        Condition("at the ends"),
        Condition("no padding", "no padding", edge=True, alone=True),
        Condition("one place", "one place of padding", edge=True, alone=True),
        Condition("empty sentence", "a sentence of padding alone", edge=True),
        Condition("all padding", "nothing but padding", edge=True, alone=True),
    ),
)
_SYMBOL = Factor(
    "symbol",
    (
        Condition("zero", value=0),
        Condition("last symbol", "the last symbol as padding", _V - 1),
        Condition("no symbol", "a padding that is no symbol", -100, edge=True),
        Condition("beyond", "a padding beyond the last symbol", _V + 3, edge=True),
    ),
)
_SCALE = Factor(
    "scale",
    (
        Condition("around 1", value=1.0),
        Condition("large", "logits in the hundreds", 300.0, edge=True, alone=True),
    ),
)
FAMILY = Family((DTYPE, LAYOUT, BATCH, _SMOOTHING, _PADDING, _SYMBOL, _SCALE)).but(
    without={"behind": "no dimension is for heads"},
    apart={
        pair("empty sentence", "none"): "without a batch there is one sentence",
    },
)
_IN_SHORT = 60.0
"""Large enough where a sum of losses soon leaves half precision."""


def _symbols(draw: Draw, batch: tuple[int, ...], padding: Condition, symbol: int) -> Tensor:
    """Targets (*batch, T): padding where the condition says, and any other symbol elsewhere."""
    low = 1 if symbol == 0 else 0
    target = draw.integers(*batch, _T, low=low, high=low + _V - (0 <= symbol < _V))
    flat = target.view(-1, _T)
    if padding.name == "at the ends":
        lengths = draw.ragged(*batch, longest=_T).view(-1, 1)
        flat[torch.arange(_T, device=target.device) >= lengths] = symbol
    elif padding.name == "one place":
        flat[-1, -1] = symbol
    elif padding.name == "empty sentence":
        flat[0] = symbol
    elif padding.name == "all padding":
        flat[:] = symbol
    return target


def _arguments(draw: Draw, row: Row) -> tuple:
    short = row["dtype"] not in (DOUBLE, SINGLE)
    scale = min(row["scale"], _IN_SHORT) if short else row["scale"]
    batch, symbol = row["batch"], row["symbol"]
    logits = draw.normal(*batch, _T, _V, dtype=row["dtype"], scale=scale)
    target = _symbols(draw, batch, row.conditions["padding"], symbol)
    return laid(logits, row["layout"]), target, row["smoothing"], symbol


def _by_hand(draw: Draw) -> Iterator[Case]:
    logits, target = draw.normal(2, _T, _V), draw.integers(2, _T, low=0, high=_V)
    target[0, 2], target[1, 3:] = 0, 0
    yield Case("smoothing and padding left out", (logits, target))
    yield Case("padding left out", (logits, target, 0.2))
    example = torch.tensor([[0.5, 0.25, 0.125, 0.125]], dtype=DOUBLE).log()
    right = torch.tensor([1])
    here = example.to(draw.device), right.to(draw.device)
    yield Case("the example of the text", (*here, 0.4, 0))
    yield Case("one place without a batch", (draw.normal(_V), draw.integers(low=1, high=_V)))
    never = draw.normal(3, _V)
    never[:, 2:4] = -math.inf
    symbols = torch.tensor([5, 0, 1]).to(draw.device)
    yield Case("symbols that cannot be, without smoothing", (never, symbols, 0.0, 0), "edges")
    unwritten = logits.clone()
    unwritten[..., 0] = -math.inf
    yield Case("a padding that cannot be written", (unwritten, target, 0.0, 0), "edges")
    sizes = [draw.integer(2, 9) for _ in range(3)]
    lot = draw.normal(*sizes), draw.integers(*sizes[:-1], low=0, high=sizes[-1])
    yield Case("sizes drawn by lot", (*lot, 0.1, 0))
    one = torch.zeros(2, _T, dtype=torch.int64, device=draw.device)
    one[1, 3:] = -100
    yield Case("one symbol", (draw.normal(2, _T, 1), one, 0.1, -100), "edges")
    # Small integers end at 127, and half precision counts to 2,048.
    high = torch.tensor([[2049, 256, 2048], [0, 2048, 2048]]).to(draw.device)
    yield Case("many symbols", (draw.normal(2, 3, 2100), high, 0.1, 2048), "edges")
    long = draw.integers(2200, low=1, high=3)
    long[2151:] = 0
    yield Case("thousands of places", (draw.normal(2200, 3), long, 0.1, 0), "edges")
    for smoothing in (-0.1, 1.5):
        label = f"a smoothing of {smoothing} must raise ValueError"
        yield Case(label, (logits, target, smoothing), "edges", ValueError)
    others = {"fewer": target[:, 1:], "more": target.repeat(1, 2), "other": target.mT}
    for count, other in others.items():
        label = f"targets of {count} places must raise ValueError"
        yield Case(label, (logits, other), "edges", ValueError)


def _contract(generator: Generator, device: torch.device) -> Contract:
    draw, places, symbols = Draw(generator, device), 6, 96
    target = draw.integers(2, places // 2, low=1, high=symbols)
    target[0, -1] = 0
    return Contract(
        calls=((draw.normal(2, places // 2, symbols), target, 0.1, 0),),
        max_intermediate=between(places * symbols, symbols * symbols),
        forbidden={
            "cross_entropy": "it calls torch's own cross-entropy; this exercise is to write it",
        },
    )


CASES = Crossed(FAMILY, _arguments, _by_hand)


def _padding_is_worth_nothing(call, generator: Generator, device: torch.device) -> str | None:
    draw = Draw(generator, device)
    logits, target = draw.normal(2, _T, _V), draw.integers(2, _T, low=1, high=_V)
    target[:, -2:] = 0
    others = torch.where((target == 0)[..., None], 9 * draw.normal(2, _T, _V), logits)
    shorter = call(logits[:, :-2], target[:, :-2], 0.1, 0)
    for said, scores in (("more padding", logits), ("other logits at padding", others)):
        change = (call(scores, target, 0.1, 0) - shorter).abs()
        if not change <= 1e-9:
            return f"{said} changed the loss by {float(change):.2g}"
    return None


LABEL_SMOOTHING_LOSS = Exercise(
    reference=reference.label_smoothing_loss,
    chapter=CHAPTER,
    points={"values": 3, "edges": 2, "gradients": 2, "types": 1, "contracts": 1},
    cases=CASES,
    contract=_contract,
    outputs=("loss",),
    properties=(Property("padding is worth nothing", _padding_is_worth_nothing, "values"),),
    traps=TRAPS,
)
