"""Chapter 4, several heads: attention beside attention, and one projection that joins them.

Masks are chapter 3's: boolean, ``keep``, True = may be read. Heads stand before time.

B batch, T (Tq, Tk) time, C model width, H heads, G key and value heads, D and Dv widths of one
head's keys and of its values.
"""

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from tutor.attention import scaled_dot_product_attention

__all__ = [
    "MultiHeadAttention",
    "cross_attention",
    "head_ablation",
    "merge_heads",
    "multi_head_attention",
    "split_heads",
]


def split_heads(x: Float[Tensor, "*batch T C"], num_heads: int) -> Float[Tensor, "*batch H T D"]:
    """heads[..., h, t, d] = x[..., t, h·D + d] with D = C / H: Vaswani et al. 2017, section 3.2.2.

    Head h owns the features h·D to (h + 1)·D of every token. A view: nothing is copied.
    ValueError if num_heads does not divide the width.
    """
    _require_heads(num_heads, x.shape[-1])
    return x.unflatten(-1, (num_heads, -1)).transpose(-3, -2)  # (*batch, T, H, D), then H before T


def merge_heads(heads: Float[Tensor, "*batch H T D"]) -> Float[Tensor, "*batch T HD"]:
    """Concat(head_1, ..., head_H) of every token, arXiv:1706.03762: undoes ``split_heads``."""
    return heads.transpose(-3, -2).flatten(-2)  # (*batch, T, H, D), then H and D together


def multi_head_attention(
    x: Float[Tensor, "*batch T C"],
    w_q: Float[Tensor, "C HD"],
    w_k: Float[Tensor, "C HD"],
    w_v: Float[Tensor, "C HDv"],
    w_out: Float[Tensor, "HDv Cout"],
    num_heads: int,
    keep: Bool[Tensor, "*#batch #T #T"] | None = None,
) -> Float[Tensor, "*batch T Cout"]:
    """Concat(head_1, ..., head_H) w_out, head_h = attention(x w_q, x w_k, x w_v) in features of h.

    Vaswani et al. 2017, section 3.2.2, arXiv:1706.03762. The weights stand on the right, (in, out).
    One mask serves all heads: it has no dimension for them.
    """
    return cross_attention(x, x, w_q, w_k, w_v, w_out, num_heads, keep)


def cross_attention(
    x: Float[Tensor, "*batch Tq C"],
    memory: Float[Tensor, "*batch Tk Cm"],
    w_q: Float[Tensor, "C HD"],
    w_k: Float[Tensor, "Cm HD"],
    w_v: Float[Tensor, "Cm HDv"],
    w_out: Float[Tensor, "HDv Cout"],
    num_heads: int,
    keep: Bool[Tensor, "*#batch #Tq #Tk"] | None = None,
) -> Float[Tensor, "*batch Tq Cout"]:
    """``multi_head_attention`` in which x asks and memory answers: q = x w_q, k, v from memory.

    Vaswani et al. 2017, section 3.2.3. keep[..., i, j]: token i of x may read token j of memory.
    ValueError if num_heads does not divide the widths of the projections, or keep does not fit.
    """
    _require_mask(keep, x.shape[:-1] + memory.shape[-2:-1])
    q, k, v = x @ w_q, memory @ w_k, memory @ w_v
    heads = scaled_dot_product_attention(
        split_heads(q, num_heads),
        split_heads(k, num_heads),
        split_heads(v, num_heads),
        None if keep is None else keep.unsqueeze(-3),  # the same for all heads
    )
    return merge_heads(heads) @ w_out


def head_ablation(
    heads: Float[Tensor, "*batch H T D"],
    w_out: Float[Tensor, "HD C"],
    keep_heads: Bool[Tensor, " H"],
) -> Float[Tensor, "*batch T C"]:
    """Concat(g_1 head_1, ..., g_H head_H) w_out, g_h = 1 where head h is kept and 0 where not.

    What the layer answers when some of its heads are silent: Michel et al. 2019, section 2.2,
    arXiv:1905.10650. The rest is not scaled up. TypeError if keep_heads is not bool.
    """
    _require_one_flag_a_head(keep_heads, heads)
    return merge_heads(heads * keep_heads[:, None, None]) @ w_out


class MultiHeadAttention(nn.Module):
    """``cross_attention`` with parameters of its own, under ``nn.MultiheadAttention``'s names.

    Its state_dict is that of ``nn.MultiheadAttention(width, num_heads, bias=bias, kdim=key_width,
    vdim=value_width)``, and the same seed gives the same numbers. Weights are (out, in) here.

    num_kv_heads: G, fewer heads for keys and values (Ainslie et al. 2023, arXiv:2305.13245). Groups
    are consecutive: query head h reads key head h // (H // G), as in torch's ``enable_gqa``.
    attention(q, k, v, keep) takes (*batch, H, T, D) and a keep that broadcasts to
    (*batch, H, Tq, Tk), or None: chapter 3's function, a later one, or torch's
    ``F.scaled_dot_product_attention``.
    ValueError if num_heads does not divide width, or num_kv_heads does not divide num_heads.
    """

    def __init__(
        self,
        width: int,
        num_heads: int,
        *,
        num_kv_heads: int | None = None,
        key_width: int | None = None,
        value_width: int | None = None,
        bias: bool = True,
        attention: Callable = scaled_dot_product_attention,
    ) -> None:
        super().__init__()
        _require_heads(num_heads, width)
        self.width, self.num_heads, self.attention = width, num_heads, attention
        self.num_kv_heads = num_heads if num_kv_heads is None else num_kv_heads
        _require_groups(self.num_kv_heads, num_heads)
        self.key_width = width if key_width is None else key_width
        self.value_width = width if value_width is None else value_width
        self.kv_width = width // num_heads * self.num_kv_heads
        self.packed = self.key_width == self.value_width == self.kv_width == width
        """All three projections lie in one matrix, as torch has it where their shapes agree."""

        if self.packed:
            self.in_proj_weight = nn.Parameter(torch.empty(3 * width, width))
        else:
            self.q_proj_weight = nn.Parameter(torch.empty(width, width))
            self.k_proj_weight = nn.Parameter(torch.empty(self.kv_width, self.key_width))
            self.v_proj_weight = nn.Parameter(torch.empty(self.kv_width, self.value_width))
        rows = width + 2 * self.kv_width
        in_proj_bias = nn.Parameter(torch.empty(rows)) if bias else None
        self.register_parameter("in_proj_bias", in_proj_bias)
        self.out_proj = nn.Linear(width, width, bias=bias)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Glorot's uniform for the projections, 0 for the biases, as torch does it."""
        for name, parameter in self.named_parameters(recurse=False):
            if name.endswith("weight"):
                nn.init.xavier_uniform_(parameter)
        if self.in_proj_bias is not None:
            nn.init.zeros_(self.in_proj_bias)
            nn.init.zeros_(self.out_proj.bias)

    def forward(
        self,
        x: Float[Tensor, "*batch Tq C"],
        memory: Float[Tensor, "*batch Tk Ck"]
        | tuple[Float[Tensor, "*batch Tk Ck"], Float[Tensor, "*batch Tk Cv"]]
        | None = None,
        keep: Bool[Tensor, "..."] | None = None,
    ) -> Float[Tensor, "*batch Tq C"]:
        """What each token of x reads in memory, or in x itself where there is none.

        memory: what keys and values are made of, or a pair (for the keys, for the values).
        keep: broadcasts to (*batch, Tq, Tk), one mask for all heads; or, with one dimension more
        than x, to (*batch, H, Tq, Tk), one for each.
        """
        keys, values = memory if isinstance(memory, tuple) else (memory, memory)
        keys, values = x if keys is None else keys, x if values is None else values
        _require_widths(self, x, keys, values)
        wanted = (*x.shape[:-1], keys.shape[-2])
        if keep is not None and keep.ndim <= x.ndim:
            _require_mask(keep, wanted)
            keep = keep.unsqueeze(-3)  # (*batch, 1, Tq, Tk): the same for all heads
        _require_mask(keep, (*x.shape[:-2], self.num_heads, *wanted[-2:]))

        q, k, v = self._projections(x, keys, values)
        q = split_heads(q, self.num_heads)
        k, v = (split_heads(t, self.num_kv_heads) for t in (k, v))
        if self.num_kv_heads != self.num_heads:
            share = self.num_heads // self.num_kv_heads
            k, v = (t.repeat_interleave(share, dim=-3) for t in (k, v))  # 0, 0, 1, 1, ...
        return self.out_proj(merge_heads(self.attention(q, k, v, keep)))

    def _projections(self, x: Tensor, keys: Tensor, values: Tensor) -> tuple[Tensor, ...]:
        if self.packed and x is keys and x is values:
            # One product of three times the size is faster than three.
            return F.linear(x, self.in_proj_weight, self.in_proj_bias).chunk(3, dim=-1)
        if self.packed:
            weights = self.in_proj_weight.chunk(3)
        else:
            weights = self.q_proj_weight, self.k_proj_weight, self.v_proj_weight
        biases: tuple[Tensor | None, ...] = (None, None, None)
        if self.in_proj_bias is not None:
            biases = self.in_proj_bias.split([self.width, self.kv_width, self.kv_width])
        sources = (x, keys, values)
        return tuple(F.linear(s, w, b) for s, w, b in zip(sources, weights, biases, strict=True))


def _require_heads(num_heads: int, width: int) -> None:
    if num_heads < 1 or width % num_heads:
        raise ValueError(f"num_heads ({num_heads}) must divide width ({width})")


def _require_groups(num_kv_heads: int, num_heads: int) -> None:
    if num_kv_heads < 1 or num_heads % num_kv_heads:
        raise ValueError(f"num_kv_heads ({num_kv_heads}) must divide num_heads ({num_heads})")


def _require_mask(keep: Tensor | None, wanted: tuple[int, ...]) -> None:
    """Raise unless keep is bool and broadcasts to ``wanted``."""
    if keep is None:
        return
    if keep.dtype != torch.bool:
        raise TypeError(f"keep must be bool (True = may read), got {keep.dtype}")
    try:
        fits = keep.ndim >= 2 and torch.broadcast_shapes(keep.shape, wanted) == wanted
    except RuntimeError:
        fits = False
    if not fits:
        names = "(*batch, Tq, Tk)" if keep.ndim <= len(wanted) else "(*batch, H, Tq, Tk)"
        raise ValueError(
            f"keep {tuple(keep.shape)} does not broadcast to {names} = {tuple(wanted)}"
        )


def _require_one_flag_a_head(keep_heads: Tensor, heads: Tensor) -> None:
    if keep_heads.dtype != torch.bool:
        raise TypeError(f"keep_heads must be bool (True = kept), got {keep_heads.dtype}")
    if heads.ndim < 3 or keep_heads.shape != heads.shape[-3:-2]:
        raise ValueError(
            f"keep_heads {tuple(keep_heads.shape)} needs one flag for each head of "
            f"heads (*batch, H, T, D) = {tuple(heads.shape)}"
        )


def _require_widths(module: MultiHeadAttention, x: Tensor, keys: Tensor, values: Tensor) -> None:
    widths = (module.width, module.key_width, module.value_width)
    if tuple(t.shape[-1] for t in (x, keys, values)) != widths:
        raise ValueError(
            f"the layer takes queries, keys and values made of tokens of widths {widths}, got "
            f"x {tuple(x.shape)}, memory {tuple(keys.shape)} and {tuple(values.shape)}"
        )
