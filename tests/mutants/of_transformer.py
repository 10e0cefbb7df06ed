"""What is particular to the mutants of chapter 7."""

_LAYERS = ("encoder_layer", "decoder_layer")
HELPERS: dict[str, tuple[str, ...]] = {"residual": _LAYERS, "_norm": _LAYERS}
"""What is no exercise, and the exercises through which it is judged: each must notice."""

LIBRARY: dict[str, tuple[str, ...]] = {
    "layer_norm": ("F.layer_norm(x, x.shape[-1:], weight, bias, eps)",),
}
"""The library does the work: what the function may not return."""
