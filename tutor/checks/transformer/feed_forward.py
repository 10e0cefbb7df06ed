"""What ``feed_forward`` must satisfy, and the wrong answers that people give."""

from collections.abc import Iterator

import torch
from torch import Generator, Tensor
from torch.nn import functional

from tutor import transformer as reference
from tutor.checks.conditions import Condition, Crossed, Factor, Family, Row
from tutor.checks.crossings import BATCH, DTYPE, LAYOUT, SCALE
from tutor.checks.draw import laid
from tutor.checks.exercise import Case, Contract, Exercise, Property, Trap
from tutor.checks.limits import between
from tutor.checks.transformer import feeds
from tutor.checks.transformer.feeds import with_
from tutor.checks.transformer.shared import CHAPTER, COUT, FEED, B, C, F, LayerDraw, T

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


def _arguments(draw: LayerDraw, row: Row) -> tuple[Tensor, ...]:
    tokens, c, f, cout = row["sizes"]
    x = draw.normal(*row["batch"], tokens, c, dtype=row["dtype"], scale=row["scale"])
    parameters = draw.feed(c, f, cout, row["dtype"])
    return tuple(laid(t, row["layout"]) for t in (x, *parameters))


def _by_hand(draw: LayerDraw) -> Iterator[Case]:
    yield Case("a single vector", (draw.normal(C), *draw.feed(C, F, COUT, torch.float64)))
    t, c, f, cout = (draw.integer(2, 7) for _ in range(4))
    parameters = draw.feed(c, f, cout, torch.float64)
    yield Case("sizes drawn by lot", (draw.normal(draw.integer(2, 5), t, c), *parameters))
    x, parameters = draw.normal(B, T, C, scale=1e4), draw.feed(C, F, COUT, torch.float64)
    yield Case("numbers near 1e4", (x, *parameters), "edges")
    w_in, b_in, w_out, b_out = parameters
    yield Case("nothing above 0", (x, w_in, b_in - 1e6, w_out, b_out), "edges")


CASES = Crossed(FAMILY, _arguments, _by_hand, draw=LayerDraw)


def _alone(call, generator: Generator, device: torch.device) -> str | None:
    draw = LayerDraw(generator, device)
    x, parameters = draw.normal(B, T, C), draw.feed(C, F, COUT, torch.float64)
    other = torch.cat((x[:, :1], draw.normal(B, T - 1, C)), 1)
    change = (call(other, *parameters) - call(x, *parameters))[:, 0].abs().max()
    if not change < 1e-12:
        return f"other tokens changed the answer to the first by {float(change):.2g}"
    return None


def _contract(generator: Generator, device: torch.device) -> Contract:
    draw = LayerDraw(generator, device)
    rows, c, f = 24, 16, 64
    product = 2 * rows * (c * f + f * c)
    with_ones = 2 * rows * ((c + 1) * f + (f + 1) * c)  # biases as rows of the matrices
    return Contract(
        calls=((draw.normal(2, rows // 2, c), *draw.feed(c, f, c, torch.float64)),),
        max_flops=between(with_ones, 2 * product),
        # All products at once, to be summed later.
        max_intermediate=between(rows * (f + 1), rows * c * f),
    )


FEED_FORWARD = Exercise(
    reference=reference.feed_forward,
    chapter=CHAPTER,
    points={"values": 2, "edges": 1, "gradients": 1, "types": 1, "contracts": 1},
    cases=CASES,
    contract=_contract,
    properties=(Property("each token alone", _alone, "values"),),
    traps=(
        Trap(
            "no activation",
            with_(activation=feeds.as_given),
            "two matrices with nothing between them are one matrix: x (w_in w_out). What makes two "
            "layers more than one is max(0, ·) between them.",
            FEED,
        ),
        Trap(
            "gelu instead of relu",
            with_(activation=functional.gelu),
            "BERT and GPT take gelu, and later models silu. Here, as in the paper of 2017, it is "
            "max(0, ·), and weights that were trained with the one do not fit the other.",
            FEED,
            tuple(
                with_(activation=activation)
                for activation in (feeds.gelu_by_tanh, functional.silu, feeds.squared_relu)
            ),
        ),
        Trap(
            "an activation that saturates",
            with_(activation=torch.tanh),
            "tanh and the sigmoid let nothing grow beyond 1, and their gradients vanish. "
            "max(0, ·) leaves what is positive as it is.",
            FEED,
            (with_(activation=torch.sigmoid), with_(activation=feeds.at_most_six)),
        ),
        Trap(
            "a leak below 0",
            with_(activation=feeds.leaky),
            "max(0, ·) is 0 below 0: leaky_relu, elu and softplus are not.",
            FEED,
            (with_(activation=functional.elu), with_(activation=functional.softplus)),
        ),
        Trap(
            "the negative half",
            with_(activation=feeds.not_above_zero),
            "max(0, ·) keeps what is positive. min(0, ·), or clamp(max=0), keeps the rest.",
            FEED,
        ),
        Trap(
            "the absolute value",
            with_(activation=torch.abs),
            "a hidden feature that is negative is 0, and not turned to positive.",
            FEED,
        ),
        Trap(
            "whether, and not how much",
            with_(activation=feeds.step),
            "x > 0 says of each hidden feature whether it is positive, and forgets by how much. "
            "Its derivative is 0: nothing before it learns.",
            FEED,
        ),
        Trap(
            "a softmax between",
            with_(activation=feeds.softmax),
            "hidden features do not compete: each is max(0, ·) by itself.",
            FEED,
        ),
        Trap(
            "activated at the end, too",
            with_(end=torch.relu),
            "the activation stands between the two layers. After the second, it would let the "
            "sublayer only ever add something positive.",
            FEED,
            (with_(end=torch.relu, activation=feeds.as_given),),
        ),
        Trap(
            "activated at the beginning",
            with_(before=torch.relu, activation=feeds.as_given),
            "the activation stands between the two layers, not before them: half of what x says "
            "would be lost unread.",
            FEED,
            (with_(before=torch.relu),),
        ),
        Trap(
            "b_in after the activation",
            with_(shift=feeds.relu_then_plus, activation=feeds.as_given),
            "b_in moves the place from which on a hidden feature speaks, so it is added before "
            "max(0, ·).",
            FEED,
        ),
        Trap(
            "b_in forgotten",
            with_(shift=feeds.no_shift),
            "without b_in every hidden feature begins to speak at the same place, 0.",
            FEED,
        ),
        Trap(
            "b_out forgotten",
            with_(shift_out=feeds.no_shift),
            "b_out is added at the end, to every token.",
            FEED,
        ),
        Trap(
            "a bias subtracted",
            with_(shift=feeds.minus),
            "both biases are added.",
            FEED,
            (with_(shift_out=feeds.minus), with_(shift=feeds.minus, shift_out=feeds.minus)),
        ),
        Trap(
            "nn.Linear's orientation",
            with_(into=feeds.turned),
            "nn.Linear stores its weight as (out, in) and multiplies by the transpose. Here the "
            "weights are (in, out): x @ w_in, and hidden @ w_out. With square ones nothing raises.",
            FEED,
            (
                with_(into=feeds.turned, out=feeds.turned),
                with_(out=feeds.turned),
                with_(into=feeds.reshaped),
                with_(out=feeds.reshaped),
            ),
        ),
        Trap(
            "a residual connection",
            with_(besides=feeds.besides_x),
            "x was added to the answer. The layer has such a way past its feed-forward, and adding "
            "is the layer's job: here only what the two matrices make is asked for.",
            FEED,
        ),
        Trap(
            "divided by the root of the width",
            with_(after=feeds.by_root),
            "that is the scale of attention's scores. Nothing is scaled here.",
            FEED,
            (with_(before=feeds.by_root), with_(end=feeds.by_root)),
        ),
        Trap(
            "a detached hidden layer",
            with_(after=feeds.detached),
            "the numbers are right, but detach() (or .data, or no_grad) cuts w_in, b_in and x off "
            "from learning.",
            FEED,
            (with_(before=feeds.detached),),
        ),
    ),
)
