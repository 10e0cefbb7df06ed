"""Answers to chapter 7's exercises: right ones in other styles than the reference, and wrong ones
that are no trap. Those on the loss, the rate and decoding stand in a file of their own."""

import numpy as np
import torch
from torch.nn import functional as F

from answers import decoding, weights
from answers.multihead import cross_einsum, cross_library, cross_loop, cross_sum
from tutor.multihead import cross_attention

# Norms


def norm_var(x, weight, bias, eps=1e-5):
    wide = x if x.dtype == torch.float64 else x.float()
    variance, mean = torch.var_mean(wide, dim=-1, correction=0, keepdim=True)
    return ((wide - mean) / torch.sqrt(variance + eps) * weight + bias).to(x.dtype)


def norm_einsum(x, weight, bias, eps=1e-5):
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    centred = wide - wide.sum(-1, keepdim=True) / x.shape[-1]
    variance = torch.einsum("...c,...c->...", centred, centred)[..., None] / x.shape[-1]
    return torch.addcmul(bias, centred / (variance + eps) ** 0.5, weight).to(x.dtype)


def norm_matrix(x, weight, bias, eps=1e-5):
    """Taking off the mean is a product with a matrix."""
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    width = x.shape[-1]
    eye = torch.eye(width, dtype=wide.dtype, device=x.device)
    # In a difference from one feature a mean far from 0 is gone before anything is added up.
    centred = (wide - wide[..., :1]) @ (eye - 1 / width)
    size = torch.linalg.vector_norm(centred, dim=-1, keepdim=True) / width**0.5
    return (centred / torch.hypot(size, size.new_tensor(eps).sqrt()) * weight + bias).to(x.dtype)


def norm_token_by_token(x, weight, bias, eps=1e-5):
    rows = []
    for row in x.reshape(-1, x.shape[-1]).unbind(0):
        wide = row.double()
        centred = wide - wide.mean()
        rows.append((centred / ((centred**2).mean() + eps).sqrt() * weight + bias).to(x.dtype))
    return torch.stack(rows).reshape(x.shape)


def norm_double(x, weight, bias, eps=1e-5):
    wide = x.double()
    centred = wide - wide.mean(-1, keepdim=True)
    scale = centred.pow(2).mean(-1, keepdim=True).add(eps).rsqrt()
    return (centred * scale * weight.double() + bias.double()).to(x.dtype)


def norm_twice_centred(x, weight, bias, eps=1e-5):
    """The variance as the mean of the squares, less the square of a mean that is nearly 0."""
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    near = wide - wide.mean(-1, keepdim=True)
    rest = near.mean(-1, keepdim=True)
    variance = near.square().mean(-1, keepdim=True) - rest.square()
    return ((near - rest) * (variance + eps).rsqrt() * weight + bias).to(x.dtype)


def norm_vmap(x, weight, bias, eps=1e-5):
    def one(row):
        wide = row.to(torch.promote_types(row.dtype, torch.float32))
        centred = wide - wide.mean()
        return (centred * (centred.square().mean() + eps).rsqrt() * weight + bias).to(row.dtype)

    flat = x.reshape(-1, x.shape[-1])
    return torch.func.vmap(one)(flat).reshape(x.shape)


def norm_features_first(x, weight, bias, eps=1e-5):
    wide = x.to(torch.promote_types(x.dtype, torch.float32)).movedim(-1, 0)
    centred = wide - wide.mean(0)
    normed = centred / (centred * centred).mean(0).add(eps).sqrt()
    return (normed.movedim(0, -1) * weight + bias).to(x.dtype)


def norm_numpy(x, weight, bias, eps=1e-5):
    a = _array(x)
    centred = a - a.mean(-1, keepdims=True)
    normed = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + eps)
    return _tensor(normed * _array(weight) + _array(bias), x)


def norm_library(x, weight, bias, eps=1e-5):
    return F.layer_norm(x, x.shape[-1:], weight, bias, eps)


def norm_library_by_groups(x, weight, bias, eps=1e-5):
    rows = x.reshape(-1, x.shape[-1], 1)
    return F.group_norm(rows, 1, weight, bias, eps).reshape(x.shape)


# Feed-forward


def feed_linear(x, w_in, b_in, w_out, b_out):
    return F.linear(F.relu(F.linear(x, w_in.mT, b_in)), w_out.mT, b_out)


def feed_clamp(x, w_in, b_in, w_out, b_out):
    return (x.matmul(w_in) + b_in).clamp(min=0).matmul(w_out) + b_out


def feed_where(x, w_in, b_in, w_out, b_out):
    hidden = x @ w_in + b_in
    return torch.where(hidden > 0, hidden, torch.zeros_like(hidden)) @ w_out + b_out


def feed_einsum(x, w_in, b_in, w_out, b_out):
    hidden = torch.einsum("...c,cf->...f", x, w_in) + b_in
    return torch.einsum("...f,fc->...c", hidden * (hidden > 0), w_out) + b_out


def feed_ones(x, w_in, b_in, w_out, b_out):
    """Biases as one more row of each matrix, for a feature that is 1."""
    ones = torch.ones_like(x[..., :1])
    hidden = torch.cat((x, ones), -1) @ torch.cat((w_in, b_in[None]))
    return torch.cat((torch.relu(hidden), ones), -1) @ torch.cat((w_out, b_out[None]))


def feed_in_parts(x, w_in, b_in, w_out, b_out):
    """Some hidden features after others, added up."""
    out = b_out
    for w, b, back in zip(w_in.split(3, -1), b_in.split(3), w_out.split(3), strict=True):
        out = out + torch.relu(x @ w + b) @ back
    return out


def feed_flat(x, w_in, b_in, w_out, b_out):
    rows = x.reshape(-1, x.shape[-1])
    hidden = torch.addmm(b_in, rows, w_in).relu()
    return torch.addmm(b_out, hidden, w_out).reshape(*x.shape[:-1], -1)


def feed_token_by_token(x, w_in, b_in, w_out, b_out):
    rows = [
        torch.relu(row @ w_in + b_in) @ w_out + b_out
        for row in x.reshape(-1, x.shape[-1]).unbind(0)
    ]
    return torch.stack(rows).reshape(*x.shape[:-1], -1)


def feed_double(x, w_in, b_in, w_out, b_out):
    wide = (t.double() for t in (x, w_in, b_in, w_out, b_out))
    return feed_linear(*wide).to(x.dtype)


def feed_numpy(x, w_in, b_in, w_out, b_out):
    a, w, b, v, c = map(_array, (x, w_in, b_in, w_out, b_out))
    return _tensor(np.maximum(a @ w + b, 0) @ v + c, x)


# Layers


def _by_parts(attend, norm, feed):
    """An encoder's layer of such parts."""

    def encoder(x, attention, feed_weights, norms, num_heads, keep=None, norm_first=False):
        one, two = norms
        if norm_first:
            h = norm(x, *one)
            x = x + attend(h, h, *attention, num_heads, keep)
            return x + feed(norm(x, *two), *feed_weights)
        x = norm(x + attend(x, x, *attention, num_heads, keep), *one)
        return norm(x + feed(x, *feed_weights), *two)

    return encoder


def _decoder_of(attend, norm, feed):
    def decoder(
        x, memory, attentions, feed_weights, norms, num_heads,
        keep=None, memory_keep=None, norm_first=False,
    ):  # fmt: skip
        before = norm if norm_first else (lambda x, weight, bias: x)
        after = (lambda x, weight, bias: x) if norm_first else norm
        h = before(x, *norms[0])
        x = after(x + attend(h, h, *attentions[0], num_heads, keep), *norms[0])
        h = before(x, *norms[1])
        x = after(x + attend(h, memory, *attentions[1], num_heads, memory_keep), *norms[1])
        h = before(x, *norms[2])
        return after(x + feed(h, *feed_weights), *norms[2])

    return decoder


def _of_doubles(layer):
    """The layer computed in double precision, whatever comes."""

    def widened(value):
        if isinstance(value, torch.Tensor):
            return value.double() if value.is_floating_point() else value
        return tuple(map(widened, value)) if isinstance(value, tuple | list) else value

    def doubled(x, *rest):
        return layer(x.double(), *map(widened, rest)).to(x.dtype)

    return doubled


encoder_loop = _by_parts(cross_loop, norm_var, feed_linear)
encoder_sum = _by_parts(cross_sum, norm_einsum, feed_in_parts)
encoder_einsum = _by_parts(cross_einsum, norm_features_first, feed_einsum)
encoder_of_chapters = _by_parts(cross_attention, norm_library, feed_clamp)
encoder_flat = _by_parts(cross_attention, norm_twice_centred, feed_flat)
encoder_double = _of_doubles(_by_parts(cross_loop, norm_double, feed_where))

decoder_loop = _decoder_of(cross_loop, norm_var, feed_linear)
decoder_sum = _decoder_of(cross_sum, norm_einsum, feed_in_parts)
decoder_einsum = _decoder_of(cross_einsum, norm_features_first, feed_einsum)
decoder_of_chapters = _decoder_of(cross_attention, norm_library, feed_clamp)
decoder_flat = _decoder_of(cross_attention, norm_twice_centred, feed_flat)
decoder_double = _of_doubles(_decoder_of(cross_loop, norm_double, feed_where))


def encoder_step_by_step(x, attention, feed, norms, num_heads, keep=None, norm_first=False):
    """One function for both sublayers, and the norm before or after by a list."""
    sublayers = [
        lambda h: cross_attention(h, h, *attention, num_heads, keep),
        lambda h: feed_flat(h, *feed),
    ]
    for sublayer, (weight, bias) in zip(sublayers, norms, strict=True):
        steps = [sublayer]
        steps.insert(0 if norm_first else 1, lambda h, w=weight, b=bias: norm_var(h, w, b))
        x = x + steps[1](steps[0](x)) if norm_first else steps[1](x + steps[0](x))
    return x


def decoder_step_by_step(
    x, memory, attentions, feed, norms, num_heads, keep=None, memory_keep=None, norm_first=False
):
    (first, second), masks = attentions, (keep, memory_keep)
    sublayers = [
        lambda h: cross_attention(h, h, *first, num_heads, masks[0]),
        lambda h: cross_attention(h, memory, *second, num_heads, masks[1]),
        lambda h: feed_flat(h, *feed),
    ]
    for sublayer, pair in zip(sublayers, norms, strict=True):
        x = x + sublayer(norm_var(x, *pair)) if norm_first else norm_var(x + sublayer(x), *pair)
    return x


def _numpy_attention(a, m, matrices, num_heads, keep):
    w_q, w_k, w_v, w_out = map(_array, matrices)
    out = 0
    parts = [np.split(w, num_heads, -1) for w in (w_q, w_k, w_v)]
    for wq, wk, wv, wo in zip(*parts, np.split(w_out, num_heads), strict=True):
        q, k, v = a @ wq, m @ wk, m @ wv
        scores = q @ k.swapaxes(-2, -1) / q.shape[-1] ** 0.5
        mask = np.ones(scores.shape, bool)
        if keep is not None:
            mask = np.broadcast_to(keep.numpy(), scores.shape)
        scores = np.where(mask, scores, np.finfo(scores.dtype).min)
        highest = scores.max(-1, keepdims=True, initial=np.finfo(scores.dtype).min)
        e = np.exp(scores - highest) * mask
        total = e.sum(-1, keepdims=True)
        out = out + e / np.where(total == 0, 1, total) @ v @ wo
    return out


def _numpy_stack(a, sublayers, norms, norm_first):
    for sublayer, (weight, bias) in zip(sublayers, norms, strict=True):

        def normed(h, weight=weight, bias=bias):
            centred = h - h.mean(-1, keepdims=True)
            size = np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5)
            return centred / size * _array(weight) + _array(bias)

        a = a + sublayer(normed(a)) if norm_first else normed(a + sublayer(a))
    return a


def _numpy_feed(feed):
    w, b, v, c = map(_array, feed)
    return lambda h: np.maximum(h @ w + b, 0) @ v + c


def encoder_numpy(x, attention, feed, norms, num_heads, keep=None, norm_first=False):
    sublayers = (
        lambda h: _numpy_attention(h, h, attention, num_heads, keep),
        _numpy_feed(feed),
    )
    return _tensor(_numpy_stack(_array(x), sublayers, norms, norm_first), x)


def decoder_numpy(
    x, memory, attentions, feed, norms, num_heads, keep=None, memory_keep=None, norm_first=False
):
    sublayers = (
        lambda h: _numpy_attention(h, h, attentions[0], num_heads, keep),
        lambda h: _numpy_attention(h, _array(memory), attentions[1], num_heads, memory_keep),
        _numpy_feed(feed),
    )
    return _tensor(_numpy_stack(_array(x), sublayers, norms, norm_first), x)


def _array(x):
    return x.detach().double().numpy()


def _tensor(array, like):
    return torch.from_numpy(array).to(like.dtype)


RIGHT = decoding.RIGHT | {
    "layer_norm": [
        norm_var,
        norm_einsum,
        norm_matrix,
        norm_token_by_token,
        norm_double,
        norm_twice_centred,
        norm_vmap,
        norm_features_first,
    ],
    "feed_forward": [
        feed_linear,
        feed_clamp,
        feed_where,
        feed_einsum,
        feed_ones,
        feed_in_parts,
        feed_flat,
        feed_token_by_token,
        feed_double,
    ],
    "encoder_layer": [
        encoder_loop,
        encoder_sum,
        encoder_einsum,
        encoder_of_chapters,
        encoder_flat,
        encoder_double,
        encoder_step_by_step,
    ],
    "decoder_layer": [
        decoder_loop,
        decoder_sum,
        decoder_einsum,
        decoder_of_chapters,
        decoder_flat,
        decoder_double,
        decoder_step_by_step,
    ],
}
"""Each earns full marks."""

NUMPY = decoding.NUMPY | {
    "layer_norm": norm_numpy,
    "feed_forward": feed_numpy,
    "encoder_layer": encoder_numpy,
    "decoder_layer": decoder_numpy,
}
"""The right values, computed outside torch."""

LIBRARY = decoding.LIBRARY | {
    "layer_norm": [norm_library, norm_library_by_groups],
    "encoder_layer": [_by_parts(cross_library, norm_var, feed_linear)],
    "decoder_layer": [_decoder_of(cross_library, norm_var, feed_linear)],
}
"""Answers in which the library does the work that the exercise is to do."""

# Wrong ones


def _norm_absolute(x, weight, bias, eps=1e-5):
    return norm_var(x, weight, bias, eps).abs()


def _norm_of_a_batch(x, weight, bias, eps=1e-5):
    """Takes the shape apart into three names."""
    batch, time, width = x.shape
    return norm_var(x.reshape(batch * time, width), weight, bias, eps).reshape(x.shape)


def _norm_viewed(x, weight, bias, eps=1e-5):
    """By view, which refuses what is not contiguous."""
    return norm_var(x.view(-1, x.shape[-1]), weight, bias, eps).view(x.shape)


def _norm_max(x, weight, bias, eps=1e-5):
    """The largest distance in the place of the standard deviation."""
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    centred = wide - wide.mean(-1, keepdim=True)
    return (centred / (centred.abs().amax(-1, keepdim=True) + eps) * weight + bias).to(x.dtype)


def _feed_dropout(x, w_in, b_in, w_out, b_out):
    """In training for ever."""
    return F.dropout(torch.relu(x @ w_in + b_in), 0.1, training=True) @ w_out + b_out


def _feed_viewed(x, w_in, b_in, w_out, b_out):
    hidden = torch.relu(x.view(-1, x.shape[-1]) @ w_in + b_in)
    return (hidden @ w_out + b_out).view(*x.shape[:-1], w_out.shape[-1])


def _feed_of_a_batch(x, w_in, b_in, w_out, b_out):
    hidden = torch.einsum("btc,cf->btf", x, w_in) + b_in
    return torch.einsum("btf,fc->btc", torch.relu(hidden), w_out) + b_out


def _feed_normed(x, w_in, b_in, w_out, b_out):
    return feed_clamp(F.layer_norm(x, x.shape[-1:]), w_in, b_in, w_out, b_out)


def _feed_squeezed(x, w_in, b_in, w_out, b_out):
    return feed_clamp(x, w_in, b_in, w_out, b_out).squeeze(-2)


def _attention_of_a_batch(x, memory, w_q, w_k, w_v, w_out, num_heads, keep=None):
    (batch, tq, _), tk = x.shape, memory.shape[1]
    q = (x @ w_q).view(batch, tq, num_heads, -1).transpose(1, 2)
    k, v = ((memory @ w).view(batch, tk, num_heads, -1).transpose(1, 2) for w in (w_k, w_v))
    scores = q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5
    if keep is not None:
        scores = scores.masked_fill(~keep.unsqueeze(-3), torch.finfo(scores.dtype).min)
    shares = scores.softmax(-1) * (1 if keep is None else keep.unsqueeze(-3))
    return (shares @ v).transpose(1, 2).reshape(batch, tq, -1) @ w_out


def _weighed(weigh):
    def attend(x, memory, w_q, w_k, w_v, w_out, num_heads, keep=None):
        projected = (x @ w_q, memory @ w_k, memory @ w_v)
        q, k, v = (t.unflatten(-1, (num_heads, -1)).transpose(-3, -2) for t in projected)
        mask = None if keep is None else keep.unsqueeze(-3)
        read = weigh(q @ k.mT / q.shape[-1] ** 0.5, mask) @ v
        return read.transpose(-3, -2).flatten(-2) @ w_out

    return attend


_ATTENTIONS = (
    _attention_of_a_batch,
    *map(_weighed, (weights.minus_100, weights.per_sentence, weights.first_sentence)),
)


def _feed_leaking(x, w_in, b_in, w_out, b_out):
    return F.leaky_relu(x @ w_in + b_in, 0.2) @ w_out + b_out


WRONG = decoding.WRONG | {
    "layer_norm": [_norm_absolute, _norm_of_a_batch, _norm_viewed, _norm_max],
    "feed_forward": [
        _feed_dropout,
        _feed_viewed,
        _feed_of_a_batch,
        _feed_normed,
        _feed_squeezed,
    ],
    "encoder_layer": [
        *(_by_parts(attend, norm_var, feed_linear) for attend in _ATTENTIONS),
        _by_parts(cross_attention, norm_var, _feed_dropout),
        _by_parts(cross_attention, norm_var, _feed_leaking),
        _by_parts(cross_attention, _norm_max, feed_linear),
    ],
    "decoder_layer": [
        *(_decoder_of(attend, norm_var, feed_linear) for attend in _ATTENTIONS),
        _decoder_of(cross_attention, norm_var, _feed_dropout),
        _decoder_of(cross_attention, norm_var, _feed_leaking),
        _decoder_of(cross_attention, _norm_max, feed_linear),
    ],
}
"""None earns full marks."""


# Too much work


def norm_differences(x, weight, bias, eps=1e-5):
    """Half the mean square of all differences is the variance."""
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    differences = wide[..., :, None] - wide[..., None, :]
    variance = differences.square().mean((-2, -1))[..., None] / 2
    return (differences.mean(-1) * (variance + eps).rsqrt() * weight + bias).to(x.dtype)


def feed_twice(x, w_in, b_in, w_out, b_out):
    once, again = (feed_clamp(x, w_in, b_in, w_out, b_out) for _ in range(2))
    return (once + again) / 2


def feed_broadcast(x, w_in, b_in, w_out, b_out):
    hidden = torch.relu((x[..., :, None] * w_in).sum(-2) + b_in)
    return (hidden[..., :, None] * w_out).sum(-2) + b_out


def cross_values_again(x, memory, w_q, w_k, w_v, w_out, num_heads, keep=None):
    """The values a second time, where a sequence reads itself: one product of the layer's many."""
    found = cross_attention(x, memory, w_q, w_k, w_v, w_out, num_heads, keep)
    again = memory @ w_v if x is memory else found
    return found + (again - again).sum()


def cross_products_at_once(x, memory, w_q, w_k, w_v, w_out, num_heads, keep=None):
    projected = (x @ w_q, memory @ w_k, memory @ w_v)
    q, k, v = (t.unflatten(-1, (num_heads, -1)).transpose(-3, -2) for t in projected)
    scores = (q[..., :, None, :] * k[..., None, :, :]).sum(-1) / q.shape[-1] ** 0.5
    if keep is not None:
        keep = keep.unsqueeze(-3)
        scores = scores.masked_fill(~keep, torch.finfo(scores.dtype).min)
    shares = scores.softmax(-1) if keep is None else scores.softmax(-1) * keep
    return (shares @ v).transpose(-3, -2).flatten(-2) @ w_out


DEAR = decoding.DEAR | {
    "layer_norm": [norm_differences],
    "feed_forward": [feed_twice, feed_broadcast],
    "encoder_layer": [
        _by_parts(cross_values_again, norm_var, feed_linear),
        _by_parts(cross_products_at_once, norm_var, feed_linear),
    ],
    "decoder_layer": [
        _decoder_of(cross_values_again, norm_var, feed_linear),
        _decoder_of(cross_products_at_once, norm_var, feed_linear),
    ],
}
"""The right values, by more work than the contract allows."""
