"""Chapter 13, efficiency: weights in few bits, and layers of which a token uses a part.

Matrices are (out, in) here, rows by columns, as ``nn.Linear`` and the files of models store them:
a row holds what makes one output, and y = x wᵀ. Numbers that share a scale are a group.

B batch, T tokens, C model width, F width of a hidden layer, E experts, k experts of a token.
"""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float, Int, Int8, Integer, UInt8
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = [
    "BLOCKS",
    "MixtureOfExperts",
    "QuantizedLinear",
    "dequantize",
    "dequantize_blocks",
    "load_balance_loss",
    "model_bytes",
    "pack_int4",
    "quantize_absmax",
    "quantize_groups",
    "top_k_route",
    "unpack_int4",
]

BLOCK = 32
"""Numbers of one block of a GGUF file."""
BLOCKS = {"Q4_1": 4 + BLOCK // 2, "Q8_0": 2 + BLOCK}
"""Bytes of a block, by the name of its kind."""
_WHOLE = 16
"""From so many bits on a number is stored as it is, without a scale."""


# Numbers in few bits


def quantize_absmax(
    weight: Float[Tensor, "..."], bits: int = 8, dim: int | None = None
) -> tuple[Int8[Tensor, "..."], Float[Tensor, "..."]]:
    """n = round(w / s), s = max |w| / (2^(bits-1) - 1): Dettmers et al. 2022, arXiv:2208.07339.

    dim is the dimension along which numbers share a scale, which keeps it, with one entry: -1 for
    a scale for each row. None: one scale for all, without dimensions. Computed in single precision
    at least, and so is s; n is int8, from -(2^(bits-1) - 1) on: zero stays zero, and no side has
    more room. Where all are 0 both are 0. |w - n s| ≤ s / 2.
    ValueError for fewer than 2 bits or more than 8.
    """
    _require_bits(bits)
    wide = _wide(weight)
    size = wide.abs()
    largest = size.amax() if dim is None else size.amax(dim, keepdim=True)
    scale = largest / (2 ** (bits - 1) - 1)
    return _steps(wide, scale).to(torch.int8), scale


def quantize_groups(
    weight: Float[Tensor, "*rows columns"], bits: int = 4, group_size: int = 32
) -> tuple[
    UInt8[Tensor, "*rows columns"], Float[Tensor, "*rows groups"], Float[Tensor, "*rows groups"]
]:
    """n = round((w - m) / s), s = (max - min) / (2^bits - 1), m = min, of each group by itself.

    Groups are consecutive in a row. As GGUF's Q4_1 is made, and AWQ's weights: Lin et al. 2023,
    arXiv:2306.00978. n is uint8, from 0 on; s and m have one entry for each group, in single
    precision at least. Where a group is one number s and n are 0. |w - (n s + m)| ≤ s / 2.
    ValueError for fewer than 2 bits or more than 8, or if group_size does not divide the columns.
    """
    _require_bits(bits)
    _require_division(weight.shape[-1], group_size)
    groups = _wide(weight).unflatten(-1, (-1, group_size))  # (*rows, groups, group_size)
    minimum, most = groups.amin(-1, keepdim=True), groups.amax(-1, keepdim=True)
    scale = (most - minimum) / (2**bits - 1)
    n = _steps(groups - minimum, scale).flatten(-2)
    return n.to(torch.uint8), scale.squeeze(-1), minimum.squeeze(-1)


def dequantize(
    n: Integer[Tensor, "*rows columns"],
    scale: Float[Tensor, "*#rows groups"] | Float[Tensor, ""],
    minimum: Float[Tensor, "*#rows groups"] | None = None,
) -> Float[Tensor, "*rows columns"]:
    """n s, or n s + m, of the dtype of the scale.

    A row's scales stand for groups of equal size, in order: as many as columns, one for all, or
    any number that divides. So what both ways of quantizing give fits.
    ValueError if the number of groups does not divide the columns.
    """
    if not scale.ndim:
        return n * scale if minimum is None else n * scale + minimum
    _require_division(n.shape[-1], scale.shape[-1])
    groups = n.unflatten(-1, (scale.shape[-1], -1)) * scale[..., None]  # (*rows, groups, share)
    return (groups if minimum is None else groups + minimum[..., None]).flatten(-2)


def pack_int4(n: Integer[Tensor, "*rows columns"]) -> UInt8[Tensor, "*rows half"]:
    """Two numbers a byte: low half n[..., i], high half n[..., i + columns / 2], as in GGUF.

    Numbers are from 0 to 15; of signed ones the caller adds 8. ValueError if one is not, or the
    number of columns is odd.
    """
    _require_nibbles(n)
    low, high = n.to(torch.uint8).chunk(2, dim=-1)
    return low | high << 4


def unpack_int4(packed: UInt8[Tensor, "*rows half"]) -> UInt8[Tensor, "*rows columns"]:
    """What ``pack_int4`` was given."""
    return torch.cat((packed & 15, packed >> 4), dim=-1)


def dequantize_blocks(data: UInt8[Tensor, "*rows bytes"], kind: str) -> Float[Tensor, "*rows _"]:
    """The numbers of a row of GGUF blocks, 32 to a block, in float32, bit for bit as ggml has them.

    Q4_1, x = d n + m, 20 bytes: d and m in float16, then 16 bytes as ``pack_int4`` makes them.
    Q8_0, x = d n, 34 bytes: d in float16, then 32 signed bytes. Bytes of a number: the low first.
    https://github.com/ggml-org/ggml/blob/master/src/ggml-quants.c
    ValueError for another kind, or if the bytes are no whole blocks.
    """
    _require_blocks(data, kind)
    blocks = data.unflatten(-1, (-1, BLOCKS[kind]))  # (*rows, groups, bytes of a block)
    if kind == "Q8_0":
        d, n, m = _halves(blocks[..., :2]), blocks[..., 2:].view(torch.int8), None
    else:
        d, m = _halves(blocks[..., :4]).split(1, dim=-1)
        n = unpack_int4(blocks[..., 4:])
    return dequantize(n, d, m).flatten(-2)


def model_bytes(
    shapes: Sequence[tuple[int, ...]], bits: int, group_size: int | None = None, per_group: int = 1
) -> int:
    """Bytes of tensors of these shapes, with everything that is needed to read them.

    Of two dimensions and more: ⌈columns · bits / 8⌉ a row, the last dimension; and below 16 bits,
    for each group of a row (None: a row is one), per_group numbers in float16: a scale, or a scale
    and a minimum. A last group may be smaller. Of fewer dimensions, such as norms: float32.
    ValueError for other bits than 2 to 8, 16 and 32, or a group_size below 1.
    """
    if bits not in (16, 32):
        _require_bits(bits)
    if group_size is not None and group_size < 1:
        raise ValueError(f"group_size must be at least 1, got {group_size}")
    total = 0
    for shape in shapes:
        if len(shape) < 2:
            total += 4 * math.prod(shape)
            continue
        *leading, columns = shape
        row = -(-columns * bits // 8)
        if bits < _WHOLE:
            row += 2 * per_group * -(-columns // (group_size or columns))
        total += math.prod(leading) * row
    return total


class QuantizedLinear(nn.Module):
    """``nn.Linear`` whose weight lies in memory in 8 or 4 bits, and is read anew in every call.

    8 bits: ``quantize_absmax`` by rows; then the scale waits until the sums are made. 4 bits:
    ``quantize_groups``, packed. Scales in float16. Memory is saved and no time: that takes a kernel
    which reads whole numbers while it multiplies.
    ValueError for other bits, or if group_size does not divide the columns.
    """

    def __init__(self, linear: nn.Linear, bits: int = 8, group_size: int = 32) -> None:
        super().__init__()
        if bits not in (4, 8):
            raise ValueError(f"bits must be 4 or 8, got {bits}")
        weight = linear.weight.detach()
        if bits == 8:
            n, scale = quantize_absmax(weight, dim=-1)
            minimum = None
        else:
            n, scale, minimum = quantize_groups(weight, 4, group_size)
            n, minimum = pack_int4(n), minimum.half()
        self.register_buffer("n", n)
        self.register_buffer("scale", scale.half())
        self.register_buffer("minimum", minimum)
        self.bias = linear.bias

    def forward(self, x: Float[Tensor, "*batch C"]) -> Float[Tensor, "*batch Cout"]:
        bias = 0 if self.bias is None else self.bias
        if self.minimum is None:
            # A row's scale stands before the whole sum.
            return F.linear(x, self.n.to(x.dtype)) * self.scale.to(x.dtype).mT + bias
        return F.linear(x, self.weight.to(x.dtype)) + bias

    @property
    def weight(self) -> Float[Tensor, "Cout C"]:
        """What the numbers stand for, in float32."""
        minimum = None if self.minimum is None else self.minimum.float()
        n = self.n if minimum is None else unpack_int4(self.n)
        return dequantize(n, self.scale.float(), minimum)


# Experts


def top_k_route(
    logits: Float[Tensor, "*batch E"], k: int, bias: Float[Tensor, " E"] | None = None
) -> tuple[Float[Tensor, "*batch k"], Int[Tensor, "*batch k"]]:
    """Shares of the k experts that a token asks, and their numbers, the best first.

    softmax over the k largest logits alone: Jiang et al. 2024, section 2.1, arXiv:2401.04088.
    bias is added for the choice and for nothing else: Wang et al. 2024, arXiv:2408.15664.
    ValueError unless 1 ≤ k ≤ E.
    """
    _require_choice(k, logits.shape[-1])
    preferred = logits if bias is None else logits + bias
    experts = preferred.topk(k, dim=-1).indices
    return logits.gather(-1, experts).softmax(dim=-1), experts


def load_balance_loss(
    logits: Float[Tensor, "*batch E"], experts: Int[Tensor, "*batch k"]
) -> Float[Tensor, ""]:
    """E Σ_e f_e p_e: Fedus et al. 2021, eq. (4) to (6), arXiv:2101.03961.

    f_e is the share of all choices that fell on expert e, and p_e its probability, the softmax over
    all experts, in the mean of all tokens. 1 where both are even; gradients flow through p alone.
    ValueError if logits and experts differ in their tokens.
    """
    _require_same_tokens(logits, experts)
    num_experts = logits.shape[-1]
    p = logits.softmax(dim=-1).flatten(0, -2).mean(0) if logits.ndim > 1 else logits.softmax(-1)
    f = _chosen(experts, num_experts).flatten(0, -2).sum(0).to(p.dtype) / experts.numel()
    return num_experts * (f * p).sum()


class MixtureOfExperts(nn.Module):
    """Σ_e g_e expert_e(x), e the k experts that a token asks: Shazeer et al. 2017, section 2.

    arXiv:1701.06538. An expert is chapter 8's ``swiglu``, and g is ``top_k_route`` of x router.
    Each expert has ⌈capacity_factor · k · tokens / E⌉ places, filled or not, in the order of the
    tokens: so every shape is known before the numbers are (Lepikhin et al. 2020,
    arXiv:2006.16668). A token whose expert is full gets nothing of that one, and its other shares
    stay as they are.
    """

    def __init__(
        self,
        width: int,
        hidden_width: int,
        num_experts: int,
        k: int = 2,
        capacity_factor: float = 1.25,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__()
        _require_choice(k, num_experts)
        self.k, self.capacity_factor = k, capacity_factor
        c, f, e = width, hidden_width, num_experts
        sizes = {"router": (c, e), "w_gate": (e, c, f), "w_in": (e, c, f), "w_out": (e, f, c)}
        for name, shape in sizes.items():
            numbers = torch.randn(shape, dtype=dtype, device=device) * shape[-2] ** -0.5
            self.register_parameter(name, nn.Parameter(numbers))

    def forward(
        self, x: Float[Tensor, "*batch C"]
    ) -> tuple[Float[Tensor, "*batch C"], Float[Tensor, "*batch E"], Int[Tensor, "*batch"]]:
        """The answer; the router's logits, for ``load_balance_loss``; and how many of its k experts
        each token has lost because they were full."""
        tokens = x.reshape(-1, x.shape[-1])
        num_experts = self.router.shape[-1]
        capacity = math.ceil(self.capacity_factor * self.k * len(tokens) / num_experts)
        logits = tokens @ self.router
        shares, experts = self.route(logits)  # (T, k)

        chosen = _chosen(experts, num_experts)  # (T, E)
        before = chosen.cumsum(0) - chosen  # how many earlier tokens ask the same expert
        place = before.gather(1, experts)
        kept = place < capacity
        # Who finds no place goes to one that is thrown away.
        slot = (experts * capacity + place).where(kept, num_experts * capacity)  # (T, k)

        each = tokens.repeat_interleave(self.k, dim=0)
        places = tokens.new_zeros(num_experts * capacity + 1, tokens.shape[1])
        asked = places.index_copy(0, slot.flatten(), each)[:-1].unflatten(0, (num_experts, -1))
        told = self.experts(asked).flatten(0, 1)  # (E · capacity, C)
        told = torch.cat((told, told.new_zeros(1, told.shape[1])))[slot]  # (T, k, C)
        out = (shares[..., None] * told).sum(1)
        batch = x.shape[:-1]
        lost = (~kept).sum(1)
        return out.reshape(x.shape), logits.reshape(*batch, num_experts), lost.reshape(batch)

    def route(
        self, logits: Float[Tensor, "*batch E"]
    ) -> tuple[Float[Tensor, "*batch k"], Int[Tensor, "*batch k"]]:
        """Whom each token asks; a layer with another choice has another one."""
        return top_k_route(logits, self.k)

    def experts(self, x: Float[Tensor, "E N C"]) -> Float[Tensor, "E N C"]:
        """What each expert makes of its tokens: ``swiglu``, all experts at once."""
        return (F.silu(x @ self.w_gate) * (x @ self.w_in)) @ self.w_out


def _wide(weight: Tensor) -> Tensor:
    return weight.to(torch.promote_types(weight.dtype, torch.float32))


def _steps(x: Tensor, scale: Tensor) -> Tensor:
    """How many steps of size scale; none where there is nothing to tell apart."""
    return (x / scale.where(scale > 0, 1)).round()


def _halves(data: Tensor) -> Tensor:
    """Pairs of bytes as float16, in float32."""
    return data.contiguous().view(torch.float16).float()


def _chosen(experts: Tensor, num_experts: int) -> Tensor:
    """1 for each expert that a token asks, else 0."""
    zeros = experts.new_zeros(*experts.shape[:-1], num_experts)
    return zeros.scatter(-1, experts, torch.ones_like(experts))


def _require_bits(bits: int) -> None:
    if not 2 <= bits <= 8:
        raise ValueError(f"bits must be from 2 to 8, got {bits}")


def _require_division(columns: int, divisor: int) -> None:
    if divisor < 1 or columns % divisor:
        raise ValueError(f"{divisor} does not divide a row of {columns} numbers")


def _require_nibbles(n: Tensor) -> None:
    if n.shape[-1] % 2:
        raise ValueError(f"two numbers share a byte: a row of {n.shape[-1]} is odd")
    if n.numel() and not 0 <= int(n.min()) <= int(n.max()) <= 15:
        raise ValueError(f"four bits hold 0 to 15, got {int(n.min())} to {int(n.max())}")


def _require_blocks(data: Tensor, kind: str) -> None:
    if kind not in BLOCKS:
        raise ValueError(f"kinds are {', '.join(BLOCKS)}, got {kind!r}")
    if data.shape[-1] % BLOCKS[kind]:
        raise ValueError(
            f"{data.shape[-1]} bytes are no whole number of blocks of {BLOCKS[kind]} bytes ({kind})"
        )


def _require_choice(k: int, num_experts: int) -> None:
    if not 1 <= k <= num_experts:
        raise ValueError(f"k must be from 1 to {num_experts}, the number of experts; got {k}")


def _require_same_tokens(logits: Tensor, experts: Tensor) -> None:
    if logits.shape[:-1] != experts.shape[:-1]:
        raise ValueError(
            "every token needs logits and experts: "
            f"logits {tuple(logits.shape)}, experts {tuple(experts.shape)}"
        )
