"""A model to be asked what comes next, as a value: what a check gives to a decoder.

A function cannot be sent to the process of a student's code. What this one is made of can, and the
rest of it is the same everywhere: so a decoder takes a callable in a check, as with a real model.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.utils._pytree import register_pytree_node

from tutor.checks.sequences import Compound


@dataclass(frozen=True, eq=False)
class TableModel(Compound):
    """``model(written, rows)``: scores (N, V) of the symbol that follows each of N beginnings.

    h = Σ_t fade^(T - 1 - t) tables[row, written_t], and the scores are h readout readout. So they
    hang on the row and on all that is written, the latest symbol most; with a fade of 0 on this
    alone. As a real model's, a call costs something for each beginning (h readout) and something
    whatever it is asked (readout readout, as weights are read): who asks too often is seen by
    FLOPs.
    """

    tables: Float[Tensor, "R V V"]
    readout: Float[Tensor, "V V"]
    fade: float = 0.0

    def __call__(
        self, written: Int[Tensor, "N T"], rows: Int[Tensor, " N"]
    ) -> Float[Tensor, "N V"]:
        """ValueError, with the shapes, for anything else than beginnings and a row for each."""
        shapes = tuple(written.shape), tuple(rows.shape)
        if written.ndim != 2 or not written.shape[1] or rows.shape != written.shape[:1]:
            raise ValueError(
                "next_logits takes written (N, T), with one symbol at least, and rows (N,): "
                "got written {} and rows {}".format(*shapes)
            )
        if self.fade:
            about = {"dtype": self.tables.dtype, "device": written.device}
            weights = self.fade ** torch.arange(written.shape[1] - 1, -1, -1, **about)
            seen = self.tables[rows[:, None], written]  # (N, T, V)
            hidden = (seen * weights[:, None]).sum(1)
        else:
            hidden = self.tables[rows, written[:, -1]]
        return hidden @ (self.readout @ self.readout)

    def __str__(self) -> str:
        rows, symbols, _ = self.tables.shape
        return f"a model of {symbols} symbols for {rows} sentence" + "s" * (rows != 1)

    @property
    def tensors(self) -> tuple[Tensor, Tensor]:
        return self.tables, self.readout

    def of(self, change: Callable[[Any], Any]) -> "TableModel":
        return TableModel(*map(change, self.tensors), self.fade)


def _parted(model: TableModel) -> tuple[list[Tensor], float]:
    return list(model.tensors), model.fade


def _joined(tensors: Iterable[Any], fade: float) -> TableModel:
    return TableModel(*tensors, fade)


register_pytree_node(TableModel, _parted, _joined)
