"""What ``head_ablation`` must satisfy, and the wrong answers that people give."""

from collections.abc import Iterator

import torch
from torch import Generator

from tutor import multihead as reference
from tutor.checks.draw import BFLOAT, DOUBLE, HALF, SINGLE, Draw, strided
from tutor.checks.exercise import Case, Contract, Exercise, Property, Trap
from tutor.checks.multihead.shared import CHAPTER, TK, B, C, D, H, merge, merge_by_reshape


def _cases(generator: Generator, device: torch.device) -> Iterator[Case]:
    draw = Draw(generator, device)

    def inputs(*batch, h=H, t=TK, d=D, c=C, flags=None, dtype=DOUBLE):
        heads = draw.normal(*batch, h, t, d, dtype=dtype)
        w_out = draw.normal(h * d, c, scale=(h * d) ** -0.5, dtype=dtype)
        if flags is None:
            flags = draw.keep(h)  # some, not all
        return heads, w_out, torch.as_tensor(flags, device=device)

    # Chosen so that no turn or reversal of the flags is the same again.
    yield Case("one silent head of four", inputs(B, flags=[True, False, True, True]))
    yield Case("one of four kept", inputs(B, flags=[False, False, False, True]))
    yield Case("single precision", inputs(B, dtype=SINGLE))
    yield Case("half precision", inputs(B, dtype=HALF))
    yield Case("bfloat16", inputs(B, dtype=BFLOAT))
    yield Case("as wide as the heads together", inputs(B, c=H * D))
    yield Case("as many tokens as heads", inputs(B, t=H))
    yield Case("as many features in a head as heads", inputs(B, d=H))
    heads, w_out, flags = inputs(B)
    yield Case("not contiguous", (strided(heads), strided(w_out), flags))
    sizes = {name: draw.integer(2, 7) for name in ("h", "t", "d", "c")}
    yield Case("sizes drawn by lot", inputs(draw.integer(2, 5), **sizes))

    yield Case("every head kept", inputs(B, flags=[True] * H), "edges")
    yield Case("every head silent", inputs(B, flags=[False] * H), "edges")
    yield Case("no batch dimension", inputs(), "edges")
    yield Case("two batch dimensions", inputs(B, 3), "edges")
    yield Case("as many sentences as heads", inputs(H), "edges")
    yield Case("one head, kept", inputs(B, h=1, flags=[True]), "edges")
    yield Case("one head, silent", inputs(B, h=1, flags=[False]), "edges")
    yield Case("a single token", inputs(B, t=1), "edges")
    yield Case("an empty batch", inputs(0), "edges")


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
    return Contract(
        calls=((heads, w_out, flags),),
        max_flops=2 * b * t * h * d * c,
        max_written=4 * heads.numel() + 4 * b * h * t * c + 2 * w_out.numel(),
        max_intermediate=max(b * h * t * c, heads.numel(), w_out.numel()),
    )


def _inverted(heads, w_out, keep_heads):
    return merge(heads * ~keep_heads[:, None, None]) @ w_out


def _scaled_up(heads, w_out, keep_heads):
    share = keep_heads.to(heads.dtype).mean()
    return merge(heads * keep_heads[:, None, None] / share) @ w_out


def _of_the_answer(heads, w_out, keep_heads):
    out = merge(heads) @ w_out
    return out * keep_heads.repeat_interleave(out.shape[-1] // len(keep_heads))


def _along_time(heads, w_out, keep_heads):
    return merge(heads * keep_heads[:, None]) @ w_out


def _along_features(heads, w_out, keep_heads):
    return merge(heads * keep_heads) @ w_out


def _every_hth(heads, w_out, keep_heads):
    return merge(heads) * keep_heads.repeat(heads.shape[-1]) @ w_out


def _not_transposed(heads, w_out, keep_heads):
    return merge_by_reshape(heads * keep_heads[:, None, None]) @ w_out


def _first_rows(heads, w_out, keep_heads):
    kept = merge(heads[..., keep_heads, :, :])
    return kept @ w_out[: kept.shape[-1]]


def _no_output(heads, w_out, keep_heads):
    return merge(heads * keep_heads[:, None, None])


def _in_place(heads, w_out, keep_heads):
    heads.detach()[..., ~keep_heads, :, :] = 0
    return merge(heads * keep_heads[:, None, None]) @ w_out


def _nothing_silent(heads, w_out, keep_heads):
    return merge(heads) @ w_out


HEAD_ABLATION = Exercise(
    reference=reference.head_ablation,
    chapter=CHAPTER,
    points={"values": 3, "edges": 1, "gradients": 1, "types": 1, "contracts": 1},
    cases=_cases,
    contract=_contract,
    properties=(Property("single heads add up", _single_heads_add_up, "values"),),
    traps=(
        Trap(
            "inverted",
            _inverted,
            "keep_heads is True for the heads that stay, as keep is True for what may be read. "
            "Here the silent ones speak.",
            "What losing a head costs",
        ),
        Trap(
            "the rest scaled up",
            _scaled_up,
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
            "flags along time",
            _along_time,
            "keep_heads[:, None] stands on the axis of time, second from the end: it raises, or, "
            "with as many tokens as heads, it silences words. Heads stand third from the end: "
            "keep_heads[:, None, None].",
            "What losing a head costs",
        ),
        Trap(
            "flags along the features",
            _along_features,
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
            _not_transposed,
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
            _no_output,
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
            _nothing_silent,
            "keep_heads is accepted and changes nothing. (heads * flags makes a new tensor and "
            "leaves the old one as it was.)",
            "What losing a head costs",
        ),
    ),
)
