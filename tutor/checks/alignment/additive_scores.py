"""What ``additive_scores`` must satisfy, and the wrong answers that people give."""

from collections.abc import Iterator

import torch
from torch import Generator

from tutor import alignment as reference
from tutor.checks.alignment.shared import CHAPTER, CM, CX, A, B, S, T
from tutor.checks.draw import BFLOAT, DOUBLE, HALF, SINGLE, Draw, strided
from tutor.checks.exercise import Case, Contract, Exercise, Trap


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


def _cases(generator: Generator, device: torch.device) -> Iterator[Case]:
    draw = _Draw(generator, device)
    yield Case("a batch", draw.inputs(B))
    yield Case("single precision", draw.inputs(B, dtype=SINGLE))
    yield Case("half precision", draw.inputs(B, dtype=HALF))
    yield Case("bfloat16", draw.inputs(B, dtype=BFLOAT))
    yield Case("no batch dimension", draw.inputs())
    yield Case("two batch dimensions", draw.inputs(B, 4))
    # As in the translator: what is swapped raises nothing here.
    yield Case("states of one width", draw.inputs(B, cx=CX, cm=CX))
    x, memory, w_x, w_memory, v = draw.inputs(B)
    yield Case("not contiguous", (strided(x), strided(memory), strided(w_x), strided(w_memory), v))
    sizes = {name: draw.integer(2, 9) for name in ("t", "s", "cx", "cm", "a")}
    yield Case("sizes drawn by lot", draw.inputs(draw.integer(1, 5), **sizes))
    yield Case("one symbol asks, one is read", draw.inputs(B, t=1, s=1), "edges")
    yield Case("as many ask as are read", draw.inputs(B, t=S), "edges")
    yield Case("one hidden unit", draw.inputs(B, a=1), "edges")
    yield Case("states of width 1", draw.inputs(B, cx=1, cm=1), "edges")
    yield Case("an empty batch", draw.inputs(0), "edges")
    yield Case("nothing to read", draw.inputs(B, s=0), "edges")
    yield Case("large states", draw.inputs(B, scale=30.0), "edges")
    yield Case("small states", draw.inputs(B, scale=0.01), "edges")


def _contract(generator: Generator, device: torch.device) -> Contract:
    b, t, s, cx, cm, a = 2, 16, 24, 32, 20, 8
    args = _Draw(generator, device).inputs(b, t=t, s=s, cx=cx, cm=cm, a=a)
    pairs = b * t * s * a
    return Contract(
        calls=(args,),
        # Each state is projected once; the product with v is one for each pair.
        max_flops=2 * (b * t * cx * a + b * s * cm * a + pairs),
        max_written=6 * pairs + 4 * sum(arg.numel() for arg in args),
        max_intermediate=pairs,
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
    cases=_cases,
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
