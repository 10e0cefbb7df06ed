"""Answers that are text, bytes and lists: bounded, without code of their own, and told apart."""

import sys

import pytest
import torch
from reporting import report_on, said, verdict

from tutor import tokens
from tutor.checks import sequences
from tutor.checks.response import Unreadable, plain
from tutor.checks.sequences import Listed, received


@pytest.mark.parametrize(
    "value", [[1, 2], [(1, 2), (3, 4)], [[1], []], (5, 6), "é", b"\xff", ["a", "é"], [b"a"], []]
)
def test_sequence_is_kept_with_its_kind(value):
    found = plain(value)
    assert isinstance(found, Listed)
    assert type(found.value()) is type(value) and found.value() == value
    again = received(found.kind, found.of, found.numbers, found.lengths)
    assert again.same(found)


class Tricky(list):
    def __eq__(self, other):
        return True

    __hash__ = None


class Index:
    def __index__(self):
        return 97

    def __eq__(self, other):
        return True

    __hash__ = None


class Lying(list):
    """Of another length, with other items, and equal to everything."""

    def __len__(self):
        return 1

    def __iter__(self):
        return iter([97])

    def __getitem__(self, index):
        return 97

    __eq__ = Tricky.__eq__
    __hash__ = None


class Any(int):
    __eq__ = Tricky.__eq__
    __hash__ = int.__hash__


class Odd(bytes):
    __eq__ = Tricky.__eq__
    __hash__ = bytes.__hash__


class Runs:
    def __reduce__(self):
        return exec, ("raise SystemExit",)


KEPT = []

HOSTILE = {
    "a list that lies": Lying,
    "integers that are equal to all": lambda: [Any(97)],
    "bytes that are equal to all": lambda: Odd(b"a"),
    "a generator": lambda: (n for n in (97,)),
    "code in a pickle": lambda: [Runs()],
    "one list for all calls": lambda: KEPT.append(len(KEPT)) or KEPT,
    "a giant list": lambda: [0] * (sequences.LARGEST + 1),
    "a giant list of lists": lambda: [[0] * sequences.LARGEST, [0]],
    "nested lists": lambda: [[[1]]],
    "a list in itself": lambda: (lambda x: x.append(x) or x)([]),
    "an integer of many digits": lambda: [10**100_000],
    "half of a surrogate pair": lambda: ["\ud800"],
    "escape codes": lambda: "\x1b[2J\x00\u202e",
    "a list of what is equal to all": lambda: [Index(), Index()],
    "a list that is equal to all": lambda: Tricky([97]),
    "booleans": lambda: [True, False],
    "floats": lambda: [97.0],
}


@pytest.mark.parametrize("hostile", HOSTILE)
@pytest.mark.parametrize("name", ["train_bpe", "bpe_encode", "bpe_decode", "unigram_segment"])
def test_hostile_sequence_earns_nothing_and_is_told_in_few_words(name, hostile, monkeypatch):
    monkeypatch.setattr(sequences, "LARGEST", 2**16)  # each is asked for dozens of times
    report = report_on(name, lambda *args: HOSTILE[hostile]())
    assert report.points == 0
    assert len(str(report)) < 4000 and str(report).isprintable() is False
    assert "\x1b" not in str(report) and "\u202e" not in str(report)


@pytest.mark.parametrize(
    ("kind", "of", "numbers", "lengths"),
    [
        ("dict", "", torch.zeros(1, dtype=torch.int64), None),
        ("list", "int", torch.zeros(2), None),
        ("list", "int", torch.zeros(2, 2, dtype=torch.int64), None),
        ("list", "tuple", torch.zeros(2, dtype=torch.int64), torch.tensor([3])),
        ("list", "tuple", torch.zeros(2, dtype=torch.int64), torch.tensor([-1, 3])),
        ("list", "tuple", torch.zeros(2, dtype=torch.int64), None),
        ("str", "", torch.tensor([0xFF], dtype=torch.uint8), None),
        ("list", "str", torch.tensor([0xC3, 0xA9], dtype=torch.uint8), torch.tensor([1, 1])),
        ("bytes", "int", torch.zeros(1, dtype=torch.uint8), None),
        ([], {}, None, None),
    ],
)
def test_what_no_sequence_can_be_is_refused(kind, of, numbers, lengths):
    with pytest.raises((ValueError, TypeError)):
        received(kind, of, numbers, lengths)


def test_right_items_in_another_kind_cost_the_types_alone():
    for kind in (tuple, torch.tensor):
        report = report_on(
            "bpe_encode", lambda *a, k=kind: k(tokens.bpe_encode(*a)) if a[0] else []
        )
        assert [v.group for v in report.verdicts if not v.passed] == ["types"], report
        assert "in another kind" in said(report, "types")


def test_list_that_is_changed_is_named():
    def emptying(ids, merges, special=()):
        out = tokens.bpe_decode(ids, merges, special)
        ids.clear()
        return out

    report = report_on("bpe_decode", emptying)
    assert [v.group for v in report.verdicts if not v.passed] == ["types"]
    assert "ids was modified" in said(report, "types")


def test_first_item_that_differs_is_told():
    def other(pieces, num_merges):
        merges = tokens.train_bpe(pieces, num_merges)
        return [*merges[:2], *((b, a) for a, b in merges[2:])]

    assert "the third merge is (" in said(report_on("train_bpe", other), "values")


def test_counting_that_is_stopped_is_told():
    def stopping(pieces, num_merges):
        sys.settrace(None)
        return tokens.train_bpe(pieces, num_merges)

    report = report_on("train_bpe", stopping)
    assert verdict(report, "values").passed
    assert "sys.settrace is called" in said(report, "contracts")


def test_mixed_list_is_described():
    assert isinstance(plain([(1, "a")]), Unreadable)
