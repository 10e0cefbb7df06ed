"""What the exercises of chapter 2 share."""

import torch
from torch import Tensor

from tutor.checks.forbidden import BY_HAND, LIBRARY_ATTENTION

CHAPTER = "02_alignment"

# All sizes differ, so that a swapped axis cannot pass.
B, T, S, CX, CM, A = 2, 3, 5, 7, 11, 13

FORBIDDEN = {**LIBRARY_ATTENTION, "_masked_softmax": BY_HAND}


def padding(device: torch.device, *lengths: int) -> Tensor:
    """keep (B, 1, S) of sentences of these lengths; S is the chapter's."""
    return torch.arange(S, device=device) < torch.tensor(lengths, device=device)[:, None, None]
