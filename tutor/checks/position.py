"""Chapter 5's exercises: what must hold, and the wrong answers that people give."""

import math
from collections.abc import Iterator

import torch
from torch import Generator, Tensor

from tutor import position as reference
from tutor.checks.draw import BFLOAT, DOUBLE, HALF, SINGLE, Draw, strided
from tutor.checks.exercise import Case, Contract, Exercise, Property, Trap

CHAPTER = "05_position"

# All sizes differ, so that a swapped axis cannot pass.
B, H, T, D = 2, 3, 5, 6

LAYOUTS = ("half", "interleaved")


def _frequencies(
    width: int, theta: float, device: torch.device, exponent: float = 2, dtype: torch.dtype = DOUBLE
) -> Tensor:
    i = torch.arange(width // 2, device=device, dtype=dtype)
    return theta ** -(exponent * i / width)


# sinusoidal_encoding


def _sinusoidal_cases(generator: Generator, device: torch.device) -> Iterator[Case]:
    draw = Draw(generator, device)

    def whole(*shape, high=60):
        return draw.integers(*shape, low=0, high=high)

    yield Case("two sentences", (whole(B, T), D))
    yield Case("double precision", (whole(B, T).double(), D))
    yield Case("single precision", (whole(B, T).float(), D))
    yield Case("half precision", (whole(B, T).half(), D))
    yield Case("bfloat16", (whole(B, T).bfloat16(), D))
    yield Case("32-bit integers", (whole(B, T).int(), D))
    yield Case("one sentence", (whole(T), D))
    yield Case("three dimensions", (whole(B, H, T).double(), D))
    yield Case("another theta", (whole(B, T).double(), D, 500.0))
    yield Case("theta of one", (whole(T).double(), D, 1.0))
    yield Case("a single pair", (whole(B, T).double(), 2))
    yield Case("many features", (whole(T).double(), 132))  # small integers end at 127
    yield Case("not contiguous", (strided(whole(B, T).double()), D))
    sizes = tuple(draw.integer(2, 9) for _ in range(2))
    width, theta = 2 * draw.integer(2, 9), float(draw.integer(20, 2000))
    yield Case("sizes drawn by lot", (whole(*sizes).double(), width, theta))

    yield Case(
        "a cache of 1,000 tokens before", (torch.arange(T, device=device) + 1000, D), "edges"
    )
    yield Case("from zero", (torch.arange(T, device=device), D), "edges")
    far = whole(B, T) + 10_000_019
    yield Case("positions of ten million", (far, D), "edges")
    yield Case("positions of ten million, single", (far.float(), D), "edges")
    yield Case("positions of 20,000", (whole(B, T).double() + 20_011, D), "edges")
    between = draw.uniform(B, T, low=0, high=9)
    yield Case("positions between the integers", (between, D), "edges")
    yield Case("before the beginning", (whole(B, T).double() - 70, D), "edges")
    yield Case("a single token", (whole(1), D), "edges")
    yield Case("no tokens", (whole(B, 0), D), "edges")


def _sinusoidal_contract(generator: Generator, device: torch.device) -> Contract:
    width = 16
    positions = Draw(generator, device).integers(B, 24, low=0, high=99).double()
    n = positions.numel() * width
    return Contract(
        calls=((positions, width),), max_flops=2 * n, max_written=10 * n, max_intermediate=n
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


def _sinusoidal_of(positions: Tensor, angles: Tensor, like: Tensor | None = None) -> Tensor:
    encoding = torch.stack((angles.sin(), angles.cos()), -1).flatten(-2)
    return encoding.to(_dtype(positions if like is None else like))


def _dtype(positions: Tensor) -> torch.dtype:
    return positions.dtype if positions.is_floating_point() else SINGLE


def _angles(positions: Tensor, width: int, theta: float, **changes) -> Tensor:
    return positions.double()[..., None] * _frequencies(width, theta, positions.device, **changes)


def _sinusoidal_batch_index(positions, width, theta=10000.0):
    rows = torch.arange(positions.shape[0], device=positions.device)
    rows = rows.view(-1, *[1] * (positions.ndim - 1)).expand(positions.shape)
    return _sinusoidal_of(positions, _angles(rows, width, theta))


def _sinusoidal_concatenated(positions, width, theta=10000.0):
    angles = _angles(positions, width, theta)
    return torch.cat((angles.sin(), angles.cos()), -1).to(_dtype(positions))


def _sinusoidal_from_zero(positions, width, theta=10000.0):
    places = torch.arange(positions.shape[-1], device=positions.device).expand(positions.shape)
    return _sinusoidal_of(positions, _angles(places, width, theta))


def _sinusoidal_theta(positions, width, theta=10000.0):
    return _sinusoidal_of(positions, _angles(positions, width, 10000.0))


def _sinusoidal_no_two(positions, width, theta=10000.0):
    return _sinusoidal_of(positions, _angles(positions, width, theta, exponent=1))


def _sinusoidal_cosine_first(positions, width, theta=10000.0):
    angles = _angles(positions, width, theta)
    return torch.stack((angles.cos(), angles.sin()), -1).flatten(-2).to(_dtype(positions))


def _sinusoidal_single(positions, width, theta=10000.0):
    frequencies = _frequencies(width, theta, positions.device, dtype=SINGLE)
    return _sinusoidal_of(positions, positions.float()[..., None] * frequencies)


def _sinusoidal_upward(positions, width, theta=10000.0):
    return _sinusoidal_of(positions, _angles(positions, width, 1 / theta))


def _sinusoidal_own_frequency(positions, width, theta=10000.0):
    j = torch.arange(width, device=positions.device, dtype=DOUBLE)
    angles = positions.double()[..., None] * theta ** (-j / width)
    return torch.where(j % 2 == 0, angles.sin(), angles.cos()).to(_dtype(positions))


def _sinusoidal_last_is_theta(positions, width, theta=10000.0):
    half = width // 2
    i = torch.arange(half, device=positions.device, dtype=DOUBLE)
    angles = positions.double()[..., None] * theta ** (-i / max(half - 1, 1))
    return _sinusoidal_of(positions, angles)


def _sinusoidal_whole(positions, width, theta=10000.0):
    return _sinusoidal_of(positions, _angles(positions.long(), width, theta))


def _sinusoidal_sines_alone(positions, width, theta=10000.0):
    sines = _angles(positions, width, theta).sin()
    return sines.repeat_interleave(2, -1).to(_dtype(positions))


def _sinusoidal_from_one(positions, width, theta=10000.0):
    return _sinusoidal_of(positions, _angles(positions + 1, width, theta))


def _sinusoidal_turns(positions, width, theta=10000.0):
    return _sinusoidal_of(positions, 2 * math.pi * _angles(positions, width, theta))


SINUSOIDAL_ENCODING = Exercise(
    reference=reference.sinusoidal_encoding,
    chapter=CHAPTER,
    points={"values": 3, "edges": 2, "types": 1, "contracts": 1},
    cases=_sinusoidal_cases,
    contract=_sinusoidal_contract,
    properties=(Property("a shift is a rotation", _shift_is_a_rotation),),
    traps=(
        Trap(
            "the batch index instead of the time",
            _sinusoidal_batch_index,
            "the numbers of the first dimension were encoded. Where sentences lie in rows, that is "
            "which sentence it is, the same for all of its words. It runs, it has the right shape, "
            "and the model still cannot tell first from last.",
            "Sinusoids",
        ),
        Trap(
            "sines and cosines side by side",
            _sinusoidal_concatenated,
            "all sines came first and then all cosines. The paper's encoding interleaves them: "
            "feature 2i is the sine and 2i + 1 the cosine of one angle. A model that is trained "
            "with either works; one that is trained with the one and run with the other does not.",
            "Sinusoids",
        ),
        Trap(
            "positions always from zero",
            _sinusoidal_from_zero,
            "the tokens were numbered 0, 1, 2, ... whatever the argument says. While training "
            "nobody notices. A model that generates with a cache passes the position of its one "
            "newest token, and would get position 0 for every word.",
            "Positions are an argument",
        ),
        Trap(
            "theta hard-coded",
            _sinusoidal_theta,
            "10,000 is the paper's number and an argument here. Long-context models use 500,000 "
            "and more, and load without any complaint into code that ignores it.",
            "Sinusoids",
        ),
        Trap(
            "the exponent without its 2",
            _sinusoidal_no_two,
            "the exponent is 2i / width for pair i: over the width / 2 pairs it must run from 0 to "
            "almost 1. With i / width it stops half way, and the slowest pair is as fast as one in "
            "the middle should be.",
            "Sinusoids",
        ),
        Trap(
            "the cosine first",
            _sinusoidal_cosine_first,
            "feature 2i is the sine, feature 2i + 1 the cosine. Position 0 is (0, 1, 0, 1, ...).",
            "Sinusoids",
        ),
        Trap(
            "sines alone",
            _sinusoidal_sines_alone,
            "a sine has every value twice a turn, and cannot tell where on its circle it stands. "
            "The sine and the cosine of one angle together can, and only together do they turn "
            "when the positions shift.",
            "Why a shift is a rotation",
        ),
        Trap(
            "positions from one",
            _sinusoidal_from_one,
            "the encoding is that of the numbers that are passed in. The first word is at 0: all "
            "sines 0, all cosines 1.",
            "Sinusoids",
        ),
        Trap(
            "whole turns",
            _sinusoidal_turns,
            "the angle is the position times the frequency, in radians, without 2π. With it the "
            "first pair makes a whole turn at every word, and says nothing.",
            "Sinusoids",
        ),
        Trap(
            "angles in single precision",
            _sinusoidal_single,
            "single precision has 24 bits. A position of ten million uses them all, and its angle "
            "is wrong by up to half a radian. Compute the angle in double and round the sine.",
            "Numbers that grow",
        ),
        Trap(
            "frequencies that grow",
            _sinusoidal_upward,
            "multiplied by theta^(2i / width) where it should be divided: the first pair turns by "
            "1 a position, and all others turn faster still, so that neighbours look like "
            "strangers. The exponent is negative.",
            "Sinusoids",
        ),
        Trap(
            "a frequency for every feature",
            _sinusoidal_own_frequency,
            "sine and cosine of one pair share one frequency. With an exponent of j / width for "
            "feature j the cosine turns slower than its sine: the pair leaves the circle, and a "
            "shift is no rotation any more.",
            "Why a shift is a rotation",
        ),
        Trap(
            "the last wavelength stretched to theta",
            _sinusoidal_last_is_theta,
            "divided by (width / 2 - 1), so that the last frequency is exactly 1 / theta. Some "
            "code bases do that; the paper's formula, and every checkpoint that follows it, does "
            "not.",
            "Sinusoids",
        ),
        Trap(
            "positions cut to integers",
            _sinusoidal_whole,
            "a position need not be an integer: chapter 12 squeezes long texts between the "
            "positions that a model knows. Cut off, several words share one.",
            "Positions are an argument",
        ),
    ),
)


# apply_rope


def _rope_cases(generator: Generator, device: torch.device) -> Iterator[Case]:
    draw = Draw(generator, device)

    def places(*shape, high=60):
        return draw.integers(*shape, low=1, high=high)

    for layout in LAYOUTS:
        yield Case(f"heads, {layout}", (draw.normal(B, H, T, D), places(T), 10000.0, layout))
        x = draw.normal(B, H, T, D, dtype=SINGLE)
        yield Case(f"single precision, {layout}", (x, places(T), 10000.0, layout))
    yield Case("half precision", (draw.normal(B, T, D, dtype=HALF), places(T)))
    low = draw.normal(B, T, D, dtype=BFLOAT)
    yield Case("bfloat16", (low, places(T), 10000.0, "interleaved"))
    # Not the same object as the literal: a comparison by identity fails.
    fresh = "".join(("ha", "lf"))
    yield Case("single tokens", (draw.normal(B, H, 1, D), places(1), 10000.0, fresh))
    yield Case("the layout left out", (draw.normal(B, H, T, D), places(T), 500.0))
    yield Case("theta left out", (draw.normal(B, T, D), places(T)))
    yield Case("a wide head", (draw.normal(T, 132), places(T)))  # small integers end at 127
    for layout in LAYOUTS:
        yield Case(f"another theta, {layout}", (draw.normal(B, T, D), places(T), 300.0, layout))
        yield Case(f"no batch dimension, {layout}", (draw.normal(T, D), places(T), 10000.0, layout))
        x = strided(draw.normal(B, H, T, D))
        yield Case(f"not contiguous, {layout}", (x, places(T), 10000.0, layout))
    sizes = tuple(draw.integer(2, 7) for _ in range(3))
    x = draw.normal(*sizes, 2 * draw.integer(2, 9))
    layout = LAYOUTS[draw.integer(0, 2)]
    yield Case("sizes drawn by lot", (x, places(sizes[-1]), 700.0, layout))

    for layout in LAYOUTS:
        x = draw.normal(B, H, T, D)
        several = (x, places(B, 1, T), 10000.0, layout)
        yield Case(f"positions of each sentence, {layout}", several, "edges")
        scattered = (x, strided(places(B, H, T)), 10000.0, layout)
        yield Case(f"positions not contiguous, {layout}", scattered, "edges")
        between = (x, draw.uniform(T, low=0, high=9), 10000.0, layout)
        yield Case(f"positions between the integers, {layout}", between, "edges")
        cached = (draw.normal(B, H, 1, D), places(1) + 700, 10000.0, layout)
        yield Case(f"the newest token of a cache, {layout}", cached, "edges")
        x, far = draw.normal(B, H, T, D, dtype=SINGLE), places(T) + 10_000_019
        yield Case(f"positions of ten million, single, {layout}", (x, far, 1e4, layout), "edges")
    zero = (draw.normal(B, T, D), torch.arange(T, device=device))
    yield Case("from zero", zero, "edges")
    x = draw.normal(B, H, T, D, dtype=BFLOAT)
    yield Case("positions of 3,000, bfloat16", (x, places(T) + 3000), "edges")
    yield Case("a single pair", (draw.normal(B, T, 2), places(T)), "edges")
    yield Case("no tokens", (draw.normal(B, 0, D), places(0)), "edges")


def _rope_contract(generator: Generator, device: torch.device) -> Contract:
    draw = Draw(generator, device)
    x, positions = draw.normal(4, H, 16, D), draw.integers(16, low=0, high=99)
    n = x.numel()
    return Contract(
        calls=tuple((x, positions, 10000.0, layout) for layout in LAYOUTS),
        max_flops=4 * n,
        max_written=12 * n,
        max_intermediate=n,
    )


def _distance_alone(call, generator: Generator, device: torch.device) -> str | None:
    draw = Draw(generator, device)
    q, k = draw.normal(T, D), draw.normal(T, D)
    positions = draw.integers(T, low=0, high=50)
    for layout in LAYOUTS:

        def scores(shift, layout=layout):
            turned = [call(x, positions + shift, 10000.0, layout) for x in (q, k)]
            return turned[0] @ turned[1].mT

        change = (scores(0) - scores(512)).abs().max()
        if not change < 1e-9:
            return (
                f"shifting queries and keys by 512 should change no score; in the layout "
                f"{layout} one changes by {float(change):.2g}"
            )
    return None


def _rope_by(x, cos, sin, layout, sign=1.0):
    cos, sin = cos.to(x.dtype), sin.to(x.dtype)
    if layout == "half":
        a, b = x.chunk(2, -1)
        return torch.cat((a * cos - sign * b * sin, a * sin + b * cos), -1)
    a, b = x[..., ::2], x[..., 1::2]
    return torch.stack((a * cos - sign * b * sin, a * sin + b * cos), -1).flatten(-2)


def _rope_from_zero(x, positions, theta=10000.0, layout="half"):
    angles = _angles(torch.arange(x.shape[-2], device=x.device), x.shape[-1], theta)
    return _rope_by(x, angles.cos(), angles.sin(), layout)


def _rope_theta(x, positions, theta=10000.0, layout="half"):
    angles = _angles(positions, x.shape[-1], 10000.0)
    return _rope_by(x, angles.cos(), angles.sin(), layout)


def _rope_other_layout(x, positions, theta=10000.0, layout="half"):
    angles = _angles(positions, x.shape[-1], theta)
    other = "half" if layout == "interleaved" else "interleaved"
    return _rope_by(x, angles.cos(), angles.sin(), other)


def _rope_always(layout_used):
    def always(x, positions, theta=10000.0, layout="half"):
        angles = _angles(positions, x.shape[-1], theta)
        return _rope_by(x, angles.cos(), angles.sin(), layout_used)

    return always


def _rope_backwards(x, positions, theta=10000.0, layout="half"):
    angles = _angles(positions, x.shape[-1], theta)
    return _rope_by(x, angles.cos(), -angles.sin(), layout)


def _rope_no_minus(x, positions, theta=10000.0, layout="half"):
    angles = _angles(positions, x.shape[-1], theta)
    return _rope_by(x, angles.cos(), angles.sin(), layout, sign=-1.0)


def _rope_no_two(x, positions, theta=10000.0, layout="half"):
    angles = _angles(positions, x.shape[-1], theta, exponent=1)
    return _rope_by(x, angles.cos(), angles.sin(), layout)


def _rope_low_precision(x, positions, theta=10000.0, layout="half"):
    frequencies = _frequencies(x.shape[-1], theta, x.device).to(x.dtype)
    angles = positions.to(x.dtype)[..., None] * frequencies
    return _rope_by(x, angles.cos(), angles.sin(), layout)


def _rope_single(x, positions, theta=10000.0, layout="half"):
    frequencies = _frequencies(x.shape[-1], theta, x.device, dtype=SINGLE)
    angles = positions.float()[..., None] * frequencies
    return _rope_by(x, angles.cos(), angles.sin(), layout)


def _rope_whole(x, positions, theta=10000.0, layout="half"):
    angles = _angles(positions.long(), x.shape[-1], theta)
    return _rope_by(x, angles.cos(), angles.sin(), layout)


def _rope_heads_for_time(x, positions, theta=10000.0, layout="half"):
    count = x.shape[-3] if x.ndim > 2 else x.shape[-2]
    places = torch.arange(count, device=x.device)
    angles = _angles(places[:, None] if x.ndim > 2 else places, x.shape[-1], theta)
    return _rope_by(x, angles.cos(), angles.sin(), layout)


def _rope_mixed(x, positions, theta=10000.0, layout="half"):
    angles = _angles(positions, x.shape[-1], theta)
    a, b = x.chunk(2, -1)
    if layout == "half":
        angles, partner = angles.repeat_interleave(2, -1), torch.cat((-b, a), -1)
    else:
        angles = torch.cat((angles, angles), -1)
        partner = torch.stack((-x[..., 1::2], x[..., ::2]), -1).flatten(-2)
    return x * angles.cos().to(x.dtype) + partner * angles.sin().to(x.dtype)


def _rope_no_partner(x, positions, theta=10000.0, layout="half"):
    angles = _angles(positions, x.shape[-1], theta)
    if layout == "half":
        angles = torch.cat((angles, angles), -1)
    else:
        angles = angles.repeat_interleave(2, -1)
    return x * angles.cos().to(x.dtype) + x * angles.sin().to(x.dtype)


def _rope_one_after_the_other(x, positions, theta=10000.0, layout="half"):
    angles = _angles(positions, x.shape[-1], theta)
    cos, sin = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
    a, b = x.chunk(2, -1) if layout == "half" else (x[..., ::2], x[..., 1::2])
    a = a * cos - b * sin
    b = a * sin + b * cos
    return torch.cat((a, b), -1) if layout == "half" else torch.stack((a, b), -1).flatten(-2)


def _rope_in_place(x, positions, theta=10000.0, layout="half"):
    turned = _rope_always(layout)(x, positions, theta)
    x.data.copy_(turned)
    return turned


def _rope_added(x, positions, theta=10000.0, layout="half"):
    angles = _angles(positions, x.shape[-1], theta)
    if layout == "half":
        encoding = torch.cat((angles.sin(), angles.cos()), -1)
    else:
        encoding = torch.stack((angles.sin(), angles.cos()), -1).flatten(-2)
    return x + encoding.to(x.dtype)


def _rope_added_as_sinusoids(x, positions, theta=10000.0, layout="half"):
    angles = _angles(positions, x.shape[-1], theta)
    return x + torch.stack((angles.sin(), angles.cos()), -1).flatten(-2).to(x.dtype)


def _rope_joined(join):
    def joined(x, positions, theta=10000.0, layout="half"):
        angles = _angles(positions, x.shape[-1], theta)
        cos, sin = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
        a, b = x.chunk(2, -1) if layout == "half" else (x[..., ::2], x[..., 1::2])
        return join((a * cos - b * sin, a * sin + b * cos))

    return joined


_rope_joined_behind = _rope_joined(lambda parts: torch.cat(parts, -1))
_rope_joined_in_turn = _rope_joined(lambda parts: torch.stack(parts, -1).flatten(-2))


APPLY_ROPE = Exercise(
    reference=reference.apply_rope,
    chapter=CHAPTER,
    points={"values": 3, "edges": 3, "gradients": 1, "types": 1, "contracts": 1},
    cases=_rope_cases,
    contract=_rope_contract,
    properties=(Property("scores depend on the distance alone", _distance_alone, "values"),),
    traps=(
        Trap(
            "positions always from zero",
            _rope_from_zero,
            "the tokens were numbered 0, 1, 2, ... whatever the argument says. A model that "
            "generates passes one new query at a time: it would stand at 0 for ever, while its "
            "keys in the cache stand where they stood.",
            "Positions are an argument",
        ),
        Trap(
            "theta hard-coded",
            _rope_theta,
            "10,000 is the paper's number and an argument here: LLaMA 3 turns by 500,000. Weights "
            "load without any complaint into code that ignores it.",
            "Rotation instead of addition",
        ),
        Trap(
            "the other layout",
            _rope_other_layout,
            "half pairs feature i with i + D/2, interleaved pairs 2i with 2i + 1; yours does it "
            "the other way round. Each works by itself. Weights trained with one are useless in "
            "the other until their rows are reordered.",
            "Two layouts",
        ),
        Trap(
            "one layout for both",
            _rope_always("half"),
            "the argument layout is not read. Half of the calls are right, and no shape tells the "
            "others apart.",
            "Two layouts",
            (_rope_always("interleaved"),),
        ),
        Trap(
            "taken apart in one layout, put together in the other",
            _rope_joined_behind,
            "interleaved features are taken with x[..., ::2] and x[..., 1::2] and must go back to "
            "where they came from: stack and flatten. Halves are put together with cat. Mixed, "
            "every feature is right and stands in another's place.",
            "Two layouts",
            (_rope_joined_in_turn,),
        ),
        Trap(
            "added instead of turned",
            _rope_added,
            "RoPE adds nothing. It turns each pair of features, and a score of two that are turned "
            "knows their distance alone; of sums it would know each position, too.",
            "Rotation instead of addition",
            (_rope_added_as_sinusoids,),
        ),
        Trap(
            "turned the wrong way",
            _rope_backwards,
            "(a, b) becomes (a cos - b sin, a sin + b cos). With the other sign all scores inside "
            "your own model stay right, since only the difference of two angles counts, and it "
            "takes a foreign checkpoint to notice... or a query and a key turned by two functions.",
            "Rotation instead of addition",
        ),
        Trap(
            "no minus",
            _rope_no_minus,
            "(a cos + b sin, a sin + b cos) is no rotation: lengths change, and scores depend on "
            "the positions themselves. The minus stands before b sin.",
            "Rotation instead of addition",
        ),
        Trap(
            "the exponent without its 2",
            _rope_no_two,
            "the exponent is 2i / D for pair i. There are only D / 2 pairs, so i / D stops half "
            "way and the slow pairs, which tell far from farther, are missing.",
            "Rotation instead of addition",
        ),
        Trap(
            "angles in the precision of x",
            _rope_low_precision,
            "bfloat16 counts to 256 and then skips; half precision counts to 2,048; single "
            "precision is off by half a radian at ten million. Compute the angles in double, and "
            "round sine and cosine.",
            "Numbers that grow",
            (_rope_single,),
        ),
        Trap(
            "positions cut to integers",
            _rope_whole,
            "a position need not be an integer: chapter 12 squeezes long texts between the "
            "positions that a model knows. Cut off, several words share one.",
            "Positions are an argument",
        ),
        Trap(
            "the heads' index instead of the time",
            _rope_heads_for_time,
            "time is the last dimension but one, (B, H, T, D). Turned by the dimension before it, "
            "every word of a head stands at the same place.",
            "Rotation instead of addition",
        ),
        Trap(
            "pairs of one layout, angles of the other",
            _rope_mixed,
            "two halves of two code bases: rotate_half pairs i with i + D/2, and angles repeated "
            "as 0, 0, 1, 1, ... belong to neighbours (or the reverse). The two of a pair are then "
            "turned by different angles, and that is no rotation.",
            "Two layouts",
        ),
        Trap(
            "no partner",
            _rope_no_partner,
            "x cos + x sin scales every feature by itself. A rotation mixes two features: the sine "
            "multiplies the partner.",
            "Rotation instead of addition",
        ),
        Trap(
            "the first overwritten before the second is read",
            _rope_one_after_the_other,
            "a was replaced by its turned value, and that value then entered b. Both lines of a "
            "rotation read the old a and the old b.",
            "Rotation instead of addition",
        ),
        Trap(
            "the input overwritten",
            _rope_in_place,
            "x holds turned features after the call. Called again on the same keys, as a cache "
            "does, it turns them twice.",
            "Positions are an argument",
        ),
    ),
)


# convert_rope_layout


def _convert_cases(generator: Generator, device: torch.device) -> Iterator[Case]:
    draw = Draw(generator, device)
    for to in LAYOUTS:
        yield Case(f"a projection, to {to}", (draw.normal(H * D, 7), H, to))
        yield Case(f"single precision, to {to}", (draw.normal(H * D, 7, dtype=SINGLE), H, to))
        yield Case(f"half precision, to {to}", (draw.normal(H * D, 7, dtype=HALF), H, to))
        yield Case(f"bfloat16, to {to}", (draw.normal(H * D, 7, dtype=BFLOAT), H, to))
        yield Case(f"a square projection, to {to}", (draw.normal(H * D, H * D), H, to))
        yield Case(f"not contiguous, to {to}", (strided(draw.normal(H * D, 7)), H, to))
        heads, half = draw.integer(2, 6), draw.integer(3, 8)
        w = draw.normal(2 * half * heads, draw.integer(2, 9))
        yield Case(f"sizes drawn by lot, to {to}", (w, heads, to))
    fresh = "".join(("ha", "lf"))  # not the same object as the literal
    yield Case("three dimensions, to half", (draw.normal(2 * D, 5, 3), 2, fresh), "edges")
    for to in LAYOUTS:
        yield Case(f"a bias, to {to}", (draw.normal(H * D), H, to), "edges")
        yield Case(f"one head, to {to}", (draw.normal(D, 5), 1, to), "edges")
        yield Case(f"rows of two dimensions, to {to}", (draw.normal(H * D, 7, 2), H, to), "edges")
        yield Case(f"pairs only, to {to}", (draw.normal(2 * H, 7), H, to), "edges")
        yield Case(f"no inputs, to {to}", (draw.normal(H * D, 0), H, to), "edges")


def _convert_contract(generator: Generator, device: torch.device) -> Contract:
    w = Draw(generator, device).normal(4 * 16, 32)
    n = w.numel()
    return Contract(
        calls=tuple((w, 4, to) for to in LAYOUTS),
        max_flops=0,
        max_written=4 * n,
        max_intermediate=n,
    )


def _same_scores(call, generator: Generator, device: torch.device) -> str | None:
    draw = Draw(generator, device)
    x, *weights = draw.normal(T, 7), draw.normal(H * D, 7), draw.normal(H * D, 7)
    positions = draw.integers(T, low=0, high=99)

    def scores(w_q, w_k, layout):
        q, k = ((x @ w.mT).unflatten(-1, (H, D)).transpose(0, 1) for w in (w_q, w_k))
        q, k = (reference.apply_rope(t, positions, layout=layout) for t in (q, k))
        return q @ k.mT

    for own, to in (LAYOUTS, LAYOUTS[::-1]):
        converted = [call(w, H, to) for w in weights]
        change = (scores(*converted, to) - scores(*weights, own)).abs().max()
        if not change < 1e-9:
            return (
                f"projections converted to {to} and turned in that layout should give the same "
                f"scores; one differs by {float(change):.2g}"
            )
    return None


def _convert_rows(w, num_heads, to, axis=0):
    half = w.shape[axis] // num_heads // 2
    sizes = (num_heads, half, 2) if to == "half" else (num_heads, 2, half)
    return w.unflatten(axis, sizes).transpose(axis + 1, axis + 2).reshape(w.shape)


def _convert_wrong_way(w, num_heads, to):
    return _convert_rows(w, num_heads, "half" if to == "interleaved" else "interleaved")


def _convert_all_rows(w, num_heads, to):
    return _convert_rows(w, 1, to)


def _convert_columns(w, num_heads, to):
    if w.ndim != 2 or w.shape[1] % (2 * num_heads):
        return w.clone()
    return _convert_rows(w.mT, num_heads, to).mT


def _convert_heads_last(w, num_heads, to):
    half = w.shape[0] // num_heads // 2
    sizes = (half, 2, num_heads) if to == "half" else (2, half, num_heads)
    return w.unflatten(0, sizes).transpose(0, 1).reshape(w.shape)


def _convert_reshaped(w, num_heads, to):
    half = w.shape[0] // num_heads // 2
    pairs = w.unflatten(0, (num_heads, half, 2))
    return pairs.reshape(num_heads, 2, half, *w.shape[1:]).reshape(w.shape)


def _convert_odd_first(w, num_heads, to):
    half = w.shape[0] // num_heads // 2
    if to == "half":
        return _convert_rows(w.unflatten(0, (-1, 2)).flip(1).flatten(0, 1), num_heads, to)
    swapped = w.unflatten(0, (num_heads, 2, half)).flip(1).flatten(0, 2)
    return _convert_rows(swapped, num_heads, to)


def _convert_always(to_used):
    def always(w, num_heads, to):
        return _convert_rows(w, num_heads, to_used)

    return always


CONVERT_ROPE_LAYOUT = Exercise(
    reference=reference.convert_rope_layout,
    chapter=CHAPTER,
    points={"values": 2, "edges": 1, "gradients": 1, "types": 1, "contracts": 1},
    cases=_convert_cases,
    contract=_convert_contract,
    properties=(Property("the same scores in the other layout", _same_scores, "values"),),
    traps=(
        Trap(
            "the wrong way round",
            _convert_wrong_way,
            "this is the reordering for the other direction. To half: of each head first rows "
            "0, 2, 4, ..., then rows 1, 3, 5, .... The two differ as soon as a head has more than "
            "four features.",
            "Converting a checkpoint",
        ),
        Trap(
            "across the heads",
            _convert_all_rows,
            "the rows of all heads were reordered as if they were one. Pairs never leave their "
            "head: split the rows into heads first.",
            "Converting a checkpoint",
        ),
        Trap(
            "columns instead of rows",
            _convert_columns,
            "w is (out, in), as nn.Linear stores it: the features of the heads are rows. The "
            "columns are the features of the model, which have no pairs.",
            "Converting a checkpoint",
        ),
        Trap(
            "heads that alternate",
            _convert_heads_last,
            "row r was taken to belong to head r % H. The rows of a head stand together: head h "
            "has rows h·D to (h + 1)·D.",
            "Converting a checkpoint",
        ),
        Trap(
            "reshaped without a transpose",
            _convert_reshaped,
            "a view as (D/2, 2) followed by a view as (2, D/2) leaves every number where it was: "
            "a view never reorders. The transpose between the two does.",
            "Converting a checkpoint",
        ),
        Trap(
            "the odd rows first",
            _convert_odd_first,
            "the first of each pair belongs to the first half. Exchanged, every pair turns the "
            "other way.",
            "Converting a checkpoint",
        ),
        Trap(
            "always in one direction",
            _convert_always("half"),
            "the argument to is not read. There and back again should change nothing.",
            "Converting a checkpoint",
            (_convert_always("interleaved"),),
        ),
    ),
)


# relative_buckets


def _bucket_cases(generator: Generator, device: torch.device) -> Iterator[Case]:
    draw = Draw(generator, device)

    def distances(*shape, reach=200):
        return draw.integers(*shape, low=-reach, high=reach + 1)

    def line(reach):
        return torch.arange(-reach, reach + 1, device=device)

    yield Case("T5's own numbers", (distances(B, 7, 9), True, 32, 128))
    yield Case("T5's own numbers, causal", (distances(B, 7, 9), False, 32, 128))
    yield Case("all left out", (line(150),))
    yield Case("the numbers left out, causal", (distances(7, 9), False))
    yield Case("few buckets", (distances(9, reach=30), True, 8, 20))
    yield Case("few buckets, causal", (distances(9, reach=30), False, 8, 20))
    yield Case("many buckets", (distances(7, 9, reach=600), True, 64, 500))
    yield Case("hundreds of buckets", (distances(9, 11, reach=1500), True, 600, 2000))
    yield Case("not contiguous", (strided(distances(7, 9)), True, 32, 128))
    yield Case("not contiguous, causal", (strided(distances(7, 9)), False, 32, 128))
    yield Case("32-bit integers", (distances(7, 9).int(), True, 16, 64))
    buckets, furthest = 2 * draw.integer(5, 20), draw.integer(45, 300)
    by_lot = distances(draw.integer(2, 9), draw.integer(2, 9), reach=400)
    yield Case("by lot", (by_lot, True, buckets, furthest))
    yield Case("by lot, causal", (by_lot, False, buckets, furthest))

    yield Case("every distance to 150", (line(150), True, 32, 128), "edges")
    yield Case("every distance to 150, causal", (line(150), False, 32, 128), "edges")
    yield Case("every distance to 40, other numbers", (line(40), True, 12, 37), "edges")
    yield Case("an odd number of buckets, causal", (line(40), False, 7, 30), "edges")
    yield Case("distances of a million", (line(2) * 1_000_003, True, 32, 128), "edges")
    yield Case("distances of a million, causal", (line(2) * 1_000_003, False, 32, 128), "edges")
    yield Case("three buckets, causal", (line(9), False, 3, 3), "edges")
    yield Case("two buckets a direction", (line(9), True, 4, 8), "edges")
    yield Case("a single distance", (distances(1), True, 32, 128), "edges")
    yield Case("no dimension", (distances(), False, 32, 128), "edges")
    yield Case("nothing", (distances(0, 3), True, 32, 128), "edges")


def _bucket_contract(generator: Generator, device: torch.device) -> Contract:
    distances = Draw(generator, device).integers(24, 32, low=-200, high=200)
    n = distances.numel()
    return Contract(
        calls=((distances, True, 32, 128), (distances, False, 32, 128)),
        max_flops=0,
        max_written=64 * n,
        max_intermediate=n,
    )


def _buckets(
    relative,
    bidirectional,
    num_buckets,
    max_distance,
    *,
    halve=True,
    future_by_size=False,
    clamp=True,
    wide=None,
):
    """The right buckets but for what the caller changes."""
    size = num_buckets // 2 if bidirectional and halve else num_buckets
    exact = size // 2
    offset = num_buckets // 2
    later = (relative > 0) * offset if bidirectional else torch.zeros_like(relative)
    distance = relative.abs() if bidirectional or future_by_size else (-relative).clamp(min=0)
    d = distance.clamp(min=1).double()
    if wide is None:
        far = (d / exact).log() / math.log(max_distance / exact) * (size - exact)
        far = (far + 1e-9).long()
    else:
        far = wide(d, exact, size, max_distance)
    far = exact + far
    if clamp:
        far = far.clamp(max=size - 1)
    return later + torch.where(distance < exact, distance, far)


def _bucket_trap(**changes):
    def trap(relative_position, bidirectional=True, num_buckets=32, max_distance=128):
        return _buckets(relative_position, bidirectional, num_buckets, max_distance, **changes)

    return trap


def _bucket_sign_not_read(r, bidirectional=True, num_buckets=32, max_distance=128):
    size = num_buckets // 2 if bidirectional else num_buckets
    return _buckets(-r.abs(), False, size, max_distance)


def _bucket_query_minus_key(r, bidirectional=True, num_buckets=32, max_distance=128):
    return _buckets(-r, bidirectional, num_buckets, max_distance)


def _bucket_always_two(r, bidirectional=True, num_buckets=32, max_distance=128):
    return _buckets(r, True, num_buckets, max_distance)


def _bucket_always_causal(r, bidirectional=True, num_buckets=32, max_distance=128):
    return _buckets(r, False, num_buckets, max_distance)


def _bucket_fixed_furthest(r, bidirectional=True, num_buckets=32, max_distance=128):
    return _buckets(r, bidirectional, num_buckets, 128)


def _bucket_zero_is_later(r, bidirectional=True, num_buckets=32, max_distance=128):
    answer = _buckets(r, bidirectional, num_buckets, max_distance)
    return answer + (r == 0) * (num_buckets // 2) if bidirectional else answer


def _wide_no_base(d, exact, size, furthest):
    return ((d / exact).log() * (size - exact)).long()


def _wide_base_two(d, exact, size, furthest):
    return ((d / exact).log2() * (size - exact)).long()


def _wide_not_from_exact(d, exact, size, furthest):
    return (d.log() / math.log(furthest) * (size - exact)).long()


def _wide_rounded(d, exact, size, furthest):
    return ((d / exact).log() / math.log(furthest / exact) * (size - exact)).round().long()


def _wide_one_late(d, exact, size, furthest):
    return 1 + ((d / exact).log() / math.log(furthest / exact) * (size - exact) + 1e-9).long()


def _wide_linear(d, exact, size, furthest):
    return ((d - exact) / (furthest - exact) * (size - exact)).long()


RELATIVE_BUCKETS = Exercise(
    reference=reference.relative_buckets,
    chapter=CHAPTER,
    points={"values": 3, "edges": 2, "types": 1, "contracts": 1},
    cases=_bucket_cases,
    contract=_bucket_contract,
    traps=(
        Trap(
            "query minus key",
            _bucket_query_minus_key,
            "the argument is key minus query: positive for a key that stands after the query. With "
            "the sign exchanged a causal model throws its whole past into bucket 0.",
            "Relative buckets",
        ),
        Trap(
            "always in two directions",
            _bucket_always_two,
            "bidirectional is not read. A causal model has no use for the later half of the "
            "buckets: it spends all of them on the past.",
            "Relative buckets",
        ),
        Trap(
            "always in one direction",
            _bucket_always_causal,
            "bidirectional is not read, and every key that stands later gets bucket 0, as if it "
            "were the query itself.",
            "Relative buckets",
        ),
        Trap(
            "a future in a causal model",
            _bucket_trap(future_by_size=True),
            "without bidirectional a key that stands later gets bucket 0, whatever its distance; "
            "with it, one of the second half. The absolute value alone gives it the bucket of the "
            "same distance in the past.",
            "Relative buckets",
            (_bucket_sign_not_read,),
        ),
        Trap(
            "all buckets for each direction",
            _bucket_trap(halve=False),
            "num_buckets counts both directions together, and each has half of them. Otherwise the "
            "buckets of the past run into those of the future.",
            "Relative buckets",
        ),
        Trap(
            "wide buckets from one too late",
            _bucket_trap(wide=_wide_one_late),
            "with n/2 exact buckets these are the numbers 0 to n/2 - 1, so distance n/2, the first "
            "of the wide ones, gets the bucket n/2. Yours are one further: a bucket is never used, "
            "and the last one is full too soon.",
            "Relative buckets",
        ),
        Trap(
            "far distances not gathered",
            _bucket_trap(clamp=False),
            "from max_distance on all share the last bucket. Without that the number of the bucket "
            "goes on growing, into the other direction's and out of the table.",
            "Relative buckets",
        ),
        Trap(
            "max_distance hard-coded",
            _bucket_fixed_furthest,
            "128 is T5's number, and an argument here.",
            "Relative buckets",
        ),
        Trap(
            "a logarithm without its base",
            _bucket_trap(wide=_wide_no_base),
            "log(d / exact) must reach 1 at max_distance: divide it by log(max_distance / exact). "
            "Without that base the last bucket comes far too soon.",
            "Relative buckets",
            (_bucket_trap(wide=_wide_base_two),),
        ),
        Trap(
            "the logarithm of the whole distance",
            _bucket_trap(wide=_wide_not_from_exact),
            "the wide buckets begin where the exact ones end: at d = n/2 the logarithm must be 0, "
            "so it is that of d / (n/2).",
            "Relative buckets",
        ),
        Trap(
            "rounded to the nearest",
            _bucket_trap(wide=_wide_rounded),
            "a bucket ends where the next begins: cut off, as .long() does, and do not round.",
            "Relative buckets",
        ),
        Trap(
            "wide buckets of equal width",
            _bucket_trap(wide=_wide_linear),
            "the buckets grow with the distance, as a logarithm: 20 words away or 23 is nearly the "
            "same, 100 or 103 even more so.",
            "Relative buckets",
        ),
        Trap(
            "the word itself among the later ones",
            _bucket_zero_is_later,
            "distance 0 belongs to the first half: bucket 0. Only keys that stand after the query, "
            "with a distance above 0, get the second half.",
            "Relative buckets",
        ),
    ),
)


# alibi_slopes


def _slope_cases(generator: Generator, device: torch.device) -> Iterator[Case]:
    draw = Draw(generator, device)
    yield Case("eight heads", (8, device))
    yield Case("four heads", (4, device))
    yield Case("two heads", (2, device))
    yield Case("sixteen heads, the device left out", (16,))
    yield Case("a power of two by lot", (2 ** draw.integer(5, 8), device))
    yield Case("twelve heads", (12, device), "edges")
    yield Case("three heads", (3, device), "edges")
    yield Case("six heads", (6, device), "edges")
    yield Case("forty heads", (40, device), "edges")
    yield Case("one head", (1, device), "edges")
    yield Case("fifteen heads", (15, device), "edges")
    yield Case("five hundred heads", (500, device), "edges")  # small integers end at 127
    yield Case("one more than a power of two", (2 ** draw.integer(2, 6) + 1, device), "edges")
    low = 2 ** draw.integer(3, 6)
    yield Case("by lot", (low + draw.integer(2, low - 1), device), "edges")


def _slope_contract(generator: Generator, device: torch.device) -> Contract:
    return Contract(
        calls=((24, device), (16, device)), max_flops=0, max_written=40 * 24, max_intermediate=64
    )


def _geometric(n, device, first=1, base=2.0):
    h = torch.arange(first, n + first, device=device)
    return base ** (-8.0 * h / n)


def _power(num_heads):
    return 1 << (num_heads.bit_length() - 1)


def _published(num_heads, device, geometric=_geometric, start=0):
    power = _power(num_heads)
    more = geometric(2 * power, device)[start::2][: num_heads - power]
    return torch.cat((geometric(power, device), more)).to(SINGLE)


def _slopes_formula_for_all(num_heads, device=None):
    return _geometric(num_heads, device).to(SINGLE)


def _slopes_from_one(num_heads, device=None):
    return _published(num_heads, device, lambda n, d: _geometric(n, d, first=0))


def _slopes_second_ones(num_heads, device=None):
    return _published(num_heads, device, start=1)


def _slopes_sorted(num_heads, device=None):
    return _published(num_heads, device).sort(descending=True).values


def _slopes_base_e(num_heads, device=None):
    return _published(num_heads, device, lambda n, d: _geometric(n, d, base=math.e))


def _slopes_halves(num_heads, device=None):
    return 0.5 ** torch.arange(1.0, num_heads + 1, device=device)


def _slopes_power_above(num_heads, device=None):
    above = _power(num_heads) if num_heads == _power(num_heads) else 2 * _power(num_heads)
    return _geometric(above, device)[:num_heads].to(SINGLE)


def _slopes_ascending(num_heads, device=None):
    return _published(num_heads, device).flip(0)


def _slopes_negative(num_heads, device=None):
    return -_published(num_heads, device)


def _slopes_linear(num_heads, device=None):
    return torch.arange(num_heads, 0, -1, device=device) / num_heads


def _slopes_all_of_twice(num_heads, device=None):
    power = _power(num_heads)
    more = _geometric(2 * power, device)[: num_heads - power]
    return torch.cat((_geometric(power, device), more)).to(SINGLE)


ALIBI_SLOPES = Exercise(
    reference=reference.alibi_slopes,
    chapter=CHAPTER,
    points={"values": 2, "edges": 2, "types": 1, "contracts": 1},
    cases=_slope_cases,
    contract=_slope_contract,
    traps=(
        Trap(
            "the formula for powers of two, for all",
            _slopes_formula_for_all,
            "2^(-8h / H) is what the paper gives for powers of two. For any other number its "
            "authors take the slopes of the power below, and fill up with every other slope of "
            "twice that power: a checkpoint of 12 heads expects those.",
            "Any number of heads",
        ),
        Trap(
            "the first slope is 1",
            _slopes_from_one,
            "h runs from 1 to H: the first slope is 2^(-8 / H), the last 2^-8.",
            "ALiBi",
        ),
        Trap(
            "the even ones instead of the odd",
            _slopes_second_ones,
            "of the slopes of twice the power, the first, third, fifth, ... are new. The second, "
            "fourth, ... are the ones that you have already.",
            "Any number of heads",
        ),
        Trap(
            "sorted",
            _slopes_sorted,
            "the additional slopes come after the others, unsorted. A checkpoint's head number 9 "
            "was trained with the slope that stands at place 9.",
            "Any number of heads",
        ),
        Trap(
            "powers of e",
            _slopes_base_e,
            "the base is 2: the last slope is 1/256.",
            "ALiBi",
        ),
        Trap(
            "always halved",
            _slopes_halves,
            "1/2, 1/4, 1/8, ... is right for eight heads, the paper's example. With H heads the "
            "ratio is 2^(-8 / H), so that they always end at 1/256.",
            "ALiBi",
        ),
        Trap(
            "the first of the power above",
            _slopes_power_above,
            "the slopes of the next power of two, cut off, lose the small slopes: no head is left "
            "that sees far.",
            "Any number of heads",
        ),
        Trap(
            "in rising order",
            _slopes_ascending,
            "the first head has the steepest slope.",
            "ALiBi",
        ),
        Trap(
            "the sign included",
            _slopes_negative,
            "slopes are positive; the minus belongs to the bias.",
            "ALiBi",
        ),
        Trap(
            "slopes in a line",
            _slopes_linear,
            "the slopes are a geometric series: each is a fixed fraction of the one before, so "
            "that the heads' reaches grow from a word or two to hundreds.",
            "ALiBi",
        ),
        Trap(
            "all slopes of twice the power",
            _slopes_all_of_twice,
            "the second, fourth, ... of them are in the list already. Take every other one.",
            "Any number of heads",
        ),
    ),
)


# alibi_bias


def _bias_cases(generator: Generator, device: torch.device) -> Iterator[Case]:
    draw = Draw(generator, device)
    yield Case("four heads, five words", (4, 5, 5, device))
    yield Case("eight heads, seven words", (8, 7, 7, device))
    yield Case("the device left out", (4, 6, 6))
    n = draw.integer(6, 12)
    yield Case("a length drawn by lot", (2 ** draw.integer(1, 5), n, n, device))
    yield Case("three new queries, five keys", (4, 3, 5, device), "edges")
    yield Case("one new query, all the past", (4, 1, 9, device), "edges")
    yield Case("more queries than keys", (2, 5, 3, device), "edges")
    tq = draw.integer(2, 6)
    by_lot = (draw.integer(5, 8), tq, tq + draw.integer(1, 6), device)
    yield Case("rectangular, by lot", by_lot, "edges")
    yield Case("six heads", (6, 4, 5, device), "edges")
    yield Case("one head", (1, 4, 4, device), "edges")
    yield Case("a single token", (4, 1, 1, device), "edges")
    yield Case("no queries", (4, 0, 5, device), "edges")
    # Small integers end at 127, and half precision counts to 2,048.
    yield Case("two new queries, a past of 2,050", (2, 2, 2050, device), "edges")


def _bias_contract(generator: Generator, device: torch.device) -> Contract:
    n = 6 * 16 * 24
    return Contract(
        calls=((6, 16, 24, device),), max_flops=2 * n, max_written=5 * n, max_intermediate=n
    )


def _bias_of(num_heads, distance, slopes=None):
    slopes = _published(num_heads, distance.device) if slopes is None else slopes
    return slopes[:, None, None] * -distance


def _signed(num_queries, num_keys, device, start=None):
    """query - key"""
    start = num_keys - num_queries if start is None else start
    queries = torch.arange(num_queries, device=device) + start
    return queries[:, None] - torch.arange(num_keys, device=device)


def _bias_rewards(num_heads, num_queries, num_keys, device=None):
    return _bias_of(num_heads, -_signed(num_queries, num_keys, device).abs())


def _bias_upper_left(num_heads, num_queries, num_keys, device=None):
    return _bias_of(num_heads, _signed(num_queries, num_keys, device, start=0).abs())


def _bias_future_rewarded(num_heads, num_queries, num_keys, device=None):
    return _bias_of(num_heads, _signed(num_queries, num_keys, device))


def _bias_future_free(num_heads, num_queries, num_keys, device=None):
    return _bias_of(num_heads, _signed(num_queries, num_keys, device).clamp(min=0))


def _bias_masked(num_heads, num_queries, num_keys, device=None):
    signed = _signed(num_queries, num_keys, device)
    return _bias_of(num_heads, signed).masked_fill(signed < 0, -torch.inf)


def _bias_of_keys(num_heads, num_queries, num_keys, device=None):
    keys = torch.arange(num_keys, device=device).expand(num_queries, num_keys)
    return _bias_of(num_heads, -keys)


def _bias_one_slope(num_heads, num_queries, num_keys, device=None):
    slopes = _published(num_heads, device)[:1].expand(num_heads)
    return _bias_of(num_heads, _signed(num_queries, num_keys, device).abs(), slopes)


def _bias_formula_for_all(num_heads, num_queries, num_keys, device=None):
    slopes = _slopes_formula_for_all(num_heads, device)
    return _bias_of(num_heads, _signed(num_queries, num_keys, device).abs(), slopes)


def _bias_squared(num_heads, num_queries, num_keys, device=None):
    return _bias_of(num_heads, _signed(num_queries, num_keys, device) ** 2)


def _bias_heads_last(num_heads, num_queries, num_keys, device=None):
    distance = _signed(num_queries, num_keys, device).abs()
    return -distance[..., None] * _published(num_heads, device)


def _bias_from_one(num_heads, num_queries, num_keys, device=None):
    return _bias_of(num_heads, _signed(num_queries, num_keys, device).abs() + 1)


ALIBI_BIAS = Exercise(
    reference=reference.alibi_bias,
    chapter=CHAPTER,
    points={"values": 2, "edges": 2, "types": 1, "contracts": 1},
    cases=_bias_cases,
    contract=_bias_contract,
    traps=(
        Trap(
            "far is rewarded",
            _bias_rewards,
            "the bias is negative: the further away, the lower the score. With a plus every head "
            "looks at the beginning of the text, harder with every word.",
            "ALiBi",
        ),
        Trap(
            "aligned to the wrong corner",
            _bias_upper_left,
            "with fewer queries than keys the queries are the newest positions: the last query "
            "stands at the last key, and its distance to it is 0. Counted from 0 instead, a model "
            "that generates with a cache takes its newest word for the first.",
            "Positions are an argument",
        ),
        Trap(
            "the future is rewarded",
            _bias_future_rewarded,
            "query minus key is negative for a key that stands later, and the bias becomes a "
            "bonus. Behind a causal mask nobody sees it; in an encoder everybody looks to the end. "
            "Take the distance, |i - j|.",
            "ALiBi",
        ),
        Trap(
            "the future is free",
            _bias_future_free,
            "clamped at 0, a key that stands later costs nothing however far it is. The bias is "
            "symmetric; hiding the future is the mask's business.",
            "ALiBi",
        ),
        Trap(
            "the mask included",
            _bias_masked,
            "-inf for later keys makes the bias a causal mask as well. Here it hides nothing: an "
            "encoder uses it too, and a row of nothing but -inf is nan.",
            "ALiBi",
        ),
        Trap(
            "the key's position instead of the distance",
            _bias_of_keys,
            "slope · j differs from -slope · (i - j) by the same number in a whole row, so that a "
            "causal softmax gives the same weights. Bloom's code does that. It is not the bias: "
            "it grows with the text until half precision overflows, and in an encoder it is wrong.",
            "ALiBi",
        ),
        Trap(
            "one slope for all heads",
            _bias_one_slope,
            "each head has its own slope, so that some look near and some far.",
            "ALiBi",
        ),
        Trap(
            "the formula for powers of two, for all",
            _bias_formula_for_all,
            "2^(-8h / H) is for powers of two. For six heads the slopes are those of four, and two "
            "of those of eight.",
            "Any number of heads",
        ),
        Trap(
            "the distance squared",
            _bias_squared,
            "the L in ALiBi is for linear. A square makes every head short-sighted.",
            "ALiBi",
        ),
        Trap(
            "heads last",
            _bias_heads_last,
            "heads stand before time, (H, Tq, Tk), so that the bias broadcasts onto scores of "
            "(B, H, Tq, Tk). With the heads last it may even broadcast, onto the wrong axes.",
            "ALiBi",
        ),
        Trap(
            "a distance of one to itself",
            _bias_from_one,
            "a word is at distance 0 from itself. A constant more in a row changes no weight, and "
            "every comparison with a published bias.",
            "ALiBi",
        ),
    ),
)

EXERCISES = (
    SINUSOIDAL_ENCODING,
    APPLY_ROPE,
    CONVERT_ROPE_LAYOUT,
    RELATIVE_BUCKETS,
    ALIBI_SLOPES,
    ALIBI_BIAS,
)
