"""What ``beam_search`` must satisfy, and where its known wrong answers go wrong."""

import math
from collections.abc import Iterator

import torch
from torch import Generator, Tensor

from tutor import transformer as reference
from tutor.checks.conditions import Condition, Crossed, Factor, Family, Row, pair
from tutor.checks.draw import Draw
from tutor.checks.exercise import Case, Contract, Exercise, Property
from tutor.checks.limits import between
from tutor.checks.table_model import TableModel
from tutor.checks.transformer.beam_traps import TRAPS
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

_BEAMS, _ALPHA = 4, 0.6

_SIZE = Factor(
    "beams",
    (
        Condition("four", value=_BEAMS),
        Condition("beam of one", "a beam of one", 1, edge=True, alone=True),
        Condition("many beams", "more beams than symbols", SYMBOLS + 2, edge=True, alone=True),
    ),
)
_EXPONENT = Factor(
    "alpha",
    (
        Condition("usual", value=_ALPHA),
        Condition("no penalty", "no penalty", 0.0, alone=True),
        Condition("strong", "a strong penalty", 3.0, alone=True),
    ),
)
_LENGTH = Factor(
    "longest",
    (
        Condition("a few", value=LONGEST),
        Condition("one symbol", "one symbol at most", 1, edge=True),
        Condition("long", "up to 8 symbols", 8),
    ),
)
FAMILY = Family(
    (PRECISION, NUMBER, END, START, MEMORY, SIZE, ENDINGS, _SIZE, _EXPONENT, _LENGTH),
    apart={
        pair("many beams", "one symbol"): "there are not so many sentences of one symbol",
    },
).but(
    without={
        "latest": "the same steps in a different order would be equally likely",
        "one at once": "the beams of one sentence end at different times in any case",
    }
)

EXAMPLE = (((0.01, 0.55, 0.4, 0.04), (0.35, 0.2, 0.3, 0.15), (0.02, 0.03, 0.05, 0.9), (0.25,) * 4),)
"""Of the text: the likeliest first symbol leads to a worse sentence."""


def _close() -> Iterator[tuple[tuple[float, ...], ...]]:
    """Two best sentences whose scores differ in the eleventh digit: those of one length, of which
    the second is better; and a short and a long one, with the long one better, or the short."""
    little, ends = 1e-11, ((0.02, 0.02, 0.02, 0.94),) * 2
    yield (0.2, 0.3, 0.3 * (1 + little), 0.2), *ends, (0.25,) * 4
    for more in (little, -little):
        both = math.exp(math.log(0.4) * (7 / 6) ** _ALPHA * (1 - more))  # as good as 0.4 at once
        last = both / 0.38
        rest = (1 - last) / 3
        yield (0.11, 0.38, 0.11, 0.4), (rest, rest, rest, last), (0.25,) * 4, (0.25,) * 4


def _arguments(draw: Draw, row: Row) -> tuple:
    return *drawn(draw, row), row["longest"], row["beams"], row["alpha"]


def _by_hand(draw: Draw) -> Iterator[Case]:
    start = torch.zeros(1, dtype=torch.long, device=draw.device)
    yield Case("the example of the text", (markov(draw, *EXAMPLE), start, 3, 2, 2, 0.0))
    model = model_of(draw.normal(ROWS, SYMBOLS, SYMBOLS, scale=2.0), 0.8, draw)
    starts = draw.integers(ROWS, low=1, high=SYMBOLS)
    yield Case("beams and penalty left out", (model, starts, 0, LONGEST))
    yield Case("the penalty left out", (model, starts, 0, LONGEST, 3))
    # Ends at once with 0.5; or after two more, each as good as sure, with 0.49.
    late = ((0.005, 0.49, 0.005, 0.5), (0.001, 0.001, 0.997, 0.001), (0.001, 0.001, 0.001, 0.997))
    longer = markov(draw, (*late, (0.25,) * 4)), start, 3, LONGEST
    yield Case("a longer sentence that a penalty prefers", (*longer, 2, 1.0))
    yield Case("a longer sentence without a penalty", (*longer, 2, 0.0))
    # The end at once has 0.27; the two best of two symbols have 0.25 and 0.245, less penalty.
    short = ((0.115, 0.5, 0.115, 0.27), (0.5, 0.005, 0.49, 0.005), (0.25,) * 4, (0.25,) * 4)
    falls = markov(draw, short), start, 3, 2, 2, _ALPHA
    yield Case("a short sentence that a penalty drops", falls, "edges")
    many = draw.normal(5, SYMBOLS, SYMBOLS, scale=1.0)
    several = model_of(many, 0.9, draw), draw.integers(5, low=1, high=SYMBOLS), 0
    yield Case("as many beams as sentences", (*several, LONGEST, 5, 0.6))
    yield Case("as many beams as symbols", (*several, LONGEST, SYMBOLS, 0.3))
    yield Case("many symbols", (*counting(draw), 8, 2, 0.6), "edges")
    starts = torch.zeros(3, dtype=torch.long, device=draw.device)
    yield Case("close scores", (markov(draw, *_close()), starts, 3, 3, 2, _ALPHA), "edges")
    wrong = markov(draw, *EXAMPLE), start, 3
    yield Case("a negative length must raise ValueError", (*wrong, -1, 2), "edges", ValueError)
    yield Case("a beam of 0 must raise ValueError", (*wrong, 2, 0), "edges", ValueError)


def _contract(generator: Generator, device: torch.device) -> Contract:
    beams = 3
    model, start, end = stairs(generator, device, ROWS + 1)
    once = asked_flops(model, beams * len(start))
    return Contract(
        calls=((model, start, end, 3 * STEPS, beams, 0.6),),
        # One call more than there are symbols is forgiven; two for each symbol are not.
        max_flops=between((STEPS + 1) * once, 2 * STEPS * once),
    )


CASES = Crossed(FAMILY, _arguments, _by_hand, usual="three sentences")


# What must hold besides


def _model(draw: Draw, rows: int, symbols: int) -> tuple[TableModel, Tensor, int]:
    model = model_of(draw.normal(rows, symbols, symbols, scale=1.5), 0.8, draw)
    return model, draw.integers(rows, low=1, high=symbols), 0


def _scores(
    model: TableModel, rows: Tensor, start: Tensor, written: Tensor, end: int, alpha: float
) -> Tensor:
    """Of sentences (N, T) that are given, filled with their end."""
    asked, steps = torch.cat((start[:, None], written), 1), range(written.shape[1])
    logs = [model(asked[:, : t + 1], rows).log_softmax(-1) for t in steps]
    costs = torch.stack([logs[t].gather(1, written[:, t, None])[:, 0] for t in steps], 1)
    ends = (written == end).long()
    real = ends.cumsum(1) == ends  # before the end, and the end itself
    length = real.sum(1).to(costs.dtype)
    return costs.masked_fill(~real, 0).sum(1) / reference.length_penalty(length, alpha)


def _one_is_greedy(call, generator: Generator, device: torch.device) -> str | None:
    asked = (*_model(Draw(generator, device), ROWS, SYMBOLS), LONGEST)
    written, _ = call(*asked, 1, 0.6)
    if not torch.equal(written[:, 0], reference.greedy_decode(*asked)):
        return "a beam of one writes something else than greedy decoding"
    return None


def _alone_as_together(call, generator: Generator, device: torch.device) -> str | None:
    model, start, end = _model(Draw(generator, device), ROWS, SYMBOLS)
    written, scores = call(model, start, end, LONGEST, 3, 0.6)
    for row in range(1, ROWS):
        asked = one_row(model, row), start[row : row + 1], end, LONGEST, 3, 0.6
        alone, value = call(*asked)
        same = torch.equal(filled(alone, end, written.shape[-1])[0], written[row])
        if not same or not (value[0] - scores[row]).abs().max() <= 1e-9:
            return "the beams of a sentence by itself are not those that it has in a batch"
    return None


def _scores_are_theirs(call, generator: Generator, device: torch.device) -> str | None:
    (model, start, end), beams = _model(Draw(generator, device), ROWS, SYMBOLS), 3
    written, scores = call(model, start, end, LONGEST, beams, 0.6)
    rows = torch.arange(ROWS, device=device).repeat_interleave(beams)
    said = written.flatten(0, 1).clamp(0, SYMBOLS - 1)
    right, got = _scores(model, rows, start[rows], said, end, 0.6), scores.flatten()
    for wanted, found in zip(right.tolist(), got.tolist(), strict=True):
        if not abs(wanted - found) <= 1e-9:
            return f"the score of a sentence is {found:.4g}; asked symbol by symbol, {wanted:.4g}"
    return None


def _finds_the_best(call, generator: Generator, device: torch.device) -> str | None:
    """Three symbols, of which one is the end: seven beginnings of two symbols or less."""
    model, start, end = _model(Draw(generator, device), 1, 3)
    longest, wide = 3, 1 + 2 * 3
    (written,), (scores,) = call(model, start, end, longest, wide, 0.6)
    every = torch.cartesian_prod(*[torch.arange(3, device=device)] * longest)
    after = (every == end).cumsum(1) > 0
    every = every.masked_fill(after, end).unique(dim=0)
    rows = torch.zeros_like(every[:, 0])
    found = _scores(model, rows, start.expand(len(every)), every, end, 0.6)
    best = filled(written[:1], end, longest)[0], scores[0]
    if not torch.equal(best[0], every[found.argmax()]) or not (best[1] - found.max()).abs() <= 1e-9:
        return f"a beam of {wide}, which loses nothing here, misses the best of {len(every)}"
    return None


BEAM_SEARCH = Exercise(
    reference=reference.beam_search,
    chapter=CHAPTER,
    points={"values": 6, "edges": 4, "types": 1, "contracts": 2},
    cases=CASES,
    contract=_contract,
    outputs=("written", "scores"),
    properties=(
        Property("a beam of one is greedy", _one_is_greedy),
        Property("alone as in a batch", _alone_as_together, "values"),
        Property("each score is its sentence's", _scores_are_theirs, "values"),
        Property("a wide beam finds the best of all", _finds_the_best),
    ),
    traps=TRAPS,
)
