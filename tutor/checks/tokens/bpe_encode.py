"""What ``bpe_encode`` must satisfy, and the wrong answers that people give."""

from collections.abc import Iterator

import torch
from torch import Generator

from tutor import tokens as reference
from tutor.checks.conditions import Condition, Crossed, Factor, Family, Row
from tutor.checks.draw import Draw
from tutor.checks.exercise import Case, Contract, Exercise
from tutor.checks.tokens.encoding_traps import TRAPS
from tutor.checks.tokens.shared import (
    CHAPTER,
    drawn,
    trained,
    words,
)


def _sentence(draw: Draw) -> str:
    return " ".join(word.decode() for word in words(draw, 6, b"adehnost"))


def _foreign(draw: Draw) -> str:
    inside = "".join("äßeé 😀字n"[draw.integer(0, 8)] for _ in range(12))
    return f"é{inside}字"  # white space at an end is asked for elsewhere, with every draw


def _spaced(draw: Draw) -> str:
    return "".join(w.decode() + "  \n\t "[: draw.integer(1, 6)] for w in words(draw, 4, b"anot"))


_TEXT = Factor(
    "text",
    (
        Condition("letters", value=_sentence),
        Condition("other scripts", "other scripts", _foreign, alone=True),
        Condition("spaces", "white space of all kinds", _spaced, edge=True, alone=True),
        Condition("numbers", "numbers", lambda draw: f"{draw.integer(100, 10**6)} and {7:03}!"),
        Condition(
            "as bytes",
            "bytes that are no text",
            lambda draw: drawn(draw, 14, b"ab \xff\xc3\x80"),
            edge=True,
            alone=True,
        ),
        Condition("empty", "an empty text", lambda draw: "", edge=True),
    ),
)
_MERGES = Factor(
    "merges",
    (
        Condition("trained", value=9),
        Condition("no merges", "no merges", 0, edge=True),
        Condition("many merges", "many merges", 40),
    ),
)
_SPECIAL = Factor(
    "special",
    (
        Condition("no special", value=None),
        Condition("one special", "a special token", ["<|end|>"], edge=True, alone=True),
        Condition("two specials", "special tokens", ["<|", "<|end|>"], edge=True, alone=True),
    ),
)

FAMILY = Family((_TEXT, _MERGES, _SPECIAL))


def _arguments(draw: Draw, row: Row) -> tuple:
    text, special = row["text"](draw), row["special"]
    merges = trained(text, row["merges"])
    if special is None:
        return text, merges
    half, end = len(text) // 2, "<|end|>" if isinstance(text, str) else b"<|end|>"
    return text[:half] + end + text[half:] + end[:2], merges, list(special)


def _ids(*pairs: str | tuple) -> list[tuple[int, int]]:
    return [tuple(map(ord, p)) if isinstance(p, str) else p for p in pairs]


def _by_hand(draw: Draw) -> Iterator[Case]:
    yield Case("the example of the text", ("aaab", _ids("aa")))
    yield Case("another example of its length", ("abaa", _ids("ab")))
    squares = [(i, j) for i in range(97, 114) for j in range(97, 114)]
    yield Case("many merges and a special token", ("pq<x>qq", squares, ["<x>"]), "edges")
    ranked = _ids("bc", "ab", (97, 256), "xy", "yz")
    yield Case("a later pair stands first", ("abcd xyz", ranked))
    yield Case("the longest token is not made", ("abcde abc", _ids("cd", "ab", (257, ord("c")))))
    yield Case("runs", ("aaaaa aaa aaaa", _ids("aa", (256, 97), (256, 256))), "edges")
    yield Case("runs, a long one", ("b" + "a" * 301, _ids("aa")), "edges")
    yield Case("a pair over a space", ("to be to be", _ids("o ", "to", " b", (258, 101))), "edges")
    yield Case("a merge of merges", ("abab cabab", _ids("ab", (256, 256), "ca", (258, 98))))
    yield Case("half a character", ("é".encode()[:1] + b"e", _ids("\xc3e")), "edges")
    special = ["<a>", "<a><b>", "b"]
    yield Case("special tokens within each other", ("x<a><b><a>b", _ids("x<"), special), "edges")


def _contract(generator: Generator, device: torch.device) -> Contract:
    return Contract(calls=())


CASES = Crossed(FAMILY, _arguments, _by_hand)


BPE_ENCODE = Exercise(
    reference=reference.bpe_encode,
    chapter=CHAPTER,
    points={"values": 5, "edges": 3, "types": 1},
    cases=CASES,
    contract=_contract,
    outputs=("id",),
    traps=TRAPS,
)
