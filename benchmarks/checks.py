"""How long a student waits for a check: python -m benchmarks.checks [NAME ...]

Each exercise's right answer and each of its known wrong ones is checked on one CPU thread, and in
turn with it the unit is timed: 1,000 times softmax(q kᵀ) v with small tensors, as those that a
check is made of. Both in processor time, the least of some rounds: so the figure hardly depends on
the machine, though the same code has given up to 11 % more on the same one some hours later. To
compare two states of the code, measure them in turns. Writes benchmarks/results/checks.json, and
ends with an error if a check takes longer than it may. NAME: of an exercise; those of the others
stay as they are.
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
LONGEST, MEDIAN = 37.0, 5.0
"""Units that the slowest check may take, and the median check of the median exercise: of all checks
together the median would rise with each name that a dear exercise gets. The longest are 0.3 s on
the machine of the results: a whole layer's, which calls attention twice and has thirty names."""


def unit() -> None:
    q, k, v = torch.ones(2, 3, 7), torch.ones(2, 5, 7), torch.ones(2, 5, 11)
    for _ in range(1000):
        (q @ k.mT).softmax(-1) @ v


def seconds(call: Callable[[], object]) -> float:
    """Of processor time."""
    start = time.process_time()
    call()
    return time.process_time() - start


def of_exercise(exercise: Exercise) -> dict[str, list[float]]:
    """Units and seconds of the check of the right answer, and of each wrong one."""
    answers = {"right": exercise.reference} | {t.name: t.function for t in exercise.traps}
    found = {}
    for name, function in answers.items():
        times = [
            (seconds(unit), seconds(lambda f=function: judge(exercise, f))) for _ in range(ROUNDS)
        ]
        one, check = (min(column) for column in zip(*times, strict=True))
        found[name] = [round(check / one, 2), round(check, 3)]
    return found


def main(names: list[str]) -> int:
    torch.set_num_threads(1)
    unit()
    kept = json.loads(RESULTS.read_text("utf-8"))["checks"] if names else {}
    checks = {}
    for name, exercise in EXERCISES.items():
        if names and name not in names:
            checks[name] = kept[name]
            continue
        checks[name] = of_exercise(exercise)
        slowest = max(checks[name], key=lambda answer: checks[name][answer][0])
        units, took = checks[name][slowest]
        print(f"{name}: right {checks[name]['right'][0]}, slowest {units} ({slowest}, {took} s)")
    units = [[u for u, _ in found.values()] for found in checks.values()]
    longest, median = max(map(max, units)), statistics.median(map(statistics.median, units))
    print(f"longest {longest:.1f} of {LONGEST:g}, median {median:.1f} of {MEDIAN:g} units")
    if longest > LONGEST or median > MEDIAN:
        return 1
    made = {
        "machine": f"{machine()}, one thread",
        "date": datetime.date.today().isoformat(),
        "longest": longest,
        "median": median,
        "checks": checks,
    }
    RESULTS.write_text(json.dumps(made, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
