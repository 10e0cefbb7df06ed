"""What ``expand_kv_heads`` must satisfy, and the wrong answers that people give."""

from collections.abc import Iterator

import torch
from torch import Generator, Tensor

import tutor.checks.grouped_query.expansions as part
from tutor import grouped_query as reference
from tutor.checks.changes import changeable
from tutor.checks.conditions import Condition, Crossed, Factor, Family, Row
from tutor.checks.crossings import DTYPE, LAYOUT
from tutor.checks.draw import Draw, laid
from tutor.checks.exercise import Case, Contract, Exercise, Property, Trap
from tutor.checks.grouped_query.shared import BATCH, CHAPTER, HEADS, TK, WHICH, B, D
from tutor.checks.limits import between

_TOKENS = Factor(
    "tokens",
    (
        Condition("five", value=TK),
        Condition("one token", "a single token", 1, edge=True, alone=True),
    ),
)
FAMILY = Family((DTYPE, LAYOUT, BATCH, HEADS, _TOKENS))


def _arguments(draw: Draw, row: Row) -> tuple[Tensor, int]:
    h, g = row["heads"]
    kv = draw.normal(*row["batch"], g, row["tokens"], D, dtype=row["dtype"])
    return laid(kv, row["layout"]), h


def _by_hand(draw: Draw) -> Iterator[Case]:
    g, share, t, d = (draw.integer(2, 6) for _ in range(4))
    yield Case("sizes drawn by lot", (draw.normal(draw.integer(2, 5), g, t, d), g * share))
    yield Case("as many sentences as key heads", (draw.normal(3, 3, TK, D), 6))
    yield Case("as many tokens as key heads", (draw.normal(B, TK, TK, D), 2 * TK))
    uneven = (draw.normal(B, 4, TK, D), 6)
    yield Case("4 key heads for 6 must raise ValueError", uneven, "edges", ValueError)
    fewer = (draw.normal(B, 4, TK, D), 2)
    yield Case("more key heads than heads must raise ValueError", fewer, "edges", ValueError)


CASES = Crossed(FAMILY, _arguments, _by_hand)


def _contract(generator: Generator, device: torch.device) -> Contract:
    kv = Draw(generator, device).normal(2, 3, 16, 8)
    answer = 4 * kv.numel()
    return Contract(
        calls=((kv, 12),),
        max_flops=0,
        max_written=between(answer, 2 * answer),
    )


def _the_first_of_a_group(call, generator: Generator, device: torch.device) -> str | None:
    kv = Draw(generator, device).normal(B, 3, TK, D)
    if not torch.equal(call(kv, 12)[:, ::4], kv):
        return "of 12 heads on 3, heads 0, 4 and 8 should be the three that there were"
    return None


with_ = changeable(part.expand)

EXPAND_KV_HEADS = Exercise(
    reference=reference.expand_kv_heads,
    chapter=CHAPTER,
    outputs=("heads",),
    points={"values": 2, "edges": 1, "gradients": 1, "types": 1, "contracts": 1},
    cases=CASES,
    contract=_contract,
    properties=(Property("each group begins with its own head", _the_first_of_a_group, "values"),),
    traps=(
        Trap(
            "tiled groups",
            with_(repeat=part.tiled),
            "the heads come out as 0, 1, 0, 1 and should be 0, 0, 1, 1. repeat and torch.cat put "
            "all heads behind all heads; repeat_interleave puts each beside itself. Nothing "
            "raises, and a published model reads with the wrong keys.",
            WHICH,
        ),
        Trap(
            "G taken for the size of a group",
            with_(share=part.groups_times),
            "kv.shape[-3] is how many key heads there are. How many query heads share one is "
            "num_heads divided by that.",
            WHICH,
            (with_(share=part.groups_times, repeat=part.tiled),),
        ),
        Trap(
            "each head num_heads times",
            with_(share=part.heads_times),
            "num_heads is how many heads there are in the end. Each head that comes in stands "
            "there num_heads / G times.",
            WHICH,
            (with_(share=part.heads_times, repeat=part.tiled),),
        ),
        Trap(
            "not expanded",
            with_(share=part.once),
            "there should be num_heads heads, and there are still G.",
            WHICH,
            (with_(share=part.one_more),),
        ),
        Trap(
            "one head for all",
            with_(repeat=part.first_alone),
            "with one key head for all it is multi-query attention. Here each group has one of "
            "its own.",
            WHICH,
            (with_(repeat=part.last_alone), with_(repeat=part.averaged)),
        ),
        Trap(
            "only the first heads have their own",
            with_(repeat=part.rest_from_the_first),
            "the first G heads were copied as they are and the others filled up. Query head h "
            "reads key head h // (H // G), from the first on.",
            WHICH,
            (with_(repeat=part.rest_from_the_last), with_(repeat=part.rest_of_zeros)),
        ),
        Trap(
            "groups in reverse",
            with_(before=part.backwards),
            "the first group reads the first key head.",
            WHICH,
        ),
        Trap(
            "groups shifted by one",
            with_(before=part.one_further),
            "counting begins at 0: head 0 reads key head 0, and the next key head begins with "
            "head H / G.",
            WHICH,
            (with_(after=part.one_further_of_heads),),
        ),
        Trap(
            "repeated along time",
            with_(repeat=part.along(-2)),
            "dim=-2 is time: every token was doubled, and the heads are as many as before. Heads "
            "are the third dimension from the end.",
            WHICH,
            (with_(repeat=part.tiled_along(-2)), with_(repeat=part.behind_time)),
        ),
        Trap(
            "repeated along the features",
            with_(repeat=part.along(-1)),
            "dim=-1 is the width of a head. Heads are the third dimension from the end, dim=-3.",
            WHICH,
            (with_(repeat=part.tiled_along(-1)), with_(repeat=part.behind_features)),
        ),
        Trap(
            "repeated along the batch",
            with_(repeat=part.along(0)),
            "dim=0 is the first dimension of the batch (and the heads only where there is no "
            "batch). Counted from the end, heads are dim=-3 always.",
            WHICH,
            (with_(repeat=part.tiled_along(0)), with_(repeat=part.before_the_batch)),
        ),
        Trap(
            "axes counted from the front",
            with_(repeat=part.along(1)),
            "dim=1 are the heads where there is one batch dimension, and something else where "
            "there is none or more. Counted from the end they are dim=-3.",
            WHICH,
            (with_(repeat=part.tiled_along(1)), part.counted_from_the_front),
        ),
        Trap(
            "exactly one batch dimension",
            with_(repeat=part.of_one_batch),
            "the shape is taken apart into four names, so a single sentence fails and so does a "
            "batch of batches. repeat_interleave(..., dim=-3) leaves alone whatever stands before.",
            WHICH,
        ),
        Trap(
            "left in groups",
            with_(repeat=part.with_an_axis),
            "the copies have an axis of their own, (G, H / G, T, D). What comes after expects "
            "heads, (H, T, D): join the two.",
            WHICH,
        ),
        Trap(
            "features before time",
            with_(after=part.turned),
            "the heads came out as (D, T), on their side. Tokens are rows.",
            WHICH,
            (with_(before=part.turned),),
        ),
        Trap(
            "shared out among the group",
            with_(repeat=part.divided),
            "the heads were divided by how many read them. A key is not used up by being read.",
            WHICH,
        ),
        Trap(
            "no gradient comes back",
            with_(repeat=part.detached),
            "a detached key head never learns. The gradients of all queries that read it add up "
            "in it.",
            WHICH,
        ),
        Trap(
            "single precision whatever comes in",
            with_(before=part.in_single),
            "copies keep their dtype: float() rounds what came in double, and makes a cache in "
            "half precision twice as large.",
            WHICH,
            precision=True,
        ),
        Trap(
            "heads that do not divide",
            with_(share=part.rounded_down),
            "4 key heads cannot serve 6 query heads: // rounds down, and there are fewer heads "
            "than was asked for. Raise a ValueError.",
            WHICH,
        ),
    ),
)
