"""What torch is set to while a function is judged: what it starts with, wherever the function runs.

What an earlier cell has set counts nothing: after ``torch.set_grad_enabled(False)`` the reference
has no gradient either, and a detached answer looks right. And nothing is compiled, which takes
longer than a check: a compiled function is judged as the function that it wraps.
"""

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import overrides
from torch.nn.modules import module
from torch.utils import _device
from torch.utils import _python_dispatch as dispatch


@dataclass(frozen=True)
class _Setting:
    told: str
    """As a cell writes it."""
    read: Callable[[], Any]
    write: Callable[[Any], None]
    usual: Any


def _autocast(device: str, dtype: torch.dtype) -> _Setting:
    def write(setting: tuple[bool, torch.dtype]) -> None:
        torch.set_autocast_enabled(device, setting[0])
        torch.set_autocast_dtype(device, setting[1])

    return _Setting(
        f'torch.autocast("{device}")',
        lambda: (torch.is_autocast_enabled(device), torch.get_autocast_dtype(device)),
        write,
        (False, dtype),
    )


def _flushes_denormals() -> bool:  # torch sets it and does not tell it
    smallest = torch.full((), 2.0**-1074, dtype=torch.float64, device="cpu")
    return not smallest.mul(1.0).view(torch.int64).item()


# What `register_module_forward_hook` and its kin write into, and contexts that are not left again.
_HOOKS = [hooks for name, hooks in vars(module).items() if re.match("_global.*hooks", name)]


def _write_hooks(values: list[dict[int, Any]]) -> None:
    for hooks, value in zip(_HOOKS, values, strict=True):
        hooks.clear()
        hooks.update(value)


_GRADIENTS, _INFERENCE = "torch.set_grad_enabled", "torch.inference_mode"
_DEVICE = "torch.set_default_device"
_CONTEXT = "a context of torch's that was entered and not left"

_SETTINGS = (
    _Setting(_GRADIENTS, torch.is_grad_enabled, torch.set_grad_enabled, True),
    _autocast("cpu", torch.bfloat16),
    _autocast("cuda", torch.float16),
    _Setting(
        "torch.set_default_dtype", torch.get_default_dtype, torch.set_default_dtype, torch.float32
    ),
    _Setting(
        "torch.use_deterministic_algorithms",
        torch.get_deterministic_debug_mode,
        torch.set_deterministic_debug_mode,
        0,
    ),
    _Setting(
        "torch.autograd.set_detect_anomaly",
        torch.is_anomaly_enabled,
        lambda on: torch.set_anomaly_enabled(on, torch.is_anomaly_check_nan_enabled()),
        False,
    ),
    _Setting(
        "torch.set_float32_matmul_precision",
        torch.get_float32_matmul_precision,
        torch.set_float32_matmul_precision,
        "highest",
    ),
    _Setting("torch.set_flush_denormal", _flushes_denormals, torch.set_flush_denormal, False),
    _Setting(
        "a hook on every torch.nn.Module",
        lambda: [hooks.copy() for hooks in _HOOKS],
        _write_hooks,
        [{} for _ in _HOOKS],
    ),
)
TOLD = (_INFERENCE, *(s.told for s in _SETTINGS), _DEVICE, _CONTEXT)
"""All that may be found set, in the words of ``usual_modes``."""


@contextmanager
def usual_modes() -> Iterator[tuple[str, ...]]:
    """Within it torch is set to what it starts with and compiles nothing; after it, to what it was
    before, whatever was changed meanwhile. Yields what was found set otherwise, see ``TOLD``."""
    with _no_contexts() as contexts:
        before = [s.read() for s in _SETTINGS]
        found = [s.told for s, b in zip(_SETTINGS, before, strict=True) if b != s.usual]
        if torch.is_inference_mode_enabled():  # without gradients by itself
            found = [_INFERENCE, *(told for told in found if told != _GRADIENTS)]
        outer, _here.usual = _usual_here(), True
        try:
            with torch.compiler.set_stance("force_eager"):
                _write_usual()
                with _left_at_the_end():
                    yield (*found, *contexts)
        finally:
            _here.usual = outer
            for setting, value in zip(_SETTINGS, before, strict=True):
                setting.write(value)


@contextmanager
def call_modes() -> Iterator[None]:
    """``usual_modes`` for one of many calls: within it, undoes what the call sets, and no more."""
    if not _usual_here():
        with usual_modes():
            yield
        return
    try:
        with _left_at_the_end():
            yield
    finally:
        torch.compiler.set_stance("force_eager")
        _write_usual()


_here = threading.local()


def _usual_here() -> bool:
    return getattr(_here, "usual", False)


def _write_usual() -> None:
    for setting in _SETTINGS:
        setting.write(setting.usual)


@contextmanager
def _left_at_the_end() -> Iterator[None]:
    with torch.inference_mode(False):
        try:
            yield
        finally:
            _take_contexts()


@contextmanager
def taken_off() -> Iterator[None]:
    """Takes off torch's stacks of modes what is left on them within, and leaves what lay there."""
    functions, operations = torch._C._len_torch_function_stack, torch._C._len_torch_dispatch_stack
    before = functions(), operations()
    with torch.inference_mode(False):
        try:
            yield
        finally:
            for _ in range(functions() - before[0]):
                overrides._pop_mode()
            for _ in range(operations() - before[1]):
                dispatch._pop_mode()


@contextmanager
def _no_contexts() -> Iterator[tuple[str, ...]]:
    """Outside of every mode of torch's that a ``with`` enters; a default device is one of them."""
    device, default = _device.CURRENT_DEVICE, vars(torch._GLOBAL_DEVICE_CONTEXT).copy()
    functions, operations = _take_contexts()
    try:
        devices = sum(isinstance(mode, _device.DeviceContext) for mode in functions)
        others = len(functions) + len(operations) - devices
        yield (_DEVICE,) * bool(devices) + (_CONTEXT,) * bool(others)
    finally:
        _device.CURRENT_DEVICE = device
        vars(torch._GLOBAL_DEVICE_CONTEXT).update(default)
        for mode in reversed(functions):
            overrides._push_mode(mode)
        for mode in reversed(operations):
            dispatch._push_mode(mode)


def _take_contexts() -> tuple[list[Any], list[Any]]:
    """Leave them all: those that see functions, and those that see operations, last ones first."""
    functions = [overrides._pop_mode() for _ in range(torch._C._len_torch_function_stack())]
    operations = [dispatch._pop_mode() for _ in range(torch._C._len_torch_dispatch_stack())]
    _device.CURRENT_DEVICE = None
    vars(torch._GLOBAL_DEVICE_CONTEXT).clear()
    return functions, operations
