"""Python code and a terminal's colours, read in time linear in their length, whatever they hold.

pygments' and nbconvert's own go over a part of some texts once for each of its characters: 14,000
lines of one space take them a minute. Here no alternative of a pattern gives back what it has read.
"""

import builtins
import io
import keyword
import re
from collections.abc import Iterator

from markupsafe import escape
from pygments import token
from pygments.formatters import HtmlFormatter

_PYTHON = re.compile(
    r"""
    (?P<space>\s++)
  | (?P<comment>\#[^\n]*+)
  | (?P<string>(?:rb|br|rf|fr|rt|tr|[rbuft])?+(?:
        \"{3}(?:[^\\"]|\\.|"(?!""))*+(?:\"{3}|\\?\Z)
      | '{3}(?:[^\\']|\\.|'(?!''))*+(?:'{3}|\\?\Z)
      | "(?:[^\\"\n]|\\.)*+(?:"|\\?\Z|(?=\n))
      | '(?:[^\\'\n]|\\.)*+(?:'|\\?\Z|(?=\n))
    ))
  | (?P<number>(?:\d\w*+\.?+|\.\d)\w*+(?:(?<=[eE])[+-]\d++\w*+)?+)
  | (?P<name>\w++)
  | (?P<other>.)
    """,
    re.DOTALL | re.IGNORECASE | re.VERBOSE,
)
_KINDS = {
    "space": token.Whitespace,
    "comment": token.Comment,
    "string": token.String,
    "number": token.Number,
    "other": token.Operator,
}
_NAMES = {
    **dict.fromkeys(dir(builtins), token.Name.Builtin),
    **dict.fromkeys(keyword.kwlist, token.Keyword),
    **dict.fromkeys(("True", "False", "None"), token.Keyword.Constant),
    **dict.fromkeys(("and", "in", "is", "not", "or"), token.Operator.Word),
}
_DEFINED = {"def": token.Name.Function, "class": token.Name.Class}


def tokens(code: str) -> Iterator[tuple[token._TokenType, str]]:
    """pygments' kinds of tokens, and each token's text; their sum is the code."""
    before = ""
    for found in _PYTHON.finditer(code):
        text, kind = found.group(), _KINDS.get(found.lastgroup)
        if kind is None:
            kind = _DEFINED.get(before) or _NAMES.get(text, token.Name)
        if found.lastgroup != "space":
            before = text
        yield kind, text


def highlighted(code: str, **_: object) -> str:
    """nbconvert's filter ``highlight_code``."""
    page = io.StringIO()
    HtmlFormatter(cssclass=" highlight hl-ipython3").format(tokens(code or " "), page)
    return page.getvalue()


_ESCAPE = re.compile(r"\x1b\[([0-9:;<=>?]*+)[ -/]*+([@-~])")
_STYLES = {1: "ansi-bold", 4: "ansi-underline"}
_COLOURS = ("black", "red", "green", "yellow", "blue", "magenta", "cyan", "white")


def coloured(text: str) -> str:
    """nbconvert's filter ``ansi2html``, with a terminal's 16 colours, bold and underlined text."""
    made, style, end = [], {}, 0
    for found in _ESCAPE.finditer(text):
        made.append(_styled(text[end : found.start()], style))
        end = found.end()
        if found[2] == "m":
            style = _after(style, found[1])
    made.append(_styled(text[end:], style))
    return "".join(made)


def _styled(text: str, style: dict[str, str]) -> str:
    shown = escape(text.replace("\x1b", ""))
    return f'<span class="{" ".join(style.values())}">{shown}</span>' if text and style else shown


def _after(style: dict[str, str], code: str) -> dict[str, str]:
    numbers = [int(n) if n.isdecimal() and len(n) < 4 else 0 for n in code.split(";")]
    if 38 in numbers or 48 in numbers:  # one of more colours than a page has classes for
        return style
    style = dict(style)
    for n in numbers:
        tens, colour = divmod(n, 10)
        if n == 0:
            style = {}
        elif n in _STYLES:
            style[_STYLES[n]] = _STYLES[n]
        elif n in (22, 24):
            style.pop(_STYLES[1 if n == 22 else 4], None)
        elif n in (39, 49):
            style.pop("fg" if n == 39 else "bg", None)
        elif tens in (3, 4, 9, 10) and colour < len(_COLOURS):
            side = "fg" if tens in (3, 9) else "bg"
            style[side] = f"ansi-{_COLOURS[colour]}{'-intense' * (tens > 4)}-{side}"
    return style
