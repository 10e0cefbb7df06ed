"""Wrong answers to head_ablation of a fifth trial, by others who had not seen the traps."""

import torch
from fresh import answer


# flags lined up with the features
@answer("flags along the features")
def head_ablation__flags_lined_up_with_the_features(heads, w_out, keep_heads):
    heads = heads * keep_heads
    return heads.transpose(-3, -2).flatten(-2) @ w_out


# flags lined up with time
@answer("flags along time")
def head_ablation__flags_lined_up_with_time(heads, w_out, keep_heads):
    heads = heads * keep_heads[:, None]
    return heads.transpose(-3, -2).flatten(-2) @ w_out


# flags inverted: True silences
@answer("inverted")
def head_ablation__flags_inverted(heads, w_out, keep_heads):
    heads = heads * ~keep_heads[:, None, None]
    return heads.transpose(-3, -2).flatten(-2) @ w_out


# writes zeros into the caller's heads
@answer("the caller's heads overwritten")
def head_ablation__writes_zeros_into_the_caller_s(heads, w_out, keep_heads):
    heads[..., ~keep_heads, :, :] = 0
    return heads.transpose(-3, -2).flatten(-2) @ w_out


# the other heads made louder, as in dropout
@answer("the rest scaled up")
def head_ablation__the_other_heads_made_louder_as(heads, w_out, keep_heads):
    share = keep_heads.to(heads.dtype).mean()
    heads = heads * keep_heads[:, None, None] / share
    return heads.transpose(-3, -2).flatten(-2) @ w_out


# merged by a reshape without transpose
@answer("merged without transposing back")
def head_ablation__merged_by_a_reshape_without_transpose(heads, w_out, keep_heads):
    *front, num_heads, time, width = heads.shape
    heads = heads * keep_heads[:, None, None]
    return heads.reshape(*front, time, num_heads * width) @ w_out


# flags tiled instead of repeated for each head's features
@answer("every H-th feature silenced")
def head_ablation__flags_tiled_instead_of_repeated_for(heads, w_out, keep_heads):
    merged = heads.transpose(-3, -2).flatten(-2)
    return (merged * keep_heads.repeat(heads.shape[-1])) @ w_out


# works for exactly one batch dimension (einsum with b)
@answer()
def head_ablation__works_for_exactly_one_batch_dimension(heads, w_out, keep_heads):
    heads = heads * keep_heads[:, None, None]
    rows = w_out.unflatten(0, (heads.shape[-3], heads.shape[-1]))
    return torch.einsum("bhtd,hdc->btc", heads, rows)


# two: flags inverted, the other heads made louder
@answer("inverted", "the rest scaled up")
def head_ablation__two_flags_inverted_the_other_heads(heads, w_out, keep_heads):
    silent = ~keep_heads
    heads = heads * silent[:, None, None] / silent.to(heads.dtype).mean()
    return heads.transpose(-3, -2).flatten(-2) @ w_out


# two: silent heads taken out and the others moved up, merged without transpose
@answer("merged without transposing back", "the wrong rows of w_out")
def head_ablation__two_silent_heads_taken_out_and(heads, w_out, keep_heads):
    left = heads[..., keep_heads, :, :]
    *front, number, time, width = left.shape
    return left.reshape(*front, time, number * width) @ w_out[: number * width]
