"""What is particular to the mutants of chapter 12."""

HELPERS: dict[str, tuple[str, ...]] = {
    "_distances": ("window_mask", "strided_mask"),
    "positive_features": ("linear_attention", "linear_attention_step"),
    "_block": ("RingAttention",),
    "_scores": ("RingAttention",),
    "_merged": ("RingAttention",),
    "_require_window": ("window_mask", "windowed_attention"),
    "_require_stride": ("strided_mask",),
    "_require_numbers": ("global_random_mask",),
    "_require_square": ("layers_to_reach",),
    "_require_past": ("windowed_attention", "linear_attention"),
    "_require_scaling": ("scale_rope",),
    "_require_rank": ("RingAttention",),
    "_require_message": ("RingAttention",),
}
"""What is no exercise, and the exercises through which it is judged: each must notice."""

LIBRARY: dict[str, tuple[str, ...]] = {
    "windowed_attention": (
        "F.scaled_dot_product_attention(q, k, v, window_mask(q.shape[-2], k.shape[-2], window))",
    ),
}
"""The library does the work: what the function may not return."""
