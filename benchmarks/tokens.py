"""How long tokens take to learn and to use: python benchmarks/tokens.py

1 MB of text to 1,000 merges on one core; ten times that text, to as many merges; encoding with
them. The large text has all the docstrings of the standard library and is filled up with English,
German and French number words, the small one a tenth of each. Then one training step of an
adaptive and of a full softmax over 50,000 tokens, with their parameters. What is compared is called
in turn in one run, and the medians are compared, so that whatever else the machine does hits both.
Writes benchmarks/results/tokens.json, which chapter 6 quotes.

The text of a version of Python is always the same. Measured is training from a text: cutting it,
counting its pieces, merging. It would fool this benchmark to count the pieces beforehand, or a text
that says the same ten times over: then only the first tenth has pieces to merge.
"""

import ast
import datetime
import json
import platform
import random
import statistics
import sysconfig
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from num2words import num2words
from torch import nn
from torch.nn import functional as F

from tutor.tokens import AdaptiveSoftmax, bpe_decode, bpe_encode, split_pieces, train_bpe

RESULTS = Path(__file__).parent / "results" / "tokens.json"
SIZE, TIMES, MERGES = 10**6, 10, 1000
REPEATS = 5
LIMIT_S, LIMIT_RATIO = 2.0, 12.0
"""What training may take: seconds for ``SIZE`` bytes, and as many times that for ten times them."""
LANGUAGES = ("en", "de", "fr")
C, V, PLACES = 256, 50_000, 512
CUTOFFS = (2_000, 10_000)


def docstrings() -> Iterator[str]:
    """Of all modules, classes and functions of the standard library but its tests."""
    library = Path(sysconfig.get_path("stdlib"))
    for path in sorted(library.rglob("*.py")):
        parts = path.relative_to(library).parts
        if {"site-packages", "dist-packages", "test", "tests", "idle_test"} & set(parts):
            continue
        try:
            tree = ast.parse(path.read_bytes())
        except SyntaxError:  # templates and examples
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                yield ast.get_docstring(node) or ""


def numerals() -> Iterator[str]:
    """Number words below a million, in three languages by turns; hardly any comes twice."""
    draw = random.Random(0)
    while True:
        for language in LANGUAGES:
            yield num2words(draw.randrange(10**6), lang=language)


def filled(texts: Iterator[str], size: int) -> str:
    """The first ``size`` bytes of ``texts``, one a line."""
    lines: list[str] = []
    while size > 0:
        lines.append(next(texts) + "\n")
        size -= len(lines[-1].encode())
    return "".join(lines)


def texts() -> dict[str, str]:
    """A tenth and the whole: of the same kinds in the same shares, and the docstrings in any order,
    or the tenth would be that of the modules whose names begin with a."""
    documented = sorted({text for text in docstrings() if text})
    random.Random(0).shuffle(documented)
    available = sum(len(text.encode()) + 1 for text in documented)
    made = {}
    for name, part in (("once", TIMES), ("ten times", 1)):
        prose = min(available, SIZE * TIMES) // part
        made[name] = filled(iter(documented), prose) + filled(
            numerals(), SIZE * TIMES // part - prose
        )
    return made


def seconds_of(call: Callable[[], object]) -> float:
    """Processor seconds: one thread does all of it."""
    start = time.process_time()
    call()
    return time.process_time() - start


def in_turn(calls: dict[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """The median of each, in processor seconds."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(repeats):
        for name, call in calls.items():
            times[name].append(seconds_of(call))
    return {name: statistics.median(found) for name, found in times.items()}


def training() -> dict:
    text = texts()
    found = {}
    for name, t in text.items():
        pieces = Counter(split_pieces(t))
        found[name] = {
            "bytes": len(t.encode()),
            "kinds_of_pieces": len(pieces),
            "pairs": sum(len(piece) - 1 for piece in pieces),
        }
    calls = {
        name: (lambda t=t: train_bpe(Counter(split_pieces(t)), MERGES)) for name, t in text.items()
    }
    seconds = in_turn(calls, REPEATS)
    for name in found:
        found[name]["seconds"] = seconds[name]
    merges = train_bpe(Counter(split_pieces(text["once"])), MERGES)
    ids = bpe_encode(text["once"], merges)
    assert len(merges) == MERGES and bpe_decode(ids, merges) == text["once"].encode()
    using = in_turn(
        {
            "encode": lambda: bpe_encode(text["once"], merges),
            "decode": lambda: bpe_decode(ids, merges),
        },
        REPEATS,
    )
    return {
        "merges": MERGES,
        "runs": found,
        "ratio": seconds["ten times"] / seconds["once"],
        "bytes_a_token": found["once"]["bytes"] / len(ids),
        "megabytes_a_second": {name: SIZE / 1e6 / s for name, s in using.items()},
    }


def softmaxes() -> dict:
    """A training step of each; targets as frequent as words are, the n-th 1 / n as the first."""
    torch.manual_seed(0)
    hidden = torch.randn(PLACES, C)
    targets = torch.multinomial(1 / torch.arange(1, V + 1), PLACES, replacement=True)
    full, adaptive = nn.Linear(C, V, bias=False), AdaptiveSoftmax(C, V, CUTOFFS)
    losses = {
        "full": lambda: F.cross_entropy(full(hidden), targets),
        "adaptive": lambda: adaptive(hidden, targets).loss,
    }
    models = {"full": full, "adaptive": adaptive}

    def step(name: str) -> None:
        models[name].zero_grad()
        losses[name]().backward()

    calls = {name: (lambda name=name: step(name)) for name in models}
    in_turn(calls, 1)
    seconds = in_turn(calls, REPEATS)
    parameters = {name: sum(p.numel() for p in m.parameters()) for name, m in models.items()}
    in_head = float((targets < CUTOFFS[0]).double().mean())
    return {
        "sizes": {"N": PLACES, "C": C, "V": V, "cutoffs": list(CUTOFFS)},
        "targets_in_head": in_head,
        "seconds": seconds,
        "parameters": parameters,
        "ratio": seconds["full"] / seconds["adaptive"],
        "ratio_of_parameters": parameters["full"] / parameters["adaptive"],
    }


def main() -> None:
    torch.set_num_threads(1)
    made = {
        "device": f"CPU, {platform.machine()}, one thread",
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "date": datetime.date.today().isoformat(),
        "repeats": REPEATS,
        "training": training(),
        "softmax": softmaxes(),
    }
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps(made, indent=1) + "\n")
    print(json.dumps(made, indent=1))
    assert made["training"]["runs"]["once"]["seconds"] < LIMIT_S
    assert made["training"]["ratio"] <= LIMIT_RATIO


if __name__ == "__main__":
    main()
