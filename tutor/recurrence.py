"""Chapter 1: recurrent networks, and a translator that remembers a sentence in one vector.

B batch, S symbols of a source, T symbols of a target, C width of the state.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

__all__ = ["Seq2Seq", "encode_both_ways"]


def encode_both_ways(
    gru: nn.GRU, embedded: Float[Tensor, "B S E"], lengths: Int[Tensor, " B"]
) -> tuple[Float[Tensor, "B S C"], Float[Tensor, "B C"]]:
    """What a bidirectional GRU makes of padded sources: its states, and its last real one.

    The states of the two directions stand side by side, each C/2 wide; at the padding they are 0.
    The last state of the way back is the one at the first symbol.
    """
    packed = nn.utils.rnn.pack_padded_sequence(
        embedded, lengths.cpu(), batch_first=True, enforce_sorted=False
    )
    states, last = gru(packed)
    states, _ = nn.utils.rnn.pad_packed_sequence(
        states, batch_first=True, total_length=embedded.shape[1]
    )
    return states, torch.cat((last[0], last[1]), dim=-1)


class Seq2Seq(nn.Module):
    """The source into one vector, the target out of it: Sutskever et al. 2014, arXiv:1409.3215,
    with the gated units of Cho et al. 2014, arXiv:1406.1078, and an encoder that reads both ways.

    ValueError for an odd width: half of it belongs to each direction.
    """

    def __init__(self, vocabulary: int, width: int, embedding_width: int = 32) -> None:
        super().__init__()
        if width % 2:
            raise ValueError(f"width must be even, for two directions, got {width}")
        self.source_embedding = nn.Embedding(vocabulary, embedding_width)
        self.target_embedding = nn.Embedding(vocabulary, embedding_width)
        self.encoder = nn.GRU(embedding_width, width // 2, batch_first=True, bidirectional=True)
        self.decoder = nn.GRU(embedding_width, width, batch_first=True)
        self.readout = nn.Linear(width, vocabulary)

    def forward(
        self,
        source: Int[Tensor, "B S"],
        lengths: Int[Tensor, " B"],
        target: Int[Tensor, "B T"],
    ) -> Float[Tensor, "B T V"]:
        """Scores of the symbol that follows each symbol of the target."""
        _, last = encode_both_ways(self.encoder, self.source_embedding(source), lengths)
        states, _ = self.decoder(self.target_embedding(target), last[None])
        return self.readout(states)
