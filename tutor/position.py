"""Chapter 5, position: how a set becomes a sequence.

Positions are numbers that the caller passes, never the index in a tensor: a token keeps its
position when it is read from a cache. Where functions count themselves, the last query stands at
the last key, as in chapter 3.

B batch, T time (Tq queries, Tk keys), C model width, H heads, D width of a head, V vocabulary.
"""

import math
from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from tutor.attention import attention_scores, causal_mask, scaled_dot_product_attention

__all__ = [
    "LanguageModel",
    "alibi_attention",
    "alibi_bias",
    "alibi_slopes",
    "apply_rope",
    "convert_rope_layout",
    "relative_buckets",
    "rope_angles",
    "rotary_attention",
    "rotary_cross_attention",
    "sinusoidal_encoding",
]


def rope_angles(
    positions: Int[Tensor, "*batch T"] | Float[Tensor, "*batch T"],
    width: int,
    theta: float,
) -> Float[Tensor, "*batch T half"]:
    """angles[..., t, i] = positions[..., t] · theta^(-2i / width), for i < width / 2, in double.

    One angle for each pair of features; the first turns by 1 a position, the last by a
    little more than 1 / theta. In double, since single precision is wrong by 0.06 in the angle of
    position 10⁶.
    ValueError for an odd width or a theta that is not positive.
    """
    _require_pairs(width, theta)
    exponents = torch.arange(0, width, 2, device=positions.device).double() / width
    return positions[..., None] * theta**-exponents  # a product with double is double


def sinusoidal_encoding(
    positions: Int[Tensor, "*batch T"] | Float[Tensor, "*batch T"],
    width: int,
    theta: float = 10000.0,
) -> Float[Tensor, "*batch T width"]:
    """out[..., 2i] = sin(angle i), out[..., 2i + 1] = cos(angle i), by ``rope_angles``.

    Vaswani et al. 2017, section 3.5, arXiv:1706.03762. Of the dtype of the positions, or of
    torch's default dtype if they are integers. ValueError as in ``rope_angles``.
    """
    angles = rope_angles(positions, width, theta)
    encoding = torch.stack((angles.sin(), angles.cos()), dim=-1).flatten(-2)
    dtype = positions.dtype if positions.is_floating_point() else torch.get_default_dtype()
    return encoding.to(dtype)


def apply_rope(
    x: Float[Tensor, "*batch T D"],
    positions: Int[Tensor, "*#batch T"] | Float[Tensor, "*#batch T"],
    theta: float = 10000.0,
    layout: str = "half",
) -> Float[Tensor, "*batch T D"]:
    """(a, b) -> (a cos - b sin, a sin + b cos): each pair i of features turned by its angle.

    Su et al. 2021, eq. (34), arXiv:2104.09864. Pair i is (2i, 2i + 1) in the layout
    "interleaved", the paper's, and (i, i + D/2) in "half", that of GPT-NeoX and of
    LLaMA in transformers.
    ValueError for another layout, an odd width, or positions that do not fit x.
    """
    _require_positions(x, positions)
    _require_layout(layout)
    angles = rope_angles(positions, x.shape[-1], theta)
    cos, sin = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
    if layout == "half":
        a, b = x.chunk(2, dim=-1)
        return torch.cat((a * cos - b * sin, a * sin + b * cos), dim=-1)
    a, b = x[..., ::2], x[..., 1::2]
    return torch.stack((a * cos - b * sin, a * sin + b * cos), dim=-1).flatten(-2)


def convert_rope_layout(
    w: Float[Tensor, "HD *rest"], num_heads: int, to: str
) -> Float[Tensor, "HD *rest"]:
    """The rows of a query or key projection, reordered in each head for the layout ``to``.

    w is (out, in) as ``nn.Linear.weight``, or a bias. To "half": rows 0, 2, 4, ... and then
    1, 3, 5, ... of every head; to "interleaved": the way back. With both projections converted
    and the other layout in ``apply_rope``, all scores stay the same.
    ValueError for another layout, or rows that are not num_heads times an even width.
    """
    _require_heads_of_pairs(w, num_heads)
    _require_layout(to)
    sizes = (num_heads, -1, 2) if to == "half" else (num_heads, 2, -1)
    return w.unflatten(0, sizes).transpose(1, 2).reshape(w.shape)


def relative_buckets(
    relative_position: Int[Tensor, "*shape"],
    bidirectional: bool = True,
    num_buckets: int = 32,
    max_distance: int = 128,
) -> Int[Tensor, "*shape"]:
    """T5's bucket of each distance key - query: Raffel et al. 2020, arXiv:1910.10683.

    Of n buckets a direction the first n/2 hold one distance each, the others ever more, up to
    max_distance: from there on all share the last. bidirectional: half of num_buckets for keys at
    or before the query, half for those after it; otherwise all later keys get bucket 0.
    ValueError unless a direction has two buckets and max_distance exceeds the exact ones.
    """
    _require_buckets(relative_position, bidirectional, num_buckets, max_distance)
    size = num_buckets // 2 if bidirectional else num_buckets
    exact = size // 2
    later = (relative_position > 0) * size * bidirectional
    distance = relative_position.abs() if bidirectional else (-relative_position).clamp(min=0)
    # In single precision and in this order, as where T5's own weights were trained.
    share = (distance.clamp(min=exact) / exact).log() / math.log(max_distance / exact)
    beyond = (share * (size - exact)).long()
    return later + (distance.clamp(max=exact) + beyond).clamp(max=size - 1)


def alibi_slopes(num_heads: int, device: torch.device | str | None = None) -> Float[Tensor, " H"]:
    """2^(-8h / H) for h = 1 ... H, if H is a power of two: Press et al. 2022, arXiv:2108.12409.

    Otherwise, as its authors published it: the slopes of the power of two below, n, and then every
    other slope of 2n, from the first, until there are H. ValueError for less than one head.
    """
    _require_heads(num_heads)
    power = 1 << (num_heads.bit_length() - 1)  # the largest power of two that is not above
    heads = torch.arange(num_heads, device=device)
    steps = torch.where(heads < power, 2 * heads + 2, 2 * (heads - power) + 1)
    return torch.exp2(steps * (-4 / power))


def alibi_bias(
    num_heads: int, num_queries: int, num_keys: int, device: torch.device | str | None = None
) -> Float[Tensor, "H Tq Tk"]:
    """bias[h, i, j] = -slope h · |distance of query i and key j|, to be added to the scores.

    The last query stands at the last key. It hides nothing: a causal model needs its mask too.
    """
    queries = torch.arange(num_queries, device=device) + (num_keys - num_queries)
    distance = (queries[:, None] - torch.arange(num_keys, device=device)).abs()
    return -distance * alibi_slopes(num_heads, device)[:, None, None]


def rotary_attention(
    q: Float[Tensor, "*batch Tq D"],
    k: Float[Tensor, "*batch Tk D"],
    v: Float[Tensor, "*batch Tk Dv"],
    keep: Tensor | None = None,
) -> Float[Tensor, "*batch Tq Dv"]:
    """``scaled_dot_product_attention`` with queries and keys, not values, turned by position.

    Keys stand at 0, 1, 2, ..., the last query at the last key.
    """
    places = torch.arange(k.shape[-2], device=k.device)
    asked = torch.arange(q.shape[-2], device=q.device) + (k.shape[-2] - q.shape[-2])
    return scaled_dot_product_attention(apply_rope(q, asked), apply_rope(k, places), v, keep)


def rotary_cross_attention(
    q: Float[Tensor, "*batch Tq D"],
    k: Float[Tensor, "*batch Tk D"],
    v: Float[Tensor, "*batch Tk Dv"],
    keep: Tensor | None = None,
) -> Float[Tensor, "*batch Tq Dv"]:
    """``rotary_attention`` between two sequences, each of which counts from its own beginning.

    So a distance does not depend on how far the other sequence has been written or padded.
    """
    asked, places = (torch.arange(t.shape[-2], device=t.device) for t in (q, k))
    return scaled_dot_product_attention(apply_rope(q, asked), apply_rope(k, places), v, keep)


def alibi_attention(
    q: Float[Tensor, "*batch H Tq D"],
    k: Float[Tensor, "*batch H Tk D"],
    v: Float[Tensor, "*batch H Tk Dv"],
    keep: Tensor | None = None,
) -> Float[Tensor, "*batch H Tq Dv"]:
    """softmax(q kᵀ / √D + bias) v with ``alibi_bias``; mask and zeros as in chapter 3."""
    bias = alibi_bias(q.shape[-3], q.shape[-2], k.shape[-2], device=q.device)
    scores = attention_scores(q, k) + bias.to(q.dtype)
    if keep is None:
        return scores.softmax(dim=-1) @ v
    scores = scores.masked_fill(~keep, torch.finfo(scores.dtype).min)
    return (scores.softmax(dim=-1) * keep) @ v


class LanguageModel(nn.Module):
    """A small causal model of symbols, in which every way to tell the position can be tried.

    encoding: "none"; "sinusoidal" or "learned", added to the embedding (of the learned ones there
    are ``trained_length``; positions beyond take the last); "rope" or "alibi", in the attention.
    ValueError for another one.
    """

    def __init__(
        self,
        vocabulary: int,
        encoding: str,
        width: int = 64,
        num_layers: int = 2,
        num_heads: int = 4,
        trained_length: int = 64,
    ) -> None:
        super().__init__()
        _require_encoding(encoding)
        self.encoding, self.trained_length = encoding, trained_length
        attentions = {"rope": rotary_attention, "alibi": alibi_attention}
        attention = attentions.get(encoding, scaled_dot_product_attention)
        self.embedding = nn.Embedding(vocabulary, width)
        self.learned = nn.Embedding(trained_length, width) if encoding == "learned" else None
        self.layers = nn.ModuleList(_Layer(width, num_heads, attention) for _ in range(num_layers))
        self.norm = nn.LayerNorm(width)
        self.readout = nn.Linear(width, vocabulary)

    def forward(self, symbols: Int[Tensor, "B T"]) -> Float[Tensor, "B T V"]:
        """Scores of the symbol that follows each symbol."""
        x = self.embedding(symbols)
        positions = torch.arange(symbols.shape[1], device=symbols.device)
        if self.encoding == "sinusoidal":
            x = x + sinusoidal_encoding(positions, x.shape[-1])
        if self.learned is not None:
            x = x + self.learned(positions.clamp(max=self.trained_length - 1))
        for layer in self.layers:
            x = layer(x)
        return self.readout(self.norm(x))


class _Layer(nn.Module):
    """Causal attention in several heads, then two linear maps, each beside what it is added to."""

    def __init__(self, width: int, num_heads: int, attention: Callable[..., Tensor]) -> None:
        super().__init__()
        self.num_heads, self.attention = num_heads, attention
        self.before_attention, self.before_mlp = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )

    def forward(self, x: Tensor) -> Tensor:
        qkv = self.qkv(self.before_attention(x))
        heads = qkv.unflatten(-1, (3, self.num_heads, -1)).transpose(1, 3)  # (B, H, 3, T, D)
        keep = causal_mask(x.shape[1], x.shape[1], device=x.device)
        read = self.attention(*heads.unbind(2), keep)  # (B, H, T, D)
        x = x + self.out(read.transpose(1, 2).flatten(-2))
        return x + self.mlp(self.before_mlp(x))


def _require_pairs(width: int, theta: float) -> None:
    if width < 0 or width % 2:
        raise ValueError(f"width must be even, for pairs of features, got {width}")
    if not theta > 0:
        raise ValueError(f"theta must be positive, got {theta}")


def _require_layout(layout: str) -> None:
    if layout not in ("interleaved", "half"):
        raise ValueError(f'layout must be "interleaved" or "half", got {layout!r}')


def _require_positions(x: Tensor, positions: Tensor) -> None:
    shapes = f"x {tuple(x.shape)}, positions {tuple(positions.shape)}"
    if x.ndim < 2 or positions.ndim < 1:
        raise ValueError(f"x needs a time and a width dimension, positions a time: {shapes}")
    wanted = tuple(x.shape[:-1])
    try:
        fits = torch.broadcast_shapes(positions.shape, wanted) == wanted
    except RuntimeError:
        fits = False
    if not fits or positions.shape[-1] != x.shape[-2]:
        raise ValueError(f"every token needs one position: {shapes}")


def _require_heads_of_pairs(w: Tensor, num_heads: int) -> None:
    _require_heads(num_heads)
    if w.ndim < 1 or w.shape[0] % (2 * num_heads):
        raise ValueError(
            f"rows must be num_heads ({num_heads}) times an even width: w {tuple(w.shape)}"
        )


def _require_buckets(
    relative_position: Tensor, bidirectional: bool, num_buckets: int, max_distance: int
) -> None:
    if relative_position.is_floating_point() or relative_position.dtype == torch.bool:
        raise TypeError(f"distances must be integers, got {relative_position.dtype}")
    if bidirectional and num_buckets % 2:
        raise ValueError(f"num_buckets must be even, for two directions, got {num_buckets}")
    size = num_buckets // 2 if bidirectional else num_buckets
    if size < 2:
        raise ValueError(f"a direction needs at least two buckets, got {size}")
    if max_distance <= size // 2:
        raise ValueError(f"max_distance ({max_distance}) must exceed {size // 2} exact buckets")


def _require_heads(num_heads: int) -> None:
    if num_heads < 1:
        raise ValueError(f"num_heads must be at least 1, got {num_heads}")


def _require_encoding(encoding: str) -> None:
    known = ("none", "sinusoidal", "learned", "rope", "alibi")
    if encoding not in known:
        raise ValueError(f"encoding must be one of {', '.join(known)}, got {encoding!r}")
