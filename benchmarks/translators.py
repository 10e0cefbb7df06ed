"""The translators of chapters 1 to 5 at one budget: python benchmarks/translators.py [NAME ...]

Each has 45,000 parameters, give or take 3 %, and takes the same 600 steps on the same pairs; three
seeds each. Writes the share of exact matches on held-out numbers, by length of the source, and how
many steps of reading wait for one another, to benchmarks/results/translators.json, which the
chapters draw. Two minutes on one core for each, and four for those of the large numbers.
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
from tutor.attention import AttentionHead, ParallelSeq2Seq, scaled_dot_product_attention
from tutor.materials import translator
from tutor.materials.numbers import LARGE_LIMIT, LARGE_VOCABULARY, LIMIT, VOCABULARY, split
from tutor.multihead import MultiHeadAttention
from tutor.position import rotary_attention, rotary_cross_attention, sinusoidal_encoding
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


def parallel(size: int, embedded: int, sinusoids: bool = False, turns: bool = False) -> nn.Module:
    """Four heads in the place of the encoder's recurrence, with or without an order of symbols."""
    attention = rotary_attention if turns else scaled_dot_product_attention
    return ParallelSeq2Seq(
        size,
        48,
        MultiHeadAttention(48, 4, attention=attention),
        MultiHeadAttention(48, 4),
        sinusoidal_encoding if sinusoids else None,
        embedding_width=embedded,
    )


PARALLEL: dict[str, Callable[[], nn.Module]] = {
    "3: no recurrence": lambda: ParallelSeq2Seq(SIZE, 50, AttentionHead(50), AttentionHead(50)),
    "4: no recurrence, heads": lambda: parallel(SIZE, 24),
    "5: no recurrence, sinusoids": lambda: parallel(SIZE, 24, sinusoids=True),
    "5: no recurrence, rotation": lambda: parallel(SIZE, 24, turns=True),
}
"""Those whose encoder reads all symbols in one step."""

MANY = len(LARGE_VOCABULARY)
LARGE: dict[str, Callable[[], nn.Module]] = {
    "1: one vector": lambda: Seq2Seq(MANY, 64),
    "2: alignment": lambda: AttentionSeq2Seq(MANY, 54, AdditiveAttention(54, 24)),
    "3: queries, keys, values": lambda: AttentionSeq2Seq(MANY, 48, AttentionHead(48)),
    "3: no recurrence": lambda: ParallelSeq2Seq(MANY, 48, AttentionHead(48), AttentionHead(48)),
    "4: no recurrence, heads": lambda: parallel(MANY, 18),
    "5: no recurrence, sinusoids": lambda: parallel(MANY, 18, sinusoids=True),
    "5: no recurrence, rotation": lambda: parallel(MANY, 18, turns=True),
}
"""The second task: numbers below 10^12, at the same budget."""

FAULTY: dict[str, Callable[[], nn.Module]] = {
    "5: positions from the end": lambda: AttentionSeq2Seq(
        SIZE, 48, MultiHeadAttention(48, 4, attention=rotary_attention)
    ),
}
"""What a chapter shows to go wrong; not drawn with the others."""


KINDS = {
    "runs": (TRANSLATORS, LIMIT),
    "parallel": (PARALLEL, LIMIT),
    "large": (LARGE, LARGE_LIMIT),
    "faulty": (FAULTY, LIMIT),
}
"""By the key of the result: the translators, and below what their numbers are."""


def trained(
    build: Callable[[], nn.Module], seed: int, limit: int = LIMIT
) -> tuple[nn.Module, list[float]]:
    torch.manual_seed(seed)
    model = build()
    count = translator.parameter_count(model)
    if not 0.97 * PARAMETERS <= count <= 1.03 * PARAMETERS:
        raise ValueError(f"{count:,} parameters are not {PARAMETERS:,}, give or take 3 %")
    return model, translator.train(model, split(limit)[0], seed=seed)


def measure(build: Callable[[], nn.Module], seed: int, limit: int = LIMIT) -> dict:
    model, losses = trained(build, seed, limit)
    count, (_, testing) = translator.parameter_count(model), split(limit)
    right = translator.exact_match(model, testing)
    shares = translator.shares_by_length(right, testing)
    by_length = {to: {str(n): s for n, s in by.items()} for to, by in shares.items()}
    whole = right.double().mean().item()
    return {"parameters": count, "loss": losses[-1], "exact": whole, "by_length": by_length}


def waiting() -> dict[str, dict[str, int]]:
    """Of every translator, by kind and name: no training is needed to count its steps."""
    return {
        kind: {
            n: translator.steps_of_waiting(build(), split(limit)[1]) for n, build in all_.items()
        }
        for kind, (all_, limit) in KINDS.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="such as large, or large/NAME; default: all")
    every = [(kind, name) for kind, (all_, _) in KINDS.items() for name in all_]
    names = parser.parse_args().names or list(KINDS)
    torch.set_num_threads(1)  # the numbers do not depend on how many there are
    known = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    found = {(k, n): known[k][n] for k, n in every if n in known.get(k, {})}
    steps = waiting()
    for kind, name in (e for given in names for e in every if given in (e[0], "/".join(e))):
        all_, limit = KINDS[kind]
        made = []
        for seed in SEEDS:
            made.append(measure(all_[name], seed, limit))
            print(f"{kind}, {name}, seed {seed}: {made[-1]['exact']:.3f}", flush=True)
        found[kind, name] = made
        write(found, every, steps)
    write(found, every, steps)


def write(found: dict, every: list[tuple[str, str]], steps: dict) -> None:
    made = {
        "device": f"CPU, {platform.machine()}, one thread",
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "date": datetime.date.today().isoformat(),
        "steps": steps,
    }
    for kind in KINDS:
        made[kind] = {n: found[k, n] for k, n in every if k == kind and (k, n) in found}
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps(made, indent=1) + "\n")


if __name__ == "__main__":
    main()
