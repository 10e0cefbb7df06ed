"""A layer of experts in steps: the right one, and the wrong ones that people write."""

import math

import torch
from torch import nn
from torch.nn import functional

from tutor.checks.changes import changeable


def out_of_range(k, number):
    return not 1 <= k <= number


def as_given(x):
    return x


def softmax_of_chosen(logits, experts):
    return logits.gather(-1, experts).softmax(-1)


def rounded_up(factor, k, tokens, number):
    return math.ceil(factor * k * tokens / number)


def in_order_of_tokens(chosen, experts):
    """How many earlier tokens ask the same expert."""
    return (chosen.cumsum(0) - chosen).gather(1, experts)


def below(place, capacity):
    return place < capacity


def own_place(place, capacity):
    return place


def as_they_are(shares, kept):
    return shares


def swiglu(x, gate, inner, outer):
    return (functional.silu(x @ gate) * (x @ inner)) @ outer


def own_experts(experts):
    return experts


def weighted(shares, told):
    return (shares[..., None] * told).sum(1)


def nothing_besides(out, tokens, kept):
    return out


def how_many(kept):
    return (~kept).sum(1)


def three(out, logits, lost):
    return out, logits, lost


class Steps(nn.Module):
    """The right layer, but for the parts that are given."""

    def __init__(
        self,
        width,
        hidden_width,
        num_experts,
        k=2,
        capacity_factor=1.25,
        dtype=None,
        device=None,
        refused=out_of_range,
        asked=as_given,
        shared=softmax_of_chosen,
        capacity=rounded_up,
        queue=in_order_of_tokens,
        room=below,
        place=own_place,
        left=as_they_are,
        expert=swiglu,
        whose=own_experts,
        joined=weighted,
        besides=nothing_besides,
        counted=how_many,
        flat=lambda x: x.reshape(-1, x.shape[-1]),
        told=three,
    ):
        super().__init__()
        if refused(k, num_experts):
            raise ValueError("k")
        self.k, self.factor, self.parts = k, capacity_factor, {}
        c, f, e = width, hidden_width, num_experts
        sizes = {"router": (c, e), "w_gate": (e, c, f), "w_in": (e, c, f), "w_out": (e, f, c)}
        for name, shape in sizes.items():
            numbers = torch.zeros(shape, dtype=dtype, device=device) + 0.1
            self.register_parameter(name, nn.Parameter(numbers))
        self.asked, self.shared, self.capacity, self.queue = asked, shared, capacity, queue
        self.room, self.place, self.left, self.expert = room, place, left, expert
        self.whose, self.joined, self.besides, self.counted = whose, joined, besides, counted
        self.flat, self.told = flat, told

    def forward(self, x):
        tokens = self.flat(x)
        number = self.router.shape[-1]
        logits = self.asked(tokens @ self.router)
        experts = logits.topk(self.k, -1).indices
        shares = self.shared(logits, experts)
        capacity = self.capacity(self.factor, self.k, len(tokens), number)
        chosen = experts.new_zeros(len(tokens), number)
        chosen = chosen.scatter(1, experts, torch.ones_like(experts))
        place = self.queue(chosen, experts)
        kept = self.room(place, capacity)
        place = self.place(place, capacity)
        slot = (experts * capacity + place).where(kept, number * capacity)
        places = tokens.new_zeros(number * capacity + 1, tokens.shape[1])
        each = tokens.repeat_interleave(self.k, 0)
        asked = places.index_copy(0, slot.flatten(), each)[:-1]
        asked = asked.reshape(number, capacity, tokens.shape[1])
        told = self.expert(asked, *map(self.whose, (self.w_gate, self.w_in, self.w_out)))
        told = told.reshape(number * capacity, tokens.shape[1])
        told = torch.cat((told, torch.zeros_like(tokens[:1])))[slot]
        out = self.besides(self.joined(self.left(shares, kept), told), tokens, kept)
        batch = x.shape[:-1]
        lost = self.counted(kept)
        return self.told(out.reshape(x.shape), logits.reshape(*batch, number), lost.reshape(batch))


with_ = changeable(Steps)


class SentenceBySentence(Steps):
    """Each row of the batch has places of its own."""

    def forward(self, x):
        if x.ndim < 3:
            return super().forward(x)
        rows = [super(SentenceBySentence, self).forward(row) for row in x.flatten(0, -3)]
        return tuple(
            torch.stack(t).reshape(*x.shape[:-2], *t[0].shape) for t in zip(*rows, strict=True)
        )


class AllAsked(Steps):
    """Every expert is asked about every token, and most answers are thrown away."""

    def forward(self, x):
        tokens = self.flat(x)
        number = self.router.shape[-1]
        logits = tokens @ self.router
        experts = logits.topk(self.k, -1).indices
        capacity = self.capacity(self.factor, self.k, len(tokens), number)
        zeros = torch.zeros_like(logits)
        shares = zeros.scatter(1, experts, softmax_of_chosen(logits, experts))
        chosen = experts.new_zeros(logits.shape).scatter(1, experts, torch.ones_like(experts))
        kept = in_order_of_tokens(chosen, experts) < capacity
        there = torch.zeros_like(chosen).scatter(1, experts, kept.long())
        told = swiglu(tokens, self.w_gate, self.w_in, self.w_out)  # (E, T, C)
        out = (told * (shares * there).mT[..., None]).sum(0)
        batch = x.shape[:-1]
        lost = (~kept).sum(1).reshape(batch)
        return out.reshape(x.shape), logits.reshape(*batch, number), lost
