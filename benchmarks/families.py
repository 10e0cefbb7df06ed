"""What chapter 8's models learn in minutes: python -m benchmarks.families [PART ...]

ladder: GPT-2, and what LLaMA has in the place of its parts, one at a time and all, on Python's help
pages: what the next token costs on passages that were held out.
filler: a model that fills gaps beside one that writes, as many steps each: a token in the middle of
a passage, and one at its end.
classify: from which page a passage is, after a few labelled ones: from scratch, and fine-tuned from
the writer and from the filler.
painter: digits drawn from their names, and what a classifier sees in them that has learned from
real ones.

Three seeds each, one thread. Writes benchmarks/results/families.json, from which chapter 8 draws.
"""

import argparse
import datetime
import json
import platform
import time
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from torch import Generator, Tensor

from tutor.families import FamilyModel
from tutor.materials import help_models, painter
from tutor.materials.help_pages import LENGTH, Passages, passages, topics
from tutor.materials.learning import begin
from tutor.materials.translator import parameter_count

RESULTS = Path(__file__).parent / "results" / "families.json"
SEEDS = (0, 1, 2)
LADDER_STEPS = 600
FILLER_STEPS = 6000
PLACES = {"middle": LENGTH // 2, "end": LENGTH - 1}
LABELLED = (2, 8, 32)
"""Passages of each page that a classifier is given."""
CLASSES = 7
CLASSIFIER_STEPS = 100
PAINTED = 10
"""Pictures of each digit."""
GREYS = "0123456789abcdefg"
WAYS = {"as they are": {}, "a temperature of 0.8": {"temperature": 0.8}}


def ladder(seed: int, found: dict[str, Any]) -> None:
    learning, held_out = passages()
    for name, config in help_models.LADDER.items():
        start = time.process_time()
        model, _ = help_models.writer(learning, LADDER_STEPS, seed, config)
        entry = found.setdefault(
            name, {"parameters": parameter_count(model), "nats_a_byte": [], "seconds": []}
        )
        entry["nats_a_byte"].append(help_models.nats_a_byte(model, held_out.tokens))
        entry["seconds"].append(time.process_time() - start)
        print(f"{name}, seed {seed}: {entry['nats_a_byte'][-1]:.3f} nats a byte", flush=True)


def of_a_place(model: FamilyModel, data: Passages, place: int) -> dict[str, float]:
    log_p, said = help_models.guess(model, data.tokens, place), data.tokens[:, place]
    right = (log_p.argmax(-1) == said).double().mean().item()
    return {"right": right, "nats": -log_p.gather(1, said[:, None]).mean().item()}


def trained(seed: int) -> dict[str, FamilyModel]:
    """Both have seen as many passages."""
    learning, _ = passages()
    return {
        "writer": help_models.writer(learning, FILLER_STEPS, seed)[0],
        "filler": help_models.filler(learning, FILLER_STEPS, seed)[0],
    }


def filler(seed: int, found: dict[str, Any], models: dict[str, FamilyModel]) -> None:
    _, held_out = passages()
    for name, model in models.items():
        for what, place in PLACES.items():
            told = of_a_place(model, held_out, place)
            found.setdefault(name, {}).setdefault(what, []).append(told)
            print(f"{name}, {what}, seed {seed}: {told}", flush=True)


def longest_pages() -> tuple[Tensor, list[str]]:
    """Numbers and names of the pages of which there is the most."""
    learning, _ = passages()
    numbers = learning.topic.bincount().argsort(descending=True)[:CLASSES]
    return numbers, [list(topics())[i] for i in numbers.tolist()]


def of_pages(data: Passages, numbers: Tensor) -> Passages:
    """Those of these pages, numbered from 0."""
    there = data.topic[:, None] == numbers
    kept = there.any(1)
    return Passages(data.tokens[kept], there[kept].int().argmax(1))


def labelled(data: Passages, each: int, generator: Generator) -> Passages:
    rows = [
        where[torch.randperm(len(where), generator=generator)[:each]]
        for number in range(CLASSES)
        for where in [(data.topic == number).nonzero().flatten()]
    ]
    return data[torch.cat(rows)]


def classify(seed: int, found: dict[str, Any], models: dict[str, FamilyModel]) -> None:
    numbers, names = longest_pages()
    learning, held_out = (of_pages(data, numbers) for data in passages())
    found["pages"] = names
    bases: dict[str, Callable[[], FamilyModel]] = {
        "from scratch": lambda: begin(help_models.FILLER, seed),
        **{f"from the {n}": lambda m=m: deepcopy(m) for n, m in models.items()},
    }
    for each in LABELLED:
        few = labelled(learning, each, Generator().manual_seed(seed))
        for name, base in bases.items():
            model = help_models.classifier(base, few, CLASSES, CLASSIFIER_STEPS, seed)
            with torch.no_grad():
                right = model(held_out.tokens).argmax(-1) == held_out.topic
            share = right.double().mean().item()
            found.setdefault("right", {}).setdefault(name, {}).setdefault(str(each), []).append(
                share
            )
            print(f"{name}, {each} of each, seed {seed}: {share:.1%}", flush=True)
    found["held_out"] = len(held_out)
    found["commonest"] = held_out.topic.bincount().max().item() / len(held_out)


def paint(seed: int, found: dict[str, Any]) -> None:
    start = time.process_time()
    model, _ = painter.trained(seed)
    found.setdefault("seconds", []).append(time.process_time() - start)
    found["parameters"] = parameter_count(model)
    names = torch.arange(10).repeat_interleave(PAINTED)
    for way, cuts in WAYS.items():
        pictures = painter.paint(model, names, Generator().manual_seed(seed), **cuts)
        share = (painter.recognised(pictures) == names).double().mean().item()
        entry = found.setdefault(way, {"recognised": [], "pictures": []})
        entry["recognised"].append(share)
        if seed == SEEDS[0]:
            entry["pictures"] = ["".join(GREYS[grey] for grey in row) for row in pictures.tolist()]
        print(f"painter, {way}, seed {seed}: {share:.0%} recognised", flush=True)


PARTS = ("ladder", "filler", "classify", "painter")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", choices=(*PARTS, []), default=[])
    names = parser.parse_args().parts or list(PARTS)
    torch.set_num_threads(1)
    found = json.loads(RESULTS.read_text("utf-8")) if RESULTS.exists() else {}
    found |= {name: {} for name in names}
    for seed in SEEDS:
        models = trained(seed) if {"filler", "classify"} & set(names) else {}
        if "ladder" in names:
            ladder(seed, found["ladder"])
        if "filler" in names:
            filler(seed, found["filler"], models)
        if "classify" in names:
            classify(seed, found["classify"], models)
        if "painter" in names:
            paint(seed, found["painter"])
        found |= {
            "versions": {"python": platform.python_version(), "torch": torch.__version__},
            "device": platform.processor() or platform.machine(),
            "date": datetime.date.today().isoformat(),
        }
        RESULTS.write_text(json.dumps(found, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
