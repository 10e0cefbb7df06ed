"""The GRU's step in parts: the right ones, and the wrong ones that people make of them."""

import torch
from torch.nn import functional as F

from tutor.checks.changes import changeable
from tutor.checks.recurrence.cells import as_it_is, both_biases, candidate, gate, products


def both_states(h):
    """As the products read it, and as it is mixed in."""
    return h, h


def blocks(s, x, h):
    return s.chunk(3, -1)


def added(from_x, from_h):
    return from_x + from_h


def both_gates(r, z):
    return r, z


def past(from_x, from_h, r, h, of_n):
    return from_x + r * from_h


def new(n, h, z, r):
    return (1 - z) * n + z * h


def step(
    x,
    h,
    w_ih,
    w_hh,
    b_ih,
    b_hh,
    state=both_states,
    order="rzn",
    cut=blocks,
    products=products,
    biases=both_biases,
    sums=added,
    gate=gate,
    gates=both_gates,
    share=as_it_is,
    past=past,
    candidate=candidate,
    new=new,
    shape=as_it_is,
):
    """The right step, but for the order of its gates or for one of its parts."""
    read, kept = state(h)
    b_ih, b_hh = biases(b_ih, b_hh)
    both = products(x, read, w_ih, w_hh, b_ih, b_hh)
    from_x, from_h = (dict(zip(order, cut(s, x, h), strict=True)) for s in both)
    r, z = gates(*(gate(sums(from_x[name], from_h[name])) for name in "rz"))
    of_n = tuple(t.chunk(3)[order.index("n")] for t in (w_hh, b_ih, b_hh))
    n = past(from_x["n"], from_h["n"], r, read, of_n)
    return shape(new(candidate(n), kept, share(z), r))


with_ = changeable(step)


def state_in_another_order(x, h, w_ih, w_hh, b_ih, b_hh):
    from_x, from_h = products(x, h, w_ih, w_hh, b_ih, b_hh)
    r, z, n = from_h.chunk(3, -1)
    return from_x, torch.cat((z, r, n), -1)


WRONG_ORDERS = (
    *(with_(order=order) for order in ("zrn", "rnz", "nrz", "znr", "nzr")),
    with_(products=state_in_another_order),
)


# Other states


def in_place(x, h, w_ih, w_hh, b_ih, b_hh):
    h.copy_(step(x, h, w_ih, w_hh, b_ih, b_hh))
    return h


def detached(h):
    return h.detach(), h.detach()


def detached_where_it_is_mixed_in(h):
    return h, h.detach()


def detached_where_it_is_read(h):
    return h.detach(), h


# Other cuts


def along(dim):
    def cut(s, x, h):
        first, second, third = s.chunk(3, dim)
        return first, second, third

    return cut


def interleaved(s, x, h):
    return s.unflatten(-1, (-1, 3)).unbind(-1)


def in_threes(s, x, h):
    first, second, third = s.split(3, -1)
    return first, second, third


def _sliced(s, c):
    return s[..., :c], s[..., c : 2 * c], s[..., 2 * c : 3 * c]


def _sliced_to_the_end(s, c):
    return s[..., :c], s[..., c : 2 * c], s[..., 2 * c :]


def _split(s, c):
    first, second, third = s.split(c, -1)
    return first, second, third


def _second_sliced_to_the_end(s, c):
    return s[:, :c], s[:, c : 2 * c], s[:, 2 * c :]


def _second_split(s, c):
    first, second, third = s.split(c, 1)
    return first, second, third


def _width_of_input(x, h):
    return x.shape[-1]


def _width_of_state(x, h):
    return h.shape[-1]


def _size_of_second(x, h):
    return h.shape[1]


def _of_two(x, h):
    _, c = h.shape
    return c


def _cut(cut, width):
    def other(s, x, h):
        return cut(s, width(x, h))

    return other


BY_THE_INPUT = tuple(_cut(cut, _width_of_input) for cut in (_sliced, _sliced_to_the_end, _split))
COUNTED_FROM_THE_FRONT = (
    _cut(_second_sliced_to_the_end, _width_of_state),
    _cut(_second_sliced_to_the_end, _size_of_second),
    _cut(_second_split, _width_of_state),
    _cut(_second_split, _size_of_second),
    _cut(_sliced_to_the_end, _size_of_second),
    _cut(_split, _size_of_second),
    _cut(_sliced, _of_two),
)


# Other products and sums


def of_views(x, h, w_ih, w_hh, b_ih, b_hh):
    x, flat = x.view(-1, x.shape[-1]), h.view(-1, h.shape[-1])
    both = products(x, flat, w_ih, w_hh, b_ih, b_hh)
    return tuple(s.view(*h.shape[:-1], -1) for s in both)


def of_the_input_alone(from_x, from_h):
    return from_x


# Other gates


def update_for_both(r, z):
    return z, z


def reset_for_both(r, z):
    return r, r


def turned(z):
    return 1 - z


# Other candidates


def reset_on_all(from_x, from_h, r, h, of_n):
    return r * (from_x + from_h)


def reset_on_input(from_x, from_h, r, h, of_n):
    return r * from_x + from_h


def reset_on_both_biases(from_x, from_h, r, h, of_n):
    _, b_in, _ = of_n
    return from_x - b_in + r * (from_h + b_in)


def no_reset(from_x, from_h, r, h, of_n):
    return from_x + from_h


def reset_inverted(from_x, from_h, r, h, of_n):
    return from_x + (1 - r) * from_h


def reset_first(from_x, from_h, r, h, of_n):
    w_hn, _, b_hn = of_n
    return from_x + F.linear(r * h, w_hn, b_hn)


def bias_outside(from_x, from_h, r, h, of_n):
    _, _, b_hn = of_n
    return from_x + r * (from_h - b_hn) + b_hn


def no_bias_reset(from_x, from_h, r, h, of_n):
    _, _, b_hn = of_n
    return from_x + r * (from_h - b_hn)


# Other mixtures


def sum_of_new(n, h, z, r):
    return n + z * h


def sum_of_old(n, h, z, r):
    return (1 - z) * n + h


def sum_of_both(n, h, z, r):
    return n + h


def new_alone(n, h, z, r):
    return (1 - z) * n


def old_alone(n, h, z, r):
    return z * h


def candidate_alone(n, h, z, r):
    return n


def reset_kept(n, h, z, r):
    return (1 - z) * n + z * r * h


def old_squashed(n, h, z, r):
    return (1 - z) * n + z * h.tanh()


def squashed(n, h, z, r):
    return torch.tanh(new(n, h, z, r))


# Other shapes


def flat(s):
    return s.reshape(-1, s.shape[-1])


def at_least_a_batch(s):
    return s if s.ndim > 1 else s[None]


def squeezed(s):
    return s.squeeze()


def first_squeezed(s):
    return s.squeeze(0)


def last_squeezed(s):
    return s.squeeze(-1)
