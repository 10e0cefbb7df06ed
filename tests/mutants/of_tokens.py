"""What is particular to the mutants of chapter 6."""

HELPERS = {
    "_merged": ("bpe_encode",),
    "_encode_piece": ("bpe_encode",),
    "_cut": ("bpe_encode",),
}
"""What is no exercise, and the exercises through which it is judged: each must notice."""

LIBRARY: dict[str, tuple[str, ...]] = {}
"""The library does the work: what the function may not return."""
