"""What torch's own recorder sees of a call: every operation, those included that torch takes apart
before any mode sees them, and whatever modes are switched off."""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from torch._C import _autograd
from torch._C._profiler import ProfilerConfig, ProfilerState, _ExperimentalConfig

_BY_A_MODE = "PythonDispatchMode"
"""What the recorder calls the part of an operation that a dispatch mode does."""
_OWN = ("aten::", "autograd::engine")
"""How the names begin that torch itself gives; who writes a backward pass gives others."""
_UNTOLD = {"alias", "detach"}
"""What torch does by itself when a new tensor is made, and we with outputs: no work."""


class Trail:
    """Operations in their order, told by their number and a digest."""

    def __init__(self) -> None:
        self.length, self._digest = 0, hashlib.sha256()

    def add(self, name: str) -> None:
        if name not in _UNTOLD:
            self.length += 1
            self._digest.update(f"{name} ".encode())

    def told(self) -> tuple[int, str]:
        return self.length, self._digest.hexdigest()


@dataclass
class Record:
    names: set[str] = field(default_factory=set)
    """As ``aten.softmax``."""
    trail: tuple[int, str] | None = None
    """Of what a dispatch mode was asked for; None where the recorder was not left alone."""


@contextmanager
def recorded(done: Callable[[str], bool]) -> Iterator[Record]:
    """Yield what is known after the block. ``done``: whether operations of a name are done as they
    are, and not taken apart or refused."""
    record = Record()
    try:
        _autograd._enable_profiler_legacy(_config())
    except RuntimeError:  # another one is running
        yield record
        return
    try:
        yield record
    finally:
        try:
            found = _autograd._disable_profiler_legacy()
        except RuntimeError:  # somebody has stopped it
            found = None
        if found is not None:
            _read([event for thread in found for event in thread], record, done)


def _config() -> ProfilerConfig:
    no_shapes_memory_stack_flops_or_modules = (False,) * 5
    experimental = _ExperimentalConfig()
    return ProfilerConfig(ProfilerState.CPU, *no_shapes_memory_stack_flops_or_modules, experimental)


def _read(events: list[Any], record: Record, done: Callable[[str], bool]) -> None:
    trail = Trail()
    open_: list[list[Any]] = []
    """Operations that have begun: name, whether a mode has it, and whether it has one within."""
    for event in events:
        if event.kind() == "push":
            name = event.name()
            if name == _BY_A_MODE and open_:
                open_[-1][1] = True
            if name.startswith(_OWN):
                record.names.add(name.replace("::", "."))
            open_.append([name, False, False])
        elif event.kind() == "pop" and open_:
            name, by_a_mode, within = open_.pop()
            name = name.rpartition("::")[2]
            # One that was taken apart is told by its parts, of which there may be none.
            if by_a_mode and not within and done(name):
                trail.add(name)
            if open_:
                open_[-1][2] |= by_a_mode or within
    record.trail = trail.told()
