"""Chapter 3, attention: queries, keys and values.

Masks are boolean and named ``keep``: True = may be read, as in torch's own
``F.scaled_dot_product_attention``. A query that may read nothing gets zeros.

B batch, Tq and Tk queries and keys in time, C model width, D and Dv widths of a key and of a value.
"""

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from tutor.alignment import AttentionSeq2Seq

__all__ = [
    "AttentionHead",
    "ParallelSeq2Seq",
    "attention_backward",
    "attention_scores",
    "attention_weights",
    "causal_mask",
    "padding_mask",
    "scaled_dot_product_attention",
    "self_attention",
    "stable_softmax",
]


def stable_softmax(scores: Float[Tensor, "*shape"], dim: int = -1) -> Float[Tensor, "*shape"]:
    """exp(s - max s) / Σ exp(s - max s), the sum and the maximum along ``dim``.

    Equal to exp(s) / Σ exp(s) for every finite s (Goodfellow et al. 2016, section 4.1), but the
    largest exponent is 0, so nothing overflows. A score of -inf gets the weight 0.
    """
    shifted = scores - scores.amax(dim, keepdim=True)
    exponentials = shifted.exp()
    return exponentials / exponentials.sum(dim, keepdim=True)


def attention_scores(
    q: Float[Tensor, "*batch Tq D"], k: Float[Tensor, "*batch Tk D"]
) -> Float[Tensor, "*batch Tq Tk"]:
    """q kᵀ / √D: Vaswani et al. 2017, eq. (1) inside the softmax, arXiv:1706.03762.

    scores[..., i, j] says how well key j answers query i.
    ValueError if the widths of q and k differ.
    """
    _require_fit(q, k)
    return q @ k.mT * q.shape[-1] ** -0.5  # unit-variance q, k give unit-variance scores


def causal_mask(
    num_queries: int, num_keys: int, device: torch.device | str | None = None
) -> Bool[Tensor, "Tq Tk"]:
    """keep[i, j] = j ≤ i + Tk - Tq: a query reads its own position and those before it.

    The last query stands at the last key (lower-right alignment), so that the mask stays right
    when the queries are the newest few positions of a longer past. ``is_causal=True`` of torch's
    SDPA aligns the upper left corner instead; the two agree where Tq = Tk.
    """
    position = torch.arange(num_queries, device=device) + (num_keys - num_queries)
    return torch.arange(num_keys, device=device) <= position[:, None]


def padding_mask(lengths: Int[Tensor, "*batch"], num_keys: int) -> Bool[Tensor, "*batch 1 Tk"]:
    """keep[b, 0, j] = j < lengths[b]: every query of a sentence may read its real tokens only.

    The middle dimension broadcasts over the queries. TypeError if lengths are not integers.
    """
    _require_integers(lengths)
    return torch.arange(num_keys, device=lengths.device) < lengths[..., None, None]


def attention_weights(
    q: Float[Tensor, "*batch Tq D"],
    k: Float[Tensor, "*batch Tk D"],
    keep: Bool[Tensor, "*#batch #Tq #Tk"] | None = None,
) -> Float[Tensor, "*batch Tq Tk"]:
    """softmax(q kᵀ / √D) over the keys, and 0 where ``keep`` is False.

    weights[..., i, j] is the share of value j in answer i. A row sums to 1, or to 0 if its query
    may read nothing. TypeError if keep is not bool; ValueError if the shapes do not fit together.
    """
    _require_fit(q, k, keep=keep)
    scores = attention_scores(q, k)
    if keep is None:
        return scores.softmax(dim=-1)
    # Finite, not -inf: a fully masked row stays free of nan until `* keep` zeroes it.
    scores = scores.masked_fill(~keep, torch.finfo(scores.dtype).min)
    return scores.softmax(dim=-1) * keep


def scaled_dot_product_attention(
    q: Float[Tensor, "*batch Tq D"],
    k: Float[Tensor, "*batch Tk D"],
    v: Float[Tensor, "*batch Tk Dv"],
    keep: Bool[Tensor, "*#batch #Tq #Tk"] | None = None,
) -> Float[Tensor, "*batch Tq Dv"]:
    """softmax(q kᵀ / √D) v: Vaswani et al. 2017, eq. (1), arXiv:1706.03762.

    keep[..., i, j]: True lets query i read key j, as in torch's own SDPA.
    A query that may read no key returns zeros. TypeError if keep is not bool;
    ValueError, with the shapes, if q, k, v and keep do not fit together.
    """
    _require_fit(q, k, v, keep)
    return attention_weights(q, k, keep) @ v


def self_attention(
    x: Float[Tensor, "*batch T C"],
    w_q: Float[Tensor, "C D"],
    w_k: Float[Tensor, "C D"],
    w_v: Float[Tensor, "C Dv"],
    keep: Bool[Tensor, "*#batch #T #T"] | None = None,
) -> Float[Tensor, "*batch T Dv"]:
    """Attention of a sequence to itself: q = x w_q, k = x w_k, v = x w_v.

    The weights stand on the right, (in, out); ``nn.Linear.weight`` is their transpose.
    """
    return scaled_dot_product_attention(x @ w_q, x @ w_k, x @ w_v, keep)


class AttentionHead(nn.Module):
    """One sequence reads another: q = x W_q, k = memory W_k, v = memory W_v, all of one width.

    Fits into chapter 2's translator, in the place of its attention.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.query = nn.Linear(width, width, bias=False)
        self.key = nn.Linear(width, width, bias=False)
        self.value = nn.Linear(width, width, bias=False)

    def forward(
        self,
        x: Float[Tensor, "*batch Tq C"],
        memory: Float[Tensor, "*batch Tk C"],
        keep: Bool[Tensor, "..."] | None = None,
    ) -> Float[Tensor, "*batch Tq C"]:
        q, k, v = self.query(x), self.key(memory), self.value(memory)
        return scaled_dot_product_attention(q, k, v, keep)


class ParallelSeq2Seq(AttentionSeq2Seq):
    """Chapter 2's translator without recurrence in its encoder: memory = x + encoder(x, x, keep).

    x is the source's embeddings, of the decoder's width, so that all symbols are read in one step;
    the decoder starts from the mean of the memory. One residual attention of the encoder of
    Vaswani et al. 2017, section 3.1, arXiv:1706.03762.

    ``encoder`` and ``attention`` take (x, memory, keep), as ``AttentionHead`` does.
    ``positions(places, width)``, where it is given, is added to the embeddings of the symbols at
    the places 0, 1, 2, ...; without it, and with an encoder that knows no places, the source is a
    set: the same symbols in any order give the same scores.
    """

    def __init__(
        self,
        vocabulary: int,
        width: int,
        encoder: nn.Module,
        attention: nn.Module,
        positions: Callable[[Tensor, int], Tensor] | None = None,
        embedding_width: int = 32,
    ) -> None:
        super().__init__(vocabulary, width, attention, embedding_width)
        self.source_embedding = nn.Embedding(vocabulary, width)
        self.encoder = encoder
        self.positions = positions

    def states(
        self,
        source: Int[Tensor, "B S"],
        lengths: Int[Tensor, " B"],
        target: Int[Tensor, "B T"],
    ) -> tuple[Float[Tensor, "B T C"], Float[Tensor, "B S C"], Bool[Tensor, "B 1 S"]]:
        """What the attention is given: the decoder's states, the memory, and keep."""
        keep = padding_mask(lengths, source.shape[1])
        x = self.source_embedding(source)
        if self.positions is not None:
            x = x + self.positions(torch.arange(x.shape[1], device=x.device), x.shape[-1])
        memory = x + self.encoder(x, x, keep)
        mean = (memory * keep.mT).sum(1) / lengths[:, None]
        states, _ = self.decoder(self.target_embedding(target), mean[None])
        return states, memory, keep


def attention_backward(
    grad_out: Float[Tensor, "*batch Tq Dv"],
    q: Float[Tensor, "*batch Tq D"],
    k: Float[Tensor, "*batch Tk D"],
    v: Float[Tensor, "*batch Tk Dv"],
    keep: Bool[Tensor, "*#batch #Tq #Tk"] | None = None,
) -> tuple[
    Float[Tensor, "*batch Tq D"], Float[Tensor, "*batch Tk D"], Float[Tensor, "*batch Tk Dv"]
]:
    """∂L/∂q, ∂L/∂k, ∂L/∂v from grad_out = ∂L/∂out of ``scaled_dot_product_attention``.

    With w the attention weights and dw = grad_out vᵀ:
    dv = wᵀ grad_out,  ds = w ∘ (dw - Σ_j w_j dw_j),  dq = ds k / √D,  dk = dsᵀ q / √D
    (Dao et al. 2022, appendix B.2, arXiv:2205.14135).
    """
    _require_fit(q, k, v, keep)
    weights = attention_weights(q, k, keep)
    scale = q.shape[-1] ** -0.5
    grad_v = weights.mT @ grad_out
    grad_weights = grad_out @ v.mT
    # Weights of one row sum to 1: raising one score lowers all the others' weights.
    mean_grad = (weights * grad_weights).sum(-1, keepdim=True)
    grad_scores = weights * (grad_weights - mean_grad)
    return grad_scores @ k * scale, grad_scores.mT @ q * scale, grad_v


def _require_fit(q: Tensor, k: Tensor, v: Tensor | None = None, keep: Tensor | None = None) -> None:
    """Raise, naming the shapes, unless q, k, v and keep are one attention problem."""
    shapes = f"q {tuple(q.shape)}, k {tuple(k.shape)}"
    if v is not None:
        shapes += f", v {tuple(v.shape)}"
    if min(q.ndim, k.ndim) < 2:
        raise ValueError(f"q and k need a time and a width dimension: {shapes}")
    if q.shape[-1] != k.shape[-1]:
        raise ValueError(f"q and k differ in width, {q.shape[-1]} and {k.shape[-1]}: {shapes}")
    if q.shape[:-2] != k.shape[:-2]:
        raise ValueError(f"q and k differ in their batch dimensions: {shapes}")
    if v is not None and v.shape[:-1] != k.shape[:-1]:
        raise ValueError(f"every key needs one value: {shapes}")
    if keep is None:
        return
    if keep.dtype != torch.bool:
        raise TypeError(f"keep must be bool (True = may read), got {keep.dtype}")
    wanted = (*q.shape[:-1], k.shape[-2])
    if keep.ndim < 2 or not _broadcasts(keep.shape, wanted):
        raise ValueError(
            f"keep {tuple(keep.shape)} does not broadcast to (*batch, Tq, Tk) = {wanted}: {shapes}"
        )


def _broadcasts(shape: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    try:
        return torch.broadcast_shapes(shape, wanted) == wanted
    except RuntimeError:
        return False


def _require_integers(lengths: Tensor) -> None:
    if lengths.is_floating_point() or lengths.dtype == torch.bool:
        raise TypeError(f"lengths must be integers, got {lengths.dtype}")
