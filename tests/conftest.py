import subprocess
from pathlib import Path

import pytest
import torch

from tutor import ROOT


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
def sample_class() -> Path:
    """Folder of the graded sample class; make grades it unless it is up to date."""
    target = "_build/class/report.html"
    made = subprocess.run(["make", target], cwd=ROOT, capture_output=True, text=True)
    assert made.returncode == 0, f"make {target}:\n{(made.stdout + made.stderr)[-6000:]}"
    return (ROOT / target).parent
