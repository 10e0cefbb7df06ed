"""What is particular to the mutants of chapter 14."""

HELPERS: dict[str, tuple[str, ...]] = {
    "_attention": ("decoder_block", "language_model"),
    "_decoded": ("load_checkpoint",),
    "pieces": ("stream",),
    "_require_block": ("decoder_block",),
    "_require_layers": ("language_model",),
    "_require_names": ("load_checkpoint",),
    "_require_messages": ("chat_prompt",),
    "_require_prompt": ("stream",),
}
"""What is no exercise, and the exercises through which it is judged: each must notice."""

LIBRARY: dict[str, tuple[str, ...]] = {}
"""The library does the work: what the function may not return."""
