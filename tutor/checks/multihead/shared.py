"""What the exercises of chapter 4 share."""

from collections.abc import Callable

from torch import Tensor

from tutor.checks.conditions import Condition, Factor, Family, Row, pair
from tutor.checks.crossings import DTYPE, LAYOUT, LENGTHS, masked, projected
from tutor.checks.draw import Draw, laid
from tutor.checks.exercise import Contract
from tutor.checks.forbidden import LIBRARY_ATTENTION
from tutor.checks.limits import between

CHAPTER = "04_multihead"

# All sizes differ, so that a swapped axis cannot pass.
B, TQ, TK, H, D, DV, C, CM, COUT = 2, 3, 5, 4, 7, 6, 13, 17, 19


class LayerDraw(Draw):
    """With the weights of a layer, in this chapter's sizes."""

    def weights(self, *, h=H, d=D, dv=DV, c=C, cm=C, cout=COUT) -> tuple[Tensor, ...]:
        shapes = ((c, h * d), (cm, h * d), (cm, h * dv), (h * dv, cout))
        return tuple(self.weight(*shape) for shape in shapes)


BATCHES = Factor(
    "batch",
    (
        Condition("one", value=(B,)),
        Condition("none", "no batch dimension", (), edge=True, alone=True),
        Condition("two", "two batch dimensions", (B, 3), edge=True, alone=True),
        Condition("three", "batch dimensions 2, 1 and 4", (B, 1, H), edge=True),
        Condition("as heads", "as many sentences as heads", (H,), edge=True),
    ),
)
"""Of a function that adds a dimension for the heads: where it goes shows in all but the first."""

HEADS = Factor(
    "heads",
    (
        Condition("four", value=(H, TK, D)),
        Condition("as tokens", "as many tokens as heads", (H, H, D)),
        Condition("as features", "as many heads as features in one", (H, TK, H)),
        Condition("one head", "one head", (1, TK, D), edge=True, alone=True),
        Condition("of one feature", "heads of one feature", (D, TK, 1), edge=True),
        Condition("one token", "a single token", (H, 1, D), edge=True, alone=True),
    ),
)
"""How many heads, of how many tokens, of how many features."""

SPLIT = Family(
    (DTYPE, LAYOUT, BATCHES, HEADS),
    apart={
        pair("behind", "none"): "without a batch dimension there is nothing to swap",
        pair("turned", "one token"): "one row lies nowhere else",
    },
)
"""Functions that cut a sequence into heads, or put one together."""

AS_LONG = Factor("lengths", (*LENGTHS.conditions, Condition("square", "as long as memory", (H, H))))


def layer_inputs(
    draw: LayerDraw, row: Row, cx: int, cm: int, itself: bool = False
) -> tuple[Tensor | None, ...]:
    """x, memory, the four weights and keep."""
    x, memory, w_q, w_k, rows = projected(draw, row, cx, cm, D, H, itself)
    w_v = rows * draw.weight(cm, H * DV, dtype=row["dtype"])
    w_out = draw.weight(H * DV, COUT, dtype=row["dtype"])
    tensors = (laid(t, row["layout"]) for t in (x, memory, w_q, w_k, w_v, w_out))
    return (*tensors, masked(draw, row))


def layer_contract(draw: LayerDraw, call: Callable[..., tuple], keep: Tensor) -> Contract:
    """``call``: the arguments, made of x, the weights, the number of heads and a mask."""
    b, h, n = 2, 4, 24
    x = draw.normal(b, n, n)
    weights = draw.weights(h=h, d=n // h, dv=n // h, c=n, cm=n, cout=n)
    # Four projections, the scores of all heads and what they read cost the same.
    product = 2 * b * n**3
    scores = b * h * n * n
    return Contract(
        calls=(call(x, weights, h, keep), call(x, weights, h, None)),
        max_flops=between(6 * product, 7 * product),
        # All products of features at once, to be summed later.
        max_intermediate=between(2 * scores, scores * (n // h)),
        forbidden=LIBRARY_ATTENTION,
    )
