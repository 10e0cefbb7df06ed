"""What is particular to the mutants of chapter 7."""

_LAYERS = ("encoder_layer", "decoder_layer")
HELPERS: dict[str, tuple[str, ...]] = {
    "residual": _LAYERS,
    "_norm": _LAYERS,
    "length_penalty": ("beam_search",),
    "_require_longest": ("greedy_decode", "beam_search"),
    "_require_beam": ("beam_search",),
    "_require_loss": ("label_smoothing_loss",),
}
"""What is no exercise, and the exercises through which it is judged: each must notice."""

LIBRARY: dict[str, tuple[str, ...]] = {
    "layer_norm": ("F.layer_norm(x, x.shape[-1:], weight, bias, eps)",),
    "label_smoothing_loss": (
        "F.cross_entropy(logits.flatten(0, -2), target.flatten(), label_smoothing=smoothing, "
        "ignore_index=ignore_index)",
    ),
}
"""The library does the work: what the function may not return."""
