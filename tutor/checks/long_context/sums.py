"""Linear attention in steps, parallel and recurrent: the right ones, and the wrong ones."""

import torch
from torch.nn import functional as F

from tutor.checks.changes import changeable


def positive(x):
    return torch.where(x > 0, x + 1, x.clamp(max=0).exp())


def as_it_is(x):
    return x


def required(q, k, causal):
    if causal and q.shape[-2] > k.shape[-2]:
        raise ValueError(f"{q.shape[-2]} queries, {k.shape[-2]} keys")


def up_to_itself(q, k, causal):
    """keep, with the last query at the last key."""
    ones = torch.ones(q.shape[-2], k.shape[-2], dtype=q.dtype, device=q.device)
    return ones.tril(k.shape[-2] - q.shape[-2]) if causal else ones


def products(q, k):
    return q @ k.mT


def by_their_sum(shares, q, k, keep):
    return shares.sum(-1, keepdim=True)


def divided(read, total):
    return read / total


def unchanged(q, k, v):
    return q, k, v


def parallel(
    q,
    k,
    v,
    causal=True,
    refuse=required,
    given=unchanged,
    of_queries=positive,
    of_keys=positive,
    of_values=as_it_is,
    seen=up_to_itself,
    seen_by_total=None,
    share=products,
    total=by_their_sum,
    divide=divided,
):
    """The right answer by the whole square, but for the steps that are given."""
    refuse(q, k, causal)
    q, k, v = given(q, k, v)
    q, k, v = of_queries(q), of_keys(k), of_values(v)
    keep = seen(q, k, causal)
    shares = share(q, k)
    read = (shares * keep) @ v
    counted = keep if seen_by_total is None else seen_by_total(q, k, causal)
    return divide(read, total(shares * counted, q, k, counted))


with_ = changeable(parallel)


# Other features


def elu_and_one(x):
    """The published formula: below -17 in single precision it is 0."""
    return F.elu(x) + 1


def relu(x):
    return F.relu(x)


def relu_and_a_little(x):
    return F.relu(x) + 1e-6


def two_or_more(x):
    return F.elu(x) + 2


def exponential(x):
    return x.exp()


def softmax(x):
    return x.softmax(-1)


def elu(x):
    return F.elu(x)


def softplus(x):
    return F.softplus(x)


def squares(x):
    return x.square()


def sigmoid(x):
    return x.sigmoid()


def relu_and_one(x):
    return F.relu(x) + 1


FEATURES = (
    relu,
    relu_and_a_little,
    exponential,
    softmax,
    elu,
    softplus,
    squares,
    sigmoid,
    relu_and_one,
    two_or_more,
)


def halves_scaled(q, k, v):
    return q * q.shape[-1] ** -0.5, k, v


# Other sums


def all_of_them(q, k, causal):
    return torch.ones(q.shape[-2], k.shape[-2], dtype=q.dtype, device=q.device)


def always_causal(q, k, causal):
    return all_of_them(q, k, causal).tril(k.shape[-2] - q.shape[-2])


def before_itself(q, k, causal):
    ones = all_of_them(q, k, causal)
    return ones.tril(k.shape[-2] - q.shape[-2] - 1) if causal else ones


def from_the_first(q, k, causal):
    ones = all_of_them(q, k, causal)
    return ones.tril(0) if causal else ones


def from_itself_on(q, k, causal):
    ones = all_of_them(q, k, causal)
    return ones.triu(k.shape[-2] - q.shape[-2]) if causal else ones


def itself(q, k, causal):
    ones = all_of_them(q, k, causal)
    past = k.shape[-2] - q.shape[-2]
    return ones.tril(past).triu(past) if causal else ones


def own_stretch(q, k, causal):
    """What lies before the first query left out."""
    ones = all_of_them(q, k, causal)
    past = k.shape[-2] - q.shape[-2]
    at = torch.arange(k.shape[-2], device=q.device)
    return ones.tril(past) * (at >= past) if causal else ones


# Other divisions


def forgotten(read, total):
    return read


def multiplied(read, total):
    return read * total


def plus(epsilon):
    return lambda read, total: read / (total + epsilon)


def at_least(epsilon):
    return lambda read, total: read / total.clamp(min=epsilon)


def detached(read, total):
    return read / total.detach()


def without_the_query(shares, q, k, keep):
    return (keep @ k).sum(-1, keepdim=True)


def how_many(shares, q, k, keep):
    return keep.sum(-1, keepdim=True)


def root_of_squares(shares, q, k, keep):
    return shares.square().sum(-1, keepdim=True).sqrt()


def by_softmax(q, k, v, causal=True):
    required(q, k, causal)
    keep = up_to_itself(q, k, causal) > 0
    scores = (q @ k.mT * q.shape[-1] ** -0.5).masked_fill(~keep, torch.finfo(q.dtype).min)
    return scores.softmax(-1) @ v


def over_the_second(q, k, v, causal=True):
    """Running sums along dimension 1, which are heads where there are any."""
    required(q, k, causal)
    if not causal:
        return parallel(q, k, v, causal)
    q, k = positive(q), positive(k)
    past = k.shape[-2] - q.shape[-2]
    context = (k.unsqueeze(-1) * v.unsqueeze(-2)).cumsum(1)[..., past:, :, :]
    total = k.cumsum(1)[..., past:, :]
    return (q.unsqueeze(-2) @ context).squeeze(-2) / (q * total).sum(-1, keepdim=True)


# One step


def added(state, new):
    return state + new


def outer(k, v):
    return k.unsqueeze(-1) * v.unsqueeze(-2)


def asked(q, context):
    return (q.unsqueeze(-2) @ context).squeeze(-2)


def by_total(q, total, k):
    return (q * total).sum(-1, keepdim=True)


def in_order(out, context, total):
    return out, context, total


def step(
    q,
    k,
    v,
    context,
    total,
    of_queries=positive,
    of_keys=positive,
    pairs=outer,
    add=added,
    add_total=added,
    old=False,
    old_total=False,
    ask=asked,
    norm=by_total,
    divide=divided,
    give=in_order,
):
    """The right step, but for the parts that are given."""
    q, k = of_queries(q), of_keys(k)
    new_context, new_total = add(context, pairs(k, v)), add_total(total, k)
    read = ask(q, context if old else new_context)
    weight = norm(q, total if old_total else new_total, k)
    return give(divide(read, weight), new_context, new_total)


step_with = changeable(step)


def of_the_key_alone(q, total, k):
    return (q * k).sum(-1, keepdim=True)


def sum_of_total(q, total, k):
    return total.sum(-1, keepdim=True)


def faded(by):
    return lambda state, new: by * state + new


def replaced(state, new):
    return new.clone()


def overwritten(state, new):
    with torch.no_grad():
        state += new
    return state


def cut_off(state, new):
    return state.detach() + new


def averaged(state, new):
    return (state + new) / 2


def one_more(state, new):
    return state + 1
