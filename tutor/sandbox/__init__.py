"""The processes that students' code runs in: bubblewrap outside, ``inside`` what runs within."""

import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def importing() -> Iterator[None]:
    """What is made in here stays: the garbage collector does not look at it, then or later.

    Imports take three quarters of the time so, and a fork shares the pages of what they made.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
