"""Chapter 1's translator, wider or trained for longer: python benchmarks/bottleneck.py

Is it the one vector that limits it, or the training? Writes exact matches on held-out numbers by
length of the source, for several widths of the vector at one number of steps and for one width at
several, to benchmarks/results/bottleneck.json, which the chapter draws. Ten minutes on one core.
"""

import datetime
import json
import platform
from pathlib import Path

import torch

from tutor.materials import translator
from tutor.materials.numbers import VOCABULARY, split
from tutor.recurrence import Seq2Seq

RESULTS = Path(__file__).parent / "results" / "bottleneck.json"
WIDTH, STEPS, SEEDS = 66, 600, (0, 1)
WIDTHS = (16, 32, WIDTH, 132, 264)
LONGER = (1200, 2400)


def measure(width: int, steps: int, seed: int) -> dict:
    torch.manual_seed(seed)
    model = Seq2Seq(len(VOCABULARY), width)
    learning, testing = split()
    losses = translator.train(model, learning, steps, seed=seed)
    shares = translator.exact_match_by_length(model, testing)
    return {
        "width": width,
        "steps": steps,
        "seed": seed,
        "parameters": translator.parameter_count(model),
        "loss": losses[-1],
        "exact": translator.exact_match(model, testing).double().mean().item(),
        "by_length": {to: {str(n): s for n, s in by.items()} for to, by in shares.items()},
    }


def main() -> None:
    torch.set_num_threads(1)  # the numbers do not depend on how many there are
    runs = []
    for width, steps in [(w, STEPS) for w in WIDTHS] + [(WIDTH, s) for s in LONGER]:
        for seed in SEEDS:
            runs.append(measure(width, steps, seed))
            print(width, steps, seed, round(runs[-1]["exact"], 3), flush=True)
    made = {
        "device": f"CPU, {platform.machine()}, one thread",
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "date": datetime.date.today().isoformat(),
        "runs": runs,
    }
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps(made, indent=1) + "\n")


if __name__ == "__main__":
    main()
