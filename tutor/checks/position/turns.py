"""Pairs of features, and what people make of a rotation of them."""

import torch


def pairs(x, layout):
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
