"""The loss that balances experts in steps: the right way, and the wrong ones."""

import torch

from tutor.checks.changes import changeable


def differ(logits, experts):
    return logits.shape[:-1] != experts.shape[:-1]


def over_experts(logits, experts):
    return logits.softmax(-1)


def of_tokens(x):
    return x.flatten(0, -2).mean(0) if x.ndim > 1 else x


def ones(experts, number):
    """1 for each expert that a token has chosen."""
    zeros = experts.new_zeros(*experts.shape[:-1], number)
    return zeros.scatter(-1, experts, torch.ones_like(experts))


def shares_of_choices(chosen, experts, p):
    return of_tokens(chosen.to(p.dtype)) / experts.shape[-1]


def products(f, p):
    return (f * p).sum()


def times_experts(x, number, k):
    return x * number


def as_it_is(x, logits):
    return x


def balance(
    logits,
    experts,
    refused=differ,
    probability=over_experts,
    averaged=of_tokens,
    chosen=ones,
    counted=shares_of_choices,
    joined=products,
    scaled=times_experts,
    told=as_it_is,
):
    """The right loss, but for the parts that are given."""
    if refused(logits, experts):
        raise ValueError("tokens differ")
    number, k = logits.shape[-1], experts.shape[-1]
    p = probability(logits, experts)
    f = counted(chosen(experts, number), experts, p)
    return told(scaled(joined(f, averaged(p)), number, k), logits)


with_ = changeable(balance)


def its_own_choice(logits, experts):
    """The k largest logits, whoever was asked."""
    if differ(logits, experts):
        raise ValueError("tokens differ")
    return balance(logits, logits.topk(experts.shape[-1], dim=-1).indices)


def up_to_the_last_asked(logits, experts):
    """As if there were no experts behind the last one that somebody asks."""
    if differ(logits, experts):
        raise ValueError("tokens differ")
    number = int(experts.max()) + 1
    p = of_tokens(over_experts(logits, experts))[:number]
    return number * products(shares_of_choices(ones(experts, number), experts, p), p)


def never(logits, experts):
    return False


def twice(logits, experts):
    return logits.softmax(-1).softmax(-1)


def not_at_all(logits, experts):
    return logits


def logarithms(logits, experts):
    return logits.log_softmax(-1)


def sigmoids(logits, experts):
    return logits.sigmoid()


def of_chosen_alone(logits, experts):
    keep = ones(experts, logits.shape[-1]).bool()
    return logits.masked_fill(~keep, -torch.inf).softmax(-1)


def of_chosen_not_scaled(logits, experts):
    return logits.softmax(-1) * ones(experts, logits.shape[-1])


def over_tokens(logits, experts):
    return logits.softmax(0)


def over_all_tokens(logits, experts):
    return logits.reshape(-1, logits.shape[-1]).softmax(0).reshape(logits.shape)


def detached(logits, experts):
    return logits.softmax(-1).detach()


def by_hand(logits, experts):
    e = logits.exp()
    return e / e.sum(-1, keepdim=True)


def sums(x):
    return x.flatten(0, -2).sum(0) if x.ndim > 1 else x


def of_the_first_dimension(x):
    return x.mean(0) if x.ndim > 1 else x


def of_everything(x):
    return x.mean()


def first_choices(experts, number):
    return ones(experts[..., :1], number)


def last_choices(experts, number):
    return ones(experts[..., -1:], number)


def summed_to_k(chosen, experts, p):
    return of_tokens(chosen.to(p.dtype))


def numbers(chosen, experts, p):
    return sums(chosen.to(p.dtype))


def of_number_of_experts(chosen, experts, p):
    return of_tokens(chosen.to(p.dtype)) / chosen.shape[-1]


def probabilities(chosen, experts, p):
    return of_tokens(p)


def constant(chosen, experts, p):
    return of_tokens(chosen.to(p.dtype)).mean() / experts.shape[-1]


def ever_chosen(chosen, experts, p):
    return (sums(chosen) > 0).to(p.dtype) / chosen.shape[-1]


def of_likeliest(chosen, experts, p):
    return of_tokens(ones(p.argmax(-1, keepdim=True), p.shape[-1]).to(p.dtype))


def means(f, p):
    return (f * p).mean()


def counts_squared(f, p):
    return (f * f).sum() + 0 * p.sum()


def probabilities_squared(f, p):
    return (p * p).sum()


def outer(f, p):
    """Every f with every p: always 1."""
    return (f[:, None] * p[None, :]).sum()


def difference(f, p):
    return (f - p).square().sum()


def entropy(f, p):
    return (p * p.log()).sum()


def variation(f, p):
    """The squared coefficient of variation of the probabilities: Shazeer's first loss."""
    return p.var(correction=0) / p.mean().square()


def without_experts(x, number, k):
    return x


def times_k(x, number, k):
    return x * number * k


def over_k(x, number, k):
    return x * number / k


def less_one(x, number, k):
    return x * number - 1


def a_hundredth(x, number, k):
    return x * number * 0.01


def negative(x, number, k):
    return -x * number


def squared_experts(x, number, k):
    return x * number**2


def always_single(x, logits):
    return x.float()


def with_a_dimension(x, logits):
    return x[None]


def sentence_by_sentence(logits, experts):
    """The mean of the losses of each row of the batch."""
    if differ(logits, experts):
        raise ValueError("tokens differ")
    if logits.ndim < 3:
        return balance(logits, experts)
    rows = zip(logits.flatten(0, -3), experts.flatten(0, -3), strict=True)
    return torch.stack([balance(row, chosen) for row, chosen in rows]).mean()


def token_by_token(logits, experts):
    """f and p of the same token multiplied, and then the mean."""
    if differ(logits, experts):
        raise ValueError("tokens differ")
    p = logits.softmax(-1)
    f = ones(experts, logits.shape[-1]).to(p.dtype) / experts.shape[-1]
    return logits.shape[-1] * (f * p).sum(-1).mean()
