"""What is particular to the mutants of chapter 8."""

HELPERS: dict[str, tuple[str, ...]] = {
    "_require_same_shape": ("mask_tokens",),
    "_require_lengths": ("shift_for_next_token",),
    "_require_spans": ("corrupt_spans",),
    "_require_cuts": ("sample",),
}
"""What is no exercise, and the exercises through which it is judged: each must notice."""

LIBRARY: dict[str, tuple[str, ...]] = {
    "rms_norm": ("F.rms_norm(x, x.shape[-1:], weight, eps)",),
}
"""The library does the work: what the function may not return."""
