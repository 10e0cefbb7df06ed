"""A prompt in chunks, in parts: the right ones, and those that people get wrong."""

import torch

from tutor.attention import causal_mask
from tutor.checks.changes import changeable
from tutor.position import apply_rope


def cut_in_order(x, chunk):
    return list(x.split(chunk, 1))


def behind_the_past(start, t, number):
    """Positions of a chunk of t tokens behind ``start``, which is chunk ``number``."""
    return start + torch.arange(t)


def rows_at_the_end(t, total):
    """(t, T): the last query stands at the last key."""
    return causal_mask(t, total)


def both(q, k, places, theta):
    return apply_rope(q, places, theta), apply_rope(k, places, theta)


def all_so_far(past, new, chunk):
    return torch.cat((past, new), 2)


def consecutive(heads, num_heads):
    return heads.repeat_interleave(num_heads // heads.shape[1], 1)


def by_width(q):
    return q.shape[-1] ** -0.5


def hidden_first(scores, keep):
    return scores.masked_fill(~keep, float("-inf")).softmax(-1).nan_to_num(0.0)


def projected(heads, w_out):
    return heads.transpose(1, 2).flatten(2) @ w_out


def in_order(answers):
    return torch.cat(answers, 1)


def turned_keys(keys, values, plain, newest):
    return keys, values


def cut(x, number):
    """(B, t, number D) -> (B, number, t, D)"""
    return x.reshape(*x.shape[:2], number, -1).transpose(1, 2)


def as_asked(theta):
    return theta


def prefill(
    x,
    w_q,
    w_k,
    w_v,
    w_out,
    num_heads,
    chunk,
    theta=10_000.0,
    pieces=cut_in_order,
    position=behind_the_past,
    visible=rows_at_the_end,
    turn=both,
    read=all_so_far,
    groups=consecutive,
    scale=by_width,
    shares=hidden_first,
    out=projected,
    answer=in_order,
    kept=turned_keys,
    split=cut,
    base=as_asked,
    refuses=True,
):
    """The right answer, but for the parts that are given."""
    width = w_q.shape[1] // num_heads
    number = w_k.shape[1] // width
    if refuses and (chunk < 1 or width * num_heads != w_q.shape[1]):
        raise ValueError("a chunk of one token and more, and heads that divide")
    keys = values = plain = x.new_zeros(x.shape[0], number, 0, width)
    answers = []
    for i, piece in enumerate(pieces(x, chunk)):
        places = position(keys.shape[2], piece.shape[1], i).to(x.device)
        q, k, v = (
            split(piece @ w_q, num_heads),
            split(piece @ w_k, number),
            cut(piece @ w_v, number),
        )
        plain = torch.cat((plain, k), 2)
        q, k = turn(q, k, places, base(theta))
        all_keys, all_values = read(keys, k, chunk), read(values, v, chunk)
        keys, values = torch.cat((keys, k), 2), torch.cat((values, v), 2)
        scores = q @ groups(all_keys, num_heads).mT * scale(q)
        keep = visible(q.shape[2], all_keys.shape[2]).to(x.device)
        answers.append(out(shares(scores, keep) @ groups(all_values, num_heads), w_out))
    found = answer(answers), *kept(keys, values, plain, k.shape[2])
    return found if len(found) > 1 else found[0]


with_ = changeable(prefill)


def ten_thousand(theta):
    return 10_000.0


def one_hundred(theta):
    return 100.0


def without_the_tail(x, chunk):
    """As many as fit, or all where not one does."""
    whole = x.shape[1] // chunk * chunk
    return list((x[:, :whole] if whole else x).split(chunk, 1))


def without_the_tail_at_all(x, chunk):
    return [x[:, i * chunk : (i + 1) * chunk] for i in range(x.shape[1] // chunk)]


def backwards(x, chunk):
    return list(x.split(chunk, 1))[::-1]


def overlapping(x, chunk):
    """The last piece as long as the others, from before."""
    found = list(x.split(chunk, 1))
    if len(found) > 1 and found[-1].shape[1] < chunk:
        found[-1] = x[:, -chunk:]
    return found


def from_zero(start, t, number):
    return torch.arange(t)


def by_chunk(start, t, number):
    """The number of the chunk, times its own length."""
    return number * t + torch.arange(t)


def one_for_all(start, t, number):
    return torch.full((t,), start)


def from_one(start, t, number):
    return start + 1 + torch.arange(t)


def at_the_end(start, t, number):
    return torch.full((t,), start + t)


def number_alone(start, t, number):
    return number + torch.arange(t)


def one_back(start, t, number):
    return max(start - 1, 0) + torch.arange(t)


def upper_left(t, total):
    return torch.ones(t, total).tril().bool()


def corner(t, total):
    """mask[:t, :t] for keys that are more."""
    keep = torch.zeros(t, total, dtype=torch.bool)
    keep[:, :t] = torch.ones(t, t).tril().bool()
    return keep


def own_corner(t, total):
    """A triangle over the chunk itself, and nothing before it."""
    keep = torch.zeros(t, total, dtype=torch.bool)
    keep[:, total - t :] = torch.ones(t, t).tril().bool()
    return keep


def nothing_hidden(t, total):
    return torch.ones(t, total).bool()


def without_itself(t, total):
    return torch.ones(t, total).tril(total - t - 1).bool()


def one_ahead(t, total):
    return torch.ones(t, total).tril(total - t + 1).bool()


def past_alone(t, total):
    keep = torch.ones(t, total).bool()
    keep[:, total - t :] = False
    return keep if total > t else nothing_hidden(t, total)


def later_ones(t, total):
    return ~rows_at_the_end(t, total) | torch.eye(t, total).roll(total - t, 1).bool()


def query_alone(q, k, places, theta):
    return apply_rope(q, places, theta), k


def key_alone(q, k, places, theta):
    return q, apply_rope(k, places, theta)


def neither(q, k, places, theta):
    return q, k


def interleaved(q, k, places, theta):
    return tuple(apply_rope(x, places, theta, "interleaved") for x in (q, k))


def turned_backwards(q, k, places, theta):
    return apply_rope(q, -places, theta), apply_rope(k, -places, theta)


def new_alone(past, new, chunk):
    return new


def without_the_first(past, new, chunk):
    """The prompt was never written: its first chunk."""
    return torch.cat((torch.zeros_like(past), new), 2)


def the_last_two(past, new, chunk):
    return torch.cat((past[:, :, -chunk:], new), 2)


def tiled(heads, num_heads):
    return heads.repeat(1, num_heads // heads.shape[1], 1, 1)


def first_head(heads, num_heads):
    return heads[:, :1].expand(-1, num_heads, -1, -1)


def unscaled(q):
    return 1.0


def by_width_itself(q):
    return q.shape[-1] ** -1.0


def hidden_later(scores, keep):
    return scores.softmax(-1) * keep


def zero_scores(scores, keep):
    return (scores * keep).softmax(-1)


def over_queries(scores, keep):
    return scores.masked_fill(~keep, float("-inf")).softmax(-2).nan_to_num(0.0)


def not_projected(heads, w_out):
    return heads.transpose(1, 2).flatten(2)


def mixed(heads, w_out):
    b, h, t, d = heads.shape
    return heads.reshape(b, t, h * d) @ w_out


def last_alone(answers):
    return answers[-1]


def first_alone(answers):
    return answers[0]


def plain_keys(keys, values, plain, newest):
    return plain, values


def exchanged(keys, values, plain, newest):
    return values, keys


def keys_twice(keys, values, plain, newest):
    return keys, keys


def zeros(keys, values, plain, newest):
    return torch.zeros_like(keys), torch.zeros_like(values)


def of_the_last_chunk(keys, values, plain, newest):
    return keys[:, :, -newest:], values[:, :, -newest:]


def none(keys, values, plain, newest):
    return ()


def cut_by_features(x, number):
    return x.reshape(*x.shape[:2], -1, number).permute(0, 3, 1, 2)


def cut_without_turning(x, number):
    """A view instead of a transposition: tokens mix."""
    return x.reshape(x.shape[0], number, x.shape[1], -1)
