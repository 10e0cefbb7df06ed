"""How far an answer may be from the right one, and what is said of one that is too far."""

from dataclasses import replace

import pytest
import torch
from answers import RIGHT
from reporting import report_on, said, verdict

from tutor import attention
from tutor.checks import EXERCISES, judge
from tutor.checks.compare import TOLERANCE
from tutor.checks.exercise import Exercise


def test_tolerances_are_stated():
    summary = verdict(report_on("attention_scores", attention.attention_scores), "values").summary
    assert "double to 1e-10, single to 1e-5" in summary


ROUNDED = (torch.float16, torch.bfloat16)


def badly_conditioned(factor: float) -> Exercise:
    """self_attention with larger rounded inputs: what a score loses by rounding, exp shows. Scores
    that are extreme already stay in half precision's range."""
    exercise = EXERCISES["self_attention"]

    def cases(generator, device):
        for case in exercise.cases(generator, device):
            x, *rest = case.args
            larger = x.dtype in ROUNDED and "scores near" not in case.label
            yield replace(case, args=(x * factor if larger else x, *rest))

    return replace(exercise, cases=cases)


@pytest.mark.by_content
@pytest.mark.parametrize("function", [attention.self_attention, *RIGHT["self_attention"]])
def test_rounding_that_nobody_can_help_costs_nothing(function):
    # The measure is the reference's own rounding, and keys that are never projected round more:
    # also the product of two weights. That has to cost nothing with the inputs that are graded.
    factor = 1 if function.__name__ == "self_keys_unprojected" else 3
    assert all(judge(badly_conditioned(factor), function, seed).passed for seed in range(8))


@pytest.mark.by_content
def test_such_rounding_exceeds_the_usual_tolerance_and_hides_no_fault():
    far = 0.0
    for seed in range(8):
        generator = torch.Generator().manual_seed(seed)
        for case in badly_conditioned(3).cases(generator, torch.device("cpu")):
            *inputs, keep = case.args if len(case.args) == 5 else (*case.args, None)
            dtype = inputs[0].dtype
            if dtype in ROUNDED:
                rounded = attention.self_attention(*inputs, keep)
                exact = attention.self_attention(*(a.double() for a in inputs), keep)
                far = max(far, float((rounded.double() - exact).abs().max()) / TOLERANCE[dtype])
    assert far > 2

    def without_scale(x, w_q, w_k, w_v, keep=None):
        w_q = w_q * w_q.shape[-1] ** 0.5 if x.dtype in ROUNDED else w_q
        return attention.self_attention(x, w_q, w_k, w_v, keep)

    found = (judge(badly_conditioned(3), without_scale, seed) for seed in range(8))
    assert not any(verdict(report, "values").passed for report in found)


@pytest.mark.parametrize("sequence", [tuple, list])
def test_tensor_in_a_sequence_is_no_tensor(sequence):
    report = report_on(
        "attention_scores", lambda q, k: sequence([attention.attention_scores(q, k)])
    )
    assert "expected a tensor, got a tuple or list of 1" in said(report, "values")
