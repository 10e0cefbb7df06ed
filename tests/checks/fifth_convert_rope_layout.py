"""Wrong answers to convert_rope_layout of a fifth trial, by others who had not seen the traps."""

import torch
from fresh import answer


# the two directions exchanged
@answer("the wrong way round")
def convert_rope_layout__the_two_directions_exchanged(w, num_heads, to):
    half = w.shape[0] // num_heads // 2
    sizes = (num_heads, half, 2) if to == "interleaved" else (num_heads, 2, half)
    return w.unflatten(0, sizes).transpose(1, 2).reshape(w.shape)


# num_heads ignored: all rows taken for one head
@answer("across the heads")
def convert_rope_layout__num_heads_ignored(w, num_heads, to):
    half = w.shape[0] // 2
    sizes = (half, 2) if to == "half" else (2, half)
    return w.unflatten(0, sizes).transpose(0, 1).reshape(w.shape)


# columns reordered instead of rows
@answer("columns instead of rows")
def convert_rope_layout__columns_reordered_instead_of_rows(w, num_heads, to):
    half = w.shape[-1] // num_heads // 2
    sizes = (num_heads, half, 2) if to == "half" else (num_heads, 2, half)
    return w.unflatten(-1, sizes).transpose(-1, -2).reshape(w.shape)


# the way back is the way there
@answer("always in one direction")
def convert_rope_layout__the_way_back_is_the_way(w, num_heads, to):
    half = w.shape[0] // num_heads // 2
    return w.unflatten(0, (num_heads, half, 2)).transpose(1, 2).reshape(w.shape)


# works for matrices only, not for a bias
@answer("exactly two dimensions")
def convert_rope_layout__works_for_matrices_only_not_for(w, num_heads, to):
    rows, columns = w.shape
    half = rows // num_heads // 2
    sizes = (num_heads, half, 2) if to == "half" else (num_heads, 2, half)
    return w.reshape(*sizes, columns).transpose(1, 2).reshape(rows, columns)


# writes into the caller's weights
@answer()
def convert_rope_layout__writes_into_the_caller_s_weights(w, num_heads, to):
    half = w.shape[0] // num_heads // 2
    sizes = (num_heads, half, 2) if to == "half" else (num_heads, 2, half)
    with torch.no_grad():
        w.copy_(w.unflatten(0, sizes).transpose(1, 2).reshape(w.shape).clone())
    return w


# one row of each pair negated, as in rotate_half
@answer("turned as well")
def convert_rope_layout__one_row_of_each_pair_negated(w, num_heads, to):
    heads = w.unflatten(0, (num_heads, -1))
    if to == "half":
        new = torch.cat((heads[:, ::2], -heads[:, 1::2]), dim=1)
    else:
        first, second = heads.chunk(2, dim=1)
        new = torch.stack((first, -second), dim=2)
    return new.reshape(w.shape)


# rows of different heads taken to alternate
@answer("heads that alternate")
def convert_rope_layout__rows_of_different_heads_taken_to(w, num_heads, to):
    half = w.shape[0] // num_heads // 2
    sizes = (half, 2, num_heads) if to == "half" else (2, half, num_heads)
    return w.unflatten(0, sizes).transpose(0, 1).reshape(w.shape)


# two: num_heads ignored, the two directions exchanged
@answer("the wrong way round", "across the heads")
def convert_rope_layout__two_num_heads_ignored_the_two(w, num_heads, to):
    half = w.shape[0] // 2
    sizes = (2, half) if to == "half" else (half, 2)
    return w.unflatten(0, sizes).transpose(0, 1).reshape(w.shape)


# two: the way back is the way there, and not for a bias
@answer("always in one direction", "exactly two dimensions")
def convert_rope_layout__two_the_way_back_is_the(w, num_heads, to):
    rows, columns = w.shape
    half = rows // num_heads // 2
    return w.reshape(num_heads, half, 2, columns).transpose(1, 2).reshape(rows, columns)
