"""Chapter 8's wrong answers of a second trial, by one who had not seen the traps: norm, gate and
mask."""

import torch
from fresh import answer
from torch.nn import functional as F


def _wide(x):
    return x.to(torch.promote_types(x.dtype, torch.float32))


# divides by the deviation, whose mean is taken off, while the numerator's is not
@answer("the deviation for the size")
def rms_norm__t01(x, weight, eps=1e-6):
    w = _wide(x)
    return (weight * w / torch.sqrt(w.var(-1, keepdim=True, unbiased=False) + eps)).to(x.dtype)


# eps is forgotten
@answer("no eps")
def rms_norm__t02(x, weight, eps=1e-6):
    w = _wide(x)
    return (weight * w / w.square().mean(-1, keepdim=True).sqrt()).to(x.dtype)


# eps is forgotten, and a token of zeros divided by 1 instead
@answer("no eps")
def rms_norm__t03(x, weight, eps=1e-6):
    w = _wide(x)
    size = w.square().mean(-1, keepdim=True)
    size = torch.where(size == 0, torch.ones_like(size), size).sqrt()
    return (weight * w / size).to(x.dtype)


# the sum of the squares in place of their mean
@answer("a sum instead of a mean")
def rms_norm__t04(x, weight, eps=1e-6):
    w = _wide(x)
    return (weight * w * (w.square().sum(-1, keepdim=True) + eps).rsqrt()).to(x.dtype)


# F.normalize divides by the length, and eps is its floor
@answer("eps as a floor", "a sum instead of a mean")
def rms_norm__t05(x, weight, eps=1e-6):
    return (F.normalize(_wide(x), dim=-1, eps=eps) * weight).to(x.dtype)


# one mean over the whole tensor
@answer("over the whole sentence")
def rms_norm__t06(x, weight, eps=1e-6):
    w = _wide(x)
    return (weight * w * (w.square().mean() + eps).rsqrt()).to(x.dtype)


# the mean goes over the tokens
@answer("over time")
def rms_norm__t07(x, weight, eps=1e-6):
    w = _wide(x)
    dim = -2 if x.dim() > 1 else -1
    return (weight * w * (w.square().mean(dim, keepdim=True) + eps).rsqrt()).to(x.dtype)


# the mean goes over the first dimension
@answer("over the batch")
def rms_norm__t08(x, weight, eps=1e-6):
    w = _wide(x)
    return (weight * w * (w.square().mean(0, keepdim=True) + eps).rsqrt()).to(x.dtype)


# keepdim is forgotten
@answer("keepdim forgotten")
def rms_norm__t09(x, weight, eps=1e-6):
    w = _wide(x)
    return (weight * w / (w.square().mean(-1) + eps).sqrt()).to(x.dtype)


# nothing is widened
@answer("squares in half precision")
def rms_norm__t10(x, weight, eps=1e-6):
    return weight * x * (x.square().mean(-1, keepdim=True) + eps).rsqrt()


# the weight is forgotten
@answer("weight forgotten")
def rms_norm__t11(x, weight, eps=1e-6):
    w = _wide(x)
    return (w * (w.square().mean(-1, keepdim=True) + eps).rsqrt()).to(x.dtype)


# the weight comes before the norm
@answer("weight before the norm")
def rms_norm__t12(x, weight, eps=1e-6):
    w = _wide(x) * _wide(weight)
    return (w * (w.square().mean(-1, keepdim=True) + eps).rsqrt()).to(x.dtype)


# divided by the weight
@answer()
def rms_norm__t13(x, weight, eps=1e-6):
    w = _wide(x)
    return (w * (w.square().mean(-1, keepdim=True) + eps).rsqrt() / weight).to(x.dtype)


# x is normalised in place
@answer("x overwritten")
def rms_norm__t14(x, weight, eps=1e-6):
    scale = (_wide(x).square().mean(-1, keepdim=True) + eps).rsqrt().to(x.dtype)
    with torch.no_grad():
        x.mul_(scale)
    return x * weight


# the mean of the absolute values
@answer("mean distance")
def rms_norm__t15(x, weight, eps=1e-6):
    w = _wide(x)
    return (weight * w / (w.abs().mean(-1, keepdim=True) + eps)).to(x.dtype)


# the square of the mean in place of the mean of the squares
@answer("the square of the mean")
def rms_norm__t16(x, weight, eps=1e-6):
    w = _wide(x)
    return (weight * w / torch.sqrt(w.mean(-1, keepdim=True).square() + eps)).to(x.dtype)


# eps is squared
@answer("eps squared")
def rms_norm__t17(x, weight, eps=1e-6):
    w = _wide(x)
    return (weight * w / (w.square().mean(-1, keepdim=True) + eps**2).sqrt()).to(x.dtype)


# divides the sum of squares by C - 1
@answer("divided by C - 1")
def rms_norm__t18(x, weight, eps=1e-6):
    w = _wide(x)
    size = w.square().sum(-1, keepdim=True) / max(x.shape[-1] - 1, 1)
    return (weight * w / (size + eps).sqrt()).to(x.dtype)


# rsqrt and a division: multiplied by the root
@answer("multiplied by the root")
def rms_norm__t19(x, weight, eps=1e-6):
    w = _wide(x)
    return (weight * w / (w.square().mean(-1, keepdim=True) + eps).rsqrt()).to(x.dtype)


# eps is added to x before it is squared
@answer()
def rms_norm__t20(x, weight, eps=1e-6):
    w = _wide(x)
    return (weight * w / (w + eps).square().mean(-1, keepdim=True).sqrt()).to(x.dtype)


# eps is added to the sum of squares, before it is divided by C
@answer()
def rms_norm__t21(x, weight, eps=1e-6):
    w = _wide(x)
    size = (w.square().sum(-1, keepdim=True) + eps) / x.shape[-1]
    return (weight * w / size.sqrt()).to(x.dtype)


# divided by the largest
@answer("the largest for the size")
def rms_norm__t22(x, weight, eps=1e-6):
    w = _wide(x)
    return (weight * w / (w.abs().amax(-1, keepdim=True) + eps)).to(x.dtype)


# the weight's sign is lost
@answer()
def rms_norm__t23(x, weight, eps=1e-6):
    w = _wide(x)
    return (weight.abs() * w * (w.square().mean(-1, keepdim=True) + eps).rsqrt()).to(x.dtype)


# TWO: the mean is taken off, and eps stands outside of the root
@answer("the mean taken off", "eps outside of the root")
def rms_norm__t24(x, weight, eps=1e-6):
    w = _wide(x)
    w = w - w.mean(-1, keepdim=True)
    return (weight * w / (w.square().mean(-1, keepdim=True).sqrt() + eps)).to(x.dtype)


# TWO: the sum in place of the mean, and always 1e-6
@answer("always the same eps", "a sum instead of a mean")
def rms_norm__t25(x, weight, eps=1e-6):
    w = _wide(x)
    return (weight * w * (w.square().sum(-1, keepdim=True) + 1e-6).rsqrt()).to(x.dtype)


# TWO: over the tokens, and the weight is forgotten
@answer("over time", "weight forgotten")
def rms_norm__t26(x, weight, eps=1e-6):
    w = _wide(x)
    dim = -2 if x.dim() > 1 else -1
    return (w * (w.square().mean(dim, keepdim=True) + eps).rsqrt()).to(x.dtype)


# TWO: 1 + weight, and nothing is widened
@answer("1 + weight", "squares in half precision")
def rms_norm__t27(x, weight, eps=1e-6):
    return (1 + weight) * x * (x.square().mean(-1, keepdim=True) + eps).rsqrt()


# TWO: eps stands outside of the root, and nothing is widened
@answer("eps outside of the root", "squares in half precision")
def rms_norm__t28(x, weight, eps=1e-6):
    return weight * x / (x.square().mean(-1, keepdim=True).sqrt() + eps)


# both matrices at once, and silu on the second half
@answer("gate and input exchanged")
def swiglu__t01(x, w_gate, w_in, w_out):
    gate, hidden = (x @ torch.cat((w_gate, w_in), 1)).chunk(2, -1)
    return (gate * F.silu(hidden)) @ w_out


# gelu by its tanh
@answer("gelu or relu for silu")
def swiglu__t02(x, w_gate, w_in, w_out):
    return (F.gelu(x @ w_gate, approximate="tanh") * (x @ w_in)) @ w_out


# relu (ReGLU)
@answer("gelu or relu for silu")
def swiglu__t03(x, w_gate, w_in, w_out):
    return (F.relu(x @ w_gate) * (x @ w_in)) @ w_out


# the sigmoid of 1.702 z, as in the quick gelu
@answer("gelu or relu for silu")
def swiglu__t04(x, w_gate, w_in, w_out):
    z = x @ w_gate
    return (z * torch.sigmoid(1.702 * z) * (x @ w_in)) @ w_out


# tanh
@answer("gelu or relu for silu")
def swiglu__t05(x, w_gate, w_in, w_out):
    return (torch.tanh(x @ w_gate) * (x @ w_in)) @ w_out


# hardswish, silu's cheap likeness
@answer("gelu or relu for silu")
def swiglu__t06(x, w_gate, w_in, w_out):
    return (F.hardswish(x @ w_gate) * (x @ w_in)) @ w_out


# mish
@answer("gelu or relu for silu")
def swiglu__t07(x, w_gate, w_in, w_out):
    return (F.mish(x @ w_gate) * (x @ w_in)) @ w_out


# silu on both sides
@answer("both activated")
def swiglu__t08(x, w_gate, w_in, w_out):
    return (F.silu(x @ w_gate) * F.silu(x @ w_in)) @ w_out


# silu on the answer
@answer("activated at the end")
def swiglu__t09(x, w_gate, w_in, w_out):
    return F.silu(((x @ w_gate) * (x @ w_in)) @ w_out)


# no silu at all
@answer("no activation")
def swiglu__t10(x, w_gate, w_in, w_out):
    return ((x @ w_gate) * (x @ w_in)) @ w_out


# added and not multiplied
@answer("added instead of multiplied")
def swiglu__t11(x, w_gate, w_in, w_out):
    return (F.silu(x @ w_gate) + x @ w_in) @ w_out


# w_in is forgotten
@answer("no gate")
def swiglu__t12(x, w_gate, w_in, w_out):
    return F.silu(x @ w_gate) @ w_out


# w_gate is forgotten
@answer("no gate")
def swiglu__t13(x, w_gate, w_in, w_out):
    return F.silu(x @ w_in) @ w_out


# e^z / (1 + e^z), which overflows upwards
@answer("an exponential that overflows")
def swiglu__t14(x, w_gate, w_in, w_out):
    z = x @ w_gate
    return (z * torch.exp(z) / (1 + torch.exp(z)) * (x @ w_in)) @ w_out


# z times the sigmoid of -z
@answer("the sigmoid of -z")
def swiglu__t15(x, w_gate, w_in, w_out):
    z = x @ w_gate
    return (z * torch.sigmoid(-z) * (x @ w_in)) @ w_out


# x is added where it fits
@answer("a residual connection")
def swiglu__t16(x, w_gate, w_in, w_out):
    y = (F.silu(x @ w_gate) * (x @ w_in)) @ w_out
    return y + x if y.shape == x.shape else y


# a softmax over the hidden features as the gate
@answer()
def swiglu__t17(x, w_gate, w_in, w_out):
    return ((x @ w_gate).softmax(-1) * (x @ w_in)) @ w_out


# the gate is clamped at 20
@answer("a clamped gate")
def swiglu__t18(x, w_gate, w_in, w_out):
    z = (x @ w_gate).clamp(-20, 20)
    return (F.silu(z) * (x @ w_in)) @ w_out


# the exponent is clamped at 10, against the overflow
@answer("a clamped gate")
def swiglu__t19(x, w_gate, w_in, w_out):
    z = x @ w_gate
    return (z / (1 + torch.exp((-z).clamp(max=10))) * (x @ w_in)) @ w_out


# the sigmoid is detached
@answer("a detached gate")
def swiglu__t20(x, w_gate, w_in, w_out):
    z = x @ w_gate
    return (z * torch.sigmoid(z).detach() * (x @ w_in)) @ w_out


# the answer is written into x where it fits
@answer()
def swiglu__t21(x, w_gate, w_in, w_out):
    y = (F.silu(x @ w_gate) * (x @ w_in)) @ w_out
    with torch.no_grad():
        if y.shape == x.shape:
            x.copy_(y)
    return y


# one gate for all tokens: the mean of theirs
@answer()
def swiglu__t22(x, w_gate, w_in, w_out):
    gate = F.silu(x @ w_gate)
    gate = gate.mean(-2, keepdim=True) if gate.dim() > 1 else gate
    return (gate * (x @ w_in)) @ w_out


# TWO: exchanged, and the sigmoid alone
@answer("gate and input exchanged", "sigmoid for silu")
def swiglu__t23(x, w_gate, w_in, w_out):
    return (torch.sigmoid(x @ w_in) * (x @ w_gate)) @ w_out


# TWO: the sigmoid alone, and added
@answer("sigmoid for silu", "added instead of multiplied")
def swiglu__t24(x, w_gate, w_in, w_out):
    return (torch.sigmoid(x @ w_gate) + x @ w_in) @ w_out


# TWO: exchanged, and an exponential that overflows
@answer("gate and input exchanged")
def swiglu__t25(x, w_gate, w_in, w_out):
    z = x @ w_in
    return (z / (1 + torch.exp(-z)) * (x @ w_gate)) @ w_out


def _same(*tensors):
    if any(t.shape != tensors[0].shape for t in tensors):
        raise ValueError("shapes differ")


def _masked(tokens, special, chance, kind, substitute, mask_id, rate):
    """What is read, what is to be said, and what is chosen: all right."""
    _same(tokens, special, chance, kind, substitute)
    chosen = (chance < rate) & ~special
    read = tokens.masked_fill(chosen & (kind < 0.8), mask_id)
    read = torch.where(chosen & (kind >= 0.8) & (kind < 0.9), substitute, read)
    return read, tokens.masked_fill(~chosen, -100), chosen


# only special tokens are chosen
@answer("only special tokens")
def mask_tokens__t01(tokens, special, chance, kind, substitute, mask_id, rate=0.15):
    _same(tokens, special, chance, kind, substitute)
    chosen = special & (chance < rate)
    read = torch.where(chosen & (kind < 0.9), substitute, tokens)
    return read.masked_fill(chosen & (kind < 0.8), mask_id), tokens.masked_fill(~chosen, -100)


# those above the rate are chosen
@answer("all but the chosen")
def mask_tokens__t02(tokens, special, chance, kind, substitute, mask_id, rate=0.15):
    return _masked(tokens, special, 1 - chance, kind, substitute, mask_id, 1 - rate)[:2]


# a kind of 0.8 is masked
@answer("borders on the other side")
def mask_tokens__t03(tokens, special, chance, kind, substitute, mask_id, rate=0.15):
    _same(tokens, special, chance, kind, substitute)
    chosen = (chance < rate) & ~special
    read = tokens.masked_fill(chosen & (kind <= 0.8), mask_id)
    read = torch.where(chosen & (kind > 0.8) & (kind < 0.9), substitute, read)
    return read, tokens.masked_fill(~chosen, -100)


# a kind of 0.9 is substituted
@answer("borders on the other side")
def mask_tokens__t04(tokens, special, chance, kind, substitute, mask_id, rate=0.15):
    _same(tokens, special, chance, kind, substitute)
    chosen = (chance < rate) & ~special
    read = torch.where(chosen & (kind <= 0.9), substitute, tokens)
    return read.masked_fill(chosen & (kind < 0.8), mask_id), tokens.masked_fill(~chosen, -100)


# all that are chosen become the mask
@answer("always the mask")
def mask_tokens__t05(tokens, special, chance, kind, substitute, mask_id, rate=0.15):
    _same(tokens, special, chance, kind, substitute)
    chosen = (chance < rate) & ~special
    return tokens.masked_fill(chosen, mask_id), tokens.masked_fill(~chosen, -100)


# from 0.8 on all are substituted
@answer("none stays")
def mask_tokens__t06(tokens, special, chance, kind, substitute, mask_id, rate=0.15):
    _same(tokens, special, chance, kind, substitute)
    chosen = (chance < rate) & ~special
    read = torch.where(chosen, substitute, tokens).masked_fill(chosen & (kind < 0.8), mask_id)
    return read, tokens.masked_fill(~chosen, -100)


# below 0.1 substituted, and then below 0.8 the mask
@answer("the wrong tenth")
def mask_tokens__t07(tokens, special, chance, kind, substitute, mask_id, rate=0.15):
    _same(tokens, special, chance, kind, substitute)
    chosen = (chance < rate) & ~special
    read = tokens.masked_fill(chosen & (kind < 0.8), mask_id)
    read = torch.where(chosen & (kind < 0.1), substitute, read)
    return read, tokens.masked_fill(~chosen, -100)


# only what was masked is to be said
@answer("a loss where the token has changed")
def mask_tokens__t08(tokens, special, chance, kind, substitute, mask_id, rate=0.15):
    read, said, _ = _masked(tokens, special, chance, kind, substitute, mask_id, rate)
    return read, said.masked_fill(kind >= 0.8, -100)


# only what differs from the text is to be said
@answer("a loss where the token has changed")
def mask_tokens__t09(tokens, special, chance, kind, substitute, mask_id, rate=0.15):
    read, _, _ = _masked(tokens, special, chance, kind, substitute, mask_id, rate)
    return read, tokens.masked_fill(read == tokens, -100)


# -1 for -100
@answer("ignored by another number")
def mask_tokens__t10(tokens, special, chance, kind, substitute, mask_id, rate=0.15):
    read, _, chosen = _masked(tokens, special, chance, kind, substitute, mask_id, rate)
    return read, tokens.masked_fill(~chosen, -1)


# every token is to be said
@answer("a loss at every token")
def mask_tokens__t11(tokens, special, chance, kind, substitute, mask_id, rate=0.15):
    read, _, _ = _masked(tokens, special, chance, kind, substitute, mask_id, rate)
    return read, tokens.clone()


# all but the special ones are to be said
@answer("a loss at every token")
def mask_tokens__t12(tokens, special, chance, kind, substitute, mask_id, rate=0.15):
    read, _, _ = _masked(tokens, special, chance, kind, substitute, mask_id, rate)
    return read, tokens.masked_fill(special, -100)


# -100 where a token was chosen
@answer("a loss where nothing was chosen")
def mask_tokens__t13(tokens, special, chance, kind, substitute, mask_id, rate=0.15):
    read, _, chosen = _masked(tokens, special, chance, kind, substitute, mask_id, rate)
    return read, tokens.masked_fill(chosen, -100)


# said wherever the mask is read, and nowhere else
@answer()
def mask_tokens__t14(tokens, special, chance, kind, substitute, mask_id, rate=0.15):
    read, _, _ = _masked(tokens, special, chance, kind, substitute, mask_id, rate)
    return read, tokens.masked_fill(read != mask_id, -100)


# what is read is copied into the caller's tokens
@answer("tokens overwritten")
def mask_tokens__t15(tokens, special, chance, kind, substitute, mask_id, rate=0.15):
    read, said, _ = _masked(tokens, special, chance, kind, substitute, mask_id, rate)
    return tokens.copy_(read), said


# draws kinds of its own
@answer()
def mask_tokens__t16(tokens, special, chance, kind, substitute, mask_id, rate=0.15):
    kinds = torch.rand_like(kind)
    return _masked(tokens, special, chance, kinds, substitute, mask_id, rate)[:2]


# the substitute's shape alone is not compared
@answer("shapes are not compared")
def mask_tokens__t17(tokens, special, chance, kind, substitute, mask_id, rate=0.15):
    _same(tokens, special, chance, kind)
    chosen = (chance < rate) & ~special
    read = torch.where(chosen & (kind < 0.9), substitute, tokens)
    return read.masked_fill(chosen & (kind < 0.8), mask_id), tokens.masked_fill(~chosen, -100)


# an assertion where a ValueError is asked for
@answer()
def mask_tokens__t18(tokens, special, chance, kind, substitute, mask_id, rate=0.15):
    assert tokens.shape == special.shape == chance.shape == kind.shape == substitute.shape
    return _masked(tokens, special, chance, kind, substitute, mask_id, rate)[:2]


# a mask that stands in the text is never chosen
@answer("the mask itself left out")
def mask_tokens__t19(tokens, special, chance, kind, substitute, mask_id, rate=0.15):
    _same(tokens, special, chance, kind, substitute)
    special = special | (tokens == mask_id)
    return _masked(tokens, special, chance, kind, substitute, mask_id, rate)[:2]


# substitutes everywhere, chosen or not
@answer("changed where nothing was chosen")
def mask_tokens__t20(tokens, special, chance, kind, substitute, mask_id, rate=0.15):
    read, said, _ = _masked(tokens, special, chance, kind, substitute, mask_id, rate)
    return torch.where((kind >= 0.8) & (kind < 0.9), substitute, read), said


# masks everywhere, chosen or not
@answer("changed where nothing was chosen")
def mask_tokens__t21(tokens, special, chance, kind, substitute, mask_id, rate=0.15):
    read, said, _ = _masked(tokens, special, chance, kind, substitute, mask_id, rate)
    return read.masked_fill(kind < 0.8, mask_id), said


# one number for both: the chance, as a share of the rate, is the kind
@answer("one number for both")
def mask_tokens__t22(tokens, special, chance, kind, substitute, mask_id, rate=0.15):
    _same(tokens, special, chance, kind, substitute)
    kinds = chance / rate if rate else kind
    return _masked(tokens, special, chance, kinds, substitute, mask_id, rate)[:2]


# first what is to be said
@answer("what is read and what is said exchanged")
def mask_tokens__t23(tokens, special, chance, kind, substitute, mask_id, rate=0.15):
    read, said, _ = _masked(tokens, special, chance, kind, substitute, mask_id, rate)
    return said, read


# a fixed number in each row, of the smallest chances
@answer()
def mask_tokens__t24(tokens, special, chance, kind, substitute, mask_id, rate=0.15):
    _same(tokens, special, chance, kind, substitute)
    number = round(rate * tokens.shape[-1])
    place = chance.masked_fill(special, 2).argsort(-1).argsort(-1)
    return _masked(tokens, special, place, kind, substitute, mask_id, number)[:2]


# the substitute is to be said where there is one
@answer("what is read is to be said")
def mask_tokens__t25(tokens, special, chance, kind, substitute, mask_id, rate=0.15):
    read, said, chosen = _masked(tokens, special, chance, kind, substitute, mask_id, rate)
    return read, torch.where(chosen & (kind >= 0.8) & (kind < 0.9), substitute, said)


# 103, BERT's mask, whatever mask_id is
@answer()
def mask_tokens__t26(tokens, special, chance, kind, substitute, mask_id, rate=0.15):
    return _masked(tokens, special, chance, kind, substitute, 103, rate)[:2]


# special tokens are to be said, though they are not hidden
@answer()
def mask_tokens__t27(tokens, special, chance, kind, substitute, mask_id, rate=0.15):
    read, _, _ = _masked(tokens, special, chance, kind, substitute, mask_id, rate)
    return read, tokens.masked_fill(chance >= rate, -100)


# numbers are compared in half precision
@answer()
def mask_tokens__t28(tokens, special, chance, kind, substitute, mask_id, rate=0.15):
    return _masked(tokens, special, chance.half(), kind.half(), substitute, mask_id, rate)[:2]


# TWO: special tokens are chosen, and 0 for -100
@answer("special tokens masked", "ignored by another number")
def mask_tokens__t29(tokens, special, chance, kind, substitute, mask_id, rate=0.15):
    none = torch.zeros_like(special)
    read, _, chosen = _masked(tokens, none, chance, kind, substitute, mask_id, rate)
    return read, tokens * chosen


# TWO: always the mask, and what is read is to be said
@answer()
def mask_tokens__t30(tokens, special, chance, kind, substitute, mask_id, rate=0.15):
    _same(tokens, special, chance, kind, substitute)
    chosen = (chance < rate) & ~special
    read = tokens.masked_fill(chosen, mask_id)
    return read, read.masked_fill(~chosen, -100)


# TWO: always 0.15, and what stays is not to be said
@answer("a loss where the token has changed", "always fifteen in a hundred")
def mask_tokens__t31(tokens, special, chance, kind, substitute, mask_id, rate=0.15):
    read, said, _ = _masked(tokens, special, chance, kind, substitute, mask_id, 0.15)
    return read, said.masked_fill(kind >= 0.9, -100)


# TWO: special tokens are chosen, and the caller's are overwritten
@answer("special tokens masked", "tokens overwritten")
def mask_tokens__t32(tokens, special, chance, kind, substitute, mask_id, rate=0.15):
    _same(tokens, special, chance, kind, substitute)
    chosen = chance < rate
    said = tokens.masked_fill(~chosen, -100)
    other = chosen & (kind >= 0.8) & (kind < 0.9)
    tokens[chosen & (kind < 0.8)] = mask_id
    tokens[other] = substitute[other]
    return tokens, said
