"""What ``causal_mask`` must satisfy, and the wrong answers that people give."""

from collections.abc import Iterator

import torch
from torch import Generator

from tutor import attention as reference
from tutor.checks.attention.shared import CHAPTER
from tutor.checks.changes import changeable
from tutor.checks.conditions import Condition, Crossed, Factor, Family
from tutor.checks.draw import Draw
from tutor.checks.exercise import Case, Contract, Exercise, Trap
from tutor.checks.families import DEVICE, where
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


def _each_with_each(num_queries, num_keys):
    return num_queries, num_keys


def _past(num_queries, num_keys):
    return num_keys - num_queries


def _lower(ones, diagonal):
    return ones.tril(diagonal)


def _as_it_is(mask):
    return mask


def _mask(
    num_queries,
    num_keys,
    device=None,
    sizes=_each_with_each,
    corner=_past,
    shift=0,
    triangle=_lower,
    form=_as_it_is,
):
    """The right mask, but for the parts that are given."""
    ones = torch.ones(sizes(num_queries, num_keys), dtype=torch.bool, device=device)
    return form(triangle(ones, corner(num_queries, num_keys) + shift))


_with = changeable(_mask)


def _square_of_queries(num_queries, num_keys):
    return num_queries, num_queries


def _square_of_keys(num_queries, num_keys):
    return num_keys, num_keys


def _keys_first(num_queries, num_keys):
    return num_keys, num_queries


def _upper_left(num_queries, num_keys):
    return 0


def _upper_left_but_for_one(num_queries, num_keys):
    return num_keys - 1 if num_queries == 1 else 0


def _wrong_way(num_queries, num_keys):
    return num_queries - num_keys


def _inverted(ones, diagonal):
    return ones.triu(diagonal + 1)


def _upper(ones, diagonal):
    return ones.triu(diagonal)


def _everything(ones, diagonal):
    return ones


def _itself(ones, diagonal):
    return ones.tril(diagonal).triu(diagonal)


def _of_dtype(dtype):
    return lambda mask: mask.to(dtype)


def _with_dimensions(count):
    return lambda mask: mask[(None,) * count]


def _to_be_added(mask):
    return torch.zeros_like(mask, dtype=torch.float32).masked_fill(~mask, -torch.inf)


def _counted_in(dtype):
    def wrong(num_queries, num_keys, device=None):
        queries = torch.arange(num_keys - num_queries, num_keys, device=device).to(dtype)
        return torch.arange(num_keys, device=device).to(dtype) <= queries[:, None]

    return wrong


CAUSAL_MASK = Exercise(
    reference=reference.causal_mask,
    chapter=CHAPTER,
    points={"values": 2, "edges": 1, "types": 1, "contracts": 1},
    cases=CASES,
    contract=_contract,
    traps=(
        Trap(
            "shifted back by one",
            _with(shift=-1),
            "a token may read itself; only what comes after it is hidden. With the diagonal "
            "excluded, the first token may read nothing at all.",
            "The causal mask",
        ),
        Trap(
            "shifted forward by one",
            _with(shift=1),
            "every query may read one token too many: the very one that it is to predict. Training "
            "loss falls to almost nothing, and generation, where that token does not exist yet, is "
            "noise.",
            "The causal mask",
        ),
        Trap(
            "inverted",
            _with(triangle=_inverted),
            "in this course, and in F.scaled_dot_product_attention, True means may be read. "
            "nn.MultiheadAttention uses True for hidden, which is where this usually comes from.",
            "The causal mask",
        ),
        Trap(
            "the future instead of the past",
            _with(triangle=_upper),
            "the triangle is the wrong one: row i should be True at columns up to i. triu keeps "
            "what comes after, tril what comes before.",
            "The causal mask",
        ),
        Trap(
            "aligned to the wrong corner",
            _with(corner=_upper_left),
            "with fewer queries than keys the queries are the newest positions, so the last query "
            "stands at the last key. A triangle from the upper left corner hides the whole recent "
            "past from a model that generates with a cache. (is_causal=True of torch's own SDPA "
            "does exactly that.)",
            "The causal mask",
            (_with(corner=_upper_left_but_for_one),),
        ),
        Trap(
            "shifted the wrong way",
            _with(corner=_wrong_way),
            "the diagonal moves by Tk - Tq: to the right, where there is a past of so many keys. "
            "By Tq - Tk it moves to the left, and the newest query reads hardly more than the "
            "oldest keys.",
            "The causal mask",
        ),
        Trap(
            "positions in a short dtype",
            _counted_in(torch.bfloat16),
            "bfloat16 counts to 256 and then skips, half precision to 2,048, and integers of 8 "
            "bits end at 127 or 255: neighbours become the same number. Count in int64, which "
            "torch.arange does by itself.",
            "The causal mask",
            tuple(map(_counted_in, (torch.float16, torch.int8, torch.uint8))),
        ),
        Trap(
            "always square",
            _with(sizes=_square_of_queries, corner=_upper_left),
            "there are two sizes. Rows are queries, columns are keys, and while generating there "
            "is one query and a long past.",
            "The causal mask",
            (_with(sizes=_square_of_keys, corner=_upper_left),),
        ),
        Trap(
            "rows of keys",
            _with(sizes=_keys_first),
            "mask[i, j] says whether query i may read key j: rows are queries, columns are keys. "
            "A square hides that the two were swapped.",
            "The causal mask",
        ),
        Trap(
            "nothing hidden",
            _with(triangle=_everything),
            "ones alone hide nothing: every query reads the whole future. tril keeps the part of "
            "them that lies in the past.",
            "The causal mask",
        ),
        Trap(
            "only itself",
            _with(triangle=_itself),
            "== lets a token read its own position and nothing else. It may read itself and all "
            "that came before: <=.",
            "The causal mask",
        ),
        Trap(
            "dimensions in front",
            _with(form=_with_dimensions(2)),
            "a mask of (Tq, Tk) broadcasts over the batch and the heads by itself. Whoever needs "
            "a dimension more puts it there; asked for are two.",
            "The causal mask",
            (_with(form=_with_dimensions(1)),),
        ),
        Trap(
            "ones and zeros instead of True and False",
            _with(form=_of_dtype(torch.float32)),
            "torch.ones makes floats. A float mask is *added* to the scores by torch's SDPA, and "
            "~mask is an error: the same numbers, another meaning.",
            "The causal mask",
            tuple(
                _with(form=_of_dtype(dtype)) for dtype in (torch.int64, torch.int32, torch.uint8)
            ),
        ),
        Trap(
            "a mask to be added",
            _with(form=_to_be_added),
            "0 and -inf are the additive form. Here a mask says keep or not: True and False.",
            "The causal mask",
        ),
    ),
)
