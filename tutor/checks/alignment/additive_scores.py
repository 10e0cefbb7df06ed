"""What ``additive_scores`` must satisfy, and the wrong answers that people give."""

from collections.abc import Iterator

import torch
from torch import Generator, Tensor

from tutor import alignment as reference
from tutor.checks.alignment.shared import BATCH, CHAPTER, CM, CX, LENGTHS, A, B, S, T
from tutor.checks.conditions import Condition, Crossed, Factor, Family, Row, pair
from tutor.checks.draw import BFLOAT, DOUBLE, HALF, Draw, laid
from tutor.checks.exercise import Case, Contract, Exercise, Trap
from tutor.checks.families import DTYPE, LAYOUT
from tutor.checks.limits import between


class _Draw(Draw):
    def inputs(self, *batch: int, t=T, s=S, cx=CX, cm=CM, a=A, dtype=DOUBLE, scale=1.0):
        """x, memory, w_x, w_memory and v, such that the sums in the tanh are about 1."""
        return (
            self.normal(*batch, t, cx, dtype=dtype, scale=scale),
            self.normal(*batch, s, cm, dtype=dtype, scale=scale),
            self.normal(cx, a, dtype=dtype, scale=cx**-0.5),
            self.normal(cm, a, dtype=dtype, scale=cm**-0.5),
            self.normal(a, dtype=dtype, scale=0.5 if dtype in (HALF, BFLOAT) else 1.0),
        )

    def signs(self, *shape: int, dtype: torch.dtype, size: float = 1.0) -> Tensor:
        """size or -size, in every entry."""
        return (size * (2 * self.integers(*shape, low=0, high=2) - 1)).to(dtype)


_STATES = Factor(
    "states",
    (
        Condition("around 1", value=1.0),
        Condition("small", "small states", 0.01),
        Condition("large", "large states", edge=True, alone=True),
    ),
)
_WIDTHS = Factor(
    "widths",
    (
        Condition("all differ", value=(CX, CM, A)),
        # As in the translator: what is swapped raises nothing here.
        Condition("one width", "states of one width", (CX, CX, A), alone=True),
        Condition("one unit", "one hidden unit", (CX, CM, 1), edge=True),
        Condition("width 1", "states of width 1", (1, 1, A), edge=True),
    ),
)

FAMILY = Family(
    (DTYPE, _STATES, LAYOUT, BATCH, LENGTHS, _WIDTHS),
    apart={
        pair("behind", "none"): "without a batch dimension there is nothing to swap",
        pair("turned", "one key"): "one state lies nowhere else",
        pair("turned", "width 1"): "states of width 1 lie one after the other",
    },
)


def _arguments(draw: _Draw, row: Row) -> tuple[Tensor, ...]:
    (t, s), (cx, cm, a), dtype = row["lengths"], row["widths"], row["dtype"]
    scale = row["states"]
    args = draw.inputs(*row["batch"], t=t, s=s, cx=cx, cm=cm, a=a, dtype=dtype, scale=scale or 1)
    if scale is None:  # sums of 0 or of 800 and more, exact in every precision
        x, memory, w_x, w_memory, v = args
        x, memory = (draw.signs(*m.shape, dtype=dtype) for m in (x, memory))
        w_x, w_memory = (draw.signs(*w.shape, dtype=dtype, size=400.0) for w in (w_x, w_memory))
        for states in (x, memory):  # whatever is drawn, the largest sum of each sign
            states[..., -1, :], states[..., 0, :] = -1.0, 1.0
        w_x[:, 0], w_memory[:, 0] = 400.0, 400.0
        args = (x, memory, w_x, w_memory, v)
    return tuple(laid(m, row["layout"]) for m in args)


def _by_hand(draw: _Draw) -> Iterator[Case]:
    sizes = {name: draw.integer(2, 9) for name in ("t", "s", "cx", "cm", "a")}
    yield Case("sizes drawn by lot", draw.inputs(draw.integer(1, 5), **sizes))
    yield Case("as many ask as are read", draw.inputs(B, t=S), "edges")


CASES = Crossed(FAMILY, _arguments, _by_hand, draw=_Draw)


def _contract(generator: Generator, device: torch.device) -> Contract:
    b, t, s, cx, cm, a = 2, 16, 24, 32, 20, 8
    args = _Draw(generator, device).inputs(b, t=t, s=s, cx=cx, cm=cm, a=a)
    states, pairs = b * (t * cx + s * cm) * a, b * t * s * a
    return Contract(
        calls=(args,),
        # Each state is projected once; the product with v is one for each pair.
        max_flops=between(2 * (states + pairs), 2 * (states + 2 * pairs)),
        # Each pair of states side by side, to be projected together.
        max_intermediate=between(2 * pairs, b * t * s * (cx + cm)),
    )


def _sums(x, memory, w_x, w_memory):
    return (x @ w_x)[..., :, None, :] + (memory @ w_memory)[..., None, :, :]


def _no_tanh(x, memory, w_x, w_memory, v):
    return _sums(x, memory, w_x, w_memory) @ v


def _tanh_of_each(x, memory, w_x, w_memory, v):
    asked, found = (x @ w_x).tanh(), (memory @ w_memory).tanh()
    return (asked[..., :, None, :] + found[..., None, :, :]) @ v


def _tanh_of_the_score(x, memory, w_x, w_memory, v):
    return (_sums(x, memory, w_x, w_memory) @ v).tanh()


def _v_inside(x, memory, w_x, w_memory, v):
    return (_sums(x, memory, w_x, w_memory) * v).tanh().sum(-1)


def _no_v(x, memory, w_x, w_memory, v):
    return _sums(x, memory, w_x, w_memory).tanh().sum(-1)


def _mean(x, memory, w_x, w_memory, v):
    return _sums(x, memory, w_x, w_memory).tanh().mean(-1)


def _v_summed(x, memory, w_x, w_memory, v):
    return _sums(x, memory, w_x, w_memory).tanh().sum(-1) * v.sum()


def _multiplied(x, memory, w_x, w_memory, v):
    return ((x @ w_x)[..., :, None, :] * (memory @ w_memory)[..., None, :, :]).tanh() @ v


def _dot(x, memory, w_x, w_memory, v):
    return (x @ w_x) @ (memory @ w_memory).mT


def _weighed_dot(x, memory, w_x, w_memory, v):
    return (x @ w_x * v) @ (memory @ w_memory).mT


def _relu(x, memory, w_x, w_memory, v):
    return _sums(x, memory, w_x, w_memory).relu() @ v


def _sigmoid(x, memory, w_x, w_memory, v):
    return _sums(x, memory, w_x, w_memory).sigmoid() @ v


def _swapped(x, memory, w_x, w_memory, v):
    return _sums(x, memory, w_memory, w_x).tanh() @ v


def _memory_asks(x, memory, w_x, w_memory, v):
    return _sums(memory, x, w_memory, w_x).tanh() @ v


def _front_axes(x, memory, w_x, w_memory, v):
    return ((x @ w_x)[:, :, None] + (memory @ w_memory)[:, None]).tanh() @ v


def _scaled(x, memory, w_x, w_memory, v):
    return _sums(x, memory, w_x, w_memory).tanh() @ v * v.shape[0] ** -0.5


def _softmax(x, memory, w_x, w_memory, v):
    return (_sums(x, memory, w_x, w_memory).tanh() @ v).softmax(-1)


def _transposed_weights(x, memory, w_x, w_memory, v):
    return _sums(x, memory, w_x.mT, w_memory.mT).tanh() @ v


def _no_pairs(x, memory, w_x, w_memory, v):
    return (x @ w_x + memory @ w_memory).tanh() @ v


ADDITIVE_SCORES = Exercise(
    reference=reference.additive_scores,
    chapter=CHAPTER,
    points={"values": 3, "edges": 1, "gradients": 1, "types": 1, "contracts": 2},
    cases=CASES,
    contract=_contract,
    traps=(
        Trap(
            "no tanh",
            _no_tanh,
            "without the tanh the score is v·(x w_x) + v·(memory w_memory): one number of the "
            "state that asks plus one of the state that is read. The softmax divides the first "
            "out, and every state reads the same mixture whatever it asks.",
            "A score for each pair",
        ),
        Trap(
            "a tanh for each part",
            _tanh_of_each,
            "the two projections are added first and bent afterwards. The sum of two bent parts "
            "falls apart again into one number of the state that asks plus one of the state that "
            "is read, and the softmax divides the first out.",
            "A score for each pair",
        ),
        Trap(
            "the tanh around the score",
            _tanh_of_the_score,
            "tanh bends each of the A hidden units, before v weighs them. Around the score it "
            "confines every score to [-1, 1], where no weight can be more than e² times another.",
            "A score for each pair",
        ),
        Trap(
            "v inside the tanh",
            _v_inside,
            "v weighs what the hidden units say, after the tanh. Inside it, v only stretches "
            "their inputs, and no unit can count for more than 1 or speak against the others.",
            "A score for each pair",
        ),
        Trap(
            "v summed instead of dotted",
            _no_v,
            "the score is the dot product of v with the hidden units. Summed, or averaged, all "
            "units speak with one weight; multiplying by the sum of v gives all of them that one. "
            "The model has nothing left with which to say that a unit speaks against a match.",
            "A score for each pair",
            (_mean, _v_summed),
        ),
        Trap(
            "multiplied instead of added",
            _multiplied,
            "in additive attention the projections are added. Their product is a step towards the "
            "bilinear form, which needs neither the tanh nor v.",
            "A score for each pair",
            (_dot, _weighed_dot),
        ),
        Trap(
            "another bend",
            _relu,
            "the hidden units of the paper are tanh. A relu or a sigmoid would learn, too, but "
            "whoever loads weights that were trained with tanh gets other scores.",
            "A score for each pair",
            (_sigmoid,),
        ),
        Trap(
            "the projections swapped",
            _swapped,
            "w_x belongs to the states that ask, w_memory to those that are read. In a translator "
            "both have one width, and nothing but the numbers tells them apart.",
            "A score for each pair",
        ),
        Trap(
            "the memory asks",
            _memory_asks,
            "rows are the states that ask, columns those that are read: (T, S). The other way "
            "round the softmax that follows would run over the wrong axis.",
            "A score for each pair",
        ),
        Trap(
            "axes counted from the front",
            _front_axes,
            "[:, :, None] is right for one batch dimension alone. Counted from the end, "
            "[..., :, None, :], it is right for any number of them, none included.",
            "Once for each state, not once for each pair",
        ),
        Trap(
            "no pairs",
            _no_pairs,
            "x has T rows, memory S, and there is a score for each pair of them. Added as they "
            "are, they raise, or, where T and S happen to be equal, meet row by row. Give each an "
            "axis of 1 for the other: (T, 1, A) and (1, S, A).",
            "Once for each state, not once for each pair",
        ),
        Trap(
            "nn.Linear's orientation",
            _transposed_weights,
            "nn.Linear stores its weight as (out, in) and multiplies by the transpose, and so does "
            "F.linear. Here the weights are (in, out): x @ w_x.",
            "A score for each pair",
        ),
        Trap(
            "scaled",
            _scaled,
            "there is no scale in additive attention: each tanh is between -1 and 1 and v is "
            "learned. The square root belongs to dot products, in chapter 3.",
            "A score for each pair",
        ),
        Trap(
            "softmax already taken",
            _softmax,
            "scores are what comes before the softmax. Taken here, the mask that follows would "
            "come too late, and the next softmax would flatten the weights.",
            "From scores to shares",
        ),
    ),
)
