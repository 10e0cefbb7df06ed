"""Chapter 8's page-sized writer with experts in the place of its feed-forward networks.

B passages, T tokens, E experts, k experts of a token.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from tutor.efficiency import MixtureOfExperts, load_balance_loss, top_k_route
from tutor.families import FamilyConfig, FamilyModel, shift_for_next_token
from tutor.materials.help_models import BATCH, WRITER
from tutor.materials.help_pages import LENGTH, Passages
from tutor.materials.learning import begin, learn

__all__ = ["Seen", "balanced", "dense", "experts_of", "learned", "mixture", "seen"]

NUM_EXPERTS, K = 8, 2
SHARE = WRITER.hidden_width // K
"""Hidden width of an expert: k of them are as wide as the dense network."""
WEIGHT = 0.01
"""Of the loss that balances beside the model's own."""
STEP = 0.003
"""By which the bias of an expert moves after each step."""


class Layer(nn.Module):
    """``MixtureOfExperts`` as a feed-forward network: it keeps what else it has to tell."""

    def __init__(self, moe: MixtureOfExperts) -> None:
        super().__init__()
        self.moe, self.logits, self.lost = moe, torch.empty(0), torch.empty(0)

    def forward(self, x: Tensor) -> Tensor:
        out, self.logits, self.lost = self.moe(x)
        return out


class Biased(MixtureOfExperts):
    """With a bias for the choice, which is no parameter: it moves by hand."""

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.register_buffer("bias", torch.zeros(self.router.shape[1]))

    def route(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        return top_k_route(logits, self.k, self.bias)


def mixture(
    seed: int,
    num_experts: int = NUM_EXPERTS,
    k: int = K,
    hidden_width: int = SHARE,
    capacity_factor: float = 1.25,
    biased: bool = False,
    config: FamilyConfig = WRITER,
) -> FamilyModel:
    """A writer whose feed-forward networks are experts."""
    model = begin(replace(config, hidden_width=1), seed)
    make = Biased if biased else MixtureOfExperts
    for layer in model.decoder.layers:
        moe = make(config.width, hidden_width, num_experts, k, capacity_factor)
        experts = Layer(moe)
        with torch.no_grad():
            moe.router.mul_(0.1)  # nearly even at first
        layer._feed = experts.forward
        layer.experts = experts
        del layer.linear1, layer.linear2, layer.gate
    return model


def dense(seed: int, times: int = 1, config: FamilyConfig = WRITER) -> FamilyModel:
    """The writer as it is, its feed-forward networks so many times as wide."""
    return begin(replace(config, hidden_width=times * config.hidden_width), seed)


def experts_of(model: nn.Module) -> list[Layer]:
    return [m for m in model.modules() if isinstance(m, Layer)]


def balanced(layer: Layer) -> Tensor:
    """``load_balance_loss`` of a layer's last call."""
    return load_balance_loss(layer.logits, chosen(layer))


def chosen(layer: Layer) -> Tensor:
    moe = layer.moe
    return moe.route(layer.logits)[1]


@dataclass
class Seen:
    """What a mixture has done while it learned, every so many steps."""

    steps: list[int] = field(default_factory=list)
    load: list[list[list[float]]] = field(default_factory=list)
    """Of each layer, the share of all choices that each expert got."""
    lost: list[float] = field(default_factory=list)
    """The share of all choices that found no place."""
    nats: list[float] = field(default_factory=list)


def load_of(layer: Layer) -> list[float]:
    number = layer.moe.router.shape[1]
    return (chosen(layer).flatten().bincount(minlength=number) / chosen(layer).numel()).tolist()


def learned(
    model: FamilyModel,
    data: Passages,
    steps: int,
    seed: int = 0,
    weight: float = WEIGHT,
    every: int = 25,
) -> tuple[FamilyModel, Seen]:
    """A model that has learned what comes next; of a mixture, with ``weight`` times the balancing
    loss of each layer, and biases that move against the load where it has some."""
    generator, lengths, told = Generator().manual_seed(seed), torch.full((BATCH,), LENGTH), Seen()
    layers, count = experts_of(model), 0

    def loss() -> Tensor:
        nonlocal count
        read, said = shift_for_next_token(data.batch(BATCH, generator).tokens, lengths)
        nats = F.cross_entropy(model(read).flatten(0, 1), said.flatten())
        if layers and count % every == 0:
            told.steps.append(count)
            told.load.append([load_of(layer) for layer in layers])
            told.lost.append(lost_of(layers))
            told.nats.append(nats.item())
        count += 1
        for layer in layers:
            move(layer)
        return nats + weight * sum(map(balanced, layers)) if weight and layers else nats

    learn(model, loss, steps)
    return model, told


def lost_of(layers: list[Layer]) -> float:
    """The share of all choices of the last call that found no place."""
    return sum(float(layer.lost.double().mean()) / layer.moe.k for layer in layers) / len(layers)


@torch.no_grad()
def move(layer: Layer) -> None:
    """Who has had too much work is liked less: Wang et al. 2024, arXiv:2408.15664."""
    bias = getattr(layer.moe, "bias", None)
    if bias is not None:
        load = torch.tensor(load_of(layer))
        bias += STEP * (load.mean() - load).sign()


@torch.no_grad()
def seen(model: FamilyModel, tokens: Tensor) -> tuple[list[list[float]], float]:
    """The load of each layer on these passages, and the share of choices that found no place."""
    model(tokens[:, :-1])
    layers = experts_of(model)
    return [load_of(layer) for layer in layers], lost_of(layers)


Making = Callable[[int], FamilyModel]
