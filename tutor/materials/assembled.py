"""SmolLM2's file, as chapter 14's functions want it: tensors as they are stored, and a vocabulary
in the course's numbers.

The file's ids are its own. The rows of the embedding are put in the order of chapter 6's ids, so
that nothing needs to be translated while the model talks.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import torch
from matplotlib.colors import to_rgb
from matplotlib.patches import FancyBboxPatch
from torch import Tensor

from tutor import assembly
from tutor.materials import figures
from tutor.materials.byte_level import byte_pairs
from tutor.materials.smollm2 import CONFIG, Reader, read_tokenizer
from tutor.tokens import bpe_tokens

__all__ = [
    "CONFIG",
    "ONCE",
    "SIZES",
    "STATIONS",
    "STOP",
    "Stored",
    "drawn",
    "model_of",
    "stored",
    "timed",
    "weights_of",
]

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
    cache: Callable[..., assembly.KVCache] = assembly.KVCache,
) -> assembly.Assembled:
    """SmolLM2 of these functions, with the embedding in the course's order."""
    weights, rest = weights_of(file, load), (CONFIG.theta, CONFIG.norm_eps)
    return assembly.Assembled(weights, *SIZES, capacity, *rest, run, cache)


def weights_of(
    file: Stored, load: Callable[..., Sequence[Tensor]] = assembly.load_checkpoint
) -> list[Tensor]:
    """What ``language_model`` takes: each block's weights are views of its row."""
    embedding, blocks, norm = load(file.names, file.kinds, file.data, *SIZES)
    nine = (assembly.nine_of(row, embedding.shape[1], *SIZES) for row in blocks)
    return [embedding[file.rows], *(weight for block in nine for weight in block), norm]


STATIONS = (
    ("chat_prompt", "the prompt", 14),
    ("bpe_encode", "tokens", 6),
    ("rms_norm", "norms", 8),
    ("apply_rope", "rotation", 5),
    ("flash_forward", "attention, in tiles", 11),
    ("swiglu", "feed-forward", 8),
    ("decoder_block", "the block around them", 14),
    ("language_model", "embedding, and the loop", 14),
    ("tied_logits", "scores", 6),
    ("sample", "drawing", 8),
    ("stream", "cache, and pieces of text", 14),
)
"""Where a token passes, in order: a function of ``tutor.assembly``, what it is, its chapter."""
_INSIDE = range(2, 7)
"""Those of a block, which are passed once a layer."""
ONCE = ("chat_prompt", "bpe_encode")
"""Those that are passed once an answer, and the others once a token."""


@contextmanager
def timed() -> Iterator[dict[str, float]]:
    """While it lasts, the seconds that each station takes, without those that it calls."""
    spent = dict.fromkeys((name for name, *_ in STATIONS), 0.0)
    own, within = {name: getattr(assembly, name) for name in spent}, []

    def watched(name: str) -> Callable[..., Any]:
        def run(*args: Any, **kwargs: Any) -> Any:
            started = time.perf_counter()
            within.append(name)
            try:
                return own[name](*args, **kwargs)
            finally:
                within.pop()
                took = time.perf_counter() - started
                spent[name] += took
                if within:
                    spent[within[-1]] -= took

        return run

    try:
        for name in own:
            setattr(assembly, name, watched(name))
        yield spent
    finally:
        for name, function in own.items():
            setattr(assembly, name, function)


def drawn(milliseconds: Mapping[str, float], notes: Mapping[str, str]) -> None:
    """The path of a token from the prompt to the text, with what each station takes for a token
    (those of ``ONCE`` for an answer) and a note. The darker, the longer a token stays there."""
    axes = plt.figure(figsize=(5.8, 4.6)).gca()
    longest = max(milliseconds[name] for name, *_ in STATIONS if name not in ONCE) or 1.0
    for i, (name, words, chapter) in enumerate(STATIONS):
        share = 0.0 if name in ONCE else milliseconds[name] / longest
        box = FancyBboxPatch(
            (0, -i - 0.32), 3.4, 0.64, boxstyle="round,pad=0.02", ec=figures.INK, lw=1
        )
        box.set_facecolor((*to_rgb(figures.MODELS[2]), 0.05 + 0.55 * share))
        axes.add_patch(box)
        axes.text(0.12, -i, words, va="center", fontsize=9.5)
        axes.text(3.3, -i, f"chapter {chapter}", va="center", ha="right", fontsize=8.5)
        axes.text(4.45, -i, f"{milliseconds[name]:.1f} ms", va="center", fontsize=9.5)
        axes.text(5.7, -i, notes.get(name, ""), va="center", fontsize=8.5)
        if i + 1 < len(STATIONS):
            arrow = {"arrowstyle": "->", "color": figures.INK, "lw": 1}
            axes.annotate("", (1.7, -i - 0.66), (1.7, -i - 0.34), arrowprops=arrow)
    first, last = -_INSIDE.start + 0.42, -_INSIDE.stop + 0.58
    axes.plot((3.62, 3.72, 3.72, 3.62), (first, first, last, last), color=figures.INK, lw=1)
    axes.text(3.78, (first + last) / 2, f"× {CONFIG.num_decoder_layers}", va="center", fontsize=9)
    axes.set(xlim=(-0.1, 8.0), ylim=(-len(STATIONS) + 0.4, 0.6))
    axes.set_axis_off()
    plt.show()
