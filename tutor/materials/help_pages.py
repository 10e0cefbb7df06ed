"""Python's help pages: a text that every Python brings, for models that learn on a page.

N passages, T tokens of a passage.
"""

import pydoc_data.topics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import torch
from jaxtyping import Int
from torch import Generator, Tensor

from tutor.families import mask_tokens
from tutor.tokens import bpe_decode, bpe_encode, bpe_tokens, split_pieces, train_bpe

__all__ = [
    "LENGTH",
    "MASK",
    "VOCABULARY",
    "Passages",
    "bytes_of",
    "decode",
    "encode",
    "masked",
    "merges",
    "passages",
    "topics",
]

NUM_MERGES = 500
LENGTH = 64
"""Tokens of a passage."""
MASK = 256 + NUM_MERGES
"""The one token that is no piece of text."""
VOCABULARY = MASK + 1
_HELD_OUT = 10
"""One passage in so many is kept from learning."""


@cache
def topics() -> dict[str, str]:
    """The pages by name, in the order of the alphabet."""
    return dict(sorted(pydoc_data.topics.topics.items()))


@cache
def merges() -> tuple[tuple[int, int], ...]:
    """Learned from all of the text: what a token is, is told before anything is learned."""
    return tuple(train_bpe(Counter(split_pieces("\n".join(topics().values()))), NUM_MERGES))


def encode(text: str) -> list[int]:
    return bpe_encode(text, merges())


def decode(tokens: Sequence[int] | Tensor) -> str:
    """With ▢ for the mask, and � for half a character."""
    parts, ids = [], [int(i) for i in tokens]
    while ids:
        end = ids.index(MASK) if MASK in ids else len(ids)
        parts.append(bpe_decode(ids[:end], merges()).decode(errors="replace"))
        parts += ["▢"] * (end < len(ids))
        ids = ids[end + 1 :]
    return "".join(parts)


@cache
def bytes_of() -> Int[Tensor, " V"]:
    """How many bytes each token stands for; the mask for none."""
    return torch.tensor([*map(len, bpe_tokens(merges())), 0])


@dataclass(frozen=True)
class Passages:
    tokens: Int[Tensor, "N T"]
    topic: Int[Tensor, " N"]
    """The number of the page from which each is, in the order of ``topics()``."""

    def __len__(self) -> int:
        return len(self.tokens)

    def __getitem__(self, rows: Tensor) -> "Passages":
        return Passages(self.tokens[rows], self.topic[rows])

    def batch(self, size: int, generator: Generator) -> "Passages":
        return self[torch.randint(len(self), (size,), generator=generator)]


@cache
def passages(length: int = LENGTH) -> tuple[Passages, Passages]:
    """The text in passages of so many tokens, what is left at the end of a page dropped: to learn
    from, and one in ten that is held out."""
    rows, topic = [], []
    for number, text in enumerate(topics().values()):
        found = torch.tensor(encode(text))
        found = found[: len(found) // length * length].reshape(-1, length)
        rows.append(found)
        topic.append(torch.full((len(found),), number))
    everything = Passages(torch.cat(rows), torch.cat(topic))
    held_out = torch.arange(len(everything)) % _HELD_OUT == _HELD_OUT - 1
    return everything[~held_out], everything[held_out]


def masked(
    tokens: Int[Tensor, "B T"], generator: Generator, rate: float = 0.15
) -> tuple[Int[Tensor, "B T"], Int[Tensor, "B T"]]:
    """``mask_tokens`` with numbers that are drawn: what is read, and what is to be said."""
    chance, kind = (torch.rand(tokens.shape, generator=generator) for _ in range(2))
    substitute = torch.randint(MASK, tokens.shape, generator=generator)
    special = torch.zeros(tokens.shape, dtype=torch.bool)
    return mask_tokens(tokens, special, chance, kind, substitute, MASK, rate)
