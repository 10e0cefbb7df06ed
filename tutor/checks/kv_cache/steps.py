"""One token through a layer, in parts: the right ones, and those that people get wrong."""

import torch

from tutor.checks.changes import changeable
from tutor.position import apply_rope


def after_the_past(lengths, room):
    return lengths


def both(q, k, v, at, theta):
    return apply_rope(q, at, theta), apply_rope(k, at, theta), v


def as_they_are(keys, at, theta):
    return keys


def what_is_there(room, lengths):
    """(B, S): which places of the cache may be read."""
    return torch.arange(room, device=lengths.device) < lengths[:, None]


def and_itself(keep):
    return torch.cat((keep, torch.ones_like(keep[..., :1])), -1)


def consecutive(heads, num_heads):
    """Key heads for query heads: 0, 0, 1, 1."""
    return heads.repeat_interleave(num_heads // heads.shape[1], 1)


def by_width(q):
    return q.shape[-1] ** -0.5


def hidden_first(scores, keep):
    return scores.masked_fill(~keep, float("-inf")).softmax(-1)


def joined(heads):
    """(B, H, 1, D) -> (B, 1, H D)"""
    return heads.transpose(1, 2).flatten(2)


def projected(answer, w_out):
    return answer @ w_out


def turned_key(k, v, plain_k, keys, values):
    return k, v


def cut(x, number):
    """(B, 1, number D) -> (B, number, 1, D)"""
    return x.reshape(x.shape[0], 1, number, -1).transpose(1, 2)


def as_asked(theta):
    return theta


def step(
    x,
    keys,
    values,
    lengths,
    w_q,
    w_k,
    w_v,
    w_out,
    num_heads,
    theta=10_000.0,
    position=after_the_past,
    turn=both,
    cached=as_they_are,
    visible=what_is_there,
    own=and_itself,
    groups=consecutive,
    scale=by_width,
    shares=hidden_first,
    merge=joined,
    out=projected,
    kept=turned_key,
    split=cut,
    base=as_asked,
    refuses=True,
):
    """The right answer, but for the parts that are given."""
    number, room = keys.shape[1:3]
    if refuses and (x.ndim != 3 or x.shape[1] != 1 or num_heads % number):
        raise ValueError("one token a row, and key heads that divide the heads")
    q, plain_k, v = split(x @ w_q, num_heads), split(x @ w_k, number), split(x @ w_v, number)
    at = position(lengths, room)[:, None, None]
    q, k, v = turn(q, plain_k, v, at, base(theta))
    all_keys = torch.cat((cached(keys, at, base(theta)), k), 2)
    all_values = torch.cat((values, v), 2)
    scores = q @ groups(all_keys, num_heads).mT * scale(q)
    keep = own(visible(room, lengths))[:, None, None]
    answer = shares(scores, keep) @ groups(all_values, num_heads)
    found = out(merge(answer), w_out), *kept(k, v, plain_k, keys, values)
    return found if len(found) > 1 else found[0]


with_ = changeable(step)


def ten_thousand(theta):
    return 10_000.0


def one_hundred(theta):
    return 100.0


def at_zero(lengths, room):
    return torch.zeros_like(lengths)


def one_later(lengths, room):
    return lengths + 1


def one_earlier(lengths, room):
    return (lengths - 1).clamp(min=0)


def of_the_longest(lengths, room):
    return lengths.max().expand_as(lengths)


def at_the_end(lengths, room):
    return torch.full_like(lengths, room)


def of_the_first_row(lengths, room):
    return lengths[:1].expand_as(lengths)


def twice_as_far(lengths, room):
    return 2 * lengths


def key_alone(q, k, v, at, theta):
    return q, apply_rope(k, at, theta), v


def query_alone(q, k, v, at, theta):
    return apply_rope(q, at, theta), k, v


def neither(q, k, v, at, theta):
    return q, k, v


def value_too(q, k, v, at, theta):
    return *both(q, k, v, at, theta)[:2], apply_rope(v, at, theta)


def interleaved(q, k, v, at, theta):
    return apply_rope(q, at, theta, "interleaved"), apply_rope(k, at, theta, "interleaved"), v


def backwards(q, k, v, at, theta):
    return *both(q, k, v, -at, theta)[:2], v


def query_backwards(q, k, v, at, theta):
    return apply_rope(q, -at, theta), apply_rope(k, at, theta), v


def turned_again(keys, at, theta):
    return apply_rope(keys, torch.arange(keys.shape[2], device=keys.device), theta)


def turned_by_the_tokens(keys, at, theta):
    return apply_rope(keys, at.expand(-1, 1, keys.shape[2]), theta)


def everything(room, lengths):
    return torch.ones(len(lengths), room, dtype=torch.bool, device=lengths.device)


def up_to_the_longest(room, lengths):
    return what_is_there(room, lengths.max().expand_as(lengths))


def up_to_the_shortest(room, lengths):
    return what_is_there(room, lengths.min().expand_as(lengths))


def one_too_many(room, lengths):
    return what_is_there(room, lengths + 1)


def without_the_newest(room, lengths):
    return what_is_there(room, lengths - 1)


def the_first_alone(room, lengths):
    """The first row of a triangle, which is that of a first token."""
    return what_is_there(room, lengths.clamp(max=1))


def what_is_not_there(room, lengths):
    return ~what_is_there(room, lengths)


def the_newest_alone(room, lengths):
    return torch.arange(room, device=lengths.device) == lengths[:, None] - 1


def nothing(room, lengths):
    return ~everything(room, lengths)


def not_itself(keep):
    """Where nothing is left the answer is zeros."""
    return torch.cat((keep, torch.zeros_like(keep[..., :1])), -1)


def zeros_for_nothing(scores, keep):
    return hidden_first(scores, keep).nan_to_num(0.0)


def tiled(heads, num_heads):
    return heads.repeat(1, num_heads // heads.shape[1], 1, 1)


def first_head(heads, num_heads):
    return heads[:, :1].expand(-1, num_heads, -1, -1)


def unscaled(q):
    return 1.0


def by_width_itself(q):
    return q.shape[-1] ** -1.0


def by_all_heads(q):
    return (q.shape[1] * q.shape[-1]) ** -0.5


def hidden_later(scores, keep):
    """Hidden keys take their share with them."""
    return scores.softmax(-1) * keep


def zero_scores(scores, keep):
    return (scores * keep).softmax(-1)


def nothing_hidden(scores, keep):
    return scores.softmax(-1)


def over_heads(scores, keep):
    return scores.masked_fill(~keep, float("-inf")).softmax(1).nan_to_num(0.0)


def head_after_head(heads):
    """Each head's features, feature by feature."""
    return heads[:, :, 0].transpose(1, 2).flatten(1)[:, None]


def not_projected(answer, w_out):
    return answer


def turned_weight(answer, w_out):
    return answer @ w_out.mT if w_out.shape[0] == w_out.shape[1] else answer @ w_out


def plain_key(k, v, plain_k, keys, values):
    return plain_k, v


def exchanged(k, v, plain_k, keys, values):
    return v, k


def keys_twice(k, v, plain_k, keys, values):
    return k, k


def all_of_them(k, v, plain_k, keys, values):
    return torch.cat((keys, k), 2), torch.cat((values, v), 2)


def nothing_kept(k, v, plain_k, keys, values):
    return ()


def cut_by_features(x, number):
    """Neighbouring features go to different heads."""
    return x.reshape(x.shape[0], 1, -1, number).permute(0, 3, 1, 2)


def written_into(x, keys, values, lengths, w_q, w_k, w_v, w_out, num_heads, theta=10_000.0):
    """The caller's cache has the new ones afterwards, where there is room."""
    found = step(x, keys, values, lengths, w_q, w_k, w_v, w_out, num_heads, theta)
    places = lengths.clamp(max=keys.shape[2] - 1)
    there = torch.arange(keys.shape[2], device=keys.device) == places[:, None]
    there = there & (lengths < keys.shape[2])[:, None]
    for held, new in ((keys, found[1]), (values, found[2])):
        held.copy_(torch.where(there[:, None, :, None], new, held))
    return found


def overwritten(x, keys, values, lengths, w_q, w_k, w_v, w_out, num_heads, theta=10_000.0):
    """The token takes the place of the newest."""
    less = (lengths - 1).clamp(min=0)
    right = step(x, keys, values, lengths, w_q, w_k, w_v, w_out, num_heads, theta)
    weights = w_q, w_k, w_v, w_out, num_heads, theta
    found = with_(position=lambda given, room: lengths)(x, keys, values, less, *weights)
    return found[0], right[1], right[2]
