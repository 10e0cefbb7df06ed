"""Training and testing a translator of number words, whatever it is made of.

A translator is a module with ``model(source, lengths, target) -> logits``: for each symbol of the
target, the scores of the one that follows. Chapters 1 to 7 build one each and put it through this.

B batch, S and T symbols of source and target, V vocabulary.
"""

import torch
from jaxtyping import Bool, Int
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from tutor.materials.numbers import END, PAD, START, Pairs
from tutor.materials.progress import progress

__all__ = [
    "exact_match",
    "exact_match_by_length",
    "parameter_count",
    "shares_by_length",
    "steps_of_waiting",
    "train",
    "translate",
]


def train(
    model: nn.Module,
    data: Pairs,
    steps: int = 600,
    *,
    seed: int = 0,
    batch_size: int = 128,
    rate: float = 4e-3,
) -> list[float]:
    """Teacher forcing with Adam, one cycle of the learning rate; the loss of each step.

    The loss is the mean cross-entropy of the next symbol in nats, padding left out. A bar shows
    how far it is. The model is left in eval mode.
    """
    model.train()
    optimiser = torch.optim.Adam(model.parameters(), lr=rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, steps, pct_start=0.1)
    batches = data.batches(batch_size, Generator().manual_seed(seed))
    losses = []
    with progress(steps) as show:
        for step in range(steps):
            batch = next(batches)
            logits = model(batch.source, batch.lengths, batch.target[:, :-1])
            loss = F.cross_entropy(
                logits.flatten(0, 1), batch.target[:, 1:].flatten(), ignore_index=PAD
            )
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            schedule.step()
            losses.append(loss.item())
            show(step + 1, f"loss {losses[-1]:.3f}")
    model.eval()
    return losses


@torch.no_grad()
def translate(model: nn.Module, data: Pairs, longest: int = 20) -> Int[Tensor, "B T"]:
    """Greedy: the likeliest symbol, again and again, after the START of each target.

    Without the START; PAD after END.
    """
    out, done = data.target[:, :1], torch.zeros(len(data), dtype=torch.bool)
    for _ in range(longest):
        following = model(data.source, data.lengths, out)[:, -1].argmax(-1)
        following = following.masked_fill(done, PAD)
        out, done = torch.cat((out, following[:, None]), -1), done | (following == END)
        if done.all():
            break
    return out[:, 1:]


def exact_match(model: nn.Module, data: Pairs) -> Tensor:
    """For each pair, whether every symbol of the translation is right: (B), bool."""
    wanted = data.target[:, 1:]
    got = translate(model, data, max(20, wanted.shape[1]))
    width = max(got.shape[1], wanted.shape[1])
    got, wanted = (F.pad(x, (0, width - x.shape[1]), value=PAD) for x in (got, wanted))
    return (got == wanted).all(-1)


def exact_match_by_length(
    model: nn.Module, data: Pairs, at_least: int = 20
) -> dict[str, dict[int, float]]:
    """For each language of the targets, the share of exact matches by length of the source.

    Lengths of which there are fewer than ``at_least`` pairs are left out.
    """
    return shares_by_length(exact_match(model, data), data, at_least)


def shares_by_length(
    right: Bool[Tensor, " B"], data: Pairs, at_least: int = 20
) -> dict[str, dict[int, float]]:
    """The same of matches that are known."""
    shares: dict[str, dict[int, float]] = {}
    for language, start in START.items():
        of_this = data.target[:, 0] == start
        for length in data.lengths[of_this].unique().tolist():
            rows = of_this & (data.lengths == length)
            if rows.sum() >= at_least:
                shares.setdefault(language, {})[length] = right[rows].double().mean().item()
    return shares


@torch.no_grad()
def steps_of_waiting(model: nn.Module, data: Pairs) -> int:
    """How many steps of ``model.encoder`` have to be done one after another to read the sources:
    as many as a recurrent network is given symbols, and one for what reads all of them at once.
    """
    steps = []

    def count(module: nn.Module, given: tuple) -> None:
        recurrent = isinstance(module, nn.RNNBase)
        steps.append(len(given[0].batch_sizes) if recurrent else 1)  # packed, one a step

    with model.encoder.register_forward_pre_hook(count):
        model(data.source, data.lengths, data.target)
    return sum(steps)


def parameter_count(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())
