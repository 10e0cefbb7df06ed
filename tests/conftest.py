import os
import sys
from pathlib import Path

# nbgrader calls a bare `alembic`, which stands beside this Python.
os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
# Two processes with two threads each would take the cores from one another. Set before torch is
# imported, and for whatever the tests start.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import subprocess

import pytest
import torch
from filelock import FileLock

from tutor import ROOT

pytest_plugins = ["tests.proofs"]

WORDS = [folder.name.partition("_")[2] for folder in sorted(ROOT.glob("solutions/*/"))]


# Which tests there are, in which order, and in which process


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--chapter", metavar="WORD", help="only the tests of one chapter")


def pytest_configure(config: pytest.Config) -> None:
    word = config.getoption("chapter")
    if word not in (None, *WORDS):
        raise pytest.UsageError(f"no chapter {word}; there are: {', '.join(WORDS)}")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    word = config.getoption("chapter")
    if word is not None:
        chosen = {item: chapter_of(item) == word for item in items}
        config.hook.pytest_deselected(items=[item for item in items if not chosen[item]])
        items[:] = [item for item in items if chosen[item]]
    # What takes minutes is begun first: so no process is left with it when the others are done.
    items.sort(key=lambda item: item.get_closest_marker("long") is None)


def chapter_of(item: pytest.Item) -> str | None:
    """The word of the chapter that a test is about: by its file, or by what it is given."""
    from tutor.checks import EXERCISES  # not above: the run of tests/test_shapes.py does without

    given = getattr(item, "callspec", None)
    for value in (item.path, *(given.params.values() if given else ())):
        if isinstance(value, Path):
            value = value.stem.removeprefix("test_")
        if isinstance(value, str):
            chapter = EXERCISES[value].chapter if value in EXERCISES else value
            word = chapter.partition("_")[2] or chapter
            if word in WORDS:
                return word
    return None


# What tests share


@pytest.fixture(
    params=[
        "cpu",
        pytest.param(
            "cuda",
            marks=[
                pytest.mark.gpu,
                pytest.mark.skipif(
                    not torch.cuda.is_available(),
                    reason="needs a CUDA device, and CI has none: `make test` runs it where one is",
                ),
            ],
        ),
    ]
)
def device(request) -> str:
    return request.param


@pytest.fixture
def draw():
    """Numbers of a seeded generator: ``draw(*shape, dtype=...)``."""
    generator = torch.Generator().manual_seed(3)
    return lambda *shape, dtype=torch.float64: torch.randn(
        shape, generator=generator, dtype=torch.float64
    ).to(dtype)


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """``made(target)``: have make bring it up to date, once for all processes of the run."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent

    def make(target: str) -> Path:
        done = folder / f"made-{target.replace('/', '-')}"
        with FileLock(f"{done}.lock"):
            if not done.exists():
                made = subprocess.run(["make", target], cwd=ROOT, capture_output=True, text=True)
                said = (made.stdout + made.stderr)[-6000:]
                assert made.returncode == 0, f"make {target}:\n{said}"
                done.touch()
        return ROOT / target

    return make


@pytest.fixture(scope="session")
def sample_class(made) -> Path:
    """Folder of the graded sample class; make grades it unless it is up to date."""
    return made("_build/class/report.html").parent


@pytest.fixture(scope="session")
def book(made) -> Path:
    """Folder of the built book; make builds it unless it is up to date."""
    if folder := os.environ.get("BOOK_HTML"):
        return Path(folder)
    return made("_build/html/.built").parent
