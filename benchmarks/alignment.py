"""Chapter 2's translator with four ways to score: python benchmarks/alignment.py

The budget, the pairs, the steps and the seeds of benchmarks/translators.py; the four differ in
nothing but the score. Writes the share of exact matches on held-out numbers to
benchmarks/results/alignment.json, which chapter 2 shows, and for ten seeds of the additive one how
it shares out what it reads where the symbol that it writes has no partner. Seven minutes on one
core.
"""

import datetime
import json
import platform
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn
from translators import SEEDS, SIZE, measure, trained

from tutor.alignment import (
    AdditiveAttention,
    AttentionSeq2Seq,
    DotAttention,
    GeneralAttention,
    dot_scores,
)
from tutor.materials.numbers import morphemes, pairs, split

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


LOOKING_SEEDS = range(10)


def looking(seed: int) -> dict[str, float]:
    """Shares of the source while the right translation is written: of the ten and of the unit,
    before the German *und*, and of the ten of 82 and 94, before the French *quatre*."""
    model, _ = trained(SCORES["additive"], seed)

    @torch.no_grad()
    def alignment(numbers: list[int], to: str) -> tuple[torch.Tensor, torch.Tensor]:
        data = pairs(numbers, [to])
        return model.alignment(data.source, data.lengths, data.target[:, :-1]), data.lengths

    numbers = sorted({n for n in split()[1].numbers if 20 < n % 100 < 70 and n % 10})
    shares, lengths = alignment(numbers, "de")
    at_und = torch.tensor([len(morphemes(n, "de")) - 2 for n in numbers])
    und = shares[torch.arange(len(numbers)), at_und]  # (B, S)
    found = {
        f"und: {name}": und.gather(1, (lengths - place)[:, None]).mean().item()
        for name, place in (("unit", 1), ("ten", 2))
    }
    return found | {f"quatre: {n}": alignment([n], "fr")[0][0, 0, 0].item() for n in (82, 94)}


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
        "looking": [looking(seed) for seed in LOOKING_SEEDS],
    }
    RESULTS.write_text(json.dumps(made, indent=1) + "\n")


if __name__ == "__main__":
    main()
