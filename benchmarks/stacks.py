"""What depth wants, and what layers and heads bring: python -m benchmarks.stacks [depth] [sizes]

depth: translators of 2, 8 and 24 layers (`tutor.materials.stacks`), whole and without their norms
or their residuals, and post-norm without warm-up; 300 steps each on English to German numbers below
one million.
sizes: translators with more and fewer layers and heads on numbers below 10^12, once with the
same number of steps and once with the same processor time as the one in the middle.

Three seeds each. Writes the loss in nats a symbol on held-out numbers to
benchmarks/results/stacks.json, which chapter 7 draws. One learning rate for all: another one may
suit one of them better.
"""

import argparse
import datetime
import json
import platform
import statistics
import time
from pathlib import Path

import torch
from torch import Generator
from torch.nn import functional as F

from tutor.materials.numbers import LARGE_LIMIT, LARGE_VOCABULARY, PAD, VOCABULARY, Pairs
from tutor.materials.stacks import KINDS, stack
from tutor.materials.train import Recipe, data_of
from tutor.materials.translator import parameter_count
from tutor.transformer import TransformerSeq2Seq

RESULTS = Path(__file__).parent / "results" / "stacks.json"
SEEDS = (0, 1, 2)
DEPTHS, DEPTH_STEPS, DEPTH_BATCH = (2, 8, 24), 300, 32
WITHOUT_WARMUP = "post-norm, no warm-up"
LAYERS, HEADS, MIDDLE = (2, 4, 8), (1, 2, 4, 8), (4, 4)
"""Layers, half to read and half to write, and heads; and the one in the middle."""
SIZE_STEPS, SIZE_BATCH = 200, 64
RATE = 2e-3
"""The largest."""


def rate(step: int, steps: int, warmup: bool) -> float:
    """Linearly up in the first fifth of the steps, if there is a warm-up, and down to nothing."""
    up = step / (steps / 5) if warmup else 1.0
    return RATE * min(1.0, up, (steps + 1 - step) / (steps / 2))


def loss_of(model: TransformerSeq2Seq, batch: Pairs) -> torch.Tensor:
    logits = model(batch.source, batch.lengths, batch.target[:, :-1])
    return F.cross_entropy(logits.flatten(0, 1), batch.target[:, 1:].flatten(), ignore_index=PAD)


def fit(
    model: TransformerSeq2Seq,
    data: tuple[Pairs, Pairs],
    steps: int,
    batch_size: int,
    seed: int,
    warmup: bool = True,
) -> float:
    """The loss on 500 held-out numbers after training."""
    learning, testing = data
    optimiser = torch.optim.Adam(model.parameters(), betas=(0.9, 0.98), eps=1e-9)
    batches = learning.batches(batch_size, Generator().manual_seed(seed))
    for step in range(1, steps + 1):
        for group in optimiser.param_groups:
            group["lr"] = rate(step, steps, warmup)
        optimiser.zero_grad()
        loss_of(model, next(batches)).backward()
        optimiser.step()
    with torch.no_grad():
        return loss_of(model.eval(), testing[torch.arange(500)]).item()


def depth(seed: int, found: dict) -> None:
    data = data_of(Recipe())
    for num_layers in DEPTHS:
        for kind in (*KINDS, WITHOUT_WARMUP):
            torch.manual_seed(seed)
            model = stack(kind.partition(",")[0], num_layers, len(VOCABULARY))
            warmup = kind != WITHOUT_WARMUP
            loss = fit(model, data, DEPTH_STEPS, DEPTH_BATCH, seed, warmup)
            found.setdefault("depth", {}).setdefault(kind, {}).setdefault(str(num_layers), [])
            found["depth"][kind][str(num_layers)].append(loss)
            print(f"{kind}, {num_layers} layers, seed {seed}: {loss:.3f}", flush=True)
            write(found)


def build(size: tuple[int, int]) -> TransformerSeq2Seq:
    return stack("pre-norm", size[0], len(LARGE_VOCABULARY), num_heads=size[1])


def all_sizes() -> list[tuple[int, int]]:
    sizes = {(n, MIDDLE[1]) for n in LAYERS} | {(MIDDLE[0], n) for n in HEADS}
    return sorted(sizes)


def seconds_a_step(learning: Pairs) -> dict[tuple[int, int], float]:
    """Processor time of a training step of each size, called in turn: medians."""
    models = {size: build(size) for size in all_sizes()}
    times: dict[tuple[int, int], list[float]] = {size: [] for size in models}
    batches = learning.batches(SIZE_BATCH, Generator().manual_seed(0))
    for _ in range(12):
        batch = next(batches)
        for size, model in models.items():
            start = time.process_time()
            loss_of(model, batch).backward()
            times[size].append(time.process_time() - start)
    return {size: statistics.median(t[2:]) for size, t in times.items()}


def sizes(seed: int, found: dict) -> None:
    data = data_of(Recipe(limit=LARGE_LIMIT))
    times = seconds_a_step(data[0]) if "sizes" not in found else {}
    for size in all_sizes():
        name = f"{size[0]} layers, {size[1]} heads"
        if times:
            given = round(SIZE_STEPS * times[MIDDLE] / times[size])
            found.setdefault("sizes", {})[name] = {
                "layers": size[0],
                "heads": size[1],
                "parameters": parameter_count(build(size)),
                "time_a_step": times[size] / times[MIDDLE],
                "steps_in_the_time": SIZE_STEPS if size == MIDDLE else given,
                "same_steps": [],
                "same_time": [],
            }
    for size in all_sizes():
        made = found["sizes"][f"{size[0]} layers, {size[1]} heads"]
        for key, steps in (("same_steps", SIZE_STEPS), ("same_time", made["steps_in_the_time"])):
            if key == "same_time" and steps == SIZE_STEPS:
                made[key].append(made["same_steps"][-1])
                continue
            torch.manual_seed(seed)
            made[key].append(fit(build(size), data, steps, SIZE_BATCH, seed))
            print(f"{size}, {key} ({steps}), seed {seed}: {made[key][-1]:.3f}", flush=True)
        write(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", choices=("depth", "sizes", []), default=[])
    names = parser.parse_args().names or ["depth", "sizes"]
    torch.set_num_threads(1)  # the losses do not depend on how many there are
    found = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for name in names:
        found.pop(name, None)
    for seed in SEEDS:
        for name, measure in (("depth", depth), ("sizes", sizes)):
            if name in names:
                measure(seed, found)


def write(found: dict) -> None:
    made = {
        "device": f"CPU, {platform.machine()}, one thread",
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "date": datetime.date.today().isoformat(),
        "settings": {
            "depth": {"steps": DEPTH_STEPS, "batch_size": DEPTH_BATCH},
            "sizes": {"steps": SIZE_STEPS, "batch_size": SIZE_BATCH},
            "rate": RATE,
        },
        **{name: found[name] for name in ("depth", "sizes") if name in found},
    }
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps(made, indent=1) + "\n")


if __name__ == "__main__":
    main()
