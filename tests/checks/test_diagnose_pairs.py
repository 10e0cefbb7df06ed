"""Answers with two known mistakes at once: both are named."""

import math
from collections.abc import Callable

import pytest
import torch
from reporting import report_on
from torch.nn import functional as F

from tutor import position

ANSWERS: list[tuple[str, Callable, set[str]]] = []


def answer(*names: str):
    """Keep an answer with the names that it should get; the exercise is the function's name."""

    def keep(function: Callable) -> Callable:
        ANSWERS.append((function.__name__.rsplit("__", 1)[0], function, set(names)))
        return function

    return keep


def _bool(keep):
    if keep is not None and keep.dtype != torch.bool:
        raise TypeError("keep must be bool")


# Chapter 1


@answer("sigmoid instead of tanh", "a bias missing")
def rnn_step__1(x, h, w_ih, w_hh, b_ih, b_hh):
    return torch.sigmoid(x @ w_ih.mT + h @ w_hh.mT + b_ih)


@answer("the old state without its weights", "tanh missing")
def rnn_step__2(x, h, w_ih, w_hh, b_ih, b_hh):
    return x @ w_ih.mT + b_ih + h + b_hh


@answer("the gates in another order", "tanh of the cell missing")
def lstm_step__1(x, h, c, w_ih, w_hh, b_ih, b_hh):
    i, f, o, g = (F.linear(x, w_ih, b_ih) + F.linear(h, w_hh, b_hh)).chunk(4, -1)
    new = f.sigmoid() * c + i.sigmoid() * g.tanh()
    return o.sigmoid() * new, new


@answer("a bias added twice", "returned in another order")
def lstm_step__2(x, h, c, w_ih, w_hh, b_ih, b_hh):
    i, f, g, o = (x @ w_ih.mT + b_ih + h @ w_hh.mT + b_ih).chunk(4, -1)
    new = f.sigmoid() * c + i.sigmoid() * g.tanh()
    return new, o.sigmoid() * new.tanh()


@answer("the candidate is no gate", "the old cell shown")
def lstm_step__3(x, h, c, w_ih, w_hh, b_ih, b_hh):
    i, f, g, o = torch.sigmoid(F.linear(x, w_ih, b_ih) + F.linear(h, w_hh, b_hh)).chunk(4, -1)
    return o * c.tanh(), f * c + i * g


@answer("the forget gate inverted", "no output gate")
def lstm_step__4(x, h, c, w_ih, w_hh, b_ih, b_hh):
    i, f, g, _ = (F.linear(x, w_ih, b_ih) + F.linear(h, w_hh, b_hh)).chunk(4, -1)
    new = (1 - f.sigmoid()) * c + i.sigmoid() * g.tanh()
    return new.tanh(), new


@answer("z on the wrong side", "the reset before the product")
def gru_step__cho(x, h, w_ih, w_hh, b_ih, b_hh):
    (xr, xz, xn), (hr, hz, _) = (
        F.linear(x, w_ih, b_ih).chunk(3, -1),
        F.linear(h, w_hh, b_hh).chunk(3, -1),
    )
    r, z = torch.sigmoid(xr + hr), torch.sigmoid(xz + hz)
    w_n, b_n = w_hh.chunk(3)[2], b_hh.chunk(3)[2]
    n = torch.tanh(xn + (r * h) @ w_n.mT + b_n)
    return z * n + (1 - z) * h


@answer("the gates in another order", "z on the wrong side")
def gru_step__2(x, h, w_ih, w_hh, b_ih, b_hh):
    (xz, xr, xn), (hz, hr, hn) = (
        F.linear(x, w_ih, b_ih).chunk(3, -1),
        F.linear(h, w_hh, b_hh).chunk(3, -1),
    )
    r, z = torch.sigmoid(xr + hr), torch.sigmoid(xz + hz)
    return (1 - z) * h + z * torch.tanh(xn + r * hn)


@answer("no reset", "the candidate is no gate")
def gru_step__3(x, h, w_ih, w_hh, b_ih, b_hh):
    both = F.linear(x, w_ih, b_ih) + F.linear(h, w_hh, b_hh)
    _, z, n = both.sigmoid().chunk(3, -1)
    return (1 - z) * n + z * h


# Chapter 2


@answer("softmax over those that ask", "the row that may read nothing")
def masked_softmax__1(scores, keep=None):
    _bool(keep)
    if keep is not None:
        scores = scores.masked_fill(~keep, float("-inf"))
    return scores.softmax(-2)


@answer("mask inverted", "not low enough")
def masked_softmax__2(scores, keep=None):
    _bool(keep)
    if keep is not None:
        scores = scores.masked_fill(keep, -1000.0)
    weights = scores.softmax(-1)
    return weights if keep is None else weights * ~keep


@answer("the weights kept back", "mask inverted")
def attend__1(scores, memory, keep=None):
    if keep is not None:
        scores = scores.masked_fill(keep, torch.finfo(scores.dtype).min)
    weights = scores.softmax(-1)
    return (weights if keep is None else weights * ~keep) @ memory


@answer("scores returned for weights", "a constant as minus infinity")
def attend__2(scores, memory, keep=None):
    hidden = scores if keep is None else scores.masked_fill(~keep, -1e9)
    weights = hidden.softmax(-1)
    return weights @ memory, scores


# Chapter 3


@answer("no scale", "the mask forgotten")
def scaled_dot_product_attention__1(q, k, v, keep=None):
    _bool(keep)
    return (q @ k.mT).softmax(-1) @ v


@answer("divided by D instead of √D", "mask inverted")
def scaled_dot_product_attention__2(q, k, v, keep=None):
    _bool(keep)
    scores = q @ k.mT / q.shape[-1]
    if keep is None:
        return scores.softmax(-1) @ v
    scores = scores.masked_fill(keep, torch.finfo(scores.dtype).min)
    return (scores.softmax(-1) * ~keep) @ v


@answer("softmax over the queries", "the row that may read nothing")
def scaled_dot_product_attention__3(q, k, v, keep=None):
    _bool(keep)
    scores = q @ k.mT / math.sqrt(q.shape[-1])
    if keep is not None:
        scores = scores.masked_fill(~keep, -math.inf)
    return scores.softmax(-2) @ v


@answer("no scale", "masked after the softmax")
def scaled_dot_product_attention__4(q, k, v, keep=None):
    _bool(keep)
    weights = torch.einsum("...id,...jd->...ij", q, k).softmax(-1)
    return (weights if keep is None else weights * keep) @ v


@answer("no scale", "-1e9 as minus infinity")
def scaled_dot_product_attention__5(q, k, v, keep=None):
    _bool(keep)
    scores = q @ k.mT
    if keep is not None:
        scores = scores.masked_fill(~keep, -1e9)
    return scores.softmax(-1) @ v


@answer("scaled by another size", "nothing to read, so everything is read")
def scaled_dot_product_attention__6(q, k, v, keep=None):
    _bool(keep)
    scores = q @ k.mT / k.shape[-2] ** 0.5
    if keep is not None:
        scores = scores.masked_fill(~keep, torch.finfo(scores.dtype).min)
    return scores.softmax(-1) @ v


@answer("queries and keys swapped", "mask inverted")
def self_attention__1(x, w_q, w_k, w_v, keep=None):
    q, k, v = x @ w_k, x @ w_q, x @ w_v
    scores = q @ k.mT / q.shape[-1] ** 0.5
    if keep is None:
        return scores.softmax(-1) @ v
    scores = scores.masked_fill(keep, torch.finfo(scores.dtype).min)
    return scores.softmax(-1) * ~keep @ v


@answer("one projection for queries and keys", "no scale")
def self_attention__2(x, w_q, w_k, w_v, keep=None):
    scores = x @ w_q @ (x @ w_q).mT
    if keep is None:
        return scores.softmax(-1) @ (x @ w_v)
    scores = scores.masked_fill(~keep, torch.finfo(scores.dtype).min)
    return (scores.softmax(-1) * keep) @ (x @ w_v)


@answer("scaled by the width of the model", "the row that may read nothing")
def self_attention__3(x, w_q, w_k, w_v, keep=None):
    scores = x @ w_q @ (x @ w_k).mT / x.shape[-1] ** 0.5
    if keep is not None:
        scores = scores.masked_fill(~keep, -torch.inf)
    return scores.softmax(-1) @ (x @ w_v)


@answer("the other weights forgotten", "the scale forgotten on the way back")
def attention_backward__1(grad_out, q, k, v, keep=None):
    scores = q @ k.mT * q.shape[-1] ** -0.5
    if keep is not None:
        scores = scores.masked_fill(~keep, torch.finfo(scores.dtype).min)
    w = scores.softmax(-1) if keep is None else scores.softmax(-1) * keep
    ds = w * (grad_out @ v.mT)
    return ds @ k, ds.mT @ q, w.mT @ grad_out


# Chapter 4


def _heads(x, n):
    return x.unflatten(-1, (n, -1)).transpose(-3, -2)


@answer("no output projection", "merged without transposing back")
def multi_head_attention__1(x, w_q, w_k, w_v, w_out, num_heads, keep=None):
    q, k, v = (_heads(x @ w, num_heads) for w in (w_q, w_k, w_v))
    scores = q @ k.mT / q.shape[-1] ** 0.5
    weights = scores.softmax(-1)
    if keep is not None:
        keep = keep.unsqueeze(-3)
        weights = scores.masked_fill(~keep, torch.finfo(scores.dtype).min).softmax(-1) * keep
    heads = weights @ v
    return heads.reshape(*x.shape[:-1], -1)


@answer("scaled by the width of the model", "mask inverted")
def multi_head_attention__2(x, w_q, w_k, w_v, w_out, num_heads, keep=None):
    q, k, v = (_heads(x @ w, num_heads) for w in (w_q, w_k, w_v))
    scores = q @ k.mT / x.shape[-1] ** 0.5
    weights = scores.softmax(-1)
    if keep is not None:
        keep = ~keep.unsqueeze(-3)
        weights = scores.masked_fill(~keep, torch.finfo(scores.dtype).min).softmax(-1) * keep
    return (weights @ v).transpose(-3, -2).flatten(-2) @ w_out


@answer("divided by D instead of √D", "the mask forgotten")
def cross_attention__1(x, memory, w_q, w_k, w_v, w_out, num_heads, keep=None):
    q, k, v = (_heads(t @ w, num_heads) for t, w in ((x, w_q), (memory, w_k), (memory, w_v)))
    weights = (q @ k.mT / q.shape[-1]).softmax(-1)
    return (weights @ v).transpose(-3, -2).flatten(-2) @ w_out


@answer("no scale", "the row that may read nothing")
def cross_attention__2(x, memory, w_q, w_k, w_v, w_out, num_heads, keep=None):
    q, k, v = (_heads(t @ w, num_heads) for t, w in ((x, w_q), (memory, w_k), (memory, w_v)))
    scores = q @ k.mT
    if keep is not None:
        scores = scores.masked_fill(~keep.unsqueeze(-3), float("-inf"))
    return (scores.softmax(-1) @ v).transpose(-3, -2).flatten(-2) @ w_out


# Chapter 5


@answer("sines and cosines side by side", "the exponent without its 2")
def sinusoidal_encoding__1(positions, width, theta=10000.0):
    i = torch.arange(width // 2, device=positions.device, dtype=torch.float64)
    angles = positions.double()[..., None] / theta ** (i / width)
    out = torch.cat((angles.sin(), angles.cos()), -1)
    return out.to(positions.dtype if positions.is_floating_point() else torch.float32)


@answer("theta hard-coded", "the cosine first")
def sinusoidal_encoding__2(positions, width, theta=10000.0):
    i = torch.arange(0, width, 2, device=positions.device, dtype=torch.float64)
    angles = positions.double()[..., None] * 10000 ** (-i / width)
    out = torch.stack((angles.cos(), angles.sin()), -1).flatten(-2)
    return out.to(positions.dtype if positions.is_floating_point() else torch.float32)


@answer("turned the wrong way", "the other layout")
def apply_rope__1(x, positions, theta=10000.0, layout="half"):
    i = torch.arange(0, x.shape[-1], 2, device=x.device, dtype=torch.float64)
    angles = positions.double()[..., None] / theta ** (i / x.shape[-1])
    cos, sin = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
    if layout == "half":
        a, b = x[..., ::2], x[..., 1::2]
        return torch.stack((a * cos + b * sin, b * cos - a * sin), -1).flatten(-2)
    a, b = x.chunk(2, -1)
    return torch.cat((a * cos + b * sin, b * cos - a * sin), -1)


@answer("theta hard-coded", "one layout for both")
def apply_rope__2(x, positions, theta=10000.0, layout="half"):
    i = torch.arange(0, x.shape[-1], 2, device=x.device, dtype=torch.float64)
    angles = positions.double()[..., None] / 10000 ** (i / x.shape[-1])
    cos, sin = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
    a, b = x.chunk(2, -1)
    return torch.cat((a * cos - b * sin, a * sin + b * cos), -1)


# And where nothing but the parts of a formula come together


@answer("the dilation forgotten", "the layer's own stride")
def receptive_field__1(kernel_sizes, dilations, strides):
    return 1 + ((kernel_sizes - 1) * strides.cumprod(0)).cumsum(0)


@answer("multiplied in the wrong order", "a lag missing")
def gradient_norm_by_lag__1(jacobians):
    width, norms = jacobians.shape[-1], []
    product = torch.eye(width, dtype=jacobians.dtype, device=jacobians.device)
    for step in reversed(jacobians.unbind(-3)):
        product = step @ product
        norms.append(product.square().sum((-2, -1)).sqrt())
    return torch.stack(norms, -1)


@answer("no tanh", "v summed instead of dotted")
def additive_scores__1(x, memory, w_x, w_memory, v):
    return ((x @ w_x)[..., :, None, :] + (memory @ w_memory)[..., None, :, :]).sum(-1)


@answer("no maximum subtracted", "one sum for the whole tensor")
def stable_softmax__1(scores, dim=-1):
    return scores.exp() / scores.exp().sum()


@answer("inverted", "aligned to the wrong corner")
def causal_mask__1(num_queries, num_keys, device=None):
    return torch.ones(num_queries, num_keys, dtype=torch.bool, device=device).triu(1)


@answer("inverted", "one position too many")
def padding_mask__1(lengths, num_keys):
    return torch.arange(num_keys, device=lengths.device) > lengths[..., None, None]


@answer("inverted", "no output projection")
def head_ablation__1(heads, w_out, keep_heads):
    silent = heads * ~keep_heads[:, None, None]
    return silent.transpose(-3, -2).flatten(-2)


@answer("far is rewarded", "aligned to the wrong corner")
def alibi_bias__1(num_heads, num_queries, num_keys, device=None):
    i, j = torch.arange(num_queries, device=device), torch.arange(num_keys, device=device)
    return position.alibi_slopes(num_heads, device)[:, None, None] * (i[:, None] - j).abs()


@pytest.mark.by_content
@pytest.mark.parametrize(
    ("name", "wrong", "names"), ANSWERS, ids=[f.__name__ for _, f, _ in ANSWERS]
)
def test_two_mistakes_get_both_their_names(name, wrong, names):
    report = report_on(name, wrong)
    assert set(report.traps) == names, report
    assert all(f"You have met “{trap}”" in " ".join(str(report).split()) for trap in names)


def test_of_three_mistakes_those_that_the_values_show_are_named():
    """The mask is inverted and its rows are nan as well, which no one mistake explains."""

    def three(q, k, v, keep=None):
        _bool(keep)
        scores = q @ k.mT
        if keep is not None:
            scores = scores.masked_fill(keep, -math.inf)
        return scores.softmax(-1) @ v

    report = report_on("scaled_dot_product_attention", three)
    assert report.traps == ("no scale",)
