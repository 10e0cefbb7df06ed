"""Large models on small machines: python -m benchmarks.efficiency [PART ...] [--tiny]

table: MiniLM, SmolLM2 and chapter 8's page-sized GPT with their matrices in 32, 8, 4, 3 and 2 bits,
a scale for a tensor, a row or a group: bytes, and nats a token on a text that was held out, or how
alike the vectors of sentences are to those in 32 bits; and of those that write, how many times as
fast as in 32 bits they do it without a kernel, their weights unpacked for every token.
speed: a token at a time on one thread, on a model of GPT-2 small's shape and on SmolLM2, by each
kernel: how many times as fast as single precision in the same run, and the nats a token of SmolLM2
by the same kernel. What is compared is called in turn, and the medians are compared.
kernels: one product of a token, and of 16, with each matrix of GPT-2: where a kernel loses.
cache: SmolLM2 with keys and values in 8, 4, 3 and 2 bits: bytes a token, and nats.
experts: the page-sized GPT with 8 experts, of which a token asks 2, beside a dense model of as many
FLOPs a token and one of as many parameters; balanced by the loss, by a bias, and not at all: loss,
load of each expert as it learns, and what found no place. Three seeds.

What would fool it: SmolLM2's file is in 4 bits already, so that 4 bits of its own kind cost nothing
(32 bits are those of its file, and not of its makers); a model of random weights has no quality, so
its speed stands beside the loss of a real one; weights that fit into the cache of the processor are
as fast in any number of bits, so the model has 124 million; and a mixture with too many places does
more work than it is said to do, so its FLOPs are counted, places included.
Writes benchmarks/results/efficiency.json, from which chapter 13 draws.
"""

import argparse
import datetime
import json
import platform
import pydoc_data.topics
import statistics
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from tutor.families import FamilyModel, gpt2
from tutor.materials import experts, help_models, smaller
from tutor.materials.help_pages import passages
from tutor.materials.minilm import load_minilm
from tutor.materials.smollm2 import SmolLM2, assemble, model_file, read_model

RESULTS = Path(__file__).parent / "results" / "efficiency.json"
SEEDS = (0, 1, 2)
TEXTS = ("assignment", "class", "import", "numbers")
"""Help pages that SmolLM2 is asked about."""
TOKENS = 256
"""Of each."""
GPT_STEPS, EXPERT_STEPS = 1500, 1500
PAST, DECODED, REPEATS = 32, 8, 7
"""Tokens before what is timed, tokens that are timed at once, and how often."""
BAR = 2.0
"""How many times as fast as single precision 8 bits have to be, by the best kernel."""
WANTED = "8 bits, torch's kernel in bfloat16"
SENTENCES = (
    "The shop is closed on Sundays.",
    "My train was an hour late.",
    "She plays the violin every evening.",
    "The soup needs more salt.",
    "Their flat is too small for a dog.",
    "It rained all week in the mountains.",
    "Prices of bread have doubled.",
    "A quadratic equation has at most two solutions.",
    "The function returns a list of integers.",
    "Nobody knew who had opened the window.",
    "Both teams scored in the last minute.",
    "Whales are mammals that live in the sea.",
)


def small(tiny: bool) -> dict[str, Any]:
    return {"steps": 20 if tiny else GPT_STEPS, "texts": TEXTS[:1] if tiny else TEXTS}


# What it costs


def nats(model: SmolLM2, texts: tuple[str, ...], length: int = TOKENS) -> float:
    """Of the next token, on the beginnings of these pages."""
    total, count = 0.0, 0
    for name in texts:
        ids = model.tokenize(pydoc_data.topics.topics[name])[None, :length]
        with torch.no_grad():
            total += F.cross_entropy(model(ids[:, :-1])[0], ids[0, 1:], reduction="sum").item()
        count += ids.shape[1] - 1
    return total / count


def gpt_nats(model: FamilyModel) -> float:
    tokens = passages()[1].tokens
    with torch.no_grad():
        return F.cross_entropy(model(tokens[:, :-1]).flatten(0, 1), tokens[:, 1:].flatten()).item()


def alike(model: nn.Module, wanted: Tensor) -> float:
    """Mean cosine of the sentences' vectors with those in 32 bits."""
    with torch.no_grad():
        return F.cosine_similarity(model.embed(list(SENTENCES)), wanted, dim=-1).mean().item()


def ways_of(bits: int) -> tuple[tuple[str, bool], ...]:
    if bits == 32:
        return (("tensor", False),)
    return (("tensor", False), ("channel", False), ("group", False), ("group", True))


def rows_of(model: nn.Module, quality: Callable[[nn.Module], float], what: str) -> list[dict]:
    rows = []
    for bits in smaller.BITS:
        for way, minimum in ways_of(bits):
            made = smaller.in_few_bits(model, bits, way, minimum)
            row = {
                "bits": bits,
                "way": way + (" with a minimum" if minimum else ""),
                "bytes": smaller.bytes_in(model, bits, way, minimum),
                what: quality(made),
            }
            rows.append(row)
            print(row, flush=True)
    return rows


def timed(rows: list[dict], model: FamilyModel, layout: str, tiny: bool) -> None:
    """Into each row, how fast the model writes with its weights stored like that."""
    stored = {
        (bits, way + (" with a minimum" if minimum else "")): smaller.stored(bits, way, minimum)
        for bits in smaller.BITS
        for way, minimum in ways_of(bits)
    }
    repeats = min(1 if tiny else REPEATS, (model.config.max_length - PAST) // DECODED)
    found = decoding(model, layout, repeats, stored, (32, "tensor"))
    for row in rows:
        row |= found[row["bits"], row["way"]]
        print(row, flush=True)


def table(found: dict[str, Any], tiny: bool) -> None:
    given = small(tiny)
    smollm2 = assemble(*read_model(model_file()))
    found["SmolLM2"] = rows_of(smollm2, lambda m: nats(m, given["texts"]), "nats")
    timed(found["SmolLM2"], smollm2.llama, "interleaved", tiny)
    found["file"] = {"bytes": model_file().stat().st_size}
    minilm = load_minilm()
    with torch.no_grad():
        wanted = minilm.embed(list(SENTENCES))
    found["MiniLM"] = rows_of(minilm, lambda m: alike(m, wanted), "similarity")
    writer, _ = help_models.writer(passages()[0], given["steps"], 0, help_models.GPT2)
    found["GPT"] = rows_of(writer, gpt_nats, "nats")
    timed(found["GPT"], writer, "half", tiny)


# How fast it is


def seconds_of(call: Callable[[], object]) -> float:
    """Of the wall: bytes that are waited for take no processor time on every machine."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def in_turn(calls: dict[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """The median of each."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(repeats):
        for name, call in calls.items():
            times[name].append(seconds_of(call))
    return {name: statistics.median(found) for name, found in times.items()}


def of_gpt2s_shape(tiny: bool) -> FamilyModel:
    """124 million random numbers; how fast they are read does not depend on what they are."""
    torch.manual_seed(0)
    sizes = {"width": 128, "num_heads": 4, "hidden_width": 512, "vocabulary": 500} if tiny else {}
    return FamilyModel(gpt2(**sizes)).eval().requires_grad_(False)


def decoding(
    model: FamilyModel,
    layout: str,
    repeats: int,
    kernels: dict[Any, Callable[[Tensor], smaller.Kernel]] = smaller.KERNELS,
    beside: Any = "single precision",
) -> dict[Any, dict[str, float]]:
    """Milliseconds a token by each kernel, and how many times as fast as ``beside`` it is."""
    past = PAST + DECODED * (repeats + 1)
    machines = {name: smaller.Decoding(model, k, past, layout) for name, k in kernels.items()}

    def write(machine: smaller.Decoding, count: int) -> None:
        token = 5
        for _ in range(count):
            token = int(machine.step(token).argmax())

    for machine in machines.values():
        write(machine, PAST)
    calls = {name: (lambda m=m: write(m, DECODED)) for name, m in machines.items()}
    seconds = in_turn(calls, repeats)
    single = seconds[beside]
    return {
        name: {"milliseconds": 1000 * s / DECODED, "times": single / s}
        for name, s in seconds.items()
    }


def kernel_nats(model: SmolLM2, name: str, text: str, length: int) -> float:
    """What a token costs when the model decodes by a kernel, token by token."""
    machine = smaller.Decoding(model.llama, smaller.KERNELS[name], length, "interleaved")
    ids = model.tokenize(pydoc_data.topics.topics[text])[:length].tolist()
    logits = torch.stack([machine.step(token) for token in ids[:-1]])
    return F.cross_entropy(logits, torch.tensor(ids[1:])).item()


def speed(found: dict[str, Any], tiny: bool) -> None:
    repeats = 2 if tiny else REPEATS
    found["GPT-2 small's shape"] = decoding(of_gpt2s_shape(tiny), "half", repeats)
    print(json.dumps(found, indent=1), flush=True)
    smollm2 = assemble(*read_model(model_file()))
    rows = decoding(smollm2.llama, "interleaved", repeats)
    for name, row in rows.items():
        row["nats"] = kernel_nats(smollm2, name, TEXTS[0], 8 if tiny else TOKENS)
        print(name, row, flush=True)
    found["SmolLM2"] = rows


def deprecated_kernel(weight: Tensor) -> smaller.Kernel:
    """torch's dynamic int8 linear, which rounds the tokens as well: its makers point to torchao."""
    with warnings.catch_warnings(action="ignore"):
        linear = nn.Linear(*reversed(weight.shape), bias=False)
        linear.weight = nn.Parameter(weight, requires_grad=False)
        made = torch.ao.quantization.quantize_dynamic(
            nn.Sequential(linear), {nn.Linear}, torch.qint8
        )
    return made


def kernels(found: dict[str, Any], tiny: bool) -> None:
    """Products alone. Many of the same shape in turn, or the cache of the processor holds them."""
    shapes = {"attention": (2304, 768), "feed-forward": (3072, 768), "readout": (50_257, 768)}
    if tiny:
        shapes = {"attention": (96, 64)}
    torch.manual_seed(0)
    for what, shape in shapes.items():
        copies = 1 if tiny or shape[0] > 10_000 else 12
        weights = [torch.randn(shape) / shape[1] ** 0.5 for _ in range(copies)]
        for tokens in (1, 16):
            x = torch.randn(tokens, shape[1])
            made = {
                name: [kernel(w) for w in weights]
                for name, kernel in {
                    **smaller.KERNELS,
                    "8 bits, dynamic (deprecated)": deprecated_kernel,
                }.items()
            }

            def all_of(products: list[smaller.Kernel], x: Tensor = x) -> None:
                for product in products:
                    product(x)

            with torch.no_grad():
                calls = {name: (lambda p=p: all_of(p)) for name, p in made.items()}
                in_turn(calls, 1)
                seconds = in_turn(calls, 2 if tiny else 4 * REPEATS)
                wanted = made["single precision"][0](x)
                off = {
                    name: ((p[0](x) - wanted).norm() / wanted.norm()).item()
                    for name, p in made.items()
                }
            single = seconds["single precision"]
            found[f"{what}, {tokens} token{'s' * (tokens > 1)}"] = {
                name: {"times": single / s, "off": off[name]} for name, s in seconds.items()
            }
            print(what, tokens, {n: f"{single / s:.2f}" for n, s in seconds.items()}, flush=True)


def cache(found: dict[str, Any], tiny: bool) -> None:
    weights, tokenizer = read_model(model_file())
    texts = small(tiny)["texts"]
    config = assemble(weights, tokenizer).config
    for bits in (32, 16, 8, 4, 3, 2):
        attention = {} if bits >= 16 else {"attention": smaller.rounded_cache(bits)}
        model = assemble(weights, tokenizer, **attention)
        heads, width = config.num_kv_heads, config.width // config.num_heads
        found[str(bits)] = {
            "bytes": smaller.cache_bytes(config.num_decoder_layers, heads, width, bits),
            "nats": nats(model, texts) if bits != 16 else None,
        }
        print(bits, found[str(bits)], flush=True)


# Experts


def flops(model: FamilyModel, tokens: Tensor) -> float:
    """Of the products of a forward pass, a token."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(tokens)
    return counter.get_total_flops() / tokens.numel()


KINDS: dict[str, tuple[Callable[[int], FamilyModel], float]] = {
    "dense, the same FLOPs": (lambda seed: experts.dense(seed), 0.0),
    "dense, as many parameters": (
        lambda seed: experts.dense(seed, experts.NUM_EXPERTS // experts.K),
        0.0,
    ),
    "8 experts, balanced by the loss": (
        lambda seed: experts.mixture(seed, capacity_factor=1.25),
        experts.WEIGHT,
    ),
    "8 experts, balanced by a bias": (
        lambda seed: experts.mixture(seed, capacity_factor=1.25, biased=True),
        0.0,
    ),
    "8 experts, not balanced": (lambda seed: experts.mixture(seed, capacity_factor=1.25), 0.0),
    "8 experts, just as many places": (
        lambda seed: experts.mixture(seed, capacity_factor=1.0),
        experts.WEIGHT,
    ),
}


def mixtures(found: dict[str, Any], tiny: bool) -> None:
    learning, held_out = passages()
    steps = 12 if tiny else EXPERT_STEPS
    seeds = SEEDS[:1] if tiny else SEEDS
    for seed in seeds:
        for name, (make, weight) in KINDS.items():
            start = time.process_time()
            every = 4 if tiny else 25
            model, told = experts.learned(make(seed), learning, steps, seed, weight, every)
            entry = found.setdefault(
                name,
                {
                    "parameters": sum(p.numel() for p in model.parameters()),
                    "flops_a_token": flops(model, held_out.tokens[:16, :-1]),
                    "nats": [],
                    "nats_a_byte": [],
                    "lost": [],
                    "load": [],
                    "seconds": [],
                },
            )
            entry["nats"].append(gpt_nats(model))
            entry["nats_a_byte"].append(help_models.nats_a_byte(model, held_out.tokens))
            entry["seconds"].append(time.process_time() - start)
            if told.steps:
                load, lost = experts.seen(model, held_out.tokens)
                entry["load"].append(load)
                entry["lost"].append(lost)
                if seed == SEEDS[0]:
                    entry["learning"] = vars(told)
            print(f"{name}, seed {seed}: {entry['nats'][-1]:.3f} nats", flush=True)


PARTS: dict[str, Callable[[dict[str, Any], bool], None]] = {
    "table": table,
    "speed": speed,
    "kernels": kernels,
    "cache": cache,
    "experts": mixtures,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", choices=(*PARTS, []), default=[])
    parser.add_argument("--tiny", action="store_true", help="to see that it runs; writes nowhere")
    parser.add_argument("--into", type=Path, default=RESULTS)
    given = parser.parse_args()
    torch.set_num_threads(1)
    into = given.into
    found = json.loads(into.read_text("utf-8")) if into.exists() else {}
    for name in given.parts or PARTS:
        found[name] = {}
        PARTS[name](found[name], given.tiny)
        found |= {
            "versions": {"python": platform.python_version(), "torch": torch.__version__},
            "device": f"{platform.processor() or platform.machine()}, one thread, "
            f"{torch.backends.cpu.get_cpu_capability()}",
            "date": datetime.date.today().isoformat(),
            "sentences": len(SENTENCES),
        }
        if not given.tiny or into != RESULTS:
            into.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    if "speed" in found and not given.tiny:
        reached = found["speed"]["GPT-2 small's shape"][WANTED]["times"]
        assert reached >= BAR, f"8 bits are {reached:.2f} times as fast, and not {BAR}"


if __name__ == "__main__":
    main()
