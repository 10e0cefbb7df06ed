"""Chapter 2's exercises: what must hold, and the wrong answers that people give."""

from collections.abc import Iterator

import torch
from torch import Generator, Tensor

from tutor import alignment as reference
from tutor.checks.draw import BFLOAT, DOUBLE, HALF, SINGLE, Draw, strided
from tutor.checks.exercise import Case, Contract, Exercise, Property, Trap

CHAPTER = "02_alignment"

# All sizes differ, so that a swapped axis cannot pass.
B, T, S, CX, CM, A = 2, 3, 5, 7, 11, 13

_LIBRARY = "it calls torch's own attention; this exercise is to write it"
_LIBRARY_ATTENTION = {
    "scaled_dot_product": _LIBRARY,
    "_safe_softmax": _LIBRARY,  # what torch's own attention becomes where it has no kernel
    "_masked_softmax": _LIBRARY,
    "multi_head_attention": _LIBRARY,
    "flex_attention": _LIBRARY,
}


class _Draw(Draw):
    """With the sizes of this chapter."""

    def additive(self, *batch: int, t=T, s=S, cx=CX, cm=CM, a=A, dtype=DOUBLE, scale=1.0):
        """x, memory, w_x, w_memory and v, such that the sums in the tanh are about 1."""
        return (
            self.normal(*batch, t, cx, dtype=dtype, scale=scale),
            self.normal(*batch, s, cm, dtype=dtype, scale=scale),
            self.normal(cx, a, dtype=dtype, scale=cx**-0.5),
            self.normal(cm, a, dtype=dtype, scale=cm**-0.5),
            self.normal(a, dtype=dtype, scale=0.5 if dtype in (HALF, BFLOAT) else 1.0),
        )

    def general(self, *batch: int, t=T, s=S, cx=CX, cm=CM, dtype=DOUBLE, scale=1.0):
        """x, memory and w."""
        return (
            self.normal(*batch, t, cx, dtype=dtype, scale=scale),
            self.normal(*batch, s, cm, dtype=dtype, scale=scale),
            self.normal(cx, cm, dtype=dtype, scale=(cx * cm) ** -0.25),
        )

    def scored(self, *batch: int, t=T, s=S, c=CM, dtype=DOUBLE, scale=1.0):
        """scores and memory."""
        return (
            self.normal(*batch, t, s, dtype=dtype, scale=scale),
            self.normal(*batch, s, c, dtype=dtype),
        )


# additive_scores


def _additive_cases(generator: Generator, device: torch.device) -> Iterator[Case]:
    draw = _Draw(generator, device)
    yield Case("a batch", draw.additive(B))
    yield Case("single precision", draw.additive(B, dtype=SINGLE))
    yield Case("half precision", draw.additive(B, dtype=HALF))
    yield Case("bfloat16", draw.additive(B, dtype=BFLOAT))
    yield Case("no batch dimension", draw.additive())
    yield Case("two batch dimensions", draw.additive(B, 4))
    # As in the translator: what is swapped raises nothing here.
    yield Case("states of one width", draw.additive(B, cx=CX, cm=CX))
    x, memory, w_x, w_memory, v = draw.additive(B)
    yield Case("not contiguous", (strided(x), strided(memory), strided(w_x), strided(w_memory), v))
    sizes = {name: draw.integer(2, 9) for name in ("t", "s", "cx", "cm", "a")}
    yield Case("sizes drawn by lot", draw.additive(draw.integer(1, 5), **sizes))
    yield Case("one symbol asks, one is read", draw.additive(B, t=1, s=1), "edges")
    yield Case("as many ask as are read", draw.additive(B, t=S), "edges")
    yield Case("one hidden unit", draw.additive(B, a=1), "edges")
    yield Case("states of width 1", draw.additive(B, cx=1, cm=1), "edges")
    yield Case("an empty batch", draw.additive(0), "edges")
    yield Case("nothing to read", draw.additive(B, s=0), "edges")
    yield Case("large states", draw.additive(B, scale=30.0), "edges")
    yield Case("small states", draw.additive(B, scale=0.01), "edges")


def _additive_contract(generator: Generator, device: torch.device) -> Contract:
    b, t, s, cx, cm, a = 2, 16, 24, 32, 20, 8
    args = _Draw(generator, device).additive(b, t=t, s=s, cx=cx, cm=cm, a=a)
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


def _additive_no_tanh(x, memory, w_x, w_memory, v):
    return _sums(x, memory, w_x, w_memory) @ v


def _additive_tanh_of_each(x, memory, w_x, w_memory, v):
    asked, found = (x @ w_x).tanh(), (memory @ w_memory).tanh()
    return (asked[..., :, None, :] + found[..., None, :, :]) @ v


def _additive_tanh_of_the_score(x, memory, w_x, w_memory, v):
    return (_sums(x, memory, w_x, w_memory) @ v).tanh()


def _additive_v_inside(x, memory, w_x, w_memory, v):
    return (_sums(x, memory, w_x, w_memory) * v).tanh().sum(-1)


def _additive_no_v(x, memory, w_x, w_memory, v):
    return _sums(x, memory, w_x, w_memory).tanh().sum(-1)


def _additive_mean(x, memory, w_x, w_memory, v):
    return _sums(x, memory, w_x, w_memory).tanh().mean(-1)


def _additive_v_summed(x, memory, w_x, w_memory, v):
    return _sums(x, memory, w_x, w_memory).tanh().sum(-1) * v.sum()


def _additive_multiplied(x, memory, w_x, w_memory, v):
    return ((x @ w_x)[..., :, None, :] * (memory @ w_memory)[..., None, :, :]).tanh() @ v


def _additive_dot(x, memory, w_x, w_memory, v):
    return (x @ w_x) @ (memory @ w_memory).mT


def _additive_weighed_dot(x, memory, w_x, w_memory, v):
    return (x @ w_x * v) @ (memory @ w_memory).mT


def _additive_relu(x, memory, w_x, w_memory, v):
    return _sums(x, memory, w_x, w_memory).relu() @ v


def _additive_sigmoid(x, memory, w_x, w_memory, v):
    return _sums(x, memory, w_x, w_memory).sigmoid() @ v


def _additive_swapped(x, memory, w_x, w_memory, v):
    return _sums(x, memory, w_memory, w_x).tanh() @ v


def _additive_memory_asks(x, memory, w_x, w_memory, v):
    return _sums(memory, x, w_memory, w_x).tanh() @ v


def _additive_front_axes(x, memory, w_x, w_memory, v):
    return ((x @ w_x)[:, :, None] + (memory @ w_memory)[:, None]).tanh() @ v


def _additive_scaled(x, memory, w_x, w_memory, v):
    return _sums(x, memory, w_x, w_memory).tanh() @ v * v.shape[0] ** -0.5


def _additive_softmax(x, memory, w_x, w_memory, v):
    return (_sums(x, memory, w_x, w_memory).tanh() @ v).softmax(-1)


def _additive_transposed_weights(x, memory, w_x, w_memory, v):
    return _sums(x, memory, w_x.mT, w_memory.mT).tanh() @ v


def _additive_no_pairs(x, memory, w_x, w_memory, v):
    return (x @ w_x + memory @ w_memory).tanh() @ v


ADDITIVE_SCORES = Exercise(
    reference=reference.additive_scores,
    chapter=CHAPTER,
    points={"values": 3, "edges": 1, "gradients": 1, "types": 1, "contracts": 2},
    cases=_additive_cases,
    contract=_additive_contract,
    traps=(
        Trap(
            "no tanh",
            _additive_no_tanh,
            "without the tanh the score is v·(x w_x) + v·(memory w_memory): one number of the "
            "state that asks plus one of the state that is read. The softmax divides the first "
            "out, and every state reads the same mixture whatever it asks.",
            "A score for each pair",
        ),
        Trap(
            "a tanh for each part",
            _additive_tanh_of_each,
            "the two projections are added first and bent afterwards. The sum of two bent parts "
            "falls apart again into one number of the state that asks plus one of the state that "
            "is read, and the softmax divides the first out.",
            "A score for each pair",
        ),
        Trap(
            "the tanh around the score",
            _additive_tanh_of_the_score,
            "tanh bends each of the A hidden units, before v weighs them. Around the score it "
            "confines every score to [-1, 1], where no weight can be more than e² times another.",
            "A score for each pair",
        ),
        Trap(
            "v inside the tanh",
            _additive_v_inside,
            "v weighs what the hidden units say, after the tanh. Inside it, v only stretches "
            "their inputs, and no unit can count for more than 1 or speak against the others.",
            "A score for each pair",
        ),
        Trap(
            "v summed instead of dotted",
            _additive_no_v,
            "the score is the dot product of v with the hidden units. Summed, or averaged, all "
            "units speak with one weight; multiplying by the sum of v gives all of them that one. "
            "The model has nothing left with which to say that a unit speaks against a match.",
            "A score for each pair",
            (_additive_mean, _additive_v_summed),
        ),
        Trap(
            "multiplied instead of added",
            _additive_multiplied,
            "in additive attention the projections are added. Their product is a step towards the "
            "bilinear form, which needs neither the tanh nor v.",
            "A score for each pair",
            (_additive_dot, _additive_weighed_dot),
        ),
        Trap(
            "another bend",
            _additive_relu,
            "the hidden units of the paper are tanh. A relu or a sigmoid would learn, too, but "
            "whoever loads weights that were trained with tanh gets other scores.",
            "A score for each pair",
            (_additive_sigmoid,),
        ),
        Trap(
            "the projections swapped",
            _additive_swapped,
            "w_x belongs to the states that ask, w_memory to those that are read. In a translator "
            "both have one width, and nothing but the numbers tells them apart.",
            "A score for each pair",
        ),
        Trap(
            "the memory asks",
            _additive_memory_asks,
            "rows are the states that ask, columns those that are read: (T, S). The other way "
            "round the softmax that follows would run over the wrong axis.",
            "A score for each pair",
        ),
        Trap(
            "axes counted from the front",
            _additive_front_axes,
            "[:, :, None] is right for one batch dimension alone. Counted from the end, "
            "[..., :, None, :], it is right for any number of them, none included.",
            "Once for each state, not once for each pair",
        ),
        Trap(
            "no pairs",
            _additive_no_pairs,
            "x has T rows, memory S, and there is a score for each pair of them. Added as they "
            "are, they raise, or, where T and S happen to be equal, meet row by row. Give each an "
            "axis of 1 for the other: (T, 1, A) and (1, S, A).",
            "Once for each state, not once for each pair",
        ),
        Trap(
            "nn.Linear's orientation",
            _additive_transposed_weights,
            "nn.Linear stores its weight as (out, in) and multiplies by the transpose, and so does "
            "F.linear. Here the weights are (in, out): x @ w_x.",
            "A score for each pair",
        ),
        Trap(
            "scaled",
            _additive_scaled,
            "there is no scale in additive attention: each tanh is between -1 and 1 and v is "
            "learned. The square root belongs to dot products, in chapter 3.",
            "A score for each pair",
        ),
        Trap(
            "softmax already taken",
            _additive_softmax,
            "scores are what comes before the softmax. Taken here, the mask that follows would "
            "come too late, and the next softmax would flatten the weights.",
            "From scores to shares",
        ),
    ),
)


# masked_softmax


def _softmax_cases(generator: Generator, device: torch.device) -> Iterator[Case]:
    draw = _Draw(generator, device)

    def scores(*shape, dtype=DOUBLE, scale=1.0):
        return draw.normal(*shape, dtype=dtype, scale=scale)

    yield Case("padding at the end", (scores(B, T, S), _padding(device, 3, S)))
    yield Case("a mask for each state", (scores(B, T, S), draw.keep(B, T, S)))
    yield Case("no mask", (scores(B, T, S), None))
    yield Case("the mask left out", (scores(B, T, S),))
    yield Case("single precision", (scores(B, T, S, dtype=SINGLE), draw.keep(B, T, S)))
    yield Case("half precision", (scores(B, T, S, dtype=HALF), draw.keep(B, T, S)))
    yield Case("bfloat16", (scores(B, T, S, dtype=BFLOAT), draw.keep(B, T, S)))
    yield Case("no batch dimension", (scores(T, S), draw.keep(T, S)))
    yield Case("two batch dimensions", (scores(B, 4, T, S), draw.keep(B, 4, T, S)))
    yield Case("no mask, two batch dimensions", (scores(B, 4, T, S), None))
    yield Case("no mask, half precision", (scores(B, T, S, dtype=HALF), None))
    yield Case("no mask, not contiguous", (strided(scores(B, T, S)), None))
    yield Case("one mask for all", (scores(B, T, S), draw.keep(T, S)))
    yield Case("not contiguous", (strided(scores(B, T, S)), strided(draw.keep(B, T, S))))
    sizes = [draw.integer(2, 9) for _ in range(3)]
    yield Case("sizes drawn by lot", (scores(*sizes), draw.keep(*sizes)))

    lonely = draw.keep(B, T, S)
    lonely[0, 1] = False
    yield Case("one state may read nothing", (scores(B, T, S), lonely), "edges")
    empty = _padding(device, 0, S)
    yield Case("an empty sentence in the batch", (scores(B, T, S), empty), "edges")
    half = scores(B, T, S, dtype=HALF)
    yield Case("an empty sentence, half precision", (half, empty), "edges")
    hidden = draw.keep(B, T, S)
    hidden[..., 0] = False
    hidden[..., 1] |= ~hidden.any(-1)
    high = scores(B, T, S)
    high[..., 0] = 1e4
    yield Case("the largest score is hidden", (high, hidden), "edges")
    low = scores(B, T, S)
    low[..., 2] = -3e5
    only = (torch.arange(S, device=device) == 2).expand(T, S)
    yield Case("only a very low score may be read", (low, only), "edges")
    rows = scores(T, S) + torch.tensor([1e4, -1e4, 0.0], device=device, dtype=DOUBLE)[:, None]
    yield Case("scores near 10,000 and near -10,000", (rows, draw.keep(T, S)), "edges")
    yield Case("large scores, no mask", (rows, None), "edges")
    big = torch.tensor([[6e4, -6e4, 0.0], [12.0, 11.0, 10.0]], device=device, dtype=HALF)
    seen = torch.tensor([[True, True, False], [True, False, True]], device=device)
    yield Case("half precision near its largest number", (big, seen), "edges")
    everything = torch.ones(B, T, S, dtype=torch.bool, device=device)
    yield Case("everything may be read", (scores(B, T, S), everything), "edges")
    yield Case("one score a row", (scores(B, T, 1), everything[..., :1]), "edges")
    yield Case("an empty batch", (scores(0, T, S), everything[:0]), "edges")
    integers = draw.keep(B, T, S).to(torch.int64)
    yield Case(
        "a mask of integers must raise TypeError", (scores(B, T, S), integers), "edges", TypeError
    )


def _padding(device: torch.device, *lengths: int) -> Tensor:
    """keep (B, 1, S) of sentences of these lengths; S is the chapter's."""
    return torch.arange(S, device=device) < torch.tensor(lengths, device=device)[:, None, None]


def _hidden_scores_change_nothing(call, generator: Generator, device: torch.device) -> str | None:
    draw = _Draw(generator, device)
    scores, keep = draw.normal(B, T, S), draw.keep(B, T, S)
    others = torch.where(keep, scores, 100 * draw.normal(B, T, S))
    change = (call(others, keep) - call(scores, keep)).abs().max()
    if change != 0:  # nan differs too
        return f"new scores where nothing may be read changed a weight by {float(change):.2g}"
    return None


def _softmax_contract(generator: Generator, device: torch.device) -> Contract:
    draw = _Draw(generator, device)
    scores, keep = draw.normal(8, 16, 32), draw.keep(8, 16, 32)
    n = scores.numel()
    return Contract(
        calls=((scores, keep), (scores, None)),
        max_flops=0,
        max_written=12 * n,
        max_intermediate=n,
        forbidden=_LIBRARY_ATTENTION,
    )


def _hide(scores, keep, value=None):
    """The right way to hide scores, unless another value is given."""
    if keep is None:
        return scores
    if keep.dtype != torch.bool:
        raise TypeError(f"keep must be bool, got {keep.dtype}")
    return scores.masked_fill(~keep, torch.finfo(scores.dtype).min if value is None else value)


def _zeroed(weights, keep):
    return weights if keep is None else weights * keep


def _weights(scores, keep=None, dim=-1):
    return _zeroed(_hide(scores, keep).softmax(dim), keep)


def _softmax_over_queries(scores, keep=None):
    return _weights(scores, keep, dim=-2)


def _softmax_over_batch(scores, keep=None):
    return _weights(scores, keep, dim=0)


def _softmax_unspecified_axis(scores, keep=None):
    return _weights(scores, keep, dim=0 if scores.ndim in (0, 1, 3) else 1)  # what nn.Softmax takes


def _softmax_mask_forgotten(scores, keep=None):
    _hide(scores, keep)
    return scores.softmax(-1)


def _softmax_then_mask(scores, keep=None):
    return _hide(scores.softmax(-1), keep, 0.0)


def _softmax_renormalised(scores, keep=None):
    weights = _hide(scores.softmax(-1), keep, 0.0)
    return weights / weights.sum(-1, keepdim=True)


def _softmax_renormalised_with_care(scores, keep=None):
    weights = _hide(scores.softmax(-1), keep, 0.0)
    return weights / weights.sum(-1, keepdim=True).clamp_min(1e-9)


def _softmax_renormalised_epsilon(scores, keep=None):
    weights = _hide(scores.softmax(-1), keep, 0.0)
    return weights / (weights.sum(-1, keepdim=True) + 1e-9)


def _softmax_no_maximum(scores, keep=None):
    exponentials = _hide(scores.exp(), keep, 0.0)
    return exponentials / exponentials.sum(-1, keepdim=True)


def _softmax_no_maximum_epsilon(scores, keep=None):
    exponentials = _hide(scores.exp(), keep, 0.0)
    return exponentials / (exponentials.sum(-1, keepdim=True) + 1e-9)


def _softmax_inverted(scores, keep=None):
    return _weights(scores, ~keep if keep is not None and keep.dtype == torch.bool else keep)


def _softmax_inverted_unzeroed(scores, keep=None):
    hidden = ~keep if keep is not None and keep.dtype == torch.bool else keep
    return _hide(scores, hidden).softmax(-1)


def _softmax_mask_times_scores(scores, keep=None):
    return _hide(scores, keep, 0.0).softmax(-1)


def _softmax_mask_times_scores_zeroed(scores, keep=None):
    return _zeroed(_hide(scores, keep, 0.0).softmax(-1), keep)


def _softmax_average_row(scores, keep=None):
    return _hide(scores, keep).softmax(-1)


def _softmax_minus_1e9(scores, keep=None):
    return _hide(scores, keep, -1e9).softmax(-1)


def _softmax_minus_1e9_zeroed(scores, keep=None):
    return _zeroed(_hide(scores, keep, -1e9).softmax(-1), keep)


def _softmax_float_bias(scores, keep=None):
    if keep is None:
        return scores.softmax(-1)
    _hide(scores, keep)
    return (scores + (~keep).float() * -1e9).softmax(-1)


def _softmax_not_low_enough(scores, keep=None):
    return _zeroed(_hide(scores, keep, -1e4).softmax(-1), keep)


def _softmax_half_lowest(scores, keep=None):
    return _zeroed(_hide(scores, keep, -65504.0).softmax(-1), keep)


def _softmax_nan_row(scores, keep=None):
    return _hide(scores, keep, -torch.inf).softmax(-1)


def _softmax_log_bias(scores, keep=None):
    if keep is None:
        return scores.softmax(-1)
    _hide(scores, keep)
    return (scores + keep.log()).softmax(-1)


def _softmax_nan_gradient(scores, keep=None):
    bias = _hide(torch.zeros_like(scores), keep, -torch.inf)
    return (scores + bias).softmax(-1).nan_to_num(0.0)


def _softmax_in_place(scores, keep=None):
    if keep is None:
        return scores.softmax(-1)
    _hide(scores, keep)
    scores.masked_fill_(~keep, torch.finfo(scores.dtype).min)
    return scores.softmax(-1) * keep


def _softmax_twice(scores, keep=None):
    return _weights(_weights(scores, keep), keep)


def _softmax_of_a_softmax(scores, keep=None):
    return _weights(scores.softmax(-1), keep)


def _softmax_no_exponential(scores, keep=None):
    weights = _hide(scores, keep, 0.0)
    return weights / weights.sum(-1, keepdim=True)


MASKED_SOFTMAX = Exercise(
    reference=reference.masked_softmax,
    chapter=CHAPTER,
    points={"values": 2, "edges": 3, "gradients": 1, "types": 1, "contracts": 1},
    cases=_softmax_cases,
    contract=_softmax_contract,
    properties=(Property("what is hidden has no influence", _hidden_scores_change_nothing),),
    traps=(
        Trap(
            "softmax over those that ask",
            _softmax_over_queries,
            "each state that asks has one distribution over what it may read: rows sum to 1. "
            "Along dim=-2 the source symbols share out the target instead, and the translation of "
            "a word depends on how many words follow it.",
            "From scores to shares",
        ),
        Trap(
            "softmax over the batch",
            _softmax_over_batch,
            "dim=0 is the batch: sentences share out their weights among each other. What is read "
            "runs along the last dimension, dim=-1. (nn.Softmax() without a dim takes the first "
            "or the second, depending on how many there are.)",
            "From scores to shares",
            (_softmax_unspecified_axis,),
        ),
        Trap(
            "a softmax too many",
            _softmax_twice,
            "a softmax takes scores. Shares between 0 and 1 differ so little that, of two, none "
            "can get more than e times the other's: everybody reads nearly the plain average.",
            "From scores to shares",
            (_softmax_of_a_softmax,),
        ),
        Trap(
            "no exponential",
            _softmax_no_exponential,
            "dividing by the sum makes shares of positive numbers. Scores may be negative, and "
            "their sum 0: exp makes them positive, and keeps their order.",
            "From scores to shares",
        ),
        Trap(
            "the mask forgotten",
            _softmax_mask_forgotten,
            "keep changes nothing: every state reads the padding. (masked_fill returns a new "
            "tensor and leaves the old one as it was: scores = scores.masked_fill(...).)",
            "Padding must not be read",
        ),
        Trap(
            "masked after the softmax",
            _softmax_then_mask,
            "the padding has already taken its share when it is zeroed: what is left sums to less "
            "than 1, and the less, the longer the other sentences of the batch are.",
            "Padding must not be read",
        ),
        Trap(
            "renormalised after the softmax",
            _softmax_renormalised,
            "dividing by what is left mends the sums until a hidden score takes everything: then "
            "0 is divided by 0, or what is left has no digits left. Hide before the softmax.",
            "Padding must not be read",
            (_softmax_renormalised_with_care, _softmax_renormalised_epsilon),
        ),
        Trap(
            "exponentials without the maximum",
            _softmax_no_maximum,
            "exp(s) * keep over its sum is the formula as it stands on paper. exp(710) is infinite "
            "in double precision, exp(12) in half, and a row of very negative scores is 0 / 0. "
            "torch's softmax subtracts the row's maximum first, which changes no quotient.",
            "Padding must not be read",
            (_softmax_no_maximum_epsilon,),
        ),
        Trap(
            "mask inverted",
            _softmax_inverted,
            "keep is True where a symbol may be read. masked_fill fills where its argument is "
            "True, so it needs ~keep. Inverted, a sentence reads its padding and nothing else.",
            "Padding must not be read",
            (_softmax_inverted_unzeroed,),
        ),
        Trap(
            "the mask multiplies the scores",
            _softmax_mask_times_scores,
            "a score of 0 is not a weight of 0: exp(0) is 1, so the padding still gets a share, "
            "and more than a real symbol with a negative score.",
            "Padding must not be read",
            (_softmax_mask_times_scores_zeroed,),
        ),
        Trap(
            "nothing to read, so everything is read",
            _softmax_average_row,
            "a row of equal scores, however low, is a uniform distribution: the state that may "
            "read nothing averages all that it was to be kept from. Multiply the weights by keep "
            "after the softmax.",
            "Nothing to read",
        ),
        Trap(
            "-1e9 as minus infinity",
            _softmax_minus_1e9,
            "half precision ends at 65,504 and cannot hold -1e9, so the first run in half "
            "precision fails. And a row without anything to read is a row of equal scores, which "
            "averages the padding. Take finfo(dtype).min, and zero such rows.",
            "Nothing to read",
            (_softmax_minus_1e9_zeroed, _softmax_float_bias),
        ),
        Trap(
            "not low enough",
            _softmax_not_low_enough,
            "a constant such as -10,000 hides a score only while all the others are far above it. "
            "The lowest number that fits is torch.finfo(scores.dtype).min: it depends on the "
            "dtype, so ask for it.",
            "Nothing to read",
            (_softmax_half_lowest,),
        ),
        Trap(
            "the row that may read nothing",
            _softmax_nan_row,
            "where all scores of a row are -inf, softmax divides 0 by 0. One empty sentence in a "
            "batch makes the loss nan. Use a finite fill, and weights * keep.",
            "Nothing to read",
            (_softmax_log_bias,),
        ),
        Trap(
            "a nan that comes back",
            _softmax_nan_gradient,
            "nan_to_num cleans the weights, and the derivative of the softmax, which was computed "
            "from the nan, still meets it on the way back: -inf that was added lets it through to "
            "the scores. Never make the nan.",
            "Nothing to read",
        ),
        Trap(
            "the caller's scores overwritten",
            _softmax_in_place,
            "masked_fill_ with its underscore writes into the tensor that was passed in. Whoever "
            "looks at those scores next finds holes. Without the underscore it makes a new one.",
            "Padding must not be read",
        ),
    ),
)


# attend


def _attend_cases(generator: Generator, device: torch.device) -> Iterator[Case]:
    draw = _Draw(generator, device)
    yield Case("padding at the end", (*draw.scored(B), _padding(device, 3, S)))
    yield Case("a mask for each state", (*draw.scored(B), draw.keep(B, T, S)))
    yield Case("no mask", (*draw.scored(B), None))
    yield Case("the mask left out", draw.scored(B))
    yield Case("single precision", (*draw.scored(B, dtype=SINGLE), draw.keep(B, T, S)))
    yield Case("half precision", (*draw.scored(B, dtype=HALF), draw.keep(B, T, S)))
    yield Case("bfloat16", (*draw.scored(B, dtype=BFLOAT), draw.keep(B, T, S)))
    yield Case("no batch dimension", (*draw.scored(), draw.keep(T, S)))
    yield Case("two batch dimensions", (*draw.scored(B, 4), draw.keep(B, 1, T, S)))
    scores, memory = draw.scored(B)
    strides = (strided(scores), strided(memory), strided(draw.keep(B, T, S)))
    yield Case("not contiguous", strides)
    sizes = {name: draw.integer(2, 9) for name in ("t", "s", "c")}
    batch = draw.integer(2, 5)
    lot = (*draw.scored(batch, **sizes), draw.keep(batch, 1, sizes["s"]))
    yield Case("sizes drawn by lot", lot)

    lonely = draw.keep(B, T, S)
    lonely[0, 1] = False
    yield Case("one state may read nothing", (*draw.scored(B), lonely), "edges")
    empty = _padding(device, 0, S)
    half = draw.scored(B, dtype=HALF)
    yield Case("an empty sentence, half precision", (*half, empty), "edges")
    hidden = draw.keep(B, T, S)
    hidden[..., 0] = False
    high, memory = draw.scored(B)
    high[..., 0] = 1e4
    yield Case("the largest score is hidden", (high, memory, hidden), "edges")
    low, memory = draw.scored(B)
    low[..., 2] = -3e5
    only = (torch.arange(S, device=device) == 2).expand(T, S)
    yield Case("only a very low score may be read", (low, memory, only), "edges")
    yield Case("large scores", (*draw.scored(B, scale=1e3), None), "edges")
    # The padding holds what nobody may see: large numbers, not the zeros that a GRU leaves there.
    scores, memory = draw.scored(B)
    memory[0, 3:] = 1e6
    yield Case("the padding is not zero", (scores, memory, _padding(device, 3, S)), "edges")
    as_many = draw.scored(B, t=S)
    yield Case("as many ask as are read", (*as_many, draw.keep(B, 1, S)), "edges")
    yield Case("one asks, one is read", (*draw.scored(B, t=1, s=1), None), "edges")
    yield Case("an empty batch", (*draw.scored(0), None), "edges")


def _attend_contract(generator: Generator, device: torch.device) -> Contract:
    b, t, s, c = 2, 16, 24, 32
    draw = _Draw(generator, device)
    scores, memory = draw.scored(b, t=t, s=s, c=c)
    return Contract(
        calls=((scores, memory, draw.keep(b, t, s)), (scores, memory, None)),
        max_flops=2 * b * t * s * c,
        max_written=16 * b * t * s + 4 * memory.numel(),
        max_intermediate=max(memory.numel(), b * t * s, b * t * c),
        forbidden=_LIBRARY_ATTENTION,
    )


def _attend_over_queries(scores, memory, keep=None):
    weights = _weights(scores, keep, dim=-2)
    return weights @ memory, weights


def _attend_no_softmax_but_told(scores, memory, keep=None):
    return scores @ memory, _weights(scores, keep)


def _attend_no_softmax(scores, memory, keep=None):
    weights = _hide(scores, keep, 0.0)
    return weights @ memory, weights


def _attend_exponentials(scores, memory, keep=None):
    weights = _hide(scores.exp(), keep, 0.0)
    return weights @ memory, weights


def _attend_divided_by_sum(scores, memory, keep=None):
    weights = _hide(scores, keep, 0.0)
    weights = weights / weights.sum(-1, keepdim=True)
    return weights @ memory, weights


def _attend_mask_forgotten(scores, memory, keep=None):
    weights = scores.softmax(-1)
    return weights @ memory, weights


def _attend_then_mask(scores, memory, keep=None):
    weights = _hide(scores.softmax(-1), keep, 0.0)
    return weights @ memory, weights


def _attend_zeros_as_padding(scores, memory, keep=None):
    weights = scores.softmax(-1)
    return _zeroed(weights, keep) @ memory, weights


def _attend_inverted(scores, memory, keep=None):
    weights = _weights(scores, None if keep is None else ~keep)
    return weights @ memory, weights


def _attend_inverted_unzeroed(scores, memory, keep=None):
    weights = _hide(scores, None if keep is None else ~keep).softmax(-1)
    return weights @ memory, weights


def _attend_nan_row(scores, memory, keep=None):
    weights = _hide(scores, keep, -torch.inf).softmax(-1)
    return weights @ memory, weights


def _attend_average_row(scores, memory, keep=None):
    weights = _hide(scores, keep).softmax(-1)
    return weights @ memory, weights


def _attend_order(scores, memory, keep=None):
    weights = _weights(scores, keep)
    return weights, weights @ memory


def _attend_read_alone(scores, memory, keep=None):
    return _weights(scores, keep) @ memory


def _attend_scores_returned(scores, memory, keep=None):
    return _weights(scores, keep) @ memory, scores


def _attend_hidden_scores_returned(scores, memory, keep=None):
    return _weights(scores, keep) @ memory, _hide(scores, keep)


def _attend_mean(scores, memory, keep=None):
    weights = _weights(scores, keep)
    return (weights[..., None] * memory[..., None, :, :]).mean(-2), weights


def _attend_best_alone(scores, memory, keep=None):
    best = _hide(scores, keep).argmax(-1, keepdim=True)
    weights = _zeroed(torch.zeros_like(scores).scatter(-1, best, 1.0), keep)
    return weights @ memory, weights


def _attend_best_read(scores, memory, keep=None):
    return _attend_best_alone(scores, memory, keep)[0], _weights(scores, keep)


def _attend_detached(scores, memory, keep=None):
    weights = _weights(scores, keep)
    return weights.detach() @ memory, weights


def _attend_twice(scores, memory, keep=None):
    weights = _weights(_weights(scores, keep), keep)
    return weights @ memory, weights


def _attend_of_a_softmax(scores, memory, keep=None):
    weights = _weights(scores.softmax(-1), keep)
    return weights @ memory, weights


def _attend_twice_but_told_once(scores, memory, keep=None):
    weights = _weights(scores, keep)
    return _weights(weights, keep) @ memory, weights


ATTEND = Exercise(
    reference=reference.attend,
    chapter=CHAPTER,
    outputs=("read", "weights"),
    points={"values": 3, "edges": 2, "gradients": 1, "types": 1, "contracts": 1},
    cases=_attend_cases,
    contract=_attend_contract,
    traps=(
        Trap(
            "softmax over those that ask",
            _attend_over_queries,
            "each state that asks has one distribution over what it may read: rows of the weights "
            "sum to 1. Along dim=-2 the columns do.",
            "From scores to shares",
        ),
        Trap(
            "weights not normalised",
            _attend_no_softmax,
            "scores are not shares: they may be negative, and their sum may be anything. What is "
            "read then grows with the length of the source. Divided by their sum they may still "
            "be negative, or divided by nothing; exponentials are positive, and need the division.",
            "From scores to shares",
            (_attend_exponentials, _attend_divided_by_sum, _attend_no_softmax_but_told),
        ),
        Trap(
            "a softmax too many",
            _attend_twice,
            "masked_softmax has made shares of the scores. A second softmax takes these for "
            "scores, and of two numbers between 0 and 1 none can get more than e times the other's "
            "weight.",
            "From scores to shares",
            (_attend_of_a_softmax, _attend_twice_but_told_once),
        ),
        Trap(
            "the mask forgotten",
            _attend_mask_forgotten,
            "keep changes nothing: every state reads the padding, and the translation of a "
            "sentence depends on the longest one in its batch.",
            "Padding must not be read",
        ),
        Trap(
            "masked after the softmax",
            _attend_then_mask,
            "the padding has already taken its share when it is zeroed: what is left sums to less "
            "than 1. Hide before the softmax.",
            "Padding must not be read",
        ),
        Trap(
            "zeros as padding",
            _attend_zeros_as_padding,
            "a state of zeros adds nothing to what is read, but its score is not minus infinity: "
            "it still takes a share from every real symbol, and the more padding, the more.",
            "Padding must not be read",
        ),
        Trap(
            "mask inverted",
            _attend_inverted,
            "keep is True where a symbol may be read. Inverted, a sentence reads its padding and "
            "nothing else.",
            "Padding must not be read",
            (_attend_inverted_unzeroed,),
        ),
        Trap(
            "the row that may read nothing",
            _attend_nan_row,
            "a state that may read nothing reads zeros: not nan, 0 divided by 0, and not the "
            "average of all that it was to be kept from. masked_softmax does it.",
            "Nothing to read",
            (_attend_average_row,),
        ),
        Trap(
            "the answers in the other order",
            _attend_order,
            "what was read comes first, the weights second.",
            "A mixture of states",
        ),
        Trap(
            "the weights kept back",
            _attend_read_alone,
            "two tensors are asked for: what was read, and the weights, which are the alignment "
            "that one draws.",
            "A mixture of states",
        ),
        Trap(
            "scores returned for weights",
            _attend_scores_returned,
            "the second answer is the shares that were read with, not the scores that they were "
            "made of.",
            "A mixture of states",
            (_attend_hidden_scores_returned,),
        ),
        Trap(
            "a mean on top of the weights",
            _attend_mean,
            "the weights sum to 1: their sum over the memory is the mean already. Divided once "
            "more, by the number of source symbols, long sentences fade.",
            "A mixture of states",
        ),
        Trap(
            "the best one alone",
            _attend_best_alone,
            "taking the state with the highest score is a choice and not a mixture. A choice "
            "jumps, or does not move at all: its derivative by the scores is 0, and nothing "
            "learns to look elsewhere.",
            "A mixture of states",
            (_attend_best_read,),
        ),
        Trap(
            "detached weights",
            _attend_detached,
            "the numbers are right, but detach() cuts the scores off from learning: the model "
            "learns what to do with what it reads and never where to look.",
            "A mixture of states",
        ),
    ),
)


# general_scores


def _general_cases(generator: Generator, device: torch.device) -> Iterator[Case]:
    draw = _Draw(generator, device)
    yield Case("a batch", draw.general(B))
    yield Case("states of one width", draw.general(B, cm=CX))
    yield Case("single precision", draw.general(B, dtype=SINGLE))
    yield Case("half precision", draw.general(B, dtype=HALF, scale=0.7))
    yield Case("bfloat16", draw.general(B, dtype=BFLOAT, scale=0.7))
    yield Case("no batch dimension", draw.general())
    yield Case("two batch dimensions", draw.general(B, 4))
    yield Case("not contiguous", tuple(strided(t) for t in draw.general(B)))
    sizes = {name: draw.integer(2, 9) for name in ("t", "s", "cx", "cm")}
    yield Case("sizes drawn by lot", draw.general(draw.integer(1, 5), **sizes))
    yield Case("one symbol asks, one is read", draw.general(B, t=1, s=1), "edges")
    yield Case("as many ask as are read", draw.general(B, t=S), "edges")
    yield Case("states of width 1", draw.general(B, cx=1, cm=1), "edges")
    yield Case("an empty batch", draw.general(0), "edges")
    yield Case("nothing to read", draw.general(B, s=0), "edges")
    x, memory, _ = draw.general(B, cm=CX)
    off = torch.eye(CX, device=device, dtype=DOUBLE).roll(1, 0)
    yield Case("only different features fit", (x, memory, off), "edges")
    yield Case("large states", draw.general(B, scale=1e3), "edges")


def _general_contract(generator: Generator, device: torch.device) -> Contract:
    # Sizes such that both orders of the two products cost the same.
    b, t, s = 2, 16, 24
    args = _Draw(generator, device).general(b, t=t, s=s, cx=t, cm=s)
    return Contract(
        calls=(args,),
        max_flops=2 * b * (t * t * s + t * s * s),
        max_written=4 * b * t * s + 4 * sum(arg.numel() for arg in args),
        max_intermediate=max(b * t * s, *(arg.numel() for arg in args)),
        forbidden={"bilinear": "it calls torch's own bilinear form; this exercise is to write it"},
    )


def _general_transposed(x, memory, w):
    return x @ w.mT @ memory.mT


def _general_no_w(x, memory, w):
    return x @ memory.mT


def _general_elementwise(x, memory, w):
    width = min(w.shape)
    return (x[..., :width] * w.diagonal()) @ memory[..., :width].mT


def _general_scaled(x, memory, w):
    return x @ w @ memory.mT * memory.shape[-1] ** -0.5


def _general_scaled_by_x(x, memory, w):
    return x @ w @ memory.mT * x.shape[-1] ** -0.5


def _general_memory_asks(x, memory, w):
    return memory @ w.mT @ x.mT


def _general_tanh(x, memory, w):
    return (x @ w).tanh() @ memory.mT


def _general_tanh_of_the_score(x, memory, w):
    return (x @ w @ memory.mT).tanh()


def _general_cosine(x, memory, w):
    normalize = torch.nn.functional.normalize
    return normalize(x @ w, dim=-1) @ normalize(memory, dim=-1).mT


def _general_softmax(x, memory, w):
    return (x @ w @ memory.mT).softmax(-1)


def _general_both_projected(x, memory, w):
    return x @ w @ (memory @ w).mT


def _general_memory_not_transposed(x, memory, w):
    return x @ w @ memory


GENERAL_SCORES = Exercise(
    reference=reference.general_scores,
    chapter=CHAPTER,
    points={"values": 2, "edges": 1, "gradients": 1, "types": 1, "contracts": 1},
    cases=_general_cases,
    contract=_general_contract,
    traps=(
        Trap(
            "w transposed",
            _general_transposed,
            "w is (Cx, Cm): its rows belong to the state that asks, its columns to the state that "
            "is read. Where both have one width nothing complains, and the two change their roles.",
            "Multiply instead of add",
        ),
        Trap(
            "memory not transposed",
            _general_memory_not_transposed,
            "each state that asks meets each state of the memory: rows with rows. A matrix product "
            "takes rows of the first and columns of the second, so memory is transposed, in its "
            "last two dimensions: memory.mT.",
            "Multiply instead of add",
        ),
        Trap(
            "w forgotten",
            _general_no_w,
            "x · memory without a matrix is Luong's dot score. It compares feature 1 of the one "
            "with feature 1 of the other, so both have to speak one language; w translates.",
            "Multiply instead of add",
        ),
        Trap(
            "an element-wise product",
            _general_elementwise,
            "the diagonal of w is a vector: it weighs feature 1 with feature 1 and 2 with 2. All "
            "that stands beside the diagonal, feature 1 of the one with feature 2 of the other, "
            "is what makes the form general.",
            "“Multiplicative attention is an element-wise product with a learned vector”",
        ),
        Trap(
            "scaled",
            _general_scaled,
            "Luong's scores have no scale: w is learned, and can take any factor into itself. The "
            "square root comes in chapter 3, where the reason for it is.",
            "Multiply instead of add",
            (_general_scaled_by_x,),
        ),
        Trap(
            "the memory asks",
            _general_memory_asks,
            "rows are the states that ask, columns those that are read: (T, S).",
            "Multiply instead of add",
        ),
        Trap(
            "a tanh from the additive score",
            _general_tanh,
            "a bilinear form has no bend: twice the state, twice the score. Around the score, "
            "tanh would confine it to [-1, 1].",
            "Multiply instead of add",
            (_general_tanh_of_the_score,),
        ),
        Trap(
            "cosine similarity",
            _general_cosine,
            "length counts as well as direction: it says how strongly a state insists. Normalised, "
            "every score lies in [-1, 1], where the softmax is nearly flat.",
            "Multiply instead of add",
        ),
        Trap(
            "both projected",
            _general_both_projected,
            "w stands between the two states once. Applied to both it is w wᵀ, which is symmetric: "
            "what feature 1 of the one and 2 of the other are worth is then worth the other way "
            "round, too.",
            "Multiply instead of add",
        ),
        Trap(
            "softmax already taken",
            _general_softmax,
            "scores are what comes before the softmax: a mask would come too late, and the next "
            "softmax would flatten the weights.",
            "From scores to shares",
        ),
    ),
)

EXERCISES = (ADDITIVE_SCORES, MASKED_SOFTMAX, ATTEND, GENERAL_SCORES)
