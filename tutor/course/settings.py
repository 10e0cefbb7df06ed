"""nbgrader as this course sets it up: its settings, and a gradebook that can be opened."""

import copy
import os
import sys
from functools import cache
from pathlib import Path

from nbgrader.api import Gradebook
from traitlets.config import Config
from traitlets.config.loader import PyFileConfigLoader

from tutor import ROOT


def read_config(root: Path = ROOT) -> Config:
    """``nbgrader_config.py``, as nbgrader's own commands read it."""
    return PyFileConfigLoader("nbgrader_config.py", path=str(root)).load_config()


def settings() -> Config:
    """A copy of this course's."""
    return copy.deepcopy(_settings())


@cache
def _settings() -> Config:
    return read_config()


def open_gradebook(url: str) -> Gradebook:
    # For a new one nbgrader calls a bare `alembic`, which stands beside this Python.
    beside = str(Path(sys.executable).parent)
    if beside not in os.environ.get("PATH", "").split(os.pathsep):
        os.environ["PATH"] = os.pathsep.join([beside, os.environ.get("PATH", os.defpath)])
    # The default course, as nbgrader's own preprocessors have it.
    return Gradebook(url)
