"""Wrong answers to causal_mask of a fourth trial, by others who had not seen the traps."""

import torch
from fresh import answer


# all rows alike: every query may read up to Tk - Tq (no i)
@answer("one row for all queries")
def causal_mask__all_rows_alike(num_queries, num_keys, device=None):
    row = torch.arange(num_keys, device=device) <= num_keys - num_queries
    return row.expand(num_queries, num_keys)


# all rows alike: everything up to last query; past only, whole block of new ones hidden
@answer("one row for all queries")
def causal_mask__past_only(num_queries, num_keys, device=None):
    return (torch.arange(num_keys, device=device) < num_keys - num_queries).expand(
        num_queries, num_keys
    )


# band of one: own and previous position only
@answer("a window over the past")
def causal_mask__band_two(num_queries, num_keys, device=None):
    q = torch.arange(num_queries, device=device)[:, None] + num_keys - num_queries
    k = torch.arange(num_keys, device=device)
    return (k <= q) & (k >= q - 1)
