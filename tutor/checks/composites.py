"""Operations of torch's that an exercise may forbid tell of themselves, in every call of a check.

Composite ones, such as the recurrent cells, torch takes apart before any dispatch mode sees them.
So each gets a kernel of ours at the keys where it is taken apart: it tells the name, and goes on as
before. By whatever way the operation is reached, by Python, by a script, by ``decompose``, below
autograd, within ``vmap``, it passes there, in every thread; no mode switches it off. The others get
one where the CPU does them: so they are seen where no mode watches, too.
"""

import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

_NORMS = ("batch_norm", "group_norm", "instance_norm", "layer_norm", "rms_norm")
NAMES = (
    *("attention", "bilinear", "cross_entropy", "gru", "lstm", "rnn", "softmax"),
    *(*_NORMS, "_backward"),
)
"""Of what exercises may forbid."""
_APART = {"CompositeImplicitAutograd": "CPU", "FuncTorchBatchedDecomposition": "FuncTorchBatched"}
"""Where operations are taken apart, each with a key at which torch hands out what it does there."""
_PASSES = re.compile("(special_)?(log_)?softmax")
"""They are called often, and what they are made of is told."""

_told: set[str] = set()
_mute = False
_kernels: list[Any] = []


@contextmanager
def composites(found: set[str]) -> Iterator[None]:
    """Add to ``found`` the names, as ``aten.lstm_cell``, of those that are called within, by any
    thread."""
    install()
    before = _told.copy()
    _told.clear()
    try:
        yield
    finally:
        found |= _told
        _told.update(before)


def install() -> None:
    """Give all of them their kernels, for the life of the process."""
    if _kernels:
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch says that there was a kernel before
        _install()


def _install() -> None:
    aten = [n for n in torch._C._dispatch_get_all_op_names() if n.startswith("aten::")]
    named = [n for n in aten if any(part in n for part in NAMES)]
    for key, at in _APART.items():
        found = [n for n in named if _has(n, key)]
        _tell(found, key, at)
    whole = [n for n in named if _has(n, "CPU") and not _has(n, "CompositeImplicitAutograd")]
    _tell([n for n in whole if any(part in n for part in NAMES[:-1])], "CPU", "CPU")


def refuse() -> None:
    """From now on they are not done in this process: it has nobody whom it could tell."""
    global _mute
    _mute = True


def _has(name: str, key: str) -> bool:
    return torch._C._dispatch_has_kernel_for_dispatch_key(name, key)


def _tell(names: list[str], key: str, at: str) -> None:
    library = torch._C._dispatch_library("IMPL", "aten", key, __file__, 0)
    for name in names:
        if not _PASSES.fullmatch(name.removeprefix("aten::").partition(".")[0]):
            telling = _telling(name, torch.library.get_kernel(name, at))
            library.impl(name.removeprefix("aten::"), key, telling, True)
    _kernels.append(library)


def _telling(name: str, kernel: Any) -> Callable[..., Any]:
    told, call = name.partition(".")[0].replace("::", "."), kernel.call_boxed

    def tell(keys: Any, *args: Any, **kwargs: Any) -> Any:
        if _mute:
            raise RuntimeError(f"{told} is not done in a process that a graded one has begun")
        _told.add(told)
        return call(keys, *args, **kwargs)

    return tell
