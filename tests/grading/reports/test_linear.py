"""What reads a student's text takes no more than linear time, and shows all of it."""

import html
import re

import nbformat
import pytest
from pygments import token

from tutor.course.sample_class import CHAPTER, NOTEBOOK, solutions
from tutor.grading.gradebook import Marks
from tutor.grading.reports import feedback, linear, similarity
from tutor.grading.reports.apart import Failed, apart

LONG = 200_000
DISLIKED = (
    " \n", "\n", " ", "\t", "\r", "\f", "\\", "\\\n", "a", "a b", "x\n ", "é", "_", "0_", "1e",
    "1.", ".", '"', "'", '"""', "'''", '"\\', "rb", "rbf'", 'f"{', "{", "(", "[", "lambda:",
    "def ", "class ", "@", "#", "#\n", "%%", "!", "?", ">>> ", "$", "`", "*", "_*", "-\n", "![",
    "](", "{{", "{%", "<", "<img ", "<script>", "&", "\x1b[", "\x1b[1;", "\x1b[1m", "\x1b[38m",
    "\x1b[38;5", "\x1b]0;", "0;", "\u2028", "\u202e",
)  # fmt: skip
BEGUN = ("\x1b[", '"""', 'f"{', "<!--")
SOME = (" \n", "0;", "\\", "<")
SECONDS = 30
"""Of processor time for one text: more than ten times what the slowest takes."""


def text_of(piece: str, begun: str) -> str:
    return begun + piece * (LONG // len(piece)) + "\ny = 2\n"


def read(piece: str, begun: str) -> bool:
    text = text_of(piece, begun)
    assert "".join(part for _, part in linear.tokens(text)) == text
    for names_count in (True, False):
        similarity.fingerprint(text, similarity.RUN, names_count)
    assert "tail" in page_of(text + "tail")
    return True


def page_of(text: str) -> str:
    """The feedback page for a notebook with the text in a cell and in all that a cell puts out."""
    outputs = [
        nbformat.v4.new_output("stream", text=text),
        nbformat.v4.new_output("error", ename="E", evalue=text, traceback=[text]),
        nbformat.v4.new_output("display_data", {"text/plain": text}),
        nbformat.v4.new_output("display_data", {"image/png": text}),
    ]
    cell = nbformat.v4.new_code_cell(text[: LONG // 2], outputs=outputs)
    nb = nbformat.v4.new_notebook(cells=[cell])
    return feedback.page(nbformat.writes(nb), "ada", CHAPTER, NOTEBOOK, Marks({}, {}, {}))


@pytest.mark.by_content
def test_long_texts_of_every_kind_are_read_within_a_limit_of_processor_time():
    texts = [("x = 1\n", piece) for piece in DISLIKED]
    texts += [(begun, piece) for begun in BEGUN for piece in SOME]
    jobs = {f"{begun!r}, then {piece!r} again and again": (piece, begun) for begun, piece in texts}
    failed = {n: str(r) for n, r in apart(read, jobs, 2, SECONDS) if isinstance(r, Failed)}
    assert not failed


@pytest.mark.parametrize("name", solutions())
def test_code_is_coloured_whole_and_its_names_are_told_apart(name):
    source = solutions()[name]
    found = list(linear.tokens(source))
    assert "".join(text for _, text in found) == source
    assert (token.Keyword, "def") in found and (token.Name.Function, name) in found
    shown = html.unescape(re.sub("<[^>]*>", "", linear.highlighted(source)))
    assert shown.strip() == source.strip()


@pytest.mark.parametrize(
    ("code", "kinds"),
    [
        ("rb\"a\" + f'b'", ["String", "Operator", "String"]),
        ('"""a\n"b""" # c', ["String", "Comment"]),
        ('"\\"" "b\nc', ["String", "String", "Name"]),
        ("'open", ["String"]),
        ("1_0.5e-3j+.5-0xF", ["Number", "Operator", "Number", "Operator", "Number"]),
        ("class A: None", ["Keyword", "Class", "Punctuation", "Constant"]),
        ("x is not print", ["Name", "Word", "Word", "Builtin"]),
    ],
)
def test_tokens_are_those_of_python(code, kinds):
    found = [kind[-1] for kind, _ in linear.tokens(code) if kind is not token.Whitespace]
    assert found == kinds


@pytest.mark.parametrize("code", ["[31m", "[1;44m", "[38m", "[38;2;1;2;3m", "[2J", "[;;m", ""])
def test_codes_of_a_terminal_vanish_and_nothing_else_does(code):
    assert linear.uncoloured(f"a\x1b{code}<b>") == "a&lt;b&gt;"
    assert linear.uncoloured("\x1b[31\u00e9") == "[31\u00e9"
