"""Which functions of installed libraries, written in Python, an operation is called from.

torch has a second softmax: ``torch._refs.softmax`` is written in Python, of plain operations, and
so are its decompositions, some layers and a transform of distributions. No dispatcher knows them
by name. But while one of them works, it stands among the callers of each operation, whatever it
was called by and whatever modes are switched off.
"""

import sysconfig
from functools import lru_cache
from pathlib import Path
from types import FrameType

_TUTOR = Path(__file__).resolve().parents[1]
_INSTALLED = tuple({f"{sysconfig.get_path(name)}/" for name in ("purelib", "platlib")})
_CALLS = {str(_TUTOR / path) for path in ("checks/candidate.py", "sandbox/inside/kernel.py")}
"""Where calls begin: what lies beyond is nobody's work."""
_PLUMBING = (
    "torch._compile",
    "torch._dynamo",
    "torch._functorch",
    "torch._jit_internal",
    "torch._library",
    "torch._ops",
    "torch._prims",
    "torch._prims_common",
    "torch._tensor",
    "torch.autograd",  # what it does is seen by hooks
    "torch.overrides",
    "torch.utils",
    "tutor",
)
"""What passes a call on and computes nothing itself."""


def callers(frame: FrameType | None) -> set[str]:
    """Names of the library functions among a frame and its callers, as
    ``torch.distributions.transforms.softmaxtransform._call``: in small letters, so that a class is
    found by the same word as a function."""
    found = set()
    while frame is not None and (code := frame.f_code).co_filename not in _CALLS:
        if (module := _module(code.co_filename)) is not None:
            found.add(f"{module}.{code.co_qualname}".lower())
        frame = frame.f_back
    return found


@lru_cache(4096)
def _module(path: str) -> str | None:
    """The module that stands in a file; None if it is no library's, or plumbing."""
    if not path.startswith(_INSTALLED):
        return None
    root = next(root for root in _INSTALLED if path.startswith(root))
    parts = Path(path[len(root) :]).with_suffix("").parts
    name = ".".join(part for part in parts if part != "__init__")
    return None if f"{name}.".startswith(tuple(f"{p}." for p in _PLUMBING)) else name
