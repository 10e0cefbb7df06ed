"""Translators of many layers, whole and with a part taken out: what chapter 7 shows to fail.

B batch, S and T symbols of source and target, C width.
"""

from collections.abc import Callable

from torch import Tensor, nn
from torch.nn import functional as F

from tutor.transformer import DecoderLayer, EncoderLayer, TransformerConfig, TransformerSeq2Seq

__all__ = ["KINDS", "stack"]

KINDS = ("pre-norm", "post-norm", "no norm", "no residual")
"""Norm before each sublayer, norm after each sum, and pre-norm without the one or the other."""


class _Direct:
    """A layer that hands on what its sublayers give, and not what they were given."""

    def _residual(self, x: Tensor, sublayer: Callable[[Tensor], Tensor], norm: nn.Module) -> Tensor:
        return sublayer(norm(x))


class _DirectEncoderLayer(_Direct, EncoderLayer):
    pass


class _DirectDecoderLayer(_Direct, DecoderLayer):
    pass


def stack(
    kind: str,
    num_layers: int,
    vocabulary: int,
    width: int = 32,
    num_heads: int = 4,
    hidden_width: int = 64,
) -> TransformerSeq2Seq:
    """A translator of so many layers, half of them to read and half to write, of one of KINDS.

    The same seed gives all kinds the same first parameters.
    ValueError for a kind not in KINDS, or an odd number of layers.
    """
    if kind not in KINDS:
        raise ValueError(f"kinds are {', '.join(KINDS)}, got {kind!r}")
    if num_layers % 2:
        raise ValueError(f"half of the layers read and half write: {num_layers} is odd")
    half = num_layers // 2
    config = TransformerConfig(
        width,
        num_heads,
        hidden_width,
        half,
        half,
        0.0,
        norm_first=kind != "post-norm",
        attention=F.scaled_dot_product_attention,
    )
    model = TransformerSeq2Seq(vocabulary, config)
    parts = ((model.encoder, _DirectEncoderLayer), (model.transformer.decoder, _DirectDecoderLayer))
    for part, direct in parts:
        if kind == "no residual":
            layers = nn.ModuleList(direct(config) for _ in part.layers)
            layers.load_state_dict(part.layers.state_dict())
            part.layers = layers
        if kind == "no norm":
            part.norm = nn.Identity()
            for layer in part.layers:
                for name, _ in list(layer.named_children()):
                    if name.startswith("norm"):
                        setattr(layer, name, nn.Identity())
    return model
