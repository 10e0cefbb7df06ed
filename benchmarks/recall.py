"""How far four recurrent cells learn to remember one symbol: python benchmarks/recall.py

Ten seeds each. Trained on rows of mixed lags: the gradient at lag 20 before, during and after, and
what is recalled at lags beyond. Trained on rows of one lag: what is recalled in the end. Writes
benchmarks/results/recall.json, which chapter 1 draws. Four minutes on one core.
"""

import datetime
import json
import platform
from pathlib import Path

import torch

from tutor.materials.recall import CELLS, Recall, learn, share_recalled

RESULTS = Path(__file__).parent / "results" / "recall.json"
SEEDS = range(10)
MIXED, STEPS, WATCH = torch.arange(1, 21), 400, (0, 50, 100, 200, 400)
FAR = (5, 20, 40, 80, 160)
LAGS, STEPS_OF_ONE_LAG = (1, 2, 4, 8, 16, 32), 200


def measure(cell: str, seed: int) -> dict:
    model = Recall(cell, seed)
    _, watched = learn(model, MIXED, STEPS, seed, WATCH)
    one_lag = {
        lag: learn(Recall(cell, seed), torch.tensor([lag]), STEPS_OF_ONE_LAG, seed)[0]
        for lag in LAGS
    }
    return {
        "gradient_at_lag_20": {str(s): 10 ** float(norms[20]) for s, norms in watched.items()},
        "recalled_at": {str(lag): share_recalled(model, lag) for lag in FAR},
        "recalled_of_one_lag": {str(lag): share for lag, share in one_lag.items()},
    }


def main() -> None:
    torch.set_num_threads(1)
    runs = {}
    for cell in CELLS:
        runs[cell] = []
        for seed in SEEDS:
            runs[cell].append(run := measure(cell, seed))
            print(cell, seed, run, flush=True)
    made = {
        "device": f"CPU, {platform.machine()}, one thread",
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "date": datetime.date.today().isoformat(),
        "runs": runs,
    }
    RESULTS.write_text(json.dumps(made, indent=1) + "\n")


if __name__ == "__main__":
    main()
