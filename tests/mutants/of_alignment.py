"""What is particular to the mutants of chapter 2."""

HELPERS: dict[str, tuple[str, ...]] = {}
"""What is no exercise, and the exercises through which it is judged: each must notice."""

LIBRARY = {
    "masked_softmax": (
        "F.scaled_dot_product_attention(scores, torch.eye(scores.shape[-1], dtype=scores.dtype), "
        "torch.eye(scores.shape[-1], dtype=scores.dtype), keep, scale=1.0)",
        "torch.masked.softmax(scores, -1, mask=keep)",
    ),
    "general_scores": (
        "F.bilinear(x[..., :, None, :].repeat_interleave(memory.shape[-2], -2), "
        "memory[..., None, :, :].repeat_interleave(x.shape[-2], -3), w[None])[..., 0]",
    ),
}
"""The library does the work: what the function may not return."""
