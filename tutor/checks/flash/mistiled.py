"""The wrong parts that people give to attention in tiles, and to its backward pass."""

import math

import torch

from tutor.checks.flash.tiles import natural

# Another number of tiles


def down(n, size):
    return n // size


# Another sum


def unscaled(total, factor, weights):
    return total + weights.sum(-1)


def the_tile_alone(total, factor, weights):
    return weights.sum(-1)


def read_unscaled(answer, factor, weights, values, total):
    return answer + weights @ values


def read_twice_scaled(answer, factor, weights, values, total):
    return (answer + weights @ values) * factor[..., None]


def read_divided_by_factor(answer, factor, weights, values, total):
    return answer / factor[..., None] + weights @ values


def read_normalised(answer, factor, weights, values, total):
    weights = weights / weights.sum(-1, keepdim=True)
    return answer + weights @ values


def read_normalised_and_scaled(answer, factor, weights, values, total):
    weights = weights / weights.sum(-1, keepdim=True)
    return answer * factor[..., None] + weights @ values


def read_divided_by_total(answer, factor, weights, values, total):
    return answer * factor[..., None] + weights @ values / total[..., None]


def read_all_divided_by_total(answer, factor, weights, values, total):
    return (answer * factor[..., None] + weights @ values) / total[..., None]


def the_last_alone(answer, factor, weights, values, total):
    return weights @ values


def undivided(answer, total):
    return answer


def divided_anyway(answer, total):
    return answer / total[..., None]


def divided_with_an_epsilon(answer, total):
    return answer / (total + 1e-6)[..., None]


# Another maximum


def at_zero(maximum, scores):
    return torch.zeros_like(maximum)


def of_the_tile(maximum, scores):
    return scores.amax(-1)


def of_the_first(maximum, scores):
    return torch.where(maximum == -math.inf, scores.amax(-1), maximum)


def one_for_all(maximum, scores):
    return torch.maximum(maximum, scores.amax((-2, -1), keepdim=True)[..., 0])


def unguarded(largest):
    return largest


def starting_at(floor):
    def begin(scores):
        return scores.new_full(scores.shape[:-1], floor), scores.new_zeros(scores.shape[:-1])

    return begin


def starting_at_the_dtypes(scores):
    return starting_at(torch.finfo(scores.dtype).min)(scores)


def hidden_by(value):
    def hide(scores, visible):
        return scores if visible is None else scores.masked_fill(~visible, value)

    return hide


def hidden_by_the_dtypes(scores, visible):
    return hidden_by(torch.finfo(scores.dtype).min)(scores, visible)


def times_visible(scores, visible):
    return scores if visible is None else scores * visible


def base_two(x):
    return torch.exp2(x)


def none_skipped(visible):
    return False


# Another mask


def upper_left(rows, keys, num_queries, num_keys):
    return keys <= rows[:, None]


def turned(rows, keys, num_queries, num_keys):
    return keys <= rows[:, None] + (num_queries - num_keys)


def without_oneself(rows, keys, num_queries, num_keys):
    return keys < rows[:, None] + (num_keys - num_queries)


def one_more(rows, keys, num_queries, num_keys):
    return keys <= rows[:, None] + (num_keys - num_queries) + 1


def the_future(rows, keys, num_queries, num_keys):
    return keys >= rows[:, None] + (num_keys - num_queries)


def within_the_tile(rows, keys, num_queries, num_keys):
    return (keys - keys[0]) <= (rows - rows[0])[:, None]


def keys_within_the_tile(rows, keys, num_queries, num_keys):
    return (keys - keys[0]) <= rows[:, None] + (num_keys - num_queries)


def rows_within_the_tile(rows, keys, num_queries, num_keys):
    return keys <= (rows - rows[0])[:, None] + (num_keys - num_queries)


def whole_tiles(rows, keys, num_queries, num_keys):
    """Tiles that are crossed by the limit are read whole."""
    return (keys[0] <= rows[-1] + (num_keys - num_queries)).expand(len(rows), len(keys))


def no_crossed_tiles(rows, keys, num_queries, num_keys):
    """They are not read at all."""
    return (keys[-1] <= rows[0] + (num_keys - num_queries)).expand(len(rows), len(keys))


def always(causal):
    return True


def never(causal):
    return False


def other_way(causal):
    return not causal


# Another end of the keys


def zeros_read(k, v, key_tile):
    """Keys of zeros behind the last, up to the next tile's end, and nobody hides them."""
    more = (0, 0, 0, -k.shape[-2] % key_tile)
    return torch.nn.functional.pad(k, more), torch.nn.functional.pad(v, more)


# Other heads


def tiled_groups(t, heads):
    return t.repeat(*(1,) * (t.ndim - 3), heads // t.shape[-3], 1, 1)


def first_head(t, heads):
    return t[..., :1, :, :].expand(*t.shape[:-3], heads, *t.shape[-2:])


def as_many(t, heads):
    return t


def mean_head(t, heads):
    return t.mean(-3, keepdim=True).expand(*t.shape[:-3], heads, *t.shape[-2:])


# Another scale


def one(q, k, v):
    return 1.0


def by_width(q, k, v):
    return 1 / q.shape[-1]


def times_root(q, k, v):
    return q.shape[-1] ** 0.5


def by_values(q, k, v):
    return v.shape[-1] ** -0.5


def by_heads(q, k, v):
    return (q.shape[-1] * q.shape[-3]) ** -0.5


def as_the_input(q):
    return q.dtype


# Another logarithm


def in_base_two(maximum, total):
    return (maximum + total.log()) / math.log(2)


def half_in_base_two(maximum, total):
    return maximum + total.log2()


def maximum_in_base_two(maximum, total):
    return maximum / math.log(2) + total.log2()


def of_total(maximum, total):
    return total.log()


def the_total(maximum, total):
    return total


def the_sum(maximum, total):
    return maximum.exp() * total


def the_maximum(maximum, total):
    return maximum


def not_a_logarithm(maximum, total):
    return maximum + total


def negative(maximum, total):
    return -natural(maximum, total)


def finite_for_nothing(value):
    def logarithm(maximum, total):
        return natural(maximum, total).masked_fill(total == 0, value)

    return logarithm


# Another end


def out_alone(out, lse):
    return out


def exchanged(out, lse):
    return lse, out


def with_a_dimension(out, lse):
    return out, lse[..., None]


def as_short_as_out(out, lse):
    return out, lse.to(out.dtype)


def wide_out(out, lse):
    return out.to(lse.dtype), lse


def head_after_time(out, lse):
    return out.transpose(-3, -2), lse
