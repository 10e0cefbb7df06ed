"""Pairs of features, and what people make of a rotation of them."""

import torch

from tutor.checks.position.shared import angles_of


def pairs_of(x, layout):
    return x.chunk(2, -1) if layout == "half" else (x[..., ::2], x[..., 1::2])


def joined(pairs, layout):
    return torch.cat(pairs, -1) if layout == "half" else torch.stack(pairs, -1).flatten(-2)


def turn(a, b, cos, sin):
    return a * cos - b * sin, a * sin + b * cos


# Other turns


def backwards(a, b, cos, sin):
    return a * cos + b * sin, b * cos - a * sin


def no_minus(a, b, cos, sin):
    return a * cos + b * sin, a * sin + b * cos


def exchanged(a, b, cos, sin):
    return a * sin - b * cos, a * cos + b * sin


def no_partner(a, b, cos, sin):
    return a * cos + a * sin, b * cos + b * sin


def one_after_the_other(a, b, cos, sin):
    a = a * cos - b * sin
    return a, a * sin + b * cos


def added(a, b, cos, sin):
    return a + sin, b + cos


def mixed(x, positions, theta=10000.0, layout="half"):
    angles = angles_of(positions, x.shape[-1], theta)
    a, b = x.chunk(2, -1)
    if layout == "half":
        angles, partner = angles.repeat_interleave(2, -1), torch.cat((-b, a), -1)
    else:
        angles = torch.cat((angles, angles), -1)
        partner = torch.stack((-x[..., 1::2], x[..., ::2]), -1).flatten(-2)
    return x * angles.cos().to(x.dtype) + partner * angles.sin().to(x.dtype)
