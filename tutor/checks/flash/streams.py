"""A softmax over a stream, in steps: the right ones, and the wrong ones that people make."""

import math

import torch

from tutor.checks.changes import changeable


def running(scores, maximum):
    return torch.maximum(maximum, scores.amax(-1))


def from_zero_if_nothing(largest, maximum):
    return largest.masked_fill(largest == -math.inf, 0.0)


def each(scores, level):
    return (scores - level[..., None]).exp()


def down(maximum, level, largest):
    return (maximum - level).exp()


def scaled(total, factor, weights):
    return total * factor + weights.sum(-1)


def as_they_are(weights, total):
    return weights


def all_four(largest, total, weights, factor):
    return largest, total, weights, factor


def stream(
    scores,
    maximum,
    total,
    top=running,
    level=from_zero_if_nothing,
    power=each,
    correction=down,
    add=scaled,
    divided=as_they_are,
    told=all_four,
):
    """The right step of a stream, but for the parts that are given."""
    largest = top(scores, maximum)
    at = level(largest, maximum)
    weights = power(scores, at)
    factor = correction(maximum, at, largest)
    total = add(total, factor, weights)
    return told(largest, total, divided(weights, total), factor)


with_ = changeable(stream)


# Another maximum


def of_the_piece(scores, maximum):
    return scores.amax(-1)


def of_all_rows(scores, maximum):
    return torch.maximum(maximum, scores.max())


def of_the_first(scores, maximum):
    return torch.where(maximum == -math.inf, scores.amax(-1), maximum)


def never(scores, maximum):
    return torch.zeros_like(maximum)


def smallest(scores, maximum):
    return torch.minimum(maximum, scores.amin(-1))


def at_least(floor):
    def top(scores, maximum):
        return running(scores, maximum).clamp_min(floor)

    return top


def at_least_the_dtypes(scores, maximum):
    return running(scores, maximum).clamp_min(torch.finfo(scores.dtype).min)


def in_place(scores, maximum):
    return torch.maximum(maximum, scores.amax(-1), out=maximum)


def along_another(scores, maximum):
    return torch.maximum(maximum, scores.amax(0))


# Another level


def unguarded(largest, maximum):
    return largest


def the_old(largest, maximum):
    return from_zero_if_nothing(maximum, maximum)


def zero(largest, maximum):
    return torch.zeros_like(largest)


# Another power


def in_base_two(scores, level):
    return torch.exp2(scores - level[..., None])


def base_two_down(maximum, level, largest):
    return torch.exp2(maximum - level)


def overwriting(scores, level):
    return scores.sub_(level[..., None]).exp_()


def sign_turned(scores, level):
    return (level[..., None] - scores).exp()


def cleaned(scores, level):
    return each(scores, level).nan_to_num(0.0)


# Another factor


def up(maximum, level, largest):
    return (level - maximum).exp()


def one(maximum, level, largest):
    return torch.ones_like(maximum)


def difference(maximum, level, largest):
    return maximum - level


def cleaned_down(maximum, level, largest):
    return down(maximum, level, largest).nan_to_num(0.0)


def only_where_it_rose_by_one(maximum, level, largest):
    return torch.where(level > maximum, down(maximum, level, largest), torch.zeros_like(level))


# Another sum


def unscaled(total, factor, weights):
    return total + weights.sum(-1)


def divided_by(total, factor, weights):
    return total / factor + weights.sum(-1)


def both_scaled(total, factor, weights):
    return (total + weights.sum(-1)) * factor


def the_piece_alone(total, factor, weights):
    return weights.sum(-1)


def the_mean(total, factor, weights):
    return total * factor + weights.mean(-1)


def over_all(total, factor, weights):
    return total * factor + weights.sum()


def the_largest_twice(total, factor, weights):
    return total * factor + weights.sum(-1) + 1


def in_place_scaled(total, factor, weights):
    return total.mul_(factor).add_(weights.sum(-1))


# Weights that are divided


def by_their_sum(weights, total):
    return weights / weights.sum(-1, keepdim=True)


def by_the_total(weights, total):
    return weights / total[..., None]


# Another end


def log_sum_exp(largest, total, weights, factor):
    return largest + total.log(), total, weights, factor


def logarithm_of_total(largest, total, weights, factor):
    return largest, total.log(), weights, factor


def scaled_weights(largest, total, weights, factor):
    return largest, total, weights * factor[..., None], factor


def state_alone(largest, total, weights, factor):
    return largest, total


def total_first(largest, total, weights, factor):
    return total, largest, weights, factor


def factor_before_weights(largest, total, weights, factor):
    return largest, total, factor, weights


def with_a_dimension(largest, total, weights, factor):
    return tuple(t[..., None] if t is not weights else t for t in (largest, total, weights, factor))
