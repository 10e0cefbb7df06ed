"""What attention in tiles costs, beside the whole matrix: python -m benchmarks.flash [PART ...]

speed: seconds of chapter 3's attention, of chapter 11's and of torch's own, causal, forward and
with the backward pass; also where the tiles lose.
memory: the most that a process holds beyond what it held before one forward and one backward pass,
each in a process of its own.
smollm2: the most that a process holds beyond the model while SmolLM2 reads a long text in tiles,
and the loss of a shorter one beside the plain algorithm's.
gpu: the Triton kernels beside torch's own attention, where there is a GPU.

Writes benchmarks/results/flash.json, from which chapter 11 draws. ``--lengths`` and ``--tokens``
make it small, and then nothing is written.
"""

import argparse
import datetime
import json
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from tutor.attention import causal_mask, scaled_dot_product_attention
from tutor.flash import flash_attention, flash_attention_triton, flash_forward

RESULTS = Path(__file__).parent / "results" / "flash.json"
HEADS, WIDTH = 8, 64
LENGTHS = (128, 256, 512, 1024, 2048, 4096)
MEMORY_LENGTHS = (1024, 2048, 4096, 8192)
TOKENS = (8192, 2048)
"""That SmolLM2 reads in tiles; and with both algorithms."""
GPU_LENGTHS = (1024, 4096, 16_384)
CHUNK = 512
"""Places whose 49,152 logits are there at a time."""


def plain(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return scaled_dot_product_attention(q, k, v, causal_mask(q.shape[-2], k.shape[-2], q.device))


def tiled(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return flash_attention(q, k, v, True)


def torchs(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return F.scaled_dot_product_attention(q, k, v, is_causal=True)


def in_triton(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return flash_attention_triton(q, k, v, True, 128, 64)


ALGORITHMS = {"plain": plain, "tiled": tiled, "torch": torchs}


def drawn(length: int, device: str = "cpu", dtype: torch.dtype = torch.float32) -> list[Tensor]:
    generator = torch.Generator().manual_seed(length)
    return [
        torch.randn(1, HEADS, length, WIDTH, generator=generator).to(device, dtype).requires_grad_()
        for _ in range(3)
    ]


def both_ways(attention: Callable[..., Tensor], given: list[Tensor]) -> None:
    torch.autograd.grad(attention(*given).sum(), given)


def forward(attention: Callable[..., Tensor], given: list[Tensor]) -> None:
    with torch.no_grad():
        attention(*given)


def seconds(act: Callable[[], None], repetitions: int) -> float:
    """The quickest of several, after one that is not counted: others can only make it slower."""
    act()
    found = []
    for _ in range(repetitions):
        start = time.perf_counter()
        act()
        found.append(time.perf_counter() - start)
    return min(found)


def speed(found: dict[str, Any], lengths: tuple[int, ...]) -> None:
    for length in lengths:
        given, repetitions = drawn(length), max(3, 8192 // length)
        for name, attention in ALGORITHMS.items():
            entry = found.setdefault(name, {"lengths": [], "forward": [], "both": []})
            entry["lengths"].append(length)
            for way, pass_ in (("forward", forward), ("both", both_ways)):
                entry[way].append(seconds(partial(pass_, attention, given), repetitions))
            told = ", ".join(f"{way} {1e3 * entry[way][-1]:.1f} ms" for way in ("forward", "both"))
            print(f"{length:6,} {name:6} {told}", flush=True)


# Memory, each in a process of its own


def held() -> dict[str, int]:
    """Bytes that this process holds now (VmRSS), and held at most (VmHWM)."""
    lines = (line.split() for line in Path("/proc/self/status").read_text().splitlines())
    return {p[0][:-1]: int(p[1]) * 1024 for p in lines if p[0] in ("VmRSS:", "VmHWM:")}


def most_during(act: Callable[[], Any]) -> tuple[int, Any]:
    """How many bytes more this process held during ``act`` than before it, at most."""
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before = held()["VmRSS"]
    answer = act()
    return held()["VmHWM"] - before, answer


def child_memory(name: str, length: str) -> dict[str, Any]:
    attention = ALGORITHMS[name]
    both_ways(attention, drawn(64))  # what the first call loads is there before
    given = drawn(int(length))
    return {"bytes": most_during(lambda: both_ways(attention, given))[0]}


def child_smollm2(name: str, tokens: str) -> dict[str, Any]:
    from pydoc_data.topics import topics

    from tutor.materials.smollm2 import load_smollm2
    from tutor.position import apply_rope

    def attention(q: Tensor, k: Tensor, v: Tensor, keep: Tensor) -> Tensor:
        if name == "plain":
            return scaled_dot_product_attention(q, k, v, keep)
        return flash_forward(q, k, v, True)[0]

    model = load_smollm2(attention=attention, rope=apply_rope)
    text = " ".join(topics.values())[: 8 * int(tokens)]
    ids = torch.tensor(model.tokenizer.encode(text).ids)[: int(tokens)]

    @torch.no_grad()
    def loss() -> float:
        hidden, total = model.llama.hidden(ids[None])[0, :-1], 0.0
        for states, said in zip(hidden.split(CHUNK), ids[1:].split(CHUNK), strict=True):
            total += F.cross_entropy(model.llama.scores(states), said, reduction="sum").item()
        return total / (len(ids) - 1)

    start = time.perf_counter()
    peak, value = most_during(loss)
    weights = sum(p.numel() * p.element_size() for p in model.parameters())
    return {
        "tokens": len(ids),
        "bytes": peak,
        "weights": weights,
        "loss": value,
        "seconds": time.perf_counter() - start,
    }


CHILDREN = {"memory": child_memory, "smollm2": child_smollm2}


def in_a_child(part: str, *args: object) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.flash", "--child", part, *map(str, args)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def memory(found: dict[str, Any], lengths: tuple[int, ...]) -> None:
    for length in lengths:
        for name in ALGORITHMS:
            entry = found.setdefault(name, {"lengths": [], "bytes": []})
            entry["lengths"].append(length)
            entry["bytes"].append(in_a_child("memory", name, length)["bytes"])
            print(f"{length:6,} {name:6} {entry['bytes'][-1] / 2**20:8,.0f} MiB", flush=True)


def smollm2(found: dict[str, Any], tokens: tuple[int, ...]) -> None:
    long, short = tokens
    for name, algorithm, length in (
        ("long, tiled", "tiled", long),
        ("short, tiled", "tiled", short),
        ("short, plain", "plain", short),
    ):
        found[name] = in_a_child("smollm2", algorithm, length)
        mebibytes = found[name]["bytes"] / 2**20
        print(f"{name:14} {mebibytes:8,.0f} MiB, {found[name]['loss']:.6f} nats", flush=True)


def gpu(found: dict[str, Any], lengths: tuple[int, ...]) -> None:
    found["device"] = torch.cuda.get_device_name()
    for dtype in (torch.float16, torch.bfloat16):
        for length in lengths:
            given = drawn(length, "cuda", dtype)
            for name, attention in (("triton", in_triton), ("torch", torchs)):
                entry = found.setdefault(
                    f"{name}, {dtype}", {"lengths": [], "forward": [], "both": []}
                )
                entry["lengths"].append(length)
                for way, pass_ in (("forward", forward), ("both", both_ways)):

                    def act(attention=attention, pass_=pass_, given=given) -> None:
                        pass_(attention, given)
                        torch.cuda.synchronize()

                    entry[way].append(seconds(act, 20))
                print(f"{length:6,} {name:6} {dtype} {1e3 * entry['both'][-1]:.2f} ms", flush=True)


PARTS = {
    "speed": (speed, "lengths", LENGTHS),
    "memory": (memory, "lengths", MEMORY_LENGTHS),
    "smollm2": (smollm2, "tokens", TOKENS),
    "gpu": (gpu, "lengths", GPU_LENGTHS),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--lengths", type=int, nargs="+")
    parser.add_argument("--tokens", type=int, nargs=2)
    parser.add_argument("--child", nargs="+", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.child:
        part, *args = asked.child
        print(json.dumps(CHILDREN[part](*args)))
        return
    if unknown := set(asked.parts) - set(PARTS):
        parser.error(f"there is no part {', '.join(sorted(unknown))}")
    result = json.loads(RESULTS.read_text("utf-8")) if RESULTS.exists() else {}
    for name in asked.parts or PARTS:
        part, sizes, usual = PARTS[name]
        if name == "gpu" and not torch.cuda.is_available():
            print("gpu: there is none")
            continue
        result[name] = {}
        part(result[name], tuple(getattr(asked, sizes) or usual))
    result |= {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "date": datetime.date.today().isoformat(),
    }
    if asked.lengths is None and asked.tokens is None:
        RESULTS.write_text(json.dumps(result, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
