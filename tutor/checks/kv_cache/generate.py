"""What ``generate`` must satisfy, and the wrong answers that people give."""

from collections.abc import Iterator, Sequence

import torch
from torch import Generator, Tensor

from tutor import kv_cache as reference
from tutor.checks.conditions import Condition, Crossed, Factor, Family, Row
from tutor.checks.draw import DOUBLE, Draw
from tutor.checks.exercise import Case, Contract, Exercise, Property
from tutor.checks.kv_cache.generation_traps import TRAPS
from tutor.checks.kv_cache.shared import CHAPTER
from tutor.checks.limits import between
from tutor.checks.table_model import TableModel
from tutor.checks.transformer.writing import (
    MEMORY,
    PRECISION,
    SIZE,
    asked_flops,
    markov,
    model_of,
    one_row,
)

SYMBOLS, LONGEST = 7, 5
_PROMPTS = Factor(
    "prompts",
    (
        Condition("ragged", value=(2, 4, 1)),
        Condition("equal", "prompts of one length", (3, 3, 3), alone=True),
        Condition("one prompt", "one prompt", (4,), edge=True, alone=True),
        Condition("one token each", "prompts of one token", (1, 1, 1), edge=True),
        Condition("more rows", "more prompts than symbols are written", (2, 1, 3, 2, 1, 4, 2)),
    ),
)
_STOP = Factor(
    "stop",
    (
        Condition("two of them", value=(5, 2)),
        Condition("one of them", "one stop token", (3,), alone=True),
        Condition("none of them", "no stop token", (), edge=True, alone=True),
        Condition("symbol 0", "symbol 0 as a stop token", (0, 6)),
    ),
)
_ENDS = Factor(
    "ends",
    (
        Condition("one after another", value=(3, 1, None)),
        Condition("all early", "rows that all end early", (2, 1, 3, 2), alone=True),
        Condition("at once", "rows that end at once", (0,), edge=True, alone=True),
        Condition("never", "rows that do not end", (None,), edge=True),
    ),
)
"""The step in which each row draws a stop token, in turn."""
_CUTS = Factor(
    "cuts",
    (
        Condition("every cut", value=(0.8, 5, 0.9)),
        Condition("no cuts", "temperature and cuts left out", (), alone=True),
        Condition("cold", "a temperature of 0", (0.0,), edge=True, alone=True),
        Condition("warm and few", "the three likeliest, warm", (1.5, 3)),
        Condition("share", "the likeliest up to a share", (1.0, None, 0.7)),
    ),
)
_LENGTH = Factor(
    "longest",
    (
        Condition("a few", value=LONGEST),
        Condition("one token", "one token at most", 1, edge=True),
        Condition("nothing", "nothing to be written", 0, edge=True),
    ),
)
FAMILY = Family((PRECISION, _PROMPTS, MEMORY, SIZE, _STOP, _ENDS, _CUTS, _LENGTH))


def _cut(logits: Tensor, temperature: float = 1.0, top_k=None, top_p=None) -> Tensor:
    """What is left of each symbol's probability."""
    if temperature == 0:
        return torch.nn.functional.one_hot(logits.argmax(-1), logits.shape[-1]).to(logits)
    ranked, order = (logits / temperature).softmax(-1).sort(dim=-1, descending=True, stable=True)
    if top_k is not None:
        ranked = ranked * (torch.arange(ranked.shape[-1]) < top_k)
        ranked = ranked / ranked.sum(-1, keepdim=True)
    if top_p is not None:
        ranked = ranked * (ranked.cumsum(-1) - ranked < top_p)
    p = torch.zeros_like(ranked).scatter(-1, order, ranked)
    return p / p.sum(-1, keepdim=True)


def _chances(
    draw: Draw,
    model: TableModel,
    prompts: Sequence[Tensor],
    longest: int,
    stop: tuple[int, ...],
    ends: tuple[int | None, ...],
    cuts: tuple,
) -> Tensor:
    """Chances in the middle of what a symbol brings that is likely enough, so that rounding decides
    nothing: a stop symbol's where the row is to end, and no stop symbol's elsewhere."""
    batch, found = len(prompts), []
    rows, banned = torch.arange(batch), torch.zeros(SYMBOLS)
    banned[list(stop)] = 1
    wanted = [ends[b % len(ends)] for b in range(batch)]
    lottery = draw.uniform(longest, batch, SYMBOLS, low=0, high=1).cpu()
    logits = torch.cat([model(p[None], rows[b : b + 1]) for b, p in enumerate(prompts)])
    for step in range(longest):
        p = _cut(logits, *cuts)
        now = torch.tensor([w == step for w in wanted])[:, None]
        fits = torch.where(now, banned, 1 - banned)
        token = ((p >= 0.02) * (1 + lottery[step] + 4 * fits)).argmax(-1, keepdim=True)
        found.append((p.cumsum(-1) - p / 2).gather(-1, token)[:, 0])
        logits = model(token, rows)
    return torch.stack(found, 1) if found else torch.zeros(batch, 0, dtype=DOUBLE)


def _arguments(draw: Draw, row: Row) -> tuple:
    cpu = Draw(draw.generator, torch.device("cpu"))
    lengths, stop, cuts, dtype = row["prompts"], row["stop"], row["cuts"], row["dtype"]
    wanted = cpu.normal(len(lengths), SYMBOLS, SYMBOLS, scale=row["size"])
    if row["size"] < 10:
        wanted = wanted / 2  # several symbols are likely
    model = model_of(wanted, row["memory"], cpu)
    prompts = [cpu.integers(n, low=0, high=SYMBOLS) for n in lengths]
    longest = row["longest"]
    chances = _chances(cpu, model, prompts, longest, stop, row["ends"], cuts)
    device = draw.device
    return (
        model.of(lambda t: t.to(device, dtype)),
        [p.to(device) for p in prompts],
        chances.to(device, dtype),
        torch.tensor(stop, dtype=torch.int64, device=device),
        *cuts,
    )


EXAMPLE = ((0.2, 0.5, 0.3), (0.3, 0.1, 0.6), (0.1, 0.1, 0.8)), ((0.1, 0.2, 0.7),) * 3
"""Of the text: how likely symbol j is after symbol i, for two texts."""


def _by_hand(draw: Draw) -> Iterator[Case]:
    def symbols(*numbers: int) -> Tensor:
        return torch.tensor(numbers, dtype=torch.int64, device=draw.device)

    def chances(*rows: Sequence[float]) -> Tensor:
        return torch.tensor(rows, dtype=DOUBLE, device=draw.device)

    model, prompts = markov(draw, *EXAMPLE), [symbols(1, 0), symbols(0)]
    drawn = chances((0.5, 0.2, 0.95), (0.2, 0.9, 0.5))
    yield Case("the example of the text", (model, prompts, drawn, symbols(2)))
    held = [symbols(2, 0), symbols(0, 2)]
    yield Case("stop tokens in the prompts", (model, held, drawn, symbols(2)), "edges")
    both = symbols(2, 0)
    yield Case("two stop tokens", (model, prompts, drawn, both))
    # After 0 comes 1, and so on to the end: which of two is the stop token makes a difference.
    steps = (
        (0.02, 0.94, 0.02, 0.02),
        (0.02, 0.02, 0.94, 0.02),
        (0.02, 0.02, 0.02, 0.94),
        (0.94, 0.02, 0.02, 0.02),
    )
    turns = markov(draw, steps, steps, steps)
    begun = [symbols(3), symbols(3, 1), symbols(2, 2, 0)]
    even = chances(*[(0.5,) * 3] * 3)
    yield Case("rows that end with different tokens", (turns, begun, even, symbols(3, 1)))
    late = markov(draw, *[steps] * 8)
    many = [symbols(i % 3) for i in range(8)]
    half = chances(*[(0.5,) * 4] * 8)
    yield Case("more rows than tokens", (late, many, half, symbols(3)))
    fewer = model, prompts[:1], drawn, symbols(2)
    yield Case("fewer prompts than rows must raise ValueError", fewer, "edges", ValueError)
    more = model, [*prompts, symbols(1)], drawn, symbols(2)
    yield Case("more prompts than rows must raise ValueError", more, "edges", ValueError)
    empty = model, [symbols(1), symbols()], drawn, symbols(2)
    yield Case("an empty prompt must raise ValueError", empty, "edges", ValueError)


CASES = Crossed(FAMILY, _arguments, _by_hand, usual="prompts of unequal lengths")


def _alone_as_together(call, generator: Generator, device: torch.device) -> str | None:
    draw = Draw(generator, device)
    model = model_of(draw.normal(3, SYMBOLS, SYMBOLS), 0.8, draw)
    prompts = [draw.integers(n, low=0, high=SYMBOLS) for n in (3, 1, 2)]
    chances = draw.uniform(3, LONGEST, low=0, high=1)
    stop = torch.tensor([4], device=device)
    written, lengths = call(model, prompts, chances, stop, 1.0, None, None)
    for b, prompt in enumerate(prompts):
        given = one_row(model, b), [prompt], chances[b : b + 1], stop, 1.0, None, None
        alone, its = call(*given)
        n = int(its[0])
        if n != int(lengths[b]) or not torch.equal(alone[0, :n], written[b, :n]):
            return "a text by itself is not the one that it is in a batch"
    return None


_ROWS = 4


def _contract(generator: Generator, device: torch.device) -> Contract:
    draw = Draw(generator, torch.device("cpu"))
    wanted = draw.normal(_ROWS, SYMBOLS, SYMBOLS)
    model = model_of(wanted, 0.0, Draw(generator, device))
    prompts = [draw.integers(2, low=0, high=SYMBOLS).to(device) for _ in range(_ROWS)]
    chances = draw.uniform(_ROWS, LONGEST, low=0, high=1).to(device)
    stop = torch.tensor([], dtype=torch.int64, device=device)
    once, alone = asked_flops(model, _ROWS), asked_flops(model, 1)
    read = _ROWS * alone
    return Contract(
        calls=((model, prompts, chances, stop, 1.0, None, None),),
        # Against one call more, after the last token.
        max_flops=between(read + (LONGEST - 1) * once, read + LONGEST * once),
        waits=True,  # until all rows have ended; and who has ended need not be asked
    )


GENERATE = Exercise(
    reference=reference.generate,
    chapter=CHAPTER,
    points={"values": 5, "edges": 3, "types": 1, "contracts": 1},
    cases=CASES,
    contract=_contract,
    outputs=("written", "lengths"),
    properties=(Property("alone as in a batch", _alone_as_together, "values"),),
    traps=TRAPS,
)
