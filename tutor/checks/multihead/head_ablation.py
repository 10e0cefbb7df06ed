"""What ``head_ablation`` must satisfy, and the wrong answers that people give."""

from collections.abc import Iterator

import torch
from torch import Generator, Tensor

import tutor.checks.multihead.ablation as ablation
from tutor import multihead as reference
from tutor.checks.conditions import Condition, Crossed, Factor, Row, pair
from tutor.checks.crossings import SCALE
from tutor.checks.draw import Draw, laid
from tutor.checks.exercise import Case, Contract, Exercise, Property, Trap
from tutor.checks.limits import between
from tutor.checks.multihead.ablation import with_
from tutor.checks.multihead.layer import (
    merge_by_reshape,
    merge_counted,
    merge_divided,
    merge_interleaved,
)
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
            with_(flags=ablation.inverted),
            "keep_heads is True for the heads that stay, as keep is True for what may be read. "
            "Here the silent ones speak.",
            "What losing a head costs",
        ),
        Trap(
            "the rest scaled up",
            with_(silence=ablation.scaled_up),
            "dropout divides by the share that it keeps; an ablation does not. It asks what the "
            "layer is without the head, and a louder rest is another change on top.",
            "What losing a head costs",
            (
                with_(silence=ablation.scaled_up_with_care),
                with_(silence=ablation.scaled_up_in_its_dtype),
            ),
        ),
        Trap(
            "features of the answer silenced",
            with_(silence=ablation.nobody, end=ablation.features_silenced),
            "after w_out there are no heads any more: every feature of the answer is a mixture of "
            "all of them. Silence the head before the projection.",
            "Project",
            (
                with_(silence=ablation.nobody, end=ablation.features_silenced_to_the_end),
                with_(silence=ablation.nobody, end=ablation.features_silenced_in_turns),
            ),
        ),
        Trap(
            "flags on the batch",
            with_(silence=ablation.of_the_batch),
            "heads[keep_heads] chooses along the first dimension, which is the batch: it raises, "
            "or, with as many sentences as heads, drops sentences. Heads stand third from the "
            "end: heads * keep_heads[:, None, None].",
            "What losing a head costs",
            (with_(silence=ablation.batch_silenced),),
        ),
        Trap(
            "flags along time",
            with_(silence=ablation.along_time),
            "keep_heads[:, None] stands on the axis of time, second from the end: it raises, or, "
            "with as many tokens as heads, it silences words. Heads stand third from the end: "
            "keep_heads[:, None, None].",
            "What losing a head costs",
        ),
        Trap(
            "flags along the features",
            with_(silence=ablation.along_features),
            "broadcasting starts from the right, so H flags land on the features of each head. "
            "They need a 1 for time and a 1 for the features behind them.",
            "What losing a head costs",
        ),
        Trap(
            "every H-th feature silenced",
            with_(silence=ablation.nobody, hush=ablation.every_hth),
            "keep_heads.repeat(D) is flag 0, 1, 2, ..., again and again; a merged row is D "
            "features of head 0, then D of head 1: repeat_interleave(D).",
            "Merge",
        ),
        Trap(
            "merged without transposing back",
            with_(merge=merge_by_reshape),
            "the silent heads are silent, and the others' tokens are mixed: swap heads and time "
            "back before you join heads and features.",
            "Merge",
        ),
        Trap(
            "the wrong rows of w_out",
            with_(silence=ablation.taken_out, rows=ablation.first_rows),
            "taking the silent heads out is as good as silencing them, if their rows of w_out go "
            "with them. Here the rest met the first rows: those of the heads that used to stand "
            "there.",
            "Project",
        ),
        Trap(
            "no output projection",
            with_(project=ablation.not_projected),
            "what a layer hands on is the projection of its heads, and that is where the loss of "
            "one shows.",
            "Project",
        ),
        Trap(
            "the caller's heads overwritten",
            with_(silence=ablation.in_place),
            "heads[...] = 0 writes into the caller's tensor. Silence head 1 and then head 2, and "
            "in the second run both are silent. Multiply into a new tensor.",
            "What losing a head costs",
            (with_(silence=ablation.multiplied_in_place),),
            overwrites="heads",
        ),
        Trap(
            "nobody silenced",
            with_(silence=ablation.nobody),
            "keep_heads is accepted and changes nothing. (heads * flags makes a new tensor and "
            "leaves the old one as it was.)",
            "What losing a head costs",
        ),
        Trap(
            "a mean instead of silence",
            with_(silence=ablation.mean_over(-2)),
            "a silent head counts as if it had read only zeros. Its mean over the tokens still "
            "says something, though the same at every place: fill with 0.",
            "What losing a head costs",
            (
                *(with_(silence=ablation.mean_over(dim)) for dim in (0, -3, -1)),
                with_(silence=ablation.mean_over(-2, -1)),
                with_(silence=ablation.mean_of_all_tokens),
            ),
        ),
        Trap(
            "silenced with -inf",
            with_(silence=ablation.filled_with(-torch.inf)),
            "-inf hides a score, because a softmax makes 0 of it. No softmax follows here: what "
            "the heads have read is multiplied by w_out and summed. The silent ones are 0.",
            "What losing a head costs",
            (
                with_(silence=ablation.filled_with(None)),
                with_(silence=ablation.filled_with(-1e9)),
            ),
        ),
        Trap(
            "flags counted",
            with_(flags=ablation.first_ones),
            "how many heads speak is not which. Head h speaks where keep_heads[h] is True: "
            "multiply by the flags in their places.",
            "What losing a head costs",
            (with_(flags=ablation.last_ones),),
        ),
        Trap(
            "flags as indices",
            with_(silence=ablation.as_indices),
            "as integers True and False are 1 and 0, and indexing with them puts copies of heads 1 "
            "and 0 everywhere. Flags choose as bool, and here they multiply.",
            "What losing a head costs",
        ),
        Trap(
            "a head forgotten",
            with_(speak=ablation.but_the_last),
            "one head never speaks, whatever its flag says: range(H - 1) ends before the last one, "
            "and range(1, H) begins after the first.",
            "What losing a head costs",
            (with_(speak=ablation.but_the_first),),
        ),
        Trap(
            "a number where nobody speaks",
            with_(end=ablation.nothing_of_nobody),
            "the sum of no heads is Python's 0, without shape, dtype and device. The answer is a "
            "tensor of zeros: begin the sum with one, or multiply by the flags.",
            "What losing a head costs",
        ),
        Trap(
            "the width of a head taken from another size",
            with_(silence=ablation.nobody, hush=ablation.OF_ANOTHER_WIDTH[0]),
            "a merged row is D features of head 0, then D of head 1, and D is heads.shape[-1]. How "
            "many columns w_out has, or how many tokens there are, has no part in it.",
            "Merge",
            tuple(
                with_(silence=ablation.nobody, hush=hush) for hush in ablation.OF_ANOTHER_WIDTH[1:]
            ),
        ),
        Trap(
            "silent heads taken out, their rows of w_out left in",
            with_(silence=ablation.taken_out),
            "heads[..., keep_heads, :, :] makes the merged rows shorter, and w_out still has H·D "
            "rows. Take out those of the silent heads as well, or multiply by 0, which leaves all "
            "sizes as they are.",
            "Project",
            (with_(silence=ablation.nobody, rows=ablation.rows_taken_out),),
        ),
        Trap(
            "a head's rows of w_out in the wrong place",
            with_(rows=ablation.one_row_apart),
            "each head has D rows of w_out: those of head h begin at h·D and end before "
            "(h + 1)·D. w_out[h : h + D] moves on by one row only.",
            "Project",
            (with_(rows=ablation.the_same_for_all),),
        ),
        Trap(
            "w_out on its side",
            with_(project=ablation.on_its_side),
            "w_out is (H·D, C): features of the heads are rows, features of the answer columns. "
            "merged @ w_out takes it as it is; only nn.Linear keeps its weight the other way.",
            "Project",
        ),
        Trap(
            "w_out overwritten",
            with_(silence=ablation.nobody, rows=ablation.overwritten),
            "w_out[...] = 0 writes into the caller's weights: from then on the head is silent in "
            "every call, and the model has lost what it had learned. Silence a new tensor.",
            "What losing a head costs",
            overwrites="w_out",
        ),
        Trap(
            "heads merged interleaved",
            with_(merge=merge_interleaved),
            "the heads' features come out in turns, so that each meets another row of w_out. "
            "Rows h·D to (h + 1)·D of w_out belong to head h: flatten (T, H, D).",
            "Merge",
        ),
        Trap(
            "heads added up",
            with_(merge=ablation.added_up),
            "a sum or a mean of the heads is only D wide, and w_out has a row for each feature of "
            "each head. Put the heads side by side.",
            "Merge",
            (with_(merge=ablation.averaged),),
        ),
        Trap(
            "divided by the number of heads",
            with_(merge=merge_divided),
            "the heads are no votes to be averaged. They stand side by side, and w_out says what "
            "each of them counts.",
            "Merge",
            (
                with_(end=ablation.mean_of_those_that_speak),
                with_(end=ablation.mean_with_care),
            ),
        ),
        Trap(
            "axes counted from the front",
            with_(merge=merge_counted),
            "transpose(1, 2) swaps heads and time where there is one batch dimension, and others "
            "where there is none or more. Counted from the end they are always the same: "
            "transpose(-3, -2).",
            "Merge",
        ),
        Trap(
            "exactly one batch dimension",
            with_(merge=ablation.of_one_batch),
            "the shape is taken apart into four names, so a single sentence fails and so does a "
            "batch of batches. Count the axes from the end.",
            "Merge",
        ),
        Trap(
            "a dimension in front",
            with_(silence=ablation.in_front),
            "flags of shape (1, H, 1, 1) give a single sentence a batch dimension that it did not "
            "have. keep_heads[:, None, None] fits any batch: broadcasting starts from the right.",
            "What losing a head costs",
        ),
        Trap(
            "detached heads",
            with_(source=torch.Tensor.detach),
            "the numbers are right, but detach() cuts off all that comes before: no gradient "
            "reaches what the heads have read.",
            "What losing a head costs",
        ),
        Trap(
            "w_out detached",
            with_(rows=ablation.detached_rows),
            "the numbers are right, but detach() or .data cuts w_out off from learning: no "
            "gradient reaches it.",
            "Project",
        ),
    ),
)
