"""Write down what the passes came to: python -m tests.attacks.record FOLDER...

A FOLDER holds passes that ``python -m tests.attacks --keep FOLDER`` wrote. Their verdicts are
compared with those that the corpus expects, and with each other; the forgeries are graded once
more, by a check in their own process. Writes benchmarks/results/attacks.md, which the page for
instructors shows.
"""

import argparse
import datetime
import json
import sys
from collections import Counter
from pathlib import Path

from benchmarks.grading import machine
from tests.attacks import SUBMISSIONS, stock
from tests.attacks.runners import Pass, Verdict, faults
from tutor import ROOT

RESULT = ROOT / "benchmarks" / "results" / "attacks.md"

KINDS = {
    "forging": "marks without the work",
    "cost": "work hidden from the counter",
    "reading": "files, secrets, processes, network",
    "files": "files and links beside the notebook",
    "exhaustion": "time, memory, disk, output used up",
    "broken": "broken, or no notebook at all",
    "honest": "nothing: honest, and unusual",
}
COMMANDS = {"nbgrader": "nbgrader autograde", "tutor": "tutor grade"}


def read(path: Path) -> Pass:
    """A pass that was kept; ValueError if it is not of this corpus."""
    kept = json.loads(path.read_text("utf-8"))
    kept["verdicts"] = {name: Verdict(**verdict) for name, verdict in kept["verdicts"].items()}
    if set(kept["verdicts"]) != set(SUBMISSIONS):
        raise ValueError(f"{path} is a pass of other submissions than those of tests/attacks")
    return Pass(**kept)


def table(passes: list[Pass], fooled: int) -> str:
    """Markdown: how often what was graded, and how often wrongly.

    ``fooled`` is the number of submissions that win points from a check in their own process.
    """
    runs = Counter(made.runner for made in passes)
    wrong = Counter(
        SUBMISSIONS[name].kind
        for made in passes
        for name, verdict in made.verdicts.items()
        if faults(SUBMISSIONS[name], verdict)
    )
    unstable = sum(
        len({json.dumps(made.verdicts[name].points, sort_keys=True) for made in passes}) > 1
        for name in SUBMISSIONS
    )
    outside = sum(bool(made.outside) for made in passes)
    errors = sum(made.exit_status != 0 for made in passes)
    commands = " and ".join(f"{n} times by `{COMMANDS[name]}`" for name, n in sorted(runs.items()))
    lines = [
        f"{len(SUBMISSIONS)} submissions, {fooled} of which win points that are not due to them "
        f"from a check in their own process; each was graded {commands}.",
        "",
        f"| in {len(passes)} passes | |",
        "|---|--:|",
        f"| verdicts | {len(SUBMISSIONS) * len(passes):,} |",
        f"| wrong verdicts | {wrong.total()} |",
        f"| submissions whose points were not always the same | {unstable} |",
        f"| passes in which something outside was read, changed or reached | {outside} |",
        f"| passes that ended with an error | {errors} |",
        "",
        "| what they try | submissions | wrong verdicts |",
        "|---|--:|--:|",
    ]
    counts = Counter(submission.kind for submission in SUBMISSIONS.values())
    lines += [f"| {text} | {counts[kind]} | {wrong[kind]} |" for kind, text in KINDS.items()]
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.attacks.record", description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER")
    folders = parser.parse_args(argv).folders
    passes = [read(path) for folder in folders for path in sorted(folder.glob("*.json"))]
    if not passes:
        parser.error("no pass was kept there")
    fooled = sum(stock.fooled(s) for s in SUBMISSIONS.values() if s.forges)
    found = table(passes, fooled)
    today = datetime.date.today().isoformat()
    RESULT.write_text(
        "# Hostile and broken submissions\n\n"
        f"<!-- table -->\n\n`make attacks`, {today}; {machine()}.\n\n{found}\n\n<!-- end -->\n",
        encoding="utf-8",
    )
    print(found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
