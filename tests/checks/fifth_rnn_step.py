"""Wrong answers to rnn_step of a fifth trial, by others who had not seen the traps."""

import torch
import torch.nn.functional as F
from fresh import answer


# bias of the state forgotten
@answer("a bias missing")
def rnn_step__bias_of_the_state_forgotten(x, h, w_ih, w_hh, b_ih, b_hh):
    return torch.tanh(x @ w_ih.mT + b_ih + h @ w_hh.mT)


# no tanh
@answer("tanh missing")
def rnn_step__no_tanh(x, h, w_ih, w_hh, b_ih, b_hh):
    return x @ w_ih.mT + b_ih + h @ w_hh.mT + b_hh


# recurrent weight not transposed
@answer("weights not transposed")
def rnn_step__recurrent_weight_not_transposed(x, h, w_ih, w_hh, b_ih, b_hh):
    return torch.tanh(x @ w_ih.mT + b_ih + h @ w_hh + b_hh)


# tanh of each part instead of the sum
@answer("tanh of each part")
def rnn_step__tanh_of_each_part_instead_of(x, h, w_ih, w_hh, b_ih, b_hh):
    return torch.tanh(x @ w_ih.mT + b_ih) + torch.tanh(h @ w_hh.mT + b_hh)


# works for exactly one batch dimension (addmm)
@answer()
def rnn_step__works_for_exactly_one_batch_dimension(x, h, w_ih, w_hh, b_ih, b_hh):
    return torch.tanh(torch.addmm(b_ih, x, w_ih.t()) + torch.addmm(b_hh, h, w_hh.t()))


# old state detached
@answer("a detached state")
def rnn_step__old_state_detached(x, h, w_ih, w_hh, b_ih, b_hh):
    h = h.detach()
    return torch.tanh(F.linear(x, w_ih, b_ih) + F.linear(h, w_hh, b_hh))


# computed in single precision
@answer()
def rnn_step__computed_in_single_precision(x, h, w_ih, w_hh, b_ih, b_hh):
    total = F.linear(x.float(), w_ih.float(), b_ih.float())
    total = total + F.linear(h.float(), w_hh.float(), b_hh.float())
    return torch.tanh(total).to(x.dtype)


# the input's bias added twice, the state's never
@answer("a bias added twice")
def rnn_step__the_input_s_bias_added_twice(x, h, w_ih, w_hh, b_ih, b_hh):
    return torch.tanh(F.linear(x, w_ih, b_ih) + F.linear(h, w_hh, b_ih))


# two: recurrent weight not transposed, its bias forgotten
@answer("a bias missing", "weights not transposed")
def rnn_step__two_recurrent_weight_not_transposed_its(x, h, w_ih, w_hh, b_ih, b_hh):
    return torch.tanh(x @ w_ih.mT + b_ih + h @ w_hh)


# two: sigmoid instead of tanh, old state detached
@answer("sigmoid instead of tanh", "a detached state")
def rnn_step__two_sigmoid_instead_of_tanh_old(x, h, w_ih, w_hh, b_ih, b_hh):
    return torch.sigmoid(F.linear(x, w_ih, b_ih) + F.linear(h.detach(), w_hh, b_hh))
