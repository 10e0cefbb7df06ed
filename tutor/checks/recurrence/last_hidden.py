"""What ``last_hidden`` must satisfy, and the wrong answers that people give."""

from collections.abc import Iterator

import torch
from torch import Generator, Tensor

from tutor import recurrence as reference
from tutor.checks.conditions import Condition, Crossed, Factor, Family, Row, pair
from tutor.checks.crossings import DTYPE, INTEGERS, LAYOUT, SENTENCES, sentences
from tutor.checks.draw import Draw, laid
from tutor.checks.exercise import Case, Contract, Exercise, Property, Trap
from tutor.checks.limits import between
from tutor.checks.recurrence.shared import CHAPTER, B, C, T

_SIZES = Factor(
    "sizes",
    (
        Condition("four", value=(4, T, C)),
        Condition("of one", "one sequence", (1, T, C), edge=True, alone=True),
        Condition("one step", "one step", (4, 1, C), edge=True, alone=True),
        Condition("width 1", "width 1", (4, T, 1), edge=True),
    ),
)
_CONTENTS = Factor(
    "contents",
    (
        Condition("numbers"),
        Condition("padding", "nan and inf in the padding", "padding", edge=True, alone=True),
        Condition("real", "nan and inf in what is asked for", "real", edge=True, alone=True),
    ),
)

FAMILY = Family(
    (DTYPE, INTEGERS, SENTENCES, LAYOUT, _SIZES, _CONTENTS),
    apart={
        pair("padding", "all full"): "there is no padding",
        pair("padding", "one step"): "a sentence of one step has no padding",
        pair("an empty one", "of one"): "there is nothing but padding",
        pair("turned", "width 1"): "states of width 1 lie one after the other",
        pair("turned", "one step"): "one step lies nowhere else",
        pair("behind", "of one"): "one sequence lies nowhere else",
        pair("behind", "one step"): "one step lies nowhere else",
    },
).but(
    without={
        "bytes": "to torch an index of bytes is a mask",
        "int16": "torch takes no index of 16 bits",
    }
)


def _arguments(draw: Draw, row: Row) -> tuple[Tensor, Tensor]:
    b, t, c = row["sizes"]
    states = draw.normal(b, t, c, dtype=row["dtype"])
    lengths = sentences(draw, row, (b,), t)
    for i, n in enumerate(lengths.tolist()):
        if row["contents"] == "padding":
            states[i, n:] = (torch.nan, torch.inf)[i % 2]
        if row["contents"] == "real" and n:
            states[i, n - 1, 0] = (torch.nan, torch.inf, -torch.inf)[i % 3]
    # Laid in three dimensions: batch and time may lie the other way round.
    return laid(states[None], row["layout"])[0], lengths.to(row["integers"])


def _by_hand(draw: Draw) -> Iterator[Case]:
    def lengths(*values: int) -> Tensor:
        return torch.tensor(values, device=draw.device)

    none_full = (draw.normal(4, T, C), lengths(2, 1, 4, 3))
    yield Case("none as long as the batch is wide", none_full)
    b, t, c = draw.integer(5, 8), draw.integer(8, 12), draw.integer(2, 5)
    drawn = draw.integers(b, low=1, high=t)
    yield Case("sizes drawn by lot", (draw.normal(b, t, c), drawn))
    yield Case("nothing but padding", (draw.normal(B, T, C), lengths(0, 0)), "edges")
    # Small integers end at 127, and half precision counts to 2,048.
    yield Case("2,051 steps", (draw.normal(B, 2051, 1), lengths(2050, 2049)), "edges")


CASES = Crossed(FAMILY, _arguments, _by_hand, usual="four sequences")


def _contract(generator: Generator, device: torch.device) -> Contract:
    draw = Draw(generator, device)
    b, t, c = 8, 16, 12
    states = draw.normal(b, t, c)
    return Contract(
        calls=((states, draw.integers(b, low=1, high=t + 1)),),
        # One way puts a step of zeros in front; all states of all sentences, for each of them.
        max_intermediate=between(b * (t + 1) * c, b * b * t * c),
    )


def _padding_is_not_read(call, generator: Generator, device: torch.device) -> str | None:
    draw = Draw(generator, device)
    states, lengths = draw.normal(3, T, C), torch.tensor([2, 5, 1], device=device)
    other = states.clone()
    for b, length in enumerate(lengths.tolist()):
        other[b, length:] = draw.normal(T - length, C)
    if not torch.equal(call(states, lengths), call(other, lengths)):
        return "other numbers in the padding change the answer"
    return None


def _rows(states):
    return torch.arange(states.shape[0], device=states.device)


def _padded(states, lengths):
    return states[:, -1]


def _of_the_longest(states, lengths):
    return states[:, lengths.max() - 1]


def _one_too_late(states, lengths):
    return states[_rows(states), lengths]


def _one_too_late_gathered(states, lengths):
    index = lengths.long()[:, None, None].expand(-1, 1, states.shape[-1])
    return states.gather(1, index)[:, 0]


def _one_too_late_clamped(states, lengths):
    return states[_rows(states), lengths.clamp(max=states.shape[1] - 1)]


def _one_too_early(states, lengths):
    return states[_rows(states), (lengths - 2).clamp(min=0)]


def _one_too_late_by_product(states, lengths):
    is_next = torch.arange(states.shape[1], device=states.device) == lengths[:, None]
    return (states * is_next[..., None]).sum(1)


def _nothing_of_nothing(function):
    """The same, with zeros for a sequence of length 0."""

    def wrong(states, lengths):
        return function(states, lengths).masked_fill((lengths == 0)[:, None], 0.0)

    return wrong


def _negative_index(states, lengths):
    return states[_rows(states), lengths - 1]


def _first_of_nothing(states, lengths):
    return states[_rows(states), (lengths - 1).clamp(min=0)]


def _from_the_end(states, lengths):
    return states[_rows(states), -lengths]


def _mean(states, lengths):
    real = torch.arange(states.shape[1], device=states.device) < lengths[:, None]
    kept = states.masked_fill(~real[..., None], 0.0)
    return kept.sum(1) / lengths.clamp(min=1)[:, None]


def _mean_by_product(states, lengths):
    real = torch.arange(states.shape[1], device=states.device) < lengths[:, None]
    return (states * real[..., None]).sum(1) / lengths.clamp(min=1)[:, None].to(states.dtype)


def _mean_of_all(states, lengths):
    return states.mean(1)


def _sum(states, lengths):
    real = torch.arange(states.shape[1], device=states.device) < lengths[:, None]
    return states.masked_fill(~real[..., None], 0.0).sum(1)


def _maximum(states, lengths):
    real = torch.arange(states.shape[1], device=states.device) < lengths[:, None]
    return states.masked_fill(~real[..., None], -torch.inf).amax(1)


def _masked_by_product(states, lengths):
    is_last = torch.arange(states.shape[1], device=states.device) == lengths[:, None] - 1
    return (states * is_last[..., None]).sum(1)


def _masked_afterwards(states, lengths):
    last = states[_rows(states), (lengths - 1).clamp(min=0)]
    return last * (lengths > 0)[:, None]


def _swept(states, lengths):
    return _masked(states.nan_to_num(), lengths)


def _sorted(states, lengths):
    order = lengths.argsort(descending=True, stable=True)
    right = _masked(states, lengths)
    return right[order]


def _masked(states, lengths):
    is_last = torch.arange(states.shape[1], device=states.device) == lengths[:, None] - 1
    return states.masked_fill(~is_last[..., None], 0.0).sum(1)


def _detached(states, lengths):
    return _masked(states.detach(), lengths)


_SECTION = "The last real step"

LAST_HIDDEN = Exercise(
    reference=reference.last_hidden,
    chapter=CHAPTER,
    points={"values": 2, "edges": 2, "gradients": 1, "types": 1, "contracts": 1},
    cases=CASES,
    contract=_contract,
    properties=(Property("other padding", _padding_is_not_read),),
    traps=(
        Trap(
            "the last padded step",
            _padded,
            "states[:, -1] is the last column of the batch. For all but the longest sequences that "
            "is padding: the state after reading nothing, several times. It is right in every test "
            "with one sequence.",
            _SECTION,
            (_of_the_longest, *map(_nothing_of_nothing, (_padded, _of_the_longest))),
        ),
        Trap(
            "one step too late",
            _one_too_late,
            "a sequence of length n has its last step at n - 1. At n stands the first step of the "
            "padding, or nothing at all.",
            _SECTION,
            (
                _one_too_late_gathered,
                _one_too_late_clamped,
                _nothing_of_nothing(_one_too_late_clamped),
                _one_too_late_by_product,
            ),
        ),
        Trap(
            "one step too early",
            _one_too_early,
            "counted from 0 the last step of n is n - 1; once, not twice.",
            _SECTION,
            (_nothing_of_nothing(_one_too_early),),
        ),
        Trap(
            "an index of -1",
            _negative_index,
            "a sequence of length 0 asks for the step -1, and Python's -1 is the last one: the "
            "empty sentence gets the state at the end of the padding.",
            _SECTION,
        ),
        Trap(
            "the first step of nothing",
            _first_of_nothing,
            "clamped at 0, a sequence of length 0 gets the state after its first step, which is "
            "padding. It has read nothing: zeros.",
            _SECTION,
        ),
        Trap(
            "counted from the end",
            _from_the_end,
            "-lengths counts backwards from the end of the padded row, as if the padding stood in "
            "front. Here it stands behind.",
            _SECTION,
        ),
        Trap(
            "all states mixed",
            _mean,
            "a mean, a sum or a maximum over time is another summary (pooling), and often a good "
            "one. Asked for is the one state that has read everything.",
            _SECTION,
            (_mean_by_product, _mean_of_all, _sum, _maximum),
        ),
        Trap(
            "nan times 0",
            _masked_by_product,
            "a mask that is multiplied in does not hide nan or infinity: 0 · nan is nan. Choose "
            "with masked_fill or torch.where, which do not read what they drop.",
            _SECTION,
            (_masked_afterwards,),
        ),
        Trap(
            "nan and infinity swept away",
            _swept,
            "nan_to_num changes the padding *and* the real steps. A state that has become nan is "
            "the one thing that you want to see: with a large number, or a 0, in its place the "
            "network goes on as if nothing had happened. Drop the padding; keep what is asked for.",
            _SECTION,
        ),
        Trap(
            "in order of length",
            _sorted,
            "batches used to be sorted by length for torch's packing, and whoever does it has to "
            "put the rows back in their order. Otherwise every sentence gets another one's state.",
            _SECTION,
        ),
        Trap(
            "detached states",
            _detached,
            "the numbers are right, but no gradient reaches the network that made the states.",
            "A product of Jacobians",
        ),
    ),
)
