"""Other parts of a layer of experts: those that people write by mistake."""

import math

import torch
from torch.nn import functional

from tutor.checks.efficiency.mixtures import rounded_up, softmax_of_chosen, swiglu


def never(k, number):
    return False


def above_alone(k, number):
    return k > number


def below_alone(k, number):
    return k < 1


def softmax_of_all(logits, experts):
    return logits.softmax(-1).gather(-1, experts)


def all_alike(logits, experts):
    return 0 * logits.gather(-1, experts) + 1 / experts.shape[-1]


def one_each(logits, experts):
    return 0 * logits.gather(-1, experts) + 1


def detached(logits, experts):
    return softmax_of_chosen(logits, experts).detach()


def rounded_down(factor, k, tokens, number):
    return int(factor * k * tokens / number)


def one_at_least(factor, k, tokens, number):
    return max(1, int(factor * k * tokens / number))


def rounded_first(factor, k, tokens, number):
    return math.ceil(factor) * math.ceil(k * tokens / number)


def share_rounded_first(factor, k, tokens, number):
    return math.ceil(factor * (k * tokens // number))


def share_rounded_up_first(factor, k, tokens, number):
    return math.ceil(factor * math.ceil(k * tokens / number))


def without_k(factor, k, tokens, number):
    return math.ceil(factor * tokens / number)


def without_factor(factor, k, tokens, number):
    return math.ceil(k * tokens / number)


def factor_alone(factor, k, tokens, number):
    return math.ceil(factor)


def of_tokens(factor, k, tokens, number):
    return math.ceil(factor * tokens)


def of_choices(factor, k, tokens, number):
    return math.ceil(factor * k * tokens)


def everybody(factor, k, tokens, number):
    return tokens


def one_less(factor, k, tokens, number):
    return rounded_up(factor, k, tokens, number) - 1


def one_more(factor, k, tokens, number):
    return rounded_up(factor, k, tokens, number) + 1


def counted_from_one(chosen, experts):
    return chosen.cumsum(0).gather(1, experts)


def from_the_last(chosen, experts):
    return (chosen.flip(0).cumsum(0).flip(0) - chosen).gather(1, experts)


def first_choices_first(chosen, experts):
    """All first choices before all second ones."""
    columns, taken = [], torch.zeros_like(chosen[0])
    for choice in experts.unbind(1):
        one = torch.zeros_like(chosen).scatter(1, choice[:, None], 1)
        before = one.cumsum(0) - one + taken
        columns.append(before.gather(1, choice[:, None])[:, 0])
        taken = taken + one.sum(0)
    return torch.stack(columns, 1)


def each_choice_by_itself(chosen, experts):
    """The second choices count from 0 again."""
    columns = []
    for choice in experts.unbind(1):
        one = torch.zeros_like(chosen).scatter(1, choice[:, None], 1)
        columns.append((one.cumsum(0) - one).gather(1, choice[:, None])[:, 0])
    return torch.stack(columns, 1)


def number_of_token(chosen, experts):
    """The token's own number instead of its place in the queue."""
    return torch.arange(len(experts), device=experts.device)[:, None].expand(experts.shape)


def across_experts(chosen, experts):
    """One queue for all experts."""
    asked = chosen.sum(1)
    return (asked.cumsum(0) - asked)[:, None].expand(experts.shape)


def not_above(place, capacity):
    return place <= capacity


def always(place, capacity):
    return torch.ones_like(place, dtype=torch.bool)


def all_or_nothing(place, capacity):
    """A token that finds one expert full is asked of none."""
    return (place < capacity).all(1, keepdim=True).expand(place.shape)


def the_last_place(place, capacity):
    return place.clamp(max=capacity - 1)


def round_the_end(place, capacity):
    return place % max(capacity, 1)


def scaled_up(shares, kept):
    left = shares * kept
    total = left.sum(-1, keepdim=True)
    return left / total.where(total > 0, 1)


def exchanged(x, gate, inner, outer):
    return swiglu(x, inner, gate, outer)


def without_gate(x, gate, inner, outer):
    return functional.silu(x @ inner) @ outer


def not_bent(x, gate, inner, outer):
    return ((x @ gate) * (x @ inner)) @ outer


def relu(x, gate, inner, outer):
    return (torch.relu(x @ gate) * (x @ inner)) @ outer


def sigmoid(x, gate, inner, outer):
    return (torch.sigmoid(x @ gate) * (x @ inner)) @ outer


def both_bent(x, gate, inner, outer):
    return (functional.silu(x @ gate) * functional.silu(x @ inner)) @ outer


def the_first(experts):
    return experts[:1].expand(experts.shape)


def their_mean(experts):
    return experts.mean(0, keepdim=True).expand(experts.shape)


def the_next(experts):
    return experts.roll(1, 0)


def upside_down(experts):
    return experts.flip(0)


def summed(shares, told):
    return told.sum(1) + 0 * shares.sum()


def averaged(shares, told):
    return told.mean(1) + 0 * shares.sum()


def best_alone(shares, told):
    return shares[:, :1] * told[:, 0]


def best_alone_whole(shares, told):
    return told[:, 0] + 0 * shares.sum()


def in_the_other_order(shares, told):
    return (shares.flip(-1)[..., None] * told).sum(1)


def the_token_itself(out, tokens, kept):
    """What found no place at all comes out as it came in."""
    return torch.where(kept.any(1, keepdim=True), out, tokens)


def residual(out, tokens, kept):
    return out + tokens


def for_each_lost(out, tokens, kept):
    return out + (~kept).sum(1, keepdim=True).to(out.dtype) * tokens / kept.shape[1]


def none_lost(kept):
    return (~kept).sum(1) * 0


def any_lost(kept):
    return (~kept).any(1).long()


def all_lost(kept):
    return (~kept).all(1).long()


def true_or_false(kept):
    return (~kept).any(1)


def how_many_kept(kept):
    return kept.sum(1)


def a_share(kept):
    return (~kept).double().mean(1)


def first_lost(kept):
    return (~kept[:, 0]).long()


def out_alone(out, logits, lost):
    return out


def without_lost(out, logits, lost):
    return out, logits


def lost_before_logits(out, logits, lost):
    return out, lost, logits


def probabilities(out, logits, lost):
    return out, logits.softmax(-1), lost


def logits_detached(out, logits, lost):
    return out, logits.detach(), lost


def lost_altogether(out, logits, lost):
    return out, logits, lost.sum()


def always_single(out, logits, lost):
    return out.float(), logits.float(), lost


def flat_answers(out, logits, lost):
    return tuple(t.reshape(-1, *t.shape[lost.ndim :]) for t in (out, logits, lost))


def short_counts(out, logits, lost):
    return out, logits, lost.int()


def softmaxed(logits):
    return logits.softmax(-1)
