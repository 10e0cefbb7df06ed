"""Wrong answers to gru_step of a third trial, by others who had not seen the traps."""

import numpy as np
import torch
from fresh import answer
from torch.nn import functional as F


# blocks read in the order z, r, n (reset and update exchanged)
@answer("the gates in another order")
def gru_step__u01(x, h, w_ih, w_hh, b_ih, b_hh):
    x_z, x_r, x_n = (x @ w_ih.mT + b_ih).chunk(3, dim=-1)
    h_z, h_r, h_n = (h @ w_hh.mT + b_hh).chunk(3, dim=-1)
    r = torch.sigmoid(x_r + h_r)
    z = torch.sigmoid(x_z + h_z)
    n = torch.tanh(x_n + r * h_n)
    return (1 - z) * n + z * h


# blocks read in the order r, n, z
@answer("the gates in another order")
def gru_step__u02(x, h, w_ih, w_hh, b_ih, b_hh):
    C = h.shape[-1]
    i_r, i_n, i_z = F.linear(x, w_ih, b_ih).split(C, dim=-1)
    h_r, h_n, h_z = F.linear(h, w_hh, b_hh).split(C, dim=-1)
    r = (i_r + h_r).sigmoid()
    z = (i_z + h_z).sigmoid()
    n = (i_n + r * h_n).tanh()
    return (1 - z) * n + z * h


# z taken as the share of the new state (z and 1 - z exchanged)
@answer("z on the wrong side")
def gru_step__u03(x, h, w_ih, w_hh, b_ih, b_hh):
    gi = F.linear(x, w_ih, b_ih)
    gh = F.linear(h, w_hh, b_hh)
    i_r, i_z, i_n = gi.chunk(3, -1)
    h_r, h_z, h_n = gh.chunk(3, -1)
    r = torch.sigmoid(i_r + h_r)
    z = torch.sigmoid(i_z + h_z)
    n = torch.tanh(i_n + r * h_n)
    return z * n + (1 - z) * h


# reset applied to the state before the product (the form of Cho et al.)
@answer("the reset before the product")
def gru_step__u04(x, h, w_ih, w_hh, b_ih, b_hh):
    C = h.shape[-1]
    x_r, x_z, x_n = (x @ w_ih.mT + b_ih).chunk(3, dim=-1)
    h_r, h_z = (h @ w_hh[: 2 * C].mT + b_hh[: 2 * C]).chunk(2, dim=-1)
    r = torch.sigmoid(x_r + h_r)
    z = torch.sigmoid(x_z + h_z)
    n = torch.tanh(x_n + r * h @ w_hh[2 * C :].mT + b_hh[2 * C :])
    return (1 - z) * n + z * h


# bias b_hn left outside the reset
@answer("the bias outside the reset")
def gru_step__u05(x, h, w_ih, w_hh, b_ih, b_hh):
    C = h.shape[-1]
    x_r, x_z, x_n = (x @ w_ih.mT + b_ih).chunk(3, dim=-1)
    h_r, h_z, h_n = (h @ w_hh.mT).chunk(3, dim=-1)
    b_r, b_z, b_n = b_hh.split(C)
    r = torch.sigmoid(x_r + h_r + b_r)
    z = torch.sigmoid(x_z + h_z + b_z)
    n = torch.tanh(x_n + r * h_n + b_n)
    return (1 - z) * n + z * h


# reset multiplies the input's part as well
@answer("the input is reset, too")
def gru_step__u06(x, h, w_ih, w_hh, b_ih, b_hh):
    sums = x @ w_ih.mT + b_ih + h @ w_hh.mT + b_hh
    r, z, n = sums.chunk(3, dim=-1)
    r, z = (r.sigmoid(), z.sigmoid())
    n = torch.tanh(r * n)
    return (1 - z) * n + z * h


# no reset gate: candidate made from the plain sum
@answer("no reset")
def gru_step__u07(x, h, w_ih, w_hh, b_ih, b_hh):
    sums = F.linear(x, w_ih, b_ih) + F.linear(h, w_hh, b_hh)
    _, z, n = sums.chunk(3, dim=-1)
    z = torch.sigmoid(z)
    n = torch.tanh(n)
    return (1 - z) * n + z * h


# bias b_hh left out
@answer("a bias missing")
def gru_step__u08(x, h, w_ih, w_hh, b_ih, b_hh):
    x_r, x_z, x_n = (x @ w_ih.mT + b_ih).chunk(3, dim=-1)
    h_r, h_z, h_n = (h @ w_hh.mT).chunk(3, dim=-1)
    r = torch.sigmoid(x_r + h_r)
    z = torch.sigmoid(x_z + h_z)
    n = torch.tanh(x_n + r * h_n)
    return (1 - z) * n + z * h


# weights not transposed
@answer("weights not transposed")
def gru_step__u09(x, h, w_ih, w_hh, b_ih, b_hh):
    gx = x @ w_ih + b_ih
    gh = h @ w_hh + b_hh
    xr, xz, xn = gx.chunk(3, -1)
    hr, hz, hn = gh.chunk(3, -1)
    r = torch.sigmoid(xr + hr)
    z = torch.sigmoid(xz + hz)
    n = torch.tanh(xn + r * hn)
    return (1 - z) * n + z * h


# cut along the first dimension instead of the last
@answer("the batch cut into gates")
def gru_step__u10(x, h, w_ih, w_hh, b_ih, b_hh):
    x_r, x_z, x_n = (x @ w_ih.mT + b_ih).chunk(3)
    h_r, h_z, h_n = (h @ w_hh.mT + b_hh).chunk(3)
    r = torch.sigmoid(x_r + h_r)
    z = torch.sigmoid(x_z + h_z)
    n = torch.tanh(x_n + r * h_n)
    return (1 - z) * n + z * h


# blocks read as interleaved (every third row)
@answer("gates interleaved")
def gru_step__u11(x, h, w_ih, w_hh, b_ih, b_hh):
    gi = (x @ w_ih.mT + b_ih).unflatten(-1, (-1, 3))
    gh = (h @ w_hh.mT + b_hh).unflatten(-1, (-1, 3))
    i_r, i_z, i_n = gi.unbind(-1)
    h_r, h_z, h_n = gh.unbind(-1)
    r = torch.sigmoid(i_r + h_r)
    z = torch.sigmoid(i_z + h_z)
    n = torch.tanh(i_n + r * h_n)
    return (1 - z) * n + z * h


# sigmoid instead of tanh for the candidate
@answer("the candidate is no gate")
def gru_step__u12(x, h, w_ih, w_hh, b_ih, b_hh):
    x_r, x_z, x_n = (x @ w_ih.T + b_ih).chunk(3, -1)
    h_r, h_z, h_n = (h @ w_hh.T + b_hh).chunk(3, -1)
    r = torch.sigmoid(x_r + h_r)
    z = torch.sigmoid(x_z + h_z)
    n = torch.sigmoid(x_n + r * h_n)
    return (1 - z) * n + z * h


# factor 1 - z left out (old and new do not share)
@answer("old and new do not share")
def gru_step__u13(x, h, w_ih, w_hh, b_ih, b_hh):
    x_r, x_z, x_n = (x @ w_ih.mT + b_ih).chunk(3, dim=-1)
    h_r, h_z, h_n = (h @ w_hh.mT + b_hh).chunk(3, dim=-1)
    r = torch.sigmoid(x_r + h_r)
    z = torch.sigmoid(x_z + h_z)
    n = torch.tanh(x_n + r * h_n)
    return n + z * h


# reset multiplies the input's part instead of the state's
@answer("the input is reset instead of the past")
def gru_step__u14(x, h, w_ih, w_hh, b_ih, b_hh):
    x_r, x_z, x_n = F.linear(x, w_ih, b_ih).chunk(3, dim=-1)
    h_r, h_z, h_n = F.linear(h, w_hh, b_hh).chunk(3, dim=-1)
    r = torch.sigmoid(x_r + h_r)
    z = torch.sigmoid(x_z + h_z)
    n = torch.tanh(r * x_n + h_n)
    return (1 - z) * n + z * h


# one gate used for both jobs: z resets too
@answer("one gate for both jobs")
def gru_step__u15(x, h, w_ih, w_hh, b_ih, b_hh):
    _, x_z, x_n = F.linear(x, w_ih, b_ih).chunk(3, dim=-1)
    _, h_z, h_n = F.linear(h, w_hh, b_hh).chunk(3, dim=-1)
    z = torch.sigmoid(x_z + h_z)
    n = torch.tanh(x_n + z * h_n)
    return (1 - z) * n + z * h


# gradient to the old state cut by detach
@answer("a detached state")
def gru_step__u16(x, h, w_ih, w_hh, b_ih, b_hh):
    h = h.detach()
    x_r, x_z, x_n = (x @ w_ih.mT + b_ih).chunk(3, dim=-1)
    h_r, h_z, h_n = (h @ w_hh.mT + b_hh).chunk(3, dim=-1)
    r = torch.sigmoid(x_r + h_r)
    z = torch.sigmoid(x_z + h_z)
    n = torch.tanh(x_n + r * h_n)
    return (1 - z) * n + z * h


# computes in single precision what came in double
@answer()
def gru_step__u17(x, h, w_ih, w_hh, b_ih, b_hh):
    dtype = x.dtype
    x, h, w_ih, w_hh, b_ih, b_hh = (t.float() for t in (x, h, w_ih, w_hh, b_ih, b_hh))
    x_r, x_z, x_n = (x @ w_ih.mT + b_ih).chunk(3, dim=-1)
    h_r, h_z, h_n = (h @ w_hh.mT + b_hh).chunk(3, dim=-1)
    r = torch.sigmoid(x_r + h_r)
    z = torch.sigmoid(x_z + h_z)
    n = torch.tanh(x_n + r * h_n)
    return ((1 - z) * n + z * h).to(dtype)


# a constant made in the default dtype and on the default device
@answer()
def gru_step__u18(x, h, w_ih, w_hh, b_ih, b_hh):
    one = torch.ones(h.shape[-1])
    x_r, x_z, x_n = (x @ w_ih.mT + b_ih).chunk(3, dim=-1)
    h_r, h_z, h_n = (h @ w_hh.mT + b_hh).chunk(3, dim=-1)
    r = torch.sigmoid(x_r + h_r)
    z = torch.sigmoid(x_z + h_z)
    n = torch.tanh(x_n + r * h_n)
    return (one - z) * n + z * h


# sigmoid by hand as e^a / (1 + e^a): overflows
@answer("a sigmoid that overflows")
def gru_step__u19(x, h, w_ih, w_hh, b_ih, b_hh):

    def sigmoid(a):
        return a.exp() / (1 + a.exp())

    x_r, x_z, x_n = (x @ w_ih.mT + b_ih).chunk(3, dim=-1)
    h_r, h_z, h_n = (h @ w_hh.mT + b_hh).chunk(3, dim=-1)
    r = sigmoid(x_r + h_r)
    z = sigmoid(x_z + h_z)
    n = torch.tanh(x_n + r * h_n)
    return (1 - z) * n + z * h


# tanh by hand from exponentials: overflows
@answer("a tanh that overflows")
def gru_step__u20(x, h, w_ih, w_hh, b_ih, b_hh):

    def tanh(a):
        up, down = (torch.exp(a), torch.exp(-a))
        return (up - down) / (up + down)

    x_r, x_z, x_n = (x @ w_ih.mT + b_ih).chunk(3, dim=-1)
    h_r, h_z, h_n = (h @ w_hh.mT + b_hh).chunk(3, dim=-1)
    r = torch.sigmoid(x_r + h_r)
    z = torch.sigmoid(x_z + h_z)
    n = tanh(x_n + r * h_n)
    return (1 - z) * n + z * h


# the state is overwritten in place
@answer("the caller's state overwritten")
def gru_step__u21(x, h, w_ih, w_hh, b_ih, b_hh):
    x_r, x_z, x_n = (x @ w_ih.mT + b_ih).chunk(3, dim=-1)
    h_r, h_z, h_n = (h @ w_hh.mT + b_hh).chunk(3, dim=-1)
    r = torch.sigmoid(x_r + h_r)
    z = torch.sigmoid(x_z + h_z)
    n = torch.tanh(x_n + r * h_n)
    h *= z
    h += (1 - z) * n
    return h


# dimensions of size 1 squeezed away
@answer("dimensions of 1 squeezed away")
def gru_step__u22(x, h, w_ih, w_hh, b_ih, b_hh):
    x_r, x_z, x_n = (x @ w_ih.mT + b_ih).chunk(3, dim=-1)
    h_r, h_z, h_n = (h @ w_hh.mT + b_hh).chunk(3, dim=-1)
    r = torch.sigmoid(x_r + h_r)
    z = torch.sigmoid(x_z + h_z)
    n = torch.tanh(x_n + r * h_n)
    return ((1 - z) * n + z * h).squeeze()


# assumes exactly one batch dimension (cuts along dim 1)
@answer("a dimension counted from the front")
def gru_step__u23(x, h, w_ih, w_hh, b_ih, b_hh):
    x_r, x_z, x_n = (x @ w_ih.mT + b_ih).chunk(3, dim=1)
    h_r, h_z, h_n = (h @ w_hh.mT + b_hh).chunk(3, dim=1)
    r = torch.sigmoid(x_r + h_r)
    z = torch.sigmoid(x_z + h_z)
    n = torch.tanh(x_n + r * h_n)
    return (1 - z) * n + z * h


# width of the input taken for the width of the state
@answer("the input's width for the state's")
def gru_step__u24(x, h, w_ih, w_hh, b_ih, b_hh):
    C = x.shape[-1]
    gi = F.linear(x, w_ih, b_ih)
    gh = F.linear(h, w_hh, b_hh)
    r = torch.sigmoid(gi[..., :C] + gh[..., :C])
    z = torch.sigmoid(gi[..., C : 2 * C] + gh[..., C : 2 * C])
    n = torch.tanh(gi[..., 2 * C : 3 * C] + r * gh[..., 2 * C : 3 * C])
    return (1 - z) * n + z * h


# torch's own recurrent cell used
@answer()
def gru_step__u25(x, h, w_ih, w_hh, b_ih, b_hh):
    batch = h.shape[:-1]
    new = torch.gru_cell(
        x.reshape(-1, x.shape[-1]), h.reshape(-1, h.shape[-1]), w_ih, w_hh, b_ih, b_hh
    )
    return new.reshape(*batch, h.shape[-1])


# goes through numpy
@answer()
def gru_step__u26(x, h, w_ih, w_hh, b_ih, b_hh):
    gi = x.detach().numpy() @ w_ih.detach().numpy().T + b_ih.detach().numpy()
    gh = h.detach().numpy() @ w_hh.detach().numpy().T + b_hh.detach().numpy()
    i_r, i_z, i_n = np.split(gi, 3, axis=-1)
    h_r, h_z, h_n = np.split(gh, 3, axis=-1)
    r = 1 / (1 + np.exp(-(i_r + h_r)))
    z = 1 / (1 + np.exp(-(i_z + h_z)))
    n = np.tanh(i_n + r * h_n)
    return torch.from_numpy((1 - z) * n + z * h.detach().numpy()).to(x.dtype)


# view of an input that need not be contiguous
@answer("view of what is not contiguous")
def gru_step__u27(x, h, w_ih, w_hh, b_ih, b_hh):
    x2 = x.view(-1, x.shape[-1])
    h2 = h.view(-1, h.shape[-1])
    x_r, x_z, x_n = torch.addmm(b_ih, x2, w_ih.t()).chunk(3, 1)
    h_r, h_z, h_n = torch.addmm(b_hh, h2, w_hh.t()).chunk(3, 1)
    r = torch.sigmoid(x_r + h_r)
    z = torch.sigmoid(x_z + h_z)
    n = torch.tanh(x_n + r * h_n)
    return ((1 - z) * n + z * h2).reshape(h.shape)


# batch flattened and not given back its shape
@answer("the batch without its shape")
def gru_step__u28(x, h, w_ih, w_hh, b_ih, b_hh):
    x = x.reshape(-1, x.shape[-1])
    h = h.reshape(-1, h.shape[-1])
    x_r, x_z, x_n = (x @ w_ih.mT + b_ih).chunk(3, dim=-1)
    h_r, h_z, h_n = (h @ w_hh.mT + b_hh).chunk(3, dim=-1)
    r = torch.sigmoid(x_r + h_r)
    z = torch.sigmoid(x_z + h_z)
    n = torch.tanh(x_n + r * h_n)
    return (1 - z) * n + z * h


# whole product computed again for every gate
@answer()
def gru_step__u29(x, h, w_ih, w_hh, b_ih, b_hh):
    C = h.shape[-1]

    def from_x(i):
        return F.linear(x, w_ih, b_ih)[..., i * C : (i + 1) * C]

    def from_h(i):
        return F.linear(h, w_hh, b_hh)[..., i * C : (i + 1) * C]

    r = torch.sigmoid(from_x(0) + from_h(0))
    z = torch.sigmoid(from_x(1) + from_h(1))
    n = torch.tanh(from_x(2) + r * from_h(2))
    return (1 - z) * n + z * h


# reset and update exchanged
# z taken as the share of the new state
@answer("z on the wrong side", "the gates in another order")
def gru_step__u30(x, h, w_ih, w_hh, b_ih, b_hh):
    x_z, x_r, x_n = (x @ w_ih.mT + b_ih).chunk(3, dim=-1)
    h_z, h_r, h_n = (h @ w_hh.mT + b_hh).chunk(3, dim=-1)
    r = torch.sigmoid(x_r + h_r)
    z = torch.sigmoid(x_z + h_z)
    n = torch.tanh(x_n + r * h_n)
    return z * n + (1 - z) * h


# bias b_ih left out
# z taken as the share of the new state
@answer("z on the wrong side", "a bias missing")
def gru_step__u31(x, h, w_ih, w_hh, b_ih, b_hh):
    xr, xz, xn = (x @ w_ih.mT).chunk(3, -1)
    hr, hz, hn = (h @ w_hh.mT + b_hh).chunk(3, -1)
    r, z = (torch.sigmoid(xr + hr), torch.sigmoid(xz + hz))
    n = torch.tanh(xn + r * hn)
    return h + z * (n - h)


# reset applied to the state before the product (the form of Cho et al.)
# no tanh for the candidate
@answer("the reset before the product", "the candidate without its tanh")
def gru_step__u32(x, h, w_ih, w_hh, b_ih, b_hh):
    C = h.shape[-1]
    gx = F.linear(x, w_ih, b_ih)
    gates = torch.sigmoid(gx[..., : 2 * C] + F.linear(h, w_hh[: 2 * C], b_hh[: 2 * C]))
    r, z = gates.chunk(2, dim=-1)
    n = gx[..., 2 * C :] + F.linear(r * h, w_hh[2 * C :], b_hh[2 * C :])
    return (1 - z) * n + z * h


# assumes exactly one batch dimension (cuts along dim 1)
# no reset gate: candidate made from the plain sum
@answer("a dimension counted from the front", "no reset")
def gru_step__u33(x, h, w_ih, w_hh, b_ih, b_hh):
    sums = F.linear(x, w_ih, b_ih) + F.linear(h, w_hh, b_hh)
    C = h.shape[1]
    z = sums[:, C : 2 * C].sigmoid()
    n = sums[:, 2 * C :].tanh()
    return (1 - z) * n + z * h


# gradient to the old state cut by detach
# bias b_hn left outside the reset
@answer("the bias outside the reset", "a detached state")
def gru_step__u34(x, h, w_ih, w_hh, b_ih, b_hh):
    C = h.shape[-1]
    old = h.detach()
    x_r, x_z, x_n = (x @ w_ih.mT + b_ih).chunk(3, dim=-1)
    h_r, h_z, h_n = (old @ w_hh.mT).chunk(3, dim=-1)
    r = torch.sigmoid(x_r + h_r + b_hh[:C])
    z = torch.sigmoid(x_z + h_z + b_hh[C : 2 * C])
    n = torch.tanh(x_n + r * h_n + b_hh[2 * C :])
    return (1 - z) * n + z * old
