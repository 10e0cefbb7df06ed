"""One symbol to remember: the task on which chapter 1 trains its cells, and how far they get.

A row of random symbols, and at its end the question which came first. torch's layers learn; ours
have the same parameters, and tell the Jacobian of each step.
"""

from collections.abc import Collection

import torch
from jaxtyping import Float, Int
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from tutor.recurrence import GRU, LSTM, RNN, gradient_norm_by_lag, last_hidden, step_jacobians

__all__ = ["CELLS", "KINDS", "Recall", "learn", "share_recalled"]

KINDS, WIDTH = 8, 32
"""Of symbols; of the state."""

CELLS: dict[str, tuple[type[nn.Module], type[nn.Module], float]] = {
    "RNN": (nn.RNN, RNN, 0.0),
    "LSTM": (nn.LSTM, LSTM, 0.0),
    "LSTM, forget gate open": (nn.LSTM, LSTM, 2.0),
    "GRU": (nn.GRU, GRU, 0.0),
}
"""torch's layer, ours, and what is added to the bias of the forget gate."""


class Recall(nn.Module):
    """Reads a row and says which symbol came first. cell: a name in CELLS."""

    def __init__(self, cell: str, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        library, self._ours, forget = CELLS[cell]
        self.layer, self.readout = library(KINDS, WIDTH, batch_first=True), nn.Linear(WIDTH, KINDS)
        if forget:
            with torch.no_grad():
                self.layer.bias_ih_l0[WIDTH : 2 * WIDTH] += forget

    def forward(self, symbols: Int[Tensor, "B T"], lengths: Int[Tensor, " B"]) -> Tensor:
        states, _ = self.layer(F.one_hot(symbols, KINDS).float())
        return self.readout(last_hidden(states, lengths))

    def norms(self, lags: int = 50) -> Float[Tensor, " lag"]:
        """log10 of the gradient's norm by lag, lag 0 being 0; the mean over eight rows."""
        own = self._ours(KINDS, WIDTH)
        own.load_state_dict(self.layer.state_dict())
        symbols = torch.randint(KINDS, (8, lags + 10), generator=Generator().manual_seed(9))
        x = F.one_hot(symbols, KINDS).float()
        norms = gradient_norm_by_lag(step_jacobians(own, x).double())[:, : lags + 1]
        return (norms / norms[:, :1]).clamp(min=1e-30).log10().mean(0)


def learn(
    model: Recall, lags: Int[Tensor, " L"], steps: int, seed: int = 0, watch: Collection[int] = ()
) -> tuple[float, dict[int, Tensor]]:
    """Train with Adam on rows whose lags are drawn from these, 32 at a step.

    The share of right answers in the last 20 steps, and the norms before the steps to be watched.
    """
    draw, watched, hits = Generator().manual_seed(seed), {}, []
    optimiser = torch.optim.Adam(model.parameters(), 3e-3)
    for step in range(steps + 1):
        if step in watch:
            watched[step] = model.norms()
        lengths = 1 + lags[torch.randint(len(lags), (32,), generator=draw)]
        symbols = torch.randint(KINDS, (32, int(lengths.max())), generator=draw)
        logits = model(symbols, lengths)
        optimiser.zero_grad()
        F.cross_entropy(logits, symbols[:, 0]).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        hits.append((logits.argmax(-1) == symbols[:, 0]).double().mean().item())
    return sum(hits[-20:]) / 20, watched


@torch.no_grad()
def share_recalled(model, lag: int, seed: int = 7) -> float:
    """Of 300 new rows with this lag, those of which it says the first symbol.

    model: a ``Recall``, or what answers as one does.
    """
    symbols = torch.randint(KINDS, (300, lag + 1), generator=Generator().manual_seed(seed))
    answers = model(symbols, torch.full((300,), lag + 1)).argmax(-1)
    return (answers == symbols[:, 0]).double().mean().item()
