"""What ``head_ablation`` must satisfy, and the wrong answers that people give."""

from collections.abc import Iterator

import torch
from torch import Generator, Tensor

from tutor import multihead as reference
from tutor.checks.changes import changeable
from tutor.checks.conditions import Condition, Crossed, Factor, Row, pair
from tutor.checks.draw import Draw, laid
from tutor.checks.exercise import Case, Contract, Exercise, Property, Trap
from tutor.checks.families import SCALE
from tutor.checks.limits import between
from tutor.checks.multihead.layer import merge, merge_by_reshape
from tutor.checks.multihead.shared import CHAPTER, SPLIT, TK, B, C, D, H

# Chosen so that no turn or reversal of the flags is the same again.
_KEPT = Factor(
    "kept",
    (
        Condition("all but one", value=lambda h: [n != 1 for n in range(h)]),
        Condition(
            "one kept", "one head kept", lambda h: [n == h - 1 for n in range(h)], alone=True
        ),
        Condition("all", "every head kept", lambda h: [True] * h, edge=True, alone=True),
        Condition("nothing", "every head silent", lambda h: [False] * h, edge=True, alone=True),
    ),
)

FAMILY = SPLIT.but(
    _KEPT,
    SCALE,
    apart={pair("one head", "one kept"): "one head that is kept is every head"},
)


def _arguments(draw: Draw, row: Row) -> tuple[Tensor, Tensor, Tensor]:
    (h, t, d), dtype = row["heads"], row["dtype"]
    heads = draw.normal(*row["batch"], h, t, d, dtype=dtype, scale=row["scale"])
    w_out = draw.weight(h * d, C, dtype=dtype)
    flags = torch.tensor(row["kept"](h), device=draw.device)
    return laid(heads, row["layout"]), laid(w_out, row["layout"]), flags


def _by_hand(draw: Draw) -> Iterator[Case]:
    flags = torch.tensor([False, True, True, False], device=draw.device)
    wide = (draw.normal(B, H, TK, D), draw.weight(H * D, H * D), flags)
    yield Case("as wide as the heads together", wide)
    b, h, t, d, c = (draw.integer(2, 7) for _ in range(5))
    yield Case("sizes drawn by lot", (draw.normal(b, h, t, d), draw.weight(h * d, c), draw.keep(h)))


CASES = Crossed(FAMILY, _arguments, _by_hand)


def _single_heads_add_up(call, generator: Generator, device: torch.device) -> str | None:
    draw = Draw(generator, device)
    heads, w_out = draw.normal(B, H, TK, D), draw.normal(H * D, C)
    numbers = torch.arange(H, device=device)
    alone = sum(call(heads, w_out, numbers == h) for h in range(H))
    change = (alone - call(heads, w_out, numbers >= 0)).abs().max()
    if not change < 1e-10:
        return f"the answers of single heads do not add up to that of all: {float(change):.2g} off"
    return None


def _contract(generator: Generator, device: torch.device) -> Contract:
    draw, (b, h, t, d, c) = Draw(generator, device), (2, 4, 12, 8, 20)
    heads, w_out, flags = draw.normal(b, h, t, d), draw.normal(h * d, c), draw.keep(h)
    product = 2 * b * t * h * d * c
    return Contract(
        calls=((heads, w_out, flags),),
        max_flops=between(product, 2 * product),
        # Each head's answer by itself, and all products of features at once.
        max_intermediate=between(b * h * t * c, b * t * h * d * c),
    )


def _flags(keep_heads):
    return keep_heads


def _silenced(heads, flags):
    return heads * flags[:, None, None]


def _projected(merged, w_out):
    return merged @ w_out


def _ablation(
    heads, w_out, keep_heads, flags=_flags, silence=_silenced, merge=merge, project=_projected
):
    """The right ablation, but for the parts that are given."""
    return project(merge(silence(heads, flags(keep_heads))), w_out)


_with = changeable(_ablation)


def _inverted(keep_heads):
    return ~keep_heads


def _scaled_up(heads, flags):
    return heads * flags[:, None, None] / flags.to(heads.dtype).mean()


def _along_time(heads, flags):
    return heads * flags[:, None]


def _along_features(heads, flags):
    return heads * flags


def _nobody(heads, flags):
    return heads


def _not_projected(merged, w_out):
    return merged


def _of_the_answer(heads, w_out, keep_heads):
    out = merge(heads) @ w_out
    return out * keep_heads.repeat_interleave(out.shape[-1] // len(keep_heads))


def _every_hth(heads, w_out, keep_heads):
    return merge(heads) * keep_heads.repeat(heads.shape[-1]) @ w_out


def _first_rows(heads, w_out, keep_heads):
    kept = merge(heads[..., keep_heads, :, :])
    return kept @ w_out[: kept.shape[-1]]


def _in_place(heads, w_out, keep_heads):
    heads.detach()[..., ~keep_heads, :, :] = 0
    return merge(heads * keep_heads[:, None, None]) @ w_out


def _of_the_batch(heads, w_out, keep_heads):
    return merge(heads[keep_heads]) @ w_out


def _batch_silenced(heads, w_out, keep_heads):
    heads = heads.clone()
    heads[~keep_heads] = 0
    return merge(heads) @ w_out


HEAD_ABLATION = Exercise(
    reference=reference.head_ablation,
    chapter=CHAPTER,
    points={"values": 3, "edges": 1, "gradients": 1, "types": 1, "contracts": 1},
    cases=CASES,
    contract=_contract,
    properties=(Property("single heads add up", _single_heads_add_up, "values"),),
    traps=(
        Trap(
            "inverted",
            _with(flags=_inverted),
            "keep_heads is True for the heads that stay, as keep is True for what may be read. "
            "Here the silent ones speak.",
            "What losing a head costs",
        ),
        Trap(
            "the rest scaled up",
            _with(silence=_scaled_up),
            "dropout divides by the share that it keeps; an ablation does not. It asks what the "
            "layer is without the head, and a louder rest is another change on top.",
            "What losing a head costs",
        ),
        Trap(
            "features of the answer silenced",
            _of_the_answer,
            "after w_out there are no heads any more: every feature of the answer is a mixture of "
            "all of them. Silence the head before the projection.",
            "Project",
        ),
        Trap(
            "flags on the batch",
            _of_the_batch,
            "heads[keep_heads] chooses along the first dimension, which is the batch: it raises, "
            "or, with as many sentences as heads, drops sentences. Heads stand third from the "
            "end: heads * keep_heads[:, None, None].",
            "What losing a head costs",
            (_batch_silenced,),
        ),
        Trap(
            "flags along time",
            _with(silence=_along_time),
            "keep_heads[:, None] stands on the axis of time, second from the end: it raises, or, "
            "with as many tokens as heads, it silences words. Heads stand third from the end: "
            "keep_heads[:, None, None].",
            "What losing a head costs",
        ),
        Trap(
            "flags along the features",
            _with(silence=_along_features),
            "broadcasting starts from the right, so H flags land on the features of each head. "
            "They need a 1 for time and a 1 for the features behind them.",
            "What losing a head costs",
        ),
        Trap(
            "every H-th feature silenced",
            _every_hth,
            "keep_heads.repeat(D) is flag 0, 1, 2, ..., again and again; a merged row is D "
            "features of head 0, then D of head 1: repeat_interleave(D).",
            "Merge",
        ),
        Trap(
            "merged without transposing back",
            _with(merge=merge_by_reshape),
            "the silent heads are silent, and the others' tokens are mixed: swap heads and time "
            "back before you join heads and features.",
            "Merge",
        ),
        Trap(
            "the wrong rows of w_out",
            _first_rows,
            "taking the silent heads out is as good as silencing them, if their rows of w_out go "
            "with them. Here the rest met the first rows: those of the heads that used to stand "
            "there.",
            "Project",
        ),
        Trap(
            "no output projection",
            _with(project=_not_projected),
            "what a layer hands on is the projection of its heads, and that is where the loss of "
            "one shows.",
            "Project",
        ),
        Trap(
            "the caller's heads overwritten",
            _in_place,
            "heads[...] = 0 writes into the caller's tensor. Silence head 1 and then head 2, and "
            "in the second run both are silent. Multiply into a new tensor.",
            "What losing a head costs",
        ),
        Trap(
            "nobody silenced",
            _with(silence=_nobody),
            "keep_heads is accepted and changes nothing. (heads * flags makes a new tensor and "
            "leaves the old one as it was.)",
            "What losing a head costs",
        ),
    ),
)
