"""Answers to chapter 1's exercises: right ones in other styles than the reference, and wrong ones
that are no trap."""

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F


def _array(t):
    return t.detach().double().numpy()


def _tensor(x, like):
    return torch.as_tensor(x).to(like.device, like.dtype)


def _logistic(x):
    return 0.5 * (1 + np.tanh(0.5 * x))


# rnn_step


def rnn_products(x, h, w_ih, w_hh, b_ih, b_hh):
    return (x @ w_ih.T + b_ih + h @ w_hh.T + b_hh).tanh()


def rnn_einsum(x, h, w_ih, w_hh, b_ih, b_hh):
    from_x = torch.einsum("...e,ce->...c", x, w_ih)
    from_h = torch.einsum("...d,cd->...c", h, w_hh)
    return torch.tanh(from_x + from_h + (b_ih + b_hh))


def rnn_one_product(x, h, w_ih, w_hh, b_ih, b_hh):
    both, weight = torch.cat((x, h), -1), torch.cat((w_ih, w_hh), -1)
    return torch.tanh(F.linear(both, weight, b_ih + b_hh))


def rnn_by_sigmoid(x, h, w_ih, w_hh, b_ih, b_hh):
    s = F.linear(x, w_ih, b_ih) + F.linear(h, w_hh, b_hh)
    return 2 * torch.sigmoid(2 * s) - 1


def rnn_loops(x, h, w_ih, w_hh, b_ih, b_hh):
    out = torch.zeros_like(h)
    for index in np.ndindex(*h.shape[:-1]):
        out[index] = (w_ih @ x[index] + b_ih + w_hh @ h[index] + b_hh).tanh()
    return out


def rnn_chunks(x, h, w_ih, w_hh, b_ih, b_hh):
    if x.ndim == 1:
        return rnn_products(x, h, w_ih, w_hh, b_ih, b_hh)
    parts = zip(x.split(2), h.split(2), strict=True)
    return torch.cat([rnn_products(a, b, w_ih, w_hh, b_ih, b_hh) for a, b in parts])


def rnn_vmap(x, h, w_ih, w_hh, b_ih, b_hh):
    def one(a, b):
        return torch.tanh(w_ih @ a + b_ih + w_hh @ b + b_hh)

    function = one
    for _ in x.shape[:-1]:
        function = torch.func.vmap(function)
    return function(x, h)


def rnn_double(x, h, w_ih, w_hh, b_ih, b_hh):
    args = (t.double() for t in (x, h, w_ih, w_hh, b_ih, b_hh))
    return rnn_products(*args).to(x.dtype)


def rnn_numpy(x, h, w_ih, w_hh, b_ih, b_hh):
    a, b, w, u, p, q = (_array(t) for t in (x, h, w_ih, w_hh, b_ih, b_hh))
    return _tensor(np.tanh(a @ w.T + p + b @ u.T + q), h)


# lstm_step


def _lstm_of(i, f, g, o, c):
    c = f.sigmoid() * c + i.sigmoid() * g.tanh()
    return o.sigmoid() * c.tanh(), c


def lstm_sliced(x, h, c, w_ih, w_hh, b_ih, b_hh):
    n = h.shape[-1]
    s = x @ w_ih.mT + b_ih + h @ w_hh.mT + b_hh
    return _lstm_of(s[..., :n], s[..., n : 2 * n], s[..., 2 * n : 3 * n], s[..., 3 * n :], c)


def lstm_unflattened(x, h, c, w_ih, w_hh, b_ih, b_hh):
    s = F.linear(x, w_ih, b_ih) + F.linear(h, w_hh, b_hh)
    return _lstm_of(*s.unflatten(-1, (4, h.shape[-1])).unbind(-2), c)


def lstm_gate_by_gate(x, h, c, w_ih, w_hh, b_ih, b_hh):
    sums = [
        F.linear(x, w, p) + F.linear(h, u, q)
        for w, u, p, q in zip(*(t.chunk(4) for t in (w_ih, w_hh, b_ih, b_hh)), strict=True)
    ]
    return _lstm_of(*sums, c)


def lstm_einsum(x, h, c, w_ih, w_hh, b_ih, b_hh):
    s = torch.einsum("...e,re->...r", x, w_ih) + torch.einsum("...d,rd->...r", h, w_hh)
    i, f, g, o = (s + b_ih + b_hh).split(h.shape[-1], -1)
    new = torch.addcmul(f.sigmoid() * c, i.sigmoid(), g.tanh())
    return new.tanh() * o.sigmoid(), new


def lstm_one_product(x, h, c, w_ih, w_hh, b_ih, b_hh):
    s = F.linear(torch.cat((x, h), -1), torch.cat((w_ih, w_hh), -1), b_ih + b_hh)
    return _lstm_of(*s.chunk(4, -1), c)


def lstm_loops(x, h, c, w_ih, w_hh, b_ih, b_hh):
    new_h, new_c = torch.zeros_like(h), torch.zeros_like(c)
    for index in np.ndindex(*h.shape[:-1]):
        s = w_ih @ x[index] + b_ih + w_hh @ h[index] + b_hh
        new_h[index], new_c[index] = _lstm_of(*s.chunk(4), c[index])
    return new_h, new_c


def lstm_vmap(x, h, c, w_ih, w_hh, b_ih, b_hh):
    def one(a, b, old):
        return _lstm_of(*(w_ih @ a + b_ih + w_hh @ b + b_hh).chunk(4), old)

    function = one
    for _ in x.shape[:-1]:
        function = torch.func.vmap(function)
    return function(x, h, c)


def lstm_double(x, h, c, w_ih, w_hh, b_ih, b_hh):
    args = (t.double() for t in (x, h, c, w_ih, w_hh, b_ih, b_hh))
    return tuple(t.to(x.dtype) for t in lstm_sliced(*args))


def lstm_glued(x, h, c, w_ih, w_hh, b_ih, b_hh):
    """glu is a gate: its first half times the sigmoid of its second."""
    i, f, g, o = (x @ w_ih.mT + b_ih + h @ w_hh.mT + b_hh).chunk(4, -1)
    new = F.glu(torch.cat((c, f), -1), -1) + F.glu(torch.cat((g.tanh(), i), -1), -1)
    return F.glu(torch.cat((new.tanh(), o), -1), -1), new


def lstm_numpy(x, h, c, w_ih, w_hh, b_ih, b_hh):
    a, b, old, w, u, p, q = (_array(t) for t in (x, h, c, w_ih, w_hh, b_ih, b_hh))
    i, f, g, o = np.split(a @ w.T + p + b @ u.T + q, 4, -1)
    new = _logistic(f) * old + _logistic(i) * np.tanh(g)
    return _tensor(_logistic(o) * np.tanh(new), h), _tensor(new, h)


# gru_step


def gru_lerp(x, h, w_ih, w_hh, b_ih, b_hh):
    x_r, x_z, x_n = F.linear(x, w_ih, b_ih).chunk(3, -1)
    h_r, h_z, h_n = F.linear(h, w_hh, b_hh).chunk(3, -1)
    n = ((x_r + h_r).sigmoid() * h_n + x_n).tanh()
    return torch.lerp(n, h, (x_z + h_z).sigmoid())


def gru_sliced(x, h, w_ih, w_hh, b_ih, b_hh):
    c = h.shape[-1]
    a, b = x @ w_ih.mT + b_ih, h @ w_hh.mT + b_hh
    r, z = (a + b)[..., : 2 * c].sigmoid().split(c, -1)
    n = (a[..., 2 * c :] + r * b[..., 2 * c :]).tanh()
    return n + z * (h - n)


def gru_gate_by_gate(x, h, w_ih, w_hh, b_ih, b_hh):
    w, u, p, q = (t.chunk(3) for t in (w_ih, w_hh, b_ih, b_hh))
    r, z = (torch.sigmoid(x @ w[k].T + p[k] + h @ u[k].T + q[k]) for k in (0, 1))
    n = torch.tanh(x @ w[2].T + p[2] + r * (h @ u[2].T + q[2]))
    return (1 - z) * n + z * h


def gru_einsum(x, h, w_ih, w_hh, b_ih, b_hh):
    w, u = (t.unflatten(0, (3, -1)) for t in (w_ih, w_hh))
    a = torch.einsum("...e,gce->g...c", x, w)
    b = torch.einsum("...d,gcd->g...c", h, u)
    p, q = b_ih.chunk(3), b_hh.chunk(3)
    r, z = ((a[k] + p[k] + b[k] + q[k]).sigmoid() for k in (0, 1))
    n = (a[2] + p[2] + r * (b[2] + q[2])).tanh()
    return z * h + (1 - z) * n


def gru_loops(x, h, w_ih, w_hh, b_ih, b_hh):
    out = torch.zeros_like(h)
    for index in np.ndindex(*h.shape[:-1]):
        a, b = (w_ih @ x[index] + b_ih).chunk(3), (w_hh @ h[index] + b_hh).chunk(3)
        r, z = (a[0] + b[0]).sigmoid(), (a[1] + b[1]).sigmoid()
        out[index] = (1 - z) * (a[2] + r * b[2]).tanh() + z * h[index]
    return out


def gru_vmap(x, h, w_ih, w_hh, b_ih, b_hh):
    def one(row, old):
        a, b = (w_ih @ row + b_ih).chunk(3), (w_hh @ old + b_hh).chunk(3)
        r, z = (a[0] + b[0]).sigmoid(), (a[1] + b[1]).sigmoid()
        return (1 - z) * (a[2] + r * b[2]).tanh() + z * old

    function = one
    for _ in x.shape[:-1]:
        function = torch.func.vmap(function)
    return function(x, h)


def gru_gates_as_a_batch(x, h, w_ih, w_hh, b_ih, b_hh):
    e, c = x.shape[-1], h.shape[-1]
    xs, hs = (t.reshape(1, -1, t.shape[-1]).expand(3, -1, -1) for t in (x, h))
    a = torch.baddbmm(b_ih.reshape(3, 1, c), xs, w_ih.reshape(3, c, e).mT)
    b = torch.baddbmm(b_hh.reshape(3, 1, c), hs, w_hh.reshape(3, c, c).mT)
    r, z = (torch.sigmoid(a[i] + b[i]) for i in (0, 1))
    n = torch.tanh(a[2] + r * b[2])
    return (n + z * (h.reshape(-1, c) - n)).reshape(h.shape)


def gru_softmax_of_two(x, h, w_ih, w_hh, b_ih, b_hh):
    (x_r, x_z, x_n), (h_r, h_z, h_n) = (
        F.linear(x, w_ih, b_ih).chunk(3, -1),
        F.linear(h, w_hh, b_hh).chunk(3, -1),
    )
    n = torch.tanh(x_n + torch.sigmoid(x_r + h_r) * h_n)
    shares = torch.stack((torch.zeros_like(h), x_z + h_z)).softmax(0)
    return (shares * torch.stack((n, h))).sum(0)


def gru_double(x, h, w_ih, w_hh, b_ih, b_hh):
    args = (t.double() for t in (x, h, w_ih, w_hh, b_ih, b_hh))
    return gru_gate_by_gate(*args).to(x.dtype)


def gru_by_logarithms(x, h, w_ih, w_hh, b_ih, b_hh):
    a, b = (torch.unsafe_chunk(F.linear(*t), 3, -1) for t in ((x, w_ih, b_ih), (h, w_hh, b_hh)))
    r, z = (F.logsigmoid(a[k] + b[k]).exp() for k in (0, 1))
    n = (a[2] + r * b[2]).tanh()
    return (1 - z) * n + z * h


def gru_numpy(x, h, w_ih, w_hh, b_ih, b_hh):
    a, b, w, u, p, q = (_array(t) for t in (x, h, w_ih, w_hh, b_ih, b_hh))
    from_x, from_h = np.split(a @ w.T + p, 3, -1), np.split(b @ u.T + q, 3, -1)
    r, z = (_logistic(from_x[k] + from_h[k]) for k in (0, 1))
    n = np.tanh(from_x[2] + r * from_h[2])
    return _tensor((1 - z) * n + z * b, h)


# last_hidden


def last_indexed(states, lengths):
    rows = torch.arange(states.shape[0], device=states.device)
    last = states[rows, (lengths - 1).clamp(min=0)]
    return torch.where((lengths > 0)[:, None], last, torch.zeros_like(last))


def last_gathered(states, lengths):
    # A step of zeros in front: length n stands at n, and 0 at the zeros.
    padded = F.pad(states, (0, 0, 1, 0))
    index = lengths.long()[:, None, None].expand(-1, 1, states.shape[-1])
    return padded.gather(1, index)[:, 0]


def last_taken(states, lengths):
    last = states.take_along_dim((lengths.long() - 1).clamp(min=0)[:, None, None], 1)[:, 0]
    return last.masked_fill((lengths < 1)[:, None], 0)


def last_chosen(states, lengths):
    position = torch.arange(1, states.shape[1] + 1, device=states.device)
    is_last = (position == lengths[:, None])[..., None]
    return torch.where(is_last, states, torch.zeros_like(states)).sum(-2)


def last_one_hot(states, lengths):
    chosen = F.one_hot(lengths.long(), states.shape[1] + 1)[:, 1:, None].bool()
    return torch.where(chosen, states, torch.zeros_like(states)).sum(1)


def last_loops(states, lengths):
    out = torch.zeros_like(states[:, 0])
    for n in range(states.shape[1]):
        out = torch.where((lengths == n + 1)[:, None], states[:, n], out)
    return out


def last_vmap(states, lengths):
    def one(rows, length):
        position = torch.arange(rows.shape[0], device=rows.device)
        chosen = torch.where((position == length - 1)[:, None], rows, torch.zeros_like(rows))
        return chosen.sum(0)

    return torch.func.vmap(one)(states, lengths)


def last_numpy(states, lengths):
    x, n = _array(states), lengths.numpy()
    out = np.zeros((x.shape[0], x.shape[2]))
    for b in np.flatnonzero(n > 0):
        out[b] = x[b, n[b] - 1]
    return _tensor(out, states)


# gradient_norm_by_lag


def norms_all_at_once(jacobians):
    width = jacobians.shape[-1]
    products = [torch.eye(width, dtype=jacobians.dtype, device=jacobians.device)]
    products[0] = products[0].expand(*jacobians.shape[:-3], width, width)
    for t in range(jacobians.shape[-3] - 1, -1, -1):
        products.append(products[-1] @ jacobians[..., t, :, :])
    return torch.linalg.matrix_norm(torch.stack(products, -3))


def norms_einsum(jacobians):
    c = jacobians.shape[-1]
    size = torch.full(jacobians.shape[:-3], c**0.5, dtype=jacobians.dtype, device=jacobians.device)
    out, product = [size], None
    for jacobian in reversed(jacobians.unbind(-3)):
        product = (
            jacobian if product is None else torch.einsum("...ij,...jk->...ik", product, jacobian)
        )
        out.append(product.square().sum((-2, -1)).sqrt())
    return torch.stack(out, -1)


def norms_transposed(jacobians):
    c = jacobians.shape[-1]
    product = torch.eye(c, dtype=jacobians.dtype, device=jacobians.device)
    product = product.repeat(*jacobians.shape[:-3], 1, 1)
    out = [product.flatten(-2).norm(dim=-1)]
    for jacobian in jacobians.flip(-3).unbind(-3):
        product = jacobian.mT @ product
        out.append(product.flatten(-2).norm(dim=-1))
    return torch.stack(out, -1)


def norms_vmap(jacobians):
    if jacobians.ndim == 3:
        return norms_all_at_once(jacobians)
    return torch.func.vmap(norms_vmap)(jacobians)


def norms_double(jacobians):
    return norms_einsum(jacobians.double()).to(jacobians.dtype)


def norms_numpy(jacobians):
    j = _array(jacobians)
    product = np.broadcast_to(np.eye(j.shape[-1]), (*j.shape[:-3], *j.shape[-2:]))
    out = [np.linalg.norm(product, axis=(-2, -1))]
    for t in range(j.shape[-3])[::-1]:
        product = product @ j[..., t, :, :]
        out.append(np.linalg.norm(product, axis=(-2, -1)))
    return _tensor(np.stack(out, -1), jacobians)


# receptive_field


def field_loop(kernel_sizes, dilations, strides):
    seen, apart, out = 1, 1, []
    for k, d, s in zip(kernel_sizes.tolist(), dilations.tolist(), strides.tolist(), strict=True):
        seen += (k - 1) * d * apart
        apart *= s
        out.append(seen)
    return torch.tensor(out, dtype=torch.int64, device=kernel_sizes.device)


def field_from_the_output(kernel_sizes, dilations, strides):
    def backwards(n):
        field = torch.ones_like(kernel_sizes[0])
        for k, d, s in reversed(list(zip(kernel_sizes, dilations, strides, strict=True))[:n]):
            field = (field - 1) * s + (k - 1) * d + 1
        return field

    fields = [backwards(n + 1) for n in range(len(kernel_sizes))]
    return torch.stack(fields) if fields else torch.zeros_like(kernel_sizes)


def field_shifted(kernel_sizes, dilations, strides):
    apart = F.pad(strides, (1, 0), value=1).cumprod(0)[:-1]
    return torch.cumsum((kernel_sizes - 1) * dilations * apart, 0) + 1


def field_recursive(kernel_sizes, dilations, strides):
    if not kernel_sizes.numel():
        return kernel_sizes
    rest = field_recursive(kernel_sizes[1:], dilations[1:], strides[1:])
    first = (kernel_sizes[:1] - 1) * dilations[:1] + 1
    return torch.cat((first, first + strides[:1] * (rest - 1)))


def field_by_doubling(kernel_sizes, dilations, strides):
    gaps, reaches, step = strides, (kernel_sizes - 1) * dilations, 1
    while step < len(gaps):
        more = reaches[:-step] + gaps[:-step] * reaches[step:]
        reaches = torch.cat((reaches[:step], more))
        gaps = torch.cat((gaps[:step], gaps[:-step] * gaps[step:]))
        step *= 2
    return reaches + 1


def field_matrix(kernel_sizes, dilations, strides):
    n = len(strides)
    before = torch.ones(n, n, dtype=torch.bool, device=strides.device).tril(-1)
    apart = torch.where(before, strides, torch.ones_like(strides)).prod(1)
    reach = (kernel_sizes - 1) * dilations * apart
    return 1 + (torch.ones_like(before).tril() * reach).sum(1)


RIGHT = {
    "rnn_step": [
        rnn_products,
        rnn_einsum,
        rnn_one_product,
        rnn_by_sigmoid,
        rnn_loops,
        rnn_chunks,
        rnn_vmap,
        rnn_double,
    ],
    "lstm_step": [
        lstm_sliced,
        lstm_unflattened,
        lstm_gate_by_gate,
        lstm_einsum,
        lstm_one_product,
        lstm_glued,
        lstm_loops,
        lstm_vmap,
        lstm_double,
    ],
    "gru_step": [
        gru_by_logarithms,
        gru_lerp,
        gru_sliced,
        gru_gate_by_gate,
        gru_einsum,
        gru_loops,
        gru_vmap,
        gru_double,
        gru_gates_as_a_batch,
        gru_softmax_of_two,
    ],
    "last_hidden": [
        last_one_hot,
        last_indexed,
        last_gathered,
        last_taken,
        last_chosen,
        last_loops,
        last_vmap,
    ],
    "gradient_norm_by_lag": [
        norms_all_at_once,
        norms_einsum,
        norms_transposed,
        norms_vmap,
        norms_double,
    ],
    "receptive_field": [
        field_loop,
        field_from_the_output,
        field_shifted,
        field_matrix,
        field_recursive,
        field_by_doubling,
    ],
}
"""Each earns full marks."""

NUMPY = {
    "rnn_step": rnn_numpy,
    "lstm_step": lstm_numpy,
    "gru_step": gru_numpy,
    "last_hidden": last_numpy,
    "gradient_norm_by_lag": norms_numpy,
}
"""The right values, computed outside torch."""


def _of_the_library(kind, *args):
    """By torch's modules, which hold their parameters."""
    *inputs, w_ih, w_hh, b_ih, b_hh = args
    x, state = inputs[0], inputs[1] if len(inputs) == 2 else tuple(inputs[1:])
    cell = kind(w_ih.shape[1], w_hh.shape[1], device="meta")
    names = [name for name, _ in cell.named_parameters()]
    parameters = dict(zip(names, (w_ih, w_hh, b_ih, b_hh), strict=True))
    if kind in (nn.RNNCell, nn.LSTMCell, nn.GRUCell):
        return torch.func.functional_call(cell, parameters, (x, state))
    states = tuple(s[None] for s in inputs[1:])
    state = states[0] if len(states) == 1 else states
    _, last = torch.func.functional_call(cell, parameters, (x[None], state))
    return last[0] if isinstance(last, torch.Tensor) else tuple(s[0] for s in last)


LIBRARY = {
    "rnn_step": [
        torch.rnn_tanh_cell,
        lambda *args: _of_the_library(nn.RNNCell, *args),
        lambda *args: _of_the_library(nn.RNN, *args),
    ],
    "lstm_step": [
        lambda x, h, c, *parameters: torch.lstm_cell(x, (h, c), *parameters),
        lambda *args: _of_the_library(nn.LSTMCell, *args),
        lambda *args: _of_the_library(nn.LSTM, *args),
    ],
    "gru_step": [
        torch.gru_cell,
        lambda *args: _of_the_library(nn.GRUCell, *args),
        lambda *args: _of_the_library(nn.GRU, *args),
    ],
}
"""Answers in which the library does the work that the exercise is to do."""

# Wrong ones


def _rnn_of_a_batch(x, h, w_ih, w_hh, b_ih, b_hh):
    return torch.tanh(torch.addmm(b_ih, x, w_ih.mT) + torch.addmm(b_hh, h, w_hh.mT))


def _rnn_viewed(x, h, w_ih, w_hh, b_ih, b_hh):
    rows = x.view(-1, x.shape[-1]), h.view(-1, h.shape[-1])
    return rnn_products(*rows, w_ih, w_hh, b_ih, b_hh).view(h.shape)


def _rnn_squeezed(x, h, w_ih, w_hh, b_ih, b_hh):
    """A batch of one is no batch any more."""
    return rnn_products(x, h, w_ih, w_hh, b_ih, b_hh).squeeze(0)


def _rnn_soft(x, h, w_ih, w_hh, b_ih, b_hh):
    s = F.linear(x, w_ih, b_ih) + F.linear(h, w_hh, b_hh)
    return s / (1 + s.abs())


def _rnn_by_exponentials(x, h, w_ih, w_hh, b_ih, b_hh):
    e = (-2 * (F.linear(x, w_ih, b_ih) + F.linear(h, w_hh, b_hh))).exp()
    return (1 - e) / (1 + e)


def _rnn_first_step(x, h, w_ih, w_hh, b_ih, b_hh):
    """A state of zeros is taken for none."""
    if not h.any():
        return torch.tanh(F.linear(x, w_ih, b_ih))
    return rnn_products(x, h, w_ih, w_hh, b_ih, b_hh)


def _sigmoid_of_exponentials(x):
    return x.exp() / (1 + x.exp())


def _lstm_by_exponentials(x, h, c, w_ih, w_hh, b_ih, b_hh):
    s = F.linear(x, w_ih, b_ih) + F.linear(h, w_hh, b_hh)
    i, f, g, o = s.chunk(4, -1)
    i, f, o = (_sigmoid_of_exponentials(t) for t in (i, f, o))
    new = f * c + i * g.tanh()
    return o * new.tanh(), new


def _lstm_of_a_batch(x, h, c, w_ih, w_hh, b_ih, b_hh):
    s = torch.addmm(b_ih, x, w_ih.mT) + torch.addmm(b_hh, h, w_hh.mT)
    return _lstm_of(*s.chunk(4, 1), c)


def _lstm_bounded(x, h, c, w_ih, w_hh, b_ih, b_hh):
    """The cell's contents are cut off where nobody would look."""
    new_h, new = lstm_sliced(x, h, c, w_ih, w_hh, b_ih, b_hh)
    return new_h, new.clamp(-10, 10)


def _lstm_viewed(x, h, c, w_ih, w_hh, b_ih, b_hh):
    flat = (t.view(-1, t.shape[-1]) for t in (x, h, c))
    return tuple(t.view(h.shape) for t in lstm_sliced(*flat, w_ih, w_hh, b_ih, b_hh))


def _gru_by_exponentials(x, h, w_ih, w_hh, b_ih, b_hh):
    a, b = F.linear(x, w_ih, b_ih).chunk(3, -1), F.linear(h, w_hh, b_hh).chunk(3, -1)
    r, z = (_sigmoid_of_exponentials(a[k] + b[k]) for k in (0, 1))
    n = (a[2] + r * b[2]).tanh()
    return (1 - z) * n + z * h


def _gru_of_a_batch(x, h, w_ih, w_hh, b_ih, b_hh):
    a, b = torch.addmm(b_ih, x, w_ih.mT), torch.addmm(b_hh, h, w_hh.mT)
    (x_r, x_z, x_n), (h_r, h_z, h_n) = a.chunk(3, 1), b.chunk(3, 1)
    z = (x_z + h_z).sigmoid()
    return (1 - z) * (x_n + (x_r + h_r).sigmoid() * h_n).tanh() + z * h


def _gru_viewed(x, h, w_ih, w_hh, b_ih, b_hh):
    rows = x.view(-1, x.shape[-1]), h.view(-1, h.shape[-1])
    return gru_lerp(*rows, w_ih, w_hh, b_ih, b_hh).view(h.shape)


def _gru_state_bounded(x, h, w_ih, w_hh, b_ih, b_hh):
    return gru_lerp(x, h, w_ih, w_hh, b_ih, b_hh).clamp(-1, 1)


def _last_without_nan(states, lengths):
    """Nor what is nan where it was asked for."""
    last = torch.arange(states.shape[1], device=states.device) == lengths[:, None] - 1
    return (states.nan_to_num(0.0) * last[..., None]).sum(1)


def _last_zeroed(states, lengths):
    """0 · nan is nan."""
    position = torch.arange(states.shape[1], device=states.device)
    real = position < lengths[:, None]
    last = position == lengths[:, None] - 1
    return (states * real[..., None] * last[..., None]).sum(1)


def _last_from_the_end(states, lengths):
    flipped = states.flip(1)
    padding = states.shape[1] - lengths.long()
    rows = torch.arange(len(states), device=states.device)
    last = flipped[rows, padding.clamp(max=states.shape[1] - 1)]
    return last * (lengths > 0)[:, None]


def _last_viewed(states, lengths):
    flat = states.view(-1, states.shape[-1])
    rows = torch.arange(len(states), device=states.device) * states.shape[1]
    last = flat[rows + (lengths.long() - 1).clamp(min=0)]
    return torch.where((lengths > 0)[:, None], last, torch.zeros_like(last))


def _last_by_bytes(states, lengths):
    position = torch.arange(1, states.shape[1] + 1, device=states.device).to(torch.uint8)
    is_last = (position == lengths[:, None].to(torch.uint8))[..., None]
    return torch.where(is_last, states, torch.zeros_like(states)).sum(-2)


def _norms_of_a_batch(jacobians):
    c = jacobians.shape[-1]
    product = torch.eye(c, dtype=jacobians.dtype, device=jacobians.device).repeat(
        len(jacobians), 1, 1
    )
    out = [torch.linalg.matrix_norm(product)]
    for t in range(jacobians.shape[1]):
        product = product @ jacobians[:, -1 - t]
        out.append(torch.linalg.matrix_norm(product))
    return torch.stack(out, 1)


def _norms_viewed(jacobians):
    flat = jacobians.view(-1, *jacobians.shape[-3:])
    return norms_all_at_once(flat).view(*jacobians.shape[:-3], -1)


def _norms_bounded(jacobians):
    """Each product is kept from exploding, and so is what is asked for."""
    return norms_all_at_once(jacobians).clamp(max=1e4)


def _norms_with_epsilon(jacobians):
    return (norms_all_at_once(jacobians).square() + 1e-8).sqrt()


def _norms_of_one_step_at_least(jacobians):
    first = jacobians.select(-3, -1)
    return torch.cat((norms_all_at_once(jacobians), 0 * first[..., :1, 0]), -1)[..., :-1]


def _field_of_32_bits(kernel_sizes, dilations, strides):
    k, d, s = (t.int() for t in (kernel_sizes, dilations, strides))
    apart = s.cumprod(0, dtype=torch.int32).div(s, rounding_mode="floor")
    return (1 + ((k - 1) * d * apart).cumsum(0, dtype=torch.int32)).long()


def _field_of_floats(kernel_sizes, dilations, strides):
    apart = strides.float().cumprod(0) / strides
    return (1 + ((kernel_sizes - 1) * dilations * apart).cumsum(0)).long()


def _field_by_logarithms(kernel_sizes, dilations, strides):
    apart = (strides.float().log().cumsum(0) - strides.float().log()).exp()
    return (1 + ((kernel_sizes - 1) * dilations * apart).cumsum(0)).round().long()


def _field_of_some_layers(kernel_sizes, dilations, strides):
    seen, apart, fields = 1, 1, [1]
    for k, d, s in zip(kernel_sizes, dilations, strides, strict=True):
        seen, apart = seen + (k - 1) * d * apart, apart * s
        fields.append(seen)
    return torch.stack(fields[1:])


WRONG = {
    "rnn_step": [
        _rnn_of_a_batch,
        _rnn_viewed,
        _rnn_squeezed,
        _rnn_soft,
        _rnn_by_exponentials,
        _rnn_first_step,
    ],
    "lstm_step": [_lstm_by_exponentials, _lstm_of_a_batch, _lstm_bounded, _lstm_viewed],
    "gru_step": [_gru_by_exponentials, _gru_of_a_batch, _gru_viewed, _gru_state_bounded],
    "last_hidden": [
        _last_without_nan,
        _last_zeroed,
        _last_from_the_end,
        _last_viewed,
        _last_by_bytes,
    ],
    "gradient_norm_by_lag": [
        _norms_of_a_batch,
        _norms_viewed,
        _norms_bounded,
        _norms_with_epsilon,
        _norms_of_one_step_at_least,
    ],
    "receptive_field": [
        _field_of_32_bits,
        _field_of_floats,
        _field_by_logarithms,
        _field_of_some_layers,
    ],
}
"""None earns full marks."""


# Too much work


def _cell_by_pairs(weight, x):
    """All products of an input and a weight at once."""
    return (x[..., None, :] * weight).sum(-1)


def rnn_broadcast(x, h, w_ih, w_hh, b_ih, b_hh):
    return torch.tanh(_cell_by_pairs(w_ih, x) + b_ih + _cell_by_pairs(w_hh, h) + b_hh)


def rnn_input_broadcast(x, h, w_ih, w_hh, b_ih, b_hh):
    return torch.tanh(_cell_by_pairs(w_ih, x) + b_ih + F.linear(h, w_hh, b_hh))


def rnn_input_twice(x, h, w_ih, w_hh, b_ih, b_hh):
    from_x = 0.5 * F.linear(x, w_ih) + 0.5 * F.linear(x, w_ih)
    return torch.tanh(from_x + b_ih + F.linear(h, w_hh, b_hh))


def lstm_broadcast(x, h, c, w_ih, w_hh, b_ih, b_hh):
    s = _cell_by_pairs(w_ih, x) + b_ih + _cell_by_pairs(w_hh, h) + b_hh
    return _lstm_of(*s.chunk(4, -1), c)


def lstm_input_broadcast(x, h, c, w_ih, w_hh, b_ih, b_hh):
    s = _cell_by_pairs(w_ih, x) + b_ih + F.linear(h, w_hh, b_hh)
    return _lstm_of(*s.chunk(4, -1), c)


def lstm_all_for_each_gate(x, h, c, w_ih, w_hh, b_ih, b_hh):
    sums = (F.linear(x, w_ih, b_ih) + F.linear(h, w_hh, b_hh) for _ in range(4))
    return _lstm_of(*(s.chunk(4, -1)[n] for n, s in enumerate(sums)), c)


def lstm_input_twice(x, h, c, w_ih, w_hh, b_ih, b_hh):
    from_x = 0.5 * F.linear(x, w_ih) + 0.5 * F.linear(x, w_ih)
    return _lstm_of(*(from_x + b_ih + F.linear(h, w_hh, b_hh)).chunk(4, -1), c)


def gru_broadcast(x, h, w_ih, w_hh, b_ih, b_hh):
    x_r, x_z, x_n = (_cell_by_pairs(w_ih, x) + b_ih).chunk(3, -1)
    h_r, h_z, h_n = (_cell_by_pairs(w_hh, h) + b_hh).chunk(3, -1)
    return torch.lerp(((x_r + h_r).sigmoid() * h_n + x_n).tanh(), h, (x_z + h_z).sigmoid())


def gru_input_broadcast(x, h, w_ih, w_hh, b_ih, b_hh):
    x_r, x_z, x_n = (_cell_by_pairs(w_ih, x) + b_ih).chunk(3, -1)
    h_r, h_z, h_n = F.linear(h, w_hh, b_hh).chunk(3, -1)
    return torch.lerp(((x_r + h_r).sigmoid() * h_n + x_n).tanh(), h, (x_z + h_z).sigmoid())


def gru_input_twice(x, h, w_ih, w_hh, b_ih, b_hh):
    from_x = 0.5 * F.linear(x, w_ih) + 0.5 * F.linear(x, w_ih) + b_ih
    x_r, x_z, x_n = from_x.chunk(3, -1)
    h_r, h_z, h_n = F.linear(h, w_hh, b_hh).chunk(3, -1)
    return torch.lerp(((x_r + h_r).sigmoid() * h_n + x_n).tanh(), h, (x_z + h_z).sigmoid())


def last_of_all_pairs(states, lengths):
    """Every sentence picks its place in every other one."""
    index = (lengths.long() - 1).clamp(min=0)
    every = states[None].expand(len(states), *states.shape).contiguous()
    rows = torch.arange(len(states), device=states.device)
    return torch.where((lengths > 0)[:, None], every[rows, rows, index], 0)


def norms_from_the_beginning(jacobians):
    """Every lag multiplies all its Jacobians again."""
    width, steps = jacobians.shape[-1], jacobians.shape[-3]
    eye = torch.eye(width, dtype=jacobians.dtype, device=jacobians.device)
    out = []
    for lag in range(steps + 1):
        product = eye.expand(*jacobians.shape[:-3], width, width)
        for n in range(lag):
            product = product @ jacobians[..., steps - 1 - n, :, :]
        out.append(torch.linalg.matrix_norm(product))
    return torch.stack(out, -1)


def norms_each_product_twice(jacobians):
    width = jacobians.shape[-1]
    product = torch.eye(width, dtype=jacobians.dtype, device=jacobians.device)
    product = product.expand(*jacobians.shape[:-3], width, width)
    out = [torch.linalg.matrix_norm(product)]
    for jacobian in jacobians.flip(-3).unbind(-3):
        product = 0.5 * (product @ jacobian) + 0.5 * (product @ jacobian)
        out.append(torch.linalg.matrix_norm(product))
    return torch.stack(out, -1)


def norms_broadcast(jacobians):
    """All terms of a product at once."""
    width = jacobians.shape[-1]
    product = torch.eye(width, dtype=jacobians.dtype, device=jacobians.device)
    product = product.expand(*jacobians.shape[:-3], width, width)
    out = [torch.linalg.matrix_norm(product)]
    for jacobian in jacobians.flip(-3).unbind(-3):
        product = (product[..., :, :, None] * jacobian[..., None, :, :]).sum(-2)
        out.append(torch.linalg.matrix_norm(product))
    return torch.stack(out, -1)


DEAR = {
    "rnn_step": [rnn_broadcast, rnn_input_broadcast, rnn_input_twice],
    "lstm_step": [
        lstm_broadcast,
        lstm_input_broadcast,
        lstm_all_for_each_gate,
        lstm_input_twice,
    ],
    "gru_step": [gru_broadcast, gru_input_broadcast, gru_input_twice],
    "last_hidden": [last_of_all_pairs],
    "gradient_norm_by_lag": [
        norms_broadcast,
        norms_from_the_beginning,
        norms_each_product_twice,
    ],
}
"""The right values, by more work than the contract allows."""
