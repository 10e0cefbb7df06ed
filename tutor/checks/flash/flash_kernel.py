"""What ``flash_kernel`` must satisfy, and the wrong answers that people give.

The notebook's ``launched`` makes a function of q, k, v and causal of a kernel in Triton, and that
is what is called here, wherever it runs: interpreted or compiled, at home or in the sandbox. So
what is compared are answers, and neither the reference nor the known wrong answers need Triton.
"""

import torch
from torch import Generator, Tensor

from tutor import flash
from tutor.checks.conditions import Condition, Crossed, Factor, Family, Row
from tutor.checks.draw import HALF, SINGLE, Draw
from tutor.checks.exercise import Contract, Exercise, Trap
from tutor.checks.flash import kernels as part
from tutor.checks.flash.forward_traps import traps
from tutor.checks.flash.kernels import TILE, with_
from tutor.checks.flash.shared import CAUSAL, CHAPTER, TRITON, qkv

_DTYPE = Factor(
    "dtype",
    (
        Condition("single", value=SINGLE),
        Condition("half", "half precision", HALF),
    ),
)
"""Not bfloat16: Triton's interpreter (3.7) multiplies its bits as if they were integers."""
_SCORES = Factor(
    "scores",
    (
        Condition("ordinary", value=1.0),
        Condition("extreme", "scores near 3,000, near -100 and far lower", edge=True),
    ),
)
_HEADS = Factor(
    "heads",
    (
        Condition("grouped", value=(2, 1)),
        Condition("a head each", "a key head for each query head", (2, 2)),
    ),
)
_LENGTHS = Factor(
    "lengths",
    (
        Condition("few", value=(5, 19)),
        Condition("tiles", "several tiles of queries", (18, 18), alone=True),
        Condition("one key", "one query, one key", (1, 1), edge=True),
        Condition("more queries", "more queries than keys", (19, 2), edge=True, alone=True),
    ),
)
_WIDTH = Factor(
    "width",
    (
        Condition("of sixteen", value=16),
        Condition("of seven", "a width that is no power of two", 7),
    ),
)
FAMILY = Family(
    (_DTYPE, CAUSAL, _SCORES, _HEADS, _LENGTHS, _WIDTH),
    together=(("causal", "more queries"), ("causal", "tiles", "a head each")),
)


def _arguments(draw: Draw, row: Row) -> tuple:
    width = row["width"]
    return (*qkv(draw, row, width, width), row["causal"])


CASES = Crossed(FAMILY, _arguments, usual="grouped heads, a ragged tile of keys")


def _contract(generator: Generator, device: torch.device) -> Contract:
    return Contract(calls=())


def flash_kernel(q: Tensor, k: Tensor, v: Tensor, causal: bool = False) -> tuple[Tensor, Tensor]:
    """What the chapter's kernel gives when it is launched for each tile of each head."""
    return flash.flash_forward(q, k, v, causal, TILE, TILE)


flash_kernel.__module__ = flash.__name__  # whose kernel nobody may hand in


FLASH_KERNEL = Exercise(
    reference=flash_kernel,
    chapter=CHAPTER,
    points={"values": 4, "edges": 3, "types": 1},
    cases=CASES,
    contract=_contract,
    outputs=("out", "lse"),
    traps=(
        Trap(
            "values read beyond the end",
            with_(spoil=part.nan_where_keys_end),
            "behind the last key stands the next head's memory, or nobody's. A load that no mask "
            "keeps inside reads it: what it finds is hidden in the scores, but 0 times nan is nan. "
            "`tl.load(pointers, mask, 0.0)`.",
            TRITON,
            (with_(spoil=part.nan_wherever_keys_end),),
        ),
        Trap(
            "answers written beyond the end",
            with_(spoil=part.out_beyond),
            "the rows of a ragged tile that are no queries lie in the next head's memory, or "
            "nobody's: `tl.store(pointers, values, mask)`.",
            TRITON,
            (with_(spoil=part.lse_beyond),),
        ),
        Trap(
            "columns beyond the width",
            with_(lay=part.unmasked_width),
            "a tile is 16, 32 or 64 columns wide, and a row may have fewer. What stands behind it "
            "in memory is the next row: load 0 there, since 0 adds nothing to a product.",
            TRITON,
        ),
        Trap(
            "the first tile of queries alone",
            part.one_program,
            "a program computes one tile of one head: which one, says `tl.program_id`. Without it "
            "all of them compute the first, and nobody the others.",
            TRITON,
        ),
        Trap(
            "all heads at the first one's place",
            part.first_head_for_all,
            "the second number of a program is its head: add head · num_queries · width to the "
            "pointers of q and out, and its own share to those of k, v and lse.",
            TRITON,
        ),
        *traps(lambda wrong: with_(**wrong.parts)),
    ),
)
