"""What ``attend`` must satisfy, and the wrong answers that people give."""

from collections.abc import Iterator

import torch
from torch import Generator, Tensor

import tutor.checks.softmax as softmax
from tutor import alignment as reference
from tutor.checks.alignment.shared import (
    CHAPTER,
    CM,
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
from tutor.checks.crossings import masked, numbers
from tutor.checks.draw import Draw, laid
from tutor.checks.exercise import Case, Contract, Exercise, Trap
from tutor.checks.limits import between
from tutor.checks.shares import completed
from tutor.checks.softmax import hide, read, weights, zeroed


def _arguments(draw: Draw, row: Row) -> tuple[Tensor | None, ...]:
    scores = scores_of(draw, row)
    memory = numbers(draw, row, *row["batch"], scores.shape[-1], CM)
    layout = row["layout"]
    return laid(scores, layout), laid(memory, layout), masked(draw, row)


def _by_hand(draw: Draw) -> Iterator[Case]:
    yield Case("the mask left out", (draw.normal(B, T, S), draw.normal(B, S, CM)))
    b, t, s, c = draw.integer(2, 5), *(draw.integer(2, 9) for _ in range(3))
    lot = (draw.normal(b, t, s), draw.normal(b, s, c), draw.keep(b, 1, s))
    yield Case("sizes drawn by lot", lot)
    low, only = low_scores(draw)
    very_low = (low, draw.normal(B, S, CM), only)
    yield Case("only a very low score may be read", very_low, "edges")
    # The padding holds what nobody may see: large numbers, not the zeros that a GRU leaves there.
    memory, keep = draw.normal(B, S, CM), torch.ones(B, 1, S, dtype=torch.bool, device=draw.device)
    memory[0, 3:], keep[0, :, 3:] = 1e6, False
    yield Case("the padding is not zero", (draw.normal(B, T, S), memory, keep), "edges")
    as_many = (draw.normal(B, S, S), draw.normal(B, S, CM), draw.keep(B, 1, S))
    yield Case("as many ask as are read", as_many, "edges")


CASES = Crossed(SHARES, _arguments, _by_hand)


def _contract(generator: Generator, device: torch.device) -> Contract:
    b, t, s, c = 2, 16, 24, 32
    draw = Draw(generator, device)
    scores, memory = draw.normal(b, t, s), draw.normal(b, s, c)
    product = 2 * b * t * s * c
    return Contract(
        calls=((scores, memory, draw.keep(b, t, s)), (scores, memory, None)),
        max_flops=between(product, 2 * product),
        # All products of shares and states at once, to be summed later.
        max_intermediate=between(2 * memory.numel(), b * t * s * c),
        forbidden=FORBIDDEN,
    )


def _shares(shares, scores, keep):
    return shares


def _both(read, told):
    return read, told


def _unscaled(scores, memory):
    return scores


def _attend(
    scores,
    memory,
    keep=None,
    scale=_unscaled,
    weigh=weights,
    read=read,
    told=_shares,
    returned=_both,
    **steps,
):
    """The right answers, but for the steps that are given."""
    shares = weigh(scale(scores, memory), keep, **steps)
    return returned(read(shares, memory), told(shares, scores, keep))


_with = changeable(_attend)


def _no_softmax_but_told(scores, memory, keep=None):
    return scores @ memory, weights(scores, keep)


def _zeros_as_padding(scores, memory, keep=None):
    shares = scores.softmax(-1)
    return zeroed(shares, keep) @ memory, shares


def _exchanged(read, told):
    return told, read


def _scaled_by_width(scores, memory):
    return scores * memory.shape[-1] ** -0.5


def _scaled_by_length(scores, memory):
    return scores * memory.shape[-2] ** -0.5


def _cleaned(read, told):
    return read.nan_to_num(0.0), told.nan_to_num(0.0)


def _read_alone(read, told):
    return read


def _scores(shares, scores, keep):
    return scores


def _hidden_scores(shares, scores, keep):
    return hide(scores, keep)


def _scores_zeroed(shares, scores, keep):
    return hide(scores, keep, 0.0)


def _told_detached(shares, scores, keep):
    return shares.detach()


def _best_read(scores, memory, keep=None):
    return weights(scores, keep, share=softmax.best_alone) @ memory, weights(scores, keep)


def _twice_but_told_once(scores, memory, keep=None):
    shares = weights(scores, keep)
    return weights(shares, keep) @ memory, shares


_OWN = (
    Trap(
        "softmax over those that ask",
        _with(**softmax.OVER_QUERIES),
        "each state that asks has one distribution over what it may read: rows of the weights "
        "sum to 1. Along dim=-2 the columns do.",
        "From scores to shares",
    ),
    Trap(
        "weights not normalised",
        _with(**softmax.NO_SOFTMAX),
        "scores are not shares: they may be negative, and their sum may be anything. What is "
        "read then grows with the length of the source. Divided by their sum they may still "
        "be negative, or divided by nothing; exponentials are positive, and need the division.",
        "From scores to shares",
        (
            _with(**softmax.NOT_DIVIDED),
            _with(**softmax.NO_EXPONENTIAL),
            _no_softmax_but_told,
        ),
    ),
    Trap(
        "a softmax too many",
        _with(**softmax.TWICE),
        "masked_softmax has made shares of the scores. A second softmax takes these for "
        "scores, and of two numbers between 0 and 1 none can get more than e times the other's "
        "weight.",
        "From scores to shares",
        (_twice_but_told_once,),
    ),
    Trap(
        "the mask forgotten",
        _with(**softmax.FORGOTTEN),
        "keep changes nothing: every state reads the padding, and the translation of a "
        "sentence depends on the longest one in its batch.",
        "Padding must not be read",
    ),
    Trap(
        "masked after the softmax",
        _with(**softmax.AFTERWARDS),
        "the padding has already taken its share when it is zeroed: what is left sums to less "
        "than 1. Hide before the softmax.",
        "Padding must not be read",
    ),
    Trap(
        "zeros as padding",
        _zeros_as_padding,
        "a state of zeros adds nothing to what is read, but its score is not minus infinity: "
        "it still takes a share from every real symbol, and the more padding, the more.",
        "Padding must not be read",
    ),
    Trap(
        "mask inverted",
        _with(**softmax.INVERTED),
        "keep is True where a symbol may be read. Inverted, a sentence reads its padding and "
        "nothing else.",
        "Padding must not be read",
        (_with(**softmax.INVERTED_UNZEROED),),
    ),
    Trap(
        "the row that may read nothing",
        _with(**softmax.NAN_ROW),
        "a state that may read nothing reads zeros: not nan, 0 divided by 0, and not the "
        "average of all that it was to be kept from. masked_softmax does it.",
        "Nothing to read",
    ),
    Trap(
        "nan swept under the rug",
        _with(hide=softmax.minus_infinity, returned=_cleaned),
        "nan_to_num mends the answer and not the derivative: the way back multiplies by the "
        "nan itself, and the gradient of the memory is nan. A finite fill never makes one.",
        "Nothing to read",
    ),
    Trap(
        "the answers in the other order",
        _with(returned=_exchanged),
        "what was read comes first, the weights second.",
        "A mixture of states",
    ),
    Trap(
        "the weights kept back",
        _with(returned=_read_alone),
        "two tensors are asked for: what was read, and the weights, which are the alignment "
        "that one draws.",
        "A mixture of states",
    ),
    Trap(
        "scores returned for weights",
        _with(told=_scores),
        "the second answer is the shares that were read with, not the scores that they were "
        "made of.",
        "A mixture of states",
        (_with(told=_hidden_scores), _with(told=_scores_zeroed)),
    ),
    Trap(
        "the best one alone",
        _with(share=softmax.best_alone),
        "taking the state with the highest score is a choice and not a mixture. A choice "
        "jumps, or does not move at all: its derivative by the scores is 0, and nothing "
        "learns to look elsewhere.",
        "A mixture of states",
        (_best_read,),
    ),
    Trap(
        "detached weights",
        _with(told=_told_detached),
        "the numbers are right, but detach() cuts the scores off from learning: the model "
        "learns what to do with what it reads and never where to look. Who only draws the "
        "weights detaches them there.",
        "A mixture of states",
    ),
    Trap(
        "a scale that nobody asked for",
        _with(scale=_scaled_by_width),
        "scores come as they are meant. Only scores that are dot products are divided by a "
        "root of their width, as in chapter 3, and by whoever makes them.",
        "From scores to shares",
        (_with(scale=_scaled_by_length),),
    ),
)

ATTEND = Exercise(
    reference=reference.attend,
    chapter=CHAPTER,
    outputs=("read", "weights"),
    points={"values": 3, "edges": 2, "gradients": 1, "types": 1, "contracts": 1},
    cases=CASES,
    contract=_contract,
    traps=completed(
        _OWN,
        _with,
        {
            "softmax": "From scores to shares",
            "masks": "Padding must not be read",
            "nothing": "Nothing to read",
            "reading": "A mixture of states",
        },
        called={
            "softmax over the queries": "softmax over those that ask",
            "no softmax": "weights not normalised",
            "nothing to read, so everything is read": "the row that may read nothing",
        },
    ),
)
