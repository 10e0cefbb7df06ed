"""The backward pass in tiles, in steps: the right ones, and the wrong ones that people make."""

import math
from collections.abc import Callable
from typing import Any

import torch

from tutor.checks.flash.tiles import (
    at_least_single,
    changed,
    consecutive,
    if_asked,
    lower_right,
    minus_infinity,
    root,
    unseen,
    up,
)


def of_the_answer(grad_out, out, weights_and_grads):
    return (grad_out * out).sum(-1)


def infinite_for_nothing(lse):
    return lse.masked_fill(lse == -math.inf, math.inf)


def from_lse(scores, lse):
    return (scores - lse[..., None]).exp()


def left_open(scores, visible):
    return scores


def zeroed(weights, visible):
    return weights if visible is None else weights.masked_fill(~visible, 0.0)


def through_softmax(weights, grad_weights, delta):
    return weights * (grad_weights - delta[..., None])


def all_heads(gradient, groups):
    return gradient.unflatten(-3, (groups, -1)).sum(-3)


def onto(gradient, part, tile):
    gradient[..., part, :] += tile


def on_both(scale):
    return scale, scale


def as_they_are(grad_q, grad_k, grad_v):
    return grad_q, grad_k, grad_v


def of_weights(weights, grad_scores):
    return weights


def as_given(lse):
    return lse


def backward(
    grad_out,
    q,
    k,
    v,
    out,
    lse,
    causal=False,
    query_tile=128,
    key_tile=256,
    spread=consecutive,
    scale=root,
    wide=at_least_single,
    tiles_of_queries=up,
    tiles_of_keys=up,
    asked=if_asked,
    limit=lower_right,
    skipped=unseen,
    less=of_the_answer,
    level=infinite_for_nothing,
    before=left_open,
    weigh=from_lse,
    hide=zeroed,
    through=through_softmax,
    gather=all_heads,
    to_queries=onto,
    to_keys=onto,
    to_values=onto,
    back=on_both,
    of_values=of_weights,
    told=as_they_are,
):
    """The right gradients, but for the parts that are given."""
    dtype, tq, tk, groups = wide(q), q.shape[-2], k.shape[-2], k.shape[-3]
    keys, values = (spread(t, q.shape[-3]).to(dtype) for t in (k, v))
    queries, grads, lse = q.to(dtype), grad_out.to(dtype), level(lse)
    factor = scale(q, k, v)
    grad_q, grad_k, grad_v = map(torch.zeros_like, (queries, keys, values))
    places = torch.arange(max(tq, tk), device=q.device)
    for i in range(tiles_of_queries(tq, query_tile)):
        rows = slice(i * query_tile, min((i + 1) * query_tile, tq))
        for j in range(tiles_of_keys(tk, key_tile)):
            columns = slice(j * key_tile, min((j + 1) * key_tile, tk))
            visible = limit(places[rows], places[columns], tq, tk) if asked(causal) else None
            if skipped(visible):
                continue
            scores = queries[..., rows, :] @ keys[..., columns, :].mT * factor
            weights = hide(weigh(before(scores, visible), lse[..., rows]), visible)
            grad_weights = grads[..., rows, :] @ values[..., columns, :].mT
            both = (weights, grad_weights)
            delta = less(grads[..., rows, :], out[..., rows, :].to(dtype), both)
            grad_scores = through(weights, grad_weights, delta)
            turned = of_values(weights, grad_scores)
            to_values(grad_v, columns, turned.mT @ grads[..., rows, :])
            to_queries(grad_q, rows, grad_scores @ keys[..., columns, :])
            to_keys(grad_k, columns, grad_scores.mT @ queries[..., rows, :])
    for_q, for_k = back(factor)
    grad_k, grad_v = (gather(g, groups) for g in (grad_k, grad_v))
    return tuple(g.to(q.dtype) for g in told(grad_q * for_q, grad_k * for_k, grad_v))


def with_(**parts: Callable[..., Any]) -> Callable[..., Any]:
    return changed(backward, parts)


# Another δ


def none(grad_out, out, weights_and_grads):
    return torch.zeros_like(out[..., 0])


def of_the_tile(grad_out, out, weights_and_grads):
    weights, grad_weights = weights_and_grads
    return (weights * grad_weights).sum(-1)


def the_mean(grad_out, out, weights_and_grads):
    return (grad_out * out).mean(-1)


def of_answers_alone(grad_out, out, weights_and_grads):
    return out.sum(-1)


def of_gradients_alone(grad_out, out, weights_and_grads):
    return grad_out.sum(-1)


def of_plain_gradients(grad_out, out, weights_and_grads):
    return weights_and_grads[1].sum(-1)


def sign_turned(weights, grad_weights, delta):
    return weights * (grad_weights + delta[..., None])


def negative(weights, grad_weights, delta):
    return -through_softmax(weights, grad_weights, delta)


def not_weighted(weights, grad_weights, delta):
    return grad_weights - delta[..., None]


def one_term_weighted(weights, grad_weights, delta):
    return weights * grad_weights - delta[..., None]


def straight_through(weights, grad_weights, delta):
    return grad_weights


def of_a_sigmoid(weights, grad_weights, delta):
    return weights * (1 - weights) * grad_weights


# Other weights


def of_the_tile_alone(scores, lse):
    return scores.softmax(-1)


def less_its_own_maximum(scores, lse):
    return (scores - scores.amax(-1, keepdim=True)).exp()


def not_divided(scores, lse):
    return scores.exp()


def over_lse(scores, lse):
    return scores.exp() / lse[..., None]


def over_its_power(scores, lse):
    return scores.exp() / lse[..., None].exp()


def in_base_two(scores, lse):
    return torch.exp2(scores - lse[..., None])


def scores_alone(scores, lse):
    return scores - lse[..., None]


def hidden_ahead(scores, visible):
    return minus_infinity(scores, visible)


def unhidden(weights, visible):
    return weights


def hidden_negative(weights, visible):
    return weights if visible is None else weights.masked_fill(visible, 0.0)


# Sums that are none


def assigned(gradient, part, tile):
    gradient[..., part, :] = tile


def taken_off(gradient, part, tile):
    gradient[..., part, :] -= tile


def forgotten(gradient, part, tile):
    pass


def last_head(gradient, groups):
    return gradient.unflatten(-3, (groups, -1))[..., -1, :, :]


def first_head(gradient, groups):
    return gradient.unflatten(-3, (groups, -1))[..., 0, :, :]


def mean_of_heads(gradient, groups):
    return gradient.unflatten(-3, (groups, -1)).mean(-3)


def of_each_head(gradient, groups):
    return gradient


def alternating(gradient, groups):
    return gradient.unflatten(-3, (-1, groups)).sum(-4)


# Another scale


def on_neither(scale):
    return 1.0, 1.0


def on_queries(scale):
    return scale, 1.0


def on_keys(scale):
    return 1.0, scale


def twice(scale):
    return scale**2, scale**2


def turned_round(scale):
    return 1 / scale, 1 / scale


def of_scores(weights, grad_scores):
    return grad_scores


def keys_and_values_exchanged(grad_q, grad_k, grad_v):
    return grad_q, grad_v, grad_k


def keys_first(grad_q, grad_k, grad_v):
    return grad_k, grad_q, grad_v


def two_of_them(grad_q, grad_k, grad_v):
    return grad_k, grad_v
