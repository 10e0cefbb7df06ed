"""Wrong answers to additive_scores of a fifth trial, by others who had not seen the traps."""

import torch
from fresh import answer


# no tanh
@answer("no tanh")
def additive_scores__no_tanh(x, memory, w_x, w_memory, v):
    return ((x @ w_x)[..., :, None, :] + (memory @ w_memory)[..., None, :, :]) @ v


# every pair projected anew
@answer()
def additive_scores__every_pair_projected_anew(x, memory, w_x, w_memory, v):
    t, s = x.shape[-2], memory.shape[-2]
    x = x.unsqueeze(-2).expand(*x.shape[:-1], s, x.shape[-1])
    memory = memory.unsqueeze(-3).expand(*memory.shape[:-2], t, s, memory.shape[-1])
    return torch.tanh(x @ w_x + memory @ w_memory) @ v


# tanh of each projection instead of their sum
@answer("a tanh for each part")
def additive_scores__tanh_of_each_projection_instead_of(x, memory, w_x, w_memory, v):
    asks, answers = torch.tanh(x @ w_x), torch.tanh(memory @ w_memory)
    return (asks[..., :, None, :] + answers[..., None, :, :]) @ v


# rows and columns exchanged: (S, T)
@answer("the memory asks")
def additive_scores__rows_and_columns_exchanged(x, memory, w_x, w_memory, v):
    asks, answers = x @ w_x, memory @ w_memory
    return torch.tanh(asks[..., None, :, :] + answers[..., :, None, :]) @ v


# weighed before the tanh
@answer("the tanh around the score")
def additive_scores__weighed_before_the_tanh(x, memory, w_x, w_memory, v):
    asks, answers = x @ w_x, memory @ w_memory
    return torch.tanh((asks[..., :, None, :] + answers[..., None, :, :]) @ v)


# mean over the hidden units instead of sum
@answer("scaled")
def additive_scores__mean_over_the_hidden_units_instead(x, memory, w_x, w_memory, v):
    asks, answers = x @ w_x, memory @ w_memory
    hidden = torch.tanh(asks[..., :, None, :] + answers[..., None, :, :])
    return (hidden * v).mean(-1)


# divided by the root of the width, as in scaled dot products
@answer("scaled")
def additive_scores__divided_by_the_root_of_the(x, memory, w_x, w_memory, v):
    asks, answers = x @ w_x, memory @ w_memory
    scores = torch.tanh(asks[..., :, None, :] + answers[..., None, :, :]) @ v
    return scores / v.shape[-1] ** 0.5


# dimensions counted from the front: one batch dimension only
@answer("axes counted from the front")
def additive_scores__dimensions_counted_from_the_front(x, memory, w_x, w_memory, v):
    return torch.tanh((x @ w_x).unsqueeze(2) + (memory @ w_memory).unsqueeze(1)) @ v


# two: v forgotten, rows and columns exchanged
@answer("v summed instead of dotted", "the memory asks")
def additive_scores__two_v_forgotten_rows_and_columns(x, memory, w_x, w_memory, v):
    asks, answers = x @ w_x, memory @ w_memory
    return torch.tanh(asks[..., None, :, :] + answers[..., :, None, :]).sum(-1)


# two: weighed before the tanh, and divided by the root of the width
@answer("the tanh around the score", "scaled")
def additive_scores__two_weighed_before_the_tanh_and(x, memory, w_x, w_memory, v):
    asks, answers = x @ w_x, memory @ w_memory
    total = (asks[..., :, None, :] + answers[..., None, :, :]) @ v
    return torch.tanh(total / v.shape[-1] ** 0.5)
