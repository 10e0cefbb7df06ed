"""What ``swiglu`` must satisfy, and the wrong answers that people give."""

from collections.abc import Iterator

import torch
from torch import Generator, Tensor
from torch.nn import functional

from tutor import families as reference
from tutor.checks.conditions import Condition, Crossed, Factor, Family, Row
from tutor.checks.crossings import BATCH, DTYPE, LAYOUT, SCALE
from tutor.checks.draw import DOUBLE, Draw, laid
from tutor.checks.exercise import Case, Contract, Exercise, Property, Trap
from tutor.checks.families import gates
from tutor.checks.families.gates import with_
from tutor.checks.families.shared import CHAPTER, COUT, GATED, B, C, F, T
from tutor.checks.limits import between
from tutor.checks.transformer import feeds

_SIZES = Factor(
    "sizes",
    (
        Condition("several", value=(T, C, F, COUT)),
        Condition("as wide as x", "as wide as x", (T, C, F, C)),
        Condition("all widths", "all widths equal", (T, C, C, C)),
        Condition("as many tokens", "as many tokens as features", (C, C, F, C)),
        Condition("one token", "a single token", (1, C, F, COUT), edge=True),
        Condition("one hidden", "one hidden feature", (T, C, 1, COUT), edge=True, alone=True),
        Condition("one feature", "one feature, and one that comes out", (T, 1, F, 1), edge=True),
    ),
)
FAMILY = Family((DTYPE, SCALE, LAYOUT, BATCH, _SIZES))


def _parameters(
    draw: Draw, c: int, f: int, cout: int, dtype: torch.dtype = DOUBLE
) -> tuple[Tensor, ...]:
    """w_gate, w_in, w_out"""
    return tuple(draw.weight(*shape, dtype=dtype) for shape in ((c, f), (c, f), (f, cout)))


def _arguments(draw: Draw, row: Row) -> tuple[Tensor, ...]:
    tokens, c, f, cout = row["sizes"]
    x = draw.normal(*row["batch"], tokens, c, dtype=row["dtype"], scale=row["scale"])
    parameters = _parameters(draw, c, f, cout, row["dtype"])
    return tuple(laid(t, row["layout"]) for t in (x, *parameters))


def _by_hand(draw: Draw) -> Iterator[Case]:
    one = torch.ones(1, 1, dtype=DOUBLE, device=draw.device)
    yield Case("the example of the text", (2 * one[0], one, 3 * one, one))
    yield Case("a single vector", (draw.normal(C), *_parameters(draw, C, F, COUT)))
    t, c, f, cout = (draw.integer(2, 7) for _ in range(4))
    parameters = _parameters(draw, c, f, cout)
    yield Case("sizes drawn by lot", (draw.normal(draw.integer(2, 5), t, c), *parameters))
    far = draw.normal(B, T, C, scale=1e4), *_parameters(draw, C, F, COUT)
    yield Case("numbers near 1e4", far, "edges")


CASES = Crossed(FAMILY, _arguments, _by_hand)


def _alone(call, generator: Generator, device: torch.device) -> str | None:
    draw = Draw(generator, device)
    x, parameters = draw.normal(B, T, C), _parameters(draw, C, F, COUT)
    other = torch.cat((x[:, :1], draw.normal(B, T - 1, C)), 1)
    change = (call(other, *parameters) - call(x, *parameters))[:, 0].abs().max()
    if not change < 1e-12:
        return f"other tokens changed the answer to the first by {float(change):.2g}"
    return None


def _contract(generator: Generator, device: torch.device) -> Contract:
    draw = Draw(generator, device)
    rows, c, f = 24, 16, 64
    products = 2 * rows * 3 * c * f
    return Contract(
        calls=((draw.normal(2, rows // 2, c), *_parameters(draw, c, f, c)),),
        max_flops=between(products, products * 4 // 3),  # one of the three twice
        # Both hidden layers side by side; all products of one, to be summed later.
        max_intermediate=between(2 * rows * f, rows * c * f),
    )


SWIGLU = Exercise(
    reference=reference.swiglu,
    chapter=CHAPTER,
    points={"values": 2, "edges": 1, "gradients": 1, "types": 1, "contracts": 1},
    cases=CASES,
    contract=_contract,
    properties=(Property("each token alone", _alone, "values"),),
    traps=(
        Trap(
            "gate and input exchanged",
            with_(which=gates.exchanged),
            "the activation is applied to x w_gate, and what it lets through is x w_in. Where both "
            "are of one size nothing raises, and a loaded model writes nonsense.",
            GATED,
        ),
        Trap(
            "both activated",
            with_(other=functional.silu),
            "the gate is activated alone. What it multiplies may be anything, also negative.",
            GATED,
        ),
        Trap(
            "no activation",
            with_(activation=feeds.as_given),
            "a product of two matrices' answers is what is left (Shazeer calls it bilinear). Here "
            "the gate goes through silu first.",
            GATED,
        ),
        Trap(
            "sigmoid for silu",
            with_(activation=torch.sigmoid),
            "the sigmoid alone is the gate of an LSTM, and of the first gated layers. "
            "silu(z) = z · sigmoid(z).",
            GATED,
        ),
        Trap(
            "gelu or relu for silu",
            with_(activation=functional.gelu),
            "there are such layers, GEGLU and ReGLU. SwiGLU's gate is silu(z) = z · sigmoid(z), "
            "and weights that were trained with the one do not fit the other.",
            GATED,
            tuple(
                with_(activation=activation)
                for activation in (
                    feeds.gelu_by_tanh,
                    torch.relu,
                    gates.quick,
                    torch.tanh,
                    functional.hardswish,
                    functional.mish,
                )
            ),
        ),
        Trap(
            "no gate",
            with_(joined=gates.hidden_alone, other=functional.silu),
            "one matrix in and one out is the feed-forward of chapter 7. Here two matrices read x, "
            "and the answer of the one multiplies the other's.",
            GATED,
            (with_(joined=gates.gate_alone),),
        ),
        Trap(
            "added instead of multiplied",
            with_(joined=gates.sum_of_both),
            "a gate multiplies: near 0 it closes, and nothing comes through.",
            GATED,
        ),
        Trap(
            "activated behind the product",
            with_(activation=feeds.as_given, after=functional.silu),
            "the activation belongs to the gate, before the two are multiplied.",
            GATED,
            (with_(after=functional.silu),),
        ),
        Trap(
            "activated at the end",
            with_(activation=feeds.as_given, end=functional.silu),
            "the activation stands between the layers, at the gate, and not at the end.",
            GATED,
            (with_(end=functional.silu),),
        ),
        Trap(
            "an exponential that overflows",
            with_(activation=gates.by_hand),
            "for a very negative z, exp(-z) is infinite. z / infinity is 0, as it should be, but "
            "the way back multiplies infinity by 0: a gradient of nan. `F.silu`, or z times "
            "`sigmoid(z)`, knows both sides.",
            GATED,
            (with_(activation=gates.by_hand_upwards),),
        ),
        Trap(
            "the sigmoid of -z",
            with_(activation=gates.turned),
            "silu(z) = z · sigmoid(z), and sigmoid(z) = 1 / (1 + e⁻ᶻ): the minus stands in the "
            "exponential. With one more the gate opens for what should be closed.",
            GATED,
        ),
        Trap(
            "activated before the matrix",
            with_(asked=functional.silu, activation=feeds.as_given),
            "the gate's matrix reads x as it is; the activation bends what comes out of it.",
            GATED,
            (with_(asked=functional.silu),),
        ),
        Trap(
            "a clamped gate",
            with_(activation=gates.clamped),
            "`sigmoid` and `F.silu` stand numbers of any size. Clamped at ±10, a gate that should "
            "be closed lets 1 part in 22,000 through, and a clamped number has no gradient.",
            GATED,
            (
                with_(activation=gates.clamped_before),
                with_(activation=gates.clamped_wider),
                with_(activation=gates.clamped_exponential),
            ),
        ),
        Trap(
            "nn.Linear's orientation",
            with_(into=feeds.turned, out=feeds.turned),
            "nn.Linear stores its weight as (out, in) and multiplies by the transpose. Here the "
            "weights are (in, out). With square ones nothing raises.",
            GATED,
            (
                with_(into=feeds.turned),
                with_(out=feeds.turned),
                with_(into=feeds.reshaped),
                with_(out=feeds.reshaped),
            ),
        ),
        Trap(
            "a residual connection",
            with_(besides=feeds.besides_x),
            "x was added to the answer: adding is the layer's job. Here only what the three "
            "matrices make is asked for.",
            GATED,
            (with_(besides=gates.besides_x_if_it_fits),),
        ),
        Trap(
            "a detached gate",
            with_(joined=gates.gate_detached),
            "the numbers are right, but detach() (or .data, or no_grad) cuts w_gate off from "
            "learning: the gate never moves.",
            GATED,
            (
                with_(joined=gates.hidden_detached),
                with_(before=feeds.detached),
                with_(activation=gates.sigmoid_detached),
            ),
        ),
    ),
)
