"""Wrong answers to gru_step of a fourth trial, by others who had not seen the traps."""

import torch
import torch.nn.functional as F
from fresh import answer


def _parts(x, h, w_ih, w_hh, b_ih, b_hh):
    return ((x @ w_ih.mT + b_ih).chunk(3, dim=-1), (h @ w_hh.mT + b_hh).chunk(3, dim=-1))


# candidate without tanh
@answer("the candidate without its tanh")
def gru_step__no_tanh(x, h, w_ih, w_hh, b_ih, b_hh):
    (xr, xz, xn), (hr, hz, hn) = _parts(x, h, w_ih, w_hh, b_ih, b_hh)
    r, z = (torch.sigmoid(xr + hr), torch.sigmoid(xz + hz))
    n = xn + r * hn
    return (1 - z) * n + z * h


# reset multiplies the old state in the mixture (z * r * h): reset at the wrong place
@answer("the reset where the old state is kept")
def gru_step__reset_in_mixture(x, h, w_ih, w_hh, b_ih, b_hh):
    (xr, xz, xn), (hr, hz, hn) = _parts(x, h, w_ih, w_hh, b_ih, b_hh)
    r, z = (torch.sigmoid(xr + hr), torch.sigmoid(xz + hz))
    n = torch.tanh(xn + hn)
    return (1 - z) * n + z * r * h


# weights not transposed (works only when square): x @ w_ih.reshape
@answer("reshaped instead of transposed")
def gru_step__reshape_for_transpose(x, h, w_ih, w_hh, b_ih, b_hh):
    xr, xz, xn = (x @ w_ih.reshape(x.shape[-1], -1) + b_ih).chunk(3, dim=-1)
    hr, hz, hn = (h @ w_hh.reshape(h.shape[-1], -1) + b_hh).chunk(3, dim=-1)
    r, z = (torch.sigmoid(xr + hr), torch.sigmoid(xz + hz))
    n = torch.tanh(xn + r * hn)
    return (1 - z) * n + z * h


# the state is written in place into h
@answer("the caller's state overwritten")
def gru_step__writes_h(x, h, w_ih, w_hh, b_ih, b_hh):
    (xr, xz, xn), (hr, hz, hn) = _parts(x, h, w_ih, w_hh, b_ih, b_hh)
    r, z = (torch.sigmoid(xr + hr), torch.sigmoid(xz + hz))
    n = torch.tanh(xn + r * hn)
    h.data.mul_(z).add_((1 - z) * n)
    return h


# the old state x z uses tanh(h): extra tanh on the old state
@answer("the mixture squashed")
def gru_step__tanh_old(x, h, *w):
    (xr, xz, xn), (hr, hz, hn) = _parts(x, h, *w)
    r, z = (torch.sigmoid(xr + hr), torch.sigmoid(xz + hz))
    return (1 - z) * torch.tanh(xn + r * hn) + z * torch.tanh(h)


# sigmoid applied twice to the gates
@answer("a sigmoid too many")
def gru_step__sigmoid_twice(x, h, *w):
    (xr, xz, xn), (hr, hz, hn) = _parts(x, h, *w)
    r, z = (torch.sigmoid(torch.sigmoid(xr + hr)), torch.sigmoid(torch.sigmoid(xz + hz)))
    return (1 - z) * torch.tanh(xn + r * hn) + z * h


# hard sigmoid (old Keras) for the gates
@answer("a hard sigmoid")
def gru_step__hard_sigmoid(x, h, *w):
    (xr, xz, xn), (hr, hz, hn) = _parts(x, h, *w)

    def hs(t):
        return (0.2 * t + 0.5).clamp(0, 1)

    r, z = (hs(xr + hr), hs(xz + hz))
    return (1 - z) * torch.tanh(xn + r * hn) + z * h


# the reset multiplies the input's part, not the state's
@answer("the input is reset instead of the past")
def gru_step__reset_x(x, h, *w):
    (xr, xz, xn), (hr, hz, hn) = _parts(x, h, *w)
    r, z = (torch.sigmoid(xr + hr), torch.sigmoid(xz + hz))
    return (1 - z) * torch.tanh(r * xn + hn) + z * h


# w_hh not transposed (square blocks, so nothing raises)
@answer("weights not transposed")
def gru_step__whh_not_transposed(x, h, w_ih, w_hh, b_ih, b_hh):
    C = h.shape[-1]
    hr, hz, hn = (h @ w_hh[i * C : (i + 1) * C] + b_hh[i * C : (i + 1) * C] for i in range(3))
    xr, xz, xn = F.linear(x, w_ih, b_ih).chunk(3, -1)
    r, z = (torch.sigmoid(xr + hr), torch.sigmoid(xz + hz))
    return (1 - z) * torch.tanh(xn + r * hn) + z * h


# gates swapped only on the h side (r,z on x; z,r on h)
@answer("the gates in another order")
def gru_step__h_side_swapped(x, h, *w):
    (xr, xz, xn), (hz, hr, hn) = _parts(x, h, *w)
    r, z = (torch.sigmoid(xr + hr), torch.sigmoid(xz + hz))
    return (1 - z) * torch.tanh(xn + r * hn) + z * h
