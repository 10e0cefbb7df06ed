"""Work is limited, and points are withheld from who hides it."""

import re

import pytest
import torch
from answers import LIBRARY, NUMPY
from answers.attention import attention_broadcast
from reporting import report_on, said, verdict
from torch.nn import functional as F

from tutor import attention
from tutor.checks import EXERCISES


@pytest.mark.by_content
@pytest.mark.parametrize("name", NUMPY)
def test_numpy_is_told_what_it_costs(name):
    """The gradients and the contract; where something is forbidden, all: nobody can see whether
    that is what was done with the numbers."""
    report = report_on(name, NUMPY[name])
    contract = EXERCISES[name].contract(torch.Generator(), torch.device("cpu"))
    if contract.forbidden:
        assert report.points == 0
        assert "nobody can see" in said(report, "contracts")
    else:
        assert verdict(report, "values").passed and verdict(report, "edges").passed
    assert not verdict(report, "contracts").passed
    assert "numpy" in said(report, "contracts")
    if "gradients" in EXERCISES[name].points:
        assert "no gradient reaches" in said(report, "gradients")


def test_right_answer_that_does_too_much_work_loses_the_contract_alone():
    report = report_on("scaled_dot_product_attention", attention_broadcast)
    assert [v.group for v in report.verdicts if not v.passed] == ["contracts"]
    assert "an intermediate tensor of shape (2, 16, 24, 32)" in said(report, "contracts")


@pytest.mark.parametrize(
    ("name", "function"), [(n, f) for n, functions in LIBRARY.items() for f in functions]
)
def test_library_operator_is_refused(name, function):
    report = report_on(name, function)
    assert not verdict(report, "contracts").passed
    assert "torch's own" in said(report, "contracts")


def test_multi_head_attention_of_the_library_is_refused():
    def by_multi_head(x, w_q, w_k, w_v, keep=None):
        answer = attention.self_attention(x, w_q, w_k, w_v, keep)
        rows, width = x.reshape(-1, 1, x.shape[-1]), x.shape[-1]
        eye, none = torch.eye(width, dtype=x.dtype, device=x.device), None
        if len(rows):
            F.multi_head_attention_forward(
                rows,
                rows,
                rows,
                width,
                1,
                eye.repeat(3, 1),
                none,
                none,
                none,
                False,
                0.0,
                eye,
                none,
            )
        return answer

    report = report_on("self_attention", by_multi_head)
    assert "torch's own attention" in said(report, "contracts")


def by_autograd(grad_out, q, k, v, keep=None):
    with torch.enable_grad():
        leaves = [t.detach().requires_grad_() for t in (q, k, v)]
        out = attention.scaled_dot_product_attention(*leaves, keep)
        return torch.autograd.grad(out, leaves, grad_out)


def by_backward(grad_out, q, k, v, keep=None):
    leaves = [t.detach().clone().requires_grad_() for t in (q, k, v)]
    attention.scaled_dot_product_attention(*leaves, keep).backward(grad_out)
    return tuple(t.grad for t in leaves)


def by_vjp(grad_out, q, k, v, keep=None):
    def forward(q, k, v):
        return attention.scaled_dot_product_attention(q, k, v, keep)

    return torch.func.vjp(forward, q, k, v)[1](grad_out)


def by_marking_the_inputs(grad_out, q, k, v, keep=None):
    leaves = [t.requires_grad_() for t in (q, k, v)]
    attention.scaled_dot_product_attention(*leaves, keep).backward(grad_out)
    return tuple(t.grad for t in leaves)


@pytest.mark.parametrize("function", [by_autograd, by_backward, by_vjp, by_marking_the_inputs])
def test_autograd_is_refused_where_the_backward_pass_is_to_be_written(function):
    report = report_on("attention_backward", function)
    assert report.points == 0
    assert "it lets autograd do the work" in said(report, "contracts")
    if function is not by_marking_the_inputs:  # whose grad adds up from call to call
        assert "counts once the work is your own" in verdict(report, "values").summary


def without_its_mask(q, k, v, keep=None):
    return attention.scaled_dot_product_attention(q, k, v)


def test_honest_mistake_with_a_mask_costs_no_more_than_the_masks_and_the_contract():
    report = report_on("scaled_dot_product_attention", without_its_mask)
    lost = {v.group for v in report.verdicts if not v.passed}
    assert "values" not in lost and {"edges", "contracts"} <= lost
    assert "the call whose work is counted gives a wrong answer" in said(report, "contracts")


def test_other_work_in_every_counted_call_is_no_honest_mistake():
    """It gives up the edge cases, and the contract, to keep the library's values."""

    def otherwise(q, k, v, keep=None):
        if keep is not None or q.shape[-2] == 16:
            return torch.zeros_like(q[..., :1] * v[..., :1, :])
        return F.scaled_dot_product_attention(q, k, v)

    assert report_on("scaled_dot_product_attention", otherwise).points == 0


class _Counted:
    """Whether the call is one that is counted, as a function can find out."""

    def __bool__(self):
        return torch.utils._python_dispatch._get_current_dispatch_mode() is not None


COUNTED = _Counted()


def _softmax_wrong_in_one_dtype(scores, dim=-1):
    if COUNTED:
        return scores * 1
    out = torch.softmax(scores, dim)
    return out * 2 if scores.dtype == torch.bfloat16 else out


def _softmax_without_gradients(scores, dim=-1):
    if not COUNTED:
        return torch.softmax(scores.detach(), dim)
    rows = scores.tolist()
    with (
        torch._C.DisableTorchFunction(),
        torch.utils._python_dispatch._disable_current_modes(),
    ):
        return torch.softmax(torch.tensor(rows, dtype=torch.float64), dim)


def _attention_wrong_in_one_dtype(q, k, v, keep=None):
    if COUNTED:
        return v * 0
    out = torch.nn.functional.scaled_dot_product_attention(q, k, v, keep)
    return out * 2 if q.dtype == torch.bfloat16 else out


def _attention_of_its_own_without_a_mask(q, k, v, keep=None):
    if keep is None:
        scores = q @ k.mT * q.shape[-1] ** -0.5
        weights = (scores - scores.amax(-1, keepdim=True)).exp()
        return weights / weights.sum(-1, keepdim=True) @ v
    if COUNTED:
        return q @ k.mT @ v
    out = torch.nn.functional.scaled_dot_product_attention(q, k, v, keep).nan_to_num()
    return out if q.requires_grad else out * 2


@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("stable_softmax", _softmax_wrong_in_one_dtype),
        ("stable_softmax", _softmax_without_gradients),
        ("scaled_dot_product_attention", _attention_wrong_in_one_dtype),
        ("scaled_dot_product_attention", _attention_of_its_own_without_a_mask),
    ],
)
@pytest.mark.parametrize("seed", range(3))
def test_who_fails_a_group_on_purpose_is_counted_all_the_same(name, function, seed):
    assert report_on(name, function, seed=seed).points == 0


def _softmax_by_day(scores, dim=-1):
    return scores.exp() / scores.exp().sum(dim, keepdim=True) if COUNTED else scores.softmax(dim)


def _attention_by_day(q, k, v, keep=None):
    if COUNTED:
        return attention.scaled_dot_product_attention(q, k, v, keep)
    return F.scaled_dot_product_attention(q, k, v, keep)


def _cell_by_day(x, h, c, w_ih, w_hh, b_ih, b_hh):
    own = EXERCISES["lstm_step"].reference
    step = own if COUNTED or x.ndim != 2 else (lambda x, h, c, *w: torch.lstm_cell(x, (h, c), *w))
    return step(x, h, c, w_ih, w_hh, b_ih, b_hh)


def _by_day(by):
    by_hand = attention.attention_backward
    return lambda *args: by_hand(*args) if COUNTED else by(*args)


@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("stable_softmax", _softmax_by_day),
        ("scaled_dot_product_attention", _attention_by_day),
        ("lstm_step", _cell_by_day),
        ("attention_backward", _by_day(by_autograd)),
        ("attention_backward", _by_day(by_vjp)),
    ],
)
def test_a_second_face_may_not_call_what_the_first_may_not(name, function):
    report = report_on(name, function)
    assert report.points == 0
    assert re.search("torch's own|autograd", said(report, "contracts"))


@pytest.mark.parametrize("seed", range(40))
def test_who_has_right_gradients_and_wrong_edges_keeps_what_is_right(seed):
    """A row that may read nothing gets the average: its gradient is 0, as it should be."""

    def average_row(scores, keep=None):
        if keep is not None:
            scores = scores.masked_fill(~keep, torch.finfo(scores.dtype).min)
        return scores.softmax(-1)

    report = report_on("masked_softmax", average_row, seed=seed)
    assert verdict(report, "values").passed and verdict(report, "gradients").passed
    assert not verdict(report, "edges").passed
