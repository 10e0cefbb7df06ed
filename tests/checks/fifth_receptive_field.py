"""Wrong answers to receptive_field of a fifth trial, by others who had not seen the traps."""

import torch
from fresh import answer


# a layer's own stride counts for itself
@answer("the layer's own stride")
def receptive_field__a_layer_s_own_stride_counts(kernel_sizes, dilations, strides):
    return 1 + ((kernel_sizes - 1) * dilations * strides.cumprod(0)).cumsum(0)


# strides ignored
@answer("the strides forgotten")
def receptive_field__strides_ignored(kernel_sizes, dilations, strides):
    return 1 + ((kernel_sizes - 1) * dilations).cumsum(0)


# dilations ignored
@answer("the dilation forgotten")
def receptive_field__dilations_ignored(kernel_sizes, dilations, strides):
    distance = strides.cumprod(0) // strides
    return 1 + ((kernel_sizes - 1) * distance).cumsum(0)


# the 1 forgotten
@answer("the position itself not counted")
def receptive_field__the_1_forgotten(kernel_sizes, dilations, strides):
    distance = strides.cumprod(0) // strides
    return ((kernel_sizes - 1) * dilations * distance).cumsum(0)


# k instead of k - 1
@answer("k instead of k - 1")
def receptive_field__k_instead_of_k_1(kernel_sizes, dilations, strides):
    distance = strides.cumprod(0) // strides
    return 1 + (kernel_sizes * dilations * distance).cumsum(0)


# computed in floating point: not exact
@answer("counted in a short dtype")
def receptive_field__computed_in_floating_point(kernel_sizes, dilations, strides):
    distance = strides.double().cumprod(0) / strides
    return (1 + ((kernel_sizes - 1) * dilations * distance).cumsum(0)).long()


# no layer at all is an error
@answer()
def receptive_field__no_layer_at_all_is_an(kernel_sizes, dilations, strides):
    field, distance, fields = 1, 1, []
    for k, d, s in zip(kernel_sizes, dilations, strides, strict=False):
        field = field + (k - 1) * d * distance
        distance = distance * s
        fields.append(field)
    return torch.stack(fields)


# the strides after a layer instead of those before
@answer("strides do not add up, they multiply")
def receptive_field__the_strides_after_a_layer_instead(kernel_sizes, dilations, strides):
    distance = strides.flip(0).cumprod(0).flip(0) // strides
    return 1 + ((kernel_sizes - 1) * dilations * distance).cumsum(0)


# two: own stride counts, the 1 forgotten
@answer("the position itself not counted", "the layer's own stride")
def receptive_field__two_own_stride_counts_the_1(kernel_sizes, dilations, strides):
    return ((kernel_sizes - 1) * dilations * strides.cumprod(0)).cumsum(0)


# two: dilations ignored, strides added instead of multiplied
@answer("the dilation forgotten", "strides do not add up, they multiply")
def receptive_field__two_dilations_ignored_strides_added_instead(kernel_sizes, dilations, strides):
    distance = 1 + strides.cumsum(0) - strides
    return 1 + ((kernel_sizes - 1) * distance).cumsum(0)
