"""What the exercises of chapter 1 share."""

from collections.abc import Callable, Iterator

import torch
from torch import Generator, Tensor

from tutor.checks.conditions import Condition, Crossed, Factor, Family, Row, pair
from tutor.checks.crossings import DTYPE, LAYOUT
from tutor.checks.draw import DOUBLE, Draw, laid
from tutor.checks.exercise import Case, Contract
from tutor.checks.limits import between

CHAPTER = "01_recurrence"

# All sizes differ, so that a swapped axis cannot pass.
B, T, E, C = 2, 6, 5, 3


class CellDraw(Draw):
    """With the arguments of a cell, in this chapter's sizes."""

    def cell(self, gates, *batch, states=1, e=E, c=C, dtype=DOUBLE, scale=1.0):
        """x, as many states, and the parameters of a cell of so many blocks of rows.

        What is squashed is about 1 and never near 5.5, whose square of an exponential is more than
        half precision holds: that is for the cases of large inputs.
        """
        state = tuple(self.normal(*batch, c, dtype=dtype, scale=0.5) for _ in range(states))
        return (
            self.normal(*batch, e, dtype=dtype, scale=scale / 2),
            *state,
            self.normal(gates * c, e, dtype=dtype, scale=max(e, 1) ** -0.5),
            self.normal(gates * c, c, dtype=dtype, scale=c**-0.5),
            self.normal(gates * c, dtype=dtype, scale=0.5),
            self.normal(gates * c, dtype=dtype, scale=0.5),
        )


_LIBRARY_CELLS = {
    part: "it calls torch's own recurrent cell; this exercise is to write one"
    for part in ("rnn", "lstm", "gru")
}


BATCH = Factor(
    "batch",
    (
        Condition("one", value=(B,)),
        Condition("none", "no batch dimension", (), alone=True),
        Condition("two", "two batch dimensions", (B, 4), alone=True),
        Condition("three", "batch dimensions 2, 1 and 4", (B, 1, 4)),
        Condition("of one", "a batch of one", (1,), edge=True),
    ),
)
_INPUTS = Factor(
    "inputs",
    (
        Condition("around 1", value=1.0),
        Condition("small", "small inputs", 0.01),
        Condition("large", "large inputs", edge=True, alone=True),
    ),
)
_STATE = Factor(
    "state",
    (
        Condition("usual", value=1.0),
        Condition("zeros", "the first step: a state of zeros", 0.0, edge=True, alone=True),
        Condition("large state", "a large state", edge=True, alone=True),
    ),
)
_WIDTHS = Factor(
    "widths",
    (
        Condition("wider input", value=(E, C)),
        Condition("wider state", "a state wider than the input", (2, 7)),
        Condition("one width", "input and state of one width", (4, 4), edge=True),
        Condition("width 1", "width 1", (1, 1), edge=True),
    ),
)

CELL = Family(
    (DTYPE, _INPUTS, _STATE, LAYOUT, BATCH, _WIDTHS),
    apart={
        pair("turned", "width 1"): "rows of one number lie one after the other",
    },
).but(without={"behind": "an input of one step has no time"})
"""Functions of one input, of the state before it, and of a cell's parameters."""


def _one_sided(draw: Draw, x: Tensor, w: Tensor, size: float) -> tuple[Tensor, Tensor]:
    """x of about ``size`` and w, such that w x is far from 0, with one sign in every other row of w
    and the other between: squashed, it is 1 or 0 or -1 in every precision."""
    rows = torch.arange(len(w), device=w.device)[:, None]
    of_batch = torch.arange(x[..., :1].numel(), device=x.device).view(x[..., :1].shape)
    x = draw.uniform(*x.shape, low=size / 2, high=size) * (1 - 2 * (of_batch % 2))
    return x.to(w.dtype), (w.abs() + 0.2) * (1 - 2 * (rows % 2)).to(w.dtype)


def cell_cases(gates: int, states: int = 1) -> Crossed:
    def arguments(draw: CellDraw, row: Row) -> tuple[Tensor, ...]:
        e, c = row["widths"]
        args = draw.cell(gates, *row["batch"], states=states, e=e, c=c, dtype=row["dtype"])
        x, *state, w_ih, w_hh, b_ih, b_hh = args
        if row["inputs"] is None:
            x, w_ih = _one_sided(draw, x, w_ih, 2000.0)
        else:
            x = x * row["inputs"]
        if row["state"] is None:
            state = [_one_sided(draw, s, w_hh, 30.0) for s in state]
            w_hh, state = state[0][1], [s for s, _ in state]
        else:
            state = [row["state"] * s for s in state]
        return tuple(laid(t, row["layout"]) for t in (x, *state, w_ih, w_hh, b_ih, b_hh))

    def by_hand(draw: CellDraw) -> Iterator[Case]:
        e, c = draw.integer(6, 10), draw.integer(2, 6)
        lot = draw.cell(gates, draw.integer(3, 7), states=states, e=e, c=c)
        yield Case("sizes drawn by lot", lot)

    return Crossed(CELL, arguments, by_hand, draw=CellDraw)


def cell_contract(gates: int, states: int = 1) -> Callable[[Generator, torch.device], Contract]:
    def contract(generator: Generator, device: torch.device) -> Contract:
        b, e, c = 16, 24, 32
        args = CellDraw(generator, device).cell(gates, b, states=states, e=e, c=c)
        rows = gates * c
        return Contract(
            calls=(args,),
            max_flops=between(2 * b * rows * (e + c), 2 * b * rows * (2 * e + c)),
            # Both weights as one, and all products of an input and a weight at once.
            max_intermediate=between(rows * (e + c), b * rows * e),
            forbidden=_LIBRARY_CELLS,
        )

    return contract
