"""Who computes in single precision what came in double loses the points for dtypes and no others;
who is wrong by as little loses the values."""

import math

import pytest
import torch
from reporting import NAMES, TRAPS, first_arguments, of_the_reference, report_on, said, verdict
from torch import Tensor
from torch.nn import functional as F
from torch.utils._pytree import tree_map

from tutor import attention
from tutor.checks.compare import TOLERANCE
from tutor.checks.report import slug
from tutor.checks.trace import as_tuple


def floats(x):
    return isinstance(x, Tensor) and x.is_floating_point()


def answers_in_doubles(name):
    """Of whole numbers, such as a token, single precision changes one draw in ten million."""
    args = first_arguments(name)
    return any(map(floats, args)) and any(map(floats, as_tuple(of_the_reference(name)(*args))))


OF_DOUBLES = [n for n in NAMES if answers_in_doubles(n)]


def of_single(function):
    """The same, in single precision on the way."""

    def narrow(*args):
        dtype = next((a.dtype for a in args if floats(a)), None)
        if dtype != torch.float64:
            return function(*args)
        out = function(*tree_map(lambda a: a.float() if floats(a) else a, args))
        return tree_map(lambda t: t.to(dtype) if floats(t) else t, out)

    return narrow


def lost(report):
    return [v.group for v in report.verdicts if not v.passed]


@pytest.mark.parametrize("name", OF_DOUBLES)
def test_single_precision_alone_costs_the_dtypes_alone(name):
    report = report_on(name, of_single(of_the_reference(name)))
    assert lost(report) == ["types"], report
    assert "\nin your narrow, line" in said(report, "types")
    assert "a.float() if floats(a)" in said(report, "types")


@pytest.mark.by_content
@pytest.mark.parametrize("name", OF_DOUBLES)
@pytest.mark.parametrize(
    "slightly",
    [lambda t: t * (1 + 1e-7), lambda t: t + 1e-8, lambda t: t.float().double() * (1 + 1e-7)],
    ids=["a factor", "a constant", "a factor in single precision"],
)
def test_who_is_wrong_by_as_little_loses_the_values(name, slightly):
    """The first by less than single precision's own error."""
    function = of_the_reference(name)

    def wrong(*args):
        out = function(*args)
        return tree_map(lambda t: slightly(t) if t.dtype == torch.float64 else t, out)

    assert "values" in lost(report_on(name, wrong))


ONLY_IN_DOUBLE = {
    "a constant in the denominator",
    "float32 whatever comes in",
    "left in single precision",
    "single precision whatever comes in",
    "squares in half precision",
    "the difference of two large numbers",
    "the mean taken away at the end",
    "view of what is not contiguous",
    *(t.name for _, t in TRAPS if t.overwrites),
}
"""Of single precision itself, of rounding, or of the caller's tensors, which `of_single` copies."""
MISTAKES = [(n, t) for n, t in TRAPS if n in OF_DOUBLES and t.name not in ONLY_IN_DOUBLE]


@pytest.mark.by_content
@pytest.mark.parametrize(
    ("name", "trap"), MISTAKES, ids=[f"{n}-{slug(t.name)}" for n, t in MISTAKES]
)
def test_a_mistake_keeps_its_name_in_single_precision(name, trap):
    assert trap.name in report_on(name, of_single(trap.function)).traps


def encoding_of_the_paper(positions, width, theta=10000.0):
    out = torch.zeros(*positions.shape, width)
    angles = positions[..., None] / theta ** (torch.arange(0, width, 2) / width)
    out[..., 0::2], out[..., 1::2] = angles.sin(), angles.cos()
    return out


def encoding_of_tutorials(positions, width, theta=10000.0):
    steps = torch.exp(torch.arange(0, width, 2).float() * (-math.log(theta) / width))
    angles = positions.unsqueeze(-1) * steps
    return torch.stack((angles.sin(), angles.cos()), -1).flatten(-2)


def encoding_of_whole_numbers(positions, width, theta=10000.0):
    angles = positions[..., None] / theta ** (2 * torch.arange(width // 2) / width)
    return torch.stack((angles.sin(), angles.cos()), -1).flatten(-2).to(positions.dtype)


@pytest.mark.parametrize(
    ("function", "other"),
    [
        (encoding_of_the_paper, "the dtype of the positions forgotten"),
        (encoding_of_tutorials, "the dtype of the positions forgotten"),
        (encoding_of_whole_numbers, "whole numbers for whole positions"),
    ],
)
def test_single_precision_and_another_mistake_are_both_named(function, other):
    """However the angles are rounded: there is no table of the ways."""
    report = report_on("sinusoidal_encoding", function)
    assert set(report.traps) == {"angles in single precision", other}


def test_what_double_precision_does_not_mend_is_not_its_fault():
    def off(positions, width, theta=10000.0):
        return encoding_of_tutorials(positions, width, theta) + 0.001

    report = report_on("sinusoidal_encoding", off)
    assert not verdict(report, "values").failure.traps
    assert not verdict(report, "edges").failure.traps


# As people write them


def scores_by_a_root_of_a_tensor(q, k):
    return q @ k.mT / torch.sqrt(torch.tensor(q.shape[-1]))


def scores_answered_in_single(q, k):
    return q.float() @ k.float().mT / q.shape[-1] ** 0.5


def scores_by_a_rounded_number(q, k):
    return q @ k.mT * torch.tensor(q.shape[-1] ** -0.5)


def attention_by_a_softmax_in_single(q, k, v, keep=None):
    if keep is not None and keep.dtype != torch.bool:
        raise TypeError
    scores = q @ k.mT / q.shape[-1] ** 0.5
    if keep is not None:
        scores = scores.masked_fill(~keep, torch.finfo(scores.dtype).min)
    weights = F.softmax(scores, -1, dtype=torch.float32).to(q.dtype)
    return (weights if keep is None else weights * keep) @ v


AS_WRITTEN = [
    ("attention_scores", scores_by_a_root_of_a_tensor, "torch.sqrt"),
    ("attention_scores", scores_by_a_rounded_number, "torch.tensor"),
    ("scaled_dot_product_attention", attention_by_a_softmax_in_single, "F.softmax"),
]


@pytest.mark.parametrize(("name", "function", "line"), AS_WRITTEN)
@pytest.mark.parametrize("seed", range(3))
def test_line_is_told_from_which_on_it_is_single_precision(name, function, line, seed):
    report = report_on(name, function, seed=seed)
    assert lost(report) == ["types"], report
    told = said(report, "types")
    assert f"\nin your {function.__name__}, line" in told and line in told


def test_answer_of_another_dtype_is_told_so():
    report = report_on("attention_scores", scores_answered_in_single)
    assert lost(report) == ["types"]
    assert "expected an answer of torch.float64, as the inputs are" in said(report, "types")


# What is wrong for another cause


def scores_with_a_constant(q, k):
    return q @ k.mT / (q.shape[-1] ** 0.5 + 1e-7)


def scores_by_a_short_number(q, k):
    roots = {4: 0.5, 7: 0.3779645, 32: 0.1767767}
    return q @ k.mT * roots.get(q.shape[-1], q.shape[-1] ** -0.5)


def scores_by_numpy(q, k):
    root = q.detach().numpy().astype("float32") if q.dtype == torch.float64 else q.detach().numpy()
    return torch.from_numpy(root).to(k.dtype) @ k.mT / q.shape[-1] ** 0.5


def attention_with_a_constant(q, k, v, keep=None):
    weights = attention.attention_weights(q, k, keep)
    return weights @ v / (weights.sum(-1, keepdim=True) + 1e-9)


def attention_in_single_with_a_constant(q, k, v, keep=None):
    weights = attention.attention_weights(q, k, keep).float()
    return (weights / (weights.sum(-1, keepdim=True) + 1e-7)).to(v.dtype) @ v


@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("attention_scores", scores_with_a_constant),
        ("attention_scores", scores_by_a_short_number),
        ("attention_scores", scores_by_numpy),
        ("scaled_dot_product_attention", attention_with_a_constant),
        ("scaled_dot_product_attention", attention_in_single_with_a_constant),
    ],
)
@pytest.mark.parametrize("seed", range(3))
def test_small_fault_that_no_precision_mends_costs_the_values(name, function, seed):
    report = report_on(name, function, seed=seed)
    assert "values" in lost(report)
    assert "times what was expected" not in str(report)


def test_wrong_in_single_precision_itself_is_wrong():
    """A window of 1e-5 in single: who is outside of it there has no excuse."""

    def worse(q, k):
        out = of_single(attention.attention_scores)(q, k)
        return out * (1 + 1e-4) if q.dtype == torch.float32 else out

    assert TOLERANCE[torch.float32] < 1e-4
    assert "values" in lost(report_on("attention_scores", worse))


def stale():
    """Right at first, and in single precision; but it keeps its answers."""
    answers = {}

    def remembering(q, k):
        key = id(q), id(k)
        if key not in answers:
            answers[key] = of_single(attention.attention_scores)(q, k), q, k
        return answers[key][0]

    return remembering


def test_who_computes_in_single_precision_is_asked_all_the_rest():
    assert "values" in lost(report_on("attention_scores", stale()))
