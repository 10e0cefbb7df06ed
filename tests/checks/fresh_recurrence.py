"""Chapter 1's wrong answers, written by one who had not seen the traps."""

import torch
from fresh import answer
from torch.nn import functional as F


# z and 1-z swapped
@answer("z on the wrong side")
def gru_step__w01(x, h, w_ih, w_hh, b_ih, b_hh):
    xr, xz, xn = F.linear(x, w_ih, b_ih).chunk(3, -1)
    hr, hz, hn = F.linear(h, w_hh, b_hh).chunk(3, -1)
    r, z = (xr + hr).sigmoid(), (xz + hz).sigmoid()
    return z * torch.tanh(xn + r * hn) + (1 - z) * h


# r on h before the product (Cho's GRU)
@answer("the reset before the product")
def gru_step__w02(x, h, w_ih, w_hh, b_ih, b_hh):
    c = h.shape[-1]
    xr, xz, xn = F.linear(x, w_ih, b_ih).chunk(3, -1)
    hr, hz = F.linear(h, w_hh[: 2 * c], b_hh[: 2 * c]).chunk(2, -1)
    r, z = (xr + hr).sigmoid(), (xz + hz).sigmoid()
    n = torch.tanh(xn + F.linear(r * h, w_hh[2 * c :], b_hh[2 * c :]))
    return (1 - z) * n + z * h


# bias b_hn outside the reset
@answer("the bias outside the reset")
def gru_step__w03(x, h, w_ih, w_hh, b_ih, b_hh):
    h.shape[-1]
    xr, xz, xn = F.linear(x, w_ih, b_ih).chunk(3, -1)
    hr, hz, hn = (h @ w_hh.mT).chunk(3, -1)
    br, bz, bn = b_hh.chunk(3)
    r, z = (xr + hr + br).sigmoid(), (xz + hz + bz).sigmoid()
    return (1 - z) * torch.tanh(xn + r * hn + bn) + z * h


# order z, r, n
@answer("the gates in another order")
def gru_step__w04(x, h, w_ih, w_hh, b_ih, b_hh):
    xz, xr, xn = F.linear(x, w_ih, b_ih).chunk(3, -1)
    hz, hr, hn = F.linear(h, w_hh, b_hh).chunk(3, -1)
    r, z = (xr + hr).sigmoid(), (xz + hz).sigmoid()
    return (1 - z) * torch.tanh(xn + r * hn) + z * h


# b_hh forgotten
@answer("a bias missing")
def gru_step__w05(x, h, w_ih, w_hh, b_ih, b_hh):
    xr, xz, xn = F.linear(x, w_ih, b_ih).chunk(3, -1)
    hr, hz, hn = F.linear(h, w_hh).chunk(3, -1)
    r, z = (xr + hr).sigmoid(), (xz + hz).sigmoid()
    return (1 - z) * torch.tanh(xn + r * hn) + z * h


# b_ih forgotten
@answer("a bias missing")
def gru_step__w06(x, h, w_ih, w_hh, b_ih, b_hh):
    xr, xz, xn = F.linear(x, w_ih).chunk(3, -1)
    hr, hz, hn = F.linear(h, w_hh, b_hh).chunk(3, -1)
    r, z = (xr + hr).sigmoid(), (xz + hz).sigmoid()
    return (1 - z) * torch.tanh(xn + r * hn) + z * h


# tanh for the gates
@answer("tanh for the gates")
def gru_step__w07(x, h, w_ih, w_hh, b_ih, b_hh):
    xr, xz, xn = F.linear(x, w_ih, b_ih).chunk(3, -1)
    hr, hz, hn = F.linear(h, w_hh, b_hh).chunk(3, -1)
    r, z = (xr + hr).tanh(), (xz + hz).tanh()
    return (1 - z) * torch.tanh(xn + r * hn) + z * h


# sigmoid for n
@answer("the candidate is no gate")
def gru_step__w08(x, h, w_ih, w_hh, b_ih, b_hh):
    xr, xz, xn = F.linear(x, w_ih, b_ih).chunk(3, -1)
    hr, hz, hn = F.linear(h, w_hh, b_hh).chunk(3, -1)
    r, z = (xr + hr).sigmoid(), (xz + hz).sigmoid()
    return (1 - z) * torch.sigmoid(xn + r * hn) + z * h


# no reset
@answer("no reset")
def gru_step__w09(x, h, w_ih, w_hh, b_ih, b_hh):
    _xr, xz, xn = F.linear(x, w_ih, b_ih).chunk(3, -1)
    _hr, hz, hn = F.linear(h, w_hh, b_hh).chunk(3, -1)
    z = (xz + hz).sigmoid()
    return (1 - z) * torch.tanh(xn + hn) + z * h


# r resets everything (x too)
@answer("the input is reset, too")
def gru_step__w10(x, h, w_ih, w_hh, b_ih, b_hh):
    xr, xz, xn = F.linear(x, w_ih, b_ih).chunk(3, -1)
    hr, hz, hn = F.linear(h, w_hh, b_hh).chunk(3, -1)
    r, z = (xr + hr).sigmoid(), (xz + hz).sigmoid()
    return (1 - z) * torch.tanh(r * (xn + hn)) + z * h


# r on the input's part
@answer("the input is reset instead of the past")
def gru_step__w11(x, h, w_ih, w_hh, b_ih, b_hh):
    xr, xz, xn = F.linear(x, w_ih, b_ih).chunk(3, -1)
    hr, hz, hn = F.linear(h, w_hh, b_hh).chunk(3, -1)
    r, z = (xr + hr).sigmoid(), (xz + hz).sigmoid()
    return (1 - z) * torch.tanh(r * xn + hn) + z * h


# weights not transposed
@answer("weights not transposed")
def gru_step__w12(x, h, w_ih, w_hh, b_ih, b_hh):
    xr, xz, xn = (x @ w_ih + b_ih).chunk(3, -1)
    hr, hz, hn = (h @ w_hh + b_hh).chunk(3, -1)
    r, z = (xr + hr).sigmoid(), (xz + hz).sigmoid()
    return (1 - z) * torch.tanh(xn + r * hn) + z * h


# gates interleaved (unflatten the wrong way)
@answer("gates interleaved")
def gru_step__w13(x, h, w_ih, w_hh, b_ih, b_hh):
    xr, xz, xn = F.linear(x, w_ih, b_ih).unflatten(-1, (-1, 3)).unbind(-1)
    hr, hz, hn = F.linear(h, w_hh, b_hh).unflatten(-1, (-1, 3)).unbind(-1)
    r, z = (xr + hr).sigmoid(), (xz + hz).sigmoid()
    return (1 - z) * torch.tanh(xn + r * hn) + z * h


# in-place on h
@answer("the caller's state overwritten")
def gru_step__w14(x, h, w_ih, w_hh, b_ih, b_hh):
    xr, xz, xn = F.linear(x, w_ih, b_ih).chunk(3, -1)
    hr, hz, hn = F.linear(h, w_hh, b_hh).chunk(3, -1)
    r, z = (xr + hr).sigmoid(), (xz + hz).sigmoid()
    n = torch.tanh(xn + r * hn)
    h *= z
    h += (1 - z) * n
    return h


# hand-written sigmoid whose exp overflows (nan gradient)
@answer("a sigmoid that overflows")
def gru_step__w15(x, h, w_ih, w_hh, b_ih, b_hh):
    xr, xz, xn = F.linear(x, w_ih, b_ih).chunk(3, -1)
    hr, hz, hn = F.linear(h, w_hh, b_hh).chunk(3, -1)
    r, z = (xr + hr).exp() / (1 + (xr + hr).exp()), (xz + hz).exp() / (1 + (xz + hz).exp())
    return (1 - z) * torch.tanh(xn + r * hn) + z * h


# chunk(3) along dim 0/1 (dim=1 hard coded)
@answer("a dimension counted from the front")
def gru_step__w16(x, h, w_ih, w_hh, b_ih, b_hh):
    xr, xz, xn = F.linear(x, w_ih, b_ih).chunk(3, dim=1)
    hr, hz, hn = F.linear(h, w_hh, b_hh).chunk(3, dim=1)
    r, z = (xr + hr).sigmoid(), (xz + hz).sigmoid()
    return (1 - z) * torch.tanh(xn + r * hn) + z * h


# float32 inside
@answer()
def gru_step__w17(x, h, w_ih, w_hh, b_ih, b_hh):
    d = x.dtype
    x, h, w_ih, w_hh, b_ih, b_hh = (t.float() for t in (x, h, w_ih, w_hh, b_ih, b_hh))
    xr, xz, xn = F.linear(x, w_ih, b_ih).chunk(3, -1)
    hr, hz, hn = F.linear(h, w_hh, b_hh).chunk(3, -1)
    r, z = (xr + hr).sigmoid(), (xz + hz).sigmoid()
    return ((1 - z) * torch.tanh(xn + r * hn) + z * h).to(d)


# view on non-contiguous
@answer("view of what is not contiguous")
def gru_step__w18(x, h, w_ih, w_hh, b_ih, b_hh):
    x2, h2 = x.view(-1, x.shape[-1]), h.view(-1, h.shape[-1])
    xr, xz, xn = F.linear(x2, w_ih, b_ih).chunk(3, -1)
    hr, hz, hn = F.linear(h2, w_hh, b_hh).chunk(3, -1)
    r, z = (xr + hr).sigmoid(), (xz + hz).sigmoid()
    return ((1 - z) * torch.tanh(xn + r * hn) + z * h2).view(h.shape)


# old state not kept: h' = (1 - z) n
@answer("old and new do not share")
def gru_step__w19(x, h, w_ih, w_hh, b_ih, b_hh):
    xr, xz, xn = F.linear(x, w_ih, b_ih).chunk(3, -1)
    hr, hz, hn = F.linear(h, w_hh, b_hh).chunk(3, -1)
    r, z = (xr + hr).sigmoid(), (xz + hz).sigmoid()
    return (1 - z) * torch.tanh(xn + r * hn)


# no tanh at n
@answer("the candidate without its tanh")
def gru_step__w20(x, h, w_ih, w_hh, b_ih, b_hh):
    xr, xz, xn = F.linear(x, w_ih, b_ih).chunk(3, -1)
    hr, hz, hn = F.linear(h, w_hh, b_hh).chunk(3, -1)
    r, z = (xr + hr).sigmoid(), (xz + hz).sigmoid()
    return (1 - z) * (xn + r * hn) + z * h


# z swapped; order z, r, n
@answer("z on the wrong side", "the gates in another order")
def gru_step__w21(x, h, w_ih, w_hh, b_ih, b_hh):
    xz, xr, xn = F.linear(x, w_ih, b_ih).chunk(3, -1)
    hz, hr, hn = F.linear(h, w_hh, b_hh).chunk(3, -1)
    r, z = (xr + hr).sigmoid(), (xz + hz).sigmoid()
    return z * torch.tanh(xn + r * hn) + (1 - z) * h


# z swapped; r on h before the product
@answer("z on the wrong side", "the reset before the product")
def gru_step__w22(x, h, w_ih, w_hh, b_ih, b_hh):
    c = h.shape[-1]
    xr, xz, xn = F.linear(x, w_ih, b_ih).chunk(3, -1)
    hr, hz = F.linear(h, w_hh[: 2 * c], b_hh[: 2 * c]).chunk(2, -1)
    r, z = (xr + hr).sigmoid(), (xz + hz).sigmoid()
    n = torch.tanh(xn + F.linear(r * h, w_hh[2 * c :], b_hh[2 * c :]))
    return z * n + (1 - z) * h


# b_hh forgotten; z swapped
@answer("z on the wrong side", "a bias missing")
def gru_step__w23(x, h, w_ih, w_hh, b_ih, b_hh):
    xr, xz, xn = F.linear(x, w_ih, b_ih).chunk(3, -1)
    hr, hz, hn = F.linear(h, w_hh).chunk(3, -1)
    r, z = (xr + hr).sigmoid(), (xz + hz).sigmoid()
    return z * torch.tanh(xn + r * hn) + (1 - z) * h


# no reset; sigmoid for n
@answer("no reset", "the candidate is no gate")
def gru_step__w24(x, h, w_ih, w_hh, b_ih, b_hh):
    _xr, xz, xn = F.linear(x, w_ih, b_ih).chunk(3, -1)
    _hr, hz, hn = F.linear(h, w_hh, b_hh).chunk(3, -1)
    z = (xz + hz).sigmoid()
    return (1 - z) * torch.sigmoid(xn + hn) + z * h


# order z, r, n; bias outside the reset
@answer("the bias outside the reset", "the gates in another order")
def gru_step__w25(x, h, w_ih, w_hh, b_ih, b_hh):
    xz, xr, xn = F.linear(x, w_ih, b_ih).chunk(3, -1)
    hz, hr, hn = (h @ w_hh.mT).chunk(3, -1)
    bz, br, bn = b_hh.chunk(3)
    r, z = (xr + hr + br).sigmoid(), (xz + hz + bz).sigmoid()
    return (1 - z) * torch.tanh(xn + r * hn + bn) + z * h


# both biases forgotten
@answer("a bias missing")
def gru_step__w26(x, h, w_ih, w_hh, b_ih, b_hh):
    xr, xz, xn = F.linear(x, w_ih).chunk(3, -1)
    hr, hz, hn = F.linear(h, w_hh).chunk(3, -1)
    r, z = (xr + hr).sigmoid(), (xz + hz).sigmoid()
    return (1 - z) * torch.tanh(xn + r * hn) + z * h


# in-place on h; z swapped
@answer("z on the wrong side", "the caller's state overwritten")
def gru_step__w27(x, h, w_ih, w_hh, b_ih, b_hh):
    xr, xz, xn = F.linear(x, w_ih, b_ih).chunk(3, -1)
    hr, hz, hn = F.linear(h, w_hh, b_hh).chunk(3, -1)
    r, z = (xr + hr).sigmoid(), (xz + hz).sigmoid()
    n = torch.tanh(xn + r * hn)
    h *= 1 - z
    return h + z * n


# hard sigmoid (none / F.hardsigmoid)
@answer("a hard sigmoid")
def gru_step__w28(x, h, w_ih, w_hh, b_ih, b_hh):
    xr, xz, xn = F.linear(x, w_ih, b_ih).chunk(3, -1)
    hr, hz, hn = F.linear(h, w_hh, b_hh).chunk(3, -1)
    r, z = F.hardsigmoid(xr + hr), F.hardsigmoid(xz + hz)
    return (1 - z) * torch.tanh(xn + r * hn) + z * h


# z computed from x only
@answer()
def gru_step__w29(x, h, w_ih, w_hh, b_ih, b_hh):
    xr, xz, xn = F.linear(x, w_ih, b_ih).chunk(3, -1)
    hr, _hz, hn = F.linear(h, w_hh, b_hh).chunk(3, -1)
    r, z = (xr + hr).sigmoid(), xz.sigmoid()
    return (1 - z) * torch.tanh(xn + r * hn) + z * h


# order r, n, z (n is the last? second block taken as n)
@answer("the gates in another order")
def gru_step__w30(x, h, w_ih, w_hh, b_ih, b_hh):
    xr, xn, xz = F.linear(x, w_ih, b_ih).chunk(3, -1)
    hr, hn, hz = F.linear(h, w_hh, b_hh).chunk(3, -1)
    r, z = (xr + hr).sigmoid(), (xz + hz).sigmoid()
    return (1 - z) * torch.tanh(xn + r * hn) + z * h


# gates tanh; z swapped
@answer("z on the wrong side", "tanh for the gates")
def gru_step__w31(x, h, w_ih, w_hh, b_ih, b_hh):
    xr, xz, xn = F.linear(x, w_ih, b_ih).chunk(3, -1)
    hr, hz, hn = F.linear(h, w_hh, b_hh).chunk(3, -1)
    r, z = (xr + hr).tanh(), (xz + hz).tanh()
    return z * torch.tanh(xn + r * hn) + (1 - z) * h


# biases swapped
@answer()
def gru_step__w32(x, h, w_ih, w_hh, b_ih, b_hh):
    xr, xz, xn = F.linear(x, w_ih, b_hh).chunk(3, -1)
    hr, hz, hn = F.linear(h, w_hh, b_ih).chunk(3, -1)
    r, z = (xr + hr).sigmoid(), (xz + hz).sigmoid()
    return (1 - z) * torch.tanh(xn + r * hn) + z * h


# 1 - r used
@answer("no reset")
def gru_step__w33(x, h, w_ih, w_hh, b_ih, b_hh):
    xr, xz, xn = F.linear(x, w_ih, b_ih).chunk(3, -1)
    hr, hz, hn = F.linear(h, w_hh, b_hh).chunk(3, -1)
    r, z = (xr + hr).sigmoid(), (xz + hz).sigmoid()
    return (1 - z) * torch.tanh(xn + (1 - r) * hn) + z * h


# clamp before sigmoid at 20
@answer("the sums cut off")
def gru_step__w34(x, h, w_ih, w_hh, b_ih, b_hh):
    xr, xz, xn = F.linear(x, w_ih, b_ih).chunk(3, -1)
    hr, hz, hn = F.linear(h, w_hh, b_hh).chunk(3, -1)
    r, z = (xr + hr).clamp(-20, 20).sigmoid(), (xz + hz).clamp(-20, 20).sigmoid()
    return (1 - z) * torch.tanh(xn + r * hn) + z * h


# 1/(1+exp(-x)) sigmoid
@answer("a sigmoid that overflows")
def gru_step__w35(x, h, w_ih, w_hh, b_ih, b_hh):
    def sigma(t):
        return 1 / (1 + torch.exp(-t))

    xr, xz, xn = F.linear(x, w_ih, b_ih).chunk(3, -1)
    hr, hz, hn = F.linear(h, w_hh, b_hh).chunk(3, -1)
    r, z = sigma(xr + hr), sigma(xz + hz)
    return (1 - z) * torch.tanh(xn + r * hn) + z * h


# own stride counted
@answer("the layer's own stride")
def receptive_field__w01(kernel_sizes, dilations, strides):
    return 1 + ((kernel_sizes - 1) * dilations * strides.cumprod(0)).cumsum(0)


# k, not k - 1
@answer("k instead of k - 1")
def receptive_field__w02(kernel_sizes, dilations, strides):
    j = strides.cumprod(0) // strides
    return 1 + (kernel_sizes * dilations * j).cumsum(0)


# the 1 forgotten
@answer("the position itself not counted")
def receptive_field__w03(kernel_sizes, dilations, strides):
    j = strides.cumprod(0) // strides
    return ((kernel_sizes - 1) * dilations * j).cumsum(0)


# dilation forgotten
@answer("the dilation forgotten")
def receptive_field__w04(kernel_sizes, dilations, strides):
    j = strides.cumprod(0) // strides
    return 1 + ((kernel_sizes - 1) * j).cumsum(0)


# strides forgotten
@answer("the strides forgotten")
def receptive_field__w05(kernel_sizes, dilations, strides):
    return 1 + ((kernel_sizes - 1) * dilations).cumsum(0)


# only the own stride, no product
@answer("the layer's own stride")
def receptive_field__w06(kernel_sizes, dilations, strides):
    return 1 + ((kernel_sizes - 1) * dilations * strides).cumsum(0)


# only the previous stride
@answer("strides do not add up, they multiply")
def receptive_field__w07(kernel_sizes, dilations, strides):
    p = torch.ones_like(strides)
    p[1:] = strides[:-1]
    return 1 + ((kernel_sizes - 1) * dilations * p).cumsum(0)


# sum of strides in place of the product
@answer("strides do not add up, they multiply")
def receptive_field__w08(kernel_sizes, dilations, strides):
    j = torch.ones_like(strides)
    j[1:] = strides[:-1].cumsum(0)
    return 1 + ((kernel_sizes - 1) * dilations * j).cumsum(0)


# not summed
@answer("each layer by itself")
def receptive_field__w09(kernel_sizes, dilations, strides):
    j = strides.cumprod(0) // strides
    return 1 + (kernel_sizes - 1) * dilations * j


# only the last layer
@answer("one number, or one too many")
def receptive_field__w10(kernel_sizes, dilations, strides):
    j = strides.cumprod(0) // strides
    return 1 + ((kernel_sizes - 1) * dilations * j).sum(0, keepdim=True)


# float32 rounding
@answer("counted in a short dtype")
def receptive_field__w11(kernel_sizes, dilations, strides):
    j = strides.float().cumprod(0) / strides
    return (1 + ((kernel_sizes - 1) * dilations * j).cumsum(0)).long()


# int32 overflow
@answer("counted in a short dtype")
def receptive_field__w12(kernel_sizes, dilations, strides):
    k, d, s = kernel_sizes.int(), dilations.int(), strides.int()
    j = s.cumprod(0, dtype=torch.int32) // s
    return (1 + ((k - 1) * d * j).cumsum(0, dtype=torch.int32)).long()


# float64, exact only to 2^53
@answer("counted in a short dtype")
def receptive_field__w13(kernel_sizes, dilations, strides):
    j = strides.double().cumprod(0) / strides
    return (1 + ((kernel_sizes - 1) * dilations * j).cumsum(0)).long()


# gaps made on the CPU
@answer()
def receptive_field__w30(kernel_sizes, dilations, strides):
    jump = torch.ones(len(strides), dtype=torch.int64)
    jump[1:] = strides[:-1].cumprod(0)
    return 1 + ((kernel_sizes - 1) * dilations * jump).cumsum(0)


# float answer
@answer("numbers with a point")
def receptive_field__w14(kernel_sizes, dilations, strides):
    j = strides.cumprod(0) / strides
    return 1 + ((kernel_sizes - 1) * dilations * j).cumsum(0)


# dilated kernel k*d - 1 + ...: (k*d - 1)
@answer("a dilated kernel of k · d")
def receptive_field__w15(kernel_sizes, dilations, strides):
    j = strides.cumprod(0) // strides
    return 1 + ((kernel_sizes * dilations - 1) * j).cumsum(0)


# (d multiplied cumulatively)
@answer("dilations multiplied up")
def receptive_field__w16(kernel_sizes, dilations, strides):
    j = strides.cumprod(0) // strides
    return 1 + ((kernel_sizes - 1) * dilations.cumprod(0) * j).cumsum(0)


# layers in the reverse order
@answer("the layers in reverse")
def receptive_field__w17(kernel_sizes, dilations, strides):
    k, d, s = kernel_sizes.flip(0), dilations.flip(0), strides.flip(0)
    j = s.cumprod(0) // s
    return 1 + ((k - 1) * d * j).cumsum(0)


# fails on no layers (stack of nothing)
@answer()
def receptive_field__w18(kernel_sizes, dilations, strides):
    fields, field, jump = [], 1, 1
    for k, d, s in zip(kernel_sizes, dilations, strides, strict=False):
        field = field + (k - 1) * d * jump
        jump = jump * s
        fields.append(field)
    return torch.stack(fields)


# in-place on strides
@answer("the caller's strides overwritten")
def receptive_field__w20(kernel_sizes, dilations, strides):
    strides[1:] = strides[:-1].clone()
    strides[:1] = 1
    return 1 + ((kernel_sizes - 1) * dilations * strides.cumprod(0)).cumsum(0)


# own stride counted; the 1 forgotten
@answer("the position itself not counted", "the layer's own stride")
def receptive_field__w21(kernel_sizes, dilations, strides):
    return ((kernel_sizes - 1) * dilations * strides.cumprod(0)).cumsum(0)


# dilation and strides forgotten
@answer("the dilation forgotten", "the strides forgotten")
def receptive_field__w22(kernel_sizes, dilations, strides):
    return 1 + (kernel_sizes - 1).cumsum(0)


# k not k-1; own stride counted
@answer("k instead of k - 1", "the layer's own stride")
def receptive_field__w23(kernel_sizes, dilations, strides):
    return 1 + (kernel_sizes * dilations * strides.cumprod(0)).cumsum(0)


# k not k-1; dilation forgotten
@answer("the dilation forgotten", "k instead of k - 1")
def receptive_field__w24(kernel_sizes, dilations, strides):
    j = strides.cumprod(0) // strides
    return 1 + (kernel_sizes * j).cumsum(0)


# strides forgotten; the 1 forgotten
@answer("the strides forgotten", "the position itself not counted")
def receptive_field__w25(kernel_sizes, dilations, strides):
    return ((kernel_sizes - 1) * dilations).cumsum(0)


# only previous stride; float answer
@answer("strides do not add up, they multiply", "numbers with a point")
def receptive_field__w26(kernel_sizes, dilations, strides):
    p = torch.ones_like(strides)
    p[1:] = strides[:-1]
    return 1.0 + ((kernel_sizes - 1) * dilations * p).cumsum(0)


# starts with a field 1 in front (layers + 1 entries)
@answer("one number, or one too many")
def receptive_field__w27(kernel_sizes, dilations, strides):
    j = strides.cumprod(0) // strides
    f = 1 + ((kernel_sizes - 1) * dilations * j).cumsum(0)
    return torch.cat((torch.ones_like(f[:1]), f))


# strides divide
@answer("divided by the stride", "the layer's own stride")
def receptive_field__w28(kernel_sizes, dilations, strides):
    j = strides.cumprod(0)
    return 1 + ((kernel_sizes - 1) * dilations // j).cumsum(0)


# off by one: plus k of the last
@answer()
def receptive_field__w29(kernel_sizes, dilations, strides):
    j = strides.cumprod(0) // strides
    return 2 + ((kernel_sizes - 1) * dilations * j).cumsum(0)


# own stride counted; dilation forgotten
@answer("the dilation forgotten", "the layer's own stride")
def receptive_field__w31(kernel_sizes, dilations, strides):
    return 1 + ((kernel_sizes - 1) * strides.cumprod(0)).cumsum(0)
