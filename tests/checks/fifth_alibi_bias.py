"""Wrong answers to alibi_bias of a fifth trial, by others who had not seen the traps."""

import torch
from fresh import answer


# sign: distance is rewarded
@answer("far is rewarded")
def alibi_bias__sign(num_heads, num_queries, num_keys, device=None):
    from tutor.position import alibi_slopes

    keys = torch.arange(num_keys, device=device)
    queries = torch.arange(num_queries, device=device) + num_keys - num_queries
    distance = (queries[:, None] - keys).abs()
    return alibi_slopes(num_heads, device)[:, None, None] * distance


# the first query put at the first key
@answer("aligned to the wrong corner")
def alibi_bias__the_first_query_put_at_the(num_heads, num_queries, num_keys, device=None):
    from tutor.position import alibi_slopes

    keys = torch.arange(num_keys, device=device)
    queries = torch.arange(num_queries, device=device)
    distance = (queries[:, None] - keys).abs()
    return -alibi_slopes(num_heads, device)[:, None, None] * distance


# queries moved the wrong way
@answer("shifted the wrong way")
def alibi_bias__queries_moved_the_wrong_way(num_heads, num_queries, num_keys, device=None):
    from tutor.position import alibi_slopes

    keys = torch.arange(num_keys, device=device)
    queries = torch.arange(num_queries, device=device) - (num_keys - num_queries)
    distance = (queries[:, None] - keys).abs()
    return -alibi_slopes(num_heads, device)[:, None, None] * distance


# distance with a sign: later keys are rewarded
@answer("the future is rewarded")
def alibi_bias__distance_with_a_sign(num_heads, num_queries, num_keys, device=None):
    from tutor.position import alibi_slopes

    keys = torch.arange(num_keys, device=device)
    queries = torch.arange(num_queries, device=device) + num_keys - num_queries
    return -alibi_slopes(num_heads, device)[:, None, None] * (queries[:, None] - keys)


# later keys hidden: that is the mask's business
@answer("the mask included")
def alibi_bias__later_keys_hidden(num_heads, num_queries, num_keys, device=None):
    from tutor.position import alibi_slopes

    keys = torch.arange(num_keys, device=device)
    queries = torch.arange(num_queries, device=device) + num_keys - num_queries
    distance = queries[:, None] - keys
    bias = -alibi_slopes(num_heads, device)[:, None, None] * distance
    return bias.masked_fill(distance < 0, float("-inf"))


# later keys cost nothing (clamp instead of abs)
@answer("the future is free")
def alibi_bias__later_keys_cost_nothing(num_heads, num_queries, num_keys, device=None):
    from tutor.position import alibi_slopes

    keys = torch.arange(num_keys, device=device)
    queries = torch.arange(num_queries, device=device) + num_keys - num_queries
    distance = (queries[:, None] - keys).clamp(min=0)
    return -alibi_slopes(num_heads, device)[:, None, None] * distance


# device ignored
@answer()
def alibi_bias__device_ignored(num_heads, num_queries, num_keys, device=None):
    from tutor.position import alibi_slopes

    keys = torch.arange(num_keys)
    queries = torch.arange(num_queries) + num_keys - num_queries
    distance = (queries[:, None] - keys).abs()
    return -alibi_slopes(num_heads)[:, None, None] * distance


# slopes lined up with the queries
@answer("slopes that meet the words")
def alibi_bias__slopes_lined_up_with_the_queries(num_heads, num_queries, num_keys, device=None):
    from tutor.position import alibi_slopes

    keys = torch.arange(num_keys, device=device)
    queries = torch.arange(num_queries, device=device) + num_keys - num_queries
    distance = (queries[:, None] - keys).abs().expand(num_heads, -1, -1)
    return -alibi_slopes(num_heads, device)[:, None] * distance


# two: distance is rewarded, the first query put at the first key
@answer("far is rewarded", "aligned to the wrong corner")
def alibi_bias__two_distance_is_rewarded_the_first(num_heads, num_queries, num_keys, device=None):
    from tutor.position import alibi_slopes

    keys = torch.arange(num_keys, device=device)
    queries = torch.arange(num_queries, device=device)
    distance = (queries[:, None] - keys).abs()
    return alibi_slopes(num_heads, device)[:, None, None] * distance


# two: slopes by the formula for every number of heads, in double precision
@answer("the formula for powers of two, for all", "the bias in double")
def alibi_bias__two_slopes_by_the_formula_for(num_heads, num_queries, num_keys, device=None):
    steps = torch.arange(1, num_heads + 1, dtype=torch.float64, device=device)
    slopes = 2 ** (-8 * steps / num_heads)
    keys = torch.arange(num_keys, device=device)
    queries = torch.arange(num_queries, device=device) + num_keys - num_queries
    distance = (queries[:, None] - keys).abs()
    return -slopes[:, None, None] * distance
