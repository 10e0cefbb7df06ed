"""Wrong answers to last_hidden of a fifth trial, by others who had not seen the traps."""

import torch
from fresh import answer


# one step too late
@answer("one step too late")
def last_hidden__one_step_too_late(states, lengths):
    rows = torch.arange(states.shape[0], device=states.device)
    picked = states[rows, lengths.long().clamp(max=states.shape[1] - 1)]
    return picked.masked_fill((lengths == 0)[:, None], 0)


# length 0 wraps around to the last step
@answer("an index of -1")
def last_hidden__length_0_wraps_around_to_the(states, lengths):
    rows = torch.arange(states.shape[0], device=states.device)
    return states[rows, lengths.long() - 1]


# lengths ignored: the last step of the padded batch
@answer("the last padded step")
def last_hidden__lengths_ignored(states, lengths):
    return states[:, -1].masked_fill((lengths == 0)[:, None], 0)


# hidden by a product: 0 times nan is nan
@answer("nan times 0")
def last_hidden__hidden_by_a_product(states, lengths):
    last = torch.arange(states.shape[1], device=states.device) == lengths[:, None] - 1
    return (states * last[..., None]).sum(1)


# positions made on the default device
@answer()
def last_hidden__positions_made_on_the_default_device(states, lengths):
    last = torch.arange(states.shape[1]) == lengths[:, None] - 1
    return states.masked_fill(~last[..., None], 0).sum(1)


# nan and infinity of real steps swept away
@answer("nan and infinity swept away")
def last_hidden__nan_and_infinity_of_real_steps(states, lengths):
    last = torch.arange(states.shape[1], device=states.device) == lengths[:, None] - 1
    return (torch.nan_to_num(states) * last[..., None]).sum(1)


# writes zeros into the caller's states
@answer()
def last_hidden__writes_zeros_into_the_caller_s(states, lengths):
    states[lengths == 0] = 0
    rows = torch.arange(states.shape[0], device=states.device)
    return states[rows, lengths.long() - 1]


# length 0 gets the first state instead of zeros
@answer("the first step of nothing")
def last_hidden__length_0_gets_the_first_state(states, lengths):
    index = (lengths.long() - 1).clamp(min=0)
    return states[torch.arange(states.shape[0], device=states.device), index]


# two: one step too late, and hidden by a product
@answer("one step too late")
def last_hidden__two_one_step_too_late_and(states, lengths):
    last = torch.arange(states.shape[1], device=states.device) == lengths[:, None]
    return (states * last[..., None]).sum(1)


# two: the answer in the default dtype and on the default device
@answer()
def last_hidden__two_the_answer_in_the_default(states, lengths):
    out = torch.zeros(states.shape[0], states.shape[2])
    for b in range(states.shape[0]):
        if lengths[b] > 0:
            out[b] = states[b, lengths[b] - 1]
    return out
