"""What ``causal_mask`` must satisfy, and the wrong answers that people give."""

from collections.abc import Iterator

import torch
from torch import Generator

import tutor.checks.attention.triangles as triangles
from tutor import attention as reference
from tutor.checks.attention.shared import CHAPTER
from tutor.checks.attention.triangles import with_
from tutor.checks.conditions import Condition, Crossed, Factor, Family
from tutor.checks.crossings import DEVICE, where
from tutor.checks.draw import Draw
from tutor.checks.exercise import Case, Contract, Exercise, Trap
from tutor.checks.limits import between

_SIZES = Factor(
    "sizes",
    (
        Condition("square", value=(5, 5)),
        Condition("newest", "three new queries, five keys", (3, 5), edge=True, alone=True),
        Condition("one query", "one new query, all the past", (1, 7), edge=True, alone=True),
        Condition("one token", "a single token", (1, 1), edge=True, alone=True),
        # Small integers end at 127, and half precision counts to 2,048.
        Condition("long", "two new queries, a past of 2,050", (2, 2050), edge=True, alone=True),
    ),
)

FAMILY = Family((_SIZES, DEVICE))


def _by_hand(draw: Draw) -> Iterator[Case]:
    n = draw.integer(6, 12)
    yield Case("square, of a size drawn by lot", (n, n, draw.device))
    yield Case("two queries, two keys", (2, 2, draw.device))
    tq = draw.integer(2, 6)
    yield Case("rectangular, by lot", (tq, tq + draw.integer(1, 6), draw.device), "edges")


CASES = Crossed(
    FAMILY,
    lambda draw, row: (*row["sizes"], *where(draw, row)),
    _by_hand,
    usual="five queries, five keys",
)


def _contract(generator: Generator, device: torch.device) -> Contract:
    return Contract(
        calls=((24, 32, device),),
        max_intermediate=between(56**2, 1024**2),  # a table for the longest text, cut to size
    )


CAUSAL_MASK = Exercise(
    reference=reference.causal_mask,
    chapter=CHAPTER,
    points={"values": 2, "edges": 1, "types": 1, "contracts": 1},
    cases=CASES,
    contract=_contract,
    traps=(
        Trap(
            "shifted back by one",
            with_(shift=-1),
            "a token may read itself; only what comes after it is hidden. With the diagonal "
            "excluded, the first token may read nothing at all.",
            "The causal mask",
        ),
        Trap(
            "shifted forward by one",
            with_(shift=1),
            "every query may read one token too many: the very one that it is to predict. Training "
            "loss falls to almost nothing, and generation, where that token does not exist yet, is "
            "noise.",
            "The causal mask",
        ),
        Trap(
            "inverted",
            with_(triangle=triangles.inverted),
            "in this course, and in F.scaled_dot_product_attention, True means may be read. "
            "nn.MultiheadAttention uses True for hidden, which is where this usually comes from.",
            "The causal mask",
        ),
        Trap(
            "the future instead of the past",
            with_(triangle=triangles.upper),
            "the triangle is the wrong one: row i should be True at columns up to i. triu keeps "
            "what comes after, tril what comes before.",
            "The causal mask",
        ),
        Trap(
            "aligned to the wrong corner",
            with_(corner=triangles.upper_left),
            "with fewer queries than keys the queries are the newest positions, so the last query "
            "stands at the last key. A triangle from the upper left corner hides the whole recent "
            "past from a model that writes word by word. (torch's own "
            "F.scaled_dot_product_attention does exactly that with is_causal=True.)",
            "The causal mask",
            (with_(corner=triangles.upper_left_but_for_one),),
        ),
        Trap(
            "shifted the wrong way",
            with_(corner=triangles.wrong_way),
            "the diagonal moves by Tk - Tq: to the right, where there is a past of so many keys. "
            "By Tq - Tk it moves to the left, and the newest query reads hardly more than the "
            "oldest keys.",
            "The causal mask",
        ),
        Trap(
            "positions in a short dtype",
            with_(triangle=triangles.counted_in(torch.bfloat16)),
            "bfloat16 counts to 256 and half precision to 2,048; then neighbours become the same "
            "number. Integers of 8 bits begin again below after 127 or 255. Count in int64, which "
            "torch.arange does by itself.",
            "The causal mask",
            tuple(
                with_(triangle=triangles.counted_in(dtype))
                for dtype in (torch.float16, torch.int8, torch.uint8)
            ),
        ),
        Trap(
            "always square",
            with_(sizes=triangles.square_of_queries, corner=triangles.upper_left),
            "there are two sizes. Rows are queries, columns are keys, and while generating there "
            "is one query and a long past.",
            "The causal mask",
            (with_(sizes=triangles.square_of_keys, corner=triangles.upper_left),),
        ),
        Trap(
            "rows of keys",
            with_(sizes=triangles.keys_first),
            "mask[i, j] says whether query i may read key j: rows are queries, columns are keys. "
            "A square of ones hides that the two were swapped.",
            "The causal mask",
            (with_(turn=triangles.on_its_side),),
        ),
        Trap(
            "nothing hidden",
            with_(triangle=triangles.everything),
            "ones alone hide nothing: every query reads the whole future. tril keeps the part of "
            "them that lies in the past.",
            "The causal mask",
        ),
        Trap(
            "the future hidden in squares only",
            with_(triangle=triangles.of_squares),
            "fewer queries than keys may be several: new tokens that are read at once. Each but "
            "the last has a future of its own. Only a single new query may read everything, and "
            "the comparison of positions gives that by itself.",
            "The causal mask",
        ),
        Trap(
            "only itself",
            with_(triangle=triangles.itself),
            "== lets a token read its own position and nothing else. It may read itself and all "
            "that came before: <=.",
            "The causal mask",
        ),
        Trap(
            "a window over the past",
            with_(triangle=triangles.as_wide_as_the_past),
            "the oldest keys fall out of reach as the queries go on. A causal mask hides the "
            "future and nothing else: the first key may be read by every query, so there is no "
            "second bound.",
            "The causal mask",
            (
                with_(triangle=triangles.as_wide_as_the_queries),
                *(with_(triangle=triangles.of_width(width)) for width in triangles.WIDTHS),
            ),
        ),
        Trap(
            "one row for all queries",
            with_(triangle=triangles.row_of_the_first),
            "every row is the same, as if all queries stood where the first one stands. Each has a "
            "position of its own: i + Tk - Tq for query i, and it may read up to there.",
            "The causal mask",
            (with_(triangle=triangles.row_before_the_first),),
        ),
        Trap(
            "the past hidden",
            with_(triangle=triangles.own_stretch),
            "the keys from before the first query are hidden. They are the past that generation "
            "reads from its cache: every query may read all of them, so their columns are True.",
            "The causal mask",
        ),
        Trap(
            "the past behind the triangle",
            with_(triangle=triangles.past_behind),
            "the columns that every query may read were put last, where the newest keys are. Keys "
            "stand in order of time: the past comes first, and the triangle ends at the last key.",
            "The causal mask",
        ),
        Trap(
            "time counted backwards",
            with_(turn=triangles.reversed(0)),
            "rows and columns stand in order of time. Row 0 is the oldest query and may read "
            "least; the last row is the newest and reads every key.",
            "The causal mask",
            (with_(turn=triangles.reversed(1)),),
        ),
        Trap(
            "a longest length built in",
            with_(cut=triangles.rows_and_columns_up_to(triangles.LONGEST[0])),
            "a table, or a row of positions, of fixed length was cut to size, and here it is too "
            "short. num_keys has no bound: make the mask of the two sizes of the call.",
            "The causal mask",
            (
                *(
                    with_(cut=triangles.rows_and_columns_up_to(longest))
                    for longest in triangles.LONGEST[1:]
                ),
                *(with_(cut=triangles.columns_up_to(longest)) for longest in triangles.LONGEST),
            ),
        ),
        Trap(
            "a dimension squeezed away",
            with_(form=triangles.first_squeezed),
            "squeeze() drops a dimension of length 1, and a single query is one. The mask of one "
            "new query has the shape (1, Tk): asked for are always two dimensions.",
            "The causal mask",
            (with_(form=triangles.squeezed),),
        ),
        Trap(
            "dimensions in front",
            with_(form=triangles.with_dimensions(2)),
            "a mask of (Tq, Tk) broadcasts over the batch and the heads by itself. Whoever needs "
            "a dimension more puts it there; asked for are two.",
            "The causal mask",
            (with_(form=triangles.with_dimensions(1)),),
        ),
        Trap(
            "ones and zeros instead of True and False",
            with_(kind=triangles.of_dtype(torch.float32)),
            "torch.ones makes floats. A float mask is *added* to the scores by torch's SDPA, and "
            "~mask is an error: the same numbers, another meaning.",
            "The causal mask",
            tuple(
                with_(kind=triangles.of_dtype(dtype))
                for dtype in (torch.int64, torch.int32, torch.uint8)
            ),
        ),
        Trap(
            "a mask to be added",
            with_(kind=triangles.to_be_added(-torch.inf)),
            "0 and -inf, or a very low number, are the additive form. Here a mask says keep or "
            "not: True and False.",
            "The causal mask",
            (
                with_(kind=triangles.to_be_added(torch.finfo(torch.float32).min)),
                with_(kind=triangles.to_be_added(-1e9)),
            ),
        ),
    ),
)
