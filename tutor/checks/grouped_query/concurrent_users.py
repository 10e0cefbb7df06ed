"""What ``concurrent_users`` must satisfy, and the wrong answers that people give."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Generator

import tutor.checks.grouped_query.plans as part
from tutor import grouped_query as reference
from tutor.checks.conditions import Condition, Crossed, Factor, Family, Row
from tutor.checks.draw import Draw
from tutor.checks.exercise import Case, Contract, Exercise, Trap
from tutor.checks.grouped_query.plans import with_
from tutor.checks.grouped_query.shared import CHAPTER, PLANNER

_HEADS = Factor(
    "heads",
    (
        Condition("twelve on three", value=(12, 3)),
        Condition("six on six", "a key head for each query head", (6, 6), alone=True),
        Condition("on one", "one key head for all", (8, 1), alone=True),
        Condition("nine on three", "9 query heads on 3 key heads", (9, 3)),
    ),
)
_WIDTH = Factor(
    "width",
    (
        Condition("its share", value=1),
        Condition("another", "heads wider than their share of the width", 2),
    ),
)
_BITS = Factor(
    "bits",
    (
        Condition("sixteen", value=(16, 16)),
        Condition("four", "weights of 4 bits", (4, 16), alone=True),
        Condition("eight", "a cache of 8 bits", (16, 8), alone=True),
        Condition("thirty-two", "weights of 32 bits, a cache of 4", (32, 4)),
    ),
)
_CONTEXT = Factor(
    "context",
    (
        Condition("thousands", value=(3_000, 9_000)),
        Condition("long", "a long context", (90_000, 200_000)),
        Condition("one token", "one token of context", (1, 2), edge=True),
    ),
)
_MEMORY = Factor(
    "memory",
    (
        Condition("enough", value=(4, 9)),
        Condition("much", "much memory", (60, 700)),
        Condition("too small", "a model that does not fit", (0, 0), edge=True, alone=True),
    ),
)
"""Beyond the weights, in GB."""
FAMILY = Family((_HEADS, _WIDTH, _BITS, _CONTEXT, _MEMORY))


def _arguments(draw: Draw, row: Row) -> tuple[Any, ...]:
    heads, kv_heads = row["heads"]
    share = 8 * draw.integer(4, 9)
    model = {
        "parameters": 2 * draw.integer(10**9, 4 * 10**9) + 1,
        "layers": draw.integer(11, 40),
        "width": heads * share,
        "heads": heads,
        "kv_heads": kv_heads,
        "head_width": share * row["width"],
    }
    (weight_bits, cache_bits), (low, high) = row["bits"], row["memory"]
    weights = model["parameters"] * weight_bits // (8 * 10**9)
    memory = weights + 1 + draw.integer(low, high) if high else draw.integer(1, max(2, weights))
    return model, draw.integer(*row["context"]), memory, weight_bits, cache_bits


def _by_hand(draw: Draw) -> Iterator[Case]:
    tiny = dict.fromkeys(("layers", "width", "heads", "kv_heads", "head_width"), 1)
    to_the_byte = {"parameters": 0, **tiny}
    yield Case("the example of the text", (_EXAMPLE, 10, 1, 16, 16))
    yield Case("the bits left out", (_EXAMPLE, 10, 1))
    yield Case("full to the last byte", (to_the_byte, 250_000_000, 1, 16, 16), "edges")
    yield Case("one byte too few", ({**to_the_byte, "parameters": 1}, 250_000_000, 1), "edges")
    small = {"parameters": draw.integer(5, 9) * 10**8, **tiny}
    yield Case("one head of one feature", (small, draw.integer(10, 99), 4, 16, 16), "edges")
    large = {**_EXAMPLE, "parameters": 405_853_388_800, "layers": 126, "head_width": 128}
    yield Case("a large model", (large, 131_072, 4_608, 16, 16))
    yield Case("no context must raise ValueError", (_EXAMPLE, 0, 1), "edges", ValueError)
    uneven = {**_EXAMPLE, "kv_heads": 3}
    yield Case("3 key heads for 4 must raise ValueError", (uneven, 10, 1), "edges", ValueError)


_EXAMPLE = {
    "parameters": 1_000,
    "layers": 3,
    "width": 8,
    "heads": 4,
    "kv_heads": 2,
    "head_width": 5,
}

CASES = Crossed(FAMILY, _arguments, _by_hand, usual="a model")


def _contract(generator: Generator, device: torch.device) -> Contract:
    return Contract(calls=())


def _trap(name: str, misconception: str, *forms: Any) -> Trap:
    first, *others = forms
    made = [f if callable(f) else with_(**f) for f in (first, *others)]
    return Trap(name, made[0], misconception, PLANNER, tuple(made[1:]))


CONCURRENT_USERS = Exercise(
    reference=reference.concurrent_users,
    chapter=CHAPTER,
    outputs=("number",),
    points={"values": 4, "edges": 2, "types": 1},
    cases=CASES,
    contract=_contract,
    traps=(
        _trap(
            "a cache of all query heads",
            "what is kept are keys and values, of kv_heads heads. Counted with the query heads, "
            "the cache of a grouped model is as large as if it were not grouped.",
            {"heads": part.query_heads},
            {"heads": part.one_head, "width": part.all_of_the_width},
        ),
        _trap(
            "the size of a group for the number of groups",
            "heads / kv_heads query heads share one key head. The key heads that are kept are "
            "kv_heads.",
            {"heads": part.heads_of_a_group},
        ),
        _trap(
            "one key head",
            "a token leaves a key and a value in each of the kv_heads heads, not in one of them.",
            {"heads": part.one_head},
        ),
        _trap(
            "the whole width for each head",
            "each key head is head_width wide. The width of the model is that of all query heads "
            "together, or something else.",
            {"width": part.all_of_the_width},
            {"width": part.one_width},
        ),
        _trap(
            "head_width from the width",
            "width / heads is the width of a head in most models and not in all of them. "
            "head_width says it.",
            {"width": part.by_the_width},
        ),
        _trap(
            "keys without values",
            "each token leaves a key and a value, two numbers for each feature of a head.",
            {"pair": part.once},
            {"pair": part.four_times},
        ),
        _trap(
            "one layer",
            "each layer has keys and values of its own: layers times as many.",
            {"layers": part.one_layer},
        ),
        _trap(
            "a GB of 2³⁰ bytes",
            "1 GB is 10⁹ bytes, here and on the label of a GPU; 2³⁰ bytes are a GiB, 7 % more.",
            {"bytes_of": part.binary},
        ),
        _trap(
            "memory in other units",
            "memory_gb is in GB, 10⁹ bytes, and the weights and the cache are in bytes.",
            {"bytes_of": part.as_it_is},
            {"bytes_of": part.megabytes},
            {"returned": part.in_gigabytes},
            {"returned": part.whole_gigabytes},
        ),
        _trap(
            "a reserve that nobody asked for",
            "a part of the memory was kept back. An engine does that; here all of it counts, and "
            "whoever plans says how much there is.",
            {"bytes_of": part.nine_tenths},
        ),
        _trap(
            "bits for bytes",
            "a byte has 8 bits: a number of 16 bits takes 2 bytes.",
            {"of_model": part.model_in_bits, "of_a_token": part.token_in_bits},
            {"of_model": part.model_in_bits},
            {"of_a_token": part.token_in_bits},
            {"of_model": part.model_counted, "of_a_token": part.token_counted},
            {"of_model": part.model_counted},
            {"of_a_token": part.token_counted},
        ),
        _trap(
            "4 bits are no byte",
            "bits // 8 is 0 for 4 bits. Multiply first, and divide the product by 8.",
            {"of_model": part.model_by_whole_bytes, "of_a_token": part.token_by_whole_bytes},
            {"of_model": part.model_by_whole_bytes},
            {"of_a_token": part.token_by_whole_bytes},
            {
                "of_model": part.model_by_whole_bytes,
                "of_a_token": part.token_by_whole_bytes,
                "divided": part.none_for_nothing,
            },
            {"of_a_token": part.token_by_whole_bytes, "divided": part.none_for_nothing},
            {
                "of_model": part.model_by_a_byte_at_least,
                "of_a_token": part.token_by_a_byte_at_least,
            },
            {"of_model": part.model_by_a_byte_at_least},
            {"of_a_token": part.token_by_a_byte_at_least},
        ),
        _trap(
            "half a byte dropped",
            "an odd number of parameters in 4 bits ends in the middle of a byte, which is needed "
            "as a whole: round up.",
            {"of_model": part.model_rounded_down},
        ),
        _trap(
            "the precision of the other",
            "weights and cache have a precision each: weight_bits and cache_bits.",
            {"bits": part.of_the_weights},
            {"of_model": part.model_as_the_cache},
            {"bits": part.of_the_weights, "of_model": part.model_as_the_cache},
        ),
        _trap(
            "always 16 bits",
            "weight_bits and cache_bits say how wide a number is. 16 is only what they are if they "
            "are left out.",
            {"bits": part.always(16)},
            {"of_model": part.model_in(16)},
            {"bits": part.always(16), "of_model": part.model_in(16)},
            {"bits": part.always(32), "of_model": part.model_in(32)},
        ),
        _trap(
            "the weights take no room",
            "the weights lie in the same memory, once for all users, and the caches share what is "
            "left.",
            {"left": part.all_of_it},
            {"left": part.added},
        ),
        _trap(
            "weights for each user",
            "all users are served by the same weights. What each of them has for himself is a "
            "cache.",
            part.model_for_each_user,
        ),
        _trap(
            "users of one token",
            "a user keeps a key and a value for each token of the context.",
            {"of_a_user": part.one_token},
            {"of_a_user": part.one_more},
            {"of_a_user": part.squared},
        ),
        _trap(
            "a context's bytes for a token's",
            "the second number is what one token leaves behind, and not what a whole context does.",
            part.a_users_cache,
        ),
        _trap(
            "rounded up",
            "the last user, for whom there is not enough memory, does not fit: round down.",
            {"divided": part.rounded_up},
            {"divided": part.rounded},
            {"bounded": part.none_where_one},
        ),
        _trap(
            "fewer than none",
            "where the weights alone do not fit, 0 users do.",
            {"bounded": part.negative_too},
            {"bounded": part.absolute},
            {"bounded": part.at_least_one},
        ),
        _trap(
            "numbers with a point",
            "bytes and users are whole numbers. The operator / makes floats, which count exactly "
            "to 2⁵³ only and are no answer to how many.",
            {"of_model": part.model_in_floats, "of_a_token": part.token_in_floats},
            {"of_model": part.model_in_floats},
            {"of_a_token": part.token_in_floats},
            {"divided": part.not_rounded},
            {"returned": part.floats},
        ),
        _trap(
            "another order",
            "asked for are three numbers: bytes of the weights, bytes of a token, users.",
            {"returned": part.users_first},
            {"returned": part.token_first},
            {"returned": part.users_alone},
        ),
        _trap(
            "nothing refused",
            "a context has at least one token, and kv_heads divides heads. What is no plan must "
            "raise a ValueError.",
            {"refused": part.never},
            {"refused": part.never, "divided": part.none_for_nothing},
            {"refused": part.of_context_alone},
            {"refused": part.of_heads_alone},
            {"refused": part.of_heads_alone, "divided": part.none_for_nothing},
        ),
    ),
)
