"""What ``greedy_decode`` must satisfy, and the wrong answers that people give."""

from collections.abc import Iterator

import torch
from torch import Generator

from tutor import transformer as reference
from tutor.checks.conditions import Condition, Crossed, Factor, Family, Row
from tutor.checks.draw import DOUBLE, Draw
from tutor.checks.exercise import Case, Contract, Exercise, Property
from tutor.checks.limits import between
from tutor.checks.transformer.greedy_traps import TRAPS
from tutor.checks.transformer.shared import CHAPTER
from tutor.checks.transformer.writing import (
    END,
    ENDINGS,
    LONGEST,
    MEMORY,
    NUMBER,
    PRECISION,
    ROWS,
    SIZE,
    START,
    STEPS,
    SYMBOLS,
    asked_flops,
    counting,
    drawn,
    filled,
    markov,
    model_of,
    one_row,
    stairs,
)

_LENGTH = Factor(
    "longest",
    (
        Condition("a few", value=LONGEST),
        Condition("one symbol", "one symbol at most", 1, edge=True),
        Condition("nothing", "nothing to be written", 0, edge=True),
        Condition("long", "up to 9 symbols", 9),
    ),
)
FAMILY = Family((PRECISION, NUMBER, END, START, MEMORY, SIZE, ENDINGS, _LENGTH))

EXAMPLE = ((0.2, 0.5, 0.3), (0.3, 0.1, 0.6), (0.1, 0.1, 0.8)), ((0.1, 0.2, 0.7),) * 3
"""Of the text: how likely symbol j is after symbol i, for two sentences."""


def _arguments(draw: Draw, row: Row) -> tuple:
    return *drawn(draw, row), row["longest"]


def _by_hand(draw: Draw) -> Iterator[Case]:
    def symbols(*numbers: int) -> torch.Tensor:
        return torch.tensor(numbers, device=draw.device)

    yield Case("the example of the text", (markov(draw, *EXAMPLE), symbols(0, 0), 2, LONGEST))
    even = ((0.25, 0.25, 0.25, 0.25), (0.1, 0.4, 0.4, 0.1), (0.3, 0.1, 0.3, 0.3), (0.25,) * 4)
    tied = markov(draw, even), symbols(1), 3, LONGEST
    yield Case("equally likely symbols", tied, "edges")
    # In single precision the two likeliest are equally likely, and the first of them is 0.
    near = torch.tensor([[[1.0, 1 + 1e-9, 1.0, 0.0]] * 4], dtype=DOUBLE)
    close = model_of(near, 0.0, draw, turned=False), symbols(1), 3, LONGEST
    yield Case("close scores", close, "edges")
    yield Case("many symbols", (*counting(draw), 8), "edges")
    # After 1 comes 2, after 2 comes 1, and so on.
    turns = ((0.1, 0.8, 0.1), (0.1, 0.1, 0.8), (0.1, 0.8, 0.1))
    yield Case("two symbols by turns", (markov(draw, turns), symbols(0), 0, LONGEST))
    # One writes 0, 1, 2 and the end, one begins further on; and after the end comes 0 again.
    steps = (
        (0.1, 0.7, 0.1, 0.1),
        (0.1, 0.1, 0.7, 0.1),
        (0.1, 0.1, 0.1, 0.7),
        (0.7, 0.1, 0.1, 0.1),
    )
    one_by_one = markov(draw, steps, steps, steps), symbols(1, 0, 2), 3, LONGEST
    yield Case("sentences that end one after another", one_by_one)
    at_once = markov(draw, steps, steps), symbols(2, 0), 3, LONGEST
    yield Case("one sentence that is its end alone", at_once, "edges")
    many = draw.normal(5, SYMBOLS, SYMBOLS, scale=2.0)
    several = model_of(many, 0.9, draw), symbols(1, 2, 3, 4, 5), 0, 9
    yield Case("more sentences than symbols are written", several)
    square = model_of(draw.normal(SYMBOLS, SYMBOLS, SYMBOLS, scale=2.0), 0.8, draw)
    start = draw.integers(SYMBOLS, low=1, high=SYMBOLS)
    yield Case("as many sentences as symbols", (square, start, 0, LONGEST))
    wrong = markov(draw, *EXAMPLE), symbols(0, 0), 2, -1
    yield Case("a negative length must raise ValueError", wrong, "edges", ValueError)


def _contract(generator: Generator, device: torch.device) -> Contract:
    model, start, end = stairs(generator, device, ROWS + 2)
    once = asked_flops(model, len(start))
    return Contract(
        calls=((model, start, end, 3 * STEPS),),
        # One call more than there are symbols is forgiven; two for each symbol are not.
        max_flops=between((STEPS + 1) * once, 2 * STEPS * once),
    )


CASES = Crossed(FAMILY, _arguments, _by_hand, usual="three sentences")


def _alone_as_together(call, generator: Generator, device: torch.device) -> str | None:
    draw = Draw(generator, device)
    model = model_of(draw.normal(ROWS, SYMBOLS, SYMBOLS, scale=2.0), 0.8, draw)
    start, end = draw.integers(ROWS, low=1, high=SYMBOLS), 0
    together = call(model, start, end, LONGEST)
    for row in range(ROWS):
        alone = call(one_row(model, row), start[row : row + 1], end, LONGEST)
        if not torch.equal(filled(alone, end, together.shape[1])[0], together[row]):
            return "a sentence by itself is not the one that it is in a batch"
    return None


GREEDY_DECODE = Exercise(
    reference=reference.greedy_decode,
    chapter=CHAPTER,
    points={"values": 4, "edges": 3, "types": 1, "contracts": 2},
    cases=CASES,
    contract=_contract,
    outputs=("written",),
    properties=(Property("alone as in a batch", _alone_as_together, "values"),),
    traps=TRAPS,
)
