"""Chapter 3's exercises: what must hold, and the wrong answers that people give."""

from collections.abc import Iterator

import torch
from torch import Generator, Tensor

from tutor import attention as reference
from tutor.checks.draw import BFLOAT, DOUBLE, HALF, SINGLE, Draw, strided
from tutor.checks.exercise import Case, Contract, Exercise, Property, Trap

CHAPTER = "03_attention"

# All sizes differ, so that a swapped axis cannot pass.
B, TQ, TK, D, DV = 2, 3, 5, 7, 11


class _Draw(Draw):
    """With the sizes of this chapter."""

    def qkv(self, *batch: int, tq=TQ, tk=TK, d=D, dv=DV, dtype=DOUBLE, scale=1.0):
        return (
            self.normal(*batch, tq, d, dtype=dtype, scale=scale),
            self.normal(*batch, tk, d, dtype=dtype, scale=scale),
            self.normal(*batch, tk, dv, dtype=dtype),
        )


def _lower_right(tq: int, tk: int, device: torch.device) -> Tensor:
    return reference.causal_mask(tq, tk, device=device)


# stable_softmax


def _softmax_cases(generator: Generator, device: torch.device) -> Iterator[Case]:
    draw = _Draw(generator, device)
    yield Case("a batch of rows", (draw.normal(B, TQ, TK), -1))
    yield Case("single precision", (draw.normal(B, TQ, TK, dtype=SINGLE), -1))
    yield Case("half precision", (draw.normal(B, TQ, TK, dtype=HALF), -1))
    yield Case("bfloat16", (draw.normal(B, TQ, TK, dtype=BFLOAT), -1))
    yield Case("one vector", (draw.normal(TK), -1))
    yield Case("four dimensions", (draw.normal(B, 4, TQ, TK), -1))
    yield Case("along the middle dimension", (draw.normal(B, TQ, TK), 1))
    yield Case("along the first dimension", (draw.normal(B, TQ, TK), 0))
    yield Case("counted from the end", (draw.normal(B, TQ, TK), -2))
    yield Case("the dimension left out", (draw.normal(B, TQ, TK),))
    yield Case("not contiguous", (strided(draw.normal(B, TQ, TK)), -1))
    sizes = tuple(draw.integer(2, 9) for _ in range(3))
    yield Case("sizes drawn by lot", (draw.normal(*sizes), -1))

    rows = draw.normal(TQ, TK)
    levels = torch.tensor([1e4, -1e4, 0.0], device=device, dtype=DOUBLE)[:, None]
    yield Case("scores near 10,000 and near -10,000", (rows + levels, -1), "edges")
    yield Case("such scores along the first dimension", ((rows + levels).mT, 0), "edges")
    # So large that a maximum with a rounding error of its own is too far off.
    enormous = (rows + 1e10 * levels, -1)
    yield Case("scores near 1e14 and near -1e14", enormous, "edges", finite_only=True)
    spread = torch.tensor([[1e3, 0.0, -1e3], [-2e3, -2e3, -5e3]], device=device, dtype=DOUBLE)
    yield Case("scores 1,000 apart", (spread, -1), "edges")
    big = torch.tensor([[6e4, -6e4, 0.0], [12.0, 11.0, 10.0]], device=device, dtype=HALF)
    yield Case("half precision near its largest number", (big, -1), "edges")
    banned = rows.clone()
    banned[0, 1:3] = -torch.inf
    banned[2, 0] = -torch.inf
    yield Case("some scores are -inf", (banned, -1), "edges")
    yield Case("one score a row", (draw.normal(B, TQ, 1), -1), "edges")
    yield Case("equal scores", (torch.full((B, TK), 3.0, device=device, dtype=DOUBLE), -1), "edges")
    yield Case("an empty batch", (draw.normal(0, TQ, TK), -1), "edges")


def _shift_changes_nothing(call, generator: Generator, device: torch.device) -> str | None:
    draw = _Draw(generator, device)
    scores = draw.normal(TQ, TK)
    # A power of two: adding it to these scores costs a few bits, not all of them.
    change = (call(scores + 4096.0, -1) - call(scores, -1)).abs().max()
    if not change < 1e-9:
        return f"adding 4,096 to every score changed a weight by {float(change):.2g}"
    return None


def _softmax_contract(generator: Generator, device: torch.device) -> Contract:
    scores = _Draw(generator, device).normal(8, 16, 32)
    n = scores.numel()
    return Contract(
        calls=((scores, -1),),
        max_flops=0,
        max_written=8 * n,
        max_intermediate=n,
        forbidden={"softmax": "it calls torch's own softmax; this exercise is to write it"},
    )


def _softmax_no_maximum(scores, dim=-1):
    exponentials = scores.exp()
    return exponentials / exponentials.sum(dim, keepdim=True)


def _softmax_last_axis_always(scores, dim=-1):
    exponentials = (scores - scores.amax(-1, keepdim=True)).exp()
    return exponentials / exponentials.sum(-1, keepdim=True)


def _softmax_one_maximum_for_all(scores, dim=-1):
    exponentials = (scores - scores.max()).exp()
    return exponentials / exponentials.sum(dim, keepdim=True)


def _softmax_one_sum_for_all(scores, dim=-1):
    exponentials = (scores - scores.amax(dim, keepdim=True)).exp()
    return exponentials / exponentials.sum()


def _softmax_mean_for_maximum(scores, dim=-1):
    exponentials = (scores - scores.mean(dim, keepdim=True)).exp()
    return exponentials / exponentials.sum(dim, keepdim=True)


def _softmax_absolute_maximum(scores, dim=-1):
    exponentials = (scores - scores.abs().amax(dim, keepdim=True)).exp()
    return exponentials / exponentials.sum(dim, keepdim=True)


def _softmax_epsilon(scores, dim=-1):
    exponentials = (scores - scores.amax(dim, keepdim=True)).exp()
    return exponentials / (exponentials.sum(dim, keepdim=True) + 1e-6)


def _softmax_in_place(scores, dim=-1):
    scores -= scores.amax(dim, keepdim=True)
    exponentials = scores.exp()
    return exponentials / exponentials.sum(dim, keepdim=True)


def _softmax_clamped(scores, dim=-1):
    exponentials = scores.clamp(max=80).exp()
    return exponentials / exponentials.sum(dim, keepdim=True)


def _softmax_clamped_on_both_sides(scores, dim=-1):
    exponentials = scores.clamp(-50, 50).exp()
    return exponentials / exponentials.sum(dim, keepdim=True)


def _softmax_divided_by_maximum(scores, dim=-1):
    exponentials = (scores / scores.amax(dim, keepdim=True)).exp()
    return exponentials / exponentials.sum(dim, keepdim=True)


def _softmax_base_two(scores, dim=-1):
    exponentials = (scores - scores.amax(dim, keepdim=True)).exp2()
    return exponentials / exponentials.sum(dim, keepdim=True)


def _softmax_of_minus(scores, dim=-1):
    exponentials = (scores.amax(dim, keepdim=True) - scores).exp()
    return exponentials / exponentials.sum(dim, keepdim=True)


STABLE_SOFTMAX = Exercise(
    reference=reference.stable_softmax,
    chapter=CHAPTER,
    points={"values": 2, "edges": 1, "gradients": 1, "types": 1, "contracts": 1},
    cases=_softmax_cases,
    contract=_softmax_contract,
    properties=(Property("a shift of all scores", _shift_changes_nothing),),
    traps=(
        Trap(
            "no maximum subtracted",
            _softmax_no_maximum,
            "the formula as it stands on paper. exp(710) is already infinite in double precision, "
            "exp(12) in half; inf / inf is nan, and a row of very negative scores becomes 0 / 0. "
            "Subtracting the row's maximum changes no quotient and makes the largest exponent 0.",
            "Step 3: softmax",
        ),
        Trap(
            "always the last axis",
            _softmax_last_axis_always,
            "the dimension is an argument, and the maximum and the sum both run along it. Ignoring "
            "it is right in all calls but those that matter, and no shape gives it away.",
            "Step 3: softmax",
        ),
        Trap(
            "one maximum for the whole tensor",
            _softmax_one_maximum_for_all,
            "scores.max() without a dimension. One row with large scores pushes every other row's "
            "exponents so far down that they all become 0, and that row is 0 / 0. Each row needs "
            "its own maximum: amax(dim, keepdim=True).",
            "Step 3: softmax",
        ),
        Trap(
            "one sum for the whole tensor",
            _softmax_one_sum_for_all,
            "the sum of the exponentials was taken over everything, so that all weights together "
            "sum to 1 where each row should. Every query has a distribution of its own.",
            "Step 3: softmax",
        ),
        Trap(
            "the mean instead of the maximum",
            _softmax_mean_for_maximum,
            "any shift gives the same quotients on paper; only the maximum bounds the exponents. "
            "With the mean, scores that are 1,000 apart still overflow.",
            "Step 3: softmax",
        ),
        Trap(
            "the maximum minus the scores",
            _softmax_of_minus,
            "the sign is the other one: the largest score now gets the smallest weight. It is the "
            "scores minus their maximum, so that no exponent is above 0.",
            "Step 3: softmax",
        ),
        Trap(
            "the largest magnitude instead of the maximum",
            _softmax_absolute_maximum,
            "abs() before the maximum. For a row of scores near -1,000 it subtracts +1,000 and "
            "every exponential underflows to 0: the row is 0 / 0.",
            "Step 3: softmax",
        ),
        Trap(
            "scores cut off",
            _softmax_clamped,
            "clamp bounds the exponents and forgets which score was the larger: above the bound "
            "all get one weight and no gradient. Subtracting the maximum bounds them, too, and "
            "keeps their differences.",
            "Step 3: softmax",
            (_softmax_clamped_on_both_sides,),
        ),
        Trap(
            "divided by the maximum",
            _softmax_divided_by_maximum,
            "a weight depends on the differences of scores. Subtracting one number from all leaves "
            "them as they are; dividing changes them, and turns the order round where the maximum "
            "is negative.",
            "Step 3: softmax",
        ),
        Trap(
            "another base",
            _softmax_base_two,
            "the base is e. With powers of 2 every score counts for ln 2 = 0.69 of itself. (Fast "
            "kernels do use exp2, after multiplying the scores by log₂ e.)",
            "Step 3: softmax",
        ),
        Trap(
            "an epsilon in the denominator",
            _softmax_epsilon,
            "after the maximum is subtracted the sum is at least 1 and never needs protection; "
            "the epsilon only makes every weight a little too small.",
            "Step 3: softmax",
        ),
        Trap(
            "the caller's scores overwritten",
            _softmax_in_place,
            "scores -= ... writes into the tensor that was passed in. Whoever uses those scores "
            "next, the backward pass included, reads shifted ones. Write scores = scores - ...",
            "Step 3: softmax",
        ),
    ),
)


# attention_scores


def _scores_cases(generator: Generator, device: torch.device) -> Iterator[Case]:
    draw = _Draw(generator, device)

    def qk(*batch, **kwargs):
        return draw.qkv(*batch, **kwargs)[:2]

    yield Case("a batch", qk(B))
    yield Case("single precision", qk(B, dtype=SINGLE))
    yield Case("half precision", qk(B, dtype=HALF))
    yield Case("bfloat16", qk(B, dtype=BFLOAT))
    yield Case("no batch dimension", qk())
    yield Case("a batch of several heads", qk(B, 4))
    yield Case("wide keys", qk(B, d=64))
    q, k = qk(B)
    yield Case("not contiguous", (strided(q), strided(k)))
    tq, tk, d = (draw.integer(2, 9) for _ in range(3))
    yield Case("sizes drawn by lot", qk(draw.integer(1, 5), tq=tq, tk=tk, d=d))
    yield Case("one query, one key", qk(B, tq=1, tk=1), "edges")
    yield Case("one query, many keys", qk(B, tq=1), "edges")
    yield Case("width 1", qk(B, d=1), "edges")
    yield Case("an empty batch", qk(0), "edges")
    yield Case("no keys", qk(B, tk=0), "edges")
    yield Case("large numbers", qk(B, scale=1e3), "edges")
    yield Case("long vectors, and short ones", (1e2 * q, 1e-2 * k), "edges")


def _scores_contract(generator: Generator, device: torch.device) -> Contract:
    b, tq, tk, d = 2, 16, 24, 32
    q, k, _ = _Draw(generator, device).qkv(b, tq=tq, tk=tk, d=d)
    return Contract(
        calls=((q, k),),
        max_flops=2 * b * tq * tk * d,
        max_written=6 * b * tq * tk + 4 * (q.numel() + k.numel()),
        max_intermediate=max(q.numel(), k.numel(), b * tq * tk),
    )


def _scores_no_scale(q, k):
    return q @ k.mT


def _scores_divided_by_width(q, k):
    return q @ k.mT / q.shape[-1]


def _scores_half_of_width(q, k):
    return q @ k.mT / (q.shape[-1] / 2)


def _scores_scaled_by_length(q, k):
    return q @ k.mT / max(k.shape[-2], 1) ** 0.5


def _scores_scaled_by_queries(q, k):
    return q @ k.mT / max(q.shape[-2], 1) ** 0.5


def _scores_multiplied(q, k):
    return q @ k.mT * q.shape[-1] ** 0.5


def _scores_cosine(q, k):
    return torch.nn.functional.normalize(q, dim=-1) @ torch.nn.functional.normalize(k, dim=-1).mT


def _scores_transposed(q, k):
    return k @ q.mT * q.shape[-1] ** -0.5


def _scores_detached(q, k):
    return q @ k.detach().mT * q.shape[-1] ** -0.5


def _scores_in_place(q, k):
    q *= q.shape[-1] ** -0.5
    return q @ k.mT


def _scores_keys_not_transposed(q, k):
    return q @ k * q.shape[-1] ** -0.5


ATTENTION_SCORES = Exercise(
    reference=reference.attention_scores,
    chapter=CHAPTER,
    points={"values": 2, "edges": 1, "gradients": 1, "types": 1, "contracts": 1},
    cases=_scores_cases,
    contract=_scores_contract,
    traps=(
        Trap(
            "no scale",
            _scores_no_scale,
            "q·k is a sum of D products, so its standard deviation grows like √D. Unscaled, the "
            "softmax of a wide model is close to one-hot from the first step and passes almost no "
            "gradient. Divide by √D.",
            "Step 2: scale",
        ),
        Trap(
            "divided by D instead of √D",
            _scores_divided_by_width,
            "the variance of q·k is D, its standard deviation √D, and it is the standard deviation "
            "that should become 1. Divided by D the scores are nearly equal, and every query reads "
            "the plain average of all values. (Dividing both q and k by √D does the same.)",
            "Step 2: scale",
        ),
        Trap(
            "D ** 1/2",
            _scores_half_of_width,
            "a power binds tighter than a division: D ** 1/2 is (D ** 1) / 2. Write D ** 0.5.",
            "Step 2: scale",
        ),
        Trap(
            "scaled by the length of a sequence",
            _scores_scaled_by_length,
            "the scale undoes the growth of a sum over the width D. How many queries or keys there "
            "are does not enter a single score. The width is q.shape[-1].",
            "Step 2: scale",
            (_scores_scaled_by_queries,),
        ),
        Trap(
            "multiplied by √D",
            _scores_multiplied,
            "the scale is D to the power -1/2, with the minus.",
            "Step 2: scale",
        ),
        Trap(
            "cosine similarity",
            _scores_cosine,
            "attention compares by dot product: length counts as well as direction, and says how "
            "strongly a word insists. Normalising both "
            "confines every score to [-1, 1], where softmax is nearly flat.",
            "Step 1: dot products",
        ),
        Trap(
            "keys ask, queries answer",
            _scores_transposed,
            "the product is the other way round: rows are queries and columns are keys, because "
            "the softmax that follows runs along a row. It is q @ k.mT.",
            "Step 1: dot products",
        ),
        Trap(
            "keys not transposed",
            _scores_keys_not_transposed,
            "each query meets each key: rows of q with rows of k. A matrix product takes rows of "
            "the first and columns of the second, so the keys are transposed, in their last two "
            "dimensions: k.mT.",
            "Step 1: dot products",
        ),
        Trap(
            "a detached key",
            _scores_detached,
            "the numbers are right, but detach() cuts the keys off from learning: no gradient "
            "reaches whatever produced them.",
            "Learning: the backward pass",
        ),
        Trap(
            "the caller's queries overwritten",
            _scores_in_place,
            "q *= ... writes into the caller's tensor. The second call with the same q starts from "
            "scaled queries, and so does anything else that reads it. Scale a new tensor.",
            "Step 2: scale",
        ),
    ),
)


# causal_mask


def _causal_cases(generator: Generator, device: torch.device) -> Iterator[Case]:
    draw = _Draw(generator, device)
    yield Case("five queries, five keys", (5, 5, device))
    n = draw.integer(6, 12)
    yield Case("square, of a size drawn by lot", (n, n, device))
    yield Case("two queries, two keys", (2, 2, device))
    yield Case("the device left out", (4, 4))
    yield Case("three new queries, five keys", (3, 5, device), "edges")
    yield Case("one new query, all the past", (1, 7, device), "edges")
    tq = draw.integer(2, 6)
    yield Case("rectangular, by lot", (tq, tq + draw.integer(1, 6), device), "edges")
    yield Case("more queries than keys", (5, 3, device), "edges")
    yield Case("a single token", (1, 1, device), "edges")
    yield Case("no queries", (0, 4, device), "edges")
    # Small integers end at 127, and half precision counts to 2,048.
    yield Case("two new queries, a past of 2,050", (2, 2050, device), "edges")


def _causal_contract(generator: Generator, device: torch.device) -> Contract:
    return Contract(
        calls=((24, 32, device),), max_flops=0, max_written=8 * 24 * 32, max_intermediate=32**2
    )


def _causal_strict(num_queries, num_keys, device=None):
    ones = torch.ones(num_queries, num_keys, dtype=torch.bool, device=device)
    return ones.tril(num_keys - num_queries - 1)


def _causal_one_ahead(num_queries, num_keys, device=None):
    ones = torch.ones(num_queries, num_keys, dtype=torch.bool, device=device)
    return ones.tril(num_keys - num_queries + 1)


def _causal_inverted(num_queries, num_keys, device=None):
    ones = torch.ones(num_queries, num_keys, dtype=torch.bool, device=device)
    return ones.triu(num_keys - num_queries + 1)


def _causal_future_only(num_queries, num_keys, device=None):
    ones = torch.ones(num_queries, num_keys, dtype=torch.bool, device=device)
    return ones.triu(num_keys - num_queries)


def _causal_upper_left(num_queries, num_keys, device=None):
    return torch.ones(num_queries, num_keys, dtype=torch.bool, device=device).tril()


def _causal_square(num_queries, num_keys, device=None):
    return torch.ones(num_queries, num_queries, dtype=torch.bool, device=device).tril()


def _causal_float(num_queries, num_keys, device=None):
    return torch.ones(num_queries, num_keys, device=device).tril(num_keys - num_queries)


def _causal_additive(num_queries, num_keys, device=None):
    banned = torch.full((num_queries, num_keys), -torch.inf, device=device)
    return banned.triu(num_keys - num_queries + 1)


def _causal_wrong_shift(num_queries, num_keys, device=None):
    ones = torch.ones(num_queries, num_keys, dtype=torch.bool, device=device)
    return ones.tril(num_queries - num_keys)


CAUSAL_MASK = Exercise(
    reference=reference.causal_mask,
    chapter=CHAPTER,
    points={"values": 2, "edges": 1, "types": 1, "contracts": 1},
    cases=_causal_cases,
    contract=_causal_contract,
    traps=(
        Trap(
            "shifted back by one",
            _causal_strict,
            "a token may read itself; only what comes after it is hidden. With the diagonal "
            "excluded, the first token may read nothing at all.",
            "The causal mask",
        ),
        Trap(
            "shifted forward by one",
            _causal_one_ahead,
            "every query may read one token too many: the very one that it is to predict. Training "
            "loss falls to almost nothing, and generation, where that token does not exist yet, is "
            "noise.",
            "The causal mask",
        ),
        Trap(
            "inverted",
            _causal_inverted,
            "in this course, and in F.scaled_dot_product_attention, True means may be read. "
            "nn.MultiheadAttention uses True for hidden, which is where this usually comes from.",
            "The causal mask",
        ),
        Trap(
            "the future instead of the past",
            _causal_future_only,
            "the triangle is the wrong one: row i should be True at columns up to i. triu keeps "
            "what comes after, tril what comes before.",
            "The causal mask",
        ),
        Trap(
            "aligned to the wrong corner",
            _causal_upper_left,
            "with fewer queries than keys the queries are the newest positions, so the last query "
            "stands at the last key. A triangle from the upper left corner hides the whole recent "
            "past from a model that generates with a cache. (is_causal=True of torch's own SDPA "
            "does exactly that.)",
            "The causal mask",
        ),
        Trap(
            "shifted the wrong way",
            _causal_wrong_shift,
            "the diagonal moves by Tk - Tq: to the right, where there is a past of so many keys. "
            "By Tq - Tk it moves to the left, and the newest query reads hardly more than the "
            "oldest keys.",
            "The causal mask",
        ),
        Trap(
            "always square",
            _causal_square,
            "there are two sizes. Rows are queries, columns are keys, and while generating there "
            "is one query and a long past.",
            "The causal mask",
        ),
        Trap(
            "ones and zeros instead of True and False",
            _causal_float,
            "torch.ones makes floats. A float mask is *added* to the scores by torch's SDPA, and "
            "~mask is an error: the same numbers, another meaning.",
            "The causal mask",
        ),
        Trap(
            "a mask to be added",
            _causal_additive,
            "0 and -inf are the additive form. Here a mask says keep or not: True and False.",
            "The causal mask",
        ),
    ),
)


# padding_mask


def _padding_cases(generator: Generator, device: torch.device) -> Iterator[Case]:
    draw = _Draw(generator, device)

    def lengths(*values, dtype=torch.int64):
        return torch.tensor(values, device=device, dtype=dtype)

    yield Case("three sentences", (lengths(4, 2, 5), 6))
    yield Case("the longest fills the batch", (lengths(3, 7), 7))
    drawn = [draw.integer(1, 9) for _ in range(4)]
    yield Case("lengths drawn by lot", (lengths(*drawn), 9))
    yield Case("32-bit lengths", (lengths(1, 4, 2, dtype=torch.int32), 5))
    yield Case("a sentence of length 0", (lengths(3, 0), 4), "edges")
    yield Case("one sentence", (lengths(2), 3), "edges")
    yield Case("nothing is padding", (lengths(4, 4), 4), "edges")
    yield Case("an empty batch", (lengths(), 4), "edges")
    # Small integers end at 127, and half precision counts to 2,048.
    yield Case("a sentence of 2,049 tokens", (lengths(2049), 2050), "edges")
    table = lengths(4, 2, 5, 1, 3, 6)
    yield Case("two batch dimensions", (table.view(2, 3), 6), "edges")
    yield Case("two batch dimensions, not contiguous", (table.view(3, 2).mT, 6), "edges")


def _padding_contract(generator: Generator, device: torch.device) -> Contract:
    draw = _Draw(generator, device)
    lengths = torch.tensor([draw.integer(1, 64) for _ in range(16)], device=device)
    return Contract(
        calls=((lengths, 64),), max_flops=0, max_written=8 * 16 * 64, max_intermediate=16 * 64
    )


def _padding_inverted(lengths, num_keys):
    return torch.arange(num_keys, device=lengths.device) >= lengths[..., None, None]


def _padding_one_more(lengths, num_keys):
    return torch.arange(num_keys, device=lengths.device) <= lengths[..., None, None]


def _padding_left(lengths, num_keys):
    return torch.arange(num_keys, device=lengths.device) >= num_keys - lengths[..., None, None]


def _padding_no_query_dimension(lengths, num_keys):
    return torch.arange(num_keys, device=lengths.device) < lengths[..., None]


def _padding_over_queries(lengths, num_keys):
    return torch.arange(num_keys, device=lengths.device)[:, None] < lengths[..., None, None]


def _padding_both_sides(lengths, num_keys):
    real = torch.arange(num_keys, device=lengths.device) < lengths[..., None]
    return real[..., :, None] & real[..., None, :]


def _padding_float(lengths, num_keys):
    return (torch.arange(num_keys, device=lengths.device) < lengths[..., None, None]).float()


def _padding_longest(lengths, num_keys):
    longest = int(lengths.max()) if lengths.numel() else num_keys
    return torch.arange(longest, device=lengths.device) < lengths[..., None, None]


def _padding_one_less(lengths, num_keys):
    return torch.arange(num_keys, device=lengths.device) < lengths[..., None, None] - 1


PADDING_MASK = Exercise(
    reference=reference.padding_mask,
    chapter=CHAPTER,
    points={"values": 2, "edges": 1, "types": 1, "contracts": 1},
    cases=_padding_cases,
    contract=_padding_contract,
    traps=(
        Trap(
            "inverted",
            _padding_inverted,
            "True means may be read. Inverted, every sentence reads its padding and nothing else, "
            "and all sentences of one length look alike to the model.",
            "The padding mask",
        ),
        Trap(
            "one position too many",
            _padding_one_more,
            "positions count from 0, so a sentence of length 4 owns positions 0 to 3: j < length, "
            "not j <= length.",
            "The padding mask",
        ),
        Trap(
            "one position too few",
            _padding_one_less,
            "a length of 4 means four real tokens, at the positions 0 to 3. The last of them may "
            "be read, too: j < length.",
            "The padding mask",
        ),
        Trap(
            "padding on the left",
            _padding_left,
            "the batch here is padded at the end. Left padding exists (for generation, where the "
            "newest tokens should line up), but it is another layout.",
            "The padding mask",
        ),
        Trap(
            "no dimension for the queries",
            _padding_no_query_dimension,
            "(B, Tk) meets scores of shape (B, Tq, Tk) from the right: the batch lands on the "
            "queries. It raises if B and Tq differ, and where they happen to be equal it masks the "
            "wrong things in silence. Put a 1 in between: (B, 1, Tk).",
            "The padding mask",
        ),
        Trap(
            "as wide as the longest sentence",
            _padding_longest,
            "num_keys says how many keys there are, and the batch may be padded further than its "
            "longest sentence. The mask has a column for each key.",
            "The padding mask",
        ),
        Trap(
            "laid over the queries",
            _padding_over_queries,
            "the mask stands on its side: it stops padding from asking, and lets every real token "
            "read the padding. Keys run along the last dimension.",
            "The padding mask",
        ),
        Trap(
            "padding may not ask either",
            _padding_both_sides,
            "hiding the padded queries costs T² entries and creates rows that may read nothing. "
            "What a padded query computes is thrown away anyway; it is enough to hide the keys.",
            "The padding mask",
        ),
        Trap(
            "ones and zeros instead of True and False",
            _padding_float,
            "a float mask is added to the scores by torch's SDPA: padding gets 0 and real tokens "
            "1 more, which hides nothing.",
            "The padding mask",
        ),
    ),
)


# scaled_dot_product_attention


def _attention_cases(generator: Generator, device: torch.device) -> Iterator[Case]:
    draw = _Draw(generator, device)
    yield Case("a batch", (*draw.qkv(B), None))
    yield Case("single precision", (*draw.qkv(B, dtype=SINGLE), None))
    yield Case("half precision", (*draw.qkv(B, dtype=HALF), None))
    yield Case("bfloat16", (*draw.qkv(B, dtype=BFLOAT), None))
    yield Case("no batch dimension", (*draw.qkv(), None))
    yield Case("a batch of several heads", (*draw.qkv(B, 4), None))
    yield Case("the mask left out", draw.qkv(B))
    yield Case("wide keys", (*draw.qkv(B, d=64), None))
    q, k, v = draw.qkv(B)
    yield Case("not contiguous", (strided(q), strided(k), strided(v), None))
    sizes = {name: draw.integer(2, 9) for name in ("tq", "tk", "d", "dv")}
    yield Case("sizes drawn by lot", (*draw.qkv(draw.integer(2, 5), **sizes), None))

    yield Case("a mask for each query", (*draw.qkv(B), draw.keep(B, TQ, TK)), "edges")
    single = draw.qkv(B, dtype=SINGLE)
    yield Case("a mask, single precision", (*single, draw.keep(B, TQ, TK)), "edges")
    half = draw.qkv(B, dtype=HALF)
    yield Case("a mask, half precision", (*half, draw.keep(B, TQ, TK)), "edges")
    heads = draw.keep(B, 1, TQ, TK)
    yield Case("one mask for all heads", (*draw.qkv(B, 4), heads), "edges")
    yield Case("a padding mask", (*draw.qkv(B), draw.keep(B, 1, TK)), "edges")
    causal = _lower_right(TQ, TK, device)
    yield Case("a causal mask, three new of five", (*draw.qkv(B), causal), "edges")
    lonely = draw.keep(B, TQ, TK)
    lonely[0, 1] = False
    yield Case("one query may read nothing", (*draw.qkv(B), lonely), "edges")
    nothing = torch.zeros(B, TQ, TK, dtype=torch.bool, device=device)
    yield Case("no query may read anything", (*draw.qkv(B), nothing), "edges")
    yield Case("nothing to read, half precision", (*half, nothing), "edges")
    hidden = draw.keep(B, TQ, TK)
    hidden[..., 0] = False
    q, k, v = draw.qkv(B)
    # The hidden key scores far above all others: hiding it must not push them to 0.
    k[:, 0] = 1e4 * q.sum(1)
    yield Case("the largest score is hidden", (q, k, v, hidden), "edges")
    yield Case("only a very low score may be read", _low_score(draw, device), "edges")
    yield Case("a mask, not contiguous", (*draw.qkv(B), strided(draw.keep(B, TQ, TK))), "edges")
    yield Case("one query, one key", (*draw.qkv(B, tq=1, tk=1), None), "edges")
    yield Case("an empty batch", (*draw.qkv(0), None), "edges")
    yield Case("large scores", (*draw.qkv(B, scale=40.0), None), "edges")
    huge = draw.qkv(B, dtype=HALF, scale=40.0)
    yield Case("large scores, half precision", (*huge, None), "edges", finite_only=True)
    integers = draw.keep(B, TQ, TK).to(torch.int64)
    yield Case(
        "a mask of integers must raise TypeError", (*draw.qkv(B), integers), "edges", TypeError
    )


def _low_score(draw: _Draw, device: torch.device) -> tuple[Tensor, ...]:
    """The one key that may be read scores far below what people hide the others with."""
    q, k, v = draw.qkv(B)
    q = q.abs() + 1
    k[:, 2] = -3e4
    return q, k, v, (torch.arange(TK, device=device) == 2).expand(TQ, TK)


def _future_edit_leaves_past(call, generator: Generator, device: torch.device) -> str | None:
    draw = _Draw(generator, device)
    q, k, v = draw.qkv(B, tq=TK)
    keep = _lower_right(TK, TK, device)
    before = call(q, k, v, keep)
    k2, v2 = k.clone(), v.clone()
    k2[:, 3:], v2[:, 3:] = draw.normal(B, TK - 3, D), draw.normal(B, TK - 3, DV)
    change = (call(q, k2, v2, keep) - before)[:, :3].abs().max()
    if change != 0:  # nan differs too
        return f"new tokens after position 2 changed the answers up to there by {float(change):.2g}"
    return None


def _attention_contract(generator: Generator, device: torch.device) -> Contract:
    b, tq, tk, d, dv = 2, 16, 24, 32, 8
    draw = _Draw(generator, device)
    q, k, v = draw.qkv(b, tq=tq, tk=tk, d=d, dv=dv)
    inputs = q.numel() + k.numel() + v.numel()
    return Contract(
        calls=((q, k, v, draw.keep(b, tq, tk)), (q, k, v, None)),
        max_flops=2 * b * tq * tk * (d + dv),
        max_written=16 * b * tq * tk + 4 * inputs,
        max_intermediate=max(q.numel(), k.numel(), b * tq * tk),
        forbidden=_LIBRARY_ATTENTION,
    )


_LIBRARY = "it calls torch's own attention; this exercise is to write it"
_LIBRARY_ATTENTION = {
    "scaled_dot_product": _LIBRARY,
    "_safe_softmax": _LIBRARY,  # what torch's own attention becomes where it has no kernel
    "multi_head_attention": _LIBRARY,
    "flex_attention": _LIBRARY,
}


def _hide(scores, keep, value=None):
    """The right way to hide scores, unless another value is given."""
    if keep is None:
        return scores
    if keep.dtype != torch.bool:
        raise TypeError(f"keep must be bool, got {keep.dtype}")
    return scores.masked_fill(~keep, torch.finfo(scores.dtype).min if value is None else value)


def _weights(scores, keep, dim=-1):
    weights = _hide(scores, keep).softmax(dim)
    return weights if keep is None else weights * keep


def _attention_no_scale(q, k, v, keep=None):
    return _weights(q @ k.mT, keep) @ v


def _attention_divided_by_width(q, k, v, keep=None):
    return _weights(q @ k.mT / q.shape[-1], keep) @ v


def _attention_scale_after_softmax(q, k, v, keep=None):
    return _weights(q @ k.mT, keep) / q.shape[-1] ** 0.5 @ v


def _attention_over_queries(q, k, v, keep=None):
    return _weights(q @ k.mT * q.shape[-1] ** -0.5, keep, dim=-2) @ v


def _attention_over_batch(q, k, v, keep=None):
    return _weights(q @ k.mT * q.shape[-1] ** -0.5, keep, dim=0) @ v


def _attention_unspecified_axis(q, k, v, keep=None):
    scores = _hide(q @ k.mT * q.shape[-1] ** -0.5, keep)
    weights = scores.softmax(0 if scores.ndim in (0, 1, 3) else 1)  # what nn.Softmax() takes
    return weights @ v


def _attention_mask_forgotten(q, k, v, keep=None):
    _hide(q @ k.mT, keep)
    return (q @ k.mT * q.shape[-1] ** -0.5).softmax(dim=-1) @ v


def _attention_renormalised(q, k, v, keep=None):
    weights = _hide((q @ k.mT * q.shape[-1] ** -0.5).softmax(dim=-1), keep, 0.0)
    return weights / weights.sum(-1, keepdim=True) @ v


def _attention_renormalised_with_care(q, k, v, keep=None):
    weights = _hide((q @ k.mT * q.shape[-1] ** -0.5).softmax(dim=-1), keep, 0.0)
    return weights / weights.sum(-1, keepdim=True).clamp_min(1e-9) @ v


def _attention_exponentials_masked(q, k, v, keep=None):
    exponentials = _hide((q @ k.mT * q.shape[-1] ** -0.5).exp(), keep, 0.0)
    return exponentials / exponentials.sum(-1, keepdim=True) @ v


def _attention_mask_after_softmax(q, k, v, keep=None):
    weights = (q @ k.mT * q.shape[-1] ** -0.5).softmax(dim=-1)
    return _hide(weights, keep, 0.0) @ v


def _attention_mask_inverted(q, k, v, keep=None):
    if keep is not None and keep.dtype == torch.bool:
        keep = ~keep
    return _weights(q @ k.mT * q.shape[-1] ** -0.5, keep) @ v


def _attention_mask_inverted_unzeroed(q, k, v, keep=None):
    hidden = ~keep if keep is not None and keep.dtype == torch.bool else keep
    return _hide(q @ k.mT * q.shape[-1] ** -0.5, hidden).softmax(dim=-1) @ v


def _attention_mask_half_inverted(q, k, v, keep=None):
    hidden = ~keep if keep is not None and keep.dtype == torch.bool else keep
    weights = _hide(q @ k.mT * q.shape[-1] ** -0.5, hidden).softmax(dim=-1)
    return _hide(weights, keep, 0.0) @ v


def _attention_mask_times_scores(q, k, v, keep=None):
    scores = _hide(q @ k.mT * q.shape[-1] ** -0.5, keep, 0.0)
    return scores.softmax(dim=-1) @ v


def _attention_minus_1e9(q, k, v, keep=None):
    scores = _hide(q @ k.mT * q.shape[-1] ** -0.5, keep, -1e9)
    return scores.softmax(dim=-1) @ v


def _attention_not_low_enough(q, k, v, keep=None):
    weights = _hide(q @ k.mT * q.shape[-1] ** -0.5, keep, -1e4).softmax(dim=-1)
    return _hide(weights, keep, 0.0) @ v


def _attention_half_lowest(q, k, v, keep=None):
    weights = _hide(q @ k.mT * q.shape[-1] ** -0.5, keep, -65504.0).softmax(dim=-1)
    return _hide(weights, keep, 0.0) @ v


def _attention_float_bias(q, k, v, keep=None):
    scores = q @ k.mT * q.shape[-1] ** -0.5
    if keep is not None:
        _hide(scores, keep)
        scores = scores + (~keep).float() * -1e9
    return scores.softmax(dim=-1) @ v


def _attention_log_bias(q, k, v, keep=None):
    scores = q @ k.mT * q.shape[-1] ** -0.5
    if keep is not None:
        _hide(scores, keep)
        scores = scores + keep.log()
    return scores.softmax(dim=-1) @ v


def _attention_nan_row(q, k, v, keep=None):
    scores = _hide(q @ k.mT * q.shape[-1] ** -0.5, keep, -torch.inf)
    return scores.softmax(dim=-1) @ v


def _attention_average_row(q, k, v, keep=None):
    scores = _hide(q @ k.mT * q.shape[-1] ** -0.5, keep)
    return scores.softmax(dim=-1) @ v


def _attention_nan_gradient(q, k, v, keep=None):
    scores = q @ k.mT * q.shape[-1] ** -0.5
    scores = scores + _hide(torch.zeros_like(scores), keep, -torch.inf)
    return scores.softmax(dim=-1).nan_to_num(0.0) @ v


def _attention_in_place(q, k, v, keep=None):
    q *= q.shape[-1] ** -0.5
    return _weights(q @ k.mT, keep) @ v


def _attention_no_softmax(q, k, v, keep=None):
    return _hide(q @ k.mT * q.shape[-1] ** -0.5, keep, 0.0) @ v


def _attention_softmax_twice(q, k, v, keep=None):
    weights = _weights(q @ k.mT * q.shape[-1] ** -0.5, keep)
    return _weights(weights, keep) @ v


def _attention_softmax_of_a_softmax(q, k, v, keep=None):
    return _weights((q @ k.mT * q.shape[-1] ** -0.5).softmax(-1), keep) @ v


def _attention_scaled_by_value_width(q, k, v, keep=None):
    return _weights(q @ k.mT * v.shape[-1] ** -0.5, keep) @ v


def _attention_scaled_by_length(q, k, v, keep=None):
    return _weights(q @ k.mT * k.shape[-2] ** -0.5, keep) @ v


def _attention_ones_added(q, k, v, keep=None):
    scores = q @ k.mT * q.shape[-1] ** -0.5
    if keep is not None:
        _hide(scores, keep)
        scores = scores + keep
    return scores.softmax(-1) @ v


def _attention_always_causal(q, k, v, keep=None):
    tq, tk = q.shape[-2], k.shape[-2]
    past = torch.ones(tq, tk, dtype=torch.bool, device=q.device).tril(tk - tq)
    keep = past if keep is None else keep & past
    return _weights(q @ k.mT * q.shape[-1] ** -0.5, keep) @ v


def _attention_keys_not_transposed(q, k, v, keep=None):
    return _weights(q @ k * q.shape[-1] ** -0.5, keep) @ v


SCALED_DOT_PRODUCT_ATTENTION = Exercise(
    reference=reference.scaled_dot_product_attention,
    chapter=CHAPTER,
    points={"values": 3, "edges": 3, "gradients": 2, "types": 1, "contracts": 1},
    cases=_attention_cases,
    contract=_attention_contract,
    properties=(Property("a future edit leaves the past unchanged", _future_edit_leaves_past),),
    traps=(
        Trap(
            "no scale",
            _attention_no_scale,
            "q·k is a sum of D products, so its standard deviation grows like √D. Unscaled, the "
            "softmax of a wide model is close to one-hot from the first step and passes almost no "
            "gradient. Divide by √D.",
            "Step 2: scale",
        ),
        Trap(
            "keys not transposed",
            _attention_keys_not_transposed,
            "each query meets each key: rows of q with rows of k, q @ k.mT. (.mT turns the last "
            "two dimensions round; .T turns all of them, the batch included.)",
            "Step 1: dot products",
        ),
        Trap(
            "divided by D instead of √D",
            _attention_divided_by_width,
            "the variance of q·k is D, its standard deviation √D, and it is the standard deviation "
            "that should become 1. Divided by D the scores are nearly equal, and every query reads "
            "the plain average of all values.",
            "Step 2: scale",
        ),
        Trap(
            "scaled after the softmax",
            _attention_scale_after_softmax,
            "the division by √D stands inside the softmax, where it decides how sharp the choice "
            "is. After it, the choice is as sharp as without a scale and the weights of a row no "
            "longer sum to 1.",
            "Step 2: scale",
        ),
        Trap(
            "scaled by another size",
            _attention_scaled_by_value_width,
            "q·k is a sum over D, the width of queries and keys, and its standard deviation grows "
            "with √D. The width of the values and the number of keys have no part in that sum.",
            "Step 2: scale",
            (_attention_scaled_by_length,),
        ),
        Trap(
            "no softmax",
            _attention_no_softmax,
            "scores are no shares: they may be negative, do not sum to 1, and make the answer grow "
            "with the number of keys.",
            "Step 3: softmax",
        ),
        Trap(
            "a softmax too many",
            _attention_softmax_twice,
            "scores go through one softmax. Weights between 0 and 1 taken for scores again give "
            "none more than e times the weight of another: every query reads nearly the plain "
            "average.",
            "Step 3: softmax",
            (_attention_softmax_of_a_softmax,),
        ),
        Trap(
            "softmax over the queries",
            _attention_over_queries,
            "each query has a distribution over the keys: rows sum to 1. Along dim=-2 the keys "
            "share out the queries instead, and adding one query changes all other answers. "
            "Keys run along the last dimension.",
            "Step 3: softmax",
        ),
        Trap(
            "softmax over the batch",
            _attention_over_batch,
            "dim=0 is the batch: sentences share out their weights among each other. Keys run "
            "along the last dimension, dim=-1. (nn.Softmax() without a dim takes the first or the "
            "second, depending on how many there are.)",
            "Step 3: softmax",
            (_attention_unspecified_axis,),
        ),
        Trap(
            "the mask forgotten",
            _attention_mask_forgotten,
            "keep changes nothing: every query reads every key. (masked_fill returns a new tensor "
            "and leaves the old one as it was: scores = scores.masked_fill(...).)",
            "Masks",
        ),
        Trap(
            "renormalised after the softmax",
            _attention_renormalised,
            "dividing by what is left mends the row sums until a hidden score takes everything: "
            "then 0 is divided by 0, or what is left has no digits left. Hide before the softmax.",
            "Masks",
            (_attention_renormalised_with_care, _attention_exponentials_masked),
        ),
        Trap(
            "masked after the softmax",
            _attention_mask_after_softmax,
            "the hidden keys have already taken their share when they are zeroed: the remaining "
            "weights sum to less than 1, and how much less tells of the hidden scores. A causal "
            "model masked like this sees the future through its row sums.",
            "Masks",
        ),
        Trap(
            "mask inverted",
            _attention_mask_inverted,
            "keep is True where a key may be read, as in F.scaled_dot_product_attention. "
            "masked_fill fills where its argument is True, so it needs ~keep. "
            "(nn.MultiheadAttention has it the other way round.)",
            "Masks",
            (_attention_mask_inverted_unzeroed, _attention_mask_half_inverted),
        ),
        Trap(
            "the mask multiplies the scores",
            _attention_mask_times_scores,
            "a score of 0 is not a weight of 0: exp(0) is 1, so a hidden key still gets a share, "
            "and more than a visible key with a negative score.",
            "Masks",
        ),
        Trap(
            "True and False added",
            _attention_ones_added,
            "added to scores, True is 1 and False is 0: a hidden key loses a factor of e and keeps "
            "the rest of its weight. masked_fill hides it.",
            "Masks",
        ),
        Trap(
            "always causal",
            _attention_always_causal,
            "what a query may read is the caller's to say, with keep. An encoder reads both ways, "
            "and a decoder reads all of its source.",
            "The causal mask",
        ),
        Trap(
            "nothing to read, so everything is read",
            _attention_average_row,
            "a row of equal scores, however low, is a uniform distribution: the query that may "
            "read nothing gets the average of all the values it was to be kept from. Multiply the "
            "weights by keep after the softmax.",
            "The row that may read nothing",
        ),
        Trap(
            "-1e9 as minus infinity",
            _attention_minus_1e9,
            "half precision ends at 65,504 and cannot hold -1e9, so the first run in half "
            "precision fails. And a row that may read nothing is a row of equal scores: it "
            "averages everything it was to be kept from. Take finfo(dtype).min, and zero such "
            "rows.",
            "The row that may read nothing",
        ),
        Trap(
            "not low enough",
            _attention_not_low_enough,
            "a key that may be read scored below the number that stands for hidden, so the hidden "
            "keys won the softmax. Scores have no lower bound: take finfo(dtype).min.",
            "The row that may read nothing",
            (_attention_half_lowest,),
        ),
        Trap(
            "a float32 mask in another precision",
            _attention_float_bias,
            "adding a float32 tensor turns half-precision scores into float32, which the values "
            "are not. And added, -1e9 or -inf leaves a row that may read nothing with an average "
            "or with nan. masked_fill keeps the dtype and needs no second tensor.",
            "The row that may read nothing",
            (_attention_log_bias,),
        ),
        Trap(
            "the row that may read nothing",
            _attention_nan_row,
            "all its scores are -inf, and softmax divides 0 by 0. The other rows hide it until a "
            "loss turns nan hours into training. Try: look at weights.sum(-1) for that row.",
            "The row that may read nothing",
        ),
        Trap(
            "nan swept under the rug",
            _attention_nan_gradient,
            "nan_to_num mends the answer and not the derivative: softmax's backward pass "
            "multiplies by its own nan output, and the gradient of that row is nan. A finite fill "
            "never makes a nan in the first place.",
            "The row that may read nothing",
        ),
        Trap(
            "the caller's queries overwritten",
            _attention_in_place,
            "q *= ... writes into the caller's tensor. The second call with the same q starts from "
            "scaled queries, and so does anything else that reads it. Scale a new tensor.",
            "Step 2: scale",
        ),
    ),
)


# self_attention


def _self_cases(generator: Generator, device: torch.device) -> Iterator[Case]:
    draw = _Draw(generator, device)
    t, c = 5, 13

    def inputs(*batch, t=t, c=c, d=D, dv=DV, dtype=DOUBLE):
        x = draw.normal(*batch, t, c, dtype=dtype)
        w = [draw.normal(c, n, scale=c**-0.5, dtype=dtype) for n in (d, d, dv)]
        return (x, *w)

    yield Case("a batch", (*inputs(B), None))
    yield Case("single precision", (*inputs(B, dtype=SINGLE), None))
    yield Case("half precision", (*inputs(B, dtype=HALF), None))
    yield Case("bfloat16", (*inputs(B, dtype=BFLOAT), None))
    yield Case("no batch dimension", (*inputs(), None))
    yield Case("two batch dimensions", (*inputs(B, 4), None))
    x, *w = inputs(B)
    yield Case("not contiguous", (strided(x), *(strided(m) for m in w), None))
    sizes = {name: draw.integer(2, 9) for name in ("t", "c", "d", "dv")}
    yield Case("sizes drawn by lot", (*inputs(draw.integer(2, 5), **sizes), None))
    yield Case("square weights", (*inputs(B, c=D, dv=D), None))

    yield Case("the mask left out", inputs(B))
    causal = _lower_right(t, t, device)
    yield Case("a causal mask", (*inputs(B), causal), "edges")
    yield Case("a causal mask, no batch dimension", (*inputs(), causal), "edges")
    yield Case("a causal mask, half precision", (*inputs(B, dtype=HALF), causal), "edges")
    yield Case("a padding mask", (*inputs(B), draw.keep(B, 1, t)), "edges")
    yield Case("a mask, not contiguous", (*inputs(B), strided(draw.keep(B, t, t))), "edges")
    lonely = draw.keep(B, t, t)
    lonely[1, 2] = False
    yield Case("one token may read nothing", (*inputs(B), lonely), "edges")
    x, w_q, w_k, w_v = (a.abs() for a in inputs(B))
    itself = torch.eye(t, dtype=torch.bool, device=device)
    low = (x + 1, w_q, -1e3 * w_k, w_v, itself)
    yield Case("only a very low score may be read", low, "edges")
    yield Case("a single token", (*inputs(B, t=1), None), "edges")
    yield Case("an empty batch", (*inputs(0), None), "edges")


def _shuffled_in_shuffled_out(call, generator: Generator, device: torch.device) -> str | None:
    draw = _Draw(generator, device)
    t, c = 6, 13
    x, w = draw.normal(B, t, c), [draw.normal(c, n) for n in (D, D, DV)]
    order = torch.randperm(t, generator=generator).to(device)
    change = (call(x[:, order], *w, None) - call(x, *w, None)[:, order]).abs().max()
    if not change < 1e-10:
        return f"shuffled tokens should give the same answers, shuffled; off by {float(change):.2g}"
    return None


def _self_contract(generator: Generator, device: torch.device) -> Contract:
    b, t, c, d, dv = 2, 24, 32, 16, 8
    draw = _Draw(generator, device)
    x, w = draw.normal(b, t, c), [draw.normal(c, n) for n in (d, d, dv)]
    projections = 2 * b * t * c * (2 * d + dv)
    return Contract(
        calls=((x, *w, _lower_right(t, t, device)), (x, *w, None)),
        max_flops=projections + 2 * b * t * t * (d + dv),
        max_written=16 * b * t * t + 12 * x.numel(),
        max_intermediate=b * t * max(c, 2 * d + dv, t),  # the projections may be one product
        forbidden=_LIBRARY_ATTENTION,
    )


def _self_values_not_projected(x, w_q, w_k, w_v, keep=None):
    q, k = x @ w_q, x @ w_k
    return _weights(q @ k.mT * q.shape[-1] ** -0.5, keep) @ x


def _self_roles_swapped(x, w_q, w_k, w_v, keep=None):
    q, k, v = x @ w_k, x @ w_q, x @ w_v
    return _weights(q @ k.mT * q.shape[-1] ** -0.5, keep) @ v


def _self_one_projection(x, w_q, w_k, w_v, keep=None):
    q, k, v = x @ w_q, x @ w_q, x @ w_v
    return _weights(q @ k.mT * q.shape[-1] ** -0.5, keep) @ v


def _self_mask_forgotten(x, w_q, w_k, w_v, keep=None):
    q, k, v = x @ w_q, x @ w_k, x @ w_v
    return _weights(q @ k.mT * q.shape[-1] ** -0.5, None) @ v


def _self_scale_of_model_width(x, w_q, w_k, w_v, keep=None):
    q, k, v = x @ w_q, x @ w_k, x @ w_v
    return _weights(q @ k.mT * x.shape[-1] ** -0.5, keep) @ v


def _self_weights_transposed(x, w_q, w_k, w_v, keep=None):
    q, k, v = x @ w_q.mT, x @ w_k.mT, x @ w_v.mT
    return _weights(q @ k.mT * q.shape[-1] ** -0.5, keep) @ v


def _self_unprojected(x, w_q, w_k, w_v, keep=None):
    return _weights(x @ x.mT * x.shape[-1] ** -0.5, keep) @ (x @ w_v)


def _self_mask_inverted(x, w_q, w_k, w_v, keep=None):
    q, k, v = x @ w_q, x @ w_k, x @ w_v
    return _weights(q @ k.mT * q.shape[-1] ** -0.5, None if keep is None else ~keep) @ v


SELF_ATTENTION = Exercise(
    reference=reference.self_attention,
    chapter=CHAPTER,
    points={"values": 3, "edges": 2, "gradients": 1, "types": 1, "contracts": 1},
    cases=_self_cases,
    contract=_self_contract,
    properties=(
        Property("shuffled tokens, shuffled answers", _shuffled_in_shuffled_out, "values"),
    ),
    traps=(
        Trap(
            "values not projected",
            _self_values_not_projected,
            "the tokens themselves are averaged instead of their values x w_v. What a token is "
            "found by and what it hands over are different things; w_v is what decides the second.",
            "One sequence asks itself",
        ),
        Trap(
            "queries and keys swapped",
            _self_roles_swapped,
            "q = x w_q and k = x w_k. Swapped, the score of (i, j) becomes that of (j, i): the "
            "verb that looked for its subject is now looked for by it.",
            "One sequence asks itself",
        ),
        Trap(
            "one projection for queries and keys",
            _self_one_projection,
            "with q = k the scores are symmetric, and every token scores high with itself: what I "
            "look for and what I am found by become the same thing.",
            "One sequence asks itself",
        ),
        Trap(
            "the mask forgotten",
            _self_mask_forgotten,
            "keep is accepted and never passed on. Nothing crashes: the model reads its padding "
            "and its future.",
            "Masks",
        ),
        Trap(
            "mask inverted",
            _self_mask_inverted,
            "keep is True where a token may be read, here as in scaled_dot_product_attention: pass "
            "it on as it is.",
            "Masks",
        ),
        Trap(
            "scaled by the width of the model",
            _self_scale_of_model_width,
            "the sum in q·k runs over D, the width after the projection. C is the width before it.",
            "Step 2: scale",
        ),
        Trap(
            "nn.Linear's orientation",
            _self_weights_transposed,
            "nn.Linear stores its weight as (out, in) and multiplies by the transpose. Here the "
            "weights are (in, out): x @ w_q.",
            "One sequence asks itself",
        ),
        Trap(
            "no projection for queries and keys",
            _self_unprojected,
            "x xᵀ compares tokens as they are: a token can then only find what resembles it. The "
            "projections let it look for something else.",
            "One sequence asks itself",
        ),
    ),
)


# attention_backward


def _backward_cases(generator: Generator, device: torch.device) -> Iterator[Case]:
    draw = _Draw(generator, device)

    def inputs(*batch, dtype=DOUBLE, tq=TQ, tk=TK, d=D, dv=DV):
        q, k, v = draw.qkv(*batch, tq=tq, tk=tk, d=d, dv=dv, dtype=dtype)
        # Differences of sums of dv products: the short dtypes round them more than the tolerance
        # allows once in some ten thousand draws, unless the sums are small.
        scale = 0.25 if dtype in (HALF, BFLOAT) else 1.0
        return (draw.normal(*batch, tq, dv, dtype=dtype, scale=scale), q, k, v)

    yield Case("a batch", (*inputs(B), None))
    yield Case("single precision", (*inputs(B, dtype=SINGLE), None))
    yield Case("half precision", (*inputs(B, dtype=HALF), None))
    yield Case("bfloat16", (*inputs(B, dtype=BFLOAT), None))
    yield Case("no batch dimension", (*inputs(), None))
    yield Case("a batch of several heads", (*inputs(B, 4), None))
    yield Case("the mask left out", inputs(B))
    yield Case("wide keys", (*inputs(B, d=64), None))
    yield Case("not contiguous", (*(strided(t) for t in inputs(B)), None))
    sizes = {name: draw.integer(2, 9) for name in ("tq", "tk", "d", "dv")}
    yield Case("sizes drawn by lot", (*inputs(draw.integer(2, 5), **sizes), None))

    yield Case("a mask for each query", (*inputs(B), draw.keep(B, TQ, TK)), "edges")
    masked = inputs(B, dtype=HALF)
    yield Case("a mask, half precision", (*masked, draw.keep(B, TQ, TK)), "edges")
    yield Case("a mask, not contiguous", (*inputs(B), strided(draw.keep(B, TQ, TK))), "edges")
    yield Case("a padding mask", (*inputs(B), draw.keep(B, 1, TK)), "edges")
    causal = _lower_right(TQ, TK, device)
    yield Case("a causal mask, three new of five", (*inputs(B), causal), "edges")
    yield Case("a causal mask, no batch dimension", (*inputs(), causal), "edges")
    grad_out, *_ = inputs(B)
    low = (grad_out, *_low_score(draw, device))
    yield Case("only a very low score may be read", low, "edges")
    lonely = draw.keep(B, TQ, TK)
    lonely[0, 1] = False
    yield Case("one query may read nothing", (*inputs(B), lonely), "edges")
    yield Case("one query, one key", (*inputs(B, tq=1, tk=1), None), "edges")
    yield Case("an empty batch", (*inputs(0), None), "edges")


def _backward_contract(generator: Generator, device: torch.device) -> Contract:
    b, tq, tk, d, dv = 2, 16, 24, 32, 8
    draw = _Draw(generator, device)
    q, k, v = draw.qkv(b, tq=tq, tk=tk, d=d, dv=dv)
    grad_out = draw.normal(b, tq, dv)
    inputs = q.numel() + k.numel() + 2 * v.numel()
    # Scores, dv, dw, dq and dk are five products; a sixth, the answer itself, is one way to the
    # row sums (Σ_j w_j dw_j = grad_out · out).
    return Contract(
        calls=((grad_out, q, k, v, draw.keep(b, tq, tk)), (grad_out, q, k, v, None)),
        max_flops=2 * b * tq * tk * (3 * d + 3 * dv),
        max_written=24 * b * tq * tk + 8 * inputs,
        max_intermediate=max(q.numel(), k.numel(), b * tq * tk),
        forbidden={
            **_LIBRARY_ATTENTION,
            "autograd": "it lets autograd do the work; this exercise is to do it by hand",
            "_backward": "it calls torch's own backward formulas; this exercise is to write them",
        },
    )


def _backward(grad_out, q, k, v, keep, softmax_backward, scale_power=1):
    """The right backward pass but for its softmax or its scale."""
    scale = q.shape[-1] ** -0.5
    weights = _weights(q @ k.mT * scale, keep)
    grad_scores = softmax_backward(weights, grad_out @ v.mT) * scale**scale_power
    return grad_scores @ k, grad_scores.mT @ q, weights.mT @ grad_out


def _softmax_backward(w, dw):
    return w * (dw - (w * dw).sum(-1, keepdim=True))


def _backward_no_row_sum(grad_out, q, k, v, keep=None):
    return _backward(grad_out, q, k, v, keep, lambda w, dw: w * dw)


def _backward_sigmoid(grad_out, q, k, v, keep=None):
    return _backward(grad_out, q, k, v, keep, lambda w, dw: w * (1 - w) * dw)


def _backward_softmax_ignored(grad_out, q, k, v, keep=None):
    return _backward(grad_out, q, k, v, keep, lambda w, dw: dw)


def _backward_sum_over_queries(grad_out, q, k, v, keep=None):
    return _backward(
        grad_out, q, k, v, keep, lambda w, dw: w * (dw - (w * dw).sum(-2, keepdim=True))
    )


def _backward_plain_mean(grad_out, q, k, v, keep=None):
    return _backward(grad_out, q, k, v, keep, lambda w, dw: w * (dw - dw.mean(-1, keepdim=True)))


def _backward_no_scale(grad_out, q, k, v, keep=None):
    return _backward(grad_out, q, k, v, keep, _softmax_backward, scale_power=0)


def _backward_scale_twice(grad_out, q, k, v, keep=None):
    return _backward(grad_out, q, k, v, keep, _softmax_backward, scale_power=2)


def _backward_order(grad_out, q, k, v, keep=None):
    grad_q, grad_k, grad_v = _backward(grad_out, q, k, v, keep, _softmax_backward)
    return grad_k, grad_q, grad_v


def _backward_orders():
    """All orders but the right one and the one above."""

    def ordered(order):
        def wrong(grad_out, q, k, v, keep=None):
            gradients = _backward(grad_out, q, k, v, keep, _softmax_backward)
            return tuple(gradients[i] for i in order)

        return wrong

    return tuple(ordered(o) for o in ((0, 2, 1), (1, 2, 0), (2, 0, 1), (2, 1, 0)))


def _backward_sign(grad_out, q, k, v, keep=None):
    grad_q, grad_k, grad_v = _backward(grad_out, q, k, v, keep, _softmax_backward)
    return -grad_q, -grad_k, grad_v


def _backward_nan_row(grad_out, q, k, v, keep=None):
    scale = q.shape[-1] ** -0.5
    weights = _hide(q @ k.mT * scale, keep, -torch.inf).softmax(dim=-1)
    grad_scores = _softmax_backward(weights, grad_out @ v.mT) * scale
    return grad_scores @ k, grad_scores.mT @ q, weights.mT @ grad_out


def _backward_average_row(grad_out, q, k, v, keep=None):
    scale = q.shape[-1] ** -0.5
    weights = _hide(q @ k.mT * scale, keep).softmax(dim=-1)
    grad_scores = _softmax_backward(weights, grad_out @ v.mT) * scale
    return grad_scores @ k, grad_scores.mT @ q, weights.mT @ grad_out


def _backward_mask_forgotten(grad_out, q, k, v, keep=None):
    return _backward(grad_out, q, k, v, None, _softmax_backward)


ATTENTION_BACKWARD = Exercise(
    reference=reference.attention_backward,
    chapter=CHAPTER,
    outputs=("grad_q", "grad_k", "grad_v"),
    points={"values": 4, "edges": 3, "types": 1, "contracts": 2},
    cases=_backward_cases,
    contract=_backward_contract,
    traps=(
        Trap(
            "the other weights forgotten",
            _backward_no_row_sum,
            "w ∘ dw treats each weight as if it moved alone. The weights of a row sum to 1: "
            "raising one score lowers all the other weights, and the term -w Σ_j w_j dw_j is that "
            "loss. Check: every row of ds must sum to 0.",
            "Learning: the backward pass",
        ),
        Trap(
            "the derivative of a sigmoid",
            _backward_sigmoid,
            "w (1 - w) is the diagonal of the softmax's Jacobian, the effect of a score on its own "
            "weight. It has off-diagonal entries, -w_i w_j, too.",
            "Learning: the backward pass",
        ),
        Trap(
            "straight through the softmax",
            _backward_softmax_ignored,
            "dw is the gradient of the weights, not of the scores: the softmax in between has a "
            "Jacobian of its own.",
            "Learning: the backward pass",
        ),
        Trap(
            "summed over the queries",
            _backward_sum_over_queries,
            "the sum Σ_j w_j dw_j runs over the keys of one query, the same axis as the softmax.",
            "Learning: the backward pass",
        ),
        Trap(
            "a plain mean",
            _backward_plain_mean,
            "what is subtracted is the mean of dw under the weights, Σ_j w_j dw_j, not the "
            "arithmetic mean: a key that is hardly read hardly counts.",
            "Learning: the backward pass",
        ),
        Trap(
            "the scale forgotten on the way back",
            _backward_no_scale,
            "scores = q kᵀ / √D, so dq and dk carry the factor 1/√D as well.",
            "Learning: the backward pass",
        ),
        Trap(
            "the scale applied twice",
            _backward_scale_twice,
            "one factor 1/√D on the way back, on ds or on dq and dk, not on both.",
            "Learning: the backward pass",
        ),
        Trap(
            "the gradients in another order",
            _backward_order,
            "they are returned as (grad_q, grad_k, grad_v), in the order of the arguments.",
            "Learning: the backward pass",
            _backward_orders(),
        ),
        Trap(
            "the sign flipped",
            _backward_sign,
            "dw_j minus the mean, not the mean minus dw_j: a score is raised if its value would "
            "improve the loss more than what is read now.",
            "Learning: the backward pass",
        ),
        Trap(
            "the row that may read nothing",
            _backward_nan_row,
            "a query that may read nothing has a row of nan, or of equal weights, where its "
            "weights should all be 0. Recompute them as in the forward pass: a finite fill, and "
            "weights * keep.",
            "The row that may read nothing",
            (_backward_average_row,),
        ),
        Trap(
            "the mask forgotten on the way back",
            _backward_mask_forgotten,
            "the weights must be those of the forward pass, with hidden keys at 0: otherwise "
            "gradient flows into the future and into the padding.",
            "Learning: the backward pass",
        ),
    ),
)

EXERCISES = (
    STABLE_SOFTMAX,
    ATTENTION_SCORES,
    CAUSAL_MASK,
    PADDING_MASK,
    SCALED_DOT_PRODUCT_ATTENTION,
    SELF_ATTENTION,
    ATTENTION_BACKWARD,
)
