"""Attention of groups in steps: the right one, and the wrong ones that people make."""

import torch

import tutor.checks.grouped_query.expansions as expansion
from tutor.checks.changes import changeable
from tutor.checks.scoring import by_root, queries_ask, scores
from tutor.checks.softmax import read, weights


def own_group(kv, h):
    """For each query head, its key head."""
    return expansion.expand(kv, h)


def as_given(q, g):
    return q


def for_heads(keep, h, g, tq):
    return keep


def keys_of(k, v):
    return k


def values_of(k, v):
    return v


def shares_as_they_are(shares, q):
    return shares


def attention(
    q,
    k,
    v,
    keep=None,
    asked=as_given,
    key=own_group,
    value=own_group,
    sought=keys_of,
    handed=values_of,
    product=queries_ask,
    scale=by_root,
    for_heads=for_heads,
    weigh=weights,
    after=shares_as_they_are,
    read=read,
    back=as_given,
    **steps,
):
    """The right attention, but for the parts that are given."""
    (h, tq), g = q.shape[-3:-1], k.shape[-3]
    k, v = sought(k, v), handed(k, v)
    q = asked(q, g)
    scored = scores(q, key(k, h), product, scale)
    shares = after(weigh(scored, for_heads(keep, h, g, tq), **steps), q)
    return back(read(shares, value(v, h)), g)


with_ = changeable(attention)


def found_by(repeat=expansion.repeated, share=expansion.share, before=expansion.as_it_is):
    """Other key heads for the query heads: ``expansions``."""

    def find(kv, h):
        return expansion.expand(kv, h, share, repeat, before)

    return find


def both(**parts):
    """Keys and values found by it."""
    find = found_by(**parts)
    return with_(key=find, value=find)


def keys_alone(**parts):
    return with_(key=found_by(**parts))


def values_alone(**parts):
    return with_(value=found_by(**parts))


def each(**parts):
    """Of keys and values both, and of one of the two."""
    return both(**parts), keys_alone(**parts), values_alone(**parts)


# Other groups


def by_size(kv, h):
    """Query head h reads key head h // G, as if G were the size of a group."""
    g = kv.shape[-3]
    expansion.share(h, g)
    index = torch.arange(h, device=kv.device) // g
    return kv[..., index, :, :]


def by_size_at_most_the_last(kv, h):
    g = kv.shape[-3]
    expansion.share(h, g)
    index = (torch.arange(h, device=kv.device) // g).clamp_max(g - 1)
    return kv[..., index, :, :]


def none_found(kv, h):
    return kv


# Other queries, and other answers


def averaged_queries(q, g):
    grouped = q.reshape(*q.shape[:-3], g, -1, *q.shape[-2:])
    return grouped.mean(-3, keepdim=True).expand_as(grouped).flatten(-4, -3)


def tiled_back(out, g):
    """Groups and heads within them exchanged."""
    return out.reshape(*out.shape[:-3], g, -1, *out.shape[-2:]).transpose(-4, -3).flatten(-4, -3)


def tiled_there(out, g):
    return (
        out.reshape(*out.shape[:-3], out.shape[-3] // g, -1, *out.shape[-2:])
        .transpose(-4, -3)
        .flatten(-4, -3)
    )


def rows_mixed(out, g):
    """Rows of a group taken back as if time stood before the heads."""
    share, tq = out.shape[-3] // g, out.shape[-2]
    rows = out.reshape(*out.shape[:-3], g, share * tq, out.shape[-1])
    return rows.reshape(*rows.shape[:-2], tq, share, -1).transpose(-3, -2).flatten(-4, -3)


def rows_mixed_there(q, g):
    """Time put before the heads of a group, and the rows taken for heads before time."""
    share, tq = q.shape[-3] // g, q.shape[-2]
    turned = q.reshape(*q.shape[:-3], g, share, tq, -1).transpose(-3, -2)
    return turned.reshape(q.shape)


def rows_left(out, g):
    """Heads of a group below each other."""
    return out.reshape(*out.shape[:-3], g, -1, out.shape[-1])


def heads_in_groups(out, g):
    return out.reshape(*out.shape[:-3], g, -1, *out.shape[-2:])


def one_of_each_group(out, g):
    return out.reshape(*out.shape[:-3], g, -1, *out.shape[-2:])[..., 0, :, :]


def averaged(out, g):
    return out.reshape(*out.shape[:-3], g, -1, *out.shape[-2:]).mean(-3)


def summed(out, g):
    return out.reshape(*out.shape[:-3], g, -1, *out.shape[-2:]).sum(-3)


def merged(out, g):
    return out.transpose(-3, -2).flatten(-2)


def reversed_heads(out, g):
    return out.flip(-3)


# Another mask


def first_of_each_group(keep, h, g, tq):
    """One mask for a group: that of its first head."""
    if keep is None or keep.ndim < 3 or keep.shape[-3] == 1:
        return keep
    return keep[..., :: h // g, :, :].repeat_interleave(h // g, -3)


def any_of_each_group(keep, h, g, tq):
    if keep is None or keep.ndim < 3 or keep.shape[-3] == 1:
        return keep
    return (
        keep.reshape(*keep.shape[:-3], g, h // g, *keep.shape[-2:])
        .any(-3)
        .repeat_interleave(h // g, -3)
    )


def first_heads(keep, h, g, tq):
    """The masks of the first G heads for the groups."""
    if keep is None or keep.ndim < 3 or keep.shape[-3] == 1:
        return keep
    return keep[..., :g, :, :].repeat_interleave(h // g, -3)


def tiled_masks(keep, h, g, tq):
    if keep is None or keep.ndim < 3 or keep.shape[-3] == 1:
        return keep
    return tiled_there(keep, g)


def untiled_masks(keep, h, g, tq):
    if keep is None or keep.ndim < 3 or keep.shape[-3] == 1:
        return keep
    return tiled_back(keep, g)


def first_head(keep, h, g, tq):
    return keep if keep is None or keep.ndim < 3 else keep[..., :1, :, :]


def rows_side_by_side(keep, h, g, tq):
    """Of a group's rows, each query's mask for the next few of them instead of every tq-th."""
    if keep is None or keep.shape[-2] == 1:
        return keep
    share = h // g
    if keep.ndim > 2 and keep.shape[-3] == h:
        keep = keep.reshape(*keep.shape[:-3], g, share, *keep.shape[-2:])
        turned = keep.transpose(-3, -2)
        return turned.reshape(*keep.shape[:-4], h, *keep.shape[-2:])
    rows = keep.repeat_interleave(share, -2)
    rows = rows.reshape(*rows.shape[:-2], share, tq, rows.shape[-1])
    if keep.ndim > 2:
        rows = rows.squeeze(-4)
    return torch.cat([rows] * g, -3)


def with_a_dimension_for_heads(keep, h, g, tq):
    return None if keep is None else keep.unsqueeze(-3)


def mask_as_it_came(q, k, v, keep=None):
    """In groups, and the mask not: its sentences land on the groups."""
    if keep is not None and keep.dtype != torch.bool:
        raise TypeError(f"keep must be bool, got {keep.dtype}")
    share = expansion.share(q.shape[-3], k.shape[-3])
    grouped = q.reshape(*q.shape[:-3], -1, share, *q.shape[-2:])
    shares = weights(grouped @ k.unsqueeze(-3).mT * q.shape[-1] ** -0.5, keep)
    return (shares @ v.unsqueeze(-3)).flatten(-4, -3)


def mask_before_the_groups(q, k, v, keep=None):
    """The same, with an axis for the heads of a group put in before the key heads'."""
    if keep is not None and keep.ndim > 2:
        keep = keep.unsqueeze(-4)
    return mask_as_it_came(q, k, v, keep)


def of_one_batch(q, k, v, keep=None):
    if keep is not None and keep.dtype != torch.bool:
        raise TypeError(f"keep must be bool, got {keep.dtype}")
    b, h, tq, d = q.shape
    g = k.shape[1]
    share = expansion.share(h, g)
    rows = q.reshape(b, g, share * tq, d)
    scored = (rows @ k.mT * d**-0.5).view(b, h, tq, -1)
    return (weights(scored, keep).view(b, g, share * tq, -1) @ v).view(b, h, tq, -1)


def counted_from_the_front(q, k, v, keep=None):
    if keep is not None and keep.dtype != torch.bool:
        raise TypeError(f"keep must be bool, got {keep.dtype}")
    share = expansion.share(q.shape[1], k.shape[1])
    k, v = k.repeat_interleave(share, 1), v.repeat_interleave(share, 1)
    return attention(q, k, v, keep)


# Another scale


def by_all_heads(q, k):
    return (q.shape[-3] * q.shape[-1]) ** -0.5


def by_heads(q, k):
    return q.shape[-3] ** -0.5


def by_root_at_last(shares, q):
    return shares / q.shape[-1] ** 0.5


# Values and keys


def swapped(k, v):
    return v


def values_are_keys(k, v):
    return k
