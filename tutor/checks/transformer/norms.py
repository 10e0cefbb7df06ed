"""A norm in steps: the right one, and the wrong ones that people make."""

import torch

from tutor.checks.changes import changeable


def at_least_single(x):
    return x.to(torch.promote_types(x.dtype, torch.float32))


def of_features(x):
    return x.mean(-1, keepdim=True)


def less_its_mean(x, mean):
    return x - mean(x)


def squares(centred, x):
    return centred.square()


def root(variance, eps):
    return (variance + eps).sqrt()


def as_given(eps):
    return eps


def divided(centred, spread, x):
    return centred / spread


def scaled(normed, weight, bias):
    return normed * weight + bias


def in_its_dtype(out, x):
    return out.to(x.dtype)


def norm(
    x,
    weight,
    bias,
    eps=1e-5,
    wide=at_least_single,
    mean=of_features,
    centre=less_its_mean,
    spread=squares,
    average=None,
    constant=as_given,
    under=root,
    divide=divided,
    scale=scaled,
    end=in_its_dtype,
):
    """The right norm, but for the parts that are given; ``average`` is of the squares alone."""
    given, x = x, wide(x)
    centred = centre(x, mean)
    variance = (average or mean)(spread(centred, x))
    normed = divide(centred, under(variance, constant(eps)), x)
    return end(scale(normed, weight, bias), given)


with_ = changeable(norm)


# Other dimensions


def over(*dims):
    def mean(x):
        return x.mean(dims, keepdim=True)

    return mean


def over_all(x):
    return x.mean()


def without_keepdim(x):
    return x.mean(-1)


def over_sentence(x):
    """Of a single vector there is no other dimension."""
    return x.mean(tuple(range(-min(x.ndim, 2), 0)), keepdim=True)


# Another variance


def by_one_less(x):
    return x.sum(-1, keepdim=True) / (x.shape[-1] - 1)


def by_one_less_with_care(x):
    return x.sum(-1, keepdim=True) / max(x.shape[-1] - 1, 1)


def sums(x):
    return x.sum(-1, keepdim=True)


def squares_of_x(centred, x):
    return x.square()


def less_the_square_of_the_mean(centred, x):
    return x.square() - x.mean(-1, keepdim=True).square()


def mean_less_the_square_of_the_mean(centred, x):
    """As the one above, but rounded otherwise."""
    return x.square().mean(-1, keepdim=True) - x.mean(-1, keepdim=True).square()


def not_below_zero(variance, eps):
    return (variance.clamp(min=0) + eps).sqrt()


def distances(centred, x):
    return centred.abs()


def as_it_is(variance, eps):
    return variance + eps


def detached(centred, x):
    return centred.detach().square()


def less_a_detached_mean(x, mean):
    return x - mean(x.detach())


def not_centred(x, mean):
    return x


def centred_in_place(x, mean):
    with torch.no_grad():
        x -= mean(x)
    return x


def x_itself(centred, spread, x):
    return x / spread


def folded(x, weight, bias, eps=1e-5):
    """One product and one sum: scale · x + (bias - scale · mean)."""
    given, x = x, at_least_single(x)
    mean = of_features(x)
    scale = weight / root((x - mean).square().mean(-1, keepdim=True), eps)
    return in_its_dtype(x * scale + (bias - mean * scale), given)


# Another place for eps


def outside(variance, eps):
    return variance.sqrt() + eps


def outside_of_std(variance, eps):
    """The gradient of ``std`` is 0 where it is 0 itself, and that of ``sqrt`` infinite."""
    positive = variance > 0
    return variance.where(positive, 1).sqrt().where(positive, 0) + eps


def inside_and_outside(variance, eps):
    return (variance + eps).sqrt() + eps


def squared(variance, eps):
    return (variance + eps**2).sqrt()


def of_the_root_squared(variance, eps):
    return (variance.sqrt().square() + eps).sqrt()


def no_eps(variance, eps):
    return variance.sqrt()


def floor(variance, eps):
    return variance.clamp(min=eps).sqrt()


def floor_of_root(variance, eps):
    return variance.sqrt().clamp(min=eps)


def always(constant):
    def eps(given):
        return constant

    return eps


# Another end


def multiplied(centred, spread, x):
    return centred * spread


def divided_and_cleaned(centred, spread, x):
    return divided(centred, spread, x).nan_to_num(0.0)


def neither(normed, weight, bias):
    return normed


def weight_alone(normed, weight, bias):
    return normed * weight


def bias_alone(normed, weight, bias):
    return normed + bias


def bias_first(normed, weight, bias):
    return (normed + bias) * weight


def exchanged(normed, weight, bias):
    return normed * bias + weight


def one_more(normed, weight, bias):
    return normed * (1 + weight) + bias


def subtracted(normed, weight, bias):
    return normed * weight - bias


def as_columns(normed, weight, bias):
    return normed * weight[:, None] + bias[:, None]


# Another precision


def as_it_came(x):
    return x


def wide_to_the_end(out, x):
    return out
