"""What ``RingAttention`` must satisfy, and the wrong answers that people give.

A check can't hand a student's process a function that sends and receives, nor start four of them.
So the exercise is what one rank does between its messages; here they are carried from hand to hand.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Generator, Tensor

from tutor import long_context as reference
from tutor.checks.conditions import Condition, Crossed, Factor, Family, Row, pair
from tutor.checks.crossings import DTYPE
from tutor.checks.draw import Draw, laid
from tutor.checks.exercise import Call, Case, Contract, Exercise, Property
from tutor.checks.forbidden import LIBRARY_ATTENTION
from tutor.checks.limits import between
from tutor.checks.long_context.ring_traps import TRAPS
from tutor.checks.long_context.shared import BATCH, CHAPTER, DV, LAYOUT, D

TIME = 3
"""Tokens of one rank."""

_RANKS = Factor(
    "ranks",
    (
        Condition("the last of two", value=(1, 2)),
        Condition("the second of three", "rank 1 of 3", (1, 3)),
        Condition("the first of two", "rank 0 of 2", (0, 2), edge=True, alone=True),
        Condition("a single one", "a ring of one", (0, 1), edge=True, alone=True),
    ),
)
_CAUSAL = Factor(
    "causal",
    (
        Condition("causal", value=True),
        Condition("all", "all keys for everybody", False, alone=True),
    ),
)
_SCORES = Factor(
    "scores",
    (
        Condition("ordinary", value=1.0),
        Condition("large", "scores in the hundreds", 30.0, edge=True, alone=True),
    ),
)
_TIME = Factor(
    "time",
    (
        Condition("several", value=TIME),
        Condition("one token", "one token a rank", 1, edge=True),
    ),
)
FAMILY = Family(
    (DTYPE, _SCORES, LAYOUT, BATCH, _RANKS, _CAUSAL, _TIME),
    apart={
        pair("half", "large"): "the order in which halves are rounded decides such a softmax",
        pair("bfloat16", "large"): "the order in which halves are rounded decides such a softmax",
    },
).but(
    without={
        "three": "with two dimensions in front nothing is new",
        "views": "as turned ones",
        "behind": "as turned ones",
    }
)


def _part(draw: Draw, batch: tuple[int, ...], time: int, dtype: torch.dtype, scale: float):
    """Queries, keys and values of one rank."""
    about = {"dtype": dtype, "scale": scale**0.5}
    q, k = draw.normal(*batch, time, D, **about), draw.normal(*batch, time, D, **about)
    return q, k, draw.normal(*batch, time, DV, dtype=dtype)


def _round(
    parts: list[tuple[Tensor, ...]], rank: int, causal: bool
) -> tuple[Any, tuple[Call, ...]]:
    """Arguments of the construction and the calls until all have been read; between them what is
    handed on, and one result on the way."""
    ranks, calls = len(parts), []
    for step in range(1, ranks):
        calls += [Call("outgoing"), Call("receive", parts[(rank - step) % ranks][1:])]
        if step == 1 and ranks > 2:
            calls.append(Call("result"))
    return (*parts[rank], rank, ranks, causal), (*calls, Call("result"))


def _arguments(draw: Draw, row: Row) -> tuple[Any, tuple[Call, ...]]:
    rank, ranks = row["ranks"]
    parts = [
        tuple(
            laid(t, row["layout"])
            for t in _part(draw, row["batch"], row["time"], row["dtype"], row["scores"])
        )
        for _ in range(ranks)
    ]
    return _round(parts, rank, row["causal"])


class _Rounds(Crossed):
    """Cases of a construction and its calls."""

    def _case(self, draw: Draw, row: Row) -> Case:
        return _with_calls(super()._case(draw, row))


def _with_calls(case: Case) -> Case:
    arguments, calls = case.args
    return replace(case, args=arguments, calls=calls)


def _by_hand(draw: Draw) -> Iterator[Case]:
    double = torch.float64
    ranks = draw.integer(3, 5)
    parts = [_part(draw, (2,), 2, double, 1.0) for _ in range(ranks)]
    round_ = _round(parts, draw.integer(1, 3), True)
    yield _with_calls(Case("a ring of a size drawn by lot", round_))
    parts = [_part(draw, (), TIME, double, 1.0) for _ in range(3)]
    rising = [(q, k * 400**n, v) for n, (q, k, v) in enumerate(parts)]
    for name, order in (("rise", rising), ("fall", rising[1::-1])):
        label = f"scores that {name} from rank to rank"
        yield _with_calls(Case(label, _round(order, len(order) - 1, False), "edges"))
    low = [(q.abs() + 0.5, -300 * (k.abs() + 0.5), v) for q, k, v in parts[:2]]
    label = "scores that are far below 0 on every rank"
    yield _with_calls(Case(label, _round(low, 1, False), "edges"))
    high = [(q, 900 * k, v) for q, k, v in parts[:1]]
    yield _with_calls(Case("scores that are high on one rank", _round(high, 0, True), "edges"))
    q, k, v = parts[0]
    outside = (q, k, v, 3, 3, True)
    yield Case("a rank that is none must raise ValueError", outside, "edges", ValueError)
    longer = Case(
        "a message of another size must raise ValueError",
        (q, k, v, 1, 3, True),
        "edges",
        ValueError,
        calls=(Call("receive", (k[:2], v[:2])),),
    )
    yield longer


CASES = _Rounds(FAMILY, _arguments, _by_hand, usual="the last of two, causal")


def _ring(make: Any, parts: list[tuple[Tensor, ...]], causal: bool) -> tuple[Tensor, int, int]:
    """All ranks in one process: the answer, elements that one rank sends, and the elements of the
    largest tensor that any call has made."""
    ranks = len(parts)
    members = [make(*part, r, ranks, causal) for r, part in enumerate(parts)]
    sent = largest = 0
    for _ in range(ranks - 1):
        letters = [one.call("outgoing") for one in members]
        sent += sum(t.numel() for t in letters[0])
        for r, one in enumerate(members):
            one.call("receive", *letters[r - 1])
            largest = max(largest, _largest(one))
    out = torch.cat([one.call("result") for one in members], -2)
    left = max(one.response.cost.flops if one.response.cost else 0 for one in members)
    if left > parts[0][0].shape[-2] ** 2:
        raise IndexError(f"result still does {left:,} FLOPs: read each message when it comes")
    return out, sent, max(largest, *map(_largest, members))


def _largest(one: Any) -> int:
    """Of its latest call, where it is watched."""
    return one.response.cost.largest if one.response.cost is not None else 0


def _three_are_one(make: Any, generator: Generator, device: torch.device) -> str | None:
    draw = Draw(generator, device)
    for ranks, causal in ((3, True), (2, False)):
        parts = [_part(draw, (), TIME, torch.float64, 1.0) for _ in range(ranks)]
        q, k, v = (torch.cat(t, -2) for t in zip(*parts, strict=True))
        scores = q @ k.mT * D**-0.5
        if causal:
            scores = scores.masked_fill(~torch.ones_like(scores).tril().bool(), -torch.inf)
        out, sent, _ = _ring(make, parts, causal)
        off = (out - scores.softmax(-1) @ v).abs().max()
        if not off < 1e-9:
            told = "causal" if causal else "all keys for everybody"
            return f"{ranks} ranks together differ from one attention by {float(off):.2g} ({told})"
        wanted = (ranks - 1) * TIME * (D + DV)
        if sent != wanted:
            return (
                f"one of {ranks} ranks sends {sent} numbers; {ranks - 1} times its keys and "
                f"values: {wanted}"
            )
    return None


def _never_more_than_a_block(make: Any, generator: Generator, device: torch.device) -> str | None:
    draw, time, ranks = Draw(generator, device), 16, 3
    parts = [_part(draw, (), time, torch.float64, 1.0) for _ in range(ranks)]
    _, _, largest = _ring(make.watched, parts, False)
    enough = between(2 * time * time, ranks * time * time)
    if largest > enough:
        return (
            f"with {ranks} ranks of {time} tokens, a call makes a tensor of {largest} elements; "
            f"{enough} are enough for one block"
        )
    return None


def _contract(generator: Generator, device: torch.device) -> Contract:
    draw = Draw(generator, device)
    parts = [_part(draw, (), 4, torch.float64, 1.0) for _ in range(3)]
    arguments, calls = _round(parts, 2, False)
    return Contract(
        calls=(Case("counted", arguments, calls=calls),),
        method="receive",
        forbidden=LIBRARY_ATTENTION,
    )


RING_ATTENTION = Exercise(
    reference=reference.RingAttention,
    chapter=CHAPTER,
    points={"values": 4, "edges": 3, "gradients": 1, "types": 1, "contracts": 1},
    cases=CASES,
    contract=_contract,
    outputs={"outgoing": ("k", "v"), "result": ("out",)},
    properties=(
        Property("three ranks are one attention", _three_are_one, "values"),
        Property("never more than a block", _never_more_than_a_block),
    ),
    traps=TRAPS,
)
