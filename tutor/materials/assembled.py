"""SmolLM2's file, as chapter 14's functions want it: tensors as they are stored, and a vocabulary
in the course's numbers.

The file's ids are its own. The rows of the embedding are put in the order of chapter 6's ids, so
that nothing needs to be translated while the model talks.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from tutor import assembly
from tutor.materials.byte_level import byte_pairs
from tutor.materials.smollm2 import CONFIG, Reader, read_tokenizer
from tutor.tokens import bpe_tokens

__all__ = ["CONFIG", "SIZES", "STOP", "Stored", "model_of", "stored"]

SIZES = CONFIG.num_heads, CONFIG.num_kv_heads
STOP = "<|im_end|>", "<|endoftext|>"
"""A turn ends with the first, a text with the second."""


@dataclass(frozen=True)
class Stored:
    """What the file holds."""

    names: list[str]
    kinds: list[str]
    data: list[Tensor]
    """Bytes of blocks, or numbers."""
    merges: list[tuple[int, int]]
    special: list[str]
    rows: Tensor
    """The file's id for each of the course's; 0 for a byte that stands in no text."""

    @property
    def tokens(self) -> list[bytes]:
        return bpe_tokens(self.merges, self.special)

    @property
    def stop(self) -> list[int]:
        return [256 + len(self.merges) + self.special.index(token) for token in STOP]

    @property
    def nbytes(self) -> int:
        return sum(t.nbytes for t in self.data)


def stored(path: Path) -> Stored:
    """What ``load_checkpoint`` and ``chat_prompt`` are given."""
    pairs = byte_pairs(read_tokenizer(path))
    reader = Reader(path)
    reader.fields.clear()  # an array for each of 98,000 words
    kinds = [t.tensor_type.name for t in reader.tensors]
    data = [torch.from_numpy(t.data.copy()) for t in reader.tensors]  # the file is only mapped
    rows = torch.tensor([number or 0 for number in pairs.numbers])
    return Stored([t.name for t in reader.tensors], kinds, data, pairs.merges, pairs.special, rows)


def model_of(
    file: Stored,
    capacity: int,
    load: Callable[..., Sequence[Tensor]] = assembly.load_checkpoint,
    run: Callable[..., tuple[Tensor, ...]] = assembly.language_model,
) -> assembly.Assembled:
    """SmolLM2 of these two functions, with the embedding in the course's order."""
    embedding, *others = load(file.names, file.kinds, file.data, *SIZES)
    weights = [embedding[file.rows], *others]
    return assembly.Assembled(weights, *SIZES, capacity, CONFIG.theta, CONFIG.norm_eps, run)
