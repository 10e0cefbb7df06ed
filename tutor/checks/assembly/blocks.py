"""A block in parts: the right ones, and those that people get wrong."""

import torch
from torch.nn import functional as F

from tutor.attention import causal_mask
from tutor.checks.changes import changeable
from tutor.families import rms_norm, swiglu
from tutor.grouped_query import expand_kv_heads, grouped_query_attention
from tutor.multihead import merge_heads, split_heads
from tutor.position import apply_rope


def as_given(weights):
    return weights


def behind(past, t, device):
    return torch.arange(past, past + t, device=device)


def turned(x, places, theta):
    return apply_rope(x, places, theta)


def left(v, places, theta):
    return v


def joined(keys, new):
    return torch.cat((keys, new), dim=2)


def causal(t, total, device):
    return causal_mask(t, total, device=device)


def added(x, said, h):
    return x + said


def new_ones(k, v, keys, values):
    return k, v


def block(
    x,
    weights,
    keys,
    values,
    num_heads,
    theta=10_000.0,
    eps=1e-5,
    order=as_given,
    places=behind,
    turn=turned,
    turn_keys=turned,
    turn_values=left,
    join=joined,
    mask=causal,
    attend=grouped_query_attention,
    normed=rms_norm,
    feed_normed=rms_norm,
    feed=swiglu,
    add=added,
    feed_add=added,
    feed_reads=None,
    kept=new_ones,
    merge=merge_heads,
    refuses=True,
    thetas=None,
    epsilon=None,
):
    """The right answer, but for the parts that are given."""
    if refuses and (len(weights) != 9 or num_heads % keys.shape[1]):
        raise ValueError("nine weights, and key heads that divide the heads")
    theta, eps = thetas or theta, epsilon or eps
    norm, w_q, w_k, w_v, w_out, feed_norm, *rest = order(list(weights))
    past, t, groups = keys.shape[2], x.shape[1], keys.shape[1]
    at = places(past, t, x.device)
    h = normed(x, norm, eps)
    q = turn(split_heads(h @ w_q, num_heads), at, theta)
    k = turn_keys(split_heads(h @ w_k, groups), at, theta)
    v = turn_values(split_heads(h @ w_v, groups), at, theta)
    all_keys, all_values = join(keys, k), join(values, v)
    keep = mask(t, all_keys.shape[2], x.device)
    said = merge(attend(q, all_keys, all_values, keep)) @ w_out
    y = add(x, said, h)
    h = feed_normed(y if feed_reads is None else feed_reads(x, y), feed_norm, eps)
    return feed_add(y, feed(h, *rest), h), *kept(k, v, keys, values)


with_ = changeable(block)


def norms_exchanged(w):
    return [w[5], *w[1:5], w[0], *w[6:]]


def gate_and_input(w):
    return [*w[:6], w[7], w[6], w[8]]


def keys_and_values(w):
    return [*w[:2], w[3], w[2], *w[4:]]


def one_norm(w):
    return [*w[:5], w[0], *w[6:]]


def from_zero(past, t, device):
    return torch.arange(t, device=device)


def from_one(past, t, device):
    return torch.arange(past + 1, past + t + 1, device=device)


def all_at_the_past(past, t, device):
    return torch.full((t,), past, device=device)


def interleaved(x, places, theta):
    return apply_rope(x, places, theta, layout="interleaved")


def backwards(x, places, theta):
    return apply_rope(x, -places, theta)


def not_turned(x, places, theta):
    return x


def past_alone(keys, new):
    return keys if keys.shape[2] else new


def new_alone(keys, new):
    return new


def new_first(keys, new):
    return torch.cat((new, keys), dim=2)


def everything(t, total, device):
    return torch.ones(t, total, dtype=torch.bool, device=device)


def from_the_first(t, total, device):
    """tril without an offset: the new tokens as if they stood at 0."""
    return torch.ones(t, total, dtype=torch.bool, device=device).tril()


def without_itself(t, total, device):
    return torch.ones(t, total, dtype=torch.bool, device=device).tril(total - t - 1)


def past_masked(t, total, device):
    """Causal in both parts: as if the past ended where the new tokens do."""
    past = total - t
    seen = torch.ones(t, past, dtype=torch.bool, device=device).tril(past - t)
    return torch.cat((seen, torch.ones(t, t, dtype=torch.bool, device=device).tril()), 1)


def tiled(q, k, v, keep):
    share = q.shape[1] // k.shape[1]
    return grouped_query_attention(q, k.repeat(1, share, 1, 1), v.repeat(1, share, 1, 1), keep)


def unscaled(q, k, v, keep):
    return grouped_query_attention(q * q.shape[-1] ** 0.5, k, v, keep)


def averaged(q, k, v, keep):
    """Past and new tokens each with a softmax of their own, and the mean of both."""
    t = q.shape[2]
    new = grouped_query_attention(q, k[:, :, -t:], v[:, :, -t:], keep[:, -t:])
    if k.shape[2] == t:
        return new
    return (grouped_query_attention(q, k[:, :, :-t], v[:, :, :-t]) + new) / 2


def summed(q, k, v, keep):
    t = q.shape[2]
    new = grouped_query_attention(q, k[:, :, -t:], v[:, :, -t:], keep[:, -t:])
    if k.shape[2] == t:
        return new
    return grouped_query_attention(q, k[:, :, :-t], v[:, :, :-t]) + new


def by_length(q, k, v, keep):
    """Shares by how many tokens there are, and not by what they score."""
    t, total = q.shape[2], k.shape[2]
    new = grouped_query_attention(q, k[:, :, -t:], v[:, :, -t:], keep[:, -t:])
    if total == t:
        return new
    old = grouped_query_attention(q, k[:, :, :-t], v[:, :, :-t])
    return (old * (total - t) + new * t) / total


def exchanged_shares(q, k, v, keep):
    """Each part with the other's share."""
    t, groups = q.shape[2], k.shape[1]
    new = grouped_query_attention(q, k[:, :, -t:], v[:, :, -t:], keep[:, -t:])
    if k.shape[2] == t:
        return new
    old = grouped_query_attention(q, k[:, :, :-t], v[:, :, :-t])
    scores = q.unflatten(1, (groups, -1)) @ k[:, :, None].mT * q.shape[-1] ** -0.5
    shares = scores.flatten(1, 2).masked_fill(~keep, float("-inf")).softmax(-1)
    past = shares[..., :-t].sum(-1, keepdim=True)
    return (1 - past) * old + past * new


def scaled_by_the_width(q, k, v, keep):
    """Over D and not over its root."""
    return grouped_query_attention(q * q.shape[-1] ** -0.5, k, v, keep)


def as_they_lie(heads):
    n, h, t, d = heads.shape
    return heads.reshape(n, t, h * d)


def no_norm(x, weight, eps):
    return x


def layer_normed(x, weight, eps):
    return F.layer_norm(x, x.shape[-1:], weight, eps=eps)


def one_plus(x, weight, eps):
    """Gemma's."""
    return rms_norm(x, 1 + weight, eps)


def without_weight(x, weight, eps):
    return rms_norm(x, torch.ones_like(weight), eps)


def gelu(x, gate, into, out):
    return (F.gelu(x @ gate) * (x @ into)) @ out


def sigmoid(x, gate, into, out):
    return (torch.sigmoid(x @ gate) * (x @ into)) @ out


def ungated(x, gate, into, out):
    return F.silu(x @ into) @ out


def not_added(x, said, h):
    return said


def added_to_the_normed(x, said, h):
    return h + said


def beside(x, y):
    """GPT-J's block: attention and feed-forward read the same."""
    return x


def nothing_kept(k, v, keys, values):
    return k, k


def exchanged(k, v, keys, values):
    return v, k


def with_the_past(k, v, keys, values):
    return torch.cat((keys, k), 2), torch.cat((values, v), 2)


def expanded(k, v, keys, values):
    return expand_kv_heads(k, 6), expand_kv_heads(v, 6)


def small_eps(x, weight, eps):
    return rms_norm(x, weight, 1e-5)


def norms_own_eps(x, weight, eps):
    return rms_norm(x, weight)


def keys_theta(x, places, theta):
    return apply_rope(x, places, 10_000.0)


def turned_again(x, weights, keys, values, num_heads, theta=10_000.0, eps=1e-5):
    """The past, too, although it has been turned."""
    old = apply_rope(keys, torch.arange(keys.shape[2], device=x.device), theta)
    return block(x, weights, old, values, num_heads, theta, eps)


def keys_not_turned(x, weights, keys, values, num_heads, theta=10_000.0, eps=1e-5):
    """Kept as they come out of the projection."""
    answer, _, v = block(x, weights, keys, values, num_heads, theta, eps)
    h = rms_norm(x, weights[0], eps)
    return answer, split_heads(h @ weights[2], keys.shape[1]), v


def norm_after(x, weights, keys, values, num_heads, theta=10_000.0, eps=1e-5):
    """Post-norm, as in 2017."""
    norm, feed_norm = weights[0], weights[5]
    ones = [torch.ones_like(norm), *weights[1:5], torch.ones_like(norm), *weights[6:]]
    same = {"normed": no_norm, "feed_normed": lambda y, w, e: rms_norm(y, norm, e)}
    same["feed_add"] = lambda y, said, h: rms_norm(h + said, feed_norm, eps)
    return block(x, ones, keys, values, num_heads, theta, eps, **same)
