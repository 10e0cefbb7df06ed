"""What is particular to the mutants of chapter 3."""

HELPERS = {
    "attention_weights": ("scaled_dot_product_attention", "self_attention", "attention_backward")
}
"""What is no exercise, and the exercises through which it is judged: each must notice."""

LIBRARY = {
    "stable_softmax": (
        "scores.softmax(dim)",
        "torch.softmax(scores, dim)",
        "torch.special.softmax(scores, dim)",
        "F.softmax(scores, dim)",
        "torch.nn.Softmax(dim)(scores)",
        "scores.log_softmax(dim).exp()",
        "torch.ops.aten._softmax(scores, dim, False)",
    ),
    "scaled_dot_product_attention": (
        "F.scaled_dot_product_attention(q, k, v) if keep is None else "
        "attention_weights(q, k, keep) @ v",
        "attention_weights(q, k, keep) @ v if keep is None else "
        "F.scaled_dot_product_attention(q, k, v, keep)",
        "F.scaled_dot_product_attention(q, k, v, keep)",
        "F.scaled_dot_product_attention(q, k, v, keep).nan_to_num()",
        "torch.ops.aten.scaled_dot_product_attention(q, k, v, keep)",
        "torch.ops.aten._scaled_dot_product_attention_math(q, k, v, keep)[0]",
    ),
    "self_attention": (
        "F.scaled_dot_product_attention(x @ w_q, x @ w_k, x @ w_v, keep)",
        "F.scaled_dot_product_attention(x @ w_q, x @ w_k, x @ w_v, keep).nan_to_num()",
    ),
    "attention_backward": (
        "autograd_backward(scaled_dot_product_attention, grad_out, q, k, v, keep)",
        "autograd_backward(F.scaled_dot_product_attention, grad_out, q, k, v, keep)",
        "vjp_backward(scaled_dot_product_attention, grad_out, q, k, v, keep)",
    ),
}
"""The library does the work: what the function may not return."""
