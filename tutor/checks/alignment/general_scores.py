"""What ``general_scores`` must satisfy, and the wrong answers that people give."""

from collections.abc import Iterator

import torch
from torch import Generator, Tensor

from tutor import alignment as reference
from tutor.checks.alignment.shared import BATCH, CHAPTER, CM, CX, LENGTHS, B, S, T
from tutor.checks.changes import changeable
from tutor.checks.conditions import Condition, Crossed, Factor, Family, Row, pair
from tutor.checks.crossings import DTYPE, LAYOUT, SCALE
from tutor.checks.draw import BFLOAT, DOUBLE, HALF, Draw, laid
from tutor.checks.exercise import Case, Contract, Exercise, Trap
from tutor.checks.limits import between


class _Draw(Draw):
    def inputs(self, *batch: int, t=T, s=S, cx=CX, cm=CM, dtype=DOUBLE, scale=1.0):
        """x, memory and w."""
        return (
            self.normal(*batch, t, cx, dtype=dtype, scale=scale),
            self.normal(*batch, s, cm, dtype=dtype, scale=scale),
            self.normal(cx, cm, dtype=dtype, scale=(cx * cm) ** -0.25),
        )


_WIDTHS = Factor(
    "widths",
    (
        Condition("all differ", value=(CX, CM)),
        Condition("one width", "states of one width", (CX, CX), alone=True),
        Condition("width 1", "states of width 1", (1, 1), edge=True),
    ),
)

FAMILY = Family(
    (DTYPE, SCALE, LAYOUT, BATCH, LENGTHS, _WIDTHS),
    apart={
        pair("behind", "none"): "without a batch dimension there is nothing to swap",
        pair("turned", "one key"): "one state lies nowhere else",
        pair("turned", "width 1"): "states of width 1 lie one after the other",
    },
)


def _arguments(draw: _Draw, row: Row) -> tuple[Tensor, ...]:
    (t, s), (cx, cm), dtype = row["lengths"], row["widths"], row["dtype"]
    # Of sums of 77 products the short dtypes round more than the tolerance, unless they are small.
    scale = row["scale"] * (0.7 if dtype in (HALF, BFLOAT) else 1.0)
    args = draw.inputs(*row["batch"], t=t, s=s, cx=cx, cm=cm, dtype=dtype, scale=scale)
    return tuple(laid(m, row["layout"]) for m in args)


def _by_hand(draw: _Draw) -> Iterator[Case]:
    sizes = {name: draw.integer(2, 9) for name in ("t", "s", "cx", "cm")}
    yield Case("sizes drawn by lot", draw.inputs(draw.integer(1, 5), **sizes))
    yield Case("as many ask as are read", draw.inputs(B, t=S), "edges")
    x, memory, _ = draw.inputs(B, cm=CX)
    off = torch.eye(CX, device=draw.device, dtype=DOUBLE).roll(1, 0)
    yield Case("only different features fit", (x, memory, off), "edges")


CASES = Crossed(FAMILY, _arguments, _by_hand, draw=_Draw)


def _contract(generator: Generator, device: torch.device) -> Contract:
    # Sizes such that both orders of the two products cost the same.
    b, t, s = 2, 16, 24
    args = _Draw(generator, device).inputs(b, t=t, s=s, cx=t, cm=s)
    return Contract(
        calls=(args,),
        max_flops=between(2 * b * (t * t * s + t * s * s), 2 * b * (2 * t * t * s + t * s * s)),
        # All products of features at once, to be summed later.
        max_intermediate=between(2 * max(arg.numel() for arg in args), b * t * s * s),
        forbidden={"bilinear": "it calls torch's own bilinear form; this exercise is to write it"},
    )


def _asked(x, w):
    return x @ w


def _met(asked, memory, w):
    return asked @ memory.mT


def _as_it_is(scores, x, memory):
    return scores


def _scores(x, memory, w, asked=_asked, met=_met, then=_as_it_is):
    """The right scores, but for the parts that are given."""
    return then(met(asked(x, w), memory, w), x, memory)


_with = changeable(_scores)


def _of_the_transpose(x, w):
    return x @ w.mT


def _no_w(x, w):
    return x


def _diagonal(x, w):
    return x[..., : min(w.shape)] * w.diagonal()


def _met_in_part(asked, memory, w):
    return asked @ memory[..., : min(w.shape)].mT


def _not_turned(asked, memory, w):
    return asked @ memory


def _reshaped(asked, memory, w):
    return asked @ memory.reshape(*memory.shape[:-2], memory.shape[-1], memory.shape[-2])


def _all_turned(asked, memory, w):
    return asked @ memory.permute(*reversed(range(memory.ndim)))


def _both_projected(asked, memory, w):
    return asked @ (memory @ w).mT


def _of_directions(asked, memory, w):
    normalize = torch.nn.functional.normalize
    return normalize(asked, dim=-1) @ normalize(memory, dim=-1).mT


def _bent(x, w):
    return (x @ w).tanh()


def _scaled(scores, x, memory):
    return scores * memory.shape[-1] ** -0.5


def _scaled_by_x(scores, x, memory):
    return scores * x.shape[-1] ** -0.5


def _divided(scores, x, memory):
    return scores / memory.shape[-1]


def _divided_by_x(scores, x, memory):
    return scores / x.shape[-1]


def _memory_asks(scores, x, memory):
    return scores.mT


def _bounded(scores, x, memory):
    return scores.tanh()


def _softmax(scores, x, memory):
    return scores.softmax(-1)


def _softmax_of_scaled(scores, x, memory):
    return (scores * memory.shape[-1] ** -0.5).softmax(-1)


GENERAL_SCORES = Exercise(
    reference=reference.general_scores,
    chapter=CHAPTER,
    points={"values": 2, "edges": 1, "gradients": 1, "types": 1, "contracts": 1},
    cases=CASES,
    contract=_contract,
    traps=(
        Trap(
            "w transposed",
            _with(asked=_of_the_transpose),
            "w is (Cx, Cm): its rows belong to the state that asks, its columns to the state that "
            "is read. Where both have one width nothing complains, and the two change their roles.",
            "Multiply instead of add",
        ),
        Trap(
            "memory not transposed",
            _with(met=_not_turned),
            "each state that asks meets each state of the memory: rows with rows. A matrix product "
            "takes rows of the first and columns of the second, so memory is transposed, in its "
            "last two dimensions: memory.mT. (.T turns all of them, the batch included.)",
            "Multiply instead of add",
            (_with(met=_all_turned),),
        ),
        Trap(
            "reshaped instead of transposed",
            _with(met=_reshaped),
            "reshape takes the numbers in the order in which they lie and breaks the lines "
            "elsewhere: the shape is the transpose's, and every column is made of pieces of "
            "several states. memory.mT swaps the last two dimensions.",
            "Multiply instead of add",
        ),
        Trap(
            "w forgotten",
            _with(asked=_no_w),
            "x · memory without a matrix is Luong's dot score. It compares feature 1 of the one "
            "with feature 1 of the other, so both have to speak one language; w translates.",
            "Multiply instead of add",
        ),
        Trap(
            "an element-wise product",
            _with(asked=_diagonal, met=_met_in_part),
            "the diagonal of w is a vector: it weighs feature 1 with feature 1 and 2 with 2. All "
            "that stands beside the diagonal, feature 1 of the one with feature 2 of the other, "
            "is what makes the form general.",
            "“Multiplicative attention is an element-wise product with a learned vector”",
        ),
        Trap(
            "scaled",
            _with(then=_scaled),
            "Luong's scores have no scale: w is learned, and can take any factor into itself. The "
            "square root comes in chapter 3, where the reason for it is.",
            "Multiply instead of add",
            (
                _with(then=_scaled_by_x),
                _with(then=_divided),
                _with(then=_divided_by_x),
            ),
        ),
        Trap(
            "the memory asks",
            _with(then=_memory_asks),
            "rows are the states that ask, columns those that are read: (T, S).",
            "Multiply instead of add",
        ),
        Trap(
            "a tanh from the additive score",
            _with(asked=_bent),
            "a bilinear form has no bend: twice the state, twice the score. Around the score, "
            "tanh would confine it to [-1, 1].",
            "Multiply instead of add",
            (_with(then=_bounded),),
        ),
        Trap(
            "cosine similarity",
            _with(met=_of_directions),
            "length counts as well as direction: it says how strongly a state insists. Normalised, "
            "every score lies in [-1, 1], where the softmax is nearly flat.",
            "Multiply instead of add",
        ),
        Trap(
            "both projected",
            _with(met=_both_projected),
            "w stands between the two states once. Applied to both it is w wᵀ, which is symmetric: "
            "what feature 1 of the one and 2 of the other are worth is then worth the other way "
            "round, too.",
            "Multiply instead of add",
        ),
        Trap(
            "softmax already taken",
            _with(then=_softmax),
            "scores are what comes before the softmax: a mask would come too late, and the next "
            "softmax would flatten the weights.",
            "From scores to shares",
            (_with(then=_softmax_of_scaled),),
        ),
    ),
)
