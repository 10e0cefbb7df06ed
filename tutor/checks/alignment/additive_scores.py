"""What ``additive_scores`` must satisfy, and the wrong answers that people give."""

from collections.abc import Iterator

import torch
from torch import Generator, Tensor

from tutor import alignment as reference
from tutor.checks.alignment import pairs
from tutor.checks.alignment.pairs import with_
from tutor.checks.alignment.shared import BATCH, CHAPTER, CM, CX, LENGTHS, A, B, S, T
from tutor.checks.conditions import Condition, Crossed, Factor, Family, Row, pair
from tutor.checks.crossings import DTYPE, LAYOUT
from tutor.checks.draw import BFLOAT, DOUBLE, HALF, Draw, laid
from tutor.checks.exercise import Case, Contract, Exercise, Trap
from tutor.checks.limits import between


class _Draw(Draw):
    def inputs(self, *batch: int, t=T, s=S, cx=CX, cm=CM, a=A, dtype=DOUBLE, scale=1.0):
        """x, memory, w_x, w_memory and v, such that the sums in the tanh are about 1, and in half
        precision never near 5.5, whose square of an exponential is more than it holds."""
        size = 0.3 if dtype == HALF else 1.0
        return (
            self.normal(*batch, t, cx, dtype=dtype, scale=scale),
            self.normal(*batch, s, cm, dtype=dtype, scale=scale),
            self.normal(cx, a, dtype=dtype, scale=size * cx**-0.5),
            self.normal(cm, a, dtype=dtype, scale=size * cm**-0.5),
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


ADDITIVE_SCORES = Exercise(
    reference=reference.additive_scores,
    chapter=CHAPTER,
    points={"values": 3, "edges": 1, "gradients": 1, "types": 1, "contracts": 2},
    cases=CASES,
    contract=_contract,
    traps=(
        Trap(
            "no tanh",
            with_(bend=pairs.straight),
            "without the tanh the score is v·(x w_x) + v·(memory w_memory): one number of the "
            "state that asks plus one of the state that is read. The softmax divides the first "
            "out, and every state reads the same mixture whatever it asks.",
            "A score for each pair",
        ),
        Trap(
            "a tanh for each part",
            with_(join=pairs.each_bent, bend=pairs.straight),
            "the two projections are added first and bent afterwards. The sum of two bent parts "
            "falls apart again into one number of the state that asks plus one of the state that "
            "is read, and the softmax divides the first out.",
            "A score for each pair",
        ),
        Trap(
            "the tanh around the score",
            with_(bend=pairs.straight, then=pairs.bounded),
            "tanh bends each of the A hidden units, before v weighs them. Around the score it "
            "confines every score to [-1, 1], where no weight can be more than e² times another.",
            "A score for each pair",
            (with_(then=pairs.bounded),),
        ),
        Trap(
            "v inside the tanh",
            with_(project=pairs.stretched, weigh=pairs.summed),
            "v weighs what the hidden units say, after the tanh. Inside it, v only stretches "
            "their inputs, and no unit can count for more than 1 or speak against the others.",
            "A score for each pair",
        ),
        Trap(
            "v summed instead of dotted",
            with_(weigh=pairs.summed),
            "the score is the dot product of v with the hidden units. Summed, or averaged, all "
            "units speak with one weight; multiplying by the sum of v gives all of them that one. "
            "The model has nothing left with which to say that a unit speaks against a match.",
            "A score for each pair",
            (with_(weigh=pairs.mean), with_(weigh=pairs.v_summed)),
        ),
        Trap(
            "multiplied instead of added",
            with_(join=pairs.multiplied),
            "in additive attention the projections are added. Their product is a step towards the "
            "bilinear form, which needs neither the tanh nor v.",
            "A score for each pair",
            (
                with_(join=pairs.multiplied, bend=pairs.straight),
                with_(join=pairs.bent_and_multiplied, bend=pairs.straight),
                with_(join=pairs.multiplied, bend=pairs.straight, weigh=pairs.summed),
                with_(join=pairs.bent_and_multiplied, bend=pairs.straight, weigh=pairs.summed),
            ),
        ),
        Trap(
            "subtracted instead of added",
            with_(join=pairs.subtracted),
            "the two projections are added. With a minus the model would learn the other sign of "
            "w_memory; weights that are loaded give other scores.",
            "A score for each pair",
            (with_(join=pairs.subtracted_from_the_memory),),
        ),
        Trap(
            "another bend",
            with_(bend=pairs.relu),
            "the hidden units of the paper are tanh. A relu or a sigmoid would learn, too, but "
            "whoever loads weights that were trained with tanh gets other scores.",
            "A score for each pair",
            tuple(with_(bend=bend) for bend in (pairs.sigmoid, pairs.gelu, pairs.shares_of_units)),
        ),
        Trap(
            "the projections swapped",
            with_(project=pairs.swapped),
            "w_x belongs to the states that ask, w_memory to those that are read. In a translator "
            "both have one width, and nothing but the numbers tells them apart.",
            "A score for each pair",
        ),
        Trap(
            "the memory asks",
            with_(meet=pairs.memory_first),
            "rows are the states that ask, columns those that are read: (T, S). The other way "
            "round the softmax that follows would run over the wrong axis.",
            "A score for each pair",
        ),
        Trap(
            "axes counted from the front",
            with_(apart=pairs.from_the_front),
            "[:, :, None] is right for one batch dimension alone. Counted from the end, "
            "[..., :, None, :], it is right for any number of them, none included.",
            "Once for each state, not once for each pair",
            (with_(project=pairs.of_a_batch),),
        ),
        Trap(
            "no pairs",
            with_(apart=pairs.no_pairs),
            "x has T rows, memory S, and there is a score for each pair of them. Added as they "
            "are, they raise, or, where T and S happen to be equal, meet row by row. Give each an "
            "axis of 1 for the other: (T, 1, A) and (1, S, A).",
            "Once for each state, not once for each pair",
        ),
        Trap(
            "nn.Linear's orientation",
            with_(project=pairs.transposed_weights),
            "nn.Linear stores its weight as (out, in) and multiplies by the transpose, and so does "
            "F.linear. Here the weights are (in, out): x @ w_x.",
            "A score for each pair",
            (with_(project=pairs.first_transposed), with_(project=pairs.second_transposed)),
        ),
        Trap(
            "scaled",
            with_(weigh=pairs.scaled),
            "there is no scale in additive attention: each tanh is between -1 and 1 and v is "
            "learned. The units are added up, with no mean over them, and the square root belongs "
            "to dot products, in chapter 3.",
            "A score for each pair",
            (
                with_(weigh=pairs.scaled_by_the_width),
                with_(weigh=pairs.dotted_mean),
                with_(bend=pairs.scaled_inside),
            ),
        ),
        Trap(
            "softmax already taken",
            with_(then=pairs.softmax),
            "scores are what comes before the softmax. Taken here, the mask that follows would "
            "come too late, and the next softmax would flatten the weights.",
            "From scores to shares",
            (with_(then=pairs.softmax_over_those_that_ask), with_(then=pairs.log_softmax)),
        ),
        Trap(
            "the scores shifted",
            with_(then=pairs.less_the_maximum),
            "a row's maximum is subtracted within the softmax, to keep exp finite. Here the scores "
            "themselves are asked for: less a maximum or a mean, each depends on all of its row.",
            "From scores to shares",
            (
                with_(then=pairs.less_the_largest_of_all),
                with_(then=pairs.less_the_mean),
            ),
        ),
        Trap(
            "v normalised",
            with_(weigh=pairs.of_length_1),
            "v is used as it is. Its length is how far apart the scores may lie, and its signs say "
            "which units speak against a match: divided by its norm or its sum, or turned into "
            "shares, it has lost one of the two.",
            "A score for each pair",
            (with_(weigh=pairs.of_sum_1), with_(weigh=pairs.of_shares)),
        ),
        Trap(
            "a hidden unit left out",
            with_(weigh=pairs.without_the_last),
            "all A units are weighed and added up. range(A - 1) and [:-1] leave the last one out, "
            "range(1, A) the first. hidden @ v needs no loop over the units.",
            "A score for each pair",
            (
                with_(weigh=pairs.without_the_last_but_one),
                with_(weigh=pairs.without_the_first),
            ),
        ),
        Trap(
            "one of the two not read",
            with_(join=pairs.asked_alone),
            "the score says how well a state of the memory answers a state that asks, so it is "
            "made of both. Without the memory all are read alike; without x all ask the same.",
            "A score for each pair",
            (with_(join=pairs.found_alone),),
        ),
        Trap(
            "one weight for both",
            with_(project=pairs.first_for_both),
            "the states that ask and those that are read have a weight each, w_x and w_memory. "
            "They may differ in width, and they play different parts.",
            "A score for each pair",
            (with_(project=pairs.second_for_both),),
        ),
        Trap(
            "one length for both",
            with_(join=pairs.as_many_as_ask),
            "x has T states and memory has S, and in a translation T and S differ. Rows are "
            "counted by x.shape[-2], columns by memory.shape[-2].",
            "Once for each state, not once for each pair",
            tuple(
                with_(join=join)
                for join in (
                    pairs.as_many_as_are_read,
                    pairs.as_many_as_are_read_by_index,
                )
            ),
        ),
        Trap(
            "view of what is not contiguous",
            with_(project=pairs.of_views),
            "view only renames what lies in memory in order, and raises for transposed states. "
            "@ takes any number of batch dimensions as they are; reshape copies where it must.",
            "Once for each state, not once for each pair",
            (with_(project=pairs.of_a_view_of_x), with_(project=pairs.of_a_view_of_memory)),
        ),
        Trap(
            "dimensions of 1 squeezed away",
            with_(shape=pairs.squeezed),
            "squeeze drops every dimension of size 1: a batch of one, one state that asks, or one "
            "that is read. squeeze(-1) drops the last one alone, and @ v leaves none to drop.",
            "Once for each state, not once for each pair",
            (with_(shape=pairs.first_squeezed), with_(shape=pairs.last_squeezed)),
        ),
        Trap(
            "a tanh by hand",
            with_(bend=pairs.quotient_of_exponentials),
            "the exponential of 710 is infinite, and infinity by infinity is nan. The sum formula "
            "of tanh has its own 0 / 0, where one part is 1 and the other -1. torch.tanh is right "
            "for every number.",
            "A score for each pair",
            (
                with_(bend=pairs.quotient_of_squares),
                with_(bend=pairs.two_over),
                with_(join=pairs.by_the_addition_theorem, bend=pairs.straight),
            ),
        ),
        Trap(
            "a detached part",
            with_(given=pairs.DETACHED[0]),
            "the numbers are right, but through detach() or .data no gradient passes. The encoder "
            "learns through memory, the decoder through x, and v and the weights are parameters.",
            "A score for each pair",
            tuple(with_(given=given) for given in pairs.DETACHED[1:]),
        ),
    ),
)
