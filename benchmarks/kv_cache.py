"""How fast a model writes with a cache and without: python -m benchmarks.kv_cache [PART ...]

gpt2: random weights of GPT-2's smallest sizes, 256 tokens after a prompt of 256, one row and eight:
ours with a cache, ours without, transformers' ``generate`` with its cache, and the bare products of
the same weights in each form that torch has for them, beside the time that it takes to sum as much
memory. Calls take turns, so that whatever else the machine does hits all. Ours is to be 8 times as
fast as without and as fast as transformers (whole answers), and at 0.9 of the products (steps).
smollm2: the same with SmolLM2's weights, 128 tokens after 128; to be as fast as transformers.
lengths: seconds of one token of SmolLM2 against the length of what stands before it, with and
without a cache, and the bytes of the cache, by formula and as they are.
rows: one step for 1, 2, 4 and 8 rows, and for weights of half the bytes.

One thread, single precision; for one row a matrix lies as is faster, and for eight it is packed.
``--tiny`` tries all of it at sizes that mean nothing. Writes benchmarks/results/kv_cache.json after
each part, from which chapter 9 draws. All of it takes about half an hour.
"""

import argparse
import datetime
import json
import platform
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import Tensor
from torch.nn import functional as F

from tutor.families import FamilyModel, gpt2, renamed
from tutor.kv_cache import decode_flops, generate, kv_cache_bytes
from tutor.materials import smollm2
from tutor.materials.cached import CachedModel, stored_for_decoding

RESULTS = Path(__file__).parent / "results" / "kv_cache.json"
ROWS = (1, 8)
SAMPLED = 8
"""Steps without a cache that are timed, spread evenly over all."""
LENGTHS = (32, 64, 128, 256, 512, 1024, 2048, 4096)
REPEATS = 5
PASSES = 16
"""Through the bare products in one turn: a loop of tokens goes through the weights as often, and
the first pass after something else is slower."""
TINY = {"num_decoder_layers": 2, "width": 24, "num_heads": 3, "hidden_width": 40, "vocabulary": 99}


def seconds(call: Callable[[], Any]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def in_turn(calls: dict[str, Callable[[], Any]], repeats: int = REPEATS) -> dict[str, float]:
    """Median seconds of each, after one call that nobody counts."""
    for call in calls.values():
        call()
    found: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(repeats):
        for name, call in calls.items():
            found[name].append(seconds(call))
    return {name: statistics.median(times) for name, times in found.items()}


def passes_in_turn(
    forms: dict[str, Callable[[], Any]],
    others: dict[str, Callable[[], Any]] | None = None,
    repeats: int = REPEATS,
) -> dict[str, float]:
    """Median seconds of one pass of each form, and of each of the others, all in turn."""
    many = {name: lambda call=call: [call() for _ in range(PASSES)] for name, call in forms.items()}
    found = in_turn((others or {}) | many, repeats)
    return {name: s / PASSES if name in forms else s for name, s in found.items()}


# The bare products


def matrices(model: FamilyModel) -> list[Tensor]:
    """Those that each token goes through: not the table of positions, and the embedding once, also
    where two parameters share its memory."""
    named = model.named_parameters()
    found = {p.data_ptr(): p for n, p in named if p.ndim == 2 and "position" not in n}
    return list(found.values())


def products(
    model: FamilyModel, rows: int, dtype: torch.dtype = torch.float32
) -> dict[str, Callable[[], Any]]:
    """Each weight times as many vectors as there are rows, in each form that torch has."""
    plain = [w.detach().to(dtype).contiguous() for w in matrices(model)]
    given = {w.shape[1]: torch.randn(rows, w.shape[1]).to(dtype) for w in plain}
    turned = [w.mT.contiguous().mT for w in plain]
    forms = {
        "as they are": lambda: [F.linear(given[w.shape[1]], w) for w in plain],
        "transposed": lambda: [F.linear(given[w.shape[1]], w) for w in turned],
    }
    ops = torch.ops.mkldnn
    try:
        packed = [ops._reorder_linear_weight(w, rows) for w in plain]
        pairs = [(given[w.shape[1]], p) for w, p in zip(plain, packed, strict=True)]
        one = lambda x, w: ops._linear_pointwise(x, w, None, "none", [], "")  # noqa: E731
        one(*pairs[0])
        forms["packed"] = lambda: [one(x, w) for x, w in pairs]
    except (NotImplementedError, AttributeError, RuntimeError) as error:
        print(f"no packed form here: {str(error).splitlines()[0][:80]}")
    memory = torch.ones(sum(w.numel() for w in plain), dtype=dtype)
    return forms | {"memory": lambda: memory.sum()}


# The models


def ours(model: FamilyModel, prompt: Tensor, count: int) -> Callable[[], Tensor]:
    """Greedy, and nothing ends."""
    never, rows = torch.tensor([], dtype=torch.int64), len(prompt)
    chances = torch.zeros(rows, count)

    def run() -> Tensor:
        cached = CachedModel(model, prompt.shape[1] + count)
        return generate(cached, list(prompt), chances, never, temperature=0)[0]

    return run


@torch.no_grad()
def uncached_seconds(model: FamilyModel, prompt: Tensor, count: int) -> float:
    """Of all tokens, from some: every text is read again for each of its tokens, the first too."""
    taken = []
    for i in range(min(SAMPLED, count)):
        length = prompt.shape[1] + round((i + 0.5) * count / min(SAMPLED, count))
        text = torch.zeros(len(prompt), length, dtype=torch.int64)
        taken.append(seconds(lambda text=text: model.scores(model.hidden(text)[:, -1]).argmax(-1)))
    return statistics.mean(taken) * count


def theirs(model: Any, prompt: Tensor, count: int) -> Callable[[], Tensor]:
    given = {"max_new_tokens": count, "min_new_tokens": count, "do_sample": False}
    ones = torch.ones_like(prompt)

    def run() -> Tensor:
        found = model.generate(prompt, attention_mask=ones, pad_token_id=0, **given)
        return found[:, prompt.shape[1] :]

    return run


def compared(
    model: FamilyModel, other: Any, prompt_length: int, count: int, repeats: int
) -> Iterator[tuple[str, dict[str, Any]]]:
    for rows in ROWS:
        draw = torch.Generator().manual_seed(rows)
        high = model.config.vocabulary
        prompt = torch.randint(1, high, (rows, prompt_length), generator=draw)
        found: dict[str, Any] = {"prompt": prompt_length, "tokens": count}
        forms = passes_in_turn(products(model, rows))
        found["products_s"] = forms
        found["weights_bytes"] = sum(w.nbytes for w in matrices(model))
        fast = stored_for_decoding(model, rows)
        if rows == 1 and forms["as they are"] <= forms["transposed"]:
            for weight in matrices(fast):
                weight.data = weight.data.contiguous()
        calls = {"ours": ours(fast, prompt, count), "transformers": theirs(other, prompt, count)}
        same = (calls["ours"]() == calls["transformers"]()).all(0)
        found["same_tokens"] = int(same.int().cumprod(0).sum())  # rounding may part them later
        # What the prompt costs is taken off a step: it is read once.
        first = {f"{name}, prompt": maker for name, maker in _prompts(fast, other, prompt).items()}
        times = passes_in_turn(products(model, rows), calls | first, repeats)
        found["seconds"] = times
        step = {n: (times[n] - times[f"{n}, prompt"]) / (count - 1) for n in calls}
        without = uncached_seconds(model, prompt, count)
        step["without a cache"] = without / count
        found["step_s"] = step
        found["whole_tokens_a_second"] = {n: rows * count / times[n] for n in calls}
        products_s = min(
            s for n, s in times.items() if n in ("as they are", "transposed", "packed")
        )
        found["of_the_products"] = products_s / step["ours"]
        found["of_memory"] = times["memory"] / step["ours"]
        # Whole answers, with the reading of the prompt.
        found["times_without"] = without / times["ours"]
        found["times_transformers"] = times["transformers"] / times["ours"]
        yield str(rows), found


def _prompts(model: FamilyModel, other: Any, prompt: Tensor) -> dict[str, Callable[[], Any]]:
    return {"ours": ours(model, prompt, 1), "transformers": theirs(other, prompt, 1)}


def gpt2_part(tiny: bool) -> dict[str, Any]:
    torch.manual_seed(9)
    config = gpt2(attention=F.scaled_dot_product_attention, **(TINY if tiny else {}))
    names = {"n_layer": config.num_decoder_layers, "n_embd": config.width}
    more = {"n_head": config.num_heads, "n_inner": config.hidden_width}
    sizes = {"vocab_size": config.vocabulary, "n_positions": config.max_length}
    their_config = transformers.GPT2Config(**names, **more, **sizes, bos_token_id=0, eos_token_id=0)
    other = transformers.GPT2LMHeadModel(their_config).eval()
    other.generation_config.eos_token_id = None
    model = FamilyModel(config).eval().requires_grad_(False)
    model.load_state_dict(renamed(other.state_dict(), config))
    length, count = (12, 6) if tiny else (256, 256)
    return dict(compared(model, other, length, count, 1 if tiny else 3))


def _smollm2() -> tuple[FamilyModel, Any]:
    weights, tokenizer = smollm2.read_model(smollm2.model_file())
    sdpa = F.scaled_dot_product_attention
    model = smollm2.assemble(weights, tokenizer, sdpa, layout="half").llama
    model.requires_grad_(False)
    sizes = smollm2.CONFIG
    config = transformers.LlamaConfig(
        vocab_size=sizes.vocabulary,
        hidden_size=sizes.width,
        num_hidden_layers=sizes.num_decoder_layers,
        num_attention_heads=sizes.num_heads,
        num_key_value_heads=sizes.num_kv_heads,
        intermediate_size=sizes.hidden_width,
        max_position_embeddings=sizes.max_length,
        rms_norm_eps=sizes.norm_eps,
        rope_theta=sizes.theta,
        tie_word_embeddings=True,
        bos_token_id=0,
        eos_token_id=0,
    )
    with torch.device("meta"):
        other = transformers.LlamaForCausalLM(config)
    other = other.to_empty(device="cpu").eval()
    other.generation_config.eos_token_id = None
    other.tie_weights()
    for rotary in (m for m in other.modules() if hasattr(m, "inv_freq")):
        steps = torch.arange(0, 64, 2).float() / 64
        rotary.inv_freq = 1.0 / sizes.theta**steps
        rotary.original_inv_freq = rotary.inv_freq
    ordered = dict(weights)
    for name, heads in (("q_proj", sizes.num_heads), ("k_proj", sizes.num_kv_heads)):
        for key in [k for k in ordered if f"{name}.weight" in k]:
            ordered[key] = smollm2.convert_rope_layout(ordered[key], heads, to="half")
    other.load_state_dict(ordered | {"lm_head.weight": ordered["model.embed_tokens.weight"]})
    return model, other


def smollm2_part(tiny: bool) -> dict[str, Any]:
    length, count = (8, 4) if tiny else (128, 128)
    return dict(compared(*_smollm2(), length, count, 1 if tiny else 3))


@torch.no_grad()
def lengths_part(tiny: bool) -> list[dict[str, Any]]:
    model, found = _smollm2()[0], []
    sizes, one = smollm2.CONFIG, torch.tensor([0])
    for length in LENGTHS[:2] if tiny else LENGTHS:
        text = torch.zeros(1, length, dtype=torch.int64)
        cached = CachedModel(model, length + REPEATS + 2)
        for piece in text.split(256, 1):
            cached(piece, one)
        token = text[:, :1]
        times = in_turn({"cached": lambda c=cached, t=token: c(t, one)})
        whole = lambda t=text: model.scores(model.hidden(t)[:, -1])  # noqa: E731
        times["without"] = statistics.median(
            seconds(whole) for _ in range(3 if length < 1000 else 1)
        )
        asked = sizes.num_decoder_layers, sizes.width, sizes.num_heads, sizes.num_kv_heads
        found.append(
            {
                "length": length,
                "seconds": times,
                "flops": {
                    "cached": decode_flops(sizes, length - 1),
                    "without": decode_flops(sizes, length - 1, cached=False),
                },
                "bytes": {
                    "formula": kv_cache_bytes(*asked, length + REPEATS + 2, dtype=torch.float32),
                    "measured": cached.nbytes,
                },
            }
        )
        print(found[-1], flush=True)
    return found


def rows_part(tiny: bool) -> dict[str, Any]:
    torch.manual_seed(9)
    model = FamilyModel(gpt2(**(TINY if tiny else {}))).eval().requires_grad_(False)
    found: dict[str, Any] = {
        str(rows): passes_in_turn(products(model, rows)) for rows in (1, 2, 4, 8)
    }
    half = products(model, 1, torch.bfloat16)
    found["1, bfloat16"] = passes_in_turn(
        {form: call for form, call in half.items() if form != "memory"}
    )
    return found


PARTS = {
    "gpt2": gpt2_part,
    "smollm2": smollm2_part,
    "lengths": lengths_part,
    "rows": rows_part,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}")
    parser.add_argument("--tiny", action="store_true", help="sizes that mean nothing, and no file")
    given = parser.parse_args()
    if unknown := set(given.parts) - set(PARTS):
        parser.error(f"no part is named {', '.join(sorted(unknown))}")
    torch.set_num_threads(1)
    results: dict[str, Any] = {}
    if RESULTS.exists() and not given.tiny:
        results = json.loads(RESULTS.read_text())
    for name in given.parts or PARTS:
        results[name] = PARTS[name](given.tiny)
        print(name, json.dumps(results[name], indent=1), flush=True)
        results["run"] = {
            "date": datetime.date.today().isoformat(),
            "device": platform.processor() or platform.machine(),
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "threads": 1,
            "dtype": "float32",
        }
        if not given.tiny:
            RESULTS.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
