"""How well the Transformer translates number words: python -m benchmarks.transformer [NAME ...]

Trains each pair of languages with three seeds, below 10^6 and below 10^12, as the command
`python -m tutor.materials.train` does, and writes parameters, steps, exact matches on held-out
numbers (all, and by length of the source), BLEU and the processor time of the training, in
seconds, to benchmarks/results/transformer.json, which chapter 7 quotes.

The Transformer of 45,000 parameters, as `benchmarks/translators.py` measures the translators before
it, is `budget`.

Then how long a training step of our `Transformer` takes, with torch's attention plugged in, beside
one of `nn.Transformer` with the same weights: called in turn in one run, medians of processor time.
It would fool this benchmark to compare without the backward pass, or in eval mode, where torch
takes another path.
"""

import argparse
import datetime
import json
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.translators import MANY, SIZE
from benchmarks.translators import measure as at_the_same_budget
from tutor.attention import causal_mask, padding_mask
from tutor.materials.numbers import LARGE_LIMIT, LIMIT, decode, split
from tutor.materials.train import LARGE, PAIRS, Recipe, data_of, exact, train, translations
from tutor.materials.translator import parameter_count, shares_by_length, steps_of_waiting
from tutor.transformer import Transformer, TransformerConfig, TransformerSeq2Seq, bleu

RESULTS = Path(__file__).parent / "results" / "transformer.json"
SEEDS = (0, 1, 2)
BAR = {"small": 0.998, "large": 0.995}
"""The share of exact matches that each run is to reach."""

SIZES = {"small": {}, "large": LARGE}
RUNS = {
    f"{size}/{pair}": {**given, "pair": pair} for size, given in SIZES.items() for pair in PAIRS
}
"""By name: what differs from the recipe of the command."""

TRANSFORMER = "7: Transformer"
"""What it is called among the translators."""
BUDGET = {"parallel": (SIZE, LIMIT), "large": (MANY, LARGE_LIMIT)}
"""By the kind of the other translators: how many symbols there are, and below what numbers are."""

B, S, T, REPEATS = 32, 24, 25, 30
"""Of the training step that is timed: sentences, symbols of source and target, and repeats."""
SPEED = TransformerConfig(128, 4, 512, 2, 2, 0.0, norm_first=True)
LIMIT_RATIO = 1.1
"""What a step may take, as many times torch's."""


def measure(recipe: Recipe) -> dict:
    start = time.process_time()
    trained = train(recipe)
    seconds, (_, testing) = time.process_time() - start, data_of(recipe)
    said = translations(trained.model, testing)
    right = exact(said, testing)
    (shares,) = shares_by_length(right, testing).values()
    told, wanted = ([decode(r) for r in t.tolist()] for t in (said, testing.target[:, 1:]))
    return {
        "parameters": parameter_count(trained.model),
        "numbers": recipe.numbers,
        "steps": recipe.steps,
        "batch_size": recipe.batch_size,
        "waiting": steps_of_waiting(trained.model, testing),
        "seconds": round(seconds),
        "loss": trained.losses[-1],
        "exact": right.double().mean().item(),
        "bleu": bleu(told, [[w] for w in wanted]),
        "by_length": {str(n): share for n, share in shares.items()},
    }


def at_budget(size: int) -> TransformerSeq2Seq:
    """Two layers to read and two to write, pre-norm; as wide as the budget allows."""
    return TransformerSeq2Seq(size, TransformerConfig(32, 4, 60, 2, 2, 0.0, norm_first=True))


def budget() -> dict[str, dict]:
    """In the words of `benchmarks/results/translators.json`."""
    found = {}
    for kind, (size, limit) in BUDGET.items():
        runs = [at_the_same_budget(lambda size=size: at_budget(size), s, limit) for s in SEEDS]
        print(kind, [round(run["exact"], 4) for run in runs], flush=True)
        found[kind] = {"steps": steps_of_waiting(at_budget(size), split(limit)[1]), "runs": runs}
    return found


def steps() -> dict[str, Callable[[], object]]:
    """A training step of each, with a translator's masks and the same weights."""
    torch.manual_seed(0)
    sizes = (SPEED.width, SPEED.num_heads, 2, 2, SPEED.hidden_width, SPEED.dropout)
    theirs = nn.Transformer(*sizes, norm_first=SPEED.norm_first, batch_first=True)
    config = TransformerConfig(
        SPEED.width, SPEED.num_heads, SPEED.hidden_width, 2, 2, SPEED.dropout,
        norm_first=SPEED.norm_first, attention=F.scaled_dot_product_attention,
    )  # fmt: skip
    ours = Transformer(config)
    ours.load_state_dict(theirs.state_dict())
    source, target = torch.randn(B, S, SPEED.width), torch.randn(B, T, SPEED.width)
    keep, causal = padding_mask(torch.arange(B) % S + 1, S), causal_mask(T, T)
    hides = {"tgt_mask": ~causal, "src_key_padding_mask": ~keep[:, 0]}
    hides["memory_key_padding_mask"] = ~keep[:, 0]
    torch.testing.assert_close(
        ours(source, target, keep, causal, keep), theirs(source, target, **hides)
    )

    def step(model: nn.Module, call: Callable[[], Tensor]) -> Callable[[], object]:
        optimiser = torch.optim.Adam(model.parameters(), lr=1e-9)

        def run() -> None:
            optimiser.zero_grad()
            call().square().mean().backward()
            optimiser.step()

        return run

    return {
        "ours": step(ours, lambda: ours(source, target, keep, causal, keep)),
        "torch": step(theirs, lambda: theirs(source, target, **hides)),
    }


def speed() -> dict:
    calls = steps()
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(3 + REPEATS):
        for name, call in calls.items():
            start = time.process_time()
            call()
            times[name].append(time.process_time() - start)
    medians = {name: statistics.median(found[3:]) for name, found in times.items()}
    return {
        "width": SPEED.width,
        "batch": B,
        "symbols": [S, T],
        "milliseconds": {name: 1e3 * seconds for name, seconds in medians.items()},
        "ratio": medians["ours"] / medians["torch"],
        "limit_ratio": LIMIT_RATIO,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "names", nargs="*", help="such as small, small/en-de, budget, speed; default: all"
    )
    names = parser.parse_args().names or [*SIZES, "budget", "speed"]
    torch.set_num_threads(1)  # the matches do not depend on how many there are
    found = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for name, given in RUNS.items():
        if {name, name.partition("/")[0]} & set(names):
            found[name] = []
            for seed in SEEDS:
                found[name].append(measure(Recipe(seed=seed, **given)))
                made = found[name][-1]
                print(
                    f"{name}, seed {seed}: {made['exact']:.4f}, BLEU {made['bleu']:.2f}", flush=True
                )
            write(found)
    if "budget" in names:
        found["budget"] = budget()
        write(found)
    if "speed" in names:
        found["speed"] = speed()
        print(f"a step takes {found['speed']['ratio']:.3f} times torch's", flush=True)
        write(found)


def write(found: dict) -> None:
    made = {
        "device": f"CPU, {platform.machine()}, one thread",
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "date": datetime.date.today().isoformat(),
        "bar": BAR,
        **{name: found[name] for name in (*RUNS, "budget", "speed") if name in found},
    }
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps(made, indent=1) + "\n")


if __name__ == "__main__":
    main()
