"""What ``sinusoidal_encoding`` must satisfy, and the wrong answers that people give."""

import math
from collections.abc import Iterator

import torch
from torch import Generator, Tensor

from tutor import position as reference
from tutor.checks.conditions import Condition, Crossed, Factor, Family, Row, pair
from tutor.checks.draw import BFLOAT, DOUBLE, HALF, SINGLE, Draw, laid
from tutor.checks.exercise import Case, Contract, Exercise, Property, Trap
from tutor.checks.families import LAYOUT
from tutor.checks.position.shared import (
    BATCH,
    CHAPTER,
    PLACES,
    THETA,
    TOKENS,
    WIDTH,
    B,
    D,
    T,
    angles_of,
    frequencies_of,
    places,
)

_NUMBERS = Factor(
    "numbers",
    (
        Condition("double", value=DOUBLE),
        Condition("single", "single precision", SINGLE, alone=True),
        Condition("half", "half precision", HALF, alone=True),
        Condition("bfloat16", "bfloat16", BFLOAT, alone=True),
        Condition("int64", "integers", torch.int64, alone=True),
        Condition("int32", "32-bit integers", torch.int32, alone=True),
    ),
)
_NEGATIVE = Condition(
    "before",
    "positions before the beginning",
    lambda draw, *shape: draw.integers(*shape, low=-69, high=-10),
    edge=True,
    alone=True,
)

FAMILY = Family(
    (
        _NUMBERS,
        Factor("places", (*PLACES.conditions, _NEGATIVE)),
        LAYOUT,
        BATCH,
        TOKENS,
        WIDTH,
        THETA,
    ),
    apart={
        pair("int64", "between"): "no integer lies between the integers",
        pair("int32", "between"): "no integer lies between the integers",
        pair("half", "far"): "half precision ends at 65,504",
        pair("turned", "none"): "a row of numbers lies one after the other",
        pair("turned", "one token"): "one position lies nowhere else",
        pair("views", "none"): "a row of numbers lies one after the other",
    },
).but(without={"behind": "positions have no heads"})


def _arguments(draw: Draw, row: Row) -> tuple[Tensor | int | float, ...]:
    positions = places(draw, row, *row["batch"], row["tokens"]).to(row["numbers"])
    theta = () if row["theta"] is None else (row["theta"],)
    return (laid(positions.contiguous(), row["layout"]), row["width"], *theta)


def _by_hand(draw: Draw) -> Iterator[Case]:
    sizes = tuple(draw.integer(2, 9) for _ in range(2))
    width, theta = 2 * draw.integer(2, 9), float(draw.integer(20, 2000))
    lot = (draw.integers(*sizes, low=1, high=60).double(), width, theta)
    yield Case("sizes drawn by lot", lot)
    far = draw.integers(B, T, low=10_000_019, high=10_000_079)
    yield Case("positions of ten million, integers", (far, D), "edges")
    yield Case("positions of ten million, single precision", (far.float(), D), "edges")


CASES = Crossed(FAMILY, _arguments, _by_hand, usual="two sentences")


def _contract(generator: Generator, device: torch.device) -> Contract:
    width = 16
    positions = Draw(generator, device).integers(B, 24, low=0, high=99).double()
    return Contract(
        calls=((positions, width),),
    )


def _shift_is_a_rotation(call, generator: Generator, device: torch.device) -> str | None:
    positions = Draw(generator, device).integers(T, low=0, high=50).double()
    near, far = call(positions, D), call(positions + 9, D)
    lengths = (near.unflatten(-1, (-1, 2)).norm(dim=-1) - 1).abs().max()
    products = (near @ near.mT - far @ far.mT).abs().max()
    if not lengths < 1e-9:
        return f"each pair should lie on the unit circle; it is off by {float(lengths):.2g}"
    if not products < 1e-9:
        return (
            "shifting all positions by 9 should change no product of two encodings; "
            f"it does, by {float(products):.2g}"
        )
    return None


def _interleaved(positions: Tensor, angles: Tensor) -> Tensor:
    return torch.stack((angles.sin(), angles.cos()), -1).flatten(-2).to(_dtype(positions))


def _dtype(positions: Tensor) -> torch.dtype:
    return positions.dtype if positions.is_floating_point() else SINGLE


def _batch_index(positions, width, theta=10000.0):
    rows = torch.arange(positions.shape[0], device=positions.device)
    rows = rows.view(-1, *[1] * (positions.ndim - 1)).expand(positions.shape)
    return _interleaved(positions, angles_of(rows, width, theta))


def _concatenated(positions, width, theta=10000.0):
    angles = angles_of(positions, width, theta)
    return torch.cat((angles.sin(), angles.cos()), -1).to(_dtype(positions))


def _from_zero(positions, width, theta=10000.0):
    places = torch.arange(positions.shape[-1], device=positions.device).expand(positions.shape)
    return _interleaved(positions, angles_of(places, width, theta))


def _theta(positions, width, theta=10000.0):
    return _interleaved(positions, angles_of(positions, width, 10000.0))


def _no_two(positions, width, theta=10000.0):
    return _interleaved(positions, angles_of(positions, width, theta, exponent=1))


def _cosine_first(positions, width, theta=10000.0):
    angles = angles_of(positions, width, theta)
    return torch.stack((angles.cos(), angles.sin()), -1).flatten(-2).to(_dtype(positions))


def _single(positions, width, theta=10000.0):
    frequencies = frequencies_of(width, theta, positions.device, dtype=SINGLE)
    return _interleaved(positions, positions.float()[..., None] * frequencies)


def _upward(positions, width, theta=10000.0):
    return _interleaved(positions, angles_of(positions, width, 1 / theta))


def _own_frequency(positions, width, theta=10000.0):
    j = torch.arange(width, device=positions.device, dtype=DOUBLE)
    angles = positions.double()[..., None] * theta ** (-j / width)
    return torch.where(j % 2 == 0, angles.sin(), angles.cos()).to(_dtype(positions))


def _last_is_theta(positions, width, theta=10000.0):
    half = width // 2
    i = torch.arange(half, device=positions.device, dtype=DOUBLE)
    angles = positions.double()[..., None] * theta ** (-i / max(half - 1, 1))
    return _interleaved(positions, angles)


def _whole(positions, width, theta=10000.0):
    return _interleaved(positions, angles_of(positions.long(), width, theta))


def _sines_alone(positions, width, theta=10000.0):
    sines = angles_of(positions, width, theta).sin()
    return sines.repeat_interleave(2, -1).to(_dtype(positions))


def _from_one(positions, width, theta=10000.0):
    return _interleaved(positions, angles_of(positions + 1, width, theta))


def _turns(positions, width, theta=10000.0):
    return _interleaved(positions, 2 * math.pi * angles_of(positions, width, theta))


SINUSOIDAL_ENCODING = Exercise(
    reference=reference.sinusoidal_encoding,
    chapter=CHAPTER,
    points={"values": 3, "edges": 2, "types": 1, "contracts": 1},
    cases=CASES,
    contract=_contract,
    properties=(Property("a shift is a rotation", _shift_is_a_rotation),),
    traps=(
        Trap(
            "the batch index instead of the time",
            _batch_index,
            "the numbers of the first dimension were encoded. Where sentences lie in rows, that is "
            "which sentence it is, the same for all of its words. It runs, it has the right shape, "
            "and the model still cannot tell first from last.",
            "Sinusoids",
        ),
        Trap(
            "sines and cosines side by side",
            _concatenated,
            "all sines came first and then all cosines. The paper's encoding interleaves them: "
            "feature 2i is the sine and 2i + 1 the cosine of one angle. A model that is trained "
            "with either works; one that is trained with the one and run with the other does not.",
            "Sinusoids",
        ),
        Trap(
            "positions always from zero",
            _from_zero,
            "the tokens were numbered 0, 1, 2, ... whatever the argument says. While training "
            "nobody notices. A model that generates with a cache passes the position of its one "
            "newest token, and would get position 0 for every word.",
            "Positions are an argument",
        ),
        Trap(
            "theta hard-coded",
            _theta,
            "10,000 is the paper's number and an argument here. Long-context models use 500,000 "
            "and more, and load without any complaint into code that ignores it.",
            "Sinusoids",
        ),
        Trap(
            "the exponent without its 2",
            _no_two,
            "the exponent is 2i / width for pair i: over the width / 2 pairs it must run from 0 to "
            "almost 1. With i / width it stops half way, and the slowest pair is as fast as one in "
            "the middle should be.",
            "Sinusoids",
        ),
        Trap(
            "the cosine first",
            _cosine_first,
            "feature 2i is the sine, feature 2i + 1 the cosine. Position 0 is (0, 1, 0, 1, ...).",
            "Sinusoids",
        ),
        Trap(
            "sines alone",
            _sines_alone,
            "a sine has every value twice a turn, and cannot tell where on its circle it stands. "
            "The sine and the cosine of one angle together can, and only together do they turn "
            "when the positions shift.",
            "Why a shift is a rotation",
        ),
        Trap(
            "positions from one",
            _from_one,
            "the encoding is that of the numbers that are passed in. The first word is at 0: all "
            "sines 0, all cosines 1.",
            "Sinusoids",
        ),
        Trap(
            "whole turns",
            _turns,
            "the angle is the position times the frequency, in radians, without 2π. With it the "
            "first pair makes a whole turn at every word, and says nothing.",
            "Sinusoids",
        ),
        Trap(
            "angles in single precision",
            _single,
            "single precision has 24 bits. A position of ten million uses them all, and its angle "
            "is wrong by up to half a radian. Compute the angle in double and round the sine.",
            "Numbers that grow",
        ),
        Trap(
            "frequencies that grow",
            _upward,
            "multiplied by theta^(2i / width) where it should be divided: the first pair turns by "
            "1 a position, and all others turn faster still, so that neighbours look like "
            "strangers. The exponent is negative.",
            "Sinusoids",
        ),
        Trap(
            "a frequency for every feature",
            _own_frequency,
            "sine and cosine of one pair share one frequency. With an exponent of j / width for "
            "feature j the cosine turns slower than its sine: the pair leaves the circle, and a "
            "shift is no rotation any more.",
            "Why a shift is a rotation",
        ),
        Trap(
            "the last wavelength stretched to theta",
            _last_is_theta,
            "divided by (width / 2 - 1), so that the last frequency is exactly 1 / theta. Some "
            "code bases do that; the paper's formula, and every checkpoint that follows it, does "
            "not.",
            "Sinusoids",
        ),
        Trap(
            "positions cut to integers",
            _whole,
            "a position need not be an integer: chapter 12 squeezes long texts between the "
            "positions that a model knows. Cut off, several words share one.",
            "Positions are an argument",
        ),
    ),
)
