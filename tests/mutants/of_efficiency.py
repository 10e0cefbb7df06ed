"""What is particular to the mutants of chapter 13."""

HELPERS: dict[str, tuple[str, ...]] = {
    "_wide": ("quantize_absmax", "quantize_groups"),
    "_steps": ("quantize_absmax", "quantize_groups"),
    "unpack_int4": ("dequantize_blocks",),
    "_halves": ("dequantize_blocks",),
    "_chosen": ("load_balance_loss", "MixtureOfExperts"),
    "_require_bits": ("quantize_absmax", "quantize_groups", "model_bytes"),
    "_require_division": ("quantize_groups", "dequantize"),
    "_require_nibbles": ("pack_int4",),
    "_require_blocks": ("dequantize_blocks",),
    "_require_choice": ("top_k_route", "MixtureOfExperts"),
    "_require_same_tokens": ("load_balance_loss",),
}
"""What is no exercise, and the exercises through which it is judged: each must notice."""

LIBRARY: dict[str, tuple[str, ...]] = {}
"""The library does the work: what the function may not return. Nothing is forbidden here."""
