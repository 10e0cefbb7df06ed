"""What the exercises that write a translation share: the models that they ask, and how they end."""

from collections.abc import Sequence

import torch
from torch import Generator, Tensor

from tutor.checks.conditions import Condition, Factor, Row
from tutor.checks.crossings import DTYPE
from tutor.checks.draw import DOUBLE, Draw
from tutor.checks.table_model import TableModel

# All sizes differ, so that a swapped axis cannot pass.
ROWS, SYMBOLS, LONGEST = 3, 7, 5

PRECISION = Factor("dtype", DTYPE.conditions[:2])
"""Of the scores. In half precision two symbols are often as likely, and rounding chooses."""

NUMBER = Factor(
    "rows",
    (
        Condition("of three", value=ROWS),
        Condition("of one", "one sentence", 1, edge=True, alone=True),
    ),
)
END = Factor(
    "end",
    (
        Condition("within", value=2),
        Condition("symbol 0", "symbol 0 as the end", 0),
        Condition("last symbol", "the last symbol as the end", SYMBOLS - 1),
    ),
)
START = Factor(
    "start",
    (
        Condition("each its own"),
        Condition("one start", "one start for all sentences"),
        Condition("the end", "the end's symbol as the start", edge=True, alone=True),
    ),
)
MEMORY = Factor(
    "memory",
    (
        Condition("all", value=0.8),
        Condition("latest", "scores that hang on the latest symbol alone", 0.0),
    ),
)
SIZE = Factor(
    "size",
    (
        Condition("around 1", value=2.0),
        Condition("large", "scores in the hundreds", 300.0, edge=True),
    ),
)
_NEVER, _AT_ONCE = -30.0, 30.0
ENDINGS = Factor(
    "endings",
    (
        Condition("some", value=(1.0, _NEVER, 0.25)),
        Condition("likely", "ends that are likely", (2.0, 1.0, 0.5), alone=True),
        Condition("none", "no sentence that ends", (_NEVER,), edge=True, alone=True),
        Condition("at once", "sentences that end at once", (_AT_ONCE,), edge=True, alone=True),
        Condition("one at once", "one that ends at once", (_AT_ONCE, _NEVER, 0.25), edge=True),
    ),
)
"""What is added to the end's scores in each row, in turn, as multiples of the others' size."""


def model_of(
    wanted: Tensor, fade: float, draw: Draw, dtype: torch.dtype = DOUBLE, turned: bool = True
) -> TableModel:
    """The model whose scores are ``wanted`` (R, V, V), summed over what is written."""
    turn = torch.eye(wanted.shape[-1], dtype=DOUBLE)
    if turned:
        cpu = torch.device("cpu")
        turn = torch.linalg.qr(Draw(draw.generator, cpu).normal(*turn.shape)).Q
    tables = wanted.cpu() @ (turn @ turn).mT  # which the model's own two turns undo
    return TableModel(tables.to(draw.device, dtype), turn.to(draw.device, dtype), fade)


def drawn(draw: Draw, row: Row) -> tuple[TableModel, Tensor, int]:
    """The model, the start of each sentence, and the end's symbol, under the row's conditions."""
    rows, end, symbols = row["rows"], row["end"], SYMBOLS
    wanted = draw.normal(rows, symbols, symbols, scale=row["size"]).cpu()
    for i in range(rows):
        wanted[i, :, end] += row["size"] * row["endings"][i % len(row["endings"])]
    start = _other_than(end, draw.integers(rows, low=0, high=symbols - 1))
    if "one start" in row:
        start = start[:1].expand(rows)
    if "the end" in row:
        start = torch.full_like(start, end)
    return model_of(wanted, row["memory"], draw, row["dtype"]), start, end


def _other_than(end: int, start: Tensor) -> Tensor:
    return start + (start >= end).long()


def markov(draw: Draw, *tables: Sequence[Sequence[float]]) -> TableModel:
    """A row of a batch for each table of probabilities: how likely symbol j is after symbol i."""
    wanted = torch.tensor(tables, dtype=DOUBLE).log()
    return model_of(wanted, 0.0, draw, turned=False)


def counting(draw: Draw) -> tuple[TableModel, Tensor, int]:
    """As ``drawn``: one sentence that goes from each symbol to the next, over 127, where small
    integers end."""
    symbols, first, end = 140, 125, 131
    wanted = draw.normal(1, symbols, symbols).cpu() + 12 * torch.eye(symbols).roll(1, -1)
    start = torch.tensor([first], device=draw.device)
    return model_of(wanted, 0.0, draw, turned=False), start, end


_LEVELS, _LEVEL = 4, 3
"""Symbols of a level are followed by those of the next, and the last ones by the end."""
STEPS = _LEVELS
"""That it takes then from a symbol of the first level."""


def stairs(generator: Generator, device: torch.device, rows: int) -> tuple[TableModel, Tensor, int]:
    """As ``drawn``: sentences that all end after STEPS symbols, whichever are chosen."""
    draw, symbols = Draw(generator, torch.device("cpu")), _LEVELS * _LEVEL + 1
    level = torch.arange(symbols) // _LEVEL  # the end's is one above the last
    wanted = draw.normal(rows, symbols, symbols)
    wanted += 20 * _NEVER * (level[None, :] != (level[:, None] + 1).clamp(max=_LEVELS))
    start = draw.integers(rows, low=0, high=_LEVEL)
    model = model_of(wanted, 0.0, Draw(generator, device))
    return model, start.to(device), symbols - 1


def one_row(model: TableModel, row: int) -> TableModel:
    return TableModel(model.tables[row : row + 1], model.readout, model.fade)


def filled(written: Tensor, end: int, length: int) -> Tensor:
    """With ``end`` after it, up to a length."""
    more = written.new_full((*written.shape[:-1], max(length - written.shape[-1], 0)), end)
    return torch.cat((written, more), dim=-1)


def asked_flops(model: TableModel, beginnings: int) -> int:
    """Of one call of a model."""
    symbols = model.tables.shape[-1]
    return 2 * symbols * symbols * (symbols + beginnings)
