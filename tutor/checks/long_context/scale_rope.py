"""What ``scale_rope`` must satisfy, and the wrong answers that people give."""

from collections.abc import Iterator

import torch
from torch import Generator

from tutor import long_context as reference
from tutor.checks.changes import changeable
from tutor.checks.conditions import Condition, Crossed, Factor, Family, Row, pair
from tutor.checks.draw import Draw
from tutor.checks.exercise import Case, Contract, Exercise, Property, Trap
from tutor.checks.long_context.shared import CHAPTER, SCALED

_METHOD = Factor(
    "method",
    (
        Condition("linear", value="linear"),
        Condition("ntk", "the base stretched", "ntk", alone=True),
    ),
)
_FACTOR = Factor(
    "factor",
    (
        Condition("two", value=2.0),
        Condition("five", "a factor of five", 5.0),
        Condition("of one", "a factor of one", 1.0, edge=True, alone=True),
        Condition("between", "a factor of 1.7", 1.7),
    ),
)
_LENGTH = Factor(
    "length",
    (
        Condition("twice", value=(1024, 512)),
        Condition("far", "forty times the trained length", (20_480, 512), alone=True),
        Condition("as trained", "exactly the trained length", (512, 512), edge=True, alone=True),
        Condition("short", "less than the trained length", (70, 512), edge=True, alone=True),
        Condition("one more", "one token more than trained", (513, 512)),
    ),
)
_WIDTH = Factor(
    "width",
    (
        Condition("ten", value=10),
        Condition("four", "four features", 4),
        Condition("sixty-four", "64 features", 64),
        Condition("a pair", "a single pair", 2, edge=True),
    ),
)
_THETA = Factor(
    "theta",
    (
        Condition("theta left out", value=()),
        Condition("another theta", "another theta", (500.0,), alone=True),
        Condition("of SmolLM2", "a theta of 100,000", (100_000.0,)),
    ),
)
_DEVICE = Factor(
    "device", (Condition("device left out", value=False), Condition("device given", value=True))
)
FAMILY = Family(
    (_METHOD, _FACTOR, _LENGTH, _WIDTH, _THETA, _DEVICE),
    apart={pair("ntk", "a pair"): "with a single pair there is none that stays as it is"},
)


def _arguments(draw: Draw, row: Row) -> tuple:
    theta = row["theta"]
    if row["device"] or draw.device.type != "cpu":  # it stands behind theta
        theta = (*(theta or (10_000.0,)), draw.device)
    return row["width"], row["factor"], row["method"], *row["length"], *theta


def _by_hand(draw: Draw) -> Iterator[Case]:
    yield Case("the first example of the text", (4, 2.0, "linear", 9, 9, 16.0, draw.device))
    yield Case("the second example of the text", (4, 1.0, "ntk", 20, 10, 16.0, draw.device))
    for method in ("linear", "ntk"):
        width, factor = 2 * draw.integer(2, 12), 1 + draw.integer(1, 70) / 10
        trained = draw.integer(20, 90)
        length, theta = trained + draw.integer(5, 300), float(draw.integer(50, 5000))
        sizes = width, factor, method, length, trained, theta, draw.device
        yield Case(f"{method}, sizes drawn by lot", sizes)
    for label, changed in (
        ("another method", (8, 2.0, "yarn", 40, 20)),
        ("a factor below 1", (8, 0.5, "linear", 40, 20)),
        ("an odd width", (7, 2.0, "linear", 40, 20)),
        ("a single pair, stretched", (2, 2.0, "ntk", 40, 20)),
    ):
        yield Case(f"{label} must raise ValueError", changed, "edges", ValueError)


CASES = Crossed(FAMILY, _arguments, _by_hand, usual="ten features, twice the length")


def _quick_and_slow(call, generator: Generator, device: torch.device) -> str | None:
    plain = call(32, 1.0, "ntk", 512, 512, 10_000.0, device)
    longer = call(32, 1.0, "ntk", 2048, 512, 10_000.0, device)
    stretch = plain / longer
    if not (stretch[0] - 1).abs() < 1e-9:
        return f"the quickest pair should keep its angle; it is divided by {float(stretch[0]):.3g}"
    if not (stretch[-1] - 4).abs() < 1e-9:
        return (
            "four times as long a text should stretch the slowest pair fourfold, with a factor of "
            f"1; it is divided by {float(stretch[-1]):.3g}"
        )
    return None


def _contract(generator: Generator, device: torch.device) -> Contract:
    return Contract(calls=((32, 2.0, "ntk", 900, 512, 10_000.0, device),))


def _required(width, factor, method):
    if method not in ("linear", "ntk") or factor < 1 or width < 2 or width % 2:
        raise ValueError(f"width {width}, factor {factor}, method {method!r}")
    if width == 2 and method == "ntk":
        raise ValueError("a single pair")


def _at_least_as_trained(length, trained):
    return max(length, trained) / trained


def _grown(factor, share):
    return factor * share - (factor - 1)


def _power(width):
    return width / (width - 2)


def _exponents(width, device):
    return -torch.arange(0, width, 2, device=device, dtype=torch.float64) / width


def _divided(frequencies, factor, method, theta, width, share):
    return frequencies / factor if method == "linear" else frequencies


def _stretched(theta, growth, power, method):
    return theta * growth**power if method == "ntk" else theta


def _as_it_is(x):
    return x


def _frequencies(
    width,
    factor,
    method,
    length,
    trained_length,
    theta=10_000.0,
    device=None,
    refuse=_required,
    base=_as_it_is,
    share=_at_least_as_trained,
    grow=_grown,
    power=_power,
    stretch=_stretched,
    exponents=_exponents,
    scale=_divided,
    end=_as_it_is,
):
    """The right ones, but for the parts that are given."""
    refuse(width, factor, method)
    theta, longer = base(theta), share(length, trained_length)
    about = stretch(theta, grow(factor, longer), power(width) if width > 2 else 0.0, method)
    found = about ** exponents(width, device)
    return end(scale(found, factor, method, theta, width, longer))


_with = changeable(_frequencies)


def _scaled(change):
    """``change(frequencies, factor, share)`` in the place of the division, if linear."""
    return _with(
        scale=lambda f, factor, method, theta, width, share: (
            change(f, factor, share) if method == "linear" else f
        )
    )


def _in_single(width, device):
    return -torch.arange(0, width, 2, device=device, dtype=torch.float32) / width


SCALE_ROPE = Exercise(
    reference=reference.scale_rope,
    chapter=CHAPTER,
    points={"values": 3, "edges": 3, "types": 1},
    cases=CASES,
    contract=_contract,
    outputs=("frequencies",),
    properties=(Property("quick and slow", _quick_and_slow, "values"),),
    traps=(
        Trap(
            "multiplied instead of divided",
            _scaled(lambda f, factor, share: f * factor),
            "a text that is `factor` times too long is to fit into the trained positions: position "
            "p is turned as p / factor was. Multiplied, neighbours move apart and the text runs "
            "out of what was trained even sooner.",
            SCALED,
        ),
        Trap(
            "divided by the length's share",
            _scaled(lambda f, factor, share: f / share),
            "linear scaling divides by the factor that the model was given, whatever the length of "
            "this text. Otherwise a cached key would have to be turned again with every token.",
            SCALED,
        ),
        Trap(
            "the base stretched linearly",
            _with(
                scale=lambda f, factor, method, theta, width, share: f,
                stretch=lambda theta, growth, power, method: (
                    theta * growth**power if method == "ntk" else theta
                ),
            ),
            "linear scaling left the frequencies as they were. All of them are divided by factor.",
            SCALED,
        ),
        Trap(
            "both scaled linearly",
            _with(scale=lambda f, factor, method, theta, width, share: f / factor),
            "the NTK form changes the base and nothing else. Dividing as well stretches every pair "
            "twice.",
            SCALED,
            (
                _with(
                    scale=lambda f, factor, method, theta, width, share: f / factor,
                    stretch=lambda theta, growth, power, method: theta,
                ),
            ),
        ),
        Trap(
            "one constant for every length",
            _with(grow=lambda factor, share: factor),
            "the base was stretched by the factor, whatever the length of the text. That is the "
            "static form: it changes texts that fitted, too, and stops at factor times the trained "
            "length. Here the base grows with the text.",
            SCALED,
            (_with(grow=lambda factor, share: factor if share > 1 else 1.0),),
        ),
        Trap(
            "short texts changed",
            _with(share=lambda length, trained: length / trained),
            "a text within the trained length needs nothing: up to it the base is theta. "
            "max(length, trained_length) takes care of it; without it the base shrinks, and the "
            "number under the power may be negative.",
            SCALED,
        ),
        Trap(
            "the factor left out",
            _with(grow=lambda factor, share: share),
            "the growth is factor · length / trained_length - (factor - 1): 1 at the trained "
            "length, and beyond it the steeper the larger the factor.",
            SCALED,
            (_with(grow=lambda factor, share: factor * share),),
        ),
        Trap(
            "the growth without its power",
            _with(power=lambda width: 1.0),
            "the slowest pair has the exponent (width - 2) / width, not 1. The power width / "
            "(width - 2) makes up for it, so that exactly this pair is stretched by the growth.",
            SCALED,
            (
                _with(power=lambda width: (width - 2) / width),
                _with(power=lambda width: width / (width - 1)),
                _with(power=lambda width: width),
            ),
        ),
        Trap(
            "exponents of half",
            _with(
                exponents=lambda width, device: (
                    -torch.arange(width // 2, device=device, dtype=torch.float64) / width
                )
            ),
            "pair i has the exponent 2i / width: over all pairs they go from 0 to nearly 1.",
            SCALED,
        ),
        Trap(
            "exponents with the other sign",
            _with(
                exponents=lambda width, device: (
                    torch.arange(0, width, 2, device=device, dtype=torch.float64) / width
                )
            ),
            "the exponent is negative: the first pair turns by 1 a position and the last one by "
            "nearly 1 / base. Without the minus the last turns nearly base times a position.",
            SCALED,
        ),
        Trap(
            "theta built in",
            _with(base=lambda theta: 10_000.0),
            "theta is an argument: SmolLM2 has 100,000.",
            SCALED,
        ),
        Trap(
            "wavelengths instead of angles",
            _with(end=lambda f: 1 / f),
            "asked for is by how much a pair turns at one position, not after how many positions "
            "it has turned.",
            SCALED,
            (_with(end=lambda f: 2 * torch.pi / f),),
        ),
        Trap(
            "one for each feature",
            _with(end=lambda f: torch.cat((f, f))),
            "two features turn together: there are width / 2 angles. Code that keeps them twice "
            "does so for its layout.",
            SCALED,
            (_with(end=lambda f: f.repeat_interleave(2)),),
        ),
        Trap(
            "in single precision",
            _with(exponents=_in_single),
            "positions of a long text are large, and so is what an error in the angle grows to: "
            "in single precision it is 0.06 at a million. Compute in double.",
            SCALED,
            (
                _with(end=lambda f: f.float()),
                _with(exponents=lambda width, device: _in_single(width, device).double()),
            ),
            precision=True,
        ),
        Trap(
            "all accepted",
            _with(refuse=lambda width, factor, method: None),
            "another method, a factor below 1, an odd width or a single pair with ntk has no "
            "meaning. Raise a ValueError that tells the value.",
            SCALED,
            (
                _with(refuse=lambda width, factor, method: _required(width, 2.0, method)),
                _with(refuse=lambda width, factor, method: _required(10, factor, method)),
                _with(refuse=lambda width, factor, method: _required(width, factor, "linear")),
            ),
        ),
    ),
)
