"""A layer of several heads, in steps: the right ones, and the wrong ones that people make."""

from tutor.checks.changes import unflattened
from tutor.checks.scoring import by_root, queries_ask, scores
from tutor.checks.softmax import read, weights


def project(x, memory, w_q, w_k, w_v):
    return x @ w_q, memory @ w_k, memory @ w_v


def split(x, h):
    return unflattened(x, -1, (h, -1)).transpose(-3, -2)


def merge(heads):
    return heads.transpose(-3, -2).flatten(-2)


def for_heads(keep):
    return None if keep is None else keep.unsqueeze(-3)


def no_more(q, x, memory):
    return 1.0


def shares_as_they_are(shares, q):
    return shares


def project_out(merged, w_out):
    return merged @ w_out


def each(split, projected, h, x):
    return tuple(split(t, h) for t in projected)


def merged(merge, heads, x):
    return merge(heads)


def alone(answer, x):
    return answer


def layer(
    x,
    memory,
    w,
    h,
    keep,
    project=project,
    cut=each,
    split=split,
    for_heads=for_heads,
    product=queries_ask,
    scale=by_root,
    sized=no_more,
    weigh=weights,
    after=shares_as_they_are,
    read=read,
    attend=None,
    join=merged,
    merge=merge,
    out=project_out,
    besides=alone,
    **steps,
):
    """The right layer, but for the steps that are given; ``attend`` takes the place of three."""
    *w_in, w_out = w
    q, k, v = cut(split, project(x, memory, *w_in), h, x)
    keep = for_heads(keep)
    if attend is None:
        scored = scores(q, k, product, scale) * sized(q, x, memory)
        found = read(after(weigh(scored, keep, **steps), q), v)
    else:
        found = attend(q, k, v, keep)
    return besides(out(join(merge, found, x), w_out), x)


# Other projections


def turned(x, memory, w_q, w_k, w_v):
    return x @ w_q.mT, memory @ w_k.mT, memory @ w_v.mT


def out_turned(merged, w_out):
    return merged @ w_out.mT


# Another cut


def split_by_view(x, h):
    return x.reshape(*x.shape[:-2], h, x.shape[-2], x.shape[-1] // h)


def split_interleaved(x, h):
    return unflattened(x, -1, (-1, h)).movedim(-1, -3)


def split_swapped(x, h):
    return unflattened(x, -1, (-1, h)).transpose(-3, -2)


def split_counted(x, h):
    return unflattened(x, -1, (h, -1)).transpose(1, 2)


def split_behind(x, h):
    return unflattened(x, -1, (h, -1))


def split_of_one_batch(x, h):
    batch, time, width = x.shape
    return x.reshape(batch, time, h, width // h).transpose(1, 2)


def _into(width, h, *projected):
    return tuple(t.reshape(*t.shape[:-1], h, width).transpose(-3, -2) for t in projected)


def _by_torch(width, h, *projected):
    return tuple(unflattened(t, -1, (h, width)).transpose(-3, -2) for t in projected)


def width_of_keys(split, projected, h, x):
    return _into(projected[0].shape[-1] // h, h, *projected)


def width_of_keys_unflattened(split, projected, h, x):
    return _by_torch(projected[0].shape[-1] // h, h, *projected)


def width_of_model(split, projected, h, x):
    return _into(x.shape[-1] // h, h, *projected)


def width_of_model_unflattened(split, projected, h, x):
    return _by_torch(x.shape[-1] // h, h, *projected)


def one_of_three(index, other):
    """Queries, keys or values alone are split in another way."""

    def cut(split, projected, h, x):
        return tuple((other if n == index else split)(t, h) for n, t in enumerate(projected))

    return cut


def first_head_of(*indices):
    """Of these, every head has what the first one has."""

    def cut(split, projected, h, x):
        heads = (split(t, h) for t in projected)
        return tuple(
            t[..., :1, :, :].expand_as(t) if n in indices else t for n, t in enumerate(heads)
        )

    return cut


def scaled_for_values(split, projected, h, x):
    q, k, v = each(split, projected, h, x)
    return q * (q.shape[-1] / v.shape[-1]) ** 0.5, k, v


def split_into_one(x, h):
    return x.unsqueeze(-3)


# Another seam


def merge_by_reshape(heads):
    h, t, d = heads.shape[-3:]
    return heads.reshape(*heads.shape[:-3], t, h * d)


def merge_by_view(heads):
    swapped = heads.transpose(-3, -2)
    return swapped.view(*swapped.shape[:-2], -1)


def joined_to_x(merge, heads, x):
    return heads.transpose(-3, -2).reshape(x.shape)


def merge_divided(heads):
    return merge(heads) / heads.shape[-3]


def merge_averaged(heads):
    return merge(heads.mean(-3, keepdim=True).expand_as(heads))


def merge_average_alone(heads):
    return heads.mean(-3)


def merge_sum_alone(heads):
    return heads.sum(-3)


def merge_reversed(heads):
    return merge(heads.flip(-3))


def merge_none(heads):
    return heads


def out_of_each_by_the_first_rows(heads, w_out):
    return (heads @ w_out[: heads.shape[-1]]).sum(-3)


def merge_interleaved(heads):
    return heads.movedim(-3, -1).flatten(-2)


def merge_counted(heads):
    return heads.transpose(1, 2).flatten(-2)


def merge_behind(heads):
    return heads.flatten(-2)


# Another mask


def mask_as_it_is(keep):
    return keep


def mask_second_axis(keep):
    return None if keep is None else keep.unsqueeze(1)


def mask_behind(keep):
    return None if keep is None else keep.unsqueeze(-2)


def no_mask(keep):
    return None


def mask_inverted(keep):
    return None if keep is None else ~keep.unsqueeze(-3)


def mask_on_its_side(keep):
    return None if keep is None else keep.mT.unsqueeze(-3)


# Other scores, and what is done with the weights


def model_scale(q, x, memory):
    return x.shape[-1] ** -0.5


def memory_scale(q, x, memory):
    return memory.shape[-1] ** -0.5


def projection_scale(q, x, memory):
    return (q.shape[-3] * q.shape[-1]) ** -0.5


def scale_of_heads(q, x, memory):
    return q.shape[-3] ** -0.5


def by_root_at_last(shares, q):
    return shares / q.shape[-1] ** 0.5


def besides_x(answer, x):
    return answer + x


def read_by_features(shares, v):
    return (shares @ v.mT).mT


def one_set_of_weights(shares, v):
    return shares.mean(-3, keepdim=True) @ v


def no_output(merged, w_out):
    return merged
