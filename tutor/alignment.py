"""Chapter 2: attention as it was first: a decoder that looks back at its source.

A state that asks, ``x``, reads the states in ``memory``, the more the better they score. ``keep``
is boolean, True = may be read; a state that may read nothing reads zeros.

B batch, S symbols of a source, T symbols of a target, C width of the states.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from tutor.recurrence import encode_both_ways

__all__ = [
    "AdditiveAttention",
    "AttentionSeq2Seq",
    "DotAttention",
    "GeneralAttention",
    "additive_scores",
    "attend",
    "dot_scores",
    "general_scores",
    "masked_softmax",
]


def additive_scores(
    x: Float[Tensor, "*batch T Cx"],
    memory: Float[Tensor, "*batch S Cm"],
    w_x: Float[Tensor, "Cx A"],
    w_memory: Float[Tensor, "Cm A"],
    v: Float[Tensor, " A"],
) -> Float[Tensor, "*batch T S"]:
    """v · tanh(x w_x + memory w_memory): Bahdanau et al. 2015, appendix A.1.2, arXiv:1409.0473.

    scores[..., i, j] says how well memory j answers state i. Each state is projected once, not
    once for every pair. ValueError, with the shapes, if the arguments do not fit together.
    """
    _require_additive(x, memory, w_x, w_memory, v)
    asked = (x @ w_x)[..., :, None, :]  # (*batch, T, 1, A)
    found = (memory @ w_memory)[..., None, :, :]  # (*batch, 1, S, A)
    return (asked + found).tanh() @ v


def dot_scores(
    x: Float[Tensor, "*batch T C"], memory: Float[Tensor, "*batch S C"]
) -> Float[Tensor, "*batch T S"]:
    """x memoryᵀ: Luong et al. 2015, section 3.1, *dot*, arXiv:1508.04025.

    ValueError if the widths differ: without a matrix in between, both are states of one kind.
    """
    _require_dot(x, memory)
    return x @ memory.mT


def general_scores(
    x: Float[Tensor, "*batch T Cx"],
    memory: Float[Tensor, "*batch S Cm"],
    w: Float[Tensor, "Cx Cm"],
) -> Float[Tensor, "*batch T S"]:
    """x w memoryᵀ: Luong et al. 2015, section 3.1, *general*, arXiv:1508.04025.

    A bilinear form: w[c, d] says what feature c of the one and d of the other are worth together.
    ValueError, with the shapes, if the arguments do not fit together.
    """
    _require_general(x, memory, w)
    return x @ w @ memory.mT


def masked_softmax(
    scores: Float[Tensor, "*batch T S"], keep: Bool[Tensor, "*#batch #T #S"] | None = None
) -> Float[Tensor, "*batch T S"]:
    """exp(s_j) / Σ exp(s_j') along the last dimension, over what ``keep`` allows; 0 elsewhere.

    A row sums to 1, or to 0 where nothing may be read. TypeError if keep is not bool; ValueError
    if it does not broadcast to the scores.
    """
    if keep is None:
        return scores.softmax(dim=-1)
    _require_mask(keep, scores)
    # Finite, not -inf: a row without anything to read stays free of nan until `* keep` zeroes it.
    hidden = scores.masked_fill(~keep, torch.finfo(scores.dtype).min)
    return hidden.softmax(dim=-1) * keep


def attend(
    scores: Float[Tensor, "*batch T S"],
    memory: Float[Tensor, "*batch S C"],
    keep: Bool[Tensor, "*#batch #T #S"] | None = None,
) -> tuple[Float[Tensor, "*batch T C"], Float[Tensor, "*batch T S"]]:
    """c_i = Σ_j α_ij h_j and the weights α_ij: Bahdanau et al. 2015, eq. (5) and (6).

    What each state reads, and the alignment. ValueError if there is not one score for each state
    of the memory; errors of the mask as in ``masked_softmax``.
    """
    _require_memory(scores, memory)
    weights = masked_softmax(scores, keep)
    return weights @ memory, weights


class _Attention(nn.Module):
    """``attention(x, memory, keep)`` is what is read; ``weights`` of the same are the shares."""

    def scores(
        self, x: Float[Tensor, "B T C"], memory: Float[Tensor, "B S C"]
    ) -> Float[Tensor, "B T S"]:
        raise NotImplementedError

    def weights(
        self,
        x: Float[Tensor, "B T C"],
        memory: Float[Tensor, "B S C"],
        keep: Bool[Tensor, "B #T S"] | None = None,
    ) -> Float[Tensor, "B T S"]:
        return masked_softmax(self.scores(x, memory), keep)

    def forward(
        self,
        x: Float[Tensor, "B T C"],
        memory: Float[Tensor, "B S C"],
        keep: Bool[Tensor, "B #T S"] | None = None,
    ) -> Float[Tensor, "B T C"]:
        read, _ = attend(self.scores(x, memory), memory, keep)
        return read


class AdditiveAttention(_Attention):
    """A network with one hidden layer, of ``hidden`` units, scores each pair of states."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.w_x = nn.Parameter(torch.randn(width, hidden) * width**-0.5)
        self.w_memory = nn.Parameter(torch.randn(width, hidden) * width**-0.5)
        self.v = nn.Parameter(torch.randn(hidden) * hidden**-0.5)

    def scores(
        self, x: Float[Tensor, "B T C"], memory: Float[Tensor, "B S C"]
    ) -> Float[Tensor, "B T S"]:
        return additive_scores(x, memory, self.w_x, self.w_memory, self.v)


class DotAttention(_Attention):
    """Nothing to learn: the states must come to resemble what they look for."""

    def scores(
        self, x: Float[Tensor, "B T C"], memory: Float[Tensor, "B S C"]
    ) -> Float[Tensor, "B T S"]:
        return dot_scores(x, memory)


class GeneralAttention(_Attention):
    """A matrix between the two states."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.randn(width, width) * width**-0.5)

    def scores(
        self, x: Float[Tensor, "B T C"], memory: Float[Tensor, "B S C"]
    ) -> Float[Tensor, "B T S"]:
        return general_scores(x, memory, self.w)


class AttentionSeq2Seq(nn.Module):
    """Chapter 1's translator, whose decoder reads all states of the source at every symbol.

    ``attention(x, memory, keep)`` takes the decoder's states (B, T, C), the encoder's (B, S, C)
    and keep (B, 1, S), True = a real symbol, and returns what each decoder state reads, (B, T, C).
    As in Luong et al. 2015, arXiv:1508.04025, the state and what it read are joined for the
    readout; unlike there, what was read is not fed into the next step.
    """

    def __init__(
        self, vocabulary: int, width: int, attention: nn.Module, embedding_width: int = 32
    ) -> None:
        super().__init__()
        if width % 2:
            raise ValueError(f"width must be even, for two directions, got {width}")
        self.source_embedding = nn.Embedding(vocabulary, embedding_width)
        self.target_embedding = nn.Embedding(vocabulary, embedding_width)
        self.encoder = nn.GRU(embedding_width, width // 2, batch_first=True, bidirectional=True)
        self.decoder = nn.GRU(embedding_width, width, batch_first=True)
        self.attention = attention
        self.readout = nn.Linear(2 * width, vocabulary)

    def states(
        self,
        source: Int[Tensor, "B S"],
        lengths: Int[Tensor, " B"],
        target: Int[Tensor, "B T"],
    ) -> tuple[Float[Tensor, "B T C"], Float[Tensor, "B S C"], Bool[Tensor, "B 1 S"]]:
        """What the attention is given: the decoder's states, the encoder's, and keep."""
        memory, last = encode_both_ways(self.encoder, self.source_embedding(source), lengths)
        states, _ = self.decoder(self.target_embedding(target), last[None])
        keep = torch.arange(source.shape[1], device=source.device) < lengths[:, None, None]
        return states, memory, keep

    def forward(
        self,
        source: Int[Tensor, "B S"],
        lengths: Int[Tensor, " B"],
        target: Int[Tensor, "B T"],
    ) -> Float[Tensor, "B T V"]:
        """Scores of the symbol that follows each symbol of the target."""
        states, memory, keep = self.states(source, lengths, target)
        read = self.attention(states, memory, keep)
        return self.readout(torch.cat((states, read), dim=-1))

    def alignment(
        self,
        source: Int[Tensor, "B S"],
        lengths: Int[Tensor, " B"],
        target: Int[Tensor, "B T"],
    ) -> Float[Tensor, "B T S"]:
        """The share of source symbol j in what is read to find the symbol *after* target symbol i.

        For an ``attention`` that has ``weights(x, memory, keep)``, as this chapter's have.
        """
        return self.attention.weights(*self.states(source, lengths, target))


def _require_dot(x: Tensor, memory: Tensor) -> None:
    shapes = _require_states(x, memory)
    if x.shape[-1] != memory.shape[-1]:
        raise ValueError(
            f"x and memory differ in width, {x.shape[-1]} and {memory.shape[-1]}: {shapes}"
        )


def _require_general(x: Tensor, memory: Tensor, w: Tensor) -> None:
    shapes = _require_states(x, memory)
    wanted = (x.shape[-1], memory.shape[-1])
    if tuple(w.shape) != wanted:
        raise ValueError(f"w must be (Cx, Cm) = {wanted}, got {tuple(w.shape)}: {shapes}")


def _require_additive(x: Tensor, memory: Tensor, w_x: Tensor, w_memory: Tensor, v: Tensor) -> None:
    shapes = _require_states(x, memory)
    if v.ndim != 1:
        raise ValueError(f"v must be one vector, got {tuple(v.shape)}")
    for name, states, w in (("w_x", x, w_x), ("w_memory", memory, w_memory)):
        wanted = (states.shape[-1], v.shape[0])
        if tuple(w.shape) != wanted:
            raise ValueError(f"{name} must be {wanted}, got {tuple(w.shape)}: {shapes}")


def _require_states(x: Tensor, memory: Tensor) -> str:
    """Raise unless both are states in time for the same batch; their shapes for a message."""
    shapes = f"x {tuple(x.shape)}, memory {tuple(memory.shape)}"
    if min(x.ndim, memory.ndim) < 2:
        raise ValueError(f"x and memory need a time and a width dimension: {shapes}")
    if x.shape[:-2] != memory.shape[:-2]:
        raise ValueError(f"x and memory differ in their batch dimensions: {shapes}")
    return shapes


def _require_mask(keep: Tensor, scores: Tensor) -> None:
    if keep.dtype != torch.bool:
        raise TypeError(f"keep must be bool (True = may be read), got {keep.dtype}")
    try:
        fits = torch.broadcast_shapes(keep.shape, scores.shape) == scores.shape
    except RuntimeError:
        fits = False
    if keep.ndim < 2 or not fits:
        raise ValueError(
            f"keep {tuple(keep.shape)} does not broadcast to the scores {tuple(scores.shape)}"
        )


def _require_memory(scores: Tensor, memory: Tensor) -> None:
    if (
        min(scores.ndim, memory.ndim) < 2
        or scores.shape[-1] != memory.shape[-2]
        or scores.shape[:-2] != memory.shape[:-2]
    ):
        raise ValueError(
            "every state of the memory needs one score: "
            f"scores {tuple(scores.shape)}, memory {tuple(memory.shape)}"
        )
