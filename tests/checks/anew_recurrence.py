"""Chapter 1's wrong answers of a second trial, by others who had not seen the traps."""

import torch
from fresh import answer
from torch.nn import functional as F


# blocks taken in the order f, i, g, o
@answer("the gates in another order")
def lstm_step__t01(x, h, c, w_ih, w_hh, b_ih, b_hh):
    z = x @ w_ih.mT + b_ih + h @ w_hh.mT + b_hh
    f, i, g, o = z.chunk(4, dim=-1)
    c_new = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    h_new = torch.sigmoid(o) * torch.tanh(c_new)
    return (h_new, c_new)


# shows the old cell instead of the new one
@answer("the old cell shown")
def lstm_step__t02(x, h, c, w_ih, w_hh, b_ih, b_hh):
    i, f, g, o = (F.linear(x, w_ih, b_ih) + F.linear(h, w_hh, b_hh)).chunk(4, -1)
    new_h = o.sigmoid() * c.tanh()
    new_c = f.sigmoid() * c + i.sigmoid() * g.tanh()
    return (new_h, new_c)


# no tanh on the cell on its way out
@answer("tanh of the cell missing")
def lstm_step__t03(x, h, c, w_ih, w_hh, b_ih, b_hh):
    C = h.size(-1)
    gates = torch.matmul(x, w_ih.T) + torch.matmul(h, w_hh.T) + b_ih + b_hh
    ingate = torch.sigmoid(gates[..., 0:C])
    forgetgate = torch.sigmoid(gates[..., C : 2 * C])
    cellgate = torch.tanh(gates[..., 2 * C : 3 * C])
    outgate = torch.sigmoid(gates[..., 3 * C : 4 * C])
    cy = forgetgate * c + ingate * cellgate
    hy = outgate * cy
    return (hy, cy)


# returns (new_c, new_h), the two in the wrong order
@answer("returned in another order")
def lstm_step__t04(x, h, c, w_ih, w_hh, b_ih, b_hh):
    sums = torch.einsum("...e,oe->...o", x, w_ih) + b_ih
    sums = sums + torch.einsum("...e,oe->...o", h, w_hh) + b_hh
    i, f, g, o = sums.split(c.shape[-1], dim=-1)
    memory = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    shown = torch.sigmoid(o) * torch.tanh(memory)
    return (memory, shown)


# sigmoid instead of tanh for the candidate g
@answer("the candidate is no gate")
def lstm_step__t05(x, h, c, w_ih, w_hh, b_ih, b_hh):
    i, f, g, o = torch.sigmoid(x @ w_ih.mT + b_ih + h @ w_hh.mT + b_hh).chunk(4, dim=-1)
    new_c = f * c + i * g
    return (o * torch.tanh(new_c), new_c)


# only one of the two biases is added (b_hh forgotten)
@answer("a bias missing")
def lstm_step__t06(x, h, c, w_ih, w_hh, b_ih, b_hh):

    def affine(v, w, b):
        return v @ w.mT + b

    s = affine(x, w_ih, b_ih) + h @ w_hh.mT
    i, f, g, o = s.chunk(4, dim=-1)
    new_c = f.sigmoid() * c + i.sigmoid() * g.tanh()
    new_h = o.sigmoid() * new_c.tanh()
    return (new_h, new_c)


# input gate replaced by 1 - forget gate, as in a GRU
@answer("input and forget gate coupled")
def lstm_step__t07(x, h, c, w_ih, w_hh, b_ih, b_hh):
    s = x @ w_ih.mT + b_ih + h @ w_hh.mT + b_hh
    _, f, g, o = s.chunk(4, dim=-1)
    forget = torch.sigmoid(f)
    new_c = forget * c + (1 - forget) * torch.tanh(g)
    return (torch.sigmoid(o) * torch.tanh(new_c), new_c)


# writes into the cell that came in (in-place)
@answer("the caller's cell overwritten")
def lstm_step__t08(x, h, c, w_ih, w_hh, b_ih, b_hh):
    i, f, g, o = (x @ w_ih.mT + h @ w_hh.mT + b_ih + b_hh).chunk(4, dim=-1)
    c *= torch.sigmoid(f)
    c += torch.sigmoid(i) * torch.tanh(g)
    return (torch.sigmoid(o) * torch.tanh(c), c)


# returns only what is shown and not the new cell
@answer("the cell not returned")
def lstm_step__t09(x, h, c, w_ih, w_hh, b_ih, b_hh):
    i, f, g, o = (torch.matmul(x, w_ih.mT) + b_ih + torch.matmul(h, w_hh.mT) + b_hh).chunk(
        4, dim=-1
    )
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    h = torch.sigmoid(o) * torch.tanh(c)
    return h


# tanh instead of sigmoid for the gates
@answer("tanh for the gates")
def lstm_step__t10(x, h, c, w_ih, w_hh, b_ih, b_hh):
    C = c.shape[-1]
    a = torch.tanh(x @ w_ih.mT + b_ih + h @ w_hh.mT + b_hh).reshape(*c.shape[:-1], 4, C)
    i, f, g, o = a.unbind(-2)
    cell = f * c + i * g
    return (o * torch.tanh(cell), cell)


# overwrites the cell instead of adding to it (old cell dropped)
@answer("the old cell dropped")
def lstm_step__t11(x, h, c, w_ih, w_hh, b_ih, b_hh):
    total = F.linear(x, w_ih, b_ih) + F.linear(h, w_hh, b_hh)
    i, _f, g, o = torch.tensor_split(total, 4, dim=-1)
    new_c = torch.sigmoid(i) * torch.tanh(g)
    new_h = torch.sigmoid(o) * torch.tanh(new_c)
    return (new_h, new_c)


# forget gate read as the share to forget (1 - f)
@answer("the forget gate inverted")
def lstm_step__t12(x, h, c, w_ih, w_hh, b_ih, b_hh):
    width = h.shape[-1]

    def gate(k):
        part = slice(k * width, (k + 1) * width)
        return x @ w_ih[part].T + b_ih[part] + h @ w_hh[part].T + b_hh[part]

    i, f, g, o = (gate(0).sigmoid(), gate(1).sigmoid(), gate(2).tanh(), gate(3).sigmoid())
    new_c = (1 - f) * c + i * g
    return (o * new_c.tanh(), new_c)


# cuts into four along the first dimension instead of the last
@answer("the batch cut into gates")
def lstm_step__t13(x, h, c, w_ih, w_hh, b_ih, b_hh):
    sums = x @ w_ih.mT + b_ih + h @ w_hh.mT + b_hh
    i, f, g, o = sums.chunk(4)
    new_c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    new_h = torch.sigmoid(o) * torch.tanh(new_c)
    return (new_h, new_c)


# weights not transposed
@answer("weights not transposed")
def lstm_step__t14(x, h, c, w_ih, w_hh, b_ih, b_hh):
    gates = x @ w_ih + b_ih + h @ w_hh + b_hh
    i, f, g, o = gates.chunk(4, dim=-1)
    c_t = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    h_t = torch.sigmoid(o) * torch.tanh(c_t)
    return (h_t, c_t)


# the gates read as interleaved unit by unit, not as blocks
@answer("gates interleaved")
def lstm_step__t15(x, h, c, w_ih, w_hh, b_ih, b_hh):
    sums = x @ w_ih.mT + b_ih + h @ w_hh.mT + b_hh
    i, f, g, o = sums.unflatten(-1, (h.shape[-1], 4)).unbind(-1)
    new_c = f.sigmoid() * c + i.sigmoid() * g.tanh()
    new_h = o.sigmoid() * new_c.tanh()
    return (new_h, new_c)


# no tanh on the candidate g
@answer("the candidate is no gate")
def lstm_step__t16(x, h, c, w_ih, w_hh, b_ih, b_hh):
    gates = F.linear(torch.cat((x, h), -1), torch.cat((w_ih, w_hh), -1), b_ih + b_hh)
    i, f, g, o = gates.chunk(4, -1)
    new_c = F.sigmoid(f) * c + F.sigmoid(i) * g
    new_h = F.sigmoid(o) * F.tanh(new_c)
    return (new_h, new_c)


# feeds the cell c instead of the shown state h to the gates
@answer("h and c mixed up")
def lstm_step__t17(x, h, c, w_ih, w_hh, b_ih, b_hh):
    sums = x @ w_ih.mT + b_ih + c @ w_hh.mT + b_hh
    i, f, g, o = sums.chunk(4, dim=-1)
    i = torch.sigmoid(i)
    f = torch.sigmoid(f)
    g = torch.tanh(g)
    o = torch.sigmoid(o)
    cell = f * c + i * g
    return (o * torch.tanh(cell), cell)


# adds 1 to the forget gate, an initialisation trick, at every step
@answer("1 added to the forget gate")
def lstm_step__t18(x, h, c, w_ih, w_hh, b_ih, b_hh):
    C = c.shape[-1]
    z = torch.einsum("...e,kce->...kc", x, w_ih.reshape(4, C, -1)) + b_ih.reshape(4, C)
    z = z + torch.einsum("...e,kce->...kc", h, w_hh.reshape(4, C, C)) + b_hh.reshape(4, C)
    i, f, g, o = z.unbind(-2)
    new_c = torch.sigmoid(f + 1.0) * c + torch.sigmoid(i) * torch.tanh(g)
    return (torch.sigmoid(o) * torch.tanh(new_c), new_c)


# shows the old cell instead of the new one
# no tanh on the cell on its way out
@answer("tanh of the cell missing", "the old cell shown")
def lstm_step__t19(x, h, c, w_ih, w_hh, b_ih, b_hh):
    i, f, g, o = (x @ w_ih.mT + b_ih + h @ w_hh.mT + b_hh).chunk(4, dim=-1)
    h_next = torch.sigmoid(o) * c
    c_next = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    return (h_next, c_next)


# blocks taken in the order f, i, g, o
# returns (new_c, new_h), the two in the wrong order
@answer("the gates in another order", "returned in another order")
def lstm_step__t20(x, h, c, w_ih, w_hh, b_ih, b_hh):
    C = c.shape[-1]
    z = F.linear(x, w_ih, b_ih) + F.linear(h, w_hh, b_hh)
    f = torch.sigmoid(z[..., :C])
    i = torch.sigmoid(z[..., C : 2 * C])
    g = torch.tanh(z[..., 2 * C : 3 * C])
    o = torch.sigmoid(z[..., 3 * C :])
    c = f * c + i * g
    h = o * torch.tanh(c)
    return (c, h)


# only one of the two biases is added (b_hh forgotten)
# sigmoid instead of tanh for the candidate g
@answer("the candidate is no gate", "a bias missing")
def lstm_step__t21(x, h, c, w_ih, w_hh, b_ih, b_hh):
    from_x = torch.einsum("...e,ge->...g", x, w_ih) + b_ih
    from_h = torch.einsum("...c,gc->...g", h, w_hh)
    i, f, g, o = (from_x + from_h).sigmoid().split(h.shape[-1], -1)
    new_c = f * c + i * g
    new_h = o * new_c.tanh()
    return (new_h, new_c)


# input gate replaced by 1 - forget gate, as in a GRU
# no tanh on the cell on its way out
@answer("input and forget gate coupled", "tanh of the cell missing")
def lstm_step__t22(x, h, c, w_ih, w_hh, b_ih, b_hh):
    sums = x @ w_ih.t() + b_ih + h @ w_hh.t() + b_hh
    _i, f, g, o = torch.chunk(sums, 4, dim=-1)
    share = f.sigmoid()
    new_c = torch.lerp(g.tanh(), c, share)
    return (o.sigmoid() * new_c, new_c)


# forget gate read as the share to forget (1 - f)
# no tanh on the candidate g
@answer("the forget gate inverted", "the candidate is no gate")
def lstm_step__t23(x, h, c, w_ih, w_hh, b_ih, b_hh):

    def split_gates(x, h, w_ih, w_hh, b_ih, b_hh):
        a = x @ w_ih.mT + b_ih
        b = h @ w_hh.mT + b_hh
        return (a + b).chunk(4, dim=-1)

    i, f, g, o = split_gates(x, h, w_ih, w_hh, b_ih, b_hh)
    erased = torch.sigmoid(f) * c
    new_c = c - erased + torch.sigmoid(i) * g
    return (torch.sigmoid(o) * torch.tanh(new_c), new_c)


# feeds the cell c instead of the shown state h to the gates
# the gates read as interleaved unit by unit, not as blocks
@answer("gates interleaved", "h and c mixed up")
def lstm_step__t24(x, h, c, w_ih, w_hh, b_ih, b_hh):
    s = x @ w_ih.mT + b_ih + c @ w_hh.mT + b_hh
    s = s.reshape(*c.shape, 4)
    i, f, g, o = (s[..., 0], s[..., 1], s[..., 2], s[..., 3])
    new_c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    new_h = torch.sigmoid(o) * torch.tanh(new_c)
    return (new_h, new_c)
