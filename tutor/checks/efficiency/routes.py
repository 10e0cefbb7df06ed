"""Choosing experts in steps: the right way, and the wrong ones that people write."""

import torch

from tutor.checks.changes import changeable


def out_of_range(k, number):
    return not 1 <= k <= number


def added(logits, bias):
    return logits if bias is None else logits + bias


def largest(preferred, k):
    return preferred.topk(k, dim=-1).indices


def own(logits, bias):
    return logits


def softmax_of_chosen(logits, experts):
    return logits.gather(-1, experts).softmax(-1)


def as_they_are(shares, logits):
    return shares


def both(shares, experts):
    return shares, experts


def route(
    logits,
    k,
    bias=None,
    refused=out_of_range,
    preferred=added,
    chosen=largest,
    weighed=own,
    shared=softmax_of_chosen,
    told=as_they_are,
    returned=both,
):
    """The right shares and experts, but for the parts that are given."""
    if refused(k, logits.shape[-1]):
        raise ValueError("k")
    experts = chosen(preferred(logits, bias), k)
    return returned(told(shared(weighed(logits, bias), experts), logits), experts)


with_ = changeable(route)


def never(k, number):
    return False


def above_alone(k, number):
    return k > number


def below_alone(k, number):
    return k < 1


def by_shares(shares, experts):
    """In the order of the shares, which a bias makes another one."""
    shares, order = shares.sort(-1, descending=True)
    return shares, experts.gather(-1, order)


def without_bias(logits, bias):
    return logits


def taken_off(logits, bias):
    return logits if bias is None else logits - bias


def multiplied(logits, bias):
    return logits if bias is None else logits * bias


def probabilities_and_bias(logits, bias):
    p = logits.softmax(-1)
    return p if bias is None else p + bias


def smallest(preferred, k):
    return preferred.topk(k, dim=-1, largest=False).indices


def in_order_of_number(preferred, k):
    return preferred.topk(k, dim=-1).indices.sort(-1).values


def worst_first(preferred, k):
    return preferred.topk(k, dim=-1).indices.flip(-1)


def by_size(preferred, k):
    return preferred.abs().topk(k, dim=-1).indices


def the_best_again(preferred, k):
    return preferred.argmax(-1, keepdim=True).expand(*preferred.shape[:-1], k)


def the_same_for_all(preferred, k):
    """The experts that are best for all tokens together."""
    mean = preferred.flatten(0, -2).mean(0) if preferred.ndim > 1 else preferred
    return mean.topk(k).indices.expand(*preferred.shape[:-1], k)


def places_of_order(preferred, k):
    """The rank of each expert instead of its number."""
    return preferred.argsort(-1, descending=True).argsort(-1)[..., :k]


def softmax_of_all(logits, experts):
    return logits.softmax(-1).gather(-1, experts)


def softmax_twice(logits, experts):
    return logits.softmax(-1).gather(-1, experts).softmax(-1)


def sigmoids(logits, experts):
    return logits.gather(-1, experts).sigmoid()


def sigmoids_to_one(logits, experts):
    p = logits.gather(-1, experts).sigmoid()
    return p / p.sum(-1, keepdim=True)


def logits_to_one(logits, experts):
    chosen = logits.gather(-1, experts)
    return chosen / chosen.sum(-1, keepdim=True)


def logits_alone(logits, experts):
    return logits.gather(-1, experts)


def all_alike(logits, experts):
    return 0 * logits.gather(-1, experts) + 1 / experts.shape[-1]


def the_rest_as_zeros(logits, experts):
    """0 is a logit like others: e⁰ is 1."""
    zeros = torch.zeros_like(logits)
    return zeros.scatter(-1, experts, logits.gather(-1, experts)).softmax(-1).gather(-1, experts)


def over_the_tokens(logits, experts):
    return logits.gather(-1, experts).softmax(0)


def over_the_next_to_last(logits, experts):
    chosen = logits.gather(-1, experts)
    return chosen.softmax(-2) if chosen.ndim > 1 else chosen.softmax(-1)


def by_hand(logits, experts):
    e = logits.gather(-1, experts).exp()
    return e / e.sum(-1, keepdim=True)


def logarithms(logits, experts):
    return logits.gather(-1, experts).log_softmax(-1)


def first_k(logits, experts):
    return logits[..., : experts.shape[-1]].softmax(-1)


def to_one_by_the_largest(logits, experts):
    e = (logits.gather(-1, experts) - logits.amax(-1, keepdim=True)).exp()
    return e / e.amax(-1, keepdim=True)


def detached(shares, logits):
    return shares.detach()


def always_single(shares, logits):
    return shares.float()


def exchanged(shares, experts):
    return experts, shares


def experts_alone(shares, experts):
    return experts


def shares_alone(shares, experts):
    return shares


def short_numbers(shares, experts):
    return shares, experts.int()


def over_all_experts(logits, k, bias=None):
    """A share for each expert, 0 for those that are not asked."""
    shares, experts = route(logits, k, bias)
    return torch.zeros_like(logits).scatter(-1, experts, shares), experts


def softmax_of_preferred(logits, bias):
    return added(logits, bias)
