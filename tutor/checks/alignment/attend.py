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
from tutor.checks.conditions import Crossed, Row
from tutor.checks.draw import Draw, laid
from tutor.checks.exercise import Case, Contract, Exercise, Trap
from tutor.checks.families import masked, numbers
from tutor.checks.limits import between
from tutor.checks.softmax import hide, shares, zeroed


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


def _with(weigh):
    """Read with other weights than the right ones."""

    def wrong(scores, memory, keep=None):
        weights = weigh(scores, keep)
        return weights @ memory, weights

    return wrong


def _no_softmax_but_told(scores, memory, keep=None):
    return scores @ memory, shares(scores, keep)


def _no_softmax(scores, memory, keep=None):
    weights = hide(scores, keep, 0.0)
    return weights @ memory, weights


def _exponentials(scores, memory, keep=None):
    weights = hide(scores.exp(), keep, 0.0)
    return weights @ memory, weights


def _zeros_as_padding(scores, memory, keep=None):
    weights = scores.softmax(-1)
    return zeroed(weights, keep) @ memory, weights


def _order(scores, memory, keep=None):
    weights = shares(scores, keep)
    return weights, weights @ memory


def _read_alone(scores, memory, keep=None):
    return shares(scores, keep) @ memory


def _scores_returned(scores, memory, keep=None):
    return shares(scores, keep) @ memory, scores


def _hidden_scores_returned(scores, memory, keep=None):
    return shares(scores, keep) @ memory, hide(scores, keep)


def _mean(scores, memory, keep=None):
    weights = shares(scores, keep)
    return (weights[..., None] * memory[..., None, :, :]).mean(-2), weights


def _best_alone(scores, memory, keep=None):
    best = hide(scores, keep).argmax(-1, keepdim=True)
    weights = zeroed(torch.zeros_like(scores).scatter(-1, best, 1.0), keep)
    return weights @ memory, weights


def _best_read(scores, memory, keep=None):
    return _best_alone(scores, memory, keep)[0], shares(scores, keep)


def _detached(scores, memory, keep=None):
    weights = shares(scores, keep)
    return weights.detach() @ memory, weights


def _twice_but_told_once(scores, memory, keep=None):
    weights = shares(scores, keep)
    return shares(weights, keep) @ memory, weights


ATTEND = Exercise(
    reference=reference.attend,
    chapter=CHAPTER,
    outputs=("read", "weights"),
    points={"values": 3, "edges": 2, "gradients": 1, "types": 1, "contracts": 1},
    cases=CASES,
    contract=_contract,
    traps=(
        Trap(
            "softmax over those that ask",
            _with(softmax.over_queries),
            "each state that asks has one distribution over what it may read: rows of the weights "
            "sum to 1. Along dim=-2 the columns do.",
            "From scores to shares",
        ),
        Trap(
            "weights not normalised",
            _no_softmax,
            "scores are not shares: they may be negative, and their sum may be anything. What is "
            "read then grows with the length of the source. Divided by their sum they may still "
            "be negative, or divided by nothing; exponentials are positive, and need the division.",
            "From scores to shares",
            (_exponentials, _with(softmax.no_exponential), _no_softmax_but_told),
        ),
        Trap(
            "a softmax too many",
            _with(softmax.twice),
            "masked_softmax has made shares of the scores. A second softmax takes these for "
            "scores, and of two numbers between 0 and 1 none can get more than e times the other's "
            "weight.",
            "From scores to shares",
            (_with(softmax.of_a_softmax), _twice_but_told_once),
        ),
        Trap(
            "the mask forgotten",
            _with(softmax.mask_forgotten),
            "keep changes nothing: every state reads the padding, and the translation of a "
            "sentence depends on the longest one in its batch.",
            "Padding must not be read",
        ),
        Trap(
            "masked after the softmax",
            _with(softmax.then_mask),
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
            _with(softmax.inverted),
            "keep is True where a symbol may be read. Inverted, a sentence reads its padding and "
            "nothing else.",
            "Padding must not be read",
            (_with(softmax.inverted_unzeroed),),
        ),
        Trap(
            "the row that may read nothing",
            _with(softmax.nan_row),
            "a state that may read nothing reads zeros: not nan, 0 divided by 0, and not the "
            "average of all that it was to be kept from. masked_softmax does it.",
            "Nothing to read",
            (_with(softmax.average_row),),
        ),
        Trap(
            "the answers in the other order",
            _order,
            "what was read comes first, the weights second.",
            "A mixture of states",
        ),
        Trap(
            "the weights kept back",
            _read_alone,
            "two tensors are asked for: what was read, and the weights, which are the alignment "
            "that one draws.",
            "A mixture of states",
        ),
        Trap(
            "scores returned for weights",
            _scores_returned,
            "the second answer is the shares that were read with, not the scores that they were "
            "made of.",
            "A mixture of states",
            (_hidden_scores_returned,),
        ),
        Trap(
            "a mean on top of the weights",
            _mean,
            "the weights sum to 1: their sum over the memory is the mean already. Divided once "
            "more, by the number of source symbols, long sentences fade.",
            "A mixture of states",
        ),
        Trap(
            "the best one alone",
            _best_alone,
            "taking the state with the highest score is a choice and not a mixture. A choice "
            "jumps, or does not move at all: its derivative by the scores is 0, and nothing "
            "learns to look elsewhere.",
            "A mixture of states",
            (_best_read,),
        ),
        Trap(
            "detached weights",
            _detached,
            "the numbers are right, but detach() cuts the scores off from learning: the model "
            "learns what to do with what it reads and never where to look.",
            "A mixture of states",
        ),
    ),
)
