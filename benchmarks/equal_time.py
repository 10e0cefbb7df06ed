"""The translators of chapters 1 to 7 given the same time: python -m benchmarks.equal_time

Each has 45,000 parameters (`benchmarks/translators.py`), numbers below 10^12, and as much processor
time for training as the Transformer's 600 steps take; how many steps that is, is measured first: a
training step of each in turn, medians. Three seeds each. Writes the parameters, the time of a step,
the steps, how many steps of reading wait for one another, exact matches and BLEU on held-out
numbers to benchmarks/results/equal_time.json, which chapter 7 quotes. A quarter of an hour. On
another machine the ratio of the times will be another one; a machine that has many cores or a GPU
favours what has fewer steps that wait.
"""

import datetime
import json
import platform
import statistics
import time
from pathlib import Path

import torch
from torch import Generator, nn
from torch.nn import functional as F

from benchmarks.transformer import TRANSFORMER, at_budget
from benchmarks.translators import LARGE, MANY, SEEDS
from tutor.materials import translator
from tutor.materials.numbers import LARGE_LIMIT, PAD, decode, split
from tutor.materials.train import exact
from tutor.transformer import bleu

RESULTS = Path(__file__).parent / "results" / "equal_time.json"
BUILDS = {**LARGE, TRANSFORMER: lambda: at_budget(MANY)}
NAMES = tuple(BUILDS)
STEPS = 600
"""Of the last of them."""


def seconds_a_step() -> dict[str, float]:
    models = {name: build() for name, build in BUILDS.items()}
    times: dict[str, list[float]] = {name: [] for name in NAMES}
    batches = split(LARGE_LIMIT)[0].batches(128, Generator().manual_seed(0))
    for _ in range(10):
        batch = next(batches)
        for name, model in models.items():
            times[name].append(_step(model, batch))
    return {name: statistics.median(found[2:]) for name, found in times.items()}


def _step(model: nn.Module, batch) -> float:
    start = time.process_time()
    logits = model(batch.source, batch.lengths, batch.target[:, :-1])
    target = batch.target[:, 1:].flatten()
    F.cross_entropy(logits.flatten(0, 1), target, ignore_index=PAD).backward()
    return time.process_time() - start


def measure(name: str, seed: int, steps: int) -> dict:
    learning, testing = split(LARGE_LIMIT)
    torch.manual_seed(seed)
    model = BUILDS[name]()
    start = time.process_time()
    translator.train(model, learning, steps, seed=seed)
    seconds = time.process_time() - start
    said = translator.translate(model, testing, testing.target.shape[1])
    right = exact(said.masked_fill(said == PAD, 1), testing)
    told, wanted = ([decode(row) for row in t.tolist()] for t in (said, testing.target[:, 1:]))
    quality = bleu(told, [[w] for w in wanted])
    return {"exact": right.double().mean().item(), "bleu": quality, "seconds": seconds}


def main() -> None:
    torch.set_num_threads(1)
    times = seconds_a_step()
    found: dict[str, dict] = {}
    _, testing = split(LARGE_LIMIT)
    for name in NAMES:
        model = BUILDS[name]()
        found[name] = {
            "parameters": translator.parameter_count(model),
            "time_a_step": times[name] / times[NAMES[-1]],
            "steps": round(STEPS * times[NAMES[-1]] / times[name]),
            "waiting": translator.steps_of_waiting(model, testing),
            "runs": [],
        }
    for seed in SEEDS:
        for name in NAMES:
            made = measure(name, seed, found[name]["steps"])
            found[name]["runs"].append(made)
            print(f"{name}, seed {seed}: {made['exact']:.3f}, BLEU {made['bleu']:.1f}", flush=True)
        write(found)


def write(found: dict) -> None:
    made = {
        "device": f"CPU, {platform.machine()}, one thread",
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "date": datetime.date.today().isoformat(),
        "translators": found,
    }
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps(made, indent=1) + "\n")


if __name__ == "__main__":
    main()
