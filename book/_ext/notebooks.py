"""Chapters as notebooks that run elsewhere, and what the built page needs beside them.

Into the output folder, which the publishing workflow pushes to the branch gh-pages, go

    notebooks/<page>.ipynb     each chapter with code and each student's exercise, for Binder
    colab/<page>.ipynb         the same with a first cell that installs `tutor`, for Colab
    _sources/<page>.ipynb      the page's download button
    requirements.txt, runtime.txt   what Binder installs

The text cells are the chapter's own, with what only MyST knows put into plain Markdown. The pages'
Colab and Binder buttons lead there.
"""

import hashlib
import json
import re
from pathlib import Path, PurePosixPath
from posixpath import normpath
from urllib.parse import urlsplit

import nbformat
from interactive import questions_of
from sphinx.application import Sphinx
from sphinx.directives.code import LiteralIncludeReader
from sphinx.util.osutil import copyfile

from tutor.materials.figures import KEY, QUERY, VALUE, verdict

BRANCH = "gh-pages"
KINDS = {"trap": "Trap", "measure": "Measured", "decision": "Decision", "aside": "Aside"}
ADMONITIONS = {"admonition", "attention", "caution", "danger", "error", "hint", "important"}
ADMONITIONS |= {"margin", "note", "seealso", "sidebar", "tip", "topic", "warning"}
DROPPED = {"bibliography", "contents", "footbibliography", "glue", "tableofcontents", "toctree"}
COLOURS = {"tok-q": QUERY, "tok-k": KEY, "tok-v": VALUE}
HIDDEN = {"hide-cell", "hide-input", "remove-cell", "remove-input"}


def repository(app: Sphinx) -> str:
    return app.config.html_theme_options["repository_url"].rstrip("/")


def colab_url(app: Sphinx, page: str) -> str:
    path = urlsplit(repository(app)).path
    return f"https://colab.research.google.com/github{path}/blob/{BRANCH}/colab/{page}.ipynb"


def binder_url(app: Sphinx, page: str) -> str:
    path = urlsplit(repository(app)).path
    return f"https://mybinder.org/v2/gh{path}/{BRANCH}?urlpath=lab/tree/notebooks/{page}.ipynb"


# Text cells -------------------------------------------------------------------------------------


class PlainMarkdown:
    """One page's MyST as Markdown that JupyterLab and Colab show well."""

    def __init__(self, app: Sphinx, page: str):
        self.app, self.env, self.page = app, app.env, page
        self.site = app.config.html_baseurl.rstrip("/") + "/"
        self.labels = app.env.get_domain("std").labels
        self.anonymous = app.env.get_domain("std").anonlabels
        tex = app.config.mathjax3_config["tex"]["macros"]
        self.macros = {
            name: (COLOURS[m[1]], m[2])
            for name, body in tex.items()
            if (m := re.fullmatch(r"\\class\{(tok-\w)\}\{(.+)\}", _body(body)))
        }

    def convert(self, text: str) -> str:
        return re.sub(r"\n{3,}", "\n\n", "\n".join(self.blocks(text.splitlines()))).strip()

    # Blocks

    def blocks(self, lines: list[str]) -> list[str]:
        out: list[str] = []
        prose: list[str] = []

        def flush() -> None:
            if prose:
                out.extend(self.inline("\n".join(prose)).splitlines())
                prose.clear()

        i = 0
        while i < len(lines):
            fence = re.match(r"^(\s*)(`{3,}|~{3,}|:{3,})\s*(.*?)\s*$", lines[i])
            if fence and not (fence[2][0] == "`" and "`" in fence[3]):
                end = i + 1
                closing = re.compile(rf"^\s*{re.escape(fence[2][0])}{{{len(fence[2])},}}\s*$")
                while end < len(lines) and not closing.match(lines[end]):
                    end += 1
                indent = len(fence[1])
                body = [
                    line[indent:] if not line[:indent].strip() else line
                    for line in lines[i + 1 : end]
                ]
                flush()
                directive = re.match(r"^\{([\w:-]+)\}\s*(.*)$", fence[3])
                if directive:
                    block = self.directive(directive[1], directive[2], body)
                elif fence[2][0] == ":":  # a plain ::: div
                    block = self.blocks(body)
                else:
                    block = [fence[2] + fence[3], *body, fence[2]]
                out.extend(fence[1] + line if line else "" for line in ["", *block, ""])
                i = end + 1
                continue
            line = lines[i]
            i += 1
            if re.match(r"^\s*%(\s|$)", line) or re.match(r"^\s*\([^()\s]+\)=\s*$", line):
                continue  # a comment; a target
            if re.match(r"^\s*\{[.#][^{}]*\}\s*$", line) or re.match(r"^\+\+\+", line):
                continue  # attributes of the block below; a cell break
            prose.append(re.sub(r"^(\s*\$\$)\s*\([^()\s]+\)\s*$", r"\1", line))
        flush()
        return out

    def directive(self, name: str, argument: str, body: list[str]) -> list[str]:
        options, body = _options(body)
        classes = f"{options.get('class', '')} {name}".split()
        if name in DROPPED or name.startswith("glue:"):
            return []
        if name == "math":
            return ["$$", *self.math("\n".join([argument, *body]).strip()).splitlines(), "$$"]
        if name in {"code", "code-block", "sourcecode", "code-cell"}:
            return [f"```{argument}", *body, "```"]
        if name == "literalinclude":
            return self.literalinclude(argument, options)
        if name in {"figure", "image"}:
            alt = options.get("alt", "")
            return [f"![{alt}]({self.image(argument)})", "", *self.blocks(body)]
        if name == "quiz":
            return self.quiz(argument)
        if name == "include":
            path = Path(self.env.relfn2path(argument, self.page)[1])
            return self.blocks(path.read_text("utf-8").splitlines())
        if name == "list-table":
            return self.list_table(argument, body)
        content = _trim(self.blocks(body))
        title = self.inline(argument)
        if name == "dropdown" or "dropdown" in classes or "toggle" in classes:
            summary = self.kind(classes, title) or "More"
            return [
                "<details>",
                f"<summary><b>{summary}</b></summary>",
                "",
                *content,
                "",
                "</details>",
            ]
        if name in ADMONITIONS:
            heading = self.kind(classes, title)
            if not heading and name not in {"admonition", "margin", "sidebar", "topic"}:
                heading = name.capitalize()
            head = [f"> **{heading}**", ">"] if heading else []
            return head + [f"> {line}".rstrip() for line in content]
        head = [f"**{title}**", ""] if title else []
        return head + content

    def kind(self, classes: list[str], title: str) -> str:
        kind = next((KINDS[c] for c in classes if c in KINDS), "")
        return f"{kind}: {title}" if kind and title else kind or title

    def literalinclude(self, argument: str, options: dict[str, str]) -> list[str]:
        path = Path(self.env.relfn2path(argument, self.page)[1])
        given = {key: value for key, value in options.items() if key != "name"}
        text, _ = LiteralIncludeReader(str(path), given, self.app.config).read()
        language = options.get("language", path.suffix.lstrip(".").replace("py", "python"))
        return [f"```{language}", *text.rstrip("\n").splitlines(), "```"]

    def quiz(self, name: str) -> list[str]:
        """A notebook's text cannot judge: what there is to say to an answer is folded below it."""
        out = []
        for question in questions_of(Path(self.env.relfn2path(name, self.page)[1])):
            out += [f"<p><b>{question['question']}</b></p>"]
            for answer in question["answers"]:
                said = " ".join(verdict(answer))
                out += [f"<details><summary>{answer['answer']}</summary>{said}</details>"]
            out.append("")
        return out

    def list_table(self, argument: str, body: list[str]) -> list[str]:
        rows: list[list[list[str]]] = []
        for line in body:
            if cell := re.match(r"^(\*|\s)\s+-\s?(.*)$", line):
                if cell[1] == "*":
                    rows.append([])
                rows[-1].append([cell[2]])
            elif line.strip() and rows:
                rows[-1][-1].append(line.strip())
        table = [[self.inline(" ".join(cell)).replace("|", r"\|") for cell in row] for row in rows]
        lines = ["| " + " | ".join(row) + " |" for row in table]
        if lines:
            lines.insert(1, "|" + "---|" * len(table[0]))
        return ([f"**{self.inline(argument)}**", ""] if argument else []) + lines

    # Within a line

    def inline(self, text: str) -> str:
        kept: list[str] = []

        def keep(string: str) -> str:
            kept.append(string)
            return f"\x00{len(kept) - 1}\x00"

        def role_or_code(match: re.Match) -> str:
            if match["role"]:
                return keep(self.role(match["role"], match["content"].strip()))
            return keep(match[0])

        text = re.sub(
            r"(?:\{(?P<role>[\w:.+-]+)\})?(?P<ticks>`+)(?P<content>.+?)(?<!`)(?P=ticks)(?!`)",
            role_or_code,
            text,
            flags=re.DOTALL,
        )
        text = re.sub(
            r"\$\$.+?\$\$|(?<![\\$])\$[^$\n]+?(?<!\\)\$",
            lambda m: keep(self.math(m[0])),
            text,
            flags=re.DOTALL,
        )
        text = re.sub(r"(!?)\[([^\[\]]*)\]\(([^()\s]*)\)", self.link, text)
        text = re.sub(r"\[([^\[\]]*)\]\{([^{}]*)\}", self.attributes, text)
        text = re.sub(r"(?<=\))\{[.#:\w][^{}\n]*\}", "", text)  # attributes after a link
        while "\x00" in text:
            text = re.sub(r"\x00(\d+)\x00", lambda m: kept[int(m[1])], text)
        return text

    def attributes(self, match: re.Match) -> str:
        colour = next(
            (COLOURS[c] for c in re.findall(r"\.([\w-]+)", match[2]) if c in COLOURS), None
        )
        return f'<span style="color:{colour}">{match[1]}</span>' if colour else match[1]

    def math(self, tex: str) -> str:
        for name, (colour, body) in self.macros.items():
            start, end = rf"\textcolor{{{colour}}}", "{" if "#1" in body else f"{{{body}}}"
            brace = r"\s*\{" if "#1" in body else r"(?![A-Za-z])"
            tex = re.sub(rf"\\{name}{brace}", lambda _, new=start + end: new, tex)
        return tex

    def role(self, name: str, content: str) -> str:
        name = name.split(":")[-1] if not name.startswith(("cite", "glue")) else name
        explicit = re.fullmatch(r"(.+?)\s*<([^<>]+)>", content, re.DOTALL)
        text, target = (explicit[1], explicit[2]) if explicit else ("", content)
        if name.startswith("cite"):
            return self.citation(name, [key.strip() for key in content.split(",")])
        if name.startswith("glue"):
            return self.glued(content)
        if name == "math":
            return f"${self.math(content)}$"
        if name == "term":
            return text or target
        if name in {"ref", "numref", "doc", "eq"}:
            return self.reference(name, text, target)
        if name == "download":
            return self.linked(text or target, self.resolve(target) or "")
        if name in {"abbr", "sub-ref"}:
            return text or target
        if name in {"sub", "sup", "kbd"}:
            return f"<{name}>{content}</{name}>"
        return f"`{text or target}`"

    def citation(self, name: str, keys: list[str]) -> str:
        entries = self.env.get_domain("cite").bibdata.data.entries
        texts = []
        for key in keys:
            if key not in entries:
                texts.append(key)
                continue
            people = entries[key].persons.get("author") or entries[key].persons["editor"]
            names = [str(" ".join(person.prelast_names + person.last_names)) for person in people]
            who = f"{names[0]} et al." if len(names) > 2 else " and ".join(names)
            year = entries[key].fields.get("year", "n.d.")
            texts.append(f"{who} ({year})" if name.startswith("cite:t") else f"{who} {year}")
        return " and ".join(texts) if name.startswith("cite:t") else f"[{'; '.join(texts)}]"

    def glued(self, content: str) -> str:
        """What the page says there: the value as it was when the book was built."""
        key, _, form = content.partition(":")
        path = Path(self.app.outdir).parent / "jupyter_execute" / f"{self.page}.glue.json"
        data = json.loads(path.read_text("utf-8")).get(key, {}) if path.exists() else {}
        value = data.get("data", data).get("text/plain", f"`{key}`").strip("'\"")
        return format(float(value), form) if form else value

    def reference(self, name: str, text: str, target: str) -> str:
        if name == "doc":
            page = normpath(str(PurePosixPath(self.page).parent / target)).lstrip("/")
            title = self.env.titles[page].astext() if page in self.env.titles else target
            return self.linked(text or title, f"{self.site}{page}.html")
        if name == "eq":
            page, number = self.env.get_domain("math").equations.get(target, (self.page, "?"))
            return self.linked(f"({number})", f"{self.site}{page}.html#equation-{target}")
        page, anchor, title = self.label(target)
        if name == "numref" and page:
            numbers = self.env.toc_fignumbers.get(page, {})
            for kind, by_anchor in numbers.items():
                if anchor in by_anchor:
                    form = self.app.config.numfig_format.get(kind, "%s")
                    number = ".".join(map(str, by_anchor[anchor]))
                    title = form % number
                    text = text.replace("{number}", number).replace("%s", number)
        return self.linked(
            text or title or target, f"{self.site}{page}.html#{anchor}" if page else ""
        )

    def label(self, target: str) -> tuple[str, str, str]:
        target = target.lower()
        if target in self.labels:
            return self.labels[target]
        return (*self.anonymous.get(target, ("", "")), "")

    def link(self, match: re.Match) -> str:
        bang, text, target = match.groups()
        if bang:
            return f"![{text}]({self.image(target)})"
        url = self.resolve(target)
        if url is None:
            return match[0]
        if not text:
            text = self.label(target.lstrip("#"))[2] or target
        return self.linked(text, url)

    def resolve(self, target: str) -> str | None:
        """The web address of a target in the book or the repository; None if it is one already."""
        if re.match(r"^[a-z][a-z0-9+.-]*:", target, re.IGNORECASE):
            return None
        path, _, anchor = target.partition("#")
        if path:
            full = normpath(str(PurePosixPath(self.page).parent / path)).lstrip("/")
            page = re.sub(r"\.(md|ipynb)$", "", full)
            if page in self.env.found_docs:
                return f"{self.site}{page}.html" + (f"#{anchor}" if anchor else "")
            if (Path(self.app.srcdir) / full).exists():
                return f"{repository(self.app)}/blob/main/{full}"
        page, identifier, _ = self.label(anchor or path)
        if page:
            return f"{self.site}{page}.html#{identifier}"
        return f"{self.site}{self.page}.html#{anchor}" if anchor else None

    @staticmethod
    def linked(text: str, url: str) -> str:
        return f"[{text}]({url})" if url else text

    def image(self, target: str) -> str:
        if urlsplit(target).scheme:
            return target
        relative, path = self.env.relfn2path(target, self.page)
        name = self.env.images[relative][1] if relative in self.env.images else Path(path).name
        destination = Path(self.app.outdir) / "_images" / name
        if not destination.exists():  # put into the page itself, so not copied by Sphinx
            destination.parent.mkdir(exist_ok=True)
            copyfile(path, destination)
        return f"{self.site}_images/{name}"


def _body(macro: str | list) -> str:
    return macro if isinstance(macro, str) else macro[0]


def _options(body: list[str]) -> tuple[dict[str, str], list[str]]:
    options = {}
    i = 0
    while i < len(body) and (option := re.match(r"^:([\w-]+):\s*(.*)$", body[i])):
        options[option[1]] = option[2]
        i += 1
    return options, body[i:]


def _trim(lines: list[str]) -> list[str]:
    while lines and not lines[0]:
        lines = lines[1:]
    while lines and not lines[-1]:
        lines = lines[:-1]
    return lines


# Notebooks --------------------------------------------------------------------------------------


def install_cell(app: Sphinx) -> nbformat.NotebookNode:
    source = (
        "# Colab has no copy of the course's package, which the cells below import.\n"
        "try:\n    import tutor\nexcept ImportError:\n"
        f"    %pip install --quiet git+{repository(app)}"
    )
    return nbformat.v4.new_code_cell(source, id="install-tutor")


def chapter(app: Sphinx, page: str) -> nbformat.NotebookNode:
    """The chapter with plain Markdown, nothing executed, and ids that follow from the text."""
    source = Path(app.outdir).parent / "jupyter_execute" / f"{page}.ipynb"
    markdown = PlainMarkdown(app, page)
    seen: dict[str, int] = {}
    cells = []
    for cell in nbformat.read(source, as_version=4).cells:
        tags = cell.metadata.get("tags", [])
        if cell.cell_type == "code":
            hidden = {"jupyter": {"source_hidden": True}, "cellView": "form"}
            metadata = hidden if HIDDEN & set(tags) else {}
            new = nbformat.v4.new_code_cell(cell.source, metadata=metadata)
            caption = cell.metadata.get("mystnb", {}).get("figure", {}).get("caption", "")
        else:
            text = markdown.convert(cell.source)
            if not text:
                continue
            new, caption = nbformat.v4.new_markdown_cell(text), ""
        digest = hashlib.sha256(f"{page} {cell.cell_type} {cell.source}".encode()).hexdigest()[:12]
        seen[digest] = seen.get(digest, 0) + 1
        new.id = digest if seen[digest] == 1 else f"{digest}-{seen[digest]}"
        cells.append(new)
        if caption:
            text = markdown.convert(caption)
            cells.append(nbformat.v4.new_markdown_cell(text, id=f"{new.id}-caption"))
    return nbformat.v4.new_notebook(
        cells=cells,
        metadata={
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        },
    )


def write(notebook: nbformat.NotebookNode, path: Path) -> None:
    nbformat.validate(notebook)
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, path)


def chapters(app: Sphinx) -> list[str]:
    return sorted(p for p in app.env.found_docs if "kernelspec" in app.env.metadata.get(p, {}))


def write_notebooks(app: Sphinx, exception: Exception | None) -> None:
    if exception or app.builder.name != "html":
        return
    out = Path(app.outdir)
    notebooks = {page: chapter(app, page) for page in chapters(app)}
    for page, notebook in notebooks.items():
        write(notebook, out / "_sources" / f"{page}.ipynb")
    exercises = sorted((Path(app.srcdir) / "exercises").glob("*/*.ipynb"))
    for path in exercises:
        page = path.relative_to(app.srcdir).with_suffix("").as_posix()
        notebooks[page] = nbformat.read(path, as_version=4)
    for page, notebook in notebooks.items():
        write(notebook, out / "notebooks" / f"{page}.ipynb")
        notebook.cells.insert(0, install_cell(app))
        write(notebook, out / "colab" / f"{page}.ipynb")
    (out / "requirements.txt").write_text(f"git+{repository(app)}\n", "utf-8")
    (out / "runtime.txt").write_text("python-3.11\n", "utf-8")
    (out / ".nojekyll").touch()


# Pages ------------------------------------------------------------------------------------------


def page_context(app: Sphinx, page: str, template: str, context: dict, doctree) -> None:
    """The launch buttons lead to the exported notebooks."""
    for button in context.get("header_buttons", []):
        for launch in button.get("buttons", []):
            if launch.get("text") == "Colab":
                launch["url"] = colab_url(app, page)
            elif launch.get("text") == "Binder":
                launch["url"] = binder_url(app, page)


def setup(app: Sphinx) -> dict:
    app.connect("html-page-context", page_context, priority=900)
    app.connect("build-finished", write_notebooks)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
