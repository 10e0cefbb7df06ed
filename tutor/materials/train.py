"""Training the Transformer on number words: python -m tutor.materials.train --pair en-de

Warm-up, label smoothing, batches of sentences of about one length, and checkpoints: whoever stops
the command and calls it again gets the same losses and the same model as without. What is trained
is written to _build/train/ and read by ``load``.

B batch, S and T symbols of source and target.
"""

import argparse
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Int
from torch import Generator, Tensor
from torch.nn import functional as F

from tutor import ROOT
from tutor.materials.numbers import (
    END,
    LARGE_LIMIT,
    LARGE_VOCABULARY,
    LIMIT,
    PAD,
    START,
    VOCABULARY,
    Pairs,
    decode,
    draw_numbers,
    pairs,
    split,
    words,
)
from tutor.materials.progress import progress
from tutor.transformer import (
    TransformerConfig,
    TransformerSeq2Seq,
    bleu,
    greedy_decode,
    label_smoothing_loss,
    warmup_rate,
)

__all__ = [
    "LARGE",
    "PAIRS",
    "Recipe",
    "Trained",
    "bucketed",
    "build",
    "data_of",
    "exact",
    "learning_rate",
    "load",
    "train",
    "translations",
]

PAIRS = tuple(f"en-{language}" for language in START)
FOLDER = ROOT / "_build" / "train"
POOL = 16
"""Of so many batches the sentences are sorted by length together."""


@dataclass(frozen=True)
class Recipe:
    """All that decides what is learned, but for the machine. ValueError for a pair not in PAIRS."""

    pair: str = "en-de"
    limit: int = LIMIT
    numbers: int = 5_000
    """To learn from. 5,000 are those of the whole course (``numbers.split``)."""
    steps: int = 800
    batch_size: int = 128
    warmup_steps: int = 160
    smoothing: float = 0.1
    width: int = 64
    num_heads: int = 4
    hidden_width: int = 128
    num_layers: int = 2
    dropout: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.pair not in PAIRS:
            raise ValueError(f"pairs are {', '.join(PAIRS)}, got {self.pair!r}")


LARGE = {"limit": LARGE_LIMIT, "numbers": 20_000, "steps": 1600}
"""What differs in a recipe for numbers below 10^12. Of 5,000 numbers a model learns every one by
heart, and has a word wrong in one new number of a hundred or two hundred."""


@dataclass(frozen=True)
class Trained:
    model: TransformerSeq2Seq
    """In eval mode."""
    recipe: Recipe
    losses: list[float]
    """Of every step, in nats a symbol, smoothed."""


def build(recipe: Recipe) -> TransformerSeq2Seq:
    """The model of a recipe with its first parameters, which its seed decides.

    Pre-norm, and torch's own attention, which is faster; it drops no attention weights.
    """
    config = TransformerConfig(
        recipe.width,
        recipe.num_heads,
        recipe.hidden_width,
        recipe.num_layers,
        recipe.num_layers,
        recipe.dropout,
        norm_first=True,
        attention=F.scaled_dot_product_attention,
    )
    torch.manual_seed(recipe.seed)
    return TransformerSeq2Seq(len(_vocabulary(recipe.limit)), config)


def data_of(recipe: Recipe) -> tuple[Pairs, Pairs]:
    """The pairs to learn from and those held out, of one language: half of ``numbers.split``, or
    more that were drawn as those to learn from."""
    language = recipe.pair.partition("-")[2]
    halves = (p[torch.where(p.target[:, 0] == START[language])[0]] for p in split(recipe.limit))
    learning, testing = halves
    if recipe.numbers != len(learning):
        drawn = draw_numbers(recipe.numbers, Generator().manual_seed(1), limit=recipe.limit)
        learning = pairs(drawn, [language], recipe.limit)
    return learning, testing


def bucketed(
    lengths: Int[Tensor, " B"], batch_size: int, generator: Generator
) -> list[Int[Tensor, " b"]]:
    """One round through the data: the rows of each batch, in a new order each time.

    The rows are shuffled and cut into pools of POOL batches; each pool is sorted by length and cut
    into batches, and the batches of all pools are shuffled. So a batch has little padding, and
    neither its company nor its turn is always the same. What is left over, less than a batch, is
    dropped.
    """
    order = torch.randperm(len(lengths), generator=generator)
    batches = []
    for pool in order.split(POOL * batch_size):
        by_length = pool[lengths[pool].argsort(stable=True)]
        batches += [rows for rows in by_length.split(batch_size) if len(rows) == batch_size]
    return [batches[i] for i in torch.randperm(len(batches), generator=generator).tolist()]


def learning_rate(step: int, recipe: Recipe) -> float:
    """``warmup_rate``, and in the last half of the steps linearly down to nothing.

    Vaswani et al. 2017 let the rate fall with the root of the step for 100,000 steps; of a few
    hundred the last would still be large.
    """
    left = (recipe.steps + 1 - step) / (recipe.steps / 2)
    return warmup_rate(step, recipe.width, recipe.warmup_steps) * min(1.0, left)


def train(
    recipe: Recipe,
    checkpoint: Path | None = None,
    *,
    device: torch.device | str = "cpu",
    every: int = 100,
    watch: Callable[[int, float], None] = lambda step, loss: None,
) -> Trained:
    """Train, and go on from the checkpoint if there is one.

    The checkpoint is written after ``every`` steps and at the end, and holds the model, the
    optimiser, the state of the random numbers, the step and the losses so far: training that was
    stopped, and goes on with the same number of threads, has the losses that it would have had.
    ``watch(step, loss)`` is called after each step, before its checkpoint.
    ValueError if the checkpoint is of another recipe.
    """
    device = torch.device(device)
    learning = _moved(data_of(recipe)[0], device)
    lengths = learning.lengths.cpu()
    model = build(recipe).to(device).train()
    # Of the paper, section 5.3.
    optimiser = torch.optim.Adam(model.parameters(), betas=(0.9, 0.98), eps=1e-9)
    losses: list[float] = []
    if checkpoint is not None and checkpoint.exists():
        losses = _go_on(recipe, checkpoint, model, optimiser, device)
    batches: list[Tensor] = []
    round_of = -1
    per_round = len(bucketed(lengths, recipe.batch_size, Generator().manual_seed(0)))
    if not per_round:
        raise ValueError(f"batch_size ({recipe.batch_size}) exceeds the {len(lengths)} pairs")
    with progress(recipe.steps) as show:
        for step in range(len(losses) + 1, recipe.steps + 1):
            # The order of a round depends on its number alone, so that a step can be gone back to.
            number, place = divmod(step - 1, per_round)
            if number != round_of:
                generator = Generator().manual_seed(recipe.seed * 10_000 + number)
                batches, round_of = bucketed(lengths, recipe.batch_size, generator), number
            batch = learning[batches[place].to(device)]
            for group in optimiser.param_groups:
                group["lr"] = learning_rate(step, recipe)
            logits = model(batch.source, batch.lengths, batch.target[:, :-1])
            # Each symbol is to be followed by the next.
            loss = label_smoothing_loss(logits, batch.target[:, 1:], recipe.smoothing, PAD)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            losses.append(loss.item())
            show(step, f"loss {losses[-1]:.3f}")
            watch(step, losses[-1])
            if checkpoint is not None and (step % every == 0 or step == recipe.steps):
                _save(recipe, checkpoint, model, optimiser, losses)
    return Trained(model.eval(), recipe, losses)


def load(checkpoint: Path) -> Trained:
    """What was trained so far, on the CPU. FileNotFoundError, with the command that makes it."""
    if not checkpoint.exists():
        raise FileNotFoundError(
            f"{checkpoint} is not there: `python -m tutor.materials.train` trains the model"
        )
    state = _read(checkpoint, "cpu")
    recipe = Recipe(**state["recipe"])
    with torch.random.fork_rng(devices=[]):
        model = build(recipe)
    model.load_state_dict(state["model"])
    return Trained(model.eval(), recipe, state["losses"])


@torch.no_grad()
def translations(model: TransformerSeq2Seq, data: Pairs) -> Int[Tensor, "B T"]:
    """Greedy, without the START, each row filled with END after its end, on the CPU."""
    device = next(model.parameters()).device
    data = _moved(data, device)
    asked = model.next_logits(data.source, data.lengths)
    longest = max(20, data.target.shape[1])
    return greedy_decode(asked, data.target[:, 0], END, longest).cpu()


def exact(said: Int[Tensor, "B T"], data: Pairs) -> Bool[Tensor, " B"]:
    """For each pair, whether every symbol of what was said is right."""
    wanted = data.target[:, 1:].masked_fill(data.target[:, 1:] == PAD, END)
    width = max(said.shape[1], wanted.shape[1])
    said, wanted = (F.pad(x, (0, width - x.shape[1]), value=END) for x in (said, wanted))
    return (said == wanted).all(-1)


def _vocabulary(limit: int) -> tuple[str, ...]:
    return LARGE_VOCABULARY if limit > LIMIT else VOCABULARY


def _moved(data: Pairs, device: torch.device) -> Pairs:
    moved = (t.to(device) for t in (data.source, data.lengths, data.target))
    return replace(data, **dict(zip(("source", "lengths", "target"), moved, strict=True)))


def _save(
    recipe: Recipe,
    path: Path,
    model: TransformerSeq2Seq,
    optimiser: torch.optim.Optimizer,
    losses: list[float],
) -> None:
    state = {
        "recipe": asdict(recipe),
        "model": model.state_dict(),
        "optimiser": optimiser.state_dict(),
        "losses": losses,
        "random": torch.get_rng_state(),
        "random_cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    # Whoever is stopped while writing leaves the checkpoint before.
    written = path.with_name(f"{path.name}.{os.getpid()}")
    torch.save(state, written)
    written.replace(path)


def _read(path: Path, device: torch.device | str) -> dict[str, Any]:
    return torch.load(path, map_location=device, weights_only=True)


def _go_on(
    recipe: Recipe,
    path: Path,
    model: TransformerSeq2Seq,
    optimiser: torch.optim.Optimizer,
    device: torch.device,
) -> list[float]:
    """Put all into the state of the checkpoint; the losses until there."""
    state = _read(path, device)
    if state["recipe"] != asdict(recipe):
        other = {k: v for k, v in state["recipe"].items() if asdict(recipe).get(k) != v}
        raise ValueError(f"{path} is of another recipe: {other}; remove it, or name another file")
    model.load_state_dict(state["model"])
    optimiser.load_state_dict(state["optimiser"])
    torch.set_rng_state(state["random"].cpu())
    if state["random_cuda"] and torch.cuda.is_available():
        torch.cuda.set_rng_state_all([s.cpu() for s in state["random_cuda"]])
    return state["losses"]


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tutor.materials.train", description=__doc__.partition("\n\n")[0]
    )
    recipe = Recipe()
    parser.add_argument("--pair", choices=PAIRS, default=recipe.pair)
    parser.add_argument("--large", action="store_true", help="numbers below 10^12, not 10^6")
    parser.add_argument("--steps", type=int, help="default: 800, of large numbers 1600")
    parser.add_argument("--seed", type=int, default=recipe.seed)
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--checkpoint", type=Path, help="default: in _build/train/")
    given = parser.parse_args(arguments)
    recipe = replace(recipe, **(LARGE if given.large else {}), pair=given.pair, seed=given.seed)
    recipe = replace(recipe, steps=given.steps or recipe.steps)
    device = given.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    size = "-large" if given.large else ""
    checkpoint = given.checkpoint or FOLDER / f"{recipe.pair}{size}-{recipe.seed}.pt"
    trained = train(recipe, checkpoint, device=device)
    _, testing = data_of(recipe)
    said = translations(trained.model, testing)
    right = exact(said, testing)
    told = [decode(row) for row in said.tolist()]
    quality = bleu(told, [[decode(row)] for row in testing.target[:, 1:].tolist()])
    print(f"{checkpoint}: {recipe.steps} steps on {device}, loss {trained.losses[-1]:.3f}")
    print(
        f"{len(testing):,} held-out numbers: {right.double().mean():.2%} exact, BLEU {quality:.2f}"
    )
    language = recipe.pair.partition("-")[2]
    for n, morphemes in list(zip(testing.numbers, told, strict=True))[:5]:
        english, wanted = (words(n, to, recipe.limit) for to in ("en", language))
        print(f"  {english} -> {' '.join(morphemes)} ({wanted})")


if __name__ == "__main__":
    main()
