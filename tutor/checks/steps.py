"""Counting the work of Python itself: no clock, so the same answer on every machine.

Where an answer is made of lists and mappings there is no tensor whose operations could be counted.
What is counted instead are steps: lines that begin to run, calls and returns, in every function
that the call reaches. What one call does in C is one step, however much that is.
"""

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any

from tutor.checks.cost import Cost

_EVASIONS = {
    "sys.settrace": "sys.settrace",
    "sys.setprofile": "sys.setprofile",
    "sys._getframe": "sys._getframe, or something that uses it,",
    "sys._current_frames": "sys._current_frames",
    "_thread.start_new_thread": "a thread",
    "os.fork": "another process",
    "os.posix_spawn": "another process",
    "subprocess.Popen": "another process",
    "ctypes.dlopen": "ctypes",
    "ctypes.dlsym": "ctypes",
}
"""By Python's own names of audit events: where steps would not be seen, or the counting end."""

_noted: list[set[str]] = []
"""Of the call that is counted now, what it has done of these; the innermost last."""
_hooks: list[Any] = []


def _audited(event: str, args: tuple[Any, ...]) -> None:
    if _noted and event in _EVASIONS:
        _noted[-1].add(event)


@contextmanager
def stepped() -> Iterator[Cost]:
    """Count the steps of the block: yield a ``Cost`` whose ``steps`` are there afterwards.

    ``outside`` says if something was done that is not seen, or if the counting was stopped.
    """
    if not _hooks:  # a hook stays as long as the process
        sys.addaudithook(_audited)
        _hooks.append(_audited)
    cost, before, noted = Cost(), sys.gettrace(), set()
    number = count()
    step = number.__next__

    def trace(frame: Any, event: str, arg: Any) -> Any:
        step()
        return trace

    # What others left behind may call Python when it is collected, and those are not the block's
    # steps.
    collects = gc.isenabled()
    gc.disable()
    sys.settrace(trace)
    _noted.append(noted)
    try:
        yield cost
    finally:
        _noted.pop()
        ours = sys.gettrace() is trace
        sys.settrace(before)
        if collects:
            gc.enable()
        cost.steps = step()
        if noted or not ours:
            words = [_EVASIONS[event] for event in sorted(noted)] or ["sys.settrace"]
            cost.outside = f"{words[0]} is called while steps are counted: not all of them are seen"
