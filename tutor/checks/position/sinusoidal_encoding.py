"""What ``sinusoidal_encoding`` must satisfy, and the wrong answers that people give."""

from collections.abc import Iterator

import torch
from torch import Generator, Tensor

from tutor import position as reference
from tutor.checks.conditions import Condition, Crossed, Factor, Family, Row, pair
from tutor.checks.crossings import LAYOUT
from tutor.checks.draw import BFLOAT, DOUBLE, HALF, SINGLE, Draw, laid
from tutor.checks.exercise import Case, Contract, Exercise, Property, Trap
from tutor.checks.position import sinusoids
from tutor.checks.position.angles import angle_traps, from_zero, in_single
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
FAMILY = Family(
    (
        _NUMBERS,
        PLACES,
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
    return Contract(calls=((positions, width),))


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


SINUSOIDAL_ENCODING = Exercise(
    reference=reference.sinusoidal_encoding,
    chapter=CHAPTER,
    points={"values": 2, "edges": 2, "gradients": 1, "types": 1, "contracts": 1},
    cases=CASES,
    contract=_contract,
    properties=(Property("a shift is a rotation", _shift_is_a_rotation),),
    traps=(
        Trap(
            "the batch index instead of the time",
            sinusoids.with_(places=sinusoids.batch_index),
            "the numbers of the first dimension were encoded. Where sentences lie in rows, that is "
            "which sentence it is, the same for all of its words. It runs, it has the right shape, "
            "and the model still cannot tell first from last.",
            "Sinusoids",
        ),
        Trap(
            "sines and cosines side by side",
            sinusoids.with_(laid=sinusoids.halves),
            "all sines came first and then all cosines. The paper's encoding interleaves them: "
            "feature 2i is the sine and 2i + 1 the cosine of one angle. A model that is trained "
            "with either works; one that is trained with the one and run with the other does not.",
            "Sinusoids",
        ),
        Trap(
            "positions always from zero",
            sinusoids.with_(places=from_zero),
            "the tokens were numbered 0, 1, 2, ... whatever the argument says. While training "
            "nobody notices. A model that generates with a cache passes the position of its one "
            "newest token, and would get position 0 for every word.",
            "Positions are an argument",
        ),
        *angle_traps(sinusoids.with_, "Sinusoids"),
        Trap(
            "the cosine first",
            sinusoids.with_(waves=(torch.cos, torch.sin)),
            "feature 2i is the sine, feature 2i + 1 the cosine. Position 0 is (0, 1, 0, 1, ...).",
            "Sinusoids",
        ),
        Trap(
            "angles alone",
            sinusoids.with_(waves=(sinusoids.as_they_are, sinusoids.as_they_are)),
            "the numbers are the angles, position · frequency, which grow without a bound. Asked "
            "for are their sines and cosines.",
            "Sinusoids",
        ),
        Trap(
            "a quarter of a turn in degrees",
            sinusoids.with_(waves=(torch.sin, sinusoids.a_quarter_in_degrees)),
            "the cosine is the sine a quarter of a turn further on, and that is π / 2: torch.sin "
            "takes radians. 90 of them are 14 turns and a part.",
            "Sinusoids",
        ),
        Trap(
            "sines alone",
            sinusoids.with_(waves=(torch.sin, torch.sin)),
            "a sine has every value twice a turn, and cannot tell where on its circle it stands. "
            "The sine and the cosine of one angle together can, and only together do they turn "
            "when the positions shift.",
            "Why a shift is a rotation",
        ),
        Trap(
            "angles in single precision",
            sinusoids.with_(angles=in_single),
            "single precision has 24 bits. A position of ten million uses them all, and its angle "
            "is wrong by up to half a radian. Compute the angle in double and round the sine.",
            "Numbers that grow",
            precision=True,
        ),
        Trap(
            "positions with the other sign",
            sinusoids.with_(places=sinusoids.backwards),
            "the angle is the position times its frequency, without a minus: theta has one in its "
            "exponent, where it makes the frequency small.",
            "Sinusoids",
        ),
        Trap(
            "positions as shares of the length",
            sinusoids.with_(places=sinusoids.shares_of_the_length),
            "divided by the length of the sentence, the same position gets another code in every "
            "sentence, and the next word is a different step away.",
            "Positions are an argument",
        ),
        Trap(
            "a table that ends",
            sinusoids.with_(places=sinusoids.row_of(5000)),
            "a table has a row for each of the positions 0, 1, 2, ... up to its length. What lies "
            "beyond raises, what is negative reads its end, and what stands between two rows has "
            "none. The formula needs no table.",
            "Positions are an argument",
            tuple(
                sinusoids.with_(places=sinusoids.row_of(length))
                for length in (10_000, 2048, 1024, 512)
            ),
        ),
        Trap(
            "positions of one sentence",
            sinusoids.with_(angles=sinusoids.outer),
            "positions may have any number of dimensions in front. positions[..., None] puts the "
            "pairs behind all of them.",
            "Positions are an argument",
            tuple(
                sinusoids.with_(angles=angles)
                for angles in (sinusoids.column, sinusoids.second_axis, sinusoids.flattened)
            ),
        ),
        Trap(
            "no gradient to the positions",
            sinusoids.with_(places=sinusoids.detached),
            "the numbers are right, but the positions were cut off from learning, by detach() or "
            "torch.no_grad(). Positions that are floats may be learned as other inputs are.",
            "Positions are an argument",
        ),
        Trap(
            "whole numbers for whole positions",
            sinusoids.with_(dtype=sinusoids.of_the_positions),
            "sines lie between -1 and 1: as integers they are all 0, 1 or -1. Integers as "
            "positions get an answer of torch's default dtype.",
            "Numbers that grow",
        ),
        Trap(
            "the dtype of the positions forgotten",
            sinusoids.with_(dtype=sinusoids.double),
            "angles need double precision, and the sines do not: they go back to the dtype of the "
            "positions, or to torch's default if those are integers. Otherwise the model that they "
            "are added to changes its dtype with them.",
            "Numbers that grow",
            tuple(
                sinusoids.with_(dtype=dtype)
                for dtype in (
                    sinusoids.single,
                    sinusoids.promoted,
                    sinusoids.double_for_integers,
                )
            ),
        ),
    ),
)
