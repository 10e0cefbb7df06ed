"""What ``masked_softmax`` must satisfy, and the wrong answers that people give."""

from collections.abc import Iterator

import torch
from torch import Generator, Tensor

import tutor.checks.softmax as softmax
from tutor import alignment as reference
from tutor.checks.alignment.shared import (
    CHAPTER,
    FORBIDDEN,
    SHARES,
    B,
    S,
    T,
    low_scores,
    scores_of,
)
from tutor.checks.changes import changeable
from tutor.checks.conditions import Crossed, Row
from tutor.checks.crossings import masked
from tutor.checks.draw import HALF, Draw, laid
from tutor.checks.exercise import Case, Contract, Exercise, Property, Trap
from tutor.checks.shares import completed
from tutor.checks.softmax import weights


def _arguments(draw: Draw, row: Row) -> tuple[Tensor | None, ...]:
    return laid(scores_of(draw, row), row["layout"]), masked(draw, row)


def _by_hand(draw: Draw) -> Iterator[Case]:
    yield Case("the mask left out", (draw.normal(B, T, S),))
    sizes = [draw.integer(2, 9) for _ in range(3)]
    yield Case("sizes drawn by lot", (draw.normal(*sizes), draw.keep(*sizes)))
    everything = torch.ones(B, T, S, dtype=torch.bool, device=draw.device)
    yield Case("everything may be read", (draw.normal(B, T, S), everything), "edges")
    yield Case("only a very low score may be read", low_scores(draw), "edges")
    big = torch.tensor([[6e4, -6e4, 0.0], [12.0, 11.0, 10.0]], device=draw.device, dtype=HALF)
    seen = torch.tensor([[True, True, False], [True, False, True]], device=draw.device)
    yield Case("half precision near its largest number", (big, seen), "edges")
    integers = draw.keep(B, T, S).to(torch.int64)
    yield Case(
        "a mask of integers must raise TypeError",
        (draw.normal(B, T, S), integers),
        "edges",
        TypeError,
    )


CASES = Crossed(SHARES, _arguments, _by_hand)


def _hidden_scores_change_nothing(call, generator: Generator, device: torch.device) -> str | None:
    draw = Draw(generator, device)
    scores, keep = draw.normal(B, T, S), draw.keep(B, T, S)
    others = torch.where(keep, scores, 100 * draw.normal(B, T, S))
    change = (call(others, keep) - call(scores, keep)).abs().max()
    if change != 0:  # nan differs too
        return f"new scores where nothing may be read changed a weight by {float(change):.2g}"
    return None


def _contract(generator: Generator, device: torch.device) -> Contract:
    draw = Draw(generator, device)
    scores, keep = draw.normal(8, 16, 32), draw.keep(8, 16, 32)
    return Contract(
        calls=((scores, keep), (scores, None)),
        forbidden=FORBIDDEN,
    )


def _as_it_came(scores):
    return scores


def _single(scores):
    return scores.float()


def _scaled(scores):
    return scores * scores.shape[-1] ** -0.5


def _softmax(scores, keep=None, taken=_as_it_came, weigh=weights, **steps):
    return weigh(taken(scores), keep, **steps)


_with = changeable(_softmax)


_OWN = (
    Trap(
        "softmax over those that ask",
        _with(**softmax.OVER_QUERIES),
        "each state that asks has one distribution over what it may read: rows sum to 1. "
        "Along dim=-2 the source symbols share out the target instead, and the translation of "
        "a word depends on how many words follow it.",
        "From scores to shares",
    ),
    Trap(
        "softmax over the batch",
        _with(**softmax.OVER_BATCH),
        "dim=0 is the batch: sentences share out their weights among each other. What is read "
        "runs along the last dimension, dim=-1. (nn.Softmax() without a dim takes the first "
        "or the second, depending on how many there are.)",
        "From scores to shares",
    ),
    Trap(
        "a softmax too many",
        _with(**softmax.TWICE),
        "a softmax takes scores. Shares between 0 and 1 differ so little that, of two, none "
        "can get more than e times the other's: everybody reads nearly the plain average.",
        "From scores to shares",
    ),
    Trap(
        "a scale that nobody asked for",
        _with(taken=_scaled),
        "scores come as they are meant. Only scores that are dot products are divided by a root, "
        "that of their width and not of the number of symbols, and by whoever makes them.",
        "From scores to shares",
    ),
    Trap(
        "no exponential",
        _with(**softmax.NO_EXPONENTIAL),
        "dividing by the sum makes shares of positive numbers. Scores may be negative, and "
        "their sum 0: exp makes them positive, and keeps their order.",
        "From scores to shares",
    ),
    Trap(
        "sigmoids instead of a softmax",
        _with(**softmax.SIGMOIDS),
        "a sigmoid says of each symbol by itself how much of it is read. Shares know of each "
        "other: they sum to 1, and where one grows the others shrink.",
        "From scores to shares",
    ),
    Trap(
        "logarithms of shares",
        _with(**softmax.LOGARITHMS),
        "log_softmax gives logarithms, all of them negative, for a loss to read. A mixture "
        "takes the shares themselves.",
        "From scores to shares",
    ),
    Trap(
        "the mask forgotten",
        _with(**softmax.FORGOTTEN),
        "keep changes nothing: every state reads the padding. (masked_fill returns a new "
        "tensor and leaves the old one as it was: scores = scores.masked_fill(...).)",
        "Padding must not be read",
    ),
    Trap(
        "masked after the softmax",
        _with(**softmax.AFTERWARDS),
        "the padding has already taken its share when it is zeroed: what is left sums to less "
        "than 1, and the less, the longer the other sentences of the batch are.",
        "Padding must not be read",
    ),
    Trap(
        "renormalised after the softmax",
        _with(**softmax.RENORMALISED),
        "dividing by what is left mends the sums until a hidden score takes everything: then "
        "0 is divided by 0, or what is left has no digits left. Hide before the softmax.",
        "Padding must not be read",
    ),
    Trap(
        "exponentials without the maximum",
        _with(**softmax.NO_MAXIMUM),
        "exp(s) * keep over its sum is the formula as it stands on paper. exp(710) is infinite "
        "in double precision, exp(12) in half, and a row of very negative scores is 0 / 0. "
        "torch's softmax subtracts the row's maximum first, which changes no quotient.",
        "Padding must not be read",
    ),
    Trap(
        "mask inverted",
        _with(**softmax.INVERTED),
        "keep is True where a symbol may be read. masked_fill fills where its argument is "
        "True, so it needs ~keep. Inverted, a sentence reads its padding and nothing else.",
        "Padding must not be read",
    ),
    Trap(
        "nothing left where one is hidden",
        _with(**softmax.ONLY_FULL_ROWS),
        "one hidden symbol zeroes its whole row. keep.all(-1) asks whether *everything* may be "
        "read, and keep.any(-1) was meant; or what is hidden was filled with the highest "
        "number, finfo(dtype).max, which takes all of the softmax, and not with the lowest.",
        "Nothing to read",
    ),
    Trap(
        "a float32 mask in another precision",
        _with(**softmax.ZEROED_IN_SINGLE),
        "a float32 tensor, added to scores or multiplied with weights, makes float32 of half "
        "precision. weights * keep, with keep as it is, and masked_fill keep the dtype.",
        "Nothing to read",
    ),
    Trap(
        "float32 whatever comes in",
        _with(taken=_single),
        "scores.float() and no way back: half precision comes out as float32, and double has "
        "lost half of its digits. Who computes in another precision returns to scores.dtype.",
        "From scores to shares",
    ),
    Trap(
        "the mask multiplies the scores",
        _with(**softmax.TIMES_SCORES),
        "a score of 0 is not a weight of 0: exp(0) is 1, so the padding still gets a share, "
        "and more than a real symbol with a negative score.",
        "Padding must not be read",
    ),
    Trap(
        "nothing to read, so everything is read",
        _with(**softmax.AVERAGE_ROW),
        "a row of equal scores, however low, is a uniform distribution: the state that may "
        "read nothing averages all that it was to be kept from. Multiply the weights by keep "
        "after the softmax.",
        "Nothing to read",
    ),
    Trap(
        "-1e9 as minus infinity",
        _with(**softmax.MINUS_1E9),
        "half precision ends at 65,504 and cannot hold -1e9, so the first run in half "
        "precision fails. And a row without anything to read is a row of equal scores, which "
        "averages the padding. Take finfo(dtype).min, and zero such rows.",
        "Nothing to read",
        (
            _with(**softmax.MINUS_1E9_ZEROED),
            _with(**softmax.FLOAT_BIAS),
            _with(**softmax.MINUS_1E9_ADDED),
        ),
    ),
    Trap(
        "not low enough",
        _with(**softmax.NOT_LOW_ENOUGH),
        "a constant such as -10,000 hides a score only while all the others are far above it. "
        "The lowest number that fits is torch.finfo(scores.dtype).min: it depends on the "
        "dtype, so ask for it.",
        "Nothing to read",
        (_with(**softmax.MINUS_1E4_ADDED),),
    ),
    Trap(
        "the row that may read nothing",
        _with(**softmax.NAN_ROW),
        "where all scores of a row are -inf, softmax divides 0 by 0. One empty sentence in a "
        "batch makes the loss nan. Use a finite fill, and weights * keep.",
        "Nothing to read",
    ),
    Trap(
        "a nan that comes back",
        _with(**softmax.NAN_GRADIENT),
        "nan_to_num cleans the weights, and the derivative of the softmax, which was computed "
        "from the nan, still meets it on the way back: -inf that was added lets it through to "
        "the scores. Never make the nan.",
        "Nothing to read",
    ),
    Trap(
        "the lowest number added",
        _with(**softmax.LOWEST_ADDED),
        "finfo(dtype).min and a negative score together are below what the dtype can hold: "
        "-inf in half precision, and nan in a row of nothing else. masked_fill replaces the "
        "score instead.",
        "Nothing to read",
        (_with(**softmax.LOWEST_OF_BOOL_ADDED),),
    ),
    Trap(
        "the caller's scores overwritten",
        _with(**softmax.IN_PLACE),
        "masked_fill_ with its underscore writes into the tensor that was passed in. Whoever "
        "looks at those scores next finds holes. Without the underscore it makes a new one.",
        "Padding must not be read",
        overwrites="scores",
    ),
)

MASKED_SOFTMAX = Exercise(
    reference=reference.masked_softmax,
    chapter=CHAPTER,
    points={"values": 2, "edges": 3, "gradients": 1, "types": 1, "contracts": 1},
    cases=CASES,
    contract=_contract,
    properties=(Property("what is hidden has no influence", _hidden_scores_change_nothing),),
    traps=completed(
        _OWN,
        _with,
        {
            "softmax": "From scores to shares",
            "masks": "Padding must not be read",
            "nothing": "Nothing to read",
        },
        called={
            "softmax over the queries": "softmax over those that ask",
            "nan swept under the rug": "a nan that comes back",
            "a constant as minus infinity": "not low enough",
        },
    ),
)
