"""What ``stream`` must satisfy, and the wrong answers that people give."""

import math
from collections.abc import Iterator
from itertools import pairwise

import torch
from torch import Generator

from tutor import assembly as reference
from tutor.checks.assembly.shared import CHAPTER
from tutor.checks.assembly.stream_traps import TRAPS
from tutor.checks.conditions import Condition, Crossed, Factor, Family, Row
from tutor.checks.draw import DOUBLE, Draw
from tutor.checks.exercise import Case, Contract, Exercise
from tutor.checks.table_model import TableModel
from tutor.checks.transformer.writing import model_of

TOKENS = [
    b"a",
    b" b",
    b"\xc3",
    b"\xa9",
    b"\xe2\x82",
    b"\xac! ",
    b"\xff",
    b"\xf0\x9f",
    b"\x98\x80",
    b"<e>",
    b"<t>",
]
V = len(TOKENS)
_STOP = [9, 10]
_A, _B, _C3, _A9, _E282, _AC, _FF, _F09F, _9880, _END, _TEXT = range(V)

_TOLD = Factor(
    "told",
    (
        Condition("characters in two", value=(_A, _C3, _A9, _B, _E282, _AC, _A, _END)),
        Condition("letters", "tokens of whole characters", (_A, _B, _A, _B, _B, _END, _A)),
        Condition(
            "four bytes",
            "a character of four bytes",
            (_F09F, _9880, _C3, _A9, _TEXT, _A),
            alone=True,
        ),
        Condition(
            "never valid",
            "bytes that are no text",
            (_B, _FF, _A, _A9, _B, _E282, _A, _END),
            edge=True,
            alone=True,
        ),
        Condition(
            "a half behind a half",
            "bytes that are no text",
            (_E282, _C3, _A9, _F09F, _FF, _B, _END),
            edge=True,
        ),
        Condition(
            "the end of the text", "the other stop token", (_C3, _A9, _TEXT, _A, _END), alone=True
        ),
        Condition(
            "half at the end",
            "half a character at the end of the turn",
            (_A, _E282, _END),
            edge=True,
            alone=True,
        ),
        Condition(
            "half at the limit",
            "half a character at the last chance",
            (_B, _A, _F09F),
            edge=True,
            alone=True,
        ),
        Condition("at once", "a text that ends at once", (_END, _A), edge=True),
        Condition("nothing", "no chance to write", (), edge=True),
    ),
)
_PROMPT = Factor(
    "prompt",
    (
        Condition("three", value=3),
        Condition("one token", "a prompt of one token", 1, edge=True),
        Condition("six", value=6),
    ),
)
_MEMORY = Factor(
    "memory",
    (
        Condition("all", value=0.8),
        Condition("latest", "scores that hang on the latest token alone", 0.0),
    ),
)
_CUTS = Factor(
    "cuts",
    (
        Condition("every cut", value=(0.8, 5, 0.9)),
        Condition("no cuts", "temperature and cuts left out", (), alone=True),
        Condition("cold", "a temperature of 0", (0.0,), edge=True, alone=True),
        Condition("warm and few", "the three likeliest, warm", (1.5, 3)),
    ),
)
FAMILY = Family((_TOLD, _PROMPT, _MEMORY, _CUTS))


def _p(logits, temperature=1.0, top_k=None, top_p=None):
    """What is left of each token's probability."""
    if temperature == 0:
        return torch.nn.functional.one_hot(logits.argmax(-1), V).to(logits)
    ranked, order = (logits / temperature).softmax(-1).sort(descending=True, stable=True)
    if top_k is not None:
        ranked = ranked * (torch.arange(V) < top_k)
        ranked = ranked / ranked.sum()
    if top_p is not None:
        ranked = ranked * (ranked.cumsum(-1) - ranked < top_p)
    p = torch.zeros_like(ranked).scatter(-1, order, ranked)
    return p / p.sum()


def _story(draw: Draw, told: tuple[int, ...], prompt: int, fade: float, cuts: tuple):
    """A model, a prompt and chances with which exactly this is told, and would not be with others:
    two tokens are likely at a time."""
    cpu = Draw(draw.generator, torch.device("cpu"))
    ids = cpu.integers(prompt, low=0, high=2)
    table = cpu.normal(1, V, V, scale=0.3)
    model = model_of(table, fade, cpu)
    rows, fed, chances = torch.zeros(1, dtype=torch.int64), ids[None], []
    if fade == 0.0:
        # One table tells what follows what: where a token comes twice, both followers are likely.
        chain = [int(ids[-1]), *told]
        for before, after in pairwise(chain):
            table[0, before, after] += 6.0
            table[0, before, (after + 1) % V] += 5.0
        model = model_of(table, fade, cpu)
        if cuts[:1] == (0.0,):
            for before, after in dict(zip(chain[:-1][::-1], chain[1:][::-1], strict=True)).items():
                table[0, before, after] += 9.0
            model = model_of(table, fade, cpu)
    for token in told:
        logits = model(fed, rows)[0]
        p = _p(logits, *cuts)
        if p[token] <= 0.002:
            token = int(p.argmax())
        chances.append(float(p.cumsum(-1)[token] - p[token] / 2))
        fed = torch.tensor([[token]])
    return model, ids, torch.tensor(chances, dtype=DOUBLE)


def _arguments(draw: Draw, row: Row) -> tuple:
    told = row["told"]
    model, ids, chances = _story(draw, told, row["prompt"], row["memory"], row["cuts"])
    device = draw.device
    return (
        model.of(lambda t: t.to(device)),
        ids.to(device),
        list(TOKENS),
        list(_STOP),
        chances.to(device),
        *row["cuts"],
    )


def chained(told: tuple[int, ...], device) -> TableModel:
    """A model that tells these tokens behind token 0, all of them different."""
    table = torch.full((1, V, V), -20.0, dtype=DOUBLE, device=device)
    for before, after in zip([0, *told], told, strict=False):
        table[0, before, after] = 20.0
    return TableModel(table, torch.eye(V, dtype=DOUBLE, device=device))


def _two_minds(device) -> tuple:
    """A prompt of two tokens of which the first says more than the second: read twice, the second
    would. Behind what follows stands the end, which the prompt, read again, would not allow."""
    table = torch.zeros(1, V, V, dtype=DOUBLE, device=device)
    table[0, _A, _C3], table[0, _B, _FF], table[0, _C3, _A9] = 30.0, 20.0, 25.0
    table[0, _A9, _END] = 40.0
    model = TableModel(table, torch.eye(V, dtype=DOUBLE, device=device), 1.0)
    prompt = torch.tensor([_A, _B], device=device)
    chances = torch.full((3,), 0.5, dtype=DOUBLE, device=device)
    return model, prompt, list(TOKENS), list(_STOP), chances


def _tempered(device) -> tuple:
    """0.4 and 0.6 are 0.31 and 0.69 at a temperature of a half: a chance of 0.35 is between."""
    table = torch.full((1, V, V), -30.0, dtype=DOUBLE, device=device)
    table[0, _A, _A], table[0, _A, _B] = math.log(0.4), math.log(0.6)
    table[0, _B, _END] = 30.0
    model = TableModel(table, torch.eye(V, dtype=DOUBLE, device=device))
    chances = torch.tensor([0.35, 0.5], dtype=DOUBLE, device=device)
    prompt = torch.tensor([_A], device=device)
    return model, prompt, list(TOKENS), list(_STOP), chances, 0.5


def _by_hand(draw: Draw) -> Iterator[Case]:
    begin = torch.tensor([0], device=draw.device)

    def case(label, told, group="values", number=None, stop=_STOP):
        chances = torch.full((number or len(told),), 0.5, dtype=DOUBLE, device=draw.device)
        args = chained(told, draw.device), begin, list(TOKENS), list(stop), chances
        return Case(label, args, group)

    yield case("the example of the text", (_B, _C3, _A9, _END))
    yield Case("a prompt whose tokens say different things", _two_minds(draw.device))
    yield Case("a temperature that decides", _tempered(draw.device))
    for label, told in {
        "three bytes in two tokens": (_B, _E282, _AC, _TEXT),
        "four bytes in two tokens": (_F09F, _9880, _B, _END),
        "a byte that is never valid": (_B, _FF, _C3, _A9, _END),
        "the end of a character without its beginning": (_B, _A9, _E282, _AC, _END),
        "half a character and then a letter": (_E282, _B, _F09F, _9880, _END),
        "half a character at the end of the turn": (_B, _E282, _END),
        "half a character at the end of the text": (_B, _C3, _TEXT),
        "half a character at the last chance": (_B, _F09F),
        "half a character behind another": (_F09F, _E282, _C3, _A9, _END),
    }.items():
        yield case(label, told, "edges")
    yield case("no stop token", (_B, _END, _C3, _A9), "edges", stop=[])
    # No chance, either: a model refuses an empty prompt, too, if it is asked.
    none = chained((1,), draw.device), begin[:0], list(TOKENS), [9], begin[:0].to(DOUBLE)
    yield Case("an empty prompt must raise ValueError", none, "edges", ValueError)


CASES = Crossed(FAMILY, _arguments, _by_hand, usual="characters in two tokens")


def _contract(generator: Generator, device: torch.device) -> Contract:
    return Contract(calls=())  # to tell text, numbers have to be read out of tensors


STREAM = Exercise(
    reference=reference.stream,
    chapter=CHAPTER,
    points={"values": 5, "edges": 4},
    cases=CASES,
    contract=_contract,
    outputs=("piece",),
    traps=TRAPS,
)
