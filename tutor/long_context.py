"""Chapter 12, long context: what to do when a text is too long for everybody to read everything.

Four ways out: fewer pairs (masks, windows), no pairs (linear attention), positions that were never
trained (RoPE scaled), more machines (a ring). All masks here are causal, True = may be read, and
the last query stands at the last key, as in chapter 3; ``|`` joins two of them.

B batch, T time (Tq queries, Tk keys), D and Dv widths of a key and of a value, R ranks of a ring.
"""

import math
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, distributed

from tutor.attention import causal_mask, scaled_dot_product_attention

__all__ = [
    "Ring",
    "RingAttention",
    "global_random_mask",
    "layers_to_reach",
    "linear_attention",
    "linear_attention_step",
    "positive_features",
    "ring_attention",
    "ring_bytes",
    "rotate",
    "scale_rope",
    "strided_mask",
    "window_mask",
    "windowed_attention",
]


# Who may read whom


def window_mask(
    num_queries: int, num_keys: int, window: int, device: torch.device | str | None = None
) -> Bool[Tensor, "Tq Tk"]:
    """keep[i, j] = p - window < j ≤ p, with p = i + Tk - Tq the position of query i.

    ``window`` counts keys, the query's own among them: with 1 a token reads itself alone. (So does
    figure 1 of Jiang et al. 2023, arXiv:2310.06825; Longformer has window / 2 to either side.)
    ValueError for a window below 1.
    """
    _require_window(window)
    distance = _distances(num_queries, num_keys, device)
    return (distance >= 0) & (distance < window)


def strided_mask(
    num_queries: int, num_keys: int, stride: int, device: torch.device | str | None = None
) -> Bool[Tensor, "Tq Tk"]:
    """keep[i, j] = j ≤ p and p - j is a multiple of ``stride``: Child et al. 2019, section 4.3,
    arXiv:1904.10509, the second of its two heads. The first is ``window_mask`` of the same size.

    A token reads itself, and with a stride of 1 its whole past. ValueError for a stride below 1.
    """
    _require_stride(stride)
    distance = _distances(num_queries, num_keys, device)
    return (distance >= 0) & (distance % stride == 0)


def global_random_mask(
    chance: Float[Tensor, "Tq Tk"], num_global: int, num_random: int
) -> Bool[Tensor, "Tq Tk"]:
    """The first ``num_global`` keys, and of each query's other keys ``num_random`` at random.

    Zaheer et al. 2020, section 2, arXiv:2007.14062, its causal half and without its window. The
    random ones are those with the smallest ``chance`` among keys that come neither after the query
    nor first; all of these where there are fewer. ValueError for a negative number of keys.
    """
    _require_numbers(num_global, num_random)
    num_keys = chance.shape[-1]
    past = causal_mask(*chance.shape, device=chance.device)
    first = torch.arange(num_keys, device=chance.device) < num_global
    drawn = chance.masked_fill(~past | first, torch.inf)
    place = drawn.argsort(dim=-1, stable=True).argsort(dim=-1)  # of each key in its query's order
    return past & (first | (place < num_random))


def layers_to_reach(keep: Bool[Tensor, "T T"]) -> Int[Tensor, "T T"]:
    """layers[i, j]: how many layers until what stands at token j can be part of token i's vector.

    One layer lets i read every j with keep[i, j]; beside it the residual connection hands on what i
    has. So layers[i, i] = 0, and -1 where no number of layers is enough. ``layers.max()`` is how
    deep a model must be until nothing that can reach anything is out of reach.
    ValueError, with the shape, for a mask that is not square.
    """
    _require_square(keep)
    reached = torch.eye(len(keep), dtype=torch.bool, device=keep.device)
    layers = reached.long() - 1
    for depth in range(1, len(keep) + 1):
        read = keep.float() @ reached.float() > 0  # some k with keep[i, k] that has reached j
        new = read & ~reached
        if not new.any():
            break
        layers, reached = layers.masked_fill(new, depth), reached | new
    return layers


def _distances(num_queries: int, num_keys: int, device: torch.device | str | None) -> Tensor:
    """How far back each key lies from each query; negative after it."""
    position = torch.arange(num_queries, device=device) + (num_keys - num_queries)
    return position[:, None] - torch.arange(num_keys, device=device)


# Fewer pairs


def windowed_attention(
    q: Float[Tensor, "*batch Tq D"],
    k: Float[Tensor, "*batch Tk D"],
    v: Float[Tensor, "*batch Tk Dv"],
    window: int,
) -> Float[Tensor, "*batch Tq Dv"]:
    """``scaled_dot_product_attention`` behind ``window_mask``, of which no Tq × Tk is ever made.

    Queries come in blocks as long as the window: a block reads at most 2 · window - 1 keys, so the
    scores are window × (2 window - 1) at a time, and the work is that of T · 2 window pairs.
    ValueError for a window below 1, or more queries than keys.
    """
    _require_window(window)
    _require_past(q, k)
    past, blocks = k.shape[-2] - q.shape[-2], []
    for start in range(0, q.shape[-2], window):
        block = q[..., start : start + window, :]
        end = past + start + block.shape[-2]  # after the last key that the block reads
        first = max(0, past + start - window + 1)
        keys, values = k[..., first:end, :], v[..., first:end, :]
        keep = window_mask(block.shape[-2], end - first, window, device=q.device)
        blocks.append(scaled_dot_product_attention(block, keys, values, keep))
    return torch.cat(blocks, dim=-2)


# No pairs


def positive_features(x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """φ(x) = x + 1 above 0, eˣ below: Katharopoulos et al. 2020, eq. (7), arXiv:2006.16236.

    It is elu(x) + 1, written so that it never rounds to 0 where the exponential does not: in single
    precision elu(-20) + 1 is 0, and 0 / 0 is what would follow.
    """
    return torch.where(x > 0, x + 1, x.clamp(max=0).exp())  # of a large x no gradient may be inf·0


def linear_attention(
    q: Float[Tensor, "*batch Tq D"],
    k: Float[Tensor, "*batch Tk D"],
    v: Float[Tensor, "*batch Tk Dv"],
    causal: bool = True,
) -> Float[Tensor, "*batch Tq Dv"]:
    """φ(q_i)ᵀ Σ_j φ(k_j) v_jᵀ / φ(q_i)ᵀ Σ_j φ(k_j): Katharopoulos et al. 2020, eqs. (4), (9).

    The shares φ(q)·φ(k) of a softmax without its exponential, and so the sum over keys can be taken
    first: D × Dv numbers, whatever T. causal: j up to the position of query i, by running sums.
    ValueError, if causal, for more queries than keys.
    """
    q, k = positive_features(q), positive_features(k)
    if not causal:
        return q @ (k.mT @ v) / (q @ k.sum(dim=-2).unsqueeze(-1))
    _require_past(q, k)
    past = k.shape[-2] - q.shape[-2]
    context = (k.unsqueeze(-1) * v.unsqueeze(-2)).cumsum(dim=-3)[..., past:, :, :]  # (Tq, D, Dv)
    total = k.cumsum(dim=-2)[..., past:, :]
    return (q.unsqueeze(-2) @ context).squeeze(-2) / (q * total).sum(dim=-1, keepdim=True)


def linear_attention_step(
    q: Float[Tensor, "*batch D"],
    k: Float[Tensor, "*batch D"],
    v: Float[Tensor, "*batch Dv"],
    context: Float[Tensor, "*batch D Dv"],
    total: Float[Tensor, "*batch D"],
) -> tuple[Float[Tensor, "*batch Dv"], Float[Tensor, "*batch D Dv"], Float[Tensor, "*batch D"]]:
    """One token of causal ``linear_attention``, and the state after it.

    context + φ(k) vᵀ, total + φ(k), and φ(q)ᵀ context / φ(q)ᵀ total of these: a recurrent cell, as
    in chapter 1, whose state is a matrix and whose step is a sum. Both begin at zero. A step costs
    the same after ten tokens and after a million.
    """
    q, k = positive_features(q), positive_features(k)
    context = context + k.unsqueeze(-1) * v.unsqueeze(-2)
    total = total + k
    read = (q.unsqueeze(-2) @ context).squeeze(-2)
    return read / (q * total).sum(dim=-1, keepdim=True), context, total


# Positions that were never trained


def scale_rope(
    width: int,
    factor: float,
    method: str,
    length: int,
    trained_length: int,
    theta: float = 10000.0,
    device: torch.device | str | None = None,
) -> Float[Tensor, " half"]:
    """The angle that each pair of features turns by at one position, for a text of ``length``.

    Unscaled it is base^(-2i / width) with base = theta, i < width / 2. "linear": that, divided by
    factor (Chen et al. 2023, arXiv:2306.15595; positions are interpolated). "ntk": with
    base = theta · (factor · length / trained_length - (factor - 1))^(width / (width - 2)), and
    theta itself up to trained_length: quick pairs stay as they are and the slowest is stretched
    most (Peng et al. 2023, appendix A.1, arXiv:2309.00071, in its dynamic form; transformers'
    ``rope_type`` "linear" and "dynamic"). In double precision.
    ValueError for another method, a factor below 1, an odd width, or width 2 with "ntk".
    """
    _require_scaling(width, factor, method)
    if method == "ntk":
        share = max(length, trained_length) / trained_length
        theta = theta * (factor * share - (factor - 1)) ** (width / (width - 2))
    exponents = torch.arange(0, width, 2, device=device, dtype=torch.float64) / width
    frequencies = theta**-exponents
    return frequencies / factor if method == "linear" else frequencies


def rotate(
    x: Float[Tensor, "*batch T D"],
    positions: Int[Tensor, "*#batch T"],
    frequencies: Float[Tensor, " half"],
) -> Float[Tensor, "*batch T D"]:
    """Chapter 5's ``apply_rope``, layout "half", with the angles of ``scale_rope``."""
    angles = positions[..., None] * frequencies
    cos, sin = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
    a, b = x.chunk(2, dim=-1)
    return torch.cat((a * cos - b * sin, a * sin + b * cos), dim=-1)


# More machines


class RingAttention:
    """What one of R processes does to read a sequence of which it holds a part.

    Liu et al. 2023, arXiv:2310.01889. Rank r holds queries, keys and values of the r-th part. Each
    hands its keys and values on to rank r + 1, receives those of rank r - 1, reads them, and hands
    them on: after R - 1 times all have read all. What is kept is one answer and the log-sum-exp of
    its scores; a block's answer is merged into it. How messages travel is not its business.

    ValueError, with the shapes, if the parts or a message do not fit together.
    """

    def __init__(
        self,
        q: Float[Tensor, "*batch T D"],
        k: Float[Tensor, "*batch T D"],
        v: Float[Tensor, "*batch T Dv"],
        rank: int,
        ranks: int,
        causal: bool,
    ) -> None:
        _require_rank(q, k, v, rank, ranks)
        self.q, self.k, self.v = q, k, v
        self.rank, self.ranks, self.causal = rank, ranks, causal
        self.source = rank  # whose keys and values lie here
        self.out = q.new_zeros(*q.shape[:-1], v.shape[-1])
        self.lse = q.new_full(q.shape[:-1], -torch.inf)
        self._read()

    def outgoing(self) -> tuple[Tensor, Tensor]:
        """The keys and values to hand on to the next rank."""
        return self.k, self.v

    def receive(self, k: Float[Tensor, "*batch T D"], v: Float[Tensor, "*batch T Dv"]) -> None:
        """Read what has come from the rank before: next time it is handed on."""
        _require_message(self.k, self.v, k, v)
        self.k, self.v, self.source = k, v, (self.source - 1) % self.ranks
        self._read()

    def result(self) -> Float[Tensor, "*batch T Dv"]:
        """The answer over all keys so far."""
        return self.out

    def _read(self) -> None:
        if self.causal and self.source > self.rank:
            return  # all of it lies in the future; it is handed on all the same
        out, lse = _block(self.q, self.k, self.v, self.causal and self.source == self.rank)
        self.out, self.lse = _merged(self.out, self.lse, out, lse)


def _block(q: Tensor, k: Tensor, v: Tensor, causal: bool) -> tuple[Tensor, Tensor]:
    """The answer to one block of keys, and log Σ exp(score)."""
    scores = _scores(q, k, causal)
    lse = scores.logsumexp(dim=-1)
    return (scores - lse.unsqueeze(-1)).exp() @ v, lse


def _scores(q: Tensor, k: Tensor, causal: bool) -> Tensor:
    scores = q @ k.mT * q.shape[-1] ** -0.5
    if causal:  # every query has its own key at least: no row is empty
        keep = causal_mask(q.shape[-2], k.shape[-2], device=q.device)
        scores = scores.masked_fill(~keep, -torch.inf)
    return scores


def _merged(out: Tensor, lse: Tensor, other: Tensor, other_lse: Tensor) -> tuple[Tensor, Tensor]:
    """Two answers over different keys, each by its share e^lse of all weights. lse may be -inf."""
    both = torch.logaddexp(lse, other_lse)
    mine, its = (lse - both).exp().unsqueeze(-1), (other_lse - both).exp().unsqueeze(-1)
    return mine * out + its * other, both


class Ring:
    """This process's place among those of ``torch.distributed``, which send to the next alone.

    ``sent`` counts the bytes that have left. A neighbour that has ended, or is silent for as
    long as the process group's timeout, gives a RuntimeError that names both.
    """

    def __init__(self) -> None:
        self.rank, self.ranks = distributed.get_rank(), distributed.get_world_size()
        self.sent = 0

    def exchange(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """Send these to the next rank; what the rank before has sent in the same exchange."""
        if self.ranks == 1:
            return tensors
        after, before = (self.rank + 1) % self.ranks, (self.rank - 1) % self.ranks
        outgoing = [t.detach().contiguous() for t in tensors]
        incoming = [torch.empty_like(t) for t in outgoing]
        try:
            work = [distributed.isend(t, after) for t in outgoing]
            work += [distributed.irecv(t, before) for t in incoming]
            for one in work:
                one.wait()
        except RuntimeError as error:
            raise RuntimeError(
                f"rank {self.rank} of {self.ranks} waits for rank {before} and sends to rank "
                f"{after}, and one of them does not answer: {str(error).splitlines()[0]}"
            ) from error
        self.sent += sum(t.nbytes for t in outgoing)
        return tuple(incoming)


def ring_attention(
    q: Float[Tensor, "*batch T D"],
    k: Float[Tensor, "*batch T D"],
    v: Float[Tensor, "*batch T Dv"],
    ring: Ring,
    causal: bool,
) -> Float[Tensor, "*batch T Dv"]:
    """This rank's part of the attention of a sequence that is spread over the ring.

    Forward and backward; no rank ever holds more keys than its own and one other's. The backward
    pass sends keys and values round again, and their gradients with them until these are home.
    """
    return _OverTheRing.apply(q, k, v, ring, causal)


class _OverTheRing(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, ring: Ring, causal: bool) -> Tensor:
        mine = RingAttention(q, k, v, ring.rank, ring.ranks, causal)
        for _ in range(ring.ranks - 1):
            mine.receive(*ring.exchange(*mine.outgoing()))
        ctx.save_for_backward(q, k, v, mine.out, mine.lse)
        ctx.ring, ctx.causal = ring, causal
        return mine.result()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, out, lse = ctx.saved_tensors
        ring, scale = ctx.ring, q.shape[-1] ** -0.5
        dq, dk, dv = torch.zeros_like(q), torch.zeros_like(k), torch.zeros_like(v)
        # Of the whole answer, over all ranks: of one block's it would be another number.
        inner = (grad * out).sum(dim=-1, keepdim=True)
        for step in range(ring.ranks):
            source = (ring.rank - step) % ring.ranks
            if not ctx.causal or source <= ring.rank:
                scores = _scores(q, k, ctx.causal and source == ring.rank)
                p = (scores - lse.unsqueeze(-1)).exp()  # the final weights, by the final sum
                ds = p * (grad @ v.mT - inner) * scale
                dq, dk, dv = dq + ds @ k, dk + ds.mT @ q, dv + p.mT @ grad
            if step < ring.ranks - 1:
                k, v, dk, dv = ring.exchange(k, v, dk, dv)
            else:  # one place more, and they are where their keys came from
                dk, dv = ring.exchange(dk, dv)
        return dq, dk, dv, None, None


def ring_bytes(
    k_shape: tuple[int, ...], v_shape: tuple[int, ...], ranks: int, itemsize: int, backward: bool
) -> int:
    """What one rank sends: its part's keys and values R - 1 times; in the backward pass these again
    and their gradients R times."""
    one = (math.prod(k_shape) + math.prod(v_shape)) * itemsize
    forward = (ranks - 1) * one
    return forward + (ranks - 1) * one + (ranks if ranks > 1 else 0) * one if backward else forward


# What is refused


def _require_window(window: int) -> None:
    if window < 1:
        raise ValueError(f"a window has at least the query's own key, got {window}")


def _require_stride(stride: int) -> None:
    if stride < 1:
        raise ValueError(f"a stride is at least 1, got {stride}")


def _require_numbers(num_global: int, num_random: int) -> None:
    if num_global < 0 or num_random < 0:
        raise ValueError(f"num_global ({num_global}) and num_random ({num_random}) must be ≥ 0")


def _require_square(keep: Tensor) -> None:
    if keep.ndim != 2 or keep.shape[0] != keep.shape[1]:
        raise ValueError(f"each token is a query and a key: (T, T) is needed, got {_shapes(keep)}")


def _require_past(q: Tensor, k: Tensor) -> None:
    if q.shape[-2] > k.shape[-2]:
        raise ValueError(f"queries are the newest of the keys' positions, got {_shapes(q, k)}")


def _require_scaling(width: int, factor: float, method: str) -> None:
    if method not in ("linear", "ntk"):
        raise ValueError(f'method must be "linear" or "ntk", got {method!r}')
    if factor < 1:
        raise ValueError(f"a text is made to fit by a factor of 1 or more, got {factor}")
    if width < 2 or width % 2:
        raise ValueError(f"RoPE turns pairs of features: width must be even, got {width}")
    if width == 2 and method == "ntk":
        raise ValueError("a single pair cannot be both the quickest and the slowest: width 2")


def _require_rank(q: Tensor, k: Tensor, v: Tensor, rank: int, ranks: int) -> None:
    if not 0 <= rank < ranks:
        raise ValueError(f"rank must be from 0 to {ranks - 1}, got {rank}")
    if q.shape != k.shape or q.shape[:-1] != v.shape[:-1]:
        raise ValueError(f"queries, keys and values of one part are needed, got {_shapes(q, k, v)}")


def _require_message(k: Tensor, v: Tensor, new_k: Tensor, new_v: Tensor) -> None:
    if new_k.shape != k.shape or new_v.shape != v.shape:
        raise ValueError(
            f"all parts are of one size: {_shapes(k, v)} here, {_shapes(new_k, new_v)} came"
        )


def _shapes(*tensors: Tensor) -> str:
    return ", ".join(str(tuple(t.shape)) for t in tensors)
