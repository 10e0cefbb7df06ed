"""Key heads put beside each other, one for each query head: the right way, and the wrong ones."""

import torch


def share(h, g):
    if g < 1 or h % g:
        raise ValueError(f"{g} key heads do not divide {h} query heads")
    return h // g


def rounded_down(h, g):
    return h // g


def repeated(kv, n):
    """0, 0, 1, 1: each n times."""
    return kv.repeat_interleave(n, -3)


def as_it_is(kv):
    return kv


def expand(kv, num_heads, share=share, repeat=repeated, before=as_it_is, after=as_it_is):
    """The right heads, but for the parts that are given."""
    return after(repeat(before(kv), share(num_heads, kv.shape[-3])))


# Another order


def tiled(kv, n):
    return torch.cat([kv] * n, -3)


def backwards(kv):
    return kv.flip(-3)


def first_alone(kv, n):
    g = kv.shape[-3]
    return kv[..., :1, :, :].expand(*kv.shape[:-3], g * n, -1, -1).clone()


def last_alone(kv, n):
    g = kv.shape[-3]
    return kv[..., -1:, :, :].expand(*kv.shape[:-3], g * n, -1, -1).clone()


def averaged(kv, n):
    return kv.mean(-3, keepdim=True).expand(*kv.shape[:-3], kv.shape[-3] * n, -1, -1).clone()


def rest_from_the_first(kv, n):
    """What is there, and the first head in all places that are left."""
    return torch.cat((kv, *([kv[..., :1, :, :]] * (kv.shape[-3] * (n - 1)))), -3)


def rest_from_the_last(kv, n):
    return torch.cat((kv, *([kv[..., -1:, :, :]] * (kv.shape[-3] * (n - 1)))), -3)


def rest_of_zeros(kv, n):
    zeros = kv.new_zeros(()).expand(*kv.shape[:-3], kv.shape[-3] * (n - 1), *kv.shape[-2:])
    return torch.cat((kv, zeros), -3)


def one_further(kv):
    return kv.roll(1, -3)


def one_further_of_heads(heads):
    return heads.roll(1, -3)


# Another number


def heads_times(h, g):
    share(h, g)
    return h


def groups_times(h, g):
    """G taken for the size of a group."""
    share(h, g)
    return g


def one_more(h, g):
    return share(h, g) + 1


def once(h, g):
    share(h, g)
    return 1


# Another axis


def along(dim):
    def repeat(kv, n):
        return kv.repeat_interleave(n, dim)

    return repeat


def tiled_along(dim):
    def repeat(kv, n):
        return torch.cat([kv] * n, dim)

    return repeat


def behind_time(kv, n):
    """The copies stand behind time, and the shape is put right by force."""
    *batch, g, t, d = kv.shape
    return kv.unsqueeze(-2).expand(*batch, g, t, n, d).reshape(*batch, g * n, t, d)


def behind_features(kv, n):
    *batch, g, t, d = kv.shape
    return kv.unsqueeze(-1).expand(*batch, g, t, d, n).reshape(*batch, g * n, t, d)


def before_the_batch(kv, n):
    *batch, g, t, d = kv.shape
    return kv.expand(n, *kv.shape).reshape(*batch, g * n, t, d)


def with_an_axis(kv, n):
    *batch, g, t, d = kv.shape
    return kv.unsqueeze(-3).expand(*batch, g, n, t, d).clone()


def of_one_batch(kv, n):
    b, g, t, d = kv.shape
    return kv[:, :, None].expand(b, g, n, t, d).reshape(b, g * n, t, d)


def counted_from_the_front(kv, num_heads):
    return kv.repeat_interleave(share(num_heads, kv.shape[1]), 1)


def turned(kv):
    return kv.mT


def divided(kv, n):
    return repeated(kv, n) / n


def detached(kv, n):
    return repeated(kv.detach(), n)


def in_single(kv):
    return kv.float()
