"""Train a small language model at one length, read it at eight times that.

    python benchmarks/extrapolation.py

Five ways to tell the position, three seeds each, on the characters of Python's own documentation
(pydoc_data.topics). Writes the loss on held-out text against the length that is read, in bits a
character, to benchmarks/results/extrapolation.json, which chapter 5 draws. Half an hour on one
busy core.
"""

import datetime
import json
import math
import platform
import time
from pathlib import Path
from pydoc_data.topics import topics

import torch
from torch import Tensor
from torch.nn import functional as F

from tutor.position import LanguageModel

RESULTS = Path(__file__).parent / "results" / "extrapolation.json"
ENCODINGS = ("none", "sinusoidal", "learned", "rope", "alibi")
SEEDS = (0, 1, 2)
TRAINED = 64
STEPS, BATCH, RATE = 1000, 32, 3e-3
LENGTHS = (32, 48, 64, 80, 96, 128, 192, 256, 384, 512)
WINDOWS, LAST = 128, 32
"""Held-out windows, and how many characters at the end of each are asked for."""


def corpus() -> tuple[Tensor, Tensor, int]:
    """The text as numbers, the last tenth of it held out, and how many characters there are."""
    text = "".join(topics[name] for name in sorted(topics))
    alphabet = sorted(set(text))
    number = {c: i for i, c in enumerate(alphabet)}
    symbols = torch.tensor([number[c] for c in text])
    cut = len(symbols) * 9 // 10
    return symbols[:cut], symbols[cut:], len(alphabet)


def train(model: LanguageModel, symbols: Tensor, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    optimiser = torch.optim.AdamW(model.parameters(), lr=RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, STEPS, pct_start=0.1)
    for _ in range(STEPS):
        starts = torch.randint(len(symbols) - TRAINED, (BATCH, 1), generator=generator)
        windows = symbols[starts + torch.arange(TRAINED + 1)]
        scores = model(windows[:, :-1])
        loss = F.cross_entropy(scores.flatten(0, 1), windows[:, 1:].flatten())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()


@torch.no_grad()
def bits_at(model: LanguageModel, symbols: Tensor, length: int) -> float:
    """Bits a character of the last positions of windows of ``length``.

    The windows end at the same places whatever their length: every length is asked for the same
    characters, and has seen more or less of what stands before them.
    """
    ends = torch.linspace(max(LENGTHS), len(symbols) - 1, WINDOWS).long()[:, None]
    windows = symbols[ends - length + torch.arange(length + 1)]
    losses = []
    for part in windows.split(16):
        scores = model(part[:, :-1])[:, -LAST:]
        losses.append(F.cross_entropy(scores.mT, part[:, -LAST:], reduction="none"))
    return float(torch.cat(losses).double().mean()) / math.log(2)


def measure(encoding: str, seed: int) -> dict:
    learning, testing, vocabulary = corpus()
    torch.manual_seed(seed)
    model = LanguageModel(vocabulary, encoding, trained_length=TRAINED)
    begun = time.perf_counter()
    train(model, learning, seed)
    seconds = time.perf_counter() - begun
    model.eval()
    return {
        "parameters": sum(p.numel() for p in model.parameters()),
        "seconds": round(seconds),
        "bits": {str(n): round(bits_at(model, testing, n), 4) for n in LENGTHS},
    }


def main() -> None:
    torch.set_num_threads(1)
    runs = {}
    for encoding in ENCODINGS:
        runs[encoding] = []
        for seed in SEEDS:
            runs[encoding].append(run := measure(encoding, seed))
            print(encoding, seed, run, flush=True)
    made = {
        "device": f"CPU, {platform.machine()}, one thread",
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "date": datetime.date.today().isoformat(),
        "trained_length": TRAINED,
        "steps": STEPS,
        "batch": BATCH,
        "characters": WINDOWS * LAST,
        "runs": runs,
    }
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps(made, indent=1) + "\n")


if __name__ == "__main__":
    main()
