"""The hidden cases' seeds: drawn from a secret, the exercise and the submission."""

import hmac
import os
import secrets
import time
from pathlib import Path

from tutor import ROOT
from tutor.grading import CannotGrade


def secret(root: Path = ROOT) -> bytes:
    """What the hidden cases are drawn from: ``TUTOR_GRADING_SECRET``, or a file made once."""
    if given := os.environ.get("TUTOR_GRADING_SECRET"):
        return given.encode()
    path = root / ".grading-secret"
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return _written_secret(path)
    with open(fd, "w", encoding="ascii") as file:
        file.write(secrets.token_hex(32) + "\n")
    return path.read_bytes().strip()


def _written_secret(path: Path) -> bytes:
    for _ in range(50):  # another process may be about to write it
        if text := path.read_bytes().strip():
            return text
        time.sleep(0.02)
    raise CannotGrade(f"{path} is empty: delete it, and the next grading makes a new one")


def hidden_seed(key: bytes, exercise: str, digest: str) -> int:
    """Depends on the submission, too: what leaked from one would be of no use to another."""
    return int.from_bytes(hmac.digest(key, f"{exercise} {digest}".encode(), "sha256")[:7])
