"""What ``warmup_rate`` must satisfy, and the wrong answers that people give."""

from collections.abc import Iterator

import torch
from torch import Generator

from tutor import transformer as reference
from tutor.checks.conditions import Condition, Crossed, Factor, Family, Row
from tutor.checks.draw import Draw
from tutor.checks.exercise import Case, Contract, Exercise
from tutor.checks.transformer.shared import CHAPTER
from tutor.checks.transformer.warmup_traps import TRAPS, USUAL

_STEP = Factor(
    "step",
    (
        Condition("rising", value=lambda draw, top: draw.integer(1 + top // 3, 1 + top)),
        Condition(
            "falling",
            "a step after the warm-up",
            lambda draw, top: top + draw.integer(1, 9 * top + 9),
            alone=True,
        ),
        Condition("top", "the last step of the warm-up", lambda draw, top: top, edge=True),
        Condition("first", "the first step", lambda draw, top: 1, edge=True, alone=True),
        Condition("far", "a million steps", lambda draw, top: 10**6 + draw.integer(0, 99)),
    ),
)
_WIDTH = Factor(
    "width",
    (
        Condition("base", value=512),
        Condition("odd", "an odd width", 321),
        Condition("width 1", "width 1", 1, edge=True),
    ),
)
_WARMUP = Factor(
    "warmup",
    (
        Condition("given", value=(700,)),
        Condition("default", "the warm-up left out", (), alone=True),
        Condition("one step", "a warm-up of one step", (1,), edge=True),
    ),
)
FAMILY = Family((_STEP, _WIDTH, _WARMUP))


def _arguments(draw: Draw, row: Row) -> tuple[int, ...]:
    warmup = row["warmup"]
    (top,) = warmup or (USUAL,)
    return row["step"](draw, top), row["width"], *warmup


def _by_hand(draw: Draw) -> Iterator[Case]:
    yield Case("the example of the text", (1, 4, 4))
    yield Case("the paper's largest rate", (USUAL, 512, USUAL))
    yield Case("a step before the end of the warm-up", (9, 512, 10))
    yield Case("a step after the end of the warm-up", (11, 512, 10))
    # Both are in both groups, so that no points hang on what is drawn.
    yield Case("a step before the end of a warm-up of two", (1, 512, 2), "edges")
    yield Case("a step after a warm-up of one", (2, 512, 1), "edges")
    for name, wrong in {
        "step 0": (0, 512, 10),
        "a negative step": (-2, 512, 10),
        "a width of 0": (3, 0, 10),
        "no step of warm-up": (3, 512, 0),
    }.items():
        yield Case(f"{name} must raise ValueError", wrong, "edges", ValueError)


CASES = Crossed(FAMILY, _arguments, _by_hand, usual="a step of the warm-up")


def _contract(generator: Generator, device: torch.device) -> Contract:
    return Contract(calls=())


WARMUP_RATE = Exercise(
    reference=reference.warmup_rate,
    chapter=CHAPTER,
    points={"values": 2, "edges": 2},
    cases=CASES,
    contract=_contract,
    outputs=("rate",),
    traps=TRAPS,
)
