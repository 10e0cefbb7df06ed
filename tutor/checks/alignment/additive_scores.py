"""What ``additive_scores`` must satisfy, and the wrong answers that people give."""

from collections.abc import Iterator

import torch
from torch import Generator, Tensor

from tutor import alignment as reference
from tutor.checks.alignment.shared import BATCH, CHAPTER, CM, CX, LENGTHS, A, B, S, T
from tutor.checks.changes import changeable
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
    yield Case("sizes drawn by lot", draw.inputs(draw.integer(2, 5), **sizes))
    yield Case("as many ask as are read", draw.inputs(B, t=S), "edges")


CASES = Crossed(FAMILY, _arguments, _by_hand, draw=_Draw)


def _contract(generator: Generator, device: torch.device) -> Contract:
    b, t, s, cx, cm, a = 2, 16, 24, 160, 200, 8
    args = _Draw(generator, device).inputs(b, t=t, s=s, cx=cx, cm=cm, a=a)
    states, pairs = b * (t * cx + s * cm) * a, b * t * s * a
    return Contract(
        calls=(args,),
        # Each state is projected once; the product with v is one for each pair.
        max_flops=between(2 * (states + pairs), 2 * (states + 2 * pairs)),
        # All products of a state and the weights at once, before they are added up.
        max_intermediate=between(2 * pairs, b * t * cx * a),
    )


def _projected(x, memory, w_x, w_memory):
    return x @ w_x, memory @ w_memory


def _added(asked, found):
    return asked[..., :, None, :] + found[..., None, :, :]


def _tanh(s):
    return s.tanh()


def _dotted(hidden, v):
    return hidden @ v


def _as_it_is(scores):
    return scores


def _scores(
    x,
    memory,
    w_x,
    w_memory,
    v,
    project=_projected,
    join=_added,
    bend=_tanh,
    weigh=_dotted,
    then=_as_it_is,
):
    """The right scores, but for the parts that are given."""
    return then(weigh(bend(join(*project(x, memory, w_x, w_memory))), v))


_with = changeable(_scores)


def _swapped(x, memory, w_x, w_memory):
    return x @ w_memory, memory @ w_x


def _transposed_weights(x, memory, w_x, w_memory):
    return x @ w_x.mT, memory @ w_memory.mT


def _each_bent(asked, found):
    return asked.tanh()[..., :, None, :] + found.tanh()[..., None, :, :]


def _multiplied(asked, found):
    return asked[..., :, None, :] * found[..., None, :, :]


def _subtracted(asked, found):
    return asked[..., :, None, :] - found[..., None, :, :]


def _front_axes(asked, found):
    return asked[:, :, None] + found[:, None]


def _no_pairs(asked, found):
    return asked + found


def _straight(s):
    return s


def _relu(s):
    return s.relu()


def _sigmoid(s):
    return s.sigmoid()


def _summed(hidden, v):
    return hidden.sum(-1)


def _mean(hidden, v):
    return hidden.mean(-1)


def _v_summed(hidden, v):
    return hidden.sum(-1) * v.sum()


def _scaled(hidden, v):
    return hidden @ v * v.shape[0] ** -0.5


def _bounded(scores):
    return scores.tanh()


def _memory_asks(scores):
    return scores.mT


def _softmax(scores):
    return scores.softmax(-1)


def _v_inside(x, memory, w_x, w_memory, v):
    return (_added(x @ w_x, memory @ w_memory) * v).tanh().sum(-1)


def _dot(x, memory, w_x, w_memory, v):
    return (x @ w_x) @ (memory @ w_memory).mT


def _weighed_dot(x, memory, w_x, w_memory, v):
    return (x @ w_x * v) @ (memory @ w_memory).mT


ADDITIVE_SCORES = Exercise(
    reference=reference.additive_scores,
    chapter=CHAPTER,
    points={"values": 3, "edges": 1, "gradients": 1, "types": 1, "contracts": 2},
    cases=CASES,
    contract=_contract,
    traps=(
        Trap(
            "no tanh",
            _with(bend=_straight),
            "without the tanh the score is v·(x w_x) + v·(memory w_memory): one number of the "
            "state that asks plus one of the state that is read. The softmax divides the first "
            "out, and every state reads the same mixture whatever it asks.",
            "A score for each pair",
        ),
        Trap(
            "a tanh for each part",
            _with(join=_each_bent, bend=_straight),
            "the two projections are added first and bent afterwards. The sum of two bent parts "
            "falls apart again into one number of the state that asks plus one of the state that "
            "is read, and the softmax divides the first out.",
            "A score for each pair",
        ),
        Trap(
            "the tanh around the score",
            _with(bend=_straight, then=_bounded),
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
            _with(weigh=_summed),
            "the score is the dot product of v with the hidden units. Summed, or averaged, all "
            "units speak with one weight; multiplying by the sum of v gives all of them that one. "
            "The model has nothing left with which to say that a unit speaks against a match.",
            "A score for each pair",
            (_with(weigh=_mean), _with(weigh=_v_summed)),
        ),
        Trap(
            "multiplied instead of added",
            _with(join=_multiplied),
            "in additive attention the projections are added. Their product is a step towards the "
            "bilinear form, which needs neither the tanh nor v.",
            "A score for each pair",
            (_dot, _weighed_dot),
        ),
        Trap(
            "subtracted instead of added",
            _with(join=_subtracted),
            "the two projections are added. With a minus the model would learn the other sign of "
            "w_memory; weights that are loaded give other scores.",
            "A score for each pair",
        ),
        Trap(
            "another bend",
            _with(bend=_relu),
            "the hidden units of the paper are tanh. A relu or a sigmoid would learn, too, but "
            "whoever loads weights that were trained with tanh gets other scores.",
            "A score for each pair",
            (_with(bend=_sigmoid),),
        ),
        Trap(
            "the projections swapped",
            _with(project=_swapped),
            "w_x belongs to the states that ask, w_memory to those that are read. In a translator "
            "both have one width, and nothing but the numbers tells them apart.",
            "A score for each pair",
        ),
        Trap(
            "the memory asks",
            _with(then=_memory_asks),
            "rows are the states that ask, columns those that are read: (T, S). The other way "
            "round the softmax that follows would run over the wrong axis.",
            "A score for each pair",
        ),
        Trap(
            "axes counted from the front",
            _with(join=_front_axes),
            "[:, :, None] is right for one batch dimension alone. Counted from the end, "
            "[..., :, None, :], it is right for any number of them, none included.",
            "Once for each state, not once for each pair",
        ),
        Trap(
            "no pairs",
            _with(join=_no_pairs),
            "x has T rows, memory S, and there is a score for each pair of them. Added as they "
            "are, they raise, or, where T and S happen to be equal, meet row by row. Give each an "
            "axis of 1 for the other: (T, 1, A) and (1, S, A).",
            "Once for each state, not once for each pair",
        ),
        Trap(
            "nn.Linear's orientation",
            _with(project=_transposed_weights),
            "nn.Linear stores its weight as (out, in) and multiplies by the transpose, and so does "
            "F.linear. Here the weights are (in, out): x @ w_x.",
            "A score for each pair",
        ),
        Trap(
            "scaled",
            _with(weigh=_scaled),
            "there is no scale in additive attention: each tanh is between -1 and 1 and v is "
            "learned. The square root belongs to dot products, in chapter 3.",
            "A score for each pair",
        ),
        Trap(
            "softmax already taken",
            _with(then=_softmax),
            "scores are what comes before the softmax. Taken here, the mask that follows would "
            "come too late, and the next softmax would flatten the weights.",
            "From scores to shares",
        ),
    ),
)
