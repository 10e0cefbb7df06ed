"""Kernels in Triton before their check, launched as the notebook launches them: the solution, other
styles of it, and what goes wrong in kernels. The known wrong answers of the check are functions of
tensors; here it is seen that real kernels give these very answers."""

import linecache
import re
from functools import cache

import pytest

from tutor import ROOT, flash
from tutor.checks import EXERCISES, judge

NOTEBOOK = ROOT / "solutions" / "11_flash" / "flash.md"
CELL = r"```\{code-cell\} ipython3\n---\n.*?grade_id: (\S+)\n.*?---\n(.*?)```"

pytestmark = pytest.mark.skipif(
    flash.triton is None, reason="needs Triton, of which there are packages for Linux alone"
)


@cache
def cells():
    return dict(re.findall(CELL, NOTEBOOK.read_text("utf-8"), re.DOTALL))


def kernel(*changes):
    """The notebook's kernel, launched, with each (text, other text) exchanged."""
    found, space = cells(), {"__name__": "notebook"}
    for name in ("setup", "launcher", "flash_kernel-solution"):
        source = found[name]
        if name == "flash_kernel-solution":
            for text, other in changes:
                assert text in source, text
                source = source.replace(text, other)
        file = f"<{name} {hash(changes)}>"
        linecache.cache[file] = (len(source), None, source.splitlines(True), file)
        exec(compile(source, file, "exec"), space)
    return space["flash_kernel"]


def report_on(*changes):
    return judge(EXERCISES["flash_kernel"], kernel(*changes))


RIGHT = {
    "as it is": (),
    "keys from the end": (
        ("for start in range(0, end, KEY_TILE):", "for i in range(0, tl.cdiv(end, KEY_TILE)):"),
        (
            "keys = start + tl.arange(0, KEY_TILE)",
            "keys = (tl.cdiv(end, KEY_TILE) - 1 - i) * KEY_TILE + tl.arange(0, KEY_TILE)",
        ),
    ),
    "nothing skipped": (("if CAUSAL:\n        end =", "if False:\n        end ="),),
    "powers of two": (
        (
            'input_precision="ieee") * scale',
            'input_precision="ieee") * (scale * 1.4426950408889634)',
        ),
        ("tl.exp(", "tl.exp2("),
        ("maximum + tl.log(total)", "(maximum + tl.log2(total)) * 0.6931471805599453"),
    ),
}


@pytest.mark.parametrize("changes", RIGHT.values(), ids=RIGHT)
def test_right_kernels_earn_everything(changes):
    report = report_on(*changes)
    assert report.passed, str(report)


IN_ROWS, IN_KEYS = (
    "(rows[:, None] < num_queries) & (column < width)",
    "(keys[:, None] < num_keys) & (column < width)",
)
WRONG = {
    "rescaling forgotten": [("answer = answer * factor[:, None] + read", "answer = answer + read")],
    "never divided": [("answer / total[:, None]", "answer")],
    "normalised in every tile": [
        ("weights.to(v.dtype), v", "(weights / tl.sum(weights, 1)[:, None]).to(v.dtype), v")
    ],
    "no running maximum": [
        ("tl.maximum(maximum, tl.max(scores, 1))", "tl.zeros([QUERY_TILE], tl.float32)")
    ],
    "nothing minus nothing": [
        ('level = tl.where(largest == float("-inf"), 0.0, largest)', "level = largest")
    ],
    "a finite number for nothing": [
        ('tl.where(visible, scores, float("-inf"))', "tl.where(visible, scores, -1e9)")
    ],
    "the ragged tail of keys dropped": [
        ("range(0, end, KEY_TILE)", "range(0, end // KEY_TILE * KEY_TILE, KEY_TILE)")
    ],
    "the padding of the tail is read": [
        ("visible = keys[None, :] < num_keys", "visible = keys[None, :] >= 0")
    ],
    "aligned at the upper left": [
        ("rows[:, None] + num_keys - num_queries", "rows[:, None]"),
        ("(tile + 1) * QUERY_TILE + num_keys - num_queries", "num_keys"),
    ],
    "one key of the future": [
        ("rows[:, None] + num_keys - num_queries", "rows[:, None] + num_keys - num_queries + 1"),
        ("(tile + 1) * QUERY_TILE + num_keys - num_queries", "num_keys"),
    ],
    "never causal": [("if CAUSAL:", "if False:")],
    "no scale": [(" * scale", "")],
    "a logarithm in base two": [("tl.log(total)", "tl.log2(total)")],
    "half of the log-sum-exp": [("maximum + tl.log(total)", "tl.log(total)")],
    "values read beyond the end": [
        ("tl.load(v_ptr + of_keys, in_keys, 0.0)", "tl.load(v_ptr + of_keys)")
    ],
    "answers written beyond the end": [
        (
            "(answer / total[:, None]).to(out_ptr.dtype.element_ty), in_rows)",
            "(answer / total[:, None]).to(out_ptr.dtype.element_ty), column < width)",
        )
    ],
    "columns beyond the width": [
        (
            "q = tl.load(q_ptr + of_rows, in_rows, 0.0)",
            "q = tl.load(q_ptr + of_rows, rows[:, None] < num_queries, 0.0)",
        ),
        (
            "k = tl.load(k_ptr + of_keys, in_keys, 0.0)",
            "k = tl.load(k_ptr + of_keys, keys[:, None] < num_keys, 0.0)",
        ),
    ],
    "the first tile of queries alone": [
        ("tile, head = tl.program_id(0), tl.program_id(1)", "tile, head = 0, tl.program_id(1)")
    ],
    "all heads at the first one's place": [
        ("tile, head = tl.program_id(0), tl.program_id(1)", "tile, head = tl.program_id(0), 0")
    ],
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_kernels_have_their_names(name):
    report = report_on(*WRONG[name])
    assert not report.passed and name in report.traps, str(report)


def test_an_unwritten_kernel_is_said_to_be_unwritten():
    source = cells()["flash_kernel-solution"]
    body = source[source.index("    ### BEGIN SOLUTION") :]
    report = report_on((body, "    raise NotImplementedError\n"))
    assert report.points == 0 and "Not written yet" in str(report)
