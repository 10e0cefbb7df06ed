"""Drawing a token in steps: the right way, and the wrong ones that people write."""

import torch

from tutor.checks.changes import changeable


def out_of_range(temperature, top_k, top_p):
    few = top_k is not None and top_k < 1
    return temperature < 0 or few or (top_p is not None and not 0 < top_p <= 1)


def divided(logits, temperature):
    return logits / temperature


def likeliest(logits):
    return logits.argmax(-1)


def over_symbols(logits):
    return logits.softmax(-1)


def downwards(logits):
    """The first of equal ones first."""
    return logits.sort(dim=-1, descending=True, stable=True)


def the_first_k(p, top_k):
    return p * (torch.arange(p.shape[-1], device=p.device) < top_k)


def those_before_p(p, top_p):
    return p * (p.cumsum(-1) - p < top_p)


def to_one(p):
    return p / p.sum(-1, keepdim=True)


def in_their_places(p, order):
    return torch.zeros_like(p).scatter(-1, order, p)


def first_above(p, chance):
    reached = (p.cumsum(-1) > chance[..., None]) & (p > 0)
    last = p.shape[-1] - 1 - (p > 0).flip(-1).int().argmax(-1)
    return torch.where(reached.any(-1), reached.int().argmax(-1), last)


def as_it_is(token, order):
    return token


def sample(
    logits,
    chance,
    temperature=1.0,
    top_k=None,
    top_p=None,
    refused=out_of_range,
    cooled=divided,
    cold=likeliest,
    normed=over_symbols,
    ranked=downwards,
    cut_k=the_first_k,
    between=to_one,
    cut_p=those_before_p,
    whole=to_one,
    back=in_their_places,
    drawn=first_above,
    told=as_it_is,
):
    """The right token, but for the parts that are given."""
    if refused(temperature, top_k, top_p):
        raise ValueError("a temperature of 0 and more, one token and more, a share of 0 to 1")
    if temperature == 0 and cold is not None:
        return cold(logits)
    logits, order = ranked(cooled(logits, temperature))
    p = normed(logits)
    if top_k is not None:
        p = between(cut_k(p, top_k))
    if top_p is not None:
        p = cut_p(p, top_p)
    return told(drawn(back(whole(p), order), chance), order)


with_ = changeable(sample)


def multiplied(logits, temperature):
    return logits * temperature


def not_at_all(logits, temperature):
    return logits


def unlikeliest(logits):
    return logits.argmin(-1)


def over_the_batch(logits):
    return logits.softmax(0)


def upwards(logits):
    return logits.sort(dim=-1, stable=True)


def not_at_all_ranked(logits):
    order = torch.arange(logits.shape[-1], device=logits.device).expand(logits.shape)
    return logits, order


def the_last_k(p, top_k):
    places = torch.arange(p.shape[-1], device=p.device)
    return p * (places >= p.shape[-1] - top_k)


def one_more(p, top_k):
    return the_first_k(p, top_k + 1)


def with_ties(p, top_k):
    """All that are as likely as the k-th."""
    return p * (p >= p[..., min(top_k, p.shape[-1]) - 1, None])


def no_cut(p, limit):
    return p


def those_within(p, top_p):
    """Without the one that reaches p."""
    return p * (p.cumsum(-1) <= top_p)


def those_within_or_the_first(p, top_p):
    first = torch.arange(p.shape[-1], device=p.device) == 0
    return p * ((p.cumsum(-1) <= top_p) | first)


def one_too_many(p, top_p):
    """With the one behind that which reaches p."""
    before = p.cumsum(-1) - p
    return p * (before.roll(1, -1).index_fill(-1, _zero(p), 0.0) < top_p)


def _zero(p):
    return torch.zeros(1, dtype=torch.long, device=p.device)


def those_likelier(p, top_p):
    """min-p: those with at least this share of the likeliest one's probability."""
    return p * (p >= top_p * p[..., :1])


def those_above(p, top_p):
    return p * (p >= top_p)


def those_above_or_the_first(p, top_p):
    first = torch.arange(p.shape[-1], device=p.device) == 0
    return p * ((p >= top_p) | first)


def those_not_beyond_p(p, top_p):
    return p * (p.cumsum(-1) - p <= top_p)


def as_they_are(p):
    return p


def left_in_order(p, order):
    return p


def in_order_of_likelihood(token, order):
    return order.gather(-1, token[..., None])[..., 0]


def not_below(p, chance):
    reached = p.cumsum(-1) >= chance[..., None]
    return torch.where(reached.any(-1), reached.int().argmax(-1), p.shape[-1] - 1)


def unguarded(p, chance):
    return (p.cumsum(-1) > chance[..., None]).int().argmax(-1)


def counted(p, chance):
    return (p.cumsum(-1) <= chance[..., None]).sum(-1)


def clamped(p, chance):
    """The last of all, which may have no chance."""
    return counted(p, chance).clamp(max=p.shape[-1] - 1)


def always_the_likeliest(p, chance):
    return p.argmax(-1)


def from_the_end(p, chance):
    return first_above(p, 1 - chance)


def its_probability(p, chance):
    return p.gather(-1, first_above(p, chance)[..., None])[..., 0]


def one_for_all(p, chance):
    return first_above(p, chance.flatten()[0].expand(chance.shape))


def cut_before_cooling(logits, chance, temperature=1.0, top_k=None, top_p=None):
    """p is of the probabilities at temperature 1."""
    if out_of_range(temperature, top_k, top_p):
        raise ValueError("a temperature of 0 and more, one token and more, a share of 0 to 1")
    if temperature == 0:
        return likeliest(logits)
    ranked, order = downwards(logits)
    p = over_symbols(ranked)
    kept = p > 0
    if top_k is not None:
        p = to_one(the_first_k(p, top_k))
        kept = p > 0
    if top_p is not None:
        kept = kept & (p.cumsum(-1) - p < top_p)
    p = (ranked / temperature).masked_fill(~kept, float("-inf")).softmax(-1)
    return first_above(in_their_places(p, order), chance)


def p_before_k(logits, chance, temperature=1.0, top_k=None, top_p=None):
    if out_of_range(temperature, top_k, top_p):
        raise ValueError("a temperature of 0 and more, one token and more, a share of 0 to 1")
    if temperature == 0:
        return likeliest(logits)
    ranked, order = downwards(logits / temperature)
    p = over_symbols(ranked)
    if top_p is not None:
        p = to_one(those_before_p(p, top_p))
    if top_k is not None:
        p = to_one(the_first_k(p, top_k))
    return first_above(in_their_places(p, order), chance)


def zero_is_none(temperature, top_k, top_p):
    """``if top_k:`` asks whether it is given, and 0 is not."""
    return out_of_range(temperature, top_k or None, top_p or None)


def nothing_refused(temperature, top_k, top_p):
    return False


def of_zero(cut):
    """A cut of 0 is none."""

    def careless(p, limit):
        return cut(p, limit) if limit else p

    return careless


def nearly_cold(logits, chance, temperature=1.0, top_k=None, top_p=None):
    """A very small temperature in the place of 0, which still draws among equals."""
    return sample(logits, chance, 1e-9 if temperature == 0 else temperature, top_k, top_p)


def turned_round(logits):
    """Sorted upwards and read from the end: of equal ones the last comes first."""
    ranked, order = logits.sort(dim=-1, stable=True)
    return ranked.flip(-1), order.flip(-1)


def by_topk(p, top_k):
    """topk raises where it is asked for more than there are."""
    best = p.topk(top_k, -1).values[..., -1:]
    return the_first_k(p, top_k) + 0 * best


def no_k_is_none(temperature, top_k, top_p):
    return out_of_range(temperature, top_k or None, top_p)


def no_p_is_none(temperature, top_k, top_p):
    return out_of_range(temperature, top_k, top_p or None)


def refused_but(one):
    """All but one of the three are looked at."""

    def refused(temperature, top_k, top_p):
        given = {"temperature": temperature, "top_k": top_k, "top_p": top_p}
        return out_of_range(**given | {one: 1.0 if one == "temperature" else None})

    return refused


def share_above_1(temperature, top_k, top_p):
    return out_of_range(temperature, top_k, None if top_p is None else min(top_p, 1))


def cold_first(logits, chance, temperature=1.0, top_k=None, top_p=None):
    if temperature == 0:
        return likeliest(logits)
    return sample(logits, chance, temperature, top_k, top_p)


def by_hand(logits):
    p = logits.exp()
    return p / p.sum(-1, keepdim=True)


def the_first_of_nan(p, chance):
    """Where nothing is left, or all is nan, argmax finds the first."""
    return torch.where(p.isnan().any(-1), 0, first_above(p, chance))


def one_cut_alone(logits, chance, temperature=1.0, top_k=None, top_p=None):
    """``if top_p ...: elif top_k ...:``"""
    return sample(logits, chance, temperature, None if top_p is not None else top_k, top_p)


def those_before_p_to_one(p, top_p):
    return to_one(those_before_p(p, top_p))


def divided_in_single(logits, temperature):
    return logits.to(torch.promote_types(logits.dtype, torch.float32)) / temperature
