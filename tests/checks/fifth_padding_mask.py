"""Wrong answers to padding_mask of a fifth trial, by others who had not seen the traps."""

import torch
from fresh import answer


# one too many: <= instead of <
@answer("one position too many")
def padding_mask__one_too_many(lengths, num_keys):
    return torch.arange(num_keys, device=lengths.device) <= lengths[..., None, None]


# mask inverted: True on the padding
@answer("inverted")
def padding_mask__mask_inverted(lengths, num_keys):
    return torch.arange(num_keys, device=lengths.device) >= lengths[..., None, None]


# no dimension for the queries
@answer("no dimension for the queries")
def padding_mask__no_dimension_for_the_queries(lengths, num_keys):
    return torch.arange(num_keys, device=lengths.device) < lengths[..., None]


# positions made on the default device
@answer()
def padding_mask__positions_made_on_the_default_device(lengths, num_keys):
    return torch.arange(num_keys) < lengths[..., None, None]


# padding taken to stand in front
@answer("padding on the left")
def padding_mask__padding_taken_to_stand_in_front(lengths, num_keys):
    positions = torch.arange(num_keys, device=lengths.device)
    return positions >= num_keys - lengths[..., None, None]


# ones and zeros instead of bool
@answer("ones and zeros instead of True and False")
def padding_mask__ones_and_zeros_instead_of_bool(lengths, num_keys):
    positions = torch.arange(num_keys, device=lengths.device)
    return (positions < lengths[..., None, None]).float()


# positions counted in the dtype of the lengths: int8 ends at 127
@answer("positions in a short dtype")
def padding_mask__positions_counted_in_the_dtype_of(lengths, num_keys):
    positions = torch.arange(num_keys, device=lengths.device).to(lengths.dtype)
    return positions < lengths[..., None, None]


# dimensions counted from the front: one batch dimension only
@answer()
def padding_mask__dimensions_counted_from_the_front(lengths, num_keys):
    return torch.arange(num_keys, device=lengths.device) < lengths[:, None, None]


# two: mask inverted and one off
@answer("inverted", "one position too many")
def padding_mask__two_mask_inverted_and_one_off(lengths, num_keys):
    return torch.arange(num_keys, device=lengths.device) > lengths[..., None, None]


# two: as wide as the longest sentence, no dimension for the queries
@answer("no dimension for the queries", "as wide as the longest sentence")
def padding_mask__two_as_wide_as_the_longest(lengths, num_keys):
    positions = torch.arange(int(lengths.max()), device=lengths.device)
    return positions < lengths[..., None]
