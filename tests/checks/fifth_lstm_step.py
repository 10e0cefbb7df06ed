"""Wrong answers to lstm_step of a fifth trial, by others who had not seen the traps."""

import torch
import torch.nn.functional as F
from fresh import answer


# gates in the order i, f, o, g
@answer("the gates in another order")
def lstm_step__gates_in_the_order_i_f(x, h, c, w_ih, w_hh, b_ih, b_hh):
    i, f, o, g = (F.linear(x, w_ih, b_ih) + F.linear(h, w_hh, b_hh)).chunk(4, dim=-1)
    new_c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(new_c), new_c


# the old cell is shown
@answer("the old cell shown")
def lstm_step__the_old_cell_is_shown(x, h, c, w_ih, w_hh, b_ih, b_hh):
    i, f, g, o = (F.linear(x, w_ih, b_ih) + F.linear(h, w_hh, b_hh)).chunk(4, dim=-1)
    new_h = torch.sigmoid(o) * torch.tanh(c)
    new_c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    return new_h, new_c


# the cell shown without tanh
@answer("tanh of the cell missing")
def lstm_step__the_cell_shown_without_tanh(x, h, c, w_ih, w_hh, b_ih, b_hh):
    i, f, g, o = (F.linear(x, w_ih, b_ih) + F.linear(h, w_hh, b_hh)).chunk(4, dim=-1)
    new_c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * new_c, new_c


# returned in the order cell, state
@answer("returned in another order")
def lstm_step__returned_in_the_order_cell_state(x, h, c, w_ih, w_hh, b_ih, b_hh):
    i, f, g, o = (F.linear(x, w_ih, b_ih) + F.linear(h, w_hh, b_hh)).chunk(4, dim=-1)
    new_c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    return new_c, torch.sigmoid(o) * torch.tanh(new_c)


# writes into the caller's cell
@answer("the caller's cell overwritten")
def lstm_step__writes_into_the_caller_s_cell(x, h, c, w_ih, w_hh, b_ih, b_hh):
    i, f, g, o = (F.linear(x, w_ih, b_ih) + F.linear(h, w_hh, b_hh)).chunk(4, dim=-1)
    c *= torch.sigmoid(f)
    c += torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c), c


# sigmoid for the candidate, too
@answer("the candidate is no gate")
def lstm_step__sigmoid_for_the_candidate_too(x, h, c, w_ih, w_hh, b_ih, b_hh):
    sums = F.linear(x, w_ih, b_ih) + F.linear(h, w_hh, b_hh)
    i, f, g, o = torch.sigmoid(sums).chunk(4, dim=-1)
    new_c = f * c + i * g
    return o * torch.tanh(new_c), new_c


# gates cut along dimension 1: one batch dimension only
@answer("a dimension counted from the front")
def lstm_step__gates_cut_along_dimension_1(x, h, c, w_ih, w_hh, b_ih, b_hh):
    i, f, g, o = (F.linear(x, w_ih, b_ih) + F.linear(h, w_hh, b_hh)).chunk(4, dim=1)
    new_c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(new_c), new_c


# bias of the state forgotten
@answer("a bias missing")
def lstm_step__bias_of_the_state_forgotten(x, h, c, w_ih, w_hh, b_ih, b_hh):
    i, f, g, o = (x @ w_ih.mT + b_ih + h @ w_hh.mT).chunk(4, dim=-1)
    new_c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(new_c), new_c


# two: input and forget gate exchanged, bias of the state forgotten
@answer("the gates in another order", "a bias missing")
def lstm_step__two_input_and_forget_gate_exchanged(x, h, c, w_ih, w_hh, b_ih, b_hh):
    f, i, g, o = (x @ w_ih.mT + b_ih + h @ w_hh.mT).chunk(4, dim=-1)
    new_c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(new_c), new_c


# two: cell shown without tanh, old cell detached
@answer("tanh of the cell missing", "a detached cell")
def lstm_step__two_cell_shown_without_tanh_old(x, h, c, w_ih, w_hh, b_ih, b_hh):
    i, f, g, o = (F.linear(x, w_ih, b_ih) + F.linear(h, w_hh, b_hh)).chunk(4, dim=-1)
    new_c = torch.sigmoid(f) * c.detach() + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * new_c, new_c
