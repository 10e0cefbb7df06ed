"""The Attention Workshop: reference code, one module a chapter; see the book for the rest."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
"""The course's folder."""
