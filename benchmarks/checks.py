"""How long a student waits for a check: python -m benchmarks.checks [--new | NAME ...]

Each exercise's right answer and each of its known wrong ones is checked on one CPU thread, and in
turn with it the unit is timed: 1,000 times softmax(q kᵀ) v with small tensors, as those that a
check is made of. Both in processor time, the least of some rounds: so the figure hardly depends on
the machine, though the same code has given up to 11 % more on the same one some hours later. To
compare two states of the code, measure them in turns. Writes benchmarks/results/checks.json, and
ends with an error if a check takes longer than it may. NAME: of an exercise; those of the others
stay as they are. With --new only the answers that the table lacks are measured.
"""

import datetime
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

from benchmarks.grading import machine
from tutor.checks import EXERCISES, Exercise, judge

RESULTS = Path(__file__).parent / "results" / "checks.json"
ROUNDS = 7
BARS = {"": (20.0, 4.5), "07_transformer": (37.0, 8.0)}
"""Units that the slowest check may take, and the median check of the median exercise: of all checks
together the median would rise with each name that a dear exercise gets. Of the chapters that are
named, and of all others together. A check is to take less than 0.3 s. That is 37 units of 8 ms, as
they were when chapters 1 to 6 were measured; when chapter 7 was, a unit took 17 ms, and so its
slowest check, of 33 units, 0.57 s."""


def unit() -> None:
    q, k, v = torch.ones(2, 3, 7), torch.ones(2, 5, 7), torch.ones(2, 5, 11)
    for _ in range(1000):
        (q @ k.mT).softmax(-1) @ v


def seconds(call: Callable[[], object]) -> float:
    """Of processor time."""
    start = time.process_time()
    call()
    return time.process_time() - start


def of_exercise(exercise: Exercise, kept: dict[str, list[float]]) -> dict[str, list[float]]:
    """Units and seconds of the check of the right answer, and of each wrong one."""
    answers = {"right": exercise.reference} | {t.name: t.function for t in exercise.traps}
    found = {}
    for name, function in answers.items():
        if name in kept:
            found[name] = kept[name]
            continue
        times = [
            (seconds(unit), seconds(lambda f=function: judge(exercise, f))) for _ in range(ROUNDS)
        ]
        one, check = (min(column) for column in zip(*times, strict=True))
        found[name] = [round(check / one, 2), round(check, 3)]
    return found


def longest_and_median(checks: dict[str, dict[str, list[float]]]) -> dict[str, list[float]]:
    """Units, by what has a bar of its own."""
    units = {chapter: [] for chapter in BARS}
    for name, exercise in EXERCISES.items():
        bar = exercise.chapter if exercise.chapter in BARS else ""
        units[bar].append([u for u, _ in checks[name].values()])
    return {
        chapter: [
            max(map(max, found)),
            round(statistics.median(map(statistics.median, found)), 2),
        ]
        for chapter, found in units.items()
    }


def too_long(reached: dict[str, list[float]]) -> bool:
    return any(x > bar for c in BARS for x, bar in zip(reached[c], BARS[c], strict=True))


def main(names: list[str]) -> int:
    torch.set_num_threads(1)
    unit()
    kept = json.loads(RESULTS.read_text("utf-8"))["checks"] if names else {}
    only_new = names == ["--new"]
    checks = {}
    for name, exercise in EXERCISES.items():
        known = kept.get(name, {}) if only_new or name not in names else {}
        checks[name] = of_exercise(exercise, known)
        if known and checks[name] == known:
            continue
        slowest = max(checks[name], key=lambda answer: checks[name][answer][0])
        units, took = checks[name][slowest]
        print(f"{name}: right {checks[name]['right'][0]}, slowest {units} ({slowest}, {took} s)")
    reached = longest_and_median(checks)
    for chapter, (longest, median) in reached.items():
        most, usual = BARS[chapter]
        told = f"longest {longest} of {most:g}, median {median} of {usual:g} units"
        print(f"{chapter or 'all others'}: {told}")
    if too_long(reached):
        return 1
    made = {
        "machine": f"{machine()}, one thread",
        "date": datetime.date.today().isoformat(),
        "longest and median": reached,
        "checks": checks,
    }
    RESULTS.write_text(json.dumps(made, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
