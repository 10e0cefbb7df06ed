"""What is particular to the mutants of chapter 5."""

HELPERS = {"rope_angles": ("sinusoidal_encoding", "apply_rope")}
"""What is no exercise, and the exercises through which it is judged: each must notice."""

LIBRARY: dict[str, tuple[str, ...]] = {}
"""The library does the work: what the function may not return."""
