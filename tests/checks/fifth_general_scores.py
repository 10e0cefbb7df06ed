"""Wrong answers to general_scores of a fifth trial, by others who had not seen the traps."""

import torch
from fresh import answer


# W forgotten
@answer("w forgotten")
def general_scores__w_forgotten(x, memory, w):
    return x @ memory.mT


# W transposed
@answer("w transposed")
def general_scores__w_transposed(x, memory, w):
    return x @ w.mT @ memory.mT


# divided by the root of the width, as in scaled dot products
@answer("scaled")
def general_scores__divided_by_the_root_of_the(x, memory, w):
    return x @ w @ memory.mT / memory.shape[-1] ** 0.5


# rows and columns exchanged: (S, T)
@answer("the memory asks")
def general_scores__rows_and_columns_exchanged(x, memory, w):
    return memory @ w.mT @ x.mT


# all dimensions reversed (.T) instead of the last two
@answer("memory not transposed")
def general_scores__all_dimensions_reversed_t_instead_of(x, memory, w):
    return x @ w @ memory.permute(*range(memory.ndim - 1, -1, -1))


# works for exactly one batch dimension (bmm)
@answer()
def general_scores__works_for_exactly_one_batch_dimension(x, memory, w):
    return torch.bmm(x @ w, memory.transpose(1, 2))


# shares returned instead of scores
@answer("softmax already taken")
def general_scores__shares_returned_instead_of_scores(x, memory, w):
    return torch.softmax(x @ w @ memory.mT, dim=-1)


# each state scored only with the one at its own place
@answer()
def general_scores__each_state_scored_only_with_the(x, memory, w):
    return ((x @ w) * memory).sum(-1)


# two: W transposed, and divided by the root of the width
@answer("w transposed", "scaled")
def general_scores__two_w_transposed_and_divided_by(x, memory, w):
    return x @ w.mT @ memory.mT / memory.shape[-1] ** 0.5


# two: rows and columns exchanged, computed in single precision
@answer("the memory asks")
def general_scores__two_rows_and_columns_exchanged_computed(x, memory, w):
    return (memory.float() @ w.float().mT @ x.float().mT).to(x.dtype)
