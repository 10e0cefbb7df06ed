"""What ``mask_tokens`` must satisfy, and the wrong answers that people give."""

from collections.abc import Iterator

import torch
from torch import Generator, Tensor

from tutor import families as reference
from tutor.checks.conditions import Condition, Crossed, Factor, Family, Row
from tutor.checks.crossings import BATCH, LAYOUT
from tutor.checks.draw import DOUBLE, SINGLE, Draw, laid
from tutor.checks.exercise import Case, Contract, Exercise
from tutor.checks.families.masking_traps import TRAPS
from tutor.checks.families.shared import CHAPTER

_T, _V, _MASK = 9, 40, 37

_INTEGERS = Factor(
    "integers",
    (
        Condition("int64", value=torch.int64),
        Condition("int32", "32-bit integers", torch.int32, alone=True),
    ),
)
_SPECIAL = Factor(
    "special",
    (
        Condition("at the ends"),
        Condition("none special", "no special token", edge=True, alone=True),
        Condition("all special", "special tokens alone", edge=True, alone=True),
    ),
)
_RATE = Factor(
    "rate",
    (
        Condition("half of them", value=(0.5,)),
        Condition("left out", "the rate left out", ()),
        Condition("every", "a rate of 1", (1.0,), edge=True, alone=True),
        Condition("never", "a rate of 0", (0.0,), edge=True),
    ),
)
_DRAWN = Factor(
    "drawn",
    (
        Condition("double", value=DOUBLE),
        Condition("single", "chances in single precision", SINGLE),
    ),
)
_NUMBERS = Factor(
    "numbers",
    (
        Condition("from 1", value=1),
        Condition("from 0", "token 0 among them", 0, edge=True, alone=True),
    ),
)
FAMILY = Family((_INTEGERS, LAYOUT, BATCH, _SPECIAL, _RATE, _DRAWN, _NUMBERS)).but(
    without={"behind": "tokens have no features"},
)


def _special(draw: Draw, shape: tuple[int, ...], which: Condition) -> Tensor:
    special = torch.zeros(shape, dtype=torch.bool, device=draw.device)
    if which.name == "at the ends":
        special[..., 0] = special[..., -2:] = True
    elif which.name == "all special":
        special[:] = True
    return special


def _arguments(draw: Draw, row: Row) -> tuple:
    shape, kinds = (*row["batch"], _T), (0.1, 0.45, 0.75, 0.85, 0.95)
    tokens = draw.integers(*shape, low=row["numbers"], high=_V - 5).to(row["integers"])
    if not row["numbers"]:
        tokens[..., 2:4] = 0
    special = _special(draw, shape, row.conditions["special"])
    chance = draw.uniform(*shape, low=0, high=1, dtype=row["drawn"])
    # All kinds are among those that are chosen, whatever is drawn: none near a border.
    turn = draw.integers(*shape, low=0, high=len(kinds))
    turn[..., 1:6] = torch.arange(5, device=draw.device)
    kind = torch.tensor(kinds, dtype=row["drawn"], device=draw.device)[turn]
    chance[..., 1:6] = chance[..., 1:6] / 8
    chance[..., 6] = 0.99
    substitute = draw.integers(*shape, low=row["numbers"], high=_V - 5).to(row["integers"])
    drawn = (laid(t, row["layout"]) for t in (tokens, special, chance, kind, substitute))
    return (*drawn, _MASK, *row["rate"])


def _by_hand(draw: Draw) -> Iterator[Case]:
    def of(*rows: list, rate: tuple[float, ...] = (0.5,)) -> tuple:
        tokens, special, chance, kind, substitute = rows
        numbers = [torch.tensor(n, device=draw.device) for n in (tokens, special)]
        numbers += [torch.tensor(n, dtype=DOUBLE, device=draw.device) for n in (chance, kind)]
        return (*numbers, torch.tensor(substitute, device=draw.device), _MASK, *rate)

    no, yes = False, True
    example = [5, 6, 7, 8], [no] * 4, [0.1, 0.2, 0.3, 0.9], [0.5, 0.85, 0.95, 0.1], [1, 2, 3, 4]
    yield Case("the example of the text", of(*example))
    borders = [5, 6, 7, 8], [no] * 4, [0.5, 0.0, 0.1, 0.2], [0.1, 0.8, 0.9, 0.0], [1, 2, 3, 4]
    yield Case("numbers on the borders", of(*borders), "edges")
    tenth = [5, 6, 7, 8], [no] * 4, [0.1, 0.2, 0.3, 0.4], [0.05, 0.3, 0.85, 0.95], [1, 2, 3, 4]
    yield Case("a kind below 0.1", of(*tenth))
    # Half precision has the same number for these as for the borders.
    near = [5, 6, 7, 8], [no] * 4, [0.49997, 0.1, 0.1, 0.1], [0.1, 0.7999, 0.8999, 0.7999]
    yield Case("numbers next to the borders", of(*near, [1, 2, 3, 4]), "edges")
    bert = (
        [[101, 7592, 2088, 999, 102], [101, 29999, 30521, 128, 102]],
        [[yes, no, no, no, yes]] * 2,
        [[0.1, 0.1, 0.9, 0.1, 0.1], [0.1, 0.9, 0.2, 0.3, 0.1]],
        [[0.2, 0.85, 0.85, 0.4, 0.2], [0.85, 0.85, 0.83, 0.95, 0.85]],
        [[300, 15000, 4000, 9000, 1], [200, 256, 20000, 30000, 2]],
    )
    yield Case("two rows of large numbers", of(*bert))
    same = [5, 6, 7], [no, no, yes], [0.1, 0.1, 0.1], [0.85, 0.85, 0.2], [5, 2, 3]
    yield Case("a substitute that is the token itself", of(*same), "edges")
    mask = [_MASK, 6, 7], [no] * 3, [0.1, 0.9, 0.1], [0.95, 0.1, 0.1], [1, 2, 3]
    yield Case("the mask's own id in the text", of(*mask), "edges")
    single = [5], [no], [0.1], [0.2], [3]
    yield Case("one token", of(*single), "edges")
    fitting = of(*example)
    for i, name in enumerate(("tokens", "special", "chance", "kind", "substitute")):
        for length, other in (("shorter", fitting[i][:1]), ("longer", fitting[i].repeat(2))):
            args = (*fitting[:i], other, *fitting[i + 1 :])
            yield Case(f"{length} {name} must raise ValueError", args, "edges", ValueError)


CASES = Crossed(FAMILY, _arguments, _by_hand)


def _contract(generator: Generator, device: torch.device) -> Contract:
    draw = Draw(generator, device)
    tokens, substitute = (draw.integers(4, 16, low=1, high=_V - 5) for _ in range(2))
    chance, kind = (draw.uniform(4, 16, low=0, high=1) for _ in range(2))
    special = torch.zeros(4, 16, dtype=torch.bool, device=device)
    return Contract(calls=((tokens, special, chance, kind, substitute, _MASK),))


MASK_TOKENS = Exercise(
    reference=reference.mask_tokens,
    chapter=CHAPTER,
    points={"values": 4, "edges": 2, "types": 1},
    cases=CASES,
    contract=_contract,
    outputs=("read", "said"),
    traps=TRAPS,
)
