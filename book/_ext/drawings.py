"""SVG pictures become part of the page itself, where the theme's colours and face reach them."""

import html
import re
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util import logging

STYLESHEET = Path(__file__).parents[1] / "_static" / "course.css"

SIDES = ("width", "height")

logger = logging.getLogger(__name__)


def in_page(svg: str, prefix: str, label: str = "") -> str:
    """The picture with the page's palette; ``prefix`` keeps its ids apart from other pictures'.

    label: what there is to see; without one the picture is for the eyes only.
    """
    palette = set(re.findall(r"--c-([0-9a-f]{6}):", STYLESHEET.read_text("utf-8")))
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'(\bid="|href="#|url\(#)', lambda m: m[1] + prefix, svg)
    svg = re.sub(
        r"#([0-9a-f]{6})\b",
        lambda m: f"var(--c-{m[1]}, #{m[1]})" if m[1] in palette else m[0],
        svg,
    )
    # A hundredth of a point is finer than a screen.
    svg = re.sub(
        r'\b(d|x|y)="[^"]*"', lambda m: re.sub(r"(\.\d\d)\d+", r"\1", m[0]), svg, flags=re.DOTALL
    )
    head, rest = svg.split(">", 1)
    text = html.escape(" ".join(label.split()), quote=True)
    name = f'class="drawing" role="img" aria-label="{text}"' if text else 'aria-hidden="true"'
    return f"{head} {name}>{rest}"


def boxed(svg: str) -> str:
    """In a box of its size, so that a browser need not look at it before it comes near."""
    width, height = (re.search(rf'\b{side}="([\d.]+)(?:pt)?"', svg)[1] for side in SIDES)
    unit = "pt" if f'width="{width}pt"' in svg else "px"
    style = f"aspect-ratio: {width} / {height}; width: {width}{unit}"
    return f'<div class="drawing-box" style="{style}">{svg}</div>'


def inline(app: Sphinx, doctree: nodes.document, page: str) -> None:
    if app.builder.format != "html":
        return
    for number, image in enumerate(list(doctree.findall(nodes.image))):
        path = Path(app.srcdir) / image["uri"]
        if path.suffix != ".svg" or not path.is_file():
            continue
        alt = image.get("alt") or ""
        if not alt and isinstance(image.parent, nodes.figure):
            alt = next((c.astext() for c in image.parent.findall(nodes.caption)), "")
        if not alt:
            logger.warning("drawing %d of the page needs an alt text", number + 1, location=page)
        drawing = boxed(in_page(path.read_text("utf-8"), f"d{number}-", alt))
        image.replace_self(nodes.raw("", drawing, format="html"))


def setup(app: Sphinx) -> dict:
    app.connect("doctree-resolved", inline)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
