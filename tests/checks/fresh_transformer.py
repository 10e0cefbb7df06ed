"""Chapter 7's wrong answers, written from its texts by one who had not seen the traps."""

import math

import torch
from fresh import answer
from torch.nn import functional as F

from tutor.multihead import cross_attention, multi_head_attention


def _ln(x, weight, bias, eps=1e-5):
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    c = wide - wide.mean(-1, keepdim=True)
    return (c / (c.square().mean(-1, keepdim=True) + eps).sqrt() * weight + bias).to(x.dtype)


def _ff(x, a, b, c, d):
    return torch.relu(x @ a + b) @ c + d


# variance divides by C-1 (torch.var's default)
@answer("divided by C - 1")
def layer_norm__w01(x, weight, bias, eps=1e-5):
    w = x.to(torch.promote_types(x.dtype, torch.float32))
    return (
        weight * (w - w.mean(-1, keepdim=True)) / torch.sqrt(w.var(-1, keepdim=True) + eps) + bias
    ).to(x.dtype)


# eps added to the standard deviation, outside of the root
@answer("eps outside of the root")
def layer_norm__w02(x, weight, bias, eps=1e-5):
    w = x.to(torch.promote_types(x.dtype, torch.float32))
    c = w - w.mean(-1, keepdim=True)
    sd = c.std(-1, correction=0, keepdim=True)
    return (weight * c / (sd + eps) + bias).to(x.dtype)


# variance as E[x^2]-E[x]^2: cancels when the mean is far from 0
@answer("the difference of two large numbers")
def layer_norm__w03(x, weight, bias, eps=1e-5):
    w = x.to(torch.promote_types(x.dtype, torch.float32))
    m = w.mean(-1, keepdim=True)
    v = (w**2).mean(-1, keepdim=True) - m**2
    return (weight * (w - m) / torch.sqrt(v.clamp(min=0) + eps) + bias).to(x.dtype)


# folded: x*scale + (bias - mean*scale): cancels when the mean is far from 0
@answer("the mean taken away at the end")
def layer_norm__w04(x, weight, bias, eps=1e-5):
    w = x.to(torch.promote_types(x.dtype, torch.float32))
    v, m = torch.var_mean(w, -1, correction=0, keepdim=True)
    scale = weight * (v + eps).rsqrt()
    return (w * scale + (bias - m * scale)).to(x.dtype)


# half is normalised in half: squares overflow
@answer("squares in half precision")
def layer_norm__w05(x, weight, bias, eps=1e-5):
    c = x - x.mean(-1, keepdim=True)
    return weight * c / torch.sqrt(c.square().mean(-1, keepdim=True) + eps) + bias


# variance.sqrt().square(): gradient nan where all features are equal
@answer("a root squared")
def layer_norm__w06(x, weight, bias, eps=1e-5):
    w = x.to(torch.promote_types(x.dtype, torch.float32))
    c = w - w.mean(-1, keepdim=True)
    sd = c.square().mean(-1, keepdim=True).sqrt()
    return (weight * c / (sd.square() + eps).sqrt() + bias).to(x.dtype)


# mean and variance over the last two dimensions when there are two
@answer("over the whole sentence")
def layer_norm__w07(x, weight, bias, eps=1e-5):
    w = x.to(torch.promote_types(x.dtype, torch.float32))
    dims = (-2, -1) if x.ndim > 1 else (-1,)
    c = w - w.mean(dims, keepdim=True)
    return (weight * c / torch.sqrt(c.square().mean(dims, keepdim=True) + eps) + bias).to(x.dtype)


# eps is a lower limit of the variance (max) and not added
@answer("eps as a floor")
def layer_norm__w08(x, weight, bias, eps=1e-5):
    w = x.to(torch.promote_types(x.dtype, torch.float32))
    c = w - w.mean(-1, keepdim=True)
    v = c.square().mean(-1, keepdim=True)
    return (weight * c / v.clamp(min=eps).sqrt() + bias).to(x.dtype)


# mutates x: x -= mean when x is single or double
@answer("x overwritten")
def layer_norm__w09(x, weight, bias, eps=1e-5):
    w = x.to(torch.promote_types(x.dtype, torch.float32)).detach() if not x.requires_grad else x * 1
    w -= w.mean(-1, keepdim=True)
    return (weight * w / torch.sqrt(w.square().mean(-1, keepdim=True) + eps) + bias).to(x.dtype)


# mean taken off, but the variance is that of x around 0 (root mean square of x, an RMS norm)
@answer("the mean taken off once only")
def layer_norm__w10(x, weight, bias, eps=1e-5):
    w = x.to(torch.promote_types(x.dtype, torch.float32))
    c = w - w.mean(-1, keepdim=True)
    return (weight * c / torch.sqrt(w.square().mean(-1, keepdim=True) + eps) + bias).to(x.dtype)


# TWO: C-1, and eps outside of the root
@answer("divided by C - 1", "eps outside of the root")
def layer_norm__w11(x, weight, bias, eps=1e-5):
    w = x.to(torch.promote_types(x.dtype, torch.float32))
    return (weight * (w - w.mean(-1, keepdim=True)) / (w.std(-1, keepdim=True) + eps) + bias).to(
        x.dtype
    )


# TWO: bias forgotten, and the eps argument ignored (1e-5 always)
@answer("always the same eps", "bias forgotten")
def layer_norm__w12(x, weight, bias, eps=1e-5):
    w = x.to(torch.promote_types(x.dtype, torch.float32))
    c = w - w.mean(-1, keepdim=True)
    return (weight * c / torch.sqrt(c.square().mean(-1, keepdim=True) + 1e-5)).to(
        x.dtype
    ) + 0 * bias


# relu on the answer as well
@answer("activated at the end, too")
def feed_forward__w01(x, w_in, b_in, w_out, b_out):
    return torch.relu(torch.relu(x @ w_in + b_in) @ w_out + b_out)


# no relu
@answer("no activation")
def feed_forward__w02(x, w_in, b_in, w_out, b_out):
    return (x @ w_in + b_in) @ w_out + b_out


# b_in is added after the relu
@answer("b_in after the activation")
def feed_forward__w03(x, w_in, b_in, w_out, b_out):
    return (torch.relu(x @ w_in) + b_in) @ w_out + b_out


# relu6 instead of relu: cut at 6
@answer("an activation that saturates")
def feed_forward__w04(x, w_in, b_in, w_out, b_out):
    return F.relu6(x @ w_in + b_in) @ w_out + b_out


# gelu instead of relu
@answer("gelu instead of relu")
def feed_forward__w05(x, w_in, b_in, w_out, b_out):
    return F.gelu(x @ w_in + b_in) @ w_out + b_out


# early exit: if nothing is above 0 anywhere the answer is b_out of shape (Cout,)
@answer()
def feed_forward__w06(x, w_in, b_in, w_out, b_out):
    h = x @ w_in + b_in
    if not (h > 0).any():
        return b_out
    return h.relu() @ w_out + b_out


# hidden layer computed twice: where(x@w>0, x@w, 0)
@answer()
def feed_forward__w07(x, w_in, b_in, w_out, b_out):
    return torch.where(x @ w_in + b_in > 0, x @ w_in + b_in, 0) @ w_out + b_out


# view(-1, C): non-contiguous input raises
@answer()
def feed_forward__w08(x, w_in, b_in, w_out, b_out):
    f = x.view(-1, x.shape[-1])
    return (torch.relu(f @ w_in + b_in) @ w_out + b_out).view(*x.shape[:-1], -1)


# computes in single precision always
@answer()
def feed_forward__w09(x, w_in, b_in, w_out, b_out):
    h = torch.relu(x.float() @ w_in.float() + b_in.float())
    return (h @ w_out.float() + b_out.float()).to(x.dtype)


# mutates b_in's shape: unsqueeze_
@answer()
def feed_forward__w10(x, w_in, b_in, w_out, b_out):
    return torch.relu(x @ w_in + b_in.unsqueeze_(0)) @ w_out + b_out


# TWO: b_in after relu and b_out forgotten
@answer("b_in after the activation", "b_out forgotten")
def feed_forward__w11(x, w_in, b_in, w_out, b_out):
    return (torch.relu(x @ w_in) + b_in) @ w_out


# TWO: relu only on the answer (not hidden), b_in forgotten
@answer("activated at the end, too", "b_in forgotten")
def feed_forward__w12(x, w_in, b_in, w_out, b_out):
    return torch.relu(x @ w_in @ w_out + b_out)


def _own_attention(q_in, kv_in, w, H, keep, zero=True, scale=None, fill=-math.inf):
    w_q, w_k, w_v, w_o = w
    q = (q_in @ w_q).unflatten(-1, (H, -1))
    k = (kv_in @ w_k).unflatten(-1, (H, -1))
    v = (kv_in @ w_v).unflatten(-1, (H, -1))
    s = torch.einsum("...qhd,...khd->...hqk", q, k) / (scale or q.shape[-1] ** 0.5)
    if keep is not None:
        m = ~keep.unsqueeze(-3)
        s = s.masked_fill(m, torch.finfo(s.dtype).min if zero else fill)
        a = s.softmax(-1)
        if zero:
            a = a.masked_fill(m, 0)
    else:
        a = s.softmax(-1)
    return torch.einsum("...hqk,...khd->...qhd", a, v).flatten(-2) @ w_o


# norm_first the wrong way round
@answer("the norm on the other side")
def encoder_layer__w01(x, attention, feed, norms, num_heads, keep=None, norm_first=False):
    def block(z, f, n):
        return _ln(z + f(z), *n) if norm_first else z + f(_ln(z, *n))

    x = block(x, lambda z: multi_head_attention(z, *attention, num_heads, keep), norms[0])
    return block(x, lambda z: _ff(z, *feed), norms[1])


# the first norm is used for both sublayers
@answer("one norm for all")
def encoder_layer__w02(x, attention, feed, norms, num_heads, keep=None, norm_first=False):
    def block(z, f, n):
        return z + f(_ln(z, *n)) if norm_first else _ln(z + f(z), *n)

    x = block(x, lambda z: multi_head_attention(z, *attention, num_heads, keep), norms[0])
    return block(x, lambda z: _ff(z, *feed), norms[0])


# pre-norm overwrites x by its norm: the residual adds the normed x
@answer("the residual taken after the norm")
def encoder_layer__w03(x, attention, feed, norms, num_heads, keep=None, norm_first=False):
    def block(z, f, n):
        if norm_first:
            z = _ln(z, *n)
            return z + f(z)
        return _ln(z + f(z), *n)

    x = block(x, lambda z: multi_head_attention(z, *attention, num_heads, keep), norms[0])
    return block(x, lambda z: _ff(z, *feed), norms[1])


# post-norm as x + norm(f(x))
@answer("only what is added is normalised")
def encoder_layer__w04(x, attention, feed, norms, num_heads, keep=None, norm_first=False):
    def block(z, f, n):
        return z + f(_ln(z, *n)) if norm_first else z + _ln(f(z), *n)

    x = block(x, lambda z: multi_head_attention(z, *attention, num_heads, keep), norms[0])
    return block(x, lambda z: _ff(z, *feed), norms[1])


# parallel: feed-forward reads the layer's input, not what attention has left
@answer("side by side")
def encoder_layer__w05(x, attention, feed, norms, num_heads, keep=None, norm_first=False):
    def a(z):
        return multi_head_attention(z, *attention, num_heads, keep)

    if norm_first:
        return x + a(_ln(x, *norms[0])) + _ff(_ln(x, *norms[1]), *feed)
    y = _ln(x + a(x), *norms[0])
    return _ln(y + _ff(x, *feed), *norms[1])


# own attention: a token that may read nothing gets the mean of all values (finite fill, no zeros)
@answer("nothing to read, so everything is read")
def encoder_layer__w06(x, attention, feed, norms, num_heads, keep=None, norm_first=False):
    def block(z, f, n):
        return z + f(_ln(z, *n)) if norm_first else _ln(z + f(z), *n)

    x = block(
        x,
        lambda z: _own_attention(z, z, attention, num_heads, keep, zero=False, fill=-1e4),
        norms[0],
    )
    return block(x, lambda z: _ff(z, *feed), norms[1])


# token that may read nothing is left out of the sublayer altogether: keeps x un-normed in post-norm
@answer("past the attention and its norm")
def encoder_layer__w07(x, attention, feed, norms, num_heads, keep=None, norm_first=False):
    def block(z, f, n):
        return z + f(_ln(z, *n)) if norm_first else _ln(z + f(z), *n)

    y = block(x, lambda z: multi_head_attention(z, *attention, num_heads, keep), norms[0])
    if keep is not None:
        y = torch.where(keep.any(-1, keepdim=True), y, x)
    return block(y, lambda z: _ff(z, *feed), norms[1])


# keep unsqueezed at dim 1 in own attention: wrong if keep has no batch dimension
@answer("the mask on the wrong axis")
def encoder_layer__w08(x, attention, feed, norms, num_heads, keep=None, norm_first=False):
    if keep is not None and keep.ndim >= 3:
        pass

    def att(z):
        w_q, w_k, w_v, w_o = attention

        def sp(y):
            return y.unflatten(-1, (num_heads, -1)).transpose(-3, -2)

        q, k, v = sp(z @ w_q), sp(z @ w_k), sp(z @ w_v)
        s = q @ k.mT / q.shape[-1] ** 0.5
        if keep is not None:
            m = keep.unsqueeze(1)
            s = s.masked_fill(~m, -1e4)
            a = s.softmax(-1) * m
        else:
            a = s.softmax(-1)
        return (a @ v).transpose(-3, -2).flatten(-2) @ w_o

    def block(z, f, n):
        return z + f(_ln(z, *n)) if norm_first else _ln(z + f(z), *n)

    x = block(x, att, norms[0])
    return block(x, lambda z: _ff(z, *feed), norms[1])


# mutates x: x += attention in pre-norm (when no gradient is wanted)
@answer("added into x")
def encoder_layer__w09(x, attention, feed, norms, num_heads, keep=None, norm_first=False):
    def f(z):
        return multi_head_attention(z, *attention, num_heads, keep)

    if norm_first:
        d = f(_ln(x, *norms[0]))
        if x.requires_grad:
            x = x + d
        else:
            x += d
        return x + _ff(_ln(x, *norms[1]), *feed)
    x = _ln(x + f(x), *norms[0])
    return _ln(x + _ff(x, *feed), *norms[1])


# attention is computed for both kinds and one is thrown away (needless work)
@answer()
def encoder_layer__w10(x, attention, feed, norms, num_heads, keep=None, norm_first=False):
    def f(z):
        return multi_head_attention(z, *attention, num_heads, keep)

    pre = x + f(_ln(x, *norms[0]))
    post = _ln(x + f(x), *norms[0])
    x = pre if norm_first else post
    pre = x + _ff(_ln(x, *norms[1]), *feed)
    post = _ln(x + _ff(x, *feed), *norms[1])
    return pre if norm_first else post


# TWO: norms in swapped order and keep inverted
@answer("mask inverted", "norms in another order")
def encoder_layer__w11(x, attention, feed, norms, num_heads, keep=None, norm_first=False):
    keep = None if keep is None else ~keep

    def block(z, f, n):
        return z + f(_ln(z, *n)) if norm_first else _ln(z + f(z), *n)

    x = block(x, lambda z: multi_head_attention(z, *attention, num_heads, keep), norms[1])
    return block(x, lambda z: _ff(z, *feed), norms[0])


# TWO: keep ignored and no residual around the feed-forward
@answer("the mask forgotten", "no residual around the sublayer feed-forward")
def encoder_layer__w12(x, attention, feed, norms, num_heads, keep=None, norm_first=False):
    def f(z):
        return multi_head_attention(z, *attention, num_heads)

    if norm_first:
        x = x + f(_ln(x, *norms[0]))
        return _ff(_ln(x, *norms[1]), *feed)
    x = _ln(x + f(x), *norms[0])
    return _ln(_ff(x, *feed), *norms[1])


def _b(norm_first):
    def block(z, f, n):
        return z + f(_ln(z, *n)) if norm_first else _ln(z + f(z), *n)

    return block


# the two masks swapped where they fit, S==T; else memory_keep for itself dropped
@answer("the two masks exchanged")
def decoder_layer__w01(
    x, memory, attentions, feed, norms, num_heads, keep=None, memory_keep=None, norm_first=False
):
    block = _b(norm_first)
    if x.shape[-2] == memory.shape[-2]:
        keep, memory_keep = memory_keep, keep
    x = block(x, lambda z: multi_head_attention(z, *attentions[0], num_heads, keep), norms[0])
    x = block(
        x, lambda z: cross_attention(z, memory, *attentions[1], num_heads, memory_keep), norms[1]
    )
    return block(x, lambda z: _ff(z, *feed), norms[2])


# memory attention asks with the layer's input x, not with what the first sublayer has left
@answer("what came into the layer asks")
def decoder_layer__w02(
    x, memory, attentions, feed, norms, num_heads, keep=None, memory_keep=None, norm_first=False
):
    block = _b(norm_first)
    x0 = x
    x = block(x, lambda z: multi_head_attention(z, *attentions[0], num_heads, keep), norms[0])
    if norm_first:
        x = x + cross_attention(_ln(x0, *norms[1]), memory, *attentions[1], num_heads, memory_keep)
    else:
        x = _ln(x + cross_attention(x0, memory, *attentions[1], num_heads, memory_keep), *norms[1])
    return block(x, lambda z: _ff(z, *feed), norms[2])


# pre-norm: memory is normed with the second norm too, if it has the width for it
@answer("memory is normalised")
def decoder_layer__w03(
    x, memory, attentions, feed, norms, num_heads, keep=None, memory_keep=None, norm_first=False
):
    block = _b(norm_first)
    if norm_first and memory.shape[-1] == x.shape[-1]:
        memory = _ln(memory, *norms[1])
    x = block(x, lambda z: multi_head_attention(z, *attentions[0], num_heads, keep), norms[0])
    x = block(
        x, lambda z: cross_attention(z, memory, *attentions[1], num_heads, memory_keep), norms[1]
    )
    return block(x, lambda z: _ff(z, *feed), norms[2])


# reads memory first, then itself (norms with their places)
@answer("memory first")
def decoder_layer__w04(
    x, memory, attentions, feed, norms, num_heads, keep=None, memory_keep=None, norm_first=False
):
    block = _b(norm_first)
    x = block(
        x, lambda z: cross_attention(z, memory, *attentions[1], num_heads, memory_keep), norms[0]
    )
    x = block(x, lambda z: multi_head_attention(z, *attentions[0], num_heads, keep), norms[1])
    return block(x, lambda z: _ff(z, *feed), norms[2])


# makes a causal mask of its own when keep is None
@answer("always causal")
def decoder_layer__w05(
    x, memory, attentions, feed, norms, num_heads, keep=None, memory_keep=None, norm_first=False
):
    block = _b(norm_first)
    T = x.shape[-2]
    if keep is None:
        keep = torch.ones(T, T, dtype=torch.bool, device=x.device).tril()
    x = block(x, lambda z: multi_head_attention(z, *attentions[0], num_heads, keep), norms[0])
    x = block(
        x, lambda z: cross_attention(z, memory, *attentions[1], num_heads, memory_keep), norms[1]
    )
    return block(x, lambda z: _ff(z, *feed), norms[2])


# S = 0: the second sublayer is skipped altogether, its norm as well (post-norm)
@answer("no memory, no norm")
def decoder_layer__w06(
    x, memory, attentions, feed, norms, num_heads, keep=None, memory_keep=None, norm_first=False
):
    block = _b(norm_first)
    x = block(x, lambda z: multi_head_attention(z, *attentions[0], num_heads, keep), norms[0])
    if memory.shape[-2] > 0:
        x = block(
            x,
            lambda z: cross_attention(z, memory, *attentions[1], num_heads, memory_keep),
            norms[1],
        )
    return block(x, lambda z: _ff(z, *feed), norms[2])


# memory_keep reduced to one row for all tokens: memory_keep[..., :1, :]
@answer("one row of the mask for all")
def decoder_layer__w07(
    x, memory, attentions, feed, norms, num_heads, keep=None, memory_keep=None, norm_first=False
):
    block = _b(norm_first)
    x = block(x, lambda z: multi_head_attention(z, *attentions[0], num_heads, keep), norms[0])
    mk = None if memory_keep is None else memory_keep[..., :1, :]
    x = block(x, lambda z: cross_attention(z, memory, *attentions[1], num_heads, mk), norms[1])
    return block(x, lambda z: _ff(z, *feed), norms[2])


# own stable softmax with amax: S = 0 raises
@answer()
def decoder_layer__w08(
    x, memory, attentions, feed, norms, num_heads, keep=None, memory_keep=None, norm_first=False
):
    block = _b(norm_first)

    def cross(z):
        wq, wk, wv, wo = attentions[1]

        def sp(t):
            return t.unflatten(-1, (num_heads, -1)).transpose(-3, -2)

        q, k, v = sp(z @ wq), sp(memory @ wk), sp(memory @ wv)
        s = q @ k.mT * q.shape[-1] ** -0.5
        if memory_keep is not None:
            s = s.masked_fill(~memory_keep.unsqueeze(-3), torch.finfo(s.dtype).min)
        e = (s - s.amax(-1, keepdim=True)).exp()
        a = e / e.sum(-1, keepdim=True)
        if memory_keep is not None:
            a = a * memory_keep.unsqueeze(-3)
        return (a @ v).transpose(-3, -2).flatten(-2) @ wo

    x = block(x, lambda z: multi_head_attention(z, *attentions[0], num_heads, keep), norms[0])
    x = block(x, cross, norms[1])
    return block(x, lambda z: _ff(z, *feed), norms[2])


# the last norm is the second one again (norms[1] for the feed-forward)
@answer("the second norm twice")
def decoder_layer__w09(
    x, memory, attentions, feed, norms, num_heads, keep=None, memory_keep=None, norm_first=False
):
    block = _b(norm_first)
    x = block(x, lambda z: multi_head_attention(z, *attentions[0], num_heads, keep), norms[0])
    x = block(
        x, lambda z: cross_attention(z, memory, *attentions[1], num_heads, memory_keep), norms[1]
    )
    return block(x, lambda z: _ff(z, *feed), norms[1])


# one token at a time through the memory: keys and values of memory made T times (needless work)
@answer()
def decoder_layer__w10(
    x, memory, attentions, feed, norms, num_heads, keep=None, memory_keep=None, norm_first=False
):
    block = _b(norm_first)
    T = x.shape[-2]

    def cross(z):
        mk = (
            None
            if memory_keep is None
            else memory_keep.expand(*memory_keep.shape[:-2], T, memory.shape[-2])
        )
        return torch.cat(
            [
                cross_attention(
                    z[..., t : t + 1, :],
                    memory,
                    *attentions[1],
                    num_heads,
                    None if mk is None else mk[..., t : t + 1, :],
                )
                for t in range(T)
            ],
            -2,
        )

    x = block(x, lambda z: multi_head_attention(z, *attentions[0], num_heads, keep), norms[0])
    x = block(x, cross, norms[1])
    return block(x, lambda z: _ff(z, *feed), norms[2])


# TWO: memory_keep ignored and no residual around the memory attention
@answer("no residual around the sublayer attention to memory", "padding of the source is read")
def decoder_layer__w11(
    x, memory, attentions, feed, norms, num_heads, keep=None, memory_keep=None, norm_first=False
):
    block = _b(norm_first)
    x = block(x, lambda z: multi_head_attention(z, *attentions[0], num_heads, keep), norms[0])
    x = (
        cross_attention(_ln(x, *norms[1]), memory, *attentions[1], num_heads)
        if norm_first
        else _ln(cross_attention(x, memory, *attentions[1], num_heads), *norms[1])
    )
    return block(x, lambda z: _ff(z, *feed), norms[2])


# TWO: norm_first the wrong way round and keep ignored
@answer("the norm on the other side", "look-ahead")
def decoder_layer__w12(
    x, memory, attentions, feed, norms, num_heads, keep=None, memory_keep=None, norm_first=False
):
    block = _b(not norm_first)
    x = block(x, lambda z: multi_head_attention(z, *attentions[0], num_heads), norms[0])
    x = block(
        x, lambda z: cross_attention(z, memory, *attentions[1], num_heads, memory_keep), norms[1]
    )
    return block(x, lambda z: _ff(z, *feed), norms[2])


def _chk(logits, target, s):
    if not 0 <= s <= 1:
        raise ValueError("smoothing")
    if logits.shape[:-1] != target.shape:
        raise ValueError("shapes")


# divides by all places, padding as well
@answer("divided by all places")
def label_smoothing_loss__w01(logits, target, smoothing=0.1, ignore_index=0):
    _chk(logits, target, smoothing)
    real = target != ignore_index
    lp = logits.log_softmax(-1)
    loss = -(1 - smoothing) * lp.gather(-1, target.where(real, 0)[..., None])[..., 0]
    if smoothing:
        loss = loss - smoothing * lp.mean(-1)
    return loss.masked_fill(~real, 0).mean()


# eps/(V-1) for the others, 1-eps for the target
@answer("shared by the other symbols")
def label_smoothing_loss__w02(logits, target, smoothing=0.1, ignore_index=0):
    _chk(logits, target, smoothing)
    real = target != ignore_index
    lp = logits.log_softmax(-1)
    V = lp.shape[-1]
    r = lp.gather(-1, target.where(real, 0)[..., None])[..., 0]
    loss = -(1 - smoothing) * r
    if smoothing:
        loss = loss - smoothing / max(V - 1, 1) * (lp.sum(-1) - r)
    return loss.masked_fill(~real, 0).sum() / real.sum().clamp(min=1)


# the padding symbol is left out of the sum over j
@answer("nothing for the padding symbol")
def label_smoothing_loss__w03(logits, target, smoothing=0.1, ignore_index=0):
    _chk(logits, target, smoothing)
    real = target != ignore_index
    lp = logits.log_softmax(-1)
    V = lp.shape[-1]
    loss = -(1 - smoothing) * lp.gather(-1, target.where(real, 0)[..., None])[..., 0]
    if smoothing:
        s = lp.sum(-1)
        if 0 <= ignore_index < V:
            s = s - lp[..., ignore_index]
        loss = loss - smoothing / V * s
    return loss.masked_fill(~real, 0).sum() / real.sum().clamp(min=1)


# second term counts the padded places
@answer("smoothing at padding")
def label_smoothing_loss__w04(logits, target, smoothing=0.1, ignore_index=0):
    _chk(logits, target, smoothing)
    real = target != ignore_index
    lp = logits.log_softmax(-1)
    r = lp.gather(-1, target.where(real, 0)[..., None])[..., 0]
    loss = -(1 - smoothing) * r.masked_fill(~real, 0)
    if smoothing:
        loss = loss - smoothing * lp.mean(-1)
    return loss.sum() / real.sum().clamp(min=1)


# nothing but padding gives nan (0/0)
@answer("a mean of nothing")
def label_smoothing_loss__w05(logits, target, smoothing=0.1, ignore_index=0):
    _chk(logits, target, smoothing)
    real = target != ignore_index
    lp = logits.log_softmax(-1)
    loss = -(1 - smoothing) * lp.gather(-1, target.where(real, 0)[..., None])[..., 0]
    if smoothing:
        loss = loss - smoothing * lp.mean(-1)
    return loss[real].mean()


# target.clamp(min=0): an ignore_index above V-1 (no symbol) is out of range
@answer("padding as an index")
def label_smoothing_loss__w06(logits, target, smoothing=0.1, ignore_index=0):
    _chk(logits, target, smoothing)
    real = target != ignore_index
    lp = logits.log_softmax(-1)
    loss = -(1 - smoothing) * lp.gather(-1, target.clamp(min=0)[..., None])[..., 0]
    if smoothing:
        loss = loss - smoothing * lp.mean(-1)
    return loss.masked_fill(~real, 0).sum() / real.sum().clamp(min=1)


# targets compared by number of places only: (2,3) logits with a (3,2) target do not raise
@answer()
def label_smoothing_loss__w07(logits, target, smoothing=0.1, ignore_index=0):
    if not 0 <= smoothing <= 1:
        raise ValueError
    lp = logits.reshape(-1, logits.shape[-1]).log_softmax(-1)
    target = target.reshape(-1)
    if len(lp) != len(target):
        raise ValueError
    real = target != ignore_index
    loss = -(1 - smoothing) * lp.gather(-1, target.where(real, 0)[..., None])[..., 0]
    if smoothing:
        loss = loss - smoothing * lp.mean(-1)
    return loss.masked_fill(~real, 0).sum() / real.sum().clamp(min=1)


# mean of each sentence first, then of the sentences
@answer("a mean of means")
def label_smoothing_loss__w08(logits, target, smoothing=0.1, ignore_index=0):
    _chk(logits, target, smoothing)
    real = target != ignore_index
    lp = logits.log_softmax(-1)
    loss = -(1 - smoothing) * lp.gather(-1, target.where(real, 0)[..., None])[..., 0]
    if smoothing:
        loss = loss - smoothing * lp.mean(-1)
    loss = loss.masked_fill(~real, 0)
    if loss.ndim == 0:
        return loss
    per = loss.sum(-1) / real.sum(-1).clamp(min=1)
    return per.sum() / real.any(-1).sum().clamp(min=1)


# mutates target: target[padding] = 0 in place
@answer()
def label_smoothing_loss__w09(logits, target, smoothing=0.1, ignore_index=0):
    _chk(logits, target, smoothing)
    real = target != ignore_index
    lp = logits.log_softmax(-1)
    target[~real] = 0
    loss = -(1 - smoothing) * lp.gather(-1, target[..., None])[..., 0]
    if smoothing:
        loss = loss - smoothing * lp.mean(-1)
    return loss.masked_fill(~real, 0).sum() / real.sum().clamp(min=1)


# rows of the identity matrix: eye(V)[target]
@answer()
def label_smoothing_loss__w10(logits, target, smoothing=0.1, ignore_index=0):
    _chk(logits, target, smoothing)
    real = target != ignore_index
    lp = logits.log_softmax(-1)
    V = lp.shape[-1]
    q = torch.eye(V, dtype=lp.dtype, device=lp.device)[target.where(real, 0)]
    q = (1 - smoothing) * q + smoothing / V
    loss = -torch.where(q > 0, q * lp.masked_fill(q == 0, 0), 0).sum(-1)
    return loss.masked_fill(~real, 0).sum() / real.sum().clamp(min=1)


# TWO: log of softmax (underflows to -inf) and the sum instead of the mean
@answer("a sum instead of a mean", "the logarithm of a softmax")
def label_smoothing_loss__w11(logits, target, smoothing=0.1, ignore_index=0):
    _chk(logits, target, smoothing)
    real = target != ignore_index
    lp = logits.softmax(-1).log()
    loss = -(1 - smoothing) * lp.gather(-1, target.where(real, 0)[..., None])[..., 0]
    if smoothing:
        loss = loss - smoothing * lp.mean(-1)
    return loss.masked_fill(~real, 0).sum()


# TWO: smoothing outside 0..1 does not raise, and 0 times inf is nan with smoothing 0
@answer("zero times infinity")
def label_smoothing_loss__w12(logits, target, smoothing=0.1, ignore_index=0):
    if logits.shape[:-1] != target.shape:
        raise ValueError
    real = target != ignore_index
    lp = logits.log_softmax(-1)
    loss = -(1 - smoothing) * lp.gather(-1, target.where(real, 0)[..., None])[..., 0]
    loss = loss - smoothing * lp.mean(-1)
    return loss.masked_fill(~real, 0).sum() / real.sum().clamp(min=1)


def _w(step, width, warmup):
    if step < 1 or width < 1 or warmup < 1:
        raise ValueError("below 1")


# max instead of min
@answer("the larger of the two")
def warmup_rate__w01(step, width, warmup_steps=4000):
    _w(step, width, warmup_steps)
    return width**-0.5 * max(step**-0.5, step * warmup_steps**-1.5)


# precedence: width ** -1/2
@answer("-1/2 without its brackets")
def warmup_rate__w02(step, width, warmup_steps=4000):
    _w(step, width, warmup_steps)
    return width**-1 / 2 * min(step**-0.5, step * warmup_steps**-1.5)


# line with warmup_steps**-0.5
@answer("another slope")
def warmup_rate__w03(step, width, warmup_steps=4000):
    _w(step, width, warmup_steps)
    return width**-0.5 * min(step**-0.5, step * warmup_steps**-0.5)


# steps from 0: step + 1
@answer("one step off")
def warmup_rate__w04(step, width, warmup_steps=4000):
    _w(step, width, warmup_steps)
    step += 1
    return width**-0.5 * min(step**-0.5, step * warmup_steps**-1.5)


# 0 does not raise: checks < 0
@answer()
def warmup_rate__w05(step, width, warmup_steps=4000):
    if step < 0 or width < 0 or warmup_steps < 0:
        raise ValueError
    if step == 0:
        return 0.0
    return width**-0.5 * min(step**-0.5, step * warmup_steps**-1.5)


# only step is checked
@answer()
def warmup_rate__w06(step, width, warmup_steps=4000):
    if step < 1:
        raise ValueError
    return abs(width**-0.5 * min(step**-0.5, step * warmup_steps**-1.5))


# 4000 hard-coded
@answer("the paper's warm-up for all")
def warmup_rate__w08(step, width, warmup_steps=4000):
    _w(step, width, warmup_steps)
    return width**-0.5 * min(step**-0.5, step * 4000**-1.5)


# the line goes on for one step too many (step <= warmup_steps + 1)
@answer("the two change places a step off")
def warmup_rate__w09(step, width, warmup_steps=4000):
    _w(step, width, warmup_steps)
    return width**-0.5 * (step * warmup_steps**-1.5 if step <= warmup_steps + 1 else step**-0.5)


# the falling part starts at the warm-up: (step - warmup_steps)**-0.5
@answer("the decay begins anew")
def warmup_rate__w10(step, width, warmup_steps=4000):
    _w(step, width, warmup_steps)
    return width**-0.5 * (
        step * warmup_steps**-1.5 if step <= warmup_steps else (step - warmup_steps) ** -0.5
    )


# TWO: width forgotten, no ValueError
@answer("the width left out")
def warmup_rate__w11(step, width, warmup_steps=4000):
    return min(max(step, 1) ** -0.5, step * max(warmup_steps, 1) ** -1.5)


# TWO: max instead of min and width**0.5
@answer("the larger of the two", "a rate that grows with the width")
def warmup_rate__w12(step, width, warmup_steps=4000):
    _w(step, width, warmup_steps)
    return width**0.5 * max(step**-0.5, step * warmup_steps**-1.5)


# the start stands in the answer
@answer("the start returned")
def greedy_decode__w01(next_logits, start, end, longest):
    if longest < 0:
        raise ValueError
    w = start[:, None]
    rows = torch.arange(len(start), device=start.device)
    done = torch.zeros_like(start, dtype=torch.bool)
    for _ in range(longest):
        n = next_logits(w, rows).argmax(-1).masked_fill(done, end)
        w = torch.cat((w, n[:, None]), 1)
        done = done | (n == end)
        if done.all():
            break
    return w


# stops when any has finished
@answer("one end ends all")
def greedy_decode__w02(next_logits, start, end, longest):
    if longest < 0:
        raise ValueError
    w = start[:, None]
    rows = torch.arange(len(start), device=start.device)
    done = torch.zeros_like(start, dtype=torch.bool)
    for _ in range(longest):
        n = next_logits(w, rows).argmax(-1).masked_fill(done, end)
        w = torch.cat((w, n[:, None]), 1)
        done = done | (n == end)
        if done.any():
            break
    return w[:, 1:]


# a start that is the end counts as finished (done = start == end)
@answer("the start taken for an end")
def greedy_decode__w03(next_logits, start, end, longest):
    if longest < 0:
        raise ValueError
    w = start[:, None]
    rows = torch.arange(len(start), device=start.device)
    done = start == end
    for _ in range(longest):
        n = next_logits(w, rows).argmax(-1).masked_fill(done, end)
        w = torch.cat((w, n[:, None]), 1)
        done = done | (n == end)
        if done.all():
            break
    return w[:, 1:]


# stops only when all write end in the same step (done is not accumulated), no fill
@answer("the end is forgotten")
def greedy_decode__w04(next_logits, start, end, longest):
    if longest < 0:
        raise ValueError
    w = start[:, None]
    rows = torch.arange(len(start), device=start.device)
    for _ in range(longest):
        n = next_logits(w, rows).argmax(-1)
        w = torch.cat((w, n[:, None]), 1)
        if (n == end).all():
            break
    return w[:, 1:]


# of equally likely symbols the last (topk/flip)
@answer("the last of equally likely symbols")
def greedy_decode__w05(next_logits, start, end, longest):
    if longest < 0:
        raise ValueError
    w = start[:, None]
    rows = torch.arange(len(start), device=start.device)
    done = torch.zeros_like(start, dtype=torch.bool)
    for _ in range(longest):
        s = next_logits(w, rows)
        n = (s.shape[-1] - 1 - s.flip(-1).argmax(-1)).masked_fill(done, end)
        w = torch.cat((w, n[:, None]), 1)
        done = done | (n == end)
        if done.all():
            break
    return w[:, 1:]


# the model is asked about the unfinished sentences only (finished ones must stay in the call)
@answer()
def greedy_decode__w07(next_logits, start, end, longest):
    if longest < 0:
        raise ValueError
    w = start[:, None]
    rows = torch.arange(len(start), device=start.device)
    done = torch.zeros_like(start, dtype=torch.bool)
    for _ in range(longest):
        n = torch.full_like(start, end)
        n[~done] = next_logits(w[~done], rows[~done]).argmax(-1)
        w = torch.cat((w, n[:, None]), 1)
        done = done | (n == end)
        if done.all():
            break
    return w[:, 1:]


# always longest wide, filled with end (no early stop of T)
@answer("it never stops")
def greedy_decode__w09(next_logits, start, end, longest):
    if longest < 0:
        raise ValueError
    rows = torch.arange(len(start), device=start.device)
    done = torch.zeros_like(start, dtype=torch.bool)
    out = torch.full((len(start), longest + 1), end, dtype=start.dtype, device=start.device)
    out[:, 0] = start
    for t in range(longest):
        n = next_logits(out[:, : t + 1], rows).argmax(-1).masked_fill(done, end)
        out[:, t + 1] = n
        done = done | (n == end)
        if done.all():
            break
    return out[:, 1:]


# tests `longest < 1`: longest 0 raises
@answer()
def greedy_decode__w10(next_logits, start, end, longest):
    if longest < 1:
        raise ValueError
    w = start[:, None]
    rows = torch.arange(len(start), device=start.device)
    done = torch.zeros_like(start, dtype=torch.bool)
    for _ in range(longest):
        n = next_logits(w, rows).argmax(-1).masked_fill(done, end)
        w = torch.cat((w, n[:, None]), 1)
        done = done | (n == end)
        if done.all():
            break
    return w[:, 1:]


# TWO: only the latest symbol is shown to the model, and rows are all 0
@answer("the latest symbol alone", "every row asks for the first")
def greedy_decode__w11(next_logits, start, end, longest):
    if longest < 0:
        raise ValueError
    w = start[:, None]
    done = torch.zeros_like(start, dtype=torch.bool)
    for _ in range(longest):
        n = next_logits(w[:, -1:], torch.zeros_like(start)).argmax(-1).masked_fill(done, end)
        w = torch.cat((w, n[:, None]), 1)
        done = done | (n == end)
        if done.all():
            break
    return w[:, 1:]


# TWO: filled with 0 and one symbol too many (longest + 1)
@answer("filled with something else", "one symbol too many")
def greedy_decode__w12(next_logits, start, end, longest):
    if longest < 0:
        raise ValueError
    w = start[:, None]
    rows = torch.arange(len(start), device=start.device)
    done = torch.zeros_like(start, dtype=torch.bool)
    for _ in range(longest + 1):
        n = next_logits(w, rows).argmax(-1)
        done2 = done | (n == end)
        n = n.masked_fill(done, 0)
        w = torch.cat((w, n[:, None]), 1)
        done = done2
        if done.all():
            break
    return w[:, 1:]


def _pen(length, alpha, dtype=torch.float64):
    return ((5 + length.to(dtype)) / 6) ** alpha


def _beam(
    next_logits,
    start,
    end,
    longest,
    K=4,
    alpha=0.6,
    *,
    rank_pen=True,
    cost_free=True,
    len_freeze=True,
    gather_len=True,
    gather_done=True,
    one=True,
    logsm=True,
    final_pen=True,
    stop="all",
    rows_il=True,
    start_done=False,
    len0=0,
    fill=None,
    pen=None,
    check=True,
    per_beam=False,
    extra=False,
):
    """only for the wrong answers: the switches turn single mistakes on"""
    if check and (longest < 0 or K < 1):
        raise ValueError
    B = len(start)
    dev = start.device
    rows = torch.arange(B, device=dev)
    rows = rows.repeat_interleave(K) if rows_il else rows.repeat(K)
    W = start[:, None, None].expand(B, K, 1)
    tot = torch.zeros(B, K, device=dev)
    if one:
        tot[:, 1:] = -math.inf
    ln = torch.full((B, K), float(len0), device=dev)
    done = (W[..., 0] == end) if start_done else torch.zeros(B, K, dtype=torch.bool, device=dev)
    pen = pen or (lambda n, d: ((5 + n.to(d)) / 6) ** alpha)
    for t in range(longest):
        z = next_logits(W.flatten(0, 1), rows)
        lp = (z.log_softmax(-1) if logsm else z).unflatten(0, (B, K))
        V = lp.shape[-1]
        d = lp.dtype
        tot, ln = tot.to(d), ln.to(d)
        f = torch.full_like(lp, -math.inf)
        f[..., end] = 0 if cost_free else lp[..., end]
        lp = torch.where(done[..., None], f, lp)
        c = tot[..., None] + lp
        n = torch.where(done, ln, ln + 1) if len_freeze else ln + 1
        s = c / pen(n, d)[..., None] if rank_pen else c
        if per_beam:
            best1 = s.max(-1)
            i = best1.indices + torch.arange(K, device=dev) * V
            if t == 0:
                i = s[:, 0].topk(K, -1).indices
        else:
            i = s.flatten(1).topk(K, -1).indices
        p, y = i // V, i % V
        tot = c.flatten(1).gather(1, i)
        ln = n.gather(1, p) if gather_len else n
        was = done.gather(1, p) if gather_done else done
        W = torch.cat(
            (
                W.gather(1, p[..., None].expand(-1, -1, W.shape[-1])),
                (y if fill is None else y.masked_fill(was, fill))[..., None],
            ),
            -1,
        )
        done = was | (y == end)
        if stop == "all" and done.all():
            break
        if stop == "first" and done[:, 0].all():
            break
    out = tot / pen(ln, tot.dtype) if final_pen else tot
    if final_pen and not rank_pen:
        o = out.argsort(-1, descending=True)
        out = out.gather(1, o)
        W = W.gather(1, o[..., None].expand_as(W))
    return W[..., 1:], out


# the penalty only at the end: in the steps the K with the best sums stay
@answer("the penalty at the end alone")
def beam_search__w01(next_logits, start, end, longest, beam_size=4, alpha=0.6):
    return _beam(next_logits, start, end, longest, beam_size, alpha, rank_pen=False)


# finished beams go on paying for their ends
@answer("finished sentences pay again")
def beam_search__w02(next_logits, start, end, longest, beam_size=4, alpha=0.6):
    return _beam(next_logits, start, end, longest, beam_size, alpha, cost_free=False)


# the length of finished sentences goes on growing
@answer("all of one length")
def beam_search__w03(next_logits, start, end, longest, beam_size=4, alpha=0.6):
    return _beam(next_logits, start, end, longest, beam_size, alpha, len_freeze=False)


# length is not gathered by the beams (stays in its place)
@answer("who has finished stays behind")
def beam_search__w04(next_logits, start, end, longest, beam_size=4, alpha=0.6):
    return _beam(next_logits, start, end, longest, beam_size, alpha, gather_len=False)


# the length counts the start
@answer("the start counted")
def beam_search__w05(next_logits, start, end, longest, beam_size=4, alpha=0.6):
    return _beam(next_logits, start, end, longest, beam_size, alpha, len0=1)


# penalty in single precision (integer length divided): scores of double are imprecise
@answer()
def beam_search__w06(next_logits, start, end, longest, beam_size=4, alpha=0.6):
    return _beam(
        next_logits,
        start,
        end,
        longest,
        beam_size,
        alpha,
        pen=lambda n, d: ((5 + n.long()) / 6) ** alpha,
    )


# stops as soon as the best beam of every sentence has finished
@answer()
def beam_search__w07(next_logits, start, end, longest, beam_size=4, alpha=0.6):
    return _beam(next_logits, start, end, longest, beam_size, alpha, stop="first")


# each beam is continued with its one best symbol (diverse start, then K greedy searches)
@answer("each beam for itself")
def beam_search__w08(next_logits, start, end, longest, beam_size=4, alpha=0.6):
    return _beam(next_logits, start, end, longest, beam_size, alpha, per_beam=True)


# scores returned are the sums, without the penalty
@answer("sums returned")
def beam_search__w09(next_logits, start, end, longest, beam_size=4, alpha=0.6):
    return _beam(next_logits, start, end, longest, beam_size, alpha, final_pen=False)


# no early stop: filled up to longest with end (values of T wrong, needless calls)
@answer("it never stops")
def beam_search__w10(next_logits, start, end, longest, beam_size=4, alpha=0.6):
    return _beam(next_logits, start, end, longest, beam_size, alpha, stop="none")


# TWO: raw logits summed (no log_softmax), and rows in the order 0,1,..,0,1,.. (repeat)
@answer("the beams of different sentences mixed", "scores without a softmax")
def beam_search__w11(next_logits, start, end, longest, beam_size=4, alpha=0.6):
    return _beam(next_logits, start, end, longest, beam_size, alpha, logsm=False, rows_il=False)


# TWO: start == end counts as finished, and finished sentences are filled with 0
@answer()
def beam_search__w12(next_logits, start, end, longest, beam_size=4, alpha=0.6):
    return _beam(next_logits, start, end, longest, beam_size, alpha, start_done=True, fill=0)
