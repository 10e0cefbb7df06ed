"""Wrong answers to attention_backward of a fifth trial, by others who had not seen the traps."""

import torch
from fresh import answer


def _weights(scores, keep):
    if keep is None:
        return scores.softmax(-1)
    return scores.masked_fill(~keep, torch.finfo(scores.dtype).min).softmax(-1) * keep


def _grad_scores(weights, grad_weights):
    mean = (weights * grad_weights).sum(-1, keepdim=True)
    return weights * (grad_weights - mean)


# scale forgotten on the way back
@answer("the scale forgotten on the way back")
def attention_backward__scale_forgotten_on_the_way_back(grad_out, q, k, v, keep=None):
    weights = _weights(q @ k.mT / q.shape[-1] ** 0.5, keep)
    grad_scores = _grad_scores(weights, grad_out @ v.mT)
    return grad_scores @ k, grad_scores.mT @ q, weights.mT @ grad_out


# softmax differentiated like a sigmoid: diagonal only
@answer("the derivative of a sigmoid")
def attention_backward__softmax_differentiated_like_a_sigmoid(grad_out, q, k, v, keep=None):
    root = q.shape[-1] ** 0.5
    weights = _weights(q @ k.mT / root, keep)
    grad_weights = grad_out @ v.mT
    grad_scores = weights * (1 - weights) * grad_weights
    return grad_scores @ k / root, grad_scores.mT @ q / root, weights.mT @ grad_out


# plain mean instead of the mean under the weights
@answer("a plain mean")
def attention_backward__plain_mean_instead_of_the_mean(grad_out, q, k, v, keep=None):
    root = q.shape[-1] ** 0.5
    weights = _weights(q @ k.mT / root, keep)
    grad_weights = grad_out @ v.mT
    grad_scores = weights * (grad_weights - grad_weights.mean(-1, keepdim=True))
    return grad_scores @ k / root, grad_scores.mT @ q / root, weights.mT @ grad_out


# mean taken over the queries instead of the keys
@answer("summed over the queries")
def attention_backward__mean_taken_over_the_queries_instead(grad_out, q, k, v, keep=None):
    root = q.shape[-1] ** 0.5
    weights = _weights(q @ k.mT / root, keep)
    grad_weights = grad_out @ v.mT
    mean = (weights * grad_weights).sum(-2, keepdim=True)
    grad_scores = weights * (grad_weights - mean)
    return grad_scores @ k / root, grad_scores.mT @ q / root, weights.mT @ grad_out


# keep ignored when the weights are recomputed
@answer("the mask forgotten on the way back")
def attention_backward__keep_ignored_when_the_weights_are(grad_out, q, k, v, keep=None):
    root = q.shape[-1] ** 0.5
    weights = (q @ k.mT / root).softmax(-1)
    grad_scores = _grad_scores(weights, grad_out @ v.mT)
    return grad_scores @ k / root, grad_scores.mT @ q / root, weights.mT @ grad_out


# ds not transposed for the keys
@answer("a product on its side")
def attention_backward__ds_not_transposed_for_the_keys(grad_out, q, k, v, keep=None):
    root = q.shape[-1] ** 0.5
    weights = _weights(q @ k.mT / root, keep)
    grad_scores = _grad_scores(weights, grad_out @ v.mT)
    return grad_scores @ k / root, grad_scores @ q / root, weights.mT @ grad_out


# equal weights where nothing may be read: gradients there
@answer("the row that may read nothing")
def attention_backward__equal_weights_where_nothing_may_be(grad_out, q, k, v, keep=None):
    root = q.shape[-1] ** 0.5
    scores = q @ k.mT / root
    if keep is not None:
        scores = scores.masked_fill(~keep, torch.finfo(scores.dtype).min)
    weights = scores.softmax(-1)
    grad_scores = _grad_scores(weights, grad_out @ v.mT)
    return grad_scores @ k / root, grad_scores.mT @ q / root, weights.mT @ grad_out


# weights recomputed without the scale
@answer("no scale")
def attention_backward__weights_recomputed_without_the_scale(grad_out, q, k, v, keep=None):
    root = q.shape[-1] ** 0.5
    weights = _weights(q @ k.mT, keep)
    grad_scores = _grad_scores(weights, grad_out @ v.mT)
    return grad_scores @ k / root, grad_scores.mT @ q / root, weights.mT @ grad_out


# two: mean forgotten in the softmax's derivative, scale forgotten on the way back
@answer("the other weights forgotten", "the scale forgotten on the way back")
def attention_backward__two_mean_forgotten_in_the_softmax(grad_out, q, k, v, keep=None):
    weights = _weights(q @ k.mT / q.shape[-1] ** 0.5, keep)
    grad_scores = weights * (grad_out @ v.mT)
    return grad_scores @ k, grad_scores.mT @ q, weights.mT @ grad_out


# two: nan where nothing may be read, sign of ds wrong
@answer("the sign flipped", "the row that may read nothing")
def attention_backward__two_nan_where_nothing_may_be(grad_out, q, k, v, keep=None):
    root = q.shape[-1] ** 0.5
    scores = q @ k.mT / root
    if keep is not None:
        scores = scores.masked_fill(~keep, float("-inf"))
    weights = scores.softmax(-1)
    grad_weights = grad_out @ v.mT
    mean = (weights * grad_weights).sum(-1, keepdim=True)
    grad_scores = weights * (mean - grad_weights)
    return grad_scores @ k / root, grad_scores.mT @ q / root, weights.mT @ grad_out
