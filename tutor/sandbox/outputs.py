"""What a cell put out, rebuilt from what may be in it: text and pictures, up to a size."""

import json
from typing import Any

_MOST_OUTPUTS = 1000
"""Of one cell."""


def clean(text: str) -> str:
    """Without halves of characters and zero bytes, which no file and no database takes."""
    return text.replace("\0", "").encode("utf-8", "replace").decode()


def inert(text: str) -> str:
    """A piece of what a student wrote, for a terminal and for pages."""
    return clean("".join(c if c.isprintable() and c not in "<>&" else " " for c in text[:200]))


def rebuilt(found: Any, size: int) -> list[dict[str, Any]]:
    """A cell's outputs, rebuilt from what may be in them, as long as they are short enough."""
    outputs, left = [], size + 20_000  # an error's traceback, and the note that something was cut
    for output in found[:_MOST_OUTPUTS] if isinstance(found, list) else []:
        made = _output_of(output) if isinstance(output, dict) else None
        if made is not None and (left := left - size_of([made])) >= 0:
            outputs.append(made)
    return outputs


def _output_of(output: dict[str, Any]) -> dict[str, Any] | None:
    def text(name: str) -> str:
        value = output.get(name)
        return clean(value) if isinstance(value, str) else ""

    kind = output.get("output_type")
    if kind == "stream":
        name = "stderr" if output.get("name") == "stderr" else "stdout"
        return {"output_type": "stream", "name": name, "text": text("text")}
    if kind == "error":
        lines = output.get("traceback")
        lines = [clean(x) for x in lines if isinstance(x, str)] if isinstance(lines, list) else []
        return error_output(text("ename")[:200], text("evalue")[:2000], lines)
    data = output.get("data")
    if kind in ("display_data", "execute_result") and isinstance(data, dict):
        kinds = ("text/plain", "image/png", "image/jpeg")
        kept = {k: clean(data[k]) for k in kinds if isinstance(data.get(k), str)}
        made = {"output_type": kind, "data": kept, "metadata": {}}
        return made | ({"execution_count": None} if kind == "execute_result" else {})
    return None


def error_output(name: str, message: str, lines: list[str] | None = None) -> dict[str, Any]:
    lines = lines or [f"{name}: {message}"]
    return {"output_type": "error", "ename": name, "evalue": message, "traceback": lines}


def size_of(outputs: list[dict[str, Any]]) -> int:
    return sum(len(json.dumps(o)) for o in outputs)
