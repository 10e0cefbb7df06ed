"""What a report quotes of an exception: names and lines of the notebook, sizes, no other number."""

import pytest

from tutor.checks.response import sizes_only
from tutor.sandbox.answers import crash


@pytest.mark.parametrize(
    "message",
    [
        "mat1 and mat2 shapes cannot be multiplied (6x7 and 5x7)",
        "shape of the mask [2, 3, 5] at index 0 does not match the shape of the indexed tensor "
        "[2, 3, 7] at index 2",
        "Dimension out of range (expected to be in range of [-2, 1], but got 2)",
        "shape '[2, 3, 4, 5, 7]' is invalid for input of size 840",
        "batch2 must be a 3D tensor of torch.float64",
        "view size is not compatible with input tensor's size and stride (at least one dimension",
    ],
)
def test_sizes_stay(message):
    assert sizes_only(message) == message


@pytest.mark.parametrize(
    ("message", "left"),
    [
        ("got tensor(0.2500)", "got tensor(…)"),
        ("[0.123, -1.5e-07]", "[…, …]"),
        ("0x1.8p+1", "…"),
        ("x0x1.57p+00x1", "…"),
        ("12345678", "…"),
        ("n=.5;-3.", "n=…;-3."),
        ("saw0.123x4", "…"),
        ("[3, 5, 2, 1, 4, 6, 7]", "[…]"),
        ("0 1 1 0 1 0 0 1", "…"),
        ("", ""),
    ],
)
def test_other_numbers_do_not(message, left):
    assert sizes_only(message) == left


CELL = "class Mine(ValueError): pass\ndef f(x):\n    raise Mine(x)"


def told(**spec):
    found = crash({"kind": "Mine", "function": "f", "line": "raise Mine(x)", "number": 3} | spec,
                  ["import torch", CELL])  # fmt: skip
    return found.kind, found.function, found.line, found.number


def test_names_and_lines_of_the_notebook_are_quoted():
    assert told() == ("Mine", "f", "raise Mine(x)", 3)
    assert told(kind="KeyError")[0] == "KeyError"


def test_other_names_and_lines_are_not():
    assert told(kind="saw1", mro=["saw1", "saw2", "ValueError"])[0] == "ValueError"
    assert told(kind="saw1", mro=7)[0] == "Exception"
    assert told(function="saw")[1] == "function"
    assert told(line="saw 1.5")[2:] == ("", 0)
