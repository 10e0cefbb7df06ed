"""The translators of chapters 1 to 5 at one budget: python benchmarks/translators.py [NAME ...]

Each has 45,000 parameters, give or take 3 %, and takes the same 600 steps on the same pairs; three
seeds each. Writes the share of exact matches on held-out numbers, by length of the source, to
benchmarks/results/translators.json, which the chapters draw. Two minutes on one core for each.
"""

import argparse
import datetime
import json
import platform
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from tutor.alignment import AdditiveAttention, AttentionSeq2Seq
from tutor.attention import AttentionHead
from tutor.materials import translator
from tutor.materials.numbers import VOCABULARY, split
from tutor.multihead import MultiHeadAttention
from tutor.position import rotary_attention, rotary_cross_attention
from tutor.recurrence import Seq2Seq

RESULTS = Path(__file__).parent / "results" / "translators.json"
SEEDS = (0, 1, 2)
PARAMETERS = 45_000

SIZE = len(VOCABULARY)
TRANSLATORS: dict[str, Callable[[], nn.Module]] = {
    "1: one vector": lambda: Seq2Seq(SIZE, 66),
    "2: alignment": lambda: AttentionSeq2Seq(SIZE, 56, AdditiveAttention(56, 24)),
    "3: queries, keys, values": lambda: AttentionSeq2Seq(SIZE, 50, AttentionHead(50)),
    "4: heads": lambda: AttentionSeq2Seq(SIZE, 48, MultiHeadAttention(48, 4)),
    "5: positions": lambda: AttentionSeq2Seq(
        SIZE, 48, MultiHeadAttention(48, 4, attention=rotary_cross_attention)
    ),
}
"""By the chapter's number and what is new in it."""

FAULTY: dict[str, Callable[[], nn.Module]] = {
    "5: positions from the end": lambda: AttentionSeq2Seq(
        SIZE, 48, MultiHeadAttention(48, 4, attention=rotary_attention)
    ),
}
"""What a chapter shows to go wrong; not drawn with the others."""


def trained(build: Callable[[], nn.Module], seed: int) -> tuple[nn.Module, list[float]]:
    torch.manual_seed(seed)
    model = build()
    count = translator.parameter_count(model)
    if not 0.97 * PARAMETERS <= count <= 1.03 * PARAMETERS:
        raise ValueError(f"{count:,} parameters are not {PARAMETERS:,}, give or take 3 %")
    return model, translator.train(model, split()[0], seed=seed)


def measure(build: Callable[[], nn.Module], seed: int) -> dict:
    model, losses = trained(build, seed)
    count, (_, testing) = translator.parameter_count(model), split()
    shares = translator.exact_match_by_length(model, testing)
    whole = translator.exact_match(model, testing).double().mean().item()
    by_length = {to: {str(n): s for n, s in by.items()} for to, by in shares.items()}
    return {"parameters": count, "loss": losses[-1], "exact": whole, "by_length": by_length}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="default: all")
    every = TRANSLATORS | FAULTY
    names = parser.parse_args().names or list(every)
    torch.set_num_threads(1)  # the numbers do not depend on how many there are
    old = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    known = old.get("runs", {}) | old.get("faulty", {})
    runs = {name: known[name] for name in every if name in known}
    for name in names:
        runs[name] = [measure(every[name], seed) for seed in SEEDS]
        print(f"{name}: {[round(r['exact'], 3) for r in runs[name]]}", flush=True)
    made = {
        "device": f"CPU, {platform.machine()}, one thread",
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "date": datetime.date.today().isoformat(),
        "runs": {name: runs[name] for name in TRANSLATORS if name in runs},
        "faulty": {name: runs[name] for name in FAULTY if name in runs},
    }
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps(made, indent=1) + "\n")


if __name__ == "__main__":
    main()
