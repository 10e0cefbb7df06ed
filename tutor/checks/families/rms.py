"""A norm by the root of the mean square in steps: the right one, and the wrong ones."""

import torch

from tutor.checks.changes import changeable
from tutor.checks.transformer.norms import at_least_single, in_its_dtype, of_features, root


def as_it_is(x):
    return x


def squares(x):
    return x.square()


def as_given(eps):
    return eps


def divided(x, size):
    return x / size


def scaled(normed, weight):
    return normed * weight


def norm(
    x,
    weight,
    eps=1e-6,
    wide=at_least_single,
    centre=as_it_is,
    spread=squares,
    average=of_features,
    constant=as_given,
    under=root,
    divide=divided,
    scale=scaled,
    end=in_its_dtype,
):
    """The right norm, but for the parts that are given."""
    given, x = x, centre(wide(x))
    size = under(average(spread(x)), constant(eps))
    return end(scale(divide(x, size), weight), given)


with_ = changeable(norm)


def less_its_mean(x):
    return x - of_features(x)


def squares_of_distances(x):
    return less_its_mean(x).square()


def distances(x):
    return x.abs()


def detached(x):
    return x.detach().square()


def the_mean_square(mean, eps):
    return mean + eps


def multiplied(x, size):
    return x * size


def divided_and_cleaned(x, size):
    return (x / size).nan_to_num(0.0)


def overwritten(x, size):
    with torch.no_grad():
        x /= size
    return x


def weight_forgotten(normed, weight):
    return normed


def one_more(normed, weight):
    return normed * (1 + weight)


def as_columns(normed, weight):
    return normed * weight[:, None]


def weight_first(x, weight, eps=1e-6):
    """The norm of what is weighted."""
    wide = at_least_single(x)
    weighted = wide * weight
    return in_its_dtype(weighted / root(of_features(weighted.square()), eps), x)


def widened_behind_the_squares(x, weight, eps=1e-6):
    size = root(of_features(at_least_single(x.square())), eps)
    return in_its_dtype(at_least_single(x) / size * weight, x)


def over_all_but_the_first(x):
    return x.mean(tuple(range(1, x.ndim)), keepdim=True) if x.ndim > 1 else of_features(x)


def over_tokens_if_any(x):
    return x.mean(-2 if x.ndim > 1 else -1, keepdim=True)


def largest(x):
    return x.abs().amax(-1, keepdim=True)


def square_of_the_mean(x):
    return of_features(x).square()
