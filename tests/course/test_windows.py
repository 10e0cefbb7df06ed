"""What students run asks for nothing that only POSIX has: so it runs on Windows without WSL."""

import os
import shutil
import subprocess
import sys
import textwrap

import pytest

from tutor import ROOT

pytestmark = pytest.mark.long

ELSEWHERE = """
import builtins, importlib, os, pkgutil, sys, warnings

POSIX = {"fcntl", "resource", "pwd", "grp", "termios"}
imports = builtins.__import__

def without_posix(name, globals=None, *rest, **named):
    asks = (globals or {}).get("__name__", "")
    if name in POSIX and asks.split(".")[0] == "tutor":
        raise ModuleNotFoundError(f"No module named {name!r}, for which {asks} asks")
    return imports(name, globals, *rest, **named)

builtins.__import__ = without_posix
import multiprocessing, torch  # before os is changed, as they look at it
for name in ("fork", "symlink", "link"):
    delattr(os, name)
multiprocessing.get_all_start_methods = lambda: ["spawn"]
warnings.filterwarnings("error", category=EncodingWarning, module=r"tutor(\\.|$)")
"""
"""A process's beginning, after which our code meets neither POSIX nor a default encoding."""

RUN = """
import tutor, tutor.checks, tutor.materials
for package in (tutor.checks, tutor.materials):
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        importlib.import_module(module.name)

from tutor.checks import EXERCISES, judge
exercise = EXERCISES["causal_mask"]
assert judge(exercise, exercise.reference).points == sum(exercise.points.values())

from tutor.course import lab
from tutor.grading import cli
assert lab.main([]) == 0
assert lab.main(["--update"]) == 0
assert cli.main(["status"]) == 0
import tutor.grading.submission
"""


@pytest.fixture
def course(tmp_path):
    for name in ("tutor", "exercises"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, tmp_path / name, ignore=ignored)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def run(course, script: str) -> subprocess.CompletedProcess:
    # An encoding without the signs that reports are written in, as a Windows console may have.
    env = {**os.environ, "PYTHONPATH": str(course), "PYTHONIOENCODING": "cp1252"}
    command = [sys.executable, "-X", "warn_default_encoding", "-c", textwrap.dedent(script)]
    return subprocess.run(command, cwd=course, env=env, capture_output=True)


def test_checks_lab_and_status_run_without_posix(course):
    done = run(course, ELSEWHERE + RUN)
    assert done.returncode == 0, done.stderr.decode("cp1252")
    said = done.stdout.decode("cp1252")
    assert (
        "causal_mask" in said
        and "untouched" in said
        and "recurrence.ipynb is new" in said.replace("\\", "/")
    )
    assert "together" in said
    assert (course / "work" / "START.md").read_text("utf-8").startswith("# Your exercises")


def test_what_asks_for_posix_is_found(course):
    done = run(course, ELSEWHERE + "import tutor.grading.scratch")
    assert done.returncode != 0 and b"for which tutor.grading.scratch asks" in done.stderr
