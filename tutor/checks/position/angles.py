"""Angles of positions, in steps: the right ones, and the wrong ones that people make of them."""

import math
from collections.abc import Callable

import torch

from tutor.checks.draw import SINGLE
from tutor.checks.exercise import Trap
from tutor.checks.position.shared import angles_of, frequencies_of


def given(positions):
    return positions


def given_theta(theta):
    return theta


def of_width(positions, width, theta):
    return angles_of(positions, width, theta)


# Other positions


def from_zero(positions):
    return torch.arange(positions.shape[-1], device=positions.device).expand(positions.shape)


def from_one(positions):
    return positions + 1


def without_sign(positions):
    return positions.abs()


def whole(positions):
    return positions.long()


def in_degrees(positions):
    return torch.deg2rad(positions.double())


# Another theta


def of_the_paper(theta):
    return 10000.0


def upside_down(theta):
    return 1 / theta


def decimal_logarithm(theta):
    return math.exp(math.log10(theta))


def dual_logarithm(theta):
    return math.exp(math.log2(theta))


def dual_power(theta):
    return 2 ** math.log(theta)


# Other frequencies


def no_two(positions, width, theta):
    return angles_of(positions, width, theta, exponent=1)


def doubled(positions, width, theta):
    return angles_of(positions, width, theta, exponent=4)


def last_is_theta(positions, width, theta):
    i = torch.arange(width // 2, device=positions.device, dtype=torch.float64)
    return positions.double()[..., None] * theta ** (-i / max(width // 2 - 1, 1))


def growing(positions, width, theta):
    return angles_of(positions, width, theta, exponent=-2)


def from_the_second(positions, width, theta):
    i = torch.arange(1, width // 2 + 1, device=positions.device, dtype=torch.float64)
    return positions.double()[..., None] * theta ** (-2 * i / width)


def all_the_same(positions, width, theta):
    return angles_of(positions, width, theta, exponent=0)


def a_frequency_each(exponent):
    def of_features(positions, width, theta):
        j = torch.arange(width, device=positions.device, dtype=torch.float64)
        return positions.double()[..., None] * theta ** (-exponent * j / width)

    return of_features


def slowest_first(positions, width, theta):
    return angles_of(positions, width, theta).flip(-1)


def _power(width, theta, device, dtype):
    return frequencies_of(width, theta, device, dtype=dtype)


def _divided(width, theta, device, dtype):
    return 1.0 / theta ** (torch.arange(0, width, 2, device=device, dtype=dtype) / width)


def _by_logarithm(width, theta, device, dtype):
    i = torch.arange(0, width, 2, device=device, dtype=dtype)
    return torch.exp(i * (-math.log(theta) / width))


def _of_pairs(width, theta, device, dtype):
    half = width // 2
    return torch.exp(-math.log(theta) * torch.arange(half, device=device) / half).to(dtype)


ROUNDED_FREQUENCIES = (_power, _divided, _by_logarithm, _of_pairs)
"""The right formula, as people write it: in a short dtype each rounds in its own way."""


def in_single(positions, width, theta):
    return positions.float()[..., None] * _power(width, theta, positions.device, SINGLE)


def whole_turns(positions, width, theta):
    return 2 * torch.pi * angles_of(positions, width, theta)


def angle_traps(with_: Callable, formula: str) -> tuple[Trap, ...]:
    """``with_``: makes an answer of other ``places``, ``base`` or ``angles``; and the heading of
    the section that has the formula."""
    return (
        Trap(
            "theta hard-coded",
            with_(base=of_the_paper),
            "10,000 is the paper's number and an argument here. Long-context models use 500,000 "
            "and more, and load without any complaint into code that ignores it.",
            formula,
        ),
        Trap(
            "positions from one",
            with_(places=from_one),
            "what counts are the numbers that are passed in, and the first of them is 0.",
            formula,
        ),
        Trap(
            "positions without their sign",
            with_(places=without_sign),
            "what stands 3 before the beginning is not what stands 3 after it: the sine of a "
            "negative angle is negative. Take the position as it is.",
            "Positions are an argument",
        ),
        Trap(
            "the exponent without its 2",
            with_(angles=no_two),
            "the exponent is 2i / D for pair i: over the D / 2 pairs it must run from 0 to almost "
            "1. With i / D it stops half way, and the slow pairs, which tell far from farther, are "
            "missing.",
            formula,
        ),
        Trap(
            "the exponent doubled",
            with_(angles=doubled),
            "the exponent is 2i / D for pair i, and torch.arange(0, D, 2) is 2i already. With "
            "another 2 the later half of the pairs hardly turns at all.",
            formula,
        ),
        Trap(
            "whole turns",
            with_(angles=whole_turns),
            "the angle is the position times the frequency, in radians, without 2π. With it the "
            "first pair makes a whole turn at every word, and says nothing.",
            formula,
        ),
        Trap(
            "frequencies that grow",
            with_(base=upside_down),
            "multiplied by theta^(2i / D) where it should be divided: the first pair turns by 1 a "
            "position, and all others turn faster still, so that neighbours look like strangers. "
            "The exponent is negative.",
            formula,
            (with_(angles=growing),),
        ),
        Trap(
            "two bases in one power",
            with_(base=decimal_logarithm),
            "exp undoes the natural logarithm: theta ** x is exp(x · ln theta). log10 belongs to "
            "10 ** x and log2 to exp2; mixed they give another theta.",
            formula,
            (with_(base=dual_logarithm), with_(base=dual_power)),
        ),
        Trap(
            "one frequency for all pairs",
            with_(angles=all_the_same),
            "each pair has a frequency of its own, theta^(-2i / D): the angle is that of the "
            "position alone where i is left out, or where 2 * i // D cuts every exponent to 0.",
            formula,
        ),
        Trap(
            "a frequency for every feature",
            with_(angles=a_frequency_each(1)),
            "both features of a pair share one frequency. With an exponent of j / D for feature j "
            "the second turns slower than the first: the pair leaves its circle, and a shift is "
            "no rotation any more.",
            formula,
            (with_(angles=a_frequency_each(2)),),
        ),
        Trap(
            "frequencies in reverse",
            with_(angles=slowest_first),
            "pair 0 turns fastest, by 1 a position, and the last pair slowest. In reverse a model "
            "can learn as well, but no checkpoint fits it.",
            formula,
        ),
        Trap(
            "degrees for radians",
            with_(places=in_degrees),
            "sine and cosine take radians, and the formula's angle, position · frequency, is one "
            "already. Times π / 180, the fastest pair needs 360 positions for a turn instead of 6.",
            formula,
        ),
        Trap(
            "the first frequency left out",
            with_(angles=from_the_second),
            "i runs from 0 to D / 2 - 1: the first pair turns by 1 a position, the fastest of all. "
            "Counted from 1, no pair tells neighbours apart as well.",
            formula,
        ),
        Trap(
            "the last wavelength stretched to theta",
            with_(angles=last_is_theta),
            "divided by (D / 2 - 1), so that the last frequency is exactly 1 / theta. Some code "
            "bases do that; the paper's formula, and every checkpoint that follows it, does not.",
            formula,
        ),
        Trap(
            "positions cut to integers",
            with_(places=whole),
            "a position need not be an integer: chapter 12 squeezes long texts between the "
            "positions that a model knows. Cut off, several words share one.",
            "Positions are an argument",
        ),
    )
