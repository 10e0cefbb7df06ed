"""Small models that have to remember, and what they may read: what chapter 12 measures.

``Reader`` is a causal stack without positions, so that a pattern of who may read whom is all that
tells tokens apart by their place. Two tasks. *Remember*: in a row of symbols one is marked, and
from there on every token has to say which. *Pairs*: a row of keys with their values, and then keys
alone, in another order, each of which has to say its value.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Bool, Float, Int
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from tutor.attention import causal_mask, scaled_dot_product_attention
from tutor.long_context import global_random_mask, linear_attention, strided_mask, window_mask
from tutor.materials.learning import learn

__all__ = [
    "KINDS",
    "KIND_NAMES",
    "TIME",
    "Reader",
    "by_distance",
    "by_pairs",
    "pattern",
    "remembering",
    "softmax",
    "trained_on_pairs",
    "trained_to_remember",
    "with_sinks",
]

KINDS = 8
"""Of symbols to remember."""
TIME = 64
STRIDE, GLOBAL, RANDOM = 8, 1, 2
KIND_NAMES = ("a window", "and a stride", "and a global token", "and random tokens")
MOST_PAIRS, KEYS = 48, 64
WIDTH, HEADS = 32, 2

Attention = Callable[[Tensor, Tensor, Tensor], Tensor]


def pattern(
    kind: str, window: int, time: int = TIME, generator: Generator | None = None
) -> Bool[Tensor, "T T"]:
    """Who may read whom: a window, by its name with something besides. ``generator`` draws the
    random tokens, the same for every text."""
    keep = window_mask(time, time, window)
    if kind == "and a stride":
        return keep | strided_mask(time, time, STRIDE)
    if kind == "and a global token":
        return keep | global_random_mask(torch.zeros(time, time), GLOBAL, 0)
    if kind == "and random tokens":
        chance = torch.rand(time, time, generator=generator or Generator().manual_seed(0))
        return keep | global_random_mask(chance, 0, RANDOM)
    if kind != "a window":
        raise ValueError(f"a pattern is one of {KIND_NAMES}, got {kind!r}")
    return keep


def softmax(keep: Bool[Tensor, "T T"] | None = None) -> Attention:
    """Chapter 3's attention behind a mask; without one, the causal one."""

    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        time = q.shape[-2]
        may = causal_mask(time, time, device=q.device) if keep is None else keep[:time, :time]
        return scaled_dot_product_attention(q, k, v, may)

    return attend


class Reader(nn.Module):
    """Two numbers a token, each with an embedding, to scores of what is to be said at it."""

    def __init__(
        self,
        sizes: tuple[int, int],
        answers: int,
        attention: Attention,
        num_layers: int = 2,
        width: int = WIDTH,
        num_heads: int = HEADS,
    ) -> None:
        super().__init__()
        self.embeddings = nn.ModuleList(nn.Embedding(size, width) for size in sizes)
        self.layers = nn.ModuleList(_Layer(attention, width, num_heads) for _ in range(num_layers))
        self.norm, self.readout = nn.LayerNorm(width), nn.Linear(width, answers)

    def forward(self, tokens: Int[Tensor, "B T 2"]) -> Float[Tensor, "B T V"]:
        x = sum(e(tokens[..., i]) for i, e in enumerate(self.embeddings))
        for layer in self.layers:
            x = layer(x)
        return self.readout(self.norm(x))


class _Layer(nn.Module):
    def __init__(self, attention: Attention, width: int, num_heads: int) -> None:
        super().__init__()
        self.attention, self.num_heads = attention, num_heads
        self.before, self.between = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
        )

    def forward(self, x: Tensor) -> Tensor:
        qkv = self.qkv(self.before(x)).unflatten(-1, (3, self.num_heads, -1))
        read = self.attention(*qkv.movedim(-3, 0).transpose(-2, -3))  # (B, H, T, D)
        x = x + self.out(read.transpose(-2, -3).flatten(-2))
        return x + self.mlp(self.between(x))


@dataclass(frozen=True)
class Rows:
    """What is read, and what is to be said at each token; -100 where nothing is."""

    tokens: Int[Tensor, "B T 2"]
    said: Int[Tensor, "B T"]


def remembering(number: int, generator: Generator, time: int = TIME) -> Rows:
    """Rows in which one token is marked."""
    draw = partial(torch.randint, generator=generator)
    symbols, marked = draw(KINDS, (number, time)), draw(time, (number, 1))
    at = torch.arange(time)
    said = torch.where(at >= marked, symbols.gather(1, marked), -100)
    return Rows(torch.stack((symbols, (at == marked).long()), -1), said)


def _pairs(number: int, generator: Generator, pairs: int) -> Rows:
    """So many keys with their values, and then all of these keys, in another order."""
    keys = torch.rand(number, KEYS, generator=generator).argsort(-1)[:, :pairs]
    values = torch.randint(KINDS, (number, pairs), generator=generator)
    order = torch.rand(number, pairs, generator=generator).argsort(-1)
    none = torch.full_like(values, KINDS)
    told, asked = torch.stack((keys, values), -1), torch.stack((keys.gather(1, order), none), -1)
    said = torch.cat((torch.full_like(values, -100), values.gather(1, order)), 1)
    return Rows(torch.cat((told, asked), 1), said)


def _loss(model: nn.Module, rows: Rows) -> Tensor:
    return F.cross_entropy(model(rows.tokens).flatten(0, 1), rows.said.flatten())


def trained_to_remember(
    keep: Bool[Tensor, "T T"], steps: int, seed: int = 0, num_layers: int = 2
) -> Reader:
    """A model behind this mask that has learned to say which symbol was marked."""
    torch.manual_seed(seed)
    model, draw = Reader((KINDS, 2), KINDS, softmax(keep), num_layers), Generator()
    draw.manual_seed(seed)
    learn(model, lambda: _loss(model, remembering(32, draw)), steps)
    return model


@torch.no_grad()
def by_distance(model: Reader, number: int = 400, seed: int = 7) -> Float[Tensor, " T"]:
    """The share of right answers by how many tokens ago the marked one stood."""
    rows = remembering(number, Generator().manual_seed(seed))
    right = model(rows.tokens).argmax(-1) == rows.said
    marked = rows.tokens[..., 1].argmax(-1, keepdim=True)
    distance = torch.arange(TIME) - marked
    there = rows.said >= 0
    total = torch.zeros(TIME).index_add(0, distance[there], right[there].float())
    return total / distance[there].bincount(minlength=TIME).clamp(min=1)


def trained_on_pairs(
    name: str, steps: int, seed: int = 0, width: int = WIDTH, num_heads: int = HEADS
) -> Reader:
    """A model with softmax or linear attention that has learned up to ``MOST_PAIRS`` pairs."""
    attentions = {"softmax": softmax(), "linear": linear_attention}
    torch.manual_seed(seed)
    model = Reader((KEYS, KINDS + 1), KINDS, attentions[name], 2, width, num_heads)
    draw = Generator().manual_seed(seed)

    def loss() -> Tensor:
        pairs = int(torch.randint(1, MOST_PAIRS + 1, (), generator=draw))
        return _loss(model, _pairs(32, draw, pairs))

    learn(model, loss, steps)
    return model


@torch.no_grad()
def by_pairs(model: Reader, pairs: int, number: int = 100, seed: int = 7) -> float:
    """The share of right answers where so many pairs are to be known at once."""
    rows = _pairs(number, Generator().manual_seed(seed), pairs)
    right = model(rows.tokens).argmax(-1) == rows.said
    return right[rows.said >= 0].double().mean().item()


def with_sinks(
    q: Float[Tensor, "*batch T D"],
    k: Float[Tensor, "*batch T D"],
    v: Float[Tensor, "*batch T Dv"],
    window: int,
    sinks: int,
) -> Float[Tensor, "*batch T Dv"]:
    """A window, and the first tokens besides: Xiao et al. 2023, arXiv:2309.17453. By blocks."""
    blocks, time = [], q.shape[-2]
    for start in range(0, time, window):
        end = min(start + window, time)
        first = max(start - window + 1, min(sinks, start))
        near = torch.arange(first, end, device=q.device)
        at = torch.cat((torch.arange(min(sinks, first), device=q.device), near))
        distance = torch.arange(start, end, device=q.device)[:, None] - at
        keep = (distance >= 0) & ((distance < window) | (at < sinks))
        keys, values = k[..., at, :], v[..., at, :]
        blocks.append(scaled_dot_product_attention(q[..., start:end, :], keys, values, keep))
    return torch.cat(blocks, dim=-2)
