"""What ``layer_norm`` must satisfy, and the wrong answers that people give."""

from collections.abc import Iterator

import torch
from torch import Generator, Tensor

from tutor import transformer as reference
from tutor.checks.conditions import Condition, Crossed, Factor, Family, Row
from tutor.checks.crossings import BATCH, DTYPE, LAYOUT
from tutor.checks.draw import HALF, laid
from tutor.checks.exercise import Case, Contract, Exercise, Property
from tutor.checks.forbidden import LIBRARY_NORMS
from tutor.checks.limits import between
from tutor.checks.transformer.norm_traps import TRAPS
from tutor.checks.transformer.shared import CHAPTER, B, C, LayerDraw, T

_SCALE = Factor(
    "scale",
    (
        Condition("around 1", value=1.0),
        Condition("tiny", "small numbers", 0.01, alone=True),
        Condition("large", "numbers in the hundreds", 500.0, edge=True, alone=True),
    ),
)
_SIZES = Factor(
    "sizes",
    (
        Condition("several", value=(T, C)),
        Condition("as many tokens", "as many tokens as features", (C, C)),
        Condition("as many sentences", "as many tokens and features as sentences", (B, B)),
        Condition("one token", "a single token", (1, C), edge=True),
        Condition("one feature", "a single feature", (T, 1), edge=True, alone=True),
    ),
)
_EPS = Factor(
    "eps",
    (
        Condition("left out", value=()),
        Condition("given", "another eps", (0.3,), alone=True),
        Condition("very small", "a very small eps", (1e-12,)),
    ),
)
FAMILY = Family((DTYPE, _SCALE, LAYOUT, BATCH, _SIZES, _EPS))


def _arguments(draw: LayerDraw, row: Row) -> tuple[Tensor | float, ...]:
    tokens, width = row["sizes"]
    x = draw.normal(*row["batch"], tokens, width, dtype=row["dtype"], scale=row["scale"])
    return (laid(x, row["layout"]), *draw.norm(width, row["dtype"]), *row["eps"])


def _by_hand(draw: LayerDraw) -> Iterator[Case]:
    def inputs(*shape):
        return (draw.normal(*shape), *draw.norm(shape[-1], torch.float64))

    yield Case("a single vector", inputs(C))
    yield Case("sizes drawn by lot", inputs(*(draw.integer(2, 7) for _ in range(3))))
    x, *rest = inputs(B, T, C)
    yield Case("a mean far from 0", (x + 1e4, *rest), "edges")
    # The features are exact, and their mean is not: in half precision it is rounded.
    low = ((x + 100).to(HALF), *(t.to(HALF) for t in rest))
    yield Case("a mean far from 0, in half precision", low, "edges")
    x = x.clone()
    x[:, 0] = 3.0
    yield Case("a token whose features are all equal", (x, *rest), "edges")


CASES = Crossed(FAMILY, _arguments, _by_hand, draw=LayerDraw)


def _scale_and_shift(call, generator: Generator, device: torch.device) -> str | None:
    draw = LayerDraw(generator, device)
    x, (weight, bias) = draw.normal(B, T, C), draw.norm(C, torch.float64)
    change = (call(7 * x + 100, weight, bias, 1e-12) - call(x, weight, bias, 1e-12)).abs().max()
    if not change < 1e-8:
        return (
            "7 x + 100 gives another answer than x, though a norm takes out the mean and the size: "
            f"off by {float(change):.2g}"
        )
    return None


def _alone(call, generator: Generator, device: torch.device) -> str | None:
    draw = LayerDraw(generator, device)
    x, parameters = draw.normal(B, T, C), draw.norm(C, torch.float64)
    other = torch.cat((x[:, :1], draw.normal(B, T - 1, C) + 3), 1)
    change = (call(other, *parameters) - call(x, *parameters))[:, 0].abs().max()
    if not change < 1e-12:
        return f"other tokens changed the answer to the first by {float(change):.2g}"
    return None


def _contract(generator: Generator, device: torch.device) -> Contract:
    draw = LayerDraw(generator, device)
    batch, tokens, width = 2, 16, 24
    elements = batch * tokens * width
    return Contract(
        calls=((draw.normal(batch, tokens, width), *draw.norm(width, torch.float64)),),
        # The differences of all features of a token, which give its variance, too.
        max_intermediate=between(elements, elements * width),
        forbidden=LIBRARY_NORMS,
    )


LAYER_NORM = Exercise(
    reference=reference.layer_norm,
    chapter=CHAPTER,
    points={"values": 3, "edges": 2, "gradients": 1, "types": 1, "contracts": 1},
    cases=CASES,
    contract=_contract,
    properties=(
        Property("scaled and shifted", _scale_and_shift, "values"),
        Property("each token alone", _alone, "values"),
    ),
    traps=TRAPS,
)
