"""The page that JupyterLab opens with: every exercise, with a link and the points so far."""

import json
from collections.abc import Iterable
from pathlib import Path

from jupyterlab_server.workspaces_handler import WorkspacesManager

from tutor import ROOT
from tutor.course.release import read
from tutor.course.standing import Standing, of_folder

__all__ = ["NAME", "options", "write"]

NAME = "START.md"
SQUARES = 10
WORKSPACE = "exercises"
WIDGET = f"markdownviewer-widget:{NAME}"


def write(root: Path = ROOT) -> Path:
    """``work/START.md``, made anew: it is the course's own, and the notebooks beside it are not."""
    work = root / "work"
    chapters = of_folder(work, root)
    everything = [s for found in chapters.values() for s in (found or {}).values()]
    lines = ["# Your exercises", "", f"{bar(everything)} **{points(everything)} points**", ""]
    lines += [
        "As your checks said them when the notebooks were last saved. Click on a chapter's name, "
        "and it opens. This page is made when JupyterLab starts; `tutor status` lists the same.",
    ]
    for path, found in chapters.items():
        name = path.relative_to(work).as_posix()
        if found is None:
            lines += ["", f"## {name}", "", "This notebook cannot be read."]
            continue
        lines += ["", f"## [{_title(path)}]({name})", ""]
        lines += [f"{bar(found.values())} {points(found.values())} points", ""]
        lines += ["| exercise | points | |", "|---|--:|---|"]
        for exercise, standing in found.items():
            lines.append(f"| `{exercise}` | {points([standing])} | {_state(standing)} |")
    path = work / NAME
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path


def options(root: Path = ROOT) -> list[str]:
    """With which JupyterLab opens ``work/`` and in it the page, as a page and not as its source."""
    folder = root / "work" / ".jupyterlab"
    shown = {"type": "tab-area", "currentIndex": 0, "widgets": [WIDGET]}
    layout = {"main": {"dock": shown, "current": WIDGET}}
    viewer = {"data": {"path": NAME, "factory": "Markdown Preview"}}
    data = {"layout-restorer:data": layout, WIDGET: viewer}
    workspace = {"data": data, "metadata": {"id": WORKSPACE}}
    WorkspacesManager(str(folder)).save(WORKSPACE, json.dumps(workspace))
    return [
        str(root / "work"),
        f"--LabApp.workspaces_dir={folder}",
        f"--LabApp.default_url=/lab/workspaces/{WORKSPACE}",
    ]


def points(standings: Iterable[Standing]) -> str:
    standings = list(standings)
    return f"{sum(s.points or 0 for s in standings):g} of {sum(s.possible for s in standings):g}"


def bar(standings: Iterable[Standing]) -> str:
    standings = list(standings)
    possible = sum(s.possible for s in standings)
    full = int(SQUARES * sum(s.points or 0 for s in standings) / possible) if possible else 0
    return "■" * full + "□" * (SQUARES - full)


def _state(standing: Standing) -> str:
    return "✓" if standing.points == standing.possible and not standing.state else standing.state


def _title(path: Path) -> str:
    first = next((c.source for c in read(path).cells if c.source.startswith("# ")), path.stem)
    return first.splitlines()[0].removeprefix("# ").partition(": exercises")[0]
