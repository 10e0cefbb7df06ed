"""Runs of pytest in a process of their own, whose options say how all modules are imported."""

import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from benchmarks import content
from tutor import ROOT

PACKAGES = ("torch", "numpy", "pytest", "nbval", "jaxtyping", "beartype")


def passes(name: str, files: Iterable[Path], *arguments: str) -> None:
    """Run pytest, and fail with what it says if it fails.

    What has passed on this machine is not run again until one of the ``files`` changes.
    """
    digest = content.digest(files, [content.PYTHON, *arguments], PACKAGES)
    if content.noted(name) == digest:
        return
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    content.note(name, digest)
