"""The painter of digits: a name, and then 64 pixels, one token after another.

After DALL-E (Ramesh et al. 2021, arXiv:2102.12092), whose image tokens stand for patches of 8 × 8
pixels, looked up in a learned table. Here a token is one pixel's grey. The digits are the 1,797 of
the UCI set that scikit-learn brings (Alpaydin and Kaynak 1998).

N pictures.
"""

from functools import cache

import numpy as np
import torch
from jaxtyping import Int
from sklearn.datasets import load_digits
from sklearn.svm import SVC
from torch import Generator, Tensor
from torch.nn import functional as F

from tutor.families import FamilyModel, gpt2, sample, shift_for_next_token
from tutor.materials import learning

__all__ = ["LEVELS", "PIXELS", "begin", "digits", "paint", "recognised", "trained"]

LEVELS = 17
"""Of grey, from 0 to 16: the first tokens. Behind them come the names of the ten digits."""
PIXELS = 64
_FIRST = 1200
"""Real digits from which whoever judges has learned; the rest say how well."""


@cache
def digits() -> Int[Tensor, "N 65"]:
    """The name, and then the pixels, row by row."""
    pictures, names = load_digits(return_X_y=True)
    return torch.from_numpy(np.concatenate((LEVELS + names[:, None], pictures), 1)).long()


@cache
def _judge() -> SVC:
    rows = digits()[:_FIRST].numpy()
    return SVC(gamma=0.001).fit(rows[:, 1:], rows[:, 0] - LEVELS)


def recognised(pictures: Int[Tensor, "N 64"]) -> Int[Tensor, " N"]:
    """Which digit a classifier sees that has learned from real ones."""
    return torch.from_numpy(_judge().predict(pictures.numpy()))


def begin(seed: int) -> FamilyModel:
    """A GPT-2 of 100,000 parameters."""
    sizes = {"width": 64, "num_heads": 4, "hidden_width": 128, "num_decoder_layers": 3}
    return learning.begin(gpt2(vocabulary=LEVELS + 10, max_length=1 + PIXELS, **sizes), seed)


def trained(seed: int = 0, steps: int = 300, batch_size: int = 64) -> tuple[FamilyModel, list]:
    """A painter, and its losses in nats a pixel."""
    model, generator = begin(seed), Generator().manual_seed(seed)
    lengths = torch.full((batch_size,), 1 + PIXELS)

    def loss() -> Tensor:
        rows = torch.randint(len(digits()), (batch_size,), generator=generator)
        read, said = shift_for_next_token(digits()[rows], lengths)
        return F.cross_entropy(model(read).flatten(0, 1), said.flatten())

    return model, learning.learn(model, loss, steps)


@torch.no_grad()
def paint(
    model: FamilyModel,
    names: Int[Tensor, " N"],
    generator: Generator,
    temperature: float = 1.0,
    top_p: float | None = None,
) -> Int[Tensor, "N 64"]:
    """A picture of each of these digits, pixel by pixel."""
    rows = LEVELS + names[:, None]
    for _ in range(PIXELS):
        logits = model(rows)[:, -1, :LEVELS]  # a pixel, and no name
        chance = torch.rand(len(rows), generator=generator)
        rows = torch.cat((rows, sample(logits, chance, temperature, None, top_p)[:, None]), 1)
    return rows[:, 1:]
