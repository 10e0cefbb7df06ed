"""The softmax of keys that arrive in pieces."""

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["RunningSoftmax"]


class RunningSoftmax:
    """softmax(scores) values, over keys that arrive in pieces: Milakov and Gimelshein 2018,
    arXiv:1805.02867, algorithm 3, with a sum of values beside the sum of weights.

    maximum (*batch): the largest score so far, -inf before the first. normaliser (*batch):
    Σ exp(score - maximum). weighted (*batch, width): Σ exp(score - maximum) value. They are made
    once, and every update writes into them. A score of -inf hides its key.
    """

    def __init__(
        self,
        batch: tuple[int, ...],
        width: int,
        dtype: torch.dtype = torch.float32,
        device: torch.device | None = None,
    ):
        self.maximum = torch.full(batch, -torch.inf, dtype=dtype, device=device)
        self.normaliser = torch.zeros(batch, dtype=dtype, device=device)
        self.weighted = torch.zeros(*batch, width, dtype=dtype, device=device)

    def update(
        self, scores: Float[Tensor, "*batch T"], values: Float[Tensor, "*batch T W"]
    ) -> None:
        """Take in T more keys, which may be none. ValueError if the shapes do not fit the state."""
        _require_fit(self.weighted, scores, values)
        if scores.shape[-1] == 0:
            return
        maximum = torch.maximum(self.maximum, scores.amax(-1))
        # -inf - -inf is nan, and a row may have seen nothing yet.
        shift = maximum.clamp(min=torch.finfo(maximum.dtype).min)
        kept, weights = (self.maximum - shift).exp(), (scores - shift[..., None]).exp()
        self.normaliser.mul_(kept).add_(weights.sum(-1))
        self.weighted.mul_(kept[..., None]).add_((weights[..., None, :] @ values).squeeze(-2))
        self.maximum.copy_(maximum)

    def result(self) -> Float[Tensor, "*batch W"]:
        """The answer over all keys so far; zeros in a row that has seen none."""
        normaliser = self.normaliser[..., None]
        return torch.where(normaliser > 0, self.weighted / normaliser, 0.0)


def _require_fit(weighted: Tensor, scores: Tensor, values: Tensor) -> None:
    *batch, width = weighted.shape
    length = scores.shape[-1]
    if scores.shape != (*batch, length) or values.shape != (*batch, length, width):
        raise ValueError(
            f"scores {tuple(scores.shape)} and values {tuple(values.shape)} do not fit a batch of "
            f"{tuple(batch)} and values of width {width}"
        )
