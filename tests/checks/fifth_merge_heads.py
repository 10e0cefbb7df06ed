"""Wrong answers to merge_heads of a fifth trial, by others who had not seen the traps."""

import torch
from fresh import answer


# reshape without transpose
@answer("merged without transposing back")
def merge_heads__reshape_without_transpose(heads):
    *front, num_heads, time, width = heads.shape
    return heads.reshape(*front, time, num_heads * width)


# view after transpose: refused by torch
@answer()
def merge_heads__view_after_transpose(heads):
    *front, num_heads, time, width = heads.shape
    return heads.transpose(-3, -2).view(*front, time, num_heads * width)


# dimensions counted from the front: one batch dimension only
@answer("axes counted from the front")
def merge_heads__dimensions_counted_from_the_front(heads):
    return heads.transpose(1, 2).flatten(2)


# heads alternate feature by feature
@answer("heads interleaved")
def merge_heads__heads_alternate_feature_by_feature(heads):
    return heads.movedim(-3, -1).flatten(-2)


# mean over the heads instead of side by side
@answer("heads added up")
def merge_heads__mean_over_the_heads_instead_of(heads):
    return heads.mean(-3)


# heads one after the other in time
@answer("heads one after another in time")
def merge_heads__heads_one_after_the_other_in(heads):
    return torch.cat(heads.unbind(-3), dim=-2)


# the last two dimensions exchanged instead of heads and time
@answer("features before time")
def merge_heads__the_last_two_dimensions_exchanged_instead(heads):
    *front, num_heads, time, width = heads.shape
    return heads.transpose(-2, -1).reshape(*front, time, num_heads * width)


# transposes the caller's tensor in place
@answer()
def merge_heads__transposes_the_caller_s_tensor_in(heads):
    return heads.transpose_(-3, -2).flatten(-2)


# two: heads alternate feature by feature, one batch dimension only
@answer("heads interleaved")
def merge_heads__two_heads_alternate_feature_by_feature(heads):
    return heads.permute(0, 2, 3, 1).flatten(2)


# two: reshape without transpose, one batch dimension only
@answer("merged without transposing back")
def merge_heads__two_reshape_without_transpose_one_batch(heads):
    return heads.reshape(heads.shape[0], heads.shape[2], -1)
