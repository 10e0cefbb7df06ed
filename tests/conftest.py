import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def sample_class() -> Path:
    """Folder of the graded sample class; make grades it unless it is up to date."""
    target = "_build/class/report.html"
    made = subprocess.run(["make", target], cwd=ROOT, capture_output=True, text=True)
    assert made.returncode == 0, f"make {target}:\n{(made.stdout + made.stderr)[-6000:]}"
    return (ROOT / target).parent
