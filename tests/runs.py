"""Runs of pytest in a process of their own, whose options say how all modules are imported."""

import subprocess
import sys
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from benchmarks import content
from tutor import ROOT

PACKAGES = ("torch", "numpy", "pytest", "nbval", "jaxtyping", "beartype")


def fails(targets: Mapping[str, Collection[Path]], *options: str) -> str:
    """What pytest says of the targets, in one process; nothing if all is well.

    targets: files to run, from the root, each with all that its run depends on. One that passed on
    this machine is not run again until something of that changes.
    """
    digests = {
        target: content.digest(files, [content.PYTHON, *options], PACKAGES)
        for target, files in targets.items()
    }
    names = {target: "-".join(["run", *Path(target).parts, *options[:1]]) for target in targets}
    todo = [target for target in targets if content.noted(names[target]) != digests[target]]
    if not todo:
        return ""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options, *todo]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        return done.stdout + done.stderr
    for target in todo:
        content.note(names[target], digests[target])
    return ""


def chosen(items: Iterable, test: str, parameter: str) -> list:
    """What the chosen ones of a parametrized test are given."""
    return [i.callspec.params[parameter] for i in items if getattr(i, "originalname", "") == test]
