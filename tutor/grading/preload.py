"""For the process that workers are forked from: import, once, all that each of them needs."""

from tutor.sandbox import importing

with importing():
    import torch

    from tutor.grading import batch  # noqa: F401
    from tutor.grading.reports import class_report, feedback  # noqa: F401

    # Imports torch's compiler, as the first operation on this device does.
    torch.arange(1, device="meta")
