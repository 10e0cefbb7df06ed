"""The families of functions, and the conditions that each of them has to cope with."""

import math

import torch
from torch import Tensor

from tutor.checks.conditions import Condition, Factor, Family, Row, pair
from tutor.checks.draw import BFLOAT, DOUBLE, HALF, SINGLE, Draw, laid

# Factors

DTYPE = Factor(
    "dtype",
    (
        Condition("double", value=DOUBLE),
        Condition("single", "single precision", SINGLE, alone=True),
        Condition("half", "half precision", HALF, alone=True),
        Condition("bfloat16", "bfloat16", BFLOAT, alone=True),
    ),
)

SCORES = Factor(
    "scores",
    (
        Condition("ordinary", value=1.0),
        Condition("small", "small numbers", 0.01),
        Condition("extreme", "scores near 3,000, near -100 and far lower", edge=True, alone=True),
    ),
)
"""The scale of q, k and v; None for the scores of ``extreme``."""

SCALE = Factor(
    "scale", (Condition("around 1", value=1.0), Condition("tiny", "small numbers", 0.01))
)
"""Of numbers that no exponential sees: large ones are ordinary ones times a constant."""

MASK = Factor(
    "mask",
    (
        Condition("no mask"),
        Condition("random", "a mask for each query", "random", edge=True, alone=True),
        Condition("causal", "a causal mask", "causal", edge=True, alone=True),
        Condition("ragged", "a padding mask", "ragged", edge=True, alone=True),
        Condition("nothing", "some queries may read nothing", "nothing", edge=True, alone=True),
        Condition("one for all", "one mask for all", "shared", edge=True, alone=True),
    ),
)

LAYOUT = Factor(
    "layout",
    (
        Condition("contiguous"),
        Condition("turned", "not contiguous", "turned", alone=True),
        Condition("behind", "time before the batch in memory", "behind"),
        Condition("views", "views of other tensors", "views"),
    ),
)

BATCH = Factor(
    "batch",
    (
        Condition("one", value=(2,)),
        Condition("none", "no batch dimension", (), alone=True),
        Condition("two", "a batch of several heads", (2, 4), alone=True),
        Condition("three", "batch dimensions 2, 1 and 4", (2, 1, 4)),
    ),
)

LENGTHS = Factor(
    "lengths",
    (
        Condition("few", value=(3, 5)),
        Condition("one key", "one query, one key", (1, 1), edge=True),
        Condition("one query", "one query, many keys", (1, 6), edge=True),
        Condition("more queries", "more queries than keys", (9, 5)),
    ),
)

TOKENS = Factor(
    "lengths",
    (
        Condition("five", value=(5, 5)),
        Condition("one key", "a single token", (1, 1), edge=True),
    ),
)
"""Of a sequence that reads itself."""

INTEGERS = Factor(
    "integers",
    (
        Condition("int64", value=torch.int64),
        Condition("int32", "32-bit integers", torch.int32, alone=True),
        Condition("int16", "16-bit integers", torch.int16),
        Condition("bytes", "integers of one byte without a sign", torch.uint8),
    ),
)

SENTENCES = Factor(
    "sentences",
    (
        Condition("ragged"),
        Condition("an empty one", "a sentence of length 0", "empty", edge=True, alone=True),
        Condition("all full", "all as long as the longest", "full", edge=True, alone=True),
    ),
)

NUMBER = Factor(
    "number",
    (
        Condition("of three", value=(3,)),
        Condition("of one", "one sentence", (1,), edge=True),
        Condition("of none", "no batch dimension", (), edge=True, alone=True),
        Condition("of two", "two batch dimensions", (2, 3), edge=True, alone=True),
    ),
)
"""Of sentences."""

DEVICE = Factor(
    "device",
    (
        Condition("given", value=lambda device: (device,)),
        Condition("named", "the device by its name", lambda device: (str(device),)),
        Condition("left out", "the device left out", lambda device: (), alone=True),
    ),
)

# Families

ATTENTION = Family(
    (DTYPE, MASK, SCORES, LAYOUT, BATCH, LENGTHS),
    together=(("random", "extreme"), ("half", "nothing", "extreme")),
    apart={
        pair("behind", "none"): "without a batch dimension there are no heads to lie elsewhere",
        **{
            pair("one key", mask): "of one key nothing can be hidden without hiding all"
            for mask in ("random", "causal", "ragged", "one for all")
        },
        pair("causal", "more queries"): "queries are the newest of the keys' positions",
        pair("causal", "one query"): "the newest query may read all: nothing is hidden",
    },
)
"""Functions of q, k, v and keep."""

OF_ITSELF = ATTENTION.but(TOKENS)
"""Functions of a sequence that reads itself."""


def extreme(
    num_queries: int, num_keys: int, dtype: torch.dtype
) -> tuple[list[list[float]], list[list[float]]]:
    """Three features of each query and of each key, whose products are extreme scores.

    The first query scores 3,000 with the last key and 1,000 or less with the others, the last
    scores -200,000 and less (in half precision a tenth of that: it ends at -65,504), and those
    between -100 and less. The scores of one query are so far apart that it reads one key, in any
    precision and by any formula: rounding decides nothing.
    """
    queries = [[0.0, 1.0, 0.0] for _ in range(num_queries)]
    queries[0], queries[-1] = [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]
    low = -20000.0 if dtype == HALF else -200000.0
    keys = [[1000.0 - 200 * j, -100.0 - 40 * j, low * (1 + j / 40)] for j in range(num_keys)]
    keys[-1][0] = 3000.0
    return queries, keys


def extreme_rows(draw: Draw, *shape: int, dtype: torch.dtype) -> Tensor:
    """Scores like those: rows near 3,000, near -100 and far lower by turns."""
    _, levels = extreme(1, shape[-1], dtype)
    rows = torch.tensor(levels, dtype=DOUBLE).mT
    turn = torch.arange(math.prod(shape[:-1])) % 3
    return rows[turn].reshape(shape).to(draw.device, dtype)


def scored(draw: Draw, row: Row, d: int) -> tuple[Tensor, Tensor]:
    """q and k whose scores q kᵀ / √d are those of the row."""
    (tq, tk), batch, dtype, scale = row["lengths"], row["batch"], row["dtype"], row["scores"]
    q, k = (draw.normal(*batch, t, d, dtype=dtype, scale=scale or 1.0) for t in (tq, tk))
    if scale is None:
        of_queries, of_keys = (torch.tensor(t, dtype=DOUBLE) for t in extreme(tq, tk, dtype))
        q[..., :3], k[...] = 4 * of_queries, 0.0
        k[..., :3] = of_keys * d**0.5 / 4
    return q, k


def numbers(draw: Draw, row: Row, *shape: int) -> Tensor:
    """Of the row's scale; small whole ones beside extreme scores, so that sums are exact."""
    if row["scores"] is None:
        return draw.integers(*shape, low=-2, high=3).to(row["dtype"])
    return draw.normal(*shape, dtype=row["dtype"], scale=row["scores"])


def masked(draw: Draw, row: Row) -> Tensor | None:
    """keep, as the row has it."""
    keep = draw.mask(row["mask"], row["batch"], *row["lengths"])
    if keep is not None and row["layout"] == "views":
        return keep.expand(*row["batch"], *row["lengths"])
    return laid(keep, row["layout"])


def attention_inputs(draw: Draw, row: Row, d: int, dv: int) -> tuple[Tensor | None, ...]:
    """q, k, v and keep."""
    q, k = scored(draw, row, d)
    v = numbers(draw, row, *k.shape[:-1], dv)
    layout = row["layout"]
    if layout == "views" and k.ndim > 2:  # all heads read the same keys and values
        k, v = (t[..., :1, :, :].expand_as(t) for t in (k, v))
    return laid(q, layout), laid(k, layout), laid(v, layout), masked(draw, row)


def projected(
    draw: Draw, row: Row, cx: int, cm: int, d: int, heads: int = 1, itself: bool = False
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """x (*batch, Tq, cx) and memory (*batch, Tk, cm), and what makes of them queries, keys and
    values of so many heads, whose scores are those of the row: w_q, w_k, and of ``w_v`` the factor
    (cm, 1) by which its rows are to be multiplied.

    ``itself``: memory is x.
    """
    (tq, tk), batch, dtype, scale = row["lengths"], row["batch"], row["dtype"], row["scores"]
    x = draw.normal(*batch, tq, cx, dtype=dtype, scale=scale or 1.0)
    memory = x if itself else draw.normal(*batch, tk, cm, dtype=dtype, scale=scale or 1.0)
    w_q, w_k = (draw.weight(c, heads * d, dtype=dtype) for c in (cx, cm))
    rows = torch.ones(cm, 1, device=draw.device, dtype=dtype)
    if scale is None:
        of_queries, of_keys = (torch.tensor(t, dtype=DOUBLE) for t in extreme(tq, tk, dtype))
        x[..., :3], memory[..., -3:] = 4 * of_queries, of_keys * d**0.5 / 4
        feature = torch.arange(3, device=draw.device)
        for w, first in ((w_q, 0), (w_k, cm - 3)):
            w.zero_()
            w.view(-1, heads, d)[first + feature, :, feature] = 1.0
        rows[-3:] = 0.0  # values stay as they are
    return x, memory, w_q, w_k, rows


def where(draw: Draw, row: Row) -> tuple[torch.device | str, ...]:
    """The last argument, if it is to be given."""
    return row["device"](draw.device)


def sentences(draw: Draw, row: Row, number: tuple[int, ...], longest: int) -> Tensor:
    """Lengths of sentences: the first of several short, the last of all the longest."""
    lengths = draw.integers(*number, low=1, high=longest + 1)
    lengths.view(-1)[0] = min(2, longest)
    lengths.view(-1)[-1] = longest
    if row["sentences"] == "full":
        lengths.fill_(longest)
    if row["sentences"] == "empty":
        lengths.view(-1)[0] = 0
    return lengths
