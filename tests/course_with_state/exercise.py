"""What ``RunningSoftmax`` must satisfy."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Generator, Tensor

from tests.course_with_state.reference import RunningSoftmax
from tutor.checks.draw import BFLOAT, DOUBLE, HALF, SINGLE, Draw
from tutor.checks.exercise import Call, Case, Contract, Exercise, Property, Trap
from tutor.checks.properties import in_place

CHAPTER = "99_state"

STATE = ("maximum", "normaliser", "weighted")
B, H, W = 2, 3, 11
LENGTHS = (5, 1, 7)
"""Of the pieces."""


class _Draw(Draw):
    def piece(
        self,
        batch: tuple[int, ...],
        length: int,
        dtype: torch.dtype = DOUBLE,
        scale: float = 2.0,
        width: int = W,
    ) -> tuple[Tensor, Tensor]:
        """Scores and values of some keys."""
        scores = self.normal(*batch, length, dtype=dtype, scale=scale)
        return scores, self.normal(*batch, length, width, dtype=dtype)

    def case(
        self,
        label: str,
        batch: tuple[int, ...] = (B, H),
        lengths: tuple[int, ...] = LENGTHS,
        group: str = "values",
        dtype: torch.dtype = DOUBLE,
        scale: float = 2.0,
        width: int = W,
    ) -> Case:
        """Updates, with a result after the first of them and after the last."""
        pieces = (self.piece(batch, n, dtype, scale, width) for n in lengths)
        calls = [Call("update", piece) for piece in pieces]
        calls[1:1] = [Call("result")]
        if len(lengths) > 1:
            calls.append(Call("result"))
        return self.of(label, batch, calls, group, dtype, width)

    def of(
        self,
        label: str,
        batch: tuple[int, ...],
        calls: list[Call],
        group: str = "values",
        dtype: torch.dtype = DOUBLE,
        width: int = W,
        raises: type[Exception] | None = None,
    ) -> Case:
        kwargs = {"dtype": dtype, "device": self.device}
        return Case(label, (batch, width), group, raises, kwargs=kwargs, calls=tuple(calls))


def _cases(generator: Generator, device: torch.device) -> Iterator[Case]:
    draw = _Draw(generator, device)
    yield draw.case("three pieces")
    yield draw.case("one piece", lengths=(7,))
    yield draw.case("key by key", lengths=(1, 1, 1, 1, 1))
    yield draw.case("one batch dimension", batch=(5,))
    yield draw.case("single precision", dtype=SINGLE)
    yield draw.case("half precision", dtype=HALF)
    yield draw.case("bfloat16", dtype=BFLOAT)
    yield draw.case("no batch dimension", batch=(), group="edges")
    yield draw.case("an empty batch", batch=(0, H), group="edges")
    yield draw.case("width 1", width=1, group="edges")
    yield draw.case("a piece of no keys", lengths=(5, 0, 7), group="edges")
    yield draw.case("a first piece of no keys", lengths=(0, 5), group="edges")
    yield draw.of("a result before any key", (B, H), [Call("result")], "edges")
    yield draw.case("large scores", scale=300.0, group="edges")
    first, second = draw.piece((B, H), 5), draw.piece((B, H), 7)
    rising = [first, (second[0] + 800, second[1])]
    yield draw.of("scores that rise", (B, H), _updated(rising), "edges")
    yield draw.of("scores that fall", (B, H), _updated(rising[::-1]), "edges")
    scores, values = draw.piece((B, H), 7)
    hidden = scores.masked_fill(~draw.keep(B, H, 7), -torch.inf)
    yield draw.of("hidden keys", (B, H), _updated([(hidden, values), second]), "edges")
    nothing = torch.full_like(scores, -torch.inf)
    yield draw.of("all keys hidden", (B, H), _updated([(nothing, values), second]), "edges")
    yield draw.of("hidden to the end", (B, H), _updated([(nothing, values)]), "edges")
    nothing = scores.clone()
    nothing[0, 1] = -torch.inf
    yield draw.of("one row hidden to the end", (B, H), _updated([(nothing, values)]), "edges")
    transposed = (draw.normal(B, 5, H).mT, draw.normal(B, H, W, 5).mT)
    yield draw.of("non-contiguous", (B, H), _updated([first, transposed]), "edges")
    wide = draw.piece((B, H), 5, width=W + 1)
    for label, piece in (("values too wide", wide), ("another batch", draw.piece((H, B), 5))):
        calls = [Call("update", first), Call("update", piece)]
        yield draw.of(label, (B, H), calls, "edges", raises=ValueError)


def _updated(pieces: list[tuple[Tensor, Tensor]]) -> list[Call]:
    return [*(Call("update", piece) for piece in pieces), Call("result")]


# Properties


def _sequence(generator: Generator, device: torch.device) -> Case:
    return _Draw(generator, device).case("in place")


Make = Callable[..., Any]


def _whole_in_pieces(make: Make, generator: Generator, device: torch.device) -> str | None:
    draw = _Draw(generator, device)
    scores, values = draw.piece((B, H), 13)
    found = []
    for lengths in ((13,), (4, 9), (1, 5, 7)):
        running = make((B, H), W, dtype=DOUBLE, device=device)
        for s, v in zip(scores.split(lengths, -1), values.split(lengths, -2), strict=True):
            running.call("update", s, v)
        found.append(running.call("result"))
    if all(torch.allclose(found[0], f, rtol=1e-10, atol=1e-10) for f in found):
        return None
    return "the result depends on where the keys are cut into pieces"


def _any_order(make: Make, generator: Generator, device: torch.device) -> str | None:
    draw = _Draw(generator, device)
    pieces = [draw.piece((B, H), n) for n in LENGTHS]
    found = []
    for ordered in (pieces, pieces[::-1]):
        running = make((B, H), W, dtype=DOUBLE, device=device)
        for piece in ordered:
            running.call("update", *piece)
        found.append(running.call("result"))
    if torch.allclose(*found, rtol=1e-10, atol=1e-10):
        return None
    return "the result depends on the order of the pieces"


def _callers_memory(make: Make, generator: Generator, device: torch.device) -> str | None:
    """The caller writes the next keys into the tensors of the last."""
    draw = _Draw(generator, device)
    scores, values = draw.piece((B, H), 5)
    running, other = (make((B, H), W, dtype=DOUBLE, device=device) for _ in range(2))
    for _ in range(3):
        running.call("update", scores, values)
        other.call("update", scores.clone(), values.clone())
        scores.copy_(draw.normal(B, H, 5))
        values.copy_(draw.normal(B, H, 5, W))
    if torch.equal(running.call("result"), other.call("result")):
        return None
    return "it keeps the caller's tensors and not what was in them"


# The work of one update after others


def _contract(generator: Generator, device: torch.device) -> Contract:
    draw, length = _Draw(generator, device), 64
    case = draw.case("counted", lengths=(48, 32, length))
    scores, rows = B * H * length, B * H
    return Contract(
        calls=(case,),
        method="update",
        max_flops=2 * scores * W,
        max_written=8 * scores + 12 * rows * W,
        max_intermediate=scores,
        forbidden={"scaled_dot_product": "torch's own attention is called: write the update"},
    )


# Wrong ways: each class has one step that is another


class _Steps(RunningSoftmax):
    def update(self, scores: Tensor, values: Tensor) -> None:
        fits = scores.shape[:-1] == self.maximum.shape and values.shape[:-1] == scores.shape
        if not fits or values.shape[-1] != self.weighted.shape[-1]:
            raise ValueError(f"{tuple(scores.shape)} and {tuple(values.shape)} do not fit")
        if scores.shape[-1] == 0:
            return
        maximum = self.new_maximum(scores)
        shift = self.shift(maximum)
        kept, weights = (self.maximum - shift).exp(), (scores - shift[..., None]).exp()
        self.add(kept, weights, (weights[..., None, :] @ values).squeeze(-2))
        self.maximum.copy_(maximum)

    def new_maximum(self, scores: Tensor) -> Tensor:
        return torch.maximum(self.maximum, scores.amax(-1))

    def shift(self, maximum: Tensor) -> Tensor:
        return maximum.clamp(min=torch.finfo(maximum.dtype).min)

    def add(self, kept: Tensor, weights: Tensor, weighted: Tensor) -> None:
        self.normaliser.mul_(kept).add_(weights.sum(-1))
        self.weighted.mul_(kept[..., None]).add_(weighted)


class _NotRescaled(_Steps):
    def add(self, kept, weights, weighted):
        self.normaliser.add_(weights.sum(-1))
        self.weighted.add_(weighted)


class _NormaliserRescaled(_Steps):
    def add(self, kept, weights, weighted):
        self.normaliser.mul_(kept).add_(weights.sum(-1))
        self.weighted.add_(weighted)


class _WeightedRescaled(_Steps):
    def add(self, kept, weights, weighted):
        self.normaliser.add_(weights.sum(-1))
        self.weighted.mul_(kept[..., None]).add_(weighted)


class _RescaledTheOtherWay(_Steps):
    def add(self, kept, weights, weighted):
        super().add(1 / kept, weights, weighted)


class _MaximumOfThePiece(_Steps):
    def new_maximum(self, scores):
        return scores.amax(-1)


class _MaximumFromZero(_Steps):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.maximum.zero_()


class _NoMaximum(_Steps):
    def new_maximum(self, scores):
        return self.maximum

    def shift(self, maximum):
        return torch.zeros_like(maximum)

    def add(self, kept, weights, weighted):
        super().add(torch.ones_like(kept), weights, weighted)


class _InfinityMinusInfinity(_Steps):
    def shift(self, maximum):
        return maximum


class _MeanOfThePieces(_Steps):
    def add(self, kept, weights, weighted):
        self.normaliser.add_(1)
        self.weighted.add_(weighted / weights.sum(-1, keepdim=True))


class _NotNormalised(_Steps):
    def result(self):
        return self.weighted.clone()


class _NormalisedInPlace(_Steps):
    def result(self):
        return self.weighted.div_(self.normaliser[..., None]).nan_to_num_(0.0).clone()


class _ZeroOverZero(_Steps):
    def result(self):
        return self.weighted / self.normaliser[..., None]


class _Rebound(_Steps):
    def add(self, kept, weights, weighted):
        self.normaliser = self.normaliser * kept + weights.sum(-1)
        self.weighted = self.weighted * kept[..., None] + weighted


class _ReboundMaximum(_Steps):
    def update(self, scores, values):
        super().update(scores, values)
        self.maximum = self.maximum.clone()


class _Wide(_Steps):
    def __init__(self, batch, width, dtype=torch.float32, device=None):
        super().__init__(batch, width, torch.float32, device)


RUNNING_SOFTMAX = Exercise(
    reference=RunningSoftmax,
    chapter=CHAPTER,
    points={"values": 4, "edges": 2, "types": 1, "contracts": 1},
    cases=_cases,
    contract=_contract,
    state=STATE,
    properties=(
        Property("the caller's tensors filled anew", _callers_memory),
        Property("the whole in pieces", _whole_in_pieces),
        Property("another order of the pieces", _any_order),
        Property("in place", in_place(STATE, _sequence)),
    ),
    traps=(
        Trap(
            "sums that are not rescaled",
            _NotRescaled,
            "What is in the sums was weighed against the maximum of that time. When the maximum "
            "rises from m to m', all of it is too large by exp(m' - m): multiply both sums by "
            "exp(m - m') before you add to them.",
            "A running softmax",
            (_NormaliserRescaled, _WeightedRescaled),
        ),
        Trap(
            "rescaled the other way",
            _RescaledTheOtherWay,
            "Old sums shrink when the maximum rises: the factor is exp(old - new), at most 1. The "
            "other way round it grows without limit.",
            "A running softmax",
        ),
        Trap(
            "the maximum of the piece",
            _MaximumOfThePiece,
            "The maximum is that of all keys so far. If it may fall, exp(old - new) overflows: a "
            "piece may have small scores only.",
            "A running softmax",
        ),
        Trap(
            "a maximum that begins at 0",
            _MaximumFromZero,
            "Scores may all be negative. Against a maximum of 0 that nobody has, their weights are "
            "all small, and from -104 on in single precision they are 0. Begin at -inf.",
            "A running softmax",
        ),
        Trap(
            "no maximum",
            _NoMaximum,
            "exp(89) is inf in single precision, exp(710) in double. Subtract the largest score "
            "first.",
            "A running softmax",
        ),
        Trap(
            "-inf minus -inf",
            _InfinityMinusInfinity,
            "Before the first key that may be read the maximum is -inf, and -inf - -inf is nan. "
            "Shift by something finite there.",
            "Rows that have seen nothing",
        ),
        Trap(
            "the mean of the pieces",
            _MeanOfThePieces,
            "A piece with large scores has to count for more. The softmax of each piece has "
            "forgotten how large its scores were.",
            "A running softmax",
        ),
        Trap(
            "not normalised",
            _NotNormalised,
            "The weighted sum is not yet an average: divide it by the normaliser.",
            "A running softmax",
        ),
        Trap(
            "normalised in place",
            _NormalisedInPlace,
            "result() is asked while more keys may come. If it divides what the object keeps, the "
            "next update adds to an average as if it were a sum.",
            "A running softmax",
        ),
        Trap(
            "zero over zero",
            _ZeroOverZero,
            "A row that has seen no key has a normaliser of 0, and 0 / 0 is nan. Give it zeros.",
            "Rows that have seen nothing",
        ),
        Trap(
            "a new tensor in every update",
            _Rebound,
            "self.x = self.x * a + b makes a new tensor and gives it the old one's name; whoever "
            "holds the old one, such as a graph of CUDA's, does not see it. Write into the tensor "
            "that is there: mul_, add_, copy_.",
            "State in place",
            (_ReboundMaximum,),
        ),
        Trap(
            "single precision whatever is asked for",
            _Wide,
            "The state has the dtype that the constructor is given, not torch's default.",
            "State in place",
        ),
    ),
)
