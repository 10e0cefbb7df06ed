"""Chapter 8's wrong answers, written by one who had not seen the traps: norm, gate and mask."""

import torch
from fresh import answer
from torch import Tensor
from torch.nn import functional as F


# torch's own rms_norm, which is not allowed
@answer()
def rms_norm__w01(x: Tensor, weight: Tensor, eps: float = 1e-6) -> Tensor:
    wide = torch.promote_types(x.dtype, torch.float32)
    return F.rms_norm(x.to(wide), (x.size(-1),), weight.to(wide), eps).to(x.dtype)


# the mean is taken off first, as in a layer norm
@answer("the mean taken off")
def rms_norm__w02(x: Tensor, weight: Tensor, eps: float = 1e-6) -> Tensor:
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    wide = wide - wide.mean(dim=-1, keepdim=True)
    variance = wide.square().mean(dim=-1, keepdim=True)
    return (weight * wide * torch.rsqrt(variance + eps)).to(x.dtype)


# eps is added to the root and not under it
@answer("eps outside of the root")
def rms_norm__w03(x: Tensor, weight: Tensor, eps: float = 1e-6) -> Tensor:
    dtype = x.dtype
    h = x.float() if dtype in (torch.half, torch.bfloat16) else x
    # tiny keeps the gradient of the root finite for a token of zeros
    rms = (h.pow(2).mean(-1, keepdim=True) + torch.finfo(h.dtype).tiny).sqrt()
    return (weight * (h / (rms + eps))).to(dtype)


# the argument eps is not used, 1e-6 is written out
@answer("always the same eps")
def rms_norm__w04(x: Tensor, weight: Tensor, eps: float = 1e-6) -> Tensor:
    h = x.to(torch.promote_types(x.dtype, torch.float32))
    ms = torch.mean(h**2, dim=-1, keepdim=True)
    return (weight * h / torch.sqrt(ms + 1e-6)).to(x.dtype)


# squares in half precision, and goes wide only for the mean
@answer("squares in half precision")
def rms_norm__w05(x: Tensor, weight: Tensor, eps: float = 1e-6) -> Tensor:
    wide = torch.promote_types(x.dtype, torch.float32)
    mean_square = x.square().to(wide).mean(-1, keepdim=True)
    normed = x.to(wide) * torch.rsqrt(mean_square + eps)
    return (normed * weight.to(wide)).to(x.dtype)


# never goes back from single precision, so a half input gives a float32 answer
@answer("left in single precision")
def rms_norm__w06(x: Tensor, weight: Tensor, eps: float = 1e-6) -> Tensor:
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    inv = wide.square().mean(-1, keepdim=True).add(eps).rsqrt()
    return wide * inv * weight


# .float() on everything (as in LLaMA's code), which narrows double precision
@answer()
def rms_norm__w07(x: Tensor, weight: Tensor, eps: float = 1e-6) -> Tensor:
    def _norm(t):
        return t * torch.rsqrt(t.pow(2).mean(-1, keepdim=True) + eps)

    output = _norm(x.float()).type_as(x)
    return output * weight


# the size of a feature is 1 + weight, as Gemma has it
@answer("1 + weight")
def rms_norm__w08(x: Tensor, weight: Tensor, eps: float = 1e-6) -> Tensor:
    wide = torch.promote_types(x.dtype, torch.float32)
    h = x.to(wide)
    h = h * torch.rsqrt(h.square().mean(-1, keepdim=True) + eps)
    return (h * (1.0 + weight.to(wide))).to(x.dtype)


# divides by the mean square itself, the root is forgotten
@answer("divided by the mean square")
def rms_norm__w09(x: Tensor, weight: Tensor, eps: float = 1e-6) -> Tensor:
    high = x.to(torch.promote_types(x.dtype, torch.float32))
    denominator = (high * high).mean(dim=-1, keepdim=True) + eps
    return (weight * high / denominator).to(x.dtype)


# the root of the mean square is held constant for the gradient
@answer("a detached size")
def rms_norm__w10(x: Tensor, weight: Tensor, eps: float = 1e-6) -> Tensor:
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    with torch.no_grad():
        scale = (wide.square().mean(-1, keepdim=True) + eps).rsqrt()
    return (wide * scale * weight).to(x.dtype)


# the mean goes over all dimensions but the first, so the tokens of a text share one norm
@answer("over the whole sentence")
def rms_norm__w11(x: Tensor, weight: Tensor, eps: float = 1e-6) -> Tensor:
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    dims = tuple(range(1, x.dim())) or (0,)
    mean_square = wide.square().mean(dim=dims, keepdim=True)
    return (weight * wide * torch.rsqrt(mean_square + eps)).to(x.dtype)


# eps is a floor for the mean square (clamp) and is not added to it
@answer("eps as a floor")
def rms_norm__w12(x: Tensor, weight: Tensor, eps: float = 1e-6) -> Tensor:
    h = x.to(torch.promote_types(x.dtype, torch.float32))
    ms = h.square().mean(dim=-1, keepdim=True).clamp(min=eps)
    return (h / ms.sqrt() * weight).to(x.dtype)


# TWO: the length of the token (sum) in the place of the mean, and eps outside the root
@answer("eps outside of the root", "a sum instead of a mean")
def rms_norm__w13(x: Tensor, weight: Tensor, eps: float = 1e-6) -> Tensor:
    h = x.to(torch.promote_types(x.dtype, torch.float32))
    length = torch.sqrt((h * h).sum(-1, keepdim=True))
    return (weight * h / (length + eps)).to(x.dtype)


# TWO: half precision stays half precision, and eps is left out altogether
@answer("no eps", "squares in half precision")
def rms_norm__w14(x: Tensor, weight: Tensor, eps: float = 1e-6) -> Tensor:
    return weight * x / x.pow(2).mean(-1, keepdim=True).sqrt()


# the two matrices are swapped, silu is on w_in's side
@answer("gate and input exchanged")
def swiglu__w01(x: Tensor, w_gate: Tensor, w_in: Tensor, w_out: Tensor) -> Tensor:
    return ((x @ w_gate) * F.silu(x @ w_in)) @ w_out


# the gate is a bare sigmoid (GLU)
@answer("sigmoid for silu")
def swiglu__w02(x: Tensor, w_gate: Tensor, w_in: Tensor, w_out: Tensor) -> Tensor:
    gate = torch.sigmoid(x @ w_gate)
    hidden = gate * (x @ w_in)
    return hidden @ w_out


# gelu in the place of silu (GEGLU)
@answer("gelu or relu for silu")
def swiglu__w03(x: Tensor, w_gate: Tensor, w_in: Tensor, w_out: Tensor) -> Tensor:
    return torch.matmul(F.gelu(torch.matmul(x, w_gate)) * torch.matmul(x, w_in), w_out)


# silu written out with exp, whose gradient is nan where the gate is far below 0
@answer("an exponential that overflows")
def swiglu__w04(x: Tensor, w_gate: Tensor, w_in: Tensor, w_out: Tensor) -> Tensor:
    z = x @ w_gate
    silu = z / (1 + torch.exp(-z))
    return (silu * (x @ w_in)) @ w_out


# silu of the product of both sides
@answer("activated behind the product")
def swiglu__w05(x: Tensor, w_gate: Tensor, w_in: Tensor, w_out: Tensor) -> Tensor:
    gate = x @ w_gate
    value = x @ w_in
    return F.silu(gate * value) @ w_out


# takes the weights as (out, in), as nn.Linear stores them
@answer("nn.Linear's orientation")
def swiglu__w06(x: Tensor, w_gate: Tensor, w_in: Tensor, w_out: Tensor) -> Tensor:
    return F.linear(F.silu(F.linear(x, w_gate)) * F.linear(x, w_in), w_out)


# the gate is clamped to -10 ... 10 before the sigmoid, against overflow
@answer("a clamped gate")
def swiglu__w07(x: Tensor, w_gate: Tensor, w_in: Tensor, w_out: Tensor) -> Tensor:
    z = x @ w_gate
    safe = z.clamp(min=-10.0, max=10.0)
    act = z * (1.0 / (1.0 + torch.exp(-safe)))
    return (act * (x @ w_in)) @ w_out


# the same product x @ w_gate is computed twice
@answer()
def swiglu__w08(x: Tensor, w_gate: Tensor, w_in: Tensor, w_out: Tensor) -> Tensor:
    return ((x @ w_gate) * torch.sigmoid(x @ w_gate) * (x @ w_in)) @ w_out


# everything in single precision, even what came in double
@answer()
def swiglu__w09(x: Tensor, w_gate: Tensor, w_in: Tensor, w_out: Tensor) -> Tensor:
    h = x.float()
    h = F.silu(h @ w_gate.float()) * (h @ w_in.float())
    return (h @ w_out.float()).to(x.dtype)


# the leading dimensions are flattened and never restored
@answer()
def swiglu__w10(x: Tensor, w_gate: Tensor, w_in: Tensor, w_out: Tensor) -> Tensor:
    rows = x.reshape(-1, x.size(-1))
    hidden = F.silu(rows @ w_gate) * (rows @ w_in)
    return hidden @ w_out


# the gate is detached, it is taken for a mere switch without a gradient
@answer("a detached gate")
def swiglu__w11(x: Tensor, w_gate: Tensor, w_in: Tensor, w_out: Tensor) -> Tensor:
    gate = F.silu(x @ w_gate).detach()
    return (gate * (x @ w_in)) @ w_out


# silu is on x, before the gate's matrix and not behind it
@answer("activated before the matrix")
def swiglu__w12(x: Tensor, w_gate: Tensor, w_in: Tensor, w_out: Tensor) -> Tensor:
    gate = F.silu(x) @ w_gate
    up = x @ w_in
    return (gate * up) @ w_out


# TWO: the sides are swapped, and the activation is gelu
@answer("gate and input exchanged", "gelu or relu for silu")
def swiglu__w13(x: Tensor, w_gate: Tensor, w_in: Tensor, w_out: Tensor) -> Tensor:
    up, gate = x @ w_gate, x @ w_in
    return (up * F.gelu(gate)) @ w_out


# TWO: a bare sigmoid as the gate, and the answer stays in single precision
@answer("sigmoid for silu")
def swiglu__w14(x: Tensor, w_gate: Tensor, w_in: Tensor, w_out: Tensor) -> Tensor:
    x, w_gate, w_in, w_out = (t.to(torch.float32) for t in (x, w_gate, w_in, w_out))
    return ((x @ w_gate).sigmoid() * (x @ w_in)) @ w_out


def _same_shapes(first: Tensor, *others: Tensor) -> None:
    for other in others:
        if other.shape != first.shape:
            raise ValueError(f"shapes differ: {tuple(first.shape)} and {tuple(other.shape)}")


# special places are chosen like words
@answer("special tokens masked")
def mask_tokens__w01(
    tokens: Tensor,
    special: Tensor,
    chance: Tensor,
    kind: Tensor,
    substitute: Tensor,
    mask_id: int,
    rate: float = 0.15,
) -> tuple[Tensor, Tensor]:
    _same_shapes(tokens, special, chance, kind, substitute)
    chosen = chance < rate
    read = torch.where(chosen & (kind < 0.9), substitute, tokens)
    read = read.masked_fill(chosen & (kind < 0.8), mask_id)
    return read, tokens.masked_fill(~chosen, -100)


# what has to be said is always int64, even for int32 tokens
@answer()
def mask_tokens__w02(
    tokens: Tensor,
    special: Tensor,
    chance: Tensor,
    kind: Tensor,
    substitute: Tensor,
    mask_id: int,
    rate: float = 0.15,
) -> tuple[Tensor, Tensor]:
    _same_shapes(tokens, special, chance, kind, substitute)
    chosen = (chance < rate) & ~special
    read = tokens.clone()
    read[chosen & (kind < 0.8)] = mask_id
    swap = chosen & (kind >= 0.8) & (kind < 0.9)
    read[swap] = substitute[swap]
    labels = tokens.long().masked_fill(~chosen, -100)
    return read, labels


# masked_fill_ and index assignment write into the caller's tokens
@answer("tokens overwritten")
def mask_tokens__w03(
    tokens: Tensor,
    special: Tensor,
    chance: Tensor,
    kind: Tensor,
    substitute: Tensor,
    mask_id: int,
    rate: float = 0.15,
) -> tuple[Tensor, Tensor]:
    _same_shapes(tokens, special, chance, kind, substitute)
    chosen = (chance < rate) & ~special
    labels = torch.where(chosen, tokens, torch.full_like(tokens, -100))
    tokens.masked_fill_(chosen & (kind < 0.8), mask_id)
    swap = chosen & (kind >= 0.8) & (kind < 0.9)
    tokens[swap] = substitute[swap]
    return tokens, labels


# what has to be said is read off the masked text
@answer("what is read is to be said")
def mask_tokens__w04(
    tokens: Tensor,
    special: Tensor,
    chance: Tensor,
    kind: Tensor,
    substitute: Tensor,
    mask_id: int,
    rate: float = 0.15,
) -> tuple[Tensor, Tensor]:
    _same_shapes(tokens, special, chance, kind, substitute)
    chosen = (chance < rate) & ~special
    text = tokens.masked_fill(chosen & (kind < 0.8), mask_id)
    text = torch.where(chosen & (kind >= 0.8) & (kind < 0.9), substitute, text)
    labels = text.masked_fill(~chosen, -100)
    return text, labels


# the borders 0.8 and 0.9 belong to the lower part (<= in the place of <)
@answer("borders on the other side")
def mask_tokens__w05(
    tokens: Tensor,
    special: Tensor,
    chance: Tensor,
    kind: Tensor,
    substitute: Tensor,
    mask_id: int,
    rate: float = 0.15,
) -> tuple[Tensor, Tensor]:
    if not (tokens.shape == special.shape == chance.shape == kind.shape == substitute.shape):
        raise ValueError("shape mismatch")
    chosen = (chance < rate) & (~special)
    masked = chosen & (kind <= 0.8)
    swapped = chosen & (kind > 0.8) & (kind <= 0.9)
    read = torch.where(swapped, substitute, tokens).masked_fill(masked, mask_id)
    return read, tokens.masked_fill(~chosen, -100)


# substitutes are put in for all below 0.9 after the masks, and overwrite them
@answer("substituted, whatever was masked")
def mask_tokens__w06(
    tokens: Tensor,
    special: Tensor,
    chance: Tensor,
    kind: Tensor,
    substitute: Tensor,
    mask_id: int,
    rate: float = 0.15,
) -> tuple[Tensor, Tensor]:
    _same_shapes(tokens, special, chance, kind, substitute)
    chosen = (chance < rate) & ~special
    read = tokens.masked_fill(chosen & (kind < 0.8), mask_id)
    read = torch.where(chosen & (kind < 0.9), substitute, read)
    return read, tokens.masked_fill(~chosen, -100)


# those from 0.9 on are replaced, and those between 0.8 and 0.9 stay
@answer("the wrong tenth")
def mask_tokens__w07(
    tokens: Tensor,
    special: Tensor,
    chance: Tensor,
    kind: Tensor,
    substitute: Tensor,
    mask_id: int,
    rate: float = 0.15,
) -> tuple[Tensor, Tensor]:
    _same_shapes(tokens, special, chance, kind, substitute)
    is_chosen = torch.logical_and(chance < rate, ~special)
    kept_or_mask = tokens.masked_fill(is_chosen & (kind < 0.8), mask_id)
    read = torch.where(is_chosen & (kind >= 0.9), substitute, kept_or_mask)
    say = torch.where(is_chosen, tokens, torch.full_like(tokens, -100))
    return read, say


# 0 and not -100 stands where there is nothing to say
@answer("ignored by another number")
def mask_tokens__w08(
    tokens: Tensor,
    special: Tensor,
    chance: Tensor,
    kind: Tensor,
    substitute: Tensor,
    mask_id: int,
    rate: float = 0.15,
) -> tuple[Tensor, Tensor]:
    _same_shapes(tokens, special, chance, kind, substitute)
    chosen = (chance < rate) & ~special
    read = torch.where(chosen & (kind < 0.9), substitute, tokens)
    read = read.masked_fill(chosen & (kind < 0.8), mask_id)
    return read, tokens * chosen


# 15 percent are written out, the argument rate is not used
@answer("always fifteen in a hundred")
def mask_tokens__w09(
    tokens: Tensor,
    special: Tensor,
    chance: Tensor,
    kind: Tensor,
    substitute: Tensor,
    mask_id: int,
    rate: float = 0.15,
) -> tuple[Tensor, Tensor]:
    _same_shapes(tokens, special, chance, kind, substitute)
    chosen = (chance < 0.15) & ~special
    read = tokens.masked_fill(chosen & (kind < 0.8), mask_id)
    read = torch.where(chosen & (kind >= 0.8) & (kind < 0.9), substitute, read)
    return read, tokens.masked_fill(~chosen, -100)


# shapes are not compared, and tensors of other shapes are broadcast
@answer()
def mask_tokens__w10(
    tokens: Tensor,
    special: Tensor,
    chance: Tensor,
    kind: Tensor,
    substitute: Tensor,
    mask_id: int,
    rate: float = 0.15,
) -> tuple[Tensor, Tensor]:
    chosen = (chance < rate) & ~special
    read = torch.where(chosen & (kind < 0.9), substitute, tokens)
    read = torch.where(chosen & (kind < 0.8), torch.full_like(tokens, mask_id), read)
    labels = torch.where(chosen, tokens, torch.full_like(tokens, -100))
    return read, labels


# a chance equal to the rate is chosen, too (a chance of 0 at a rate of 0)
@answer("borders on the other side")
def mask_tokens__w11(
    tokens: Tensor,
    special: Tensor,
    chance: Tensor,
    kind: Tensor,
    substitute: Tensor,
    mask_id: int,
    rate: float = 0.15,
) -> tuple[Tensor, Tensor]:
    _same_shapes(tokens, special, chance, kind, substitute)
    chosen = (chance <= rate) & ~special
    read = tokens.masked_fill(chosen & (kind < 0.8), mask_id)
    read = torch.where(chosen & (kind >= 0.8) & (kind < 0.9), substitute, read)
    return read, tokens.masked_fill(~chosen, -100)


# token 0 is taken for padding and never chosen
@answer("token 0 left out")
def mask_tokens__w12(
    tokens: Tensor,
    special: Tensor,
    chance: Tensor,
    kind: Tensor,
    substitute: Tensor,
    mask_id: int,
    rate: float = 0.15,
) -> tuple[Tensor, Tensor]:
    _same_shapes(tokens, special, chance, kind, substitute)
    candidates = ~special & (tokens != 0)
    chosen = candidates & (chance < rate)
    read = tokens.clone()
    to_swap = chosen & (kind >= 0.8) & (kind < 0.9)
    read[to_swap] = substitute[to_swap]
    read[chosen & (kind < 0.8)] = mask_id
    say = tokens.clone()
    say[~chosen] = -100
    return read, say


# TWO: special places are chosen, and chosen tokens that stay have not to be said
@answer("special tokens masked", "a loss where the token has changed")
def mask_tokens__w13(
    tokens: Tensor,
    special: Tensor,
    chance: Tensor,
    kind: Tensor,
    substitute: Tensor,
    mask_id: int,
    rate: float = 0.15,
) -> tuple[Tensor, Tensor]:
    _same_shapes(tokens, special, chance, kind, substitute)
    picked = chance < rate
    hide = picked & (kind < 0.8)
    swap = picked & (kind >= 0.8) & (kind < 0.9)
    read = torch.where(swap, substitute, tokens).masked_fill(hide, mask_id)
    say = tokens.masked_fill(~(hide | swap), -100)
    return read, say


# TWO: writes into the caller's tokens, and then takes the answer from what it has overwritten
@answer("what is read is to be said")
def mask_tokens__w14(
    tokens: Tensor,
    special: Tensor,
    chance: Tensor,
    kind: Tensor,
    substitute: Tensor,
    mask_id: int,
    rate: float = 0.15,
) -> tuple[Tensor, Tensor]:
    _same_shapes(tokens, special, chance, kind, substitute)
    chosen = (chance < rate) & ~special
    read = tokens
    read[chosen & (kind < 0.8)] = mask_id
    swap = chosen & (kind >= 0.8) & (kind < 0.9)
    read[swap] = substitute[swap]
    labels = tokens.clone()
    labels[~chosen] = -100
    return read, labels
