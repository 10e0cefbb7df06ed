"""What is particular to the mutants of chapter 10."""

HELPERS: dict[str, tuple[str, ...]] = {
    "_share": (
        "expand_kv_heads",
        "grouped_query_attention",
        "pool_kv_heads",
        "concurrent_users",
    ),
    "_of_groups": ("grouped_query_attention",),
    "_require_fit": ("grouped_query_attention",),
    "_require_rows": ("pool_kv_heads",),
}
"""What is no exercise, and the exercises through which it is judged: each must notice."""

_FITS = "_require_fit(q, k, v, keep) or "  # it returns None: bad input is refused as before
LIBRARY: dict[str, tuple[str, ...]] = {
    "grouped_query_attention": (
        f"{_FITS}F.scaled_dot_product_attention(q, k, v, keep, enable_gqa=True)",
        f"{_FITS}F.scaled_dot_product_attention(q, k, v, keep, enable_gqa=True).nan_to_num()",
        f"{_FITS}F.scaled_dot_product_attention(q, expand_kv_heads(k, q.shape[-3]), "
        "expand_kv_heads(v, q.shape[-3]), keep).nan_to_num()",
    ),
}
"""The library does the work: what the function may not return."""
