"""What each part of the assembled SmolLM2 is worth: python -m benchmarks.assembly [--tiny]

Each part is taken out again, in one run, on one thread. Of each variant: tokens a second behind a
prompt, several times, in turn with the others; the most memory that a process of its own held
beyond what it held when it had read the file; and nats a token of a text that is read at once.

all parts: chapter 14's functions, as they are.
no cache: everything is read again for each token (chapter 9).
no grouping: keys and values are made and kept for each of the nine query heads (chapter 10).
no tiles: one matrix of scores for past and new tokens together (chapter 11).
4 bits kept: a block is decoded whenever it is asked for, and no number stays in 32 (chapter 13).
no positions: nothing is turned (chapter 5).

What it must keep: all variants but the last say the same, so their losses are compared. Where a
part loses: behind a short prompt groups and tiles have little to save. What would fool it: a
variant that is timed while the machine does something else, so they take turns and the median is
told with its range; memory that an earlier variant has left, so each has a process of its own; and
a text that the model knows by heart, so it is the course's own.
Writes benchmarks/results/assembly.json, from which chapter 14 draws.
"""

import argparse
import datetime
import json
import multiprocessing
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from tutor import ROOT, assembly
from tutor.attention import causal_mask
from tutor.efficiency import dequantize_blocks
from tutor.grouped_query import grouped_query_attention
from tutor.materials import assembled, smollm2
from tutor.materials.bench import TEXT
from tutor.position import convert_rope_layout
from tutor.tokens import bpe_encode, split_pieces

RESULT = ROOT / "benchmarks/results/assembly.json"
H, G = assembled.SIZES
THETA, EPS, WIDTH = assembled.CONFIG.theta, assembled.CONFIG.norm_eps, assembled.CONFIG.width
PROMPT, COUNT, REPEATS = 512, 24, 5
"""Tokens before what is timed, tokens that are timed at once, and how often."""
SAME = 1e-3
"""Losses further apart than this, in nats, are not those of one model."""

Tiled = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor], Tensor]
_TILED: Tiled = assembly._attention


# The parts that are taken out


def untiled(q: Tensor, keys: Tensor, values: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """All scores of past and new tokens in one matrix."""
    k, v = torch.cat((keys, k), 2), torch.cat((values, v), 2)
    return grouped_query_attention(q, k, v, causal_mask(q.shape[2], k.shape[2]))


def ungrouped(weights: Sequence[Tensor]) -> list[Tensor]:
    """As many heads of keys and values as of queries: each of a group its own copy."""
    wide = list(weights)
    for i in range(1, len(weights) - 1, 9):
        for j in (i + 2, i + 3):
            heads = weights[j].unflatten(1, (G, -1))
            wide[j] = heads.repeat_interleave(H // G, 1).flatten(1)
    return wide


def unturned(x: Tensor, places: Tensor, theta: float) -> Tensor:
    return x


@contextmanager
def instead(name: str, other: Callable) -> Iterator[None]:
    own = getattr(assembly, name)
    setattr(assembly, name, other)
    try:
        yield
    finally:
        setattr(assembly, name, own)


class Decoding(Sequence):
    """Weights that lie in memory as in the file, and are decoded whenever they are asked for; but
    for the embedding, of which every token asks one row and all the scores."""

    def __init__(self, file: assembled.Stored) -> None:
        self.found = dict(zip(file.names, zip(file.kinds, file.data, strict=True), strict=True))
        layers = (len(file.names) - 2) // 9
        self.names = ["token_embd.weight"]
        self.names += [f"blk.{i}.{n}.weight" for i in range(layers) for n in assembly.BLOCK]
        self.names.append("output_norm.weight")
        self.embedding = self._decoded(self.names[0])[file.rows]

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, i):
        if isinstance(i, slice):
            return [self[j] for j in range(*i.indices(len(self)))]
        if i % len(self) == 0:
            return self.embedding
        name = self.names[i]
        w, part = self._decoded(name), name.split(".")[-2]
        if part in ("attn_q", "attn_k"):
            w = convert_rope_layout(w, H if part == "attn_q" else G, to="half")
        return w.mT if w.ndim == 2 else w

    def _decoded(self, name: str) -> Tensor:
        kind, data = self.found[name]
        return data if kind == "F32" else dequantize_blocks(data, kind)


def run_decoding(ids, weights, keys, values, num_heads, theta, eps):
    """``language_model`` that asks for one block's weights at a time."""
    x, kept = weights[0][ids], []
    for i, past in enumerate(zip(keys, values, strict=True)):
        block = weights[1 + 9 * i : 10 + 9 * i]
        x, *new = assembly.decoder_block(x, block, *past, num_heads, theta, eps)
        kept.append(new)
    k, v = (torch.stack(each) for each in zip(*kept, strict=True))
    return assembly.rms_norm(x[:, -1], weights[-1], eps) @ weights[0].mT, k, v


PARTS: dict[str, tuple[str, Callable] | None] = {  # a function of ``tutor.assembly``, another
    "all parts": None,
    "no cache": None,
    "no grouping": None,
    "no tiles": ("_attention", untiled),
    "4 bits kept": None,
    "no positions": ("apply_rope", unturned),
}


# What is measured


def cut(file: assembled.Stored, layers: int) -> assembled.Stored:
    """The file with its first layers alone."""
    kept = [
        i
        for i, name in enumerate(file.names)
        if not name.startswith("blk.") or int(name.split(".")[1]) < layers
    ]
    names, kinds, data = ([part[i] for i in kept] for part in (file.names, file.kinds, file.data))
    return replace(file, names=names, kinds=kinds, data=data)


def read(layers: int) -> assembled.Stored:
    return cut(assembled.stored(smollm2.model_file()), layers)


def weights_of(name: str, file: assembled.Stored) -> Sequence[Tensor]:
    if name == "4 bits kept":
        return Decoding(file)
    weights = assembled.weights_of(file)
    return ungrouped(weights) if name == "no grouping" else weights


def encoded(file: assembled.Stored, text: str, length: int | None = None) -> Tensor:
    split = partial(split_pieces, digits_apart=True)
    ids = torch.tensor(bpe_encode(text, file.merges, split=split))
    return ids if length is None else ids.repeat(-(-length // len(ids)))[:length]


@contextmanager
def variant(name: str) -> Iterator[None]:
    if PARTS[name] is None:
        yield
    else:
        with instead(*PARTS[name]):
            yield


def model_of(name: str, weights: Sequence[Tensor], capacity: int) -> assembly.Assembled:
    run = run_decoding if name == "4 bits kept" else assembly.language_model
    groups = H if name == "no grouping" else G
    if not isinstance(weights, Decoding):
        return assembly.Assembled(weights, H, groups, capacity, THETA, EPS, run)
    shaped = [weights.embedding, torch.empty(0), torch.empty(0, WIDTH)]  # its sizes are asked for
    model = assembly.Assembled([*shaped, *range(len(weights) - 3)], H, groups, capacity, THETA, EPS)
    model.weights, model.run = weights, run
    return model


def rate(name: str, weights: Sequence[Tensor], ids: Tensor, count: int) -> float:
    """Tokens a second behind the first, the likeliest each time."""
    with variant(name):
        model, rows = model_of(name, weights, len(ids) + count), torch.tensor([0])
        token = model(ids[None], rows).argmax(-1)
        start = time.perf_counter()
        for _ in range(count - 1):
            if name == "no cache":
                ids = torch.cat((ids, token))
                model.reset()
            token = model(ids[None] if name == "no cache" else token[None], rows).argmax(-1)
        return (count - 1) / (time.perf_counter() - start)


@torch.inference_mode()
def loss(name: str, weights: Sequence[Tensor], ids: Tensor) -> float:
    """The mean of -ln p of each token but the first, all of them read at once."""
    empty = torch.zeros(2, 1, H if name == "no grouping" else G, 0, WIDTH // H)
    x = weights[0][ids[None, :-1]]
    with variant(name):
        for i in range((len(weights) - 2) // 9):
            block = weights[1 + 9 * i : 10 + 9 * i]
            x, *_ = assembly.decoder_block(x, block, *empty, H, THETA, EPS)
        scores = assembly.rms_norm(x, weights[-1], EPS) @ weights[0].mT
    return F.cross_entropy(scores[0], ids[1:]).item()


def held(name: str) -> int:
    """Bytes, as Linux tells them: "VmRSS" now, "VmHWM" at most."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))


def _memory(name: str, prompt: int, count: int, layers: int, result) -> None:
    torch.set_num_threads(1)
    file = read(layers)
    ids = encoded(file, TEXT, prompt)
    before = held("VmRSS")
    rate(name, weights_of(name, file), ids, count)
    result.put(held("VmHWM") - before)


def memory(name: str, prompt: int, count: int, layers: int) -> int:
    """The most that a process of its own held beyond the file: weights, keys, and what is made on
    the way."""
    context = multiprocessing.get_context("spawn")
    result = context.Queue()
    process = context.Process(target=_memory, args=(name, prompt, count, layers, result))
    process.start()
    more = result.get(timeout=3600)
    process.join()
    return more


def measure(prompt: int, count: int, repeats: int, layers: int) -> dict[str, dict]:
    file = read(layers)
    text, ids = encoded(file, TEXT), encoded(file, TEXT, prompt)
    found = {name: {"rate": [], "more": memory(name, prompt, 2, layers)} for name in PARTS}
    whole = assembled.weights_of(file)
    weights = dict.fromkeys(PARTS, whole)
    weights |= {"no grouping": ungrouped(whole), "4 bits kept": Decoding(file)}
    for name in PARTS:
        found[name]["nats"] = loss(name, weights[name], text)
    for _ in range(repeats):
        for name in PARTS:
            few = max(2, count // 6) if name in ("no cache", "4 bits kept") else count
            found[name]["rate"].append(rate(name, weights[name], ids, few))
    for name in PARTS:
        apart = abs(found[name]["nats"] - found["all parts"]["nats"])
        assert (apart > SAME) == (name == "no positions"), f"{name} is {apart:.4f} nats away"
    sizes = {"in the file": file.nbytes, "in 32 bits": sum(w.nbytes for w in whole)}
    return {"parts": found, "bytes": sizes}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--tiny", action="store_true", help="to see that it runs; writes nowhere")
    parser.add_argument("--into", type=Path, default=RESULT)
    given = parser.parse_args()
    torch.set_num_threads(1)
    layers = assembled.CONFIG.num_decoder_layers
    sizes = (24, 3, 1, 2) if given.tiny else (PROMPT, COUNT, REPEATS, layers)
    about = dict(zip(("prompt", "count", "repeats", "layers"), sizes, strict=True))
    found = measure(*sizes) | about
    found |= {
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "device": f"{platform.processor() or platform.machine()}, one thread, "
        f"{torch.backends.cpu.get_cpu_capability()}",
        "date": datetime.date.today().isoformat(),
    }
    if not given.tiny or given.into != RESULT:
        given.into.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    for name, entry in found["parts"].items():
        middle = sorted(entry["rate"])[len(entry["rate"]) // 2]
        more = f"{entry['more'] / 1e6:,.0f} MB"
        print(f"{name:14} {middle:6.2f} tokens a second  {more:>9}  {entry['nats']:.4f} nats")


if __name__ == "__main__":
    main()
