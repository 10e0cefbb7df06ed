"""Models in few bits: their weights rounded, their caches rounded, and how fast they decode.

A kernel is what multiplies a token by a matrix: it is made of the matrix once, and called for each
token. C model width, T tokens of the past, G key heads, D width of a head, V vocabulary.
"""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.nn import functional as F

from tutor.attention import scaled_dot_product_attention
from tutor.efficiency import (
    QuantizedLinear,
    dequantize,
    model_bytes,
    quantize_absmax,
    quantize_groups,
)
from tutor.families import FamilyModel
from tutor.position import apply_rope

__all__ = [
    "BITS",
    "GROUP",
    "KERNELS",
    "WAYS",
    "Decoding",
    "bytes_in",
    "cache_bytes",
    "in_few_bits",
    "packed",
    "parameters",
    "rounded",
    "rounded_cache",
    "stored",
    "unpacked",
]

BITS = (32, 8, 4, 3, 2)
WAYS = ("tensor", "channel", "group")
"""Who shares a scale: all of a matrix, a row of it, or ``GROUP`` numbers of a row."""
GROUP = 32


def rounded(
    weight: Float[Tensor, "rows columns"], bits: int, way: str, minimum: bool = False
) -> Float[Tensor, "rows columns"]:
    """The nearest that ``bits`` bits can say. minimum: of groups, with ``quantize_groups``."""
    if bits >= 16:
        return weight.to(torch.float32 if bits == 32 else torch.bfloat16).to(weight.dtype)
    return dequantize(*_steps(weight, bits, way, minimum)).to(weight.dtype)


def _steps(weight: Tensor, bits: int, way: str, minimum: bool) -> tuple[Tensor, ...]:
    """Whole numbers, their scales, and their minima where groups have them."""
    if way == "tensor":
        return quantize_absmax(weight, bits)
    if way == "channel":
        return quantize_absmax(weight, bits, -1)
    if minimum:
        return quantize_groups(weight, bits, GROUP)
    n, scale = quantize_absmax(weight.unflatten(-1, (-1, GROUP)), bits, -1)
    return n.flatten(-2), scale.squeeze(-1)


def parameters(model: nn.Module) -> dict[str, nn.Parameter]:
    """Each once: what a file has tied is two parameters with one memory."""
    found = {p.data_ptr(): (name, p) for name, p in reversed([*model.named_parameters()])}
    return dict(reversed(found.values()))


@torch.no_grad()
def in_few_bits(model: nn.Module, bits: int, way: str, minimum: bool = False) -> nn.Module:
    """A copy of the model whose matrices, embeddings included, are rounded; norms are not."""
    model = deepcopy(model)
    for p in model.parameters():
        if p.ndim > 1:
            p.copy_(rounded(p, bits, way, minimum))
    return model


def bytes_in(model: nn.Module, bits: int, way: str, minimum: bool = False) -> int:
    """What its parameters take, with scales: a matrix has one, or one a row, or one a group."""
    shapes = [tuple(p.shape) for p in parameters(model).values()]
    if bits >= 16 or way != "tensor":
        return model_bytes(shapes, bits, GROUP if way == "group" else None, 1 + minimum)
    scales = sum(2 for s in shapes if len(s) > 1)
    return model_bytes(shapes, bits, None, 0) + scales


# The cache


def rounded_cache(
    bits: int, attention: Callable = scaled_dot_product_attention
) -> Callable[..., Tensor]:
    """An attention whose keys and values are what a cache in ``bits`` bits gives back: a scale for
    each head of each token."""

    def attend(q: Tensor, k: Tensor, v: Tensor, keep: Tensor | None = None) -> Tensor:
        k, v = (dequantize(*quantize_absmax(t, bits, -1)).to(t.dtype) for t in (k, v))
        return attention(q, k, v, keep)

    return attend


def cache_bytes(layers: int, key_heads: int, width: int, bits: int) -> int:
    """Of one token: keys and values of all layers; below 16 bits with a scale of two bytes each."""
    return 2 * layers * key_heads * (width * bits // 8 + (2 if bits < 16 else 0))


# Decoding

Kernel = Callable[[Tensor], Tensor]


def _single(weight: Tensor) -> Kernel:
    return lambda x: F.linear(x, weight)


def _bfloat16(weight: Tensor) -> Kernel:
    weight = weight.bfloat16()
    return lambda x: F.linear(x.bfloat16(), weight).to(x.dtype)


def _eight_bits(weight: Tensor) -> Kernel:
    """torch's own kernel, which reads int8 and multiplies in bfloat16."""
    n, scale = quantize_absmax(weight, 8, -1)
    scale = scale[:, 0].bfloat16()
    return lambda x: torch._weight_int8pack_mm(x.bfloat16(), n, scale).to(x.dtype)


def _eight_bits_single(weight: Tensor) -> Kernel:
    """The same kernel, asked in single precision."""
    n, scale = quantize_absmax(weight, 8, -1)
    scale = scale[:, 0].contiguous()
    return lambda x: torch._weight_int8pack_mm(x, n, scale)


def _four_bits(weight: Tensor) -> Kernel:
    """torch's own for 4 bits: groups of 32, each with a scale and a middle; rows in sixty-fours."""
    rows = weight.shape[0]
    weight = F.pad(weight, (0, 0, 0, -rows % 64))
    n, scale, minimum = quantize_groups(weight, 4, GROUP)
    packed = torch._convert_weight_to_int4pack_for_cpu(n.int(), 1)
    # (n - 8) scale + middle is n scale + minimum.
    both = torch.stack((scale, minimum + 8 * scale), -1).transpose(0, 1).contiguous().bfloat16()

    def product(x: Tensor) -> Tensor:
        out = torch._weight_int4pack_mm_for_cpu(x.bfloat16(), packed, GROUP, both)
        return out[..., :rows].to(x.dtype)

    return product


def _by_hand(bits: int) -> Callable[[Tensor], Kernel]:
    def made(weight: Tensor) -> Kernel:
        linear = nn.Linear(*reversed(weight.shape), bias=False, device="meta")
        linear.weight = nn.Parameter(weight, requires_grad=False)
        return QuantizedLinear(linear, bits)

    return made


def packed(n: UInt8[Tensor, "*rows columns"], bits: int) -> UInt8[Tensor, "*rows bytes"]:
    """Numbers below 2^bits without a gap, eight of them in ``bits`` bytes, the first one lowest.

    bits: up to 4, so that eight numbers fit into a word of torch's; or 8, which leaves them alone.
    """
    if bits == 8:
        return n
    word = (n.unflatten(-1, (-1, 8)).long() << bits * torch.arange(8)).sum(-1, keepdim=True)
    return (word >> 8 * torch.arange(bits) & 255).to(torch.uint8).flatten(-2)


def unpacked(data: UInt8[Tensor, "*rows bytes"], bits: int) -> UInt8[Tensor, "*rows columns"]:
    """What ``packed`` was given."""
    if bits == 8:
        return data
    if 8 % bits == 0:  # no number lies in two bytes
        shifts = torch.arange(0, 8, bits, dtype=torch.uint8)
        return (data[..., None] >> shifts & 2**bits - 1).flatten(-2)
    word = data.unflatten(-1, (-1, bits)).int() << 8 * torch.arange(bits, dtype=torch.int32)
    word = word.sum(-1, keepdim=True, dtype=torch.int32)
    shifts = bits * torch.arange(8, dtype=torch.int32)
    return (word >> shifts & 2**bits - 1).to(torch.uint8).flatten(-2)


def stored(bits: int, way: str, minimum: bool = False) -> Callable[[Tensor], Kernel]:
    """What a product costs without a kernel, in any number of bits: the weight lies in memory as
    ``rounded`` has it, packed, and is unpacked anew for every token. 32 bits: as it is."""

    def made(weight: Tensor) -> Kernel:
        if bits == 32:
            return _single(weight)
        n, scale, *low = _steps(weight, bits, way, minimum)
        if not low:  # from 0 on
            most = 2 ** (bits - 1) - 1
            n, low = (n.int() + most).to(torch.uint8), [-most * scale]
        data = packed(n, bits)
        return lambda x: F.linear(x, dequantize(unpacked(data, bits), scale, *low))

    return made


KERNELS: dict[str, Callable[[Tensor], Kernel]] = {
    "single precision": _single,
    "bfloat16": _bfloat16,
    "8 bits, torch's kernel in bfloat16": _eight_bits,
    "8 bits, torch's kernel in single": _eight_bits_single,
    "8 bits, QuantizedLinear": _by_hand(8),
    "4 bits, torch's kernel in bfloat16": _four_bits,
    "4 bits, QuantizedLinear": _by_hand(4),
}


@dataclass
class _Parts:
    """One layer's products, and what its past has left."""

    qkv: Kernel
    out: Kernel
    first: Kernel
    second: Kernel
    keys: Tensor
    values: Tensor


class Decoding:
    """A model of chapter 8 that writes, one token at a time, by a kernel of ours: its logits are
    the model's, as far as the kernel's are the product's."""

    def __init__(
        self,
        model: FamilyModel,
        kernel: Callable[[Tensor], Kernel] = _single,
        length: int = 256,
        layout: str = "half",
    ) -> None:
        self.model, self.config, self.layout, self.past = model, model.config, layout, 0
        heads = self.config.num_kv_heads or self.config.num_heads
        width = self.config.width // self.config.num_heads
        self.parts = []
        for layer in model.decoder.layers:
            attention = layer.self_attn
            names = ("q_proj_weight", "k_proj_weight", "v_proj_weight")
            qkv = (
                attention.in_proj_weight
                if attention.packed
                else torch.cat([getattr(attention, n) for n in names])
            )
            gate = [layer.gate.weight] if layer.gated else []
            first = torch.cat([*gate, layer.linear1.weight])
            weights = qkv, attention.out_proj.weight, first, layer.linear2.weight
            past = (torch.zeros(1, heads, length, width) for _ in range(2))
            self.parts.append(_Parts(*(kernel(w.detach()) for w in weights), *past))
        self.readout = kernel(model.readout.weight.detach())

    @torch.no_grad()
    def step(self, token: int) -> Float[Tensor, " V"]:
        """The logits behind this token; it stays in the past."""
        embedding = self.model.decoder_embedding
        x = embedding.token.weight[token][None]
        if self.config.positions == "learned":
            x = x + embedding.position.weight[self.past]
        for layer, parts in zip(self.model.decoder.layers, self.parts, strict=True):
            x = x + self._attended(layer.self_attn, parts, layer.norm1(x))
            x = x + self._fed(layer, parts, layer.norm2(x))
        self.past += 1
        return _biased(self.readout(self.model.decoder.norm(x)), self.model.readout.bias)[0]

    def _attended(self, attention: nn.Module, parts: _Parts, x: Tensor) -> Tensor:
        rows = _biased(parts.qkv(x), attention.in_proj_bias)
        q, k, v = rows.split([attention.width, attention.kv_width, attention.kv_width], -1)
        q, k, v = (
            t.view(1, n, 1, -1)
            for t, n in zip(
                (q, k, v), (attention.num_heads, *(attention.num_kv_heads,) * 2), strict=True
            )
        )
        if self.config.positions == "rope":
            here = torch.tensor([self.past])
            q, k = (apply_rope(t, here, self.config.theta, self.layout) for t in (q, k))
        now = self.past + 1
        parts.keys[:, :, self.past], parts.values[:, :, self.past] = k[:, :, 0], v[:, :, 0]
        out = F.scaled_dot_product_attention(
            q, parts.keys[:, :, :now], parts.values[:, :, :now], enable_gqa=True
        )
        return _biased(parts.out(out.flatten(1)), attention.out_proj.bias)

    def _fed(self, layer: nn.Module, parts: _Parts, x: Tensor) -> Tensor:
        hidden = parts.first(x)
        if layer.gated:
            gate, hidden = hidden.chunk(2, -1)
            gate, hidden = _biased(gate, layer.gate.bias), _biased(hidden, layer.linear1.bias)
            hidden = layer.activation(gate) * hidden
        else:
            hidden = layer.activation(_biased(hidden, layer.linear1.bias))
        return _biased(parts.second(hidden), layer.linear2.bias)


def _biased(x: Tensor, bias: Tensor | None) -> Tensor:
    return x if bias is None else x + bias
