"""What ``sample`` must satisfy, and the wrong answers that people give."""

from collections.abc import Iterator

import torch
from torch import Generator, Tensor

from tutor import families as reference
from tutor.checks.conditions import Condition, Crossed, Factor, Family, Row
from tutor.checks.crossings import BATCH, DTYPE, LAYOUT
from tutor.checks.draw import BFLOAT, DOUBLE, HALF, SINGLE, Draw, laid
from tutor.checks.exercise import Case, Contract, Exercise, Property
from tutor.checks.families.sampling_traps import TRAPS
from tutor.checks.families.shared import CHAPTER
from tutor.checks.limits import between

_V = 7
_LEVELS = (2.2, 1.5, 0.9, 0.2, -0.4, -1.1, -1.9)
"""Of the logits, before some is added and they are mixed: no two are equal in any precision."""
_WIDE = {DOUBLE: 0.01, SINGLE: 0.01, HALF: 0.06, BFLOAT: 0.1}
"""Shares of 1 that rounding does not get over: numbers drawn fall into the middle of such."""

_TEMPERATURE = Factor(
    "temperature",
    (
        Condition("as it is", value=1.0),
        Condition("cool", "a temperature of 0.5", 0.5, alone=True),
        Condition("warm", "a temperature of 2", 2.0),
        Condition("cold", "a temperature of 0", 0.0, edge=True, alone=True),
    ),
)
_TOP_K = Factor(
    "top_k",
    (
        Condition("all of them", value=None),
        Condition("the first three", "the three likeliest", 3, alone=True),
        Condition("the first", "the likeliest alone", 1, edge=True),
        Condition("more than all", "more likeliest than tokens", _V + 3, edge=True, alone=True),
    ),
)
_TOP_P = Factor(
    "top_p",
    (
        Condition("no share"),
        Condition("a share", "the likeliest up to a share", "middle", alone=True),
        Condition("a tiny share", "a share less than the likeliest has", "tiny", edge=True),
        Condition("a share of 1", "a share of 1", "one", edge=True, alone=True),
    ),
)
_TOKENS = Factor(
    "tokens",
    (
        Condition("seven"),
        Condition("some banned", "logits of -inf", "banned", edge=True, alone=True),
        Condition("one token", "one token", "one", edge=True),
    ),
)
FAMILY = Family((DTYPE, LAYOUT, BATCH, _TEMPERATURE, _TOP_K, _TOP_P, _TOKENS))


def _logits(draw: Draw, row: Row) -> Tensor:
    """Each row the same numbers in another order, and all of a row a little more or less: the
    likeliest have the same shares in each."""
    batch, dtype = row["batch"], row["dtype"]
    if row["tokens"] == "one":
        return draw.normal(*batch, 1, dtype=dtype)
    levels = torch.tensor(_LEVELS, dtype=DOUBLE, device=draw.device)
    levels = levels + draw.uniform(_V, low=-0.1, high=0.1)
    if row["tokens"] == "banned":
        levels = torch.cat((levels[:5], levels.new_full((2,), float("-inf"))))
    order = draw.uniform(*batch, _V, low=0, high=1).argsort(-1)
    return (levels[order] + draw.integers(*batch, 1, low=-2, high=3)).to(dtype)


def _share(p: Tensor, wide: float, kind: str | None) -> float | None:
    """In the middle of what one of the likeliest brings, and so near to no sum of any."""
    if kind is None:
        return None
    if kind == "one":
        return 1.0
    steps = p.sort(descending=True).values.tolist()
    sums = [sum(steps[: i + 1]) for i in range(len(steps))]
    usable = [i for i, step in enumerate(steps) if step >= wide]
    i = 0 if kind == "tiny" else min(2, usable[-1])
    return sums[i] - steps[i] / 2


def _chances(draw: Draw, p: Tensor, wide: float) -> Tensor:
    """In the middle of what a token brings that is likely enough, each row's another one."""
    enough = (p >= wide).to(DOUBLE)
    order = enough * (1 + draw.uniform(*p.shape, low=0, high=1))
    token = order.argmax(-1, keepdim=True)
    return (p.cumsum(-1) - p / 2).gather(-1, token)[..., 0]


def _arguments(draw: Draw, row: Row) -> tuple:
    logits, wide = _logits(draw, row), _WIDE[row["dtype"]]
    temperature, top_k = row["temperature"], row["top_k"]
    p = (logits.double() / (temperature or 1.0)).softmax(-1)
    if top_k is not None:
        least = p.sort(descending=True).values[..., : min(top_k, p.shape[-1])][..., -1:]
        p = p * (p >= least)
        p = p / p.sum(-1, keepdim=True)
    top_p = _share(p.reshape(-1, p.shape[-1])[0], wide, row["top_p"])
    if top_p is not None:
        ranked, order = p.sort(descending=True)
        ranked = ranked * (ranked.cumsum(-1) - ranked < top_p)
        p = torch.zeros_like(p).scatter(-1, order, ranked / ranked.sum(-1, keepdim=True))
    chance = _chances(draw, p, wide).to(row["dtype"])
    return laid(logits, row["layout"]), laid(chance, row["layout"]), temperature, top_k, top_p


def _by_hand(draw: Draw) -> Iterator[Case]:
    def of(shares: list, chance: list, *cuts) -> tuple:
        numbers = (torch.tensor(n, dtype=DOUBLE, device=draw.device) for n in (shares, chance))
        shares, chance = numbers
        return shares.log(), chance, *cuts

    example = [0.1, 0.4, 0.2, 0.3]
    yield Case("the example of the text", of(example, 0.75))
    yield Case("the temperature left out", of(example, 0.13))
    yield Case("the example with two likeliest", of(example, 0.75, 1.0, 2))
    yield Case("the example up to a share", of(example, 0.6, 1.0, None, 0.6))
    rows = [example, example[::-1], [0.4, 0.3, 0.2, 0.1], [0.3, 0.1, 0.4, 0.2]]
    yield Case("a chance for each row", of(rows, [0.05, 0.95, 0.45, 0.75]))
    yield Case("both cuts at once", of(rows, [0.1, 0.3, 0.6, 0.9], 1.0, 3, 0.8))
    yield Case("both cuts at once, cooler", of(rows, [0.1, 0.3, 0.6, 0.9], 0.5, 3, 0.9))
    yield Case("both cuts, top_k the closer one", of(example, 0.55, 1.0, 2, 0.95))
    alone = of(example, 0.55, 1.0, 1, 0.95)
    yield Case("both cuts, the likeliest alone", alone, "edges")
    yield Case("up to a share, cooler", of(example, 0.9, 0.5, None, 0.5))
    # Of three the two likeliest are up to 0.75 of what is left, and of all three of them.
    yield Case("a share of what is left", of([0.3, 0.2, 0.15, 0.35], 0.5, 1.0, 3, 0.7))
    # Of one row the cuts leave little over, of the other much.
    sure, unsure = [0.6, 0.2, 0.1, 0.06, 0.04], [0.24, 0.22, 0.2, 0.18, 0.16]
    differ, both = [sure, unsure, unsure], [0.7, 0.9, 0.293]
    yield Case("rows that differ, the two likeliest", of(differ, [0.9, 0.4, 0.6], 1.0, 2))
    yield Case("rows that differ, up to a share", of(differ, both, 1.0, None, 0.7))
    # In half precision these chances and shares are on the other side of the sums.
    near = [[0.3, 0.7], [0.29999, 0.70001]], [0.29998, 0.30001]
    yield Case("chances near the sums", of(*near))
    cut = [[0.27, 0.63, 0.1], [0.269991, 0.630009, 0.1]], near[1]
    yield Case("chances near the sums, two likeliest", of(*cut, 1.0, 2))
    yield Case("chances near the sums, up to a share", of(*cut, 1.0, None, 0.85))
    near = [[0.7, 0.2, 0.1], [0.70004, 0.2, 0.09996]], [0.85, 0.85]
    yield Case("a share near the sums", of(*near, 1.0, None, 0.70002))
    yield Case("two nearly alike, cold", of([0.49999, 0.50001], 0.1, 0.0), "edges")
    many = of([[1 / 300] * 300] * 2, [0.0025, 0.9975], 1.0, 200)
    yield Case("300 tokens, the 200 likeliest", many, "edges")
    reached = of([0.5, 0.5], 0.75, 1.0, None, 0.5)
    yield Case("a share that is reached exactly", reached, "edges")
    far = torch.tensor([[998.0, 1000.0, 999.0], [-1000.0, -998.0, -999.0]], dtype=DOUBLE)
    chances = torch.tensor([0.5, 0.95], dtype=DOUBLE)
    far, chances = (t.to(draw.device) for t in (far, chances))
    yield Case("numbers near 1e3", (far, chances), "edges")
    yield Case("a chance of 0", of([0.0, 0.4, 0.0, 0.6], 0.0), "edges")
    yield Case("a chance of 0 and a cut", of([0.1, 0.3, 0.2, 0.4], 0.0, 1.0, 2), "edges")
    yield Case("equally likely ones", of([0.25] * 4, 0.6, 1.0, 2), "edges")
    yield Case("equally likely at the end", of([0.4, 0.2, 0.2, 0.2], 0.9, 1.0, 2), "edges")
    yield Case("equally likely ones, cold", of([0.1, 0.45, 0.45], 0.9, 0.0), "edges")
    # Ten times 0.1 is 0.9999999999999999 in double precision, added one after another.
    yield Case("a sum that is not quite 1", of([0.1] * 10, 1 - 2**-53), "edges")
    last = of([0.1] * 10 + [0.0], 1 - 2**-53)
    yield Case("a sum that is not quite 1, and a token that cannot be", last, "edges")
    late, early = ([0.0] * n + [0.1] * 10 + [0.0] * (190 - n) for n in (140, 30))
    rows = of([early, early, late], [0.05, 1 - 2**-53, 1 - 2**-53])
    yield Case("sums that are not quite 1, in rows", rows, "edges")
    single = of(example, [0.2, 0.6])
    wrong = {
        "a negative temperature": (*single, -1.0),
        "top_k of 0": (*single, 1.0, 0),
        "top_p of 0": (*single, 1.0, None, 0.0),
        "top_p below 0": (*single, 1.0, None, -0.5),
        "top_p above 1": (*single, 1.0, None, 1.5),
        "top_k of 0 at a temperature of 0": (*single, 0.0, 0),
        "top_p above 1 at a temperature of 0": (*single, 0.0, None, 1.5),
    }
    for name, args in wrong.items():
        args = (args[0].expand(2, -1), *args[1:])
        yield Case(f"{name} must raise ValueError", args, "edges", ValueError)


CASES = Crossed(FAMILY, _arguments, _by_hand)


def _shares(call, generator: Generator, device: torch.device) -> str | None:
    """As chance goes through all numbers, each token comes as often as it is likely."""
    draw, n = Draw(generator, device), 1000
    logits = draw.normal(5)
    chance = (torch.arange(n, dtype=DOUBLE, device=device) + 0.5) / n
    got = call(logits.expand(n, -1), chance, 1.0, None, None)
    share = got.bincount(minlength=5)[:5] / n
    change = (share - logits.softmax(-1)).abs().max()
    if not change < 2 / n:
        return f"with evenly spread chances a token comes {float(change):.2g} too often or seldom"
    return None


def _contract(generator: Generator, device: torch.device) -> Contract:
    draw = Draw(generator, device)
    logits, chance = draw.normal(4, 50), draw.uniform(4, low=0, high=1)
    return Contract(
        calls=((logits, chance, 0.8, 20, 0.9),),
        # Each token beside each other one, to see which are likelier.
        max_intermediate=between(4 * 50, 4 * 50 * 50),
        forbidden={
            "multinomial": "it draws anew with torch's own numbers; the number drawn is given: "
            "chance"
        },
    )


SAMPLE = Exercise(
    reference=reference.sample,
    chapter=CHAPTER,
    points={"values": 4, "edges": 3, "types": 1, "contracts": 1},
    cases=CASES,
    contract=_contract,
    outputs=("token",),
    properties=(Property("all shares", _shares, "values"),),
    traps=TRAPS,
)
