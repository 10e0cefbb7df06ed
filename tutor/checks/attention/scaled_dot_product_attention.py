"""What ``scaled_dot_product_attention`` must satisfy."""

from collections.abc import Iterator

import torch
from torch import Generator

from tutor import attention as reference
from tutor.checks.attention.attention_traps import OWN, with_
from tutor.checks.attention.shared import CHAPTER, DV, TK, TQ, B, D, QKVDraw, low_score
from tutor.checks.conditions import Crossed
from tutor.checks.crossings import ATTENTION, attention_inputs
from tutor.checks.exercise import Case, Contract, Exercise, Property
from tutor.checks.forbidden import LIBRARY_ATTENTION
from tutor.checks.limits import between
from tutor.checks.shares import completed


def _by_hand(draw: QKVDraw) -> Iterator[Case]:
    yield Case("the mask left out", draw.qkv(B))
    nothing = torch.zeros(B, TQ, TK, dtype=torch.bool, device=draw.device)
    yield Case("no query may read anything", (*draw.qkv(B), nothing), "edges")
    sizes = {name: draw.integer(2, 9) for name in ("tq", "tk", "d", "dv")}
    yield Case("sizes drawn by lot", (*draw.qkv(draw.integer(2, 5), **sizes), None))
    yield Case("only a very low score may be read", low_score(draw), "edges")
    integers = draw.keep(B, TQ, TK).to(torch.int64)
    yield Case(
        "a mask of integers must raise TypeError", (*draw.qkv(B), integers), "edges", TypeError
    )


CASES = Crossed(
    ATTENTION,
    lambda draw, row: attention_inputs(draw, row, D, DV),
    _by_hand,
    draw=QKVDraw,
)


def _future_edit_leaves_past(call, generator: Generator, device: torch.device) -> str | None:
    draw = QKVDraw(generator, device)
    q, k, v = draw.qkv(B, tq=TK)
    keep = reference.causal_mask(TK, TK, device)
    before = call(q, k, v, keep)
    k2, v2 = k.clone(), v.clone()
    k2[:, 3:], v2[:, 3:] = draw.normal(B, TK - 3, D), draw.normal(B, TK - 3, DV)
    change = (call(q, k2, v2, keep) - before)[:, :3].abs().max()
    if change != 0:  # nan differs too
        return f"new tokens after position 2 changed the answers up to there by {float(change):.2g}"
    return None


def _contract(generator: Generator, device: torch.device) -> Contract:
    b, tq, tk, d, dv = 2, 16, 24, 32, 8
    draw = QKVDraw(generator, device)
    q, k, v = draw.qkv(b, tq=tq, tk=tk, d=d, dv=dv)
    pairs = b * tq * tk
    return Contract(
        calls=((q, k, v, draw.keep(b, tq, tk)), (q, k, v, None)),
        max_flops=between(2 * pairs * (d + dv), 2 * pairs * (d + 2 * dv)),
        # All products of features at once, to be summed later, need d or dv times as much.
        max_intermediate=between(2 * k.numel(), pairs * dv),
        forbidden=LIBRARY_ATTENTION,
    )


SCALED_DOT_PRODUCT_ATTENTION = Exercise(
    reference=reference.scaled_dot_product_attention,
    chapter=CHAPTER,
    points={"values": 3, "edges": 3, "gradients": 2, "types": 1, "contracts": 1},
    cases=CASES,
    contract=_contract,
    properties=(Property("a future edit leaves the past unchanged", _future_edit_leaves_past),),
    traps=completed(
        OWN,
        with_,
        {
            "softmax": "Step 3: softmax",
            "masks": "Masks",
            "nothing": "The row that may read nothing",
            "reading": "Step 4: the weighted sum",
            "besides": "Step 4: the weighted sum",
        },
        called={
            "a constant as minus infinity": "not low enough",
        },
    ),
)
