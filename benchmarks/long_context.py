"""What chapter 12 measures that takes more than a page's time: python -m benchmarks.long_context

    python -m benchmarks.long_context [--small] [PART ...]

patterns: small models of two layers behind twenty masks: which symbol was marked, by how long ago.
depth: the same behind a window of eight, with 1 to 8 layers.
pairs: keys and values to be known at once, softmax against linear attention.
sinks: what SmolLM2 loses behind a window of 512 keys, with and without the first tokens.
beyond: what it loses beyond the 8,192 positions that it was trained on, with its rotation scaled.
rope: chapter 5's small model, trained at 64 characters and read at more, with its rotation scaled.
ring: four real processes: memory and time of one, and bytes sent, against one process with all.

One thread a process. Writes benchmarks/results/long_context.json, which chapter 12 draws. --small
tries everything with sizes that say nothing, and writes to a temporary file.
"""

import argparse
import datetime
import json
import platform
import resource
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks import extrapolation
from tutor import position
from tutor.attention import causal_mask, scaled_dot_product_attention
from tutor.flash import flash_forward
from tutor.long_context import (
    Ring,
    layers_to_reach,
    ring_attention,
    ring_bytes,
    rotate,
    scale_rope,
    windowed_attention,
)
from tutor.materials import help_pages, long_models, smollm2
from tutor.materials.ring_processes import by_rank, run_ring
from tutor.position import LanguageModel

RESULTS = Path(__file__).parent / "results" / "long_context.json"
SEEDS = (0, 1, 2)
WINDOWS = (2, 4, 8, 16, 32)
DEPTHS = (1, 2, 4, 8)
STEPS, PAIR_STEPS = 400, 4000
PAIRS = (2, 4, 8, 16, 24, 32, 48)
WINDOW, SINKS = 512, (0, 1, 4)
READ, BUCKET = 4096, 256
"""Tokens of a text behind a window, and over how many the loss is averaged."""
TRAINED, FAR, TEXTS = 8192, 12_288, 2
SCALED = {"as it is": None, "linear, 2": ("linear", 2.0), "ntk, 1": ("ntk", 1.0)}
SCALED["ntk, 2"] = ("ntk", 2.0)
RING_TIME, RING_WIDTH, RANKS = 4096, 64, 4


def small() -> None:
    """Sizes that say nothing."""
    globals().update(
        SEEDS=(0,), WINDOWS=(4, 32), DEPTHS=(1, 2), STEPS=5, PAIR_STEPS=5, PAIRS=(2, 8),
        WINDOW=16, SINKS=(0, 4), READ=64, BUCKET=16, TRAINED=32, FAR=48, TEXTS=1,
        RING_TIME=256, RANKS=2,
    )  # fmt: skip
    extrapolation.STEPS, extrapolation.WINDOWS = 5, 4


def patterns(found: dict[str, Any]) -> None:
    found["time"], found["windows"] = long_models.TIME, list(WINDOWS)
    for kind in long_models.KIND_NAMES:
        for window in WINDOWS:
            keep = long_models.pattern(kind, window)
            layers = layers_to_reach(keep)
            entry = {
                "pairs": int(keep.sum()),
                "share": keep.sum().item() / causal_mask(len(keep), len(keep)).sum().item(),
                "layers": int(layers.max()),
                "right": [],
            }
            for seed in SEEDS:
                model = long_models.trained_to_remember(keep, STEPS, seed)
                entry["right"].append(
                    [round(x, 4) for x in long_models.by_distance(model).tolist()]
                )
            found.setdefault(kind, {})[str(window)] = entry
            print(kind, window, entry["pairs"], entry["layers"], flush=True)


def depth(found: dict[str, Any]) -> None:
    keep = long_models.pattern("a window", 8)
    for layers in DEPTHS:
        found[str(layers)] = [
            [round(x, 4) for x in long_models.by_distance(model).tolist()]
            for seed in SEEDS
            for model in [long_models.trained_to_remember(keep, STEPS, seed, layers)]
        ]
        print("depth", layers, flush=True)


def pairs(found: dict[str, Any]) -> None:
    found["numbers"], found["width of a head"] = list(PAIRS), long_models.WIDTH // long_models.HEADS
    for name in ("softmax", "linear"):
        for width in (long_models.WIDTH, 2 * long_models.WIDTH):
            for seed in SEEDS:
                model = long_models.trained_on_pairs(name, PAIR_STEPS, seed, width)
                right = [long_models.by_pairs(model, n) for n in PAIRS]
                found.setdefault(f"{name}, {width}", []).append(right)
                print(name, width, seed, [f"{r:.2f}" for r in right], flush=True)


def _text(tokenizer: Any, tokens: int, number: int) -> Tensor:
    """So many tokens of Python's help pages, from another place for each number."""
    ids = torch.tensor(tokenizer.encode("\n\n".join(help_pages.topics().values())).ids)
    return ids[number * (tokens + 1) :][: tokens + 1]


@torch.no_grad()
def _losses(model: smollm2.SmolLM2, ids: Tensor) -> list[float]:
    """Mean of -ln p of the tokens of each bucket, in order."""
    hidden = model.llama.hidden(ids[None, :-1])[0]
    parts = zip(hidden.split(BUCKET), ids[1:].split(BUCKET), strict=True)
    return [F.cross_entropy(model.llama.scores(h), said).item() for h, said in parts]


def _causal(q: Tensor, k: Tensor, v: Tensor, keep: Tensor) -> Tensor:
    """Chapter 11's, which never has all scores at once."""
    return flash_forward(q, k, v, True)[0]


def sinks(found: dict[str, Any]) -> None:
    weights, tokenizer = smollm2.read_model(smollm2.model_file())
    found |= {"window": WINDOW, "bucket": BUCKET, "tokens": READ}
    ways = {"all of the past": _causal}
    for number in SINKS:
        read = partial(long_models.with_sinks, window=WINDOW, sinks=number)
        ways[f"a window and {number} first"] = lambda q, k, v, keep, read=read: read(q, k, v)
    for name, attention in ways.items():
        model = smollm2.assemble(weights, tokenizer, attention, position.apply_rope)
        found[name] = [_losses(model, _text(tokenizer, READ, n)) for n in range(TEXTS)]
        print("sinks", name, [[f"{x:.2f}" for x in row] for row in found[name]], flush=True)


def beyond(found: dict[str, Any]) -> None:
    """Positions from 0 to FAR, of which TRAINED were trained. Rows of the layout "half"."""
    weights, tokenizer = smollm2.read_model(smollm2.model_file())
    found |= {"trained": TRAINED, "bucket": BUCKET, "tokens": FAR}
    width, theta = smollm2.CONFIG.width // smollm2.CONFIG.num_heads, smollm2.CONFIG.theta
    for name, scaled in SCALED.items():
        method, factor = scaled or ("linear", 1.0)
        frequencies = scale_rope(width, factor, method, FAR, TRAINED, theta)

        def turn(
            x: Tensor, at: Tensor, theta: float, layout: str, f: Tensor = frequencies
        ) -> Tensor:
            return rotate(x, at, f)

        model = smollm2.assemble(weights, tokenizer, _causal, turn, "half")
        found[name] = [_losses(model, _text(tokenizer, FAR, n)) for n in range(TEXTS)]
        print("beyond", name, [[f"{x:.2f}" for x in row] for row in found[name]], flush=True)


def rope(found: dict[str, Any]) -> None:
    learning, testing, vocabulary = extrapolation.corpus()
    trained = extrapolation.TRAINED
    found |= {"trained": trained, "lengths": list(extrapolation.LENGTHS)}
    for seed in SEEDS:
        torch.manual_seed(seed)
        model = LanguageModel(vocabulary, "rope", trained_length=trained)
        extrapolation.train(model, learning, seed)
        for name, scaled in SCALED.items():
            bits = []
            for length in extrapolation.LENGTHS:
                method, factor = scaled or ("linear", 1.0)
                if method == "linear" and scaled:
                    factor = max(1.0, length / trained)

                def attend(
                    q: Tensor, k: Tensor, v: Tensor, keep: Tensor,
                    method: str = method, factor: float = factor, length: int = length,
                ) -> Tensor:  # fmt: skip
                    f = scale_rope(q.shape[-1], factor, method, length, trained)
                    at = torch.arange(k.shape[-2])
                    return scaled_dot_product_attention(rotate(q, at, f), rotate(k, at, f), v, keep)

                for layer in model.layers:
                    layer.attention = attend
                bits.append(extrapolation.bits_at(model, testing, length))
            found.setdefault(name.replace("linear, 2", "linear"), []).append(bits)
            print("rope", name, seed, [f"{b:.2f}" for b in bits], flush=True)


def _peak(ring: Ring, **given: Any) -> dict[str, Any]:
    """A task: attention with its backward pass, the memory that came with it, and its time."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    q, k, v = (given[n].requires_grad_() for n in "qkv")
    start = time.perf_counter()
    out = (
        ring_attention(q, k, v, ring, given["causal"])
        if ring.ranks > 1
        else scaled_dot_product_attention(q, k, v, causal_mask(q.shape[-2], k.shape[-2]))
    )
    out.backward(given["grad"])
    took = time.perf_counter() - start
    unit = 1 if sys.platform == "darwin" else 1024
    peak = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * unit
    return {"bytes": peak, "seconds": took, "sent": ring.sent, "q": q.grad}


def ring(found: dict[str, Any]) -> None:
    """Causal, in single precision, forward and backward."""
    generator = torch.Generator().manual_seed(0)
    tensors = [torch.randn(RING_TIME, RING_WIDTH, generator=generator) for _ in range(4)]
    found |= {"tokens": RING_TIME, "width": RING_WIDTH, "ranks": RANKS}
    answers = {}
    for ranks in (1, RANKS):
        given = [
            dict(zip(("q", "k", "v", "grad"), part, strict=True)) | {"causal": True}
            for part in by_rank(ranks, *tensors)
        ]
        told = run_ring(_peak, given, patience=600, silence=300)
        answers[ranks] = torch.cat([t.pop("q") for t in told])
        found[str(ranks)] = told
        print("ring", ranks, told, flush=True)
    found["off"] = (answers[1] - answers[RANKS]).abs().max().item()
    part = (RING_TIME // RANKS, RING_WIDTH)
    found["formula"] = ring_bytes(part, part, RANKS, 4, backward=True)
    window = max(RING_TIME // 16, 1)
    start = time.perf_counter()
    windowed_attention(*tensors[:3], window)
    found["window"] = {"keys": window, "seconds": time.perf_counter() - start}


PARTS = {
    "patterns": patterns,
    "depth": depth,
    "pairs": pairs,
    "sinks": sinks,
    "beyond": beyond,
    "rope": rope,
    "ring": ring,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("parts", nargs="*", choices=(*PARTS, []), default=[])
    parser.add_argument("--small", action="store_true", help="sizes that say nothing")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    results = RESULTS
    if asked.small:
        small()
        results = Path(tempfile.gettempdir()) / "long_context.json"
    found = json.loads(results.read_text("utf-8")) if results.exists() else {}
    for name in asked.parts or PARTS:
        found[name] = {}
        PARTS[name](found[name])
        found |= {
            "versions": {"python": platform.python_version(), "torch": torch.__version__},
            "device": f"CPU, {platform.machine()}, one thread",
            "date": datetime.date.today().isoformat(),
        }
        results.write_text(json.dumps(found, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
