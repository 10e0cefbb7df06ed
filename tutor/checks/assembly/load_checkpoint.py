"""What ``load_checkpoint`` must satisfy, and the wrong answers that people give."""

import math
from collections.abc import Iterator

import torch
from torch import Generator, Tensor

from tutor import assembly as reference
from tutor.assembly import BLOCK as NAMES
from tutor.checks.assembly import files as part
from tutor.checks.assembly.files import with_
from tutor.checks.assembly.shared import CHAPTER, FILE
from tutor.checks.conditions import Condition, Crossed, Factor, Family, Row
from tutor.checks.draw import SINGLE, Draw
from tutor.checks.efficiency.dequantize_blocks import blocks
from tutor.checks.exercise import Case, Contract, Exercise, Trap

_LAYERS = Factor(
    "layers",
    (
        Condition("two layers", value=2),
        Condition("one layer", "one layer", 1, edge=True, alone=True),
        Condition("eleven", "eleven layers", 11, edge=True, alone=True),
    ),
)
_HEADS = Factor(
    "heads",
    (
        Condition("two a group", value=(4, 2)),
        Condition("each its own", "as many key heads as query heads", (2, 2), alone=True),
        Condition("one for all", "one key head for all", (2, 1), edge=True, alone=True),
    ),
)
_KIND = Factor(
    "kind",
    (
        Condition("numbers", value="F32"),
        Condition("Q4_1", "blocks of 4 bits", "Q4_1", alone=True),
        Condition("Q8_0", "blocks of 8 bits", "Q8_0", alone=True),
    ),
)
_ORDER = Factor(
    "order",
    (
        Condition("mixed", value="mixed"),
        Condition("in order", "tensors in the order of the model", "in order"),
        Condition("backwards", "tensors in the reverse order", "backwards"),
    ),
)
FAMILY = Family(
    (_LAYERS, _HEADS, _KIND, _ORDER),
    apart={
        frozenset(("eleven", kind)): "how a tensor is read does not hang on how many there are"
        for kind in ("Q4_1", "Q8_0")
    },
)
_WIDTH, _WIDE = 6, 32
"""Of numbers, and of rows of one block."""


def tensors(draw: Draw, layers: int, h: int, g: int, kind: str) -> dict[str, tuple[str, Tensor]]:
    """A file's, by name, with their kinds."""
    c = _WIDTH if kind == "F32" else _WIDE
    f, d = (5 if kind == "F32" else _WIDE), 4
    hd = h * d if kind == "F32" else _WIDE  # the columns of attn_output are whole blocks, too
    gd = hd // h * g
    shapes = ((c,), (hd, c), (gd, c), (gd, c), (c, hd), (c,), (f, c), (f, c), (c, f))
    wanted = [
        (f"blk.{i}.{n}", s) for i in range(layers) for n, s in zip(NAMES, shapes, strict=True)
    ]
    wanted += [("token_embd", (7, c)), ("output_norm", (c,))]
    found = {}
    for name, shape in wanted:
        if len(shape) == 1 or kind == "F32":
            found[f"{name}.weight"] = "F32", draw.normal(*shape, dtype=SINGLE)
        else:
            stored = blocks(draw, kind, shape[:1], shape[1] // 32)
            found[f"{name}.weight"] = kind, stored
    return found


def listed(found: dict[str, tuple[str, Tensor]], names: list[str], h: int, g: int) -> tuple:
    return names, [found[n][0] for n in names], [found[n][1] for n in names], h, g


def _arguments(draw: Draw, row: Row) -> tuple:
    (h, g), found = row["heads"], tensors(draw, row["layers"], *row["heads"], row["kind"])
    names = list(found)
    if row["order"] == "backwards":
        names.reverse()
    elif row["order"] == "mixed":
        order = torch.randperm(len(names), generator=draw.generator).tolist()
        last = max(names[:-2], key=lambda n: int(n.split(".")[1]))
        names = [last, *(names[i] for i in order if names[i] != last)]
    return listed(found, names, h, g)


def _example(draw: Draw) -> dict[str, tuple[str, Tensor]]:
    """Width 2, one head of four features, a hidden layer of one."""

    def given(*shape: int, first: float) -> tuple[str, Tensor]:
        numbers = torch.arange(math.prod(shape), dtype=SINGLE, device=draw.device) + first
        return "F32", numbers.view(shape)

    q = torch.tensor([[1.0, 5.0], [2.0, 6.0], [3.0, 7.0], [4.0, 8.0]], device=draw.device)
    shapes = ((2,), (4, 2), (4, 2), (4, 2), (2, 4), (2,), (1, 2), (1, 2), (2, 1))
    block = {
        f"blk.0.{name}.weight": given(*shape, first=10.0 * i)
        for i, (name, shape) in enumerate(zip(NAMES, shapes, strict=True))
    }
    block["blk.0.attn_q.weight"] = "F32", q
    ends = {"token_embd.weight": given(3, 2, first=90.0), "output_norm.weight": given(2, first=1.0)}
    return block | ends


def _by_hand(draw: Draw) -> Iterator[Case]:
    found = _example(draw)
    yield Case("the example of the text", listed(found, list(found), 1, 1))
    found = tensors(draw, 2, 4, 2, "F32")
    names = list(found)
    for label, given in (
        (
            "a matrix that is missing",
            {n: t for n, t in found.items() if n != "blk.0.ffn_up.weight"},
        ),
        ("no last norm", {n: t for n, t in found.items() if n != "output_norm.weight"}),
        (
            "a readout of its own",
            found | {"output.weight": ("F32", draw.normal(7, 6, dtype=SINGLE))},
        ),
        (
            "no embedding",
            {n: t for n, t in found.items() if n != "token_embd.weight"},
        ),
        ("no block", {n: t for n, t in found.items() if not n.startswith("blk.")}),
        (
            "a bias that nothing asks for",
            found | {"blk.1.attn_q.bias": ("F32", draw.normal(16, dtype=SINGLE))},
        ),
        ("a kind that is not known", found | {names[3]: ("Q6_K", found[names[3]][1])}),
    ):
        yield Case(
            f"{label} must raise ValueError", listed(given, list(given), 4, 2), "edges", ValueError
        )


CASES = Crossed(FAMILY, _arguments, _by_hand, usual="two layers, mixed")


def _contract(generator: Generator, device: torch.device) -> Contract:
    return Contract(calls=())


LOAD_CHECKPOINT = Exercise(
    reference=reference.load_checkpoint,
    chapter=CHAPTER,
    points={"values": 4, "edges": 3, "types": 1},
    cases=CASES,
    contract=_contract,
    outputs=("embedding", "blocks", "norm"),
    traps=(
        Trap(
            "the layout not converted",
            with_(converted=part.not_converted),
            "the file has the rows of attn_q and attn_k for neighbours that turn together; the "
            'block turns halves. Convert both to "half". Without it the model is fluent for some '
            "twenty tokens, and then repeats itself.",
            FILE,
            (with_(converted=part.the_other_way), with_(converted=part.one_head)),
        ),
        Trap(
            "another number of heads",
            with_(heads=part.query_heads_for_both),
            "rows are converted head by head: attn_q has num_heads of them, attn_k num_kv_heads.",
            FILE,
            (with_(heads=part.key_heads_for_both), with_(heads=part.exchanged_heads)),
        ),
        Trap(
            "one of the two converted",
            with_(heads=part.queries_alone),
            "queries and keys meet in a product: both are converted, or neither.",
            FILE,
            (with_(heads=part.keys_alone),),
        ),
        Trap(
            "values converted, too",
            with_(heads=part.values_too),
            "values are not turned, and their rows stay where they are.",
            FILE,
        ),
        Trap(
            "columns converted",
            part.turned_then_converted,
            "the layout concerns the rows of (out, in), the features of a head. Convert first and "
            "turn the matrix round then.",
            FILE,
        ),
        Trap(
            "matrices as they are stored",
            with_(matrix=part.as_stored),
            "the file has (out, in), the block multiplies from the left: x @ w with (in, out). In "
            "a row of numbers the shape is gone, and nothing complains.",
            FILE,
        ),
        Trap(
            "the embedding turned, too",
            with_(embedding=part.turned),
            "row i of the embedding is token i's: it stays as it is stored.",
            FILE,
        ),
        Trap(
            "layers in the order of the alphabet",
            with_(numbers=part.as_text),
            'as text "10" comes before "2". Compare the numbers.',
            FILE,
        ),
        Trap(
            "layers in the file's order",
            with_(numbers=part.in_the_files_order),
            "a file has its tensors in any order; the names tell where they belong.",
            FILE,
            (with_(numbers=part.backwards),),
        ),
        Trap(
            "norms exchanged",
            with_(parts=part.NORMS_EXCHANGED),
            "attn_norm stands before the attention, ffn_norm before the feed-forward network. Both "
            "have the same shape, so nothing complains.",
            FILE,
        ),
        Trap(
            "another order within a block",
            with_(parts=part.LLAMAS),
            "the nine weights of a block come in the order of `BLOCK`.",
            FILE,
            (
                with_(parts=part.NORMS_FIRST),
                with_(parts=part.GATE_AND_UP),
                with_(parts=part.ALPHABET),
                with_(parts=part.as_the_file_has_them),
            ),
        ),
        Trap(
            "another order of the whole",
            with_(out=part.norm_second),
            "the embedding comes first, then the blocks, and the last norm is last.",
            FILE,
            (with_(out=part.norm_first), with_(out=part.without_norm)),
        ),
        Trap(
            "not a row for each block",
            with_(rows=part.by_kind),
            "a row belongs to one block, and has its nine weights one behind the other. All first "
            "norms, then all w_q, and so on, are another order of the same numbers.",
            FILE,
            (with_(rows=part.one_long_row), with_(rows=part.in_columns)),
        ),
        Trap(
            "weights that are not put together",
            with_(flattened=part.as_stored, rows=part.as_they_are, out=part.each_by_itself),
            "three tensors are returned: the embedding, a row for each block, the last norm.",
            FILE,
        ),
        Trap(
            "bytes taken for numbers",
            with_(decoded=part.bytes_as_numbers),
            "blocks are decoded by chapter 13's `dequantize_blocks`, each tensor by its kind.",
            FILE,
            (with_(decoded=part.always_q4),),
        ),
        Trap(
            "rounded to half precision",
            with_(decoded=part.in_half),
            "numbers stay as they are read, in single precision: in half, three digits are left.",
            FILE,
            (with_(decoded=part.in_bfloat16),),
        ),
        Trap(
            "what is missing is left out",
            with_(missing=False),
            "a tensor that is missing raises a ValueError. Where it is left out in silence, or "
            "filled with random numbers, the model talks nonsense and nobody knows why.",
            FILE,
        ),
        Trap(
            "what is unknown is passed over",
            with_(unknown=False),
            "a tensor that no part asks for means that the file is of another model: one with a "
            "readout of its own, or with biases. Raise a ValueError.",
            FILE,
        ),
        Trap(
            "any kind",
            with_(decoded=part.unknown_as_numbers),
            "a kind that you cannot read raises a ValueError.",
            FILE,
        ),
    ),
)
