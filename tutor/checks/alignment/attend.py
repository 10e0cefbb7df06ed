"""What ``attend`` must satisfy, and the wrong answers that people give."""

from collections.abc import Iterator

import torch
from torch import Generator

import tutor.checks.softmax as softmax
from tutor import alignment as reference
from tutor.checks.alignment.shared import CHAPTER, CM, FORBIDDEN, B, S, T, padding
from tutor.checks.draw import BFLOAT, DOUBLE, HALF, SINGLE, Draw, strided
from tutor.checks.exercise import Case, Contract, Exercise, Trap
from tutor.checks.softmax import hide, shares, zeroed


class _Draw(Draw):
    def inputs(self, *batch: int, t=T, s=S, c=CM, dtype=DOUBLE, scale=1.0):
        """scores and memory."""
        return (
            self.normal(*batch, t, s, dtype=dtype, scale=scale),
            self.normal(*batch, s, c, dtype=dtype),
        )


def _cases(generator: Generator, device: torch.device) -> Iterator[Case]:
    draw = _Draw(generator, device)
    yield Case("padding at the end", (*draw.inputs(B), padding(device, 3, S)))
    yield Case("a mask for each state", (*draw.inputs(B), draw.keep(B, T, S)))
    yield Case("no mask", (*draw.inputs(B), None))
    yield Case("the mask left out", draw.inputs(B))
    yield Case("single precision", (*draw.inputs(B, dtype=SINGLE), draw.keep(B, T, S)))
    yield Case("half precision", (*draw.inputs(B, dtype=HALF), draw.keep(B, T, S)))
    yield Case("bfloat16", (*draw.inputs(B, dtype=BFLOAT), draw.keep(B, T, S)))
    yield Case("no batch dimension", (*draw.inputs(), draw.keep(T, S)))
    yield Case("two batch dimensions", (*draw.inputs(B, 4), draw.keep(B, 1, T, S)))
    scores, memory = draw.inputs(B)
    strides = (strided(scores), strided(memory), strided(draw.keep(B, T, S)))
    yield Case("not contiguous", strides)
    sizes = {name: draw.integer(2, 9) for name in ("t", "s", "c")}
    batch = draw.integer(2, 5)
    lot = (*draw.inputs(batch, **sizes), draw.keep(batch, 1, sizes["s"]))
    yield Case("sizes drawn by lot", lot)

    lonely = draw.keep(B, T, S)
    lonely[0, 1] = False
    yield Case("one state may read nothing", (*draw.inputs(B), lonely), "edges")
    empty = padding(device, 0, S)
    half = draw.inputs(B, dtype=HALF)
    yield Case("an empty sentence, half precision", (*half, empty), "edges")
    hidden = draw.keep(B, T, S)
    hidden[..., 0] = False
    high, memory = draw.inputs(B)
    high[..., 0] = 1e4
    yield Case("the largest score is hidden", (high, memory, hidden), "edges")
    low, memory = draw.inputs(B)
    low[..., 2] = -3e5
    only = (torch.arange(S, device=device) == 2).expand(T, S)
    yield Case("only a very low score may be read", (low, memory, only), "edges")
    yield Case("large scores", (*draw.inputs(B, scale=1e3), None), "edges")
    # The padding holds what nobody may see: large numbers, not the zeros that a GRU leaves there.
    scores, memory = draw.inputs(B)
    memory[0, 3:] = 1e6
    yield Case("the padding is not zero", (scores, memory, padding(device, 3, S)), "edges")
    as_many = draw.inputs(B, t=S)
    yield Case("as many ask as are read", (*as_many, draw.keep(B, 1, S)), "edges")
    yield Case("one asks, one is read", (*draw.inputs(B, t=1, s=1), None), "edges")
    yield Case("an empty batch", (*draw.inputs(0), None), "edges")


def _contract(generator: Generator, device: torch.device) -> Contract:
    b, t, s, c = 2, 16, 24, 32
    draw = _Draw(generator, device)
    scores, memory = draw.inputs(b, t=t, s=s, c=c)
    return Contract(
        calls=((scores, memory, draw.keep(b, t, s)), (scores, memory, None)),
        max_flops=2 * b * t * s * c,
        max_written=16 * b * t * s + 4 * memory.numel(),
        max_intermediate=max(memory.numel(), b * t * s, b * t * c),
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
    cases=_cases,
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
