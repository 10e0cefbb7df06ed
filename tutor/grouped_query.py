"""Chapter 10, grouped queries: several query heads read one head of keys and values.

Masks are chapter 3's: boolean, ``keep``, True = may be read. Heads stand before time. Groups are
consecutive: query head h reads key head h // (H // G), as in torch's ``enable_gqa``.

B batch, T (Tq, Tk) time, C model width, H query heads, G heads of keys and values, S = H / G query
heads of a group, D and Dv widths of one head's keys and of its values.
"""

from collections.abc import Mapping

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from tutor.alignment import masked_softmax
from tutor.attention import attention_scores, scaled_dot_product_attention

__all__ = [
    "GPUS",
    "MODELS",
    "absorbed_latent_attention",
    "concurrent_users",
    "expand_kv_heads",
    "grouped_query_attention",
    "latent_attention",
    "pool_kv_heads",
]


# Attention


def expand_kv_heads(
    kv: Float[Tensor, "*batch G T D"], num_heads: int
) -> Float[Tensor, "*batch H T D"]:
    """out[..., h, :, :] = kv[..., h // (H // G), :, :]: each head H / G times, side by side.

    For an attention that knows no groups. It writes H / G times what it is given: nothing to keep
    in a cache. ValueError if the number of heads in kv does not divide num_heads.
    """
    return kv.repeat_interleave(_share(num_heads, kv.shape[-3]), dim=-3)  # 0, 0, 1, 1, ...


def grouped_query_attention(
    q: Float[Tensor, "*batch H Tq D"],
    k: Float[Tensor, "*batch G Tk D"],
    v: Float[Tensor, "*batch G Tk Dv"],
    keep: Bool[Tensor, "*#batch #H #Tq #Tk"] | Bool[Tensor, "#Tq #Tk"] | None = None,
) -> Float[Tensor, "*batch H Tq Dv"]:
    """softmax(q_h k_gᵀ / √D) v_g with g = h // (H // G): Ainslie et al. 2023, arXiv:2305.13245.

    G = H is multi-head attention (Vaswani et al. 2017), G = 1 multi-query (Shazeer 2019,
    arXiv:1911.02150). keep[..., h, i, j]: True lets query i of head h read key j; without a
    dimension for heads, one mask for all. A query that may read no key returns zeros.
    No key and no value is copied: the queries of a group stand below each other, and one product
    reads the group's keys once.
    TypeError if keep is not bool; ValueError, with the shapes, if the arguments do not fit.
    """
    _require_fit(q, k, v, keep)
    (num_heads, time), groups = q.shape[-3:-1], k.shape[-3]
    share = _share(num_heads, groups)
    rows = q.unflatten(-3, (groups, share)).flatten(-3, -2)  # (*batch, G, S·Tq, D)
    scores = attention_scores(rows, k).unflatten(-2, (share, time))  # (*batch, G, S, Tq, Tk)
    weights = masked_softmax(scores, _of_groups(keep, groups)).flatten(-3, -2)
    return (weights @ v).unflatten(-2, (share, time)).flatten(-4, -3)  # (*batch, H, Tq, Dv)


# A trained model with fewer heads


def pool_kv_heads(
    w_k: Float[Tensor, "HD *rest"],
    w_v: Float[Tensor, "HDv *rest"],
    num_heads: int,
    num_kv_heads: int,
) -> tuple[Float[Tensor, "GD *rest"], Float[Tensor, "GDv *rest"]]:
    """The projections of keys and of values with num_kv_heads heads in the place of num_heads: each
    new head is the mean of H / G neighbours. Ainslie et al. 2023, section 2.1, arXiv:2305.13245.

    w_k and w_v are (out, in) as ``nn.Linear.weight``, or both a bias; head h owns the rows h·D to
    (h + 1)·D. num_heads is the number of key heads that there are.
    ValueError if num_kv_heads does not divide num_heads, or num_heads not the rows.
    """
    share = _share(num_heads, num_kv_heads)
    _require_rows(w_k, w_v, num_heads)
    pooled = (w.unflatten(0, (num_kv_heads, share, -1)).mean(1) for w in (w_k, w_v))
    w_k, w_v = (w.flatten(0, 1) for w in pooled)
    return w_k, w_v


# The planner


def _shape(parameters: int, layers: int, width: int, heads: int, kv_heads: int) -> dict[str, int]:
    shape = {"parameters": parameters, "layers": layers, "width": width, "heads": heads}
    return shape | {"kv_heads": kv_heads, "head_width": width // heads}


MODELS: dict[str, dict[str, int]] = {
    "Llama-3-70B": _shape(70_553_706_496, 80, 8192, 64, 8),
    "Llama-3-8B": _shape(8_030_261_248, 32, 4096, 32, 8),
    "Mistral-7B": _shape(7_241_732_096, 32, 4096, 32, 8),
    "GPT-2": _shape(124_439_808, 12, 768, 12, 12),
    "SmolLM2-135M": _shape(134_515_008, 30, 576, 9, 3),
}
"""Published shapes (Grattafiori et al. 2024, arXiv:2407.21783; Jiang et al. 2023, arXiv:2310.06825;
Radford et al. 2019; Ben Allal et al. 2025, arXiv:2502.02737), with all embeddings counted once."""

GPUS: dict[str, int] = {
    "RTX 4090": 24,
    "L40S": 48,
    "H100": 80,
    "H200": 141,
    "2 × H100": 160,
    "8 × H100": 640,
}
"""Memory as the vendor names it, in GB."""


def concurrent_users(
    model: Mapping[str, int],
    context: int,
    memory_gb: int,
    weight_bits: int = 16,
    cache_bits: int = 16,
) -> tuple[int, int, int]:
    """(bytes of the weights, bytes of the cache a token, users whose contexts fit beside each
    other).

    weights = parameters · weight_bits / 8, rounded up; a token = 2 · layers · kv_heads · head_width
    · cache_bits / 8, 2 for a key and a value; users = (memory - weights) / (context · a token),
    rounded down, 0 where the weights do not fit. 1 GB is 10⁹ bytes.
    model has the keys of ``MODELS``. What an engine needs besides (activations, its own code) is
    not in it. ValueError for a context below 1, or if kv_heads does not divide heads.
    """
    if context < 1:
        raise ValueError(f"a context has at least one token, got {context}")
    _share(model["heads"], model["kv_heads"])
    weights = -(-model["parameters"] * weight_bits // 8)
    numbers = 2 * model["layers"] * model["kv_heads"] * model["head_width"]
    a_token = -(-numbers * cache_bits // 8)
    left = memory_gb * 10**9 - weights
    return weights, a_token, max(0, left // (context * a_token))


# What came after


def latent_attention(
    q: Float[Tensor, "*batch H Tq D"],
    q_turned: Float[Tensor, "*batch H Tq Dr"],
    latent: Float[Tensor, "*batch Tk R"],
    k_turned: Float[Tensor, "*batch Tk Dr"],
    w_k: Float[Tensor, "H R D"],
    w_v: Float[Tensor, "H R Dv"],
    keep: Bool[Tensor, "*#batch #H #Tq #Tk"] | Bool[Tensor, "#Tq #Tk"] | None = None,
) -> Float[Tensor, "*batch H Tq Dv"]:
    """Multi-head attention whose keys and values are made of a short vector, c = latent:

    k_h = (c w_k_h, k_turned), v_h = c w_v_h, q_h = (q, q_turned); DeepSeek-AI 2024, section 2.1,
    arXiv:2405.04434. k_turned, rotated to its position (chapter 5), is the same for all heads.
    Kept from token to token are latent and k_turned, R + Dr numbers.
    """
    c = latent.unsqueeze(-3)  # (*batch, 1, Tk, R)
    k, v = c @ w_k, c @ w_v  # (*batch, H, Tk, D)
    shared = k_turned.unsqueeze(-3).expand(*k.shape[:-1], -1)
    return scaled_dot_product_attention(
        torch.cat((q, q_turned), -1), torch.cat((k, shared), -1), v, keep
    )


def absorbed_latent_attention(
    q: Float[Tensor, "*batch H Tq D"],
    q_turned: Float[Tensor, "*batch H Tq Dr"],
    latent: Float[Tensor, "*batch Tk R"],
    k_turned: Float[Tensor, "*batch Tk Dr"],
    w_k: Float[Tensor, "H R D"],
    w_v: Float[Tensor, "H R Dv"],
    keep: Bool[Tensor, "*#batch #H #Tq #Tk"] | Bool[Tensor, "#Tq #Tk"] | None = None,
) -> Float[Tensor, "*batch H Tq Dv"]:
    """``latent_attention``, by q (c w_k)ᵀ = (q w_kᵀ) cᵀ and p (c w_v) = (p c) w_v.

    Multi-query attention of wide heads: all read the cache as it is, and no key is made of it.
    """
    wide = torch.cat((q @ w_k.mT, q_turned), -1)  # (*batch, H, Tq, R + Dr)
    # The scores are those of D + Dr features.
    wide = wide * (wide.shape[-1] / (q.shape[-1] + q_turned.shape[-1])) ** 0.5
    keys = torch.cat((latent, k_turned), -1).unsqueeze(-3)  # (*batch, 1, Tk, R + Dr)
    return grouped_query_attention(wide, keys, latent.unsqueeze(-3), keep) @ w_v


def _share(num_heads: int, num_kv_heads: int) -> int:
    """S = H / G."""
    if num_kv_heads < 1 or num_heads < 1 or num_heads % num_kv_heads:
        raise ValueError(
            f"the number of key heads, {num_kv_heads}, must divide that of query heads, {num_heads}"
        )
    return num_heads // num_kv_heads


def _of_groups(keep: Tensor | None, groups: int) -> Tensor | None:
    """(*batch, G or 1, S or 1, Tq, Tk)"""
    if keep is None or keep.ndim < 3:
        return keep
    return keep.unsqueeze(-3) if keep.shape[-3] == 1 else keep.unflatten(-3, (groups, -1))


def _require_fit(q: Tensor, k: Tensor, v: Tensor, keep: Tensor | None) -> None:
    """Raise, naming the shapes, unless q, k, v and keep are one attention problem."""
    shapes = f"q {tuple(q.shape)}, k {tuple(k.shape)}, v {tuple(v.shape)}"
    if min(q.ndim, k.ndim) < 3:
        raise ValueError(f"q and k need heads, time and width: {shapes}")
    if q.shape[:-3] != k.shape[:-3] or q.shape[-1] != k.shape[-1]:
        raise ValueError(f"q and k differ in their batch or in their width: {shapes}")
    if v.shape[:-1] != k.shape[:-1]:
        raise ValueError(f"every key needs one value: {shapes}")
    if keep is None:
        return
    if keep.dtype != torch.bool:
        raise TypeError(f"keep must be bool (True = may read), got {keep.dtype}")
    wanted = (*q.shape[:-1], k.shape[-2])
    try:
        fits = keep.ndim >= 2 and torch.broadcast_shapes(keep.shape, wanted) == wanted
    except RuntimeError:
        fits = False
    if not fits:
        raise ValueError(
            f"keep {tuple(keep.shape)} does not broadcast to (*batch, H, Tq, Tk) = {wanted}"
        )


def _require_rows(w_k: Tensor, w_v: Tensor, num_heads: int) -> None:
    if w_k.shape[0] % num_heads or w_v.shape[0] % num_heads:
        raise ValueError(
            f"the rows of w_k {tuple(w_k.shape)} and w_v {tuple(w_v.shape)} must be num_heads "
            f"({num_heads}) times the width of a head"
        )
