"""One stylesheet for the book, `_static/book.css`, without the rules that no page of it can use.

The theme and the extensions bring eight, with all of Bootstrap and the names of 2,500 icons: 500 kB
that a phone would have to read before it shows a word. A rule stays if each class in its selector
occurs as a word anywhere in the pages or the scripts, so what a script adds is found, too.
"""

import re
from collections.abc import Iterator
from pathlib import Path

WORD = re.compile(r"[\w-]+")
CLASS = re.compile(r"\.((?:[\w-]|\\.)+)")
PARTS = (
    "basic.css",
    "styles/pydata-sphinx-theme.css",
    "pygments.css",
    "styles/sphinx-book-theme.css",
    "copybutton.css",
    "mystnb.*.css",
    "course.css",
)
"""In the order in which a later rule wins. `styles/theme.css` only calls basic.css."""
NESTED = ("@media", "@supports", "@layer", "@container")


def words(folder: Path) -> set[str]:
    """All that may be the name of a class, in the pages and the scripts that they load."""
    found: set[str] = set()
    for path in (*folder.rglob("*.html"), *folder.glob("_static/**/*.js")):
        if not {"mathjax", "locales"} & set(path.parts) and "plotly" not in path.name:
            found.update(WORD.findall(path.read_text("utf-8")))
    return found


def rules(css: str) -> Iterator[tuple[str, str]]:
    """Selector or at-rule, and what stands in its braces; '' for one that ends at a semicolon."""
    css = re.sub(r"/\*.*?\*/", "", css, flags=re.DOTALL)
    at = 0
    while found := re.compile(r"[^{};]*[{;]").match(css, at):
        head = found[0][:-1].strip()
        if found[0].endswith(";"):
            yield head, ""
            at = found.end()
            continue
        end, depth = found.end(), 1
        for brace in re.compile(r"[{}]").finditer(css, found.end()):
            depth += 1 if brace[0] == "{" else -1
            if depth == 0:
                end = brace.end()
                break
        yield head, css[found.end() : end - 1]
        at = end


def lean(css: str, used: set[str]) -> str:
    out = []
    for head, body in rules(css):
        if not body and head.startswith("@"):
            out.append(f"{head};")
        elif head.startswith(NESTED):
            if inner := lean(body, used):
                out.append(f"{head}{{{inner}}}")
        elif head == "@font-face" and "vendor/fontawesome" in body:
            continue  # course.css has those icons that there are
        elif head.startswith("@"):
            out.append(f"{head}{{{body}}}")
        else:
            kept = [s for s in _selectors(head) if _possible(s, used)]
            if kept:
                out.append(f"{','.join(kept)}{{{body}}}")
    return "".join(out)


def _selectors(head: str) -> list[str]:
    """The selectors of a list, which is parted by the commas outside of parentheses."""
    parts, depth = [""], 0
    for sign in head:
        depth += {"(": 1, ")": -1}.get(sign, 0)
        if sign == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += sign
    return [part.strip() for part in parts]


def _possible(selector: str, used: set[str]) -> bool:
    # What stands in :is(), :where() and :not() is one choice of several.
    plain = re.sub(r":(?:is|where|not|has)\((?:[^()]|\([^()]*\))*\)", "", selector)
    return all(re.sub(r"\\(.)", r"\1", name) in used for name in CLASS.findall(plain))


def is_part(name: str) -> bool:
    return any(Path(name).match(pattern) for pattern in PARTS)


def bundle(out: Path) -> None:
    used = words(out)
    parts = [path for pattern in PARTS for path in sorted((out / "_static").glob(pattern))]
    css = "\n".join(lean(path.read_text("utf-8"), used) for path in parts)
    # Without a script no theme is chosen: then the page is light.
    css = re.sub(r"html\[data-theme=\"?light\"?\]", "html:not([data-theme=dark])", css)
    (out / "_static" / "book.css").write_text(css, "utf-8")
