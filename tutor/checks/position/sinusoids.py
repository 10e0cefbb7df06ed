"""Sinusoidal encodings in steps: the right ones, and the wrong ones that people make of them."""

import torch
from torch import Tensor

from tutor.checks.changes import changeable
from tutor.checks.draw import DOUBLE, SINGLE
from tutor.checks.position.angles import given, given_theta, of_width
from tutor.checks.position.shared import frequencies_of


def usual_dtype(positions: Tensor) -> torch.dtype:
    return positions.dtype if positions.is_floating_point() else SINGLE


def interleaved(angles, width):
    """The angle of each feature, and which features come first in their pairs."""
    if angles.shape[-1] < width:
        angles = angles.repeat_interleave(2, -1)
    return angles, torch.arange(width, device=angles.device) % 2 == 0


WAVES = torch.sin, torch.cos
"""Of the first of a pair, and of the second."""


def encoding(
    positions,
    width,
    theta=10000.0,
    places=given,
    base=given_theta,
    angles=of_width,
    laid=interleaved,
    waves=WAVES,
    dtype=usual_dtype,
):
    """The right encoding, but for the parts that are given; ``angles``: of pairs or features."""
    of_features, first = laid(angles(places(positions), width, base(theta)), width)
    one, other = waves
    return torch.where(first, one(of_features), other(of_features)).to(dtype(positions))


with_ = changeable(encoding)


def batch_index(positions):
    rows = torch.arange(positions.shape[0], device=positions.device)
    return rows.view(-1, *[1] * (positions.ndim - 1)).expand(positions.shape)


def a_quarter_in_degrees(angles):
    return (angles + 90).sin()


def detached(positions):
    return positions.detach()


def backwards(positions):
    return -positions


def shares_of_the_length(positions):
    return positions.double() / positions.shape[-1]


def row_of(length):
    def looked_up(positions):
        return torch.arange(length, device=positions.device)[positions.long()]

    return looked_up


def outer(positions, width, theta):
    return torch.outer(positions.double(), frequencies_of(width, theta, positions.device))


def column(positions, width, theta):
    of_pairs = frequencies_of(width, theta, positions.device)
    return positions.double().reshape(positions.shape[0], 1) * of_pairs


def second_axis(positions, width, theta):
    return positions.double()[:, None] * frequencies_of(width, theta, positions.device)


def flattened(positions, width, theta):
    return positions.double().reshape(-1, 1) * frequencies_of(width, theta, positions.device)


def halves(angles, width):
    if angles.shape[-1] < width:
        angles = torch.cat((angles, angles), -1)
    return angles, torch.arange(width, device=angles.device) < width // 2


def as_they_are(angles):
    return angles


def double(positions):
    return DOUBLE


def single(positions):
    return SINGLE


def promoted(positions):
    return torch.promote_types(SINGLE, positions.dtype)


def of_the_positions(positions):
    return positions.dtype


def double_for_integers(positions):
    return positions.dtype if positions.is_floating_point() else DOUBLE
