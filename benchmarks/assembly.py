"""What each part of the assembled SmolLM2 is worth: each taken out again, in one run.

    python -m benchmarks.assembly [--count 24] [--prompt 512] [--result PATH]

Of each variant: tokens a second behind the first, and nats a token of a text that is read in one
piece. Variants: all parts; no cache (everything is read again for each token); no grouping (keys
and values repeated for every query head, as they would be kept); no tiles (one matrix of scores);
4 bits that are decoded in every step, in the place of numbers in 32; no positions.
"""

import argparse
import json
import time
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from tutor import ROOT, assembly
from tutor.attention import causal_mask
from tutor.grouped_query import expand_kv_heads, grouped_query_attention
from tutor.materials import assembled, smollm2
from tutor.materials.bench import TEXT
from tutor.tokens import bpe_encode, split_pieces

RESULT = ROOT / "benchmarks/results/assembly.json"
H, G = assembled.SIZES
THETA, EPS = assembled.CONFIG.theta, assembled.CONFIG.norm_eps


def untiled(q: Tensor, keys: Tensor, values: Tensor, k: Tensor, v: Tensor) -> Tensor:
    k, v = torch.cat((keys, k), 2), torch.cat((values, v), 2)
    return grouped_query_attention(q, k, v, causal_mask(q.shape[2], k.shape[2]))


def ungrouped(q: Tensor, keys: Tensor, values: Tensor, k: Tensor, v: Tensor) -> Tensor:
    parts = (expand_kv_heads(t, q.shape[1]) for t in (keys, values, k, v))
    return _TILED(q, *parts)


_TILED = assembly._attention


@contextmanager
def instead(name: str, other: Callable):
    own = getattr(assembly, name)
    setattr(assembly, name, other)
    try:
        yield
    finally:
        setattr(assembly, name, own)


class Decoding(Sequence):
    """Weights that lie in memory as in the file, and are decoded whenever they are asked for."""

    def __init__(self, file: assembled.Stored) -> None:
        self.file, (self.embedding, *_) = file, _loaded(file)
        self.places = {name: i for i, name in enumerate(file.names)}
        layers = (len(file.names) - 2) // 9
        self.names = ["token_embd.weight"]
        self.names += [f"blk.{i}.{n}.weight" for i in range(layers) for n in assembly.BLOCK]
        self.names.append("output_norm.weight")

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, i):
        if isinstance(i, slice):
            return [self[j] for j in range(*i.indices(len(self)))]
        if i == 0:
            return self.embedding
        name = self.names[i]
        place = self.places[name]
        w = assembly._decoded(name, self.file.kinds[place], self.file.data[place])
        part = name.split(".")[-2]
        if part in ("attn_q", "attn_k"):
            w = assembly.convert_rope_layout(w, H if part == "attn_q" else G, to="half")
        return w.mT if w.ndim == 2 else w


def _loaded(file: assembled.Stored) -> list[Tensor]:
    embedding, *rest = assembly.load_checkpoint(file.names, file.kinds, file.data, H, G)
    return [embedding[file.rows], *rest]


def run_decoding(ids, weights, keys, values, num_heads, theta, eps):
    """``language_model`` that asks for one block's weights at a time."""
    x, kept = weights[0][ids], []
    for i, past in enumerate(zip(keys, values, strict=True)):
        block = weights[1 + 9 * i : 10 + 9 * i]
        x, *new = assembly.decoder_block(x, block, *past, num_heads, theta, eps)
        kept.append(new)
    k, v = (torch.stack(each) for each in zip(*kept, strict=True))
    return assembly.rms_norm(x[:, -1], weights[len(weights) - 1], eps) @ weights[0].mT, k, v


def speed(weights, ids: Tensor, count: int, run=assembly.language_model, cached=True) -> float:
    """Tokens a second behind the first, the likeliest each time."""
    model = assembly.Assembled(weights, H, G, len(ids) + count, THETA, EPS, run)
    rows = torch.tensor([0])
    token = model(ids[None], rows).argmax(-1)
    start = time.perf_counter()
    for _ in range(count - 1):
        if not cached:
            ids = torch.cat((ids, token))
            model.reset()
        token = model(token[None] if cached else ids[None], rows).argmax(-1)
    return (count - 1) / (time.perf_counter() - start)


@torch.inference_mode()
def loss(weights, ids: Tensor) -> float:
    """The mean of -ln p of each token but the first, all of them read at once."""
    empty = torch.zeros(2, 1, G, 0, 64)
    embedding, *blocks, norm = weights
    x = embedding[ids[None, :-1]]
    for i in range(len(blocks) // 9):
        x, *_ = assembly.decoder_block(x, blocks[9 * i : 9 * i + 9], *empty, H, THETA, EPS)
    return F.cross_entropy((assembly.rms_norm(x, norm, EPS) @ embedding.mT)[0], ids[1:]).item()


def measure(count: int, prompt: int) -> dict[str, dict[str, float]]:
    torch.set_num_threads(1)
    file = assembled.stored(smollm2.model_file())
    weights = _loaded(file)

    def encode(text: str) -> Tensor:
        split = lambda part: split_pieces(part, digits_apart=True)  # noqa: E731
        return torch.tensor(bpe_encode(text, file.merges, split=split))

    text = encode(TEXT)
    ids = text.repeat(-(-prompt // len(text)))[:prompt]
    found = {"all parts": {"rate": speed(weights, ids, count), "nats": loss(weights, text)}}
    rate = speed(weights, ids, max(2, count // 8), cached=False)
    found["no cache"] = {"rate": rate, "nats": found["all parts"]["nats"]}
    for name, part, other in (
        ("no tiles", "_attention", untiled),
        ("no grouping", "_attention", ungrouped),
        ("no positions", "apply_rope", lambda x, places, theta: x),
    ):
        with instead(part, other):
            found[name] = {"rate": speed(weights, ids, count), "nats": loss(weights, text)}
    few = max(2, count // 4)
    rate = speed(Decoding(file), ids, few, run_decoding)
    found["decoded in every step"] = {"rate": rate, "nats": found["all parts"]["nats"]}
    sizes = {"in the file": file.nbytes, "in 32 bits": sum(w.nbytes for w in weights)}
    return {"parts": found, "bytes": sizes, "count": count, "prompt": prompt}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--count", type=int, default=24)
    parser.add_argument("--prompt", type=int, default=512)
    parser.add_argument("--result", type=Path, default=RESULT)
    asked = parser.parse_args()
    found = measure(asked.count, asked.prompt)
    asked.result.write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
