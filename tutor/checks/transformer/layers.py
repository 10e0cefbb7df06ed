"""A layer of a Transformer in steps: the right ones, and the wrong ones that people make.

A step is a pair: what is done, and weight and bias of its norm.
"""

from functools import partial

import torch

from tutor.checks.multihead.layer import layer
from tutor.checks.transformer.feeds import feed as feed_forward
from tutor.checks.transformer.norms import norm


def as_given(x):
    return x


def attend(h, w, num_heads, keep, **steps):
    return layer(h, h, w, num_heads, keep, **steps)


def residual(x, sublayer, normed, norm_first, first, i):
    return x + sublayer(normed(x)) if norm_first else normed(x + sublayer(x))


def no_more(x, normed, norm_first):
    return x


def stack(
    x,
    sublayers,
    norms,
    norm_first,
    normed=norm,
    which=as_given,
    order=as_given,
    around=residual,
    end=no_more,
):
    """The sublayers one after another, but for the parts that are given."""
    first = x
    steps = order(list(zip(sublayers, which(norms), strict=True)))
    for i, (sublayer, pair) in enumerate(steps):
        x = around(x, sublayer, partial(_by, normed, pair), norm_first, first, i)
    return end(x, partial(_by, normed, steps[-1][1]), norm_first)


def _by(normed, pair, h):
    return normed(h, *pair)


PARTS = ("normed", "which", "order", "around", "end")


def parted(steps):
    """Parts of the stack, and those of its attention."""
    ours = {name: step for name, step in steps.items() if name in PARTS}
    return ours, {name: step for name, step in steps.items() if name not in PARTS}


def encoder(
    x,
    attention,
    feed,
    norms,
    num_heads,
    keep=None,
    norm_first=False,
    mask=as_given,
    attend=attend,
    fed=feed_forward,
    **steps,
):
    """The right layer, but for the steps that are given."""
    ours, theirs = parted(steps)
    sublayers = (
        lambda h: attend(h, attention, num_heads, mask(keep), **theirs),
        lambda h: fed(h, *feed),
    )
    return stack(x, sublayers, norms, norm_first, **ours)


# Another way past


def on_the_other_side(x, sublayer, normed, norm_first, first, i):
    return residual(x, sublayer, normed, not norm_first, first, i)


def always_after(x, sublayer, normed, norm_first, first, i):
    return residual(x, sublayer, normed, False, first, i)


def always_before(x, sublayer, normed, norm_first, first, i):
    return residual(x, sublayer, normed, True, first, i)


def past_the_norm(x, sublayer, normed, norm_first, first, i):
    """x = norm(x); x + f(x)"""
    if not norm_first:
        return normed(x + sublayer(x))
    x = normed(x)
    return x + sublayer(x)


def no_norm(x, sublayer, normed, norm_first, first, i):
    return x + sublayer(x)


def no_norm_of(number):
    def around(x, sublayer, normed, norm_first, first, i):
        one = no_norm if i == number else residual
        return one(x, sublayer, normed, norm_first, first, i)

    return around


def no_way_past(x, sublayer, normed, norm_first, first, i):
    return sublayer(normed(x)) if norm_first else normed(sublayer(x))


def no_way_past_of(number):
    def around(x, sublayer, normed, norm_first, first, i):
        one = no_way_past if i == number else residual
        return one(x, sublayer, normed, norm_first, first, i)

    return around


def norm_of_what_is_added(x, sublayer, normed, norm_first, first, i):
    return x + sublayer(normed(x)) if norm_first else x + normed(sublayer(x))


def norm_of_x_alone(x, sublayer, normed, norm_first, first, i):
    return x + sublayer(normed(x)) if norm_first else normed(x) + sublayer(x)


def norm_on_both_sides(x, sublayer, normed, norm_first, first, i):
    return normed(x + sublayer(normed(x)))


def norm_on_both_sides_of_what_is_added(x, sublayer, normed, norm_first, first, i):
    return x + normed(sublayer(normed(x))) if norm_first else normed(x + sublayer(x))


def past_all(x, sublayer, normed, norm_first, first, i):
    """What came into the layer is added each time."""
    if norm_first:
        return first + sublayer(normed(x))
    return normed(first + sublayer(x))


def side_by_side(x, sublayer, normed, norm_first, first, i):
    """All read what came into the layer."""
    if norm_first:
        return x + sublayer(normed(first))
    return normed(x + sublayer(first))


def first_asks(number):
    """This sublayer reads what came into the layer."""

    def around(x, sublayer, normed, norm_first, first, i):
        one = side_by_side if i == number else residual
        return one(x, sublayer, normed, norm_first, first, i)

    return around


def twice_past(x, sublayer, normed, norm_first, first, i):
    return residual(x, lambda h: h + sublayer(h), normed, norm_first, first, i)


def averaged(x, sublayer, normed, norm_first, first, i):
    return (x + sublayer(normed(x))) / 2 if norm_first else normed((x + sublayer(x)) / 2)


def by_root_of_two(x, sublayer, normed, norm_first, first, i):
    out = x + sublayer(normed(x)) if norm_first else x + sublayer(x)
    return out * 0.5**0.5 if norm_first else normed(out * 0.5**0.5)


def multiplied(x, sublayer, normed, norm_first, first, i):
    return x * sublayer(normed(x)) if norm_first else normed(x * sublayer(x))


def detached(x, sublayer, normed, norm_first, first, i):
    if norm_first:
        return x.detach() + sublayer(normed(x))
    return normed(x.detach() + sublayer(x))


def cut_off(x, sublayer, normed, norm_first, first, i):
    if norm_first:
        return x + sublayer(normed(x)).detach()
    return normed(x + sublayer(x).detach())


def added_in_place(x, sublayer, normed, norm_first, first, i):
    """Into the tensor that came in."""
    out = sublayer(normed(x)) if norm_first else sublayer(x)
    with torch.no_grad():
        x += out
    return x if norm_first else normed(x)


# Other norms


def exchanged(norms):
    return tuple(norms)[::-1]


def first_for_all(norms):
    return (norms[0],) * len(norms)


def last_for_all(norms):
    return (norms[-1],) * len(norms)


def one_place_on(norms):
    return (*norms[1:], norms[0])


def last_but_one_twice(norms):
    return (*norms[:-1], norms[-2])


def last_two_exchanged(norms):
    return (*norms[:-2], norms[-1], norms[-2])


def first_two_exchanged(norms):
    return (norms[1], norms[0], *norms[2:])


def pairs_turned(norms):
    return tuple((bias, weight) for weight, bias in norms)


def norm_at_the_end(x, normed, norm_first):
    return normed(x) if norm_first else x


def norm_at_every_end(x, normed, norm_first):
    return normed(x)


# Another order


def reversed_order(steps):
    return steps[::-1]


def reversed_sublayers(steps):
    """The norms stay where they are."""
    return list(zip([f for f, _ in steps[::-1]], [p for _, p in steps], strict=True))


def swapped(i, j, with_norms=True):
    def order(steps):
        steps = list(steps)
        if with_norms:
            steps[i], steps[j] = steps[j], steps[i]
        else:
            steps[i], steps[j] = (steps[j][0], steps[i][1]), (steps[i][0], steps[j][1])
        return steps

    return order


def without(number):
    def order(steps):
        return [step for i, step in enumerate(steps) if i != number]

    return order


def last_twice(steps):
    return [*steps, steps[-1]]


# Another mask


def no_mask(keep):
    return None


def inverted(keep):
    return None if keep is None else ~keep


def past_all_that_is_kept(keep):
    """A token that may read nothing goes past the attention, and past its norm as well."""

    def around(x, sublayer, normed, norm_first, first, i):
        y = residual(x, sublayer, normed, norm_first, first, i)
        return y if i or keep is None else y.where(keep.any(-1, keepdim=True), x)

    return around


def left_out_where_nothing_is_read(
    x, attention, feed, norms, num_heads, keep=None, norm_first=False
):
    around = past_all_that_is_kept(keep)
    return encoder(x, attention, feed, norms, num_heads, keep, norm_first, around=around)
