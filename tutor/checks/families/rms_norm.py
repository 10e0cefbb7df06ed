"""What ``rms_norm`` must satisfy, and the wrong answers that people give."""

from collections.abc import Iterator

import torch
from torch import Generator, Tensor

from tutor import families as reference
from tutor.checks.conditions import Condition, Crossed, Factor, Family, Row
from tutor.checks.crossings import BATCH, DTYPE, LAYOUT
from tutor.checks.draw import DOUBLE, HALF, Draw, laid
from tutor.checks.exercise import Case, Contract, Exercise, Property
from tutor.checks.families.rms_traps import TRAPS
from tutor.checks.families.shared import CHAPTER, B, C, T
from tutor.checks.forbidden import LIBRARY_NORMS
from tutor.checks.limits import between

_SCALE = Factor(
    "scale",
    (
        Condition("around 1", value=1.0),
        Condition("tiny", "small numbers", 0.001, alone=True),
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


def _weight(draw: Draw, width: int, dtype: torch.dtype = DOUBLE) -> Tensor:
    return 1 + draw.normal(width, dtype=dtype) / 2


def _arguments(draw: Draw, row: Row) -> tuple[Tensor | float, ...]:
    tokens, width = row["sizes"]
    x = draw.normal(*row["batch"], tokens, width, dtype=row["dtype"], scale=row["scale"])
    # A mean that is not 0, or whoever takes it off would hardly be seen.
    x = x + row["scale"]
    return (laid(x, row["layout"]), _weight(draw, width, row["dtype"]), *row["eps"])


def _by_hand(draw: Draw) -> Iterator[Case]:
    example = torch.tensor([1.0, 7.0], dtype=DOUBLE, device=draw.device)
    yield Case("the example of the text", (example, _weight(draw, 2), 1e-12))
    yield Case("a single vector", (draw.normal(C), _weight(draw, C)))
    *sizes, width = (draw.integer(2, 7) for _ in range(3))
    yield Case("sizes drawn by lot", (draw.normal(*sizes, width), _weight(draw, width)))
    x, weight = draw.normal(B, T, C), _weight(draw, C)
    x[:, 0] = 0.0
    yield Case("a token of zeros", (x, weight), "edges")
    # The squares of these are 0 in half precision.
    tiny = (draw.normal(B, T, C, dtype=HALF) / 32 + 1) * 1.5e-4, _weight(draw, C, HALF), 1e-8
    yield Case("numbers near 1e-4, in half precision", tiny)
    # 300² is beyond what half precision holds, and the root of the mean is not.
    low = draw.normal(B, T, C, dtype=HALF) / 8 + 300, _weight(draw, C, HALF)
    yield Case("numbers near 300, in half precision", low, "edges")


CASES = Crossed(FAMILY, _arguments, _by_hand)


def _scaled(call, generator: Generator, device: torch.device) -> str | None:
    draw = Draw(generator, device)
    x, weight = draw.normal(B, T, C), _weight(draw, C)
    change = (call(7 * x, weight, 1e-12) - call(x, weight, 1e-12)).abs().max()
    if not change < 1e-8:
        return (
            "7 x gives another answer than x, though a norm takes out the size: "
            f"off by {float(change):.2g}"
        )
    return None


def _alone(call, generator: Generator, device: torch.device) -> str | None:
    draw = Draw(generator, device)
    x, weight = draw.normal(B, T, C), _weight(draw, C)
    other = torch.cat((x[:, :1], draw.normal(B, T - 1, C) + 3), 1)
    change = (call(other, weight) - call(x, weight))[:, 0].abs().max()
    if not change < 1e-12:
        return f"other tokens changed the answer to the first by {float(change):.2g}"
    return None


def _contract(generator: Generator, device: torch.device) -> Contract:
    draw = Draw(generator, device)
    batch, tokens, width = 2, 16, 24
    elements = batch * tokens * width
    return Contract(
        calls=((draw.normal(batch, tokens, width), _weight(draw, width)),),
        # All products of two features of a token, whose diagonal gives the squares, too.
        max_intermediate=between(elements, elements * width),
        forbidden=LIBRARY_NORMS,
    )


RMS_NORM = Exercise(
    reference=reference.rms_norm,
    chapter=CHAPTER,
    points={"values": 3, "edges": 1, "gradients": 1, "types": 1, "contracts": 1},
    cases=CASES,
    contract=_contract,
    properties=(
        Property("scaled", _scaled, "values"),
        Property("each token alone", _alone, "values"),
    ),
    traps=TRAPS,
)
