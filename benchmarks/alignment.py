"""Chapter 2's translator with four ways to score: python benchmarks/alignment.py

The budget, the pairs, the steps and the seeds of benchmarks/translators.py; the four differ in
nothing but the score. Writes the share of exact matches on held-out numbers to
benchmarks/results/alignment.json, which chapter 2 shows. Five minutes on one core.
"""

import datetime
import json
import platform
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn
from translators import SEEDS, SIZE, measure

from tutor.alignment import (
    AdditiveAttention,
    AttentionSeq2Seq,
    DotAttention,
    GeneralAttention,
    dot_scores,
)

RESULTS = Path(__file__).parent / "results" / "alignment.json"


class ElementwiseAttention(DotAttention):
    """An element-wise product with a learned vector: Σ_c x_c v_c m_c."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.v = nn.Parameter(torch.ones(width))

    def scores(self, x: torch.Tensor, memory: torch.Tensor) -> torch.Tensor:
        return dot_scores(x * self.v, memory)


SCORES: dict[str, Callable[[], nn.Module]] = {
    "additive": lambda: AttentionSeq2Seq(SIZE, 56, AdditiveAttention(56, 24)),
    "dot": lambda: AttentionSeq2Seq(SIZE, 58, DotAttention()),
    "element-wise": lambda: AttentionSeq2Seq(SIZE, 58, ElementwiseAttention(58)),
    "general": lambda: AttentionSeq2Seq(SIZE, 56, GeneralAttention(56)),
}


def main() -> None:
    torch.set_num_threads(1)
    runs = {}
    for name, build in SCORES.items():
        runs[name] = [measure(build, seed) for seed in SEEDS]
        print(f"{name}: {[round(r['exact'], 3) for r in runs[name]]}", flush=True)
    made = {
        "device": f"CPU, {platform.machine()}, one thread",
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "date": datetime.date.today().isoformat(),
        "runs": runs,
    }
    RESULTS.write_text(json.dumps(made, indent=1) + "\n")


if __name__ == "__main__":
    main()
