"""Models that learn from Python's help pages: one writes, one fills gaps, one tells topics apart.

B passages, T tokens of each, C model width, V vocabulary.
"""

from collections.abc import Callable
from dataclasses import replace

import torch
from jaxtyping import Float, Int
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from tutor.families import FamilyConfig, FamilyModel, gpt2, llama, sample, shift_for_next_token
from tutor.materials.help_pages import LENGTH, MASK, VOCABULARY, Passages, bytes_of, masked
from tutor.materials.learning import begin, learn

__all__ = [
    "FILLER",
    "GPT2",
    "LADDER",
    "WRITER",
    "Classifier",
    "classifier",
    "continued",
    "filler",
    "guess",
    "nats_a_byte",
    "writer",
]

SIZES = {"vocabulary": VOCABULARY, "max_length": LENGTH, "width": 96, "num_heads": 4}
_GATED = {"hidden_width": 256, "tied": True}
"""Three matrices of this width have as many entries as two of 384."""
GPT2 = gpt2(**SIZES, hidden_width=384, num_decoder_layers=2)
WRITER = llama(**SIZES, **_GATED, num_decoder_layers=2)
FILLER = llama(**SIZES, **_GATED, num_decoder_layers=0, num_encoder_layers=2)
"""A LLaMA that reads both ways: of BERT it has the task and the mask, and LLaMA's parts."""
LADDER = {
    "GPT-2": GPT2,
    "RMSNorm": replace(GPT2, norm=nn.RMSNorm, norm_eps=1e-6),
    "no bias": replace(GPT2, bias=False),
    "SwiGLU": replace(GPT2, activation=F.silu, gated=True, hidden_width=256),
    "rotary positions": replace(GPT2, positions="rope"),
    "LLaMA: all four": WRITER,
}
"""GPT-2, and what LLaMA has in the place of its parts: one at a time, and all."""
BATCH = 16


def writer(
    data: Passages, steps: int, seed: int = 0, config: FamilyConfig = WRITER
) -> tuple[FamilyModel, list[float]]:
    """A model that has learned what comes next, and its losses in nats a token."""
    model, generator = begin(config, seed), Generator().manual_seed(seed)
    lengths = torch.full((BATCH,), LENGTH)

    def loss() -> Tensor:
        read, said = shift_for_next_token(data.batch(BATCH, generator).tokens, lengths)
        return F.cross_entropy(model(read).flatten(0, 1), said.flatten())

    return model, learn(model, loss, steps)


def filler(
    data: Passages, steps: int, seed: int = 0, rate: float = 0.15
) -> tuple[FamilyModel, list[float]]:
    """A model that has learned which token is missing, and its losses in nats a chosen token."""
    model, generator = begin(FILLER, seed), Generator().manual_seed(seed)

    def loss() -> Tensor:
        read, said = masked(data.batch(BATCH, generator).tokens, generator, rate)
        hidden = model.hidden(read)[said >= 0]  # nothing else is asked
        return F.cross_entropy(model.scores(hidden), said[said >= 0])

    return model, learn(model, loss, steps)


@torch.no_grad()
def nats_a_byte(model: FamilyModel, tokens: Int[Tensor, "B T"]) -> float:
    """What the next token costs, by the bytes that it stands for, so that vocabularies compare."""
    said = tokens[:, 1:]
    loss = F.cross_entropy(model(tokens[:, :-1]).flatten(0, 1), said.flatten(), reduction="sum")
    return (loss / bytes_of()[said].sum()).item()


@torch.no_grad()
def guess(model: FamilyModel, tokens: Int[Tensor, "B T"], place: int) -> Float[Tensor, "B V"]:
    """log p of the token at a place, which is hidden: a model that fills gaps reads both sides of
    it, one that writes what stands before it."""
    if model.config.num_encoder_layers:
        hidden = tokens.clone()
        hidden[:, place] = MASK
        logits = model(hidden)[:, place]
    else:
        logits = model(tokens[:, :place])[:, -1]
    return logits[:, :MASK].log_softmax(-1)


@torch.no_grad()
def continued(
    model: FamilyModel,
    tokens: Int[Tensor, " T"],
    count: int,
    generator: Generator,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
) -> Int[Tensor, " _"]:
    """So many tokens more, each drawn with ``sample``, from what the model can read at once."""
    for _ in range(count):
        logits = model(tokens[None, -LENGTH:])[0, -1, :MASK]
        chance = torch.rand((), generator=generator)
        tokens = torch.cat((tokens, sample(logits, chance, temperature, top_k, top_p)[None]))
    return tokens


class Classifier(nn.Module):
    """What a model has made of a passage, averaged over its tokens, and a score for each class."""

    def __init__(self, base: FamilyModel, num_classes: int) -> None:
        super().__init__()
        self.base = base
        self.head = nn.Linear(base.config.width, num_classes)

    def forward(self, tokens: Int[Tensor, "B T"]) -> Float[Tensor, "B _"]:
        return self.head(self.base.hidden(tokens).mean(1))


def classifier(
    base: Callable[[], FamilyModel],
    data: Passages,
    num_classes: int,
    steps: int,
    seed: int = 0,
    rate: float = 1e-3,
) -> Classifier:
    """Fine-tuned: all parameters learn, those of the base from where they are."""
    torch.manual_seed(seed)
    model, generator = Classifier(base(), num_classes), Generator().manual_seed(seed)

    def loss() -> Tensor:
        batch = data.batch(BATCH, generator)
        return F.cross_entropy(model(batch.tokens), batch.topic)

    learn(model, loss, steps, rate)
    return model
