"""What ``causal_mask`` must satisfy, and the wrong answers that people give."""

from collections.abc import Iterator

import torch
from torch import Generator

from tutor import attention as reference
from tutor.checks.attention.shared import CHAPTER
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


def _strict(num_queries, num_keys, device=None):
    ones = torch.ones(num_queries, num_keys, dtype=torch.bool, device=device)
    return ones.tril(num_keys - num_queries - 1)


def _one_ahead(num_queries, num_keys, device=None):
    ones = torch.ones(num_queries, num_keys, dtype=torch.bool, device=device)
    return ones.tril(num_keys - num_queries + 1)


def _inverted(num_queries, num_keys, device=None):
    ones = torch.ones(num_queries, num_keys, dtype=torch.bool, device=device)
    return ones.triu(num_keys - num_queries + 1)


def _future_only(num_queries, num_keys, device=None):
    ones = torch.ones(num_queries, num_keys, dtype=torch.bool, device=device)
    return ones.triu(num_keys - num_queries)


def _upper_left(num_queries, num_keys, device=None):
    return torch.ones(num_queries, num_keys, dtype=torch.bool, device=device).tril()


def _square(num_queries, num_keys, device=None):
    return torch.ones(num_queries, num_queries, dtype=torch.bool, device=device).tril()


def _float(num_queries, num_keys, device=None):
    return torch.ones(num_queries, num_keys, device=device).tril(num_keys - num_queries)


def _additive(num_queries, num_keys, device=None):
    banned = torch.full((num_queries, num_keys), -torch.inf, device=device)
    return banned.triu(num_keys - num_queries + 1)


def _wrong_shift(num_queries, num_keys, device=None):
    ones = torch.ones(num_queries, num_keys, dtype=torch.bool, device=device)
    return ones.tril(num_queries - num_keys)


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
            _strict,
            "a token may read itself; only what comes after it is hidden. With the diagonal "
            "excluded, the first token may read nothing at all.",
            "The causal mask",
        ),
        Trap(
            "shifted forward by one",
            _one_ahead,
            "every query may read one token too many: the very one that it is to predict. Training "
            "loss falls to almost nothing, and generation, where that token does not exist yet, is "
            "noise.",
            "The causal mask",
        ),
        Trap(
            "inverted",
            _inverted,
            "in this course, and in F.scaled_dot_product_attention, True means may be read. "
            "nn.MultiheadAttention uses True for hidden, which is where this usually comes from.",
            "The causal mask",
        ),
        Trap(
            "the future instead of the past",
            _future_only,
            "the triangle is the wrong one: row i should be True at columns up to i. triu keeps "
            "what comes after, tril what comes before.",
            "The causal mask",
        ),
        Trap(
            "aligned to the wrong corner",
            _upper_left,
            "with fewer queries than keys the queries are the newest positions, so the last query "
            "stands at the last key. A triangle from the upper left corner hides the whole recent "
            "past from a model that generates with a cache. (is_causal=True of torch's own SDPA "
            "does exactly that.)",
            "The causal mask",
        ),
        Trap(
            "shifted the wrong way",
            _wrong_shift,
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
            _square,
            "there are two sizes. Rows are queries, columns are keys, and while generating there "
            "is one query and a long past.",
            "The causal mask",
        ),
        Trap(
            "ones and zeros instead of True and False",
            _float,
            "torch.ones makes floats. A float mask is *added* to the scores by torch's SDPA, and "
            "~mask is an error: the same numbers, another meaning.",
            "The causal mask",
        ),
        Trap(
            "a mask to be added",
            _additive,
            "0 and -inf are the additive form. Here a mask says keep or not: True and False.",
            "The causal mask",
        ),
    ),
)
