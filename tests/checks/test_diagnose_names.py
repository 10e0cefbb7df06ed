"""Answers with one known mistake, as a student would write them: its name, or none at all."""

import math
from collections.abc import Callable

import pytest
import torch
from answers import WRONG
from reporting import report_on
from torch.nn import functional as F

from tutor import alignment, attention, multihead, position, recurrence

ANSWERS: list[tuple[str, Callable, str | None]] = []


def answer(name: str | None):
    """Keep an answer with the name that it should get; the exercise is the function's name."""

    def keep(function: Callable) -> Callable:
        ANSWERS.append((function.__name__.rsplit("__", 1)[0], function, name))
        return function

    return keep


def _bool(keep):
    if keep is not None and keep.dtype != torch.bool:
        raise TypeError("keep must be bool")


# Chapter 1


@answer("a bias added twice")
def rnn_step__1(x, h, w_ih, w_hh, b_ih, b_hh):
    return (F.linear(x, w_ih, b_ih) + F.linear(h, w_hh, b_ih)).tanh()


@answer("h and c mixed up")
def lstm_step__1(x, h, c, w_ih, w_hh, b_ih, b_hh):
    return recurrence.lstm_step(x, c, h, w_ih, w_hh, b_ih, b_hh)


@answer("a bias added twice")
def lstm_step__2(x, h, c, w_ih, w_hh, b_ih, b_hh):
    i, f, g, o = (F.linear(x, w_ih, b_ih) + F.linear(h, w_hh, b_hh) + b_hh).chunk(4, -1)
    c = f.sigmoid() * c + i.sigmoid() * g.tanh()
    return o.sigmoid() * c.tanh(), c


@answer("strides and dilations exchanged")
def receptive_field__1(kernel_sizes, dilations, strides):
    return recurrence.receptive_field(kernel_sizes, strides, dilations)


@answer("the layers in reverse")
def receptive_field__2(kernel_sizes, dilations, strides):
    field, jump, fields = 1, 1, []
    for k, d, s in zip(
        reversed(kernel_sizes.tolist()),
        reversed(dilations.tolist()),
        reversed(strides.tolist()),
        strict=True,
    ):
        field, jump = field + (k - 1) * d * jump, jump * s
        fields.append(field)
    return torch.tensor(fields, device=kernel_sizes.device, dtype=torch.int64)


@answer("strides do not add up, they multiply")
def receptive_field__3(kernel_sizes, dilations, strides):
    fields, field, jump = torch.empty_like(kernel_sizes), 1, 1
    for n in range(len(kernel_sizes)):
        field = field + (kernel_sizes[n] - 1) * dilations[n] * jump
        fields[n] = field
        jump = strides[0] if n == 0 else jump + strides[n]
    return fields


# Chapter 2


@answer("not low enough")
def masked_softmax__1(scores, keep=None):
    _bool(keep)
    if keep is None:
        return scores.softmax(-1)
    return torch.where(keep, scores, -100.0).softmax(-1) * keep


@answer("exponentials without the maximum")
def masked_softmax__2(scores, keep=None):
    _bool(keep)
    e = scores.exp()
    if keep is not None:
        e = e * keep
    return e / e.sum(-1, keepdim=True)


@answer("the lowest number added")
def masked_softmax__3(scores, keep=None):
    _bool(keep)
    if keep is None:
        return scores.softmax(-1)
    bias = torch.zeros_like(scores).masked_fill(~keep, torch.finfo(scores.dtype).min)
    return (scores + bias).softmax(-1) * keep


@answer("exponentials without the maximum")
def attend__1(scores, memory, keep=None):
    weights = scores.exp() if keep is None else scores.exp().masked_fill(~keep, 0)
    weights = weights / weights.sum(-1, keepdim=True)
    return weights @ memory, weights


@answer("weights not normalised")
def attend__2(scores, memory, keep=None):
    weights = scores if keep is None else scores * keep
    return weights @ memory, weights


@answer("memory not transposed")
def general_scores__1(x, memory, w):
    return torch.matmul(x @ w, memory.permute(*range(memory.ndim - 1, -1, -1)))


# Chapter 3


@answer("the minimum instead of the maximum")
def stable_softmax__1(scores, dim=-1):
    e = torch.exp(scores - scores.min(dim, keepdim=True).values)
    return e / e.sum(dim, keepdim=True)


@answer("maximum and sum along different dimensions")
def stable_softmax__2(scores, dim=-1):
    e = torch.exp(scores - scores.max(dim, keepdim=True).values)
    return e / e.sum(-1, keepdim=True)


@answer("a dimension lost")
def stable_softmax__3(scores, dim=-1):
    e = torch.exp(scores - scores.amax(dim, keepdim=True))
    return e / e.sum(dim)


@answer("all dimensions turned round")
def attention_scores__1(q, k):
    return q @ k.permute(*range(k.ndim - 1, -1, -1)) / math.sqrt(q.shape[-1])


@answer("not low enough")
def scaled_dot_product_attention__1(q, k, v, keep=None):
    _bool(keep)
    scores = q @ k.mT / math.sqrt(q.shape[-1])
    if keep is None:
        return scores.softmax(-1) @ v
    return (scores.masked_fill(~keep, -100).softmax(-1) * keep) @ v


@answer("not low enough")
def scaled_dot_product_attention__2(q, k, v, keep=None):
    _bool(keep)
    scores = q @ k.mT / math.sqrt(q.shape[-1])
    if keep is None:
        return scores.softmax(-1) @ v
    return (scores.masked_fill(~keep, -1e4).softmax(-1) * keep) @ v


@answer("exponentials without the maximum")
def scaled_dot_product_attention__3(q, k, v, keep=None):
    _bool(keep)
    e = torch.exp(q @ k.mT / math.sqrt(q.shape[-1]))
    if keep is not None:
        e = e.masked_fill(~keep, 0.0)
    return e / e.sum(-1, keepdim=True) @ v


@answer("no softmax")
def scaled_dot_product_attention__4(q, k, v, keep=None):
    _bool(keep)
    scores = q @ k.mT / math.sqrt(q.shape[-1])
    if keep is not None:
        scores = scores * keep
    return scores @ v


@answer("nan swept under the rug")
def scaled_dot_product_attention__5(q, k, v, keep=None):
    _bool(keep)
    scores = q @ k.mT / math.sqrt(q.shape[-1])
    if keep is not None:
        scores = scores.masked_fill(~keep, -math.inf)
    return torch.nan_to_num(scores.softmax(-1) @ v)


@answer("the row that may read nothing")
def self_attention__1(x, w_q, w_k, w_v, keep=None):
    return F.softmax(
        (x @ w_q @ (x @ w_k).mT / math.sqrt(w_q.shape[1])).masked_fill(
            torch.zeros((), dtype=torch.bool, device=x.device) if keep is None else ~keep, -math.inf
        ),
        dim=-1,
    ) @ (x @ w_v)


@answer("softmax over the queries")
def self_attention__2(x, w_q, w_k, w_v, keep=None):
    scores = x @ w_q @ (x @ w_k).mT / math.sqrt(w_q.shape[1])
    if keep is None:
        return scores.softmax(-2) @ (x @ w_v)
    scores = scores.masked_fill(~keep, torch.finfo(scores.dtype).min)
    return (scores.softmax(-2) * keep) @ (x @ w_v)


@answer("a constant as minus infinity")
def self_attention__3(x, w_q, w_k, w_v, keep=None):
    scores = x @ w_q @ (x @ w_k).mT / math.sqrt(w_q.shape[1])
    if keep is None:
        return scores.softmax(-1) @ (x @ w_v)
    return (scores.masked_fill(~keep, -100).softmax(-1) * keep) @ (x @ w_v)


@answer("positions in a short dtype")
def causal_mask__1(num_queries, num_keys, device=None):
    keys = torch.arange(num_keys, device=device, dtype=torch.bfloat16)
    queries = torch.arange(num_keys - num_queries, num_keys, device=device, dtype=torch.bfloat16)
    return keys <= queries[:, None]


@answer("the summed dimension lost")
def attention_backward__1(grad_out, q, k, v, keep=None):
    scores = q @ k.mT * q.shape[-1] ** -0.5
    if keep is not None:
        scores = scores.masked_fill(~keep, torch.finfo(scores.dtype).min)
    w = scores.softmax(-1) if keep is None else scores.softmax(-1) * keep
    dw = grad_out @ v.mT
    ds = w * (dw - (w * dw).sum(-1)) * q.shape[-1] ** -0.5
    return ds @ k, ds.mT @ q, w.mT @ grad_out


@answer("the row that may read nothing")
def attention_backward__2(grad_out, q, k, v, keep=None):
    scores = q @ k.mT * q.shape[-1] ** -0.5
    if keep is not None:
        scores = scores.masked_fill(~keep, -math.inf)
    w, dw = scores.softmax(-1), grad_out @ v.mT
    ds = w * (dw - (w * dw).sum(-1, keepdim=True)) * q.shape[-1] ** -0.5
    return ds @ k, ds.mT @ q, w.mT @ grad_out


# Chapter 4


def _counted(x, n):
    return x.unflatten(-1, (n, -1)).transpose(1, 2)


@answer("axes counted from the front")
def multi_head_attention__1(x, w_q, w_k, w_v, w_out, num_heads, keep=None):
    q, k, v = (_counted(x @ w, num_heads) for w in (w_q, w_k, w_v))
    keep = None if keep is None else keep.unsqueeze(-3)
    out = attention.scaled_dot_product_attention(q, k, v, keep)
    return out.transpose(1, 2).flatten(-2) @ w_out


@answer("the row that may read nothing")
def multi_head_attention__2(x, w_q, w_k, w_v, w_out, num_heads, keep=None):
    q, k, v = (multihead.split_heads(x @ w, num_heads) for w in (w_q, w_k, w_v))
    scores = q @ k.mT / q.shape[-1] ** 0.5
    if keep is not None:
        scores = scores.masked_fill(~keep.unsqueeze(-3), -math.inf)
    return multihead.merge_heads(scores.softmax(-1) @ v) @ w_out


@answer("H and D swapped")
def multi_head_attention__3(x, w_q, w_k, w_v, w_out, num_heads, keep=None):
    q, k, v = ((x @ w).unflatten(-1, (-1, num_heads)).transpose(-3, -2) for w in (w_q, w_k, w_v))
    keep = None if keep is None else keep.unsqueeze(-3)
    out = attention.scaled_dot_product_attention(q, k, v, keep)
    return multihead.merge_heads(out) @ w_out


def _cross(x, memory, w_q, w_k, w_v, num_heads):
    pairs = ((x, w_q), (memory, w_k), (memory, w_v))
    return (multihead.split_heads(t @ w, num_heads) for t, w in pairs)


@answer("softmax over the queries")
def cross_attention__1(x, memory, w_q, w_k, w_v, w_out, num_heads, keep=None):
    q, k, v = _cross(x, memory, w_q, w_k, w_v, num_heads)
    scores = q @ k.mT / q.shape[-1] ** 0.5
    if keep is None:
        return multihead.merge_heads(scores.softmax(-2) @ v) @ w_out
    keep = keep.unsqueeze(-3)
    weights = scores.masked_fill(~keep, torch.finfo(scores.dtype).min).softmax(-2) * keep
    return multihead.merge_heads(weights @ v) @ w_out


@answer("heads merged interleaved")
def cross_attention__2(x, memory, w_q, w_k, w_v, w_out, num_heads, keep=None):
    q, k, v = _cross(x, memory, w_q, w_k, w_v, num_heads)
    keep = None if keep is None else keep.unsqueeze(-3)
    out = attention.scaled_dot_product_attention(q, k, v, keep)
    return out.movedim(-3, -1).flatten(-2) @ w_out


@answer("one set of weights for all heads")
def cross_attention__3(x, memory, w_q, w_k, w_v, w_out, num_heads, keep=None):
    q, k, v = _cross(x, memory, w_q, w_k, w_v, num_heads)
    weights = (q @ k.mT / q.shape[-1] ** 0.5).softmax(-1)
    if keep is not None:
        weights = alignment.masked_softmax(q @ k.mT / q.shape[-1] ** 0.5, keep.unsqueeze(-3))
    return multihead.merge_heads(weights.mean(-3, keepdim=True) @ v) @ w_out


@answer("flags on the batch")
def head_ablation__1(heads, w_out, keep_heads):
    return multihead.merge_heads(heads[keep_heads]) @ w_out


@answer("exactly one batch dimension")
def merge_heads__1(heads):
    b, h, t, d = heads.shape
    return heads.transpose(1, 2).reshape(b, t, h * d)


@answer("axes counted from the front")
def merge_heads__2(heads):
    return heads.transpose(1, 2).flatten(-2)


@answer("axes counted from the front")
def split_heads__1(x, num_heads):
    if x.shape[-1] % num_heads:
        raise ValueError(f"{num_heads} does not divide {x.shape[-1]}")
    return x.unflatten(-1, (num_heads, -1)).transpose(1, 2)


# Chapter 5


@answer("the exponent doubled")
def sinusoidal_encoding__1(positions, width, theta=10000.0):
    i = torch.arange(0, width, 2, device=positions.device, dtype=torch.float64)
    angles = positions.double()[..., None] * theta ** (-2 * i / width)
    out = torch.stack((angles.sin(), angles.cos()), -1).flatten(-2)
    return out.to(positions.dtype if positions.is_floating_point() else torch.float32)


def _rope(x, positions, theta, turn, power=1):
    i = torch.arange(0, x.shape[-1], 2, device=x.device, dtype=torch.float64)
    angles = positions.double()[..., None] * theta ** (-power * i / x.shape[-1])
    return turn(angles.cos().to(x.dtype), angles.sin().to(x.dtype))


@answer("sine and cosine exchanged")
def apply_rope__1(x, positions, theta=10000.0, layout="half"):
    def turn(cos, sin):
        if layout == "half":
            a, b = x.chunk(2, -1)
            return torch.cat((a * sin - b * cos, a * cos + b * sin), -1)
        a, b = x[..., ::2], x[..., 1::2]
        return torch.stack((a * sin - b * cos, a * cos + b * sin), -1).flatten(-2)

    return _rope(x, positions, theta, turn)


@answer("positions from one")
def apply_rope__2(x, positions, theta=10000.0, layout="half"):
    return position.apply_rope(x, positions + 1, theta, layout)


@answer("the exponent doubled")
def apply_rope__3(x, positions, theta=10000.0, layout="half"):
    return position.apply_rope(x, positions, theta**2, layout)


@answer("num_heads for the width of a head")
def convert_rope_layout__1(w, num_heads, to):
    rows = (-1, num_heads // 2, 2) if to == "half" else (-1, 2, num_heads // 2)
    return w.unflatten(0, rows).transpose(1, 2).reshape(w.shape)


@answer("all buckets for each direction")
def relative_buckets__1(relative_position, bidirectional=True, num_buckets=32, max_distance=128):
    if not bidirectional:
        return position.relative_buckets(relative_position, False, num_buckets, max_distance)
    past = position.relative_buckets(-relative_position.abs(), False, num_buckets, max_distance)
    return past + (relative_position > 0) * num_buckets


@answer("every other slope of the power itself")
def alibi_slopes__1(num_heads, device=None):
    n = 2 ** int(math.log2(num_heads))
    slopes = [2 ** (-8 * (h + 1) / n) for h in range(n)]
    return torch.tensor((slopes + slopes[::2])[:num_heads], device=device)


@answer("slopes missing")
def alibi_slopes__2(num_heads, device=None):
    n = 2 ** int(math.log2(num_heads))
    return torch.tensor([2 ** (-8 * (h + 1) / n) for h in range(n)], device=device)


@answer("the even ones instead of the odd")
def alibi_slopes__3(num_heads, device=None):
    n = 2 ** int(math.log2(num_heads))
    slopes = [2 ** (-8 * h / n) for h in range(1, n + 1)]
    slopes += [2 ** (-4 * h / n) for h in range(2, 2 * n + 1, 2)][: num_heads - n]
    return torch.tensor(slopes, device=device)


@pytest.mark.parametrize(
    ("name", "wrong", "misconception"), ANSWERS, ids=[f.__name__ for _, f, _ in ANSWERS]
)
def test_mistake_gets_its_name(name, wrong, misconception):
    report = report_on(name, wrong)
    assert not report.passed
    assert report.traps == ((misconception,) if misconception else ()), report


LOWEST_ADDED = {"the lowest number added"}
CONSTANT = {"not low enough", "a constant as minus infinity"}
CLEANED = {"nan swept under the rug", "a nan that comes back"}
NAMES = {
    "_last_without_nan": {"nan and infinity swept away"},
    "_last_zeroed": {"nan times 0"},
    "_last_from_the_end": {"nan times 0"},
    "_additive_of_a_batch": {"axes counted from the front"},
    "_additive_squeezed": {"dimensions of 1 squeezed away"},
    "_additive_viewed": {"view of what is not contiguous"},
    "_tanh_of_one_exponential": {"a tanh by hand"},
    "_tanh_on_paper": {"a tanh by hand"},
    "per_sentence": {"one row of the mask for all"},
    "one_maximum": {"the maximum of all"},
    "_of_their_own_dtype": {"angles in single precision"},
    "_frequencies_of_single": {"angles in single precision"},
    "_rope_of_single": {"angles in single precision"},
    "lowest_added": LOWEST_ADDED,
    "lowest_added_twice_negated": LOWEST_ADDED,
    "minus_100": CONSTANT,
    "minus_1000": CONSTANT,
    "maximum_of_hidden_ones": {"renormalised after the softmax"},
    "no_maximum_zeroed": {"exponentials without the maximum", *CLEANED},
    "epsilon": {"a constant in the denominator"},
    "_nan_to_num": CLEANED,
    "unigram_characters": {"characters alone", "each unknown character by itself"},
    "lowest_of_single": {"a float32 mask in another precision"},
    "_gru_by_exponentials": {"a sigmoid that overflows"},
    "_field_of_32_bits": {"counted in a short dtype"},
    "_field_of_floats": {"counted in a short dtype"},
    "_gru_viewed": {"view of what is not contiguous"},
    "_batches_viewed": {"view of what is not contiguous"},
    "_general_all_turned": {"memory not transposed"},
    "_scores_all_turned": {"all dimensions turned round"},
    "_ablation_by_index": {"flags on the batch"},
    "_exponent_doubled": {"the exponent doubled"},
    "_positions_of_32_bits": {"positions cut to integers"},
    "_rope_of_floats_as_they_are": {"angles in single precision"},
    "_convert_twice_the_same": {"always in one direction"},
    "_convert_of_a_matrix": {"exactly two dimensions"},
    "_bias_of_a_square": {"aligned to the wrong corner"},
    "_buckets_of_their_dtype": {"another integer type"},
    "_magnitudes": {"positions without their sign"},
    "_rms_max": {"the largest for the size"},
    "_spans_from_one": {"the first sentinel skipped"},
}
"""Of the wrong answers that are no traps: a misconception that a person would see in them."""


@pytest.mark.by_content
@pytest.mark.parametrize(
    ("name", "wrong"),
    [(name, wrong) for name, functions in WRONG.items() for wrong in functions],
    ids=lambda x: getattr(x, "__name__", x),
)
def test_wrong_answer_is_refused_and_gets_no_name_that_is_not_its_own(name, wrong):
    report = report_on(name, wrong)
    assert not report.passed
    assert set(report.traps) <= NAMES.get(wrong.__name__, set())
