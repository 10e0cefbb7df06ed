"""What ``grouped_query_attention`` must satisfy."""

from collections.abc import Iterator

import torch
from torch import Generator, Tensor

from tutor import grouped_query as reference
from tutor.checks.conditions import Crossed, Row
from tutor.checks.crossings import ATTENTION, masked, numbers, scored
from tutor.checks.draw import laid
from tutor.checks.exercise import Case, Contract, Exercise, Property
from tutor.checks.forbidden import LIBRARY_ATTENTION
from tutor.checks.grouped_query.group_traps import TRAPS
from tutor.checks.grouped_query.shared import (
    BATCH,
    CHAPTER,
    DV,
    HEADS,
    TK,
    TQ,
    B,
    D,
    GroupedDraw,
    with_heads,
)
from tutor.checks.limits import between


def _arguments(draw: GroupedDraw, row: Row) -> tuple[Tensor | None, ...]:
    h, g = row["heads"]
    asking, answering = with_heads(row, h), with_heads(row, g)
    (q, _), (_, k) = scored(draw, asking, D), scored(draw, answering, D)
    v = numbers(draw, answering, *k.shape[:-1], DV)
    layout = row["layout"]
    return laid(q, layout), laid(k, layout), laid(v, layout), masked(draw, asking)


def _by_hand(draw: GroupedDraw) -> Iterator[Case]:
    yield Case("the mask left out", draw.qkv(B))
    nothing = torch.zeros(B, 6, TQ, TK, dtype=torch.bool, device=draw.device)
    yield Case("no query may read anything", (*draw.qkv(B), nothing), "edges")
    sizes = {name: draw.integer(2, 7) for name in ("tq", "tk", "d", "dv", "g")}
    h = sizes["g"] * draw.integer(2, 4)
    yield Case("sizes drawn by lot", (*draw.qkv(draw.integer(2, 5), h=h, **sizes), None))
    alike = draw.qkv(3, h=6, g=3, tq=TK, tk=TK)
    yield Case("as many sentences as key heads", (*alike, draw.keep(3, 6, TK, TK)), "edges")
    shared = (*draw.qkv(B, tq=TK, tk=TK), draw.keep(TK, TK))
    yield Case("one mask without a batch", shared, "edges")
    yield Case("as many queries as query heads", (*draw.qkv(B, tq=6), draw.keep(B, 1, 6, TK)))
    q, k, v = draw.qkv(B)
    only = (torch.arange(TK, device=draw.device) == 2).expand(TQ, TK)
    k[..., 2, :] = -3e4
    yield Case("only a very low score may be read", (q.abs() + 1, k, v, only), "edges")
    integers = draw.keep(B, 6, TQ, TK).to(torch.int64)
    yield Case(
        "a mask of integers must raise TypeError", (*draw.qkv(B), integers), "edges", TypeError
    )
    uneven = (*draw.qkv(B, h=6, g=4), None)
    yield Case("4 key heads for 6 must raise ValueError", uneven, "edges", ValueError)


CASES = Crossed(ATTENTION.but(BATCH, HEADS), _arguments, _by_hand, draw=GroupedDraw)


def _a_group_alone(call, generator: Generator, device: torch.device) -> str | None:
    draw = GroupedDraw(generator, device)
    q, k, v = draw.qkv(B, h=6, g=3)
    before = call(q, k, v, None)
    k, v = k.clone(), v.clone()
    k[:, 1], v[:, 1] = draw.normal(B, TK, D), draw.normal(B, TK, DV)
    change = (call(q, k, v, None) - before).abs().amax((0, 2, 3))
    heads = [h for h, moved in enumerate((change != 0).tolist()) if moved]  # nan differs too
    if heads != [2, 3]:
        told = ", ".join(map(str, heads)) or "none"
        return f"of 6 query heads on 3, heads 2 and 3 read key head 1; by it changed: {told}"
    return None


def _contract(generator: Generator, device: torch.device) -> Contract:
    b, h, g, tk, d, dv = 2, 8, 2, 48, 32, 24
    draw = GroupedDraw(generator, device)
    q, k, v = draw.qkv(b, h=h, g=g, tq=1, tk=tk, d=d, dv=dv)
    product = 2 * b * h * tk * (d + dv)
    # Keys and values in another order, and a dozen tensors of the scores' size.
    once = k.numel() + v.numel() + 12 * b * h * tk
    return Contract(
        calls=((q, k, v, draw.keep(b, h, 1, tk)), (q, k, v, None)),
        max_flops=between(product, g * product),
        max_intermediate=between(k.numel(), h // g * v.numel()),
        max_written=between(once, h // g * (k.numel() + v.numel())),
        forbidden=LIBRARY_ATTENTION,
    )


GROUPED_QUERY_ATTENTION = Exercise(
    reference=reference.grouped_query_attention,
    chapter=CHAPTER,
    points={"values": 3, "edges": 3, "gradients": 2, "types": 1, "contracts": 3},
    cases=CASES,
    contract=_contract,
    properties=(Property("a key head is read by its group alone", _a_group_alone, "values"),),
    traps=TRAPS,
)
