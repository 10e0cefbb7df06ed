"""Chapter 2: attention as it was first: a decoder that looks back at its source.

B batch, S symbols of a source, T symbols of a target, C width of the states.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from tutor.recurrence import encode_both_ways

__all__ = ["AttentionSeq2Seq"]


class AttentionSeq2Seq(nn.Module):
    """Chapter 1's translator, whose decoder reads all states of the source at every symbol.

    ``attention(x, memory, keep)`` takes the decoder's states (B, T, C), the encoder's (B, S, C)
    and keep (B, 1, S), True = a real symbol, and returns what each decoder state reads, (B, T, C).
    As in Luong et al. 2015, arXiv:1508.04025, the state and what it read are joined for the
    readout; unlike there, what was read is not fed into the next step.
    """

    def __init__(
        self, vocabulary: int, width: int, attention: nn.Module, embedding_width: int = 32
    ) -> None:
        super().__init__()
        if width % 2:
            raise ValueError(f"width must be even, for two directions, got {width}")
        self.source_embedding = nn.Embedding(vocabulary, embedding_width)
        self.target_embedding = nn.Embedding(vocabulary, embedding_width)
        self.encoder = nn.GRU(embedding_width, width // 2, batch_first=True, bidirectional=True)
        self.decoder = nn.GRU(embedding_width, width, batch_first=True)
        self.attention = attention
        self.readout = nn.Linear(2 * width, vocabulary)

    def forward(
        self,
        source: Int[Tensor, "B S"],
        lengths: Int[Tensor, " B"],
        target: Int[Tensor, "B T"],
    ) -> Float[Tensor, "B T V"]:
        """Scores of the symbol that follows each symbol of the target."""
        memory, last = encode_both_ways(self.encoder, self.source_embedding(source), lengths)
        states, _ = self.decoder(self.target_embedding(target), last[None])
        keep = torch.arange(source.shape[1], device=source.device) < lengths[:, None, None]
        read = self.attention(states, memory, keep)
        return self.readout(torch.cat((states, read), dim=-1))
