"""A check runs under torch's usual settings, and leaves a notebook its own."""

import pytest
import torch
from reporting import report_on
from torch.nn.modules import module
from torch.nn.modules.module import register_module_forward_hook
from torch.overrides import TorchFunctionMode
from torch.utils.flop_counter import FlopCounterMode

from tutor import attention
from tutor.checks.candidate import LocalCandidate
from tutor.checks.modes import usual_modes


def now() -> list:
    with usual_modes() as found:
        pass
    return [
        found,
        torch.is_grad_enabled(),
        torch.is_inference_mode_enabled(),
        torch.is_autocast_enabled("cpu"),
        torch.get_autocast_dtype("cpu"),
        torch.get_default_dtype(),
        torch.get_default_device(),
        torch.get_deterministic_debug_mode(),
        torch.get_float32_matmul_precision(),
        torch.is_anomaly_enabled(),
        torch.compiler.is_compiling(),
        torch._C._len_torch_function_stack(),
        torch._C._len_torch_dispatch_stack(),
        list(module._global_forward_hooks.values()),
        list(module._global_forward_hooks_always_called.values()),
    ]


def spoil() -> list:
    """Set everything otherwise; what has to live as long as it shall count. When that is deleted,
    torch is as it was set here, so ``with usual_modes()`` has to be around it."""
    kept = [torch.inference_mode(), FlopCounterMode(display=False), torch.device("cpu")]
    for context in kept:
        context.__enter__()
    torch.autocast("cpu", torch.float16).__enter__()
    torch.set_default_dtype(torch.float64)
    torch.set_default_device("meta")
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.set_float32_matmul_precision("medium")
    torch.autograd.set_detect_anomaly(True)
    torch.set_flush_denormal(True)
    register_module_forward_hook(print, always_call=True)
    return kept


def test_whatever_a_call_sets_is_as_before_afterwards():
    before, seen, kept = now(), [], []

    def spoiling(scores, dim=-1):
        seen.append((torch.ones(1).device.type, torch.get_default_dtype(), torch.is_grad_enabled()))
        kept.append(spoil())
        return attention.stable_softmax(scores, dim)

    report_on("stable_softmax", spoiling)
    assert now() == before
    # The second where single precision is looked for: there all of it is double.
    assert set(seen) <= {("cpu", torch.float32, True), ("cpu", torch.float64, True)}
    with usual_modes():
        kept.clear()
    assert now() == before


def test_whatever_a_call_sets_before_it_raises_is_as_before_afterwards():
    before, kept = now(), []

    def raising(scores, dim=-1):
        kept[:] = spoil()
        raise ValueError("not today")

    LocalCandidate(raising).run((torch.ones(2),))
    assert now() == before
    report_on("stable_softmax", raising)
    assert now() == before
    with usual_modes():
        kept.clear()
    assert now() == before


def test_whatever_a_notebook_has_set_is_told_and_is_as_before_afterwards():
    with usual_modes():  # for the other tests
        kept, before = spoil(), now()
        report = report_on("stable_softmax", attention.stable_softmax)
        after = now()
        del kept
    assert before == after and report.passed
    (note,) = report.notes
    for told in before[0]:
        assert told in note
    assert len(before[0]) == 10 and "torch.inference_mode" in note and "meta" not in note


@pytest.mark.parametrize("context", [FlopCounterMode(display=False), TorchFunctionMode()])
def test_context_that_was_entered_and_not_left_is_entered_again(context):
    with usual_modes():
        context.__enter__()
        with usual_modes() as found:
            torch.ones(2, 2) @ torch.ones(2, 2)
        assert found[-1] == "a context of torch's that was entered and not left"
        context.__exit__(None, None, None)
        with usual_modes() as found:
            assert found == ()


def test_default_device_can_be_set_and_unset_after_a_check():
    with usual_modes():
        torch.set_default_device("meta")
        report_on("stable_softmax", attention.stable_softmax)
        assert torch.ones(1).is_meta
        torch.set_default_device(None)
        assert not torch.ones(1).is_meta
