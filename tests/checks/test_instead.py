"""A wrong answer that is right for another argument is told so, in code."""

import math
from dataclasses import replace

import pytest
import torch
from reporting import report_on
from torch.nn import functional as F

from tutor.attention import scaled_dot_product_attention
from tutor.checks import EXERCISES, judge
from tutor.multihead import merge_heads, split_heads
from tutor.transformer import label_smoothing_loss


def _masked(scores, keep):
    if keep is not None and keep.dtype != torch.bool:
        raise TypeError("keep must be bool")
    if keep is None:
        return scores.softmax(-1)
    return scores.masked_fill(~keep, torch.finfo(scores.dtype).min).softmax(-1) * keep


def _attention(scores, v, keep):
    return _masked(scores, keep) @ v


def _gru(x, h, w_ih, w_hh, b_ih, b_hh):
    xr, xz, xn = F.linear(x, w_ih, b_ih).chunk(3, -1)
    hr, hz, hn = (h @ w_hh + b_hh).chunk(3, -1)
    z = torch.sigmoid(xz + hz)
    return (1 - z) * torch.tanh(xn + torch.sigmoid(xr + hr) * hn) + z * h


def blocks_not_turned(x, h, w_ih, w_hh, b_ih, b_hh):
    return _gru(x, h, w_ih, torch.cat(w_hh.chunk(3), -1), b_ih, b_hh)


def keys_reshaped(q, k, v, keep=None):
    turned = k.reshape(*k.shape[:-2], k.shape[-1], k.shape[-2])
    return _attention(q @ turned / math.sqrt(q.shape[-1]), v, keep)


def fourth_root(q, k, v, keep=None):
    return _attention(q @ k.mT / q.shape[-1] ** 0.25, v, keep)


def whole_root(q, k, v, keep=None):
    return _attention(q @ k.mT / int(math.sqrt(q.shape[-1])), v, keep)


def one_row_of_the_mask(x, memory, w_q, w_k, w_v, w_out, num_heads, keep=None):
    q, k, v = (split_heads(t, num_heads) for t in (x @ w_q, memory @ w_k, memory @ w_v))
    one = None if keep is None else keep.any(-2, keepdim=True).unsqueeze(-3)
    return merge_heads(scaled_dot_product_attention(q, k, v, one)) @ w_out


def last_row_of_the_mask(scores, keep=None):
    return _masked(scores, keep if keep is None else keep[..., -1:, :])


def warmer(scores, keep=None):
    return _masked(scores / math.sqrt(scores.shape[-1]), keep)


def _encoding(positions, width, theta):
    angles = positions.double()[..., None] * theta ** -(
        torch.arange(0, width, 2, device=positions.device, dtype=torch.float64) / width
    )
    dtype = positions.dtype if positions.is_floating_point() else torch.float32
    return torch.stack((angles.sin(), angles.cos()), -1).flatten(-2).to(dtype)


def degrees(positions, width, theta=10000.0):
    dtype = positions.dtype if positions.is_floating_point() else torch.float32
    return _encoding(torch.deg2rad(positions.double()), width, theta).to(dtype)


def another_logarithm(positions, width, theta=10000.0):
    return _encoding(positions, width, math.exp(math.log10(theta)))


@pytest.mark.parametrize(
    ("name", "wrong", "sentence"),
    [
        ("gru_step", blocks_not_turned, "w_hh were w_hh with each of its square blocks turned"),
        ("scaled_dot_product_attention", keys_reshaped, "k were k.reshape(k.mT.shape).mT"),
        ("scaled_dot_product_attention", fourth_root, "q were q * D**0.25"),
        ("scaled_dot_product_attention", whole_root, "q were q * √D / int(√D)"),
        ("cross_attention", one_row_of_the_mask, "keep were keep.any(-2, keepdim=True)"),
        ("masked_softmax", last_row_of_the_mask, "keep were keep[..., -1:, :]"),
        ("masked_softmax", warmer, "scores were scores / √S"),
        ("sinusoidal_encoding", degrees, "positions were positions.deg2rad()"),
        ("sinusoidal_encoding", another_logarithm, "theta were math.exp(math.log10(theta))"),
    ],
)
def test_answer_that_is_right_for_another_argument(name, wrong, sentence):
    nameless = replace(EXERCISES[name], traps=())
    report = judge(nameless, wrong)
    assert f"it would be right if {sentence}" in str(report).replace("\n        ", " ")


def test_answer_that_is_right_for_no_argument_is_not_told_one():
    def wrong(q, k, v, keep=None):
        return scaled_dot_product_attention(q, k, v, keep) + 0.1 * q.sum()

    assert "would be right" not in str(report_on("scaled_dot_product_attention", wrong))


def test_features_in_another_order():
    def wrong(positions, width, theta=10000.0):
        right = _encoding(positions, width, theta)
        return torch.cat((right[..., 2::2], right[..., 1::2], right[..., :1]), -1)

    said = str(report_on("sinusoidal_encoding", wrong))
    assert "has the right numbers with its features in the order (2, 4, 1, 3, 5, 0)" in said


def test_number_that_is_zero_has_no_inverse():
    def wrong(logits, target, smoothing=0.1, ignore_index=0):
        right = label_smoothing_loss(logits, target, smoothing, ignore_index)
        return right + (0.5 if smoothing == 0 else 0)

    assert "would be right" not in str(report_on("label_smoothing_loss", wrong))
