"""The built book: complete, self-contained, with notebooks that run elsewhere."""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import nbformat
import pytest
import yaml

from benchmarks import claims
from tutor import ROOT
from tutor.course.release import LITERAL, differences, release

sys.path.insert(0, str(ROOT / "book" / "_ext"))
import freshness

CONFIG = yaml.safe_load((ROOT / "_config.yml").read_text())
REPOSITORY = CONFIG["repository"]["url"]
GITHUB = urlsplit(REPOSITORY).path
SITE = CONFIG["html"]["baseurl"]


class Tags(HTMLParser):
    def __init__(self, text: str):
        super().__init__()
        self.found: list[tuple[str, dict[str, str]]] = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, {name: value or "" for name, value in attributes}))

    handle_startendtag = handle_starttag


@cache
def tags(path: Path) -> list[tuple[str, dict[str, str]]]:
    return Tags(path.read_text("utf-8")).found


def pages(book: Path) -> list[Path]:
    return sorted((book / "book").rglob("*.html"))


def chapters() -> list[str]:
    """The pages with code cells, by their front matter."""
    sources = sorted((ROOT / "book").glob("*.md"))
    return [f"book/{p.stem}" for p in sources if "\nkernelspec:" in p.read_text("utf-8")[:600]]


def buttons(page: Path, host: str) -> list[str]:
    links = [a["href"] for tag, a in tags(page) if tag == "a" and "href" in a]
    return [link for link in links if urlsplit(link).hostname == host]


# The book in this repository


def test_every_page_of_the_contents_is_built(book):
    toc = (ROOT / "_toc.yml").read_text()
    names = re.findall(r"(?:root|file): (\S+)", toc)
    assert names and all((book / f"{name}.html").exists() for name in names)


def test_no_executed_cell_failed(book):
    assert not list((book / "reports").rglob("*.log"))
    for page in pages(book):
        text = page.read_text("utf-8")
        assert 'class="output traceback' not in text, page
        assert "Traceback (most recent call last)" not in text, page


def test_every_chapter_has_a_download_and_both_buttons(book):
    assert chapters()
    for chapter in chapters():
        page = book / f"{chapter}.html"
        colab = (
            f"https://colab.research.google.com/github{GITHUB}/blob/gh-pages/colab/{chapter}.ipynb"
        )
        binder = f"https://mybinder.org/v2/gh{GITHUB}/gh-pages?urlpath=lab/tree/notebooks/{chapter}.ipynb"
        assert colab in buttons(page, "colab.research.google.com")
        assert binder in buttons(page, "mybinder.org")
        downloads = [
            a["href"] for tag, a in tags(page) if tag == "a" and "ipynb" in a.get("href", "")
        ]
        assert f"../_sources/{chapter}.ipynb" in downloads
        for folder in ("_sources", "notebooks", "colab"):
            nbformat.validate(nbformat.read(book / folder / f"{chapter}.ipynb", as_version=4))


def test_every_exercise_is_exported(book):
    for path in ROOT.glob("exercises/*/*.ipynb"):
        name = path.relative_to(ROOT)
        ours = nbformat.read(path, as_version=4).cells
        assert nbformat.read(book / "notebooks" / name, as_version=4).cells == ours
        assert nbformat.read(book / "colab" / name, as_version=4).cells[1:] == ours


def test_only_the_colab_export_installs(book):
    for path in book.rglob("*.ipynb"):
        cells = nbformat.read(path, as_version=4).cells
        installs = [i for i, cell in enumerate(cells) if "pip install" in cell.source]
        expected = [0] if path.is_relative_to(book / "colab") else []
        assert installs == expected, path
        if expected:
            assert f"git+{REPOSITORY}" in cells[0].source
    assert (book / "requirements.txt").read_text() == f"git+{REPOSITORY}\n"


def test_exported_chapters_are_clean(book):
    for chapter in chapters():
        path = book / "notebooks" / f"{chapter}.ipynb"
        notebook = nbformat.read(path, as_version=4)
        assert set(notebook.metadata) == {"kernelspec", "language_info"}
        ids = [cell.id for cell in notebook.cells]
        assert len(ids) == len(set(ids))
        text = path.read_text("utf-8")
        assert str(ROOT) not in text and "_build" not in text
        for cell in notebook.cells:
            if cell.cell_type == "markdown":
                prose = re.sub(r"```.*?```|`[^`]*`", "", cell.source, flags=re.DOTALL)
                assert not re.search(
                    r"\{[\w:-]+\}`|^:::|\]\{\.|\)=$|\\[QKV]\b", prose, re.MULTILINE
                )
            else:
                assert cell.execution_count is None and not cell.outputs


def test_no_page_asks_a_foreign_host_for_anything(book):
    loading = {"script": "src", "img": "src", "iframe": "src", "source": "src", "image": "href"}
    for path in book.rglob("*.html"):
        for tag, attributes in tags(path):
            target = attributes.get(loading.get(tag, ""), "")
            if tag == "link" and attributes.get("rel") not in ("canonical", "license"):
                target = attributes.get("href", "")
            assert not urlsplit(target).netloc, f"{path}: <{tag}> {target}"
    for path in (book / "_static").rglob("*.css"):
        assert not re.search(r"(@import|url\()\s*['\"]?(https?:)?//", path.read_text("utf-8")), path


def test_every_internal_link_and_anchor_resolves(book):
    anchors = {
        page.resolve(): {
            value for _, a in tags(page) for key, value in a.items() if key in ("id", "name")
        }
        for page in book.rglob("*.html")
    }
    broken = []
    for page in pages(book):
        for tag, attributes in tags(page):
            link = attributes.get("href" if tag in ("a", "link") else "src", "")
            parts = urlsplit(link)
            if parts.scheme or parts.netloc or not (parts.path or parts.fragment):
                continue
            target = (page.parent / unquote(parts.path)).resolve() if parts.path else page.resolve()
            fragment = unquote(parts.fragment)
            if not target.exists():
                broken.append(f"{page.name}: {link}")
            elif fragment and target in anchors and fragment not in anchors[target]:
                broken.append(f"{page.name}: {link} (no such anchor)")
    assert not broken


def test_links_to_the_site_itself_resolve(book):
    """Exported notebooks and check reports link to the published pages."""
    for path in book.rglob("notebooks/**/*.ipynb"):
        for link in re.findall(re.escape(SITE) + r"([^\s)\"\\]*)", path.read_text("utf-8")):
            page, _, fragment = link.partition("#")
            target = book / (page or "index.html")
            assert target.exists(), f"{path}: {link}"
            if fragment and target.suffix == ".html":
                assert any(a.get("id") == fragment for _, a in tags(target)), f"{path}: {link}"


def test_every_figure_says_what_it_shows(book):
    for page in pages(book):
        for tag, attributes in tags(page):
            classes = attributes.get("class", "").split()
            if (tag == "svg" and "drawing" in classes) or "plotly-figure" in classes:
                assert len(attributes.get("aria-label", "")) > 10, f"{page}: {attributes}"
            if tag == "img" and "_images/" in attributes.get("src", ""):
                assert "_images/" not in attributes.get("alt", "_images/"), f"{page}: {attributes}"


def test_figures_are_numbered_by_their_chapter_and_have_a_caption(book):
    for page in pages(book):
        text = page.read_text("utf-8")
        numbers = re.findall(r'<span class="caption-number">Figure ([\d.]+) </span>', text)
        chapter = re.match(r"0*(\d+)_", page.name)
        pictures = len(re.findall(r'<svg[^>]*class="drawing"|class="plotly-figure"', text))
        assert pictures == len(numbers), page
        if chapter:
            assert numbers == [f"{chapter[1]}.{n}" for n in range(1, pictures + 1)], page


def test_every_chapter_asks_five_questions_whose_traps_its_checks_know():
    from tutor.checks import CHAPTERS, EXERCISES

    assert {path.stem for path in (ROOT / "book" / "quizzes").iterdir()} == set(CHAPTERS)
    for path in sorted((ROOT / "book" / "quizzes").iterdir()):
        questions = yaml.safe_load(path.read_text("utf-8"))
        assert len(questions) >= 5, path
        traps = [a["trap"] for q in questions for a in q["answers"] if "trap" in a]
        assert len(traps) >= 5, path
        for exercise, trap in traps:
            assert EXERCISES[exercise].chapter == path.stem, exercise
            assert trap in [t.name for t in EXERCISES[exercise].traps], (exercise, trap)
        for question in questions:
            answers = question["answers"]
            assert len(answers) >= 4 and all(a["feedback"] for a in answers), question["question"]
            assert sum(a.get("correct", False) for a in answers) == 1, question["question"]
        assert f"{{quiz}} quizzes/{path.name}" in (ROOT / "book" / f"{path.stem}.md").read_text()


def test_references_lead_to_the_works_and_back_to_where_they_are_cited(book):
    text = (book / "book" / "references.html").read_text("utf-8")
    entries = re.findall(r'<div class="citation".*?</div>', text, re.DOTALL)
    assert len(entries) > 30
    for entry in entries:
        assert re.search(r'href="https://(doi\.org|arxiv\.org|[\w.]+)/', entry), entry
        assert 'class="cited-in"' in entry, entry


def test_no_block_of_code_is_asked_whether_it_scrolls(book):
    """Nor is what is folded laid out for that: book/_ext/pages.py takes the theme's call out."""
    script = (book / "_static" / "scripts" / "pydata-sphinx-theme.js").read_text("utf-8")
    assert script.count(".scrollHeight>e.clientHeight") == 1
    assert not re.search(r'addEventListener\("load",\w+\)\}?\)', script[-300:])


# What a page says of itself


def properties(page: Path) -> dict[str, str]:
    found = [a for tag, a in tags(page) if tag == "meta"]
    return {a.get("name") or a.get("property"): a["content"] for a in found if "content" in a}


def test_every_page_describes_itself_for_searches_and_shared_links(book):
    said = set()
    for page in pages(book):
        given = properties(page)
        assert 50 <= len(given["description"]) <= 165, f"{page}: {given['description']}"
        assert not re.search(r"[\\$`{}]", given["description"]), page
        assert given["og:description"] == given["description"]
        assert given["og:title"] and given["og:url"] == f"{SITE}book/{page.name}"
        image = given["og:image"].removeprefix(SITE)
        assert (book / image).is_file(), image
        said.add(given["description"])
    assert len(said) == len(pages(book))


def test_every_page_has_its_version_its_day_and_how_to_cite_it(book):
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    for page in pages(book):
        text = page.read_text("utf-8")
        assert re.search(rf"Version {re.escape(version)}, \d{{1,2}} [A-Z][a-z]+ 20\d\d\.", text), (
            page
        )
        assert 'href="index.html#cite-this"' in text or 'href="#cite-this"' in text, page
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    assert citation["version"] == version
    assert citation["url"] == SITE and citation["repository-code"] == REPOSITORY


def test_map_of_the_site_has_every_page(book):
    found = re.findall(r"<loc>(.*?)</loc>", (book / "sitemap.xml").read_text("utf-8"))
    assert sorted(found) == sorted(f"{SITE}book/{page.name}" for page in pages(book))


def test_a_lost_reader_gets_a_page_whose_links_start_at_the_site(book):
    text = (book / "404.html").read_text("utf-8")
    assert f'<base href="{urlsplit(SITE).path}">' in text
    assert text.index("<base") < text.index("<link")
    for tag, attributes in tags(book / "404.html"):
        link = attributes.get("href" if tag in ("a", "link") else "src", "")
        parts = urlsplit(link)
        if parts.scheme or not parts.path or tag == "base":
            continue
        assert (book / unquote(parts.path)).exists(), link


def test_plotly_is_the_pinned_one(book):
    """The book's bundle and the library that made its figures are of one version."""
    from plotly.offline import get_plotlyjs_version

    script = (book / "_static" / "plotly-cartesian.min.js").read_text("utf-8")
    assert f"plotly.js (cartesian - minified) v{get_plotlyjs_version()}" in script[:200]


# The prose

# A decimal, a percentage, a duration or a size. "Section 3.2.2" is none, nor is a name with a dot.
QUOTED = re.compile(
    r"(?<![\w.])\d[\d,]*(?:\.\d+)?\s?(?:%|m?s\b|seconds\b|[MG]i?B\b)|(?<![\w.])\d[\d,]*\.\d+(?!\.?\d)"
)


def quoted(text: str) -> list[str]:
    """Numbers in a page's sentences that look measured; those that a cell prints or glues, and what
    stands in formulas, code and links, are not among them."""
    for part in (
        r"\A---\n.*?\n---\n",
        r"^(`{3,}).*?^\1`*$",
        r"\$\$.*?\$\$",
        r"\$[^$\n]+\$",
        r"\{[\w:-]+\}`[^`]*`",
        r"`[^`]*`",
        r"\[[^\]]*\]\([^)]*\)",
        r"[Ss]ection [\d.]+\d",
    ):
        text = re.sub(part, "", text, flags=re.DOTALL | re.MULTILINE)
    return QUOTED.findall(text)


def settings(page: str) -> set[float]:
    """The numbers that stand in a page's cells."""
    nodes = (node for cell in claims.cells(page) for node in ast.walk(ast.parse(cell)))
    numbers = (node.value for node in nodes if isinstance(node, ast.Constant))
    return {float(n) for n in numbers if isinstance(n, int | float)}


@pytest.mark.parametrize("page", claims.pages())
def test_prose_quotes_a_result_through_its_cell(page):
    """A number in a sentence is one that a cell sets; what comes out is printed or glued."""
    found = {n.replace(",", "") for n in quoted((ROOT / f"{page}.md").read_text("utf-8"))}
    assert found <= {str(n) for n in settings(page)}


def test_numbers_that_look_measured_are_found():
    text = (
        "It takes 3.5 times as long, 12 ms, and finds 98 % or 7.25%. Section 3.2 has `0.5`, $0.7$,"
    )
    text += (
        " {glue}`share:.1f`, [4.0](a.md), and A.1.2.\n```{code-cell}\nx = 1.5\n```\nAlso 1,024.5."
    )
    assert quoted(text) == ["3.5", "12 ms", "98 %", "7.25%", "1,024.5"]


# The palette


def test_stylesheet_has_a_shade_for_every_colour_of_the_figures():
    from tutor.materials import figures

    css = (ROOT / "book" / "_static" / "course.css").read_text()
    script = (ROOT / "book" / "_static" / "course.js").read_text()
    owned = (figures.QUERY, figures.KEY, figures.VALUE, figures.WEIGHT)
    assert not set(owned) & set(figures.MODELS)
    named = (*owned, *figures.MODELS, figures.INK, figures.GRID)
    colours = {c.lstrip("#") for c in named}
    light, dark = css.split('html[data-theme="dark"]', 1)
    for part in (light, dark):
        assert set(re.findall(r"--c-([0-9a-f]{6}):", part)) == colours
    assert set(json.loads(re.search(r"NAMES = (\[.*?\])", script)[1])) == colours


def luminance(colour: str) -> float:
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@pytest.mark.parametrize(
    ("theme", "backgrounds"), [("light", ["#ffffff", "#f3f4f5"]), ("dark", ["#121212", "#29313d"])]
)
def test_text_colours_have_contrast(theme, backgrounds):
    from tutor.materials import figures

    css = (ROOT / "book" / "_static" / "course.css").read_text()
    light, dark = css.split('html[data-theme="dark"]', 1)
    shades = dict(
        re.findall(r"--c-([0-9a-f]{6}): (#[0-9a-f]{6})", light if theme == "light" else dark)
    )
    owned = (figures.QUERY, figures.KEY, figures.VALUE, figures.WEIGHT)
    for colour in (*owned, *figures.MODELS, figures.INK):
        for background in backgrounds:
            high, low = sorted((luminance(shades[colour[1:]]), luminance(background)), reverse=True)
            assert (high + 0.05) / (low + 0.05) >= 4.5, (theme, colour, background)


# A small book with one of everything


PAGE = r"""---
file_format: mystnb
kernelspec: {display_name: Python 3, language: python, name: python3}
---

# A page

% Nobody reads this.

(here)=
## A section

[Queries]{.tok-q} meet $\Q\K^\top$ and $\qc{q_i}$; see {cite}`someone2017`, {term}`query`,
{ref}`here`, {ref}`that <here>`, [the other page](other.md), `{ref}` as code, and {eq}`one`.

$$
\vc{v} = 1
$$ (one)

:::{admonition} The *wrong* axis
:class: trap

Sum over `dim=-1`.

```{literalinclude} ../tutor/numbers.py
:pyobject: two
```
:::

```{admonition} More
:class: dropdown
Folded.
```

```{code-cell} ipython3
:tags: [hide-input]
print(6 * 7)
```
"""


def small_book(
    folder: Path, page: str = PAGE, config: str | None = None
) -> subprocess.CompletedProcess:
    (folder / "book").mkdir(exist_ok=True)
    for name in ("_ext", "_static", "_templates"):
        shutil.copytree(ROOT / "book" / name, folder / "book" / name, dirs_exist_ok=True)
    (folder / "_config.yml").write_text(config or (ROOT / "_config.yml").read_text())
    (folder / "_toc.yml").write_text(
        "format: jb-book\nroot: book/page\nchapters:\n  - file: book/other\n"
    )
    (folder / "book" / "page.md").write_text(page)
    (folder / "book" / "other.md").write_text(
        "# Other\n\n```{glossary}\nquery\n  What is asked.\n```\n\n```{bibliography}\n```\n"
    )
    (folder / "book" / "references.bib").write_text(
        "@book{someone2017, title={A Book}, author={One, Some}, year={2017}, publisher={P}}\n"
    )
    (folder / "tutor").mkdir(exist_ok=True)
    (folder / "tutor" / "numbers.py").write_text(
        "def one():\n    return 1\n\n\ndef two():\n    return 2\n"
    )
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    command = ["jupyter-book", "build", ".", "-n", "-W", "--keep-going", "--path-output", "."]
    return subprocess.run(
        command, cwd=folder, env={**os.environ, "PATH": path}, capture_output=True, text=True
    )


@pytest.fixture(scope="session")
def small(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("small-book")
    build = small_book(folder)
    assert build.returncode == 0, build.stdout + build.stderr
    return folder


def test_export_turns_myst_into_markdown(small):
    cells = nbformat.read(small / "_build/html/notebooks/book/page.ipynb", as_version=4).cells
    text = cells[0].source
    there = f"{SITE}book/page.html"
    for piece in (
        '<span style="color:#2f80d8">Queries</span> meet',
        r"$\textcolor{#2f80d8}{Q}\textcolor{#d2622a}{K}^\top$ and $\textcolor{#2f80d8}{q_i}$",
        "see [One 2017], query,",
        f"[A section]({there}#here), [that]({there}#here), [the other page]({SITE}book/other.html)",
        f"`{{ref}}` as code, and [(1)]({there}#equation-one).",
        "$$\n\\textcolor{#0f8a63}{v} = 1\n$$\n",
        "> **Trap: The *wrong* axis**\n>\n> Sum over `dim=-1`.\n>\n> ```python\n> def two():\n",
        "<summary><b>More</b></summary>\n\nFolded.\n\n</details>",
    ):
        assert piece in text
    assert "Nobody" not in text and "(here)=" not in text
    assert cells[1].source == "print(6 * 7)" and cells[1].metadata["jupyter"]["source_hidden"]


def test_export_keeps_its_ids_when_text_is_added(small, tmp_path):
    before = nbformat.read(small / "_build/html/notebooks/book/page.ipynb", as_version=4).cells
    new = PAGE.replace("# A page", "# A page\n\n```{code-cell} ipython3\n1\n```\n")
    assert small_book(tmp_path, new).returncode == 0
    after = nbformat.read(tmp_path / "_build/html/notebooks/book/page.ipynb", as_version=4).cells
    assert after[-1].id == before[-1].id
    assert len({cell.id for cell in after}) == len(after)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("\nSee {ref}`nowhere`.\n", "undefined label"),
        ("\n```{code-cell} ipython3\n1 / 0\n```\n", "ZeroDivisionError"),
    ],
    ids=["broken reference", "failing cell"],
)
def test_a_fault_fails_the_build_each_time(fault, message, tmp_path):
    for _ in range(2):
        build = small_book(tmp_path, PAGE + fault)
        assert build.returncode != 0
        assert message in build.stdout + build.stderr


def test_a_page_depends_on_the_modules_it_uses(tmp_path):
    package = tmp_path / "tutor"
    package.mkdir()
    for name, text in {
        "__init__": "",
        "attention": "import torch\nfrom .base import one\n",
        "base": "one = 1\n",
        "flash": "two = 2\n",
        "position": "three = 3\n",
    }.items():
        (package / f"{name}.py").write_text(text)
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "benchmarks" / "a.json").write_text("{}")
    page = "from tutor.attention import x, y\nfrom tutor.position import (\n    three,\n)\n"
    page += "open('../benchmarks/a.json')"
    names = {path.relative_to(tmp_path).as_posix() for path in freshness.used(tmp_path, page)}
    modules = {f"tutor/{name}.py" for name in ("attention", "base", "position")}
    assert names == {*modules, "benchmarks/a.json"}
    first = freshness.digest(tmp_path, page)
    (package / "flash.py").write_text("two = 3\n")
    assert freshness.digest(tmp_path, page) == first
    (package / "base.py").write_text("one = 2\n")
    assert freshness.digest(tmp_path, page) != first


def test_a_copy_of_the_book_names_its_own_address_everywhere(tmp_path):
    there, repository = "https://books.example.org/mine/", "https://github.com/somebody/else"
    (tmp_path / "book").mkdir()
    for name in ("nbgrader_config.py", *LITERAL):
        shutil.copy(ROOT / name, tmp_path / name)
    for room in ("solutions", "exercises"):
        shutil.copytree(ROOT / room / "01_recurrence", tmp_path / room / "01_recurrence")
    config = (ROOT / "_config.yml").read_text().replace(SITE, there)
    (tmp_path / "_config.yml").write_text(config.replace(REPOSITORY, repository))

    exercise = Path("exercises/01_recurrence/recurrence.ipynb")
    stale = [line.partition(" ")[0] for line in differences(tmp_path)]
    assert stale == [*LITERAL, exercise.as_posix()]
    release(tmp_path)
    assert differences(tmp_path) == []
    citation = yaml.safe_load((tmp_path / "CITATION.cff").read_text())
    assert (citation["url"], citation["repository-code"]) == (there, repository)
    students = (tmp_path / "book" / "students.md").read_text()
    assert f"git clone {repository} " in students
    for host in ("colab.research.google.com/github", "mybinder.org/v2/gh"):
        assert f"{host}/somebody/else/" in students
    reported = f"{there}book/01_recurrence.html#the-lstm-add-do-not-overwrite"
    assert reported in (tmp_path / exercise).read_text()

    # What a check has reported on the page leads into this book, whichever was installed.
    old = '<a href="https://old.example.org/it/book/other.html#term-query" target="_blank">'
    cell = f"\n```{{code-cell}} ipython3\nfrom IPython.display import HTML\nHTML('{old}')\n```\n"
    build = small_book(tmp_path, PAGE + cell, (tmp_path / "_config.yml").read_text())
    assert build.returncode == 0, build.stdout + build.stderr
    built = tmp_path / "_build" / "html"
    page = (built / "book" / "page.html").read_text("utf-8")
    assert f'content="{there}book/page.html"' in page
    assert '<a href="other.html#term-query">' in page
    for path in (tmp_path / name for name in written(tmp_path)):
        text = path.read_text("utf-8")
        assert SITE not in text and f"{GITHUB}/" not in text, path
    assert (built / "notebooks" / exercise).exists()


def written(folder: Path) -> list[str]:
    """The files with text in them, without the static ones, which are as they are in any book."""
    found = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    suffixes = {".md", ".cff", ".toml", ".yml", ".html", ".ipynb", ".xml", ".txt"}
    return [name.as_posix() for name in found if name.suffix in suffixes]


def test_address_stands_in_one_file_and_in_those_that_have_it_from_there():
    command = ["git", "grep", "-lF", "-e", SITE.rstrip("/"), "-e", GITHUB]
    named = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    exercises = [p.relative_to(ROOT).as_posix() for p in ROOT.glob("exercises/*/*.ipynb")]
    assert sorted(named.split()) == sorted(["_config.yml", *LITERAL, *exercises])
    for name in LITERAL:
        text = (ROOT / name).read_text("utf-8")
        for url in re.findall(r"https://[\w.-]*(?:github|colab|mybinder)[^\s)>`\"]*", text):
            assert SITE in url or re.search(rf"{re.escape(GITHUB)}(?![\w-])", url), (name, url)
