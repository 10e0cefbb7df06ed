"""Wrong answers to split_heads of a fifth trial, by others who had not seen the traps."""

import torch
from fresh import answer


# reshape instead of transpose: heads get tokens, not features
@answer("view instead of transpose")
def split_heads__reshape_instead_of_transpose(x, num_heads):
    *front, time, width = x.shape
    if width % num_heads != 0:
        raise ValueError(f"{num_heads} heads do not divide a width of {width}")
    return x.reshape(*front, num_heads, time, width // num_heads)


# torch's RuntimeError instead of a ValueError
@answer()
def split_heads__torch_s_runtimeerror_instead_of_a(x, num_heads):
    return x.unflatten(-1, (num_heads, x.shape[-1] // num_heads)).transpose(-3, -2)


# every H-th feature instead of neighbours
@answer("every H-th feature")
def split_heads__every_h_th_feature_instead_of(x, num_heads):
    width = x.shape[-1]
    if width % num_heads != 0:
        raise ValueError(f"{num_heads} heads do not divide a width of {width}")
    return x.unflatten(-1, (width // num_heads, num_heads)).movedim(-1, -3)


# heads left behind time
@answer("heads behind time")
def split_heads__heads_left_behind_time(x, num_heads):
    width = x.shape[-1]
    if width % num_heads != 0:
        raise ValueError(f"{num_heads} heads do not divide a width of {width}")
    return x.unflatten(-1, (num_heads, width // num_heads))


# dimensions counted from the front: one batch dimension only
@answer("axes counted from the front")
def split_heads__dimensions_counted_from_the_front(x, num_heads):
    width = x.shape[-1]
    if width % num_heads != 0:
        raise ValueError(f"{num_heads} heads do not divide a width of {width}")
    return x.unflatten(-1, (num_heads, width // num_heads)).transpose(1, 2)


# features that are left over are cut off instead of an error
@answer()
def split_heads__features_that_are_left_over_are(x, num_heads):
    head_width = x.shape[-1] // num_heads
    x = x[..., : num_heads * head_width]
    return x.unflatten(-1, (num_heads, head_width)).transpose(-3, -2)


# heads in front of the batch
@answer("heads before the batch")
def split_heads__heads_in_front_of_the_batch(x, num_heads):
    width = x.shape[-1]
    if width % num_heads != 0:
        raise ValueError(f"{num_heads} heads do not divide a width of {width}")
    return torch.stack(x.chunk(num_heads, dim=-1), dim=0)


# two: reshape instead of transpose, no ValueError
@answer("view instead of transpose")
def split_heads__two_reshape_instead_of_transpose_no(x, num_heads):
    *front, time, width = x.shape
    return x.reshape(*front, num_heads, time, width // num_heads)


# two: every H-th feature, one batch dimension only
@answer("every H-th feature")
def split_heads__two_every_h_th_feature_one(x, num_heads):
    width = x.shape[-1]
    if width % num_heads != 0:
        raise ValueError(f"{num_heads} heads do not divide a width of {width}")
    return x.unflatten(-1, (width // num_heads, num_heads)).permute(0, 3, 1, 2)
