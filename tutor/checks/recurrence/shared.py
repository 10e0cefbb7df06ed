"""What the exercises of chapter 1 share."""

from collections.abc import Callable, Iterator

import torch
from torch import Generator

from tutor.checks.draw import BFLOAT, DOUBLE, HALF, SINGLE, Draw, strided
from tutor.checks.exercise import Case, Contract

CHAPTER = "01_recurrence"

# All sizes differ, so that a swapped axis cannot pass.
B, T, E, C = 2, 6, 5, 3


class CellDraw(Draw):
    """With the arguments of a cell, in this chapter's sizes."""

    def cell(self, gates, *batch, states=1, e=E, c=C, dtype=DOUBLE, scale=1.0):
        """x, as many states, and the parameters of a cell of so many blocks of rows."""
        state = tuple(self.normal(*batch, c, dtype=dtype) for _ in range(states))
        return (
            self.normal(*batch, e, dtype=dtype, scale=scale),
            *state,
            self.normal(gates * c, e, dtype=dtype, scale=max(e, 1) ** -0.5),
            self.normal(gates * c, c, dtype=dtype, scale=c**-0.5),
            self.normal(gates * c, dtype=dtype),
            self.normal(gates * c, dtype=dtype),
        )


_LIBRARY_CELLS = {
    part: "it calls torch's own recurrent cell; this exercise is to write one"
    for part in ("rnn", "lstm", "gru")
}


def cell_cases(gates: int, states: int = 1) -> Callable[[Generator, torch.device], Iterator[Case]]:
    def cases(generator: Generator, device: torch.device) -> Iterator[Case]:
        draw = CellDraw(generator, device)

        def cell(*batch, **kwargs):
            return draw.cell(gates, *batch, states=states, **kwargs)

        yield Case("a batch", cell(B))
        yield Case("single precision", cell(B, dtype=SINGLE))
        yield Case("half precision", cell(B, dtype=HALF))
        yield Case("bfloat16", cell(B, dtype=BFLOAT))
        yield Case("no batch dimension", cell())
        yield Case("two batch dimensions", cell(B, 4))
        yield Case("three batch dimensions", cell(B, 4, 1, e=2))
        yield Case("a state wider than the input", cell(4, e=2, c=7))
        ordinary = cell(4)
        turned = tuple(strided(t) if t.ndim > 1 else t for t in ordinary)
        yield Case("not contiguous", turned)
        e, c = draw.integer(6, 10), draw.integer(2, 6)
        yield Case("sizes drawn by lot", cell(draw.integer(3, 7), e=e, c=c))

        yield Case("input and state of one width", cell(B, e=4, c=4), "edges")
        yield Case("width 1", cell(B, e=1, c=1), "edges")
        yield Case("a batch of one", cell(1), "edges")
        yield Case("an empty batch", cell(0), "edges")
        x, *rest = cell(B, scale=1e4)
        # Sums of both signs, whatever is drawn: some quotients overflow on one side only.
        yield Case("large inputs", (torch.cat([x[:1], -x[:1]]), *rest), "edges")
        x, *state, w_ih, w_hh, b_ih, b_hh = cell(B)
        zeros = [torch.zeros_like(s) for s in state]
        yield Case("the first step: a state of zeros", (x, *zeros, w_ih, w_hh, b_ih, b_hh), "edges")
        large = [30 * s for s in state]
        yield Case("a large state", (x, *large, w_ih, w_hh, b_ih, b_hh), "edges")

    return cases


def cell_contract(gates: int, states: int = 1) -> Callable[[Generator, torch.device], Contract]:
    def contract(generator: Generator, device: torch.device) -> Contract:
        b, e, c = 16, 24, 32
        args = CellDraw(generator, device).cell(gates, b, states=states, e=e, c=c)
        rows = gates * c
        return Contract(
            calls=(args,),
            max_flops=2 * b * rows * (e + c),
            max_written=24 * b * rows + 4 * rows * (e + c),
            max_intermediate=rows * (e + c),
            forbidden=_LIBRARY_CELLS,
        )

    return contract
