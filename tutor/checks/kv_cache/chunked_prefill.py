"""What ``chunked_prefill`` must satisfy, and the wrong answers that people give."""

from collections.abc import Iterator

import torch
from torch import Generator

from tutor import kv_cache as reference
from tutor.checks.conditions import Condition, Crossed, Factor, Family, Row
from tutor.checks.crossings import DTYPE
from tutor.checks.draw import Draw, laid
from tutor.checks.exercise import Case, Contract, Exercise, Property
from tutor.checks.forbidden import LIBRARY_ATTENTION
from tutor.checks.kv_cache.prefill_traps import TRAPS
from tutor.checks.kv_cache.shared import (
    CHAPTER,
    HEADS,
    SINGLE_LAYOUTS,
    THETA,
    WIDTHS,
    B,
    sizes,
    weights,
)
from tutor.checks.limits import between
from tutor.checks.transformer.shared import quiet

_CHUNKS = Factor(
    "chunks",
    (
        Condition("ragged", value=(5, 3)),
        Condition("by token", "token after token", (2, 1), edge=True, alone=True),
        Condition("at once", "a chunk as long as the prompt", (6, 6), edge=True, alone=True),
        Condition("longer", "a chunk longer than the prompt", (5, 8), edge=True),
        Condition("one token", "a prompt of one token", (1, 3), edge=True),
    ),
)
"""T and the chunk."""
_TEXTS = Factor(
    "texts",
    (
        Condition("of two", value=B),
        Condition("of one", "one text", 1, edge=True),
    ),
)
_SIZE = Factor(
    "size",
    (
        Condition("around 1", value=1.0),
        Condition("far apart", "scores near 1e3", 12.0, edge=True),
    ),
)
FAMILY = Family(
    (quiet(DTYPE), SINGLE_LAYOUTS, HEADS, WIDTHS, THETA, _CHUNKS, _TEXTS, _SIZE),
    apart={
        frozenset(("half", "far apart")): "what the softmax does is decided by rounding there",
        frozenset(("bfloat16", "far apart")): "what the softmax does is decided by rounding there",
        frozenset(("single", "far apart")): "the last digits of scores near 1e3 are seen there",
    },
)


def _arguments(draw: Draw, row: Row) -> tuple:
    (h, g, c, d, cout), dtype, layout = sizes(row), row["dtype"], row["layout"]
    length, chunk = row["chunks"]
    x = draw.normal(row["texts"], length, c, dtype=dtype)
    given = weights(draw, h, g, c, d, cout, dtype)
    given[0], given[1] = given[0] * row["size"], given[1] * row["size"]
    return laid(x, layout), *(laid(w, layout) for w in given), h, chunk, *row["theta"]


def _by_hand(draw: Draw) -> Iterator[Case]:
    given = weights(draw, 6, 3, 7, 4, 5)
    x = draw.normal(B, 40, 7)
    yield Case("40 tokens", (x, *given, 6, 25, 10.0))
    yield Case("two whole chunks", (x[:, :6], *given, 6, 3, 10.0))
    yield Case("a last chunk of one token", (x[:, 3:10], *given, 6, 3, 10.0))
    wrong = x[:, :5], *given, 6, 0, 10.0
    yield Case("a chunk of 0 must raise ValueError", wrong, "edges", ValueError)
    wrong = x[:, :5], *given, 6, -3, 10.0
    yield Case("a negative chunk must raise ValueError", wrong, "edges", ValueError)


CASES = Crossed(FAMILY, _arguments, _by_hand, usual="a chunk and a shorter one")


def _any_chunk(call, generator: Generator, device: torch.device) -> str | None:
    draw = Draw(generator, device)
    x, given = draw.normal(B, 7, 7), weights(draw, 6, 3, 7, 4, 5)
    whole = call(x, *given, 6, 7, 100.0)
    for chunk in (3, 30):
        found = call(x, *given, 6, chunk, 100.0)
        pairs = zip(whole, found, strict=True)
        if not all(torch.allclose(a, b, rtol=0, atol=1e-9) for a, b in pairs):
            return f"chunks of {chunk} give other answers than everything at once"
    return None


def _future(call, generator: Generator, device: torch.device) -> str | None:
    draw = Draw(generator, device)
    x, given = draw.normal(B, 10, 7), weights(draw, 6, 3, 7, 4, 5)
    before = call(x, *given, 6, 7, 100.0)
    other = x.clone()
    other[:, 6:] = draw.normal(B, 4, 7)
    after = call(other, *given, 6, 7, 100.0)
    if torch.equal(before[0][:, :6], after[0][:, :6]):
        return None
    return "a token's answer changes with tokens that come later"


def _long_prompt(call, generator: Generator, device: torch.device) -> str | None:
    """Positions that a short integer, or a number of half precision, does not tell apart."""
    draw = Draw(generator, device)
    given = draw.normal(1, 2101, 7), *weights(draw, 1, 1, 7, 2, 5), 1, 701, 10_000.0
    keys, wanted = call(*given)[1], reference.chunked_prefill(*given)[1]
    if torch.allclose(keys, wanted, rtol=0, atol=1e-9):
        return None
    return "in a prompt of 2,101 tokens, keys are not turned by their positions"


def _contract(generator: Generator, device: torch.device) -> Contract:
    # Tokens much wider than a chunk is long: then projecting is what costs. And many more heads:
    # nothing else than the chunk is as short.
    draw, h, c, d, length, chunk = Draw(generator, device), 40, 128, 16, 64, 8
    args = draw.normal(1, length, c), *weights(draw, h, h, c, d, c), h, chunk
    width, chunks = h * d, length // chunk
    once = 2 * length * width * c
    whole = 4 * length * length * width  # scores of each chunk with the keys of the whole prompt
    needed = whole * (chunks + 1) // (2 * chunks)
    return Contract(
        calls=(args,),
        # Against one projection more, to say nothing of one for each chunk.
        max_flops=between(4 * once + whole, 5 * once + needed),
        # Of one chunk, twice; against those of the prompt.
        max_intermediate=between(2 * h * chunk * length, h * length * length),
        forbidden=LIBRARY_ATTENTION,
    )


CHUNKED_PREFILL = Exercise(
    reference=reference.chunked_prefill,
    chapter=CHAPTER,
    points={"values": 4, "edges": 3, "types": 1, "contracts": 2},
    cases=CASES,
    contract=_contract,
    outputs=("answers", "keys", "values"),
    properties=(
        Property("any chunk", _any_chunk, "values"),
        Property("later tokens changed", _future, "edges"),
        Property("a long prompt", _long_prompt, "edges"),
    ),
    traps=TRAPS,
)
