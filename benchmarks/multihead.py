"""Our MultiHeadAttention against torch's: python benchmarks/multihead.py

A training step, forward and backward, of one layer at B = 8, T = 512, C = 512, H = 8 in single
precision on one CPU thread. Ours and theirs are called in turn, so that whatever else the machine
does hits both; the medians are compared. Writes benchmarks/results/multihead.json, which chapter 4
quotes.
"""

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

from tutor.multihead import MultiHeadAttention

RESULTS = Path(__file__).parent / "results" / "multihead.json"
B, T, C, H = 8, 512, 512, 8
REPEATS = 15


def step(forward: Callable[[], Tensor], x: Tensor) -> float:
    """Seconds of a forward and a backward pass."""
    start = time.perf_counter()
    forward().sum().backward()
    seconds = time.perf_counter() - start
    x.grad = None
    return seconds


def compare(ours: nn.Module, need_weights: bool, x: Tensor) -> dict[str, float]:
    torchs = nn.MultiheadAttention(C, H, batch_first=True)
    torchs.load_state_dict(ours.state_dict())
    calls = {
        "ours": lambda: ours(x),
        "torch": lambda: torchs(x, x, x, need_weights=need_weights)[0],
    }
    torch.testing.assert_close(calls["ours"](), calls["torch"](), atol=1e-5, rtol=1e-5)
    for call in calls.values():
        step(call, x)
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(REPEATS):
        for name, call in calls.items():
            seconds[name].append(step(call, x))
            ours.zero_grad()
            torchs.zero_grad()
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    pairs = [a / b for a, b in zip(seconds["ours"], seconds["torch"], strict=True)]
    return {
        "ours_s": medians["ours"],
        "torch_s": medians["torch"],
        "ratio": medians["ours"] / medians["torch"],
        "ratio_of_pairs": statistics.median(pairs),
    }


def main() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    x = torch.randn(B, T, C, requires_grad=True)
    with_torchs = MultiHeadAttention(C, H, attention=F.scaled_dot_product_attention)
    runs = {
        "our attention; torch with need_weights=True": compare(MultiHeadAttention(C, H), True, x),
        "torch's attention; torch with need_weights=False": compare(with_torchs, False, x),
    }
    for name, run in runs.items():
        print(f"{name}: {run['ours_s']:.3f} s, {run['torch_s']:.3f} s, ratio {run['ratio']:.3f}")
    made = {
        "device": f"CPU, {platform.machine()}, one thread",
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "date": datetime.date.today().isoformat(),
        "sizes": {"B": B, "T": T, "C": C, "H": H, "repeats": REPEATS, "dtype": str(x.dtype)},
        "runs": runs,
    }
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps(made, indent=1) + "\n")


if __name__ == "__main__":
    main()
