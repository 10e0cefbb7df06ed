"""Python code and a terminal's codes, read in time linear in their length, whatever they hold.

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
  | (?P<bracket>[][(){},:;])
  | (?P<other>.)
    """,
    re.DOTALL | re.IGNORECASE | re.VERBOSE,
)
_KINDS = {
    "space": token.Whitespace,
    "comment": token.Comment,
    "string": token.String,
    "number": token.Number,
    "bracket": token.Punctuation,
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


_ESCAPE = re.compile(r"\x1b(?:\[[0-9:;<=>?]*+[ -/]*+[@-~])?+")


def uncoloured(text: str) -> str:
    """nbconvert's filter ``ansi2html``: feedback pages have no styles for a terminal's colours."""
    return escape(_ESCAPE.sub("", text))
