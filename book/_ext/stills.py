"""A still picture of a Plotly figure, drawn by matplotlib from the figure's own specification.

It stands in the page where the figure will be: on paper, without JavaScript, and until the library
has come. It knows what the course's figures are made of (curves, bars, heatmaps on plain axes); for
anything else it raises, so that no figure is published without its picture.
"""

import base64
import hashlib
import io
import json
import re
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np

from tutor.materials import figures

DASHES = {"solid": "-", "dot": ":", "dash": "--", "dashdot": "-.", "longdash": (0, (8, 3))}
MARKS = {"square": "s", "diamond": "D", "cross": "P", "x": "X", "triangle-up": "^"}


def kept(spec: dict[str, Any], height: float, folder: Path) -> str:
    """``still``, drawn once: most pages are written again when another one has changed."""
    sources = (Path(__file__).read_bytes(), Path(figures.__file__).read_bytes())
    made_from = json.dumps([spec, height, mpl.__version__]).encode()
    path = folder / f"{hashlib.sha256(b''.join([made_from, *sources])).hexdigest()}.svg"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        path.write_text(still(spec, height), "utf-8")
    return path.read_text("utf-8")


def still(spec: dict[str, Any], height: float) -> str:
    """The figure as it first shows itself, as SVG; ``height`` in pixels of the page."""
    figures.use_style()
    layout = spec["layout"]
    pairs = sorted(
        {(t.get("xaxis", "x"), t.get("yaxis", "y")) for t in spec["data"]},
        key=lambda pair: -_domain(layout, pair[1])[0],
    )
    figure, grid = plt.subplots(len(pairs), 1, figsize=(6.4, height / 96 * 0.9), squeeze=False)
    for axes, pair in zip(grid[:, 0], pairs, strict=True):
        _panel(axes, pair, spec["data"], layout)
    handles, labels = grid[0, 0].get_legend_handles_labels()
    if len(labels) > 1 and layout.get("showlegend", True):
        figure.legend(handles, labels, loc="outside upper left", ncols=3)
    if title := layout.get("title", {}).get("text"):
        figure.suptitle(_plain(title), x=0.02, ha="left", fontsize="medium")
    picture = io.StringIO()
    figure.savefig(picture, format="svg", metadata={"Date": None, "Creator": None})
    plt.close(figure)
    return picture.getvalue()


def _panel(axes: plt.Axes, pair: tuple[str, str], traces: list[dict], layout: dict) -> None:
    shown = [
        t
        for t in traces
        if (t.get("xaxis", "x"), t.get("yaxis", "y")) == pair and t.get("visible", True) is True
    ]
    bars = [t for t in shown if t["type"] == "bar"]
    for number, trace in enumerate(shown):
        if trace["type"] == "scatter":
            _curve(axes, trace, figures.MODELS[number % len(figures.MODELS)])
        elif trace["type"] == "bar":
            width = 0.8 / len(bars)
            at = values(trace["x"]) + (bars.index(trace) - (len(bars) - 1) / 2) * width
            colour = trace.get("marker", {}).get("color")
            axes.bar(at, values(trace["y"]), width, color=colour, label=trace.get("name"))
        elif trace["type"] == "heatmap":
            _map(axes, trace)
        else:
            raise ValueError(f"no still picture of a trace of the type {trace['type']}")
    for name, which in zip(pair, "xy", strict=True):
        _axis(axes, which, layout.get(f"{which}axis{name[1:]}", {}))
    top = _domain(layout, pair[1])[1]
    for note in layout.get("annotations", []):
        if note.get("yref") == "paper" and abs(note["y"] - top) < 1e-6:
            axes.set_title(_plain(note["text"]))


def _curve(axes: plt.Axes, trace: dict, colour: str) -> None:
    y = values(trace["y"])
    x = values(trace["x"]) if "x" in trace else np.arange(len(y))
    line, marker = trace.get("line", {}), trace.get("marker", {})
    mode = trace.get("mode", "lines")
    colour = line.get("color") or marker.get("color") or colour
    name = trace.get("name")
    if "lines" in mode:
        style = DASHES[line.get("dash", "solid")]
        axes.plot(x, y, linestyle=style, color=colour, lw=line.get("width", 2), label=name)
        name = None  # once in the legend
    if "markers" in mode:
        size = np.asarray(marker.get("size", 6), dtype=float) * 0.75  # pixels to points
        shape = MARKS.get(marker.get("symbol", "circle"), "o")
        axes.scatter(x, y, s=size**2, c=colour, marker=shape, label=name, zorder=3)


def _map(axes: plt.Axes, trace: dict) -> None:
    numbers = values(trace["z"])
    axes.pcolormesh(
        np.arange(numbers.shape[1] + 1) - 0.5,
        np.arange(numbers.shape[0] + 1) - 0.5,
        numbers,
        cmap=figures.WEIGHTS,
        vmin=trace.get("zmin"),
        vmax=trace.get("zmax"),
    )
    axes.grid(False)
    axes.set_xlim(-0.5, numbers.shape[1] - 0.5)
    axes.set_ylim(-0.5, numbers.shape[0] - 0.5)
    for which in "xy":
        if which in trace:
            names = [_plain(str(name)) for name in trace[which]]
            axes.set(**{f"{which}ticks": range(len(names)), f"{which}ticklabels": names})


def _axis(axes: plt.Axes, which: str, axis: dict) -> None:
    if axis.get("type") == "log":
        axes.set(**{f"{which}scale": "log"})
    limits = getattr(axes, f"set_{which}lim")
    if "range" in axis:
        limits([10**end if axis.get("type") == "log" else end for end in axis["range"]])
    elif axis.get("autorange") == "reversed":
        limits(getattr(axes, f"get_{which}lim")()[::-1])
    if "tickvals" in axis:
        ticks = values(axis["tickvals"])
        names = axis.get("ticktext", [f"{tick:g}" for tick in ticks])
        axes.set(**{f"{which}ticks": ticks, f"{which}ticklabels": [_plain(n) for n in names]})
        getattr(axes, f"{which}axis").minorticks_off()
    elif which == "y" and axis.get("tickformat", "").endswith("%"):
        axes.yaxis.set_major_formatter(mpl.ticker.PercentFormatter(1.0, decimals=0))
    if which == "x" and max((len(t.get_text()) for t in axes.get_xticklabels()), default=0) > 4:
        axes.tick_params(axis="x", rotation=45)
    if "scaleanchor" in axis:
        axes.set_aspect("equal")
    axes.set(**{f"{which}label": _plain(axis.get("title", {}).get("text", ""))})
    if axis.get("showgrid") is False:
        axes.grid(False, axis=which)


def _domain(layout: dict, name: str) -> list[float]:
    return layout.get(f"yaxis{name[1:]}", {}).get("domain", [0, 1])


def values(given: Any) -> np.ndarray:
    """Numbers of a specification: a list, or Plotly's base64 of an array."""
    if isinstance(given, dict):
        array = np.frombuffer(base64.b64decode(given["bdata"]), dtype=np.dtype(given["dtype"]))
        shape = given.get("shape")
        return array.reshape([int(n) for n in shape.split(",")]) if shape else array
    return np.asarray(given, dtype=float)


def _plain(text: str) -> str:
    return re.sub(r"<[^>]+>", "", text.replace("<br>", "\n"))
