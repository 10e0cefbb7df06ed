"""Chapter 14: wrong answers as people give them, written from the exercises' texts."""

import torch
from fresh import answer
from torch.nn import functional as F

from tutor.families import rms_norm, swiglu
from tutor.flash import flash_forward
from tutor.multihead import merge_heads, split_heads
from tutor.position import apply_rope

# decoder_block


def _fits(weights, keys, num_heads):
    if len(weights) != 9 or num_heads % keys.shape[1]:
        raise ValueError("nine weights; G divides H")


def _projected(h, w_q, w_k, w_v, num_heads, groups, at, theta):
    q = apply_rope(split_heads(h @ w_q, num_heads), at, theta)
    k = apply_rope(split_heads(h @ w_k, groups), at, theta)
    return q, k, split_heads(h @ w_v, groups)


def _places(x, keys):
    return torch.arange(keys.shape[2], keys.shape[2] + x.shape[1], device=x.device)


def _two_parts(q, keys, values, k, v):
    own, own_sum = flash_forward(q, k, v, causal=True)
    if not keys.shape[2]:
        return own
    old, old_sum = flash_forward(q, keys, values)
    share = (old_sum - own_sum).sigmoid().unsqueeze(-1).to(own.dtype)
    return old * share + own * (1 - share)


# hint 2, with the two sums the other way round
@answer("shares exchanged")
def decoder_block__share(x, weights, keys, values, num_heads, theta=10_000.0, eps=1e-5):
    _fits(weights, keys, num_heads)
    n1, wq, wk, wv, wo, n2, wg, wi, wf = weights
    at = _places(x, keys)
    q, k, v = _projected(rms_norm(x, n1, eps), wq, wk, wv, num_heads, keys.shape[1], at, theta)
    out, own = flash_forward(q, k, v, causal=True)
    if keys.shape[2]:
        old, its = flash_forward(q, keys, values)
        share = torch.sigmoid(own - its)[..., None].to(x.dtype)
        out = share * old + (1 - share) * out
    x = x + merge_heads(out) @ wo
    return x + swiglu(rms_norm(x, n2, eps), wg, wi, wf), k, v


# both calls alike
@answer("the past masked, too")
def decoder_block__causal_twice(x, weights, keys, values, num_heads, theta=10_000.0, eps=1e-5):
    _fits(weights, keys, num_heads)
    n1, wq, wk, wv, wo, n2, wg, wi, wf = weights
    at = _places(x, keys)
    q, k, v = _projected(rms_norm(x, n1, eps), wq, wk, wv, num_heads, keys.shape[1], at, theta)
    t, p = x.shape[1], keys.shape[2]
    share = num_heads // keys.shape[1]
    seen = torch.ones(t, p, dtype=torch.bool, device=x.device).tril(p - t)
    seen = torch.cat((seen, torch.ones(t, t, dtype=torch.bool, device=x.device).tril()), 1)
    all_k = torch.cat((keys, k), 2).repeat_interleave(share, 1)
    all_v = torch.cat((values, v), 2).repeat_interleave(share, 1)
    scores = (q @ all_k.mT * q.shape[-1] ** -0.5).masked_fill(~seen, float("-inf"))
    x = x + merge_heads(scores.softmax(-1) @ all_v) @ wo
    return x + swiglu(rms_norm(x, n2, eps), wg, wi, wf), k, v


# what comes out of a cache "still has to be rotated"
@answer("the past turned again")
def decoder_block__turned_again(x, weights, keys, values, num_heads, theta=10_000.0, eps=1e-5):
    _fits(weights, keys, num_heads)
    n1, wq, wk, wv, wo, n2, wg, wi, wf = weights
    at = _places(x, keys)
    q, k, v = _projected(rms_norm(x, n1, eps), wq, wk, wv, num_heads, keys.shape[1], at, theta)
    old = apply_rope(keys, torch.arange(keys.shape[2], device=x.device), theta)
    x = x + merge_heads(_two_parts(q, old, values, k, v)) @ wo
    return x + swiglu(rms_norm(x, n2, eps), wg, wi, wf), k, v


# the first norm's weight in both places
@answer("one norm for both")
def decoder_block__one_norm(x, weights, keys, values, num_heads, theta=10_000.0, eps=1e-5):
    _fits(weights, keys, num_heads)
    n1, wq, wk, wv, wo, _, wg, wi, wf = weights
    at = _places(x, keys)
    q, k, v = _projected(rms_norm(x, n1, eps), wq, wk, wv, num_heads, keys.shape[1], at, theta)
    x = x + merge_heads(_two_parts(q, keys, values, k, v)) @ wo
    return x + swiglu(rms_norm(x, n1, eps), wg, wi, wf), k, v


# eps given to one of the two
@answer("an eps of its own")
def decoder_block__one_eps(x, weights, keys, values, num_heads, theta=10_000.0, eps=1e-5):
    _fits(weights, keys, num_heads)
    n1, wq, wk, wv, wo, n2, wg, wi, wf = weights
    at = _places(x, keys)
    q, k, v = _projected(rms_norm(x, n1, eps), wq, wk, wv, num_heads, keys.shape[1], at, theta)
    x = x + merge_heads(_two_parts(q, keys, values, k, v)) @ wo
    return x + swiglu(rms_norm(x, n2, 1e-5), wg, wi, wf), k, v


# theta forgotten where the keys are turned
@answer("a theta of its own")
def decoder_block__theta_of_keys(x, weights, keys, values, num_heads, theta=10_000.0, eps=1e-5):
    _fits(weights, keys, num_heads)
    n1, wq, wk, wv, wo, n2, wg, wi, wf = weights
    at, h = _places(x, keys), rms_norm(x, n1, eps)
    q = apply_rope(split_heads(h @ wq, num_heads), at, theta)
    k = apply_rope(split_heads(h @ wk, keys.shape[1]), at)
    v = split_heads(h @ wv, keys.shape[1])
    x = x + merge_heads(_two_parts(q, keys, values, k, v)) @ wo
    return x + swiglu(rms_norm(x, n2, eps), wg, wi, wf), k, v


# heads laid side by side as they lie in memory
@answer("heads put together as they lie")
def decoder_block__view(x, weights, keys, values, num_heads, theta=10_000.0, eps=1e-5):
    _fits(weights, keys, num_heads)
    n1, wq, wk, wv, wo, n2, wg, wi, wf = weights
    at = _places(x, keys)
    q, k, v = _projected(rms_norm(x, n1, eps), wq, wk, wv, num_heads, keys.shape[1], at, theta)
    said = _two_parts(q, keys, values, k, v)
    x = x + said.reshape(x.shape[0], x.shape[1], -1) @ wo
    return x + swiglu(rms_norm(x, n2, eps), wg, wi, wf), k, v


# the new tokens stand at 0, 1, ...
@answer("positions restart at zero")
def decoder_block__from_zero(x, weights, keys, values, num_heads, theta=10_000.0, eps=1e-5):
    _fits(weights, keys, num_heads)
    n1, wq, wk, wv, wo, n2, wg, wi, wf = weights
    at = torch.arange(x.shape[1], device=x.device)
    q, k, v = _projected(rms_norm(x, n1, eps), wq, wk, wv, num_heads, keys.shape[1], at, theta)
    x = x + merge_heads(_two_parts(q, keys, values, k, v)) @ wo
    return x + swiglu(rms_norm(x, n2, eps), wg, wi, wf), k, v


# a mask for t queries, widened to all keys
@answer("a mask from the first key")
def decoder_block__tril(x, weights, keys, values, num_heads, theta=10_000.0, eps=1e-5):
    _fits(weights, keys, num_heads)
    n1, wq, wk, wv, wo, n2, wg, wi, wf = weights
    at = _places(x, keys)
    q, k, v = _projected(rms_norm(x, n1, eps), wq, wk, wv, num_heads, keys.shape[1], at, theta)
    share = num_heads // keys.shape[1]
    all_k = torch.cat((keys, k), 2).repeat_interleave(share, 1)
    all_v = torch.cat((values, v), 2).repeat_interleave(share, 1)
    keep = torch.tril(torch.ones(x.shape[1], all_k.shape[2], device=x.device)) == 1
    scores = (q @ all_k.mT / q.shape[-1] ** 0.5).masked_fill(~keep, -1e30)
    x = x + merge_heads(scores.softmax(-1) @ all_v) @ wo
    return x + swiglu(rms_norm(x, n2, eps), wg, wi, wf), k, v


# w1, w3, w2 in Meta's order of the feed-forward
@answer("gate and input exchanged")
def decoder_block__gate(x, weights, keys, values, num_heads, theta=10_000.0, eps=1e-5):
    _fits(weights, keys, num_heads)
    n1, wq, wk, wv, wo, n2, w1, w3, w2 = weights
    at = _places(x, keys)
    q, k, v = _projected(rms_norm(x, n1, eps), wq, wk, wv, num_heads, keys.shape[1], at, theta)
    x = x + merge_heads(_two_parts(q, keys, values, k, v)) @ wo
    h = rms_norm(x, n2, eps)
    return x + (h @ w1 * F.silu(h @ w3)) @ w2, k, v


# the residual stream is overwritten by its norm
@answer("added to the normed")
def decoder_block__same_name(x, weights, keys, values, num_heads, theta=10_000.0, eps=1e-5):
    _fits(weights, keys, num_heads)
    n1, wq, wk, wv, wo, n2, wg, wi, wf = weights
    at = _places(x, keys)
    x = rms_norm(x, n1, eps)
    q, k, v = _projected(x, wq, wk, wv, num_heads, keys.shape[1], at, theta)
    x = x + merge_heads(_two_parts(q, keys, values, k, v)) @ wo
    x = rms_norm(x, n2, eps)
    return x + swiglu(x, wg, wi, wf), k, v


# everything right, and the past copied
@answer()
def decoder_block__copied(x, weights, keys, values, num_heads, theta=10_000.0, eps=1e-5):
    _fits(weights, keys, num_heads)
    n1, wq, wk, wv, wo, n2, wg, wi, wf = weights
    at = _places(x, keys)
    q, k, v = _projected(rms_norm(x, n1, eps), wq, wk, wv, num_heads, keys.shape[1], at, theta)
    all_k, all_v = torch.cat((keys, k), 2), torch.cat((values, v), 2)
    x = x + merge_heads(flash_forward(q, all_k, all_v, causal=True)[0]) @ wo
    return x + swiglu(rms_norm(x, n2, eps), wg, wi, wf), k, v


# nine weights taken on trust
@answer("nothing refused")
def decoder_block__trusting(x, weights, keys, values, num_heads, theta=10_000.0, eps=1e-5):
    n1, wq, wk, wv, wo, n2, *feed = weights
    at = _places(x, keys)
    q, k, v = _projected(rms_norm(x, n1, eps), wq, wk, wv, num_heads, keys.shape[1], at, theta)
    x = x + merge_heads(_two_parts(q, keys, values, k, v)) @ wo
    return x + swiglu(rms_norm(x, n2, eps), *feed), k, v


# language_model


def _block(x, weights, keys, values, num_heads, theta, eps):
    _fits(weights, keys, num_heads)
    n1, wq, wk, wv, wo, n2, wg, wi, wf = weights
    at = _places(x, keys)
    q, k, v = _projected(rms_norm(x, n1, eps), wq, wk, wv, num_heads, keys.shape[1], at, theta)
    x = x + merge_heads(_two_parts(q, keys, values, k, v)) @ wo
    return x + swiglu(rms_norm(x, n2, eps), wg, wi, wf), k, v


def _counted(weights, keys):
    if len(weights) != 2 + 9 * len(keys):
        raise ValueError("2 + 9 L")


def _through(ids, weights, keys, values, num_heads, theta, eps):
    x, new = weights[0][ids], []
    for i, (k, v) in enumerate(zip(keys, values, strict=True)):
        x, *kv = _block(x, weights[1 + 9 * i : 10 + 9 * i], k, v, num_heads, theta, eps)
        new.append(kv)
    return x, torch.stack([k for k, _ in new]), torch.stack([v for _, v in new])


# the readout forgotten
@answer("no scores")
def language_model__states(ids, weights, keys, values, num_heads, theta=10_000.0, eps=1e-5):
    _counted(weights, keys)
    x, k, v = _through(ids, weights, keys, values, num_heads, theta, eps)
    return rms_norm(x[:, -1], weights[-1], eps), k, v


# stacked behind the batch
@answer("layers behind the batch")
def language_model__stacked(ids, weights, keys, values, num_heads, theta=10_000.0, eps=1e-5):
    _counted(weights, keys)
    x, k, v = _through(ids, weights, keys, values, num_heads, theta, eps)
    scores = rms_norm(x[:, -1], weights[-1], eps) @ weights[0].mT
    return scores, k.transpose(0, 1), v.transpose(0, 1)


# the norm of the last token before the blocks' sum is complete: of the last layer's input
@answer("the last block left out")
def language_model__one_less(ids, weights, keys, values, num_heads, theta=10_000.0, eps=1e-5):
    _counted(weights, keys)
    x, new = weights[0][ids], []
    for i in range(len(keys)):
        block = weights[1 + 9 * i : 10 + 9 * i]
        before, (x, *kv) = x, _block(x, block, keys[i], values[i], num_heads, theta, eps)
        new.append(kv)
    k, v = (torch.stack(each) for each in zip(*new, strict=True))
    return rms_norm(before[:, -1], weights[-1], eps) @ weights[0].mT, k, v


# eps forgotten at the end
@answer("theta not passed on")
def language_model__last_eps(ids, weights, keys, values, num_heads, theta=10_000.0, eps=1e-5):
    _counted(weights, keys)
    x, k, v = _through(ids, weights, keys, values, num_heads, theta, eps)
    return rms_norm(x[:, -1], weights[-1]) @ weights[0].mT, k, v


# theta and eps forgotten in the loop
@answer("theta not passed on")
def language_model__defaults(ids, weights, keys, values, num_heads, theta=10_000.0, eps=1e-5):
    _counted(weights, keys)
    x, k, v = _through(ids, weights, keys, values, num_heads, 10_000.0, 1e-5)
    return rms_norm(x[:, -1], weights[-1], eps) @ weights[0].mT, k, v


# all scores, as a forward pass in training returns them
@answer("scores of every token")
def language_model__all(ids, weights, keys, values, num_heads, theta=10_000.0, eps=1e-5):
    _counted(weights, keys)
    x, k, v = _through(ids, weights, keys, values, num_heads, theta, eps)
    return rms_norm(x, weights[-1], eps) @ weights[0].mT, k, v


# all scores, of which the last are returned
@answer()
def language_model__all_then_last(ids, weights, keys, values, num_heads, theta=1e4, eps=1e-5):
    _counted(weights, keys)
    x, k, v = _through(ids, weights, keys, values, num_heads, theta, eps)
    return (rms_norm(x, weights[-1], eps) @ weights[0].mT)[:, -1], k, v


# as if nothing had been read
@answer("the past forgotten")
def language_model__no_past(ids, weights, keys, values, num_heads, theta=10_000.0, eps=1e-5):
    _counted(weights, keys)
    none = keys[:, :, :, :0], values[:, :, :, :0]
    x, k, v = _through(ids, weights, *none, num_heads, theta, eps)
    return rms_norm(x[:, -1], weights[-1], eps) @ weights[0].mT, k, v


# an average of the text, as for a sentence's vector
@answer("scores of another token")
def language_model__pooled(ids, weights, keys, values, num_heads, theta=10_000.0, eps=1e-5):
    _counted(weights, keys)
    x, k, v = _through(ids, weights, keys, values, num_heads, theta, eps)
    return rms_norm(x.mean(1), weights[-1], eps) @ weights[0].mT, k, v


# the whole cache given back
@answer("the past returned, too")
def language_model__cache(ids, weights, keys, values, num_heads, theta=10_000.0, eps=1e-5):
    _counted(weights, keys)
    x, k, v = _through(ids, weights, keys, values, num_heads, theta, eps)
    scores = rms_norm(x[:, -1], weights[-1], eps) @ weights[0].mT
    return scores, torch.cat((keys, k), -2), torch.cat((values, v), -2)


# no norm behind the blocks
@answer("no last norm")
def language_model__bare(ids, weights, keys, values, num_heads, theta=10_000.0, eps=1e-5):
    _counted(weights, keys)
    x, k, v = _through(ids, weights, keys, values, num_heads, theta, eps)
    return x[:, -1] @ weights[0].mT, k, v


# keys and values in one another's place
@answer("returned in another order")
def language_model__values_first(ids, weights, keys, values, num_heads, theta=10_000.0, eps=1e-5):
    _counted(weights, keys)
    x, k, v = _through(ids, weights, keys, values, num_heads, theta, eps)
    return rms_norm(x[:, -1], weights[-1], eps) @ weights[0].mT, v, k


# as many blocks as there are weights for
@answer("any number of weights")
def language_model__as_many(ids, weights, keys, values, num_heads, theta=10_000.0, eps=1e-5):
    x, k, v = _through(ids, weights, keys, values, num_heads, theta, eps)
    return rms_norm(x[:, -1], weights[-1], eps) @ weights[0].mT, k, v
