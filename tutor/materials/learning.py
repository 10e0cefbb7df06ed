"""How a model of chapter 8 begins, and the loop in which it learns."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from tutor.families import FamilyConfig, FamilyModel
from tutor.materials.progress import progress

__all__ = ["begin", "learn"]


def begin(config: FamilyConfig, seed: int) -> FamilyModel:
    """With small embeddings, as its published models begin: of size 1 they drown what the layers
    add, and a tied readout is sure of everything."""
    torch.manual_seed(seed)
    model = FamilyModel(config)
    for module in model.modules():
        if isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight, std=0.02)
    return model


def learn(
    model: nn.Module, loss: Callable[[], Tensor], steps: int, rate: float = 3e-3
) -> list[float]:
    """AdamW with one cycle of the learning rate; the loss of each step.

    ``loss`` draws a batch of its own each time, and gives one number. Gradients longer than 1 are
    shortened to 1. The model is left in eval mode.
    """
    model.train()
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(parameters, rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, steps, pct_start=0.1)
    losses = []
    with progress(steps) as show:
        for step in range(1, steps + 1):
            found = loss()
            optimiser.zero_grad()
            found.backward()
            nn.utils.clip_grad_norm_(parameters, 1.0)
            optimiser.step()
            schedule.step()
            losses.append(found.item())
            show(step, f"loss {losses[-1]:.3f}")
    model.eval()
    return losses
