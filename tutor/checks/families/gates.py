"""A gated feed-forward in steps: the right one, and the wrong ones that people make."""

import torch
from torch.nn import functional as F

from tutor.checks.changes import changeable
from tutor.checks.transformer.feeds import alone, as_given, times


def product(gate, hidden):
    return gate * hidden


def both(w_gate, w_in):
    return w_gate, w_in


def feed(
    x,
    w_gate,
    w_in,
    w_out,
    which=both,
    before=as_given,
    asked=as_given,
    into=times,
    activation=F.silu,
    other=as_given,
    joined=product,
    after=as_given,
    out=times,
    end=as_given,
    besides=alone,
):
    """The right one, but for the parts that are given."""
    w_gate, w_in = which(w_gate, w_in)
    x = before(x)
    hidden = joined(activation(into(asked(x), w_gate)), other(into(x, w_in)))
    return besides(end(out(after(hidden), w_out)), x)


with_ = changeable(feed)


def exchanged(w_gate, w_in):
    return w_in, w_gate


def gate_alone(gate, hidden):
    return gate


def hidden_alone(gate, hidden):
    return hidden


def sum_of_both(gate, hidden):
    return gate + hidden


def by_hand(z):
    """For a very negative z the exponential is infinite: the answer is 0, and its gradient nan."""
    return z / (1 + torch.exp(-z))


def quick(z):
    """Of GPT-2's time: close to gelu."""
    return z * torch.sigmoid(1.702 * z)


def gate_detached(gate, hidden):
    return gate.detach() * hidden


def hidden_detached(gate, hidden):
    return gate * hidden.detach()


def clamped(z):
    """As if the sigmoid could not stand large numbers."""
    return z * torch.sigmoid(z.clamp(-10, 10))


def clamped_before(z):
    return F.silu(z.clamp(-10, 10))


def clamped_wider(z):
    return F.silu(z.clamp(-20, 20))


def clamped_exponential(z):
    return z / (1 + torch.exp((-z).clamp(max=10)))


def by_hand_upwards(z):
    """Here it is for a large z that the exponential is infinite, and the answer nan."""
    return z * torch.exp(z) / (1 + torch.exp(z))


def turned(z):
    return z * torch.sigmoid(-z)


def sigmoid_detached(z):
    return z * torch.sigmoid(z).detach()


def besides_x_if_it_fits(out, x):
    return out + x if out.shape == x.shape else out
