"""What is particular to the mutants of chapter 4."""

HELPERS: dict[str, tuple[str, ...]] = {}
"""What is no exercise, and the exercises through which it is judged: each must notice."""

LIBRARY: dict[str, tuple[str, ...]] = {
    "multi_head_attention": (
        "merge_heads(F.scaled_dot_product_attention(split_heads(x @ w_q, num_heads), "
        "split_heads(x @ w_k, num_heads), split_heads(x @ w_v, num_heads), "
        "None if keep is None else keep.unsqueeze(-3))) @ w_out",
    ),
    "cross_attention": (
        "merge_heads(F.scaled_dot_product_attention(split_heads(x @ w_q, num_heads), "
        "split_heads(memory @ w_k, num_heads), split_heads(memory @ w_v, num_heads), "
        "None if keep is None else keep.unsqueeze(-3))) @ w_out",
    ),
}
"""The library does the work: what the function may not return."""
