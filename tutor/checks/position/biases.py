"""ALiBi's bias in steps: the right ones, and the wrong ones that people make of them."""

import math
from itertools import product

import torch

from tutor.checks.position.alibi_slopes import formula_for_all, published


def newest(num_queries, num_keys):
    return num_keys - num_queries


def as_given(num_queries, num_keys):
    return num_queries, num_keys


def whole(places):
    return places


def of_both(queries, keys):
    return queries[:, None] - keys


def absolute(signed):
    return signed.abs()


def cost_of(distance):
    return -distance


def by_head(slopes, cost):
    return slopes[:, None, None] * cost


def as_it_is(bias, signed):
    return bias


def bias(
    num_heads,
    num_queries,
    num_keys,
    device=None,
    start=newest,
    sizes=as_given,
    counted=whole,
    difference=of_both,
    distance=absolute,
    cost=cost_of,
    slopes=published,
    together=by_head,
    then=as_it_is,
):
    """The right bias, but for the parts that are given."""
    num_queries, num_keys = sizes(num_queries, num_keys)
    queries = torch.arange(num_queries, device=device) + start(num_queries, num_keys)
    keys = torch.arange(num_keys, device=device)
    signed = difference(counted(queries), counted(keys))
    return then(together(slopes(num_heads, device), cost(distance(signed))), signed)


# Other places of the queries


def from_the_start(num_queries, num_keys):
    return 0


def start_of_one(num_queries, num_keys):
    """One query alone is taken for the first word."""
    return 0 if num_queries == 1 else num_keys - num_queries


def wrong_way(num_queries, num_keys):
    return num_queries - num_keys


def one_later(num_queries, num_keys):
    return num_keys - num_queries + 1


def one_earlier(num_queries, num_keys):
    return num_keys - num_queries - 1


# Other numbers of queries or keys


def square_of_queries(num_queries, num_keys):
    return num_queries, num_queries


# Other distances


def of_keys(queries, keys):
    return -keys.expand(len(queries), -1)


def of_the_last(queries, keys):
    return (len(keys) - 1 - keys).expand(len(queries), -1)


def signed(signed):
    return signed


def no_future(signed):
    return signed.clamp(min=0)


def no_past(signed):
    return (-signed).clamp(min=0)


def squared(signed):
    return signed**2


def logarithm(signed):
    return signed.abs().log1p()


def share(signed):
    return signed.abs() / signed.shape[-1]


def plus_one(signed):
    return signed.abs() + 1


def distance_in(dtype):
    return lambda signed: signed.abs().to(dtype)


def places_in(dtype):
    return lambda places: places.to(dtype)


# Other costs


def rewarded(distance):
    return distance


def cost_in_single(distance):
    return -distance.float()


# Other slopes


def first_for_all(num_heads, device):
    return published(num_heads, device)[:1].expand(num_heads)


def last_for_all(num_heads, device):
    return published(num_heads, device)[-1:].expand(num_heads)


def none(num_heads, device):
    return torch.ones(num_heads, device=device)


def in_falling_order(num_heads, device):
    return published(num_heads, device).sort(descending=True).values


def power_below(num_heads):
    return 1 << (num_heads.bit_length() - 1)


def of_the_power_above(num_heads, device):
    power = power_below(num_heads)
    return formula_for_all(power if power == num_heads else 2 * power, device)[:num_heads]


def _with_more(num_heads, device, more):
    power = power_below(num_heads)
    return torch.cat((formula_for_all(power, device), more[: num_heads - power]))


def all_of_twice(num_heads, device):
    return _with_more(num_heads, device, formula_for_all(2 * power_below(num_heads), device))


def every_other_again(num_heads, device):
    return _with_more(num_heads, device, formula_for_all(power_below(num_heads), device)[::2])


def every_other_again_repeated(num_heads, device):
    every_other = formula_for_all(power_below(num_heads), device)[::2]
    return _with_more(num_heads, device, every_other.repeat(2))


def none_more(num_heads, device):
    return formula_for_all(power_below(num_heads), device)


def powers_of_e(num_heads, device):
    return published(num_heads, device) ** (1 / math.log(2))


def always_halved(num_heads, device):
    return 0.5 ** torch.arange(1.0, num_heads + 1, device=device)


def in_a_line(num_heads, device):
    return torch.arange(num_heads, 0, -1, device=device) / num_heads


# Put together in other ways


def all_in(dtype):
    def together(slopes, cost):
        return (slopes.to(dtype)[:, None, None] * cost.to(dtype)).float()

    return together


def whole_slopes(slopes, cost):
    return slopes.to(cost.dtype)[:, None, None] * cost


def heads_last(slopes, cost):
    return cost[..., None] * slopes


def lined_up(with_queries, heads_in_front, cost_first):
    """Slopes that meet queries or keys; each way of writing it has an error of its own."""

    def together(slopes, cost):
        slopes = slopes[:, None] if with_queries else slopes
        cost = cost[None] if heads_in_front else cost
        return cost * slopes if cost_first else slopes * cost

    return together


LINED_UP = tuple(lined_up(*way) for way in product((True, False), repeat=3))


# What is made of the bias at last


def double(bias, signed):
    return bias.double()


def whole_numbers(bias, signed):
    return bias.long()


def whole_numbers_as_floats(bias, signed):
    return bias.trunc()


def masked_with(number):
    return lambda bias, signed: bias.masked_fill(signed < 0, number)
