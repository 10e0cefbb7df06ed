"""What ``kv_cache_bytes`` must satisfy, and the wrong answers that people give."""

from collections.abc import Iterator

import torch
from torch import Generator

from tutor import kv_cache as reference
from tutor.checks.changes import changeable
from tutor.checks.conditions import Condition, Crossed, Factor, Family, Row
from tutor.checks.draw import Draw
from tutor.checks.exercise import Case, Contract, Exercise, Trap
from tutor.checks.kv_cache.shared import BYTES, CHAPTER

_HEADS = Factor(
    "heads",
    (
        Condition("grouped", value=(12, 3)),
        Condition("large groups", "eight query heads to a key head", (24, 3)),
        Condition("each its own", "as many key heads as query heads", (6, 6), alone=True),
        Condition("one for all", "one key head for all", (6, 1), edge=True, alone=True),
    ),
)
"""H and G."""
_WIDTH = Factor(
    "width",
    (
        Condition("own", value=7),
        Condition("narrow", "heads of width 1", 1, edge=True),
    ),
)
_TOKENS = Factor(
    "tokens",
    (
        Condition("some", value=lambda draw: draw.integer(20, 99)),
        Condition("one", "one token", lambda draw: 1, edge=True, alone=True),
        Condition("nothing read", "no token", lambda draw: 0, edge=True, alone=True),
        Condition("many", "131,072 tokens", lambda draw: 2**17),
    ),
)
_MORE = Factor(
    "more",
    (
        Condition("both", value=(5, torch.float32)),
        Condition("neither", "batch and dtype left out", (), alone=True),
        Condition("batch", "the dtype left out", (5,), alone=True),
        Condition("bytes", "numbers of one byte", (5, torch.int8)),
        Condition("in half", "bfloat16", (5, torch.bfloat16)),
        Condition("in double", "double precision", (5, torch.float64)),
        Condition("one text", "one text", (1, torch.float32), edge=True),
    ),
)
FAMILY = Family((_HEADS, _WIDTH, _TOKENS, _MORE))


def _arguments(draw: Draw, row: Row) -> tuple:
    heads, groups = row["heads"]
    layers = draw.integer(25, 35)
    return layers, heads * row["width"], heads, groups, row["tokens"](draw), *row["more"]


def _by_hand(draw: Draw) -> Iterator[Case]:
    yield Case("SmolLM2, one token", (30, 576, 9, 3, 1))
    yield Case("Llama 3 70B, 8,192 tokens", (80, 8192, 64, 8, 8192))
    yield Case("the example of the text", (2, 12, 4, 2, 5))
    yield Case("one head", (3, 10, 1, 1, 7))
    for name, wrong in {
        "a negative number of tokens": (2, 12, 4, 2, -1),
        "a negative number of layers": (-2, 12, 4, 2, 5),
        "a negative width": (2, -12, 4, 2, 5),
        "a negative number of key heads": (2, 12, 4, -2, 5),
        "a negative number of texts": (2, 12, 4, 2, 5, -1),
        "heads that do not divide the width": (2, 12, 5, 1, 4),
        "no heads": (2, 12, 0, 1, 4),
    }.items():
        yield Case(f"{name} must raise ValueError", wrong, "edges", ValueError)


CASES = Crossed(FAMILY, _arguments, _by_hand, usual="several texts")


def all_layers(n):
    return n


def key_heads(h, g):
    return g


def of_a_head(width, heads):
    return width // heads


def each_token(tokens):
    return tokens


def each_text(batch):
    return batch


def in_bytes(dtype):
    return dtype.itemsize


def counted(
    num_layers,
    width,
    num_heads,
    num_kv_heads,
    tokens,
    batch=1,
    dtype=torch.float16,
    both=2,
    layers=all_layers,
    heads=key_heads,
    wide=of_a_head,
    read=each_token,
    texts=each_text,
    each=in_bytes,
    unit=1,
    refuses=True,
):
    """The right number, but for the parts that are given."""
    if refuses and (min(num_layers, width, num_kv_heads, tokens, batch) < 0 or num_heads < 1):
        raise ValueError("no size may be negative")
    if refuses and width % num_heads:
        raise ValueError("heads must divide the width")
    numbers = both * layers(num_layers) * heads(num_heads, num_kv_heads) * wide(width, num_heads)
    found = numbers * read(tokens) * texts(batch) * each(dtype)
    return found if unit == 1 else found / unit


with_ = changeable(counted)


def the_first_layer(n):
    return 1


def query_heads(h, g):
    return h


def heads_of_a_group(h, g):
    return h // max(g, 1)


def a_single_head(h, g):
    return 1


def of_the_model(width, heads):
    return width


def each_pair(tokens):
    return tokens * tokens


def each_pair_once(tokens):
    return tokens * (tokens + 1) // 2


def the_last_token(tokens):
    return 1


def a_single_text(batch):
    return 1


def in_two_bytes(dtype):
    return 2


def in_four_bytes(dtype):
    return 4


def in_bits(dtype):
    return 8 * dtype.itemsize


def in_sixteen(dtype):
    return 16


def in_numbers(dtype):
    return 1


TRAPS = (
    Trap(
        "keys alone",
        with_(both=1),
        "each token leaves a key *and* a value: the query asks the one and is answered with the "
        "other. Twice as much.",
        BYTES,
    ),
    Trap(
        "one layer",
        with_(layers=the_first_layer),
        "each layer has keys and values of its own, made from what the layer below has said.",
        BYTES,
    ),
    Trap(
        "every query head",
        with_(heads=query_heads),
        "keys and values have num_kv_heads heads, of which several query heads read each. Counted "
        "by the width of the model, or by num_heads, the cache is H / G times too large.",
        BYTES,
    ),
    Trap(
        "groups taken for the size of one",
        with_(heads=heads_of_a_group),
        "num_kv_heads says how many key heads there are, and not how many query heads share one.",
        BYTES,
    ),
    Trap(
        "one head for a layer",
        with_(heads=a_single_head),
        "a layer has num_kv_heads heads of keys, each of width D. One of them is not all.",
        BYTES,
    ),
    Trap(
        "the width of the model for a head's",
        with_(wide=of_the_model),
        "a head has width / num_heads features.",
        BYTES,
    ),
    Trap(
        "one text",
        with_(texts=a_single_text),
        "texts of a batch share the weights and nothing else: each has a cache of its own.",
        BYTES,
    ),
    Trap(
        "two bytes whatever is asked for",
        with_(each=in_two_bytes),
        "how many bytes a number has says its dtype: `dtype.itemsize`.",
        BYTES,
        (with_(each=in_four_bytes),),
    ),
    Trap(
        "bits",
        with_(each=in_bits),
        "`itemsize` is in bytes already.",
        BYTES,
        (with_(each=in_sixteen),),
    ),
    Trap(
        "numbers instead of bytes",
        with_(each=in_numbers),
        "that is how many numbers there are. Each of them takes `dtype.itemsize` bytes.",
        BYTES,
    ),
    Trap(
        "the matrix of scores",
        with_(read=each_pair),
        "the cache grows with the number of tokens, not with its square: the scores of all pairs "
        "are nowhere kept.",
        BYTES,
        (with_(read=each_pair_once),),
    ),
    Trap(
        "one token",
        with_(read=the_last_token),
        "each token that has been read leaves its keys and values.",
        BYTES,
    ),
    Trap(
        "in another unit",
        with_(unit=2**30),
        "asked for are bytes: neither divided by 1,000 nor by 1,024, however often.",
        BYTES,
        tuple(with_(unit=u) for u in (2**20, 2**10, 10**9, 10**6, 10**3)),
    ),
    Trap(
        "sizes that nobody can have",
        with_(refuses=False),
        "a negative size, or heads that do not divide the width, are somebody's mistake: raise a "
        "ValueError and do not answer with a number.",
        BYTES,
    ),
)


def _contract(generator: Generator, device: torch.device) -> Contract:
    return Contract(calls=())


KV_CACHE_BYTES = Exercise(
    reference=reference.kv_cache_bytes,
    chapter=CHAPTER,
    points={"values": 3, "edges": 1},
    cases=CASES,
    contract=_contract,
    outputs=("bytes",),
    traps=TRAPS,
)
