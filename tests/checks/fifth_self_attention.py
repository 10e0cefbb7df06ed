"""Wrong answers to self_attention of a fifth trial, by others who had not seen the traps."""

import torch
from fresh import answer


# queries and keys exchanged
@answer("queries and keys swapped")
def self_attention__queries_and_keys_exchanged(x, w_q, w_k, w_v, keep=None):
    from tutor.attention import scaled_dot_product_attention

    return scaled_dot_product_attention(x @ w_k, x @ w_q, x @ w_v, keep)


# values not projected
@answer("values not projected")
def self_attention__values_not_projected(x, w_q, w_k, w_v, keep=None):
    from tutor.attention import scaled_dot_product_attention

    return scaled_dot_product_attention(x @ w_q, x @ w_k, x, keep)


# keep not passed on
@answer("the mask forgotten")
def self_attention__keep_not_passed_on(x, w_q, w_k, w_v, keep=None):
    from tutor.attention import scaled_dot_product_attention

    return scaled_dot_product_attention(x @ w_q, x @ w_k, x @ w_v)


# scaled with the width of the model instead of the key's
@answer("scaled by the width of the model")
def self_attention__scaled_with_the_width_of_the(x, w_q, w_k, w_v, keep=None):
    scores = (x @ w_q) @ (x @ w_k).mT / x.shape[-1] ** 0.5
    if keep is None:
        return scores.softmax(-1) @ (x @ w_v)
    scores = scores.masked_fill(~keep, torch.finfo(scores.dtype).min)
    return (scores.softmax(-1) * keep) @ (x @ w_v)


# scaled twice
@answer("divided by D instead of √D")
def self_attention__scaled_twice(x, w_q, w_k, w_v, keep=None):
    from tutor.attention import scaled_dot_product_attention

    q = x @ w_q / w_q.shape[-1] ** 0.5
    return scaled_dot_product_attention(q, x @ w_k, x @ w_v, keep)


# softmax over the queries
@answer("softmax over the queries")
def self_attention__softmax_over_the_queries(x, w_q, w_k, w_v, keep=None):
    scores = (x @ w_q) @ (x @ w_k).mT / w_q.shape[-1] ** 0.5
    if keep is None:
        return scores.softmax(-2) @ (x @ w_v)
    scores = scores.masked_fill(~keep, torch.finfo(scores.dtype).min)
    return (scores.softmax(-2) * keep) @ (x @ w_v)


# cut into three equal parts: values taken to be as wide as keys
@answer("three equal parts")
def self_attention__cut_into_three_equal_parts(x, w_q, w_k, w_v, keep=None):
    from tutor.attention import scaled_dot_product_attention

    q, k, v = (x @ torch.cat((w_q, w_k, w_v), dim=-1)).chunk(3, dim=-1)
    return scaled_dot_product_attention(q, k, v, keep)


# minus infinity: nan for a token that may read nothing
@answer("the row that may read nothing")
def self_attention__minus_infinity(x, w_q, w_k, w_v, keep=None):
    scores = (x @ w_q) @ (x @ w_k).mT / w_q.shape[-1] ** 0.5
    if keep is not None:
        scores = scores.masked_fill(~keep, float("-inf"))
    return scores.softmax(-1) @ (x @ w_v)


# two: mask inverted, scale forgotten
@answer("no scale", "mask inverted")
def self_attention__two_mask_inverted_scale_forgotten(x, w_q, w_k, w_v, keep=None):
    scores = (x @ w_q) @ (x @ w_k).mT
    if keep is None:
        return scores.softmax(-1) @ (x @ w_v)
    scores = scores.masked_fill(keep, torch.finfo(scores.dtype).min)
    return (scores.softmax(-1) * ~keep) @ (x @ w_v)


# two: queries and keys exchanged, hidden after the softmax
@answer("queries and keys swapped", "masked after the softmax")
def self_attention__two_queries_and_keys_exchanged_hidden(x, w_q, w_k, w_v, keep=None):
    weights = ((x @ w_k) @ (x @ w_q).mT / w_q.shape[-1] ** 0.5).softmax(-1)
    if keep is not None:
        weights = weights * keep
    return weights @ (x @ w_v)
