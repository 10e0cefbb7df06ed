"""A score for each pair in steps: the right ones, and the wrong ones that people make of them."""

import torch

from tutor.checks.changes import changeable


def given(*args):
    return args


def projected(x, memory, w_x, w_memory, v):
    return x @ w_x, memory @ w_memory


def apart(asked, found):
    return asked[..., :, None, :], found[..., None, :, :]


def meet(asked, found, apart):
    return apart(asked, found)


def added(asked, found):
    return asked + found


def tanh(s):
    return s.tanh()


def dotted(hidden, v, x):
    return hidden @ v


def as_it_is(scores):
    return scores


def scores(
    x,
    memory,
    w_x,
    w_memory,
    v,
    given=given,
    project=projected,
    apart=apart,
    meet=meet,
    join=added,
    bend=tanh,
    weigh=dotted,
    then=as_it_is,
    shape=as_it_is,
):
    """The right scores, but for the parts that are given."""
    *both, v = given(x, memory, w_x, w_memory, v)
    hidden = bend(join(*meet(*project(*both, v), apart)))
    return shape(then(weigh(hidden, v, x)))


with_ = changeable(scores)


# Other inputs


def _detached(*which):
    def cut(*args):
        return tuple(t.detach() if i in which else t for i, t in enumerate(args))

    return cut


DETACHED = tuple(_detached(*which) for which in ((1,), (0,), (0, 1), (4,), (2, 3)))


# Other projections


def swapped(x, memory, w_x, w_memory, v):
    return x @ w_memory, memory @ w_x


def first_for_both(x, memory, w_x, w_memory, v):
    return x @ w_x, memory @ w_x


def second_for_both(x, memory, w_x, w_memory, v):
    return x @ w_memory, memory @ w_memory


def transposed_weights(x, memory, w_x, w_memory, v):
    return x @ w_x.mT, memory @ w_memory.mT


def first_transposed(x, memory, w_x, w_memory, v):
    return x @ w_x.mT, memory @ w_memory


def second_transposed(x, memory, w_x, w_memory, v):
    return x @ w_x, memory @ w_memory.mT


def _of_a_view(states, w):
    return (states.view(-1, states.shape[-1]) @ w).view(*states.shape[:-1], -1)


def of_views(x, memory, w_x, w_memory, v):
    return _of_a_view(x, w_x), _of_a_view(memory, w_memory)


def of_a_view_of_x(x, memory, w_x, w_memory, v):
    return _of_a_view(x, w_x), memory @ w_memory


def of_a_view_of_memory(x, memory, w_x, w_memory, v):
    return x @ w_x, _of_a_view(memory, w_memory)


def of_a_batch(x, memory, w_x, w_memory, v):
    _, _, _ = x.shape
    return x @ w_x, memory @ w_memory


def stretched(x, memory, w_x, w_memory, v):
    return x @ w_x * v, memory @ w_memory * v


# Other pairs


def from_the_front(asked, found):
    return asked[:, :, None], found[:, None]


def no_pairs(asked, found):
    return asked, found


def memory_first(asked, found, apart):
    rows, columns = apart(found, asked)
    return columns, rows


def each_bent(asked, found):
    return asked.tanh() + found.tanh()


def by_the_addition_theorem(asked, found):
    asked, found = asked.tanh(), found.tanh()
    return (asked + found) / (1 + asked * found)


def multiplied(asked, found):
    return asked * found


def bent_and_multiplied(asked, found):
    return asked.tanh() * found.tanh()


def subtracted(asked, found):
    return asked - found


def subtracted_from_the_memory(asked, found):
    return found - asked


def asked_alone(asked, found):
    return asked.expand(torch.broadcast_shapes(asked.shape, found.shape))


def found_alone(asked, found):
    return found.expand(torch.broadcast_shapes(asked.shape, found.shape))


def as_many_as_ask(asked, found):
    columns = [asked + found[..., j : j + 1, :] for j in range(asked.shape[-3])]
    return torch.cat(columns, -2)


def as_many_as_are_read(asked, found):
    rows = [asked[..., i : i + 1, :, :] + found for i in range(found.shape[-2])]
    return torch.cat(rows, -3)


def as_many_as_are_read_by_index(asked, found):
    asked, found = asked[..., 0, :], found[..., 0, :, :]
    rows = [asked[..., i, :].unsqueeze(-2) + found for i in range(found.shape[-2])]
    return torch.stack(rows, -3)


# Other bends


def straight(s):
    return s


def relu(s):
    return s.relu()


def sigmoid(s):
    return s.sigmoid()


def gelu(s):
    return torch.nn.functional.gelu(s)


def shares_of_units(s):
    return s.softmax(-1)


def scaled_inside(s):
    return torch.tanh(s * s.shape[-1] ** -0.5)


def quotient_of_exponentials(s):
    return (s.exp() - (-s).exp()) / (s.exp() + (-s).exp())


def quotient_of_squares(s):
    return ((2 * s).exp() - 1) / ((2 * s).exp() + 1)


def two_over(s):
    return 2 / (1 + (-2 * s).exp()) - 1


# Other weights


def summed(hidden, v, x):
    return hidden.sum(-1)


def mean(hidden, v, x):
    return hidden.mean(-1)


def v_summed(hidden, v, x):
    return hidden.sum(-1) * v.sum()


def scaled(hidden, v, x):
    return hidden @ v * v.shape[0] ** -0.5


def scaled_by_the_width(hidden, v, x):
    return hidden @ v * x.shape[-1] ** -0.5


def dotted_mean(hidden, v, x):
    return hidden @ v / v.shape[0]


def of_length_1(hidden, v, x):
    return hidden @ (v / v.norm())


def of_sum_1(hidden, v, x):
    return hidden @ (v / v.sum())


def of_shares(hidden, v, x):
    return hidden @ v.softmax(0)


def without_the_last(hidden, v, x):
    return hidden[..., :-1] @ v[:-1]


def without_the_last_but_one(hidden, v, x):
    units = max(v.shape[0] - 1, 1)
    return hidden[..., :units] @ v[:units]


def without_the_first(hidden, v, x):
    return hidden[..., 1:] @ v[1:]


# Other scores


def bounded(scores):
    return scores.tanh()


def softmax(scores):
    return scores.softmax(-1)


def softmax_over_those_that_ask(scores):
    return scores.softmax(-2)


def log_softmax(scores):
    return scores.log_softmax(-1)


def less_the_maximum(scores):
    return scores - scores.amax(-1, keepdim=True)


def less_the_largest_of_all(scores):
    return scores - scores.max()


def less_the_mean(scores):
    return scores - scores.mean(-1, keepdim=True)


def squeezed(scores):
    return scores.squeeze()


def first_squeezed(scores):
    return scores.squeeze(0)


def last_squeezed(scores):
    return scores.squeeze(-1)
