"""The backward pass of attention, in steps: the right ones, and the wrong ones that people make."""

import torch

from tutor.checks.changes import changeable
from tutor.checks.softmax import weights


def any_batch(q):
    return q.shape[-1]


def root_of_width(width, q, k, v):
    return width**-0.5


def as_large_ahead(scale):
    return scale


def on_both(scale):
    return scale, scale


def each_with_each(a, b):
    return a @ b


def last_two(t, name):
    return t.mT


def through_softmax(w, dw):
    return w * (dw - (w * dw).sum(-1, keepdim=True))


def both(grad_scores, q, k, turned, meet):
    return meet(grad_scores, k), meet(turned, q)


def turned(shares, grad_out, turn, meet):
    return meet(turn(shares, "weights"), grad_out)


def each(grad_q, grad_k, grad_v):
    return grad_q, grad_k, grad_v


def backward(
    grad_out,
    q,
    k,
    v,
    keep=None,
    unpack=any_batch,
    rule=root_of_width,
    ahead=as_large_ahead,
    back=on_both,
    meet=each_with_each,
    turn=last_two,
    weigh=weights,
    through=through_softmax,
    on=both,
    of_values=turned,
    end=each,
    order=(0, 1, 2),
    **steps,
):
    """The right backward pass, but for the steps that are given."""
    scale = rule(unpack(q), q, k, v)
    shares = weigh(meet(q, turn(k, "keys")) * ahead(scale), keep, **steps)
    grad_scores = through(shares, meet(grad_out, turn(v, "values")))
    grad_q, grad_k = on(grad_scores, q, k, turn(grad_scores, "scores"), meet)
    of_queries, of_keys = back(scale)
    grad_v = of_values(shares, grad_out, turn, meet)
    gradients = end(grad_q * of_queries, grad_k * of_keys, grad_v)
    return tuple(gradients[i] for i in order)


with_ = changeable(backward)


# Another way through the softmax


def no_row_sum(w, dw):
    return w * dw


def sigmoid(w, dw):
    return w * (1 - w) * dw


def softmax_ignored(w, dw):
    return dw


def sum_over_queries(w, dw):
    return w * (dw - (w * dw).sum(-2, keepdim=True))


def plain_mean(w, dw):
    return w * (dw - dw.mean(-1, keepdim=True))


def plain_sum(w, dw):
    return w * (dw - dw.sum(-1, keepdim=True))


def mean_of_products(w, dw):
    return w * (dw - (w * dw).mean(-1, keepdim=True))


def sum_not_kept(w, dw):
    return w * (dw - (w * dw).sum(-1))


def not_weighted(w, dw):
    return dw - (w * dw).sum(-1, keepdim=True)


def one_term_weighted(w, dw):
    return w * dw - (w * dw).sum(-1, keepdim=True)


def sign(w, dw):
    return -through_softmax(w, dw)


# Another scale


def one(width, q, k, v):
    return 1.0


def by_width(width, q, k, v):
    return 1 / width


def half_of_width(width, q, k, v):
    return 2 / width


def times_root(width, q, k, v):
    return width**0.5


def by_values(width, q, k, v):
    return v.shape[-1] ** -0.5


def by_keys(width, q, k, v):
    return max(k.shape[-2], 1) ** -0.5


def by_queries(width, q, k, v):
    return max(q.shape[-2], 1) ** -0.5


def no_scale(scale):
    return 1.0


def squared(scale):
    return scale**2


def turned_round(scale):
    return 1 / scale


def on_neither(scale):
    return 1.0, 1.0


def on_queries(scale):
    return scale, 1.0


def on_keys(scale):
    return 1.0, scale


def twice(scale):
    return scale**2, scale**2


def twice_on_queries(scale):
    return scale**2, scale


def twice_on_keys(scale):
    return scale, scale**2


def twice_on_queries_only(scale):
    return scale**2, 1.0


def twice_on_keys_only(scale):
    return 1.0, scale**2


def multiplied(scale):
    return 1 / scale, 1 / scale


# Another product


def not_turned(shares, grad_out, turn, meet):
    return meet(shares, grad_out)


def keys_not_turned(grad_scores, q, k, turned, meet):
    return meet(grad_scores, k), meet(grad_scores, q)


def exchanged(grad_scores, q, k, turned, meet):
    return meet(grad_scores, q), meet(turned, k)


def _all_of(*names):
    def turn(t, name):
        return t.permute(*reversed(range(t.ndim))) if name in names else t.mT

    return turn


all_dimensions = _all_of("keys", "values", "scores", "weights")
all_dimensions_ahead = _all_of("keys")
all_dimensions_of_values = _all_of("values")
all_dimensions_of_weights = _all_of("scores", "weights")


# Another batch


def into_three(q):
    _, _, width = q.shape
    return width


def third_size(q):
    return q.shape[2]


def by_letters(a, b):
    return torch.einsum("bij,bjk->bik", a, b)


def by_bmm(a, b):
    return torch.bmm(a, b)


def _over_batch(gather, *numbers):
    """Gather some of the gradients over all that stands before their last two dimensions."""

    def end(*gradients):
        return tuple(gather(g) if i in numbers else g for i, g in enumerate(gradients))

    return end


def _batch_of(gradient):
    return tuple(range(gradient.ndim - 2))


def _sum(gradient):
    if gradient.ndim == 2:
        return gradient
    return gradient.sum(_batch_of(gradient), keepdim=True).expand(gradient.shape)


def _sum_to_one(gradient):
    return gradient if gradient.ndim == 2 else gradient.sum(_batch_of(gradient))


def _mean(gradient):
    if gradient.ndim == 2:
        return gradient
    return gradient.mean(_batch_of(gradient), keepdim=True).expand(gradient.shape)


keys_added_up = _over_batch(_sum, 1, 2)
keys_added_up_to_one = _over_batch(_sum_to_one, 1, 2)
keys_averaged = _over_batch(_mean, 1, 2)
all_added_up = _over_batch(_sum, 0, 1, 2)
all_averaged = _over_batch(_mean, 0, 1, 2)
