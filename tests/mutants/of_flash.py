"""What is particular to the mutants of chapter 11."""

_PASSES = ("flash_forward", "flash_backward")
HELPERS: dict[str, tuple[str, ...]] = {
    "_tiles": _PASSES,
    "_hidden": _PASSES,
    "_require_fit": _PASSES,
    # The check gets what the notebook's ``launched`` makes of a kernel, and the kernel itself would
    # be refused whatever it computes: test_flash_kernels.py has its mutants.
    "flash_kernel": (),
}
"""What is no exercise, and the exercises through which it is judged: each must notice."""

_KEEP = (
    "torch.ones(q.shape[-2], k.shape[-2], dtype=torch.bool, device=q.device)"
    ".tril(k.shape[-2] - q.shape[-2] if causal else k.shape[-2])"
)
_SCORES = "q @ k.repeat_interleave(q.shape[-3] // k.shape[-3], -3).mT * q.shape[-1] ** -0.5"
_FITS = "_require_fit(q, k, v) and "  # it returns a number above 0: bad input is refused as before
_ATTENTION = "lambda q, k, v, keep: F.scaled_dot_product_attention(q, k, v, keep, enable_gqa=True)"
LIBRARY: dict[str, tuple[str, ...]] = {
    "flash_forward": (
        "torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(q, k, v, 0.0, causal)",
        f"{_FITS}(F.scaled_dot_product_attention(q, k, v, {_KEEP}, enable_gqa=True).nan_to_num(), "
        f"({_SCORES}).masked_fill(~{_KEEP}, -math.inf).logsumexp(-1))",
    ),
    "flash_backward": (
        f"{_FITS}autograd_backward({_ATTENTION}, grad_out, q, k, v, {_KEEP})",
        f"{_FITS}vjp_backward({_ATTENTION}, grad_out, q, k, v, {_KEEP})",
    ),
}
"""The library does the work: what the function may not return."""
