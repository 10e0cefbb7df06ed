"""A checkpoint with fewer heads, in steps: the right way, and the wrong ones that people take."""

import torch

from tutor.checks.changes import changeable, unflattened


def refused(w_k, w_v, heads, groups):
    return groups < 1 or heads % groups or w_k.shape[0] % heads or w_v.shape[0] % heads


def as_asked(heads, groups):
    return groups


def as_told(w, heads):
    return heads


def neighbours(w, heads, groups):
    """(G, S, D, *rest)"""
    return unflattened(w, 0, (groups, heads // groups, -1))


def mean_of_a_group(grouped):
    return grouped.mean(1)


def one_after_the_other(pooled, w):
    return pooled.flatten(0, 1)


def as_it_is(w):
    return w


def of_keys(w_k, w_v):
    return w_k


def of_values(w_k, w_v):
    return w_v


def keys_first(keys, values):
    return keys, values


def pool_one(
    w,
    heads,
    groups,
    number=as_asked,
    before=as_it_is,
    split=neighbours,
    mean=mean_of_a_group,
    join=one_after_the_other,
):
    return join(mean(split(before(w), heads, number(heads, groups))), w)


def pool(
    w_k,
    w_v,
    num_heads,
    num_kv_heads,
    refused=refused,
    keys=of_keys,
    values=of_values,
    key=None,
    value=None,
    returned=keys_first,
    **steps,
):
    """The right projections, but for the parts that are given; ``key`` and ``value``: for one of
    the two alone."""
    if refused(w_k, w_v, num_heads, num_kv_heads):
        raise ValueError(f"{num_kv_heads} heads of {num_heads}")
    made = (
        (alone or pool_one)(w, num_heads, num_kv_heads, **steps)
        for alone, w in ((key, keys(w_k, w_v)), (value, values(w_k, w_v)))
    )
    return returned(*made)


with_ = changeable(pool)


def _of_one(steps):
    def one(w, heads, groups, **others):
        return pool_one(w, heads, groups, **{**others, **steps})

    return one


def each(**steps):
    """Keys and values both, and one of the two."""
    return with_(**steps), with_(key=_of_one(steps)), with_(value=_of_one(steps))


# Another set of heads


def strided(w, heads, groups):
    """Head g with g + G, g + 2G, ..."""
    return unflattened(w, 0, (heads // groups, groups, -1)).transpose(0, 1)


def neighbouring_rows(w, heads, groups):
    """Rows that stand beside each other in one head."""
    return unflattened(w, 0, (-1, heads // groups)).unsqueeze(2)


def rows_by_head(w, heads, groups):
    """Heads taken to alternate, row by row."""
    return unflattened(w, 0, (-1, groups, heads // groups)).movedim(0, 2)


def rows_across(w, heads, groups):
    return unflattened(w, 0, (-1, heads // groups, groups)).transpose(0, 2)


def all_heads(w, heads, groups):
    """One head of all, as often as there are groups."""
    grouped = unflattened(w, 0, (heads, -1))[None]
    return grouped.expand(groups, *grouped.shape[1:])


def exchanged(heads, groups):
    return heads // groups


def of_columns(w, heads, groups, **steps):
    share = heads // groups
    return unflattened(w, -1, (-1, share)).mean(-1)


def of_column_blocks(w, heads, groups, **steps):
    share = heads // groups
    width = w.shape[-1] // share // groups
    return unflattened(w, -1, (groups, share, width)).mean(-2).flatten(-2)


def turned(w, heads, groups, **steps):
    """As if the weights stood on the right, (in, out)."""
    return unflattened(w, -1, (groups, heads // groups, -1)).mean(-2).flatten(-2)


# Another way to make one of several


def summed(grouped):
    return grouped.sum(1)


def by_root(grouped):
    return grouped.sum(1) / grouped.shape[1] ** 0.5


def first(grouped):
    return grouped[:, 0]


def last(grouped):
    return grouped[:, -1]


def largest(grouped):
    return grouped.amax(1)


def middle(grouped):
    return grouped.median(1).values


def by_all_heads(grouped):
    return grouped.sum(1) / (grouped.shape[0] * grouped.shape[1])


def by_groups(grouped):
    return grouped.sum(1) / grouped.shape[0]


def halves(grouped):
    return grouped.sum(1) / 2


def of_two(grouped):
    """The first two of a group, whatever its size."""
    return grouped[:, :2].mean(1)


def with_its_length(grouped):
    """As long as the heads of the group are in the mean."""
    mean = grouped.mean(1)
    lengths = grouped.flatten(2).norm(dim=-1).mean(1)
    factor = lengths / mean.flatten(1).norm(dim=-1)
    return mean * factor.reshape(-1, *[1] * (mean.ndim - 1))


def of_features(grouped):
    return grouped.mean(2)


def of_groups(grouped):
    return grouped.mean(0)


def detached(grouped):
    return grouped.detach().mean(1)


# Another end


def left_in_heads(pooled, w):
    return pooled


def as_many_as_before(pooled, w):
    """Each new head as often as there were old ones."""
    return pooled.repeat_interleave(w.shape[0] // pooled[:, :].flatten(0, 1).shape[0], 0).flatten(
        0, 1
    )


def interleaved(pooled, w):
    return pooled.transpose(0, 1).flatten(0, 1)


def as_a_table(pooled, w):
    return pooled.reshape(-1, w.shape[1])


def rest_kept(pooled, w):
    """In the first rows of what there was."""
    new = pooled.flatten(0, 1)
    return torch.cat((new, w[len(new) :]))


# Another use of the two


def untouched(w, heads, groups, **steps):
    return w


def first_rows(w, heads, groups, **steps):
    """The first G heads of what is there."""
    return w[: w.shape[0] // heads * groups]


def swapped(keys, values):
    return values, keys


def together(keys, values):
    return torch.cat((keys, values))


def keys_alone(keys, values):
    return keys


def width_of_keys(w_k, w_v, num_heads, num_kv_heads):
    """The width of a head of values taken from the keys."""
    share, width = num_heads // num_kv_heads, w_k.shape[0] // num_heads
    if refused(w_k, w_v, num_heads, num_kv_heads):
        raise ValueError(f"{num_kv_heads} heads of {num_heads}")
    return tuple(
        w.reshape(num_kv_heads, share, width, *w.shape[1:]).mean(1).flatten(0, 1)
        for w in (w_k, w_v)
    )


def width_of_keys_unflattened(w_k, w_v, num_heads, num_kv_heads):
    if refused(w_k, w_v, num_heads, num_kv_heads):
        raise ValueError(f"{num_kv_heads} heads of {num_heads}")
    sizes = num_kv_heads, num_heads // num_kv_heads, w_k.shape[0] // num_heads
    return tuple(unflattened(w, 0, sizes).mean(1).flatten(0, 1) for w in (w_k, w_v))


def of_a_table(w_k, w_v, num_heads, num_kv_heads):
    if refused(w_k, w_v, num_heads, num_kv_heads):
        raise ValueError(f"{num_kv_heads} heads of {num_heads}")
    made = []
    for w in (w_k, w_v):
        rows, columns = w.shape
        heads = w.reshape(num_kv_heads, num_heads // num_kv_heads, rows // num_heads, columns)
        made.append(heads.mean(1).reshape(-1, columns))
    return tuple(made)


def written_over(w_k, w_v, num_heads, num_kv_heads):
    """The mean written into the first head of each group."""
    if refused(w_k, w_v, num_heads, num_kv_heads):
        raise ValueError(f"{num_kv_heads} heads of {num_heads}")
    share, made = num_heads // num_kv_heads, []
    for w in (w_k, w_v):
        width, new = w.shape[0] // num_heads, []
        for g in range(num_kv_heads):
            first = w[g * share * width : (g * share + 1) * width]
            for s in range(1, share):
                first += w[(g * share + s) * width : (g * share + s + 1) * width]
            first /= share
            new.append(first)
        made.append(torch.cat(new))
    return tuple(made)


def in_single(w):
    return w.float()


def never(w_k, w_v, heads, groups):
    return False


def of_heads_alone(w_k, w_v, heads, groups):
    """Whether the rows are heads is not asked."""
    return groups < 1 or heads % groups


def cut_off(w, heads, groups):
    """Heads, and rows, that are left over are dropped."""
    share, width = max(heads // groups, 1), w.shape[0] // heads
    kept = w[: groups * share * width]
    return kept.reshape(groups, share, width, *w.shape[1:])
