"""What is particular to the mutants of chapter 1."""

HELPERS: dict[str, tuple[str, ...]] = {}
"""What is no exercise, and the exercises through which it is judged: each must notice."""

LIBRARY: dict[str, tuple[str, ...]] = {}
"""The library does the work: what the function may not return."""
