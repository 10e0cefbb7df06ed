"""Grade the whole corpus again and again: python -m tests.attacks [--passes N] [NAME...]

Says which submissions did not get their verdict, and which got different ones in different passes.
NAME is a submission or a kind; without one, all are graded.
"""

import argparse
import json
import sys
from pathlib import Path

from tests.attacks import SUBMISSIONS
from tests.attacks.runners import RUNNERS, Pass, as_json, faults, graded


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.attacks", description=__doc__)
    parser.add_argument("--passes", type=int, default=1, help="how often; default: once")
    parser.add_argument(
        "--runner", choices=RUNNERS, action="append", help="default: nbgrader and tutor, in turn"
    )
    parser.add_argument("--keep", type=Path, help="write each pass to this folder, as JSON")
    parser.add_argument("names", nargs="*", metavar="NAME")
    arguments = parser.parse_args(argv)
    names = set(arguments.names)
    unknown = names - set(SUBMISSIONS) - {s.kind for s in SUBMISSIONS.values()}
    if unknown:
        parser.error(f"no submission and no kind is named {', '.join(sorted(unknown))}")
    chosen = [s for s in SUBMISSIONS.values() if not names or {s.name, s.kind} & names]

    wrong = False
    for runner in arguments.runner or ["nbgrader", "tutor"]:
        first: dict[str, str] = {}
        differ = False
        for n in range(1, arguments.passes + 1):
            made = graded(runner, chosen)
            wrong |= _tell(made, n)
            if arguments.keep:
                arguments.keep.mkdir(parents=True, exist_ok=True)
                path = arguments.keep / f"{runner}-{n}.json"
                path.write_text(as_json(made), encoding="utf-8")
            for s in chosen:
                verdict = json.dumps(made.verdicts[s.name].points, sort_keys=True)
                if first.setdefault(s.name, verdict) != verdict:
                    print(f"{s.name}: {verdict} in pass {n}, {first[s.name]} in the first")
                    differ = True
        if not differ:
            print(f"{runner}: {arguments.passes} passes, the same verdicts")
        wrong |= differ
    return int(wrong)


def _tell(made: Pass, n: int) -> bool:
    """Whether anything is wrong with a pass."""
    found = {name: faults(SUBMISSIONS[name], verdict) for name, verdict in made.verdicts.items()}
    found = {name: sentences for name, sentences in found.items() if sentences}
    for name, sentences in found.items():
        print(f"{name}: {'; '.join(sentences)}")
    for sentence in made.outside:
        print(sentence)
    if made.exit_status:
        print(f"{made.runner} ended with exit status {made.exit_status}:\n{made.log[-3000:]}")
    print(
        f"{made.runner}, pass {n}: {len(made.verdicts) - len(found)} of {len(made.verdicts)} "
        f"as expected, {made.seconds:.0f} s",
        flush=True,
    )
    return bool(found or made.outside or made.exit_status)


if __name__ == "__main__":
    sys.exit(main())
