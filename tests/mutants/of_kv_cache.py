"""What is particular to the mutants of chapter 9."""

_LAYERS = ("decode_step", "chunked_prefill")
HELPERS: dict[str, tuple[str, ...]] = {
    "_by_groups": _LAYERS,
    "_by_heads": _LAYERS,
    "grouped_attention": ("chunked_prefill",),
    "stream": ("generate",),
    "_require_sizes": ("kv_cache_bytes",),
    "_require_heads": ("kv_cache_bytes",),
    "_require_shapes": ("KVCache", "RollingCache"),
    "_require_room": ("KVCache",),
    "_require_one_token": ("decode_step",),
    "_require_chunk": ("chunked_prefill",),
    "_require_prompts": ("generate",),
}
"""What is no exercise, and the exercises through which it is judged: each must notice."""

LIBRARY: dict[str, tuple[str, ...]] = {
    "decode_step": (
        "(merge_heads(_by_heads(F.scaled_dot_product_attention(q, torch.cat((keys, k), 2), "
        "torch.cat((values, v), 2), keep, scale=1.0), 1)) @ w_out, k, v)",
    ),
    "grouped_attention": (
        "F.scaled_dot_product_attention(q, keys.repeat_interleave(q.shape[1] // groups, 1), "
        "values.repeat_interleave(q.shape[1] // groups, 1), keep[..., :t, :])",
    ),
}
"""The library does the work: what the function may not return."""
