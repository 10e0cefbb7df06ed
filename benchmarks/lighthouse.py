"""How fast the book comes up, by Lighthouse: python -m benchmarks.lighthouse, or make lighthouse.

The cover and the heaviest chapter, on a phone (Lighthouse's slow 4G and a processor four times as
slow) and on a desktop, from a server that compresses. The middle of five runs each (--runs N): a
run beside other work is worth ten points less. Takes ten minutes, wants npm, and writes
benchmarks/results/lighthouse.json; ends with an error if a score is below what it is to be.
"""

import argparse
import datetime
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.grading import machine
from tests.browser import BUILT, executable, served

PACKAGE = "lighthouse@13.5.0"
RESULTS = Path(__file__).parent / "results" / "lighthouse.json"
LEAST = {
    "phone": {"performance": 90, "accessibility": 95, "best-practices": 95, "seo": 95},
    "desktop": {"performance": 95, "accessibility": 95, "best-practices": 95, "seo": 95},
}
FLAGS = "--headless=new --no-sandbox --disable-gpu --no-first-run --disable-background-networking"


def heaviest() -> str:
    chapters = sorted((BUILT / "book").glob("[0-9]*.html"), key=lambda p: p.stat().st_size)
    return f"book/{chapters[-1].name}"


def run(url: str, view: str, report: Path) -> dict[str, float]:
    command = ["npm", "exec", "--yes", "--", PACKAGE, url, "--quiet", f"--chrome-flags={FLAGS}"]
    command += ["--output=json", f"--output-path={report}"]
    command += [f"--only-categories={','.join(LEAST[view])}"]
    command += ["--preset=desktop"] if view == "desktop" else []
    subprocess.run(command, check=True, env={**os.environ, "CHROME_PATH": executable()})
    found = json.loads(report.read_text("utf-8"))
    scores = {name: round(100 * found["categories"][name]["score"]) for name in LEAST[view]}
    times = {
        name: round(found["audits"][name]["numericValue"], 3)
        for name in (
            "first-contentful-paint",
            "largest-contentful-paint",
            "total-blocking-time",
            "cumulative-layout-shift",
            "speed-index",
        )
    }
    return {**scores, **times}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=5)
    runs_each = parser.parse_args().runs
    found: dict[str, dict[str, dict[str, float]]] = {}
    with served(BUILT, zipped=True) as home, tempfile.TemporaryDirectory() as folder:
        for page in ("book/index.html", heaviest()):
            for view in LEAST:
                report = Path(folder, "report.json")
                runs = [run(f"{home}/{page}", view, report) for _ in range(runs_each)]
                middle = {name: statistics.median(r[name] for r in runs) for name in runs[0]}
                found.setdefault(page, {})[view] = middle
                print(page, view, middle, flush=True)
    result = {
        "date": datetime.date.today().isoformat(),
        "machine": machine(),
        "lighthouse": PACKAGE,
        "runs": runs_each,
        "pages": found,
    }
    RESULTS.write_text(json.dumps(result, indent=1) + "\n", "utf-8")
    low = [
        f"{page} on a {view}: {name} {scores[name]}, to be {least}"
        for page, views in found.items()
        for view, scores in views.items()
        for name, least in LEAST[view].items()
        if scores[name] < least
    ]
    if low:
        sys.exit("\n".join(low))


if __name__ == "__main__":
    main()
